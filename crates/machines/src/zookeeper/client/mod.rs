//! ZooKeeper's client library: Java's (`ClientCnxn`, `StaticHostProvider`, `ZKWatchManager`) as
//! Kafka uses it, and kazoo's (`ConnectionHandler`, `KazooRetry`) as pykafka does.
//!
//! A machine embeds a [`ZooKeeperClient`], hands it the inputs about connections that it
//! [owns](ZooKeeperClient::owns), then takes the [events](ZooKeeperClientEvent) one by one, in the
//! order of the library's event thread. It keeps one timer: [`ZooKeeperClient::deadline`] says when
//! [`ZooKeeperClient::on_time`] is due; after every call the deadline may be another.
//!
//! | | Java (3.4 to 3.8) | kazoo (2.5, which pykafka pins) |
//! |---|---|---|
//! | servers | shuffled once | shuffled before every round |
//! | before an attempt | up to 1 s; 1 s more after a round | 0; 0.1 s doubled after a round |
//! | an attempt may take | the timeout by the number of servers | the timeout |
//! | ping | half a read timeout after the last packet sent | as long without any traffic |
//! | connection lost | nothing read for 2/3 of the timeout | no pong when a ping is due |
//! | submitted unconnected | waits for the attempt, fails with it | SessionExpired at once |
//! | watches | set again on the next connection | forgotten |
//! | session expired | nothing until [`ZooKeeperClient::restart`] | a new session, by itself |
//!
//! A request that was sent and not answered fails with ConnectionLoss: whether it was done is open.
//!
//! Left out: read-only servers, authentication, changes of the list of servers, kazoo's limit of
//! 15 s for `start()` (its caller's), and the expiry that 3.10 decides without a server.

mod java;
mod kazoo;
mod pace;
#[cfg(test)]
mod tests;
mod watches;

use crate::machine::Cx;
use acklab_vocab::api::{
    Endpoint, Request, WATCH_CORRELATION, ZooKeeperOperation, ZooKeeperReply, ZooKeeperRequest,
    ZooKeeperResponse,
};
use acklab_vocab::ids::{ConnectionId, CorrelationId};
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::{TraceEvent, ZooKeeperState};
use acklab_vocab::zookeeper::{SessionId, WatchEvent, ZooKeeperError, Zxid};
use pace::{Pace, Stage, Turn};
use std::collections::VecDeque;
use watches::ClientWatches;

/// Whose client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZooKeeperLibrary {
    /// Java's: brokers, controllers, Kafka's own consumer of 0.8.
    Java,
    /// kazoo: pykafka.
    Kazoo,
}

/// What a client is told when it is made.
#[derive(Clone, Debug)]
pub struct ZooKeeperClientSetup {
    /// Which library.
    pub library: ZooKeeperLibrary,
    /// `zookeeper.connect`: the client ports of the ensemble.
    pub servers: Vec<Endpoint>,
    /// `zookeeper.session.timeout.ms`: what the client asks for.
    pub session_timeout: SimDuration,
}

/// What the library tells its user. `P`: what a request was for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ZooKeeperClientEvent<P> {
    /// The client stands otherwise than before.
    State(ZooKeeperState),
    /// A request is over.
    Reply(P, Result<ZooKeeperReply, ZooKeeperError>),
    /// A watch that this client has set has fired.
    Watch(WatchEvent),
    /// [`ZooKeeperClient::close`] is done: the session has ended, or the connection was lost before
    /// that was known.
    Closed,
}

/// A client of the ensemble, with at most one session and one connection.
#[derive(Clone, Debug)]
pub struct ZooKeeperClient<P> {
    setup: ZooKeeperClientSetup,
    pace: Pace,
    phase: Phase,
    state: ZooKeeperState,
    session: Option<SessionId>,
    negotiated: SimDuration,
    last_zxid: Zxid,
    closing: bool,
    /// Waiting to be sent (`outgoingQueue`).
    outgoing: VecDeque<Call<P>>,
    /// Sent (`pendingQueue`), pings included: answers come in this order.
    in_flight: VecDeque<(CorrelationId, Sent<P>)>,
    watches: ClientWatches,
    events: VecDeque<ZooKeeperClientEvent<P>>,
    next_correlation: u32,
    deadline: SimTime,
    /// The deadline is past by more than nothing, and what has arrived meanwhile comes first.
    late: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Not started, closed, or (Java) expired.
    Idle,
    /// The next attempt is due at a later time.
    Waiting {
        server: Endpoint,
        at: SimTime,
    },
    Opening(ConnectionId),
    /// The session is not agreed on yet.
    Handshake(ConnectionId),
    Connected(ConnectionId),
}

