//! Time in which one partition accepted no write although producers asked.
//!
//! A partition is unavailable to writers from an attempt that it does not accept until its leader
//! next accepts a write: appends a batch, recognises one that it has, or refuses one for what it is
//! (too large, out of sequence), which no other replica would take either. While several batches are
//! under way, the time after an acceptance counts as long as another one waits. A producer that has
//! nothing to send does not make a partition unavailable, however long it is silent. A write that
//! was given up has waited until then; what nobody took until the end waits until the last such
//! write was given up, and at least until the workload ended.

use acklab_vocab::ids::RecordId;
use acklab_vocab::time::{SimDuration, SimTime};
use std::collections::BTreeSet;

/// Waits as long as this are interruptions: a leader that works accepts sooner, no failover after a
/// crash is over so soon. Shorter ones do not add to the total.
pub const INTERRUPTION: SimDuration = SimDuration::from_millis(100);

/// Waits of producers for one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Writes {
    /// The first records of batches that are sent, or are to be sent again, and not yet accepted.
    under_way: BTreeSet<RecordId>,
    /// Since when nothing has been accepted although somebody asked.
    waiting_since: Option<SimTime>,
    /// Since when, after the last acceptance, there was first no leader that works.
    leaderless_since: Option<SimTime>,
    /// When somebody last asked, or gave up.
    last_asked: SimTime,
    /// The longest wait that has ended.
    pub longest: SimDuration,
    /// All waits of [`INTERRUPTION`] or more that have ended.
    pub interrupted: SimDuration,
}

impl Writes {
    /// There is no leader that works. Batches are then not even sent: they wait in the producer.
    pub fn lost_leader(&mut self, at: SimTime) {
        self.leaderless_since.get_or_insert(at);
    }

    /// Somebody begins to write here, and there is no leader.
    pub fn begun(&mut self, at: SimTime) {
        self.waiting_since.get_or_insert(at);
    }

    /// A batch is sent, or is to be sent again. Its first record was created at `created`: where
    /// there was no leader since, it has waited for one.
    pub fn asked(&mut self, at: SimTime, first: RecordId, created: SimTime) {
        self.waits(at, created);
        self.under_way.insert(first);
    }

    /// The leader accepted a batch with this first record. `is_leaderless`: the controller or the
    /// process itself knows better.
    pub fn accepted(&mut self, at: SimTime, first: Option<RecordId>, is_leaderless: bool) {
        if let Some(first) = first {
            self.under_way.remove(&first);
        }
        self.end(at);
        self.waiting_since = (!self.under_way.is_empty()).then_some(at);
        self.leaderless_since = is_leaderless.then_some(at);
    }

    /// A producer is done with a batch. Whether the partition accepted it is no matter of the
    /// producer's: with acks=0 it never hears. A batch that was given up may never have been sent.
    pub fn completed(&mut self, at: SimTime, first: RecordId, given_up: Option<SimTime>) {
        if let Some(created) = given_up {
            self.waits(at, created);
        }
        self.under_way.remove(&first);
    }

    /// The run is over.
    pub fn close(&mut self, workload_ended: SimTime) {
        self.end(self.last_asked.max(workload_ended));
    }

    fn waits(&mut self, at: SimTime, created: SimTime) {
        self.last_asked = self.last_asked.max(at);
        let from = self.leaderless_since.map_or(at, |since| since.max(created).min(at));
        self.waiting_since = Some(self.waiting_since.map_or(from, |since| since.min(from)));
    }

