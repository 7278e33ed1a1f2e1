//! Taking an assignment on: commit, give up what it lacks, take what is new, acknowledge.
//!
//! Mirrors `AbstractMembershipManager.maybeReconcile`, `revokeAndAssign` and
//! `maybeAbortReconciliation`, and `CommitRequestManager.maybeAutoCommitSyncBeforeRevocation`. One
//! assignment is taken on at a time; if another comes meanwhile, it is the next one's turn after
//! the first has been acknowledged. A member that has fallen out gives everything up first, and
//! joins again when its listener has returned.

use super::{LocalAssignment, MemberState};
use crate::consumer::{Callback, Consumer, ConsumerCx, Membership};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::TopicPartition;
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::{CommitFailure, CommitTrigger};
use std::sync::Arc;

/// How far the application's thread has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::consumer) enum Settling {
    /// There is nothing to be done inside `poll()`.
    Done,
    /// The application's listener is being called.
    InCallback,
    /// `poll()` throws.
    Failed(ErrorCode),
}

/// An assignment that is being taken on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reconciliation {
    assignment: LocalAssignment,
    /// What the commit may take at most, as the coordinator waits no longer:
    /// `max.poll.interval.ms`.
    committed_by: SimTime,
    retries: u32,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The auto-commit is to be sent, not before that instant.
    Commit(SimTime),
    /// The commit of that number is to be answered.
    Committing(u32),
    /// The commit is over.
    Committed,
    /// The listener is giving up or taking over.
    Moving,
}

impl Reconciliation {
    /// When it goes on by itself.
    pub fn deadline(&self) -> SimTime {
        match self.stage {
            Stage::Commit(at) => at.min(self.committed_by),
            Stage::Committing(_) => self.committed_by,
            Stage::Committed | Stage::Moving => SimTime::NEVER,
        }
    }
}

impl Consumer {
    /// What a member has to do inside `poll()`, as far as it can.
    pub(in crate::consumer) fn settle_membership(&mut self, cx: &mut ConsumerCx<'_>) -> Settling {
        loop {
            let Membership::Consumer(member) = &mut self.membership else { return Settling::Done };
            if member.is_lost {
                member.is_lost = false;
                member.reconciliation = None;
                let partitions = self.owned();
                self.call_back(cx, Callback::Revoked { partitions, lost: true });
                if self.callback.is_some() {
                    return Settling::InCallback;
                }
                continue;
            }
            if let Some(error) = member.failure.take() {
                return Settling::Failed(error);
            }
            match (member.state, member.reconciliation.as_ref().map(|it| it.stage)) {
                (MemberState::Unsubscribed | MemberState::Stale | MemberState::Fenced, _) => {
                    member.join();
                    return Settling::Done;
                }
                (MemberState::Reconciling, None) => self.begin_reconciliation(cx),
                (_, Some(Stage::Commit(at))) if at <= cx.now() => self.commit_before_moving(cx),
                (_, Some(Stage::Committed)) => {
                    self.revoke_and_assign(cx);
                    if self.callback.is_some() {
                        return Settling::InCallback;
                    }
                }
                (_, Some(Stage::Commit(_) | Stage::Committing(_))) => {
                    if !self.give_commit_up(cx.now()) {
                        return Settling::Done;
                    }
                }
                (
                    MemberState::Joining
                    | MemberState::Reconciling
                    | MemberState::Acknowledging
                    | MemberState::Stable
                    | MemberState::Fatal,
                    None | Some(Stage::Moving),
                ) => return Settling::Done,
            }
        }
    }

    /// Whether the commit has taken so long that the member goes on without.
    fn give_commit_up(&mut self, now: SimTime) -> bool {
        let Membership::Consumer(member) = &mut self.membership else { return false };
        let Some(reconciliation) = &mut member.reconciliation else { return false };
        let is_late = reconciliation.committed_by <= now;
        if is_late {
            reconciliation.stage = Stage::Committed;
        }
        is_late
    }

