//! Heartbeats of a KIP-848 member, which carry everything: joining, acknowledging, leaving.
//!
//! Mirrors `AbstractHeartbeatRequestManager` and `ConsumerHeartbeatRequestManager`. One heartbeat
//! is under way at a time; one is due at every interval that the coordinator gives, and at once
//! when the member joins or acknowledges. What has not changed since the last one is left out;
//! after a failure everything is said again.

use super::{ConsumerMember, LocalAssignment, MemberState};
use crate::consumer::coordinator::GroupPurpose;
use crate::consumer::{Consumer, ConsumerCx, GroupMembership, Membership};
use acklab_vocab::api::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, LeaveReason, MemberEpoch,
    Request,
};
use acklab_vocab::config::MemberConfig;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{Generation, MemberId};
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::TraceEvent;

/// What the heartbeats need to remember (`HeartbeatRequestState`, `HeartbeatState.SentFields`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::consumer) struct Heartbeat {
    /// `group.consumer.heartbeat.interval.ms`, as the coordinator said last; zero before.
    interval: SimDuration,
    /// The interval is over.
    next_at: SimTime,
    /// None before this instant, after a failure; not even a hurried one.
    not_before: SimTime,
    pub(super) in_flight: bool,
    /// Failures in a row.
    failures: u32,
    /// The coordinator has been told everything that does not change.
    has_introduced: bool,
    /// The assignment that the coordinator was told last; `Some(None)` for none at all.
    told: Option<Option<LocalAssignment>>,
    /// The application has not polled for `max.poll.interval.ms`.
    poll_expires_at: SimTime,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Heartbeat {
            interval: SimDuration::ZERO,
            next_at: SimTime(i64::MIN),
            not_before: SimTime(i64::MIN),
            in_flight: false,
            failures: 0,
            has_introduced: false,
            told: None,
            poll_expires_at: SimTime::NEVER,
        }
    }
}

impl Heartbeat {
    /// The application polls.
    pub fn polled(&mut self, config: &MemberConfig, now: SimTime) {
        self.poll_expires_at = config.max_poll_interval.map_or(SimTime::NEVER, |it| now + it);
    }

    /// The next heartbeat says everything.
    pub fn forget_sent(&mut self) {
        self.has_introduced = false;
        self.told = None;
    }

    /// No interval and no backoff delays the next one.
    pub fn send_at_once(&mut self) {
        self.failures = 0;
        self.next_at = SimTime(i64::MIN);
        self.not_before = SimTime(i64::MIN);
    }
}

impl ConsumerMember {
    /// When a heartbeat is due, or the application has not polled for too long.
    pub fn heartbeat_deadline(&self) -> SimTime {
        if !self.state.sends_heartbeats() {
            return SimTime::NEVER;
        }
        let Heartbeat { next_at, not_before, in_flight, poll_expires_at, .. } = self.heartbeat;
        let hurries = matches!(self.state, MemberState::Joining | MemberState::Acknowledging);
        let due = match (in_flight, hurries) {
            (true, _) => SimTime::NEVER,
            (false, true) => not_before,
            (false, false) => next_at.max(not_before),
        };
        due.min(poll_expires_at)
    }

    /// What the next heartbeat says (`HeartbeatState.buildRequestData`).
    fn introduce(&mut self, request: &mut ConsumerGroupHeartbeatRequest, config: &MemberConfig) {
        let joins = self.state == MemberState::Joining;
        if joins || !self.heartbeat.has_introduced {
            request.assignor = config.remote_assignor;
        } else {
            request.rebalance_timeout = None;
            request.topics = None;
        }
        self.heartbeat.has_introduced = true;
        if joins || self.heartbeat.told.as_ref() != Some(&self.current) {
            let owned = self.current.as_ref().map(|current| current.partitions.to_vec());
            request.owned = Some(owned.unwrap_or_default());
            self.heartbeat.told = Some(self.current.clone());
        }
    }

    /// A heartbeat is on its way (`onHeartbeatRequestGenerated`).
    fn on_heartbeat_sent(&mut self, now: SimTime) {
        self.heartbeat.in_flight = true;
        self.heartbeat.next_at = now + self.heartbeat.interval;
        if self.state == MemberState::Acknowledging {
            self.state = match self.target == self.current {
                true => MemberState::Stable,
                false => MemberState::Reconciling,
            };
        }
    }
}

impl Consumer {
    /// What the background thread does when a heartbeat is due, or the application has not polled
    /// for too long.
    pub(in crate::consumer) fn run_consumer_heartbeats(&mut self, cx: &mut ConsumerCx<'_>) {
        let now = cx.now();
        let Membership::Consumer(member) = &self.membership else { return };
        if member.heartbeat_deadline() > now {
            return;
        }
        let is_polling = self.is_inside_poll();
        if !self.knows_coordinator(cx) {
            return;
        }
        let Membership::Consumer(member) = &mut self.membership else { return };
        if member.heartbeat.poll_expires_at <= now {
            if is_polling {
                member.polled(&self.setup.config, now);
            } else {
                self.leave_consumer_group(cx, LeaveReason::PollTimeout);
                return;
            }
        }
        let Membership::Consumer(member) = &self.membership else { return };
        if member.heartbeat_deadline() <= now {
            self.send_consumer_heartbeat(cx);
        }
    }

