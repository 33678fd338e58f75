//! From data to ink: scales and their ticks, a scene of strokes, fills and texts, and its renderings.
//!
//! All lengths are points (1/72 inch), y downwards. The renderers know nothing of figures: SVG, PNG and PDF
//! show the same scene, text set in the same metrics; TikZ draws the data of its frames anew.

pub(crate) mod axis;
pub(crate) mod chart;
pub(crate) mod clip;
pub(crate) mod font;
pub(crate) mod legend;
pub(crate) mod mark;
pub(crate) mod pdf;
pub(crate) mod png;
pub(crate) mod ramp;
pub(crate) mod scale;
pub(crate) mod scene;
pub(crate) mod style;
pub(crate) mod svg;
pub(crate) mod ticks;
pub(crate) mod tikz;
