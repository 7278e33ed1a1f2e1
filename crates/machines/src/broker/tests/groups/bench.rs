//! A broker that leads the only partition of `__consumer_offsets`, with a clock for its timers.

use crate::broker::tests::rig::{
    Effects, Rig, at_ms, broker_epoch, brokers, follower_connection, topic,
};
use crate::broker::{BrokerCall, BrokerTimer, Coordination, CoordinatorKind};
use crate::disk::{Disk, MetadataLogFile};
use crate::machine::{Effect, Input};
use acklab_vocab::api::*;
use acklab_vocab::config::{BrokerConfig, TopicConfig};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::group::{Assignor, Subscription};
use acklab_vocab::ids::*;
use acklab_vocab::metadata_log::{MetadataRecord, PartitionState};
use acklab_vocab::properties::broker_config;
use acklab_vocab::rules::ProtocolRules;
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::TraceEvent;
use smallvec::smallvec;
use std::collections::BTreeMap;
use std::sync::Arc;

pub const GROUP: GroupId = GroupId(0);
pub const OFFSETS: TopicPartition = TopicPartition::new(1, 0);
/// What a member waits for a rebalance.
pub const REBALANCE_TIMEOUT: u64 = 60_000;
/// How long a member may be silent.
pub const SESSION_TIMEOUT: u64 = 10_000;

/// Who was answered, by its number, and what.
pub type Answers = Vec<(u32, Response)>;

pub fn version(text: &str) -> BrokerConfig {
    let version = text.parse().expect("a version");
    broker_config(version, ProtocolRules::of(version), &[]).expect("the defaults")
}

pub fn ms(millis: u64) -> SimDuration {
    SimDuration::from_millis(millis)
}

pub struct Bench {
    pub rig: Rig,
    timers: BTreeMap<BrokerTimer, SimTime>,
    answers: Answers,
    correlation: u32,
    epoch: u32,
    config: BrokerConfig,
    min_isr: u16,
}

impl Bench {
    /// Broker 1 leads the offsets partition alone, and has read it.
    pub fn new(config: BrokerConfig) -> Bench {
        Bench::with_isr(config, 1, &[1])
    }

    /// Broker 1 leads the offsets partition, whose ISR is `isr`, and has read it.
    pub fn with_isr(config: BrokerConfig, min_isr: u16, isr: &[u16]) -> Bench {
        let mut bench = Bench::booted(config, min_isr, Disk::default());
        bench.elect(1, isr);
        bench.run_until(0);
        bench.load();
        bench.rig.facts();
        bench
    }

    /// As [`Bench::new`], with a limit for the batches of the offsets partition.
    pub fn with_largest_batch(config: BrokerConfig, max_message_bytes: u32) -> Bench {
        let offsets = TopicConfig { max_message_bytes, ..topic() };
        let mut bench = Bench::booted_with(config, offsets, Disk::default());
        bench.elect(1, &[1]);
        bench.load();
        bench
    }

    fn booted(config: BrokerConfig, min_isr: u16, disk: Disk) -> Bench {
        let offsets = TopicConfig { min_insync_replicas: min_isr, ..topic() };
        Bench::booted_with(config, offsets, disk)
    }

    fn booted_with(config: BrokerConfig, offsets: TopicConfig, disk: Disk) -> Bench {
        let min_isr = offsets.min_insync_replicas;
        let coordination = Coordination {
            offsets_topic: Some(OFFSETS.topic),
            transactions_topic: None,
            group_ids: vec!["group".to_owned(), "other".to_owned()],
            transactional_ids: Vec::new(),
            ..Coordination::default()
        };
        let rig = Rig::running_in(config.clone(), vec![topic(), offsets], coordination, disk);
        let mut bench = Bench {
            rig,
            timers: BTreeMap::new(),
            answers: Vec::new(),
            correlation: 0,
            epoch: 0,
            config,
            min_isr,
        };
        let records = (0..4).map(|index| state(TopicPartition::new(0, index), 1, 1, &[1], &[1]));
        let effects = bench.rig.metadata(records.collect());
        bench.apply(effects);
        bench
    }

