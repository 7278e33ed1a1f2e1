//! Random lives and pauses: whatever happens, a partition is claimed only when nobody holds it, a consumer that has stopped
//! holds nothing, and the same seed gives the same history.

use super::world::{App, World, at, config, millis, node};
use crate::rng::NodeRng;
use acklab_vocab::config::BalancedLibrary;
use acklab_vocab::ids::{NodeId, TopicPartition};
use acklab_vocab::trace::TraceEvent;
use acklab_vocab::zookeeper::SessionId;
use std::collections::BTreeMap;

const MEMBERS: u64 = 4;

fn run(library: BalancedLibrary, seed: u64) -> World {
    let mut rng = NodeRng::for_test(seed);
    let mut world = World::new(seed, 6);
    for _ in 0..MEMBERS {
        let app = App { commits: seed.is_multiple_of(2), ..App::default() };
        let member = world.add(config(library), app);
        world.start(member, at(rng.below(3_000) as i64));
    }
    let mut when = at(5_000);
    for _ in 0..12 {
        when += millis(rng.below(9_000));
        let member = rng.below(MEMBERS) as usize;
        match rng.below(5) {
            0 | 1 => {
                world.kill(member, when);
                world.start(member, when + millis(rng.below(12_000)));
            }
            2 | 3 => world.pause(member, when, millis(rng.below(20_000))),
            _ => {
                world.close(member, when);
                world.kill(member, when + millis(30_000));
                world.start(member, when + millis(31_000));
            }
        }
        world.append(rng.below(6) as u16, 1 + rng.below(3) as usize);
    }
    world.run_until(when + millis(120_000));
    world
}

fn check(world: &World, context: &str) {
    let mut owners: BTreeMap<TopicPartition, NodeId> = BTreeMap::new();
    let mut claims = 0;
    for (when, _, fact) in &world.facts {
        match fact {
            TraceEvent::PartitionClaimed { partition, consumer, .. } => {
                let before = owners.insert(*partition, *consumer);
                assert_eq!(before, None, "{context}: {partition:?} at {when}");
                claims += 1;
            }
            TraceEvent::PartitionReleased { partition, consumer, .. } => {
                assert_eq!(owners.remove(partition), Some(*consumer), "{context} at {when}");
            }
            _ => {}
        }
    }
    assert!(claims > 6, "{context}: something has happened");
    // Whoever holds a znode at the end has a session that lives.
    let mut sessions: BTreeMap<SessionId, NodeId> = BTreeMap::new();
    for (_, _, fact) in &world.facts {
        match fact {
            TraceEvent::ZooKeeperSessionOpened { session, client, .. } => {
                sessions.insert(*session, *client);
            }
            TraceEvent::ZooKeeperSessionEnded { session, .. } => _ = sessions.remove(session),
            _ => {}
        }
    }
    let lives = |owner: &NodeId| sessions.values().any(|client| client == owner);
    assert!(owners.values().all(lives), "{context}");
    for member in 0..MEMBERS as usize {
        // Raised to the application at most once for a life: the application ends then.
        assert!(world.raised(member).len() <= 13, "{context}: {:?}", node(member));
    }
}

#[test]
fn pykafka_claims_only_what_is_free() {
    for seed in 0..12 {
        check(&run(BalancedLibrary::Pykafka, seed), &format!("seed {seed}"));
    }
}

#[test]
fn the_high_level_consumer_claims_only_what_is_free() {
    for seed in 0..12 {
        check(&run(BalancedLibrary::HighLevel, seed), &format!("seed {seed}"));
    }
}

#[test]
fn the_same_seed_gives_the_same_history() {
    for library in [BalancedLibrary::Pykafka, BalancedLibrary::HighLevel] {
        let (one, two) = (run(library, 7), run(library, 7));
        assert_eq!(one.facts, two.facts);
        assert_eq!(one.reports, two.reports);
    }
}
