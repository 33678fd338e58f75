//! The judge of `Clock` implementations.

use crate::Clock;

/// Reading a clock costs no time worth the name, and it never goes backwards. `let_pass` makes some time pass, after which
/// the clock has to show more.
///
/// # Panics
/// At the first clause that does not hold.
pub fn all(clock: &dyn Clock, mut let_pass: impl FnMut()) {
    const READINGS: u32 = 1_000;
    let mut last = clock.now();
    let begun = last;
    for _ in 0..READINGS {
        let now = clock.now();
        assert!(now >= last, "the clock went back from {last:?} to {now:?}");
        last = now;
    }
    let spent = last.since(begun) / READINGS;
    assert!(
        spent < std::time::Duration::from_millis(1),
        "a reading took {spent:?}"
    );
    let_pass();
    assert!(clock.now() > last, "time does not pass");
}
