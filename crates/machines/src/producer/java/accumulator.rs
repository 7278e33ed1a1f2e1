//! Batches on their way out: `RecordAccumulator` and the accounting of `BufferPool`.
//!
//! Each partition has a deque of batches. The first is *ready* when it is full, has lingered long
//! enough, another waits behind it, or memory is short; a retried one when its backoff is over, or
//! its leader has changed (KIP-951). A broker is ready if any of its partitions is; then every one
//! of its partitions that has a batch gives its first, lingering or not.
//!
//! Kafka walks over all partitions each time. Here each broker keeps its partitions with data in
//! order, and by the time at which they become ready; only what changed is looked at. A batch's
//! backoff is drawn once per attempt, not at each look.
//!
//! Before KIP-91 (2.1) a batch expires `request.timeout.ms` after it could have been sent, and
//! never in flight.
//!
//! Left out: the pool's free list (it saves allocation, not memory), compression,
//! `partitioner.availability.timeout.ms`.

use super::batch::{Batch, BatchId, Batches};
use super::partitioner::{StickyPartition, TopicPartitioner, random};
use super::queues::{NodeQueues, PartitionQueue, Standing, TopicQueues};
use super::transaction_manager::TransactionManager;
use crate::client::backoff::ExponentialBackoff;
use crate::client::metadata::Metadata;
use crate::rng::NodeRng;
use acklab_vocab::config::JavaProducerConfig;
use acklab_vocab::ids::{BrokerId, TopicId, TopicPartition};
use acklab_vocab::record::{BATCH_OVERHEAD_BYTES, Record};
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::time::SimTime;
use smallvec::SmallVec;

/// Batches for one request, one per partition.
pub(super) type DrainedBatches = SmallVec<[BatchId; 2]>;

/// What became of a record that was to be appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Append {
    /// It is in a batch.
    Appended,
    /// It needs a new batch, and the partitioner is to be asked first (`abortForNewBatch`).
    NeedsNewBatch,
    /// There is no memory for a new batch.
    NoMemory,
}

/// All batches that are not completed.
#[derive(Clone, Debug)]
pub(super) struct RecordAccumulator {
    pub config: JavaProducerConfig,
    retry_backoff: ExponentialBackoff,
    skips_backoff_on_new_leader: bool,
    pub batches: Batches,
    /// Ascending.
    pub topics: Vec<TopicQueues>,
    /// Ascending.
    nodes: Vec<NodeQueues>,
    metadata_version: u64,
    /// Partitions with a batch and no leader.
    leaderless: usize,
    /// Partitions with a batch and a leader.
    queued: usize,
    /// Batches that the application waits for.
    pub incomplete: usize,
    /// Bytes of `buffer.memory` that are free.
    pub available_memory: u64,
    /// The application's thread waits for memory or for the end of its transaction, or the producer
    /// is being closed: nothing lingers.
    pub flushing: bool,
    /// The instant of the input that is being handled.
    pub now: SimTime,
    /// No later than the earliest instant, after the last look, at which a partition becomes ready.
    next_ready: SimTime,
    /// No later than the earliest instant at which a batch expires.
    pub next_expiry: SimTime,
    /// Where the last record was appended.
    pub last_partition: TopicPartition,
}

impl RecordAccumulator {
    pub fn new(config: &JavaProducerConfig) -> Self {
        let rules = config.client.rules;
        RecordAccumulator {
            config: config.clone(),
            retry_backoff: ExponentialBackoff::of_retries(&config.client),
            skips_backoff_on_new_leader: rules.has(ProtocolRule::LeaderInErrorResponse),
            batches: Batches::default(),
            topics: Vec::new(),
            nodes: Vec::new(),
            metadata_version: u64::MAX,
            leaderless: 0,
            queued: 0,
            incomplete: 0,
            available_memory: config.buffer_memory,
            flushing: false,
            now: SimTime(i64::MIN),
            next_ready: SimTime::NEVER,
            next_expiry: SimTime::NEVER,
            last_partition: TopicPartition::default(),
        }
    }

