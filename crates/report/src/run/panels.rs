//! Partitions over time, and throughput, fates and latency.

use acklab_verdict::{Unavailability, Verdict};
use acklab_vocab::trace::RunHeader;
use hdrhistogram::Histogram;

use super::gapless::gapless;
use super::ledger::{Counts, FATES, Ledger};
use super::limits::Limits;
use super::model::{
    Axis, BucketSeries, FateSeries, IsrSpan, LatencyBucket, LatencyPanel, LeaderSpan, Listed, Mark,
    PartitionPanel, PartitionRow, PercentilePoint, ReplicaPanel,
};
use super::recorder::{PartitionTracks, Recording};
use super::track::{down_sample, together};
use acklab_verdict::latency::LatencySummary;
use acklab_verdict::names;

/// So many partitions of applications have a panel.
const PARTITIONS: usize = 8;
/// So many internal ones.
const INTERNAL: usize = 2;
/// So many partitions have a line.
const ROWS: usize = 200;
/// So many marks of one partition are shown.
const MARKS: usize = 60;

/// How fine a page is.
#[derive(Clone, Copy, Debug)]
pub struct Detail {
    /// Points of one series.
    pub points: usize,
    /// Spans of one row.
    pub spans: usize,
    /// Everything else.
    pub limits: Limits,
}

/// What happened to a partition, to choose those that are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Interest {
    anomalies: u64,
    leaderless: usize,
    elections: u64,
    isr_changes: usize,
}

fn interest(of: &PartitionTracks, anomalies: u64, axis: &Axis) -> Interest {
    Interest {
        anomalies,
        leaderless: of.leaderless.spells(axis.end_us).len(),
        elections: of.elections,
        isr_changes: of.isr.points().len() + of.marks.len(),
    }
}

/// Whether a partition is of one of the brokers' own topics.
#[must_use]
pub fn is_internal(header: &RunHeader, of: &PartitionTracks) -> bool {
    let topic = header.topics.get(usize::from(of.id.topic.0));
    topic.is_some_and(|topic| topic.internal)
}

/// The partitions that have a panel, by dense index: those with most to see, in their order.
#[must_use]
pub fn chosen(
    recording: &Recording,
    header: &RunHeader,
    ledger: &Ledger,
    axis: &Axis,
    limits: Limits,
) -> Vec<usize> {
    let anomalies = |index: usize| ledger.anomalies.get(index).copied().unwrap_or(0);
    let ranked = |internal: bool, limit: usize| {
        let mut all: Vec<(Interest, usize)> = recording
            .partitions
            .iter()
            .enumerate()
            .filter(|(_, of)| is_internal(header, of) == internal)
            .filter(|(_, of)| !internal || is_of_note(of, axis))
            .map(|(index, of)| (interest(of, anomalies(index), axis), index))
            .collect();
        all.sort_by_key(|&(interest, index)| (std::cmp::Reverse(interest), index));
        all.truncate(limit);
        all.into_iter().map(|(_, index)| index)
    };
    let mut own: Vec<usize> = ranked(false, limits.of(PARTITIONS)).collect();
    own.sort_unstable();
    let mut internal: Vec<usize> = ranked(true, limits.of(INTERNAL)).collect();
    internal.sort_unstable();
    own.append(&mut internal);
    own
}

/// An internal partition that holds something and to which something happened: its leader changed
/// or was missing.
fn is_of_note(of: &PartitionTracks, axis: &Axis) -> bool {
    let was_hit = of.elections > 0 || !of.leaderless.spells(axis.end_us).is_empty();
    was_hit && of.holds_something()
}

/// The panels of the chosen partitions.
#[must_use]
pub fn partitions(
    recording: &Recording,
    verdict: &Verdict,
    chosen: &[usize],
    axis: &Axis,
    detail: Detail,
) -> Listed<PartitionPanel> {
    let header = &verdict.header;
    let panels = chosen.iter().filter_map(|&index| recording.partitions.get(index));
    let panels = panels.map(|of| PartitionPanel {
        name: verdict.partition_name(of.id),
        is_internal: is_internal(header, of),
        replicas: replicas(of, axis, detail.points),
        leaders: gapless(leaders(of, axis), detail.spans, |span| (span.from_us, span.to_us)),
        isr: gapless(isr(recording, of, axis), detail.spans, |span| (span.from_us, span.to_us)),
        marks: marks(of, detail.limits.of(MARKS)),
    });
    let shown: Vec<PartitionPanel> = panels.collect();
    let worth = |of: &&PartitionTracks| !is_internal(header, of) || is_of_note(of, axis);
    let left_out = recording.partitions.iter().filter(worth).count() - shown.len();
    Listed { shown, left_out: left_out as u64 }
}

