//! Commits: what is sent, what comes of it, and when the client commits by itself.

use super::*;
use CommitTrigger::{Async, AutoInterval, AutoRevocation, Sync};

/// A stable member that has been given the records 0 to 9 of the first partition.
fn having_read(config: MemberConfig) -> Bench {
    let mut bench = Bench::stable(config);
    bench.read(0, 10);
    bench
}

const READ: [OffsetToCommit; 2] = [
    OffsetToCommit {
        partition: P0,
        offset: Offset(10),
        leader_epoch: Some(acklab_vocab::ids::LeaderEpoch(4)),
    },
    OffsetToCommit { partition: P1, offset: Offset(0), leader_epoch: None },
];

#[test]
fn a_synchronous_commit_returns_with_the_answer() {
    let mut bench = having_read(config(MODERN));
    bench.commit_sync();
    assert_eq!(bench.did(), [sent(Sync, &READ), commit(1, &READ)]);
    assert!(!bench.consumer.is_settled());
    bench.answer_commit(ErrorCode::None);
    assert_eq!(bench.did(), [completed(Sync, &READ, None), committed(None)]);
    assert!(bench.consumer.is_settled());
    assert_eq!(bench.consumer.view().partitions[0].committed, Some(Offset(10)));
}

#[test]
fn a_synchronous_commit_of_given_offsets() {
    let mut bench = having_read(config(MODERN));
    let offsets = [at(P0, 4, None)];
    let call = ConsumerCall::CommitSync { offsets: Some(offsets.into()), trigger: Sync };
    bench.call(call);
    assert_eq!(bench.did(), [sent(Sync, &offsets), commit(1, &offsets)]);
}

#[test]
fn a_synchronous_commit_is_repeated_after_retriable_errors_until_its_time_is_over() {
    let mut bench = having_read(config(MODERN));
    bench.commit_sync();
    bench.did();
    bench.answer_commit(ErrorCode::CoordinatorLoadInProgress);
    assert_eq!(bench.did(), []);
    bench.pass(millis(100));
    assert_eq!(bench.did(), [sent(Sync, &READ), commit(1, &READ)]);
    // Another coordinator is found first.
    bench.coordinator = Some(1);
    bench.answer_commit(ErrorCode::NotCoordinator);
    bench.pass(millis(100));
    assert_eq!(bench.did(), [sent(Sync, &READ), commit(1, &READ)]);
    bench.coordinator = None;
    bench.answer_commit(ErrorCode::CoordinatorNotAvailable);
    bench.pass(millis(59_799));
    assert_eq!(bench.did(), []);
    bench.pass(millis(1));
    let failure = Some(CommitFailure::Timeout);
    assert_eq!(bench.did(), [completed(Sync, &READ, failure), committed(failure)]);
}

#[test]
fn each_refusal_of_a_synchronous_commit() {
    use CommitFailure::{CommitFailed, Other, RebalanceInProgress};
    let cases = [
        (ErrorCode::UnknownMemberId, CommitFailed(Some(ErrorCode::UnknownMemberId)), true),
        (ErrorCode::IllegalGeneration, CommitFailed(Some(ErrorCode::IllegalGeneration)), true),
        (ErrorCode::RebalanceInProgress, RebalanceInProgress, false),
        (ErrorCode::GroupIdNotFound, Other(ErrorCode::GroupIdNotFound), false),
        (ErrorCode::OffsetMetadataTooLarge, Other(ErrorCode::OffsetMetadataTooLarge), false),
    ];
    for (error, failure, lost) in cases {
        let mut bench = having_read(config(MODERN));
        bench.commit_sync();
        bench.did();
        bench.answer_commit(error);
        let failure = Some(failure);
        let end = [completed(Sync, &READ, failure), committed(failure)];
        let expected: Vec<Did> =
            lost.then(|| lost_membership(error)).into_iter().chain(end).collect();
        assert_eq!(bench.did(), expected, "{error}");
        bench.poll(100);
        let next = bench.did();
        match error {
            ErrorCode::RebalanceInProgress => assert_eq!(next, [revoked(&[P0, P1], false)]),
            _ if lost => assert_eq!(next, [revoked(&[P0, P1], true)], "{error}"),
            _ => assert_eq!(next, [], "{error}"),
        }
    }
}

