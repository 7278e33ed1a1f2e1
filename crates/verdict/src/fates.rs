//! The end of a run: copies are counted in the logs at rest, every record gets its fate, every
//! anomaly its cause.
//!
//! Linear in the number of records, batches and notes. Histories are gathered only for records that
//! need a cause.

use acklab_vocab::api::Acks;
use acklab_vocab::config::SequenceRepair;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{GroupIndex, NodeId, ProducerIndex, RecordId};
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::{CommitStyle, GroupHeader, RetryReason, RunHeader};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher;

use crate::cause::{Anomaly, AnomalyKind, Cause, Evidence, GroupTerms, Promise, Terms};
use crate::causes::duplicate::{Copies, attempt_in, duplicate_cause, offset_in};
use crate::causes::loss::{loss_cause, never_appended};
use crate::causes::order::{Misplaced, order_cause};
use crate::causes::phantom::phantom_cause;
use crate::causes::unlearned::Journey;
use crate::copies::{Inversions, count_copies};
use crate::counts::RecordCounts;
use crate::digest::StableHasher;
use crate::exceptions::Tally;
use crate::groups::Groups;
use crate::groups::summary::GroupVerdict;
use crate::history::{Note, NoteKind, Notes, RecordHistory};
use crate::record_fates::RecordFates;
use crate::records::{NO_PARTITION, Outcome, RecordState, RecordTable};
use crate::visibility::{Visibility, Visible};
use crate::world::{Append, AppendId, Partition, World};
use acklab_vocab::rules::ProtocolRule;

/// Everything that the judge has gathered.
pub struct Evidences<'a> {
    /// What ran.
    pub header: &'a RunHeader,
    /// The cluster.
    pub world: &'a World,
    /// What happened to batches on their way.
    pub notes: &'a Notes,
    /// The consumer groups and the transactions.
    pub groups: &'a Groups,
    /// The exceptions of client libraries.
    pub exceptions: &'a Tally,
    /// What is visible of the logs at rest.
    pub visibility: &'a Visibility,
}

/// The fates of a run.
#[derive(Debug, Default)]
pub struct Fates {
    /// Of all records.
    pub records: RecordCounts,
    /// By producer index.
    pub producers: Vec<RecordCounts>,
    /// By topic index.
    pub topics: Vec<RecordCounts>,
    /// By consumer application.
    pub groups: Vec<GroupVerdict>,
    /// Every anomaly: those of the log by record and kind, then those of each consumer application.
    pub anomalies: Vec<Anomaly>,
    /// Digest of the fates, in hexadecimal.
    pub digest: String,
    /// Of every single record, if they were asked for.
    pub every_record: Option<RecordFates>,
}

/// Decides every record's fate. Keeps them one by one if `every_record`.
#[must_use]
pub fn decide(evidences: &Evidences<'_>, table: &mut RecordTable, every_record: bool) -> Fates {
    place_unfinished(evidences.notes, table);
    let inversions = count_copies(evidences, table);
    let mut fates = Fates {
        producers: vec![RecordCounts::default(); evidences.header.producers.len()],
        topics: vec![RecordCounts::default(); evidences.header.topics.len()],
        ..Fates::default()
    };
    let decided: Vec<bool> = evidences
        .world
        .partitions
        .iter()
        .map(|partition| evidences.world.log_at_rest(partition).is_some())
        .collect();
    let mut digest = StableHasher::default();
    let mut found = Vec::new();
    let is_decided = |state: &RecordState| {
        state.copies > 0 || decided.get(state.partition as usize).copied().unwrap_or(true)
    };
    for (id, state) in table.iter() {
        let is_decided = is_decided(state);
        let fate = fate_of(state, is_decided);
        write_fate(&mut digest, id, state, is_decided);
        fates.records.add(&fate);
        if let Some(producer) = fates.producers.get_mut(id.producer.0 as usize) {
            producer.add(&fate);
        }
        found.extend(anomalies_of(&fate).map(|kind| (id, kind)));
    }
    for (producer, counts) in evidences.header.producers.iter().zip(&fates.producers) {
        if let Some(topic) = fates.topics.get_mut(usize::from(producer.topic.0)) {
            topic.add(counts);
        }
    }
    let of_groups = crate::groups::fates::decide(evidences, table, &mut digest, every_record);
    fates.groups = of_groups.verdicts;
    fates.digest = digest.hex();
    let reprocessed = of_groups.anomalies.iter().filter(|of| of.kind == AnomalyKind::Reprocessed);
    let reprocessed = reprocessed.filter_map(|of| Some((of.group?, of.record))).collect();
    let seen = Seen { table, inversions: &inversions, reprocessed };
    fates.anomalies = explain_all(evidences, &seen, &found);
    fates.anomalies.extend(of_groups.anomalies);
    fates.every_record = every_record
        .then(|| RecordFates::gather(table, is_decided, of_groups.noted, &fates.anomalies));
    fates
}

