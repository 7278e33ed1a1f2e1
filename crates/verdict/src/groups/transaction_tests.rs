//! Records of transactions, on traces made by hand: what their producer was told, against what the
//! log says.

use acklab_vocab::api::Acks;
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::trace::PartitionChangeReason;
use acklab_vocab::transaction::TransactionResult::{Abort, Commit};

use crate::cause::{AnomalyKind, Cause, Promise};
use crate::testing::{PRODUCER, Trace, trace};
use crate::{RecordCounts, Verdict};

/// A transactional producer that has sent three records in a transaction, all appended.
fn sent(kafka: &str) -> Trace {
    let mut trace = trace(kafka, Acks::All).idempotent();
    trace.header.producers[0].transactional = true;
    trace.header.transactional_ids = vec!["shop".to_owned()];
    trace.create(3).begin(PRODUCER).send(1, 0..3).append_transactional(1, 0..3).ack(0..3);
    trace
}

fn causes(verdict: &Verdict) -> Vec<(AnomalyKind, Cause, Promise, u64)> {
    verdict.causes.iter().map(|of| (of.kind, of.cause, of.promise, of.count)).collect()
}

const THREE: RecordCounts = RecordCounts {
    sent: 3,
    acked: 0,
    failed: 0,
    unknown: 0,
    aborted: 0,
    stored: 0,
    lost: 0,
    phantom: 0,
    duplicated: 0,
    extra_copies: 0,
    reordered: 0,
    expired: 0,
    undecided: 0,
};

#[test]
fn a_send_that_succeeded_says_nothing_before_the_commit() {
    let verdict = sent("4.1").judge();
    assert_eq!(verdict.records, RecordCounts { unknown: 3, ..THREE });
    let hanging: Vec<_> = verdict.violations.iter().map(|of| of.invariant).collect();
    assert_eq!(hanging, ["hanging_transaction"]);
}

#[test]
fn committed_records_are_acked_and_aborted_ones_are_not_stored() {
    let mut committed = sent("4.1");
    committed.decide(Commit).marker(1, Commit).told(PRODUCER, Commit);
    let verdict = committed.judge();
    assert_eq!(verdict.records, RecordCounts { acked: 3, stored: 3, ..THREE });
    assert_eq!((verdict.causes, verdict.violations), (Vec::new(), Vec::new()));
    let mut aborted = sent("4.1");
    aborted.decide(Abort).marker(1, Abort).told(PRODUCER, Abort);
    let verdict = aborted.judge();
    assert_eq!(verdict.records, RecordCounts { aborted: 3, ..THREE });
    assert_eq!((verdict.causes, verdict.violations), (Vec::new(), Vec::new()));
}

#[test]
fn a_late_end_of_another_transaction_tears_this_one() {
    for (kafka, promise) in [("3.9", Promise::KnownViolation("KIP-890")), ("4.1", Promise::Broken)]
    {
        let mut lost = sent(kafka);
        lost.marker(1, Abort).told(PRODUCER, Commit);
        let verdict = lost.judge();
        assert_eq!(verdict.records, RecordCounts { acked: 3, lost: 3, ..THREE });
        let cause = (AnomalyKind::Lost, Cause::AbortedInLog, promise, 3);
        assert_eq!(causes(&verdict), [cause]);
        let mut visible = sent(kafka);
        visible.marker(1, Commit).told(PRODUCER, Abort);
        let verdict = visible.judge();
        assert_eq!(verdict.records, RecordCounts { aborted: 3, stored: 3, phantom: 3, ..THREE });
        let cause = (AnomalyKind::Phantom, Cause::CommittedInLog, promise, 3);
        assert_eq!(causes(&verdict), [cause]);
    }
}

/// Under `transaction.version` 2 each transaction has its epoch, and its marker the next one: which
/// is that of the transaction after it.
#[test]
fn a_late_marker_of_the_transaction_before_tears_this_one() {
    let known = Promise::KnownViolation("KIP-1228");
    for (kafka, promise) in [("4.1", known), ("4.2", Promise::Broken)] {
        let mut lost = sent(kafka);
        lost.late_marker(1, Abort).told(PRODUCER, Commit);
        let verdict = lost.judge();
        assert_eq!(verdict.records, RecordCounts { acked: 3, lost: 3, ..THREE });
        let cause = (AnomalyKind::Lost, Cause::EndedByLateMarker, promise, 3);
        assert_eq!(causes(&verdict), [cause]);
        let mut visible = sent(kafka);
        visible.late_marker(1, Commit).told(PRODUCER, Abort);
        let verdict = visible.judge();
        assert_eq!(verdict.records, RecordCounts { aborted: 3, stored: 3, phantom: 3, ..THREE });
        let cause = (AnomalyKind::Phantom, Cause::EndedByLateMarker, promise, 3);
        assert_eq!(causes(&verdict), [cause]);
    }
}

#[test]
fn a_write_that_comes_late_joins_the_next_transaction() {
    // Verified (3.6), it may still come while the next transaction is open.
    for kafka in ["3.5", "3.9", "4.1"] {
        joins_the_next_transaction(kafka);
    }
}

fn joins_the_next_transaction(kafka: &str) {
    let mut trace = trace(kafka, Acks::All).idempotent();
    trace.header.producers[0].transactional = true;
    trace.header.transactional_ids = vec!["shop".to_owned()];
    trace.create(3).begin(PRODUCER).send(1, 0..3);
    trace.fail(0..3, acklab_vocab::error::ErrorCode::Timeout).end(PRODUCER, Abort);
    trace.append_transactional(1, 0..3).marker(1, Commit);
    let verdict = trace.judge();
    assert_eq!(verdict.records, RecordCounts { aborted: 3, stored: 3, phantom: 3, ..THREE });
    let promise = match kafka {
        "4.1" => Promise::Broken,
        _ => Promise::KnownViolation("KIP-890"),
    };
    let cause = (AnomalyKind::Phantom, Cause::JoinedNextTransaction, promise, 3);
    assert_eq!(causes(&verdict), [cause]);
}

#[test]
fn a_transaction_that_nothing_ends_is_known_before_kip_890() {
    let hanging = |trace: Trace| {
        let verdict = trace.judge();
        let known = verdict.known_violations.iter().map(|of| (of.invariant, of.known));
        (known.collect::<Vec<_>>(), verdict.violations.len())
    };
    let old = sent("3.9").without(ProtocolRule::VerifyTransactionalWrites);
    assert_eq!(hanging(old), (vec![("hanging_transaction", Some("KIP-890"))], 0));
    assert_eq!(hanging(sent("3.9")), (Vec::new(), 1));
}

#[test]
fn a_transaction_that_its_coordinator_has_yet_to_end_is_not_hanging() {
    let mut under_way = sent("4.1");
    under_way.decide(Commit);
    assert_eq!(under_way.judge().violations, Vec::new());
}

#[test]
fn an_unclean_election_drops_a_marker() {
    let mut trace = sent("4.1");
    trace.replicate(1, 2).decide(Commit).marker(1, Commit).told(PRODUCER, Commit);
    trace.kill(1).elect(2, &[2], PartitionChangeReason::UncleanElection).lead(2);
    let verdict = trace.judge();
    let lost = (AnomalyKind::Lost, Cause::MarkerLost, Promise::Kept, 3);
    assert_eq!(causes(&verdict), [lost]);
}