#[derive(Clone, Debug)]
struct Call<P> {
    request: ZooKeeperRequest,
    purpose: P,
    until_connected: bool,
}

#[derive(Clone, Debug)]
enum Sent<P> {
    Connect,
    Ping,
    SetWatches,
    Close,
    Call(Call<P>),
}

impl<P> ZooKeeperClient<P> {
    /// Is not connected; [`ZooKeeperClient::start`] connects.
    ///
    /// # Panics
    /// Without any server.
    #[must_use]
    pub fn new(setup: ZooKeeperClientSetup) -> Self {
        assert!(!setup.servers.is_empty(), "a client knows a server");
        ZooKeeperClient {
            pace: Pace::new(&setup),
            phase: Phase::Idle,
            state: ZooKeeperState::Disconnected,
            session: None,
            negotiated: SimDuration::ZERO,
            last_zxid: Zxid::default(),
            closing: false,
            outgoing: VecDeque::new(),
            in_flight: VecDeque::new(),
            watches: ClientWatches::default(),
            events: VecDeque::new(),
            next_correlation: 0,
            deadline: SimTime::NEVER,
            late: false,
            setup,
        }
    }

    /// Connects. Only once; [`ZooKeeperClient::restart`] begins anew.
    pub fn start<T, R>(&mut self, cx: &mut Cx<'_, T, R>) {
        assert_eq!(self.phase, Phase::Idle, "it has started already");
        self.pace = Pace::new(&self.setup);
        self.try_next_server(cx);
        self.turn(cx);
    }

    /// Gives the session up without telling anybody, and begins anew: for a session that has
    /// expired. What is still waiting fails with SessionExpired.
    pub fn restart<T, R>(&mut self, cx: &mut Cx<'_, T, R>) {
        if let Some(connection) = self.connection() {
            cx.close(connection);
        }
        self.fail_all(ZooKeeperError::SessionExpired);
        self.forget_session();
        self.closing = false;
        self.phase = Phase::Idle;
        self.state = ZooKeeperState::Disconnected;
        self.start(cx);
    }

    /// Ends the session, once everything submitted before is sent. [`ZooKeeperClientEvent::Closed`]
    /// follows.
    pub fn close<T, R>(&mut self, cx: &mut Cx<'_, T, R>) {
        if self.closing {
            return;
        }
        self.closing = true;
        match self.phase {
            Phase::Idle | Phase::Waiting { .. } => self.closed(),
            Phase::Opening(_) | Phase::Handshake(_) => {}
            Phase::Connected(connection) => {
                self.send(cx, connection, ZooKeeperRequest::CloseSession, Sent::Close);
                self.turn_after_sending(cx);
            }
        }
    }

    /// Asks. The answer comes as [`ZooKeeperClientEvent::Reply`].
    pub fn submit<T, R>(&mut self, cx: &mut Cx<'_, T, R>, request: ZooKeeperRequest, purpose: P) {
        self.enqueue(cx, Call { request, purpose, until_connected: false });
    }

    /// As [`ZooKeeperClient::submit`], of one operation.
    pub fn operate<T, R>(
        &mut self,
        cx: &mut Cx<'_, T, R>,
        operation: ZooKeeperOperation,
        purpose: P,
    ) {
        self.submit(cx, ZooKeeperRequest::Operation(operation), purpose);
    }

