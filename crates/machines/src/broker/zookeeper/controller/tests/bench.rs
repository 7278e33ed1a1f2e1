//! Broker 1 on a bench with a ZooKeeper of one session, which answers when the test wants, and
//! brokers that only listen.

use super::tree::Tree;
use crate::broker::{
    Broker, BrokerCall, BrokerMode, BrokerSetup, BrokerTimer, Coordination, NoReport,
};
use crate::disk::Disk;
use crate::machine::{Cx, Effect, Input, Machine, Outbox};
use crate::rng::NodeRng;
use acklab_vocab::api::*;
use acklab_vocab::config::TopicConfig;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::*;
use acklab_vocab::metadata_log::PartitionState;
use acklab_vocab::properties::broker_config;
use acklab_vocab::rules::ProtocolRules;
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::{CloseReason, PartitionChangeReason, TraceEvent};
use acklab_vocab::zookeeper::{
    CreateMode, SessionId, WatchEvent, ZnodeData, ZnodePath, ZooKeeperError, paths,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

const ZOOKEEPER: Endpoint = Endpoint { node: NodeId(50), listener: Listener::ZooKeeper };
/// The session of everybody else.
pub const OTHERS: SessionId = SessionId(99);
/// Where requests to broker 1 come in.
pub const CLIENT: ConnectionId = ConnectionId(9_000);

pub const fn tp(partition: u16) -> TopicPartition {
    TopicPartition::new(0, partition)
}

pub fn brokers(ids: &[u16]) -> BrokerList {
    ids.iter().map(|id| BrokerId(*id)).collect()
}

/// A state in which brokers 1 to 3 have replicas.
pub fn state(
    partition: u16,
    leader: Option<u16>,
    isr: &[u16],
    epochs: (u32, u32),
) -> PartitionState {
    PartitionState {
        partition: tp(partition),
        replicas: brokers(&[1, 2, 3]),
        isr: brokers(isr),
        eligible: BrokerList::new(),
        leader: leader.map(BrokerId),
        leader_epoch: LeaderEpoch(epochs.0),
        partition_epoch: PartitionEpoch(epochs.1),
        recovering: false,
    }
}

/// What is told to a broker, in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    LeaderAndIsr(u16, Vec<PartitionState>),
    /// The live brokers, and the partitions.
    Metadata(u16, Vec<u16>, Vec<PartitionState>),
    Stop(u16, Vec<TopicPartition>),
}

pub struct Bench {
    pub broker: Broker,
    pub tree: Tree,
    pub now: SimTime,
    disk: Disk,
    rng: NodeRng,
    outbox: Outbox<BrokerTimer, NoReport>,
    timers: BTreeMap<BrokerTimer, SimTime>,
    zookeeper: Option<ConnectionId>,
    session: u64,
    /// The next handshake tells that the session has expired.
    expired: bool,
    /// Requests to ZooKeeper that are not answered.
    pub asked: VecDeque<(CorrelationId, ZooKeeperRequest)>,
    /// Most requests that ever waited at once.
    pub most_asked: usize,
    channels: BTreeMap<ConnectionId, u16>,
    /// Brokers that do not answer: what they were told last waits.
    pub silent: BTreeSet<u16>,
    /// Connections to brokers that are silent, with what waits there.
    pub unanswered: Vec<(ConnectionId, CorrelationId, u16)>,
    pub told: Vec<(u16, Request)>,
    /// What broker 1 has answered to requests.
    pub answers: Vec<Response>,
}

impl Bench {
    /// A broker that has just been started in an empty ZooKeeper.
    pub fn new(version: &str) -> Bench {
        Bench::with(version, &[], false)
    }

