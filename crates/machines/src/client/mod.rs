//! The network side of every client: Kafka's `NetworkClient` with `ClusterConnectionStates`,
//! `InFlightRequests` and `Metadata`.
//!
//! One connection per broker, and one more to a consumer's coordinator ([`NetworkClient::know`]).
//! Requests on it are answered in order; when one is not answered within the request timeout, or
//! the connection is lost, all of them are given back at once, with what they were for (`P`). Every
//! disconnection asks for fresh metadata, which any broker may give.
//!
//! A machine embeds a [`NetworkClient`], hands it the inputs about connections, then takes the
//! [`Completion`]s one by one and ends with [`NetworkClient::poll`]. It keeps one timer for all of
//! this: [`NetworkClient::deadline`] says when it must call [`NetworkClient::wake`].
//!
//! Left out: the ApiVersions round trip after connecting, connections closed for idleness,
//! throttling, and the second connection that Kafka opens to a broker that it first knew as a
//! bootstrap address. None decides the fate of a record.

pub mod aborted;
pub mod backoff;
mod connection;
pub mod metadata;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use connection::ConnectionState;

use crate::machine::Cx;
use acklab_vocab::api::{CurrentLeader, Endpoint, MetadataRequest, Request, Response};
use acklab_vocab::config::ClientConfig;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{BrokerId, ConnectionId, CorrelationId, TopicId, TopicPartition};
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::RetryReason;
use backoff::ExponentialBackoff;
use connection::{InFlight, Node, Purpose};
use metadata::Metadata;
use smallvec::SmallVec;
use std::collections::VecDeque;

/// Why a request was given back without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The connection was lost.
    Disconnected,
    /// It, or an older one on the connection, was not answered in time; the client has closed the
    /// connection.
    RequestTimeout,
}

impl Loss {
    /// As Kafka's callbacks see it: `NETWORK_EXCEPTION` or `REQUEST_TIMED_OUT`.
    #[must_use]
    pub const fn error(self) -> ErrorCode {
        match self {
            Loss::Disconnected => ErrorCode::NetworkException,
            Loss::RequestTimeout => ErrorCode::RequestTimedOut,
        }
    }

    /// As the trace has it.
    #[must_use]
    pub const fn reason(self) -> RetryReason {
        match self {
            Loss::Disconnected => RetryReason::Disconnected,
            Loss::RequestTimeout => RetryReason::RequestTimeout,
        }
    }
}

/// A request is over (`ClientResponse`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion<P> {
    /// Whom it was sent to.
    pub broker: BrokerId,
    /// What it was for.
    pub purpose: P,
    /// The answer, or why there is none.
    pub result: Result<Box<Response>, Loss>,
}

/// The network side of a client. `P`: what a request was for.
#[derive(Clone, Debug)]
pub struct NetworkClient<P> {
    config: ClientConfig,
    max_in_flight: u32,
    reconnect_backoff: ExponentialBackoff,
    setup_timeout: ExponentialBackoff,
    /// Ascending by broker.
    nodes: Vec<Node<P>>,
    /// Open or opening, ascending: a process numbers its connections upwards.
    connections: Vec<(ConnectionId, BrokerId)>,
    metadata: Metadata,
    metadata_in_flight: bool,
    next_correlation: u32,
    /// No later than the earliest instant at which something is to be done.
    deadline: SimTime,
    completions: VecDeque<Completion<P>>,
}

/// How long a client's thread is busy with one request before it can send the next: building it, a
/// turn of the selector, and the copy into the socket. [I] Only requests without an answer need it:
/// nothing else paces them.
const WRITE_TIME: SimDuration = SimDuration::from_micros(50);

impl<P> NetworkClient<P> {
    /// Knows `bootstrap`, is connected to nobody. At most `max_in_flight` requests wait for an
    /// answer on a connection.
    #[must_use]
    pub fn new(
        config: &ClientConfig,
        bootstrap: &[(BrokerId, Endpoint)],
        max_in_flight: u32,
    ) -> Self {
        let mut client = NetworkClient {
            config: config.clone(),
            max_in_flight,
            reconnect_backoff: ExponentialBackoff::of_reconnects(config),
            setup_timeout: ExponentialBackoff::of_connection_setup(config),
            nodes: Vec::new(),
            connections: Vec::new(),
            metadata: Metadata::new(config, bootstrap),
            metadata_in_flight: false,
            next_correlation: 0,
            deadline: SimTime::NEVER,
            completions: VecDeque::new(),
        };
        client.learn_nodes();
        client
    }

