//! Becoming and ceasing to be a coordinator: loading and unloading partitions.
//!
//! Mirrors `GroupCoordinator.onElection` and `onResignation`,
//! `GroupMetadataManager.loadGroupsAndOffsets`, `CoordinatorRuntime.scheduleLoadOperation` and
//! `TransactionStateManager.loadTransactionsForTxnTopicPartition`. Each coordinator has one thread
//! for this: partitions are read one after the other, in the order of the elections. Simplified:
//! what a load finds is taken from the log at its end, not while it goes on; nobody but a
//! transaction's markers appends to a partition that is loading.

use super::{CoordinatorKind, Coordinators, Owned};
use crate::broker::{Broker, BrokerCx, BrokerTimer};
use crate::disk::{Disk, LogId};
use acklab_vocab::ids::{LeaderEpoch, TopicPartition};
use acklab_vocab::time::SimDuration;
use acklab_vocab::trace::TraceEvent;
use std::collections::VecDeque;

/// What loading a partition costs, however little is in it: a turn of the loader's thread.
const LOAD_BASE: SimDuration = SimDuration::from_millis(1);
/// What loading costs for each byte: 100 MB/s, from the page cache through the parser.
const LOAD_PER_BYTE: SimDuration = SimDuration::from_nanos(10);

/// Partitions that wait to be read; the first of each queue is being read.
#[derive(Debug, Default)]
pub(super) struct Loads {
    groups: VecDeque<TopicPartition>,
    transactions: VecDeque<TopicPartition>,
}

impl Loads {
    fn queue(&mut self, kind: CoordinatorKind) -> &mut VecDeque<TopicPartition> {
        match kind {
            CoordinatorKind::Groups => &mut self.groups,
            CoordinatorKind::Transactions => &mut self.transactions,
        }
    }
}

fn load_duration(disk: &Disk, log: LogId) -> SimDuration {
    let bytes = disk.log(log).batches().iter().map(|batch| u64::from(batch.size)).sum();
    LOAD_BASE.saturating_add(LOAD_PER_BYTE * bytes)
}

impl Coordinators {
    /// Queues a partition for loading; true if it is first.
    fn enqueue(&mut self, kind: CoordinatorKind, partition: TopicPartition) -> bool {
        let queue = self.loads.queue(kind);
        queue.push_back(partition);
        queue.len() == 1
    }
}

impl Broker {
    /// The broker leads `partition` in an epoch that is new to it: if it is internal, the broker
    /// becomes a coordinator.
    pub(in crate::broker) fn coordinator_elected(
        &mut self,
        cx: &mut BrokerCx<'_>,
        partition: TopicPartition,
        epoch: LeaderEpoch,
    ) {
        let Some(kind) = self.coordinators.kind_of(partition.topic) else { return };
        match (kind, self.coordinators.owned.get_mut(&partition)) {
            // Still the leader: what it holds stays.
            (CoordinatorKind::Groups, Some(owned)) => {
                owned.epoch = epoch;
                return;
            }
            // The transaction coordinator reads everything anew.
            (CoordinatorKind::Transactions, Some(_)) => self.coordinator_resigned(cx, partition),
            (CoordinatorKind::Groups | CoordinatorKind::Transactions, None) => {}
        }
        self.coordinators.owned.insert(partition, Owned { epoch, loaded: false });
        if self.coordinators.enqueue(kind, partition) {
            self.start_load(cx, kind);
        }
    }

    /// The broker no longer leads `partition`. Appends that waited have been told already.
    pub(in crate::broker) fn coordinator_resigned(
        &mut self,
        cx: &mut BrokerCx<'_>,
        partition: TopicPartition,
    ) {
        let Some(kind) = self.coordinators.kind_of(partition.topic) else { return };
        let Some(owned) = self.coordinators.owned.remove(&partition) else { return };
        if !owned.loaded {
            let queue = self.coordinators.loads.queue(kind);
            let was_first = queue.front() == Some(&partition);
            queue.retain(|&waiting| waiting != partition);
            if was_first {
                self.start_load(cx, kind);
            }
            return;
        }
        cx.trace(|| TraceEvent::CoordinatorUnloaded { partition });
        match kind {
            CoordinatorKind::Groups => self.unload_groups(cx, partition),
            CoordinatorKind::Transactions => self.unload_transactions(cx, partition),
        }
    }

    fn start_load(&mut self, cx: &mut BrokerCx<'_>, kind: CoordinatorKind) {
        let timer = BrokerTimer::CoordinatorLoad(kind);
        let Some(&partition) = self.coordinators.loads.queue(kind).front() else {
            cx.cancel_timer(timer);
            return;
        };
        let slot = self.replicas.slot(partition).expect("a leader has a log");
        let duration = load_duration(cx.disk(), self.replicas[slot].log.id());
        cx.set_timer_after(timer, duration);
    }

    /// The first partition of the queue has been read.
    pub(in crate::broker) fn on_coordinator_load(
        &mut self,
        cx: &mut BrokerCx<'_>,
        kind: CoordinatorKind,
    ) {
        let Some(partition) = self.coordinators.loads.queue(kind).pop_front() else { return };
        let owned = self.coordinators.owned.get_mut(&partition).expect("what loads is owned");
        owned.loaded = true;
        let leader_epoch = owned.epoch;
        cx.trace(|| TraceEvent::CoordinatorLoaded { partition, leader_epoch });
        match kind {
            CoordinatorKind::Groups => self.load_groups(cx, partition),
            CoordinatorKind::Transactions => self.load_transactions(cx, partition, leader_epoch),
        }
        self.start_load(cx, kind);
    }
}
