//! The broker as the coordinator of KIP-848 groups: what is answered when, deadlines, failover,
//! commits, and groups of the other protocol. What a heartbeat comes to is tested beside it, in
//! `consumer_group/tests.rs`.

use super::bench::*;
use acklab_vocab::api::*;
use acklab_vocab::config::BrokerConfig;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::*;
use acklab_vocab::trace::{GroupState, RebalanceReason, RemovalReason, TraceEvent};
use smallvec::smallvec;

const NONE: ErrorCode = ErrorCode::None;
pub const FIRST: MemberId = MemberId(11);
const SECOND: MemberId = MemberId(12);
/// `max.poll.interval.ms` of the members.
const POLL_INTERVAL: u64 = 20_000;
/// `group.consumer.session.timeout.ms`
const SESSION: i64 = 45_000;

/// Nothing lingers: what is written is in the log at once.
pub fn config() -> BrokerConfig {
    let mut config = version("4.1");
    config.groups.append_linger = Some(ms(0));
    config
}

fn beat(member: MemberId, epoch: u32) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        group: GROUP,
        member: Some(member),
        epoch: MemberEpoch::Member(Generation(epoch)),
        instance: None,
        rebalance_timeout: None,
        topics: None,
        assignor: None,
        owned: None,
    }
}

fn join(member: MemberId) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        epoch: MemberEpoch::Joining,
        rebalance_timeout: Some(ms(POLL_INTERVAL)),
        topics: Some(smallvec![TopicId(0)]),
        owned: Some(Vec::new()),
        ..beat(member, 0)
    }
}

fn owning(member: MemberId, epoch: u32, owned: &[u16]) -> ConsumerGroupHeartbeatRequest {
    let owned = owned.iter().map(|&index| TopicPartition::new(0, index)).collect();
    ConsumerGroupHeartbeatRequest { owned: Some(owned), ..beat(member, epoch) }
}

fn said(answers: Answers) -> Vec<String> {
    let one = |(who, response): (u32, Response)| match response {
        Response::ConsumerGroupHeartbeat(answer) if !answer.error.is_none() => {
            format!("{who}: {}", answer.error)
        }
        Response::ConsumerGroupHeartbeat(answer) => match answer.assignment {
            None => format!("{who}: epoch {}", answer.epoch),
            Some(assignment) => {
                let owned: String =
                    assignment.iter().map(|owned| format!(" {}", owned.partition)).collect();
                format!("{who}: epoch {} owns{owned}", answer.epoch)
            }
        },
        other => panic!("{other:?}"),
    };
    answers.into_iter().map(one).collect()
}

impl Bench {
    fn beats(&mut self, who: u32, request: ConsumerGroupHeartbeatRequest) -> Vec<String> {
        said(self.ask(who, Request::ConsumerGroupHeartbeat(request)))
    }

    /// Member 1 owns partitions 0 and 1 in epoch 2 and has been told so; member 2 is to have the
    /// others.
    pub fn pair(config: BrokerConfig) -> Bench {
        let mut bench = Bench::new(config);
        assert_eq!(bench.beats(1, join(FIRST)), ["1: epoch 1 owns 0 1 2 3"]);
        assert_eq!(bench.beats(2, join(SECOND)), ["2: epoch 2 owns"]);
        assert_eq!(bench.beats(1, beat(FIRST, 1)), ["1: epoch 1 owns 0 1"]);
        bench
    }

    fn commits(&mut self, who: u32, member: Option<(u32, MemberId)>) -> ErrorCode {
        match &self.ask(who, commit(member, 0, 5))[..] {
            [(_, Response::OffsetCommit(answer))] => answer.partitions[0].1,
            other => panic!("{other:?}"),
        }
    }
}

fn removed(member: MemberId, reason: RemovalReason) -> TraceEvent {
    let member_node = NodeId((member.0 - 10) as u16);
    TraceEvent::MemberRemoved { group: GROUP, member, member_node, reason }
}