    /// As [`ZooKeeperClient::submit`], but asks again, once connected, for as long as the answer is
    /// ConnectionLoss (`KafkaZkClient.retryRequestsUntilConnected`,
    /// `ZkClient.retryUntilConnected`); with kazoo also if it is SessionExpired, as `KazooRetry`
    /// does, without the waits between its tries. What the lost request has done, the repeated one
    /// finds done: a create may find its own znode.
    pub fn submit_until_connected<T, R>(
        &mut self,
        cx: &mut Cx<'_, T, R>,
        request: ZooKeeperRequest,
        purpose: P,
    ) {
        self.enqueue(cx, Call { request, purpose, until_connected: true });
    }

    /// Whether a connection is this client's.
    #[must_use]
    pub fn owns(&self, connection: ConnectionId) -> bool {
        self.connection() == Some(connection)
    }

    /// How it stands.
    #[must_use]
    pub const fn state(&self) -> ZooKeeperState {
        self.state
    }

    /// Its session, if it has one, as far as it knows.
    #[must_use]
    pub const fn session(&self) -> Option<SessionId> {
        self.session
    }

    /// The session timeout agreed on; zero before the first session.
    #[must_use]
    pub const fn negotiated_timeout(&self) -> SimDuration {
        self.negotiated
    }

    /// When [`ZooKeeperClient::on_time`] is due.
    #[must_use]
    pub const fn deadline(&self) -> SimTime {
        self.deadline
    }

    /// The next event, in the order of the event thread.
    pub fn next_event(&mut self) -> Option<ZooKeeperClientEvent<P>> {
        self.events.pop_front()
    }

    /// [`Input::Connected`](crate::Input::Connected) on a connection that it owns.
    pub fn on_connected<T, R>(&mut self, cx: &mut Cx<'_, T, R>, connection: ConnectionId) {
        if self.phase != Phase::Opening(connection) {
            return;
        }
        self.phase = Phase::Handshake(connection);
        self.pace.opened(cx);
        let connect = ZooKeeperRequest::Connect {
            session: self.session,
            timeout: self.setup.session_timeout,
            last_zxid_seen: self.last_zxid,
            client: cx.node(),
        };
        self.send(cx, connection, connect, Sent::Connect);
        self.turn(cx);
    }

    /// [`Input::Response`](crate::Input::Response) on a connection that it owns.
    pub fn on_response<T, R>(
        &mut self,
        cx: &mut Cx<'_, T, R>,
        connection: ConnectionId,
        correlation: CorrelationId,
        response: ZooKeeperResponse,
    ) {
        if !self.owns(connection) {
            return;
        }
        self.pace.heard(cx);
        match response {
            ZooKeeperResponse::Watch(event) => {
                assert_eq!(correlation, WATCH_CORRELATION, "a watch is no answer");
                if self.watches.fire(&event) {
                    self.events.push_back(ZooKeeperClientEvent::Watch(event));
                }
            }
            ZooKeeperResponse::Connected { session } => {
                self.answered(correlation);
                self.on_handshake(cx, connection, session);
            }
            ZooKeeperResponse::Done { zxid, result } => {
                let sent = self.answered(correlation);
                self.on_answer(cx, connection, sent, zxid, result);
            }
        }
        self.turn(cx);
    }

    /// [`Input::Closed`](crate::Input::Closed) on a connection that it owns.
    pub fn on_closed<T, R>(&mut self, cx: &mut Cx<'_, T, R>, connection: ConnectionId) {
        if self.owns(connection) {
            self.lose(cx);
            self.turn(cx);
        }
    }

    /// The deadline has come; earlier is harmless. A thread that has stood still reads what has
    /// arrived before it looks at the time, so a deadline that is past comes a second time, after
    /// the inputs that wait.
    pub fn on_time<T, R>(&mut self, cx: &mut Cx<'_, T, R>) {
        if cx.now() < self.deadline {
            return;
        }
        if cx.now() > self.deadline && !self.late {
            self.late = true;
            self.deadline = cx.now();
            return;
        }
        self.turn(cx);
    }

    fn connection(&self) -> Option<ConnectionId> {
        match self.phase {
            Phase::Idle | Phase::Waiting { .. } => None,
            Phase::Opening(connection)
            | Phase::Handshake(connection)
            | Phase::Connected(connection) => Some(connection),
        }
    }

