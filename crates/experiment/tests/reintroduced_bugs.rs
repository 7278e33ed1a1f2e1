//! Bugs that Kafka once had, or never had, are caught when they come back.
//!
//! Each scenario under `bugs/` holds as it stands. With one protocol rule switched off it breaks an invariant or a promise,
//! and the verdict says which. A *known* violation, documented for the versions without the rule, counts as caught.

use acklab_experiment::{Case, Outcome};
use acklab_scenario::{ScenarioFile, Setting};

const SEEDS: std::ops::Range<u64> = 0..5;

struct Bug {
    name: &'static str,
    text: &'static str,
    /// `rules/X=true` or other settings that every run has.
    sets: &'static [&'static str],
}

macro_rules! bug {
    ($name:literal $(, $set:literal)*) => {
        Bug { name: $name, text: include_str!(concat!("bugs/", $name, ".ron")), sets: &[$($set),*] }
    };
}

impl Bug {
    fn outcomes(&self, sets: &[&str]) -> Vec<Outcome> {
        let file = ScenarioFile::parse(self.name, None, self.text).unwrap();
        let sets = self.sets.iter().chain(sets);
        let sets: Vec<Setting> = sets.map(|set| set.parse().unwrap()).collect();
        let resolved = file.resolve("base", &sets);
        let case = Case::from(resolved.unwrap_or_else(|error| panic!("{}", error[0])));
        SEEDS.map(|seed| case.run(seed).unwrap()).collect()
    }

    /// Without the bug everything that the scenario expects holds, and nothing is even excused.
    #[track_caller]
    fn is_absent(&self, sets: &[&str]) {
        for (seed, outcome) in SEEDS.zip(self.outcomes(sets)) {
            let failed: Vec<_> = outcome.expectations.iter().filter(|it| !it.held).collect();
            let known = &outcome.verdict.known_violations;
            assert!(
                failed.is_empty() && known.is_empty(),
                "{} {sets:?} seed {seed}: {failed:#?}, {:#?}, {known:#?}",
                self.name,
                outcome.verdict.violations,
            );
        }
    }

    /// With the rules switched off, every invariant or cause of `by` is named in every seed.
    #[track_caller]
    fn is_caught_without(&self, rules: &[&str], by: &[&str]) -> Vec<Outcome> {
        let sets: Vec<String> = rules.iter().map(|rule| format!("rules/{rule}=false")).collect();
        let sets: Vec<&str> = sets.iter().map(String::as_str).collect();
        let outcomes = self.outcomes(&sets);
        for (seed, outcome) in SEEDS.zip(&outcomes) {
            let verdict = &outcome.verdict;
            let all = || verdict.violations.iter().chain(&verdict.known_violations);
            for invariant in by {
                assert!(
                    all().any(|violation| violation.invariant == *invariant),
                    "{} without {rules:?}, seed {seed}: no {invariant} in {:#?}, lost {}, stuck {:?}",
                    self.name,
                    all().collect::<Vec<_>>(),
                    verdict.records.lost,
                    outcome.stuck,
                );
            }
        }
        outcomes
    }
}

/// It is violated, as is known of versions without the rule, and nothing else is.
#[track_caller]
fn known(outcome: &Outcome, invariant: &str, issue: &str) {
    let verdict = &outcome.verdict;
    let known: Vec<_> =
        verdict.known_violations.iter().map(|it| (it.invariant, it.known)).collect();
    assert_eq!(known, [(invariant, Some(issue))]);
    assert_eq!(verdict.violations, []);
}

#[test]
fn a_follower_that_truncates_to_its_high_watermark() {
    let bug = bug!("truncate-to-high-watermark");
    bug.is_absent(&[]);
    let by = ["truncation", "leader_completeness", "high_watermark_truncation"];
    for outcome in bug.is_caught_without(&["TruncateByLeaderEpoch"], &by) {
        assert_eq!(outcome.verdict.records.lost, 3);
    }
}

