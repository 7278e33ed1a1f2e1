//! Faults: what was drawn becomes a fixed schedule, and what is not needed of it goes.

use crate::shrink::ddmin::ddmin;
use crate::shrink::search::{Best, Proposal, Rule, Search};
use crate::shrink::size::{is_constant, is_drawn, sides, sides_mut};
use acklab_scenario::model::{Fault, FaultSpec, Scenario, Span, Trigger, When};
use acklab_scenario::{Draft, write_faults};
use acklab_verdict::names::grouped;
use acklab_vocab::time::{SimDuration, SimTime};

/// The draft with other faults, named as in `scenario`.
pub(in crate::shrink) fn with_faults(
    draft: &Draft,
    faults: &[FaultSpec],
    scenario: &Scenario,
) -> Option<Draft> {
    match faults {
        [] => draft.without("faults"),
        _ => draft.with("faults", &write_faults(faults, scenario)),
    }
}

/// Puts the faults that struck in the place of those that were drawn. `struck` says when each did.
pub(in crate::shrink) fn fix(search: &mut Search<'_>, struck: &[SimTime]) {
    let scenario = search.best.scenario();
    if !is_drawn(scenario) {
        return;
    }
    let schedule = search.best.shown.schedule.clone();
    let fixed = [in_time(&schedule, struck), schedule];
    let (from, scenario) = (scenario.faults.len(), search.best.case.scenario.clone());
    let proposals = fixed.iter().filter_map(|faults| {
        let draft = with_faults(&search.best.draft, faults, &scenario);
        Proposal::new(draft, "drawn faults", count(from), format!("{} fixed", faults.len()))
    });
    let proposals = proposals.collect();
    search.try_first(proposals, Rule::Always);
}

/// A schedule in which no fault waits for another.
fn in_time(schedule: &[FaultSpec], struck: &[SimTime]) -> Vec<FaultSpec> {
    let fixed =
        schedule.iter().enumerate().map(|(number, spec)| match (&spec.when, struck.get(number)) {
            (When::After { trigger: Trigger::Fault(..), .. }, Some(at)) => {
                let when = When::At(Span::Exactly(at.since(SimTime::ZERO)));
                FaultSpec { when, ..spec.clone() }
            }
            _ => spec.clone(),
        });
    fixed.collect()
}

/// Leaves out faults.
pub(in crate::shrink) fn leave_out(search: &mut Search<'_>) {
    let scenario = search.best.case.scenario.clone();
    let all = &scenario.faults;
    ddmin((0..all.len()).collect(), |candidates: &[Vec<usize>]| {
        let proposals = candidates.iter().map(|kept| {
            let faults = select(all, kept);
            let draft = match faults.is_empty() && search.best.draft.value("faults").is_none() {
                true => None,
                false => with_faults(&search.best.draft, &faults, &scenario),
            };
            (faults.len(), draft)
        });
        // Every candidate has its place, also if it cannot be written.
        let proposals: Vec<(usize, Option<Draft>)> = proposals.collect();
        let places: Vec<usize> =
            (0..proposals.len()).filter(|&place| proposals[place].1.is_some()).collect();
        let proposals = proposals.into_iter().filter_map(|(left, draft)| {
            Proposal::new(draft, "faults", count(all.len()), count(left))
        });
        let proposals = proposals.collect();
        search.try_first(proposals, Rule::Smaller).map(|taken| places[taken])
    });
}

/// Some of the faults, without those that wait for one that is left out: they would never strike.
fn select(faults: &[FaultSpec], kept: &[usize]) -> Vec<FaultSpec> {
    let awaited = |fault: usize| match faults[fault].when {
        When::After { trigger: Trigger::Fault(awaited, _), .. } => Some(awaited),
        When::At(_) | When::Every { .. } | When::After { .. } => None,
    };
    let mut kept = kept.to_vec();
    loop {
        let strikes = |fault: &usize| awaited(*fault).is_none_or(|other| kept.contains(&other));
        let striking: Vec<usize> = kept.iter().copied().filter(strikes).collect();
        if striking.len() == kept.len() {
            break;
        }
        kept = striking;
    }
    let renumbered = |fault: &usize| {
        let mut spec = faults[*fault].clone();
        if let When::After { trigger: Trigger::Fault(awaited, _), .. } = &mut spec.when {
            *awaited = kept.iter().position(|other| other == awaited).unwrap_or_default();
        }
        spec
    };
    kept.iter().map(renumbered).collect()
}

/// Names fewer processes, and says less of how long faults last.
pub(in crate::shrink) fn simplify(search: &mut Search<'_>) {
    search.descend(|best| {
        let (scenario, faults) = (best.scenario(), best.scenario().faults.iter().enumerate());
        let fewer = faults.clone().flat_map(|(position, spec)| {
            let what = format!("processes named by {}", label(spec, scenario));
            let named = |spec: &FaultSpec| count(sides(&spec.fault).iter().map(Vec::len).sum());
            let from = named(spec);
            fewer_targets(spec).into_iter().filter_map(move |spec| {
                let change = (what.clone(), from.clone(), named(&spec));
                replace(best, position, spec, change)
            })
        });
        let less = faults.flat_map(|(position, spec)| {
            said_less(spec).into_iter().filter_map(move |less| {
                let change = said(spec, &less, scenario);
                replace(best, position, less, change)
            })
        });
        fewer.chain(less).collect()
    });
}

