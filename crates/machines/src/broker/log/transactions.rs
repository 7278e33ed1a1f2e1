//! What a log knows of transactions: which are open, which have ended but not everywhere, which
//! were aborted.
//!
//! Mirrors the part of `ProducerStateManager` that makes the last stable offset (`ongoingTxns`,
//! `unreplicatedTxns`, KIP-98) and `TransactionIndex`. Like the producer state it is a function of
//! the batches, and of the high watermark; followers have it too, and it is rebuilt after a
//! truncation or a restart.
//!
//! Left out: the index files. They are one per segment and cut with it; here a single list is cut
//! by rebuilding it.

use acklab_vocab::ids::{Offset, ProducerId};
use smallvec::SmallVec;

/// A transaction that was aborted in this log (`AbortedTxn`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// Whose.
    pub producer_id: ProducerId,
    /// Its first record.
    pub first_offset: Offset,
    /// Its marker.
    pub last_offset: Offset,
    /// Up to where everything was decided once this marker was written (exclusive).
    pub last_stable_offset: Offset,
}

/// A transaction that a marker has ended (`CompletedTxn`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompletedTransaction {
    /// Whose.
    pub producer_id: ProducerId,
    /// Its first record.
    pub first_offset: Offset,
    /// Its marker.
    pub last_offset: Offset,
    /// The marker aborts it.
    pub is_aborted: bool,
}

/// What a batch did to its producer's transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionStep {
    /// Nothing.
    None,
    /// It is the first of a transaction.
    Started(ProducerId, Offset),
    /// It is the marker of a transaction that had records here.
    Completed(CompletedTransaction),
}

/// The transactions of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transactions {
    /// Open ones: first offset and producer, ascending.
    ongoing: Vec<(Offset, ProducerId)>,
    /// Ended ones whose marker may be above the high watermark: first offset and marker, ascending.
    unreplicated: Vec<(Offset, Offset)>,
    /// Ascending by marker.
    aborted: Vec<AbortedTransaction>,
}

impl Transactions {
    /// Takes note of what a batch did.
    pub fn step(&mut self, step: TransactionStep) {
        match step {
            TransactionStep::None => {}
            TransactionStep::Started(producer, first) => self.ongoing.push((first, producer)),
            TransactionStep::Completed(completed) => self.complete(completed),
        }
    }

    fn complete(&mut self, completed: CompletedTransaction) {
        let CompletedTransaction { producer_id, first_offset, last_offset, is_aborted } = completed;
        self.ongoing.retain(|&(first, producer)| (first, producer) != (first_offset, producer_id));
        if is_aborted {
            let next_open = self.ongoing.first().map(|&(first, _)| first);
            let last_stable_offset = next_open.unwrap_or(last_offset.plus(1));
            self.aborted.push(AbortedTransaction {
                producer_id,
                first_offset,
                last_offset,
                last_stable_offset,
            });
        }
        let place = self.unreplicated.partition_point(|&(first, _)| first < first_offset);
        self.unreplicated.insert(place, (first_offset, last_offset));
    }

    /// The high watermark is at `high_watermark`: markers below it are on every in-sync replica
    /// (`removeUnreplicatedTransactions`).
    pub fn on_high_watermark(&mut self, high_watermark: Offset) {
        if !self.unreplicated.is_empty() {
            self.unreplicated.retain(|&(_, marker)| marker >= high_watermark);
        }
    }

    /// The first record that is not decided, or whose decision is not replicated
    /// (`firstUnstableOffset`).
    #[must_use]
    pub fn first_unstable_offset(&self) -> Option<Offset> {
        let undecided = self.ongoing.first().map(|&(first, _)| first);
        let unreplicated = self.unreplicated.first().map(|&(first, _)| first);
        undecided.into_iter().chain(unreplicated).min()
    }

    /// Open transactions: first offset and producer, ascending.
    #[must_use]
    pub fn ongoing(&self) -> &[(Offset, ProducerId)] {
        &self.ongoing
    }

    /// Aborted transactions with records or marker in `from..below`: producer and first offset,
    /// ascending by offset (`TransactionIndex.collectAbortedTxns`).
    #[must_use]
    pub fn aborted_in(&self, from: Offset, below: Offset) -> SmallVec<[(ProducerId, Offset); 1]> {
        let first = self.aborted.partition_point(|aborted| aborted.last_offset < from);
        let mut found: SmallVec<[(ProducerId, Offset); 1]> = SmallVec::new();
        for aborted in &self.aborted[first..] {
            if aborted.first_offset < below {
                found.push((aborted.producer_id, aborted.first_offset));
            }
            if aborted.last_stable_offset >= below {
                break;
            }
        }
        found.sort_unstable_by_key(|&(producer, first)| (first, producer));
        found
    }

    /// Forgets everything, to be rebuilt from the log.
    pub fn clear(&mut self) {
        *self = Transactions::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(producer: u64, first: u64) -> TransactionStep {
        TransactionStep::Started(ProducerId(producer), Offset(first))
    }

    fn completed(producer: u64, first: u64, marker: u64, is_aborted: bool) -> TransactionStep {
        TransactionStep::Completed(CompletedTransaction {
            producer_id: ProducerId(producer),
            first_offset: Offset(first),
            last_offset: Offset(marker),
            is_aborted,
        })
    }

    fn after(steps: &[TransactionStep]) -> Transactions {
        let mut transactions = Transactions::default();
        steps.iter().for_each(|&step| transactions.step(step));
        transactions
    }

    #[test]
    fn the_first_unstable_offset_waits_for_every_marker_to_be_replicated() {
        let mut it = after(&[started(1, 3), started(2, 5), completed(1, 3, 9, false)]);
        assert_eq!(it.first_unstable_offset(), Some(Offset(3)));
        it.on_high_watermark(Offset(9));
        assert_eq!(it.first_unstable_offset(), Some(Offset(3)));
        it.on_high_watermark(Offset(10));
        assert_eq!(it.first_unstable_offset(), Some(Offset(5)));
        it.step(completed(2, 5, 11, true));
        it.step(started(1, 12));
        assert_eq!(it.first_unstable_offset(), Some(Offset(5)));
        it.on_high_watermark(Offset(13));
        assert_eq!(it.first_unstable_offset(), Some(Offset(12)));
        it.step(completed(1, 12, 13, false));
        it.on_high_watermark(Offset(14));
        assert_eq!(it.first_unstable_offset(), None);
    }

    #[test]
    fn a_reader_is_told_of_the_aborted_transactions_that_it_reads_of() {
        // Producer 1: 0..4, aborted at 4. Producer 2: 2..8, aborted at 8, open while 1 ends.
        // Producer 3: 10, aborted at 11.
        let it = after(&[
            started(1, 0),
            started(2, 2),
            completed(1, 0, 4, true),
            completed(2, 2, 8, true),
            started(3, 10),
            completed(3, 10, 11, true),
        ]);
        let told = |from, below| -> Vec<u64> {
            it.aborted_in(Offset(from), Offset(below)).iter().map(|&(id, _)| id.0).collect()
        };
        let cases: &[(u64, u64, &[u64])] = &[
            (0, 12, &[1, 2, 3]),
            (0, 2, &[1]),
            (0, 3, &[1, 2]),
            (4, 5, &[1, 2]),
            (5, 9, &[2]),
            (8, 9, &[2]),
            (9, 10, &[]),
            (9, 11, &[3]),
            (12, 20, &[]),
        ];
        for &(from, below, expected) in cases {
            assert_eq!(told(from, below), expected, "{from}..{below}");
        }
    }
}
