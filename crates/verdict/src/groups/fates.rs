//! The end of a run for consumer applications: every stored record is processed, skipped or
//! pending, every repetition is counted, every anomaly gets its cause.
//!
//! Per application and partition one counter per offset (a byte) is filled from the stretches that
//! were processed; then the log at rest is walked once. Causes are decided per stretch of offsets
//! that meet the same facts, not per record.

use acklab_vocab::ids::{GroupIndex, LeaderEpoch, Offset, RecordId};
use acklab_vocab::trace::{CommitStyle, GroupHeader};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher;

use super::reading::{NO_TRANSACTION, Reading, Stretch};
use super::standstill::Standstill;
use super::summary::{GroupCounts, GroupVerdict, PartitionStandstill, Sharing};
use super::{Application, Groups};
use crate::cause::{Anomaly, AnomalyKind, Cause, Evidence, GroupEvidence};
use crate::causes::groups::Scope;
use crate::causes::loss::loss_cause;
use crate::causes::reprocessing::reprocessing_cause;
use crate::causes::skipping::{Unprocessed, skipping_cause};
use crate::digest::StableHasher;
use crate::fates::{self, Evidences};
use crate::record_fates::{GroupFate, Noted, Progress};
use crate::records::RecordTable;
use crate::visibility::Visible;
use crate::world::{AppendId, EpochSpans};
use acklab_vocab::api::Acks;

/// The fates of a run, as its consumer applications see them.
#[derive(Debug, Default)]
pub struct GroupFates {
    /// By application.
    pub verdicts: Vec<GroupVerdict>,
    /// Every anomaly, by application, partition and offset.
    pub anomalies: Vec<Anomaly>,
    /// By application: every record that it met, if they were asked for.
    pub(crate) noted: Vec<Vec<Noted>>,
}

/// Decides the fates, and writes them into the digest. Notes every record's if `every_record`.
#[must_use]
pub fn decide(
    evidences: &Evidences<'_>,
    table: &RecordTable,
    digest: &mut StableHasher,
    every_record: bool,
) -> GroupFates {
    let mut fates = GroupFates::default();
    for (index, header) in evidences.header.groups.iter().enumerate() {
        let mut walk = Walk {
            evidences,
            table,
            index,
            header,
            application: &evidences.groups.applications[index],
            counts: GroupCounts::default(),
            anomalies: Vec::new(),
            several: BTreeMap::new(),
            ghosts: BTreeSet::new(),
            noted: every_record.then(Vec::new),
        };
        walk.ghosts();
        for reading in &walk.application.readings {
            walk.partition(reading, digest);
        }
        walk.several();
        walk.write(digest);
        fates.verdicts.push(verdict(evidences, index, walk.counts));
        fates.anomalies.append(&mut walk.anomalies);
        fates.noted.extend(walk.noted);
    }
    fates
}

/// One application, walked through its partitions.
struct Walk<'a> {
    evidences: &'a Evidences<'a>,
    table: &'a RecordTable,
    index: usize,
    header: &'a GroupHeader,
    application: &'a Application,
    counts: GroupCounts,
    anomalies: Vec<Anomaly>,
    /// Records with several copies in the logs at rest.
    several: BTreeMap<RecordId, Several>,
    /// Records of which a copy was processed that is not in a log at rest.
    ghosts: BTreeSet<RecordId>,
    /// What became of every record that it met, in parts; if that was asked for.
    noted: Option<Vec<Noted>>,
}

/// What became of the copies of one record.
#[derive(Clone, Copy, Debug, Default)]
struct Several {
    processed: u32,
    pending: u32,
    /// Place among the readings, append and offset of the first copy that was gone past.
    skipped: Option<(usize, AppendId, Offset)>,
}

/// A copy in a log at rest.
#[derive(Clone, Copy, Debug)]
struct AtRest {
    record: RecordId,
    offset: Offset,
    append: AppendId,
    processed: u8,
}

