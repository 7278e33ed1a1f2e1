//! The world: one queue, every process, the network between them, and whatever goes wrong.

use crate::application::Wake;
use crate::draws::{self, Purpose};
use crate::faults::Faults;
use crate::fork::Fork;
use crate::groups::Groups;
use crate::header::{header, is_server};
use crate::network::{Connection, Network, Packet, Way};
use crate::node::{AnyCall, AnyTimer, Life, Node};
use crate::queue::Queue;
use crate::view::ClusterView;
use acklab_machines::disk::{FlushExtent, FlushId, FlushTarget};
use acklab_machines::rng::NodeRng;
use acklab_scenario::model::{FaultSpec, Scenario, Start};
use acklab_vocab::api::Endpoint;
use acklab_vocab::ids::{BrokerId, ControllerId, CorrelationId, EventId, Incarnation, NodeId};
use acklab_vocab::record::Record;
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::{
    CloseReason, Edge, EdgeKind, NodeHeader, Observer, RunHeader, Stamped, TraceEvent,
};
use std::sync::Arc;

/// How to run.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunOptions {
    /// Stop at this instant and return the state of the cluster.
    pub stop_at: Option<SimTime>,
    /// Leave the history of the seed, for another future of it.
    pub fork: Option<Fork>,
}

/// What is left of a run.
#[derive(Debug)]
pub struct RunResult<O> {
    /// What observed it.
    pub observer: O,
    /// How many events were handled.
    pub events: u64,
    /// When it ended.
    pub ended_at: SimTime,
    /// What did not come to rest.
    pub stuck: Option<Stuck>,
    /// The faults that struck, as a fixed schedule: the same history with nothing left to draw.
    pub schedule: Vec<FaultSpec>,
    /// The cluster at the instant asked for.
    pub view: Option<ClusterView>,
}

/// What did not come to rest in the time that the scenario gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stuck {
    /// When that time was over.
    pub at: SimTime,
    /// Each thing that still moves, or waits, in words.
    pub because: Vec<String>,
}

/// An event of the queue and the one that scheduled it.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) cause: EventId,
    pub(crate) body: Body,
}

/// What happens.
#[derive(Debug)]
pub(crate) enum Body {
    /// A packet arrives; a request to a server is due when its service ends.
    Packet { connection: u32, way: Way, packet: Packet },
    /// A request that had to wait for its connection or for a thread is due.
    Serve { connection: u32, correlation: CorrelationId, request: Box<acklab_vocab::api::Request> },
    /// A client's socket is full, or has room again.
    Write { connection: u32, blocked: bool },
    /// A timer may be due.
    Timer { node: NodeId, incarnation: u32, role: u8, timer: AnyTimer, generation: u32 },
    /// A flush is done.
    Flushed {
        node: NodeId,
        incarnation: u32,
        role: u8,
        id: FlushId,
        target: FlushTarget,
        extent: FlushExtent,
    },
    /// An application creates its next burst.
    Burst { node: NodeId, incarnation: u32 },
    /// An application sends records again.
    Resend { node: NodeId, incarnation: u32, records: Arc<[Record]> },
    /// A time of an application's own has come.
    Application { node: NodeId, incarnation: u32, wake: Wake },
    /// An operator's call reaches a machine.
    Call { node: NodeId, incarnation: u32, role: u8, call: AnyCall },
    /// A process starts.
    Start { node: NodeId, incarnation: u32 },
    /// The world itself acts.
    World(WorldEvent),
}

/// What the world does by itself.
#[derive(Debug)]
pub(crate) enum WorldEvent {
    /// The cluster forms: see whether the next step is possible.
    Form,
    /// Time zero.
    Settled,
    /// A fault strikes: index into the scenario's list, and by which plan of it.
    FaultStrikes { spec: usize, plan: u32 },
    /// An active fault ends.
    FaultEnds { fault: u32 },
    /// A rolling restart goes on to the next process.
    RollingRestart { fault: u32 },
    /// The workload is over.
    WorkloadEnds,
    /// See whether everything is at rest.
    LookForRest,
    /// The end of the time to settle.
    SettleTimeOver,
    /// Only the driver has something to do: processes were killed, paused or started.
    Driver,
}

