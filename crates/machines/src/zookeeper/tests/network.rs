//! The network of these tests, and what must hold after every event.

use crate::disk::{Disk, FlushExtent, FlushId, FlushTarget};
use crate::machine::{Cx, Effect, Input, Machine, Outbox};
use crate::rng::NodeRng;
use crate::zookeeper::client::{
    ZooKeeperClient, ZooKeeperClientEvent, ZooKeeperClientSetup, ZooKeeperLibrary,
};
use crate::zookeeper::{NoReport, ZooKeeperServer, ZooKeeperServerSetup, ZooKeeperTimer};
use acklab_vocab::api::*;
use acklab_vocab::config::ZooKeeperConfig;
use acklab_vocab::ids::*;
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::{CloseReason, TraceEvent, ZooKeeperState};
use acklab_vocab::zookeeper::ZnodePath;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const FLUSH: SimDuration = SimDuration::from_millis(2);

type ServerInput = Input<ZooKeeperTimer, crate::zookeeper::NoCall>;
pub(super) type Client = ZooKeeperClient<u32>;
pub(super) type Told = ZooKeeperClientEvent<u32>;
pub(super) type ClientCx<'a> = Cx<'a, (), ()>;

/// An input of either kind of process.
#[derive(Clone, Debug)]
enum Arrival {
    Connected(ConnectionId),
    Request(ConnectionId, CorrelationId, Box<Request>),
    Response(ConnectionId, CorrelationId, Box<Response>),
    Closed(ConnectionId),
    ServerTimer(ZooKeeperTimer),
    ClientTimer,
    Flushed(FlushId, FlushExtent),
}

#[derive(Clone, Debug)]
enum Event {
    /// For one life of a process.
    Arrival(usize, u32, Arrival),
    /// A packet reaches its end of a link.
    Packet(ConnectionId, Side, Packet),
    Fault(Fault),
    /// A client asks, or begins a new session if its last has expired.
    Ask(usize, u32, ZooKeeperRequest),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    Opener,
    Acceptor,
}

#[derive(Clone, Debug)]
enum Packet {
    Open,
    Opened,
    Frame(Frame),
    Closed,
}

/// What may happen to processes, numbered from 0: servers first.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    Kill(usize),
    PowerLoss(usize),
    Restart(usize),
    /// From every server and client.
    Isolate(usize),
    Cut(usize, usize),
    Heal,
    Pause(usize),
    Resume(usize),
}

enum Body {
    Dead,
    Server(Box<ZooKeeperServer>),
    Client(Box<Client>),
}

struct Node {
    life: u32,
    body: Body,
    disk: Disk,
    paused: bool,
    /// What has come while it was paused.
    waiting: Vec<Arrival>,
    timers: BTreeMap<ZooKeeperTimer, SimTime>,
    client_timer: Option<SimTime>,
    /// How much of its tree has been checked.
    checked: acklab_vocab::zookeeper::Zxid,
}

pub(super) struct Link {
    pub opener: usize,
    pub acceptor: usize,
    /// A side that has closed gets nothing more.
    pub closed: BTreeSet<Side>,
    accepted: bool,
    /// Nothing overtakes: when the last packet is due at each side.
    due: BTreeMap<Side, SimTime>,
    /// What a cut holds back.
    held: Vec<(Side, Packet)>,
}

/// Servers 0 to n − 1, then clients.
pub(super) struct Network {
    pub now: SimTime,
    pub servers: usize,
    config: Arc<ZooKeeperConfig>,
    rng: NodeRng,
    server_outbox: Outbox<ZooKeeperTimer, NoReport>,
    client_outbox: Outbox<(), ()>,
    nodes: Vec<Node>,
    pub links: BTreeMap<ConnectionId, Link>,
    cuts: BTreeSet<(usize, usize)>,
    queue: BTreeMap<(SimTime, u64), Event>,
    sequence: u64,
    /// Everything committed, as the servers have applied it.
    pub history: Vec<Arc<ZooKeeperTransaction>>,
    pub facts: Vec<(SimTime, TraceEvent)>,
    pub told: Vec<(SimTime, usize, ZooKeeperClientEvent<u32>)>,
}

