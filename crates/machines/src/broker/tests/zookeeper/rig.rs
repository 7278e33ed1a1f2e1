//! Broker 1 of the ZooKeeper mode on a bench: plays ZooKeeper by itself, lets the test be the
//! controller (broker 2), and leaves the data path to it.

use super::super::rig::{Effects, ORDERS, at_ms, brokers, ms, topic};
use crate::broker::{
    Broker, BrokerCall, BrokerMode, BrokerSetup, BrokerTimer, Coordination, NoReport,
};
use crate::disk::Disk;
use crate::machine::{Cx, Effect, Input, Machine, Outbox};
use crate::rng::NodeRng;
use acklab_vocab::api::*;
use acklab_vocab::config::{BrokerConfig, TopicConfig};
use acklab_vocab::ids::*;
use acklab_vocab::metadata_log::PartitionState;
use acklab_vocab::properties::broker_config;
use acklab_vocab::rules::ProtocolRules;
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::{CloseReason, TraceEvent};
use acklab_vocab::zookeeper::{
    CreateMode, SessionId, ZnodeData, ZnodePath, ZnodeStat, ZooKeeperError, Zxid, paths,
};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

type BrokerInput = Input<BrokerTimer, BrokerCall>;

/// The only server.
const SERVER: Endpoint = Endpoint { node: NodeId(200), listener: Listener::ZooKeeper };
/// Where the controller connects from.
pub const CONTROLLER: ConnectionId = ConnectionId(7_000);
/// The controller's epoch.
pub const EPOCH: ControllerEpoch = ControllerEpoch(5);

/// The properties of a broker of that version, with these ones changed.
pub fn config_of(version: &str, changes: &[(&str, &str)]) -> BrokerConfig {
    let version = version.parse().expect("a version");
    let changes: Vec<(String, String)> =
        changes.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
    broker_config(version, ProtocolRules::of(version), &changes).expect("valid properties")
}

#[derive(Clone, Debug)]
struct Znode {
    data: ZnodeData,
    stat: ZnodeStat,
}

/// A ZooKeeper of one server, without watches.
#[derive(Debug, Default)]
pub struct Tree {
    nodes: BTreeMap<ZnodePath, Znode>,
    zxid: u64,
    sequence: u32,
}

impl Tree {
    pub fn create(
        &mut self,
        path: ZnodePath,
        data: ZnodeData,
        owner: Option<SessionId>,
    ) -> Result<ZooKeeperReply, ZooKeeperError> {
        if self.nodes.contains_key(&path) {
            return Err(ZooKeeperError::NodeExists);
        }
        self.zxid += 1;
        let zxid = Zxid(self.zxid);
        let stat =
            ZnodeStat { czxid: zxid, mzxid: zxid, version: 0, cversion: 0, ephemeral_owner: owner };
        self.nodes.insert(path.clone(), Znode { data, stat });
        Ok(ZooKeeperReply::Created(path, stat))
    }

    pub fn set(
        &mut self,
        path: &ZnodePath,
        data: ZnodeData,
        version: Option<u32>,
    ) -> Result<ZooKeeperReply, ZooKeeperError> {
        let node = self.nodes.get_mut(path).ok_or(ZooKeeperError::NoNode)?;
        if version.is_some_and(|version| version != node.stat.version) {
            return Err(ZooKeeperError::BadVersion);
        }
        self.zxid += 1;
        node.stat.mzxid = Zxid(self.zxid);
        node.stat.version += 1;
        node.data = data;
        Ok(ZooKeeperReply::Stat(node.stat))
    }

    pub fn get(&self, path: &ZnodePath) -> Option<&ZnodeData> {
        self.nodes.get(path).map(|node| &node.data)
    }

    pub fn version(&self, path: &ZnodePath) -> Option<u32> {
        self.nodes.get(path).map(|node| node.stat.version)
    }

    /// The sessions's znodes vanish.
    pub fn end(&mut self, session: SessionId) {
        self.nodes.retain(|_, node| node.stat.ephemeral_owner != Some(session));
    }

