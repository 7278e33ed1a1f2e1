//! What became of every single record, gathered by when it was created.

use acklab_verdict::cause::AnomalyKind;
use acklab_verdict::latency::LatencySample;
use acklab_verdict::records::{Outcome, RecordState};
use acklab_verdict::{Cause, Concluded, RecordCounts};
use acklab_vocab::ids::{GroupIndex, RecordId};
use std::collections::BTreeMap;

use super::model::{Axis, LatencyBucket};
use super::track::micros;

/// Counts of the intervals of an axis.
pub type Counts = Vec<u64>;

/// A cause of an anomaly, and the application that has it.
pub type CauseKey = (AnomalyKind, Option<GroupIndex>, Cause);

/// Everything about single records that the page shows.
#[derive(Debug, Default)]
pub struct Ledger {
    /// By the interval in which they were created.
    pub created: Counts,
    /// By the interval in which the first success was reported.
    pub acked: Counts,
    /// By the interval in which the last error was reported.
    pub failed: Counts,
    /// By the interval in which the abort of the transaction was reported.
    pub aborted: Counts,
    /// By the interval in which they were created, for each fate in the log that occurred: its
    /// place in [`FATES`].
    pub fates: BTreeMap<usize, Counts>,
    /// The same for anomalies of consumer applications.
    pub group_fates: BTreeMap<(GroupIndex, AnomalyKind), Counts>,
    /// From creation to the first success, by the interval of the creation, where there is any.
    pub produce: Vec<Option<LatencyBucket>>,
    /// From creation to each first read.
    pub end_to_end: Vec<Option<LatencyBucket>>,
    /// How many anomalies each partition has, by dense index.
    pub anomalies: Vec<u64>,
    /// When the first record of each cause was created.
    pub first_created: BTreeMap<CauseKey, u64>,
}

