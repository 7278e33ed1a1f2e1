//! The transactions of applications: what belongs to each, what its application was told, what its
//! coordinator decided.
//!
//! A record of a transactional producer is acked when the commit of its transaction was reported,
//! aborted when the abort was; a send that was reported a success before that says nothing yet.
//! Mirrors `TransactionManager` and `TransactionMetadata` from outside (KIP-98).

use acklab_vocab::ids::{NodeId, ProducerId, TransactionalId};
use acklab_vocab::record::Record;
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::Stamped;
use acklab_vocab::transaction::{TransactionResult, TransactionState};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Records of a transaction that the producer has reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The records.
    pub records: Arc<[Record]>,
    /// Dense index of their partition.
    pub partition: u32,
    /// They were reported an error.
    pub failed: bool,
}

/// A transaction, from `beginTransaction()` on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Whose.
    pub id: TransactionalId,
    /// On which process.
    pub node: NodeId,
    /// When it began.
    pub begun: SimTime,
    /// What its coordinator decided.
    pub decided: Option<TransactionResult>,
    /// What the application was told.
    pub told: Option<TransactionResult>,
    /// Its records, until it has ended for its application.
    pub sent: Vec<Sent>,
}

impl Transaction {
    /// It was committed: as the coordinator says, or else as the application was told.
    #[must_use]
    pub fn is_committed(&self) -> bool {
        self.decided.or(self.told) == Some(TransactionResult::Commit)
    }
}

/// How many transactions ended how after time zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct TransactionCounts {
    /// Begun by an application.
    pub begun: u64,
    /// Committed, as the application was told.
    pub committed: u64,
    /// Aborted, by the application or by a coordinator.
    pub aborted: u64,
    /// Of these, by a coordinator: timed out, or fenced by a newer producer.
    pub aborted_by_coordinator: u64,
    /// The application was told of an error, so that it does not know.
    pub unknown: u64,
}

/// All transactions of a run.
#[derive(Clone, Debug, Default)]
pub struct Transactions {
    /// In the order in which they began.
    pub all: Vec<Transaction>,
    /// How they ended.
    pub counts: TransactionCounts,
    by_node: BTreeMap<NodeId, u32>,
    by_id: BTreeMap<TransactionalId, u32>,
    /// The state of each id that was stated last.
    stated: BTreeMap<TransactionalId, TransactionState>,
    /// The same by producer id.
    coordinated: BTreeMap<ProducerId, TransactionState>,
}

impl Transactions {
    /// The transaction in which a process is: the last that it began, if it has not ended.
    #[must_use]
    pub fn open_on(&self, node: NodeId) -> Option<u32> {
        self.by_node.get(&node).copied()
    }

    /// An application began a transaction.
    pub fn begin(&mut self, stamped: &Stamped, id: TransactionalId) {
        let index = self.all.len() as u32;
        self.counts.begun += u64::from(stamped.at >= SimTime::ZERO);
        self.all.push(Transaction {
            id,
            node: stamped.node,
            begun: stamped.at,
            decided: None,
            told: None,
            sent: Vec::new(),
        });
        self.by_node.insert(stamped.node, index);
        self.by_id.insert(id, index);
    }

    /// A producer reported what became of records. Whether they belong to a transaction.
    pub fn sent(&mut self, node: NodeId, sent: Sent) -> bool {
        let Some(index) = self.open_on(node) else { return false };
        self.all[index as usize].sent.push(sent);
        true
    }

    /// An application was told how its transaction ended; `None` if it does not know. Returns the
    /// records of the transaction if it does.
    pub fn ended(&mut self, stamped: &Stamped, result: Option<TransactionResult>) -> Vec<Sent> {
        let counts = stamped.at >= SimTime::ZERO;
        let Some(index) = self.open_on(stamped.node) else { return Vec::new() };
        let transaction = &mut self.all[index as usize];
        let Some(result) = result else {
            self.counts.unknown += u64::from(counts);
            return Vec::new();
        };
        transaction.told = Some(result);
        self.by_node.remove(&stamped.node);
        match result {
            TransactionResult::Commit => self.counts.committed += u64::from(counts),
            TransactionResult::Abort => self.counts.aborted += u64::from(counts),
        }
        std::mem::take(&mut transaction.sent)
    }