    fn apply(
        &mut self,
        session: SessionId,
        operation: ZooKeeperOperation,
    ) -> Result<ZooKeeperReply, ZooKeeperError> {
        let found = |path: &ZnodePath| self.nodes.get(path).ok_or(ZooKeeperError::NoNode);
        match operation {
            ZooKeeperOperation::Create { path, data, mode } => {
                let owner = (mode == CreateMode::Ephemeral).then_some(session);
                let path = if mode == CreateMode::PersistentSequential {
                    self.sequence += 1;
                    ZnodePath::new(format!("{path}{:010}", self.sequence - 1))
                } else {
                    path
                };
                self.create(path, data, owner)
            }
            ZooKeeperOperation::Delete { path, .. } => {
                found(&path)?;
                self.nodes.remove(&path);
                Ok(ZooKeeperReply::Ok)
            }
            ZooKeeperOperation::SetData { path, data, version } => self.set(&path, data, version),
            ZooKeeperOperation::Check { .. } => unreachable!("only in a multi"),
            ZooKeeperOperation::Exists { path, .. } => {
                Ok(ZooKeeperReply::Exists(self.nodes.get(&path).map(|node| node.stat)))
            }
            ZooKeeperOperation::GetData { path, .. } => {
                found(&path).map(|node| ZooKeeperReply::Data(node.data.clone(), node.stat))
            }
            ZooKeeperOperation::GetChildren { path, .. } => {
                let stat = found(&path)?.stat;
                let all = self.nodes.keys();
                let children = all.filter(|it| it.parent().as_ref() == Some(&path));
                Ok(ZooKeeperReply::Children(children.map(|it| it.name().into()).collect(), stat))
            }
        }
    }
}

/// Broker 1 and what surrounds it.
pub struct Rig {
    pub broker: Broker,
    pub disk: Disk,
    pub now: SimTime,
    rng: NodeRng,
    outbox: Outbox<BrokerTimer, NoReport>,
    timers: BTreeMap<BrokerTimer, SimTime>,
    pub tree: Tree,
    /// The connection of the broker's client.
    connection: Option<ConnectionId>,
    sessions: u64,
    /// Packets from and to ZooKeeper are lost.
    pub cut: bool,
    /// ZooKeeper carries out what it is asked, and the answers are lost.
    pub mute: bool,
    /// What was asked for until the first input of the test, but for ZooKeeper's part.
    pub at_boot: Effects,
}

impl Rig {
    /// A broker that has just been started on `disk`, while broker 2 is the controller.
    pub fn booted_on(config: BrokerConfig, topic: TopicConfig, disk: Disk, tree: Tree) -> Rig {
        Rig::booted(config, topic, disk, tree, false)
    }

    /// A broker that has just been started, and cannot reach ZooKeeper.
    pub fn unreachable(config: BrokerConfig) -> Rig {
        Rig::booted(config, topic(), Disk::default(), Rig::tree(), true)
    }

    fn booted(config: BrokerConfig, topic: TopicConfig, disk: Disk, tree: Tree, cut: bool) -> Rig {
        let setup = BrokerSetup {
            id: BrokerId(1),
            config: Arc::new(config),
            topics: Arc::from([topic]),
            coordination: Arc::new(Coordination::default()),
            mode: BrokerMode::ZooKeeper { servers: vec![SERVER] },
            incarnation: Incarnation(0),
        };
        let (mut rng, mut outbox, mut disk) = (NodeRng::for_test(1), Outbox::default(), disk);
        let mut cx = Cx::new(at_ms(0), NodeId(1), &mut rng, &mut disk, &mut outbox);
        let broker = Broker::boot(&mut cx, setup);
        let mut rig = Rig {
            broker,
            disk,
            now: at_ms(0),
            rng,
            outbox,
            timers: BTreeMap::new(),
            tree,
            connection: None,
            sessions: 0,
            cut,
            mute: false,
            at_boot: Vec::new(),
        };
        let mut waiting = VecDeque::new();
        let effects = std::mem::take(&mut rig.outbox.effects);
        rig.at_boot = rig.play(effects, &mut waiting);
        let more = rig.work_off(waiting);
        rig.at_boot.extend(more);
        rig
    }

