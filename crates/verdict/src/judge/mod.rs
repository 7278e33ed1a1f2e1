//! The judge: a fold over the facts, then the verdict.
//!
//! [`Judge::observe`](Observer::observe) is the table of contents: which fact changes what. The
//! cluster's model and its invariants are in [`world`](crate::world) and
//! [`invariants`](crate::invariants), groups in [`groups`](crate::groups), the end in
//! [`fates`](crate::fates).

mod finish;
mod readers;

pub use finish::Concluded;

use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{Offset, RecordId, TopicPartition};
use acklab_vocab::record::{Record, RecordBatch};
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::{
    Observer, PartitionChangeReason, RunHeader, SendOutcome, Stamped, TraceEvent,
};
use std::hash::Hash;
use std::sync::Arc;

use crate::counts::ReaderCounts;
use crate::digest::StableHasher;
use crate::exceptions::Tally;
use crate::groups::Groups;
use crate::history::{Note, NoteKind, Notes};
use crate::invariants::{Place, controller_epochs};
use crate::latency::Latency;
use crate::record_fates::RecordFates;
use crate::records::{NO_PARTITION, RecordTable};
use crate::timeline::Timeline;
use crate::transactions::Sent;
use crate::verdict::Verdict;
use crate::world::{AppendId, RemovalKind, World};

/// Judges a run from its facts alone.
#[derive(Debug, Default)]
pub struct Judge {
    state: Option<State>,
    digest: StableHasher,
    keeps_reads: bool,
}

#[derive(Debug)]
struct State {
    header: RunHeader,
    world: World,
    groups: Groups,
    records: RecordTable,
    notes: Notes,
    produce: Latency,
    end_to_end: Latency,
    readers: Vec<Reader>,
    timeline: Timeline,
    exceptions: Tally,
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
            groups: Groups::new(header, &world),
            world,
            records: RecordTable::new(header.producers.len()),
            notes: Notes::default(),
            produce: Latency::default(),
            end_to_end: Latency::default(),
            readers: vec![reader; header.readers.len()],
            timeline: Timeline::default(),
            exceptions: Tally::default(),
            workload_ended: None,
            sim_end: SimTime::ZERO,
        });
        if let Some(state) = self.state.as_mut().filter(|_| self.keeps_reads) {
            state.end_to_end.keep_samples();
        }
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

    /// Keeps how long each single read took, for [`Concluded::reads`].
    #[must_use]
    pub fn keeping_reads(mut self) -> Self {
        self.keeps_reads = true;
        self
    }

    /// The cluster as the facts so far tell; `None` before the run has begun.
    #[must_use]
    pub fn world(&self) -> Option<&World> {
        self.state.as_ref().map(|state| &state.world)
    }

    /// The consumer groups as the facts so far tell; `None` before the run has begun.
    #[must_use]
    pub fn groups(&self) -> Option<&Groups> {
        self.state.as_ref().map(|state| &state.groups)
    }

    /// The verdict. The run must have begun.
    #[must_use]
    pub fn finish(self) -> Verdict {
        let trajectory = self.digest.hex();
        self.state.expect("a trace begins with its header").finish(trajectory, false, |_| ()).0
    }

    /// The verdict. `look` sees what it is made of, every single record, before that is dropped.
    /// The run must have begun.
    #[must_use]
    pub fn finish_with(self, look: impl FnOnce(&Concluded<'_>)) -> Verdict {
        let trajectory = self.digest.hex();
        self.state.expect("a trace begins with its header").finish(trajectory, false, look).0
    }

    /// The verdict and the fate of every single record. The run must have begun.
    #[must_use]
    pub fn finish_with_fates(self) -> (Verdict, RecordFates) {
        let trajectory = self.digest.hex();
        let state = self.state.expect("a trace begins with its header");
        let (verdict, fates) = state.finish(trajectory, true, |_| ());
        (verdict, fates.unwrap_or_default())
    }
}

