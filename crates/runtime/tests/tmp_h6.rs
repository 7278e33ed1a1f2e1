use acklab_runtime::{RunOptions, run};
use acklab_scenario::{ScenarioFile, shipped};
use std::sync::Arc;
#[test]
fn stuck() {
    for &(name, text) in shipped() {
        let Ok(file) = ScenarioFile::parse(name, None, text) else { println!("{name} does not parse"); continue };
        let variants: Vec<String> = file.variants().map(str::to_owned).collect();
        for variant in variants {
            let Ok(resolved) = file.resolve(&variant, &[]) else { println!("{name} {variant} does not resolve"); continue };
            let scenario = Arc::new(resolved.scenario);
            for seed in 0..3 {
                let begun = std::time::Instant::now();
                let s = scenario.clone();
                let result = std::panic::catch_unwind(move || run(&s, seed, RunOptions::default(), ()));
                match result {
                    Ok(result) => println!("{name} {variant} {seed}: {} events, {} ms, {:?}", result.events, begun.elapsed().as_millis(), result.stuck.map(|s| (s.at, s.because))),
                    Err(_) => println!("{name} {variant} {seed}: PANIC"),
                }
            }
        }
    }
}
