//! Produce: appending to the logs that this broker leads, and answering by `acks`.
//!
//! Mirrors `KafkaApis.handleProduceRequest`, `ReplicaManager.appendRecords` and
//! `Partition.appendRecordsToLeader`. A flush that `flush.messages` asks for holds the rest of the
//! request back, as the append does in Kafka. So does the verification of a transaction's first
//! write to a partition (KIP-890, [`produce_verification`](super::produce_verification)).

use super::partition::Partition;
use super::produce_verification::{Verified, VerifyingProduce};
use super::purgatory::ParkedProduce;
use super::{Broker, BrokerCx, FlushWaiter, Shared};
use crate::broker::log::Append;
use crate::broker::log::verification::VerificationGuard;
use crate::disk::FlushTarget;
use acklab_vocab::api::{
    Acks, PartitionProduce, PartitionProduceResponse, ProduceRequest, ProduceResponse, Response,
};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{ConnectionId, CorrelationId, LeaderEpoch, Offset, TopicPartition};
use acklab_vocab::record::Record;
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::time::SimDuration;
use acklab_vocab::trace::TraceEvent;
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What became of one batch of a produce request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ProduceOutcome {
    /// Where it was to go.
    pub partition: TopicPartition,
    /// Where that is among the replicas, if the batch was appended or recognised.
    pub slot: Option<usize>,
    /// The epoch in which it was appended.
    leader_epoch: LeaderEpoch,
    /// What to answer.
    pub error: ErrorCode,
    /// Offset of its first record.
    pub base_offset: Option<Offset>,
    /// Where the high watermark has to be for acks=all.
    required: Offset,
    /// It waits for that.
    pub is_pending: bool,
    /// Its records.
    records: Arc<[Record]>,
}

impl ProduceOutcome {
    /// Looks whether an acks=all append is done (`DelayedProduce.tryComplete`).
    pub fn check(&mut self, shared: &Shared, partition: &Partition) {
        match partition.check_replicated(shared, self.required) {
            Ok(true) => self.is_pending = false,
            Ok(false) => {}
            Err(error) => {
                self.is_pending = false;
                self.error = error;
            }
        }
    }
}

/// A request whose batches are appended and whose flushes are not done.
#[derive(Debug)]
struct HeldProduce {
    flushes_left: usize,
    appended: AppendedProduce,
}

/// A request whose batches are appended.
#[derive(Debug)]
struct AppendedProduce {
    connection: ConnectionId,
    correlation: CorrelationId,
    acks: Acks,
    timeout: SimDuration,
    outcomes: SmallVec<[ProduceOutcome; 1]>,
}

/// Produce requests that wait for the disk.
#[derive(Debug, Default)]
pub(super) struct HeldProduces {
    last: u64,
    held: BTreeMap<u64, HeldProduce>,
}

impl HeldProduces {
    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}

impl Broker {
    pub(super) fn on_produce(
        &mut self,
        cx: &mut BrokerCx<'_>,
        connection: ConnectionId,
        correlation: CorrelationId,
        request: ProduceRequest,
    ) {
        let verifies = self.shared.has(ProtocolRule::VerifyTransactionalWrites);
        if request.transactional_id.is_some() && verifies {
            let began = cx.now();
            self.verify_produce(cx, VerifyingProduce { connection, correlation, request, began });
        } else {
            let verified = Verified::default();
            self.append_produce(cx, connection, correlation, &request, &verified);
        }
    }

