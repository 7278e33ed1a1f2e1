//! An observer that follows one run for its page.
//!
//! It holds a judge of its own and, after each fact, looks up in the judge's model of the cluster
//! what the fact has changed: each value that the page shows over time is a [`Track`]. Nothing here
//! needs more than facts, so a written trace would do.

mod groups;
mod lists;
mod zookeeper;

use acklab_verdict::groups::Groups;
use acklab_verdict::world::World;
use acklab_verdict::{Concluded, Judge, Verdict};
use acklab_vocab::ids::{BrokerId, NodeId, TopicPartition};
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::{Observer, PartitionChangeReason, RunHeader, Stamped, TraceEvent};
use std::collections::BTreeMap;
use std::sync::Arc;

pub use groups::STATES;
pub use lists::Lists;
pub use zookeeper::EnsembleTracks;

use super::model::Mark;
use super::state::NOTHING;
use super::track::{Track, micros};
use acklab_verdict::names;

/// What a process is doing, as the value of a [`Track`].
pub const RUNNING: i64 = 0;
/// It stands still.
pub const PAUSED: i64 = 1;
/// Its process has ended.
pub const DOWN: i64 = 2;
/// Its host has no power.
pub const WITHOUT_POWER: i64 = 3;

/// Follows one run.
#[derive(Debug)]
pub struct RunRecorder {
    judge: Judge,
    recording: Recording,
}

/// What was recorded.
#[derive(Debug, Default)]
pub struct Recording {
    /// What ran; `None` if nothing did.
    pub header: Option<RunHeader>,
    /// By [`NodeId`]: running, paused, down; [`NOTHING`] before its first start.
    pub processes: Vec<Track>,
    /// By dense index.
    pub partitions: Vec<PartitionTracks>,
    /// By [`GroupId`](acklab_vocab::ids::GroupId).
    pub groups: Vec<GroupTracks>,
    /// By [`GroupIndex`](acklab_vocab::ids::GroupIndex).
    pub applications: Vec<ApplicationTracks>,
    /// The ZooKeeper ensemble, if there is one.
    pub ensemble: Option<EnsembleTracks>,
    /// Faults, in the order in which they began.
    pub faults: Vec<FaultSpan>,
    /// When the workload ended.
    pub settling_from: Option<u64>,
    /// When the last fact was stated.
    pub end_us: u64,
    /// Lists of brokers or processes that tracks point into.
    pub lists: Lists,
}

/// A partition over time.
#[derive(Debug)]
pub struct PartitionTracks {
    /// Which.
    pub id: TopicPartition,
    /// The leader's broker id as the controller has it, or [`NOTHING`].
    pub leader: Track,
    /// The leader epoch.
    pub epoch: Track,
    /// The ISR as the controller has it: an index into [`Recording::lists`].
    pub isr: Track,
    /// 1 while it has no working leader.
    pub leaderless: Track,
    /// The highest high watermark that a leader has reached.
    pub reached: Track,
    /// Its replicas, by broker.
    pub replicas: Vec<ReplicaTracks>,
    /// Cuts of logs and unclean elections.
    pub marks: Vec<Mark>,
    /// Elections of a leader after time zero.
    pub elections: u64,
}

/// A replica over time.
#[derive(Debug)]
pub struct ReplicaTracks {
    /// Its process.
    pub node: NodeId,
    /// Its broker.
    pub broker: BrokerId,
    /// Offset of its next record.
    pub log_end_offset: Track,
    /// Exclusive; [`NOTHING`] while its process is dead.
    pub high_watermark: Track,
}

/// A group at its coordinator over time.
#[derive(Debug, Default)]
pub struct GroupTracks {
    /// Its state: place in [`STATES`](groups::STATES).
    pub state: Track,
    /// Its generation, or group epoch.
    pub generation: Track,
    /// How many members it has.
    pub members: Track,
    /// The process that coordinates it, or [`NOTHING`].
    pub coordinator: Track,
    /// By dense index of the partition: the committed offset, or [`NOTHING`].
    pub committed: Vec<Track>,
    /// By dense index of the partition, with an ensemble only: whom ZooKeeper names its owner, an
    /// index into [`Recording::lists`].
    pub claims: Vec<Track>,
}

