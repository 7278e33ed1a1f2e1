//! What a consumer's application is told of a commit, end to end: section 5.5, outcome by outcome, each with the answer of the
//! coordinator (section 5.4) that leads to it.

use crate::support::{History, SEEDS, between, histories, secs, within};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::trace::{CommitFailure, CommitTrigger, RemovalReason, TraceEvent};

/// How commits failed, each way once.
fn ways(history: &History) -> Vec<CommitFailure> {
    let mut ways: Vec<CommitFailure> =
        history.commit_failures().into_iter().map(|it| it.3).collect();
    ways.sort_unstable();
    ways.dedup();
    ways
}

fn stalled(commit: &str, by: &str, group: &str) -> String {
    format!(
        r#"
        duration: "40s",
        topics: {{"orders": (partitions: 1, replication_factor: 3)}},
        producers: [(name: "shop", topic: "orders", rate: 50, keys: Unique,
                     properties: {{"linger.ms": "0"}})],
        groups: [
            (id: "billing", topics: ["orders"], commit: {commit}, on_commit_failure: Ignore, {group}),
            (name: "second", id: "billing", topics: ["orders"], from: "6s",
             properties: {{"max.poll.interval.ms": "10000"}}),
        ],
        faults: [(at: "5s", fault: StallRequests(
            from: Member("billing"), to: Brokers, api: OffsetCommit, by: "{by}", first: 1,
        ))],
        "#
    )
}

