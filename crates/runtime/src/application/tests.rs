//! Applications by themselves, against libraries whose answers the tests give.

use super::consumer::ConsumerApplication;
use super::copy::Copier;
use super::work::Pace;
use super::{Action, Afterwards, Wake};
use acklab_machines::consumer::{ConsumerCall, ConsumerReport, PolledRecords};
use acklab_machines::producer::{
    ProducerCall, ProducerReport, TransactionCall, TransactionCallKind, TransactionFailure,
};
use acklab_machines::rng::NodeRng;
use acklab_scenario::model::{
    GroupSpec, Output, OutputTransactions, Poison, PoisonEffect, Processing, Span,
};
use acklab_vocab::api::OffsetToCommit;
use acklab_vocab::config::GroupClientConfig;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{
    GroupId, LeaderEpoch, Offset, ProducerIndex, RecordId, TopicId, TopicPartition, TransactionalId,
};
use acklab_vocab::properties::{java_member_config, java_producer_config};
use acklab_vocab::record::{Payload, Record, RecordBatch};
use acklab_vocab::rules::ProtocolRules;
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::{
    ApplicationReaction, CommitFailure, CommitStyle, CommitTrigger, TraceEvent,
};
use acklab_vocab::transaction::TransactionResult;
use acklab_vocab::version::KafkaVersion;
use std::sync::Arc;

const VERSION: KafkaVersion = KafkaVersion::new(3, 9, 0);
const TIMEOUT: SimDuration = SimDuration::from_millis(100);
const US: fn(u64) -> SimDuration = SimDuration::from_micros;

fn at(micros: i64) -> SimTime {
    SimTime::from_micros(micros)
}

fn spec(commit: CommitStyle, per_record: SimDuration) -> GroupSpec {
    let rules = ProtocolRules::of(VERSION);
    GroupSpec {
        name: "billing".to_owned(),
        group: GroupId(0),
        topics: vec![TopicId(0)],
        assigns_itself: false,
        members: 1,
        instances: 1,
        instance_ids: Vec::new(),
        from: None,
        stagger: SimDuration::ZERO,
        processing: Processing {
            per_record: Span::Exactly(per_record),
            slow: None,
            poison: Vec::new(),
            holds_interpreter_lock: false,
        },
        commit,
        on_commit_failure: ApplicationReaction::Stopped,
        workers: 2,
        poll_timeout: TIMEOUT,
        output: None,
        config: GroupClientConfig::Member(Arc::new(
            java_member_config(VERSION, rules, &[]).expect("defaults are valid"),
        )),
    }
}

fn with_output(mut spec: GroupSpec, transactions: Option<OutputTransactions>) -> GroupSpec {
    let rules = ProtocolRules::of(VERSION);
    let config = java_producer_config(VERSION, rules, &[]).expect("defaults are valid");
    spec.output = Some(Output {
        producer: ProducerIndex(1),
        name: "copy".to_owned(),
        topic: TopicId(1),
        size: 100,
        config: Arc::new(acklab_vocab::config::ProducerConfig::Java(config)),
        transactions,
    });
    spec
}

fn transactions(abort_millionths: u32, rewinds_after_abort: bool) -> Option<OutputTransactions> {
    Some(OutputTransactions {
        ids: vec![TransactionalId(0)],
        abort_millionths,
        rewinds_after_abort,
        passes_membership: true,
    })
}

/// Ten records of a batch at offset 0, whose sequence numbers are their offsets.
fn batch(partition: u16) -> PolledRecords {
    let record = |sequence| Record {
        id: RecordId { producer: ProducerIndex(0), sequence },
        attempt: 0,
        size: 107,
    };
    PolledRecords {
        partition: TopicPartition::new(0, partition),
        from: Offset(0),
        to: Offset(10),
        batch: Arc::new(RecordBatch {
            base_offset: Offset(0),
            leader_epoch: LeaderEpoch(3),
            size: 1_131,
            stamp: None,
            transactional: false,
            max_timestamp: SimTime::ZERO,
            payload: Payload::Records((0..10).map(record).collect()),
        }),
    }
}

