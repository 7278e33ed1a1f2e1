//! Commits: accepted, refused, written, lost.

use super::bench::*;
use acklab_vocab::api::*;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::*;
use acklab_vocab::trace::TraceEvent;
use smallvec::smallvec;

const NONE: ErrorCode = ErrorCode::None;

fn answered(
    member: Option<(u32, MemberId)>,
    from: u16,
    error: ErrorCode,
    (partition, offset): (u16, u64),
) -> TraceEvent {
    TraceEvent::CommitAnswered {
        group: GROUP,
        member: member.map(|(_, member)| member),
        from: NodeId(from),
        generation: member.map(|(generation, _)| Generation(generation)),
        error,
        offsets: offsets(partition, offset),
        transactional: false,
    }
}

#[test]
fn a_commit_is_visible_before_it_is_answered() {
    let mut bench = Bench::new(version("3.9"));
    let (one, _) = bench.stable_pair();
    bench.group_facts();
    assert_eq!(offset_in(&bench.ask(1, fetch_offset(true))), Some(None));
    assert_eq!(bench.ask(1, commit(Some((1, one)), 0, 7)), [(1, committed(0, NONE))]);
    assert_eq!(
        bench.group_facts(),
        [
            TraceEvent::OffsetsCommitted {
                group: GROUP,
                from: Some(NodeId(1)),
                offsets: offsets(0, 7),
            },
            answered(Some((1, one)), 1, NONE, (0, 7)),
        ]
    );
    assert_eq!(offset_in(&bench.ask(1, fetch_offset(true))), Some(Some(7)));
    // No monotonicity: a late lower commit rewinds the group.
    bench.ask(1, commit(Some((1, one)), 0, 3));
    assert_eq!(offset_in(&bench.ask(1, fetch_offset(true))), Some(Some(3)));
}

/// Section 5.4, at the coordinator.
#[test]
fn commits_are_refused_in_the_states_of_a_group() {
    let mut bench = Bench::new(version("3.9"));
    let stranger = MemberId(1);
    let refused = |error| [(1, committed(0, error))];
    assert_eq!(
        bench.ask(1, commit(Some((1, stranger)), 0, 1)),
        refused(ErrorCode::IllegalGeneration),
        "no such group"
    );
    let one = bench.join_dynamic(1);
    let answers = bench.ask(1, commit(Some((0, one)), 0, 1));
    assert_eq!(answers, refused(NONE), "PreparingRebalance, with the generation that ends");
    bench.run_until(3_000);
    assert_eq!(
        bench.ask(1, commit(Some((1, one)), 0, 1)),
        refused(ErrorCode::RebalanceInProgress),
        "CompletingRebalance"
    );
    assert_eq!(
        bench.ask(1, commit(Some((0, one)), 0, 1)),
        refused(ErrorCode::IllegalGeneration),
        "CompletingRebalance, of the generation before"
    );
    bench.ask(1, sync(1, one, &[(one, &[0])]));
    assert_eq!(bench.ask(1, commit(Some((1, one)), 0, 1)), refused(NONE), "Stable");
    assert_eq!(
        bench.ask(1, commit(Some((1, stranger)), 0, 1)),
        refused(ErrorCode::UnknownMemberId),
        "Stable, no member"
    );
    assert_eq!(
        bench.ask(1, commit(None, 0, 1)),
        refused(ErrorCode::UnknownMemberId),
        "Stable, a consumer that is no member (5.6)"
    );
    bench.ask(1, leave(one));
    assert_eq!(
        bench.ask(1, commit(Some((1, one)), 0, 1)),
        refused(ErrorCode::UnknownMemberId),
        "Empty, a member of before"
    );
    assert_eq!(bench.ask(1, commit(None, 0, 9)), refused(NONE), "Empty, no member (5.6)");
    assert_eq!(offset_in(&bench.ask(1, fetch_offset(false))), Some(Some(9)));
}