impl<'a> Walk<'a> {
    fn groups(&self) -> &'a Groups {
        self.evidences.groups
    }

    /// Whether what was done in a stretch has had its effect.
    fn had_effect(&self, stretch: &Stretch) -> bool {
        stretch.transaction == NO_TRANSACTION
            || self.header.commit != CommitStyle::InTransaction
            || self
                .groups()
                .transactions
                .all
                .get(stretch.transaction as usize)
                .is_none_or(|transaction| transaction.is_committed())
    }

    /// Where the application has gone past: its group's committed offset, or, if that does not lead
    /// it, the last that it processed or was put behind.
    fn passed(&self, reading: &Reading) -> Offset {
        let by_position = self.header.assigns_itself || self.header.commit == CommitStyle::Never;
        let committed = || {
            let group = self.groups().groups.get(self.application.group)?;
            group.tracks[reading.partition].current
        };
        let place = if by_position { reading.done } else { committed() };
        place.unwrap_or(Offset(0))
    }

    /// Finds the records that were processed in a part of a log that is gone.
    fn ghosts(&mut self) {
        let mut found = Vec::new();
        for reading in &self.application.readings {
            let world = self.evidences.world;
            let Some(log) = world.log_at_rest(&world.partitions[reading.partition]) else {
                continue;
            };
            for stretch in reading.stretches.iter().filter(|stretch| self.had_effect(stretch)) {
                let (from, to) = span_of(&log.epochs, log.log_end_offset, stretch.epoch);
                let before = (stretch.from, stretch.to.min(from));
                let behind = (stretch.from.max(to), stretch.to);
                for (from, to) in [before, behind].into_iter().filter(|(from, to)| from < to) {
                    found.push((reading.partition as u32, stretch.epoch, from, to, *stretch));
                }
            }
        }
        if found.is_empty() {
            return;
        }
        let appends = &self.evidences.world.appends;
        for (index, append) in appends.iter().enumerate() {
            let (batch, id) = (&append.batch, AppendId(index as u32));
            let here = |of: &&(u32, LeaderEpoch, Offset, Offset, Stretch)| {
                of.0 == append.partition
                    && of.1 == batch.leader_epoch
                    && of.2 < batch.next_offset()
                    && batch.base_offset < of.3
            };
            for &(_, _, from, to, stretch) in found.iter().filter(here) {
                for (place, record) in batch.records().iter().enumerate() {
                    let offset = batch.base_offset.plus(place as u64);
                    if from <= offset && offset < to && self.ghosts.insert(record.id) {
                        self.ghost(record.id, offset, id, &stretch);
                    }
                }
            }
        }
    }

    fn ghost(&mut self, record: RecordId, offset: Offset, id: AppendId, stretch: &Stretch) {
        if self.table.get(record).is_some_and(|state| state.copies > 0) {
            return;
        }
        self.counts.ghost += 1;
        self.note(record, GroupFate { ghost: true, ..GroupFate::default() });
        let world = self.evidences.world;
        let append = &world.appends[id.index()];
        let partition = &world.partitions[append.partition as usize];
        let at = stretch.moment.at;
        let (cause, mut evidence) = loss_cause(world, partition, id, Acks::All, at);
        evidence.group.processed = Some((at, stretch.node));
        self.push(AnomalyKind::Ghost, cause, evidence, record, offset, id);
    }

    fn push(
        &mut self,
        kind: AnomalyKind,
        cause: Cause,
        evidence: Evidence,
        record: RecordId,
        offset: Offset,
        id: AppendId,
    ) {
        let append = &self.evidences.world.appends[id.index()];
        let partition = &self.evidences.world.partitions[append.partition as usize];
        let terms = fates::terms(self.evidences, record, Some(partition), Some(append));
        let group = fates::group_terms(self.evidences, Some(self.index), Some(partition));
        let acks = if kind == AnomalyKind::Ghost { Acks::All } else { terms.acks };
        self.anomalies.push(Anomaly {
            record,
            kind,
            group: Some(GroupIndex(self.index as u16)),
            cause,
            promise: cause.promise(crate::cause::Terms { acks, group, ..terms }),
            partition: Some(partition.id),
            offset: Some(offset),
            epoch: Some(append.batch.leader_epoch),
            evidence,
        });
    }

    /// Walks one log at rest.
    fn partition(&mut self, reading: &'a Reading, digest: &mut StableHasher) {
        let world = self.evidences.world;
        let partition = &world.partitions[reading.partition];
        let Some(log) = world.log_at_rest(partition) else { return };
        let (counters, undone) = self.count(reading, &log.epochs, log.log_end_offset);
        digest.write(&counters);
        let passed = self.passed(reading);
        digest.write_u64(passed.0);
        let place = self.place_of(reading);
        let mut causes = Causes::new(self, reading, undone);
        for (position, &append) in log.log.iter().enumerate() {
            let batch = &world.appends[append.index()].batch;
            let visible = self.evidences.visibility.at(reading.partition, position);
            for (index, record) in batch.records().iter().enumerate() {
                let offset = batch.base_offset.plus(index as u64);
                let processed = counters.get(offset.0 as usize).copied().unwrap_or(0);
                let copy = AtRest { record: record.id, offset, append, processed };
                if visible == Visible::Yes {
                    self.copy(copy, place, passed, &mut causes);
                } else {
                    self.counts.aborted_reads += u64::from(processed);
                }
            }
        }
    }

    fn place_of(&self, reading: &Reading) -> usize {
        let readings = &self.application.readings;
        readings.binary_search_by_key(&reading.partition, |of| of.partition).unwrap_or(0)
    }

    /// How often each offset of a log at rest was processed with effect, and where it was without.
    fn count(
        &mut self,
        reading: &Reading,
        epochs: &EpochSpans,
        end: Offset,
    ) -> (Vec<u8>, Vec<(Offset, Offset)>) {
        let mut counters = vec![0_u8; end.0 as usize];
        let mut undone = Vec::new();
        for stretch in &reading.stretches {
            let (from, to) = span_of(epochs, end, stretch.epoch);
            let (from, to) = (stretch.from.max(from), stretch.to.min(to));
            if from >= to {
                continue;
            }
            if self.had_effect(stretch) {
                for counter in &mut counters[from.0 as usize..to.0 as usize] {
                    *counter = counter.saturating_add(1);
                }
            } else {
                self.counts.undone += to.distance_from(from);
                undone.push((from, to));
            }
        }
        (counters, undone)
    }

    fn copy(&mut self, copy: AtRest, place: usize, passed: Offset, causes: &mut Causes<'a>) {
        if copy.processed > 1 {
            self.counts.reprocessed += 1;
            self.note(copy.record, GroupFate { reprocessed: true, ..GroupFate::default() });
            self.counts.extra_processings += u64::from(copy.processed - 1);
            let (cause, group) = causes.of_repetition(&copy);
            self.anomaly(AnomalyKind::Reprocessed, cause, group, copy);
        }
        let is_processed = copy.processed > 0 || self.ghosts.contains(&copy.record);
        let is_passed = copy.offset < passed;
        let copies = self.table.get(copy.record).map_or(1, |state| state.copies);
        if copies > 1 {
            let several = self.several.entry(copy.record).or_default();
            several.processed += u32::from(is_processed);
            several.pending += u32::from(!is_processed && !is_passed);
            if !is_processed && is_passed {
                several.skipped.get_or_insert((place, copy.append, copy.offset));
            }
        } else if is_processed {
            self.counts.processed += 1;
            self.note_progress(copy.record, Progress::Processed);
        } else if is_passed {
            self.counts.skipped += 1;
            self.note_progress(copy.record, Progress::Skipped);
            let (cause, group) = causes.of_gap(&copy);
            self.anomaly(AnomalyKind::Skipped, cause, group, copy);
        } else {
            self.counts.pending += 1;
            self.note_progress(copy.record, Progress::Pending);
        }
    }

    fn note_progress(&mut self, record: RecordId, progress: Progress) {
        self.note(record, GroupFate { progress, ..GroupFate::default() });
    }

    fn note(&mut self, record: RecordId, fate: GroupFate) {
        if let Some(noted) = &mut self.noted {
            noted.push((record, fate));
        }
    }

    /// Records with several copies: each has one fate.
    fn several(&mut self) {
        for (record, several) in std::mem::take(&mut self.several) {
            if several.processed > 0 {
                self.counts.processed += 1;
                self.counts.processed_copies += u64::from(several.processed > 1);
                let (progress, processed_copies) = (Progress::Processed, several.processed > 1);
                self.note(record, GroupFate { progress, processed_copies, ..GroupFate::default() });
            } else if let Some((place, append, offset)) =
                several.skipped.filter(|_| several.pending == 0)
            {
                self.counts.skipped += 1;
                self.note_progress(record, Progress::Skipped);
                let reading = &self.application.readings[place];
                let copy = AtRest { record, offset, append, processed: 0 };
                let (cause, group) = Causes::new(self, reading, Vec::new()).of_gap(&copy);
                self.anomaly(AnomalyKind::Skipped, cause, group, copy);
            } else {
                self.counts.pending += 1;
                self.note_progress(record, Progress::Pending);
            }
        }
    }

    fn anomaly(&mut self, kind: AnomalyKind, cause: Cause, group: GroupEvidence, copy: AtRest) {
        let append = &self.evidences.world.appends[copy.append.index()];
        let appended = Some((append.at, self.evidences.world.broker_on(append.node)));
        let evidence = Evidence { appended, group, ..Evidence::default() };
        self.push(kind, cause, evidence, copy.record, copy.offset, copy.append);
    }

    fn write(&self, digest: &mut StableHasher) {
        let counts = &self.counts;
        for count in [counts.processed, counts.skipped, counts.pending, counts.ghost] {
            digest.write_u64(count);
        }
    }
}

