//! What survives a crash, a loss of power, and an unclean election.

use crate::support::{History, SEEDS, histories, secs, within};
use acklab_experiment::Case;
use acklab_scenario::{ScenarioFile, shipped};
use acklab_verdict::{AnomalyKind, Cause};
use acklab_vocab::trace::{PartitionChangeReason, TraceEvent};

fn rack(fault: &str, write_back: &str) -> String {
    format!(
        r#"
        duration: "20s",
        topics: {{"orders": (assignments: [[1, 2, 3]], properties: {{"min.insync.replicas": "2"}})}},
        disk: (write_back: {write_back}),
        producers: [(name: "shop", topic: "orders", rate: 200, size: 100,
                     properties: {{"acks": "all", "linger.ms": "0"}})],
        faults: [(at: "15s", fault: {fault}(Brokers), for: "3s")],
        "#
    )
}

/// Outcome 11, case R10: lost is the rate times the age of the oldest page that the system had not written back.
#[test]
fn power_loss_of_all_replicas_loses_what_no_disk_had() {
    for (age, write_back) in [(5.0, r#""5s""#), (10.0, r#""10s""#)] {
        for history in histories(&rack("PowerLoss", write_back), SEEDS) {
            let expected = 200.0 * age;
            // A page of 4 KiB is as old as the first of its 23 records.
            within("lost", history.lost() as f64, expected - 5.0..=expected + 30.0);
            let cause = history.count_of(AnomalyKind::Lost, Cause::UnflushedPowerLoss);
            assert_eq!(cause, history.lost());
        }
    }
    // Between 5 and 30 s: no more than there was.
    for history in histories(&rack("PowerLoss", r#"Uniform("5s", "30s")"#), SEEDS) {
        within("lost", history.lost() as f64, 200.0 * 5.0 - 5.0..=200.0 * 15.0);
    }
}

/// Outcome 11, case R12: the page cache belongs to the host.
#[test]
fn killing_all_processes_loses_nothing() {
    for history in histories(&rack("Kill", r#"Uniform("5s", "30s")"#), SEEDS) {
        assert_eq!((history.lost(), history.duplicated()), (0, 0));
        let lost = |it: &TraceEvent| matches!(it, TraceEvent::UnflushedTailLost { .. });
        assert_eq!(history.first(lost), None);
    }
}

/// Case R11: one machine loses power and is back within its session. Its tail is gone, and it would still be the leader, if
/// its new life did not have to register, which ends its membership of the ISR.
#[test]
fn a_leader_that_lost_its_tail_does_not_lead_again_with_it() {
    for history in
        histories(&rack("PowerLoss", r#""5s""#).replace("(Brokers)", "(Broker(1))"), SEEDS)
    {
        assert_eq!((history.lost(), history.duplicated()), (0, 0));
        let tail = history.all(|event| match event {
            TraceEvent::UnflushedTailLost { from, log_end_offset, .. } => {
                Some(log_end_offset.distance_from(*from))
            }
            _ => None,
        });
        within("the tail", tail[0].2 as f64, 995.0..=1030.0);
        let change = history.change(PartitionChangeReason::BrokerFenced);
        assert_eq!((change.leader, change.isr), (Some(2), vec![2, 3]));
    }
}

/// Case R8 (KIP-966): the ISR shrinks to the leader, which loses power and with it records that are committed, and that
/// brokers 2 and 3 still have. Without eligible leader replicas it leads again and they cut theirs.
fn last_replica_standing(kafka: &str) -> String {
    format!(
        r#"
        kafka: "{kafka}", duration: "50s",
        cluster: (brokers: 3, mode: KRaft(controllers: 3),
                  properties: {{"replica.lag.time.max.ms": "2000"}}),
        topics: {{"orders": (assignments: [[1, 2, 3]], properties: {{"min.insync.replicas": "2"}})}},
        disk: (write_back: "8s"),
        producers: [(name: "shop", topic: "orders", rate: 100, size: 100, until: "20s",
                     properties: {{"acks": "all", "linger.ms": "0"}})],
        faults: [
            (name: "third", at: "4s", fault: Partition(Broker(3), Broker(1)), for: "26s"),
            (name: "second", at: "10s", fault: Partition(Broker(2), Broker(1)), for: "20s"),
            (at: "14s", fault: PowerLoss(Broker(1)), for: "12s"),
        ],
        "#
    )
}

#[test]
fn the_last_replica_standing_leads_with_a_shorter_log_until_4_1() {
    for kafka in ["3.9", "4.0"] {
        for history in histories(&last_replica_standing(kafka), 0..4) {
            // Appended after 6 s, acked before 10 s. What was created from 4 s on waited for broker 3 to leave the ISR, one
            // request in the leader's purgatory and the others unread, and was appended then.
            within("lost", history.lost() as f64, 100.0 * 6.0 - 5.0..=100.0 * 6.0 + 30.0);
            let cause = history.count_of(AnomalyKind::Lost, Cause::LastReplicaStanding);
            assert_eq!(cause, history.lost());
            assert!(!history.outcome.verdict.known_violations.is_empty());
        }
    }
    for history in histories(&last_replica_standing("4.1"), 0..4) {
        assert_eq!((history.lost(), history.outcome.verdict.cluster.unclean_elections), (0, 0));
        let leader = history.changes().into_iter().rev().find_map(|it| it.leader);
        assert_eq!(leader, Some(2));
        assert!(history.acks().iter().any(|it| it.0 > secs(14.0)));
    }
}

fn worked_example(variant: &str) -> Vec<History> {
    let (name, text) = shipped().iter().find(|it| it.0.starts_with("unclean")).unwrap();
    let file = ScenarioFile::parse(name, None, text).unwrap();
    let case = Case::from(file.resolve(variant, &[]).unwrap());
    SEEDS.map(|seed| History::of(&case, seed)).collect()
}

/// Outcome 12, case R5 (KAFKA-10751): log ends of 10, 5 and 2; the third is elected.
#[test]
fn the_worked_example_of_an_unclean_election() {
    for (variant, lost) in [("base", 8), ("acks=all", 3), ("clean", 0)] {
        for history in worked_example(variant) {
            assert_eq!(history.lost(), lost, "{variant}");
            let cut = history.all(|event| match event {
                TraceEvent::LogTruncated { to, log_end_offset, .. } => {
                    Some(log_end_offset.distance_from(*to))
                }
                _ => None,
            });
            let mut cut: Vec<(u16, u64)> = cut.iter().map(|it| (it.1.0 + 1, it.2)).collect();
            cut.sort_unstable();
            if variant == "clean" {
                assert_eq!(cut, []);
            } else {
                assert_eq!(cut, [(1, 8), (2, 3)], "{variant}: A truncates 8, B truncates 3");
            }
        }
    }
}
