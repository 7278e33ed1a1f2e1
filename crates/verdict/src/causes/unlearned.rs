//! Why a producer did not learn that its batch had been appended: the root of duplicates and of
//! phantoms.
//!
//! Mirrors `Sender.completeBatch`/`failBatch` and `NetworkClient`'s cancelled requests, seen from
//! outside.

use acklab_vocab::error::ErrorCode;
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::RetryReason;

use crate::history::{Note, NoteKind};
use crate::world::{Append, AppendId, World};

/// What is known of one record on its way.
#[derive(Clone, Debug)]
pub struct Journey<'a> {
    /// Its notes, in the order of the trace.
    pub notes: Vec<&'a Note>,
    /// Its appends, in the order of the trace.
    pub appends: &'a [AppendId],
}

/// Why the success of an append did not reach the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unlearned {
    /// The broker had answered, or the connection was lost while the answer was pending.
    AnswerLost,
    /// The followers took longer than the request, or the producer, would wait.
    TimedOut,
    /// The leader died, or stepped down, before the answer.
    LeaderMoved,
    /// The ISR shrank below min.insync.replicas before the answer.
    NotEnoughReplicas,
    /// The request was executed after the producer had given it up.
    ExecutedLate,
    /// It did, or the facts do not tell.
    Unclear,
}

/// How a request ended for the producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Failed(ErrorCode),
    Retried(RetryReason),
}

/// Why the producer did not learn of the append `id`, and when it gave the request up.
#[must_use]
pub fn unlearned(
    world: &World,
    journey: &Journey<'_>,
    id: AppendId,
) -> (Unlearned, Option<SimTime>) {
    let append = &world.appends[id.index()];
    let Some((end, at)) = end_of_request(world, journey, append) else {
        return (Unlearned::Unclear, None);
    };
    if at < append.at {
        return (Unlearned::ExecutedLate, Some(at));
    }
    let answered = append.answered <= at;
    let died = world.died_between(append.node, append.at, at);
    (why(end, answered, died), Some(at))
}

/// The decision: how the request ended, whether the broker had answered by then, and whether it had
/// died.
fn why(end: End, answered: bool, died: bool) -> Unlearned {
    let silent = if answered { Unlearned::AnswerLost } else { Unlearned::TimedOut };
    match end {
        // Java before 2.5 reports OUT_OF_ORDER_SEQUENCE_NUMBER for a batch of a lost connection whose
        // producer id it has given up meanwhile.
        End::Retried(RetryReason::Disconnected)
        | End::Failed(ErrorCode::NetworkException | ErrorCode::OutOfOrderSequenceNumber) => {
            if died && !answered { Unlearned::LeaderMoved } else { Unlearned::AnswerLost }
        }
        End::Retried(RetryReason::RequestTimeout) | End::Failed(ErrorCode::Timeout) => {
            if died && !answered { Unlearned::LeaderMoved } else { silent }
        }
        End::Retried(RetryReason::Error(error)) | End::Failed(error) => match error {
            ErrorCode::RequestTimedOut => Unlearned::TimedOut,
            ErrorCode::NotEnoughReplicasAfterAppend => Unlearned::NotEnoughReplicas,
            ErrorCode::NotLeaderOrFollower => Unlearned::LeaderMoved,
            _ => Unlearned::Unclear,
        },
    }
}

/// How the request that led to an append ended.
///
/// A broker executes the requests of one connection in order, and what never arrived was never
/// executed. So the record's appends on one broker are matched with its requests to that broker
/// from the last to the first.
fn end_of_request(world: &World, journey: &Journey<'_>, append: &Append) -> Option<(End, SimTime)> {
    let sent = NoteKind::Sent(world.broker_on(append.node));
    let mut before = journey.notes.len();
    let appends = journey.appends.iter().rev().map(|id| &world.appends[id.index()]);
    for later in appends.filter(|later| later.node == append.node && later.at >= append.at) {
        let mut earlier = journey.notes[..before].iter().enumerate();
        before = earlier
            .rfind(|&(index, note)| {
                note.kind == sent
                    && note.at <= later.at
                    && !was_refused(&journey.notes[index + 1..])
            })?
            .0;
        if std::ptr::eq(later, append) {
            break;
        }
    }
    let end = |note: &&Note| match note.kind {
        NoteKind::Retried(reason) => Some((End::Retried(reason), note.at)),
        NoteKind::Failed(error) => Some((End::Failed(error), note.at)),
        NoteKind::Sent(_)
        | NoteKind::Refused(_)
        | NoteKind::Answered(_)
        | NoteKind::Deduplicated
        | NoteKind::Resent => None,
    };
    let (earlier, later) = journey.notes.split_at(before);
    // Java's sender drains a batch, then finds that its time is over, and sends it all the same.
    let drained = later.first().map(|note| note.at);
    let failed =
        |note: &&&Note| matches!(note.kind, NoteKind::Failed(_)) && Some(note.at) == drained;
    later.iter().find_map(end).or_else(|| earlier.iter().rfind(failed).and_then(end))
}

/// Whether a request, of which these are the notes that follow it, was answered with an error that
/// says that nothing was appended.
fn was_refused(notes: &[&Note]) -> bool {
    let ends = |note: &&&Note| {
        matches!(note.kind, NoteKind::Sent(_) | NoteKind::Retried(_) | NoteKind::Failed(_))
    };
    notes.iter().find(ends).is_some_and(|note| {
        matches!(
            note.kind,
            NoteKind::Retried(RetryReason::Error(
                ErrorCode::OutOfOrderSequenceNumber
                    | ErrorCode::UnknownProducerId
                    | ErrorCode::NotEnoughReplicas
            ))
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_a_request_ended_tells_why_its_append_went_unnoticed() {
        let error = |code| End::Retried(RetryReason::Error(code));
        let cases = [
            (End::Retried(RetryReason::Disconnected), true, false, Unlearned::AnswerLost),
            (End::Retried(RetryReason::Disconnected), false, true, Unlearned::LeaderMoved),
            (End::Retried(RetryReason::RequestTimeout), false, false, Unlearned::TimedOut),
            (End::Retried(RetryReason::RequestTimeout), true, false, Unlearned::AnswerLost),
            (error(ErrorCode::RequestTimedOut), true, false, Unlearned::TimedOut),
            (error(ErrorCode::NotLeaderOrFollower), true, false, Unlearned::LeaderMoved),
            (End::Failed(ErrorCode::Timeout), false, false, Unlearned::TimedOut),
            (End::Failed(ErrorCode::OutOfOrderSequenceNumber), false, false, Unlearned::AnswerLost),
        ];
        for (end, answered, died, expected) in cases {
            assert_eq!(why(end, answered, died), expected, "{end:?} {answered} {died}");
        }
    }
}
