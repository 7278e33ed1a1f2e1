//! A history that forks is the seed's up to an instant, fact by fact, and another one afterwards.

use acklab_runtime::{Fork, ForkedFaults, RunOptions, RunResult, plain, run};
use acklab_scenario::model::{Scenario, When};
use acklab_scenario::{ScenarioFile, shipped};
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::{Observer, Stamped};
use std::sync::Arc;

#[derive(Debug, Default)]
struct Facts(Vec<Stamped>);

impl Observer for Facts {
    fn observe(&mut self, stamped: &Stamped) {
        self.0.push(stamped.clone());
    }
}

impl Facts {
    fn until(&self, at: SimTime) -> &[Stamped] {
        &self.0[..self.0.partition_point(|fact| fact.at <= at)]
    }
}

fn scenario(name: &str) -> Arc<Scenario> {
    let &(_, text) = shipped().iter().find(|&&(shipped, _)| shipped == name).unwrap();
    resolved(text)
}

fn resolved(text: &str) -> Arc<Scenario> {
    let file = ScenarioFile::parse("fork", None, text).unwrap();
    Arc::new(file.resolve("base", &[]).unwrap().scenario)
}

fn history(scenario: &Arc<Scenario>, fork: Option<Fork>) -> RunResult<Facts> {
    run(scenario, 7, RunOptions { fork, ..RunOptions::default() }, Facts::default())
}

fn fork(after: SimTime, seed: u64, faults: ForkedFaults) -> Option<Fork> {
    Some(Fork { after, seed, faults })
}

/// When faults struck.
fn struck(result: &RunResult<Facts>) -> Vec<SimTime> {
    let at = |spec: &acklab_scenario::model::FaultSpec| match spec.when {
        When::At(acklab_scenario::model::Span::Exactly(since)) => SimTime::ZERO + since,
        _ => SimTime::NEVER,
    };
    result.schedule.iter().map(at).collect()
}

#[test]
fn what_is_past_is_the_same_and_what_comes_is_not() {
    for name in ["acks-1-leader-crash", "auto-commit-crash", "transactional-copy"] {
        let scenario = scenario(name);
        let original = history(&scenario, None).observer;
        // Into the formation, to a fact's own instant, and between two.
        let some = original.0.iter().filter(|fact| fact.at >= SimTime::ZERO);
        let of_a_fact = some.clone().nth(some.count() / 3).unwrap().at;
        for (after, faults) in [
            (SimTime::from_millis(-9_000), ForkedFaults::Redrawn),
            (SimTime::ZERO, ForkedFaults::AsDrawn),
            (of_a_fact, ForkedFaults::Redrawn),
        ] {
            let futures = [1, 2].map(|seed| history(&scenario, fork(after, seed, faults)));
            let [one, other] = futures.map(|result| result.observer);
            assert!(one.until(after) == original.until(after), "{name}, until {after}");
            assert!(other.until(after) == original.until(after), "{name}, until {after}");
            assert!(one.0 != original.0 && one.0 != other.0, "{name}, after {after}");
        }
    }
}

#[test]
fn a_fork_behind_the_end_changes_nothing() {
    let scenario = scenario("acks-1-leader-crash");
    let original = history(&scenario, None);
    let late = history(&scenario, fork(original.ended_at, 1, ForkedFaults::Redrawn));
    assert!(late.observer.0 == original.observer.0);
}

#[test]
fn both_drivers_give_the_same_future() {
    let scenario = scenario("auto-commit-crash");
    let fork = fork(SimTime::from_millis(5_000), 3, ForkedFaults::Redrawn);
    let options = RunOptions { fork, ..RunOptions::default() };
    let with_tasks = run(&scenario, 7, options, Facts::default());
    let without = plain::run(&scenario, 7, options, Facts::default());
    assert!(with_tasks.observer.0 == without.observer.0);
}

#[test]
fn faults_that_have_not_struck_stay_as_drawn_unless_they_are_redrawn() {
    // The crash is drawn from 10 s to 15 s.
    let scenario = scenario("auto-commit-crash");
    let original = struck(&history(&scenario, None));
    let after = SimTime::from_millis(11_000);
    assert!(original[0] > after, "seed 7 shows nothing here: {original:?}");
    let futures = |faults| (0..6).map(move |seed| (seed, faults));
    let strikes = |(seed, faults)| struck(&history(&scenario, fork(after, seed, faults)));
    assert!(futures(ForkedFaults::AsDrawn).map(strikes).all(|at| at == original));
    let mut redrawn: Vec<_> = futures(ForkedFaults::Redrawn).map(strikes).collect();
    assert!(redrawn.iter().all(|at| at.len() == 1 && at[0] > after), "{redrawn:?}");
    redrawn.sort_unstable();
    redrawn.dedup();
    assert!(redrawn.len() > 3, "{redrawn:?}");
    // Once it has struck, nothing is left to be drawn again.
    let past = fork(original[0], 1, ForkedFaults::Redrawn);
    assert_eq!(struck(&history(&scenario, past)), original);
}

#[test]
fn periodic_faults_go_on_from_where_they_are() {
    let scenario = resolved(
        r#"Scenario(
            about: "pauses", source: "tests", kafka: "3.9", duration: "20s",
            cluster: (brokers: 3, mode: KRaft(controllers: 1)),
            topics: {"orders": (partitions: 1, replication_factor: 3)},
            producers: [(name: "shop", topic: "orders", rate: 100, properties: {"acks": "1"})],
            faults: [
                (every: Uniform("1s", "3s"), fault: Pause(Broker(1)), for: "10ms"),
                (at: "15s", fault: Pause(Broker(2)), for: "10ms"),
            ],
        )"#,
    );
    let original = struck(&history(&scenario, None));
    let after = SimTime::from_millis(8_000);
    let past: Vec<SimTime> = original.iter().copied().filter(|&at| at <= after).collect();
    assert!(past.len() > 1);
    for seed in 0..3 {
        let future = struck(&history(&scenario, fork(after, seed, ForkedFaults::Redrawn)));
        assert!(future != original);
        assert_eq!(future[..past.len()], past);
        let fixed = SimTime::from_millis(15_000);
        assert_eq!(future.iter().filter(|&&at| at == fixed).count(), 1);
        let periodic: Vec<i64> =
            future.iter().filter(|&&at| at != fixed).map(|at| at.0 / 1_000_000).collect();
        let gaps = periodic.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(gaps.clone().all(|gap| (1_000..=3_000).contains(&gap)), "{periodic:?}");
    }
}
