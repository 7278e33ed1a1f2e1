//! Which broker's word counts for the groups of a partition of `__consumer_offsets`, and what a new
//! coordinator knows.
//!
//! A broker that was paused or cut off may lead such a partition for a while after another has
//! taken it over, and go on ending memberships and answering commits: those are facts about its
//! own view only. The truth is what the coordinator with the newest leader epoch says, and that one
//! begins with what its log has (`GroupMetadataManager.loadGroupsAndOffsets`,
//! `GroupCoordinatorShard.replay`): memberships that another had ended in memory alone go on.
//! Leaves out the state, which a new coordinator states itself.

use acklab_vocab::group::ConsumerGroupRecord;
use acklab_vocab::ids::{
    Generation, GroupId, LeaderEpoch, MemberId, NodeId, Offset, TopicPartition,
};
use acklab_vocab::record::Payload;
use acklab_vocab::time::SimTime;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::coordination::Group;
use crate::world::{Replica, World};

/// The brokers that have read a partition of `__consumer_offsets`.
#[derive(Clone, Debug, Default)]
pub struct Coordinators {
    /// By dense index of the partition and broker: under which leader epoch it read it last.
    loaded: BTreeMap<(usize, NodeId), LeaderEpoch>,
    /// By dense index of the partition: the newest of them.
    newest: BTreeMap<usize, LeaderEpoch>,
}

impl Coordinators {
    /// A broker has read a partition. Whether it takes it over from another coordinator.
    pub fn loaded(&mut self, home: usize, node: NodeId, epoch: LeaderEpoch) -> bool {
        self.loaded.insert((home, node), epoch);
        let newest = self.newest.get(&home).copied();
        if newest.is_none_or(|newest| newest < epoch) {
            self.newest.insert(home, epoch);
        }
        newest.is_some_and(|newest| newest < epoch)
    }

    /// The broker that took a partition over last.
    #[must_use]
    pub fn current(&self, home: usize) -> Option<NodeId> {
        let newest = self.newest.get(&home)?;
        let mut of_home = self.loaded.range((home, NodeId(0))..=(home, NodeId(u16::MAX)));
        of_home.find(|(_, epoch)| *epoch == newest).map(|(&(_, node), _)| node)
    }

    /// Another broker has taken the partition over.
    #[must_use]
    pub fn is_zombie(&self, home: usize, node: NodeId) -> bool {
        self.newest
            .get(&home)
            .is_some_and(|newest| self.loaded.get(&(home, node)).is_none_or(|epoch| epoch < newest))
    }
}

/// Who owns what as the log has it, and on which process.
type Members = BTreeMap<MemberId, (Option<NodeId>, Arc<[TopicPartition]>)>;

/// What a log says of the membership of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Logged {
    /// Its generation, or group epoch.
    pub generation: Generation,
    /// Its members, and what each was given.
    members: Members,
    /// Those that it had at the high watermark.
    certain: Vec<MemberId>,
}

impl Logged {
    /// What a replica's log says of a group.
    #[must_use]
    pub fn read(world: &World, replica: &Replica, group: GroupId, at: SimTime) -> Self {
        let certain_below: Offset = replica.high_watermark_before(at);
        let mut logged = Logged::default();
        for id in &replica.log {
            let batch = &world.appends[id.index()].batch;
            match &batch.payload {
                Payload::Group(record) if record.group == group => {
                    let value = record.value.as_ref();
                    logged.generation = value.map(|value| value.generation).unwrap_or_default();
                    let members = value.into_iter().flat_map(|value| &value.members);
                    let members =
                        members.map(|of| (of.member, (Some(of.node), Arc::clone(&of.assignment))));
                    logged.members = members.collect();
                }
                Payload::ConsumerGroup(records) => {
                    let records = records.iter().filter(|record| record.group() == group);
                    records.for_each(|record| logged.take(record));
                }
                _ => continue,
            }
            if batch.next_offset() <= certain_below {
                logged.certain = logged.members.keys().copied().collect();
            }
        }
        logged
    }

    fn take(&mut self, record: &ConsumerGroupRecord) {
        match record {
            ConsumerGroupRecord::Epoch(_, epoch) => self.generation = epoch.unwrap_or_default(),
            ConsumerGroupRecord::Member(_, member, Some(value)) => {
                self.members.entry(*member).or_default().0 = Some(value.node);
            }
            ConsumerGroupRecord::Member(_, member, None) => {
                self.members.remove(member);
            }
            ConsumerGroupRecord::Current(_, member, Some(current)) => {
                self.members.entry(*member).or_default().1 = Arc::clone(&current.assigned);
            }
            ConsumerGroupRecord::Current(_, _, None)
            | ConsumerGroupRecord::TargetEpoch(..)
            | ConsumerGroupRecord::Target(..) => {}
        }
    }
}

impl Group {
    /// Another coordinator has taken the group over, and knows what its log has. Returns the
    /// members.
    pub fn taken_over(&mut self, at: SimTime, logged: Logged) -> &[(MemberId, NodeId)] {
        let Logged { generation, members, certain } = logged;
        let is_known = |id: &MemberId| members.contains_key(id) || certain.contains(id);
        self.removed.retain(|(id, _)| !is_known(id));
        self.ended.retain(|(ended, _)| *ended < generation);
        self.generation = generation;
        self.assignment = members.iter().map(|(id, (_, of))| (*id, Arc::clone(of))).collect();
        let members = members.into_iter().filter_map(|(id, (node, _))| Some((id, node?)));
        self.members = members.collect();
        for track in &mut self.tracks {
            track.appended.clear();
        }
        self.note_filled(at);
        &self.members
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_epoch_has_the_word() {
        let mut coordinators = Coordinators::default();
        assert!(!coordinators.is_zombie(3, NodeId(1)));
        assert!(!coordinators.loaded(3, NodeId(1), LeaderEpoch(4)));
        assert!(!coordinators.is_zombie(3, NodeId(1)));
        assert!(coordinators.loaded(3, NodeId(2), LeaderEpoch(5)));
        assert!(coordinators.is_zombie(3, NodeId(1)));
        assert!(!coordinators.loaded(3, NodeId(1), LeaderEpoch(4)));
        assert!(coordinators.is_zombie(3, NodeId(1)) && !coordinators.is_zombie(3, NodeId(2)));
        assert!(!coordinators.is_zombie(4, NodeId(1)));
        assert!(coordinators.loaded(3, NodeId(1), LeaderEpoch(6)));
        assert!(coordinators.is_zombie(3, NodeId(2)) && !coordinators.is_zombie(3, NodeId(1)));
        assert_eq!((coordinators.current(3), coordinators.current(4)), (Some(NodeId(1)), None));
    }
}
