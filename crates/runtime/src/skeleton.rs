//! A world in which nothing happens: events move from process to process through the same queue and the same driver. The
//! floor under the cost of a run, for the benchmarks.

use crate::madsim_driver;
use crate::queue::Queue;
use crate::stage::Stage;
use crate::world::{DriverOrder, Turn};
use acklab_vocab::ids::NodeId;
use acklab_vocab::time::{SimDuration, SimTime};

struct Skeleton {
    queue: Queue<NodeId>,
    processes: u16,
    left: u64,
    now: SimTime,
    orders: Vec<DriverOrder>,
}

/// Moves `events` events among `processes` processes, `in_flight` at a time; returns the simulated time that passed.
#[must_use]
pub fn run(processes: u16, in_flight: u16, events: u64) -> SimTime {
    let mut skeleton = Skeleton {
        queue: Queue::new(),
        processes: processes.max(1),
        left: events,
        now: SimTime::ZERO,
        orders: Vec::new(),
    };
    for number in 0..in_flight {
        let at = SimTime::from_micros(i64::from(number) * 37);
        skeleton.queue.push(at, NodeId(number % skeleton.processes));
    }
    madsim_driver::drive(skeleton, 0).now
}

impl Stage for Skeleton {
    fn processes(&self) -> usize {
        usize::from(self.processes)
    }

    fn turn(&mut self) -> Turn {
        match self.queue.peek() {
            Some((.., node)) if self.left > 0 => Turn::Node(*node),
            Some(_) | None => Turn::Over,
        }
    }

    fn step(&mut self) {
        let Some((at, id, node)) = self.queue.pop() else { return };
        self.now = at;
        self.left -= 1;
        let delay = SimDuration::from_micros(250 + id.0 % 97);
        self.queue.push(at + delay, NodeId((node.0 + 1) % self.processes));
    }

    fn now(&self) -> SimTime {
        self.now
    }

    fn orders(&mut self) -> &mut Vec<DriverOrder> {
        &mut self.orders
    }
}