    /// The broker dies and starts again on the same disk; it leads the partition in the next epoch.
    pub fn restarted(self, isr: &[u16]) -> Bench {
        let Bench { rig, epoch, config, min_isr, .. } = self;
        let now = rig.now;
        // The bench's controller writes its log anew.
        let mut disk = rig.disk;
        disk.metadata_log = MetadataLogFile::default();
        let mut bench = Bench::booted(config, min_isr, disk);
        bench.epoch = epoch;
        bench.rig.now = now;
        bench.elect(1, isr);
        bench
    }

    /// `leader` leads the offsets partition in the next epoch.
    pub fn elect(&mut self, leader: u16, isr: &[u16]) -> Answers {
        self.epoch += 1;
        // With `min.insync.replicas` there have to be so many.
        let alone = self.min_isr == 1 && leader == 1 && isr.len() == 1;
        let replicas: &[u16] = if alone { &[1] } else { &[1, 2, 3] };
        let effects = self.rig.metadata(vec![state(OFFSETS, leader, self.epoch, replicas, isr)]);
        self.apply(effects);
        std::mem::take(&mut self.answers)
    }

    /// The load that is under way ends.
    pub fn load(&mut self) -> Answers {
        let timer = BrokerTimer::CoordinatorLoad(CoordinatorKind::Groups);
        assert!(self.timers.remove(&timer).is_some(), "a partition is being read");
        self.input(Input::Timer(timer))
    }

    /// Member number `who` asks, from the process of that number.
    pub fn ask(&mut self, who: u32, request: Request) -> Answers {
        self.correlation += 1;
        let input = Input::Request {
            connection: ConnectionId(5_000 + who),
            correlation: CorrelationId(self.correlation),
            from: NodeId(who as u16),
            request: Box::new(request),
        };
        self.input(input)
    }

    /// As [`Bench::ask`]: everything that the broker does about it, and the number of the request.
    pub fn effects_of(&mut self, who: u32, request: Request) -> (Effects, CorrelationId) {
        self.correlation += 1;
        let correlation = CorrelationId(self.correlation);
        let input = Input::Request {
            connection: ConnectionId(5_000 + who),
            correlation,
            from: NodeId(who as u16),
            request: Box::new(request),
        };
        (self.rig.raw(input), correlation)
    }

    /// Broker 2 fetches everything of the offsets partition, twice: the second time the leader
    /// learns that it has it.
    pub fn replicate(&mut self) -> Answers {
        let led = self.rig.broker.led_partitions().find(|led| led.0 == OFFSETS);
        let (_, epoch, end, _) = led.expect("it leads");
        self.correlation += 1;
        let request = Request::Fetch(FetchRequest {
            replica: Some(FetchingReplica { broker: BrokerId(2), broker_epoch: broker_epoch(2) }),
            max_wait: ms(0),
            min_bytes: 1,
            max_bytes: 10 << 20,
            isolation: Isolation::LogEnd,
            session: FetchSessionUpdate::Full,
            partitions: vec![PartitionFetch {
                partition: OFFSETS,
                current_leader_epoch: Some(epoch),
                fetch_offset: end,
                last_fetched_epoch: None,
                max_bytes: 1 << 20,
            }],
        });
        let input = Input::Request {
            connection: follower_connection(2),
            correlation: CorrelationId(self.correlation),
            from: NodeId(2),
            request: Box::new(request),
        };
        self.input(input)
    }

    /// Lets time pass, timers included.
    pub fn run_until(&mut self, millis: i64) -> Answers {
        let end = at_ms(millis);
        while let Some((&timer, &at)) = self
            .timers
            .iter()
            .filter(|&(_, &at)| at <= end)
            .min_by_key(|&(&timer, &at)| (at, timer))
        {
            self.timers.remove(&timer);
            self.rig.now = self.rig.now.max(at);
            let effects = self.rig.call(Input::Timer(timer));
            self.apply(effects);
        }
        self.rig.now = self.rig.now.max(end);
        std::mem::take(&mut self.answers)
    }

    /// The partition's log end offset and high watermark.
    pub fn offsets_log(&self) -> (u64, u64) {
        let led = self.rig.broker.led_partitions().find(|led| led.0 == OFFSETS);
        let (_, _, end, high_watermark) = led.expect("it leads");
        (end.0, high_watermark.0)
    }

