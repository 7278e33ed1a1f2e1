//! A broker on a bench: plays the controller by itself, leaves the data path to the test.

use crate::broker::{
    Broker, BrokerCall, BrokerMode, BrokerSetup, BrokerTimer, Coordination, NoReport,
};
use crate::disk::Disk;
use crate::machine::{Cx, Effect, Input, Machine, Outbox};
use crate::rng::NodeRng;
use acklab_vocab::api::*;
use acklab_vocab::config::{BrokerConfig, TopicConfig};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::*;
use acklab_vocab::metadata_log::{MetadataEntry, MetadataRecord, PartitionState};
use acklab_vocab::properties::broker_config;
use acklab_vocab::record::{Payload, ProducerBatch, Record, RecordBatch};
use acklab_vocab::rules::{ProtocolRule, ProtocolRules};
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::TraceEvent;
use acklab_vocab::version::KafkaVersion;
use smallvec::smallvec;
use std::sync::Arc;

pub type Effects = Vec<Effect<BrokerTimer, NoReport>>;

/// The only partition.
pub const ORDERS: TopicPartition = TopicPartition::new(0, 0);
/// The controller's process.
const CONTROLLER: Endpoint = Endpoint { node: NodeId(100), listener: Listener::Controller };
/// Where producers connect from.
pub const PRODUCER: ConnectionId = ConnectionId(9_000);

pub fn ms(millis: u64) -> SimDuration {
    SimDuration::from_millis(millis)
}

pub fn at_ms(millis: i64) -> SimTime {
    SimTime::from_millis(millis)
}

pub fn brokers(ids: &[u16]) -> BrokerList {
    ids.iter().map(|&id| BrokerId(id)).collect()
}

pub fn config() -> BrokerConfig {
    let version = KafkaVersion::new(3, 9, 0);
    let defaults = broker_config(version, ProtocolRules::of(version), &[]).expect("the defaults");
    BrokerConfig {
        rules: ProtocolRules::of(KafkaVersion::new(3, 9, 0)),
        replica_lag_time_max: ms(30_000),
        replica_fetch_wait_max: ms(500),
        replica_fetch_min_bytes: 1,
        replica_fetch_backoff: ms(1_000),
        replica_fetch_max_bytes: 1 << 20,
        replica_fetch_response_max_bytes: 10 << 20,
        replica_socket_timeout: ms(30_000),
        num_replica_fetchers: 1,
        high_watermark_checkpoint_interval: ms(5_000),
        recovery_point_checkpoint_interval: ms(60_000),
        controlled_shutdown: true,
        heartbeat_interval: ms(2_000),
        controller_socket_timeout: ms(30_000),
        initial_registration_timeout: ms(60_000),
        message_max_bytes: 1_048_588,
        producer_id_expiration: SimDuration::from_secs(86_400),
        zookeeper: None,
        groups: defaults.groups,
        transactions: defaults.transactions,
    }
}

pub fn topic() -> TopicConfig {
    TopicConfig {
        min_insync_replicas: 1,
        unclean_leader_election: false,
        max_message_bytes: 1_048_588,
        segment_bytes: 1 << 30,
        flush_messages: u64::MAX,
        flush_interval: SimDuration::MAX,
    }
}

/// Broker 1 and what surrounds it.
pub struct Rig {
    pub broker: Broker,
    pub disk: Disk,
    pub now: SimTime,
    rng: NodeRng,
    outbox: Outbox<BrokerTimer, NoReport>,
    /// The metadata fetch that waits for an answer.
    metadata_fetch: Option<(ConnectionId, CorrelationId)>,
    metadata_end: u64,
    /// The controller refuses registration.
    pub registration_error: ErrorCode,
    pub may_shut_down: bool,
    /// Proposals that wait for [`Rig::alter`].
    pub alter_partition: Option<(ConnectionId, CorrelationId, AlterPartitionRequest)>,
}

