//! Partitions that are added to a topic: who learns of them when, and what that costs. Cases C14 and C19.

use crate::support::{History, SEEDS, between, histories, mean, within};
use acklab_verdict::{AnomalyKind, Cause};
use acklab_vocab::ids::{Offset, TopicPartition};
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::{PartitionChangeReason, TraceEvent};

const FIRST: TopicPartition = TopicPartition::new(0, 0);
const ADDED: TopicPartition = TopicPartition::new(0, 1);

/// A topic of one partition gets a second one. The producer learns of it within half a second, and half of its 100 records a
/// second go there from then on.
fn growing(kafka: &str, group: &str) -> String {
    format!(
        r#"
        kafka: "{kafka}", duration: "40s",
        topics: {{"orders": (partitions: 1, replication_factor: 3)}},
        producers: [(name: "shop", topic: "orders", rate: 100, keys: Unique,
                     properties: {{"linger.ms": "0", "metadata.max.age.ms": "500"}})],
        groups: [(id: "billing", topics: ["orders"], {group})],
        faults: [(at: Uniform("10s", "20s"), fault: AddPartitions("orders", 1))],
        "#
    )
}

/// When the partition was added.
fn added(history: &History) -> SimTime {
    history.change(PartitionChangeReason::Created).at
}

/// The last time that the member looked where a partition begins or ends for it: when, and what it found.
fn looked(history: &History, wanted: TopicPartition) -> (SimTime, Offset) {
    let looked = history.all(|event| match event {
        TraceEvent::PositionReset { partition, to, .. } if *partition == wanted => Some(*to),
        _ => None,
    });
    let (at, _, to) = *looked.last().expect("it has no committed offset");
    (at, to)
}

/// C14: with `auto.offset.reset` latest, what comes into the new partition before the group has it is skipped: that takes the
/// leader of the group up to `metadata.max.age.ms` to learn of it (5 min by default, 10 s here), and a rebalance. With
/// earliest it costs nothing.
#[test]
fn what_comes_into_a_new_partition_before_the_group_knows_it_is_skipped_from_latest() {
    let group = |reset: &str| {
        format!(r#"properties: {{"metadata.max.age.ms": "10000", "auto.offset.reset": "{reset}"}}"#)
    };
    let latest = histories(&growing("3.9", &group("latest")), 0..12);
    for history in &latest {
        let (at, end) = looked(history, ADDED);
        let waited = between(added(history), at);
        within("learned after", waited, 0.0..=10.3);
        let counts = history.group("billing").counts;
        assert_eq!(counts.skipped, end.0, "seed {}: all that was there", history.seed);
        let cause = history.count_of(AnomalyKind::Skipped, Cause::ResetToEnd);
        assert_eq!((cause, counts.reprocessed), (counts.skipped, 0));
        // The partition stands still until then, but not before it is there.
        let standstill = history.group("billing").standstill_longest().as_secs_f64();
        within("standstill", standstill, waited - 0.05..=waited + 0.05);
        // Fifty a second since the producer has learned of it; which partition a key has is chance.
        let expected = 50.0 * waited;
        within("skipped", end.0 as f64, expected - 95.0..=expected + 70.0);
    }
    // The moment is drawn, so that half of the age passes on average.
    let millis =
        |history: &History| (between(added(history), looked(history, ADDED).0) * 1_000.0) as u64;
    within("learned after, on average", mean(&latest, millis), 2_000.0..=8_000.0);
    for history in histories(&growing("3.9", &group("earliest")), SEEDS) {
        let counts = history.group("billing").counts;
        assert_eq!((counts.skipped, counts.reprocessed, counts.pending), (0, 0, 0));
    }
}

/// C14 by KIP-848: the coordinator sees the new partition itself, and the member is told with its next heartbeat, at the
/// latest after `group.consumer.heartbeat.interval.ms` (5 s), whatever the age of its metadata.
#[test]
fn a_coordinator_that_assigns_learns_of_a_new_partition_itself() {
    let group = r#"properties: {"group.protocol": "consumer", "auto.offset.reset": "latest"}"#;
    for history in histories(&growing("4.1", group), 0..8) {
        let (at, end) = looked(&history, ADDED);
        within("learned after", between(added(&history), at), 0.0..=5.6);
        let counts = history.group("billing").counts;
        assert_eq!((counts.skipped, counts.reprocessed), (end.0, 0), "seed {}", history.seed);
    }
}

/// C19: a rebalance that only new metadata has caused. Who has not committed, and gives everything up to join (eager), begins
/// where its group's offsets say: here from the start, so that the next `poll()` returns everything again. A cooperative
/// member keeps what it has, position included; and who commits loses nothing either.
#[test]
fn a_rebalance_for_new_metadata_returns_again_what_was_not_committed() {
    let python = r#"client: KafkaPython, commit: Never, properties: {
        "metadata_max_age_ms": "2000", "auto_offset_reset": "earliest"}"#;
    let java = |commit: &str, more: &str| {
        format!(
            r#"commit: {commit}, properties: {{
                "metadata.max.age.ms": "2000", "auto.offset.reset": "earliest", {more}}}"#
        )
    };
    let cooperative = r#""partition.assignment.strategy": "cooperative-sticky""#;
    for group in [python.to_owned(), java("Never", "")] {
        for history in histories(&growing("3.9", &group), SEEDS) {
            let (at, begin) = looked(&history, FIRST);
            within("learned after", between(added(&history), at), 0.0..=2.3);
            assert_eq!(begin, Offset(0), "{group}");
            let processed = history.all(|event| match event {
                TraceEvent::RecordsProcessed { partition: FIRST, to, .. } => Some(to.0),
                _ => None,
            });
            let before = processed.iter().filter(|it| it.0 < at).map(|it| it.2).max();
            let counts = history.group("billing").counts;
            assert_eq!(Some(counts.reprocessed), before, "seed {}, {group}", history.seed);
            // A hundred a second, for 10 s to 22 s.
            within("again", counts.reprocessed as f64, 990.0..=2_300.0);
            let cause = history.count_of(AnomalyKind::Reprocessed, Cause::NeverCommits);
            assert_eq!((cause, counts.skipped), (counts.reprocessed, 0));
        }
    }
    for group in [java("Never", cooperative), java("SyncPerBatch", "")] {
        for history in histories(&growing("3.9", &group), SEEDS) {
            let counts = history.group("billing").counts;
            assert!(counts.rebalances >= 1, "{counts:?}");
            assert_eq!((counts.reprocessed, counts.skipped, counts.pending), (0, 0, 0), "{group}");
        }
    }
}
