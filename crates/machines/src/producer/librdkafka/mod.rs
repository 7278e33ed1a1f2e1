//! librdkafka's producer: the library under the clients for C, Python, Go, .NET and others.
//!
//! `produce()` never blocks: it fails at once when the queue is full, and queues otherwise, even
//! for a topic that is not known yet. Each message has its own timeout from then on, and its own
//! retries. A partition's queue keeps the order of `produce()`: messages to be sent again return to
//! their places, so that a lost connection alone reorders nothing; only a batch that overtakes a
//! failed one does. A produce request carries one batch of one partition.
//!
//! Timeouts of messages are looked for once a second. Sources: `rdkafka_msg.c`, `rdkafka_broker.c`,
//! `rdkafka_request.c`, `rdkafka_idempotence.c`.
//!
//! Left out: transactions, `enable.gapless.guarantee`, the check that an idempotent batch is
//! rebuilt whole (messages expire from the head, and the drain that follows gives them new
//! sequences), purging, sparse connections (it connects to brokers as it needs them).

mod idempotence;
mod message;
mod partition;
mod produce;
#[cfg(test)]
mod tests;

use super::{
    Identity, NewRecord, ProducerCall, ProducerCx, ProducerInput, ProducerReport, ProducerSetup,
    ProducerTimer, ProducerView, TransactionFailure, complete, crc32, fail_record, murmur2,
    to_positive,
};
use crate::client::backoff::ExponentialBackoff;
use crate::client::{Completion, NetworkClient};
use crate::machine::Input;
use crate::rng::NodeRng;
use acklab_vocab::config::{LibrdkafkaProducerConfig, Partitioner};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{PartitionIndex, TopicId, TopicPartition};
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::SendOutcome;
use idempotence::IdempotenceState;
use message::{BatchLimits, Message};
use partition::{Readiness, Toppar, Toppars};
use produce::InFlightBatch;
use std::collections::VecDeque;
use std::sync::Arc;

/// What a request of the producer was for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Purpose {
    Produce(InFlightBatch),
    InitProducerId,
}

/// A message for a topic that is not known yet (`RD_KAFKA_PARTITION_UA`).
#[derive(Clone, Debug)]
struct Unassigned {
    topic: TopicId,
    record: NewRecord,
    enqueued_at: SimTime,
}

/// librdkafka's producer.
#[derive(Clone, Debug)]
pub struct LibrdkafkaProducer {
    identity: Identity,
    config: LibrdkafkaProducerConfig,
    client: NetworkClient<Purpose>,
    retry_backoff: ExponentialBackoff,
    toppars: Toppars,
    unassigned: VecDeque<Unassigned>,
    metadata_version: u64,
    /// Messages that are not over, and the bytes of their keys and values.
    queued_messages: u32,
    queued_bytes: u64,
    requests_in_flight: usize,
    idempotence: IdempotenceState,
    /// The error that ended it.
    fatal: Option<ErrorCode>,
    /// When it was started: timeouts of messages are looked for at whole seconds from here.
    started_at: SimTime,
    /// The next look at timeouts that may find one.
    next_scan: SimTime,
    /// `flush()` before `close()`: nothing lingers.
    closing: bool,
    armed: SimTime,
}

/// Between looks at the timeouts of messages.
const SCAN_INTERVAL: SimDuration = SimDuration::from_secs(1);

impl LibrdkafkaProducer {
    pub(super) fn boot(
        cx: &mut ProducerCx<'_>,
        config: &LibrdkafkaProducerConfig,
        setup: &ProducerSetup,
    ) -> Self {
        let mut producer = LibrdkafkaProducer {
            identity: Identity::of(setup),
            config: config.clone(),
            client: NetworkClient::new(&config.client, &setup.bootstrap, config.max_in_flight),
            retry_backoff: ExponentialBackoff::of_retries(&config.client),
            toppars: Toppars::new(),
            unassigned: VecDeque::new(),
            metadata_version: u64::MAX,
            queued_messages: 0,
            queued_bytes: 0,
            requests_in_flight: 0,
            idempotence: IdempotenceState::RequestAt(SimTime(i64::MIN)),
            fatal: None,
            started_at: cx.now(),
            next_scan: SimTime::NEVER,
            closing: false,
            armed: SimTime::NEVER,
        };
        producer.run(cx);
        producer
    }

    pub(super) fn is_idle(&self) -> bool {
        self.queued_messages == 0 && self.requests_in_flight == 0
    }

