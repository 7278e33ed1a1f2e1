//! The search for a smaller scenario: of several proposals the first that is smaller and still
//! shows the target is taken, and the search goes on from there.
//!
//! Proposals run at the same time on several threads, but they are judged in their order, and runs
//! are counted as if they had been made one after the other: what comes out does not depend on how
//! many threads there are.

use super::size::Size;
use super::target::Target;
use crate::case::Case;
use crate::defect::{self, Defect};
use crate::outcome::Outcome;
use crate::parallel::in_order;
use acklab_runtime::RunOptions;
use acklab_scenario::Draft;
use acklab_scenario::model::{FaultSpec, Scenario};
use acklab_verdict::{Judge, Verdict};
use acklab_vocab::ids::TopicPartition;
use acklab_vocab::time::{SimDuration, SimTime};
use serde::Serialize;
use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;

/// One thing that has been made smaller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What.
    pub what: String,
    /// What it was.
    pub from: String,
    /// What it is now; empty if it is gone.
    pub to: String,
}

/// One kind of reduction, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Its name: `faults`, `processes`, …
    pub name: &'static str,
    /// How many reductions were kept.
    pub kept: u64,
    /// How many were undone, because the target was gone.
    pub undone: u64,
    /// How many runs that took. A reduction that changes nothing at all takes none.
    pub runs: u64,
    /// What has been made smaller.
    pub changes: Vec<Change>,
}

/// Something else that a candidate has shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// In words.
    pub text: String,
    /// The simulator panicked.
    pub defect: bool,
    /// The candidate.
    pub scenario: String,
}

/// A scenario that may be smaller.
#[derive(Debug)]
pub(super) struct Proposal {
    draft: Draft,
    change: Change,
}

impl Proposal {
    /// None where the draft has no such part.
    pub(super) fn new(
        draft: Option<Draft>,
        what: impl Into<String>,
        from: impl Into<String>,
        to: impl Into<String>,
    ) -> Option<Proposal> {
        let change = Change { what: what.into(), from: from.into(), to: to.into() };
        Some(Proposal { draft: draft?, change })
    }
}

/// When a proposal that shows the target is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// It is smaller.
    Smaller,
    /// It is smaller, and the same faults strike the same processes at the same instants.
    SmallerAndStrikesTheSame,
    /// Always.
    Always,
}

/// The smallest scenario so far.
#[derive(Clone, Debug)]
pub(super) struct Best {
    pub(super) draft: Draft,
    pub(super) case: Case,
    pub(super) size: Size,
    pub(super) shown: Shown,
}

impl Best {
    pub(super) fn scenario(&self) -> &Scenario {
        &self.case.scenario
    }
}

/// What is kept of a run that shows the target.
#[derive(Clone, Debug, Default)]
pub(super) struct Shown {
    pub(super) ended_at: SimTime,
    pub(super) schedule: Vec<FaultSpec>,
    /// Where the anomaly is, if it is one of a record.
    pub(super) partition: Option<TopicPartition>,
}

/// What the first run has not shown: a smaller scenario must not either, or it would show something
/// else.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flawless {
    comes_to_rest: bool,
    keeps_promises: bool,
    is_explained: bool,
}

impl Flawless {
    fn of(outcome: &Outcome) -> Flawless {
        let Verdict { violations, .. } = &outcome.verdict;
        Flawless {
            comes_to_rest: outcome.stuck.is_none(),
            keeps_promises: violations.is_empty(),
            is_explained: outcome.verdict.count(acklab_verdict::Counter::Unexplained) == 0,
        }
    }

    /// What a run has got wrong that it should not.
    fn broken_by(self, of: Flawless) -> bool {
        (self.comes_to_rest && !of.comes_to_rest)
            || (self.keeps_promises && !of.keeps_promises)
            || (self.is_explained && !of.is_explained)
    }
}

/// The search.
pub(super) struct Search<'a> {
    pub(super) best: Best,
    pub(super) target: Target,
    pub(super) steps: Vec<Step>,
    pub(super) findings: Vec<Finding>,
    /// So many runs have been made.
    pub(super) runs: u64,
    pub(super) seed: u64,
    jobs: NonZeroUsize,
    budget: u64,
    flawless: Flawless,
    /// Texts that did not show the target.
    refused: BTreeSet<String>,
    step: usize,
    progress: &'a mut dyn FnMut(u64, u64),
}

/// How a search is limited.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) seed: u64,
    pub(super) jobs: NonZeroUsize,
    pub(super) budget: u64,
}

