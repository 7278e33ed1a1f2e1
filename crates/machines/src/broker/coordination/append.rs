//! Appending to an internal partition, for a coordinator that waits until it is replicated.
//!
//! Mirrors `ReplicaManager.appendRecords` as `GroupMetadataManager.appendForGroup` and
//! `TransactionStateManager.appendTransactionToLog` use it, and `CoordinatorPartitionWriter` with
//! the deferred event queue of `CoordinatorRuntime`. Left out: waiting for the leader's own flush
//! under `flush.messages`; it is asked for, and the followers hold the high watermark back until
//! theirs are done.

use crate::broker::group_coordinator::GroupWrite;
use crate::broker::log::CoordinatorBatch;
use crate::broker::transaction_coordinator::TransactionWrite;
use crate::broker::{Broker, BrokerCx, BrokerTimer};
use crate::disk::FlushTarget;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{Offset, TopicPartition};
use acklab_vocab::record::{BATCH_OVERHEAD_BYTES, Payload, RECORD_OVERHEAD_BYTES, RecordBatch};
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::TraceEvent;
use std::collections::BTreeMap;
use std::sync::Arc;

/// When an append is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::broker) enum Acknowledgement {
    /// At once (`acks` 0 and 1).
    AtOnce,
    /// As a produce with acks=all: refused with NOT_ENOUGH_REPLICAS while the ISR is under
    /// `min.insync.replicas`; done when the high watermark passes it, with
    /// NOT_ENOUGH_REPLICAS_AFTER_APPEND if the ISR has become too small meanwhile.
    Replicated,
    /// When the high watermark passes it, whatever the ISR (`CoordinatorRuntime`). A timeout only
    /// says that nobody waits any longer: what waits may keep a remainder that is told the outcome.
    HighWatermark,
}

/// A batch that a coordinator appends.
#[derive(Clone, Debug)]
pub(in crate::broker) struct CoordinatorAppend {
    /// Where; an internal partition, or for a transaction's marker any.
    pub partition: TopicPartition,
    /// What; see [`plain_batch`] for what belongs to no transaction.
    pub batch: CoordinatorBatch,
    /// When it is done.
    pub acknowledgement: Acknowledgement,
    /// When it fails with REQUEST_TIMED_OUT; it stays in the log.
    pub deadline: SimTime,
}

/// Who is told what became of an append. One variant per coordinator; each says in its own type
/// what it does next.
#[derive(Debug)]
pub(in crate::broker) enum AppendWaiter {
    /// [`Broker::on_group_write_done`] is called.
    Group(GroupWrite),
    /// [`Broker::on_transaction_write_done`] is called.
    Transaction(TransactionWrite),
}

/// An append that waits, in its partition's queue. The queue is in the order of the log.
#[derive(Debug)]
pub(in crate::broker) struct ParkedAppend {
    id: u64,
    base_offset: Offset,
    /// Where the high watermark has to be.
    required: Offset,
    acknowledgement: Acknowledgement,
    /// `None` once it has passed, for what remains of the waiter.
    deadline: Option<SimTime>,
    waiter: AppendWaiter,
}

/// The deadlines of everything that waits, and the timer for them.
#[derive(Debug, Default)]
pub(super) struct AppendDeadlines {
    last_id: u64,
    /// By deadline and id: where the partition is among the replicas.
    by_time: BTreeMap<(SimTime, u64), usize>,
    armed: Option<SimTime>,
}

/// Bytes of a record of `__consumer_offsets` that holds an offset: an estimate for short names.
const OFFSET_RECORD_BYTES: u32 = 90;
/// Bytes of a group's or a transaction's record before its members or partitions: an estimate.
const METADATA_RECORD_BYTES: u32 = 100;
/// Bytes of a member, and of a partition, in such a record: an estimate.
const MEMBER_BYTES: u32 = 120;
const PARTITION_BYTES: u32 = 8;
/// A control batch (`EndTransactionMarker.CURRENT_END_TXN_SCHEMA_RECORD_SIZE`).
const MARKER_BATCH_BYTES: u32 = 78;

/// Size of a coordinator's batch on disk, in bytes: an estimate.
pub(in crate::broker) fn payload_bytes(payload: &Payload) -> u32 {
    let body = match payload {
        Payload::Offsets(offsets) => OFFSET_RECORD_BYTES * offsets.len() as u32,
        Payload::Group(group) => {
            let members = group.value.iter().flat_map(|value| &value.members);
            let bytes = members.map(|member| {
                let listed = member.subscription.topics.len() + member.subscription.owned.len();
                MEMBER_BYTES + PARTITION_BYTES * (listed + member.assignment.len()) as u32
            });
            METADATA_RECORD_BYTES + bytes.sum::<u32>()
        }
        Payload::ConsumerGroup(records) => METADATA_RECORD_BYTES * records.len() as u32,
        Payload::Transaction(transaction) => {
            let partitions = transaction.value.as_ref().map_or(0, |value| value.partitions.len());
            METADATA_RECORD_BYTES + PARTITION_BYTES * partitions as u32
        }
        Payload::Marker(_) => return MARKER_BATCH_BYTES,
        Payload::Records(records) => {
            records.iter().map(|record| record.size + RECORD_OVERHEAD_BYTES).sum()
        }
    };
    BATCH_OVERHEAD_BYTES + body
}

