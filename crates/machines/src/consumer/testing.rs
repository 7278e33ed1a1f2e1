//! A bench for one consumer: brokers played by the test.
//!
//! Broker 1 leads every partition, broker 2 is the coordinator. Connections open at once. Metadata
//! and FindCoordinator are answered by the bench itself, fetches wait silently; everything else
//! that the consumer does is noted, in order.

use super::*;
use crate::client::testing::{self, endpoint};
use crate::disk::Disk;
use crate::machine::{Effect, Outbox};
use crate::rng::NodeRng;
use acklab_vocab::api::{
    FetchResponse, FindCoordinatorResponse, Frame, HeartbeatResponse, Isolation, JoinGroupMember,
    JoinGroupResponse, LeaveGroupResponse, MetadataResponse, OffsetCommitResponse,
    OffsetFetchResponse, PartitionMetadata, Request, SyncGroupResponse,
};
use acklab_vocab::config::{AutoOffsetReset, ClientConfig, ConsumerLibrary, GroupProtocol};
use acklab_vocab::group::{Assignor, CommittedOffset, Subscription};
use acklab_vocab::ids::{ConnectionId, CorrelationId, LeaderEpoch, NodeId};
use acklab_vocab::rules::ProtocolRules;
use acklab_vocab::trace::{CloseReason, TraceEvent};
use acklab_vocab::version::KafkaVersion;

pub(super) const GROUP: GroupId = GroupId(0);
pub(super) const P0: TopicPartition = TopicPartition::new(0, 0);
pub(super) const P1: TopicPartition = TopicPartition::new(0, 1);
pub(super) const ME: MemberId = MemberId(7);
pub(super) const OTHER: MemberId = MemberId(8);
pub(super) const MODERN: KafkaVersion = KafkaVersion::new(3, 9, 0);

/// What the consumer did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Did {
    Send(Request),
    Report(ConsumerReport),
    State(TraceEvent),
}

pub(super) fn millis(millis: u64) -> SimDuration {
    SimDuration::from_millis(millis)
}

pub(super) fn secs(secs: u64) -> SimDuration {
    SimDuration::from_secs(secs)
}

/// A member that commits by itself only where a test asks for it.
pub(super) fn config(version: KafkaVersion) -> MemberConfig {
    let rules = ProtocolRules::of(version);
    let client = ClientConfig {
        rules,
        request_timeout: millis(30_000),
        retry_backoff: millis(100),
        retry_backoff_max: millis(100),
        reconnect_backoff: millis(50),
        reconnect_backoff_max: millis(50),
        connection_setup_timeout: millis(10_000),
        connection_setup_timeout_max: millis(10_000),
        metadata_max_age: millis(300_000),
    };
    let has_thread = version >= KafkaVersion::new(0, 10, 1);
    MemberConfig {
        library: ConsumerLibrary::Java,
        consumer: ConsumerConfig {
            client,
            auto_offset_reset: AutoOffsetReset::Earliest,
            isolation: Isolation::HighWatermark,
            fetch_min_bytes: 1,
            fetch_max_wait: millis(500),
            fetch_max_bytes: 50 << 20,
            max_partition_fetch_bytes: 1 << 20,
            max_poll_records: 500,
            default_api_timeout: millis(60_000),
        },
        protocol: GroupProtocol::Classic,
        session_timeout: millis(10_000),
        heartbeat_interval: millis(3_000),
        max_poll_interval: has_thread.then(|| millis(20_000)),
        auto_commit: None,
        auto_offset_store: true,
        assignors: vec![Assignor::Range],
        remote_assignor: None,
        is_static: false,
    }
}

pub(super) fn cooperative() -> MemberConfig {
    MemberConfig { assignors: vec![Assignor::CooperativeSticky], ..config(MODERN) }
}

pub(super) fn auto_committing() -> MemberConfig {
    MemberConfig { auto_commit: Some(millis(5_000)), ..config(MODERN) }
}

pub(super) fn setup(config: MemberConfig) -> ConsumerSetup {
    let instance = config.is_static.then_some(GroupInstanceId(3));
    ConsumerSetup {
        config: Arc::new(config),
        bootstrap: [1, 2].map(|id| (BrokerId(id), endpoint(id))).to_vec(),
        group: GROUP,
        instance,
        topics: SmallVec::from_slice(&[TopicId(0)]),
        assigns_itself: false,
    }
}