    fn enqueue<T, R>(&mut self, cx: &mut Cx<'_, T, R>, call: Call<P>) {
        if let Some(error) = self.refusal(call.until_connected) {
            self.events.push_back(ZooKeeperClientEvent::Reply(call.purpose, Err(error)));
            return;
        }
        match self.phase {
            Phase::Connected(connection) => {
                let request = call.request.clone();
                self.send(cx, connection, request, Sent::Call(call));
                self.turn_after_sending(cx);
            }
            Phase::Idle | Phase::Waiting { .. } | Phase::Opening(_) | Phase::Handshake(_) => {
                self.outgoing.push_back(call);
            }
        }
    }

    /// Why a request is not even queued (`ClientCnxn.queuePacket`, `KazooClient._call`).
    fn refusal(&self, until_connected: bool) -> Option<ZooKeeperError> {
        if self.closing {
            return Some(ZooKeeperError::ConnectionLoss);
        }
        match &self.pace {
            Pace::Java(_) => {
                (self.state == ZooKeeperState::Expired).then_some(ZooKeeperError::SessionExpired)
            }
            Pace::Kazoo(_) => (self.state != ZooKeeperState::Connected && !until_connected)
                .then_some(ZooKeeperError::SessionExpired),
        }
    }

    fn send<T, R>(
        &mut self,
        cx: &mut Cx<'_, T, R>,
        connection: ConnectionId,
        request: ZooKeeperRequest,
        sent: Sent<P>,
    ) {
        let correlation = CorrelationId(self.next_correlation);
        self.next_correlation = (self.next_correlation + 1) % WATCH_CORRELATION.0;
        cx.request(connection, correlation, Request::ZooKeeper(request));
        self.in_flight.push_back((correlation, sent));
        self.pace.sent(cx);
    }

    fn answered(&mut self, correlation: CorrelationId) -> Sent<P> {
        let (expected, sent) = self.in_flight.pop_front().expect("an answer to nothing");
        assert_eq!(expected, correlation, "answers come in the order of requests");
        sent
    }

    fn on_handshake<T, R>(
        &mut self,
        cx: &mut Cx<'_, T, R>,
        connection: ConnectionId,
        session: Option<(SessionId, SimDuration)>,
    ) {
        let Some((session, timeout)) = session else { return self.expired(cx, connection) };
        self.session = Some(session);
        self.negotiated = timeout;
        self.phase = Phase::Connected(connection);
        self.pace.connected(cx, timeout);
        self.change_state(cx, ZooKeeperState::Connected);
        if let Some(request) = self.watches.to_set_again(self.last_zxid) {
            self.send(cx, connection, request, Sent::SetWatches);
        }
        for call in std::mem::take(&mut self.outgoing) {
            let request = call.request.clone();
            self.send(cx, connection, request, Sent::Call(call));
        }
        if self.closing {
            self.send(cx, connection, ZooKeeperRequest::CloseSession, Sent::Close);
        }
    }

    fn on_answer<T, R>(
        &mut self,
        cx: &mut Cx<'_, T, R>,
        connection: ConnectionId,
        sent: Sent<P>,
        zxid: Zxid,
        result: Result<ZooKeeperReply, ZooKeeperError>,
    ) {
        match sent {
            Sent::Ping => return self.pace.pong(),
            Sent::Connect => unreachable!("answered with Connected"),
            Sent::SetWatches => {}
            Sent::Close => {
                cx.close(connection);
                self.fail_all(ZooKeeperError::ConnectionLoss);
                return self.closed();
            }
            Sent::Call(call) => {
                self.watches.register(&call.request, &result);
                self.events.push_back(ZooKeeperClientEvent::Reply(call.purpose, result));
            }
        }
        if zxid > Zxid::default() {
            self.last_zxid = zxid;
        }
    }

    /// The server says that the session has expired.
    fn expired<T, R>(&mut self, cx: &mut Cx<'_, T, R>, connection: ConnectionId) {
        cx.close(connection);
        self.phase = Phase::Idle;
        self.change_state(cx, ZooKeeperState::Expired);
        self.fail_all(ZooKeeperError::SessionExpired);
        self.forget_session();
        if self.closing {
            return self.closed();
        }
        match &self.pace {
            Pace::Java(_) => {}
            Pace::Kazoo(_) => self.try_next_server(cx),
        }
    }

