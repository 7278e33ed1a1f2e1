//! What the coordinator of a KIP-848 group answers to a heartbeat, and what it writes.
//!
//! Mirrors `GroupMetadataManager.consumerGroupHeartbeat`, `consumerGroupLeave` and
//! `consumerGroupFenceMember`, in their order of validation. Pure: a request and the group as it is
//! give records, an answer, deadlines and facts. A request that is refused writes nothing and does
//! not prolong the session.

use super::assignor::PartitionCounts;
use super::step::{Step, assigned};
use super::{ConsumerGroup, Member};
use acklab_vocab::api::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, MemberEpoch,
};
use acklab_vocab::config::GroupCoordinatorConfig;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::group::{ConsumerGroupRecord, CurrentAssignment};
use acklab_vocab::ids::{Generation, GroupId, GroupInstanceId, MemberId, NodeId, TopicPartition};
use acklab_vocab::time::SimDuration;
use acklab_vocab::trace::{RebalanceReason, RemovalReason, TraceEvent};

/// What a heartbeat is judged by, besides the group.
#[derive(Clone, Copy, Debug)]
pub(in crate::broker) struct HeartbeatContext<'a> {
    /// The group.
    pub(in crate::broker) group: GroupId,
    /// The process that asks.
    pub(in crate::broker) from: NodeId,
    /// The coordinator's properties.
    pub(in crate::broker) config: &'a GroupCoordinatorConfig,
    /// How many partitions each topic has, as far as the broker knows.
    pub(in crate::broker) topics: &'a PartitionCounts,
}

/// What becomes of the deadlines of one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::broker) enum Deadlines {
    /// They stay.
    Keep,
    /// They are gone with the member.
    Cancel,
    /// The session begins anew.
    Session {
        /// What becomes of the deadline for giving up partitions: `None` leaves it, `Some(None)`
        /// cancels it, and otherwise it is set to so long from now.
        revocation: Option<Option<SimDuration>>,
    },
}

/// What follows from a request or a deadline: nothing has been changed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::broker) struct Answered {
    /// What to write, in order; nothing, mostly.
    pub(in crate::broker) records: Vec<ConsumerGroupRecord>,
    /// What to answer when that is replicated.
    pub(in crate::broker) response: ConsumerGroupHeartbeatResponse,
    /// What becomes of the deadlines of `member`.
    pub(in crate::broker) deadlines: Deadlines,
    /// Whose deadlines.
    pub(in crate::broker) member: MemberId,
    /// What is true as soon as it is written.
    pub(in crate::broker) facts: Vec<TraceEvent>,
    /// What is true when it is replicated.
    pub(in crate::broker) stored: Vec<TraceEvent>,
    /// The sizes of the subscribed topics, if they were looked up.
    pub(in crate::broker) subscribed: Option<PartitionCounts>,
}

/// A request is missing a field, or has one that does not go with its epoch
/// (`throwIfConsumerGroupHeartbeatRequestIsInvalid`).
///
/// # Errors
/// - INVALID_REQUEST: that.
/// - UNSUPPORTED_ASSIGNOR: the coordinator does not have the assignor.
pub(in crate::broker) fn check_request(
    request: &ConsumerGroupHeartbeatRequest,
    config: &GroupCoordinatorConfig,
) -> Result<(), ErrorCode> {
    let valid = match request.epoch {
        MemberEpoch::Joining => {
            request.rebalance_timeout.is_some()
                && request.owned.as_ref().is_some_and(Vec::is_empty)
                && request.topics.as_ref().is_some_and(|topics| !topics.is_empty())
        }
        MemberEpoch::Member(_) | MemberEpoch::Leaving(_) => request.member.is_some(),
        MemberEpoch::LeavingStatic => request.member.is_some() && request.instance.is_some(),
    };
    if !valid {
        return Err(ErrorCode::InvalidRequest);
    }
    match request.assignor {
        Some(assignor) if !config.consumer_assignors.contains(&assignor) => {
            Err(ErrorCode::UnsupportedAssignor)
        }
        Some(_) | None => Ok(()),
    }
}

