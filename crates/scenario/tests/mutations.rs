//! No text makes the parser or the resolver panic: shipped scenarios with pieces cut out,
//! doubled, swapped or replaced.

use acklab_scenario::{ScenarioFile, Setting, shipped};
use proptest::prelude::*;

/// Reads a text as far as it goes, and prints whatever is wrong with it.
fn exercise(text: &str, set: &str) {
    let file = match ScenarioFile::parse("mutant", None, text) {
        Ok(file) => file,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let sets: Vec<Setting> = set.parse().into_iter().collect();
    for variant in file.variants() {
        for sets in [&[], sets.as_slice()] {
            match file.resolve(variant, sets) {
                Ok(resolved) => assert_eq!(resolved.scenario.variant, variant),
                Err(errors) => {
                    assert!(!errors.is_empty());
                    errors.iter().for_each(|error| assert!(!error.to_string().is_empty()));
                }
            }
        }
    }
}

/// The places between the tokens of a text, roughly.
fn pieces(text: &str) -> Vec<&str> {
    text.split_inclusive(|c: char| !c.is_alphanumeric()).collect()
}

const REPLACEMENTS: &[&str] = &[
    "",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "\"",
    "0",
    "-1",
    "18446744073709551616",
    "1e9",
    "\"0s\"",
    "\"9999999h\"",
    "None",
    "Rest",
    "Broker(0)",
    "é",
    "\u{0}",
    "//",
    "/*",
    "r#\"",
    "\"é#4711\"",
    "\"shop#99999999999\"",
    "()",
    "{}",
    "[]",
    "true",
    "Scenario",
];

const SETTINGS: &[&str] = &[
    "producers/acks=é",
    "producers/rate=0",
    "topics/orders/partitions=0",
    "kafka=",
    "kafka=255.255",
    "faults/0/for=-1s",
    "faults/0/fault=Kill(",
    "cluster/brokers=99999999",
    "duration=0s",
    "rules/x=1",
    "network/latency=Pareto(\"1s\", 0)",
    "producers/shop/shop/acks=1",
    "brokers/=1",
    "topics/orders/assignments=[[1],[1,1]]",
    "readers/auto.offset.reset=by_duration:P",
    "start=",
];

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn mutated_scenarios_never_panic(
        which in 0..30_usize,
        edits in prop::collection::vec(
            (any::<prop::sample::Index>(), 0..4_u8, 0..REPLACEMENTS.len()),
            1..4,
        ),
        setting in 0..SETTINGS.len(),
    ) {
        let (_, text) = shipped()[which % shipped().len()];
        let mut tokens: Vec<&str> = pieces(text);
        for (place, kind, replacement) in edits {
            let place = place.index(tokens.len());
            match kind {
                0 => tokens[place] = REPLACEMENTS[replacement],
                1 => tokens.insert(place, REPLACEMENTS[replacement]),
                2 => tokens.insert(place, tokens[place]),
                _ => {
                    let other = (place + replacement) % tokens.len();
                    tokens.swap(place, other);
                }
            }
        }
        exercise(&tokens.concat(), SETTINGS[setting]);
    }

    #[test]
    fn truncated_scenarios_never_panic(which in 0..30_usize, at in any::<prop::sample::Index>()) {
        let (_, text) = shipped()[which % shipped().len()];
        let ends: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
        exercise(&text[..ends[at.index(ends.len())]], SETTINGS[which % SETTINGS.len()]);
    }

    #[test]
    fn any_text_is_refused_without_a_panic(text in "\\PC{0,60}") {
        exercise(&text, "duration=1s");
    }
}
