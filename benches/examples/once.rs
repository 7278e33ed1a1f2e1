//! Runs `steady-minute` once, for a profiler that counts instructions:
//!
//! ```text
//! cargo build --release -p acklab-benches --example once --config profile.release.debug=1
//! valgrind --tool=callgrind target/release/examples/once judge
//! ```

use acklab_benches::{Watched, run_once, run_skeleton, scenario};

/// As many events as `steady-minute` has.
const SKELETON_EVENTS: u64 = 115_000;

fn main() {
    let what = std::env::args().nth(1);
    let watched = match what.as_deref() {
        None | Some("none") => Watched::Unobserved,
        Some("judge") => Watched::Judged,
        Some("trace") => Watched::Traced,
        Some("skeleton") => return run_skeleton(SKELETON_EVENTS),
        Some(other) => {
            eprintln!("`{other}` is none of `none`, `judge`, `trace`, `skeleton`");
            std::process::exit(2);
        }
    };
    let size = run_once(&scenario("steady-minute", &[]), 0, watched);
    println!("{} events, {:.1} simulated seconds", size.events, size.simulated_seconds);
}
