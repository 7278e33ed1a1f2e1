//! Sent again: duplicates and order.

use crate::support::{History, SEEDS, between, histories, mean, secs, within};
use acklab_verdict::{AnomalyKind, Cause};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{LeaderEpoch, Offset, RecordId};
use acklab_vocab::trace::{RetryReason, SendOutcome, TraceEvent};
use std::collections::BTreeMap;

/// Where each record was first appended, in the log that began at time zero.
fn first_offsets(history: &History) -> BTreeMap<RecordId, Offset> {
    let mut first = BTreeMap::new();
    for append in history.appends() {
        for (index, &record) in append.records.iter().enumerate() {
            first.entry(record).or_insert_with(|| append.offset.plus(index as u64));
        }
    }
    first
}

/// Batches recognised as duplicates: where the first copy begins, and the first record.
fn recognised(history: &History) -> Vec<(Offset, RecordId)> {
    let found = history.all(|event| match event {
        TraceEvent::Deduplicated { base_offset, records, .. } => {
            Some((*base_offset, records[0].id))
        }
        _ => None,
    });
    found.into_iter().map(|(.., it)| it).collect()
}

fn lossy_answers(idempotence: bool) -> String {
    format!(
        r#"
        duration: "25s",
        producers: [(name: "shop", topic: "orders", rate: 50, size: 100, properties: {{
            "acks": "all", "enable.idempotence": "{idempotence}", "linger.ms": "0"}})],
        faults: [(at: "2s", for: "20s", fault:
            DropResponses(from: Broker(1), to: Producer("shop"), share: 0.05, then: Reset))],
        "#
    )
}

/// Outcome 20, case P9: as many duplicates as requests whose answer is lost: 20 s x 50/s x 0.05 = 50.
#[test]
fn a_lost_answer_is_a_second_copy_unless_the_producer_is_idempotent() {
    let plain = histories(&lossy_answers(false), 0..12);
    within("mean duplicates", mean(&plain, History::duplicated), 40.0..=60.0);
    for history in &plain {
        assert_eq!(history.lost(), 0);
        let cause = history.count_of(AnomalyKind::Duplicated, Cause::AckLostRetried);
        assert_eq!(cause, history.duplicated(), "seed {}", history.seed);
    }
    for (history, plain) in histories(&lossy_answers(true), 0..12).iter().zip(&plain) {
        let records = &history.outcome.verdict.records;
        assert_eq!((records.lost, records.duplicated, records.reordered), (0, 0, 0));
        // The same bad luck met both, but for what it made them send again.
        let (saved, doubled) = (recognised(history), plain.duplicated() as f64);
        within("recognised", saved.len() as f64, doubled * 0.5..=doubled * 1.6 + 5.0);
        let first = first_offsets(history);
        let acked: BTreeMap<RecordId, Option<Offset>> =
            history.acks().into_iter().map(|(_, id, offset)| (id, offset)).collect();
        for (offset, record) in saved {
            assert_eq!(offset, first[&record]);
            assert_eq!(acked[&record], Some(offset), "the answer names the first copy");
        }
    }
}

fn killed_after(trigger: &str, idempotence: bool) -> String {
    format!(
        r#"
        duration: "5s",
        producers: [(name: "shop", topic: "orders", rate: 50, size: 100, properties: {{
            "acks": "all", "enable.idempotence": "{idempotence}", "linger.ms": "0"}})],
        faults: [(after: {trigger}, fault: Kill(Broker(1)), for: "2s")],
        "#
    )
}

