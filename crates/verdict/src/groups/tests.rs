//! Each fate and cause of consumer applications, on a trace made by hand.

use acklab_vocab::api::{Acks, LeaveReason};
use acklab_vocab::config::{ConsumerLibrary, GroupLibrary};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{GroupIndex, ProducerIndex, RecordId, TopicId};
use acklab_vocab::record::Record;
use acklab_vocab::trace::{
    ApplicationReaction, CommitFailure, CommitStyle, PartitionChangeReason, PositionSource,
    RebalanceReason, RemovalReason, TraceEvent, TruncationReason,
};
use acklab_vocab::transaction::TransactionResult;

use super::summary::GroupCounts;
use crate::cause::{AnomalyKind, Cause, Promise};
use crate::testing::{PARTITION, Trace, member, trace};
use crate::{Verdict, cause};
use acklab_vocab::time::SimDuration;
use std::sync::Arc;

/// Ten records in two batches, committed; member 0 owns the partition from offset 0 on.
fn owned(commit: CommitStyle) -> Trace {
    let mut trace = trace("3.9", Acks::All).consumers(commit);
    trace.create(10).send(1, 0..10).append(1, 0..5).append(1, 5..10);
    trace.replicate(1, 2).replicate(1, 3).high_watermark(1, 10);
    trace.answer(1, 0, 0..5).answer(1, 5, 5..10).ack(0..10);
    trace.start_member(0).start_member(1).generation(1, &[0, 1]).own(0, 1, 0);
    trace
}

impl Trace {
    fn start_member(&mut self, of: u16) -> &mut Self {
        let incarnation = acklab_vocab::ids::Incarnation(0);
        self.fact(member(of), TraceEvent::ProcessStarted { incarnation })
    }

    fn kill_member(&mut self, of: u16) -> &mut Self {
        self.fact(member(of), TraceEvent::ProcessKilled)
    }

    /// Member 1 owns the partition in generation 2, from `at` on.
    fn taken_over(&mut self, at: u64) -> &mut Self {
        self.generation(2, &[1]).own(1, 2, at)
    }
}

fn counts(verdict: &Verdict) -> GroupCounts {
    verdict.groups["billing"].counts
}

/// The causes of one kind of anomaly, with how many have each.
fn causes(verdict: &Verdict, kind: AnomalyKind) -> Vec<(Cause, Promise, u64)> {
    let of_kind = verdict.causes.iter().filter(|of| of.kind == kind);
    of_kind.map(|of| (of.cause, of.promise, of.count)).collect()
}

#[track_caller]
fn assert_reprocessed(trace: &Trace, cause: Cause, promise: Promise, count: u64) {
    let verdict = trace.judge();
    assert_eq!(causes(&verdict, AnomalyKind::Reprocessed), [(cause, promise, count)]);
    assert_eq!(counts(&verdict).reprocessed, count);
    assert_eq!(counts(&verdict).skipped, 0);
}

#[track_caller]
fn assert_skipped(trace: &Trace, cause: Cause, promise: Promise, count: u64) {
    let verdict = trace.judge();
    assert_eq!(causes(&verdict, AnomalyKind::Skipped), [(cause, promise, count)]);
    assert_eq!((counts(&verdict).skipped, counts(&verdict).reprocessed), (count, 0));
}

#[test]
fn every_record_is_processed_skipped_or_pending() {
    let mut trace = owned(CommitStyle::Auto);
    trace.process(0, 0..7).commit(0, 1, 7);
    let verdict = trace.judge();
    assert_eq!(
        counts(&verdict),
        GroupCounts { processed: 7, pending: 3, commits: 1, ..GroupCounts::default() }
    );
    assert_eq!(verdict.violations, []);
    assert_eq!(verdict.end_to_end_latency.histogram.len(), 7);
}

