//! Each fate and each cause, from a hand-made trace that has it.

use acklab_vocab::api::Acks;
use acklab_vocab::config::SequenceRepair;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::trace::{PartitionChangeReason, RetryReason, TruncationReason};

use crate::testing::{Trace, trace};
use crate::{AnomalyKind, Cause, Counter, Promise, Verdict};

const FENCED: PartitionChangeReason = PartitionChangeReason::BrokerFenced;
const BY_EPOCH: TruncationReason = TruncationReason::LeaderEpoch;

/// What is wrong, why, whether it was promised otherwise, and how many.
fn causes(verdict: &Verdict) -> Vec<(AnomalyKind, Cause, Promise, u64)> {
    assert_eq!(
        verdict.violations.iter().filter(|of| of.node.is_some()).count(),
        0,
        "{:?}",
        verdict.violations
    );
    verdict.causes.iter().map(|of| (of.kind, of.cause, of.promise, of.count)).collect()
}

fn lost(cause: Cause, promise: Promise, count: u64) -> Vec<(AnomalyKind, Cause, Promise, u64)> {
    vec![(AnomalyKind::Lost, cause, promise, count)]
}

fn duplicated(cause: Cause, count: u64) -> Vec<(AnomalyKind, Cause, Promise, u64)> {
    vec![(AnomalyKind::Duplicated, cause, Promise::Kept, count)]
}

/// Two batches, of which the followers fetch the first.
fn half_replicated(acks: Acks) -> Trace {
    let mut trace = trace("3.9", acks);
    trace.create(6).send(1, 0..4).append(1, 0..4).replicate(1, 2).replicate(1, 3);
    trace.high_watermark(1, 4).answer(1, 0, 0..4).ack(0..4);
    trace
}

#[test]
fn a_record_that_is_stored_once_is_no_anomaly() {
    let mut trace = half_replicated(Acks::All);
    let verdict = trace.read(1).judge();
    assert_eq!(causes(&verdict), []);
    let counts = verdict.records;
    assert_eq!((counts.sent, counts.acked, counts.unknown, counts.stored), (6, 4, 2, 4));
    assert_eq!(verdict.count(Counter::Read), 4);
    assert_eq!(verdict.end_to_end_latency.histogram.len(), 4);
    assert_eq!(verdict.produce_latency.histogram.len(), 4);
}

#[test]
fn acked_before_replication() {
    let mut trace = half_replicated(Acks::Leader);
    trace.send(1, 4..6).append(1, 4..6).answer(1, 4, 4..6).ack(4..6).kill(1);
    trace.elect(2, &[2, 3], FENCED).lead(2).follow(3);
    trace.start(1).follow(1).truncate(1, 4, BY_EPOCH);
    let verdict = trace.judge();
    assert_eq!(causes(&verdict), lost(Cause::AckedBeforeReplication, Promise::Kept, 2));
    assert_eq!(verdict.causes[0].why_kept, "acks=1 promises the leader's copy only");
    assert_eq!(verdict.count(Counter::Elections), 1);
    assert_eq!(verdict.count(Counter::Truncations), 1);
}

#[test]
fn acked_by_a_zombie_leader() {
    let mut trace = half_replicated(Acks::Leader);
    trace.elect(2, &[2, 3], FENCED).lead(2).follow(3);
    trace.send(1, 4..6).append_in(0, 1, 4..6).answer(1, 4, 4..6).ack(4..6);
    trace.follow(1).truncate(1, 4, BY_EPOCH);
    let verdict = trace.judge();
    assert_eq!(causes(&verdict), lost(Cause::AckedByZombieLeader, Promise::Kept, 2));
}

#[test]
fn moved_by_plan() {
    let mut trace = half_replicated(Acks::Leader);
    trace.send(1, 4..6).append(1, 4..6).answer(1, 4, 4..6).ack(4..6);
    trace.elect(2, &[1, 2, 3], PartitionChangeReason::PreferredElection).lead(2).follow(3);
    trace.follow(1).truncate(1, 4, BY_EPOCH);
    assert_eq!(causes(&trace.judge()), lost(Cause::PlannedElection, Promise::Kept, 2));
}