/// Outcome 21: the followers have it, the producer does not know.
#[test]
fn a_batch_that_was_replicated_but_not_acked_is_doubled_by_the_retry_unless_recognised() {
    for history in histories(&killed_after(r#"Replicated("shop#100", 2)"#, false), SEEDS) {
        assert_eq!((history.lost(), history.duplicated()), (0, 1));
        let cause = Cause::LeaderMovedAfterReplicationRetried;
        assert_eq!(history.count_of(AnomalyKind::Duplicated, cause), 1);
        assert_eq!(history.outcome.verdict.anomalies[0].record.sequence, 100);
    }
    for history in histories(&killed_after(r#"Replicated("shop#100", 2)"#, true), SEEDS) {
        assert_eq!((history.lost(), history.duplicated()), (0, 0));
        // The new leader recognises it by what it has replicated.
        let recognised = recognised(&history);
        assert_eq!(recognised.iter().map(|it| it.1.sequence).collect::<Vec<_>>(), [100]);
        assert_eq!(recognised[0].0, first_offsets(&history)[&recognised[0].1]);
    }
}

/// Outcome 22: no follower has it, so the retry is the only copy that stays.
#[test]
fn a_batch_that_no_follower_had_is_stored_once_either_way() {
    for idempotence in [false, true] {
        for history in histories(&killed_after(r#"Appended("shop#100")"#, idempotence), SEEDS) {
            assert_eq!((history.lost(), history.duplicated()), (0, 0));
            let copies = history.appends().into_iter();
            let copies = copies.filter(|it| it.records.iter().any(|it| it.sequence == 100));
            let epochs: Vec<LeaderEpoch> = copies.map(|it| it.epoch).collect();
            assert_eq!(epochs, [LeaderEpoch(0), LeaderEpoch(1)], "the first was cut away");
        }
    }
}

/// The leader is cut off from its followers, so that answers wait, and dies with requests in flight.
fn pipelined(properties: &str) -> String {
    format!(
        r#"
        duration: "6s",
        producers: [(name: "shop", topic: "orders", rate: 100, size: 100, properties: {{
            "acks": "all", "linger.ms": "0", {properties} }})],
        faults: [
            (name: "cut", at: "3s", fault: Partition(Broker(1), [Broker(2), Broker(3)]), for: "1s"),
            (at: "3500ms", fault: Kill(Broker(1)), permanent: true),
        ],
        "#
    )
}

/// Sequences of the records appended by the leader of an epoch, one list a batch.
fn appended_in(history: &History, epoch: u32) -> Vec<Vec<u32>> {
    let appends = history.appends().into_iter();
    let of_epoch = appends.filter(|it| it.epoch == LeaderEpoch(epoch) && it.at > secs(3.0));
    of_epoch.map(|it| it.records.iter().map(|id| id.sequence).collect()).collect()
}

/// Rule 0.1: of five requests in flight the broker had begun one; the others were unread when it died.
#[test]
fn a_broker_that_dies_had_begun_one_request_of_each_connection() {
    for history in histories(&pipelined(""), SEEDS) {
        let sent = history.all(|event| match event {
            TraceEvent::BatchSent { broker, retry: 0, .. } => (broker.0 == 1).then_some(()),
            _ => None,
        });
        let in_flight = sent.iter().filter(|it| it.0 > secs(3.0)).count();
        let appended = appended_in(&history, 0);
        assert_eq!((in_flight, appended.len()), (5, 1), "seed {}", history.seed);
    }
}

/// Rule 3.3, outcome 23, case P10: what was sent as A B C D E is sent again as E D C B A, and only the last was in its place.
#[test]
fn a_broken_connection_turns_the_order_of_what_was_in_flight_around() {
    for history in histories(&pipelined(r#""enable.idempotence": "false""#), SEEDS) {
        let again = appended_in(&history, 1);
        let first: Vec<u32> = again[..5].iter().map(|batch| batch[0]).collect();
        assert!(first.windows(2).all(|pair| pair[0] > pair[1]), "{first:?}");
        // (q - 1) x b: single records, they were sent as they came.
        assert_eq!(history.outcome.verdict.records.reordered, 4);
        let cause = history.count_of(AnomalyKind::Reordered, Cause::RetriedInReverse);
        assert_eq!((cause, history.duplicated()), (4, 0));
    }
    for properties in [
        r#""enable.idempotence": "false", "max.in.flight.requests.per.connection": "1""#,
        r#""enable.idempotence": "true""#,
    ] {
        for history in histories(&pipelined(properties), SEEDS) {
            let again: Vec<u32> = appended_in(&history, 1).concat();
            assert!(again.is_sorted(), "{again:?}");
            assert_eq!(history.outcome.verdict.records.reordered, 0);
        }
    }
}

fn shrinking(kafka: &str, properties: &str) -> String {
    format!(
        r#"
        kafka: "{kafka}", duration: "20s",
        cluster: (brokers: 3, mode: KRaft(controllers: 3),
                  properties: {{"replica.lag.time.max.ms": "2000"}}),
        topics: {{"orders": (assignments: [[1, 2, 3]], properties: {{"min.insync.replicas": "2"}})}},
        producers: [(name: "shop", topic: "orders", rate: 50, size: 100, properties: {{
            "acks": "all", "enable.idempotence": "false", "linger.ms": "0", {properties} }})],
        faults: [(at: "5s", fault: Partition(Broker(1), [Broker(2), Broker(3)]), for: "10s")],
        "#
    )
}

fn errors(history: &History) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    let answers = history.all(|event| match event {
        TraceEvent::ProduceAnswered { error, .. } => Some(*error),
        _ => None,
    });
    for (.., error) in answers {
        *counts.entry(format!("{error:?}")).or_insert(0) += 1;
    }
    counts
}

/// Rules 1.5 and 1.6(5), case P12. Until 3.6 the high watermark passes with the shrink, and the leader answers that the ISR is
/// too small now: an error for a record that stays. Since 3.7 the high watermark stands still, and the answer waits until the
/// ISR is large enough again, or the request has timed out.
///
/// The prediction of at most q x b duplicates is b: of the requests in flight on one connection only one had been appended.
#[test]
fn a_shrink_after_the_append_is_an_error_until_3_6_and_a_wait_since() {
    let name = format!("{:?}", ErrorCode::NotEnoughReplicasAfterAppend);
    for history in histories(&shrinking("3.6", ""), SEEDS) {
        assert_eq!(errors(&history).get(&name), Some(&1), "{:?}", errors(&history));
        assert_eq!((history.lost(), history.duplicated()), (0, 1));
        let cause = Cause::NotEnoughReplicasAfterAppendRetried;
        assert_eq!(history.count_of(AnomalyKind::Duplicated, cause), 1);
    }
    for kafka in ["3.7", "3.9", "4.0"] {
        for history in histories(&shrinking(kafka, ""), 0..3) {
            assert_eq!(errors(&history).get(&name), None, "{:?}", errors(&history));
            assert_eq!((history.lost(), history.duplicated()), (0, 0));
        }
    }
    let impatient = r#""request.timeout.ms": "6000""#;
    for history in histories(&shrinking("3.9", impatient), SEEDS) {
        assert_eq!(errors(&history).get(&name), None, "{:?}", errors(&history));
        assert_eq!((history.lost(), history.duplicated()), (0, 1));
    }
}

fn stuck_follower(idempotence: bool) -> String {
    format!(
        r#"
        duration: "90s",
        producers: [(name: "shop", topic: "orders", rate: 20, size: 100, properties: {{
            "acks": "all", "enable.idempotence": "{idempotence}", "linger.ms": "0"}})],
        faults: [(at: Uniform("5s", "20s"), fault: Partition(Broker(1), Broker(3)), for: "60s")],
        "#
    )
}

/// Outcome 9, case P11: the client waits for 30 s, the leader for 30 to 45 s before it drops the follower. A retry of what was
/// appended is a duplicate; at most q x b of them. In KRaft a follower is only stuck so long if the controller hears of it.
#[test]
fn a_stuck_follower_outlasts_the_request_and_the_retry_is_a_duplicate() {
    for history in histories(&stuck_follower(false), SEEDS) {
        let began = history.first(|it| matches!(it, TraceEvent::FaultBegan { .. })).unwrap();
        let timeout = history.first(|it| {
            matches!(it, TraceEvent::BatchRetried { reason: RetryReason::RequestTimeout, .. })
        });
        within("timeout", between(began, timeout.unwrap()), 29.9..=30.2);
        let shrunk = history.changes()[0].clone();
        assert_eq!(shrunk.isr, [1, 2]);
        within("shrink", between(began, shrunk.at), 29.9..=45.1);
        assert_eq!(history.outcome.verdict.cluster.fencings, 0);
        let doubled = history.duplicated() as f64;
        within("duplicates", doubled, 1.0..=5.0);
        assert_eq!(history.lost(), 0);
    }
    for history in histories(&stuck_follower(true), SEEDS) {
        let records = &history.outcome.verdict.records;
        assert_eq!((records.lost, records.duplicated, records.reordered), (0, 0, 0));
        let failed = |it: &&(_, _, SendOutcome)| matches!(it.2, SendOutcome::Failed(_));
        assert_eq!(history.completions().iter().filter(failed).count(), 0);
    }
}
