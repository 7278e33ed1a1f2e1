//! A world for balanced consumers: a ZooKeeper server, brokers played by the test, and applications that only consume.
//!
//! Packets take one to three milliseconds, in order on each connection. A process that is killed leaves its connections
//! closed and its session alive; one that is paused handles what has arrived when it resumes.

use super::brokers::Kafka;
use crate::balanced::{BalancedConsumer, BalancedSetup};
use crate::client::testing::endpoint;
use crate::consumer::{ConsumerCall, ConsumerInput, ConsumerReport, ConsumerTimer};
use crate::disk::{Disk, FlushExtent, FlushId, FlushTarget};
use crate::machine::{Cx, Effect, Input, Machine, Outbox};
use crate::rng::NodeRng;
use crate::zookeeper::{NoCall, NoReport, ZooKeeperServer, ZooKeeperServerSetup, ZooKeeperTimer};
use acklab_vocab::api::*;
use acklab_vocab::config::*;
use acklab_vocab::ids::*;
use acklab_vocab::rules::ProtocolRules;
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::{CloseReason, TraceEvent};
use acklab_vocab::version::KafkaVersion;
use acklab_vocab::zookeeper::{CreateMode, ZnodeData, ZnodePath, paths};
use smallvec::SmallVec;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

pub(super) const GROUP: GroupId = GroupId(0);
const TOPIC: TopicId = TopicId(0);
const SERVER: NodeId = NodeId(0);
pub(super) const BROKERS: u16 = 3;
/// The process of the first consumer.
const FIRST: u16 = 10;

pub(super) fn millis(millis: u64) -> SimDuration {
    SimDuration::from_millis(millis)
}

pub(super) fn at(millis: i64) -> SimTime {
    SimTime::from_millis(millis)
}

pub(super) fn partition(index: u16) -> TopicPartition {
    TopicPartition { topic: TOPIC, partition: PartitionIndex(index) }
}

/// As the library has it by default.
pub(super) fn config(library: BalancedLibrary) -> BalancedConsumerConfig {
    let client = ClientConfig {
        rules: ProtocolRules::of(KafkaVersion::new(0, 8, 2)),
        request_timeout: millis(30_000),
        retry_backoff: millis(200),
        retry_backoff_max: millis(200),
        reconnect_backoff: millis(50),
        reconnect_backoff_max: millis(50),
        connection_setup_timeout: millis(10_000),
        connection_setup_timeout_max: millis(10_000),
        metadata_max_age: millis(600_000),
    };
    let is_pykafka = library == BalancedLibrary::Pykafka;
    BalancedConsumerConfig {
        library,
        consumer: ConsumerConfig {
            client,
            auto_offset_reset: AutoOffsetReset::Earliest,
            isolation: Isolation::HighWatermark,
            fetch_min_bytes: 1,
            fetch_max_wait: millis(100),
            fetch_max_bytes: 50 << 20,
            max_partition_fetch_bytes: 1 << 20,
            max_poll_records: 1,
            default_api_timeout: millis(60_000),
        },
        session_timeout: millis(6_000),
        rebalance_max_retries: if is_pykafka { 5 } else { 4 },
        rebalance_backoff: millis(2_000),
        auto_commit: (!is_pykafka).then(|| millis(60_000)),
        offsets_storage: if is_pykafka { OffsetsStorage::Kafka } else { OffsetsStorage::ZooKeeper },
        offsets_commit_max_retries: 5,
        offsets_channel_backoff: millis(1_000),
        offsets_channel_timeout: millis(10_000),
        refresh_leader_backoff: millis(200),
        queue: 2_000,
    }
}

/// The application of a consumer: it polls until something is raised.
#[derive(Clone, Copy, Debug)]
pub(super) struct App {
    pub poll_timeout: SimDuration,
    /// For each message.
    pub processing: SimDuration,
    /// Meanwhile no other thread runs.
    pub holds_interpreter: bool,
    /// It commits after each message.
    pub commits: bool,
}

impl Default for App {
    fn default() -> Self {
        App {
            poll_timeout: millis(200),
            processing: SimDuration::ZERO,
            holds_interpreter: false,
            commits: false,
        }
    }
}