#[test]
fn given_up_by_an_unclean_election() {
    let mut trace = trace("3.9", Acks::All);
    trace.create(6).propose_isr(1, &[1]).commit_isr(1, &[1]).send(1, 0..6).append(1, 0..6);
    trace.high_watermark(1, 6).answer(1, 0, 0..6).ack(0..6).kill(1).offline(&[1]);
    trace.elect(3, &[3], PartitionChangeReason::UncleanElection).lead(3).follow(2);
    let verdict = trace.judge();
    assert_eq!(causes(&verdict), lost(Cause::UncleanElection, Promise::Kept, 6));
    assert_eq!(verdict.count(Counter::UncleanElections), 1);
}

#[test]
fn not_on_disk_when_the_power_went() {
    let mut trace = half_replicated(Acks::All);
    trace.lose_power(1, 0).lose_power(2, 0).lose_power(3, 0).offline(&[1, 2, 3]);
    trace.start(1).elect(1, &[1], PartitionChangeReason::BrokerUnfenced).lead(1);
    assert_eq!(causes(&trace.judge()), lost(Cause::UnflushedPowerLoss, Promise::Kept, 4));
}

#[test]
fn the_last_replica_standing_lost_its_tail() {
    let mut trace = half_replicated(Acks::All).min_isr(2);
    trace.propose_isr(1, &[1]).commit_isr(1, &[1]).lose_power(1, 0).offline(&[1]).start(1);
    trace.elect(1, &[1], PartitionChangeReason::BrokerUnfenced).lead(1).follow(2).follow(3);
    trace.truncate(2, 0, BY_EPOCH).truncate(3, 0, BY_EPOCH);
    let verdict = trace.judge();
    let known = Promise::KnownViolation("KIP-966");
    assert_eq!(causes(&verdict), lost(Cause::LastReplicaStanding, known, 4));
    assert_eq!(verdict.count(Counter::KnownViolations), 1);
    assert_eq!(verdict.count(Counter::Violations), 0);
}

/// One host kept more on disk than the other, but power had failed on both: no election could have
/// known.
#[test]
fn where_every_host_lost_power_the_luckier_one_is_no_witness() {
    let mut trace = half_replicated(Acks::All).min_isr(2);
    trace.lose_power(1, 0).lose_power(2, 4).lose_power(3, 0).offline(&[1]).start(1);
    trace.elect(1, &[1], PartitionChangeReason::BrokerUnfenced).lead(1).start(2).follow(2);
    trace.truncate(2, 0, BY_EPOCH);
    assert_eq!(causes(&trace.judge()), lost(Cause::UnflushedPowerLoss, Promise::Kept, 4));
}

#[test]
fn truncated_to_a_high_watermark() {
    // KIP-101, case 13
    let mut trace = trace("0.10.2", Acks::All);
    trace.create(2).send(1, 0..2).append(1, 0..2).replicate(1, 2).replicate(1, 3);
    trace.high_watermark(1, 2).answer(1, 0, 0..2).ack(0..2);
    trace.kill(2).start(2).follow(2).truncate(2, 0, TruncationReason::HighWatermark).kill(1);
    trace.elect(2, &[2, 3], FENCED).lead(2).follow(3).truncate(
        3,
        0,
        TruncationReason::HighWatermark,
    );
    let verdict = trace.judge();
    let known = Promise::KnownViolation("KIP-101");
    assert_eq!(causes(&verdict), lost(Cause::HighWatermarkTruncation, known, 2));
}

#[test]
fn acks_0_promises_nothing() {
    let mut never = trace("3.9", Acks::None);
    never.create(2).send(1, 0..2).ack(0..2);
    assert_eq!(causes(&never.judge()), lost(Cause::Acks0NeverArrived, Promise::Kept, 2));

    let mut refused = trace("3.9", Acks::None);
    refused.create(2).send(2, 0..2).ack(0..2).refuse(2, ErrorCode::NotLeaderOrFollower, 0..2);
    assert_eq!(causes(&refused.judge()), lost(Cause::Acks0Refused, Promise::Kept, 2));

    let mut alone = trace("3.9", Acks::None);
    alone.create(2).send(1, 0..2).ack(0..2).append(1, 0..2).kill(1);
    alone.elect(2, &[2, 3], FENCED).lead(2);
    assert_eq!(causes(&alone.judge()), lost(Cause::Acks0NotReplicated, Promise::Kept, 2));
}

