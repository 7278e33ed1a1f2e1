//! The arguments of `acklab sweep`.

use super::{ScenarioArgs, jobs};
use acklab_experiment::Seeds;
use acklab_experiment::sweep::{Gate, UntilWidth, Vary};
use clap::Args;
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// What `acklab sweep --help` shows first.
pub const EXAMPLES: &str = "Examples:
  acklab sweep acks-1-leader-crash --seeds 0..300
  acklab sweep acks-1-leader-crash --seeds 0..300 --vary producers/acks=0,1,all
  acklab sweep acks-1-leader-crash --seeds 0..300 --vary variant=base,acks=all --html acks.html
  acklab sweep my-scenario.ron --seeds 0..10_000 --until-width lost=4%
  acklab sweep my-scenario.ron --seeds 0..200 --expect 'lost == 0 @ 95%' --junit results.xml
  acklab sweep my-scenario.ron --seeds 0..10_000 --resume my-scenario.sweep";

/// What stands below its options.
pub const NOTES: &str = "--expect says 'QUANTITY OP VALUE @ LEVEL%': in at least so many percent of all histories it is so,
as far as the seeds show it: with 95 % confidence, by the exact (Clopper-Pearson) one-sided bound.
59 seeds without a failure show 95 %, 299 show 99 %. Too few seeds to tell is a failure. Without @
it has to be so in every seed that is run.
  QUANTITY  lost, extra_copies, produce_p99, cause NAME, lost of acked, and of one group
            billing/reprocessed; OP is ==, <=, >=, < or >; VALUE a count, a time or a percentage
  'acks=all: lost == 0 @ 95%' speaks of cells with that value only; a variant goes by its name

A value with commas in it stands in double quotes, in --vary and in --expect:
  --vary 'groups/partition.assignment.strategy=range,\"range,cooperative-sticky\"'
  --vary 'variant=base,\"two, slow\"' --expect '\"two, slow\": lost == 0'

Variants are held against what the scenario expects of them, and its `compare` where both sides
are varied; cells with --vary of anything else, --set or --faults only against promises.
--until-width decides when to stop, not the exit status.

Ctrl-C prints what is done, saves it and says how to go on, with status 2. Pages and CSV files stay
what they were; the file of --junit has an error. A later Ctrl-C leaves at once.";

/// `acklab sweep`
#[derive(Debug, Args)]
pub struct SweepArgs {
    #[command(flatten)]
    pub scenario: ScenarioArgs,
    /// Seeds: 0..300 (without 300), 0..=299, or one
    #[arg(long, value_name = "A..B")]
    pub seeds: Seeds,
    /// Run every one of these values on the same seeds; several --vary make a grid
    #[arg(long, value_name = "OWNER/PROPERTY=V1,V2")]
    pub vary: Vec<Vary>,
    /// Stop when the 95 % interval of an anomaly's probability is no wider: 5%, lost=0.05
    #[arg(long, value_name = "[ANOMALY=]WIDTH")]
    pub until_width: Option<UntilWidth>,
    /// What has to hold, see below
    #[arg(long, value_name = "WHAT @ LEVEL%")]
    pub expect: Vec<Gate>,
    /// How many runs at a time [default: one per core]
    #[arg(long, value_name = "N", value_parser = jobs)]
    pub jobs: Option<NonZeroUsize>,
    /// Print the results as JSON
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    /// Write one line for each seed and cell
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub csv: Option<PathBuf>,
    /// Write what was expected as JUnit XML
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub junit: Option<PathBuf>,
    /// Write a page
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub html: Option<PathBuf>,
    /// Save what --resume goes on from, now and then and at the end
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub save: Option<PathBuf>,
    /// Go on with a sweep that was saved, and save to the same file, unless --save names another
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub resume: Option<PathBuf>,
}