    /// Takes over leaders and partition counts if the metadata has changed.
    pub fn sync(&mut self, metadata: &Metadata) {
        if self.metadata_version == metadata.version() {
            return;
        }
        self.metadata_version = metadata.version();
        for node in &mut self.nodes {
            node.led.clear();
        }
        for topic in metadata.topics() {
            let known = metadata.partitions(topic);
            let index = match self.topics.binary_search_by_key(&topic, |known| known.topic) {
                Ok(index) => index,
                Err(_) if known.is_none() => continue,
                Err(index) => {
                    let partitioner = TopicPartitioner::new(&self.config);
                    self.topics.insert(index, TopicQueues::new(topic, partitioner));
                    index
                }
            };
            let known = known.unwrap_or_default();
            self.topics[index].learn_partitions(known.len());
            for place in 0..self.topics[index].partitions.len() {
                let leadership = known.get(place).copied().unwrap_or_default();
                let queue = &mut self.topics[index].partitions[place];
                let partition = queue.partition;
                queue.leader = leadership.leader;
                queue.leader_epoch = leadership.leader_epoch;
                if let Some(leader) = leadership.leader {
                    let node = self.node(leader);
                    self.nodes[node].led.push(partition);
                    let available = &mut self.topics[index].cluster.available;
                    available.push(partition.partition);
                }
                self.update_standing(partition);
            }
        }
    }

    pub fn topic(&mut self, topic: TopicId) -> &mut TopicQueues {
        let index = self.topics.binary_search_by_key(&topic, |known| known.topic);
        &mut self.topics[index.expect("records are placed in topics that are known")]
    }

    pub fn queue(&mut self, partition: TopicPartition) -> &mut PartitionQueue {
        &mut self.topic(partition.topic).partitions[usize::from(partition.partition.0)]
    }

    /// Whether a partition with a batch has no leader.
    pub const fn has_leaderless(&self) -> bool {
        self.leaderless > 0
    }

    /// Appends to the partition's last batch, or to a new one (`append`). `upper_bound`: bytes that
    /// a batch of only this record might take.
    pub fn append(
        &mut self,
        partition: TopicPartition,
        record: Record,
        upper_bound: u32,
        aborts_on_new_batch: bool,
    ) -> Append {
        let now = self.now;
        self.last_partition = partition;
        let last = self.queue(partition).deque.back().copied();
        if let Some(last) = last {
            let batch = &mut self.batches[last];
            let was_full = batch.is_full();
            if batch.try_append(record, now) {
                if batch.is_full() {
                    self.update_standing(partition);
                }
                return Append::Appended;
            }
            batch.close_for_appends();
            if !was_full {
                self.update_standing(partition);
            }
        }
        if aborts_on_new_batch {
            return Append::NeedsNewBatch;
        }
        let capacity = self.config.batch_size.max(upper_bound);
        if u64::from(capacity) > self.available_memory {
            return Append::NoMemory;
        }
        self.available_memory -= u64::from(capacity);
        self.incomplete += 1;
        let id = self.batches.open(partition, capacity, now);
        let appended = self.batches[id].try_append(record, now);
        assert!(appended, "the first record of a batch always fits");
        self.next_expiry = self.next_expiry.min(self.expires_at(&self.batches[id], false));
        let queue = self.queue(partition);
        queue.used = true;
        queue.deque.push_back(id);
        self.update_standing(partition);
        Append::Appended
    }

    /// Whether the partition's last batch takes no more, or there is none (`allBatchesFull`).
    fn all_batches_full(&mut self, partition: TopicPartition) -> bool {
        let last = self.queue(partition).deque.back().copied();
        last.is_none_or(|last| self.batches[last].is_full())
    }

