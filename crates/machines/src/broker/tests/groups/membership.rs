//! Members come, rebalance, and go.

use super::bench::*;
use acklab_vocab::api::*;
use acklab_vocab::config::BrokerConfig;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::group::Assignor;
use acklab_vocab::ids::*;
use acklab_vocab::trace::{GroupState, RebalanceReason, RemovalReason, TraceEvent};
use smallvec::smallvec;
use std::sync::Arc;

const NONE: ErrorCode = ErrorCode::None;

/// With one member in it, number 1, in generation 1, as the leader. At 3 s.
fn lone_leader(config: BrokerConfig) -> (Bench, MemberId) {
    let mut bench = Bench::new(config);
    let one = bench.join_dynamic(1);
    assert_eq!(bench.run_until(3_000), [(1, joined(1, one, one, &[one]))]);
    (bench, one)
}

#[test]
fn the_first_member_of_a_group_is_given_an_id_then_waits_for_others() {
    let mut bench = Bench::new(version("3.9"));
    let one = bench.join_dynamic(1);
    assert_eq!(
        bench.group_facts(),
        [
            TraceEvent::MemberJoined {
                group: GROUP,
                member: one,
                instance: None,
                member_node: NodeId(1),
            },
            TraceEvent::RebalanceStarted {
                group: GROUP,
                generation: Generation(0),
                reason: RebalanceReason::MemberJoined,
                member: Some(one),
            },
            TraceEvent::GroupStateChanged {
                group: GROUP,
                state: GroupState::PreparingRebalance,
                generation: Generation(0),
            },
        ]
    );
    assert_eq!(bench.run_until(2_999), []);
    assert_eq!(bench.run_until(3_000), [(1, joined(1, one, one, &[one]))]);
    assert_eq!(
        bench.group_facts(),
        [
            TraceEvent::GenerationStarted {
                group: GROUP,
                generation: Generation(1),
                protocol: Some(Assignor::Range),
                leader: Some(one),
                members: [(one, NodeId(1))].into(),
            },
            TraceEvent::GroupStateChanged {
                group: GROUP,
                state: GroupState::CompletingRebalance,
                generation: Generation(1),
            },
        ]
    );
    assert_eq!(bench.ask(1, sync(1, one, &[(one, &[0, 1])])), [(1, synced(NONE, &[0, 1]))]);
    let owned: Arc<[TopicPartition]> = orders(&[0, 1]);
    assert_eq!(
        bench.group_facts(),
        [
            TraceEvent::Assigned {
                group: GROUP,
                generation: Generation(1),
                assignment: [(one, owned)].into(),
                partial: false,
            },
            TraceEvent::GroupStateChanged {
                group: GROUP,
                state: GroupState::Stable,
                generation: Generation(1),
            },
        ]
    );
}

/// KIP-394: older clients and brokers know no handshake.
#[test]
fn without_the_handshake_a_member_joins_at_once() {
    let old_client =
        JoinGroupRequest { understands_member_id_required: false, ..join_request(None) };
    let mut bench = Bench::new(version("3.9"));
    assert_eq!(bench.ask(1, Request::JoinGroup(old_client)), []);
    let mut bench = Bench::new(version("2.1"));
    assert_eq!(bench.ask(1, Request::JoinGroup(join_request(None))), []);
    assert_eq!(bench.run_until(3_000).len(), 1);
}

#[test]
fn the_initial_delay_is_extended_while_members_come() {
    for text in ["3.9", "4.1"] {
        let mut bench = Bench::new(version(text));
        bench.join_dynamic(1);
        bench.run_until(2_000);
        bench.join_dynamic(2);
        assert_eq!(bench.run_until(5_999), [], "{text}");
        assert_eq!(bench.run_until(6_000).len(), 2, "{text}");
    }
}

/// Only up to the largest rebalance timeout.
#[test]
fn the_initial_delay_ends_with_the_rebalance_timeout() {
    let mut bench = Bench::new(version("3.9"));
    let join = |member| JoinGroupRequest { rebalance_timeout: ms(4_000), ..join_request(member) };
    for who in 1..=3 {
        bench.run_until(i64::from(who) * 1_000 - 1_000);
        let answers = bench.ask(who, Request::JoinGroup(join(None)));
        let [(_, Response::JoinGroup(response))] = answers.as_slice() else { panic!() };
        bench.ask(who, Request::JoinGroup(join(response.member)));
    }
    assert_eq!(bench.run_until(3_999), []);
    assert_eq!(bench.run_until(4_000).len(), 3);
}