fn piece(partition: u16, from: u64, to: u64) -> PolledRecords {
    PolledRecords { from: Offset(from), to: Offset(to), ..batch(partition) }
}

fn processed(partition: u16, from: u64, to: u64) -> Action {
    Action::State(done(partition, from, to))
}

fn done(partition: u16, from: u64, to: u64) -> TraceEvent {
    let PolledRecords { partition, from, to, batch } = piece(partition, from, to);
    TraceEvent::RecordsProcessed { partition, from, to, batch }
}

fn offsets(partition: u16, offset: u64) -> Arc<[OffsetToCommit]> {
    Arc::new([OffsetToCommit {
        partition: TopicPartition::new(0, partition),
        offset: Offset(offset),
        leader_epoch: Some(LeaderEpoch(3)),
    }])
}

fn work(at: SimTime, thread: u16, token: u32) -> Action {
    Action::WakeAt(at, Wake::Work { thread, token })
}

fn sync(trigger: CommitTrigger) -> Action {
    Action::Consumer(ConsumerCall::CommitSync { offsets: None, trigger })
}

fn transaction(call: TransactionCall) -> Action {
    Action::Producer(ProducerCall::Transaction(call))
}

const POLL: Action = Action::Consumer(ConsumerCall::Poll { timeout: TIMEOUT });
const RETURNED: Action = Action::Consumer(ConsumerCall::ListenerReturned);
const CLOSE: Action = Action::Consumer(ConsumerCall::Close);

struct Bench(ConsumerApplication);

impl Bench {
    /// An application that has started.
    #[track_caller]
    fn new(spec: GroupSpec) -> (Self, Vec<Action>) {
        let pace = Pace::new(spec.processing.clone(), &[], NodeRng::for_test(1));
        let writers = vec![ProducerIndex(0)];
        let copier = spec
            .output
            .as_ref()
            .map(|output| Copier::new(output, writers, 0, NodeRng::for_test(2)));
        let mut bench = Bench(ConsumerApplication::new(spec, pace, copier));
        let mut out = Vec::new();
        bench.0.start(SimTime::ZERO, &mut out);
        (bench, out)
    }

    /// One that is inside its first `poll()`.
    #[track_caller]
    fn polling(spec: GroupSpec) -> Self {
        let (bench, actions) = Bench::new(spec);
        assert_eq!(actions, [POLL]);
        bench
    }

    fn report(&mut self, micros: i64, report: ConsumerReport) -> Vec<Action> {
        let mut out = Vec::new();
        self.0.on_consumer(report, at(micros), &mut out);
        out
    }

    fn polled(&mut self, micros: i64, records: Vec<PolledRecords>) -> Vec<Action> {
        self.report(micros, ConsumerReport::Polled(records))
    }

    fn committed(&mut self, micros: i64, failure: Option<CommitFailure>) -> Vec<Action> {
        self.report(micros, ConsumerReport::Committed(failure))
    }

    fn returned(
        &mut self,
        micros: i64,
        call: TransactionCallKind,
        failure: Option<TransactionFailure>,
    ) -> Vec<Action> {
        let mut out = Vec::new();
        let report = ProducerReport::TransactionCallReturned { call, failure };
        self.0.on_producer(&report, at(micros), &mut out);
        out
    }

    fn wake(&mut self, micros: i64, wake: Wake) -> Vec<Action> {
        let mut out = Vec::new();
        self.0.on_wake(wake, at(micros), &mut out);
        out
    }

    /// The chunk in hand of a thread is done.
    fn done(&mut self, micros: i64, thread: u16, token: u32) -> Vec<Action> {
        self.wake(micros, Wake::Work { thread, token })
    }
}

