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
//! A producer with a `transactional.id` has `transactions` besides, with their requests
//! (`transaction_requests`) and what they cost the sender's thread (`transaction_sender`).
//!
//! Left out: user-defined partitioners and serializers, compression.

mod abort;
mod accumulator;
mod application;
mod batch;
mod expiry;
mod interceptor;
mod partitioner;
mod queues;
mod sender;
#[cfg(test)]
mod tests;
mod transaction_manager;
mod transaction_requests;
mod transaction_sender;
mod transaction_state;
#[cfg(test)]
mod transaction_tests;
mod transactions;

use super::{
    Identity, NewRecord, ProducerCall, ProducerCx, ProducerInput, ProducerReport, ProducerSetup,
    ProducerTimer, ProducerView, QueueView, TransactionCall, fail_record,
};
use crate::client::NetworkClient;
use crate::machine::Input;
use accumulator::{Append, RecordAccumulator};
use acklab_vocab::config::JavaProducerConfig;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{PartitionIndex, TopicId, TopicPartition};
use acklab_vocab::record::{BATCH_OVERHEAD_BYTES, Record};
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::time::{SimDuration, SimTime};
use application::{Task, WaitingCall};
use partitioner::Placement;
use sender::Purpose;
use std::collections::VecDeque;
use transaction_manager::TransactionManager;
use transaction_sender::Hold;
pub use transaction_state::State as ProducerTransactionState;
use transactions::{CallProgress, Transactions};

/// Most bytes that a record can add to its key and value (`DefaultRecord.MAX_RECORD_OVERHEAD` and
/// the lengths of key and value and the count of headers, in a record that is not huge).
const RECORD_OVERHEAD_UPPER_BOUND: u32 = 21 + 4;