    /// What it knows of the cluster.
    #[must_use]
    pub const fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Makes a topic interesting.
    pub fn add_topic(&mut self, topic: TopicId) {
        self.metadata.add_topic(topic);
    }

    /// Wants fresh metadata as soon as the pace of retries allows.
    pub const fn request_update(&mut self) {
        self.metadata.request_update();
    }

    /// A broker has named a newer leader with an error (KIP-951). Returns whether that was news.
    pub fn update_leadership(&mut self, partition: TopicPartition, leader: CurrentLeader) -> bool {
        let Ok(index) = self.find(leader.leader) else { return false };
        let endpoint = self.nodes[index].endpoint;
        self.metadata.update_leadership(partition, leader, endpoint)
    }

    /// `request.timeout.ms`
    #[must_use]
    pub const fn request_timeout(&self) -> SimDuration {
        self.config.request_timeout
    }

    /// The next finished request, in the order in which Kafka would call back.
    pub fn next_completion(&mut self) -> Option<Completion<P>> {
        self.completions.pop_front()
    }

    /// Whether [`NetworkClient::next_completion`] has one.
    #[must_use]
    pub fn has_completions(&self) -> bool {
        !self.completions.is_empty()
    }

    /// How many requests of the caller wait for an answer.
    #[must_use]
    pub fn in_flight_count(&self) -> usize {
        let callers = |request: &&InFlight<P>| matches!(request.purpose, Purpose::Caller(_));
        self.nodes.iter().map(|node| node.in_flight.iter().filter(callers).count()).sum()
    }

    /// Every broker heard of: its connection and how many requests are in flight on it, metadata
    /// included.
    pub fn connections(&self) -> impl Iterator<Item = (BrokerId, ConnectionState, usize)> {
        self.nodes.iter().map(|node| (node.broker, node.state, node.in_flight.len()))
    }

    /// When [`NetworkClient::wake`] is to be called, at the latest; earlier is harmless.
    #[must_use]
    pub const fn deadline(&self) -> SimTime {
        self.deadline
    }

    /// Whether a request may be sent to `broker` now (`NetworkClient.isReady`). Metadata that is
    /// due goes first.
    #[must_use]
    pub fn is_ready(&self, broker: BrokerId, now: SimTime) -> bool {
        if !self.metadata_in_flight && self.metadata.next_update() <= now {
            return false;
        }
        let node = self.find(broker).map(|index| &self.nodes[index]);
        node.is_ok_and(|node| node.can_send(self.max_in_flight) && node.written_at <= now)
    }

    /// As [`NetworkClient::is_ready`]; connects if that is missing and allowed
    /// (`NetworkClient.ready`).
    pub fn ready<T, R>(&mut self, cx: &mut Cx<'_, T, R>, broker: BrokerId) -> bool {
        if self.is_ready(broker, cx.now()) {
            return true;
        }
        if let Ok(index) = self.find(broker) {
            let written_at = self.nodes[index].written_at;
            if written_at > cx.now() {
                self.deadline = self.deadline.min(written_at);
                return false;
            }
            let may_connect_at = self.nodes[index].may_connect_at();
            if may_connect_at <= cx.now() {
                self.connect(cx, index);
            } else {
                self.deadline = self.deadline.min(may_connect_at);
            }
        }
        false
    }

    /// Makes a node known that no metadata answer has named: a coordinator, or the connection of
    /// its own that a consumer has to one. It is not asked for metadata on account of this.
    pub fn know(&mut self, node: BrokerId, endpoint: Endpoint) {
        match self.find(node) {
            Ok(index) => self.nodes[index].endpoint = endpoint,
            Err(index) => self.nodes.insert(index, Node::new(node, endpoint)),
        }
    }

    /// Whether the last connection has failed and it is too early for another
    /// (`ConsumerNetworkClient.isUnavailable`).
    #[must_use]
    pub fn is_unavailable(&self, broker: BrokerId, now: SimTime) -> bool {
        let Ok(index) = self.find(broker) else { return false };
        let node = &self.nodes[index];
        node.state == ConnectionState::Disconnected
            && node.last_connect_attempt.is_some()
            && node.may_connect_at() > now
    }

