//! The coordinator of transactions: the leader of the partition of `__transaction_state` that a
//! transactional id is hashed onto.
//!
//! Mirrors `TransactionCoordinator` and `TransactionStateManager` (KIP-98, KIP-360, KIP-890):
//! producer ids and epochs ([`init_producer_id`]), the partitions of a transaction
//! ([`add_partitions`]), its end ([`end_transaction`]), the markers that carry the end to every
//! partition ([`markers`], [`write_markers`] at the receiving side), and what the coordinator does
//! by itself when a producer is silent ([`expiry`]). What an id may do is decided in [`metadata`].
//!
//! A change of state is written to the log first and takes effect when it is replicated; until then
//! every other change of the same id is answered CONCURRENT_TRANSACTIONS.
//!
//! Left out: two-phase commit by an outside coordinator (KIP-939), and the listing and describing
//! of transactions by tools (KIP-664), which read only.

mod add_partitions;
mod end_transaction;
mod expiry;
mod init_producer_id;
mod markers;
mod metadata;
mod view;
mod write_markers;

pub(super) use markers::MarkerSend;
pub use view::{CoordinatedTransactionState, TransactionView};

use super::coordination::{Acknowledgement, AppendWaiter, CoordinatorAppend, plain_batch};
use super::{Broker, BrokerCx, BrokerTimer, Requester};
use acklab_vocab::api::CoordinatorKey;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{
    CoordinatorEpoch, LeaderEpoch, Offset, ProducerEpoch, TopicPartition, TransactionalId,
};
use acklab_vocab::record::Payload;
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::trace::TraceEvent;
use acklab_vocab::transaction::{TransactionRecord, TransactionResult, TransactionState};
use end_transaction::EndWaiter;
use markers::Markers;
use metadata::CoordinatedTransaction;
use std::collections::BTreeMap;
use std::sync::Arc;
use write_markers::MarkerWrites;

/// What a broker coordinates by the partitions of `__transaction_state` that it leads.
#[derive(Debug, Default)]
pub(super) struct TransactionCoordinator {
    /// The partitions that it has read (`transactionMetadataCache`).
    partitions: BTreeMap<TopicPartition, LoadedPartition>,
    /// The ends that are on their way to partitions' leaders.
    markers: Markers,
    /// The markers of others, as they are written to partitions that this broker leads.
    marker_writes: MarkerWrites,
}

#[derive(Debug)]
struct LoadedPartition {
    epoch: CoordinatorEpoch,
    transactions: BTreeMap<TransactionalId, CoordinatedTransaction>,
}

/// Where a transactional id is coordinated, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    id: TransactionalId,
    partition: TopicPartition,
    epoch: CoordinatorEpoch,
}

/// What goes on when an append to `__transaction_state`, or of a marker, is done.
#[derive(Debug)]
pub(super) enum TransactionWrite {
    /// A transactional id's new state.
    State(StateWrite),
    /// The tombstone of an id that has expired, and the epoch that it had.
    Tombstone(Place, Option<ProducerEpoch>),
    /// A marker: the number of its request, and its place in it.
    Marker(u64, usize),
}

/// A transactional id's new state, on its way into the log.
#[derive(Debug)]
pub(super) struct StateWrite {
    place: Place,
    record: Arc<TransactionRecord>,
    then: AfterWrite,
}

/// What follows when a state is written, or could not be.
#[derive(Debug)]
enum AfterWrite {
    /// The producer is told its id and epoch.
    InitProducerId(Requester),
    /// The partitions are in the transaction.
    AddPartitions(Requester, Vec<TopicPartition>),
    /// The partition of the group's offsets is in the transaction.
    AddOffsets(Requester),
    /// The end is decided: whoever waits is told, and the markers are sent.
    End(EndWaiter, TransactionResult),
    /// The transaction is over.
    Complete,
}

impl TransactionCoordinator {
    /// The id, if it is known and coordinated in that epoch.
    fn get_mut(&mut self, place: Place) -> Option<&mut CoordinatedTransaction> {
        let partition = self.partitions.get_mut(&place.partition)?;
        if partition.epoch != place.epoch {
            return None;
        }
        partition.transactions.get_mut(&place.id)
    }

    /// No change of state and no marker is on its way.
    pub fn is_idle(&self) -> bool {
        let quiet = |partition: &LoadedPartition| {
            partition.transactions.values().all(|transaction| transaction.pending.is_none())
        };
        self.partitions.values().all(quiet) && self.marker_writes.is_empty()
    }
}

