//! What a log knows of each idempotent producer: enough to recognise a batch that it already holds
//! and to refuse one that leaves a gap.
//!
//! Mirrors `ProducerStateManager`, `ProducerStateEntry` and `ProducerAppendInfo` (KIP-98, KIP-360,
//! KIP-890). The state is a function of the log alone: followers derive it from the batches that
//! they replicate, and it is rebuilt after a truncation or a restart.
//!
//! Left out: snapshot files, which only make a rebuild quicker.

use super::transactions::{CompletedTransaction, TransactionStep};
use super::verification::Verification;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{BaseSequence, CoordinatorEpoch, Offset, ProducerEpoch, ProducerId};
use acklab_vocab::record::{Payload, ProducerStamp, RecordBatch};
use acklab_vocab::rules::{ProtocolRule, ProtocolRules};
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::transaction::{TransactionMarker, TransactionResult};
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
    /// Epoch of the coordinator that wrote its last marker.
    coordinator_epoch: Option<CoordinatorEpoch>,
    /// First offset of its open transaction.
    transaction: Option<Offset>,
    /// Newest record of its last batch, by the producer's own clock: what idleness counts from.
    last_timestamp: SimTime,
    /// Its last batches under `epoch`, oldest first; none after a marker of a new epoch.
    batches: SmallVec<[BatchMetadata; BATCHES_TO_RETAIN]>,
}

/// Every producer that a log remembers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerStates {
    /// How many batches of each producer are remembered: 5, or 1 without the rule
    /// `DeduplicateLastFiveBatches`.
    retained: usize,
    /// `producer.id.expiration.ms`
    expiration: SimDuration,
    /// The rule `UnknownProducerStartsAtZero`.
    unknown_starts_at_zero: bool,
    /// Ascending by producer id.
    entries: Vec<ProducerEntry>,
}

impl ProducerStates {
    /// No producers yet.
    #[must_use]
    pub fn new(rules: ProtocolRules, expiration: SimDuration) -> Self {
        let five = rules.has(ProtocolRule::DeduplicateLastFiveBatches);
        ProducerStates {
            retained: if five { BATCHES_TO_RETAIN } else { 1 },
            expiration,
            unknown_starts_at_zero: rules.has(ProtocolRule::UnknownProducerStartsAtZero),
            entries: Vec::new(),
        }
    }

    /// The remembered batch that `stamp` and `count` describe, if there is one
    /// (`ProducerStateEntry.findDuplicateBatch`).
    #[must_use]
    pub fn duplicate_of(&self, stamp: &ProducerStamp, count: u32) -> Option<BatchMetadata> {
        let entry = self.entry(stamp.id)?;
        if entry.epoch != stamp.epoch {
            return None;
        }
        let last_sequence = stamp.base_sequence.plus(count - 1);
        let is_same = |batch: &&BatchMetadata| {
            batch.first_sequence == stamp.base_sequence && batch.last_sequence == last_sequence
        };
        entry.batches.iter().find(is_same).copied()
    }

    /// Judges a batch from a client that is no duplicate, in Kafka's order: epoch, sequence,
    /// transaction (`ProducerAppendInfo.appendDataBatch`). `verification`: that of its transaction,
    /// while it is under way.
    ///
    /// # Errors
    /// - INVALID_PRODUCER_EPOCH: a newer epoch of the producer has written, or ended a transaction.
    /// - OUT_OF_ORDER_SEQUENCE_NUMBER: the sequence does not follow the last one, or does not begin
    ///   at 0 in a new epoch, or an earlier one is to come first. So is a batch refused that is
    ///   older than those remembered.
    /// - INVALID_TXN_STATE: it belongs to no transaction, and the producer has one open here.
    pub fn check(
        &self,
        stamp: &ProducerStamp,
        transactional: bool,
        verification: Option<&Verification>,
    ) -> Result<(), ErrorCode> {
        let entry = self.entry(stamp.id);
        if entry.is_some_and(|entry| stamp.epoch < entry.epoch) {
            return Err(ErrorCode::InvalidProducerEpoch);
        }
        self.check_sequence(stamp, entry, verification)?;
        if !transactional && entry.is_some_and(|entry| entry.transaction.is_some()) {
            return Err(ErrorCode::InvalidTxnState);
        }
        Ok(())
    }

    /// `ProducerAppendInfo.checkSequence`
    fn check_sequence(
        &self,
        stamp: &ProducerStamp,
        entry: Option<&ProducerEntry>,
        verification: Option<&Verification>,
    ) -> Result<(), ErrorCode> {
        let out_of_order = Err(ErrorCode::OutOfOrderSequenceNumber);
        let sequence = stamp.base_sequence;
        if verification.is_some_and(|under_way| sequence > under_way.lowest_sequence) {
            return out_of_order;
        }
        let in_sequence = match entry {
            None => {
                let must_be_first = self.unknown_starts_at_zero
                    && verification.is_some_and(|under_way| under_way.version_2);
                !must_be_first || sequence == BaseSequence(0)
            }
            Some(entry) if stamp.epoch > entry.epoch => sequence == BaseSequence(0),
            Some(entry) => {
                let next = entry.batches.last().map(|last| last.last_sequence.plus(1));
                sequence == next.unwrap_or_default()
            }
        };
        if in_sequence { Ok(()) } else { out_of_order }
    }

