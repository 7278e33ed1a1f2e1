//! Produce requests and what their answers mean: `rd_kafka_handle_Produce_error`,
//! `rd_kafka_handle_idempotent_Produce_error`, `rd_kafka_handle_idempotent_Produce_success`.
//!
//! An error is classed by what to do (retry, look for the leader, give up) and by whether the
//! messages may be in the log. Errors that only say «not here» take none of a message's retries.

use super::LibrdkafkaProducer;
use super::idempotence::IdempotenceState;
use super::message::{Message, put_back, take_batch};
use crate::client::Loss;
use crate::producer::{ProducerCx, complete};
use acklab_vocab::api::{
    Acks, PartitionProduce, PartitionProduceResponse, ProduceRequest, Request, Response,
    TransactionSupport,
};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{BaseSequence, BrokerId, TopicPartition};
use acklab_vocab::record::{BATCH_OVERHEAD_BYTES, ProducerBatch, ProducerStamp, Record};
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::{RetryReason, SendOutcome, TraceEvent};
use smallvec::smallvec;
use std::sync::Arc;

/// A batch on the wire: one produce request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct InFlightBatch {
    partition: TopicPartition,
    messages: Vec<Message>,
    records: Arc<[Record]>,
    stamp: Option<ProducerStamp>,
}

/// What an error asks for (`RD_KAFKA_ERR_ACTION_…`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Action {
    retry: bool,
    /// Look for the leader.
    refresh: bool,
    /// The retry takes one of the messages' retries.
    counts: bool,
}

/// What a produce error asks for, without idempotence.
const fn action(error: ErrorCode) -> Action {
    match error {
        ErrorCode::NetworkException | ErrorCode::KafkaStorageError => {
            Action { retry: true, refresh: true, counts: true }
        }
        ErrorCode::UnknownTopicOrPartition
        | ErrorCode::NotLeaderOrFollower
        | ErrorCode::LeaderNotAvailable
        | ErrorCode::CoordinatorNotAvailable
        | ErrorCode::NotCoordinator => Action { retry: true, refresh: true, counts: false },
        ErrorCode::RequestTimedOut
        | ErrorCode::NotEnoughReplicas
        | ErrorCode::NotEnoughReplicasAfterAppend
        | ErrorCode::CorruptMessage
        | ErrorCode::CoordinatorLoadInProgress => {
            Action { retry: true, refresh: false, counts: true }
        }
        // The default of `rd_kafka_err_action`, which knows nothing of errors that come later.
        _ => Action { retry: false, refresh: false, counts: true },
    }
}

impl LibrdkafkaProducer {
    /// Sends the next batch of a partition to its leader (`rd_kafka_ProduceRequest`). Returns
    /// whether there was one.
    pub(super) fn send_batch(
        &mut self,
        cx: &mut ProducerCx<'_>,
        broker: BrokerId,
        partition: TopicPartition,
    ) -> bool {
        let (now, limits) = (cx.now(), self.limits());
        if !self.may_send_under_current_id(partition) {
            return false;
        }
        let toppar = self.toppars.get(partition);
        let mut messages = take_batch(&mut toppar.queue, limits, now);
        let Some(&first) = messages.first() else { return false };
        let bytes: u32 = messages.iter().map(|message| message.record.size).sum();
        let records: Arc<[Record]> = messages.iter().map(|message| message.record).collect();
        let sequences = toppar.sequences;
        let stamp = sequences.id.map(|(id, epoch)| {
            let sequence = (first.msgid - sequences.epoch_base_msgid) & 0x7fff_ffff;
            ProducerStamp { id, epoch, base_sequence: BaseSequence(sequence as u32) }
        });
        toppar.queue_bytes -= u64::from(bytes);
        toppar.messages_in_flight += messages.len() as u32;
        toppar.in_flight.extend(super::message::view(messages.iter().copied()));
        for message in &mut messages {
            message.sends += 1;
        }
        let traced = Arc::clone(&records);
        cx.trace(|| TraceEvent::BatchSent {
            partition,
            broker,
            retry: first.sends,
            records: traced,
        });
        let batch = ProducerBatch {
            transactional: false,
            records: Arc::clone(&records),
            stamp,
            size: BATCH_OVERHEAD_BYTES + bytes,
            max_timestamp: messages.iter().map(|message| message.enqueued_at).max().unwrap_or(now),
        };
        let acks = self.config.acks;
        let request = Request::Produce(ProduceRequest {
            transactional_id: None,
            transaction_support: TransactionSupport::default(),
            acks,
            timeout: self.config.broker_timeout,
            partitions: smallvec![PartitionProduce { partition, batch }],
        });
        let in_flight = InFlightBatch { partition, messages, records, stamp };
        match acks {
            Acks::None => {
                self.client.send_without_response(cx, broker, request);
                self.succeed(cx, in_flight, None);
            }
            Acks::Leader | Acks::All => {
                self.requests_in_flight += 1;
                let timeout = request_timeout(first, self.client.request_timeout(), now);
                let purpose = super::Purpose::Produce(in_flight);
                self.client.send_for(cx, broker, request, purpose, timeout);
            }
        }
        self.update_standing(partition, now);
        true
    }