/// 4.0, OffsetCommit v9.
#[test]
fn an_unknown_group_is_not_found_if_the_client_understands_that() {
    let mut bench = Bench::new(version("4.1"));
    let request = commit_request(Some((1, MemberId(1))), 0, 1);
    assert_eq!(
        bench.ask(1, Request::OffsetCommit(request.clone())),
        [(1, committed(0, ErrorCode::GroupIdNotFound))]
    );
    let old = OffsetCommitRequest { understands_member_epochs: false, ..request };
    assert_eq!(
        bench.ask(1, Request::OffsetCommit(old)),
        [(1, committed(0, ErrorCode::IllegalGeneration))]
    );
}

#[test]
fn a_consumer_that_is_no_member_makes_a_group_by_committing() {
    let mut bench = Bench::new(version("3.9"));
    assert_eq!(bench.ask(1, commit(None, 0, 5)), [(1, committed(0, NONE))]);
    assert_eq!(offset_in(&bench.ask(1, fetch_offset(true))), Some(Some(5)));
}

#[test]
fn partitions_that_do_not_exist_are_refused_one_by_one() {
    let mut bench = Bench::new(version("3.9"));
    let unknown = TopicPartition::new(0, 9);
    let known = TopicPartition::new(0, 0);
    let offset = |partition| OffsetToCommit { partition, offset: Offset(5), leader_epoch: None };
    let request = OffsetCommitRequest {
        offsets: [offset(unknown), offset(known)].into(),
        ..commit_request(None, 0, 5)
    };
    let partitions = smallvec![(unknown, ErrorCode::UnknownTopicOrPartition), (known, NONE)];
    assert_eq!(
        bench.ask(1, Request::OffsetCommit(request)),
        [(1, Response::OffsetCommit(OffsetCommitResponse { partitions }))]
    );
    assert_eq!(
        bench.ask(1, commit(None, 9, 5)),
        [(1, committed(9, ErrorCode::UnknownTopicOrPartition))]
    );
}

/// A commit counts as a heartbeat.
#[test]
fn who_commits_lives() {
    let mut bench = Bench::new(version("3.9"));
    let (one, two) = bench.stable_pair();
    let start = bench.rig.now.0 / 1_000_000;
    for second in 1..30 {
        bench.run_until(start + second * 1_000);
        assert_eq!(bench.ask(1, commit(Some((1, one)), 0, 5)), [(1, committed(0, NONE))]);
        bench.ask(2, heartbeat(1, two));
    }
    assert_eq!(bench.ask(2, heartbeat(1, two)), [(2, beaten(NONE))]);
}

/// Section 5.1, up to 3.9: as a produce with acks=all.
#[test]
fn the_classic_coordinator_refuses_commits_under_min_isr_and_times_out() {
    let mut bench = Bench::with_isr(version("3.9"), 2, &[1, 2]);
    assert_eq!(bench.ask(1, commit(None, 0, 5)), []);
    assert_eq!(offset_in(&bench.ask(2, fetch_offset(false))), Some(None));
    // While it is written, who asks for stable offsets has to come again (KIP-447).
    assert_eq!(bench.ask(2, fetch_offset(true)), [(2, unstable())]);
    assert_eq!(bench.replicate(), [(1, committed(0, NONE))]);
    assert_eq!(offset_in(&bench.ask(2, fetch_offset(true))), Some(Some(5)));
    // Not replicated in 5 s: REQUEST_TIMED_OUT as it is; the record stays in the log, and does not
    // count, even when it is replicated.
    let now = bench.rig.now.0 / 1_000_000;
    assert_eq!(bench.ask(1, commit(None, 0, 8)), []);
    assert_eq!(bench.run_until(now + 4_999), []);
    assert_eq!(bench.ask(2, fetch_offset(true)), [(2, unstable())]);
    assert_eq!(bench.run_until(now + 5_000), [(1, committed(0, ErrorCode::RequestTimedOut))]);
    bench.replicate();
    assert_eq!(offset_in(&bench.ask(2, fetch_offset(true))), Some(Some(5)));
    // The ISR is too small: nothing is written.
    bench.elect(1, &[1]);
    let end = bench.offsets_log().0;
    assert_eq!(
        bench.ask(1, commit(None, 0, 9)),
        [(1, committed(0, ErrorCode::CoordinatorNotAvailable))]
    );
    assert_eq!(bench.offsets_log().0, end);
}

