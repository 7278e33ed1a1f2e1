//! Each invariant of groups and transactions is caught on a bad trace made by hand.

use acklab_vocab::api::Acks;
use acklab_vocab::ids::{Generation, MemberId};
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::trace::{CommitStyle, RemovalReason, TraceEvent};
use acklab_vocab::transaction::TransactionResult;
use std::sync::Arc;

use crate::testing::{PARTITION, PRODUCER, Trace, member, trace};
use acklab_vocab::error::ErrorCode;

/// Ten committed records, and a member that owns the partition.
fn group(kafka: &str) -> Trace {
    let mut trace = trace(kafka, Acks::All).consumers(CommitStyle::Auto);
    trace.create(10).append(1, 0..10).replicate(1, 2).replicate(1, 3).high_watermark(1, 10);
    trace.answer(1, 0, 0..10).ack(0..10);
    trace.generation(1, &[0, 1]).own(0, 1, 0).process(0, 0..10);
    trace
}

fn broken(trace: &Trace) -> Vec<(&'static str, Option<&'static str>)> {
    let verdict = trace.judge();
    let all = verdict.violations.iter().chain(&verdict.known_violations);
    let stated = all.filter(|of| of.node.is_some());
    let mut names: Vec<_> = stated.map(|of| (of.invariant, of.known)).collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[test]
fn a_group_that_behaves_breaks_nothing() {
    let mut trace = group("3.9");
    trace.commit(0, 1, 5).give_up(0, false).generation(2, &[1, 0]).own(1, 2, 5);
    trace.process(1, 5..10).commit(1, 2, 10).loaded(Some(10));
    assert_eq!(broken(&trace), []);
}

#[test]
fn an_assignment_gives_a_partition_to_one_member() {
    let mut trace = group("3.9");
    let owned: Arc<[_]> = Arc::new([PARTITION]);
    let assignment = [0xa, 0xb].map(|id| (MemberId(id), Arc::clone(&owned)));
    trace.fact(
        acklab_vocab::ids::NodeId(0),
        TraceEvent::Assigned {
            group: acklab_vocab::ids::GroupId(0),
            generation: Generation(1),
            assignment: Arc::new(assignment),
            partial: false,
        },
    );
    assert_eq!(broken(&trace), [("one_owner_per_generation", None)]);
}

#[test]
fn a_member_gets_a_partition_only_when_no_other_has_it() {
    let twice = |mut trace: Trace| {
        trace.generation(2, &[1, 0]).own(1, 2, 0);
        broken(&trace)
    };
    assert_eq!(twice(group("3.9")), [("one_owner_at_a_time", None)]);
    let known = Some("KAFKA-12984");
    let old = group("3.9").without(ProtocolRule::OwnedPartitionsCarryGeneration);
    assert_eq!(twice(old), [("one_owner_at_a_time", known)]);
    let mut zombie = group("3.9");
    zombie.remove(0, RemovalReason::SessionExpired).generation(2, &[1]).own(1, 2, 0);
    assert_eq!(broken(&zombie), []);
}

#[test]
fn a_commit_of_an_earlier_generation_or_a_removed_member_is_refused() {
    let mut late = group("3.9");
    late.generation(2, &[0, 1]).commit(0, 1, 5);
    assert_eq!(broken(&late), [("fenced_commit_refused", None)]);
    let mut removed = group("3.9");
    removed.remove(0, RemovalReason::SessionExpired).commit(0, 1, 5);
    assert_eq!(broken(&removed), [("fenced_commit_refused", None)]);
    let mut appended_before = group("3.9");
    appended_before.append_offset(5, None).generation(2, &[0, 1]);
    appended_before.commit_visible(0, 5).commit_answer(0, 1, 5, ErrorCode::None);
    assert_eq!(broken(&appended_before), []);
}

#[test]
fn a_consumer_without_membership_commits_only_while_there_are_no_members() {
    let mut trace = group("3.9");
    trace.append_offset(5, None).commit_visible(0, 5);
    let Some(TraceEvent::OffsetsCommitted { offsets, .. }) =
        trace.facts.last().map(|fact| fact.event.clone())
    else {
        panic!("an offset was committed");
    };
    trace.fact(
        acklab_vocab::ids::NodeId(0),
        TraceEvent::CommitAnswered {
            group: acklab_vocab::ids::GroupId(0),
            member: None,
            from: member(0),
            generation: None,
            error: ErrorCode::None,
            offsets,
            transactional: false,
        },
    );
    assert_eq!(broken(&trace), [("fenced_commit_refused", None)]);
}

#[test]
fn a_committed_offset_is_in_the_log_in_its_order() {
    let mut invented = group("3.9");
    invented.commit_visible(0, 5);
    assert_eq!(broken(&invented), [("committed_offset_explained", None)]);
    let mut backwards = group("3.9");
    backwards.append_offset(5, None).append_offset(6, None);
    backwards.commit_visible(0, 6).commit_visible(0, 5);
    assert_eq!(broken(&backwards), [("committed_offset_explained", None)]);
}

#[test]
fn offsets_of_a_transaction_count_once_it_is_committed() {
    let visible = |result: Option<TransactionResult>| {
        let mut trace = group("4.1");
        trace.append_offset(5, Some(9));
        if let Some(result) = result {
            trace.offsets_marker(9, result);
        }
        trace.commit_visible(0, 5);
        broken(&trace)
    };
    assert_eq!(visible(Some(TransactionResult::Commit)), []);
    let unexplained = [("committed_offset_explained", None)];
    assert_eq!(visible(Some(TransactionResult::Abort)), unexplained);
    assert_eq!(visible(None), unexplained);
}

#[test]
fn a_new_coordinator_has_what_its_log_has() {
    let mut trace = group("3.9");
    trace.commit(0, 1, 5).loaded(Some(5));
    assert_eq!(broken(&trace), []);
    trace.loaded(Some(4));
    assert_eq!(broken(&trace), [("committed_offset_loaded", None)]);
    let mut forgotten = group("3.9");
    forgotten.commit(0, 1, 5).high_watermark_of_offsets(1);
    forgotten.loaded(None);
    assert_eq!(broken(&forgotten), [("committed_offset_loaded", None)]);
}

#[test]
fn a_commit_that_an_earlier_coordinator_left_open_may_become_visible_later() {
    let mut trace = group("4.1");
    trace.append_offset(5, None).loaded(None).append_offset(6, None);
    trace.loaded(Some(5)).commit_visible(0, 6);
    assert_eq!(broken(&trace), []);
}

#[test]
fn a_high_watermark_that_passes_several_open_commits_shows_them_in_turn() {
    let load = |stated: &[Option<u64>], at_once: bool| {
        let mut trace = group("4.1");
        trace.append_offset(5, None).append_offset(6, None).append_offset(7, None);
        trace.loaded(None).high_watermark_of_offsets(3);
        for &to in stated {
            trace.loaded(to);
            if at_once {
                trace.of_the_same_event();
            }
        }
        broken(&trace)
    };
    assert_eq!(load(&[Some(5), Some(6), Some(7)], true), []);
    assert_eq!(load(&[Some(6)], false), [("committed_offset_loaded", None)]);
    assert_eq!(load(&[Some(8)], true), [("committed_offset_loaded", None)]);
}

#[test]
fn what_a_coordinator_has_read_is_no_commit_that_it_waits_for() {
    let mut trace = group("4.1");
    trace.append_offset(5, None).loaded(Some(5)).append_offset(5, None).append_offset(6, None);
    trace.loaded(Some(5)).commit_visible(0, 5).commit_visible(0, 6);
    assert_eq!(broken(&trace), []);

    // The high watermark of the new coordinator was behind that of the last.
    let mut behind = group("4.1");
    behind.append_offset(5, None).commit_visible(0, 5).append_offset(6, None);
    behind.commit_visible(0, 6).loaded(Some(5)).append_offset(6, None).loaded(Some(6));
    behind.commit_visible(0, 6);
    assert_eq!(broken(&behind), []);
}

#[test]
fn nothing_is_committed_beyond_the_high_watermark() {
    let mut trace = group("3.9");
    trace.commit(0, 1, 11);
    assert_eq!(broken(&trace), [("committed_offset_bounded", None)]);
}

#[test]
fn a_read_committed_consumer_reads_no_aborted_record() {
    let read = |end: Option<TransactionResult>| {
        let mut trace = trace("4.1", Acks::All).idempotent();
        trace.header.readers[0].read_committed = true;
        trace.create(3).append_transactional(1, 0..3);
        if let Some(result) = end {
            trace.marker(1, result);
        }
        trace.replicate(1, 2).replicate(1, 3).high_watermark(1, 4);
        let batch = Arc::clone(&trace.batches(1)[0]);
        let (from, to) = (batch.base_offset, batch.next_offset());
        let event = TraceEvent::RecordsRead { partition: PARTITION, from, to, batch };
        trace.fact(acklab_vocab::ids::NodeId(PRODUCER.0 + 1), event);
        broken(&trace)
    };
    assert_eq!(read(Some(TransactionResult::Commit)), []);
    assert_eq!(read(Some(TransactionResult::Abort)), [("no_aborted_read", None)]);
    let names: Vec<_> = read(None).iter().map(|of| of.0).collect();
    assert!(names.contains(&"no_aborted_read"), "{names:?}");
}

/// Both members are in a stored generation of coordinator 1, and broker 2 may take the group over.
fn taken_over(kafka: &str) -> Trace {
    let mut trace = trace(kafka, Acks::All).consumers(CommitStyle::Auto);
    trace.create(10).append(1, 0..10).replicate(1, 2).replicate(1, 3).high_watermark(1, 10);
    trace.answer(1, 0, 0..10).ack(0..10);
    trace.load(1, 0, 0).generation(1, &[0, 1]).store_generation(1, &[0, 1]);
    trace.own(0, 1, 0).process(0, 0..10);
    trace
}

#[test]
fn what_a_coordinator_says_that_another_has_replaced_is_its_own_view() {
    let mut trace = taken_over("3.9");
    trace.load(2, 1, 1).loaded(None).spoken_by(1);
    trace.remove(0, RemovalReason::SessionExpired).generation(2, &[1]);
    trace.append_offset(3, None).commit_visible(0, 3).commit_visible(0, 4);
    trace.spoken_by(2).commit(0, 1, 5);
    assert_eq!(broken(&trace), []);

    let mut current = taken_over("3.9");
    current.load(2, 1, 1).loaded(None).remove(0, RemovalReason::SessionExpired).commit(0, 1, 5);
    assert_eq!(broken(&current), [("fenced_commit_refused", None)]);
}

#[test]
fn what_a_replaced_coordinator_accepts_its_successor_knows() {
    let accepted = |kafka: &str, copied: usize, is_replicated: bool| {
        let mut trace = taken_over(kafka);
        trace.append_offset(5, None);
        if is_replicated {
            trace.high_watermark_of_offsets(2);
        }
        trace.load(2, 1, copied).loaded((copied > 1).then_some(5));
        trace.spoken_by(1).commit_answer(0, 1, 5, ErrorCode::None);
        broken(&trace)
    };
    let broken = [("accepted_commit_kept", None)];
    for kafka in ["3.9", "4.1"] {
        assert_eq!(accepted(kafka, 2, true), []);
        assert!(accepted(kafka, 1, true).contains(&broken[0]), "{kafka}");
    }
    // offsets.commit.required.acks=1 promises no more than that.
    assert_eq!(accepted("3.9", 1, false), []);
    assert_eq!(accepted("4.1", 1, false), broken);
}

#[test]
fn a_new_coordinator_has_the_members_of_its_log() {
    let mut forgotten = taken_over("3.9");
    forgotten.remove(0, RemovalReason::SessionExpired).generation(2, &[1]);
    forgotten.load(2, 1, 1).loaded(None).commit(0, 1, 5);
    assert_eq!(broken(&forgotten), []);
    let mut stored = taken_over("3.9");
    stored.remove(0, RemovalReason::SessionExpired).generation(2, &[1]).store_generation(2, &[1]);
    stored.load(2, 1, 2).loaded(None).commit(0, 1, 5);
    assert_eq!(broken(&stored), [("fenced_commit_refused", None)]);
}

#[test]
fn a_marker_of_a_replaced_coordinator_ends_nothing() {
    let mut trace = taken_over("4.1");
    trace.append_offset(5, Some(9)).load(2, 1, 2).loaded(None);
    trace.spoken_by(1).offsets_marker(9, TransactionResult::Abort);
    trace.spoken_by(2).offsets_marker(9, TransactionResult::Commit).commit_visible(0, 5);
    assert_eq!(broken(&trace), []);

    // Before another had taken it over, but the log of that one does not have it.
    let mut trace = taken_over("4.1");
    trace.append_offset(5, Some(9)).offsets_marker(9, TransactionResult::Abort);
    trace.load(2, 1, 2).loaded(None);
    trace.offsets_marker(9, TransactionResult::Commit).commit_visible(0, 5);
    assert_eq!(broken(&trace), []);
}

#[test]
fn a_process_that_is_no_member_owns_nothing_that_it_learns_late() {
    let mut trace = group("3.9");
    trace.give_up(0, false).remove(0, RemovalReason::SessionExpired);
    trace.generation(2, &[1]).own(1, 2, 0).own(0, 1, 0);
    assert_eq!(broken(&trace), []);
}

#[test]
fn a_static_member_that_has_not_joined_does_not_know_what_it_has_lost() {
    let moved = |is_static: bool| {
        let mut trace = group("3.9");
        if is_static {
            trace.join_static(0);
        }
        trace.generation(2, &[1, 0]).own(1, 2, 0);
        broken(&trace)
    };
    assert_eq!(moved(true), []);
    assert_eq!(moved(false), [("one_owner_at_a_time", None)]);
    let mut joined = group("3.9");
    joined.join_static(0).generation(2, &[0, 1]).own(0, 2, 0).own(1, 2, 0);
    assert_eq!(broken(&joined), [("one_owner_at_a_time", None)]);
}
