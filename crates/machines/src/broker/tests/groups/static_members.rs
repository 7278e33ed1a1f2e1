//! Static members (KIP-345, KIP-814): who comes back under the same `group.instance.id`.

use super::bench::*;
use acklab_vocab::api::*;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::group::Assignor;
use acklab_vocab::ids::*;
use acklab_vocab::trace::{GroupState, RebalanceReason, RemovalReason, TraceEvent};
use smallvec::smallvec;

const NONE: ErrorCode = ErrorCode::None;

pub fn join_static(who: u32) -> JoinGroupRequest {
    let instance = Some(GroupInstanceId(who as u16));
    JoinGroupRequest { instance, ..join_request(None) }
}

pub fn id_in(answers: &Answers, who: u32) -> MemberId {
    let mut answers = answers.iter().filter(|answer| answer.0 == who);
    match answers.next() {
        Some((_, Response::JoinGroup(response))) => response.member.expect("an id"),
        other => panic!("{other:?}"),
    }
}

/// Static members 1 and 2 in generation 1, Stable; 1 leads.
pub fn stable_pair(config: acklab_vocab::config::BrokerConfig) -> (Bench, MemberId, MemberId) {
    let mut bench = Bench::new(config);
    assert_eq!(bench.ask(1, Request::JoinGroup(join_static(1))), [], "no handshake");
    bench.ask(2, Request::JoinGroup(join_static(2)));
    let answers = bench.run_until(6_000);
    let (one, two) = (id_in(&answers, 1), id_in(&answers, 2));
    bench.ask(2, sync(1, two, &[]));
    bench.ask(1, sync(1, one, &[(one, &[0]), (two, &[1])]));
    bench.run_until(6_010);
    bench.group_facts();
    (bench, one, two)
}

#[test]
fn a_static_member_that_comes_back_takes_its_place_without_a_rebalance() {
    for text in ["3.9", "4.1"] {
        let (mut bench, one, two) = stable_pair(version(text));
        bench.ask(8, Request::JoinGroup(join_static(2)));
        bench.run_until(6_020);
        let facts = bench.group_facts();
        let TraceEvent::MemberJoined { member: new, .. } = facts[1] else { panic!("{facts:?}") };
        assert_eq!(
            facts,
            [
                TraceEvent::MemberRemoved {
                    group: GROUP,
                    member: two,
                    member_node: NodeId(2),
                    reason: RemovalReason::Replaced,
                },
                TraceEvent::MemberJoined {
                    group: GROUP,
                    member: new,
                    instance: Some(GroupInstanceId(2)),
                    member_node: NodeId(8),
                },
            ]
        );
        assert_eq!(bench.ask(8, sync(1, new, &[])), [(8, synced(NONE, &[1]))]);
        // The old process is fenced if it says who it is, and unknown otherwise.
        let mut old = HeartbeatRequest {
            group: GROUP,
            generation: Generation(1),
            member: two,
            instance: Some(GroupInstanceId(2)),
        };
        assert_eq!(
            bench.ask(2, Request::Heartbeat(old)),
            [(2, beaten(ErrorCode::FencedInstanceId))]
        );
        old.instance = None;
        assert_eq!(
            bench.ask(2, Request::Heartbeat(old)),
            [(2, beaten(ErrorCode::UnknownMemberId))]
        );
        let commit = OffsetCommitRequest {
            instance: Some(GroupInstanceId(2)),
            ..commit_request(Some((1, two)), 1, 5)
        };
        assert_eq!(
            bench.ask(2, Request::OffsetCommit(commit)),
            [(2, committed(1, ErrorCode::FencedInstanceId))]
        );
        assert_eq!(bench.ask(1, heartbeat(1, one)), [(1, beaten(NONE))]);
        let group = bench.rig.broker.group_view(GROUP).expect("it is there");
        assert_eq!((group.state, group.generation), (GroupState::Stable, Generation(1)));
    }
}

/// KIP-814.
#[test]
fn a_static_leader_that_comes_back_keeps_the_assignment() {
    let (mut bench, one, _) = stable_pair(version("3.9"));
    let answers = bench.ask(8, Request::JoinGroup(join_static(1)));
    let new = id_in(&answers, 8);
    let [(8, Response::JoinGroup(response))] = answers.as_slice() else { panic!("{answers:?}") };
    assert_eq!((response.leader, response.generation), (Some(new), Generation(1)));
    assert!(response.skip_assignment);
    assert_eq!(response.members.len(), 2);
    // Before 3.2 it is told that its old id leads.
    let (mut bench, leader, _) = stable_pair(version("3.1"));
    let answers = bench.ask(8, Request::JoinGroup(join_static(1)));
    let [(8, Response::JoinGroup(response))] = answers.as_slice() else { panic!("{answers:?}") };
    assert_eq!((response.leader, response.skip_assignment), (Some(leader), false));
    assert_eq!(response.members, []);
    assert_ne!(one, new);
}