#[test]
fn a_crash_repeats_what_was_not_committed() {
    let mut trace = owned(CommitStyle::Auto);
    trace.process(0, 0..4).commit(0, 1, 4).process(0, 4..8).kill_member(0);
    trace.remove(0, RemovalReason::SessionExpired).taken_over(4).process(1, 4..10);
    assert_reprocessed(&trace, Cause::CrashBeforeCommit, Promise::Kept, 4);
    let verdict = trace.judge();
    assert_eq!(counts(&verdict).processed, 10);
    assert_eq!(counts(&verdict).extra_processings, 4);
    assert_eq!(counts(&verdict).evictions, 1);
}

#[test]
fn one_crash_after_another_repeats_the_same_records_each_time() {
    let mut trace = owned(CommitStyle::Auto);
    trace.process(0, 0..3).kill_member(0).taken_over(0).process(1, 0..3).kill_member(1);
    trace.start_member(0).generation(3, &[0]).own(0, 3, 0).process(0, 0..10).commit(0, 3, 10);
    assert_reprocessed(&trace, Cause::CrashBeforeCommit, Promise::Kept, 3);
    assert_eq!(counts(&trace.judge()).extra_processings, 6);
}

#[test]
fn a_zombie_goes_on_with_what_it_has() {
    let mut trace = owned(CommitStyle::SyncPerBatch);
    trace.fact(member(0), TraceEvent::ProcessPaused);
    trace.remove(0, RemovalReason::SessionExpired).taken_over(0).process(1, 0..10);
    let paused_for = SimDuration::from_secs(50);
    trace.fact(member(0), TraceEvent::ProcessResumed { paused_for }).process(0, 0..2);
    assert_reprocessed(&trace, Cause::SessionExpiredInPause, Promise::Kept, 2);
}

#[test]
fn what_ended_the_ownership_is_the_cause() {
    use RemovalReason::{Left, RebalanceTimeout, Replaced, SessionExpired, SyncTimeout};
    let cases = [
        (SessionExpired, Cause::SessionExpired),
        (RebalanceTimeout, Cause::RebalanceTimeoutExceeded),
        (SyncTimeout, Cause::RebalanceTimeoutExceeded),
        (Left(LeaveReason::PollTimeout), Cause::MaxPollIntervalExceeded),
        (Left(LeaveReason::Closed), Cause::ClosedWithoutCommit),
        (Left(LeaveReason::Unsubscribed), Cause::ResubscribedBeforeCommit),
        (Replaced, Cause::StaticMemberReplaced),
    ];
    for (reason, cause) in cases {
        let mut trace = owned(CommitStyle::SyncPerBatch);
        trace.process(0, 0..2).remove(0, reason).taken_over(0).process(1, 0..10);
        assert_reprocessed(&trace, cause, Promise::Kept, 2);
    }
}

#[test]
fn a_static_member_is_left_behind_by_a_rebalance_that_it_did_not_join() {
    use ErrorCode::{IllegalGeneration, UnknownMemberId};
    let forgotten = Cause::MembershipForgotten;
    for (error, is_log_lost, cause) in [
        (IllegalGeneration, false, Cause::RebalanceTimeoutExceeded),
        (IllegalGeneration, true, forgotten),
        (UnknownMemberId, false, forgotten),
    ] {
        let mut trace = owned(CommitStyle::SyncPerBatch);
        trace.commit(0, 1, 0).process(0, 0..2);
        if is_log_lost {
            trace.loaded(None);
        }
        trace.fact(member(0), TraceEvent::MembershipLost { error }).give_up(0, true);
        trace.taken_over(0).process(1, 0..10);
        let verdict = trace.judge();
        let found = verdict.causes.iter().find(|of| of.kind == AnomalyKind::Reprocessed);
        assert_eq!(found.map(|of| of.cause), Some(cause), "{error:?}");
    }
}

