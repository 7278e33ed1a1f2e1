//! Where committed offsets live, and what becomes of them and of positions: sections 5.1 and 6.4, outcomes 33, 34 and 36, cases
//! C13, C15 and C16.

use crate::support::{History, SEEDS, between, histories, mean, secs, within};
use acklab_verdict::{AnomalyKind, Cause};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::Offset;
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::{PartitionChangeReason, TraceEvent};

/// When offsets of the group became its committed ones: when, whether read from the log, and the highest.
fn committed(history: &History) -> Vec<(SimTime, bool, Offset)> {
    let committed = history.all(|event| match event {
        TraceEvent::OffsetsCommitted { from, offsets, .. } => {
            let highest = offsets.iter().map(|it| it.offset).max();
            Some((from.is_none(), highest.unwrap_or_default()))
        }
        _ => None,
    });
    committed.into_iter().map(|(at, _, (loaded, offset))| (at, loaded, offset)).collect()
}

/// Outcome 33: the next coordinator has the generation, the members and every offset that the dead one had accepted. Nobody
/// joins again.
#[test]
fn the_next_coordinator_goes_on_with_the_same_generation_and_every_acked_commit() {
    for kafka in ["3.9", "4.1"] {
        let fields = format!(
            r#"
            kafka: "{kafka}", duration: "25s",
            cluster: (brokers: 3, mode: KRaft(controllers: 3),
                      properties: {{"offsets.topic.num.partitions": "1"}}),
            topics: {{"orders": (assignments: [[2, 3]])}},
            producers: [(name: "shop", topic: "orders", rate: 200,
                         properties: {{"linger.ms": "0"}})],
            groups: [(id: "billing", topics: ["orders"], members: 2, commit: SyncPerBatch)],
            faults: [(at: Uniform("5s", "6s"), fault: Kill(CoordinatorOf("billing")), permanent: true)],
            "#
        );
        for history in histories(&fields, 0..10) {
            let (killed_at, _) = history.kills()[0];
            let answers = history.commit_answers();
            let accepted = answers.iter().filter(|it| it.0 <= killed_at && it.2.is_none());
            let acked = accepted.map(|it| it.3).max().unwrap();
            // The coordinator of 4.x shows what is above the high watermark when that has passed it: a moment later, and before
            // it has accepted anything itself.
            let committed = committed(&history);
            let mut loaded = committed.iter().skip_while(|it| it.0 <= killed_at);
            let at = loaded.clone().next().expect("the next coordinator has loaded").0;
            let offset = loaded.by_ref().take_while(|it| it.1).map(|it| it.2).max();
            assert!(offset >= Some(acked), "{kafka}, seed {}: {offset:?}", history.seed);
            within("loaded", between(killed_at, at), 6.9..=9.6);
            let joined = history.first(|event| {
                matches!(
                    event,
                    TraceEvent::MemberJoined { .. }
                        | TraceEvent::GenerationStarted { .. }
                        | TraceEvent::MemberRemoved { .. }
                        | TraceEvent::PartitionsRevoked { .. }
                )
            });
            assert_eq!(joined, None, "{kafka}, seed {}", history.seed);
            let counts = history.group("billing").counts;
            assert_eq!((counts.reprocessed, counts.skipped, counts.pending), (0, 0, 0));
        }
    }
}

/// Brokers 2 and 3 are down from 5 s to 35 s, and the offsets want two copies. 50 records a second until 22 s.
fn two_of_three_down(kafka: &str) -> String {
    format!(
        r#"
        kafka: "{kafka}", duration: "50s",
        cluster: (brokers: 3, mode: KRaft(controllers: 3), properties: {{
            "offsets.topic.num.partitions": "1", "min.insync.replicas": "2",
        }}),
        producers: [(name: "shop", topic: "orders", rate: 50, until: "22s",
                     properties: {{"acks": "1", "linger.ms": "0"}})],
        groups: [(id: "billing", topics: ["orders"], commit: Async)],
        faults: [(at: "5s", fault: Kill([Broker(2), Broker(3)]), for: "30s")],
        "#
    )
}

/// Outcome 34. From the shrink of the ISR on, a coordinator before 4.0 refuses a commit without writing it: it never
/// takes effect.
#[test]
fn with_too_small_an_isr_a_commit_is_refused_before_4_0() {
    for history in histories(&two_of_three_down("3.9"), SEEDS) {
        let shrunk = history.change(PartitionChangeReason::BrokerFenced).at;
        let answers = history.commit_answers();
        let during = answers.iter().filter(|it| it.0 > SimTime(shrunk.0 + 5_100_000_000));
        let refused: Vec<_> = during.filter(|it| it.0 < secs(35.0) && !it.2.is_none()).collect();
        assert!(!refused.is_empty(), "seed {}", history.seed);
        for (_, _, error, offset) in refused {
            assert_eq!(*error, ErrorCode::CoordinatorNotAvailable);
            assert!(!committed(&history).iter().any(|it| it.2 >= *offset));
        }
    }
}

