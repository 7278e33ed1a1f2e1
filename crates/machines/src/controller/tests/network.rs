//! Three controllers on a plain network with a fixed latency, through kills, power losses, pauses
//! and cuts.
//!
//! Checked after every event: at most one leader of an epoch, and committed entries that never
//! change. Checked at the end, when all faults are over: one active controller, every acknowledged
//! registration in everybody's log, each stated once.

use super::setup;
use crate::controller::{Controller, ControllerCall, ControllerTimer, NoReport};
use crate::disk::{Disk, FlushExtent, FlushId, FlushTarget};
use crate::machine::{Cx, Effect, Input, Machine, Outbox};
use crate::rng::NodeRng;
use acklab_vocab::api::*;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::*;
use acklab_vocab::metadata_log::{MetadataEntry, MetadataRecord};
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::{CloseReason, TraceEvent};
use proptest::prelude::*;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

const NODES: usize = 3;
const LATENCY: SimDuration = SimDuration::from_millis(1);
const FLUSH: SimDuration = SimDuration::from_millis(2);
/// Connections of the test's own client, one per request.
const FIRST_CLIENT_CONNECTION: u32 = 1 << 30;

#[derive(Clone, Debug)]
enum Event {
    /// For one life of a node.
    Input(usize, u32, Box<Input<ControllerTimer, ControllerCall>>),
    Timer(usize, u32, ControllerTimer),
    Flushed(usize, u32, FlushId, FlushExtent),
    Register(usize),
    Fault(Fault),
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    Kill(usize),
    PowerLoss(usize),
    Restart(usize),
    Cut(usize),
    Heal(usize),
}

struct Node {
    life: u32,
    controller: Option<Controller>,
    disk: Disk,
    cut: bool,
    timers: BTreeMap<ControllerTimer, SimTime>,
    /// How much of its committed log has been checked.
    checked: usize,
}

struct Link {
    client: usize,
    server: usize,
    /// The server has a request in hand; the rest waits.
    busy: bool,
    waiting: VecDeque<(CorrelationId, Box<Request>)>,
}

struct Network {
    version: &'static str,
    now: SimTime,
    rng: NodeRng,
    outbox: Outbox<ControllerTimer, NoReport>,
    nodes: Vec<Node>,
    links: BTreeMap<ConnectionId, Link>,
    queue: BTreeMap<(SimTime, u64), Event>,
    sequence: u64,
    leaders: BTreeMap<ControllerEpoch, ControllerId>,
    committed: Vec<Arc<MetadataEntry>>,
    registrations: u32,
    acknowledged: Vec<BrokerEpoch>,
    stated: Vec<BrokerEpoch>,
}

impl Network {
    fn new(version: &'static str, seed: u64) -> Network {
        let node = || Node {
            life: 0,
            controller: None,
            disk: Disk::default(),
            cut: false,
            timers: BTreeMap::new(),
            checked: 0,
        };
        let mut network = Network {
            version,
            now: SimTime::ZERO,
            rng: NodeRng::for_test(seed),
            outbox: Outbox::default(),
            nodes: (0..NODES).map(|_| node()).collect(),
            links: BTreeMap::new(),
            queue: BTreeMap::new(),
            sequence: 0,
            leaders: BTreeMap::new(),
            committed: Vec::new(),
            registrations: 0,
            acknowledged: Vec::new(),
            stated: Vec::new(),
        };
        (0..NODES).for_each(|node| network.start(node));
        network
    }

    fn push(&mut self, at: SimTime, event: Event) {
        self.sequence += 1;
        self.queue.insert((at, self.sequence), event);
    }

    fn input(&mut self, node: usize, input: Input<ControllerTimer, ControllerCall>) {
        let life = self.nodes[node].life;
        self.push(self.now + LATENCY, Event::Input(node, life, Box::new(input)));
    }

