//! The trace: typed facts in the past tense, in the order in which they became true.
//!
//! Machines state facts about themselves, the runtime states facts about the world. The verdict is a fold over this stream
//! and knows nothing else. A fact about records is stated per batch and shares the batch.

use crate::api::{Acks, ApiKey, LeaveReason, OffsetToCommit};
use crate::config::{ConsumerLibrary, SequenceRepair};
use crate::error::ErrorCode;
use crate::group::Assignor;
use crate::ids::{
    BrokerEpoch, BrokerId, BrokerList, ControllerEpoch, ControllerId, EventId, Generation, GroupId,
    GroupIndex, GroupInstanceId, Incarnation, LeaderEpoch, MemberId, NodeId, Offset, ProducerEpoch,
    ProducerId, ProducerIndex, TopicPartition, TransactionalId,
};
use crate::metadata_log::PartitionState;
use crate::record::{Record, RecordBatch};
use crate::rules::ProtocolRule;
use crate::time::{SimDuration, SimTime};
use crate::transaction::{TransactionResult, TransactionState};
use crate::version::KafkaVersion;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A fact with its place in the history.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Stamped {
    /// The queue event that was being handled when the fact became true. Several facts of one event share it.
    pub cause: EventId,
    /// When.
    pub at: SimTime,
    /// Where.
    pub node: NodeId,
    /// What.
    pub event: TraceEvent,
}

/// One edge between queue events: event `id` happened because event `cause` had sent a message, set a timer or asked for a
/// flush. Together the edges give every event its causal past.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Edge {
    /// The event that is handled now.
    pub id: EventId,
    /// The event that scheduled it.
    pub cause: EventId,
    /// When it is handled.
    pub at: SimTime,
    /// Where.
    pub node: NodeId,
    /// What kind of event it is.
    pub kind: EdgeKind,
}

/// What an [`Edge`] stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EdgeKind {
    /// A request arrived.
    Request {
        /// From which process.
        from: NodeId,
        /// Of which API.
        api: ApiKey,
    },
    /// A response arrived.
    Response {
        /// From which process.
        from: NodeId,
        /// Of which API.
        api: ApiKey,
    },
    /// A connection was opened, refused or closed.
    Connection {
        /// The other end.
        peer: NodeId,
    },
    /// A timer was due.
    Timer,
    /// A flush was done.
    Flush,
    /// The application acted.
    Application,
    /// The world acted: a fault, a process start.
    World,
}

/// Receives the history. An observer that does nothing costs nothing.
pub trait Observer {
    /// The run begins.
    fn begin(&mut self, header: &RunHeader) {
        let _ = header;
    }

    /// A fact became true.
    fn observe(&mut self, stamped: &Stamped);

    /// An event is about to be handled. Called only if [`Observer::WANTS_EDGES`].
    fn edge(&mut self, edge: &Edge) {
        let _ = edge;
    }

    /// Whether [`Observer::edge`] is to be called.
    const WANTS_EDGES: bool = false;
}

impl Observer for () {
    fn observe(&mut self, _: &Stamped) {}
}

impl<A: Observer, B: Observer> Observer for (A, B) {
    fn begin(&mut self, header: &RunHeader) {
        self.0.begin(header);
        self.1.begin(header);
    }

    fn observe(&mut self, stamped: &Stamped) {
        self.0.observe(stamped);
        self.1.observe(stamped);
    }

    fn edge(&mut self, edge: &Edge) {
        self.0.edge(edge);
        self.1.edge(edge);
    }

    const WANTS_EDGES: bool = A::WANTS_EDGES || B::WANTS_EDGES;
}

