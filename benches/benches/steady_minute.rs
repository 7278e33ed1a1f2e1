//! How long `steady-minute` takes on one core, under different observers and beside the skeleton.

use acklab_benches::{Size, Watched, best_of, run_once, run_skeleton, scenario};
use criterion::{BenchmarkId, Criterion, SamplingMode};
use std::time::Duration;

/// What a run may take with tracing off: 500 times faster than the minute that it simulates.
const GOAL: Duration = Duration::from_millis(120);

/// The best of so many runs stands in the table.
const RUNS: u32 = 15;

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(5))
        .configure_from_args();
    let steady_minute = scenario("steady-minute", &[]);
    let size = run_once(&steady_minute, 0, Watched::Unobserved);

    let mut group = criterion.benchmark_group("steady-minute");
    group.sampling_mode(SamplingMode::Flat);
    for watched in Watched::ALL {
        group.bench_function(BenchmarkId::from_parameter(watched), |bencher| {
            bencher.iter(|| run_once(&steady_minute, 0, watched));
        });
    }
    group.bench_function("skeleton", |bencher| bencher.iter(|| run_skeleton(size.events)));
    group.finish();
    criterion.final_summary();

    // `cargo test --benches` only sees whether it runs.
    if std::env::args().any(|argument| argument == "--bench") {
        print_table(size, |watched| {
            let _ = run_once(&steady_minute, 0, watched);
        });
    }
}

fn print_table(size: Size, run: impl Fn(Watched)) {
    let skeleton = best_of(RUNS, || run_skeleton(size.events));
    println!("steady-minute: {} events, best of {RUNS} runs, time on a core", size.events);
    println!("{:<18}{:>10}{:>14}{:>20}", "", "time", "x skeleton", "simulated s per s");
    let row = |name: &str, time: Duration| {
        let milliseconds = time.as_secs_f64() * 1e3;
        let ratio = time.as_secs_f64() / skeleton.as_secs_f64();
        let speed = size.simulated_seconds / time.as_secs_f64();
        println!("{name:<18}{milliseconds:>7.1} ms{ratio:>14.1}{speed:>20.0}");
    };
    row("skeleton", skeleton);
    for watched in Watched::ALL {
        let time = best_of(RUNS, || run(watched));
        row(&watched.to_string(), time);
        if watched == Watched::Judged && time > GOAL {
            println!("{:<18}(the goal is {} ms)", "", GOAL.as_millis());
        }
    }
}
