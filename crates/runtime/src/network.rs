//! The network: TCP as Kafka sees it.
//!
//! A connection is two ordered streams of frames. A frame is never lost: a lost packet comes late, by retransmission, and a
//! cut link holds what is sent until it heals and TCP tries again. A killed process resets its connections at once, because
//! its host still answers; a host without power, or behind a cut, is silent.
//!
//! Left out: the size of TCP's windows, congestion control, and the fifteen minutes after which Linux gives up a connection
//! (Kafka's clients have closed it long before).

use crate::draws::{self, Purpose, Weather};
use acklab_scenario::model::{Network as Model, Span};
use acklab_vocab::api::{ApiKey, Frame, Listener, Request};
use acklab_vocab::ids::{ConnectionId, CorrelationId, EventId, NodeId};
use acklab_vocab::time::{SimDuration, SimTime};
use std::collections::VecDeque;

/// A connection between two processes.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) client: End,
    pub(crate) server: End,
    pub(crate) listener: Listener,
    /// Towards the server, towards the client.
    pub(crate) streams: [Stream; 2],
    /// Requests that the server's process has received and not begun to handle: the rest of its socket buffer.
    pub(crate) inbox: VecDeque<Waiting>,
    /// A request is being handled: the connection is muted.
    pub(crate) serving: bool,
    /// The client has closed its end; the server still serves what it had sent before.
    pub(crate) closed_by_client: bool,
}

impl Connection {
    /// Whether something that the client has sent and that may change anything will still reach the
    /// server's machine: its question for metadata, which it asks as long as it lives, does not. What a
    /// cut holds is not counted: it is under way again when the cut has healed.
    pub(crate) fn has_requests_under_way(&self, now: SimTime) -> bool {
        let stream = &self.streams[Way::ToServer as usize];
        let travels = stream.last_change_due.is_some_and(|due| due >= now);
        travels || (self.server.open && (self.serving || !self.inbox.is_empty()))
    }
}

/// A request in a server's socket buffer.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) correlation: CorrelationId,
    pub(crate) request: Box<Request>,
    pub(crate) size: u32,
    /// The event by which it came: what its service goes back to, not the request before it.
    pub(crate) arrival: EventId,
}

/// One end of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    pub(crate) node: NodeId,
    pub(crate) incarnation: u32,
    /// Which machine of the process.
    pub(crate) role: u8,
    pub(crate) id: ConnectionId,
    pub(crate) open: bool,
}

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    ToServer = 0,
    ToClient = 1,
}

impl Way {
    pub(crate) fn back(self) -> Way {
        match self {
            Way::ToServer => Way::ToClient,
            Way::ToClient => Way::ToServer,
        }
    }
}

/// One direction of a connection.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    /// Nothing sent later may arrive earlier; `None` before the first.
    last_arrival: Option<SimTime>,
    /// Nothing sent later is handled earlier: a large request takes longer to serve than the small one behind it.
    last_due: Option<SimTime>,
    /// When the last request that may change anything is handled.
    last_change_due: Option<SimTime>,
    /// What was sent into a cut, and when.
    held: Vec<(SimTime, Packet)>,
    held_bytes: u64,
    /// Bytes of requests that the server's process has not read: on the way, or in its socket.
    unread: u64,
    /// The sender has been told that its socket is full.
    blocked: bool,
    /// A fault swallows everything from here on.
    pub(crate) stalled: bool,
    /// Since when packets have reached a host that was down.
    pub(crate) unanswered_since: Option<SimTime>,
}

impl Stream {
    fn count_unread(&mut self, packet: &Packet) {
        if let Packet::Frame(frame @ Frame::Request(..)) = packet {
            self.unread += u64::from(frame.size());
        }
    }

    /// When a packet arrives that would arrive at `at` if it were alone: TCP keeps the order.
    fn after_the_last(&mut self, at: SimTime) -> SimTime {
        let arrival = self.last_arrival.map_or(at, |last| last.max(at));
        self.last_arrival = Some(arrival);
        arrival
    }
}

