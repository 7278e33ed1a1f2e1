//! How long records took, in microseconds: to their acknowledgement, and to a reader.

use acklab_vocab::time::SimTime;
use hdrhistogram::Histogram;

/// A distribution of times in microseconds, to three significant digits.
#[derive(Clone, Debug)]
pub struct Latency {
    histogram: Histogram<u64>,
    /// Records of one batch mostly took equally long: they are entered together.
    pending: (u64, u64),
    /// The histogram rounds; this does not.
    longest: u64,
    /// Every single one, if they are kept.
    samples: Option<Vec<LatencySample>>,
}

/// How long one record took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LatencySample {
    /// When it was created.
    pub since: SimTime,
    /// How long it took, in microseconds.
    pub micros: u64,
}

impl Default for Latency {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, 1 << 24, 3).expect("bounds are valid");
        let mut latency = Latency { histogram, pending: (0, 0), longest: 0, samples: None };
        latency.histogram.auto(true);
        latency
    }
}

/// What is said of a distribution, in microseconds; all zero if it is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct LatencySummary {
    /// Half took at most so long.
    pub p50: u64,
    /// Nine in ten took at most so long.
    pub p90: u64,
    /// 99 in a hundred took at most so long.
    pub p99: u64,
    /// The longest.
    pub max: u64,
}

impl Latency {
    /// Keeps every single one from now on.
    pub fn keep_samples(&mut self) {
        self.samples.get_or_insert_default();
    }

    /// Every single one since they are kept, in the order of the trace.
    #[must_use]
    pub fn samples(&self) -> &[LatencySample] {
        self.samples.as_deref().unwrap_or_default()
    }

    /// A record took from `since` until `until`.
    pub fn record(&mut self, since: SimTime, until: SimTime) {
        let micros = until.since(since).as_micros();
        if let Some(samples) = &mut self.samples {
            samples.push(LatencySample { since, micros });
        }
        if self.pending.0 != micros {
            self.flush();
            self.pending.0 = micros;
        }
        self.pending.1 += 1;
    }

    fn flush(&mut self) {
        let (micros, count) = std::mem::take(&mut self.pending);
        if count > 0 {
            self.longest = self.longest.max(micros);
            self.histogram.record_n(micros, count).expect("the histogram grows by itself");
        }
    }

    /// The distribution.
    pub fn histogram(&mut self) -> &Histogram<u64> {
        self.flush();
        &self.histogram
    }

    /// What is said of it.
    pub fn summary(&mut self) -> LatencySummary {
        self.flush();
        let (histogram, max) = (&self.histogram, self.longest);
        let within = |quantile| histogram.value_at_quantile(quantile).min(max);
        LatencySummary { p50: within(0.5), p90: within(0.9), p99: within(0.99), max }
    }
}
