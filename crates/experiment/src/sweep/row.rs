//! All numbers of one seed in one cell: what a sweep keeps of a history.
//!
//! Whatever a sweep says is a fold over rows, so what is written down of an interrupted sweep, or
//! of a part of one on another machine, is rows. The one exception are the distributions of latency
//! over all records: they are added up per cell, and adding them is exact in any order.

use super::gate::snake_case;
use crate::case::Case;
use crate::counts::{Judged, counter_of};
use crate::defect::Defect;
use crate::outcome::Outcome;
use acklab_scenario::expect::Reach;
use acklab_scenario::{Counter, Counts, Quantity};
use acklab_verdict::{
    AnomalyKind, Cause, Exceptions, Promise, Unavailability, Verdict, Violation, names,
};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// One seed in one cell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeedRow {
    /// The seed.
    pub seed: u64,
    /// What it came to.
    pub result: SeedResult,
}

/// What one seed came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SeedResult {
    /// A verdict.
    Judged(Box<Numbers>),
    /// A panic: its message, and where it was.
    Defect(String, String),
}

/// The numbers of a judged history.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbers {
    /// Digest of the fates.
    pub digest: String,
    /// Every counter, in the order of [`Counter::ALL`].
    pub counters: Vec<u64>,
    /// How many anomalies have which cause.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<CauseRow>,
    /// Consumer applications, in the order of the cell's names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupRow>,
    /// Partitions, in the order of topics.
    pub partitions: Vec<PartitionRow>,
    /// From creation to the first acknowledgement.
    pub produce: LatencyRow,
    /// From creation to the first read.
    pub end_to_end: LatencyRow,
    /// Exceptions of producers' libraries, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub producer_exceptions: BTreeMap<String, RaisedRow>,
    /// Broken promises by name, known ones with their issue, and how often.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub violations: Vec<(String, Option<String>, u64)>,
    /// Positions of the expectations that did not hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<u16>,
    /// What did not come to rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stuck: Option<String>,
}

/// How many anomalies of one kind have one cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CauseRow {
    /// What is wrong.
    #[serde(with = "by_name")]
    pub kind: AnomalyKind,
    /// Position of the consumer application that has it, if one has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<u16>,
    /// Why.
    #[serde(with = "by_name")]
    pub cause: Cause,
    /// Whether Kafka had promised otherwise.
    pub promise: PromiseRow,
    /// How many.
    pub count: u64,
}

/// Whether Kafka had promised otherwise.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PromiseRow {
    /// Nothing else had been promised.
    Kept,
    /// Broken, as documented for the version by the KIP or issue named.
    KnownViolation(String),
    /// Broken.
    Broken,
}

/// One consumer application.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupRow {
    /// The counters that [are of groups](Counter::is_of_groups), in the order of [`Counter::ALL`].
    pub counters: Vec<u64>,
    /// Failed commits, by the name of an error code or an exception.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub commit_errors: BTreeMap<String, u64>,
    /// Exceptions of the client library, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub exceptions: BTreeMap<String, RaisedRow>,
}

/// How often an exception reached the application, and how often it was only logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "[u64; 2]", into = "[u64; 2]")]
pub struct RaisedRow {
    /// It reached the application.
    pub application: u64,
    /// It was only logged.
    pub logged: u64,
}

impl From<[u64; 2]> for RaisedRow {
    fn from([application, logged]: [u64; 2]) -> Self {
        RaisedRow { application, logged }
    }
}

impl From<RaisedRow> for [u64; 2] {
    fn from(row: RaisedRow) -> Self {
        [row.application, row.logged]
    }
}

/// Where writes to one partition were missing, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "[u64; 4]", into = "[u64; 4]")]
pub struct PartitionRow {
    /// The longest time between two accepted writes.
    pub longest: u64,
    /// The time in gaps of 100 ms or more.
    pub total: u64,
    /// The longest time without a leader that works.
    pub leaderless_longest: u64,
    /// All of that time.
    pub leaderless_total: u64,
}

