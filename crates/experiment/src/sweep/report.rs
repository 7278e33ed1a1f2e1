//! What a sweep has come to: the data behind its table, its JSON and its page.
//!
//! Everything here is a pure function of the plan and of the rows of single seeds, in the order of
//! cells and seeds; there is nothing about threads, times of day or the machine in it. Numbers with
//! a fraction are rounded to six digits after the point. Times are simulated, in microseconds.

use crate::defect::Defect;
use crate::seeds::Seeds;
use crate::test::{ComparisonReport, ShareReport};
use acklab_verdict::AnomalyKind;
use serde::Serialize;
use std::collections::BTreeMap;

/// Changes whenever the meaning of a field of [`SweepReport`] does.
pub const SCHEMA: u32 = 1;

/// What a sweep has come to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SweepReport {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The version of acklab.
    pub acklab: String,
    /// Name of the scenario.
    pub scenario: String,
    /// What it shows, in a sentence.
    pub about: String,
    /// Version of the brokers; all of them, separated by commas, if it is varied.
    pub kafka: String,
    /// The command that makes this report.
    pub command: String,
    /// The seeds that were asked for.
    pub seeds: Seeds,
    /// How many of them were run in every cell, counted from the first.
    pub seeds_done: u64,
    /// Why there are no more.
    pub ended: Ended,
    /// Nothing that decides about the exit status failed: no promise was broken, every gate held,
    /// and so did the scenario's expectations and comparisons in cells that run it as it is written.
    pub held: bool,
    /// What is varied; empty if there is one cell only.
    pub dims: Vec<Dim>,
    /// Every combination of their values, the last dimension fastest.
    pub cells: Vec<CellReport>,
    /// Differences between cells over the same seeds.
    pub comparisons: Vec<CellComparison>,
    /// What had to hold, as asked for on the command line.
    pub gates: Vec<GateReport>,
    /// What the scenario says of its variants against each other, where both sides are cells that
    /// run as it is written.
    pub compare: Vec<ComparisonReport>,
    /// The same in words where one is not.
    pub compare_not_asked: Vec<String>,
    /// Whether the intervals are as narrow as was asked for.
    pub until_width: Option<WidthReport>,
}

/// How wide the intervals of probabilities are, where that was to be the end.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WidthReport {
    /// The anomaly that was asked about; `None` for all.
    pub anomaly: Option<AnomalyKind>,
    /// As wide as this at the most, from end to end.
    pub width: f64,
    /// The widest there is.
    pub widest: f64,
    /// The position of its cell in [`SweepReport::cells`].
    pub cell: usize,
    /// The anomaly whose probability it is about.
    pub of: AnomalyKind,
    /// None is wider than asked for.
    pub reached: bool,
}

/// Why a sweep has run no more seeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// All that were asked for are done.
    Complete,
    /// The intervals were narrow enough.
    NarrowEnough,
    /// Somebody interrupted it.
    Interrupted,
}

/// Something that is varied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Dim {
    /// What: `producers/acks`, or `variant`.
    pub path: String,
    /// In short: `acks`.
    pub name: String,
    /// Its values, in the order given.
    pub values: Vec<String>,
}

