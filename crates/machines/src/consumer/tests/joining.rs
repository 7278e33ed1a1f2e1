//! Joining: the handshake, the leader, eager and cooperative rebalances.

use super::*;

#[test]
fn a_member_joins_twice_syncs_and_starts_from_the_committed_offsets() {
    let mut bench = Bench::new(setup(config(MODERN)));
    assert_eq!(bench.did(), []);
    bench.poll(1_000);
    assert_eq!(bench.did(), [join(None, subscription(&[], None))]);
    bench.answer_join_with(JoinGroupResponse {
        error: ErrorCode::MemberIdRequired,
        ..joined(0, ME)
    });
    assert_eq!(bench.did(), [join(Some(ME), subscription(&[], None))]);
    bench.answer_join(1, ME);
    assert_eq!(bench.did(), [sync(1, vec![])]);
    bench.answer_sync(&[P0, P1]);
    assert_eq!(bench.did(), [assigned(&[P0, P1])]);
    bench.call(ConsumerCall::ListenerReturned);
    assert_eq!(bench.did(), [owns(1, &[P0, P1], &[P0, P1]), fetch_offsets(&[P0, P1])]);
    assert!(!bench.consumer.is_settled());
    bench.answer_offsets(&[(P0, 5), (P1, 6)]);
    assert_eq!(bench.did(), [from_committed(P0, None, 5), from_committed(P1, None, 6)]);
    let records = batch(5, 3);
    bench.answer_fetch(&[(P0, Arc::clone(&records))]);
    assert_eq!(bench.did(), [read(P0, 5, 8, &records), polled(&[(P0, 5, 8, &records)])]);
    assert!(bench.consumer.is_settled());
    let positions: Vec<_> = bench.consumer.positions().collect();
    assert_eq!(positions, [(P0, Some(Offset(8))), (P1, Some(Offset(6)))]);
    let membership = bench.consumer.group_membership();
    assert_eq!((membership.generation, membership.member), (Some(Generation(1)), Some(ME)));
}

#[test]
fn the_leader_assigns() {
    let mut bench = Bench::new(setup(config(MODERN)));
    bench.poll(1_000);
    bench.did();
    bench.answer_join_with(joined_as_leader(1));
    let shares = vec![(ME, Arc::from([P0])), (OTHER, Arc::from([P1]))];
    assert_eq!(bench.did(), [sync(1, shares)]);
    bench.answer_sync(&[P0]);
    assert_eq!(bench.did(), [assigned(&[P0])]);
}

#[test]
fn a_static_leader_that_comes_back_keeps_the_assignment_that_there_is() {
    let mut bench = Bench::new(setup(config(MODERN)));
    bench.poll(1_000);
    bench.did();
    bench.answer_join_with(JoinGroupResponse { skip_assignment: true, ..joined_as_leader(4) });
    assert_eq!(bench.did(), [sync(4, vec![])]);
}

#[test]
fn poll_returns_while_the_group_waits_and_goes_on_joining_in_the_next() {
    let mut bench = Bench::new(setup(config(MODERN)));
    bench.poll(1_000);
    bench.did();
    bench.pass(secs(1));
    assert_eq!(bench.did(), [polled(&[])]);
    // Nobody reads the answer while the application works: the heartbeat thread does not run yet.
    bench.answer_join(1, ME);
    bench.pass(secs(5));
    assert_eq!(bench.did(), []);
    bench.poll(1_000);
    assert_eq!(bench.did(), [sync(1, vec![])]);
    // Once it has joined, the heartbeat thread reads.
    bench.pass(secs(1));
    bench.did();
    bench.answer_sync(&[P0]);
    assert_eq!(bench.did(), []);
    bench.poll(1_000);
    assert_eq!(bench.did(), [assigned(&[P0])]);
}

#[test]
fn before_2_0_poll_waits_for_the_group_as_long_as_it_takes() {
    let mut bench = Bench::new(setup(config(KafkaVersion::new(1, 1, 0))));
    bench.poll(1_000);
    bench.did();
    bench.pass(secs(15));
    assert_eq!(bench.did(), []);
    bench.answer_join(1, ME);
    bench.answer_sync(&[P0]);
    bench.call(ConsumerCall::ListenerReturned);
    bench.did();
    bench.answer_offsets(&[(P0, 0)]);
    assert_eq!(bench.did(), [from_committed(P0, None, 0), polled(&[])]);
}

#[test]
fn the_client_waits_for_a_join_longer_than_for_other_requests() {
    let mut bench =
        Bench::new(setup(MemberConfig { max_poll_interval: Some(secs(60)), ..config(MODERN) }));
    bench.poll(100_000);
    bench.did();
    // Rebalance timeout and five seconds.
    bench.pass(millis(64_999));
    assert_eq!(bench.did(), []);
    bench.pass(secs(1));
    assert!(matches!(bench.did()[..], [Did::Send(Request::JoinGroup(_))]));
}

