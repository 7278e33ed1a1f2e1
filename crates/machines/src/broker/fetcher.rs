//! A follower's fetcher: one connection to one leader broker, one request in flight, all its
//! partitions in turn.
//!
//! Mirrors `AbstractFetcherThread`, `ReplicaFetcherThread` and `RemoteLeaderEndPoint`. A round is:
//! ask where the logs part (before 2.7), or ask for the leader's offsets (after
//! OFFSET_OUT_OF_RANGE), or fetch. Left out: throttling.

use super::fetch_states::{FetchState, FetchStates, Phase};
use super::metadata_image::UNREGISTERED;
use super::truncation::truncation_point;
use super::{Broker, BrokerCx, BrokerTimer, FlushWaiter};
use acklab_vocab::api::{
    Endpoint, EpochEndOffset, FetchRequest, FetchResponse, FetchSessionUpdate, FetchingReplica,
    Isolation, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTimestamp,
    OffsetsForLeaderEpochRequest, OffsetsForLeaderEpochResponse, PartitionFetch,
    PartitionFetchResponse, PartitionListOffsetsResponse, Request, Response,
};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{BrokerId, ConnectionId, CorrelationId, Offset, TopicPartition};
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::{TraceEvent, TruncationReason};
use std::sync::Arc;

/// A fetcher.
#[derive(Debug)]
pub(super) struct Fetcher {
    /// The broker that it fetches from.
    pub leader: BrokerId,
    /// Which of the fetchers for that broker.
    pub index: u16,
    endpoint: Endpoint,
    link: Link,
    next_correlation: u32,
    /// Its partitions.
    pub states: FetchStates,
    /// Its appends wait for so many flushes (`flush.messages`).
    flushes_left: usize,
    /// The instant for which its timer is set.
    timer_at: Option<SimTime>,
}

#[derive(Clone, Copy, Debug)]
enum Link {
    Closed,
    /// Until the deadline.
    Connecting(ConnectionId, SimTime),
    Idle(ConnectionId),
    /// Until the deadline.
    Waiting(ConnectionId, CorrelationId, SimTime),
}

impl Fetcher {
    /// A fetcher without partitions.
    pub fn new(leader: BrokerId, index: u16, endpoint: Endpoint) -> Self {
        Fetcher {
            leader,
            index,
            endpoint,
            link: Link::Closed,
            next_correlation: 0,
            states: FetchStates::default(),
            flushes_left: 0,
            timer_at: None,
        }
    }

    /// It has no partition.
    pub fn is_idle(&self) -> bool {
        self.states.is_empty()
    }

    /// Its connection, open or not yet.
    pub fn connection(&self) -> Option<ConnectionId> {
        match self.link {
            Link::Closed => None,
            Link::Connecting(connection, _)
            | Link::Idle(connection)
            | Link::Waiting(connection, ..) => Some(connection),
        }
    }

    /// It connects, and waits until `deadline`.
    pub fn on_connecting(&mut self, connection: ConnectionId, deadline: SimTime) {
        self.link = Link::Connecting(connection, deadline);
    }

    /// Sets the timer for the earliest thing to happen, if it is not set for an earlier instant
    /// already.
    pub fn arm(&mut self, cx: &mut BrokerCx<'_>, id: u32) {
        let at = match self.link {
            Link::Connecting(_, deadline) | Link::Waiting(_, _, deadline) => Some(deadline),
            Link::Closed | Link::Idle(_) => {
                let touched = self.states.touched();
                let waiting = touched.filter(|state| state.phase != Phase::Failed);
                waiting.map(|state| state.delayed_until).filter(|&at| at > cx.now()).min()
            }
        };
        if let Some(at) = at
            && self.timer_at.is_none_or(|armed| at < armed)
        {
            self.timer_at = Some(at);
            cx.set_timer(BrokerTimer::Fetcher(id), at);
        }
    }
}

impl Broker {
    /// Does the next thing that a fetcher has to do, if it is free.
    pub(super) fn run_fetcher(&mut self, cx: &mut BrokerCx<'_>, id: u32) {
        let now = cx.now();
        let Some(fetcher) = self.fetchers.get(id) else { return };
        if fetcher.flushes_left > 0 {
            return;
        }
        match fetcher.link {
            Link::Connecting(..) | Link::Waiting(..) => {}
            Link::Closed if fetcher.states.next_phase(now).is_some() => {
                let endpoint = fetcher.endpoint;
                self.connect_fetcher(cx, id, endpoint);
            }
            Link::Idle(connection) if fetcher.states.next_phase(now).is_some() => {
                self.send_fetcher_request(cx, id, connection);
            }
            Link::Closed | Link::Idle(_) => fetcher.arm(cx, id),
        }
    }