#[test]
fn records_are_taken_up_in_chunks_of_at_most_a_millisecond() {
    let mut app = Bench::polling(spec(CommitStyle::Never, US(300)));
    assert_eq!(app.polled(0, vec![batch(0)]), [work(at(900), 0, 1)]);
    assert_eq!(app.done(900, 0, 1), [processed(0, 0, 3), work(at(1_800), 0, 2)]);
    assert_eq!(app.done(1_800, 0, 2), [processed(0, 3, 6), work(at(2_700), 0, 3)]);
    assert_eq!(app.done(2_700, 0, 3), [processed(0, 6, 9), work(at(3_000), 0, 4)]);
    assert_eq!(app.done(3_000, 0, 4), [processed(0, 9, 10), POLL]);
}

#[test]
fn a_record_that_takes_longer_is_a_chunk_alone() {
    let mut app = Bench::polling(spec(CommitStyle::Never, US(5_000)));
    assert_eq!(app.polled(0, vec![piece(0, 0, 2)]), [work(at(5_000), 0, 1)]);
    assert_eq!(app.done(5_000, 0, 1), [processed(0, 0, 1), work(at(10_000), 0, 2)]);
}

#[test]
fn a_chunk_may_span_batches() {
    let mut app = Bench::polling(spec(CommitStyle::Never, US(10)));
    assert_eq!(app.polled(0, vec![batch(0), batch(1)]), [work(at(200), 0, 1)]);
    assert_eq!(app.done(200, 0, 1), [processed(0, 0, 10), processed(1, 0, 10), POLL]);
}

#[test]
fn work_that_takes_no_time_needs_no_event() {
    let mut app = Bench::polling(spec(CommitStyle::Never, SimDuration::ZERO));
    assert_eq!(app.polled(7, vec![batch(0)]), [processed(0, 0, 10), POLL]);
}

#[test]
fn an_empty_poll_is_repeated_but_not_at_the_same_instant() {
    let mut app = Bench::polling(spec(CommitStyle::Never, US(10)));
    assert_eq!(app.polled(100_000, Vec::new()), [POLL]);
    let again = Wake::PollAgain { token: 1 };
    assert_eq!(app.polled(100_000, Vec::new()), [Action::WakeAt(at(101_000), again)]);
    assert_eq!(app.wake(101_000, again), [POLL]);
    assert_eq!(app.wake(101_000, again), []);
}

#[test]
fn a_pause_keeps_what_is_done_and_the_rest_of_the_time() {
    let mut app = Bench::polling(spec(CommitStyle::Never, US(300)));
    app.polled(0, vec![batch(0)]);
    // The second record has 100 us to go.
    assert_eq!(app.0.pause(at(500)), [done(0, 0, 1)]);
    assert_eq!(app.done(900, 0, 1), [], "the chunk that was cut short");
    assert_eq!(app.wake(9_000, Wake::Resume), [work(at(10_000), 0, 3)]);
    assert_eq!(app.done(10_000, 0, 3), [processed(0, 1, 5), work(at(10_900), 0, 4)]);
}

#[test]
fn a_process_that_ends_has_done_whole_records_only() {
    let mut app = Bench::polling(spec(CommitStyle::Auto, US(300)));
    app.polled(0, vec![batch(0)]);
    assert_eq!(app.0.end(at(899)), [done(0, 0, 2)]);
    let mut out = Vec::new();
    app.0.start(at(5_000), &mut out);
    assert_eq!(out, [POLL], "what was in hand is gone");
}

