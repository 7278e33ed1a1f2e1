//! How long things take.

use crate::support::{History, SEEDS, between, histories, within};
use acklab_vocab::ids::Offset;
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::{PartitionChangeReason, TraceEvent};

fn killed(kafka: &str, more: &str) -> String {
    format!(
        r#"
        kafka: "{kafka}", duration: "30s",
        faults: [(at: Uniform("5s", "7s"), fault: Kill(Broker(1)), permanent: true), {more}],
        "#
    )
}

fn died(history: &History) -> SimTime {
    history.first(|it| matches!(it, TraceEvent::ProcessKilled)).unwrap()
}

/// From the death of broker 1 to its fencing, in seconds.
fn fenced_after(history: &History) -> f64 {
    let fenced = history.first(|it| matches!(it, TraceEvent::BrokerFenced { .. })).unwrap();
    between(died(history), fenced)
}

/// Rule 2.3: heartbeats come every 2 s, the session lasts 9 s; since 4.0 the controller looks every 1.125 s only.
#[test]
fn a_dead_broker_is_fenced_seven_to_ten_seconds_after_its_death() {
    let mean_of = |kafka: &str, range: std::ops::RangeInclusive<f64>| {
        let times: Vec<f64> =
            histories(&killed(kafka, ""), 0..24).iter().map(fenced_after).collect();
        for &time in &times {
            within("fencing", time, range.clone());
        }
        times.iter().sum::<f64>() / times.len() as f64
    };
    let timers = mean_of("3.9", 6.99..=9.1);
    let sweeps = mean_of("4.1", 6.99..=10.25);
    within("3.9: half a heartbeat before nine seconds", timers, 7.6..=8.5);
    within("4.1: half a sweep later", sweeps - timers, 0.25..=0.9);
}

/// Rule 2.3, case R21's mechanism: the new controller takes everybody for alive at its beginning.
#[test]
fn a_controller_failover_restarts_the_session_of_a_broker_that_is_silent_already() {
    for kafka in ["3.9", "4.1"] {
        let more = r#"(at: "10s", fault: Kill(ActiveController), for: "10s")"#;
        for history in histories(&killed(kafka, more), SEEDS) {
            let elected = history.first(|it| matches!(it, TraceEvent::ControllerElected { .. }));
            let fenced = history.first(|it| matches!(it, TraceEvent::BrokerFenced { .. }));
            let after = between(elected.unwrap(), fenced.unwrap());
            within("fencing after the failover", after, 8.99..=10.3);
        }
    }
}

/// Rule 2.3: a voter notices after 2 s without a fetch, of which the last can have taken 500 ms; votes that are split cost
/// another round of 1 to 2 s.
#[test]
fn a_quorum_elects_a_new_controller_within_seconds() {
    let mut times = Vec::new();
    for kafka in ["3.9", "4.1"] {
        let fields = format!(
            r#"kafka: "{kafka}", duration: "20s",
            faults: [(at: Uniform("5s", "6s"), fault: Kill(ActiveController), permanent: true)],"#
        );
        for history in histories(&fields, 0..12) {
            let elected = history.first(|it| matches!(it, TraceEvent::ControllerElected { .. }));
            let time = between(died(&history), elected.unwrap());
            within("election", time, 1.45..=6.0);
            times.push(time);
            assert!(history.changes().is_empty(), "the data plane goes on");
        }
    }
    times.sort_by(f64::total_cmp);
    within("median", times[times.len() / 2], 1.5..=3.2);
}

