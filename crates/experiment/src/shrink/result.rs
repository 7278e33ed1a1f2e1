//! What a search has come to: a scenario as a file, and the way there.

use super::search::{Finding, Search, Step};
use super::size::Size;
use super::target::Target;
use super::{Options, SEEDS};
use crate::case::Case;
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
    /// In how many of the first seeds it shows it.
    pub seeds: Share,
    /// Whether what the file expects holds: not for defects, and for runs that do not come to rest.
    pub holds: bool,
    /// What was tried, and what came of it.
    pub steps: Vec<Step>,
    /// How many runs were made, those over several seeds aside.
    pub runs: u64,
    /// It might have become smaller if more runs had been allowed.
    pub over_budget: bool,
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
        shows: u64,
        over_budget: bool,
        options: &Options,
    ) -> Shrunk {
        let Search { best, target, steps, findings, runs, seed, .. } = search;
        let seeds = Share { shown: shows, of: SEEDS };
        let flaws = best.case.run(seed).map(|outcome| flaws(&target, &outcome));
        let expect: Vec<Expectation> =
            target.expectations().into_iter().chain(flaws.unwrap_or_default()).collect();
        let draft = finished(&best.draft, &target, &expect, options).unwrap_or(best.draft);
        let holds = draft.resolve().is_ok_and(|resolved| {
            let ran = Case::from(resolved).run(seed);
            ran.is_ok_and(|outcome| outcome.is_as_expected())
        });
        let steps = steps.into_iter().filter(|step| step.kept + step.runs > 0).collect();
        Shrunk {
            seed,
            shows: target.describe(),
            scenario: format!("{}{}", preface(options, seeds), draft.write()),
            before,
            after: best.size,
            seeds,
            holds,
            steps,
            runs,
            over_budget,
            findings,
        }
    }
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
    target: &Target,
    expect: &[Expectation],
    options: &Options,
) -> Option<Draft> {
    let source = format!("shrunk from {}", one_line(&options.origin));
    let draft = draft.with_text("about", &target.describe())?.with_text("source", &source)?;
    match expect {
        [] => Some(draft),
        _ => draft.with("expect", &write_expectations(expect)),
    }
}

/// What a reader has to know who finds the file.
fn preface(options: &Options, seeds: Share) -> String {
    let Options { seed, origin, .. } = options;
    format!(
        "// Made by `acklab shrink`, acklab {}, from {}.\n\
         // Run it with --seed {seed}. It shows in {} of the seeds 0 to {}.\n",
        env!("CARGO_PKG_VERSION"),
        one_line(origin),
        seeds.shown,
        seeds.of - 1,
    )
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
