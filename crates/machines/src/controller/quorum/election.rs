//! Elections: votes asked and given, the announcements of a new leader and of one that resigns, and
//! the timeouts that start it all (`handleVoteRequest`, `handleBeginQuorumEpochRequest`,
//! `handleEndQuorumEpochRequest`, `pollCurrentState`).

use super::role::{Role, Unattached, VoteQuestion, can_grant_vote};
use super::{ControllerCx, ControllerTimer, Quorum, log};
use acklab_vocab::api::{
    BeginQuorumEpochRequest, BeginQuorumEpochResponse, EndQuorumEpochRequest,
    EndQuorumEpochResponse, KnownController, VoteRequest, VoteResponse,
};
use acklab_vocab::ids::{ControllerEpoch, ControllerId};
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::time::SimDuration;

/// Unit of the wait between two elections (`KafkaRaftClient.RETRY_BACKOFF_BASE_MS`).
const ELECTION_BACKOFF_BASE: SimDuration = SimDuration::from_millis(100);

impl Quorum {
    pub(in super::super) fn on_vote(
        &mut self,
        cx: &mut ControllerCx<'_>,
        request: &VoteRequest,
    ) -> VoteResponse {
        let answer = |quorum: &Quorum, granted| VoteResponse {
            voter: quorum.id,
            granted,
            controller: quorum.known_controller(),
        };
        if request.epoch < self.epoch {
            return answer(self, false);
        }
        if request.epoch > self.epoch {
            self.become_unattached(cx, request.epoch);
        }
        let own_log = &cx.disk().metadata_log;
        let own_end = (log::last_epoch(own_log.entries()), own_log.end_offset());
        let question = VoteQuestion {
            candidate: request.candidate,
            is_log_up_to_date: (request.last_epoch, request.last_epoch_end_offset) >= own_end,
            pre_vote: request.pre_vote,
        };
        let granted = can_grant_vote(&self.role, question);
        if granted && !request.pre_vote {
            self.vote_for(cx, request.candidate);
        }
        answer(self, granted)
    }

    fn vote_for(&mut self, cx: &mut ControllerCx<'_>, candidate: ControllerId) {
        match &mut self.role {
            Role::Unattached(Unattached { voted_for: Some(_) }) => {}
            Role::Unattached(unattached) => {
                unattached.voted_for = Some(candidate);
                self.persist(cx);
                self.reset_election_timeout(cx);
            }
            Role::Prospective(prospective) => {
                prospective.voted_for = Some(candidate);
                self.persist(cx);
            }
            Role::Candidate(_) | Role::Follower(_) | Role::Leader(_) | Role::Resigned(_) => {
                unreachable!("only a voter without a leader gives its vote")
            }
        }
    }

    pub(super) fn on_vote_response(&mut self, cx: &mut ControllerCx<'_>, response: &VoteResponse) {
        if !self.continues_with(cx, response.controller) {
            return;
        }
        match &mut self.role {
            Role::Prospective(prospective) => {
                prospective.votes.record(response.voter, response.granted);
            }
            Role::Candidate(candidate) => {
                candidate.votes.record(response.voter, response.granted);
            }
            Role::Unattached(_) | Role::Follower(_) | Role::Leader(_) | Role::Resigned(_) => return,
        }
        self.conclude_election(cx);
    }

    /// Acts on the votes, if they decide.
    pub(super) fn conclude_election(&mut self, cx: &mut ControllerCx<'_>) {
        match &self.role {
            Role::Prospective(prospective) if prospective.votes.is_won() => {
                self.become_candidate(cx);
            }
            Role::Prospective(prospective) if prospective.votes.is_lost() => {
                self.give_up_prospect(cx);
            }
            Role::Candidate(candidate) if candidate.votes.is_won() => self.become_leader(cx),
            Role::Candidate(candidate) if candidate.votes.is_lost() && !candidate.backing_off => {
                // With pre-vote the candidate waits for the end of its timeout; without, it waits a
                // random time.
                if !self.config.rules.has(ProtocolRule::PreVote) {
                    self.back_off(cx);
                }
            }
            Role::Unattached(_)
            | Role::Prospective(_)
            | Role::Candidate(_)
            | Role::Follower(_)
            | Role::Leader(_)
            | Role::Resigned(_) => {}
        }
    }