    /// Appends where the built-in partitioner sticks; it moves on after `batch.size` bytes, once
    /// the batch there is complete, or after twice as many at once (KIP-794).
    pub fn append_sticky(
        &mut self,
        topic: TopicId,
        record: Record,
        upper_bound: u32,
        rng: &mut NodeRng,
    ) -> Append {
        let mut sticky = self.sticky_partition(topic, rng);
        let mut partition = TopicPartition { topic, partition: sticky.partition };
        if sticky.produced_bytes >= self.config.batch_size && self.all_batches_full(partition) {
            sticky = self.next_partition(topic, rng);
            partition.partition = sticky.partition;
        }
        let queued = self.queue(partition).deque.len();
        let outcome = self.append(partition, record, upper_bound, false);
        if outcome == Append::Appended {
            let opened = self.queue(partition).deque.len() > queued;
            let bytes = record.size + if opened { BATCH_OVERHEAD_BYTES } else { 0 };
            sticky.produced_bytes = sticky.produced_bytes.saturating_add(bytes);
            let limit = self.config.batch_size;
            let moves = (sticky.produced_bytes >= limit && self.all_batches_full(partition))
                || sticky.produced_bytes >= limit.saturating_mul(2);
            if moves {
                self.next_partition(topic, rng);
            } else {
                self.stick_to(topic, sticky);
            }
        }
        outcome
    }

    fn sticky_partition(&mut self, topic: TopicId, rng: &mut NodeRng) -> StickyPartition {
        match self.topic(topic).partitioner {
            TopicPartitioner::BuiltIn { current: Some(current), .. } => current,
            TopicPartitioner::BuiltIn { current: None, .. }
            | TopicPartitioner::KeyOrRoundRobin { .. }
            | TopicPartitioner::RoundRobin { .. }
            | TopicPartitioner::Sticky { .. }
            | TopicPartitioner::KeyOrRandom { .. } => self.next_partition(topic, rng),
        }
    }

    /// Chooses the next partition to stick to (`BuiltInPartitioner.nextPartition`).
    fn next_partition(&mut self, topic: TopicId, rng: &mut NodeRng) -> StickyPartition {
        let adaptive = self.config.adaptive_partitioning;
        let queues = self.topic(topic);
        let weighted = if adaptive { queues.weighted_partition(rng) } else { None };
        let partition = weighted.unwrap_or_else(|| random(&queues.cluster, rng));
        let next = StickyPartition { partition, produced_bytes: 0 };
        self.stick_to(topic, next);
        next
    }

    fn stick_to(&mut self, topic: TopicId, sticky: StickyPartition) {
        if let TopicPartitioner::BuiltIn { current, .. } = &mut self.topic(topic).partitioner {
            *current = Some(sticky);
        }
    }

    /// Brokers that have something to be sent now, ascending (`ready`).
    pub fn ready_nodes(&self) -> SmallVec<[BrokerId; 4]> {
        if self.queued == 0 {
            return SmallVec::new();
        }
        let ready = self.nodes.iter().filter(|node| self.is_ready(node));
        ready.map(|node| node.broker).collect()
    }

    fn is_ready(&self, node: &NodeQueues) -> bool {
        if node.ready.first().is_some_and(|&(at, _)| at <= self.now) {
            return true;
        }
        self.flushing
            && node.ready.iter().any(|&(_, partition)| {
                let head = self.head(partition);
                head.is_some_and(|head| !self.backs_off(&self.batches[head]))
            })
    }

    fn head(&self, partition: TopicPartition) -> Option<BatchId> {
        let topic = self.topics.binary_search_by_key(&partition.topic, |known| known.topic).ok()?;
        let queue = &self.topics[topic].partitions[usize::from(partition.partition.0)];
        queue.deque.front().copied()
    }

