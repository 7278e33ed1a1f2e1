//! What the controller tells a broker: LeaderAndIsr, UpdateMetadata, StopReplica.
//!
//! Mirrors `KafkaApis.handleLeaderAndIsrRequest` and its kin,
//! `ReplicaManager.becomeLeaderOrFollower`, `stopReplicas` and `maybeUpdateMetadataCache`. A broker
//! obeys whoever has the newest controller epoch that it has heard of. Left out: deletion of topics
//! and replicas, and the leader epochs that StopReplica carries from 2.6 on.

use crate::broker::{Broker, BrokerCx, Requester};
use acklab_vocab::api::{
    ControlResponse, LeaderAndIsrRequest, LeaderAndIsrResponse, Request, Response,
    StopReplicaRequest, UpdateMetadataRequest,
};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{BrokerEpoch, BrokerId, ControllerEpoch, LeaderEpoch};
use acklab_vocab::metadata_log::PartitionState;
use acklab_vocab::rules::ProtocolRule;

/// What a LeaderAndIsr request is answered for a partition; `NONE`: it is obeyed. `known`: the
/// epoch in which the broker leads or follows; `None` if it does neither yet.
fn partition_error(own: BrokerId, known: Option<LeaderEpoch>, state: &PartitionState) -> ErrorCode {
    if known.is_some_and(|known| state.leader_epoch <= known) {
        ErrorCode::StaleControllerEpoch
    } else if !state.replicas.contains(&own) {
        ErrorCode::UnknownTopicOrPartition
    } else {
        ErrorCode::None
    }
}

impl Broker {
    /// A request that only a broker in ZooKeeper mode knows.
    pub(in crate::broker) fn on_zookeeper_mode_request(
        &mut self,
        cx: &mut BrokerCx<'_>,
        requester: Requester,
        request: Request,
    ) {
        match request {
            Request::LeaderAndIsr(control) => {
                let response = self.become_leader_or_follower(cx, control);
                requester.answer(cx, Response::LeaderAndIsr(response));
            }
            Request::UpdateMetadata(control) => {
                let error = self.update_metadata(cx, &control);
                requester.answer(cx, Response::UpdateMetadata(ControlResponse { error }));
            }
            Request::StopReplica(control) => {
                let error = self.stop_replicas(&control);
                requester.answer(cx, Response::StopReplica(ControlResponse { error }));
            }
            Request::AlterPartition(_)
            | Request::ControlledShutdown(_)
            | Request::AllocateProducerIds(_) => self.on_controller_request(cx, requester, request),
            _ => cx.close(requester.connection),
        }
    }

    /// Whether a control request is to be obeyed; if so, its controller's epoch is the newest.
    ///
    /// # Errors
    /// - STALE_BROKER_EPOCH: it is meant for an earlier life of this broker (KIP-380).
    /// - STALE_CONTROLLER_EPOCH: there is a newer controller.
    fn obey(
        &mut self,
        epoch: ControllerEpoch,
        meant_for: Option<BrokerEpoch>,
    ) -> Result<(), ErrorCode> {
        let fences = self.shared.has(ProtocolRule::FenceByBrokerEpoch);
        let is_stale = meant_for.is_some_and(|meant| Some(meant) < self.shared.broker_epoch);
        if fences && is_stale {
            return Err(ErrorCode::StaleBrokerEpoch);
        }
        let membership = self.membership.zookeeper();
        if epoch < membership.controller_epoch {
            return Err(ErrorCode::StaleControllerEpoch);
        }
        membership.controller_epoch = epoch;
        Ok(())
    }

    fn become_leader_or_follower(
        &mut self,
        cx: &mut BrokerCx<'_>,
        request: LeaderAndIsrRequest,
    ) -> LeaderAndIsrResponse {
        let epoch = request.controller_epoch;
        if let Err(error) = self.obey(epoch, request.broker_epoch) {
            return LeaderAndIsrResponse { error, partitions: Vec::new() };
        }
        let mut partitions = Vec::with_capacity(request.partitions.len());
        let mut states = Vec::new();
        for state in request.partitions {
            let slot = self.replicas.slot(state.partition);
            let hosted = slot.map(|slot| &self.replicas[slot]).filter(|it| it.is_hosted());
            let known = hosted.map(|partition| partition.leader_epoch);
            let error = partition_error(self.shared.id, known, &state);
            partitions.push((state.partition, error));
            if !error.is_none() {
                continue;
            }
            let slot = slot.unwrap_or_else(|| self.open_log(cx, state.partition));
            // A broker follows only a leader that is alive, as far as it knows.
            let leader = state.leader;
            let is_alive = |leader: BrokerId| !self.shared.image.is_fenced(leader);
            if leader == Some(self.shared.id) || leader.is_some_and(is_alive) {
                self.replicas[slot].controller_epoch = epoch;
                states.push(state);
            }
        }
        self.apply_partition_states(cx, states);
        if !std::mem::replace(&mut self.membership.zookeeper().checkpoints_high_watermarks, true) {
            self.start_high_watermark_checkpoints(cx);
        }
        LeaderAndIsrResponse { error: ErrorCode::None, partitions }
    }

    fn update_metadata(
        &mut self,
        cx: &mut BrokerCx<'_>,
        request: &UpdateMetadataRequest,
    ) -> ErrorCode {
        if let Err(error) = self.obey(request.controller_epoch, request.broker_epoch) {
            return error;
        }
        self.shared.image.update(&request.live_brokers, &request.partitions);
        self.membership.zookeeper().known_controller = Some(request.controller);
        self.on_controller_known(cx);
        ErrorCode::None
    }

    fn stop_replicas(&mut self, request: &StopReplicaRequest) -> ErrorCode {
        if let Err(error) = self.obey(request.controller_epoch, request.broker_epoch) {
            return error;
        }
        for &partition in &request.partitions {
            self.stop_fetching(partition);
        }
        ErrorCode::None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use acklab_vocab::ids::{BrokerList, PartitionEpoch, TopicPartition};

    #[track_caller]
    fn check(known: Option<u32>, replicas: &[u16], epoch: u32, expected: ErrorCode) {
        let state = PartitionState {
            partition: TopicPartition::new(0, 0),
            replicas: replicas.iter().map(|&id| BrokerId(id)).collect(),
            isr: BrokerList::new(),
            eligible: BrokerList::new(),
            leader: Some(BrokerId(2)),
            leader_epoch: LeaderEpoch(epoch),
            partition_epoch: PartitionEpoch(0),
            recovering: false,
        };
        assert_eq!(partition_error(BrokerId(1), known.map(LeaderEpoch), &state), expected);
    }

    #[test]
    fn only_newer_leader_epochs_are_obeyed() {
        check(None, &[1, 2], 0, ErrorCode::None);
        check(Some(3), &[1, 2], 4, ErrorCode::None);
        check(Some(3), &[1, 2], 3, ErrorCode::StaleControllerEpoch);
        check(Some(3), &[1, 2], 2, ErrorCode::StaleControllerEpoch);
        check(None, &[2, 3], 0, ErrorCode::UnknownTopicOrPartition);
        check(Some(3), &[2, 3], 3, ErrorCode::StaleControllerEpoch);
    }
}