/// What one combination of values has come to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CellReport {
    /// Its values in short: `acks=all, kafka=3.9`; the variant's name if nothing is varied.
    pub name: String,
    /// Its value of each dimension.
    pub labels: Vec<String>,
    /// The variant of the scenario.
    pub variant: String,
    /// Version of the brokers.
    pub kafka: String,
    /// All settings on top of the variant, those of its dimensions last.
    pub settings: Vec<String>,
    /// Its settings are the scenario's own, so the scenario's expectations apply.
    pub as_written: bool,
    /// The scenario expects something of its own settings that this cell is not held against.
    pub expectations_dropped: bool,
    /// How many seeds came to a verdict.
    pub seeds: u64,
    /// Anomalies of the log and, over all consumer applications, of processing.
    pub anomalies: Vec<AnomalyReport>,
    /// Every counter that expectations know, by its name in snake case, over the seeds.
    pub counters: BTreeMap<String, Spread>,
    /// Consumer applications.
    pub groups: Vec<GroupReport>,
    /// Exceptions of client libraries that were raised in some seed: `exceptions NAME` for those that
    /// reached the application, `logged_exceptions NAME` for the others.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub exceptions: BTreeMap<String, Spread>,
    /// How long records took.
    pub latency: LatencyReport,
    /// Acked records per second of the workload, over the seeds.
    pub throughput: Spread,
    /// Where writes were missing.
    pub unavailability: UnavailabilityReport,
    /// What the runs were held against.
    pub expectations: Vec<ExpectationReport>,
    /// What had to hold in a share of the seeds.
    pub shares: Vec<ShareReport>,
    /// The promises that were broken, and those broken as documented for the version.
    pub violations: ViolationsReport,
    /// The first seeds whose run panicked.
    pub defects: Vec<Defect>,
    /// How many there are.
    pub defects_total: u64,
    /// The command that runs one history of this cell; the seed is to be appended.
    pub run: String,
}

/// How often there were anomalies of one kind, and how many.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AnomalyReport {
    /// Which kind.
    pub anomaly: AnomalyKind,
    /// Seeds that have at least one.
    pub seeds_with: u64,
    /// Their share: the estimated probability that a history has one.
    pub probability: Interval,
    /// How many there are in a history, over all seeds.
    pub counts: Spread,
    /// The same over the seeds that have any; all zero if none has.
    pub counts_if_any: Spread,
    /// How many seeds have so many: exact for counts up to 2,047, within 0.1 % beyond.
    pub distribution: Vec<(u64, u64)>,
    /// Why, the most frequent first.
    pub causes: Vec<CauseReport>,
    /// The seed that has most; the lowest of equals.
    pub worst: Option<Example>,
    /// A seed with the median of those that have any; the lowest of equals.
    pub typical: Option<Example>,
}

/// A cause of anomalies of one kind.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CauseReport {
    /// Its name: `acked_before_replication`.
    pub cause: String,
    /// In plain words.
    pub sentence: String,
    /// What would have prevented it.
    pub prevention: String,
    /// Whether Kafka had promised otherwise: `kept`, `known_violation` or `broken`.
    pub promise: String,
    /// The KIP or issue that documents a known violation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issue: Option<String>,
    /// Seeds that have one with this cause.
    pub seeds_with: u64,
    /// Their share.
    pub probability: Interval,
    /// How many there are, over all seeds together.
    pub total: u64,
    /// How many there are in a history, over all seeds.
    pub counts: Spread,
}

/// A seed that shows something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Example {
    /// Which.
    pub seed: u64,
    /// How many it has.
    pub count: u64,
    /// The command that runs it again.
    pub run: String,
    /// The command that tells the life of such a record.
    pub explain: String,
}

/// A share of histories with its 95 % Wilson interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Interval {
    /// The share itself; 0 if there are none.
    pub estimate: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Interval {
    /// From end to end.
    #[must_use]
    pub fn width(&self) -> f64 {
        self.high - self.low
    }
}

/// A number over seeds. A percentile is the smallest value that so many seeds do not exceed: one
/// that occurred, not an interpolation. All zero if there are no seeds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spread {
    /// Arithmetic mean.
    pub mean: f64,
    /// Least.
    pub min: u64,
    /// Half of the seeds have at most this.
    pub p50: u64,
    /// Nine in ten have at most this.
    pub p90: u64,
    /// 99 in a hundred have at most this.
    pub p99: u64,
    /// Most.
    pub max: u64,
}

/// One consumer application over the seeds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GroupReport {
    /// Its name.
    pub group: String,
    /// What went wrong with records: reprocessed, skipped, ghosts.
    pub anomalies: Vec<AnomalyReport>,
    /// Every counter that a consumer application has, by its name in snake case.
    pub counters: BTreeMap<String, Spread>,
}

