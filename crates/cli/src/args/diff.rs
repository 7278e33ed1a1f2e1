//! The arguments of `acklab diff`.

use super::{ScenarioArgs, seed};
use acklab_scenario::Setting;
use clap::Args;

/// `acklab diff`
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// One side; without --against, the other one is the scenario as it stands
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
    /// The other side is this variant
    #[arg(long, value_name = "NAME", help_heading = "The other side")]
    pub against_variant: Option<String>,
    /// The other side has this set, on top of what is set on both
    #[arg(long, value_name = "OWNER/PROPERTY=VALUE", help_heading = "The other side")]
    pub against: Vec<Setting>,
    /// Print the comparison as JSON
    #[arg(long)]
    pub json: bool,
}

/// What help shows first.
pub const EXAMPLES: &str = "Examples:
  acklab diff acks-1-leader-crash --seed 7 --variant acks=all          base against acks=all
  acklab diff acks-1-leader-crash --seed 7 --set producers/acks=all    as it stands against --set
  acklab diff acks-1-leader-crash --seed 7 --variant acks=0 --against-variant acks=all
  acklab diff auto-commit-crash --seed 1 --against groups/commit=SyncPerBatch --json";

/// What stands below its options.
pub const NOTES: &str = "Without --against and --against-variant, the other side is the scenario as it stands: its base,
with nothing set. With them, what is set stands on both sides.";