    fn start(&mut self, index: usize) {
        let Network { now, rng, outbox, nodes, version, .. } = self;
        let node = &mut nodes[index];
        if node.controller.is_some() {
            return;
        }
        node.life += 1;
        let id = index as u16 + 1;
        let mut cx = Cx::new(*now, NodeId(id), rng, &mut node.disk, outbox);
        let controller = Controller::boot(&mut cx, setup(id, NODES as u16, version, &[]));
        node.controller = Some(controller);
        self.after(index);
    }

    fn stop(&mut self, index: usize) {
        self.nodes[index].controller = None;
        self.nodes[index].timers.clear();
        self.nodes[index].life += 1;
        self.nodes[index].checked = 0;
        self.reset_links(index);
    }

    fn reset_links(&mut self, index: usize) {
        let touches = |link: &Link| link.client == index || link.server == index;
        let broken: Vec<_> =
            self.links.iter().filter(|(_, link)| touches(link)).map(|(&id, _)| id).collect();
        for id in broken {
            let link = self.links.remove(&id).unwrap();
            self.input(link.client, Input::Closed(id, CloseReason::Reset));
            self.input(link.server, Input::Closed(id, CloseReason::Reset));
        }
    }

    fn handle(&mut self, index: usize, input: Input<ControllerTimer, ControllerCall>) {
        let Network { now, rng, outbox, nodes, .. } = self;
        let node = &mut nodes[index];
        let Some(controller) = &mut node.controller else { return };
        let id = NodeId(index as u16 + 1);
        controller.handle(&mut Cx::new(*now, id, rng, &mut node.disk, outbox), input);
        self.after(index);
    }

    /// Applies effects, takes in facts, checks what must always hold.
    fn after(&mut self, index: usize) {
        for (_, fact) in std::mem::take(&mut self.outbox.facts) {
            match fact {
                TraceEvent::ControllerElected { controller, epoch } => {
                    let earlier = self.leaders.insert(epoch, controller);
                    assert_eq!(earlier, None, "two leaders of epoch {epoch}");
                }
                TraceEvent::BrokerRegistered { broker_epoch, .. } => self.stated.push(broker_epoch),
                _ => {}
            }
        }
        for effect in std::mem::take(&mut self.outbox.effects) {
            self.apply(index, effect);
        }
        self.check_log(index);
    }

    fn apply(&mut self, index: usize, effect: Effect<ControllerTimer, NoReport>) {
        let life = self.nodes[index].life;
        match effect {
            Effect::SetTimer(timer, at) => {
                self.nodes[index].timers.insert(timer, at);
                self.push(at, Event::Timer(index, life, timer));
            }
            Effect::CancelTimer(timer) => _ = self.nodes[index].timers.remove(&timer),
            Effect::Flush(id, target) => {
                let extent = self.nodes[index].disk.extent(target);
                self.push(self.now + FLUSH, Event::Flushed(index, life, id, extent));
            }
            Effect::Connect(id, endpoint) => {
                let server = usize::from(endpoint.node.0) - 1;
                if self.nodes[index].cut || self.nodes[server].cut {
                    return;
                }
                if self.nodes[server].controller.is_none() {
                    return self.input(index, Input::Closed(id, CloseReason::Refused));
                }
                let link = Link { client: index, server, busy: false, waiting: VecDeque::new() };
                self.links.insert(id, link);
                self.input(index, Input::Connected(id));
            }
            Effect::Close(id) => {
                if let Some(link) = self.links.remove(&id) {
                    self.input(link.server, Input::Closed(id, CloseReason::ClosedByPeer));
                }
            }
            Effect::Send(id, frame) => self.send(index, id, frame),
            Effect::NoResponse(_) | Effect::Report(_) | Effect::Exit { .. } => unreachable!(),
        }
    }

    fn send(&mut self, index: usize, id: ConnectionId, frame: Frame) {
        if id.0 >= FIRST_CLIENT_CONNECTION {
            return self.on_client_response(frame);
        }
        let Some(link) = self.links.get_mut(&id) else { return };
        if self.nodes[link.client].cut || self.nodes[link.server].cut {
            return;
        }
        match frame {
            Frame::Request(correlation, request) => {
                link.waiting.push_back((correlation, request));
            }
            Frame::Response(correlation, response) => {
                assert_eq!(link.server, index, "the server answers");
                link.busy = false;
                let (connection, client) = (id, link.client);
                self.input(client, Input::Response { connection, correlation, response });
            }
        }
        self.deliver_next(id);
    }

