//! Hand-made traces for tests: one topic, one partition, three brokers, in sentences.
//!
//! Every step takes one millisecond. The builder keeps each broker's log only to save the tests
//! from writing offsets; it decides nothing and checks nothing, so a test may make brokers do what
//! no Kafka would do.

use acklab_vocab::api::Acks;
use acklab_vocab::config::SequenceRepair;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{
    BaseSequence, BrokerId, BrokerList, ControllerEpoch, ControllerId, EventId, Incarnation,
    LeaderEpoch, NodeId, Offset, PartitionEpoch, ProducerEpoch, ProducerId, ProducerIndex,
    RecordId, TopicId, TopicPartition,
};
use acklab_vocab::metadata_log::PartitionState;
use acklab_vocab::record::{Payload, ProducerStamp, Record, RecordBatch};
use acklab_vocab::rules::{ProtocolRule, ProtocolRules};
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::{
    NodeHeader, Observer, PartitionChangeReason, ProducerHeader, ReaderHeader, RetryReason,
    RunHeader, SendOutcome, Stamped, TopicHeader, TraceEvent, TruncationReason,
};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

mod groups;
mod zookeeper;

pub use groups::member;

use crate::{Judge, Verdict};

/// The partition of every hand-made trace.
pub const PARTITION: TopicPartition = TopicPartition::new(0, 0);
const CONTROLLER: NodeId = NodeId(3);
pub const PRODUCER: NodeId = NodeId(4);
const READER: NodeId = NodeId(5);

/// A trace in the making.
pub struct Trace {
    pub header: RunHeader,
    pub facts: Vec<Stamped>,
    now: SimTime,
    event: u64,
    state: PartitionState,
    logs: [Vec<Arc<RecordBatch>>; 3],
    attempt: u16,
    created: u32,
    coordinator: NodeId,
    offsets: BTreeMap<NodeId, (LeaderEpoch, Vec<Arc<RecordBatch>>)>,
}

fn header(kafka: &str, acks: Acks) -> RunHeader {
    let kafka = kafka.parse().unwrap();
    let node = |name: &str| NodeHeader {
        name: name.to_owned(),
        broker: None,
        controller: None,
        zookeeper: None,
        producer: None,
        reader: None,
        member: None,
    };
    let broker =
        |id: u16| NodeHeader { broker: Some(BrokerId(id)), ..node(&format!("broker {id}")) };
    let nodes = vec![
        broker(1),
        broker(2),
        broker(3),
        NodeHeader { controller: Some(ControllerId(100)), ..node("controller 100") },
        NodeHeader { producer: Some((ProducerIndex(0), 0)), ..node("shop") },
        NodeHeader { reader: Some(0), ..node("audit") },
    ];
    RunHeader {
        scenario: "hand-made".to_owned(),
        variant: "base".to_owned(),
        seed: 7,
        kafka,
        rules: ProtocolRules::of(kafka),
        switched_rules: Vec::new(),
        nodes,
        topics: vec![TopicHeader {
            name: "orders".to_owned(),
            partitions: 1,
            replication_factor: 3,
            min_insync_replicas: 1,
            unclean_leader_election: true,
            internal: false,
        }],
        producers: vec![ProducerHeader {
            name: "shop".to_owned(),
            count: 1,
            topic: TopicId(0),
            acks,
            idempotence: false,
            retries: u32::MAX,
            max_in_flight: 5,
            sequence_repair: SequenceRepair::default(),
            transactional: false,
        }],
        readers: vec![ReaderHeader {
            name: "audit".to_owned(),
            topics: vec![TopicId(0)],
            read_committed: false,
        }],
        group_ids: Vec::new(),
        groups: Vec::new(),
        transactional_ids: Vec::new(),
    }
}

/// A cluster that runs this version: brokers 1 to 3 hold `orders-0`, broker 1 leads epoch 0.
pub fn trace(kafka: &str, acks: Acks) -> Trace {
    let header = header(kafka, acks);
    let all = brokers(&[1, 2, 3]);
    let state = PartitionState {
        partition: PARTITION,
        replicas: all.clone(),
        isr: all,
        eligible: BrokerList::new(),
        leader: Some(BrokerId(1)),
        leader_epoch: LeaderEpoch(0),
        partition_epoch: PartitionEpoch(0),
        recovering: false,
    };
    let mut trace = Trace {
        header,
        facts: Vec::new(),
        now: SimTime::ZERO,
        event: 0,
        state,
        logs: Default::default(),
        attempt: 0,
        created: 0,
        coordinator: NodeId(0),
        offsets: BTreeMap::new(),
    };
    trace.at(-1);
    trace.change(PartitionChangeReason::Created);
    trace.lead(1).follow(2).follow(3).at(0);
    trace
}

