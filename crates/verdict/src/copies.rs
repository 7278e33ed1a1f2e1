//! The copies in the logs at rest: how many each record has, and which first copies stand behind
//! those of later records.
//!
//! A producer's records are in the order of their numbers. What an application writes is numbered as
//! what it reads, so there the order is that in which it handed the records over, as far as one
//! process did: one idempotent producer's, or that of an application of one process. Left out: records
//! that an application wrote more than once, and those of an application of several processes whose
//! producer is not idempotent, where nothing in the log tells who wrote them.

use acklab_vocab::ids::{ProducerId, ProducerIndex, RecordId};
use acklab_vocab::record::RecordBatch;
use acklab_vocab::trace::RunHeader;
use std::collections::BTreeMap;

use crate::fates::Evidences;
use crate::records::{RecordState, RecordTable};
use crate::visibility::Visible;
use crate::world::AppendId;

/// A record whose first copy stands behind that of a later one.
#[derive(Clone, Copy, Debug)]
pub struct Inversion {
    /// The first copy.
    pub copy: AppendId,
    /// That of the later record.
    pub ahead: AppendId,
    /// The later record.
    pub ahead_record: RecordId,
}

/// By record.
pub type Inversions = BTreeMap<RecordId, Inversion>;

/// The latest record of one process in a partition, and where it stands in the order of records.
#[derive(Clone, Copy, Debug)]
struct Latest {
    rank: i64,
    record: RecordId,
    copy: AppendId,
}

/// Which process handed a record over, among those of its producer's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Process {
    Instance(u32),
    Idempotent(ProducerId),
}

/// Counts the copies in the logs at rest and finds first copies that are out of order.
pub fn count_copies(evidences: &Evidences<'_>, table: &mut RecordTable) -> Inversions {
    let Evidences { header, world, .. } = evidences;
    let mut inversions = Inversions::new();
    let mut latest: BTreeMap<(ProducerIndex, Process), Latest> = BTreeMap::new();
    let orders: Vec<Order> = (0..header.producers.len()).map(|of| Order::of(header, of)).collect();
    for (index, partition) in world.partitions.iter().enumerate() {
        latest.clear();
        let Some(replica) = world.log_at_rest(partition) else { continue };
        for (position, &copy) in replica.log.iter().enumerate() {
            if evidences.visibility.at(index, position) != Visible::Yes {
                continue;
            }
            let batch = &world.appends[copy.index()].batch;
            // A batch is of one process.
            let Some(first) = batch.records().first() else { continue };
            let order = orders.get(first.id.producer.0 as usize);
            let line = order.and_then(|of| Some((first.id.producer, of.process(batch, first.id)?)));
            let mut ahead = line.and_then(|line| latest.get(&line).copied());
            for (index, record) in batch.records().iter().enumerate() {
                let state = table.get_mut(record.id);
                state.copies = state.copies.saturating_add(1);
                if state.copies > 1 {
                    continue;
                }
                state.first_copy = batch.base_offset.plus(index as u64);
                let Some(rank) = order.and_then(|of| of.rank(record.id, state)) else { continue };
                match ahead {
                    Some(Latest { rank: later, record: ahead_record, copy: ahead })
                        if line.is_some() && later > rank =>
                    {
                        state.mark_reordered();
                        inversions.insert(record.id, Inversion { copy, ahead, ahead_record });
                    }
                    Some(_) | None => ahead = Some(Latest { rank, record: record.id, copy }),
                }
            }
            if let (Some(line), Some(ahead)) = (line, ahead) {
                latest.insert(line, ahead);
            }
        }
    }
    inversions
}

/// What puts the records of a producer's name in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// Their numbers: of `n` instances each has every n-th.
    Numbers(u32),
    /// When they were handed over, by an application of so many processes.
    HandedOver(u16),
}

impl Order {
    fn of(header: &RunHeader, producer: usize) -> Self {
        let mut groups = header.groups.iter();
        let writer = groups.find(|of| of.output == Some(ProducerIndex(producer as u16)));
        match writer {
            Some(application) => Order::HandedOver(application.instances),
            None => Order::Numbers(u32::from(header.producers[producer].count.max(1))),
        }
    }

    /// Who wrote a batch, by one of its records.
    fn process(self, batch: &RecordBatch, of: RecordId) -> Option<Process> {
        match (self, batch.stamp) {
            (Order::Numbers(count), _) => Some(Process::Instance(of.sequence % count)),
            (Order::HandedOver(_), Some(stamp)) => Some(Process::Idempotent(stamp.id)),
            (Order::HandedOver(1), None) => Some(Process::Instance(0)),
            (Order::HandedOver(_), None) => None,
        }
    }

    /// Where a record stands among those of its process.
    fn rank(self, of: RecordId, state: &RecordState) -> Option<i64> {
        match self {
            Order::Numbers(_) => Some(i64::from(of.sequence)),
            Order::HandedOver(_) => (!state.is_resent()).then_some(state.created.0),
        }
    }
}
