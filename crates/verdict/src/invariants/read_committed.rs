//! A reader is given only what was committed.
//!
//! Mirrors `FetchIsolation.HIGH_WATERMARK` in `Partition.fetchRecords`: consumers read below the
//! high watermark of the leader, so that what they have seen is not taken back.

use acklab_vocab::ids::Offset;

use super::Invariant;

/// See the module.
pub static INVARIANT: Invariant = Invariant {
    name: "read_committed",
    claim: "a reader is given only records that the high watermark of a leader has passed",
    source: "Partition.fetchRecords, FetchIsolation",
    suspended_by: &[],
};

/// A reader was given records up to `end`. No leader's high watermark has ever been beyond
/// `reached`.
#[must_use]
pub fn check(end: Offset, reached: Offset) -> Option<String> {
    (end > reached).then(|| {
        format!("records up to {end} were read, the high watermark was never beyond {reached}")
    })
}