impl ConsumerGroup {
    /// Answers a valid request. `member`: its member id, or a new one if it has none.
    ///
    /// # Errors
    /// - UNKNOWN_MEMBER_ID: no such member, or no such static member.
    /// - FENCED_MEMBER_EPOCH: the member is in another epoch.
    /// - UNRELEASED_INSTANCE_ID: another process has the instance id and has not gone away.
    /// - FENCED_INSTANCE_ID: another member has the instance id.
    pub(in crate::broker) fn heartbeat(
        &self,
        cx: &HeartbeatContext<'_>,
        request: &ConsumerGroupHeartbeatRequest,
        member: MemberId,
    ) -> Result<Answered, ErrorCode> {
        match request.epoch {
            MemberEpoch::Joining => self.join_or_stay(cx, request, member, None),
            MemberEpoch::Member(epoch) => self.join_or_stay(cx, request, member, Some(epoch)),
            MemberEpoch::Leaving(reason) => {
                self.leaving(member, request.instance)?;
                self.remove(cx, member, RemovalReason::Left(reason))
            }
            MemberEpoch::LeavingStatic => {
                let leaving = self.leaving(member, request.instance)?;
                Ok(go_away(cx, member, leaving))
            }
        }
    }

    /// Checks a heartbeat of a member that leaves.
    fn leaving(
        &self,
        member: MemberId,
        instance: Option<GroupInstanceId>,
    ) -> Result<&Member, ErrorCode> {
        match instance {
            None => self.members.get(&member).ok_or(ErrorCode::UnknownMemberId),
            Some(instance) => match self.static_member(instance) {
                None => Err(ErrorCode::UnknownMemberId),
                Some((id, _)) if id != member => Err(ErrorCode::FencedInstanceId),
                Some((_, known)) => Ok(known),
            },
        }
    }

    /// A heartbeat of a member that joins (`epoch` is `None`) or stays.
    fn join_or_stay(
        &self,
        cx: &HeartbeatContext<'_>,
        request: &ConsumerGroupHeartbeatRequest,
        id: MemberId,
        epoch: Option<Generation>,
    ) -> Result<Answered, ErrorCode> {
        let owned = request.owned.as_deref();
        let (replaced, member) = match request.instance {
            None => (None, self.dynamic_member(cx, id, epoch, owned)?),
            Some(instance) => self.joining_static_member(cx, id, instance, epoch, owned)?,
        };
        let mut step = Step::new(self, cx, id, member, replaced);
        step.update_metadata(request);
        step.update_target();
        step.reconcile(owned);
        Ok(step.answer(request))
    }

    fn dynamic_member(
        &self,
        cx: &HeartbeatContext<'_>,
        id: MemberId,
        epoch: Option<Generation>,
        owned: Option<&[TopicPartition]>,
    ) -> Result<Member, ErrorCode> {
        match self.members.get(&id) {
            Some(member) => {
                check_epoch(&member.current, epoch.unwrap_or_default(), owned)?;
                Ok(member.clone())
            }
            None if epoch.is_none() => Ok(Member::new(cx.from)),
            None => Err(ErrorCode::UnknownMemberId),
        }
    }

    /// The member, and whom it replaces.
    fn joining_static_member(
        &self,
        cx: &HeartbeatContext<'_>,
        id: MemberId,
        instance: GroupInstanceId,
        epoch: Option<Generation>,
        owned: Option<&[TopicPartition]>,
    ) -> Result<(Option<MemberId>, Member), ErrorCode> {
        match (self.static_member(instance), epoch) {
            (None, None) => Ok((None, Member::new(cx.from))),
            (None, Some(_)) => Err(ErrorCode::UnknownMemberId),
            (Some((_, known)), None) if !known.current.away => Err(ErrorCode::UnreleasedInstanceId),
            (Some((replaced, known)), None) => {
                let mut member = known.clone();
                member.current.epoch = Generation(0);
                member.current.previous_epoch = Generation(0);
                member.current.away = false;
                Ok((Some(replaced), member))
            }
            (Some((known, _)), Some(_)) if known != id => Err(ErrorCode::FencedInstanceId),
            (Some((_, known)), Some(epoch)) => {
                check_epoch(&known.current, epoch, owned)?;
                Ok((None, known.clone()))
            }
        }
    }

