//! The committed offsets of a group, and those that transactions have yet to decide.
//!
//! Mirrors `GroupMetadata.offsets` and `pendingTransactionalOffsetCommits` (up to 3.9) and
//! `OffsetMetadataManager` with its two views, what is written and what is committed (KIP-848). The
//! last write in the log's order wins, whatever its offset: a late lower commit rewinds the group.

use acklab_vocab::api::OffsetToCommit;
use acklab_vocab::group::CommittedOffset;
use acklab_vocab::ids::{NodeId, ProducerId, TopicPartition};
use acklab_vocab::time::SimTime;
use acklab_vocab::transaction::TransactionResult;
use std::collections::BTreeMap;
use std::sync::Arc;

/// An offset, and its place among all writes of the coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::broker) struct StoredOffset {
    pub committed: CommittedOffset,
    /// Rises in the order of the log.
    pub write: u64,
}

/// Offsets by partition, ascending.
pub(in crate::broker) type StoredOffsets = Vec<(TopicPartition, StoredOffset)>;

/// Offsets that a transaction commits if it is committed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PendingOffsets {
    /// The process that asked for the last of them; `None` if they were read from the log.
    from: Option<NodeId>,
    offsets: BTreeMap<TopicPartition, StoredOffset>,
}

/// The offsets of one group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct GroupOffsets {
    /// As written; the same as `visible` without the rule `EventLoopGroupCoordinator`.
    latest: BTreeMap<TopicPartition, StoredOffset>,
    /// As committed: what OffsetFetch tells.
    visible: BTreeMap<TopicPartition, StoredOffset>,
    /// By producer: what its open transaction has committed.
    transactions: BTreeMap<ProducerId, PendingOffsets>,
    /// Without the rule `EventLoopGroupCoordinator`: the last write of a partition that is not done
    /// (`pendingOffsetCommits`).
    staged: BTreeMap<TopicPartition, u64>,
    /// By partition whose tombstone is written but not committed: its write. Nothing older counts
    /// as written any more.
    removed: BTreeMap<TopicPartition, u64>,
}

/// What `offsets` are as stored by write number `write`, at `at`.
pub(super) fn stored(offsets: &[OffsetToCommit], write: u64, at: SimTime) -> StoredOffsets {
    let store = |offset: &OffsetToCommit| {
        let OffsetToCommit { partition, offset, leader_epoch } = *offset;
        let committed = CommittedOffset { offset, leader_epoch, committed_at: at };
        (partition, StoredOffset { committed, write })
    };
    offsets.iter().map(store).collect()
}

/// What `offsets` say, without when and by which write.
pub(super) fn told(offsets: &[(TopicPartition, StoredOffset)]) -> Arc<[OffsetToCommit]> {
    let tell = |&(partition, stored): &(TopicPartition, StoredOffset)| OffsetToCommit {
        partition,
        offset: stored.committed.offset,
        leader_epoch: stored.committed.leader_epoch,
    };
    offsets.iter().map(tell).collect()
}

fn insert_newer(
    map: &mut BTreeMap<TopicPartition, StoredOffset>,
    offsets: &[(TopicPartition, StoredOffset)],
) -> StoredOffsets {
    let mut changed = StoredOffsets::new();
    for &(partition, stored) in offsets {
        if map.get(&partition).is_none_or(|known| known.write <= stored.write) {
            map.insert(partition, stored);
            changed.push((partition, stored));
        }
    }
    changed
}

impl GroupOffsets {
    /// The offset as committed.
    pub fn visible(&self, partition: TopicPartition) -> Option<CommittedOffset> {
        self.visible.get(&partition).map(|stored| stored.committed)
    }

    /// The offset as written.
    pub fn latest(&self, partition: TopicPartition) -> Option<CommittedOffset> {
        self.latest.get(&partition).map(|stored| stored.committed)
    }

