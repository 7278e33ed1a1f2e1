//! The judge: a fold over the facts, then the verdict.
//!
//! [`Judge::observe`](Observer::observe) is the table of contents: which fact changes what. The
//! cluster's model and its invariants are in [`world`](crate::world) and
//! [`invariants`](crate::invariants), the end in [`fates`](crate::fates).

use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{Offset, ProducerIndex, RecordId, TopicPartition};
use acklab_vocab::record::{Record, RecordBatch};
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::{Observer, RunHeader, SendOutcome, Stamped, TraceEvent};
use std::collections::BTreeMap;
use std::hash::Hash;
use std::sync::Arc;

use crate::cause::{Anomaly, AnomalyKind, Cause, Promise};
use crate::counts::ReaderCounts;
use crate::digest::{Digests, StableHasher};
use crate::fates::{self, Evidences};
use crate::history::{Note, NoteKind, Notes};
use crate::invariants::{Place, controller_epochs};
use crate::latency::Latency;
use crate::names;
use crate::records::{NO_PARTITION, RecordTable};
use crate::timeline::Timeline;
use crate::verdict::{ANOMALIES_KEPT, CauseCount, LatencyResult, Unavailability, Verdict};
use crate::world::{AppendId, RemovalKind, World};

/// Judges a run from its facts alone.
#[derive(Debug, Default)]
pub struct Judge {
    state: Option<State>,
    digest: StableHasher,
}

#[derive(Debug)]
struct State {
    header: RunHeader,
    world: World,
    records: RecordTable,
    notes: Notes,
    produce: Latency,
    end_to_end: Latency,
    readers: Vec<Reader>,
    timeline: Timeline,
    workload_ended: Option<SimTime>,
    sim_end: SimTime,
}

#[derive(Clone, Debug, Default)]
struct Reader {
    counts: ReaderCounts,
    /// By partition: the highest position that it has reached.
    reached: Vec<Offset>,
}

impl Observer for Judge {
    fn begin(&mut self, header: &RunHeader) {
        let world = World::new(header);
        let partitions = world.partitions.len();
        let reader = Reader { reached: vec![Offset(0); partitions], ..Reader::default() };
        self.state = Some(State {
            header: header.clone(),
            world,
            records: RecordTable::new(header.producers.len()),
            notes: Notes::default(),
            produce: Latency::default(),
            end_to_end: Latency::default(),
            readers: vec![reader; header.readers.len()],
            timeline: Timeline::default(),
            workload_ended: None,
            sim_end: SimTime::ZERO,
        });
    }

    fn observe(&mut self, stamped: &Stamped) {
        stamped.hash(&mut self.digest);
        let state = self.state.as_mut().expect("a trace begins with its header");
        state.timeline.observe(&state.header, &state.world, stamped);
        state.observe(stamped);
        state.sim_end = state.sim_end.max(stamped.at);
    }
}

impl Judge {
    /// A judge who has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Judge::default()
    }

    /// The verdict. The run must have begun.
    #[must_use]
    pub fn finish(self) -> Verdict {
        let trajectory = self.digest.hex();
        self.state.expect("a trace begins with its header").finish(trajectory)
    }
}

