//! Which of the batches that a consumer has fetched it returns to its application.
//!
//! Mirrors the part of `CompletedFetch.nextFetchedRecord` that knows of transactions (KIP-98): a
//! control batch is never returned; under `read_committed` the batches of aborted transactions are
//! passed over as well. Nothing is left out.

use acklab_vocab::api::Isolation;
use acklab_vocab::ids::{Offset, ProducerId};
use acklab_vocab::record::{Payload, RecordBatch};
use acklab_vocab::transaction::TransactionResult;
use smallvec::SmallVec;

/// The aborted transactions of one fetched partition. Batches are to be shown to it in their order,
/// each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AbortedTransactions {
    /// Reads only what was committed.
    read_committed: bool,
    /// Those that begin later, last first.
    to_come: SmallVec<[(ProducerId, Offset); 1]>,
    /// Producers whose transaction at this point of the log was aborted.
    aborted: SmallVec<[ProducerId; 1]>,
}

impl AbortedTransactions {
    /// What a fetch response said of a partition: `aborted` is ascending by offset.
    #[must_use]
    pub fn new(isolation: Isolation, aborted: &[(ProducerId, Offset)]) -> Self {
        AbortedTransactions {
            read_committed: isolation == Isolation::LastStable,
            to_come: aborted.iter().rev().copied().collect(),
            aborted: SmallVec::new(),
        }
    }

    /// Whether the application gets the records of `batch`. Otherwise the position only moves past
    /// it.
    pub fn returns(&mut self, batch: &RecordBatch) -> bool {
        let marker = match &batch.payload {
            Payload::Marker(marker) => Some(marker),
            _ => None,
        };
        if !self.read_committed {
            return marker.is_none();
        }
        let Some(stamp) = &batch.stamp else { return marker.is_none() };
        while let Some(&(producer, first)) = self.to_come.last()
            && first <= batch.last_offset()
        {
            self.to_come.pop();
            if !self.aborted.contains(&producer) {
                self.aborted.push(producer);
            }
        }
        match marker {
            Some(marker) => {
                if marker.result == TransactionResult::Abort {
                    self.aborted.retain(|&mut producer| producer != stamp.id);
                }
                false
            }
            None => !(batch.transactional && self.aborted.contains(&stamp.id)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use acklab_vocab::ids::{BaseSequence, CoordinatorEpoch, LeaderEpoch, ProducerEpoch, RecordId};
    use acklab_vocab::record::{ProducerStamp, Record};
    use acklab_vocab::time::SimTime;
    use acklab_vocab::transaction::TransactionMarker;

    fn batch(base: u64, producer: Option<u64>, payload: Payload) -> RecordBatch {
        RecordBatch {
            base_offset: Offset(base),
            leader_epoch: LeaderEpoch(0),
            size: 100,
            stamp: producer.map(|id| ProducerStamp {
                id: ProducerId(id),
                epoch: ProducerEpoch(0),
                base_sequence: BaseSequence(0),
            }),
            transactional: producer.is_some(),
            max_timestamp: SimTime::ZERO,
            payload,
        }
    }

    fn data(base: u64, count: usize, producer: Option<u64>) -> RecordBatch {
        let record = Record { id: RecordId::default(), attempt: 0, size: 10 };
        batch(base, producer, Payload::Records(vec![record; count].into()))
    }

    fn marker(base: u64, producer: u64, result: TransactionResult) -> RecordBatch {
        let coordinator_epoch = CoordinatorEpoch(0);
        let marker = TransactionMarker { result, coordinator_epoch };
        batch(base, Some(producer), Payload::Marker(marker))
    }

    /// Producer 1: aborted 0..4, committed 6..8. Producer 2: 3, aborted at 9. 4 is nobody's.
    fn log() -> Vec<RecordBatch> {
        vec![
            data(0, 3, Some(1)),
            data(3, 1, Some(2)),
            data(4, 1, None),
            marker(5, 1, TransactionResult::Abort),
            data(6, 1, Some(1)),
            RecordBatch { transactional: false, ..data(7, 1, Some(2)) },
            marker(8, 1, TransactionResult::Commit),
            marker(9, 2, TransactionResult::Abort),
            data(10, 1, Some(2)),
        ]
    }

    fn returned(isolation: Isolation, aborted: &[(u64, u64)]) -> Vec<u64> {
        let aborted: Vec<_> =
            aborted.iter().map(|&(id, first)| (ProducerId(id), Offset(first))).collect();
        let mut filter = AbortedTransactions::new(isolation, &aborted);
        let log = log();
        log.iter().filter(|batch| filter.returns(batch)).map(|b| b.base_offset.0).collect()
    }

    #[test]
    fn aborted_batches_are_passed_over_until_their_marker() {
        let aborted = [(1, 0), (2, 3)];
        assert_eq!(returned(Isolation::LastStable, &aborted), [4, 6, 7, 10]);
        assert_eq!(returned(Isolation::LastStable, &[]), [0, 3, 4, 6, 7, 10]);
    }

    #[test]
    fn without_read_committed_only_markers_are_passed_over() {
        assert_eq!(returned(Isolation::HighWatermark, &[]), [0, 3, 4, 6, 7, 10]);
    }
}
