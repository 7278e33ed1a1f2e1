//! What the coordinator's answer to a commit means to a member of a KIP-848 group:
//! `CommitRequestManager`.

use crate::consumer::commit_outcome::{Attempt, Lesson};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::trace::CommitFailure;

/// The outcome of one answer: the first error of a partition decides. Only heartbeats end a
/// membership, so a commit that is refused teaches the member nothing about it.
pub(in crate::consumer) fn outcome(
    errors: impl IntoIterator<Item = ErrorCode>,
) -> (Attempt, Lesson) {
    let Some(error) = errors.into_iter().find(|error| !error.is_none()) else {
        return (Attempt::Committed, Lesson::Nothing);
    };
    match error {
        ErrorCode::CoordinatorNotAvailable
        | ErrorCode::NotCoordinator
        | ErrorCode::RequestTimedOut => {
            (Attempt::Retriable(error), Lesson::CoordinatorUnknown(error))
        }
        ErrorCode::CoordinatorLoadInProgress | ErrorCode::UnknownTopicOrPartition => {
            (Attempt::Retriable(error), Lesson::Nothing)
        }
        ErrorCode::FencedInstanceId | ErrorCode::UnknownMemberId | ErrorCode::StaleMemberEpoch => {
            (Attempt::Failed(CommitFailure::CommitFailed(Some(error))), Lesson::Nothing)
        }
        other => (Attempt::Failed(CommitFailure::Other(other)), Lesson::Nothing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ErrorCode as E;

    #[test]
    fn every_answer_has_its_outcome() {
        let failed = |failure| (Attempt::Failed(failure), Lesson::Nothing);
        let commit_failed = |error| failed(CommitFailure::CommitFailed(Some(error)));
        let retriable = |error| (Attempt::Retriable(error), Lesson::Nothing);
        let rediscover = |error| (Attempt::Retriable(error), Lesson::CoordinatorUnknown(error));
        let cases = [
            (E::None, (Attempt::Committed, Lesson::Nothing)),
            (E::CoordinatorLoadInProgress, retriable(E::CoordinatorLoadInProgress)),
            (E::UnknownTopicOrPartition, retriable(E::UnknownTopicOrPartition)),
            (E::CoordinatorNotAvailable, rediscover(E::CoordinatorNotAvailable)),
            (E::NotCoordinator, rediscover(E::NotCoordinator)),
            (E::RequestTimedOut, rediscover(E::RequestTimedOut)),
            (E::StaleMemberEpoch, commit_failed(E::StaleMemberEpoch)),
            (E::UnknownMemberId, commit_failed(E::UnknownMemberId)),
            (E::FencedInstanceId, commit_failed(E::FencedInstanceId)),
            (E::GroupIdNotFound, failed(CommitFailure::Other(E::GroupIdNotFound))),
            (E::OffsetMetadataTooLarge, failed(CommitFailure::Other(E::OffsetMetadataTooLarge))),
        ];
        for (error, expected) in cases {
            assert_eq!(outcome([E::None, error, E::UnknownMemberId].into_iter().take(2)), expected);
        }
    }
}
