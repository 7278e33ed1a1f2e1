//! What a controller does only while it is active (`QuorumController`): a decision becomes an entry
//! of the metadata log, is replayed into memory at once, waits with its answer until it is
//! committed, and is forgotten if leadership is lost first.
//!
//! Entries are gathered for `controller.quorum.append.linger.ms` and appended together
//! (`BatchAccumulator`). Offsets are given out before, because only this controller writes in its
//! epoch.

use super::heartbeats::Heartbeats;
use super::preferred::Schedule;
use super::state::ClusterState;
use super::{Controller, ControllerCx, ControllerTimer};
use acklab_vocab::api::{
    AllocateProducerIdsResponse, AlterPartitionResponse, BrokerHeartbeatResponse,
    BrokerRegistrationResponse, KnownController, Response,
};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{
    BrokerEpoch, ConnectionId, ControllerEpoch, CorrelationId, MetadataOffset, ProducerId,
};
use acklab_vocab::metadata_log::{MetadataEntry, MetadataRecord};
use acklab_vocab::trace::{PartitionChangeReason, TraceEvent};
use std::collections::VecDeque;
use std::sync::Arc;

/// Where an answer goes.
pub(super) type ReplyTo = (ConnectionId, CorrelationId);

/// State of an active controller.
#[derive(Clone, Debug)]
pub(super) struct Active {
    epoch: ControllerEpoch,
    pub(super) heartbeats: Heartbeats,
    pub(super) balance: Schedule,
    pub(super) unclean: Schedule,
    /// Entries that are not in the log yet.
    accumulator: Vec<Arc<MetadataEntry>>,
    /// What becomes true when the entry at this offset is committed. One for each uncommitted
    /// entry, ascending.
    uncommitted: VecDeque<(MetadataOffset, Vec<TraceEvent>)>,
    /// Answers that wait until the entry at this offset is committed, ascending.
    deferred: VecDeque<(MetadataOffset, ReplyTo, Response)>,
    /// Offset of the next entry.
    next_offset: MetadataOffset,
}

impl Active {
    pub(super) fn epoch(&self) -> ControllerEpoch {
        self.epoch
    }

    pub(super) fn is_all_committed(&self) -> bool {
        self.uncommitted.is_empty()
    }

    pub(super) fn next_offset(&self) -> MetadataOffset {
        self.next_offset
    }
}

impl Controller {
    /// Becomes active: everything before this epoch and its first entry are committed and replayed
    /// (`QuorumController.claim`). Every session starts anew.
    pub(super) fn claim(&mut self, cx: &mut ControllerCx<'_>, epoch: ControllerEpoch) {
        let next_offset = cx.disk().metadata_log.end_offset();
        assert_eq!(self.applied, next_offset, "nothing is appended before the first commit");
        let heartbeats = Heartbeats::activate(cx, &self.config, self.cluster.brokers());
        self.active = Some(Active {
            epoch,
            heartbeats,
            balance: Schedule::default(),
            unclean: Schedule::default(),
            accumulator: Vec::new(),
            uncommitted: VecDeque::new(),
            deferred: VecDeque::new(),
            next_offset,
        });
        self.schedule_elections(cx);
        self.schedule_no_op_record(cx);
    }

    /// The next no-op record is due one interval from now, whatever else is written (KIP-835,
    /// `maybeScheduleNextWriteNoOpRecord`). Until 4.1 it is also what tells a parked fetch that the
    /// high watermark has moved.
    fn schedule_no_op_record(&self, cx: &mut ControllerCx<'_>) {
        if let Some(interval) = self.config.metadata_max_idle_interval {
            cx.set_timer_after(ControllerTimer::WriteNoOpRecord, interval);
        }
    }

    pub(super) fn write_no_op_record(&mut self, cx: &mut ControllerCx<'_>) {
        if self.active.is_some() {
            let reason = PartitionChangeReason::AlterPartition;
            self.write(cx, vec![MetadataRecord::NoOp], reason, None);
            self.schedule_no_op_record(cx);
        }
    }

    /// Is no longer active (`QuorumController.renounce`): forgets what was not committed and says
    /// so to whom waits for it.
    pub(super) fn renounce(&mut self, cx: &mut ControllerCx<'_>) {
        let Some(active) = self.active.take() else { return };
        let known = self.quorum.known_controller();
        for (_, (connection, correlation), response) in active.deferred {
            cx.respond(connection, correlation, not_controller(&response, known));
        }
        for timer in [
            ControllerTimer::AppendLinger,
            ControllerTimer::FenceStaleBrokers,
            ControllerTimer::BalancePartitionLeaders,
            ControllerTimer::ElectUncleanLeaders,
            ControllerTimer::WriteNoOpRecord,
        ] {
            cx.cancel_timer(timer);
        }
        if !active.uncommitted.is_empty() {
            let MetadataOffset(applied) = self.applied;
            let mut cluster = ClusterState::default();
            for entry in &cx.disk().metadata_log.entries()[..applied as usize] {
                cluster.replay(entry, None, None);
            }
            self.cluster = cluster;
        }
    }