/// Who has to handle the next event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// The task of this process.
    Node(NodeId),
    /// The world itself.
    World,
    /// Nobody: the run is over.
    Over,
}

/// What the driver has to do to its own idea of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DriverOrder {
    Start(NodeId),
    Kill(NodeId),
    Pause(NodeId),
    Resume(NodeId),
}

/// The world.
#[derive(Debug)]
pub(crate) struct World<O> {
    pub(crate) scenario: Arc<Scenario>,
    pub(crate) seed: u64,
    pub(crate) options: RunOptions,
    pub(crate) observer: O,
    pub(crate) header: RunHeader,
    pub(crate) now: SimTime,
    /// The event being handled.
    pub(crate) current: EventId,
    pub(crate) queue: Queue<Event>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) network: Network,
    pub(crate) faults: Faults,
    pub(crate) formation: crate::formation::Formation,
    /// Up to where the facts of the metadata log have been stated, by whichever controller was active.
    pub(crate) committed_facts_end: u64,
    pub(crate) workload_over: bool,
    pub(crate) over: bool,
    pub(crate) stuck: Option<Stuck>,
    pub(crate) view: Option<ClusterView>,
    pub(crate) handled: u64,
    pub(crate) orders: Vec<DriverOrder>,
    pub(crate) start_rng: NodeRng,
    /// What the facts say of groups.
    pub(crate) groups: Groups,
    /// How often copies have been handed to producers.
    pub(crate) attempts: crate::workload::Attempts,
}

impl<O: Observer> World<O> {
    pub(crate) fn new(
        scenario: Arc<Scenario>,
        seed: u64,
        options: RunOptions,
        observer: O,
    ) -> Self {
        let header = header(&scenario, seed);
        let servers = header.nodes.iter().filter(|node| is_server(node)).count();
        let threads = scenario.cluster.io_threads.max(1);
        let nodes: Vec<Node> = (0..header.nodes.len())
            .map(|index| Node::new(NodeId(index as u16), seed, threads))
            .collect();
        let network = Network::new(scenario.network.clone(), seed, nodes.len(), servers);
        let faults = Faults::new(&scenario, seed);
        let start_rng = draws::stream(seed, Purpose::Start, 0);
        let mut world = World {
            scenario,
            seed,
            options,
            observer,
            header,
            now: SimTime::ZERO,
            current: EventId(0),
            queue: Queue::new(),
            nodes,
            network,
            faults,
            formation: crate::formation::Formation::default(),
            committed_facts_end: 0,
            workload_over: false,
            over: false,
            stuck: None,
            view: None,
            handled: 0,
            orders: Vec::new(),
            start_rng,
            groups: Groups::default(),
            attempts: Vec::new(),
        };
        world.observer.begin(&world.header);
        world.begin();
        world
    }

    fn begin(&mut self) {
        self.now = match self.scenario.start {
            Start::Settled => SimTime::ZERO - self.formation_takes(),
            Start::Cold => SimTime::ZERO,
        };
        self.schedule_first_starts();
        self.push(SimTime::ZERO, Body::World(WorldEvent::Settled));
    }

    pub(crate) fn push(&mut self, at: SimTime, body: Body) -> EventId {
        debug_assert!(at >= self.now, "an event cannot be scheduled in the past");
        self.queue.push(at.max(self.now), Event { cause: self.current, body })
    }

    /// States a fact of the world.
    pub(crate) fn state(&mut self, node: NodeId, event: TraceEvent) {
        let stamped = Stamped { cause: self.current, at: self.now, node, event };
        if self.observe(&stamped) {
            // Nothing of the process follows in this event: the fault may as well come as an event of its own.
            self.strike_later();
        }
    }

    /// Passes a fact to everybody who listens. True if a fault that waited for it kills the very process that stated it:
    /// it then strikes before the process's next effect.
    pub(crate) fn observe(&mut self, stamped: &Stamped) -> bool {
        self.observer.observe(stamped);
        self.groups.note(stamped);
        self.watch(stamped)
    }

