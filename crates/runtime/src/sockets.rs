//! Sockets: frames on connections, the socket server that serves one request at a time on each, and the kernel that answers
//! for processes that are not there.
//!
//! Source: Kafka's `SocketServer` (a connection is muted from the moment its request is handed on until the response is sent)
//! and `KafkaRequestHandlerPool` (`num.io.threads`).

use crate::dispatch::AnyInput;
use crate::draws;
use crate::network::{End, Packet, Sent, Waiting, Way};
use crate::node::Life;
use crate::world::{Body, Event, World};
use acklab_scenario::model::DroppedResponse;
use acklab_vocab::api::{ApiKey, Frame, Listener, Request};
use acklab_vocab::ids::{ConnectionId, CorrelationId, EventId, NodeId};
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::{CloseReason, Observer};

impl<O: Observer> World<O> {
    pub(crate) fn send_frame(&mut self, node: NodeId, role: u8, id: ConnectionId, frame: Frame) {
        let Some(connection) = self.connection_of(node, role, id) else { return };
        let way = match frame {
            Frame::Request(..) => Way::ToServer,
            Frame::Response(..) => Way::ToClient,
        };
        let (sender, receiver) = self.network.ends(connection, way);
        let is_response = way == Way::ToClient;
        if sender.open {
            let dropped = match &frame {
                Frame::Response(_, response) => {
                    self.faults.drops_response(sender.node, receiver.node, response.api(), self.now)
                }
                Frame::Request(_, request) => {
                    let (client, server) = (sender.node, receiver.node);
                    if let Some(by) = self.faults.stalls_request(client, server, request.api()) {
                        self.network.stall(connection, way, self.now + by);
                    }
                    None
                }
            };
            match dropped {
                None => self.transmit(connection, way, Packet::Frame(frame)),
                Some(DroppedResponse::Stall) => {
                    self.network.connections[connection as usize].streams[way as usize].stalled =
                        true;
                }
                Some(DroppedResponse::Reset) => {
                    self.network.receiver_mut(connection, way.back()).open = false;
                    self.network.connections[connection as usize].inbox.clear();
                    self.transmit(connection, way, Packet::Reset);
                }
            }
            if way == Way::ToServer {
                self.look_at_socket(connection);
            }
        }
        if is_response && self.mutes(connection) {
            self.unmute(connection);
        }
    }

    fn look_at_socket(&mut self, connection: u32) {
        let now = self.now;
        if let Some(until) = self.network.write_blocked_until(connection, Way::ToServer, now) {
            self.push(now, Body::Write { connection, blocked: true });
            if let Some(until) = until {
                self.push(until, Body::Write { connection, blocked: false });
            }
        }
    }

    /// A server has read a request from its socket: its client may have room to write again.
    fn make_room(&mut self, connection: u32, size: u32) {
        if let Some(at) = self.network.read(connection, Way::ToServer, size, self.now) {
            self.push(at, Body::Write { connection, blocked: false });
        }
    }

    pub(crate) fn socket_changes(&mut self, connection: u32, blocked: bool) {
        let end = self.network.connections[connection as usize].client;
        if !blocked && !self.network.unblock(connection, Way::ToServer) {
            return;
        }
        if end.open {
            let input = if blocked {
                AnyInput::WriteBlocked(end.id)
            } else {
                AnyInput::WriteResumed(end.id)
            };
            self.deliver(end.node, end.role, input);
        }
    }

    /// The request being handled on a connection is done: the next one has its turn.
    pub(crate) fn unmute(&mut self, connection: u32) {
        let state = &mut self.network.connections[connection as usize];
        state.serving = false;
        let Some(next) = state.inbox.pop_front() else {
            if state.closed_by_client {
                let (way, packet) = (Way::ToServer, Packet::Finish);
                let now = self.now;
                self.push(now, Body::Packet { connection, way, packet });
            }
            return;
        };
        state.serving = true;
        let server = state.server;
        let service = self.service(server.node, &next.request, next.size);
        let at = self.reserve_thread(server.node, self.now, service);
        self.make_room(connection, next.size);
        let Waiting { correlation, request, size: _, arrival } = next;
        let body = Body::Serve { connection, correlation, request };
        self.queue.push(at.max(self.now), Event { cause: arrival, body });
    }

