//! A transactional id at its coordinator: its state, and what may become of it.
//!
//! Mirrors `TransactionMetadata` and `TxnTransitMetadata`: every change is first *prepared*, which
//! blocks others, then written to `__transaction_state`, and *completed* when it is replicated.
//! KIP-98, KIP-360 (epochs raised for a living producer), KIP-890 (`transaction.version` 2: every
//! end raises the epoch). The fence raises it once there, as since 4.0.1 (KAFKA-19367).
//!
//! Left out: the checks of `completeTransitionTo` that a transition fits the state; with one thread
//! it always does.

use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{ProducerEpoch, ProducerId, TopicPartition};
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::transaction::{TransactionMetadata, TransactionResult, TransactionState};

/// The largest epoch: `Short.MAX_VALUE`. No producer ever has it, so that any can be fenced.
const MAX_EPOCH: u16 = i16::MAX as u16;

/// Whether no further epoch may be given to a client (`isEpochExhausted`).
#[must_use]
pub fn is_epoch_exhausted(epoch: ProducerEpoch) -> bool {
    epoch.0 >= MAX_EPOCH - 1
}

/// A transactional id at its coordinator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoordinatedTransaction {
    /// The producer id.
    pub producer_id: ProducerId,
    /// The one before, if it was replaced.
    pub previous_producer_id: Option<ProducerId>,
    /// The one of the next transaction, if this end replaces it.
    pub next_producer_id: Option<ProducerId>,
    /// Its epoch; `None` (−1) until the first one is written.
    pub producer_epoch: Option<ProducerEpoch>,
    /// The epoch with which the current one was asked for.
    pub last_producer_epoch: Option<ProducerEpoch>,
    /// `transaction.timeout.ms`
    pub timeout: SimDuration,
    /// Its state.
    pub state: TransactionState,
    /// The partitions of the transaction, ascending; those whose marker is written are gone.
    pub partitions: Vec<TopicPartition>,
    /// When the transaction began.
    pub started_at: Option<SimTime>,
    /// When it changed last.
    pub updated_at: SimTime,
    /// It was last ended under `transaction.version` 2.
    pub version_2: bool,
    /// The state that it is about to enter.
    pub pending: Option<TransactionState>,
    /// A fence could not be written: its epoch was given to nobody and is used for the next one.
    pub has_failed_epoch_fence: bool,
    /// The coordinator ended the transaction by itself.
    pub is_fenced: bool,
}

/// How a transaction is to be ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndRequest {
    /// By whom.
    pub producer_id: ProducerId,
    /// Its epoch.
    pub producer_epoch: ProducerEpoch,
    /// How.
    pub result: TransactionResult,
    /// It is a client's; otherwise the coordinator fences.
    pub from_client: bool,
    /// Under `transaction.version` 2.
    pub version_2: bool,
}

/// What to do about an [`EndRequest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndDecision {
    /// It has been done before.
    AlreadyDone,
    /// The transaction is to be ended; it may be one without partitions.
    End {
        /// Nothing was ever added to it (only with `transaction.version` 2).
        is_empty: bool,
    },
}

impl CoordinatedTransaction {
    /// An id of which nothing is known.
    #[must_use]
    pub fn new(producer_id: ProducerId, timeout: SimDuration, now: SimTime) -> Self {
        CoordinatedTransaction {
            producer_id,
            previous_producer_id: None,
            next_producer_id: None,
            producer_epoch: None,
            last_producer_epoch: None,
            timeout,
            state: TransactionState::Empty,
            partitions: Vec::new(),
            started_at: None,
            updated_at: now,
            version_2: false,
            pending: None,
            has_failed_epoch_fence: false,
            is_fenced: false,
        }
    }

    /// As the log has it.
    #[must_use]
    pub fn loaded(value: &TransactionMetadata) -> Self {
        CoordinatedTransaction {
            previous_producer_id: value.previous_producer_id,
            next_producer_id: value.next_producer_id,
            producer_epoch: Some(value.producer_epoch),
            last_producer_epoch: value.last_producer_epoch,
            state: value.state,
            partitions: value.partitions.clone(),
            started_at: value.started_at,
            version_2: value.version_2,
            ..Self::new(value.producer_id, value.timeout, value.updated_at)
        }
    }

