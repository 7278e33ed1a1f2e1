//! The heartbeat of a member that joins or stays, in the three steps of
//! `GroupMetadataManager.consumerGroupHeartbeat`: what it says of itself, a new target assignment
//! if the group has changed, and its own way to its target.

use super::assignor::{self, MemberSpec, PartitionCounts};
use super::current_assignment::Reconciliation;
use super::heartbeat::{Answered, Deadlines, HeartbeatContext, tombstones};
use super::{ConsumerGroup, Member};
use acklab_vocab::api::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, MemberEpoch,
};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::group::{
    ConsumerGroupMember, ConsumerGroupRecord, CurrentAssignment, MemberState, RemoteAssignor,
};
use acklab_vocab::ids::{Generation, GroupId, MemberId, TopicId, TopicPartition};
use acklab_vocab::time::SimDuration;
use acklab_vocab::trace::{RebalanceReason, RemovalReason, TraceEvent};
use smallvec::{SmallVec, smallvec};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One heartbeat on its way through the three steps of
/// `GroupMetadataManager.consumerGroupHeartbeat`.
pub(super) struct Step<'a> {
    group: &'a ConsumerGroup,
    cx: &'a HeartbeatContext<'a>,
    id: MemberId,
    /// The member before the heartbeat; a static one that comes back has what the one it replaces
    /// had.
    before: Member,
    /// The member after it.
    after: Member,
    replaced: Option<MemberId>,
    epoch: Generation,
    target_epoch: Generation,
    target: Arc<[TopicPartition]>,
    records: Vec<ConsumerGroupRecord>,
    facts: Vec<TraceEvent>,
    revocation: Option<Option<SimDuration>>,
    subscribed: Option<PartitionCounts>,
}

impl<'a> Step<'a> {
    pub(super) fn new(
        group: &'a ConsumerGroup,
        cx: &'a HeartbeatContext<'a>,
        id: MemberId,
        member: Member,
        replaced: Option<MemberId>,
    ) -> Self {
        let target = group.target_of(replaced.unwrap_or(id));
        let mut step = Step {
            group,
            cx,
            id,
            before: member.clone(),
            after: member,
            replaced,
            epoch: group.epoch,
            target_epoch: group.target_epoch,
            target,
            records: Vec::new(),
            facts: Vec::new(),
            revocation: None,
            subscribed: None,
        };
        if let Some(replaced) = replaced {
            step.replace(replaced);
        }
        step
    }

    /// A static member comes back as another process: it takes everything over, and nobody
    /// rebalances.
    fn replace(&mut self, replaced: MemberId) {
        let (group, id) = (self.cx.group, self.id);
        let Member { metadata, current } = self.before.clone();
        self.facts.push(TraceEvent::MemberRemoved {
            group,
            member: replaced,
            member_node: metadata.node,
            reason: RemovalReason::Replaced,
        });
        self.records = tombstones(group, replaced);
        self.records.push(ConsumerGroupRecord::Member(group, id, Some(metadata)));
        self.records.push(ConsumerGroupRecord::Target(group, id, Some(Arc::clone(&self.target))));
        self.records.push(ConsumerGroupRecord::Current(group, id, Some(current)));
    }

