//! A bench for one producer: it answers by hand, and says what the producer did in short lines.
//!
//! `c0 produce p0[1-2]` is a produce request on connection 0 with records 1 and 2 for partition 0;
//! idempotent, with producer epoch and base sequence, `p0[1-2]@0:1`, and in a transaction
//! `p0[1-2]t@0:1`. Its timer goes off by itself as time passes.

use super::{
    NewRecord, Producer, ProducerCall, ProducerInput, ProducerReport, ProducerSetup, ProducerTimer,
    TransactionCall, TransactionFailure,
};
use crate::client::testing::endpoint;
use crate::disk::Disk;
use crate::machine::{Cx, Effect, Input, Machine, Outbox};
use crate::rng::NodeRng;
use acklab_vocab::api::{
    Acks, AddOffsetsToTxnResponse, AddPartitionsToTxnResponse, CoordinatorKey, CurrentLeader,
    EndTxnResponse, FindCoordinatorResponse, Frame, InitProducerIdRequest, InitProducerIdResponse,
    MetadataResponse, OffsetCommitResponse, PartitionMetadata, PartitionProduceResponse,
    ProduceResponse, Request, Response,
};
use acklab_vocab::config::{
    ClientConfig, JavaProducerConfig, LibrdkafkaProducerConfig, Partitioner, ProducerConfig,
};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{
    BrokerId, BrokerList, ConnectionId, CorrelationId, LeaderEpoch, NodeId, Offset, PartitionIndex,
    ProducerEpoch, ProducerId, ProducerIndex, TopicId, TopicPartition, TransactionalId,
};
use acklab_vocab::record::Record;
use acklab_vocab::rules::ProtocolRules;
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::{CloseReason, RetryReason, SendOutcome, TraceEvent};
use acklab_vocab::version::KafkaVersion;
use std::collections::VecDeque;
use std::sync::Arc;

pub(super) const fn millis(millis: u64) -> SimDuration {
    SimDuration::from_millis(millis)
}

/// Waits without jitter: the maximum of each backoff is its beginning.
pub(super) fn client(version: KafkaVersion) -> ClientConfig {
    ClientConfig {
        rules: ProtocolRules::of(version),
        request_timeout: millis(30_000),
        retry_backoff: millis(100),
        retry_backoff_max: millis(100),
        reconnect_backoff: millis(50),
        reconnect_backoff_max: millis(50),
        connection_setup_timeout: millis(10_000),
        connection_setup_timeout_max: millis(10_000),
        metadata_max_age: millis(300_000),
    }
}

/// Kafka 3.9's defaults with acks=1, hence not idempotent.
pub(super) fn java() -> JavaProducerConfig {
    JavaProducerConfig {
        client: client(KafkaVersion::new(3, 9, 0)),
        acks: Acks::Leader,
        idempotence: false,
        retries: i32::MAX as u32,
        max_in_flight: 5,
        batch_size: 16_384,
        linger: SimDuration::ZERO,
        buffer_memory: 32 << 20,
        max_block: millis(60_000),
        max_request_size: 1 << 20,
        delivery_timeout: Some(millis(120_000)),
        partitioner: Partitioner::Default,
        adaptive_partitioning: true,
        ignore_keys: false,
        transaction_timeout: None,
    }
}

/// Kafka 3.9's defaults.
pub(super) fn idempotent() -> JavaProducerConfig {
    JavaProducerConfig { acks: Acks::All, idempotence: true, ..java() }
}

/// librdkafka's defaults, without lingering.
pub(super) fn librdkafka() -> LibrdkafkaProducerConfig {
    LibrdkafkaProducerConfig {
        client: ClientConfig {
            request_timeout: millis(60_000),
            ..client(KafkaVersion::new(3, 9, 0))
        },
        acks: Acks::All,
        idempotence: false,
        retries: i32::MAX as u32,
        max_in_flight: 1_000_000,
        batch_num_messages: 10_000,
        batch_size: 1_000_000,
        linger: SimDuration::ZERO,
        queue_max_messages: 100_000,
        queue_max_bytes: 1 << 30,
        message_timeout: millis(300_000),
        broker_timeout: millis(30_000),
        partitioner: Partitioner::ConsistentRandom,
        sticky_partitioning_linger: millis(10),
        message_max_bytes: 1_000_000,
    }
}

