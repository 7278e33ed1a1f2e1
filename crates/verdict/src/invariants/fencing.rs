//! A leader takes note only of followers that know its epoch and whose log agrees with its own.
//!
//! Mirrors `Partition.checkCurrentLeaderEpoch` and `Partition.fetchRecords` (KIP-320): a fetch of
//! an older epoch is refused before it counts. A follower may have moved on to a *newer* epoch
//! while its fetch was on the way; then nothing is claimed.

use acklab_vocab::ids::{LeaderEpoch, Offset};
use acklab_vocab::rules::ProtocolRule;

use super::{Invariant, Suspension};
use crate::world::{Append, Replica};

/// See the module.
pub static INVARIANT: Invariant = Invariant {
    name: "fencing",
    claim: "a leader takes note only of followers of its own epoch, whose log is a prefix of its \
            own",
    source: "KIP-320, Partition.checkCurrentLeaderEpoch",
    suspended_by: &[
        Suspension::RuleOff(ProtocolRule::TruncateByLeaderEpoch, "KIP-101"),
        Suspension::RuleOff(ProtocolRule::EpochInOffsetsForLeaderEpoch, "KIP-279"),
        Suspension::RuleOff(ProtocolRule::FenceByLeaderEpoch, "KIP-320"),
        Suspension::RuleOff(ProtocolRule::FenceTruncation, "KIP-320"),
        Suspension::RuleOff(ProtocolRule::TruncateOnEveryEpoch, "KIP-320"),
    ],
};

/// `leader` learned from `follower`, in `epoch`, that its log ends at `end`.
#[must_use]
pub fn check(
    leader: &Replica,
    follower: &Replica,
    epoch: LeaderEpoch,
    end: Offset,
    appends: &[Append],
) -> Option<String> {
    let (from, to) = (follower.broker, leader.broker);
    let heard = follower.epoch_heard;
    if heard < epoch {
        return Some(format!(
            "broker {to} in epoch {epoch} took a fetch of broker {from}, which knew epoch {heard} \
             only"
        ));
    }
    if heard > epoch || follower.log_end_offset < end || end > leader.log_end_offset {
        return None;
    }
    let (mine, theirs) =
        (leader.batch_ending_at(end, appends), follower.batch_ending_at(end, appends));
    (mine.is_some() && theirs.is_some() && mine != theirs).then(|| {
        format!(
            "broker {to} counted broker {from} up to {end} in epoch {epoch}, but their logs differ \
             below"
        )
    })
}
