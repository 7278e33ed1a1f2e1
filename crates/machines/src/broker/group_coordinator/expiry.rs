//! Offsets that nobody needs any more, and groups that have none.
//!
//! Mirrors `GroupMetadataManager.cleanupGroupMetadata` and `GroupMetadata.removeExpiredOffsets` (up
//! to 3.9); `GroupCoordinatorShard.cleanupGroupMetadata`, `OffsetMetadataManager` and
//! `ClassicGroup.offsetExpirationCondition` (KIP-211, KIP-848). Simplified: one timer for all
//! partitions, from the start of the broker.

use super::write::GroupWrite;
use super::{CoordinatedGroup, Group};
use crate::broker::coordination::{Acknowledgement, AppendWaiter, CoordinatorAppend, plain_batch};
use crate::broker::{Broker, BrokerCx, BrokerTimer};
use acklab_vocab::group::{CommittedOffset, GroupMetadataRecord, OffsetRecord};
use acklab_vocab::ids::{Generation, GroupId, TopicId, TopicPartition};
use acklab_vocab::record::Payload;
use acklab_vocab::rules::{ProtocolRule, ProtocolRules};
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::{GroupState, TraceEvent};
use std::sync::Arc;

/// From when a group's offsets age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ageing {
    /// They do not: the group lives.
    Never,
    /// Each from its own commit.
    FromCommit,
    /// All from the moment at which the group became empty.
    From(SimTime),
    /// Each from its own commit, if no member reads the topic.
    UnlessSubscribed,
}

fn ageing(rules: ProtocolRules, group: &Group) -> Ageing {
    let group = match group {
        Group::Classic(group) => group,
        Group::Consumer(_) => return Ageing::UnlessSubscribed,
    };
    if !rules.has(ProtocolRule::OffsetsExpireWithGroup) || !group.has_protocol_type {
        return Ageing::FromCommit;
    }
    match group.state {
        GroupState::Empty => Ageing::From(group.state_since),
        GroupState::Stable => Ageing::UnlessSubscribed,
        GroupState::PreparingRebalance
        | GroupState::CompletingRebalance
        | GroupState::Dead
        | GroupState::Assigning
        | GroupState::Reconciling => Ageing::Never,
    }
}

impl CoordinatedGroup {
    /// The partitions whose offsets have expired, ascending.
    fn expired(
        &self,
        rules: ProtocolRules,
        retention: SimDuration,
        now: SimTime,
    ) -> Arc<[TopicPartition]> {
        let ageing = ageing(rules, &self.group);
        let has_expired = |&(partition, committed): &(TopicPartition, CommittedOffset)| {
            let since = match ageing {
                Ageing::Never => return false,
                Ageing::From(since) => since,
                Ageing::UnlessSubscribed if self.group.is_subscribed_to(partition.topic) => {
                    return false;
                }
                Ageing::FromCommit | Ageing::UnlessSubscribed => committed.committed_at,
            };
            now.since(since) >= retention && !self.offsets.is_unstable(partition)
        };
        self.offsets.all_latest().filter(has_expired).map(|(partition, _)| partition).collect()
    }

    /// The group has nobody and nothing.
    fn is_useless(&self) -> bool {
        let is_empty = match &self.group {
            Group::Classic(group) => {
                group.state == GroupState::Empty && group.pending_join.is_empty()
            }
            Group::Consumer(group) => group.is_empty(),
        };
        is_empty && self.offsets.is_empty()
    }
}

impl Broker {
    /// Begins to look for expired offsets from time to time, if there is anything to look for.
    pub(in crate::broker) fn start_offsets_expiration(&self, cx: &mut BrokerCx<'_>) {
        if self.coordinators.has_offsets_topic() {
            let interval = self.shared.config.groups.offsets_retention_check_interval;
            cx.set_timer_after(BrokerTimer::OffsetsExpiration, interval);
        }
    }

    pub(in crate::broker) fn on_offsets_expiration(&mut self, cx: &mut BrokerCx<'_>) {
        self.start_offsets_expiration(cx);
        let retention = self.shared.config.groups.offsets_retention;
        let (rules, now) = (self.shared.config.rules, cx.now());
        let groups: Vec<GroupId> = self.group_coordinator.groups.keys().copied().collect();
        for group in groups {
            let Some(known) = self.group_coordinator.groups.get_mut(&group) else { continue };
            let expired = known.expired(rules, retention, now);
            if !expired.is_empty() {
                self.expire_offsets(cx, group, expired);
            }
            self.delete_useless_group(cx, group);
        }
    }

