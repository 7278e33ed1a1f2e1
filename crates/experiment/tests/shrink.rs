//! Shrinking, end to end: a storm of faults comes down to the one that loses records, and what is
//! written runs, holds, and shows the same.

use acklab_experiment::shrink::{Options, ShrinkError, Shrunk, Wanted, What, shrink};
use acklab_experiment::test::Plan;
use acklab_experiment::{Case, Outcome};
use acklab_scenario::ScenarioFile;
use acklab_verdict::{AnomalyKind, Cause};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::sync::LazyLock;

/// Six kinds of trouble at moments that the seed draws.
const STORM: &str = r#"Scenario(
    about: "crashes, pauses, cuts and slow disks, and acks=1",
    kafka: "3.9",
    duration: "30s",
    cluster: (
        brokers: 4, mode: KRaft(controllers: 3),
        properties: {"num.io.threads": "4", "replica.lag.time.max.ms": "20000"},
    ),
    topics: {
        "orders": (partitions: 2, replication_factor: 3, properties: {"min.insync.replicas": "1"}),
        "invoices": (partitions: 2, replication_factor: 2),
    },
    network: (latency: Uniform("500us", "2ms")),
    producers: [
        (
            name: "shop", count: 2, topic: "orders", rate: 100, burst: 4, size: 500,
            properties: {"acks": "1", "linger.ms": "0"},
        ),
        (name: "office", topic: "invoices", rate: 20, properties: {"acks": "all"}),
    ],
    readers: [(name: "audit", topics: ["orders", "invoices"])],
    faults: [
        (every: Exponential("9s"), until: "28s", fault: Kill(AnyBroker), for: Uniform("2s", "6s")),
        (every: "8s", fault: OneOf([Pause(AnyBroker), Pause(ActiveController)]), for: "1s"),
        (at: Uniform("5s", "9s"), fault: Partition(LeaderOf("orders", 1), Rest), for: "12s"),
        (at: Uniform("10s", "20s"), fault: SlowDisk(AnyBroker, "5ms"), for: "5s"),
        (at: Uniform("1s", "20s"), fault: LinkLoss(Clients, Brokers, 0.05), for: "2s"),
        (at: "21s", fault: PreferredElection),
    ],
)"#;

fn options(seed: u64, what: What) -> Options {
    Options {
        seed,
        wanted: Wanted { what, ..Wanted::default() },
        budget: 400,
        jobs: NonZeroUsize::new(2).unwrap(),
        origin: format!("storm, seed {seed}"),
        command: format!("acklab shrink storm.ron --seed {seed}"),
    }
}

fn shrunk(text: &str, options: &Options) -> Result<Shrunk, ShrinkError> {
    let file = ScenarioFile::parse("storm", None, text).unwrap_or_else(|error| panic!("{error}"));
    let draft = file.draft("base", &[]).expect("it is sound");
    let expect = file.resolve("base", &[]).expect("it is sound").expect;
    shrink(&draft, &expect, options, &mut |_, _| ControlFlow::Continue(()))
}

/// The storm's loss with seed 3, made small once for all tests.
static LOST: LazyLock<Shrunk> = LazyLock::new(|| {
    shrunk(STORM, &options(3, What::Anomaly(AnomalyKind::Lost))).expect("it loses records")
});

/// What `acklab test` would say of the file with one seed.
fn run(shrunk: &Shrunk) -> Outcome {
    let file = ScenarioFile::parse("small", None, &shrunk.scenario);
    let file = file.unwrap_or_else(|error| panic!("{error}\n{}", shrunk.scenario));
    assert_eq!(file.variants().count(), 1);
    let resolved = file.resolve("base", &[]).unwrap_or_else(|errors| panic!("{}", errors[0]));
    Case::from(resolved).run(shrunk.seed).expect("it does not panic")
}