    /// Every offset as committed, ascending.
    pub fn all_visible(&self) -> impl Iterator<Item = (TopicPartition, CommittedOffset)> + '_ {
        self.visible.iter().map(|(&partition, stored)| (partition, stored.committed))
    }

    /// Every offset as written, ascending.
    pub fn all_latest(&self) -> impl Iterator<Item = (TopicPartition, CommittedOffset)> + '_ {
        self.latest.iter().map(|(&partition, stored)| (partition, stored.committed))
    }

    /// There are no offsets, and neither a transaction nor a write may bring any (`hasOffsets`).
    pub fn is_empty(&self) -> bool {
        self.latest.is_empty()
            && self.visible.is_empty()
            && self.transactions.is_empty()
            && self.staged.is_empty()
    }

    /// Everything that is committed, as a judge is told it.
    pub fn told(&self) -> Arc<[OffsetToCommit]> {
        let all: StoredOffsets = self.visible.iter().map(|(&id, &stored)| (id, stored)).collect();
        told(&all)
    }

    /// Offsets are about to be written (`prepareOffsetCommit`).
    pub fn stage(&mut self, offsets: &[(TopicPartition, StoredOffset)]) {
        self.staged.extend(offsets.iter().map(|&(partition, stored)| (partition, stored.write)));
    }

    /// That write is done, or has failed; a partition with a later one stays staged.
    pub fn unstage(&mut self, offsets: &[(TopicPartition, StoredOffset)]) {
        for &(partition, stored) in offsets {
            if self.staged.get(&partition) == Some(&stored.write) {
                self.staged.remove(&partition);
            }
        }
    }

    /// Offsets have been written.
    pub fn write(&mut self, offsets: &[(TopicPartition, StoredOffset)]) {
        self.write_latest(offsets);
    }

    /// Returns those that are the newest.
    fn write_latest(&mut self, offsets: &[(TopicPartition, StoredOffset)]) -> StoredOffsets {
        if self.removed.is_empty() {
            return insert_newer(&mut self.latest, offsets);
        }
        let newer = offsets.iter().copied();
        let newer = newer.filter(|(partition, stored)| !self.is_removed(*partition, stored));
        let newer: StoredOffsets = newer.collect();
        insert_newer(&mut self.latest, &newer)
    }

    fn is_removed(&self, partition: TopicPartition, stored: &StoredOffset) -> bool {
        self.removed.get(&partition).is_some_and(|&write| stored.write < write)
    }

    /// Offsets that had been taken for written have not been: back to what is committed.
    pub fn revert(&mut self, offsets: &[(TopicPartition, StoredOffset)]) {
        for &(partition, stored) in offsets {
            if self.latest.get(&partition).is_some_and(|known| known.write == stored.write) {
                match self.visible.get(&partition) {
                    Some(&visible) if !self.is_removed(partition, &visible) => {
                        self.latest.insert(partition, visible)
                    }
                    Some(_) | None => self.latest.remove(&partition),
                };
            }
        }
    }

    /// Offsets that have been written are committed. Returns those that are the newest.
    pub fn commit(&mut self, offsets: &[(TopicPartition, StoredOffset)]) -> StoredOffsets {
        self.write_latest(offsets);
        insert_newer(&mut self.visible, offsets)
    }

    /// A tombstone has been written for a partition, as write number `write`; the offset stays
    /// visible until [`GroupOffsets::remove_visible`].
    pub fn remove_latest(&mut self, partition: TopicPartition, write: u64) {
        self.latest.remove(&partition);
        self.removed.insert(partition, write);
    }

    /// That tombstone is committed. Returns whether an offset goes: one that was written later
    /// stays.
    pub fn remove_visible(&mut self, partition: TopicPartition, write: u64) -> bool {
        let is_older = self.visible.get(&partition).is_some_and(|known| known.write < write);
        if is_older {
            self.visible.remove(&partition);
        }
        if self.removed.get(&partition) == Some(&write) {
            self.removed.remove(&partition);
        }
        is_older
    }

    /// An open transaction, or a write under way, may still change the partition's offset
    /// (`hasPendingOffsetCommitsForTopicPartition`).
    pub fn is_unstable(&self, partition: TopicPartition) -> bool {
        self.staged.contains_key(&partition)
            || self.transactions.values().any(|pending| pending.offsets.contains_key(&partition))
    }

    /// A transaction commits offsets if it is committed.
    pub fn prepare(
        &mut self,
        producer: ProducerId,
        from: Option<NodeId>,
        offsets: &[(TopicPartition, StoredOffset)],
    ) {
        let pending = self.transactions.entry(producer).or_default();
        pending.from = from;
        insert_newer(&mut pending.offsets, offsets);
    }

    /// Offsets of a transaction could not be written.
    pub fn fail(&mut self, producer: ProducerId, offsets: &[(TopicPartition, StoredOffset)]) {
        let Some(pending) = self.transactions.get_mut(&producer) else { return };
        for &(partition, stored) in offsets {
            if pending.offsets.get(&partition).is_some_and(|known| known.write == stored.write) {
                pending.offsets.remove(&partition);
            }
        }
        if pending.offsets.is_empty() {
            self.transactions.remove(&producer);
        }
    }

    /// A marker has ended a producer's transaction. Returns what it commits, and who had asked for
    /// it; it counts as written.
    pub fn end_transaction(
        &mut self,
        producer: ProducerId,
        result: TransactionResult,
    ) -> Option<(Option<NodeId>, StoredOffsets)> {
        let pending = self.transactions.remove(&producer)?;
        match result {
            TransactionResult::Abort => None,
            TransactionResult::Commit => {
                let offsets: StoredOffsets = pending.offsets.into_iter().collect();
                let newest = self.write_latest(&offsets);
                Some((pending.from, newest))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use acklab_vocab::ids::Offset;

    const PRODUCER: ProducerId = ProducerId(7);

    fn partition(index: u16) -> TopicPartition {
        TopicPartition::new(0, index)
    }

    fn offsets(write: u64, offsets: &[(u16, u64)]) -> StoredOffsets {
        let to_commit: Vec<OffsetToCommit> = offsets
            .iter()
            .map(|&(index, offset)| OffsetToCommit {
                partition: partition(index),
                offset: Offset(offset),
                leader_epoch: None,
            })
            .collect();
        stored(&to_commit, write, SimTime::ZERO)
    }

    fn visible(group: &GroupOffsets, index: u16) -> Option<u64> {
        group.visible(partition(index)).map(|committed| committed.offset.0)
    }

    fn latest(group: &GroupOffsets, index: u16) -> Option<u64> {
        group.latest(partition(index)).map(|committed| committed.offset.0)
    }

    #[test]
    fn the_last_write_wins_even_if_its_offset_is_lower() {
        let mut group = GroupOffsets::default();
        group.commit(&offsets(1, &[(0, 200)]));
        group.commit(&offsets(2, &[(0, 100)]));
        assert_eq!(visible(&group, 0), Some(100));
        assert!(group.commit(&offsets(1, &[(0, 200)])).is_empty());
        assert_eq!(visible(&group, 0), Some(100));
    }

    #[test]
    fn what_is_written_is_visible_when_it_is_committed() {
        let mut group = GroupOffsets::default();
        group.write(&offsets(1, &[(0, 5)]));
        assert_eq!((latest(&group, 0), visible(&group, 0)), (Some(5), None));
        group.commit(&offsets(1, &[(0, 5)]));
        assert_eq!((latest(&group, 0), visible(&group, 0)), (Some(5), Some(5)));
        group.write(&offsets(2, &[(0, 9)]));
        group.revert(&offsets(2, &[(0, 9)]));
        assert_eq!(latest(&group, 0), Some(5));
    }

    /// `GroupOffsets::commit` comes late: what it commits was written before the tombstone.
    #[test]
    fn a_commit_that_is_committed_after_a_tombstone_was_written_goes_with_it() {
        let mut group = GroupOffsets::default();
        group.write(&offsets(1, &[(0, 5)]));
        group.remove_latest(partition(0), 2);
        group.commit(&offsets(1, &[(0, 5)]));
        assert_eq!((latest(&group, 0), visible(&group, 0)), (None, Some(5)));
        assert!(group.remove_visible(partition(0), 2));
        assert!(group.is_empty());
        assert_eq!(group, GroupOffsets::default());
    }

    #[test]
    fn between_a_tombstone_and_the_next_commit_nothing_is_committed() {
        let mut group = GroupOffsets::default();
        group.commit(&offsets(1, &[(0, 5)]));
        group.remove_latest(partition(0), 2);
        group.write(&offsets(3, &[(0, 7)]));
        assert_eq!((latest(&group, 0), visible(&group, 0)), (Some(7), Some(5)));
        assert!(group.remove_visible(partition(0), 2));
        assert_eq!((latest(&group, 0), visible(&group, 0)), (Some(7), None));
        group.commit(&offsets(3, &[(0, 7)]));
        assert_eq!(visible(&group, 0), Some(7));
        // One that was written later is not what the tombstone was for.
        assert!(!group.remove_visible(partition(0), 2));
    }

    #[test]
    fn a_write_that_was_none_does_not_bring_back_what_has_expired() {
        let mut group = GroupOffsets::default();
        group.commit(&offsets(1, &[(0, 5)]));
        group.remove_latest(partition(0), 2);
        group.write(&offsets(3, &[(0, 7)]));
        group.revert(&offsets(3, &[(0, 7)]));
        assert_eq!((latest(&group, 0), visible(&group, 0)), (None, Some(5)));
    }

    #[test]
    fn a_partition_is_unstable_until_its_last_write_is_done() {
        let mut group = GroupOffsets::default();
        group.stage(&offsets(1, &[(0, 5), (1, 5)]));
        group.stage(&offsets(2, &[(0, 6)]));
        group.unstage(&offsets(1, &[(0, 5), (1, 5)]));
        assert!(group.is_unstable(partition(0)) && !group.is_unstable(partition(1)));
        assert!(!group.is_empty(), "it is not to be deleted");
        group.unstage(&offsets(2, &[(0, 6)]));
        assert!(!group.is_unstable(partition(0)) && group.is_empty());
    }

    #[test]
    fn a_transaction_decides_when_its_marker_comes() {
        let mut group = GroupOffsets::default();
        group.commit(&offsets(1, &[(0, 5), (1, 5)]));
        group.prepare(PRODUCER, Some(NodeId(3)), &offsets(2, &[(0, 10)]));
        assert!(group.is_unstable(partition(0)) && !group.is_unstable(partition(1)));
        assert_eq!(visible(&group, 0), Some(5));
        let ended = group.end_transaction(PRODUCER, TransactionResult::Commit);
        assert_eq!(ended, Some((Some(NodeId(3)), offsets(2, &[(0, 10)]))));
        assert!(!group.is_unstable(partition(0)));
        assert_eq!((latest(&group, 0), visible(&group, 0)), (Some(10), Some(5)));
    }

    #[test]
    fn an_aborted_or_overtaken_transaction_changes_nothing() {
        let mut group = GroupOffsets::default();
        group.prepare(PRODUCER, None, &offsets(1, &[(0, 10)]));
        assert_eq!(group.end_transaction(PRODUCER, TransactionResult::Abort), None);
        assert!(group.is_empty());
        // A plain commit that came later in the log stays.
        group.prepare(PRODUCER, None, &offsets(2, &[(0, 10)]));
        group.commit(&offsets(3, &[(0, 4)]));
        let ended = group.end_transaction(PRODUCER, TransactionResult::Commit);
        assert_eq!(ended, Some((None, Vec::new())));
        assert_eq!(visible(&group, 0), Some(4));
        // What could not be written is pending no more.
        group.prepare(PRODUCER, None, &offsets(4, &[(0, 10)]));
        group.fail(PRODUCER, &offsets(4, &[(0, 10)]));
        assert!(!group.is_unstable(partition(0)));
    }
}
