//! One broker as a client sees it: its connection and what is in flight on it
//! (`ClusterConnectionStates.NodeConnectionState`, `InFlightRequests`).

use super::backoff::ExponentialBackoff;
use crate::rng::NodeRng;
use acklab_vocab::api::Endpoint;
use acklab_vocab::ids::{BrokerId, ConnectionId, CorrelationId, TopicId};
use acklab_vocab::time::{SimDuration, SimTime};
use smallvec::SmallVec;
use std::collections::VecDeque;

/// State of a broker's connection (`ConnectionState`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionState {
    /// None; another attempt is allowed once the reconnect backoff is over.
    Disconnected,
    /// Asked for, not yet open.
    Connecting {
        /// Its name.
        connection: ConnectionId,
        /// When the client gives the attempt up.
        gives_up_at: SimTime,
    },
    /// Open.
    Ready {
        /// Its name.
        connection: ConnectionId,
        /// Bytes of the last request wait for room in the socket's send buffer.
        write_blocked: bool,
    },
}

/// What a request in flight was for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Purpose<P> {
    /// The client's own refresh of metadata, for these topics.
    Metadata(SmallVec<[TopicId; 2]>),
    /// The caller's.
    Caller(P),
}

/// A request that waits for its response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct InFlight<P> {
    pub correlation: CorrelationId,
    /// When the connection is given up for it.
    pub expires_at: SimTime,
    pub purpose: Purpose<P>,
}

/// A broker that the client has heard of.
#[derive(Clone, Debug)]
pub(super) struct Node<P> {
    pub broker: BrokerId,
    pub endpoint: Endpoint,
    pub state: ConnectionState,
    /// Oldest first.
    pub in_flight: VecDeque<InFlight<P>>,
    /// Of the last attempt to connect, or of the last disconnection.
    pub last_connect_attempt: Option<SimTime>,
    /// Until then the last request without an answer is being written to the socket.
    pub written_at: SimTime,
    reconnect_backoff: SimDuration,
    failed_attempts: u32,
    failed_connect_attempts: u32,
}

impl<P> Node<P> {
    pub fn new(broker: BrokerId, endpoint: Endpoint) -> Self {
        Node {
            broker,
            endpoint,
            state: ConnectionState::Disconnected,
            in_flight: VecDeque::new(),
            last_connect_attempt: None,
            written_at: SimTime(i64::MIN),
            reconnect_backoff: SimDuration::ZERO,
            failed_attempts: 0,
            failed_connect_attempts: 0,
        }
    }

    /// The connection that there is or will be.
    pub fn connection(&self) -> Option<ConnectionId> {
        match self.state {
            ConnectionState::Disconnected => None,
            ConnectionState::Connecting { connection, .. }
            | ConnectionState::Ready { connection, .. } => Some(connection),
        }
    }

    pub fn is_ready(&self) -> bool {
        matches!(self.state, ConnectionState::Ready { .. })
    }

    pub fn is_connecting(&self) -> bool {
        matches!(self.state, ConnectionState::Connecting { .. })
    }

    /// The last request is fully written and there is room for another
    /// (`InFlightRequests.canSendMore`).
    pub fn can_send(&self, max_in_flight: u32) -> bool {
        let writable = matches!(self.state, ConnectionState::Ready { write_blocked: false, .. });
        writable && self.in_flight.len() < max_in_flight as usize
    }

    /// Earliest instant at which an attempt to connect is allowed; [`SimTime::NEVER`] unless
    /// disconnected.
    pub fn may_connect_at(&self) -> SimTime {
        match (self.state, self.last_connect_attempt) {
            (ConnectionState::Disconnected, None) => SimTime(i64::MIN),
            (ConnectionState::Disconnected, Some(last)) => last + self.reconnect_backoff,
            (ConnectionState::Connecting { .. } | ConnectionState::Ready { .. }, _) => {
                SimTime::NEVER
            }
        }
    }

    pub fn connecting(
        &mut self,
        connection: ConnectionId,
        setup_timeout: ExponentialBackoff,
        now: SimTime,
        rng: &mut NodeRng,
    ) {
        let timeout = setup_timeout.backoff(self.failed_connect_attempts, rng);
        self.last_connect_attempt = Some(now);
        self.state = ConnectionState::Connecting { connection, gives_up_at: now + timeout };
    }

    pub fn connected(&mut self, connection: ConnectionId) {
        self.state = ConnectionState::Ready { connection, write_blocked: false };
        self.failed_attempts = 0;
        self.failed_connect_attempts = 0;
    }

    pub fn disconnected(&mut self, backoff: ExponentialBackoff, now: SimTime, rng: &mut NodeRng) {
        self.last_connect_attempt = Some(now);
        self.reconnect_backoff = backoff.backoff(self.failed_attempts, rng);
        self.failed_attempts = self.failed_attempts.saturating_add(1);
        let was_connecting = self.is_connecting();
        let failed = self.failed_connect_attempts.saturating_add(1);
        self.failed_connect_attempts = if was_connecting { failed } else { 0 };
        self.state = ConnectionState::Disconnected;
    }

    /// When the connection is to be given up: its set-up, or a request on it, takes too long.
    pub fn expires_at(&self) -> SimTime {
        match self.state {
            ConnectionState::Disconnected => SimTime::NEVER,
            ConnectionState::Connecting { gives_up_at, .. } => gives_up_at,
            ConnectionState::Ready { .. } => {
                let expiries = self.in_flight.iter().map(|request| request.expires_at);
                expiries.min().unwrap_or(SimTime::NEVER)
            }
        }
    }
}
