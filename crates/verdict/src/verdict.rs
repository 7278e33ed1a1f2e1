//! What the judge says of a run.

use acklab_vocab::ids::{GroupIndex, TopicPartition};
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::RunHeader;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;

use crate::cause::{Anomaly, AnomalyKind, Cause, Promise};
use crate::counts::{Counter, ReaderCounts, RecordCounts};
use crate::digest::Digests;
use crate::exceptions::Exceptions;
use crate::groups::summary::{GroupCounts, GroupVerdict};
use crate::invariants::Violation;
use crate::latency::LatencySummary;
use crate::timeline::TimelineEntry;
use crate::transactions::TransactionCounts;

/// So many anomalies are kept one by one; all are counted.
pub const ANOMALIES_KEPT: usize = 10_000;

/// The verdict on a run.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// What ran.
    pub header: RunHeader,
    /// Digests of the history and of the fates.
    pub digest: Digests,
    /// The fates of all records.
    pub records: RecordCounts,
    /// The fates by producer name.
    pub producers: BTreeMap<String, RecordCounts>,
    /// The fates by topic.
    pub topics: BTreeMap<String, RecordCounts>,
    /// What each reader did, by name.
    pub readers: BTreeMap<String, ReaderCounts>,
    /// What became of records with each consumer application, by its name.
    pub groups: BTreeMap<String, GroupVerdict>,
    /// The exceptions of producers that met with any, by name of the producer.
    pub producer_exceptions: BTreeMap<String, Exceptions>,
    /// How transactions ended.
    pub transactions: TransactionCounts,
    /// How many anomalies of each kind have which cause, the most frequent first within a kind.
    pub causes: Vec<CauseCount>,
    /// The anomalies, by record and kind: at most [`ANOMALIES_KEPT`], every cause represented.
    pub anomalies: Vec<Anomaly>,
    /// How many there are.
    pub anomalies_total: u64,
    /// Invariants and promises that were broken.
    pub violations: Vec<Violation>,
    /// Those that the simulated version is documented to break.
    pub known_violations: Vec<Violation>,
    /// From creation to the first acknowledgement.
    pub produce_latency: LatencyResult,
    /// From creation to the first read by each reader and each consumer application.
    pub end_to_end_latency: LatencyResult,
    /// Where leaders and writes were missing, by partition.
    pub unavailability: Vec<Unavailability>,
    /// What happened in the cluster, in order.
    pub timeline: Vec<TimelineEntry>,
    /// What happened in the cluster, counted.
    pub cluster: ClusterCounts,
    /// At how many offsets an in-sync replica holds another record than its leader, at rest.
    pub diverged: u64,
    /// How many sessions of ZooKeeper expired after time zero; `None` without an ensemble.
    pub sessions_expired: Option<u64>,
    /// When the last fact was stated.
    pub sim_end: SimTime,
}

/// A distribution of times.
#[derive(Clone, Debug)]
pub struct LatencyResult {
    /// All of it, in microseconds.
    pub histogram: Histogram<u64>,
    /// What is said of it.
    pub summary: LatencySummary,
}

/// How many anomalies of one kind have one cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CauseCount {
    /// What is wrong.
    pub kind: AnomalyKind,
    /// Which consumer application has it, if one has.
    pub group: Option<GroupIndex>,
    /// Why.
    pub cause: Cause,
    /// Whether Kafka had promised otherwise.
    pub promise: Promise,
    /// Why not, if it had not; empty otherwise.
    pub why_kept: &'static str,
    /// How many.
    pub count: u64,
}

/// Where a leader, or a write, was missing on one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unavailability {
    /// Which.
    pub partition: TopicPartition,
    /// How often it was without a working leader.
    pub leaderless_spells: u32,
    /// The longest of these.
    pub leaderless_longest: SimDuration,
    /// All of these.
    pub leaderless_total: SimDuration,
    /// The longest time in which no write was accepted although a producer had asked: from an attempt
    /// that was not accepted to the next acceptance. An idle producer does not add to it.
    pub write_gap_longest: SimDuration,
    /// All of these times of 100 ms or more; shorter ones are those of a leader that works.
    pub write_gap_total: SimDuration,
}

/// What happened in the cluster after time zero, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClusterCounts {
    /// Elections of partition leaders.
    pub elections: u64,
    /// Of these, unclean ones.
    pub unclean_elections: u64,
    /// Elections of an active controller.
    pub controller_elections: u64,
    /// Brokers fenced.
    pub fencings: u64,
    /// Truncations that dropped at least one batch.
    pub truncations: u64,
    /// Records that truncations dropped, over all replicas.
    pub truncated_records: u64,
}

impl Verdict {
    /// A number that an expectation can name.
    #[must_use]
    pub fn count(&self, counter: Counter) -> u64 {
        let records = &self.records;
        let longest = |of: fn(&Unavailability) -> SimDuration| {
            self.unavailability.iter().map(of).max().unwrap_or_default().as_millis()
        };
        let readers = |of: fn(&ReaderCounts) -> u64| self.readers.values().map(of).sum();
        match counter {
            Counter::Sent => records.sent,
            Counter::Acked => records.acked,
            Counter::Failed => records.failed,
            Counter::Unknown => records.unknown,
            Counter::Aborted => records.aborted,
            Counter::Stored => records.stored,
            Counter::Lost => records.lost,
            Counter::Phantom => records.phantom,
            Counter::Duplicated => records.duplicated,
            Counter::ExtraCopies => records.extra_copies,
            Counter::Reordered => records.reordered,
            Counter::Expired => records.expired,
            Counter::Undecided => records.undecided,
            Counter::Read => readers(|reader| reader.read),
            Counter::Reread => readers(|reader| reader.reread),
            Counter::Violations => self.violations.len() as u64,
            Counter::KnownViolations => self.known_violations.len() as u64,
            Counter::Unexplained => {
                let unexplained = self.causes.iter().filter(|of| of.cause == Cause::Unexplained);
                unexplained.map(|of| of.count).sum()
            }
            Counter::Elections => self.cluster.elections,
            Counter::UncleanElections => self.cluster.unclean_elections,
            Counter::ControllerElections => self.cluster.controller_elections,
            Counter::Truncations => self.cluster.truncations,
            Counter::LeaderlessMs => longest(|of| of.leaderless_longest),
            Counter::WriteGapMs => longest(|of| of.write_gap_longest),
            Counter::ProduceMaxMs => self.produce_latency.summary.max / 1_000,
            Counter::ProduceP99Ms => self.produce_latency.summary.p99 / 1_000,
            Counter::EndToEndMaxMs => self.end_to_end_latency.summary.max / 1_000,
        }
    }

    /// How many anomalies of one kind have one cause.
    #[must_use]
    pub fn count_cause(&self, kind: AnomalyKind, cause: Cause) -> u64 {
        let same = |of: &&CauseCount| of.kind == kind && of.cause == cause;
        self.causes.iter().filter(same).map(|of| of.count).sum()
    }

    /// A count over all consumer applications together.
    #[must_use]
    pub fn sum_of_groups(&self, of: fn(&GroupCounts) -> u64) -> u64 {
        self.groups.values().map(|group| of(&group.counts)).sum()
    }

    /// A partition as people write it: `orders-0`.
    #[must_use]
    pub fn partition_name(&self, partition: TopicPartition) -> String {
        crate::names::partition(&self.header, partition)
    }
}
