//! A batch that is being filled, sent and sent again: `ProducerBatch` and what it needs of
//! `MemoryRecordsBuilder`.
//!
//! A batch stays at one place while it waits, flies or has its sequence rewritten: in a slab, named
//! by a [`BatchId`]. Sizes are those of record format v2 without compression; older formats differ
//! by a few bytes per record.

use crate::producer::BatchView;
use acklab_vocab::ids::{LeaderEpoch, TopicPartition};
use acklab_vocab::record::{BATCH_OVERHEAD_BYTES, ProducerBatch, ProducerStamp, Record};
use acklab_vocab::time::SimTime;
use std::ops::{Index, IndexMut};
use std::sync::Arc;

/// Names a batch for as long as it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BatchId(u32);

/// A batch.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub partition: TopicPartition,
    /// While it can be appended to; empty afterwards.
    open: Vec<Record>,
    /// Once it has been drained or failed.
    sealed: Option<Arc<[Record]>>,
    closed_for_appends: bool,
    /// Bytes written so far, the batch's own header included.
    pub size: u32,
    /// Bytes that it was opened for; a single record may be larger.
    pub capacity: u32,
    pub created: SimTime,
    pub max_timestamp: SimTime,
    pub last_attempt: SimTime,
    pub last_append: SimTime,
    /// How often it was put back to be sent again; each takes one of `retries`.
    pub attempts: u32,
    /// End of the backoff after the last attempt.
    pub retry_at: SimTime,
    /// The newest leader epoch known when it was last looked at (KIP-951).
    leader_epoch: Option<LeaderEpoch>,
    attempts_when_leader_last_changed: u32,
    pub stamp: Option<ProducerStamp>,
    /// Its sequence was rewritten after it had been sent, and it has not been sent since
    /// (`sequenceHasBeenReset`).
    pub reopened: bool,
    /// Made from a batch that was too large; it holds no memory of the pool.
    pub split: bool,
    /// The application knows its outcome.
    pub done: bool,
    /// How often it was put into a request.
    pub sends: u32,
}

impl Batch {
    fn empty() -> Self {
        Batch {
            partition: TopicPartition::default(),
            open: Vec::new(),
            sealed: None,
            closed_for_appends: false,
            size: BATCH_OVERHEAD_BYTES,
            capacity: 0,
            created: SimTime::ZERO,
            max_timestamp: SimTime::ZERO,
            last_attempt: SimTime::ZERO,
            last_append: SimTime::ZERO,
            attempts: 0,
            retry_at: SimTime::ZERO,
            leader_epoch: None,
            attempts_when_leader_last_changed: 0,
            stamp: None,
            reopened: false,
            split: false,
            done: false,
            sends: 0,
        }
    }

    /// Whether nothing more fits or may be appended (`MemoryRecordsBuilder.isFull`).
    pub fn is_full(&self) -> bool {
        self.closed_for_appends || (!self.open.is_empty() && self.capacity <= self.size)
    }

    /// Appends if there is room; the first record always has (`MemoryRecordsBuilder.hasRoomFor`).
    pub fn try_append(&mut self, record: Record, now: SimTime) -> bool {
        let has_room = self.open.is_empty() || self.capacity >= self.size + record.size;
        if self.is_full() || !has_room {
            return false;
        }
        self.open.push(record);
        self.size += record.size;
        self.last_append = now;
        self.max_timestamp = now;
        true
    }

    pub const fn close_for_appends(&mut self) {
        self.closed_for_appends = true;
    }

    pub fn count(&self) -> u32 {
        let count = self.sealed.as_ref().map_or(self.open.len(), |records| records.len());
        count as u32
    }

    /// Closes the batch and shares its records.
    pub fn records(&mut self) -> Arc<[Record]> {
        self.closed_for_appends = true;
        let open = &mut self.open;
        let sealed = self.sealed.get_or_insert_with(|| {
            let records = Arc::from(&open[..]);
            open.clear();
            records
        });
        Arc::clone(sealed)
    }

    /// As it goes into a request.
    pub fn producer_batch(&mut self, transactional: bool) -> ProducerBatch {
        ProducerBatch {
            transactional,
            records: self.records(),
            stamp: self.stamp,
            size: self.size,
            max_timestamp: self.max_timestamp,
        }
    }

    /// Sequence of its last record, if it has sequences.
    pub fn last_sequence(&self) -> Option<u32> {
        self.stamp.map(|stamp| stamp.base_sequence.plus(self.count() - 1).0)
    }

    /// Notes the newest leader epoch that the metadata has (`maybeUpdateLeaderEpoch`).
    pub fn maybe_update_leader_epoch(&mut self, epoch: Option<LeaderEpoch>) {
        if epoch > self.leader_epoch {
            self.attempts_when_leader_last_changed = self.attempts;
            self.leader_epoch = epoch;
        }
    }

    /// Whether the leader changed since the attempt that failed: no reason to wait then (KIP-951).
    pub const fn has_leader_changed_for_the_ongoing_retry(&self) -> bool {
        self.attempts >= 1 && self.attempts == self.attempts_when_leader_last_changed
    }

    pub fn view(&self) -> BatchView {
        let sealed = self.sealed.as_deref().unwrap_or_default();
        let first = sealed.first().or(self.open.first());
        BatchView {
            first: first.map_or(0, |record| record.id.sequence),
            count: self.count(),
            sends: self.sends,
        }
    }
}

/// All batches of a producer that are not over.
#[derive(Clone, Debug, Default)]
pub(super) struct Batches {
    slots: Vec<Batch>,
    free: Vec<BatchId>,
}

impl Batches {
    /// A new, empty batch.
    pub fn open(&mut self, partition: TopicPartition, capacity: u32, created: SimTime) -> BatchId {
        let id = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Batch::empty());
            BatchId(self.slots.len() as u32 - 1)
        });
        let batch = &mut self[id];
        batch.partition = partition;
        batch.capacity = capacity;
        batch.created = created;
        batch.max_timestamp = created;
        batch.last_attempt = created;
        batch.last_append = created;
        batch.retry_at = created;
        id
    }

    /// Forgets a batch that is over. Its buffer serves the next one.
    pub fn release(&mut self, id: BatchId) {
        let mut open = std::mem::take(&mut self[id].open);
        open.clear();
        self[id] = Batch { open, ..Batch::empty() };
        self.free.push(id);
    }
}

impl Index<BatchId> for Batches {
    type Output = Batch;

    fn index(&self, id: BatchId) -> &Batch {
        &self.slots[id.0 as usize]
    }
}

impl IndexMut<BatchId> for Batches {
    fn index_mut(&mut self, id: BatchId) -> &mut Batch {
        &mut self.slots[id.0 as usize]
    }
}
