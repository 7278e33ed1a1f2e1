//! Membership in a KIP-848 group, where the coordinator assigns (`group.protocol=consumer`).
//!
//! Mirrors `AbstractMembershipManager` with `ConsumerMembershipManager`: [`ConsumerMember`] is what
//! they hold. The heartbeats that carry it are in `heartbeat` (`AbstractHeartbeatRequestManager`),
//! the way from one assignment to the next in `reconciliation`, what its commits are answered in
//! `commit_outcome` (`CommitRequestManager`). There is no join and no sync: a heartbeat at epoch 0
//! joins, its answer may bring an assignment, and the next one acknowledges it.
//!
//! In `AsyncKafkaConsumer` all of this runs in a background thread, except for the application's
//! rebalance listener, which is called inside `poll()` and `close()`. Here every application has a
//! listener, and the commit before a revocation is bound to `poll()` as well
//! (`maybeReconcile(canCommit)`), so an assignment is taken on inside `poll()` alone; heartbeats go
//! on all the time.
//!
//! Left out: subscriptions that change, regular expressions, topic ids that are not known yet (the
//! metadata of the subscribed topics names them), `unsubscribe()`.

mod commit_outcome;
pub(super) mod heartbeat;
mod reconciliation;
#[cfg(test)]
mod tests;

pub(super) use commit_outcome::outcome;
pub(super) use reconciliation::Settling;

use super::{Consumer, ConsumerCx, Membership};
use acklab_vocab::config::MemberConfig;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{Generation, MemberId, TopicPartition};
use acklab_vocab::rules::{ProtocolRule, ProtocolRules};
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::TraceEvent;
use heartbeat::Heartbeat;
use reconciliation::Reconciliation;
use std::sync::Arc;

/// `org.apache.kafka.clients.consumer.internals.MemberState`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MemberState {
    /// It has not polled yet, or has left.
    Unsubscribed,
    /// It sends heartbeats at epoch 0.
    Joining,
    /// It has been given another assignment than it has.
    Reconciling,
    /// It has taken its assignment on, and tells the coordinator with the next heartbeat.
    Acknowledging,
    /// It has what it was given.
    Stable,
    /// The coordinator does not know it, or not in this epoch: it gives everything up and joins
    /// again.
    Fenced,
    /// It has left because the application did not poll: it gives everything up and joins again
    /// with the next poll.
    Stale,
    /// It cannot go on.
    Fatal,
}

impl MemberState {
    pub const fn name(self) -> &'static str {
        match self {
            MemberState::Unsubscribed => "unsubscribed",
            MemberState::Joining => "joining",
            MemberState::Reconciling => "reconciling",
            MemberState::Acknowledging => "acknowledging",
            MemberState::Stable => "stable",
            MemberState::Fenced => "fenced",
            MemberState::Stale => "stale",
            MemberState::Fatal => "fatal",
        }
    }

    /// It sends heartbeats (the opposite of `isNotInGroup` and `shouldSkipHeartbeat`).
    pub const fn sends_heartbeats(self) -> bool {
        match self {
            MemberState::Joining
            | MemberState::Reconciling
            | MemberState::Acknowledging
            | MemberState::Stable => true,
            MemberState::Unsubscribed
            | MemberState::Fenced
            | MemberState::Stale
            | MemberState::Fatal => false,
        }
    }
}

/// An assignment with a number of the client's own, so that one that comes again is acknowledged
/// again.
#[derive(Clone, Debug, PartialEq, Eq)]
struct LocalAssignment {
    number: u64,
    /// Ascending.
    partitions: Arc<[TopicPartition]>,
}

/// A member of a KIP-848 group, or what wants to be one.
#[derive(Debug)]
pub(super) struct ConsumerMember {
    pub state: MemberState,
    /// Its id: made at the start, or by the coordinator without the rule `ClientMadeMemberId`.
    id: Option<MemberId>,
    keeps_id: bool,
    /// Its epoch while it is a member.
    epoch: Option<Generation>,
    /// What the coordinator gave it last.
    target: Option<LocalAssignment>,
    /// What it has taken on.
    current: Option<LocalAssignment>,
    /// It is taking an assignment on.
    reconciliation: Option<Reconciliation>,
    /// The next `poll()` calls `onPartitionsLost`.
    is_lost: bool,
    /// The next `poll()` throws.
    failure: Option<ErrorCode>,
    /// Rises whenever it joins: an answer to a heartbeat of an earlier life says nothing.
    life: u32,
    pub heartbeat: Heartbeat,
}