#[test]
fn a_heartbeat_is_answered_and_told_when_it_is_replicated() {
    let mut bench = Bench::with_isr(config(), 1, &[1, 2]);
    assert!(bench.beats(1, join(FIRST)).is_empty());
    let joined = bench.group_facts();
    assert_eq!(joined.len(), 3, "{joined:?}");
    assert!(matches!(joined[0], TraceEvent::MemberJoined { member: FIRST, .. }));
    assert!(matches!(
        joined[1],
        TraceEvent::RebalanceStarted { reason: RebalanceReason::MemberJoined, .. }
    ));
    let stable = TraceEvent::GroupStateChanged {
        group: GROUP,
        state: GroupState::Stable,
        generation: Generation(1),
    };
    assert_eq!(joined[2], stable);
    assert_eq!(said(bench.replicate()), ["1: epoch 1 owns 0 1 2 3"]);
    let assigned = bench.group_facts();
    assert!(matches!(assigned[..], [TraceEvent::Assigned { partial: true, .. }]), "{assigned:?}");
    // What writes nothing is answered at once if nothing is pending.
    assert_eq!(bench.beats(1, beat(FIRST, 1)), ["1: epoch 1"]);
    assert!(bench.group_facts().is_empty());
}

#[test]
fn what_is_not_replicated_in_time_is_an_error_and_becomes_true_later() {
    let mut bench = Bench::with_isr(config(), 1, &[1, 2]);
    assert!(bench.beats(1, join(FIRST)).is_empty());
    assert_eq!(said(bench.run_until(5_000)), ["1: COORDINATOR_NOT_AVAILABLE"]);
    bench.group_facts();
    assert!(bench.replicate().is_empty());
    let assigned = bench.group_facts();
    assert!(matches!(assigned[..], [TraceEvent::Assigned { .. }]), "{assigned:?}");
    assert_eq!(bench.beats(1, join(FIRST)), ["1: epoch 1 owns 0 1 2 3"]);
}

#[test]
fn a_silent_member_is_removed_after_its_session_and_its_partitions_go_on() {
    let mut bench = Bench::pair(config());
    assert_eq!(bench.beats(1, owning(FIRST, 1, &[0, 1])), ["1: epoch 2"]);
    assert_eq!(bench.beats(2, beat(SECOND, 2)), ["2: epoch 2 owns 2 3"]);
    bench.run_until(SESSION - 1);
    assert_eq!(bench.beats(2, beat(SECOND, 2)), ["2: epoch 2"]);
    bench.group_facts();
    bench.run_until(SESSION);
    assert_eq!(bench.group_facts()[0], removed(FIRST, RemovalReason::SessionExpired));
    assert_eq!(bench.beats(1, beat(FIRST, 1)), ["1: UNKNOWN_MEMBER_ID"]);
    assert_eq!(bench.beats(2, beat(SECOND, 2)), ["2: epoch 3 owns 0 1 2 3"]);
    bench.run_until(2 * SESSION - 1);
    bench.group_facts();
    bench.run_until(2 * SESSION);
    assert_eq!(bench.group_facts()[0], removed(SECOND, RemovalReason::SessionExpired));
}

#[test]
fn a_member_that_does_not_give_up_a_partition_is_removed_after_its_poll_interval() {
    let mut bench = Bench::pair(config());
    bench.run_until(POLL_INTERVAL as i64 - 1);
    assert_eq!(bench.beats(1, owning(FIRST, 1, &[0, 1, 2])), ["1: epoch 1"]);
    bench.group_facts();
    bench.run_until(POLL_INTERVAL as i64);
    let facts = bench.group_facts();
    assert_eq!(facts[0], removed(FIRST, RemovalReason::RebalanceTimeout));
    assert_eq!(bench.beats(1, beat(FIRST, 1)), ["1: UNKNOWN_MEMBER_ID"]);

    let mut bench = Bench::pair(config());
    assert_eq!(bench.beats(1, owning(FIRST, 1, &[0, 1])), ["1: epoch 2"]);
    bench.group_facts();
    bench.run_until(POLL_INTERVAL as i64 + 1_000);
    assert!(bench.group_facts().is_empty());
}