/// How long records took.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LatencyReport {
    /// From creation to the first acknowledgement.
    pub produce: LatencyDistribution,
    /// From creation to the first read by each reader and each consumer application.
    pub end_to_end: LatencyDistribution,
}

/// A distribution of times in microseconds, to three significant digits.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LatencyDistribution {
    /// How many records, of all seeds together.
    pub records: u64,
    /// Half of all records took at most so long.
    pub p50: u64,
    /// Nine in ten took at most so long.
    pub p90: u64,
    /// 99 in a hundred took at most so long.
    pub p99: u64,
    /// 999 in a thousand took at most so long.
    pub p999: u64,
    /// The longest.
    pub max: u64,
    /// Share of all records in percent, and the time that they did not exceed; for plotting.
    pub curve: Vec<(f64, u64)>,
    /// The percentiles of single seeds, over the seeds.
    pub per_seed: PerSeedLatency,
}

/// The percentiles of single seeds, over the seeds, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct PerSeedLatency {
    /// Of the medians.
    pub p50: Spread,
    /// Of the 90th percentiles.
    pub p90: Spread,
    /// Of the 99th percentiles.
    pub p99: Spread,
    /// Of the longest times.
    pub max: Spread,
}

/// Where writes were missing, in microseconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UnavailabilityReport {
    /// The longest time without an accepted write to a partition of which producers had asked one;
    /// of each seed its worst partition.
    pub longest: Spread,
    /// All such times of 100 ms or more; of each seed its worst partition.
    pub total: Spread,
    /// The longest time without a leader that works; of each seed its worst partition.
    pub leaderless_longest: Spread,
    /// By partition: those with the longest gaps, in the order of topics and partitions.
    pub partitions: Vec<PartitionReport>,
    /// How many partitions there are.
    pub partitions_total: u64,
}

/// Where writes to one partition were missing, in microseconds, over the seeds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PartitionReport {
    /// Which: `orders-0`.
    pub partition: String,
    /// The longest time from an attempt to write that was not accepted to the next acceptance.
    pub longest: Spread,
    /// All such times of 100 ms or more.
    pub total: Spread,
    /// The longest time without a leader that works.
    pub leaderless_longest: Spread,
    /// All of that time.
    pub leaderless_total: Spread,
}

/// Something that must hold in every seed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExpectationReport {
    /// In words: `duplicated = 0`.
    pub text: String,
    /// In how many seeds it held.
    pub held: u64,
    /// In how many it did not.
    pub failed: u64,
    /// The first of these.
    pub failing_seeds: Vec<u64>,
}

/// Broken promises and what else tells of trouble: seeds that have any.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ViolationsReport {
    /// Seeds with a broken promise.
    pub broken: u64,
    /// Seeds with a promise broken as documented for the version.
    pub known: u64,
    /// Seeds with an anomaly of which the judge found no cause.
    pub unexplained: u64,
    /// Seeds that did not come to rest.
    pub stuck: u64,
    /// The broken promises by name and by the issue that is known for it, with the number of seeds.
    pub by_name: Vec<NamedViolation>,
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NamedViolation {
    /// The invariant, or the cause of an anomaly.
    pub name: String,
    /// KIP or issue, if the version is documented to do this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known: Option<String>,
    /// Seeds that have it.
    pub seeds: u64,
    /// The lowest of these.
    pub first_seed: u64,
}

/// Two cells over the same seeds, the second against the first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CellComparison {
    /// The dimension in which they differ.
    pub dim: String,
    /// Position of the first cell in [`SweepReport::cells`].
    pub first: usize,
    /// Position of the second.
    pub second: usize,
    /// How many seeds came to a verdict in both.
    pub seeds: u64,
    /// Differences of probabilities, for each anomaly that either has.
    pub probabilities: Vec<ProbabilityDifference>,
    /// Differences of means.
    pub means: Vec<MeanDifference>,
}