struct Member {
    consumer: Option<BalancedConsumer>,
    life: u32,
    outbox: Outbox<ConsumerTimer, ConsumerReport>,
    wake: Option<(SimTime, u64)>,
    paused_until: SimTime,
    app: App,
    config: BalancedConsumerConfig,
    /// Inside `processing`.
    is_working: bool,
}

pub(super) struct Link {
    member: usize,
    life: u32,
    pub client: ConnectionId,
    to: NodeId,
    server: ConnectionId,
    pub is_open: bool,
    /// Nothing arrives before that: at the server, at the client.
    free: [SimTime; 2],
    /// What a broker has read; the first is being handled.
    pub inbox: VecDeque<(CorrelationId, Request)>,
}

#[derive(Debug)]
pub(super) enum Event {
    AtServer(usize, Input<ZooKeeperTimer, NoCall>),
    ServerTimer(ZooKeeperTimer, u64),
    Flushed(FlushId, FlushExtent),
    AtBroker(usize, CorrelationId, Request),
    FetchWaited(usize),
    AtMember(usize, u32, ConsumerInput),
    MemberTimer(usize, u32, u64),
    App(usize, u32),
    Start(usize),
    Kill(usize),
    Pause(usize, SimDuration),
    Close(usize),
}

pub(super) struct World {
    pub now: SimTime,
    queue: BTreeMap<(SimTime, u64), Event>,
    sequence: u64,
    rng: NodeRng,
    server: ZooKeeperServer,
    server_disk: Disk,
    server_outbox: Outbox<ZooKeeperTimer, NoReport>,
    server_timers: BTreeMap<ZooKeeperTimer, u64>,
    disk: Disk,
    members: Vec<Member>,
    pub links: Vec<Link>,
    pub kafka: Kafka,
    pub facts: Vec<(SimTime, NodeId, TraceEvent)>,
    pub reports: Vec<(SimTime, usize, ConsumerReport)>,
}

impl World {
    /// A topic of so many partitions, without consumers.
    pub fn new(seed: u64, partitions: u16) -> Self {
        let mut rng = NodeRng::for_test(seed);
        let (mut server_disk, mut server_outbox) = (Disk::default(), Outbox::default());
        let setup = ZooKeeperServerSetup {
            id: ZooKeeperServerId(1),
            config: Arc::new(ZooKeeperConfig {
                tick_time: millis(2_000),
                init_limit: 10,
                sync_limit: 5,
                min_session_timeout: millis(4_000),
                max_session_timeout: millis(40_000),
            }),
            ensemble: vec![(ZooKeeperServerId(1), SERVER)],
        };
        let now = at(-10_000);
        let mut cx = Cx::new(now, SERVER, &mut rng, &mut server_disk, &mut server_outbox);
        let server = ZooKeeperServer::boot(&mut cx, setup);
        let mut world = World {
            now,
            queue: BTreeMap::new(),
            sequence: 0,
            rng,
            server,
            server_disk,
            server_outbox,
            server_timers: BTreeMap::new(),
            disk: Disk::default(),
            members: Vec::new(),
            links: Vec::new(),
            kafka: Kafka {
                logs: vec![Vec::new(); usize::from(partitions)],
                committed: BTreeMap::new(),
                commits: Vec::new(),
                has_members: false,
                leaders: (0..partitions).map(|index| index % BROKERS + 1).collect(),
            },
            facts: Vec::new(),
            reports: Vec::new(),
        };
        world.after_server();
        world.run_until(at(-9_000));
        world.fill_tree(partitions);
        world.run_until(at(0));
        world
    }

    /// What brokers write to ZooKeeper.
    fn fill_tree(&mut self, partitions: u16) {
        let folder = |path: ZnodePath| (path, ZnodeData::Empty);
        let mut all: Vec<_> = ["/consumers", "/brokers", "/brokers/ids", "/brokers/topics"]
            .map(ZnodePath::new)
            .map(folder)
            .into();
        all.extend((1..=BROKERS).map(|id| folder(paths::broker(BrokerId(id)))));
        let replicas = |index: u16| BrokerList::from_slice(&[BrokerId(index % BROKERS + 1)]);
        let assignments = (0..partitions).map(replicas).collect();
        all.push((paths::topic(TOPIC), ZnodeData::Topic { topic: TOPIC, assignments }));
        let connection = ConnectionId(500_000);
        let connect = ZooKeeperRequest::Connect {
            session: None,
            timeout: millis(40_000),
            last_zxid_seen: Default::default(),
            client: NodeId(1),
        };
        let creates = all.into_iter().map(|(path, data)| {
            let mode = CreateMode::Persistent;
            ZooKeeperRequest::Operation(ZooKeeperOperation::Create { path, data, mode })
        });
        for (index, request) in std::iter::once(connect).chain(creates).enumerate() {
            let input = Input::Request {
                connection,
                correlation: CorrelationId(index as u32),
                from: NodeId(1),
                request: Box::new(Request::ZooKeeper(request)),
            };
            self.push(self.now + millis(20 * index as u64), Event::AtServer(usize::MAX, input));
        }
    }

