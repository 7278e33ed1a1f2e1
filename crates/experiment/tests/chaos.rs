//! Random scenarios with random faults: whatever happens, the simulator must not panic, must be deterministic by either
//! driver, must break no promise, must explain every anomaly and must come to rest.
//!
//! `ACKLAB_CHAOS=100..400 cargo test --profile quick -p acklab-experiment --test chaos` runs other cases than the few of
//! the ordinary suite. A case that fails is shrunk by leaving out faults, producers and readers, and printed.

#[path = "chaos/dice.rs"]
mod dice;
#[path = "chaos/generator.rs"]
mod generator;
#[path = "chaos/groups.rs"]
mod groups;

use acklab_experiment::{Case, Driver, Outcome};
use acklab_scenario::model::Scenario;
use acklab_scenario::{ScenarioFile, write_faults};
use acklab_verdict::{AnomalyKind, CauseCount, Counter, Promise, Violation};
use generator::{Plan, plan};
use std::ops::Range;
use std::sync::Arc;

/// Invariants that Kafka itself breaks, though no issue is known that says so: name and reason.
const DISCOVERIES: &[(&str, &str)] = &[(
    "isr_newcomer_complete",
    "case 1171. The answer to an AlterPartition overtakes the metadata record of the same change. The leader proposes a \
     replica that has reached the high watermark, though it lags; then the record comes, with the partition epoch that \
     the leader knows already, and `Partition.makeLeader` takes an equal epoch for news and drops the pending proposal. \
     The high watermark waits for the newcomer no more, while the controller lets it into the ISR.",
)];

/// What a case must not do, if it does.
type Finding = Option<String>;

fn case_of(plan: &Plan) -> Result<Case, String> {
    let text = plan.text();
    let file = ScenarioFile::parse("chaos", None, &text).map_err(|error| error.to_string())?;
    let resolved = file
        .resolve("base", &[])
        .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
    Ok(Case::from(resolved))
}

/// The verdict, in one line of what must be equal.
fn essence(outcome: &Outcome) -> String {
    format!(
        "{} {} events {} end {} stuck {:?} struck {}",
        outcome.verdict.digest.trajectory,
        outcome.verdict.digest.verdict,
        outcome.events,
        outcome.ended_at.0,
        outcome.stuck,
        outcome.schedule.len(),
    )
}

fn examine(plan: &Plan, seed: u64) -> Finding {
    let case = match case_of(plan) {
        Ok(case) => case,
        Err(error) => return Some(format!("refused: {error}")),
    };
    let run = |driver| case.run_by(seed, driver, ()).map(|(outcome, ())| outcome);
    let first = match run(Driver::Madsim) {
        Ok(outcome) => outcome,
        Err(defect) => return Some(format!("panic: {defect}")),
    };
    unwanted(plan, &first)
        .or_else(|| match run(Driver::Madsim) {
            Ok(again) if essence(&again) == essence(&first) => None,
            Ok(again) => Some(format!("twice: {}\n{}", essence(&first), essence(&again))),
            Err(defect) => Some(format!("twice: panic: {defect}")),
        })
        .or_else(|| match run(Driver::Plain) {
            Ok(plain) if essence(&plain) == essence(&first) => None,
            Ok(plain) => Some(format!("drivers: {}\n{}", essence(&first), essence(&plain))),
            Err(defect) => Some(format!("drivers: panic: {defect}")),
        })
        .or_else(|| replayed(&case, seed, &first))
}

