//! Consumer applications over time.

use acklab_verdict::groups::rebalances::Rebalance;
use acklab_verdict::{GroupVerdict, Verdict, names};
use acklab_vocab::config::GroupLibrary;
use acklab_vocab::ids::NodeId;
use acklab_vocab::time::SimDuration;
use acklab_vocab::trace::{CommitStyle, GroupHeader};
use std::collections::BTreeMap;

use super::ensemble::numbers;
use super::gapless::gapless;
use super::model::{
    Axis, BucketSeries, GroupPanel, Listed, OwnerRow, OwnerSpan, RebalanceRow, Series, SharingPanel,
};
use super::panels::{Detail, bucket_series};
use super::recorder::{ApplicationTracks, GroupTracks, ReadingTracks, Recording, Refused};
use super::track::{Track, down_sample, micros, together};

/// So many applications have a panel.
pub const APPLICATIONS: usize = 6;
/// So many partitions of an application have a row of owners.
pub const OWNER_ROWS: usize = 50;
/// The lag of so many partitions is shown one by one.
const LAG_ROWS: usize = 8;
/// So many rebalances are shown.
const REBALANCES: usize = 100;

/// One application, with what belongs to it.
struct Subject<'a> {
    recording: &'a Recording,
    verdict: &'a Verdict,
    tracks: &'a ApplicationTracks,
    header: &'a GroupHeader,
    group: Option<&'a GroupTracks>,
    axis: &'a Axis,
    detail: Detail,
    /// Its processes, by instance.
    nodes: Vec<NodeId>,
}

/// The panels of all applications. `shown` are the partitions that have a panel; lag is shown for
/// these first.
#[must_use]
pub fn groups(
    recording: &Recording,
    verdict: &Verdict,
    shown: &[usize],
    axis: &Axis,
    detail: Detail,
) -> Listed<GroupPanel> {
    let header = &verdict.header;
    let all = recording.applications.iter().zip(&header.groups).enumerate();
    let panels = all.take(detail.limits.of(APPLICATIONS)).map(|(index, (tracks, of))| {
        let nodes = header.nodes.iter().enumerate().filter_map(|(node, known)| {
            let (application, instance) = known.member?;
            (usize::from(application.0) == index).then_some((instance, NodeId(node as u16)))
        });
        let mut nodes: Vec<(u16, NodeId)> = nodes.collect();
        nodes.sort_unstable();
        let subject = Subject {
            recording,
            verdict,
            tracks,
            header: of,
            group: recording.groups.get(usize::from(of.group.0)),
            axis,
            detail,
            nodes: nodes.into_iter().map(|(_, node)| node).collect(),
        };
        subject.panel(shown)
    });
    let shown: Vec<GroupPanel> = panels.collect();
    let left_out = (header.groups.len() - shown.len()) as u64;
    Listed { shown, left_out }
}