impl Stream {
    /// When a packet is handled that would be handled at `due` if it were alone.
    pub(crate) fn due_after_the_last(&mut self, due: SimTime, packet: &Packet) -> SimTime {
        let due = self.last_due.map_or(due, |last| last.max(due));
        self.last_due = Some(due);
        if packet.may_change_anything() {
            self.last_change_due = Some(due);
        }
        due
    }
}

/// What travels.
#[derive(Debug)]
pub(crate) enum Packet {
    Frame(Frame),
    /// Asks for a connection.
    Open,
    /// Grants it.
    Opened,
    /// An orderly end.
    Finish,
    /// A refusal, or the end of a connection whose process is gone.
    Reset,
}

impl Packet {
    fn may_change_anything(&self) -> bool {
        matches!(self, Packet::Frame(Frame::Request(_, it)) if it.api() != ApiKey::Metadata)
    }

    fn size(&self) -> u32 {
        match self {
            Packet::Frame(frame) => frame.size(),
            Packet::Open | Packet::Opened | Packet::Finish | Packet::Reset => 40,
        }
    }
}

/// What became of a packet that was sent.
#[derive(Debug)]
pub(crate) enum Sent {
    /// It arrives then.
    Arrives(SimTime, Packet),
    /// It is held, or lost for good (a reset into a cut).
    Nothing,
}

/// Bytes that a socket takes before the sender has to wait: `send.buffer.bytes` of Kafka's clients.
const SEND_BUFFER_BYTES: u64 = 131_072;
/// Bytes that wait unread in a broker's socket before TCP holds the sender back: `socket.receive.buffer.bytes`.
const RECEIVE_BUFFER_BYTES: u64 = 102_400;
/// TCP's longest retransmission timeout (Linux).
const LONGEST_RETRANSMISSION: SimDuration = SimDuration::from_secs(120);
/// First retransmission of a packet that asks for a connection (Linux).
const OPEN_RETRANSMISSION: SimDuration = SimDuration::from_secs(1);
/// One way between two machines in one process.
const LOOPBACK: SimDuration = SimDuration::from_micros(20);

/// A change that a fault makes to the packets between two sets of processes, both ways.
#[derive(Clone, Debug)]
pub(crate) struct Disturbance {
    /// The fault, to find it again when it ends.
    pub(crate) fault: u32,
    pub(crate) first: Vec<NodeId>,
    pub(crate) second: Vec<NodeId>,
    pub(crate) kind: DisturbanceKind,
    /// When it ends: what is sent again later gets through.
    pub(crate) until: SimTime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DisturbanceKind {
    Delay(Span),
    Loss { millionths: u32 },
}

impl Disturbance {
    fn concerns(&self, from: NodeId, to: NodeId) -> bool {
        let among = |nodes: &[NodeId], node| nodes.contains(&node);
        (among(&self.first, from) && among(&self.second, to))
            || (among(&self.second, from) && among(&self.first, to))
    }
}

/// All links and connections.
#[derive(Debug)]
pub(crate) struct Network {
    model: Model,
    seed: u64,
    nodes: usize,
    /// Nodes from this index on are clients.
    first_client: usize,
    links: Vec<Link>,
    pub(crate) disturbances: Vec<Disturbance>,
    pub(crate) connections: Vec<Connection>,
}

/// One direction between two processes.
#[derive(Debug, Default)]
struct Link {
    /// How many cuts are in force.
    cuts: u16,
    /// When the line is free again, if its bandwidth is limited and it has been used.
    free_at: Option<SimTime>,
    delay: Option<Box<Weather>>,
    loss: Option<Box<Weather>>,
    extra: Option<Box<Weather>>,
}

impl Network {
    pub(crate) fn new(model: Model, seed: u64, nodes: usize, first_client: usize) -> Self {
        let mut links = Vec::new();
        links.resize_with(nodes * nodes, Link::default);
        Network {
            model,
            seed,
            nodes,
            first_client,
            links,
            disturbances: Vec::new(),
            connections: Vec::new(),
        }
    }