    /// A produce request is over.
    pub(super) fn on_produce(
        &mut self,
        cx: &mut ProducerCx<'_>,
        batch: InFlightBatch,
        result: Result<Box<Response>, Loss>,
    ) {
        self.requests_in_flight -= 1;
        let answer = match &result {
            Ok(response) => match &**response {
                Response::Produce(produce) => Ok(produce.partitions[0]),
                other => unreachable!("answered a produce request with {other:?}"),
            },
            Err(loss) => Err(*loss),
        };
        match answer {
            Ok(answer) => self.on_answer(cx, batch, answer),
            Err(loss) => self.on_error(cx, batch, loss.error(), loss.reason()),
        }
    }

    fn on_answer(
        &mut self,
        cx: &mut ProducerCx<'_>,
        batch: InFlightBatch,
        answer: PartitionProduceResponse,
    ) {
        let partition = batch.partition;
        if let Some(leader) = answer.current_leader
            && self.config.client.rules.has(ProtocolRule::LeaderInErrorResponse)
        {
            self.client.update_leadership(partition, leader);
        }
        if answer.error.is_none() {
            self.succeed(cx, batch, answer.base_offset);
        } else {
            self.on_error(cx, batch, answer.error, RetryReason::Error(answer.error));
        }
    }

    fn succeed(
        &mut self,
        cx: &mut ProducerCx<'_>,
        batch: InFlightBatch,
        base_offset: Option<acklab_vocab::ids::Offset>,
    ) {
        self.leave_flight(&batch);
        let partition = batch.partition;
        if let Some(stamp) = batch.stamp {
            self.acknowledge_sequences(cx, partition, stamp, &batch.messages);
        }
        self.forget(&batch.messages);
        let outcome = SendOutcome::Acked(base_offset);
        complete(cx, partition.topic, Some(partition), outcome, batch.records);
        self.update_standing(partition, cx.now());
        self.check_drain_done(cx);
    }

    /// Accounts for an acknowledged batch. Earlier messages that wait to be sent again must be in
    /// the log too, or the broker would have refused this batch (`rd_kafka_dr_implicit_ack`).
    fn acknowledge_sequences(
        &mut self,
        cx: &mut ProducerCx<'_>,
        partition: TopicPartition,
        stamp: ProducerStamp,
        messages: &[Message],
    ) {
        let (Some(first), Some(last)) = (messages.first(), messages.last()) else { return };
        let next = stamp.base_sequence.plus(messages.len() as u32).0;
        let sequences = &mut self.toppars.get(partition).sequences;
        let skipped = sequences.acked_msgid < first.msgid - 1;
        let unexpected = !skipped
            && stamp.base_sequence.0 != sequences.next_ack
            && stamp.base_sequence.0 == sequences.next_err;
        sequences.acked_msgid = sequences.acked_msgid.max(last.msgid);
        if unexpected {
            sequences.next_err = next;
            self.fail_fatally(cx, ErrorCode::OutOfOrderSequenceNumber);
            return;
        }
        if sequences.next_err == sequences.next_ack {
            sequences.next_err = next;
        }
        sequences.next_ack = next;
        if skipped {
            let toppar = self.toppars.get(partition);
            let count = toppar.queue.partition_point(|message| message.msgid <= last.msgid);
            let implied: Vec<Message> = toppar.queue.drain(..count).collect();
            self.report(cx, partition, &implied, SendOutcome::Acked(None));
        }
    }