    /// Takes the first batch of each partition of `broker`, in turn, up to `max.request.size`
    /// (`drainBatchesForOneNode`). A partition that must wait for its sequences ends the turn, as
    /// in Kafka, even for the partitions behind it.
    pub fn drain(
        &mut self,
        broker: BrokerId,
        mut idempotence: Option<&mut TransactionManager>,
    ) -> DrainedBatches {
        let mut drained = DrainedBatches::new();
        let node = self.node(broker);
        let led = self.nodes[node].led.len();
        if led == 0 {
            return drained;
        }
        let start = self.nodes[node].drain_index % led;
        let first = self.nodes[node].led[start];
        let queued = self.nodes[node].queued.len();
        let split = self.nodes[node].queued.partition_point(|&partition| partition < first);
        let mut stopped_at = None;
        let mut size = 0;
        for place in (split..queued).chain(0..split) {
            let partition = self.nodes[node].queued[place];
            let queue = self.queue(partition);
            let (muted, head) = (queue.muted, queue.deque.front().copied());
            let Some(head) = head.filter(|_| !muted) else { continue };
            if self.backs_off(&self.batches[head]) {
                continue;
            }
            let bytes = self.batches[head].size;
            let too_much = size + bytes > self.config.max_request_size && !drained.is_empty();
            let waits = idempotence.as_ref().is_some_and(|it| it.must_wait(&self.batches, head));
            if too_much || waits {
                stopped_at = Some(partition);
                break;
            }
            if let Some(idempotence) = &mut idempotence {
                idempotence.assign_sequence(&mut self.batches, head);
            }
            let queue = self.queue(partition);
            queue.deque.pop_front();
            queue.in_flight.push(head);
            self.batches[head].close_for_appends();
            self.batches[head].reopened = false;
            size += bytes;
            drained.push(head);
        }
        let node = &mut self.nodes[node];
        node.drain_index = match stopped_at {
            Some(partition) => node.led.partition_point(|&led| led < partition),
            None => (start + led - 1) % led,
        };
        for &id in &drained {
            self.update_standing(self.batches[id].partition);
        }
        drained
    }

    /// Puts a batch back to be sent again: to the head, or for an idempotent producer to its place
    /// by sequence (`reenqueue`).
    pub fn reenqueue(&mut self, id: BatchId, in_order: bool, rng: &mut NodeRng) {
        let now = self.now;
        let batch = &mut self.batches[id];
        let backoff = self.retry_backoff.backoff(batch.attempts, rng);
        batch.attempts += 1;
        batch.last_attempt = batch.last_append.max(now);
        batch.last_append = batch.last_attempt;
        batch.retry_at = batch.last_attempt + backoff;
        self.next_expiry = self.next_expiry.min(self.expires_at(&self.batches[id], true));
        self.put_back(id, in_order);
    }

    fn put_back(&mut self, id: BatchId, in_order: bool) {
        let partition = self.batches[id].partition;
        let mut deque = std::mem::take(&mut self.queue(partition).deque);
        let sequence = |id: BatchId| self.batches[id].stamp.map(|stamp| stamp.base_sequence);
        let earlier = |&&other: &&BatchId| {
            in_order && sequence(other).is_some_and(|other| Some(other) < sequence(id))
        };
        let place = deque.iter().take_while(earlier).count();
        deque.insert(place, id);
        let queue = self.queue(partition);
        queue.deque = deque;
        queue.in_flight.retain(|&other| other != id);
        self.update_standing(partition);
    }

    /// Cuts a batch that a broker found too large into batches of `batch.size` and puts them back
    /// (`splitAndReenqueue`). The batch itself is over.
    pub fn split_and_reenqueue(
        &mut self,
        id: BatchId,
        mut idempotence: Option<&mut TransactionManager>,
    ) {
        let records = self.batches[id].records();
        let (partition, created) = (self.batches[id].partition, self.batches[id].created);
        let max_timestamp = self.batches[id].max_timestamp;
        let mut parts: SmallVec<[BatchId; 4]> = SmallVec::new();
        for &record in records.iter() {
            let fits = parts
                .last()
                .is_some_and(|&part| self.batches[part].try_append(record, max_timestamp));
            if !fits {
                let capacity = self.config.batch_size.max(BATCH_OVERHEAD_BYTES + record.size);
                let part = self.batches.open(partition, capacity, created);
                self.batches[part].split = true;
                let appended = self.batches[part].try_append(record, max_timestamp);
                assert!(appended, "the first record of a batch always fits");
                parts.push(part);
            }
        }
        let mut stamp = self.batches[id].stamp;
        for &part in &parts {
            self.batches[part].close_for_appends();
            self.batches[part].stamp = stamp;
            let count = self.batches[part].count();
            if let Some(stamp) = &mut stamp {
                stamp.base_sequence = stamp.base_sequence.plus(count);
            }
        }
        self.incomplete += parts.len();
        for &part in parts.iter().rev() {
            if let Some(idempotence) = &mut idempotence {
                idempotence.add_in_flight(&self.batches, part);
            }
            self.put_back(part, idempotence.is_some());
        }
        self.complete(id);
    }

