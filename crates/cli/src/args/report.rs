//! The arguments of `acklab report`.

use super::{ScenarioArgs, seed};
use acklab_experiment::Seeds;
use acklab_experiment::sweep::Vary;
use clap::Args;
use std::path::PathBuf;

/// What `acklab report --help` shows first.
pub const EXAMPLES: &str = "Examples:
  acklab report acks-1-leader-crash                       a page on seed 0
  acklab report acks-1-leader-crash --seed 7 -o crash.html
  acklab report my-scenario.ron --seed 7 --variant acks=all
  acklab report acks-1-leader-crash --seeds 0..100 --vary producers/acks=0,1,all
  acklab report acks-1-leader-crash --seeds 0..100 --pages  and of the worst seeds
  acklab report --index reports                           reports/index.html, of the pages there";

/// What stands below its options.
pub const NOTES: &str =
    "The page is one file that opens offline, and the same run gives the same bytes.";

/// `acklab report`
#[derive(Clone, Debug, Args)]
pub struct ReportArgs {
    #[command(flatten)]
    pub scenario: ScenarioArgs,
    /// Which history
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        value_parser = seed,
        allow_hyphen_values = true
    )]
    pub seed: u64,
    /// Many histories instead of one: the page of a sweep [default with --vary: 0..100]
    #[arg(long, value_name = "A..B", conflicts_with = "seed")]
    pub seeds: Option<Seeds>,
    /// Run every one of these values on the same seeds; several --vary make a grid
    #[arg(long, value_name = "OWNER/PROPERTY=V1,V2", conflicts_with = "seed")]
    pub vary: Vec<Vary>,
    /// Beside the page of a sweep, also the page of the worst seed of each anomaly, linked from it
    #[arg(long, conflicts_with = "seed")]
    pub pages: bool,
    /// SCENARIO is a folder of reports: write their index into it
    #[arg(long, conflicts_with_all = ["seed", "seeds", "vary", "pages", "output", "variant", "sets", "faults"])]
    pub index: bool,
    /// Where to write the page [default: SCENARIO-VARIANT-seed-N.html in this folder]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}