    /// The facts about groups since the last time.
    pub fn group_facts(&mut self) -> Vec<TraceEvent> {
        let is_ours = |fact: &TraceEvent| {
            !matches!(
                fact,
                TraceEvent::Appended { .. }
                    | TraceEvent::HighWatermarkAdvanced { .. }
                    | TraceEvent::FollowerFetched { .. }
            )
        };
        self.rig.facts().into_iter().filter(is_ours).collect()
    }

    fn input(&mut self, input: Input<BrokerTimer, BrokerCall>) -> Answers {
        let effects = self.rig.call(input);
        self.apply(effects);
        std::mem::take(&mut self.answers)
    }

    fn apply(&mut self, effects: Effects) {
        for effect in effects {
            match effect {
                Effect::SetTimer(timer, at) => {
                    self.timers.insert(timer, at);
                }
                Effect::CancelTimer(timer) => {
                    self.timers.remove(&timer);
                }
                Effect::Send(ConnectionId(to), Frame::Response(_, response)) if to >= 5_000 => {
                    self.answers.push((to - 5_000, *response));
                }
                _ => {}
            }
        }
    }
}

fn state(
    partition: TopicPartition,
    leader: u16,
    epoch: u32,
    replicas: &[u16],
    isr: &[u16],
) -> MetadataRecord {
    MetadataRecord::PartitionChange(PartitionState {
        partition,
        replicas: brokers(replicas),
        isr: brokers(isr),
        eligible: BrokerList::new(),
        leader: Some(BrokerId(leader)),
        leader_epoch: LeaderEpoch(epoch),
        partition_epoch: PartitionEpoch(epoch),
        recovering: false,
    })
}

// ---- requests

pub fn subscription(topics: &[u16]) -> Arc<Subscription> {
    let topics = topics.iter().map(|&topic| TopicId(topic)).collect();
    Arc::new(Subscription { topics, owned: Vec::new(), generation: None })
}

pub fn join_request(member: Option<MemberId>) -> JoinGroupRequest {
    JoinGroupRequest {
        group: GROUP,
        member,
        instance: None,
        session_timeout: ms(SESSION_TIMEOUT),
        rebalance_timeout: ms(REBALANCE_TIMEOUT),
        protocols: smallvec![(Assignor::Range, subscription(&[0]))],
        understands_member_id_required: true,
    }
}

pub fn sync(generation: u32, member: MemberId, assigned: &[(MemberId, &[u16])]) -> Request {
    let assignments = assigned.iter().map(|&(id, partitions)| (id, orders(partitions)));
    Request::SyncGroup(SyncGroupRequest {
        group: GROUP,
        generation: Generation(generation),
        member,
        instance: None,
        assignments: assignments.collect(),
    })
}

pub fn heartbeat(generation: u32, member: MemberId) -> Request {
    let (group, generation) = (GROUP, Generation(generation));
    Request::Heartbeat(HeartbeatRequest { group, generation, member, instance: None })
}

pub fn leave(member: MemberId) -> Request {
    let reason = LeaveReason::Closed;
    Request::LeaveGroup(LeaveGroupRequest { group: GROUP, member, instance: None, reason })
}

pub fn commit_request(
    member: Option<(u32, MemberId)>,
    partition: u16,
    offset: u64,
) -> OffsetCommitRequest {
    OffsetCommitRequest {
        group: GROUP,
        generation: member.map(|(generation, _)| Generation(generation)),
        member: member.map(|(_, member)| member),
        instance: None,
        offsets: offsets(partition, offset),
        understands_member_epochs: true,
    }
}

pub fn commit(member: Option<(u32, MemberId)>, partition: u16, offset: u64) -> Request {
    Request::OffsetCommit(commit_request(member, partition, offset))
}

pub fn fetch_offset(require_stable: bool) -> Request {
    Request::OffsetFetch(OffsetFetchRequest {
        group: GROUP,
        member: None,
        partitions: vec![TopicPartition::new(0, 0)],
        require_stable,
    })
}

// ---- answers

