//! The states of a transactional producer, and which follows which: `TransactionManager.State`.

use acklab_vocab::error::ErrorCode;

/// Where a transactional producer is. The errors are `lastError`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// `initTransactions()` has not been called.
    Uninitialized,
    /// Waits for an id or a new epoch.
    Initializing,
    /// Between transactions.
    Ready,
    /// In one.
    InTransaction,
    /// `commitTransaction()` was called.
    Committing,
    /// `abortTransaction()` was called.
    Aborting,
    /// Only `abortTransaction()` helps.
    AbortableError(ErrorCode),
    /// Only `close()` helps.
    FatalError(ErrorCode),
}

impl State {
    /// `State.isTransitionValid`
    pub(super) const fn may_become(self, target: State) -> bool {
        use State::{
            AbortableError, Aborting, Committing, FatalError, InTransaction, Initializing, Ready,
            Uninitialized,
        };
        match target {
            Uninitialized => matches!(self, Ready | AbortableError(_)),
            Initializing => matches!(self, Uninitialized | Committing | Aborting),
            Ready => matches!(self, Initializing | Committing | Aborting),
            InTransaction => matches!(self, Ready),
            Committing => matches!(self, InTransaction),
            Aborting => matches!(self, InTransaction | AbortableError(_)),
            AbortableError(_) => {
                matches!(self, InTransaction | Committing | AbortableError(_) | Initializing)
            }
            FatalError(_) => true,
        }
    }
}