#[test]
fn a_storm_comes_down_to_the_fault_that_loses_records() {
    let shrunk = &*LOST;
    let outcome = run(shrunk);
    assert!(outcome.is_as_expected(), "{:?}\n{}", outcome.expectations, shrunk.scenario);
    assert!(shrunk.holds && !shrunk.over_budget && shrunk.findings.is_empty(), "{shrunk:?}");
    assert!(outcome.verdict.records.lost >= 1);
    assert!(shrunk.after.faults <= 2, "{}", shrunk.scenario);
    assert!(shrunk.after < shrunk.before);
    let kept = |name: &str| shrunk.steps.iter().find(|step| step.name == name).map(|it| it.kept);
    assert!(kept("faults") >= Some(1) && kept("processes") >= Some(1), "{:?}", shrunk.steps);
    let runs: u64 = shrunk.steps.iter().map(|step| step.runs).sum();
    assert_eq!(runs + 1, shrunk.runs, "the first run, and those of the steps");
    assert!(shrunk.scenario.contains("acklab shrink storm.ron --seed 3\n"));
    assert!(shrunk.scenario.contains("lost: "));
}

#[test]
fn the_number_of_jobs_changes_nothing() {
    let with = |jobs: usize| {
        let jobs = NonZeroUsize::new(jobs).unwrap();
        let options = Options { jobs, budget: 60, ..options(3, What::Worst) };
        shrunk(STORM, &options).expect("something goes wrong")
    };
    let one = with(1);
    assert_eq!(one, with(2));
    assert_eq!(one, with(1));
    assert!(one.runs <= 60 && one.over_budget, "{} runs", one.runs);
}

/// A consumer that crashes before it has committed.
const GROUP: &str = r#"Scenario(
    kafka: "3.9", duration: "20s",
    cluster: (brokers: 3, mode: KRaft(controllers: 3)),
    topics: {"orders": (partitions: 4, replication_factor: 3), "returns": (partitions: 1)},
    producers: [
        (name: "shop", topic: "orders", rate: 50, keys: Unique),
        (name: "back-office", topic: "returns", rate: 5),
    ],
    groups: [
        (id: "billing", topics: ["orders"], members: 2, commit: SyncPerBatch),
        (id: "audit", topics: ["orders", "returns"], members: 3, commit: Auto,
         properties: {"auto.offset.reset": "earliest", "session.timeout.ms": "6000"}),
    ],
    faults: [
        (every: "4s", until: "19s", fault: Kill(AnyMember("audit")), for: "500ms"),
        (at: "9s", fault: Pause(Member("billing", 1)), for: "1s"),
        (at: "10s", fault: Kill(CoordinatorOf("billing")), for: "2s"),
    ],
    expect: [Group("audit", Reprocessed(Exactly(0))), Violations(Exactly(0))],
)"#;