    /// Step 1: the member is new or has changed. A change of topics raises the group epoch, and so
    /// does a topic that has changed.
    pub(super) fn update_metadata(&mut self, request: &ConsumerGroupHeartbeatRequest) {
        let (group, member) = (self.cx.group, self.id);
        let known = &self.before.metadata;
        self.after.metadata = ConsumerGroupMember {
            instance: request.instance.or(known.instance),
            node: self.cx.from,
            rebalance_timeout: request.rebalance_timeout.unwrap_or(known.rebalance_timeout),
            topics: request.topics.clone().unwrap_or_else(|| known.topics.clone()),
            assignor: request.assignor.or(known.assignor),
        };
        let is_new = self.replaced.is_some() || !self.group.members.contains_key(&member);
        if is_new {
            self.facts.push(TraceEvent::MemberJoined {
                group,
                member,
                instance: self.after.metadata.instance,
                member_node: self.cx.from,
            });
        }
        let changed = self.after.metadata != self.before.metadata;
        if changed {
            let metadata = Some(self.after.metadata.clone());
            self.records.push(ConsumerGroupRecord::Member(group, member, metadata));
        }
        let resubscribed = self.after.metadata.topics != self.before.metadata.topics;
        let reason = match (resubscribed, is_new) {
            (true, true) => Some(RebalanceReason::MemberJoined),
            (true, false) => Some(RebalanceReason::MemberRejoined),
            (false, true | false) => None,
        };
        self.look_up_topics(reason);
    }

    fn look_up_topics(&mut self, reason: Option<RebalanceReason>) {
        let mut reason = reason;
        if reason.is_none() && self.group.knows_topics(self.cx.topics) {
            return;
        }
        let subscribed = self.subscribed_topics();
        let known = self.group.subscribed.as_ref();
        if reason.is_none() && known.is_some_and(|known| *known != subscribed) {
            reason = Some(RebalanceReason::MetadataChanged);
        }
        self.subscribed = Some(subscribed);
        if let Some(reason) = reason {
            self.epoch = self.epoch.next();
            let (group, generation) = (self.cx.group, self.epoch);
            self.records.push(ConsumerGroupRecord::Epoch(group, Some(generation)));
            let member = Some(self.id);
            self.facts.push(TraceEvent::RebalanceStarted { group, generation, reason, member });
        }
    }

    /// The topics that some member subscribes to and that exist.
    fn subscribed_topics(&self) -> PartitionCounts {
        let members = self.members();
        let wanted = members.flat_map(|(_, metadata)| metadata.topics.iter());
        wanted.filter_map(|topic| Some((*topic, *self.cx.topics.get(topic)?))).collect()
    }

    /// The members as they will be, ascending.
    fn members(&self) -> impl Iterator<Item = (MemberId, &ConsumerGroupMember)> {
        let others = self.group.members.iter();
        let others = others.filter(|&(&id, _)| id != self.id && Some(id) != self.replaced);
        let others = others.map(|(&id, member)| (id, &member.metadata));
        let all: BTreeMap<MemberId, &ConsumerGroupMember> =
            others.chain([(self.id, &self.after.metadata)]).collect();
        all.into_iter()
    }

    /// Step 2: a newer group epoch than the target's asks for a new target assignment.
    pub(super) fn update_target(&mut self) {
        if self.epoch <= self.group.target_epoch {
            return;
        }
        let group = self.cx.group;
        let default = self.cx.config.consumer_assignors.first().copied();
        let assignor = preferred_assignor(self.members().map(|(_, metadata)| metadata.assignor))
            .or(default)
            .unwrap_or(RemoteAssignor::Uniform);
        let counts = self.subscribed_topics();
        let specs: BTreeMap<MemberId, MemberSpec> = self
            .members()
            .map(|(id, metadata)| {
                let target = match id == self.id {
                    true => Arc::clone(&self.target),
                    false => self.group.target_of(id),
                };
                let exists = |topic: &TopicId| counts.contains_key(topic);
                let topics = metadata.topics.iter().copied().filter(exists).collect();
                (id, MemberSpec { instance: metadata.instance, topics, target })
            })
            .collect();
        let target = assignor::assign(assignor, &specs, &counts);
        for (&member, partitions) in &target {
            let partitions: Arc<[TopicPartition]> = partitions.iter().copied().collect();
            if self.group.target.get(&member) != Some(&partitions) {
                let record =
                    ConsumerGroupRecord::Target(group, member, Some(Arc::clone(&partitions)));
                self.records.push(record);
            }
            if member == self.id {
                self.target = partitions;
            }
        }
        self.target_epoch = self.epoch;
        self.records.push(ConsumerGroupRecord::TargetEpoch(group, Some(self.epoch)));
    }

