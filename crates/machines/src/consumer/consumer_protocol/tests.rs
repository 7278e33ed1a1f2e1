//! A KIP-848 member against a coordinator played by the test.

use crate::consumer::testing::*;
use crate::consumer::{ConsumerCall, ConsumerReport, ConsumerSetup};
use acklab_vocab::api::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, LeaveReason, MemberEpoch,
    OffsetCommitRequest, OffsetFetchRequest, OffsetToCommit, Request, Response,
};
use acklab_vocab::config::{GroupProtocol, MemberConfig};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::group::RemoteAssignor;
use acklab_vocab::ids::{Generation, GroupInstanceId, TopicId, TopicPartition};
use acklab_vocab::trace::{CommitFailure, CommitTrigger, TraceEvent};
use acklab_vocab::version::KafkaVersion;
use smallvec::SmallVec;

const INTERVAL: u64 = 5_000;

fn member() -> MemberConfig {
    let config = config(KafkaVersion::new(4, 1, 0));
    MemberConfig { protocol: GroupProtocol::Consumer, ..config }
}

fn auto_committing_member() -> MemberConfig {
    MemberConfig { auto_commit: Some(millis(60_000)), ..member() }
}

fn static_member() -> ConsumerSetup {
    setup(MemberConfig { is_static: true, ..member() })
}

fn is_heartbeat(request: &Request) -> bool {
    matches!(request, Request::ConsumerGroupHeartbeat(_))
}

impl Bench {
    fn beat_with(&mut self, answer: ConsumerGroupHeartbeatResponse) {
        self.answer(is_heartbeat, Response::ConsumerGroupHeartbeat(answer));
    }

    /// The coordinator takes a heartbeat of the member.
    fn beat(&mut self, epoch: u32, assignment: Option<&[TopicPartition]>) {
        self.beat_with(ConsumerGroupHeartbeatResponse {
            error: ErrorCode::None,
            member: Some(ME),
            epoch: Generation(epoch),
            heartbeat_interval: millis(INTERVAL),
            assignment: assignment.map(Into::into),
        });
    }

    fn refuse_beat(&mut self, error: ErrorCode) {
        self.beat_with(ConsumerGroupHeartbeatResponse {
            error,
            member: None,
            epoch: Generation(0),
            heartbeat_interval: millis(0),
            assignment: None,
        });
    }

    /// A stable member of epoch 1 that owns `owned`, whose application works.
    fn in_epoch_1(setup: ConsumerSetup, owned: &[TopicPartition]) -> Self {
        let mut bench = Bench::new(setup);
        bench.poll(0);
        bench.beat(1, Some(owned));
        bench.poll(0);
        bench.call(ConsumerCall::ListenerReturned);
        bench.beat(1, None);
        bench.poll(0);
        bench.answer_offsets(&[(P0, 0), (P1, 0)]);
        bench.did();
        bench
    }

    /// The member has taken a heartbeat that brings another assignment, while its application
    /// works.
    fn reassigned(&mut self, epoch: u32, assignment: &[TopicPartition]) {
        self.pass(millis(INTERVAL));
        self.beat(epoch, Some(assignment));
        self.did();
    }
}

/// A heartbeat with nothing to say.
fn heartbeat(epoch: MemberEpoch) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        group: GROUP,
        member: Some(ME),
        epoch,
        instance: None,
        rebalance_timeout: None,
        topics: None,
        assignor: None,
        owned: None,
    }
}

fn in_epoch(epoch: u32) -> MemberEpoch {
    MemberEpoch::Member(Generation(epoch))
}

/// A heartbeat that says everything.
fn introduction(epoch: MemberEpoch, owned: &[TopicPartition]) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        rebalance_timeout: Some(secs(20)),
        topics: Some(SmallVec::from_slice(&[TopicId(0)])),
        owned: Some(owned.to_vec()),
        ..heartbeat(epoch)
    }
}

fn owning(epoch: u32, owned: &[TopicPartition]) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest { owned: Some(owned.to_vec()), ..heartbeat(in_epoch(epoch)) }
}

fn sent(request: ConsumerGroupHeartbeatRequest) -> Did {
    Did::Send(Request::ConsumerGroupHeartbeat(request))
}

