//! A validated scenario: what the runtime runs.
//!
//! It cannot name a broker, topic or producer that does not exist, nor hold a property that its version does not have.
//! Everything is resolved: defaults of the version, the variant's settings, `--set`.

use acklab_vocab::api::ApiKey;
use acklab_vocab::config::{
    BrokerConfig, ConsumerConfig, ControllerConfig, GroupClientConfig, ProducerConfig, TopicConfig,
    ZooKeeperConfig,
};
use acklab_vocab::ids::{
    BrokerId, BrokerList, ControllerId, GroupId, GroupIndex, GroupInstanceId, PartitionIndex,
    ProducerIndex, RecordId, TopicId, TopicPartition, TransactionalId, ZooKeeperServerId,
};
use acklab_vocab::rules::{ProtocolRule, ProtocolRules};
use acklab_vocab::time::SimDuration;
use acklab_vocab::trace::{ApplicationReaction, CommitStyle};
use acklab_vocab::version::KafkaVersion;
use std::sync::Arc;

/// One variant of a scenario, ready to run with any seed.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Name: the file's, without `.ron`.
    pub name: String,
    /// Variant, `base` for the file as it stands.
    pub variant: String,
    /// What it shows, in a sentence.
    pub about: String,
    /// Where the case comes from.
    pub source: String,
    /// Version of the brokers and controllers.
    pub kafka: KafkaVersion,
    /// Rules of the brokers and controllers, switches applied.
    pub rules: ProtocolRules,
    /// Rules switched by hand, and to what.
    pub switched_rules: Vec<(ProtocolRule, bool)>,
    /// How long the workload creates records, from time zero.
    pub duration: SimDuration,
    /// How long the run may take to come to rest afterwards.
    pub settle: SimDuration,
    /// What time zero is.
    pub start: Start,
    /// The brokers and controllers.
    pub cluster: Cluster,
    /// The topics, by [`TopicId`].
    pub topics: Vec<Topic>,
    /// The network between all processes.
    pub network: Network,
    /// The brokers' and controllers' disks.
    pub disk: DiskModel,
    /// The producers, by [`ProducerIndex`].
    pub producers: Vec<ProducerSpec>,
    /// Plain readers.
    pub readers: Vec<ReaderSpec>,
    /// Every `group.id`, by [`GroupId`].
    pub group_ids: Vec<String>,
    /// The consumer applications, by [`GroupIndex`].
    pub groups: Vec<GroupSpec>,
    /// Every `transactional.id`, by [`TransactionalId`].
    pub transactional_ids: Vec<String>,
    /// `__consumer_offsets` among the topics, if there are groups.
    pub offsets_topic: Option<TopicId>,
    /// `__transaction_state` among the topics, if there are transactional ids.
    pub transactions_topic: Option<TopicId>,
    /// What goes wrong.
    pub faults: Vec<FaultSpec>,
}

/// What time zero is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// A cluster that has formed before: topics created, leaders elected, everybody at rest.
    #[default]
    Settled,
    /// The first start of every process.
    Cold,
}

/// Brokers and controllers.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    /// The brokers, `1..=n`.
    pub brokers: Vec<BrokerId>,
    /// Who keeps the cluster's metadata.
    pub mode: Mode,
    /// Properties of every broker.
    pub broker_config: Arc<BrokerConfig>,
    /// Properties of every controller.
    pub controller_config: Arc<ControllerConfig>,
    /// `num.io.threads` of every broker.
    pub io_threads: u16,
    /// How long a request keeps an I/O thread busy.
    pub service: Service,
    /// From the start of a broker's or controller's process to the moment at which it runs: JVM and log loading.
    pub start_up: Span,
}

/// Who keeps the cluster's metadata.
#[derive(Clone, Debug, PartialEq)]
pub enum Mode {
    /// A quorum of controllers.
    KRaft {
        /// The voters, and the broker whose process each shares, if any.
        controllers: Vec<(ControllerId, Option<BrokerId>)>,
    },
    /// A ZooKeeper ensemble; one of the brokers is the controller.
    ZooKeeper {
        /// The servers.
        servers: Vec<ZooKeeperServerId>,
        /// Properties of every server.
        config: Arc<ZooKeeperConfig>,
    },
}

