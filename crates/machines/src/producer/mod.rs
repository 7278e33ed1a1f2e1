//! Producers: the client libraries that turn an application's records into batches at partition
//! leaders.
//!
//! [`java`] is Kafka's own client, [`librdkafka`] the C library under most others; [`scala`] is the
//! client of 0.8. The first two share the connections and the metadata ([`client`](crate::client)) and
//! the hashes of partitioners, all of them what they tell the application and the trace.
//!
//! An application calls [`ProducerCall::Send`] as often as it likes. Its thread may be blocked
//! inside (Java: `max.block.ms`); later records then wait for it, in order.

mod hash;
pub mod java;
pub mod librdkafka;
pub mod scala;
#[cfg(test)]
mod testing;
mod view;

pub use hash::{crc32, murmur2, to_positive};
pub use java::ProducerTransactionState;
pub use view::{BatchView, ProducerTransactionView, ProducerView, QueueView};

use crate::consumer::GroupMembership;
use crate::machine::{Cx, Input, Machine};
use acklab_vocab::api::{Endpoint, OffsetToCommit};
use acklab_vocab::config::ProducerConfig;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{
    BrokerId, PartitionIndex, ProducerIndex, RecordId, TopicId, TopicPartition, TransactionalId,
};
use acklab_vocab::record::{RECORD_OVERHEAD_BYTES, Record};
use acklab_vocab::trace::{SendOutcome, TraceEvent};
use java::JavaProducer;
use librdkafka::LibrdkafkaProducer;
use scala::ScalaProducer;
use smallvec::SmallVec;
use std::sync::Arc;

/// What a producer needs to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerSetup {
    /// Which library, and its properties.
    pub config: Arc<ProducerConfig>,
    /// `bootstrap.servers`
    pub bootstrap: Vec<(BrokerId, Endpoint)>,
    /// Its name.
    pub producer: ProducerIndex,
    /// Which of the instances under this name, from 0.
    pub instance: u16,
    /// How many instances share the name: the distance between its sequences.
    pub stride: u32,
    /// Its `transactional.id`, if it has one.
    pub transactional_id: Option<TransactionalId>,
}

/// A record as the application hands it over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRecord {
    /// Its running number.
    pub sequence: u32,
    /// Its key.
    pub key: Option<SmallVec<[u8; 16]>>,
    /// The partition, if the application chooses it.
    pub partition: Option<PartitionIndex>,
    /// Bytes of key and value.
    pub size: u32,
    /// Which attempt of the application, from 0.
    pub attempt: u16,
}

/// What an application may ask of its producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProducerCall {
    /// `send()`, once per record, in order.
    Send {
        /// Where to.
        topic: TopicId,
        /// What.
        records: Vec<NewRecord>,
    },
    /// A call of the transactional API, answered by [`ProducerReport::TransactionCallReturned`]. One at a time.
    Transaction(TransactionCall),
    /// `close()`: send what is buffered, wait for the answers, then [`ProducerReport::Closed`].
    Close,
}

/// The transactional API of `KafkaProducer` (KIP-98).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransactionCall {
    /// `initTransactions()`
    Init,
    /// `beginTransaction()`: local, returns at once.
    Begin,
    /// `sendOffsetsToTransaction()`
    SendOffsets {
        /// What to commit.
        offsets: Arc<[OffsetToCommit]>,
        /// `consumer.groupMetadata()`; without member and generation nothing is fenced.
        membership: GroupMembership,
    },
    /// `commitTransaction()`: flushes first.
    Commit,
    /// `abortTransaction()`: drops what is buffered.
    Abort,
}

impl TransactionCall {
    /// Which call it is.
    #[must_use]
    pub const fn kind(&self) -> TransactionCallKind {
        match self {
            TransactionCall::Init => TransactionCallKind::Init,
            TransactionCall::Begin => TransactionCallKind::Begin,
            TransactionCall::SendOffsets { .. } => TransactionCallKind::SendOffsets,
            TransactionCall::Commit => TransactionCallKind::Commit,
            TransactionCall::Abort => TransactionCallKind::Abort,
        }
    }
}

/// Which [`TransactionCall`] has returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransactionCallKind {
    /// `initTransactions()`
    Init,
    /// `beginTransaction()`
    Begin,
    /// `sendOffsetsToTransaction()`
    SendOffsets,
    /// `commitTransaction()`
    Commit,
    /// `abortTransaction()`
    Abort,
}

/// How a call of the transactional API fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransactionFailure {
    /// The transaction has to be aborted; then the producer can go on (`CommitFailedException`, a failed send, …).
    Abortable(ErrorCode),
    /// The producer can only be closed: a newer one has its transactional id, or an error it cannot go on from
    /// (`ProducerFencedException`, `InvalidProducerEpochException` …).
    Fatal(ErrorCode),
    /// `max.block.ms` is over (`TimeoutException`): the outcome is open, the call may be repeated.
    Timeout,
}