impl State {
    fn observe(&mut self, stamped: &Stamped) {
        self.world.settle_sessions(Some(stamped.cause));
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
            TraceEvent::TransactionStateChanged { .. }
            | TraceEvent::TransactionBegun { .. }
            | TraceEvent::TransactionEnded { .. } => self.observe_transaction(stamped),
            TraceEvent::CoordinatorLoaded { .. }
            | TraceEvent::CoordinatorUnloaded { .. }
            | TraceEvent::GroupStateChanged { .. }
            | TraceEvent::RebalanceStarted { .. }
            | TraceEvent::MemberJoined { .. }
            | TraceEvent::MemberRemoved { .. }
            | TraceEvent::GenerationStarted { .. }
            | TraceEvent::Assigned { .. }
            | TraceEvent::CommitAnswered { .. }
            | TraceEvent::OffsetsCommitted { .. }
            | TraceEvent::OffsetsRemoved { .. }
            | TraceEvent::PartitionsAssigned { .. }
            | TraceEvent::PartitionsRevoked { .. }
            | TraceEvent::LeftGroup { .. }
            | TraceEvent::MembershipLost { .. }
            | TraceEvent::PositionFromCommitted { .. }
            | TraceEvent::CommitSent { .. }
            | TraceEvent::CommitCompleted { .. }
            | TraceEvent::RecordsProcessed { .. }
            | TraceEvent::ApplicationFailed { .. }
            | TraceEvent::HandedOverRecordsDropped { .. }
            | TraceEvent::BalanceAttempted { .. } => {}
            TraceEvent::ZooKeeperLeaderElected { .. }
            | TraceEvent::ZooKeeperSessionOpened { .. }
            | TraceEvent::ZooKeeperSessionEnded { .. }
            | TraceEvent::ZooKeeperStateChanged { .. }
            | TraceEvent::PartitionClaimed { .. }
            | TraceEvent::PartitionReleased { .. } => self.world.on_zookeeper(stamped),
            TraceEvent::ExceptionRaised { .. } => self.exceptions.observe(stamped),
        }
        self.groups.observe(&self.header, &mut self.world, stamped);
    }
}

/// The parts of the table of contents. Each handles the facts that [`State::observe`] hands to it
/// and no others.
impl State {
    fn observe_process(&mut self, stamped: &Stamped) {
        let world = &mut self.world;
        if let TraceEvent::ProcessKilled
        | TraceEvent::PowerLost
        | TraceEvent::ProcessExited { .. } = &stamped.event
        {
            self.groups.transactions.lose(stamped.node);
        }
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
                if *reason == PartitionChangeReason::Created {
                    self.groups.on_partition_created(scene.partition, stamped.at);
                }
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
                if let Some(index) =
                    self.world.index_of(*partition).filter(|_| !error.is_retriable())
                {
                    self.world.partitions[index].accepts(stamped.at, records);
                }
            }
            TraceEvent::Deduplicated { partition, base_offset, records } => {
                self.note(stamped, Some(*partition), NoteKind::Deduplicated, records);
                let Some(scene) = self.world.scene(stamped, *partition) else { return };
                self.world.on_deduplicated(scene, *base_offset, records);
                self.world.partitions[scene.partition].accepts(stamped.at, records);
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
                if self.records.has_none_of(*producer)
                    && let Some(known) = self.header.producers.get(producer.0 as usize)
                {
                    self.world.begins_to_write(known.topic, stamped.at);
                }
                self.records.create(stamped.at, first, *stride, *count);
            }
            TraceEvent::RecordsResent { records } => {
                self.records.resend(records);
                self.note(stamped, None, NoteKind::Resent, records);
            }
            TraceEvent::BatchSent { partition, broker, records, .. } => {
                self.asked(stamped, *partition, records);
                self.note(stamped, Some(*partition), NoteKind::Sent(*broker), records);
            }
            TraceEvent::BatchRetried { partition, reason, records } => {
                self.asked(stamped, *partition, records);
                self.note(stamped, Some(*partition), NoteKind::Retried(*reason), records);
            }
            TraceEvent::RecordsCompleted { partition, outcome, records } => {
                self.completed(stamped, *partition, *outcome, records);
            }
            _ => {}
        }
    }

    /// A producer wants a partition to take a batch.
    fn asked(&mut self, stamped: &Stamped, partition: TopicPartition, records: &[Record]) {
        let Some(index) = self.world.index_of(partition) else { return };
        let Some(first) = records.first().map(|record| record.id) else { return };
        let created = self.records.get(first).map_or(stamped.at, |state| state.created);
        self.world.partitions[index].writes.asked(stamped.at, first, created);
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
        let failed = matches!(outcome, SendOutcome::Failed(_));
        let first = records.first().and_then(|first| Some((first.id, self.records.get(first.id)?)));
        if let (Some((first, state)), Some(of)) =
            (first, self.world.partitions.get_mut(index as usize))
        {
            let is_given_up = failed && state.append == AppendId::NONE;
            of.writes.completed(stamped.at, first, is_given_up.then_some(state.created));
        }
        let producer = records.first().map(|record| usize::from(record.id.producer.0));
        let producer = producer.and_then(|producer| self.header.producers.get(producer));
        if producer.is_some_and(|producer| producer.transactional) {
            let sent = Sent { records: Arc::clone(records), partition: index, failed };
            if self.groups.transactions.sent(stamped.node, sent) && !failed {
                return;
            }
        }
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
}