#[test]
fn a_new_coordinator_goes_on_where_the_log_ends() {
    let bench = Bench::pair(config());
    let mut bench = bench.restarted(&[1]);
    assert_eq!(bench.beats(1, beat(FIRST, 1)), ["1: COORDINATOR_LOAD_IN_PROGRESS"]);
    bench.rig.facts();
    bench.load();
    let reconciling = TraceEvent::GroupStateChanged {
        group: GROUP,
        state: GroupState::Reconciling,
        generation: Generation(2),
    };
    assert!(bench.group_facts().contains(&reconciling));
    assert_eq!(bench.beats(1, owning(FIRST, 1, &[0, 1])), ["1: epoch 2"]);
    assert_eq!(bench.beats(2, beat(SECOND, 2)), ["2: epoch 2 owns 2 3"]);
    let now = bench.rig.now.0 / 1_000_000;
    bench.group_facts();
    bench.run_until(now + SESSION);
    let facts = bench.group_facts();
    assert_eq!(facts[0], removed(FIRST, RemovalReason::SessionExpired), "{facts:?}");
    bench.elect(2, &[2]);
    assert_eq!(bench.beats(1, beat(FIRST, 2)), ["1: NOT_COORDINATOR"]);
}

/// `throwIfConsumerGroupMemberEpochIsInvalid`: the epoch before is taken for an answer that was lost,
/// if the member owns nothing that it should not.
#[test]
fn a_heartbeat_of_another_epoch_is_fenced() {
    let mut bench = Bench::pair(config());
    assert_eq!(bench.beats(1, beat(FIRST, 9)), ["1: FENCED_MEMBER_EPOCH"]);
    assert_eq!(bench.beats(1, beat(MemberId(99), 1)), ["1: UNKNOWN_MEMBER_ID"]);
    assert_eq!(bench.beats(1, owning(FIRST, 1, &[0, 1])), ["1: epoch 2"]);
    assert_eq!(bench.beats(1, owning(FIRST, 1, &[0, 3])), ["1: FENCED_MEMBER_EPOCH"]);
    assert_eq!(bench.beats(1, beat(FIRST, 1)), ["1: FENCED_MEMBER_EPOCH"]);
    let again = bench.beats(1, owning(FIRST, 1, &[0]));
    assert!(again[0].starts_with("1: epoch 2"), "{again:?}");
    let members = bench.rig.broker.group_view(GROUP).expect("it is there").members;
    assert_eq!(members.len(), 2, "who is fenced is still a member");
}

#[test]
fn a_commit_needs_the_members_present_epoch() {
    let mut bench = Bench::pair(config());
    assert_eq!(bench.commits(1, Some((1, FIRST))), NONE);
    assert_eq!(bench.commits(1, Some((2, FIRST))), ErrorCode::StaleMemberEpoch);
    assert_eq!(bench.commits(1, Some((1, MemberId(99)))), ErrorCode::UnknownMemberId);
    assert_eq!(bench.commits(1, None), ErrorCode::UnknownMemberId);
    assert_eq!(bench.beats(1, owning(FIRST, 1, &[0, 1])), ["1: epoch 2"]);
    assert_eq!(bench.commits(1, Some((1, FIRST))), ErrorCode::StaleMemberEpoch);
    assert_eq!(bench.commits(1, Some((2, FIRST))), NONE);
    for member in [FIRST, SECOND] {
        let epoch = MemberEpoch::Leaving(LeaveReason::Closed);
        bench.beats(1, ConsumerGroupHeartbeatRequest { epoch, ..beat(member, 0) });
    }
    assert_eq!(bench.commits(1, Some((2, FIRST))), ErrorCode::UnknownMemberId);
    assert_eq!(bench.commits(1, None), NONE);
}

