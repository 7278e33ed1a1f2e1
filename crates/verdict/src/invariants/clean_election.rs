//! A leader that is not elected uncleanly was in sync, or eligible, before the election; and none is elected uncleanly
//! where the topic does not allow it.
//!
//! Mirrors `PartitionChangeBuilder.electLeader` and `isValidNewLeader` (KIP-631, KIP-966). With nobody in
//! sync or eligible, the last known leader may return by itself (`canElectLastKnownLeader`). The change that
//! takes the last eligible replica away after an unclean shutdown may be the one that elects it: the builder
//! elects from the ELR as it will be.

use acklab_vocab::ids::BrokerId;
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

/// What an election may choose from, beside the state before it.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// The topic allows an unclean election.
    pub unclean_allowed: bool,
    /// Who led last.
    pub last_leader: Option<BrokerId>,
    /// Brokers that have ended without an orderly shutdown since the controller registered them.
    pub ended_uncleanly: &'a [BrokerId],
}

/// The controller changed a partition from `before` to `after`.
#[must_use]
pub fn check(
    before: &PartitionState,
    after: &PartitionState,
    reason: PartitionChangeReason,
    circumstances: Circumstances<'_>,
) -> Option<String> {
    let leader = after.leader?;
    let elected = after.leader_epoch > before.leader_epoch && before.leader != Some(leader);
    let is_free_to_choose = match reason {
        PartitionChangeReason::Created => true,
        PartitionChangeReason::UncleanElection => {
            let Circumstances { unclean_allowed, last_leader, ended_uncleanly } = circumstances;
            let mut in_sync = before.isr.iter().chain(&before.eligible);
            let is_nobody_left = in_sync.all(|broker| ended_uncleanly.contains(broker));
            unclean_allowed || (is_nobody_left && last_leader == Some(leader))
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
