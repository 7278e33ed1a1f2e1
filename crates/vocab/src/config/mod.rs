//! Configuration as the machines use it: typed, complete, already valid.
//!
//! The text form (Kafka's own property names, defaults by version, ranges, units) is in [`properties`](crate::properties);
//! that table makes these values. Each field documents only what its property's name does not say.

mod zookeeper;

pub use zookeeper::{
    BalancedConsumerConfig, BalancedLibrary, OffsetsStorage, ScalaProducerConfig, ZooKeeperConfig,
    ZooKeeperModeConfig,
};

use crate::api::{Acks, Isolation};
use crate::group::{Assignor, RemoteAssignor};
use crate::rules::{ProtocolRule, ProtocolRules};
use crate::time::SimDuration;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A broker's own properties, and the rules of the version that it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerConfig {
    /// Rules of the broker's version.
    pub rules: ProtocolRules,
    /// `replica.lag.time.max.ms`
    pub replica_lag_time_max: SimDuration,
    /// `replica.fetch.wait.max.ms`
    pub replica_fetch_wait_max: SimDuration,
    /// `replica.fetch.min.bytes`
    pub replica_fetch_min_bytes: u32,
    /// `replica.fetch.backoff.ms`
    pub replica_fetch_backoff: SimDuration,
    /// `replica.fetch.max.bytes`
    pub replica_fetch_max_bytes: u32,
    /// `replica.fetch.response.max.bytes`
    pub replica_fetch_response_max_bytes: u32,
    /// `replica.socket.timeout.ms`
    pub replica_socket_timeout: SimDuration,
    /// `num.replica.fetchers`: threads per source broker.
    pub num_replica_fetchers: u16,
    /// `replica.high.watermark.checkpoint.interval.ms`
    pub high_watermark_checkpoint_interval: SimDuration,
    /// `log.flush.offset.checkpoint.interval.ms`
    pub recovery_point_checkpoint_interval: SimDuration,
    /// `controlled.shutdown.enable`
    pub controlled_shutdown: bool,
    /// `broker.heartbeat.interval.ms` (KRaft)
    pub heartbeat_interval: SimDuration,
    /// `controller.socket.timeout.ms`
    pub controller_socket_timeout: SimDuration,
    /// `initial.broker.registration.timeout.ms` (KRaft)
    pub initial_registration_timeout: SimDuration,
    /// `message.max.bytes`
    pub message_max_bytes: u32,
    /// `producer.id.expiration.ms`
    pub producer_id_expiration: SimDuration,
    /// What only the ZooKeeper mode has; `None` in releases without it.
    pub zookeeper: Option<ZooKeeperModeConfig>,
    /// What it does as a coordinator of groups.
    pub groups: GroupCoordinatorConfig,
    /// What it does as a coordinator of transactions.
    pub transactions: TransactionCoordinatorConfig,
}

/// A broker's properties as a coordinator of groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupCoordinatorConfig {
    /// `offsets.commit.timeout.ms`
    pub commit_timeout: SimDuration,
    /// `offsets.commit.required.acks`; only without the rule `EventLoopGroupCoordinator`.
    pub commit_acks: Acks,
    /// `offsets.retention.minutes`
    pub offsets_retention: SimDuration,
    /// `offsets.retention.check.interval.ms`
    pub offsets_retention_check_interval: SimDuration,
    /// `group.coordinator.append.linger.ms`; `None` adapts (−1). Only with the rule `EventLoopGroupCoordinator`.
    pub append_linger: Option<SimDuration>,
    /// `group.initial.rebalance.delay.ms`; zero before 0.11.
    pub initial_rebalance_delay: SimDuration,
    /// `group.min.session.timeout.ms`
    pub min_session_timeout: SimDuration,
    /// `group.max.session.timeout.ms`
    pub max_session_timeout: SimDuration,
    /// `group.max.size`
    pub max_size: u32,
    /// The brokers serve KIP-848 groups (`group.coordinator.rebalance.protocols` has `consumer`).
    pub consumer_protocol: bool,
    /// `group.consumer.heartbeat.interval.ms`
    pub consumer_heartbeat_interval: SimDuration,
    /// `group.consumer.session.timeout.ms`
    pub consumer_session_timeout: SimDuration,
    /// `group.consumer.assignors`, the default first.
    pub consumer_assignors: Vec<RemoteAssignor>,
}

