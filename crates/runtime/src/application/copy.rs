//! What an application writes: for each record that it has processed one of its own, in transactions or not.

use acklab_machines::consumer::PolledRecords;
use acklab_machines::rng::NodeRng;
use acklab_scenario::model::{Output, OutputTransactions};
use acklab_vocab::api::OffsetToCommit;
use acklab_vocab::ids::{ProducerIndex, RecordId, TransactionalId};
use std::sync::Arc;

/// The writing side of a consumer's application.
#[derive(Debug)]
pub(crate) struct Copier {
    /// Whose records it reads, ascending: the k-th of `n` writers' sequence `s` becomes `s · n + k`.
    writers: Vec<ProducerIndex>,
    /// Which of the application's instances it is.
    instance: u16,
    pub(crate) transactions: Option<OutputTransactions>,
    /// Decides which transactions are aborted.
    rng: NodeRng,
    /// Records handed to the producer whose callbacks have not come.
    pub(crate) outstanding: u64,
}

impl Copier {
    pub(crate) fn new(
        output: &Output,
        writers: Vec<ProducerIndex>,
        instance: u16,
        rng: NodeRng,
    ) -> Self {
        let transactions = output.transactions.clone();
        Copier { writers, instance, transactions, rng, outstanding: 0 }
    }

    /// What has not been drawn yet comes from another stream.
    pub(crate) fn draw_from(&mut self, rng: NodeRng) {
        self.rng = rng;
    }

    /// Its `transactional.id`.
    pub(crate) fn transactional_id(&self) -> Option<TransactionalId> {
        Some(self.transactions.as_ref()?.ids[usize::from(self.instance)])
    }

    /// Draws whether the application aborts the transaction that begins.
    pub(crate) fn draws_abort(&mut self) -> bool {
        let share = self.transactions.as_ref().map_or(0, |own| own.abort_millionths);
        share > 0 && self.rng.below(1_000_000) < u64::from(share)
    }

    /// The sequence number of the copy of a record.
    fn sequence(&self, record: RecordId) -> Option<u32> {
        let writer = self.writers.binary_search(&record.producer).ok()?;
        let writers = self.writers.len() as u32;
        Some(record.sequence.wrapping_mul(writers).wrapping_add(writer as u32))
    }

    /// The sequence numbers of the copies of processed records.
    pub(crate) fn copies_of(&self, processed: &[PolledRecords]) -> Vec<u32> {
        let records = processed.iter().flat_map(records_of);
        records.filter_map(|record| self.sequence(record)).collect()
    }
}

/// The records that a piece of a batch stands for.
fn records_of(polled: &PolledRecords) -> impl Iterator<Item = RecordId> + '_ {
    let first = polled.batch.base_offset;
    let from = polled.from.distance_from(first) as usize;
    let to = polled.to.distance_from(first) as usize;
    polled.batch.records()[from..to].iter().map(|record| record.id)
}

/// The offsets that stand for records as processed: of each partition, the one after the last.
pub(crate) fn offsets_after(polled: &[PolledRecords]) -> Arc<[OffsetToCommit]> {
    let mut offsets: Vec<OffsetToCommit> = Vec::new();
    for records in polled {
        let after = OffsetToCommit {
            partition: records.partition,
            offset: records.to,
            leader_epoch: Some(records.batch.leader_epoch),
        };
        match offsets.binary_search_by_key(&records.partition, |offset| offset.partition) {
            Ok(at) => offsets[at] = after,
            Err(at) => offsets.insert(at, after),
        }
    }
    offsets.into()
}