impl ConsumerMember {
    /// `id`: for a version in which clients make their own.
    pub fn new(rules: ProtocolRules, id: MemberId) -> Self {
        let keeps_id = rules.has(ProtocolRule::ClientMadeMemberId);
        ConsumerMember {
            state: MemberState::Unsubscribed,
            id: keeps_id.then_some(id),
            keeps_id,
            epoch: None,
            target: None,
            current: None,
            reconciliation: None,
            is_lost: false,
            failure: None,
            life: 0,
            heartbeat: Heartbeat::default(),
        }
    }

    /// Epoch and id with which it commits: no epoch unless it is a member. Without the rule
    /// `ClientMadeMemberId` it says no id then either.
    pub fn commit_identity(&self) -> super::coordinator::Identity {
        let member = self.id.filter(|_| self.keeps_id || self.epoch.is_some());
        super::coordinator::Identity { generation: self.epoch, member }
    }

    /// Epoch and id with which it asks for committed offsets, if it is a member.
    pub fn membership(&self) -> Option<(MemberId, Generation)> {
        self.id.zip(self.epoch)
    }

    /// It has its assignment, and nothing to do about it.
    pub fn is_settled(&self) -> bool {
        self.state == MemberState::Stable && self.reconciliation.is_none() && !self.is_lost
    }

    /// When the application's thread, inside `poll()`, has something to do.
    pub fn deadline(&self) -> SimTime {
        self.reconciliation.as_ref().map_or(SimTime::NEVER, Reconciliation::deadline)
    }

    /// The application polls (`resetPollTimer`).
    pub fn polled(&mut self, config: &MemberConfig, now: SimTime) {
        self.heartbeat.polled(config, now);
    }

    /// The coordinator gave it an assignment (`processAssignmentReceived`).
    fn receive(&mut self, partitions: Arc<[TopicPartition]>) {
        let is_same = self.target.as_ref().is_some_and(|target| target.partitions == partitions);
        if !is_same {
            let number = self.target.as_ref().map_or(0, |target| target.number + 1);
            self.target = Some(LocalAssignment { number, partitions });
        }
        if self.target != self.current {
            self.state = MemberState::Reconciling;
        } else if matches!(self.state, MemberState::Reconciling | MemberState::Joining) {
            self.state = MemberState::Stable;
        }
    }

    /// `transitionToJoining`: a reconciliation that is under way comes to nothing.
    fn join(&mut self) {
        self.state = MemberState::Joining;
        self.epoch = None;
        self.target = None;
        self.reconciliation = None;
        self.life += 1;
        self.heartbeat.in_flight = false;
    }

    /// It is no member any more, and has to give everything up.
    fn fall_out(&mut self, state: MemberState) {
        self.state = state;
        self.epoch = None;
        self.is_lost = true;
        self.heartbeat.forget_sent();
    }
}

impl Consumer {
    /// The coordinator does not know the member, or not in this epoch (`transitionToFenced`).
    fn fence(&mut self, cx: &mut ConsumerCx<'_>, error: ErrorCode) {
        let Membership::Consumer(member) = &mut self.membership else { return };
        member.fall_out(MemberState::Fenced);
        member.heartbeat.send_at_once();
        cx.trace(|| TraceEvent::MembershipLost { error });
    }

    /// Nothing helps (`transitionToFatal`): the next `poll()` throws.
    fn fail(&mut self, cx: &mut ConsumerCx<'_>, error: ErrorCode) {
        let Membership::Consumer(member) = &mut self.membership else { return };
        let was_member = member.epoch.is_some();
        member.fall_out(MemberState::Fatal);
        member.failure = Some(error);
        if was_member {
            cx.trace(|| TraceEvent::MembershipLost { error });
        }
    }
}