/// Rule 1.3: after a single record the follower's next fetch waits for data for 500 ms, and the answer tells the high
/// watermark.
#[test]
fn an_idle_follower_learns_the_high_watermark_half_a_second_late() {
    let fields = r#"
        duration: "20s",
        producers: [(name: "shop", topic: "orders", rate: 0.5, size: 100)],
    "#;
    for history in histories(fields, SEEDS) {
        let advances = history.all(|event| match event {
            TraceEvent::HighWatermarkAdvanced { high_watermark, leader, .. } => {
                Some((*high_watermark, *leader))
            }
            _ => None,
        });
        let at = |offset: u64, leads: bool| {
            let same = advances.iter().filter(move |it| it.2 == (Offset(offset), leads));
            same.map(|it| it.0).collect::<Vec<_>>()
        };
        for offset in 1..=9 {
            let [leader] = at(offset, true)[..] else { panic!("{offset} at the leader") };
            let followers = at(offset, false);
            assert_eq!(followers.len(), 2);
            for follower in followers {
                within("lag", between(leader, follower), 0.49..=0.505);
            }
        }
    }
}

fn follower_cut(rate: &str) -> String {
    format!(
        r#"
        duration: "30s",
        cluster: (brokers: 3, mode: KRaft(controllers: 3),
                  properties: {{"replica.lag.time.max.ms": "4000"}}),
        producers: [{rate}],
        faults: [(at: Uniform("5s", "10s"), fault: Partition(Broker(1), Broker(3)), for: "10s")],
        "#
    )
}

/// Rule 1.4: the leader looks every half of replica.lag.time.max.ms.
#[test]
fn a_lagging_follower_leaves_the_isr_after_one_to_one_and_a_half_times_the_setting() {
    let writes = r#"(name: "shop", topic: "orders", rate: 50, properties: {"acks": "1"})"#;
    let mut times = Vec::new();
    for history in histories(&follower_cut(writes), 0..12) {
        let shrink = history.change(PartitionChangeReason::AlterPartition);
        assert_eq!(shrink.isr, [1, 2]);
        let began = history.first(|it| matches!(it, TraceEvent::FaultBegan { .. })).unwrap();
        let time = between(began, shrink.at);
        within("shrink", time, 3.95..=6.1);
        times.push(time);
        // Event-driven, as soon as it has caught up after the cut.
        let grown = history.changes().into_iter().find(|it| it.isr.len() == 3).unwrap();
        let ended = history.first(|it| matches!(it, TraceEvent::FaultEnded { .. })).unwrap();
        within("expand", between(ended, grown.at), 0.0..=32.0);
    }
    times.sort_by(f64::total_cmp);
    within("spread", times[11] - times[0], 0.8..=2.1);
    for history in histories(&follower_cut(""), 0..3) {
        assert!(history.changes().is_empty(), "silence alone removes nobody");
    }
}

/// Rule 1.4, outcome 10: for a dead follower the controller is quicker than replica.lag.time.max.ms (30 s).
#[test]
fn a_dead_follower_holds_acks_all_up_until_the_controller_fences_it() {
    let fields = r#"
        duration: "20s",
        producers: [(name: "shop", topic: "orders", rate: 100, properties: {"acks": "all"})],
        faults: [(at: Uniform("5s", "7s"), fault: Kill(Broker(3)), permanent: true)],
    "#;
    for history in histories(fields, SEEDS) {
        let change = history.change(PartitionChangeReason::BrokerFenced);
        assert_eq!((change.leader, change.isr), (Some(1), vec![1, 2]));
        let fenced = between(died(&history), change.at);
        within("fencing", fenced, 6.99..=9.1);
        let longest = history.outcome.verdict.produce_latency.summary.max as f64 / 1e6;
        within("longest latency after the fencing", longest - fenced, -0.02..=0.55);
        assert_eq!(history.lost() + history.duplicated(), 0);
        let first_ack = history.acks().into_iter().find(|it| it.0 > change.at).unwrap().0;
        let last_ack = history.acks().into_iter().rfind(|it| it.0 < change.at).unwrap().0;
        within("silence", between(last_ack, first_ack), fenced - 0.05..=fenced + 0.6);
        assert!(last_ack < died(&history) + acklab_vocab::time::SimDuration::from_millis(5));
    }
}
