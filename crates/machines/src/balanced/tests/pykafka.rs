//! pykafka's `BalancedConsumer`: how it starts, contends, fails, and what it goes on doing then.

use super::history::is_about;
use super::world::{App, World, at, config, millis, node, partition};
use crate::consumer::ConsumerReport;
use acklab_vocab::config::BalancedConsumerConfig;
use acklab_vocab::config::BalancedLibrary::Pykafka;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::Offset;
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::BalanceOutcome::{Done, Owned};
use acklab_vocab::trace::ClientException::{ConsumerStoppedException, PartitionOwnedError};
use acklab_vocab::trace::{CommitFailure, TraceEvent, ZooKeeperState};

fn add(world: &mut World, app: App) -> usize {
    world.add(config(Pykafka), app)
}

/// A session that outlives its process by far.
fn long_lived() -> BalancedConsumerConfig {
    BalancedConsumerConfig { session_timeout: millis(40_000), ..config(Pykafka) }
}

#[test]
fn one_consumer_takes_everything_and_reads_it() {
    let mut world = World::new(1, 3);
    world.append(0, 2);
    world.append(2, 1);
    let only = add(&mut world, App::default());
    world.start(only, at(0));
    world.run_until(at(2_000));
    assert_eq!(world.shares(), [3]);
    assert!(world.consumer(only).is_settled());
    let outcomes: Vec<_> = world.attempts(only).into_iter().map(|it| (it.1, it.2)).collect();
    assert_eq!(outcomes, [(0, Done)]);
    let mut read: Vec<_> = world.handed_out().into_iter().map(|it| (it.2, it.3)).collect();
    read.sort_unstable();
    let expected =
        [(partition(0), Offset(0)), (partition(0), Offset(1)), (partition(2), Offset(0))];
    assert_eq!(read, expected);
    // There was no committed offset, so the reset was committed; nothing else, for auto-commit is off.
    let commits: Vec<_> = world.kafka.commits.iter().map(|(_, it)| it.offsets.len()).collect();
    assert_eq!(commits, [3]);
    assert_eq!(world.kafka.commits[0].1.generation, None);
    assert!(world.kafka.commits[0].1.member.is_some());
}

#[test]
fn a_second_one_is_let_in() {
    for seed in 0..4 {
        let mut world = World::new(seed, 10);
        let (first, second) = (add(&mut world, App::default()), add(&mut world, App::default()));
        world.start(first, at(0));
        world.start(second, at(5_000));
        world.run_until(at(30_000));
        assert_eq!(world.shares(), [5, 5], "seed {seed}");
        assert!(world.consumer(first).is_in_place() && world.consumer(second).is_in_place());
        assert_eq!(world.consumer(first).positions().count(), 5);
        assert!(world.raised(first).is_empty() && world.raised(second).is_empty());
    }
}