/// A batch that belongs to no transaction.
pub(in crate::broker) fn plain_batch(payload: Payload) -> CoordinatorBatch {
    CoordinatorBatch {
        size: payload_bytes(&payload),
        payload,
        stamp: None,
        transactional: false,
        guard: None,
        version_2: false,
    }
}

impl Broker {
    /// Appends a coordinator's batch to a partition that this broker leads.
    ///
    /// How to use it: keep whatever the outcome needs in the `waiter`, and change the state that
    /// others see when the waiter is called back. It is called exactly once: with the offset of the
    /// batch's first record when `append.acknowledgement` is fulfilled, or with an error. That may
    /// be *before this function returns* (an error, acks=1, an ISR of one): hold no half-changed
    /// state across the call.
    ///
    /// Errors with which nothing was written:
    /// - UNKNOWN_TOPIC_OR_PARTITION, NOT_LEADER_OR_FOLLOWER: the broker does not lead it.
    /// - NOT_ENOUGH_REPLICAS: see [`Acknowledgement::Replicated`].
    /// - Those of [`Log::append_as_coordinator`](crate::broker::log::Log::append_as_coordinator).
    ///
    /// Errors after which the batch is in the log:
    /// - REQUEST_TIMED_OUT: the deadline has passed.
    /// - NOT_LEADER_OR_FOLLOWER: the leadership is lost; told before the coordinator is unloaded.
    /// - NOT_ENOUGH_REPLICAS_AFTER_APPEND: see [`Acknowledgement::Replicated`].
    pub(in crate::broker) fn append_as_coordinator(
        &mut self,
        cx: &mut BrokerCx<'_>,
        append: CoordinatorAppend,
        waiter: AppendWaiter,
    ) {
        let (acknowledgement, deadline) = (append.acknowledgement, append.deadline);
        let (slot, batch) = match self.append_to_led(cx, append) {
            Ok(appended) => appended,
            Err(error) => {
                self.on_append_done(cx, waiter, Err(error));
                return;
            }
        };
        let (base_offset, required) = (batch.base_offset, batch.next_offset());
        let advanced = self.replicas[slot].maybe_increment_high_watermark(cx, &self.shared);
        if acknowledgement == Acknowledgement::AtOnce {
            self.on_append_done(cx, waiter, Ok(base_offset));
        } else {
            let deadline = Some(deadline);
            let id = self.coordinators.deadlines.next_id();
            self.park_append(
                cx,
                slot,
                ParkedAppend { id, base_offset, required, acknowledgement, deadline, waiter },
            );
            // The ISR may be this broker alone.
            self.complete_coordinator_appends(cx, slot);
        }
        if advanced {
            self.complete_after_high_watermark(cx, slot);
        }
        self.complete_after_append(cx, slot);
    }

    /// Has `waiter` called back when the high watermark of a partition that this broker leads has
    /// reached `required`; at once if it has. As for an append with
    /// [`Acknowledgement::HighWatermark`], but nothing is written.
    pub(in crate::broker) fn await_high_watermark(
        &mut self,
        cx: &mut BrokerCx<'_>,
        (partition, required): (TopicPartition, Offset),
        deadline: Option<SimTime>,
        waiter: AppendWaiter,
    ) {
        let slot = match self.led(partition, None) {
            Ok(slot) => slot,
            Err(error) => {
                self.on_append_done(cx, waiter, Err(error));
                return;
            }
        };
        let acknowledgement = Acknowledgement::HighWatermark;
        let id = self.coordinators.deadlines.next_id();
        let base_offset = required;
        self.park_append(
            cx,
            slot,
            ParkedAppend { id, base_offset, required, acknowledgement, deadline, waiter },
        );
        self.complete_coordinator_appends(cx, slot);
    }

    /// Where the log of a partition that this broker leads ends, if not all of it is committed
    /// (`lastWrittenOffset` is above `lastCommittedOffset`).
    pub(in crate::broker) fn uncommitted_end(&self, partition: TopicPartition) -> Option<Offset> {
        let log = &self.replicas[self.led(partition, None).ok()?].log;
        (log.high_watermark() < log.end_offset()).then(|| log.end_offset())
    }