/// A broker's properties as a coordinator of transactions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransactionCoordinatorConfig {
    /// `transaction.max.timeout.ms`
    pub max_timeout: SimDuration,
    /// `transaction.abort.timed.out.transaction.cleanup.interval.ms`
    pub abort_timed_out_interval: SimDuration,
    /// `transactional.id.expiration.ms`
    pub id_expiration: SimDuration,
}

/// A controller's properties (KRaft), and the rules of the version that it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControllerConfig {
    /// Rules of the controller's version.
    pub rules: ProtocolRules,
    /// `broker.session.timeout.ms`
    pub broker_session_timeout: SimDuration,
    /// `controller.quorum.fetch.timeout.ms`
    pub quorum_fetch_timeout: SimDuration,
    /// `controller.quorum.election.timeout.ms`
    pub quorum_election_timeout: SimDuration,
    /// `controller.quorum.election.backoff.max.ms`
    pub quorum_election_backoff_max: SimDuration,
    /// `controller.quorum.request.timeout.ms`
    pub quorum_request_timeout: SimDuration,
    /// `controller.quorum.retry.backoff.ms`
    pub quorum_retry_backoff: SimDuration,
    /// `controller.quorum.append.linger.ms`
    pub quorum_append_linger: SimDuration,
    /// `auto.leader.rebalance.enable`
    pub auto_leader_rebalance: bool,
    /// `leader.imbalance.check.interval.seconds`
    pub leader_imbalance_check_interval: SimDuration,
    /// `unclean.leader.election.interval.ms` (internal, 5 minutes)
    pub unclean_election_interval: SimDuration,
    /// `metadata.max.idle.interval.ms`: how often the active controller writes a no-op record (KIP-835); `None` for never.
    pub metadata_max_idle_interval: Option<SimDuration>,
}

/// A topic's properties, those that it inherits from the brokers included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicConfig {
    /// `min.insync.replicas`
    pub min_insync_replicas: u16,
    /// `unclean.leader.election.enable`
    pub unclean_leader_election: bool,
    /// `max.message.bytes`: largest batch.
    pub max_message_bytes: u32,
    /// `segment.bytes`: a full segment is rolled, and the old one flushed.
    pub segment_bytes: u64,
    /// `flush.messages`: flush after so many records; `u64::MAX` is never.
    pub flush_messages: u64,
    /// `flush.ms`: flush after so long; [`SimDuration::MAX`] is never.
    pub flush_interval: SimDuration,
}

/// What every client does about connections, retries and metadata (Java's `CommonClientConfigs`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientConfig {
    /// Rules of the client's version.
    pub rules: ProtocolRules,
    /// `request.timeout.ms`; librdkafka: `socket.timeout.ms`.
    pub request_timeout: SimDuration,
    /// `retry.backoff.ms`
    pub retry_backoff: SimDuration,
    /// `retry.backoff.max.ms`; equals `retry_backoff` where the version has none.
    pub retry_backoff_max: SimDuration,
    /// `reconnect.backoff.ms`
    pub reconnect_backoff: SimDuration,
    /// `reconnect.backoff.max.ms`
    pub reconnect_backoff_max: SimDuration,
    /// `socket.connection.setup.timeout.ms`
    pub connection_setup_timeout: SimDuration,
    /// `socket.connection.setup.timeout.max.ms`
    pub connection_setup_timeout_max: SimDuration,
    /// `metadata.max.age.ms`
    pub metadata_max_age: SimDuration,
}

/// Which partition a record without an explicit one goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Partitioner {
    /// Java's default: murmur2 of the key; without a key by the rules of the version (round-robin, sticky, built-in).
    Default,
    /// `RoundRobinPartitioner`: the next available partition for every record, keys ignored.
    RoundRobin,
    /// `UniformStickyPartitioner`: sticky, keys ignored.
    UniformSticky,
    /// librdkafka's `consistent_random`: CRC-32 of the key, random without one.
    ConsistentRandom,
    /// librdkafka's `murmur2_random`: as Java for keys, random without one.
    Murmur2Random,
}

