//! The heartbeat thread (KIP-62), and the heartbeats of clients that have none.
//!
//! Mirrors `Heartbeat`, `AbstractCoordinator.HeartbeatThread` and `HeartbeatResponseHandler`;
//! before 0.10.1, `AbstractCoordinator.HeartbeatTask`, which runs only while the application is
//! inside a call.
//!
//! Kafka's thread looks around every `retry.backoff.ms`; here it acts at the instant itself, at
//! most that much earlier.

use super::{ClassicMember, Consumer, ConsumerCx, MemberState, Membership};
use crate::consumer::coordinator::{GroupPurpose, Identity};
use acklab_vocab::api::{HeartbeatRequest, LeaveGroupRequest, LeaveReason, Request};
use acklab_vocab::config::MemberConfig;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::TraceEvent;

/// The timers of a member that has joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::consumer) struct Heartbeat {
    /// The next heartbeat is due.
    next_at: SimTime,
    /// No heartbeat was answered for `session.timeout.ms`.
    session_expires_at: SimTime,
    /// The application has not polled for `max.poll.interval.ms`.
    poll_expires_at: SimTime,
    in_flight: bool,
    /// Failures in a row.
    failures: u32,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Heartbeat {
            next_at: SimTime::NEVER,
            session_expires_at: SimTime::NEVER,
            poll_expires_at: SimTime::NEVER,
            in_flight: false,
            failures: 0,
        }
    }
}

impl Heartbeat {
    /// The member has just joined (`resetTimeouts`).
    pub fn reset(&mut self, config: &MemberConfig, now: SimTime) {
        self.next_at = now + config.heartbeat_interval;
        self.session_expires_at = now + config.session_timeout;
        self.in_flight = false;
        self.failures = 0;
        self.polled(config, now);
    }

    /// The coordinator was found (`resetSessionTimeout`), or has answered.
    pub fn reset_session(&mut self, config: &MemberConfig, now: SimTime) {
        self.session_expires_at = now + config.session_timeout;
    }

    /// The application polls.
    pub fn polled(&mut self, config: &MemberConfig, now: SimTime) {
        self.poll_expires_at = config.max_poll_interval.map_or(SimTime::NEVER, |it| now + it);
    }
}

impl ClassicMember {
    /// When the heartbeat thread has something to do; without a thread, when a call that waits has.
    pub fn heartbeat_deadline(&self, has_thread: bool) -> SimTime {
        let heartbeat = &self.heartbeat;
        if !self.state.has_joined() || self.fenced || (!has_thread && self.rejoin_needed) {
            return SimTime::NEVER;
        }
        let waits = !has_thread && heartbeat.in_flight;
        let next_at = if waits { SimTime::NEVER } else { heartbeat.next_at };
        next_at.min(heartbeat.session_expires_at).min(heartbeat.poll_expires_at)
    }

    /// Another process has the `group.instance.id`.
    pub const fn is_fenced(&self) -> bool {
        self.fenced
    }
}

impl Consumer {
    /// What the heartbeat thread does when it looks around.
    pub(in crate::consumer) fn run_heartbeats(&mut self, cx: &mut ConsumerCx<'_>) {
        let now = cx.now();
        let Membership::Classic(member) = &self.membership else { return };
        if member.heartbeat_deadline(self.behaviour.heartbeats_in_background) > now {
            return;
        }
        let is_polling = self.is_inside_poll();
        if !self.knows_coordinator(cx) {
            return;
        }
        let Membership::Classic(member) = &mut self.membership else { return };
        let heartbeat = &mut member.heartbeat;
        if heartbeat.session_expires_at <= now {
            self.mark_coordinator_unknown(cx, false);
            return;
        }
        if heartbeat.poll_expires_at <= now {
            if is_polling {
                heartbeat.polled(&self.setup.config, now);
            } else {
                self.leave(cx, LeaveReason::PollTimeout);
                return;
            }
        }
        let waits = !self.behaviour.heartbeats_in_background && heartbeat.in_flight;
        if heartbeat.next_at <= now && !waits {
            self.send_heartbeat(cx);
        }
    }

