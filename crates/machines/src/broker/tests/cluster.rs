//! Three brokers, a plain network and a controller of a few lines, under kills: what was acked with
//! acks=all stays, and the logs end up equal.

use super::rig::*;
use crate::broker::{Broker, BrokerMode, BrokerSetup, BrokerTimer, NoReport};
use crate::disk::Disk;
use crate::machine::{Cx, Effect, Input, Machine, Outbox};
use crate::rng::NodeRng;
use acklab_vocab::api::*;
use acklab_vocab::config::TopicConfig;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::*;
use acklab_vocab::metadata_log::{MetadataEntry, MetadataRecord, PartitionState};
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::CloseReason;
use proptest::prelude::*;
use smallvec::smallvec;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const LATENCY: SimDuration = SimDuration::from_millis(1);
const CONTROLLER: NodeId = NodeId(100);
const CLIENT: NodeId = NodeId(200);

/// One end of a connection: a process, its life, and its name for the connection.
type End = (NodeId, u32, ConnectionId);

enum Event {
    Input(NodeId, u32, Input<BrokerTimer, crate::broker::BrokerCall>),
    Timer(NodeId, u32, BrokerTimer),
    /// A frame arrives at the controller or the client.
    Arrived(End, End, Frame),
    Kill(NodeId),
    Start(NodeId),
    Produce(u32),
    /// A metadata fetch has waited long enough.
    PollExpired(End, CorrelationId),
}

struct Node {
    broker: Option<Broker>,
    life: u32,
    disk: Disk,
    outbox: Outbox<BrokerTimer, NoReport>,
    rng: NodeRng,
    timers: BTreeMap<BrokerTimer, SimTime>,
}

struct Cluster {
    now: SimTime,
    sequence: u64,
    events: BTreeMap<(SimTime, u64), Event>,
    nodes: Vec<Node>,
    peers: BTreeMap<End, End>,
    next_name: u32,
    log: Vec<Arc<MetadataEntry>>,
    parked: Vec<(End, End, CorrelationId, u64)>,
    state: PartitionState,
    fenced: BTreeSet<BrokerId>,
    acked: BTreeSet<u32>,
    handled: u64,
}

impl Cluster {
    fn new() -> Cluster {
        let state = PartitionState {
            partition: ORDERS,
            replicas: brokers(&[1, 2, 3]),
            isr: brokers(&[1, 2, 3]),
            eligible: BrokerList::new(),
            leader: None,
            leader_epoch: LeaderEpoch(0),
            partition_epoch: PartitionEpoch(0),
            recovering: false,
        };
        let node = |id| Node {
            broker: None,
            life: 0,
            disk: Disk::default(),
            outbox: Outbox::default(),
            rng: NodeRng::for_test(id),
            timers: BTreeMap::new(),
        };
        let mut cluster = Cluster {
            now: SimTime::ZERO,
            sequence: 0,
            events: BTreeMap::new(),
            nodes: (0..4).map(node).collect(),
            peers: BTreeMap::new(),
            next_name: 1_000_000,
            log: Vec::new(),
            parked: Vec::new(),
            state,
            fenced: (1..=3).map(BrokerId).collect(),
            acked: BTreeSet::new(),
            handled: 0,
        };
        for id in 1..=3 {
            cluster.schedule(SimDuration::ZERO, Event::Start(NodeId(id)));
        }
        cluster
    }

    fn schedule(&mut self, after: SimDuration, event: Event) {
        self.sequence += 1;
        self.events.insert((self.now + after, self.sequence), event);
    }

