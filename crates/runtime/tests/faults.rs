//! Faults that overlap, that strike what is about to start, and that are run again as a schedule.

use acklab_runtime::{RunOptions, RunResult, run};
use acklab_scenario::model::Scenario;
use acklab_scenario::{ScenarioFile, write_faults};
use acklab_verdict::Judge;
use acklab_vocab::ids::NodeId;
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::{Observer, Stamped, TraceEvent};
use std::sync::Arc;

fn scenario(faults: &str) -> Arc<Scenario> {
    scenario_with("", faults)
}

fn scenario_with(network: &str, faults: &str) -> Arc<Scenario> {
    let text = format!(
        r#"Scenario(
            kafka: "3.9", duration: "12s",
            cluster: (brokers: 3, mode: KRaft(controllers: 1), start_up: "2s"),
            topics: {{"orders": (partitions: 1, replication_factor: 3)}},
            {network}
            producers: [(name: "shop", topic: "orders", rate: 20)],
            faults: [{faults}],
        )"#
    );
    let file = ScenarioFile::parse("faults", None, &text).expect("it parses");
    Arc::new(file.resolve("base", &[]).expect("it resolves").scenario)
}

/// When the process of broker 3 died, started, stood still and ran again after time zero.
#[derive(Default)]
struct Life(Vec<(char, i64)>);

impl Observer for Life {
    fn observe(&mut self, stamped: &Stamped) {
        let what = match stamped.event {
            TraceEvent::ProcessStarted { .. } => 's',
            TraceEvent::ProcessKilled | TraceEvent::PowerLost => 'd',
            TraceEvent::ProcessPaused => 'p',
            TraceEvent::ProcessResumed { .. } => 'r',
            _ => return,
        };
        if stamped.node == NodeId(2) && stamped.at >= SimTime::ZERO {
            self.0.push((what, stamped.at.0 / 1_000_000));
        }
    }
}

fn life(faults: &str) -> Vec<(char, i64)> {
    run(&scenario(faults), 1, RunOptions::default(), Life::default()).observer.0
}

#[test]
fn a_process_starts_again_when_nothing_keeps_it_down_any_more() {
    let both = r#"(at: "1s", fault: Kill(Broker(3)), for: "5s"),
                  (at: "2s", fault: PowerLoss(Broker(3)), for: "1s")"#;
    assert_eq!(life(both), [('d', 1_000), ('d', 2_000), ('s', 8_000)]);
    let permanent = r#"(at: "1s", fault: Kill(Broker(3)), permanent: true),
                       (at: "2s", fault: Kill(Broker(3)), for: "1s")"#;
    assert_eq!(life(permanent), [('d', 1_000)]);
}

#[test]
fn a_process_runs_again_when_nothing_pauses_it_any_more() {
    let both = r#"(at: "1s", fault: Pause(Broker(3)), for: "2s"),
                  (at: "2s", fault: Pause(Broker(3)), for: "2s")"#;
    assert_eq!(life(both), [('p', 1_000), ('r', 4_000)]);
}

#[test]
fn a_process_that_is_killed_while_it_starts_does_not_start() {
    let twice = r#"(at: "1s", fault: Kill(Broker(3)), for: "1s"),
                   (at: "3s", fault: Kill(Broker(3)), for: "4s")"#;
    assert_eq!(life(twice), [('d', 1_000), ('s', 9_000)]);
}

fn judged(scenario: &Arc<Scenario>) -> RunResult<Judge> {
    run(scenario, 1, RunOptions::default(), Judge::new())
}

