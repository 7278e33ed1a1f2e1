//! The verdict, once everything has been seen.

use acklab_vocab::ids::{GroupIndex, ProducerIndex};
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::trace::RunHeader;
use std::collections::BTreeMap;

use super::State;
use crate::cause::{Anomaly, AnomalyKind, Cause, Promise};
use crate::counts::RecordCounts;
use crate::digest::Digests;
use crate::exceptions::{Exceptions, Tally};
use crate::fates::{self, Evidences};
use crate::groups::Groups;
use crate::latency::{Latency, LatencySample};
use crate::names;
use crate::record_fates::RecordFates;
use crate::records::{RecordState, RecordTable};
use crate::verdict::{ANOMALIES_KEPT, CauseCount, LatencyResult, Unavailability, Verdict};
use crate::visibility::{Hanging, Visibility};
use crate::world::{Partition, World};

/// A run at its end: what the verdict is made of.
#[derive(Clone, Copy)]
pub struct Concluded<'a> {
    /// The cluster.
    pub world: &'a World,
    /// The consumer groups.
    pub groups: &'a Groups,
    /// Every record.
    pub records: &'a RecordTable,
    /// Every anomaly, not only those that the verdict keeps: those of the log by record and kind,
    /// then those of each consumer application.
    pub anomalies: &'a [Anomaly],
    /// How long each first read by a reader or a consumer application took from the creation, if
    /// the judge was told to keep that.
    pub reads: &'a [LatencySample],
}

impl Concluded<'_> {
    /// What became of a record in the log: every count is 0 or 1, but for extra copies.
    #[must_use]
    pub fn fate(&self, state: &RecordState) -> RecordCounts {
        let partition = self.world.partitions.get(state.partition as usize);
        let has_log = || partition.is_none_or(|of| self.world.log_at_rest(of).is_some());
        fates::fate_of(state, state.copies > 0 || has_log())
    }
}

