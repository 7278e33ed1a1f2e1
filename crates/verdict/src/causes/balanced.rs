//! Why consumers that share partitions out by ZooKeeper processed a copy again (kafka-semantics.md,
//! section 7).
//!
//! What differs from members of a group with a coordinator: ZooKeeper names an owner, and nothing
//! keeps a former one from reading and committing. So it matters what had become of the old owner's
//! znode when the new owner took its position, and whether the old owner had processed the copy by
//! then or did so afterwards, beside the new one.

use acklab_vocab::trace::BalanceOutcome;

use super::groups::Scope;
use crate::cause::Cause;
use crate::groups::coordination::{Claim, ClaimChange};
use crate::groups::reading::{Jump, Moment};

/// What decides the cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handover {
    /// It is one and the same consumer.
    pub is_same: bool,
    /// What had become of the old owner's znode when the new owner's position was taken.
    pub claim: Option<ClaimChange>,
    /// When its znode went, if it did.
    pub lost_at: Option<Moment>,
    /// The old owner had processed the copy before that.
    pub processed_before: bool,
    /// The old owner had given up a rebalance, and had begun no other.
    pub gave_up: bool,
    /// The old owner's znode went after the new owner's position had been taken, and before that one
    /// processed the copy.
    pub released_later: bool,
}

/// Why the old owner's work was not committed when the new owner took its position.
#[must_use]
pub fn cause_of(handover: Handover) -> Cause {
    let Handover { processed_before, gave_up, .. } = handover;
    match handover.claim {
        Some(ClaimChange::Expired) if processed_before => Cause::ZooKeeperSessionExpired,
        Some(ClaimChange::Expired) => Cause::TwoOwnersAfterExpiry,
        _ if handover.is_same => Cause::RebalancedBeforeCommit,
        Some(ClaimChange::Released) if processed_before => Cause::RebalancedBeforeCommit,
        Some(ClaimChange::Released) if gave_up => Cause::TwoOwnersAfterFailedRebalance,
        Some(ClaimChange::Released) => Cause::TwoOwnersInRebalance,
        Some(ClaimChange::Claimed) | None if handover.released_later => {
            Cause::OffsetReadBeforeRelease
        }
        Some(ClaimChange::Claimed) => Cause::TwoOwnersByLeaderName,
        None => Cause::Unexplained,
    }
}

/// How a partition went from the consumer with the position `old` to the one with the position
/// `new`; `work` is when each of them processed the copy.
#[must_use]
pub fn handover(scope: &Scope<'_>, old: &Jump, new: &Jump, work: [Moment; 2]) -> Handover {
    let is_same = old.node == new.node;
    let all = || scope.track.claims.iter().filter(|claim| claim.node == old.node);
    let is_lost = |claim: &&Claim| claim.change != ClaimChange::Claimed;
    let before = || all().filter(|claim| claim.moment < new.moment);
    // A consumer that comes back has claimed the partition again by then.
    let within = |claim: &&Claim| claim.moment > old.moment && claim.change != ClaimChange::Claimed;
    let last = if is_same { before().rfind(within) } else { before().next_back() };
    let [worked, worked_again] = work;
    let attempts = scope.member(old.node).map(|of| of.attempts.as_slice()).unwrap_or_default();
    let tried = attempts.partition_point(|(moment, ..)| *moment < worked);
    let has_failed = tried > 0 && attempts[tried - 1].2 != BalanceOutcome::Done;
    let is_at_it = attempts.get(tried).is_some_and(|(_, attempt, _)| *attempt > 0);
    let mut later = all().filter(|of| new.moment < of.moment && of.moment < worked_again);
    Handover {
        is_same,
        claim: last.map(|claim| claim.change),
        lost_at: last.filter(is_lost).map(|claim| claim.moment),
        processed_before: worked < new.moment,
        gave_up: has_failed && !is_at_it,
        released_later: later.any(|claim| is_lost(&claim)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Another consumer's position; the claim, `processed_before`, `gave_up`, `released_later`.
    #[track_caller]
    fn check(
        claim: Option<ClaimChange>,
        [processed_before, gave_up, released_later]: [bool; 3],
        expected: Cause,
    ) {
        let (is_same, lost_at) = (false, None);
        let handover =
            Handover { is_same, claim, lost_at, processed_before, gave_up, released_later };
        assert_eq!(cause_of(handover), expected, "{handover:?}");
    }

    #[test]
    fn what_became_of_the_claim_tells_the_cause() {
        let expired = Some(ClaimChange::Expired);
        let (released, held) = (Some(ClaimChange::Released), Some(ClaimChange::Claimed));
        check(expired, [true, false, false], Cause::ZooKeeperSessionExpired);
        check(expired, [false, true, false], Cause::TwoOwnersAfterExpiry);
        check(released, [true, true, false], Cause::RebalancedBeforeCommit);
        check(released, [false, true, false], Cause::TwoOwnersAfterFailedRebalance);
        check(released, [false, false, true], Cause::TwoOwnersInRebalance);
        check(held, [true, false, true], Cause::OffsetReadBeforeRelease);
        check(held, [true, false, false], Cause::TwoOwnersByLeaderName);
        check(None, [false, false, true], Cause::OffsetReadBeforeRelease);
        check(None, [true, false, false], Cause::Unexplained);
    }
}