    fn append_to_led(
        &mut self,
        cx: &mut BrokerCx<'_>,
        append: CoordinatorAppend,
    ) -> Result<(usize, Arc<RecordBatch>), ErrorCode> {
        let slot = self.led(append.partition, None)?;
        let partition = &mut self.replicas[slot];
        let min_isr = partition.effective_min_isr(&self.shared);
        let in_sync = partition.leader_state().map_or(0, |leader| leader.isr.len());
        if append.acknowledgement == Acknowledgement::Replicated && in_sync < min_isr {
            return Err(ErrorCode::NotEnoughReplicas);
        }
        let (now, leader_epoch, id) = (cx.now(), partition.leader_epoch, partition.id);
        let log = &mut partition.log;
        let batch = log.append_as_coordinator(cx.disk(), now, leader_epoch, append.batch)?;
        let appended = Arc::clone(&batch);
        cx.trace(|| TraceEvent::Appended { partition: id, batch: appended });
        if partition.log.take_flush_due() {
            let target = FlushTarget::Log(partition.log.id());
            self.flushes.ask(cx, target, None);
        }
        Ok((slot, batch))
    }

    fn park_append(&mut self, cx: &mut BrokerCx<'_>, slot: usize, parked: ParkedAppend) {
        if let Some(deadline) = parked.deadline {
            let deadlines = &mut self.coordinators.deadlines;
            deadlines.by_time.insert((deadline, parked.id), slot);
            deadlines.arm(cx);
        }
        self.replicas[slot].coordinator_appends.push_back(parked);
    }

    /// The partition's high watermark, ISR or leader has changed: tells those whose appends are
    /// done.
    pub(in crate::broker) fn complete_coordinator_appends(
        &mut self,
        cx: &mut BrokerCx<'_>,
        slot: usize,
    ) {
        while let Some(front) = self.replicas[slot].coordinator_appends.front() {
            let partition = &self.replicas[slot];
            let outcome = match front.acknowledgement {
                _ if !partition.is_leader() => Err(ErrorCode::NotLeaderOrFollower),
                Acknowledgement::Replicated => {
                    partition.check_replicated(&self.shared, front.required)
                }
                Acknowledgement::AtOnce | Acknowledgement::HighWatermark => {
                    Ok(partition.log.high_watermark() >= front.required)
                }
            };
            let result = match outcome {
                Ok(false) => break,
                Ok(true) => Ok(front.base_offset),
                Err(error) => Err(error),
            };
            let parked = self.replicas[slot].coordinator_appends.pop_front();
            let parked = parked.expect("the front is there");
            if let Some(deadline) = parked.deadline {
                self.coordinators.deadlines.by_time.remove(&(deadline, parked.id));
            }
            self.on_append_done(cx, parked.waiter, result);
        }
    }

    /// Deadlines have passed.
    pub(in crate::broker) fn expire_coordinator_appends(&mut self, cx: &mut BrokerCx<'_>) {
        self.coordinators.deadlines.armed = None;
        let now = cx.now();
        while let Some(first) = self.coordinators.deadlines.by_time.first_entry() {
            let (deadline, id) = *first.key();
            if deadline > now {
                break;
            }
            let slot = first.remove();
            self.expire_append(cx, slot, id);
        }
        self.coordinators.deadlines.arm(cx);
    }

    fn expire_append(&mut self, cx: &mut BrokerCx<'_>, slot: usize, id: u64) {
        let queue = &mut self.replicas[slot].coordinator_appends;
        let at = queue.iter().position(|parked| parked.id == id);
        let at = at.expect("what has a deadline is parked");
        let parked = queue.remove(at).expect("it has just been found");
        let ParkedAppend { base_offset, required, acknowledgement, waiter, .. } = parked;
        let remainder = match (acknowledgement, waiter) {
            (Acknowledgement::HighWatermark, AppendWaiter::Group(write)) => {
                self.on_group_write_timed_out(cx, write).map(AppendWaiter::Group)
            }
            (_, waiter) => {
                self.on_append_done(cx, waiter, Err(ErrorCode::RequestTimedOut));
                None
            }
        };
        if let Some(waiter) = remainder {
            let queue = &mut self.replicas[slot].coordinator_appends;
            let at = queue.partition_point(|parked| parked.id < id);
            let parked =
                ParkedAppend { id, base_offset, required, acknowledgement, deadline: None, waiter };
            queue.insert(at, parked);
        }
    }

    fn on_append_done(
        &mut self,
        cx: &mut BrokerCx<'_>,
        waiter: AppendWaiter,
        result: Result<Offset, ErrorCode>,
    ) {
        match waiter {
            AppendWaiter::Group(write) => self.on_group_write_done(cx, write, result),
            AppendWaiter::Transaction(write) => self.on_transaction_write_done(cx, write, result),
        }
    }
}

impl AppendDeadlines {
    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// Sets the timer for the earliest deadline, unless it is set for that or earlier.
    fn arm(&mut self, cx: &mut BrokerCx<'_>) {
        let Some((&(deadline, _), _)) = self.by_time.first_key_value() else { return };
        if self.armed.is_none_or(|at| deadline < at) {
            self.armed = Some(deadline);
            cx.set_timer(BrokerTimer::CoordinatorAppends, deadline);
        }
    }
}