    /// The same, with properties; `unclean`: the topic's `unclean.leader.election.enable`.
    pub fn with(version: &str, properties: &[(&str, &str)], unclean: bool) -> Bench {
        let version = version.parse().expect("a version");
        let properties: Vec<_> =
            properties.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let config = broker_config(version, ProtocolRules::of(version), &properties).expect("good");
        let topic = TopicConfig {
            min_insync_replicas: 1,
            unclean_leader_election: unclean,
            max_message_bytes: 1_048_588,
            segment_bytes: 1 << 30,
            flush_messages: u64::MAX,
            flush_interval: SimDuration::MAX,
        };
        let setup = BrokerSetup {
            id: BrokerId(1),
            config: Arc::new(config),
            topics: vec![topic].into(),
            coordination: Arc::new(Coordination::default()),
            mode: BrokerMode::ZooKeeper { servers: vec![ZOOKEEPER] },
            incarnation: Incarnation(0),
        };
        let (mut rng, mut disk) = (NodeRng::for_test(1), Disk::default());
        let mut outbox = Outbox::default();
        let mut cx = Cx::new(SimTime::from_millis(0), NodeId(1), &mut rng, &mut disk, &mut outbox);
        let broker = Broker::boot(&mut cx, setup);
        let effects = std::mem::take(&mut outbox.effects);
        let mut bench = Bench {
            broker,
            tree: Tree::default(),
            now: SimTime::from_millis(0),
            disk,
            rng,
            outbox,
            timers: BTreeMap::new(),
            zookeeper: None,
            session: 1,
            expired: false,
            asked: VecDeque::new(),
            most_asked: 0,
            channels: BTreeMap::new(),
            silent: BTreeSet::new(),
            unanswered: Vec::new(),
            told: Vec::new(),
            answers: Vec::new(),
        };
        bench.play(effects);
        // The client connects after a pause of its own.
        while bench.zookeeper.is_none() {
            bench.let_zookeeper_client_go_on();
        }
        bench
    }

    /// A broker that is the controller of a cluster of brokers 1 to 3; nothing is left to be
    /// answered.
    pub fn in_office(version: &str, states: &[PartitionState]) -> Bench {
        Bench::new(version).taken_into_office(states)
    }

    pub fn taken_into_office(mut self, states: &[PartitionState]) -> Bench {
        self.set_up(&[2, 3], states);
        self.answer_all();
        assert!(self.broker.is_controller());
        self.told.clear();
        self.facts();
        self
    }

    /// Other brokers, and a topic with these states.
    pub fn set_up(&mut self, others: &[u16], states: &[PartitionState]) {
        for path in paths::top_level() {
            self.tree.create(path, ZnodeData::Empty, None);
        }
        for id in others {
            self.register(*id, 0);
        }
        if !states.is_empty() {
            let assignments: Vec<_> = states.iter().map(|it| it.replicas.clone()).collect();
            let data = ZnodeData::Topic { topic: TopicId(0), assignments: assignments.into() };
            self.tree.create(paths::topic(TopicId(0)), data, None);
            self.tree.create(paths::partitions(TopicId(0)), ZnodeData::Empty, None);
        }
        for state in states {
            self.tree.create(paths::partition(state.partition), ZnodeData::Empty, None);
            let data = partition_data(state.clone(), 0);
            self.tree.create(paths::partition_state(state.partition), data, None);
        }
    }

    /// Another broker registers: its life `incarnation`.
    pub fn register(&mut self, id: u16, incarnation: u32) {
        let data = ZnodeData::Broker {
            broker: BrokerId(id),
            node: NodeId(id),
            incarnation: Incarnation(incarnation),
        };
        self.tree.create(paths::broker(BrokerId(id)), data, Some(OTHERS));
        self.deliver_watches();
    }

    /// Another broker is gone.
    pub fn bury(&mut self, id: u16) {
        self.tree.delete(&paths::broker(BrokerId(id)));
        self.deliver_watches();
    }

    /// Another controller has been elected: it raises the epoch.
    pub fn usurp(&mut self, id: u16) {
        let epoch = match &self.tree.get(&paths::controller_epoch()).expect("an epoch").0 {
            ZnodeData::ControllerEpoch(epoch) => epoch.0 + 1,
            other => panic!("{other:?}"),
        };
        self.tree.delete(&paths::controller());
        let data = ZnodeData::Controller { broker: BrokerId(id) };
        self.tree.create(paths::controller(), data, Some(OTHERS));
        let data = ZnodeData::ControllerEpoch(ControllerEpoch(epoch));
        self.tree.write(&paths::controller_epoch(), data);
    }

