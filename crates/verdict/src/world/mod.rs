//! The cluster as its facts tell it: which process lives, which replica holds what, who leads, who
//! was elected why.
//!
//! This is the judge's own model, built from facts alone. It shares no code with the machines, so
//! that a bug in them shows up as a broken invariant instead of being repeated here. Every batch
//! that a leader wrote is one [`Append`], with the batch before it in that leader's log as its
//! parent: all logs of a partition together are paths in one tree, and two logs that share a batch
//! share everything before it (KIP-101's log matching).
//!
//! Left out: retention and compaction (no fact speaks of them), and the controllers' own log.

mod at_rest;
mod facts;
mod membership;
mod partition;
mod replica;
mod transactions;
mod writes;
mod zookeeper;

pub use partition::{Lineage, Partition, Removal, RemovalKind, Tenure};
pub use replica::{EpochSpans, LeaderView, Replica, Role, holds};
pub use zookeeper::{Claim, Ensemble, Session};

use acklab_vocab::config::{BalancedLibrary, GroupLibrary, SequenceRepair};
use acklab_vocab::ids::{
    BrokerId, ControllerEpoch, ControllerId, NodeId, Offset, TopicId, TopicPartition,
};
use acklab_vocab::record::RecordBatch;
use acklab_vocab::rules::ProtocolRules;
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::{GroupHeader, RunHeader};
use acklab_vocab::transaction::TransactionResult;
use std::sync::Arc;

use crate::invariants::Breaches;

/// Index of an [`Append`] in [`World::appends`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppendId(pub u32);

impl AppendId {
    /// No append.
    pub const NONE: AppendId = AppendId(u32::MAX);

    /// As an index.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A batch that a leader wrote.
#[derive(Clone, Debug)]
pub struct Append {
    /// The batch.
    pub batch: Arc<RecordBatch>,
    /// When.
    pub at: SimTime,
    /// When its success was answered, [`SimTime::NEVER`] if it was not.
    pub answered: SimTime,
    /// The batch before it in its leader's log.
    pub parent: AppendId,
    /// The batch that was last written behind it.
    pub child: AppendId,
    /// Dense index of the partition.
    pub partition: u32,
    /// Which process wrote it.
    pub node: NodeId,
    /// No leader wrote it; it turned up in a follower's log.
    pub foreign: bool,
    /// How the marker behind it ended its transaction, if it is in one and one was written.
    pub ended: Option<TransactionResult>,
    /// That marker carried the epoch of the batch itself.
    pub ended_in_own_epoch: bool,
}

/// The life of a process.
#[derive(Clone, Debug, Default)]
pub struct Process {
    /// Its broker, if it is one.
    pub broker: Option<BrokerId>,
    /// It runs or is paused.
    pub alive: bool,
    /// The controller keeps its broker from serving.
    pub fenced: bool,
    /// It has died and not registered again: the controller knows an earlier life of its broker.
    pub unregistered: bool,
    /// Since when it has been paused.
    pub paused_since: Option<SimTime>,
    /// When its lives ended, and whether in an orderly way.
    pub deaths: Vec<(SimTime, bool)>,
    /// When its host lost power.
    pub power_losses: Vec<SimTime>,
    /// When it was paused, from and until.
    pub pauses: Vec<(SimTime, SimTime)>,
}

/// The cluster.
#[derive(Debug)]
pub struct World {
    /// The rules of this run.
    pub rules: ProtocolRules,
    /// By [`NodeId`].
    pub processes: Vec<Process>,
    /// By dense index: the topics' partitions in order.
    pub partitions: Vec<Partition>,
    /// Every batch that was ever written, in the order of the trace.
    pub appends: Vec<Append>,
    /// Who led the metadata quorum, in the order of the trace.
    pub controllers: Vec<(ControllerEpoch, ControllerId)>,
    /// The ZooKeeper ensemble, if the cluster has one.
    pub ensemble: Option<Ensemble>,
    /// At how many offsets in-sync replicas hold other records than their leaders at rest; known at
    /// the end.
    pub diverged: u64,
    /// What should not have been.
    pub breaches: Breaches,
    /// By topic: whether it allows an unclean election.
    pub(crate) unclean_allowed: Vec<bool>,
    /// By [`GroupId`](acklab_vocab::ids::GroupId): its consumers name the znodes of owners after the
    /// leader of the partition (pykafka).
    names_owners_by_leader: Vec<bool>,
    /// By producer index: an older client, which may give a sequence to two batches (KIP-360).
    reuses_sequences: Vec<bool>,
    /// Dense index of each topic's first partition.
    topic_starts: Vec<u32>,
    /// The process of each broker id.
    broker_nodes: Vec<(BrokerId, NodeId)>,
}

impl World {
    /// The cluster of a run, before its first fact.
    #[must_use]
    pub fn new(header: &RunHeader) -> Self {
        let mut partitions = Vec::new();
        let mut topic_starts = Vec::new();
        for (topic, topic_header) in header.topics.iter().enumerate() {
            topic_starts.push(partitions.len() as u32);
            for index in 0..topic_header.partitions {
                partitions.push(Partition::new(TopicPartition::new(topic as u16, index)));
            }
        }
        let nodes = header.nodes.iter().enumerate();
        let broker_nodes =
            nodes.filter_map(|(index, node)| Some((node.broker?, NodeId(index as u16)))).collect();
        let processes = header.nodes.iter();
        let ensemble = Ensemble::of(header);
        World {
            rules: header.rules,
            processes: processes
                .map(|node| Process { broker: node.broker, ..Process::default() })
                .collect(),
            partitions,
            appends: Vec::new(),
            controllers: Vec::new(),
            breaches: Breaches::new(ensemble.is_some()),
            ensemble,
            diverged: 0,
            names_owners_by_leader: names_owners_by_leader(header),
            unclean_allowed: header
                .topics
                .iter()
                .map(|topic| topic.unclean_leader_election)
                .collect(),
            reuses_sequences: header
                .producers
                .iter()
                .map(|producer| producer.sequence_repair == SequenceRepair::CloseGap)
                .collect(),
            topic_starts,
            broker_nodes,
        }
    }

