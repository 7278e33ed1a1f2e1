//! APIs of consumer groups: finding the coordinator, membership, committed offsets (KIP-62, KIP-345, KIP-394, KIP-848).

use crate::error::ErrorCode;
use crate::group::{Assignor, CommittedOffset, RemoteAssignor, Subscription};
use crate::ids::{
    BrokerId, Generation, GroupId, GroupInstanceId, LeaderEpoch, MemberId, NodeId, Offset, TopicId,
    TopicPartition, TransactionalId,
};
use crate::time::SimDuration;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::sync::Arc;

/// Whose coordinator is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum CoordinatorKey {
    /// Of a consumer group.
    Group(GroupId),
    /// Of a transactional id.
    Transaction(TransactionalId),
}

/// FindCoordinator. Any broker answers from what it knows of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FindCoordinatorRequest {
    /// Whose.
    pub key: CoordinatorKey,
}

/// Answer to [`FindCoordinatorRequest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FindCoordinatorResponse {
    /// `NONE`, or COORDINATOR_NOT_AVAILABLE: no topic, no leader.
    pub error: ErrorCode,
    /// The broker, and its process.
    pub coordinator: Option<(BrokerId, NodeId)>,
}

/// JoinGroup. The answer waits until the rebalance completes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinGroupRequest {
    /// The group.
    pub group: GroupId,
    /// The member's id, `None` the first time.
    pub member: Option<MemberId>,
    /// `group.instance.id`
    pub instance: Option<GroupInstanceId>,
    /// `session.timeout.ms`
    pub session_timeout: SimDuration,
    /// `max.poll.interval.ms`; the session timeout of clients before 0.10.1.
    pub rebalance_timeout: SimDuration,
    /// What the member can use, best first, each with what it says of itself under it.
    pub protocols: SmallVec<[(Assignor, Arc<Subscription>); 2]>,
    /// The client understands MEMBER_ID_REQUIRED (JoinGroup v4).
    pub understands_member_id_required: bool,
}

/// Answer to [`JoinGroupRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinGroupResponse {
    /// `NONE`, or why not.
    pub error: ErrorCode,
    /// The new generation.
    pub generation: Generation,
    /// What the members voted for.
    pub protocol: Option<Assignor>,
    /// Who assigns.
    pub leader: Option<MemberId>,
    /// The member's id: its own, or a new one.
    pub member: Option<MemberId>,
    /// Everybody, ascending; only for the leader.
    pub members: Vec<JoinGroupMember>,
    /// The leader is to keep the assignment that the group has: a static leader has come back (KIP-814).
    pub skip_assignment: bool,
}

/// A member as the leader learns of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinGroupMember {
    /// Its id.
    pub member: MemberId,
    /// `group.instance.id`
    pub instance: Option<GroupInstanceId>,
    /// What it says of itself.
    pub subscription: Arc<Subscription>,
}

/// SyncGroup. The answer waits for the leader's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncGroupRequest {
    /// The group.
    pub group: GroupId,
    /// The generation joined.
    pub generation: Generation,
    /// The member.
    pub member: MemberId,
    /// `group.instance.id`
    pub instance: Option<GroupInstanceId>,
    /// Who is to own what, ascending; only from the leader.
    pub assignments: Vec<(MemberId, Arc<[TopicPartition]>)>,
}

/// Answer to [`SyncGroupRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncGroupResponse {
    /// `NONE`, or why not.
    pub error: ErrorCode,
    /// What the member is to own, ascending.
    pub assignment: Arc<[TopicPartition]>,
}

/// Heartbeat of a member of a classic group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeartbeatRequest {
    /// The group.
    pub group: GroupId,
    /// The generation that the member is in.
    pub generation: Generation,
    /// The member.
    pub member: MemberId,
    /// `group.instance.id`
    pub instance: Option<GroupInstanceId>,
}

/// Answer to [`HeartbeatRequest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeartbeatResponse {
    /// `NONE`, REBALANCE_IN_PROGRESS (join again), or why the member is none any more.
    pub error: ErrorCode,
}

/// Why a member leaves by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum LeaveReason {
    /// `close()`
    Closed,
    /// `unsubscribe()`, or another subscription.
    Unsubscribed,
    /// It had not called `poll()` for `max.poll.interval.ms` (KIP-62).
    PollTimeout,
}

/// LeaveGroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaveGroupRequest {
    /// The group.
    pub group: GroupId,
    /// The member.
    pub member: MemberId,
    /// `group.instance.id`
    pub instance: Option<GroupInstanceId>,
    /// Why (KIP-800).
    pub reason: LeaveReason,
}

/// Answer to [`LeaveGroupRequest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaveGroupResponse {
    /// `NONE`, or why not.
    pub error: ErrorCode,
}

/// An offset to commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OffsetToCommit {
    /// The partition read.
    pub partition: TopicPartition,
    /// Offset of the next record to read.
    pub offset: Offset,
    /// Leader epoch of the last record read (KIP-320).
    pub leader_epoch: Option<LeaderEpoch>,
}

/// OffsetCommit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetCommitRequest {
    /// The group.
    pub group: GroupId,
    /// The member's generation or epoch; `None` (−1) of a consumer that assigns itself its partitions.
    pub generation: Option<Generation>,
    /// The member; `None` (empty) of a consumer that assigns itself its partitions.
    pub member: Option<MemberId>,
    /// `group.instance.id`
    pub instance: Option<GroupInstanceId>,
    /// What to commit.
    pub offsets: Arc<[OffsetToCommit]>,
    /// The client understands GROUP_ID_NOT_FOUND and STALE_MEMBER_EPOCH (OffsetCommit v9).
    pub understands_member_epochs: bool,
}

/// Answer to [`OffsetCommitRequest`] and [`TxnOffsetCommitRequest`](super::TxnOffsetCommitRequest).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetCommitResponse {
    /// One entry per partition of the request, in its order.
    pub partitions: SmallVec<[(TopicPartition, ErrorCode); 4]>,
}

/// OffsetFetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetFetchRequest {
    /// The group.
    pub group: GroupId,
    /// Member and epoch, in a KIP-848 group (OffsetFetch v9).
    pub member: Option<(MemberId, Generation)>,
    /// The partitions wanted.
    pub partitions: Vec<TopicPartition>,
    /// Answer UNSTABLE_OFFSET_COMMIT while an open transaction may change an offset (KIP-447).
    pub require_stable: bool,
}

/// Answer to [`OffsetFetchRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetFetchResponse {
    /// `NONE`, or why nothing can be said.
    pub error: ErrorCode,
    /// One entry per partition of the request, in its order; no offset where none is committed.
    pub partitions: Vec<(TopicPartition, ErrorCode, Option<CommittedOffset>)>,
}

/// What a member of a KIP-848 group says of its epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum MemberEpoch {
    /// 0: it joins.
    Joining,
    /// The epoch that it has.
    Member(Generation),
    /// −1: it leaves.
    Leaving(LeaveReason),
    /// −2: a static member goes away, to come back.
    LeavingStatic,
}

/// ConsumerGroupHeartbeat (KIP-848). Fields that have not changed since the last one are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerGroupHeartbeatRequest {
    /// The group.
    pub group: GroupId,
    /// The member's id: made by the client (4.0+), or by the coordinator at the first heartbeat.
    pub member: Option<MemberId>,
    /// Its epoch.
    pub epoch: MemberEpoch,
    /// `group.instance.id`
    pub instance: Option<GroupInstanceId>,
    /// `max.poll.interval.ms`
    pub rebalance_timeout: Option<SimDuration>,
    /// The topics, ascending.
    pub topics: Option<SmallVec<[TopicId; 2]>>,
    /// `group.remote.assignor`
    pub assignor: Option<RemoteAssignor>,
    /// What it owns, ascending.
    pub owned: Option<Vec<TopicPartition>>,
}

/// Answer to [`ConsumerGroupHeartbeatRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerGroupHeartbeatResponse {
    /// `NONE`, or why the member is none any more.
    pub error: ErrorCode,
    /// The member's id.
    pub member: Option<MemberId>,
    /// The member's epoch.
    pub epoch: Generation,
    /// `group.consumer.heartbeat.interval.ms`
    pub heartbeat_interval: SimDuration,
    /// What it is to own now, ascending, if that has changed.
    pub assignment: Option<Arc<[TopicPartition]>>,
}
