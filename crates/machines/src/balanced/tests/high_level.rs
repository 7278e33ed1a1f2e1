//! The high-level consumer: how it rebalances, fails, recovers, and where it keeps its offsets.

use super::history::is_about;
use super::world::{App, World, at, config, millis, node, partition};
use crate::consumer::ConsumerReport;
use acklab_vocab::config::BalancedLibrary::HighLevel;
use acklab_vocab::config::{BalancedConsumerConfig, OffsetsStorage};
use acklab_vocab::ids::Offset;
use acklab_vocab::trace::BalanceOutcome::{Done, Owned};
use acklab_vocab::trace::ClientException::ConsumerRebalanceFailedException;
use acklab_vocab::trace::{TraceEvent, ZooKeeperState};

fn add(world: &mut World) -> usize {
    world.add(config(HighLevel), App::default())
}

fn long_lived() -> BalancedConsumerConfig {
    BalancedConsumerConfig { session_timeout: millis(20_000), ..config(HighLevel) }
}

#[test]
fn one_consumer_takes_everything_and_reads_it() {
    let mut world = World::new(1, 3);
    world.append(0, 2);
    world.append(2, 1);
    let only = add(&mut world);
    world.start(only, at(0));
    world.run_until(at(2_000));
    assert_eq!(world.shares(), [3]);
    assert!(world.consumer(only).is_settled());
    let mut read: Vec<_> = world.handed_out().into_iter().map(|it| (it.2, it.3)).collect();
    read.sort_unstable();
    let expected =
        [(partition(0), Offset(0)), (partition(0), Offset(1)), (partition(2), Offset(0))];
    assert_eq!(read, expected);
}

#[test]
fn members_come_and_go() {
    let mut world = World::new(2, 10);
    let members = [add(&mut world), add(&mut world), add(&mut world)];
    world.start(members[0], at(0));
    world.start(members[1], at(10_000));
    world.start(members[2], at(20_000));
    world.run_until(at(40_000));
    // In the order of their starts, for the same host.
    assert_eq!(world.shares(), [4, 3, 3]);
    world.close(members[0], at(50_000));
    world.run_until(at(60_000));
    assert_eq!(world.shares(), [0, 5, 5]);
    world.kill(members[1], at(70_000));
    world.run_until(at(90_000));
    assert_eq!(world.shares(), [0, 0, 10]);
    assert!(world.consumer(members[2]).is_in_place());
}

