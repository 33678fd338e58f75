//! What docs/reliability.md is made of.

use std::fmt::Display;

/// Prints a row of that table: what was done to stores or guests, how often, what came of it, and the command that does it
/// again.
pub fn row(fault: &str, count: impl Display, outcome: &str, command: &str) {
    println!("\nrow | {fault} | {count} | {outcome} | `{command}`");
}