    fn deliver_next(&mut self, id: ConnectionId) {
        let Some(link) = self.links.get_mut(&id).filter(|link| !link.busy) else { return };
        let Some((correlation, request)) = link.waiting.pop_front() else { return };
        link.busy = true;
        let (server, from) = (link.server, NodeId(link.client as u16 + 1));
        self.input(server, Input::Request { connection: id, correlation, from, request });
    }

    fn on_client_response(&mut self, frame: Frame) {
        let Frame::Response(_, response) = frame else { panic!("nobody asks the client") };
        match *response {
            Response::BrokerRegistration(response) if response.error.is_none() => {
                self.acknowledged.push(response.broker_epoch);
            }
            Response::BrokerRegistration(response) => {
                assert_eq!(response.error, ErrorCode::NotController);
            }
            other => panic!("{other:?}"),
        }
    }

    /// Another broker registers with this controller.
    fn register(&mut self, node: usize) {
        self.registrations += 1;
        let number = self.registrations;
        let request = Request::BrokerRegistration(BrokerRegistrationRequest {
            broker: BrokerId(number as u16),
            incarnation: Incarnation(0),
            node: NodeId(100),
            previous_broker_epoch: None,
        });
        let connection = ConnectionId(FIRST_CLIENT_CONNECTION + number);
        let (correlation, from) = (CorrelationId(0), NodeId(100));
        let request = Box::new(request);
        self.handle(node, Input::Request { connection, correlation, from, request });
    }

    fn fault(&mut self, fault: Fault) {
        match fault {
            Fault::Kill(node) => self.stop(node),
            Fault::PowerLoss(node) => {
                self.stop(node);
                self.nodes[node].disk.lose_power(self.now);
            }
            Fault::Restart(node) => self.start(node),
            Fault::Cut(node) => self.nodes[node].cut = true,
            Fault::Heal(node) => {
                self.nodes[node].cut = false;
                self.reset_links(node);
            }
        }
    }

    fn run_until(&mut self, end: SimTime) {
        while let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= end) {
            self.now = entry.key().0;
            let event = entry.remove();
            match event {
                Event::Input(node, life, input) if self.nodes[node].life == life => {
                    self.handle(node, *input);
                }
                Event::Timer(node, life, timer) if self.nodes[node].life == life => {
                    if self.nodes[node].timers.get(&timer) == Some(&self.now) {
                        self.nodes[node].timers.remove(&timer);
                        self.handle(node, Input::Timer(timer));
                    }
                }
                Event::Flushed(node, life, id, extent) if self.nodes[node].life == life => {
                    self.nodes[node].disk.mark_flushed(FlushTarget::MetadataLog, extent);
                    self.handle(node, Input::Flushed(id));
                }
                Event::Input(..) | Event::Timer(..) | Event::Flushed(..) => {}
                Event::Register(node) => self.register(node),
                Event::Fault(fault) => self.fault(fault),
            }
        }
        self.now = end;
    }

    /// What one node takes for committed is what every node has ever taken for committed.
    fn check_log(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        let Some(controller) = &node.controller else { return };
        let end = controller.quorum.high_watermark().0 as usize;
        for entry in &node.disk.metadata_log.entries()[node.checked.min(end)..end] {
            match self.committed.get(entry.offset.0 as usize) {
                Some(known) => assert_eq!(known, entry, "a committed entry has changed"),
                None => self.committed.push(entry.clone()),
            }
        }
        node.checked = node.checked.max(end);
    }

    fn active(&self) -> Vec<usize> {
        let is_active =
            |node: &usize| self.nodes[*node].controller.as_ref().is_some_and(Controller::is_active);
        (0..NODES).filter(is_active).collect()
    }

    /// All faults are over: the quorum must come to rest, and then nothing may be missing.
    fn check_end(&mut self) {
        for node in 0..NODES {
            self.fault(Fault::Heal(node));
            self.start(node);
        }
        self.run_until(self.now + SimDuration::from_secs(30));
        let active = self.active();
        assert_eq!(active.len(), 1, "one active controller: {active:?}");
        let acknowledged = self.acknowledged.len();
        self.register(active[0]);
        self.run_until(self.now + SimDuration::from_secs(2));
        assert_eq!(self.acknowledged.len(), acknowledged + 1, "it works");

        let mut registered: Vec<BrokerEpoch> = Vec::new();
        for record in self.committed.iter().flat_map(|entry| &entry.records) {
            if let MetadataRecord::RegisterBroker { broker_epoch, .. } = record {
                registered.push(*broker_epoch);
            }
        }
        for epoch in &self.acknowledged {
            assert!(registered.contains(epoch), "acknowledged registration {epoch} was lost");
        }
        assert_eq!(self.stated, registered, "every committed registration is stated, once");
        for node in &self.nodes {
            assert_eq!(node.disk.metadata_log.entries(), self.committed);
            let view = node.controller.as_ref().unwrap().view();
            assert_eq!(view.brokers.len(), registered.len());
        }
    }
}