fn replicas(of: &PartitionTracks, axis: &Axis, points: usize) -> Vec<ReplicaPanel> {
    let sampled = |label: &str, track: &super::track::Track| {
        down_sample(label, track.points(), axis.end_us, points)
    };
    let replicas = of.replicas.iter().map(|replica| {
        let label = format!("broker {}", replica.broker);
        ReplicaPanel {
            broker: replica.broker.0,
            log_end_offset: sampled(&label, &replica.log_end_offset),
            high_watermark: sampled(&label, &replica.high_watermark),
        }
    });
    replicas.collect()
}

fn leaders(of: &PartitionTracks, axis: &Axis) -> Vec<LeaderSpan> {
    let mut spans: Vec<LeaderSpan> = Vec::new();
    for (at, values) in together(&[&of.leader, &of.epoch]) {
        let leader = u16::try_from(values[0]).ok();
        let epoch = u64::try_from(values[1]).unwrap_or(0);
        if let Some(last) = spans.last_mut() {
            last.to_us = at;
        }
        spans.push(LeaderSpan { from_us: at, to_us: axis.end_us, leader, epoch });
    }
    spans
}

fn isr(recording: &Recording, of: &PartitionTracks, axis: &Axis) -> Vec<IsrSpan> {
    let spans = of.isr.spans(axis.end_us);
    let isr = |list| recording.lists.get(list).to_vec();
    spans.map(|(from_us, to_us, list)| IsrSpan { from_us, to_us, isr: isr(list) }).collect()
}

/// Of too many, those that stand at even places.
fn marks(of: &PartitionTracks, most: usize) -> Listed<Mark> {
    let all = of.marks.len();
    let shown = all.min(most);
    let even = (0..shown).map(|place| of.marks[place * all / shown].clone());
    Listed { shown: even.collect(), left_out: (all - shown) as u64 }
}

/// A line for each partition that is of interest.
#[must_use]
pub fn partition_table(
    recording: &Recording,
    verdict: &Verdict,
    chosen: &[usize],
    axis: &Axis,
    limits: Limits,
) -> Listed<PartitionRow> {
    let header = &verdict.header;
    let rows = recording.partitions.iter().enumerate().filter_map(|(index, of)| {
        let internal = is_internal(header, of);
        if internal && !is_of_note(of, axis) {
            return None;
        }
        let spells = of.leaderless.spells(axis.end_us);
        let lengths = || spells.iter().map(|(from, to)| to - from);
        let leader = of.leader.last().and_then(|leader| u16::try_from(leader).ok());
        let log = of.replicas.iter().find(|replica| Some(replica.broker.0) == leader);
        let end = log.and_then(|log| log.log_end_offset.last()).unwrap_or(0);
        let same = |known: &&Unavailability| known.partition == of.id;
        let known = verdict.unavailability.iter().find(same);
        Some(PartitionRow {
            name: verdict.partition_name(of.id),
            is_internal: internal,
            is_shown: chosen.contains(&index),
            leader,
            epoch: of.epoch.last().and_then(|epoch| u64::try_from(epoch).ok()).unwrap_or(0),
            isr: of.isr.last().map(|list| recording.lists.get(list).to_vec()).unwrap_or_default(),
            log_end_offset: u64::try_from(end).unwrap_or(0),
            elections: of.elections,
            leaderless_spells: spells.len() as u64,
            leaderless_longest_us: lengths().max().unwrap_or(0),
            leaderless_total_us: lengths().sum(),
            write_gap_longest_us: known.map(|of| of.write_gap_longest.as_micros()),
        })
    });
    Listed::first(rows.collect(), limits.of(ROWS))
}

// ---- throughput, fates, latency -----------------------------------------------------------------

/// Counts under a label.
#[must_use]
pub fn bucket_series(label: &str, counts: &Counts) -> BucketSeries {
    BucketSeries { label: label.to_owned(), total: counts.iter().sum(), counts: counts.clone() }
}

