//! A group as its coordinators' facts tell: who is a member of which generation, and which offset
//! is committed for each partition.
//!
//! Mirrors `ClassicGroup`, `ConsumerGroup` and `OffsetMetadataManager` from outside. Several
//! applications may use one group.

use acklab_vocab::api::OffsetToCommit;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{Generation, MemberId, NodeId, Offset, TopicPartition};
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::{CommitFailure, GroupState};
use std::collections::VecDeque;
use std::sync::Arc;

use super::reading::Moment;
use super::rebalances::Rebalances;
use crate::world::World;

/// A change of a group's committed offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// When it became visible.
    pub moment: Moment,
    /// Who had committed it; `None` if a coordinator read it from its log.
    pub node: Option<NodeId>,
    /// Who had asked for it, also if a coordinator read it from its log; `None` if nobody is known
    /// to have.
    pub author: Option<NodeId>,
    /// The offset; `None` where there is none any more.
    pub offset: Option<Offset>,
    /// The highest that had ever been committed by then.
    pub highest: Offset,
}

/// A commit that failed, as its consumer saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailedCommit {
    /// When.
    pub moment: Moment,
    /// Whose.
    pub node: NodeId,
    /// What was to be committed.
    pub offset: Offset,
    /// How.
    pub failure: CommitFailure,
}

/// What happened to an owner's znode in ZooKeeper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimChange {
    /// It was created.
    Claimed,
    /// Its owner deleted it, or closed its session.
    Released,
    /// It went with its owner's session, which had expired.
    Expired,
}

/// A change of who owns a partition by ZooKeeper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// When.
    pub moment: Moment,
    /// Whose claim.
    pub node: NodeId,
    /// What happened to it.
    pub change: ClaimChange,
}

/// A group's committed offset of one partition, over time.
#[derive(Clone, Debug, Default)]
pub struct OffsetTrack {
    /// What is committed now.
    pub current: Option<Offset>,
    /// Every change, in the order of the trace.
    pub commits: Vec<Commit>,
    /// Commits that failed, in the order of the trace.
    pub failed: Vec<FailedCommit>,
    /// Who has asked for which offset, in the order of the trace.
    asked: Vec<(Offset, NodeId)>,
    /// Offsets in the coordinator's log that are not visible yet, in the order of the log, and when
    /// each was appended (the marker of its transaction, if it is in one).
    pub appended: VecDeque<(Option<Offset>, SimTime)>,
    /// The last that became visible.
    pub last_visible: Option<(Option<Offset>, SimTime)>,
    /// Who owned the partition by ZooKeeper, in the order of the trace.
    pub claims: Vec<Claim>,
    /// Two members owned the partition at the same time.
    pub had_two_owners: bool,
    /// A static member that had not joined the rebalance went on with the partition.
    pub had_absent_owner: bool,
}

impl OffsetTrack {
    /// The committed offset is another one.
    pub fn commit(&mut self, moment: Moment, node: Option<NodeId>, offset: Option<Offset>) {
        let highest = self.commits.last().map_or(Offset(0), |last| last.highest);
        let highest = highest.max(offset.unwrap_or(Offset(0)));
        let author = node.or_else(|| self.who_asked(offset?));
        self.current = offset;
        self.commits.push(Commit { moment, node, author, offset, highest });
    }

    /// A process asks for an offset to be committed.
    pub fn ask(&mut self, node: NodeId, offset: Offset) {
        if self.asked.last() != Some(&(offset, node)) {
            self.asked.push((offset, node));
        }
    }

    /// Who asked for an offset last.
    fn who_asked(&self, offset: Offset) -> Option<NodeId> {
        let mut asked = self.asked.iter().rev();
        asked.find(|(of, _)| *of == offset).map(|&(_, node)| node)
    }

    /// The changes before a moment.
    #[must_use]
    pub fn before(&self, moment: Moment) -> &[Commit] {
        let end = self.commits.partition_point(|commit| commit.moment < moment);
        &self.commits[..end]
    }

    /// Takes the oldest append of this offset off the list, with those before it; whether there was
    /// one.
    pub fn becomes_visible(&mut self, offset: Option<Offset>) -> bool {
        let Some(index) = self.appended.iter().position(|(appended, _)| *appended == offset) else {
            return false;
        };
        self.last_visible = self.appended.drain(..=index).next_back();
        true
    }

    /// When the latest commit of an offset was appended to the coordinator's log.
    #[must_use]
    pub fn appended_at(&self, offset: Offset) -> Option<SimTime> {
        let known = self.appended.iter().chain(&self.last_visible);
        known.filter(|(appended, _)| *appended == Some(offset)).map(|&(_, at)| at).max()
    }
}

