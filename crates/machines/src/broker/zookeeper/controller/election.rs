//! Who leads next, and what the ISR becomes: the controller's decisions, as functions of its
//! picture of the cluster.
//!
//! Mirrors `PartitionLeaderElectionAlgorithms`, `Election` and `doRemoveReplicasFromIsr`; before
//! 1.1 `PartitionLeaderSelector`. Every change raises the leader epoch, a mere shrink too. Left
//! out: reassignment, and an ISR's own order (before 1.1 a controlled shutdown chose the first of
//! the ISR as its leader had written it; here, as later, the first of the assignment).

use super::context::ControllerContext;
use crate::controller::election::{Candidates, Election, elect_leader};
use acklab_vocab::ids::{BrokerId, BrokerList, LeaderEpoch, PartitionEpoch, TopicPartition};
use acklab_vocab::metadata_log::PartitionState;
use std::collections::BTreeMap;

/// By which rule a leader is elected (`PartitionLeaderElectionStrategy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strategy {
    /// The leader has died, or there never was one.
    Offline {
        /// An operator allows any live replica, whatever the topic says.
        allow_unclean: bool,
    },
    /// The first replica is to lead.
    Preferred,
    /// The leader shuts down.
    ControlledShutdown,
}

/// The outcome of an election.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Elected {
    /// The state to write.
    pub state: PartitionState,
    /// The leader may lack committed records.
    pub unclean: bool,
    /// Who is told with LeaderAndIsr.
    pub recipients: BrokerList,
}

/// Elects a leader; `None` if nobody can lead.
pub(super) fn elect(
    context: &ControllerContext,
    before: &PartitionState,
    strategy: Strategy,
    topic_allows_unclean: bool,
) -> Option<Elected> {
    let replicas = context.replicas(before.partition);
    let live = |broker: &BrokerId| context.is_live(*broker);
    let in_sync = |broker: &BrokerId| before.isr.contains(broker);
    let (leader, isr, unclean, recipients): (_, BrokerList, _, BrokerList) = match strategy {
        Strategy::Offline { allow_unclean } => {
            let candidates = Candidates {
                replicas,
                isr: &before.isr,
                eligible: &[],
                leader: None,
                last_known_leader: None,
            };
            let unclean = allow_unclean || topic_allows_unclean;
            let election = if unclean { Election::Unclean } else { Election::Online };
            let elected = elect_leader(&candidates, election, |broker| live(&broker));
            let leader = elected.leader?;
            let isr = if elected.unclean {
                BrokerList::from_slice(&[leader])
            } else {
                before.isr.iter().copied().filter(live).collect()
            };
            (leader, isr, elected.unclean, replicas.iter().copied().filter(live).collect())
        }
        Strategy::Preferred => {
            let preferred = *replicas.first().filter(|it| live(it) && in_sync(it))?;
            (preferred, before.isr.clone(), false, replicas.iter().copied().collect())
        }
        Strategy::ControlledShutdown => {
            let stays = |broker: &BrokerId| !context.shutting_down.contains(broker);
            let leader = *replicas.iter().find(|it| live(it) && in_sync(it))?;
            let isr = before.isr.iter().copied().filter(stays).collect();
            let registered = |broker: &BrokerId| context.is_registered(*broker);
            (leader, isr, false, replicas.iter().copied().filter(registered).collect())
        }
    };
    Some(Elected { state: succeed(before, replicas, Some(leader), isr), unclean, recipients })
}

/// The first state of a partition: every live replica is in sync, the first of them leads. `None`
/// without a live replica.
pub(super) fn initial_state(
    context: &ControllerContext,
    partition: TopicPartition,
) -> Option<PartitionState> {
    let replicas = context.replicas(partition);
    let live: BrokerList = replicas.iter().copied().filter(|it| context.is_live(*it)).collect();
    let leader = *live.first()?;
    let mut isr = live;
    isr.sort_unstable();
    Some(PartitionState {
        partition,
        replicas: BrokerList::from_slice(replicas),
        isr,
        eligible: BrokerList::new(),
        leader: Some(leader),
        leader_epoch: LeaderEpoch(0),
        partition_epoch: PartitionEpoch(0),
        recovering: false,
    })
}

/// Takes a replica out of the ISR; `None` if it is not in it. `keep_last`: an ISR keeps its last
/// member.
pub(super) fn remove_from_isr(
    context: &ControllerContext,
    before: &PartitionState,
    replica: BrokerId,
    keep_last: bool,
) -> Option<PartitionState> {
    if !before.isr.contains(&replica) {
        return None;
    }
    let leader = before.leader.filter(|leader| *leader != replica);
    let isr: BrokerList = if before.isr.len() == 1 && keep_last {
        before.isr.clone()
    } else {
        before.isr.iter().copied().filter(|member| *member != replica).collect()
    };
    Some(succeed(before, context.replicas(before.partition), leader, isr))
}

/// The state after a change of leader or ISR (`LeaderAndIsr.newLeaderAndIsr`). The znode's version
/// is still the one before.
fn succeed(
    before: &PartitionState,
    replicas: &[BrokerId],
    leader: Option<BrokerId>,
    isr: BrokerList,
) -> PartitionState {
    PartitionState {
        replicas: BrokerList::from_slice(replicas),
        leader,
        isr,
        leader_epoch: before.leader_epoch.next(),
        ..before.clone()
    }
}

/// The partitions that get their preferred leaders back, by preferred broker: those of brokers with
/// more than `percentage` of such partitions led by others (`checkAndTriggerAutoLeaderRebalance`).
pub(super) fn imbalanced(
    context: &ControllerContext,
    percentage: u32,
) -> Vec<(BrokerId, Vec<TopicPartition>)> {
    let mut by_preferred: BTreeMap<BrokerId, Vec<TopicPartition>> = BTreeMap::new();
    for (partition, replicas) in &context.assignments {
        if let Some(preferred) = replicas.first() {
            by_preferred.entry(*preferred).or_default().push(*partition);
        }
    }
    let mut result = Vec::new();
    for (preferred, partitions) in by_preferred {
        let total = partitions.len() as u64;
        let led_by_others = |partition: &TopicPartition| {
            let known = context.leadership.get(partition);
            known.is_some_and(|known| known.state.leader != Some(preferred))
        };
        let misplaced: Vec<_> = partitions.into_iter().filter(led_by_others).collect();
        if misplaced.len() as u64 * 100 > u64::from(percentage) * total {
            let can_lead = |partition: &TopicPartition| {
                let known = context.leadership.get(partition);
                context.is_live(preferred)
                    && known.is_some_and(|known| known.state.isr.contains(&preferred))
            };
            result.push((preferred, misplaced.into_iter().filter(can_lead).collect()));
        }
    }
    result
}

#[cfg(test)]
mod tests;