/// What a judge must know before the first fact: names, promises, the version. First line of a written trace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunHeader {
    /// Name of the scenario, or of whatever wrote the trace.
    pub scenario: String,
    /// Variant of the scenario, `base` for none.
    pub variant: String,
    /// The seed.
    pub seed: u64,
    /// Version of the brokers.
    pub kafka: KafkaVersion,
    /// Rules of the brokers, as they hold in this run.
    pub rules: crate::rules::ProtocolRules,
    /// Rules that this run has switched against its version.
    pub switched_rules: Vec<(ProtocolRule, bool)>,
    /// Every process; [`NodeId`] is the index.
    pub nodes: Vec<NodeHeader>,
    /// Every topic; [`TopicId`](crate::ids::TopicId) is the index.
    pub topics: Vec<TopicHeader>,
    /// Every producer name; [`ProducerIndex`] is the index.
    pub producers: Vec<ProducerHeader>,
    /// Every plain reader.
    pub readers: Vec<ReaderHeader>,
    /// Every `group.id`; [`GroupId`] is the index.
    pub group_ids: Vec<String>,
    /// Every consumer application; [`GroupIndex`] is the index.
    pub groups: Vec<GroupHeader>,
    /// Every `transactional.id`; [`TransactionalId`] is the index.
    pub transactional_ids: Vec<String>,
}

/// A process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeHeader {
    /// As people call it: `broker 1`, `controller 3`, `shop-2`.
    pub name: String,
    /// Its id as a broker, if it is one.
    pub broker: Option<BrokerId>,
    /// Its id as a controller, if it is one.
    pub controller: Option<ControllerId>,
    /// Which producer it is: the name's index, and the instance from 0.
    pub producer: Option<(ProducerIndex, u16)>,
    /// Which reader it is: index into [`RunHeader::readers`].
    pub reader: Option<u16>,
    /// Which consumer application it is, and which instance of it, from 0.
    pub member: Option<(GroupIndex, u16)>,
}

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicHeader {
    /// Its name.
    pub name: String,
    /// How many partitions.
    pub partitions: u16,
    /// How many replicas each has.
    pub replication_factor: u16,
    /// `min.insync.replicas` as set.
    pub min_insync_replicas: u16,
    /// `unclean.leader.election.enable`
    pub unclean_leader_election: bool,
    /// `__consumer_offsets` or `__transaction_state`.
    pub internal: bool,
}

/// All producers of one name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProducerHeader {
    /// Their name.
    pub name: String,
    /// How many. Instance `i` creates the sequences congruent to `i` modulo `count`.
    pub count: u16,
    /// `acks`
    pub acks: Acks,
    /// Whether they are idempotent.
    pub idempotence: bool,
    /// `retries`, of which every second and later send of a batch takes one.
    pub retries: u32,
    /// `max.in.flight.requests.per.connection`
    pub max_in_flight: u32,
    /// What an idempotent one does when it has lost track of its sequences.
    pub sequence_repair: SequenceRepair,
    /// It writes in transactions: a record is acked when the commit of its transaction was reported.
    pub transactional: bool,
}

/// A consumer application: equal processes that share a `group.id`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupHeader {
    /// Its name; the group id, if the scenario gives it no other.
    pub name: String,
    /// Its `group.id`.
    pub group: GroupId,
    /// How many instances it has at most.
    pub instances: u16,
    /// The topics that it reads.
    pub topics: Vec<crate::ids::TopicId>,
    /// It assigns itself every partition and is no member (`assign()` instead of `subscribe()`).
    pub assigns_itself: bool,
    /// It skips aborted transactions and stops at open ones.
    pub read_committed: bool,
    /// How it commits.
    pub commit: CommitStyle,
    /// Its client library: librdkafka commits what it has handed out, Java what `poll()` has returned before.
    pub library: ConsumerLibrary,
    /// The producer by which it writes what it has processed, if it does.
    pub output: Option<ProducerIndex>,
}

/// How an application commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum CommitStyle {
    /// `enable.auto.commit`: inside `poll()` and `close()`.
    Auto,
    /// `commitSync()` after each batch that `poll()` returned.
    SyncPerBatch,
    /// `commitSync()` after each record.
    SyncPerRecord,
    /// `commitAsync()` after each batch; a failure is only logged.
    Async,
    /// `commitAsync()` after each batch, and again the same offsets from the callback after a retriable failure: a late
    /// retry may overwrite a newer commit.
    AsyncRetried,
    /// `commitAsync()` after each batch, `commitSync()` when partitions are revoked and before `close()`.
    AsyncThenSync,
    /// `commitSync()` of the batch before it is processed.
    BeforeProcessing,
    /// Records are handed to worker threads at once; `enable.auto.commit` commits what `poll()` has returned.
    HandedToWorkers,
    /// With the records that it writes, in a transaction.
    InTransaction,
    /// Never.
    Never,
}

