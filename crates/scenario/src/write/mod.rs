//! Scenarios written out as RON: faults, expectations, or a whole scenario.
//!
//! A whole scenario is written from its tree, not from the model: a file says what it says and
//! leaves the rest to the defaults, and so does what is written. Comments are not kept.

mod draft;
mod expectations;
mod faults;
mod layout;

pub use draft::Draft;
pub use expectations::write_expectations;
pub use faults::write_faults;
