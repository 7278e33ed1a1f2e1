//! The group's coordinator as its client knows it: finding it, and the connection of its own to it.
//!
//! Mirrors `AbstractCoordinator.lookupCoordinator`, `ensureCoordinatorReady` and
//! `markCoordinatorUnknown`, and the queue of unsent requests of `ConsumerNetworkClient`. The
//! connection is not the one for fetches (Kafka gives it the node id `Integer.MAX_VALUE` − id), so
//! that a long poll delays no heartbeat; a JoinGroup that waits does delay what comes behind it.
//!
//! Left out: fatal answers to FindCoordinator (authorization).

use super::{Consumer, ConsumerCx, Purpose};
use crate::client::Loss;
use acklab_vocab::api::{
    CoordinatorKey, Endpoint, FindCoordinatorRequest, Listener, Request, Response,
};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{BrokerId, Generation, MemberId, NodeId};
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::TraceEvent;
use std::collections::VecDeque;

/// What a request to the coordinator was for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum GroupPurpose {
    /// The attempt to join of that number, with the identity that the member had.
    JoinGroup(u32, Identity),
    /// The attempt to join of that number, with the identity that the member had.
    SyncGroup(u32, Identity),
    /// A heartbeat of the member that it was.
    Heartbeat(Identity),
    /// A heartbeat of a KIP-848 member, in the life of that number.
    ConsumerHeartbeat(u32),
    /// Nobody waits for the answer.
    LeaveGroup,
    /// The commit of that number, of the member that it was.
    OffsetCommit(u32, Identity),
    /// The question of that number for committed offsets.
    OffsetFetch(u32),
}

/// Generation and member id of a request (`AbstractCoordinator.Generation`); a member may have an
/// id before it has a generation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Identity {
    pub generation: Option<Generation>,
    pub member: Option<MemberId>,
}

/// The coordinator of the group.
#[derive(Debug)]
pub(super) struct Coordinator {
    lookup: Lookup,
    /// Requests that wait for the connection, oldest first.
    unsent: VecDeque<Unsent>,
    /// Failures in a row to find or reach it.
    failures: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lookup {
    /// It is to be looked for, not before that instant.
    Unknown { retry_at: SimTime },
    /// A FindCoordinator is under way.
    Asking,
    /// It is that broker, in that process.
    Known { broker: BrokerId, node: NodeId },
}

#[derive(Debug)]
struct Unsent {
    request: Request,
    purpose: GroupPurpose,
    timeout: SimDuration,
    /// It is given back if it is not sent by then.
    expires_at: SimTime,
}

/// The node id of the connection to a coordinator.
fn connection_of(broker: BrokerId) -> BrokerId {
    BrokerId(u16::MAX - broker.0)
}

/// Whether a node id is that of a connection to a coordinator.
pub(super) const fn is_coordinator(node: BrokerId) -> bool {
    node.0 > u16::MAX / 2
}

impl Coordinator {
    pub const fn new() -> Self {
        Coordinator {
            lookup: Lookup::Unknown { retry_at: SimTime(i64::MIN) },
            unsent: VecDeque::new(),
            failures: 0,
        }
    }

    /// The process that it is in, if it is known.
    pub const fn node(&self) -> Option<NodeId> {
        match self.lookup {
            Lookup::Known { node, .. } => Some(node),
            Lookup::Unknown { .. } | Lookup::Asking => None,
        }
    }

    const fn known(&self) -> Option<BrokerId> {
        match self.lookup {
            Lookup::Known { broker, .. } => Some(broker),
            Lookup::Unknown { .. } | Lookup::Asking => None,
        }
    }

    /// When [`Consumer::find_coordinator`] has something to do again.
    pub const fn retry_at(&self) -> SimTime {
        match self.lookup {
            Lookup::Unknown { retry_at } => retry_at,
            Lookup::Asking | Lookup::Known { .. } => SimTime::NEVER,
        }
    }

    /// When the oldest unsent request is given back.
    pub fn expires_at(&self) -> SimTime {
        self.unsent.iter().map(|unsent| unsent.expires_at).min().unwrap_or(SimTime::NEVER)
    }
}

impl Consumer {
    /// Whether the coordinator is known, and not known to be out of reach (`coordinatorUnknown`).
    pub(super) fn knows_coordinator(&mut self, cx: &mut ConsumerCx<'_>) -> bool {
        let Some(broker) = self.coordinator.known() else { return false };
        if !self.client.is_unavailable(connection_of(broker), cx.now()) {
            return true;
        }
        self.mark_coordinator_unknown(cx, true);
        let wait = self.retry_backoff.backoff(self.coordinator.failures, cx.rng());
        self.coordinator.failures = self.coordinator.failures.saturating_add(1);
        self.coordinator.lookup = Lookup::Unknown { retry_at: cx.now() + wait };
        false
    }

    /// Forgets the coordinator; requests to it are given back (`markCoordinatorUnknown`).
    pub(super) fn mark_coordinator_unknown(
        &mut self,
        cx: &mut ConsumerCx<'_>,
        is_disconnected: bool,
    ) {
        let Some(broker) = self.coordinator.known() else { return };
        self.coordinator.lookup = Lookup::Unknown { retry_at: cx.now() };
        let rules = self.config().client.rules;
        if !is_disconnected && rules.has(ProtocolRule::DisconnectUnknownCoordinator) {
            self.client.disconnect_from(cx, connection_of(broker));
        }
        while let Some(unsent) = self.coordinator.unsent.pop_front() {
            self.given_back.push_back((unsent.purpose, Loss::Disconnected));
        }
    }

