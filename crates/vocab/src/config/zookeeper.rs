//! ZooKeeper's own properties, and those of the clients of its era.

use super::ConsumerConfig;
use crate::api::Acks;
use crate::rules::ProtocolRules;
use crate::time::SimDuration;
use serde::{Deserialize, Serialize};

/// A server of the ensemble (`zoo.cfg`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZooKeeperConfig {
    /// `tickTime`: sessions expire on multiples of it.
    pub tick_time: SimDuration,
    /// `initLimit`, in ticks: how long a follower may take to connect and synchronize.
    pub init_limit: u32,
    /// `syncLimit`, in ticks: silence after which leader and follower give each other up.
    pub sync_limit: u32,
    /// `minSessionTimeout`: two ticks, if not set.
    pub min_session_timeout: SimDuration,
    /// `maxSessionTimeout`: twenty ticks, if not set.
    pub max_session_timeout: SimDuration,
}

/// A broker's properties that only the ZooKeeper mode has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZooKeeperModeConfig {
    /// `zookeeper.session.timeout.ms`
    pub session_timeout: SimDuration,
    /// `zookeeper.connection.timeout.ms`; the session timeout, if not set.
    pub connection_timeout: SimDuration,
    /// `controlled.shutdown.max.retries`
    pub controlled_shutdown_max_retries: u32,
    /// `controlled.shutdown.retry.backoff.ms`
    pub controlled_shutdown_retry_backoff: SimDuration,
    /// `replica.lag.max.messages`; `None` from 0.9 on.
    pub replica_lag_max_messages: Option<u64>,
    /// `num.io.threads`: so many requests may wait for locks before no other is handled.
    pub io_threads: u16,
    /// `auto.leader.rebalance.enable`
    pub auto_leader_rebalance: bool,
    /// `leader.imbalance.check.interval.seconds`
    pub leader_imbalance_check_interval: SimDuration,
    /// `leader.imbalance.per.broker.percentage`: above it, a broker's partitions get their preferred leaders back.
    pub leader_imbalance_percentage: u32,
}

/// Which of the libraries whose consumers share a topic out among themselves by ZooKeeper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum BalancedLibrary {
    /// Kafka's own of 0.8, the high-level consumer (`ZookeeperConsumerConnector`).
    HighLevel,
    /// pykafka's `BalancedConsumer`.
    Pykafka,
}

/// Where a balanced consumer keeps its offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum OffsetsStorage {
    /// In znodes, unfenced.
    ZooKeeper,
    /// At the group's coordinator, without membership, unfenced.
    Kafka,
    /// In both (`dual.commit.enabled`); the larger one counts.
    Both,
}

/// A consumer that shares a topic out with its like by ZooKeeper: no coordinator, no generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BalancedConsumerConfig {
    /// Which library.
    pub library: BalancedLibrary,
    /// How it fetches.
    pub consumer: ConsumerConfig,
    /// `zookeeper.session.timeout.ms`; pykafka: `zookeeper_connection_timeout_ms`.
    pub session_timeout: SimDuration,
    /// `rebalance.max.retries`, `rebalance_max_retries`: attempts of one rebalance.
    pub rebalance_max_retries: u32,
    /// `rebalance.backoff.ms`: after each attempt; pykafka: times the number of attempts before.
    pub rebalance_backoff: SimDuration,
    /// `auto.commit.interval.ms`, if `auto.commit.enable`.
    pub auto_commit: Option<SimDuration>,
    /// `offsets.storage`, `dual.commit.enabled`; always in Kafka for pykafka.
    pub offsets_storage: OffsetsStorage,
    /// `offsets.commit.max.retries`
    pub offsets_commit_max_retries: u32,
    /// `offsets.channel.backoff.ms`; pykafka: times the number of attempts before.
    pub offsets_channel_backoff: SimDuration,
    /// `offsets.channel.socket.timeout.ms`
    pub offsets_channel_timeout: SimDuration,
    /// `refresh.leader.backoff.ms`: after a partition has lost its leader.
    pub refresh_leader_backoff: SimDuration,
    /// `queued_max_messages` of each partition; the high-level consumer's `queued.max.message.chunks`.
    pub queue: u32,
}

/// The Scala producer of 0.8 (`kafka.producer.Producer`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScalaProducerConfig {
    /// Rules of its version.
    pub rules: ProtocolRules,
    /// `producer.type`: `async` queues messages and sends them from a thread; `sync` sends inside `send()`.
    pub asynchronous: bool,
    /// `request.required.acks`
    pub acks: Acks,
    /// `request.timeout.ms`: how long the broker may wait for followers, and how long the socket waits.
    pub request_timeout: SimDuration,
    /// `message.send.max.retries`
    pub retries: u32,
    /// `retry.backoff.ms`: before the metadata is refreshed for a retry.
    pub retry_backoff: SimDuration,
    /// `topic.metadata.refresh.interval.ms`: also how long messages without a key keep their partition.
    pub metadata_refresh_interval: SimDuration,
    /// `queue.buffering.max.ms`
    pub queue_max: SimDuration,
    /// `queue.buffering.max.messages`
    pub queue_max_messages: u32,
    /// `queue.enqueue.timeout.ms`: `None` waits for room for ever (−1); zero drops the message at once.
    pub queue_enqueue_timeout: Option<SimDuration>,
    /// `batch.num.messages`
    pub batch_num_messages: u32,
}
