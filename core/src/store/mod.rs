//! Checkpoint data over time.