    fn send_fetcher_request(&mut self, cx: &mut BrokerCx<'_>, id: u32, to: ConnectionId) {
        let now = cx.now();
        let timeout = self.shared.config.replica_socket_timeout;
        let Some(phase) = self.fetchers.get(id).and_then(|f| f.states.next_phase(now)) else {
            return;
        };
        let request = match phase {
            Phase::Truncating => self.epochs_request(cx, id),
            Phase::OutOfRange => self.offsets_request(cx, id),
            Phase::Fetching | Phase::Failed => self.fetch_request(cx, id),
        };
        let (Some(request), Some(fetcher)) = (request, self.fetchers.get(id)) else { return };
        let correlation = CorrelationId(fetcher.next_correlation);
        fetcher.next_correlation += 1;
        fetcher.link = Link::Waiting(to, correlation, now + timeout);
        cx.request(to, correlation, request);
        fetcher.arm(cx, id);
    }

    fn fetch_request(&mut self, cx: &mut BrokerCx<'_>, id: u32) -> Option<Request> {
        let shared = &self.shared;
        let config = &shared.config;
        let fences = shared.has(ProtocolRule::FenceByLeaderEpoch);
        let diverges = shared.has(ProtocolRule::TruncateOnFetch)
            && shared.has(ProtocolRule::TruncateByLeaderEpoch);
        let max_bytes = config.replica_fetch_max_bytes;
        let fetch = |state: &FetchState| PartitionFetch {
            partition: state.partition,
            current_leader_epoch: fences.then_some(state.leader_epoch),
            fetch_offset: state.fetch_offset,
            last_fetched_epoch: state.last_fetched_epoch.filter(|_| diverges),
            max_bytes,
        };
        let fetcher = self.fetchers.get(id)?;
        let (forgotten, partitions) = fetcher.states.session_update(cx.now(), fetch);
        Some(Request::Fetch(FetchRequest {
            replica: Some(FetchingReplica {
                broker: shared.id,
                broker_epoch: shared.broker_epoch.unwrap_or(UNREGISTERED),
            }),
            max_wait: config.replica_fetch_wait_max,
            min_bytes: config.replica_fetch_min_bytes,
            max_bytes: config.replica_fetch_response_max_bytes,
            isolation: Isolation::LogEnd,
            session: FetchSessionUpdate::Incremental { forgotten },
            partitions,
        }))
    }

    fn epochs_request(&mut self, cx: &mut BrokerCx<'_>, id: u32) -> Option<Request> {
        let fences = self.shared.has(ProtocolRule::FenceTruncation);
        let now = cx.now();
        let replicas = &self.replicas;
        let question = |state: &FetchState| {
            let latest = replicas[state.slot].log.latest_epoch(cx.disk())?;
            Some((state.partition, fences.then_some(state.leader_epoch), latest))
        };
        let fetcher = self.fetchers.get(id)?;
        let partitions = fetcher.states.ask(now, Phase::Truncating).filter_map(question).collect();
        let replica = Some(self.shared.id);
        Some(Request::OffsetsForLeaderEpoch(OffsetsForLeaderEpochRequest { replica, partitions }))
    }

    fn offsets_request(&mut self, cx: &mut BrokerCx<'_>, id: u32) -> Option<Request> {
        let fences = self.shared.has(ProtocolRule::FenceByLeaderEpoch);
        let questions = |state: &FetchState| {
            let epoch = fences.then_some(state.leader_epoch);
            [ListOffsetsTimestamp::Latest, ListOffsetsTimestamp::Earliest]
                .map(|timestamp| (state.partition, epoch, timestamp))
        };
        let fetcher = self.fetchers.get(id)?;
        let partitions =
            fetcher.states.ask(cx.now(), Phase::OutOfRange).flat_map(questions).collect();
        let isolation = Isolation::LogEnd;
        Some(Request::ListOffsets(ListOffsetsRequest { isolation, partitions }))
    }

    pub(super) fn on_fetcher_connected(&mut self, cx: &mut BrokerCx<'_>, id: u32) {
        if let Some(fetcher) = self.fetchers.get(id)
            && let Link::Connecting(connection, _) = fetcher.link
        {
            fetcher.link = Link::Idle(connection);
            self.run_fetcher(cx, id);
        }
    }

    pub(super) fn on_fetcher_response(
        &mut self,
        cx: &mut BrokerCx<'_>,
        id: u32,
        correlation: CorrelationId,
        response: Response,
    ) {
        let Some(fetcher) = self.fetchers.get(id) else { return };
        let Link::Waiting(connection, awaited, _) = fetcher.link else { return };
        if awaited != correlation {
            return;
        }
        fetcher.link = Link::Idle(connection);
        match response {
            Response::Fetch(fetched) => self.on_fetched(cx, id, fetched),
            Response::OffsetsForLeaderEpoch(epochs) => self.on_epochs(cx, id, &epochs),
            Response::ListOffsets(offsets) => self.on_offsets(cx, id, &offsets),
            other => unreachable!("no answer to a fetcher: {:?}", other.api()),
        }
        self.run_fetcher(cx, id);
    }

