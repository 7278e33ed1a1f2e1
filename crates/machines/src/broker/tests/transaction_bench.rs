//! A broker that coordinates transactions and leads everything that they touch, in a cluster of one
//! serving replica: what it sends to itself comes back to it, unless a test holds it.

use super::rig::*;
use crate::broker::{BrokerTimer, Coordination, CoordinatorKind};
use crate::disk::Disk;
use crate::machine::{Effect, Input};
use acklab_vocab::api::*;
use acklab_vocab::config::{BrokerConfig, TopicConfig};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::*;
use acklab_vocab::metadata_log::{MetadataRecord, PartitionState};
use acklab_vocab::record::{Payload, ProducerBatch, ProducerStamp};
use acklab_vocab::rules::{ProtocolRule, ProtocolRules};
use acklab_vocab::trace::{CloseReason, TraceEvent};
use acklab_vocab::transaction::{TransactionResult, TransactionState};
use acklab_vocab::version::KafkaVersion;
use smallvec::smallvec;

/// The offsets of groups.
pub const OFFSETS: TopicPartition = TopicPartition::new(1, 0);
/// The states of transactions.
pub const STATES: TopicPartition = TopicPartition::new(2, 0);
/// The only transactional id.
pub const COPIER: TransactionalId = TransactionalId(0);
/// The only group.
pub const READERS: GroupId = GroupId(0);
/// A producer's connections: one for what it writes, one to its coordinator, and others.
pub const TO_LEADER: ConnectionId = ConnectionId(9_001);
pub const TO_COORDINATOR: ConnectionId = ConnectionId(9_002);
pub const ANOTHER: ConnectionId = ConnectionId(9_003);
/// Where the broker's own connections arrive: added to their ids.
const ARRIVES: u32 = 50_000;
/// The ids that the controller hands out.
pub const FIRST_PRODUCER_ID: u64 = 1_000;

/// A request on its way to another broker, or to the broker itself.
#[derive(Debug)]
pub struct OnItsWay {
    connection: ConnectionId,
    correlation: CorrelationId,
    pub request: Request,
}

pub struct Bench {
    pub rig: Rig,
    correlation: u32,
    /// Requests of these APIs wait in `held`.
    pub hold: Vec<ApiKey>,
    pub held: Vec<OnItsWay>,
    /// Connections of the broker on which a request waits for its answer.
    awaited: Vec<(ConnectionId, CorrelationId)>,
}

pub fn rules_of(major: u8, minor: u8) -> ProtocolRules {
    ProtocolRules::of(KafkaVersion::new(major, minor, 0))
}

fn coordination() -> Coordination {
    Coordination {
        offsets_topic: Some(TopicId(1)),
        transactions_topic: Some(TopicId(2)),
        group_ids: vec!["readers".to_owned()],
        transactional_ids: vec!["copier".to_owned()],
        ..Coordination::default()
    }
}

/// `partition`, led by `leader` in `epoch`, with that ISR.
pub fn led_by(partition: TopicPartition, leader: u16, epoch: u32, isr: &[u16]) -> MetadataRecord {
    MetadataRecord::PartitionChange(PartitionState {
        partition,
        replicas: brokers(&[1, 2, 3]),
        isr: brokers(isr),
        eligible: BrokerList::new(),
        leader: Some(BrokerId(leader)),
        leader_epoch: LeaderEpoch(epoch),
        partition_epoch: PartitionEpoch(epoch),
        recovering: false,
    })
}

impl Bench {
    /// Broker 1 leads all three partitions in epoch 1 and has read what there is.
    pub fn new(rules: ProtocolRules) -> Bench {
        let mut bench = Bench::not_leading(rules, Disk::default(), topic());
        let partitions = [ORDERS, OFFSETS, STATES];
        bench.rig.metadata(partitions.map(|id| led_by(id, 1, 1, &[1])).to_vec());
        bench.load();
        bench.rig.facts();
        bench
    }