#[test]
fn an_eager_member_gives_everything_up_in_the_next_poll_after_the_heartbeat() {
    let mut bench = Bench::stable(config(MODERN));
    bench.pass(secs(3));
    assert_eq!(bench.did(), [heartbeat(1)]);
    bench.answer_heartbeat(ErrorCode::RebalanceInProgress);
    // The application works on: nothing happens but heartbeats.
    bench.pass(secs(3));
    assert_eq!(bench.did(), [heartbeat(1)]);
    bench.answer_heartbeat(ErrorCode::RebalanceInProgress);
    assert_eq!(bench.did(), []);
    bench.poll(1_000);
    assert_eq!(bench.did(), [revoked(&[P0, P1], false)]);
    bench.call(ConsumerCall::ListenerReturned);
    let said = subscription(&[], Some(1));
    assert_eq!(bench.did(), [gave_up(&[P0, P1], false), join(Some(ME), said)]);
    bench.answer_join(2, ME);
    bench.answer_sync(&[P1]);
    bench.call(ConsumerCall::ListenerReturned);
    let expected = [sync(2, vec![]), assigned(&[P1]), owns(2, &[P1], &[P1]), fetch_offsets(&[P1])];
    assert_eq!(bench.did(), expected);
}

#[test]
fn a_cooperative_member_keeps_what_it_has_and_rejoins_after_giving_up_the_rest() {
    let mut bench = Bench::stable(cooperative());
    bench.pass(secs(3));
    bench.answer_heartbeat(ErrorCode::RebalanceInProgress);
    bench.did();
    bench.poll(5_000);
    let all = subscription(&[P0, P1], Some(1));
    assert_eq!(bench.did(), [join_by(Assignor::CooperativeSticky, Some(ME), all)]);
    // It reads on while it joins.
    let records = batch(0, 4);
    bench.answer_fetch(&[(P1, Arc::clone(&records))]);
    assert_eq!(bench.did(), [read(P1, 0, 4, &records), polled(&[(P1, 0, 4, &records)])]);
    bench.poll(5_000);
    bench.answer_join(2, ME);
    bench.answer_sync(&[P0]);
    assert_eq!(bench.did(), [sync(2, vec![]), revoked(&[P1], false)]);
    bench.call(ConsumerCall::ListenerReturned);
    let kept = subscription(&[P0], Some(2));
    let expected = [
        gave_up(&[P1], false),
        owns(2, &[P0], &[]),
        join_by(Assignor::CooperativeSticky, Some(ME), kept),
    ];
    assert_eq!(bench.did(), expected);
    bench.answer_join(3, ME);
    bench.answer_sync(&[P0]);
    assert_eq!(bench.did(), [sync(3, vec![]), owns(3, &[P0], &[])]);
    assert!(bench.consumer.is_settled());
}

/// KAFKA-8421: before it, what has arrived waits until the member is in the group again, so that the
/// application does not commit in the middle of a rebalance.
#[test]
fn before_2_5_poll_returns_nothing_while_the_member_joins() {
    let records = batch(0, 4);
    let given = [read(P1, 0, 4, &records), polled(&[(P1, 0, 4, &records)])];
    for (version, returns) in [(KafkaVersion::new(2, 4, 0), false), (MODERN, true)] {
        let config = MemberConfig { assignors: cooperative().assignors, ..config(version) };
        let mut bench = Bench::stable(config);
        bench.poll(1_000);
        bench.pass(secs(3));
        bench.answer_heartbeat(ErrorCode::RebalanceInProgress);
        bench.poll(100);
        bench.did();
        bench.answer_fetch(&[(P1, Arc::clone(&records))]);
        assert_eq!(bench.did(), if returns { given.to_vec() } else { Vec::new() }, "{version}");
        bench.pass(millis(100));
        assert_eq!(bench.did(), if returns { Vec::new() } else { vec![polled(&[])] }, "{version}");
        bench.poll(100);
        bench.answer_join(2, ME);
        bench.answer_sync(&[P0, P1]);
        let back = [sync(2, vec![]), owns(2, &[P0, P1], &[])];
        let left = if returns { &[][..] } else { &given[..] };
        assert_eq!(bench.did(), [&back[..], left].concat(), "{version}");
    }
}

#[test]
fn range_before_cooperative_sticky_runs_as_an_eager_protocol() {
    let assignors = vec![Assignor::Range, Assignor::CooperativeSticky];
    let mut bench = Bench::stable(MemberConfig { assignors, ..config(MODERN) });
    bench.pass(secs(3));
    bench.answer_heartbeat(ErrorCode::RebalanceInProgress);
    bench.did();
    bench.poll(1_000);
    assert_eq!(bench.did(), [revoked(&[P0, P1], false)]);
}

