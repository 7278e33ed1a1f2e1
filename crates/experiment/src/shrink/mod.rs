//! From a history in which something went wrong to a smallest scenario that still shows it, for the
//! same cause.
//!
//! The faults that were drawn become a fixed schedule. Then faults, processes, workload and
//! settings are left out or made smaller, again and again until nothing more can be: every time the
//! same seed runs again, and what no longer shows the target is undone. What counts as smaller is
//! the order of [`Size`].
//!
//! The version of Kafka stays what it is, and so does the time that a run has to come to rest.

mod ddmin;
mod reductions;
mod result;
mod search;
mod size;
mod target;

pub use result::{Share, Shrunk};
pub use search::{Change, Finding, Step};
pub use size::Size;
pub use target::{NothingToShrink, Target, Wanted, What};

use crate::case::Case;
use crate::defect::{self, Defect};
use crate::outcome::Outcome;
use acklab_runtime::RunOptions;
use acklab_scenario::model::FaultSpec;
use acklab_scenario::{Diagnostic, Draft, Expectation};
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::{Observer, Stamped, TraceEvent};
use reductions::{faults, processes, roles, rounding, settings, workload};
use search::{Limits, Search};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

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
}

/// Shrinks a scenario. `expect` is what was expected of it. `progress` is told, after each run, how
/// many runs have been made, and how many may be.
///
/// # Errors
/// [`ShrinkError`]
pub fn shrink(
    draft: &Draft,
    expect: &[Expectation],
    options: &Options,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Shrunk, ShrinkError> {
    let case = Case::from(draft.resolve().map_err(ShrinkError::Scenario)?);
    let Original { ran, schedule, struck } = Original::run(&case, options.seed);
    let target = Target::choose(&options.wanted, &ran, expect)?;
    let Options { seed, budget, jobs, .. } = *options;
    let limits = Limits { seed, jobs, budget };
    let mut search = Search::new(draft.clone(), case, target, &ran, limits, progress);
    let before = search.best.size;
    search.best.shown.schedule = schedule;
    reduce(&mut search, &struck);
    let over_budget = search.is_over();
    let shows = steady(&mut search);
    Ok(Shrunk::of(search, before, shows, over_budget, options))
}

fn reduce(search: &mut Search<'_>, struck: &[SimTime]) {
    search.begin("schedule");
    faults::fix(search, struck);
    search.begin("faults");
    faults::leave_out(search);
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
/// server by its role instead of its number may show it in more.
fn steady(search: &mut Search<'_>) -> u64 {
    search.begin("seeds");
    let mut shows = search.share(&search.best.case, SEEDS);
    while shows < SEEDS {
        let proposals = roles::proposals(&search.best);
        let steadier = search.steady(proposals, shows, SEEDS);
        if steadier == shows {
            break;
        }
        shows = steadier;
    }
    shows
}

/// The history that is to be shrunk.
struct Original {
    ran: Result<Outcome, Defect>,
    /// The faults that struck.
    schedule: Vec<FaultSpec>,
    /// When each of them did.
    struck: Vec<SimTime>,
}

impl Original {
    fn run(case: &Case, seed: u64) -> Original {
        let strikes = Strikes::default();
        let ran = case.run_observed(seed, strikes.clone()).map(|(outcome, _)| outcome);
        let Struck { now, at: struck } = strikes.take();
        let schedule = match &ran {
            Ok(outcome) => outcome.schedule.clone(),
            Err(_) => struck_before(case, seed, now),
        };
        Original { ran, schedule, struck }
    }
}

/// The faults that struck before the simulator panicked.
fn struck_before(case: &Case, seed: u64, panicked: SimTime) -> Vec<FaultSpec> {
    for stop_at in [panicked, panicked - SimDuration::from_nanos(1)] {
        let options = RunOptions { stop_at: Some(stop_at), ..RunOptions::default() };
        let run = || acklab_runtime::run(&case.scenario, seed, options, ());
        if let Ok(result) = defect::catch(&case.scenario, seed, run) {
            return result.schedule;
        }
    }
    Vec::new()
}

/// Notes when faults strike, also of a run that panics.
#[derive(Clone, Debug, Default)]
struct Strikes(Arc<Mutex<Struck>>);

#[derive(Debug, Default)]
struct Struck {
    /// The last instant of which a fact was stated.
    now: SimTime,
    at: Vec<SimTime>,
}

impl Strikes {
    fn take(&self) -> Struck {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Observer for Strikes {
    fn observe(&mut self, stamped: &Stamped) {
        let mut struck = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        struck.now = stamped.at;
        if let TraceEvent::FaultBegan { .. } = stamped.event {
            struck.at.push(stamped.at);
        }
    }
}