    /// Somebody else writes a state; its version rises.
    pub fn write_state(&mut self, state: PartitionState, controller_epoch: u32) {
        let path = paths::partition_state(state.partition);
        self.tree.write(&path, partition_data(state, controller_epoch));
    }

    /// The state in ZooKeeper, with its version, the epoch of its controller, and why it was
    /// written.
    pub fn stored(&self, partition: u16) -> (PartitionState, u32, PartitionChangeReason) {
        let (data, stat) = self.tree.get(&paths::partition_state(tp(partition))).expect("a state");
        match data {
            ZnodeData::Partition { state, controller_epoch, reason } => {
                let partition_epoch = PartitionEpoch(stat.version);
                let state = PartitionState { partition_epoch, ..state.clone() };
                (state, controller_epoch.0, *reason)
            }
            other => panic!("{other:?}"),
        }
    }

    pub fn create(&mut self, path: ZnodePath, data: ZnodeData) {
        self.tree.create(path, data, None);
        self.deliver_watches();
    }

    /// Tells broker 1 which of its watches have fired.
    pub fn deliver_watches(&mut self) {
        for event in self.tree.take_fired() {
            self.deliver_watch(event);
        }
    }

    fn deliver_watch(&mut self, event: WatchEvent) {
        let Some(connection) = self.zookeeper else { return };
        let response = Box::new(Response::ZooKeeper(ZooKeeperResponse::Watch(event)));
        self.input(Input::Response { connection, correlation: WATCH_CORRELATION, response });
    }

    /// Answers the oldest request to ZooKeeper, and says what it was.
    pub fn answer(&mut self) -> ZooKeeperRequest {
        let (correlation, request) = self.asked.pop_front().expect("a request");
        let result = self.tree.handle(&request, SessionId(self.session));
        self.deliver_watches();
        self.respond(correlation, result);
        request
    }

    fn respond(
        &mut self,
        correlation: CorrelationId,
        result: Result<ZooKeeperReply, ZooKeeperError>,
    ) {
        let connection = self.zookeeper.expect("a connection");
        let zxid = self.tree.zxid();
        let response = Box::new(Response::ZooKeeper(ZooKeeperResponse::Done { zxid, result }));
        self.input(Input::Response { connection, correlation, response });
    }

    /// Answers until nothing is asked any more, and says what was asked.
    pub fn answer_all(&mut self) -> Vec<ZooKeeperRequest> {
        let mut answered = Vec::new();
        while !self.asked.is_empty() {
            answered.push(self.answer());
            assert!(answered.len() < 1_000, "it comes to no end");
        }
        answered
    }

    /// Answers until the next request is one that `wanted` wants.
    pub fn answer_until(&mut self, wanted: impl Fn(&ZooKeeperRequest) -> bool) {
        while !wanted(&self.asked.front().expect("a request").1) {
            self.answer();
        }
    }

    /// The connection breaks. ZooKeeper has done the first `done` of the requests whose answers are
    /// lost.
    pub fn lose_zookeeper(&mut self, done: usize) {
        let lost = std::mem::take(&mut self.asked);
        for (_, request) in lost.into_iter().take(done) {
            let _ = self.tree.handle(&request, SessionId(self.session));
        }
        let connection = self.zookeeper.take().expect("a connection");
        self.input(Input::Closed(connection, CloseReason::Reset));
    }

    /// There is a connection again; what has fired meanwhile is told (`SetWatches`).
    pub fn regain_zookeeper(&mut self) {
        while self.zookeeper.is_none() {
            self.let_zookeeper_client_go_on();
        }
        self.deliver_watches();
    }

    /// The session has expired: its znodes are gone. The broker learns of it and begins another.
    pub fn expire_session(&mut self) {
        self.tree.end_session(SessionId(self.session));
        self.tree.forget_watches();
        self.session += 1;
        self.expired = true;
        self.lose_zookeeper(0);
        while self.expired || self.zookeeper.is_none() {
            self.let_zookeeper_client_go_on();
        }
    }

    fn let_zookeeper_client_go_on(&mut self) {
        let timer = BrokerTimer::ZooKeeperClient;
        let at = self.timers.remove(&timer).expect("the client waits for something");
        self.now = self.now.max(at);
        self.input(Input::Timer(timer));
    }

