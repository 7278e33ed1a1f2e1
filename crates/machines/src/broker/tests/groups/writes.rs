//! What waits for the coordinator's log: assignments, and in the event loop every answer.

use super::bench::*;
use acklab_vocab::api::{OffsetCommitRequest, Request, Response};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::*;
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::trace::{RebalanceReason, TraceEvent};

const NONE: ErrorCode = ErrorCode::None;

#[test]
fn an_assignment_that_cannot_be_stored_begins_another_rebalance() {
    for (text, told) in
        [("3.9", ErrorCode::RebalanceInProgress), ("4.1", ErrorCode::CoordinatorNotAvailable)]
    {
        let mut bench = Bench::with_isr(version(text), 1, &[1, 2]);
        let one = bench.join_dynamic(1);
        bench.run_until(100);
        bench.replicate();
        bench.run_until(3_000);
        assert_eq!(bench.ask(1, sync(1, one, &[(one, &[0])])), []);
        bench.group_facts();
        assert_eq!(bench.run_until(7_999), [], "{text}");
        assert_eq!(bench.run_until(8_000), [(1, synced(told, &[]))], "{text}");
        assert_eq!(
            bench.group_facts()[0],
            TraceEvent::RebalanceStarted {
                group: GROUP,
                generation: Generation(1),
                reason: RebalanceReason::AssignmentNotStored,
                member: None,
            }
        );
    }
    // Too small an ISR: the classic coordinator writes nothing.
    let mut bench = Bench::with_isr(version("3.9"), 2, &[1, 2]);
    let one = bench.join_dynamic(1);
    bench.run_until(3_000);
    bench.elect(1, &[1]);
    assert_eq!(
        bench.ask(1, sync(1, one, &[(one, &[0])])),
        [(1, synced(ErrorCode::CoordinatorNotAvailable, &[]))]
    );
    assert_eq!(bench.offsets_log().0, 0);
}

/// The assignment of one generation is replicated in the next one: nobody gets it.
#[test]
fn an_assignment_that_is_stored_too_late_is_nobodys() {
    let mut bench = Bench::with_isr(version("3.9"), 1, &[1, 2]);
    let one = bench.join_dynamic(1);
    bench.run_until(3_000);
    assert_eq!(bench.ask(1, sync(1, one, &[(one, &[0, 1])])), []);
    let answers = bench.ask(2, Request::JoinGroup(join_request(None)));
    let [(2, Response::JoinGroup(response))] = answers.as_slice() else { panic!("{answers:?}") };
    let two = response.member.expect("an id");
    assert_eq!(
        bench.ask(2, Request::JoinGroup(join_request(Some(two)))),
        [(1, synced(ErrorCode::RebalanceInProgress, &[]))]
    );
    let answers = bench.ask(1, Request::JoinGroup(join_request(Some(one))));
    assert_eq!(answers.len(), 2, "{answers:?}");
    assert_eq!(bench.ask(2, sync(2, two, &[])), []);
    assert_eq!(bench.replicate(), [], "that was of generation 1");
    assert_eq!(bench.ask(1, sync(2, one, &[(one, &[0]), (two, &[1])])), []);
    let mut answers = bench.replicate();
    answers.sort_unstable_by_key(|answer| answer.0);
    assert_eq!(answers, [(1, synced(NONE, &[0])), (2, synced(NONE, &[1]))]);
}

/// While a write is not replicated, the event-loop coordinator's other answers wait for it.
#[test]
fn heartbeats_wait_for_writes_in_the_event_loop() {
    let mut bench = Bench::with_isr(version("4.1"), 1, &[1, 2]);
    let one = bench.join_dynamic(1);
    bench.run_until(100);
    bench.replicate();
    bench.run_until(3_000);
    bench.ask(1, sync(1, one, &[(one, &[0])]));
    bench.run_until(3_010);
    assert_eq!(bench.ask(7, heartbeat(1, one)), []);
    assert_eq!(bench.replicate(), [(1, synced(NONE, &[0])), (7, beaten(NONE))]);
    // With a write that stays unreplicated, the heartbeat fails after 5 s.
    bench.ask(1, commit(Some((1, one)), 0, 5));
    assert_eq!(bench.ask(7, heartbeat(1, one)), []);
    let answers = bench.run_until(20_000);
    assert!(answers.contains(&(7, beaten(ErrorCode::CoordinatorNotAvailable))), "{answers:?}");
}