/// What is said of a distribution of times, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "[u64; 5]", into = "[u64; 5]")]
pub struct LatencyRow {
    /// Of how many records.
    pub records: u64,
    /// Half took at most so long.
    pub p50: u64,
    /// Nine in ten took at most so long.
    pub p90: u64,
    /// 99 in a hundred took at most so long.
    pub p99: u64,
    /// The longest.
    pub max: u64,
}

impl From<[u64; 4]> for PartitionRow {
    fn from([longest, total, leaderless_longest, leaderless_total]: [u64; 4]) -> Self {
        PartitionRow { longest, total, leaderless_longest, leaderless_total }
    }
}

impl From<PartitionRow> for [u64; 4] {
    fn from(row: PartitionRow) -> Self {
        [row.longest, row.total, row.leaderless_longest, row.leaderless_total]
    }
}

impl From<[u64; 5]> for LatencyRow {
    fn from([records, p50, p90, p99, max]: [u64; 5]) -> Self {
        LatencyRow { records, p50, p90, p99, max }
    }
}

impl From<LatencyRow> for [u64; 5] {
    fn from(row: LatencyRow) -> Self {
        [row.records, row.p50, row.p90, row.p99, row.max]
    }
}

/// A row, and the distributions of latency that are added up.
#[derive(Clone, Debug)]
pub(super) struct Done {
    pub(super) row: SeedRow,
    /// Boxed: results wait for their turn.
    pub(super) latency: Option<Box<[Histogram<u64>; 2]>>,
}

impl Done {
    /// Runs one seed. All judging and counting happens here, in the thread of the run.
    pub(super) fn run(case: &Case, groups: &[String], seed: u64) -> Done {
        match case.run(seed) {
            Ok(outcome) => {
                let numbers = Numbers::of(&outcome, groups);
                let Verdict { produce_latency, end_to_end_latency, .. } = outcome.verdict;
                let latency = [produce_latency.histogram, end_to_end_latency.histogram];
                let row = SeedRow { seed, result: SeedResult::Judged(Box::new(numbers)) };
                Done { row, latency: Some(Box::new(latency)) }
            }
            Err(Defect { message, location, .. }) => Done {
                row: SeedRow { seed, result: SeedResult::Defect(message, location) },
                latency: None,
            },
        }
    }
}

impl SeedRow {
    /// The numbers, if there is a verdict.
    #[must_use]
    pub fn numbers(&self) -> Option<&Numbers> {
        match &self.result {
            SeedResult::Judged(numbers) => Some(numbers),
            SeedResult::Defect(..) => None,
        }
    }
}

impl Numbers {
    /// Whether there is anything behind a number: a latency of no records is none.
    pub(super) fn has_measured(&self, quantity: &Quantity) -> bool {
        match quantity {
            Quantity::Counter(Counter::ProduceP50 | Counter::ProduceP99 | Counter::ProduceMax) => {
                self.produce.records > 0
            }
            Quantity::Counter(
                Counter::EndToEndP50 | Counter::EndToEndP99 | Counter::EndToEndMax,
            ) => self.end_to_end.records > 0,
            _ => true,
        }
    }

    /// What is kept of a history; `groups` are the names of the consumer applications.
    #[must_use]
    pub fn of(outcome: &Outcome, groups: &[String]) -> Numbers {
        let verdict = &outcome.verdict;
        let counts = Judged(verdict);
        let group = |name: &String| GroupRow {
            counters: of_groups().map(|counter| counts.group(name, counter)).collect(),
            commit_errors: commit_errors(verdict, name),
            exceptions: exceptions(verdict.groups.get(name).map(|of| &of.exceptions)),
        };
        let failed = outcome.expectations.iter().enumerate().filter(|(_, it)| !it.held);
        Numbers {
            digest: verdict.digest.verdict.clone(),
            counters: Counter::ALL.iter().map(|&counter| counts.count(counter)).collect(),
            causes: causes(verdict, groups),
            groups: groups.iter().map(group).collect(),
            partitions: verdict.unavailability.iter().map(PartitionRow::of).collect(),
            produce: LatencyRow::of(&verdict.produce_latency),
            end_to_end: LatencyRow::of(&verdict.end_to_end_latency),
            producer_exceptions: exceptions(verdict.producer_exceptions.values()),
            violations: violations(verdict),
            failed: failed.map(|(position, _)| position as u16).collect(),
            stuck: outcome.stuck.as_ref().map(|stuck| stuck.because.join("; ")),
        }
    }

