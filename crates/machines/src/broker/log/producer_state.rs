//! What a log knows of each idempotent producer: enough to recognise a batch that it already holds
//! and to refuse one that leaves a gap.
//!
//! Mirrors `ProducerStateManager`, `ProducerStateEntry` and `ProducerAppendInfo` (KIP-98, KIP-360).
//! The state is a function of the log alone: followers derive it from the batches that they
//! replicate, and it is rebuilt after a truncation or a restart.
//!
//! Left out: snapshot files, which only make a rebuild quicker, and open transactions.

use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{BaseSequence, Offset, ProducerEpoch, ProducerId};
use acklab_vocab::record::{ProducerStamp, RecordBatch};
use acklab_vocab::time::{SimDuration, SimTime};
use smallvec::SmallVec;

/// How many batches a producer may have in flight and still be recognised
/// (`ProducerStateEntry.NUM_BATCHES_TO_RETAIN`).
pub const BATCHES_TO_RETAIN: usize = 5;

/// A batch that the log holds (`BatchMetadata`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchMetadata {
    /// Sequence of its first record.
    pub first_sequence: BaseSequence,
    /// Sequence of its last record.
    pub last_sequence: BaseSequence,
    /// Offset of its first record.
    pub base_offset: Offset,
    /// Offset after its last record.
    pub next_offset: Offset,
}

/// One producer in one log (`ProducerStateEntry`).
#[derive(Clone, Debug, PartialEq, Eq)]
struct ProducerEntry {
    id: ProducerId,
    epoch: ProducerEpoch,
    /// Newest record of its last batch, by the producer's own clock: what idleness counts from.
    last_timestamp: SimTime,
    /// Its last batches under `epoch`, oldest first; never empty.
    batches: SmallVec<[BatchMetadata; BATCHES_TO_RETAIN]>,
}

/// What to do with a batch that a producer sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is next in order, or the first of its producer or epoch.
    Append,
    /// It is one of the batches that the log remembers.
    Duplicate(BatchMetadata),
}

/// Every producer that a log remembers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerStates {
    /// How many batches of each producer are remembered: 5, or 1 without the rule
    /// `DeduplicateLastFiveBatches`.
    retained: usize,
    /// `producer.id.expiration.ms`
    expiration: SimDuration,
    /// Ascending by producer id.
    entries: Vec<ProducerEntry>,
}

impl ProducerStates {
    /// No producers yet.
    #[must_use]
    pub fn new(retained: usize, expiration: SimDuration) -> Self {
        assert!((1..=BATCHES_TO_RETAIN).contains(&retained));
        ProducerStates { retained, expiration, entries: Vec::new() }
    }

    /// Judges a batch of `count` records from a client, in Kafka's order: duplicate, then epoch,
    /// then sequence (`UnifiedLog.analyzeAndValidateProducerState`).
    ///
    /// # Errors
    /// - INVALID_PRODUCER_EPOCH: a newer epoch of the producer has written.
    /// - OUT_OF_ORDER_SEQUENCE_NUMBER: the sequence does not follow the last one, or does not begin
    ///   at 0 in a new epoch. So is a batch refused that is older than those remembered.
    pub fn validate(&self, stamp: &ProducerStamp, count: u32) -> Result<Verdict, ErrorCode> {
        let Ok(index) = self.find(stamp.id) else { return Ok(Verdict::Append) };
        let entry = &self.entries[index];
        if let Some(duplicate) = find_duplicate(entry, stamp, count) {
            return Ok(Verdict::Duplicate(duplicate));
        }
        if stamp.epoch < entry.epoch {
            return Err(ErrorCode::InvalidProducerEpoch);
        }
        let in_sequence = if stamp.epoch > entry.epoch {
            stamp.base_sequence == BaseSequence(0)
        } else {
            entry
                .batches
                .last()
                .is_some_and(|last| stamp.base_sequence == last.last_sequence.plus(1))
        };
        if in_sequence { Ok(Verdict::Append) } else { Err(ErrorCode::OutOfOrderSequenceNumber) }
    }

    /// Takes note of a batch that was appended, whoever judged it. A batch of another epoch, even
    /// an older one, starts the memory of its producer anew
    /// (`ProducerStateEntry.maybeUpdateProducerEpoch`).
    pub fn update(&mut self, batch: &RecordBatch) {
        let Some(stamp) = &batch.stamp else { return };
        let count = batch.payload.count() as u32;
        let metadata = BatchMetadata {
            first_sequence: stamp.base_sequence,
            last_sequence: stamp.base_sequence.plus(count - 1),
            base_offset: batch.base_offset,
            next_offset: batch.next_offset(),
        };
        let index = match self.find(stamp.id) {
            Ok(index) => index,
            Err(index) => {
                let batches = SmallVec::new();
                let (id, epoch) = (stamp.id, stamp.epoch);
                let last_timestamp = batch.max_timestamp;
                self.entries.insert(index, ProducerEntry { id, epoch, last_timestamp, batches });
                index
            }
        };
        let entry = &mut self.entries[index];
        if entry.epoch != stamp.epoch {
            entry.epoch = stamp.epoch;
            entry.batches.clear();
        }
        if entry.batches.len() == self.retained {
            entry.batches.remove(0);
        }
        entry.batches.push(metadata);
        entry.last_timestamp = batch.max_timestamp;
    }

    /// Forgets everybody, to be rebuilt from the log.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// Forgets producers whose last record is `producer.id.expiration.ms` old or older
    /// (`removeExpiredProducers`).
    pub fn expire(&mut self, now: SimTime) {
        let expiration = self.expiration;
        self.entries.retain(|entry| now.since(entry.last_timestamp) < expiration);
    }

    /// Where `id` is, or where it would be.
    fn find(&self, id: ProducerId) -> Result<usize, usize> {
        self.entries.binary_search_by_key(&id, |entry| entry.id)
    }
}

/// The remembered batch with the same epoch and the same first and last sequence
/// (`ProducerStateEntry.findDuplicateBatch`).
fn find_duplicate(
    entry: &ProducerEntry,
    stamp: &ProducerStamp,
    count: u32,
) -> Option<BatchMetadata> {
    if entry.epoch != stamp.epoch {
        return None;
    }
    let last_sequence = stamp.base_sequence.plus(count - 1);
    let is_same = |batch: &&BatchMetadata| {
        batch.first_sequence == stamp.base_sequence && batch.last_sequence == last_sequence
    };
    entry.batches.iter().find(is_same).copied()
}

#[cfg(test)]
mod tests;