/// Outcome 34, [I] in the source: a coordinator of 4.x has appended the commit when it finds that nobody replicates it; it
/// says so after 5 s, and the commit takes effect when the others are back. (A connection's requests are served one after the
/// other, so that one commit in 5 s gets so far; the client then gives up the connection with the others.)
#[test]
fn with_too_small_an_isr_a_commit_of_4_x_fails_and_takes_effect_later() {
    for history in histories(&two_of_three_down("4.1"), SEEDS) {
        let answers = history.commit_answers();
        let failed: Vec<_> = answers.iter().filter(|it| !it.2.is_none()).collect();
        assert!(failed.iter().all(|it| it.2 == ErrorCode::CoordinatorNotAvailable));
        let highest = failed.iter().map(|it| it.3).max().expect("commits failed");
        within("what failed last", highest.0 as f64, 700.0..=1_100.0);
        let took_effect = committed(&history).into_iter().find(|it| it.2 >= highest);
        let (at, ..) = took_effect.expect("it takes effect");
        within("when the others are back", between(secs(35.0), at), 0.0..=12.0);
        assert!(failed.iter().all(|it| it.0 < at));
        // One may have been under way as the others died. Else nothing new is read until the orders' own ISR shrinks. The
        // first is told of after 5 s.
        let shrunk = history.change(PartitionChangeReason::BrokerFenced).at;
        match failed[0].0 < shrunk {
            true => within("told after", between(secs(5.0), failed[0].0), 4.99..=5.2),
            false => within("told after", between(shrunk, failed[0].0), 5.0..=5.7),
        }
    }
}

/// C13. The group is empty from 10 s to 110 s, and its offsets are kept for a minute from then on (looked for every 5 s).
#[test]
fn offsets_of_an_empty_group_expire_and_the_reset_policy_decides() {
    let fields = |retention: &str, reset: &str| {
        format!(
            r#"
            duration: "120s",
            cluster: (brokers: 3, mode: KRaft(controllers: 3), properties: {{
                "offsets.retention.minutes": "{retention}",
                "offsets.retention.check.interval.ms": "5000",
            }}),
            producers: [(name: "shop", topic: "orders", rate: 10, properties: {{"linger.ms": "0"}})],
            groups: [(id: "billing", topics: ["orders"], properties: {{"auto.offset.reset": "{reset}"}})],
            faults: [(at: "10s", fault: ControlledShutdown(Member("billing")), for: "100s")],
            "#
        )
    };
    for history in histories(&fields("1", "latest"), SEEDS) {
        let removed = history.all(|event| match event {
            TraceEvent::OffsetsRemoved { partitions, .. } => Some(partitions.len()),
            _ => None,
        });
        let (at, ..) = removed[0];
        within("expired", between(secs(10.0), at), 60.0..=65.5);
        // Ten a second for 100 s, for the start of the process, and for the 3 s of the initial rebalance delay.
        let node = history.node_of_member("billing", 0);
        let starts = history.all(|event| match event {
            TraceEvent::ProcessStarted { .. } => Some(()),
            _ => None,
        });
        let (started_at, ..) = starts.into_iter().rfind(|it| it.1 == node).unwrap();
        let counts = history.group("billing").counts;
        let expected = 10.0 * (between(secs(10.0), started_at) + 3.0);
        within("skipped", counts.skipped as f64, expected - 3.0..=expected + 3.0);
        let cause = history.count_of(AnomalyKind::Skipped, Cause::CommittedOffsetLost);
        assert_eq!((cause, counts.reprocessed), (counts.skipped, 0));
    }
    for history in histories(&fields("1", "earliest"), SEEDS) {
        let counts = history.group("billing").counts;
        within("everything before the stop", counts.reprocessed as f64, 98.0..=102.0);
        assert_eq!((counts.skipped, counts.pending), (0, 0));
    }
    for history in histories(&fields("2", "latest"), SEEDS) {
        let counts = history.group("billing").counts;
        assert_eq!((counts.skipped, counts.reprocessed, counts.pending), (0, 0, 0));
    }
}