    /// A consumer's process, which is not started yet.
    pub fn add(&mut self, config: BalancedConsumerConfig, app: App) -> usize {
        self.members.push(Member {
            consumer: None,
            life: 0,
            outbox: Outbox::default(),
            wake: None,
            paused_until: SimTime(i64::MIN),
            app,
            config,
            is_working: false,
        });
        self.members.len() - 1
    }

    pub fn start(&mut self, member: usize, when: SimTime) {
        self.push(when, Event::Start(member));
    }

    pub fn kill(&mut self, member: usize, when: SimTime) {
        self.push(when, Event::Kill(member));
    }

    pub fn pause(&mut self, member: usize, when: SimTime, duration: SimDuration) {
        self.push(when, Event::Pause(member, duration));
    }

    pub fn close(&mut self, member: usize, when: SimTime) {
        self.push(when, Event::Close(member));
    }

    /// Records are there, one batch for each call.
    pub fn append(&mut self, partition: u16, count: usize) {
        let log = &mut self.kafka.logs[usize::from(partition)];
        let base = log.last().map_or(0, |batch| batch.next_offset().0);
        log.push(crate::client::testing::batch(base, count, 0));
    }

    pub fn member_count(&self) -> usize {
        self.members.len()
    }

    pub fn consumer(&self, member: usize) -> &BalancedConsumer {
        self.members[member].consumer.as_ref().expect("it runs")
    }

    pub fn run_until(&mut self, until: SimTime) {
        let mut events = 0_u64;
        while let Some((&(when, sequence), _)) = self.queue.first_key_value() {
            if when > until {
                break;
            }
            let event = self.queue.remove(&(when, sequence)).expect("it is there");
            self.now = self.now.max(when);
            self.handle(event);
            events += 1;
            assert!(events < 3_000_000, "without end at {}", self.now);
        }
        self.now = until;
    }