impl Rig {
    /// A broker that has just been started on `disk`.
    pub fn booted(config: BrokerConfig, topic: TopicConfig, disk: Disk) -> (Rig, Effects) {
        Rig::booted_in(config, vec![topic], Coordination::default(), disk)
    }

    /// A broker that has just been started in a cluster with these topics.
    pub fn booted_in(
        config: BrokerConfig,
        topics: Vec<TopicConfig>,
        coordination: Coordination,
        mut disk: Disk,
    ) -> (Rig, Effects) {
        let mut rng = NodeRng::for_test(1);
        let mut outbox = Outbox::default();
        let setup = BrokerSetup {
            coordination: Arc::new(coordination),
            id: BrokerId(1),
            config: Arc::new(config),
            topics: topics.into(),
            mode: BrokerMode::KRaft { voters: vec![(ControllerId(1), CONTROLLER)] },
            incarnation: Incarnation(0),
        };
        let mut cx = Cx::new(at_ms(0), NodeId(1), &mut rng, &mut disk, &mut outbox);
        let broker = Broker::boot(&mut cx, setup);
        let effects = std::mem::take(&mut outbox.effects);
        let rig = Rig {
            broker,
            disk,
            now: at_ms(0),
            rng,
            outbox,
            metadata_fetch: None,
            metadata_end: 0,
            registration_error: ErrorCode::None,
            may_shut_down: true,
            alter_partition: None,
        };
        (rig, effects)
    }

    /// A broker that serves, in a cluster of brokers 1 to 3.
    pub fn running(config: BrokerConfig, topic: TopicConfig) -> Rig {
        Rig::running_on(config, topic, Disk::default())
    }

    pub fn running_on(config: BrokerConfig, topic: TopicConfig, disk: Disk) -> Rig {
        Rig::running_in(config, vec![topic], Coordination::default(), disk)
    }

    /// A broker that serves, in a cluster of brokers 1 to 3 with these topics.
    pub fn running_in(
        config: BrokerConfig,
        topics: Vec<TopicConfig>,
        coordination: Coordination,
        disk: Disk,
    ) -> Rig {
        let (mut rig, effects) = Rig::booted_in(config, topics, coordination, disk);
        assert!(rig.play(effects).is_empty());
        let registrations = (1..=3).flat_map(|id| [register(id, 0), unfence(id)]);
        rig.metadata(registrations.collect());
        assert!(rig.call(Input::Timer(BrokerTimer::Communication)).is_empty());
        rig.outbox.facts.clear();
        rig
    }

    /// One input: what it asked for, the controller's part played and left out.
    pub fn call(&mut self, input: Input<BrokerTimer, BrokerCall>) -> Effects {
        let effects = self.raw(input);
        self.play(effects)
    }

    /// One input: all that it asked for.
    pub fn raw(&mut self, input: Input<BrokerTimer, BrokerCall>) -> Effects {
        let Rig { broker, disk, now, rng, outbox, .. } = self;
        let mut cx = Cx::new(*now, NodeId(1), rng, disk, outbox);
        broker.handle(&mut cx, input);
        std::mem::take(&mut self.outbox.effects)
    }

    /// What was stated since the last time.
    pub fn facts(&mut self) -> Vec<TraceEvent> {
        std::mem::take(&mut self.outbox.facts).into_iter().map(|(_, fact)| fact).collect()
    }

    fn play(&mut self, effects: Effects) -> Effects {
        let mut left = Vec::new();
        for effect in effects {
            match effect {
                Effect::Connect(connection, CONTROLLER) => {
                    left.extend(self.call(Input::Connected(connection)));
                }
                Effect::Send(connection, Frame::Request(correlation, request)) => {
                    left.extend(self.play_request(connection, correlation, *request));
                }
                Effect::SetTimer(timer, _) | Effect::CancelTimer(timer)
                    if is_housekeeping(timer) => {}
                other => left.push(other),
            }
        }
        left
    }