    /// How many requests are in flight to one broker.
    #[must_use]
    pub fn in_flight_to(&self, broker: BrokerId) -> usize {
        self.find(broker).map_or(0, |index| self.nodes[index].in_flight.len())
    }

    /// Closes a broker's connection, if there is one, and gives back what is in flight on it
    /// (`NetworkClient.disconnect`).
    pub fn disconnect_from<T, R>(&mut self, cx: &mut Cx<'_, T, R>, broker: BrokerId) {
        let Ok(index) = self.find(broker) else { return };
        if let Some(connection) = self.nodes[index].connection() {
            cx.close(connection);
            self.give_back(cx, index, Loss::Disconnected);
        }
    }

    /// There is no connection to `broker`, nor an attempt at one
    /// (`NetworkClient.connectionFailed`).
    #[must_use]
    pub fn has_no_connection(&self, broker: BrokerId) -> bool {
        self.find(broker).is_ok_and(|index| self.nodes[index].connection().is_none())
    }

    /// Sends a request to a broker that is ready. It is in flight until its [`Completion`].
    pub fn send<T, R>(
        &mut self,
        cx: &mut Cx<'_, T, R>,
        broker: BrokerId,
        request: Request,
        purpose: P,
    ) {
        let timeout = self.config.request_timeout;
        self.send_for(cx, broker, request, purpose, timeout);
    }

    /// As [`NetworkClient::send`], to be answered within `timeout` instead of `request.timeout.ms`.
    pub fn send_for<T, R>(
        &mut self,
        cx: &mut Cx<'_, T, R>,
        broker: BrokerId,
        request: Request,
        purpose: P,
        timeout: SimDuration,
    ) {
        self.put_in_flight(cx, broker, request, Purpose::Caller(purpose), timeout);
    }

    /// Sends a request that gets no answer (acks=0). It counts as written at once; the next one
    /// may be sent when the writing is over, unless the socket's buffer has filled up meanwhile.
    pub fn send_without_response<T, R>(
        &mut self,
        cx: &mut Cx<'_, T, R>,
        broker: BrokerId,
        request: Request,
    ) {
        let node = self.node_able_to_send(broker);
        let connection = node.connection().expect("a ready node has a connection");
        let correlation = self.correlation();
        cx.request(connection, correlation, request);
        let written_at = cx.now() + WRITE_TIME;
        if let Ok(index) = self.find(broker) {
            self.nodes[index].written_at = written_at;
        }
        self.deadline = self.deadline.min(written_at);
    }

    /// [`Input::Connected`](crate::Input::Connected)
    pub fn on_connected(&mut self, connection: ConnectionId) {
        if let Some(index) = self.find_connection(connection) {
            self.nodes[index].connected(connection);
        }
    }

    /// [`Input::Response`](crate::Input::Response)
    pub fn on_response<T, R>(
        &mut self,
        cx: &mut Cx<'_, T, R>,
        connection: ConnectionId,
        correlation: CorrelationId,
        response: Box<Response>,
    ) {
        let Some(index) = self.find_connection(connection) else { return };
        let node = &mut self.nodes[index];
        let Some(request) = node.in_flight.pop_front() else { return };
        assert_eq!(request.correlation, correlation, "responses come in the order of requests");
        let broker = node.broker;
        match request.purpose {
            Purpose::Caller(purpose) => {
                self.completions.push_back(Completion { broker, purpose, result: Ok(response) });
            }
            Purpose::Metadata(asked) => self.on_metadata(cx, &asked, &response),
        }
    }

    /// [`Input::Closed`](crate::Input::Closed)
    pub fn on_closed<T, R>(&mut self, cx: &mut Cx<'_, T, R>, connection: ConnectionId) {
        if let Some(index) = self.find_connection(connection) {
            self.disconnect(cx, index, Loss::Disconnected);
        }
    }

    /// [`Input::WriteBlocked`](crate::Input::WriteBlocked) and
    /// [`Input::WriteResumed`](crate::Input::WriteResumed)
    pub fn on_write_blocked(&mut self, connection: ConnectionId, blocked: bool) {
        if let Some(index) = self.find_connection(connection)
            && let ConnectionState::Ready { write_blocked, .. } = &mut self.nodes[index].state
        {
            *write_blocked = blocked;
        }
    }