    pub(super) fn handle(&mut self, cx: &mut ProducerCx<'_>, input: ProducerInput) {
        match input {
            Input::Call(ProducerCall::Send { topic, records }) => {
                self.on_produce_calls(cx, topic, records);
            }
            Input::Call(ProducerCall::Transaction(call)) => {
                // Its transactional API (`rdkafka_txnmgr.c`) is not modelled: it is refused, as
                // without `transactional.id`.
                let failure = Some(TransactionFailure::Fatal(ErrorCode::InvalidTxnState));
                let call = call.kind();
                cx.report(ProducerReport::TransactionCallReturned { call, failure });
            }
            Input::Call(ProducerCall::Close) => self.on_close(cx.now()),
            Input::Response { connection, correlation, response } => {
                self.client.on_response(cx, connection, correlation, response);
            }
            Input::Connected(connection) => self.client.on_connected(connection),
            Input::Closed(connection, _) => self.client.on_closed(cx, connection),
            Input::WriteBlocked(connection) => self.client.on_write_blocked(connection, true),
            Input::WriteResumed(connection) => self.client.on_write_blocked(connection, false),
            Input::Timer(ProducerTimer::Wake) => self.on_wake(cx),
            Input::Request { .. } => unreachable!("nobody connects to a producer"),
            Input::Flushed(_) => unreachable!("a producer has nothing to flush"),
        }
        self.run(cx);
    }

    fn run(&mut self, cx: &mut ProducerCx<'_>) {
        while let Some(Completion { purpose, result, .. }) = self.client.next_completion() {
            match purpose {
                Purpose::Produce(batch) => self.on_produce(cx, batch, result),
                Purpose::InitProducerId => self.on_init_producer_id(cx, result.ok().as_deref()),
            }
        }
        self.client.poll(cx);
        self.sync(cx);
        self.scan_timeouts(cx);
        self.maybe_request_producer_id(cx);
        while self.serve_brokers(cx) {}
        if self.closing && self.is_idle() {
            self.close(cx);
        } else {
            self.arm(cx);
        }
    }

    fn on_wake(&mut self, cx: &mut ProducerCx<'_>) {
        self.armed = SimTime::NEVER;
        self.client.wake(cx);
        self.toppars.refresh_next_ready(cx.now());
    }

    fn arm(&mut self, cx: &mut ProducerCx<'_>) {
        let id_request = match self.idempotence {
            IdempotenceState::RequestAt(at) if self.config.idempotence => at,
            IdempotenceState::RequestAt(_)
            | IdempotenceState::AwaitsAnswer
            | IdempotenceState::Assigned(..)
            | IdempotenceState::Drains(..) => SimTime::NEVER,
        };
        let own = self.toppars.next_ready.min(self.next_scan).min(id_request);
        let deadline = self.client.deadline().min(own);
        if deadline < self.armed {
            self.armed = deadline;
            cx.set_timer(ProducerTimer::Wake, deadline);
        }
    }

    fn on_close(&mut self, now: SimTime) {
        self.closing = true;
        self.update_all_standings(now);
    }

    fn close(&mut self, cx: &mut ProducerCx<'_>) {
        self.closing = false;
        self.client.close(cx);
        if self.armed != SimTime::NEVER {
            self.armed = SimTime::NEVER;
            cx.cancel_timer(ProducerTimer::Wake);
        }
        cx.report(ProducerReport::Closed);
    }

    /// The application calls `produce()` for each record in turn.
    fn on_produce_calls(&mut self, cx: &mut ProducerCx<'_>, topic: TopicId, new: Vec<NewRecord>) {
        self.identity.trace_handed_over(cx, &new);
        self.sync(cx);
        let known = self.client.metadata().partitions(topic).is_some();
        if !known {
            self.client.add_topic(topic);
        }
        for record in new {
            if let Some(error) = self.refuses(&record) {
                fail_record(cx, topic, record.partition, error, self.identity.record(&record));
                continue;
            }
            self.queued_messages += 1;
            self.queued_bytes += u64::from(record.size);
            let message = Unassigned { topic, record, enqueued_at: cx.now() };
            self.note_expiry(cx.now() + self.config.message_timeout);
            if known {
                self.assign_partition(cx, message);
            } else {
                self.unassigned.push_back(message);
            }
        }
    }

    /// Why `produce()` fails at once (`rd_kafka_msg_new0`).
    fn refuses(&self, record: &NewRecord) -> Option<ErrorCode> {
        let wire = self.identity.record(record).size;
        if self.fatal.is_some() {
            return self.fatal;
        }
        if wire > self.config.message_max_bytes {
            return Some(ErrorCode::MessageTooLarge);
        }
        let full = self.queued_messages + 1 > self.config.queue_max_messages
            || self.queued_bytes + u64::from(record.size) > self.config.queue_max_bytes;
        full.then_some(ErrorCode::QueueFull)
    }

