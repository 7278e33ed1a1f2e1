//! Top of the page: the verdict in words and numbers, what ran, and how to see it again.

use acklab_experiment::{Case, Outcome};
use acklab_scenario::model::{Scenario, Start};
use acklab_verdict::cause::{AnomalyKind, Promise};
use acklab_verdict::invariants::Violation;
use acklab_verdict::names::{self, counted, grouped, percent};
use acklab_verdict::{CauseCount, GroupVerdict, Verdict};
use acklab_vocab::api::Acks;
use acklab_vocab::ids::GroupIndex;
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::RunHeader;

use super::limits::{Limits, clipped};
use super::model::{
    Command, ExpectationRow, Head, KeyNumber, Listed, Named, SettingRow, StuckRow, ViolationRow,
};
use super::sentence::{self, Finding, Findings, Promised};
use super::track::micros;

/// So many rows of a list at the top are shown.
const ROWS: usize = 40;
/// So many letters of a text.
pub const TEXT: usize = 1_000;

/// A command line that asks for the same run: the verb, and what comes behind the selection of the
/// run.
pub type Commands<'a> = &'a dyn Fn(&str, &str) -> String;

/// The head of a run's page.
#[must_use]
pub fn head(
    case: &Case,
    outcome: &Outcome,
    settings: Vec<SettingRow>,
    say: Commands<'_>,
    limits: Limits,
) -> Head {
    let rows = limits.of(ROWS);
    let Outcome { verdict, .. } = outcome;
    let (scenario, header) = (&case.scenario, &verdict.header);
    let findings = findings(outcome);
    let violations = |list: &[Violation]| {
        Listed::first(list.iter().map(|of| violation(verdict, of)).collect(), rows)
    };
    let expectations = outcome.expectations.iter().map(|of| ExpectationRow {
        text: clipped(&of.text, TEXT),
        held: of.held,
        actual: of.actual.clone(),
    });
    Head {
        scenario: header.scenario.clone(),
        variant: (header.variant != acklab_scenario::BASE).then(|| header.variant.clone()),
        about: clipped(&scenario.about, TEXT),
        source: clipped(&scenario.source, TEXT),
        seed: header.seed,
        kafka: header.kafka.to_string(),
        acklab: env!("CARGO_PKG_VERSION").to_owned(),
        simulated_us: micros(outcome.ended_at),
        events: outcome.events,
        digest_trajectory: verdict.digest.trajectory.clone(),
        digest_verdict: verdict.digest.verdict.clone(),
        sentence: sentence::sentence(&findings),
        tone: sentence::tone(&findings),
        key_numbers: key_numbers(verdict),
        commands: commands(verdict, say),
        setup: Listed::first(setup(scenario, header), rows),
        settings: Listed::first(settings, rows),
        expectations: Listed::first(expectations.collect(), rows),
        violations: violations(&verdict.violations),
        known_violations: violations(&verdict.known_violations),
        stuck: outcome.stuck.as_ref().map(|stuck| StuckRow {
            at_us: micros(stuck.at),
            because: stuck.because.iter().take(rows).map(|of| clipped(of, TEXT)).collect(),
        }),
    }
}

fn violation(verdict: &Verdict, of: &Violation) -> ViolationRow {
    ViolationRow {
        name: of.invariant.to_owned(),
        at_us: micros(of.at),
        process: of.node.map(|node| names::node(&verdict.header, node)),
        text: clipped(&of.text, TEXT),
        issue: of.known.map(str::to_owned),
    }
}

// ---- the sentence -------------------------------------------------------------------------------

fn findings(outcome: &Outcome) -> Findings {
    let verdict = &outcome.verdict;
    let records = &verdict.records;
    let mut anomalies: Vec<Finding> = Vec::new();
    for cause in &verdict.causes {
        let application = cause.group.map(|group| names::application(&verdict.header, group));
        let known =
            anomalies.iter().position(|of| of.kind == cause.kind && of.application == application);
        if known.is_none() {
            let (count, whole) = of_kind(verdict, cause.kind, cause.group);
            anomalies.push(Finding {
                kind: cause.kind,
                application,
                count,
                whole,
                cause: cause.cause.sentence(),
                cause_count: cause.count,
                promise: promised(cause),
            });
        } else if let Some(of) = known.map(|place| &mut anomalies[place]) {
            of.promise = of.promise.min(promised(cause));
        }
    }
    Findings {
        sent: records.sent,
        stored: records.stored,
        failed: records.failed - records.phantom.min(records.failed),
        unknown: records.unknown,
        aborted: records.aborted,
        undecided: records.undecided,
        applications: verdict.groups.len() as u64,
        is_all_processed: {
            let mut groups = verdict.groups.values();
            groups.all(|group| group.counts.processed == records.stored)
        },
        pending: verdict.sum_of_groups(|of| of.pending),
        anomalies,
        violations: verdict.violations.len() as u64,
        is_stuck: outcome.stuck.is_some(),
        unmet: outcome.expectations.iter().filter(|of| !of.held).count() as u64,
    }
}

