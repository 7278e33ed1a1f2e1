//! Connections to the other voters, one request at a time on each (`RequestManager`,
//! `KafkaNetworkChannel`, `NetworkClient`).
//!
//! A request that is not answered within `controller.quorum.request.timeout.ms` is given up
//! together with its connection, even if the voter has long moved on to another state and waits for
//! the answer no more; so is a connection that does not open in that time. After a failure a peer
//! rests for `controller.quorum.retry.backoff.ms`, and after a lost connection for the network
//! client's reconnect backoff, 50 ms doubling up to 500 ms (fixed in `KafkaRaftManager`). What to
//! send is not kept here: whoever is ready is asked for anew at the end of every event, as Kafka's
//! poll loop does.

use super::timers::LazyTimer;
use super::{ControllerCx, ControllerTimer};
use acklab_vocab::api::{Endpoint, Request};
use acklab_vocab::config::ControllerConfig;
use acklab_vocab::ids::{ConnectionId, ControllerId, CorrelationId};
use acklab_vocab::time::{SimDuration, SimTime};
use std::collections::VecDeque;

const RECONNECT_BACKOFF: SimDuration = SimDuration::from_millis(50);
const RECONNECT_BACKOFF_MAX: SimDuration = SimDuration::from_millis(500);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Closed,
    Connecting(ConnectionId),
    Open(ConnectionId),
}

/// Another voter.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Peer {
    id: ControllerId,
    endpoint: Endpoint,
    link: Link,
    /// The request whose answer is expected, if one is.
    in_flight: Option<CorrelationId>,
    /// Every request on the connection that is not answered, oldest first, with its deadline. All
    /// but the last were forgotten by [`Peers::reset`].
    outstanding: VecDeque<(CorrelationId, SimTime)>,
    /// The request that waits for the connection to open.
    unsent: Option<(CorrelationId, Request)>,
    /// Connections lost in a row.
    failures: u32,
    /// Nothing is sent before.
    ready_at: SimTime,
    timeout: LazyTimer,
}

/// The other voters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Peers {
    peers: Vec<Peer>,
    next_correlation: u32,
    request_timeout: SimDuration,
    retry_backoff: SimDuration,
}

impl Peers {
    pub(super) fn new(others: &[(ControllerId, Endpoint)], config: &ControllerConfig) -> Self {
        let peer = |&(id, endpoint): &(ControllerId, Endpoint)| Peer {
            id,
            endpoint,
            link: Link::Closed,
            in_flight: None,
            outstanding: VecDeque::new(),
            unsent: None,
            failures: 0,
            ready_at: SimTime(i64::MIN),
            timeout: LazyTimer::new(ControllerTimer::PeerRequestTimeout(id)),
        };
        Peers {
            peers: others.iter().map(peer).collect(),
            next_correlation: 0,
            request_timeout: config.quorum_request_timeout,
            retry_backoff: config.quorum_retry_backoff,
        }
    }

    /// Gives each peer that is ready the request that `wanted` names for it.
    pub(super) fn poll(
        &mut self,
        cx: &mut ControllerCx<'_>,
        wanted: impl Fn(ControllerId) -> Option<Request>,
    ) {
        let now = cx.now();
        for peer in &mut self.peers {
            if peer.in_flight.is_some() || peer.ready_at > now {
                continue;
            }
            let Some(request) = wanted(peer.id) else { continue };
            let correlation = CorrelationId(self.next_correlation);
            self.next_correlation = self.next_correlation.wrapping_add(1);
            peer.in_flight = Some(correlation);
            match peer.link {
                Link::Open(connection) => {
                    peer.send(cx, connection, (correlation, request), self.request_timeout);
                }
                Link::Connecting(_) => peer.unsent = Some((correlation, request)),
                Link::Closed => {
                    peer.unsent = Some((correlation, request));
                    peer.link = Link::Connecting(cx.connect(peer.endpoint));
                    peer.timeout.set(cx, now + self.request_timeout);
                }
            }
        }
    }

    /// Forgets every request in flight: their answers concern an earlier state of the voter.
    pub(super) fn reset(&mut self) {
        for peer in &mut self.peers {
            peer.in_flight = None;
            peer.unsent = None;
        }
    }

