//! Patience, retries and buffers of the producer.

use crate::support::{History, SEEDS, histories, mean, secs, within};
use acklab_verdict::{AnomalyKind, Cause};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::trace::{RetryReason, SendOutcome, TraceEvent};

/// The leader stands still for longer than the producer waits, and for less than its session.
fn impatient(on_error: &str) -> String {
    format!(
        r#"
        duration: "20s",
        producers: [(name: "shop", topic: "orders", rate: 50, size: 100, on_error: {on_error},
                     properties: {{"acks": "all", "linger.ms": "0",
                                   "request.timeout.ms": "2000", "delivery.timeout.ms": "3000"}})],
        faults: [(at: "5s", fault: Pause(Broker(1)), for: "6500ms")],
        "#
    )
}

/// Outcome 24, case P13. The failed records are those of the pause, less the patience. Those whose request lay in the socket of
/// the sleeper are stored: a duplicate if the application sends them again, which no idempotence recognises; a phantom if not.
#[test]
fn a_record_that_was_given_up_may_be_stored() {
    for history in histories(&impatient(r#"SendAgain(attempts: 5, after: "4s")"#), SEEDS) {
        let records = &history.outcome.verdict.records;
        assert_eq!((records.lost, records.failed), (0, 0));
        within("duplicated", records.duplicated as f64, 5.0..=5.0 * 50.0);
        let cause = history.count_of(AnomalyKind::Duplicated, Cause::ResentByApplication);
        assert_eq!(cause, records.duplicated);
    }
    for history in histories(&impatient("GiveUp"), SEEDS) {
        let records = &history.outcome.verdict.records;
        within("failed", records.failed as f64, 50.0 * 2.5..=50.0 * 6.0);
        within("phantoms", records.phantom as f64, 5.0..=5.0 * 50.0);
        assert_eq!((records.lost, records.duplicated), (0, 0));
    }
}

/// Outcome 25, as far as the model goes: an application does not remember what it had handed to a producer that died. The next
/// one has another producer id, so nothing could be recognised. What was in flight is stored once or not at all.
#[test]
fn a_producer_that_restarts_has_another_producer_id() {
    let fields = r#"
        producers: [(name: "shop", topic: "orders", rate: 100, properties: {"acks": "all"})],
        faults: [(at: "3s", fault: Kill(Producer("shop")), for: "1s")],
    "#;
    for history in histories(fields, SEEDS) {
        let ids = history.all(|event| match event {
            TraceEvent::ProducerIdAssigned { producer_id, .. } => Some(*producer_id),
            _ => None,
        });
        assert!(ids.len() == 2 && ids[0].2 != ids[1].2, "{ids:?}");
        let records = &history.outcome.verdict.records;
        assert_eq!((records.lost, records.duplicated), (0, 0));
        assert!(records.unknown <= 5, "{}", records.unknown);
    }
}

/// Case P18: the link carries half of what comes, and the rest is not stored: 1 - capacity / rate.
///
/// What the application is told is worse than the prediction. A batch is sent when it is almost as old as
/// delivery.timeout.ms, and expires in flight: it is stored, and reported as failed.
#[test]
fn a_link_too_slow_for_the_rate_fails_what_it_cannot_carry() {
    let fields = r#"
        duration: "60s",
        network: (latency: Uniform("200us", "400us"), bandwidth: "100kB/s"),
        topics: {"orders": (partitions: 1, replication_factor: 1)},
        cluster: (brokers: 1, mode: KRaft(controllers: 1)),
        producers: [(name: "shop", topic: "orders", rate: 200, size: 1000, properties: {
            "acks": "1", "linger.ms": "0", "request.timeout.ms": "3000", "delivery.timeout.ms": "4000"})],
    "#;
    for history in histories(fields, 0..3) {
        let records = &history.outcome.verdict.records;
        let share = |of: u64| of as f64 / records.sent as f64;
        within("not stored", share(records.sent - records.stored), 0.42..=0.52);
        within("reported as failed", share(records.failed), 0.42..=1.0);
        assert_eq!(records.failed - records.phantom, records.sent - records.stored);
        assert_eq!(records.lost, 0);
    }
}

/// Case P21: metadata lags behind a move of the leader. Late by a metadata round; with retries=0 it is an error.
#[test]
fn a_move_of_the_leader_costs_a_metadata_round_or_fails_without_retries() {
    let moved = |kafka: &str, properties: &str| {
        format!(
            r#"
            kafka: "{kafka}", duration: "25s",
            cluster: (brokers: 3, mode: KRaft(controllers: 3),
                      properties: {{"auto.leader.rebalance.enable": "false"}}),
            producers: [(name: "shop", topic: "orders", rate: 100, size: 100,
                         properties: {{"acks": "1", "linger.ms": "0", {properties} }})],
            faults: [(at: "3s", fault: ControlledShutdown(Broker(1)), for: "3s"),
                     (at: "18s", fault: PreferredElection("orders", 0))],
            "#
        )
    };
    let refusals = |history: &History| {
        let retried = history.all(|event| match event {
            TraceEvent::BatchRetried { reason: RetryReason::Error(error), .. } => Some(*error),
            _ => None,
        });
        let moved = |it: &&(_, _, ErrorCode)| it.2 == ErrorCode::NotLeaderOrFollower;
        retried.iter().filter(moved).count() as u64
    };
    for kafka in ["3.6", "3.9"] {
        let histories = histories(&moved(kafka, ""), SEEDS);
        for history in &histories {
            assert_eq!(history.outcome.verdict.records.failed, 0);
            let longest = history.outcome.verdict.produce_latency.summary.max as f64 / 1e6;
            within("longest latency", longest, 0.0..=2.0);
        }
        assert!(mean(&histories, refusals) >= 1.0, "{kafka}: {}", mean(&histories, refusals));
    }
    let mut failed = 0;
    for history in histories(&moved("3.9", r#""retries": "0""#), SEEDS) {
        let refused = history.completions().into_iter();
        let not_leader = SendOutcome::Failed(ErrorCode::NotLeaderOrFollower);
        failed += refused.filter(|it| it.2 == not_leader && it.0 > secs(3.0)).count();
    }
    assert!(failed >= 6, "{failed}");
}