    /// How long a request keeps a thread of a server busy.
    fn service(&self, node: NodeId, request: &Request, size: u32) -> SimDuration {
        let service = self.scenario.cluster.service;
        let mut takes = service.base;
        let nanos = (u64::from(size) * 1_000_000_000).checked_div(service.bytes_per_second);
        takes += SimDuration(nanos.unwrap_or(0));
        if request.api() == ApiKey::Produce
            && let Some(extra) = self.faults.disk_slowdown(node)
        {
            takes += draws::span(extra, 1 << 31);
        }
        takes
    }

    /// Takes the I/O thread that is free first, from `ready` on; returns when the request is done.
    fn reserve_thread(&mut self, node: NodeId, ready: SimTime, service: SimDuration) -> SimTime {
        let threads = &mut self.nodes[usize::from(node.0)].threads;
        let mut first_free = 0;
        for (index, free_at) in threads.iter().enumerate() {
            if *free_at <= ready {
                first_free = index;
                break;
            }
            if *free_at < threads[first_free] {
                first_free = index;
            }
        }
        let done = threads[first_free].max(ready) + service;
        threads[first_free] = done;
        done
    }

    /// Sends a packet: schedules its arrival, and for a request to a server the end of its service, at no extra event.
    pub(crate) fn transmit(&mut self, connection: u32, way: Way, packet: Packet) {
        if let Sent::Arrives(at, packet) = self.network.send(connection, way, packet, self.now) {
            self.schedule_arrival(connection, way, at, packet);
        }
    }

    pub(crate) fn schedule_arrival(
        &mut self,
        connection: u32,
        way: Way,
        at: SimTime,
        packet: Packet,
    ) {
        let due = match &packet {
            Packet::Frame(frame @ Frame::Request(_, request)) => {
                let (_, server) = self.network.ends(connection, way);
                at + self.service(server.node, request, frame.size())
            }
            Packet::Frame(Frame::Response(..))
            | Packet::Open
            | Packet::Opened
            | Packet::Finish
            | Packet::Reset => at,
        };
        let stream = &mut self.network.connections[connection as usize].streams[way as usize];
        let due = stream.due_after_the_last(due, &packet);
        self.push(due, Body::Packet { connection, way, packet });
    }

    /// A packet reaches a running process.
    pub(crate) fn packet_arrives(&mut self, connection: u32, way: Way, packet: Packet) {
        let (_, end) = self.network.ends(connection, way);
        match packet {
            Packet::Frame(Frame::Request(correlation, request)) => {
                self.request_arrives(connection, correlation, request);
            }
            Packet::Frame(Frame::Response(correlation, response)) => {
                let input = AnyInput::Response { connection: end.id, correlation, response };
                self.deliver(end.node, end.role, input);
            }
            Packet::Opened => self.deliver(end.node, end.role, AnyInput::Connected(end.id)),
            Packet::Finish => {
                if way == Way::ToServer && self.is_serving(connection) {
                    self.network.connections[connection as usize].closed_by_client = true;
                    return;
                }
                self.closed(connection, way, CloseReason::ClosedByPeer);
            }
            Packet::Reset => {
                let refused = way == Way::ToClient
                    && !self.network.connections[connection as usize].server.open
                    && self.network.connections[connection as usize].server.id.0 == u32::MAX;
                let reason = if refused { CloseReason::Refused } else { CloseReason::Reset };
                self.closed(connection, way, reason);
            }
            Packet::Open => {}
        }
    }

    /// Whether the server handles one request of a connection at a time. ZooKeeper's reads on, and answers in order.
    fn mutes(&self, connection: u32) -> bool {
        match self.network.connections[connection as usize].listener {
            Listener::Broker | Listener::Controller => true,
            Listener::ZooKeeper | Listener::ZooKeeperPeer => false,
        }
    }

    fn is_serving(&self, connection: u32) -> bool {
        let state = &self.network.connections[connection as usize];
        state.serving || !state.inbox.is_empty()
    }