/// A consumer application over time.
#[derive(Debug, Default)]
pub struct ApplicationTracks {
    /// When its first process started.
    pub started: Option<u64>,
    /// Its partitions, ascending by dense index.
    pub readings: Vec<ReadingTracks>,
    /// When its commits were accepted.
    pub commits: Vec<u64>,
    /// Commits that did not become its group's offset.
    pub refused: Vec<Refused>,
    /// By process: commits that were refused and whose failure its consumer has not reported.
    unreported: BTreeMap<NodeId, u32>,
    /// When it processed how many records.
    pub processed: Vec<(u64, u64)>,
}

/// An application's way through a partition over time.
#[derive(Debug)]
pub struct ReadingTracks {
    /// Dense index of the partition.
    pub partition: usize,
    /// Who owns it by its own account: an index into [`Recording::lists`].
    pub owners: Track,
    /// Where the consumer that acted last stands, or [`NOTHING`].
    pub position: Track,
    /// 1 while it has no owner that could work on it.
    pub standstill: Track,
}

/// A commit that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// When.
    pub at_us: u64,
    /// Whose.
    pub node: NodeId,
    /// The coordinator's answer, or Java's exception where it gave none.
    pub error: String,
}

/// A fault in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultSpan {
    /// Its number in the run.
    pub number: u32,
    /// In words.
    pub description: Arc<str>,
    /// When it began.
    pub from_us: u64,
    /// When it ended, if it did.
    pub to_us: Option<u64>,
}

impl Default for RunRecorder {
    fn default() -> Self {
        RunRecorder { judge: Judge::new().keeping_reads(), recording: Recording::default() }
    }
}

impl RunRecorder {
    /// What was recorded, and the verdict; `look` sees every record as [`Judge::finish_with`] has
    /// it. The run must have begun.
    #[must_use]
    pub fn finish(self, look: impl FnOnce(&Recording, &Concluded<'_>)) -> (Recording, Verdict) {
        let RunRecorder { judge, recording } = self;
        let verdict = judge.finish_with(|concluded| look(&recording, concluded));
        (recording, verdict)
    }
}

impl Observer for RunRecorder {
    fn begin(&mut self, header: &RunHeader) {
        self.judge.begin(header);
        let (Some(world), Some(groups)) = (self.judge.world(), self.judge.groups()) else { return };
        self.recording = Recording::new(header, world, groups);
    }

    fn observe(&mut self, stamped: &Stamped) {
        self.judge.observe(stamped);
        let (Some(world), Some(groups)) = (self.judge.world(), self.judge.groups()) else { return };
        self.recording.end_us = self.recording.end_us.max(micros(stamped.at));
        self.recording.observe(world, groups, stamped);
    }
}

impl Recording {
    fn new(header: &RunHeader, world: &World, groups: &Groups) -> Self {
        let applications = groups.applications.iter().map(ApplicationTracks::new);
        let committed =
            || -> Vec<Track> { world.partitions.iter().map(|_| Track::default()).collect() };
        let ensemble = EnsembleTracks::of(header);
        let claims = || ensemble.iter().flat_map(|_| committed()).collect();
        let of_group =
            |_| GroupTracks { committed: committed(), claims: claims(), ..GroupTracks::default() };
        let mut recording = Recording {
            header: Some(header.clone()),
            processes: header.nodes.iter().map(|_| Track::default()).collect(),
            partitions: world.partitions.iter().map(|of| PartitionTracks::new(of.id)).collect(),
            groups: groups.groups.iter().map(of_group).collect(),
            applications: applications.collect(),
            ensemble,
            ..Recording::default()
        };
        recording.processes.iter_mut().for_each(|process| process.set(0, NOTHING));
        recording.look_at_everybody(world, groups, 0);
        recording
    }

