//! Where batches wait: by partition, and by the broker that leads it (the maps inside
//! `RecordAccumulator`).
//!
//! Kafka walks over all partitions whenever it looks for something to send. The lists here hold
//! only what waits, by broker and by time, so that a look costs as much as there is to send.

use super::batch::BatchId;
use super::partitioner::{TopicCluster, TopicPartitioner, weighted_by_queue};
use crate::rng::NodeRng;
use acklab_vocab::ids::{BrokerId, LeaderEpoch, PartitionIndex, TopicId, TopicPartition};
use acklab_vocab::time::SimTime;
use smallvec::SmallVec;
use std::collections::VecDeque;

/// Where a partition stands among the brokers' lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It has no batch.
    Empty,
    /// It has a batch and no leader.
    Leaderless,
    /// It has a batch for this leader. It makes the broker ready at the instant; never while it is
    /// muted.
    Queued(BrokerId, SimTime),
}

/// One partition.
#[derive(Clone, Debug)]
pub(super) struct PartitionQueue {
    pub partition: TopicPartition,
    pub leader: Option<BrokerId>,
    pub leader_epoch: Option<LeaderEpoch>,
    /// Head first.
    pub deque: VecDeque<BatchId>,
    /// Drained and not answered, oldest first; without those that have expired meanwhile.
    pub in_flight: Vec<BatchId>,
    pub muted: bool,
    /// It has had a batch.
    pub used: bool,
    pub standing: Standing,
}

/// One topic.
#[derive(Clone, Debug)]
pub(super) struct TopicQueues {
    pub topic: TopicId,
    pub cluster: TopicCluster,
    pub partitioner: TopicPartitioner,
    pub partitions: Vec<PartitionQueue>,
}

/// What one broker leads.
#[derive(Clone, Debug)]
pub(super) struct NodeQueues {
    pub broker: BrokerId,
    /// All partitions of known topics that it leads, ascending.
    pub led: Vec<TopicPartition>,
    /// Those with a batch, ascending.
    pub queued: Vec<TopicPartition>,
    /// The same, unless muted, ascending by the time at which they are ready.
    pub ready: Vec<(SimTime, TopicPartition)>,
    /// Place in `led` from which the next drain begins.
    pub drain_index: usize,
}

impl TopicQueues {
    pub fn new(topic: TopicId, partitioner: TopicPartitioner) -> Self {
        let cluster = TopicCluster::default();
        TopicQueues { topic, cluster, partitioner, partitions: Vec::new() }
    }

    /// The topic has `count` partitions; none of them is available yet.
    pub fn learn_partitions(&mut self, count: usize) {
        for index in self.partitions.len()..count {
            let partition = PartitionIndex(index as u16);
            self.partitions.push(PartitionQueue {
                partition: TopicPartition { topic: self.topic, partition },
                leader: None,
                leader_epoch: None,
                deque: VecDeque::new(),
                in_flight: Vec::new(),
                muted: false,
                used: false,
                standing: Standing::Empty,
            });
        }
        self.cluster.count = self.partitions.len() as u16;
        self.cluster.available.clear();
    }

    /// The adaptive choice by queue length, where lengths differ. Queues are weighed only once
    /// every partition has had a batch.
    pub fn weighted_partition(&self, rng: &mut NodeRng) -> Option<PartitionIndex> {
        if self.partitions.len() < 2 || !self.partitions.iter().all(|queue| queue.used) {
            return None;
        }
        let available = self.partitions.iter().filter(|queue| queue.leader.is_some());
        let lengths = available.map(|queue| (queue.partition.partition, queue.deque.len() as u32));
        let lengths: SmallVec<[(PartitionIndex, u32); 16]> = lengths.collect();
        weighted_by_queue(&lengths, lengths.len() == self.partitions.len(), rng)
    }
}

impl NodeQueues {
    pub const fn new(broker: BrokerId) -> Self {
        NodeQueues {
            broker,
            led: Vec::new(),
            queued: Vec::new(),
            ready: Vec::new(),
            drain_index: 0,
        }
    }

    pub fn enter(&mut self, partition: TopicPartition, at: SimTime) {
        if let Err(place) = self.queued.binary_search(&partition) {
            self.queued.insert(place, partition);
        }
        if at < SimTime::NEVER
            && let Err(place) = self.ready.binary_search(&(at, partition))
        {
            self.ready.insert(place, (at, partition));
        }
    }

    pub fn leave(&mut self, partition: TopicPartition, at: SimTime, stays_queued: bool) {
        if let Ok(place) = self.ready.binary_search(&(at, partition)) {
            self.ready.remove(place);
        }
        if !stays_queued && let Ok(place) = self.queued.binary_search(&partition) {
            self.queued.remove(place);
        }
    }

    /// The earliest instant after `now` at which a partition becomes ready.
    pub fn next_ready_after(&self, now: SimTime) -> Option<SimTime> {
        let later = self.ready.partition_point(|&(at, _)| at <= now);
        self.ready.get(later).map(|&(at, _)| at)
    }
}