    pub(super) fn on_connected(&mut self, cx: &mut ControllerCx<'_>, connection: ConnectionId) {
        let opened = |peer: &&mut Peer| peer.link == Link::Connecting(connection);
        let Some(peer) = self.peers.iter_mut().find(opened) else { return };
        peer.link = Link::Open(connection);
        peer.failures = 0;
        peer.timeout.clear();
        if let Some(unsent) = peer.unsent.take() {
            peer.send(cx, connection, unsent, self.request_timeout);
        }
    }

    /// Whether the connection was one of these.
    pub(super) fn on_closed(
        &mut self,
        cx: &mut ControllerCx<'_>,
        connection: ConnectionId,
    ) -> bool {
        let Some(peer) = self.peers.iter_mut().find(|peer| peer.uses(connection)) else {
            return false;
        };
        peer.disconnected(cx, self.retry_backoff);
        true
    }

    /// An answer arrived: from whom, if it was expected.
    pub(super) fn on_response(
        &mut self,
        cx: &mut ControllerCx<'_>,
        connection: ConnectionId,
        correlation: CorrelationId,
    ) -> Option<ControllerId> {
        let peer = self.peers.iter_mut().find(|peer| peer.uses(connection))?;
        let answered = peer.outstanding.pop_front().map(|(oldest, _)| oldest);
        assert_eq!(answered, Some(correlation), "answers come in the order of requests");
        peer.await_oldest(cx);
        if peer.in_flight != Some(correlation) {
            return None;
        }
        peer.in_flight = None;
        Some(peer.id)
    }

    /// The answer was an error that only time can mend.
    pub(super) fn back_off(&mut self, cx: &mut ControllerCx<'_>, id: ControllerId) {
        let retry_backoff = self.retry_backoff;
        if let Some(peer) = self.peers.iter_mut().find(|peer| peer.id == id) {
            peer.rest(cx, retry_backoff);
        }
    }

    /// A request is overdue: its connection is given up.
    pub(super) fn on_request_timeout(&mut self, cx: &mut ControllerCx<'_>, id: ControllerId) {
        let retry_backoff = self.retry_backoff;
        let Some(peer) = self.peers.iter_mut().find(|peer| peer.id == id) else { return };
        if peer.timeout.fired(cx) {
            if let Link::Connecting(connection) | Link::Open(connection) = peer.link {
                cx.close(connection);
            }
            peer.disconnected(cx, retry_backoff);
        }
    }
}

impl Peer {
    fn uses(&self, connection: ConnectionId) -> bool {
        match self.link {
            Link::Connecting(own) | Link::Open(own) => own == connection,
            Link::Closed => false,
        }
    }

    fn send(
        &mut self,
        cx: &mut ControllerCx<'_>,
        connection: ConnectionId,
        (correlation, request): (CorrelationId, Request),
        timeout: SimDuration,
    ) {
        self.outstanding.push_back((correlation, cx.now() + timeout));
        self.await_oldest(cx);
        cx.request(connection, correlation, request);
    }

    fn await_oldest(&mut self, cx: &mut ControllerCx<'_>) {
        match self.outstanding.front() {
            Some(&(_, deadline)) => self.timeout.set(cx, deadline),
            None => self.timeout.clear(),
        }
    }

    fn disconnected(&mut self, cx: &mut ControllerCx<'_>, retry_backoff: SimDuration) {
        self.link = Link::Closed;
        self.in_flight = None;
        self.outstanding.clear();
        self.unsent = None;
        self.timeout.clear();
        let doubled = RECONNECT_BACKOFF * (1 << self.failures.min(10));
        let reconnect = cx.rng().jittered(doubled.min(RECONNECT_BACKOFF_MAX));
        self.failures += 1;
        self.rest(cx, reconnect.max(retry_backoff));
    }

    fn rest(&mut self, cx: &mut ControllerCx<'_>, backoff: SimDuration) {
        self.ready_at = cx.now() + backoff;
        cx.set_timer(ControllerTimer::PeerReady(self.id), self.ready_at);
    }
}
