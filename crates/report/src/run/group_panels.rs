//! Consumer applications over time.

use acklab_verdict::groups::rebalances::Rebalance;
use acklab_verdict::{GroupVerdict, Verdict, names};
use acklab_vocab::config::GroupLibrary;
use acklab_vocab::ids::NodeId;
use acklab_vocab::trace::{CommitStyle, GroupHeader};
use std::collections::BTreeMap;

use super::bands::standstills_of;
use super::ensemble::numbers;
use super::model::{
    Axis, GroupPanel, Listed, OwnerRow, OwnerSpan, ProgressRow, RebalanceRow, RefusedCommit,
    Series, SharingPanel, Span,
};
use super::panels::bucket_series;
use super::recorder::{ApplicationTracks, GroupTracks, ReadingTracks, Recording, Refused};
use super::track::{Track, down_sample, micros, together};

/// So many applications have a panel.
const APPLICATIONS: usize = 6;
/// So many partitions of an application have a row of owners.
const OWNER_ROWS: usize = 50;
/// So many have their progress and lag shown, where these partitions have no panel of their own.
const PROGRESS_ROWS: usize = 8;
/// So many spans, rebalances or refused commits are shown.
const SPANS: usize = 100;

/// One application, with what belongs to it.
struct Subject<'a> {
    recording: &'a Recording,
    verdict: &'a Verdict,
    tracks: &'a ApplicationTracks,
    header: &'a GroupHeader,
    group: Option<&'a GroupTracks>,
    axis: &'a Axis,
    points: usize,
    /// Its processes, by instance.
    nodes: Vec<NodeId>,
}

/// The panels of all applications. `shown` are the partitions that have a panel; progress is shown
/// for these first.
#[must_use]
pub fn groups(
    recording: &Recording,
    verdict: &Verdict,
    shown: &[usize],
    axis: &Axis,
    points: usize,
) -> Listed<GroupPanel> {
    let header = &verdict.header;
    let all = recording.applications.iter().zip(&header.groups).enumerate();
    let panels = all.take(APPLICATIONS).map(|(index, (tracks, of))| {
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
            points,
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
        let mut commits = vec![0; self.axis.buckets];
        self.tracks.commits.iter().for_each(|&at| commits[self.axis.bucket_of(at)] += 1);
        let progress = self.rows_with_progress(shown);
        let lag_by_partition = progress.shown.iter().map(|&row| {
            let label = self.partition_name(self.tracks.readings[row].partition);
            down_sample(&label, lags[row].points(), self.axis.end_us, self.points)
        });
        let standstills = standstills_of(self.tracks, self.axis).into_iter();
        let standstills = standstills.map(|(from_us, to_us, _)| Span { from_us, to_us });
        let refused = self.tracks.refused.iter().map(|of| self.refused(of));
        GroupPanel {
            application: self.header.name.clone(),
            group_id: names::group(&self.verdict.header, self.header.group),
            members: self.nodes.iter().map(|&of| names::node(&self.verdict.header, of)).collect(),
            lag: self.total(&lags),
            lag_by_partition: Listed {
                shown: lag_by_partition.collect(),
                left_out: progress.left_out,
            },
            owners: self.owners(),
            progress: Listed {
                shown: progress.shown.iter().map(|&row| self.progress(row)).collect(),
                left_out: progress.left_out,
            },
            rebalances: self.rebalances(of_group),
            standstills: Listed::first(standstills.collect(), SPANS),
            commits_accepted: bucket_series("commits", &commits),
            commits_refused: Listed::first(refused.collect(), SPANS),
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

    fn partition_name(&self, index: usize) -> String {
        let known = self.recording.partitions.get(index);
        known.map_or_else(String::new, |of| self.verdict.partition_name(of.id))
    }

    /// Places among the readings: of partitions that are shown, then of others, in their order.
    fn rows_with_progress(&self, shown: &[usize]) -> Listed<usize> {
        let mut rows: Vec<usize> = (0..self.tracks.readings.len()).collect();
        rows.sort_by_key(|&row| !shown.contains(&self.tracks.readings[row].partition));
        let mut listed = Listed::first(rows, PROGRESS_ROWS);
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
        down_sample("in total", total.points(), self.axis.end_us, self.points)
    }

    fn progress(&self, row: usize) -> ProgressRow {
        let reading = &self.tracks.readings[row];
        let nothing = Track::default();
        let end = self.recording.partitions.get(reading.partition).map(|of| &of.reached);
        let committed = self.group.and_then(|group| group.committed.get(reading.partition));
        let sampled = |label: &str, track: Option<&Track>| {
            let points = track.unwrap_or(&nothing).points();
            down_sample(label, points, self.axis.end_us, self.points)
        };
        ProgressRow {
            partition: self.partition_name(reading.partition),
            end: sampled("high watermark", end),
            position: sampled("position", Some(&reading.position)),
            committed: sampled("committed", committed),
        }
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
                spans: Listed::first(spans.collect(), SPANS),
            }
        });
        Listed::first(rows.collect(), OWNER_ROWS)
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
                spans: Listed::first(spans.collect(), SPANS),
            }
        });
        Listed::first(rows.collect(), OWNER_ROWS)
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
        let shown: Vec<RebalanceRow> = of.rebalances.iter().take(SPANS).map(row).collect();
        let left_out = of.counts.rebalances - (shown.len() as u64).min(of.counts.rebalances);
        Listed { shown, left_out }
    }

    fn refused(&self, of: &Refused) -> RefusedCommit {
        RefusedCommit {
            at_us: of.at_us,
            member: names::node(&self.verdict.header, of.node),
            error: of.error.clone(),
        }
    }
}

fn by_error(refused: &[Refused]) -> Vec<(String, u64)> {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    refused.iter().for_each(|of| *counts.entry(of.error.as_str()).or_default() += 1);
    counts.into_iter().map(|(error, count)| (error.to_owned(), count)).collect()
}
