//! A KIP-848 group, heartbeat by heartbeat, without a log: what is decided is replayed at once.

mod random;

use super::heartbeat::{Answered, Deadlines, HeartbeatContext, check_request};
use super::*;
use acklab_vocab::api::{
    Acks, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, LeaveReason, MemberEpoch,
};
use acklab_vocab::config::GroupCoordinatorConfig;
use acklab_vocab::group::RemoteAssignor;
use acklab_vocab::ids::{GroupId, TopicId};
use acklab_vocab::time::SimDuration;
use acklab_vocab::trace::{RebalanceReason, RemovalReason, TraceEvent};

const GROUP: GroupId = GroupId(0);
const POLL: SimDuration = SimDuration::from_secs(300);
const INTERVAL: SimDuration = SimDuration::from_secs(5);

pub(super) fn config() -> GroupCoordinatorConfig {
    GroupCoordinatorConfig {
        commit_timeout: SimDuration::from_secs(5),
        commit_acks: Acks::All,
        offsets_retention: SimDuration::from_secs(604_800),
        offsets_retention_check_interval: SimDuration::from_secs(600),
        append_linger: Some(SimDuration::from_millis(5)),
        initial_rebalance_delay: SimDuration::from_secs(3),
        min_session_timeout: SimDuration::from_secs(6),
        max_session_timeout: SimDuration::from_secs(1_800),
        max_size: u32::MAX,
        consumer_protocol: true,
        consumer_heartbeat_interval: INTERVAL,
        consumer_session_timeout: SimDuration::from_secs(45),
        consumer_assignors: vec![RemoteAssignor::Uniform, RemoteAssignor::Range],
    }
}

/// A group and what its last step came to.
pub(super) struct Rig {
    pub(super) group: ConsumerGroup,
    topics: PartitionCounts,
    config: GroupCoordinatorConfig,
    last: Option<Answered>,
}

impl Rig {
    /// A new group, and one topic.
    pub(super) fn new(partitions: u16) -> Self {
        Rig {
            group: ConsumerGroup::default(),
            topics: [(TopicId(0), partitions)].into(),
            config: config(),
            last: None,
        }
    }

    pub(super) fn send(
        &mut self,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> Result<ConsumerGroupHeartbeatResponse, ErrorCode> {
        let member = request.member.expect("the tests name their members");
        let cx = self.context(member);
        let answered = self.group.heartbeat(&cx, request, member)?;
        Ok(self.apply(answered))
    }

    pub(super) fn remove(&mut self, member: u64, reason: RemovalReason) {
        let member = MemberId(member);
        let answered = self.group.remove(&self.context(member), member, reason).unwrap();
        self.apply(answered);
    }

    fn context(&self, member: MemberId) -> HeartbeatContext<'_> {
        let from = NodeId(member.0 as u16);
        HeartbeatContext { group: GROUP, from, config: &self.config, topics: &self.topics }
    }

    fn apply(&mut self, answered: Answered) -> ConsumerGroupHeartbeatResponse {
        for record in &answered.records {
            assert!(self.group.replay(record));
        }
        if let Some(subscribed) = &answered.subscribed {
            self.group.subscribed = Some(subscribed.clone());
        }
        let response = answered.response.clone();
        self.last = Some(answered);
        response
    }

    fn last(&self) -> &Answered {
        self.last.as_ref().unwrap()
    }

    /// What a heartbeat is answered: `epoch: partitions`, or the error.
    fn check(&mut self, request: &ConsumerGroupHeartbeatRequest, expected: &str) {
        let answer = match self.send(request) {
            Err(error) => error.to_string(),
            Ok(response) => shown(&response),
        };
        assert_eq!(answer, expected, "{request:?}");
    }

    fn state(&self, expected: GroupState) {
        assert_eq!(self.group.state(), expected);
    }
}

fn shown(response: &ConsumerGroupHeartbeatResponse) -> String {
    let assignment = match &response.assignment {
        None => " same".to_owned(),
        Some(assignment) => {
            assignment.iter().map(|partition| format!(" {}", partition.partition)).collect()
        }
    };
    format!("{}:{assignment}", response.epoch)
}