#[test]
fn a_partition_given_up_without_a_commit_or_with_one_that_failed() {
    let revoked = |failure: Option<CommitFailure>| {
        let mut trace = owned(CommitStyle::Async);
        trace.process(0, 0..2);
        if let Some(failure) = failure {
            trace.commit_fails(0, 2, failure);
        }
        trace.give_up(0, false).taken_over(0).process(1, 0..10);
        trace
    };
    assert_reprocessed(&revoked(None), Cause::RevokedBeforeCommit, Promise::Kept, 2);
    let retriable = CommitFailure::Retriable(ErrorCode::NotCoordinator);
    let failed = Cause::CommitFailedThenRebalanced;
    assert_reprocessed(&revoked(Some(retriable)), failed, Promise::Kept, 2);
    let refused = CommitFailure::CommitFailed(Some(ErrorCode::IllegalGeneration));
    let cause = Cause::CommitRefusedAfterRebalance;
    assert_reprocessed(&revoked(Some(refused)), cause, Promise::Kept, 2);
}

#[test]
fn a_close_without_a_commit() {
    let mut trace = owned(CommitStyle::Never);
    trace.header.groups[0].commit = CommitStyle::Async;
    trace.process(0, 0..2).give_up(0, false);
    trace.fact(member(0), TraceEvent::LeftGroup { reason: LeaveReason::Closed });
    trace.fact(member(0), TraceEvent::ProcessExited { clean: true });
    trace.taken_over(0).process(1, 0..10);
    assert_reprocessed(&trace, Cause::ClosedWithoutCommit, Promise::Kept, 2);
}

/// The coordinator is down when a member leaves for want of `poll()`; the next one has never heard
/// of that, and tells the member only that its epoch is over.
#[test]
fn a_member_that_left_without_being_heard_and_is_fenced_later() {
    let mut trace = owned(CommitStyle::Auto);
    trace.process(0, 0..2);
    trace.fact(member(0), TraceEvent::LeftGroup { reason: LeaveReason::PollTimeout });
    let refused = CommitFailure::CommitFailed(Some(ErrorCode::StaleMemberEpoch));
    trace.commit_fails(0, 2, refused).give_up(0, true).taken_over(0).process(1, 0..10);
    assert_reprocessed(&trace, Cause::MaxPollIntervalExceeded, Promise::Kept, 2);
}

#[test]
fn an_application_that_stops_for_a_refused_commit() {
    let mut trace = owned(CommitStyle::SyncPerBatch);
    let failure = Some(CommitFailure::Timeout);
    trace.process(0, 0..2).fact(
        member(0),
        TraceEvent::ApplicationFailed {
            failure,
            error: ErrorCode::None,
            reaction: ApplicationReaction::Stopped,
        },
    );
    trace.fact(member(0), TraceEvent::ProcessExited { clean: false });
    trace.taken_over(0).process(1, 0..10);
    assert_reprocessed(&trace, Cause::CommitFailedThenRebalanced, Promise::Kept, 2);
}

#[test]
fn a_late_commit_of_a_lower_offset_rewinds() {
    let mut trace = owned(CommitStyle::AsyncRetried);
    trace.process(0, 0..8).commit(0, 1, 8).commit(0, 1, 3).kill_member(0);
    trace.taken_over(3).process(1, 3..10);
    assert_reprocessed(&trace, Cause::CommitRewound, Promise::Kept, 5);
}

#[test]
fn a_coordinator_whose_log_has_lost_the_offset() {
    let mut trace = owned(CommitStyle::Auto);
    trace.process(0, 0..8).commit(0, 1, 8).loaded(None).kill_member(0);
    trace.generation(2, &[1]).own(1, 2, 0).process(1, 0..10);
    assert_reprocessed(&trace, Cause::CommittedOffsetLost, Promise::Broken, 8);
}

