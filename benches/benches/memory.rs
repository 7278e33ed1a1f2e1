//! How much memory a run takes, and whether runs leave any behind. An allocator that counts disturbs the time, so this
//! stands apart.

use acklab_benches::{Watched, run_once, scenario};
use acklab_scenario::model::Scenario;
use peak_alloc::PeakAlloc;
use std::sync::Arc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// What a record may take, everything included.
const GOAL_BYTES: usize = 200;
/// Records that `steady-minute` sends in a second.
const RECORDS_PER_SECOND: usize = 1_000;

fn main() {
    // `cargo test --benches` only sees whether it runs.
    let runs = if std::env::args().any(|argument| argument == "--bench") { 1_000 } else { 10 };

    let one = peak(&scenario("steady-minute", &[]));
    let two = peak(&scenario("steady-minute", &[("duration", "120s")]));
    let records = 60 * RECORDS_PER_SECOND;
    println!("memory: steady-minute, judged");
    println!("peak {:.1} MiB, {} bytes per record (goal: {GOAL_BYTES})", mebi(one), one / records);
    println!("each further record {} bytes", two.saturating_sub(one) / records);

    let crash = scenario("acks-1-leader-crash", &[]);
    let run_all = |runs: u64| {
        for seed in 0..runs {
            let _ = run_once(&crash, seed, Watched::Judged);
        }
    };
    run_all(10);
    let before = ALLOCATOR.current_usage();
    run_all(runs);
    let growth = ALLOCATOR.current_usage() as i64 - before as i64;
    println!("growth over {runs} runs of acks-1-leader-crash: {growth} bytes");
}

/// The most that is allocated at once during a run, beyond what was before.
fn peak(scenario: &Arc<Scenario>) -> usize {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let _ = run_once(scenario, 0, Watched::Judged);
    ALLOCATOR.peak_usage() - before
}

fn mebi(bytes: usize) -> f64 {
    bytes as f64 / 1_048_576.0
}
