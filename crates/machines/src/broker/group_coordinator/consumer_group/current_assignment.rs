//! The reconciliation of one member: from what it owns to what it is to own, without ever taking a
//! partition that another still has.
//!
//! Mirrors `CurrentAssignmentBuilder` (KIP-848). A member that has to give up partitions stays in
//! its epoch until its heartbeat shows that it has; partitions of its target that others have not
//! given up are left out until they have.
//!
//! Left out: the `UNKNOWN` state of a downgraded coordinator, and the check against a changed
//! subscription that 4.1 added (a topic that the member no longer subscribes to leaves its target
//! in the same heartbeat anyway).

use acklab_vocab::group::{CurrentAssignment, MemberState};
use acklab_vocab::ids::{Generation, TopicPartition};
use std::collections::BTreeSet;

/// What a member is to be reconciled to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reconciliation<'a> {
    /// Epoch of the target assignment.
    pub(super) target_epoch: Generation,
    /// What the member is to own, ascending.
    pub(super) target: &'a [TopicPartition],
    /// What the member says that it owns, if this heartbeat says it.
    pub(super) owned: Option<&'a [TopicPartition]>,
}

impl Reconciliation<'_> {
    /// The member's next state, or its present one where it cannot go on. `is_taken`: some member
    /// has the partition, or has not given it up.
    pub(super) fn next(
        &self,
        current: &CurrentAssignment,
        is_taken: impl Fn(TopicPartition) -> bool,
    ) -> CurrentAssignment {
        match current.state {
            MemberState::Stable if current.epoch == self.target_epoch => current.clone(),
            MemberState::Stable | MemberState::UnreleasedPartitions => {
                self.toward_target(current, current.epoch, is_taken)
            }
            MemberState::UnrevokedPartitions if self.owns_any(&current.pending_revocation) => {
                current.clone()
            }
            MemberState::UnrevokedPartitions => {
                self.toward_target(current, current.epoch.next(), is_taken)
            }
        }
    }

    /// Without a word from the member it may still own what it was to give up.
    fn owns_any(&self, revoked: &[TopicPartition]) -> bool {
        let Some(owned) = self.owned else { return true };
        owned.iter().any(|partition| revoked.contains(partition))
    }

    fn toward_target(
        &self,
        current: &CurrentAssignment,
        epoch: Generation,
        is_taken: impl Fn(TopicPartition) -> bool,
    ) -> CurrentAssignment {
        let target: BTreeSet<TopicPartition> = self.target.iter().copied().collect();
        let (kept, revoked): (BTreeSet<_>, Vec<_>) = {
            let (kept, revoked): (Vec<_>, Vec<_>) =
                current.assigned.iter().copied().partition(|partition| target.contains(partition));
            (kept.into_iter().collect(), revoked)
        };
        if !revoked.is_empty() && self.owns_any(&revoked) {
            return CurrentAssignment {
                epoch,
                previous_epoch: current.epoch,
                state: MemberState::UnrevokedPartitions,
                assigned: kept.into_iter().collect(),
                pending_revocation: revoked.into(),
                away: false,
            };
        }
        let wanted = target.difference(&kept).copied();
        let (unreleased, free): (Vec<_>, Vec<_>) =
            wanted.partition(|&partition| is_taken(partition));
        let state = match unreleased.is_empty() {
            true => MemberState::Stable,
            false => MemberState::UnreleasedPartitions,
        };
        let assigned: BTreeSet<TopicPartition> = kept.into_iter().chain(free).collect();
        CurrentAssignment {
            epoch: self.target_epoch,
            previous_epoch: current.epoch,
            state,
            assigned: assigned.into_iter().collect(),
            pending_revocation: [].into(),
            away: false,
        }
    }
}
