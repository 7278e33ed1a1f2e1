//! acklab's judge: from a trace to the fate and cause of every record.
//!
//! A [`Judge`] observes the facts of one run, whoever states them, and gives a [`Verdict`]: how
//! many records met which fate and why, which promises and invariants were broken, how long things
//! took. It depends on acklab's vocabulary only and shares no code with the machines that it
//! judges.
//!
//! The words (acked, stored, lost, phantom, …) are those of the handbook's glossary. To follow one
//! record through a run, see [`explain`]; to write a trace down and judge it later, see
//! [`trace_file`].

pub mod cause;
pub mod causes;
mod copies;
pub mod counts;
pub mod digest;
pub mod exceptions;
pub mod explain;
mod fates;
pub mod groups;
pub mod history;
pub mod invariants;
pub mod json;
mod judge;
pub mod latency;
pub mod names;
pub mod record_fates;
pub mod records;
pub mod sentences;
pub mod timeline;
pub mod trace_file;
pub mod transactions;
pub mod verdict;
pub mod visibility;
pub mod world;

pub use cause::{Anomaly, AnomalyKind, Cause, Promise};
pub use counts::{Counter, ReaderCounts, RecordCounts};
pub use digest::Digests;
pub use exceptions::{Exceptions, Raised};
pub use explain::{Biographer, Life, Locator};
pub use groups::summary::{GroupCounts, GroupVerdict, Sharing};
pub use invariants::Violation;
pub use json::{RunFacts, to_json};
pub use judge::{Concluded, Judge};
pub use record_fates::{Copies, GroupFate, LogFate, Progress, RecordFates};
pub use timeline::TimelineEntry;
pub use trace_file::{TraceWriter, read_trace};
pub use verdict::{CauseCount, Unavailability, Verdict};

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
