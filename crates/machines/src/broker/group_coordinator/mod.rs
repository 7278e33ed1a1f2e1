//! The coordinator of groups: membership, rebalances, committed offsets.
//!
//! Mirrors `GroupCoordinator` with `GroupMetadataManager` (up to 3.9) and `GroupCoordinatorService`
//! with `GroupMetadataManager`, `OffsetMetadataManager` and `CoordinatorRuntime` (KIP-848, rule
//! `EventLoopGroupCoordinator`). Both follow the same rules of membership; they differ in how they
//! write, in what waits for a write ([`write`]) and in some errors. One module per concept; what an
//! operation does to a classic group is in [`Operation`]'s methods, which return what is to be
//! written, as Kafka's `CoordinatorResult` does.
//!
//! Left out: administration (describe, list, delete), which no client of a run uses; empty group
//! ids; the metadata text that may go with an offset.

mod classic_group;
pub(in crate::broker) mod commit;
mod consumer_group;
mod deadlines;
mod expiry;
mod heartbeat;
mod join;
mod leave;
mod load;
mod offset_fetch;
pub(in crate::broker) mod offsets;
mod parked;
mod rebalance;
mod session;
mod static_member;
mod sync;
mod view;
mod vote;
mod write;

pub use view::{GroupMemberView, GroupSummary, GroupView};
pub(super) use write::GroupWrite;

use super::{Broker, BrokerCx, Requester};
use acklab_vocab::api::{CoordinatorKey, Request};
use acklab_vocab::config::GroupCoordinatorConfig;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{GroupId, TopicPartition};
use acklab_vocab::rules::{ProtocolRule, ProtocolRules};
use classic_group::ClassicGroup;
use consumer_group::ConsumerGroup;
use deadlines::{Deadline, Deadlines};
use offsets::GroupOffsets;
use std::collections::BTreeMap;
use write::LingeringBatch;

/// A broker as a coordinator of groups.
#[derive(Debug, Default)]
pub(super) struct GroupCoordinator {
    /// The groups of the partitions that the broker leads and has read.
    groups: BTreeMap<GroupId, CoordinatedGroup>,
    deadlines: Deadlines,
    /// What is to be written together, by partition (`group.coordinator.append.linger.ms`).
    batches: BTreeMap<TopicPartition, LingeringBatch>,
    /// Rises with every write of offsets: their order in the log.
    last_write: u64,
}

/// A group and its offsets.
#[derive(Debug)]
struct CoordinatedGroup {
    /// The partition of `__consumer_offsets` that it belongs to.
    partition: TopicPartition,
    group: Group,
    offsets: GroupOffsets,
}

/// A group of either protocol.
#[derive(Debug)]
enum Group {
    /// The members vote, and one of them assigns.
    Classic(ClassicGroup),
    /// The coordinator assigns (KIP-848).
    Consumer(ConsumerGroup),
}

/// What an operation on a classic group works with.
struct Operation<'a, 'c> {
    group: &'a mut ClassicGroup,
    deadlines: &'a mut Deadlines,
    config: &'a GroupCoordinatorConfig,
    rules: ProtocolRules,
    cx: &'a mut BrokerCx<'c>,
}

impl Operation<'_, '_> {
    fn has(&self, rule: ProtocolRule) -> bool {
        self.rules.has(rule)
    }
}

impl GroupCoordinator {
    /// The group, made as an empty classic one if the coordinator does not know it.
    fn get_or_create(
        &mut self,
        cx: &BrokerCx<'_>,
        group: GroupId,
        partition: TopicPartition,
    ) -> &mut CoordinatedGroup {
        self.groups.entry(group).or_insert_with(|| CoordinatedGroup {
            partition,
            group: Group::Classic(ClassicGroup::new(group, cx.now())),
            offsets: GroupOffsets::default(),
        })
    }

    fn next_write(&mut self) -> u64 {
        self.last_write += 1;
        self.last_write
    }

    /// No group rebalances.
    pub fn is_settled(&self) -> bool {
        self.batches.is_empty() && self.groups.values().all(|known| known.group.is_settled())
    }
}

