//! Logs that share a batch share everything before it, and agree below their high watermarks.
//!
//! Mirrors `LogMatching` and `StrongIsr` in the TLA+ specifications; established by truncation
//! (KIP-101, KIP-279) and fencing (KIP-320).

use acklab_vocab::ids::Offset;
use acklab_vocab::rules::ProtocolRule;

use super::{Invariant, Suspension};
use crate::world::{Append, AppendId, Replica};

/// See the module.
pub static INVARIANT: Invariant = Invariant {
    name: "log_matching",
    claim: "two logs that share a batch share everything before it; below their high watermarks \
            they are equal",
    source: "KIP-101, KIP-279, hachikuji/kafka-specification",
    suspended_by: &[
        Suspension::RuleOff(ProtocolRule::TruncateByLeaderEpoch, "KIP-101"),
        Suspension::RuleOff(ProtocolRule::EpochInOffsetsForLeaderEpoch, "KIP-279"),
        Suspension::RuleOff(ProtocolRule::FenceByLeaderEpoch, "KIP-320"),
        Suspension::RuleOff(ProtocolRule::FenceTruncation, "KIP-320"),
        Suspension::RuleOff(ProtocolRule::TruncateOnEveryEpoch, "KIP-320"),
    ],
};

/// As [`INVARIANT`], for committed records, which power loss and unclean elections may replace.
pub static BELOW_HIGH_WATERMARK: Invariant = Invariant {
    name: "log_matching",
    claim: INVARIANT.claim,
    source: INVARIANT.source,
    suspended_by: &[
        Suspension::PowerLoss,
        Suspension::UncleanElection,
        Suspension::RuleOff(ProtocolRule::TruncateByLeaderEpoch, "KIP-101"),
        Suspension::RuleOff(ProtocolRule::EpochInOffsetsForLeaderEpoch, "KIP-279"),
        Suspension::RuleOff(ProtocolRule::FenceByLeaderEpoch, "KIP-320"),
        Suspension::RuleOff(ProtocolRule::FenceTruncation, "KIP-320"),
        Suspension::RuleOff(ProtocolRule::TruncateOnEveryEpoch, "KIP-320"),
        Suspension::KnownBreach,
    ],
};

/// A follower is about to append a copy of `copy` behind its last batch.
#[must_use]
pub fn check_replicated(follower: &Replica, copy: &Append, appends: &[Append]) -> Option<String> {
    let end = follower.log_end_offset;
    let (broker, base, epoch) = (follower.broker, copy.batch.base_offset, copy.batch.leader_epoch);
    if follower.last() == copy.parent {
        return None;
    }
    if base < end {
        return Some(format!("broker {broker} appended a copy at {base}, its log ended at {end}"));
    }
    let held = appends.get(follower.last().index()).map(|append| append.batch.leader_epoch);
    let under = held.map_or("nothing".to_owned(), |held| format!("a batch of epoch {held}"));
    Some(format!(
        "broker {broker} appended a copy of epoch {epoch} at {base} behind {under}, which its \
         leader does not have there"
    ))
}

/// A replica's high watermark passed `passed`, where `committed` had been committed before.
#[must_use]
pub fn check_committed(
    replica: &Replica,
    passed: AppendId,
    committed: AppendId,
    offset: Offset,
) -> Option<String> {
    let broker = replica.broker;
    (passed != committed).then(|| {
        format!(
            "broker {broker} has another record at {offset} than the one that was committed there"
        )
    })
}