    /// Who has the next turn. Handles everything that concerns no running process on the way: packets to dead processes,
    /// stale timers, requests for a connection, whatever has to wait for a paused process.
    pub(crate) fn turn(&mut self) -> Turn {
        loop {
            if self.over {
                return Turn::Over;
            }
            let Some((at, _, event)) = self.queue.peek() else { return Turn::Over };
            if self.options.stop_at.is_some_and(|stop| at > stop) {
                self.stop_here();
                return Turn::Over;
            }
            if let Some(fork) = self.options.fork.take_if(|fork| at > fork.after) {
                self.fork(fork);
                continue;
            }
            match self.destination(&event.body) {
                Destination::World => return Turn::World,
                Destination::Node(node) => return Turn::Node(node),
                Destination::Kernel => {
                    if let Some((at, id, event)) = self.take() {
                        self.handle_in_kernel(at, id, event);
                    }
                }
                Destination::Backlog(node) => {
                    if let Some((_, _, event)) = self.take() {
                        self.nodes[usize::from(node.0)].backlog.push(event);
                    }
                }
                Destination::Nobody => {
                    self.take();
                }
            }
        }
    }

    /// Takes the next event off the queue and moves the clock.
    pub(crate) fn take(&mut self) -> Option<(SimTime, EventId, Event)> {
        let (at, id, event) = self.queue.pop()?;
        self.now = at;
        self.current = id;
        Some((at, id, event))
    }

    /// Handles the next event, whose turn has been asked for.
    pub(crate) fn step(&mut self) {
        let Some((at, id, event)) = self.take() else { return };
        self.handled += 1;
        if O::WANTS_EDGES {
            self.edge(at, id, &event);
        }
        match event.body {
            Body::World(event) => self.handle_world_event(event),
            body => self.handle_node_event(body),
        }
    }

    fn handle_world_event(&mut self, event: WorldEvent) {
        match event {
            WorldEvent::Form => self.form(),
            WorldEvent::Settled => self.time_zero(),
            WorldEvent::FaultStrikes { spec, plan } => self.fault_is_due(spec, plan),
            WorldEvent::FaultEnds { fault } => self.fault_ends(fault),
            WorldEvent::RollingRestart { fault } => self.roll_on(fault),
            WorldEvent::WorkloadEnds => self.workload_ends(),
            WorldEvent::LookForRest => self.look_for_rest(),
            WorldEvent::SettleTimeOver => self.settle_time_over(),
            WorldEvent::Driver => {}
        }
    }

    fn destination(&self, body: &Body) -> Destination {
        match body {
            Body::Packet { connection, way, packet, .. } => {
                if matches!(packet, Packet::Open) {
                    return Destination::Kernel;
                }
                let (_, end) = self.network.ends(*connection, *way);
                let node = &self.nodes[usize::from(end.node.0)];
                if !end.open || node.incarnation != end.incarnation || !node.host_up {
                    return Destination::Kernel;
                }
                life_of(node)
            }
            Body::Serve { connection, .. } => {
                let end = self.network.connections[*connection as usize].server;
                self.to_life(end.node, end.incarnation)
            }
            Body::Write { connection, .. } => {
                let end = self.network.connections[*connection as usize].client;
                self.to_life(end.node, end.incarnation)
            }
            Body::Timer { node, incarnation, .. }
            | Body::Flushed { node, incarnation, .. }
            | Body::Burst { node, incarnation }
            | Body::Resend { node, incarnation, .. }
            | Body::Application { node, incarnation, .. }
            | Body::Call { node, incarnation, .. } => self.to_life(*node, *incarnation),
            Body::Start { node, incarnation } => {
                let starting = &self.nodes[usize::from(node.0)];
                if starting.incarnation == *incarnation && starting.host_up {
                    Destination::Node(*node)
                } else {
                    Destination::Nobody
                }
            }
            Body::World(_) => Destination::World,
        }
    }

    fn to_life(&self, node: NodeId, incarnation: u32) -> Destination {
        let node = &self.nodes[usize::from(node.0)];
        if node.incarnation == incarnation { life_of(node) } else { Destination::Nobody }
    }

