//! Colours, markers, dashes, sizes.

use plotters::style::RGBColor;

/// Okabe and Ito's palette, in an order in which neighbours are far apart.
pub(super) const COLOURS: [RGBColor; 6] = [
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0x56, 0xb4, 0xe9),
];

/// Axes, text.
pub(super) const INK: RGBColor = RGBColor(0x20, 0x20, 0x20);
/// Grid lines.
pub(super) const GRID: RGBColor = RGBColor(0xe2, 0xe2, 0xe2);

/// Text of ticks and legends, in points. Nothing is smaller.
pub(super) const TEXT_PT: f64 = 7.0;
/// Text of axis labels, in points.
pub(super) const LABEL_PT: f64 = 7.5;
/// Radius of a marker, in points.
pub(super) const MARKER_PT: f64 = 2.3;

/// Shape of a marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marker {
    Circle,
    Square,
    Triangle,
    Diamond,
    Down,
    Star,
}

/// Markers, one a series.
pub(super) const MARKERS: [Marker; 6] = [
    Marker::Circle,
    Marker::Square,
    Marker::Triangle,
    Marker::Diamond,
    Marker::Down,
    Marker::Star,
];

/// Lengths of strokes and gaps in points; empty: solid. One a series.
pub(super) const DASHES: [&[f64]; 6] = [
    &[],
    &[4.0, 1.6],
    &[1.2, 1.4],
    &[5.0, 1.4, 1.2, 1.4],
    &[7.0, 2.0],
    &[2.4, 1.2],
];

/// Colour, marker and dash of series number `index`.
pub(super) fn series(index: usize) -> (RGBColor, Marker, &'static [f64]) {
    (
        COLOURS[index % COLOURS.len()],
        MARKERS[index % MARKERS.len()],
        DASHES[index % DASHES.len()],
    )
}