    fn play_request(
        &mut self,
        connection: ConnectionId,
        correlation: CorrelationId,
        request: Request,
    ) -> Effects {
        let controller = known();
        let response = match request {
            Request::QuorumFetch(_) => {
                self.metadata_fetch = Some((connection, correlation));
                return Vec::new();
            }
            Request::BrokerRegistration(_) => {
                Response::BrokerRegistration(BrokerRegistrationResponse {
                    error: self.registration_error,
                    broker_epoch: broker_epoch(1),
                    controller,
                })
            }
            Request::BrokerHeartbeat(heartbeat) => {
                Response::BrokerHeartbeat(BrokerHeartbeatResponse {
                    error: ErrorCode::None,
                    is_caught_up: heartbeat.current_metadata_offset > MetadataOffset(0),
                    is_fenced: heartbeat.want_fence,
                    should_shut_down: heartbeat.want_shut_down && self.may_shut_down,
                    controller,
                })
            }
            Request::AlterPartition(alter) => {
                self.alter_partition = Some((connection, correlation, alter));
                return Vec::new();
            }
            other => {
                let frame = Frame::Request(correlation, Box::new(other));
                return vec![Effect::Send(connection, frame)];
            }
        };
        self.call(Input::Response { connection, correlation, response: Box::new(response) })
    }

    /// The controller commits `records` and the broker fetches them.
    pub fn metadata(&mut self, records: Vec<MetadataRecord>) -> Effects {
        let (connection, correlation) = self.metadata_fetch.take().expect("it always fetches");
        let offset = MetadataOffset(self.metadata_end);
        self.metadata_end += 1;
        let entry = MetadataEntry { offset, epoch: ControllerEpoch(1), records };
        let response = Response::QuorumFetch(QuorumFetchResponse {
            error: ErrorCode::None,
            controller: known(),
            high_watermark: MetadataOffset(self.metadata_end),
            diverging: None,
            entries: vec![Arc::new(entry)],
        });
        self.call(Input::Response { connection, correlation, response: Box::new(response) })
    }

    /// The controller answers the proposals that it holds.
    pub fn alter(&mut self, answer: PartitionAlterResponse) -> Effects {
        let (connection, correlation, _) = self.alter_partition.take().expect("a proposal");
        let response = Response::AlterPartition(AlterPartitionResponse {
            error: ErrorCode::None,
            partitions: vec![answer],
            controller: known(),
        });
        self.call(Input::Response { connection, correlation, response: Box::new(response) })
    }

    pub fn alter_refused_as_a_whole(&mut self, error: ErrorCode) -> Effects {
        let (connection, correlation, _) = self.alter_partition.take().expect("a proposal");
        let response = Response::AlterPartition(AlterPartitionResponse {
            error,
            partitions: Vec::new(),
            controller: known(),
        });
        self.call(Input::Response { connection, correlation, response: Box::new(response) })
    }

    pub fn produce(&mut self, correlation: u32, acks: Acks, batch: ProducerBatch) -> Effects {
        let timeout = ms(30_000);
        let partitions = smallvec![PartitionProduce { partition: ORDERS, batch }];
        let request = Request::Produce(ProduceRequest {
            transactional_id: None,
            transaction_support: TransactionSupport::default(),
            acks,
            timeout,
            partitions,
        });
        self.request(PRODUCER, correlation, request)
    }

    pub fn request(&mut self, on: ConnectionId, correlation: u32, request: Request) -> Effects {
        self.call(Input::Request {
            connection: on,
            correlation: CorrelationId(correlation),
            from: NodeId(7),
            request: Box::new(request),
        })
    }

    /// Broker `follower` fetches at `offset`, in leader epoch `epoch`, on its own connection.
    pub fn fetch(&mut self, follower: u16, correlation: u32, epoch: u32, offset: u64) -> Effects {
        self.fetch_with(follower, correlation, epoch, offset, None)
    }