fn partitions(indices: &[u16]) -> Vec<TopicPartition> {
    indices.iter().map(|&index| TopicPartition::new(0, index)).collect()
}

pub(super) fn join(member: u64) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        group: GROUP,
        member: Some(MemberId(member)),
        epoch: MemberEpoch::Joining,
        instance: None,
        rebalance_timeout: Some(POLL),
        topics: Some(SmallVec::from_slice(&[TopicId(0)])),
        assignor: None,
        owned: Some(Vec::new()),
    }
}

/// A heartbeat with nothing to say.
pub(super) fn beat(member: u64, epoch: u32) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        epoch: MemberEpoch::Member(Generation(epoch)),
        rebalance_timeout: None,
        topics: None,
        owned: None,
        ..join(member)
    }
}

/// A heartbeat that says what the member owns.
pub(super) fn owning(member: u64, epoch: u32, owned: &[u16]) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest { owned: Some(partitions(owned)), ..beat(member, epoch) }
}

fn leave(member: u64) -> ConsumerGroupHeartbeatRequest {
    let epoch = MemberEpoch::Leaving(LeaveReason::Closed);
    ConsumerGroupHeartbeatRequest { epoch, ..beat(member, 0) }
}

fn with_instance(
    request: ConsumerGroupHeartbeatRequest,
    instance: u16,
) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest { instance: Some(GroupInstanceId(instance)), ..request }
}

fn go_away(member: u64, instance: u16) -> ConsumerGroupHeartbeatRequest {
    let epoch = MemberEpoch::LeavingStatic;
    with_instance(ConsumerGroupHeartbeatRequest { epoch, ..beat(member, 0) }, instance)
}

#[test]
fn the_first_member_owns_everything_at_once() {
    let mut rig = Rig::new(3);
    rig.check(&join(1), "1: 0 1 2");
    rig.state(GroupState::Stable);
    assert_eq!(rig.last().deadlines, Deadlines::Session { revocation: Some(None) });
    let (member, node) = (MemberId(1), NodeId(1));
    assert_eq!(
        rig.last().facts,
        [
            TraceEvent::MemberJoined { group: GROUP, member, instance: None, member_node: node },
            TraceEvent::RebalanceStarted {
                group: GROUP,
                generation: Generation(1),
                reason: RebalanceReason::MemberJoined,
                member: Some(member),
            },
        ]
    );
    let all: Arc<[TopicPartition]> = partitions(&[0, 1, 2]).into();
    assert_eq!(
        rig.last().stored,
        [TraceEvent::Assigned {
            group: GROUP,
            generation: Generation(1),
            assignment: [(member, all)].into(),
            partial: true,
        }]
    );
    rig.check(&beat(1, 1), "1: same");
    assert_eq!((&rig.last().records[..], &rig.last().facts[..]), (&[][..], &[][..]));
    assert_eq!(rig.last().deadlines, Deadlines::Session { revocation: None });
}

#[test]
fn a_partition_goes_to_its_new_owner_only_when_the_old_one_has_given_it_up() {
    let mut rig = Rig::new(4);
    rig.check(&join(1), "1: 0 1 2 3");
    rig.check(&join(2), "2:");
    rig.state(GroupState::Reconciling);
    rig.check(&beat(2, 2), "2: same");
    rig.check(&beat(1, 1), "1: 0 1");
    let revocation = Some(Some(POLL));
    assert_eq!(rig.last().deadlines, Deadlines::Session { revocation });
    rig.check(&beat(2, 2), "2: same");
    rig.check(&beat(1, 1), "1: same");
    assert_eq!(rig.last().deadlines, Deadlines::Session { revocation: None });
    rig.check(&owning(1, 1, &[0, 1, 2]), "1: same");
    rig.check(&owning(1, 1, &[0, 1]), "2: same");
    assert_eq!(rig.last().deadlines, Deadlines::Session { revocation: Some(None) });
    rig.state(GroupState::Reconciling);
    rig.check(&beat(2, 2), "2: 2 3");
    rig.state(GroupState::Stable);
}

