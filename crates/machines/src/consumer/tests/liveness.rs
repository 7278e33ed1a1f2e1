//! Heartbeats, the poll interval, and what becomes of a member that is none any more.

use super::*;

#[test]
fn heartbeats_go_on_while_the_application_works_and_answers_to_them_are_not_awaited() {
    let mut bench = Bench::stable(config(MODERN));
    bench.pass(secs(9));
    assert_eq!(bench.did(), [heartbeat(1), heartbeat(1), heartbeat(1)]);
}

#[test]
fn without_an_answer_for_the_session_the_coordinator_is_looked_for_again() {
    let mut bench = Bench::stable(config(MODERN));
    bench.pass(millis(9_999));
    bench.did();
    assert_eq!(bench.count(|request| matches!(request, Request::Heartbeat(_))), 3);
    bench.pass(millis(1));
    // The connection is closed; the new one has no heartbeat in flight, and the membership stands.
    assert_eq!(bench.count(|request| matches!(request, Request::Heartbeat(_))), 0);
    bench.pass(millis(200));
    assert_eq!(bench.did(), [heartbeat(1)]);
    assert_eq!(bench.consumer.view().membership_state, "stable");
}

#[test]
fn a_member_that_does_not_poll_leaves_and_has_lost_everything() {
    let mut bench = Bench::stable(config(MODERN));
    bench.read(0, 10);
    for _ in 0..6 {
        bench.pass(secs(3));
        bench.answer_heartbeat(ErrorCode::None);
    }
    bench.did();
    bench.pass(secs(2));
    let left = Did::State(TraceEvent::LeftGroup { reason: LeaveReason::PollTimeout });
    assert_eq!(bench.did(), [left, leave(LeaveReason::PollTimeout)]);
    // No more heartbeats; a commit fails without asking anybody.
    bench.pass(secs(10));
    assert_eq!(bench.did(), []);
    bench.commit_sync();
    let offsets = [at(P0, 10, Some(4)), at(P1, 0, None)];
    let failure = Some(CommitFailure::CommitFailed(None));
    assert_eq!(
        bench.did(),
        [completed(CommitTrigger::Sync, &offsets, failure), committed(failure)]
    );
    bench.commit_async();
    assert_eq!(bench.did(), []);
    bench.poll(1_000);
    let expected = [
        completed(CommitTrigger::Async, &offsets, failure),
        callback(&offsets, failure),
        revoked(&[P0, P1], true),
    ];
    assert_eq!(bench.did(), expected);
    bench.call(ConsumerCall::ListenerReturned);
    let said = subscription(&[], Some(1));
    assert_eq!(bench.did(), [gave_up(&[P0, P1], true), join(None, said)]);
}

#[test]
fn a_static_member_that_does_not_poll_falls_out_and_tells_nobody() {
    let setup = setup(MemberConfig { is_static: true, ..config(MODERN) });
    let mut bench = Bench::stable_with(setup, &[P0, P1]);
    bench.pass(secs(9));
    for _ in 0..3 {
        bench.answer_heartbeat(ErrorCode::None);
    }
    bench.pass(secs(9));
    for _ in 0..3 {
        bench.answer_heartbeat(ErrorCode::None);
    }
    bench.did();
    bench.pass(secs(10));
    let stated = TraceEvent::LeftGroup { reason: LeaveReason::PollTimeout };
    assert_eq!(bench.did(), [Did::State(stated)]);
    assert_eq!(bench.consumer.view().membership_state, "unjoined");
}

#[test]
fn polling_keeps_a_member_in_the_group_however_long_the_poll_lasts() {
    let mut bench = Bench::stable(config(MODERN));
    bench.poll(60_000);
    for _ in 0..13 {
        bench.pass(secs(3));
        bench.answer_heartbeat(ErrorCode::None);
    }
    assert_eq!(bench.did(), vec![heartbeat(1); 13]);
}

