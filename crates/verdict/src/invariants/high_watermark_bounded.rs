//! A leader's high watermark never passes what a member of the maximal ISR has reported in this
//! epoch.
//!
//! Mirrors `Partition.maybeIncrementLeaderHW` (KIP-497 for the maximal ISR). A new leader starts
//! from the high watermark that it knew as a follower: the others' log ends are unknown until they
//! fetch.

use acklab_vocab::ids::{BrokerId, BrokerList, Offset};
use acklab_vocab::rules::ProtocolRule;

use super::{Invariant, Suspension};
use crate::world::{LeaderView, Replica};

/// See the module.
pub static INVARIANT: Invariant = Invariant {
    name: "high_watermark_bounded",
    claim: "the high watermark is at most the log end that each member of the maximal ISR has \
            reported to this leader",
    source: "Partition.maybeIncrementLeaderHW, KIP-497",
    suspended_by: &[Suspension::RuleOff(ProtocolRule::HighWatermarkAwaitsMaximalIsr, "KIP-497")],
};

/// The leader moved its high watermark up to `high_watermark`. `isr`: the controller's latest of
/// this epoch. The controller removes fenced brokers by itself, and the leader may have heard of
/// it: they need not be awaited.
#[must_use]
pub fn check_advance(
    replica: &Replica,
    view: &LeaderView,
    isr: Option<&BrokerList>,
    high_watermark: Offset,
) -> Option<String> {
    let broker = replica.broker;
    if high_watermark > replica.log_end_offset {
        let end = replica.log_end_offset;
        return Some(format!(
            "broker {broker} moved its high watermark to {high_watermark}, beyond its log end {end}"
        ));
    }
    let is_removed = |member: &BrokerId| {
        view.isr.contains(member) && isr.is_some_and(|isr| !isr.contains(member))
    };
    let others = view.maximal_isr().filter(|member| *member != broker && !is_removed(member));
    let behind = others.map(|member| (member, view.reported_by(member)));
    let (member, reported) =
        behind.into_iter().find(|(_, reported)| reported.is_none_or(|end| end < high_watermark))?;
    let epoch = view.epoch;
    let so_far = match reported {
        Some(end) => format!("has fetched up to {end} only"),
        None => "has not fetched in this epoch".to_owned(),
    };
    Some(format!(
        "broker {broker} in epoch {epoch} moved its high watermark to {high_watermark}, but \
         in-sync broker {member} {so_far}"
    ))
}

/// See the module.
pub static FOLLOWER: Invariant = Invariant {
    name: "high_watermark_bounded",
    claim: "the high watermark of a replica is within its log, and was reached by a leader before",
    source: "UnifiedLog.updateHighWatermark, ReplicaFetcherThread.processPartitionData",
    suspended_by: &[],
};

/// A replica that does not lead states `high_watermark`: what its leader told it, or its
/// checkpoint. No leader of the partition has ever been beyond `reached`.
#[must_use]
pub fn check_follower(
    replica: &Replica,
    high_watermark: Offset,
    reached: Offset,
) -> Option<String> {
    let (broker, end) = (replica.broker, replica.log_end_offset);
    if high_watermark > end {
        return Some(format!(
            "broker {broker} has the high watermark {high_watermark}, its log ends at {end}"
        ));
    }
    (high_watermark > reached).then(|| {
        format!(
            "broker {broker} has the high watermark {high_watermark}, no leader was beyond \
             {reached}"
        )
    })
}

/// A replica became leader and states `high_watermark` as what it knew as a follower.
#[must_use]
pub fn check_new_leader(replica: &Replica, high_watermark: Offset) -> Option<String> {
    let (broker, known) = (replica.broker, replica.high_watermark);
    (high_watermark > known).then(|| {
        format!(
            "broker {broker} became leader with high watermark {high_watermark}, as a follower it \
             knew {known}"
        )
    })
}