    pub fn push(&mut self, when: SimTime, event: Event) {
        self.sequence += 1;
        self.queue.insert((when, self.sequence), event);
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::AtServer(link, input) => {
                let is_close = matches!(input, Input::Closed(..));
                if link == usize::MAX || self.links[link].is_open || is_close {
                    self.server_input(input);
                }
            }
            Event::ServerTimer(timer, token) => {
                if self.server_timers.get(&timer) == Some(&token) {
                    self.server_timers.remove(&timer);
                    self.server_input(Input::Timer(timer));
                }
            }
            Event::Flushed(id, extent) => {
                self.server_disk.mark_flushed(FlushTarget::ZooKeeperLog, extent);
                self.server_input(Input::Flushed(id));
            }
            Event::AtBroker(link, id, request) => self.at_broker(link, id, request),
            Event::FetchWaited(link) => self.serve(link, true),
            Event::Start(member) => self.boot(member),
            Event::Kill(member) => self.die(member),
            Event::Pause(member, duration) => {
                self.members[member].paused_until = self.now + duration;
            }
            Event::AtMember(member, _, _)
            | Event::MemberTimer(member, _, _)
            | Event::App(member, _)
            | Event::Close(member)
                if self.members[member].paused_until > self.now =>
            {
                self.push(self.members[member].paused_until, event);
            }
            Event::AtMember(member, life, input) => self.member_input(member, life, input),
            Event::MemberTimer(member, life, token) => {
                if self.members[member].wake.is_some_and(|(_, current)| current == token) {
                    self.members[member].wake = None;
                    self.member_input(member, life, Input::Timer(ConsumerTimer::Wake));
                }
            }
            Event::App(member, life) => self.app_goes_on(member, life),
            Event::Close(member) => {
                let life = self.members[member].life;
                self.member_input(member, life, Input::Call(ConsumerCall::Close));
            }
        }
    }

    // ---- processes ------------------------------------------------------------------------------

    fn boot(&mut self, member: usize) {
        let World { now, rng, disk, members, .. } = self;
        let own = &mut members[member];
        own.life += 1;
        own.is_working = false;
        let mut cx = Cx::new(*now, node(member), rng, disk, &mut own.outbox);
        let listener = Listener::ZooKeeper;
        let setup = BalancedSetup {
            config: Arc::new(own.config.clone()),
            bootstrap: (1..=BROKERS).map(|id| (BrokerId(id), endpoint(id))).collect(),
            zookeeper: vec![Endpoint { node: SERVER, listener }],
            group: GROUP,
            topics: SmallVec::from_slice(&[TOPIC]),
        };
        own.consumer = Some(BalancedConsumer::boot(&mut cx, setup));
        let life = own.life;
        self.after_member(member);
        self.app_goes_on(member, life);
    }

    fn die(&mut self, member: usize) {
        let life = self.members[member].life;
        self.members[member].consumer = None;
        self.members[member].life += 1;
        self.members[member].wake = None;
        for index in 0..self.links.len() {
            let link = &self.links[index];
            if link.member == member && link.life == life && link.is_open {
                self.close_link(index);
            }
        }
    }

    fn app_goes_on(&mut self, member: usize, life: u32) {
        if self.members[member].life != life || self.members[member].consumer.is_none() {
            return;
        }
        let App { poll_timeout, holds_interpreter, commits, .. } = self.members[member].app;
        if std::mem::take(&mut self.members[member].is_working) {
            if holds_interpreter {
                let call = ConsumerCall::HoldsInterpreter(false);
                self.member_input(member, life, Input::Call(call));
            }
            if commits {
                let trigger = acklab_vocab::trace::CommitTrigger::Sync;
                let call = ConsumerCall::CommitSync { offsets: None, trigger };
                return self.member_input(member, life, Input::Call(call));
            }
        }
        let call = ConsumerCall::Poll { timeout: poll_timeout };
        self.member_input(member, life, Input::Call(call));
    }

    fn reported(&mut self, member: usize, life: u32, report: ConsumerReport) {
        let App { processing, holds_interpreter, .. } = self.members[member].app;
        let next = match &report {
            ConsumerReport::Polled(records) if records.is_empty() => Some(millis(1)),
            ConsumerReport::Polled(_) => {
                self.members[member].is_working = true;
                Some(processing.max(SimDuration::from_micros(100)))
            }
            ConsumerReport::Committed(_) => Some(SimDuration::ZERO),
            _ => None,
        };
        let is_work = self.members[member].is_working;
        self.reports.push((self.now, member, report));
        if let Some(after) = next {
            self.push(self.now + after, Event::App(member, life));
            if is_work && holds_interpreter {
                let call = ConsumerCall::HoldsInterpreter(true);
                self.member_input(member, life, Input::Call(call));
            }
        }
    }

    fn member_input(&mut self, member: usize, life: u32, input: ConsumerInput) {
        let World { now, rng, disk, members, .. } = self;
        let own = &mut members[member];
        if own.life != life {
            return;
        }
        let Some(consumer) = &mut own.consumer else { return };
        let mut cx = Cx::new(*now, node(member), rng, disk, &mut own.outbox);
        consumer.handle(&mut cx, input);
        self.after_member(member);
    }

    fn after_member(&mut self, member: usize) {
        let life = self.members[member].life;
        let outbox = &mut self.members[member].outbox;
        let effects = std::mem::take(&mut outbox.effects);
        let facts = std::mem::take(&mut outbox.facts);
        let now = self.now;
        self.facts.extend(facts.into_iter().map(|(_, fact)| (now, node(member), fact)));
        for effect in effects {
            match effect {
                Effect::Connect(client, to) => {
                    let server = ConnectionId(1_000_000 + self.links.len() as u32);
                    let free = [now; 2];
                    let to = to.node;
                    let index = self.links.len();
                    let (is_open, inbox) = (true, VecDeque::new());
                    self.links.push(Link {
                        member,
                        life,
                        client,
                        to,
                        server,
                        is_open,
                        free,
                        inbox,
                    });
                    self.deliver(index, Input::Connected(client));
                }
                Effect::Send(client, Frame::Request(correlation, request)) => {
                    self.submit(member, life, client, correlation, *request);
                }
                Effect::SetTimer(ConsumerTimer::Wake, when) => {
                    self.sequence += 1;
                    let token = self.sequence;
                    self.members[member].wake = Some((when, token));
                    self.push(when, Event::MemberTimer(member, life, token));
                }
                Effect::Close(client) => {
                    if let Some(index) = self.link(member, life, client) {
                        self.close_link(index);
                    }
                }
                Effect::Report(report) => self.reported(member, life, report),
                other => panic!("{other:?}"),
            }
        }
    }

    // ---- the network ----------------------------------------------------------------------------

    fn link(&self, member: usize, life: u32, client: ConnectionId) -> Option<usize> {
        self.links.iter().position(|link| {
            link.member == member && link.life == life && link.client == client && link.is_open
        })
    }

    fn delay(&mut self, link: usize, direction: usize) -> SimTime {
        let delay = SimDuration::from_micros(1_000 + self.rng.below(2_000));
        let free = &mut self.links[link].free[direction];
        *free = (self.now + delay).max(*free);
        *free
    }

    fn submit(
        &mut self,
        member: usize,
        life: u32,
        client: ConnectionId,
        correlation: CorrelationId,
        request: Request,
    ) {
        let Some(index) = self.link(member, life, client) else { return };
        let when = self.delay(index, 0);
        if self.links[index].to != SERVER {
            return self.push(when, Event::AtBroker(index, correlation, request));
        }
        let connection = self.links[index].server;
        let (from, request) = (node(member), Box::new(request));
        let input = Input::Request { connection, correlation, from, request };
        self.push(when, Event::AtServer(index, input));
    }

    pub fn deliver(&mut self, link: usize, input: ConsumerInput) {
        let when = self.delay(link, 1);
        let Link { member, life, .. } = self.links[link];
        self.push(when, Event::AtMember(member, life, input));
    }

    fn close_link(&mut self, index: usize) {
        let when = self.delay(index, 0);
        self.links[index].is_open = false;
        if self.links[index].to == SERVER {
            let input = Input::Closed(self.links[index].server, CloseReason::ClosedByPeer);
            self.push(when, Event::AtServer(index, input));
        }
    }

    // ---- ZooKeeper ------------------------------------------------------------------------------

    fn server_input(&mut self, input: Input<ZooKeeperTimer, NoCall>) {
        let World { now, rng, server, server_disk, server_outbox, .. } = self;
        server.handle(&mut Cx::new(*now, SERVER, rng, server_disk, server_outbox), input);
        self.after_server();
    }

    fn after_server(&mut self) {
        let effects = std::mem::take(&mut self.server_outbox.effects);
        let facts = std::mem::take(&mut self.server_outbox.facts);
        let now = self.now;
        self.facts.extend(facts.into_iter().map(|(_, fact)| (now, SERVER, fact)));
        for effect in effects {
            match effect {
                Effect::SetTimer(timer, when) => {
                    self.sequence += 1;
                    let token = self.sequence;
                    self.server_timers.insert(timer, token);
                    self.push(when, Event::ServerTimer(timer, token));
                }
                Effect::CancelTimer(timer) => _ = self.server_timers.remove(&timer),
                Effect::Flush(id, target) => {
                    let extent = self.server_disk.extent(target);
                    self.push(now + SimDuration::from_micros(500), Event::Flushed(id, extent));
                }
                Effect::Send(server, Frame::Response(correlation, response)) => {
                    let index = self.links.iter().position(|it| it.server == server && it.is_open);
                    if let Some(index) = index {
                        let connection = self.links[index].client;
                        self.deliver(index, Input::Response { connection, correlation, response });
                    }
                }
                Effect::Close(server) => {
                    let index = self.links.iter().position(|it| it.server == server && it.is_open);
                    if let Some(index) = index {
                        let reason = CloseReason::ClosedByPeer;
                        let closed = Input::Closed(self.links[index].client, reason);
                        self.deliver(index, closed);
                        self.links[index].is_open = false;
                    }
                }
                Effect::NoResponse(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

/// The process of a consumer.
pub(super) fn node(member: usize) -> NodeId {
    NodeId(FIRST + member as u16)
}