#[test]
fn a_poisonous_record_takes_its_time_or_crashes_the_process() {
    let poison = |sequence, effect| Poison {
        record: RecordId { producer: ProducerIndex(0), sequence },
        effect,
    };
    let mut slow = spec(CommitStyle::Never, US(10));
    slow.processing.poison = vec![poison(1, PoisonEffect::Takes(US(50_000)))];
    let mut app = Bench::polling(slow);
    assert_eq!(app.polled(0, vec![piece(0, 0, 3)]), [work(at(10), 0, 1)]);
    assert_eq!(app.done(10, 0, 1), [processed(0, 0, 1), work(at(50_010), 0, 2)]);
    let mut fatal = spec(CommitStyle::Never, US(10));
    fatal.processing.poison = vec![poison(1, PoisonEffect::Crashes(US(7)))];
    let mut app = Bench::polling(fatal);
    assert_eq!(app.polled(0, vec![piece(0, 0, 3)]), [work(at(10), 0, 1)]);
    let exit = Action::Exit { clean: false, afterwards: Afterwards::StartsAgain(US(7)) };
    assert_eq!(app.done(10, 0, 1), [processed(0, 0, 1), exit]);
}

#[test]
fn a_slow_period_holds_for_records_taken_up_in_it() {
    let mut slow = spec(CommitStyle::Never, US(10));
    slow.processing.slow = Some((US(15), US(100), Span::Exactly(US(5_000))));
    let mut app = Bench::polling(slow);
    assert_eq!(app.polled(0, vec![piece(0, 0, 4)]), [work(at(20), 0, 1)]);
    assert_eq!(app.done(20, 0, 1), [processed(0, 0, 2), work(at(5_020), 0, 2)]);
    assert_eq!(app.done(5_020, 0, 2), [processed(0, 2, 3), work(at(5_030), 0, 3)]);
}

#[test]
fn each_style_commits_where_its_users_do() {
    let asynchronous = Action::Consumer(ConsumerCall::CommitAsync {
        offsets: None,
        trigger: CommitTrigger::Async,
    });
    for (style, after_the_batch) in [
        (CommitStyle::Auto, vec![POLL]),
        (CommitStyle::Never, vec![POLL]),
        (CommitStyle::SyncPerBatch, vec![sync(CommitTrigger::Sync)]),
        (CommitStyle::Async, vec![asynchronous.clone(), POLL]),
        (CommitStyle::AsyncRetried, vec![asynchronous.clone(), POLL]),
        (CommitStyle::AsyncThenSync, vec![asynchronous, POLL]),
    ] {
        let mut app = Bench::polling(spec(style, US(10)));
        assert_eq!(app.polled(0, vec![batch(0)]), [work(at(100), 0, 1)], "{style:?}");
        let mut expected = vec![processed(0, 0, 10)];
        expected.extend(after_the_batch);
        assert_eq!(app.done(100, 0, 1), expected, "{style:?}");
    }
}

#[test]
fn per_record_each_offset_is_committed_before_the_next_record() {
    let mut app = Bench::polling(spec(CommitStyle::SyncPerRecord, US(10)));
    let commit = |offset| {
        let (offsets, trigger) = (Some(offsets(0, offset)), CommitTrigger::Sync);
        Action::Consumer(ConsumerCall::CommitSync { offsets, trigger })
    };
    assert_eq!(app.polled(0, vec![piece(0, 4, 6)]), [work(at(10), 0, 1)]);
    assert_eq!(app.done(10, 0, 1), [processed(0, 4, 5), commit(5)]);
    assert_eq!(app.committed(1_000, None), [work(at(1_010), 0, 2)]);
    assert_eq!(app.done(1_010, 0, 2), [processed(0, 5, 6), commit(6)]);
    assert_eq!(app.committed(2_000, None), [POLL]);
}

#[test]
fn committed_beforehand_a_batch_is_processed_only_if_the_commit_succeeds() {
    let mut app = Bench::polling(spec(CommitStyle::BeforeProcessing, US(10)));
    assert_eq!(app.polled(0, vec![batch(0)]), [sync(CommitTrigger::Sync)]);
    assert_eq!(app.committed(500, None), [work(at(600), 0, 1)]);
    assert_eq!(app.done(600, 0, 1), [processed(0, 0, 10), POLL]);
    assert_eq!(app.polled(700, vec![batch(0)]), [sync(CommitTrigger::Sync)]);
    assert_eq!(app.committed(900, Some(CommitFailure::RebalanceInProgress)), [POLL]);
}

