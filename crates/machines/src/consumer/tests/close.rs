//! `close()`.

use super::*;

const CLOSED: Did = Did::Report(ConsumerReport::Closed);

fn left() -> Did {
    Did::State(TraceEvent::LeftGroup { reason: LeaveReason::Closed })
}

fn left_answered(bench: &mut Bench) {
    let response = acklab_vocab::api::LeaveGroupResponse { error: ErrorCode::None };
    let is_it = |request: &Request| matches!(request, Request::LeaveGroup(_));
    bench.answer(is_it, Response::LeaveGroup(response));
}

#[test]
fn close_commits_gives_everything_up_and_leaves() {
    let mut bench = Bench::stable(auto_committing());
    bench.read(0, 10);
    let offsets = [at(P0, 10, Some(4)), at(P1, 0, None)];
    bench.call(ConsumerCall::Close);
    let trigger = CommitTrigger::AutoClose;
    assert_eq!(bench.did(), [sent(trigger, &offsets), commit(1, &offsets)]);
    bench.answer_commit(ErrorCode::None);
    assert_eq!(bench.did(), [completed(trigger, &offsets, None), revoked(&[P0, P1], false)]);
    bench.call(ConsumerCall::ListenerReturned);
    let expected = [gave_up(&[P0, P1], false), left(), leave(LeaveReason::Closed)];
    assert_eq!(bench.did(), expected);
    left_answered(&mut bench);
    assert_eq!(bench.did(), [CLOSED]);
    // Nothing more comes.
    bench.poll(100);
    bench.pass(secs(60));
    assert_eq!(bench.did(), []);
}

#[test]
fn close_without_auto_commit_commits_nothing() {
    let mut bench = Bench::stable(config(MODERN));
    bench.read(0, 10);
    bench.call(ConsumerCall::Close);
    assert_eq!(bench.did(), [revoked(&[P0, P1], false)]);
}

#[test]
fn a_static_member_does_not_leave() {
    let setup = setup(MemberConfig { is_static: true, ..config(MODERN) });
    let mut bench = Bench::stable_with(setup, &[P0]);
    bench.call(ConsumerCall::Close);
    bench.call(ConsumerCall::ListenerReturned);
    assert_eq!(bench.did(), [revoked(&[P0], false), gave_up(&[P0], false), CLOSED]);
}

#[test]
fn close_ends_after_half_a_minute() {
    let mut bench = Bench::stable(auto_committing());
    bench.read(0, 10);
    bench.coordinator = None;
    bench.call(ConsumerCall::Close);
    bench.lose_connection(|request| matches!(request, Request::OffsetCommit(_)));
    bench.did();
    bench.pass(millis(29_999));
    assert_eq!(bench.did(), []);
    bench.pass(millis(1));
    bench.call(ConsumerCall::ListenerReturned);
    let offsets = [at(P0, 10, Some(4)), at(P1, 0, None)];
    let failure = Some(CommitFailure::Timeout);
    let expected = [
        completed(CommitTrigger::AutoClose, &offsets, failure),
        revoked(&[P0, P1], false),
        gave_up(&[P0, P1], false),
        CLOSED,
    ];
    assert_eq!(bench.did(), expected);
}

#[test]
fn a_member_that_is_none_any_more_closes_at_once() {
    let mut bench = Bench::stable(config(MODERN));
    bench.pass(secs(3));
    bench.answer_heartbeat(ErrorCode::UnknownMemberId);
    bench.did();
    bench.call(ConsumerCall::Close);
    bench.call(ConsumerCall::ListenerReturned);
    assert_eq!(bench.did(), [revoked(&[P0, P1], true), gave_up(&[P0, P1], true), CLOSED]);
}
