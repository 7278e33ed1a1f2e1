//! What the brokers are told after a step of the controller: LeaderAndIsr first, then
//! UpdateMetadata, then StopReplica.
//!
//! Mirrors `ControllerBrokerRequestBatch`. Left out: StopReplica that deletes; before 2.6 a request
//! of its own for every replica that stops.

use super::context::ControllerContext;
use acklab_vocab::api::{LeaderAndIsrRequest, Request, StopReplicaRequest, UpdateMetadataRequest};
use acklab_vocab::ids::{BrokerId, TopicPartition};
use acklab_vocab::metadata_log::PartitionState;
use std::collections::{BTreeMap, BTreeSet};

/// Requests that are being gathered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RequestBatch {
    /// By receiver; whether the partition is new.
    leader_and_isr: BTreeMap<BrokerId, BTreeMap<TopicPartition, (PartitionState, bool)>>,
    /// By receiver.
    stop_replica: BTreeMap<BrokerId, BTreeSet<TopicPartition>>,
    /// Who is told about `metadata`.
    metadata_to: BTreeSet<BrokerId>,
    metadata: BTreeMap<TopicPartition, PartitionState>,
}

/// Who sends a batch, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sender {
    /// The controller.
    pub controller: BrokerId,
    /// Requests name the receiver's life (KIP-380).
    pub with_broker_epoch: bool,
}

impl RequestBatch {
    /// Tells brokers who leads a partition, and everybody's clients with it.
    pub fn add_leader_and_isr(
        &mut self,
        context: &ControllerContext,
        to: &[BrokerId],
        state: &PartitionState,
        new: bool,
    ) {
        for broker in to {
            let partitions = self.leader_and_isr.entry(*broker).or_default();
            let already_new = partitions.get(&state.partition).is_some_and(|(_, new)| *new);
            partitions.insert(state.partition, (state.clone(), new || already_new));
        }
        self.add_metadata(context, context.registered(), [state.partition]);
    }

    /// Tells brokers what clients are to be told. A partition that never had a leader is left out.
    pub fn add_metadata(
        &mut self,
        context: &ControllerContext,
        to: impl IntoIterator<Item = BrokerId>,
        partitions: impl IntoIterator<Item = TopicPartition>,
    ) {
        self.metadata_to.extend(to);
        for partition in partitions {
            if let Some(known) = context.leadership.get(&partition) {
                self.metadata.insert(partition, known.state.clone());
            }
        }
    }

    /// Tells a broker to stop fetching a partition.
    pub fn add_stop_replica(&mut self, to: BrokerId, partition: TopicPartition) {
        self.stop_replica.entry(to).or_default().insert(partition);
    }

    /// The requests, in the order in which they are queued. Brokers that are not registered get
    /// none.
    pub fn requests(self, context: &ControllerContext, sender: Sender) -> Vec<(BrokerId, Request)> {
        let Sender { controller, with_broker_epoch } = sender;
        let controller_epoch = context.epoch;
        let epoch_of = |broker: BrokerId| {
            context.brokers.get(&broker).map(|it| it.epoch).filter(|_| with_broker_epoch)
        };
        let mut requests = Vec::new();
        for (broker, partitions) in self.leader_and_isr {
            if !context.is_registered(broker) {
                continue;
            }
            let leaders: BTreeSet<_> =
                partitions.values().filter_map(|(state, _)| state.leader).collect();
            let mut live_leaders = context.nodes();
            live_leaders.retain(|(id, _)| leaders.contains(id));
            let new = partitions.values().filter(|(_, new)| *new);
            let request = LeaderAndIsrRequest {
                controller,
                controller_epoch,
                broker_epoch: epoch_of(broker),
                new: new.map(|(state, _)| state.partition).collect(),
                partitions: partitions.into_values().map(|(state, _)| state).collect(),
                live_leaders,
            };
            requests.push((broker, Request::LeaderAndIsr(request)));
        }
        let partitions: Vec<_> = self.metadata.into_values().collect();
        for broker in self.metadata_to {
            if context.is_registered(broker) {
                let request = UpdateMetadataRequest {
                    controller,
                    controller_epoch,
                    broker_epoch: epoch_of(broker),
                    partitions: partitions.clone(),
                    live_brokers: context.nodes(),
                };
                requests.push((broker, Request::UpdateMetadata(request)));
            }
        }
        for (broker, partitions) in self.stop_replica {
            if context.is_registered(broker) {
                let request = StopReplicaRequest {
                    controller,
                    controller_epoch,
                    broker_epoch: epoch_of(broker),
                    partitions: partitions.into_iter().collect(),
                };
                requests.push((broker, Request::StopReplica(request)));
            }
        }
        requests
    }
}

#[cfg(test)]
mod tests;