    /// The connection was refused, lost or too slow: every partition waits.
    pub(super) fn on_fetcher_failed(&mut self, cx: &mut BrokerCx<'_>, id: u32) {
        let until = cx.now() + self.shared.config.replica_fetch_backoff;
        if let Some(fetcher) = self.fetchers.get(id) {
            fetcher.link = Link::Closed;
            fetcher.states.forget_session();
            fetcher.states.delay_all(until);
        }
        self.run_fetcher(cx, id);
    }

    pub(super) fn on_fetcher_timer(&mut self, cx: &mut BrokerCx<'_>, id: u32) {
        let now = cx.now();
        let Some(fetcher) = self.fetchers.get(id) else { return };
        fetcher.timer_at = None;
        match fetcher.link {
            Link::Connecting(connection, deadline) | Link::Waiting(connection, _, deadline) => {
                if deadline <= now {
                    self.close(cx, connection);
                    self.on_fetcher_failed(cx, id);
                } else {
                    fetcher.arm(cx, id);
                }
            }
            Link::Closed | Link::Idle(_) => self.run_fetcher(cx, id),
        }
    }

    pub(super) fn on_fetcher_flushed(&mut self, cx: &mut BrokerCx<'_>, id: u32) {
        if let Some(fetcher) = self.fetchers.get(id) {
            fetcher.flushes_left = fetcher.flushes_left.saturating_sub(1);
            self.run_fetcher(cx, id);
        }
    }

    fn lend_state(&mut self, id: u32, partition: TopicPartition) -> Option<(usize, FetchState)> {
        self.fetchers.get(id)?.states.lend(partition)
    }

    fn put_back_state(&mut self, id: u32, place: usize, state: FetchState) {
        if let Some(fetcher) = self.fetchers.get(id) {
            fetcher.states.put_back(place, state);
        }
    }

    /// Takes over what was fetched.
    fn on_fetched(&mut self, cx: &mut BrokerCx<'_>, id: u32, response: FetchResponse) {
        for answer in response.partitions {
            if let Some((place, mut state)) = self.lend_state(id, answer.partition) {
                self.on_partition_fetched(cx, id, &mut state, answer);
                self.put_back_state(id, place, state);
            }
        }
    }

    fn on_partition_fetched(
        &mut self,
        cx: &mut BrokerCx<'_>,
        id: u32,
        state: &mut FetchState,
        answer: PartitionFetchResponse,
    ) {
        let fences = self.shared.has(ProtocolRule::FenceByLeaderEpoch);
        let is_current = state.phase == Phase::Fetching
            && state.asked.is_some_and(|(offset, epoch)| {
                offset == state.fetch_offset && (!fences || epoch == state.leader_epoch)
            });
        if !is_current {
            return;
        }
        let until = cx.now() + self.shared.config.replica_fetch_backoff;
        match answer.error {
            ErrorCode::None => match answer.diverging_epoch {
                // KIP-595: no data to process before the truncation is done.
                Some(leader) => {
                    self.truncate_by_epoch(cx, state, leader);
                }
                None => self.append_fetched(cx, id, state, answer),
            },
            ErrorCode::OffsetOutOfRange => state.phase = Phase::OutOfRange,
            ErrorCode::FencedLeaderEpoch => state.on_fenced(until),
            _ => state.delay(until),
        }
    }

    /// `ReplicaFetcherThread.processPartitionData`
    fn append_fetched(
        &mut self,
        cx: &mut BrokerCx<'_>,
        id: u32,
        state: &mut FetchState,
        answer: PartitionFetchResponse,
    ) {
        let now = cx.now();
        let partition = &mut self.replicas[state.slot];
        let appends = !answer.batches.is_empty();
        for batch in answer.batches {
            if batch.next_offset() <= partition.log.end_offset() {
                continue;
            }
            let batch = partition.log.append_as_follower(cx.disk(), now, batch);
            state.last_fetched_epoch = Some(batch.leader_epoch);
            let replicated = Arc::clone(&batch);
            let partition = state.partition;
            cx.trace(|| TraceEvent::Replicated { partition, batch: replicated });
        }
        state.fetch_offset = partition.log.end_offset();
        partition.set_high_watermark(cx, answer.high_watermark);
        if appends
            && self.flush_if_due(cx, state.slot, FlushWaiter::Fetcher(id))
            && let Some(fetcher) = self.fetchers.get(id)
        {
            fetcher.flushes_left += 1;
        }
    }