    pub fn fetch_with(
        &mut self,
        follower: u16,
        correlation: u32,
        epoch: u32,
        offset: u64,
        last_fetched_epoch: Option<u32>,
    ) -> Effects {
        let request = Request::Fetch(FetchRequest {
            replica: Some(FetchingReplica {
                broker: BrokerId(follower),
                broker_epoch: broker_epoch(follower),
            }),
            max_wait: ms(500),
            min_bytes: 1,
            max_bytes: 10 << 20,
            isolation: Isolation::LogEnd,
            session: FetchSessionUpdate::Full,
            partitions: vec![PartitionFetch {
                partition: ORDERS,
                current_leader_epoch: Some(LeaderEpoch(epoch)),
                fetch_offset: Offset(offset),
                last_fetched_epoch: last_fetched_epoch.map(LeaderEpoch),
                max_bytes: 1 << 20,
            }],
        });
        self.request(follower_connection(follower), correlation, request)
    }

    /// A consumer fetches at `offset`.
    pub fn consume(&mut self, correlation: u32, offset: u64) -> Effects {
        let request = Request::Fetch(FetchRequest {
            replica: None,
            max_wait: ms(500),
            min_bytes: 1,
            max_bytes: 50 << 20,
            isolation: Isolation::HighWatermark,
            session: FetchSessionUpdate::Full,
            partitions: vec![PartitionFetch {
                partition: ORDERS,
                current_leader_epoch: None,
                fetch_offset: Offset(offset),
                last_fetched_epoch: None,
                max_bytes: 1 << 20,
            }],
        });
        self.request(CONSUMER, correlation, request)
    }
}

/// Where the consumer connects from.
pub const CONSUMER: ConnectionId = ConnectionId(8_000);

pub fn follower_connection(follower: u16) -> ConnectionId {
    ConnectionId(1_000 + u32::from(follower))
}

fn is_housekeeping(timer: BrokerTimer) -> bool {
    match timer {
        BrokerTimer::Communication
        | BrokerTimer::RegistrationTimeout
        | BrokerTimer::MetadataFetch
        | BrokerTimer::ControllerChannel(_)
        | BrokerTimer::IsrExpiration
        | BrokerTimer::HighWatermarkCheckpoint
        | BrokerTimer::ProducerIdExpiration
        | BrokerTimer::OffsetsExpiration
        | BrokerTimer::AbortTimedOutTransactions
        | BrokerTimer::TransactionalIdExpiration => true,
        BrokerTimer::ControlledShutdownTimeout
        | BrokerTimer::AlterPartitionRetry
        | BrokerTimer::ProducePurgatory
        | BrokerTimer::FetchPurgatory
        | BrokerTimer::Fetcher(_)
        | BrokerTimer::FlushDirtyLogs
        | BrokerTimer::CoordinatorLoad(_)
        | BrokerTimer::CoordinatorAppends
        | BrokerTimer::GroupCoordinator
        | BrokerTimer::InterBrokerChannel(..)
        | BrokerTimer::ZooKeeperClient
        | BrokerTimer::ZooKeeperConnection
        | BrokerTimer::ZooKeeperRegistration
        | BrokerTimer::IsrChangePropagation
        | BrokerTimer::ControlledShutdown
        | BrokerTimer::ZooKeeperController(_)
        | BrokerTimer::VerificationRetry
        | BrokerTimer::MarkerRetry
        | BrokerTimer::MarkersWaiting => false,
    }
}

fn known() -> KnownController {
    KnownController { leader: Some(ControllerId(1)), epoch: ControllerEpoch(1) }
}

pub fn broker_epoch(broker: u16) -> BrokerEpoch {
    BrokerEpoch(u64::from(broker) * 10)
}

pub fn register(broker: u16, incarnation: u32) -> MetadataRecord {
    MetadataRecord::RegisterBroker {
        broker: BrokerId(broker),
        incarnation: Incarnation(incarnation),
        broker_epoch: broker_epoch(broker),
        node: NodeId(broker),
    }
}

pub fn unfence(broker: u16) -> MetadataRecord {
    MetadataRecord::BrokerRegistrationChange {
        broker: BrokerId(broker),
        broker_epoch: broker_epoch(broker),
        fenced: false,
        in_controlled_shutdown: false,
    }
}