    /// Writes the records of one decision, if there are any, as one entry; then gives the answer,
    /// if there is one, as soon as everything is committed that it may rest on
    /// (`ControllerWriteEvent`). Returns the offset of the last entry.
    pub(super) fn write(
        &mut self,
        cx: &mut ControllerCx<'_>,
        records: Vec<MetadataRecord>,
        reason: PartitionChangeReason,
        answer: Option<(ReplyTo, Response)>,
    ) -> MetadataOffset {
        let active = self.active.as_mut().expect("only an active controller writes");
        if !records.is_empty() {
            let entry = MetadataEntry { offset: active.next_offset, epoch: active.epoch, records };
            active.next_offset.0 += 1;
            let mut facts = Vec::new();
            self.cluster.replay(&entry, Some(reason), Some(&mut facts));
            active.uncommitted.push_back((entry.offset, facts));
            if active.accumulator.is_empty() {
                let linger = self.config.quorum_append_linger;
                cx.set_timer_after(ControllerTimer::AppendLinger, linger);
            }
            active.accumulator.push(Arc::new(entry));
        }
        if let Some((reply_to, response)) = answer {
            match active.uncommitted.back() {
                Some(&(offset, _)) => active.deferred.push_back((offset, reply_to, response)),
                None => cx.respond(reply_to.0, reply_to.1, response),
            }
        }
        let last_offset = MetadataOffset(active.next_offset.0 - 1);
        self.schedule_elections(cx);
        last_offset
    }

    /// Appends what has gathered.
    pub(super) fn drain(&mut self, cx: &mut ControllerCx<'_>) {
        if let Some(active) = &mut self.active {
            let entries = std::mem::take(&mut active.accumulator);
            if !entries.is_empty() {
                self.quorum.append(cx, entries);
            }
        }
    }

    /// The high watermark has moved: replays what a standby has not, states what became true, and
    /// answers.
    pub(super) fn commit(&mut self, cx: &mut ControllerCx<'_>) {
        let end = self.quorum.high_watermark();
        let Some(active) = &mut self.active else {
            return self.replay_committed(cx, end);
        };
        self.applied = end;
        let committed = active.uncommitted.partition_point(|(offset, _)| *offset < end);
        for (offset, facts) in active.uncommitted.drain(..committed) {
            cx.trace_committed(offset.0, facts);
        }
        let committed = active.deferred.partition_point(|(offset, ..)| *offset < end);
        for (_, (connection, correlation), response) in active.deferred.drain(..committed) {
            cx.respond(connection, correlation, response);
        }
    }

    /// A leader states the facts of the entries that it inherited when its own first entry commits
    /// them; a follower states none.
    fn replay_committed(&mut self, cx: &mut ControllerCx<'_>, end: MetadataOffset) {
        let is_leader = self.quorum.is_leader();
        while self.applied < end {
            let entry = cx.disk().metadata_log.entries()[self.applied.0 as usize].clone();
            if is_leader {
                let mut facts = Vec::new();
                self.cluster.replay(&entry, None, Some(&mut facts));
                cx.trace_committed(entry.offset.0, facts);
            } else {
                self.cluster.replay(&entry, None, None);
            }
            self.applied.0 += 1;
        }
    }

    /// A connection has ended: nobody waits for its answers.
    pub(super) fn forget_connection(&mut self, connection: ConnectionId) {
        if let Some(active) = &mut self.active {
            active.deferred.retain(|(_, (waiting, _), _)| *waiting != connection);
        }
    }
}

/// The answer of a controller that is not active, to the request that `response` would have
/// answered.
fn not_controller(response: &Response, controller: KnownController) -> Response {
    let error = ErrorCode::NotController;
    match response {
        Response::BrokerRegistration(_) => {
            Response::BrokerRegistration(BrokerRegistrationResponse {
                error,
                broker_epoch: BrokerEpoch(0),
                controller,
            })
        }
        Response::BrokerHeartbeat(_) => Response::BrokerHeartbeat(BrokerHeartbeatResponse {
            error,
            is_caught_up: false,
            is_fenced: true,
            should_shut_down: false,
            controller,
        }),
        Response::AlterPartition(_) => Response::AlterPartition(AlterPartitionResponse {
            error,
            partitions: Vec::new(),
            controller,
        }),
        Response::AllocateProducerIds(_) => {
            Response::AllocateProducerIds(AllocateProducerIdsResponse {
                error,
                first: ProducerId(0),
                count: 0,
                controller,
            })
        }
        _ => unreachable!("no such answer waits for a commit"),
    }
}
