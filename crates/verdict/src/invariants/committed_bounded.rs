//! A group does not commit beyond what readers can have seen.
//!
//! Source: consumers read below the high watermark, and commit positions. A high watermark that a
//! leader had once counts, so unclean elections and power loss suspend nothing.

use acklab_vocab::ids::Offset;

use super::Invariant;

/// The property.
pub static INVARIANT: Invariant = Invariant {
    name: "committed_offset_bounded",
    claim: "no offset is committed above every high watermark that the partition has had",
    source: "Fetcher, SubscriptionState.allConsumed",
    suspended_by: &[],
};

/// An offset was committed on a partition whose high watermark was at most `reached`.
#[must_use]
pub fn check(offset: Offset, reached: Offset) -> Option<String> {
    let text = || format!("{offset} was committed, above the highest high watermark {reached}");
    (offset > reached).then(text)
}