    /// Judges the offsets that a group coordinator appends for a transaction: by the epoch alone.
    ///
    /// # Errors
    /// INVALID_PRODUCER_EPOCH: a newer epoch of the producer has written, or ended a transaction.
    pub fn check_epoch(&self, stamp: &ProducerStamp) -> Result<(), ErrorCode> {
        match self.entry(stamp.id) {
            Some(entry) if stamp.epoch < entry.epoch => Err(ErrorCode::InvalidProducerEpoch),
            Some(_) | None => Ok(()),
        }
    }

    /// Judges a marker (`ProducerAppendInfo.appendEndTxnMarker`). `strict`: its epoch has to be
    /// higher than the last write's, as that of `transaction.version` 2 always is, unless it is the
    /// same marker again (KAFKA-19999).
    ///
    /// # Errors
    /// - INVALID_PRODUCER_EPOCH: a newer epoch of the producer has written, or ended a transaction.
    /// - TRANSACTION_COORDINATOR_FENCED: a newer coordinator has written a marker of the producer.
    pub fn check_marker(
        &self,
        stamp: &ProducerStamp,
        marker: &TransactionMarker,
        strict: bool,
    ) -> Result<(), ErrorCode> {
        self.check_epoch(stamp)?;
        let Some(entry) = self.entry(stamp.id) else { return Ok(()) };
        if strict && stamp.epoch == entry.epoch && entry.transaction.is_some() {
            return Err(ErrorCode::InvalidProducerEpoch);
        }
        if entry.coordinator_epoch > Some(marker.coordinator_epoch) {
            return Err(ErrorCode::TransactionCoordinatorFenced);
        }
        Ok(())
    }

    /// Whether the producer has a transaction open here that it began in `epoch`
    /// (`UnifiedLog.hasOngoingTransaction`).
    #[must_use]
    pub fn has_ongoing_transaction(&self, id: ProducerId, epoch: ProducerEpoch) -> bool {
        let is_it = |entry: &ProducerEntry| entry.transaction.is_some() && entry.epoch == epoch;
        self.entry(id).is_some_and(is_it)
    }

    /// Takes note of a batch that was appended, whoever judged it, and says what it did to its
    /// producer's transaction. A batch of another epoch, even an older one, starts the memory of
    /// its producer anew (`ProducerStateEntry.maybeUpdateProducerEpoch`).
    pub fn update(&mut self, batch: &RecordBatch) -> TransactionStep {
        let Some(stamp) = &batch.stamp else { return TransactionStep::None };
        let retained = self.retained;
        let entry = self.entry_or_insert(stamp, batch.max_timestamp);
        if entry.epoch != stamp.epoch {
            entry.epoch = stamp.epoch;
            entry.batches.clear();
        }
        entry.last_timestamp = batch.max_timestamp;
        match &batch.payload {
            Payload::Marker(marker) => {
                entry.coordinator_epoch = Some(marker.coordinator_epoch);
                let Some(first_offset) = entry.transaction.take() else {
                    return TransactionStep::None;
                };
                return TransactionStep::Completed(CompletedTransaction {
                    producer_id: stamp.id,
                    first_offset,
                    last_offset: batch.base_offset,
                    is_aborted: marker.result == TransactionResult::Abort,
                });
            }
            Payload::Records(records) => {
                if entry.batches.len() == retained {
                    entry.batches.remove(0);
                }
                entry.batches.push(BatchMetadata {
                    first_sequence: stamp.base_sequence,
                    last_sequence: stamp.base_sequence.plus(records.len() as u32 - 1),
                    base_offset: batch.base_offset,
                    next_offset: batch.next_offset(),
                });
            }
            // A coordinator's batches have no sequences.
            Payload::Offsets(_)
            | Payload::Group(_)
            | Payload::ConsumerGroup(_)
            | Payload::Transaction(_) => {}
        }
        if batch.transactional && entry.transaction.is_none() {
            entry.transaction = Some(batch.base_offset);
            return TransactionStep::Started(stamp.id, batch.base_offset);
        }
        TransactionStep::None
    }

    fn entry_or_insert(&mut self, stamp: &ProducerStamp, at: SimTime) -> &mut ProducerEntry {
        let place = match self.find(stamp.id) {
            Ok(place) => place,
            Err(place) => {
                let entry = ProducerEntry {
                    id: stamp.id,
                    epoch: stamp.epoch,
                    coordinator_epoch: None,
                    transaction: None,
                    last_timestamp: at,
                    batches: SmallVec::new(),
                };
                self.entries.insert(place, entry);
                place
            }
        };
        &mut self.entries[place]
    }

    /// Forgets everybody, to be rebuilt from the log.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// Forgets producers whose last record is `producer.id.expiration.ms` old or older and that
    /// have no open transaction (`removeExpiredProducers`).
    pub fn expire(&mut self, now: SimTime) {
        let expiration = self.expiration;
        self.entries.retain(|entry| {
            entry.transaction.is_some() || now.since(entry.last_timestamp) < expiration
        });
    }

    /// `producer.id.expiration.ms`
    #[must_use]
    pub fn expiration(&self) -> SimDuration {
        self.expiration
    }

    fn entry(&self, id: ProducerId) -> Option<&ProducerEntry> {
        self.find(id).ok().map(|place| &self.entries[place])
    }

    /// Where `id` is, or where it would be.
    fn find(&self, id: ProducerId) -> Result<usize, usize> {
        self.entries.binary_search_by_key(&id, |entry| entry.id)
    }
}

#[cfg(test)]
mod tests;