#[test]
fn a_fenced_static_member_is_told_so_by_its_commit() {
    let setup = setup(MemberConfig { is_static: true, ..config(MODERN) });
    let mut bench = Bench::stable_with(setup, &[P0, P1]);
    bench.read(0, 10);
    bench.commit_sync();
    bench.did();
    bench.answer_commit(ErrorCode::FencedInstanceId);
    let failure = Some(CommitFailure::FencedInstance);
    assert_eq!(bench.did(), [completed(Sync, &READ, failure), committed(failure)]);
}

#[test]
fn an_asynchronous_commit_is_tried_once_and_its_callback_runs_in_the_next_poll() {
    let retriable = CommitFailure::Retriable(ErrorCode::CoordinatorLoadInProgress);
    let cases = [(ErrorCode::None, None), (ErrorCode::CoordinatorLoadInProgress, Some(retriable))];
    for (error, failure) in cases {
        let mut bench = having_read(config(MODERN));
        bench.commit_async();
        assert_eq!(bench.did(), [sent(Async, &READ), commit(1, &READ)]);
        bench.answer_commit(error);
        bench.pass(millis(500));
        assert_eq!(bench.did(), []);
        bench.poll(100);
        assert_eq!(bench.did(), [completed(Async, &READ, failure), callback(&READ, failure)]);
    }
}

#[test]
fn asynchronous_commits_are_called_back_before_a_synchronous_one_returns() {
    let mut bench = having_read(config(MODERN));
    bench.commit_async();
    bench.commit_sync();
    bench.did();
    bench.answer_commit(ErrorCode::None);
    assert_eq!(bench.did(), [completed(Async, &READ, None), callback(&READ, None)]);
    bench.answer_commit(ErrorCode::None);
    assert_eq!(bench.did(), [completed(Sync, &READ, None), committed(None)]);
}

#[test]
fn an_asynchronous_commit_that_is_lost_with_its_connection_may_be_retried() {
    let mut bench = having_read(config(MODERN));
    bench.commit_async();
    bench.did();
    bench.lose_connection(|request| matches!(request, Request::OffsetCommit(_)));
    bench.poll(1_000);
    let failure = Some(CommitFailure::Retriable(ErrorCode::NetworkException));
    assert_eq!(bench.did(), [completed(Async, &READ, failure), callback(&READ, failure)]);
}

#[test]
fn without_a_coordinator_an_asynchronous_commit_waits_for_one_answer() {
    let mut bench = having_read(config(MODERN));
    bench.coordinator = None;
    bench.commit_async();
    bench.answer_commit(ErrorCode::NotCoordinator);
    bench.did();
    bench.commit_async();
    bench.pass(millis(200));
    bench.poll(100);
    let first = Some(CommitFailure::Retriable(ErrorCode::NotCoordinator));
    let second = Some(CommitFailure::Retriable(ErrorCode::CoordinatorNotAvailable));
    let expected = [
        completed(Async, &READ, first),
        callback(&READ, first),
        completed(Async, &READ, second),
        callback(&READ, second),
    ];
    assert_eq!(bench.did(), expected);
}