#[test]
fn while_it_is_revoking_a_member_is_still_said_to_own() {
    let mut rig = Rig::new(2);
    rig.send(&join(1)).unwrap();
    rig.send(&join(2)).unwrap();
    rig.check(&beat(1, 1), "1: 0");
    let assigned = |generation, indices: &[u16]| TraceEvent::Assigned {
        group: GROUP,
        generation: Generation(generation),
        assignment: [(MemberId(1), partitions(indices).into())].into(),
        partial: true,
    };
    assert_eq!(rig.last().stored, [assigned(1, &[0, 1])]);
    rig.check(&owning(1, 1, &[0]), "2: same");
    assert_eq!(rig.last().stored, [assigned(2, &[0])]);
}

#[test]
fn a_member_that_leaves_releases_what_it_had_at_once() {
    let mut rig = Rig::new(2);
    rig.send(&join(1)).unwrap();
    rig.send(&join(2)).unwrap();
    rig.check(&leave(1), "0: same");
    assert_eq!(rig.last().deadlines, Deadlines::Cancel);
    rig.state(GroupState::Assigning);
    rig.check(&beat(2, 2), "3: 0 1");
    rig.state(GroupState::Stable);
    rig.check(&leave(2), "0: same");
    rig.state(GroupState::Empty);
    rig.check(&beat(2, 3), "UNKNOWN_MEMBER_ID");
    rig.check(&leave(2), "UNKNOWN_MEMBER_ID");
    assert_eq!(rig.group.epoch, Generation(4));
}

#[test]
fn a_member_that_was_silent_is_removed_and_joins_again_under_its_id() {
    let mut rig = Rig::new(2);
    rig.send(&join(1)).unwrap();
    rig.send(&join(2)).unwrap();
    rig.remove(1, RemovalReason::SessionExpired);
    let removed = TraceEvent::MemberRemoved {
        group: GROUP,
        member: MemberId(1),
        member_node: NodeId(1),
        reason: RemovalReason::SessionExpired,
    };
    assert_eq!(rig.last().facts[0], removed);
    rig.check(&beat(1, 1), "UNKNOWN_MEMBER_ID");
    rig.check(&beat(2, 2), "3: 0 1");
    rig.check(&join(1), "4:");
    rig.check(&beat(2, 3), "3: 0");
    rig.check(&owning(2, 3, &[0]), "4: same");
    rig.check(&beat(1, 4), "4: 1");
}

#[test]
fn another_epoch_is_fenced_but_for_the_last_one_when_the_answer_was_lost() {
    let mut rig = Rig::new(4);
    rig.send(&join(1)).unwrap();
    rig.check(&beat(1, 2), "FENCED_MEMBER_EPOCH");
    rig.check(&join(1), "1: 0 1 2 3");
    rig.send(&join(2)).unwrap();
    rig.send(&beat(1, 1)).unwrap();
    rig.check(&owning(1, 1, &[0, 1]), "2: same");
    rig.check(&owning(1, 1, &[0, 1]), "2: same");
    rig.check(&owning(1, 1, &[0, 1, 2]), "FENCED_MEMBER_EPOCH");
    rig.check(&beat(1, 1), "FENCED_MEMBER_EPOCH");
    rig.check(&join(1), "FENCED_MEMBER_EPOCH");
    rig.check(&beat(2, 2), "2: 2 3");
    rig.check(&beat(3, 1), "UNKNOWN_MEMBER_ID");
}

#[test]
fn a_full_heartbeat_is_told_its_assignment_again() {
    let mut rig = Rig::new(2);
    rig.send(&join(1)).unwrap();
    let full = ConsumerGroupHeartbeatRequest {
        epoch: MemberEpoch::Member(Generation(1)),
        owned: Some(partitions(&[0, 1])),
        ..join(1)
    };
    rig.check(&full, "1: 0 1");
    rig.check(&owning(1, 1, &[0, 1]), "1: same");
}