    /// Appends the batches of a request that nothing holds back any more.
    pub(super) fn append_produce(
        &mut self,
        cx: &mut BrokerCx<'_>,
        connection: ConnectionId,
        correlation: CorrelationId,
        request: &ProduceRequest,
        verified: &Verified,
    ) {
        let acks = request.acks;
        let held = self.held_produces.last + 1;
        let mut flushes_left = 0;
        let mut outcomes = SmallVec::new();
        for entry in &request.partitions {
            let outcome = self.append_records(cx, acks, entry, verified);
            if let Some(slot) = outcome.slot {
                flushes_left +=
                    usize::from(self.flush_if_due(cx, slot, FlushWaiter::Produce(held)));
            }
            outcomes.push(outcome);
        }
        let timeout = request.timeout;
        let appended = AppendedProduce { connection, correlation, acks, timeout, outcomes };
        if flushes_left > 0 {
            self.held_produces.last = held;
            self.held_produces.held.insert(held, HeldProduce { flushes_left, appended });
        } else {
            self.finish_produce(cx, appended);
        }
    }

    /// Asks for a flush of the partition's log if one is due. Returns whether `waiter` has to wait:
    /// a filled segment is flushed in the background, `flush.messages` within the append.
    pub(super) fn flush_if_due(
        &mut self,
        cx: &mut BrokerCx<'_>,
        slot: usize,
        waiter: FlushWaiter,
    ) -> bool {
        let partition = &mut self.replicas[slot];
        if !partition.log.take_flush_due() {
            return false;
        }
        let waits = self.shared.topic(partition.id).flush_messages != u64::MAX;
        let target = FlushTarget::Log(partition.log.id());
        self.flushes.ask(cx, target, waits.then_some(waiter));
        waits
    }

    pub(super) fn on_produce_flushed(&mut self, cx: &mut BrokerCx<'_>, held: u64) {
        let Some(waiting) = self.held_produces.held.get_mut(&held) else { return };
        waiting.flushes_left -= 1;
        if waiting.flushes_left == 0
            && let Some(done) = self.held_produces.held.remove(&held)
        {
            self.finish_produce(cx, done.appended);
        }
    }

    /// Appends one batch, or says why not (`ReplicaManager.appendToLocalLog`).
    fn append_records(
        &mut self,
        cx: &mut BrokerCx<'_>,
        acks: Acks,
        entry: &PartitionProduce,
        verified: &Verified,
    ) -> ProduceOutcome {
        let partition = entry.partition;
        let records = Arc::clone(&entry.batch.records);
        let appended = match verified.error(partition) {
            Some(error) => Err(error),
            None => self.try_append(cx, acks, entry, verified.guard(partition)),
        };
        match appended {
            Ok((slot, base_offset, required)) => ProduceOutcome {
                partition,
                slot: Some(slot),
                leader_epoch: self.replicas[slot].leader_epoch,
                error: ErrorCode::None,
                base_offset: Some(base_offset),
                required,
                is_pending: false,
                records,
            },
            Err(error) => {
                let refused = Arc::clone(&records);
                cx.trace(|| TraceEvent::AppendRefused { partition, error, records: refused });
                ProduceOutcome {
                    partition,
                    slot: None,
                    leader_epoch: LeaderEpoch(0),
                    error,
                    base_offset: None,
                    required: Offset(0),
                    is_pending: false,
                    records,
                }
            }
        }
    }

    /// Returns where the partition is, the batch's first offset, and the offset after its last.
    fn try_append(
        &mut self,
        cx: &mut BrokerCx<'_>,
        acks: Acks,
        entry: &PartitionProduce,
        guard: Option<VerificationGuard>,
    ) -> Result<(usize, Offset, Offset), ErrorCode> {
        // A produce request carries no leader epoch: it cannot be fenced.
        let slot = self.led(entry.partition, None)?;
        let partition = &mut self.replicas[slot];
        let min_isr = partition.effective_min_isr(&self.shared);
        let in_sync = partition.leader_state().map_or(0, |leader| leader.isr.len());
        if acks == Acks::All && in_sync < min_isr {
            return Err(ErrorCode::NotEnoughReplicas);
        }
        let (now, leader_epoch) = (cx.now(), partition.leader_epoch);
        let id = partition.id;
        match partition.log.append_as_leader(cx.disk(), now, leader_epoch, &entry.batch, guard)? {
            Append::Appended(batch) => {
                let (base_offset, next_offset) = (batch.base_offset, batch.next_offset());
                cx.trace(|| TraceEvent::Appended { partition: id, batch });
                Ok((slot, base_offset, next_offset))
            }
            Append::Duplicate { base_offset, next_offset } => {
                let records = Arc::clone(&entry.batch.records);
                cx.trace(|| TraceEvent::Deduplicated { partition: id, base_offset, records });
                Ok((slot, base_offset, next_offset))
            }
        }
    }

