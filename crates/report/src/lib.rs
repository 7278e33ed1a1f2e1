//! acklab's reports: a judged run, or a sweep of many, as one HTML file that opens offline.
//!
//! A page is made in two steps. What it says is a *view model*: plain serialisable data, computed
//! from facts and verdicts ([`run`], [`life`], [`sweep`], [`index`]). How it looks is a template
//! over that data ([`page`]) with figures drawn by plotters as SVG ([`plot`]). Everything is a pure
//! function of its input: the same run gives the same bytes on every machine.

pub mod index;
pub mod life;
pub mod page;
pub mod plot;
pub mod run;
pub mod sweep;
