//! Each way in which a coordinator refuses a commit at once, in the order of validation (section
//! 5.4): the answer, and nothing else. What fails while it is written is tested in `commits.rs`.
//!
//! Left out: OFFSET_METADATA_TOO_LARGE, since commits carry no text, and INVALID_GROUP_ID, since a
//! group without a name cannot be written down in a scenario.

use super::bench::*;
use super::consumer_protocol::{FIRST, config};
use super::static_members::{id_in, join_static, stable_pair};
use crate::machine::Effect;
use acklab_vocab::api::*;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::*;
use acklab_vocab::trace::TraceEvent;

/// Member number 1 commits, and is refused: the broker answers, and says so; it writes nothing,
/// sets no timer, and what had been committed stays.
#[track_caller]
fn is_refused(bench: &mut Bench, request: OffsetCommitRequest, error: ErrorCode) {
    let led = bench.rig.broker.led_partitions().find(|led| led.0 == OFFSETS).map(|led| led.2);
    bench.group_facts();
    let (effects, correlation) = bench.effects_of(1, Request::OffsetCommit(request.clone()));
    let partition = request.offsets[0].partition;
    let answer = Box::new(committed(partition.partition.0, error));
    let answer = Effect::Send(ConnectionId(5_001), Frame::Response(correlation, answer));
    assert_eq!(effects, [answer]);
    assert_eq!(
        bench.rig.facts(),
        [TraceEvent::CommitAnswered {
            group: GROUP,
            member: request.member,
            from: NodeId(1),
            generation: request.generation,
            error,
            offsets: request.offsets,
            transactional: false,
        }]
    );
    let end = bench.rig.broker.led_partitions().find(|led| led.0 == OFFSETS).map(|led| led.2);
    assert_eq!(end, led, "nothing is written");
}

/// A member's commit of 7 in orders-0.
fn by(generation: u32, member: MemberId) -> OffsetCommitRequest {
    commit_request(Some((generation, member)), 0, 7)
}

/// A commit of 7 in orders-0 by who is no member.
fn by_nobody() -> OffsetCommitRequest {
    commit_request(None, 0, 7)
}

const VERSIONS: [&str; 2] = ["3.9", "4.1"];

/// The first that is looked at, whoever commits.
#[test]
fn where_the_group_is_not_coordinated() {
    for text in VERSIONS {
        let mut bench = Bench::new(version(text));
        let (one, _) = bench.stable_pair();
        let mut bench = bench.restarted(&[1]);
        for request in [by(1, one), by(1, MemberId(9)), by_nobody()] {
            is_refused(&mut bench, request, ErrorCode::CoordinatorLoadInProgress);
        }
        bench.load();
        bench.elect(2, &[2]);
        for request in [by(1, one), by(1, MemberId(9)), by_nobody()] {
            is_refused(&mut bench, request, ErrorCode::NotCoordinator);
        }
    }
}

/// A group that nobody has heard of takes offsets from who is no member, and from nobody else. A
/// client that does not know GROUP_ID_NOT_FOUND is told what it knows.
#[test]
fn where_the_group_is_unknown() {
    for (text, understands, error) in [
        ("3.9", true, ErrorCode::IllegalGeneration),
        ("3.9", false, ErrorCode::IllegalGeneration),
        ("4.1", true, ErrorCode::GroupIdNotFound),
        ("4.1", false, ErrorCode::IllegalGeneration),
    ] {
        let mut bench = Bench::new(version(text));
        let request = by(1, MemberId(9));
        let request = OffsetCommitRequest { understands_member_epochs: understands, ..request };
        is_refused(&mut bench, request, error);
        assert_eq!(bench.rig.broker.coordinated_groups().count(), 0, "{text}: it is not created");
    }
}

