//! The view model of a run's page: everything that the page says, as plain data.
//!
//! Units are in the names: `_us` are microseconds of simulated time from time zero (durations too),
//! offsets and counts are plain. All numbers are integers, all lists are bounded and sorted, so
//! that the same run serialises to the same bytes on every machine. How it looks is not decided
//! here. The state that the slider shows is in [`state`](super::state).

mod groups;
mod partitions;
mod zookeeper;

use acklab_vocab::ids::{GroupIndex, RecordId};
use serde::Serialize;

pub use self::groups::*;
pub use self::partitions::*;
pub use self::zookeeper::*;

use super::state::StateHistory;

/// One run, ready to be drawn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RunPage {
    /// What ran, the verdict in a sentence, and how to see it again.
    pub head: Head,
    /// How many records met which fate: the whole run, producers, topics, applications.
    pub fates: Fates,
    /// Why, most frequent first within a kind of anomaly.
    pub causes: Listed<CauseRow>,
    /// One record for each cause, for its life as a diagram.
    pub representatives: Listed<Representative>,
    /// The time axis that every panel shares.
    pub axis: Axis,
    /// What goes through all panels: faults, spells without a working leader, rebalances,
    /// standstills. By start.
    pub bands: Listed<Band>,
    /// What happened, in order, each in a line.
    pub timeline: Listed<TimelineRow>,
    /// Records created, acked, failed in each interval.
    pub throughput: Vec<BucketSeries>,
    /// Of the records created in each interval, how many met which fate; only fates that occurred.
    pub fates_over_time: Vec<FateSeries>,
    /// From creation to the first acknowledgement.
    pub produce_latency: Option<LatencyPanel>,
    /// From creation to the first read by each reader and each consumer application.
    pub end_to_end_latency: Option<LatencyPanel>,
    /// Partitions: those with most to see first chosen, then listed by name. The others are in
    /// [`RunPage::partition_table`].
    pub partitions: Listed<PartitionPanel>,
    /// Every partition of the application's topics in a line, and internal ones to which something
    /// happened.
    pub partition_table: Listed<PartitionRow>,
    /// The ZooKeeper ensemble, if the cluster has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ensemble: Option<EnsemblePanel>,
    /// Consumer applications.
    pub groups: Listed<GroupPanel>,
    /// The cluster's state over time, for the slider, and at the end.
    pub state: StateHistory,
    /// By how much its limits were divided, for a page that would have been too large; 1 if by
    /// nothing.
    pub shortened: usize,
}

/// A list that was cut to a bounded length.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listed<T> {
    /// What is shown.
    pub shown: Vec<T>,
    /// How many more there are: `and 312 more`.
    pub left_out: u64,
}

/// Spans without gaps; where there are too many, the short ones are united.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Gapless<T> {
    /// Those that are shown.
    pub shown: Vec<T>,
    /// What lies between them.
    pub merged: Vec<Merged>,
}

/// Several short spans in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Merged {
    /// From when on.
    pub from_us: u64,
    /// Until when.
    pub to_us: u64,
    /// How many they are.
    pub count: u64,
}

impl<T> Default for Gapless<T> {
    fn default() -> Self {
        Gapless { shown: Vec::new(), merged: Vec::new() }
    }
}

impl<T> Default for Listed<T> {
    fn default() -> Self {
        Listed { shown: Vec::new(), left_out: 0 }
    }
}

impl<T> Listed<T> {
    /// The first `limit` of them.
    #[must_use]
    pub fn first(mut all: Vec<T>, limit: usize) -> Self {
        let left_out = all.len().saturating_sub(limit) as u64;
        all.truncate(limit);
        Listed { shown: all, left_out }
    }

    /// There is nothing, not even left out.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.shown.is_empty() && self.left_out == 0
    }
}

// ---- the head -----------------------------------------------------------------------------------

/// Top and colophon of the page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Head {
    /// Name of the scenario.
    pub scenario: String,
    /// Its variant; `None` for the scenario as it stands.
    pub variant: Option<String>,
    /// What it shows, in a sentence; may be empty.
    pub about: String,
    /// Where the case comes from; may be empty.
    pub source: String,
    /// The seed.
    pub seed: u64,
    /// Version of the brokers: `3.9`.
    pub kafka: String,
    /// Version of acklab.
    pub acklab: String,
    /// How long the run was.
    pub simulated_us: u64,
    /// Events handled.
    pub events: u64,
    /// Digest of every event, hexadecimal.
    pub digest_trajectory: String,
    /// Digest of the fates, hexadecimal.
    pub digest_verdict: String,
    /// The verdict in one sentence, or two.
    pub sentence: String,
    /// How grave it is.
    pub tone: Tone,
    /// The four or five numbers that carry the verdict.
    pub key_numbers: Vec<KeyNumber>,
    /// Commands that show the run again; the first one is `acklab run`.
    pub commands: Vec<Command>,
    /// The cluster and its clients in words: `brokers` → `3`, `topic orders` → `3 partitions,
    /// replication factor 3`.
    pub setup: Listed<Named>,
    /// Properties that differ from the defaults of the version.
    pub settings: Listed<SettingRow>,
    /// What was expected.
    pub expectations: Listed<ExpectationRow>,
    /// Promises and invariants that were broken.
    pub violations: Listed<ViolationRow>,
    /// Those that the simulated version is documented to break.
    pub known_violations: Listed<ViolationRow>,
    /// What did not come to rest, if something did not.
    pub stuck: Option<StuckRow>,
}

