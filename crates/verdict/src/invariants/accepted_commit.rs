//! What a coordinator that has been replaced accepts, its successor knows.
//!
//! Source: `GroupMetadataManager.appendForGroup` (`offsets.commit.required.acks`, -1 by default),
//! `CoordinatorRuntime` (KIP-848): a commit is answered when the ISR has it, and the successor comes
//! from the ISR. A broker that was paused or cut off may still answer late. Where commits are
//! answered before they are replicated, the promise is that setting's.

use acklab_vocab::ids::Offset;
use acklab_vocab::rules::ProtocolRule;

use super::{Invariant, Suspension};

/// The property.
pub static INVARIANT: Invariant = Invariant {
    name: "accepted_commit_kept",
    claim: "a commit that a replaced coordinator accepts is in the log of the one that replaced it",
    source: "GroupMetadataManager.appendForGroup, CoordinatorRuntime",
    suspended_by: &[
        Suspension::PowerLoss,
        Suspension::UncleanElection,
        Suspension::RuleOff(ProtocolRule::TruncateByLeaderEpoch, "KIP-101"),
        Suspension::KnownBreach,
    ],
};

/// Where an accepted commit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The coordinator that accepted it took it for committed.
    pub is_committed: bool,
    /// Its successor's log has it.
    pub is_known: bool,
}

/// A coordinator that has been replaced accepted `offset`. `awaits_replication`: no coordinator of
/// this version answers before.
#[must_use]
pub fn check(offset: Offset, standing: Standing, awaits_replication: bool) -> Option<String> {
    let Standing { is_committed, is_known } = standing;
    let is_promised = is_committed || awaits_replication;
    (is_promised && !is_known).then(|| {
        format!("accepted a commit of {offset}, which the log of its successor does not have")
    })
}