#[test]
fn an_isr_that_grows_before_the_start_of_the_epoch_is_reached() {
    let bug = bug!("isr-expand-before-epoch-start");
    bug.is_absent(&[]);
    let by = ["isr_join", "leader_completeness"];
    for outcome in bug.is_caught_without(&["IsrExpandAwaitsEpochStart"], &by) {
        assert_eq!(outcome.verdict.records.lost, 3);
    }
}

#[test]
fn a_high_watermark_that_does_not_await_the_maximal_isr() {
    let bug = bug!("high-watermark-on-committed-isr");
    bug.is_absent(&[]);
    let by = ["high_watermark_bounded", "leader_completeness"];
    for outcome in bug.is_caught_without(&["HighWatermarkAwaitsMaximalIsr"], &by) {
        assert_eq!(outcome.verdict.records.lost, 3);
    }
    // While broker 2 still counts as caught up by time, the high watermark awaits it all the same (0.10.2), and hides the
    // bug. That rule alone saves no record: a member to come is in the maximal ISR.
    let bug = bug!("high-watermark-on-committed-isr", "producers/late/from=7s");
    bug.is_absent(&[]);
    bug.is_absent(&["rules/HighWatermarkAwaitsMaximalIsr=false"]);
    bug.is_absent(&["rules/HighWatermarkAwaitsCaughtUp=false"]);
    bug.is_caught_without(&["HighWatermarkAwaitsMaximalIsr", "HighWatermarkAwaitsCaughtUp"], &by);
}

#[test]
fn a_leader_that_takes_fetches_of_older_epochs() {
    let bug = bug!("unfenced-fetch");
    bug.is_absent(&[]);
    bug.is_caught_without(&["FenceByLeaderEpoch"], &["fencing"]);
}

#[test]
fn a_new_leader_that_takes_its_log_end_for_committed() {
    let bug = bug!("high-watermark-from-log-end");
    bug.is_absent(&[]);
    let by = ["high_watermark_bounded", "leader_completeness"];
    for outcome in bug.is_caught_without(&["NewLeaderKeepsHighWatermark"], &by) {
        assert_eq!(outcome.verdict.records.lost, 3);
    }
}

#[test]
fn a_broker_that_recognises_only_the_last_batch() {
    let bug = bug!("dedup-window");
    bug.is_absent(&[]);
    // The first batch sent again is taken for one out of order, so the producer starts a new epoch, in which its batches have
    // new numbers: nothing can tell that they are stored already.
    let by = ["renumbered_and_retried"];
    for outcome in bug.is_caught_without(&["DeduplicateLastFiveBatches"], &by) {
        assert!(outcome.verdict.records.duplicated > 0);
    }
}

#[test]
fn a_fenced_broker_in_the_isr() {
    let bug = bug!("fenced-broker-joins-isr");
    bug.is_absent(&[]);
    bug.is_caught_without(&["IsrExpandChecksFencing"], &["isr_newcomer_serves"]);
}

#[test]
fn an_isr_that_grows_by_a_fetch_of_an_earlier_life() {
    let bug = bug!("stale-incarnation-joins-isr");
    bug.is_absent(&[]);
    let by = ["isr_newcomer_complete"];
    for outcome in bug.is_caught_without(&["IsrExpandChecksBrokerEpoch"], &by) {
        assert_eq!(outcome.verdict.records.lost, 5);
    }
}

#[test]
fn a_high_watermark_that_moves_under_min_isr() {
    let bug = bug!("high-watermark-under-min-isr");
    bug.is_absent(&[]);
    // It takes eligible leader replicas to lose records by it: without them only broker 1, the last in the ISR, may lead.
    bug.is_caught_without(&["HighWatermarkFrozenUnderMinIsr"], &["leader_completeness"]);
}

#[test]
fn a_last_replica_standing_that_leads_with_a_shorter_log() {
    let bug = bug!("last-replica-standing");
    bug.is_absent(&[]);
    // 4.0 is that version: the same without the rule.
    for version in ["rules/EligibleLeaderReplicas=false", "kafka=4.0"] {
        for outcome in bug.outcomes(&[version]) {
            let known: Vec<_> = outcome.verdict.known_violations.iter().collect();
            assert_eq!(outcome.verdict.records.lost, 5, "{version}");
            assert_eq!(known.len(), 1, "{known:?}");
            assert_eq!(
                (known[0].invariant, known[0].known),
                ("last_replica_standing", Some("KIP-966"))
            );
            assert_eq!(outcome.verdict.violations, []);
        }
    }
}

