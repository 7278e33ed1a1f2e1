//! What readers and members are given, and how transactions end.

use acklab_vocab::ids::{GroupIndex, Offset, TopicPartition};
use acklab_vocab::record::RecordBatch;
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::{Stamped, TraceEvent};
use acklab_vocab::transaction::TransactionResult;
use std::ops::Range;

use super::State;

impl State {
    pub(super) fn observe_transaction(&mut self, stamped: &Stamped) {
        let transactions = &mut self.groups.transactions;
        match &stamped.event {
            TraceEvent::TransactionBegun { transactional_id } => {
                transactions.begin(stamped, *transactional_id);
            }
            TraceEvent::TransactionStateChanged {
                transactional_id,
                producer_id,
                state,
                by_coordinator,
                ..
            } => {
                transactions.coordinated(*producer_id, *state);
                transactions.decided(stamped.at, *transactional_id, *state, *by_coordinator);
            }
            TraceEvent::TransactionEnded { result, error, .. } => {
                let known = error.is_none().then_some(*result);
                for sent in transactions.ended(stamped, known) {
                    match result {
                        TransactionResult::Abort => {
                            self.records.aborted(stamped.at, &sent.records, sent.failed);
                        }
                        TransactionResult::Commit if !sent.failed => {
                            let produce = &mut self.produce;
                            let first = |created| produce.record(created, stamped.at);
                            self.records.acked(stamped.at, &sent.records, sent.partition, first);
                        }
                        TransactionResult::Commit => {}
                    }
                }
            }
            _ => {}
        }
    }

    /// A member of a group was given records.
    fn observe_delivery(&mut self, stamped: &Stamped, application: GroupIndex) {
        let TraceEvent::RecordsRead { partition, from, to, batch } = &stamped.event else {
            return;
        };
        let Some(scene) = self.world.scene(stamped, *partition) else { return };
        self.world.on_read(scene, *to);
        let of = self.header.groups.get(usize::from(application.0));
        if batch.transactional && of.is_some_and(|of| of.read_committed) {
            self.world.on_transactional_read(scene, batch);
        }
        let fresh = self.groups.delivered(stamped.at, stamped.node, scene.partition, *from, *to);
        let Some(fresh) = fresh.filter(|fresh| fresh < to) else { return };
        let known = fresh.distance_from(batch.base_offset) as usize;
        let end = to.distance_from(batch.base_offset) as usize;
        for record in batch.records().get(known..end).unwrap_or_default() {
            if let Some(state) = self.records.get(record.id) {
                self.end_to_end.record(state.created, stamped.at);
            }
        }
    }

    pub(super) fn observe_reader(&mut self, stamped: &Stamped) {
        let node = self.header.nodes.get(stamped.node.0 as usize);
        if let Some((application, _)) = node.and_then(|node| node.member) {
            return self.observe_delivery(stamped, application);
        }
        let Some(index) = node.and_then(|node| node.reader) else { return };
        match &stamped.event {
            TraceEvent::RecordsRead { partition, from, to, batch } => {
                if let Some(scene) = self.world.scene(stamped, *partition) {
                    self.world.on_read(scene, *to);
                    let reader = self.header.readers.get(usize::from(index));
                    if batch.transactional && reader.is_some_and(|reader| reader.read_committed) {
                        self.world.on_transactional_read(scene, batch);
                    }
                }
                self.read(stamped.at, index as usize, *partition, *from..*to, batch);
            }
            TraceEvent::PositionReset { truncated, .. } => {
                let Some(reader) = self.readers.get_mut(index as usize) else { return };
                reader.counts.resets += u64::from(!truncated);
                reader.counts.truncations += u64::from(*truncated);
            }
            TraceEvent::ReaderStopped { .. } => {
                let Some(reader) = self.readers.get_mut(index as usize) else { return };
                reader.counts.stopped += 1;
            }
            _ => {}
        }
    }

    fn read(
        &mut self,
        at: SimTime,
        reader: usize,
        partition: TopicPartition,
        range: Range<Offset>,
        batch: &RecordBatch,
    ) {
        let Some(partition) = self.world.index_of(partition) else { return };
        let Some(reader) = self.readers.get_mut(reader) else { return };
        let reached = &mut reader.reached[partition];
        let place = |offset: Offset| {
            (offset.distance_from(batch.base_offset) as usize).min(batch.records().len())
        };
        let (first, end) = (place(range.start), place(range.end));
        let returned = batch.records().get(first..end).unwrap_or_default();
        let fresh = place(*reached).clamp(first, end.max(first));
        let fresh = batch.records().get(fresh..end).unwrap_or_default();
        reader.counts.read += returned.len() as u64;
        reader.counts.reread += (returned.len() - fresh.len()) as u64;
        for record in fresh {
            if let Some(state) = self.records.get(record.id) {
                self.end_to_end.record(state.created, at);
            }
        }
        *reached = (*reached).max(range.end);
    }
}