impl State {
    fn observe(&mut self, stamped: &Stamped) {
        match &stamped.event {
            TraceEvent::ClusterSettled | TraceEvent::RunEnded => {}
            TraceEvent::WorkloadEnded => self.workload_ended = Some(stamped.at),
            TraceEvent::FaultBegan { .. } | TraceEvent::FaultEnded { .. } => {}
            TraceEvent::ProcessStarted { .. }
            | TraceEvent::ProcessKilled
            | TraceEvent::PowerLost
            | TraceEvent::ProcessExited { .. }
            | TraceEvent::ProcessPaused
            | TraceEvent::ProcessResumed { .. } => self.observe_process(stamped),
            TraceEvent::ControllerElected { .. }
            | TraceEvent::ControllerResigned { .. }
            | TraceEvent::BrokerRegistered { .. }
            | TraceEvent::BrokerFenced { .. }
            | TraceEvent::BrokerUnfenced { .. }
            | TraceEvent::PartitionChanged { .. }
            | TraceEvent::BrokerStateChanged { .. } => self.observe_controller(stamped),
            TraceEvent::UnflushedTailLost { .. }
            | TraceEvent::BecameLeader { .. }
            | TraceEvent::BecameFollower { .. }
            | TraceEvent::Appended { .. }
            | TraceEvent::Replicated { .. }
            | TraceEvent::FollowerFetched { .. }
            | TraceEvent::HighWatermarkAdvanced { .. }
            | TraceEvent::HighWatermarkLowered { .. }
            | TraceEvent::LogTruncated { .. }
            | TraceEvent::IsrProposed { .. }
            | TraceEvent::IsrCommitted { .. }
            | TraceEvent::IsrProposalRefused { .. }
            | TraceEvent::LogRecovered { .. } => self.observe_replica(stamped),
            TraceEvent::AppendRefused { .. }
            | TraceEvent::Deduplicated { .. }
            | TraceEvent::ProduceAnswered { .. } => self.observe_produce(stamped),
            TraceEvent::RecordsCreated { .. }
            | TraceEvent::RecordsResent { .. }
            | TraceEvent::BatchSent { .. }
            | TraceEvent::BatchRetried { .. }
            | TraceEvent::RecordsCompleted { .. }
            | TraceEvent::ProducerIdAssigned { .. } => self.observe_producer(stamped),
            TraceEvent::RecordsRead { .. }
            | TraceEvent::PositionReset { .. }
            | TraceEvent::ReaderStopped { .. } => self.observe_reader(stamped),
            // To come: groups and transactions.
            _ => {}
        }
    }
}

/// The parts of the table of contents. Each handles the facts that [`State::observe`] hands to it
/// and no others.
impl State {
    fn observe_process(&mut self, stamped: &Stamped) {
        let world = &mut self.world;
        match &stamped.event {
            TraceEvent::ProcessStarted { .. } => world.on_started(stamped),
            TraceEvent::ProcessKilled => world.on_ended(stamped, false),
            TraceEvent::PowerLost => world.on_power_lost(stamped),
            TraceEvent::ProcessExited { clean } => world.on_ended(stamped, *clean),
            TraceEvent::ProcessPaused => world.on_paused(stamped, true),
            TraceEvent::ProcessResumed { .. } => world.on_paused(stamped, false),
            _ => {}
        }
    }

    fn observe_controller(&mut self, stamped: &Stamped) {
        match &stamped.event {
            TraceEvent::ControllerElected { controller, epoch } => {
                let world = &mut self.world;
                let place = Place { at: stamped.at, node: stamped.node };
                let second = controller_epochs::check(&world.controllers, *epoch, *controller);
                if let Some(text) = second {
                    world.breaches.report_cluster(&controller_epochs::INVARIANT, place, text);
                }
                world.controllers.push((*epoch, *controller));
            }
            TraceEvent::BrokerRegistered { broker, .. } => {
                self.world.on_broker_changed(*broker, true, true);
            }
            TraceEvent::BrokerFenced { broker } => {
                self.world.on_broker_changed(*broker, true, false);
            }
            TraceEvent::BrokerUnfenced { broker } => {
                self.world.on_broker_changed(*broker, false, false);
            }
            TraceEvent::PartitionChanged { state, reason } => {
                let Some(scene) = self.world.scene(stamped, state.partition) else { return };
                self.world.on_partition_changed(scene, state, *reason);
            }
            _ => {}
        }
    }