pub(super) fn config() -> ZooKeeperConfig {
    ZooKeeperConfig {
        tick_time: SimDuration::from_secs(2),
        init_limit: 10,
        sync_limit: 5,
        min_session_timeout: SimDuration::from_secs(4),
        max_session_timeout: SimDuration::from_secs(40),
    }
}

impl Network {
    /// Servers of an ensemble that start at once, and no clients.
    pub(super) fn new(servers: usize, seed: u64) -> Network {
        let mut network = Network {
            now: SimTime::ZERO,
            servers,
            config: Arc::new(config()),
            rng: NodeRng::for_test(seed),
            server_outbox: Outbox::default(),
            client_outbox: Outbox { next_connection: 1 << 30, ..Outbox::default() },
            nodes: Vec::new(),
            links: BTreeMap::new(),
            cuts: BTreeSet::new(),
            queue: BTreeMap::new(),
            sequence: 0,
            history: Vec::new(),
            facts: Vec::new(),
            told: Vec::new(),
        };
        for server in 0..servers {
            network.add_node();
            network.start(server);
        }
        network
    }

    fn add_node(&mut self) -> usize {
        self.nodes.push(Node {
            life: 0,
            body: Body::Dead,
            disk: Disk::default(),
            paused: false,
            waiting: Vec::new(),
            timers: BTreeMap::new(),
            client_timer: None,
            checked: Default::default(),
        });
        self.nodes.len() - 1
    }

    /// A client that connects, and its number.
    pub(super) fn add_client(&mut self, library: ZooKeeperLibrary, timeout: SimDuration) -> usize {
        let index = self.add_node();
        let endpoint =
            |server| Endpoint { node: NodeId(server as u16), listener: Listener::ZooKeeper };
        let servers = (0..self.servers).map(endpoint).collect();
        let setup = ZooKeeperClientSetup { library, servers, session_timeout: timeout };
        self.nodes[index].body = Body::Client(Box::new(ZooKeeperClient::new(setup)));
        self.with_client(index, |client, cx| client.start(cx));
        index
    }

    pub(super) fn server(&self, index: usize) -> Option<&ZooKeeperServer> {
        match &self.nodes[index].body {
            Body::Server(server) => Some(server),
            Body::Dead | Body::Client(_) => None,
        }
    }

    pub(super) fn client(&self, index: usize) -> &Client {
        match &self.nodes[index].body {
            Body::Client(client) => client,
            Body::Dead | Body::Server(_) => panic!("{index} is no client"),
        }
    }

    pub(super) fn disk(&self, index: usize) -> &Disk {
        &self.nodes[index].disk
    }