#[test]
fn who_is_no_member() {
    for text in VERSIONS {
        let mut bench = Bench::new(version(text));
        let (one, two) = bench.stable_pair();
        // Whatever it says of the generation.
        for generation in [0, 1, 2] {
            is_refused(&mut bench, by(generation, MemberId(9)), ErrorCode::UnknownMemberId);
        }
        let without_generation = OffsetCommitRequest { generation: None, ..by(1, MemberId(9)) };
        is_refused(&mut bench, without_generation, ErrorCode::UnknownMemberId);
        is_refused(&mut bench, by_nobody(), ErrorCode::UnknownMemberId);
        // One that was.
        bench.ask(2, leave(two));
        is_refused(&mut bench, by(1, two), ErrorCode::UnknownMemberId);
        // The last one has left, and the group is empty: who says that it is a member is none.
        bench.ask(1, leave(one));
        is_refused(&mut bench, by(1, one), ErrorCode::UnknownMemberId);
        // Who has been given an id, and has not come again with it.
        let answers = bench.ask(1, Request::JoinGroup(join_request(None)));
        is_refused(&mut bench, by(1, id_in(&answers, 1)), ErrorCode::UnknownMemberId);
    }
}

/// The instance is looked for before the member and the generation.
#[test]
fn a_static_member_that_another_process_has_replaced() {
    for text in VERSIONS {
        let (mut bench, _, two) = stable_pair(version(text));
        bench.ask(8, Request::JoinGroup(join_static(2)));
        let now = bench.rig.now.0 / 1_000_000;
        bench.run_until(now + 10);
        let instance = Some(GroupInstanceId(2));
        for generation in [0, 1, 2] {
            let request = OffsetCommitRequest { instance, ..by(generation, two) };
            is_refused(&mut bench, request, ErrorCode::FencedInstanceId);
        }
        // It does not say which instance it is.
        is_refused(&mut bench, by(1, two), ErrorCode::UnknownMemberId);
        // An instance that the group does not know.
        let instance = Some(GroupInstanceId(7));
        let request = OffsetCommitRequest { instance, ..by(1, two) };
        is_refused(&mut bench, request, ErrorCode::UnknownMemberId);
    }
}

#[test]
fn a_member_of_another_generation() {
    for text in VERSIONS {
        let mut bench = Bench::new(version(text));
        let (one, _) = bench.stable_pair();
        for generation in [0, 2] {
            is_refused(&mut bench, by(generation, one), ErrorCode::IllegalGeneration);
        }
        let without_generation = OffsetCommitRequest { generation: None, ..by(1, one) };
        is_refused(&mut bench, without_generation, ErrorCode::IllegalGeneration);
    }
}

/// It has been told the new generation, and has no assignment yet.
#[test]
fn a_member_that_waits_for_its_assignment() {
    for text in VERSIONS {
        let mut bench = Bench::new(version(text));
        let one = bench.join_dynamic(1);
        let answers = bench.run_until(3_000);
        assert_eq!(answers, [(1, joined(1, one, one, &[one]))], "{text}");
        is_refused(&mut bench, by(1, one), ErrorCode::RebalanceInProgress);
        // The generation is looked at first.
        is_refused(&mut bench, by(0, one), ErrorCode::IllegalGeneration);
    }
}

/// KIP-848: the member, then its epoch, before and behind.
#[test]
fn a_member_of_another_epoch() {
    let mut bench = Bench::pair(config());
    for epoch in [0, 2] {
        is_refused(&mut bench, by(epoch, FIRST), ErrorCode::StaleMemberEpoch);
    }
    is_refused(&mut bench, by(1, MemberId(99)), ErrorCode::UnknownMemberId);
    is_refused(&mut bench, by_nobody(), ErrorCode::UnknownMemberId);
}

/// What is refused for a partition alone.
#[test]
fn a_partition_that_does_not_exist() {
    for text in VERSIONS {
        let mut bench = Bench::new(version(text));
        let (one, _) = bench.stable_pair();
        let request = commit_request(Some((1, one)), 9, 7);
        is_refused(&mut bench, request, ErrorCode::UnknownTopicOrPartition);
    }
}

/// A commit that was accepted, and is being replicated as the broker is deposed.
#[test]
fn a_coordinator_that_is_deposed_while_it_writes() {
    for text in VERSIONS {
        let mut bench = Bench::with_isr(version(text), 2, &[1, 2]);
        assert_eq!(bench.ask(1, commit(None, 0, 7)), []);
        bench.run_until(5);
        assert_eq!(bench.elect(2, &[1, 2]), [(1, committed(0, ErrorCode::NotCoordinator))]);
        is_refused(&mut bench, by_nobody(), ErrorCode::NotCoordinator);
    }
}
