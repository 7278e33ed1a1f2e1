//! The reference driver: a plain loop over the queue, without tasks and without madsim. The madsim driver must give the same
//! history; tests compare the digests.

use crate::world::{RunOptions, RunResult, Turn, World};
use acklab_scenario::model::Scenario;
use acklab_vocab::trace::Observer;
use std::sync::Arc;

/// Runs one history.
pub fn run<O: Observer>(
    scenario: &Arc<Scenario>,
    seed: u64,
    options: RunOptions,
    observer: O,
) -> RunResult<O> {
    let mut world = World::new(scenario.clone(), seed, options, observer);
    while world.turn() != Turn::Over {
        world.step();
        world.orders.clear();
    }
    world.finish()
}