    /// A tree in which broker 2 is the controller.
    pub fn tree() -> Tree {
        let mut tree = Tree::default();
        let broker = BrokerId(2);
        let owner = Some(SessionId(99));
        tree.create(paths::controller(), ZnodeData::Controller { broker }, owner).unwrap();
        let data = ZnodeData::Broker { broker, node: NodeId(2), incarnation: Incarnation(0) };
        tree.create(paths::broker(broker), data, owner).unwrap();
        tree
    }

    /// A broker that is registered, in a cluster of brokers 1 to 3 that it knows.
    pub fn running(version: &str, changes: &[(&str, &str)], topic: TopicConfig) -> Rig {
        let config = config_of(version, changes);
        let mut rig = Rig::booted_on(config, topic, Disk::default(), Rig::tree());
        assert!(rig.broker.view(&rig.disk).broker_epoch.is_some(), "it is registered");
        rig.update_metadata(EPOCH, &[1, 2, 3], vec![]);
        rig.facts();
        rig
    }

    /// A leader of orders-0 in epoch 1, with the ISR given and its znode in version 0.
    pub fn leading(version: &str, changes: &[(&str, &str)], isr: &[u16]) -> Rig {
        let mut rig = Rig::running(version, changes, topic());
        let state = state(1, 1, 0, isr);
        rig.write_state(&state);
        rig.leader_and_isr(EPOCH, vec![state]);
        rig.facts();
        rig
    }

    /// Writes a partition's znode as the controller does.
    pub fn write_state(&mut self, state: &PartitionState) {
        let path = paths::partition_state(state.partition);
        let reason = acklab_vocab::trace::PartitionChangeReason::Created;
        let data = ZnodeData::Partition { state: state.clone(), controller_epoch: EPOCH, reason };
        if self.tree.get(&path).is_some() {
            self.tree.set(&path, data, None).unwrap();
        } else {
            self.tree.create(path, data, None).unwrap();
        }
    }

    /// One input: what it asked for, ZooKeeper's part played and left out, timers kept.
    pub fn call(&mut self, input: BrokerInput) -> Effects {
        self.work_off(VecDeque::from([input]))
    }

    fn work_off(&mut self, mut waiting: VecDeque<BrokerInput>) -> Effects {
        let mut left = Vec::new();
        while let Some(input) = waiting.pop_front() {
            let Rig { broker, disk, now, rng, outbox, .. } = self;
            broker.handle(&mut Cx::new(*now, NodeId(1), rng, disk, outbox), input);
            let effects = std::mem::take(&mut self.outbox.effects);
            left.extend(self.play(effects, &mut waiting));
        }
        left
    }

    fn play(&mut self, effects: Effects, waiting: &mut VecDeque<BrokerInput>) -> Effects {
        let mut left = Vec::new();
        for effect in effects {
            match effect {
                Effect::Connect(connection, SERVER) => {
                    self.connection = Some(connection);
                    if !self.cut {
                        waiting.push_back(Input::Connected(connection));
                    }
                }
                Effect::Send(connection, Frame::Request(correlation, request))
                    if Some(connection) == self.connection =>
                {
                    let answer = self.answer(*request).filter(|_| !self.mute);
                    waiting.extend(answer.map(|response| Input::Response {
                        connection,
                        correlation,
                        response: Box::new(Response::ZooKeeper(response)),
                    }));
                }
                Effect::Close(connection) if Some(connection) == self.connection => {
                    self.connection = None;
                }
                Effect::SetTimer(timer, at) => {
                    self.timers.insert(timer, at);
                }
                Effect::CancelTimer(timer) => {
                    self.timers.remove(&timer);
                }
                other => left.push(other),
            }
        }
        left
    }