/// The group was emptied after generation 1: the old coordinator no longer extends its delay.
#[test]
fn a_group_that_was_emptied_is_extended_by_the_event_loop_coordinator_only() {
    for (text, delay) in [("3.9", 3_000), ("4.1", 6_000)] {
        let (mut bench, one) = lone_leader(version(text));
        bench.ask(1, leave(one));
        bench.run_until(10_000);
        bench.join_dynamic(1);
        bench.run_until(11_000);
        bench.join_dynamic(2);
        assert_eq!(bench.run_until(10_000 + delay - 1), [], "{text}");
        assert_eq!(bench.run_until(10_000 + delay).len(), 2, "{text}");
    }
}

#[test]
fn followers_wait_until_the_leaders_assignment_is_replicated() {
    for text in ["3.9", "4.1"] {
        let mut bench = Bench::with_isr(version(text), 1, &[1, 2]);
        let one = bench.join_dynamic(1);
        bench.run_until(1_000);
        bench.replicate();
        let two = bench.join_dynamic(2);
        let answers = bench.run_until(6_000);
        let everybody = if one < two { [one, two] } else { [two, one] };
        let mut expected = [(1, joined(1, one, one, &everybody)), (2, joined(1, one, two, &[]))];
        if two < one {
            expected.reverse();
        }
        assert_eq!(answers, expected);
        assert_eq!(bench.ask(2, sync(1, two, &[])), []);
        assert_eq!(bench.ask(1, sync(1, one, &[(one, &[0]), (two, &[1])])), []);
        assert_eq!(bench.run_until(6_100), [], "{text}: it is not replicated");
        let mut expected = [(1, synced(NONE, &[0])), (2, synced(NONE, &[1]))];
        if two < one {
            expected.reverse();
        }
        assert_eq!(bench.replicate(), expected);
    }
}

#[test]
fn a_sync_in_a_stable_group_is_answered_at_once() {
    let mut bench = Bench::new(version("3.9"));
    let (one, two) = bench.stable_pair();
    assert_eq!(bench.ask(2, sync(1, two, &[])), [(2, synced(NONE, &[1]))]);
    // A late assignment of the leader changes nothing.
    assert_eq!(bench.ask(1, sync(1, one, &[(one, &[2])])), [(1, synced(NONE, &[0]))]);
}

#[test]
fn every_request_is_judged_by_member_then_generation() {
    let mut bench = Bench::new(version("3.9"));
    let stranger = MemberId(1);
    assert_eq!(bench.ask(9, heartbeat(1, stranger)), [(9, beaten(ErrorCode::UnknownMemberId))]);
    assert_eq!(
        bench.ask(9, sync(1, stranger, &[])),
        [(9, synced(ErrorCode::UnknownMemberId, &[]))]
    );
    assert_eq!(bench.ask(9, leave(stranger)), [(9, left(ErrorCode::UnknownMemberId))]);
    assert_eq!(
        bench.ask(9, Request::JoinGroup(join_request(Some(stranger)))),
        [(9, join_refused(Some(stranger), ErrorCode::UnknownMemberId))]
    );
    let (one, _) = bench.stable_pair();
    assert_eq!(bench.ask(9, heartbeat(1, stranger)), [(9, beaten(ErrorCode::UnknownMemberId))]);
    assert_eq!(bench.ask(1, heartbeat(0, one)), [(1, beaten(ErrorCode::IllegalGeneration))]);
    assert_eq!(bench.ask(1, heartbeat(1, one)), [(1, beaten(NONE))]);
    assert_eq!(bench.ask(1, sync(2, one, &[])), [(1, synced(ErrorCode::IllegalGeneration, &[]))]);
    assert_eq!(bench.ask(9, leave(stranger)), [(9, left(ErrorCode::UnknownMemberId))]);
    assert_eq!(
        bench.ask(9, Request::JoinGroup(join_request(Some(stranger)))),
        [(9, join_refused(Some(stranger), ErrorCode::UnknownMemberId))]
    );
}

