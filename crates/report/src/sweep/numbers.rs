//! Numbers with a fraction as the terminal and the pages of sweeps show them.

use acklab_experiment::sweep::report::Interval;
use acklab_verdict::names::grouped;

/// `91.3 %`, `100 %`, `0 %`; never 0 or 100 by rounding.
#[must_use]
pub fn percent(share: f64) -> String {
    let points = match share * 100.0 {
        0.0 => "0".to_owned(),
        100.0 => "100".to_owned(),
        small if small < 0.05 => "< 0.1".to_owned(),
        large if large >= 99.95 => "> 99.9".to_owned(),
        points => format!("{points:.1}"),
    };
    format!("{points} %")
}

/// The ends of an interval in percent, rounded outwards: `[87.6, 94.0]`.
#[must_use]
pub fn ends(interval: &Interval) -> String {
    // Six digits are kept: what is a whole number of tenths but for those is one.
    let low = ((interval.low * 1_000.0 + 1e-6).floor() / 10.0).max(0.0);
    let high = ((interval.high * 1_000.0 - 1e-6).ceil() / 10.0).min(100.0);
    let end = |end: f64| match end {
        0.0 | 100.0 => format!("{end:.0}"),
        _ => format!("{end:.1}"),
    };
    format!("[{}, {}]", end(low), end(high))
}

/// A mean of counts: `13.1`, `1,204.0`.
#[must_use]
pub fn mean(value: f64) -> String {
    let tenths = (value.abs() * 10.0 + 0.5).floor() as u64;
    format!("{}.{}", grouped(tenths / 10), tenths % 10)
}

/// A time of so many microseconds.
#[must_use]
pub fn time(value: f64) -> String {
    acklab_verdict::names::micros((value.abs() + 0.5).floor() as u64)
}

/// A difference with its sign, unless it shows as nothing.
pub fn signed(value: f64, show: impl Fn(f64) -> String) -> String {
    let shown = show(value.abs());
    let is_nothing = shown.chars().all(|letter| !('1'..='9').contains(&letter));
    match value {
        _ if is_nothing => shown,
        value if value < 0.0 => format!("−{shown}"),
        _ => format!("+{shown}"),
    }
}

/// A difference of shares in percentage points.
#[must_use]
pub fn points(value: f64) -> String {
    signed(value, |value| format!("{:.1}", value * 100.0))
}

/// A difference of times with its interval, both in one unit that suits the larger end.
#[must_use]
pub fn difference_of_times(of: &Interval) -> (String, String) {
    let (unit, scale, digits) = match of.low.abs().max(of.high.abs()) {
        ..100.0 => ("us", 1.0, 1),
        ..10_000.0 => ("ms", 1e3, 2),
        ..1_000_000.0 => ("ms", 1e3, 1),
        _ => ("s", 1e6, 2),
    };
    let show = |value: f64| signed(value, |value| format!("{:.digits$}", value / scale));
    (format!("{} {unit}", show(of.estimate)), between(of, show))
}

/// The ends of a difference's interval.
pub fn between(interval: &Interval, show: impl Fn(f64) -> String) -> String {
    format!("[{}, {}]", show(interval.low), show(interval.high))
}

/// How surely a difference is no chance: `0.012`, `< 0.000001`.
#[must_use]
pub fn probability(p: f64) -> String {
    match p {
        p if p < 0.000_001 => "< 0.000001".to_owned(),
        p if p < 0.001 => format!("{p:.6}"),
        p => format!("{p:.3}"),
    }
}

/// A share in millionths, as plots take it.
#[must_use]
pub fn millionths(share: f64) -> i64 {
    (share * 1e6 + 0.5).floor() as i64
}

/// So many, as plots take them.
#[must_use]
pub fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_intervals_are_never_rounded_to_certainty() {
        let shown: Vec<String> =
            [0.0, 0.0004, 0.0131, 0.9133, 0.9996, 1.0].into_iter().map(percent).collect();
        assert_eq!(shown, ["0 %", "< 0.1 %", "1.3 %", "91.3 %", "> 99.9 %", "100 %"]);
        let of = |low: f64, high: f64| ends(&Interval { estimate: low, low, high });
        assert_eq!(of(0.0, 0.012_642), "[0, 1.3]");
        assert_eq!(of(0.987_358, 1.0), "[98.7, 100]");
        assert_eq!(of(0.876, 0.94), "[87.6, 94.0]");
        assert_eq!(of(0.999_96, 0.999_97), "[99.9, 100]");
    }

    #[test]
    fn differences_have_a_sign_unless_they_are_nothing() {
        assert_eq!(points(-0.0867), "−8.7");
        assert_eq!(points(0.2), "+20.0");
        assert_eq!(points(-0.0001), "0.0");
        assert_eq!(signed(-1_204.04, mean), "−1,204.0");
        let times = |estimate: f64, low: f64, high: f64| {
            let (difference, ends) = difference_of_times(&Interval { estimate, low, high });
            format!("{difference} {ends}")
        };
        assert_eq!(times(2_100.0, -80.0, 4_280.0), "+2.10 ms [−0.08, +4.28]");
        assert_eq!(times(110_300.0, 70_900.0, 149_600.0), "+110.3 ms [+70.9, +149.6]");
        assert_eq!(times(-0.36, -0.8, 0.1), "−0.4 us [−0.8, +0.1]");
        assert_eq!(times(-8.9e6, -9e6, -8.8e6), "−8.90 s [−9.00, −8.80]");
        assert_eq!(probability(0.25), "0.250");
        assert_eq!(probability(0.000_123), "0.000123");
        assert_eq!(probability(0.0), "< 0.000001");
    }
}
