//! How the cost grows: with the records linearly, and a hundred brokers with two thousand partitions are feasible.

use acklab_benches::{Watched, best_of, inline_scenario, run_once};
use acklab_scenario::model::Scenario;
use std::sync::Arc;

/// Brokers, partitions, records per second. Each row's neighbour changes one of them.
const ROWS: [(u32, u32, u32); 7] = [
    (3, 3, 1_000),
    (3, 3, 2_000),
    (3, 3, 4_000),
    (3, 200, 1_000),
    (10, 200, 1_000),
    (100, 2_000, 1_000),
    (100, 2_000, 2_000),
];

const SECONDS: u32 = 10;
const RUNS: u32 = 3;

fn main() {
    // `cargo test --benches` only sees whether it runs.
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let rows = if is_bench { &ROWS[..] } else { &ROWS[..1] };
    println!(
        "{SECONDS} s, no lingering, a batch for each record, judged: best of {RUNS} runs, time on a core"
    );
    println!(
        "{:>8}{:>12}{:>11}{:>11}{:>12}",
        "brokers", "partitions", "records/s", "events", "time"
    );
    for &(brokers, partitions, rate) in rows {
        let scenario = cluster(brokers, partitions, rate);
        let size = run_once(&scenario, 0, Watched::Judged);
        let time = best_of(RUNS, || {
            let _ = run_once(&scenario, 0, Watched::Judged);
        });
        let milliseconds = time.as_secs_f64() * 1e3;
        let events = size.events;
        println!("{brokers:>8}{partitions:>12}{rate:>11}{events:>11}{milliseconds:>9.1} ms");
    }
}

fn cluster(brokers: u32, partitions: u32, rate: u32) -> Arc<Scenario> {
    let text = format!(
        r#"Scenario(
            about: "how the cost grows", source: "acklab", kafka: "3.9", duration: "{SECONDS}s",
            cluster: (brokers: {brokers}, mode: KRaft(controllers: 3)),
            topics: {{ "orders": (partitions: {partitions}, replication_factor: 3) }},
            producers: [(
                name: "shop", topic: "orders", rate: {rate}, size: 100, keys: Unique,
                properties: {{"acks": "all", "linger.ms": "0"}},
            )],
            readers: [(name: "audit", topics: ["orders"])],
        )"#
    );
    inline_scenario("scale", &text)
}