    /// A request is due on a server, if its connection is not muted and a thread was free.
    fn request_arrives(
        &mut self,
        connection: u32,
        correlation: CorrelationId,
        request: Box<Request>,
    ) {
        let server = self.network.connections[connection as usize].server;
        let frame = Frame::Request(correlation, request);
        let size = frame.size();
        let Frame::Request(correlation, request) = frame else { return };
        if !self.mutes(connection) {
            self.make_room(connection, size);
            let from = self.network.connections[connection as usize].client.node;
            let input = AnyInput::Request { connection: server.id, correlation, from, request };
            self.deliver(server.node, server.role, input);
            return;
        }
        if self.is_serving(connection) {
            let waiting = Waiting { correlation, request, size, arrival: self.current };
            self.network.connections[connection as usize].inbox.push_back(waiting);
            return;
        }
        self.make_room(connection, size);
        let service = self.service(server.node, &request, size);
        let arrived = self.now - service;
        let done = self.reserve_thread(server.node, arrived, service);
        self.network.connections[connection as usize].serving = true;
        if done > self.now {
            self.push(done, Body::Serve { connection, correlation, request });
        } else {
            self.hand_over(connection, correlation, request);
        }
    }

    pub(crate) fn hand_over(
        &mut self,
        connection: u32,
        correlation: CorrelationId,
        request: Box<Request>,
    ) {
        let state = &mut self.network.connections[connection as usize];
        state.serving = true;
        let (server, from) = (state.server, state.client.node);
        let input = AnyInput::Request { connection: server.id, correlation, from, request };
        self.deliver(server.node, server.role, input);
    }

    pub(crate) fn close(&mut self, node: NodeId, role: u8, id: ConnectionId) {
        let Some(connection) = self.connection_of(node, role, id) else { return };
        let state = &mut self.network.connections[connection as usize];
        let way = if state.client.node == node && state.client.role == role && state.client.id == id
        {
            Way::ToServer
        } else {
            Way::ToClient
        };
        let end = if way == Way::ToServer { &mut state.client } else { &mut state.server };
        if !end.open {
            return;
        }
        end.open = false;
        self.transmit(connection, way, Packet::Finish);
    }

    /// A packet reaches a host whose process is not there, or concerns the host alone.
    pub(crate) fn handle_in_kernel(&mut self, _: SimTime, _: EventId, event: Event) {
        match event.body {
            Body::Packet { connection, way, packet, .. } => {
                self.packet_in_kernel(connection, way, &packet);
            }
            Body::Serve { .. }
            | Body::Write { .. }
            | Body::Timer { .. }
            | Body::Flushed { .. }
            | Body::Burst { .. }
            | Body::Resend { .. }
            | Body::Application { .. }
            | Body::Call { .. }
            | Body::Start { .. }
            | Body::World(_) => {}
        }
    }

    fn packet_in_kernel(&mut self, connection: u32, way: Way, packet: &Packet) {
        let (sender, receiver) = self.network.ends(connection, way);
        let host = &self.nodes[usize::from(receiver.node.0)];
        if !host.host_up {
            let now = self.now;
            let stream = &mut self.network.connections[connection as usize].streams[way as usize];
            stream.unanswered_since.get_or_insert(now);
            return;
        }
        match packet {
            Packet::Open => self.connection_requested(connection),
            Packet::Frame(_) | Packet::Opened | Packet::Finish => {
                if sender.open && !matches!(packet, Packet::Finish) {
                    self.transmit(connection, way.back(), Packet::Reset);
                }
            }
            Packet::Reset => self.network.receiver_mut(connection, way).open = false,
        }
    }

    /// A request for a connection: the kernel accepts it if the process listens, even while it stands still.
    fn connection_requested(&mut self, connection: u32) {
        let listener = self.network.connections[connection as usize].listener;
        let node = self.network.connections[connection as usize].server.node;
        let host = &mut self.nodes[usize::from(node.0)];
        let role = match host.life {
            Life::Dead => None,
            Life::Running | Life::Paused(_) => host.accepts(listener),
        };
        let Some(role) = role else {
            self.transmit(connection, Way::ToClient, Packet::Reset);
            return;
        };
        let id = host.machines[usize::from(role)].bind(connection);
        let incarnation = host.incarnation;
        self.network.connections[connection as usize].server =
            End { node, incarnation, role, id, open: true };
        self.transmit(connection, Way::ToClient, Packet::Opened);
    }
}