pub fn brokers(ids: &[u16]) -> BrokerList {
    ids.iter().map(|id| BrokerId(*id)).collect()
}

fn node(broker: u16) -> NodeId {
    NodeId(broker - 1)
}

impl Trace {
    // ---- how the trace is set up ----------------------------------------------------------------

    pub fn at(&mut self, millis: i64) -> &mut Self {
        self.now = SimTime::from_millis(millis);
        self
    }

    pub fn idempotent(mut self) -> Self {
        self.header.producers[0].idempotence = true;
        self
    }

    /// They repair their sequences in this way.
    pub fn repairing(mut self, repair: SequenceRepair) -> Self {
        self.header.producers[0].sequence_repair = repair;
        self
    }

    pub fn min_isr(mut self, min: u16) -> Self {
        self.header.topics[0].min_insync_replicas = min;
        self
    }

    pub fn without(mut self, rule: ProtocolRule) -> Self {
        self.header.rules.set(rule, false);
        self.header.switched_rules.push((rule, false));
        self
    }

    pub fn judge(&self) -> Verdict {
        let mut judge = Judge::new();
        self.play(&mut judge);
        judge.finish()
    }

    pub fn play(&self, observer: &mut impl Observer) {
        observer.begin(&self.header);
        self.facts.iter().for_each(|fact| observer.observe(fact));
    }

    /// States any fact, one millisecond after the last.
    pub fn fact(&mut self, node: NodeId, event: TraceEvent) -> &mut Self {
        self.event += 1;
        self.now += SimDuration::from_millis(1);
        self.facts.push(Stamped { cause: EventId(self.event), at: self.now, node, event });
        self
    }

    /// The last fact was stated together with the one before it.
    pub fn of_the_same_event(&mut self) -> &mut Self {
        if let [.., before, last] = &mut self.facts[..] {
            (last.cause, last.at) = (before.cause, before.at);
        }
        self
    }

    // ---- the producer ---------------------------------------------------------------------------

    pub fn create(&mut self, count: u32) -> &mut Self {
        let first = self.created;
        self.created += count;
        let producer = ProducerIndex(0);
        self.fact(PRODUCER, TraceEvent::RecordsCreated { producer, first, stride: 1, count })
    }

    pub fn send(&mut self, broker: u16, records: Range<u32>) -> &mut Self {
        let (broker, records) = (BrokerId(broker), self.records(records));
        let event = TraceEvent::BatchSent { partition: PARTITION, broker, retry: 0, records };
        self.fact(PRODUCER, event)
    }

    pub fn retry(&mut self, records: Range<u32>, reason: RetryReason) -> &mut Self {
        let records = self.records(records);
        self.fact(PRODUCER, TraceEvent::BatchRetried { partition: PARTITION, reason, records })
    }

    pub fn ack(&mut self, records: Range<u32>) -> &mut Self {
        self.complete(records, SendOutcome::Acked(None))
    }

    pub fn fail(&mut self, records: Range<u32>, error: ErrorCode) -> &mut Self {
        self.complete(records, SendOutcome::Failed(error))
    }

    fn complete(&mut self, records: Range<u32>, outcome: SendOutcome) -> &mut Self {
        let (partition, records) = (Some(PARTITION), self.records(records));
        self.fact(PRODUCER, TraceEvent::RecordsCompleted { partition, outcome, records })
    }

    /// The application sends again; records mentioned from here on are of that attempt.
    pub fn resend(&mut self, records: Range<u32>) -> &mut Self {
        self.attempt += 1;
        let records = self.records(records);
        self.fact(PRODUCER, TraceEvent::RecordsResent { records })
    }

    fn records(&self, sequences: Range<u32>) -> Arc<[Record]> {
        let record = |sequence| Record {
            id: RecordId { producer: ProducerIndex(0), sequence },
            attempt: self.attempt,
            size: 100,
        };
        sequences.map(record).collect()
    }

    // ---- the brokers ----------------------------------------------------------------------------

    pub fn append(&mut self, broker: u16, records: Range<u32>) -> &mut Self {
        self.append_stamped(broker, records, None)
    }

    /// Appends with a sequence of producer id 9.
    pub fn append_stamped(
        &mut self,
        broker: u16,
        records: Range<u32>,
        sequence: Option<u32>,
    ) -> &mut Self {
        let stamp = sequence.map(|sequence| ProducerStamp {
            id: ProducerId(9),
            epoch: ProducerEpoch(0),
            base_sequence: BaseSequence(sequence),
        });
        self.append_as(broker, records, stamp)
    }