#[test]
fn a_loss_under_acks_all_and_a_clean_election_is_a_violation() {
    let mut trace = trace("3.9", Acks::All);
    trace.create(2).send(1, 0..2).append(1, 0..2).ack(0..2).kill(1);
    trace.elect(2, &[2, 3], FENCED).lead(2);
    let verdict = trace.judge();
    assert_eq!(causes(&verdict), lost(Cause::AckedBeforeReplication, Promise::Broken, 2));
    assert_eq!(verdict.count(Counter::Violations), 1);
}

#[test]
fn without_a_leader_at_rest_nothing_is_decided() {
    let mut trace = half_replicated(Acks::All);
    trace.kill(1).offline(&[1]);
    let verdict = trace.judge();
    assert_eq!(causes(&verdict), []);
    assert_eq!((verdict.records.undecided, verdict.records.stored), (4, 0));
    assert_eq!(verdict.unavailability[0].leaderless_spells, 1);
}

#[test]
fn the_answer_was_lost() {
    let mut trace = trace("3.9", Acks::Leader);
    trace.create(2).send(1, 0..2).append(1, 0..2).answer(1, 0, 0..2);
    trace.retry(0..2, RetryReason::Disconnected).send(1, 0..2).append(1, 0..2).ack(0..2);
    let verdict = trace.judge();
    assert_eq!(causes(&verdict), duplicated(Cause::AckLostRetried, 2));
    assert_eq!(verdict.records.extra_copies, 2);
}

#[test]
fn a_slow_follower_made_the_producer_send_again() {
    for reason in [RetryReason::RequestTimeout, RetryReason::Error(ErrorCode::RequestTimedOut)] {
        let mut trace = trace("3.9", Acks::All);
        trace.create(2).send(1, 0..2).append(1, 0..2).retry(0..2, reason);
        trace.send(1, 0..2).append(1, 0..2);
        assert_eq!(causes(&trace.judge()), duplicated(Cause::TimedOutAfterAppendRetried, 2));
    }
}

#[test]
fn the_leader_died_after_replication() {
    let mut trace = trace("3.9", Acks::All);
    trace.create(2).send(1, 0..2).append(1, 0..2).replicate(1, 2).kill(1);
    trace.retry(0..2, RetryReason::Disconnected).elect(2, &[2, 3], FENCED).lead(2);
    trace.send(2, 0..2).append(2, 0..2);
    let cause = Cause::LeaderMovedAfterReplicationRetried;
    assert_eq!(causes(&trace.judge()), duplicated(cause, 2));
}

#[test]
fn the_isr_shrank_after_the_append() {
    let error = RetryReason::Error(ErrorCode::NotEnoughReplicasAfterAppend);
    let mut trace = trace("3.6", Acks::All);
    trace.create(1).send(1, 0..1).append(1, 0..1).retry(0..1, error).send(1, 0..1).append(1, 0..1);
    let cause = Cause::NotEnoughReplicasAfterAppendRetried;
    assert_eq!(causes(&trace.judge()), duplicated(cause, 1));
}

#[test]
fn a_paused_broker_executed_an_old_request() {
    let mut trace = trace("3.9", Acks::Leader);
    trace.create(2).send(1, 0..2).retry(0..2, RetryReason::RequestTimeout).send(1, 0..2);
    trace.append(1, 0..2).append(1, 0..2).ack(0..2);
    assert_eq!(causes(&trace.judge()), duplicated(Cause::OldRequestExecuted, 2));
}

#[test]
fn the_application_sent_again() {
    let mut trace = trace("3.9", Acks::All).idempotent();
    trace.create(1).send(1, 0..1).append_stamped(1, 0..1, Some(0)).fail(0..1, ErrorCode::Timeout);
    trace.resend(0..1).send(1, 0..1).append_stamped(1, 0..1, Some(1)).ack(0..1);
    assert_eq!(causes(&trace.judge()), duplicated(Cause::ResentByApplication, 1));
}