/// Known outcome 38: four attempts, and the exception eight seconds after the first.
#[test]
fn a_start_against_a_living_owner_fails_after_eight_seconds() {
    let mut world = World::new(3, 10);
    let (dead, newcomer) = (world.add(long_lived(), App::default()), add(&mut world));
    world.start(dead, at(0));
    world.kill(dead, at(5_000));
    world.start(newcomer, at(6_000));
    world.run_until(at(16_000));
    let attempts = world.attempts(newcomer);
    assert_eq!(attempts.iter().map(|it| it.1).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert!(attempts.iter().all(|it| matches!(it.2, Owned(_))), "{attempts:?}");
    for pair in attempts.windows(2) {
        assert!(is_about(pair[1].0.since(pair[0].0), millis(2_000)), "{attempts:?}");
    }
    assert_eq!(world.raised(newcomer), [ConsumerRebalanceFailedException]);
    let raised = world.exceptions(newcomer)[0];
    assert!(raised.2 && is_about(raised.0.since(attempts[0].0), millis(8_000)));
    // What it had claimed it has given up again.
    assert_eq!(world.shares(), [10, 0]);
}

/// Known outcome 38: at a restart it depends on when the dead session ends.
#[test]
fn a_restart_at_once_may_or_may_not_succeed() {
    for seed in 0..6 {
        let mut world = World::new(seed, 10);
        let (killed, survivor) = (add(&mut world), add(&mut world));
        // The list is then survivor, dead, restarted: the last takes what the dead one owns.
        world.start(survivor, at(0));
        world.start(killed, at(5_000));
        world.kill(killed, at(30_000));
        world.start(killed, at(30_100));
        world.run_until(at(39_000));
        let after = world.attempts(killed).into_iter().filter(|it| it.0 > at(30_000));
        // Those of the start; later ones are another thread's.
        let after: Vec<_> = after.take(4).collect();
        let done = after.iter().any(|it| it.2 == Done);
        let failed = world.raised(killed) == [ConsumerRebalanceFailedException];
        assert!(done != failed, "seed {seed}: {after:?}");
        assert!(matches!(after[0].2, Owned(_)), "seed {seed}: {after:?}");
    }
}

#[test]
fn a_failure_in_the_watchers_thread_is_logged_and_the_next_event_repairs_it() {
    let mut world = World::new(4, 10);
    let (old, dead) = (add(&mut world), world.add(long_lived(), App::default()));
    let newcomer = add(&mut world);
    world.start(dead, at(0));
    world.start(old, at(5_000));
    world.kill(dead, at(30_000));
    // The list is now dead, old, newcomer: the old one is to take partitions that the dead one owns.
    world.start(newcomer, at(31_000));
    world.run_until(at(41_000));
    let logged = world.exceptions(old);
    assert_eq!(
        logged.iter().map(|it| (it.1, it.2)).collect::<Vec<_>>(),
        [(ConsumerRebalanceFailedException, false)]
    );
    assert_eq!(world.consumer(old).positions().count(), 0, "it reads nothing");
    assert!(!world.consumer(old).is_in_place());
    world.run_until(at(80_000));
    assert!(world.consumer(old).is_in_place());
    assert!(world.raised(old).is_empty());
    assert!(world.shares()[0] >= 5);
}

#[test]
fn an_expired_session_is_replaced_and_the_share_taken_again() {
    let mut world = World::new(5, 4);
    let (paused, other) = (add(&mut world), add(&mut world));
    world.start(paused, at(0));
    world.start(other, at(3_000));
    world.pause(paused, at(30_000), millis(15_000));
    world.run_until(at(44_000));
    assert_eq!(world.shares(), [0, 4]);
    world.run_until(at(80_000));
    let expired = TraceEvent::ZooKeeperStateChanged { state: ZooKeeperState::Expired };
    assert!(world.facts.iter().any(|(_, who, fact)| *who == node(paused) && *fact == expired));
    assert_eq!(world.shares(), [2, 2]);
    assert!(world.consumer(paused).is_in_place() && world.consumer(other).is_in_place());
}

#[test]
fn offsets_are_kept_where_the_configuration_says() {
    let run = |offsets_storage| {
        let mut world = World::new(6, 2);
        let config = BalancedConsumerConfig { offsets_storage, ..config(HighLevel) };
        let member = world.add(config, App::default());
        world.append(0, 3);
        world.start(member, at(0));
        world.close(member, at(10_000));
        world.start(member, at(20_000));
        world.run_until(at(30_000));
        let in_zookeeper = world.facts.iter().filter_map(|(_, _, fact)| match fact {
            TraceEvent::OffsetsCommitted { offsets, .. } => Some(offsets[0].offset),
            _ => None,
        });
        let in_zookeeper: Vec<_> = in_zookeeper.filter(|it| *it > Offset(0)).collect();
        let in_kafka = world.kafka.committed.get(&partition(0)).copied();
        // The second life goes on where the first ended.
        assert_eq!(world.handed_out().len(), 3, "{offsets_storage:?}");
        (in_zookeeper, in_kafka)
    };
    assert_eq!(run(OffsetsStorage::ZooKeeper), (vec![Offset(3)], None));
    assert_eq!(run(OffsetsStorage::Kafka), (vec![], Some(Offset(3))));
    let (in_zookeeper, in_kafka) = run(OffsetsStorage::Both);
    assert_eq!(in_kafka, Some(Offset(3)));
    assert!(in_zookeeper.contains(&Offset(3)));
}

#[test]
fn auto_commit_runs_every_minute_and_not_for_nothing() {
    let mut world = World::new(7, 1);
    let member = add(&mut world);
    world.append(0, 5);
    world.start(member, at(0));
    world.run_until(at(59_000));
    let commits = |world: &World| {
        let is_commit = |fact: &TraceEvent| matches!(fact, TraceEvent::OffsetsCommitted { .. });
        world.facts.iter().filter(|it| is_commit(&it.2)).count()
    };
    assert_eq!(commits(&world), 0);
    world.run_until(at(61_000));
    assert_eq!(commits(&world), 1);
    world.run_until(at(190_000));
    assert_eq!(commits(&world), 1, "nothing has changed");
}

#[test]
fn a_shutdown_is_answered_even_while_another_thread_rebalances() {
    let mut world = World::new(8, 4);
    let (old, dead) = (add(&mut world), world.add(long_lived(), App::default()));
    world.start(dead, at(0));
    world.kill(dead, at(5_000));
    world.start(old, at(6_000));
    world.close(old, at(9_000));
    world.run_until(at(40_000));
    assert_eq!(world.reports.iter().filter(|it| it.2 == ConsumerReport::Closed).count(), 1);
    assert_eq!(world.shares()[0], 0);
}