    /// Chooses a partition and queues the message there (`rd_kafka_msg_partitioner`,
    /// `rd_kafka_toppar_enq_msg`).
    fn assign_partition(&mut self, cx: &mut ProducerCx<'_>, message: Unassigned) {
        let Unassigned { topic, record, enqueued_at } = message;
        let now = cx.now();
        let serialized = self.identity.record(&record);
        let count = self.toppars.topic(topic).toppars.len();
        let chosen = record
            .partition
            .unwrap_or_else(|| self.place(topic, record.key.as_deref(), now, cx.rng()));
        if usize::from(chosen.0) >= count {
            self.queued_messages -= 1;
            self.queued_bytes -= u64::from(record.size);
            fail_record(cx, topic, Some(chosen), ErrorCode::UnknownTopicOrPartition, serialized);
            return;
        }
        let partition = TopicPartition { topic, partition: chosen };
        let toppar = self.toppars.get(partition);
        toppar.last_msgid += 1;
        toppar.queue_bytes += u64::from(serialized.size);
        toppar.queue.push_back(Message {
            msgid: toppar.last_msgid,
            record: serialized,
            payload: record.size,
            enqueued_at,
            expires_at: enqueued_at + self.config.message_timeout,
            retries: 0,
            backoff_until: SimTime(i64::MIN),
            sends: 0,
            last_msgid: None,
        });
        self.update_standing(partition, now);
    }

    /// The partition of a record without an explicit one: keys hashed, others stick to a random
    /// partition for `sticky.partitioning.linger.ms`.
    fn place(
        &mut self,
        topic: TopicId,
        key: Option<&[u8]>,
        now: SimTime,
        rng: &mut NodeRng,
    ) -> PartitionIndex {
        let toppars = self.toppars.topic(topic);
        let count = toppars.toppars.len() as u32;
        let murmur2_hash = self.config.partitioner == Partitioner::Murmur2Random;
        match key {
            Some(key) if murmur2_hash => PartitionIndex((to_positive(murmur2(key)) % count) as u16),
            Some(key) if !key.is_empty() => PartitionIndex((crc32(key) % count) as u16),
            _ => {
                let linger = self.config.sticky_partitioning_linger;
                let available = |partition: PartitionIndex| {
                    toppars.toppars[usize::from(partition.0)].leader.is_some()
                };
                let holds = |&(partition, since): &(PartitionIndex, SimTime)| {
                    available(partition) && now < since + linger
                };
                if let Some((partition, _)) = toppars.sticky.filter(holds) {
                    return partition;
                }
                let mut drawn = PartitionIndex(rng.below(u64::from(count)) as u16);
                if !available(drawn) {
                    drawn = PartitionIndex(rng.below(u64::from(count)) as u16);
                }
                toppars.sticky = Some((drawn, now));
                drawn
            }
        }
    }

    /// Takes over leaders if the metadata has changed, and finds partitions for messages that
    /// waited for their topic.
    fn sync(&mut self, cx: &mut ProducerCx<'_>) {
        if self.metadata_version == self.client.metadata().version() {
            return;
        }
        self.metadata_version = self.client.metadata().version();
        for topic in self.client.metadata().topics() {
            self.learn_topic(topic);
        }
        self.update_all_standings(cx.now());
        for message in std::mem::take(&mut self.unassigned) {
            if self.client.metadata().partitions(message.topic).is_some() {
                self.assign_partition(cx, message);
            } else {
                self.unassigned.push_back(message);
            }
        }
    }

    fn learn_topic(&mut self, topic: TopicId) {
        let known = self.client.metadata().partitions(topic).unwrap_or_default();
        let toppars = &mut self.toppars.topic(topic).toppars;
        for index in toppars.len()..known.len() {
            let partition = PartitionIndex(index as u16);
            toppars.push(Toppar::new(TopicPartition { topic, partition }));
        }
        for (toppar, leadership) in toppars.iter_mut().zip(known) {
            toppar.leader = leadership.leader;
            toppar.leader_epoch = leadership.leader_epoch;
        }
    }

    /// One round of all broker threads: each partition with a batch that is ready sends one
    /// (`rd_kafka_broker_produce_toppars`). Returns whether anything was sent.
    fn serve_brokers(&mut self, cx: &mut ProducerCx<'_>) -> bool {
        if self.fatal.is_some() || !self.has_producer_id() {
            return false;
        }
        let mut sent = false;
        for broker in self.toppars.ready_brokers(cx.now()) {
            if !self.client.ready(cx, broker) {
                continue;
            }
            for partition in self.toppars.ready_partitions(broker, cx.now()) {
                if !self.client.is_ready(broker, cx.now()) {
                    break;
                }
                sent |= self.send_batch(cx, broker, partition);
            }
        }
        sent
    }