impl Cluster {
    /// The voters of a KRaft quorum, and the broker whose process each shares, if any; none in ZooKeeper mode.
    #[must_use]
    pub fn controllers(&self) -> &[(ControllerId, Option<BrokerId>)] {
        match &self.mode {
            Mode::KRaft { controllers } => controllers,
            Mode::ZooKeeper { .. } => &[],
        }
    }

    /// The servers of the ZooKeeper ensemble; none in KRaft mode.
    #[must_use]
    pub fn zookeeper(&self) -> &[ZooKeeperServerId] {
        match &self.mode {
            Mode::KRaft { .. } => &[],
            Mode::ZooKeeper { servers, .. } => servers,
        }
    }
}

/// How long a request keeps an I/O thread: `base` plus its bytes at `bytes_per_second`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Service {
    /// For any request.
    pub base: SimDuration,
    /// Append to the page cache; 0 for no limit.
    pub bytes_per_second: u64,
}

/// A topic.
#[derive(Clone, Debug, PartialEq)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// The replicas of each partition; the first is preferred.
    pub assignments: Vec<BrokerList>,
    /// How many of them it has at first; faults add the others.
    pub at_first: u16,
    /// Its properties.
    pub config: TopicConfig,
    /// The brokers' own: `__consumer_offsets` or `__transaction_state`.
    pub internal: bool,
}

/// A duration that may be drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// Always the same.
    Exactly(SimDuration),
    /// Anything between, both inclusive.
    Uniform(SimDuration, SimDuration),
    /// Exponential with this mean.
    Exponential(SimDuration),
    /// Lognormal with this median and 99th percentile.
    LogNormal {
        /// Half of the draws are below.
        median: SimDuration,
        /// One in a hundred draws is above.
        p99: SimDuration,
    },
    /// Pareto: never below `scale`, with a heavy tail; the mean is infinite if `shape_thousandths` ≤ 1000.
    Pareto {
        /// Smallest value.
        scale: SimDuration,
        /// Shape times 1000.
        shape_thousandths: u32,
    },
}

/// The network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// One way, between brokers and controllers.
    pub latency: Span,
    /// One way, between clients and brokers.
    pub client_latency: Span,
    /// Bytes per second of each direction of each link; 0 for no limit.
    pub bytes_per_second: u64,
    /// Share of packets lost, in millionths; a lost packet comes late, by TCP's retransmission.
    pub loss_millionths: u32,
    /// TCP's smallest retransmission timeout; doubles with every loss of the same packet (Linux: 200 ms).
    pub retransmission_timeout: SimDuration,
}

/// Disks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskModel {
    /// How long a flush takes.
    pub flush: Span,
    /// How old a dirty page gets before the operating system writes it back by itself: drawn once for each loss of power.
    pub write_back: Span,
}

/// Equal producers under one name.
#[derive(Clone, Debug, PartialEq)]
pub struct ProducerSpec {
    /// Their name.
    pub name: String,
    /// How many.
    pub count: u16,
    /// Where they write.
    pub topic: TopicId,
    /// Records per second of each, in thousandths.
    pub rate_millihertz: u64,
    /// When the bursts come.
    pub arrivals: Arrivals,
    /// How many records the application creates at once.
    pub burst: u32,
    /// Bytes of key and value of each record.
    pub size: u32,
    /// Keys and explicit partitions.
    pub keys: Keys,
    /// What the application does with an error.
    pub on_error: OnError,
    /// When it begins, from time zero.
    pub from: SimDuration,
    /// When it ends; the scenario's duration if that is earlier.
    pub until: SimDuration,
    /// At most so many records of each instance.
    pub limit: Option<u32>,
    /// The client library, its version and properties.
    pub config: Arc<ProducerConfig>,
    /// It writes in transactions.
    pub transactions: Option<ProducerTransactions>,
}

/// How a producer's application uses transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerTransactions {
    /// `transactional.id` of each instance.
    pub ids: Vec<TransactionalId>,
    /// A transaction is committed after so many bursts.
    pub bursts: u32,
    /// Share of transactions that the application aborts instead, in millionths.
    pub abort_millionths: u32,
}

