//! What the coordinator's answer to a commit means:
//! `ConsumerCoordinator.OffsetCommitResponseHandler`.

use acklab_vocab::error::ErrorCode;
use acklab_vocab::trace::CommitFailure;

/// How one attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    /// Every partition was committed.
    Committed,
    /// `commitSync()` tries again; `commitAsync()` gives up.
    Retriable(ErrorCode),
    /// Nobody tries again.
    Failed(CommitFailure),
}

/// What the member learns from the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lesson {
    /// Nothing.
    Nothing,
    /// The coordinator is another one, or none.
    CoordinatorUnknown(ErrorCode),
    /// The group rebalances: join again, still a member.
    Rejoin,
    /// It is no member any more.
    MembershipLost {
        /// The answer.
        error: ErrorCode,
        /// Its member id may still be valid.
        keeps_member_id: bool,
    },
}

/// The member as it is when the answer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// Its generation and member id are those with which it had sent the commit.
    pub is_unchanged: bool,
    /// It has sent a JoinGroup that has not been answered.
    pub is_preparing: bool,
    /// The client knows `RebalanceInProgressException`.
    pub tells_rebalance: bool,
}

/// The outcome of one answer: the first error of a partition decides.
pub(super) fn outcome(
    errors: impl IntoIterator<Item = ErrorCode>,
    member: Member,
) -> (Attempt, Lesson) {
    let Some(error) = errors.into_iter().find(|error| !error.is_none()) else {
        return (Attempt::Committed, Lesson::Nothing);
    };
    let rebalancing = match member.tells_rebalance {
        true => CommitFailure::RebalanceInProgress,
        false => CommitFailure::CommitFailed(Some(error)),
    };
    let superseded = !member.is_unchanged && member.is_preparing;
    match error {
        ErrorCode::CoordinatorLoadInProgress | ErrorCode::UnknownTopicOrPartition => {
            (Attempt::Retriable(error), Lesson::Nothing)
        }
        ErrorCode::CoordinatorNotAvailable
        | ErrorCode::NotCoordinator
        | ErrorCode::RequestTimedOut => {
            (Attempt::Retriable(error), Lesson::CoordinatorUnknown(error))
        }
        ErrorCode::FencedInstanceId if member.is_unchanged => {
            (Attempt::Failed(CommitFailure::FencedInstance), Lesson::Nothing)
        }
        ErrorCode::FencedInstanceId if superseded => {
            (Attempt::Failed(rebalancing), Lesson::Nothing)
        }
        ErrorCode::FencedInstanceId => {
            (Attempt::Failed(CommitFailure::CommitFailed(Some(error))), Lesson::Nothing)
        }
        ErrorCode::RebalanceInProgress => (Attempt::Failed(rebalancing), Lesson::Rejoin),
        ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration if superseded => {
            (Attempt::Failed(rebalancing), Lesson::Nothing)
        }
        ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration => {
            let keeps_member_id = error == ErrorCode::IllegalGeneration;
            let failure = CommitFailure::CommitFailed(Some(error));
            (Attempt::Failed(failure), Lesson::MembershipLost { error, keeps_member_id })
        }
        other => (Attempt::Failed(CommitFailure::Other(other)), Lesson::Nothing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use CommitFailure::{CommitFailed, FencedInstance, Other, RebalanceInProgress};
    use ErrorCode as E;

    const STABLE: Member =
        Member { is_unchanged: true, is_preparing: false, tells_rebalance: true };
    const REJOINING: Member =
        Member { is_unchanged: false, is_preparing: true, tells_rebalance: true };
    const REJOINED: Member =
        Member { is_unchanged: false, is_preparing: false, tells_rebalance: true };

    fn lost(error: ErrorCode, keeps_member_id: bool) -> Lesson {
        Lesson::MembershipLost { error, keeps_member_id }
    }

    #[test]
    fn every_answer_has_its_outcome() {
        let retriable = |error| (Attempt::Retriable(error), Lesson::Nothing);
        let rediscover = |error| (Attempt::Retriable(error), Lesson::CoordinatorUnknown(error));
        let failed = |failure| (Attempt::Failed(failure), Lesson::Nothing);
        let cases = [
            (E::None, STABLE, (Attempt::Committed, Lesson::Nothing)),
            (E::CoordinatorLoadInProgress, STABLE, retriable(E::CoordinatorLoadInProgress)),
            (E::UnknownTopicOrPartition, STABLE, retriable(E::UnknownTopicOrPartition)),
            (E::CoordinatorNotAvailable, STABLE, rediscover(E::CoordinatorNotAvailable)),
            (E::NotCoordinator, STABLE, rediscover(E::NotCoordinator)),
            (E::RequestTimedOut, STABLE, rediscover(E::RequestTimedOut)),
            (E::FencedInstanceId, STABLE, failed(FencedInstance)),
            (E::FencedInstanceId, REJOINING, failed(RebalanceInProgress)),
            (E::FencedInstanceId, REJOINED, failed(CommitFailed(Some(E::FencedInstanceId)))),
            (E::OffsetMetadataTooLarge, STABLE, failed(Other(E::OffsetMetadataTooLarge))),
            (E::InvalidCommitOffsetSize, STABLE, failed(Other(E::InvalidCommitOffsetSize))),
            (E::GroupIdNotFound, STABLE, failed(Other(E::GroupIdNotFound))),
            (E::StaleMemberEpoch, STABLE, failed(Other(E::StaleMemberEpoch))),
            (
                E::RebalanceInProgress,
                STABLE,
                (Attempt::Failed(RebalanceInProgress), Lesson::Rejoin),
            ),
            (E::UnknownMemberId, REJOINING, failed(RebalanceInProgress)),
            (E::IllegalGeneration, REJOINING, failed(RebalanceInProgress)),
            (
                E::UnknownMemberId,
                STABLE,
                (
                    Attempt::Failed(CommitFailed(Some(E::UnknownMemberId))),
                    lost(E::UnknownMemberId, false),
                ),
            ),
            (
                E::IllegalGeneration,
                REJOINED,
                (
                    Attempt::Failed(CommitFailed(Some(E::IllegalGeneration))),
                    lost(E::IllegalGeneration, true),
                ),
            ),
        ];
        for (error, member, expected) in cases {
            assert_eq!(outcome([E::None, error], member), expected, "{error} {member:?}");
        }
    }

    #[test]
    fn before_2_5_a_rebalance_looks_like_any_failed_commit() {
        let old = Member { tells_rebalance: false, ..STABLE };
        let failure = CommitFailed(Some(E::RebalanceInProgress));
        let expected = (Attempt::Failed(failure), Lesson::Rejoin);
        assert_eq!(outcome([E::RebalanceInProgress], old), expected);
    }

    #[test]
    fn the_first_error_of_a_partition_decides() {
        let errors = [E::None, E::NotCoordinator, E::UnknownMemberId];
        let expected = Lesson::CoordinatorUnknown(E::NotCoordinator);
        assert_eq!(outcome(errors, STABLE).1, expected);
    }
}