/// How grave a verdict is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tone {
    /// Every record stored once, in order, processed once.
    Clean,
    /// Anomalies, and no promise broken.
    Anomalies,
    /// A promise or an expectation did not hold, or the run did not come to rest.
    Broken,
}

/// A number that carries the verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyNumber {
    /// As people write it: `29,998`, `7.9 s`.
    pub value: String,
    /// What it counts: `stored`, `longest time without a working leader`.
    pub label: String,
    /// What it is of, if it is a share: `of 30,000 acked (0.007 %)`.
    pub of: Option<String>,
    /// It is one that a person looks at first: an anomaly that occurred.
    pub is_anomaly: bool,
}

/// A command line, and what it is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Command {
    /// What it shows: `the verdict in the terminal`.
    pub purpose: String,
    /// The line, ready to be pasted.
    pub line: String,
}

/// A name and what stands behind it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Named {
    /// The name.
    pub name: String,
    /// In words.
    pub text: String,
}

/// A property that is not at its default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SettingRow {
    /// Whose: `brokers`, `topics/orders`, `producers/shop`, `groups/billing`; as `--set` writes it.
    pub owner: String,
    /// The property: `acks`.
    pub property: String,
    /// Its value in this run.
    pub value: String,
    /// The default of the version.
    pub default: String,
}

/// Something that was expected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExpectationRow {
    /// In words: `duplicated = 0`.
    pub text: String,
    /// Whether it held.
    pub held: bool,
    /// What it was, with its unit; may be empty.
    pub actual: String,
}

/// A promise or an invariant that was broken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ViolationRow {
    /// Its name.
    pub name: String,
    /// When it was seen.
    pub at_us: u64,
    /// On which process; `None` for a statement about the whole run.
    pub process: Option<String>,
    /// What was seen.
    pub text: String,
    /// The KIP or issue, for known ones.
    pub issue: Option<String>,
}

/// A run that did not come to rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StuckRow {
    /// When it was given up.
    pub at_us: u64,
    /// What still moved or waited.
    pub because: Vec<String>,
}

// ---- fates and causes ---------------------------------------------------------------------------

/// Counts in the words of the glossary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fates {
    /// Of all records; one row for all, then one for each producer if there are several.
    pub producers: CountTable,
    /// By topic.
    pub topics: CountTable,
    /// By consumer application; no rows if there is none.
    pub groups: CountTable,
    /// By plain reader; no rows if there is none.
    pub readers: CountTable,
    /// How transactions ended; no row if none began.
    pub transactions: CountTable,
}

/// A table of counts: rows have names, columns the words of the glossary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CountTable {
    /// What the rows are: `producer`, `topic`, `application`.
    pub of: String,
    /// Column headings: `sent`, `acked`, …
    pub words: Vec<String>,
    /// The rows.
    pub rows: Listed<CountRow>,
}

/// A row of a [`CountTable`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CountRow {
    /// Its name.
    pub name: String,
    /// One count for each word.
    pub counts: Vec<u64>,
}

/// One cause of one kind of anomaly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CauseRow {
    /// What is wrong: `lost`, `reprocessed`.
    pub kind: String,
    /// The consumer application that has it, if one has.
    pub group: Option<String>,
    /// Name of the cause, as in JSON: `acked_before_replication`.
    pub cause: String,
    /// The cause in words.
    pub words: String,
    /// Whether Kafka had promised otherwise.
    pub promise: PromiseWord,
    /// The promise in words: `promise kept: acks=1 promises the leader's copy only`.
    pub promise_words: String,
    /// What would have prevented it.
    pub prevented_by: String,
    /// How many.
    pub count: u64,
    /// Out of how many, in words: `30,000 acked`.
    pub of: String,
    /// Its share of these, in words: `0.007 %`.
    pub share: String,
    /// A record that shows it: `shop#19980`.
    pub representative: Option<String>,
    /// The command that explains this record.
    pub explain: Option<String>,
}

