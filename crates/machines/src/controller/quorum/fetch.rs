//! The fetch of the metadata log: how a leader serves voters and brokers, and how a follower takes
//! in what it gets (`handleFetchRequest`, `tryCompleteFetchRequest`, `handleFetchResponse`).

use super::role::Role;
use super::{ControllerCx, Quorum, log};
use acklab_vocab::api::{QuorumFetchRequest, QuorumFetchResponse, Response};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{
    ConnectionId, ControllerEpoch, ControllerId, CorrelationId, MetadataOffset,
};
use acklab_vocab::metadata_log::MetadataEntry;
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::time::SimTime;
use std::sync::Arc;

/// Entries in one response at most: a stand-in for Kafka's 8 MiB (`MAX_FETCH_SIZE`).
const FETCH_ENTRIES_MAX: usize = 10_000;

/// A fetch that waits for entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct ParkedFetch {
    pub(super) connection: ConnectionId,
    correlation: CorrelationId,
    request: QuorumFetchRequest,
    until: SimTime,
    /// What the answer would have been at once; without KIP-1166 it is the answer when the wait
    /// ends.
    high_watermark: MetadataOffset,
}

impl Quorum {
    pub(in super::super) fn on_fetch(
        &mut self,
        cx: &mut ControllerCx<'_>,
        connection: ConnectionId,
        correlation: CorrelationId,
        request: QuorumFetchRequest,
    ) {
        let response = self.try_fetch(cx, &request);
        let answers_at_once = !response.error.is_none()
            || !response.entries.is_empty()
            || response.diverging.is_some()
            || request.max_wait.0 == 0
            || self.has_news(connection);
        if answers_at_once {
            self.answer(cx, connection, correlation, response);
            return;
        }
        let until = cx.now() + request.max_wait;
        let high_watermark = response.high_watermark;
        self.parked.push(ParkedFetch { connection, correlation, request, until, high_watermark });
        if until < self.purgatory.due() {
            self.purgatory.set(cx, until);
        }
    }

    /// KIP-1166: the fetcher has not been sent the newest high watermark.
    fn has_news(&self, connection: ConnectionId) -> bool {
        self.config.rules.has(ProtocolRule::MetadataFetchAwaitsHighWatermark)
            && self.sent_high_watermarks.get(&connection) != Some(&self.leader_high_watermark())
    }

    /// The high watermark of this leader's epoch; 0 until the epoch has one, as Kafka sends −1.
    fn leader_high_watermark(&self) -> MetadataOffset {
        self.established_epoch().map_or(MetadataOffset(0), |_| self.high_watermark)
    }

    fn try_fetch(
        &mut self,
        cx: &mut ControllerCx<'_>,
        request: &QuorumFetchRequest,
    ) -> QuorumFetchResponse {
        let error = self.validate_fetch(request);
        if !error.is_none() {
            return self.empty_response(error);
        }
        let (offset, last_epoch) = (request.fetch_offset, request.last_fetched_epoch);
        let entries = cx.disk().metadata_log.entries();
        let diverging = log::diverging(entries, offset, last_epoch);
        let mut response = self.empty_response(ErrorCode::None);
        if diverging.is_none() {
            let unread = &entries[offset.0 as usize..];
            response.entries = unread[..unread.len().min(FETCH_ENTRIES_MAX)].to_vec();
            if let Some(voter) = request.voter {
                self.on_voter_fetched(cx, voter, offset);
            }
        }
        response.diverging = diverging;
        response.high_watermark = self.leader_high_watermark();
        response
    }

    fn validate_fetch(&self, request: &QuorumFetchRequest) -> ErrorCode {
        if request.last_fetched_epoch > request.epoch {
            ErrorCode::InvalidRequest
        } else if request.epoch < self.epoch {
            ErrorCode::FencedLeaderEpoch
        } else if request.epoch > self.epoch {
            ErrorCode::UnknownLeaderEpoch
        } else if !self.is_leader() {
            ErrorCode::NotLeaderOrFollower
        } else {
            ErrorCode::None
        }
    }