/// `ConsumerGroup.offsetExpirationCondition`: offsets age from their commit, those of topics that a member
/// reads never; so that a group that empties may lose at once what it committed long ago. (Those of a
/// classic group age from the moment at which it became empty.)
#[test]
fn offsets_that_nobody_reads_age_from_their_commit() {
    let mut config = config();
    config.groups.offsets_retention = ms(60_000);
    let mut bench = Bench::new(config);
    assert_eq!(bench.beats(1, join(FIRST)), ["1: epoch 1 owns 0 1 2 3"]);
    assert_eq!(bench.commits(1, Some((1, FIRST))), NONE);
    for beats in 1..=14 {
        bench.run_until(beats * 5_000);
        assert_eq!(bench.beats(1, beat(FIRST, 1)), ["1: epoch 1"]);
    }
    bench.expire();
    assert_eq!(offset_in(&bench.ask(1, fetch_offset(true))), Some(Some(5)), "after 70 s");
    let epoch = MemberEpoch::Leaving(LeaveReason::Closed);
    bench.beats(1, ConsumerGroupHeartbeatRequest { epoch, ..beat(FIRST, 0) });
    bench.group_facts();
    bench.expire();
    let gone = TraceEvent::OffsetsRemoved { group: GROUP, partitions: orders(&[0]) };
    let facts = bench.group_facts();
    assert!(facts.contains(&gone), "{facts:?}");
    assert_eq!(offset_in(&bench.ask(1, fetch_offset(true))), Some(None));
    assert_eq!(bench.rig.broker.coordinated_groups().count(), 0);
    let mut bench = bench.restarted(&[1]);
    bench.load();
    assert_eq!(bench.rig.broker.coordinated_groups().count(), 0);
}

#[test]
fn a_group_keeps_its_protocol_while_it_has_members() {
    let mut bench = Bench::pair(config());
    let refused = |answers: Answers| match &answers[..] {
        [(_, Response::JoinGroup(answer))] => answer.error,
        other => panic!("{other:?}"),
    };
    let classic = || Request::JoinGroup(join_request(None));
    assert_eq!(refused(bench.ask(3, classic())), ErrorCode::InconsistentGroupProtocol);
    let unknown = [(3, beaten(ErrorCode::UnknownMemberId))];
    assert_eq!(bench.ask(3, heartbeat(2, FIRST)), unknown);
    for member in [FIRST, SECOND] {
        let epoch = MemberEpoch::Leaving(LeaveReason::Closed);
        bench.beats(1, ConsumerGroupHeartbeatRequest { epoch, ..beat(member, 0) });
    }
    assert_eq!(refused(bench.ask(3, classic())), ErrorCode::MemberIdRequired);

    let mut bench = Bench::new(config());
    bench.stable_pair();
    assert_eq!(bench.beats(3, join(FIRST)), ["3: GROUP_ID_NOT_FOUND"]);
    let mut bench = Bench::new(config());
    assert_eq!(bench.beats(3, beat(FIRST, 1)), ["3: GROUP_ID_NOT_FOUND"]);
    assert_eq!(bench.commits(1, None), NONE);
    assert_eq!(bench.beats(3, join(FIRST)), ["3: epoch 1 owns 0 1 2 3"]);
    assert_eq!(offset_in(&bench.ask(1, fetch_offset(true))), Some(Some(5)));
    let mut bench = bench.restarted(&[1]);
    bench.load();
    assert_eq!(bench.beats(3, beat(FIRST, 1)), ["3: epoch 1"]);
    assert_eq!(offset_in(&bench.ask(1, fetch_offset(true))), Some(Some(5)));
}

#[test]
fn what_a_broker_does_not_serve_or_understand_is_refused() {
    let mut bench = Bench::new(version("3.9"));
    assert_eq!(bench.beats(1, join(FIRST)), ["1: UNSUPPORTED_VERSION"]);
    let mut bench = Bench::new(config());
    let without_topics = ConsumerGroupHeartbeatRequest { topics: None, ..join(FIRST) };
    assert_eq!(bench.beats(1, without_topics), ["1: INVALID_REQUEST"]);
    let nameless = ConsumerGroupHeartbeatRequest { member: None, ..join(FIRST) };
    let answers = bench.ask(1, Request::ConsumerGroupHeartbeat(nameless));
    let [(1, Response::ConsumerGroupHeartbeat(answer))] = &answers[..] else {
        panic!("{answers:?}")
    };
    assert!(answer.member.is_some());
}
