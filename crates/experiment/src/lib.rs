//! acklab's experiments: one history or many, run, judged, verified and tested.
//!
//! Everything here happens outside of the simulation: it may use threads, and knows no clock at
//! all. One run is [`Case::run`]; [`mod@test`] and [`verify()`] run many, one madsim runtime per
//! thread, and hand the results on in the order of the seeds whatever finishes first. Sweeps, diffs
//! and shrinking build on the same pieces.

mod case;
mod counts;
mod defect;
pub mod diff;
mod explain;
pub mod inevitable;
mod junit;
mod lockstep;
mod outcome;
mod parallel;
mod seeds;
pub mod shrink;
mod subject;
pub mod sweep;
pub mod test;
mod verify;

pub use case::Case;
pub use counts::Judged;
pub use defect::Defect;
pub use explain::{explain, judge_and_find, representatives};
pub use junit::junit;
pub use lockstep::Divergence;
pub use outcome::{Expected, Outcome};
pub use parallel::in_order;
pub use seeds::{Seeds, SeedsError};
pub use subject::{Subject, SubjectError};
pub use verify::{Driver, Mismatch, Pace, verify};