    fn send_heartbeat(&mut self, cx: &mut ConsumerCx<'_>) {
        let Membership::Classic(member) = &mut self.membership else { return };
        let identity = member.identity;
        let (Some(generation), Some(id)) = (identity.generation, identity.member) else { return };
        member.heartbeat.in_flight = true;
        member.heartbeat.next_at = cx.now() + self.setup.config.heartbeat_interval;
        let (group, instance) = (self.setup.group, self.setup.instance);
        let request = HeartbeatRequest { group, generation, member: id, instance };
        let timeout = self.config().client.request_timeout;
        let purpose = GroupPurpose::Heartbeat(identity);
        self.send_to_coordinator(cx, Request::Heartbeat(request), purpose, timeout);
    }

    /// `HeartbeatResponseHandler`; a heartbeat that was lost is a `NETWORK_EXCEPTION`.
    pub(in crate::consumer) fn on_heartbeat(
        &mut self,
        cx: &mut ConsumerCx<'_>,
        sent: Identity,
        error: ErrorCode,
    ) {
        let now = cx.now();
        let Membership::Classic(member) = &mut self.membership else { return };
        let heartbeat = &mut member.heartbeat;
        heartbeat.in_flight = false;
        let is_unchanged = member.identity == sent;
        match error {
            ErrorCode::None => heartbeat.received(&self.setup.config, now),
            ErrorCode::RebalanceInProgress => {
                heartbeat.received(&self.setup.config, now);
                if member.state == MemberState::Stable {
                    member.request_rejoin();
                }
            }
            ErrorCode::IllegalGeneration
            | ErrorCode::UnknownMemberId
            | ErrorCode::FencedInstanceId
                if is_unchanged =>
            {
                member.fenced |= error == ErrorCode::FencedInstanceId;
                let keeps_member_id = error == ErrorCode::IllegalGeneration;
                self.lose_membership(cx, error, keeps_member_id);
            }
            ErrorCode::IllegalGeneration
            | ErrorCode::UnknownMemberId
            | ErrorCode::FencedInstanceId => heartbeat.received(&self.setup.config, now),
            other => {
                let wait = self.retry_backoff.backoff(heartbeat.failures, cx.rng());
                heartbeat.failures = heartbeat.failures.saturating_add(1);
                heartbeat.next_at = now + wait;
                if matches!(other, ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable) {
                    self.mark_coordinator_unknown(cx, false);
                }
            }
        }
    }

    /// `maybeLeaveGroup`: a dynamic member says that it leaves; nobody waits for the answer. A static
    /// one that leaves for want of `poll()` falls out in silence.
    pub(in crate::consumer) fn leave(&mut self, cx: &mut ConsumerCx<'_>, reason: LeaveReason) {
        if matches!(self.membership, Membership::Consumer(_)) {
            self.leave_consumer_group(cx, reason);
            return;
        }
        let knows_coordinator = self.knows_coordinator(cx);
        let prepares_anew = self.prepares_anew();
        let Membership::Classic(member) = &mut self.membership else { return };
        let is_in = member.state != MemberState::Unjoined;
        let leaving = member.identity.member.filter(|_| is_in && knows_coordinator);
        member.reset(false, prepares_anew);
        let Some(id) = leaving else { return };
        let is_silent = self.setup.instance.is_some();
        if !is_silent || reason == LeaveReason::PollTimeout {
            cx.trace(|| TraceEvent::LeftGroup { reason });
        }
        if is_silent {
            return;
        }
        let request = LeaveGroupRequest {
            group: self.setup.group,
            member: id,
            instance: self.setup.instance,
            reason,
        };
        let timeout = self.config().client.request_timeout;
        let purpose = GroupPurpose::LeaveGroup;
        self.send_to_coordinator(cx, Request::LeaveGroup(request), purpose, timeout);
    }
}

impl Heartbeat {
    fn received(&mut self, config: &MemberConfig, now: SimTime) {
        self.failures = 0;
        self.reset_session(config, now);
    }
}