/// Causes, decided once for each run of offsets that meet the same facts.
struct Causes<'a> {
    scope: Option<Scope<'a>>,
    evidences: &'a Evidences<'a>,
    undone: Vec<(Offset, Offset)>,
    /// Offsets at which some comparison with a fact turns; gathered at the first need.
    turns: Vec<Offset>,
    repetition: Option<((usize, LeaderEpoch), (Cause, GroupEvidence))>,
    gap: Option<((usize, AppendId), (Cause, GroupEvidence))>,
}

impl<'a> Causes<'a> {
    fn new(walk: &Walk<'a>, reading: &'a Reading, undone: Vec<(Offset, Offset)>) -> Self {
        let groups = walk.groups();
        let group = groups.groups.get(walk.application.group);
        let scope = group.map(|group| Scope {
            groups,
            application: walk.index,
            header: walk.header,
            reading,
            track: &group.tracks[reading.partition],
        });
        let evidences = walk.evidences;
        Causes { scope, evidences, undone, turns: Vec::new(), repetition: None, gap: None }
    }

    /// Number of the run of offsets.
    fn run_of(&mut self, offset: Offset) -> usize {
        if let (Some(scope), true) = (&self.scope, self.turns.is_empty()) {
            let stretches = scope.reading.stretches.iter().flat_map(|of| [of.from, of.to]);
            let jumps = scope.reading.jumps.iter().flat_map(|of| [Some(of.to), of.from]).flatten();
            let dropped = scope.reading.dropped.iter().flat_map(|of| [of.from, of.to]);
            let commits = scope.track.commits.iter().filter_map(|of| of.offset);
            let failed = scope.track.failed.iter().map(|of| of.offset);
            let undone = self.undone.iter().flat_map(|of| [of.0, of.1]);
            let all = stretches.chain(jumps).chain(dropped).chain(commits).chain(failed);
            self.turns = all.chain(undone).collect();
            self.turns.sort_unstable();
            self.turns.dedup();
        }
        // A comparison may be with the offset or with the one behind it: both turn here.
        let at = self.turns.partition_point(|turn| *turn < offset);
        at * 2 + usize::from(self.turns.get(at) == Some(&offset))
    }