#[test]
fn two_applications_share_a_group() {
    let mut trace = owned(CommitStyle::Auto);
    trace.application("audit", CommitStyle::Auto);
    trace.process(0, 0..8).commit(0, 1, 8).commit(2, 1, 2).kill_member(0);
    trace.taken_over(2).process(1, 2..10).commit(1, 2, 10);
    assert_reprocessed(&trace, Cause::OverwrittenByOtherApplication, Promise::Kept, 6);
    let verdict = trace.judge();
    assert_eq!(verdict.groups["audit"].counts.skipped, 10);
    let cause = Cause::OverwrittenByOtherApplication;
    assert_eq!(causes(&verdict, AnomalyKind::Skipped), [(cause, Promise::Kept, 10)]);
}

/// An application `copy` reads what producer 0 writes; the last of the producers is its own.
fn copied(processed_again: bool) -> Trace {
    let mut trace = owned(CommitStyle::InTransaction);
    let mut copies = trace.header.producers[0].clone();
    copies.name = "copies".to_owned();
    copies.topic = TopicId(1);
    trace.header.producers.push(copies);
    let application = &mut trace.header.groups[0];
    application.output = Some(ProducerIndex(1));
    trace.process(0, 0..10);
    if processed_again {
        trace.kill_member(0).taken_over(0).process(1, 0..10);
    } else {
        trace.append(1, 0..10).replicate(1, 2).replicate(1, 3).high_watermark(1, 20);
        trace.process(0, 10..20);
    }
    trace.append_output(3).append_output(3)
}

impl Trace {
    /// The application writes what it has made of a record: again, if it has done so before.
    fn append_output(mut self, sequence: u32) -> Self {
        let producer = ProducerIndex(1);
        let id = RecordId { producer, sequence };
        let records = Arc::new([Record { id, attempt: 0, size: 10 }]);
        let is_again = self.facts.iter().any(|fact| match &fact.event {
            TraceEvent::RecordsCreated { producer: of, first, .. } => {
                (*of, *first) == (producer, sequence)
            }
            _ => false,
        });
        let event = match is_again {
            true => TraceEvent::RecordsResent { records },
            false => TraceEvent::RecordsCreated { producer, first: sequence, stride: 1, count: 1 },
        };
        self.fact(member(0), event);
        self.append_records(1, Arc::new([Record { id, attempt: u16::from(is_again), size: 10 }]));
        self
    }
}

#[test]
fn what_was_made_of_a_record_that_is_stored_twice_is_stored_twice() {
    for (processed_again, cause, promise) in [
        (true, Cause::InputProcessedAgain, Promise::KnownViolation("KIP-890")),
        (false, Cause::InputStoredAgain, Promise::Kept),
    ] {
        let verdict = copied(processed_again).judge();
        let of_output = verdict.anomalies.iter().filter(|of| of.record.producer.0 == 1);
        let found: Vec<_> = of_output
            .map(|of| (of.kind, of.cause, of.promise))
            .filter(|of| of.0 != AnomalyKind::Phantom)
            .collect();
        assert_eq!(found, [(AnomalyKind::Duplicated, cause, promise)]);
    }
}

/// What an application writes is numbered as what it reads; the order is that in which it wrote.
#[test]
fn what_an_application_wrote_is_in_the_order_in_which_it_did() {
    let written = |appended: [u32; 3]| {
        let mut trace = owned(CommitStyle::Auto);
        trace.header.groups[0].output = Some(ProducerIndex(1));
        trace.header.groups[0].instances = 1;
        let mut copies = trace.header.producers[0].clone();
        copies.name = "copies".to_owned();
        trace.header.producers.push(copies);
        let producer = ProducerIndex(1);
        for first in [5, 3, 4] {
            let event = TraceEvent::RecordsCreated { producer, first, stride: 1, count: 1 };
            trace.fact(member(0), event);
        }
        for sequence in appended {
            let id = RecordId { producer, sequence };
            trace.append_records(1, Arc::new([Record { id, attempt: 0, size: 10 }]));
        }
        trace.judge().producers["copies"].reordered
    };
    assert_eq!(written([5, 3, 4]), 0);
    assert_eq!(written([3, 4, 5]), 1);
    assert_eq!(written([4, 3, 5]), 2);
}