#[test]
fn the_fifth_failure_stops_it_twelve_seconds_later() {
    for seed in 0..3 {
        let mut world = World::new(seed, 10);
        let dead = world.add(long_lived(), App::default());
        let newcomer = add(&mut world, App::default());
        world.start(dead, at(0));
        world.kill(dead, at(5_000));
        world.start(newcomer, at(6_000));
        world.run_until(at(25_000));
        let attempts = world.attempts(newcomer);
        assert!(attempts.iter().all(|it| matches!(it.2, Owned(_))), "{attempts:?}");
        assert_eq!(attempts.iter().map(|it| it.1).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        let waits = attempts.windows(2).map(|pair| pair[1].0.since(pair[0].0));
        for (wait, expected) in waits.zip([0, 2_000, 4_000, 6_000]) {
            assert!(is_about(wait, millis(expected)), "seed {seed}: {wait} for {expected} ms");
        }
        let exceptions: Vec<_> = world.exceptions(newcomer).iter().map(|it| (it.1, it.2)).collect();
        assert_eq!(exceptions[..5], [(PartitionOwnedError, false); 5]);
        assert_eq!(exceptions[5..], [(ConsumerStoppedException, true)]);
        assert_eq!(world.raised(newcomer), [ConsumerStoppedException]);
        // It has closed its session: nothing is left of it.
        assert_eq!(world.shares(), [10, 0]);
    }
}

#[test]
fn more_patience_outlasts_the_dead_session() {
    let mut world = World::new(5, 10);
    let dead = world.add(long_lived(), App::default());
    let patient = BalancedConsumerConfig { rebalance_max_retries: 20, ..config(Pykafka) };
    let newcomer = world.add(patient, App::default());
    world.start(dead, at(0));
    world.kill(dead, at(5_000));
    world.start(newcomer, at(6_000));
    world.run_until(at(120_000));
    assert_eq!(world.shares(), [0, 10]);
    assert!(world.raised(newcomer).is_empty());
}

/// Known outcome 37.
#[test]
fn after_a_sigkill_its_znodes_outlive_it_for_some_seconds() {
    for seed in 0..6 {
        let mut world = World::new(seed, 10);
        let (killed, survivor) = (add(&mut world, App::default()), add(&mut world, App::default()));
        world.start(survivor, at(0));
        world.start(killed, at(5_000));
        world.kill(killed, at(30_000));
        world.run_until(at(60_000));
        let released = world.facts.iter().find(|(when, _, fact)| {
            *when > at(30_000)
                && matches!(fact, TraceEvent::PartitionReleased { expired: true, .. })
        });
        let after = released.expect("they are released").0.since(at(30_000));
        assert!((millis(3_500)..=millis(9_000)).contains(&after), "seed {seed}: {after}");
        assert_eq!(world.shares(), [0, 10]);
    }
}

/// Known outcome 37: a restarted member meets its own znodes.
#[test]
fn a_restart_at_once_contends_with_its_own_past() {
    let mut contended = 0;
    for seed in 0..6 {
        let mut world = World::new(seed, 10);
        let (killed, survivor) = (add(&mut world, App::default()), add(&mut world, App::default()));
        world.start(survivor, at(0));
        world.start(killed, at(5_000));
        world.kill(killed, at(30_000));
        world.start(killed, at(30_100));
        world.run_until(at(80_000));
        let after_restart = world.attempts(killed).into_iter().filter(|it| it.0 > at(30_000));
        let failures = after_restart.take_while(|it| it.2 != Done).count();
        assert!(failures <= 4, "seed {seed}: {failures}");
        contended += usize::from(failures >= 3);
        assert_eq!(world.shares(), [5, 5], "seed {seed}");
        assert!(world.raised(killed).is_empty());
    }
    assert!(contended > 0);
}

#[test]
fn ten_starters_contend_and_some_are_stopped() {
    // `consume()` holds the lock for a second at a time.
    let app = App { poll_timeout: millis(1_000), ..App::default() };
    let run = |seed, config: BalancedConsumerConfig| {
        let mut world = World::new(seed, 10);
        for nth in 0..10 {
            let member = world.add(config.clone(), app);
            world.start(member, at(100 * nth));
        }
        world.run_until(at(400_000));
        world
    };
    let count = |config: &BalancedConsumerConfig| {
        let (mut owned, mut stopped) = (0, 0);
        for seed in 0..4 {
            let world = run(seed, config.clone());
            for member in 0..10 {
                let exceptions = world.exceptions(member);
                owned += exceptions.iter().filter(|it| it.1 == PartitionOwnedError).count();
                stopped += world.raised(member).len();
            }
        }
        (owned, stopped)
    };
    // By default nearly everybody has to wait, and nobody in vain.
    let (owned, stopped) = count(&config(Pykafka));
    assert!(owned > 20 && stopped == 0, "{owned} {stopped}");
    // The others need a second to let go; who does not wait as long is stopped.
    let impatient = BalancedConsumerConfig {
        rebalance_max_retries: 3,
        rebalance_backoff: millis(300),
        ..config(Pykafka)
    };
    let (_, stopped) = count(&impatient);
    assert!(stopped > 0);
    let patient = BalancedConsumerConfig {
        rebalance_max_retries: 40,
        rebalance_backoff: millis(500),
        ..config(Pykafka)
    };
    let world = run(1, patient);
    assert_eq!(world.shares(), [1; 10]);
    assert!((0..10).all(|member| world.raised(member).is_empty()));
}

#[test]
fn a_rebalance_that_failed_in_a_callback_is_never_overcome() {
    let mut found = 0;
    for seed in 0..12 {
        let mut world = World::new(seed, 10);
        let app = App { commits: true, ..App::default() };
        let (dead, old) = (world.add(long_lived(), App::default()), add(&mut world, app));
        let newcomer = add(&mut world, App::default());
        world.start(old, at(0));
        world.start(dead, at(5_000));
        world.kill(dead, at(30_000));
        world.start(newcomer, at(31_000));
        world.run_until(at(55_000));
        let failed = world.attempts(old).into_iter().any(|it| it.1 == 4 && it.2 != Done);
        if !failed {
            continue;
        }
        found += 1;
        // Nobody has told the application, which reads on what it read before.
        assert!(world.raised(old).is_empty());
        let reads: Vec<_> = world.consumer(old).positions().map(|it| it.0).collect();
        assert_eq!(reads.len(), 5);
        for partition in &reads {
            world.append(partition.partition.0, 1);
        }
        world.run_until(at(57_000));
        // The message was handed out; the commit after it raises what a thread has raised.
        assert_eq!(world.raised(old), [PartitionOwnedError]);
        // The dead session is over some time: everybody rebalances, but for this one.
        let before = world.attempts(old).len();
        world.run_until(at(120_000));
        assert_eq!(world.attempts(old).len(), before);
    }
    assert!(found > 0);
}

#[test]
fn a_pause_beyond_the_session_makes_two_owners_for_a_while() {
    let mut world = World::new(3, 4);
    let app = App { commits: true, ..App::default() };
    let (paused, other) = (add(&mut world, app), add(&mut world, app));
    world.start(paused, at(0));
    world.start(other, at(3_000));
    world.run_until(at(29_000));
    let before: Vec<_> = world.consumer(paused).positions().map(|it| it.0).collect();
    assert_eq!(before.len(), 2);
    world.pause(paused, at(30_000), millis(15_000));
    world.run_until(at(44_000));
    assert_eq!(world.shares(), [0, 4]);
    // It still reads what the other one has by now.
    assert_eq!(world.consumer(paused).positions().map(|it| it.0).collect::<Vec<_>>(), before);
    (0..4).for_each(|index| world.append(index, 3));
    world.run_until(at(90_000));
    let expired = TraceEvent::ZooKeeperStateChanged { state: ZooKeeperState::Expired };
    assert!(world.facts.iter().any(|(_, who, fact)| *who == node(paused) && *fact == expired));
    assert_eq!(world.shares(), [2, 2]);
    let commits = world.kafka.commits.iter().filter(|(when, _)| *when >= at(45_000));
    let members: std::collections::BTreeSet<_> = commits.map(|(_, it)| it.member).collect();
    assert_eq!(members.len(), 2, "both commit, and nobody is fenced");
}

#[test]
fn work_expires_the_session_only_if_it_holds_the_interpreter() {
    let expires = |holds_interpreter, session| {
        let mut world = World::new(2, 2);
        let app = App { processing: millis(20_000), holds_interpreter, ..App::default() };
        let config = BalancedConsumerConfig { session_timeout: session, ..config(Pykafka) };
        let member = world.add(config, app);
        world.append(0, 2);
        world.start(member, at(0));
        world.run_until(at(60_000));
        let own = world.facts.iter().filter(|(_, who, _)| *who == node(member));
        let expired = TraceEvent::ZooKeeperStateChanged { state: ZooKeeperState::Expired };
        own.filter(|(_, _, fact)| *fact == expired).count()
    };
    assert_eq!(expires(false, millis(6_000)), 0);
    assert!(expires(true, millis(6_000)) >= 1);
    assert_eq!(expires(true, millis(40_000)), 0);
}

#[test]
fn a_graceful_stop_hands_everything_over_at_once() {
    let mut world = World::new(4, 6);
    let (leaving, staying) = (add(&mut world, App::default()), add(&mut world, App::default()));
    world.start(leaving, at(0));
    world.start(staying, at(3_000));
    world.close(leaving, at(30_000));
    world.run_until(at(32_500));
    assert_eq!(world.shares(), [0, 6]);
    let closed = world.reports.iter().filter(|it| it.2 == ConsumerReport::Closed).count();
    assert_eq!(closed, 1);
    let ended = world.facts.iter().find_map(|(_, _, fact)| match fact {
        TraceEvent::ZooKeeperSessionEnded { client, expired, .. } if *client == node(leaving) => {
            Some(*expired)
        }
        _ => None,
    });
    assert_eq!(ended, Some(false));
}

#[test]
fn a_commit_does_not_wait_for_the_fetch_in_flight() {
    let mut world = World::new(6, 1);
    let member = add(&mut world, App { commits: true, ..App::default() });
    world.start(member, at(0));
    world.run_until(at(3_000));
    world.append(0, 50);
    world.run_until(at(4_000));
    assert_eq!(world.handed_out().len(), 50);
    let sent = world.facts.iter().filter_map(|(when, _, fact)| match fact {
        TraceEvent::CommitSent { .. } if *when > at(3_000) => Some(*when),
        _ => None,
    });
    let sent: Vec<SimTime> = sent.collect();
    assert_eq!(sent.len(), 50);
    // The next fetch waits 100 ms for more.
    assert!(sent[49].since(sent[0]) < millis(50 * 5), "{sent:?}");
}

#[test]
fn commits_into_a_managed_group_are_refused_and_nobody_is_told() {
    let mut world = World::new(6, 1);
    let app = App { commits: true, ..App::default() };
    let member = add(&mut world, app);
    world.start(member, at(0));
    world.run_until(at(3_000));
    world.kafka.has_members = true;
    world.kafka.commits.clear();
    world.append(0, 1);
    world.run_until(at(20_000));
    let times: Vec<_> = world.kafka.commits.iter().map(|it| it.0).collect();
    assert_eq!(times.len(), 5);
    for (pair, expected) in times.windows(2).zip([1_000, 2_000, 3_000, 4_000]) {
        assert!(is_about(pair[1].since(pair[0]), millis(expected)), "{times:?}");
    }
    let told = world.reports.iter().filter(|it| it.2 == ConsumerReport::Committed(None)).count();
    assert_eq!(told, 1);
    let failure = Some(CommitFailure::CommitFailed(Some(ErrorCode::UnknownMemberId)));
    let known = world.facts.iter().any(|(_, _, fact)| {
        matches!(fact, TraceEvent::CommitCompleted { failure: known, .. } if *known == failure)
    });
    assert!(known);
}

#[test]
fn after_a_leader_has_moved_two_consumers_can_own_one_partition() {
    let mut found = 0;
    for seed in 0..8 {
        let mut world = World::new(seed, 2);
        let (first, second) = (add(&mut world, App::default()), add(&mut world, App::default()));
        world.kafka.leaders = vec![2, 3];
        world.start(first, at(0));
        world.run_until(at(2_000));
        // The first consumer does not hear of it: it puts partition 0 first, the second one partition 1.
        world.kafka.leaders = vec![2, 1];
        world.start(second, at(3_000));
        world.run_until(at(40_000));
        let reads = |member| world.consumer(member).positions().map(|it| it.0).collect::<Vec<_>>();
        if reads(second).len() == 1 {
            assert_eq!(reads(first), reads(second), "seed {seed}");
            assert_eq!(reads(first), [partition(1)]);
            found += 1;
        } else {
            // Both want partition 0, whose name is the same for both.
            assert_eq!(world.raised(second), [ConsumerStoppedException], "seed {seed}");
        }
    }
    assert!(found > 0);
}
