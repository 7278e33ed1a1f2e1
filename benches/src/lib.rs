//! What the benchmarks run: the yardstick `steady-minute` under different observers, and the skeleton beside it.

use acklab_runtime::{RunOptions, RunResult, run, skeleton};
use acklab_scenario::model::Scenario;
use acklab_scenario::{ScenarioFile, Setting, shipped};
use acklab_verdict::{Judge, TraceWriter};
use acklab_vocab::trace::Observer;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A shipped scenario, with settings of the command line on top (`("duration", "10s")`).
///
/// # Panics
///
/// If there is no such scenario, or it has no such setting.
#[must_use]
pub fn scenario(name: &str, settings: &[(&str, &str)]) -> Arc<Scenario> {
    let known = shipped().iter().find(|(shipped, _)| *shipped == name);
    let &(_, text) = known.unwrap_or_else(|| panic!("no scenario is called {name}"));
    let file = ScenarioFile::parse(name, None, text).expect("shipped scenarios parse");
    resolve(&file, settings)
}

/// A scenario that is written down in a benchmark.
///
/// # Panics
///
/// If the text is no valid scenario.
#[must_use]
pub fn inline_scenario(name: &str, text: &str) -> Arc<Scenario> {
    resolve(&ScenarioFile::parse(name, None, text).expect("the scenario parses"), &[])
}

fn resolve(file: &ScenarioFile, settings: &[(&str, &str)]) -> Arc<Scenario> {
    let setting = |&(path, value): &(&str, &str)| Setting::new(path, value).expect("a setting");
    let settings: Vec<Setting> = settings.iter().map(setting).collect();
    Arc::new(file.resolve("base", &settings).expect("the scenario resolves").scenario)
}

/// What observes a run that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watched {
    /// By nobody.
    Unobserved,
    /// By the judge: what a sweep costs.
    Judged,
    /// By the judge, while the trace is written as JSON lines into the void: what `--trace` costs without its disk.
    Traced,
}

impl Watched {
    /// All of them.
    pub const ALL: [Watched; 3] = [Watched::Unobserved, Watched::Judged, Watched::Traced];
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Watched::Unobserved => "no observer",
            Watched::Judged => "judge",
            Watched::Traced => "judge and trace",
        })
    }
}

/// How large a run was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Size {
    /// Events handled.
    pub events: u64,
    /// Seconds simulated from time zero on.
    pub simulated_seconds: f64,
}

/// Runs one history on madsim, verdict included where there is a judge.
#[must_use]
pub fn run_once(scenario: &Arc<Scenario>, seed: u64, watched: Watched) -> Size {
    fn history<O: Observer + Send + 'static>(
        scenario: &Arc<Scenario>,
        seed: u64,
        observer: O,
    ) -> (Size, O) {
        let RunResult { observer, events, ended_at, .. } =
            run(scenario, seed, RunOptions::default(), observer);
        (Size { events, simulated_seconds: ended_at.0 as f64 / 1e9 }, observer)
    }
    match watched {
        Watched::Unobserved => history(scenario, seed, ()).0,
        Watched::Judged => {
            let (size, judge) = history(scenario, seed, Judge::new());
            std::hint::black_box(judge.finish());
            size
        }
        Watched::Traced => {
            let observer = (Judge::new(), TraceWriter::new(std::io::sink()));
            let (size, (judge, trace)) = history(scenario, seed, observer);
            std::hint::black_box(judge.finish());
            trace.finish().expect("a sink takes everything");
            size
        }
    }
}

/// Moves so many events among as many processes as `steady-minute` has, and does nothing else.
pub fn run_skeleton(events: u64) {
    const PROCESSES: u16 = 8;
    const IN_FLIGHT: u16 = 16;
    std::hint::black_box(skeleton::run(PROCESSES, IN_FLIGHT, events));
}

/// The shortest time of so many runs. On Linux it is the time that the thread had a core, so that
/// the neighbours on a shared machine count little; elsewhere it is the time on the wall.
pub fn best_of(runs: u32, run: impl Fn()) -> Duration {
    let timed = |_| match time_on_core() {
        Some(before) => {
            run();
            time_on_core().unwrap_or_default().saturating_sub(before)
        }
        None => time_on_wall(&run),
    };
    (0..runs).map(timed).min().unwrap_or_default()
}

/// How long this thread has had a core so far, where the kernel tells.
fn time_on_core() -> Option<Duration> {
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanos = schedstat.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanos))
}

#[allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a benchmark measures the wall clock"
)]
fn time_on_wall(run: impl FnOnce()) -> Duration {
    let started = std::time::Instant::now();
    run();
    started.elapsed()
}
