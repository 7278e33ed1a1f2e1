//! The thread that sends: `Sender`.
//!
//! One turn asks for a producer id if one is missing, takes the batches of every broker that is
//! ready and connected, lets expire what is out of time, and sends one request per broker. An
//! answer, or the loss of a connection, completes each batch of the request: success, failure, or
//! back into its deque.
//!
//! As in Kafka, nothing is sent and nothing expires while the producer waits for its id.

use super::JavaProducer;
use super::accumulator::DrainedBatches;
use super::batch::BatchId;
use super::transaction_manager::IdRequest;
use super::transaction_sender::Turn;
use crate::client::{Completion, Loss};
use crate::producer::{ProducerCx, complete};
use acklab_vocab::api::{
    Acks, CurrentLeader, InitProducerIdRequest, InitProducerIdResponse, PartitionProduce,
    ProduceRequest, ProduceResponse, Request, Response,
};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{BrokerId, Offset, TopicPartition};
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::{RetryReason, SendOutcome, TraceEvent};
use smallvec::SmallVec;

/// What a request of the producer was for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To append these batches, one per partition.
    Produce(SmallVec<[BatchId; 2]>),
    /// To get a producer id.
    InitProducerId,
    /// What the transactions have in flight.
    Transactional,
}

/// The answer for one batch.
#[derive(Clone, Copy, Debug)]
struct BatchResponse {
    error: ErrorCode,
    base_offset: Option<Offset>,
    /// Why it would be sent again.
    reason: RetryReason,
}

impl BatchResponse {
    const SUCCESS: BatchResponse = BatchResponse {
        error: ErrorCode::None,
        base_offset: None,
        reason: RetryReason::Disconnected,
    };

    const fn lost(loss: Loss) -> Self {
        BatchResponse { error: loss.error(), base_offset: None, reason: loss.reason() }
    }
}

impl JavaProducer {
    /// Takes every finished request (`handleProduceResponse`).
    pub(super) fn take_completions(&mut self, cx: &mut ProducerCx<'_>) {
        while let Some(Completion { purpose, result, .. }) = self.client.next_completion() {
            let batches = match purpose {
                Purpose::InitProducerId => {
                    self.on_init_producer_id(cx, result.ok().as_deref());
                    continue;
                }
                Purpose::Transactional => {
                    self.on_transactional_completion(cx, result.as_deref().map_err(|loss| *loss));
                    continue;
                }
                Purpose::Produce(batches) => batches,
            };
            self.requests_in_flight -= 1;
            match result.as_deref() {
                Ok(Response::Produce(answer)) => self.on_produce(cx, &batches, answer),
                Ok(other) => unreachable!("answered a produce request with {other:?}"),
                Err(&loss) => {
                    for id in batches {
                        self.complete_batch(cx, id, BatchResponse::lost(loss));
                    }
                }
            }
        }
    }

    /// One turn of the sender (`runOnce`). Returns whether it sent or expired anything.
    pub(super) fn run_once(&mut self, cx: &mut ProducerCx<'_>) -> bool {
        if let Some(manager) = &mut self.transaction_manager {
            manager.maybe_resolve_sequences();
        }
        if self.transactions().is_some() {
            return match self.run_transactional(cx) {
                Turn::Over(progressed) => progressed,
                Turn::Batches => self.send_producer_data(cx),
            };
        }
        if let Some(manager) = &mut self.transaction_manager {
            let bumped = manager.bump_epoch_if_needed(&mut self.accumulator.batches);
            let id = manager.id();
            if let Some((producer_id, producer_epoch)) = id.filter(|_| bumped) {
                cx.trace(|| TraceEvent::ProducerIdAssigned { producer_id, producer_epoch });
            }
            if id.is_none() {
                self.request_producer_id(cx);
                return false;
            }
        }
        self.send_producer_data(cx)
    }

    /// Asks any broker for a producer id (`InitProducerIdHandler`).
    fn request_producer_id(&mut self, cx: &mut ProducerCx<'_>) {
        let Some(manager) = &mut self.transaction_manager else { return };
        let IdRequest::Due(at) = manager.id_request else { return };
        if at > cx.now() {
            self.id_retry_at = at;
            return;
        }
        self.id_retry_at = SimTime::NEVER;
        let Some(broker) = self.client.least_loaded(cx) else {
            self.id_retry_at = cx.now() + self.config.client.retry_backoff;
            return;
        };
        if self.client.ready(cx, broker) {
            manager.id_request = IdRequest::InFlight;
            let request = Request::InitProducerId(InitProducerIdRequest {
                transactional: None,
                current: None,
            });
            self.client.send(cx, broker, request, Purpose::InitProducerId);
        }
    }