#[test]
fn heartbeats_tell_of_a_rebalance_and_count() {
    let mut bench = Bench::new(version("3.9"));
    let (one, two) = bench.stable_pair();
    bench.join_dynamic(3);
    let told = beaten(ErrorCode::RebalanceInProgress);
    // Heartbeats go on during the rebalance: nobody's session ends.
    for second in 4..40 {
        bench.run_until(second * 1_000);
        assert_eq!(bench.ask(1, heartbeat(1, one)), [(1, told.clone())]);
        assert_eq!(bench.ask(2, heartbeat(1, two)), [(2, told.clone())]);
    }
    assert_eq!(bench.ask(1, sync(1, one, &[])), [(1, synced(ErrorCode::RebalanceInProgress, &[]))]);
    assert_eq!(bench.ask(1, Request::JoinGroup(join_request(Some(one)))), []);
    let answers = bench.ask(2, Request::JoinGroup(join_request(Some(two))));
    assert_eq!(answers.len(), 3, "everybody has joined");
    // In CompletingRebalance a heartbeat is an ordinary one.
    assert_eq!(bench.ask(1, heartbeat(2, one)), [(1, beaten(NONE))]);
}

#[test]
fn who_joins_again_without_change_is_told_the_generation() {
    let mut bench = Bench::new(version("3.9"));
    let (one, two) = bench.stable_pair();
    assert_eq!(
        bench.ask(2, Request::JoinGroup(join_request(Some(two)))),
        [(2, joined(1, one, two, &[]))]
    );
    bench.group_facts();
    // The leader wants partitions to be assigned anew.
    assert_eq!(bench.ask(1, Request::JoinGroup(join_request(Some(one)))), []);
    assert_eq!(
        bench.group_facts()[0],
        TraceEvent::RebalanceStarted {
            group: GROUP,
            generation: Generation(1),
            reason: RebalanceReason::LeaderRejoined,
            member: Some(one),
        }
    );
}

#[test]
fn a_changed_subscription_begins_a_rebalance() {
    let mut bench = Bench::new(version("3.9"));
    let (_, two) = bench.stable_pair();
    bench.group_facts();
    let changed = JoinGroupRequest {
        protocols: smallvec![(Assignor::Range, subscription(&[0, 1]))],
        ..join_request(Some(two))
    };
    assert_eq!(bench.ask(2, Request::JoinGroup(changed)), []);
    assert_eq!(
        bench.group_facts()[0],
        TraceEvent::RebalanceStarted {
            group: GROUP,
            generation: Generation(1),
            reason: RebalanceReason::MemberRejoined,
            member: Some(two),
        }
    );
}

#[test]
fn who_does_not_join_within_the_rebalance_timeout_is_removed() {
    let mut bench = Bench::new(version("3.9"));
    let (one, two) = bench.stable_pair();
    let start = bench.rig.now.0 / 1_000_000;
    // Member 2 joins again; the leader only sends heartbeats.
    let changed = JoinGroupRequest {
        protocols: smallvec![(Assignor::Range, subscription(&[0, 1]))],
        ..join_request(Some(two))
    };
    bench.ask(2, Request::JoinGroup(changed));
    let end = start + REBALANCE_TIMEOUT as i64;
    let mut at = start;
    while at + 5_000 < end {
        at += 5_000;
        assert_eq!(bench.run_until(at), []);
        bench.ask(1, heartbeat(1, one));
    }
    assert_eq!(bench.run_until(end - 1), []);
    bench.group_facts();
    let answers = bench.run_until(end);
    let [(2, Response::JoinGroup(response))] = answers.as_slice() else { panic!("{answers:?}") };
    assert_eq!((response.generation, response.leader), (Generation(2), Some(two)));
    assert_eq!(
        bench.group_facts()[0],
        TraceEvent::MemberRemoved {
            group: GROUP,
            member: one,
            member_node: NodeId(1),
            reason: RemovalReason::RebalanceTimeout,
        }
    );
    assert_eq!(bench.ask(1, heartbeat(1, one)), [(1, beaten(ErrorCode::UnknownMemberId))]);
}

#[test]
fn a_rebalance_waits_for_everybody_who_was_given_an_id() {
    let (mut bench, one) = lone_leader(version("3.9"));
    bench.ask(1, sync(1, one, &[(one, &[0])]));
    bench.ask(2, Request::JoinGroup(join_request(None)));
    // Nothing happens before it joins with its id.
    assert_eq!(bench.ask(1, heartbeat(1, one)), [(1, beaten(NONE))]);
    bench.join_dynamic(3);
    assert_eq!(bench.ask(1, Request::JoinGroup(join_request(Some(one)))), []);
    assert_eq!(bench.run_until(12_999), []);
    bench.group_facts();
    // The pending member's session timeout is over: the others go on.
    assert_eq!(bench.run_until(13_000).len(), 2);
    let facts = bench.group_facts();
    assert!(
        matches!(facts[0], TraceEvent::MemberRemoved { reason: RemovalReason::PendingExpired, .. }),
        "{facts:?}"
    );
}