impl Group {
    fn is_settled(&self) -> bool {
        match self {
            Group::Classic(group) => group.is_settled(),
            Group::Consumer(group) => group.is_settled(),
        }
    }
}

/// Before static membership requests had no field for it.
fn forget_instance(request: &mut Request) {
    match request {
        Request::JoinGroup(join) => join.instance = None,
        Request::SyncGroup(sync) => sync.instance = None,
        Request::Heartbeat(heartbeat) => heartbeat.instance = None,
        Request::LeaveGroup(leave) => leave.instance = None,
        Request::OffsetCommit(commit) => commit.instance = None,
        _ => {}
    }
}

impl Broker {
    pub(super) fn on_group_request(
        &mut self,
        cx: &mut BrokerCx<'_>,
        requester: Requester,
        mut request: Request,
    ) {
        if !self.shared.has(ProtocolRule::StaticMembership) {
            forget_instance(&mut request);
        }
        match request {
            Request::JoinGroup(join) => self.on_join_group(cx, requester, &join),
            Request::SyncGroup(sync) => self.on_sync_group(cx, requester, &sync),
            Request::Heartbeat(heartbeat) => self.on_heartbeat(cx, requester, heartbeat),
            Request::LeaveGroup(leave) => self.on_leave_group(cx, requester, leave),
            Request::OffsetCommit(commit) => self.on_offset_commit(cx, requester, &commit),
            Request::OffsetFetch(fetch) => self.on_offset_fetch(cx, requester, &fetch),
            Request::ConsumerGroupHeartbeat(heartbeat) => {
                self.on_consumer_group_heartbeat(cx, requester, &heartbeat);
            }
            _ => cx.close(requester.connection),
        }
    }

    /// The partition by which this broker coordinates `group`.
    ///
    /// # Errors
    /// Those of [`Broker::coordinated_by`].
    fn coordinated_group(&self, group: GroupId) -> Result<TopicPartition, ErrorCode> {
        self.coordinated_by(CoordinatorKey::Group(group))
    }

    /// What an operation on a classic group works with; `None` if there is no such group.
    fn classic<'a, 'c>(
        &'a mut self,
        cx: &'a mut BrokerCx<'c>,
        group: GroupId,
    ) -> Option<Operation<'a, 'c>> {
        let GroupCoordinator { groups, deadlines, .. } = &mut self.group_coordinator;
        let (config, rules) = (&self.shared.config.groups, self.shared.config.rules);
        match &mut groups.get_mut(&group)?.group {
            Group::Classic(group) => Some(Operation { group, deadlines, config, rules, cx }),
            Group::Consumer(_) => None,
        }
    }

    fn consumer_group(&self, group: GroupId) -> Option<&ConsumerGroup> {
        match &self.group_coordinator.groups.get(&group)?.group {
            Group::Consumer(group) => Some(group),
            Group::Classic(_) => None,
        }
    }

    /// The earliest deadline of a group has passed, or may have.
    pub(super) fn on_group_timer(&mut self, cx: &mut BrokerCx<'_>) {
        for deadline in self.group_coordinator.deadlines.take_due(cx.now()) {
            // What was due may have been moved by what was due before it.
            if !self.group_coordinator.deadlines.remove_if_due(deadline, cx.now()) {
                continue;
            }
            match deadline {
                Deadline::Session(group, member) if self.consumer_group(group).is_some() => {
                    self.expire_consumer_session(cx, group, member);
                }
                Deadline::Revocation(group, member) => self.expire_revocation(cx, group, member),
                Deadline::Session(group, member) => {
                    let operation = self.classic(cx, group);
                    let store = operation.and_then(|mut group| group.expire_session(member));
                    self.store_group(cx, group, store);
                }
                Deadline::Join(group) => {
                    let operation = self.classic(cx, group);
                    let store = operation.and_then(|mut group| group.on_join_deadline());
                    self.store_group(cx, group, store);
                }
                Deadline::Sync(group) => {
                    let operation = self.classic(cx, group);
                    let store = operation.and_then(|mut group| group.expire_pending_sync());
                    self.store_group(cx, group, store);
                }
                Deadline::Linger(partition) => self.flush_group_batch(cx, partition),
            }
        }
        self.group_coordinator.deadlines.arm(cx);
    }
}