    fn on_voter_fetched(
        &mut self,
        cx: &mut ControllerCx<'_>,
        voter: ControllerId,
        offset: MetadataOffset,
    ) {
        let Role::Leader(leader) = &mut self.role else { return };
        let Some(state) = leader.voters.iter_mut().find(|state| state.id == voter) else { return };
        state.end_offset = Some(offset);
        state.has_fetched = true;
        // The leader counts as fetched.
        let majority = leader.voters.len().div_ceil(2);
        if leader.voters.iter().filter(|state| state.has_fetched).count() >= majority {
            leader.voters.iter_mut().for_each(|state| state.has_fetched = false);
            self.reset_check_quorum(cx);
        }
        self.update_leader_high_watermark(cx);
    }

    fn empty_response(&self, error: ErrorCode) -> QuorumFetchResponse {
        QuorumFetchResponse {
            error,
            controller: self.known_controller(),
            high_watermark: MetadataOffset(0),
            diverging: None,
            entries: Vec::new(),
        }
    }

    fn answer(
        &mut self,
        cx: &mut ControllerCx<'_>,
        connection: ConnectionId,
        correlation: CorrelationId,
        response: QuorumFetchResponse,
    ) {
        self.sent_high_watermarks.insert(connection, response.high_watermark);
        cx.respond(connection, correlation, Response::QuorumFetch(response));
    }

    /// Answers every waiting fetch from the log as it is now.
    pub(super) fn complete_parked_fetches(&mut self, cx: &mut ControllerCx<'_>) {
        for parked in std::mem::take(&mut self.parked) {
            let response = self.try_fetch(cx, &parked.request);
            self.answer(cx, parked.connection, parked.correlation, response);
        }
        self.purgatory.clear();
    }

    /// Answers every waiting fetch of a leader that is none any more.
    pub(super) fn fail_parked_fetches(&mut self, cx: &mut ControllerCx<'_>) {
        for parked in std::mem::take(&mut self.parked) {
            let response = self.empty_response(ErrorCode::NotLeaderOrFollower);
            cx.respond(parked.connection, parked.correlation, Response::QuorumFetch(response));
        }
        self.purgatory.clear();
        self.sent_high_watermarks.clear();
    }

    pub(in super::super) fn on_purgatory_timer(&mut self, cx: &mut ControllerCx<'_>) {
        if !self.purgatory.fired(cx) {
            return;
        }
        let now = cx.now();
        let due = |parked: &mut ParkedFetch| parked.until <= now;
        let expired: Vec<ParkedFetch> = self.parked.extract_if(.., due).collect();
        let is_current = self.config.rules.has(ProtocolRule::MetadataFetchAwaitsHighWatermark);
        for parked in expired {
            let mut response = self.empty_response(ErrorCode::None);
            response.high_watermark =
                if is_current { self.leader_high_watermark() } else { parked.high_watermark };
            self.answer(cx, parked.connection, parked.correlation, response);
        }
        if let Some(next) = self.parked.iter().map(|parked| parked.until).min() {
            self.purgatory.set(cx, next);
        }
    }

    // ---- the follower -------------------------------------------------------------------------

    pub(super) fn on_fetch_response(
        &mut self,
        cx: &mut ControllerCx<'_>,
        from: ControllerId,
        response: QuorumFetchResponse,
    ) {
        if !self.continues_with(cx, response.controller) {
            return;
        }
        let Role::Follower(follower) = &mut self.role else { return };
        if follower.leader != from {
            return;
        }
        if !response.error.is_none() {
            self.peers.back_off(cx, from);
            return;
        }
        follower.has_fetched = true;
        if let Some(diverging) = response.diverging {
            self.truncate(cx, diverging);
        } else {
            self.append_as_follower(cx, response.entries);
            let end = cx.disk().metadata_log.end_offset();
            self.high_watermark = self.high_watermark.max(response.high_watermark.min(end));
        }
        self.reset_fetch_timeout(cx);
    }

    fn append_as_follower(&mut self, cx: &mut ControllerCx<'_>, entries: Vec<Arc<MetadataEntry>>) {
        let end = cx.disk().metadata_log.end_offset();
        for entry in entries.into_iter().filter(|entry| entry.offset >= end) {
            cx.disk().metadata_log.append(entry);
        }
        self.flush(cx);
    }

    fn truncate(
        &mut self,
        cx: &mut ControllerCx<'_>,
        diverging: (ControllerEpoch, MetadataOffset),
    ) {
        assert!(self.flush.is_none(), "a follower fetches only when its log is on disk");
        let to = log::truncation_offset(cx.disk().metadata_log.entries(), diverging);
        assert!(to >= self.high_watermark, "committed entries are never truncated");
        cx.disk().metadata_log.truncate(to);
    }
}
