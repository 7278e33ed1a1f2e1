//! Members that do anything at any time, and coordinators that come and go: what must hold all the
//! same, and that a group finds together when they behave again.

use super::bench::*;
use crate::rng::NodeRng;
use acklab_vocab::api::*;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::*;
use acklab_vocab::trace::GroupState;
use std::collections::BTreeMap;

/// How many members play.
const MEMBERS: u32 = 4;
const SEEDS: u64 = 60;
const STEPS: usize = 250;

/// What a member knows.
#[derive(Clone, Debug, Default)]
struct Player {
    id: Option<MemberId>,
    generation: u32,
    /// A JoinGroup or SyncGroup of its own is parked.
    waits: bool,
    /// It has been told the generation, and whom to assign to if it leads.
    to_sync: Option<Vec<MemberId>>,
    is_stable: bool,
}

struct Play {
    bench: Bench,
    rng: NodeRng,
    players: BTreeMap<u32, Player>,
    leads: bool,
    isr_is_small: bool,
    /// Commits of members that were accepted.
    accepted: u32,
}

impl Play {
    fn new(text: &str, seed: u64) -> Play {
        Play {
            bench: Bench::with_isr(version(text), 1, &[1, 2]),
            rng: NodeRng::for_test(seed),
            players: (1..=MEMBERS).map(|who| (who, Player::default())).collect(),
            leads: true,
            isr_is_small: false,
            accepted: 0,
        }
    }

    fn learn(&mut self, answers: Answers) {
        for (who, response) in answers {
            let Some(player) = self.players.get_mut(&who) else { continue };
            match response {
                Response::JoinGroup(joined) => {
                    player.waits = false;
                    player.is_stable = false;
                    player.to_sync = None;
                    match joined.error {
                        ErrorCode::None => {
                            player.id = joined.member;
                            player.generation = joined.generation.0;
                            let members = joined.members.iter().map(|told| told.member);
                            player.to_sync = Some(members.collect());
                        }
                        ErrorCode::MemberIdRequired => player.id = joined.member,
                        ErrorCode::UnknownMemberId => player.id = None,
                        _ => {}
                    }
                }
                Response::SyncGroup(synced) => {
                    player.waits = false;
                    player.is_stable = synced.error.is_none();
                    if synced.error == ErrorCode::UnknownMemberId {
                        player.id = None;
                    }
                }
                Response::Heartbeat(beaten) => match beaten.error {
                    ErrorCode::None => {}
                    ErrorCode::UnknownMemberId => *player = Player::default(),
                    _ => player.is_stable = false,
                },
                _ => {}
            }
        }
    }

    fn ask(&mut self, who: u32, request: Request) {
        let answers = self.bench.ask(who, request);
        self.learn(answers);
    }

    fn join(&mut self, who: u32) {
        let id = self.players[&who].id;
        self.players.get_mut(&who).expect("a player").waits = true;
        self.ask(who, Request::JoinGroup(join_request(id)));
    }

    /// Asks for its assignment; a leader brings one partition for each member.
    fn sync(&mut self, who: u32) {
        let player = self.players.get_mut(&who).expect("a player");
        let (Some(id), Some(members)) = (player.id, player.to_sync.take()) else { return };
        player.waits = true;
        let assigned: Vec<(MemberId, [u16; 1])> =
            members.iter().enumerate().map(|(at, &member)| (member, [at as u16])).collect();
        let assigned: Vec<(MemberId, &[u16])> =
            assigned.iter().map(|(member, partitions)| (*member, &partitions[..])).collect();
        let generation = player.generation;
        self.ask(who, sync(generation, id, &assigned));
    }

    /// A commit that was not refused is from a member of the generation that the group has.
    fn commit(&mut self, who: u32) {
        let player = &self.players[&who];
        let said = player.id.map(|id| {
            let stale = self.rng.below(4) == 0;
            (player.generation.saturating_sub(u32::from(stale)), id)
        });
        let before = self.bench.rig.broker.group_view(GROUP);
        let offset = self.rng.below(1_000);
        let answers = self.bench.ask(who, commit(said, 0, offset));
        let is_refused = matches!(
            answers.as_slice(),
            [(_, Response::OffsetCommit(told))] if !told.partitions[0].1.is_none()
        );
        if is_refused {
            return;
        }
        match (said, before) {
            (Some((generation, id)), Some(group)) => {
                let is_member = group.members.iter().any(|member| member.member == id);
                assert!(is_member, "{id} is no member of {group:?}");
                assert_eq!(group.generation, Generation(generation));
                assert_ne!(group.state, GroupState::CompletingRebalance);
                self.accepted += 1;
            }
            (None, Some(group)) => assert_eq!(group.state, GroupState::Empty),
            (None, None) => {}
            (Some(said), None) => panic!("{said:?} committed to an unknown group"),
        }
    }

