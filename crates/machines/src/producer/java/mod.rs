//! The Java producer: `KafkaProducer`, from `send()` to the callback.
//!
//! The application's thread: metadata ([`client`](crate::client)) → `interceptor` → `partitioner` →
//! `accumulator`. The sender's thread: `sender` with the `transaction_manager`. In Kafka the two
//! run side by side; here a call of `send()` is finished before the sender's next turn, so that
//! records handed over together share a batch.
//!
//! `send()` may block up to `max.block.ms`, for metadata or for room in `buffer.memory`. The
//! application has one thread, so later records wait in order, and the clock of each starts when
//! the one before it is through.
//!
//! Left out: transactions, user-defined partitioners and serializers, compression.

mod accumulator;
mod batch;
mod expiry;
mod interceptor;
mod partitioner;
mod queues;
mod sender;
#[cfg(test)]
mod tests;
mod transaction_manager;

use super::{
    Identity, NewRecord, ProducerCall, ProducerCx, ProducerInput, ProducerReport, ProducerSetup,
    ProducerTimer, ProducerView, QueueView, fail_record,
};
use crate::client::NetworkClient;
use crate::machine::Input;
use accumulator::{Append, RecordAccumulator};
use acklab_vocab::config::JavaProducerConfig;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{PartitionIndex, TopicId, TopicPartition};
use acklab_vocab::record::BATCH_OVERHEAD_BYTES;
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::time::SimTime;
use partitioner::Placement;
use sender::Purpose;
use std::collections::VecDeque;
use transaction_manager::TransactionManager;

/// Most bytes that a record can add to its key and value (`DefaultRecord.MAX_RECORD_OVERHEAD` and
/// the lengths of key and value and the count of headers, in a record that is not huge).
const RECORD_OVERHEAD_UPPER_BOUND: u32 = 21 + 4;

/// The application's thread inside `send()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct BlockedSend {
    /// When this `send()` began.
    since: SimTime,
    /// The partition, if it was already chosen.
    partition: Option<PartitionIndex>,
}

/// How far a `send()` came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SendProgress {
    /// It has returned.
    Returned,
    /// It waits for the topic to appear in the metadata.
    AwaitsMetadata,
    /// It waits for memory for a batch; the partition, if it has been chosen for good.
    AwaitsMemory(Option<PartitionIndex>),
}

/// Kafka's own producer.
#[derive(Clone, Debug)]
pub struct JavaProducer {
    identity: Identity,
    config: JavaProducerConfig,
    client: NetworkClient<Purpose>,
    accumulator: RecordAccumulator,
    /// Of an idempotent producer.
    transaction_manager: Option<TransactionManager>,
    /// Records whose `send()` has not returned: the first is blocked in it, the others have not
    /// begun.
    unsent: VecDeque<(TopicId, NewRecord)>,
    blocked: Option<BlockedSend>,
    /// When to ask again for a producer id.
    id_retry_at: SimTime,
    /// Produce requests that wait for an answer.
    requests_in_flight: usize,
    /// `close()` was called and has not returned.
    closing: bool,
    /// For when the timer is set; [`SimTime::NEVER`] if it is not.
    armed: SimTime,
}

impl JavaProducer {
    pub(super) fn boot(
        cx: &mut ProducerCx<'_>,
        config: &JavaProducerConfig,
        setup: &ProducerSetup,
    ) -> Self {
        let bumps_locally = config.client.rules.has(ProtocolRule::BumpProducerEpochLocally);
        let mut producer = JavaProducer {
            identity: Identity::of(setup),
            config: config.clone(),
            client: NetworkClient::new(&config.client, &setup.bootstrap, config.max_in_flight),
            accumulator: RecordAccumulator::new(config),
            transaction_manager: config.idempotence.then(|| TransactionManager::new(bumps_locally)),
            unsent: VecDeque::new(),
            blocked: None,
            id_retry_at: SimTime::NEVER,
            requests_in_flight: 0,
            closing: false,
            armed: SimTime::NEVER,
        };
        producer.accumulator.now = cx.now();
        producer.run(cx);
        producer
    }

    pub(super) fn is_idle(&self) -> bool {
        let answered = self.requests_in_flight == 0;
        self.unsent.is_empty() && self.accumulator.incomplete == 0 && answered
    }