#[test]
fn an_expectation_that_fails_is_shrunk_to_its_anomaly_in_its_group() {
    let seed = 1;
    let shrunk = shrunk(GROUP, &options(seed, What::Expectation)).expect("it reprocesses");
    let outcome = run(&shrunk);
    assert!(shrunk.holds && outcome.is_as_expected(), "{}", shrunk.scenario);
    assert!(shrunk.shows.starts_with("reprocessed by audit: "), "{}", shrunk.shows);
    assert!(shrunk.scenario.contains(r#"Group("audit", Reprocessed(AtLeast(1)))"#));
    assert!(!shrunk.scenario.contains("billing") && !shrunk.scenario.contains("returns"));
    assert!(shrunk.after.faults <= 2, "{}", shrunk.scenario);
}

/// Fewer records are acked than could be: one fault of two takes the time that they have.
const TOO_FEW: &str = r#"Scenario(
    kafka: "3.9", duration: "5s",
    cluster: (brokers: 3, mode: KRaft(controllers: 3)),
    topics: {"orders": (partitions: 3, replication_factor: 3)},
    producers: [(
        name: "shop", count: 2, topic: "orders", rate: 50,
        properties: {"delivery.timeout.ms": "1500", "request.timeout.ms": "500", "linger.ms": "0"},
    )],
    faults: [
        (at: Uniform("1s", "2s"), fault: Kill(LeaderOf("orders", 0)), for: "5s"),
        (at: "1200ms", fault: Pause(AnyBroker), for: "40ms"),
    ],
    expect: [Acked(AtLeast(450)), Lost(AtLeast(1))],
)"#;

#[test]
fn too_little_of_something_is_due_to_what_remains_and_not_to_a_small_workload() {
    let shrunk = shrunk(TOO_FEW, &options(1, What::Worst)).expect("too few are acked");
    assert_eq!(shrunk.shows, "not acked ≥ 450, but acked ≤ 449");
    assert!(shrunk.holds && shrunk.after.faults == 1, "{}", shrunk.scenario);
    assert!((450..500).contains(&shrunk.after.records), "{:?}", shrunk.after);
    let file = ScenarioFile::parse("small", None, &shrunk.scenario).expect("it parses");
    let draft = file.draft("base", &[]).expect("it is sound").without("faults").expect("it has");
    let calm = Case::from(draft.resolve().expect("it is sound")).run(1).expect("it runs");
    assert!(calm.verdict.records.acked >= 450, "{}", calm.verdict.records.acked);
    let runs: u64 = shrunk.steps.iter().map(|step| step.runs).sum();
    assert_eq!(runs + 2, shrunk.runs, "the first run and its control, and those of the steps");
}

#[test]
fn what_does_not_happen_has_no_smallest_scenario() {
    let text = TOO_FEW.replace("Acked(AtLeast(450)), ", "");
    let error = shrunk(&text, &options(1, What::Expectation)).expect_err("nothing is lost");
    let expected = "lost ≥ 1 does not hold without faults and with the default of every setting";
    assert!(error.to_string().starts_with(expected), "{error}");
}

#[test]
fn too_little_of_something_may_be_due_to_a_setting() {
    let faults = TOO_FEW.find("    faults:").expect("it has");
    let expect = TOO_FEW.find("    expect:").expect("it has");
    let slow =
        r#""batch.size": "1", "max.in.flight.requests.per.connection": "1", "linger.ms": "0""#;
    let text = format!("{}{}", &TOO_FEW[..faults], &TOO_FEW[expect..])
        .replace(r#""linger.ms": "0""#, slow)
        .replace(r#""request.timeout.ms": "500""#, r#""request.timeout.ms": "1000""#)
        .replace("topics:", "network: (latency: \"300ms\"),\n    topics:");
    let shrunk = shrunk(&text, &options(1, What::Expectation)).expect("too few are acked");
    assert!(shrunk.holds && shrunk.after.records >= 450, "{}", shrunk.scenario);
    // One record a round trip, and no time for many.
    let blamed = ["300ms", "batch.size", "delivery.timeout.ms"];
    assert!(blamed.iter().all(|it| shrunk.scenario.contains(it)), "{}", shrunk.scenario);
}

#[test]
fn a_broken_promise_stays_the_same_one() {
    let text = include_str!("bugs/high-watermark-from-log-end.ron")
        .replace("kafka:", "rules: {\"NewLeaderKeepsHighWatermark\": false},\n    kafka:")
        .replace("Acked(Exactly(5))", "Violations(Exactly(0)), Acked(Exactly(5))");
    let shrunk = shrunk(&text, &options(1, What::Expectation)).expect("a promise is broken");
    let invariant = shrunk.shows.strip_prefix("violated: ").expect("it is one").to_owned();
    let outcome = run(&shrunk);
    let mut broken = outcome.verdict.violations.iter();
    assert!(broken.any(|violation| violation.invariant == invariant), "{}", shrunk.scenario);
    assert!(shrunk.holds && shrunk.scenario.contains("Violations(AtLeast(1))"));
}

#[test]
fn a_run_that_does_not_come_to_rest_fails_an_expectation_that_every_run_has() {
    let text = TOO_FEW
        .replace("    expect: [Acked(AtLeast(450)), Lost(AtLeast(1))],", "    settle: \"1s\",")
        .replace("for: \"5s\"", "permanent: true");
    let [by_name, by_expectation] = [What::Stuck, What::Expectation]
        .map(|what| shrunk(&text, &options(1, what)).expect("it does not come to rest"));
    assert_eq!(by_name, by_expectation);
    assert!(by_name.shows.starts_with("does not come to rest: "), "{}", by_name.shows);
    assert!(by_name.scenario.contains("    expect: ["), "{}", by_name.scenario);
    let outcome = run(&by_name);
    let because = outcome.stuck.as_ref().map(|stuck| stuck.because.join("; "));
    assert_eq!(by_name.shows.strip_prefix("does not come to rest: "), because.as_deref());
    let failed: Vec<&str> =
        outcome.expectations.iter().filter(|it| !it.held).map(|it| it.text.as_str()).collect();
    assert_eq!((failed, by_name.holds), (vec!["comes to rest"], false));
}

#[test]
fn moments_are_as_round_as_they_can_be() {
    let drawn = ["ns\"", "us\""];
    assert!(drawn.iter().all(|unit| !LOST.scenario.contains(unit)), "{}", LOST.scenario);
    let changes = LOST.steps.iter().flat_map(|step| &step.changes);
    for change in changes {
        let said = format!("{} {} {}", change.what, change.from, change.to);
        let number =
            |word: &str| word.strip_suffix("ns").is_some_and(|it| it.parse::<u64>().is_ok());
        assert!(!said.split(['"', ' ', '(']).any(number), "{said}");
    }
}

#[test]
fn what_has_been_reached_is_not_lost_when_somebody_asks_to_stop() {
    let file = ScenarioFile::parse("storm", None, STORM).expect("it parses");
    let draft = file.draft("base", &[]).expect("it is sound");
    let stopped = |after: u64| {
        let mut stop = |runs, _| match runs >= after {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        shrink(&draft, &[], &options(3, What::Anomaly(AnomalyKind::Lost)), &mut stop)
    };
    assert_eq!(stopped(1), Err(ShrinkError::Interrupted));
    let shrunk = stopped(20).expect("something is smaller");
    assert!(shrunk.interrupted && !shrunk.over_budget && shrunk.seeds.is_none());
    assert!(shrunk.runs <= 21 && shrunk.after < shrunk.before, "{} runs", shrunk.runs);
    assert!(shrunk.holds && run(&shrunk).is_as_expected(), "{}", shrunk.scenario);
}

#[test]
fn the_result_is_a_sound_file() {
    let file = ScenarioFile::parse("small", None, &LOST.scenario).expect("it parses");
    let plan = Plan::new(&file, None, &[]).expect("it is sound");
    assert_eq!(plan.cases().len(), 1);
    let said_again = file.draft("base", &[]).expect("it is sound").resolve().expect("it is sound");
    assert_eq!(said_again.scenario, file.resolve("base", &[]).expect("it is sound").scenario);
}

#[test]
fn nothing_to_shrink_says_what_there_is() {
    let calm = STORM.replace(r#""acks": "1", "#, "");
    let calm = format!("{}\n)", calm.split("    faults: [").next().expect("a part"));
    let nothing = |text: &str, wanted: Wanted| {
        let options = Options { wanted, ..options(3, What::Worst) };
        shrunk(text, &options).expect_err("there is nothing").to_string()
    };
    assert_eq!(nothing(&calm, Wanted::default()), "nothing went wrong in this history");
    let wanted = Wanted { what: What::Anomaly(AnomalyKind::Phantom), ..Wanted::default() };
    assert_eq!(nothing(&calm, wanted), "no record was a phantom in this history");
    let wanted = Wanted {
        what: What::Anomaly(AnomalyKind::Lost),
        cause: Some(Cause::MarkerLost),
        ..Wanted::default()
    };
    let message = nothing(STORM, wanted);
    let expected = "no record was lost with the cause marker_lost in this history, but there are ";
    assert!(message.starts_with(expected), "{message}");
}
