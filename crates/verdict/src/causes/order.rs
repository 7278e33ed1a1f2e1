//! Why a record's first copy stands behind a later record's (kafka-semantics.md, 3.3).

use acklab_vocab::time::SimTime;
use acklab_vocab::trace::RetryReason;

use super::unlearned::{Journey, Unlearned, unlearned};
use crate::cause::{Cause, Evidence};
use crate::history::{Note, NoteKind};
use crate::world::{Append, AppendId, World};

/// The copy out of order and one of a later record that stands before it.
#[derive(Clone, Copy, Debug)]
pub struct Misplaced<'a> {
    /// The copy out of order.
    pub copy: AppendId,
    /// Which attempt of the application it is.
    pub attempt: u16,
    /// The later record's copy.
    pub ahead: &'a Append,
    /// The record had been appended before, and that copy is gone.
    pub had_earlier_copy: bool,
}

/// Why a record stands behind a later one, whose notes are `others`.
pub fn order_cause<'a>(
    world: &World,
    journey: &Journey<'_>,
    misplaced: Misplaced<'_>,
    others: impl Iterator<Item = &'a Note> + Clone,
) -> (Cause, Evidence) {
    let Misplaced { copy, attempt, ahead, had_earlier_copy } = misplaced;
    let append = &world.appends[copy.index()];
    let evidence = Evidence {
        appended: Some((append.at, world.broker_on(append.node))),
        other_offset: Some(ahead.batch.base_offset),
        ..Evidence::default()
    };
    let mine: Vec<_> = journey.notes.iter().filter_map(|note| retry(note)).collect();
    let theirs: Vec<_> = others.clone().filter_map(retry).collect();
    let lost_together = |at: &(SimTime, bool)| at.1 && theirs.contains(at);
    let cause = if attempt > 0 {
        Cause::ResentByApplication
    } else if unlearned(world, journey, copy).0 == Unlearned::ExecutedLate {
        Cause::OldRequestExecuted
    } else if mine.iter().any(lost_together) {
        Cause::RetriedInReverse
    } else if had_earlier_copy {
        Cause::FirstCopyTruncated
    } else if mine.iter().any(|(at, _)| *at <= append.at) {
        Cause::RetriedBehindLaterBatch
    } else if sent_before(journey.notes.iter().copied(), others) {
        Cause::OvertakenOnItsWay
    } else {
        Cause::Unexplained
    };
    (cause, evidence)
}

/// Whether one record was first sent no later than another. Since a connection is served in order,
/// they went different ways if the other was appended first.
fn sent_before<'a, 'b>(
    mut one: impl Iterator<Item = &'a Note>,
    mut other: impl Iterator<Item = &'b Note>,
) -> bool {
    let is_sent = |note: &&Note| matches!(note.kind, NoteKind::Sent(_));
    let (one, other) = (one.find(is_sent), other.find(is_sent));
    matches!((one, other), (Some(one), Some(other)) if one.at <= other.at)
}

/// When a batch was to be sent again, and whether because of a lost connection.
fn retry(note: &Note) -> Option<(SimTime, bool)> {
    match note.kind {
        NoteKind::Retried(RetryReason::Disconnected | RetryReason::RequestTimeout) => {
            Some((note.at, true))
        }
        NoteKind::Retried(RetryReason::Error(_)) => Some((note.at, false)),
        NoteKind::Sent(_)
        | NoteKind::Refused(_)
        | NoteKind::Answered(_)
        | NoteKind::Deduplicated
        | NoteKind::Failed(_)
        | NoteKind::Resent => None,
    }
}
