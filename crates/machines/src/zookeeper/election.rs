//! Who leads: `FastLeaderElection`. Pure: votes in, votes and a decision out.
//!
//! A server votes for the best server that it has heard of: of the newest epoch, then with the
//! newest transaction, then of the highest id. When a quorum votes as it does, it waits for a
//! better vote for a while and then decides. One that finds an ensemble at work joins it.

use acklab_vocab::api::PeerState;
use acklab_vocab::ids::ZooKeeperServerId;
use acklab_vocab::time::SimDuration;
use acklab_vocab::zookeeper::Zxid;
use std::collections::BTreeMap;

/// `finalizeWait`: how long a decided election waits for a better vote.
pub(super) const FINALIZE_WAIT: SimDuration = SimDuration::from_millis(200);
/// `maxNotificationInterval`
const MAX_NOTIFICATION_INTERVAL: SimDuration = SimDuration::from_secs(60);

/// Whom a server votes for. Ordered as votes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Vote {
    /// `currentEpoch` of the one voted for.
    pub epoch: u32,
    /// Its newest transaction.
    pub zxid: Zxid,
    /// Who.
    pub leader: ZooKeeperServerId,
}

/// A vote as it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ballot {
    pub from: ZooKeeperServerId,
    pub vote: Vote,
    /// The election round of the one who tells.
    pub round: u64,
    pub state: PeerState,
}

/// What an election asks for after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Wait for votes for so long.
    Wait(SimDuration),
    /// Tell everybody whom this server votes for, then wait.
    Tell(SimDuration),
    /// Follow this vote, or lead by it.
    Decided(Vote),
}

/// An election under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Election {
    me: ZooKeeperServerId,
    quorum: usize,
    /// `logicalclock`
    round: u64,
    /// The vote for itself.
    own: Vote,
    proposed: Vote,
    received: BTreeMap<ZooKeeperServerId, (Vote, u64)>,
    /// Of servers that follow or lead.
    outside: BTreeMap<ZooKeeperServerId, Ballot>,
    interval: SimDuration,
    finalizing: bool,
}

impl Election {
    /// Begins the round after `last_round`. Its vote is to be told to everybody.
    pub(super) fn begin(servers: usize, last_round: u64, own: Vote) -> Election {
        let mut election = Election {
            me: own.leader,
            quorum: servers / 2 + 1,
            round: last_round + 1,
            own,
            proposed: own,
            received: BTreeMap::new(),
            outside: BTreeMap::new(),
            interval: FINALIZE_WAIT,
            finalizing: false,
        };
        election.propose(own);
        election
    }

    pub(super) const fn round(&self) -> u64 {
        self.round
    }

    pub(super) const fn proposed(&self) -> Vote {
        self.proposed
    }

    pub(super) const fn interval(&self) -> SimDuration {
        self.interval
    }

    fn propose(&mut self, vote: Vote) {
        self.proposed = vote;
        self.received.insert(self.me, (vote, self.round));
    }

    /// Nothing has come for as long as it wanted to wait.
    pub(super) fn on_silence(&mut self) -> Step {
        if self.finalizing {
            return Step::Decided(self.proposed);
        }
        let waited = self.interval;
        self.interval = (waited * 2).min(MAX_NOTIFICATION_INTERVAL);
        Step::Tell(self.interval)
    }

    pub(super) fn on_ballot(&mut self, ballot: Ballot) -> Step {
        if self.finalizing {
            if ballot.vote <= self.proposed {
                return Step::Wait(FINALIZE_WAIT);
            }
            self.finalizing = false;
        }
        match ballot.state {
            PeerState::Looking => self.on_looking(ballot),
            PeerState::Following | PeerState::Leading => self.on_settled(ballot),
        }
    }

    fn on_looking(&mut self, ballot: Ballot) -> Step {
        let mut tell = false;
        if ballot.round > self.round {
            self.round = ballot.round;
            self.received.clear();
            self.propose(ballot.vote.max(self.own));
            tell = true;
        } else if ballot.round < self.round {
            return Step::Wait(self.interval);
        } else if ballot.vote > self.proposed {
            self.propose(ballot.vote);
            tell = true;
        }
        self.received.insert(ballot.from, (ballot.vote, ballot.round));
        let agreed = (self.proposed, self.round);
        self.finalizing = self.count(|&vote| vote == agreed) >= self.quorum;
        let wait = if self.finalizing { FINALIZE_WAIT } else { self.interval };
        if tell { Step::Tell(wait) } else { Step::Wait(wait) }
    }

    fn on_settled(&mut self, ballot: Ballot) -> Step {
        if ballot.round == self.round {
            let vote = (ballot.vote, ballot.round);
            self.received.insert(ballot.from, vote);
            if self.count(|&told| told == vote) >= self.quorum && self.is_led(&ballot) {
                return Step::Decided(ballot.vote);
            }
        }
        self.outside.insert(ballot.from, ballot);
        let same = |told: &&Ballot| {
            told.vote.leader == ballot.vote.leader && told.vote.epoch == ballot.vote.epoch
        };
        let supporters = self.outside.values().filter(same).count();
        if supporters >= self.quorum && self.is_led(&ballot) {
            self.round = ballot.round;
            return Step::Decided(ballot.vote);
        }
        Step::Wait(self.interval)
    }

    fn count(&self, is_counted: impl Fn(&(Vote, u64)) -> bool) -> usize {
        self.received.values().filter(|vote| is_counted(vote)).count()
    }

    /// The one voted for has said itself that it leads (`checkLeader`).
    fn is_led(&self, ballot: &Ballot) -> bool {
        if ballot.vote.leader == self.me {
            return ballot.round == self.round;
        }
        let leader = self.outside.get(&ballot.vote.leader);
        leader.is_some_and(|told| told.state == PeerState::Leading)
    }
}

#[cfg(test)]
mod tests;