    fn on_error(
        &mut self,
        cx: &mut ProducerCx<'_>,
        mut batch: InFlightBatch,
        error: ErrorCode,
        reason: RetryReason,
    ) {
        self.leave_flight(&batch);
        let partition = batch.partition;
        let mut action = action(error);
        if let Some(stamp) = batch.stamp {
            let count = batch.messages.len() as u32;
            if let Some(last) = batch.messages.last().map(|last| last.msgid) {
                batch.messages[0].last_msgid = Some(last);
            }
            match self.idempotent_verdict(partition, stamp, error, &batch.messages) {
                IdempotentVerdict::Class => {}
                IdempotentVerdict::Persisted => {
                    let sequences = &mut self.toppars.get(partition).sequences;
                    let next = stamp.base_sequence.plus(count).0;
                    (sequences.next_ack, sequences.next_err) = (next, next);
                    self.forget(&batch.messages);
                    let outcome = SendOutcome::Acked(None);
                    complete(cx, partition.topic, Some(partition), outcome, batch.records);
                    self.update_standing(partition, cx.now());
                    self.check_drain_done(cx);
                    return;
                }
                IdempotentVerdict::RetryUnderNewEpoch => {
                    action = Action { retry: true, refresh: false, counts: false };
                    self.drain_for_epoch_bump();
                }
                IdempotentVerdict::OldId => {
                    action = Action { retry: false, refresh: false, counts: true };
                }
                IdempotentVerdict::Fatal => self.fail_fatally(cx, error),
            }
            let sequences = &mut self.toppars.get(partition).sequences;
            sequences.next_err = stamp.base_sequence.plus(count).0;
        }
        if action.refresh {
            self.client.request_update();
        }
        let failed = if action.retry {
            self.retry(cx, &batch, action.counts, reason)
        } else {
            batch.messages.clone()
        };
        if !failed.is_empty() {
            if batch.stamp.is_some() && !action.retry {
                self.drain_for_epoch_bump();
            }
            let error =
                if error == ErrorCode::RequestTimedOut && reason == RetryReason::RequestTimeout {
                    ErrorCode::Timeout
                } else {
                    error
                };
            self.report(cx, partition, &failed, SendOutcome::Failed(error));
        }
        self.update_standing(partition, cx.now());
        self.check_drain_done(cx);
    }

    /// Puts the messages that have retries left back to their places, each with its own backoff
    /// (`rd_kafka_retry_msgq`). Returns the others.
    fn retry(
        &mut self,
        cx: &mut ProducerCx<'_>,
        batch: &InFlightBatch,
        counts: bool,
        reason: RetryReason,
    ) -> Vec<Message> {
        let taken = u32::from(counts);
        let (retries, now) = (self.config.retries, cx.now());
        let (mut again, failed): (Vec<Message>, Vec<Message>) =
            batch.messages.iter().partition(|message| message.retries + taken <= retries);
        if again.is_empty() {
            return failed;
        }
        for message in &mut again {
            message.retries += taken;
        }
        let attempts = again[0].retries.saturating_sub(1);
        let backoff = self.retry_backoff.backoff(attempts, cx.rng());
        let partition = batch.partition;
        let records = if failed.is_empty() {
            Arc::clone(&batch.records)
        } else {
            again.iter().map(|message| message.record).collect()
        };
        for message in &mut again {
            message.backoff_until = now + backoff;
        }
        cx.trace(|| TraceEvent::BatchRetried { partition, reason, records });
        let toppar = self.toppars.get(partition);
        let bytes: u64 = again.iter().map(|message| u64::from(message.record.size)).sum();
        toppar.queue_bytes += bytes;
        toppar.sequences.waits_for_drain |= batch.stamp.is_some();
        let earliest = again[0].expires_at.max(now);
        put_back(&mut toppar.queue, again);
        self.note_expiry(earliest);
        failed
    }

