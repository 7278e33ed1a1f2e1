//! The arguments of `acklab shrink`.

use super::{ScenarioArgs, seed};
use acklab_experiment::shrink::What;
use acklab_verdict::{AnomalyKind, Cause};
use clap::{Args, ValueEnum};
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;

/// `acklab shrink`
#[derive(Debug, Args)]
pub struct ShrinkArgs {
    #[command(flatten)]
    pub scenario: ScenarioArgs,
    /// The history in which something went wrong
    #[arg(long, value_name = "N", value_parser = seed)]
    pub seed: u64,
    /// Write the small scenario there, not to standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// What it has to show [default: the worst thing in the history]
    #[arg(long, value_name = "WHAT", help_heading = "What it has to show")]
    pub anomaly: Option<AnomalyArg>,
    /// For this cause, by its name in JSON: acked_before_replication
    #[arg(long, value_name = "CAUSE", value_parser = cause, help_heading = "What it has to show")]
    pub cause: Option<Cause>,
    /// In this consumer application
    #[arg(long, value_name = "NAME", help_heading = "What it has to show")]
    pub group: Option<String>,
    /// How many runs may be made
    #[arg(long, value_name = "RUNS", default_value = "400")]
    pub budget: NonZeroU64,
    /// How many runs at a time [default: one per core]
    #[arg(long, value_name = "N")]
    pub jobs: Option<NonZeroUsize>,
    /// Print the scenario and the way to it as JSON
    #[arg(long)]
    pub json: bool,
}

/// What help shows first.
pub const EXAMPLES: &str = "Examples:
  acklab shrink my-scenario.ron --seed 7 -o small.ron
  acklab shrink my-scenario.ron --seed 7 --anomaly duplicated
  acklab shrink transactional-copy --variant without-rewind --seed 1 --anomaly skipped";

/// What help shows last.
pub const NOTES: &str = "\
The small scenario goes to standard output, and what was tried to standard error; with --output
the former goes to that file, and the latter to standard output. The same seed runs after every
change: what comes out does not depend on --jobs.";

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AnomalyArg {
    /// Acked, and no copy
    Lost,
    /// Two copies or more
    Duplicated,
    /// Stored behind a later record
    Reordered,
    /// Reported as failed, yet stored
    Phantom,
    /// Processed again by the same consumer application
    Reprocessed,
    /// Passed by a consumer application without being processed
    Skipped,
    /// Processed, and not in the log at rest
    Ghost,
    /// A broken promise
    Violation,
    /// A promise broken as documented for the version
    KnownViolation,
    /// The run does not come to rest
    Stuck,
    /// An expectation of the scenario that does not hold
    Expectation,
    /// A defect of the simulator
    Defect,
}

impl From<AnomalyArg> for What {
    fn from(argument: AnomalyArg) -> What {
        match argument {
            AnomalyArg::Lost => What::Anomaly(AnomalyKind::Lost),
            AnomalyArg::Duplicated => What::Anomaly(AnomalyKind::Duplicated),
            AnomalyArg::Reordered => What::Anomaly(AnomalyKind::Reordered),
            AnomalyArg::Phantom => What::Anomaly(AnomalyKind::Phantom),
            AnomalyArg::Reprocessed => What::Anomaly(AnomalyKind::Reprocessed),
            AnomalyArg::Skipped => What::Anomaly(AnomalyKind::Skipped),
            AnomalyArg::Ghost => What::Anomaly(AnomalyKind::Ghost),
            AnomalyArg::Violation => What::Violation,
            AnomalyArg::KnownViolation => What::KnownViolation,
            AnomalyArg::Stuck => What::Stuck,
            AnomalyArg::Expectation => What::Expectation,
            AnomalyArg::Defect => What::Defect,
        }
    }
}

fn cause(text: &str) -> Result<Cause, String> {
    let named = |cause: &&Cause| cause.name() == text;
    if let Some(cause) = Cause::ALL.iter().find(named) {
        return Ok(*cause);
    }
    let near = |cause: &&Cause| {
        let name = cause.name();
        (!name.contains(text), strsim::damerau_levenshtein(text, name))
    };
    let nearest = Cause::ALL.iter().min_by_key(near).map_or("", |cause| cause.name());
    Err(format!("there is no such cause; did you mean {nearest}?"))
}
