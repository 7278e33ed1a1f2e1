//! What brokers ask of the controller: another ISR, a controlled shutdown, producer ids.
//!
//! Mirrors `doControlledShutdown`, `processAlterPartition` and `processAllocateProducerIds`
//! (`ZkProducerIdManager`). A request that waits in the queue when the session expires is dropped
//! without an answer, but for ControlledShutdown.

use super::alter_partition::{self, Proposal, partition_answer};
use super::election::Strategy;
use super::rounds::{Answer, ControllerMoved};
use super::steps::{IsrsWritten, QueuedAlter, Scope, Step, Then, ToAnswer};
use crate::broker::{Broker, BrokerCx, Requester};
use acklab_vocab::api::{
    AllocateProducerIdsRequest, AllocateProducerIdsResponse, AlterPartitionResponse,
    ControlledShutdownRequest, ControlledShutdownResponse, KnownController, PartitionAlterResponse,
    Response, ZooKeeperOperation, ZooKeeperReply,
};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{BrokerId, ControllerId, PartitionEpoch, ProducerId, TopicPartition};
use acklab_vocab::trace::PartitionChangeReason;
use acklab_vocab::zookeeper::{ZnodeData, ZooKeeperError, paths};

/// `ProducerIdsBlock.PRODUCER_ID_BLOCK_SIZE`
const PRODUCER_ID_BLOCK: u32 = 1000;

impl Broker {
    fn known_controller(&mut self) -> KnownController {
        let controller = self.zookeeper_controller();
        let leader = controller.active.map(|broker| ControllerId(broker.0));
        KnownController { leader, epoch: controller.epoch().unwrap_or_default() }
    }

    /// Answers the request of the event that has failed; `false` if nobody waits.
    pub(super) fn answer_failure(
        &mut self,
        cx: &mut BrokerCx<'_>,
        moved: Option<ControllerMoved>,
    ) -> bool {
        let known = self.known_controller();
        match self.zookeeper_controller().to_answer.take() {
            None => return false,
            Some(ToAnswer::ControlledShutdown(requester)) => {
                let error = match moved {
                    Some(ControllerMoved) => ErrorCode::StaleControllerEpoch,
                    None => ErrorCode::UnknownServerError,
                };
                refuse_controlled_shutdown(cx, requester, error);
            }
            Some(ToAnswer::AlterPartition(requester)) => {
                let answer = alter_partition::refusal(ErrorCode::UnknownServerError, known);
                requester.answer(cx, Response::AlterPartition(answer));
            }
            Some(ToAnswer::ProducerIds(requester)) => {
                let answer = refused_producer_ids(ErrorCode::UnknownServerError, known);
                requester.answer(cx, Response::AllocateProducerIds(answer));
            }
        }
        true
    }

    // ---- controlled shutdown --------------------------------------------------------------------

    pub(super) fn move_leaders_away(
        &mut self,
        cx: &mut BrokerCx<'_>,
        requester: Requester,
        request: ControlledShutdownRequest,
    ) {
        if !self.is_controller() {
            return refuse_controlled_shutdown(cx, requester, ErrorCode::StaleControllerEpoch);
        }
        let context = &mut self.zookeeper_controller().context;
        let id = request.broker;
        let Some(known) = context.brokers.get(&id) else {
            return refuse_controlled_shutdown(cx, requester, ErrorCode::UnknownServerError);
        };
        if request.broker_epoch.is_some_and(|epoch| epoch < known.epoch) {
            return refuse_controlled_shutdown(cx, requester, ErrorCode::StaleBrokerEpoch);
        }
        context.shutting_down.insert(id);
        let mut led = context.partitions_on(id);
        led.retain(|partition| {
            context.replicas(*partition).len() > 1 && context.leadership.contains_key(partition)
        });
        let leads = |it: &TopicPartition| context.leadership[it].state.leader == Some(id);
        let (led, followed): (Vec<_>, Vec<_>) = led.into_iter().partition(leads);
        self.zookeeper_controller().to_answer = Some(ToAnswer::ControlledShutdown(requester));
        let reason = PartitionChangeReason::ControlledShutdown;
        let mut steps = Vec::new();
        for group in self.in_groups(led) {
            steps.extend(self.election_steps(group, Strategy::ControlledShutdown, reason));
            steps.push(Step::SendBatch);
        }
        let following = |group| Step::StopFollowing(id, group);
        steps.extend(self.in_groups(followed).into_iter().map(following));
        steps.push(Step::AnswerControlledShutdown(id));
        self.do_first(steps);
    }