/// The coordinator is gone before the transaction of the other application has ended; the next one
/// reads from its log what becomes the committed offset.
#[test]
fn an_offset_that_a_coordinator_reads_from_its_log_is_still_somebodys() {
    let mut trace = owned(CommitStyle::Auto);
    trace.application("audit", CommitStyle::Auto);
    trace.append_offset(2, None).commit_answer(2, 1, 2, ErrorCode::None).loaded(Some(2));
    trace.taken_over(2).process(1, 2..10).commit(1, 2, 10);
    let verdict = trace.judge();
    let of_billing = verdict.anomalies.iter().filter(|of| of.group == Some(GroupIndex(0)));
    let found: Vec<Cause> = of_billing.map(|of| of.cause).collect();
    assert_eq!(found, [Cause::OverwrittenByOtherApplication; 2]);
}

#[test]
fn a_consumer_that_assigns_itself_is_refused() {
    let mut trace = owned(CommitStyle::SyncPerBatch);
    trace.header.groups[0].assigns_itself = true;
    let unknown = CommitFailure::CommitFailed(Some(ErrorCode::UnknownMemberId));
    trace.process(0, 0..5).commit_fails(0, 5, unknown).kill_member(0);
    trace.start_member(0).seek(0, 0, PositionSource::Committed).process(0, 0..10);
    assert_reprocessed(&trace, Cause::RefusedForSharedGroup, Promise::Kept, 5);
}

#[test]
fn an_application_that_never_commits() {
    let mut trace = owned(CommitStyle::Never);
    trace.process(0, 0..5).kill_member(0).start_member(0).reset(0, None, 0).process(0, 0..10);
    assert_reprocessed(&trace, Cause::NeverCommits, Promise::Kept, 5);
}

#[test]
fn every_instance_assigns_itself_everything() {
    let mut trace = owned(CommitStyle::Never);
    trace.header.groups[0].assigns_itself = true;
    trace.reset(1, None, 0).process(0, 0..5).process(1, 0..5);
    assert_reprocessed(&trace, Cause::AssignedToEachInstance, Promise::Kept, 5);
}

#[test]
fn committed_before_processing_and_then_gone() {
    let mut trace = owned(CommitStyle::BeforeProcessing);
    trace.commit(0, 1, 5).process(0, 0..2).kill_member(0).taken_over(5).process(1, 5..10);
    trace.commit(1, 2, 10);
    assert_skipped(&trace, Cause::CommittedBeforeProcessing, Promise::Kept, 3);
}

#[test]
fn what_the_library_or_the_style_takes_for_processed() {
    let skip = |commit, library| {
        let mut trace = owned(commit);
        trace.header.groups[0].library = GroupLibrary::Member(library);
        trace.process(0, 0..2).commit(0, 1, 5).kill_member(0).taken_over(5).process(1, 5..10);
        trace
    };
    let workers = skip(CommitStyle::HandedToWorkers, ConsumerLibrary::Java);
    assert_skipped(&workers, Cause::HandedToWorkers, Promise::Kept, 3);
    let stored = skip(CommitStyle::Auto, ConsumerLibrary::Librdkafka);
    assert_skipped(&stored, Cause::StoredBeforeProcessing, Promise::Kept, 3);
    let broken = skip(CommitStyle::Auto, ConsumerLibrary::Java);
    assert_skipped(&broken, Cause::CommittedUnprocessed, Promise::Broken, 3);
}

#[test]
fn records_dropped_with_their_workers() {
    let mut trace = owned(CommitStyle::HandedToWorkers);
    let (from, to) = (acklab_vocab::ids::Offset(2), acklab_vocab::ids::Offset(5));
    trace.process(0, 0..2).commit(0, 1, 5);
    let dropped = TraceEvent::HandedOverRecordsDropped { partition: PARTITION, from, to };
    trace.fact(member(0), dropped).kill_member(0).taken_over(5).process(1, 5..10);
    assert_skipped(&trace, Cause::HandedToWorkers, Promise::Kept, 3);
}

