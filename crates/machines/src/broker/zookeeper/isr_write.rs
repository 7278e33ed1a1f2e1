//! Before 2.7: the leader writes the ISR to ZooKeeper itself, and holds the partition's lock until
//! the answer is there.
//!
//! Mirrors `Partition.updateIsr`, `shrinkIsr` and `expandIsr` with `leaderIsrUpdateLock`, and
//! `ReplicationUtils.updateLeaderAndIsr`. The write is bound to the znode's version. If that is
//! another one ("Cached zkVersion not equal to that in zookeeper, skip updating ISR"), the leader
//! keeps the ISR and the version that it had, and tries again at the next occasion, until the
//! controller tells it of a new leader epoch (KAFKA-2729). While ZooKeeper cannot be reached the
//! lock stays held: appends, the fetches of followers and LeaderAndIsr for the partition wait in
//! their threads ([`threads`](super::threads)).
//!
//! Lagging followers are looked for by one thread, partition by partition: it, too, waits for each
//! write. Simplified: a fetch that brings its follower into the ISR is answered before the write is
//! done; the next fetch of that follower waits.

use super::ZooKeeperPurpose;
use crate::broker::{Broker, BrokerCx, BrokerTimer};
use acklab_vocab::api::{ZooKeeperOperation, ZooKeeperReply};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{BrokerList, PartitionEpoch};
use acklab_vocab::metadata_log::PartitionState;
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::{PartitionChangeReason, TraceEvent};
use acklab_vocab::zookeeper::{ZnodeData, ZooKeeperError, paths};
use std::collections::BTreeMap;

/// ISRs on their way to ZooKeeper, each with its partition's lock.
#[derive(Debug, Default)]
pub(super) struct IsrWrites {
    /// By slot: what is being written.
    held: BTreeMap<usize, ZnodeData>,
    /// The thread that looks for lagging followers, while it does.
    shrinking: Option<Shrinking>,
    /// When it was to begin anew.
    next_round: Option<SimTime>,
}

#[derive(Clone, Copy, Debug)]
struct Shrinking {
    /// When it was to begin: the next round is half of `replica.lag.time.max.ms` later.
    due: SimTime,
    /// The slot that it looks at next.
    next: usize,
    /// The slot whose ISR it is writing.
    writing: Option<usize>,
}

impl IsrWrites {
    /// No lock is held.
    pub fn are_idle(&self) -> bool {
        self.held.is_empty()
    }

    /// How many locks are held.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// The slots whose locks are held.
    pub fn slots(&self) -> impl Iterator<Item = usize> + '_ {
        self.held.keys().copied()
    }

    /// The partition's lock is held.
    pub fn hold(&self, slot: usize) -> bool {
        self.held.contains_key(&slot)
    }
}

type Answer = Result<ZooKeeperReply, ZooKeeperError>;

impl Broker {
    /// The partition's lock is held while its ISR is being written to ZooKeeper.
    pub(in crate::broker) fn is_locked(&self, slot: usize) -> bool {
        self.membership.by_zookeeper().is_some_and(|own| own.isr_writes.hold(slot))
    }

    /// Begins to look for lagging followers.
    pub(in crate::broker) fn begin_isr_shrinking(&mut self, cx: &mut BrokerCx<'_>) {
        let writes = &mut self.membership.zookeeper().isr_writes;
        let due = writes.next_round.unwrap_or_else(|| cx.now());
        writes.shrinking = Some(Shrinking { due, next: 0, writing: None });
        self.continue_isr_shrinking(cx);
    }

    fn continue_isr_shrinking(&mut self, cx: &mut BrokerCx<'_>) {
        loop {
            let Some(mut round) = self.membership.zookeeper().isr_writes.shrinking else { return };
            let slot = round.next;
            if round.writing.is_some() {
                return;
            }
            if slot == self.replicas.len() {
                self.end_isr_shrinking(cx, round.due);
                return;
            }
            if self.is_locked(slot) {
                return;
            }
            round.next += 1;
            let isr = self.isr_without_laggards(slot, cx.now());
            round.writing = isr.is_some().then_some(slot);
            self.membership.zookeeper().isr_writes.shrinking = Some(round);
            if let Some(isr) = isr {
                self.write_isr(cx, slot, isr);
            }
        }
    }

    /// A round that took too long is followed by those that it has held up, at once
    /// (`scheduleAtFixedRate`).
    fn end_isr_shrinking(&mut self, cx: &mut BrokerCx<'_>, due: SimTime) {
        let next = due + self.shared.config.replica_lag_time_max / 2;
        let writes = &mut self.membership.zookeeper().isr_writes;
        writes.shrinking = None;
        writes.next_round = Some(next);
        cx.set_timer(BrokerTimer::IsrExpiration, next.max(cx.now()));
    }