    /// A process is gone, and with it what it knew of its transaction.
    pub fn lose(&mut self, node: NodeId) {
        if let Some(index) = self.by_node.remove(&node) {
            self.all[index as usize].sent = Vec::new();
        }
    }

    /// A coordinator has stated what it has of a producer.
    pub fn coordinated(&mut self, producer: ProducerId, state: TransactionState) {
        self.coordinated.insert(producer, state);
    }

    /// Whether a coordinator still has to end a transaction of the producer.
    #[must_use]
    pub fn is_under_way(&self, producer: ProducerId) -> bool {
        self.coordinated.get(&producer).is_some_and(|state| state.is_under_way())
    }

    /// A coordinator has stored a transactional id's new state, or goes on from the state in which
    /// another coordinator had left it: then it says again what may have been said before, while
    /// the application may have begun its next transaction.
    pub fn decided(&mut self, at: SimTime, id: TransactionalId, state: TransactionState, by: bool) {
        if self.stated.insert(id, state) == Some(state) {
            return;
        }
        let result = match state {
            TransactionState::PrepareCommit | TransactionState::CompleteCommit => {
                TransactionResult::Commit
            }
            TransactionState::PrepareAbort
            | TransactionState::CompleteAbort
            | TransactionState::PrepareEpochFence => TransactionResult::Abort,
            TransactionState::Empty | TransactionState::Ongoing | TransactionState::Dead => return,
        };
        let Some(&index) = self.by_id.get(&id) else { return };
        let transaction = &mut self.all[index as usize];
        if transaction.decided.is_some() {
            return;
        }
        // The end of the transaction before it is stored as complete only now.
        let is_end_of_earlier =
            matches!(state, TransactionState::CompleteCommit | TransactionState::CompleteAbort);
        if is_end_of_earlier {
            return;
        }
        transaction.decided = Some(result);
        if by && result == TransactionResult::Abort && at >= SimTime::ZERO {
            self.counts.aborted_by_coordinator += 1;
            self.counts.aborted += u64::from(transaction.told.is_none());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use acklab_vocab::ids::EventId;
    use acklab_vocab::trace::TraceEvent;

    fn at(millis: i64) -> Stamped {
        let event = TraceEvent::ClusterSettled;
        Stamped { cause: EventId(0), at: SimTime::from_millis(millis), node: NodeId(6), event }
    }

    #[test]
    fn the_end_of_a_transaction_does_not_decide_the_next() {
        let id = TransactionalId(0);
        let mut transactions = Transactions::default();
        transactions.begin(&at(1), id);
        transactions.decided(SimTime(2), id, TransactionState::PrepareCommit, false);
        transactions.ended(&at(3), Some(TransactionResult::Commit));
        transactions.begin(&at(4), id);
        transactions.decided(SimTime(5), id, TransactionState::CompleteCommit, false);
        assert_eq!(transactions.all[1].decided, None);
        transactions.decided(SimTime(6), id, TransactionState::PrepareAbort, true);
        assert!(transactions.all[0].is_committed() && !transactions.all[1].is_committed());
        let counts = transactions.counts;
        assert_eq!((counts.committed, counts.aborted, counts.aborted_by_coordinator), (1, 1, 1));
    }

    /// A transaction is begun and dies before its coordinator hears of it; the next coordinator
    /// finishes the one before.
    #[test]
    fn a_decision_that_is_stated_again_decides_nothing_new() {
        let id = TransactionalId(0);
        let mut transactions = Transactions::default();
        transactions.begin(&at(1), id);
        transactions.decided(SimTime(2), id, TransactionState::Ongoing, false);
        transactions.decided(SimTime(3), id, TransactionState::PrepareCommit, false);
        transactions.ended(&at(4), Some(TransactionResult::Commit));
        transactions.begin(&at(5), id);
        transactions.decided(SimTime(6), id, TransactionState::PrepareCommit, false);
        assert!(transactions.all[0].is_committed());
        assert_eq!(transactions.all[1].decided, None);
    }
}