    /// A timer is due.
    pub fn fire(&mut self, timer: BrokerTimer) {
        let at = self.timers.remove(&timer).unwrap_or_else(|| panic!("{timer:?} is not set"));
        self.now = self.now.max(at);
        self.input(Input::Timer(timer));
    }

    /// How long until a timer is due.
    pub fn until(&self, timer: BrokerTimer) -> Option<SimDuration> {
        self.timers.get(&timer).map(|at| at.since(self.now))
    }

    /// A request reaches broker 1.
    pub fn request(&mut self, request: Request) {
        self.input(Input::Request {
            connection: CLIENT,
            correlation: CorrelationId(0),
            from: NodeId(7),
            request: Box::new(request),
        });
    }

    pub fn call(&mut self, call: BrokerCall) {
        self.input(Input::Call(call));
    }

    /// A broker that was silent answers, or the connection to it breaks.
    pub fn hear(&mut self, broker: u16) {
        let at = self.unanswered.iter().position(|(_, _, id)| *id == broker).expect("told");
        let (connection, correlation, _) = self.unanswered.remove(at);
        self.input(Input::Response { connection, correlation, response: ok() });
    }

    pub fn lose(&mut self, broker: u16) {
        let at = self.unanswered.iter().position(|(_, _, id)| *id == broker).expect("told");
        let (connection, ..) = self.unanswered.remove(at);
        self.channels.remove(&connection);
        self.input(Input::Closed(connection, CloseReason::Reset));
    }

    /// What was stated since the last time.
    pub fn facts(&mut self) -> Vec<TraceEvent> {
        let facts = std::mem::take(&mut self.outbox.facts).into_iter().map(|(_, fact)| fact);
        facts.filter(is_of_the_controller).collect()
    }

    /// What brokers were told since the last time, broker by broker.
    pub fn told(&mut self) -> Vec<Told> {
        let told = std::mem::take(&mut self.told);
        by_receiver(told.into_iter().map(|(to, request)| short(to, request)).collect())
    }

    fn input(&mut self, input: Input<BrokerTimer, BrokerCall>) {
        let Bench { broker, disk, now, rng, outbox, .. } = self;
        let mut cx = Cx::new(*now, NodeId(1), rng, disk, outbox);
        broker.handle(&mut cx, input);
        let effects = std::mem::take(&mut self.outbox.effects);
        self.play(effects);
    }

    fn play(&mut self, effects: Vec<Effect<BrokerTimer, NoReport>>) {
        for effect in effects {
            match effect {
                Effect::Connect(connection, ZOOKEEPER) => {
                    self.input(Input::Connected(connection));
                }
                Effect::Connect(connection, to) => {
                    self.channels.insert(connection, to.node.0);
                    self.input(Input::Connected(connection));
                }
                Effect::Send(connection, Frame::Request(correlation, request)) => {
                    self.play_request(connection, correlation, *request);
                }
                Effect::Send(CLIENT, Frame::Response(_, response)) => self.answers.push(*response),
                Effect::Send(..) => {}
                Effect::SetTimer(timer, at) => {
                    self.timers.insert(timer, at);
                }
                Effect::CancelTimer(timer) => {
                    self.timers.remove(&timer);
                }
                Effect::Close(connection) => {
                    self.channels.remove(&connection);
                    self.unanswered.retain(|(there, ..)| *there != connection);
                    if self.zookeeper == Some(connection) {
                        self.zookeeper = None;
                    }
                }
                Effect::Exit { .. } | Effect::Flush(..) | Effect::NoResponse(_) => {}
                Effect::Report(never) => match never {},
            }
        }
    }