#[test]
fn a_heartbeat_that_is_refused_ends_the_membership() {
    let cases = [
        (ErrorCode::UnknownMemberId, None, subscription(&[], Some(1))),
        (ErrorCode::IllegalGeneration, Some(ME), subscription(&[], Some(1))),
    ];
    for (error, id, said) in cases {
        let mut bench = Bench::stable(config(MODERN));
        bench.pass(secs(3));
        bench.did();
        bench.answer_heartbeat(error);
        assert_eq!(bench.did(), [lost_membership(error)]);
        bench.pass(secs(5));
        assert_eq!(bench.did(), []);
        bench.poll(1_000);
        bench.call(ConsumerCall::ListenerReturned);
        let expected = [revoked(&[P0, P1], true), gave_up(&[P0, P1], true), join(id, said.clone())];
        assert_eq!(bench.did(), expected, "{error}");
    }
}

#[test]
fn a_fenced_static_member_fails_its_poll() {
    let setup = setup(MemberConfig { is_static: true, ..config(MODERN) });
    let mut bench = Bench::stable_with(setup, &[P0, P1]);
    bench.pass(secs(3));
    bench.did();
    bench.answer_heartbeat(ErrorCode::FencedInstanceId);
    assert_eq!(bench.did(), [lost_membership(ErrorCode::FencedInstanceId)]);
    bench.poll(1_000);
    let failed = ConsumerReport::Failed(ErrorCode::FencedInstanceId);
    assert_eq!(bench.did(), [Did::Report(failed)]);
}

#[test]
fn before_0_10_1_nothing_happens_while_the_application_works() {
    let mut bench = Bench::stable(config(KafkaVersion::new(0, 10, 0)));
    bench.pass(secs(9));
    assert_eq!(bench.did(), []);
    bench.poll(100);
    assert_eq!(bench.did(), [heartbeat(1)]);
    // The answer comes while it works, and is read by the next poll.
    bench.pass(millis(100));
    bench.answer_heartbeat(ErrorCode::UnknownMemberId);
    bench.pass(secs(1));
    assert_eq!(bench.did(), [polled(&[])]);
    bench.poll(100);
    let expected = [lost_membership(ErrorCode::UnknownMemberId), revoked(&[P0, P1], true)];
    assert_eq!(bench.did(), expected);
}

#[test]
fn a_coordinator_that_is_replaced_is_found_and_the_membership_goes_on() {
    let mut bench = Bench::stable(config(MODERN));
    bench.pass(secs(3));
    bench.did();
    bench.coordinator = Some(1);
    bench.answer_heartbeat(ErrorCode::NotCoordinator);
    bench.pass(millis(100));
    assert_eq!(bench.did(), [heartbeat(1)]);
    assert_eq!(bench.consumer.view().coordinator, Some(NodeId(1)));
    bench.answer_heartbeat(ErrorCode::None);
    bench.pass(secs(3));
    assert_eq!(bench.did(), [heartbeat(1)]);
}

#[test]
fn a_lost_coordinator_is_looked_for_until_it_is_found() {
    let mut bench = Bench::stable(config(MODERN));
    let records = batch(0, 5);
    bench.answer_fetch(&[(P0, Arc::clone(&records))]);
    bench.pass(secs(3));
    bench.did();
    bench.coordinator = None;
    bench.lose_connection(|request| matches!(request, Request::Heartbeat(_)));
    bench.pass(secs(1));
    assert_eq!(bench.did(), []);
    assert_eq!(bench.consumer.view().coordinator, None);
    // Reading needs no coordinator; but every poll waits for one until its timeout.
    bench.poll(500);
    assert_eq!(bench.did(), []);
    bench.pass(millis(500));
    assert_eq!(bench.did(), [read(P0, 0, 5, &records), polled(&[(P0, 0, 5, &records)])]);
    bench.coordinator = Some(2);
    bench.pass(millis(200));
    assert_eq!(bench.did(), [heartbeat(1)]);
}