    /// The connection is lost, or could not be opened.
    fn lose<T, R>(&mut self, cx: &mut Cx<'_, T, R>) {
        let was_connected = self.state == ZooKeeperState::Connected;
        if was_connected || matches!(self.pace, Pace::Java(_)) {
            self.fail_all(ZooKeeperError::ConnectionLoss);
        } else {
            self.in_flight.clear();
        }
        if was_connected {
            self.change_state(cx, ZooKeeperState::Disconnected);
            if matches!(self.pace, Pace::Kazoo(_)) {
                self.watches = ClientWatches::default();
            }
        }
        if self.closing {
            self.closed();
        } else {
            self.try_next_server(cx);
        }
    }

    fn closed(&mut self) {
        self.phase = Phase::Idle;
        self.state = ZooKeeperState::Disconnected;
        self.forget_session();
        self.deadline = SimTime::NEVER;
        self.events.push_back(ZooKeeperClientEvent::Closed);
    }

    fn forget_session(&mut self) {
        self.session = None;
        self.last_zxid = Zxid::default();
        self.watches = ClientWatches::default();
    }

    fn change_state<T, R>(&mut self, cx: &mut Cx<'_, T, R>, state: ZooKeeperState) {
        if self.state != state {
            self.state = state;
            cx.trace(|| TraceEvent::ZooKeeperStateChanged { state });
            self.events.push_back(ZooKeeperClientEvent::State(state));
        }
    }

    /// Everything asked and not answered fails, but for what is to be asked again.
    fn fail_all(&mut self, error: ZooKeeperError) {
        let sent =
            std::mem::take(&mut self.in_flight).into_iter().filter_map(|(_, sent)| match sent {
                Sent::Call(call) => Some(call),
                Sent::Connect | Sent::Ping | Sent::SetWatches | Sent::Close => None,
            });
        let waiting = std::mem::take(&mut self.outgoing);
        let again = !self.closing
            && match self.pace {
                Pace::Java(_) => error == ZooKeeperError::ConnectionLoss,
                Pace::Kazoo(_) => true,
            };
        for call in sent.chain(waiting) {
            if call.until_connected && again {
                self.outgoing.push_back(call);
            } else {
                self.events.push_back(ZooKeeperClientEvent::Reply(call.purpose, Err(error)));
            }
        }
    }

    fn try_next_server<T, R>(&mut self, cx: &mut Cx<'_, T, R>) {
        let (server, at) = self.pace.next_server(cx);
        self.phase = Phase::Waiting { server, at };
    }

    fn turn_after_sending<T, R>(&mut self, cx: &mut Cx<'_, T, R>) {
        if self.deadline >= cx.now() {
            self.turn(cx);
        }
    }

    /// A turn of the library's thread.
    fn turn<T, R>(&mut self, cx: &mut Cx<'_, T, R>) {
        self.late = false;
        loop {
            let (stage, connection) = match self.phase {
                Phase::Idle => {
                    self.deadline = SimTime::NEVER;
                    return;
                }
                Phase::Waiting { server, at } if at <= cx.now() => {
                    self.phase = Phase::Opening(cx.connect(server));
                    self.pace.opening(cx);
                    continue;
                }
                Phase::Waiting { at, .. } => {
                    self.deadline = at;
                    return;
                }
                Phase::Opening(connection) => (Stage::Opening, connection),
                Phase::Handshake(connection) => (Stage::Handshake, connection),
                Phase::Connected(connection) => (Stage::Connected, connection),
            };
            match self.pace.turn(cx, stage) {
                Turn::Wait(until) => {
                    self.deadline = until;
                    return;
                }
                Turn::Ping => {
                    self.send(cx, connection, ZooKeeperRequest::Ping, Sent::Ping);
                    self.pace.pinged();
                }
                Turn::Lost => {
                    cx.close(connection);
                    self.lose(cx);
                }
            }
        }
    }
}
