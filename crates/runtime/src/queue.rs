//! The queue of events of the whole cluster.

use acklab_vocab::ids::EventId;
use acklab_vocab::time::SimTime;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Events in the order of their due time; of equals, the one scheduled first.
///
/// The heap moves small keys; the events themselves stay where they are.
#[derive(Debug)]
pub(crate) struct Queue<E> {
    heap: BinaryHeap<Reverse<(SimTime, EventId, u32)>>,
    slots: Vec<Option<E>>,
    free: Vec<u32>,
    next_id: EventId,
}

impl<E> Queue<E> {
    pub(crate) fn new() -> Self {
        Queue { heap: BinaryHeap::new(), slots: Vec::new(), free: Vec::new(), next_id: EventId(0) }
    }

    /// Schedules an event.
    pub(crate) fn push(&mut self, at: SimTime, event: E) -> EventId {
        let slot = if let Some(slot) = self.free.pop() {
            self.slots[slot as usize] = Some(event);
            slot
        } else {
            self.slots.push(Some(event));
            (self.slots.len() - 1) as u32
        };
        let id = self.next_id;
        self.next_id = EventId(id.0 + 1);
        self.heap.push(Reverse((at, id, slot)));
        id
    }

    /// The event that is due next.
    pub(crate) fn peek(&self) -> Option<(SimTime, EventId, &E)> {
        let &Reverse((at, id, slot)) = self.heap.peek()?;
        let event = self.slots[slot as usize].as_ref()?;
        Some((at, id, event))
    }

    /// Takes the event that is due next.
    pub(crate) fn pop(&mut self) -> Option<(SimTime, EventId, E)> {
        let Reverse((at, id, slot)) = self.heap.pop()?;
        let event = self.slots[slot as usize].take()?;
        self.free.push(slot);
        Some((at, id, event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_come_in_the_order_in_which_they_were_scheduled() {
        let mut queue = Queue::new();
        for (at, name) in [(5, 'c'), (1, 'a'), (5, 'd'), (1, 'b')] {
            queue.push(SimTime(at), name);
        }
        assert_eq!(queue.pop().map(|(.., event)| event), Some('a'));
        queue.push(SimTime(1), 'x');
        let rest: Vec<char> = std::iter::from_fn(|| queue.pop().map(|(.., event)| event)).collect();
        assert_eq!(rest, ['b', 'x', 'c', 'd']);
    }
}
