//! Membership in a classic group: joining, heartbeats, losing it.
//!
//! Mirrors `AbstractCoordinator` and the membership part of `ConsumerCoordinator`:
//! [`ClassicMember`] is what both hold, `join` is the application thread's side of it,
//! [`heartbeat`] the heartbeat thread.
//!
//! Left out: subscriptions that change (a resubscribing application closes its consumer), patterns,
//! `unsubscribe()`, `enforceRebalance()`.

pub(super) mod heartbeat;
mod join;

pub(super) use join::Joining;

use super::coordinator::Identity;
use super::{Consumer, ConsumerCx, Membership};
use acklab_vocab::api::JoinGroupResponse;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::group::Assignor;
use acklab_vocab::ids::{Generation, TopicId, TopicPartition};
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::TraceEvent;
use heartbeat::Heartbeat;
use std::sync::Arc;

/// `AbstractCoordinator.MemberState`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MemberState {
    /// Not part of a group.
    Unjoined,
    /// It has sent JoinGroup.
    PreparingRebalance,
    /// It has joined and waits for its assignment.
    CompletingRebalance,
    /// It has its assignment.
    Stable,
}

impl MemberState {
    /// Only members that have joined send heartbeats.
    pub const fn has_joined(self) -> bool {
        matches!(self, MemberState::CompletingRebalance | MemberState::Stable)
    }

    pub const fn is_rebalancing(self) -> bool {
        matches!(self, MemberState::PreparingRebalance | MemberState::CompletingRebalance)
    }

    pub const fn name(self) -> &'static str {
        match self {
            MemberState::Unjoined => "unjoined",
            MemberState::PreparingRebalance => "joining",
            MemberState::CompletingRebalance => "syncing",
            MemberState::Stable => "stable",
        }
    }
}

/// The attempt to join that is under way (`joinFuture`).
#[derive(Debug, PartialEq, Eq)]
enum Attempt {
    /// There is none.
    None,
    /// JoinGroup or SyncGroup is to be answered.
    Waiting,
    /// It is the leader, and waits for metadata of topics that only others read: newer than that
    /// version.
    Leading(Box<JoinGroupResponse>, u64),
    /// It is over: the assignment.
    Succeeded(Arc<[TopicPartition]>),
    /// It is over.
    Failed(ErrorCode),
}

/// Auto-commit before partitions are given up (`autoCommitOffsetRequestFuture`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Preparation {
    /// There is none under way.
    None,
    /// The commit of that number is to be answered.
    Committing(u32),
    /// It is to be tried again at that instant.
    Backoff(SimTime),
    /// It is over: committed, or failed for good.
    Done,
}

/// A member of a classic group, or what wants to be one.
#[derive(Debug)]
pub(super) struct ClassicMember {
    pub state: MemberState,
    pub identity: Identity,
    /// What the group voted for.
    protocol: Option<Assignor>,
    rejoin_needed: bool,
    needs_join_prepare: bool,
    attempt: Attempt,
    /// Number of the attempt to join.
    attempt_number: u32,
    /// No other attempt before this instant.
    rejoin_at: SimTime,
    preparation: Preparation,
    /// When preparation ends at the latest (`joinPrepareTimer`).
    prepared_by: Option<SimTime>,
    /// The leader's view of the topics when it assigned (`assignmentSnapshot`).
    assigned_from: Option<Vec<(TopicId, usize)>>,
    /// What an eager sticky assignor remembers: the last assignment, and its generation.
    remembered: (Arc<[TopicPartition]>, Option<Generation>),
    pub heartbeat: Heartbeat,
    /// Another process has the `group.instance.id`: the next `poll()` fails.
    fenced: bool,
}

impl ClassicMember {
    pub fn new() -> Self {
        ClassicMember {
            state: MemberState::Unjoined,
            identity: Identity::default(),
            protocol: None,
            rejoin_needed: true,
            needs_join_prepare: true,
            attempt: Attempt::None,
            attempt_number: 0,
            rejoin_at: SimTime(i64::MIN),
            preparation: Preparation::None,
            prepared_by: None,
            assigned_from: None,
            remembered: (Arc::default(), None),
            heartbeat: Heartbeat::default(),
            fenced: false,
        }
    }

    /// It will join (again) in the next `poll()` (`requestRejoin`).
    pub const fn request_rejoin(&mut self) {
        self.rejoin_needed = true;
    }

    /// `rejoinNeededOrPending`, but for metadata.
    pub fn is_rejoining(&self) -> bool {
        self.rejoin_needed || self.attempt != Attempt::None
    }

    /// The identity with which it may commit (`generationIfStable`).
    pub fn stable_identity(&self) -> Option<Identity> {
        (self.state == MemberState::Stable).then_some(self.identity)
    }

    /// Whether what it owns is lost already: it is no member any more.
    pub const fn is_reset(&self) -> bool {
        self.identity.generation.is_none() || self.identity.member.is_none()
    }

    /// `resetStateAndRejoin`. `prepares_anew`: `onJoinPrepare` is called even if it has been for the
    /// rebalance under way (the rule `LostMemberGivesUpPartitions`).
    pub fn reset(&mut self, keeps_member_id: bool, prepares_anew: bool) {
        self.state = MemberState::Unjoined;
        self.protocol = None;
        self.identity.generation = None;
        if !keeps_member_id {
            self.identity.member = None;
        }
        self.rejoin_needed = true;
        self.needs_join_prepare |= prepares_anew;
    }

    /// When the application's thread has something to do again, while it is joining; what is past
    /// waits for something else.
    pub fn deadlines(&self) -> [SimTime; 3] {
        let backoff = match self.preparation {
            Preparation::Backoff(until) => until,
            Preparation::None | Preparation::Done | Preparation::Committing(_) => SimTime::NEVER,
        };
        [self.rejoin_at, backoff, self.prepared_by.unwrap_or(SimTime::NEVER)]
    }
}

impl Consumer {
    /// Who loses its membership gives up what it owns before it joins again.
    pub(super) fn prepares_anew(&self) -> bool {
        self.config().client.rules.has(ProtocolRule::LostMemberGivesUpPartitions)
    }

    /// An answer says that the member is none any more (`resetStateOnResponseError`).
    pub(super) fn lose_membership(
        &mut self,
        cx: &mut ConsumerCx<'_>,
        error: ErrorCode,
        keeps_member_id: bool,
    ) {
        let prepares_anew = self.prepares_anew();
        if let Membership::Classic(member) = &mut self.membership {
            member.reset(keeps_member_id, prepares_anew);
            cx.trace(|| TraceEvent::MembershipLost { error });
        }
    }
}
