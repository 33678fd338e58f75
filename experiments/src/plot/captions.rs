//! The captions that go with the figures.

use super::Figure;
use super::data::RunData;

/// A page with every caption and how to get the figures again.
pub(super) fn page(figures: &[Figure], data: &RunData) -> String {
    let mut text = format!("# Figures of {}\n\n", data.experiment);
    for figure in figures {
        let (name, caption) = (figure.name, &figure.caption);
        text.extend(["## ", name, "\n\n", caption.as_str(), "\n\n"]);
    }
    text.push_str("Drawn again from the CSV files beside this folder by `revenant plot DIR`.\n");
    text
}

/// A time in seconds as people write it.
pub(super) fn time(seconds: f64) -> String {
    let (value, unit) = match seconds {
        s if s < 1.0 => (s * 1e3, "ms"),
        s if s < 120.0 => (s, "s"),
        s if s < 7_200.0 && s % 3_600.0 != 0.0 => (s / 60.0, "min"),
        s if s < 172_800.0 => (s / 3_600.0, "h"),
        s => (s / 86_400.0, "d"),
    };
    let text = format!("{value:.2}");
    format!("{} {unit}", text.trim_end_matches('0').trim_end_matches('.'))
}
