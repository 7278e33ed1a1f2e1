//! Batches that are given up because their transaction is
//! (`RecordAccumulator.abortUndrainedBatches`, `abortBatches`).

use super::JavaProducer;
use super::accumulator::RecordAccumulator;
use super::batch::BatchId;
use crate::producer::ProducerCx;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::TopicPartition;
use acklab_vocab::trace::SendOutcome;

impl RecordAccumulator {
    /// Takes batches out of the deques, in the order of partitions: all, or only those that were
    /// never drained.
    fn take_queued(&mut self, only_undrained: bool) -> Vec<BatchId> {
        let partitions = self.topics.iter().flat_map(|topic| &topic.partitions);
        let queued = partitions.filter(|queue| !queue.deque.is_empty());
        let queued: Vec<TopicPartition> = queued.map(|queue| queue.partition).collect();
        let mut taken = Vec::new();
        for partition in queued {
            let mut deque = std::mem::take(&mut self.queue(partition).deque);
            let before = taken.len();
            deque.retain(|&id| {
                let takes = !only_undrained || self.batches[id].stamp.is_none();
                if takes {
                    taken.push(id);
                }
                !takes
            });
            self.queue(partition).deque = deque;
            if taken.len() > before {
                self.update_standing(partition);
            }
        }
        taken
    }
}

impl JavaProducer {
    /// The transaction is to be aborted: what was never drained never will be. Returns whether
    /// there was anything.
    pub(super) fn abort_undrained_batches(
        &mut self,
        cx: &mut ProducerCx<'_>,
        error: ErrorCode,
    ) -> bool {
        if self.accumulator.incomplete == 0 {
            return false;
        }
        let undrained = self.accumulator.take_queued(true);
        for &id in &undrained {
            self.tell(cx, id, SendOutcome::Failed(error));
            self.accumulator.batches.release(id);
        }
        !undrained.is_empty()
    }

    /// The producer can only be closed: no batch is of use. Those in flight stay known until their
    /// requests are over.
    pub(super) fn abort_batches(&mut self, cx: &mut ProducerCx<'_>, error: ErrorCode) -> bool {
        if self.accumulator.incomplete == 0 {
            return false;
        }
        for id in self.accumulator.take_queued(false) {
            self.tell(cx, id, SendOutcome::Failed(error));
            self.accumulator.batches.release(id);
        }
        let partitions = self.accumulator.topics.iter().flat_map(|topic| &topic.partitions);
        let in_flight: Vec<BatchId> =
            partitions.flat_map(|queue| queue.in_flight.iter().copied()).collect();
        for id in in_flight {
            self.tell(cx, id, SendOutcome::Failed(error));
        }
        true
    }
}