/// What no outcome may show.
fn unwanted(plan: &Plan, outcome: &Outcome) -> Finding {
    let verdict = &outcome.verdict;
    let discovered =
        |violation: &&Violation| DISCOVERIES.iter().any(|(name, _)| *name == violation.invariant);
    if let Some(violation) = verdict.violations.iter().find(|of| !discovered(of)) {
        let (at, name) = (violation.at.as_secs_f64(), violation.invariant);
        return Some(format!("violation {name} at {at}: {}", violation.text));
    }
    let none = |counter: Counter| {
        let count = verdict.count(counter);
        (count > 0).then(|| format!("{} = {count}: {:?}", counter.name(), verdict.causes))
    };
    // Kafka has defects of its own, which show here as well: each is named.
    let unknown = |kind: AnomalyKind| {
        let kept =
            |of: &&CauseCount| of.kind == kind && !matches!(of.promise, Promise::KnownViolation(_));
        let found: Vec<&CauseCount> = verdict.causes.iter().filter(kept).collect();
        (!found.is_empty()).then(|| format!("{}: {found:?}", kind.name()))
    };
    none(Counter::Unexplained)
        .or_else(|| unknown(AnomalyKind::Lost).filter(|_| plan.loses_nothing()))
        .or_else(|| unknown(AnomalyKind::Duplicated).filter(|_| plan.exactly_once()))
        .or_else(|| unknown(AnomalyKind::Reordered).filter(|_| plan.exactly_once()))
        .or_else(|| {
            let excused = plan.has_permanent_fault() || plan.is_overloaded();
            let stuck = outcome.stuck.as_ref().filter(|_| !excused)?;
            // Whoever is never done keeps the topics that it writes to in motion.
            let one_lags = stuck.because.iter().any(|because| plan.may_lag(because));
            let waits = |because: &&String| {
                // Markers of transactions need min.insync.replicas as well.
                let waits_for_replicas = ["producer", "transaction"]
                    .iter()
                    .any(|who| plan.never_enough && because.contains(who));
                let in_motion = ["above its high watermark", "a transaction of"];
                // On a lossy network replicas lag, and brokers are fenced, again and again.
                let by_loss = ["has an ISR of", "does not lead yet"];
                let says = |what: &[&str]| what.iter().any(|what| because.contains(what));
                let follows =
                    one_lags && (says(&in_motion) || plan.loses_packets() && says(&by_loss));
                !waits_for_replicas && !follows && !plan.may_lag(because)
            };
            let because: Vec<&str> =
                stuck.because.iter().filter(waits).map(String::as_str).collect();
            (!because.is_empty()).then(|| format!("stuck: {}", because.join("; ")))
        })
}

/// The faults that struck, written out and read again, make the same history.
fn replayed(case: &Case, seed: u64, first: &Outcome) -> Finding {
    let written = write_faults(&first.schedule, &case.scenario);
    let faults = match ScenarioFile::parse_faults("schedule", &written, &case.scenario) {
        Ok(faults) => faults,
        Err(errors) => {
            let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
            return Some(format!("schedule refused: {}\n{written}", errors.join("\n")));
        }
    };
    if faults != first.schedule {
        return Some(format!("schedule read otherwise:\n{:?}\n{faults:?}", first.schedule));
    }
    let scenario = Scenario { faults, ..Scenario::clone(&case.scenario) };
    let fixed = Case { scenario: Arc::new(scenario), ..case.clone() };
    match fixed.run(seed) {
        Ok(again) if again.schedule != first.schedule => {
            let other = write_faults(&again.schedule, &case.scenario);
            Some(format!("schedule struck otherwise:\n{written}\n{other}"))
        }
        Ok(again) if again.verdict.digest.verdict != first.verdict.digest.verdict => {
            Some(format!("schedule: other fates\n{written}"))
        }
        Ok(again) if again.ended_at != first.ended_at => {
            Some(format!("schedule: another end\n{written}"))
        }
        Ok(_) => None,
        Err(defect) => Some(format!("schedule: panic: {defect}")),
    }
}

/// Leaves out what is not needed for a finding of the same kind.
fn shrink(mut plan: Plan, seed: u64, mut finding: String) -> (Plan, String) {
    let kind = |finding: &str| {
        let head = finding.split([':', '=']).next().unwrap_or_default();
        head.split_whitespace().take(2).map(str::to_owned).collect::<Vec<_>>()
    };
    let wanted = kind(&finding);
    let mut progress = true;
    while std::mem::take(&mut progress) {
        let mut smaller = Vec::new();
        for index in 0..plan.faults.len() {
            let mut without = plan.clone();
            without.faults.remove(index);
            smaller.push(without);
        }
        for index in 0..plan.readers.len() {
            let mut without = plan.clone();
            without.readers.remove(index);
            smaller.push(without);
        }
        for index in 0..plan.groups.len() {
            let mut without = plan.clone();
            without.groups.remove(index);
            smaller.push(without);
        }
        for index in 0..plan.producers.len() {
            let mut without = plan.clone();
            without.producers.remove(index);
            smaller.push(without);
        }
        for candidate in smaller {
            if let Some(found) = examine(&candidate, seed)
                && kind(&found) == wanted
            {
                (plan, finding, progress) = (candidate, found, true);
                break;
            }
        }
    }
    (plan, finding)
}