    /// The broker stops fetching first, and leaves the ISRs then.
    pub(super) fn stop_following(
        &mut self,
        cx: &mut BrokerCx<'_>,
        broker: BrokerId,
        partitions: Vec<TopicPartition>,
    ) {
        for partition in &partitions {
            self.zookeeper_controller().batch.add_stop_replica(broker, *partition);
        }
        self.send_control_batch(cx);
        let reason = PartitionChangeReason::ControlledShutdown;
        let mut steps = self.offline_steps(broker, partitions, reason);
        steps.push(Step::SendBatch);
        self.do_first(steps);
    }

    pub(super) fn answer_controlled_shutdown(&mut self, cx: &mut BrokerCx<'_>, broker: BrokerId) {
        let controller = self.zookeeper_controller();
        let remaining = controller.context.led_by(broker);
        if let Some(ToAnswer::ControlledShutdown(requester)) = controller.to_answer.take() {
            let answer = ControlledShutdownResponse { error: ErrorCode::None, remaining };
            requester.answer(cx, Response::ControlledShutdown(answer));
        }
    }

    // ---- ISRs -----------------------------------------------------------------------------------

    pub(super) fn begin_alter_partition(&mut self, cx: &mut BrokerCx<'_>, alter: QueuedAlter) {
        let QueuedAlter { requester, request } = alter;
        let known = self.known_controller();
        let rules = self.shared.config.rules;
        let error = if self.is_controller() {
            alter_partition::refuse_request(&self.zookeeper_controller().context, &request)
        } else {
            Some(ErrorCode::NotController)
        };
        if let Some(error) = error {
            let answer = alter_partition::refusal(error, known);
            return requester.answer(cx, Response::AlterPartition(answer));
        }
        let mut states = Vec::new();
        let mut answers = Vec::new();
        for alter in &request.partitions {
            let context = &self.zookeeper_controller().context;
            match alter_partition::judge(context, request.broker, alter, rules) {
                Proposal::Refused(error) => {
                    answers.push(partition_answer(alter.partition, Err(error)));
                }
                Proposal::AlreadySo(state) => {
                    answers.push(partition_answer(alter.partition, Ok(&state)));
                }
                Proposal::Accepted(state) => states.push(state),
            }
        }
        self.zookeeper_controller().to_answer = Some(ToAnswer::AlterPartition(requester));
        let reason = PartitionChangeReason::AlterPartition;
        let writes = states.iter().map(|state| self.write_of(state, reason)).collect();
        let partitions = request.partitions.iter().map(|alter| alter.partition).collect();
        let written = Box::new(IsrsWritten { partitions, states, answers });
        self.write_as_controller(cx, writes, Then::IsrsWritten(written));
    }

    /// What was written is read again before anybody is told, and the leader is answered last.
    pub(super) fn on_isrs_written(
        &mut self,
        cx: &mut BrokerCx<'_>,
        written: IsrsWritten,
        results: Vec<Answer>,
    ) {
        let IsrsWritten { partitions, states, mut answers } = written;
        let mut done = Vec::new();
        for (mut state, result) in states.into_iter().zip(results) {
            let partition = state.partition;
            answers.push(match result {
                Ok(ZooKeeperReply::Stat(stat)) => {
                    state.partition_epoch = PartitionEpoch(stat.version);
                    done.push(partition);
                    partition_answer(partition, Ok(&state))
                }
                Err(ZooKeeperError::BadVersion) => {
                    partition_answer(partition, Err(ErrorCode::InvalidUpdateVersion))
                }
                _ => partition_answer(partition, Err(ErrorCode::UnknownServerError)),
            });
        }
        answers.sort_by_key(|answer| answer.partition);
        let scope = Scope::Partitions(partitions);
        self.do_first([
            Step::SendMetadata { to: None, partitions: scope },
            Step::AnswerAlterPartition(answers),
        ]);
        self.read_states(cx, &done, Then::IsrsRead);
    }

