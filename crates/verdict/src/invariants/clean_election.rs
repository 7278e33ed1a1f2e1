//! A leader that is not elected uncleanly was in sync, or eligible, before the election; and none is elected uncleanly
//! where the topic does not allow it.
//!
//! Mirrors `PartitionChangeBuilder.electLeader` and `isValidNewLeader` (KIP-631, KIP-966).

use acklab_vocab::metadata_log::PartitionState;
use acklab_vocab::trace::PartitionChangeReason;

use super::Invariant;
use crate::names;

/// See the module.
pub static INVARIANT: Invariant = Invariant {
    name: "clean_election",
    claim: "a leader was in the ISR or among the eligible leader replicas before, unless the topic allows unclean \
            election",
    source: "PartitionChangeBuilder.isValidNewLeader, KIP-966; unclean.leader.election.enable",
    suspended_by: &[],
};

/// The controller changed a partition from `before` to `after`.
#[must_use]
pub fn check(
    before: &PartitionState,
    after: &PartitionState,
    reason: PartitionChangeReason,
    unclean_allowed: bool,
) -> Option<String> {
    let leader = after.leader?;
    let elected = after.leader_epoch > before.leader_epoch && before.leader != Some(leader);
    let is_free_to_choose = match reason {
        PartitionChangeReason::Created => true,
        // With nobody in sync or eligible, the last known leader may return by itself (KIP-966).
        PartitionChangeReason::UncleanElection => {
            unclean_allowed || (before.isr.is_empty() && before.eligible.is_empty())
        }
        PartitionChangeReason::BrokerFenced
        | PartitionChangeReason::BrokerRegistered
        | PartitionChangeReason::BrokerUnfenced
        | PartitionChangeReason::ControlledShutdown
        | PartitionChangeReason::AlterPartition
        | PartitionChangeReason::PreferredElection => false,
    };
    let may_lead = before.isr.contains(&leader) || before.eligible.contains(&leader);
    (elected && !is_free_to_choose && !may_lead).then(|| {
        let (isr, eligible) = (&before.isr, &before.eligible);
        let epoch = after.leader_epoch;
        format!(
            "broker {leader} was elected for epoch {epoch}, the ISR being {}, eligible {}",
            names::brokers(isr),
            names::brokers(eligible)
        )
    })
}
