//! What surrounds a broker: what it is started with, its timers, what operators ask of it.

use super::controller_channel::ChannelPurpose;
use super::coordination::CoordinatorKind;
use super::inter_broker_channel::InterBrokerPurpose;
use super::zookeeper::ControllerTimer;
use acklab_vocab::api::Endpoint;
use acklab_vocab::config::{BrokerConfig, TopicConfig};
use acklab_vocab::ids::{BrokerId, BrokerList, ControllerId, Incarnation, TopicId, TopicPartition};
use std::sync::Arc;

/// What a broker is started with.
#[derive(Clone, Debug)]
pub struct BrokerSetup {
    /// `node.id`
    pub id: BrokerId,
    /// Its properties, and the rules of its version.
    pub config: Arc<BrokerConfig>,
    /// Properties of every topic, by [`TopicId`].
    pub topics: Arc<[TopicConfig]>,
    /// What it needs to know as a coordinator.
    pub coordination: Arc<Coordination>,
    /// Where the cluster keeps its truth.
    pub mode: BrokerMode,
    /// Which life of the process begins.
    pub incarnation: Incarnation,
}

/// Where a cluster keeps its truth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BrokerMode {
    /// In the metadata log of a quorum of controllers.
    KRaft {
        /// `controller.quorum.voters`
        voters: Vec<(ControllerId, Endpoint)>,
    },
    /// In ZooKeeper; one of the brokers is the controller.
    ZooKeeper {
        /// `zookeeper.connect`
        servers: Vec<Endpoint>,
    },
}

/// The internal topics and the names that are hashed onto their partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coordination {
    /// `__consumer_offsets`, if there are groups.
    pub offsets_topic: Option<TopicId>,
    /// `__transaction_state`, if there are transactional ids.
    pub transactions_topic: Option<TopicId>,
    /// `offsets.topic.num.partitions`; in KRaft, the metadata tell.
    pub offsets_partitions: u32,
    /// `transaction.state.log.num.partitions`; in KRaft, the metadata tell.
    pub transactions_partitions: u32,
    /// Every `group.id`, by [`GroupId`](acklab_vocab::ids::GroupId).
    pub group_ids: Vec<String>,
    /// Every `transactional.id`, by [`TransactionalId`](acklab_vocab::ids::TransactionalId).
    pub transactional_ids: Vec<String>,
}

/// The broker's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BrokerTimer {
    /// The next registration or heartbeat is due (`BrokerLifecycleManager.CommunicationEvent`).
    Communication,
    /// `initial.broker.registration.timeout.ms` is over.
    RegistrationTimeout,
    /// The controller has not let the broker go: controlled shutdown took 5 minutes.
    ControlledShutdownTimeout,
    /// The metadata fetch waits no longer for a connection or an answer, or tries again.
    MetadataFetch,
    /// A channel to the controller waits no longer for a connection or an answer, or tries again.
    ControllerChannel(ChannelPurpose),
    /// Refused ISR proposals are sent again.
    AlterPartitionRetry,
    /// Half of `replica.lag.time.max.ms` is over: look for lagging followers (`isr-expiration`).
    IsrExpiration,
    /// The earliest deadline among the parked produce requests, or earlier.
    ProducePurgatory,
    /// The earliest deadline among the parked fetches, or earlier.
    FetchPurgatory,
    /// A fetcher tries a delayed partition again, or waits no longer for its leader.
    Fetcher(u32),
    /// `replica.high.watermark.checkpoint.interval.ms` is over.
    HighWatermarkCheckpoint,
    /// The shortest `flush.ms` of all topics is over.
    FlushDirtyLogs,
    /// `producer.id.expiration.check.interval.ms` (10 minutes) is over.
    ProducerIdExpiration,
    /// A coordinator has read the first partition of its queue.
    CoordinatorLoad(CoordinatorKind),
    /// The earliest deadline among the coordinators' appends, or earlier.
    CoordinatorAppends,
    /// The earliest deadline of any group, or earlier: sessions, rebalances, lingering batches.
    GroupCoordinator,
    /// `offsets.retention.check.interval.ms` is over.
    OffsetsExpiration,
    /// A channel to another broker waits no longer for a connection or an answer, or tries again.
    InterBrokerChannel(InterBrokerPurpose, BrokerId),
    /// A refused verification of a transaction is tried again.
    VerificationRetry,
    /// A refused marker is sent again.
    MarkerRetry,
    /// Markers without a leader to go to, and ends that the log did not take, are tried again.
    MarkersWaiting,
    /// `transaction.abort.timed.out.transaction.cleanup.interval.ms` is over.
    AbortTimedOutTransactions,
    /// `transaction.remove.expired.transaction.cleanup.interval.ms` (1 hour) is over.
    TransactionalIdExpiration,
    /// The client of ZooKeeper has something to do.
    ZooKeeperClient,
    /// `zookeeper.connection.timeout.ms` is over, and there has been no session yet.
    ZooKeeperConnection,
    /// The broker tries again to register in ZooKeeper.
    ZooKeeperRegistration,
    /// It is time to announce ISRs written to ZooKeeper (`isr-change-propagation`).
    IsrChangePropagation,
    /// A controlled shutdown waits no longer for the controller, or tries again.
    ControlledShutdown,
    /// A timer of the controller of the ZooKeeper mode.
    ZooKeeperController(ControllerTimer),
}

/// What the operator may ask of a broker. All but the first are for the ZooKeeper mode, and for any
/// broker: it stands for the admin tool, too, and writes the znodes by which that tool speaks to
/// the controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BrokerCall {
    /// SIGTERM: hand over leadership (`controlled.shutdown.enable`), then stop in an orderly way.
    ShutDown,
    /// `kafka-topics.sh --create`. Nothing happens if the topic exists.
    CreateTopic {
        /// Which.
        topic: TopicId,
        /// Replicas of each partition, the preferred one first.
        assignments: Vec<BrokerList>,
    },
    /// `kafka-topics.sh --alter --partitions`. Nothing happens if there is no such topic, or if it
    /// has as many partitions.
    CreatePartitions {
        /// Which topic.
        topic: TopicId,
        /// Replicas of each partition, those that it has included.
        assignments: Vec<BrokerList>,
    },
    /// `kafka-preferred-replica-election.sh`. Nothing happens while an earlier election has not
    /// been done.
    ElectLeaders {
        /// Which partitions.
        partitions: Vec<TopicPartition>,
        /// Any live replicas for partitions without a leader (KIP-460): only asked of the
        /// controller itself.
        unclean: bool,
    },
}

/// A server tells no application anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoReport {}
