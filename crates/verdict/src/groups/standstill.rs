//! When a partition had no owner that could work on it.
//!
//! An owner is a process that holds the partition by its own account, runs, and has not been
//! removed by the coordinator. The time counts from time zero, or from the first start of the
//! application if that is later, or from the partition's creation, until the run ends.

use acklab_vocab::time::{SimDuration, SimTime};

/// Spells without an owner that could work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standstill {
    /// Since when there has been none.
    pub since: Option<SimTime>,
    /// The longest spell that has ended.
    pub longest: SimDuration,
    /// All that have ended.
    pub total: SimDuration,
    /// How many have ended.
    pub spells: u32,
}

impl Standstill {
    /// Nobody works on it from now on.
    pub fn begin(&mut self, at: SimTime) {
        self.since.get_or_insert(at);
    }

    /// The partition is there only now: nobody could have worked on it before.
    pub fn created(&mut self, at: SimTime) {
        self.since = self.since.map(|since| since.max(at));
    }

    /// Somebody works on it, or the run is over.
    pub fn end(&mut self, at: SimTime) {
        let Some(since) = self.since.take() else { return };
        let since = since.max(SimTime::ZERO);
        if at > since {
            let spell = at.since(since);
            self.longest = self.longest.max(spell);
            self.total += spell;
            self.spells += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_time_after_zero_counts() {
        let mut standstill = Standstill::default();
        standstill.begin(SimTime::from_millis(-500));
        standstill.end(SimTime::from_millis(-100));
        assert_eq!(standstill, Standstill::default());
        standstill.begin(SimTime::from_millis(-50));
        standstill.begin(SimTime::from_millis(10));
        standstill.end(SimTime::from_millis(30));
        assert_eq!((standstill.total.as_millis(), standstill.spells), (30, 1));
    }

    #[test]
    fn what_is_not_there_does_not_stand_still() {
        let mut standstill = Standstill::default();
        standstill.created(SimTime::from_millis(5));
        assert_eq!(standstill, Standstill::default());
        standstill.begin(SimTime::from_millis(10));
        standstill.created(SimTime::from_millis(70));
        standstill.end(SimTime::from_millis(90));
        assert_eq!((standstill.total.as_millis(), standstill.spells), (20, 1));
    }
}