#[test]
fn an_answer_about_epochs_that_names_none() {
    let bug = bug!("two-fast-elections");
    bug.is_absent(&[]);
    let by = ["log_matching", "fencing"];
    bug.is_caught_without(&["EpochInOffsetsForLeaderEpoch"], &by);
    // Brokers that learn in the fetch response where logs part (2.7) do not ask, and compare epochs at every step.
    bug.is_absent(&["rules/TruncateOnFetch=true"]);
}

/// KAFKA-12983 and KAFKA-12984 came and went together. Either repair alone is enough here.
#[test]
fn a_member_that_fell_out_of_its_group_and_claims_what_it_had() {
    let bug = bug!("claims-of-a-lost-member");
    bug.is_absent(&[]);
    bug.is_absent(&["rules/LostMemberGivesUpPartitions=false"]);
    bug.is_absent(&["rules/OwnedPartitionsCarryGeneration=false"]);
    let rules = ["LostMemberGivesUpPartitions", "OwnedPartitionsCarryGeneration"];
    bug.is_caught_without(&rules, &["one_owner_per_generation"]);
}

#[test]
fn an_assignor_that_drops_the_claims_of_older_generations() {
    let bug = bug!("contested-partition");
    bug.is_absent(&[]);
    // Who gets a partition too early sees it only if the old owner gives it up later.
    let outcomes = bug.outcomes(&["rules/ContestedPartitionToNewestClaim=false"]);
    let is_caught = |outcome: &&Outcome| {
        let mut known = outcome.verdict.known_violations.iter();
        known.any(|it| (it.invariant, it.known) == ("one_owner_at_a_time", Some("KAFKA-14639")))
    };
    assert!(outcomes.iter().filter(is_caught).count() >= 1);
}

#[test]
fn a_coordinator_that_takes_the_offsets_of_a_zombie() {
    let bug = bug!("zombie-copies");
    bug.is_absent(&[]);
    let by = ["input_processed_again"];
    for outcome in bug.is_caught_without(&["FenceTransactionalOffsets"], &by) {
        assert!(outcome.verdict.records.duplicated > 0);
    }
}

/// T2. 3.5 is that version: the same without the rule.
#[test]
fn a_leader_that_takes_a_write_of_a_transaction_that_has_ended() {
    let bug = bug!("late-write-hangs");
    bug.is_absent(&[]);
    bug.is_absent(&["kafka=4.1"]);
    for version in ["rules/VerifyTransactionalWrites=false", "kafka=3.5"] {
        for outcome in bug.outcomes(&[version]) {
            known(&outcome, "hanging_transaction", "KIP-890");
            // Readers of committed records stop there; the others do not.
            let counts = outcome.verdict.records;
            assert_eq!((counts.lost, counts.phantom, counts.duplicated), (0, 0, 0), "{version}");
        }
    }
}

/// T3: with nothing to look at, what comes between two transactions is committed with the next. With the first look (3.6)
/// only what comes while it is open is, and in the same epoch, which each transaction has for itself since 4.0.
#[test]
fn a_leader_that_takes_a_late_write_for_one_of_the_next_transaction() {
    let bug = bug!("late-write-joins");
    let open = bug!("late-write-joins-open");
    let joins = |outcomes: Vec<Outcome>| {
        for outcome in outcomes {
            known(&outcome, "joined_next_transaction", "KIP-890");
            assert_eq!(outcome.verdict.records.phantom, 1);
        }
    };
    for absent in [&[][..], &["kafka=4.1"]] {
        bug.is_absent(absent);
    }
    joins(bug.outcomes(&["rules/VerifyTransactionalWrites=false"]));
    joins(bug.outcomes(&["kafka=3.5"]));
    open.is_absent(&[]);
    joins(open.outcomes(&["rules/TransactionsVersion2=false"]));
    joins(open.outcomes(&["kafka=3.9"]));
}