    /// A counter.
    #[must_use]
    pub fn counter(&self, counter: Counter) -> u64 {
        self.counters.get(counter as usize).copied().unwrap_or(0)
    }

    /// How many anomalies of a kind there are, of one consumer application or over all.
    #[must_use]
    pub fn anomalies(&self, kind: AnomalyKind, group: Option<usize>) -> u64 {
        let counter = counter_of(kind);
        match group {
            None => self.counter(counter),
            Some(group) => self.groups.get(group).map_or(0, |group| group.counter(counter)),
        }
    }
}

impl Numbers {
    /// The exceptions that were raised, by name and by how far they got, each once.
    pub(super) fn exceptions(&self) -> BTreeSet<(String, Reach)> {
        let groups = self.groups.iter().map(|group| &group.exceptions);
        let rows = groups.chain([&self.producer_exceptions]).flatten();
        let reached = rows.flat_map(|(name, row)| {
            let application = (row.application > 0).then(|| (name.clone(), Reach::Application));
            let logged = (row.logged > 0).then(|| (name.clone(), Reach::Log));
            [application, logged].into_iter().flatten()
        });
        reached.collect()
    }
}

impl GroupRow {
    /// A counter; 0 for those that are not of groups.
    #[must_use]
    pub fn counter(&self, counter: Counter) -> u64 {
        let position = of_groups().position(|other| other == counter);
        position.and_then(|position| self.counters.get(position)).copied().unwrap_or(0)
    }
}

impl PartitionRow {
    fn of(of: &Unavailability) -> PartitionRow {
        PartitionRow {
            longest: of.write_gap_longest.as_micros(),
            total: of.write_gap_total.as_micros(),
            leaderless_longest: of.leaderless_longest.as_micros(),
            leaderless_total: of.leaderless_total.as_micros(),
        }
    }
}

impl LatencyRow {
    fn of(of: &acklab_verdict::verdict::LatencyResult) -> LatencyRow {
        let summary = of.summary;
        LatencyRow {
            records: of.histogram.len(),
            p50: summary.p50,
            p90: summary.p90,
            p99: summary.p99,
            max: summary.max,
        }
    }
}

/// The counters that a consumer application has.
pub(super) fn of_groups() -> impl Iterator<Item = Counter> {
    Counter::ALL.iter().copied().filter(|counter| counter.is_of_groups())
}

fn causes(verdict: &Verdict, groups: &[String]) -> Vec<CauseRow> {
    let row = |of: &acklab_verdict::CauseCount| CauseRow {
        kind: of.kind,
        group: of.group.and_then(|group| {
            let name = names::application(&verdict.header, group);
            groups.iter().position(|other| *other == name).map(|position| position as u16)
        }),
        cause: of.cause,
        promise: match of.promise {
            Promise::Kept => PromiseRow::Kept,
            Promise::KnownViolation(issue) => PromiseRow::KnownViolation(issue.to_owned()),
            Promise::Broken => PromiseRow::Broken,
        },
        count: of.count,
    };
    verdict.causes.iter().map(row).collect()
}

/// `exceptions PartitionOwnedError`, as a gate speaks of it.
pub(super) fn exception_key(name: &str, reach: Reach) -> String {
    format!("{} {name}", snake_case(reach.name()))
}

fn commit_errors(verdict: &Verdict, group: &str) -> BTreeMap<String, u64> {
    let Some(of) = verdict.groups.get(group) else { return BTreeMap::new() };
    let refused = of.refused.keys().map(|error| error.name());
    let names: Vec<&str> = refused.chain(of.failures.keys().copied()).collect();
    names.into_iter().map(|name| (name.to_owned(), of.commit_errors(name))).collect()
}