    /// The deadline has come: gives up what takes too long.
    pub fn wake<T, R>(&mut self, cx: &mut Cx<'_, T, R>) {
        let now = cx.now();
        self.deadline = SimTime::NEVER;
        for index in 0..self.nodes.len() {
            let expires_at = self.nodes[index].expires_at();
            if expires_at <= now {
                if let Some(connection) = self.nodes[index].connection() {
                    cx.close(connection);
                }
                self.disconnect(cx, index, Loss::RequestTimeout);
            } else {
                self.deadline = self.deadline.min(expires_at);
            }
        }
    }

    /// Ends every turn: asks for metadata if that is due (`DefaultMetadataUpdater.maybeUpdate`).
    pub fn poll<T, R>(&mut self, cx: &mut Cx<'_, T, R>) {
        if self.metadata_in_flight {
            return;
        }
        let due = self.metadata.next_update();
        if due > cx.now() {
            self.deadline = self.deadline.min(due);
            return;
        }
        let mut chosen = self.least_loaded_node(cx);
        if chosen.is_none() && self.starts_over() {
            self.metadata.rebootstrap();
            chosen = self.least_loaded_node(cx);
        }
        match chosen {
            Some(index) if self.nodes[index].can_send(self.max_in_flight) => {
                let topics = self.metadata.topics();
                let request = Request::Metadata(MetadataRequest { topics: topics.clone() });
                let broker = self.nodes[index].broker;
                let timeout = self.config.request_timeout;
                self.put_in_flight(cx, broker, request, Purpose::Metadata(topics), timeout);
                self.metadata_in_flight = true;
            }
            Some(index) => {
                let connecting = self.nodes.iter().any(Node::is_connecting);
                if !connecting && self.nodes[index].may_connect_at() <= cx.now() {
                    self.connect(cx, index);
                }
            }
            None => {
                let retry_at = self.known_nodes().map(Node::may_connect_at).min();
                self.deadline = self.deadline.min(retry_at.unwrap_or(SimTime::NEVER));
            }
        }
    }

    /// The broker to ask what any broker can answer, connected or not
    /// (`NetworkClient.leastLoadedNode`): one that can take a request, the fewer in flight the
    /// better; else one that is connecting; else the one whose last attempt is oldest.
    pub fn least_loaded<T, R>(&mut self, cx: &mut Cx<'_, T, R>) -> Option<BrokerId> {
        self.least_loaded_node(cx).map(|index| self.nodes[index].broker)
    }

    /// Closes all connections without giving anything back: the client is being closed.
    pub fn close<T, R>(&mut self, cx: &mut Cx<'_, T, R>) {
        for (connection, _) in self.connections.drain(..) {
            cx.close(connection);
        }
        for node in &mut self.nodes {
            node.in_flight.clear();
            node.state = ConnectionState::Disconnected;
        }
        self.metadata_in_flight = false;
        self.completions.clear();
        self.deadline = SimTime::NEVER;
    }

    fn least_loaded_node<T, R>(&self, cx: &mut Cx<'_, T, R>) -> Option<usize> {
        let brokers = self.metadata.brokers();
        let offset = cx.rng().below(brokers.len() as u64) as usize;
        let now = cx.now();
        let (mut ready, mut connecting, mut connectable) = (None, None, None);
        for &(broker, _) in brokers[offset..].iter().chain(&brokers[..offset]) {
            let Ok(index) = self.find(broker) else { continue };
            let node = &self.nodes[index];
            if node.can_send(self.max_in_flight) {
                let load = node.in_flight.len();
                if load == 0 {
                    return Some(index);
                }
                if ready.is_none_or(|(least, _)| load < least) {
                    ready = Some((load, index));
                }
            } else if node.is_connecting() {
                connecting = Some(index);
            } else if node.may_connect_at() <= now {
                let last = node.last_connect_attempt;
                if connectable.is_none_or(|(oldest, _)| last < oldest) {
                    connectable = Some((last, index));
                }
            }
        }
        let ready = ready.map(|(_, index)| index);
        ready.or(connecting).or(connectable.map(|(_, index)| index))
    }

    /// No broker that is known can be reached or is about to be, and the version starts over then
    /// (KIP-899).
    fn starts_over(&self) -> bool {
        self.config.rules.has(ProtocolRule::MetadataRebootstrap)
            && !self.known_nodes().any(Node::is_ready)
    }

    fn known_nodes(&self) -> impl Iterator<Item = &Node<P>> {
        let brokers = self.metadata.brokers().iter();
        brokers.filter_map(|&(broker, _)| self.find(broker).ok().map(|index| &self.nodes[index]))
    }