    /// Back to the leader that it had, or to none.
    fn give_up_prospect(&mut self, cx: &mut ControllerCx<'_>) {
        let Role::Prospective(prospective) = &self.role else { return };
        if let Some(leader) = prospective.leader {
            self.become_follower(cx, self.epoch, leader);
        } else {
            let voted_for = prospective.voted_for;
            self.enter(cx, self.epoch, Role::Unattached(Unattached { voted_for }));
            self.reset_election_timeout(cx);
        }
    }

    fn back_off(&mut self, cx: &mut ControllerCx<'_>) {
        let Role::Candidate(candidate) = &mut self.role else { return };
        candidate.backing_off = true;
        let bound = 2_u64 << (candidate.retries - 1).min(20);
        let backoff = ELECTION_BACKOFF_BASE * cx.rng().below(bound);
        let due = cx.now() + backoff.min(self.config.quorum_election_backoff_max);
        self.election.set(cx, due);
    }

    pub(in super::super) fn on_begin_quorum_epoch(
        &mut self,
        cx: &mut ControllerCx<'_>,
        request: &BeginQuorumEpochRequest,
    ) -> BeginQuorumEpochResponse {
        if request.epoch >= self.epoch {
            self.learn_leader(cx, request.epoch, Some(request.leader));
        }
        BeginQuorumEpochResponse { voter: self.id, controller: self.known_controller() }
    }

    pub(super) fn on_begin_response(
        &mut self,
        cx: &mut ControllerCx<'_>,
        response: &BeginQuorumEpochResponse,
    ) {
        if !self.continues_with(cx, response.controller) {
            return;
        }
        if let Role::Leader(leader) = &mut self.role
            && let Some(voter) = leader.voters.iter_mut().find(|voter| voter.id == response.voter)
        {
            voter.begin_due = false;
        }
    }

    pub(in super::super) fn on_end_quorum_epoch(
        &mut self,
        cx: &mut ControllerCx<'_>,
        request: &EndQuorumEpochRequest,
    ) -> EndQuorumEpochResponse {
        if request.epoch >= self.epoch {
            self.learn_leader(cx, request.epoch, Some(request.leader));
            if let Role::Follower(follower) = &self.role
                && follower.leader == request.leader
            {
                let successors = &request.preferred_successors;
                let position = successors.iter().position(|&candidate| candidate == self.id);
                let backoff = successor_backoff(
                    position.unwrap_or(successors.len()),
                    successors.len(),
                    self.config.quorum_election_backoff_max,
                );
                let due = cx.now() + backoff;
                self.fetch_timeout.set(cx, due);
            }
        }
        EndQuorumEpochResponse { controller: self.known_controller() }
    }

    pub(super) fn on_end_response(
        &mut self,
        cx: &mut ControllerCx<'_>,
        from: ControllerId,
        known: KnownController,
    ) {
        if !self.continues_with(cx, known) {
            return;
        }
        if let Role::Resigned(resigned) = &mut self.role {
            resigned.unacknowledged.retain(|voter| *voter != from);
        }
    }

    /// Takes in what a response says of the quorum. Whether the response still concerns this
    /// voter's state (`maybeHandleCommonResponse`).
    pub(super) fn continues_with(
        &mut self,
        cx: &mut ControllerCx<'_>,
        known: KnownController,
    ) -> bool {
        if known.epoch < self.epoch {
            return false;
        }
        let was = self.epoch;
        self.learn_leader(cx, known.epoch, known.leader);
        known.epoch == was
    }

