//! Which marker ended which batches, as leaders wrote them.
//!
//! Mirrors `ProducerStateManager`'s open transactions from outside. What stands in the log at rest
//! is decided there again, by [`Visibility`](crate::visibility::Visibility).

use acklab_vocab::record::{Payload, RecordBatch};

use super::facts::Scene;
use super::{AppendId, World};
use crate::invariants::aborted_read;
use acklab_vocab::ids::Offset;

impl World {
    /// A leader appended a batch of a transaction, or the marker that ends one.
    pub(super) fn follow_transaction(&mut self, scene: Scene, batch: &RecordBatch, id: AppendId) {
        let Some(stamp) = batch.stamp else { return };
        let partition = &mut self.partitions[scene.partition];
        let Payload::Marker(marker) = &batch.payload else {
            if batch.transactional {
                partition.open_transactions.entry(stamp.id).or_default().push(id);
            }
            return;
        };
        let Some(ended) = partition.open_transactions.remove(&stamp.id) else { return };
        let Some(leader) = partition.replica(scene.place.node) else { return };
        for before in ended {
            let base = self.appends[before.index()].batch.base_offset;
            if leader.batch_at(base, &self.appends) == Some(before) {
                let append = &mut self.appends[before.index()];
                append.ended = Some(marker.result);
                let epoch = append.batch.stamp.map(|of| of.epoch);
                append.ended_in_own_epoch = epoch == Some(stamp.epoch);
            }
        }
    }

    /// A `read_committed` consumer returned a batch of a transaction.
    pub(crate) fn on_transactional_read(&mut self, scene: Scene, batch: &RecordBatch) {
        let here = self.partitions[scene.partition].replicas.iter();
        let ids = here.filter_map(|of| of.batch_at(batch.base_offset, &self.appends));
        let mut same =
            ids.filter(|id| self.appends[id.index()].batch.leader_epoch == batch.leader_epoch);
        let Some(id) = same.next() else { return };
        let base: Offset = batch.base_offset;
        let text = aborted_read::check(base, self.appends[id.index()].ended);
        self.breach(scene, &aborted_read::INVARIANT, text);
    }
}