    /// Asks any broker who the coordinator is, if it is unknown and it is time.
    pub(super) fn find_coordinator(&mut self, cx: &mut ConsumerCx<'_>) {
        if self.coordinator.retry_at() > cx.now() {
            return;
        }
        let Some(broker) = self.client.least_loaded(cx) else {
            self.client.request_update();
            let retry_at = cx.now() + self.config().client.retry_backoff;
            self.coordinator.lookup = Lookup::Unknown { retry_at };
            return;
        };
        if self.client.ready(cx, broker) {
            let key = CoordinatorKey::Group(self.setup.group);
            let request = Request::FindCoordinator(FindCoordinatorRequest { key });
            self.client.send(cx, broker, request, Purpose::FindCoordinator);
            self.coordinator.lookup = Lookup::Asking;
        }
    }

    /// `FindCoordinatorResponseHandler`
    pub(super) fn on_coordinator_found(
        &mut self,
        cx: &mut ConsumerCx<'_>,
        result: Result<Box<Response>, Loss>,
    ) {
        if self.coordinator.lookup != Lookup::Asking {
            return;
        }
        let found = match result.as_deref() {
            Ok(Response::FindCoordinator(answer)) if answer.error.is_none() => answer.coordinator,
            Ok(Response::FindCoordinator(_)) | Err(_) => None,
            Ok(other) => unreachable!("answered a FindCoordinator with {other:?}"),
        };
        let Some((broker, node)) = found else {
            let wait = self.retry_backoff.backoff(self.coordinator.failures, cx.rng());
            self.coordinator.failures = self.coordinator.failures.saturating_add(1);
            self.coordinator.lookup = Lookup::Unknown { retry_at: cx.now() + wait };
            self.client.request_update();
            self.commits_without_coordinator(cx, ErrorCode::CoordinatorNotAvailable);
            return;
        };
        self.coordinator.lookup = Lookup::Known { broker, node };
        let endpoint = Endpoint { node, listener: Listener::Broker };
        self.client.know(connection_of(broker), endpoint);
        let _ = self.client.ready(cx, connection_of(broker));
        self.membership.reset_session_timeout(&self.setup.config, cx.now());
        self.commits_with_coordinator(cx);
    }

    /// Queues a request to the coordinator, which is known. It is sent at the end of the turn.
    pub(super) fn send_to_coordinator(
        &mut self,
        cx: &mut ConsumerCx<'_>,
        request: Request,
        purpose: GroupPurpose,
        timeout: SimDuration,
    ) {
        let expires_at = cx.now() + timeout;
        self.coordinator.unsent.push_back(Unsent { request, purpose, timeout, expires_at });
    }

    /// Sends what waits, as far as the connection takes it (`ConsumerNetworkClient.trySend`); what
    /// has waited too long, or for a connection that failed, is given back.
    pub(super) fn transmit(&mut self, cx: &mut ConsumerCx<'_>) {
        if self.coordinator.unsent.is_empty() || !self.knows_coordinator(cx) {
            return;
        }
        let Some(broker) = self.coordinator.known() else { return };
        while !self.coordinator.unsent.is_empty() && self.client.ready(cx, connection_of(broker)) {
            let Some(unsent) = self.coordinator.unsent.pop_front() else { return };
            let Unsent { request, purpose, timeout, .. } = unsent;
            if let GroupPurpose::OffsetCommit(id, _) = &purpose
                && let Some((trigger, offsets)) = self.commits.in_flight(*id)
            {
                cx.trace(|| TraceEvent::CommitSent { trigger, offsets });
            }
            let purpose = Purpose::Group(purpose);
            self.client.send_for(cx, connection_of(broker), request, purpose, timeout);
        }
        let now = cx.now();
        while self.coordinator.unsent.front().is_some_and(|oldest| oldest.expires_at <= now) {
            let oldest = self.coordinator.unsent.pop_front().expect("it is in front");
            self.given_back.push_back((oldest.purpose, Loss::RequestTimeout));
        }
    }

    /// Requests to the coordinator that are not over.
    pub(super) fn coordinator_requests(&self) -> usize {
        let in_flight = self.coordinator.known().map(connection_of);
        let in_flight = in_flight.map_or(0, |node| self.client.in_flight_to(node));
        in_flight + self.coordinator.unsent.len()
    }

    /// The coordinator's connection was lost before the answer, or the answer took too long
    /// (`CoordinatorResponseHandler.onFailure`).
    pub(super) fn on_coordinator_lost(&mut self, cx: &mut ConsumerCx<'_>, node: BrokerId) {
        if self.coordinator.known().map(connection_of) == Some(node) {
            self.mark_coordinator_unknown(cx, true);
        }
    }

    /// The coordinator has answered: it can be reached.
    pub(super) const fn on_coordinator_answered(&mut self) {
        self.coordinator.failures = 0;
    }
}
