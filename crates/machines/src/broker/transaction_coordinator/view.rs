//! What `acklab replay` shows of the transactions that a broker coordinates, and what the runtime
//! looks at.

use super::TransactionCoordinator;
use super::metadata::CoordinatedTransaction;
use acklab_vocab::ids::{ProducerEpoch, ProducerId, TopicPartition, TransactionalId};
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::transaction::TransactionState;

/// A transactional id at its coordinator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionView {
    /// Which.
    pub transactional_id: TransactionalId,
    /// Its state.
    pub state: TransactionState,
    /// The state that is being written.
    pub pending: Option<TransactionState>,
    /// The producer id.
    pub producer_id: ProducerId,
    /// Its epoch; `None` until the first one is written.
    pub producer_epoch: Option<ProducerEpoch>,
    /// The partitions of the transaction that have no marker yet, ascending.
    pub partitions: Vec<TopicPartition>,
    /// When the transaction began.
    pub started_at: Option<SimTime>,
    /// `transaction.timeout.ms`
    pub timeout: SimDuration,
}

/// A transactional id at its coordinator, in short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoordinatedTransactionState {
    /// Which.
    pub transactional_id: TransactionalId,
    /// Its state.
    pub state: TransactionState,
    /// The state that is being written.
    pub pending: Option<TransactionState>,
    /// When the transaction began.
    pub started_at: Option<SimTime>,
    /// When the coordinator aborts it, at its next look after that.
    pub times_out_at: Option<SimTime>,
}

impl TransactionCoordinator {
    fn all(&self) -> impl Iterator<Item = (TransactionalId, &CoordinatedTransaction)> + '_ {
        let partitions = self.partitions.values();
        partitions.flat_map(|loaded| loaded.transactions.iter().map(|(&id, it)| (id, it)))
    }

    /// Every transactional id that this broker coordinates.
    pub fn states(&self) -> impl Iterator<Item = CoordinatedTransactionState> + '_ {
        self.all().map(|(transactional_id, transaction)| CoordinatedTransactionState {
            transactional_id,
            state: transaction.state,
            pending: transaction.pending,
            started_at: transaction.started_at,
            times_out_at: transaction.started_at.map(|at| at + transaction.timeout),
        })
    }

    /// Every transactional id that this broker coordinates, ascending, for people.
    pub fn views(&self) -> Vec<TransactionView> {
        let view =
            |(transactional_id, it): (TransactionalId, &CoordinatedTransaction)| TransactionView {
                transactional_id,
                state: it.state,
                pending: it.pending,
                producer_id: it.producer_id,
                producer_epoch: it.producer_epoch,
                partitions: it.partitions.clone(),
                started_at: it.started_at,
                timeout: it.timeout,
            };
        let mut views: Vec<TransactionView> = self.all().map(view).collect();
        views.sort_unstable_by_key(|view| view.transactional_id);
        views
    }
}