/// The Java producer (`KafkaProducer`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JavaProducerConfig {
    /// Connections, retries, metadata.
    pub client: ClientConfig,
    /// `acks`
    pub acks: Acks,
    /// `enable.idempotence`, as it comes out after the client's own adjustments (KIP-679).
    pub idempotence: bool,
    /// `retries`: of one batch.
    pub retries: u32,
    /// `max.in.flight.requests.per.connection`
    pub max_in_flight: u32,
    /// `batch.size` in bytes
    pub batch_size: u32,
    /// `linger.ms`
    pub linger: SimDuration,
    /// `buffer.memory` in bytes
    pub buffer_memory: u64,
    /// `max.block.ms`
    pub max_block: SimDuration,
    /// `max.request.size` in bytes
    pub max_request_size: u32,
    /// `delivery.timeout.ms`; `None` before 2.1, where a batch expires `request.timeout.ms` after it became ready.
    pub delivery_timeout: Option<SimDuration>,
    /// `partitioner.class`
    pub partitioner: Partitioner,
    /// `partitioner.adaptive.partitioning.enable`
    pub adaptive_partitioning: bool,
    /// `partitioner.ignore.keys`
    pub ignore_keys: bool,
    /// `transaction.timeout.ms`, of a producer that has a `transactional.id`.
    pub transaction_timeout: Option<SimDuration>,
}

/// librdkafka's producer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LibrdkafkaProducerConfig {
    /// Connections, retries, metadata; `request_timeout` is `socket.timeout.ms`.
    pub client: ClientConfig,
    /// `acks` (`request.required.acks`)
    pub acks: Acks,
    /// `enable.idempotence`
    pub idempotence: bool,
    /// `retries` (`message.send.max.retries`)
    pub retries: u32,
    /// `max.in.flight.requests.per.connection` (`max.in.flight`)
    pub max_in_flight: u32,
    /// `batch.num.messages`
    pub batch_num_messages: u32,
    /// `batch.size` in bytes
    pub batch_size: u32,
    /// `linger.ms` (`queue.buffering.max.ms`)
    pub linger: SimDuration,
    /// `queue.buffering.max.messages`
    pub queue_max_messages: u32,
    /// `queue.buffering.max.kbytes`, in bytes
    pub queue_max_bytes: u64,
    /// `message.timeout.ms` (`delivery.timeout.ms`)
    pub message_timeout: SimDuration,
    /// `request.timeout.ms`: how long the broker may wait for followers.
    pub broker_timeout: SimDuration,
    /// `partitioner`
    pub partitioner: Partitioner,
    /// `sticky.partitioning.linger.ms`
    pub sticky_partitioning_linger: SimDuration,
    /// `message.max.bytes`
    pub message_max_bytes: u32,
}

/// A producer of any client library.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProducerConfig {
    /// The Java client.
    Java(JavaProducerConfig),
    /// librdkafka.
    Librdkafka(LibrdkafkaProducerConfig),
    /// The Scala client of 0.8.
    Scala(ScalaProducerConfig),
}

impl ProducerConfig {
    /// Its `acks`.
    #[must_use]
    pub const fn acks(&self) -> Acks {
        match self {
            ProducerConfig::Java(config) => config.acks,
            ProducerConfig::Librdkafka(config) => config.acks,
            ProducerConfig::Scala(config) => config.acks,
        }
    }

    /// Whether it is idempotent.
    #[must_use]
    pub const fn idempotence(&self) -> bool {
        match self {
            ProducerConfig::Java(config) => config.idempotence,
            ProducerConfig::Librdkafka(config) => config.idempotence,
            ProducerConfig::Scala(_) => false,
        }
    }

    /// What it does when it has lost track of its sequences.
    #[must_use]
    pub const fn sequence_repair(&self) -> SequenceRepair {
        match self {
            ProducerConfig::Java(config) => {
                match config.client.rules.has(ProtocolRule::BumpProducerEpochLocally) {
                    true => SequenceRepair::RenumberPartition,
                    false => SequenceRepair::CloseGap,
                }
            }
            ProducerConfig::Librdkafka(_) => SequenceRepair::RenumberAll,
            ProducerConfig::Scala(_) => SequenceRepair::RenumberPartition,
        }
    }
}

/// What an idempotent producer does when it has lost track of its sequences: a batch failed, or the broker misses some.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SequenceRepair {
    /// Moves the sequences of later batches down, or takes a new producer id: Java before 2.5.
    CloseGap,
    /// Raises its epoch and numbers the partition's batches in flight anew: Java since 2.5 (KIP-360).
    #[default]
    RenumberPartition,
    /// Raises its epoch and numbers everything unacknowledged anew: librdkafka.
    RenumberAll,
}

