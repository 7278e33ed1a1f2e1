//! What an application does when a call of the transactional API returns, as the documentation of `KafkaProducer` has it:
//! repeat what timed out, abort what can be aborted, close on everything else.

use acklab_machines::producer::{TransactionCallKind, TransactionFailure};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::time::SimDuration;

/// How long after a fatal error a new process begins, with a new epoch.
pub(crate) const RESTART_AFTER_FATAL: SimDuration = SimDuration::from_secs(1);

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The call has done what it should.
    Proceed,
    /// The same call again: its outcome is open.
    Repeat,
    /// `abortTransaction()`
    Abort,
    /// The producer is of no use any more: the process ends, and another begins.
    Restart(ErrorCode),
}

/// What to do after a call.
pub(crate) fn next(call: TransactionCallKind, failure: Option<TransactionFailure>) -> Next {
    match (failure, call) {
        (None, _) => Next::Proceed,
        (Some(TransactionFailure::Timeout), _) => Next::Repeat,
        (Some(TransactionFailure::Fatal(error)), _)
        | (
            Some(TransactionFailure::Abortable(error)),
            TransactionCallKind::Init | TransactionCallKind::Abort,
        ) => Next::Restart(error),
        (
            Some(TransactionFailure::Abortable(_)),
            TransactionCallKind::Begin
            | TransactionCallKind::SendOffsets
            | TransactionCallKind::Commit,
        ) => Next::Abort,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use TransactionCallKind::{Abort, Begin, Commit, Init, SendOffsets};
    use TransactionFailure::{Abortable, Fatal, Timeout};

    #[test]
    fn a_failure_is_repeated_aborted_or_ends_the_process() {
        let fenced = ErrorCode::ProducerFenced;
        let stale = ErrorCode::IllegalGeneration;
        for (call, failure, expected) in [
            (Commit, None, Next::Proceed),
            (Init, Some(Timeout), Next::Repeat),
            (Commit, Some(Timeout), Next::Repeat),
            (Abort, Some(Timeout), Next::Repeat),
            (Begin, Some(Abortable(stale)), Next::Abort),
            (SendOffsets, Some(Abortable(stale)), Next::Abort),
            (Commit, Some(Abortable(stale)), Next::Abort),
            (Init, Some(Abortable(stale)), Next::Restart(stale)),
            (Abort, Some(Abortable(stale)), Next::Restart(stale)),
            (SendOffsets, Some(Fatal(fenced)), Next::Restart(fenced)),
        ] {
            assert_eq!(next(call, failure), expected, "{call:?} {failure:?}");
        }
    }
}