/// What a producer tells its application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProducerReport {
    /// The callbacks of these records, in order.
    Completed {
        /// Their topic.
        topic: TopicId,
        /// Where they went; `None` if they never got a partition.
        partition: Option<TopicPartition>,
        /// What became of them; the offset is the first record's.
        outcome: SendOutcome,
        /// The records.
        records: Arc<[Record]>,
    },
    /// A call of the transactional API has returned.
    TransactionCallReturned {
        /// Which.
        call: TransactionCallKind,
        /// How it failed, if it did.
        failure: Option<TransactionFailure>,
    },
    /// `close()` has returned; nothing more comes.
    Closed,
}

/// A producer's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProducerTimer {
    /// The earliest of its deadlines: lingering, retries, expiry, timeouts, metadata.
    Wake,
}

/// The context of a producer.
pub type ProducerCx<'a> = Cx<'a, ProducerTimer, ProducerReport>;

/// The input of a producer.
pub type ProducerInput = Input<ProducerTimer, ProducerCall>;

/// A producer of any library.
#[derive(Clone, Debug)]
pub enum Producer {
    /// Kafka's own client.
    Java(Box<JavaProducer>),
    /// The C library.
    Librdkafka(Box<LibrdkafkaProducer>),
    /// The client of 0.8.
    Scala(Box<ScalaProducer>),
}

impl Producer {
    /// Starts a producer: it connects and asks for metadata.
    pub fn boot(cx: &mut ProducerCx<'_>, setup: ProducerSetup) -> Producer {
        match &*Arc::clone(&setup.config) {
            ProducerConfig::Java(config) => {
                Producer::Java(Box::new(JavaProducer::boot(cx, config, &setup)))
            }
            ProducerConfig::Librdkafka(config) => {
                Producer::Librdkafka(Box::new(LibrdkafkaProducer::boot(cx, config, &setup)))
            }
            ProducerConfig::Scala(config) => {
                Producer::Scala(Box::new(ScalaProducer::boot(cx, config, &setup)))
            }
        }
    }

    /// Whether every record that it was given is completed: nothing is buffered, in flight or
    /// blocked.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        match self {
            Producer::Java(producer) => producer.is_idle(),
            Producer::Librdkafka(producer) => producer.is_idle(),
            Producer::Scala(producer) => producer.is_idle(),
        }
    }

    /// Its state, for people.
    #[must_use]
    pub fn view(&self) -> ProducerView {
        match self {
            Producer::Java(producer) => producer.view(),
            Producer::Librdkafka(producer) => producer.view(),
            Producer::Scala(producer) => producer.view(),
        }
    }
}

impl Machine for Producer {
    type Timer = ProducerTimer;
    type Call = ProducerCall;
    type Report = ProducerReport;

    fn handle(&mut self, cx: &mut ProducerCx<'_>, input: ProducerInput) {
        match self {
            Producer::Java(producer) => producer.handle(cx, input),
            Producer::Librdkafka(producer) => producer.handle(cx, input),
            Producer::Scala(producer) => producer.handle(cx, input),
        }
    }
}

/// Who a producer is, to the trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    producer: ProducerIndex,
    stride: u32,
}

impl Identity {
    fn of(setup: &ProducerSetup) -> Self {
        assert!(setup.stride > 0, "at least one instance has the name");
        assert!(u32::from(setup.instance) < setup.stride, "instances are numbered from 0");
        Identity { producer: setup.producer, stride: setup.stride }
    }

    fn record(self, new: &NewRecord) -> Record {
        Record {
            id: RecordId { producer: self.producer, sequence: new.sequence },
            attempt: new.attempt,
            size: new.size + RECORD_OVERHEAD_BYTES,
        }
    }

    /// States what the application has handed over: runs of new records, and records that it sends
    /// again.
    fn trace_handed_over(self, cx: &mut ProducerCx<'_>, records: &[NewRecord]) {
        let follows = |one: &NewRecord, next: &NewRecord| {
            let consecutive = next.sequence == one.sequence.wrapping_add(self.stride);
            (one.attempt == 0 && next.attempt == 0 && consecutive)
                || (one.attempt > 0 && next.attempt > 0)
        };
        for run in records.chunk_by(follows) {
            if run[0].attempt > 0 {
                let records = run.iter().map(|new| self.record(new)).collect();
                cx.trace(|| TraceEvent::RecordsResent { records });
            } else {
                cx.trace(|| TraceEvent::RecordsCreated {
                    producer: self.producer,
                    first: run[0].sequence,
                    stride: self.stride,
                    count: run.len() as u32,
                });
            }
        }
    }
}

/// Tells the application and the trace what became of records.
pub(crate) fn complete(
    cx: &mut ProducerCx<'_>,
    topic: TopicId,
    partition: Option<TopicPartition>,
    outcome: SendOutcome,
    records: Arc<[Record]>,
) {
    let traced = Arc::clone(&records);
    cx.trace(|| TraceEvent::RecordsCompleted { partition, outcome, records: traced });
    cx.report(ProducerReport::Completed { topic, partition, outcome, records });
}

/// Fails one record that never entered a batch.
pub(crate) fn fail_record(
    cx: &mut ProducerCx<'_>,
    topic: TopicId,
    partition: Option<PartitionIndex>,
    error: ErrorCode,
    record: Record,
) {
    let partition = partition.map(|partition| TopicPartition { topic, partition });
    complete(cx, topic, partition, SendOutcome::Failed(error), Arc::new([record]));
}