/// UNKNOWN_MEMBER_ID: `CommitFailedException`, and the member joins again as a new one. Its heartbeats wait behind the commit
/// on the connection, so that its session of 6 s ends; the commit comes after 15 s.
#[test]
fn an_unknown_members_commit_fails_for_good_and_it_joins_as_another() {
    let fields = stalled("SyncPerBatch", "15s", r#"properties: {"session.timeout.ms": "6000"}"#);
    for history in histories(&fields, SEEDS) {
        let node = history.node_of_member("billing", 0);
        let failures = history.commit_failures();
        let expected = CommitFailure::CommitFailed(Some(ErrorCode::UnknownMemberId));
        assert_eq!(ways(&history), [expected]);
        assert_eq!((failures.len(), failures[0].1), (1, node));
        assert_eq!(history.removals()[0].1, node);
        assert_eq!(history.removals()[0].2, RemovalReason::SessionExpired);
        let lost: Vec<ErrorCode> =
            history.memberships_lost(node).into_iter().map(|it| it.1).collect();
        assert_eq!(lost, [ErrorCode::UnknownMemberId]);
        let ids = history.memberships(node);
        assert!(ids.len() == 2 && ids[0] != ids[1], "{ids:?}");
    }
}

/// ILLEGAL_GENERATION: `CommitFailedException`, and the member joins again under its id. It is a static member, which the
/// coordinator keeps although it has not joined the rebalance within 10 s (6 s to 16 s); its commit of 5 s comes at 23 s,
/// before it is missed for not having asked for its assignment (26 s). Static members come first, so that the one partition
/// stays with it all the time.
#[test]
fn a_commit_of_the_last_generation_fails_for_good_and_the_member_keeps_its_id() {
    let fields = stalled(
        "Async",
        "18s",
        r#"properties: {"group.instance.id": "one", "max.poll.interval.ms": "10000"}"#,
    );
    for history in histories(&fields, SEEDS) {
        let node = history.node_of_member("billing", 0);
        let expected = CommitFailure::CommitFailed(Some(ErrorCode::IllegalGeneration));
        let failures = history.commit_failures();
        let first = failures.first().expect("a commit failed");
        assert_eq!((first.1, first.3), (node, expected), "seed {}", history.seed);
        within("when it arrives", between(secs(23.0), first.0), 0.0..=0.1);
        assert_eq!(history.memberships_lost(node)[0].1, ErrorCode::IllegalGeneration);
        assert_eq!(history.memberships(node).len(), 1);
        assert!(history.removals().is_empty(), "{:?}", history.removals());
    }
}

/// `RebalanceInProgressException`, without a word to the coordinator: a cooperative member goes on while others are slow to
/// join, but cannot commit until it has its new generation. It is the same commit that succeeds afterwards: nothing is
/// repeated. Before 2.5 (KAFKA-8421) there was no such exception.
#[test]
fn a_cooperative_member_cannot_commit_while_it_waits_for_others_to_join() {
    let fields = |client: &str| {
        format!(
            r#"
            duration: "15s",
            topics: {{"orders": (partitions: 3, replication_factor: 3)}},
            producers: [(name: "shop", topic: "orders", rate: 60, keys: Unique,
                         properties: {{"linger.ms": "0"}})],
            groups: [
                (id: "billing", topics: ["orders"], commit: SyncPerBatch, client: {client},
                 properties: {{"partition.assignment.strategy": "cooperative-sticky",
                               "heartbeat.interval.ms": "500"}}),
                (name: "slow", id: "billing", topics: ["orders"], commit: SyncPerBatch,
                 processing: (slow: (from: "5s", until: "9s", per_record: "4s")),
                 properties: {{"partition.assignment.strategy": "cooperative-sticky",
                               "heartbeat.interval.ms": "500", "max.poll.records": "1"}}),
                (name: "late", id: "billing", topics: ["orders"], from: "6s", commit: SyncPerBatch,
                 properties: {{"partition.assignment.strategy": "cooperative-sticky",
                               "heartbeat.interval.ms": "500"}}),
            ],
            "#
        )
    };
    for history in histories(&fields(r#"Java("3.9")"#), SEEDS) {
        let node = history.node_of_member("billing", 0);
        assert_eq!(ways(&history), [CommitFailure::RebalanceInProgress], "seed {}", history.seed);
        let failed = history.commit_failures().into_iter().filter(|it| it.1 == node);
        let times: Vec<_> = failed.map(|it| it.0).collect();
        // From its heartbeat (at most 0.5 s after 6 s) until the slow one polls (4 s after 5 s, and one record); and again
        // in the second rebalance, which hands over what has been given up, until everybody has heard of it.
        within("first", between(secs(6.0), times[0]), 0.0..=0.6);
        within("last", between(secs(5.0), times[times.len() - 1]), 3.9..=4.8);
        // Its one or two partitions bring 20 or 40 records a second.
        within("commits", times.len() as f64, 30.0..=150.0);
        let refused = history.commit_answers().into_iter().filter(|it| !it.2.is_none());
        assert_eq!(refused.count(), 0);
        for group in ["billing", "slow", "late"] {
            assert_eq!(history.group(group).counts.reprocessed, 0, "{group}");
        }
    }
    // `ensureActiveGroup()` used to keep poll() from returning anything: the application has nothing to commit, and what the
    // member keeps stands still.
    for history in histories(&fields(r#"Java("2.4")"#), SEEDS) {
        let node = history.node_of_member("billing", 0);
        let failures = history.commit_failures().into_iter().filter(|it| it.1 == node);
        assert_eq!(failures.collect::<Vec<_>>(), [], "seed {}", history.seed);
        let refused = history.commit_answers().into_iter().filter(|it| !it.2.is_none());
        assert_eq!(refused.count(), 0);
        let processed = history.all(|event| match event {
            TraceEvent::RecordsProcessed { .. } => Some(()),
            _ => None,
        });
        let times: Vec<_> = processed.iter().filter(|it| it.1 == node).map(|it| it.0).collect();
        let gaps = times.windows(2).map(|pair| (between(pair[0], pair[1]), pair[0]));
        let (gap, since) = gaps.max_by(|a, b| a.0.total_cmp(&b.0)).expect("records");
        // From its heartbeat until the slow one polls, as above.
        within("stands still from", between(secs(6.0), since), -0.1..=0.6);
        within("until", between(secs(5.0), since) + gap, 3.9..=4.8);
        for group in ["billing", "slow", "late"] {
            assert_eq!(history.group(group).counts.reprocessed, 0, "{group}");
        }
    }
}

fn coordinator_dies(commit: &str, properties: &str) -> String {
    format!(
        r#"
        duration: "25s",
        cluster: (brokers: 3, mode: KRaft(controllers: 3), properties: {{"offsets.topic.num.partitions": "1"}}),
        topics: {{"orders": (assignments: [[2, 3], [3, 2]])}},
        producers: [(name: "shop", topic: "orders", rate: 100, keys: Unique,
                     properties: {{"linger.ms": "0"}})],
        groups: [(id: "billing", topics: ["orders"], members: 2, commit: {commit},
                  properties: {{{properties}}})],
        faults: [(at: "5s", fault: Kill(CoordinatorOf("billing")), for: "12s")],
        "#
    )
}

/// NOT_COORDINATOR, COORDINATOR_NOT_AVAILABLE, COORDINATOR_LOAD_IN_PROGRESS and lost connections: the one attempt of
/// `commitAsync()` fails with `RetriableCommitFailedException`, and membership is none the worse.
#[test]
fn an_asynchronous_commit_tells_what_could_be_tried_again() {
    for history in histories(&coordinator_dies("Async", ""), SEEDS) {
        let failures = history.commit_failures();
        assert!(failures.len() >= 10, "seed {}: {failures:?}", history.seed);
        for (at, _, trigger, failure) in failures {
            assert_eq!(trigger, CommitTrigger::Async);
            let CommitFailure::Retriable(error) = failure else { panic!("{failure:?}") };
            let known = [
                ErrorCode::NotCoordinator,
                ErrorCode::CoordinatorNotAvailable,
                ErrorCode::CoordinatorLoadInProgress,
                ErrorCode::NetworkException,
                ErrorCode::RequestTimedOut,
            ];
            assert!(known.contains(&error), "{error:?}");
            // Until the controller has fenced the broker and the next one is found.
            within("when", between(secs(5.0), at), 0.0..=10.5);
        }
        let counts = history.group("billing").counts;
        assert_eq!((counts.rebalances, counts.evictions, counts.reprocessed), (0, 0, 0));
    }
}

/// `commitSync()` tries all that time, and returns when the next coordinator has answered.
#[test]
fn a_synchronous_commit_outlasts_the_failover() {
    for history in histories(&coordinator_dies("SyncPerBatch", ""), SEEDS) {
        assert_eq!(ways(&history), []);
        let accepted = history.commit_answers().into_iter().filter(|it| it.2.is_none());
        let times: Vec<_> = accepted.map(|it| it.0).filter(|at| *at > secs(5.01)).collect();
        within("first commit after the kill", between(secs(5.0), times[0]), 6.9..=10.5);
        let counts = history.group("billing").counts;
        assert_eq!((counts.rebalances, counts.evictions, counts.reprocessed), (0, 0, 0));
    }
}

/// `TimeoutException` when `default.api.timeout.ms` is over, and another one for the next call; polling in between keeps the
/// membership.
#[test]
fn a_synchronous_commit_gives_up_after_default_api_timeout() {
    let fields = coordinator_dies("SyncPerBatch", r#""default.api.timeout.ms": "3000""#);
    for history in histories(&fields, SEEDS) {
        assert_eq!(ways(&history), [CommitFailure::Timeout], "seed {}", history.seed);
        for node in [0, 1].map(|instance| history.node_of_member("billing", instance)) {
            let failed = history.commit_failures().into_iter().filter(|it| it.1 == node);
            let times: Vec<_> = failed.map(|it| it.0).collect();
            // A record came within 20 ms, on average, of the kill: in 200 ms there is no doubt. Between the two, poll() waits
            // for the coordinator for as long as it may (100 ms), and then returns what it has.
            within("first", between(secs(5.0), times[0]), 2.99..=3.2);
            within("second", between(times[0], times[1]), 3.09..=3.2);
            // Two in 7 s to 9 s of failover, or three.
            within("how many", times.len() as f64, 2.0..=3.0);
        }
        let counts = history.group("billing").counts;
        assert_eq!((counts.rebalances, counts.reprocessed, counts.skipped), (0, 0, 0));
    }
}

/// A group that the coordinator has never heard of: ILLEGAL_GENERATION (`CommitFailedException`), and since 4.0
/// GROUP_ID_NOT_FOUND, a plain `KafkaException`. The only copy of `__consumer_offsets` was in the page cache of a host
/// that lost power.
#[test]
fn a_forgotten_groups_commit_fails_by_version() {
    for (kafka, expected) in [
        ("3.9", CommitFailure::CommitFailed(Some(ErrorCode::IllegalGeneration))),
        ("4.1", CommitFailure::Other(ErrorCode::GroupIdNotFound)),
    ] {
        let fields = format!(
            r#"
            kafka: "{kafka}", duration: "25s", disk: (write_back: "10min"),
            cluster: (brokers: 3, mode: KRaft(controllers: 3), properties: {{
                "offsets.topic.num.partitions": "1", "offsets.topic.replication.factor": "1",
            }}),
            topics: {{"orders": (assignments: [[2, 3]])}},
            producers: [(name: "shop", topic: "orders", rate: 100, properties: {{"linger.ms": "0"}})],
            groups: [(id: "billing", topics: ["orders"], commit: SyncPerBatch,
                      on_commit_failure: Ignore)],
            faults: [(at: "5s", fault: PowerLoss(CoordinatorOf("billing")), for: "5s")],
            "#
        );
        let mut told = 0;
        for history in histories(&fields, SEEDS) {
            // If a heartbeat comes first, the commit finds that there is no membership any more.
            let ways = ways(&history);
            assert!(
                ways.iter().all(|way| [expected, CommitFailure::CommitFailed(None)].contains(way)),
                "{kafka}, seed {}: {ways:?}",
                history.seed
            );
            told += u64::from(ways.contains(&expected));
        }
        assert!(told >= 3, "{kafka}: a commit is nearly always under way: {told}");
    }
}

/// `CommitFailedException` found locally: the member has left by itself, `max.poll.interval.ms` after its last poll, and
/// knows that it has no generation. The coordinator is not asked (section 4.4).
#[test]
fn a_member_that_left_for_not_polling_fails_without_asking() {
    let fields = r#"
        duration: "30s",
        producers: [(name: "shop", topic: "orders", rate: 100, limit: 700, properties: {"linger.ms": "0"})],
        groups: [(
            id: "billing", topics: ["orders"], members: 2, commit: SyncPerBatch, on_commit_failure: Ignore,
            processing: (slow: (from: "5s", until: "6s", per_record: "8s")),
            properties: {"max.poll.interval.ms": "6000", "session.timeout.ms": "6000", "max.poll.records": "1"},
        )],
    "#;
    for history in histories(fields, SEEDS) {
        let failures = history.commit_failures();
        assert_eq!(ways(&history), [CommitFailure::CommitFailed(None)], "seed {}", history.seed);
        let left = history.all(|event| match event {
            TraceEvent::LeftGroup { reason } => Some(*reason),
            _ => None,
        });
        let (left_at, node, _) = left.into_iter().find(|it| it.0 > secs(0.0)).unwrap();
        assert_eq!(failures[0].1, node);
        within("left", between(secs(5.0), left_at), 5.98..=6.15);
        within("failed", between(left_at, failures[0].0), 1.9..=2.1);
        assert!(history.commit_answers().iter().all(|it| it.2.is_none()));
        // The record that took too long.
        assert_eq!(history.group("billing").counts.reprocessed, 1);
    }
}

/// FENCED_INSTANCE_ID: another process has the static member's `group.instance.id`. It is fatal, and there is no rebalance:
/// the newcomer has the partition, and what the other had processed and not committed (one poll's records, which here is one).
#[test]
fn a_second_process_with_the_same_instance_id_stops_the_first() {
    let fields = r#"
        duration: "15s",
        producers: [(name: "shop", topic: "orders", rate: 50, properties: {"linger.ms": "0"})],
        groups: [
            (id: "billing", topics: ["orders"], commit: SyncPerBatch,
             properties: {"group.instance.id": "one"}),
            (name: "copied", id: "billing", topics: ["orders"], commit: SyncPerBatch, from: "6s",
             properties: {"group.instance.id": "one"}),
        ],
    "#;
    for history in histories(fields, SEEDS) {
        let (first, second) =
            (history.node_of_member("billing", 0), history.node_of_member("copied", 0));
        assert_eq!(ways(&history), [CommitFailure::FencedInstance], "seed {}", history.seed);
        let failures = history.commit_failures();
        assert_eq!((failures.len(), failures[0].1), (1, first));
        let (replaced_at, removed, reason) = history.removals()[0];
        assert_eq!((removed, reason), (first, RemovalReason::Replaced));
        // With the next record's commit.
        within("told after", between(replaced_at, failures[0].0), 0.0..=0.05);
        let answered: Vec<ErrorCode> = history
            .commit_answers()
            .into_iter()
            .map(|it| it.2)
            .filter(|it| !it.is_none())
            .collect();
        assert_eq!(answered, [ErrorCode::FencedInstanceId]);
        let rebalanced = history.first(|it| matches!(it, TraceEvent::RebalanceStarted { .. }));
        assert_eq!(rebalanced, None);
        let exited = history.all(|event| match event {
            TraceEvent::ProcessExited { .. } => Some(()),
            _ => None,
        });
        assert_eq!(exited.iter().map(|it| it.1).collect::<Vec<_>>(), [first]);
        let owned = history.all(|event| match event {
            TraceEvent::PartitionsAssigned { owned, .. } => Some(owned.len()),
            _ => None,
        });
        assert!(owned.iter().any(|it| it.1 == second && it.2 == 1));
    }
}