fn promised(cause: &CauseCount) -> Promised {
    match cause.promise {
        Promise::Kept => Promised::NoMore(cause.why_kept),
        Promise::KnownViolation(issue) => Promised::Known(issue),
        Promise::Broken => Promised::More,
    }
}

/// How many records have an anomaly, and out of how many.
#[must_use]
pub fn of_kind(verdict: &Verdict, kind: AnomalyKind, group: Option<GroupIndex>) -> (u64, u64) {
    let records = &verdict.records;
    let name = group.map(|group| names::application(&verdict.header, group));
    let counts = name.and_then(|name| verdict.groups.get(&name)).map(|of| of.counts);
    let counts = counts.unwrap_or_default();
    match kind {
        AnomalyKind::Lost => (records.lost, records.acked),
        AnomalyKind::Phantom => (records.phantom, records.failed + records.aborted),
        AnomalyKind::Duplicated => (records.duplicated, records.stored),
        AnomalyKind::Reordered => (records.reordered, records.stored),
        AnomalyKind::Reprocessed => (counts.reprocessed, counts.processed + counts.ghost),
        AnomalyKind::Skipped => {
            (counts.skipped, counts.processed + counts.skipped + counts.pending)
        }
        AnomalyKind::Ghost => (counts.ghost, counts.processed + counts.ghost),
    }
}

// ---- key numbers --------------------------------------------------------------------------------

/// The four or five numbers that carry the verdict: what was sent and stored, every anomaly that
/// occurred, and the time that was lost.
fn key_numbers(verdict: &Verdict) -> Vec<KeyNumber> {
    let records = &verdict.records;
    let mut numbers = vec![
        plain(records.acked, "acked", &format!("of {} sent", grouped(records.sent))),
        anomaly(records.lost, records.acked, "lost", "acked"),
    ];
    let of_log = [
        (records.duplicated, records.stored, "duplicated", "stored"),
        (records.reordered, records.stored, "reordered", "stored"),
        (records.phantom, records.failed + records.aborted, "phantom", "failed or aborted"),
    ];
    let mut others: Vec<KeyNumber> = of_log
        .into_iter()
        .filter(|(count, ..)| *count > 0)
        .map(|(count, whole, word, of)| anomaly(count, whole, word, of))
        .collect();
    for (name, group) in &verdict.groups {
        others.extend(of_group(name, group));
    }
    if others.is_empty() {
        numbers.push(anomaly(records.duplicated, records.stored, "duplicated", "stored"));
    }
    others.truncate(KEY_NUMBERS - numbers.len());
    numbers.append(&mut others);
    let longest = verdict.unavailability.iter().map(|of| of.leaderless_longest).max();
    if let Some(longest) = longest.filter(|longest| longest.0 > 0)
        && numbers.len() < KEY_NUMBERS
    {
        let label = "longest time without a working leader".to_owned();
        let value = names::micros(longest.as_micros());
        numbers.push(KeyNumber { value, label, of: None, is_anomaly: false });
    }
    let p99 = verdict.produce_latency.summary.p99;
    if numbers.len() < KEY_NUMBERS && !verdict.produce_latency.histogram.is_empty() {
        let label = "from creation to the ack in 99 of 100 cases".to_owned();
        let value = names::micros(p99);
        numbers.push(KeyNumber { value, label, of: None, is_anomaly: false });
    }
    numbers
}

const KEY_NUMBERS: usize = 5;

fn of_group(name: &str, group: &GroupVerdict) -> Vec<KeyNumber> {
    let counts = &group.counts;
    let read = counts.processed + counts.ghost;
    let all = counts.processed + counts.skipped + counts.pending;
    let words = [
        (counts.skipped, all, "skipped", "stored"),
        (counts.reprocessed, read, "reprocessed", "processed"),
        (counts.ghost, read, "ghosts", "processed"),
    ];
    let words = words.into_iter().filter(|(count, ..)| *count > 0);
    words
        .map(|(count, whole, word, of)| {
            anomaly(
                count,
                whole,
                &format!("{word} by {name}").replace("ghosts by", "ghosts of"),
                of,
            )
        })
        .collect()
}