/// Partition orders-0 with replicas 1, 2, 3.
pub fn partition(
    leader: u16,
    leader_epoch: u32,
    partition_epoch: u32,
    isr: &[u16],
) -> MetadataRecord {
    MetadataRecord::PartitionChange(PartitionState {
        partition: ORDERS,
        replicas: brokers(&[1, 2, 3]),
        isr: brokers(isr),
        eligible: BrokerList::new(),
        leader: Some(BrokerId(leader)),
        leader_epoch: LeaderEpoch(leader_epoch),
        partition_epoch: PartitionEpoch(partition_epoch),
        recovering: false,
    })
}

pub fn records(first: u32, count: u32) -> Arc<[Record]> {
    let id = |sequence| RecordId { producer: ProducerIndex(0), sequence };
    (first..first + count).map(|n| Record { id: id(n), attempt: 0, size: 100 }).collect()
}

pub fn batch(first: u32, count: u32) -> ProducerBatch {
    ProducerBatch {
        transactional: false,
        records: records(first, count),
        stamp: None,
        size: 61 + 100 * count,
        max_timestamp: at_ms(0),
    }
}

/// The same batch in a log.
pub fn stored(first: u32, count: u32, base: u64, epoch: u32) -> Arc<RecordBatch> {
    Arc::new(RecordBatch {
        base_offset: Offset(base),
        leader_epoch: LeaderEpoch(epoch),
        size: 61 + 100 * count,
        stamp: None,
        max_timestamp: at_ms(0),
        transactional: false,
        payload: Payload::Records(records(first, count)),
    })
}

pub fn respond(
    to: ConnectionId,
    correlation: u32,
    response: Response,
) -> Effect<BrokerTimer, NoReport> {
    Effect::Send(to, Frame::Response(CorrelationId(correlation), Box::new(response)))
}

pub fn produced(
    correlation: u32,
    error: ErrorCode,
    base_offset: Option<u64>,
) -> Effect<BrokerTimer, NoReport> {
    produced_naming(correlation, error, base_offset, None)
}

pub fn produced_naming(
    correlation: u32,
    error: ErrorCode,
    base_offset: Option<u64>,
    leader: Option<(u16, u32)>,
) -> Effect<BrokerTimer, NoReport> {
    let answer = PartitionProduceResponse {
        partition: ORDERS,
        error,
        base_offset: base_offset.map(Offset),
        current_leader: leader.map(current_leader),
    };
    let response = ProduceResponse { partitions: smallvec![answer] };
    respond(PRODUCER, correlation, Response::Produce(response))
}

fn current_leader((leader, epoch): (u16, u32)) -> CurrentLeader {
    CurrentLeader { leader: BrokerId(leader), leader_epoch: LeaderEpoch(epoch) }
}

/// What a fetch was answered: the high watermark and the batches of the one partition.
pub fn answer(high_watermark: u64, batches: &[Arc<RecordBatch>]) -> PartitionFetchResponse {
    PartitionFetchResponse {
        aborted: smallvec::SmallVec::new(),
        partition: ORDERS,
        error: ErrorCode::None,
        high_watermark: Offset(high_watermark),
        last_stable_offset: Offset(high_watermark),
        log_start_offset: Offset(0),
        diverging_epoch: None,
        current_leader: None,
        batches: batches.iter().cloned().collect(),
    }
}

pub fn failed(
    error: ErrorCode,
    high_watermark: u64,
    leader: Option<(u16, u32)>,
) -> PartitionFetchResponse {
    let current_leader = leader.map(current_leader);
    PartitionFetchResponse { error, current_leader, ..answer(high_watermark, &[]) }
}

pub fn fetched(
    to: ConnectionId,
    correlation: u32,
    partitions: Vec<PartitionFetchResponse>,
) -> Effect<BrokerTimer, NoReport> {
    respond(to, correlation, Response::Fetch(FetchResponse { partitions }))
}

pub fn without(rule: ProtocolRule) -> BrokerConfig {
    let config = config();
    BrokerConfig { rules: config.rules.with(rule, false), ..config }
}