/// A record that was sent and never completed nor appended learns here where it was sent to.
fn place_unfinished(notes: &Notes, table: &mut RecordTable) {
    if !table.iter().any(|(_, state)| state.partition == NO_PARTITION) {
        return;
    }
    for note in notes.iter().filter(|note| matches!(note.kind, NoteKind::Sent(_))) {
        for record in note.records.iter() {
            let state = table.get_mut(record.id);
            if state.partition == NO_PARTITION {
                state.partition = note.partition;
            }
        }
    }
}

/// The fate of one record.
#[must_use]
pub fn fate_of(state: &RecordState, is_decided: bool) -> RecordCounts {
    let outcome = state.outcome();
    let mut fate = RecordCounts { sent: 1, ..RecordCounts::default() };
    match outcome {
        Outcome::Acked => fate.acked = 1,
        Outcome::Failed => fate.failed = 1,
        Outcome::Unknown => fate.unknown = 1,
        Outcome::Aborted => fate.aborted = 1,
    }
    if !is_decided {
        fate.undecided = 1;
        return fate;
    }
    fate.stored = u64::from(state.copies > 0);
    fate.lost = u64::from(outcome == Outcome::Acked && state.copies == 0);
    let is_given_up = matches!(outcome, Outcome::Failed | Outcome::Aborted);
    fate.phantom = u64::from(is_given_up && state.copies > 0);
    fate.duplicated = u64::from(state.copies > 1);
    fate.extra_copies = u64::from(state.copies.saturating_sub(1));
    fate.reordered = u64::from(state.is_reordered());
    fate
}

fn anomalies_of(fate: &RecordCounts) -> impl Iterator<Item = AnomalyKind> + use<> {
    let kinds = [
        (fate.lost, AnomalyKind::Lost),
        (fate.phantom, AnomalyKind::Phantom),
        (fate.duplicated, AnomalyKind::Duplicated),
        (fate.reordered, AnomalyKind::Reordered),
    ];
    kinds.into_iter().filter(|(count, _)| *count > 0).map(|(_, kind)| kind)
}

fn write_fate(digest: &mut StableHasher, id: RecordId, state: &RecordState, is_decided: bool) {
    digest.write_u16(id.producer.0);
    digest.write_u32(id.sequence);
    digest.write_u8(state.outcome() as u8);
    digest.write_u16(state.copies);
    digest.write_u8(u8::from(state.is_reordered()) | u8::from(is_decided) << 1);
}

fn explain_all(
    evidences: &Evidences<'_>,
    seen: &Seen<'_>,
    found: &[(RecordId, AnomalyKind)],
) -> Vec<Anomaly> {
    let Seen { table, inversions, .. } = *seen;
    let others = inversions.values().map(|inversion| inversion.ahead_record);
    let wanted = found.iter().map(|(id, _)| *id).chain(others);
    let histories = evidences.notes.histories(wanted, &evidences.world.appends);
    let lost_track = lost_track(evidences.notes);
    let explained = found.iter().map(|&(id, kind)| {
        let state = table.get(id).expect("it was just counted");
        let (histories, lost_track) = (&histories, &lost_track);
        let case = Case { evidences, id, state, histories, seen, lost_track };
        case.explain(kind)
    });
    explained.collect()
}