#[test]
fn a_quorum_elects_one_leader_and_replicates() {
    for version in ["3.9", "4.0", "4.1"] {
        let mut network = Network::new(version, 1);
        network.run_until(SimTime::from_millis(5_000));
        assert_eq!(network.active().len(), 1, "{version}");
        network.check_end();
        assert_eq!(network.leaders.len(), 1, "{version}: {:?}", network.leaders);
    }
}

#[test]
fn another_controller_takes_over_when_the_active_one_dies_or_is_cut_off() {
    for fault in [Fault::Kill as fn(usize) -> Fault, Fault::PowerLoss, Fault::Cut] {
        let mut network = Network::new("3.9", 2);
        network.run_until(SimTime::from_millis(5_000));
        let first = network.active()[0];
        network.fault(fault(first));
        network.run_until(SimTime::from_millis(13_000));
        let second = network.active();
        assert_eq!(second.len(), 1, "the old one has resigned: {second:?}");
        assert_ne!(second[0], first);
        network.check_end();
    }
}

#[test]
fn only_without_pre_vote_does_a_voter_that_was_cut_off_depose_the_leader() {
    for (version, deposed) in [("3.9", true), ("4.0", false)] {
        let mut network = Network::new(version, 3);
        network.run_until(SimTime::from_millis(5_000));
        let leaders = network.leaders.len();
        let standby = (network.active()[0] + 1) % NODES;
        network.fault(Fault::Cut(standby));
        network.run_until(SimTime::from_millis(20_000));
        assert_eq!(network.leaders.len(), leaders);
        network.check_end();
        assert_eq!(network.leaders.len() > leaders, deposed, "{version}");
    }
}

fn any_fault() -> impl Strategy<Value = Fault> {
    (0..NODES, 0..7).prop_map(|(node, kind)| match kind {
        0 => Fault::Kill(node),
        1 => Fault::PowerLoss(node),
        2 | 3 => Fault::Restart(node),
        4 => Fault::Cut(node),
        _ => Fault::Heal(node),
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 96,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_fault_costs_a_committed_entry(
        seed in 0_u64..1_000,
        version in prop::sample::select(vec!["3.9", "4.0", "4.1"]),
        faults in prop::collection::vec((0_i64..30_000, any_fault()), 0..24),
        registrations in prop::collection::vec((0_i64..30_000, 0..NODES), 0..60),
    ) {
        let mut network = Network::new(version, seed);
        for (at, fault) in faults {
            network.push(SimTime::from_millis(at), Event::Fault(fault));
        }
        for (at, node) in registrations {
            network.push(SimTime::from_millis(at), Event::Register(node));
        }
        network.run_until(SimTime::from_millis(31_000));
        network.check_end();
    }
}
