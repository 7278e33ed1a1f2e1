//! Groups of KIP-848 (`group.protocol` consumer): section 6.6. That no partition has two owners is checked in every run.

use crate::support::{History, SEEDS, between, histories, secs, within};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::TopicPartition;
use acklab_vocab::trace::{CommitFailure, RemovalReason, TraceEvent};

fn fields(members: u16, group: &str, rest: &str) -> String {
    format!(
        r#"
        kafka: "4.1",
        topics: {{"orders": (partitions: 6, replication_factor: 3)}},
        producers: [(name: "shop", topic: "orders", rate: 60, keys: Unique,
                     properties: {{"linger.ms": "0"}})],
        groups: [(id: "billing", topics: ["orders"], members: {members}, {group})],
        {rest}
        "#
    )
}

const NEXT: &str = r#"properties: {"group.protocol": "consumer"}"#;

/// The partitions that a member gave up or that came to another one after time zero, each once.
fn moved(history: &History) -> Vec<TopicPartition> {
    let moved = history.all(|event| match event {
        TraceEvent::PartitionsAssigned { added, .. } => Some(added.to_vec()),
        _ => None,
    });
    let after = moved.into_iter().filter(|it| it.0 > secs(0.0));
    let mut partitions: Vec<TopicPartition> = after.flat_map(|it| it.2).collect();
    partitions.sort_unstable();
    partitions.dedup();
    partitions
}

/// Only what moves stands still, and what moves does so for two heartbeats of 5 s at most: until the old owner has heard, and
/// has said that it has let go at once; and until the new one has asked.
#[track_caller]
fn only_what_moves_stands_still(history: &History, longest: f64) {
    let moved = moved(history);
    for of in &history.group("billing").standstills {
        let (spells, time) = (of.standstill.spells, of.standstill.longest.as_secs_f64());
        if moved.contains(&of.partition) {
            within("standstill", time, 0.0..=longest);
        } else {
            assert_eq!(spells, 0, "seed {}: {:?} stood still", history.seed, of.partition);
        }
    }
    let counts = history.group("billing").counts;
    assert_eq!((counts.reprocessed, counts.skipped, counts.pending), (0, 0, 0));
    assert_eq!(counts.evictions, 0, "seed {}", history.seed);
    // An auto-commit that goes out together with the heartbeat that raises the epoch; the next one covers it.
    let stale = CommitFailure::CommitFailed(Some(ErrorCode::StaleMemberEpoch));
    assert!(history.commit_failures().iter().all(|it| it.3 == stale));
}

/// A fourth member joins three that have two partitions each. Which two of the four may have two is settled by the order of
/// their ids (`UniformHomogeneousAssignmentBuilder`): it gets one, or two.
#[test]
fn a_member_that_joins_takes_what_it_gets_and_nothing_else_stands_still() {
    let rest =
        r#"duration: "25s", faults: [(at: "5s", fault: Scale(group: "billing", members: 4))],"#;
    for history in histories(&fields(3, NEXT, rest), SEEDS) {
        within("moved", moved(&history).len() as f64, 1.0..=2.0);
        only_what_moves_stands_still(&history, 5.3);
        assert_eq!(history.group("billing").counts.rebalances, 1);
    }
}

/// One of three leaves: its two partitions go to the others with their next heartbeats.
#[test]
fn a_member_that_leaves_hands_its_partitions_over_within_a_heartbeat() {
    let rest = r#"duration: "25s", faults: [(at: "5s", fault: ControlledShutdown(Member("billing", 1)), permanent: true)],"#;
    for history in histories(&fields(3, NEXT, rest), SEEDS) {
        assert_eq!(moved(&history).len(), 2, "seed {}", history.seed);
        only_what_moves_stands_still(&history, 5.2);
        assert_eq!(history.group("billing").counts.rebalances, 1);
    }
}

/// A rolling restart: two group epochs for each member, and none for static ones, which leave with epoch -2 and come back.
#[test]
fn a_rolling_restart_takes_two_epochs_for_each_member_or_none() {
    let rest = r#"duration: "80s", faults: [(at: "3s",
        fault: RollingRestart(group: "billing", down: "4s", between: "12s"))],"#;
    for history in histories(&fields(3, NEXT, rest), 0..4) {
        let counts = history.group("billing").counts;
        assert_eq!((counts.rebalances, counts.evictions), (6, 0), "seed {}", history.seed);
        assert_eq!((counts.reprocessed, counts.skipped, counts.pending), (0, 0, 0));
    }
    let still = r#"properties: {"group.protocol": "consumer", "group.instance.id": "billing"}"#;
    for history in histories(&fields(3, still, rest), 0..4) {
        let counts = history.group("billing").counts;
        assert_eq!((counts.rebalances, counts.evictions), (0, 0), "seed {}", history.seed);
        assert_eq!((counts.reprocessed, counts.skipped, counts.pending), (0, 0, 0));
        let standstill = history.group("billing").standstill_longest().as_secs_f64();
        within("standstill: while it is down", standstill, 4.0..=5.0);
    }
}