#[test]
fn an_idempotent_producer_was_promised_no_duplicates() {
    let mut trace = trace("3.9", Acks::All).idempotent();
    trace.create(1).send(1, 0..1).append(1, 0..1).answer_with(
        1,
        ErrorCode::RequestTimedOut,
        None,
        0..1,
    );
    trace.retry(0..1, RetryReason::RequestTimeout).send(1, 0..1).append(1, 0..1);
    let broken = (AnomalyKind::Duplicated, Cause::TimedOutAfterAppendRetried, Promise::Broken, 1);
    assert_eq!(causes(&trace.judge()), [broken]);
}

#[test]
fn stored_in_spite_of_an_error() {
    let mut trace = trace("3.9", Acks::All);
    trace.create(1).send(1, 0..1).append(1, 0..1).fail(0..1, ErrorCode::Timeout);
    let timed_out = (AnomalyKind::Phantom, Cause::TimedOutButStored, Promise::Kept, 1);
    assert_eq!(causes(&trace.judge()), [timed_out]);

    let mut late = crate::testing::trace("3.9", Acks::All);
    late.create(1).send(1, 0..1).fail(0..1, ErrorCode::Timeout).append(1, 0..1);
    let executed = (AnomalyKind::Phantom, Cause::ExecutedAfterFailure, Promise::Kept, 1);
    assert_eq!(causes(&late.judge()), [executed]);

    // Drained, then out of time, and sent all the same.
    let mut drained = crate::testing::trace("3.9", Acks::All);
    drained.create(1).at(100).fail(0..1, ErrorCode::Timeout).at(100).send(1, 0..1).append(1, 0..1);
    assert_eq!(causes(&drained.judge()), [executed]);

    // The first request overtakes the answer to the second, which was refused.
    let refused = ErrorCode::OutOfOrderSequenceNumber;
    let mut overtaking = crate::testing::trace("3.9", Acks::All);
    overtaking.create(1).send(1, 0..1).retry(0..1, RetryReason::RequestTimeout).send(1, 0..1);
    overtaking.refuse(1, refused, 0..1).append(1, 0..1).retry(0..1, RetryReason::Error(refused));
    assert_eq!(causes(&overtaking.fail(0..1, ErrorCode::Timeout).judge()), [executed]);

    // Java before 2.5: its connection was lost, and its producer id was given up meanwhile.
    let mut dropped = crate::testing::trace("3.9", Acks::All);
    dropped.create(1).send(1, 0..1).append(1, 0..1).fail(0..1, ErrorCode::OutOfOrderSequenceNumber);
    let unheard = (AnomalyKind::Phantom, Cause::AckLostButStored, Promise::Kept, 1);
    assert_eq!(causes(&dropped.judge()), [unheard]);
}

#[test]
fn a_producer_that_has_lost_track_of_its_sequences_stores_twice() {
    let renumbered = |failed: bool| {
        let mut trace = trace("3.9", Acks::All).idempotent();
        trace.create(2).send(1, 0..1).append_stamped(1, 0..1, Some(0));
        if failed {
            trace.fail(1..2, ErrorCode::Timeout);
        }
        trace.retry(0..1, RetryReason::Disconnected).send(1, 0..1);
        trace.append_renumbered(1, 0..1, 1, 0).ack(0..1);
        causes(&trace.judge())
    };
    let known = Promise::KnownViolation("KAFKA-14034");
    let cause = Cause::RenumberedAndRetried;
    assert_eq!(renumbered(true), [(AnomalyKind::Duplicated, cause, known, 1)]);
    // Without any reason to number anew, it is a defect.
    assert_eq!(renumbered(false), [(AnomalyKind::Duplicated, cause, Promise::Broken, 1)]);
}

#[test]
fn a_success_that_was_concluded_from_that_of_a_later_batch() {
    let concluded = |first_sequence: u32| {
        let librdkafka = SequenceRepair::RenumberAll;
        let mut trace = trace("3.9", Acks::All).idempotent().repairing(librdkafka);
        let refused = ErrorCode::NotEnoughReplicas;
        trace.create(2).send(1, 0..1).send(1, 1..2).refuse(1, refused, 0..1);
        trace.append_stamped(1, 1..2, Some(first_sequence)).ack(0..1).ack(1..2);
        causes(&trace.judge())
    };
    let known = Promise::KnownViolation("KAFKA-15591");
    assert_eq!(concluded(1), lost(Cause::TakenForStored, known, 1));
    assert_eq!(concluded(0), lost(Cause::TakenForStored, Promise::Broken, 1));
}