    fn on_init_producer_id(&mut self, cx: &mut ProducerCx<'_>, response: Option<&Response>) {
        let Some(manager) = &mut self.transaction_manager else { return };
        match response {
            Some(&Response::InitProducerId(InitProducerIdResponse {
                error: ErrorCode::None,
                producer_id,
                producer_epoch,
            })) => {
                manager.assign_id(producer_id, producer_epoch);
                cx.trace(|| TraceEvent::ProducerIdAssigned { producer_id, producer_epoch });
            }
            Some(Response::InitProducerId(_)) | None => {
                manager.id_request = IdRequest::Due(cx.now() + self.config.client.retry_backoff);
            }
            Some(other) => unreachable!("answered InitProducerId with {other:?}"),
        }
    }

    /// Drains, expires and sends (`sendProducerData`).
    fn send_producer_data(&mut self, cx: &mut ProducerCx<'_>) -> bool {
        self.accumulator.sync(self.client.metadata());
        if self.accumulator.has_leaderless() {
            self.client.request_update();
        }
        let mut requests: SmallVec<[(BrokerId, DrainedBatches); 4]> = SmallVec::new();
        for broker in self.accumulator.ready_nodes() {
            if self.client.ready(cx, broker) {
                let manager = self.transaction_manager.as_mut();
                let batches = self.accumulator.drain(broker, manager);
                if !batches.is_empty() {
                    requests.push((broker, batches));
                }
            }
        }
        if self.guarantees_message_order() {
            for &id in requests.iter().flat_map(|(_, batches)| batches) {
                let partition = self.accumulator.batches[id].partition;
                self.accumulator.set_muted(partition, true);
            }
        }
        let expired = self.expire_batches(cx);
        let sent = !requests.is_empty();
        for (broker, batches) in requests {
            self.send_produce_request(cx, broker, batches);
        }
        sent || expired
    }

    fn expire_batches(&mut self, cx: &mut ProducerCx<'_>) -> bool {
        let expired = self.accumulator.expired();
        for &id in &expired {
            let batch = &self.accumulator.batches[id];
            let (partition, in_retry) = (batch.partition, batch.attempts > 0);
            let waited = !self.accumulator.queue(partition).in_flight.contains(&id);
            self.fail_batch(cx, id, ErrorCode::Timeout, false);
            if in_retry && let Some(manager) = &mut self.transaction_manager {
                manager.mark_unresolved(&self.accumulator.batches, id);
            }
            if waited {
                self.accumulator.batches.release(id);
            }
        }
        !expired.is_empty()
    }

    fn send_produce_request(
        &mut self,
        cx: &mut ProducerCx<'_>,
        broker: BrokerId,
        batches: DrainedBatches,
    ) {
        let mut partitions = SmallVec::new();
        let transactions = self.transactions().map(|it| (it.id, it.support()));
        for &id in &batches {
            let batch = &mut self.accumulator.batches[id];
            let (partition, retry, records) = (batch.partition, batch.sends, batch.records());
            batch.sends += 1;
            cx.trace(|| TraceEvent::BatchSent { partition, broker, retry, records });
            let batch = batch.producer_batch(transactions.is_some());
            partitions.push(PartitionProduce { partition, batch });
        }
        let acks = self.config.acks;
        let timeout = self.config.client.request_timeout;
        let request = Request::Produce(ProduceRequest {
            transactional_id: transactions.map(|(id, _)| id),
            transaction_support: transactions.map(|(_, support)| support).unwrap_or_default(),
            acks,
            timeout,
            partitions,
        });
        match acks {
            Acks::None => {
                self.client.send_without_response(cx, broker, request);
                for id in batches {
                    self.complete_batch(cx, id, BatchResponse::SUCCESS);
                }
            }
            Acks::Leader | Acks::All => {
                self.requests_in_flight += 1;
                self.client.send(cx, broker, request, Purpose::Produce(batches));
            }
        }
    }

    fn on_produce(
        &mut self,
        cx: &mut ProducerCx<'_>,
        batches: &[BatchId],
        response: &ProduceResponse,
    ) {
        assert_eq!(response.partitions.len(), batches.len(), "one answer per partition");
        let mut leaders: SmallVec<[(TopicPartition, CurrentLeader); 2]> = SmallVec::new();
        for (&id, answer) in batches.iter().zip(&response.partitions) {
            let named = matches!(
                answer.error,
                ErrorCode::NotLeaderOrFollower | ErrorCode::FencedLeaderEpoch
            );
            if let Some(leader) = answer.current_leader.filter(|_| named) {
                leaders.push((answer.partition, leader));
            }
            let (error, base_offset) = (answer.error, answer.base_offset);
            let reason = RetryReason::Error(error);
            self.complete_batch(cx, id, BatchResponse { error, base_offset, reason });
        }
        if self.config.client.rules.has(ProtocolRule::LeaderInErrorResponse) {
            for (partition, leader) in leaders {
                self.client.update_leadership(partition, leader);
            }
        }
    }