    fn observe(&mut self, world: &World, groups: &Groups, stamped: &Stamped) {
        match &stamped.event {
            TraceEvent::ProcessStarted { .. }
            | TraceEvent::ProcessKilled
            | TraceEvent::PowerLost
            | TraceEvent::ProcessExited { .. }
            | TraceEvent::ProcessPaused
            | TraceEvent::ProcessResumed { .. } => self.process(world, groups, stamped),
            TraceEvent::FaultBegan { .. }
            | TraceEvent::FaultEnded { .. }
            | TraceEvent::WorkloadEnded => self.fault(stamped),
            TraceEvent::Appended { partition, .. }
            | TraceEvent::Replicated { partition, .. }
            | TraceEvent::HighWatermarkAdvanced { partition, .. }
            | TraceEvent::HighWatermarkLowered { partition, .. }
            | TraceEvent::LogRecovered { partition, .. }
            | TraceEvent::BecameLeader { partition, .. }
            | TraceEvent::BecameFollower { partition, .. }
            | TraceEvent::LogTruncated { partition, .. }
            | TraceEvent::UnflushedTailLost { partition, .. } => {
                self.replica(world, stamped, *partition);
            }
            TraceEvent::PartitionChanged { state, .. } => {
                let Some(index) = world.index_of(state.partition) else { return };
                self.partition_changed(world, stamped, index);
            }
            TraceEvent::ZooKeeperLeaderElected { .. }
            | TraceEvent::ZooKeeperSessionOpened { .. }
            | TraceEvent::ZooKeeperSessionEnded { .. }
            | TraceEvent::PartitionClaimed { .. }
            | TraceEvent::PartitionReleased { .. }
            | TraceEvent::ControllerElected { .. }
            | TraceEvent::ControllerResigned { .. } => self.observe_zookeeper(world, stamped),
            _ => self.observe_groups(world, groups, stamped),
        }
    }

    fn process(&mut self, world: &World, groups: &Groups, stamped: &Stamped) {
        let at = micros(stamped.at);
        let state = match &stamped.event {
            TraceEvent::ProcessPaused => PAUSED,
            TraceEvent::ProcessKilled | TraceEvent::ProcessExited { .. } => DOWN,
            TraceEvent::PowerLost => WITHOUT_POWER,
            _ => RUNNING,
        };
        if let Some(process) = self.processes.get_mut(usize::from(stamped.node.0)) {
            process.set(at, state);
        }
        if matches!(state, DOWN | WITHOUT_POWER) {
            let replicas = self.partitions.iter_mut().flat_map(|of| &mut of.replicas);
            let own = replicas.filter(|replica| replica.node == stamped.node);
            own.for_each(|replica| replica.high_watermark.set(at, NOTHING));
        }
        self.look_at_everybody(world, groups, at);
    }

    fn look_at_everybody(&mut self, world: &World, groups: &Groups, at: u64) {
        for index in 0..self.partitions.len() {
            self.look_at_partition(world, index, at);
        }
        self.look_at_owners(groups, at);
    }

    fn fault(&mut self, stamped: &Stamped) {
        let at = micros(stamped.at);
        match &stamped.event {
            TraceEvent::FaultBegan { fault, description } => self.faults.push(FaultSpan {
                number: *fault,
                description: Arc::clone(description),
                from_us: at,
                to_us: None,
            }),
            TraceEvent::FaultEnded { fault } => {
                let open = |of: &&mut FaultSpan| of.number == *fault && of.to_us.is_none();
                if let Some(span) = self.faults.iter_mut().rev().find(open) {
                    span.to_us = Some(at);
                }
            }
            TraceEvent::WorkloadEnded => self.settling_from = Some(at),
            _ => {}
        }
    }

    fn partition_changed(&mut self, world: &World, stamped: &Stamped, index: usize) {
        let at = micros(stamped.at);
        let TraceEvent::PartitionChanged { state, reason } = &stamped.event else { return };
        let leader = state.leader.map_or(NOTHING, |leader| i64::from(leader.0));
        let of = &mut self.partitions[index];
        let is_election = leader != NOTHING && of.leader.last() != Some(leader);
        if stamped.at >= SimTime::ZERO && is_election {
            of.elections += u64::from(*reason != PartitionChangeReason::Created);
            if *reason == PartitionChangeReason::UncleanElection {
                let broker = state.leader.map(|leader| leader.0);
                of.marks.push(Mark { at_us: at, broker, text: "unclean election".to_owned() });
            }
        }
        self.look_at_partition(world, index, at);
    }

