//! Each invariant holds on a good trace and is caught on a bad one made by hand.

use acklab_vocab::api::Acks;
use acklab_vocab::ids::{BrokerEpoch, BrokerId, Incarnation, LeaderEpoch, NodeId, Offset};
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::trace::{PartitionChangeReason, RetryReason, TraceEvent, TruncationReason};
use std::sync::Arc;

use super::*;
use crate::testing::{PARTITION, Trace, trace};

const FENCED: PartitionChangeReason = PartitionChangeReason::BrokerFenced;
const BY_EPOCH: TruncationReason = TruncationReason::LeaderEpoch;

/// Names of the invariants that a trace breaks, each once, and whether as known of its version.
fn broken(trace: &Trace) -> Vec<(&'static str, Option<&'static str>)> {
    let verdict = trace.judge();
    let all = verdict.violations.iter().chain(&verdict.known_violations);
    let stated = all.filter(|of| of.node.is_some());
    let mut names: Vec<_> = stated.map(|of| (of.invariant, of.known)).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn cluster() -> Trace {
    trace("3.9", Acks::All)
}

/// Four records, on all replicas and committed.
fn committed() -> Trace {
    let mut trace = cluster();
    trace.create(9).send(1, 0..4).append(1, 0..4).replicate(1, 2).replicate(1, 3);
    trace.high_watermark(1, 4).answer(1, 0, 0..4).ack(0..4);
    trace.high_watermark(2, 4).high_watermark(3, 4);
    trace
}

#[test]
fn a_cluster_that_behaves_breaks_nothing() {
    let mut trace = committed();
    assert_eq!(broken(&trace), []);
    trace.append(1, 4..6).kill(1).elect(2, &[2, 3], FENCED).lead(2).follow(3);
    trace.append(2, 6..8).replicate(2, 3).high_watermark(2, 6).high_watermark(3, 6);
    trace.start(1).follow(1).truncate(1, 4, BY_EPOCH).replicate(2, 1);
    trace.propose_isr(2, &[1, 2, 3]).commit_isr(2, &[1, 2, 3]).high_watermark(1, 6);
    trace.append(2, 8..9).replicate(2, 1).replicate(2, 3).high_watermark(2, 7);
    assert_eq!(broken(&trace), []);
}

#[test]
fn a_success_for_acks_all_awaits_the_high_watermark() {
    let mut trace = cluster();
    trace.create(2).append(1, 0..2).answer(1, 0, 0..2);
    assert_eq!(broken(&trace), [("acks_all", None)]);
}

#[test]
fn a_clean_election_chooses_from_the_isr() {
    let mut trace = cluster();
    trace.propose_isr(1, &[1, 2]).commit_isr(1, &[1, 2]).elect(3, &[3], FENCED);
    assert_eq!(broken(&trace), [("clean_election", None)]);

    let mut eligible = cluster();
    eligible.propose_isr(1, &[1]).commit_isr(1, &[1]);
    eligible.state().eligible = crate::testing::brokers(&[3]);
    eligible.change(PartitionChangeReason::AlterPartition).elect(3, &[3], FENCED);
    assert_eq!(broken(&eligible), []);
}

#[test]
fn an_unclean_election_needs_the_topic_to_allow_it() {
    let mut trace = cluster();
    trace.propose_isr(1, &[1]).commit_isr(1, &[1]);
    trace.elect(3, &[3], PartitionChangeReason::UncleanElection);
    assert_eq!(broken(&trace), []);
    trace.header.topics[0].unclean_leader_election = false;
    assert_eq!(broken(&trace), [("clean_election", None)]);
}

/// A topic that allows no unclean election has no leader, nobody in sync and broker 3 eligible.
fn eligible_3() -> Trace {
    let mut trace = cluster();
    trace.header.topics[0].unclean_leader_election = false;
    trace.propose_isr(1, &[1]).commit_isr(1, &[1]);
    trace.state().eligible = crate::testing::brokers(&[3]);
    trace.change(PartitionChangeReason::AlterPartition).offline(&[]);
    trace
}

#[test]
fn the_last_known_leader_returns_when_nobody_else_may_lead() {
    const UNCLEAN: PartitionChangeReason = PartitionChangeReason::UncleanElection;
    let elect = |mut trace: Trace, leader: u16| {
        trace.state().eligible.clear();
        trace.elect(leader, &[leader], UNCLEAN);
        broken(&trace)
    };
    let nobody = || {
        let mut trace = eligible_3();
        trace.state().eligible.clear();
        trace.change(PartitionChangeReason::BrokerRegistered);
        trace
    };
    assert_eq!(elect(nobody(), 1), []);
    assert_eq!(elect(nobody(), 2), [("clean_election", None)], "it has not led last");

    // The registration of an unclean life of broker 3 takes it out of the ELR and elects at once.
    let ended = || {
        let mut trace = eligible_3();
        trace.kill(3).start(3);
        trace
    };
    assert_eq!(elect(ended(), 1), []);
    assert_eq!(elect(ended(), 2), [("clean_election", None)]);
    assert_eq!(elect(eligible_3(), 1), [("clean_election", None)], "broker 3 may return");
}

#[test]
fn an_epoch_of_the_quorum_has_one_controller() {
    let mut trace = cluster();
    trace.controller_elected(100, 5).controller_elected(101, 6);
    assert_eq!(broken(&trace), []);
    trace.controller_elected(102, 6);
    assert_eq!(broken(&trace), [("controller_epochs", None)]);
}

#[test]
fn epochs_only_rise() {
    let mut controller = cluster();
    controller.state().partition_epoch.0 = 0;
    controller.change(PartitionChangeReason::AlterPartition);
    assert_eq!(broken(&controller), [("epochs_monotonic", None)]);

    let mut broker = cluster();
    broker.elect(2, &[2, 3], FENCED).lead(2).follow(3);
    broker.state().leader_epoch = LeaderEpoch(0);
    assert_eq!(broken(broker.follow(3)), [("epochs_monotonic", None)]);
    assert_eq!(broken(cluster().follow(3).kill(3).start(3).follow(3)), []);
}

/// Broker 2 leads epoch 1; broker 3, which has not heard of it, goes on with its fetches.
fn stale_fetch(mut trace: Trace) -> Trace {
    trace.elect(2, &[2, 3], FENCED).lead(2).fetched(2, 3);
    trace
}

#[test]
fn a_fetch_of_an_older_epoch_does_not_count() {
    assert_eq!(broken(&stale_fetch(cluster())), [("fencing", None)]);
    let unfenced = cluster().without(ProtocolRule::FenceByLeaderEpoch);
    assert_eq!(broken(&stale_fetch(unfenced)), [("fencing", Some("KIP-320"))]);
    let mut zombie = cluster();
    zombie.elect(2, &[2, 3], FENCED).lead(2).follow(3);
    let (follower, log_end_offset) = (BrokerId(3), Offset(0));
    let (partition, leader_epoch) = (PARTITION, LeaderEpoch(0));
    let late = TraceEvent::FollowerFetched { partition, follower, leader_epoch, log_end_offset };
    assert_eq!(broken(zombie.fact(NodeId(0), late)), [], "the follower may have moved on");
}

#[test]
fn the_high_watermark_awaits_the_maximal_isr() {
    let mut behind = cluster();
    behind.append(1, 0..4).replicate(1, 2).high_watermark(1, 4);
    let expected = [("high_watermark_bounded", None), ("isr_holds_committed", None)];
    assert_eq!(broken(&behind), expected);

    let joining = |mut trace: Trace| {
        trace.propose_isr(1, &[1, 2]).commit_isr(1, &[1, 2]).replicate(1, 3);
        trace.propose_isr(1, &[1, 2, 3]).append(1, 0..4).replicate(1, 2).high_watermark(1, 4);
        trace
    };
    assert_eq!(broken(&joining(cluster())), [("high_watermark_bounded", None)]);
    let old = cluster().without(ProtocolRule::HighWatermarkAwaitsMaximalIsr);
    assert_eq!(broken(&joining(old)), [("high_watermark_bounded", Some("KIP-497"))]);
}

#[test]
fn a_new_leader_does_not_take_its_log_end_for_the_high_watermark() {
    let mut trace = committed();
    trace.append(1, 4..6).replicate(1, 2).kill(1).elect(2, &[2, 3], FENCED).lead(2).follow(3);
    trace.high_watermark(2, 6);
    let expected = [("high_watermark_bounded", None), ("isr_holds_committed", None)];
    assert_eq!(broken(&trace), expected);
}

#[test]
fn a_broker_that_the_controller_removed_need_not_be_awaited() {
    let mut trace = cluster();
    trace.kill(3);
    trace.state().isr = crate::testing::brokers(&[1, 2]);
    trace.change(FENCED).append(1, 0..4).replicate(1, 2).high_watermark(1, 4);
    assert_eq!(broken(&trace), []);
}

#[test]
fn a_leader_does_not_lower_its_high_watermark() {
    let lower = |trace: &mut Trace, node: u16| {
        let (partition, high_watermark) = (PARTITION, Offset(2));
        let event = TraceEvent::HighWatermarkLowered { partition, high_watermark };
        broken(trace.fact(NodeId(node), event))
    };
    assert_eq!(lower(&mut committed(), 0), [("high_watermark_monotonic", None)]);
    assert_eq!(lower(&mut committed(), 1), []);
}

#[test]
fn a_stamped_batch_is_stored_once() {
    let mut twice = cluster().idempotent();
    twice.create(2).append_stamped(1, 0..1, Some(0)).append_stamped(1, 1..2, Some(1));
    assert_eq!(broken(&twice), []);
    twice.retry(0..1, RetryReason::Disconnected).append_stamped(1, 0..1, Some(0));
    assert_eq!(broken(&twice), [("idempotence", None)]);

    let mut dropped = cluster().idempotent();
    dropped.create(2).append_stamped(1, 0..1, Some(0)).deduplicate(1, 0, 0..1);
    assert_eq!(broken(&dropped), []);
    dropped.deduplicate(1, 0, 1..2);
    assert_eq!(broken(&dropped), [("idempotence", None)]);
}

#[test]
fn a_replica_joins_the_isr_when_it_has_caught_up() {
    let join = |mut trace: Trace, caught_up: bool| {
        trace.append(1, 0..4).replicate(1, 2).propose_isr(1, &[1, 2]).commit_isr(1, &[1, 2]);
        trace.kill(1).elect(2, &[2], FENCED).lead(2).follow(3);
        if caught_up {
            trace.replicate(2, 3);
        } else {
            trace.fetched(2, 3);
        }
        trace.propose_isr(2, &[2, 3]);
        broken(&trace)
    };
    assert_eq!(join(cluster(), true), []);
    assert_eq!(join(cluster(), false), [("isr_join", None)], "offset 0 is at the high watermark");
    let old = cluster().without(ProtocolRule::IsrExpandAwaitsEpochStart);
    assert_eq!(join(old, false), [("isr_join", Some("KAFKA-7128"))]);
}

#[test]
fn the_high_watermark_of_a_follower_is_within_its_log_and_behind_a_leaders() {
    let mut beyond = committed();
    beyond.append(1, 4..6).high_watermark(2, 6);
    assert_eq!(broken(&beyond), [("high_watermark_bounded", None)], "the log ends at 4");
    let mut ahead = committed();
    ahead.append(1, 4..6).replicate(1, 2).high_watermark(2, 6);
    assert_eq!(broken(&ahead), [("high_watermark_bounded", None)], "the leader is at 4");
    let recovered = |high_watermark: u64| {
        let mut trace = committed();
        trace.append(1, 4..6).replicate(1, 2).kill(2).start(2);
        let (partition, log_end_offset) = (PARTITION, Offset(6));
        let (high_watermark, clean) = (Offset(high_watermark), false);
        let event = TraceEvent::LogRecovered { partition, log_end_offset, high_watermark, clean };
        broken(trace.fact(NodeId(1), event))
    };
    assert_eq!(recovered(4), []);
    assert_eq!(recovered(6), [("high_watermark_bounded", None)]);
}

#[test]
fn readers_are_given_what_was_committed() {
    let mut trace = committed();
    assert_eq!(broken(trace.read(1)), []);
    assert_eq!(broken(trace.append(1, 4..6).read(1)), [("read_committed", None)]);
}

#[test]
fn a_proposal_replaces_the_isr_that_it_was_made_from() {
    let mut current = cluster();
    current.propose_isr(1, &[1, 3]).commit_isr(1, &[1, 3]);
    assert_eq!(broken(&current), []);
    let mut stale = cluster();
    stale.propose_isr(1, &[1, 3]);
    stale.state().isr = crate::testing::brokers(&[1, 2]);
    stale.change(FENCED).commit_isr(1, &[1, 3]);
    assert_eq!(broken(&stale), [("isr_proposal_current", None)]);
}

#[test]
fn a_broker_that_joins_the_isr_is_not_fenced() {
    let join = |mut trace: Trace, fenced: bool| {
        trace.propose_isr(1, &[1, 2]).commit_isr(1, &[1, 2]);
        trace.fact(NodeId(3), TraceEvent::BrokerFenced { broker: BrokerId(3) });
        if !fenced {
            trace.fact(NodeId(3), TraceEvent::BrokerUnfenced { broker: BrokerId(3) });
        }
        trace.fetched(1, 3).propose_isr(1, &[1, 2, 3]).commit_isr(1, &[1, 2, 3]);
        broken(&trace)
    };
    assert_eq!(join(cluster(), false), []);
    assert_eq!(join(cluster(), true), [("isr_newcomer_serves", None)]);
    let old = cluster().without(ProtocolRule::IsrExpandChecksFencing);
    assert_eq!(join(old, true), [("isr_newcomer_serves", Some("KIP-841"))]);
}

#[test]
fn a_broker_that_joins_the_isr_has_what_was_committed() {
    let join = |rule: Option<ProtocolRule>, registers: bool| {
        let mut trace = rule.map_or_else(cluster, |rule| cluster().without(rule));
        trace.append(1, 0..4).replicate(1, 2).replicate(1, 3).high_watermark(1, 4);
        trace.propose_isr(1, &[1, 2]).commit_isr(1, &[1, 2]).propose_isr(1, &[1, 2, 3]);
        trace.lose_power(3, 0).start(3);
        if registers {
            let (broker, broker_epoch) = (BrokerId(3), BrokerEpoch(9));
            let incarnation = Incarnation(1);
            let event = TraceEvent::BrokerRegistered { broker, broker_epoch, incarnation };
            trace.fact(NodeId(3), event);
            trace.fact(NodeId(3), TraceEvent::BrokerUnfenced { broker });
        }
        trace.commit_isr(1, &[1, 2, 3]);
        broken(&trace)
    };
    assert_eq!(join(None, false), [], "the controller does not know yet");
    assert_eq!(join(None, true), [("isr_newcomer_complete", None)]);
    let known = [("isr_newcomer_complete", Some("KIP-903"))];
    assert_eq!(join(Some(ProtocolRule::IsrExpandChecksBrokerEpoch), true), known);
}

#[test]
fn a_leader_appends_at_its_end_with_its_epoch() {
    assert_eq!(broken(cluster().append_in(3, 1, 0..1)), [("leader_append", None)]);
    assert_eq!(broken(cluster().append(2, 0..1)), [("leader_append", None)]);
    let mut gap = cluster();
    let last = gap.append(1, 0..1).facts.last().cloned().unwrap();
    let TraceEvent::Appended { batch, .. } = last.event else { panic!("it was an append") };
    let mut far = (*batch).clone();
    far.base_offset = Offset(7);
    assert_eq!(broken(gap.append_batch(1, Arc::new(far))), [("leader_append", None)]);
}

#[test]
fn a_clean_leader_has_every_committed_record() {
    let mut trace = cluster();
    trace.create(4).append(1, 0..4).replicate(1, 2).propose_isr(1, &[1, 2]);
    trace.commit_isr(1, &[1, 2]).high_watermark(1, 4);
    let mut unclean = trace_again(&trace);
    trace.elect(3, &[2, 3], FENCED).lead(3);
    assert_eq!(broken(&trace), [("clean_election", None), ("leader_completeness", None)]);
    unclean.elect(3, &[3], PartitionChangeReason::UncleanElection).lead(3);
    assert_eq!(broken(&unclean), []);
}

fn trace_again(trace: &Trace) -> Trace {
    let mut again = cluster();
    again.create(4).append(1, 0..4).replicate(1, 2).propose_isr(1, &[1, 2]);
    again.commit_isr(1, &[1, 2]).high_watermark(1, 4);
    assert_eq!(again.facts, trace.facts);
    again
}

#[test]
fn a_follower_appends_behind_what_its_leader_has_there() {
    let diverged = |mut trace: Trace| {
        trace.append(1, 0..2).copy(1, 3).elect(2, &[2, 3], FENCED).lead(2).follow(3);
        trace.append(2, 2..4).append(2, 4..5).copy(2, 3);
        broken(&trace)
    };
    assert_eq!(diverged(cluster()), [("log_matching", None)]);
    let old = trace("0.10.2", Acks::All);
    assert_eq!(diverged(old), [("log_matching", Some("KIP-101"))]);
}

#[test]
fn committed_records_are_the_same_everywhere() {
    let mut trace = cluster();
    trace.append(1, 0..2).copy(1, 3).elect(2, &[2, 3], FENCED).lead(2).append(2, 2..4);
    trace.follow(3).commit_isr(2, &[2]).high_watermark(2, 2).high_watermark(3, 2);
    assert_eq!(broken(&trace), [("log_matching", None)]);
}

#[test]
fn an_epoch_has_one_leader() {
    assert_eq!(broken(cluster().lead(2)), [("one_leader_per_epoch", None)]);
}

#[test]
fn a_follower_holds_what_a_leader_wrote() {
    let mut trace = cluster();
    let last = trace.append(1, 0..1).facts.last().cloned().unwrap();
    let TraceEvent::Appended { batch, .. } = last.event else { panic!("it was an append") };
    let mut other = (*batch).clone();
    other.size += 1;
    let event = TraceEvent::Replicated { partition: PARTITION, batch: Arc::new(other) };
    assert_eq!(broken(trace.fact(NodeId(1), event)), [("replicated_was_written", None)]);
}

#[test]
fn truncation_spares_committed_records() {
    let cut = |mut trace: Trace| broken(trace.truncate(2, 0, TruncationReason::HighWatermark));
    assert_eq!(cut(committed()), [("truncation", None)]);
    let mut suffix = committed();
    suffix.append(1, 4..6).copy(1, 2).truncate(2, 4, TruncationReason::HighWatermark);
    assert_eq!(broken(&suffix), []);
    let mut powerless = committed();
    powerless.lose_power(2, 0);
    assert_eq!(cut(powerless), []);
}

#[test]
fn breaches_of_one_kind_are_listed_a_few_times_and_then_counted() {
    let mut trace = cluster();
    trace.create(9);
    for record in 0..9 {
        trace.append(2, record..record + 1);
    }
    let violations = trace.judge().violations;
    assert_eq!(violations.len(), 3);
    assert!(violations[2].text.ends_with("(and 6 more on orders-0)"), "{}", violations[2].text);
}

#[test]
fn every_invariant_says_what_it_claims_and_where_that_is_written() {
    for invariant in ALL {
        assert!(!invariant.claim.is_empty() && !invariant.source.is_empty(), "{}", invariant.name);
    }
}