/// When each producer first had a reason to doubt its sequences: a batch failed, or the broker
/// missed one.
fn lost_track(notes: &Notes) -> BTreeMap<NodeId, SimTime> {
    let doubtful = notes.iter().filter(|note| match note.kind {
        NoteKind::Failed(_) => true,
        NoteKind::Retried(RetryReason::Error(error)) => {
            matches!(error, ErrorCode::OutOfOrderSequenceNumber | ErrorCode::UnknownProducerId)
        }
        NoteKind::Retried(RetryReason::Disconnected | RetryReason::RequestTimeout)
        | NoteKind::Sent(_)
        | NoteKind::Refused(_)
        | NoteKind::Answered(_)
        | NoteKind::Deduplicated
        | NoteKind::Resent => false,
    });
    let mut since = BTreeMap::new();
    for note in doubtful {
        since.entry(note.node).or_insert(note.at);
    }
    since
}

/// What is known of all records by the time at which causes are looked for.
struct Seen<'a> {
    table: &'a RecordTable,
    inversions: &'a Inversions,
    /// Records of which an application processed a copy again.
    reprocessed: BTreeSet<(GroupIndex, RecordId)>,
}

/// One record that needs a cause.
struct Case<'a> {
    evidences: &'a Evidences<'a>,
    id: RecordId,
    state: &'a RecordState,
    histories: &'a BTreeMap<RecordId, RecordHistory>,
    seen: &'a Seen<'a>,
    lost_track: &'a BTreeMap<NodeId, SimTime>,
}

impl<'a> Case<'a> {
    fn explain(&self, kind: AnomalyKind) -> Anomaly {
        let (copy, cause, mut evidence) = match kind {
            AnomalyKind::Lost => self.explain_loss(),
            AnomalyKind::Phantom => self.explain_phantom(),
            AnomalyKind::Duplicated => self.explain_duplicate(),
            AnomalyKind::Reordered => self.explain_order(),
            AnomalyKind::Reprocessed | AnomalyKind::Skipped | AnomalyKind::Ghost => {
                unreachable!("{} is an application's anomaly", kind.name())
            }
        };
        if self.state.outcome() != Outcome::Unknown {
            evidence.completed = Some(self.state.completed);
        }
        let copy = copy.map(|id| self.append(id));
        let world = self.evidences.world;
        let partition = world.partitions.get(self.state.partition as usize);
        Anomaly {
            record: self.id,
            kind,
            group: None,
            cause,
            promise: self.promise(cause, copy),
            partition: partition.map(|partition| partition.id),
            offset: copy.and_then(|append| offset_in(append, self.id)),
            epoch: copy.map(|append| append.batch.leader_epoch),
            evidence,
        }
    }

    fn explain_loss(&self) -> (Option<AppendId>, Cause, Evidence) {
        let acks = self.acks();
        let history = self.history(self.id);
        let told = self.state.completed;
        if let Some(hidden) = self.hidden_copy() {
            return hidden;
        }
        let before = |id: &&AppendId| self.append(**id).at <= told;
        let appends = &history.appends;
        let Some(&id) = appends.iter().rev().find(before).or(appends.last()) else {
            let cause = never_appended(acks, self.repair(), self.notes(self.id));
            return (None, cause, Evidence::default());
        };
        let answered = appends.iter().any(|id| self.append(*id).answered <= told);
        if self.repair() == Some(SequenceRepair::RenumberAll) && !answered {
            let cause = never_appended(acks, self.repair(), self.notes(self.id));
            return (Some(id), cause, Evidence::default());
        }
        let world = self.evidences.world;
        let partition = &world.partitions[self.append(id).partition as usize];
        let (cause, evidence) = loss_cause(world, partition, id, acks, told);
        (Some(id), cause, evidence)
    }