    fn pass(&mut self, millis: u64) {
        let now = self.bench.rig.now.0 / 1_000_000;
        let answers = self.bench.run_until(now + millis as i64);
        self.learn(answers);
    }

    fn replicate(&mut self) {
        if self.leads {
            let answers = self.bench.replicate();
            self.learn(answers);
        }
    }

    fn elect(&mut self, leads: bool) {
        self.leads = leads;
        self.isr_is_small = self.rng.below(3) == 0;
        let isr: &[u16] = if self.isr_is_small { &[1] } else { &[1, 2] };
        let answers = match leads {
            true => self.bench.elect(1, isr),
            false => self.bench.elect(2, &[2, 3]),
        };
        self.learn(answers);
        for player in self.players.values_mut() {
            player.waits = false;
        }
    }

    fn step(&mut self) {
        let who = 1 + self.rng.below(u64::from(MEMBERS)) as u32;
        let player = self.players[&who].clone();
        match self.rng.below(14) {
            0..=2 if !player.waits => self.join(who),
            3..=5 if !player.waits => self.sync(who),
            6 | 7 => {
                if let Some(id) = player.id {
                    self.ask(who, heartbeat(player.generation, id));
                }
            }
            8 | 9 => self.commit(who),
            10 => {
                if let Some(id) = player.id {
                    self.ask(who, leave(id));
                    *self.players.get_mut(&who).expect("a player") = Player::default();
                }
            }
            11 => {
                let millis = self.rng.below(4_000);
                self.pass(millis);
            }
            12 => self.replicate(),
            13 if self.rng.below(6) == 0 => {
                let leads = !self.leads;
                self.elect(leads);
            }
            _ => {}
        }
        self.check();
    }

    fn check(&self) {
        let Some(group) = self.bench.rig.broker.group_view(GROUP) else { return };
        let mut owned: Vec<TopicPartition> =
            group.members.iter().flat_map(|member| member.assignment.iter().copied()).collect();
        match group.state {
            GroupState::Stable => {
                let count = owned.len();
                owned.sort_unstable();
                owned.dedup();
                assert_eq!(owned.len(), count, "two owners in {group:?}");
                assert!(!group.members.is_empty(), "{group:?}");
            }
            GroupState::CompletingRebalance => assert!(!group.members.is_empty(), "{group:?}"),
            GroupState::Empty => assert!(group.members.is_empty(), "{group:?}"),
            _ => {}
        }
        if !group.members.is_empty() {
            let leads = |leader| group.members.iter().any(|member| member.member == leader);
            assert!(group.leader.is_some_and(leads), "{group:?}");
        }
    }

    /// Everybody behaves: joins when told to, asks for its assignment, sends heartbeats.
    fn behave(&mut self) {
        for who in 1..=MEMBERS {
            let player = self.players[&who].clone();
            if player.waits {
                continue;
            }
            if player.to_sync.is_some() {
                self.sync(who);
            } else if !player.is_stable {
                self.join(who);
            } else if let Some(id) = player.id {
                self.ask(who, heartbeat(player.generation, id));
            }
        }
        self.pass(500);
        self.replicate();
        self.check();
    }
}

#[test]
fn a_group_keeps_its_promises_and_finds_together_again() {
    for text in ["2.2", "3.9", "4.1", "4.2"] {
        let mut accepted = 0;
        for seed in 0..SEEDS {
            let mut play = Play::new(text, seed);
            for _ in 0..STEPS {
                play.step();
            }
            accepted += play.accepted;
            play.elect(true);
            // Whoever waited for a coordinator that is gone gives up, and joins anew.
            for player in play.players.values_mut() {
                *player = Player::default();
            }
            for _ in 0..400 {
                play.behave();
            }
            let group = play.bench.rig.broker.group_view(GROUP).expect("it is there");
            assert_eq!(group.state, GroupState::Stable, "{text} {seed}: {group:?}");
            assert_eq!(group.members.len() as u32, MEMBERS, "{text} {seed}: {group:?}");
            let all_stable = play.players.values().all(|player| player.is_stable);
            assert!(all_stable, "{text} {seed}: {:?}", play.players);
        }
        assert!(accepted > 100, "{text}: only {accepted} commits were accepted");
    }
}