    /// What packets meet from now on is drawn from another seed.
    pub(crate) fn change_weather(&mut self, seed: u64) {
        self.seed = seed;
        for link in &mut self.links {
            (link.delay, link.loss, link.extra) = (None, None, None);
        }
    }

    fn index(&self, from: NodeId, to: NodeId) -> usize {
        usize::from(from.0) * self.nodes + usize::from(to.0)
    }

    /// Both ends of a packet's way: from whom, to whom.
    pub(crate) fn ends(&self, connection: u32, way: Way) -> (End, End) {
        let connection = &self.connections[connection as usize];
        match way {
            Way::ToServer => (connection.client, connection.server),
            Way::ToClient => (connection.server, connection.client),
        }
    }

    /// The end at which a packet arrives.
    pub(crate) fn receiver_mut(&mut self, connection: u32, way: Way) -> &mut End {
        let connection = &mut self.connections[connection as usize];
        match way {
            Way::ToServer => &mut connection.server,
            Way::ToClient => &mut connection.client,
        }
    }

    pub(crate) fn is_cut(&self, from: NodeId, to: NodeId) -> bool {
        self.links[self.index(from, to)].cuts > 0
    }

    /// Puts one more cut on a link.
    pub(crate) fn cut(&mut self, from: NodeId, to: NodeId) {
        let index = self.index(from, to);
        self.links[index].cuts += 1;
    }

    /// Takes one cut off a link; true if nothing cuts it any more.
    pub(crate) fn heal(&mut self, from: NodeId, to: NodeId) -> bool {
        let index = self.index(from, to);
        let link = &mut self.links[index];
        link.cuts = link.cuts.saturating_sub(1);
        link.cuts == 0
    }

    /// How long a packet sent now takes, retransmissions included.
    fn transit(&mut self, from: NodeId, to: NodeId, size: u32, now: SimTime) -> SimDuration {
        if from == to {
            return LOOPBACK;
        }
        let mut transit = self.propagation(from, to, now);
        if self.model.bytes_per_second > 0 {
            let transmission = self.transmission(size);
            let index = self.index(from, to);
            let link = &mut self.links[index];
            let begins = link.free_at.map_or(now, |free_at| free_at.max(now));
            let free_at = begins + transmission;
            link.free_at = Some(free_at);
            transit += free_at.since(now);
        }
        transit
    }

