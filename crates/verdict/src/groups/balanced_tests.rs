//! Each fate and cause of consumers that share partitions out by ZooKeeper, on a trace made by hand.

use acklab_vocab::api::Acks;
use acklab_vocab::config::BalancedLibrary;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::Incarnation;
use acklab_vocab::time::SimDuration;
use acklab_vocab::trace::{
    BalanceOutcome, ClientException, CommitFailure, CommitStyle, PartitionChangeReason, TraceEvent,
};

use crate::cause::{AnomalyKind, Cause, Promise};
use crate::testing::{PARTITION, PRODUCER, Trace, member, trace};
use crate::{Raised, RunFacts, Verdict, to_json};

const OWNED: BalanceOutcome = BalanceOutcome::Owned(PARTITION);

/// Ten committed records; consumer 0 has claimed the partition and reads it from 0 on.
fn owned(library: BalancedLibrary) -> Trace {
    let mut trace = trace("0.8.2", Acks::All).balanced(library, CommitStyle::Auto);
    trace.create(10).send(1, 0..10).append(1, 0..5).append(1, 5..10);
    trace.replicate(1, 2).replicate(1, 3).high_watermark(1, 10);
    trace.answer(1, 0, 0..5).answer(1, 5, 5..10).ack(0..10);
    for of in 0..2 {
        let incarnation = Incarnation(0);
        trace.fact(member(of), TraceEvent::ProcessStarted { incarnation });
        trace.session(member(of), 0xa + u64::from(of));
    }
    trace.attempt(0, 0, BalanceOutcome::Done).claim(0).read_on(0, 0);
    trace
}

fn pykafka() -> Trace {
    owned(BalancedLibrary::Pykafka)
}

impl Trace {
    /// Consumer 1 claims the partition and reads it from `at` on.
    fn taken_by_other(&mut self, at: u64) -> &mut Self {
        self.attempt(1, 0, BalanceOutcome::Done).claim(1).read_on(1, at)
    }

    fn pause(&mut self, of: u16) -> &mut Self {
        self.fact(member(of), TraceEvent::ProcessPaused)
    }

    fn resume(&mut self, of: u16) -> &mut Self {
        let paused_for = SimDuration::from_secs(8);
        self.fact(member(of), TraceEvent::ProcessResumed { paused_for })
    }
}

fn causes(verdict: &Verdict, kind: AnomalyKind) -> Vec<(Cause, Promise, u64)> {
    let of_kind = verdict.causes.iter().filter(|of| of.kind == kind);
    of_kind.map(|of| (of.cause, of.promise, of.count)).collect()
}

#[track_caller]
fn assert_reprocessed(trace: &Trace, expected: &[(Cause, u64)]) {
    let verdict = trace.judge();
    let found = causes(&verdict, AnomalyKind::Reprocessed);
    let expected: Vec<_> =
        expected.iter().map(|&(cause, count)| (cause, Promise::Kept, count)).collect();
    assert_eq!(found, expected);
    let stated: Vec<_> = verdict.violations.iter().map(|of| (of.invariant, &of.text)).collect();
    assert_eq!(stated, []);
}

#[test]
fn a_session_that_expires_in_a_pause_leaves_two_owners() {
    let mut trace = pykafka();
    trace.process(0, 0..3).pause(0).session_expires(0, 0xa).taken_by_other(0).process(1, 0..6);
    trace.resume(0).process(0, 3..6).give_up(0, false);
    trace.process(1, 6..10).store_offset(1, 10);
    assert_reprocessed(
        &trace,
        &[(Cause::TwoOwnersAfterExpiry, 3), (Cause::ZooKeeperSessionExpired, 3)],
    );
}

#[test]
fn a_consumer_that_gives_up_a_rebalance_reads_on() {
    let failed = |after: &dyn Fn(&mut Trace)| {
        let mut trace = pykafka();
        trace.process(0, 0..2).store_offset(0, 2).release(0, false);
        trace.attempt(0, 3, OWNED).attempt(0, 4, OWNED).taken_by_other(2).process(1, 2..4);
        trace.process(0, 2..4);
        after(&mut trace);
        trace.process(1, 4..10).store_offset(1, 10);
        trace
    };
    let gave_up = failed(&|_| ());
    assert_reprocessed(&gave_up, &[(Cause::TwoOwnersAfterFailedRebalance, 2)]);
    let tries_again = failed(&|trace| {
        trace.attempt(0, 5, BalanceOutcome::Done);
    });
    assert_reprocessed(&tries_again, &[(Cause::TwoOwnersInRebalance, 2)]);
    let another = failed(&|trace| {
        trace.attempt(0, 0, BalanceOutcome::Done);
    });
    assert_reprocessed(&another, &[(Cause::TwoOwnersAfterFailedRebalance, 2)]);
}

