//! What makes a producer idempotent: its id, epoch and sequences (`TransactionManager`,
//! `TxnPartitionMap`, `TxnPartitionEntry`; KIP-98, KIP-360).
//!
//! A batch gets its sequence when it is first drained and keeps it over retries. It counts as in
//! flight from then until it is completed, whether it is on the wire or waits to be sent again.
//! Batches that run out of time with their fate unknown leave the partition *unresolved*: nothing
//! new is sent there until the rest is answered.
//!
//! Sequences that can no longer be trusted are abandoned by raising the epoch (2.5+); before, by
//! asking for a new producer id.
//!
//! A producer with a `transactional.id` has [`Transactions`] besides; it abandons sequences by
//! aborting its transaction.
//!
//! The log start offset in UNKNOWN_PRODUCER_ID answers (1.0–2.4) is taken
//! to lie above the last offset acknowledged: brokers of that time forget a producer when its
//! records are deleted.

use super::batch::{BatchId, Batches};
use super::transactions::Transactions;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{BaseSequence, ProducerEpoch, ProducerId, TopicPartition};
use acklab_vocab::record::ProducerStamp;
use acklab_vocab::time::SimTime;
use std::collections::{BTreeMap, BTreeSet};

/// A producer's id and epoch.
pub(super) type IdAndEpoch = (ProducerId, ProducerEpoch);

/// Progress towards a producer id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IdRequest {
    /// To be asked for, not before this instant.
    Due(SimTime),
    /// Asked for.
    InFlight,
}

/// Sequences of one partition (`TxnPartitionEntry`).
#[derive(Clone, Debug, Default)]
struct PartitionEntry {
    /// The id under which the sequences count; `None` before the first batch.
    id: Option<IdAndEpoch>,
    next_sequence: BaseSequence,
    last_acked_sequence: Option<BaseSequence>,
    /// Drained and not completed, ascending by id, epoch and sequence.
    in_flight: Vec<BatchId>,
}

/// The state of an idempotent producer.
#[derive(Clone, Debug)]
pub(super) struct TransactionManager {
    id: Option<IdAndEpoch>,
    pub id_request: IdRequest,
    partitions: BTreeMap<TopicPartition, PartitionEntry>,
    /// Partitions where a batch ran out of time with its fate unknown, and the sequence after it.
    unresolved: BTreeMap<TopicPartition, u32>,
    to_rewrite: BTreeSet<TopicPartition>,
    bump_required: bool,
    /// Kafka 2.5+: raises its epoch itself.
    bumps_locally: bool,
    /// Of a transactional producer.
    pub transactions: Option<Transactions>,
}

impl TransactionManager {
    pub const fn new(bumps_locally: bool, transactions: Option<Transactions>) -> Self {
        TransactionManager {
            id: None,
            id_request: IdRequest::Due(SimTime(i64::MIN)),
            partitions: BTreeMap::new(),
            unresolved: BTreeMap::new(),
            to_rewrite: BTreeSet::new(),
            bump_required: false,
            bumps_locally,
            transactions,
        }
    }

    pub const fn id(&self) -> Option<IdAndEpoch> {
        self.id
    }

    /// The answer to InitProducerId.
    pub fn assign_id(&mut self, id: ProducerId, epoch: ProducerEpoch) {
        self.id = Some((id, epoch));
    }

    /// Partitions whose unresolved batches have all been answered: either nothing is missing, or
    /// the sequences must start anew (`maybeResolveSequences`).
    pub fn maybe_resolve_sequences(&mut self) {
        if self.unresolved.is_empty() {
            return;
        }
        if let Some(transactions) = self.transactions.as_mut().filter(|_| !self.bumps_locally) {
            // The outcome of what was sent is open, and no other epoch is to be had.
            if !transactions.has_fatal_error() {
                transactions.transition_to_fatal_error(ErrorCode::Timeout);
            }
            return;
        }
        let answered: Vec<TopicPartition> =
            self.unresolved.keys().copied().filter(|&tp| !self.has_in_flight(tp)).collect();
        for partition in answered {
            self.unresolved.remove(&partition);
            let next = self.entry(partition).next_sequence;
            if self.is_next_sequence(partition, next) {
                continue;
            }
            match &mut self.transactions {
                Some(transactions) => transactions.abortable_error_if_possible(ErrorCode::Timeout),
                None => self.request_epoch_bump(partition),
            }
        }
    }

    /// Abandons the sequences that were given up, if any (`bumpIdempotentEpochAndResetIdIfNeeded`).
    /// Returns whether the producer has a new epoch now.
    pub fn bump_epoch_if_needed(&mut self, batches: &mut Batches) -> bool {
        if !std::mem::take(&mut self.bump_required) {
            return false;
        }
        if !self.bumps_locally {
            self.reset_id();
            return false;
        }
        let to_rewrite = std::mem::take(&mut self.to_rewrite);
        let next = self.id.and_then(|(id, epoch)| {
            let exhausted = epoch.0 >= i16::MAX as u16;
            (!exhausted).then_some((id, ProducerEpoch(epoch.0 + 1)))
        });
        self.id = next;
        if next.is_none() {
            self.id_request = IdRequest::Due(SimTime(i64::MIN));
        }
        for partition in to_rewrite {
            let entry = self.partitions.entry(partition).or_default();
            start_sequences_at_beginning(entry, next, batches);
            self.unresolved.remove(&partition);
        }
        next.is_some()
    }