    fn of_repetition(&mut self, copy: &AtRest) -> (Cause, GroupEvidence) {
        let run = self.run_of(copy.offset);
        let Some(scope) = &self.scope else { return (Cause::Unexplained, Default::default()) };
        let epoch = self.evidences.world.appends[copy.append.index()].batch.leader_epoch;
        let key = (run, epoch);
        if let Some((known, cause)) = self.repetition
            && known == key
        {
            return cause;
        }
        let is_undone = |of: &&Stretch| {
            of.transaction != NO_TRANSACTION
                && scope.header.commit == CommitStyle::InTransaction
                && !scope.groups.transactions.all[of.transaction as usize].is_committed()
        };
        let here = scope.reading.stretches.iter();
        let here = here.filter(|of| of.epoch == epoch && of.covers(copy.offset));
        let mut here = here.filter(|of| !is_undone(of));
        let cause = match (here.next(), here.next()) {
            (Some(first), Some(second)) => reprocessing_cause(scope, first, second, copy.offset),
            _ => (Cause::Unexplained, GroupEvidence::default()),
        };
        self.repetition = Some((key, cause));
        cause
    }

    fn of_gap(&mut self, copy: &AtRest) -> (Cause, GroupEvidence) {
        let run = self.run_of(copy.offset);
        let Some(scope) = &self.scope else { return (Cause::Unexplained, Default::default()) };
        let key = (run, copy.append);
        if let Some((known, cause)) = self.gap
            && known == key
        {
            return cause;
        }
        let within = |of: &(Offset, Offset)| of.0 <= copy.offset && copy.offset < of.1;
        let was_undone = self.undone.iter().any(within);
        let appended = self.evidences.world.appends[copy.append.index()].at;
        let cause =
            skipping_cause(scope, Unprocessed { offset: copy.offset, appended, was_undone });
        self.gap = Some((key, cause));
        cause
    }
}