    fn explain_phantom(&self) -> (Option<AppendId>, Cause, Evidence) {
        let Some(&copy) = self.copies().first() else {
            return (None, Cause::Unexplained, Evidence::default());
        };
        let world = self.evidences.world;
        if self.state.outcome() == Outcome::Aborted {
            let append = self.append(copy);
            let appended = Some((append.at, world.broker_on(append.node)));
            let cause = match append.at > self.state.completed {
                true => Cause::JoinedNextTransaction,
                false if self.was_ended_late(copy) => Cause::EndedByLateMarker,
                false => Cause::CommittedInLog,
            };
            return (Some(copy), cause, Evidence { appended, ..Evidence::default() });
        }
        let (cause, evidence) = phantom_cause(world, &self.journey(), copy);
        (Some(copy), cause, evidence)
    }

    /// The marker that ended its transaction was that of the one before: under
    /// `transaction.version` 2 a marker carries the epoch of the transaction that comes next.
    fn was_ended_late(&self, copy: AppendId) -> bool {
        self.evidences.world.rules.has(ProtocolRule::TransactionsVersion2)
            && self.append(copy).ended_in_own_epoch
    }

    /// A copy of an acked record at rest that no `read_committed` reader sees.
    fn hidden_copy(&self) -> Option<(Option<AppendId>, Cause, Evidence)> {
        let (copy, visible) = self.at_rest().last()?;
        let append = self.append(copy);
        let appended = Some((append.at, self.evidences.world.broker_on(append.node)));
        let cause = match visible {
            Visible::Aborted if self.was_ended_late(copy) => Cause::EndedByLateMarker,
            Visible::Aborted => Cause::AbortedInLog,
            Visible::Open => Cause::MarkerLost,
            Visible::Yes => return None,
        };
        Some((Some(copy), cause, Evidence { appended, ..Evidence::default() }))
    }

    fn explain_duplicate(&self) -> (Option<AppendId>, Cause, Evidence) {
        let copies = self.copies();
        let [first, second, ..] = copies[..] else {
            return (None, Cause::Unexplained, Evidence::default());
        };
        let world = self.evidences.world;
        if let Some(cause) = self.repeated_input().filter(|_| self.state.is_resent()) {
            let append = self.append(second);
            let appended = Some((append.at, world.broker_on(append.node)));
            let other_offset = offset_in(self.append(first), self.id);
            let evidence = Evidence { appended, other_offset, ..Evidence::default() };
            return (Some(second), cause, evidence);
        }
        let copies = Copies { first, second, record: self.id };
        let (cause, evidence) = duplicate_cause(world, &self.journey(), copies);
        (Some(second), cause, evidence)
    }

    /// Why an application wrote the record twice; `None` if no application wrote it that had made it
    /// from another.
    fn repeated_input(&self) -> Option<Cause> {
        let mut groups = self.evidences.header.groups.iter();
        let writer = groups.position(|of| of.output == Some(self.id.producer))?;
        let index = GroupIndex(writer as u16);
        let was_stored_once = |input: RecordId| {
            let copies = self.seen.table.get(input).map_or(0, |state| state.copies);
            copies < 2 || self.seen.reprocessed.contains(&(index, input))
        };
        let header = self.evidences.header;
        let input = input_of(self.id, header, &header.groups[writer]);
        Some(match input.is_none_or(was_stored_once) {
            true => Cause::InputProcessedAgain,
            false => Cause::InputStoredAgain,
        })
    }

    fn explain_order(&self) -> (Option<AppendId>, Cause, Evidence) {
        let Some(inversion) = self.seen.inversions.get(&self.id) else {
            return (None, Cause::Unexplained, Evidence::default());
        };
        let copy = self.append(inversion.copy);
        let earlier = self.history(self.id).appends.iter().take_while(|id| **id < inversion.copy);
        let misplaced = Misplaced {
            copy: inversion.copy,
            attempt: attempt_in(copy, self.id).unwrap_or_default(),
            ahead: self.append(inversion.ahead),
            had_earlier_copy: earlier.count() > 0,
        };
        let others = self.notes(inversion.ahead_record);
        let (cause, evidence) =
            order_cause(self.evidences.world, &self.journey(), misplaced, others);
        (Some(inversion.copy), cause, evidence)
    }