/// A consumer application: equal processes that share a `group.id`.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupSpec {
    /// Its name; the group id, if the file gives no other.
    pub name: String,
    /// Its `group.id`.
    pub group: GroupId,
    /// The topics that it reads, ascending.
    pub topics: Vec<TopicId>,
    /// It assigns itself every partition (`assign()`), instead of subscribing.
    pub assigns_itself: bool,
    /// How many instances run at first.
    pub members: u16,
    /// How many instances there can be: `members`, or more if a fault scales out.
    pub instances: u16,
    /// `group.instance.id` of each instance; empty for dynamic members. Two applications of a group may share one, and then
    /// fence each other.
    pub instance_ids: Vec<GroupInstanceId>,
    /// When its instances start; `None` before time zero, so that the group is stable then.
    pub from: Option<SimDuration>,
    /// Between the starts of two instances, where they do not start before time zero.
    pub stagger: SimDuration,
    /// How long the application works on a record, and what is special.
    pub processing: Processing,
    /// How it commits.
    pub commit: CommitStyle,
    /// What it does when a commit fails for good (`CommitFailedException` and the like).
    pub on_commit_failure: ApplicationReaction,
    /// Worker threads of each instance, with [`CommitStyle::HandedToWorkers`]; otherwise the thread that polls works.
    pub workers: u16,
    /// The timeout that the application gives to `poll()`.
    pub poll_timeout: SimDuration,
    /// What it writes for each record that it has processed.
    pub output: Option<Output>,
    /// The client library, its version and properties.
    pub config: GroupClientConfig,
}

/// How an application works on records.
#[derive(Clone, Debug, PartialEq)]
pub struct Processing {
    /// Time for each record.
    pub per_record: Span,
    /// A period in which records take another time: from, until (from time zero), and time for each.
    pub slow: Option<(SimDuration, SimDuration, Span)>,
    /// Records that are special.
    pub poison: Vec<Poison>,
    /// It holds Python's interpreter lock while it works on a record, as C code and regular expressions do: no other thread
    /// of the process runs then, not even the one that keeps a session alive.
    pub holds_interpreter_lock: bool,
}

/// A record that an application does not digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Poison {
    /// Which record.
    pub record: RecordId,
    /// What it does, each time that it is processed.
    pub effect: PoisonEffect,
}

/// What a poison record does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoisonEffect {
    /// It takes so long.
    Takes(SimDuration),
    /// The process crashes before the record is processed, and starts again after so long.
    Crashes(SimDuration),
}

/// What an application writes for each record that it has processed: a record of its own, whose sequence number is that of
/// the record processed, so that a copy can be told from a second processing. Of several input producers, `n`, the k-th's
/// sequence `s` becomes `s · n + k`.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// Its name among the producers: after all of [`Scenario::producers`].
    pub producer: ProducerIndex,
    /// Its name.
    pub name: String,
    /// Where it writes. A record goes to the partition of its number modulo the topic's partitions.
    pub topic: TopicId,
    /// Bytes of key and value of each record.
    pub size: u32,
    /// The producer's library and properties.
    pub config: Arc<ProducerConfig>,
    /// The transactions, with [`CommitStyle::InTransaction`].
    pub transactions: Option<OutputTransactions>,
}

/// How a read-process-write application uses transactions: one for the records of each `poll()`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputTransactions {
    /// `transactional.id` of each instance.
    pub ids: Vec<TransactionalId>,
    /// Share of transactions that the application aborts, in millionths.
    pub abort_millionths: u32,
    /// After an abort it goes back to the committed offsets. Without it the records of the aborted transaction are skipped.
    pub rewinds_after_abort: bool,
    /// It passes its membership along with the offsets (KIP-447).
    pub passes_membership: bool,
}

/// When an application creates records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrivals {
    /// Evenly, with a phase drawn for each instance.
    Even,
    /// As a Poisson process.
    Poisson,
}

/// Which key or partition an application gives its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// None: the partitioner decides.
    None,
    /// A key of its own for every record.
    Unique,
    /// A key of its own for every burst, so that a burst is one batch.
    PerBurst,
    /// One of so many keys, drawn for each record.
    Among(u32),
    /// Always this partition.
    Partition(PartitionIndex),
}

/// What an application does when the producer reports an error for a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// Gives the record up.
    GiveUp,
    /// Sends it again as a new attempt, at most so many times, after waiting.
    SendAgain {
        /// Most attempts after the first.
        attempts: u16,
        /// How long to wait before each.
        after: SimDuration,
    },
}