    /// Everything after the append: the high watermark, the answer, and those who waited for
    /// either.
    fn finish_produce(&mut self, cx: &mut BrokerCx<'_>, mut produce: AppendedProduce) {
        let mut moved: SmallVec<[(usize, bool); 1]> = SmallVec::new();
        for outcome in &produce.outcomes {
            let Some(slot) = outcome.slot else { continue };
            let partition = &mut self.replicas[slot];
            let advanced = partition.leader_epoch == outcome.leader_epoch
                && partition.maybe_increment_high_watermark(cx, &self.shared);
            moved.push((slot, advanced));
        }
        match produce.acks {
            Acks::None | Acks::Leader => self.answer_produce(
                cx,
                produce.connection,
                produce.correlation,
                produce.acks,
                &produce.outcomes,
            ),
            Acks::All => {
                for outcome in &mut produce.outcomes {
                    if let Some(slot) = outcome.slot {
                        outcome.is_pending = true;
                        outcome.check(&self.shared, &self.replicas[slot]);
                    }
                }
                self.answer_or_park(cx, produce);
            }
        }
        for (slot, advanced) in moved {
            if advanced {
                self.complete_after_high_watermark(cx, slot);
            }
            self.complete_after_append(cx, slot);
        }
    }

    fn answer_or_park(&mut self, cx: &mut BrokerCx<'_>, produce: AppendedProduce) {
        let AppendedProduce { connection, correlation, acks, timeout, outcomes } = produce;
        if outcomes.iter().any(|outcome| outcome.is_pending) {
            let deadline = cx.now() + timeout;
            self.park_produce(cx, ParkedProduce { connection, correlation, deadline, outcomes });
        } else {
            self.answer_produce(cx, connection, correlation, acks, &outcomes);
        }
    }

    /// Answers, and says what was answered. With acks=0 an error can only be shown by closing the
    /// connection.
    pub(super) fn answer_produce(
        &self,
        cx: &mut BrokerCx<'_>,
        connection: ConnectionId,
        correlation: CorrelationId,
        acks: Acks,
        outcomes: &[ProduceOutcome],
    ) {
        match acks {
            Acks::None if outcomes.iter().any(|outcome| !outcome.error.is_none()) => {
                cx.close(connection);
            }
            Acks::None => cx.no_response(connection),
            Acks::Leader | Acks::All => {
                let answer = |outcome| self.produce_response(outcome);
                let partitions = outcomes.iter().map(answer).collect();
                let response = Response::Produce(ProduceResponse { partitions });
                cx.respond(connection, correlation, response);
            }
        }
        for outcome in outcomes {
            cx.trace(|| TraceEvent::ProduceAnswered {
                partition: outcome.partition,
                acks,
                error: outcome.error,
                base_offset: outcome.base_offset,
                records: Arc::clone(&outcome.records),
            });
        }
    }

    fn produce_response(&self, outcome: &ProduceOutcome) -> PartitionProduceResponse {
        let names_leader = outcome.error == ErrorCode::NotLeaderOrFollower
            && self.shared.has(ProtocolRule::LeaderInErrorResponse);
        let current_leader =
            if names_leader { self.current_leader(outcome.partition) } else { None };
        PartitionProduceResponse {
            partition: outcome.partition,
            error: outcome.error,
            base_offset: outcome.base_offset,
            current_leader,
        }
    }
}