impl<'a> Search<'a> {
    /// Begins with a scenario whose run is `ran`.
    pub(super) fn new(
        draft: Draft,
        case: Case,
        target: Target,
        ran: &Result<Outcome, Defect>,
        limits: Limits,
        progress: &'a mut dyn FnMut(u64, u64),
    ) -> Search<'a> {
        let size = Size::of(&draft, &case.scenario);
        let shown = ran.as_ref().map(|outcome| shown(&target, outcome)).unwrap_or_default();
        let perfect = Flawless { comes_to_rest: true, keeps_promises: true, is_explained: true };
        Search {
            best: Best { draft, case, size, shown },
            target,
            steps: Vec::new(),
            findings: Vec::new(),
            runs: 1,
            seed: limits.seed,
            jobs: limits.jobs,
            budget: limits.budget,
            flawless: ran.as_ref().map_or(perfect, Flawless::of),
            refused: BTreeSet::new(),
            step: 0,
            progress,
        }
    }

    /// What follows belongs to the step of this name.
    pub(super) fn begin(&mut self, name: &'static str) {
        let known = self.steps.iter().position(|step| step.name == name);
        self.step = known.unwrap_or_else(|| {
            self.steps.push(Step { name, kept: 0, undone: 0, runs: 0, changes: Vec::new() });
            self.steps.len() - 1
        });
    }

    /// There may be no more runs.
    pub(super) fn is_over(&self) -> bool {
        self.runs >= self.budget
    }

    /// Takes what can be taken of what is proposed, until nothing more can.
    pub(super) fn descend(&mut self, propose: impl Fn(&Best) -> Vec<Proposal>) {
        while self.try_first(propose(&self.best), Rule::Smaller).is_some() {}
    }

    /// Takes the first proposal that will do. Its position.
    pub(super) fn try_first(&mut self, proposals: Vec<Proposal>, rule: Rule) -> Option<usize> {
        let mut candidates = Vec::new();
        for (position, proposal) in proposals.into_iter().enumerate() {
            if self.runs + candidates.len() as u64 >= self.budget {
                break;
            }
            let Some(candidate) = self.candidate(position, proposal, rule) else { continue };
            let last = candidate.is_equal;
            candidates.push(candidate);
            if last {
                break;
            }
        }
        let unequal = candidates.iter().filter(|candidate| !candidate.is_equal).count();
        let taken = self.run(&candidates[..unequal], rule);
        let (chosen, shown) = match taken {
            Some(taken) => taken,
            None => {
                let equal = candidates.last().filter(|candidate| candidate.is_equal)?;
                (candidates.iter().position(|it| it.position == equal.position)?, None)
            }
        };
        let Candidate { position, draft, case, size, change, .. } = candidates.swap_remove(chosen);
        let shown = shown.unwrap_or_else(|| self.best.shown.clone());
        self.best = Best { draft, case, size, shown };
        self.note(change);
        Some(position)
    }

    fn candidate(&mut self, position: usize, proposal: Proposal, rule: Rule) -> Option<Candidate> {
        let Proposal { draft, change } = proposal;
        let text = draft.write();
        if self.refused.contains(&text) {
            return None;
        }
        let Ok(resolved) = draft.resolve() else {
            self.refused.insert(text);
            return None;
        };
        let case = Case::from(resolved);
        let size = Size::of(&draft, &case.scenario);
        if rule != Rule::Always && size >= self.best.size {
            return None;
        }
        let is_equal = *case.scenario == *self.best.case.scenario;
        Some(Candidate { position, draft, text, case, size, change, is_equal })
    }

    /// Runs candidates until one shows the target: which, and how.
    fn run(&mut self, candidates: &[Candidate], rule: Rule) -> Option<(usize, Option<Shown>)> {
        let stop_at = self.best.shown.ended_at.0.max(0).saturating_mul(2);
        let stop_at = SimTime(stop_at) + MORE_TIME;
        let (seed, target, flawless) = (self.seed, self.target.clone(), self.flawless);
        let schedule = match rule {
            Rule::SmallerAndStrikesTheSame => Some(self.best.shown.schedule.clone()),
            Rule::Smaller | Rule::Always => None,
        };
        let mut found = None;
        in_order(
            self.jobs,
            candidates.len() as u64,
            |index| {
                let case = &candidates[index as usize].case;
                let examined = examine(case, seed, stop_at, &target, flawless);
                let same = |shown: &Shown| schedule.as_ref().is_none_or(|it| *it == shown.schedule);
                Examined { shown: examined.shown.filter(same), ..examined }
            },
            |index, examined| {
                let candidate = &candidates[index as usize];
                self.runs += 1;
                self.steps[self.step].runs += 1;
                (self.progress)(self.runs, self.budget);
                if let Some((text, defect)) = examined.finding
                    && self.findings.len() < FINDINGS_KEPT
                {
                    self.findings.push(Finding { text, defect, scenario: candidate.text.clone() });
                }
                if let Some(shown) = examined.shown {
                    found = Some((index as usize, Some(shown)));
                    return ControlFlow::Break(());
                }
                self.steps[self.step].undone += 1;
                self.refused.insert(candidate.text.clone());
                ControlFlow::Continue(())
            },
        );
        found
    }

    /// Several changes of one thing are one.
    fn note(&mut self, change: Change) {
        let step = &mut self.steps[self.step];
        step.kept += 1;
        match step.changes.iter_mut().find(|known| known.what == change.what) {
            Some(known) => known.to = change.to,
            None => step.changes.push(change),
        }
    }

    /// Takes the first proposal that shows the target in more of the seeds `0..count` than `share`,
    /// the best of those that do. In how many it shows it now.
    pub(super) fn steady(&mut self, proposals: Vec<Proposal>, share: u64, count: u64) -> u64 {
        let mut steadiest: Option<(u64, Candidate, Shown)> = None;
        for (position, proposal) in proposals.into_iter().enumerate() {
            if self.is_over() {
                break;
            }
            let Some(candidate) = self.candidate(position, proposal, Rule::Always) else {
                continue;
            };
            let candidates = [candidate];
            let Some((_, Some(shown))) = self.run(&candidates, Rule::Always) else { continue };
            let [candidate] = candidates;
            let shows = self.share(&candidate.case, count);
            if shows > steadiest.as_ref().map_or(share, |(most, ..)| *most) {
                steadiest = Some((shows, candidate, shown));
            }
        }
        let Some((shows, candidate, shown)) = steadiest else { return share };
        let Candidate { draft, case, size, change, .. } = candidate;
        self.best = Best { draft, case, size, shown };
        self.note(change);
        shows
    }

    /// In how many of the seeds `0..count` a case shows the target.
    pub(super) fn share(&self, case: &Case, count: u64) -> u64 {
        let mut shown = 0;
        let (target, flawless) = (&self.target, self.flawless);
        let stop_at = SimTime(self.best.shown.ended_at.0.max(0).saturating_mul(2)) + MORE_TIME;
        in_order(
            self.jobs,
            count,
            |seed| examine(case, seed, stop_at, target, flawless).shown.is_some(),
            |_, shows| {
                shown += u64::from(shows);
                ControlFlow::Continue(())
            },
        );
        shown
    }
}