#[test]
fn a_reset_to_the_end_skips_what_is_there() {
    let mut trace = owned(CommitStyle::Auto);
    trace.reset(0, None, 6).process(0, 6..10).commit(0, 1, 10);
    assert_skipped(&trace, Cause::ResetToEnd, Promise::Kept, 6);
    let mut sought = owned(CommitStyle::Auto);
    sought.process(0, 0..2).reset(0, Some(2), 6).process(0, 6..10).commit(0, 1, 10);
    assert_skipped(&sought, Cause::ResetToEnd, Promise::Kept, 4);
}

#[test]
fn a_reset_after_the_log_was_cut_skips_what_came_instead() {
    let mut trace = owned(CommitStyle::Auto);
    trace.append(1, 10..13).high_watermark(1, 13).process(0, 0..13).commit(0, 1, 13);
    trace.kill(1).elect(2, &[2, 3], PartitionChangeReason::UncleanElection).lead(2).follow(3);
    trace.append(2, 13..15).replicate(2, 3).high_watermark(2, 12).reset(0, Some(13), 12);
    trace.commit(0, 1, 12);
    let verdict = trace.judge();
    let gaps = causes(&verdict, AnomalyKind::Skipped);
    assert_eq!(gaps, [(Cause::ResetAfterOutOfRange, Promise::Kept, 2)]);
}

#[test]
fn an_aborted_transaction_undoes_what_was_processed() {
    let mut trace = owned(CommitStyle::InTransaction);
    trace.begin(member(0)).process(0, 0..5).end(member(0), TransactionResult::Abort);
    trace.seek(0, 0, PositionSource::SoughtToCommitted);
    trace.begin(member(0)).process(0, 0..5).end(member(0), TransactionResult::Commit);
    let verdict = trace.judge();
    let counts = counts(&verdict);
    assert_eq!((counts.processed, counts.reprocessed, counts.undone), (5, 0, 5));
    assert_eq!((verdict.transactions.committed, verdict.transactions.aborted), (1, 1));
}

#[test]
fn an_abort_without_a_seek_skips() {
    let mut trace = owned(CommitStyle::InTransaction);
    trace.begin(member(0)).process(0, 0..5).end(member(0), TransactionResult::Abort);
    trace.begin(member(0)).process(0, 5..10).append_offset(10, Some(9));
    trace.decide(TransactionResult::Commit).offsets_marker(9, TransactionResult::Commit);
    trace.commit_visible(0, 10).told(member(0), TransactionResult::Commit);
    assert_skipped(&trace, Cause::PositionKeptAfterAbort, Promise::Kept, 5);
}

#[test]
fn a_log_cut_below_the_position_leaves_a_ghost_and_a_gap() {
    let mut trace = owned(CommitStyle::Auto);
    trace.append(1, 10..13).high_watermark(1, 13).process(0, 0..13).commit(0, 1, 13);
    trace.kill(1).elect(2, &[2, 3], PartitionChangeReason::UncleanElection).lead(2).follow(3);
    trace.append(2, 13..17).replicate(2, 3).high_watermark(2, 14);
    trace.start(1).follow(1).truncate(1, 10, TruncationReason::LeaderEpoch);
    let verdict = trace.judge();
    assert_eq!((counts(&verdict).ghost, counts(&verdict).skipped), (3, 3));
    let ghosts = causes(&verdict, AnomalyKind::Ghost);
    assert_eq!(ghosts, [(Cause::UncleanElection, Promise::Kept, 3)]);
    let gaps = causes(&verdict, AnomalyKind::Skipped);
    assert_eq!(gaps, [(Cause::TruncatedUnderConsumer, Promise::Kept, 3)]);
}

#[test]
fn several_copies_are_not_reprocessing() {
    let mut trace = owned(CommitStyle::Auto);
    trace.append(1, 5..10).replicate(1, 2).high_watermark(1, 15).process(0, 0..15);
    let verdict = trace.judge();
    let counts = counts(&verdict);
    assert_eq!((counts.processed, counts.processed_copies, counts.reprocessed), (10, 5, 0));
}

