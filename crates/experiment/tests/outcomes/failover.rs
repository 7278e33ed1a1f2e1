//! A leader dies: what the next one lacks.

use crate::support::{History, SEEDS, between, histories, mean, secs, within};
use acklab_verdict::{AnomalyKind, Cause};
use acklab_vocab::ids::LeaderEpoch;
use acklab_vocab::trace::{PartitionChangeReason, SendOutcome, TraceEvent};

/// `count` producers of 1,000 records a second each, between zones, and a leader that dies for good.
fn crash(acks: &str, count: u16) -> String {
    format!(
        r#"
        duration: "3s",
        network: (latency: Uniform("1ms", "2ms")),
        producers: [(name: "shop", count: {count}, topic: "orders", rate: 1000, size: 1024,
                     properties: {{"acks": "{acks}", "linger.ms": "0"}})],
        faults: [(at: "2s", fault: Kill(Broker(1)), permanent: true)],
        "#
    )
}

/// Acked by the first leader, from where the second leader's log ended.
fn acked_beyond_the_fork(history: &History) -> u64 {
    let elected = history.change(PartitionChangeReason::BrokerFenced).at;
    let fork = history.epoch_start(LeaderEpoch(1));
    let acks = history.acks().into_iter();
    acks.filter(|(at, _, offset)| *at < elected && offset.is_some_and(|it| it >= fork)).count()
        as u64
}

/// Outcome 1, case P4. A record is at risk for as long as the followers' fetch takes to come round again: the kill falls on
/// average half a round trip (3 ms and the service times) after the last fetch of the replica that will lead.
#[test]
fn acks_1_loses_what_was_acked_after_the_last_fetch_of_the_next_leader() {
    let ten = histories(&crash("1", 10), 0..16);
    for history in &ten {
        assert_eq!(history.lost(), acked_beyond_the_fork(history), "seed {}", history.seed);
        assert!(history.lost() <= 45, "one round trip of at most 4 ms, 10 records a millisecond");
        let cause = history.count_of(AnomalyKind::Lost, Cause::AckedBeforeReplication);
        assert_eq!(cause, history.lost());
    }
    let at_10_000 = mean(&ten, History::lost);
    within("mean loss at 10,000 records/s", at_10_000, 9.0..=25.0);
    let at_5_000 = mean(&histories(&crash("1", 5), 0..16), History::lost);
    within("a loss in proportion to the rate", at_5_000 / at_10_000, 0.3..=0.7);
}

