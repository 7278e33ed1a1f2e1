//! The facts.

use super::{
    ApplicationReaction, BalanceOutcome, ClientException, CommitFailure, CommitTrigger, GroupState,
    PartitionChangeReason, PositionSource, RebalanceReason, RemovalReason, RetryReason,
    SendOutcome, TruncationReason, ZooKeeperState,
};
use crate::api::{Acks, LeaveReason, OffsetToCommit};
use crate::error::ErrorCode;
use crate::group::Assignor;
use crate::ids::{
    BrokerEpoch, BrokerId, BrokerList, ControllerEpoch, ControllerId, Generation, GroupId,
    GroupInstanceId, Incarnation, LeaderEpoch, MemberId, NodeId, Offset, ProducerEpoch, ProducerId,
    ProducerIndex, TopicPartition, TransactionalId, ZooKeeperServerId,
};
use crate::metadata_log::PartitionState;
use crate::record::{Record, RecordBatch};
use crate::time::SimDuration;
use crate::transaction::{TransactionResult, TransactionState};
use crate::zookeeper::SessionId;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A fact. Digests hash its place in this list, so new ones come last.
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
    /// A consumer has left its group by itself; a static member for want of `poll()`, without telling anybody.
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

    // ---- ZooKeeper -------------------------------------------------------------------------------------------------
    /// A server has a quorum behind it and leads the ensemble.
    ZooKeeperLeaderElected {
        /// Who.
        server: ZooKeeperServerId,
        /// The epoch.
        epoch: u32,
    },
    /// A session began. Stated when committed.
    ZooKeeperSessionOpened {
        /// Which.
        session: SessionId,
        /// The client's process.
        client: NodeId,
        /// The timeout agreed on.
        timeout: SimDuration,
    },
    /// A session ended, and its ephemeral znodes with it. Stated when committed.
    ZooKeeperSessionEnded {
        /// Which.
        session: SessionId,
        /// The client's process.
        client: NodeId,
        /// The ensemble had not heard of it for its timeout; otherwise its client closed it.
        expired: bool,
    },
    /// A client of ZooKeeper learned how it stands.
    ZooKeeperStateChanged {
        /// How.
        state: ZooKeeperState,
    },
    /// A consumer has an owner's znode: by ZooKeeper it owns the partition. Stated when committed.
    PartitionClaimed {
        /// Whose group.
        group: GroupId,
        /// What.
        partition: TopicPartition,
        /// Which process.
        consumer: NodeId,
    },
    /// An owner's znode is gone. Stated when committed.
    PartitionReleased {
        /// Whose group.
        group: GroupId,
        /// What.
        partition: TopicPartition,
        /// Which process had it.
        consumer: NodeId,
        /// With the session of the owner, which had expired; otherwise the owner deleted it, or closed its session.
        expired: bool,
    },

    // ---- the consumer balanced by ZooKeeper ------------------------------------------------------------------------
    /// A balanced consumer has tried to take what is its share.
    BalanceAttempted {
        /// Which attempt of this rebalance, from 0.
        attempt: u32,
        /// How it ended.
        outcome: BalanceOutcome,
    },
    /// A client library raised an exception, by its name in the library.
    ExceptionRaised {
        /// Which.
        exception: ClientException,
        /// It reached the application; otherwise the library logged it.
        reached_application: bool,
    },
}