/// The coordinator's error for one of the log (`appendTransactionToLog`).
fn coordinator_error(error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::UnknownTopicOrPartition
        | ErrorCode::NotEnoughReplicas
        | ErrorCode::NotEnoughReplicasAfterAppend
        | ErrorCode::RequestTimedOut => ErrorCode::CoordinatorNotAvailable,
        ErrorCode::NotLeaderOrFollower | ErrorCode::KafkaStorageError => ErrorCode::NotCoordinator,
        ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge => ErrorCode::UnknownServerError,
        other => other,
    }
}

impl Broker {
    /// Where this broker coordinates `id` (`getAndMaybeAddTransactionState`).
    ///
    /// # Errors
    /// NOT_COORDINATOR, COORDINATOR_LOAD_IN_PROGRESS.
    fn transaction_place(&self, id: TransactionalId) -> Result<Place, ErrorCode> {
        let partition = self.coordinated_by(CoordinatorKey::Transaction(id))?;
        let loaded = self.transaction_coordinator.partitions.get(&partition);
        let epoch = loaded.ok_or(ErrorCode::NotCoordinator)?.epoch;
        Ok(Place { id, partition, epoch })
    }

    /// Where this broker coordinates `id`, and what it knows of it.
    ///
    /// # Errors
    /// Those of [`Broker::transaction_place`]; INVALID_PRODUCER_ID_MAPPING: it knows nothing.
    fn transaction(
        &mut self,
        id: TransactionalId,
    ) -> Result<(Place, &mut CoordinatedTransaction), ErrorCode> {
        let place = self.transaction_place(id)?;
        let transaction = self.transaction_coordinator.get_mut(place);
        Ok((place, transaction.ok_or(ErrorCode::InvalidProducerIdMapping)?))
    }

    /// The error by which a producer learns that it is fenced (`KafkaApis`, KIP-588).
    fn error_for_client(&self, error: ErrorCode) -> ErrorCode {
        let distinguishes = self.shared.has(ProtocolRule::ProducerFencedError);
        if error == ErrorCode::ProducerFenced && !distinguishes {
            ErrorCode::InvalidProducerEpoch
        } else {
            error
        }
    }

    /// Writes a new state, of which `then` says what follows (`appendTransactionToLog`).
    fn append_transaction(&mut self, cx: &mut BrokerCx<'_>, write: StateWrite) {
        let timeout = write.record.value.as_ref().map(|value| value.timeout).unwrap_or_default();
        let append = CoordinatorAppend {
            partition: write.place.partition,
            batch: plain_batch(Payload::Transaction(Arc::clone(&write.record))),
            acknowledgement: Acknowledgement::Replicated,
            deadline: cx.now() + timeout,
        };
        let waiter = AppendWaiter::Transaction(TransactionWrite::State(write));
        self.append_as_coordinator(cx, append, waiter);
    }

    /// An append with [`AppendWaiter::Transaction`] is done.
    pub(super) fn on_transaction_write_done(
        &mut self,
        cx: &mut BrokerCx<'_>,
        write: TransactionWrite,
        result: Result<Offset, ErrorCode>,
    ) {
        match write {
            TransactionWrite::State(write) => {
                self.on_state_write_done(cx, write, result.map(|_| ()));
            }
            TransactionWrite::Tombstone(place, producer_epoch) => {
                self.on_tombstone_written(cx, place, producer_epoch, result.is_ok());
            }
            TransactionWrite::Marker(request, index) => {
                let error = result.err().unwrap_or(ErrorCode::None);
                self.on_marker_written(cx, request, index, error);
            }
        }
    }

    fn on_state_write_done(
        &mut self,
        cx: &mut BrokerCx<'_>,
        write: StateWrite,
        result: Result<(), ErrorCode>,
    ) {
        let StateWrite { place, record, then } = write;
        let error = match result {
            Ok(()) => self.complete_transition(cx, place, &record).err(),
            Err(error) => {
                let error = coordinator_error(error);
                let is_retried = matches!(then, AfterWrite::Complete)
                    && error == ErrorCode::CoordinatorNotAvailable;
                if let Some(transaction) = self.transaction_coordinator.get_mut(place)
                    && !is_retried
                {
                    transaction.pending = None;
                }
                Some(error)
            }
        };
        match then {
            AfterWrite::InitProducerId(requester) => {
                let value = record.value.as_ref().filter(|_| error.is_none());
                let id = value.map(|value| (value.producer_id, value.producer_epoch));
                self.answer_init(cx, requester, id.ok_or(error.unwrap_or_default()));
            }
            AfterWrite::AddPartitions(requester, partitions) => {
                let error = error.unwrap_or_default();
                self.answer_add_partitions(cx, requester, &partitions, error);
            }
            AfterWrite::AddOffsets(requester) => {
                self.answer_add_offsets(cx, requester, error.unwrap_or_default());
            }
            AfterWrite::End(waiter, end) => match error {
                None => self.on_end_written(cx, place, waiter, end),
                Some(error) => self.on_end_not_written(cx, place, waiter, error),
            },
            AfterWrite::Complete => {
                if error == Some(ErrorCode::CoordinatorNotAvailable) {
                    self.retry_completion(cx, place, record);
                }
            }
        }
    }