    /// What ZooKeeper says, if anything gets there.
    fn answer(&mut self, request: Request) -> Option<ZooKeeperResponse> {
        let Request::ZooKeeper(request) = request else { unreachable!("not for ZooKeeper") };
        if self.cut {
            return None;
        }
        let session = SessionId(self.sessions);
        let result = match request {
            ZooKeeperRequest::Connect { session, timeout, .. } => {
                if session.is_none() {
                    self.sessions += 1;
                }
                let own = SessionId(self.sessions);
                // One that is not the newest has expired.
                let lives = session.is_none_or(|session| session == own);
                return Some(ZooKeeperResponse::Connected {
                    session: lives.then_some((own, timeout)),
                });
            }
            ZooKeeperRequest::Ping | ZooKeeperRequest::SetWatches { .. } => Ok(ZooKeeperReply::Ok),
            ZooKeeperRequest::CloseSession => {
                self.tree.end(session);
                Ok(ZooKeeperReply::Ok)
            }
            ZooKeeperRequest::Operation(operation) => self.tree.apply(session, operation),
            ZooKeeperRequest::Multi(_) => Err(ZooKeeperError::NodeExists),
        };
        Some(ZooKeeperResponse::Done { zxid: Zxid(self.tree.zxid.max(1)), result })
    }

    /// The broker's session expires, as far as ZooKeeper is concerned.
    pub fn expire_session(&mut self) {
        self.tree.end(SessionId(self.sessions));
        self.sessions += 1;
    }

    /// The connection to ZooKeeper is reset.
    pub fn reset_connection(&mut self) -> Effects {
        let connection = self.connection.take().expect("there is one");
        self.call(Input::Closed(connection, CloseReason::Reset))
    }

    /// ZooKeeper can be reached again, by a new connection.
    pub fn restore(&mut self) -> Effects {
        self.cut = false;
        if self.connection.is_some() { self.reset_connection() } else { Vec::new() }
    }

    /// Time passes: timers become due, in order.
    pub fn advance(&mut self, to_ms: i64) -> Effects {
        let mut left = Vec::new();
        loop {
            let next = self.timers.iter().map(|(&timer, &at)| (at, timer)).min();
            let Some((at, timer)) = next.filter(|&(at, _)| at <= at_ms(to_ms)) else { break };
            self.now = self.now.max(at);
            self.timers.remove(&timer);
            left.extend(self.call(Input::Timer(timer)));
        }
        self.now = at_ms(to_ms);
        left
    }

    /// When a timer is due.
    pub fn timer(&self, timer: BrokerTimer) -> Option<SimTime> {
        self.timers.get(&timer).copied()
    }

    /// What was stated since the last time.
    pub fn facts(&mut self) -> Vec<TraceEvent> {
        std::mem::take(&mut self.outbox.facts).into_iter().map(|(_, fact)| fact).collect()
    }

    /// The facts about the ISR of the only partition, in words.
    pub fn isr_facts(&mut self) -> Vec<String> {
        let in_words = |fact| match fact {
            TraceEvent::IsrProposed { proposed, .. } => Some(format!("proposed {proposed:?}")),
            TraceEvent::IsrCommitted { isr, .. } => Some(format!("committed {isr:?}")),
            TraceEvent::IsrProposalRefused { error, .. } => Some(format!("refused {error}")),
            _ => None,
        };
        let facts = self.facts().into_iter().filter_map(in_words);
        facts.map(|fact| fact.replace("BrokerId", "")).collect()
    }

    pub fn request(&mut self, on: ConnectionId, correlation: u32, request: Request) -> Effects {
        self.call(Input::Request {
            connection: on,
            correlation: CorrelationId(correlation),
            from: NodeId(7),
            request: Box::new(request),
        })
    }

    /// The controller of `epoch` says what orders-0 is.
    pub fn leader_and_isr(
        &mut self,
        epoch: ControllerEpoch,
        partitions: Vec<PartitionState>,
    ) -> Effects {
        self.leader_and_isr_to(epoch, None, partitions)
    }

