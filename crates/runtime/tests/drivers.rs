//! The madsim driver and the plain loop give the same history, and a run leaves nothing behind.

use acklab_runtime::{RunOptions, plain, run};
use acklab_scenario::{ScenarioFile, shipped};
use acklab_verdict::Judge;
use std::sync::Arc;

fn scenarios() -> Vec<(String, Arc<acklab_scenario::model::Scenario>)> {
    let mut all = Vec::new();
    for &(name, text) in shipped() {
        let file = ScenarioFile::parse(name, None, text).expect("shipped scenarios parse");
        let variants: Vec<String> = file.variants().map(str::to_owned).collect();
        for variant in variants {
            let resolved = file.resolve(&variant, &[]).expect("shipped scenarios resolve");
            all.push((format!("{name} {variant}"), Arc::new(resolved.scenario)));
        }
    }
    all
}

#[test]
fn the_plain_loop_and_madsim_give_the_same_history() {
    for (name, scenario) in scenarios() {
        for seed in 0..2 {
            let with_tasks = run(&scenario, seed, RunOptions::default(), Judge::new());
            let without = plain::run(&scenario, seed, RunOptions::default(), Judge::new());
            assert_eq!(with_tasks.events, without.events, "{name} seed {seed}");
            assert_eq!(with_tasks.ended_at, without.ended_at, "{name} seed {seed}");
            let digests = (with_tasks.observer.finish().digest, without.observer.finish().digest);
            assert_eq!(digests.0, digests.1, "{name} seed {seed}");
        }
    }
}

#[test]
fn a_run_leaves_no_machine_behind() {
    let (_, scenario) = scenarios().swap_remove(0);
    let before = Arc::strong_count(&scenario.cluster.broker_config);
    for seed in 0..100 {
        run(&scenario, seed, RunOptions::default(), ());
        // Every broker holds its configuration: one that lived on would show here.
        assert_eq!(Arc::strong_count(&scenario.cluster.broker_config), before, "seed {seed}");
    }
}
