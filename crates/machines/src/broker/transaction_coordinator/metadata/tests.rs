//! What may become of a transactional id, on tables.

use super::*;
use TransactionResult::{Abort, Commit};
use TransactionState::{
    CompleteAbort, CompleteCommit, Empty, Ongoing, PrepareAbort, PrepareCommit, PrepareEpochFence,
};

const PRODUCER: ProducerId = ProducerId(7);
const MINUTE: SimDuration = SimDuration::from_secs(60);
const NOW: SimTime = SimTime::ZERO;

/// Producer 7 in epoch 5, and the epoch that it asked with for that.
fn transaction(state: TransactionState) -> CoordinatedTransaction {
    CoordinatedTransaction {
        producer_epoch: Some(ProducerEpoch(5)),
        state,
        partitions: vec![TopicPartition::new(0, 0)],
        started_at: Some(NOW),
        ..CoordinatedTransaction::new(PRODUCER, MINUTE, NOW)
    }
}

fn end(epoch: u16, result: TransactionResult, version_2: bool) -> EndRequest {
    EndRequest {
        producer_id: PRODUCER,
        producer_epoch: ProducerEpoch(epoch),
        result,
        from_client: true,
        version_2,
    }
}

const ENDS: Result<EndDecision, ErrorCode> = Ok(EndDecision::End { is_empty: false });
const ENDS_EMPTY: Result<EndDecision, ErrorCode> = Ok(EndDecision::End { is_empty: true });
const DONE: Result<EndDecision, ErrorCode> = Ok(EndDecision::AlreadyDone);
const FENCED: Result<EndDecision, ErrorCode> = Err(ErrorCode::ProducerFenced);
const INVALID: Result<EndDecision, ErrorCode> = Err(ErrorCode::InvalidTxnState);
const CONCURRENT: Result<EndDecision, ErrorCode> = Err(ErrorCode::ConcurrentTransactions);

#[test]
fn version_1_tells_ends_apart_by_state_alone() {
    let cases = [
        (Ongoing, 5, Commit, ENDS),
        (Ongoing, 5, Abort, ENDS),
        (Ongoing, 4, Commit, FENCED),
        (Ongoing, 6, Commit, FENCED),
        (PrepareCommit, 5, Commit, CONCURRENT),
        (PrepareCommit, 5, Abort, INVALID),
        (PrepareAbort, 5, Abort, CONCURRENT),
        (PrepareAbort, 5, Commit, INVALID),
        (CompleteCommit, 5, Commit, DONE),
        (CompleteCommit, 5, Abort, INVALID),
        (CompleteAbort, 5, Abort, DONE),
        (CompleteAbort, 5, Commit, INVALID),
        (Empty, 5, Commit, INVALID),
        (Empty, 5, Abort, INVALID),
    ];
    for (state, epoch, result, expected) in cases {
        let judged = transaction(state).judge_end(end(epoch, result, false));
        assert_eq!(judged, expected, "{state:?}, epoch {epoch}, {result:?}");
    }
}

/// Every end raises the epoch: the epoch before is that of an end that is told again, the present
/// one that of the next transaction.
#[test]
fn version_2_tells_ends_apart_by_epoch() {
    let cases = [
        (Ongoing, 5, Commit, ENDS),
        (Ongoing, 4, Commit, FENCED),
        (Ongoing, 6, Commit, FENCED),
        (PrepareCommit, 4, Commit, CONCURRENT),
        (PrepareCommit, 5, Commit, FENCED),
        (PrepareAbort, 4, Commit, INVALID),
        (CompleteCommit, 4, Commit, DONE),
        (CompleteCommit, 4, Abort, INVALID),
        (CompleteCommit, 5, Commit, INVALID),
        (CompleteCommit, 5, Abort, ENDS_EMPTY),
        (CompleteAbort, 4, Abort, DONE),
        (CompleteAbort, 5, Abort, ENDS_EMPTY),
        (CompleteAbort, 5, Commit, INVALID),
        (CompleteCommit, 3, Commit, FENCED),
        (Empty, 5, Abort, ENDS_EMPTY),
        (Empty, 5, Commit, INVALID),
        (Empty, 4, Abort, FENCED),
    ];
    for (state, epoch, result, expected) in cases {
        let judged = transaction(state).judge_end(end(epoch, result, true));
        assert_eq!(judged, expected, "{state:?}, epoch {epoch}, {result:?}");
    }
}

#[test]
fn the_producer_is_judged_before_its_epoch_and_that_before_what_is_pending() {
    let mut it = transaction(Ongoing);
    it.pending = Some(Ongoing);
    let other = EndRequest { producer_id: ProducerId(8), ..end(4, Commit, false) };
    assert_eq!(it.judge_end(other), Err(ErrorCode::InvalidProducerIdMapping));
    assert_eq!(it.judge_end(end(4, Commit, false)), FENCED);
    assert_eq!(it.judge_end(end(5, Commit, false)), CONCURRENT);
}

/// A commit from beginning to end.
fn run(version_2: bool) -> (CoordinatedTransaction, TransactionMetadata, TransactionMetadata) {
    let mut it = transaction(Ongoing);
    let request = end(5, Commit, version_2);
    let prepared = it.prepare_end(request, false, None, NOW);
    assert_eq!(it.pending, Some(PrepareCommit));
    it.complete(&prepared);
    let completed = it.prepare_complete(NOW);
    assert_eq!(it.judge_end(end(5, Commit, version_2)), CONCURRENT, "markers are on their way");
    it.complete(&completed);
    (it, prepared, completed)
}