/// A fate: its word, whether nobody wants it, and its count.
pub type Fate = (&'static str, bool, fn(&RecordCounts) -> u64);

/// Fates in the log, as seen by its producer first.
pub const FATES: [Fate; 10] = [
    ("stored", false, |of| of.stored),
    ("lost", true, |of| of.lost),
    ("duplicated", true, |of| of.duplicated),
    ("reordered", true, |of| of.reordered),
    ("phantom", true, |of| of.phantom),
    ("failed", true, |of| of.failed),
    ("unknown", true, |of| of.unknown),
    ("aborted", false, |of| of.aborted),
    ("expired", false, |of| of.expired),
    ("undecided", true, |of| of.undecided),
];

impl Ledger {
    /// Goes through all records of a run.
    #[must_use]
    pub fn of(concluded: &Concluded<'_>, axis: &Axis) -> Self {
        let none = || vec![0; axis.buckets];
        let mut ledger = Ledger {
            created: none(),
            acked: none(),
            failed: none(),
            aborted: none(),
            anomalies: vec![0; concluded.world.partitions.len()],
            ..Ledger::default()
        };
        let mut produce = vec![Vec::new(); axis.buckets];
        for (_, state) in concluded.records.iter() {
            ledger.record(concluded, axis, state);
            if state.outcome() == Outcome::Acked {
                let took = state.completed.since(state.created).as_micros();
                produce[axis.bucket_of(micros(state.created))].push(took);
            }
        }
        ledger.produce = produce.into_iter().map(latencies).collect();
        ledger.end_to_end = reads(concluded.reads, axis);
        ledger.anomalies(concluded, axis);
        ledger
    }

    fn record(&mut self, concluded: &Concluded<'_>, axis: &Axis, state: &RecordState) {
        let created = axis.bucket_of(micros(state.created));
        self.created[created] += 1;
        let told = axis.bucket_of(micros(state.completed));
        match state.outcome() {
            Outcome::Acked => self.acked[told] += 1,
            Outcome::Failed => self.failed[told] += 1,
            Outcome::Aborted => self.aborted[told] += 1,
            Outcome::Unknown => {}
        }
        let fate = concluded.fate(state);
        for (place, (_, _, count)) in FATES.iter().enumerate() {
            if count(&fate) > 0 {
                self.fates.entry(place).or_insert_with(|| vec![0; axis.buckets])[created] += 1;
            }
        }
    }

    fn anomalies(&mut self, concluded: &Concluded<'_>, axis: &Axis) {
        let created = |record: RecordId| concluded.records.get(record).map(|of| micros(of.created));
        for anomaly in concluded.anomalies {
            let partition = anomaly.partition.and_then(|id| concluded.world.index_of(id));
            if let Some(count) = partition.and_then(|index| self.anomalies.get_mut(index)) {
                *count += 1;
            }
            let Some(created) = created(anomaly.record) else { continue };
            let key = (anomaly.kind, anomaly.group, anomaly.cause);
            self.first_created.entry(key).or_insert(created);
            if let Some(group) = anomaly.group {
                let counts = self.group_fates.entry((group, anomaly.kind));
                counts.or_insert_with(|| vec![0; axis.buckets])[axis.bucket_of(created)] += 1;
            }
        }
    }
}

fn reads(samples: &[LatencySample], axis: &Axis) -> Vec<Option<LatencyBucket>> {
    let mut buckets = vec![Vec::new(); axis.buckets];
    for sample in samples {
        buckets[axis.bucket_of(micros(sample.since))].push(sample.micros);
    }
    buckets.into_iter().map(latencies).collect()
}

/// Exact percentiles of one interval: the least value that so large a share does not exceed.
fn latencies(mut all: Vec<u64>) -> Option<LatencyBucket> {
    all.sort_unstable();
    let within = |percent: usize| {
        let rank = (all.len() * percent).div_ceil(100).max(1);
        all.get(rank - 1).copied()
    };
    Some(LatencyBucket { p50_us: within(50)?, p99_us: within(99)?, max_us: *all.last()? })
}

impl Axis {
    /// The axis of a run: intervals of a round length, two hundred at most.
    #[must_use]
    pub fn new(end_us: u64, settling_from_us: Option<u64>) -> Self {
        let end_us = end_us.max(1);
        let round = [1_000_u64, 2_000, 5_000].into_iter();
        let lengths = (0..16).flat_map(|power| round.clone().map(move |of| of * 10_u64.pow(power)));
        let mut lengths = lengths.skip_while(|&of| end_us.div_ceil(of) > MOST_BUCKETS);
        let bucket_us = lengths.next().unwrap_or(end_us);
        let buckets = end_us.div_ceil(bucket_us) as usize;
        let settling_from_us = settling_from_us.unwrap_or(end_us).min(end_us);
        Axis { end_us, settling_from_us, bucket_us, buckets }
    }

    /// The interval that an instant falls into; the last one for what is later.
    #[must_use]
    pub fn bucket_of(&self, at_us: u64) -> usize {
        ((at_us / self.bucket_us) as usize).min(self.buckets - 1)
    }
}

const MOST_BUCKETS: u64 = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_has_round_intervals_and_not_too_many() {
        let widths = [0, 1, 1_000, 200_001, 12_342_000, 60_000_000, 660_000_000]
            .map(|end| Axis::new(end, None))
            .map(|axis| (axis.bucket_us, axis.buckets));
        assert_eq!(
            widths,
            [
                (1_000, 1),
                (1_000, 1),
                (1_000, 1),
                (2_000, 101),
                (100_000, 124),
                (500_000, 120),
                (5_000_000, 132)
            ]
        );
    }

    #[test]
    fn every_instant_has_an_interval() {
        let axis = Axis::new(12_342_000, Some(3_000_000));
        assert_eq!(
            [0, 99_999, 100_000, 12_342_000, 99_000_000].map(|at| axis.bucket_of(at)),
            [0, 0, 1, 123, 123]
        );
        assert_eq!(axis.per_second(101), 1_010);
    }

    #[test]
    fn percentiles_of_an_interval_are_exact() {
        assert_eq!(latencies(Vec::new()), None);
        let all = latencies((1..=200).rev().collect());
        assert_eq!(all, Some(LatencyBucket { p50_us: 100, p99_us: 198, max_us: 200 }));
        let one = latencies(vec![7]);
        assert_eq!(one, Some(LatencyBucket { p50_us: 7, p99_us: 7, max_us: 7 }));
    }
}