    /// Appends with a sequence of an epoch of producer id 9.
    pub fn append_renumbered(
        &mut self,
        broker: u16,
        records: Range<u32>,
        epoch: u16,
        sequence: u32,
    ) -> &mut Self {
        let (epoch, base_sequence) = (ProducerEpoch(epoch), BaseSequence(sequence));
        let stamp = ProducerStamp { id: ProducerId(9), epoch, base_sequence };
        self.append_as(broker, records, Some(stamp))
    }

    fn append_as(
        &mut self,
        broker: u16,
        records: Range<u32>,
        stamp: Option<ProducerStamp>,
    ) -> &mut Self {
        let records = self.records(records);
        self.append_these(broker, records, stamp)
    }

    /// Appends records of whatever producer.
    pub fn append_records(&mut self, broker: u16, records: Arc<[Record]>) -> &mut Self {
        self.append_these(broker, records, None)
    }

    fn append_these(
        &mut self,
        broker: u16,
        records: Arc<[Record]>,
        stamp: Option<ProducerStamp>,
    ) -> &mut Self {
        let batch = Arc::new(RecordBatch {
            base_offset: self.end_of(broker),
            leader_epoch: self.state.leader_epoch,
            size: 500,
            stamp,
            max_timestamp: self.now,
            transactional: false,
            payload: Payload::Records(records),
        });
        self.append_batch(broker, batch)
    }

    pub fn append_batch(&mut self, broker: u16, batch: Arc<RecordBatch>) -> &mut Self {
        self.log(broker).push(Arc::clone(&batch));
        self.fact(node(broker), TraceEvent::Appended { partition: PARTITION, batch })
    }

    /// Appends as the leader of an epoch that is not the current one.
    pub fn append_in(&mut self, epoch: u32, broker: u16, records: Range<u32>) -> &mut Self {
        let current = self.state.leader_epoch;
        self.state.leader_epoch = LeaderEpoch(epoch);
        self.append(broker, records);
        self.state.leader_epoch = current;
        self
    }

    /// `follower` copies everything that it lacks from `leader`, and the leader learns of it.
    pub fn replicate(&mut self, leader: u16, follower: u16) -> &mut Self {
        self.copy(leader, follower).fetched(leader, follower)
    }

    /// `follower` copies everything that it lacks, by position; the leader has not heard of it yet.
    pub fn copy(&mut self, leader: u16, follower: u16) -> &mut Self {
        let have = self.log(follower).len();
        let missing = self.log(leader)[have..].to_vec();
        for batch in missing {
            self.log(follower).push(Arc::clone(&batch));
            self.fact(node(follower), TraceEvent::Replicated { partition: PARTITION, batch });
        }
        self
    }

    /// `leader` learns how far `follower` is.
    pub fn fetched(&mut self, leader: u16, follower: u16) -> &mut Self {
        let event = TraceEvent::FollowerFetched {
            partition: PARTITION,
            follower: BrokerId(follower),
            leader_epoch: self.state.leader_epoch,
            log_end_offset: self.end_of(follower),
        };
        self.fact(node(leader), event)
    }

    pub fn high_watermark(&mut self, broker: u16, high_watermark: u64) -> &mut Self {
        let event = TraceEvent::HighWatermarkAdvanced {
            partition: PARTITION,
            leader_epoch: self.state.leader_epoch,
            high_watermark: Offset(high_watermark),
            leader: self.state.leader == Some(BrokerId(broker)),
        };
        self.fact(node(broker), event)
    }

    pub fn answer(&mut self, broker: u16, base_offset: u64, records: Range<u32>) -> &mut Self {
        self.answer_with(broker, ErrorCode::None, Some(base_offset), records)
    }

    pub fn answer_with(
        &mut self,
        broker: u16,
        error: ErrorCode,
        base_offset: Option<u64>,
        records: Range<u32>,
    ) -> &mut Self {
        let event = TraceEvent::ProduceAnswered {
            partition: PARTITION,
            acks: self.header.producers[0].acks,
            error,
            base_offset: base_offset.map(Offset),
            records: self.records(records),
        };
        self.fact(node(broker), event)
    }

    pub fn refuse(&mut self, broker: u16, error: ErrorCode, records: Range<u32>) -> &mut Self {
        let records = self.records(records);
        let event = TraceEvent::AppendRefused { partition: PARTITION, error, records };
        self.fact(node(broker), event)
    }

    pub fn deduplicate(&mut self, broker: u16, base: u64, records: Range<u32>) -> &mut Self {
        let records = self.records(records);
        let base_offset = Offset(base);
        let event = TraceEvent::Deduplicated { partition: PARTITION, base_offset, records };
        self.fact(node(broker), event)
    }

    pub fn truncate(&mut self, broker: u16, to: u64, reason: TruncationReason) -> &mut Self {
        let log_end_offset = self.end_of(broker);
        let to = Offset(to);
        self.log(broker).retain(|batch| batch.next_offset() <= to);
        let event = TraceEvent::LogTruncated { partition: PARTITION, to, log_end_offset, reason };
        self.fact(node(broker), event)
    }