/// `transaction.timeout.ms` by default (60 s).
const DEFAULT_TRANSACTION_TIMEOUT: SimDuration = SimDuration::from_secs(60);

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
    /// It has returned: the record is in a batch.
    Returned,
    /// It has returned: the record has failed.
    Failed,
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
    /// What the application has asked for and what has not begun; of a `send()` that is blocked,
    /// its record is first.
    tasks: VecDeque<Task>,
    blocked: Option<BlockedSend>,
    /// The call of the transactional API in which the application waits.
    call: Option<WaitingCall>,
    /// Where the sender's thread waits.
    hold: Hold,
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
        let rules = config.client.rules;
        let bumps_locally = rules.has(ProtocolRule::BumpProducerEpochLocally);
        let timeout = config.transaction_timeout.unwrap_or(DEFAULT_TRANSACTION_TIMEOUT);
        let transactions = setup.transactional_id.map(|id| Transactions::new(id, timeout, rules));
        let idempotent = config.idempotence || transactions.is_some();
        let mut producer = JavaProducer {
            identity: Identity::of(setup),
            config: config.clone(),
            client: NetworkClient::new(&config.client, &setup.bootstrap, config.max_in_flight),
            accumulator: RecordAccumulator::new(config),
            transaction_manager: idempotent
                .then(|| TransactionManager::new(bumps_locally, transactions)),
            tasks: VecDeque::new(),
            blocked: None,
            call: None,
            hold: Hold::None,
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
        let completing = self.transactions().is_some_and(Transactions::is_completing);
        let done = self.tasks.is_empty() && self.call.is_none() && !self.is_held() && !completing;
        done && self.accumulator.incomplete == 0 && answered
    }

    pub(super) fn handle(&mut self, cx: &mut ProducerCx<'_>, input: ProducerInput) {
        self.accumulator.now = cx.now();
        match input {
            Input::Call(ProducerCall::Send { topic, records }) => self.on_send(cx, topic, records),
            Input::Call(ProducerCall::Transaction(call)) => self.on_transaction_call(call),
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
        let asleep = self.hold.is_asleep(cx.now());
        if !asleep {
            self.take_completions(cx);
        }
        loop {
            self.resume_application(cx);
            if asleep {
                break;
            }
            self.client.poll(cx);
            let goes_on = self.run_once(cx) || self.call_has_outcome();
            if !goes_on && !self.aborts_before_close() {
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
        if !self.hold.is_asleep(cx.now()) {
            self.client.wake(cx);
        }
        self.accumulator.refresh_deadline();
    }

    fn arm(&mut self, cx: &mut ProducerCx<'_>) {
        let blocked = self.blocked.map(|blocked| blocked.since + self.config.max_block);
        let call = self.call.map(|call| call.until);
        let application = blocked.into_iter().chain(call).min().unwrap_or(SimTime::NEVER);
        let deadline = match self.hold.is_asleep(cx.now()) {
            true => application.min(self.hold.until()),
            false => application.min(self.sender_deadline()).min(self.client.deadline()),
        };
        // What came due while the sender slept.
        let deadline = deadline.max(cx.now());
        if deadline < self.armed {
            self.armed = deadline;
            cx.set_timer(ProducerTimer::Wake, deadline);
        }
    }

    /// When the sender's thread, awake, has something to do.
    fn sender_deadline(&self) -> SimTime {
        // Nothing is sent, and nothing expires, while it waits for a transactional request, or
        // without the id that an idempotent producer needs.
        let Some(manager) = &self.transaction_manager else { return self.accumulator.deadline() };
        let fatal = manager.transactions.as_ref().is_some_and(Transactions::has_fatal_error);
        if self.is_held() || fatal {
            self.hold.until()
        } else if manager.id().is_some() {
            self.accumulator.deadline()
        } else {
            self.id_retry_at
        }
    }

    /// `close()` has everything answered, and a transaction is open: it is aborted first. Returns
    /// whether that begins now; where it is impossible the producer is closed as it is.
    fn aborts_before_close(&mut self) -> bool {
        if !self.closing || !self.is_idle() {
            return false;
        }
        let id = self.transaction_manager.as_ref().and_then(TransactionManager::id);
        let Some(transactions) = self.transactions_mut() else { return false };
        transactions.has_ongoing_transaction()
            && !transactions.is_completing()
            && matches!(
                transactions.begin_call(id, &TransactionCall::Abort),
                CallProgress::Waits(_)
            )
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
        if self.tasks.is_empty() && self.call.is_none() {
            self.accumulator.sync(self.client.metadata());
            for record in records.by_ref() {
                if !self.send(cx, topic, &record, None) {
                    self.tasks.push_back(Task::Send(topic, record));
                    break;
                }
            }
        }
        self.tasks.extend(records.map(|record| Task::Send(topic, record)));
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
        if let Some(error) = self.transactions().and_then(Transactions::refuses_send) {
            fail_record(cx, topic, record.partition, error, self.identity.record(record));
            return true;
        }
        let partition = match self.try_send(cx, topic, record, blocked.partition) {
            SendProgress::Returned => {
                let partition = self.accumulator.last_partition;
                if let Some(transactions) = self.transactions_mut() {
                    transactions.add_partition(partition);
                }
                return true;
            }
            SendProgress::Failed => return true,
            SendProgress::AwaitsMetadata => None,
            SendProgress::AwaitsMemory(partition) => partition,
        };
        if blocked.since + self.config.max_block <= now {
            let partition = partition.or(record.partition);
            let serialized = self.identity.record(record);
            self.fail_in_send(cx, topic, partition, ErrorCode::Timeout, serialized);
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
            self.fail_in_send(cx, topic, partition, ErrorCode::MessageTooLarge, serialized);
            return SendProgress::Failed;
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

    /// A record fails before it is in a batch, and its transaction with it (KAFKA-9279).
    fn fail_in_send(
        &mut self,
        cx: &mut ProducerCx<'_>,
        topic: TopicId,
        partition: Option<PartitionIndex>,
        error: ErrorCode,
        record: Record,
    ) {
        fail_record(cx, topic, partition, error, record);
        let aborts = self.config.client.rules.has(ProtocolRule::FailedSendAbortsTransaction);
        if let Some(transactions) = self.transactions_mut().filter(|_| aborts) {
            transactions.on_failed_write(error);
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
            transaction: self.transactions().map(Transactions::view),
            queues: queues.collect(),
            blocked: self.unsent_records(),
            blocked_since: self.blocked.map(|blocked| blocked.since),
            buffer_available: self.accumulator.available_memory,
            connections: self.client.connections().collect(),
        }
    }
}