/// Topic 0, records of 100 bytes for partition 0 unless said.
pub(super) fn record(sequence: u32) -> NewRecord {
    let partition = Some(PartitionIndex(0));
    NewRecord { sequence, key: None, partition, size: 100, attempt: 0 }
}

pub(super) fn without_partition(sequence: u32) -> NewRecord {
    NewRecord { partition: None, ..record(sequence) }
}

/// A producer, what it last did, and its requests that wait for an answer.
pub(super) struct Bench {
    pub producer: Producer,
    now: SimTime,
    armed: Option<SimTime>,
    /// How often the timer has gone off.
    pub wakes: u32,
    rng: NodeRng,
    disk: Disk,
    outbox: Outbox<ProducerTimer, ProducerReport>,
    /// Oldest first.
    pub wire: VecDeque<(ConnectionId, CorrelationId, Request)>,
    pub facts: Vec<TraceEvent>,
    /// Leader and epoch by partition, as brokers 1 to 3 answer.
    pub leaders: Vec<(u16, u32)>,
}

impl Bench {
    /// Boots at 0 ms with broker 1 for bootstrap; nothing is answered.
    pub fn boot(config: ProducerConfig) -> (Bench, Vec<String>) {
        Bench::boot_as(config, None)
    }

    /// A Java producer with `transactional.id` 3 that has met broker 1, which leads partition 0 of
    /// topic 0.
    pub fn transactional(config: JavaProducerConfig) -> Bench {
        let id = Some(TransactionalId(3));
        let (mut bench, _) = Bench::boot_as(ProducerConfig::Java(config), id);
        bench.connected(0);
        bench.answer_metadata();
        bench
    }

    fn boot_as(
        config: ProducerConfig,
        transactional_id: Option<TransactionalId>,
    ) -> (Bench, Vec<String>) {
        let setup = ProducerSetup {
            config: Arc::new(config),
            bootstrap: vec![(BrokerId(1), endpoint(1))],
            producer: ProducerIndex(0),
            instance: 0,
            stride: 1,
            transactional_id,
        };
        let (mut rng, mut disk, mut outbox) =
            (NodeRng::for_test(1), Disk::default(), Outbox::default());
        let mut cx = Cx::new(SimTime::ZERO, NodeId(9), &mut rng, &mut disk, &mut outbox);
        let producer = Producer::boot(&mut cx, setup);
        let mut bench = Bench {
            producer,
            now: SimTime::ZERO,
            armed: None,
            wakes: 0,
            rng,
            disk,
            outbox,
            wire: VecDeque::new(),
            facts: Vec::new(),
            leaders: vec![(1, 0)],
        };
        let done = bench.take_effects();
        (bench, done)
    }

    /// A Java producer that has sent record 0 to partition 0 at broker 1, on connection 0, and got
    /// its answer.
    pub fn java(config: JavaProducerConfig) -> Bench {
        let idempotent = config.idempotence;
        let (mut bench, _) = Bench::boot(ProducerConfig::Java(config));
        bench.warm_up(idempotent);
        bench
    }

    /// The same of librdkafka, at 1,000 ms.
    pub fn librdkafka(config: LibrdkafkaProducerConfig) -> Bench {
        let idempotent = config.idempotence;
        let (mut bench, _) = Bench::boot(ProducerConfig::Librdkafka(config));
        bench.warm_up(idempotent);
        bench
    }

    fn warm_up(&mut self, idempotent: bool) {
        self.connected(0);
        self.answer_metadata();
        if idempotent {
            // librdkafka looks for a broker that is up every 500 ms.
            self.until(500);
            self.answer_producer_id(0);
        }
        self.send([record(0)]);
        self.answer_metadata();
        self.until(1_000);
        if !self.wire.is_empty() {
            self.answer(ErrorCode::None);
        }
        assert!(self.wire.is_empty(), "{:?}", self.wire);
        assert!(self.producer.is_idle());
        self.facts.clear();
    }

