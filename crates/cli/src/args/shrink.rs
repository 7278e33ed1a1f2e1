//! The arguments of `acklab shrink`.

use super::{ScenarioArgs, jobs, seed};
use crate::text::quoted;
use acklab_experiment::shrink::What;
use acklab_scenario::diagnostic::nearest;
use acklab_verdict::{AnomalyKind, Cause};
use clap::{Args, ValueEnum};
use std::num::NonZeroUsize;
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
    #[arg(long, value_name = "RUNS", default_value_t = DEFAULT_BUDGET, value_parser = budget)]
    pub budget: u64,
    /// How many runs at a time [default: one per core]
    #[arg(long, value_name = "N", value_parser = jobs)]
    pub jobs: Option<NonZeroUsize>,
    /// Print the scenario and the way to it as JSON
    #[arg(long)]
    pub json: bool,
}

impl ShrinkArgs {
    /// What is asked for besides the history, as a shell reads it.
    pub fn asked_for(&self) -> String {
        let mut words = Vec::new();
        if let Some(anomaly) = self.anomaly.and_then(|anomaly| anomaly.to_possible_value()) {
            words.push(format!("--anomaly {}", anomaly.get_name()));
        }
        words.extend(self.cause.map(|cause| format!("--cause {}", cause.name())));
        words.extend(self.group.as_ref().map(|group| format!("--group {}", quoted(group))));
        if self.budget != DEFAULT_BUDGET {
            words.push(format!("--budget {}", self.budget));
        }
        words.join(" ")
    }
}

/// So many runs may be made unless more are asked for.
const DEFAULT_BUDGET: u64 = 400;

/// What help shows first.
pub const EXAMPLES: &str = "Examples:
  acklab shrink my-scenario.ron --seed 7 -o small.ron
  acklab shrink my-scenario.ron --seed 7 --anomaly duplicated
  acklab shrink transactional-copy --variant without-rewind --seed 1 --anomaly skipped";

/// What help shows last.
pub const NOTES: &str = "\
The small scenario goes to standard output, and what was tried to standard error; with --output
the former goes to that file, and the latter to standard output. The same seed runs after every
change: what comes out does not depend on --jobs. Ctrl-C ends it early, with the smallest so far.";

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

/// The first run shows what goes wrong; smaller scenarios come after it.
fn budget(text: &str) -> Result<u64, String> {
    let digits = text.replace([',', '_'], "");
    let runs = digits.parse().ok().filter(|&runs| runs >= 2);
    runs.ok_or_else(|| "it is 2 or more: the first run shows only what goes wrong".to_owned())
}

fn cause(text: &str) -> Result<Cause, String> {
    let names = || Cause::ALL.iter().map(|cause| cause.name());
    if let Some(cause) = Cause::ALL.iter().find(|cause| cause.name() == text) {
        return Ok(*cause);
    }
    let longer = || names().find(|name| text.len() >= 4 && name.contains(text));
    Err(match nearest(text, names()).or_else(longer) {
        Some(near) => format!("there is no such cause; did you mean {near}?"),
        None => "there is no such cause; `acklab run --json` names those of a history".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_cause_that_is_near_is_suggested() {
        let table = [
            ("never_arrived", "did you mean acks_0_never_arrived?"),
            ("acked_before_replicaton", "did you mean acked_before_replication?"),
            ("nope", "`acklab run --json` names those of a history"),
            ("", "`acklab run --json` names those of a history"),
        ];
        for (text, message) in table {
            assert_eq!(cause(text), Err(format!("there is no such cause; {message}")));
        }
        assert_eq!(cause("acked_before_replication"), Ok(Cause::AckedBeforeReplication));
    }

    #[test]
    fn a_budget_allows_more_than_the_first_run() {
        assert_eq!((budget("2"), budget("1,000")), (Ok(2), Ok(1_000)));
        assert!(["0", "1", "-1", "many", ""].iter().all(|text| budget(text).is_err()));
    }
}
