//! Figures: plotters over a backend of our own that writes compact SVG in the inks of the page.
//!
//! A figure is drawn twice, for wide and for narrow screens, and the style sheet shows the one that
//! fits, so that its words stay readable. Left out on purpose: interaction (the page's script moves
//! the slider's rule and nothing else), grids, legends, animation.

mod canvas;
mod cells;
mod curve;
mod figure;
mod ink;
mod plane;
mod scale;
mod time;

pub use canvas::{
    Anchor, Canvas, Drawing, FONT, Lettering, PIXEL, Point, cut, escaped, text_width, wrapped,
};
pub use cells::{
    Distribution, DotRow, HeatMap, Trade, distributions, dots, heading, heading_of, heat_map,
    trade_off,
};
pub use curve::{Curve, percentile_curve};
pub use figure::{Figure, Width};
pub use ink::{Fill, Ink, Stroke};
pub use plane::{Frame, Plane, apart, stepped};
pub use scale::{Scale, Unit, instant, micros};
pub use time::{
    Bar, Layer, MOST_ROWS, Panel, Shape, SpanRow, Strip, packed, panel, panel_over_rows, span_rows,
    strips,
};
