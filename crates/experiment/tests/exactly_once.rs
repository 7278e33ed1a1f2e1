//! Exactly once, whatever happens: applications that read, process and write in transactions, under crashes, pauses,
//! partitions and losses of power. With Kafka 4.1 (`transaction.version` 2, KIP-890) a reader of committed records finds
//! every record once; with 3.9 a late EndTxn ends the wrong transaction (failure case T1).
//!
//! `ACKLAB_CHAOS=0..500 cargo test --profile quick -p acklab-experiment --test exactly_once` runs more cases than the few of
//! the ordinary suite. A case that fails is shrunk by leaving out faults, and printed.

#[path = "chaos/dice.rs"]
mod dice;
#[path = "exactly_once/generator.rs"]
mod generator;

use acklab_experiment::{Case, Driver, Outcome};
use acklab_scenario::ScenarioFile;
use acklab_verdict::{Cause, CauseCount, Counter, Promise, Verdict};
use generator::{Plan, plan};
use std::ops::Range;

/// What a case must not do, if it does.
type Finding = Option<String>;

fn case_of(text: &str) -> Result<Case, String> {
    let file =
        ScenarioFile::parse("exactly-once", None, text).map_err(|error| error.to_string())?;
    let resolved = file
        .resolve("base", &[])
        .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
    Ok(Case::from(resolved))
}

fn digests(outcome: &Outcome) -> String {
    let digest = &outcome.verdict.digest;
    format!("{} {} {}", digest.trajectory, digest.verdict, outcome.events)
}

fn examine(plan: &Plan, seed: u64) -> Finding {
    let case = match case_of(&plan.text()) {
        Ok(case) => case,
        Err(error) => return Some(format!("refused: {error}")),
    };
    let first = match case.run(seed) {
        Ok(outcome) => outcome,
        Err(defect) => return Some(format!("panic: {defect}")),
    };
    let finding = unwanted(&first);
    if finding.is_some() || !seed.is_multiple_of(8) {
        return finding;
    }
    match case.run_by(seed, Driver::Plain, ()) {
        Ok((again, ())) if digests(&again) == digests(&first) => None,
        Ok((again, ())) => Some(format!("twice: {}\n{}", digests(&first), digests(&again))),
        Err(defect) => Some(format!("twice: panic: {defect}")),
    }
}

/// What no outcome may show.
fn unwanted(outcome: &Outcome) -> Finding {
    let verdict = &outcome.verdict;
    if let Some(violation) = verdict.violations.first().or(verdict.known_violations.first()) {
        let (at, name) = (violation.at.as_secs_f64(), violation.invariant);
        return Some(format!("violation {name} at {at}: {}", violation.text));
    }
    if let Some(stuck) = &outcome.stuck {
        return Some(format!("stuck: {}", stuck.because.join("; ")));
    }
    let none = |name: &str, count: u64| {
        (count > 0).then(|| format!("{name} = {count}: {:?}", verdict.causes))
    };
    [
        Counter::Lost,
        Counter::Duplicated,
        Counter::Reordered,
        Counter::Unexplained,
        Counter::Undecided,
    ]
    .into_iter()
    .find_map(|counter| none(counter.name(), verdict.count(counter)))
    .or_else(|| {
        verdict.groups.iter().find_map(|(name, group)| {
            let counts = &group.counts;
            let reprocessed = if name == "billing" { 0 } else { counts.reprocessed };
            let pending = if is_fenced(verdict, name) { 0 } else { counts.pending };
            none("skipped", counts.skipped)
                .or_else(|| none("reprocessed", reprocessed))
                .or_else(|| none("aborted read", counts.aborted_reads))
                .or_else(|| none("pending", pending))
        })
    })
    .or_else(|| audited(outcome))
}

/// Case 1012. A static member gets a member id from a coordinator that has been paused and replaced,
/// and keeps it when that one cannot store the group; the new coordinator takes it for another process
/// with its `group.instance.id`. That is fatal to the application, whoever is at fault (KIP-345).
fn is_fenced(verdict: &Verdict, application: &str) -> bool {
    verdict.timeline.iter().any(|entry| {
        entry.text.starts_with(application) && entry.text.contains("FENCED_INSTANCE_ID")
    })
}

/// Every committed record was read once.
fn audited(outcome: &Outcome) -> Finding {
    let verdict = &outcome.verdict;
    let audit = verdict.readers["audit"];
    let stored: u64 = ["invoices", "ledger"]
        .iter()
        .filter_map(|topic| verdict.topics.get(*topic))
        .map(|counts| counts.stored)
        .sum();
    (audit.read != stored || audit.reread > 0)
        .then(|| format!("audit: {} read of {stored}, {} again", audit.read, audit.reread))
}

