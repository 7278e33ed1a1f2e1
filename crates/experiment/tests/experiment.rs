//! Whole experiments on a small scenario: judged, verified, tested, explained; and a simulator that
//! panics.

use acklab_experiment::test::{Plan, run};
use acklab_experiment::{
    Case, Driver, Pace, Seeds, Subject, explain, judge_and_find, junit, verify,
};
use acklab_scenario::ScenarioFile;
use acklab_vocab::trace::{Observer, Stamped, TraceEvent};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;

const CRASH: &str = r#"Scenario(
    about: "acks=0 and a dead leader",
    source: "tests of experiments",
    kafka: "3.9",
    duration: "1s",
    cluster: (brokers: 3, mode: KRaft(controllers: 1)),
    topics: {"orders": (partitions: 1, replication_factor: 3)},
    producers: [(name: "shop", topic: "orders", rate: 5000, size: 100, properties: {"acks": "0"})],
    faults: [(at: Uniform("500ms", "900ms"), fault: Kill(LeaderOf("orders", 0)), for: "1s")],
    expect: [Lost(AtLeast(1)), Sent(AtMost(10))],
    expect_share: [(Lost(AtLeast(1)), AtLeast(0.9))],
    variants: {"acks=all": (set: {"producers/acks": "all"}, expect: [Lost(Exactly(0))])},
    compare: [MeanGreater(Lost, "base", "acks=all")],
)"#;

fn file() -> ScenarioFile {
    ScenarioFile::parse("crash", None, CRASH).unwrap()
}

fn case() -> Case {
    Case::from(file().resolve("base", &[]).unwrap())
}

fn jobs(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap()
}

#[test]
fn an_outcome_is_held_against_what_was_expected_and_what_goes_without_saying() {
    let outcome = case().run(1).unwrap();
    let held: Vec<(&str, bool)> =
        outcome.expectations.iter().map(|it| (it.text.as_str(), it.held)).collect();
    assert_eq!(
        held,
        [
            ("lost ≥ 1", true),
            ("sent ≤ 10", false),
            ("violations = 0", true),
            ("unexplained = 0", true),
            ("comes to rest", true),
        ]
    );
    assert!(!outcome.is_as_expected());
}

#[test]
fn a_seed_gives_one_history_alone_or_together_and_by_either_driver() {
    let case = case();
    for (second, pace) in [
        (Driver::Madsim, Pace::Alone),
        (Driver::Madsim, Pace::Together),
        (Driver::Plain, Pace::Together),
    ] {
        assert_eq!(verify(&case, 1, second, pace), Ok(None));
    }
}

#[test]
fn a_panic_inside_of_a_run_is_a_defect_with_its_place_and_seed() {
    struct Panics;

    impl Observer for Panics {
        fn observe(&mut self, stamped: &Stamped) {
            assert!(stamped.event != TraceEvent::ProcessKilled, "on purpose");
        }
    }

    let defect = case().run_observed(1, Panics).map(|_| ()).unwrap_err();
    assert_eq!(
        (defect.scenario.as_str(), defect.variant.as_str(), defect.seed),
        ("crash", "base", 1)
    );
    assert_eq!(defect.message, "on purpose");
    assert!(defect.location.contains("experiment.rs:"), "{}", defect.location);
    // The thread can run on.
    assert!(case().run(1).is_ok());
}

#[test]
fn a_test_counts_seeds_shares_and_means() {
    let plan = [Plan::new(&file(), None, &[]).unwrap()];
    let seeds = Seeds::new(0, 3).unwrap();
    let mut done = Vec::new();
    let report = run(&plan, seeds, jobs(2), |count, of| {
        done.push((count, of));
        ControlFlow::Continue(())
    });
    assert_eq!(done, [(1, 6), (2, 6), (3, 6), (4, 6), (5, 6), (6, 6)]);
    let report = report.unwrap();
    assert!(!report.holds());
    let base = &report.scenarios[0].variants[0];
    let sent = base.expectations.iter().find(|it| it.text == "sent ≤ 10").unwrap();
    assert_eq!((sent.held, sent.failed), (0, 3));
    let failed: Vec<u64> = sent.failures.iter().map(|failure| failure.seed).collect();
    assert_eq!(failed, [0, 1, 2]);
    assert_eq!((base.shares[0].held, base.shares[0].of, base.shares[0].holds), (3, 3, true));
    assert!(report.scenarios[0].comparisons[0].holds);
    assert_eq!(
        Some(&report),
        run(&plan, seeds, jobs(1), |_, _| ControlFlow::Continue(())).as_ref()
    );
    let xml = junit(&report);
    assert!(xml.contains(r#"<testcase name="sent ≤ 10" classname="crash.base">"#), "{xml}");
    let stopped = run(&plan, seeds, jobs(2), |_, _| ControlFlow::Break(()));
    assert_eq!(stopped, None);
}

#[test]
fn records_are_found_by_name_and_by_place() {
    let case = case();
    let subject = |text: &str| Subject::parse(text, &case.scenario).unwrap();
    let subjects = ["shop#0", "orders-0@0", "shop#999999", "orders-0@999999", "orders-0@0:7"];
    let (outcome, _, found) = judge_and_find(&case, 1, &subjects.map(subject)).unwrap();
    let first = found[0].expect("the first record was created");
    assert_eq!(found, [Some(first), Some(first), None, None, None]);
    let lives = explain(&case, &outcome.verdict, &[first], None).unwrap();
    assert_eq!(lives[0].record, "shop#0");
}

#[test]
fn what_names_no_record_is_refused_with_what_was_probably_meant() {
    let case = case();
    let refused = |text: &str| Subject::parse(text, &case.scenario).unwrap_err().to_string();
    assert_eq!(refused("shp#1"), "there is no producer `shp`; did you mean `shop`?");
    assert_eq!(
        refused("a-long-name#1"),
        "there is no producer `a-long-name`; the scenario has shop"
    );
    assert_eq!(refused("ordrs-0@1"), "there is no topic `ordrs`; did you mean `orders`?");
    assert_eq!(
        refused("orders-1@1"),
        "there is no partition 1 of `orders`: it has 1, counted from 0"
    );
    for text in ["", "#", "shop#", "shop#x", "shop#-1", "@", "orders@1", "orders-0@", "orders-0@1:"]
    {
        assert!(refused(text).starts_with(&format!("`{text}` is not a record")), "{text}");
    }
}