    fn end(&mut self, at: SimTime) {
        let Some(since) = self.waiting_since.take().filter(|since| *since < at) else { return };
        let wait = at.since(since);
        self.longest = self.longest.max(wait);
        if wait >= INTERRUPTION {
            self.interrupted += wait;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use acklab_vocab::ids::ProducerIndex;

    const SECOND: i64 = 1_000;

    fn at(millis: i64) -> SimTime {
        SimTime(millis * 1_000_000)
    }

    fn record(sequence: u32) -> RecordId {
        RecordId { producer: ProducerIndex(0), sequence }
    }

    fn send(writes: &mut Writes, millis: i64, sequence: u32) {
        writes.asked(at(millis), record(sequence), at(millis));
    }

    fn accept(writes: &mut Writes, millis: i64, sequence: u32) {
        writes.accepted(at(millis), Some(record(sequence)), false);
    }

    fn sums(writes: &Writes) -> (u64, u64) {
        (writes.longest.as_millis(), writes.interrupted.as_millis())
    }

    #[test]
    fn a_slow_producer_makes_nothing_unavailable() {
        let mut writes = Writes::default();
        for second in 0..60 {
            send(&mut writes, second * SECOND, second as u32);
            accept(&mut writes, second * SECOND + 3, second as u32);
        }
        writes.close(at(60 * SECOND));
        assert_eq!(sums(&writes), (3, 0));
    }

    #[test]
    fn a_wait_lasts_from_the_first_attempt_to_the_next_acceptance() {
        let mut writes = Writes::default();
        send(&mut writes, 0, 0);
        accept(&mut writes, 2, 0);
        // Sent at 1 s to a dead leader, again and again; accepted at 9 s.
        for again in 1..9 {
            send(&mut writes, again * SECOND, 1);
        }
        accept(&mut writes, 9 * SECOND, 1);
        assert_eq!(sums(&writes), (8_000, 8_000));
    }

    #[test]
    fn what_is_still_under_way_goes_on_waiting() {
        let mut writes = Writes::default();
        send(&mut writes, 0, 0);
        send(&mut writes, 1, 1);
        accept(&mut writes, 2, 0);
        // Nothing more is sent: the second has to be answered first.
        accept(&mut writes, 30 * SECOND, 1);
        assert_eq!(sums(&writes), (29_998, 29_998));
        // All is accepted: nobody waits.
        send(&mut writes, 90 * SECOND, 2);
        accept(&mut writes, 90 * SECOND + 1, 2);
        assert_eq!(sums(&writes), (29_998, 29_998));
    }

    #[test]
    fn without_a_leader_batches_wait_in_the_producer() {
        let mut writes = Writes::default();
        send(&mut writes, 0, 0);
        accept(&mut writes, 2, 0);
        writes.lost_leader(at(500));
        // Created at 1 s; sent when there is a leader.
        writes.asked(at(9 * SECOND), record(1), at(SECOND));
        accept(&mut writes, 9 * SECOND + 2, 1);
        assert_eq!(sums(&writes), (8_002, 8_002));
        // Created at 10 s and sent late, as with a long linger: the leader was there.
        writes.asked(at(11 * SECOND), record(2), at(10 * SECOND));
        accept(&mut writes, 11 * SECOND + 2, 2);
        assert_eq!(sums(&writes), (8_002, 8_002));
    }

    #[test]
    fn a_batch_of_acks_0_that_never_arrived_is_an_attempt() {
        let mut writes = Writes::default();
        send(&mut writes, 0, 0);
        writes.completed(at(0), record(0), None);
        send(&mut writes, 4 * SECOND, 1);
        writes.completed(at(4 * SECOND), record(1), None);
        accept(&mut writes, 4 * SECOND + 1, 1);
        assert_eq!(sums(&writes), (4_001, 4_001));
        writes.close(at(60 * SECOND));
        assert_eq!(sums(&writes), (4_001, 4_001), "nobody waits any longer");
    }

    #[test]
    fn what_is_never_accepted_waits_until_it_is_given_up() {
        let mut writes = Writes::default();
        send(&mut writes, SECOND, 0);
        writes.completed(at(121 * SECOND), record(0), Some(at(SECOND)));
        let mut short = writes.clone();
        short.close(at(60 * SECOND));
        assert_eq!(sums(&short), (120_000, 120_000));
        writes.close(at(300 * SECOND));
        assert_eq!(sums(&writes), (299_000, 299_000));
    }
}