fn commit_of(epoch: Option<u32>, offsets: &[OffsetToCommit]) -> Did {
    Did::Send(Request::OffsetCommit(OffsetCommitRequest {
        group: GROUP,
        generation: epoch.map(Generation),
        member: Some(ME),
        instance: None,
        offsets: offsets.into(),
        understands_member_epochs: true,
    }))
}

fn commit_sent(trigger: CommitTrigger, offsets: &[OffsetToCommit]) -> Did {
    Did::State(TraceEvent::CommitSent { trigger, offsets: offsets.into() })
}

fn commit_completed(
    trigger: CommitTrigger,
    offsets: &[OffsetToCommit],
    failure: Option<CommitFailure>,
) -> Did {
    Did::State(TraceEvent::CommitCompleted { trigger, offsets: offsets.into(), failure })
}

fn revoked(partitions: &[TopicPartition], lost: bool) -> Did {
    Did::Report(ConsumerReport::Revoked { partitions: partitions.into(), lost })
}

fn given_up(partitions: &[TopicPartition], lost: bool) -> Did {
    Did::State(TraceEvent::PartitionsRevoked { partitions: partitions.into(), lost })
}

fn owns(epoch: u32, owned: &[TopicPartition], added: &[TopicPartition]) -> Did {
    Did::State(TraceEvent::PartitionsAssigned {
        generation: Some(Generation(epoch)),
        member: Some(ME),
        owned: owned.into(),
        added: added.into(),
    })
}

fn lost(error: ErrorCode) -> Did {
    Did::State(TraceEvent::MembershipLost { error })
}

fn nothing_polled() -> Did {
    Did::Report(ConsumerReport::Polled(Vec::new()))
}

#[test]
fn it_joins_with_its_first_poll_and_says_everything() {
    let config = MemberConfig { remote_assignor: Some(RemoteAssignor::Range), ..member() };
    let mut bench = Bench::new(setup(config));
    bench.pass(secs(1));
    assert_eq!(bench.did(), []);
    bench.poll(1_000);
    let did = bench.did();
    let [Did::Send(Request::ConsumerGroupHeartbeat(join))] = &did[..] else { panic!("{did:?}") };
    let expected = ConsumerGroupHeartbeatRequest {
        member: join.member,
        assignor: Some(RemoteAssignor::Range),
        ..introduction(MemberEpoch::Joining, &[])
    };
    assert_eq!(*join, expected);
    assert!(join.member.is_some());
}

#[test]
fn before_kip_1082_the_coordinator_makes_its_id() {
    let config = MemberConfig { protocol: GroupProtocol::Consumer, ..config(MODERN) };
    let mut bench = Bench::new(setup(config));
    bench.poll(0);
    let join = introduction(MemberEpoch::Joining, &[]);
    let join = sent(ConsumerGroupHeartbeatRequest { member: None, ..join });
    assert_eq!(bench.did(), [nothing_polled(), join]);
    bench.beat(1, Some(&[P0]));
    assert_eq!(bench.consumer.view().membership, Some((ME, Generation(1))));
}

#[test]
fn it_takes_its_assignment_on_inside_poll_and_acknowledges_it() {
    let mut bench = Bench::new(setup(member()));
    bench.poll(0);
    bench.beat(1, Some(&[P0, P1]));
    bench.did();
    bench.pass(millis(INTERVAL - 1));
    assert_eq!(bench.did(), []);
    bench.poll(1_000);
    assert_eq!(
        bench.did(),
        [Did::Report(ConsumerReport::Assigned { partitions: [P0, P1].into() })]
    );
    bench.call(ConsumerCall::ListenerReturned);
    let offsets = Request::OffsetFetch(OffsetFetchRequest {
        group: GROUP,
        member: Some((ME, Generation(1))),
        partitions: vec![P0, P1],
        require_stable: true,
    });
    assert_eq!(
        bench.did(),
        [owns(1, &[P0, P1], &[P0, P1]), sent(owning(1, &[P0, P1])), Did::Send(offsets)]
    );
    assert!(!bench.consumer.is_settled());
    bench.beat(1, None);
    bench.answer_offsets(&[(P0, 3), (P1, 4)]);
    assert!(bench.consumer.is_settled());
}

