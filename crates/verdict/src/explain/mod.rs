//! The life of one record, for a person: what happened to it, in order, who held it at every step,
//! and what came of it.
//!
//! [`Biographer`] watches a run with one record in mind; the command `explain` runs a seed again
//! for it. It looks at facts only and keeps those that touch the record, its partition, or the
//! brokers that hold it. [`Life`] prints itself.

mod biographer;
mod consumers;
mod ending;
mod life;
mod zookeeper;

pub use biographer::Biographer;
pub use life::{Life, LifeLine};

use acklab_vocab::ids::{LeaderEpoch, Offset, RecordId, TopicPartition};
use acklab_vocab::trace::{Observer, Stamped, TraceEvent};

/// Finds out which record was written at an offset: `orders-0@1234`, or `orders-0@1234:5` for one
/// leader epoch.
#[derive(Debug)]
pub struct Locator {
    partition: TopicPartition,
    offset: Offset,
    epoch: Option<LeaderEpoch>,
    found: Option<RecordId>,
}

impl Locator {
    /// Looks for the record at an offset. Without an epoch, for the one that was written there
    /// last.
    #[must_use]
    pub fn new(partition: TopicPartition, offset: Offset, epoch: Option<LeaderEpoch>) -> Self {
        Locator { partition, offset, epoch, found: None }
    }

    /// The record, if a leader wrote one there.
    #[must_use]
    pub fn finish(self) -> Option<RecordId> {
        self.found
    }
}

impl Observer for Locator {
    fn observe(&mut self, stamped: &Stamped) {
        let TraceEvent::Appended { partition, batch } = &stamped.event else { return };
        let is_here = *partition == self.partition
            && (batch.base_offset..batch.next_offset()).contains(&self.offset)
            && self.epoch.is_none_or(|epoch| epoch == batch.leader_epoch);
        if is_here {
            let index = self.offset.distance_from(batch.base_offset) as usize;
            self.found = batch.records().get(index).map(|record| record.id);
        }
    }
}

#[cfg(test)]
mod tests;
