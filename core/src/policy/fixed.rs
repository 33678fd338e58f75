//! An interval that is given.

use std::time::Duration;

use super::{INTERVAL_MIN, IntervalPolicy, Kind, Parameter, Preset, Seen, Unit, interval_of};

/// The same interval every time.
#[derive(Debug, Clone, Copy)]
pub struct Fixed(pub Duration);

/// How it is chosen.
pub(super) const KIND: Kind = Kind {
    name: "fixed",
    formula: "as given",
    source: "",
    parameters: &[Parameter {
        name: "interval",
        about: "work between two checkpoints, the checkpoint's own cost left out, such as \"10min\"",
        unit: Unit::Time,
        preset: Preset::Required,
        least: INTERVAL_MIN.as_millis() as f64 / 1e3,
        most: 100.0 * 365.0 * 86_400.0,
    }],
    needs_work: false,
    needs_world: None,
    make: |told| Box::new(Fixed(interval_of(told.number("interval")))),
};

impl IntervalPolicy for Fixed {
    fn interval(&self, _: &Seen) -> Option<Duration> {
        Some(self.0)
    }

    fn is_constant(&self) -> bool {
        true
    }
}