    /// What was prepared is replicated: it is the id's state now.
    fn complete_transition(
        &mut self,
        cx: &mut BrokerCx<'_>,
        place: Place,
        record: &TransactionRecord,
    ) -> Result<(), ErrorCode> {
        let current = self.transaction_place(place.id)?;
        let transaction = self.transaction_coordinator.get_mut(place).filter(|_| current == place);
        let transaction = transaction.ok_or(ErrorCode::NotCoordinator)?;
        if let Some(value) = &record.value {
            transaction.complete(value);
        }
        let fact = state_fact(place.id, transaction);
        cx.trace(|| fact);
        Ok(())
    }

    /// The broker has been elected for a partition of `__transaction_state` and its log has been
    /// read: everything in it up to the log's end becomes state. What was decided goes on. Every
    /// state is stated: the coordinator before may have written it and stepped down before it knew.
    pub(super) fn load_transactions(
        &mut self,
        cx: &mut BrokerCx<'_>,
        partition: TopicPartition,
        epoch: LeaderEpoch,
    ) {
        let epoch = CoordinatorEpoch(epoch.0);
        let Some(slot) = self.replicas.slot(partition) else { return };
        let mut transactions = BTreeMap::new();
        for batch in cx.disk().log(self.replicas[slot].log.id()).batches() {
            let Payload::Transaction(record) = &batch.payload else { continue };
            match &record.value {
                Some(value) => {
                    let transaction = CoordinatedTransaction::loaded(value);
                    transactions.insert(record.transactional_id, transaction);
                }
                None => {
                    transactions.remove(&record.transactional_id);
                }
            }
        }
        let decided: Vec<TransactionalId> = transactions
            .iter()
            .filter(|(_, transaction)| end_of(transaction.state).is_some())
            .map(|(&id, _)| id)
            .collect();
        for (&id, transaction) in &transactions {
            cx.trace(|| state_fact(id, transaction));
        }
        let loaded = LoadedPartition { epoch, transactions };
        self.transaction_coordinator.partitions.insert(partition, loaded);
        for id in decided {
            self.resume_end(cx, Place { id, partition, epoch });
        }
    }

    /// The broker no longer leads a partition of `__transaction_state`.
    pub(super) fn unload_transactions(&mut self, _: &mut BrokerCx<'_>, partition: TopicPartition) {
        self.transaction_coordinator.partitions.remove(&partition);
        self.transaction_coordinator.markers.forget(partition);
    }

    /// Starts the tasks of a coordinator, if there are transactions in this cluster.
    pub(super) fn start_transaction_tasks(&self, cx: &mut BrokerCx<'_>) {
        if self.coordinators.has_transactions() {
            let interval = self.shared.config.transactions.abort_timed_out_interval;
            cx.set_timer_after(BrokerTimer::AbortTimedOutTransactions, interval);
            cx.set_timer_after(BrokerTimer::TransactionalIdExpiration, expiry::EXPIRATION_INTERVAL);
        }
    }
}

/// How a transaction in `state` ends, if that is decided and not done.
fn end_of(state: TransactionState) -> Option<TransactionResult> {
    match state {
        TransactionState::PrepareCommit => Some(TransactionResult::Commit),
        TransactionState::PrepareAbort => Some(TransactionResult::Abort),
        TransactionState::Empty
        | TransactionState::Ongoing
        | TransactionState::CompleteCommit
        | TransactionState::CompleteAbort
        | TransactionState::PrepareEpochFence
        | TransactionState::Dead => None,
    }
}

fn state_fact(id: TransactionalId, transaction: &CoordinatedTransaction) -> TraceEvent {
    let ends = matches!(
        transaction.state,
        TransactionState::PrepareAbort | TransactionState::CompleteAbort
    );
    TraceEvent::TransactionStateChanged {
        transactional_id: id,
        producer_id: transaction.producer_id,
        producer_epoch: transaction.producer_epoch.unwrap_or_default(),
        state: transaction.state,
        by_coordinator: transaction.is_fenced && ends,
    }
}