/// A plain reader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReaderHeader {
    /// Its name.
    pub name: String,
    /// The topics whose partitions it has assigned to itself.
    pub topics: Vec<crate::ids::TopicId>,
    /// It skips aborted transactions and stops at open ones.
    pub read_committed: bool,
}

/// Why a log was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TruncationReason {
    /// The leader's epochs showed where the logs part (KIP-101, KIP-279, KIP-595).
    LeaderEpoch,
    /// To the follower's own high watermark: the rule before 0.11, or no epochs to compare.
    HighWatermark,
    /// The leader's log ends before the follower's (OFFSET_OUT_OF_RANGE).
    LeaderLogEnd,
    /// The leader's log starts after the follower's end: everything was dropped.
    LeaderLogStart,
}

/// Why the controller changed a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PartitionChangeReason {
    /// The partition was created.
    Created,
    /// A broker was fenced for silence.
    BrokerFenced,
    /// A broker registered a new life; its old memberships ended.
    BrokerRegistered,
    /// A broker may serve again.
    BrokerUnfenced,
    /// A broker shuts down in an orderly way.
    ControlledShutdown,
    /// The leader proposed another ISR.
    AlterPartition,
    /// The preferred replica was made leader.
    PreferredElection,
    /// A leader was needed and no in-sync replica was alive.
    UncleanElection,
}

/// How a connection ended, as one side learned it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum CloseReason {
    /// Nobody listens there.
    Refused,
    /// The other side closed it.
    ClosedByPeer,
    /// It was reset: the peer's process died, or its host has forgotten the connection.
    Reset,
}

/// Why a client gives up a request and its connection, or sends again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RetryReason {
    /// The broker answered with a retriable error.
    Error(ErrorCode),
    /// The connection was lost with the request in flight.
    Disconnected,
    /// The request was not answered within the client's timeout.
    RequestTimeout,
}

/// State of a classic group at its coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum GroupState {
    /// No members; there may be offsets.
    Empty,
    /// Members are joining.
    PreparingRebalance,
    /// Everybody has joined; the leader's assignment is awaited.
    CompletingRebalance,
    /// Everybody has an assignment.
    Stable,
    /// Gone.
    Dead,
    /// KIP-848: the target assignment is older than the group.
    Assigning,
    /// KIP-848: members are on their way to their targets.
    Reconciling,
}

/// Why a group rebalances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RebalanceReason {
    /// A member that was not there before has joined.
    MemberJoined,
    /// A member has joined again with another subscription, or asked for a rebalance (cooperative: the second round).
    MemberRejoined,
    /// The leader has joined again: topics or partitions have changed.
    LeaderRejoined,
    /// A member has left by itself.
    MemberLeft(LeaveReason),
    /// A member was silent for its session timeout.
    SessionExpired,
    /// A member had not joined, or not asked for its assignment, within the rebalance timeout.
    RebalanceTimeout,
    /// A static member has come back as another process, with other protocols.
    StaticMemberReplaced,
    /// The assignment could not be written.
    AssignmentNotStored,
    /// The subscribed topics have other partitions (KIP-848).
    MetadataChanged,
}

/// Why a group no longer has a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RemovalReason {
    /// It left by itself.
    Left(LeaveReason),
    /// It was silent for its session timeout.
    SessionExpired,
    /// It had not joined again within the rebalance timeout, or (KIP-848) not given up a partition.
    RebalanceTimeout,
    /// It had joined but not asked for its assignment within the rebalance timeout.
    SyncTimeout,
    /// Another process has its `group.instance.id`.
    Replaced,
    /// It had been given an id and did not come back with it.
    PendingExpired,
    /// It joined again after others had filled the group (`group.max.size`).
    GroupFull,
}