    /// Lets time pass to a millisecond, in which nothing happens.
    pub fn at(&mut self, at: i64) -> &mut Self {
        let done = self.until(at);
        assert!(done.is_empty(), "not expected before {at} ms: {done:?}");
        self
    }

    /// Lets time pass to a millisecond, and says what the producer did by itself.
    pub fn until(&mut self, at: i64) -> Vec<String> {
        let at = SimTime::from_millis(at);
        assert!(at >= self.now, "the clock never decreases");
        let mut done = Vec::new();
        while let Some(due) = self.armed.filter(|due| *due <= at) {
            assert!(due > self.now || self.wakes < 10_000, "it wakes for nothing");
            self.now = self.now.max(due);
            self.armed = None;
            self.wakes += 1;
            done.extend(self.input(Input::Timer(ProducerTimer::Wake)));
        }
        self.now = at;
        done
    }

    /// Has the metadata refreshed by age, at 300 s or later.
    pub fn refresh_metadata(&mut self) {
        let done = self.until(302_000);
        assert_eq!(done, ["c0 metadata"]);
        self.answer_metadata();
        self.at(303_000);
    }

    pub fn input(&mut self, input: ProducerInput) -> Vec<String> {
        let mut cx = Cx::new(self.now, NodeId(9), &mut self.rng, &mut self.disk, &mut self.outbox);
        self.producer.handle(&mut cx, input);
        self.take_effects()
    }

    pub fn send<const N: usize>(&mut self, records: [NewRecord; N]) -> Vec<String> {
        let records = records.into();
        self.input(Input::Call(ProducerCall::Send { topic: TopicId(0), records }))
    }

    pub fn reset(&mut self, connection: u32) -> Vec<String> {
        self.wire.retain(|(lost, _, _)| *lost != ConnectionId(connection));
        self.input(Input::Closed(ConnectionId(connection), CloseReason::Reset))
    }

    pub fn connected(&mut self, connection: u32) -> Vec<String> {
        self.input(Input::Connected(ConnectionId(connection)))
    }

    /// Answers the oldest request, a produce request: success at offset 100 + first record, or an
    /// error.
    pub fn answer(&mut self, error: ErrorCode) -> Vec<String> {
        self.answer_naming(error, None)
    }

    pub fn answer_naming(
        &mut self,
        error: ErrorCode,
        current_leader: Option<CurrentLeader>,
    ) -> Vec<String> {
        let (connection, correlation, request) = self.wire.pop_front().expect("a request");
        let Request::Produce(produce) = request else { panic!("not a produce request") };
        let answers = produce.partitions.iter().map(|entry| {
            let first = u64::from(entry.batch.records[0].id.sequence);
            PartitionProduceResponse {
                partition: entry.partition,
                error,
                base_offset: error.is_none().then_some(Offset(100 + first)),
                current_leader,
            }
        });
        let response = Response::Produce(ProduceResponse { partitions: answers.collect() });
        self.respond(connection, correlation, response)
    }

    /// Answers the oldest request, for metadata, with the leaders of this bench.
    pub fn answer_metadata(&mut self) -> Vec<String> {
        let (connection, correlation, request) = self.wire.pop_front().expect("a request");
        assert!(matches!(request, Request::Metadata(_)), "{request:?}");
        let partitions = (0..).zip(&self.leaders).map(|(index, &(leader, epoch))| {
            let none = leader == 0;
            PartitionMetadata {
                partition: TopicPartition::new(0, index),
                error: if none { ErrorCode::LeaderNotAvailable } else { ErrorCode::None },
                leader: (!none).then_some(BrokerId(leader)),
                leader_epoch: LeaderEpoch(epoch),
                replicas: BrokerList::new(),
            }
        });
        let metadata = MetadataResponse {
            brokers: (1..=3).map(|broker| (BrokerId(broker), NodeId(broker))).collect(),
            partitions: partitions.collect(),
        };
        self.respond(connection, correlation, Response::Metadata(metadata))
    }

    /// Answers the oldest request, for a producer id, with id 7.
    pub fn answer_producer_id(&mut self, epoch: u16) -> Vec<String> {
        self.answer_producer_id_or(ErrorCode::None, epoch)
    }

