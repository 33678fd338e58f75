//! Whatever a hand slips to, a spec is refused with its line or runs.

use super::*;

/// The shipped specs of level `model`, which random edits are made to.
const SHIPPED: [&str; 8] = [
    include_str!("../../../specs/adaptive.toml"),
    include_str!("../../../specs/lazy.toml"),
    include_str!("../../../specs/nodes.toml"),
    include_str!("../../../specs/optimal-interval.toml"),
    include_str!("../../../specs/silent-errors.toml"),
    include_str!("../../../specs/two-level.toml"),
    include_str!("../../../specs/weibull.toml"),
    include_str!("../../../specs/young-daly-exact.toml"),
];

/// What a hand may slip to: numbers at the ends of their types, units, words of other keys.
const SLIPS: [&str; 24] = [
    "0",
    "-1",
    "1",
    "1e308",
    "-0.0",
    "nan",
    "inf",
    "9223372036854775807",
    "0.1",
    "20",
    "\"1ms\"",
    "\"36500d\"",
    "\"100y\"",
    "\"\"",
    "[]",
    "{}",
    "true",
    "\"exponential\"",
    "\"never\"",
    "\"measured\"",
    "[1, 2]",
    "\n",
    "=",
    "\"host-loss\"",
];

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(3_000))]

    /// A spec that somebody's hand slipped in is refused with its line, or runs: a trial of it ends.
    #[test]
    fn a_slip_of_the_hand_is_refused_or_runs(
        which in 0..SHIPPED.len(),
        slips in proptest::collection::vec((proptest::prelude::any::<proptest::sample::Index>(), 0..SLIPS.len()), 1..4),
    ) {
        let mut words: Vec<String> = SHIPPED[which].split_inclusive(' ').map(str::to_owned).collect();
        for (place, slip) in &slips {
            let word = place.index(words.len());
            words[word] = format!("{} ", SLIPS[*slip]);
        }
        match parse(&words.concat()) {
            Err(error) => proptest::prop_assert!(error.starts_with("x.toml:"), "{error}"),
            Ok(spec) => {
                let costs = crate::run::costs(&spec).unwrap();
                let plan = crate::plan::Plan::new(&spec, &costs);
                let ended = crate::trial::run(&plan, plan.item(0));
                proptest::prop_assert!(ended.is_ok());
            }
        }
    }
}