fn plain(count: u64, label: &str, of: &str) -> KeyNumber {
    KeyNumber {
        value: grouped(count),
        label: label.to_owned(),
        of: Some(of.to_owned()),
        is_anomaly: false,
    }
}

fn anomaly(count: u64, whole: u64, label: &str, of: &str) -> KeyNumber {
    KeyNumber {
        value: grouped(count),
        label: label.to_owned(),
        of: Some(format!("of {} {of} ({})", grouped(whole), percent(count, whole))),
        is_anomaly: count > 0,
    }
}

// ---- commands -----------------------------------------------------------------------------------

fn commands(verdict: &Verdict, say: Commands<'_>) -> Vec<Command> {
    let command = |purpose: &str, line: String| Command { purpose: purpose.to_owned(), line };
    let mut commands = vec![
        command("the verdict in the terminal", say("run", "")),
        command("this page", say("report", "")),
    ];
    if let Some(worst) = verdict.anomalies.first() {
        let more = explain_options(verdict, worst);
        commands.push(command("the life of a record", say("explain", &more)));
    }
    // A moment after the first thing that happened, or else half-way.
    let first = verdict.timeline.first().map_or(SimTime(verdict.sim_end.0 / 2), |first| first.at);
    let millis = first.since(SimTime::ZERO).as_millis() + 1;
    let at = SimDuration::from_millis(millis).to_string().replace(' ', "");
    commands.push(command("the whole cluster at an instant", say("replay", &format!("--at {at}"))));
    commands
}

/// What selects the record of an anomaly.
#[must_use]
pub fn explain_options(verdict: &Verdict, of: &acklab_verdict::Anomaly) -> String {
    let record = names::quoted(&names::record(&verdict.header, of.record));
    let group = of.group.map(|group| names::application(&verdict.header, group));
    match group {
        Some(group) => format!("--record {record} --group {}", names::quoted(&group)),
        None => format!("--record {record}"),
    }
}

// ---- the setup ----------------------------------------------------------------------------------

fn setup(scenario: &Scenario, header: &RunHeader) -> Vec<Named> {
    let named = |name: String, text: String| Named { name, text };
    let cluster = &scenario.cluster;
    let shared = cluster.controllers().iter().filter(|(_, broker)| broker.is_some()).count();
    let controllers = match shared {
        _ if !cluster.zookeeper().is_empty() => {
            counted(cluster.zookeeper().len() as u64, "ZooKeeper server")
        }
        0 => counted(cluster.controllers().len() as u64, "controller"),
        _ => format!(
            "{}, {shared} of them in a broker's process",
            counted(cluster.controllers().len() as u64, "controller")
        ),
    };
    let mut rows = vec![
        named(
            "cluster".to_owned(),
            format!("{}, {controllers}", counted(cluster.brokers.len() as u64, "broker")),
        ),
        named(
            "workload".to_owned(),
            format!(
                "{}{}",
                scenario.duration,
                match scenario.start {
                    Start::Settled => "",
                    Start::Cold => ", from a cold start",
                }
            ),
        ),
    ];
    for topic in scenario.topics.iter().filter(|topic| !topic.internal) {
        let replicas = topic.assignments.first().map_or(0, |replicas| replicas.len());
        let partitions = counted(topic.assignments.len() as u64, "partition");
        let text = format!(
            "{partitions}, replication factor {replicas}, min.insync.replicas={}",
            topic.config.min_insync_replicas
        );
        rows.push(named(format!("topic {}", topic.name), text));
    }
    for (producer, known) in scenario.producers.iter().zip(&header.producers) {
        let topic = scenario.topics.get(usize::from(producer.topic.0));
        let to = topic.map_or("?", |topic| topic.name.as_str());
        let rate = producer.rate_millihertz * u64::from(producer.count) / 1_000;
        let acks = match known.acks {
            Acks::None => "acks=0",
            Acks::Leader => "acks=1",
            Acks::All => "acks=all",
        };
        let idempotent = if known.idempotence { ", idempotent" } else { "" };
        let transactional = if known.transactional { ", transactional" } else { "" };
        let text = format!(
            "{}, {} records/s to {to}, {acks}{idempotent}{transactional}",
            counted(u64::from(producer.count), "producer"),
            grouped(rate)
        );
        rows.push(named(format!("producer {}", producer.name), text));
    }
    for group in &scenario.groups {
        let reads = group.topics.iter().filter_map(|id| scenario.topics.get(usize::from(id.0)));
        let reads: Vec<&str> = reads.map(|topic| topic.name.as_str()).collect();
        let text = format!(
            "{} reading {}",
            counted(u64::from(group.members), "instance"),
            reads.join(", ")
        );
        rows.push(named(format!("application {}", group.name), text));
    }
    rows
}