impl Subject<'_> {
    fn panel(&self, shown: &[usize]) -> GroupPanel {
        let lags: Vec<Track> = self.tracks.readings.iter().map(|of| self.lag(of)).collect();
        let of_group = self.verdict.groups.get(&self.header.name);
        let rows = self.rows_with_lag(shown);
        let lag_by_partition = rows.shown.iter().map(|&row| {
            let label = self.partition_name(self.tracks.readings[row].partition);
            down_sample(&label, lags[row].points(), self.axis.end_us, self.detail.points)
        });
        let refused = self.tracks.refused.iter().map(|of| of.at_us);
        GroupPanel {
            application: self.header.name.clone(),
            group_id: names::group(&self.verdict.header, self.header.group),
            members: self.nodes.iter().map(|&of| names::node(&self.verdict.header, of)).collect(),
            behaviour: of_group.map(behaviour).unwrap_or_default(),
            lag: self.total(&lags),
            lag_by_partition: Listed { shown: lag_by_partition.collect(), left_out: rows.left_out },
            owners: self.owners(),
            rebalances: self.rebalances(of_group),
            commits_accepted: self.counted("accepted", self.tracks.commits.iter().copied()),
            commits_refused: self.counted("refused", refused),
            refused_by_error: by_error(&self.tracks.refused),
            sharing: of_group
                .filter(|of| of.sharing.is_some())
                .map(|of| SharingPanel { claims: self.claims(), numbers: numbers(of) }),
        }
    }

    /// Its consumers share partitions out by ZooKeeper, without generations.
    fn is_balanced(&self) -> bool {
        matches!(self.header.library, GroupLibrary::Balanced(_))
    }

    /// Instants by interval.
    fn counted(&self, label: &str, instants: impl Iterator<Item = u64>) -> BucketSeries {
        let mut counts = vec![0; self.axis.buckets];
        instants.for_each(|at| counts[self.axis.bucket_of(at)] += 1);
        bucket_series(label, &counts)
    }

    fn partition_name(&self, index: usize) -> String {
        let known = self.recording.partitions.get(index);
        known.map_or_else(String::new, |of| self.verdict.partition_name(of.id))
    }

    /// Places among the readings: of partitions that are shown, then of others, in their order.
    fn rows_with_lag(&self, shown: &[usize]) -> Listed<usize> {
        let mut rows: Vec<usize> = (0..self.tracks.readings.len()).collect();
        rows.sort_by_key(|&row| !shown.contains(&self.tracks.readings[row].partition));
        let mut listed = Listed::first(rows, self.detail.limits.of(LAG_ROWS));
        listed.shown.sort_unstable();
        listed
    }

    /// The committed offset, or the position of an application that does not go by it.
    fn place<'t>(&'t self, reading: &'t ReadingTracks) -> Option<&'t Track> {
        let by_position = self.header.commit == CommitStyle::Never;
        let committed = || self.group.and_then(|group| group.committed.get(reading.partition));
        if by_position { Some(&reading.position) } else { committed() }
    }

    /// How far it is behind on a partition, from its first start on.
    fn lag(&self, reading: &ReadingTracks) -> Track {
        let mut lag = Track::default();
        let (Some(partition), Some(started)) =
            (self.recording.partitions.get(reading.partition), self.tracks.started)
        else {
            return lag;
        };
        let nothing = Track::default();
        let place = self.place(reading).unwrap_or(&nothing);
        for (at, values) in together(&[&partition.reached, place]) {
            let behind = (values[0] - values[1].max(0)).max(0);
            lag.set(at.max(started), behind);
        }
        lag
    }

    fn total(&self, lags: &[Track]) -> Series {
        // Changes rather than rows of all partitions: there may be many of both.
        let mut changes: Vec<(u64, i64)> = Vec::new();
        for lag in lags {
            let mut before = 0;
            for &(at, value) in lag.points() {
                changes.push((at, value - before));
                before = value;
            }
        }
        changes.sort_by_key(|&(at, _)| at);
        let (mut total, mut sum) = (Track::default(), 0);
        for same in changes.chunk_by(|a, b| a.0 == b.0) {
            sum += same.iter().map(|(_, change)| change).sum::<i64>();
            total.set(same[0].0, sum);
        }
        down_sample("in total", total.points(), self.axis.end_us, self.detail.points)
    }

    fn owners(&self) -> Listed<OwnerRow> {
        let rows = self.tracks.readings.iter().map(|reading| {
            let spans = reading.owners.spans(self.axis.end_us).map(|(from_us, to_us, list)| {
                let owners = self.recording.lists.get(list).iter();
                let place = |owner: &u16| self.nodes.iter().position(|of| of.0 == *owner);
                let generation = self.group.and_then(|group| group.generation.at(from_us));
                OwnerSpan {
                    from_us,
                    to_us,
                    members: owners.filter_map(place).collect(),
                    generation: generation
                        .filter(|_| !self.header.assigns_itself && !self.is_balanced())
                        .and_then(|generation| u64::try_from(generation).ok()),
                }
            });
            OwnerRow {
                partition: self.partition_name(reading.partition),
                spans: gapless(spans.collect(), self.detail.spans, |of| (of.from_us, of.to_us)),
            }
        });
        Listed::first(rows.collect(), self.detail.limits.of(OWNER_ROWS))
    }

    /// Whom ZooKeeper names the owner of each partition.
    fn claims(&self) -> Listed<OwnerRow> {
        let all = self
            .tracks
            .readings
            .iter()
            .filter_map(|reading| Some((reading, self.group?.claims.get(reading.partition)?)));
        let rows = all.map(|(reading, claims)| {
            let spans = claims.spans(self.axis.end_us).map(|(from_us, to_us, list)| {
                let owners = self.recording.lists.get(list).iter();
                let place = |owner: &u16| self.nodes.iter().position(|of| of.0 == *owner);
                let members = owners.filter_map(place).collect();
                OwnerSpan { from_us, to_us, members, generation: None }
            });
            OwnerRow {
                partition: self.partition_name(reading.partition),
                spans: gapless(spans.collect(), self.detail.spans, |of| (of.from_us, of.to_us)),
            }
        });
        Listed::first(rows.collect(), self.detail.limits.of(OWNER_ROWS))
    }

    fn rebalances(&self, of: Option<&GroupVerdict>) -> Listed<RebalanceRow> {
        let Some(of) = of else { return Listed::default() };
        let row = |rebalance: &Rebalance| RebalanceRow {
            from_us: micros(rebalance.at),
            to_us: rebalance.took.map(|took| micros(rebalance.at + took)),
            reason: names::rebalance_reason(rebalance.reason).to_owned(),
            member: rebalance.node.map(|node| names::node(&self.verdict.header, node)),
            generation: rebalance.generation.map(|generation| u64::from(generation.0)),
            members: u64::from(rebalance.members),
        };
        let shown: Vec<RebalanceRow> =
            of.rebalances.iter().take(self.detail.limits.of(REBALANCES)).map(row).collect();
        let left_out = of.counts.rebalances - (shown.len() as u64).min(of.counts.rebalances);
        Listed { shown, left_out }
    }
}

/// In the words of `acklab run`.
fn behaviour(of: &GroupVerdict) -> String {
    let counts = &of.counts;
    let mut parts = vec![names::counted(counts.rebalances, "rebalance")];
    if of.rebalance_longest > SimDuration::ZERO {
        let longest = names::micros(of.rebalance_longest.as_micros());
        parts[0].push_str(&format!(" (longest {longest})"));
    }
    parts.push(names::counted(counts.evictions, "eviction"));
    parts.push(names::counted(counts.commits, "commit"));
    parts.push(format!("{} failed", names::grouped(counts.commit_failures)));
    if of.resets > 0 {
        parts.push(names::counted(of.resets, "reset"));
    }
    let total = names::micros(of.standstill_total().as_micros());
    let longest = names::micros(of.standstill_longest().as_micros());
    parts.push(format!("stood still {total} over all partitions (longest {longest})"));
    parts.push(format!("largest lag {}", names::grouped(of.lag.max)));
    for (count, what) in [
        (counts.undone, "undone with aborted transactions"),
        (counts.aborted_reads, "of aborted records"),
    ] {
        if count > 0 {
            parts.push(format!("{} {what}", names::counted(count, "processing")));
        }
    }
    parts.join(" · ")
}

fn by_error(refused: &[Refused]) -> Vec<(String, u64)> {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    refused.iter().for_each(|of| *counts.entry(of.error.as_str()).or_default() += 1);
    counts.into_iter().map(|(error, count)| (error.to_owned(), count)).collect()
}