#[test]
fn a_static_member_that_comes_back_takes_over_without_a_rebalance() {
    let mut rig = Rig::new(2);
    rig.check(&with_instance(join(1), 7), "1: 0 1");
    rig.check(&with_instance(join(2), 7), "UNRELEASED_INSTANCE_ID");
    rig.check(&go_away(1, 7), "0: same");
    assert_eq!(rig.last().deadlines, Deadlines::Keep);
    rig.state(GroupState::Reconciling);
    rig.check(&with_instance(beat(1, 1), 7), "FENCED_MEMBER_EPOCH");
    rig.check(&join(3), "2:");
    rig.check(&with_instance(join(2), 7), "2: 0");
    rig.check(&with_instance(beat(1, 1), 7), "FENCED_INSTANCE_ID");
    rig.check(&with_instance(leave(1), 7), "FENCED_INSTANCE_ID");
    rig.check(&with_instance(beat(1, 1), 8), "UNKNOWN_MEMBER_ID");
    assert_eq!(rig.group.members.len(), 2);
}

#[test]
fn a_static_member_that_comes_back_into_the_same_group_has_what_it_had() {
    let mut rig = Rig::new(2);
    rig.send(&with_instance(join(1), 7)).unwrap();
    rig.send(&join(3)).unwrap();
    rig.send(&with_instance(beat(1, 1), 7)).unwrap();
    rig.send(&with_instance(owning(1, 1, &[0]), 7)).unwrap();
    rig.check(&beat(3, 2), "2: 1");
    rig.check(&go_away(1, 7), "0: same");
    rig.check(&beat(3, 2), "2: same");
    rig.check(&with_instance(join(2), 7), "2: 0");
    rig.state(GroupState::Stable);
    assert_eq!(rig.group.epoch, Generation(2));
}

/// `consumerGroupStaticMemberGroupLeave`: what it had yet to give up, it does not use any more.
#[test]
fn a_static_member_that_goes_away_has_given_up_what_it_had_to() {
    let mut rig = Rig::new(2);
    rig.send(&with_instance(join(1), 7)).unwrap();
    rig.check(&join(3), "2:");
    rig.check(&with_instance(beat(1, 1), 7), "1: 0");
    rig.check(&beat(3, 2), "2: same");
    rig.check(&go_away(1, 7), "0: same");
    let kept = [(MemberId(1), Arc::from(partitions(&[0])))].into();
    let generation = Generation(1);
    let stated = TraceEvent::Assigned { group: GROUP, generation, assignment: kept, partial: true };
    assert_eq!(rig.last().stored, [stated]);
    rig.check(&beat(3, 2), "2: 1");
    // Nothing was left to give up.
    rig.check(&with_instance(join(2), 7), "2: 0");
    rig.check(&go_away(2, 7), "0: same");
    assert_eq!(rig.last().stored, []);
}

#[test]
fn a_static_member_that_leaves_for_good_is_removed() {
    let mut rig = Rig::new(2);
    rig.send(&with_instance(join(1), 7)).unwrap();
    rig.check(&with_instance(leave(1), 7), "0: same");
    rig.state(GroupState::Empty);
    rig.check(&with_instance(join(2), 7), "3: 0 1");
}

#[test]
fn commits_need_the_present_epoch() {
    let mut rig = Rig::new(2);
    let commit = |rig: &Rig, member: Option<u64>, epoch: Option<u32>| {
        rig.group.validate_commit(member.map(MemberId), epoch.map(Generation))
    };
    assert_eq!(commit(&rig, None, None), Ok(()));
    assert_eq!(commit(&rig, Some(1), Some(1)), Err(ErrorCode::UnknownMemberId));
    rig.send(&join(1)).unwrap();
    rig.send(&join(2)).unwrap();
    assert_eq!(commit(&rig, None, None), Err(ErrorCode::UnknownMemberId));
    assert_eq!(commit(&rig, Some(1), Some(1)), Ok(()));
    assert_eq!(commit(&rig, Some(1), Some(2)), Err(ErrorCode::StaleMemberEpoch));
    assert_eq!(commit(&rig, Some(1), None), Err(ErrorCode::StaleMemberEpoch));
    rig.send(&beat(1, 1)).unwrap();
    assert_eq!(commit(&rig, Some(1), Some(1)), Ok(()));
    rig.send(&owning(1, 1, &[0])).unwrap();
    assert_eq!(commit(&rig, Some(1), Some(1)), Err(ErrorCode::StaleMemberEpoch));
    assert_eq!(commit(&rig, Some(1), Some(2)), Ok(()));
    let fetch =
        |member: u64, epoch| rig.group.validate_fetch(Some((MemberId(member), Generation(epoch))));
    assert_eq!(rig.group.validate_fetch(None), Ok(()));
    assert_eq!(fetch(1, 2), Ok(()));
    assert_eq!(fetch(1, 1), Err(ErrorCode::StaleMemberEpoch));
    assert_eq!(fetch(9, 1), Err(ErrorCode::UnknownMemberId));
}

