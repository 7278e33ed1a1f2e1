//! Two runs side by side, fact by fact: where they part.
//!
//! Both run at the same time, each on a thread of its own, and send their facts in chunks through
//! bounded channels, so two histories of any length are compared in constant memory.

use crate::case::Case;
use crate::verify::Driver;
use acklab_vocab::trace::{Observer, Stamped};
use std::fmt;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

/// The first fact on which two runs differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// Its position in the trace, from 0.
    pub index: u64,
    /// The first run's fact; `None` if its trace was over.
    pub first: Option<Stamped>,
    /// The second run's fact; `None` if its trace was over.
    pub second: Option<Stamped>,
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut side = |name: &str, fact: &Option<Stamped>| match fact {
            Some(fact) => write!(
                f,
                "\n  {name}  {:#}, process {}, event {}: {:?}",
                fact.at, fact.node, fact.cause, fact.event
            ),
            None => write!(f, "\n  {name}  the trace is over"),
        };
        side("first ", &self.first)?;
        side("second", &self.second)
    }
}

/// Runs a seed twice at once, and returns the first fact on which the two differ.
pub(crate) fn first_divergence(case: &Case, seed: u64, second: Driver) -> Option<Divergence> {
    thread::scope(|scope| {
        let facts = |driver: Driver| {
            let (recorder, facts) = channel();
            // A run that panics ends its trace there; whoever asks has caught the same panic
            // before.
            scope.spawn(move || case.observe(seed, driver, recorder).map(drop));
            facts
        };
        compare(facts(Driver::Madsim), facts(second))
    })
}

fn compare(
    mut first: impl Iterator<Item = Stamped>,
    mut second: impl Iterator<Item = Stamped>,
) -> Option<Divergence> {
    let mut index = 0;
    loop {
        match (first.next(), second.next()) {
            (None, None) => return None,
            (first, second) if first == second => index += 1,
            (first, second) => return Some(Divergence { index, first, second }),
        }
    }
}

/// Facts per message between the threads.
const CHUNK: usize = 1_024;

/// A run may be so many chunks ahead of the comparison.
const CHUNKS_AHEAD: usize = 4;

/// Sends what it observes, until nobody listens.
pub(crate) struct Recorder {
    sender: Option<SyncSender<Vec<Stamped>>>,
    chunk: Vec<Stamped>,
}

impl Recorder {
    fn new(sender: SyncSender<Vec<Stamped>>) -> Self {
        Recorder { sender: Some(sender), chunk: Vec::new() }
    }

    fn flush(&mut self) {
        let chunk = std::mem::take(&mut self.chunk);
        if self.sender.as_ref().is_some_and(|sender| sender.send(chunk).is_err()) {
            self.sender = None;
        }
    }
}

impl Observer for Recorder {
    fn observe(&mut self, stamped: &Stamped) {
        if self.sender.is_some() {
            self.chunk.push(stamped.clone());
            if self.chunk.len() == CHUNK {
                self.flush();
            }
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.flush();
    }
}

/// What a [`Recorder`] sends, fact by fact.
pub(crate) struct Facts {
    receiver: Receiver<Vec<Stamped>>,
    chunk: std::vec::IntoIter<Stamped>,
}

/// A recorder and its listener.
pub(crate) fn channel() -> (Recorder, Facts) {
    let (sender, receiver) = sync_channel(CHUNKS_AHEAD);
    (Recorder::new(sender), Facts { receiver, chunk: Vec::new().into_iter() })
}

impl Iterator for Facts {
    type Item = Stamped;

    fn next(&mut self) -> Option<Stamped> {
        loop {
            if let Some(fact) = self.chunk.next() {
                return Some(fact);
            }
            self.chunk = self.receiver.recv().ok()?.into_iter();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use acklab_vocab::ids::{EventId, NodeId};
    use acklab_vocab::time::SimTime;
    use acklab_vocab::trace::TraceEvent;

    fn fact(at: i64) -> Stamped {
        Stamped {
            cause: EventId(1),
            at: SimTime::from_millis(at),
            node: NodeId(0),
            event: TraceEvent::ProcessKilled,
        }
    }

    #[test]
    fn traces_part_at_the_first_fact_that_differs_or_where_one_is_over() {
        let trace =
            |times: &[i64]| times.iter().map(|&at| fact(at)).collect::<Vec<_>>().into_iter();
        assert_eq!(compare(trace(&[1, 2]), trace(&[1, 2])), None);
        assert_eq!(
            compare(trace(&[1, 2, 3]), trace(&[1, 4, 3])),
            Some(Divergence { index: 1, first: Some(fact(2)), second: Some(fact(4)) })
        );
        assert_eq!(
            compare(trace(&[1]), trace(&[1, 2])),
            Some(Divergence { index: 1, first: None, second: Some(fact(2)) })
        );
    }

    #[test]
    fn a_recorder_sends_everything_and_stops_when_nobody_listens() {
        let (sender, receiver) = sync_channel(8);
        let mut recorder = Recorder::new(sender);
        for at in 0..2_500 {
            recorder.observe(&fact(at));
        }
        drop(recorder);
        assert_eq!(Facts { receiver, chunk: Vec::new().into_iter() }.count(), 2_500);

        let (sender, receiver) = sync_channel(0);
        drop(receiver);
        let mut recorder = Recorder::new(sender);
        for at in 0..2_500 {
            recorder.observe(&fact(at));
        }
        assert!(recorder.chunk.is_empty());
    }
}