pub(super) struct Bench {
    pub consumer: Consumer,
    pub now: SimTime,
    /// The coordinator, as FindCoordinator answers; none while it is elected.
    pub coordinator: Option<u16>,
    /// How many partitions the topic has, as metadata is answered.
    pub partitions: u16,
    disk: Disk,
    rng: NodeRng,
    outbox: Outbox<ConsumerTimer, ConsumerReport>,
    connections: Vec<(ConnectionId, u16)>,
    /// Requests without an answer, oldest first.
    waiting: Vec<(ConnectionId, CorrelationId, Request)>,
    log: Vec<Did>,
    wake_at: Option<SimTime>,
}

impl Bench {
    pub fn new(setup: ConsumerSetup) -> Self {
        let (mut disk, mut rng) = (Disk::default(), NodeRng::for_test(1));
        let mut outbox = Outbox::default();
        let now = SimTime::ZERO;
        let mut cx = Cx::new(now, NodeId(9), &mut rng, &mut disk, &mut outbox);
        let consumer = Consumer::boot(&mut cx, setup);
        let mut bench = Bench {
            consumer,
            now,
            coordinator: Some(2),
            partitions: 2,
            disk,
            rng,
            outbox,
            connections: Vec::new(),
            waiting: Vec::new(),
            log: Vec::new(),
            wake_at: None,
        };
        bench.apply();
        bench
    }

    /// A stable member of generation 1 that owns both partitions, from offset 0, and whose
    /// application works: it has polled at time zero.
    pub fn stable(config: MemberConfig) -> Self {
        Bench::stable_with(setup(config), &[P0, P1])
    }

    pub fn stable_with(setup: ConsumerSetup, owned: &[TopicPartition]) -> Self {
        let mut bench = Bench::new(setup);
        bench.poll(10_000);
        bench.answer_join(1, ME);
        bench.answer_sync(owned);
        bench.call(ConsumerCall::ListenerReturned);
        bench.answer_offsets(&[(P0, 0), (P1, 0)]);
        bench.answer_fetch(&[]);
        bench.call_off_poll();
        bench.did();
        bench
    }

    /// The poll that the application is in returns without records, at once.
    fn call_off_poll(&mut self) {
        if let Call::Poll { .. } = self.consumer.call {
            self.consumer.call = Call::Poll { deadline: self.now };
            self.input(Input::Timer(ConsumerTimer::Wake));
        }
    }

    pub fn input(&mut self, input: ConsumerInput) {
        let (rng, disk, outbox) = (&mut self.rng, &mut self.disk, &mut self.outbox);
        let mut cx = Cx::new(self.now, NodeId(9), rng, disk, outbox);
        self.consumer.handle(&mut cx, input);
        self.apply();
    }

    pub fn call(&mut self, call: ConsumerCall) {
        self.input(Input::Call(call));
    }

    pub fn poll(&mut self, timeout: u64) {
        self.call(ConsumerCall::Poll { timeout: millis(timeout) });
    }

    pub fn commit_sync(&mut self) {
        self.call(ConsumerCall::CommitSync { offsets: None, trigger: CommitTrigger::Sync });
    }

    pub fn commit_async(&mut self) {
        self.call(ConsumerCall::CommitAsync { offsets: None, trigger: CommitTrigger::Async });
    }

    /// What it has done since the last time that this was asked.
    pub fn did(&mut self) -> Vec<Did> {
        std::mem::take(&mut self.log)
    }

    /// What it has reported since the last time that this was asked.
    pub fn reports(&mut self) -> Vec<ConsumerReport> {
        let log = self.did().into_iter();
        let report = |did| if let Did::Report(report) = did { Some(report) } else { None };
        log.filter_map(report).collect()
    }

    /// Time passes.
    pub fn pass(&mut self, duration: SimDuration) {
        self.pass_counting(duration);
    }

