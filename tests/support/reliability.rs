//! What docs/reliability.md is made of.

use std::fmt::Display;

/// Prints a row of that table: what was done to stores or guests, how often, what came of it, and how to do it again, in
/// arguments of `cargo test -p revenant-tests`.
pub fn row(fault: &str, count: impl Display, outcome: &str, test: &str) {
    println!("\nrow | {fault} | {count} | {outcome} | `cargo test -p revenant-tests {test}`");
}