    /// The application knows the outcome of a batch, or need not: its memory is free
    /// (`deallocate`).
    pub fn complete(&mut self, id: BatchId) {
        let batch = &mut self.batches[id];
        assert!(!batch.done, "a batch is completed once");
        batch.done = true;
        self.incomplete -= 1;
        if !batch.split {
            self.available_memory += u64::from(batch.capacity);
        }
        let partition = batch.partition;
        self.queue(partition).in_flight.retain(|&other| other != id);
    }

    /// Mutes or unmutes a partition: with one request in flight, nothing overtakes
    /// (`mutePartition`).
    pub fn set_muted(&mut self, partition: TopicPartition, muted: bool) {
        if self.queue(partition).muted != muted {
            self.queue(partition).muted = muted;
            self.update_standing(partition);
        }
    }

    /// No later than the earliest instant at which a partition becomes ready or a batch expires.
    pub fn deadline(&self) -> SimTime {
        self.next_ready.min(self.next_expiry)
    }

    /// Looks anew when the next partition becomes ready, after a timer.
    pub fn refresh_deadline(&mut self) {
        let upcoming = self.nodes.iter().filter_map(|node| node.next_ready_after(self.now));
        self.next_ready = upcoming.min().unwrap_or(SimTime::NEVER);
    }

    fn backs_off(&self, batch: &Batch) -> bool {
        batch.attempts > 0 && self.now < self.ready_after_backoff(batch)
    }

    fn ready_after_backoff(&self, batch: &Batch) -> SimTime {
        let leader_changed = batch.has_leader_changed_for_the_ongoing_retry();
        let skips = self.skips_backoff_on_new_leader && leader_changed;
        if skips { batch.last_attempt } else { batch.retry_at }
    }

    /// When the partition's first batch makes its broker ready by itself.
    fn ready_at(&self, head: BatchId, behind: bool) -> SimTime {
        let batch = &self.batches[head];
        if batch.attempts > 0 {
            self.ready_after_backoff(batch)
        } else if behind || batch.is_full() {
            batch.created
        } else {
            batch.last_attempt + self.config.linger
        }
    }

    /// Brings a partition's place in the brokers' lists up to date.
    pub fn update_standing(&mut self, partition: TopicPartition) {
        let queue = self.queue(partition);
        let (old, leader, epoch) = (queue.standing, queue.leader, queue.leader_epoch);
        let (muted, behind) = (queue.muted, queue.deque.len() > 1);
        let head = queue.deque.front().copied();
        if let Some(head) = head {
            self.batches[head].maybe_update_leader_epoch(epoch);
        }
        let new = match (head, leader) {
            (None, _) => Standing::Empty,
            (Some(_), None) => Standing::Leaderless,
            (Some(_), Some(leader)) if muted => Standing::Queued(leader, SimTime::NEVER),
            (Some(head), Some(leader)) => Standing::Queued(leader, self.ready_at(head, behind)),
        };
        if old == new {
            return;
        }
        self.queue(partition).standing = new;
        self.leaderless -= usize::from(old == Standing::Leaderless);
        self.leaderless += usize::from(new == Standing::Leaderless);
        if let Standing::Queued(broker, at) = old {
            self.queued -= 1;
            let index = self.node(broker);
            let stays = matches!(new, Standing::Queued(leader, _) if leader == broker);
            self.nodes[index].leave(partition, at, stays);
        }
        if let Standing::Queued(broker, at) = new {
            self.queued += 1;
            let index = self.node(broker);
            self.nodes[index].enter(partition, at);
            if at > self.now {
                self.next_ready = self.next_ready.min(at);
            }
        }
    }

    fn node(&mut self, broker: BrokerId) -> usize {
        match self.nodes.binary_search_by_key(&broker, |node| node.broker) {
            Ok(index) => index,
            Err(index) => {
                self.nodes.insert(index, NodeQueues::new(broker));
                index
            }
        }
    }
}

#[cfg(test)]
mod tests;