    /// Time passes; how often the timer went off.
    pub fn pass_counting(&mut self, duration: SimDuration) -> u64 {
        let until = self.now + duration;
        let mut woken = 0;
        while let Some(at) = self.wake_at.filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.wake_at = None;
            self.input(Input::Timer(ConsumerTimer::Wake));
            woken += 1;
            assert!(woken < 100_000, "the timer goes off without end at {}", self.now);
        }
        self.now = until;
        woken
    }

    fn apply(&mut self) {
        let effects = std::mem::take(&mut self.outbox.effects);
        let mut facts = std::mem::take(&mut self.outbox.facts).into_iter().peekable();
        let mut then = Vec::new();
        for (place, effect) in effects.into_iter().enumerate() {
            while let Some((_, fact)) = facts.next_if(|(before, _)| *before <= place) {
                self.log.push(Did::State(fact));
            }
            match effect {
                Effect::Connect(connection, to) => {
                    self.connections.push((connection, to.node.0));
                    then.push(Input::Connected(connection));
                }
                Effect::Send(connection, Frame::Request(correlation, request)) => {
                    let own = self.own_answer(&request);
                    if let Some(response) = own {
                        let response = Box::new(response);
                        self.end_fetches(connection, &mut then);
                        then.push(Input::Response { connection, correlation, response });
                    } else {
                        if !matches!(*request, Request::Fetch(_)) {
                            self.log.push(Did::Send((*request).clone()));
                        }
                        self.waiting.push((connection, correlation, *request));
                    }
                }
                Effect::SetTimer(ConsumerTimer::Wake, at) => self.wake_at = Some(at),
                Effect::Close(connection) => self.waiting.retain(|entry| entry.0 != connection),
                Effect::Report(report) => self.log.push(Did::Report(report)),
                other => panic!("{other:?}"),
            }
        }
        self.log.extend(facts.map(|(_, fact)| Did::State(fact)));
        then.into_iter().for_each(|input| self.input(input));
    }

    /// A fetch that waits on a connection is over before a request behind it is answered.
    fn end_fetches(&mut self, connection: ConnectionId, then: &mut Vec<ConsumerInput>) {
        let is_there = |entry: &(ConnectionId, CorrelationId, Request)| {
            entry.0 == connection && matches!(entry.2, Request::Fetch(_))
        };
        while let Some(place) = self.waiting.iter().position(is_there) {
            let (connection, correlation, _) = self.waiting.remove(place);
            let response = Response::Fetch(FetchResponse { partitions: Vec::new() });
            let response = Box::new(response);
            then.push(Input::Response { connection, correlation, response });
        }
    }

    fn own_answer(&self, request: &Request) -> Option<Response> {
        match request {
            Request::Metadata(_) => {
                let each = |partition| PartitionMetadata {
                    partition: TopicPartition::new(0, partition),
                    error: ErrorCode::None,
                    leader: Some(BrokerId(1)),
                    leader_epoch: LeaderEpoch(4),
                    replicas: SmallVec::from_slice(&[BrokerId(1)]),
                };
                Some(Response::Metadata(MetadataResponse {
                    brokers: [1, 2].map(|id| (BrokerId(id), NodeId(id))).to_vec(),
                    partitions: (0..self.partitions).map(each).collect(),
                }))
            }
            Request::FindCoordinator(_) => {
                let coordinator = self.coordinator.map(|id| (BrokerId(id), NodeId(id)));
                let error = match coordinator {
                    Some(_) => ErrorCode::None,
                    None => ErrorCode::CoordinatorNotAvailable,
                };
                Some(Response::FindCoordinator(FindCoordinatorResponse { error, coordinator }))
            }
            _ => None,
        }
    }

    // ---- answers --------------------------------------------------------------------------------

    /// Answers the oldest request that is like that, for which there must be one.
    pub fn answer(&mut self, is_it: fn(&Request) -> bool, response: Response) {
        let place = self.waiting.iter().position(|(_, _, request)| is_it(request));
        let (connection, correlation, _) = self.waiting.remove(place.expect("it was asked"));
        let response = Box::new(response);
        self.input(Input::Response { connection, correlation, response });
    }

    /// How many requests like that wait for an answer.
    pub fn count(&self, is_it: fn(&Request) -> bool) -> usize {
        self.waiting.iter().filter(|(_, _, request)| is_it(request)).count()
    }

    pub fn answer_join_with(&mut self, response: JoinGroupResponse) {
        let response = Response::JoinGroup(response);
        self.answer(|request| matches!(request, Request::JoinGroup(_)), response);
    }

    /// A follower has joined.
    pub fn answer_join(&mut self, generation: u32, member: MemberId) {
        self.answer_join_with(joined(generation, member));
    }

    pub fn refuse_join(&mut self, error: ErrorCode) {
        self.answer_join_with(JoinGroupResponse { error, ..joined(0, ME) });
    }

    pub fn answer_sync(&mut self, assignment: &[TopicPartition]) {
        self.answer_sync_with(ErrorCode::None, assignment);
    }

    pub fn answer_sync_with(&mut self, error: ErrorCode, assignment: &[TopicPartition]) {
        let response = SyncGroupResponse { error, assignment: assignment.into() };
        let is_it = |request: &Request| matches!(request, Request::SyncGroup(_));
        self.answer(is_it, Response::SyncGroup(response));
    }

    pub fn answer_heartbeat(&mut self, error: ErrorCode) {
        let response = Response::Heartbeat(HeartbeatResponse { error });
        self.answer(|request| matches!(request, Request::Heartbeat(_)), response);
    }

    pub fn answer_commit(&mut self, error: ErrorCode) {
        let is_it = |request: &Request| matches!(request, Request::OffsetCommit(_));
        let asked = self.waiting.iter().find_map(|(_, _, request)| match request {
            Request::OffsetCommit(commit) => Some(Arc::clone(&commit.offsets)),
            _ => None,
        });
        let offsets = asked.expect("it was asked");
        let partitions = offsets.iter().map(|offset| (offset.partition, error)).collect();
        self.answer(is_it, Response::OffsetCommit(OffsetCommitResponse { partitions }));
    }

    pub fn answer_offsets_with(
        &mut self,
        error: ErrorCode,
        committed: &[(TopicPartition, Option<u64>)],
    ) {
        let partitions = committed.iter().map(|&(partition, offset)| {
            let committed = offset.map(|offset| CommittedOffset {
                offset: Offset(offset),
                leader_epoch: None,
                committed_at: SimTime::ZERO,
            });
            (partition, ErrorCode::None, committed)
        });
        let response = OffsetFetchResponse { error, partitions: partitions.collect() };
        let is_it = |request: &Request| matches!(request, Request::OffsetFetch(_));
        self.answer(is_it, Response::OffsetFetch(response));
    }

    /// The group's committed offsets, those that were asked for.
    pub fn answer_offsets(&mut self, committed: &[(TopicPartition, u64)]) {
        let asked = self.waiting.iter().find_map(|(_, _, request)| match request {
            Request::OffsetFetch(fetch) => Some(fetch.partitions.clone()),
            _ => None,
        });
        let asked = asked.expect("it was asked");
        let known = |partition| committed.iter().find(|entry| entry.0 == partition);
        let answer: Vec<_> = asked
            .into_iter()
            .map(|partition| (partition, known(partition).map(|entry| entry.1)))
            .collect();
        self.answer_offsets_with(ErrorCode::None, &answer);
    }

    /// The leader has these batches.
    pub fn answer_fetch(&mut self, batches: &[(TopicPartition, Arc<RecordBatch>)]) {
        let partitions = batches
            .iter()
            .map(|(partition, batch)| testing::fetched(*partition, std::slice::from_ref(batch)));
        let response = FetchResponse { partitions: partitions.collect() };
        self.answer(|request| matches!(request, Request::Fetch(_)), Response::Fetch(response));
    }

    /// The connection on which the oldest such request waits is lost.
    pub fn lose_connection(&mut self, is_it: fn(&Request) -> bool) {
        let found = self.waiting.iter().find(|(_, _, request)| is_it(request));
        let connection = found.expect("it was asked").0;
        self.waiting.retain(|entry| entry.0 != connection);
        self.input(Input::Closed(connection, CloseReason::Reset));
    }

    /// Some request waits for an answer.
    pub fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Only fetches wait for answers.
    pub fn waits_for_records_only(&self) -> bool {
        self.waiting.iter().all(|(_, _, request)| matches!(request, Request::Fetch(_)))
    }

    /// The connection of a request is lost.
    pub fn lose_any(&mut self, which: usize) {
        if self.waiting.is_empty() {
            return;
        }
        let connection = self.waiting[which % self.waiting.len()].0;
        self.waiting.retain(|entry| entry.0 != connection);
        self.input(Input::Closed(connection, CloseReason::Reset));
    }

    /// Answers the oldest request on the connection of request number `which`: with `error` where
    /// it can have one.
    pub fn answer_any(&mut self, which: usize, error: Option<ErrorCode>, generation: u32) {
        if self.waiting.is_empty() {
            return;
        }
        let (connection, ..) = self.waiting[which % self.waiting.len()];
        let place = self.waiting.iter().position(|entry| entry.0 == connection);
        let (connection, correlation, request) = self.waiting.remove(place.expect("it was chosen"));
        let response = Box::new(any_answer(&request, error.unwrap_or_default(), generation));
        self.input(Input::Response { connection, correlation, response });
    }

    /// Polls, and is given `count` records of [`P0`] from `base` on.
    pub fn read(&mut self, base: u64, count: usize) {
        self.poll(1_000);
        self.answer_fetch(&[(P0, batch(base, count))]);
        self.did();
    }
}