    /// A new epoch: every partition begins at sequence 0 (`resetSequenceNumbers`).
    pub fn reset_sequences(&mut self) {
        self.partitions.clear();
        self.unresolved.clear();
    }

    /// Forgets everything and asks for another id (`resetProducerId`, before 2.5).
    fn reset_id(&mut self) {
        self.id = None;
        self.id_request = IdRequest::Due(SimTime(i64::MIN));
        self.partitions.clear();
        self.unresolved.clear();
        self.to_rewrite.clear();
    }

    /// Whether the partition's first queued batch must wait (`shouldStopDrainBatchesForPartition`).
    pub fn must_wait(&self, batches: &Batches, first: BatchId) -> bool {
        let batch = &batches[first];
        let transactions = self.transactions.as_ref();
        if transactions.is_some_and(|it| !it.is_send_allowed(batch.partition)) {
            return true;
        }
        let Some(entry) = self.partitions.get(&batch.partition) else { return false };
        match batch.stamp {
            None => {
                let stale = entry.id != self.id && !entry.in_flight.is_empty();
                let unresolved = self.unresolved.contains_key(&batch.partition);
                (stale && self.bumps_locally) || unresolved
            }
            Some(stamp) => {
                let head = entry.in_flight.first().and_then(|&head| batches[head].stamp);
                head.is_some_and(|head| head.base_sequence != stamp.base_sequence)
            }
        }
    }

    /// Gives a batch its sequence as it is drained for the first time.
    pub fn assign_sequence(&mut self, batches: &mut Batches, id: BatchId) {
        if batches[id].stamp.is_some() {
            return;
        }
        let current = self.id.expect("a batch is drained only under a producer id");
        let partition = batches[id].partition;
        let entry = self.partitions.entry(partition).or_default();
        if entry.id != Some(current) && entry.in_flight.is_empty() {
            start_sequences_at_beginning(entry, Some(current), batches);
        }
        let base_sequence = entry.next_sequence;
        batches[id].stamp = Some(ProducerStamp { id: current.0, epoch: current.1, base_sequence });
        entry.next_sequence = base_sequence.plus(batches[id].count());
        self.add_in_flight(batches, id);
    }

    /// Tracks a batch that has a sequence (`addInFlightBatch`).
    pub fn add_in_flight(&mut self, batches: &Batches, id: BatchId) {
        let in_flight = &mut self.partitions.entry(batches[id].partition).or_default().in_flight;
        let place = in_flight.partition_point(|&other| order(batches, other) < order(batches, id));
        in_flight.insert(place, id);
    }

    /// Stops tracking a batch (`removeInFlightBatch`).
    pub fn remove_in_flight(&mut self, partition: TopicPartition, id: BatchId) {
        if let Some(entry) = self.partitions.get_mut(&partition) {
            entry.in_flight.retain(|&other| other != id);
        }
    }

    /// A batch was acknowledged (`handleCompletedBatch`).
    pub fn completed(&mut self, batches: &Batches, id: BatchId) {
        let partition = batches[id].partition;
        if let Some(entry) = self.partitions.get_mut(&partition) {
            let last = batches[id].last_sequence().map(BaseSequence);
            entry.last_acked_sequence = entry.last_acked_sequence.max(last);
        }
        self.remove_in_flight(partition, id);
    }

    /// A batch failed for good (`handleFailedBatch`). `adjusts_sequences`: its sequence was surely
    /// not used, or nobody can say any more.
    pub fn failed(
        &mut self,
        batches: &mut Batches,
        id: BatchId,
        error: ErrorCode,
        adjusts_sequences: bool,
    ) {
        let partition = batches[id].partition;
        self.remove_in_flight(partition, id);
        if let Some(transactions) = &mut self.transactions {
            transactions.on_failed_write(error);
            if transactions.has_fatal_error() {
                return;
            }
            if error == ErrorCode::UnknownProducerId && self.bumps_locally {
                self.partitions.remove(&partition);
                self.unresolved.remove(&partition);
            } else if adjusts_sequences {
                self.close_gap(batches, id);
            }
            return;
        }
        let current =
            batches[id].stamp.is_some_and(|stamp| Some((stamp.id, stamp.epoch)) == self.id);
        if error == ErrorCode::OutOfOrderSequenceNumber {
            if self.bumps_locally || current {
                self.request_epoch_bump(partition);
            }
        } else if error == ErrorCode::UnknownProducerId && self.bumps_locally {
            self.partitions.remove(&partition);
            self.unresolved.remove(&partition);
        } else if adjusts_sequences && self.bumps_locally {
            self.request_epoch_bump(partition);
        } else if adjusts_sequences {
            self.close_gap(batches, id);
        }
    }

