//! One application's way through one partition: what it processed, where its position was put, and
//! what it gave up.
//!
//! Processing is kept as stretches of offsets. Two of them become one only while nothing has
//! happened to the group in between, so that each has a definite place among commits, rebalances
//! and crashes; that costs a few bytes per record where commits are rare, and at most one stretch
//! per chunk of processing where they are not. Mirrors no Kafka class.

use acklab_vocab::ids::{LeaderEpoch, NodeId, Offset};
use acklab_vocab::time::SimTime;
use smallvec::SmallVec;

use super::standstill::Standstill;

/// A place in the history: facts are numbered in the order of the trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Running number of the fact, over all facts that groups take note of.
    pub number: u32,
    /// When.
    pub at: SimTime,
}

/// No transaction.
pub const NO_TRANSACTION: u32 = u32::MAX;

/// Offsets that one process processed in one go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// First offset.
    pub from: Offset,
    /// After the last offset.
    pub to: Offset,
    /// Leader epoch of the batches: with the offset it names the copy.
    pub epoch: LeaderEpoch,
    /// Who.
    pub node: NodeId,
    /// When the first of them was processed.
    pub moment: Moment,
    /// The transaction in which it was done, an index into the groups' transactions, or
    /// [`NO_TRANSACTION`].
    pub transaction: u32,
}

impl Stretch {
    /// Whether it covers an offset.
    #[must_use]
    pub fn covers(&self, offset: Offset) -> bool {
        self.from <= offset && offset < self.to
    }
}

/// Why a consumer's position was put somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JumpKind {
    /// To the group's committed offset, on assignment.
    Committed,
    /// Back to the group's committed offset, after an aborted transaction.
    Sought,
    /// By `auto.offset.reset`: there was no committed offset.
    Reset,
    /// By `auto.offset.reset`: it was beyond the end of the leader's log.
    OutOfRange,
    /// Back to where the leader's log parts from what it had read (KIP-320).
    Truncated,
}

/// A consumer's position was put somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jump {
    /// When.
    pub moment: Moment,
    /// Whose.
    pub node: NodeId,
    /// Where it was, if it was anywhere.
    pub from: Option<Offset>,
    /// Where it is.
    pub to: Offset,
    /// Why.
    pub kind: JumpKind,
}

/// A consumer gave the partition up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GivenUp {
    /// When.
    pub moment: Moment,
    /// Who.
    pub node: NodeId,
    /// It had been lost before.
    pub lost: bool,
}

/// Records handed to worker threads that were never processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// When.
    pub moment: Moment,
    /// By whom.
    pub node: NodeId,
    /// First offset.
    pub from: Offset,
    /// After the last offset.
    pub to: Offset,
}

/// So many spells with two owners are kept of one partition; all are counted.
pub const DOUBLES_KEPT: usize = 20;

/// A spell during which several processes worked on the partition, each by its own account its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Double {
    /// Since when.
    pub since: SimTime,
    /// Until when; `None` while it lasts.
    pub until: Option<SimTime>,
    /// Who, when it began.
    pub owners: SmallVec<[NodeId; 2]>,
}

/// One application's way through one partition.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// Dense index of the partition.
    pub partition: usize,
    /// What was processed, in the order of the trace.
    pub stretches: Vec<Stretch>,
    /// Where positions were put, in the order of the trace.
    pub jumps: Vec<Jump>,
    /// When it was given up, in the order of the trace.
    pub given_up: Vec<GivenUp>,
    /// Records dropped by workers.
    pub dropped: Vec<Dropped>,
    /// How far it has been returned to the application: the highest offset, exclusive.
    pub delivered: Offset,
    /// Where the consumer that acted last stands.
    pub position: Option<Offset>,
    /// Where the application that acted last stands: behind the last record that it processed, or
    /// where its consumer's position was put since. What it has in hand is still before it: a crash
    /// drops that, and the next position comes from elsewhere.
    pub done: Option<Offset>,
    /// Processes that own it, as they know it themselves.
    pub owners: SmallVec<[NodeId; 2]>,
    /// Where an owner that could work was missing.
    pub standstill: Standstill,
    /// Where ZooKeeper named no owner; of consumers that share partitions out by it.
    pub unclaimed: Standstill,
    /// Where two owners could work at once, by their own account; of the same.
    pub doubled: Standstill,
    /// The first of these spells.
    pub doubles: Vec<Double>,
    /// Number of changes of the application when the last stretch was extended.
    changes: u32,
}

impl Reading {
    /// Nothing has been read yet.
    #[must_use]
    pub fn new(partition: usize) -> Self {
        Reading { partition, ..Reading::default() }
    }

    /// Offsets were processed. `changes` counts what has happened to the group so far.
    pub fn processed(&mut self, stretch: Stretch, changes: u32) {
        self.position = self.position.max(Some(stretch.to));
        self.done = self.done.max(Some(stretch.to));
        if self.changes == changes
            && let Some(last) = self.stretches.last_mut()
            && (last.to, last.epoch, last.node) == (stretch.from, stretch.epoch, stretch.node)
            && last.transaction == stretch.transaction
        {
            last.to = stretch.to;
            return;
        }
        self.changes = changes;
        self.stretches.push(stretch);
    }

    /// A position was put somewhere.
    pub fn jumped(&mut self, jump: Jump) {
        self.position = Some(jump.to);
        self.done = Some(jump.to);
        self.jumps.push(jump);
    }

    /// These of its owners can work: notes whether they are several.
    pub fn note_working(&mut self, at: SimTime, working: SmallVec<[NodeId; 2]>) {
        if working.len() < 2 {
            self.doubled.end(at);
            if let Some(last) = self.doubles.last_mut().filter(|last| last.until.is_none()) {
                last.until = Some(at);
            }
        } else if self.doubled.since.is_none() {
            self.doubled.begin(at);
            if at >= SimTime::ZERO && self.doubles.len() < DOUBLES_KEPT {
                self.doubles.push(Double { since: at, until: None, owners: working });
            }
        }
    }

    /// The last time before `until` that the position of a process was put at or before an offset.
    #[must_use]
    pub fn jump_before(&self, node: NodeId, until: Moment, offset: Offset) -> Option<&Jump> {
        let end = self.jumps.partition_point(|jump| jump.moment < until);
        let mine = self.jumps[..end].iter().rev().filter(|jump| jump.node == node);
        mine.into_iter().find(|jump| jump.to <= offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stretch(from: u64, to: u64, number: u32) -> Stretch {
        Stretch {
            from: Offset(from),
            to: Offset(to),
            epoch: LeaderEpoch(0),
            node: NodeId(6),
            moment: Moment { number, at: SimTime(i64::from(number)) },
            transaction: NO_TRANSACTION,
        }
    }

    #[test]
    fn processing_is_one_stretch_until_something_happens_to_the_group() {
        let mut reading = Reading::new(0);
        reading.processed(stretch(0, 5, 1), 7);
        reading.processed(stretch(5, 9, 2), 7);
        reading.processed(stretch(9, 10, 3), 8);
        assert_eq!(reading.stretches, [stretch(0, 9, 1), stretch(9, 10, 3)]);
        assert_eq!(reading.position, Some(Offset(10)));
    }

    #[test]
    fn a_gap_begins_a_new_stretch() {
        let mut reading = Reading::new(0);
        reading.processed(stretch(0, 5, 1), 0);
        reading.processed(stretch(3, 6, 2), 0);
        assert_eq!(reading.stretches.len(), 2);
    }
}