    /// Broker 1 has just started, on the logs of `disk`.
    pub fn not_leading(rules: ProtocolRules, mut disk: Disk, topic: TopicConfig) -> Bench {
        disk.metadata_log = Default::default();
        let config = BrokerConfig { rules, ..config() };
        let rig = Rig::running_in(config, vec![topic; 3], coordination(), disk);
        Bench { rig, correlation: 0, hold: Vec::new(), held: Vec::new(), awaited: Vec::new() }
    }

    /// The coordinators read their partitions.
    pub fn load(&mut self) -> Vec<(ConnectionId, Response)> {
        let mut told = Vec::new();
        for kind in [CoordinatorKind::Groups, CoordinatorKind::Transactions] {
            told.extend(self.timer(BrokerTimer::CoordinatorLoad(kind)));
        }
        told
    }

    pub fn timer(&mut self, timer: BrokerTimer) -> Vec<(ConnectionId, Response)> {
        let effects = self.rig.call(Input::Timer(timer));
        self.play(effects)
    }

    pub fn metadata(&mut self, records: Vec<MetadataRecord>) -> Vec<(ConnectionId, Response)> {
        let effects = self.rig.metadata(records);
        self.play(effects)
    }

    /// A client's request: what clients are told because of it.
    pub fn ask(&mut self, on: ConnectionId, request: Request) -> Vec<(ConnectionId, Response)> {
        self.correlation += 1;
        let effects = self.rig.request(on, self.correlation, request);
        self.play(effects)
    }

