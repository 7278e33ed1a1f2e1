//! Who serves, and who is let into an ISR.
//!
//! Mirrors `ClusterControlManager` and `ReplicationControlManager.validateAlterPartitionData`, as
//! far as facts tell.

use acklab_vocab::ids::{BrokerId, BrokerList, Offset};
use acklab_vocab::metadata_log::PartitionState;
use acklab_vocab::trace::PartitionChangeReason;

use super::World;
use super::facts::Scene;
use crate::invariants;
use crate::invariants::clean_election::{self, Circumstances};

impl World {
    /// The controller registered a life of a broker, fenced it or lets it serve.
    pub(crate) fn on_broker_changed(&mut self, broker: BrokerId, fenced: bool, registered: bool) {
        let Some(node) = self.node_of(broker) else { return };
        let process = &mut self.processes[node.0 as usize];
        process.fenced = fenced;
        process.unregistered &= !registered;
    }

    /// The controller may have elected a leader.
    pub(super) fn check_election(
        &self,
        partition: usize,
        before: &PartitionState,
        after: &PartitionState,
        reason: PartitionChangeReason,
    ) -> Option<String> {
        let topic = usize::from(after.partition.topic.0);
        let tenures = &self.partitions[partition].tenures;
        let last = tenures.iter().rev().find(|tenure| tenure.epoch < after.leader_epoch);
        let circumstances = Circumstances {
            unclean_allowed: self.unclean_allowed.get(topic).copied().unwrap_or_default(),
            last_leader: last.map(|tenure| tenure.leader),
            ended_uncleanly: &self.ended_uncleanly(before),
        };
        clean_election::check(before, after, reason, circumstances)
    }

    /// Replicas in the ISR or the ELR whose brokers have ended without an orderly shutdown since
    /// they were registered: the registration of their next life takes them out of both (KIP-966).
    fn ended_uncleanly(&self, partition: &PartitionState) -> BrokerList {
        let has_ended = |broker: &BrokerId| {
            let process = self.node_of(*broker).map(|node| &self.processes[node.0 as usize]);
            process.is_some_and(|process| {
                process.unregistered && process.deaths.last().is_some_and(|&(_, clean)| !clean)
            })
        };
        partition.isr.iter().chain(&partition.eligible).copied().filter(has_ended).collect()
    }

    /// The controller took a leader's proposal.
    pub(super) fn check_proposal(
        &mut self,
        scene: Scene,
        before: &BrokerList,
        after: &PartitionState,
    ) {
        let partition = &self.partitions[scene.partition];
        let Some(leader) = after.leader.and_then(|leader| partition.replica_of(leader)) else {
            return;
        };
        let view = leader.leader_view().filter(|view| view.epoch == after.leader_epoch);
        let stale = view.and_then(|view| {
            invariants::isr_proposal_current::check(leader.broker, view, before, &after.isr)
        });
        self.breach(scene, &invariants::isr_proposal_current::INVARIANT, stale);
    }

    /// A leader's proposal brought brokers into the ISR.
    pub(super) fn check_newcomers(
        &mut self,
        scene: Scene,
        before: &BrokerList,
        after: &BrokerList,
    ) {
        for broker in invariants::isr_newcomer::newcomers(before, after) {
            let Some(node) = self.node_of(broker) else { continue };
            let process = &self.processes[node.0 as usize];
            let fenced = invariants::isr_newcomer::check_serves(broker, process.fenced);
            let partition = &self.partitions[scene.partition];
            let committed = &partition.committed;
            let end = committed.last().map_or(Offset(0), |last| self.end_of(*last));
            let short = partition.replica(node).filter(|_| !process.unregistered);
            let short = short.and_then(|replica| {
                invariants::isr_newcomer::check_complete(replica, committed, end)
            });
            self.breach(scene, &invariants::isr_newcomer::SERVES, fenced);
            self.breach(scene, &invariants::isr_newcomer::COMPLETE, short);
        }
    }
}