    fn promise(&self, cause: Cause, copy: Option<&Append>) -> Promise {
        let Evidences { header, world, .. } = self.evidences;
        let partition = world.partitions.get(self.state.partition as usize);
        let mut groups = header.groups.iter();
        let writer = groups.position(|of| of.output == Some(self.id.producer));
        let terms = terms(self.evidences, self.id, partition, copy);
        cause.promise(Terms {
            sequence_issue: self.sequence_issue(copy),
            group: group_terms(self.evidences, writer, partition),
            ..terms
        })
    }

    /// A documented defect, if one has been at work on the sequences of the record's producer.
    fn sequence_issue(&self, copy: Option<&Append>) -> Option<&'static str> {
        let Evidences { header, world, .. } = self.evidences;
        let producer = header.producers.get(self.id.producer.0 as usize)?;
        let count = u32::from(producer.count.max(1));
        let is_same = |other: RecordId| {
            other.producer == self.id.producer && other.sequence % count == self.id.sequence % count
        };
        let partition = world.partitions.get(self.state.partition as usize)?;
        let first_of = |id: &AppendId| self.append(*id).batch.records().first();
        if partition.gaps.iter().filter_map(first_of).any(|record| is_same(record.id)) {
            return Some("KAFKA-15591");
        }
        let instance = (self.id.producer, (self.id.sequence % count) as u16);
        let node = header.nodes.iter().position(|node| node.producer == Some(instance))?;
        let since = *self.lost_track.get(&NodeId(node as u16))?;
        let until = copy.map_or(SimTime::NEVER, |copy| copy.at);
        (since <= until).then_some(match producer.sequence_repair {
            SequenceRepair::CloseGap => "KIP-360",
            SequenceRepair::RenumberPartition => "KAFKA-14034",
            SequenceRepair::RenumberAll => "librdkafka#4953",
        })
    }

    /// How the producer repairs its sequences, if it is idempotent.
    fn repair(&self) -> Option<SequenceRepair> {
        let producer = self.evidences.header.producers.get(self.id.producer.0 as usize)?;
        producer.idempotence.then_some(producer.sequence_repair)
    }

    fn acks(&self) -> Acks {
        let ProducerIndex(index) = self.id.producer;
        let producer = self.evidences.header.producers.get(index as usize);
        producer.map_or(Acks::All, |producer| producer.acks)
    }

    fn append(&self, id: AppendId) -> &'a Append {
        &self.evidences.world.appends[id.index()]
    }

    fn history(&self, id: RecordId) -> &'a RecordHistory {
        self.histories.get(&id).expect("histories were gathered for every anomaly")
    }

    fn journey(&self) -> Journey<'a> {
        let notes = self.notes(self.id).collect();
        Journey { notes, appends: &self.history(self.id).appends }
    }

    fn notes(&self, id: RecordId) -> impl Iterator<Item = &'a Note> + Clone + use<'a> {
        self.evidences.notes.of(self.history(id))
    }

    /// The record's visible appends that stand in a log at rest, in the order of the log.
    fn copies(&self) -> Vec<AppendId> {
        let visible = self.at_rest().filter(|(_, visible)| *visible == Visible::Yes);
        visible.map(|(id, _)| id).collect()
    }

    /// The record's appends that stand in a log at rest, in the order of the log.
    fn at_rest(&self) -> impl Iterator<Item = (AppendId, Visible)> {
        let Evidences { world, visibility, .. } = self.evidences;
        self.history(self.id).appends.iter().filter_map(|&id| {
            let index = self.append(id).partition as usize;
            let log = &world.log_at_rest(&world.partitions[index])?.log;
            let position = log.binary_search(&id).ok()?;
            Some((id, visibility.at(index, position)))
        })
    }
}

/// The record that an application made this one from.
fn input_of(output: RecordId, header: &RunHeader, writer: &GroupHeader) -> Option<RecordId> {
    let writers = || header.writers_to(&writer.topics);
    let count = writers().count() as u32;
    let place = output.sequence.checked_rem(count)?;
    let producer = writers().nth(place as usize)?;
    Some(RecordId { producer, sequence: output.sequence / count })
}