/// What is said less: an end, or something of the fault itself.
fn said(from: &FaultSpec, to: &FaultSpec, scenario: &Scenario) -> (String, String, String) {
    if from.fault != to.fault {
        return (of_fault(from, scenario), String::new(), of_fault(to, scenario));
    }
    let lasting = match from.lasting {
        Some(Span::Exactly(lasting)) => lasting.to_string(),
        Some(_) => "drawn".to_owned(),
        None => "never".to_owned(),
    };
    (format!("end of {}", label(from, scenario)), lasting, "with the workload".to_owned())
}

/// A fault in a few words: `Kill at 7.327 s`.
pub(in crate::shrink) fn label(spec: &FaultSpec, scenario: &Scenario) -> String {
    let fault = of_fault(spec, scenario);
    let kind = fault.split('(').next().unwrap_or_default();
    match &spec.when {
        When::At(Span::Exactly(at)) => format!("{kind} at {at}"),
        When::At(_) | When::Every { .. } | When::After { .. } => kind.to_owned(),
    }
}

/// What strikes, as a scenario has it: `Kill(LeaderOf("orders", 0))`.
pub(in crate::shrink) fn of_fault(spec: &FaultSpec, scenario: &Scenario) -> String {
    let alone = FaultSpec {
        when: When::At(Span::Exactly(SimDuration::ZERO)),
        fault: spec.fault.clone(),
        lasting: None,
        permanent: false,
    };
    let list = write_faults(&[alone], scenario);
    let line = list.split_once("fault:").map_or(list.as_str(), |(_, rest)| rest);
    let line = line.trim().trim_end_matches(']').trim().trim_end_matches(',');
    line.strip_suffix(')').unwrap_or(line).to_owned()
}

/// A number, for a change.
pub(super) fn count(number: usize) -> String {
    grouped(number as u64)
}

/// The best with another fault in the place of one; and what that is, from what, to what.
pub(in crate::shrink) fn replace(
    best: &Best,
    position: usize,
    spec: FaultSpec,
    (what, from, to): (String, String, String),
) -> Option<Proposal> {
    let scenario = best.scenario();
    let mut faults = scenario.faults.clone();
    faults[position] = spec;
    Proposal::new(with_faults(&best.draft, &faults, scenario), what, from, to)
}

/// Half of a side, or one process less.
fn fewer_targets(spec: &FaultSpec) -> Vec<FaultSpec> {
    let mut fewer = Vec::new();
    for (side, targets) in sides(&spec.fault).iter().enumerate().filter(|(_, it)| it.len() > 1) {
        let half = targets.len() / 2;
        let mut kept = vec![targets[..half].to_vec(), targets[half..].to_vec()];
        if targets.len() > 2 {
            kept.extend(
                (0..targets.len()).map(|gone| [&targets[..gone], &targets[gone + 1..]].concat()),
            );
        }
        for kept in kept {
            let mut spec = spec.clone();
            *sides_mut(&mut spec.fault)[side] = kept;
            fewer.push(spec);
        }
    }
    fewer
}

/// The same fault without an end of its own, for good, with constants for spans, or for all.
fn said_less(spec: &FaultSpec) -> Vec<FaultSpec> {
    let mut less = Vec::new();
    if spec.lasting.is_some() || spec.permanent {
        less.push(FaultSpec { lasting: None, permanent: false, ..spec.clone() });
    }
    let mut fault = spec.fault.clone();
    match &mut fault {
        Fault::LinkDelay { extra, .. } | Fault::SlowDisk { extra, .. } if !is_constant(*extra) => {
            *extra = Span::Exactly(typical(*extra));
        }
        Fault::DropResponses { millionths, .. } => *millionths = 1_000_000,
        Fault::StallRequests { first, .. } => *first = None,
        _ => {}
    }
    if fault != spec.fault {
        less.push(FaultSpec { fault, ..spec.clone() });
    }
    less
}

/// A span in the middle of those that are drawn.
pub(in crate::shrink) fn typical(span: Span) -> SimDuration {
    match span {
        Span::Exactly(always) => always,
        Span::Uniform(least, most) => (least + most) / 2,
        Span::Exponential(mean) => mean,
        Span::LogNormal { median, .. } => median,
        Span::Pareto { scale, .. } => scale,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use acklab_scenario::model::{FaultPhase, Target};

    fn kill(when: When) -> FaultSpec {
        FaultSpec {
            when,
            fault: Fault::Kill(vec![Target::ActiveController]),
            lasting: None,
            permanent: false,
        }
    }

    fn at(seconds: u64) -> When {
        When::At(Span::Exactly(SimDuration::from_secs(seconds)))
    }

    fn after(fault: usize) -> When {
        let trigger = Trigger::Fault(fault, FaultPhase::Ended);
        When::After { trigger, delay: SimDuration::ZERO }
    }

    #[test]
    fn who_waits_for_what_is_left_out_is_left_out() {
        let all = [kill(at(1)), kill(after(0)), kill(after(1)), kill(at(2)), kill(after(3))];
        assert_eq!(select(&all, &[1, 2, 3, 4]), [kill(at(2)), kill(after(0))]);
        assert_eq!(select(&all, &[0, 1]), [kill(at(1)), kill(after(0))]);
        assert_eq!(select(&all, &[0, 3]), [kill(at(1)), kill(at(2))]);
        assert_eq!(select(&all, &[2]), []);
    }

    #[test]
    fn a_chain_of_faults_becomes_a_schedule() {
        let chain = [kill(at(1)), kill(after(0))];
        let struck = [SimTime::from_millis(1_000), SimTime::from_millis(3_000)];
        assert_eq!(in_time(&chain, &struck), [kill(at(1)), kill(at(3))]);
    }
}