#[test]
fn auto_commit_is_due_at_the_start_of_a_poll_and_never_between_polls() {
    let mut bench = Bench::stable(auto_committing());
    bench.pass(millis(4_000));
    bench.read(0, 10);
    bench.answer_heartbeat(ErrorCode::None);
    // Five seconds after the assignment the application works.
    bench.pass(millis(1_500));
    assert_eq!(bench.did(), []);
    bench.poll(100);
    assert_eq!(bench.did(), [sent(AutoInterval, &READ), commit(1, &READ)]);
    bench.answer_commit(ErrorCode::None);
    assert_eq!(bench.did(), [completed(AutoInterval, &READ, None)]);
    // Again five seconds later, though nothing is new; inside a poll that waits, at the instant.
    bench.pass(millis(4_900));
    bench.did();
    bench.poll(10_000);
    bench.pass(millis(99));
    assert_eq!(bench.did(), []);
    bench.pass(millis(1));
    assert_eq!(bench.did(), [sent(AutoInterval, &READ), commit(1, &READ)]);
}

#[test]
fn an_auto_commit_that_failed_is_repeated_after_the_backoff_if_that_may_help() {
    let lost = CommitFailure::CommitFailed(Some(ErrorCode::UnknownMemberId));
    let cases =
        [(ErrorCode::CoordinatorLoadInProgress, None), (ErrorCode::UnknownMemberId, Some(lost))];
    for (error, failure) in cases {
        let mut bench = Bench::stable(auto_committing());
        bench.pass(secs(5));
        bench.answer_heartbeat(ErrorCode::None);
        bench.did();
        bench.poll(1_000);
        bench.did();
        bench.answer_commit(error);
        let offsets = [at(P0, 0, None), at(P1, 0, None)];
        match failure {
            None => {
                let failure = Some(CommitFailure::Retriable(error));
                assert_eq!(bench.did(), [completed(AutoInterval, &offsets, failure)]);
                bench.pass(millis(100));
                assert_eq!(bench.did(), [sent(AutoInterval, &offsets), commit(1, &offsets)]);
            }
            Some(_) => {
                // The log, and then the rebalance: the auto-commit before it fails as well,
                // locally.
                let local = Some(CommitFailure::CommitFailed(None));
                let expected = [
                    lost_membership(error),
                    completed(AutoInterval, &offsets, failure),
                    revoked(&[P0, P1], true),
                    gave_up(&[P0, P1], true),
                    completed(AutoRevocation, &offsets, local),
                ];
                bench.call(ConsumerCall::ListenerReturned);
                let did = bench.did();
                for fact in expected {
                    assert!(did.contains(&fact), "{fact:?} in {did:?}");
                }
            }
        }
    }
}

#[test]
fn auto_commit_comes_before_partitions_are_given_up() {
    let mut bench = having_read(auto_committing());
    bench.pass(secs(3));
    bench.answer_heartbeat(ErrorCode::RebalanceInProgress);
    bench.did();
    bench.poll(1_000);
    assert_eq!(bench.did(), [sent(AutoRevocation, &READ), commit(1, &READ)]);
    // Nothing is returned meanwhile, or the position would run ahead of what is being committed.
    bench.answer_fetch(&[(P0, batch(10, 5))]);
    assert_eq!(bench.did(), []);
    // A retriable failure is repeated.
    bench.answer_commit(ErrorCode::CoordinatorLoadInProgress);
    bench.pass(millis(100));
    let failure = Some(CommitFailure::Retriable(ErrorCode::CoordinatorLoadInProgress));
    let expected =
        [completed(AutoRevocation, &READ, failure), sent(AutoRevocation, &READ), commit(1, &READ)];
    assert_eq!(bench.did(), expected);
    bench.answer_commit(ErrorCode::None);
    let expected = [completed(AutoRevocation, &READ, None), revoked(&[P0, P1], false)];
    assert_eq!(bench.did(), expected);
}

#[test]
fn the_listener_may_commit_what_it_gives_up() {
    let mut bench = having_read(config(MODERN));
    bench.pass(secs(3));
    bench.answer_heartbeat(ErrorCode::RebalanceInProgress);
    bench.poll(1_000);
    bench.did();
    let trigger = CommitTrigger::SyncRevocation;
    bench.call(ConsumerCall::CommitSync { offsets: None, trigger });
    assert_eq!(bench.did(), [sent(trigger, &READ), commit(1, &READ)]);
    bench.answer_commit(ErrorCode::None);
    assert_eq!(bench.did(), [completed(trigger, &READ, None), committed(None)]);
    bench.call(ConsumerCall::ListenerReturned);
    let said = subscription(&[], Some(1));
    assert_eq!(bench.did(), [gave_up(&[P0, P1], false), join(Some(ME), said)]);
}

