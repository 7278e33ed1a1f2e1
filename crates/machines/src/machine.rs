//! The shape of a machine: one way in, one way out.

use crate::disk::{Disk, FlushId, FlushTarget};
use crate::rng::NodeRng;
use acklab_vocab::api::{Endpoint, Frame, Request, Response};
use acklab_vocab::ids::{ConnectionId, CorrelationId, NodeId};
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::{CloseReason, TraceEvent};

/// What can happen to a machine. `T`: its timers. `C`: what its application or operator may ask of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input<T, C> {
    /// A connection that this machine asked for is open.
    Connected(ConnectionId),
    /// A request has been read from a connection that somebody opened to this machine. The runtime hands over the next
    /// request of the same connection only after this one was answered, with [`Effect::Send`] or [`Effect::NoResponse`]:
    /// Kafka's socket server mutes the connection meanwhile.
    Request {
        /// On which connection.
        connection: ConnectionId,
        /// To be repeated in the response.
        correlation: CorrelationId,
        /// Who sent it.
        from: NodeId,
        /// What is asked.
        request: Box<Request>,
    },
    /// A response has been read from a connection that this machine opened. Responses come in the order of requests.
    Response {
        /// On which connection.
        connection: ConnectionId,
        /// Which request it answers.
        correlation: CorrelationId,
        /// The answer.
        response: Box<Response>,
    },
    /// A connection has ended, or could not be opened. Nothing more comes from it; no need to close it.
    Closed(ConnectionId, CloseReason),
    /// The socket's send buffer is full: bytes of the last frame are still to be written. Send nothing until
    /// [`Input::WriteResumed`].
    WriteBlocked(ConnectionId),
    /// Everything sent so far on the connection has been written to the socket.
    WriteResumed(ConnectionId),
    /// A timer that was set is due.
    Timer(T),
    /// A flush is done: what it covered is durable.
    Flushed(FlushId),
    /// The application, or the operator, acts.
    Call(C),
}

/// What a machine may ask for. Applied in order by the runtime alone, after `handle` has returned.
/// `T`: its timers. `R`: what it tells its application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect<T, R> {
    /// Opens a connection. [`Input::Connected`] or [`Input::Closed`] follows, or nothing for as long as the peer's host
    /// is silent.
    Connect(ConnectionId, Endpoint),
    /// Sends a request on a connection that this machine opened, or a response on one that it accepted. On a connection
    /// that has ended it does nothing.
    Send(ConnectionId, Frame),
    /// The request that was read last from the connection is done and gets no response (acks=0).
    NoResponse(ConnectionId),
    /// Closes a connection. Bytes already sent still arrive. Nothing more comes from it.
    Close(ConnectionId),
    /// Sets a timer. A timer has one deadline: setting it again replaces it.
    SetTimer(T, SimTime),
    /// Cancels a timer, if it is set.
    CancelTimer(T),
    /// Asks the disk to make everything written so far to the target durable. [`Input::Flushed`] follows, or never (a crash).
    Flush(FlushId, FlushTarget),
    /// Tells the application something.
    Report(R),
    /// The process ends by itself; `clean` if in an orderly way.
    Exit {
        /// It had shut down in an orderly way.
        clean: bool,
    },
}

/// A machine. A crash drops the value, so that nothing volatile can leak into its next life; what survives is on the
/// [`Disk`], which each machine reads in its own `boot`.
pub trait Machine {
    /// Its timers. The order settles nothing but storage.
    type Timer: Copy + Ord + std::fmt::Debug;
    /// What its application or operator may ask.
    type Call;
    /// What it tells its application.
    type Report;

    /// Handles one input.
    fn handle(
        &mut self,
        cx: &mut Cx<'_, Self::Timer, Self::Report>,
        input: Input<Self::Timer, Self::Call>,
    );

    /// Whether it accepts connections now. A server whose socket is not open yet refuses them.
    fn listens(&self) -> bool {
        true
    }
}

/// What one call of `handle` has asked for and stated. The runtime keeps one per kind of machine and empties it after
/// every event.
#[derive(Debug)]
pub struct Outbox<T, R> {
    /// What was asked for, in order.
    pub effects: Vec<Effect<T, R>>,
    /// What was stated, each with the number of effects that had been asked for before it. A fault that waits for a fact
    /// strikes exactly there.
    pub facts: Vec<(usize, TraceEvent)>,
    /// Next id for a connection of this process.
    pub next_connection: u32,
    /// First position of the cluster's truth whose facts nobody has stated yet: an offset of the metadata log, or a
    /// transaction of ZooKeeper. Belongs to the history, not to one event: it stays when the rest is emptied, and all servers
    /// of a quorum share it.
    pub committed_facts_end: u64,
}

