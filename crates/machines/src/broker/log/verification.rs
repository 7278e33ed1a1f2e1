//! The verification of a transaction's first write to a partition (KIP-890).
//!
//! Mirrors `VerificationStateEntry` and `VerificationGuard`. A guard is unique to one verification:
//! if a marker is written, or the transaction's first record, before the coordinator's answer is
//! there, the guard is gone and the answer means nothing any more. With version 2 it outlives the
//! marker of the transaction before.
//!
//! Kafka has the state beside the producers of a log; it is volatile and knows no rebuilding.

use acklab_vocab::ids::{BaseSequence, ProducerEpoch, ProducerId};
use acklab_vocab::record::ProducerStamp;
use acklab_vocab::time::{SimDuration, SimTime};

/// Proof that a verification is still the one that was begun (`VerificationGuard`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerificationGuard(u64);

/// A producer whose first write is being verified (`VerificationStateEntry`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verification {
    producer_id: ProducerId,
    began: SimTime,
    guard: VerificationGuard,
    /// The smallest sequence that wants in: later ones have to wait for it.
    pub lowest_sequence: BaseSequence,
    epoch: ProducerEpoch,
    /// The producer follows `transaction.version` 2.
    pub version_2: bool,
}

/// The verifications of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verifications {
    guards: u64,
    /// Ascending by producer id.
    entries: Vec<Verification>,
}

impl Verifications {
    /// Begins to verify a producer, or goes on (`maybeCreateVerificationStateEntry`).
    pub fn begin(
        &mut self,
        now: SimTime,
        stamp: &ProducerStamp,
        version_2: bool,
    ) -> VerificationGuard {
        let entry = match self.find(stamp.id) {
            Ok(place) => &mut self.entries[place],
            Err(place) => {
                self.guards += 1;
                let entry = Verification {
                    producer_id: stamp.id,
                    began: now,
                    guard: VerificationGuard(self.guards),
                    lowest_sequence: stamp.base_sequence,
                    epoch: stamp.epoch,
                    version_2,
                };
                self.entries.insert(place, entry);
                &mut self.entries[place]
            }
        };
        if stamp.epoch > entry.epoch {
            entry.epoch = stamp.epoch;
            entry.lowest_sequence = stamp.base_sequence;
        } else if stamp.epoch == entry.epoch {
            entry.lowest_sequence = entry.lowest_sequence.min(stamp.base_sequence);
        }
        entry.guard
    }

    /// The verification of a producer, if one is under way.
    #[must_use]
    pub fn get(&self, producer: ProducerId) -> Option<&Verification> {
        self.find(producer).ok().map(|place| &self.entries[place])
    }

    /// Whether `guard` is that of the verification under way.
    #[must_use]
    pub fn allows(&self, producer: ProducerId, guard: Option<VerificationGuard>) -> bool {
        self.get(producer).is_some_and(|entry| Some(entry.guard) == guard)
    }

    /// A transactional batch of the producer was written: what was verified is used up. Not so by
    /// the marker of the transaction before, with version 2: it has the epoch of the next one, whose
    /// verification may have begun (KAFKA-18654, `UnifiedLog.updateProducers`).
    pub fn end(&mut self, stamp: &ProducerStamp, by_marker: bool) {
        let Ok(place) = self.find(stamp.id) else { return };
        let entry = self.entries[place];
        let is_of_next = entry.version_2 && by_marker && entry.epoch == stamp.epoch;
        if !is_of_next {
            self.entries.remove(place);
        }
    }

    /// Forgets verifications that began `expiration` ago or earlier.
    pub fn expire(&mut self, now: SimTime, expiration: SimDuration) {
        self.entries.retain(|entry| now.since(entry.began) < expiration);
    }

    fn find(&self, producer: ProducerId) -> Result<usize, usize> {
        self.entries.binary_search_by_key(&producer, |entry| entry.producer_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(id: u64, epoch: u16, sequence: u32) -> ProducerStamp {
        let base_sequence = BaseSequence(sequence);
        ProducerStamp { id: ProducerId(id), epoch: ProducerEpoch(epoch), base_sequence }
    }

    #[test]
    fn a_guard_holds_until_something_is_written() {
        let mut it = Verifications::default();
        let first = it.begin(SimTime::ZERO, &stamp(7, 0, 5), false);
        assert_eq!(it.begin(SimTime::ZERO, &stamp(7, 0, 9), false), first);
        assert!(it.allows(ProducerId(7), Some(first)));
        assert!(!it.allows(ProducerId(7), None));
        assert!(!it.allows(ProducerId(8), Some(first)));
        it.end(&stamp(7, 0, 5), true);
        assert!(!it.allows(ProducerId(7), Some(first)));
        let second = it.begin(SimTime::ZERO, &stamp(7, 0, 5), false);
        assert_ne!(second, first);
        assert!(!it.allows(ProducerId(7), Some(first)));
    }

    #[test]
    fn the_marker_of_the_transaction_before_leaves_the_guard_of_version_2() {
        let allowed = |version_2: bool, by_marker: bool, epoch: u16| {
            let mut it = Verifications::default();
            let guard = it.begin(SimTime::ZERO, &stamp(7, 3, 0), version_2);
            it.end(&stamp(7, epoch, 0), by_marker);
            it.allows(ProducerId(7), Some(guard))
        };
        assert!(allowed(true, true, 3));
        for (version_2, by_marker, epoch) in [(true, true, 2), (true, false, 3), (false, true, 3)] {
            assert!(!allowed(version_2, by_marker, epoch), "{version_2} {by_marker} {epoch}");
        }
    }

    #[test]
    fn the_lowest_sequence_of_the_newest_epoch_is_kept() {
        let mut it = Verifications::default();
        let lowest = |it: &Verifications| it.get(ProducerId(7)).map(|e| e.lowest_sequence.0);
        it.begin(SimTime::ZERO, &stamp(7, 1, 5), false);
        it.begin(SimTime::ZERO, &stamp(7, 1, 3), false);
        it.begin(SimTime::ZERO, &stamp(7, 0, 0), false);
        assert_eq!(lowest(&it), Some(3));
        it.begin(SimTime::ZERO, &stamp(7, 2, 8), false);
        assert_eq!(lowest(&it), Some(8));
        it.expire(SimTime::from_millis(10), SimDuration::from_millis(10));
        assert_eq!(lowest(&it), None);
    }
}
