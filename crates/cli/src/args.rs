//! The arguments. They are only parsed here; [`request`](crate::request) resolves them against a
//! scenario.

mod diff;
mod report;
mod shrink;
mod sweep;

pub use diff::DiffArgs;
pub use report::ReportArgs;
pub use shrink::ShrinkArgs;
pub use sweep::SweepArgs;

use acklab_experiment::Seeds;
use acklab_scenario::Setting;
use acklab_vocab::time::SimTime;
use acklab_vocab::version::KafkaVersion;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;

/// A deterministic simulator of an Apache Kafka cluster that decides what became of every record.
#[derive(Debug, Parser)]
#[command(
    name = "acklab",
    version,
    max_term_width = 100,
    help_template = TEMPLATE,
    before_help = "Examples:
  acklab list                                          the scenarios that acklab ships
  acklab run acks-1-leader-crash --seed 7              one history and its verdict
  acklab explain acks-1-leader-crash --seed 7 --lost   the life of a lost record, and why
  acklab replay acks-1-leader-crash --seed 7 --at 2s   the whole cluster at that instant
  acklab test my-scenario.ron --seeds 0..200           does what the scenario expects hold?",
    after_help = "SCENARIO is a file or the name of a shipped scenario.

Exit status:
  0    as expected
  1    an expectation or a promise did not hold
  2    bad usage, or a bad scenario
  101  a defect of the simulator",
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const TEMPLATE: &str =
    "{about-with-newline}\n{before-help}{usage-heading} {usage}\n\n{all-args}{after-help}";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run one history and print its verdict
    #[command(help_template = TEMPLATE, before_help = "Examples:
  acklab run acks-1-leader-crash
  acklab run acks-1-leader-crash --seed 7 --variant acks=all
  acklab run acks-1-leader-crash --seed 7 --set producers/acks=all --set duration=30s
  acklab run my-scenario.ron --seed 7 --json --trace trace.jsonl")]
    Run(RunArgs),
    /// Tell the life of single records: who had them, what was promised, where they died
    #[command(help_template = TEMPLATE, before_help = "Examples:
  acklab explain acks-1-leader-crash --seed 7 --lost
  acklab explain acks-1-leader-crash --seed 7 --record shop#1873
  acklab explain acks-1-leader-crash --seed 7 --record orders-0@1234:5
  acklab explain auto-commit-crash --seed 7 --reprocessed --group billing
  acklab explain acks-1-leader-crash --seed 7 --lost --inevitable      since when was it certain?")]
    Explain(ExplainArgs),
    /// Compare the same seed under two settings: where they part, and whose fate changed
    #[command(help_template = TEMPLATE, before_help = diff::EXAMPLES, after_help = diff::NOTES)]
    Diff(DiffArgs),
    /// Show the whole cluster at one instant
    #[command(help_template = TEMPLATE, before_help = "Examples:
  acklab replay acks-1-leader-crash --seed 7 --at 2s
  acklab replay gc-pause-leader --seed 7 --at 20.5s --variant acks=all")]
    Replay(ReplayArgs),
    /// Write a history as a page that opens offline
    #[command(help_template = TEMPLATE, before_help = report::EXAMPLES, after_help = report::NOTES)]
    Report(ReportArgs),
    /// Hold scenarios against what they expect, with many seeds and all variants
    #[command(help_template = TEMPLATE, before_help = "Examples:
  acklab test acks-1-leader-crash --seeds 0..200
  acklab test scenarios/*.ron --seeds 0..20 --jobs 2 --junit results.xml")]
    Test(TestArgs),
    /// Run many seeds, under several settings if you like: how probable, how bad, why, at what cost
    #[command(help_template = TEMPLATE, before_help = sweep::EXAMPLES, after_help = sweep::NOTES)]
    Sweep(SweepArgs),
    /// Make a failing scenario small: the fewest faults and records that still show the same
    #[command(help_template = TEMPLATE, before_help = shrink::EXAMPLES, after_help = shrink::NOTES)]
    Shrink(ShrinkArgs),
    /// Run each seed twice, in different threads, and compare the histories
    #[command(help_template = TEMPLATE, before_help = "Examples:
  acklab verify acks-1-leader-crash --seeds 0..20
  acklab verify scenarios/*.ron --seeds 0..5")]
    Verify(VerifyArgs),
    /// Check scenarios without running them
    #[command(help_template = TEMPLATE, before_help = "Examples:
  acklab check my-scenario.ron
  acklab check scenarios/*.ron")]
    Check(CheckArgs),
    /// List Kafka's properties of a version, with their defaults
    #[command(help_template = TEMPLATE, before_help = "Examples:
  acklab defaults --kafka 3.9
  acklab defaults --kafka 2.0 --scope producer")]
    Defaults(DefaultsArgs),
    /// List the scenarios that acklab ships
    List(ListArgs),
}

/// Which scenario, and what to change about it.
#[derive(Clone, Debug, Args)]
pub struct ScenarioArgs {
    /// A file or the name of a shipped scenario
    pub scenario: String,
    /// A variant of the scenario
    #[arg(long, value_name = "NAME", default_value = "base", hide_default_value = true)]
    pub variant: String,
    /// Change a property or a field: producers/acks=all, topics/orders/flush.messages=1, kafka=2.0
    #[arg(long = "set", value_name = "OWNER/PROPERTY=VALUE")]
    pub sets: Vec<Setting>,
    /// Faults to strike in place of the scenario's, as `run --schedule` writes them
    #[arg(long, value_name = "FILE")]
    pub faults: Option<PathBuf>,
}

/// `acklab run`
#[derive(Debug, Args)]
pub struct RunArgs {
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
    /// Hold it against what Kafka promises, not against what the scenario expects: for settings that
    /// its expectations were not written for
    #[arg(long)]
    pub promises_only: bool,
    /// Print the verdict as JSON
    #[arg(long)]
    pub json: bool,
    /// Write every fact of the history, as lines of JSON
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// Write the faults that struck as a fixed schedule
    #[arg(long, value_name = "FILE")]
    pub schedule: Option<PathBuf>,
}

/// `acklab explain`
#[derive(Debug, Args)]
pub struct ExplainArgs {
    #[command(flatten)]
    pub scenario: ScenarioArgs,
    /// Which history
    #[arg(long, value_name = "N", value_parser = seed, allow_hyphen_values = true)]
    pub seed: u64,
    /// This record: shop#4711, or by its place orders-0@1234 or orders-0@1234:EPOCH
    #[arg(long = "record", value_name = "RECORD", help_heading = "Which records")]
    pub records: Vec<String>,
    /// A lost record of each cause
    #[arg(long, help_heading = "Which records")]
    pub lost: bool,
    /// A duplicated record of each cause
    #[arg(long, help_heading = "Which records")]
    pub duplicated: bool,
    /// A reordered record of each cause
    #[arg(long, help_heading = "Which records")]
    pub reordered: bool,
    /// A record of each cause that was reported as failed, yet is stored
    #[arg(long, help_heading = "Which records")]
    pub phantom: bool,
    /// A record of each cause that a consumer application processed again
    #[arg(long, help_heading = "Which records")]
    pub reprocessed: bool,
    /// A record of each cause that a consumer application never processed and went past
    #[arg(long, help_heading = "Which records")]
    pub skipped: bool,
    /// A record of each cause that was processed, but is not in the log at rest
    #[arg(long, help_heading = "Which records")]
    pub ghost: bool,
    /// Not one of each cause but all
    #[arg(long, help_heading = "Which records")]
    pub all: bool,
    /// Tell of this consumer application only
    #[arg(long, value_name = "NAME")]
    pub group: Option<String>,
    /// Print it as JSON
    #[arg(long)]
    pub json: bool,
    /// Tell since when it was certain: leave the history at each step of the record's life and go on
    /// with other random futures
    #[arg(long, conflicts_with = "all", help_heading = SINCE_WHEN)]
    pub inevitable: bool,
    /// How many futures of each instant
    #[arg(
        long,
        value_name = "N",
        default_value = "50",
        value_parser = futures,
        requires = "inevitable",
        help_heading = SINCE_WHEN
    )]
    pub futures: NonZeroU32,
    /// Faults that have not struck by then are drawn anew, too
    #[arg(long, requires = "inevitable", help_heading = SINCE_WHEN)]
    pub redraw_faults: bool,
    /// How many runs at a time [default: one per core]
    #[arg(
        long,
        value_name = "N",
        value_parser = jobs,
        requires = "inevitable",
        help_heading = SINCE_WHEN
    )]
    pub jobs: Option<NonZeroUsize>,
}

const SINCE_WHEN: &str = "Since when was it certain?";

/// `acklab replay`
#[derive(Debug, Args)]
pub struct ReplayArgs {
    #[command(flatten)]
    pub scenario: ScenarioArgs,
    /// Which history
    #[arg(long, value_name = "N", value_parser = seed, allow_hyphen_values = true)]
    pub seed: u64,
    /// Which instant, from time zero: 20.5s, 1500ms
    #[arg(long, value_name = "TIME", value_parser = instant, allow_hyphen_values = true)]
    pub at: SimTime,
}

/// Which scenarios, and what to change about them.
#[derive(Debug, Args)]
pub struct ScenariosArgs {
    /// Files or names of shipped scenarios
    #[arg(required = true, value_name = "SCENARIO")]
    pub scenarios: Vec<String>,
    /// One variant only
    #[arg(long, value_name = "NAME")]
    pub variant: Option<String>,
    /// Change a property or a field in all of them
    #[arg(long = "set", value_name = "OWNER/PROPERTY=VALUE")]
    pub sets: Vec<Setting>,
}

/// `acklab test`
#[derive(Debug, Args)]
pub struct TestArgs {
    #[command(flatten)]
    pub scenarios: ScenariosArgs,
    /// Seeds: 0..200 (without 200), 0..=199, or one
    #[arg(long, value_name = "A..B")]
    pub seeds: Seeds,
    /// How many runs at a time [default: one per core]
    #[arg(long, value_name = "N", value_parser = jobs)]
    pub jobs: Option<NonZeroUsize>,
    /// Print the results as JSON
    #[arg(long)]
    pub json: bool,
    /// Write the results as JUnit XML
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
}

/// `acklab verify`
#[derive(Debug, Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    pub scenarios: ScenariosArgs,
    /// Seeds: 0..200 (without 200), 0..=199, or one
    #[arg(long, value_name = "A..B")]
    pub seeds: Seeds,
    /// How many runs at a time [default: one per core]
    #[arg(long, value_name = "N", value_parser = jobs)]
    pub jobs: Option<NonZeroUsize>,
    /// Let the plain loop of the tests do the second run
    #[arg(long, hide = true)]
    pub plain: bool,
}

/// `acklab check`
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Files or names of shipped scenarios
    #[arg(required = true, value_name = "SCENARIO")]
    pub scenarios: Vec<String>,
    /// Change a property or a field in all of them
    #[arg(long = "set", value_name = "OWNER/PROPERTY=VALUE")]
    pub sets: Vec<Setting>,
}

/// `acklab defaults`
#[derive(Debug, Args)]
pub struct DefaultsArgs {
    /// Version of Kafka
    #[arg(long, value_name = "VERSION")]
    pub kafka: KafkaVersion,
    /// Only the properties of one kind of process
    #[arg(long, value_name = "SCOPE")]
    pub scope: Option<ScopeArg>,
    /// Print them as JSON
    #[arg(long)]
    pub json: bool,
}

/// `acklab list`
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Print them as JSON
    #[arg(long)]
    pub json: bool,
}

/// Whose properties.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ScopeArg {
    /// Brokers and controllers
    Broker,
    /// Topics
    Topic,
    /// The Java producer
    Producer,
    /// The Java consumer
    Consumer,
    /// librdkafka's producer
    #[value(alias = "librdkafka")]
    LibrdkafkaProducer,
    /// librdkafka's consumer
    LibrdkafkaConsumer,
    /// kafka-python's producer
    KafkaPythonProducer,
    /// kafka-python's consumer
    KafkaPythonConsumer,
    /// The Scala producer of 0.8
    ScalaProducer,
    /// The high-level consumer of 0.8
    HighLevelConsumer,
    /// pykafka's BalancedConsumer
    #[value(alias = "pykafka")]
    PykafkaConsumer,
    /// A server of the ZooKeeper ensemble
    #[value(name = "zookeeper")]
    ZooKeeper,
}

/// A seed, with or without groups of thousands.
fn seed(text: &str) -> Result<u64, String> {
    digits(text).parse().map_err(|_| format!("a seed is a whole number from 0 to {}", u64::MAX))
}

/// A number of runs at a time.
fn jobs(text: &str) -> Result<NonZeroUsize, String> {
    let help = "how many runs at a time is a whole number from 1; left out, it is one per core";
    digits(text).parse().map_err(|_| help.to_owned())
}

/// A number of futures.
fn futures(text: &str) -> Result<NonZeroU32, String> {
    let most = 1_000_000;
    let number = digits(text).parse().ok().filter(|number: &NonZeroU32| number.get() <= most);
    number.ok_or_else(|| {
        "the number of futures is a whole number from 1 to 1000000; 50 tell whether a share is \
         above 90 %, 400 whether it is above 99 %"
            .to_owned()
    })
}

/// A number without its groups of thousands.
fn digits(text: &str) -> String {
    text.replace('_', "")
}

/// An instant with its unit, in nanoseconds: `20.5s`, `1500ms`, `2min`, `-1s` for the time before
/// everything had settled.
fn instant(text: &str) -> Result<SimTime, String> {
    let help = || "write it with its unit: 20.5s, 1500ms, 2min".to_owned();
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    let split = rest.find(|c: char| c.is_alphabetic()).ok_or_else(help)?;
    let (number, unit) = (rest[..split].trim(), &rest[split..]);
    let &(_, factor) = UNITS.iter().find(|&&(name, _)| name == unit).ok_or_else(help)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > 9 {
        return Err(help());
    }
    let too_long = || "that is longer than any run".to_owned();
    let fraction: i64 = format!("{fraction:0<9}").parse().map_err(|_| help())?;
    let whole = whole.parse::<i64>().ok().and_then(|whole| whole.checked_mul(factor));
    let nanos = whole.and_then(|whole| whole.checked_add(part_of(fraction, factor)));
    let nanos = nanos.ok_or_else(too_long)?;
    Ok(SimTime(sign * nanos))
}

/// So many billionths of a unit, in nanoseconds.
fn part_of(billionths: i64, factor: i64) -> i64 {
    i64::try_from(i128::from(billionths) * i128::from(factor) / 1_000_000_000).unwrap_or(0)
}

/// Units of time in nanoseconds.
const UNITS: [(&str, i64); 5] =
    [("us", 1_000), ("ms", 1_000_000), ("s", NANOS), ("min", 60 * NANOS), ("h", 3_600 * NANOS)];

const NANOS: i64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn numbers_that_are_none_are_refused_in_words() {
        assert_eq!(jobs("4"), Ok(NonZeroUsize::new(4).unwrap()));
        assert_eq!(futures("1_000"), Ok(NonZeroU32::new(1_000).unwrap()));
        assert_eq!(seed("1_000"), Ok(1_000));
        for text in ["0", "-1", "", "1.5", "x", "99999999999999999999999"] {
            assert!(jobs(text).unwrap_err().contains("from 1"), "{text}");
            assert!(futures(text).unwrap_err().contains("from 1 to"), "{text}");
        }
        for text in ["-1", "7.5", "18446744073709551616"] {
            assert!(seed(text).unwrap_err().starts_with("a seed is a whole number"), "{text}");
        }
    }

    #[test]
    fn instants_have_a_unit() {
        assert_eq!(instant("20.5s"), Ok(SimTime::from_millis(20_500)));
        assert_eq!(instant("1500ms"), Ok(SimTime::from_millis(1_500)));
        assert_eq!(instant("1.5min"), Ok(SimTime::from_millis(90_000)));
        assert_eq!(instant("-250us"), Ok(SimTime::from_micros(-250)));
        for bad in ["", "20", "s", "1.s5", "2 weeks", "--1s", "1e9s", "99999999999h"] {
            assert!(instant(bad).is_err(), "{bad}");
        }
    }
}
