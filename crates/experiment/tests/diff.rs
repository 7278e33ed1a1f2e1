//! Two settings on one seed: what differs, and that nothing does where nothing was changed.

use acklab_experiment::Case;
use acklab_experiment::diff::{Axis, Diff, Stream, diff};
use acklab_scenario::{Counter, Quantity, ScenarioFile, shipped};
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::time::SimTime;

fn case(name: &str, variant: &str, sets: &[&str]) -> Case {
    let &(_, text) = shipped().iter().find(|&&(shipped, _)| shipped == name).unwrap();
    let file = ScenarioFile::parse(name, None, text).unwrap();
    let sets: Vec<_> = sets.iter().map(|set| set.parse().unwrap()).collect();
    Case::from(file.resolve(variant, &sets).unwrap())
}

fn number(found: &Diff, counter: Counter) -> Option<(u64, u64)> {
    let wanted = Quantity::Counter(counter);
    let number = found.numbers.iter().find(|number| number.quantity == wanted)?;
    Some((number.first, number.second))
}

#[test]
fn the_same_settings_give_the_same_history() {
    let base = case("acks-1-leader-crash", "base", &[]);
    let same = case("acks-1-leader-crash", "base", &["producers/acks=1"]);
    let found = diff(&base, &same, 7).unwrap();
    assert!(found.is_empty());
    assert!(found.same_facts > 10_000);
    assert!(found.partings.is_empty() && found.changes.is_empty() && found.rules.is_empty());
    assert_eq!((found.records, found.changed), (30_000, 0));
    assert!(found.numbers.iter().all(|number| number.first == number.second));
    assert_eq!(found.first.verdict.digest, found.second.verdict.digest);
}

#[test]
fn acks_all_saves_what_acks_1_loses() {
    let base = case("acks-1-leader-crash", "base", &[]);
    let all = case("acks-1-leader-crash", "acks=all", &[]);
    let found = diff(&base, &all, 7).unwrap();
    let lost = found.first.verdict.records.lost;
    assert!(lost > 0);
    assert_eq!(number(&found, Counter::Lost), Some((lost, 0)));

    let saved = &found.changes[0];
    assert_eq!(saved.axis, Axis::Log);
    let was_lost = found.changes.iter().filter(|of| of.first.words.contains("lost"));
    assert_eq!(was_lost.map(|of| of.count).sum::<u64>(), lost);
    assert!(found.changes.iter().all(|of| !of.second.words.contains("lost")));
    let in_the_log = found.changes.iter().filter(|of| of.axis == Axis::Log);
    assert_eq!(in_the_log.map(|of| of.count).sum::<u64>(), found.changed);

    // An idempotent producer asks for its id before anything else.
    let first = found.divergence.as_ref().unwrap();
    assert_eq!(first.stream, None);
    assert!(first.first != first.second);
    let streams: Vec<_> = found.partings.iter().filter_map(|parting| parting.stream).collect();
    assert!(streams.contains(&Stream::Appends), "{streams:?}");
    assert!(found.partings.is_sorted_by_key(|parting| parting.at));
    assert!(found.partings.iter().all(|parting| parting.at >= first.at));
    // The same records are appended and acked in the same order, but for what the crash at 2 s caught
    // on its way: with acks=all a batch is answered, and the next one sent, some 35 ms later.
    let records = found.partings.iter().filter(|parting| {
        matches!(parting.stream, Some(Stream::Appends | Stream::Acks | Stream::Leaders))
    });
    assert!(records.clone().count() > 0);
    assert!(records.clone().all(|parting| parting.at > SimTime::from_millis(1_900)), "{records:?}");
}

#[test]
fn what_applications_do_differently_is_told_by_application() {
    let base = case("auto-commit-crash", "base", &[]);
    let often = case("auto-commit-crash", "100ms", &[]);
    let found = diff(&base, &often, 1).unwrap();
    let (before, after) = number(&found, Counter::Reprocessed).unwrap();
    assert!(before > after);
    let with = Axis::Application("billing".to_owned());
    let cured = found.changes.iter().filter(|of| {
        of.axis == with && of.first.words == "reprocessed" && of.second.words == "processed"
    });
    let cured: u64 = cured.map(|of| of.count).sum();
    assert!(cured >= before - after, "{cured} of {before} - {after}");
    let example = &found.changes.iter().find(|of| of.axis == with).unwrap().examples;
    assert!((1..=3).contains(&example.len()));
    let streams: Vec<_> = found.partings.iter().filter_map(|parting| parting.stream).collect();
    assert!(streams.contains(&Stream::Commits), "{streams:?}");
}

#[test]
fn another_version_follows_other_rules() {
    let base = case("acks-1-leader-crash", "base", &["duration=300ms", "faults/crash/at=100ms"]);
    let older = case(
        "acks-1-leader-crash",
        "base",
        &["duration=300ms", "faults/crash/at=100ms", "kafka=3.3"],
    );
    let found = diff(&older, &base, 1).unwrap();
    // KIP-903, since 3.5.
    assert!(found.rules.contains(&(ProtocolRule::IsrExpandChecksBrokerEpoch, true)));
    assert_ne!(found.first.verdict.header.kafka, found.second.verdict.header.kafka);
}