    pub(super) fn handle(&mut self, cx: &mut ProducerCx<'_>, input: ProducerInput) {
        self.accumulator.now = cx.now();
        match input {
            Input::Call(ProducerCall::Send { topic, records }) => self.on_send(cx, topic, records),
            // To come.
            Input::Call(ProducerCall::Transaction(_)) => {}
            Input::Call(ProducerCall::Close) => self.closing = true,
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

    /// Lets both threads go on until nothing moves, then sets the timer.
    fn run(&mut self, cx: &mut ProducerCx<'_>) {
        self.take_completions(cx);
        loop {
            self.resume_sends(cx);
            self.client.poll(cx);
            if !self.run_once(cx) {
                break;
            }
        }
        if self.closing && self.is_idle() {
            self.close(cx);
        } else {
            self.arm(cx);
        }
    }

    fn on_wake(&mut self, cx: &mut ProducerCx<'_>) {
        self.armed = SimTime::NEVER;
        self.client.wake(cx);
        self.accumulator.refresh_deadline();
    }

    fn arm(&mut self, cx: &mut ProducerCx<'_>) {
        let blocked = self.blocked.map(|blocked| blocked.since + self.config.max_block);
        // Nothing is sent, and nothing expires, without the id that an idempotent producer needs.
        let may_send = self.transaction_manager.as_ref().is_none_or(|it| it.id().is_some());
        let waiting = if may_send { self.accumulator.deadline() } else { self.id_retry_at };
        let deadline = self.client.deadline().min(waiting).min(blocked.unwrap_or(SimTime::NEVER));
        if deadline < self.armed {
            self.armed = deadline;
            cx.set_timer(ProducerTimer::Wake, deadline);
        }
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

    /// The application calls `send()` for each record in turn.
    fn on_send(&mut self, cx: &mut ProducerCx<'_>, topic: TopicId, records: Vec<NewRecord>) {
        self.identity.trace_handed_over(cx, &records);
        let mut records = records.into_iter();
        if self.unsent.is_empty() {
            self.accumulator.sync(self.client.metadata());
            for record in records.by_ref() {
                if !self.send(cx, topic, &record, None) {
                    self.unsent.push_back((topic, record));
                    break;
                }
            }
        }
        self.unsent.extend(records.map(|record| (topic, record)));
    }

    /// The application's thread goes on where it was blocked.
    fn resume_sends(&mut self, cx: &mut ProducerCx<'_>) {
        while let Some((topic, record)) = self.unsent.pop_front() {
            self.accumulator.sync(self.client.metadata());
            let blocked = self.blocked.take();
            if !self.send(cx, topic, &record, blocked) {
                self.unsent.push_front((topic, record));
                break;
            }
        }
        let awaits_memory = self.blocked.is_some_and(|_| self.first_unsent_has_metadata());
        self.accumulator.flushing = self.closing || awaits_memory;
    }

    fn first_unsent_has_metadata(&self) -> bool {
        let first = self.unsent.front();
        first.is_some_and(|(topic, record)| self.knows_partition(*topic, record.partition))
    }

    /// One `send()`, begun now or at `blocked.since`. Returns whether it has returned.
    fn send(
        &mut self,
        cx: &mut ProducerCx<'_>,
        topic: TopicId,
        record: &NewRecord,
        blocked: Option<BlockedSend>,
    ) -> bool {
        let now = cx.now();
        let blocked = blocked.unwrap_or(BlockedSend { since: now, partition: None });
        let partition = match self.try_send(cx, topic, record, blocked.partition) {
            SendProgress::Returned => return true,
            SendProgress::AwaitsMetadata => None,
            SendProgress::AwaitsMemory(partition) => partition,
        };
        if blocked.since + self.config.max_block <= now {
            let partition = partition.or(record.partition);
            fail_record(cx, topic, partition, ErrorCode::Timeout, self.identity.record(record));
            return true;
        }
        self.blocked = Some(BlockedSend { partition, ..blocked });
        false
    }

    /// `KafkaProducer.doSend`, as far as it comes without waiting.
    fn try_send(
        &mut self,
        cx: &mut ProducerCx<'_>,
        topic: TopicId,
        record: &NewRecord,
        chosen: Option<PartitionIndex>,
    ) -> SendProgress {
        if !self.knows_partition(topic, record.partition) {
            self.client.add_topic(topic);
            self.client.request_update();
            return SendProgress::AwaitsMetadata;
        }
        let intercepted = interceptor::on_send(record);
        let upper_bound = BATCH_OVERHEAD_BYTES + RECORD_OVERHEAD_UPPER_BOUND + record.size;
        let placement = match chosen.or(record.partition) {
            Some(partition) => Placement::Partition(partition),
            None => {
                let queues = self.accumulator.topic(topic);
                let key = intercepted.key.as_deref();
                queues.partitioner.place(key, &queues.cluster, cx.rng())
            }
        };
        let serialized = self.identity.record(intercepted);
        let too_large = upper_bound > self.config.max_request_size
            || u64::from(upper_bound) > self.config.buffer_memory;
        if too_large {
            let partition = match placement {
                Placement::Partition(partition) => Some(partition),
                Placement::BuiltIn => None,
            };
            fail_record(cx, topic, partition, ErrorCode::MessageTooLarge, serialized);
            return SendProgress::Returned;
        }
        match placement {
            Placement::Partition(partition) => {
                let first_time = chosen.is_none();
                self.append_to(cx, topic, partition, intercepted, upper_bound, first_time)
            }
            Placement::BuiltIn => {
                match self.accumulator.append_sticky(topic, serialized, upper_bound, cx.rng()) {
                    Append::Appended => SendProgress::Returned,
                    Append::NoMemory => SendProgress::AwaitsMemory(None),
                    Append::NeedsNewBatch => unreachable!("the built-in partitioner is no class"),
                }
            }
        }
    }

    /// Appends to a partition that was chosen. A partitioner class is told of a new batch, and
    /// asked once more.
    fn append_to(
        &mut self,
        cx: &mut ProducerCx<'_>,
        topic: TopicId,
        partition: PartitionIndex,
        record: &NewRecord,
        upper_bound: u32,
        first_time: bool,
    ) -> SendProgress {
        let rules = self.config.client.rules;
        let serialized = self.identity.record(record);
        let asks_again = rules.has(ProtocolRule::PartitionAgainForNewBatch)
            && self.accumulator.topic(topic).partitioner.is_class();
        let mut target = TopicPartition { topic, partition };
        let aborts = asks_again && first_time;
        let mut outcome = self.accumulator.append(target, serialized, upper_bound, aborts);
        if outcome == Append::NeedsNewBatch {
            let queues = self.accumulator.topic(topic);
            queues.partitioner.on_new_batch(partition, &queues.cluster, cx.rng());
            if record.partition.is_none() {
                let key = record.key.as_deref();
                match queues.partitioner.place(key, &queues.cluster, cx.rng()) {
                    Placement::Partition(partition) => target.partition = partition,
                    Placement::BuiltIn => unreachable!("the built-in partitioner is no class"),
                }
            }
            outcome = self.accumulator.append(target, serialized, upper_bound, false);
        }
        match outcome {
            Append::Appended => SendProgress::Returned,
            Append::NoMemory => SendProgress::AwaitsMemory(Some(target.partition)),
            Append::NeedsNewBatch => unreachable!("asked only once"),
        }
    }

    fn knows_partition(&self, topic: TopicId, partition: Option<PartitionIndex>) -> bool {
        let known = self.client.metadata().partitions(topic);
        known.is_some_and(|known| {
            let wanted = partition.map_or(0, |partition| usize::from(partition.0));
            wanted < known.len()
        })
    }

    pub(super) fn view(&self) -> ProducerView {
        let batches = &self.accumulator.batches;
        let partitions = self.accumulator.topics.iter().flat_map(|topic| &topic.partitions);
        let queues = partitions.map(|queue| QueueView {
            partition: queue.partition,
            leader: queue.leader,
            leader_epoch: queue.leader_epoch,
            queued: queue.deque.iter().map(|&id| batches[id].view()).collect(),
            in_flight: queue.in_flight.iter().map(|&id| batches[id].view()).collect(),
            muted: queue.muted,
        });
        ProducerView {
            producer_id: self.transaction_manager.as_ref().and_then(TransactionManager::id),
            queues: queues.collect(),
            blocked: self.unsent.len(),
            blocked_since: self.blocked.map(|blocked| blocked.since),
            buffer_available: self.accumulator.available_memory,
            connections: self.client.connections().collect(),
        }
    }
}