    /// Cuts the log where it parts from the leader's, as far as `leader` tells. Returns whether
    /// that is final.
    fn truncate_by_epoch(
        &mut self,
        cx: &mut BrokerCx<'_>,
        state: &mut FetchState,
        leader: EpochEndOffset,
    ) -> bool {
        let log = &self.replicas[state.slot].log;
        let own_end = log.end_offset();
        let own = if self.shared.has(ProtocolRule::EpochInOffsetsForLeaderEpoch) {
            log.end_offset_for(cx.disk(), leader.leader_epoch)
        } else {
            None // The answer names no epoch: only its offset counts.
        };
        let point = truncation_point(leader, own, own_end);
        self.truncate_replica(cx, state.slot, point.to, TruncationReason::LeaderEpoch);
        self.resume_fetching(cx, state);
        point.is_final
    }

    /// The log was cut: fetches go on at its end.
    fn resume_fetching(&self, cx: &mut BrokerCx<'_>, state: &mut FetchState) {
        let log = &self.replicas[state.slot].log;
        state.fetch_offset = log.end_offset();
        state.last_fetched_epoch = log.latest_epoch(cx.disk());
        state.phase = Phase::Fetching;
    }

    /// `maybeTruncateToEpochEndOffsets`, before 2.7.
    fn on_epochs(
        &mut self,
        cx: &mut BrokerCx<'_>,
        id: u32,
        response: &OffsetsForLeaderEpochResponse,
    ) {
        let until = cx.now() + self.shared.config.replica_fetch_backoff;
        for &(partition, error, leader) in &response.partitions {
            let Some((place, mut state)) = self.lend_state(id, partition) else { continue };
            let is_current = state.asked.is_some_and(|(_, epoch)| epoch == state.leader_epoch);
            if state.phase != Phase::Truncating || !is_current {
                continue;
            }
            match (error, leader) {
                (ErrorCode::None, Some(leader)) => {
                    if !self.truncate_by_epoch(cx, &mut state, leader) {
                        state.phase = Phase::Truncating;
                    }
                }
                (ErrorCode::None, None) => {
                    let high_watermark = self.replicas[state.slot].log.high_watermark();
                    let reason = TruncationReason::HighWatermark;
                    self.truncate_replica(cx, state.slot, high_watermark, reason);
                    self.resume_fetching(cx, &mut state);
                }
                (ErrorCode::FencedLeaderEpoch, _) => state.on_fenced(until),
                _ => state.delay(until),
            }
            self.put_back_state(id, place, state);
        }
    }

    /// `fetchOffsetAndTruncate`, after OFFSET_OUT_OF_RANGE: the answers come in pairs, latest and
    /// earliest.
    fn on_offsets(&mut self, cx: &mut BrokerCx<'_>, id: u32, response: &ListOffsetsResponse) {
        let until = cx.now() + self.shared.config.replica_fetch_backoff;
        for pair in response.partitions.chunks_exact(2) {
            let (latest, earliest): (PartitionListOffsetsResponse, _) = (pair[0], pair[1]);
            let found = self.lend_state(id, latest.partition);
            let Some((place, mut state)) = found else { continue };
            let is_current = state.asked.is_some_and(|(_, epoch)| epoch == state.leader_epoch);
            if state.phase != Phase::OutOfRange || !is_current {
                continue;
            }
            state.phase = Phase::Fetching;
            match (latest.error, earliest.error) {
                (ErrorCode::None, ErrorCode::None) => {
                    self.reset_to_leader(cx, &mut state, latest.offset, earliest.offset);
                }
                (ErrorCode::FencedLeaderEpoch, _) | (_, ErrorCode::FencedLeaderEpoch) => {
                    state.on_fenced(until);
                }
                _ => state.delay(until),
            }
            self.put_back_state(id, place, state);
        }
    }

    fn reset_to_leader(
        &mut self,
        cx: &mut BrokerCx<'_>,
        state: &mut FetchState,
        leader_end: Offset,
        leader_start: Offset,
    ) {
        let own_end = self.replicas[state.slot].log.end_offset();
        let keeps = self.shared.has(ProtocolRule::KeepLogWithinLeaders);
        if leader_end < own_end {
            let allowed = self.shared.topic(state.partition).unclean_leader_election
                || !self.shared.has(ProtocolRule::HaltRatherThanTruncate);
            if !allowed {
                self.halt(cx);
                return;
            }
            let reason = TruncationReason::LeaderLogEnd;
            self.truncate_replica(cx, state.slot, leader_end, reason);
        } else if leader_start > own_end || !keeps {
            self.restart_replica_at(cx, state.slot, leader_start);
        }
        self.resume_fetching(cx, state);
    }
}