    /// Writes an ISR, and takes the partition's lock until that is done.
    pub(in crate::broker) fn write_isr(
        &mut self,
        cx: &mut BrokerCx<'_>,
        slot: usize,
        isr: BrokerList,
    ) {
        let partition = &mut self.replicas[slot];
        partition.set_pending_isr(cx, 0, isr.clone());
        let state = PartitionState {
            partition: partition.id,
            replicas: partition.replicas.clone(),
            isr,
            eligible: BrokerList::new(),
            leader: Some(self.shared.id),
            leader_epoch: partition.leader_epoch,
            partition_epoch: partition.partition_epoch,
            recovering: false,
        };
        let version = partition.partition_epoch.0;
        let path = paths::partition_state(partition.id);
        let controller_epoch = partition.controller_epoch;
        let reason = PartitionChangeReason::AlterPartition;
        let data = ZnodeData::Partition { state, controller_epoch, reason };
        let operation =
            ZooKeeperOperation::SetData { path, data: data.clone(), version: Some(version) };
        self.membership.zookeeper().isr_writes.held.insert(slot, data);
        self.zookeeper_operate(cx, operation, ZooKeeperPurpose::IsrWrite(slot));
    }

    pub(super) fn on_isr_write_reply(
        &mut self,
        cx: &mut BrokerCx<'_>,
        slot: usize,
        result: &Answer,
    ) {
        match result {
            Ok(ZooKeeperReply::Stat(stat)) => {
                self.on_isr_written(cx, slot, PartitionEpoch(stat.version));
            }
            Err(ZooKeeperError::BadVersion) => {
                // The connection may have been lost after the write was done.
                let path = paths::partition_state(self.replicas[slot].id);
                let operation = ZooKeeperOperation::GetData { path, watch: false };
                self.zookeeper_operate(cx, operation, ZooKeeperPurpose::IsrCheck(slot));
            }
            Err(ZooKeeperError::SessionExpired) => self.on_isr_write_aborted(cx, slot),
            _ => self.on_isr_not_written(cx, slot, ErrorCode::InvalidUpdateVersion),
        }
    }

    pub(super) fn on_isr_check_reply(
        &mut self,
        cx: &mut BrokerCx<'_>,
        slot: usize,
        result: &Answer,
    ) {
        let wanted = self.membership.zookeeper().isr_writes.held.get(&slot);
        match result {
            Ok(ZooKeeperReply::Data(data, stat))
                if wanted.is_some_and(|it| says_same(it, data)) =>
            {
                self.on_isr_written(cx, slot, PartitionEpoch(stat.version));
            }
            _ => self.on_isr_not_written(cx, slot, ErrorCode::InvalidUpdateVersion),
        }
    }

    fn on_isr_written(&mut self, cx: &mut BrokerCx<'_>, slot: usize, version: PartitionEpoch) {
        self.fetch_sessions.activate(slot, &mut self.replicas);
        let partition = &mut self.replicas[slot];
        partition.partition_epoch = version;
        if let Some(isr) = partition.pending_isr().map(|pending| pending.isr.clone()) {
            partition.commit_isr(cx, &isr, false);
        }
        let (id, moved) =
            (partition.id, partition.maybe_increment_high_watermark(cx, &self.shared));
        self.record_isr_change(cx, id);
        self.unlock(cx, slot, moved);
    }

    fn on_isr_not_written(&mut self, cx: &mut BrokerCx<'_>, slot: usize, error: ErrorCode) {
        let partition = &mut self.replicas[slot];
        let id = partition.id;
        cx.trace(|| TraceEvent::IsrProposalRefused { partition: id, error });
        partition.clear_pending_isr();
        let moved = partition.maybe_increment_high_watermark(cx, &self.shared);
        self.unlock(cx, slot, moved);
    }

    /// The session has expired in the middle of it: an exception, with which a round of looking for
    /// lagging followers ends.
    fn on_isr_write_aborted(&mut self, cx: &mut BrokerCx<'_>, slot: usize) {
        let shrinking = self.membership.zookeeper().isr_writes.shrinking;
        if let Some(Shrinking { due, .. }) = shrinking.filter(|it| it.writing == Some(slot)) {
            self.end_isr_shrinking(cx, due);
        }
        self.on_isr_not_written(cx, slot, ErrorCode::NetworkException);
    }

    /// Gives the lock back, then completes what the high watermark completes, then lets those go on
    /// who waited for the lock.
    fn unlock(&mut self, cx: &mut BrokerCx<'_>, slot: usize, high_watermark_moved: bool) {
        self.membership.zookeeper().isr_writes.held.remove(&slot);
        if high_watermark_moved {
            self.complete_after_high_watermark(cx, slot);
        }
        if let Some(round) = &mut self.membership.zookeeper().isr_writes.shrinking
            && round.writing == Some(slot)
        {
            round.writing = None;
        }
        self.continue_isr_shrinking(cx);
        self.resume_threads(cx);
    }
}

/// Whether two states of a partition are the same, whoever wrote them and why
/// (`ReplicationUtils.checkLeaderAndIsrZkData`).
fn says_same(wanted: &ZnodeData, found: &ZnodeData) -> bool {
    let (
        ZnodeData::Partition { state: wanted, controller_epoch: wanted_by, .. },
        ZnodeData::Partition { state: found, controller_epoch: found_by, .. },
    ) = (wanted, found)
    else {
        return false;
    };
    wanted_by == found_by
        && (wanted.leader, wanted.leader_epoch, &wanted.isr)
            == (found.leader, found.leader_epoch, &found.isr)
}