#[test]
fn an_end_raises_the_epoch_with_version_2_only() {
    for (version_2, epoch, last) in [(false, 5, None), (true, 6, Some(ProducerEpoch(5)))] {
        let (it, prepared, completed) = run(version_2);
        assert_eq!((prepared.state, completed.state), (PrepareCommit, CompleteCommit));
        assert_eq!(prepared.producer_epoch, ProducerEpoch(epoch));
        assert_eq!(it.producer_epoch, Some(ProducerEpoch(epoch)));
        assert_eq!(it.last_producer_epoch, last);
        assert_eq!(it.partitions, []);
        assert_eq!(it.judge_end(end(5, Commit, version_2)), DONE);
    }
}

#[test]
fn the_last_epoch_of_a_producer_id_is_followed_by_another_id() {
    let exhausted = ProducerEpoch(MAX_EPOCH - 1);
    let mut it = CoordinatedTransaction { producer_epoch: Some(exhausted), ..transaction(Ongoing) };
    assert!(it.is_exhausted());
    let request = end(exhausted.0, Commit, true);
    let prepared = it.prepare_end(request, false, Some(ProducerId(9)), NOW);
    it.complete(&prepared);
    assert_eq!(it.producer_epoch, Some(ProducerEpoch(MAX_EPOCH)));
    let completed = it.prepare_complete(NOW);
    it.complete(&completed);
    assert_eq!((it.producer_id, it.producer_epoch), (ProducerId(9), Some(ProducerEpoch(0))));
    assert_eq!(it.previous_producer_id, Some(PRODUCER));
    assert_eq!(it.judge_end(request), DONE, "the answer was lost");
    assert!(it.is_valid_producer((PRODUCER, exhausted)));
    assert!(!it.is_valid_producer((PRODUCER, ProducerEpoch(5))));
}

#[test]
fn a_producer_gets_the_next_epoch_or_the_same_again() {
    // Epoch 5, asked for with 4.
    let asked = |expected: Option<u16>| {
        let last_producer_epoch = Some(ProducerEpoch(4));
        let mut it = CoordinatedTransaction { last_producer_epoch, ..transaction(Empty) };
        let expected = expected.map(ProducerEpoch);
        let prepared = it.prepare_increment_epoch(MINUTE, expected, NOW);
        prepared.map(|it| (it.producer_epoch.0, it.last_producer_epoch.map(|epoch| epoch.0)))
    };
    assert_eq!(asked(None), Ok((6, None)));
    assert_eq!(asked(Some(5)), Ok((6, Some(5))));
    assert_eq!(asked(Some(4)), Ok((5, Some(4))));
    assert_eq!(asked(Some(3)), Err(ErrorCode::ProducerFenced));
    let mut new = CoordinatedTransaction::new(PRODUCER, MINUTE, NOW);
    let first = new.prepare_increment_epoch(MINUTE, None, NOW).map(|it| it.producer_epoch);
    assert_eq!(first, Ok(ProducerEpoch(0)));
}

#[test]
fn a_fence_raises_the_epoch_once_and_not_again_if_it_failed() {
    for version_2 in [false, true] {
        let mut it = transaction(Ongoing);
        let epoch = it.prepare_fence();
        assert_eq!((it.pending, epoch), (Some(PrepareEpochFence), ProducerEpoch(6)));
        let request = EndRequest { from_client: false, ..end(6, Abort, version_2) };
        assert_eq!(it.judge_end(request), ENDS);
        let prepared = it.prepare_end(request, false, None, NOW);
        assert_eq!((prepared.state, prepared.producer_epoch), (PrepareAbort, ProducerEpoch(6)));
        // The log did not take it.
        it.pending = None;
        it.has_failed_epoch_fence = true;
        let epoch = it.prepare_fence();
        let request = EndRequest { producer_epoch: epoch, ..request };
        assert_eq!(it.judge_end(request), ENDS);
        let prepared = it.prepare_end(request, false, None, NOW);
        assert_eq!(prepared.producer_epoch, ProducerEpoch(6));
        // The producer that was fenced: with version 2 the state tells it off, by its old epoch.
        it.complete(&prepared);
        let told = if version_2 { INVALID } else { FENCED };
        assert_eq!(it.judge_end(end(5, Commit, version_2)), told);
    }
}

#[test]
fn a_transaction_grows_and_keeps_its_beginning() {
    let later = SimTime::from_millis(5);
    let mut it = transaction(Ongoing);
    let added = it.prepare_add_partitions(&[TopicPartition::new(1, 3)], later);
    assert_eq!(added.partitions, [TopicPartition::new(0, 0), TopicPartition::new(1, 3)]);
    assert_eq!((added.started_at, added.updated_at), (Some(NOW), later));
    let mut it = CoordinatedTransaction { partitions: Vec::new(), ..transaction(CompleteAbort) };
    let begun = it.prepare_add_partitions(&[TopicPartition::new(1, 3)], later);
    assert_eq!((begun.state, begun.started_at), (Ongoing, Some(later)));
}

#[test]
fn time_ends_transactions_and_then_ids() {
    let at = SimTime::from_millis;
    let it = transaction(Ongoing);
    assert!(!it.is_timed_out(at(60_000)));
    assert!(it.is_timed_out(at(60_001)));
    assert!(!it.is_expired(at(60_001), MINUTE));
    let mut done = transaction(CompleteAbort);
    assert!(!done.is_timed_out(at(60_001)));
    assert!(!done.is_expired(at(59_999), MINUTE));
    assert!(done.is_expired(at(60_000), MINUTE));
    done.pending = Some(Ongoing);
    assert!(!done.is_expired(at(60_000), MINUTE));
}
