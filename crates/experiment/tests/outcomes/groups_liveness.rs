//! Who is a member and for how long, end to end: sections 4.3, 4.4 and 6, outcome 31, cases C7, C8 and C20.

use crate::support::{History, SEEDS, between, histories, secs, within};
use acklab_vocab::trace::{RebalanceReason, RemovalReason, TraceEvent};

/// C7, KIP-735: a silent path between a member and its coordinator, for 20 s. A session of 10 s is over by then. With 45 s the
/// member has not even learned of it: what TCP holds back arrives.
#[test]
fn a_cut_of_20_s_ends_a_session_of_10_s_and_none_of_45_s() {
    let fields = |session: &str| {
        format!(
            r#"
            duration: "45s",
            cluster: (brokers: 3, mode: KRaft(controllers: 3),
                      properties: {{"offsets.topic.num.partitions": "1"}}),
            topics: {{"orders": (assignments: [[2, 3], [3, 2]])}},
            producers: [(name: "shop", topic: "orders", rate: 50, keys: Unique,
                         properties: {{"linger.ms": "0"}})],
            groups: [(id: "billing", topics: ["orders"], members: 2, commit: SyncPerBatch,
                      on_commit_failure: Ignore, properties: {{"session.timeout.ms": "{session}"}})],
            faults: [(at: "5s", fault: Partition([Member("billing", 0)], [CoordinatorOf("billing")]),
                      for: "20s")],
            "#
        )
    };
    for history in histories(&fields("10000"), SEEDS) {
        let cut_off = history.node_of_member("billing", 0);
        let removals = history.removals();
        assert_eq!(removals.len(), 1, "seed {}: {removals:?}", history.seed);
        assert_eq!((removals[0].1, removals[0].2), (cut_off, RemovalReason::SessionExpired));
        within("after", between(secs(5.0), removals[0].0), 6.99..=10.0);
        // It is removed, and it comes back.
        assert_eq!(history.group("billing").counts.rebalances, 2);
    }
    for history in histories(&fields("45000"), SEEDS) {
        let counts = history.group("billing").counts;
        assert_eq!((counts.evictions, counts.rebalances, counts.reprocessed), (0, 0, 0));
    }
}

/// C20: a process whose heartbeats do not get their turn, again and again (a GC pause stops every thread; in kafka-python a
/// handler that holds the interpreter does). Where each time lasts longer than the session, each costs two rebalances: one
/// without it, one as it comes back as a new member. The generation goes up by two a time, for nothing.
#[test]
fn a_member_that_starves_over_and_over_costs_two_rebalances_each_time() {
    let starving = |client: &str, session: &str| {
        format!(
            r#"
            duration: "100s",
            topics: {{"orders": (partitions: 4, replication_factor: 3)}},
            producers: [(name: "shop", topic: "orders", rate: 20, keys: Unique,
                         properties: {{"linger.ms": "0"}})],
            groups: [(id: "billing", topics: ["orders"], members: 2, client: {client},
                      on_commit_failure: Ignore, properties: {{{session}}})],
            faults: [(every: "30s", first: "10s", until: "95s", fault: Pause(Member("billing", 0)),
                      for: "14s")],
            "#
        )
    };
    let generations = |history: &History| {
        let all = history.all(|event| match event {
            TraceEvent::GenerationStarted { generation, .. } => Some(generation.0),
            _ => None,
        });
        let before = all.iter().filter(|it| it.0 < secs(0.0)).map(|it| it.2).max();
        all.last().map_or(0, |it| it.2) - before.unwrap_or(0)
    };
    for (client, short, long) in [
        ("KafkaPython", r#""session_timeout_ms": "10000""#, r#""session_timeout_ms": "45000""#),
        (r#"Java("3.9")"#, r#""session.timeout.ms": "10000""#, r#""session.timeout.ms": "45000""#),
    ] {
        for history in histories(&starving(client, short), SEEDS) {
            let starved = history.node_of_member("billing", 0);
            let removals = history.removals();
            assert_eq!(removals.len(), 3, "{client}, seed {}: {removals:?}", history.seed);
            for (index, &(at, node, reason)) in removals.iter().enumerate() {
                assert_eq!((node, reason), (starved, RemovalReason::SessionExpired));
                // Its last heartbeat was up to 3 s before.
                let begun = secs(10.0 + 30.0 * index as f64);
                within("removed after", between(begun, at), 6.9..=10.1);
            }
            let counts = history.group("billing").counts;
            assert_eq!((counts.evictions, counts.rebalances), (3, 6), "{client}");
            assert_eq!(generations(&history), 6);
            assert_eq!((counts.skipped, counts.pending), (0, 0));
        }
        for history in histories(&starving(client, long), SEEDS) {
            let counts = history.group("billing").counts;
            assert_eq!((counts.evictions, counts.rebalances, counts.reprocessed), (0, 0, 0));
            assert_eq!(generations(&history), 0);
        }
    }
}

fn rolling(members: u16, down: &str, properties: &str) -> String {
    format!(
        r#"
        duration: "{}s",
        topics: {{"orders": (partitions: 6, replication_factor: 3)}},
        producers: [(name: "shop", topic: "orders", rate: 20, keys: Unique,
                     properties: {{"linger.ms": "0"}})],
        groups: [(id: "billing", topics: ["orders"], members: {members},
                  properties: {{"session.timeout.ms": "10000", {properties}}})],
        faults: [(at: "3s", fault: RollingRestart(group: "billing", down: "{down}", between: "6s"))],
        "#,
        5 + members * 24
    )
}

/// Outcome 31, C8: dynamic members leave and join, two rebalances each. Static ones do neither if they are back within their
/// session; if not, they are removed by its end and join again, as if they were dynamic.
#[test]
fn a_rolling_restart_takes_two_rebalances_for_each_member_or_none() {
    for members in [2, 5] {
        for (down, properties, rebalances, evictions) in [
            ("4s", "", 2 * members, 0),
            ("4s", r#""group.instance.id": "billing""#, 0, 0),
            ("15s", r#""group.instance.id": "billing""#, 2 * members, members),
        ] {
            for history in histories(&rolling(members, down, properties), 0..3) {
                let group = history.group("billing");
                let counts = group.counts;
                let what = format!("{members} members, {down}, {properties}: {:?}", group.reasons);
                assert_eq!(counts.rebalances, u64::from(rebalances), "{what}");
                assert_eq!(counts.evictions, u64::from(evictions), "{what}");
                assert_eq!(
                    (counts.reprocessed, counts.skipped, counts.pending),
                    (0, 0, 0),
                    "{what}"
                );
                let expired = group.reasons.get(&RebalanceReason::SessionExpired);
                assert_eq!(expired.copied().unwrap_or(0), u64::from(evictions));
            }
        }
    }
}