/// Whichever way the late marker ends a transaction: half of the time its producer was told so.
#[test]
fn a_marker_that_ends_the_next_transaction() {
    let bug = bug!("late-marker");
    bug.is_absent(&[]);
    for version in ["rules/StrictMarkerEpochs=false", "kafka=4.1"] {
        let mut torn = 0;
        for outcome in bug.outcomes(&[version]) {
            let verdict = &outcome.verdict;
            let counts = verdict.records;
            if (counts.lost, counts.phantom) == (0, 0) {
                continue;
            }
            torn += 1;
            // The four of its eight bursts of five records that were there when the marker came.
            assert!([(20, 0), (0, 20)].contains(&(counts.lost, counts.phantom)), "{counts:?}");
            known(&outcome, "ended_by_late_marker", "KIP-1228");
        }
        assert!((1..=4).contains(&torn), "{version}: {torn} of 5");
    }
}

/// These rules lose nothing; they cost availability, and time.
#[test]
fn rules_that_only_cost_availability() {
    let bug = bug!("min-isr-above-replicas");
    bug.is_absent(&[]);
    for outcome in bug.outcomes(&["rules/MinIsrCappedByReplicationFactor=false"]) {
        let records = outcome.verdict.records;
        assert_eq!((records.acked, records.failed, records.stored), (0, 20, 0));
    }
    let bug = bug!("static-rolling-restart");
    bug.is_absent(&[]);
    let rebalances = |sets: &[&str]| -> Vec<u64> {
        let outcomes = bug.outcomes(sets);
        outcomes.iter().map(|it| it.verdict.groups["billing"].counts.rebalances).collect()
    };
    assert_eq!(rebalances(&[]), [0; 5]);
    // One for each restart, which waits for the session of the process that is gone.
    assert_eq!(rebalances(&["rules/StaticMembership=false"]), [3; 5]);
    let bug = bug!("leader-in-error-response");
    bug.is_absent(&[]);
    bug.is_absent(&["rules/LeaderInErrorResponse=false"]);
    // In half of the seeds; in a few, a follower that was refused by the new leader waits for a second before it fetches.
    let median_of_longest = |sets: &[&str]| {
        let outcomes = bug.outcomes(sets);
        let longest = outcomes.iter().map(|outcome| outcome.verdict.produce_latency.summary.max);
        let mut longest: Vec<u64> = longest.collect();
        longest.sort_unstable();
        longest[longest.len() / 2]
    };
    let (told, asks) =
        (median_of_longest(&[]), median_of_longest(&["rules/LeaderInErrorResponse=false"]));
    // It waits for `retry.backoff.ms` (100 ms, ±20 %).
    assert!(told < 10_000 && asks > 70_000, "{told} µs, {asks} µs");
}

/// No rule switches these bugs on. Mutants of the machines that had them went unnoticed by the
/// scenarios above and by the shipped ones (a few seeds each), and are noticed here:
/// - An ISR without a member counts before the controller has committed it:
///   `high_watermark_bounded`.
/// - What a broker remembers of a producer outlives the truncation of its log: `idempotence`.
/// - The controllers commit without a majority, or vote for a log that lacks what is committed: an
///   assertion of the quorum itself.
/// - acks=all is appended under min ISR, though it is never acked: `phantom`.
/// - A preferred replica is elected out of sync: `clean_election`.
#[test]
fn schedules_that_bugs_without_a_rule_do_not_survive() {
    bug!("shrink-awaits-controller").is_absent(&[]);
    bug!("dedup-after-truncation").is_absent(&[]);
    bug!("controller-without-majority").is_absent(&[]);
    bug!("refused-before-append").is_absent(&[]);
    bug!("preferred-out-of-sync").is_absent(&[]);
}

/// To truncate before the first fetch (0.11 to 2.6) is another way, and no worse.
#[test]
fn truncation_before_the_first_fetch_is_as_safe() {
    for bug in [
        bug!("truncate-to-high-watermark"),
        bug!("isr-expand-before-epoch-start"),
        bug!("high-watermark-from-log-end"),
        bug!("stale-incarnation-joins-isr"),
    ] {
        bug.is_absent(&["rules/TruncateOnFetch=false"]);
    }
}
