//! How far an application is behind, over time.
//!
//! The lag is the number of offsets between the high watermark and the group's committed offset, as
//! `kafka-consumer-groups.sh` shows it; for an application that does not commit for a group, its
//! position. It is looked at every hundred milliseconds, and every second sample is dropped when
//! there are too many.

use acklab_vocab::time::{SimDuration, SimTime};

/// So many samples are kept.
const SAMPLES_KEPT: usize = 1_200;
const FIRST_INTERVAL: SimDuration = SimDuration::from_millis(100);

/// The lag of one application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LagSeries {
    /// When, and how many records over all partitions: the largest of the interval that ends then.
    pub samples: Vec<(SimTime, u64)>,
    /// The largest ever seen.
    pub max: u64,
    interval: SimDuration,
    next: SimTime,
    largest: u64,
}

impl Default for LagSeries {
    fn default() -> Self {
        LagSeries {
            samples: Vec::new(),
            max: 0,
            interval: FIRST_INTERVAL,
            next: SimTime::ZERO,
            largest: 0,
        }
    }
}

impl LagSeries {
    /// Adds a sample, which is the lag at `at`.
    pub fn sample(&mut self, at: SimTime, lag: u64) {
        self.max = self.max.max(lag);
        self.largest = self.largest.max(lag);
        if at < self.next {
            return;
        }
        self.samples.push((at, std::mem::take(&mut self.largest)));
        self.next = at + self.interval;
        if self.samples.len() == SAMPLES_KEPT {
            self.thin();
        }
    }

    /// At most `limit` samples, each the largest of those that it stands for.
    #[must_use]
    pub fn at_most(&self, limit: usize) -> Vec<(SimTime, u64)> {
        let size = self.samples.len().div_ceil(limit.max(1)).max(1);
        let largest = |of: &[(SimTime, u64)]| {
            let lag = of.iter().map(|&(_, lag)| lag).max().unwrap_or(0);
            (of.last().map_or(SimTime::ZERO, |&(at, _)| at), lag)
        };
        self.samples.chunks(size).map(largest).collect()
    }

    fn thin(&mut self) {
        self.samples = self.at_most(SAMPLES_KEPT / 2);
        self.interval = self.interval * 2;
        self.next = self.samples.last().map_or(self.next, |&(at, _)| at + self.interval);
    }
}

/// When the lag of all applications is to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampler {
    next: SimTime,
}

impl Default for Sampler {
    fn default() -> Self {
        Sampler { next: SimTime::ZERO }
    }
}

impl Sampler {
    /// Whether it is time to look.
    pub fn is_due(&mut self, at: SimTime) -> bool {
        if at < self.next {
            return false;
        }
        self.next = at + FIRST_INTERVAL;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_runs_keep_fewer_samples_and_every_peak() {
        let mut series = LagSeries::default();
        for tick in 0..5_000_i64 {
            let lag = if tick == 3_333 { 77 } else { 1 };
            series.sample(SimTime::from_millis(tick * 100), lag);
        }
        assert!(series.samples.len() < SAMPLES_KEPT);
        assert_eq!(series.max, 77);
        assert_eq!(series.at_most(50).iter().map(|&(_, lag)| lag).max(), Some(77));
        assert!(series.at_most(50).len() <= 50);
    }
}