    /// Removes a member that left or was silent too long.
    ///
    /// # Errors
    /// - UNKNOWN_MEMBER_ID: no such member.
    pub(in crate::broker) fn remove(
        &self,
        cx: &HeartbeatContext<'_>,
        member: MemberId,
        reason: RemovalReason,
    ) -> Result<Answered, ErrorCode> {
        let Some(removed) = self.members.get(&member) else {
            return Err(ErrorCode::UnknownMemberId);
        };
        let (group, generation) = (cx.group, self.epoch.next());
        let mut records = tombstones(group, member);
        records.push(ConsumerGroupRecord::Epoch(group, Some(generation)));
        let member_node = removed.metadata.node;
        let facts = vec![
            TraceEvent::MemberRemoved { group, member, member_node, reason },
            TraceEvent::RebalanceStarted {
                group,
                generation,
                reason: rebalance_reason(reason),
                member: Some(member),
            },
        ];
        Ok(Answered {
            records,
            response: farewell(cx, member),
            deadlines: Deadlines::Cancel,
            member,
            facts,
            stored: Vec::new(),
            subscribed: None,
        })
    }

    /// What removes an empty group from the log (`createGroupTombstoneRecords`).
    pub(in crate::broker) fn tombstones(&self, group: GroupId) -> Vec<ConsumerGroupRecord> {
        let mut records: Vec<_> =
            self.members.keys().flat_map(|&member| tombstones(group, member)).collect();
        records.push(ConsumerGroupRecord::TargetEpoch(group, None));
        records.push(ConsumerGroupRecord::Epoch(group, None));
        records
    }

    /// The members of a group that was read from the log, and how long each has to give up
    /// partitions if it is told to (`GroupMetadataManager.onLoaded`).
    pub(super) fn loaded(&self) -> impl Iterator<Item = (MemberId, Option<SimDuration>)> + '_ {
        self.members.iter().map(|(&id, member)| {
            let timeout = member.metadata.rebalance_timeout;
            (id, member.is_revoking().then_some(timeout))
        })
    }
}

/// A member has to be in the epoch that it says, or in the one before while it owns nothing that it
/// was not given since: then the answer that told it the new epoch was lost
/// (`throwIfConsumerGroupMemberEpochIsInvalid`).
fn check_epoch(
    current: &CurrentAssignment,
    said: Generation,
    owned: Option<&[TopicPartition]>,
) -> Result<(), ErrorCode> {
    let answer_lost = || {
        let subset = |owned: &[TopicPartition]| {
            owned.iter().all(|partition| current.assigned.binary_search(partition).is_ok())
        };
        said == current.previous_epoch && owned.is_some_and(subset)
    };
    match !current.away && (said == current.epoch || said < current.epoch && answer_lost()) {
        true => Ok(()),
        false => Err(ErrorCode::FencedMemberEpoch),
    }
}

/// A static member goes away, to come back: its partitions wait for it until its session is over,
/// but for those that it had yet to give up.
fn go_away(cx: &HeartbeatContext<'_>, id: MemberId, member: &Member) -> Answered {
    let away =
        CurrentAssignment { pending_revocation: [].into(), away: true, ..member.current.clone() };
    let gives_up = !member.current.pending_revocation.is_empty();
    let stored = gives_up.then(|| assigned(cx.group, id, &away)).into_iter().collect();
    Answered {
        records: vec![ConsumerGroupRecord::Current(cx.group, id, Some(away))],
        response: farewell(cx, id),
        deadlines: Deadlines::Keep,
        member: id,
        facts: Vec::new(),
        stored,
        subscribed: None,
    }
}

/// The answer to a member that leaves, which it does not wait for. Kafka repeats its −1 or −2.
fn farewell(cx: &HeartbeatContext<'_>, member: MemberId) -> ConsumerGroupHeartbeatResponse {
    ConsumerGroupHeartbeatResponse {
        error: ErrorCode::None,
        member: Some(member),
        epoch: Generation(0),
        heartbeat_interval: cx.config.consumer_heartbeat_interval,
        assignment: None,
    }
}

pub(super) fn tombstones(group: GroupId, member: MemberId) -> Vec<ConsumerGroupRecord> {
    vec![
        ConsumerGroupRecord::Current(group, member, None),
        ConsumerGroupRecord::Target(group, member, None),
        ConsumerGroupRecord::Member(group, member, None),
    ]
}

fn rebalance_reason(reason: RemovalReason) -> RebalanceReason {
    match reason {
        RemovalReason::Left(reason) => RebalanceReason::MemberLeft(reason),
        RemovalReason::SessionExpired | RemovalReason::PendingExpired => {
            RebalanceReason::SessionExpired
        }
        RemovalReason::RebalanceTimeout | RemovalReason::SyncTimeout => {
            RebalanceReason::RebalanceTimeout
        }
        RemovalReason::Replaced | RemovalReason::GroupFull => RebalanceReason::StaticMemberReplaced,
    }
}
