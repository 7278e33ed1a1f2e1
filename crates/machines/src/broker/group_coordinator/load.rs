//! Reading a partition of `__consumer_offsets` into groups, and dropping them.
//!
//! Mirrors `GroupMetadataManager.doLoadGroupsAndOffsets`, `GroupCoordinator.onGroupLoaded` and
//! `onGroupUnloaded`; `CoordinatorLoaderImpl` and `GroupMetadataManager.onLoaded`, `onUnloaded`.
//! The whole log is read, what is not committed too. The event-loop coordinator shows what is above
//! the high watermark only when that has passed it. A rebalance that was under way is lost: the
//! group is as it was when it was written last. Left out: a group that has more members than
//! `group.max.size`, which is the same on every broker.

use super::classic_group::{ClassicGroup, join_error};
use super::commit::EndedTransaction;
use super::consumer_group::ConsumerGroup;
use super::offsets::{GroupOffsets, StoredOffset};
use super::write::GroupWrite;
use super::{CoordinatedGroup, Group};
use crate::broker::coordination::AppendWaiter;
use crate::broker::{Broker, BrokerCx};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::group::{ConsumerGroupRecord, GroupMetadataRecord, OffsetRecord};
use acklab_vocab::ids::{GroupId, MemberId, Offset, ProducerId, TopicPartition};
use acklab_vocab::record::{Payload, RecordBatch};
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::TraceEvent;
use acklab_vocab::transaction::TransactionResult;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What becomes of a group's offsets when the high watermark passes a batch of the log.
#[derive(Debug)]
pub(in crate::broker) enum LoadedChange {
    /// Plain commits and tombstones.
    Offsets(Arc<[OffsetRecord]>, u64),
    /// A transaction's commits.
    Transaction(Vec<EndedTransaction>),
}

/// The log as read so far.
struct Reader {
    partition: TopicPartition,
    now: SimTime,
    /// Up to where everything is visible.
    visible_below: Offset,
    groups: BTreeMap<GroupId, CoordinatedGroup>,
    /// What becomes visible when the high watermark gets there, in the order of the log.
    later: Vec<(Offset, LoadedChange)>,
    last_write: u64,
}

impl Reader {
    fn group(&mut self, id: GroupId) -> &mut CoordinatedGroup {
        let (partition, now) = (self.partition, self.now);
        self.groups.entry(id).or_insert_with(|| CoordinatedGroup {
            partition,
            group: Group::Classic(ClassicGroup::new(id, now)),
            offsets: GroupOffsets::default(),
        })
    }

    fn read(&mut self, batch: &RecordBatch) {
        self.last_write += 1;
        match &batch.payload {
            Payload::Offsets(records) => match batch.stamp.filter(|_| batch.transactional) {
                Some(stamp) => self.read_pending(records, stamp.id),
                None => self.read_offsets(records, batch.next_offset()),
            },
            Payload::Group(record) => self.read_group(record),
            Payload::ConsumerGroup(records) => {
                records.iter().for_each(|record| self.read_consumer_group(record));
            }
            Payload::Marker(marker) => {
                if let Some(stamp) = batch.stamp {
                    self.read_marker(stamp.id, marker.result, batch.next_offset());
                }
            }
            Payload::Records(_) | Payload::Transaction(_) => {}
        }
    }

    fn read_offsets(&mut self, records: &Arc<[OffsetRecord]>, end: Offset) {
        let write = self.last_write;
        let is_visible = end <= self.visible_below;
        for record in records.iter() {
            apply(&mut self.group(record.group).offsets, record, write, is_visible);
        }
        if !is_visible {
            self.later.push((end, LoadedChange::Offsets(Arc::clone(records), write)));
        }
    }

    fn read_pending(&mut self, records: &[OffsetRecord], producer: ProducerId) {
        let write = self.last_write;
        for record in records {
            let Some(committed) = record.committed else { continue };
            let stored = [(record.partition, StoredOffset { committed, write })];
            self.group(record.group).offsets.prepare(producer, None, &stored);
        }
    }

    fn read_marker(&mut self, producer: ProducerId, result: TransactionResult, end: Offset) {
        let mut ended = Vec::new();
        for (&group, known) in &mut self.groups {
            let Some((from, offsets)) = known.offsets.end_transaction(producer, result) else {
                continue;
            };
            if end <= self.visible_below {
                known.offsets.commit(&offsets);
            } else {
                ended.push(EndedTransaction::new(group, from, offsets));
            }
        }
        if !ended.is_empty() {
            self.later.push((end, LoadedChange::Transaction(ended)));
        }
    }

    fn read_group(&mut self, record: &GroupMetadataRecord) {
        let (id, now) = (record.group, self.now);
        self.group(id).group = Group::Classic(match &record.value {
            Some(stored) => ClassicGroup::loaded(id, stored),
            None => ClassicGroup::new(id, now),
        });
    }

    fn read_consumer_group(&mut self, record: &ConsumerGroupRecord) {
        let (id, now) = (record.group(), self.now);
        let known = self.group(id);
        if matches!(known.group, Group::Classic(_)) {
            known.group = Group::Consumer(ConsumerGroup::default());
        }
        let Group::Consumer(group) = &mut known.group else { return };
        if !group.replay(record) {
            known.group = Group::Classic(ClassicGroup::new(id, now));
        }
    }
}