    /// Its epoch has no successor for a client (`isProducerEpochExhausted`).
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        self.producer_epoch.is_some_and(is_epoch_exhausted)
    }

    /// The record of its present state in `state`, to be altered.
    fn transition(&self, state: TransactionState) -> TransactionMetadata {
        TransactionMetadata {
            producer_id: self.producer_id,
            previous_producer_id: self.previous_producer_id,
            next_producer_id: None,
            producer_epoch: self.producer_epoch.unwrap_or_default(),
            last_producer_epoch: self.last_producer_epoch,
            timeout: self.timeout,
            state,
            partitions: self.partitions.clone(),
            started_at: self.started_at,
            updated_at: self.updated_at,
            version_2: self.version_2,
        }
    }

    fn prepare(&mut self, transition: TransactionMetadata) -> TransactionMetadata {
        assert!(self.pending.is_none(), "one transition at a time");
        self.pending = Some(transition.state);
        transition
    }

    /// Whether a producer that says it has `expected` may go on
    /// (`prepareInitProducerIdTransit.isValidProducerId`).
    #[must_use]
    pub fn is_valid_producer(&self, expected: (ProducerId, ProducerEpoch)) -> bool {
        let (id, epoch) = expected;
        self.producer_epoch.is_none()
            || id == self.producer_id
            || (Some(id) == self.previous_producer_id && is_epoch_exhausted(epoch))
    }

    /// A producer asks for an epoch; `expected` is the one that it has, if it has one
    /// (`prepareIncrementProducerEpoch`).
    ///
    /// # Errors
    /// PRODUCER_FENCED: it is not the newest producer.
    pub fn prepare_increment_epoch(
        &mut self,
        timeout: SimDuration,
        expected: Option<ProducerEpoch>,
        now: SimTime,
    ) -> Result<TransactionMetadata, ErrorCode> {
        let bumped = self.producer_epoch.map_or(ProducerEpoch(0), next_epoch);
        let (epoch, last) = match expected {
            None => (bumped, None),
            Some(_) if self.producer_epoch.is_none() => (bumped, None),
            Some(_) if expected == self.producer_epoch => (bumped, self.producer_epoch),
            // The answer was lost: the same again.
            Some(_) if expected == self.last_producer_epoch => {
                (self.producer_epoch.unwrap_or_default(), self.last_producer_epoch)
            }
            Some(_) => return Err(ErrorCode::ProducerFenced),
        };
        let transition = TransactionMetadata {
            previous_producer_id: Some(self.producer_id),
            producer_epoch: epoch,
            last_producer_epoch: last,
            timeout,
            partitions: Vec::new(),
            started_at: None,
            updated_at: now,
            ..self.transition(TransactionState::Empty)
        };
        Ok(self.prepare(transition))
    }

    /// The epochs are used up: another producer id, from epoch 0 (`prepareProducerIdRotation`).
    pub fn prepare_rotation(
        &mut self,
        producer_id: ProducerId,
        timeout: SimDuration,
        keeps_last_epoch: bool,
        now: SimTime,
    ) -> TransactionMetadata {
        let transition = TransactionMetadata {
            producer_id,
            previous_producer_id: Some(self.producer_id),
            producer_epoch: ProducerEpoch(0),
            last_producer_epoch: self.producer_epoch.filter(|_| keeps_last_epoch),
            timeout,
            partitions: Vec::new(),
            started_at: None,
            updated_at: now,
            ..self.transition(TransactionState::Empty)
        };
        self.prepare(transition)
    }

    /// The coordinator is about to end the transaction by itself; returns the epoch by which it
    /// does (`prepareFenceProducerEpoch`). Nothing is written for this.
    pub fn prepare_fence(&mut self) -> ProducerEpoch {
        assert!(self.pending.is_none(), "one transition at a time");
        self.pending = Some(TransactionState::PrepareEpochFence);
        let epoch = self.producer_epoch.unwrap_or_default();
        if self.has_failed_epoch_fence { epoch } else { next_epoch(epoch) }
    }

    /// Partitions are added, and a transaction begun if none is open (`prepareAddPartitions`).
    pub fn prepare_add_partitions(
        &mut self,
        added: &[TopicPartition],
        now: SimTime,
    ) -> TransactionMetadata {
        let mut partitions = self.partitions.clone();
        for &partition in added {
            if let Err(place) = partitions.binary_search(&partition) {
                partitions.insert(place, partition);
            }
        }
        let is_open = self.state == TransactionState::Ongoing;
        let transition = TransactionMetadata {
            partitions,
            started_at: if is_open { self.started_at } else { Some(now) },
            updated_at: now,
            ..self.transition(TransactionState::Ongoing)
        };
        self.prepare(transition)
    }

    /// Judges the end of a transaction (`TransactionCoordinator.endTransaction`, and
    /// `endTransactionWithTV1`).
    ///
    /// # Errors
    /// In this order:
    /// - INVALID_PRODUCER_ID_MAPPING: another producer id.
    /// - PRODUCER_FENCED: another epoch.
    /// - CONCURRENT_TRANSACTIONS: another change is being written.
    /// - INVALID_TXN_STATE: there is no transaction, or it has been ended the other way.
    pub fn judge_end(&self, request: EndRequest) -> Result<EndDecision, ErrorCode> {
        let fences = self.pending == Some(TransactionState::PrepareEpochFence);
        let epoch = request.producer_epoch;
        let tells_again = request.version_2 && !fences;
        let is_overflow = tells_again
            && self.previous_producer_id == Some(request.producer_id)
            && epoch.0 == MAX_EPOCH - 1
            && self.producer_epoch == Some(ProducerEpoch(0));
        let is_bumped = tells_again && self.producer_epoch == Some(ProducerEpoch(epoch.0 + 1));
        if self.producer_id != request.producer_id && !is_overflow {
            return Err(ErrorCode::InvalidProducerIdMapping);
        }
        let is_current = self.producer_epoch == Some(epoch);
        let is_valid = if tells_again {
            match self.state {
                TransactionState::Ongoing
                | TransactionState::Empty
                | TransactionState::Dead
                | TransactionState::PrepareEpochFence => is_current,
                TransactionState::PrepareCommit | TransactionState::PrepareAbort => is_bumped,
                TransactionState::CompleteCommit | TransactionState::CompleteAbort => {
                    is_bumped || is_overflow || is_current
                }
            }
        } else {
            is_current || (!request.from_client && self.producer_epoch < Some(epoch))
        };
        if !is_valid {
            return Err(ErrorCode::ProducerFenced);
        }
        if self.pending.is_some() && !fences {
            return Err(ErrorCode::ConcurrentTransactions);
        }
        self.judge_end_in_state(request, is_bumped || is_overflow)
    }

    /// `is_retry`: under `transaction.version` 2, the epoch shows that it has been done.
    fn judge_end_in_state(
        &self,
        request: EndRequest,
        is_retry: bool,
    ) -> Result<EndDecision, ErrorCode> {
        use TransactionResult::{Abort, Commit};
        use TransactionState::{
            CompleteAbort, CompleteCommit, Dead, Empty, Ongoing, PrepareAbort, PrepareCommit,
            PrepareEpochFence,
        };
        let invalid = Err(ErrorCode::InvalidTxnState);
        match (self.state, request.result) {
            (Ongoing, Commit | Abort) => Ok(EndDecision::End { is_empty: false }),
            (PrepareCommit, Commit) | (PrepareAbort, Abort) => {
                Err(ErrorCode::ConcurrentTransactions)
            }
            (PrepareCommit, Abort) | (PrepareAbort, Commit) => invalid,
            (CompleteCommit, Commit) | (CompleteAbort, Abort) if is_retry || !request.version_2 => {
                Ok(EndDecision::AlreadyDone)
            }
            // A producer of version 2 may abort before anything was added.
            (CompleteCommit | CompleteAbort | Empty, Abort) if request.version_2 && !is_retry => {
                Ok(EndDecision::End { is_empty: true })
            }
            (CompleteCommit | CompleteAbort | Empty | Dead | PrepareEpochFence, _) => invalid,
        }
    }

    /// The transaction is decided (`prepareAbortOrCommit`). `next_producer_id`: where the epoch
    /// that it ends with is the last.
    pub fn prepare_end(
        &mut self,
        request: EndRequest,
        is_empty: bool,
        next_producer_id: Option<ProducerId>,
        now: SimTime,
    ) -> TransactionMetadata {
        let fences = self.pending.take() == Some(TransactionState::PrepareEpochFence);
        if fences && !request.version_2 {
            self.producer_epoch = Some(request.producer_epoch);
            self.last_producer_epoch = None;
        }
        self.is_fenced = fences;
        let current = self.producer_epoch.unwrap_or_default();
        let (producer_epoch, last_producer_epoch) = if request.version_2 {
            (next_epoch(current), Some(current))
        } else {
            (current, self.last_producer_epoch)
        };
        let state = match request.result {
            TransactionResult::Commit => TransactionState::PrepareCommit,
            TransactionResult::Abort => TransactionState::PrepareAbort,
        };
        let transition = TransactionMetadata {
            next_producer_id,
            producer_epoch,
            last_producer_epoch,
            started_at: if is_empty { Some(now) } else { self.started_at },
            updated_at: now,
            version_2: request.version_2,
            ..self.transition(state)
        };
        self.prepare(transition)
    }

    /// The decided transaction will have ended once every marker is written (`prepareComplete`).
    /// From now on, until then, nothing else may change.
    pub fn prepare_complete(&mut self, now: SimTime) -> TransactionMetadata {
        self.has_failed_epoch_fence = false;
        let state = match self.state {
            TransactionState::PrepareCommit => TransactionState::CompleteCommit,
            _ => TransactionState::CompleteAbort,
        };
        let transition = TransactionMetadata {
            partitions: Vec::new(),
            updated_at: now,
            ..self.transition(state)
        };
        let transition = match self.next_producer_id.filter(|_| self.version_2) {
            Some(producer_id) => TransactionMetadata {
                producer_id,
                previous_producer_id: Some(self.producer_id),
                producer_epoch: ProducerEpoch(0),
                ..transition
            },
            None => transition,
        };
        self.prepare(transition)
    }

    /// What was prepared is written (`completeTransitionTo`).
    pub fn complete(&mut self, transition: &TransactionMetadata) {
        self.pending = None;
        self.state = transition.state;
        self.producer_id = transition.producer_id;
        self.previous_producer_id = transition.previous_producer_id;
        self.next_producer_id = transition.next_producer_id;
        self.producer_epoch = Some(transition.producer_epoch);
        self.last_producer_epoch = transition.last_producer_epoch;
        self.timeout = transition.timeout;
        self.partitions.clone_from(&transition.partitions);
        self.started_at = transition.started_at;
        self.updated_at = transition.updated_at;
        self.version_2 = transition.version_2;
    }

    /// The open transaction is older than its producer allows
    /// (`TransactionStateManager.timedOutTransactions`).
    #[must_use]
    pub fn is_timed_out(&self, now: SimTime) -> bool {
        let late = self.started_at.is_some_and(|at| at + self.timeout < now);
        self.state == TransactionState::Ongoing && self.pending.is_none() && late
    }

    /// Nothing has happened for `transactional.id.expiration.ms` (`shouldExpire`).
    #[must_use]
    pub fn is_expired(&self, now: SimTime, expiration: SimDuration) -> bool {
        let may_expire = matches!(
            self.state,
            TransactionState::Empty
                | TransactionState::CompleteCommit
                | TransactionState::CompleteAbort
        );
        may_expire && self.pending.is_none() && now.since(self.updated_at) >= expiration
    }
}

fn next_epoch(epoch: ProducerEpoch) -> ProducerEpoch {
    ProducerEpoch(epoch.0.saturating_add(1).min(MAX_EPOCH))
}

#[cfg(test)]
mod tests;
