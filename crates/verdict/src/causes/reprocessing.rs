//! Why a consumer application processed a copy again (kafka-semantics.md, sections 4 to 6).
//!
//! Whoever processed a record had a position at or before it, and a position is set by a fact. Of
//! the two positions that the two processings go back to, the later one is the new owner's: why was
//! the committed offset not past the record by then? Either it had been, and was taken back; or the
//! old owner could not commit: what ended its ownership says why.

use acklab_vocab::api::LeaveReason;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::Offset;
use acklab_vocab::trace::{ApplicationReaction, CommitFailure, CommitStyle, RemovalReason};

use super::balanced;
use super::groups::Scope;
use crate::cause::{Cause, GroupEvidence};
use crate::groups::application::Removed;
use crate::groups::coordination::{Commit, FailedCommit};
use crate::groups::reading::{Jump, JumpKind, Moment, Stretch};

/// Why a copy at `offset` was processed by `first` and later by `second`.
#[must_use]
pub fn reprocessing_cause(
    scope: &Scope<'_>,
    first: &Stretch,
    second: &Stretch,
    offset: Offset,
) -> (Cause, GroupEvidence) {
    let mut evidence = GroupEvidence {
        processed: Some((first.moment.at, first.node)),
        again: Some((second.moment.at, second.node)),
        ..GroupEvidence::default()
    };
    let position = |of: &Stretch| scope.reading.jump_before(of.node, of.moment, offset);
    let (Some(one), Some(other)) = (position(first), position(second)) else {
        return (Cause::Unexplained, evidence);
    };
    let (old, new, work) = match one.moment <= other.moment {
        true => (one, other, [first.moment, second.moment]),
        false => (other, one, [second.moment, first.moment]),
    };
    evidence.position = Some((new.moment.at, new.node, new.to));
    if scope.header.assigns_itself && old.node != new.node {
        return (Cause::AssignedToEachInstance, evidence);
    }
    if old.moment == new.moment {
        return (Cause::Unexplained, evidence);
    }
    let case = Case { scope, old, new, work, offset };
    let cause = case.cause(&mut evidence);
    (cause, evidence)
}

/// Two positions that an application had at or before an offset: its old owner's and the new one's.
struct Case<'a> {
    scope: &'a Scope<'a>,
    old: &'a Jump,
    new: &'a Jump,
    /// When each of the two processed the copy.
    work: [Moment; 2],
    offset: Offset,
}

/// What ended an ownership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// The process ended; whether in an orderly way.
    Process { clean: bool },
    /// The coordinator removed the member.
    Removed(RemovalReason, bool),
    /// The consumer gave the partition up; whether it had been lost before.
    GivenUp { lost: bool },
}

