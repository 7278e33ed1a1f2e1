//! acklab's scenarios: RON text to a validated [`Scenario`](model::Scenario).
//!
//! [`ScenarioFile::load`] or [`ScenarioFile::parse`] read the text; [`ScenarioFile::resolve`]
//! makes one variant of it, with settings of the command line on top, ready to run. Whatever is
//! wrong comes back as [`Diagnostic`]s with file, line, column and a suggestion. A resolved
//! scenario cannot name what does not exist.

mod compare;
mod decode;
pub mod diagnostic;
pub mod expect;
mod file;
pub mod model;
mod resolve;
mod settings;
mod shipped;
mod syntax;
mod write;

pub use compare::{Difference, SettingValue};
pub use decode::{parse_duration, write_duration};
pub use diagnostic::{Diagnostic, Severity};
pub use expect::{
    Bound, COMMIT_EXCEPTIONS, Comparison, Counter, Counts, Expectation, Quantity, ShareExpectation,
};
pub use file::{BASE, Resolved, ScenarioFile};
pub use settings::{BadSetting, Setting};
pub use shipped::shipped;
pub use write::{Draft, write_expectations, write_faults};
