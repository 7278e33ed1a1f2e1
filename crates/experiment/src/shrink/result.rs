//! What a search has come to: a scenario as a file, and the way there.

use super::search::{Finding, Search, Step};
use super::size::Size;
use super::target::Target;
use super::{Options, SEEDS};
use crate::case::Case;
use crate::counts::Judged;
use crate::outcome::Outcome;
use acklab_scenario::{Bound, Counter, Draft, Expectation, Quantity, write_expectations};
use serde::Serialize;

/// A scenario made small.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shrunk {
    /// The history that shows it, of the scenario as it was and as it is now.
    pub seed: u64,
    /// What it shows, in words.
    pub shows: String,
    /// The small scenario: the text of a file.
    pub scenario: String,
    /// How large the scenario was.
    pub before: Size,
    /// How large it is now.
    pub after: Size,
    /// In how many of the first seeds it shows it; none if somebody asked to stop before that was
    /// known.
    pub seeds: Option<Share>,
    /// Whether what the file expects holds: not for defects, and for runs that do not come to rest.
    pub holds: bool,
    /// What was tried, and what came of it.
    pub steps: Vec<Step>,
    /// How many runs were made, those over several seeds aside.
    pub runs: u64,
    /// It might have become smaller if more runs had been allowed.
    pub over_budget: bool,
    /// It might have become smaller if nobody had asked to stop.
    pub interrupted: bool,
    /// What else happened on the way.
    pub findings: Vec<Finding>,
}

/// A share of some seeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Share {
    /// So many.
    pub shown: u64,
    /// Of so many.
    pub of: u64,
}

impl Shrunk {
    pub(super) fn of(
        search: Search<'_>,
        before: Size,
        shows: Option<u64>,
        over_budget: bool,
        options: &Options,
    ) -> Shrunk {
        let Search { best, target, steps, findings, runs, seed, is_interrupted, .. } = search;
        let seeds = shows.map(|shown| Share { shown, of: SEEDS });
        let outcome = best.case.run(seed);
        let expect = expectations(&target, outcome.as_ref().ok());
        let shows = described(&target, outcome.as_ref().ok());
        let draft = finished(&best.draft, &shows, &expect, options).unwrap_or(best.draft);
        let holds = draft.resolve().is_ok_and(|resolved| {
            let ran = Case::from(resolved).run(seed);
            ran.is_ok_and(|outcome| outcome.is_as_expected() && target.shows(&Ok(&outcome)))
        });
        let steps = steps.into_iter().filter(|step| step.kept + step.runs > 0).collect();
        Shrunk {
            seed,
            scenario: format!("{}{}", preface(&target, options, seeds), draft.write()),
            shows,
            before,
            after: best.size,
            seeds,
            holds,
            steps,
            runs,
            over_budget: over_budget && !is_interrupted,
            interrupted: is_interrupted,
            findings,
        }
    }
}

/// What the file expects: what it has to show, what it gets wrong besides, and where there is no
/// word for what it shows, what is there to see of it.
fn expectations(target: &Target, outcome: Option<&Outcome>) -> Vec<Expectation> {
    let mut expect = target.expectations();
    if let (Target::Stuck { .. }, Some(outcome)) = (target, outcome) {
        expect.extend(unfinished(outcome));
    }
    expect.extend(outcome.into_iter().flat_map(|outcome| flaws(target, outcome)));
    if expect.is_empty() {
        let quantity = Quantity::Counter(Counter::Violations);
        expect.push(Expectation { quantity, bound: Bound::Exactly(0) });
    }
    expect
}

/// What the small scenario shows. Of the reasons for which a run does not come to rest some may have
/// gone.
fn described(target: &Target, outcome: Option<&Outcome>) -> String {
    match (target, outcome.and_then(|outcome| outcome.stuck.as_ref())) {
        (Target::Stuck { .. }, Some(stuck)) => {
            format!("does not come to rest: {}", stuck.because.join("; "))
        }
        _ => target.describe(),
    }
}

/// What is left over where a run does not come to rest.
fn unfinished(outcome: &Outcome) -> Vec<Expectation> {
    let counts = Judged(&outcome.verdict);
    let left_over = [Counter::Undecided, Counter::Unknown, Counter::Pending];
    let expected = left_over.map(|counter| {
        let quantity = Quantity::Counter(counter);
        Expectation { quantity, bound: Bound::AtLeast(1) }
    });
    expected.into_iter().filter(|expectation| expectation.holds(&counts)).collect()
}

/// What a run gets wrong besides: a scenario has to expect it, or it fails.
fn flaws(target: &Target, outcome: &Outcome) -> Vec<Expectation> {
    let verdict = &outcome.verdict;
    let expected = target.expectations();
    let flaws = [
        (Counter::Violations, !verdict.violations.is_empty()),
        (Counter::Unexplained, verdict.count(acklab_verdict::Counter::Unexplained) > 0),
    ];
    flaws
        .into_iter()
        .filter(|(_, shows)| *shows)
        .map(|(counter, _)| Quantity::Counter(counter))
        .filter(|quantity| expected.iter().all(|expectation| expectation.quantity != *quantity))
        .map(|quantity| Expectation { quantity, bound: Bound::AtLeast(1) })
        .collect()
}

fn finished(
    draft: &Draft,
    shows: &str,
    expect: &[Expectation],
    options: &Options,
) -> Option<Draft> {
    let source = format!("shrunk from {}", one_line(&options.origin));
    let draft = draft.with_text("about", shows)?.with_text("source", &source)?;
    draft.with("expect", &write_expectations(expect))
}

/// What a reader has to know who finds the file.
fn preface(target: &Target, options: &Options, seeds: Option<Share>) -> String {
    let Options { seed, command, .. } = options;
    let share = seeds.map_or_else(String::new, |Share { shown, of }| {
        format!(" It shows in {shown} of the seeds 0 to {}.", of - 1)
    });
    let exit = match target {
        Target::Defect { .. } => {
            "// acklab panics, with exit status 101; what is expected holds once that is mended.\n"
        }
        Target::Stuck { .. } => {
            "// It does not come to rest, which no file can expect: the exit status is 1.\n"
        }
        Target::Violation { .. } | Target::Anomaly(_) | Target::Expectation { .. } => "",
    };
    format!(
        "// Made by acklab {}:\n// {}\n// Run it with --seed {seed}.{share}\n{exit}",
        env!("CARGO_PKG_VERSION"),
        one_line(command),
    )
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