#[test]
fn overtaken_by_a_later_record_on_a_new_connection() {
    let mut trace = trace("3.9", Acks::None);
    trace.create(2).send(1, 0..1).ack(0..1).send(1, 1..2).ack(1..2);
    trace.append(1, 1..2).append(1, 0..1);
    let overtaken = (AnomalyKind::Reordered, Cause::OvertakenOnItsWay, Promise::Kept, 1);
    assert_eq!(causes(&trace.judge()), [overtaken]);
}

#[test]
fn an_old_client_may_give_a_sequence_to_two_batches() {
    let taken = |repair: SequenceRepair| {
        let mut trace = trace("3.9", Acks::All).idempotent().repairing(repair);
        trace
            .create(2)
            .send(1, 0..1)
            .append_stamped(1, 0..1, Some(0))
            .fail(0..1, ErrorCode::Timeout);
        trace.send(1, 1..2).deduplicate(1, 0, 1..2).ack(1..2).judge()
    };
    let old = taken(SequenceRepair::CloseGap);
    assert_eq!((old.violations.len(), old.known_violations[0].known), (0, Some("KIP-360")));
    assert_eq!(old.count_cause(AnomalyKind::Lost, Cause::TakenForDuplicate), 1);
    let new = taken(SequenceRepair::RenumberPartition);
    assert_eq!(new.violations[0].invariant, "idempotence");
}

#[test]
fn retried_behind_a_later_batch() {
    let reason = RetryReason::Error(ErrorCode::NotEnoughReplicas);
    let mut trace = trace("3.9", Acks::All);
    trace.create(2).send(1, 0..1).refuse(1, ErrorCode::NotEnoughReplicas, 0..1).send(1, 1..2);
    trace.append(1, 1..2).retry(0..1, reason).send(1, 0..1).append(1, 0..1);
    let expected = (AnomalyKind::Reordered, Cause::RetriedBehindLaterBatch, Promise::Kept, 1);
    assert_eq!(causes(&trace.judge()), [expected]);
}

#[test]
fn the_fates_have_a_digest_of_their_own() {
    let quick = half_replicated(Acks::All);
    let mut slow = half_replicated(Acks::All);
    let (quick, slow) = (quick.judge(), slow.at(500).read(1).judge());
    assert_eq!(quick.digest.verdict, slow.digest.verdict);
    assert_ne!(quick.digest.trajectory, slow.digest.trajectory);
}

#[test]
fn rules_that_are_off_excuse_what_releases_without_them_do() {
    let mut trace = trace("3.9", Acks::All).without(ProtocolRule::TruncateByLeaderEpoch);
    trace.create(2).append(1, 0..2).replicate(1, 2).replicate(1, 3).high_watermark(1, 2);
    trace.truncate(2, 0, TruncationReason::HighWatermark);
    let verdict = trace.judge();
    assert_eq!(verdict.count(Counter::Violations), 0);
    assert_eq!(verdict.known_violations[0].known, Some("KIP-101"));
}

#[test]
fn the_verdict_as_json() {
    let mut trace = half_replicated(Acks::Leader);
    trace.send(1, 4..6).append(1, 4..6).answer(1, 4, 4..6).ack(4..6).at(2_000).kill(1);
    trace.at(9_000).elect(2, &[2, 3], FENCED).lead(2).follow(3);
    let run = crate::RunFacts {
        events: 42,
        stuck: None,
        expectations: vec![("duplicated = 0".to_owned(), true)],
    };
    let json = serde_json::to_string_pretty(&crate::to_json(&trace.judge(), &run)).unwrap();
    expect_test::expect_file!["json.golden"].assert_eq(&json);
}