    fn put_in_flight<T, R>(
        &mut self,
        cx: &mut Cx<'_, T, R>,
        broker: BrokerId,
        request: Request,
        purpose: Purpose<P>,
        timeout: SimDuration,
    ) {
        let correlation = self.correlation();
        let expires_at = cx.now() + timeout;
        self.deadline = self.deadline.min(expires_at);
        let node = self.node_able_to_send(broker);
        let connection = node.connection().expect("a ready node has a connection");
        node.in_flight.push_back(InFlight { correlation, expires_at, purpose });
        cx.request(connection, correlation, request);
    }

    fn node_able_to_send(&mut self, broker: BrokerId) -> &mut Node<P> {
        let max_in_flight = self.max_in_flight;
        let index = self.find(broker).expect("requests go to brokers that were ready");
        let node = &mut self.nodes[index];
        assert!(node.can_send(max_in_flight), "requests go to brokers that were ready");
        node
    }

    const fn correlation(&mut self) -> CorrelationId {
        let correlation = CorrelationId(self.next_correlation);
        self.next_correlation = self.next_correlation.wrapping_add(1);
        correlation
    }

    fn connect<T, R>(&mut self, cx: &mut Cx<'_, T, R>, index: usize) {
        let node = &mut self.nodes[index];
        let connection = cx.connect(node.endpoint);
        let now = cx.now();
        node.connecting(connection, self.setup_timeout, now, cx.rng());
        self.connections.push((connection, node.broker));
        self.deadline = self.deadline.min(node.expires_at());
    }

    /// Gives back everything in flight on a connection and asks for metadata
    /// (`NetworkClient.processDisconnection`).
    fn disconnect<T, R>(&mut self, cx: &mut Cx<'_, T, R>, index: usize, loss: Loss) {
        let now = cx.now();
        self.give_back(cx, index, loss);
        if !self.metadata_in_flight && self.metadata.next_update() <= now {
            self.metadata.failed(now, cx.rng());
        }
        self.metadata.request_update();
    }

    /// Gives back everything in flight on a connection that is no more.
    fn give_back<T, R>(&mut self, cx: &mut Cx<'_, T, R>, index: usize, loss: Loss) {
        let now = cx.now();
        let node = &mut self.nodes[index];
        let (broker, connection) = (node.broker, node.connection());
        self.connections.retain(|&(open, _)| Some(open) != connection);
        node.disconnected(self.reconnect_backoff, now, cx.rng());
        let oldest_first = self.config.rules.has(ProtocolRule::CancelOldestFirst);
        let mut next = || {
            let in_flight = &mut node.in_flight;
            if oldest_first { in_flight.pop_front() } else { in_flight.pop_back() }
        };
        while let Some(request) = next() {
            match request.purpose {
                Purpose::Caller(purpose) => {
                    self.completions.push_back(Completion { broker, purpose, result: Err(loss) });
                }
                Purpose::Metadata(_) => {
                    self.metadata_in_flight = false;
                    self.metadata.failed(now, cx.rng());
                }
            }
        }
    }

    fn on_metadata<T, R>(
        &mut self,
        cx: &mut Cx<'_, T, R>,
        asked: &SmallVec<[TopicId; 2]>,
        response: &Response,
    ) {
        self.metadata_in_flight = false;
        let now = cx.now();
        match response {
            Response::Metadata(metadata) => self.metadata.update(metadata, asked, now, cx.rng()),
            other => unreachable!("answered a metadata request with {other:?}"),
        }
        self.learn_nodes();
    }

    fn learn_nodes(&mut self) {
        for &(broker, endpoint) in self.metadata.brokers() {
            match self.nodes.binary_search_by_key(&broker, |node| node.broker) {
                Ok(index) => self.nodes[index].endpoint = endpoint,
                Err(index) => self.nodes.insert(index, Node::new(broker, endpoint)),
            }
        }
    }

    fn find(&self, broker: BrokerId) -> Result<usize, usize> {
        self.nodes.binary_search_by_key(&broker, |node| node.broker)
    }

    fn find_connection(&self, connection: ConnectionId) -> Option<usize> {
        let place = self.connections.binary_search_by_key(&connection, |entry| entry.0).ok()?;
        self.find(self.connections[place].1).ok()
    }
}