#[test]
fn what_is_in_hand_goes_on_after_the_release() {
    let mut trace = owned(BalancedLibrary::HighLevel);
    trace.process(0, 0..2).store_offset(0, 2).give_up(0, false).release(0, false);
    trace.taken_by_other(2).process(0, 2..3).process(1, 2..10).store_offset(1, 10);
    assert_reprocessed(&trace, &[(Cause::TwoOwnersInRebalance, 1)]);
}

#[test]
fn a_release_without_a_commit_hands_over_what_was_done() {
    let mut trace = owned(BalancedLibrary::HighLevel);
    trace.process(0, 0..4).give_up(0, false).release(0, false).taken_by_other(0);
    trace.process(1, 0..10).store_offset(1, 10);
    assert_reprocessed(&trace, &[(Cause::RebalancedBeforeCommit, 4)]);

    let mut refused = owned(BalancedLibrary::HighLevel);
    refused.process(0, 0..4).commit_fails(0, 4, CommitFailure::Timeout).give_up(0, false);
    refused.release(0, false).taken_by_other(0).process(1, 0..10).store_offset(1, 10);
    assert_reprocessed(&refused, &[(Cause::CommitFailedThenRebalanced, 4)]);

    let mut by_itself = owned(BalancedLibrary::HighLevel);
    by_itself.process(0, 0..4).give_up(0, false).release(0, false).claim(0).read_on(0, 0);
    by_itself.process(0, 0..10).store_offset(0, 10);
    assert_reprocessed(&by_itself, &[(Cause::RebalancedBeforeCommit, 4)]);
}

#[test]
fn a_group_with_members_refuses_the_commits_of_others() {
    let unknown = CommitFailure::Other(ErrorCode::UnknownMemberId);
    let mut trace = pykafka();
    trace.process(0, 0..4).commit_fails(0, 4, unknown).give_up(0, false).release(0, false);
    trace.taken_by_other(0).process(1, 0..10).store_offset(1, 10);
    assert_reprocessed(&trace, &[(Cause::RefusedForSharedGroup, 4)]);
}

#[test]
fn the_committed_offset_may_be_read_too_early() {
    let mut trace = owned(BalancedLibrary::HighLevel);
    trace.read_on(1, 0).process(0, 0..4).store_offset(0, 4).give_up(0, false).release(0, false);
    trace.claim(1).process(1, 0..10).store_offset(1, 10);
    assert_reprocessed(&trace, &[(Cause::OffsetReadBeforeRelease, 4)]);
}

#[test]
fn owners_named_by_leader_may_be_two() {
    let mut trace = pykafka();
    trace.process(0, 0..2).store_offset(0, 2);
    trace.kill(1).elect(2, &[2, 3], PartitionChangeReason::BrokerFenced).lead(2);
    trace.taken_by_other(2).process(1, 2..10).process(0, 2..10).store_offset(1, 10);
    assert_reprocessed(&trace, &[(Cause::TwoOwnersByLeaderName, 8)]);
}

#[test]
fn a_former_owner_rewinds_the_committed_offset() {
    let mut trace = pykafka();
    trace.process(0, 0..2).store_offset(0, 2).pause(0).session_expires(0, 0xa);
    trace.taken_by_other(2).process(1, 2..8).store_offset(1, 8);
    trace.resume(0).store_offset(0, 2).give_up(0, false);
    trace.session(member(0), 0xc).release(1, false).give_up(1, false).claim(0).read_on(0, 2);
    trace.process(0, 2..10).store_offset(0, 10);
    let verdict = trace.judge();
    let expected = [(Cause::RewoundByUnfencedCommit, Promise::Kept, 6)];
    assert_eq!(causes(&verdict, AnomalyKind::Reprocessed), expected);
}