    fn expire_offsets(
        &mut self,
        cx: &mut BrokerCx<'_>,
        group: GroupId,
        expired: Arc<[TopicPartition]>,
    ) {
        let write = self.group_coordinator.next_write();
        let Some(known) = self.group_coordinator.groups.get_mut(&group) else { return };
        let partition = known.partition;
        for &expired in expired.iter() {
            known.offsets.remove_latest(expired, write);
        }
        let tombstone =
            |&partition: &TopicPartition| OffsetRecord { group, partition, committed: None };
        let payload = Payload::Offsets(expired.iter().map(tombstone).collect());
        if !self.shared.has(ProtocolRule::EventLoopGroupCoordinator) {
            self.remove_visible_offsets(cx, group, Arc::clone(&expired), write);
        }
        self.write_tombstone(cx, partition, payload, GroupWrite::Expired(group, expired, write));
    }

    /// Tombstones may get lost: the next look writes them again. The classic coordinator waits for
    /// nothing and asks for no ISR.
    fn write_tombstone(
        &mut self,
        cx: &mut BrokerCx<'_>,
        partition: TopicPartition,
        payload: Payload,
        write: GroupWrite,
    ) {
        let batch = plain_batch(payload);
        if self.shared.has(ProtocolRule::EventLoopGroupCoordinator) {
            self.write_for_group(cx, partition, batch, write);
            return;
        }
        let acknowledgement = Acknowledgement::AtOnce;
        let append = CoordinatorAppend { partition, batch, acknowledgement, deadline: cx.now() };
        self.append_as_coordinator(cx, append, AppendWaiter::Group(GroupWrite::Nothing));
    }

    /// Offsets that have expired are no longer told to anybody. `write` is the tombstones' number.
    pub(super) fn remove_visible_offsets(
        &mut self,
        cx: &mut BrokerCx<'_>,
        group: GroupId,
        expired: Arc<[TopicPartition]>,
        write: u64,
    ) {
        let Some(known) = self.group_coordinator.groups.get_mut(&group) else { return };
        let mut goes = |&expired: &TopicPartition| known.offsets.remove_visible(expired, write);
        let partitions: Arc<[TopicPartition]> =
            expired.iter().copied().filter(|expired| goes(expired)).collect();
        if !partitions.is_empty() {
            cx.trace(|| TraceEvent::OffsetsRemoved { group, partitions });
        }
        if self.shared.has(ProtocolRule::EventLoopGroupCoordinator) {
            self.delete_useless_group(cx, group);
        }
    }

    fn delete_useless_group(&mut self, cx: &mut BrokerCx<'_>, group: GroupId) {
        let known = self.group_coordinator.groups.get_mut(&group);
        let Some(known) = known.filter(|known| known.is_useless()) else { return };
        let partition = known.partition;
        let was_managed = match &mut known.group {
            Group::Classic(classic) => {
                classic.transition_to(cx, GroupState::Dead);
                classic.generation > Generation(0)
            }
            Group::Consumer(_) => {
                self.delete_empty_consumer_group(cx, group);
                self.forget_group(group);
                return;
            }
        };
        self.forget_group(group);
        if was_managed || self.shared.has(ProtocolRule::EventLoopGroupCoordinator) {
            let record = GroupMetadataRecord { group, value: None };
            let payload = Payload::Group(Arc::new(record));
            self.write_tombstone(cx, partition, payload, GroupWrite::Nothing);
        }
    }

    fn forget_group(&mut self, group: GroupId) {
        self.group_coordinator.groups.remove(&group);
        self.group_coordinator.deadlines.cancel_group(group);
    }
}

impl Group {
    /// Some member reads the topic.
    fn is_subscribed_to(&self, topic: TopicId) -> bool {
        match self {
            Group::Classic(group) => group.is_subscribed_to(topic),
            Group::Consumer(group) => {
                group.members.values().any(|member| member.metadata.topics.contains(&topic))
            }
        }
    }
}