    pub(super) fn answer_alter_partition(
        &mut self,
        cx: &mut BrokerCx<'_>,
        partitions: Vec<PartitionAlterResponse>,
    ) {
        let controller = self.known_controller();
        if let Some(ToAnswer::AlterPartition(requester)) =
            self.zookeeper_controller().to_answer.take()
        {
            let answer = AlterPartitionResponse { error: ErrorCode::None, partitions, controller };
            requester.answer(cx, Response::AlterPartition(answer));
        }
    }

    // ---- producer ids ---------------------------------------------------------------------------

    pub(super) fn begin_allocate_producer_ids(
        &mut self,
        cx: &mut BrokerCx<'_>,
        requester: Requester,
        request: AllocateProducerIdsRequest,
    ) {
        let known = self.known_controller();
        let error = if self.is_controller() {
            match self.zookeeper_controller().context.brokers.get(&request.broker) {
                None => Some(ErrorCode::BrokerIdNotRegistered),
                Some(there) if there.epoch != request.broker_epoch => {
                    Some(ErrorCode::StaleBrokerEpoch)
                }
                Some(_) => None,
            }
        } else {
            Some(ErrorCode::NotController)
        };
        match error {
            Some(error) => {
                let answer = refused_producer_ids(error, known);
                requester.answer(cx, Response::AllocateProducerIds(answer));
            }
            None => {
                self.zookeeper_controller().to_answer = Some(ToAnswer::ProducerIds(requester));
                self.do_first([Step::TakeProducerIds]);
            }
        }
    }

    pub(super) fn read_producer_ids(&mut self, cx: &mut BrokerCx<'_>) {
        let read = ZooKeeperOperation::GetData { path: paths::producer_id_block(), watch: false };
        self.ask_zookeeper(cx, vec![read], Then::ProducerIdsRead);
    }

    pub(super) fn on_producer_ids_read(&mut self, cx: &mut BrokerCx<'_>, answers: &[Answer]) {
        let (first, version) = match answers {
            [Ok(ZooKeeperReply::Data(ZnodeData::ProducerIds { next }, stat))] => {
                (*next, stat.version)
            }
            [Ok(ZooKeeperReply::Data(_, stat))] => (ProducerId(0), stat.version),
            _ => return self.fail_event(cx),
        };
        let write = ZooKeeperOperation::SetData {
            path: paths::producer_id_block(),
            data: ZnodeData::ProducerIds {
                next: ProducerId(first.0 + u64::from(PRODUCER_ID_BLOCK)),
            },
            version: Some(version),
        };
        self.ask_zookeeper(cx, vec![write], Then::ProducerIdsTaken(first));
    }

    pub(super) fn on_producer_ids_taken(
        &mut self,
        cx: &mut BrokerCx<'_>,
        first: ProducerId,
        answers: &[Answer],
    ) {
        if !matches!(answers, [Ok(_)]) {
            // Somebody else was faster.
            return self.do_first([Step::TakeProducerIds]);
        }
        let controller = self.known_controller();
        if let Some(ToAnswer::ProducerIds(requester)) = self.zookeeper_controller().to_answer.take()
        {
            let answer = AllocateProducerIdsResponse {
                error: ErrorCode::None,
                first,
                count: PRODUCER_ID_BLOCK,
                controller,
            };
            requester.answer(cx, Response::AllocateProducerIds(answer));
        }
    }
}

pub(super) fn refuse_controlled_shutdown(
    cx: &mut BrokerCx<'_>,
    requester: Requester,
    error: ErrorCode,
) {
    let answer = ControlledShutdownResponse { error, remaining: Vec::new() };
    requester.answer(cx, Response::ControlledShutdown(answer));
}

fn refused_producer_ids(
    error: ErrorCode,
    controller: KnownController,
) -> AllocateProducerIdsResponse {
    AllocateProducerIdsResponse { error, first: ProducerId(0), count: 0, controller }
}
