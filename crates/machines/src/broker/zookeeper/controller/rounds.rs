//! How an event of the controller asks ZooKeeper and waits: a round of requests, answered together.
//!
//! Mirrors `KafkaZkClient.retryRequestsUntilConnected` and `ZooKeeperClient.handleRequests`:
//! requests are pipelined, as many as `zookeeper.max.in.flight.requests` allows. Before 1.1
//! (`ZkUtils` on I0Itec's `ZkClient`) each waits for the one before. What is lost with a connection
//! is asked again by [`Broker::zookeeper_submit`]; what is lost with the session, only before 1.1.
//! Writes are bound to the controller's epoch by a multi with a check of `/controller_epoch`
//! (KAFKA-6082).

use super::ControllerPurpose;
use super::steps::Then;
use crate::broker::zookeeper::ZooKeeperPurpose;
use crate::broker::{Broker, BrokerCx};
use acklab_vocab::api::{ZooKeeperOperation, ZooKeeperReply, ZooKeeperRequest};
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::zookeeper::{ZooKeeperError, paths};

/// What became of a request.
pub(super) type Answer = Result<ZooKeeperReply, ZooKeeperError>;

/// `zookeeper.max.in.flight.requests`
const MAX_IN_FLIGHT: usize = 10;

/// Requests that the current event waits for.
#[derive(Debug)]
pub(super) struct Round {
    number: u64,
    requests: Vec<ZooKeeperRequest>,
    answers: Vec<Option<Answer>>,
    /// Indices of requests that are to be sent, in order.
    unsent: Vec<usize>,
    in_flight: usize,
    fenced: bool,
    then: Then,
}

/// The controller epoch in ZooKeeper is not this controller's (`ControllerMovedException`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ControllerMoved;

impl Broker {
    /// Asks, and goes on with `then` when every request is answered.
    pub(super) fn ask_zookeeper(
        &mut self,
        cx: &mut BrokerCx<'_>,
        operations: Vec<ZooKeeperOperation>,
        then: Then,
    ) {
        let requests = operations.into_iter().map(ZooKeeperRequest::Operation).collect();
        self.begin_round(cx, requests, false, then);
    }

    /// Writes as the controller of an epoch.
    pub(super) fn write_as_controller(
        &mut self,
        cx: &mut BrokerCx<'_>,
        operations: Vec<ZooKeeperOperation>,
        then: Then,
    ) {
        if !self.shared.has(ProtocolRule::FenceControllerWrites) {
            return self.ask_zookeeper(cx, operations, then);
        }
        let version = self.zookeeper_controller().context.epoch_version;
        let fence = |operation| {
            let check = ZooKeeperOperation::Check { path: paths::controller_epoch(), version };
            ZooKeeperRequest::Multi(vec![check, operation])
        };
        let requests = operations.into_iter().map(fence).collect();
        self.begin_round(cx, requests, true, then);
    }

    /// Asks for several writes, all or none.
    pub(super) fn ask_zookeeper_together(
        &mut self,
        cx: &mut BrokerCx<'_>,
        operations: Vec<ZooKeeperOperation>,
        then: Then,
    ) {
        self.begin_round(cx, vec![ZooKeeperRequest::Multi(operations)], false, then);
    }

    fn begin_round(
        &mut self,
        cx: &mut BrokerCx<'_>,
        requests: Vec<ZooKeeperRequest>,
        fenced: bool,
        then: Then,
    ) {
        if requests.is_empty() {
            return self.continue_event(cx, then, Vec::new());
        }
        let controller = self.zookeeper_controller();
        assert!(controller.round.is_none(), "one round at a time");
        controller.rounds += 1;
        controller.round = Some(Round {
            number: controller.rounds,
            answers: requests.iter().map(|_| None).collect(),
            unsent: (0..requests.len()).rev().collect(),
            requests,
            in_flight: 0,
            fenced,
            then,
        });
        self.send_round(cx);
    }

    /// Sends what may be sent.
    fn send_round(&mut self, cx: &mut BrokerCx<'_>) {
        let pipelined = self.shared.has(ProtocolRule::ControllerWritesInBatches);
        let limit = if pipelined { MAX_IN_FLIGHT } else { 1 };
        loop {
            let Some(round) = &mut self.zookeeper_controller().round else { return };
            if round.in_flight == limit {
                return;
            }
            let Some(index) = round.unsent.pop() else { return };
            round.in_flight += 1;
            let request = round.requests[index].clone();
            let purpose = ControllerPurpose { round: round.number, index };
            self.zookeeper_submit(cx, request, ZooKeeperPurpose::Controller(purpose));
        }
    }

    /// ZooKeeper has answered, or the client library has failed a request of the controller's.
    pub(in crate::broker) fn on_controller_reply(
        &mut self,
        cx: &mut BrokerCx<'_>,
        purpose: ControllerPurpose,
        result: Answer,
    ) {
        let Some(round) = &mut self.zookeeper_controller().round else { return };
        if round.number != purpose.round {
            return;
        }
        round.in_flight -= 1;
        round.answers[purpose.index] = Some(result);
        if round.answers.iter().all(Option::is_some) {
            self.end_round(cx);
            self.run_controller(cx);
        } else {
            self.send_round(cx);
        }
    }

    fn end_round(&mut self, cx: &mut BrokerCx<'_>) {
        let Some(round) = self.zookeeper_controller().round.take() else { return };
        let answers: Vec<Answer> = round.answers.into_iter().flatten().collect();
        if answers.iter().any(|answer| matches!(answer, Err(ZooKeeperError::SessionExpired))) {
            return self.fail_event(cx);
        }
        let answers = if round.fenced {
            match answers.into_iter().map(unfence).collect() {
                Ok(answers) => answers,
                Err(ControllerMoved) => return self.on_controller_moved(cx),
            }
        } else {
            answers
        };
        self.continue_event(cx, round.then, answers);
    }
}

/// Takes the check of the controller epoch out of an answer
/// (`unwrapResponseWithControllerEpochCheck`).
pub(super) fn unfence(answer: Answer) -> Result<Answer, ControllerMoved> {
    match answer {
        Ok(ZooKeeperReply::Multi(mut replies)) => {
            Ok(replies.pop().ok_or(ZooKeeperError::RuntimeInconsistency))
        }
        Ok(ZooKeeperReply::MultiFailed { operation: 0, .. }) => Err(ControllerMoved),
        Ok(ZooKeeperReply::MultiFailed { error, .. }) => Ok(Err(error)),
        other => Ok(other),
    }
}