    pub fn refuse_producer_id(&mut self) -> Vec<String> {
        self.answer_producer_id_or(ErrorCode::CoordinatorLoadInProgress, 0)
    }

    fn answer_producer_id_or(&mut self, error: ErrorCode, epoch: u16) -> Vec<String> {
        let (connection, correlation, request) = self.wire.pop_front().expect("a request");
        assert!(matches!(request, Request::InitProducerId(_)), "{request:?}");
        let (producer_id, producer_epoch) = (ProducerId(7), ProducerEpoch(epoch));
        let answer = InitProducerIdResponse { error, producer_id, producer_epoch };
        self.respond(connection, correlation, Response::InitProducerId(answer))
    }

    /// The application calls the transactional API.
    pub fn call(&mut self, call: TransactionCall) -> Vec<String> {
        self.input(Input::Call(ProducerCall::Transaction(call)))
    }

    /// Answers the oldest request, a transactional one, with an error or success: coordinators are
    /// at broker 1, the id is 7, and with `transaction.version` 2 every end of a transaction raises
    /// its epoch.
    pub fn answer_transactional(&mut self, error: ErrorCode) -> Vec<String> {
        let (connection, correlation, request) = self.wire.pop_front().expect("a request");
        let raised = |epoch: Option<ProducerEpoch>| {
            (ProducerId(7), ProducerEpoch(epoch.map_or(0, |epoch| epoch.0 + 1)))
        };
        let response = match request {
            Request::FindCoordinator(_) => {
                let coordinator = error.is_none().then_some((BrokerId(1), NodeId(1)));
                Response::FindCoordinator(FindCoordinatorResponse { error, coordinator })
            }
            Request::InitProducerId(request) => {
                let (producer_id, producer_epoch) = raised(request.current.map(|(_, epoch)| epoch));
                let answer = InitProducerIdResponse { error, producer_id, producer_epoch };
                Response::InitProducerId(answer)
            }
            Request::AddPartitionsToTxn(request) => {
                let partitions = request.partitions.iter().map(|&partition| (partition, error));
                let partitions = partitions.collect();
                Response::AddPartitionsToTxn(AddPartitionsToTxnResponse { partitions })
            }
            Request::AddOffsetsToTxn(_) => {
                Response::AddOffsetsToTxn(AddOffsetsToTxnResponse { error })
            }
            Request::TxnOffsetCommit(request) => {
                let partitions = request.offsets.iter().map(|offset| (offset.partition, error));
                let partitions = partitions.collect();
                Response::TxnOffsetCommit(OffsetCommitResponse { partitions })
            }
            Request::EndTxn(request) => {
                let next = request.version_2.then(|| raised(Some(request.producer_epoch)));
                Response::EndTxn(EndTxnResponse { error, next })
            }
            other => panic!("not a transactional request: {other:?}"),
        };
        self.respond(connection, correlation, response)
    }

    fn respond(
        &mut self,
        connection: ConnectionId,
        correlation: CorrelationId,
        response: Response,
    ) -> Vec<String> {
        let response = Box::new(response);
        self.input(Input::Response { connection, correlation, response })
    }

    fn take_effects(&mut self) -> Vec<String> {
        self.facts.extend(self.outbox.facts.drain(..).map(|(_, fact)| fact));
        let effects = std::mem::take(&mut self.outbox.effects);
        effects.iter().filter_map(|effect| self.line(effect)).collect()
    }