pub fn orders(partitions: &[u16]) -> Arc<[TopicPartition]> {
    partitions.iter().map(|&index| TopicPartition::new(0, index)).collect()
}

pub fn offsets(partition: u16, offset: u64) -> Arc<[OffsetToCommit]> {
    let partition = TopicPartition::new(0, partition);
    [OffsetToCommit { partition, offset: Offset(offset), leader_epoch: None }].into()
}

pub fn join_refused(member: Option<MemberId>, error: ErrorCode) -> Response {
    Response::JoinGroup(JoinGroupResponse {
        error,
        generation: Generation(0),
        protocol: None,
        leader: None,
        member,
        members: Vec::new(),
        skip_assignment: false,
    })
}

pub fn synced(error: ErrorCode, partitions: &[u16]) -> Response {
    Response::SyncGroup(SyncGroupResponse { error, assignment: orders(partitions) })
}

pub fn beaten(error: ErrorCode) -> Response {
    Response::Heartbeat(HeartbeatResponse { error })
}

pub fn left(error: ErrorCode) -> Response {
    Response::LeaveGroup(LeaveGroupResponse { error })
}

pub fn committed(partition: u16, error: ErrorCode) -> Response {
    let partition = TopicPartition::new(0, partition);
    Response::OffsetCommit(OffsetCommitResponse { partitions: smallvec![(partition, error)] })
}

/// The answer to a JoinGroup that was accepted: generation, leader, member, and whom the leader is
/// told of.
pub fn joined(
    generation: u32,
    leader: MemberId,
    member: MemberId,
    members: &[MemberId],
) -> Response {
    let members = members.iter().map(|&member| JoinGroupMember {
        member,
        instance: None,
        subscription: subscription(&[0]),
    });
    Response::JoinGroup(JoinGroupResponse {
        error: ErrorCode::None,
        generation: Generation(generation),
        protocol: Some(Assignor::Range),
        leader: Some(leader),
        member: Some(member),
        members: members.collect(),
        skip_assignment: false,
    })
}

/// orders-0 may still change: who asks for stable offsets has to come again.
pub fn unstable() -> Response {
    let partitions = vec![(TopicPartition::new(0, 0), ErrorCode::UnstableOffsetCommit, None)];
    Response::OffsetFetch(OffsetFetchResponse { error: ErrorCode::None, partitions })
}

/// What OffsetFetch says of orders-0: the offset, if there is one.
pub fn offset_in(answers: &Answers) -> Option<Option<u64>> {
    match answers.as_slice() {
        [(_, Response::OffsetFetch(response))] if response.error.is_none() => {
            Some(response.partitions[0].2.map(|committed| committed.offset.0))
        }
        _ => None,
    }
}

impl Bench {
    /// Member number `who` joins for the first time: it has an id, and waits.
    pub fn join_dynamic(&mut self, who: u32) -> MemberId {
        let answers = self.ask(who, Request::JoinGroup(join_request(None)));
        let id = match answers.as_slice() {
            [(_, Response::JoinGroup(response))]
                if response.error == ErrorCode::MemberIdRequired =>
            {
                response.member.expect("an id")
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(self.ask(who, Request::JoinGroup(join_request(Some(id)))), []);
        id
    }

    /// A Stable group of members number 1 and 2, of which 1 leads, in generation 1; member 1 owns
    /// orders-0, member 2 orders-1. At 3 s.
    pub fn stable_pair(&mut self) -> (MemberId, MemberId) {
        let one = self.join_dynamic(1);
        let two = self.join_dynamic(2);
        let mut answers = self.run_until(3_000);
        if answers.is_empty() {
            answers = self.run_until(6_000);
        }
        assert_eq!(answers.len(), 2, "{answers:?}");
        self.ask(2, sync(1, two, &[]));
        self.ask(1, sync(1, one, &[(one, &[0]), (two, &[1])]));
        self.run_until(self.rig.now.0 / 1_000_000 + 5);
        (one, two)
    }
}

impl Bench {
    /// `offsets.retention.check.interval.ms` is over.
    pub fn expire(&mut self) {
        let answers = self.input(Input::Timer(BrokerTimer::OffsetsExpiration));
        assert_eq!(answers, []);
    }
}
