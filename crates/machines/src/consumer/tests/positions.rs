//! Positions: committed ones, the reset policy, and records that `poll()` returns in pieces.

use super::*;
use acklab_vocab::config::AutoOffsetReset;
use acklab_vocab::ids::CoordinatorEpoch;
use acklab_vocab::record::Payload;
use acklab_vocab::transaction::{TransactionMarker, TransactionResult};

fn waiting_for_offsets(config: MemberConfig) -> Bench {
    let mut bench = Bench::new(setup(config));
    bench.poll(1_000);
    bench.answer_join(1, ME);
    bench.answer_sync(&[P0]);
    bench.call(ConsumerCall::ListenerReturned);
    bench.did();
    bench
}

#[test]
fn without_a_committed_offset_the_reset_policy_decides() {
    let mut bench = waiting_for_offsets(config(MODERN));
    bench.answer_offsets(&[]);
    assert!(matches!(bench.did()[..], [Did::Send(Request::ListOffsets(_))]));
    let mut none = config(MODERN);
    none.consumer.auto_offset_reset = AutoOffsetReset::None;
    let mut bench = waiting_for_offsets(none);
    bench.answer_offsets(&[]);
    let error = ErrorCode::OffsetOutOfRange;
    let stopped = Did::State(TraceEvent::ReaderStopped { partition: P0, error });
    let failed = Did::Report(ConsumerReport::Failed(error));
    assert_eq!(bench.did(), [stopped, failed.clone()]);
    bench.poll(100);
    assert_eq!(bench.did(), [failed]);
}

#[test]
fn committed_offsets_are_asked_for_until_they_are_known() {
    let errors = [ErrorCode::CoordinatorLoadInProgress, ErrorCode::UnstableOffsetCommit];
    for error in errors {
        let mut bench = waiting_for_offsets(config(MODERN));
        bench.answer_offsets_with(error, &[(P0, None)]);
        bench.pass(millis(99));
        assert_eq!(bench.did(), []);
        bench.pass(millis(1));
        assert_eq!(bench.did(), [fetch_offsets(&[P0])]);
        bench.answer_offsets(&[(P0, 4)]);
        assert_eq!(bench.did(), [from_committed(P0, None, 4)]);
    }
    let mut bench = waiting_for_offsets(config(MODERN));
    bench.coordinator = Some(1);
    bench.answer_offsets_with(ErrorCode::NotCoordinator, &[(P0, None)]);
    bench.pass(millis(100));
    assert_eq!(bench.did(), [fetch_offsets(&[P0])]);
}

#[test]
fn poll_returns_while_committed_offsets_are_missing() {
    let mut bench = waiting_for_offsets(config(MODERN));
    bench.pass(secs(1));
    assert_eq!(bench.did(), [polled(&[])]);
    // The question stands: the next poll waits for the same answer, which the heartbeat thread has
    // read.
    bench.answer_offsets(&[(P0, 4)]);
    assert_eq!(bench.did(), [from_committed(P0, None, 4)]);
    bench.poll(1_000);
    assert_eq!(bench.did(), []);
}

#[test]
fn a_poll_returns_at_most_so_many_records_and_the_next_goes_on_in_the_batch() {
    let mut few = config(MODERN);
    few.consumer.max_poll_records = 4;
    let mut bench = Bench::stable(few);
    let (first, second) = (batch(0, 3), batch(0, 6));
    bench.poll(1_000);
    bench.answer_fetch(&[(P0, Arc::clone(&first)), (P1, Arc::clone(&second))]);
    let expected = [
        read(P0, 0, 3, &first),
        read(P1, 0, 1, &second),
        polled(&[(P0, 0, 3, &first), (P1, 0, 1, &second)]),
    ];
    assert_eq!(bench.did(), expected);
    assert_eq!(bench.consumer.view().partitions[1].buffered, 6);
    for (from, to) in [(1, 5), (5, 6)] {
        bench.poll(1_000);
        let expected = [read(P1, from, to, &second), polled(&[(P1, from, to, &second)])];
        assert_eq!(bench.did(), expected);
    }
}

#[test]
fn records_are_fetched_ahead_while_the_application_works() {
    let mut bench = Bench::stable(config(MODERN));
    bench.read(0, 10);
    assert_eq!(bench.count(|request| matches!(request, Request::Fetch(_))), 1);
    let next = batch(10, 5);
    bench.answer_fetch(&[(P0, Arc::clone(&next))]);
    assert_eq!(bench.did(), []);
    bench.poll(1_000);
    assert_eq!(bench.did(), [read(P0, 10, 15, &next), polled(&[(P0, 10, 15, &next)])]);
}

#[test]
fn seeking_to_the_committed_offset_reads_again_and_drops_what_was_fetched() {
    let mut bench = Bench::stable(config(MODERN));
    bench.read(0, 10);
    bench.answer_fetch(&[(P0, batch(10, 5))]);
    bench.call(ConsumerCall::SeekToCommitted);
    bench.poll(1_000);
    assert_eq!(bench.did(), [fetch_offsets(&[P0, P1])]);
    bench.answer_offsets(&[(P0, 3), (P1, 0)]);
    let back = |partition, from, to| {
        let (from, to, source) =
            (Some(Offset(from)), Offset(to), PositionSource::SoughtToCommitted);
        Did::State(TraceEvent::PositionFromCommitted { partition, from, to, source })
    };
    assert_eq!(bench.did(), [back(P0, 10, 3), back(P1, 0, 0)]);
    let again = batch(0, 10);
    bench.answer_fetch(&[(P0, Arc::clone(&again))]);
    assert_eq!(bench.did(), [read(P0, 3, 10, &again), polled(&[(P0, 3, 10, &again)])]);
}

#[test]
fn what_was_fetched_of_a_partition_that_is_given_up_is_dropped() {
    let mut bench = Bench::stable(config(MODERN));
    bench.read(0, 10);
    bench.answer_fetch(&[(P0, batch(10, 5))]);
    bench.pass(secs(3));
    bench.answer_heartbeat(ErrorCode::RebalanceInProgress);
    bench.poll(5_000);
    bench.call(ConsumerCall::ListenerReturned);
    bench.answer_join(2, ME);
    bench.answer_sync(&[P0]);
    bench.call(ConsumerCall::ListenerReturned);
    bench.did();
    bench.answer_offsets(&[(P0, 0)]);
    assert_eq!(bench.did(), [from_committed(P0, None, 0)]);
    assert_eq!(bench.count(|request| matches!(request, Request::Fetch(_))), 1);
}

#[test]
fn a_marker_is_passed_over_and_poll_returns_because_the_position_has_moved() {
    let mut bench = Bench::stable(config(MODERN));
    let marker = TransactionMarker {
        result: TransactionResult::Commit,
        coordinator_epoch: CoordinatorEpoch(0),
    };
    let marker = RecordBatch { payload: Payload::Marker(marker), ..(*batch(0, 1)).clone() };
    bench.poll(1_000);
    bench.answer_fetch(&[(P0, Arc::new(marker))]);
    assert_eq!(bench.did(), [polled(&[])]);
    let positions: Vec<_> = bench.consumer.positions().collect();
    assert_eq!(positions, [(P0, Some(Offset(1))), (P1, Some(Offset(0)))]);
}