    /// The same, to the life of the broker with that epoch.
    pub fn leader_and_isr_to(
        &mut self,
        controller_epoch: ControllerEpoch,
        broker_epoch: Option<BrokerEpoch>,
        partitions: Vec<PartitionState>,
    ) -> Effects {
        let request = Request::LeaderAndIsr(LeaderAndIsrRequest {
            controller: BrokerId(2),
            controller_epoch,
            broker_epoch,
            partitions,
            new: Vec::new(),
            live_leaders: Vec::new(),
        });
        self.request(CONTROLLER, 1, request)
    }

    /// The controller of `epoch` says who is alive, and what partitions are.
    pub fn update_metadata(
        &mut self,
        controller_epoch: ControllerEpoch,
        alive: &[u16],
        partitions: Vec<PartitionState>,
    ) -> Effects {
        let request = Request::UpdateMetadata(UpdateMetadataRequest {
            controller: BrokerId(2),
            controller_epoch,
            broker_epoch: None,
            partitions,
            live_brokers: alive.iter().map(|&id| (BrokerId(id), NodeId(id))).collect(),
        });
        self.request(CONTROLLER, 2, request)
    }

    pub fn fetch(&mut self, follower: u16, correlation: u32, offset: u64) -> Effects {
        let partitions = vec![fetch_from(offset)];
        self.fetch_in_session(follower, correlation, FetchSessionUpdate::Full, partitions)
    }

    /// A fetch that names nothing: from where the session stands (KIP-227).
    pub fn fetch_what_is_new(&mut self, follower: u16, correlation: u32) -> Effects {
        let session = FetchSessionUpdate::Incremental { forgotten: Vec::new() };
        self.fetch_in_session(follower, correlation, session, Vec::new())
    }

    fn fetch_in_session(
        &mut self,
        follower: u16,
        correlation: u32,
        session: FetchSessionUpdate,
        partitions: Vec<PartitionFetch>,
    ) -> Effects {
        let request = Request::Fetch(FetchRequest {
            replica: Some(FetchingReplica {
                broker: BrokerId(follower),
                broker_epoch: BrokerEpoch(1),
            }),
            max_wait: ms(500),
            min_bytes: 1,
            max_bytes: 10 << 20,
            isolation: Isolation::LogEnd,
            session,
            partitions,
        });
        self.request(follower_connection(follower), correlation, request)
    }

    pub fn consume(&mut self, correlation: u32, offset: u64) -> Effects {
        let request = Request::Fetch(FetchRequest {
            replica: None,
            max_wait: ms(0),
            min_bytes: 1,
            max_bytes: 50 << 20,
            isolation: Isolation::HighWatermark,
            session: FetchSessionUpdate::Full,
            partitions: vec![fetch_from(offset)],
        });
        self.request(super::super::rig::CONSUMER, correlation, request)
    }

    pub fn high_watermark(&self) -> u64 {
        self.broker.led_partitions().next().expect("it leads").3.0
    }
}

fn fetch_from(offset: u64) -> PartitionFetch {
    PartitionFetch {
        partition: ORDERS,
        current_leader_epoch: None,
        fetch_offset: Offset(offset),
        last_fetched_epoch: None,
        max_bytes: 1 << 20,
    }
}

pub fn follower_connection(follower: u16) -> ConnectionId {
    ConnectionId(1_000 + u32::from(follower))
}

/// Partition orders-0 with replicas 1, 2, 3.
pub fn state(leader: u16, leader_epoch: u32, partition_epoch: u32, isr: &[u16]) -> PartitionState {
    PartitionState {
        partition: ORDERS,
        replicas: brokers(&[1, 2, 3]),
        isr: brokers(isr),
        eligible: BrokerList::new(),
        leader: (leader > 0).then_some(BrokerId(leader)),
        leader_epoch: LeaderEpoch(leader_epoch),
        partition_epoch: PartitionEpoch(partition_epoch),
        recovering: false,
    }
}
