//! What coordinators have written into `__consumer_offsets`, as the facts about its logs tell.
//!
//! The judge's own reading of that topic: offsets of an open transaction wait for its marker, those
//! of an aborted one never count (KIP-98, `OffsetMetadataManager.replay`). Leaves out group metadata
//! but for the place where it is written.

use acklab_vocab::api::OffsetToCommit;
use acklab_vocab::group::OffsetRecord;
use acklab_vocab::ids::{GroupId, Offset, ProducerId};
use acklab_vocab::record::{Payload, RecordBatch};
use acklab_vocab::time::SimTime;
use acklab_vocab::transaction::TransactionResult;
use std::collections::BTreeMap;

use super::coordination::Group;
use crate::world::{Replica, World};

/// Offsets that wait for the end of a transaction: group, partition read, and the offset or a tombstone.
type Pending = Vec<(GroupId, usize, Option<Offset>)>;

/// Offsets of open transactions, by the partition of the topic and the producer.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    pending: BTreeMap<(usize, ProducerId), Pending>,
}

impl Journal {
    /// A coordinator appended a batch to a partition of an internal topic.
    pub fn appended(
        &mut self,
        world: &World,
        groups: &mut [Group],
        at: SimTime,
        home: usize,
        batch: &RecordBatch,
    ) {
        match &batch.payload {
            Payload::Offsets(records) => {
                for record in records.iter() {
                    let Some(group) = groups.get_mut(record.group.0 as usize) else { continue };
                    group.home = Some(home);
                    let Some(partition) = world.index_of(record.partition) else { continue };
                    let offset = record.committed.map(|committed| committed.offset);
                    match batch.stamp.filter(|_| batch.transactional) {
                        Some(stamp) => self.pending.entry((home, stamp.id)).or_default().push((
                            record.group,
                            partition,
                            offset,
                        )),
                        None => group.tracks[partition].appended.push_back((offset, at)),
                    }
                }
            }
            Payload::Group(record) => {
                if let Some(group) = groups.get_mut(record.group.0 as usize) {
                    group.home = Some(home);
                }
            }
            Payload::ConsumerGroup(records) => {
                for record in records.iter() {
                    if let Some(group) = groups.get_mut(record.group().0 as usize) {
                        group.home = Some(home);
                    }
                }
            }
            Payload::Marker(marker) => {
                let Some(stamp) = batch.stamp else { return };
                let pending = self.pending.remove(&(home, stamp.id)).unwrap_or_default();
                if marker.result == TransactionResult::Commit {
                    for (group, partition, offset) in pending {
                        let track = &mut groups[group.0 as usize].tracks[partition];
                        track.appended.push_back((offset, at));
                    }
                }
            }
            Payload::Records(_) | Payload::Transaction(_) => {}
        }
    }

    /// Another coordinator has read a partition of the topic: what is open is what its log says.
    pub fn reload(&mut self, world: &World, replica: &Replica, home: usize) {
        self.pending.retain(|&(of, _), _| of != home);
        for id in &replica.log {
            let batch = &world.appends[id.index()].batch;
            let Some(stamp) = batch.stamp.filter(|_| batch.transactional) else { continue };
            match &batch.payload {
                Payload::Offsets(records) => {
                    let open = self.pending.entry((home, stamp.id)).or_default();
                    open.extend(records.iter().filter_map(|record| {
                        let partition = world.index_of(record.partition)?;
                        let offset = record.committed.map(|committed| committed.offset);
                        Some((record.group, partition, offset))
                    }));
                }
                Payload::Marker(_) => {
                    self.pending.remove(&(home, stamp.id));
                }
                _ => {}
            }
        }
    }
}

/// Whether a commit of a group is in a replica's log, and below its high watermark: the last such
/// one counts.
#[must_use]
pub fn standing(
    world: &World,
    replica: &Replica,
    group: GroupId,
    commit: &OffsetToCommit,
) -> Option<bool> {
    let is_it = |record: &OffsetRecord| {
        let offset = record.committed.map(|committed| committed.offset);
        (record.group, record.partition, offset) == (group, commit.partition, Some(commit.offset))
    };
    replica.log.iter().rev().find_map(|id| {
        let batch = &world.appends[id.index()].batch;
        let Payload::Offsets(records) = &batch.payload else { return None };
        let is_committed = batch.next_offset() <= replica.high_watermark;
        records.iter().any(is_it).then_some(is_committed)
    })
}

/// What a replica's log says of the offsets of one group: by partition, what it may be taken for.
/// The part below the high watermark counts for certain; each later record may. So does each that
/// the high watermark has passed at this very instant: a coordinator states them one after the
/// other, in the order of the log.
#[must_use]
pub fn replay(
    world: &World,
    replica: &Replica,
    group: GroupId,
    at: SimTime,
) -> BTreeMap<usize, Vec<Option<Offset>>> {
    let mut values: BTreeMap<usize, Vec<Option<Offset>>> = BTreeMap::new();
    let mut pending: BTreeMap<ProducerId, Vec<(usize, Option<Offset>)>> = BTreeMap::new();
    let certain_below = replica.high_watermark_before(at);
    for id in &replica.log {
        let batch = &world.appends[id.index()].batch;
        let is_certain = batch.next_offset() <= certain_below;
        let mut take = |partition: usize, offset: Option<Offset>| {
            let known = values.entry(partition).or_insert_with(|| vec![None]);
            if is_certain {
                known.clear();
            }
            known.push(offset);
        };
        match &batch.payload {
            Payload::Offsets(records) => {
                for record in records.iter().filter(|record| record.group == group) {
                    let Some(partition) = world.index_of(record.partition) else { continue };
                    let offset = record.committed.map(|committed| committed.offset);
                    match batch.stamp.filter(|_| batch.transactional) {
                        Some(stamp) => {
                            pending.entry(stamp.id).or_default().push((partition, offset));
                        }
                        None => take(partition, offset),
                    }
                }
            }
            Payload::Marker(marker) => {
                let Some(stamp) = batch.stamp else { continue };
                let ended = pending.remove(&stamp.id).unwrap_or_default();
                if marker.result == TransactionResult::Commit {
                    ended.into_iter().for_each(|(partition, offset)| take(partition, offset));
                }
            }
            Payload::Records(_)
            | Payload::Group(_)
            | Payload::ConsumerGroup(_)
            | Payload::Transaction(_) => {}
        }
    }
    values
}
