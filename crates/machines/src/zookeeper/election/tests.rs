use super::*;

const fn vote(epoch: u32, counter: u32, leader: u16) -> Vote {
    Vote { epoch, zxid: Zxid::new(epoch, counter), leader: ZooKeeperServerId(leader) }
}

const fn ballot(from: u16, vote: Vote, round: u64, state: PeerState) -> Ballot {
    Ballot { from: ZooKeeperServerId(from), vote, round, state }
}

use PeerState::{Following, Leading, Looking};

#[test]
fn votes_are_ordered_by_epoch_then_transaction_then_id() {
    let ascending =
        [vote(1, 5, 1), vote(1, 5, 3), vote(1, 6, 1), vote(2, 0, 1), vote(2, 0, 2), vote(2, 1, 1)];
    assert!(ascending.is_sorted());
    let older_history_of_a_newer_epoch =
        Vote { epoch: 3, zxid: Zxid::new(1, 1), leader: ZooKeeperServerId(1) };
    assert!(older_history_of_a_newer_epoch > vote(2, 9, 3), "the epoch comes first");
}

#[test]
fn a_better_vote_is_adopted_and_told_a_worse_one_is_not() {
    let mut election = Election::begin(5, 0, vote(1, 5, 2));
    let wait = FINALIZE_WAIT;
    assert_eq!(election.on_ballot(ballot(1, vote(1, 5, 1), 1, Looking)), Step::Wait(wait));
    assert_eq!(election.proposed(), vote(1, 5, 2));
    assert_eq!(election.on_ballot(ballot(3, vote(1, 6, 3), 1, Looking)), Step::Tell(wait));
    assert_eq!(election.proposed(), vote(1, 6, 3));
    assert_eq!(election.on_silence(), Step::Tell(wait * 2), "two of five are no quorum");
    assert_eq!(election.on_silence(), Step::Tell(wait * 4));
}

#[test]
fn a_quorum_decides_after_a_silence_and_a_better_vote_reopens() {
    let mut election = Election::begin(3, 0, vote(1, 5, 2));
    assert_eq!(election.on_ballot(ballot(1, vote(1, 5, 2), 1, Looking)), Step::Wait(FINALIZE_WAIT));
    let late = ballot(1, vote(1, 4, 1), 1, Looking);
    assert_eq!(election.on_ballot(late), Step::Wait(FINALIZE_WAIT), "a worse vote is dropped");
    assert_eq!(election.on_ballot(ballot(3, vote(1, 6, 3), 1, Looking)), Step::Tell(FINALIZE_WAIT));
    assert_eq!(election.on_silence(), Step::Decided(vote(1, 6, 3)), "3 and this one agree");
}

#[test]
fn rounds_are_caught_up_with_and_old_ones_ignored() {
    let mut election = Election::begin(3, 4, vote(1, 5, 2));
    assert_eq!(election.round(), 5);
    let old = ballot(3, vote(1, 9, 3), 4, Looking);
    assert_eq!(election.on_ballot(old), Step::Wait(FINALIZE_WAIT));
    assert_eq!(election.proposed(), vote(1, 5, 2));
    let new = ballot(1, vote(1, 1, 1), 8, Looking);
    assert_eq!(election.on_ballot(new), Step::Tell(FINALIZE_WAIT));
    assert_eq!((election.round(), election.proposed()), (8, vote(1, 5, 2)));
}

#[test]
fn an_ensemble_at_work_is_joined_when_its_leader_and_a_quorum_say_so() {
    let mut election = Election::begin(3, 0, vote(3, 9, 3));
    let led = vote(4, 0, 1);
    let follows = ballot(2, led, 7, Following);
    assert_eq!(election.on_ballot(follows), Step::Wait(FINALIZE_WAIT), "the leader is silent");
    let leads = ballot(1, led, 7, Leading);
    assert_eq!(election.on_ballot(leads), Step::Decided(led));
    assert_eq!(election.round(), 7);
}

#[test]
fn a_follower_of_a_dead_leader_convinces_nobody() {
    let mut election = Election::begin(3, 0, vote(3, 9, 3));
    for _ in 0..3 {
        for from in [1, 2] {
            let step = election.on_ballot(ballot(from, vote(4, 0, 3), 7, Following));
            assert_eq!(step, Step::Wait(FINALIZE_WAIT), "3 is this server, and not in round 7");
        }
    }
}

#[test]
fn a_server_learns_from_a_leader_of_its_own_round() {
    let mut election = Election::begin(3, 0, vote(1, 5, 1));
    let led = vote(1, 6, 3);
    election.on_ballot(ballot(3, led, 1, Looking));
    assert_eq!(election.on_ballot(ballot(3, led, 1, Leading)), Step::Wait(FINALIZE_WAIT));
    assert_eq!(election.on_silence(), Step::Decided(led));
}