/// A plain reader: a consumer that assigns itself every partition of its topics.
#[derive(Clone, Debug, PartialEq)]
pub struct ReaderSpec {
    /// Its name.
    pub name: String,
    /// What it reads.
    pub topics: Vec<TopicId>,
    /// The client's version and properties.
    pub config: Arc<ConsumerConfig>,
}

/// Something that goes wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct FaultSpec {
    /// When it strikes.
    pub when: When,
    /// What.
    pub fault: Fault,
    /// For how long; `None`: until the workload has ended, or for good if `permanent`.
    pub lasting: Option<Span>,
    /// It does not heal when the workload has ended.
    pub permanent: bool,
}

/// When a fault strikes.
#[derive(Clone, Debug, PartialEq)]
pub enum When {
    /// So long after time zero.
    At(Span),
    /// Again and again: the first time after `first`, then each time `period` after the last, until `until`.
    Every {
        /// The first, from time zero.
        first: Span,
        /// From one to the next.
        period: Span,
        /// The last is before this, from time zero.
        until: SimDuration,
    },
    /// As soon as something has become true, between two effects of the same event; with a delay, so long afterwards.
    After {
        /// What to wait for.
        trigger: Trigger,
        /// How long to wait then.
        delay: SimDuration,
    },
}

/// A fact to wait for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// A leader has appended the record.
    Appended(RecordId),
    /// A follower has appended the record: the n-th one to do so, from 1.
    Replicated(RecordId, u16),
    /// A leader has answered the produce request of the record with success: the answer is on its way.
    Answered(RecordId),
    /// The producer has told its application that the record is acked.
    Acked(RecordId),
    /// A leader's high watermark is past the offset.
    HighWatermarkReached(TopicPartition, u64),
    /// A broker has learned that it leads the partition, in an epoch that is not its first.
    LeaderChanged(TopicPartition),
    /// The committed ISR of the partition, at its leader, has so many members or fewer.
    IsrShrunkTo(TopicPartition, u16),
    /// The committed ISR of the partition, at its leader, has so many members again, after having had fewer.
    IsrGrownTo(TopicPartition, u16),
    /// The broker has been fenced; with ZooKeeper, its session has expired.
    Fenced(BrokerId),
    /// A controller was elected: the n-th time after time zero, from 1.
    ControllerElected(u16),
    /// A server of the ZooKeeper ensemble was elected to lead it: the n-th time after time zero, from 1.
    ZooKeeperLeaderElected(u16),
    /// The ZooKeeper session of a broker, or of an instance of an application, has expired: the n-th time after time zero,
    /// from 1.
    SessionExpired(Target, u16),
    /// A consumer's owner znode for the partition was written: the n-th time after time zero, from 1.
    Claimed(GroupId, TopicPartition, u16),
    /// An instance of the application has processed the record.
    Processed(GroupIndex, RecordId),
    /// A rebalance of the group began: the n-th after time zero, from 1.
    RebalanceStarted(GroupId, u16),
    /// The group became stable: the n-th time after time zero, from 1.
    GroupStable(GroupId, u16),
    /// A commit with an offset past the record at this offset was answered with success.
    Committed(GroupId, TopicPartition, u64),
    /// A transaction was begun with this id: the n-th after time zero, from 1.
    TransactionBegun(TransactionalId, u16),
    /// Another fault of this scenario, by position in the list, has begun or has ended.
    Fault(usize, FaultPhase),
}

/// Beginning or end of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultPhase {
    /// It has begun.
    Began,
    /// It has ended.
    Ended,
}