#[test]
fn the_timeline_tells_what_happened() {
    let mut trace = half_replicated(Acks::Leader);
    trace.at(2_000).kill(1).at(9_412).elect(2, &[2, 3], FENCED).lead(2).follow(3);
    trace.at(12_000).start(1).follow(1).controller_elected(100, 7);
    let lines = trace.judge().timeline;
    let lines: Vec<String> = lines
        .iter()
        .map(|line| format!("{} {} | {}", line.at, line.text, line.aside.as_deref().unwrap_or("")))
        .collect();
    expect_test::expect![[r#"
        0.000 s broker 1 leads orders-0 (epoch 0) | 
        2.001 s broker 1 killed while leading orders-0 (epoch 0, ISR 1 2 3) | 
        9.413 s broker 2 leads orders-0 (epoch 1) | elected after 7.4 s
        12.001 s broker 1 back | 
        12.003 s controller 100 elected (epoch 7) | "#]]
    .assert_eq(&lines.join("\n"));
}

#[test]
fn a_leader_that_is_down_decides_nothing() {
    let mut trace = half_replicated(Acks::All);
    assert_eq!(trace.kill(1).judge().records.undecided, 4);
    assert_eq!(trace.start(1).lead(1).judge().records.stored, 4);
}

#[test]
fn retried_in_reverse_on_a_new_connection() {
    let mut trace = trace("3.9", Acks::Leader);
    trace.create(2).send(1, 0..1).send(1, 1..2);
    trace.retry(0..1, RetryReason::Disconnected);
    let lost_at = trace.facts.last().unwrap().at;
    trace.retry(1..2, RetryReason::Disconnected);
    trace.facts.last_mut().unwrap().at = lost_at;
    trace.send(1, 1..2).append(1, 1..2).send(1, 0..1).append(1, 0..1).ack(0..2);
    let expected = (AnomalyKind::Reordered, Cause::RetriedInReverse, Promise::Kept, 1);
    assert_eq!(causes(&trace.judge()), [expected]);
}

#[test]
fn the_copy_in_order_was_cut_away() {
    let reason = RetryReason::Error(ErrorCode::NotLeaderOrFollower);
    let mut trace = trace("3.9", Acks::All);
    trace.create(2).send(1, 0..1).append(1, 0..1).elect(2, &[2, 3], FENCED).lead(2).follow(3);
    trace.follow(1).truncate(1, 0, BY_EPOCH).send(2, 1..2).append(2, 1..2);
    trace.retry(0..1, reason).send(2, 0..1).append(2, 0..1).ack(0..2);
    let expected = (AnomalyKind::Reordered, Cause::FirstCopyTruncated, Promise::Kept, 1);
    assert_eq!(causes(&trace.judge()), [expected]);
}

#[test]
fn an_answer_that_was_on_its_way_when_the_successor_was_elected_is_no_zombies() {
    let mut trace = half_replicated(Acks::Leader);
    trace.send(1, 4..6).append(1, 4..6).answer(1, 4, 4..6).kill(1);
    trace.elect(2, &[2, 3], FENCED).ack(4..6).lead(2).follow(3);
    assert_eq!(causes(&trace.judge()), lost(Cause::AckedBeforeReplication, Promise::Kept, 2));
}

/// KAFKA-10751, failure case R5: log ends 10 (leader and only ISR), 5 and 2; an unclean election of
/// the shortest log.
#[test]
fn an_unclean_election_loses_what_the_winner_lacks() {
    let loss = |acks: Acks| {
        let mut trace = trace("3.9", acks);
        trace.create(10);
        for record in 0..10_u32 {
            trace.append(1, record..record + 1).answer(1, u64::from(record), record..record + 1);
            trace.ack(record..record + 1);
            if record < 5 {
                trace.replicate(1, 2);
            }
            if record < 2 {
                trace.replicate(1, 3).high_watermark(1, u64::from(record) + 1);
            }
        }
        trace.kill(1).offline(&[1]);
        trace.elect(3, &[3], PartitionChangeReason::UncleanElection).lead(3).follow(2);
        trace.truncate(2, 2, BY_EPOCH).start(1).follow(1).truncate(1, 2, BY_EPOCH);
        trace.judge()
    };
    let verdict = loss(Acks::Leader);
    assert_eq!(causes(&verdict), lost(Cause::UncleanElection, Promise::Kept, 8));
    assert_eq!(verdict.records.stored, 2);
}

#[test]
fn what_a_reader_reads_again_counts_once_for_the_latency() {
    let mut trace = half_replicated(Acks::All);
    let verdict = trace.read(1).read(1).judge();
    assert_eq!((verdict.count(Counter::Read), verdict.count(Counter::Reread)), (8, 4));
    assert_eq!(verdict.end_to_end_latency.histogram.len(), 4);
}