/// The cases to run: `A..B` in the variable, or a few.
fn cases() -> Range<u64> {
    let Ok(text) = std::env::var("ACKLAB_CHAOS") else { return 0..24 };
    let (first, end) = text.split_once("..").expect("ACKLAB_CHAOS=A..B");
    first.parse().expect("a number")..end.parse().expect("a number")
}

#[test]
fn whatever_happens() {
    let mut failures = Vec::new();
    for case in cases() {
        let plan = plan(case);
        let Some(finding) = examine(&plan, case) else { continue };
        let (plan, finding) = shrink(plan, case, finding);
        let text = format!("case {case}: {finding}\n{}", plan.text());
        eprintln!("{text}");
        failures.push(format!("case {case}: {}", finding.lines().next().unwrap_or_default()));
    }
    assert!(failures.is_empty(), "{} cases failed:\n{}", failures.len(), failures.join("\n"));
}

/// One scenario without clients, judged.
fn formed(kafka: &str, cluster: &str, latency: &str, seed: u64) -> Outcome {
    let text = format!(
        r#"Scenario(
            kafka: "{kafka}", duration: "10ms",
            cluster: ({cluster}),
            topics: {{"orders": (partitions: 6, replication_factor: 1)}},
            network: (latency: {latency}),
        )"#
    );
    let file = ScenarioFile::parse("formation", None, &text).expect("it parses");
    let resolved = file.resolve("base", &[]).expect("it resolves");
    Case::from(resolved).run(seed).expect("it does not panic")
}

#[test]
fn every_cluster_forms_in_time() {
    for kafka in ["3.3", "3.6", "3.9", "4.0", "4.1"] {
        for brokers in [1, 2, 3, 5] {
            for controllers in [1, 3, 5] {
                for combined in [false, true] {
                    if combined && controllers > brokers {
                        continue;
                    }
                    let mode = format!("KRaft(controllers: {controllers}, combined: {combined})");
                    let cluster = format!("brokers: {brokers}, mode: {mode}");
                    for latency in ["\"200us\"", r#"Uniform("20ms", "150ms")"#] {
                        for seed in 0..3 {
                            let outcome = formed(kafka, &cluster, latency, seed);
                            assert_eq!(outcome.stuck, None, "{kafka} {cluster} {latency} {seed}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn a_network_too_slow_for_a_quorum_is_named_before_time_zero() {
    let cluster = "brokers: 3, mode: KRaft(controllers: 3)";
    let outcome = formed("3.9", cluster, "\"5s\"", 1);
    let stuck = outcome.stuck.expect("it cannot form");
    assert_eq!(stuck.at.0, 0);
    assert!(stuck.because[0].contains("before time zero"), "{:?}", stuck.because);
}

/// Case 238: `poll(Duration.ZERO)` has to get a consumer into its group as well.
#[test]
fn a_consumer_that_polls_without_a_timeout_joins_its_group() {
    for client in ["Librdkafka", "KafkaPython", "Java(\"0.10.0\")", "Java(\"3.9\")"] {
        let text = format!(
            r#"Scenario(
                kafka: "3.9", duration: "5s",
                cluster: (brokers: 3, mode: KRaft(controllers: 1)),
                topics: {{"orders": (partitions: 2, replication_factor: 3)}},
                producers: [(name: "shop", topic: "orders", rate: 10)],
                groups: [(
                    id: "billing", topics: ["orders"], from: "1s", client: {client},
                    poll_timeout: "0ms", properties: {{"auto.offset.reset": "earliest"}},
                )],
            )"#
        );
        let file = ScenarioFile::parse("polls", None, &text).expect("it parses");
        let resolved = file.resolve("base", &[]).expect("it resolves");
        let outcome = Case::from(resolved).run(238).expect("it does not panic");
        let counts = outcome.verdict.groups["billing"].counts;
        assert_eq!((outcome.stuck, counts.pending), (None, 0), "{client}");
        assert_eq!(counts.processed, outcome.verdict.count(Counter::Stored), "{client}");
    }
}