#[test]
fn a_commit_in_the_middle_of_a_rebalance_is_refused_without_asking() {
    let cases = [
        (MODERN, CommitFailure::RebalanceInProgress),
        (KafkaVersion::new(2, 4, 0), CommitFailure::CommitFailed(None)),
    ];
    for (version, failure) in cases {
        let cooperative =
            MemberConfig { assignors: vec![Assignor::CooperativeSticky], ..config(version) };
        let mut bench = having_read(cooperative);
        bench.pass(secs(3));
        bench.answer_heartbeat(ErrorCode::RebalanceInProgress);
        bench.poll(100);
        bench.pass(millis(100));
        bench.did();
        bench.commit_sync();
        let failure = Some(failure);
        let expected = [completed(Sync, &READ, failure), committed(failure)];
        assert_eq!(bench.did(), expected, "{version}");
    }
}

#[test]
fn a_late_answer_about_an_earlier_generation_does_not_end_the_new_membership() {
    let mut bench = having_read(config(MODERN));
    bench.pass(secs(3));
    bench.commit_async();
    bench.did();
    // The heartbeat ends the membership; then the commit, which was sent with it, is answered.
    bench.answer_heartbeat(ErrorCode::UnknownMemberId);
    bench.poll(1_000);
    bench.call(ConsumerCall::ListenerReturned);
    let said = subscription(&[], Some(1));
    let expected = [
        lost_membership(ErrorCode::UnknownMemberId),
        revoked(&[P0, P1], true),
        gave_up(&[P0, P1], true),
        join(None, said),
    ];
    assert_eq!(bench.did(), expected);
    bench.answer_commit(ErrorCode::UnknownMemberId);
    let failure = Some(CommitFailure::RebalanceInProgress);
    assert_eq!(bench.did(), [completed(Async, &READ, failure), callback(&READ, failure)]);
    bench.answer_join(2, ME);
    assert_eq!(bench.did(), [sync(2, vec![])]);
}

#[test]
fn a_consumer_that_assigns_itself_commits_without_membership() {
    let mut setup = setup(auto_committing());
    setup.assigns_itself = true;
    let mut bench = Bench::new(setup);
    bench.poll(1_000);
    let owned: Arc<[TopicPartition]> = Arc::from([P0, P1]);
    let own = TraceEvent::PartitionsAssigned {
        generation: None,
        member: None,
        owned: Arc::clone(&owned),
        added: owned,
    };
    assert_eq!(bench.did(), [Did::State(own), fetch_offsets(&[P0, P1])]);
    bench.answer_offsets(&[(P0, 0), (P1, 0)]);
    bench.answer_fetch(&[(P0, batch(0, 10))]);
    bench.did();
    bench.commit_sync();
    let request = OffsetCommitRequest {
        group: GROUP,
        generation: None,
        member: None,
        instance: None,
        offsets: READ.into(),
        understands_member_epochs: false,
    };
    assert_eq!(bench.did(), [sent(Sync, &READ), Did::Send(Request::OffsetCommit(request))]);
    // The group has members: the misleading message.
    bench.answer_commit(ErrorCode::UnknownMemberId);
    let failure = Some(CommitFailure::CommitFailed(Some(ErrorCode::UnknownMemberId)));
    assert_eq!(bench.did(), [completed(Sync, &READ, failure), committed(failure)]);
    // It reads on, and auto-commit tries again and again.
    bench.pass(secs(5));
    bench.poll(100);
    assert!(matches!(bench.did()[..], [Did::State(_), Did::Send(Request::OffsetCommit(_))]));
}
