//! Simulated time: integers only, so that every machine computes the same instant.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::{Add, AddAssign, Div, Mul, Sub};

/// An instant of simulated time: nanoseconds from *time zero*, the moment at which the cluster has settled and workload
/// and faults begin to count. Negative while the cluster forms.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct SimTime(pub i64);

/// A span of simulated time in nanoseconds, never negative.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct SimDuration(pub u64);

impl SimTime {
    /// Time zero: the settled cluster.
    pub const ZERO: SimTime = SimTime(0);
    /// Later than every event: the deadline of something that never expires.
    pub const NEVER: SimTime = SimTime(i64::MAX);

    /// The instant so many milliseconds after time zero.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        SimTime(millis * 1_000_000)
    }

    /// The instant so many microseconds after time zero.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        SimTime(micros * 1_000)
    }

    /// The time that has passed since `earlier`, zero if `earlier` is in fact later.
    #[must_use]
    pub const fn since(self, earlier: SimTime) -> SimDuration {
        if self.0 > earlier.0 {
            SimDuration(self.0.wrapping_sub(earlier.0) as u64)
        } else {
            SimDuration(0)
        }
    }

    /// Seconds since time zero, for display only.
    #[must_use]
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

impl SimDuration {
    /// No time at all.
    pub const ZERO: SimDuration = SimDuration(0);
    /// Longer than any run: Kafka's `Long.MAX_VALUE` intervals.
    pub const MAX: SimDuration = SimDuration(u64::MAX);

    /// So many nanoseconds.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        SimDuration(nanos)
    }

    /// So many microseconds.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        SimDuration(micros.saturating_mul(1_000))
    }

    /// So many milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        SimDuration(millis.saturating_mul(1_000_000))
    }

    /// So many seconds.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        SimDuration(secs.saturating_mul(1_000_000_000))
    }

    /// Whole milliseconds, rounded down.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Whole microseconds, rounded down.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0 / 1_000
    }

    /// Seconds, for display only.
    #[must_use]
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// The sum, or the longest duration there is.
    #[must_use]
    pub const fn saturating_add(self, other: SimDuration) -> Self {
        SimDuration(self.0.saturating_add(other.0))
    }

    /// The difference, or zero.
    #[must_use]
    pub const fn saturating_sub(self, other: SimDuration) -> Self {
        SimDuration(self.0.saturating_sub(other.0))
    }
}

impl Add<SimDuration> for SimTime {
    type Output = SimTime;

    /// The instant so much later; [`SimTime::NEVER`] where that does not fit.
    fn add(self, duration: SimDuration) -> SimTime {
        let duration = i64::try_from(duration.0).unwrap_or(i64::MAX);
        SimTime(self.0.saturating_add(duration))
    }
}

impl AddAssign<SimDuration> for SimTime {
    fn add_assign(&mut self, duration: SimDuration) {
        *self = *self + duration;
    }
}

impl Sub<SimDuration> for SimTime {
    type Output = SimTime;

    fn sub(self, duration: SimDuration) -> SimTime {
        let duration = i64::try_from(duration.0).unwrap_or(i64::MAX);
        SimTime(self.0.saturating_sub(duration))
    }
}

impl Add for SimDuration {
    type Output = SimDuration;

    fn add(self, other: SimDuration) -> SimDuration {
        self.saturating_add(other)
    }
}

impl AddAssign for SimDuration {
    fn add_assign(&mut self, other: SimDuration) {
        *self = *self + other;
    }
}

impl Mul<u64> for SimDuration {
    type Output = SimDuration;

    fn mul(self, factor: u64) -> SimDuration {
        SimDuration(self.0.saturating_mul(factor))
    }
}

impl Div<u64> for SimDuration {
    type Output = SimDuration;

    fn div(self, divisor: u64) -> SimDuration {
        SimDuration(self.0 / divisor)
    }
}

/// Seconds with three decimals, as in the timeline of a run: `9.412 s`.
impl fmt::Display for SimTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let micros = self.0.unsigned_abs() / 1_000;
        let (secs, rest) = (micros / 1_000_000, micros % 1_000_000);
        if f.alternate() {
            write!(f, "{sign}{secs}.{rest:06} s")
        } else {
            write!(f, "{sign}{secs}.{:03} s", rest / 1_000)
        }
    }
}

/// The shortest exact form in one unit: `250 us`, `1.5 ms`, `30 s`.
impl fmt::Display for SimDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, name) = match self.0 {
            u64::MAX => return f.write_str("forever"),
            0 => return f.write_str("0 s"),
            1_000_000_000.. => (1_000_000_000, "s"),
            1_000_000.. => (1_000_000, "ms"),
            1_000.. => (1_000, "us"),
            _ => (1, "ns"),
        };
        let whole = self.0 / unit;
        let thousandths = (self.0 % unit) * 1_000 / unit;
        if thousandths == 0 {
            write!(f, "{whole} {name}")
        } else {
            let decimals = format!("{thousandths:03}");
            write!(f, "{whole}.{} {name}", decimals.trim_end_matches('0'))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_and_spans_print_in_the_unit_a_person_would_choose() {
        assert_eq!(SimTime::from_millis(9_412).to_string(), "9.412 s");
        assert_eq!(SimTime::from_millis(-250).to_string(), "-0.250 s");
        assert_eq!(format!("{:#}", SimTime::from_micros(1_500)), "0.001500 s");
        assert_eq!(SimDuration::from_micros(1_500).to_string(), "1.5 ms");
        assert_eq!(SimDuration::from_secs(30).to_string(), "30 s");
        assert_eq!(SimDuration::from_nanos(20).to_string(), "20 ns");
        assert_eq!(SimDuration::MAX.to_string(), "forever");
    }

    #[test]
    fn time_saturates_instead_of_wrapping() {
        assert_eq!(SimTime::ZERO + SimDuration::MAX, SimTime::NEVER);
        assert_eq!(SimTime::ZERO.since(SimTime::from_millis(5)), SimDuration::ZERO);
        assert_eq!(
            SimTime::from_millis(7).since(SimTime::from_millis(-5)),
            SimDuration::from_millis(12)
        );
    }
}