    fn observe_replica(&mut self, stamped: &Stamped) {
        match &stamped.event {
            TraceEvent::Appended { partition, batch } => {
                self.appended(stamped, *partition, batch);
            }
            TraceEvent::Replicated { partition, batch } => {
                let Some(scene) = self.world.scene(stamped, *partition) else { return };
                self.world.on_replicated(scene, batch);
            }
            TraceEvent::FollowerFetched { partition, follower, leader_epoch, log_end_offset } => {
                let Some(scene) = self.world.scene(stamped, *partition) else { return };
                self.world.on_follower_fetched(scene, *follower, *leader_epoch, *log_end_offset);
            }
            TraceEvent::HighWatermarkAdvanced {
                partition,
                leader_epoch,
                high_watermark,
                leader,
            } => {
                let Some(scene) = self.world.scene(stamped, *partition) else { return };
                let epoch = Some(*leader_epoch);
                self.world.on_high_watermark(scene, epoch, *high_watermark, *leader);
            }
            TraceEvent::HighWatermarkLowered { partition, high_watermark } => {
                let Some(scene) = self.world.scene(stamped, *partition) else { return };
                self.world.on_high_watermark(scene, None, *high_watermark, false);
            }
            _ => self.observe_role(stamped),
        }
    }

    fn observe_role(&mut self, stamped: &Stamped) {
        let world = &mut self.world;
        match &stamped.event {
            TraceEvent::BecameLeader {
                partition,
                leader_epoch,
                log_end_offset,
                high_watermark,
            } => {
                let Some(scene) = world.scene(stamped, *partition) else { return };
                world.on_became_leader(scene, *leader_epoch, *log_end_offset, *high_watermark);
            }
            TraceEvent::BecameFollower { partition, leader_epoch, .. } => {
                let Some(scene) = world.scene(stamped, *partition) else { return };
                world.on_became_follower(scene, *leader_epoch);
            }
            TraceEvent::LogTruncated { partition, to, reason, .. } => {
                let Some(scene) = world.scene(stamped, *partition) else { return };
                world.on_cut(scene, *to, RemovalKind::Truncated(*reason));
            }
            TraceEvent::UnflushedTailLost { partition, from, .. } => {
                let Some(scene) = world.scene(stamped, *partition) else { return };
                world.on_cut(scene, *from, RemovalKind::PowerLoss);
            }
            TraceEvent::LogRecovered { partition, log_end_offset, high_watermark, .. } => {
                let Some(scene) = world.scene(stamped, *partition) else { return };
                world.on_recovered(scene, *log_end_offset, *high_watermark);
            }
            TraceEvent::IsrProposed { partition, isr, proposed, .. } => {
                let Some(scene) = world.scene(stamped, *partition) else { return };
                world.on_isr_proposed(scene, isr, proposed);
            }
            TraceEvent::IsrCommitted { partition, isr, .. } => {
                let Some(scene) = world.scene(stamped, *partition) else { return };
                world.on_isr_settled(scene, Some(isr));
            }
            TraceEvent::IsrProposalRefused { partition, .. } => {
                let Some(scene) = world.scene(stamped, *partition) else { return };
                world.on_isr_settled(scene, None);
            }
            _ => {}
        }
    }

    fn appended(&mut self, stamped: &Stamped, partition: TopicPartition, batch: &Arc<RecordBatch>) {
        let Some(scene) = self.world.scene(stamped, partition) else { return };
        let records = batch.records();
        let earlier = self.append_of(records);
        let id = self.world.on_appended(scene, batch, earlier);
        self.records.appended(records, scene.partition as u32, id);
    }

    /// The last append of a batch's first record.
    fn append_of(&self, records: &[Record]) -> AppendId {
        let first = records.first().and_then(|record| self.records.get(record.id));
        first.map_or(AppendId::NONE, |state| state.append)
    }

    fn observe_produce(&mut self, stamped: &Stamped) {
        match &stamped.event {
            TraceEvent::AppendRefused { partition, error, records } => {
                self.note(stamped, Some(*partition), NoteKind::Refused(*error), records);
            }
            TraceEvent::Deduplicated { partition, base_offset, records } => {
                self.note(stamped, Some(*partition), NoteKind::Deduplicated, records);
                let Some(scene) = self.world.scene(stamped, *partition) else { return };
                self.world.on_deduplicated(scene, *base_offset, records);
            }
            TraceEvent::ProduceAnswered { partition, acks, error, base_offset, records } => {
                if *error != ErrorCode::None {
                    self.note(stamped, Some(*partition), NoteKind::Answered(*error), records);
                    return;
                }
                let Some(scene) = self.world.scene(stamped, *partition) else { return };
                let append = self.append_of(records);
                self.world.on_answered(scene, *acks, *base_offset, records, append);
            }
            _ => {}
        }
    }

