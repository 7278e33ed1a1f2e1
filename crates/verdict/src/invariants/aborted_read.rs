//! A `read_committed` consumer returns no record of an aborted or open transaction (G1a).
//!
//! Source: KIP-98; `UnifiedLog.fetchLastStableOffsetMetadata`, `CompletedFetch.nextFetchedRecord`.
//! After an unclean election or a loss of power a marker may be gone that readers had seen; what was
//! committed by a marker once counts as committed.

use acklab_vocab::ids::Offset;
use acklab_vocab::transaction::TransactionResult;

use super::{Invariant, Suspension};

/// The property.
pub static INVARIANT: Invariant = Invariant {
    name: "no_aborted_read",
    claim: "a read_committed consumer returns only records of committed transactions",
    source: "KIP-98 (G1a)",
    suspended_by: &[Suspension::PowerLoss, Suspension::UncleanElection],
};

/// A batch of a transaction was returned; `ended` is what its marker says, if there is one.
#[must_use]
pub fn check(base: Offset, ended: Option<TransactionResult>) -> Option<String> {
    match ended {
        Some(TransactionResult::Commit) => None,
        Some(TransactionResult::Abort) => {
            Some(format!("the batch at {base} was returned, whose transaction is aborted"))
        }
        None => Some(format!("the batch at {base} was returned, whose transaction is open")),
    }
}