    /// Step 3: the member goes toward its target, as far as it can.
    pub(super) fn reconcile(&mut self, owned: Option<&[TopicPartition]>) {
        if self.before.is_reconciled_to(self.target_epoch) {
            return;
        }
        let reconciliation =
            Reconciliation { target_epoch: self.target_epoch, target: &self.target, owned };
        let owners = &self.group.owners;
        let next =
            reconciliation.next(&self.before.current, |partition| owners.contains_key(&partition));
        if next == self.before.current {
            return;
        }
        let record = ConsumerGroupRecord::Current(self.cx.group, self.id, Some(next.clone()));
        self.records.push(record);
        let unrevoked = next.state == MemberState::UnrevokedPartitions;
        let timeout = self.after.metadata.rebalance_timeout;
        self.revocation = Some(unrevoked.then_some(timeout));
        self.after.current = next;
    }

    /// The answer: with the assignment if that has changed, or if the member said everything about
    /// itself.
    pub(super) fn answer(self, request: &ConsumerGroupHeartbeatRequest) -> Answered {
        let Step { cx, id, before, after, .. } = self;
        let is_full = request.epoch == MemberEpoch::Joining
            || request.rebalance_timeout.is_some()
                && request.topics.is_some()
                && request.owned.is_some();
        let changed = before.current.assigned != after.current.assigned;
        let response = ConsumerGroupHeartbeatResponse {
            error: ErrorCode::None,
            member: Some(id),
            epoch: after.current.epoch,
            heartbeat_interval: cx.config.consumer_heartbeat_interval,
            assignment: (is_full || changed).then(|| Arc::clone(&after.current.assigned)),
        };
        let moved = self.revocation.is_some() || self.replaced.is_some();
        let stored = match moved {
            true => vec![assigned(cx.group, id, &after.current)],
            false => Vec::new(),
        };
        Answered {
            records: self.records,
            response,
            deadlines: Deadlines::Session { revocation: self.revocation },
            member: id,
            facts: self.facts,
            stored,
            subscribed: self.subscribed,
        }
    }
}

impl ConsumerGroup {
    /// The subscribed topics are as they were when they were looked up.
    fn knows_topics(&self, topics: &PartitionCounts) -> bool {
        let Some(known) = &self.subscribed else { return false };
        let wanted = self.members.values().flat_map(|member| member.metadata.topics.iter());
        wanted.into_iter().all(|topic| known.get(topic) == topics.get(topic))
    }
}

/// The assignor that most members ask for. Of several with equally many the last, where Kafka's
/// choice depends on a hash map (`computePreferredServerAssignor`).
fn preferred_assignor(
    asked: impl Iterator<Item = Option<RemoteAssignor>>,
) -> Option<RemoteAssignor> {
    let mut votes: SmallVec<[(RemoteAssignor, usize); 2]> = smallvec![];
    for assignor in asked.flatten() {
        match votes.iter_mut().find(|(of, _)| *of == assignor) {
            Some((_, votes)) => *votes += 1,
            None => votes.push((assignor, 1)),
        }
    }
    votes.into_iter().max_by_key(|&(assignor, votes)| (votes, assignor)).map(|(of, _)| of)
}

/// The fact of what a member may own: what it was told to give up too, until it has.
pub(super) fn assigned(
    group: GroupId,
    member: MemberId,
    current: &CurrentAssignment,
) -> TraceEvent {
    let CurrentAssignment { assigned, pending_revocation, .. } = current;
    let mut partitions: Vec<TopicPartition> =
        assigned.iter().chain(pending_revocation.iter()).copied().collect();
    partitions.sort_unstable();
    let assignment = [(member, partitions.into())].into();
    TraceEvent::Assigned { group, generation: current.epoch, assignment, partial: true }
}