/// C16: there is one copy of the offsets, and its broker is down from 5 s to 20 s. Nobody can commit, nor join; what the
/// member processes meanwhile (it reads from other brokers) is processed again by its successor of 12 s.
#[test]
fn with_one_copy_of_the_offsets_nobody_commits_while_its_broker_is_down() {
    let fields = r#"
        duration: "30s",
        cluster: (brokers: 3, mode: KRaft(controllers: 3), properties: {
            "offsets.topic.num.partitions": "1", "offsets.topic.replication.factor": "1",
        }),
        topics: {"orders": (assignments: [[2, 3]])},
        producers: [(name: "shop", topic: "orders", rate: 100, properties: {"linger.ms": "0"})],
        groups: [(id: "billing", topics: ["orders"], commit: Async,
                  properties: {"session.timeout.ms": "6000"})],
        faults: [
            (at: "5s", fault: Kill(CoordinatorOf("billing")), for: "15s"),
            (at: "12s", fault: Kill(Member("billing")), for: "500ms"),
        ],
    "#;
    for history in histories(fields, SEEDS) {
        let counts = history.group("billing").counts;
        // poll() waits for the coordinator as long as it may, 100 ms, before it returns what it has: up to two of these are
        // missing from the 7 s.
        within("repeated", counts.reprocessed as f64, 678.0..=702.0);
        assert_eq!((counts.skipped, counts.pending), (0, 0));
        let answers = history.commit_answers();
        assert!(!answers.iter().any(|it| it.0 > secs(5.0) && it.0 < secs(20.0)));
        let joined = history.first(|it| matches!(it, TraceEvent::MemberJoined { .. })).unwrap();
        assert!(joined > secs(20.0));
    }
}

/// Broker 2 dies at 5 s and leaves the ISR; broker 1 goes on alone until it dies at 25 s; broker 2 comes back and leads, with
/// the log of 5 s. The consumer has read what broker 1 alone had: 1,000 records, which nobody has any more.
fn consumer_ahead(client: &str) -> String {
    format!(
        r#"
        duration: "45s",
        topics: {{"orders": (assignments: [[1, 2]], properties: {{
            "min.insync.replicas": "1", "unclean.leader.election.enable": "true",
        }})}},
        producers: [(name: "shop", topic: "orders", rate: 50,
                     properties: {{"acks": "1", "linger.ms": "0"}})],
        groups: [(id: "billing", topics: ["orders"], client: Java("{client}"))],
        faults: [
            (at: "5s", fault: Kill(Broker(2)), for: "25s"),
            (at: "25s", fault: Kill(Broker(1)), permanent: true),
        ],
        "#
    )
}

/// Positions that were set anew: when, from where, to where, and whether because the fork was found.
fn resets(history: &History) -> Vec<(SimTime, Offset, Offset, bool)> {
    let resets = history.all(|event| match event {
        TraceEvent::PositionReset { from: Some(from), to, truncated, .. } => {
            Some((*from, *to, *truncated))
        }
        _ => None,
    });
    resets.into_iter().map(|(at, _, (from, to, truncated))| (at, from, to, truncated)).collect()
}

/// Outcome 36, C15.
#[test]
fn a_consumer_ahead_of_an_unclean_leader_finds_the_fork_since_2_3_and_jumps_to_the_end_before() {
    let fork = 250.0;
    for history in histories(&consumer_ahead("3.9"), SEEDS) {
        let resets = resets(&history);
        assert!(resets.len() == 1 && resets[0].3, "seed {}: {resets:?}", history.seed);
        within("position", resets[0].1.0 as f64, 1_245.0..=1_255.0);
        within("fork", resets[0].2.0 as f64, fork - 5.0..=fork + 5.0);
        let counts = history.group("billing").counts;
        assert_eq!((counts.skipped, counts.pending), (0, 0));
        within("ghosts", counts.ghost as f64, 990.0..=1_010.0);
    }
    let old = histories(&consumer_ahead("2.2"), 0..12);
    for history in &old {
        let resets = resets(history);
        assert!(resets.len() == 1 && !resets[0].3, "seed {}: {resets:?}", history.seed);
        // What the producer had kept while there was no leader may have come before.
        let (at, _, end, _) = resets[0];
        let kept = 50.0 * between(secs(25.0), at);
        within("end", end.0 as f64, fork - 5.0..=fork + kept + 5.0);
        let counts = history.group("billing").counts;
        let cause = history.count_of(AnomalyKind::Skipped, Cause::ResetAfterOutOfRange);
        assert_eq!(counts.skipped, cause);
        within("skipped", counts.skipped as f64, 0.0..=end.0 as f64 - fork + 5.0);
    }
    within("skipped", mean(&old, |it| it.group("billing").counts.skipped), 1.0..=550.0);
}
