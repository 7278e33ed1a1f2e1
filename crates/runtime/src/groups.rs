//! What the facts say of groups, for faults that strike an owner and for knowing when a group is at rest.
//!
//! An assignment counts from the moment at which its coordinator has stored it; a new coordinator takes it from its log and
//! states nothing new.

use crate::application::consumer::is_for_good;
use acklab_vocab::ids::{GroupId, MemberId, NodeId, Offset, TopicPartition, TransactionalId};
use acklab_vocab::trace::{GroupState, Stamped, TraceEvent};
use acklab_vocab::transaction::TransactionState;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What has been stated of groups so far.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    /// The process of each member.
    members: BTreeMap<(GroupId, MemberId), NodeId>,
    /// What each member is to own.
    assigned: BTreeMap<(GroupId, MemberId), Arc<[TopicPartition]>>,
    /// The state of each group.
    states: BTreeMap<GroupId, GroupState>,
    /// The state of each transactional id.
    transactions: BTreeMap<TransactionalId, TransactionState>,
    /// The processes that own a partition by ZooKeeper, the newest last.
    claims: BTreeMap<(GroupId, TopicPartition), Vec<NodeId>>,
    /// Up to where each process has tried to commit, or where it has found itself: by process, ascending by partition.
    settled_at: BTreeMap<NodeId, Vec<(TopicPartition, Offset)>>,
}

impl Groups {
    /// Takes note of a fact.
    pub(crate) fn note(&mut self, stamped: &Stamped) {
        match &stamped.event {
            TraceEvent::MemberJoined { group, member, member_node, .. } => {
                self.members.insert((*group, *member), *member_node);
            }
            TraceEvent::MemberRemoved { group, member, .. } => {
                self.members.remove(&(*group, *member));
                self.assigned.remove(&(*group, *member));
            }
            TraceEvent::GenerationStarted { group, members, .. } => {
                for &(member, node) in members.iter() {
                    self.members.insert((*group, member), node);
                }
            }
            TraceEvent::Assigned { group, assignment, partial, .. } => {
                if !partial {
                    self.assigned.retain(|(other, _), _| other != group);
                }
                for (member, partitions) in assignment.iter() {
                    self.assigned.insert((*group, *member), Arc::clone(partitions));
                }
            }
            TraceEvent::GroupStateChanged { group, state, .. } => {
                self.states.insert(*group, *state);
            }
            TraceEvent::TransactionStateChanged { transactional_id, state, .. } => {
                self.transactions.insert(*transactional_id, *state);
            }
            TraceEvent::PartitionClaimed { group, partition, consumer } => {
                self.claims.entry((*group, *partition)).or_default().push(*consumer);
            }
            TraceEvent::PartitionReleased { group, partition, consumer, .. } => {
                let claims = self.claims.entry((*group, *partition)).or_default();
                if let Some(at) = claims.iter().position(|own| own == consumer) {
                    claims.remove(at);
                }
            }
            TraceEvent::CommitCompleted { offsets, failure, .. }
                if failure.is_none_or(is_for_good) =>
            {
                for offset in offsets.iter() {
                    self.settle(stamped.node, offset.partition, offset.offset);
                }
            }
            TraceEvent::PositionFromCommitted { partition, to, .. }
            | TraceEvent::PositionReset { partition, to, .. } => {
                self.settle(stamped.node, *partition, *to);
            }
            TraceEvent::ProcessStarted { .. } => {
                self.settled_at.remove(&stamped.node);
            }
            _ => {}
        }
    }

    fn settle(&mut self, node: NodeId, partition: TopicPartition, offset: Offset) {
        let own = self.settled_at.entry(node).or_default();
        match own.binary_search_by_key(&partition, |&(other, _)| other) {
            Ok(at) => own[at].1 = offset,
            Err(at) => own.insert(at, (partition, offset)),
        }
    }

    /// How many processes own a partition by ZooKeeper.
    pub(crate) fn claimants(&self, group: GroupId, partition: TopicPartition) -> usize {
        self.claims.get(&(group, partition)).map_or(0, Vec::len)
    }

    /// The process of the member that owns a partition; by ZooKeeper, of the one that has taken it last.
    pub(crate) fn owner(&self, group: GroupId, partition: TopicPartition) -> Option<NodeId> {
        if let Some(claims) = self.claims.get(&(group, partition)) {
            return claims.last().copied();
        }
        let of_group = (group, MemberId(0))..=(group, MemberId(u64::MAX));
        let mut assigned = self.assigned.range(of_group);
        let (key, _) =
            assigned.find(|(_, partitions)| partitions.binary_search(&partition).is_ok())?;
        self.members.get(key).copied()
    }

    /// The state of a group.
    pub(crate) fn state(&self, group: GroupId) -> Option<GroupState> {
        self.states.get(&group).copied()
    }

    /// Whether a coordinator has a transaction open that it will end: by the producer's word, or by timeout.
    pub(crate) fn has_open_transaction(&self, id: TransactionalId) -> bool {
        self.transactions.get(&id).is_some_and(|state| state.is_under_way())
    }

    /// Up to where a process has tried to commit a partition, or where it has found itself.
    pub(crate) fn settled_at(&self, node: NodeId, partition: TopicPartition) -> Option<Offset> {
        let own = self.settled_at.get(&node)?;
        let at = own.binary_search_by_key(&partition, |&(other, _)| other).ok()?;
        Some(own[at].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use acklab_vocab::ids::{EventId, Generation};
    use acklab_vocab::time::SimTime;

    const GROUP: GroupId = GroupId(0);

    fn joined(member: u64, node: u16) -> TraceEvent {
        TraceEvent::MemberJoined {
            group: GROUP,
            member: MemberId(member),
            instance: None,
            member_node: NodeId(node),
        }
    }

    fn assigned(member: u64, partitions: &[u16], partial: bool) -> TraceEvent {
        let partitions = partitions.iter().map(|&partition| TopicPartition::new(0, partition));
        TraceEvent::Assigned {
            group: GROUP,
            generation: Generation(1),
            assignment: Arc::new([(MemberId(member), partitions.collect())]),
            partial,
        }
    }

    fn after(facts: Vec<TraceEvent>) -> Groups {
        let mut groups = Groups::default();
        for event in facts {
            let (cause, at, node) = (EventId(0), SimTime::ZERO, NodeId(9));
            groups.note(&Stamped { cause, at, node, event });
        }
        groups
    }

    #[test]
    fn an_assignment_replaces_the_one_before_unless_it_is_partial() {
        let start = vec![joined(1, 11), joined(2, 12), assigned(1, &[0, 1], false)];
        let owner = |groups: &Groups, partition| {
            groups.owner(GROUP, TopicPartition::new(0, partition)).map(|node| node.0)
        };
        let whole = after([start.clone(), vec![assigned(2, &[1], false)]].concat());
        assert_eq!((owner(&whole, 0), owner(&whole, 1)), (None, Some(12)));
        let partial = after([start, vec![assigned(2, &[2], true)]].concat());
        assert_eq!((owner(&partial, 0), owner(&partial, 2)), (Some(11), Some(12)));
    }
}