#[test]
fn a_crash_is_a_crash() {
    let mut trace = pykafka();
    trace.process(0, 0..4).fact(member(0), TraceEvent::ProcessKilled).session_expires(0, 0xa);
    trace.taken_by_other(0).process(1, 0..10).store_offset(1, 10);
    assert_reprocessed(&trace, &[(Cause::CrashBeforeCommit, 4)]);
}

#[test]
fn what_was_handed_out_is_committed_unprocessed() {
    let mut trace = pykafka();
    trace.process(0, 0..4).store_offset(0, 5).fact(member(0), TraceEvent::ProcessKilled);
    trace.session_expires(0, 0xa).taken_by_other(5).process(1, 5..10).store_offset(1, 10);
    let verdict = trace.judge();
    let expected = [(Cause::CommittedInHand, Promise::Kept, 1)];
    assert_eq!(causes(&verdict, AnomalyKind::Skipped), expected);
    assert_eq!(causes(&verdict, AnomalyKind::Reprocessed), []);
}

#[test]
fn times_without_an_owner_and_with_two_are_counted() {
    let mut trace = pykafka();
    trace.at(1_000).pause(0).at(7_000).session_expires(0, 0xa);
    trace.at(9_000).attempt(1, 0, OWNED).attempt(1, 1, BalanceOutcome::Done).claim(1);
    trace.read_on(1, 0).at(11_999).resume(0).at(13_499).give_up(0, false);
    trace.process(1, 0..10).store_offset(1, 10);
    let verdict = trace.judge();
    let group = &verdict.groups["billing"];
    let sharing = group.sharing.as_ref().expect("ZooKeeper balances it");
    // From its expiry at 7.001 s to the claim at 9.003 s; before that, until the first claim.
    assert_eq!(sharing.no_owner_longest(), SimDuration::from_millis(2_002));
    assert_eq!(sharing.two_owners_longest(), SimDuration::from_millis(1_500));
    assert_eq!(sharing.two_owners_total(), SimDuration::from_millis(1_500));
    assert_eq!(sharing.no_owner[0].standstill.spells, 2);
    assert_eq!(sharing.sessions_expired, 1);
    assert_eq!((group.counts.evictions, group.counts.rebalances), (1, 2));
    let attempts: Vec<_> = sharing.attempts.iter().map(|(name, count)| (*name, *count)).collect();
    assert_eq!(attempts, [("done", 2), ("owned_by_another", 1)]);
    let lines: Vec<&str> = verdict.timeline.iter().map(|of| of.text.as_str()).collect();
    assert!(lines.contains(&"orders-0 has two owners: billing-0 and billing-1"), "{lines:#?}");
    let expired = verdict.timeline.iter().find(|of| of.text.contains("expired"));
    let expired = expired.expect("it is told");
    assert_eq!(expired.text, "the ZooKeeper session of billing-0 expired (6 s)");
    assert_eq!(expired.aside.as_deref(), Some("it owned orders-0"));
}

#[test]
fn exceptions_are_counted_by_name() {
    let mut trace = pykafka();
    trace.raise(member(1), ClientException::PartitionOwnedError, false);
    trace.raise(member(1), ClientException::PartitionOwnedError, false);
    trace.raise(member(1), ClientException::PartitionOwnedError, true);
    trace.raise(member(0), ClientException::ConsumerStoppedException, true);
    trace.raise(PRODUCER, ClientException::QueueFullException, true);
    trace.at(-5).raise(member(0), ClientException::ConnectionLoss, true);
    let verdict = trace.judge();
    let exceptions = &verdict.groups["billing"].exceptions;
    let owned = Raised { application: 1, logged: 2 };
    assert_eq!(exceptions.named("PartitionOwnedError"), owned);
    assert_eq!(exceptions.named("ConsumerStoppedException").application, 1);
    assert_eq!(exceptions.named("ConnectionLoss"), Raised::default());
    let of_shop = verdict.producer_exceptions["shop"].named("QueueFullException");
    assert_eq!(of_shop, Raised { application: 1, logged: 0 });
    let json = to_json(&verdict, &RunFacts::default());
    let raised = &json["groups"]["billing"]["exceptions"]["PartitionOwnedError"];
    assert_eq!(*raised, serde_json::json!({"application": 1, "logged": 2}));
    assert_eq!(json["groups"]["billing"]["sharing"]["attempts"]["done"], 1);
    assert_eq!(json["producer_exceptions"]["shop"]["QueueFullException"]["application"], 1);
}