/// Outcome 1, the other half: within a data centre, the followers' fetches wait in the leader's purgatory by the time the
/// next record comes. A record leaves for them as it is appended, and its ack leaves at the same time.
#[test]
fn acks_1_hardly_ever_loses_one_where_fetches_wait_for_records() {
    let fields = crash("1", 1).replace(r#"network: (latency: Uniform("1ms", "2ms")),"#, "");
    within("mean loss", mean(&histories(&fields, 0..16), History::lost), 0.0..=0.25);
}

/// Outcome 2.
#[test]
fn acks_all_loses_nothing_that_was_acked() {
    for history in histories(&crash("all", 10), SEEDS) {
        let records = &history.outcome.verdict.records;
        assert_eq!((records.lost, records.duplicated, records.failed), (0, 0, 0));
        assert_eq!(records.acked, records.sent);
    }
}

/// Outcome 3, rule 3.4, case P1. Beyond what acks=1 loses, acks=0 loses what was on the wire (1.5 ms) and what was written
/// until the reset arrived (1.5 ms). Then nothing more is written: the producer has no connection, and keeps the rest.
#[test]
fn acks_0_loses_what_was_sent_until_the_producer_noticed() {
    let (zero, one) = (histories(&crash("0", 10), 0..16), histories(&crash("1", 10), 0..16));
    for (zero, one) in zero.iter().zip(&one) {
        assert!(zero.lost() >= one.lost(), "seed {}", zero.seed);
        let records = &zero.outcome.verdict.records;
        assert_eq!((records.failed, records.duplicated), (0, 0));
        assert!(zero.completions().iter().all(|it| it.2 == SendOutcome::Acked(None)));
    }
    within(
        "mean loss, 10 records/ms x (1.5 + 1.5 + 1.5) ms",
        mean(&zero, History::lost),
        30.0..=65.0,
    );
}

/// Case R26. The new leader knows the high watermark that the old one had told it, which is one fetch old: readers may see it
/// go back, and no record is lost.
#[test]
fn the_high_watermark_of_a_new_leader_is_a_fetch_behind() {
    let mut behind = 0;
    for history in histories(&crash("all", 10), SEEDS) {
        let exposed = history.all(|event| match event {
            TraceEvent::HighWatermarkAdvanced {
                high_watermark,
                leader: true,
                leader_epoch,
                ..
            } if *leader_epoch == LeaderEpoch(0) => Some(*high_watermark),
            _ => None,
        });
        let taken_over = history.all(|event| match event {
            TraceEvent::BecameLeader { high_watermark, leader_epoch, .. }
                if *leader_epoch == LeaderEpoch(1) =>
            {
                Some(*high_watermark)
            }
            _ => None,
        });
        let (exposed, taken_over) = (exposed.last().unwrap().2, taken_over[0].2);
        assert!(taken_over <= exposed);
        // Two round trips at most: the fetch that told, and the one that it waited for.
        assert!(exposed.0 - taken_over.0 <= 2 * 45, "{exposed:?} {taken_over:?}");
        assert!(history.epoch_start(LeaderEpoch(1)) >= exposed, "what was committed is there");
        behind += u32::from(taken_over < exposed);
    }
    assert!(behind >= 4, "{behind}");
}

const PLANNED: &str = r#"
    duration: "20s",
    cluster: (brokers: 3, mode: KRaft(controllers: 3),
              properties: {"auto.leader.rebalance.enable": "false"}),
    network: (latency: Uniform("1ms", "2ms")),
    producers: [(name: "shop", count: 5, topic: "orders", rate: 400, size: 500,
                 properties: {"acks": "ACKS", "linger.ms": "0"})],
    faults: [(at: "3s", fault: ControlledShutdown(Broker(1)), for: "3s"),
             (at: "15s", fault: PreferredElection("orders", 0))],
"#;

/// Outcome 16. In a planned move the old leader goes on until it hears of it, and the new one no longer fetches once it has
/// heard. Lost is what the old leader acked between: the rate times the time by which it heard later, when it did.
#[test]
fn a_planned_move_loses_what_the_old_leader_acked_after_its_successor_had_stopped_fetching() {
    let histories = histories(&PLANNED.replace("ACKS", "1"), 0..12);
    for history in &histories {
        let mut window = 0.0;
        for epoch in [1, 2] {
            let of = |leads: bool| {
                history.first(|event| match event {
                    TraceEvent::BecameLeader { leader_epoch, .. } => {
                        leads && leader_epoch.0 == epoch
                    }
                    _ => false,
                })
            };
            let new = of(true).unwrap();
            let old = history.node_of(if epoch == 1 { 1 } else { 2 });
            let deposed = history
                .all(|event| match event {
                    TraceEvent::BecameFollower { leader_epoch, .. } => {
                        (leader_epoch.0 == epoch).then_some(())
                    }
                    _ => None,
                })
                .into_iter()
                .find(|(_, node, ())| *node == old);
            let deposed = deposed.map_or(new, |(at, ..)| at);
            window += between(new, deposed).max(0.0);
        }
        // What was appended and not yet fetched when the successor stopped comes on top: a round trip each time.
        let predicted = 2_000.0 * window;
        within("loss", history.lost() as f64, predicted * 0.9 - 10.0..=predicted * 1.1 + 30.0);
        let cause = history.count_of(AnomalyKind::Lost, Cause::PlannedElection);
        assert_eq!(cause, history.lost(), "seed {}", history.seed);
    }
    assert!(histories.iter().filter(|it| it.lost() > 0).count() >= 9);
    for history in crate::support::histories(&PLANNED.replace("ACKS", "all"), SEEDS) {
        assert_eq!((history.lost(), history.duplicated()), (0, 0));
    }
}

/// Outcome 40, case R11's guard. A new life is not admitted while the session of the old one lasts.
#[test]
fn a_killed_broker_that_restarts_at_once_is_leaderless_as_long_as_one_that_stays_down() {
    let down = |faults: &str| {
        histories(
            &format!(
                r#"duration: "25s",
                producers: [(name: "shop", topic: "orders", rate: 50, properties: {{"acks": "all"}})],
                faults: [{faults}],"#
            ),
            0..8,
        )
    };
    let leaderless = |history: &History| {
        let change = history.change(PartitionChangeReason::BrokerFenced);
        assert_eq!((change.leader, change.isr.as_slice()), (Some(2), [2, 3].as_slice()));
        let registered = history.first(|it| matches!(it, TraceEvent::BrokerRegistered { .. }));
        assert!(registered.is_none_or(|at| at >= change.at), "the old session was over");
        let time = between(secs(5.0), change.at);
        within("fencing", time, 6.9..=9.2);
        (time * 1e3) as u64
    };
    let back = down(r#"(at: "5s", fault: Kill(Broker(1)), for: "3s")"#);
    let gone = down(r#"(at: "5s", fault: Kill(Broker(1)), permanent: true)"#);
    let ratio = mean(&back, leaderless) / mean(&gone, leaderless);
    within("back after 3 s, compared with never", ratio, 0.9..=1.1);
}

/// Case P5, for a client of today. With retries=0 only what was in flight fails at once: what has not been sent waits for a
/// leader in the accumulator. The prediction, rate x (session + election), holds for records that may not wait: it
/// is short by the patience, delivery.timeout.ms.
#[test]
fn without_retries_an_outage_fails_what_cannot_wait_for_it() {
    let outage = |patience: &str| {
        histories(
            &format!(
                r#"duration: "20s",
                producers: [(name: "shop", topic: "orders", rate: 200, properties: {{
                    "acks": "1", "retries": "0", "linger.ms": "0", {patience} }})],
                faults: [(at: "5s", fault: Kill(Broker(1)), permanent: true)],"#
            ),
            SEEDS,
        )
    };
    for history in outage("") {
        assert!(history.outcome.verdict.records.failed <= 5);
    }
    for history in outage(r#""request.timeout.ms": "500", "delivery.timeout.ms": "1000""#) {
        let again = history.appends().into_iter().find(|it| it.epoch == LeaderEpoch(1)).unwrap().at;
        let predicted = 200.0 * (between(secs(5.0), again) - 1.0);
        let failed = history.outcome.verdict.records.failed as f64;
        // The clock of a batch runs from its creation: all of its 16 KiB, 153 records, fail with the first.
        within("failed", failed, predicted - 10.0..=predicted + 170.0);
    }
}
