//! The same seed twice: the same history, to the last fact?

use crate::case::Case;
use crate::defect::Defect;
use crate::lockstep::{self, Divergence};
use crate::outcome::Outcome;
use std::fmt;
use std::thread;

/// What moves the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// The runtime on madsim, as everywhere.
    Madsim,
    /// The plain loop that must give the same histories.
    Plain,
}

/// Whether the two runs of a seed happen at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// One after the other, in different threads.
    Alone,
    /// Both at once, in different threads.
    Together,
}

/// Two runs of one seed differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Name of the scenario.
    pub scenario: String,
    /// Its variant.
    pub variant: String,
    /// The seed.
    pub seed: u64,
    /// What the runs have come to, each line as `what: first, second`.
    pub differences: Vec<String>,
    /// The first fact on which they differ; `None` if two further runs did not differ.
    pub divergence: Option<Divergence>,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mismatch { scenario, variant, seed, differences, divergence } = self;
        write!(f, "two runs of {scenario}, variant {variant}, seed {seed} differ")?;
        for difference in differences {
            write!(f, "\n  {difference}")?;
        }
        match divergence {
            Some(divergence) => {
                write!(f, "\n  they part at fact {}:{divergence}", divergence.index)
            }
            None => f.write_str("\n  two more runs, fact by fact, did not: it comes and goes"),
        }
    }
}

/// Runs a seed twice, in two threads, and compares everything that the runs come to.
///
/// # Errors
/// [`Defect`] if the simulator panics in either run.
pub fn verify(
    case: &Case,
    seed: u64,
    second: Driver,
    pace: Pace,
) -> Result<Option<Mismatch>, Defect> {
    let run = |driver| case.run_by(seed, driver, ()).map(|(outcome, ())| outcome);
    let (first, other) = thread::scope(|scope| {
        let other = scope.spawn(move || match pace {
            Pace::Alone => None,
            Pace::Together => Some(run(second)),
        });
        let first = run(Driver::Madsim);
        let other = match join(other) {
            Some(other) => other,
            None => join(scope.spawn(move || run(second))),
        };
        (first, other)
    });
    let differences = differences(&first?, &other?);
    if differences.is_empty() {
        return Ok(None);
    }
    Ok(Some(Mismatch {
        scenario: case.scenario.name.clone(),
        variant: case.scenario.variant.clone(),
        seed,
        differences,
        divergence: lockstep::first_divergence(case, seed, second),
    }))
}

fn join<T>(handle: thread::ScopedJoinHandle<'_, T>) -> T {
    handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn differences(first: &Outcome, second: &Outcome) -> Vec<String> {
    let mut differences = Vec::new();
    let mut compare = |what: &str, one: String, other: String| {
        if one != other {
            differences.push(format!("{what}: {one}, {other}"));
        }
    };
    let (one, other) = (&first.verdict.digest, &second.verdict.digest);
    compare("trajectory digest", one.trajectory.clone(), other.trajectory.clone());
    compare("verdict digest", one.verdict.clone(), other.verdict.clone());
    compare("events", first.events.to_string(), second.events.to_string());
    compare("end", format!("{:#}", first.ended_at), format!("{:#}", second.ended_at));
    compare("stuck", format!("{:?}", first.stuck), format!("{:?}", second.stuck));
    if first.schedule != second.schedule {
        differences.push("the faults that struck are not the same".to_owned());
    }
    differences
}