/// Leaves out faults that are not needed for a finding of the same kind.
fn shrink(mut plan: Plan, seed: u64, mut finding: String) -> (Plan, String) {
    let kind = |finding: &str| {
        let head = finding.split([':', '=']).next().unwrap_or_default();
        head.split_whitespace().take(2).map(str::to_owned).collect::<Vec<_>>()
    };
    let wanted = kind(&finding);
    let mut index = 0;
    while index < plan.faults.len() {
        let mut without = plan.clone();
        without.faults.remove(index);
        match examine(&without, seed) {
            Some(found) if kind(&found) == wanted => (plan, finding) = (without, found),
            Some(_) | None => index += 1,
        }
    }
    (plan, finding)
}

/// The cases to run: `A..B` in the variable, or a few.
fn cases() -> Range<u64> {
    let Ok(text) = std::env::var("ACKLAB_CHAOS") else { return 0..40 };
    let (first, end) = text.split_once("..").expect("ACKLAB_CHAOS=A..B");
    first.parse().expect("a number")..end.parse().expect("a number")
}

#[test]
fn a_reader_of_committed_records_finds_each_once() {
    let mut failures = Vec::new();
    for case in cases() {
        let plan = plan(case);
        let Some(finding) = examine(&plan, case) else { continue };
        let (plan, finding) = shrink(plan, case, finding);
        eprintln!("case {case}: {finding}\n{}", plan.text());
        failures.push(format!("case {case}: {}", finding.lines().next().unwrap_or_default()));
    }
    assert!(failures.is_empty(), "{} cases failed:\n{}", failures.len(), failures.join("\n"));
}

/// The second transaction's EndTxn stands still on its connection. Its producer gives it up after a second and asks again on a
/// new connection; that one succeeds, and the next transaction begins. Then the old request arrives.
const LATE_END: &str = r#"Scenario(
    kafka: "3.9", duration: "20s",
    cluster: (brokers: 3, mode: KRaft(controllers: 3)),
    topics: {"orders": (partitions: 8, replication_factor: 3, properties: {"min.insync.replicas": "2"})},
    producers: [(
        name: "shop", topic: "orders", rate: 2, burst: 1, keys: Unique,
        transaction: (bursts: 4, abort: 0.5),
        properties: {
            "transactional.id": "shop", "linger.ms": "0",
            "request.timeout.ms": "1000", "delivery.timeout.ms": "5000",
        },
    )],
    readers: [(
        name: "audit", topics: ["orders"],
        properties: {"isolation.level": "read_committed", "auto.offset.reset": "earliest"},
    )],
    faults: [(
        after: TransactionBegun("shop", 2),
        fault: StallRequests(
            from: Producer("shop"), to: Brokers, api: EndTxn, by: "1300ms", first: 1,
        ),
        for: "10s",
    )],
)"#;

#[test]
fn t1_a_late_end_tears_the_next_transaction_before_4_0_as_is_known() {
    for seed in [0, 1, 2, 7, 8] {
        let old = case_of(LATE_END).expect("it resolves").run(seed).expect("it does not panic");
        let verdict = &old.verdict;
        let issues: Vec<_> = verdict.known_violations.iter().map(|of| of.known).collect();
        assert!(!issues.is_empty() && issues.iter().all(|of| *of == Some("KIP-890")), "{issues:?}");
        let torn = |of: &CauseCount| {
            [Cause::AbortedInLog, Cause::CommittedInLog].contains(&of.cause)
                && of.promise == Promise::KnownViolation("KIP-890")
        };
        assert!(verdict.causes.iter().any(torn), "seed {seed}: {:?}", verdict.causes);
        assert_eq!((&verdict.violations[..], old.stuck), (&[][..], None), "seed {seed}");

        let new = LATE_END.replace("3.9", "4.1");
        let new = case_of(&new).expect("it resolves").run(seed).expect("it does not panic");
        assert_eq!(new.verdict.causes, [], "seed {seed}");
        assert!(new.verdict.violations.is_empty() && new.verdict.known_violations.is_empty());
        assert_eq!(new.stuck, None, "seed {seed}");
    }
}

#[test]
fn the_same_seed_makes_the_same_history() {
    for seed in 1..8 {
        let case = case_of(&plan(seed).text()).expect("it resolves");
        let [first, again] = [0, 1].map(|_| case.run(seed).expect("it does not panic"));
        assert_eq!(digests(&first), digests(&again), "case {seed}");
    }
}