/// A group.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// Counts what has happened to it.
    pub changes: u32,
    /// Its state, as stated last.
    pub state: Option<GroupState>,
    /// Its generation, or group epoch.
    pub generation: Generation,
    /// Its members: those of the generation that began last, without those removed since.
    pub members: Vec<(MemberId, NodeId)>,
    /// It follows KIP-848.
    pub is_next_generation: bool,
    /// Who owns what, as the coordinator assigned it last.
    pub assignment: Vec<(MemberId, Arc<[TopicPartition]>)>,
    /// The broker that stated a fact about it last.
    pub coordinator: Option<NodeId>,
    /// How often another broker became its coordinator after time zero.
    pub coordinator_moves: u64,
    /// By dense index of the partition.
    pub tracks: Vec<OffsetTrack>,
    /// Its rebalances.
    pub rebalances: Rebalances,
    /// How many generations began after time zero.
    pub generations: u64,
    /// When each generation of a classic group ended.
    pub ended: Vec<(Generation, SimTime)>,
    /// When each former member was removed.
    pub removed: Vec<(MemberId, SimTime)>,
    /// Since when it has had members.
    pub filled_since: Option<SimTime>,
    /// Dense index of its partition of `__consumer_offsets`, once something was written there.
    pub home: Option<usize>,
    /// Some of its offsets have expired.
    pub has_expired: bool,
    /// Commits that the coordinator has refused, by answer.
    pub refused: Vec<(ErrorCode, u64)>,
}

impl Group {
    /// A group of which nothing is known, in a cluster with so many partitions.
    #[must_use]
    pub fn new(partitions: usize) -> Self {
        Group { tracks: vec![OffsetTrack::default(); partitions], ..Group::default() }
    }

    /// A process asks for offsets to be committed.
    pub fn ask(&mut self, world: &World, node: NodeId, offsets: &[OffsetToCommit]) {
        for of in offsets {
            if let Some(partition) = world.index_of(of.partition) {
                self.tracks[partition].ask(node, of.offset);
            }
        }
    }

    /// A process is a member.
    #[must_use]
    pub fn has(&self, node: NodeId) -> bool {
        self.members.iter().any(|&(_, of)| of == node)
    }

    /// A generation began: `members` are all.
    pub fn begin_generation(
        &mut self,
        at: SimTime,
        generation: Generation,
        members: &[(MemberId, NodeId)],
    ) {
        if generation != self.generation {
            self.ended.push((self.generation, at));
        }
        self.generation = generation;
        let gone = self.members.iter().filter(|(id, _)| members.iter().all(|(of, _)| of != id));
        let gone: Vec<(MemberId, SimTime)> = gone.map(|&(id, _)| (id, at)).collect();
        self.removed.extend(gone);
        self.members = members.to_vec();
        self.generations += u64::from(at >= SimTime::ZERO);
        self.note_filled(at);
    }

    /// A group has another member.
    pub fn add(&mut self, at: SimTime, member: MemberId, node: NodeId) {
        if self.members.iter().all(|&(id, _)| id != member) {
            self.members.push((member, node));
            self.members.sort_unstable();
        }
        self.note_filled(at);
    }

    /// A group has a member less.
    pub fn remove(&mut self, at: SimTime, member: MemberId) {
        self.members.retain(|&(id, _)| id != member);
        self.assignment.retain(|(id, _)| *id != member);
        self.removed.push((member, at));
        self.note_filled(at);
    }

    pub(super) fn note_filled(&mut self, at: SimTime) {
        if self.members.is_empty() {
            self.filled_since = None;
        } else {
            self.filled_since.get_or_insert(at);
        }
    }

    /// When a member's right to commit in a generation ended, if it has.
    #[must_use]
    pub fn ended_at(&self, member: MemberId, generation: Generation) -> Option<SimTime> {
        let is_member = self.members.iter().any(|&(id, _)| id == member);
        let removed = self.removed.iter().rev().find(|(id, _)| *id == member && !is_member);
        let over = (generation != self.generation && !self.is_next_generation)
            .then(|| self.ended.iter().rev().find(|(of, _)| *of == generation))
            .flatten();
        let removed = removed.map(|&(_, at)| at);
        let over = over.map(|&(_, at)| at);
        match (removed, over) {
            (Some(removed), Some(over)) => Some(removed.min(over)),
            (removed, over) => removed.or(over),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: fn(i64) -> SimTime = SimTime::from_millis;

    #[test]
    fn a_right_to_commit_ends_with_the_generation_or_the_membership() {
        let (one, two) = ((MemberId(1), NodeId(6)), (MemberId(2), NodeId(7)));
        let mut group = Group::new(1);
        group.begin_generation(AT(1), Generation(1), &[one, two]);
        assert_eq!(group.ended_at(MemberId(1), Generation(1)), None);
        group.remove(AT(5), MemberId(2));
        assert_eq!(group.ended_at(MemberId(2), Generation(1)), Some(AT(5)));
        group.begin_generation(AT(9), Generation(2), &[one]);
        assert_eq!(group.ended_at(MemberId(1), Generation(1)), Some(AT(9)));
        assert_eq!(group.ended_at(MemberId(1), Generation(2)), None);
        assert_eq!(group.filled_since, Some(AT(1)));
    }

    #[test]
    fn offsets_become_visible_in_the_order_of_the_log() {
        let mut track = OffsetTrack::default();
        for (offset, at) in [(5, 1), (9, 2), (7, 3)] {
            track.appended.push_back((Some(Offset(offset)), AT(at)));
        }
        assert!(track.becomes_visible(Some(Offset(9))));
        assert!(!track.becomes_visible(Some(Offset(5))));
        assert_eq!(track.appended_at(Offset(9)), Some(AT(2)));
        assert_eq!(track.appended_at(Offset(7)), Some(AT(3)));
    }
}
