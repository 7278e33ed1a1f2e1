//! Plain numbers: the moments and durations of faults.

use super::faults::{replace, with_faults, written};
use crate::shrink::search::{Best, Proposal, Search};
use acklab_scenario::model::{FaultSpec, Span, When};
use acklab_vocab::time::SimDuration;

/// Rounds all moments and durations of faults together, then one by one.
pub(in crate::shrink) fn round(search: &mut Search<'_>) {
    search.descend(|best| GRAINS.iter().filter_map(|&grain| all(best, grain)).collect());
    search.descend(|best| {
        let faults = best.scenario().faults.iter().enumerate();
        let rounded = faults.flat_map(|(position, spec)| {
            rounded(spec).into_iter().map(move |spec| (position, spec))
        });
        let proposals = rounded.filter_map(|(position, spec)| {
            let scenario = best.scenario();
            let (from, to) = (&scenario.faults[position], written(&spec, scenario));
            let what = (format!("fault {position}"), written(from, scenario), to);
            replace(best, position, spec, what)
        });
        proposals.collect()
    });
}

fn all(best: &Best, grain: u64) -> Option<Proposal> {
    let scenario = best.scenario();
    let faults: Vec<FaultSpec> = scenario
        .faults
        .iter()
        .map(|spec| {
            let spec = with_moment(spec, |at| nearest(at, grain));
            with_lasting(&spec, |lasting| nearest(lasting, grain))
        })
        .collect();
    let draft = with_faults(&best.draft, &faults, scenario);
    Proposal::new(draft, "moments of faults", "as drawn", format!("{grain} ms"))
}

/// One fault with its moment or its duration rounded, the plainest first.
fn rounded(spec: &FaultSpec) -> Vec<FaultSpec> {
    let mut all = Vec::new();
    for grain in GRAINS {
        let grained = [nearest, below, above].map(|round| move |span| round(span, grain));
        for round in grained {
            all.push(with_moment(spec, round));
            all.push(with_lasting(spec, round));
        }
    }
    all.retain(|other| other != spec);
    all.dedup();
    all
}

fn with_moment(spec: &FaultSpec, round: impl Fn(SimDuration) -> SimDuration) -> FaultSpec {
    let when = match &spec.when {
        When::At(Span::Exactly(at)) => When::At(Span::Exactly(round(*at))),
        other => other.clone(),
    };
    FaultSpec { when, ..spec.clone() }
}

/// A fault that lasted stays one that lasts.
fn with_lasting(spec: &FaultSpec, round: impl Fn(SimDuration) -> SimDuration) -> FaultSpec {
    let lasting = spec.lasting.map(|lasting| match lasting {
        Span::Exactly(lasting) if round(lasting) > SimDuration::ZERO => {
            Span::Exactly(round(lasting))
        }
        other => other,
    });
    FaultSpec { lasting, ..spec.clone() }
}

/// In milliseconds, the coarsest first.
const GRAINS: [u64; 4] = [1_000, 100, 10, 1];

fn below(span: SimDuration, millis: u64) -> SimDuration {
    let grain = SimDuration::from_millis(millis).0;
    SimDuration(span.0 / grain * grain)
}

fn above(span: SimDuration, millis: u64) -> SimDuration {
    let grain = SimDuration::from_millis(millis).0;
    SimDuration(span.0.div_ceil(grain) * grain)
}

fn nearest(span: SimDuration, millis: u64) -> SimDuration {
    let grain = SimDuration::from_millis(millis).0;
    SimDuration((span.0 + grain / 2) / grain * grain)
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

    #[test]
    fn durations_are_rounded_to_grains() {
        let span = SimDuration::from_micros(13_728_193);
        let millis = |round: fn(SimDuration, u64) -> SimDuration| {
            GRAINS.map(|grain| round(span, grain).as_millis())
        };
        assert_eq!(millis(nearest), [14_000, 13_700, 13_730, 13_728]);
        assert_eq!(millis(below), [13_000, 13_700, 13_720, 13_728]);
        assert_eq!(millis(above), [14_000, 13_800, 13_730, 13_729]);
    }

    #[test]
    fn plain_durations_have_two_digits() {
        let plain = |millis: u64| plain(SimDuration::from_millis(millis)).as_millis();
        assert_eq!([plain(7_500), plain(1_234), plain(250), plain(3)], [7_500, 1_300, 250, 3]);
    }
}