/// Records created, acked, failed, and processed by each application.
#[must_use]
pub fn throughput(recording: &Recording, ledger: &Ledger, axis: &Axis) -> Vec<BucketSeries> {
    let mut all = vec![
        bucket_series("created", &ledger.created),
        bucket_series("acked", &ledger.acked),
        bucket_series("failed", &ledger.failed),
    ];
    if ledger.aborted.iter().any(|&count| count > 0) {
        all.push(bucket_series("aborted", &ledger.aborted));
    }
    let headers = recording.header.iter().flat_map(|header| &header.groups);
    for (application, header) in recording.applications.iter().zip(headers).take(GROUPS) {
        let mut counts = vec![0; axis.buckets];
        for &(at, count) in &application.processed {
            counts[axis.bucket_of(at)] += count;
        }
        all.push(bucket_series(&format!("processed by {}", header.name), &counts));
    }
    all
}

/// So many applications have a series.
const GROUPS: usize = 6;

/// Fates by creation.
#[must_use]
pub fn fates_over_time(ledger: &Ledger, header: &RunHeader) -> Vec<FateSeries> {
    let of_log = ledger.fates.iter().filter_map(|(&place, counts)| {
        let (fate, is_anomaly, _) = FATES.get(place)?;
        let total = counts.iter().sum();
        let counts = counts.clone();
        let fate = (*fate).to_owned();
        Some(FateSeries { fate, group: None, is_anomaly: *is_anomaly, counts, total })
    });
    let of_groups = ledger.group_fates.iter().map(|((group, kind), counts)| FateSeries {
        fate: kind.name().to_owned(),
        group: Some(names::application(header, *group)),
        is_anomaly: true,
        total: counts.iter().sum(),
        counts: counts.clone(),
    });
    of_log.chain(of_groups.take(3 * GROUPS)).collect()
}

/// A latency over time and as a curve; `None` where nothing was measured.
#[must_use]
pub fn latency(
    label: &str,
    buckets: &[Option<LatencyBucket>],
    histogram: &Histogram<u64>,
    summary: &LatencySummary,
) -> Option<LatencyPanel> {
    if histogram.is_empty() {
        return None;
    }
    let points = curve_shares(histogram.len()).into_iter().map(|millionths| {
        let within = histogram.value_at_quantile(f64::from(millionths) / 1e6);
        PercentilePoint { millionths, value_us: within.min(summary.max) }
    });
    let longest = PercentilePoint { millionths: 1_000_000, value_us: summary.max };
    Some(LatencyPanel {
        label: label.to_owned(),
        buckets: buckets.to_vec(),
        curve: points.chain([longest]).collect(),
        count: histogram.len(),
        max_us: summary.max,
    })
}

/// Shares of a curve, in millionths: finer towards the end, and as far as so many records can tell.
fn curve_shares(count: u64) -> Vec<u32> {
    let mut shares = Vec::new();
    let (mut from, mut step) = (0, 50_000);
    while step >= 5 {
        let until = from + (1_000_000 - from) / 10 * 9;
        shares.extend((from..until).step_by(step as usize));
        (from, step) = (until, step / 10);
    }
    shares.push(from);
    // One record in so many must be beyond it.
    shares.retain(|&share| count * u64::from(1_000_000 - share) >= 1_000_000);
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_goes_as_far_as_the_records_can_tell() {
        let last = |count| curve_shares(count).last().copied();
        assert_eq!(
            [1, 2, 10, 100, 5_000, 100_000, 10_000_000].map(last),
            [0, 500_000, 900_000, 990_000, 999_800, 999_990, 999_990].map(Some)
        );
        let all = curve_shares(1_000_000);
        assert!(all.windows(2).all(|pair| pair[0] < pair[1]), "{all:?}");
        for share in [500_000, 900_000, 950_000, 990_000, 999_000, 999_900, 999_990] {
            assert!(all.contains(&share), "{share} of {all:?}");
        }
    }

    #[test]
    fn a_curve_ends_with_the_longest() {
        let mut histogram = Histogram::new(3).expect("three digits are valid");
        (1..=1_000).for_each(|value| histogram.record(value).expect("it grows"));
        let summary = LatencySummary { p50: 500, p90: 900, p99: 990, max: 1_000 };
        let panel = latency("produce", &[], &histogram, &summary).expect("there are values");
        let at = |millionths| {
            panel.curve.iter().find(|of| of.millionths == millionths).map(|of| of.value_us)
        };
        assert_eq!(
            [500_000, 990_000, 999_000, 1_000_000].map(at),
            [500, 990, 999, 1_000].map(Some)
        );
    }
}