/// Where a consumer's position came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PositionSource {
    /// The group's committed offset, on assignment.
    Committed,
    /// `seek()` back to the group's committed offset, after an aborted transaction.
    SoughtToCommitted,
}

/// By whom and when a consumer commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum CommitTrigger {
    /// The auto-commit interval was over (librdkafka: in its background thread).
    AutoInterval,
    /// Auto-commit before partitions are given up.
    AutoRevocation,
    /// Auto-commit in `close()`.
    AutoClose,
    /// The application: `commitSync()`.
    Sync,
    /// The application: `commitAsync()`.
    Async,
    /// The application: `commitAsync()` from the callback of a failed one.
    AsyncRetry,
    /// The application: `commitSync()` when partitions are revoked.
    SyncRevocation,
    /// The application: `commitSync()` before `close()`.
    SyncClose,
    /// `sendOffsetsToTransaction()`.
    Transaction,
}

/// How a commit failed, as the application or the log sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum CommitFailure {
    /// `CommitFailedException`: the member is none any more. With the coordinator's error; `None` if it was found locally,
    /// without asking.
    CommitFailed(Option<ErrorCode>),
    /// `RebalanceInProgressException`: call `poll()`, then try again.
    RebalanceInProgress,
    /// `RetriableCommitFailedException`: the one attempt of an asynchronous commit failed.
    Retriable(ErrorCode),
    /// `TimeoutException`: `default.api.timeout.ms` is over.
    Timeout,
    /// `FencedInstanceIdException`: another process has the static member's id.
    FencedInstance,
    /// Any other error: `KafkaException`.
    Other(ErrorCode),
}

/// What an application does about an error that it cannot go on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ApplicationReaction {
    /// Its process ends.
    Stopped,
    /// It closes its consumer and subscribes anew.
    Resubscribed,
    /// It goes on.
    Ignored,
}

/// What became of a batch at the producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum SendOutcome {
    /// Reported as a success: the promise of `acks` was given. No offset with acks=0, nor for an old duplicate.
    Acked(Option<Offset>),
    /// Reported as an error.
    Failed(ErrorCode),
}