#[test]
fn heartbeats_go_on_at_the_coordinators_interval_while_the_application_works() {
    let mut bench = Bench::in_epoch_1(setup(member()), &[P0, P1]);
    for _ in 0..3 {
        bench.pass(millis(INTERVAL - 1));
        assert_eq!(bench.did(), []);
        bench.pass(millis(1));
        assert_eq!(bench.did(), [sent(heartbeat(in_epoch(1)))]);
        bench.beat(1, None);
    }
}

#[test]
fn no_heartbeat_is_sent_while_another_is_under_way() {
    let mut bench = Bench::in_epoch_1(setup(member()), &[P0, P1]);
    bench.pass(millis(3 * INTERVAL));
    assert_eq!(bench.count(is_heartbeat), 1);
}

#[test]
fn what_the_assignment_lacks_is_committed_given_up_and_acknowledged() {
    let mut bench = Bench::in_epoch_1(setup(auto_committing_member()), &[P0, P1]);
    bench.read(0, 10);
    bench.reassigned(1, &[P1]);
    bench.pass(secs(1));
    assert_eq!(bench.did(), []);
    bench.poll(1_000);
    let offsets = [at(P0, 10, Some(4)), at(P1, 0, None)];
    let sent_commit = commit_sent(CommitTrigger::AutoRevocation, &offsets);
    assert_eq!(bench.did(), [sent_commit, commit_of(Some(1), &offsets)]);
    bench.answer_commit(ErrorCode::None);
    let completed = commit_completed(CommitTrigger::AutoRevocation, &offsets, None);
    assert_eq!(bench.did(), [completed, revoked(&[P0], false)]);
    bench.call(ConsumerCall::ListenerReturned);
    assert_eq!(bench.did(), [given_up(&[P0], false), owns(1, &[P1], &[]), sent(owning(1, &[P1]))]);
    bench.beat(2, None);
    assert_eq!(bench.consumer.view().membership, Some((ME, Generation(2))));
}

#[test]
fn nothing_of_a_partition_is_returned_once_it_is_being_revoked() {
    let mut bench = Bench::in_epoch_1(setup(auto_committing_member()), &[P0, P1]);
    bench.read(0, 10);
    bench.poll(0);
    bench.answer_fetch(&[(P0, batch(10, 10))]);
    bench.reassigned(1, &[P1]);
    bench.poll(0);
    let polled = bench.reports();
    assert_eq!(polled, [ConsumerReport::Polled(Vec::new())]);
    bench.answer_commit(ErrorCode::None);
    bench.poll(0);
    assert_eq!(bench.did().last(), Some(&revoked(&[P0], false)));
}

#[test]
fn a_commit_before_revocation_with_a_stale_epoch_is_sent_again_with_the_new_one() {
    let mut bench = Bench::in_epoch_1(setup(auto_committing_member()), &[P0, P1]);
    bench.reassigned(1, &[P1]);
    bench.pass(millis(INTERVAL));
    bench.poll(10_000);
    let offsets = [at(P0, 0, None), at(P1, 0, None)];
    assert!(bench.did().contains(&commit_of(Some(1), &offsets)));
    bench.beat(2, None);
    bench.answer_commit(ErrorCode::StaleMemberEpoch);
    bench.pass(millis(100));
    assert!(bench.did().contains(&commit_of(Some(2), &offsets)));
    bench.answer_commit(ErrorCode::UnknownMemberId);
    assert_eq!(bench.did().last(), Some(&revoked(&[P0], false)));
}

#[test]
fn the_commit_before_revocation_is_waited_for_no_longer_than_the_coordinator_waits() {
    let mut bench = Bench::in_epoch_1(setup(auto_committing_member()), &[P0, P1]);
    bench.reassigned(1, &[P1]);
    bench.poll(60_000);
    bench.did();
    bench.pass(secs(20));
    assert!(bench.did().contains(&revoked(&[P0], false)));
}

#[test]
fn one_auto_commit_is_under_way_at_a_time() {
    let is_commit = |request: &Request| matches!(request, Request::OffsetCommit(_));
    let config = MemberConfig { auto_commit: Some(millis(1_000)), ..member() };
    let mut bench = Bench::in_epoch_1(setup(config), &[P0, P1]);
    for _ in 0..3 {
        bench.pass(millis(1_100));
        bench.poll(0);
        assert_eq!(bench.count(is_commit), 1);
    }
    bench.answer_commit(ErrorCode::None);
    bench.poll(0);
    assert_eq!(bench.count(is_commit), 1);
}