    /// What clients are told; what the broker sends to brokers arrives at itself.
    fn play(&mut self, effects: Effects) -> Vec<(ConnectionId, Response)> {
        let mut told = Vec::new();
        let mut effects: std::collections::VecDeque<_> = effects.into();
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::Connect(connection, Endpoint { node: NodeId(1), .. }) => {
                    effects.extend(self.rig.call(Input::Connected(connection)));
                }
                Effect::Send(connection, Frame::Request(correlation, request)) => {
                    let request = *request;
                    let sent = OnItsWay { connection, correlation, request };
                    effects.extend(self.carry(sent));
                }
                Effect::Send(connection, Frame::Response(_, response)) => {
                    if connection.0 >= ARRIVES {
                        effects
                            .extend(self.answer(ConnectionId(connection.0 - ARRIVES), *response));
                    } else {
                        told.push((connection, *response));
                    }
                }
                _ => {}
            }
        }
        told
    }

    fn carry(&mut self, sent: OnItsWay) -> Effects {
        if matches!(sent.request, Request::AllocateProducerIds(_)) {
            let response = Response::AllocateProducerIds(AllocateProducerIdsResponse {
                error: ErrorCode::None,
                first: ProducerId(FIRST_PRODUCER_ID),
                count: 1_000,
                controller: KnownController {
                    leader: Some(ControllerId(1)),
                    epoch: ControllerEpoch(1),
                },
            });
            let OnItsWay { connection, correlation, .. } = sent;
            let response = Box::new(response);
            return self.rig.call(Input::Response { connection, correlation, response });
        }
        if self.hold.contains(&sent.request.api()) {
            self.held.push(sent);
            return Vec::new();
        }
        self.arrive(sent)
    }

    fn arrive(&mut self, sent: OnItsWay) -> Effects {
        let OnItsWay { connection, correlation, request } = sent;
        self.awaited.push((connection, correlation));
        self.correlation += 1;
        self.rig.request(ConnectionId(connection.0 + ARRIVES), self.correlation, request)
    }

    fn answer(&mut self, connection: ConnectionId, response: Response) -> Effects {
        let waits = self.awaited.iter().position(|awaited| awaited.0 == connection);
        let (_, correlation) = self.awaited.remove(waits.expect("an answer to a request"));
        let response = Box::new(response);
        self.rig.call(Input::Response { connection, correlation, response })
    }

    /// What was held arrives; from now on nothing is held.
    pub fn release(&mut self) -> Vec<(ConnectionId, Response)> {
        self.hold.clear();
        let mut told = Vec::new();
        for sent in std::mem::take(&mut self.held) {
            let effects = self.arrive(sent);
            told.extend(self.play(effects));
        }
        told
    }

    /// The connections of what is held are lost, and with them the requests.
    pub fn lose_held(&mut self) -> Vec<(ConnectionId, Response)> {
        let mut told = Vec::new();
        for sent in std::mem::take(&mut self.held) {
            let effects = self.rig.call(Input::Closed(sent.connection, CloseReason::Reset));
            told.extend(self.play(effects));
        }
        told
    }

    // ---- the producer ------------------------------------------------------------------------

    pub fn init_with(&mut self, current: Option<(u64, u16)>) -> Result<(u64, u16), ErrorCode> {
        let current = current.map(|(id, epoch)| (ProducerId(id), ProducerEpoch(epoch)));
        let transactional = Some((COPIER, ms(60_000)));
        let request = InitProducerIdRequest { transactional, current };
        match self.one(TO_COORDINATOR, Request::InitProducerId(request)) {
            Response::InitProducerId(answer) if answer.error.is_none() => {
                Ok((answer.producer_id.0, answer.producer_epoch.0))
            }
            Response::InitProducerId(answer) => Err(answer.error),
            other => panic!("{other:?}"),
        }
    }

    /// A new producer takes over; the first question finds no ids at hand.
    pub fn init(&mut self) -> Result<(u64, u16), ErrorCode> {
        match self.init_with(None) {
            Err(ErrorCode::CoordinatorLoadInProgress) => self.init_with(None),
            other => other,
        }
    }

    fn one(&mut self, on: ConnectionId, request: Request) -> Response {
        let mut told = self.ask(on, request);
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0].0, on);
        told.remove(0).1
    }

    pub fn add(&mut self, producer: (u64, u16), partition: TopicPartition) -> ErrorCode {
        let request = AddPartitionsToTxnRequest {
            transactional_id: COPIER,
            producer_id: ProducerId(producer.0),
            producer_epoch: ProducerEpoch(producer.1),
            partitions: vec![partition],
            verify_only: false,
        };
        match self.one(TO_COORDINATOR, Request::AddPartitionsToTxn(request)) {
            Response::AddPartitionsToTxn(answer) => answer.partitions[0].1,
            other => panic!("{other:?}"),
        }
    }

    pub fn end_request(
        producer: (u64, u16),
        result: TransactionResult,
        version_2: bool,
    ) -> Request {
        Request::EndTxn(EndTxnRequest {
            transactional_id: COPIER,
            producer_id: ProducerId(producer.0),
            producer_epoch: ProducerEpoch(producer.1),
            result,
            version_2,
        })
    }

    /// EndTxn, and the producer id and epoch that it is answered with under version 2.
    pub fn end_with(
        &mut self,
        producer: (u64, u16),
        result: TransactionResult,
        version_2: bool,
    ) -> Result<Option<(u64, u16)>, ErrorCode> {
        let request = Bench::end_request(producer, result, version_2);
        match self.one(TO_COORDINATOR, request) {
            Response::EndTxn(answer) if answer.error.is_none() => {
                Ok(answer.next.map(|(id, epoch)| (id.0, epoch.0)))
            }
            Response::EndTxn(answer) => Err(answer.error),
            other => panic!("{other:?}"),
        }
    }

    pub fn end(&mut self, producer: (u64, u16), result: TransactionResult) -> ErrorCode {
        self.end_with(producer, result, false).err().unwrap_or(ErrorCode::None)
    }

    pub fn write_request(
        producer: (u64, u16),
        sequence: u32,
        support: TransactionSupport,
    ) -> Request {
        let stamp = ProducerStamp {
            id: ProducerId(producer.0),
            epoch: ProducerEpoch(producer.1),
            base_sequence: BaseSequence(sequence),
        };
        let batch = ProducerBatch { stamp: Some(stamp), transactional: true, ..batch(sequence, 1) };
        Request::Produce(ProduceRequest {
            transactional_id: Some(COPIER),
            transaction_support: support,
            acks: Acks::All,
            timeout: ms(30_000),
            partitions: smallvec![PartitionProduce { partition: ORDERS, batch }],
        })
    }

    /// Writes one record to orders-0; a producer that knows nothing of KIP-890.
    pub fn write(&mut self, producer: (u64, u16), sequence: u32) -> Result<u64, ErrorCode> {
        self.write_with(producer, sequence, TransactionSupport::DefaultError)
    }

    pub fn write_with(
        &mut self,
        producer: (u64, u16),
        sequence: u32,
        support: TransactionSupport,
    ) -> Result<u64, ErrorCode> {
        let request = Bench::write_request(producer, sequence, support);
        let response = self.one(TO_LEADER, request);
        written(&response)
    }

    // ---- what a reader sees ------------------------------------------------------------------

    /// Records of orders-0 that a `read_committed` consumer returns, by their numbers.
    pub fn read_committed(&mut self) -> Vec<u32> {
        let isolation = Isolation::LastStable;
        let request = Request::Fetch(FetchRequest {
            replica: None,
            max_wait: ms(0),
            min_bytes: 1,
            max_bytes: 50 << 20,
            isolation,
            session: FetchSessionUpdate::Full,
            partitions: vec![PartitionFetch {
                partition: ORDERS,
                current_leader_epoch: None,
                fetch_offset: Offset(0),
                last_fetched_epoch: None,
                max_bytes: 1 << 20,
            }],
        });
        self.correlation += 1;
        let consumer = ConnectionId(30_000 + self.correlation);
        let Response::Fetch(answer) = self.one(consumer, request) else { panic!("a fetch") };
        let answer = &answer.partitions[0];
        let mut aborted =
            crate::client::aborted::AbortedTransactions::new(isolation, &answer.aborted);
        let returned = answer.batches.iter().filter(|batch| aborted.returns(batch));
        returned.flat_map(|batch| batch.records().iter().map(|it| it.id.sequence)).collect()
    }

    pub fn last_stable_offset(&self) -> u64 {
        self.rig.broker.last_stable_offset(ORDERS).expect("it leads").0
    }

    /// The states that the coordinator stated since the last time, and the epochs of the producer.
    pub fn states(&mut self) -> Vec<(TransactionState, u16, bool)> {
        let state = |fact| match fact {
            TraceEvent::TransactionStateChanged {
                state, producer_epoch, by_coordinator, ..
            } => Some((state, producer_epoch.0, by_coordinator)),
            _ => None,
        };
        self.rig.facts().into_iter().filter_map(state).collect()
    }

    /// The markers in a partition's log: offset, producer's epoch, coordinator's epoch and result.
    pub fn markers(&self, partition: TopicPartition) -> Vec<(u64, u16, u32, TransactionResult)> {
        let log = self.rig.disk.logs().find(|(id, _)| *id == partition).expect("a log").1;
        let log = self.rig.disk.log(log);
        let marker = |batch: &std::sync::Arc<acklab_vocab::record::RecordBatch>| {
            let Payload::Marker(marker) = &batch.payload else { return None };
            let epoch = batch.stamp.map(|stamp| stamp.epoch.0).unwrap_or_default();
            Some((batch.base_offset.0, epoch, marker.coordinator_epoch.0, marker.result))
        };
        log.batches().iter().filter_map(marker).collect()
    }

    pub fn state(&self) -> (TransactionState, Option<TransactionState>) {
        let mut states = self.rig.broker.coordinated_transactions();
        let only = states.next().expect("one transactional id");
        (only.state, only.pending)
    }
}

/// A rule switched against `rules`.
pub fn switched(rules: ProtocolRules, rule: ProtocolRule, on: bool) -> ProtocolRules {
    rules.with(rule, on)
}

/// What a produce of one batch was answered.
pub fn written(response: &Response) -> Result<u64, ErrorCode> {
    let Response::Produce(answer) = response else { panic!("{response:?}") };
    match (answer.partitions[0].error, answer.partitions[0].base_offset) {
        (ErrorCode::None, Some(offset)) => Ok(offset.0),
        (error, _) => Err(error),
    }
}
