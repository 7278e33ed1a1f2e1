//! Plain numbers: moments and durations as a person would write them.

use super::faults::label;
use crate::shrink::search::{Best, Proposal, Search};
use crate::shrink::size::join;
use acklab_scenario::{Draft, parse_duration, write_duration};
use acklab_vocab::time::SimDuration;

/// Rounds all moments and durations of faults together.
pub(in crate::shrink) fn together(search: &mut Search<'_>) {
    search.descend(|best| GRAINS.iter().filter_map(|&grain| all(best, grain)).collect());
}

/// Rounds those of faults together, then every duration that the file has, one by one.
pub(in crate::shrink) fn round(search: &mut Search<'_>) {
    together(search);
    search.descend(|best| {
        let durations = durations(&best.draft, "").into_iter();
        durations.flat_map(|(path, span)| one(best, &path, span)).collect()
    });
}

fn all(best: &Best, grain: SimDuration) -> Option<Proposal> {
    let of_faults = durations(&best.draft, "faults");
    let draft =
        of_faults.iter().try_fold(best.draft.clone(), |draft, (path, span)| {
            match nearest(*span, grain) {
                SimDuration::ZERO => Some(draft),
                rounded => draft.with_text(path, &write_duration(rounded)),
            }
        });
    Proposal::new(draft, "moments and durations of faults", "as drawn", format!("by {grain}"))
}

/// One duration rounded, the plainest first. What is not zero does not become zero.
fn one(best: &Best, path: &str, span: SimDuration) -> Vec<Proposal> {
    let (what, from) = match path.split('/').collect::<Vec<_>>().as_slice() {
        ["faults", number, field] => {
            let faults = &best.scenario().faults;
            let fault = number.parse().ok().and_then(|number: usize| faults.get(number));
            let label = fault.map_or_else(String::new, |spec| label(spec, best.scenario()));
            match *field {
                "at" => (label, String::new()),
                "for" => (format!("length of {label}"), span.to_string()),
                field => (format!("{field} of {label}"), span.to_string()),
            }
        }
        _ => (path.replace('/', ": "), span.to_string()),
    };
    let grains = GRAINS
        .into_iter()
        .flat_map(|grain| [nearest, below, above].into_iter().map(move |round| round(span, grain)));
    let mut rounded: Vec<SimDuration> =
        grains.filter(|&rounded| rounded != span && rounded > SimDuration::ZERO).collect();
    rounded.dedup();
    let proposals = rounded.into_iter().filter_map(|rounded| {
        let draft = best.draft.with_text(path, &write_duration(rounded));
        Proposal::new(draft, what.clone(), from.clone(), rounded.to_string())
    });
    proposals.collect()
}

/// Every duration that a draft has below a path, and where.
fn durations(draft: &Draft, path: &str) -> Vec<(String, SimDuration)> {
    let parts = draft.parts(path);
    if parts.is_empty() {
        let span = draft.text(path).and_then(|text| parse_duration(text).ok());
        return span.map(|span| (path.to_owned(), span)).into_iter().collect();
    }
    parts.iter().flat_map(|part| durations(draft, &join(path, part))).collect()
}

/// The coarsest first.
const GRAINS: [SimDuration; 5] = [
    SimDuration::from_secs(1),
    SimDuration::from_millis(100),
    SimDuration::from_millis(10),
    SimDuration::from_millis(1),
    SimDuration::from_micros(1),
];

fn below(span: SimDuration, grain: SimDuration) -> SimDuration {
    SimDuration(span.0 / grain.0 * grain.0)
}

fn above(span: SimDuration, grain: SimDuration) -> SimDuration {
    SimDuration(span.0.div_ceil(grain.0).saturating_mul(grain.0))
}

fn nearest(span: SimDuration, grain: SimDuration) -> SimDuration {
    below(SimDuration(span.0.saturating_add(grain.0 / 2)), grain)
}

/// A duration that a person would write, near this one and not below: two digits, in milliseconds.
pub(super) fn plain(span: SimDuration) -> SimDuration {
    let mut grain = SimDuration::from_millis(1).0;
    while span.0 / grain >= 100 {
        grain *= 10;
    }
    SimDuration(span.0.div_ceil(grain) * grain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use acklab_scenario::ScenarioFile;

    #[test]
    fn durations_are_rounded_to_grains() {
        let span = SimDuration::from_nanos(13_728_193_555);
        let micros = |round: fn(SimDuration, SimDuration) -> SimDuration| {
            GRAINS.map(|grain| round(span, grain).as_micros())
        };
        let [second, tenth, hundredth, milli] = [14_000_000, 13_700_000, 13_730_000, 13_728_000];
        assert_eq!(micros(nearest), [second, tenth, hundredth, milli, 13_728_194]);
        assert_eq!(micros(below), [13_000_000, tenth, 13_720_000, milli, 13_728_193]);
        assert_eq!(micros(above), [second, 13_800_000, hundredth, 13_729_000, 13_728_194]);
    }

    #[test]
    fn every_duration_of_a_file_is_found() {
        let text = r#"Scenario(
            kafka: "3.9", duration: "30s", topics: {"orders": (partitions: 1)},
            network: (latency: Uniform("1ms", "2ms")),
            producers: [(topic: "orders", rate: 1, from: "5ms", properties: {"linger.ms": "5"})],
            faults: [(at: "1000001us", fault: SlowDisk(Broker(1), "3ms"), for: "2s")],
        )"#;
        let file = ScenarioFile::parse("durations", None, text).expect("it parses");
        let draft = file.draft("base", &[]).expect("it is sound");
        let found = durations(&draft, "");
        let found: Vec<&str> = found.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(
            found,
            [
                "duration",
                "network/latency/0",
                "network/latency/1",
                "producers/0/from",
                "faults/0/at",
                "faults/0/fault/1",
                "faults/0/for",
            ]
        );
    }

    #[test]
    fn plain_durations_have_two_digits() {
        let plain = |millis: u64| plain(SimDuration::from_millis(millis)).as_millis();
        assert_eq!([plain(7_500), plain(1_234), plain(250), plain(3)], [7_500, 1_300, 250, 3]);
    }
}