    fn edge(&mut self, at: SimTime, id: EventId, event: &Event) {
        let (node, kind) = match &event.body {
            Body::Packet { connection, way, packet, .. } => {
                let (from, to) = self.network.ends(*connection, *way);
                let kind = match packet {
                    Packet::Frame(acklab_vocab::api::Frame::Request(_, request)) => {
                        EdgeKind::Request { from: from.node, api: request.api() }
                    }
                    Packet::Frame(acklab_vocab::api::Frame::Response(_, response)) => {
                        EdgeKind::Response { from: from.node, api: response.api() }
                    }
                    Packet::Open | Packet::Opened | Packet::Finish | Packet::Reset => {
                        EdgeKind::Connection { peer: from.node }
                    }
                };
                (to.node, kind)
            }
            Body::Serve { connection, request, .. } => {
                let connection = &self.network.connections[*connection as usize];
                let kind = EdgeKind::Request { from: connection.client.node, api: request.api() };
                (connection.server.node, kind)
            }
            Body::Write { connection, .. } => {
                let connection = &self.network.connections[*connection as usize];
                (connection.client.node, EdgeKind::Connection { peer: connection.server.node })
            }
            Body::Timer { node, .. } => (*node, EdgeKind::Timer),
            Body::Flushed { node, .. } => (*node, EdgeKind::Flush),
            Body::Burst { node, .. }
            | Body::Resend { node, .. }
            | Body::Application { node, .. }
            | Body::Call { node, .. } => (*node, EdgeKind::Application),
            Body::Start { node, .. } => (*node, EdgeKind::World),
            Body::World(_) => (NodeId(u16::MAX), EdgeKind::World),
        };
        self.observer.edge(&Edge { id, cause: event.cause, at, node, kind });
    }

    fn stop_here(&mut self) {
        if let Some(stop) = self.options.stop_at {
            self.now = stop;
        }
        self.view = Some(self.cluster_view());
        self.over = true;
    }

    /// Opens a connection for a machine.
    pub(crate) fn connect(&mut self, client: crate::network::End, to: Endpoint) -> u32 {
        let server = crate::network::End {
            node: to.node,
            incarnation: 0,
            role: 0,
            id: acklab_vocab::ids::ConnectionId(u32::MAX),
            open: false,
        };
        let index = self.network.connections.len() as u32;
        self.network.connections.push(Connection {
            client,
            server,
            listener: to.listener,
            streams: Default::default(),
            inbox: std::collections::VecDeque::new(),
            serving: false,
            closed_by_client: false,
        });
        index
    }

    pub(crate) fn finish(self) -> RunResult<O> {
        RunResult {
            observer: self.observer,
            events: self.handled,
            ended_at: self.now,
            stuck: self.stuck,
            schedule: self.faults.schedule(),
            view: self.view,
        }
    }

    /// The process of a broker.
    pub(crate) fn broker_node(&self, broker: BrokerId) -> NodeId {
        let is_it = |node: &NodeHeader| node.broker == Some(broker);
        node_at(self.header.nodes.iter().position(is_it))
    }

    /// The process of a controller.
    pub(crate) fn controller_node(&self, controller: ControllerId) -> NodeId {
        let is_it = |node: &NodeHeader| node.controller == Some(controller);
        node_at(self.header.nodes.iter().position(is_it))
    }

    /// Tells a machine that its connection is gone.
    pub(crate) fn closed(&mut self, connection: u32, way: Way, reason: CloseReason) {
        let (_, end) = self.network.ends(connection, way);
        if end.open {
            self.network.receiver_mut(connection, way).open = false;
            self.deliver(end.node, end.role, crate::dispatch::AnyInput::Closed(end.id, reason));
        }
    }

    /// How long a process takes from its start to the moment at which it runs.
    pub(crate) fn start_up(&mut self) -> SimDuration {
        draws::next_span(self.scenario.cluster.start_up, &mut self.start_rng)
    }
}

fn life_of(node: &Node) -> Destination {
    match node.life {
        Life::Running => Destination::Node(node.id),
        Life::Paused(_) => Destination::Backlog(node.id),
        Life::Dead => Destination::Kernel,
    }
}

/// Whom an event concerns.
enum Destination {
    World,
    Node(NodeId),
    /// A paused process: it waits.
    Backlog(NodeId),
    /// The host alone: the process is not there, or is not asked.
    Kernel,
    /// A life that is over.
    Nobody,
}

fn node_at(index: Option<usize>) -> NodeId {
    NodeId(index.expect("a validated scenario names only nodes that exist") as u16)
}

/// The life of a process in the trace.
pub(crate) fn incarnation(node: &Node) -> Incarnation {
    Incarnation(node.incarnation)
}
