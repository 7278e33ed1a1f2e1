//! Why a consumer application has gone past a record without processing it (kafka-semantics.md,
//! sections 4 and 5).
//!
//! The first fact that took the group past the record tells: a commit, by a consumer that had the
//! record or by one that had not, or a position that `auto.offset.reset` put behind it.

use acklab_vocab::config::{ConsumerLibrary, GroupLibrary};
use acklab_vocab::ids::{NodeId, Offset};
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::CommitStyle;

use super::groups::Scope;
use crate::cause::{Cause, GroupEvidence};
use crate::groups::reading::{Jump, JumpKind, Moment};

/// A copy that was never processed.
#[derive(Clone, Copy, Debug)]
pub struct Unprocessed {
    /// Where it stands.
    pub offset: Offset,
    /// When its leader appended it.
    pub appended: SimTime,
    /// It was processed in a transaction that was aborted.
    pub was_undone: bool,
}

/// Why it was skipped.
#[must_use]
pub fn skipping_cause(scope: &Scope<'_>, copy: Unprocessed) -> (Cause, GroupEvidence) {
    let mut evidence = GroupEvidence::default();
    let reading = scope.reading;
    let covers = |from: Offset, to: Offset| from <= copy.offset && copy.offset < to;
    if let Some(dropped) = reading.dropped.iter().find(|of| covers(of.from, of.to)) {
        evidence.gone = Some((dropped.moment.at, dropped.node));
        note_commit(scope, copy.offset, &mut evidence);
        return (Cause::HandedToWorkers, evidence);
    }
    let resets = reading.jumps.iter().filter(|jump| jump.kind == JumpKind::OutOfRange);
    let mut resets = resets.filter(|jump| jump.moment.at > copy.appended);
    if let Some(jump) = resets.find(|jump| jump.to > copy.offset) {
        evidence.position = Some((jump.moment.at, jump.node, jump.to));
        return (Cause::ResetAfterOutOfRange, evidence);
    }
    // The position was past it before it was written: the log had been longer once.
    let passed_before = reading
        .stretches
        .iter()
        .find(|stretch| stretch.to > copy.offset && stretch.moment.at < copy.appended);
    if let Some(stretch) = passed_before {
        evidence.position = Some((stretch.moment.at, stretch.node, stretch.to));
        return (Cause::TruncatedUnderConsumer, evidence);
    }
    match first_passing(scope, copy.offset) {
        None => (Cause::Unexplained, evidence),
        Some(Passing::Reset(jump)) => {
            evidence.position = Some((jump.moment.at, jump.node, jump.to));
            (reset_cause(scope, jump), evidence)
        }
        Some(Passing::Commit(moment, node, offset)) => {
            evidence.committed = Some((moment.at, Some(node), offset));
            if copy.was_undone {
                return (Cause::PositionKeptAfterAbort, evidence);
            }
            note_end(scope, node, moment, &mut evidence);
            (commit_cause(scope, moment, node, copy.offset), evidence)
        }
    }
}

/// What took a group past an offset.
enum Passing<'a> {
    Reset(&'a Jump),
    Commit(Moment, NodeId, Offset),
}

fn first_passing<'a>(scope: &'a Scope<'_>, offset: Offset) -> Option<Passing<'a>> {
    let jumps_past = |jump: &&Jump| {
        jump.kind == JumpKind::Reset
            && jump.to > offset
            && jump.from.is_none_or(|from| from <= offset)
    };
    let reset = scope.reading.jumps.iter().find(jumps_past);
    let mut commits = scope.track.commits.iter();
    let commit = commits.find_map(|commit| {
        let past = commit.offset.filter(|committed| *committed > offset)?;
        Some((commit.moment, commit.author?, past))
    });
    match (reset, commit) {
        (Some(jump), Some((moment, ..))) if jump.moment < moment => Some(Passing::Reset(jump)),
        (_, Some((moment, node, past))) => Some(Passing::Commit(moment, node, past)),
        (Some(jump), None) => Some(Passing::Reset(jump)),
        (None, None) => None,
    }
}

/// A position was put behind the record by `auto.offset.reset`.
fn reset_cause(scope: &Scope<'_>, jump: &Jump) -> Cause {
    let before = scope.track.before(jump.moment);
    if before.last().is_some_and(|last| last.offset.is_none()) {
        Cause::CommittedOffsetLost
    } else {
        Cause::ResetToEnd
    }
}

/// A consumer committed past the record.
fn commit_cause(scope: &Scope<'_>, moment: Moment, node: NodeId, offset: Offset) -> Cause {
    if scope.is_of_other_application(node) {
        return Cause::OverwrittenByOtherApplication;
    }
    if !had(scope, moment, node, offset) {
        return Cause::OverwrittenByOtherMember;
    }
    match (scope.header.commit, scope.header.library) {
        (CommitStyle::BeforeProcessing, _) => Cause::CommittedBeforeProcessing,
        (CommitStyle::HandedToWorkers, _) => Cause::HandedToWorkers,
        (CommitStyle::Auto, GroupLibrary::Member(ConsumerLibrary::Librdkafka)) => {
            Cause::StoredBeforeProcessing
        }
        (_, GroupLibrary::Balanced(_)) => Cause::CommittedInHand,
        (
            CommitStyle::Auto
            | CommitStyle::SyncPerBatch
            | CommitStyle::SyncPerRecord
            | CommitStyle::Async
            | CommitStyle::AsyncRetried
            | CommitStyle::AsyncThenSync
            | CommitStyle::InTransaction
            | CommitStyle::Never,
            GroupLibrary::Member(_),
        ) => Cause::CommittedUnprocessed,
    }
}

/// Whether a consumer's position had come from at or before the record.
fn had(scope: &Scope<'_>, moment: Moment, node: NodeId, offset: Offset) -> bool {
    let end = scope.reading.jumps.partition_point(|jump| jump.moment < moment);
    let mut mine = scope.reading.jumps[..end].iter().rev().filter(|jump| jump.node == node);
    mine.next().is_some_and(|jump| jump.to <= offset)
}

fn note_commit(scope: &Scope<'_>, offset: Offset, evidence: &mut GroupEvidence) {
    if let Some(Passing::Commit(moment, node, past)) = first_passing(scope, offset) {
        evidence.committed = Some((moment.at, Some(node), past));
    }
}

/// When the consumer that had committed was gone.
fn note_end(scope: &Scope<'_>, node: NodeId, since: Moment, evidence: &mut GroupEvidence) {
    let Some(member) = scope.member(node) else { return };
    let ends = member.ends.iter().map(|&(moment, _)| moment);
    let removals = member.removals.iter().map(|of| of.moment);
    let given_up = scope.reading.given_up.iter().filter(|of| of.node == node);
    let all = ends.chain(removals).chain(given_up.map(|of| of.moment));
    let first = all.filter(|moment| *moment > since).min();
    evidence.gone = first.map(|moment| (moment.at, node));
}
