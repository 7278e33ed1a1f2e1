//! Each invariant of the ZooKeeper era holds on a good trace and is caught on a bad one made by hand.

use acklab_vocab::api::Acks;
use acklab_vocab::config::BalancedLibrary;
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::trace::{CommitStyle, PartitionChangeReason, TraceEvent, TruncationReason};

use crate::testing::{PARTITION, Trace, member, trace};
use acklab_vocab::ids::{NodeId, Offset};

const FENCED: PartitionChangeReason = PartitionChangeReason::BrokerFenced;

fn broken(trace: &Trace) -> Vec<(&'static str, Option<&'static str>)> {
    let verdict = trace.judge();
    let all = verdict.violations.iter().chain(&verdict.known_violations);
    let stated = all.filter(|of| of.node.is_some());
    let mut names: Vec<_> = stated.map(|of| (of.invariant, of.known)).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn owned_by_zookeeper(library: BalancedLibrary) -> Trace {
    let mut trace = trace("0.10.2", Acks::All).balanced(library, CommitStyle::Auto);
    trace.zookeeper_led(1, 1).session(member(0), 0xa).session(member(1), 0xb).claim(0);
    trace
}

#[test]
fn an_ensemble_that_behaves_breaks_nothing() {
    let mut trace = owned_by_zookeeper(BalancedLibrary::HighLevel);
    trace.session_expires(0, 0xa).claim(1).release(1, false).session_ends(member(1), 0xb, false);
    trace.zookeeper_led(2, 2).session(member(0), 0xc).claim(0);
    trace.release(0, false).session_ends(member(0), 0xc, false).of_the_same_event();
    assert_eq!(broken(&trace), []);
}

#[test]
fn an_epoch_of_the_ensemble_has_one_leader() {
    let mut same = owned_by_zookeeper(BalancedLibrary::Pykafka);
    same.zookeeper_led(2, 1);
    assert_eq!(broken(&same), [("zookeeper_epochs", None)]);
    let mut older = owned_by_zookeeper(BalancedLibrary::Pykafka);
    older.zookeeper_led(2, 5).zookeeper_led(3, 4);
    assert_eq!(broken(&older), [("zookeeper_epochs", None)]);
}

#[test]
fn the_tree_names_one_owner() {
    for library in [BalancedLibrary::HighLevel, BalancedLibrary::Pykafka] {
        let mut twice = owned_by_zookeeper(library);
        twice.claim(1);
        assert_eq!(broken(&twice), [("one_claim_at_a_time", None)]);
    }
}

#[test]
fn pykafka_may_name_two_owners_after_an_election() {
    let after_election = |library| {
        let mut trace = owned_by_zookeeper(library);
        trace.kill(1).elect(2, &[2, 3], FENCED).lead(2).claim(1);
        broken(&trace)
    };
    let known = Some("pykafka: owners are named by leader");
    assert_eq!(after_election(BalancedLibrary::Pykafka), [("one_claim_at_a_time", known)]);
    assert_eq!(after_election(BalancedLibrary::HighLevel), [("one_claim_at_a_time", None)]);
}

#[test]
fn a_claim_lives_by_a_session() {
    let good = || owned_by_zookeeper(BalancedLibrary::HighLevel);
    let expected = [("claims_end_with_session", None)];
    let mut left = good();
    left.session_ends(member(0), 0xa, true).zookeeper_led(1, 2);
    assert_eq!(broken(&left), expected);
    let mut left_at_the_end = good();
    left_at_the_end.session_ends(member(0), 0xa, false);
    assert_eq!(broken(&left_at_the_end), expected);
    let mut taken_away = good();
    taken_away.release(0, true);
    assert_eq!(broken(&taken_away), expected);
    let mut twice = good();
    twice.release(0, false).release(0, false);
    assert_eq!(broken(&twice), expected);
    let mut without = good();
    without.release(0, false).session_ends(member(0), 0xa, false).claim(0);
    assert_eq!(broken(&without), expected);
}

#[test]
fn a_second_session_keeps_what_was_claimed_under_both() {
    let mut trace = owned_by_zookeeper(BalancedLibrary::HighLevel);
    trace.session(member(0), 0xc).release(0, false).claim(0).session_ends(member(0), 0xa, true);
    assert_eq!(broken(&trace), []);
}

/// Broker 1 has committed two records; broker 2, which lost one to a power failure, leads and writes
/// another at its offset; broker 1 comes back and keeps its own (KIP-101, the second case).
fn diverged(kafka: &str) -> Trace {
    let mut trace = trace(kafka, Acks::All).zookeeper();
    trace.header.rules.set(ProtocolRule::FenceByLeaderEpoch, false);
    trace.create(4).append(1, 0..1).append(1, 1..2).replicate(1, 2).replicate(1, 3);
    trace.high_watermark(1, 2).answer(1, 0, 0..1).answer(1, 1, 1..2).ack(0..2);
    trace.kill(1).lose_power(2, 1).start(2).elect(2, &[1, 2], FENCED).lead(2);
    trace.append(2, 2..3).start(1).follow(1).fetched(2, 1);
    trace
}

#[test]
fn in_sync_replicas_agree_at_rest() {
    let verdict = diverged("0.10.2").judge();
    assert_eq!(verdict.diverged, 1);
    let matching = verdict.known_violations.iter().filter(|of| of.invariant == "log_matching");
    let matching: Vec<_> = matching.map(|of| (of.node, of.known)).collect();
    assert_eq!(matching, [(Some(NodeId(0)), Some("KIP-101"))]);
    assert_eq!(verdict.violations, []);

    let mut fenced = diverged("3.9");
    fenced.header.rules.set(ProtocolRule::FenceByLeaderEpoch, true);
    let verdict = fenced.judge();
    assert_eq!(verdict.diverged, 1);
    assert!(verdict.violations.iter().any(|of| of.invariant == "log_matching"));

    let mut truncated = diverged("3.9");
    truncated.truncate(1, 1, TruncationReason::LeaderEpoch).replicate(2, 1);
    assert_eq!(truncated.judge().diverged, 0);
}

#[test]
fn each_rule_of_kip_320_excuses_what_comes_of_it() {
    for rule in [
        ProtocolRule::FenceByLeaderEpoch,
        ProtocolRule::FenceTruncation,
        ProtocolRule::TruncateOnEveryEpoch,
    ] {
        let mut trace = trace("3.9", Acks::All).without(rule);
        trace.create(2).append(1, 0..2).replicate(1, 2).replicate(1, 3).high_watermark(1, 2);
        trace.fact(
            NodeId(1),
            TraceEvent::LogTruncated {
                partition: PARTITION,
                to: Offset(0),
                log_end_offset: Offset(2),
                reason: TruncationReason::LeaderEpoch,
            },
        );
        assert_eq!(broken(&trace), [("truncation", Some("KIP-320"))], "{}", rule.name());
    }
}

#[test]
fn kip_903_helps_kraft_only() {
    let joined = |mut trace: Trace| {
        trace.create(2).append(1, 0..2).replicate(1, 2);
        trace.propose_isr(1, &[1, 2]).commit_isr(1, &[1, 2]).high_watermark(1, 2).fetched(1, 3);
        trace.propose_isr(1, &[1, 2, 3]).commit_isr(1, &[1, 2, 3]);
        broken(&trace)
    };
    let incomplete = |known| ("isr_newcomer_complete", known);
    let kraft = joined(trace("3.9", Acks::All));
    assert!(kraft.contains(&incomplete(None)), "{kraft:?}");
    let zookeeper = joined(trace("3.9", Acks::All).zookeeper());
    assert!(zookeeper.contains(&incomplete(Some("KIP-903"))), "{zookeeper:?}");
}
