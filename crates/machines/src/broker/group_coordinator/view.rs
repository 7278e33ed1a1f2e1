//! What the runtime and `acklab replay` see of the groups that a broker coordinates.

use super::{CoordinatedGroup, Group};
use crate::broker::Broker;
use acklab_vocab::group::{Assignor, CommittedOffset};
use acklab_vocab::ids::{
    Generation, GroupId, GroupInstanceId, MemberId, NodeId, Offset, TopicPartition,
};
use acklab_vocab::trace::GroupState;
use std::sync::Arc;

/// A group that a broker coordinates, in short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupSummary {
    /// Which.
    pub group: GroupId,
    /// Its state.
    pub state: GroupState,
    /// Its generation, or (KIP-848) group epoch.
    pub generation: Generation,
    /// How many members it has.
    pub members: usize,
    /// No rebalance is under way: it is Stable or Empty.
    pub is_settled: bool,
}

/// A group that a broker coordinates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupView {
    /// Which.
    pub group: GroupId,
    /// The partition of `__consumer_offsets` that it belongs to.
    pub partition: TopicPartition,
    /// Its state.
    pub state: GroupState,
    /// Its generation, or (KIP-848) group epoch.
    pub generation: Generation,
    /// What the members of a classic group voted for.
    pub protocol: Option<Assignor>,
    /// Who assigns in a classic group.
    pub leader: Option<MemberId>,
    /// Its members, ascending.
    pub members: Vec<GroupMemberView>,
    /// Its committed offsets, as OffsetFetch tells them, ascending.
    pub committed: Vec<(TopicPartition, CommittedOffset)>,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMemberView {
    /// Its id.
    pub member: MemberId,
    /// Its process.
    pub node: NodeId,
    /// `group.instance.id`
    pub instance: Option<GroupInstanceId>,
    /// What it was assigned last, or (KIP-848) owns, ascending.
    pub assignment: Arc<[TopicPartition]>,
    /// A request of its own waits at the coordinator: JoinGroup or SyncGroup.
    pub is_waiting: bool,
}

impl GroupView {
    fn of(id: GroupId, known: &CoordinatedGroup) -> Self {
        let CoordinatedGroup { partition, group, offsets } = known;
        let summary = group.summary(id);
        let (protocol, leader) = match group {
            Group::Classic(group) => (group.protocol, group.leader),
            Group::Consumer(_) => (None, None),
        };
        GroupView {
            group: id,
            partition: *partition,
            state: summary.state,
            generation: summary.generation,
            protocol,
            leader,
            members: group.member_views(),
            committed: offsets.all_visible().collect(),
        }
    }
}

impl Group {
    fn summary(&self, group: GroupId) -> GroupSummary {
        let is_settled = self.is_settled();
        match self {
            Group::Classic(classic) => GroupSummary {
                group,
                state: classic.state,
                generation: classic.generation,
                members: classic.members.len(),
                is_settled,
            },
            Group::Consumer(consumer) => GroupSummary {
                group,
                state: consumer.state(),
                generation: consumer.epoch,
                members: consumer.members.len(),
                is_settled,
            },
        }
    }

    fn member_views(&self) -> Vec<GroupMemberView> {
        match self {
            Group::Classic(group) => group
                .members
                .iter()
                .map(|(&id, member)| GroupMemberView {
                    member: id,
                    node: member.node,
                    instance: member.instance,
                    assignment: Arc::clone(&member.assignment),
                    is_waiting: member.awaiting_join.is_some() || member.awaiting_sync.is_some(),
                })
                .collect(),
            Group::Consumer(group) => group
                .members
                .iter()
                .map(|(&id, member)| GroupMemberView {
                    member: id,
                    node: member.metadata.node,
                    instance: member.metadata.instance,
                    assignment: Arc::clone(&member.current.assigned),
                    is_waiting: false,
                })
                .collect(),
        }
    }
}

impl Broker {
    /// The groups that this broker coordinates, ascending: those of the partitions of
    /// `__consumer_offsets` that it leads and has read.
    pub fn coordinated_groups(&self) -> impl Iterator<Item = GroupSummary> + '_ {
        self.group_coordinator.groups.iter().map(|(&group, known)| known.group.summary(group))
    }

    /// A group that this broker coordinates, in full.
    #[must_use]
    pub fn group_view(&self, group: GroupId) -> Option<GroupView> {
        self.group_coordinator.groups.get(&group).map(|known| GroupView::of(group, known))
    }

    /// The committed offset of a group that this broker coordinates, as OffsetFetch tells it.
    #[must_use]
    pub fn committed_offset(&self, group: GroupId, partition: TopicPartition) -> Option<Offset> {
        let known = self.group_coordinator.groups.get(&group)?;
        known.offsets.visible(partition).map(|committed| committed.offset)
    }

    /// Every group that this broker coordinates, in full, ascending.
    pub(in crate::broker) fn group_views(&self) -> Vec<GroupView> {
        let groups = self.group_coordinator.groups.iter();
        groups.map(|(&group, known)| GroupView::of(group, known)).collect()
    }
}