/// Where a consumer goes when it has no position, or an impossible one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AutoOffsetReset {
    /// `latest`
    Latest,
    /// `earliest`
    Earliest,
    /// `none`: the application gets an exception.
    None,
    /// `by_duration:…` (4.0+): the first record at most so old.
    ByDuration(SimDuration),
}

/// A consumer's way of fetching, for a plain reader as for a member of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsumerConfig {
    /// Connections, retries, metadata.
    pub client: ClientConfig,
    /// `auto.offset.reset`
    pub auto_offset_reset: AutoOffsetReset,
    /// `isolation.level`
    pub isolation: Isolation,
    /// `fetch.min.bytes`
    pub fetch_min_bytes: u32,
    /// `fetch.max.wait.ms`
    pub fetch_max_wait: SimDuration,
    /// `fetch.max.bytes`
    pub fetch_max_bytes: u32,
    /// `max.partition.fetch.bytes`
    pub max_partition_fetch_bytes: u32,
    /// `max.poll.records`; `u32::MAX` where the version has no limit.
    pub max_poll_records: u32,
    /// `default.api.timeout.ms`
    pub default_api_timeout: SimDuration,
}

/// Which library a member of a group uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ConsumerLibrary {
    /// Kafka's own client.
    Java,
    /// The C library under most others: stores an offset when a message is handed out, and commits from a background thread.
    Librdkafka,
    /// kafka-python.
    KafkaPython,
}

/// Which protocol a group rebalances by (`group.protocol`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum GroupProtocol {
    /// `classic`: the members vote, and one of them assigns.
    Classic,
    /// `consumer`: the coordinator assigns (KIP-848).
    Consumer,
}

/// A member of a group, or a consumer that assigns itself its partitions and commits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberConfig {
    /// Its library.
    pub library: ConsumerLibrary,
    /// How it fetches.
    pub consumer: ConsumerConfig,
    /// `group.protocol`
    pub protocol: GroupProtocol,
    /// `session.timeout.ms`
    pub session_timeout: SimDuration,
    /// `heartbeat.interval.ms`
    pub heartbeat_interval: SimDuration,
    /// `max.poll.interval.ms`; `None` before 0.10.1.
    pub max_poll_interval: Option<SimDuration>,
    /// `auto.commit.interval.ms`, if `enable.auto.commit`.
    pub auto_commit: Option<SimDuration>,
    /// `enable.auto.offset.store` of librdkafka: what is handed out may be committed. Otherwise what the application has
    /// processed since.
    pub auto_offset_store: bool,
    /// `partition.assignment.strategy`, best first.
    pub assignors: Vec<Assignor>,
    /// `group.remote.assignor`
    pub remote_assignor: Option<RemoteAssignor>,
    /// It has a `group.instance.id`: it is a static member.
    pub is_static: bool,
}

/// The consumer of an application with a `group.id`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupClientConfig {
    /// A member of a group, or a consumer that assigns itself its partitions: with a coordinator.
    Member(Arc<MemberConfig>),
    /// Balanced by ZooKeeper.
    Balanced(Arc<BalancedConsumerConfig>),
}

impl GroupClientConfig {
    /// How it fetches.
    #[must_use]
    pub fn consumer(&self) -> &ConsumerConfig {
        match self {
            GroupClientConfig::Member(config) => &config.consumer,
            GroupClientConfig::Balanced(config) => &config.consumer,
        }
    }

    /// That of a member with a coordinator, if it is one.
    #[must_use]
    pub const fn member(&self) -> Option<&Arc<MemberConfig>> {
        match self {
            GroupClientConfig::Member(config) => Some(config),
            GroupClientConfig::Balanced(_) => None,
        }
    }

    /// Whether it commits to a coordinator, and not to ZooKeeper alone.
    #[must_use]
    pub fn commits_to_kafka(&self) -> bool {
        match self {
            GroupClientConfig::Member(_) => true,
            GroupClientConfig::Balanced(config) => {
                config.offsets_storage != OffsetsStorage::ZooKeeper
            }
        }
    }

    /// Which library.
    #[must_use]
    pub fn library(&self) -> GroupLibrary {
        match self {
            GroupClientConfig::Member(config) => GroupLibrary::Member(config.library),
            GroupClientConfig::Balanced(config) => GroupLibrary::Balanced(config.library),
        }
    }
}

/// The library of an application with a `group.id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum GroupLibrary {
    /// With a coordinator.
    Member(ConsumerLibrary),
    /// Balanced by ZooKeeper.
    Balanced(BalancedLibrary),
}