#[test]
fn a_commit_that_failed_for_good_stops_the_application_or_makes_it_subscribe_anew() {
    let failure = CommitFailure::CommitFailed(Some(ErrorCode::UnknownMemberId));
    let committing = |reaction| {
        let mut spec = spec(CommitStyle::SyncPerBatch, SimDuration::ZERO);
        spec.on_commit_failure = reaction;
        let mut app = Bench::polling(spec);
        app.polled(0, vec![batch(0)]);
        app
    };
    let failed = |reaction| {
        let (failure, error) = (Some(failure), ErrorCode::None);
        Action::State(TraceEvent::ApplicationFailed { failure, error, reaction })
    };
    let mut app = committing(ApplicationReaction::Stopped);
    let exit = Action::Exit { clean: false, afterwards: Afterwards::StaysDown };
    let stopped = [failed(ApplicationReaction::Stopped), exit];
    assert_eq!(app.committed(9, Some(failure)), stopped);
    let mut app = committing(ApplicationReaction::Resubscribed);
    let resubscribed = [failed(ApplicationReaction::Resubscribed), CLOSE];
    assert_eq!(app.committed(9, Some(failure)), resubscribed);
    assert_eq!(app.report(10, ConsumerReport::Closed), [Action::BootConsumer, POLL]);
    let mut app = committing(ApplicationReaction::Ignored);
    assert_eq!(app.committed(9, Some(failure)), [POLL]);
    for passing in [CommitFailure::RebalanceInProgress, CommitFailure::Timeout] {
        let mut app = committing(ApplicationReaction::Stopped);
        assert_eq!(app.committed(9, Some(passing)), [POLL], "{passing:?}");
    }
}

#[test]
fn a_callback_may_commit_the_same_offsets_again() {
    let retriable = CommitFailure::Retriable(ErrorCode::CoordinatorNotAvailable);
    let callback = |failure| ConsumerReport::CommitCallback { offsets: offsets(0, 10), failure };
    let again = Action::Consumer(ConsumerCall::CommitAsync {
        offsets: Some(offsets(0, 10)),
        trigger: CommitTrigger::AsyncRetry,
    });
    let mut app = Bench::polling(spec(CommitStyle::AsyncRetried, SimDuration::ZERO));
    app.polled(0, vec![batch(0)]);
    assert_eq!(app.report(5, callback(Some(retriable))), [again]);
    assert!(!app.0.is_at_rest(), "a callback is still to come");
    let lost = CommitFailure::CommitFailed(None);
    assert_eq!(app.report(6, callback(Some(lost))), [], "only what is retriable is retried");
    assert!(app.0.is_at_rest());
    let mut app = Bench::polling(spec(CommitStyle::Async, SimDuration::ZERO));
    app.polled(0, vec![batch(0)]);
    assert_eq!(app.report(5, callback(Some(retriable))), [], "otherwise it is logged");
}

#[test]
fn async_then_sync_commits_in_the_listener_and_before_close() {
    let revoked =
        |lost| ConsumerReport::Revoked { partitions: Arc::new([TopicPartition::new(0, 0)]), lost };
    let mut app = Bench::polling(spec(CommitStyle::AsyncThenSync, US(10)));
    assert_eq!(app.report(5, revoked(false)), [sync(CommitTrigger::SyncRevocation)]);
    assert_eq!(app.committed(9, None), [RETURNED]);
    assert_eq!(app.report(10, revoked(true)), [RETURNED], "what is lost cannot be committed");
    assert_eq!(app.wake(20, Wake::ShutDown), [], "poll() returns by its timeout");
    assert_eq!(app.polled(30, Vec::new()), [sync(CommitTrigger::SyncClose)]);
    assert_eq!(app.committed(40, Some(CommitFailure::Timeout)), [CLOSE]);
    let exit = Action::Exit { clean: true, afterwards: Afterwards::AsOrdered };
    assert_eq!(app.report(50, ConsumerReport::Closed), [exit]);
}