    /// Moves the sequences after a failed batch down by its length
    /// (`adjustSequencesDueToFailedBatch`, before 2.5).
    fn close_gap(&mut self, batches: &mut Batches, failed: BatchId) {
        let Some(gap) = batches[failed].stamp.map(|stamp| stamp.base_sequence) else { return };
        let count = batches[failed].count();
        let Some(entry) = self.partitions.get_mut(&batches[failed].partition) else { return };
        entry.next_sequence = entry.next_sequence.minus(count);
        for &other in &entry.in_flight {
            let batch = &mut batches[other];
            if let Some(stamp) = batch.stamp.as_mut().filter(|stamp| stamp.base_sequence >= gap) {
                stamp.base_sequence = stamp.base_sequence.minus(count);
                batch.reopened = true;
            }
        }
    }

    /// A batch that had been sent more than once ran out of time (`markSequenceUnresolved`).
    pub fn mark_unresolved(&mut self, batches: &Batches, id: BatchId) {
        if let Some(last) = batches[id].last_sequence() {
            let next = self.unresolved.entry(batches[id].partition).or_insert(0);
            *next = (*next).max(last + 1);
        }
    }

    /// Whether a batch that was answered with `error` may be sent again (`canRetry`). It may cost
    /// the epoch.
    pub fn can_retry(&mut self, batches: &mut Batches, id: BatchId, error: ErrorCode) -> bool {
        let partition = batches[id].partition;
        let stamp = batches[id].stamp.expect("a batch that was sent has a sequence");
        let base = stamp.base_sequence;
        let reset = batches[id].reopened;
        if self.has_given_up(batches, id) {
            return false;
        }
        match error {
            ErrorCode::UnknownProducerId if self.bumps_locally && self.transactions.is_none() => {
                if !reset {
                    self.request_epoch_bump(partition);
                }
                true
            }
            ErrorCode::UnknownProducerId => {
                if !reset && let Some(entry) = self.partitions.get_mut(&partition) {
                    start_sequences_at_beginning(entry, self.id, batches);
                }
                true
            }
            ErrorCode::OutOfOrderSequenceNumber => {
                let unresolved = self.unresolved.get(&partition).copied();
                let behind = reset || !self.is_next_sequence(partition, base);
                if unresolved.is_none() && behind {
                    return true;
                }
                if !self.bumps_locally || self.transactions.is_some() {
                    return false;
                }
                if unresolved.is_none_or(|next| next == base.0) {
                    self.request_epoch_bump(partition);
                }
                true
            }
            other => other.is_retriable(),
        }
    }

    /// Whether the batch was sent under an id that has been given up since (before 2.5).
    pub fn has_given_up(&self, batches: &Batches, id: BatchId) -> bool {
        let stamp = batches[id].stamp.map(|stamp| (stamp.id, stamp.epoch));
        !self.bumps_locally && stamp.is_some() && stamp != self.id
    }

    fn request_epoch_bump(&mut self, partition: TopicPartition) {
        self.bump_required = true;
        self.to_rewrite.insert(partition);
    }

    fn has_in_flight(&self, partition: TopicPartition) -> bool {
        self.partitions.get(&partition).is_some_and(|entry| !entry.in_flight.is_empty())
    }

    fn entry(&mut self, partition: TopicPartition) -> &mut PartitionEntry {
        self.partitions.entry(partition).or_default()
    }

    /// Whether everything before `sequence` was acknowledged.
    fn is_next_sequence(&self, partition: TopicPartition, sequence: BaseSequence) -> bool {
        let entry = self.partitions.get(&partition);
        match entry.and_then(|entry| entry.last_acked_sequence) {
            Some(last) => sequence.0 == last.0 + 1,
            None => sequence.0 == 0,
        }
    }
}

/// Rewrites the batches in flight as if the partition began with the first of them
/// (`startSequencesAtBeginning`).
fn start_sequences_at_beginning(
    entry: &mut PartitionEntry,
    id: Option<IdAndEpoch>,
    batches: &mut Batches,
) {
    let mut next = BaseSequence(0);
    if let Some((id, epoch)) = id {
        for &in_flight in &entry.in_flight {
            let batch = &mut batches[in_flight];
            batch.stamp = Some(ProducerStamp { id, epoch, base_sequence: next });
            batch.reopened = true;
            next = next.plus(batch.count());
        }
    }
    entry.id = id;
    entry.next_sequence = next;
    entry.last_acked_sequence = None;
}

fn order(batches: &Batches, id: BatchId) -> Option<(ProducerId, ProducerEpoch, BaseSequence)> {
    batches[id].stamp.map(|stamp| (stamp.id, stamp.epoch, stamp.base_sequence))
}
