//! The ISR: who is waited for, who is not, and what that is worth.

use crate::support::{History, SEEDS, between, histories, mean, secs, within};
use acklab_verdict::{AnomalyKind, Cause};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::LeaderEpoch;
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::{PartitionChangeReason, SendOutcome, TraceEvent};

/// Broker 1 leads, loses sight of both followers (not of the controllers) at 3 s, and dies at 15 s.
fn alone(acks: &str, min_isr: u16, unclean: bool, then: &str) -> String {
    format!(
        r#"
        duration: "20s",
        cluster: (brokers: 3, mode: KRaft(controllers: 3),
                  properties: {{"replica.lag.time.max.ms": "4000"}}),
        topics: {{"orders": (assignments: [[1, 2, 3]], properties: {{
            "min.insync.replicas": "{min_isr}", "unclean.leader.election.enable": "{unclean}"}})}},
        producers: [(name: "shop", topic: "orders", rate: 100, size: 100, until: "15s",
                     properties: {{"acks": "{acks}", "linger.ms": "0"}})],
        readers: [(name: "audit", topics: ["orders"], properties: {{"auto.offset.reset": "earliest"}})],
        faults: [(at: "3s", fault: Partition(Broker(1), [Broker(2), Broker(3)]), for: "13s"), {then}],
        "#
    )
}

const DIES: &str = r#"(at: "15s", fault: Kill(Broker(1)), for: "15s")"#;
const RETURNS: &str = r#"(at: "15s", fault: Kill(Broker(1)), for: "2s")"#;

fn shrunk_to_one(history: &History) -> SimTime {
    history.changes().into_iter().find(|it| it.isr == [1]).unwrap().at
}