/// A fact.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TraceEvent {
    // ---- the world -------------------------------------------------------------------------------------------------
    /// Time zero: the cluster has settled; workload and faults count from here.
    ClusterSettled,
    /// A process began a life.
    ProcessStarted {
        /// Which life.
        incarnation: Incarnation,
    },
    /// A process was killed; its host and page cache live on.
    ProcessKilled,
    /// A host lost power: the process died and everything unflushed is gone.
    PowerLost,
    /// A process ended by itself.
    ProcessExited {
        /// It had shut down in an orderly way.
        clean: bool,
    },
    /// A process stopped running (a GC pause), its sockets stay open.
    ProcessPaused,
    /// A process runs again.
    ProcessResumed {
        /// For how long it had stood still.
        paused_for: SimDuration,
    },
    /// Power loss cut the tail of a log that had not reached the disk.
    UnflushedTailLost {
        /// Whose log.
        partition: TopicPartition,
        /// First offset lost.
        from: Offset,
        /// The log end offset before.
        log_end_offset: Offset,
    },
    /// A fault began.
    FaultBegan {
        /// Number of the fault in this run, from 0.
        fault: u32,
        /// In words: `isolate broker 1 from brokers and controllers`.
        description: Arc<str>,
    },
    /// A fault ended.
    FaultEnded {
        /// Number of the fault in this run.
        fault: u32,
    },
    /// The workload creates nothing new; temporary faults have healed. Retries and consumers go on.
    WorkloadEnded,
    /// Nothing moves any more, or the time to settle is over.
    RunEnded,

    // ---- the controller --------------------------------------------------------------------------------------------
    /// A voter won the quorum's election and is now the active controller.
    ControllerElected {
        /// Who.
        controller: ControllerId,
        /// The quorum epoch.
        epoch: ControllerEpoch,
    },
    /// The active controller stepped down, or learned that it had been replaced.
    ControllerResigned {
        /// The epoch that it led.
        epoch: ControllerEpoch,
    },
    /// The active controller accepted a life of a broker. Stated when committed.
    BrokerRegistered {
        /// Who.
        broker: BrokerId,
        /// Its epoch.
        broker_epoch: BrokerEpoch,
        /// Which life.
        incarnation: Incarnation,
    },
    /// A broker may no longer lead or be in sync. Stated when committed.
    BrokerFenced {
        /// Who.
        broker: BrokerId,
    },
    /// A broker may serve. Stated when committed.
    BrokerUnfenced {
        /// Who.
        broker: BrokerId,
    },
    /// The controller changed a partition: leader, ISR or eligible replicas. Stated once, by the active controller, when
    /// committed.
    PartitionChanged {
        /// The state after the change.
        state: PartitionState,
        /// Why.
        reason: PartitionChangeReason,
    },

    // ---- the broker ------------------------------------------------------------------------------------------------
    /// A broker learned that it leads, for an epoch that is new to it.
    BecameLeader {
        /// Which partition.
        partition: TopicPartition,
        /// The epoch.
        leader_epoch: LeaderEpoch,
        /// Its log end offset: the start of the epoch.
        log_end_offset: Offset,
        /// Its high watermark, as it knew it as a follower.
        high_watermark: Offset,
    },
    /// A broker learned that another one leads, or none.
    BecameFollower {
        /// Which partition.
        partition: TopicPartition,
        /// The epoch.
        leader_epoch: LeaderEpoch,
        /// Whom it follows.
        leader: Option<BrokerId>,
    },
    /// The leader appended a batch of a producer to its log.
    Appended {
        /// Where.
        partition: TopicPartition,
        /// The batch, with its offsets and epoch.
        batch: Arc<RecordBatch>,
    },
    /// A follower appended a batch that it fetched.
    Replicated {
        /// Where.
        partition: TopicPartition,
        /// The batch, as the leader has it.
        batch: Arc<RecordBatch>,
    },
    /// A producer's batch was refused before the append.
    AppendRefused {
        /// Where.
        partition: TopicPartition,
        /// Why.
        error: ErrorCode,
        /// Its records.
        records: Arc<[Record]>,
    },
    /// A producer's batch was recognised as one already in the log; nothing was appended.
    Deduplicated {
        /// Where.
        partition: TopicPartition,
        /// Where the first copy begins.
        base_offset: Offset,
        /// Its records.
        records: Arc<[Record]>,
    },
    /// A produce request was answered for a partition: the answer has been handed to the network. For acks=0, nothing was.
    ProduceAnswered {
        /// Where.
        partition: TopicPartition,
        /// What the producer had asked for.
        acks: Acks,
        /// The answer.
        error: ErrorCode,
        /// Where the batch begins, if it was appended or recognised.
        base_offset: Option<Offset>,
        /// Its records.
        records: Arc<[Record]>,
    },
    /// The leader learned from a fetch how far a follower is.
    FollowerFetched {
        /// Which partition.
        partition: TopicPartition,
        /// Who.
        follower: BrokerId,
        /// The leader's epoch.
        leader_epoch: LeaderEpoch,
        /// The follower's log end offset: where it fetches from.
        log_end_offset: Offset,
    },
    /// A replica's high watermark moved up.
    HighWatermarkAdvanced {
        /// Which partition.
        partition: TopicPartition,
        /// The epoch under which it moved.
        leader_epoch: LeaderEpoch,
        /// Its new value.
        high_watermark: Offset,
        /// The replica leads the partition.
        leader: bool,
    },
    /// A follower's high watermark moved down, with its leader's or because its log was cut.
    HighWatermarkLowered {
        /// Which partition.
        partition: TopicPartition,
        /// Its new value.
        high_watermark: Offset,
    },
    /// A replica cut its log.
    LogTruncated {
        /// Which partition.
        partition: TopicPartition,
        /// The log end offset after.
        to: Offset,
        /// The log end offset before.
        log_end_offset: Offset,
        /// By which rule.
        reason: TruncationReason,
    },
    /// A leader asks the controller for another ISR. Until the answer its maximal ISR is the union of both.
    IsrProposed {
        /// Which partition.
        partition: TopicPartition,
        /// The leader's epoch.
        leader_epoch: LeaderEpoch,
        /// The committed ISR.
        isr: BrokerList,
        /// The proposed ISR.
        proposed: BrokerList,
    },
    /// A leader has a new committed ISR.
    IsrCommitted {
        /// Which partition.
        partition: TopicPartition,
        /// The leader's epoch.
        leader_epoch: LeaderEpoch,
        /// The committed ISR.
        isr: BrokerList,
    },
    /// A leader's proposal was refused or overtaken; the committed ISR stands.
    IsrProposalRefused {
        /// Which partition.
        partition: TopicPartition,
        /// Why.
        error: ErrorCode,
    },
    /// A broker opened its log after a restart.
    LogRecovered {
        /// Which partition.
        partition: TopicPartition,
        /// Its log end offset.
        log_end_offset: Offset,
        /// Its high watermark, from the checkpoint.
        high_watermark: Offset,
        /// The last shutdown had been orderly.
        clean: bool,
    },
    /// A broker noticed that the controller has fenced it, or lets it serve again.
    BrokerStateChanged {
        /// It knows itself fenced.
        fenced: bool,
    },

    // ---- the producer ----------------------------------------------------------------------------------------------
    /// The application handed records to the producer. They are its sequences `first`, `first + stride`, … (`count` of them).
    RecordsCreated {
        /// Whose.
        producer: ProducerIndex,
        /// The first sequence.
        first: u32,
        /// Distance between sequences: how many instances share the name.
        stride: u32,
        /// How many.
        count: u32,
    },
    /// The application sent records again after an error: another attempt of the same records.
    RecordsResent {
        /// The records, with their new attempt.
        records: Arc<[Record]>,
    },
    /// A batch was put into a request to a broker.
    BatchSent {
        /// Where to.
        partition: TopicPartition,
        /// The broker that the producer holds for the leader.
        broker: BrokerId,
        /// How often the batch has been sent before.
        retry: u32,
        /// Its records.
        records: Arc<[Record]>,
    },
    /// A batch will be sent again.
    BatchRetried {
        /// Where to.
        partition: TopicPartition,
        /// Why.
        reason: RetryReason,
        /// Its records.
        records: Arc<[Record]>,
    },
    /// The producer told the application what became of records.
    RecordsCompleted {
        /// Where they went; `None` if they never got a partition.
        partition: Option<TopicPartition>,
        /// What became of them. `Acked(Some(offset))` is the first record's; the others follow on.
        outcome: SendOutcome,
        /// The records.
        records: Arc<[Record]>,
    },
    /// An idempotent producer has a producer id, or a new epoch of it.
    ProducerIdAssigned {
        /// The id.
        producer_id: ProducerId,
        /// Its epoch.
        producer_epoch: ProducerEpoch,
    },

    // ---- the reader ------------------------------------------------------------------------------------------------
    /// A reader or a consumer returned records of a batch to its application: those in `from..to`. A consumer may return a
    /// batch in pieces (`max.poll.records`).
    RecordsRead {
        /// Which partition.
        partition: TopicPartition,
        /// First offset returned: where the position was.
        from: Offset,
        /// Offset after the last one returned: where the position is.
        to: Offset,
        /// The batch.
        batch: Arc<RecordBatch>,
    },
    /// A reader's position was set: by the reset policy, or back to where the leader's log parts from what it had read.
    PositionReset {
        /// Which partition.
        partition: TopicPartition,
        /// Where it was, if it was anywhere.
        from: Option<Offset>,
        /// Where it is.
        to: Offset,
        /// Because of truncation found by validation (KIP-320); otherwise by `auto.offset.reset`.
        truncated: bool,
    },
    /// A reader could not go on: no position and no reset policy, or a truncated position and no reset policy.
    ReaderStopped {
        /// Which partition.
        partition: TopicPartition,
        /// Why.
        error: ErrorCode,
    },

    // ---- the group coordinator ------------------------------------------------------------------------------------
    /// A broker has read a partition of `__consumer_offsets` or `__transaction_state` and serves as a coordinator.
    CoordinatorLoaded {
        /// The partition.
        partition: TopicPartition,
        /// Its leader epoch.
        leader_epoch: LeaderEpoch,
    },
    /// A broker no longer leads a partition of `__consumer_offsets` or `__transaction_state` and has dropped what it held.
    CoordinatorUnloaded {
        /// The partition.
        partition: TopicPartition,
    },
    /// A group came into a state.
    GroupStateChanged {
        /// Which group.
        group: GroupId,
        /// The state.
        state: GroupState,
        /// The generation, or group epoch, that it is in.
        generation: Generation,
    },
    /// A rebalance began: the members have to join again, or (KIP-848) there is a new group epoch.
    RebalanceStarted {
        /// Which group.
        group: GroupId,
        /// The generation that ends, or (KIP-848) the group epoch that begins.
        generation: Generation,
        /// Why.
        reason: RebalanceReason,
        /// On whose account.
        member: Option<MemberId>,
    },
    /// A group has another member.
    MemberJoined {
        /// Which group.
        group: GroupId,
        /// Its id.
        member: MemberId,
        /// `group.instance.id`
        instance: Option<GroupInstanceId>,
        /// The process.
        member_node: NodeId,
    },
    /// A group no longer has a member. From now on its commits are to be refused.
    MemberRemoved {
        /// Which group.
        group: GroupId,
        /// Its id.
        member: MemberId,
        /// The process.
        member_node: NodeId,
        /// Why.
        reason: RemovalReason,
    },
    /// All members have joined: a generation began (classic).
    GenerationStarted {
        /// Which group.
        group: GroupId,
        /// The generation.
        generation: Generation,
        /// What they voted for; none without members.
        protocol: Option<Assignor>,
        /// Who assigns.
        leader: Option<MemberId>,
        /// Everybody, ascending, and the process of each.
        members: Arc<[(MemberId, NodeId)]>,
    },
    /// The assignment of a generation is stored, and is on its way to the members. For KIP-848, stated per member: what it
    /// may own in its epoch.
    Assigned {
        /// Which group.
        group: GroupId,
        /// The generation, or the member's epoch.
        generation: Generation,
        /// Who owns what, ascending. For KIP-848 one member.
        assignment: Arc<[(MemberId, Arc<[TopicPartition]>)]>,
        /// It replaces only what it says of the members that it names (KIP-848); otherwise everything.
        partial: bool,
    },
    /// The coordinator has answered a commit: of a member, of a consumer without membership, or in a transaction.
    CommitAnswered {
        /// Which group.
        group: GroupId,
        /// The member, if it said one.
        member: Option<MemberId>,
        /// The process that asked.
        from: NodeId,
        /// The generation or epoch that it said.
        generation: Option<Generation>,
        /// The answer.
        error: ErrorCode,
        /// What was to be committed.
        offsets: Arc<[OffsetToCommit]>,
        /// Within a transaction: the offsets count once it is committed.
        transactional: bool,
    },
    /// Offsets have become the group's committed ones, visible to OffsetFetch: they are replicated, or a transaction was
    /// committed. `from` is who had committed them. `None`: the coordinator has read them from its log, and they are *all*
    /// that the group has now; stated once per group after [`TraceEvent::CoordinatorLoaded`], even if there are none, and
    /// again when a commit or transaction that an earlier coordinator had left open becomes visible.
    OffsetsCommitted {
        /// Which group.
        group: GroupId,
        /// The process that committed them; `None` if they were read from the log.
        from: Option<NodeId>,
        /// The offsets.
        offsets: Arc<[OffsetToCommit]>,
    },
    /// Offsets have expired (`offsets.retention.minutes`). What a new coordinator's log does not have is told by
    /// [`TraceEvent::OffsetsCommitted`] without `from`.
    OffsetsRemoved {
        /// Which group.
        group: GroupId,
        /// The partitions that no longer have a committed offset.
        partitions: Arc<[TopicPartition]>,
    },

    // ---- the member -----------------------------------------------------------------------------------------------
    /// A consumer knows of a new assignment, and owns it: the callbacks of its application have returned.
    PartitionsAssigned {
        /// The generation or epoch; `None` where it assigned itself.
        generation: Option<Generation>,
        /// Its id; `None` where it assigned itself.
        member: Option<MemberId>,
        /// Everything that it owns now, ascending.
        owned: Arc<[TopicPartition]>,
        /// What is new, ascending.
        added: Arc<[TopicPartition]>,
    },
    /// A consumer has given up partitions.
    PartitionsRevoked {
        /// Which, ascending.
        partitions: Arc<[TopicPartition]>,
        /// They were lost: the member had been removed before (`onPartitionsLost`).
        lost: bool,
    },
    /// A consumer has left its group by itself.
    LeftGroup {
        /// Why.
        reason: LeaveReason,
    },
    /// A consumer has learned that it is no member any more, by the answer to a heartbeat, a commit, a join or a sync.
    MembershipLost {
        /// The answer.
        error: ErrorCode,
    },
    /// A consumer has its position from the group's committed offset.
    PositionFromCommitted {
        /// Which partition.
        partition: TopicPartition,
        /// Where it was, if it was anywhere.
        from: Option<Offset>,
        /// Where it is.
        to: Offset,
        /// On which occasion.
        source: PositionSource,
    },
    /// A consumer sent a commit.
    CommitSent {
        /// By whom and when.
        trigger: CommitTrigger,
        /// What.
        offsets: Arc<[OffsetToCommit]>,
    },
    /// A commit is over for the consumer: the application was told, or for auto-commit the log.
    CommitCompleted {
        /// By whom and when.
        trigger: CommitTrigger,
        /// What.
        offsets: Arc<[OffsetToCommit]>,
        /// How it failed, if it did.
        failure: Option<CommitFailure>,
    },

    // ---- the application ------------------------------------------------------------------------------------------
    /// An application has processed records: their side effects have happened. Records of one batch, in order.
    RecordsProcessed {
        /// Which partition.
        partition: TopicPartition,
        /// First offset processed.
        from: Offset,
        /// Offset after the last one processed.
        to: Offset,
        /// The batch that contains them.
        batch: Arc<RecordBatch>,
    },
    /// An application met an error of its consumer or producer that it does not simply log.
    ApplicationFailed {
        /// How a commit failed, if that was it.
        failure: Option<CommitFailure>,
        /// The error otherwise.
        error: ErrorCode,
        /// What it does about it.
        reaction: ApplicationReaction,
    },
    /// Records that were handed to worker threads are gone: the process ended, or they were dropped with their partition.
    HandedOverRecordsDropped {
        /// Which partition.
        partition: TopicPartition,
        /// First offset dropped.
        from: Offset,
        /// Offset after the last one dropped.
        to: Offset,
    },

    // ---- transactions ---------------------------------------------------------------------------------------------
    /// A coordinator has stored a transactional id's new state.
    TransactionStateChanged {
        /// Which.
        transactional_id: TransactionalId,
        /// The producer id.
        producer_id: ProducerId,
        /// Its epoch.
        producer_epoch: ProducerEpoch,
        /// The state.
        state: TransactionState,
        /// The coordinator itself did it: the transaction had timed out, or a newer producer came.
        by_coordinator: bool,
    },
    /// An application began a transaction.
    TransactionBegun {
        /// Which id.
        transactional_id: TransactionalId,
    },
    /// An application was told how its transaction ended.
    TransactionEnded {
        /// Which id.
        transactional_id: TransactionalId,
        /// How.
        result: TransactionResult,
        /// The error, if it is not known to have ended so: the producer was fenced, or it timed out.
        error: ErrorCode,
    },
}
