//! Which event led to which: the causal past of events.
//!
//! An event is handled because another one had sent a message, set a timer or asked for a flush
//! ([`Edge`]); and what a process does depends on everything that it has handled before. Together
//! these two are happened-before (Lamport, 1978). Faults reach further than messages: a killed
//! broker is noticed because nothing comes from it any more. So what the world does is in the past
//! of everything that comes after it; the caller names such events as roots.

use acklab_vocab::ids::{EventId, NodeId};
use acklab_vocab::trace::{Edge, Stamped};

/// Where faults come from.
pub(super) const WORLD: NodeId = NodeId(u16::MAX);

/// The events of a run in the order in which they were handled.
#[derive(Clone, Debug, Default)]
pub struct Causality {
    edges: Vec<Edge>,
    /// Events that changed another process than the one that handled them: a fault that kills a
    /// broker. Positions in `edges`, ascending.
    reached: Vec<(u32, NodeId)>,
    /// Positions in `edges`, by the id of the event.
    by_id: Vec<u32>,
}

impl Causality {
    /// An event is about to be handled.
    pub fn edge(&mut self, edge: &Edge) {
        self.edges.push(*edge);
    }

    /// A fact became true while the last event was handled.
    pub fn observe(&mut self, stamped: &Stamped) {
        let Some(last) = self.edges.last() else { return };
        if last.id != stamped.cause || last.node == stamped.node || stamped.node == WORLD {
            return;
        }
        let reached = (self.edges.len() as u32 - 1, stamped.node);
        if self.reached.last() != Some(&reached) {
            self.reached.push(reached);
        }
    }

    /// What was so far does not matter.
    pub fn forget(&mut self) {
        self.edges.clear();
        self.reached.clear();
    }

    /// All events are known: makes them findable.
    pub fn finish(&mut self) {
        let mut by_id: Vec<u32> = (0..self.edges.len() as u32).collect();
        by_id.sort_unstable_by_key(|position| self.edges[*position as usize].id);
        self.by_id = by_id;
    }

    /// Nothing is known: the facts come from a trace without edges.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.edges.is_empty()
    }

    /// When an event was handled, counted in events.
    #[must_use]
    pub fn position(&self, id: EventId) -> Option<u32> {
        let found =
            self.by_id.binary_search_by_key(&id, |position| self.edges[*position as usize].id);
        found.ok().map(|index| self.by_id[index])
    }

    /// An event, and why it was handled.
    #[must_use]
    pub fn get(&self, id: EventId) -> Option<&Edge> {
        self.position(id).map(|position| &self.edges[position as usize])
    }

    /// Everything that happened before any of these events, and these events.
    #[must_use]
    pub fn past_of(&self, roots: &[EventId]) -> Past {
        let mut is_past = vec![false; self.edges.len()];
        for root in roots.iter().filter_map(|root| self.position(*root)) {
            is_past[root as usize] = true;
        }
        // What a process has handled before is always part of the past: of each process it is the
        // events up to some last one.
        let mut processes: Vec<NodeId> = Vec::new();
        let mut here: Vec<NodeId> = Vec::new();
        let mut reached = self.reached.iter().rev().peekable();
        for index in (0..self.edges.len()).rev() {
            let edge = self.edges[index];
            here.clear();
            here.push(edge.node);
            while let Some((_, node)) = reached.next_if(|(at, _)| *at as usize == index) {
                here.push(*node);
            }
            if !is_past[index] && !here.iter().any(|node| processes.contains(node)) {
                continue;
            }
            is_past[index] = true;
            for node in here.iter().filter(|node| **node != WORLD) {
                if !processes.contains(node) {
                    processes.push(*node);
                }
            }
            if let Some(cause) = self.position(edge.cause).filter(|at| (*at as usize) < index) {
                is_past[cause as usize] = true;
            }
        }
        Past { is_past }
    }
}

/// The causal past of some events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Past {
    is_past: Vec<bool>,
}

impl Past {
    /// Whether the event handled at a position is part of it.
    #[must_use]
    pub fn contains(&self, position: u32) -> bool {
        self.is_past.get(position as usize).is_some_and(|is_past| *is_past)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use acklab_vocab::api::ApiKey;
    use acklab_vocab::time::SimTime;
    use acklab_vocab::trace::{EdgeKind, TraceEvent};

    fn log(events: &[(u64, u64, u16, EdgeKind)]) -> Causality {
        let mut causality = Causality::default();
        for (index, &(id, cause, node, kind)) in events.iter().enumerate() {
            let at = SimTime::from_millis(index as i64);
            let (id, cause) = (EventId(id), EventId(cause));
            causality.edge(&Edge { id, cause, at, node: NodeId(node), kind });
        }
        causality
    }

    fn past(causality: &Causality, root: u64) -> Vec<u64> {
        let past = causality.past_of(&[EventId(root)]);
        let inside = causality.edges.iter().filter(|edge| {
            causality.position(edge.id).is_some_and(|position| past.contains(position))
        });
        inside.map(|edge| edge.id.0).collect()
    }

    const TIMER: EdgeKind = EdgeKind::Timer;

    fn fetch(from: u16) -> EdgeKind {
        EdgeKind::Request { from: NodeId(from), api: ApiKey::Fetch }
    }

    #[test]
    fn the_past_is_what_messages_and_earlier_work_led_from() {
        let mut causality = log(&[
            (1, 0, 0, TIMER),
            (2, 0, 1, TIMER),
            // Process 2 has nothing to do with the others.
            (9, 0, 2, TIMER),
            // A message of process 0 reaches process 1 after its own timer.
            (5, 1, 1, fetch(0)),
            // What process 0 does afterwards is not in the past of that.
            (6, 1, 0, TIMER),
        ]);
        causality.finish();
        assert_eq!(past(&causality, 5), [1, 2, 5]);
        assert_eq!(past(&causality, 6), [1, 6]);
        assert_eq!(past(&causality, 9), [9]);
    }

    #[test]
    fn a_fault_is_part_of_the_life_of_the_process_that_it_strikes() {
        let mut causality = log(&[(1, 0, 0, TIMER), (2, 0, u16::MAX, EdgeKind::World)]);
        causality.observe(&Stamped {
            cause: EventId(2),
            at: SimTime::from_millis(1),
            node: NodeId(0),
            event: TraceEvent::ProcessKilled,
        });
        causality.edge(&Edge {
            id: EventId(3),
            cause: EventId(2),
            at: SimTime::from_millis(2),
            node: NodeId(0),
            kind: EdgeKind::World,
        });
        causality.finish();
        assert_eq!(past(&causality, 3), [1, 2, 3]);
        assert_eq!(past(&causality, 2), [1, 2]);
    }

    #[test]
    fn an_unknown_event_has_no_past() {
        let mut causality = log(&[(1, 0, 0, TIMER)]);
        causality.finish();
        assert_eq!(past(&causality, 77), [0; 0]);
        assert!(causality.get(EventId(77)).is_none());
    }
}