/// How much more probable an anomaly is in the second cell than in the first. The interval is
/// Newcombe's for paired proportions (his method 10), the test McNemar's exact one, two-sided.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ProbabilityDifference {
    /// Which kind.
    pub anomaly: AnomalyKind,
    /// Seeds that have it in both cells.
    pub both: u64,
    /// Seeds that have it in the first cell only.
    pub first_only: u64,
    /// Seeds that have it in the second cell only.
    pub second_only: u64,
    /// Seeds that have it in neither.
    pub neither: u64,
    /// Second minus first, with its 95 % interval.
    pub difference: Interval,
    /// How probable so uneven a split of the discordant seeds is if neither cell is worse.
    pub p_value: f64,
}

/// How much larger a number is on average in the second cell than in the first: mean of the
/// differences of each seed, with the 95 % interval of Student's t.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MeanDifference {
    /// Which number, in snake case: `lost`, `produce_p99`, `billing/reprocessed`.
    pub quantity: String,
    /// `count`, or `microseconds`.
    pub unit: String,
    /// Mean in the first cell.
    pub first: f64,
    /// Mean in the second cell.
    pub second: f64,
    /// Second minus first, with its 95 % interval.
    pub difference: Interval,
    /// Seeds in which the second has more.
    pub more: u64,
    /// Seeds in which it has less.
    pub less: u64,
    /// Seeds in which both have the same.
    pub equal: u64,
}

impl MeanDifference {
    /// Whether it is one of the numbers that are compared before a reader's eyes, and differs in some
    /// seed; all of them are in the JSON.
    #[must_use]
    pub fn is_telling(&self) -> bool {
        const TELLING: [&str; 15] = [
            "lost",
            "phantom",
            "duplicated",
            "reordered",
            "failed",
            "unknown",
            "reprocessed",
            "skipped",
            "ghost",
            "produce_p50",
            "produce_p99",
            "end_to_end_p50",
            "end_to_end_p99",
            "unavailable_max",
            "standstill_max",
        ];
        let name = self.quantity.rsplit('/').next().unwrap_or_default();
        TELLING.contains(&name) && self.more + self.less > 0
    }
}

/// Something that had to hold, as asked for on the command line.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GateReport {
    /// In words: `acks=all: lost = 0 in ≥ 95 % of histories`.
    pub text: String,
    /// The same without the cells that it speaks of.
    pub claim: String,
    /// The share of histories in which it has to hold; `None` for every seed that is run.
    pub level: Option<f64>,
    /// Every cell that it speaks of.
    pub cells: Vec<GateCell>,
    /// It held in all of them.
    pub held: bool,
}

/// Whether something held in a cell.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GateCell {
    /// Position of the cell in [`SweepReport::cells`].
    pub cell: usize,
    /// In how many seeds it held.
    pub held: u64,
    /// Of so many.
    pub of: u64,
    /// That share, with the exact one-sided bounds of Clopper and Pearson: with 95 % confidence the
    /// share of all histories is at least `low`, and with 95 % confidence at most `high`.
    pub share: Interval,
    /// What follows.
    pub outcome: GateOutcome,
    /// If the seeds are too few to tell: so many would do, were the share to stay what it is.
    pub seeds_needed: Option<u64>,
    /// The first seeds in which it did not hold, with what it was instead.
    pub failures: Vec<GateFailure>,
}

/// What follows from the seeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GateOutcome {
    /// The lower bound reaches the level.
    Held,
    /// The upper bound does not.
    Failed,
    /// The level lies between the bounds: not shown, and so not passed.
    Inconclusive,
}

/// A seed in which something did not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GateFailure {
    /// Which.
    pub seed: u64,
    /// What it was instead, with its unit.
    pub actual: String,
    /// The command that runs it again.
    pub run: String,
}