/// Applies a plain commit or a tombstone.
fn apply(offsets: &mut GroupOffsets, record: &OffsetRecord, write: u64, is_visible: bool) {
    match record.committed {
        Some(committed) => {
            let stored = [(record.partition, StoredOffset { committed, write })];
            offsets.write(&stored);
            if is_visible {
                offsets.commit(&stored);
            }
        }
        None => {
            offsets.remove_latest(record.partition, write);
            if is_visible {
                offsets.remove_visible(record.partition, write);
            }
        }
    }
}

impl CoordinatedGroup {
    /// Nothing in the log is left of it.
    fn is_gone(&self) -> bool {
        let is_new = match &self.group {
            Group::Classic(group) => !group.has_protocol_type,
            Group::Consumer(_) => false,
        };
        is_new && self.offsets.is_empty()
    }
}

impl Broker {
    /// A partition of `__consumer_offsets` has been read: its groups are coordinated from now on.
    pub(in crate::broker) fn load_groups(
        &mut self,
        cx: &mut BrokerCx<'_>,
        partition: TopicPartition,
    ) {
        let Ok(slot) = self.led(partition, None) else { return };
        let log = &self.replicas[slot].log;
        let visible_below = match self.shared.has(ProtocolRule::EventLoopGroupCoordinator) {
            true => log.high_watermark(),
            false => log.end_offset(),
        };
        let mut reader = Reader {
            partition,
            now: cx.now(),
            visible_below,
            groups: BTreeMap::new(),
            later: Vec::new(),
            last_write: self.group_coordinator.last_write,
        };
        cx.disk().log(log.id()).batches().iter().for_each(|batch| reader.read(batch));
        let Reader { groups, later, last_write, .. } = reader;
        self.group_coordinator.last_write = last_write;
        let found = groups.into_iter().filter(|(_, known)| !known.is_gone());
        self.group_coordinator.groups.extend(found);
        self.state_loaded_groups(cx, partition);
        for (end, change) in later {
            let waiter = AppendWaiter::Group(GroupWrite::Loaded(change));
            self.await_high_watermark(cx, (partition, end), None, waiter);
        }
    }

    /// States what every group of the partition has now, known or not, and begins the sessions of
    /// members.
    fn state_loaded_groups(&mut self, cx: &mut BrokerCx<'_>, partition: TopicPartition) {
        let ids: Vec<GroupId> =
            self.coordinators.groups_of(&self.shared.image, partition).collect();
        for group in ids {
            let known = self.group_coordinator.groups.get(&group);
            let offsets = known.map(|known| known.offsets.told()).unwrap_or_default();
            cx.trace(|| TraceEvent::OffsetsCommitted { group, from: None, offsets });
            if known.is_some() {
                self.start_loaded_group(cx, group);
            }
        }
    }

    fn start_loaded_group(&mut self, cx: &mut BrokerCx<'_>, group: GroupId) {
        if let Some(mut operation) = self.classic(cx, group) {
            let (state, generation) = (operation.group.state, operation.group.generation);
            operation.cx.trace(|| TraceEvent::GroupStateChanged { group, state, generation });
            let members: Vec<MemberId> = operation.group.members.keys().copied().collect();
            members.into_iter().for_each(|member| operation.restart_session(member));
        } else {
            self.on_consumer_group_loaded(cx, group);
        }
    }

    /// The high watermark has passed a batch that was above it when the partition was read.
    pub(super) fn on_loaded_change_committed(
        &mut self,
        cx: &mut BrokerCx<'_>,
        change: LoadedChange,
    ) {
        match change {
            LoadedChange::Transaction(ended) => self.show_ended_transactions(cx, ended),
            LoadedChange::Offsets(records, write) => {
                let mut groups: Vec<GroupId> = Vec::new();
                for record in records.iter() {
                    let known = self.group_coordinator.groups.get_mut(&record.group);
                    let Some(known) = known else { continue };
                    match record.committed {
                        Some(committed) => {
                            let stored = StoredOffset { committed, write };
                            known.offsets.commit(&[(record.partition, stored)]);
                        }
                        None => {
                            known.offsets.remove_visible(record.partition, write);
                        }
                    }
                    if groups.last() != Some(&record.group) {
                        groups.push(record.group);
                    }
                }
                for group in groups {
                    let Some(known) = self.group_coordinator.groups.get(&group) else { continue };
                    let offsets = known.offsets.told();
                    cx.trace(|| TraceEvent::OffsetsCommitted { group, from: None, offsets });
                }
            }
        }
    }

    /// The broker no longer leads a partition of `__consumer_offsets`: whoever waits is sent away.
    pub(in crate::broker) fn unload_groups(
        &mut self,
        cx: &mut BrokerCx<'_>,
        partition: TopicPartition,
    ) {
        self.fail_group_batch(cx, partition);
        let groups = self.group_coordinator.groups.iter();
        let leaving: Vec<GroupId> = groups
            .filter(|(_, known)| known.partition == partition)
            .map(|(&group, _)| group)
            .collect();
        for group in leaving {
            self.group_coordinator.deadlines.cancel_group(group);
            let Some(mut known) = self.group_coordinator.groups.remove(&group) else { continue };
            if let Group::Classic(classic) = &mut known.group {
                classic.send_away(cx, ErrorCode::NotCoordinator);
            }
        }
    }
}

impl ClassicGroup {
    /// Answers everybody who waits with an error.
    fn send_away(&mut self, cx: &mut BrokerCx<'_>, error: ErrorCode) {
        for (&id, member) in &mut self.members {
            member.answer_join(cx, join_error(Some(id), error));
            member.assignment = Arc::default();
            member.answer_sync(cx, error);
        }
    }
}
