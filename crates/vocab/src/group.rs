//! Consumer groups: what members say of themselves, and what a coordinator writes into `__consumer_offsets`.

use crate::ids::{
    Generation, GroupId, GroupInstanceId, LeaderEpoch, MemberId, NodeId, Offset, TopicId,
    TopicPartition,
};
use crate::time::{SimDuration, SimTime};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::sync::Arc;

/// How the leader of a classic group shares out partitions (`partition.assignment.strategy`), by the protocol name that
/// members vote on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Assignor {
    /// `range`: contiguous blocks, topic by topic.
    Range,
    /// `roundrobin`: one partition after the other in a circle of members.
    RoundRobin,
    /// `sticky`: balanced, and as little moved as possible; eager.
    Sticky,
    /// `cooperative-sticky`: as `sticky`, but a partition that moves is first revoked (KIP-429).
    CooperativeSticky,
}

impl Assignor {
    /// Kafka's name of the protocol.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Assignor::Range => "range",
            Assignor::RoundRobin => "roundrobin",
            Assignor::Sticky => "sticky",
            Assignor::CooperativeSticky => "cooperative-sticky",
        }
    }

    /// It can be used cooperatively: members keep what they own through a rebalance (KIP-429).
    #[must_use]
    pub const fn supports_cooperative(self) -> bool {
        matches!(self, Assignor::CooperativeSticky)
    }
}

/// How the coordinator of a KIP-848 group shares out partitions (`group.remote.assignor`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RemoteAssignor {
    /// `uniform`: balanced over all topics, sticky.
    Uniform,
    /// `range`: contiguous blocks, topic by topic.
    Range,
}

impl RemoteAssignor {
    /// Kafka's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            RemoteAssignor::Uniform => "uniform",
            RemoteAssignor::Range => "range",
        }
    }
}

/// What a member tells the leader with JoinGroup (`ConsumerPartitionAssignor.Subscription`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Subscription {
    /// The topics, ascending.
    pub topics: SmallVec<[TopicId; 2]>,
    /// What it owns, ascending; empty for eager protocols that do not send it.
    pub owned: Vec<TopicPartition>,
    /// The generation in which it got what it owns (KIP-792), `None` where the version does not send it or there is none.
    pub generation: Option<Generation>,
}

/// A committed offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CommittedOffset {
    /// Offset of the next record to read.
    pub offset: Offset,
    /// Leader epoch of the last record read, if the member knew it (KIP-320).
    pub leader_epoch: Option<LeaderEpoch>,
    /// When the coordinator accepted it.
    pub committed_at: SimTime,
}

/// One committed offset as `__consumer_offsets` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OffsetRecord {
    /// The group.
    pub group: GroupId,
    /// The partition read.
    pub partition: TopicPartition,
    /// The offset; `None` is a tombstone: it has expired or was deleted.
    pub committed: Option<CommittedOffset>,
}

/// A classic group as `__consumer_offsets` has it (`GroupMetadataValue`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct GroupMetadataRecord {
    /// The group.
    pub group: GroupId,
    /// Its state after a rebalance; `None` is a tombstone.
    pub value: Option<GroupMetadata>,
}

/// A classic group after a rebalance.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct GroupMetadata {
    /// The generation.
    pub generation: Generation,
    /// The assignor that was voted for; none without members.
    pub protocol: Option<Assignor>,
    /// Who assigned.
    pub leader: Option<MemberId>,
    /// The members, ascending.
    pub members: Vec<MemberMetadata>,
    /// When the group came into this state.
    pub at: SimTime,
}

/// A member of a classic group as `__consumer_offsets` has it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MemberMetadata {
    /// Its id.
    pub member: MemberId,
    /// `group.instance.id`
    pub instance: Option<GroupInstanceId>,
    /// The process.
    pub node: NodeId,
    /// `session.timeout.ms`
    pub session_timeout: SimDuration,
    /// Its rebalance timeout: `max.poll.interval.ms`, or the session timeout before 0.10.1.
    pub rebalance_timeout: SimDuration,
    /// What it subscribes to.
    pub subscription: Arc<Subscription>,
    /// What it was assigned, ascending.
    pub assignment: Arc<[TopicPartition]>,
}

/// One change of a KIP-848 group as `__consumer_offsets` has it; `None` values are tombstones
/// (`GroupCoordinatorRecordHelpers`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ConsumerGroupRecord {
    /// The group's epoch (`ConsumerGroupMetadata`).
    Epoch(GroupId, Option<Generation>),
    /// A member and what it subscribes to (`ConsumerGroupMemberMetadata`).
    Member(GroupId, MemberId, Option<ConsumerGroupMember>),
    /// The epoch of the target assignment (`ConsumerGroupTargetAssignmentMetadata`).
    TargetEpoch(GroupId, Option<Generation>),
    /// What a member is to own (`ConsumerGroupTargetAssignmentMember`).
    Target(GroupId, MemberId, Option<Arc<[TopicPartition]>>),
    /// What a member owns and has to give up (`ConsumerGroupCurrentMemberAssignment`).
    Current(GroupId, MemberId, Option<CurrentAssignment>),
}

impl ConsumerGroupRecord {
    /// The group that it is about.
    #[must_use]
    pub const fn group(&self) -> GroupId {
        match self {
            ConsumerGroupRecord::Epoch(group, _)
            | ConsumerGroupRecord::Member(group, _, _)
            | ConsumerGroupRecord::TargetEpoch(group, _)
            | ConsumerGroupRecord::Target(group, _, _)
            | ConsumerGroupRecord::Current(group, _, _) => *group,
        }
    }
}

/// A member of a KIP-848 group.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ConsumerGroupMember {
    /// `group.instance.id`
    pub instance: Option<GroupInstanceId>,
    /// The process.
    pub node: NodeId,
    /// `max.poll.interval.ms`: how long it may take to give up a partition.
    pub rebalance_timeout: SimDuration,
    /// The topics, ascending.
    pub topics: SmallVec<[TopicId; 2]>,
    /// `group.remote.assignor`, if it asks for one.
    pub assignor: Option<RemoteAssignor>,
}

/// Where a member of a KIP-848 group is on its way to its target.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CurrentAssignment {
    /// Its epoch.
    pub epoch: Generation,
    /// The epoch before.
    pub previous_epoch: Generation,
    /// It must give up partitions before its epoch can rise, or waits for partitions that others own.
    pub state: MemberState,
    /// What it owns.
    pub assigned: Arc<[TopicPartition]>,
    /// What it was told to give up and has not yet.
    pub pending_revocation: Arc<[TopicPartition]>,
    /// A static member that has gone away, to come back (Kafka: its epoch is −2). Its partitions wait for it until its
    /// session is over.
    pub away: bool,
}

/// State of a member of a KIP-848 group (`MemberState`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum MemberState {
    /// It owns its target.
    Stable,
    /// It has to give up partitions first.
    UnrevokedPartitions,
    /// Partitions of its target are still owned by others.
    UnreleasedPartitions,
}
