//! Shrinking, end to end: a storm of faults comes down to the one that loses records, and what is
//! written runs, holds, and shows the same.

use acklab_experiment::shrink::{Options, ShrinkError, Shrunk, Wanted, What, shrink};
use acklab_experiment::test::Plan;
use acklab_experiment::{Case, Outcome};
use acklab_scenario::ScenarioFile;
use acklab_verdict::{AnomalyKind, Cause};
use std::num::NonZeroUsize;
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
    }
}

fn shrunk(text: &str, options: &Options) -> Result<Shrunk, ShrinkError> {
    let file = ScenarioFile::parse("storm", None, text).unwrap_or_else(|error| panic!("{error}"));
    let draft = file.draft("base", &[]).expect("it is sound");
    let expect = file.resolve("base", &[]).expect("it is sound").expect;
    shrink(&draft, &expect, options, &mut |_, _| {})
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
    assert!(shrunk.scenario.contains("seed 3") && shrunk.scenario.contains("lost: "));
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