#[test]
fn a_sticky_member_says_what_it_was_assigned_last() {
    let assignors = vec![Assignor::Sticky];
    let mut bench = Bench::stable(MemberConfig { assignors, ..config(MODERN) });
    bench.pass(secs(3));
    bench.answer_heartbeat(ErrorCode::RebalanceInProgress);
    bench.poll(1_000);
    bench.did();
    bench.call(ConsumerCall::ListenerReturned);
    let said = subscription(&[P0, P1], Some(1));
    let expected = [gave_up(&[P0, P1], false), join_by(Assignor::Sticky, Some(ME), said)];
    assert_eq!(bench.did(), expected);
}

#[test]
fn a_failed_sync_joins_again_at_once_and_keeps_the_id_unless_it_is_unknown() {
    let cases = [
        (ErrorCode::RebalanceInProgress, Some(ME), false),
        (ErrorCode::IllegalGeneration, Some(ME), true),
        (ErrorCode::UnknownMemberId, None, true),
    ];
    for (error, id, lost) in cases {
        let mut bench = Bench::new(setup(config(MODERN)));
        bench.poll(1_000);
        bench.answer_join(1, ME);
        bench.did();
        bench.answer_sync_with(error, &[]);
        let join = join(id, subscription(&[], None));
        let expected = if lost { vec![lost_membership(error), join] } else { vec![join] };
        assert_eq!(bench.did(), expected, "{error}");
    }
}

#[test]
fn a_refused_join_is_repeated_after_the_backoff_or_fails_the_poll() {
    // Another coordinator has to be found, and connected to again, first.
    let cases = [(ErrorCode::CoordinatorLoadInProgress, 1), (ErrorCode::NotCoordinator, 101)];
    for (error, more) in cases {
        let mut bench = Bench::new(setup(config(MODERN)));
        bench.poll(1_000);
        bench.did();
        bench.refuse_join(error);
        bench.pass(millis(99));
        assert_eq!(bench.did(), [], "{error}");
        bench.pass(millis(more));
        assert_eq!(bench.did(), [join(None, subscription(&[], None))], "{error}");
    }
    for error in [ErrorCode::GroupMaxSizeReached, ErrorCode::InconsistentGroupProtocol] {
        let mut bench = Bench::new(setup(config(MODERN)));
        bench.poll(1_000);
        bench.did();
        bench.refuse_join(error);
        assert_eq!(bench.did(), [Did::Report(ConsumerReport::Failed(error))]);
    }
}

#[test]
fn the_leader_joins_again_when_a_topic_has_got_more_partitions() {
    let mut bench = Bench::new(setup(config(MODERN)));
    bench.poll(1_000);
    bench.answer_join_with(joined_as_leader(1));
    bench.answer_sync(&[P0]);
    bench.call(ConsumerCall::ListenerReturned);
    bench.answer_offsets(&[(P0, 0)]);
    bench.did();
    bench.partitions = 3;
    bench.consumer.client.request_update();
    bench.pass(millis(200));
    bench.answer_fetch(&[]);
    assert_eq!(bench.did(), [revoked(&[P0], false)]);
    bench.call(ConsumerCall::ListenerReturned);
    let said = subscription(&[], Some(1));
    assert_eq!(bench.did(), [gave_up(&[P0], false), join(Some(ME), said)]);
}

#[test]
fn a_follower_does_not() {
    let mut bench = Bench::stable(config(MODERN));
    bench.partitions = 3;
    bench.consumer.client.request_update();
    bench.poll(1_000);
    bench.pass(millis(200));
    assert_eq!(bench.did(), []);
}

/// KAFKA-12983: before 2.8.1 a member that had prepared to join went on with that, no member any
/// more, and claimed what it had been assigned (case C11).
#[test]
fn a_cooperative_member_that_is_lost_while_it_joins_gives_everything_up_since_2_8_1() {
    let assignors = vec![Assignor::CooperativeSticky];
    for (version, gives_up) in
        [(KafkaVersion::new(2, 8, 1), true), (KafkaVersion::new(2, 8, 0), false)]
    {
        let assignors = assignors.clone();
        let mut bench = Bench::stable(MemberConfig { assignors, ..config(version) });
        bench.pass(secs(3));
        bench.answer_heartbeat(ErrorCode::RebalanceInProgress);
        bench.poll(1_000);
        bench.did();
        bench.refuse_join(ErrorCode::UnknownMemberId);
        let lost = lost_membership(ErrorCode::UnknownMemberId);
        if gives_up {
            assert_eq!(bench.did(), [lost, revoked(&[P0, P1], true)]);
            bench.call(ConsumerCall::ListenerReturned);
            let said = join_by(Assignor::CooperativeSticky, None, subscription(&[], Some(1)));
            assert_eq!(bench.did(), [gave_up(&[P0, P1], true), said]);
        } else {
            let said = join_by(Assignor::CooperativeSticky, None, subscription(&[P0, P1], None));
            assert_eq!(bench.did(), [lost, said]);
        }
    }
}