/// Whom a fault strikes. Roles are resolved when it strikes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The process of a broker.
    Broker(BrokerId),
    /// The process of a controller.
    Controller(ControllerId),
    /// The broker that the controller holds for the partition's leader.
    LeaderOf(TopicPartition),
    /// The n-th replica of the partition that is not its leader, in assignment order, from 0.
    FollowerOf(TopicPartition, u16),
    /// The active controller: with ZooKeeper, the broker that is it.
    ActiveController,
    /// The process of a server of the ZooKeeper ensemble.
    ZooKeeper(ZooKeeperServerId),
    /// The server that leads the ensemble.
    ZooKeeperLeader,
    /// Every server of the ensemble.
    ZooKeepers,
    /// Every instance of a producer, or one of them.
    Producer(ProducerIndex, Option<u16>),
    /// A plain reader, by position in the list.
    Reader(usize),
    /// Every instance of a consumer application, or one of them.
    Member(GroupIndex, Option<u16>),
    /// The instance of a consumer application that owns the partition, by the coordinator's assignment.
    OwnerOf(GroupIndex, TopicPartition),
    /// An instance that runs, drawn from the seed.
    AnyMember(GroupIndex),
    /// The group's coordinator: the leader of its partition of `__consumer_offsets`.
    CoordinatorOf(GroupId),
    /// The coordinator of a transactional id.
    TransactionCoordinatorOf(TransactionalId),
    /// A broker drawn from the seed.
    AnyBroker,
    /// Every broker.
    Brokers,
    /// Every controller: with ZooKeeper, the broker that is it.
    Controllers,
    /// Every producer, reader and consumer.
    Clients,
    /// Everybody whom the other side of the same fault does not name.
    Rest,
}

/// Both directions of a cut, or one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Nothing passes either way.
    Both,
    /// Nothing passes from the first side to the second.
    FirstToSecond,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The processes die; their hosts, page caches and all, live on. Ends with a restart.
    Kill(Vec<Target>),
    /// The hosts lose power. Ends with a restart.
    PowerLoss(Vec<Target>),
    /// The processes stand still, as in a GC pause.
    Pause(Vec<Target>),
    /// The broker gets SIGTERM and shuts down in an orderly way; a consumer application calls `close()`. Ends with a restart.
    ControlledShutdown(Vec<Target>),
    /// The instances of an application are restarted one after the other, each in an orderly way.
    RollingRestart {
        /// Whose.
        group: GroupIndex,
        /// From the end of a process to its next start.
        down: Span,
        /// From a start to the next instance's end.
        between: Span,
    },
    /// So many instances of an application run from now on: more are started, or the last ones close.
    Scale {
        /// Whose.
        group: GroupIndex,
        /// How many.
        members: u16,
    },
    /// A request of an API stalls on its way from one side to the other, and everything behind it on its connection; other
    /// connections do not.
    StallRequests {
        /// Who asks.
        from: Vec<Target>,
        /// Who is asked.
        to: Vec<Target>,
        /// Which API.
        api: ApiKey,
        /// For how long.
        by: Span,
        /// Only the first so many.
        first: Option<u16>,
    },
    /// So many partitions are added to a topic. Has no end.
    AddPartitions {
        /// To which.
        topic: TopicId,
        /// How many.
        count: u16,
    },
    /// The preferred replica of the partition, or of every partition, is elected. Has no end.
    PreferredElection(Option<TopicPartition>),
    /// Nothing passes between the two sides, or one way; connections stay, and bytes are held.
    Partition {
        /// One side.
        first: Vec<Target>,
        /// The other.
        second: Vec<Target>,
        /// Which way.
        direction: Direction,
    },
    /// Packets between the two sides take longer, both ways.
    LinkDelay {
        /// One side.
        first: Vec<Target>,
        /// The other.
        second: Vec<Target>,
        /// How much longer.
        extra: Span,
    },
    /// Packets between the two sides get lost more often, both ways.
    LinkLoss {
        /// One side.
        first: Vec<Target>,
        /// The other.
        second: Vec<Target>,
        /// Share of packets, in millionths.
        millionths: u32,
    },
    /// Requests are handled, but responses do not come back.
    DropResponses {
        /// To requests of these APIs.
        apis: Vec<ApiKey>,
        /// Who answers.
        from: Vec<Target>,
        /// Who asked.
        to: Vec<Target>,
        /// Share of responses, in millionths.
        millionths: u32,
        /// What the client sees.
        then: DroppedResponse,
    },
    /// Flushes, and requests that write, take longer.
    SlowDisk {
        /// Whose disks.
        targets: Vec<Target>,
        /// How much longer.
        extra: Span,
    },
    /// One of these, drawn from the seed each time.
    OneOf(Vec<Fault>),
}

/// What a client sees of a response that is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DroppedResponse {
    /// The connection is reset.
    Reset,
    /// The connection stands still, until the client's request times out.
    Stall,
}