impl<T, R> Default for Outbox<T, R> {
    fn default() -> Self {
        Outbox {
            effects: Vec::new(),
            facts: Vec::new(),
            next_connection: 0,
            committed_facts_end: 0,
        }
    }
}

/// Everything that a machine may touch while it handles one input.
#[derive(Debug)]
pub struct Cx<'a, T, R> {
    now: SimTime,
    node: NodeId,
    rng: &'a mut NodeRng,
    disk: &'a mut Disk,
    outbox: &'a mut Outbox<T, R>,
}

impl<'a, T, R> Cx<'a, T, R> {
    /// The context of one event.
    pub fn new(
        now: SimTime,
        node: NodeId,
        rng: &'a mut NodeRng,
        disk: &'a mut Disk,
        outbox: &'a mut Outbox<T, R>,
    ) -> Self {
        Cx { now, node, rng, disk, outbox }
    }

    /// The instant at which the input is handled. It never decreases.
    #[must_use]
    pub fn now(&self) -> SimTime {
        self.now
    }

    /// The process in which the machine lives.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// The process's draws.
    pub fn rng(&mut self) -> &mut NodeRng {
        self.rng
    }

    /// The host's disk. A write lands in the page cache at once.
    pub fn disk(&mut self) -> &mut Disk {
        self.disk
    }

    /// Opens a connection and names it.
    pub fn connect(&mut self, to: Endpoint) -> ConnectionId {
        let connection = ConnectionId(self.outbox.next_connection);
        self.outbox.next_connection += 1;
        self.outbox.effects.push(Effect::Connect(connection, to));
        connection
    }

    /// Sends a request on a connection that this machine opened.
    pub fn request(
        &mut self,
        connection: ConnectionId,
        correlation: CorrelationId,
        request: Request,
    ) {
        let frame = Frame::Request(correlation, Box::new(request));
        self.outbox.effects.push(Effect::Send(connection, frame));
    }

    /// Answers a request.
    pub fn respond(
        &mut self,
        connection: ConnectionId,
        correlation: CorrelationId,
        response: Response,
    ) {
        let frame = Frame::Response(correlation, Box::new(response));
        self.outbox.effects.push(Effect::Send(connection, frame));
    }

    /// Ends a request that gets no response.
    pub fn no_response(&mut self, connection: ConnectionId) {
        self.outbox.effects.push(Effect::NoResponse(connection));
    }

    /// Closes a connection.
    pub fn close(&mut self, connection: ConnectionId) {
        self.outbox.effects.push(Effect::Close(connection));
    }

    /// Sets a timer, or moves its deadline.
    pub fn set_timer(&mut self, timer: T, at: SimTime) {
        self.outbox.effects.push(Effect::SetTimer(timer, at));
    }

    /// Sets a timer, or moves its deadline, to `after` from now.
    pub fn set_timer_after(&mut self, timer: T, after: SimDuration) {
        let at = self.now + after;
        self.set_timer(timer, at);
    }

    /// Cancels a timer.
    pub fn cancel_timer(&mut self, timer: T) {
        self.outbox.effects.push(Effect::CancelTimer(timer));
    }

    /// Asks for a flush of everything written so far to `target`.
    pub fn flush(&mut self, id: FlushId, target: FlushTarget) {
        self.outbox.effects.push(Effect::Flush(id, target));
    }

    /// Tells the application.
    pub fn report(&mut self, report: R) {
        self.outbox.effects.push(Effect::Report(report));
    }

    /// Ends the process.
    pub fn exit(&mut self, clean: bool) {
        self.outbox.effects.push(Effect::Exit { clean });
    }

    /// States a fact.
    pub fn trace(&mut self, fact: impl FnOnce() -> TraceEvent) {
        let effects_before = self.outbox.effects.len();
        self.outbox.facts.push((effects_before, fact()));
    }

    /// States what the committed entry at `position` (an offset of the metadata log, or a zxid) made true, unless it has been
    /// stated before. A new leader cannot know how far the last one had come, so it may say again what the history has
    /// already.
    pub fn trace_committed(&mut self, position: u64, facts: impl IntoIterator<Item = TraceEvent>) {
        if position >= self.outbox.committed_facts_end {
            self.outbox.committed_facts_end = position + 1;
            facts.into_iter().for_each(|fact| self.trace(|| fact));
        }
    }
}