    fn has_producer_id(&self) -> bool {
        let assigned = matches!(self.idempotence, IdempotenceState::Assigned(..));
        assigned || !self.config.idempotence
    }

    /// Fails messages that are out of time in a queue, at whole seconds
    /// (`rd_kafka_broker_toppar_msgq_scan`).
    fn scan_timeouts(&mut self, cx: &mut ProducerCx<'_>) {
        let now = cx.now();
        if now < self.next_scan {
            return;
        }
        self.next_scan = SimTime::NEVER;
        self.scan_unassigned(cx);
        let waiting = self.toppars.all().filter(|toppar| !toppar.queue.is_empty());
        let waiting: Vec<TopicPartition> = waiting.map(|toppar| toppar.partition).collect();
        let mut timed_out = false;
        for partition in waiting {
            let toppar = self.toppars.get(partition);
            let in_time = toppar.queue.iter().position(|message| message.expires_at > now);
            let count = in_time.unwrap_or(toppar.queue.len());
            let expired: Vec<Message> = toppar.queue.drain(..count).collect();
            let bytes: u64 = expired.iter().map(|message| u64::from(message.record.size)).sum();
            toppar.queue_bytes -= bytes;
            let next = toppar.queue.front().map(|head| head.expires_at);
            self.note_expiry(next.unwrap_or(SimTime::NEVER));
            if !expired.is_empty() {
                timed_out = true;
                let outcome = SendOutcome::Failed(ErrorCode::Timeout);
                self.report(cx, partition, &expired, outcome);
                self.update_standing(partition, now);
            }
        }
        if timed_out {
            self.drain_for_epoch_bump();
            self.check_drain_done(cx);
        }
    }

    fn scan_unassigned(&mut self, cx: &mut ProducerCx<'_>) {
        let timeout = self.config.message_timeout;
        while let Some(head) = self.unassigned.front() {
            if head.enqueued_at + timeout > cx.now() {
                self.note_expiry(head.enqueued_at + timeout);
                break;
            }
            if let Some(Unassigned { topic, record, .. }) = self.unassigned.pop_front() {
                self.queued_messages -= 1;
                self.queued_bytes -= u64::from(record.size);
                let outcome = SendOutcome::Failed(ErrorCode::Timeout);
                complete(cx, topic, None, outcome, Arc::new([self.identity.record(&record)]));
            }
        }
    }

    /// The look at timeouts that will find a message expired at `expires_at`.
    fn note_expiry(&mut self, expires_at: SimTime) {
        if expires_at == SimTime::NEVER {
            return;
        }
        let looks = expires_at.since(self.started_at).0.div_ceil(SCAN_INTERVAL.0);
        self.next_scan = self.next_scan.min(self.started_at + SCAN_INTERVAL * looks);
    }

    const fn limits(&self) -> BatchLimits {
        let (batch, message) = (self.config.batch_size, self.config.message_max_bytes);
        BatchLimits {
            messages: self.config.batch_num_messages as usize,
            bytes: if batch < message { batch } else { message },
        }
    }

    fn update_standing(&mut self, partition: TopicPartition, now: SimTime) {
        let linger = if self.closing { SimDuration::ZERO } else { self.config.linger };
        self.toppars.update_standing(partition, Readiness { linger, limits: self.limits(), now });
    }

    fn update_all_standings(&mut self, now: SimTime) {
        let all: Vec<TopicPartition> = self.toppars.all().map(|toppar| toppar.partition).collect();
        for partition in all {
            self.update_standing(partition, now);
        }
    }

    pub(super) fn view(&self) -> ProducerView {
        let id = match self.idempotence {
            IdempotenceState::Assigned(id, epoch) | IdempotenceState::Drains(id, epoch) => {
                Some((id, epoch))
            }
            IdempotenceState::RequestAt(_) | IdempotenceState::AwaitsAnswer => None,
        };
        ProducerView {
            producer_id: id,
            transaction: None,
            queues: self.toppars.all().map(Toppar::view).collect(),
            blocked: self.unassigned.len(),
            blocked_since: self.unassigned.front().map(|message| message.enqueued_at),
            buffer_available: self.config.queue_max_bytes.saturating_sub(self.queued_bytes),
            connections: self.client.connections().collect(),
        }
    }
}