    fn line(&mut self, effect: &Effect<ProducerTimer, ProducerReport>) -> Option<String> {
        Some(match effect {
            Effect::Connect(connection, to) => format!("c{connection} connect b{}", to.node),
            Effect::Send(connection, Frame::Request(correlation, request)) => {
                self.wire.push_back((*connection, *correlation, (**request).clone()));
                format!("c{connection} {}", request_line(request))
            }
            Effect::Close(connection) => format!("c{connection} close"),
            Effect::SetTimer(ProducerTimer::Wake, at) => {
                assert!(*at >= self.now, "a timer in the past");
                self.armed = Some(*at);
                return None;
            }
            Effect::CancelTimer(ProducerTimer::Wake) => {
                self.armed = None;
                return None;
            }
            Effect::Report(ProducerReport::Closed) => "closed".to_owned(),
            Effect::Report(ProducerReport::Completed { outcome, records, .. }) => {
                format!("{} {}", range(records), outcome_line(*outcome))
            }
            Effect::Report(ProducerReport::TransactionCallReturned { call, failure }) => {
                let call = format!("{call:?}").to_lowercase();
                match failure {
                    None => format!("{call} returned"),
                    Some(TransactionFailure::Abortable(error)) => {
                        format!("{call} abortable {error}")
                    }
                    Some(TransactionFailure::Fatal(error)) => format!("{call} fatal {error}"),
                    Some(TransactionFailure::Timeout) => format!("{call} timed out"),
                }
            }
            other => panic!("a producer does not do this: {other:?}"),
        })
    }

    /// Retries stated since the last look, as lines.
    pub fn retries(&mut self) -> Vec<String> {
        let facts = std::mem::take(&mut self.facts);
        let lines = facts.iter().filter_map(|fact| match fact {
            TraceEvent::BatchRetried { reason, records, .. } => {
                let reason = match reason {
                    RetryReason::Error(error) => error.name(),
                    RetryReason::Disconnected => "disconnected",
                    RetryReason::RequestTimeout => "request timeout",
                };
                Some(format!("{} {reason}", range(records)))
            }
            _ => None,
        });
        lines.collect()
    }
}

fn range(records: &[Record]) -> String {
    let (first, last) = (records[0].id.sequence, records[records.len() - 1].id.sequence);
    if first == last { format!("[{first}]") } else { format!("[{first}-{last}]") }
}

fn outcome_line(outcome: SendOutcome) -> String {
    match outcome {
        SendOutcome::Acked(None) => "acked".to_owned(),
        SendOutcome::Acked(Some(offset)) => format!("acked @{offset}"),
        SendOutcome::Failed(error) => format!("failed {error}"),
    }
}

fn request_line(request: &Request) -> String {
    match request {
        Request::Produce(produce) => {
            let batches: Vec<String> = produce
                .partitions
                .iter()
                .map(|entry| {
                    let stamp = entry.batch.stamp.map_or(String::new(), |stamp| {
                        format!("@{}:{}", stamp.epoch, stamp.base_sequence)
                    });
                    let transactional = if entry.batch.transactional { "t" } else { "" };
                    assert_eq!(entry.batch.transactional, produce.transactional_id.is_some());
                    let range = range(&entry.batch.records);
                    format!("p{}{range}{transactional}{stamp}", entry.partition.partition)
                })
                .collect();
            format!("produce {}", batches.join(" "))
        }
        Request::Metadata(_) => "metadata".to_owned(),
        Request::InitProducerId(InitProducerIdRequest { transactional: None, .. }) => {
            "init producer id".to_owned()
        }
        Request::InitProducerId(request) => match request.current {
            None => "init transactional id".to_owned(),
            Some((_, epoch)) => format!("init after epoch {epoch}"),
        },
        Request::FindCoordinator(request) => match request.key {
            CoordinatorKey::Group(group) => format!("find coordinator of group {group}"),
            CoordinatorKey::Transaction(id) => format!("find coordinator of transaction {id}"),
        },
        Request::AddPartitionsToTxn(request) => {
            let partitions =
                request.partitions.iter().map(|entry| format!(" p{}", entry.partition));
            format!("add@{}{}", request.producer_epoch, partitions.collect::<String>())
        }
        Request::AddOffsetsToTxn(request) => format!("add offsets@{}", request.producer_epoch),
        Request::TxnOffsetCommit(request) => {
            let member =
                request.member.map_or(String::new(), |member| format!(" of member {member}"));
            let count = request.offsets.len();
            format!("commit {count} offsets@{}{member}", request.producer_epoch)
        }
        Request::EndTxn(request) => {
            format!("{:?}@{}", request.result, request.producer_epoch).to_lowercase()
        }
        other => panic!("a producer does not ask this: {other:?}"),
    }
}