#[test]
fn an_assignment_that_comes_meanwhile_is_taken_on_next() {
    let mut bench = Bench::in_epoch_1(setup(member()), &[P0, P1]);
    bench.reassigned(1, &[P1]);
    bench.poll(0);
    assert_eq!(bench.did(), [revoked(&[P0], false)]);
    bench.pass(millis(INTERVAL));
    bench.beat(1, Some(&[]));
    bench.call(ConsumerCall::ListenerReturned);
    assert_eq!(bench.did()[3..], [revoked(&[P1], false), sent(owning(1, &[P1]))]);
    bench.beat(1, None);
    bench.call(ConsumerCall::ListenerReturned);
    assert_eq!(bench.did().last(), Some(&sent(owning(1, &[]))));
}

#[test]
fn a_fenced_member_gives_everything_up_in_poll_and_joins_again_under_its_id() {
    for error in [ErrorCode::FencedMemberEpoch, ErrorCode::UnknownMemberId] {
        let mut bench = Bench::in_epoch_1(setup(member()), &[P0, P1]);
        bench.pass(millis(INTERVAL));
        bench.did();
        bench.refuse_beat(error);
        bench.pass(secs(10));
        assert_eq!(bench.did(), [lost(error)]);
        assert_eq!(bench.consumer.view().membership, None);
        bench.poll(0);
        assert_eq!(bench.did(), [revoked(&[P0, P1], true)]);
        bench.call(ConsumerCall::ListenerReturned);
        assert_eq!(
            bench.did(),
            [
                given_up(&[P0, P1], true),
                nothing_polled(),
                sent(introduction(MemberEpoch::Joining, &[])),
            ]
        );
    }
}

#[test]
fn an_application_that_does_not_poll_makes_its_member_leave() {
    let mut bench = Bench::in_epoch_1(setup(member()), &[P0, P1]);
    for _ in 0..3 {
        bench.pass(millis(INTERVAL));
        bench.beat(1, None);
    }
    bench.did();
    bench.pass(millis(INTERVAL));
    let leaving = heartbeat(MemberEpoch::Leaving(LeaveReason::PollTimeout));
    let left = Did::State(TraceEvent::LeftGroup { reason: LeaveReason::PollTimeout });
    assert_eq!(bench.did()[..2], [left, sent(leaving)]);
    bench.pass(secs(60));
    assert_eq!(bench.did(), []);
    bench.poll(0);
    assert_eq!(bench.did(), [revoked(&[P0, P1], true)]);
    bench.call(ConsumerCall::ListenerReturned);
    assert_eq!(bench.did().last(), Some(&sent(introduction(MemberEpoch::Joining, &[]))));
}

#[test]
fn it_leaves_when_it_is_closed_and_a_static_member_only_goes_away() {
    let leaving = heartbeat(MemberEpoch::Leaving(LeaveReason::Closed));
    let going = ConsumerGroupHeartbeatRequest {
        instance: Some(GroupInstanceId(3)),
        ..heartbeat(MemberEpoch::LeavingStatic)
    };
    for (setup, expected) in [(setup(member()), leaving), (static_member(), going)] {
        let mut bench = Bench::in_epoch_1(setup, &[P0, P1]);
        bench.call(ConsumerCall::Close);
        assert_eq!(bench.did(), [revoked(&[P0, P1], false)]);
        bench.call(ConsumerCall::ListenerReturned);
        let left = Did::State(TraceEvent::LeftGroup { reason: LeaveReason::Closed });
        assert_eq!(bench.did(), [given_up(&[P0, P1], false), left, sent(expected)]);
        bench.beat(0, None);
        assert_eq!(bench.did(), [Did::Report(ConsumerReport::Closed)]);
    }
}

#[test]
fn a_refused_commit_ends_no_membership() {
    for error in [ErrorCode::StaleMemberEpoch, ErrorCode::UnknownMemberId] {
        let mut bench = Bench::in_epoch_1(setup(member()), &[P0, P1]);
        bench.commit_sync();
        let offsets = [at(P0, 0, None), at(P1, 0, None)];
        assert_eq!(
            bench.did(),
            [commit_sent(CommitTrigger::Sync, &offsets), commit_of(Some(1), &offsets)]
        );
        bench.answer_commit(error);
        let failure = Some(CommitFailure::CommitFailed(Some(error)));
        assert_eq!(
            bench.did(),
            [
                commit_completed(CommitTrigger::Sync, &offsets, failure),
                Did::Report(ConsumerReport::Committed(failure)),
            ]
        );
        assert_eq!(bench.consumer.view().membership, Some((ME, Generation(1))));
    }
}