impl Case<'_> {
    fn cause(&self, evidence: &mut GroupEvidence) -> Cause {
        match self.new.kind {
            JumpKind::Truncated => return Cause::TruncatedAndReadAgain,
            JumpKind::Sought => return Cause::ReadAgainAfterAbort,
            JumpKind::OutOfRange => return Cause::OffsetReset,
            JumpKind::Reset | JumpKind::Committed => {}
        }
        let commits = self.scope.track.before(self.new.moment);
        let was_past = commits.last().is_some_and(|last| last.highest > self.offset);
        if was_past && let Some(cause) = self.taken_back(commits, evidence) {
            return cause;
        }
        if self.scope.header.commit == CommitStyle::Never {
            return Cause::NeverCommits;
        }
        if self.is_refused_for_sharing() {
            return Cause::RefusedForSharedGroup;
        }
        self.not_committed(evidence)
    }

    /// The committed offset had been past the record: who took it back?
    fn taken_back(&self, commits: &[Commit], evidence: &mut GroupEvidence) -> Option<Cause> {
        let past = |commit: &Commit| commit.offset.is_some_and(|offset| offset > self.offset);
        let last = commits.iter().rposition(past)?;
        let back = commits.get(last + 1)?;
        evidence.committed = Some((back.moment.at, back.node, back.offset.unwrap_or(Offset(0))));
        Some(match back.node {
            None => Cause::CommittedOffsetLost,
            Some(node) if self.scope.is_of_other_application(node) => {
                Cause::OverwrittenByOtherApplication
            }
            Some(_) if self.scope.is_balanced() => Cause::RewoundByUnfencedCommit,
            Some(_) => Cause::CommitRewound,
        })
    }

    /// A consumer that is no member committed, while the group had members.
    fn is_refused_for_sharing(&self) -> bool {
        let refused = |failed: &FailedCommit| {
            matches!(
                failed.failure,
                CommitFailure::CommitFailed(Some(ErrorCode::UnknownMemberId))
                    | CommitFailure::Other(ErrorCode::UnknownMemberId)
            )
        };
        let is_no_member = self.scope.header.assigns_itself || self.scope.is_balanced();
        is_no_member && self.failed().any(refused)
    }

    /// Commits past the record by the old owner that failed.
    fn failed(&self) -> impl Iterator<Item = &FailedCommit> {
        let (old, offset) = (self.old, self.offset);
        let all = self.scope.track.failed.iter();
        all.filter(move |failed| {
            failed.node == old.node && failed.moment > old.moment && failed.offset > offset
        })
    }

    /// The committed offset had never been past the record: what kept the old owner?
    fn not_committed(&self, evidence: &mut GroupEvidence) -> Cause {
        let ending = self.ending();
        let has_ended = matches!(ending, Some((_, Ending::Process { .. })));
        if self.scope.is_balanced() && !has_ended {
            return self.handed_over(evidence);
        }
        let Some((moment, ending)) = ending else { return self.still_owned(evidence) };
        evidence.gone = Some((moment.at, self.old.node));
        match ending {
            Ending::Process { clean: false } => match self.failure_before(moment) {
                Some(failure) => of_failure(failure),
                None => Cause::CrashBeforeCommit,
            },
            Ending::Process { clean: true } => {
                self.failed().last().map_or(Cause::ClosedWithoutCommit, |of| of_failure(of.failure))
            }
            Ending::Removed(reason, paused) => self.removed(reason, paused),
            Ending::GivenUp { lost: false } => self.left(self.left_after(moment)),
            Ending::GivenUp { lost: true } if self.left_before(moment).is_some() => {
                self.left(self.left_before(moment))
            }
            Ending::GivenUp { lost: true } => match self.removal_before(moment) {
                Some(removed) => self.removed(removed.reason, removed.paused),
                None if !self.was_left_behind(moment) => Cause::MembershipForgotten,
                None if self.failed().next().is_some() => Cause::CommitRefusedAfterRebalance,
                None => Cause::RebalanceTimeoutExceeded,
            },
        }
    }

    /// Consumers that share partitions out by ZooKeeper: what became of the old owner's znode?
    fn handed_over(&self, evidence: &mut GroupEvidence) -> Cause {
        let handover = balanced::handover(self.scope, self.old, self.new, self.work);
        evidence.gone = handover.lost_at.map(|moment| (moment.at, self.old.node));
        match balanced::cause_of(handover) {
            Cause::RebalancedBeforeCommit => self
                .failed()
                .last()
                .map_or(Cause::RebalancedBeforeCommit, |failed| of_failure(failed.failure)),
            cause => cause,
        }
    }

    /// It gave the partition up, as it left by itself or was asked to.
    fn left(&self, reason: Option<LeaveReason>) -> Cause {
        match reason {
            Some(LeaveReason::Closed) if self.failed().next().is_none() => {
                Cause::ClosedWithoutCommit
            }
            Some(LeaveReason::Unsubscribed) => Cause::ResubscribedBeforeCommit,
            Some(LeaveReason::PollTimeout) => Cause::MaxPollIntervalExceeded,
            Some(LeaveReason::Closed) | None => {
                self.failed().last().map_or(Cause::RevokedBeforeCommit, |of| of_failure(of.failure))
            }
        }
    }

    fn removed(&self, reason: RemovalReason, paused: bool) -> Cause {
        match reason {
            RemovalReason::SessionExpired if paused => Cause::SessionExpiredInPause,
            RemovalReason::SessionExpired => Cause::SessionExpired,
            RemovalReason::RebalanceTimeout | RemovalReason::SyncTimeout => {
                Cause::RebalanceTimeoutExceeded
            }
            RemovalReason::Left(LeaveReason::PollTimeout) => Cause::MaxPollIntervalExceeded,
            RemovalReason::Left(LeaveReason::Unsubscribed) => Cause::ResubscribedBeforeCommit,
            RemovalReason::Left(LeaveReason::Closed) => {
                self.failed().last().map_or(Cause::ClosedWithoutCommit, |of| of_failure(of.failure))
            }
            RemovalReason::Replaced => Cause::StaticMemberReplaced,
            RemovalReason::PendingExpired | RemovalReason::GroupFull => {
                Cause::CommitRefusedAfterRebalance
            }
        }
    }

    /// Nothing ended the old ownership before the new position was taken.
    fn still_owned(&self, evidence: &mut GroupEvidence) -> Cause {
        if self.scope.track.had_two_owners {
            return Cause::TwoOwners;
        }
        if let Some(failed) = self.failed().last() {
            return of_failure(failed.failure);
        }
        let late = self.scope.track.commits.iter().find(|commit| {
            commit.moment > self.new.moment
                && commit.node == Some(self.old.node)
                && commit.offset.is_some_and(|offset| offset > self.offset)
        });
        match late {
            Some(commit) => {
                let offset = commit.offset.unwrap_or(Offset(0));
                evidence.committed = Some((commit.moment.at, commit.node, offset));
                Cause::CommitTookEffectLate
            }
            None if self.scope.track.had_absent_owner => Cause::RebalanceTimeoutExceeded,
            None => Cause::Unexplained,
        }
    }

    /// What first ended the old owner's ownership, before the new position was taken.
    fn ending(&self) -> Option<(Moment, Ending)> {
        let member = self.scope.member(self.old.node)?;
        let ends = member.ends.iter();
        let ends = ends.map(|&(moment, clean)| (moment, Ending::Process { clean }));
        let removals = member.removals.iter();
        let removals = removals.map(|of| (of.moment, Ending::Removed(of.reason, of.paused)));
        let given_up = self.scope.reading.given_up.iter();
        let given_up = given_up.filter(|of| of.node == self.old.node);
        let given_up = given_up.map(|of| (of.moment, Ending::GivenUp { lost: of.lost }));
        let all = ends.chain(removals).chain(given_up);
        let within = all.filter(|&(moment, _)| self.is_between(moment));
        within.min_by_key(|&(moment, _)| moment)
    }

    fn is_between(&self, moment: Moment) -> bool {
        self.old.moment < moment && moment < self.new.moment
    }

    /// The application had stopped because of this failure.
    fn failure_before(&self, end: Moment) -> Option<CommitFailure> {
        let failures = &self.scope.member(self.old.node)?.failures;
        let stopped = failures.iter().rev().find(|(moment, failure, reaction)| {
            *moment <= end
                && *moment > self.old.moment
                && *reaction == ApplicationReaction::Stopped
                && failure.is_some()
        });
        stopped.and_then(|&(_, failure, _)| failure)
    }

    /// Why the old owner left by itself, around the time when it gave the partition up.
    fn left_after(&self, moment: Moment) -> Option<LeaveReason> {
        let left = &self.scope.member(self.old.node)?.left;
        let near = |(at, _): &&(Moment, LeaveReason)| {
            self.is_between(*at) && (*at > moment || at.at == moment.at)
        };
        left.iter().find(near).map(|&(_, reason)| reason)
    }

    /// Why the old owner had left by itself, though its coordinator may not have heard of it, before
    /// it took the partition for lost.
    fn left_before(&self, moment: Moment) -> Option<LeaveReason> {
        let left = self.scope.member(self.old.node)?.left.iter().rev();
        let mut before = left.filter(|(at, _)| self.is_between(*at) && *at < moment);
        before.next().map(|&(_, reason)| reason)
    }

    /// A static member that did not join a rebalance in time stays one, and is told
    /// ILLEGAL_GENERATION when it asks next. So is a member, before 4.0, whose group the
    /// coordinator's log has lost, and with it the offsets.
    fn was_left_behind(&self, moment: Moment) -> bool {
        let Some(member) = self.scope.member(self.old.node) else { return false };
        let told = member.lost.iter().rev().find(|(at, _)| *at < moment);
        let commits = self.scope.track.before(moment);
        let is_log_lost = commits.iter().any(|of| of.node.is_none() && of.offset.is_none());
        told.is_some_and(|(_, error)| *error == ErrorCode::IllegalGeneration) && !is_log_lost
    }

    fn removal_before(&self, moment: Moment) -> Option<&Removed> {
        let removals = &self.scope.member(self.old.node)?.removals;
        removals.iter().rev().find(|removed| removed.moment < moment)
    }
}

/// A commit that failed so was the last chance.
fn of_failure(failure: CommitFailure) -> Cause {
    match failure {
        CommitFailure::CommitFailed(_) | CommitFailure::FencedInstance => {
            Cause::CommitRefusedAfterRebalance
        }
        CommitFailure::RebalanceInProgress
        | CommitFailure::Retriable(_)
        | CommitFailure::Timeout
        | CommitFailure::Other(_) => Cause::CommitFailedThenRebalanced,
    }
}