/// An answer to anything.
fn any_answer(request: &Request, error: ErrorCode, generation: u32) -> Response {
    let shares = [&[P0, P1][..], &[P0], &[P1], &[]];
    match request {
        Request::JoinGroup(join) => Response::JoinGroup(JoinGroupResponse {
            error,
            ..match (generation.is_multiple_of(3), join.member) {
                (true, Some(ME)) => joined_as_leader(generation),
                _ => joined(generation, ME),
            }
        }),
        Request::SyncGroup(_) => Response::SyncGroup(SyncGroupResponse {
            error,
            assignment: shares[generation as usize % 4].into(),
        }),
        Request::Heartbeat(_) => Response::Heartbeat(HeartbeatResponse { error }),
        Request::LeaveGroup(_) => Response::LeaveGroup(LeaveGroupResponse { error }),
        Request::OffsetCommit(commit) => Response::OffsetCommit(OffsetCommitResponse {
            partitions: commit.offsets.iter().map(|it| (it.partition, error)).collect(),
        }),
        Request::OffsetFetch(fetch) => {
            let committed = |partition: &TopicPartition| {
                let committed = CommittedOffset {
                    offset: Offset(u64::from(generation % 7)),
                    leader_epoch: None,
                    committed_at: SimTime::ZERO,
                };
                (*partition, ErrorCode::None, Some(committed))
            };
            let partitions = fetch.partitions.iter().map(committed).collect();
            Response::OffsetFetch(OffsetFetchResponse { error, partitions })
        }
        Request::Fetch(fetch) => {
            let answer = |asked: &acklab_vocab::api::PartitionFetch| {
                let batch = batch(asked.fetch_offset.0, 1 + generation as usize % 3);
                testing::fetched(asked.partition, &[batch])
            };
            let partitions = fetch.partitions.iter().take(1).map(answer).collect();
            Response::Fetch(FetchResponse { partitions })
        }
        other => panic!("nobody is asked {other:?}"),
    }
}