    /// What idempotence makes of an error (`rd_kafka_handle_idempotent_Produce_error`).
    fn idempotent_verdict(
        &mut self,
        partition: TopicPartition,
        stamp: ProducerStamp,
        error: ErrorCode,
        messages: &[Message],
    ) -> IdempotentVerdict {
        let sequences = self.toppars.get(partition).sequences;
        if sequences.id != Some((stamp.id, stamp.epoch)) {
            return IdempotentVerdict::OldId;
        }
        let base = stamp.base_sequence.0;
        match error {
            ErrorCode::OutOfOrderSequenceNumber if base > sequences.next_ack => {
                IdempotentVerdict::RetryUnderNewEpoch
            }
            ErrorCode::OutOfOrderSequenceNumber => IdempotentVerdict::Fatal,
            ErrorCode::DuplicateSequenceNumber => IdempotentVerdict::Persisted,
            ErrorCode::UnknownProducerId => {
                let first_try = messages.first().is_some_and(|first| first.retries == 0);
                if first_try && sequences.next_err == base {
                    IdempotentVerdict::RetryUnderNewEpoch
                } else {
                    IdempotentVerdict::Fatal
                }
            }
            _ => IdempotentVerdict::Class,
        }
    }

    fn leave_flight(&mut self, batch: &InFlightBatch) {
        let toppar = self.toppars.get(batch.partition);
        toppar.messages_in_flight -= batch.messages.len() as u32;
        let first = batch.messages.first().map(|first| first.record.id.sequence);
        let shown = toppar.in_flight.iter().position(|shown| Some(shown.first) == first);
        if let Some(place) = shown {
            toppar.in_flight.remove(place);
        }
    }

    /// Tells the application about messages that it waits for, and makes room in the queue.
    pub(super) fn report(
        &mut self,
        cx: &mut ProducerCx<'_>,
        partition: TopicPartition,
        messages: &[Message],
        outcome: SendOutcome,
    ) {
        if messages.is_empty() {
            return;
        }
        self.forget(messages);
        let records = messages.iter().map(|message| message.record).collect();
        complete(cx, partition.topic, Some(partition), outcome, records);
    }

    /// Messages are over: they no longer count towards the queue's limits
    /// (`rd_kafka_curr_msgs_sub`).
    fn forget(&mut self, messages: &[Message]) {
        self.queued_messages -= messages.len() as u32;
        let bytes: u64 = messages.iter().map(|message| u64::from(message.payload)).sum();
        self.queued_bytes -= bytes;
    }

    /// Under the id that is current; a partition changes over to a new one when nothing of it is in
    /// flight (`rd_kafka_toppar_pid_change`).
    fn may_send_under_current_id(&mut self, partition: TopicPartition) -> bool {
        if !self.config.idempotence {
            return true;
        }
        let IdempotenceState::Assigned(id, epoch) = self.idempotence else { return false };
        let toppar = self.toppars.get(partition);
        if toppar.sequences.waits_for_drain {
            if toppar.messages_in_flight > 0 {
                return false;
            }
            toppar.sequences.waits_for_drain = false;
        }
        if toppar.sequences.id != Some((id, epoch)) {
            let Some(head) = toppar.queue.front().filter(|_| toppar.messages_in_flight == 0) else {
                return false;
            };
            toppar.sequences.id = Some((id, epoch));
            toppar.sequences.epoch_base_msgid = head.msgid;
            (toppar.sequences.next_ack, toppar.sequences.next_err) = (0, 0);
        }
        toppar.messages_in_flight < MESSAGES_IN_FLIGHT_MAX
    }
}

/// What idempotence makes of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum IdempotentVerdict {
    /// Nothing: the class of the error decides.
    Class,
    /// The messages are in the log.
    Persisted,
    /// They are not; they are sent again under the next epoch.
    RetryUnderNewEpoch,
    /// They were sent under an id that has been given up: nobody can say.
    OldId,
    /// Nobody can go on without risking duplicates or gaps.
    Fatal,
}

/// How long an answer may take: `socket.timeout.ms`, but not beyond the first message's own
/// timeout, and 100 ms if that is over.
fn request_timeout(first: Message, socket_timeout: SimDuration, now: SimTime) -> SimDuration {
    let left = first.expires_at.since(now);
    let grace = SimDuration::from_millis(100);
    socket_timeout.min(if left == SimDuration::ZERO { grace } else { left })
}

/// `RD_KAFKA_IDEMP_MAX_INFLIGHT`. librdkafka means requests, yet compares it with the messages of
/// the partition in flight.
const MESSAGES_IN_FLIGHT_MAX: u32 = 5;