#[test]
fn an_orderly_end_finishes_the_batch_in_hand() {
    let mut app = Bench::polling(spec(CommitStyle::SyncPerBatch, US(10)));
    app.polled(0, vec![batch(0)]);
    assert_eq!(app.wake(50, Wake::ShutDown), []);
    assert_eq!(app.done(100, 0, 1), [processed(0, 0, 10), sync(CommitTrigger::Sync)]);
    assert_eq!(app.committed(200, None), [CLOSE]);
}

#[test]
fn workers_have_a_partition_each_and_poll_goes_on() {
    let mut app = Bench::polling(spec(CommitStyle::HandedToWorkers, US(300)));
    let started = [work(at(300), 0, 1), work(at(600), 1, 1), POLL];
    assert_eq!(app.polled(0, vec![piece(0, 0, 1), piece(1, 0, 2)]), started);
    assert_eq!(app.polled(100, vec![piece(0, 1, 2)]), [POLL], "it waits in the queue");
    assert_eq!(app.done(300, 0, 1), [processed(0, 0, 1), work(at(600), 0, 2)]);
    assert!(!app.0.is_at_rest());
    assert_eq!(app.0.in_hand(), 3);
}

#[test]
fn what_workers_have_not_done_is_lost_with_the_process() {
    let mut app = Bench::polling(spec(CommitStyle::HandedToWorkers, US(300)));
    app.polled(0, vec![piece(0, 0, 3)]);
    app.polled(100, vec![piece(0, 3, 8)]);
    let lost = TraceEvent::HandedOverRecordsDropped {
        partition: TopicPartition::new(0, 0),
        from: Offset(1),
        to: Offset(8),
    };
    assert_eq!(app.0.end(at(400)), [done(0, 0, 1), lost]);
}

#[test]
fn an_orderly_end_waits_for_the_workers() {
    let mut app = Bench::polling(spec(CommitStyle::HandedToWorkers, US(300)));
    app.polled(0, vec![piece(0, 0, 1), piece(1, 0, 2)]);
    app.wake(50, Wake::ShutDown);
    assert_eq!(app.polled(100, Vec::new()), []);
    assert_eq!(app.done(300, 0, 1), [processed(0, 0, 1)]);
    assert_eq!(app.done(600, 1, 1), [processed(1, 0, 2), CLOSE]);
}

#[test]
fn an_explicit_commit_waits_for_what_was_written() {
    let mut app = Bench::polling(with_output(spec(CommitStyle::SyncPerBatch, US(10)), None));
    app.polled(0, vec![piece(0, 3, 5)]);
    assert_eq!(app.done(20, 0, 1), [processed(0, 3, 5), Action::Write(vec![3, 4])]);
    let mut out = Vec::new();
    let completed = |count| ProducerReport::Completed {
        topic: TopicId(1),
        partition: None,
        outcome: acklab_vocab::trace::SendOutcome::Acked(None),
        records: batch(0).batch.records()[..count].into(),
    };
    app.0.on_producer(&completed(1), at(30), &mut out);
    assert_eq!(out, []);
    app.0.on_producer(&completed(1), at(40), &mut out);
    assert_eq!(out, [sync(CommitTrigger::Sync)]);
}

#[test]
fn copies_of_records_done_before_a_pause_are_written_after_it() {
    let mut app = Bench::polling(with_output(spec(CommitStyle::Auto, US(300)), None));
    app.polled(0, vec![piece(0, 0, 3)]);
    assert_eq!(app.0.pause(at(400)), [done(0, 0, 1)]);
    assert_eq!(app.wake(5_000, Wake::Resume), [work(at(5_500), 0, 3)]);
    let copies = Action::Write(vec![0, 1, 2]);
    assert_eq!(app.done(5_500, 0, 3), [processed(0, 1, 3), copies, POLL]);
}