    fn run_until(&mut self, end: SimTime) {
        while let Some(entry) = self.events.first_entry() {
            if entry.key().0 > end {
                break;
            }
            let ((at, _), event) = entry.remove_entry();
            self.now = at;
            self.handled += 1;
            self.handle(event);
        }
        self.now = end;
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Input(node, life, input) => self.give(node, life, input),
            Event::Timer(node, life, timer) => {
                let due = self.nodes[usize::from(node.0)].timers.get(&timer) == Some(&self.now);
                if due {
                    self.nodes[usize::from(node.0)].timers.remove(&timer);
                    self.give(node, life, Input::Timer(timer));
                }
            }
            Event::Arrived(from, to, frame) => self.on_frame(from, to, frame),
            Event::Kill(node) => self.kill(node),
            Event::Start(node) => self.start(node),
            Event::Produce(sequence) => self.produce(sequence),
            Event::PollExpired(own, correlation) => {
                let is_it =
                    |poll: &(End, End, CorrelationId, u64)| (poll.0, poll.2) == (own, correlation);
                if let Some(at) = self.parked.iter().position(is_it) {
                    let (own, _, correlation, offset) = self.parked.remove(at);
                    self.answer_metadata_fetch(own, correlation, offset);
                }
            }
        }
    }

    fn give(
        &mut self,
        node: NodeId,
        life: u32,
        input: Input<BrokerTimer, crate::broker::BrokerCall>,
    ) {
        let now = self.now;
        // The controller and the client have no use for connections that end.
        let Some(to) = self.nodes.get_mut(usize::from(node.0)) else { return };
        let Node { broker, life: alive, disk, outbox, rng, .. } = to;
        let Some(broker) = broker.as_mut().filter(|_| *alive == life) else { return };
        broker.handle(&mut Cx::new(now, node, rng, disk, outbox), input);
        self.apply(node, life);
    }

    fn start(&mut self, id: NodeId) {
        let now = self.now;
        let node = &mut self.nodes[usize::from(id.0)];
        node.life += 1;
        node.timers.clear();
        let setup = BrokerSetup {
            coordination: Arc::default(),
            id: BrokerId(id.0),
            config: Arc::new(config()),
            topics: Arc::from([TopicConfig { min_insync_replicas: 2, ..topic() }]),
            mode: BrokerMode::KRaft {
                voters: vec![(
                    ControllerId(1),
                    Endpoint { node: CONTROLLER, listener: Listener::Controller },
                )],
            },
            incarnation: Incarnation(node.life),
        };
        let Node { disk, outbox, rng, .. } = node;
        let broker = Broker::boot(&mut Cx::new(now, id, rng, disk, outbox), setup);
        node.broker = Some(broker);
        let life = node.life;
        self.apply(id, life);
    }

    fn kill(&mut self, id: NodeId) {
        self.nodes[usize::from(id.0)].broker = None;
        let ends: Vec<End> = self.peers.keys().copied().filter(|end| end.0 == id).collect();
        for end in ends {
            self.disconnect(end, CloseReason::Reset);
        }
        self.parked.retain(|(_, broker, ..)| broker.0 != id);
        self.fence(BrokerId(id.0));
    }

    fn disconnect(&mut self, end: End, reason: CloseReason) {
        if let Some(peer) = self.peers.remove(&end) {
            self.peers.remove(&peer);
            let input = Input::Closed(peer.2, reason);
            self.schedule(LATENCY, Event::Input(peer.0, peer.1, input));
        }
    }

    fn life(&self, node: NodeId) -> Option<u32> {
        match self.nodes.get(usize::from(node.0)) {
            Some(node) => node.broker.as_ref().map(|_| node.life),
            None => Some(0),
        }
    }

    fn apply(&mut self, id: NodeId, life: u32) {
        let outbox = &mut self.nodes[usize::from(id.0)].outbox;
        outbox.facts.clear();
        for effect in std::mem::take(&mut outbox.effects) {
            match effect {
                Effect::Connect(connection, to) => {
                    let end = (id, life, connection);
                    let input = match self.life(to.node) {
                        Some(peer_life) => {
                            self.next_name += 1;
                            let peer = (to.node, peer_life, ConnectionId(self.next_name));
                            self.peers.insert(end, peer);
                            self.peers.insert(peer, end);
                            Input::Connected(connection)
                        }
                        None => Input::Closed(connection, CloseReason::Refused),
                    };
                    self.schedule(LATENCY, Event::Input(id, life, input));
                }
                Effect::Send(connection, frame) => self.send((id, life, connection), frame),
                Effect::Close(connection) => {
                    self.disconnect((id, life, connection), CloseReason::ClosedByPeer);
                }
                Effect::SetTimer(timer, at) => {
                    self.nodes[usize::from(id.0)].timers.insert(timer, at);
                    self.schedule(at.since(self.now), Event::Timer(id, life, timer));
                }
                Effect::CancelTimer(timer) => {
                    self.nodes[usize::from(id.0)].timers.remove(&timer);
                }
                Effect::Flush(flush, _) => {
                    self.schedule(LATENCY, Event::Input(id, life, Input::Flushed(flush)));
                }
                Effect::NoResponse(_) | Effect::Exit { .. } => {}
                Effect::Report(never) => match never {},
            }
        }
    }

    fn send(&mut self, from: End, frame: Frame) {
        let Some(&to) = self.peers.get(&from) else { return };
        if to.0 == CONTROLLER || to.0 == CLIENT {
            self.schedule(LATENCY, Event::Arrived(from, to, frame));
            return;
        }
        let (connection, from) = (to.2, from.0);
        let input = match frame {
            Frame::Request(correlation, request) => {
                Input::Request { connection, correlation, from, request }
            }
            Frame::Response(correlation, response) => {
                Input::Response { connection, correlation, response }
            }
        };
        self.schedule(LATENCY, Event::Input(to.0, to.1, input));
    }

    fn produce(&mut self, sequence: u32) {
        let Some(leader) = self.state.leader.map(|leader| NodeId(leader.0)) else { return };
        let Some(life) = self.life(leader) else { return };
        self.next_name += 1;
        let own = (CLIENT, 0, ConnectionId(self.next_name));
        let its = (leader, life, ConnectionId(self.next_name + 1));
        self.next_name += 1;
        self.peers.insert(own, its);
        self.peers.insert(its, own);
        let request = Request::Produce(ProduceRequest {
            transactional_id: None,
            transaction_support: TransactionSupport::default(),
            acks: Acks::All,
            timeout: ms(30_000),
            partitions: smallvec![PartitionProduce {
                partition: ORDERS,
                batch: batch(sequence, 1)
            }],
        });
        self.send(own, Frame::Request(CorrelationId(sequence), Box::new(request)));
    }

    fn on_frame(&mut self, broker: End, own: End, frame: Frame) {
        match frame {
            Frame::Response(correlation, response) => {
                let Response::Produce(answer) = *response else { return };
                if answer.partitions[0].error.is_none() {
                    self.acked.insert(correlation.0);
                }
            }
            Frame::Request(correlation, request) => {
                if let Some(response) = self.control(broker, own, correlation, *request) {
                    self.send(own, Frame::Response(correlation, Box::new(response)));
                }
            }
        }
    }

    /// The controller.
    fn control(
        &mut self,
        broker: End,
        own: End,
        correlation: CorrelationId,
        request: Request,
    ) -> Option<Response> {
        let controller =
            KnownController { leader: Some(ControllerId(1)), epoch: ControllerEpoch(1) };
        let id = BrokerId(broker.0.0);
        match request {
            Request::BrokerRegistration(registration) => {
                let broker_epoch = BrokerEpoch(self.log.len() as u64);
                self.fence(id);
                self.commit(vec![MetadataRecord::RegisterBroker {
                    broker: id,
                    incarnation: registration.incarnation,
                    broker_epoch,
                    node: broker.0,
                }]);
                let error = ErrorCode::None;
                Some(Response::BrokerRegistration(BrokerRegistrationResponse {
                    error,
                    broker_epoch,
                    controller,
                }))
            }
            Request::BrokerHeartbeat(heartbeat) => {
                let is_caught_up = heartbeat.current_metadata_offset.0 > heartbeat.broker_epoch.0;
                if is_caught_up && !heartbeat.want_fence && self.fenced.remove(&id) {
                    self.commit(vec![MetadataRecord::BrokerRegistrationChange {
                        broker: id,
                        broker_epoch: heartbeat.broker_epoch,
                        fenced: false,
                        in_controlled_shutdown: false,
                    }]);
                    self.elect();
                }
                Some(Response::BrokerHeartbeat(BrokerHeartbeatResponse {
                    error: ErrorCode::None,
                    is_caught_up,
                    is_fenced: self.fenced.contains(&id),
                    should_shut_down: false,
                    controller,
                }))
            }
            Request::QuorumFetch(fetch) => {
                self.parked.push((own, broker, correlation, fetch.fetch_offset.0));
                self.schedule(fetch.max_wait, Event::PollExpired(own, correlation));
                self.answer_metadata_fetches();
                None
            }
            Request::AlterPartition(alter) => Some(self.alter(&alter, controller)),
            other => panic!("{other:?}"),
        }
    }

    fn alter(&mut self, alter: &AlterPartitionRequest, controller: KnownController) -> Response {
        let asked = &alter.partitions[0];
        let error = if asked.leader_epoch < self.state.leader_epoch {
            ErrorCode::FencedLeaderEpoch
        } else if asked.partition_epoch < self.state.partition_epoch {
            ErrorCode::InvalidUpdateVersion
        } else if asked.new_isr.iter().any(|(member, _)| self.fenced.contains(member)) {
            ErrorCode::IneligibleReplica
        } else {
            self.state.isr = asked.new_isr.iter().map(|&(member, _)| member).collect();
            self.state.partition_epoch.0 += 1;
            self.commit(vec![MetadataRecord::PartitionChange(self.state.clone())]);
            ErrorCode::None
        };
        let PartitionState { partition, leader, leader_epoch, isr, partition_epoch, .. } =
            self.state.clone();
        let answer =
            PartitionAlterResponse { partition, error, leader, leader_epoch, isr, partition_epoch };
        let error = ErrorCode::None;
        let partitions = vec![answer];
        Response::AlterPartition(AlterPartitionResponse { error, partitions, controller })
    }

    fn fence(&mut self, broker: BrokerId) {
        self.fenced.insert(broker);
        if self.state.isr.len() > 1 {
            self.state.isr.retain(|member| *member != broker);
        }
        if self.state.leader == Some(broker) {
            self.state.leader = None;
        }
        self.elect();
    }

    fn elect(&mut self) {
        if self.state.leader.is_none() {
            let fenced = &self.fenced;
            let isr = &self.state.isr;
            let may_lead = |broker: &&BrokerId| !fenced.contains(broker) && isr.contains(broker);
            self.state.leader = self.state.replicas.iter().find(may_lead).copied();
            self.state.leader_epoch.0 += 1;
        }
        self.state.partition_epoch.0 += 1;
        self.commit(vec![MetadataRecord::PartitionChange(self.state.clone())]);
    }

    fn commit(&mut self, records: Vec<MetadataRecord>) {
        let offset = MetadataOffset(self.log.len() as u64);
        self.log.push(Arc::new(MetadataEntry { offset, epoch: ControllerEpoch(1), records }));
        self.answer_metadata_fetches();
    }

    fn answer_metadata_fetches(&mut self) {
        let end = self.log.len() as u64;
        let (due, parked) = std::mem::take(&mut self.parked)
            .into_iter()
            .partition(|&(_, _, _, offset)| offset < end);
        self.parked = parked;
        for (own, _, correlation, offset) in due {
            self.answer_metadata_fetch(own, correlation, offset);
        }
    }

    fn answer_metadata_fetch(&mut self, own: End, correlation: CorrelationId, offset: u64) {
        let response = Response::QuorumFetch(QuorumFetchResponse {
            error: ErrorCode::None,
            controller: KnownController {
                leader: Some(ControllerId(1)),
                epoch: ControllerEpoch(1),
            },
            high_watermark: MetadataOffset(self.log.len() as u64),
            diverging: None,
            entries: self.log[offset as usize..].to_vec(),
        });
        self.send(own, Frame::Response(correlation, Box::new(response)));
    }

    /// The records in a broker's log, in order.
    fn records(&self, node: usize) -> Vec<u32> {
        let disk = &self.nodes[node].disk;
        let logs = disk.logs().flat_map(|(_, id)| disk.log(id).batches());
        logs.flat_map(|batch| batch.records()).map(|record| record.id.sequence).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 48,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_was_acked_by_all_survives_kills_and_the_logs_end_up_equal(
        kills in prop::collection::vec((1_000_u64..20_000, 1_u16..=3, 1_u64..4_000), 0..8),
    ) {
        let mut cluster = Cluster::new();
        for (at, broker, down) in kills {
            cluster.schedule(ms(at), Event::Kill(NodeId(broker)));
            cluster.schedule(ms(at + down), Event::Start(NodeId(broker)));
        }
        for sequence in 0..2_000_u32 {
            cluster.schedule(ms(500 + u64::from(sequence) * 10), Event::Produce(sequence));
        }
        cluster.run_until(at_ms(120_000));
        let logs: Vec<Vec<u32>> = (1..=3).map(|node| cluster.records(node)).collect();
        prop_assert_eq!(&logs[0], &logs[1]);
        prop_assert_eq!(&logs[0], &logs[2]);
        let stored: BTreeSet<u32> = logs[0].iter().copied().collect();
        prop_assert!(cluster.acked.is_subset(&stored));
        prop_assert!(cluster.acked.len() > 100);
        for node in &cluster.nodes[1..] {
            prop_assert!(node.broker.as_ref().is_some_and(Broker::is_settled));
        }
        prop_assert!(cluster.handled < 60_000, "no spinning: {}", cluster.handled);
    }
}