    pub fn lead(&mut self, broker: u16) -> &mut Self {
        let event = TraceEvent::BecameLeader {
            partition: PARTITION,
            leader_epoch: self.state.leader_epoch,
            log_end_offset: self.end_of(broker),
            high_watermark: Offset(0),
        };
        self.fact(node(broker), event)
    }

    pub fn follow(&mut self, broker: u16) -> &mut Self {
        let event = TraceEvent::BecameFollower {
            partition: PARTITION,
            leader_epoch: self.state.leader_epoch,
            leader: self.state.leader,
        };
        self.fact(node(broker), event)
    }

    pub fn propose_isr(&mut self, leader: u16, proposed: &[u16]) -> &mut Self {
        let event = TraceEvent::IsrProposed {
            partition: PARTITION,
            leader_epoch: self.state.leader_epoch,
            isr: self.state.isr.clone(),
            proposed: brokers(proposed),
        };
        self.fact(node(leader), event)
    }

    /// The controller commits another ISR and the leader learns it.
    pub fn commit_isr(&mut self, leader: u16, isr: &[u16]) -> &mut Self {
        self.state.isr = brokers(isr);
        self.change(PartitionChangeReason::AlterPartition);
        let event = TraceEvent::IsrCommitted {
            partition: PARTITION,
            leader_epoch: self.state.leader_epoch,
            isr: brokers(isr),
        };
        self.fact(node(leader), event)
    }

    // ---- the world and the controller -----------------------------------------------------------

    pub fn kill(&mut self, broker: u16) -> &mut Self {
        self.fact(node(broker), TraceEvent::ProcessKilled)
    }

    pub fn start(&mut self, broker: u16) -> &mut Self {
        let event = TraceEvent::ProcessStarted { incarnation: Incarnation(1) };
        self.fact(node(broker), event)
    }

    /// The host loses power, and with it everything from `from` on.
    pub fn lose_power(&mut self, broker: u16, from: u64) -> &mut Self {
        let (from, log_end_offset) = (Offset(from), self.end_of(broker));
        self.log(broker).retain(|batch| batch.next_offset() <= from);
        self.fact(node(broker), TraceEvent::PowerLost);
        let event = TraceEvent::UnflushedTailLost { partition: PARTITION, from, log_end_offset };
        self.fact(node(broker), event)
    }

    /// The controller elects `leader`, for this reason and with this ISR; the broker has not heard
    /// yet.
    pub fn elect(&mut self, leader: u16, isr: &[u16], reason: PartitionChangeReason) -> &mut Self {
        self.state.leader = Some(BrokerId(leader));
        self.state.isr = brokers(isr);
        self.state.leader_epoch = self.state.leader_epoch.next();
        self.change(reason)
    }

    /// There is no leader any more.
    pub fn offline(&mut self, isr: &[u16]) -> &mut Self {
        self.state.leader = None;
        self.state.isr = brokers(isr);
        self.state.leader_epoch = self.state.leader_epoch.next();
        self.change(PartitionChangeReason::BrokerFenced)
    }

    pub fn change(&mut self, reason: PartitionChangeReason) -> &mut Self {
        let state = self.state.clone();
        self.state.partition_epoch.0 += 1;
        self.fact(CONTROLLER, TraceEvent::PartitionChanged { state, reason })
    }

    pub fn controller_elected(&mut self, controller: u16, epoch: u32) -> &mut Self {
        let (controller, epoch) = (ControllerId(controller), ControllerEpoch(epoch));
        self.fact(CONTROLLER, TraceEvent::ControllerElected { controller, epoch })
    }

    pub fn state(&mut self) -> &mut PartitionState {
        &mut self.state
    }

    // ---- the reader -----------------------------------------------------------------------------

    /// The reader reads everything that `broker` has.
    pub fn read(&mut self, broker: u16) -> &mut Self {
        for batch in self.log(broker).clone() {
            let (from, to) = (batch.base_offset, batch.next_offset());
            self.fact(READER, TraceEvent::RecordsRead { partition: PARTITION, from, to, batch });
        }
        self
    }

    /// The batches that a broker has.
    pub fn batches(&self, broker: u16) -> &[Arc<RecordBatch>] {
        &self.logs[broker as usize - 1]
    }

    fn log(&mut self, broker: u16) -> &mut Vec<Arc<RecordBatch>> {
        &mut self.logs[broker as usize - 1]
    }

    fn end_of(&mut self, broker: u16) -> Offset {
        self.log(broker).last().map_or(Offset(0), |batch| batch.next_offset())
    }
}