    /// Takes in an epoch and its leader (`maybeTransition`). A message that names this voter as the
    /// leader of an epoch that it does not lead speaks of an earlier life, and names nobody.
    pub(super) fn learn_leader(
        &mut self,
        cx: &mut ControllerCx<'_>,
        epoch: ControllerEpoch,
        leader: Option<ControllerId>,
    ) {
        let leader = leader.filter(|&leader| leader != self.id);
        match leader {
            Some(leader) if epoch > self.epoch => self.become_follower(cx, epoch, leader),
            None if epoch > self.epoch => self.become_unattached(cx, epoch),
            Some(leader) if epoch == self.epoch && self.lacks_leader() => {
                self.become_follower(cx, epoch, leader);
            }
            Some(_) | None => {}
        }
    }

    fn lacks_leader(&self) -> bool {
        match &self.role {
            Role::Unattached(_) | Role::Candidate(_) => true,
            Role::Prospective(prospective) => prospective.leader.is_none(),
            Role::Follower(_) | Role::Leader(_) | Role::Resigned(_) => false,
        }
    }

    pub(in super::super) fn on_election_timer(&mut self, cx: &mut ControllerCx<'_>) {
        if !self.election.fired(cx) {
            return;
        }
        let pre_vote = self.config.rules.has(ProtocolRule::PreVote);
        match &self.role {
            Role::Unattached(_) => self.stand_for_election(cx),
            Role::Prospective(_) => self.give_up_prospect(cx),
            Role::Candidate(_) if pre_vote => self.become_prospective(cx),
            Role::Candidate(candidate) if candidate.backing_off => self.become_candidate(cx),
            Role::Candidate(_) => self.back_off(cx),
            Role::Resigned(_) if pre_vote => {
                self.become_unattached(cx, ControllerEpoch(self.epoch.0 + 1));
            }
            Role::Resigned(_) => self.become_candidate(cx),
            Role::Follower(_) | Role::Leader(_) => {}
        }
    }

    pub(in super::super) fn on_fetch_timer(&mut self, cx: &mut ControllerCx<'_>) {
        if self.fetch_timeout.fired(cx) && matches!(self.role, Role::Follower(_)) {
            self.stand_for_election(cx);
        }
    }

    pub(in super::super) fn on_check_quorum_timer(&mut self, cx: &mut ControllerCx<'_>) {
        if self.check_quorum.fired(cx) {
            self.resign(cx);
        }
    }

    /// Tells every voter again who leads, in case one has missed it.
    pub(in super::super) fn on_begin_quorum_epoch_timer(&mut self, cx: &mut ControllerCx<'_>) {
        if let Role::Leader(leader) = &mut self.role {
            leader.voters.iter_mut().for_each(|voter| voter.begin_due = true);
            let period = self.config.quorum_fetch_timeout / 2;
            cx.set_timer_after(ControllerTimer::BeginQuorumEpoch, period);
        }
    }

    fn stand_for_election(&mut self, cx: &mut ControllerCx<'_>) {
        if self.config.rules.has(ProtocolRule::PreVote) {
            self.become_prospective(cx);
        } else {
            self.become_candidate(cx);
        }
    }
}

/// How long a follower lets better candidates go first after its leader has resigned
/// (`strictExponentialElectionBackoffMs`): the first of the preferred successors does not wait.
fn successor_backoff(position: usize, successors: usize, max: SimDuration) -> SimDuration {
    if position == 0 && successors > 0 {
        return SimDuration::ZERO;
    }
    if position >= successors {
        return max;
    }
    let base = SimDuration(max.0 >> (successors - 1).min(63));
    (base * (1 << (position - 1).min(63))).min(max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_caught_up_successor_goes_first() {
        let max = SimDuration::from_millis(1000);
        let backoff =
            |position, successors| successor_backoff(position, successors, max).as_millis();
        assert_eq!(
            [backoff(0, 4), backoff(1, 4), backoff(2, 4), backoff(3, 4)],
            [0, 125, 250, 500]
        );
        assert_eq!([backoff(4, 4), backoff(0, 0)], [1000, 1000]);
    }
}