/// Outcome 6 and case R7 (Jepsen 2013). With min.insync.replicas=1 the leader goes on alone; if it dies and another is made
/// leader uncleanly, everything is lost that was acked by one copy.
///
/// The prediction, rate x time at ISR=1, is short by the time until the shrink: what waited for it is acked by it.
#[test]
fn an_isr_of_one_acks_all_with_one_copy() {
    let dies = DIES.replace(r#"for: "15s""#, "permanent: true");
    for history in histories(&alone("all", 1, true, &dies), SEEDS) {
        let shrunk = shrunk_to_one(&history);
        within("shrink", between(secs(3.0), shrunk), 3.9..=6.2);
        let silent = |it: &&(SimTime, _, _)| it.0 > secs(3.01) && it.0 < shrunk;
        assert_eq!(history.acks().iter().filter(silent).count(), 0);
        within("lost", history.lost() as f64, 100.0 * 12.0 - 5.0..=100.0 * 12.0 + 5.0);
        let cause = history.count_of(AnomalyKind::Lost, Cause::UncleanElection);
        assert_eq!(cause, history.lost());
    }
    for history in histories(&alone("all", 1, false, RETURNS), SEEDS) {
        let verdict = &history.outcome.verdict;
        assert_eq!((verdict.records.lost, verdict.cluster.unclean_elections), (0, 0));
        assert_eq!(verdict.records.acked, verdict.records.sent);
        let offline = history.changes().into_iter().find(|it| it.leader.is_none()).unwrap();
        assert_eq!(offline.isr, [1], "the last member stays, until it returns");
        let next = history.changes().into_iter().find(|it| it.epoch > offline.epoch).unwrap();
        assert_eq!(next.leader, Some(1));
    }
}

/// Outcome 7. Below min.insync.replicas=2 acks=all is refused before the append; acks=1 is acked and, since 3.7, invisible.
///
/// A producer whose request was appended before the shrink is not even refused: since 3.7 that request waits for the ISR, and
/// keeps those behind it on the connection unread (rule 0.1). So here a second one begins afterwards.
#[test]
fn below_min_isr_acks_all_is_refused_and_acks_1_is_acked_unseen() {
    let second = r#"producers: [
        (name: "late", topic: "orders", rate: 50, size: 100, from: "10s", until: "15s",
         properties: {"acks": "all", "linger.ms": "0"}), "#;
    let fields = alone("all", 2, false, "").replace("producers: [", second);
    for history in histories(&fields, SEEDS) {
        let shrunk = shrunk_to_one(&history);
        let refused = history.all(|event| match event {
            TraceEvent::AppendRefused { error, .. } => Some(*error),
            _ => None,
        });
        assert!(!refused.is_empty());
        assert!(refused.iter().all(|it| it.2 == ErrorCode::NotEnoughReplicas && it.0 >= shrunk));
        let unseen = |it: &&(SimTime, _, _)| it.0 > secs(3.01) && it.0 < secs(16.0);
        assert_eq!(history.acks().iter().filter(unseen).count(), 0);
        assert_eq!((history.lost(), history.duplicated()), (0, 0));
    }
    for (kafka, frozen) in [("3.6", false), ("3.7", true), ("4.1", true)] {
        let fields = format!(r#"kafka: "{kafka}", {}"#, alone("1", 2, false, ""));
        for history in histories(&fields, 0..3) {
            let records = &history.outcome.verdict.records;
            assert_eq!((records.lost, records.acked), (0, records.sent));
            let latency = history.outcome.verdict.produce_latency.summary.max;
            assert!(latency < 50_000, "acked at once: {latency} us");
            let advanced = history.all(|event| match event {
                TraceEvent::HighWatermarkAdvanced { leader: true, high_watermark, .. } => {
                    Some(*high_watermark)
                }
                _ => None,
            });
            let shrunk = shrunk_to_one(&history);
            let alone = advanced.iter().filter(|it| it.0 > shrunk && it.0 < secs(16.0)).count();
            assert_eq!(alone == 0, frozen, "kafka {kafka}: {alone} advances at an ISR of one");
            // Dark until the followers are back, or until the shrink.
            let dark = history.outcome.verdict.end_to_end_latency.summary.max as f64 / 1e6;
            let expected = if frozen { 12.9..=30.0 } else { 3.9..=6.8 };
            within("end-to-end latency", dark, expected);
        }
    }
}

/// Case R6: followers behind a slow link, out of the ISR, and an unclean election: lost is the rate times how far the winner
/// was behind. With one slow follower the other one is elected, and nothing is lost.
#[test]
fn an_unclean_election_loses_as_much_as_the_winner_was_behind() {
    let slow = |whom: &str| {
        format!(
            r#"
            duration: "20s",
            cluster: (brokers: 3, mode: KRaft(controllers: 3),
                      properties: {{"replica.lag.time.max.ms": "300", "replica.fetch.wait.max.ms": "100"}}),
            topics: {{"orders": (assignments: [[1, 2, 3]], properties: {{
                "min.insync.replicas": "1", "unclean.leader.election.enable": "true"}})}},
            producers: [(name: "shop", topic: "orders", rate: 1000, size: 100, until: "10s",
                         properties: {{"acks": "all", "linger.ms": "0"}})],
            faults: [
                (at: "2s", fault: LinkDelay(Broker(1), {whom}, Uniform("200ms", "300ms"))),
                (at: "10s", fault: Kill(Broker(1)), permanent: true),
            ],
            "#
        )
    };
    let both = histories(&slow("[Broker(2), Broker(3)]"), 0..10);
    for history in &both {
        let before: Vec<u16> =
            history.changes().iter().rfind(|it| it.at < secs(10.0)).unwrap().isr.clone();
        assert_eq!(before, [1]);
        let fork =
            history.epoch_start(history.change(PartitionChangeReason::UncleanElection).epoch);
        let elected = history.change(PartitionChangeReason::UncleanElection).at;
        let beyond =
            |it: &&(SimTime, _, Option<_>)| it.0 < elected && it.2.is_some_and(|it| it >= fork);
        let acked_beyond = history.acks().iter().filter(beyond).count() as u64;
        assert_eq!(history.lost(), acked_beyond);
        // What the leader had sent before it died still arrives: at risk is one round trip of 400 to 600 ms at most.
        within("lost", history.lost() as f64, 0.0..=1_000.0 * 0.65);
    }
    within("mean loss, half a round trip", mean(&both, History::lost), 120.0..=400.0);
    for history in histories(&slow("Broker(3)"), SEEDS) {
        assert_eq!((history.lost(), history.outcome.verdict.cluster.unclean_elections), (0, 0));
    }
}

/// Case R16: a partition whose replicas are both down stops, and that one alone.
#[test]
fn a_partition_without_replicas_is_down_for_as_long_as_the_last_isr_member() {
    let fields = r#"
        duration: "25s",
        topics: {"orders": (assignments: [[1, 2], [3, 2]], properties: {"min.insync.replicas": "1"})},
        producers: [(name: "shop", topic: "orders", rate: 200, size: 100, keys: Unique,
                     properties: {"acks": "1", "linger.ms": "0"})],
        faults: [(at: "3s", fault: Kill([Broker(1), Broker(2)]), for: "12s")],
    "#;
    for history in histories(fields, SEEDS) {
        let spells = &history.outcome.verdict.unavailability;
        let gap = |partition: usize| spells[partition].write_gap_longest.as_secs_f64();
        // Twelve seconds, the start of the process, and the way through the controller.
        within("orders-0", gap(0), 12.0..=17.0);
        within("orders-1", gap(1), 0.0..=0.5);
        assert_eq!(
            (
                history.outcome.verdict.records.failed,
                history.outcome.verdict.cluster.unclean_elections
            ),
            (0, 0)
        );
    }
}

/// Case R17: where min.insync.replicas is the number of replicas, a single restart stops acks=all. Failed is the rate times the
/// outage; short of what the patience of the producer, delivery.timeout.ms, bridges.
#[test]
fn min_isr_equal_to_the_replicas_makes_every_restart_an_outage() {
    let fields = r#"
        duration: "30s",
        topics: {"orders": (assignments: [[1, 2, 3]], properties: {"min.insync.replicas": "3"})},
        producers: [(name: "shop", topic: "orders", rate: 100, size: 1000, properties: {
            "acks": "all", "linger.ms": "0",
            "request.timeout.ms": "1000", "delivery.timeout.ms": "2000"})],
        faults: [(at: "5s", fault: ControlledShutdown(Broker(3)), for: "10s")],
    "#;
    for history in histories(fields, SEEDS) {
        let out = history.changes().into_iter().find(|it| it.isr == [1, 2]).unwrap().at;
        let back =
            history.changes().into_iter().find(|it| it.at > out && it.isr.len() == 3).unwrap();
        let expected = 100.0 * (between(out, back.at) - 2.0);
        let failed = history.outcome.verdict.records.failed as f64;
        // Retries back off for up to 1.2 s.
        within("failed", failed, expected - 20.0..=expected + 140.0);
        assert_eq!((history.lost(), history.duplicated()), (0, 0));
    }
}

/// Case R20: broker 2 freezes, is fenced, and the rolling restart goes on with broker 3: the ISR is the leader alone.
/// Unavailable is the rest of the freeze: the prediction, freeze - 9 s.
#[test]
fn a_rolling_restart_that_does_not_look_meets_a_frozen_broker() {
    let fields = r#"
        duration: "45s",
        topics: {"orders": (assignments: [[1, 2, 3]], properties: {"min.insync.replicas": "2"})},
        producers: [(name: "shop", topic: "orders", rate: 50, size: 100, properties: {
            "acks": "all", "linger.ms": "0"})],
        faults: [
            (at: "3s", fault: Pause(Broker(2)), for: "30s"),
            (after: Fenced(Broker(2)), fault: ControlledShutdown(Broker(3)), for: "25s"),
        ],
    "#;
    for history in histories(fields, SEEDS) {
        let alone = shrunk_to_one(&history);
        within("the restart follows the fencing", between(secs(3.0), alone), 6.9..=9.8);
        let unavailable = history.outcome.verdict.unavailability[0].write_gap_longest.as_secs_f64();
        let expected = 30.0 - between(secs(3.0), alone);
        // The leader hears of either change up to 500 ms late; and the retry backs off.
        within("unavailable", unavailable, expected - 0.5..=expected + 3.5);
        assert_eq!((history.lost(), history.duplicated()), (0, 0));
    }
}

/// Case R25: the disk stalls and the heartbeats go on: an outage without an election.
#[test]
fn a_leader_whose_disk_stalls_stays_leader() {
    let fields = r#"
        duration: "40s",
        producers: [(name: "shop", topic: "orders", rate: 50, size: 100, properties: {
            "acks": "all", "linger.ms": "0", "request.timeout.ms": "3000", "delivery.timeout.ms": "6000"})],
        faults: [(at: "5s", fault: SlowDisk(Broker(1), "10s"), for: "20s")],
    "#;
    for history in histories(fields, SEEDS) {
        let verdict = &history.outcome.verdict;
        assert_eq!((verdict.cluster.elections, verdict.cluster.fencings), (0, 0));
        // 20 s at 50 records/s; patience makes up for a part.
        within("failed", verdict.records.failed as f64, 50.0 * 10.0..=50.0 * 32.0);
        let timeout = |it: &(_, _, SendOutcome)| it.2 == SendOutcome::Failed(ErrorCode::Timeout);
        assert!(history.completions().iter().any(timeout));
        assert_eq!(verdict.records.lost, 0);
        assert_eq!(history.appends().last().unwrap().epoch, LeaderEpoch(0));
    }
}