    /// A heartbeat of the member `id` in `epoch` that says everything that does not change.
    fn consumer_heartbeat(
        &self,
        id: Option<MemberId>,
        epoch: MemberEpoch,
    ) -> ConsumerGroupHeartbeatRequest {
        let config = &self.setup.config;
        ConsumerGroupHeartbeatRequest {
            group: self.setup.group,
            member: id,
            epoch,
            instance: self.setup.instance,
            rebalance_timeout: config.max_poll_interval,
            topics: Some(self.setup.topics.clone()),
            assignor: None,
            owned: None,
        }
    }

    fn send_consumer_heartbeat(&mut self, cx: &mut ConsumerCx<'_>) {
        let Membership::Consumer(member) = &self.membership else { return };
        let (id, epoch, life) = (member.id, member.epoch, member.life);
        let said = epoch.map_or(MemberEpoch::Joining, MemberEpoch::Member);
        let mut request = self.consumer_heartbeat(id, said);
        let Membership::Consumer(member) = &mut self.membership else { return };
        member.introduce(&mut request, &self.setup.config);
        member.on_heartbeat_sent(cx.now());
        let timeout = self.config().client.request_timeout;
        let purpose = GroupPurpose::ConsumerHeartbeat(life);
        self.send_to_coordinator(cx, Request::ConsumerGroupHeartbeat(request), purpose, timeout);
    }

    /// Says that it leaves; nobody waits for the answer (`transitionToSendingLeaveGroup`). A static
    /// member only goes away.
    pub(in crate::consumer) fn leave_consumer_group(
        &mut self,
        cx: &mut ConsumerCx<'_>,
        reason: LeaveReason,
    ) {
        let knows_coordinator = self.knows_coordinator(cx);
        let Membership::Consumer(member) = &mut self.membership else { return };
        if !member.state.sends_heartbeats() {
            return;
        }
        let id = member.id.filter(|_| knows_coordinator);
        member.current = None;
        member.target = None;
        match reason {
            LeaveReason::PollTimeout => member.fall_out(MemberState::Stale),
            LeaveReason::Closed | LeaveReason::Unsubscribed => {
                member.state = MemberState::Unsubscribed;
                member.epoch = None;
            }
        }
        member.reconciliation = None;
        member.heartbeat.send_at_once();
        let Some(id) = id else { return };
        cx.trace(|| TraceEvent::LeftGroup { reason });
        let epoch = match self.setup.instance {
            None => MemberEpoch::Leaving(reason),
            Some(_) => MemberEpoch::LeavingStatic,
        };
        let request = ConsumerGroupHeartbeatRequest {
            rebalance_timeout: None,
            topics: None,
            ..self.consumer_heartbeat(Some(id), epoch)
        };
        let timeout = self.config().client.request_timeout;
        let purpose = GroupPurpose::LeaveGroup;
        self.send_to_coordinator(cx, Request::ConsumerGroupHeartbeat(request), purpose, timeout);
    }

    /// A heartbeat was answered, or lost.
    pub(in crate::consumer) fn on_consumer_heartbeat(
        &mut self,
        cx: &mut ConsumerCx<'_>,
        life: u32,
        result: Result<ConsumerGroupHeartbeatResponse, ErrorCode>,
    ) {
        let Membership::Consumer(member) = &mut self.membership else { return };
        if member.life != life {
            return;
        }
        member.heartbeat.in_flight = false;
        let error = match result {
            Ok(answer) if answer.error.is_none() => {
                self.on_consumer_heartbeat_accepted(cx, answer);
                return;
            }
            Ok(answer) => answer.error,
            Err(error) => error,
        };
        self.delay_next_heartbeat(cx);
        let Membership::Consumer(member) = &mut self.membership else { return };
        if !member.state.sends_heartbeats() {
            return;
        }
        match error {
            ErrorCode::NetworkException | ErrorCode::CoordinatorLoadInProgress => {}
            ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable => {
                member.heartbeat.send_at_once();
                self.mark_coordinator_unknown(cx, false);
            }
            ErrorCode::FencedMemberEpoch | ErrorCode::UnknownMemberId => self.fence(cx, error),
            other => self.fail(cx, other),
        }
    }

    fn delay_next_heartbeat(&mut self, cx: &mut ConsumerCx<'_>) {
        let Membership::Consumer(member) = &mut self.membership else { return };
        let heartbeat = &mut member.heartbeat;
        let wait = self.retry_backoff.backoff(heartbeat.failures, cx.rng());
        heartbeat.failures = heartbeat.failures.saturating_add(1);
        heartbeat.next_at = cx.now();
        heartbeat.not_before = cx.now() + wait;
        heartbeat.forget_sent();
    }

    /// `onHeartbeatSuccess`
    fn on_consumer_heartbeat_accepted(
        &mut self,
        cx: &mut ConsumerCx<'_>,
        answer: ConsumerGroupHeartbeatResponse,
    ) {
        let Membership::Consumer(member) = &mut self.membership else { return };
        let heartbeat = &mut member.heartbeat;
        heartbeat.failures = 0;
        if heartbeat.interval != answer.heartbeat_interval {
            heartbeat.interval = answer.heartbeat_interval;
            heartbeat.next_at = cx.now() + heartbeat.interval;
        }
        if !member.state.sends_heartbeats() {
            return;
        }
        member.id = answer.member.or(member.id);
        member.epoch = Some(answer.epoch).filter(|&epoch| epoch > Generation(0));
        if let Some(partitions) = answer.assignment {
            member.receive(partitions);
        }
        if let Some((id, epoch)) = member.membership() {
            self.group_metadata = GroupMembership {
                group: self.setup.group,
                generation: Some(epoch),
                member: Some(id),
                instance: self.setup.instance,
            };
        }
    }
}