#[test]
fn a_rebalance_lasts_until_everybody_knows_and_the_partition_stands_still() {
    let mut trace = owned(CommitStyle::Auto);
    trace.at(1_000).give_up(0, false).rebalance(RebalanceReason::MemberJoined, 1);
    trace.at(1_500).generation(2, &[1, 0]).at(1_600).own(1, 2, 0);
    trace.at(1_699).fact(
        member(0),
        TraceEvent::PartitionsAssigned {
            generation: Some(acklab_vocab::ids::Generation(2)),
            member: Some(acklab_vocab::ids::MemberId(0xa)),
            owned: std::sync::Arc::new([]),
            added: std::sync::Arc::new([]),
        },
    );
    let verdict = trace.judge();
    let billing = &verdict.groups["billing"];
    assert_eq!(billing.counts.rebalances, 1);
    assert_eq!(billing.rebalances[0].node, Some(member(1)));
    assert_eq!(billing.rebalance_longest.as_millis(), 1_700 - 1_002);
    assert_eq!(billing.standstill_longest().as_millis(), 1_601 - 1_001);
    assert_eq!(verdict.violations, []);
}

#[test]
fn refused_commits_are_counted_by_answer_and_by_exception() {
    let mut trace = owned(CommitStyle::SyncPerBatch);
    let refused = ErrorCode::IllegalGeneration;
    trace.process(0, 0..5).commit_answer(0, 0, 5, refused);
    trace.commit_fails(0, 5, CommitFailure::CommitFailed(Some(refused)));
    let verdict = trace.judge();
    let billing = &verdict.groups["billing"];
    assert_eq!(billing.commit_errors("ILLEGAL_GENERATION"), 1);
    assert_eq!(billing.commit_errors("CommitFailedException"), 1);
    assert_eq!((billing.counts.commits, billing.counts.commit_failures), (0, 1));
}

#[test]
fn every_cause_of_consumers_says_why_its_promise_is_kept() {
    let of_consumers =
        |cause: &&Cause| **cause >= Cause::CrashBeforeCommit && **cause != Cause::Unexplained;
    for &cause in Cause::ALL.iter().filter(of_consumers) {
        let group = cause::GroupTerms { log_was_at_risk: true, ..cause::GroupTerms::NONE };
        let terms = cause::Terms {
            acks: Acks::Leader,
            idempotence: false,
            committed: false,
            min_insync_replicas: 1,
            truncates_by_epoch: true,
            eligible_leader_replicas: false,
            known_breach: None,
            sequence_issue: None,
            group,
        };
        if cause.promise(terms) == Promise::Kept {
            let why = cause.why_kept(Acks::Leader);
            assert!(!why.is_empty(), "{}", cause.name());
        }
    }
}

/// What `poll()` has returned is not gone past: a crash drops it, and a running application has it
/// in hand.
#[test]
fn records_in_hand_are_pending_whether_the_process_lives_or_not() {
    for is_killed in [false, true] {
        let mut trace = owned(CommitStyle::SyncPerBatch);
        trace.header.groups[0].assigns_itself = true;
        trace.process(0, 0..5);
        let batch = std::sync::Arc::clone(&trace.batches(1)[1]);
        let (from, to) = (batch.base_offset, batch.next_offset());
        let event = TraceEvent::RecordsRead { partition: PARTITION, from, to, batch };
        trace.fact(member(0), event);
        if is_killed {
            trace.kill_member(0);
        }
        let verdict = trace.judge();
        let GroupCounts { processed, pending, skipped, .. } = counts(&verdict);
        assert_eq!((processed, pending, skipped), (5, 5, 0), "killed: {is_killed}");
        assert_eq!(causes(&verdict, AnomalyKind::Skipped), []);
    }
}