    fn look_at_partition(&mut self, world: &World, index: usize, at: u64) {
        let (Some(known), Some(of)) = (world.partitions.get(index), self.partitions.get_mut(index))
        else {
            return;
        };
        let leader = known.leader_at_rest().map_or(NOTHING, |leader| i64::from(leader.0));
        of.leader.set(at, leader);
        of.leaderless.set(at, i64::from(known.leaderless.since.is_some()));
        of.reached.set(at, signed(known.reached.0));
        let last = known.tenures.last();
        let epoch = match &known.state {
            Some(state) => Some(state.leader_epoch),
            None => last.map(|tenure| tenure.epoch),
        };
        let isr = match &known.state {
            Some(state) => Some(&state.isr),
            None => last.map(|tenure| &tenure.isr_latest),
        };
        of.epoch.set(at, epoch.map_or(0, |epoch| i64::from(epoch.0)));
        let isr = isr.into_iter().flatten().map(|broker| broker.0).collect();
        of.isr.set(at, self.lists.place_of(isr));
    }

    /// A replica stated something about its log.
    fn replica(&mut self, world: &World, stamped: &Stamped, id: TopicPartition) {
        let at = micros(stamped.at);
        let Some(index) = world.index_of(id) else { return };
        let process = self.processes.get(usize::from(stamped.node.0)).and_then(Track::last);
        let is_alive = matches!(process, Some(RUNNING | PAUSED));
        let known = &world.partitions[index];
        let of = &mut self.partitions[index];
        of.reached.set(at, signed(known.reached.0));
        of.leaderless.set(at, i64::from(known.leaderless.since.is_some()));
        if let Some(replica) = known.replica(stamped.node) {
            let tracks = of.replica_mut(replica.node, replica.broker);
            tracks.log_end_offset.set(at, signed(replica.log_end_offset.0));
            let known = if is_alive { signed(replica.high_watermark.0) } else { NOTHING };
            tracks.high_watermark.set(at, known);
        }
        let (what, from, to) = match &stamped.event {
            TraceEvent::LogTruncated { to, log_end_offset, .. } => ("cut", log_end_offset, to),
            TraceEvent::UnflushedTailLost { from, log_end_offset, .. } => {
                ("lost its unflushed tail", log_end_offset, from)
            }
            _ => return,
        };
        if to < from && stamped.at >= SimTime::ZERO {
            let (from, to) = (names::grouped(from.0), names::grouped(to.0));
            let broker = Some(world.broker_on(stamped.node).0);
            of.marks.push(Mark { at_us: at, broker, text: format!("{what}, {from} to {to}") });
        }
    }
}

impl PartitionTracks {
    fn new(id: TopicPartition) -> Self {
        PartitionTracks {
            id,
            leader: Track::default(),
            epoch: Track::default(),
            isr: Track::default(),
            leaderless: Track::default(),
            reached: Track::default(),
            replicas: Vec::new(),
            marks: Vec::new(),
            elections: 0,
        }
    }

    /// A record was ever written to it.
    #[must_use]
    pub fn holds_something(&self) -> bool {
        let mut points = self.replicas.iter().flat_map(|of| of.log_end_offset.points());
        points.any(|&(_, end)| end > 0)
    }

    fn replica_mut(&mut self, node: NodeId, broker: BrokerId) -> &mut ReplicaTracks {
        let place = self.replicas.partition_point(|of| (of.broker, of.node) < (broker, node));
        if self.replicas.get(place).is_none_or(|of| of.node != node) {
            let (log_end_offset, high_watermark) = (Track::default(), Track::default());
            let tracks = ReplicaTracks { node, broker, log_end_offset, high_watermark };
            self.replicas.insert(place, tracks);
        }
        &mut self.replicas[place]
    }
}

/// An offset as the value of a [`Track`].
fn signed(offset: u64) -> i64 {
    i64::try_from(offset).unwrap_or(i64::MAX)
}

/// An offset that may be missing.
fn or_nothing(offset: Option<acklab_vocab::ids::Offset>) -> i64 {
    offset.map_or(NOTHING, |offset| signed(offset.0))
}