/// What had been promised for a record, but for its sequences and for groups.
#[must_use]
pub fn terms(
    evidences: &Evidences<'_>,
    id: RecordId,
    partition: Option<&Partition>,
    copy: Option<&Append>,
) -> Terms {
    let Evidences { header, world, .. } = evidences;
    let topic = partition.and_then(|of| header.topics.get(of.id.topic.0 as usize));
    let producer = header.producers.get(id.producer.0 as usize);
    let committed =
        partition.zip(copy).is_some_and(|(partition, copy)| partition.was_committed(copy));
    Terms {
        acks: producer.map_or(Acks::All, |producer| producer.acks),
        idempotence: producer.is_some_and(|producer| producer.idempotence),
        committed,
        min_insync_replicas: topic.map_or(1, |topic| topic.min_insync_replicas),
        truncates_by_epoch: world.rules.has(ProtocolRule::TruncateByLeaderEpoch),
        eligible_leader_replicas: world.rules.has(ProtocolRule::EligibleLeaderReplicas),
        known_breach: partition.and_then(|of| of.known_breaches.first().copied()),
        sequence_issue: None,
        group: GroupTerms::NONE,
    }
}

/// What had been promised to a consumer application, and to transactions, on a partition.
#[must_use]
pub fn group_terms(
    evidences: &Evidences<'_>,
    application: Option<usize>,
    partition: Option<&Partition>,
) -> GroupTerms {
    let Evidences { header, world, groups, .. } = evidences;
    let has = |rule| world.rules.has(rule);
    let of = application.and_then(|index| groups.applications.get(index));
    let header = application.and_then(|index| header.groups.get(index));
    let group = of.and_then(|of| groups.groups.get(of.group));
    let home = group.and_then(|group| group.home).map(|home| &world.partitions[home]);
    let logs = partition.into_iter().chain(home);
    let has_expired = group.is_some_and(|group| group.has_expired);
    let is_in_transaction = header.is_some_and(|of| of.commit == CommitStyle::InTransaction);
    GroupTerms {
        in_transaction: is_in_transaction,
        fences_offsets: has(ProtocolRule::FenceTransactionalOffsets)
            && !of.is_some_and(|of| of.has_unfenced_offsets),
        transactions_version_2: has(ProtocolRule::TransactionsVersion2),
        verifies_writes: has(ProtocolRule::VerifyTransactionalWrites),
        strict_marker_epochs: has(ProtocolRule::StrictMarkerEpochs),
        validates_positions: has(ProtocolRule::ValidatePosition),
        owned_carries_generation: has(ProtocolRule::OwnedPartitionsCarryGeneration),
        log_was_at_risk: has_expired
            || logs.into_iter().any(|of| of.had_unclean_election || of.has_lost_tail),
    }
}

impl RecordCounts {
    fn add(&mut self, other: &RecordCounts) {
        self.sent += other.sent;
        self.acked += other.acked;
        self.failed += other.failed;
        self.unknown += other.unknown;
        self.aborted += other.aborted;
        self.stored += other.stored;
        self.lost += other.lost;
        self.phantom += other.phantom;
        self.duplicated += other.duplicated;
        self.extra_copies += other.extra_copies;
        self.reordered += other.reordered;
        self.expired += other.expired;
        self.undecided += other.undecided;
    }
}

/// The anomalies that are kept one by one: all, or the first of each kind and cause in fair shares.
#[must_use]
pub fn keep(mut anomalies: Vec<Anomaly>, limit: usize) -> Vec<Anomaly> {
    if anomalies.len() <= limit {
        return anomalies;
    }
    let mut kept: BTreeMap<(AnomalyKind, Option<GroupIndex>, Cause), usize> = BTreeMap::new();
    for anomaly in &anomalies {
        kept.entry((anomaly.kind, anomaly.group, anomaly.cause)).or_default();
    }
    let share = (limit / kept.len()).max(1);
    anomalies.retain(|anomaly| {
        let count = kept.entry((anomaly.kind, anomaly.group, anomaly.cause)).or_default();
        *count += 1;
        *count <= share
    });
    anomalies
}