/// Exceptions of some processes together.
fn exceptions<'v>(of: impl IntoIterator<Item = &'v Exceptions>) -> BTreeMap<String, RaisedRow> {
    let mut all: BTreeMap<String, RaisedRow> = BTreeMap::new();
    for (exception, raised) in of.into_iter().flat_map(|of| &of.0) {
        let row = all.entry(exception.name().to_owned()).or_default();
        row.application += raised.application;
        row.logged += raised.logged;
    }
    all
}

fn violations(verdict: &Verdict) -> Vec<(String, Option<String>, u64)> {
    let mut counted: BTreeMap<(String, Option<String>), u64> = BTreeMap::new();
    for Violation { invariant, known, .. } in
        verdict.violations.iter().chain(&verdict.known_violations)
    {
        let key = ((*invariant).to_owned(), known.map(str::to_owned));
        *counted.entry(key).or_default() += 1;
    }
    counted.into_iter().map(|((name, known), count)| (name, known, count)).collect()
}

/// A row as expectations and gates see it.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowCounts<'a> {
    pub(super) numbers: &'a Numbers,
    pub(super) groups: &'a [String],
}

impl RowCounts<'_> {
    fn position(&self, group: &str) -> Option<usize> {
        self.groups.iter().position(|name| name == group)
    }
}

impl Counts for RowCounts<'_> {
    fn count(&self, counter: Counter) -> u64 {
        self.numbers.counter(counter)
    }

    fn cause(&self, cause: &str) -> u64 {
        let named = self.numbers.causes.iter().filter(|of| of.cause.name() == cause);
        named.map(|of| of.count).sum()
    }

    fn group(&self, group: &str, counter: Counter) -> u64 {
        let group = self.position(group).and_then(|position| self.numbers.groups.get(position));
        group.map_or(0, |group| group.counter(counter))
    }

    fn group_cause(&self, group: &str, cause: &str) -> u64 {
        let position = self.position(group).map(|position| position as u16);
        let here =
            |of: &&CauseRow| of.group.is_some() && of.group == position && of.cause.name() == cause;
        self.numbers.causes.iter().filter(here).map(|of| of.count).sum()
    }

    fn commit_errors(&self, group: Option<&str>, error: &str) -> u64 {
        let groups = self.groups.iter().zip(&self.numbers.groups);
        let chosen = groups.filter(|(name, _)| group.is_none_or(|group| group == name.as_str()));
        chosen.filter_map(|(_, of)| of.commit_errors.get(error)).sum()
    }

    fn exceptions(&self, group: Option<&str>, exception: &str, reach: Reach) -> u64 {
        let groups = self.groups.iter().zip(&self.numbers.groups);
        let chosen = groups.filter(|(name, _)| group.is_none_or(|group| group == name.as_str()));
        let of_groups = chosen.map(|(_, of)| &of.exceptions);
        let producers = Some(&self.numbers.producer_exceptions).filter(|_| group.is_none());
        let rows = of_groups.chain(producers).filter_map(|of| of.get(exception));
        rows.map(|row| match reach {
            Reach::Application => row.application,
            Reach::Log => row.logged,
        })
        .sum()
    }
}

/// What has a name in JSON, as that name.
mod by_name {
    use acklab_verdict::{AnomalyKind, Cause};
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) trait Named: Copy + 'static {
        const ALL: &'static [Self];
        fn name(self) -> &'static str;
    }

    impl Named for AnomalyKind {
        const ALL: &'static [Self] = AnomalyKind::ALL;

        fn name(self) -> &'static str {
            AnomalyKind::name(self)
        }
    }

    impl Named for Cause {
        const ALL: &'static [Self] = Cause::ALL;

        fn name(self) -> &'static str {
            Cause::name(self)
        }
    }

    pub(super) fn serialize<T: Named, S: Serializer>(it: &T, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(it.name())
    }

    pub(super) fn deserialize<'de, T: Named, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
        let name = String::deserialize(from)?;
        let found = T::ALL.iter().copied().find(|it| it.name() == name);
        found.ok_or_else(|| D::Error::custom(format!("`{name}` is unknown")))
    }
}