    fn play_request(
        &mut self,
        connection: ConnectionId,
        correlation: CorrelationId,
        request: Request,
    ) {
        match request {
            Request::ZooKeeper(ZooKeeperRequest::Connect { timeout, .. }) => {
                let gone = std::mem::take(&mut self.expired);
                let session = (!gone).then_some((SessionId(self.session), timeout));
                self.zookeeper = (!gone).then_some(connection);
                let connected = ZooKeeperResponse::Connected { session };
                let response = Box::new(Response::ZooKeeper(connected));
                self.input(Input::Response { connection, correlation, response });
            }
            Request::ZooKeeper(ZooKeeperRequest::Ping | ZooKeeperRequest::SetWatches { .. }) => {
                self.respond(correlation, Ok(ZooKeeperReply::Ok));
            }
            Request::ZooKeeper(request) => {
                self.asked.push_back((correlation, request));
                self.most_asked = self.most_asked.max(self.asked.len());
            }
            Request::LeaderAndIsr(_) | Request::UpdateMetadata(_) | Request::StopReplica(_) => {
                let to = self.channels[&connection];
                self.told.push((to, request));
                if self.silent.contains(&to) {
                    self.unanswered.push((connection, correlation, to));
                } else {
                    self.input(Input::Response { connection, correlation, response: ok() });
                }
            }
            _ => {}
        }
    }
}

/// Only what one broker is told has an order.
pub fn by_receiver(mut told: Vec<Told>) -> Vec<Told> {
    told.sort_by_key(|told| match told {
        Told::LeaderAndIsr(to, _) | Told::Metadata(to, ..) | Told::Stop(to, _) => *to,
    });
    told
}

fn ok() -> Box<Response> {
    Box::new(Response::UpdateMetadata(ControlResponse { error: ErrorCode::None }))
}

fn partition_data(state: PartitionState, controller_epoch: u32) -> ZnodeData {
    ZnodeData::Partition {
        state,
        controller_epoch: ControllerEpoch(controller_epoch),
        reason: PartitionChangeReason::Created,
    }
}

fn short(to: u16, request: Request) -> Told {
    match request {
        Request::LeaderAndIsr(request) => Told::LeaderAndIsr(to, request.partitions),
        Request::UpdateMetadata(request) => {
            let live = request.live_brokers.iter().map(|(id, _)| id.0).collect();
            Told::Metadata(to, live, request.partitions)
        }
        Request::StopReplica(request) => Told::Stop(to, request.partitions),
        other => panic!("{other:?}"),
    }
}

fn is_of_the_controller(fact: &TraceEvent) -> bool {
    matches!(
        fact,
        TraceEvent::ControllerElected { .. }
            | TraceEvent::ControllerResigned { .. }
            | TraceEvent::BrokerRegistered { .. }
            | TraceEvent::BrokerUnfenced { .. }
            | TraceEvent::BrokerFenced { .. }
    )
}

/// A request, in short: the operation and its path, `+` for a watch, `!` in front if bound to the
/// epoch.
pub fn line(request: &ZooKeeperRequest) -> String {
    match request {
        ZooKeeperRequest::Operation(operation) => operation_line(operation),
        ZooKeeperRequest::Multi(operations) => match operations.as_slice() {
            [ZooKeeperOperation::Check { .. }, operation] => {
                format!("!{}", operation_line(operation))
            }
            _ => operations.iter().map(operation_line).collect::<Vec<_>>().join(" & "),
        },
        other => format!("{other:?}"),
    }
}

fn operation_line(operation: &ZooKeeperOperation) -> String {
    let plus = |watch: &bool| if *watch { "+" } else { "" };
    match operation {
        ZooKeeperOperation::Create { path, mode, .. } => match mode {
            CreateMode::Ephemeral => format!("create~ {path}"),
            _ => format!("create {path}"),
        },
        ZooKeeperOperation::Delete { path, .. } => format!("delete {path}"),
        ZooKeeperOperation::SetData { path, version, .. } => match version {
            Some(version) => format!("set {path} v{version}"),
            None => format!("set {path}"),
        },
        ZooKeeperOperation::Check { path, version } => format!("check {path} v{version}"),
        ZooKeeperOperation::Exists { path, watch } => format!("exists{} {path}", plus(watch)),
        ZooKeeperOperation::GetData { path, watch } => format!("get{} {path}", plus(watch)),
        ZooKeeperOperation::GetChildren { path, watch } => format!("list{} {path}", plus(watch)),
    }
}

/// Requests in short, without what the broker asks in its own name between them.
pub fn lines(requests: &[ZooKeeperRequest]) -> Vec<String> {
    let own =
        |line: &String| line.ends_with("/latest_producer_id_block") || line.contains("_block v");
    requests.iter().map(line).filter(|line| !own(line)).collect()
}
