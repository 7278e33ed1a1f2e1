//! From a history in which something went wrong to a smallest scenario that still shows it, for the
//! same cause.
//!
//! The faults that were drawn become a fixed schedule. Then faults, processes, workload and
//! settings are left out or made smaller, again and again until nothing more can be: every time the
//! same seed runs again, and what no longer shows the target is undone. What counts as smaller is
//! the order of [`Size`].
//!
//! The version of Kafka stays what it is, and so does the time that a run has to come to rest.

mod control;
mod ddmin;
mod history;
mod reductions;
mod result;
mod search;
mod size;
mod target;

pub use result::{Share, Shrunk};
pub use search::{Change, Finding, Step};
pub use size::Size;
pub use target::{Anomalous, NothingToShrink, Target, Wanted, What};

use crate::case::Case;
use acklab_scenario::{Diagnostic, Draft, Expectation};
use acklab_vocab::time::SimTime;
use control::Control;
use history::{Flawless, History, Shown};
use reductions::{faults, processes, roles, rounding, settings, workload};
use search::{Best, Goal, Limits, Search};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;

/// What to shrink, and how long to try.
#[derive(Clone, Debug)]
pub struct Options {
    /// The history.
    pub seed: u64,
    /// What the small scenario has to show.
    pub wanted: Wanted,
    /// How many runs may be made.
    pub budget: u64,
    /// How many at a time.
    pub jobs: NonZeroUsize,
    /// Where the scenario comes from, in words, for whoever reads the result.
    pub origin: String,
    /// The command line that shrinks it, for the same.
    pub command: String,
}

/// Why there is no smaller scenario.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ShrinkError {
    /// What is wanted does not happen.
    #[error(transparent)]
    Nothing(#[from] NothingToShrink),
    /// The scenario cannot run.
    #[error("{}", .0.first().map_or_else(String::new, ToString::to_string))]
    Scenario(Vec<Diagnostic>),
    /// `progress` asked to stop before anything was smaller.
    #[error("interrupted before anything was smaller")]
    Interrupted,
}

/// Shrinks a scenario. `expect` is what was expected of it. `progress` is told, after each run, how
/// many runs have been made, and how many may be; if it breaks, the result is what has been reached
/// by then.
///
/// # Errors
/// [`ShrinkError`]
pub fn shrink(
    draft: &Draft,
    expect: &[Expectation],
    options: &Options,
    progress: &mut dyn FnMut(u64, u64) -> ControlFlow<()>,
) -> Result<Shrunk, ShrinkError> {
    let case = Case::from(draft.resolve().map_err(ShrinkError::Scenario)?);
    let Options { seed, budget, jobs, .. } = *options;
    let limits = Limits { seed, jobs, budget };
    let history = History::of(&case, seed, None);
    if progress(1, budget).is_break() {
        return Err(ShrinkError::Interrupted);
    }
    let ran = history.outcome().expect("a run that nothing stops is over");
    let targets = Target::all(&options.wanted, &ran, expect)?;
    let mut runs = 1;
    let flawless = Flawless::of(&ran);
    let original = Original { draft, case: &case, history: &history, seed };
    let (target, control, shown) = original.choose(targets, &mut runs)?;
    let best = Best { draft: draft.clone(), size: Size::of(draft, &case.scenario), case, shown };
    let before = best.size;
    let goal = Goal { target, control, flawless };
    let mut search = Search::new(best, goal, limits, runs, progress);
    reduce(&mut search, &history.struck);
    let over_budget = search.is_over_budget();
    let shows = steady(&mut search);
    if search.is_interrupted && !search.has_come_further() {
        return Err(ShrinkError::Interrupted);
    }
    Ok(Shrunk::of(search, before, shows, over_budget, options))
}

/// The history that is to be shrunk.
struct Original<'a> {
    draft: &'a Draft,
    case: &'a Case,
    history: &'a History,
    seed: u64,
}

impl Original<'_> {
    /// The first target that a smaller scenario can be held against. Adds the runs that it took.
    fn choose(
        &self,
        targets: Vec<Target>,
        runs: &mut u64,
    ) -> Result<(Target, Option<Control>, Shown), NothingToShrink> {
        let mut nothing = NothingToShrink { message: "nothing went wrong".to_owned() };
        for target in targets {
            let shown = self.history.shown(self.case, self.seed, &target);
            match Control::choose(&target, self.draft, self.seed, &shown, runs) {
                Ok(control) => return Ok((target, control, shown)),
                Err(refused) => nothing = refused,
            }
        }
        Err(nothing)
    }
}

fn reduce(search: &mut Search<'_>, struck: &[SimTime]) {
    search.begin("schedule");
    faults::fix(search, struck);
    search.begin("faults");
    faults::leave_out(search);
    search.begin("rounding");
    rounding::together(search);
    // What follows is quicker with less to do.
    search.begin("workload");
    workload::lower(search);
    search.begin("faults");
    faults::simplify(search);
    search.begin("roles");
    roles::name(search);
    loop {
        let before = search.best.draft.clone();
        search.begin("processes");
        processes::leave_out(search);
        search.begin("workload");
        workload::lower(search);
        search.begin("processes");
        processes::lower_counts(search);
        search.begin("settings");
        settings::leave_out(search);
        settings::make_constant(search);
        search.begin("faults");
        faults::simplify(search);
        faults::leave_out(search);
        search.begin("roles");
        roles::name(search);
        search.begin("rounding");
        rounding::round(search);
        if search.is_over() || search.best.draft == before {
            return;
        }
    }
}

/// So many seeds tell whether a scenario shows its target as a rule or by luck.
pub const SEEDS: u64 = 20;

/// In how many of the seeds the result shows its target; where not in all, faults that name a
/// server by its role instead of its number may show it in more. `None` if there was no time for
/// that.
fn steady(search: &mut Search<'_>) -> Option<u64> {
    search.begin("seeds");
    let Best { draft, case, .. } = search.best.clone();
    let mut shows = search.share(&draft, &case, SEEDS)?;
    while shows < SEEDS {
        let proposals = roles::proposals(&search.best);
        let steadier = search.steady(proposals, shows, SEEDS);
        if steadier == shows {
            break;
        }
        shows = steadier;
    }
    Some(shows)
}