#[test]
fn a_fenced_member_commits_without_an_epoch() {
    let mut bench = Bench::in_epoch_1(setup(member()), &[P0]);
    bench.pass(millis(INTERVAL));
    bench.refuse_beat(ErrorCode::UnknownMemberId);
    bench.did();
    bench.commit_sync();
    assert_eq!(bench.did()[1], commit_of(None, &[at(P0, 0, None)]));
}

#[test]
fn some_errors_end_it_for_good() {
    for error in [ErrorCode::UnreleasedInstanceId, ErrorCode::UnsupportedVersion] {
        let mut bench = Bench::new(static_member());
        bench.poll(1_000);
        bench.did();
        bench.refuse_beat(error);
        assert_eq!(bench.reports(), [ConsumerReport::Failed(error)]);
        bench.poll(0);
        assert_eq!(bench.reports(), [ConsumerReport::Polled(Vec::new())]);
    }
    let mut bench = Bench::in_epoch_1(static_member(), &[P0]);
    bench.pass(millis(INTERVAL));
    bench.did();
    bench.refuse_beat(ErrorCode::FencedInstanceId);
    assert_eq!(bench.did(), [lost(ErrorCode::FencedInstanceId)]);
    bench.poll(0);
    assert_eq!(bench.did(), [revoked(&[P0], true)]);
    bench.call(ConsumerCall::ListenerReturned);
    assert_eq!(bench.reports(), [ConsumerReport::Failed(ErrorCode::FencedInstanceId)]);
}

#[test]
fn after_a_failure_it_says_everything_again() {
    let mut bench = Bench::in_epoch_1(setup(member()), &[P0, P1]);
    bench.pass(millis(INTERVAL));
    bench.refuse_beat(ErrorCode::CoordinatorLoadInProgress);
    bench.did();
    bench.pass(millis(99));
    assert_eq!(bench.did(), []);
    bench.pass(millis(1));
    assert_eq!(bench.did(), [sent(introduction(in_epoch(1), &[P0, P1]))]);

    bench.refuse_beat(ErrorCode::NotCoordinator);
    bench.pass(secs(1));
    assert_eq!(bench.did(), [sent(introduction(in_epoch(1), &[P0, P1]))]);

    bench.lose_connection(is_heartbeat);
    bench.pass(secs(1));
    assert_eq!(bench.did(), [sent(introduction(in_epoch(1), &[P0, P1]))]);
    bench.beat(1, Some(&[P0, P1]));
    bench.pass(millis(INTERVAL));
    assert_eq!(bench.did(), [sent(heartbeat(in_epoch(1)))]);
}

#[test]
fn an_answer_of_an_earlier_life_says_nothing() {
    let mut bench = Bench::in_epoch_1(setup(member()), &[P0]);
    bench.pass(secs(30));
    bench.poll(0);
    bench.call(ConsumerCall::ListenerReturned);
    assert_eq!(bench.did().last(), Some(&sent(introduction(MemberEpoch::Joining, &[]))));
    bench.beat(1, None);
    assert_eq!(bench.consumer.view().membership, None);
    assert_eq!(bench.consumer.view().membership_state, "joining");
}

#[test]
fn committed_offsets_are_asked_for_again_when_the_epoch_was_stale() {
    let mut bench = Bench::new(setup(member()));
    bench.poll(0);
    bench.beat(1, Some(&[P0]));
    bench.poll(1_000);
    bench.call(ConsumerCall::ListenerReturned);
    bench.beat(2, None);
    bench.did();
    bench.answer_offsets_with(ErrorCode::StaleMemberEpoch, &[]);
    bench.pass(millis(100));
    let did = bench.did();
    let asked = |did: &Did| match did {
        Did::Send(Request::OffsetFetch(fetch)) => fetch.member,
        _ => None,
    };
    assert_eq!(did.iter().find_map(asked), Some((ME, Generation(2))));
}