#[test]
fn a_static_member_with_other_protocols_begins_a_rebalance() {
    let (mut bench, _, two) = stable_pair(version("3.9"));
    // Both support both; member 2 comes back with another favourite, which wins the tie.
    let both =
        smallvec![(Assignor::Range, subscription(&[0])), (Assignor::Sticky, subscription(&[0])),];
    let other = smallvec![(Assignor::Sticky, subscription(&[0]))];
    let join = JoinGroupRequest { protocols: both, ..join_static(1) };
    bench.ask(1, Request::JoinGroup(join));
    bench.group_facts();
    let join = JoinGroupRequest { protocols: other, ..join_static(2) };
    assert_eq!(
        bench.ask(8, Request::JoinGroup(join)),
        [(8, join_refused(None, ErrorCode::InconsistentGroupProtocol))],
        "member 2 itself still supports only range"
    );
    // Back with both protocols, the second best wins only when nobody supports the first.
    let upgraded =
        smallvec![(Assignor::Sticky, subscription(&[0])), (Assignor::Range, subscription(&[0])),];
    let join = JoinGroupRequest { protocols: upgraded, ..join_static(2) };
    assert_eq!(bench.ask(8, Request::JoinGroup(join)), []);
    let facts = bench.group_facts();
    assert!(
        facts.iter().any(|fact| matches!(
            fact,
            TraceEvent::RebalanceStarted {
                reason: RebalanceReason::StaticMemberReplaced,
                member: Some(member),
                ..
            } if *member != two
        )),
        "{facts:?}"
    );
}

#[test]
fn a_static_member_that_is_replaced_while_it_waits_is_fenced() {
    let mut bench = Bench::new(version("3.9"));
    bench.ask(1, Request::JoinGroup(join_static(1)));
    let answers = bench.ask(8, Request::JoinGroup(join_static(1)));
    let [(1, Response::JoinGroup(response))] = answers.as_slice() else { panic!("{answers:?}") };
    assert_eq!(response.error, ErrorCode::FencedInstanceId);
    assert_eq!(bench.run_until(6_000).len(), 1);
}

/// Static members stay through a rebalance that they do not join, until their session ends.
#[test]
fn a_static_member_does_not_rejoin_and_stays() {
    let (mut bench, one, two) = stable_pair(version("3.9"));
    bench.join_dynamic(3);
    let rejoin = |member, who: u16| JoinGroupRequest {
        member: Some(member),
        instance: Some(GroupInstanceId(who)),
        ..join_request(None)
    };
    bench.ask(1, Request::JoinGroup(rejoin(one, 1)));
    let mut heartbeats = 0;
    let answers = loop {
        heartbeats += 1;
        let answers = bench.run_until(6_000 + heartbeats * 5_000);
        if !answers.is_empty() {
            break answers;
        }
        bench.ask(2, heartbeat(1, two));
    };
    assert_eq!(answers.len(), 2, "{answers:?}");
    let group = bench.rig.broker.group_view(GROUP).expect("it is there");
    assert_eq!((group.generation, group.members.len()), (Generation(2), 3));
}

#[test]
fn a_replacement_that_cannot_be_stored_is_taken_back() {
    let mut bench = Bench::with_isr(version("3.9"), 2, &[1, 2]);
    bench.ask(1, Request::JoinGroup(join_static(1)));
    let answers = bench.run_until(3_000);
    let one = id_in(&answers, 1);
    bench.ask(1, sync(1, one, &[(one, &[0])]));
    bench.replicate();
    bench.elect(1, &[1]);
    let answers = bench.ask(8, Request::JoinGroup(join_static(1)));
    let [(8, Response::JoinGroup(response))] = answers.as_slice() else { panic!("{answers:?}") };
    assert_eq!((response.error, response.member), (ErrorCode::CoordinatorNotAvailable, None));
    assert_eq!(bench.ask(1, heartbeat(1, one)), [(1, beaten(NONE))]);
}