    /// How long a packet occupies a line of limited bandwidth.
    fn transmission(&self, size: u32) -> SimDuration {
        let nanos = u128::from(size) * 1_000_000_000 / u128::from(self.model.bytes_per_second);
        SimDuration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// How long a packet is under way, retransmissions included.
    fn propagation(&mut self, from: NodeId, to: NodeId, now: SimTime) -> SimDuration {
        let index = self.index(from, to);
        let is_client = |node: NodeId| usize::from(node.0) >= self.first_client;
        let latency = if is_client(from) || is_client(to) {
            self.model.client_latency
        } else {
            self.model.latency
        };
        let mut transit = match latency {
            Span::Exactly(delay) => delay,
            drawn => {
                let weather = Self::weather(
                    &mut self.links[index].delay,
                    self.seed,
                    Purpose::LinkDelay,
                    index,
                );
                draws::span(drawn, weather.draw(now))
            }
        };
        if !self.disturbances.is_empty() {
            transit += self.disturbed(from, to, now);
        }
        // The cluster of time zero has formed, whatever the weather.
        if now >= SimTime::ZERO && self.loss(from, to, now) > 0 {
            transit += self.retransmissions(from, to, now);
        }
        transit
    }

    fn weather(
        slot: &mut Option<Box<Weather>>,
        seed: u64,
        purpose: Purpose,
        link: usize,
    ) -> &mut Weather {
        slot.get_or_insert_with(|| Box::new(Weather::new(seed, purpose, link as u64)))
    }

    fn disturbed(&mut self, from: NodeId, to: NodeId, now: SimTime) -> SimDuration {
        let index = self.index(from, to);
        let mut extra = SimDuration::ZERO;
        for disturbance in &self.disturbances {
            if let DisturbanceKind::Delay(span) = disturbance.kind
                && disturbance.concerns(from, to)
            {
                let weather = Self::weather(
                    &mut self.links[index].extra,
                    self.seed,
                    Purpose::LinkExtra,
                    index,
                );
                extra += draws::span(span, weather.draw(now));
            }
        }
        extra
    }

    /// Share of packets lost on a link at an instant, in millionths, as far as is known now.
    fn loss(&self, from: NodeId, to: NodeId, at: SimTime) -> u32 {
        let mut kept = 1_000_000_u64 - u64::from(self.model.loss_millionths.min(1_000_000));
        for disturbance in &self.disturbances {
            if let DisturbanceKind::Loss { millionths } = disturbance.kind
                && at < disturbance.until
                && disturbance.concerns(from, to)
            {
                kept = kept * (1_000_000 - u64::from(millionths.min(1_000_000))) / 1_000_000;
            }
        }
        (1_000_000 - kept) as u32
    }

    fn retransmissions(&mut self, from: NodeId, to: NodeId, now: SimTime) -> SimDuration {
        let index = self.index(from, to);
        let timeout = self.model.retransmission_timeout;
        let mut wait = timeout;
        let mut total = SimDuration::ZERO;
        // A link that loses everything still lets a packet through after fifteen tries: a cut is a fault of its own.
        for _ in 0..15 {
            let loss = self.loss(from, to, now + total);
            let weather =
                Self::weather(&mut self.links[index].loss, self.seed, Purpose::LinkLoss, index);
            if (u64::from(weather.draw(now)) * 1_000_000) >> 32 >= u64::from(loss) {
                break;
            }
            total += wait;
            wait = (wait * 2).min(LONGEST_RETRANSMISSION);
        }
        total
    }

    /// Nothing that is sent from now on arrives before `until`.
    pub(crate) fn stall(&mut self, connection: u32, way: Way, until: SimTime) {
        self.connections[connection as usize].streams[way as usize].after_the_last(until);
    }

    /// Sends a packet.
    pub(crate) fn send(&mut self, connection: u32, way: Way, packet: Packet, now: SimTime) -> Sent {
        let (sender, receiver) = self.ends(connection, way);
        let cut = self.is_cut(sender.node, receiver.node);
        let stream = &mut self.connections[connection as usize].streams[way as usize];
        if stream.stalled && !matches!(packet, Packet::Reset) {
            return Sent::Nothing;
        }
        if cut || !stream.held.is_empty() {
            if !matches!(packet, Packet::Reset) {
                stream.held_bytes += u64::from(packet.size());
                stream.held.push((now, packet));
            }
            return Sent::Nothing;
        }
        let transit = self.transit(sender.node, receiver.node, packet.size(), now);
        let stream = &mut self.connections[connection as usize].streams[way as usize];
        stream.count_unread(&packet);
        let arrival = stream.after_the_last(now + transit);
        Sent::Arrives(arrival, packet)
    }

    /// Until when the sender's socket is full; `None` while it has room. A cut link keeps it full until it heals.
    pub(crate) fn write_blocked_until(
        &mut self,
        connection: u32,
        way: Way,
        now: SimTime,
    ) -> Option<Option<SimTime>> {
        let (sender, receiver) = self.ends(connection, way);
        let free_at = self.links[self.index(sender.node, receiver.node)].free_at.unwrap_or(now);
        let rate = self.model.bytes_per_second;
        let stream = &mut self.connections[connection as usize].streams[way as usize];
        if stream.blocked {
            return None;
        }
        let full = stream.unread > SEND_BUFFER_BYTES + RECEIVE_BUFFER_BYTES;
        if full || stream.held_bytes > SEND_BUFFER_BYTES {
            stream.blocked = true;
            return Some(None);
        }
        let queued = u128::from(free_at.since(now).0) * u128::from(rate) / 1_000_000_000;
        if rate > 0 && queued > u128::from(SEND_BUFFER_BYTES) {
            stream.blocked = true;
            return Some(Some(free_at));
        }
        None
    }

    /// The receiving process has read a frame. When the sender learns that it has room again, if it had none.
    pub(crate) fn read(
        &mut self,
        connection: u32,
        way: Way,
        size: u32,
        now: SimTime,
    ) -> Option<SimTime> {
        let (sender, receiver) = self.ends(connection, way);
        let stream = &mut self.connections[connection as usize].streams[way as usize];
        stream.unread = stream.unread.saturating_sub(u64::from(size));
        let has_room = stream.held.is_empty()
            && stream.unread <= SEND_BUFFER_BYTES + RECEIVE_BUFFER_BYTES
            && self.links[self.index(sender.node, receiver.node)]
                .free_at
                .is_none_or(|at| at <= now);
        let stream = &self.connections[connection as usize].streams[way as usize];
        let waits = stream.blocked && has_room && !self.is_cut(receiver.node, sender.node);
        waits.then(|| now + self.propagation(receiver.node, sender.node, now))
    }

    /// The sender's socket has room again. False if it had been told so already.
    pub(crate) fn unblock(&mut self, connection: u32, way: Way) -> bool {
        let stream = &mut self.connections[connection as usize].streams[way as usize];
        std::mem::take(&mut stream.blocked)
    }

    /// A cut is over: what was held goes out when TCP tries again. Returns each packet with its arrival, and whether the
    /// sender had been blocked.
    pub(crate) fn release(
        &mut self,
        connection: u32,
        way: Way,
        now: SimTime,
    ) -> (Vec<(SimTime, Packet)>, bool) {
        let (sender, receiver) = self.ends(connection, way);
        let stream = &mut self.connections[connection as usize].streams[way as usize];
        let held = std::mem::take(&mut stream.held);
        stream.held_bytes = 0;
        let was_blocked = stream.blocked;
        let Some((first_sent, first)) = held.first() else { return (Vec::new(), false) };
        let timeout = match first {
            Packet::Open => OPEN_RETRANSMISSION,
            Packet::Frame(_) | Packet::Opened | Packet::Finish | Packet::Reset => {
                self.model.retransmission_timeout
            }
        };
        let resumes = next_retransmission(*first_sent, now, timeout);
        let mut arrivals = Vec::with_capacity(held.len());
        for (_, packet) in held {
            // A socket that was closed while it asked for a connection asks no more; one that had sent goes on.
            if matches!(packet, Packet::Open) && !sender.open {
                continue;
            }
            // Later packets of other connections do not queue behind what is sent only then.
            let mut transit = self.propagation(sender.node, receiver.node, resumes);
            if self.model.bytes_per_second > 0 {
                transit += self.transmission(packet.size());
            }
            let stream = &mut self.connections[connection as usize].streams[way as usize];
            stream.count_unread(&packet);
            let arrival = stream.after_the_last(resumes + transit);
            arrivals.push((arrival, packet));
        }
        (arrivals, was_blocked)
    }

    /// Forgets what an end that has died had still to send.
    pub(crate) fn drop_held(&mut self, connection: u32, way: Way) {
        let stream = &mut self.connections[connection as usize].streams[way as usize];
        stream.held.clear();
        stream.held_bytes = 0;
    }

    /// When a peer that has been sending into the void since `since` learns that the host is back: at its next
    /// retransmission.
    pub(crate) fn answer_from_the_dead(&self, since: SimTime, now: SimTime) -> SimTime {
        next_retransmission(since, now, self.model.retransmission_timeout)
    }
}

/// First retransmission, at or after `not_before`, of a packet first sent at `sent`: the timeout doubles each time.
fn next_retransmission(sent: SimTime, not_before: SimTime, timeout: SimDuration) -> SimTime {
    let mut wait = timeout.max(SimDuration::from_millis(1));
    let mut at = sent + wait;
    while at < not_before {
        wait = (wait * 2).min(LONGEST_RETRANSMISSION);
        at += wait;
    }
    at
}

#[cfg(test)]
mod tests;