#[test]
fn a_topic_that_has_grown_raises_the_group_epoch_with_the_next_heartbeat() {
    let mut rig = Rig::new(2);
    rig.send(&join(1)).unwrap();
    rig.topics.insert(TopicId(0), 3);
    rig.check(&beat(1, 1), "2: 0 1 2");
    let reasons: Vec<_> = rig.last().facts.iter().collect();
    let started = TraceEvent::RebalanceStarted {
        group: GROUP,
        generation: Generation(2),
        reason: RebalanceReason::MetadataChanged,
        member: Some(MemberId(1)),
    };
    assert_eq!(reasons, [&started]);
    rig.check(&beat(1, 2), "2: same");
}

#[test]
fn the_assignor_that_most_members_ask_for_is_used() {
    let mut rig = Rig::new(4);
    let range = Some(RemoteAssignor::Range);
    rig.send(&join(2)).unwrap();
    let asking = ConsumerGroupHeartbeatRequest { assignor: range, ..join(1) };
    rig.check(&asking, "2:");
    rig.check(&beat(2, 1), "1: 2 3");
}

#[test]
fn requests_that_contradict_themselves_are_refused() {
    let check = |request: &ConsumerGroupHeartbeatRequest| check_request(request, &config());
    let refused = Err(ErrorCode::InvalidRequest);
    assert_eq!(check(&join(1)), Ok(()));
    assert_eq!(check(&ConsumerGroupHeartbeatRequest { member: None, ..join(1) }), Ok(()));
    assert_eq!(check(&ConsumerGroupHeartbeatRequest { owned: None, ..join(1) }), refused);
    assert_eq!(check(&ConsumerGroupHeartbeatRequest { topics: None, ..join(1) }), refused);
    assert_eq!(
        check(&ConsumerGroupHeartbeatRequest { owned: Some(partitions(&[0])), ..join(1) }),
        refused
    );
    assert_eq!(check(&ConsumerGroupHeartbeatRequest { member: None, ..beat(1, 1) }), refused);
    assert_eq!(check(&ConsumerGroupHeartbeatRequest { instance: None, ..go_away(1, 7) }), refused);
    let range_only =
        GroupCoordinatorConfig { consumer_assignors: vec![RemoteAssignor::Range], ..config() };
    let uniform =
        ConsumerGroupHeartbeatRequest { assignor: Some(RemoteAssignor::Uniform), ..join(1) };
    assert_eq!(check_request(&uniform, &range_only), Err(ErrorCode::UnsupportedAssignor));
}

#[test]
fn a_new_coordinator_reads_the_same_group_from_the_log() {
    let mut rig = Rig::new(4);
    let mut log = Vec::new();
    let requests = [
        with_instance(join(1), 7),
        join(2),
        with_instance(beat(1, 1), 7),
        with_instance(owning(1, 1, &[0, 1]), 7),
        beat(2, 2),
        go_away(1, 7),
        with_instance(join(3), 7),
        leave(2),
        with_instance(beat(3, 2), 7),
    ];
    for request in requests {
        rig.send(&request).unwrap();
        log.extend(rig.last().records.clone());
    }
    let mut read = ConsumerGroup::default();
    for record in &log {
        assert!(read.replay(record));
    }
    rig.group.subscribed = None;
    assert_eq!(read, rig.group);
    assert_eq!(read.loaded().collect::<Vec<_>>(), [(MemberId(3), None)]);
    let mut known = Rig { group: read, ..Rig::new(4) };
    known.check(&with_instance(beat(3, 3), 7), "3: same");
    assert_eq!(known.group.epoch, Generation(3));
    let gone = known.group.tombstones(GROUP);
    assert_eq!(gone.iter().filter(|record| !known.group.replay(record)).count(), 1);
}
