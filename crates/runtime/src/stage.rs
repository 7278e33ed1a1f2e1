//! What a driver drives: something with a next event, which belongs to one of its processes or to itself.

use crate::world::{DriverOrder, Turn, World};
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::Observer;

/// A world as its driver sees it.
pub(crate) trait Stage: Send {
    /// How many processes there are.
    fn processes(&self) -> usize;

    /// Who handles the next event.
    fn turn(&mut self) -> Turn;

    /// Handles the next event.
    fn step(&mut self);

    /// The time of the last event handled.
    fn now(&self) -> SimTime;

    /// What has become of processes since the driver last looked.
    fn orders(&mut self) -> &mut Vec<DriverOrder>;
}

impl<O: Observer + Send> Stage for World<O> {
    fn processes(&self) -> usize {
        self.nodes.len()
    }

    fn turn(&mut self) -> Turn {
        World::turn(self)
    }

    fn step(&mut self) {
        World::step(self);
    }

    fn now(&self) -> SimTime {
        self.now
    }

    fn orders(&mut self) -> &mut Vec<DriverOrder> {
        &mut self.orders
    }
}