    /// Completes, retries, splits or fails one batch of a finished request (`completeBatch`).
    fn complete_batch(&mut self, cx: &mut ProducerCx<'_>, id: BatchId, response: BatchResponse) {
        let batch = &self.accumulator.batches[id];
        let (partition, count, done) = (batch.partition, batch.count(), batch.done);
        let attempts_left = batch.attempts < self.config.retries;
        let error = response.error;
        if error == ErrorCode::MessageTooLarge && count > 1 && !done {
            self.split_batch(cx, id, response.reason);
        } else if error.is_none() {
            self.succeed(cx, id, response.base_offset);
        } else if self.can_retry(id, error) {
            self.reenqueue_batch(cx, id, response.reason);
        } else if error == ErrorCode::DuplicateSequenceNumber {
            self.succeed(cx, id, None);
        } else if error.is_retriable() && self.has_given_up_id(id) {
            self.fail_batch(cx, id, ErrorCode::OutOfOrderSequenceNumber, false);
            self.accumulator.batches.release(id);
        } else {
            self.fail_batch(cx, id, error, attempts_left);
            self.accumulator.batches.release(id);
        }
        if error.invalidates_metadata() {
            self.client.request_update();
        }
        if self.guarantees_message_order() {
            self.accumulator.set_muted(partition, false);
        }
    }

    /// Whether a batch may be sent again (`canRetry`).
    fn can_retry(&mut self, id: BatchId, error: ErrorCode) -> bool {
        let batch = &self.accumulator.batches[id];
        let timeout = self.config.delivery_timeout;
        let expired =
            timeout.is_some_and(|timeout| batch.created + timeout <= self.accumulator.now);
        if expired || batch.attempts >= self.config.retries || batch.done {
            return false;
        }
        match &mut self.transaction_manager {
            Some(manager) => manager.can_retry(&mut self.accumulator.batches, id, error),
            None => error.is_retriable(),
        }
    }

    fn has_given_up_id(&self, id: BatchId) -> bool {
        let manager = self.transaction_manager.as_ref();
        manager.is_some_and(|manager| manager.has_given_up(&self.accumulator.batches, id))
    }

    fn succeed(&mut self, cx: &mut ProducerCx<'_>, id: BatchId, base_offset: Option<Offset>) {
        if let Some(manager) = &mut self.transaction_manager {
            manager.completed(&self.accumulator.batches, id);
        }
        self.tell(cx, id, SendOutcome::Acked(base_offset));
        self.accumulator.batches.release(id);
    }

    /// Fails a batch for good (`failBatch`). A batch that is in flight stays known until its
    /// request is over.
    fn fail_batch(
        &mut self,
        cx: &mut ProducerCx<'_>,
        id: BatchId,
        error: ErrorCode,
        adjusts_sequences: bool,
    ) {
        if self.accumulator.batches[id].done {
            return;
        }
        self.tell(cx, id, SendOutcome::Failed(error));
        if let Some(manager) = &mut self.transaction_manager {
            manager.failed(&mut self.accumulator.batches, id, error, adjusts_sequences);
        }
    }

    /// Tells the application the outcome of a batch, unless it knows one already.
    pub(super) fn tell(&mut self, cx: &mut ProducerCx<'_>, id: BatchId, outcome: SendOutcome) {
        let batch = &mut self.accumulator.batches[id];
        if !batch.done {
            let (partition, records) = (batch.partition, batch.records());
            complete(cx, partition.topic, Some(partition), outcome, records);
            self.accumulator.complete(id);
        }
    }

    fn reenqueue_batch(&mut self, cx: &mut ProducerCx<'_>, id: BatchId, reason: RetryReason) {
        let batch = &mut self.accumulator.batches[id];
        let (partition, records) = (batch.partition, batch.records());
        cx.trace(|| TraceEvent::BatchRetried { partition, reason, records });
        let in_order = self.transaction_manager.is_some();
        self.accumulator.reenqueue(id, in_order, cx.rng());
    }

    fn split_batch(&mut self, cx: &mut ProducerCx<'_>, id: BatchId, reason: RetryReason) {
        let batch = &mut self.accumulator.batches[id];
        let (partition, records) = (batch.partition, batch.records());
        cx.trace(|| TraceEvent::BatchRetried { partition, reason, records });
        let mut manager = self.transaction_manager.as_mut();
        if let Some(manager) = &mut manager {
            manager.remove_in_flight(partition, id);
        }
        self.accumulator.split_and_reenqueue(id, manager);
        self.accumulator.batches.release(id);
    }

    /// One request in flight: nothing is sent to a partition that waits for an answer
    /// (`guaranteeMessageOrder`).
    const fn guarantees_message_order(&self) -> bool {
        self.config.max_in_flight == 1
    }
}
