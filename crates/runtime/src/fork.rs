//! Another future of the same history: up to an instant everything is as the seed has it, afterwards it is drawn anew.
//!
//! What has been drawn by then belongs to the past and stays: packets under way keep their arrival, timers that are set
//! their due time, a Poisson workload its next burst, records their keys. Whatever is drawn later comes from streams of
//! another seed: delays and losses of packets, flushes, jitter of clients and servers, election timeouts, how long
//! processes take to start, arrivals, how long records take to process, which transactions are aborted, and how a server
//! that resumes takes up what has waited.

use crate::application::Application;
use crate::draws::{self, Purpose};
use crate::world::World;
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::Observer;

/// Where a history leaves the one of its seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fork {
    /// The last instant that is as the seed has it: events that are due by then are of the past.
    pub after: SimTime,
    /// What everything later is drawn from.
    pub seed: u64,
    /// What becomes of faults that have not struck by then.
    pub faults: ForkedFaults,
}

/// What becomes of faults that have not struck when a history forks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForkedFaults {
    /// They strike when, whom and for as long as their own streams say: a future *given these faults*. Whoever is meant by
    /// a role, such as a partition's leader, is the one who has it in that future.
    #[default]
    AsDrawn,
    /// They are drawn anew, on the condition that they have not struck yet. What has no choice stays.
    Redrawn,
}

impl<O: Observer> World<O> {
    /// Leaves the history of the seed.
    pub(crate) fn fork(&mut self, fork: Fork) {
        let Fork { after, seed, faults } = fork;
        self.seed = seed;
        self.start_rng = draws::stream(seed, Purpose::Start, 0);
        self.network.change_weather(seed);
        for node in &mut self.nodes {
            node.rng = draws::node_stream(seed, node.id, node.incarnation);
            let stream = |purpose| draws::stream(seed, purpose, u64::from(node.id.0));
            node.disk_rng = stream(Purpose::Disk);
            match &mut node.application {
                Some(Application::Producer(application)) => {
                    application.draw_from(stream(Purpose::Workload), stream(Purpose::Abort));
                }
                Some(Application::Consumer(application)) => {
                    application.draw_from(stream(Purpose::Processing), stream(Purpose::Abort));
                }
                None => {}
            }
        }
        self.faults.change_weather(seed);
        match faults {
            ForkedFaults::AsDrawn => {}
            ForkedFaults::Redrawn => self.redraw_faults(after, seed),
        }
    }
}