/// What struck is written, read and run again.
#[track_caller]
fn check_schedule(faults: &str, count: usize) {
    let drawn = scenario(faults);
    let first = judged(&drawn);
    assert_eq!(first.schedule.len(), count);
    let written = write_faults(&first.schedule, &drawn);
    let read = ScenarioFile::parse_faults("schedule", &written, &drawn);
    let faults = read.unwrap_or_else(|errors| panic!("{written}{}", errors[0]));
    let fixed = Arc::new(Scenario { faults, ..Scenario::clone(&drawn) });
    let second = judged(&fixed);
    assert_eq!(second.schedule, first.schedule, "{written}");
    assert_eq!((second.events, second.ended_at), (first.events, first.ended_at), "{written}");
    let digests = [first, second].map(|result| result.observer.finish().digest.verdict);
    assert_eq!(digests[0], digests[1], "{written}");
}

#[test]
fn a_schedule_counts_faults_as_they_struck() {
    check_schedule(
        r#"(name: "second", after: Ended("third"), delay: "100ms", fault: Kill(Broker(1)), for: "1s"),
           (name: "third", at: Uniform("3s", "4s"), fault: Pause(AnyBroker), for: "1s"),
           (name: "first", every: "500ms", until: "1s", fault: Pause(Broker(2)), for: "10ms")"#,
        3,
    );
}

#[test]
fn a_schedule_keeps_roles_that_nobody_has() {
    check_schedule(r#"(at: "1s", fault: Kill(FollowerOf("orders", 0, 7)), for: "1s")"#, 1);
}

#[test]
fn a_drawn_election_lasts_no_time() {
    check_schedule(r#"(at: "1s", fault: OneOf([PreferredElection]), for: "1s")"#, 1);
    check_schedule(r#"(at: "1s", fault: OneOf([PreferredElection]), permanent: true)"#, 1);
}

#[test]
fn what_is_drawn_strikes_between_two_effects_as_what_is_named_does() {
    for fault in ["Kill(AnyBroker)", r#"OneOf([Kill(LeaderOf("orders", 0))])"#] {
        check_schedule(&format!(r#"(after: Appended("shop#20"), fault: {fault}, for: "1s")"#), 1);
    }
}

#[test]
fn a_fault_that_ends_at_the_instant_of_another_ends_first() {
    check_schedule(
        r#"(every: "1s", first: "1s", until: "3500ms", fault: Pause(Broker(1)), for: "1s"),
           (at: "2s", fault: Kill(Broker(1)), for: "1s")"#,
        4,
    );
}

#[test]
fn a_periodic_fault_strikes_before_the_timers_of_the_same_instant() {
    // A process that runs again sets its timers whole milliseconds ahead.
    check_schedule(
        r#"(every: "1s", first: "1s", fault: Pause([Broker(2), AnyBroker]), for: "1s")"#,
        11,
    );
}

#[test]
fn a_lossy_link_is_whole_again_when_the_fault_is_over() {
    let lossy = scenario(r#"(at: "1s", fault: LinkLoss(Brokers, Clients, 0.9), for: "8s")"#);
    for seed in 0..5 {
        let result = run(&lossy, seed, RunOptions::default(), Judge::new());
        assert_eq!(result.stuck, None, "seed {seed}");
        // The longest retransmission begun during the fault doubles once more.
        assert!(result.ended_at < SimTime::from_millis(40_000), "{:#}", result.ended_at);
    }
}

#[test]
fn the_cluster_forms_before_the_bad_weather_begins() {
    let network = r#"network: (latency: Uniform("30ms", "90ms"), loss: 0.3),"#;
    let lossy = scenario_with(network, "");
    for seed in 0..10 {
        let result = run(&lossy, seed, RunOptions::default(), Judge::new());
        assert!(result.ended_at > SimTime::ZERO, "seed {seed}: {:?}", result.stuck);
    }
}

#[test]
fn a_lone_controller_takes_up_what_its_last_life_had_not_flushed() {
    let killed = scenario(
        r#"(at: "1s", fault: SlowDisk(Controllers, "3s"), for: "1s"),
           (at: "1900ms", fault: Kill(Controllers), for: "1s")"#,
    );
    let result = run(&killed, 1, RunOptions::default(), ());
    assert_eq!(result.stuck, None);
}