#[test]
fn who_does_not_ask_for_its_assignment_is_removed() {
    let mut bench = Bench::new(version("3.9"));
    let one = bench.join_dynamic(1);
    let two = bench.join_dynamic(2);
    bench.run_until(6_000);
    bench.ask(1, sync(1, one, &[(one, &[0]), (two, &[1])]));
    bench.group_facts();
    let mut second = 6;
    while second < 65 {
        second += 5;
        bench.run_until(second * 1_000);
        bench.ask(1, heartbeat(1, one));
        bench.ask(2, heartbeat(1, two));
    }
    bench.run_until(6_000 + REBALANCE_TIMEOUT as i64);
    assert_eq!(
        bench.group_facts()[..2],
        [
            TraceEvent::MemberRemoved {
                group: GROUP,
                member: two,
                member_node: NodeId(2),
                reason: RemovalReason::SyncTimeout,
            },
            TraceEvent::RebalanceStarted {
                group: GROUP,
                generation: Generation(1),
                reason: RebalanceReason::RebalanceTimeout,
                member: Some(two),
            },
        ]
    );
}

#[test]
fn a_silent_member_is_removed_after_its_session_timeout() {
    let mut bench = Bench::new(version("3.9"));
    let (one, two) = bench.stable_pair();
    let start = bench.rig.now.0 / 1_000_000;
    bench.ask(1, heartbeat(1, one));
    bench.run_until(start + 9_000);
    bench.ask(1, heartbeat(1, one));
    bench.group_facts();
    bench.run_until(start + 10_000);
    assert_eq!(
        bench.group_facts(),
        [
            TraceEvent::MemberRemoved {
                group: GROUP,
                member: two,
                member_node: NodeId(2),
                reason: RemovalReason::SessionExpired,
            },
            TraceEvent::RebalanceStarted {
                group: GROUP,
                generation: Generation(1),
                reason: RebalanceReason::SessionExpired,
                member: Some(two),
            },
            TraceEvent::GroupStateChanged {
                group: GROUP,
                state: GroupState::PreparingRebalance,
                generation: Generation(1),
            },
        ]
    );
    assert_eq!(
        bench.ask(1, Request::JoinGroup(join_request(Some(one)))),
        [(1, joined(2, one, one, &[one]))]
    );
}

/// A member that waits in JoinGroup lives as long as the rebalance; a new one 5 minutes.
#[test]
fn a_member_in_a_join_does_not_expire_unless_it_is_new() {
    let slow = |member| JoinGroupRequest { rebalance_timeout: ms(900_000), ..join_request(member) };
    let mut bench = Bench::new(version("3.9"));
    let answers = bench.ask(1, Request::JoinGroup(slow(None)));
    let [(_, Response::JoinGroup(response))] = answers.as_slice() else { panic!() };
    let one = response.member.expect("an id");
    bench.ask(1, Request::JoinGroup(slow(Some(one))));
    bench.run_until(3_000);
    bench.ask(1, sync(1, one, &[(one, &[0])]));
    let two = bench.join_dynamic(2);
    bench.group_facts();
    // Member 1 only sends heartbeats, 2 waits in its first JoinGroup.
    for second in 4..=303 {
        let answers = bench.run_until(second * 1_000);
        if second < 303 {
            assert_eq!(answers, [], "{second}");
        } else {
            assert_eq!(answers, [(2, join_refused(None, ErrorCode::UnknownMemberId))]);
        }
        bench.ask(1, heartbeat(1, one));
    }
    assert_eq!(
        bench.group_facts(),
        [TraceEvent::MemberRemoved {
            group: GROUP,
            member: two,
            member_node: NodeId(2),
            reason: RemovalReason::SessionExpired,
        }]
    );
}

#[test]
fn leaving_begins_a_rebalance_at_once_and_the_last_one_leaves_an_empty_group() {
    let mut bench = Bench::new(version("3.9"));
    let (one, two) = bench.stable_pair();
    bench.group_facts();
    assert_eq!(bench.ask(2, leave(two)), [(2, left(NONE))]);
    assert_eq!(
        bench.group_facts()[..2],
        [
            TraceEvent::MemberRemoved {
                group: GROUP,
                member: two,
                member_node: NodeId(2),
                reason: RemovalReason::Left(LeaveReason::Closed),
            },
            TraceEvent::RebalanceStarted {
                group: GROUP,
                generation: Generation(1),
                reason: RebalanceReason::MemberLeft(LeaveReason::Closed),
                member: Some(two),
            },
        ]
    );
    let before = bench.offsets_log().0;
    assert_eq!(bench.ask(1, leave(one)), [(1, left(NONE))]);
    assert_eq!(bench.offsets_log().0, before + 1, "the empty group is written");
    let group = bench.rig.broker.coordinated_groups().next().expect("it is there");
    assert_eq!((group.state, group.generation), (GroupState::Empty, Generation(2)));
    assert!(bench.rig.broker.is_settled());
}