/// Whether Kafka had promised otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PromiseWord {
    /// It had not.
    Kept,
    /// It had, and the version is documented to break it.
    Known,
    /// It had.
    Broken,
}

/// A record that stands for a cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Representative {
    /// As the simulator numbers it; what [`acklab_experiment::explain`] takes.
    pub id: RecordId,
    /// The consumer application to follow it through, if the anomaly is of one.
    pub group: Option<GroupIndex>,
    /// `shop#19980`
    pub record: String,
    /// What is wrong: `lost`.
    pub kind: String,
    /// The name of [`Representative::group`].
    pub application: Option<String>,
    /// Name of the cause.
    pub cause: String,
    /// The cause in words.
    pub words: String,
    /// Where the copy in question stands or stood: `orders-0@19,982, epoch 0`.
    pub place: Option<String>,
    /// When it was created, if that is known.
    pub created_us: Option<u64>,
    /// The command that explains it.
    pub explain: String,
}

// ---- time ---------------------------------------------------------------------------------------

/// The axis that every panel shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Axis {
    /// It begins at 0 and ends here.
    pub end_us: u64,
    /// When the workload ended and settling began; `end_us` if that was never stated.
    pub settling_from_us: u64,
    /// Width of the intervals of every [`BucketSeries`] and [`LatencyPanel`]; the last one may be
    /// shorter.
    pub bucket_us: u64,
    /// How many intervals there are.
    pub buckets: usize,
}

impl Axis {
    /// A count of one interval as a rate, in whole records per second.
    #[must_use]
    pub const fn per_second(&self, count: u64) -> u64 {
        (count * 1_000_000 + self.bucket_us / 2) / self.bucket_us
    }
}

/// A span of time that goes through all panels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Band {
    /// What it is.
    pub kind: BandKind,
    /// From when on.
    pub from_us: u64,
    /// Until when; equal to `from_us` for something that is over at once.
    pub to_us: u64,
    /// It lasts beyond the end of the run.
    pub is_open: bool,
    /// In words: `kill broker 1`, `orders-0 without a working leader`.
    pub label: String,
}

/// What a [`Band`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BandKind {
    /// A fault in force.
    Fault,
    /// Partitions without a working leader.
    Leaderless,
    /// A group rebalances.
    Rebalance,
    /// Partitions that no member of an application could work on.
    Standstill,
}

/// A line of the timeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TimelineRow {
    /// When.
    pub at_us: u64,
    /// What happened.
    pub text: String,
    /// A remark, such as `elected after 7.9 s`.
    pub aside: Option<String>,
}

/// A value that changes over time, down-sampled with the least and the greatest value of each
/// stretch kept. Between two points it is what it was at the first, and the last one holds until
/// the axis ends (draw steps).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Series {
    /// What it is: `broker 1`, `orders-0`, `in total`.
    pub label: String,
    /// Instants, ascending; several points may share one.
    pub at_us: Vec<u64>,
    /// The value from each instant on; `None` where there is none, and the line breaks.
    pub values: Vec<Option<u64>>,
}

/// Counts of the intervals of the [`Axis`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BucketSeries {
    /// What is counted: `created`, `acked`, `failed`.
    pub label: String,
    /// One count for each interval.
    pub counts: Vec<u64>,
    /// Their sum.
    pub total: u64,
}

/// How many records created in each interval met one fate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FateSeries {
    /// The fate, in the words of the glossary.
    pub fate: String,
    /// The consumer application, for fates of one.
    pub group: Option<String>,
    /// It is one that nobody wants.
    pub is_anomaly: bool,
    /// One count for each interval.
    pub counts: Vec<u64>,
    /// Their sum.
    pub total: u64,
}

/// A latency, over time and as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LatencyPanel {
    /// What: `produce`, `end to end`.
    pub label: String,
    /// For each interval of the [`Axis`]: of the records *created* in it; `None` where there are
    /// none.
    pub buckets: Vec<Option<LatencyBucket>>,
    /// The whole run as a curve.
    pub curve: Vec<PercentilePoint>,
    /// How many records it is of.
    pub count: u64,
    /// The longest.
    pub max_us: u64,
}

/// The latencies of one interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LatencyBucket {
    /// Half took at most so long.
    pub p50_us: u64,
    /// 99 in a hundred took at most so long.
    pub p99_us: u64,
    /// The longest.
    pub max_us: u64,
}

/// A point of a percentile curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PercentilePoint {
    /// The share of records, in millionths: 999,000 is 99.9 %; 1,000,000 is the longest.
    pub millionths: u32,
    /// They took at most so long.
    pub value_us: u64,
}
