//! Transactions: what a coordinator writes into `__transaction_state`, and the markers that end them.

use crate::ids::{CoordinatorEpoch, ProducerEpoch, ProducerId, TopicPartition, TransactionalId};
use crate::time::{SimDuration, SimTime};
use serde::{Deserialize, Serialize};

/// State of a transactional id at its coordinator (`TransactionState`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TransactionState {
    /// No transaction.
    Empty,
    /// A transaction is open.
    Ongoing,
    /// Decided: to be committed. Markers are on their way.
    PrepareCommit,
    /// Decided: to be aborted. Markers are on their way.
    PrepareAbort,
    /// Committed: every marker is written.
    CompleteCommit,
    /// Aborted: every marker is written.
    CompleteAbort,
    /// Aborted by the coordinator, with a higher epoch, to fence its producer.
    PrepareEpochFence,
    /// The id has expired.
    Dead,
}

impl TransactionState {
    /// A transaction is open, or its end is decided and not yet complete: a coordinator will end it.
    #[must_use]
    pub const fn is_under_way(self) -> bool {
        match self {
            TransactionState::Ongoing
            | TransactionState::PrepareCommit
            | TransactionState::PrepareAbort
            | TransactionState::PrepareEpochFence => true,
            TransactionState::Empty
            | TransactionState::CompleteCommit
            | TransactionState::CompleteAbort
            | TransactionState::Dead => false,
        }
    }
}

/// Commit or abort.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TransactionResult {
    /// Its records become visible to `read_committed`.
    Commit,
    /// Its records never do.
    Abort,
}

/// The end of a producer's transaction in one partition (`EndTransactionMarker`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TransactionMarker {
    /// Commit or abort.
    pub result: TransactionResult,
    /// Epoch of the coordinator that sent it; an older one is refused.
    pub coordinator_epoch: CoordinatorEpoch,
}

/// A transactional id as `__transaction_state` has it (`TransactionLogValue`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TransactionRecord {
    /// Which.
    pub transactional_id: TransactionalId,
    /// Its state; `None` is a tombstone.
    pub value: Option<TransactionMetadata>,
}

/// What a coordinator knows of a transactional id (`TransactionMetadata`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TransactionMetadata {
    /// The producer id.
    pub producer_id: ProducerId,
    /// The producer id before, if it was replaced because its epochs were used up (KIP-360).
    pub previous_producer_id: Option<ProducerId>,
    /// The producer id of the next transaction, while one ends that has used up the epochs (KIP-890).
    pub next_producer_id: Option<ProducerId>,
    /// Its epoch.
    pub producer_epoch: ProducerEpoch,
    /// The epoch before, with which the current one was asked for.
    pub last_producer_epoch: Option<ProducerEpoch>,
    /// `transaction.timeout.ms`
    pub timeout: SimDuration,
    /// Its state.
    pub state: TransactionState,
    /// The partitions of the transaction, ascending; those of `__consumer_offsets` too.
    pub partitions: Vec<TopicPartition>,
    /// When the transaction began.
    pub started_at: Option<SimTime>,
    /// When it changed last.
    pub updated_at: SimTime,
    /// Its producer follows the second part of KIP-890 (`transaction.version` 2).
    pub version_2: bool,
}