// ---- what is expected ---------------------------------------------------------------------------

/// A batch of the leader epoch of all.
pub(super) fn batch(base: u64, count: usize) -> Arc<RecordBatch> {
    testing::batch(base, count, 4)
}

pub(super) fn joined(generation: u32, member: MemberId) -> JoinGroupResponse {
    JoinGroupResponse {
        error: ErrorCode::None,
        generation: Generation(generation),
        protocol: Some(Assignor::Range),
        leader: Some(OTHER),
        member: Some(member),
        members: Vec::new(),
        skip_assignment: false,
    }
}

/// It is the leader of a group of both.
pub(super) fn joined_as_leader(generation: u32) -> JoinGroupResponse {
    let subscription = Arc::new(subscription(&[], None));
    let member = |member| JoinGroupMember {
        member,
        instance: None,
        subscription: Arc::clone(&subscription),
    };
    JoinGroupResponse {
        leader: Some(ME),
        members: vec![member(ME), member(OTHER)],
        ..joined(generation, ME)
    }
}

pub(super) fn subscription(owned: &[TopicPartition], generation: Option<u32>) -> Subscription {
    let topics = SmallVec::from_slice(&[TopicId(0)]);
    Subscription { topics, owned: owned.to_vec(), generation: generation.map(Generation) }
}

pub(super) fn at(partition: TopicPartition, offset: u64, epoch: Option<u32>) -> OffsetToCommit {
    let leader_epoch = epoch.map(LeaderEpoch);
    OffsetToCommit { partition, offset: Offset(offset), leader_epoch }
}