/// Before 3.7 the high watermark passes under a small ISR: then the commit is in the log, and
/// refused.
#[test]
fn an_isr_that_shrinks_after_the_append_fails_the_commit() {
    let mut bench = Bench::with_isr(version("3.6"), 2, &[1, 2]);
    assert_eq!(bench.ask(1, commit(None, 0, 5)), []);
    assert_eq!(bench.elect(1, &[1]), [(1, committed(0, ErrorCode::CoordinatorNotAvailable))]);
    assert_eq!(bench.offsets_log(), (1, 1));
    assert_eq!(offset_in(&bench.ask(2, fetch_offset(true))), Some(None));
}

/// A commit larger than `message.max.bytes`.
#[test]
fn a_commit_that_does_not_fit_is_refused() {
    for (text, error) in
        [("3.9", ErrorCode::InvalidCommitOffsetSize), ("4.2", ErrorCode::UnknownServerError)]
    {
        let mut bench = Bench::with_largest_batch(version(text), 100);
        assert_eq!(bench.ask(1, commit(None, 0, 5)), [(1, committed(0, error))], "{text}");
        assert_eq!(offset_in(&bench.ask(2, fetch_offset(true))), Some(None), "{text}");
    }
}

/// Section 5.1, 4.x: the record is in the log, the client is told that it failed, and it counts
/// when the high watermark passes it.
#[test]
fn a_late_commit_of_the_event_loop_becomes_effective() {
    let mut bench = Bench::with_isr(version("4.1"), 2, &[1, 2]);
    bench.elect(1, &[1]);
    assert_eq!(bench.ask(1, commit(None, 0, 5)), []);
    bench.run_until(5);
    assert_eq!(bench.offsets_log(), (1, 0), "written, and the high watermark is frozen");
    assert_eq!(offset_in(&bench.ask(2, fetch_offset(false))), Some(None));
    assert_eq!(bench.run_until(5_100), [(1, committed(0, ErrorCode::CoordinatorNotAvailable))]);
    bench.group_facts();
    bench.elect(1, &[1, 2]);
    bench.replicate();
    let facts = bench.group_facts();
    let became = TraceEvent::OffsetsCommitted {
        group: GROUP,
        from: Some(NodeId(1)),
        offsets: offsets(0, 5),
    };
    assert!(facts.contains(&became), "{facts:?}");
    assert_eq!(offset_in(&bench.ask(2, fetch_offset(false))), Some(Some(5)));
}

/// Whoever asks for stable offsets learns what is written, when it is committed.
#[test]
fn the_event_loop_answers_stable_fetches_after_the_writes() {
    let mut bench = Bench::with_isr(version("4.1"), 1, &[1, 2]);
    bench.ask(1, commit(None, 0, 5));
    assert_eq!(offset_in(&bench.ask(2, fetch_offset(false))), Some(None));
    assert_eq!(bench.ask(3, fetch_offset(true)), []);
    bench.run_until(5);
    let mut answers = bench.replicate();
    assert_eq!(answers.remove(0), (1, committed(0, NONE)));
    assert_eq!(offset_in(&answers), Some(Some(5)));
}