    fn observe_producer(&mut self, stamped: &Stamped) {
        match &stamped.event {
            TraceEvent::RecordsCreated { producer, first, stride, count } => {
                let first = RecordId { producer: *producer, sequence: *first };
                self.records.create(stamped.at, first, *stride, *count);
            }
            TraceEvent::RecordsResent { records } => {
                self.records.resend(records);
                self.note(stamped, None, NoteKind::Resent, records);
            }
            TraceEvent::BatchSent { partition, broker, records, .. } => {
                self.note(stamped, Some(*partition), NoteKind::Sent(*broker), records);
            }
            TraceEvent::BatchRetried { partition, reason, records } => {
                self.note(stamped, Some(*partition), NoteKind::Retried(*reason), records);
            }
            TraceEvent::RecordsCompleted { partition, outcome, records } => {
                self.completed(stamped, *partition, *outcome, records);
            }
            _ => {}
        }
    }

    fn completed(
        &mut self,
        stamped: &Stamped,
        partition: Option<TopicPartition>,
        outcome: SendOutcome,
        records: &Arc<[Record]>,
    ) {
        let index = partition.and_then(|partition| self.world.index_of(partition));
        let index = index.map_or(NO_PARTITION, |index| index as u32);
        match outcome {
            SendOutcome::Acked(_) => {
                let produce = &mut self.produce;
                let first = |created| produce.record(created, stamped.at);
                self.records.acked(stamped.at, records, index, first);
            }
            SendOutcome::Failed(error) => {
                self.records.failed(stamped.at, records, index);
                self.note(stamped, partition, NoteKind::Failed(error), records);
            }
        }
    }

    fn note(
        &mut self,
        stamped: &Stamped,
        partition: Option<TopicPartition>,
        kind: NoteKind,
        records: &Arc<[Record]>,
    ) {
        let index = partition.and_then(|partition| self.world.index_of(partition));
        let partition = index.map_or(NO_PARTITION, |index| index as u32);
        let (at, node, records) = (stamped.at, stamped.node, Arc::clone(records));
        self.notes.push(Note { at, partition, node, kind, records });
    }

    fn observe_reader(&mut self, stamped: &Stamped) {
        let node = self.header.nodes.get(stamped.node.0 as usize);
        let Some(index) = node.and_then(|node| node.reader) else { return };
        match &stamped.event {
            TraceEvent::RecordsRead { partition, from, batch } => {
                if let Some(scene) = self.world.scene(stamped, *partition) {
                    self.world.on_read(scene, batch.next_offset());
                }
                self.read(stamped.at, index as usize, *partition, *from, batch);
            }
            TraceEvent::PositionReset { truncated, .. } => {
                let Some(reader) = self.readers.get_mut(index as usize) else { return };
                reader.counts.resets += u64::from(!truncated);
                reader.counts.truncations += u64::from(*truncated);
            }
            TraceEvent::ReaderStopped { .. } => {
                let Some(reader) = self.readers.get_mut(index as usize) else { return };
                reader.counts.stopped += 1;
            }
            _ => {}
        }
    }

    fn read(
        &mut self,
        at: SimTime,
        reader: usize,
        partition: TopicPartition,
        from: Offset,
        batch: &RecordBatch,
    ) {
        let Some(partition) = self.world.index_of(partition) else { return };
        let Some(reader) = self.readers.get_mut(reader) else { return };
        let reached = &mut reader.reached[partition];
        let skipped = from.distance_from(batch.base_offset) as usize;
        let known = reached.distance_from(batch.base_offset) as usize;
        let records = batch.records();
        let returned = &records[skipped.min(records.len())..];
        let fresh = &records[known.clamp(skipped, records.len().max(skipped)).min(records.len())..];
        reader.counts.read += returned.len() as u64;
        reader.counts.reread += (returned.len() - fresh.len()) as u64;
        for record in fresh {
            if let Some(state) = self.records.get(record.id) {
                self.end_to_end.record(state.created, at);
            }
        }
        *reached = (*reached).max(batch.next_offset());
    }
}