/// The offsets of one leader epoch in a log; an empty span if it has none.
fn span_of(epochs: &EpochSpans, end: Offset, epoch: LeaderEpoch) -> (Offset, Offset) {
    match epochs.iter().position(|&(of, _)| of == epoch) {
        Some(index) => (epochs[index].1, epochs.get(index + 1).map_or(end, |&(_, start)| start)),
        None => (end, Offset(0)),
    }
}

/// Everything but the records.
fn verdict(evidences: &Evidences<'_>, index: usize, mut counts: GroupCounts) -> GroupVerdict {
    let header = &evidences.header.groups[index];
    let application = &evidences.groups.applications[index];
    let ids = &evidences.header.group_ids;
    let group_id = ids.get(application.group).cloned().unwrap_or_default();
    counts.evictions = application.evictions;
    counts.commits = application.commits;
    counts.commit_failures = application.failures.values().sum();
    let spells = |of: fn(&Reading) -> Standstill| {
        let spell = |reading: &Reading| PartitionStandstill {
            partition: evidences.world.partitions[reading.partition].id,
            standstill: of(reading),
        };
        application.readings.iter().map(spell).collect()
    };
    let sharing = application.balance.as_ref().map(|balance| Sharing {
        attempts: balance.attempts.clone(),
        sessions_expired: balance.sessions_expired,
        no_owner: spells(|reading| reading.unclaimed),
        two_owners: spells(|reading| reading.doubled),
    });
    let mut verdict = GroupVerdict {
        group_id,
        resets: application.resets,
        refused: application.refused.clone(),
        failures: application.failures.clone(),
        standstills: spells(|reading| reading.standstill),
        exceptions: evidences.exceptions.of(|node| {
            evidences.groups.members.get(usize::from(node.0)).and_then(|of| of.application)
                == Some(index)
        }),
        sharing,
        lag: application.lag.clone(),
        behind: application.behind,
        processing_time: application
            .worked
            .zip(application.began)
            .map(|(until, since)| until.since(since))
            .unwrap_or_default(),
        ..GroupVerdict::default()
    };
    verdict.refused.retain(|_, count| *count > 0);
    verdict.failures.retain(|_, count| *count > 0);
    if let Some(group) = evidences.groups.groups.get(application.group)
        && !header.assigns_itself
    {
        counts.rebalances = group.rebalances.count;
        verdict.generations = group.generations;
        verdict.rebalances = group.rebalances.list.clone();
        verdict.reasons = group.rebalances.reasons.clone();
        verdict.rebalance_longest = group.rebalances.longest;
        verdict.coordinator_moves = group.coordinator_moves;
    }
    if let Some(balance) = &application.balance {
        counts.rebalances = balance.rebalances;
    }
    verdict.counts = counts;
    verdict
}
