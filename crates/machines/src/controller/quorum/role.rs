//! The states of a voter (`EpochState` and its classes): each with its own struct, so that nothing
//! of one state can be left over in another.

use crate::disk::QuorumState;
use acklab_vocab::ids::{ControllerEpoch, ControllerId, MetadataOffset};

/// What a voter is in its epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Role {
    /// It knows an epoch, but no leader of it; it may have voted (`UnattachedState`).
    Unattached(Unattached),
    /// It asks whether an election would succeed (`ProspectiveState`, KIP-996).
    Prospective(Prospective),
    /// It asks for votes (`CandidateState`).
    Candidate(Candidate),
    /// It follows a leader (`FollowerState`).
    Follower(Follower),
    /// It leads (`LeaderState`).
    Leader(Leader),
    /// It led this epoch and no longer does (`ResignedState`).
    Resigned(Resigned),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Unattached {
    pub(super) voted_for: Option<ControllerId>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Prospective {
    /// The leader that it had followed, to which it returns if the election would fail.
    pub(super) leader: Option<ControllerId>,
    pub(super) voted_for: Option<ControllerId>,
    pub(super) votes: Votes,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Candidate {
    pub(super) votes: Votes,
    /// How many elections in a row, from 1.
    pub(super) retries: u32,
    /// It waits before it tries again.
    pub(super) backing_off: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Follower {
    pub(super) leader: ControllerId,
    /// A fetch of this epoch was answered (KIP-996: no pre-vote is granted then).
    pub(super) has_fetched: bool,
}

/// What a leader knows of another voter (`LeaderState.ReplicaState`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct VoterState {
    pub(super) id: ControllerId,
    /// Where it fetched last: everything before is on its disk. `None` before its first fetch of
    /// the epoch.
    pub(super) end_offset: Option<MetadataOffset>,
    /// It has fetched since the quorum was last checked.
    pub(super) has_fetched: bool,
    /// It is to be told of the epoch (BeginQuorumEpoch).
    pub(super) begin_due: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Leader {
    /// Offset of the epoch's first entry. Only the entries from here on commit what lies before
    /// them.
    pub(super) epoch_start: MetadataOffset,
    pub(super) voters: Vec<VoterState>,
    /// First offset not on the leader's own disk.
    pub(super) flushed: MetadataOffset,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Resigned {
    /// Voters that have not yet acknowledged the end of the epoch.
    pub(super) unacknowledged: Vec<ControllerId>,
    /// Whom it proposes, the most caught up first.
    pub(super) preferred_successors: Vec<ControllerId>,
}

/// Votes of one election (`EpochElection`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Votes {
    voters: usize,
    granted: Vec<ControllerId>,
    rejected: Vec<ControllerId>,
}

impl Votes {
    /// An election among so many voters, of whom `own` has voted for itself.
    pub(super) fn new(voters: usize, own: ControllerId) -> Self {
        Votes { voters, granted: vec![own], rejected: Vec::new() }
    }

    pub(super) fn record(&mut self, voter: ControllerId, granted: bool) {
        if !self.is_recorded(voter) {
            if granted { &mut self.granted } else { &mut self.rejected }.push(voter);
        }
    }

    pub(super) fn is_recorded(&self, voter: ControllerId) -> bool {
        self.granted.contains(&voter) || self.rejected.contains(&voter)
    }

    pub(super) fn is_won(&self) -> bool {
        self.granted.len() > self.voters / 2
    }

    /// A majority can no longer be had.
    pub(super) fn is_lost(&self) -> bool {
        self.voters - self.rejected.len() <= self.voters / 2
    }
}

impl Role {
    /// The leader as this voter knows it. A voter that has resigned names nobody.
    pub(in super::super) fn leader(&self, own: ControllerId) -> Option<ControllerId> {
        match self {
            Role::Unattached(_) | Role::Candidate(_) | Role::Resigned(_) => None,
            Role::Prospective(prospective) => prospective.leader,
            Role::Follower(follower) => Some(follower.leader),
            Role::Leader(_) => Some(own),
        }
    }

    /// In a word, for `acklab replay`.
    pub(in super::super) const fn name(&self) -> &'static str {
        match self {
            Role::Unattached(_) => "unattached",
            Role::Prospective(_) => "prospective",
            Role::Candidate(_) => "candidate",
            Role::Follower(_) => "follower",
            Role::Leader(_) => "leader",
            Role::Resigned(_) => "resigned",
        }
    }

    /// What `quorum-state` says of it. Having resigned is not remembered: the next life finds
    /// itself named as leader.
    pub(super) fn persisted(&self, own: ControllerId, epoch: ControllerEpoch) -> QuorumState {
        let (voted_for, leader) = match self {
            Role::Unattached(unattached) => (unattached.voted_for, None),
            Role::Prospective(prospective) => (prospective.voted_for, prospective.leader),
            Role::Candidate(_) => (Some(own), None),
            Role::Follower(follower) => (None, Some(follower.leader)),
            Role::Leader(_) | Role::Resigned(_) => (None, Some(own)),
        };
        QuorumState { epoch, voted_for, leader }
    }
}

/// What a voter looks at when it is asked for its vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct VoteQuestion {
    pub(super) candidate: ControllerId,
    /// The candidate's log holds at least what the voter's holds.
    pub(super) is_log_up_to_date: bool,
    pub(super) pre_vote: bool,
}

/// Whether a voter grants its vote in the epoch that it is in (`EpochState.canGrantVote`).
pub(super) fn can_grant_vote(role: &Role, question: VoteQuestion) -> bool {
    let VoteQuestion { candidate, is_log_up_to_date, pre_vote } = question;
    let unbound = |voted_for: Option<ControllerId>, leader: Option<ControllerId>| match voted_for {
        _ if pre_vote => is_log_up_to_date,
        Some(voted_for) => voted_for == candidate,
        None => leader.is_none() && is_log_up_to_date,
    };
    match role {
        Role::Unattached(unattached) => unbound(unattached.voted_for, None),
        Role::Prospective(prospective) => unbound(prospective.voted_for, prospective.leader),
        Role::Follower(follower) => pre_vote && is_log_up_to_date && !follower.has_fetched,
        Role::Candidate(_) | Role::Resigned(_) => pre_vote && is_log_up_to_date,
        Role::Leader(_) => false,
    }
}

/// The first offset that a majority does not have on disk, from each voter's end; `None` where too
/// few are known.
pub(super) fn majority_end(ends: &mut [Option<MetadataOffset>]) -> Option<MetadataOffset> {
    ends.sort_unstable_by(|a, b| b.cmp(a));
    ends.get(ends.len() / 2).copied().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ControllerId = ControllerId(1);
    const B: ControllerId = ControllerId(2);

    fn unattached(voted_for: Option<ControllerId>) -> Role {
        Role::Unattached(Unattached { voted_for })
    }

    fn prospective(leader: Option<ControllerId>, voted_for: Option<ControllerId>) -> Role {
        Role::Prospective(Prospective { leader, voted_for, votes: Votes::new(3, B) })
    }

    fn follower(has_fetched: bool) -> Role {
        Role::Follower(Follower { leader: B, has_fetched })
    }

    #[test]
    fn a_vote_is_granted_once_and_only_to_a_complete_log() {
        let resigned = Role::Resigned(Resigned {
            unacknowledged: Vec::new(),
            preferred_successors: Vec::new(),
        });
        let candidate =
            Role::Candidate(Candidate { votes: Votes::new(3, B), retries: 1, backing_off: false });
        let leader = Role::Leader(Leader {
            epoch_start: MetadataOffset(0),
            voters: Vec::new(),
            flushed: MetadataOffset(0),
        });
        // (role, granted: log complete, log short, pre-vote complete, pre-vote short)
        let cases = [
            (unattached(None), [true, false, true, false]),
            (unattached(Some(A)), [true, true, true, false]),
            (unattached(Some(B)), [false, false, true, false]),
            (prospective(None, None), [true, false, true, false]),
            (prospective(Some(B), None), [false, false, true, false]),
            (prospective(None, Some(B)), [false, false, true, false]),
            (follower(false), [false, false, true, false]),
            (follower(true), [false, false, false, false]),
            (candidate, [false, false, true, false]),
            (resigned, [false, false, true, false]),
            (leader, [false, false, false, false]),
        ];
        let questions = [(true, false), (false, false), (true, true), (false, true)];
        for (role, expected) in cases {
            let answers = questions.map(|(is_log_up_to_date, pre_vote)| {
                can_grant_vote(&role, VoteQuestion { candidate: A, is_log_up_to_date, pre_vote })
            });
            assert_eq!(answers, expected, "{role:?}");
        }
    }

    #[test]
    fn a_majority_decides() {
        let end = |offset| Some(MetadataOffset(offset));
        assert_eq!(majority_end(&mut [end(5)]), end(5));
        assert_eq!(majority_end(&mut [end(5), None, end(3)]), end(3));
        assert_eq!(majority_end(&mut [end(5), None, None]), None);
        assert_eq!(majority_end(&mut [end(5), end(9)]), end(5));
        let mut votes = Votes::new(3, A);
        assert!(!votes.is_won() && !votes.is_lost());
        votes.record(B, false);
        assert!(!votes.is_won() && !votes.is_lost());
        votes.record(B, true);
        assert!(!votes.is_won(), "a voter speaks once");
        votes.record(ControllerId(3), false);
        assert!(votes.is_lost());
    }
}