fn in_transactions(abort_millionths: u32, rewinds: bool) -> Bench {
    let spec = spec(CommitStyle::InTransaction, SimDuration::ZERO);
    let (mut app, actions) = Bench::new(with_output(spec, transactions(abort_millionths, rewinds)));
    assert_eq!(actions, [transaction(TransactionCall::Init)]);
    assert_eq!(app.returned(0, TransactionCallKind::Init, None), [POLL]);
    assert_eq!(app.polled(10, vec![piece(0, 0, 2)]), [transaction(TransactionCall::Begin)]);
    app
}

const BEGUN: Action =
    Action::State(TraceEvent::TransactionBegun { transactional_id: TransactionalId(0) });

fn ended(result: TransactionResult, error: ErrorCode) -> Action {
    let transactional_id = TransactionalId(0);
    Action::State(TraceEvent::TransactionEnded { transactional_id, result, error })
}

#[test]
fn a_transaction_holds_the_copies_and_the_offsets_of_one_poll() {
    let mut app = in_transactions(0, true);
    let sends = Action::SendOffsets { offsets: offsets(0, 2), passes_membership: true };
    let copies = Action::Write(vec![0, 1]);
    let expected = [BEGUN, processed(0, 0, 2), copies, sends];
    assert_eq!(app.returned(10, TransactionCallKind::Begin, None), expected);
    let commit = [transaction(TransactionCall::Commit)];
    assert_eq!(app.returned(20, TransactionCallKind::SendOffsets, None), commit);
    let timeout = Some(TransactionFailure::Timeout);
    assert_eq!(app.returned(30, TransactionCallKind::Commit, timeout), commit, "once more");
    let committed = ended(TransactionResult::Commit, ErrorCode::None);
    assert_eq!(app.returned(40, TransactionCallKind::Commit, None), [committed, POLL]);
}

#[test]
fn after_an_abort_the_application_rewinds_or_forgets_to() {
    for rewinds in [true, false] {
        let mut app = in_transactions(1_000_000, rewinds);
        let abort = transaction(TransactionCall::Abort);
        let expected = [BEGUN, processed(0, 0, 2), Action::Write(vec![0, 1]), abort];
        assert_eq!(app.returned(10, TransactionCallKind::Begin, None), expected);
        let mut expected = vec![ended(TransactionResult::Abort, ErrorCode::None)];
        expected.extend(rewinds.then_some(Action::Consumer(ConsumerCall::SeekToCommitted)));
        expected.push(POLL);
        assert_eq!(app.returned(20, TransactionCallKind::Abort, None), expected);
    }
}

#[test]
fn a_stale_member_aborts_and_a_fenced_producer_begins_anew() {
    let mut app = in_transactions(0, true);
    app.returned(10, TransactionCallKind::Begin, None);
    let stale = Some(TransactionFailure::Abortable(ErrorCode::IllegalGeneration));
    let abort = [transaction(TransactionCall::Abort)];
    assert_eq!(app.returned(20, TransactionCallKind::SendOffsets, stale), abort);
    let mut app = in_transactions(0, true);
    app.returned(10, TransactionCallKind::Begin, None);
    app.returned(20, TransactionCallKind::SendOffsets, None);
    let fenced = Some(TransactionFailure::Fatal(ErrorCode::ProducerFenced));
    let failed = Action::State(TraceEvent::ApplicationFailed {
        failure: None,
        error: ErrorCode::ProducerFenced,
        reaction: ApplicationReaction::Stopped,
    });
    let afterwards = Afterwards::StartsAgain(SimDuration::from_secs(1));
    let expected = [
        ended(TransactionResult::Commit, ErrorCode::ProducerFenced),
        failed,
        Action::Exit { clean: false, afterwards },
    ];
    assert_eq!(app.returned(30, TransactionCallKind::Commit, fenced), expected);
}
