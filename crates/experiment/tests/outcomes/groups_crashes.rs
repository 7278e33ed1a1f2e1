//! What a crash of a consumer costs, by how it commits: C1 to C4, outcomes 18, 19 and 26, section 4.5.

use crate::support::{History, between, histories, mean, within};
use acklab_verdict::{AnomalyKind, Cause};
use acklab_vocab::ids::NodeId;
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::{RemovalReason, TraceEvent};

const FIFTY: std::ops::Range<u64> = 0..50;

/// Two members, one partition, 100 records a second, and an end of its owner at a moment that may be anywhere in the longest
/// interval.
fn auto_commit(interval: u32, fault: &str) -> String {
    format!(
        r#"
        duration: "14s",
        producers: [(name: "shop", topic: "orders", rate: 100, properties: {{"linger.ms": "0"}})],
        groups: [(
            id: "billing", topics: ["orders"], members: 2, commit: Auto,
            properties: {{"auto.commit.interval.ms": "{interval}", "session.timeout.ms": "6000"}},
        )],
        faults: [(at: Uniform("5s", "10s"), fault: {fault})],
        "#
    )
}

const KILL: &str = r#"Kill(OwnerOf("billing", "orders", 0)), permanent: true"#;
const CLOSE: &str = r#"ControlledShutdown(OwnerOf("billing", "orders", 0)), for: "2s""#;

/// What a process has processed after its last commit that the coordinator accepted.
fn processed_since_last_commit(history: &History, node: NodeId) -> u64 {
    let mut answers = history.commit_answers().into_iter();
    let last = answers.rfind(|it| it.1 == node && it.2.is_none()).map(|it| it.3);
    let processed = history.all(|event| match event {
        TraceEvent::RecordsProcessed { from, to, .. } => Some((*from, *to)),
        _ => None,
    });
    let here = processed.into_iter().filter(|it| it.1 == node);
    let beyond =
        here.map(|(_, _, (from, to))| to.distance_from(from.max(last.unwrap_or_default()).min(to)));
    beyond.sum()
}

/// Outcome 26, C1, C2: at most the records of one interval and of one poll loop, which here is one record (they come 10 ms
/// apart and take 20 us), and what the commit's way to the coordinator takes, 1 ms: two records at most. And exactly those
/// that the process had processed after its last commit.
#[test]
fn a_crash_of_an_auto_committing_consumer_repeats_one_interval_and_one_poll_loop_at_most() {
    for interval in [100, 1_000, 5_000] {
        let histories = histories(&auto_commit(interval, KILL), FIFTY);
        let most = u64::from(interval) / 10 + 2;
        for history in &histories {
            let counts = history.group("billing").counts;
            let seed = history.seed;
            assert!(counts.reprocessed <= most, "{interval} ms, seed {seed}: {counts:?}");
            assert_eq!((counts.skipped, counts.pending), (0, 0), "{interval} ms, seed {seed}");
            let (_, killed) = history.kills()[0];
            assert_eq!(counts.reprocessed, processed_since_last_commit(history, killed));
            let cause = history.count_of(AnomalyKind::Reprocessed, Cause::CrashBeforeCommit);
            assert_eq!(cause, counts.reprocessed);
        }
        // Half of the interval on average: the moment is drawn from one of the longest. Three standard errors are 13 %.
        let expected = f64::from(interval) / 20.0;
        let mean = mean(&histories, |it| it.group("billing").counts.reprocessed);
        within("mean", mean, expected * 0.85 - 1.0..=expected * 1.15 + 2.0);
    }
}