/// 4.0 and 4.1 let writes linger for 5 ms.
#[test]
fn writes_of_the_event_loop_linger() {
    let mut bench = Bench::new(version("4.1"));
    assert_eq!(bench.ask(1, commit(None, 0, 5)), []);
    bench.run_until(3);
    assert_eq!(bench.ask(2, commit(None, 0, 6)), []);
    assert_eq!(bench.offsets_log().0, 0);
    assert_eq!(bench.run_until(5), [(1, committed(0, NONE)), (2, committed(0, NONE))]);
    assert_eq!(bench.offsets_log().0, 2);
    assert_eq!(offset_in(&bench.ask(2, fetch_offset(false))), Some(Some(6)));
}

/// `offsets.commit.required.acks=1`, up to 3.9.
#[test]
fn fewer_acks_do_not_wait_for_followers() {
    let mut config = version("3.9");
    config.groups.commit_acks = Acks::Leader;
    let mut bench = Bench::with_isr(config, 2, &[1, 2]);
    assert_eq!(bench.ask(1, commit(None, 0, 5)), [(1, committed(0, NONE))]);
    assert_eq!(offset_in(&bench.ask(2, fetch_offset(true))), Some(Some(5)));
}

#[test]
fn offsets_of_an_empty_group_expire() {
    for text in ["3.9", "4.1"] {
        let mut config = version(text);
        config.groups.offsets_retention = ms(60_000);
        config.groups.offsets_retention_check_interval = ms(10_000);
        let mut bench = Bench::new(config);
        let one = bench.join_dynamic(1);
        bench.run_until(3_000);
        bench.ask(1, sync(1, one, &[(one, &[0])]));
        bench.run_until(3_010);
        bench.ask(1, commit(Some((1, one)), 0, 5));
        // While the group lives, its offsets do.
        for second in 1..12 {
            bench.run_until(3_010 + second * 9_000);
            bench.ask(1, heartbeat(1, one));
        }
        bench.expire();
        assert_eq!(offset_in(&bench.ask(2, fetch_offset(false))), Some(Some(5)), "{text}");
        bench.ask(1, leave(one));
        let left = bench.rig.now.0 / 1_000_000;
        bench.run_until(left + 59_999);
        bench.expire();
        assert_eq!(offset_in(&bench.ask(2, fetch_offset(false))), Some(Some(5)), "{text}");
        bench.run_until(left + 61_000);
        bench.group_facts();
        bench.expire();
        bench.run_until(left + 61_100);
        let facts = bench.group_facts();
        let gone = TraceEvent::OffsetsRemoved { group: GROUP, partitions: orders(&[0]) };
        assert!(facts.contains(&gone), "{text}: {facts:?}");
        assert_eq!(offset_in(&bench.ask(2, fetch_offset(false))), Some(None), "{text}");
        assert_eq!(bench.rig.broker.coordinated_groups().count(), 0, "{text}");
        // And a new coordinator finds nothing.
        let mut bench = bench.restarted(&[1]);
        bench.load();
        assert_eq!(bench.rig.broker.coordinated_groups().count(), 0, "{text}");
    }
}

/// KIP-211: before 2.1 an offset expired by its own age, even of a living group.
#[test]
fn offsets_used_to_expire_under_living_groups() {
    for (text, expected) in [("2.0", None), ("2.1", Some(5))] {
        let mut config = version(text);
        config.groups.offsets_retention = ms(6_000);
        let mut bench = Bench::new(config);
        let old_client =
            JoinGroupRequest { understands_member_id_required: false, ..join_request(None) };
        bench.ask(1, Request::JoinGroup(old_client));
        let answers = bench.run_until(3_000);
        let [(_, Response::JoinGroup(response))] = answers.as_slice() else { panic!() };
        let one = response.member.expect("an id");
        bench.ask(1, sync(1, one, &[(one, &[0])]));
        bench.ask(1, commit(Some((1, one)), 0, 5));
        bench.run_until(9_500);
        bench.expire();
        assert_eq!(offset_in(&bench.ask(2, fetch_offset(false))), Some(expected), "{text}");
    }
}
