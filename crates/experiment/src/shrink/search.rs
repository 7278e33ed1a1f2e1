//! The search for a smaller scenario: of several proposals the first that is smaller and still
//! shows the target is taken, and the search goes on from there.
//!
//! Proposals run at the same time on several threads, but they are judged in their order, and runs
//! are counted as if they had been made one after the other: what comes out does not depend on how
//! many threads there are.

use super::control::{Control, Known};
use super::history::{Flawless, History, Shown};
use super::size::Size;
use super::target::Target;
use crate::case::Case;
use crate::parallel::in_order;
use acklab_scenario::Draft;
use acklab_scenario::model::Scenario;
use acklab_verdict::invariants::Violation;
use acklab_vocab::time::SimTime;
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
    control: Option<Control>,
    /// What is known of candidates' controls.
    known: Known,
    /// Texts that did not show the target.
    refused: BTreeSet<String>,
    step: usize,
    /// Somebody has asked to stop.
    pub(super) is_interrupted: bool,
    progress: &'a mut Progress<'a>,
}

/// Is told, after each run, how many runs have been made, and how many may be; breaks to stop.
pub(super) type Progress<'a> = dyn FnMut(u64, u64) -> ControlFlow<()> + 'a;

/// What a search is for.
#[derive(Clone, Debug)]
pub(super) struct Goal {
    pub(super) target: Target,
    /// How candidates are held against their controls.
    pub(super) control: Option<Control>,
    /// What candidates must not get wrong besides.
    pub(super) flawless: Flawless,
}

/// How a search is limited.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) seed: u64,
    pub(super) jobs: NonZeroUsize,
    pub(super) budget: u64,
}

impl<'a> Search<'a> {
    /// Begins with the scenario as it was, after so many runs.
    pub(super) fn new(
        best: Best,
        goal: Goal,
        limits: Limits,
        runs: u64,
        progress: &'a mut Progress<'a>,
    ) -> Search<'a> {
        let Goal { target, control, flawless } = goal;
        Search {
            best,
            target,
            steps: Vec::new(),
            findings: Vec::new(),
            runs,
            seed: limits.seed,
            jobs: limits.jobs,
            budget: limits.budget,
            flawless,
            control,
            known: Known::new(),
            refused: BTreeSet::new(),
            step: 0,
            is_interrupted: false,
            progress,
        }
    }

    /// Tells how far it has come.
    pub(super) fn report(&mut self) {
        self.is_interrupted |= (self.progress)(self.runs, self.budget).is_break();
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
        self.is_interrupted || self.is_over_budget()
    }

    /// As many runs were made as are allowed.
    pub(super) fn is_over_budget(&self) -> bool {
        self.runs >= self.budget
    }

    /// Something has been made smaller.
    pub(super) fn has_come_further(&self) -> bool {
        self.steps.iter().any(|step| step.kept > 0)
    }

    /// Takes what can be taken of what is proposed, until nothing more can.
    pub(super) fn descend(&mut self, propose: impl Fn(&Best) -> Vec<Proposal>) {
        while self.try_first(propose(&self.best), Rule::Smaller).is_some() {}
    }

    /// Takes the first proposal that will do. Its position.
    pub(super) fn try_first(&mut self, proposals: Vec<Proposal>, rule: Rule) -> Option<usize> {
        if self.is_interrupted {
            return None;
        }
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
        let goal = self.goal();
        let (seed, stop_at) = (self.seed, self.best.shown.stop_at(&self.target));
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
                let examined = goal.examine(case, seed, stop_at);
                let same = |shown: &Shown| schedule.as_ref().is_none_or(|it| *it == shown.schedule);
                Examined { shown: examined.shown.filter(same), ..examined }
            },
            |index, examined| {
                let candidate = &candidates[index as usize];
                self.runs += 1;
                self.steps[self.step].runs += 1;
                if let Some((text, defect)) = examined.finding
                    && self.findings.len() < FINDINGS_KEPT
                {
                    self.findings.push(Finding { text, defect, scenario: candidate.text.clone() });
                }
                let shown = examined.shown.filter(|_| self.control_is_met(&candidate.draft));
                self.report();
                if let Some(shown) = shown {
                    found = Some((index as usize, Some(shown)));
                    return ControlFlow::Break(());
                }
                self.steps[self.step].undone += 1;
                self.refused.insert(candidate.text.clone());
                if self.is_over() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            },
        );
        found
    }

    /// Whether the control of a draft, if there is one, does not show the target. Its run counts,
    /// and takes place only if there may be one more.
    fn control_is_met(&mut self, draft: &Draft) -> bool {
        let Some(control) = &self.control else { return true };
        let mut runs = 0;
        let (known, over) = (&mut self.known, self.runs >= self.budget);
        let known = (known, &mut runs);
        let met = !over && control.is_met(draft, self.seed, &self.target, &self.best.shown, known);
        self.runs += runs;
        self.steps[self.step].runs += runs;
        met
    }

    fn goal(&self) -> Goal {
        let (target, control) = (self.target.clone(), self.control.clone());
        Goal { target, control, flawless: self.flawless }
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
            let Some(shows) = self.share(&candidate.draft, &candidate.case, count) else { break };
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

    /// In how many of the seeds `0..count` a scenario shows the target; `None` if somebody asked to
    /// stop before that was known.
    pub(super) fn share(&mut self, draft: &Draft, case: &Case, count: u64) -> Option<u64> {
        let goal = self.goal();
        let (best, stop_at) = (self.best.shown.clone(), self.best.shown.stop_at(&self.target));
        let is_met = |control: &Control, seed: u64| {
            let alone = (&mut Known::new(), &mut 0);
            control.is_met(draft, seed, &goal.target, &best, alone)
        };
        let mut shown = 0;
        self.report();
        if self.is_interrupted {
            return None;
        }
        in_order(
            self.jobs,
            count,
            |seed| {
                goal.examine(case, seed, stop_at).shown.is_some()
                    && goal.control.as_ref().is_none_or(|control| is_met(control, seed))
            },
            |_, shows| {
                shown += u64::from(shows);
                self.report();
                match self.is_interrupted {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                }
            },
        );
        (!self.is_interrupted).then_some(shown)
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

impl Goal {
    /// Runs a case, and tells whether it shows the target and gets nothing else wrong.
    fn examine(&self, case: &Case, seed: u64, stop_at: Option<SimTime>) -> Examined {
        let history = History::of(case, seed, stop_at);
        let Some(ran) = history.outcome() else { return Examined { shown: None, finding: None } };
        let shows = self.target.shows(&ran);
        let finding = match ran {
            Err(_) if shows => None,
            Err(defect) => Some((defect.to_string(), true)),
            Ok(outcome) => {
                let broken = outcome.verdict.violations.first();
                broken.filter(|_| self.flawless.keeps_promises).map(|violation| {
                    let Violation { invariant, text, .. } = violation;
                    (format!("a broken promise, {invariant}: {text}"), false)
                })
            }
        };
        let is_sound = !self.flawless.broken_by(Flawless::of(&ran));
        let shown = (shows && is_sound).then(|| history.shown(case, seed, &self.target));
        Examined { shown, finding }
    }
}

const FINDINGS_KEPT: usize = 3;