/// The same where a poll loop takes long: 50 records come at once and take 5 ms each. A commit is due in the middle of a loop
/// and comes at its end, so that two commits are an interval and a loop apart, and the crash comes as late as before the
/// next one: for an interval of 1 s, what three bursts bring.
#[test]
fn a_long_poll_loop_puts_the_commit_off() {
    let fields = auto_commit(1_000, KILL)
        .replace("rate: 100,", "rate: 100, burst: 50,")
        .replace("commit: Auto", r#"commit: Auto, processing: "5ms""#);
    for history in histories(&fields, FIFTY) {
        let counts = history.group("billing").counts;
        assert!(counts.reprocessed <= 150, "seed {}: {counts:?}", history.seed);
        assert_eq!((counts.skipped, counts.pending), (0, 0));
    }
}

/// Outcome 26: `close()` commits and leaves the group. Nothing is repeated, and nobody waits for a session to run out.
#[test]
fn a_clean_close_repeats_nothing() {
    for interval in [100, 1_000, 5_000] {
        for history in histories(&auto_commit(interval, CLOSE), FIFTY) {
            let group = history.group("billing");
            let counts = group.counts;
            assert_eq!((counts.reprocessed, counts.skipped, counts.pending), (0, 0, 0));
            assert_eq!((counts.evictions, counts.commit_failures), (0, 0));
            let standstill = group.standstill_longest().as_secs_f64();
            within("standstill: a heartbeat of the other", standstill, 0.0..=3.2);
        }
    }
}

/// Outcome 26, section 4.3: nobody works on the partitions of the dead until its session is over (of which up to one
/// heartbeat interval had passed), and until the other's heartbeat has told it.
#[test]
fn the_partitions_of_the_dead_wait_for_the_session_of_the_clients_version() {
    let fields = |client: &str, properties: &str| {
        format!(
            r#"
            duration: "10s", settle: "2min",
            producers: [(name: "shop", topic: "orders", rate: 50, properties: {{"linger.ms": "0"}})],
            groups: [(id: "billing", topics: ["orders"], members: 2, client: {client},
                      properties: {{{properties}}})],
            faults: [(at: Uniform("5s", "8s"), fault: {KILL})],
            "#
        )
    };
    for (client, properties, session) in [
        (r#"Java("0.10.1")"#, "", 10.0),
        (r#"Java("2.8")"#, "", 10.0),
        (r#"Java("3.0")"#, "", 45.0),
        (r#"Java("3.9")"#, "", 45.0),
        ("KafkaPython", "", 10.0),
        ("Librdkafka", "", 45.0),
        ("Librdkafka", r#""session.timeout.ms": "10000""#, 10.0),
    ] {
        for history in histories(&fields(client, properties), 0..6) {
            let (killed_at, killed) = history.kills()[0];
            let (removed_at, removed, reason) = history.removals()[0];
            assert_eq!((removed, reason), (killed, RemovalReason::SessionExpired), "{client}");
            within(client, between(killed_at, removed_at), session - 3.01..=session);
            let standstill = history.group("billing").standstill_longest().as_secs_f64();
            within("standstill", standstill, session - 3.01..=session + 3.3);
        }
    }
}

/// Fifty records come at once, every half second, and take 5 ms each: half of the time the consumer has a batch in hand.
fn bursts(group: &str) -> String {
    format!(
        r#"
        duration: "14s",
        producers: [(name: "shop", topic: "orders", rate: 100, burst: 50,
                     properties: {{"linger.ms": "0"}})],
        groups: [(id: "billing", topics: ["orders"], members: 2, processing: "5ms", {group})],
        faults: [(at: Uniform("6s", "8s"), fault: {KILL})],
        "#
    )
}

/// Outcome 18, C4: of the batch in hand what is not done is lost; it is the other way round if the commit comes after.
#[test]
fn committing_before_processing_skips_what_committing_after_repeats() {
    let session = r#"properties: {"session.timeout.ms": "6000"}"#;
    let before = histories(&bursts(&format!("commit: BeforeProcessing, {session}")), FIFTY);
    let after = histories(&bursts(&format!("commit: SyncPerBatch, {session}")), FIFTY);
    for (before, after) in before.iter().zip(&after) {
        let (first, second) = (before.group("billing").counts, after.group("billing").counts);
        assert_eq!((first.reprocessed, second.skipped), (0, 0));
        assert!(first.skipped <= 50 && second.reprocessed <= 50);
        let cause = before.count_of(AnomalyKind::Skipped, Cause::CommittedBeforeProcessing);
        assert_eq!(cause, first.skipped);
    }
    // The moment falls into a batch with probability 1/2, and then on average into its middle.
    let skipped = mean(&before, |it| it.group("billing").counts.skipped);
    let repeated = mean(&after, |it| it.group("billing").counts.reprocessed);
    within("skipped", skipped, 6.0..=19.0);
    within("repeated", repeated, 6.0..=19.0);
}

/// Outcome 18, section 4.5: librdkafka stores a message's offset as it hands the message out, and its own thread commits
/// what is stored. The one message in hand is skipped if a commit has come since, and nothing else; Java's client
/// commits inside `poll()` only, and skips nothing. A message takes 400 ms and comes every 500 ms; commits are at most
/// 100 ms apart: of the time, 60 % to 80 % have a message in hand that is committed.
#[test]
fn librdkafka_commits_the_message_in_hand_and_java_does_not() {
    let fields = |client: &str| {
        format!(
            r#"
            duration: "14s",
            producers: [(name: "shop", topic: "orders", rate: 2, properties: {{"linger.ms": "0"}})],
            groups: [(
                id: "billing", topics: ["orders"], members: 2, processing: "400ms", client: {client},
                properties: {{"auto.commit.interval.ms": "100", "session.timeout.ms": "6000"}},
            )],
            faults: [(at: Uniform("6s", "8s"), fault: {KILL})],
            "#
        )
    };
    let native = histories(&fields("Librdkafka"), FIFTY);
    for history in &native {
        let counts = history.group("billing").counts;
        assert!(counts.skipped <= 1, "seed {}: {counts:?}", history.seed);
        let cause = history.count_of(AnomalyKind::Skipped, Cause::StoredBeforeProcessing);
        assert_eq!(cause, counts.skipped);
        assert_eq!(counts.pending, 0);
    }
    let skipped = mean(&native, |it| it.group("billing").counts.skipped);
    within("skipped", skipped, 0.5..=0.9);
    // The remedy: the application stores the offset of a message when it has processed it.
    let stores = fields("Librdkafka").replace(
        "properties: {\"auto.",
        "properties: {\"enable.auto.offset.store\": \"false\", \"auto.",
    );
    let stores = histories(&stores, FIFTY);
    for history in &stores {
        let counts = history.group("billing").counts;
        assert_eq!((counts.skipped, counts.pending), (0, 0), "seed {}", history.seed);
        assert!(counts.reprocessed <= 1, "one is done and not committed within 100 ms");
    }
    let repeated = mean(&stores, |it| it.group("billing").counts.reprocessed);
    within("reprocessed", repeated, 0.0..=0.4);
    for client in [r#"Java("3.9")"#, "KafkaPython"] {
        let mut fields = fields(client);
        if client == "KafkaPython" {
            fields = fields.replace("auto.commit.interval.ms", "auto_commit_interval_ms");
            fields = fields.replace("session.timeout.ms", "session_timeout_ms");
        }
        for history in histories(&fields, 0..20) {
            let counts = history.group("billing").counts;
            assert_eq!((counts.skipped, counts.pending), (0, 0), "{client} seed {}", history.seed);
            assert!(counts.reprocessed <= 1, "one is done and not committed before the next poll");
        }
    }
}

/// Outcome 19, C3: the whole queue of the workers, but for what came after the last commit.
#[test]
fn records_handed_to_workers_are_lost_with_the_process_and_bounded_by_the_queue() {
    let fields = r#"
        duration: "14s",
        producers: [(name: "shop", topic: "orders", rate: 100, properties: {"linger.ms": "0"})],
        groups: [(
            id: "billing", topics: ["orders"], members: 2, commit: HandedToWorkers(1), processing: "20ms",
            properties: {"auto.commit.interval.ms": "1000", "session.timeout.ms": "6000"},
        )],
        faults: [(at: "8s", fault: Kill(OwnerOf("billing", "orders", 0)), permanent: true)],
    "#;
    for history in histories(fields, 0..10) {
        let counts = history.group("billing").counts;
        let (killed_at, killed) = history.kills()[0];
        let dropped = history.all(|event| match event {
            TraceEvent::HandedOverRecordsDropped { from, to, .. } => Some(to.distance_from(*from)),
            _ => None,
        });
        let queue = dropped.iter().filter(|it| it.1 == killed && it.0 == killed_at);
        let queue: u64 = queue.map(|it| it.2).sum();
        // It grows by 50 records a second for 8 s; the records of at most one interval are not committed.
        within("queue", queue as f64, 380.0..=405.0);
        assert!(counts.skipped <= queue && counts.skipped + 105 >= queue, "{counts:?} of {queue}");
        assert_eq!(history.first(|it| matches!(it, TraceEvent::ProcessKilled)), Some(killed_at));
        assert!(killed_at > SimTime::ZERO);
    }
}