    /// Somebody begins to write to a topic: those of its partitions that have no leader owe writes
    /// from now on. To the others the first attempt shows.
    pub fn begins_to_write(&mut self, topic: TopicId, at: SimTime) {
        let here = self.partitions.iter_mut().filter(|of| of.id.topic == topic);
        here.filter(|of| of.leaderless.since.is_some()).for_each(|of| of.writes.begun(at));
    }

    /// Dense index of a partition, if the header knows it.
    #[must_use]
    pub fn index_of(&self, partition: TopicPartition) -> Option<usize> {
        let start = *self.topic_starts.get(partition.topic.0 as usize)? as usize;
        let index = start + partition.partition.0 as usize;
        let known = self.partitions.get(index)?;
        (known.id == partition).then_some(index)
    }

    /// The process of a broker.
    #[must_use]
    pub fn node_of(&self, broker: BrokerId) -> Option<NodeId> {
        self.broker_nodes.iter().find(|(id, _)| *id == broker).map(|&(_, node)| node)
    }

    /// The broker on a process; 0, which no broker has, where there is none.
    #[must_use]
    pub fn broker_on(&self, node: NodeId) -> BrokerId {
        let process = self.processes.get(node.0 as usize);
        process.and_then(|process| process.broker).unwrap_or_default()
    }

    /// Whether a broker's process ended without an orderly shutdown in `from..=until`.
    #[must_use]
    pub fn died_between(&self, node: NodeId, from: SimTime, until: SimTime) -> bool {
        let Some(process) = self.processes.get(node.0 as usize) else { return false };
        process.deaths.iter().any(|&(at, clean)| !clean && from <= at && at <= until)
    }

    /// Whether a broker's host lost power in `from..=until`.
    #[must_use]
    pub fn lost_power_between(&self, node: NodeId, from: SimTime, until: SimTime) -> bool {
        let Some(process) = self.processes.get(node.0 as usize) else { return false };
        process.power_losses.iter().any(|&at| from <= at && at <= until)
    }

    /// The log of the leader at rest; `None` where a partition has no leader, or one that is down.
    #[must_use]
    pub fn log_at_rest<'a>(&self, partition: &'a Partition) -> Option<&'a Replica> {
        let leader = partition.leader_at_rest()?;
        let replica = partition.replicas.iter().find(|replica| replica.broker == leader)?;
        (!self.is_down(replica.node)).then_some(replica)
    }

    fn is_down(&self, node: NodeId) -> bool {
        let process = self.processes.get(node.0 as usize);
        process.is_some_and(|process| !process.alive && !process.deaths.is_empty())
    }

    /// End of a batch.
    #[must_use]
    pub fn end_of(&self, id: AppendId) -> Offset {
        self.appends.get(id.index()).map_or(Offset(0), |append| append.batch.next_offset())
    }
}

/// By group: whether one of its applications is pykafka's.
fn names_owners_by_leader(header: &RunHeader) -> Vec<bool> {
    let pykafka = GroupLibrary::Balanced(BalancedLibrary::Pykafka);
    let is_of =
        |id: usize, of: &GroupHeader| usize::from(of.group.0) == id && of.library == pykafka;
    let all = 0..header.group_ids.len();
    all.map(|id| header.groups.iter().any(|of| is_of(id, of))).collect()
}