impl State {
    pub(super) fn finish(
        mut self,
        trajectory: String,
        every_record: bool,
        look: impl FnOnce(&Concluded<'_>),
    ) -> (Verdict, Option<RecordFates>) {
        self.close_open_spells();
        self.world.settle_sessions(None);
        self.world.check_replicas_at_rest(self.sim_end);
        self.groups.finish(&self.header, &self.world, self.sim_end);
        let visibility = Visibility::of(&self.world);
        let evidences = Evidences {
            header: &self.header,
            world: &self.world,
            notes: &self.notes,
            groups: &self.groups,
            exceptions: &self.exceptions,
            visibility: &visibility,
        };
        let fates = fates::decide(&evidences, &mut self.records, every_record);
        look(&Concluded {
            world: &self.world,
            groups: &self.groups,
            records: &self.records,
            anomalies: &fates.anomalies,
            reads: self.end_to_end.samples(),
        });
        let causes = count_causes(&self.header, &fates.anomalies);
        let hanging = hanging(&evidences);
        let producer_exceptions = producer_exceptions(&self.header, &self.exceptions);
        let (header, mut breaches) = (self.header, std::mem::take(&mut self.world.breaches));
        for (name, text, known) in broken_promises(&causes).chain(hanging) {
            breaches.report_anomalies(self.sim_end, name, text, known);
        }
        let place = |partition| names::partition(&header, partition);
        let (violations, known_violations) = breaches.finish(&place);
        let (timeline, cluster) = self.timeline.finish(&header, &self.groups, &self.world);
        let named = |names: Vec<String>, counts: &[_]| -> BTreeMap<String, _> {
            names.into_iter().zip(counts.iter().copied()).collect()
        };
        let producers = header.producers.iter().map(|producer| producer.name.clone()).collect();
        let topics = header.topics.iter().zip(&fates.topics);
        let topics = topics.filter(|(topic, _)| !topic.internal);
        let topics = topics.map(|(topic, counts)| (topic.name.clone(), *counts)).collect();
        let of_groups = header.groups.iter().zip(fates.groups);
        let of_groups = of_groups.map(|(group, verdict)| (group.name.clone(), verdict)).collect();
        let is_internal = |of: &Partition| header.topics[usize::from(of.id.topic.0)].internal;
        let partitions = self.world.partitions.iter().filter(|of| !is_internal(of));
        let unavailability = partitions.map(unavailability).collect();
        let readers = header.readers.iter().zip(&self.readers);
        let anomalies_total = fates.anomalies.len() as u64;
        let verdict = Verdict {
            digest: Digests { trajectory, verdict: fates.digest },
            records: fates.records,
            producers: named(producers, &fates.producers),
            topics,
            groups: of_groups,
            producer_exceptions,
            transactions: self.groups.transactions.counts,
            readers: readers.map(|(of, reader)| (of.name.clone(), reader.counts)).collect(),
            causes,
            anomalies: fates::keep(fates.anomalies, ANOMALIES_KEPT),
            anomalies_total,
            violations,
            known_violations,
            produce_latency: latency(self.produce),
            end_to_end_latency: latency(self.end_to_end),
            unavailability,
            timeline,
            cluster,
            diverged: self.world.diverged,
            sessions_expired: self.world.ensemble.as_ref().map(|of| of.sessions_expired),
            sim_end: self.sim_end,
            header,
        };
        (verdict, fates.every_record)
    }

    /// Spells that last until the end count until the end, waits of producers until they gave up.
    fn close_open_spells(&mut self) {
        let workload_ended = self.workload_ended.unwrap_or(self.sim_end);
        for partition in &mut self.world.partitions {
            partition.leaderless.end(self.sim_end);
            partition.writes.close(workload_ended);
        }
    }
}

/// The exceptions of those producers that met with any.
fn producer_exceptions(header: &RunHeader, tally: &Tally) -> BTreeMap<String, Exceptions> {
    let all = header.producers.iter().enumerate().map(|(index, producer)| {
        let exceptions = tally.of(|node| {
            let node = header.nodes.get(usize::from(node.0)).and_then(|node| node.producer);
            node.is_some_and(|(of, _)| usize::from(of.0) == index)
        });
        (producer.name.clone(), exceptions)
    });
    all.filter(|(_, exceptions)| !exceptions.0.is_empty()).collect()
}

fn latency(mut latency: Latency) -> LatencyResult {
    let summary = latency.summary();
    LatencyResult { histogram: latency.histogram().clone(), summary }
}

fn unavailability(partition: &crate::world::Partition) -> Unavailability {
    Unavailability {
        partition: partition.id,
        leaderless_spells: partition.leaderless.spells,
        leaderless_longest: partition.leaderless.longest,
        leaderless_total: partition.leaderless.total,
        write_gap_longest: partition.writes.longest,
        write_gap_total: partition.writes.interrupted,
    }
}

/// A name, what was seen in words, and the issue that is known for it.
type Breach = (&'static str, String, Option<&'static str>);

/// The causes of anomalies whose promise was broken.
fn broken_promises(causes: &[CauseCount]) -> impl Iterator<Item = Breach> {
    causes.iter().filter_map(|of| {
        let known = match of.promise {
            Promise::Kept => return None,
            Promise::KnownViolation(issue) => Some(issue),
            Promise::Broken => None,
        };
        let count = names::counted(of.count, "record");
        let text = format!("{count} {}: {}", of.kind.name(), of.cause.sentence());
        Some((of.cause.name(), text, known))
    })
}

/// Transactions that nobody ends: not those that were under way when the run was broken off.
fn hanging(evidences: &Evidences<'_>) -> Vec<Breach> {
    let Evidences { header, world, visibility, groups, .. } = evidences;
    let is_left = |of: &&Hanging| !groups.transactions.is_under_way(of.producer);
    let all = visibility.hanging.iter().filter(is_left).map(|of| {
        let partition = &world.partitions[of.partition];
        let name = names::partition(header, partition.id);
        let text = format!(
            "{name}: a transaction of producer id {} is open since offset {} and nothing ends it; \
             read_committed consumers stop there",
            of.producer, of.since
        );
        let is_late = !world.rules.has(ProtocolRule::VerifyTransactionalWrites);
        let was_at_risk = partition.had_unclean_election || partition.has_lost_tail;
        let known = match (was_at_risk, is_late) {
            (true, _) => Some("KAFKA-20716"),
            (false, true) => Some("KIP-890"),
            (false, false) => None,
        };
        ("hanging_transaction", text, known)
    });
    all.collect()
}

/// By kind and application, the most frequent cause first.
fn count_causes(header: &RunHeader, anomalies: &[Anomaly]) -> Vec<CauseCount> {
    type Key = (AnomalyKind, Option<GroupIndex>, Cause, Promise);
    let mut counts: BTreeMap<Key, (u64, ProducerIndex)> = BTreeMap::new();
    for of in anomalies {
        let first = (0, of.record.producer);
        counts.entry((of.kind, of.group, of.cause, of.promise)).or_insert(first).0 += 1;
    }
    let counted = counts.into_iter().map(|((kind, group, cause, promise), (count, producer))| {
        let acks = header.producers.get(producer.0 as usize).map(|producer| producer.acks);
        let why_kept = match promise {
            Promise::Kept => acks.map_or("", |acks| cause.why_kept(acks)),
            Promise::KnownViolation(_) | Promise::Broken => "",
        };
        CauseCount { kind, group, cause, promise, why_kept, count }
    });
    let mut counted: Vec<CauseCount> = counted.collect();
    counted
        .sort_by_key(|of| (of.kind, of.group, std::cmp::Reverse(of.count), of.cause, of.promise));
    counted
}