#[test]
fn who_was_given_an_id_and_does_not_come_back_leaves_the_group_at_rest() {
    let mut bench = Bench::new(version("3.9"));
    bench.stable_pair();
    let told = bench.ask(3, Request::JoinGroup(join_request(None)));
    let [(3, Response::JoinGroup(answer))] = &told[..] else { panic!("{told:?}") };
    assert_eq!(answer.error, ErrorCode::MemberIdRequired);
    assert!(bench.rig.broker.is_settled());
    let other = JoinGroupRequest {
        protocols: smallvec![(Assignor::RoundRobin, subscription(&[0]))],
        ..join_request(answer.member)
    };
    assert_eq!(
        bench.ask(3, Request::JoinGroup(other)),
        [(3, join_refused(answer.member, ErrorCode::InconsistentGroupProtocol))]
    );
    assert!(bench.rig.broker.is_settled());
}

#[test]
fn a_member_must_support_what_the_others_do() {
    let mut bench = Bench::new(version("3.9"));
    bench.stable_pair();
    let other = JoinGroupRequest {
        protocols: smallvec![(Assignor::RoundRobin, subscription(&[0]))],
        ..join_request(None)
    };
    assert_eq!(
        bench.ask(3, Request::JoinGroup(other)),
        [(3, join_refused(None, ErrorCode::InconsistentGroupProtocol))]
    );
    let nothing = JoinGroupRequest { protocols: smallvec![], ..join_request(None) };
    let mut empty = Bench::new(version("3.9"));
    assert_eq!(
        empty.ask(3, Request::JoinGroup(nothing)),
        [(3, join_refused(None, ErrorCode::InconsistentGroupProtocol))]
    );
}

#[test]
fn session_timeouts_have_bounds() {
    for text in ["3.9", "4.1"] {
        let mut bench = Bench::new(version(text));
        for (timeout, refused) in [(5_999, true), (6_000, false), (1_800_001, true)] {
            let join = JoinGroupRequest { session_timeout: ms(timeout), ..join_request(None) };
            let answers = bench.ask(1, Request::JoinGroup(join));
            let is_refused = answers == [(1, join_refused(None, ErrorCode::InvalidSessionTimeout))];
            assert_eq!(is_refused, refused, "{timeout}");
        }
    }
}

#[test]
fn a_full_group_takes_nobody_and_removes_the_last_to_rejoin() {
    let mut config = version("3.9");
    config.groups.max_size = 2;
    let mut bench = Bench::new(config);
    let (one, two) = bench.stable_pair();
    assert_eq!(
        bench.ask(3, Request::JoinGroup(join_request(None))),
        [(3, join_refused(None, ErrorCode::GroupMaxSizeReached))]
    );
    // While the members rejoin, those who come first are taken.
    bench.ask(1, Request::JoinGroup(join_request(Some(one))));
    bench.join_dynamic(3);
    bench.group_facts();
    let answers = bench.ask(2, Request::JoinGroup(join_request(Some(two))));
    assert_eq!(answers[0], (2, join_refused(None, ErrorCode::GroupMaxSizeReached)));
    assert_eq!(answers.len(), 3, "the others have all joined");
    assert_eq!(
        bench.group_facts()[0],
        TraceEvent::MemberRemoved {
            group: GROUP,
            member: two,
            member_node: NodeId(2),
            reason: RemovalReason::GroupFull,
        }
    );
}

/// Whoever waits for an assignment when a rebalance begins has to join again.
#[test]
fn a_rebalance_overtakes_an_assignment_that_is_awaited() {
    let mut bench = Bench::new(version("3.9"));
    let one = bench.join_dynamic(1);
    let two = bench.join_dynamic(2);
    bench.run_until(6_000);
    assert_eq!(bench.ask(2, sync(1, two, &[])), []);
    // Member 1, the leader, leaves without having assigned.
    assert_eq!(
        bench.ask(1, leave(one)),
        [(2, synced(ErrorCode::RebalanceInProgress, &[])), (1, left(NONE))]
    );
    assert_eq!(
        bench.ask(2, Request::JoinGroup(join_request(Some(two)))),
        [(2, joined(2, two, two, &[two]))]
    );
}