/// A proposal that can run.
#[derive(Debug)]
struct Candidate {
    position: usize,
    draft: Draft,
    text: String,
    case: Case,
    size: Size,
    change: Change,
    /// It says less, and means the same.
    is_equal: bool,
}

/// What came of a candidate's run.
struct Examined {
    shown: Option<Shown>,
    finding: Option<(String, bool)>,
}

fn examine(
    case: &Case,
    seed: u64,
    stop_at: SimTime,
    target: &Target,
    flawless: Flawless,
) -> Examined {
    let ran = match run(case, seed, stop_at) {
        Ok(None) => return Examined { shown: None, finding: None },
        Ok(Some(outcome)) => Ok(outcome),
        Err(defect) => Err(defect),
    };
    let shows = target.shows(&ran);
    match ran {
        Err(_) if shows => Examined { shown: Some(Shown::default()), finding: None },
        Err(defect) => Examined { shown: None, finding: Some((defect.to_string(), true)) },
        Ok(outcome) => {
            let own = Flawless::of(&outcome);
            let finding = outcome.verdict.violations.first();
            let finding = finding.filter(|_| flawless.keeps_promises).map(|violation| {
                (format!("a broken promise, {}: {}", violation.invariant, violation.text), false)
            });
            let is_sound = !flawless.broken_by(own);
            Examined { shown: (shows && is_sound).then(|| shown(target, &outcome)), finding }
        }
    }
}

/// Runs one history and judges it; `None` if it is not over by then.
fn run(case: &Case, seed: u64, stop_at: SimTime) -> Result<Option<Outcome>, Defect> {
    let options = RunOptions { stop_at: Some(stop_at), ..RunOptions::default() };
    let result = defect::catch(&case.scenario, seed, || {
        acklab_runtime::run(&case.scenario, seed, options, Judge::new())
    })?;
    if result.view.is_some() {
        return Ok(None);
    }
    let conclude = |judge: Judge| (judge.finish(), ());
    defect::catch(&case.scenario, seed, || Some(Outcome::of(case, result, conclude).0))
}

fn shown(target: &Target, outcome: &Outcome) -> Shown {
    let partition = match target {
        Target::Anomaly { kind, cause, .. } => {
            let anomalies = &outcome.verdict.anomalies;
            let same = anomalies.iter().find(|of| of.kind == *kind && of.cause == *cause);
            same.and_then(|of| of.partition)
        }
        Target::Defect { .. }
        | Target::Violation { .. }
        | Target::Stuck { .. }
        | Target::Expectation { .. } => None,
    };
    Shown { ended_at: outcome.ended_at, schedule: outcome.schedule.clone(), partition }
}

/// A smaller scenario may take longer to come to rest, up to twice the time and this.
const MORE_TIME: SimDuration = SimDuration::from_secs(150);

const FINDINGS_KEPT: usize = 3;