#[test]
fn old_coordinators_answer_heartbeats_at_once() {
    let config = version("3.9");
    assert!(!config.rules.has(ProtocolRule::EventLoopGroupCoordinator));
    let mut bench = Bench::with_isr(config, 1, &[1, 2]);
    let one = bench.join_dynamic(1);
    bench.run_until(3_000);
    bench.ask(1, sync(1, one, &[(one, &[0])]));
    assert_eq!(bench.ask(7, heartbeat(1, one)), [(7, beaten(NONE))]);
}

/// To the event loop a JoinGroup is a write of nothing: it fails with what was written before it,
/// here the group itself. To the group the member has joined, and it learns the generation when it
/// asks again.
#[test]
fn a_join_that_waits_fails_with_the_writes_before_it() {
    for (text, told) in [("3.9", None), ("4.1", Some(ErrorCode::CoordinatorNotAvailable))] {
        let mut config = version(text);
        config.groups.initial_rebalance_delay = ms(8_000);
        let mut bench = Bench::with_isr(config, 2, &[1, 2]);
        assert_eq!(bench.ask(9, commit(None, 0, 5)), [], "written, and not replicated");
        let one = bench.join_dynamic(1);
        bench.run_until(4_999);
        let told: Vec<_> = told.map(|error| (1, join_refused(None, error))).into_iter().collect();
        let answers = bench.run_until(5_000);
        let joins: Vec<_> = answers.into_iter().filter(|answer| answer.0 == 1).collect();
        assert_eq!(joins, told, "{text}");
        let generation = joined(1, one, one, &[one]);
        let answers = bench.run_until(8_000);
        match told.is_empty() {
            true => assert_eq!(answers, [(1, generation)]),
            false => {
                assert_eq!(answers, [], "{text}: it has been answered");
                let again = Request::JoinGroup(join_request(Some(one)));
                assert_eq!(bench.ask(1, again), [(1, generation)]);
            }
        }
    }
}

/// The same of a SyncGroup that waits for the leader's.
#[test]
fn a_sync_that_waits_fails_with_the_writes_before_it() {
    for (text, told) in [("3.9", None), ("4.1", Some(ErrorCode::CoordinatorNotAvailable))] {
        let mut bench = Bench::with_isr(version(text), 2, &[1, 2]);
        let one = bench.join_dynamic(1);
        let two = bench.join_dynamic(2);
        bench.run_until(100);
        bench.replicate();
        let answers = bench.run_until(6_000);
        assert_eq!(answers.len(), 2, "{text}: {answers:?}");
        bench.ask(9, fetch_offset(false));
        assert_eq!(bench.ask(1, commit(Some((0, one)), 0, 5)).len(), 1, "refused at once");
        // Another group's offsets.
        let other = OffsetCommitRequest { group: GroupId(1), ..commit_request(None, 0, 5) };
        assert_eq!(bench.ask(9, Request::OffsetCommit(other)), []);
        assert_eq!(bench.ask(2, sync(1, two, &[])), []);
        let answers = bench.run_until(11_010);
        let syncs: Vec<_> = answers.into_iter().filter(|answer| answer.0 == 2).collect();
        let told: Vec<_> = told.map(|error| (2, synced(error, &[]))).into_iter().collect();
        assert_eq!(syncs, told, "{text}");
        // The leader's assignment arrives: who still waits gets its part.
        bench.ask(1, sync(1, one, &[(one, &[0]), (two, &[1])]));
        bench.run_until(11_100);
        let answers = bench.replicate();
        let of_two = answers.iter().filter(|answer| answer.0 == 2).count();
        assert_eq!(of_two, usize::from(told.is_empty()), "{text}: {answers:?}");
        assert!(answers.contains(&(1, synced(NONE, &[0]))), "{text}: {answers:?}");
        assert_eq!(bench.ask(2, sync(1, two, &[])), [(2, synced(NONE, &[1]))], "{text}");
    }
}