/// A crash: the session is 45 s, of which one heartbeat interval of 5 s may have passed; the others' partitions are untouched.
#[test]
fn the_partitions_of_the_dead_wait_for_the_session_and_nobody_elses() {
    let rest = r#"duration: "60s", faults: [(at: "5s", fault: Kill(Member("billing", 1)), permanent: true)],"#;
    for history in histories(&fields(3, NEXT, rest), SEEDS) {
        let (killed_at, killed) = history.kills()[0];
        let removals = history.removals();
        assert_eq!(removals.len(), 1);
        assert_eq!((removals[0].1, removals[0].2), (killed, RemovalReason::SessionExpired));
        within("removed", between(killed_at, removals[0].0), 39.9..=45.0);
        let moved = moved(&history);
        assert_eq!(moved.len(), 2);
        for of in &history.group("billing").standstills {
            match moved.contains(&of.partition) {
                true => within("wait", of.standstill.longest.as_secs_f64(), 39.9..=50.3),
                false => assert_eq!(of.standstill.spells, 0),
            }
        }
    }
}

/// There is no barrier: a member that works on a record for 15 s holds up what it has to give up, and nobody else. An eager
/// classic group stands still altogether (outcome 32).
#[test]
fn a_slow_member_holds_up_its_own_partitions_only() {
    let group = |properties: &str| {
        format!(
            r#"commit: SyncPerBatch, on_commit_failure: Ignore, processing: (poison: [(record: "shop#301", effect: Takes("15s"))]),
               properties: {{{properties} "max.poll.records": "1"}}"#
        )
    };
    let rest =
        r#"duration: "40s", faults: [(at: "6s", fault: Scale(group: "billing", members: 3))],"#;
    let next = fields(2, &group(r#""group.protocol": "consumer","#), rest);
    for history in histories(&next, SEEDS) {
        let slow = history.all(|event| match event {
            TraceEvent::PartitionsAssigned { owned, .. } => Some(owned.clone()),
            _ => None,
        });
        // Who works on the poison record: it processes nothing between 5.1 s and 20 s.
        let processed = history.all(|event| match event {
            TraceEvent::RecordsProcessed { .. } => Some(()),
            _ => None,
        });
        let nodes = [0, 1].map(|instance| history.node_of_member("billing", instance));
        let works =
            |node| processed.iter().any(|it| it.1 == node && it.0 > secs(7.0) && it.0 < secs(19.0));
        let [first, second] = nodes.map(works);
        assert!(first != second, "seed {}: one of them is slow", history.seed);
        let busy = nodes[usize::from(first)];
        let of_busy = slow.iter().rfind(|it| it.1 == busy && it.0 < secs(0.0)).unwrap();
        for of in &history.group("billing").standstills {
            if !of_busy.2.contains(&of.partition) {
                within("others", of.standstill.longest.as_secs_f64(), 0.0..=10.2);
            }
        }
        let counts = history.group("billing").counts;
        assert_eq!((counts.evictions, counts.skipped, counts.pending), (0, 0, 0));
    }
    for history in histories(&fields(2, &group(""), rest), SEEDS) {
        // What the other one had: from the heartbeat that tells of the rebalance (at most 3 s after 6 s) to 20 s.
        let all = history.group("billing").standstills.iter();
        let times = all.map(|of| of.standstill.longest.as_secs_f64());
        let long = times.filter(|time| (10.8..=15.5).contains(time)).count();
        assert_eq!(long, 3, "seed {}", history.seed);
    }
}

/// STALE_MEMBER_EPOCH: a commit and the heartbeat that raises the member's epoch are under way together; the commit carries the
/// old epoch. It is `CommitFailedException`; the member goes on, and its next commit covers it.
#[test]
fn a_commit_of_the_last_epoch_is_refused_and_the_next_one_covers_it() {
    let group = r#"commit: SyncPerBatch, on_commit_failure: Ignore, properties: {"group.protocol": "consumer"}"#;
    let rest = r#"
        duration: "30s", network: (client_latency: "20ms"),
        faults: [(at: "4s", fault: Scale(group: "billing", members: 3))],
    "#;
    let text = fields(2, group, rest).replace("rate: 60", "rate: 500");
    let mut refused = 0;
    for history in histories(&text, 0..10) {
        for (_, _, _, failure) in history.commit_failures() {
            let stale = CommitFailure::CommitFailed(Some(ErrorCode::StaleMemberEpoch));
            assert_eq!(failure, stale, "seed {}", history.seed);
            refused += 1;
        }
        let answers = history.commit_answers();
        let answered = answers.iter().filter(|it| !it.2.is_none()).map(|it| it.2);
        assert!(answered.into_iter().all(|error| error == ErrorCode::StaleMemberEpoch));
        let counts = history.group("billing").counts;
        assert_eq!((counts.evictions, counts.skipped, counts.pending), (0, 0, 0));
    }
    assert!(refused >= 5, "a commit is nearly always under way: {refused}");
}