    fn begin_reconciliation(&mut self, cx: &mut ConsumerCx<'_>) {
        let auto_commits = self.setup.config.auto_commit.is_some();
        let limit = self.setup.config.max_poll_interval;
        let Membership::Consumer(member) = &mut self.membership else { return };
        let Some(assignment) = member.target.clone() else {
            member.state = MemberState::Stable;
            return;
        };
        let is_same =
            member.current.as_ref().is_some_and(|it| it.partitions == assignment.partitions);
        if is_same {
            member.current = Some(assignment);
            member.state = MemberState::Acknowledging;
            return;
        }
        let stage = if auto_commits { Stage::Commit(cx.now()) } else { Stage::Committed };
        let committed_by = limit.map_or(SimTime::NEVER, |limit| cx.now() + limit);
        let revoked = revoked(&self.owned(), &assignment.partitions);
        self.fetching.mark_revoking(&revoked);
        let Membership::Consumer(member) = &mut self.membership else { return };
        member.reconciliation =
            Some(Reconciliation { assignment, committed_by, retries: 0, stage });
    }

    /// `autoCommitSyncBeforeRevocationWithRetries`
    fn commit_before_moving(&mut self, cx: &mut ConsumerCx<'_>) {
        let id = self.commits.allocate();
        let offsets = self.offsets_to_commit();
        let Membership::Consumer(member) = &mut self.membership else { return };
        let Some(reconciliation) = &mut member.reconciliation else { return };
        reconciliation.stage = Stage::Committing(id);
        self.commit_async(cx, id, offsets, CommitTrigger::AutoRevocation);
    }

    /// A commit is over: if it was that before the move, it is tried again after a retriable
    /// failure, and after one with an epoch that has become stale.
    pub(in crate::consumer) fn on_reconciliation_committed(
        &mut self,
        cx: &mut ConsumerCx<'_>,
        id: u32,
        failure: Option<CommitFailure>,
    ) {
        let Membership::Consumer(member) = &mut self.membership else { return };
        let is_member = member.epoch.is_some();
        let Some(reconciliation) = &mut member.reconciliation else { return };
        if reconciliation.stage != Stage::Committing(id) {
            return;
        }
        let is_tried_again = match failure {
            Some(CommitFailure::Retriable(error)) => error != ErrorCode::UnknownTopicOrPartition,
            Some(CommitFailure::CommitFailed(Some(ErrorCode::StaleMemberEpoch))) => is_member,
            Some(_) | None => false,
        };
        reconciliation.stage = match is_tried_again && cx.now() < reconciliation.committed_by {
            true => {
                let wait = self.retry_backoff.backoff(reconciliation.retries, cx.rng());
                reconciliation.retries = reconciliation.retries.saturating_add(1);
                Stage::Commit(cx.now() + wait)
            }
            false => Stage::Committed,
        };
    }

    /// `revokeAndAssign`, up to the first call of the listener.
    fn revoke_and_assign(&mut self, cx: &mut ConsumerCx<'_>) {
        let Membership::Consumer(member) = &mut self.membership else { return };
        let Some(reconciliation) = &mut member.reconciliation else { return };
        if member.state != MemberState::Reconciling {
            member.reconciliation = None;
            self.fetching.mark_revoking(&[]);
            return;
        }
        reconciliation.stage = Stage::Moving;
        let assignment = Arc::clone(&reconciliation.assignment.partitions);
        let partitions = revoked(&self.owned(), &assignment);
        if partitions.is_empty() {
            self.take_assignment(cx, assignment);
        } else {
            self.call_back(cx, Callback::RevokedByAssignment { partitions, assignment });
        }
    }

    /// The listener has given up what the assignment lacks. Whether the member goes on to what is
    /// new: not if it has fallen out meanwhile.
    pub(in crate::consumer) fn goes_on_reconciling(&mut self) -> bool {
        let Membership::Consumer(member) = &mut self.membership else { return true };
        let goes_on = member.state == MemberState::Reconciling && member.reconciliation.is_some();
        if !goes_on {
            member.reconciliation = None;
        }
        goes_on
    }

    /// The listener has taken over what is new: the next heartbeat says so.
    pub(in crate::consumer) fn on_reconciled(&mut self) {
        let Membership::Consumer(member) = &mut self.membership else { return };
        let Some(reconciliation) = member.reconciliation.take() else { return };
        if member.state == MemberState::Reconciling {
            member.current = Some(reconciliation.assignment);
            member.state = MemberState::Acknowledging;
        }
    }

    /// The listener has given up what was lost.
    pub(in crate::consumer) fn on_lost_given_up(&mut self) {
        let Membership::Consumer(member) = &mut self.membership else { return };
        member.current = None;
        member.target = None;
    }
}

/// What is owned and not assigned.
fn revoked(owned: &[TopicPartition], assigned: &[TopicPartition]) -> Arc<[TopicPartition]> {
    owned.iter().copied().filter(|partition| !assigned.contains(partition)).collect()
}