    /// Does something with a client, as its application would.
    pub(super) fn with_client(
        &mut self,
        index: usize,
        action: impl FnOnce(&mut Client, &mut ClientCx<'_>),
    ) {
        let Network { now, rng, client_outbox, nodes, .. } = self;
        let node = &mut nodes[index];
        let Body::Client(client) = &mut node.body else { return };
        let id = NodeId(index as u16);
        action(client, &mut Cx::new(*now, id, rng, &mut node.disk, client_outbox));
        self.after_client(index);
    }

    /// A client asks for one operation.
    pub(super) fn ask(&mut self, client: usize, purpose: u32, operation: ZooKeeperOperation) {
        self.with_client(client, |client, cx| client.operate(cx, operation, purpose));
    }

    fn push(&mut self, at: SimTime, event: Event) {
        self.sequence += 1;
        self.queue.insert((at, self.sequence), event);
    }

    pub(super) fn fault_at(&mut self, at: SimTime, fault: Fault) {
        self.push(at, Event::Fault(fault));
    }

    pub(super) fn ask_at(
        &mut self,
        at: SimTime,
        client: usize,
        purpose: u32,
        request: ZooKeeperRequest,
    ) {
        self.push(at, Event::Ask(client, purpose, request));
    }

    fn on_ask(&mut self, client: usize, purpose: u32, request: ZooKeeperRequest) {
        if self.nodes[client].paused {
            return;
        }
        self.with_client(client, |client, cx| match client.state() {
            ZooKeeperState::Expired => client.restart(cx),
            ZooKeeperState::Connected | ZooKeeperState::Disconnected => {
                client.submit(cx, request, purpose);
            }
        });
    }

    fn start(&mut self, index: usize) {
        let Network { now, rng, server_outbox, nodes, config, servers, .. } = self;
        let node = &mut nodes[index];
        if index >= *servers || !matches!(node.body, Body::Dead) {
            return;
        }
        node.life += 1;
        let ensemble = (0..*servers)
            .map(|server| (ZooKeeperServerId(server as u16 + 1), NodeId(server as u16)))
            .collect();
        let id = ZooKeeperServerId(index as u16 + 1);
        let setup = ZooKeeperServerSetup { id, config: config.clone(), ensemble };
        let mut cx = Cx::new(*now, NodeId(index as u16), rng, &mut node.disk, server_outbox);
        node.body = Body::Server(Box::new(ZooKeeperServer::boot(&mut cx, setup)));
        self.after_server(index);
    }

    fn stop(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        if !matches!(node.body, Body::Server(_)) {
            return;
        }
        node.body = Body::Dead;
        node.life += 1;
        node.timers.clear();
        node.paused = false;
        node.waiting.clear();
        node.checked = Default::default();
        let ends: Vec<_> = self
            .links
            .iter()
            .filter(|(_, link)| link.opener == index || link.acceptor == index)
            .map(|(&id, link)| (id, link.opener == index))
            .collect();
        for (id, is_opener) in ends {
            let side = if is_opener { Side::Opener } else { Side::Acceptor };
            self.close(id, side);
        }
    }

    fn close(&mut self, id: ConnectionId, side: Side) {
        let Some(link) = self.links.get_mut(&id) else { return };
        if link.closed.insert(side) {
            let other = if side == Side::Opener { Side::Acceptor } else { Side::Opener };
            self.transmit(id, other, Packet::Closed);
        }
    }

    fn is_cut(&self, one: usize, other: usize) -> bool {
        self.cuts.contains(&(one.min(other), one.max(other)))
    }

    fn transmit(&mut self, id: ConnectionId, to: Side, packet: Packet) {
        let Some(link) = self.links.get(&id) else { return };
        let cut = self.is_cut(link.opener, link.acceptor);
        let latency = SimDuration::from_micros(500 + self.rng.below(1_500));
        let now = self.now;
        let Some(link) = self.links.get_mut(&id) else { return };
        if cut {
            return link.held.push((to, packet));
        }
        let due = link.due.entry(to).or_insert(now);
        *due = (*due).max(now + latency);
        let due = *due;
        self.push(due, Event::Packet(id, to, packet));
    }

    fn on_packet(&mut self, id: ConnectionId, side: Side, packet: Packet) {
        let Some(link) = self.links.get_mut(&id) else { return };
        if link.closed.contains(&side) {
            return;
        }
        let node = if side == Side::Opener { link.opener } else { link.acceptor };
        match packet {
            Packet::Open if matches!(self.nodes[node].body, Body::Dead) => {
                link.closed.insert(side);
                self.transmit(id, Side::Opener, Packet::Closed);
            }
            Packet::Open => {
                link.accepted = true;
                self.transmit(id, Side::Opener, Packet::Opened);
            }
            Packet::Opened => self.arrive(node, Arrival::Connected(id)),
            Packet::Frame(Frame::Request(correlation, request)) => {
                self.arrive(node, Arrival::Request(id, correlation, request));
            }
            Packet::Frame(Frame::Response(correlation, response)) => {
                self.arrive(node, Arrival::Response(id, correlation, response));
            }
            Packet::Closed => {
                link.closed.insert(side);
                self.arrive(node, Arrival::Closed(id));
            }
        }
    }

    fn arrive(&mut self, index: usize, arrival: Arrival) {
        if self.nodes[index].paused {
            return self.nodes[index].waiting.push(arrival);
        }
        let is_current = match &arrival {
            Arrival::ServerTimer(timer) => {
                let set = self.nodes[index].timers.get(timer);
                let due = set.is_some_and(|at| *at <= self.now);
                due && self.nodes[index].timers.remove(timer).is_some()
            }
            Arrival::ClientTimer => {
                let due = self.nodes[index].client_timer.is_some_and(|at| at <= self.now);
                due && self.nodes[index].client_timer.take().is_some()
            }
            _ => true,
        };
        if !is_current {
            return;
        }
        match &self.nodes[index].body {
            Body::Dead => {}
            Body::Server(_) => self.server_input(index, arrival),
            Body::Client(_) => self.client_input(index, arrival),
        }
    }

    fn server_input(&mut self, index: usize, arrival: Arrival) {
        let input: ServerInput = match arrival {
            Arrival::Connected(id) => Input::Connected(id),
            Arrival::Request(connection, correlation, request) => {
                let from = NodeId(self.links[&connection].opener as u16);
                Input::Request { connection, correlation, from, request }
            }
            Arrival::Closed(id) => Input::Closed(id, CloseReason::ClosedByPeer),
            Arrival::ServerTimer(timer) => Input::Timer(timer),
            Arrival::Flushed(id, extent) => {
                self.nodes[index].disk.mark_flushed(FlushTarget::ZooKeeperLog, extent);
                Input::Flushed(id)
            }
            Arrival::Response(..) | Arrival::ClientTimer => panic!("not for servers"),
        };
        let Network { now, rng, server_outbox, nodes, .. } = self;
        let node = &mut nodes[index];
        let Body::Server(server) = &mut node.body else { return };
        let id = NodeId(index as u16);
        server.handle(&mut Cx::new(*now, id, rng, &mut node.disk, server_outbox), input);
        self.after_server(index);
    }

    fn client_input(&mut self, index: usize, arrival: Arrival) {
        self.with_client(index, |client, cx| match arrival {
            Arrival::Connected(id) => client.on_connected(cx, id),
            Arrival::Response(id, correlation, response) => {
                let Response::ZooKeeper(response) = *response else { panic!("{response:?}") };
                client.on_response(cx, id, correlation, response);
            }
            Arrival::Closed(id) => client.on_closed(cx, id),
            Arrival::ClientTimer => client.on_time(cx),
            Arrival::Request(..) | Arrival::ServerTimer(_) | Arrival::Flushed(..) => {
                panic!("not for clients")
            }
        });
    }

    fn after_server(&mut self, index: usize) {
        for (_, fact) in std::mem::take(&mut self.server_outbox.facts) {
            self.facts.push((self.now, fact));
        }
        for effect in std::mem::take(&mut self.server_outbox.effects) {
            let life = self.nodes[index].life;
            match effect {
                Effect::SetTimer(timer, at) => {
                    let at = at.max(self.now);
                    self.nodes[index].timers.insert(timer, at);
                    self.push(at, Event::Arrival(index, life, Arrival::ServerTimer(timer)));
                }
                Effect::CancelTimer(timer) => _ = self.nodes[index].timers.remove(&timer),
                Effect::Flush(id, target) => {
                    let extent = self.nodes[index].disk.extent(target);
                    let flushed = Arrival::Flushed(id, extent);
                    self.push(self.now + FLUSH, Event::Arrival(index, life, flushed));
                }
                Effect::Connect(id, endpoint) => self.connect(index, id, endpoint),
                Effect::Close(id) => self.close_own(index, id),
                Effect::Send(id, frame) => self.send(index, id, frame),
                Effect::NoResponse(_) | Effect::Report(_) | Effect::Exit { .. } => unreachable!(),
            }
        }
        self.check_server(index);
    }

    fn after_client(&mut self, index: usize) {
        for (_, fact) in std::mem::take(&mut self.client_outbox.facts) {
            self.facts.push((self.now, fact));
        }
        for effect in std::mem::take(&mut self.client_outbox.effects) {
            match effect {
                Effect::Connect(id, endpoint) => self.connect(index, id, endpoint),
                Effect::Close(id) => self.close_own(index, id),
                Effect::Send(id, frame) => self.send(index, id, frame),
                other => panic!("{other:?}"),
            }
        }
        let (now, life) = (self.now, self.nodes[index].life);
        let Body::Client(client) = &mut self.nodes[index].body else { return };
        while let Some(event) = client.next_event() {
            self.told.push((now, index, event));
        }
        let deadline = client.deadline();
        self.nodes[index].client_timer = Some(deadline);
        if deadline < SimTime::NEVER {
            let at = deadline.max(now);
            self.push(at, Event::Arrival(index, life, Arrival::ClientTimer));
        }
    }

    fn connect(&mut self, opener: usize, id: ConnectionId, endpoint: Endpoint) {
        let link = Link {
            opener,
            acceptor: usize::from(endpoint.node.0),
            closed: BTreeSet::new(),
            accepted: false,
            due: BTreeMap::new(),
            held: Vec::new(),
        };
        self.links.insert(id, link);
        self.transmit(id, Side::Acceptor, Packet::Open);
    }

    fn side(&self, index: usize, id: ConnectionId) -> Option<Side> {
        let link = self.links.get(&id)?;
        Some(if link.opener == index { Side::Opener } else { Side::Acceptor })
    }

    fn close_own(&mut self, index: usize, id: ConnectionId) {
        if let Some(side) = self.side(index, id) {
            self.close(id, side);
        }
    }

    fn send(&mut self, index: usize, id: ConnectionId, frame: Frame) {
        let Some(side) = self.side(index, id) else { return };
        if self.links[&id].closed.contains(&side) {
            return;
        }
        let to = if side == Side::Opener { Side::Acceptor } else { Side::Opener };
        self.transmit(id, to, Packet::Frame(frame));
    }

    pub(super) fn fault(&mut self, fault: Fault) {
        match fault {
            Fault::Kill(index) => self.stop(index),
            Fault::PowerLoss(index) => {
                self.stop(index);
                self.nodes[index].disk.lose_power(self.now);
            }
            Fault::Restart(index) => self.start(index),
            Fault::Isolate(index) => {
                for other in 0..self.nodes.len() {
                    self.cuts.insert((index.min(other), index.max(other)));
                }
            }
            Fault::Cut(one, other) => _ = self.cuts.insert((one.min(other), one.max(other))),
            Fault::Heal => {
                self.cuts.clear();
                let ids: Vec<_> = self.links.keys().copied().collect();
                for id in ids {
                    let held = std::mem::take(&mut self.links.get_mut(&id).unwrap().held);
                    held.into_iter().for_each(|(to, packet)| self.transmit(id, to, packet));
                }
            }
            Fault::Pause(index) => self.nodes[index].paused = true,
            Fault::Resume(index) => {
                self.nodes[index].paused = false;
                for arrival in std::mem::take(&mut self.nodes[index].waiting) {
                    self.arrive(index, arrival);
                }
            }
        }
    }

    pub(super) fn run_until(&mut self, millis: i64) {
        let end = SimTime::from_millis(millis);
        while let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= end) {
            self.now = entry.key().0;
            match entry.remove() {
                Event::Arrival(index, life, arrival) if self.nodes[index].life == life => {
                    self.arrive(index, arrival);
                }
                Event::Arrival(..) => {}
                Event::Packet(id, side, packet) => self.on_packet(id, side, packet),
                Event::Fault(fault) => self.fault(fault),
                Event::Ask(client, purpose, request) => self.on_ask(client, purpose, request),
            }
        }
        self.now = end;
    }

    /// A server's tree is a beginning of the one history, and no ephemeral znode outlives its
    /// session.
    fn check_server(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        let Body::Server(server) = &node.body else { return };
        let last = server.tree().last_zxid();
        if last <= node.checked {
            return;
        }
        for transaction in node.disk.zookeeper_log.after(node.checked) {
            if transaction.zxid > last {
                break;
            }
            match self.history.iter().find(|known| known.zxid >= transaction.zxid) {
                Some(known) => assert_eq!(known, transaction, "what is committed has changed"),
                None => self.history.push(transaction.clone()),
            }
        }
        node.checked = last;
        for (path, znode) in server.tree().iter() {
            if let Some(owner) = znode.stat.ephemeral_owner {
                assert!(server.tree().has_session(owner), "{path} outlives its session");
            }
        }
    }
}

pub(super) fn path(text: &str) -> ZnodePath {
    ZnodePath::new(text)
}