impl State {
    fn finish(mut self, trajectory: String) -> Verdict {
        self.close_open_spells();
        let evidences = Evidences { header: &self.header, world: &self.world, notes: &self.notes };
        let fates = fates::decide(&evidences, &mut self.records);
        let causes = count_causes(&self.header, &fates.anomalies);
        let (header, mut breaches) = (self.header, self.world.breaches);
        for of in &causes {
            let text = format!(
                "{} {}: {}",
                names::counted(of.count, "record"),
                of.kind.name(),
                of.cause.sentence()
            );
            let known = match of.promise {
                Promise::Kept => continue,
                Promise::KnownViolation(issue) => Some(issue),
                Promise::Broken => None,
            };
            breaches.report_anomalies(self.sim_end, of.cause.name(), text, known);
        }
        let place = |partition| names::partition(&header, partition);
        let (violations, known_violations) = breaches.finish(&place);
        let (timeline, cluster) = self.timeline.finish(&header);
        let named = |names: Vec<String>, counts: &[_]| -> BTreeMap<String, _> {
            names.into_iter().zip(counts.iter().copied()).collect()
        };
        let producers = header.producers.iter().map(|producer| producer.name.clone()).collect();
        let topics = header.topics.iter().map(|topic| topic.name.clone()).collect();
        let readers = header.readers.iter().zip(&self.readers);
        let anomalies_total = fates.anomalies.len() as u64;
        Verdict {
            digest: Digests { trajectory, verdict: fates.digest },
            records: fates.records,
            producers: named(producers, &fates.producers),
            topics: named(topics, &fates.topics),
            readers: readers.map(|(of, reader)| (of.name.clone(), reader.counts)).collect(),
            causes,
            anomalies: fates::keep(fates.anomalies, ANOMALIES_KEPT),
            anomalies_total,
            violations,
            known_violations,
            produce_latency: latency(self.produce),
            end_to_end_latency: latency(self.end_to_end),
            unavailability: self.world.partitions.iter().map(unavailability).collect(),
            timeline,
            cluster,
            sim_end: self.sim_end,
            header,
        }
    }

    /// Spells that last until the end count until the end, gaps between writes until the workload
    /// ended.
    fn close_open_spells(&mut self) {
        let workload_ended = self.workload_ended.unwrap_or(self.sim_end);
        for partition in &mut self.world.partitions {
            partition.leaderless.end(self.sim_end);
            let writes = &mut partition.writes;
            if writes.last.is_some_and(|last| last < workload_ended) {
                writes.accepted(workload_ended);
            }
        }
    }
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
        write_gap_longest: partition.writes.longest_gap,
    }
}

/// By kind, the most frequent cause first.
fn count_causes(header: &RunHeader, anomalies: &[Anomaly]) -> Vec<CauseCount> {
    let mut counts: BTreeMap<(AnomalyKind, Cause, Promise), (u64, ProducerIndex)> = BTreeMap::new();
    for of in anomalies {
        let first = (0, of.record.producer);
        counts.entry((of.kind, of.cause, of.promise)).or_insert(first).0 += 1;
    }
    let counted = counts.into_iter().map(|((kind, cause, promise), (count, producer))| {
        let acks = header.producers.get(producer.0 as usize).map(|producer| producer.acks);
        let why_kept = match promise {
            Promise::Kept => acks.map_or("", |acks| cause.why_kept(acks)),
            Promise::KnownViolation(_) | Promise::Broken => "",
        };
        CauseCount { kind, cause, promise, why_kept, count }
    });
    let mut counted: Vec<CauseCount> = counted.collect();
    counted.sort_by_key(|of| (of.kind, std::cmp::Reverse(of.count), of.cause, of.promise));
    counted
}
