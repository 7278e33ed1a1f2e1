//! What a `read_committed` reader would see of the logs at rest.
//!
//! A batch of a transaction counts once a commit marker of its producer stands behind it in the
//! same log (KIP-98). Records of others behind an open transaction count, although readers wait for
//! them: that the last stable offset stands still is said once, not of every record behind it.

use acklab_vocab::ids::{Offset, ProducerId};
use acklab_vocab::record::Payload;
use acklab_vocab::transaction::TransactionResult;
use std::collections::BTreeMap;

use crate::world::World;

/// Whether a batch at rest is visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Visible {
    /// It is: in no transaction, or in a committed one.
    Yes,
    /// Its transaction was aborted.
    Aborted,
    /// Its transaction has no end in this log.
    Open,
}

/// A transaction without an end in the log at rest: the last stable offset stands before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hanging {
    /// Dense index of the partition.
    pub partition: usize,
    /// Whose transaction.
    pub producer: ProducerId,
    /// Its first offset.
    pub since: Offset,
}

/// What is visible of all logs at rest.
#[derive(Clone, Debug, Default)]
pub struct Visibility {
    /// By dense index of the partition and position in the log; `None` where everything is visible.
    partitions: Vec<Option<Vec<Visible>>>,
    /// Transactions without an end.
    pub hanging: Vec<Hanging>,
}

impl Visibility {
    /// Looks through the logs at rest.
    #[must_use]
    pub fn of(world: &World) -> Self {
        let mut visibility = Visibility::default();
        for index in 0..world.partitions.len() {
            let of_partition = visibility.look_at(world, index);
            visibility.partitions.push(of_partition);
        }
        visibility
    }

    /// Whether the batch at a position of a log at rest is visible.
    #[must_use]
    pub fn at(&self, partition: usize, position: usize) -> Visible {
        let of_partition = self.partitions.get(partition).and_then(Option::as_ref);
        let known = of_partition.and_then(|of| of.get(position));
        known.copied().unwrap_or(Visible::Yes)
    }

    fn look_at(&mut self, world: &World, index: usize) -> Option<Vec<Visible>> {
        let partition = &world.partitions[index];
        let log = &world.log_at_rest(partition)?.log;
        let batch = |position: usize| &world.appends[log[position].index()].batch;
        if !(0..log.len()).any(|position| batch(position).transactional) {
            return None;
        }
        let mut visible = vec![Visible::Yes; log.len()];
        let mut open: BTreeMap<ProducerId, Vec<usize>> = BTreeMap::new();
        for position in 0..log.len() {
            let batch = batch(position);
            let Some(stamp) = batch.stamp else { continue };
            match &batch.payload {
                Payload::Marker(marker) => {
                    let ended = open.remove(&stamp.id).unwrap_or_default();
                    if marker.result == TransactionResult::Abort {
                        ended.into_iter().for_each(|at| visible[at] = Visible::Aborted);
                    }
                }
                Payload::Records(_)
                | Payload::Offsets(_)
                | Payload::Group(_)
                | Payload::ConsumerGroup(_)
                | Payload::Transaction(_) => {
                    if batch.transactional {
                        open.entry(stamp.id).or_default().push(position);
                    }
                }
            }
        }
        for (producer, positions) in open {
            let since = batch(positions[0]).base_offset;
            self.hanging.push(Hanging { partition: index, producer, since });
            positions.into_iter().for_each(|at| visible[at] = Visible::Open);
        }
        Some(visible)
    }
}
