//! What samples say about probabilities and means.
//!
//! Everything is arithmetic of basic operations, correctly rounded everywhere, so that the same
//! rows give the same bytes on every machine. Libraries for statistics call the platform's
//! logarithms and gamma functions, whose last digits differ; that is why these few formulas are
//! written out.

use super::report::{Interval, Spread};

/// 97.5 % of the standard normal distribution lie below.
const Z: f64 = 1.959_963_984_540_054;

/// Rounded to six digits after the point; never `-0`.
pub(super) fn rounded(value: f64) -> f64 {
    let rounded = (value * 1e6).round() / 1e6;
    if rounded == 0.0 { 0.0 } else { rounded }
}

fn interval(estimate: f64, low: f64, high: f64) -> Interval {
    Interval { estimate: rounded(estimate), low: rounded(low), high: rounded(high) }
}

/// A proportion with its 95 % Wilson interval. Of no seeds nothing is known: 0 to 1.
pub fn wilson(part: u64, whole: u64) -> Interval {
    let (share, low, high) = wilson_ends(part, whole);
    interval(share, low, high)
}

fn wilson_ends(part: u64, whole: u64) -> (f64, f64, f64) {
    if whole == 0 {
        return (0.0, 0.0, 1.0);
    }
    let share = part as f64 / whole as f64;
    let (low, high) = score_ends(share, whole as f64);
    // Rounding must not take the ends away from where they belong.
    let low = if part == 0 { 0.0 } else { low.max(0.0) };
    let high = if part == whole { 1.0 } else { high.min(1.0) };
    (share, low, high)
}

fn score_ends(share: f64, n: f64) -> (f64, f64) {
    let scale = 1.0 + Z * Z / n;
    let centre = (share + Z * Z / (2.0 * n)) / scale;
    let half = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt() / scale;
    (centre - half, centre + half)
}

/// The difference of two proportions of the same seeds, second minus first, with Newcombe's 95 %
/// interval (1998, his method 10: Wilson intervals of both, and their correlation).
pub fn paired_difference(both: u64, first_only: u64, second_only: u64, neither: u64) -> Interval {
    let whole = both + first_only + second_only + neither;
    if whole == 0 {
        return Interval { estimate: 0.0, low: -1.0, high: 1.0 };
    }
    let (first, first_low, first_high) = wilson_ends(both + first_only, whole);
    let (second, second_low, second_high) = wilson_ends(both + second_only, whole);
    let correlation = correlation(both, first_only, second_only, neither);
    let reach = |one: f64, other: f64| {
        (one * one - 2.0 * correlation * one * other + other * other).max(0.0).sqrt()
    };
    // From products of integers: 0 exactly where the discordant seeds balance.
    let estimate = (second_only as f64 - first_only as f64) / whole as f64;
    let low = estimate - reach(second - second_low, first_high - first);
    let high = estimate + reach(second_high - second, first - first_low);
    interval(estimate, low.max(-1.0), high.min(1.0))
}

/// Between the two proportions, with Newcombe's correction for continuity.
fn correlation(both: u64, first_only: u64, second_only: u64, neither: u64) -> f64 {
    let [a, b, c, d] = [both, first_only, second_only, neither].map(|count| count as f64);
    let margins = (a + b) * (c + d) * (a + c) * (b + d);
    if margins == 0.0 {
        return 0.0;
    }
    let product = a * d - b * c;
    let corrected =
        if product > 0.0 { (product - (a + b + c + d) / 2.0).max(0.0) } else { product };
    corrected / margins.sqrt()
}

/// McNemar's exact test, two-sided: how probable a split of the discordant seeds as uneven as this
/// is, if each of them is a toss of a fair coin.
pub fn mcnemar(first_only: u64, second_only: u64) -> f64 {
    let (less, tosses) = (first_only.min(second_only), first_only + second_only);
    if first_only == second_only {
        return 1.0;
    }
    rounded((2.0 * fair_tail(less, tosses)).min(1.0))
}

/// The probability of at most `most` heads in `tosses` tosses of a fair coin.
fn fair_tail(most: u64, tosses: u64) -> f64 {
    // The sum of binomial coefficients in units of 2^exponent.
    let (mut term, mut sum, mut exponent) = (1.0_f64, 1.0_f64, 0_u64);
    for heads in 0..most {
        term *= (tosses - heads) as f64 / (heads + 1) as f64;
        sum += term;
        while sum >= 2.0 {
            (term, sum, exponent) = (term / 2.0, sum / 2.0, exponent + 1);
        }
    }
    let halvings = tosses.saturating_sub(exponent);
    (0..halvings.min(2_000)).fold(sum, |value, _| value / 2.0)
}

/// The mean of differences with the 95 % interval of Student's t; of fewer than two nothing is
/// known, and there is none.
pub fn mean_difference(differences: impl Iterator<Item = f64> + Clone) -> Option<Interval> {
    let count = differences.clone().count();
    if count < 2 {
        return None;
    }
    let n = count as f64;
    let mean = differences.clone().sum::<f64>() / n;
    let squares = differences.map(|difference| (difference - mean) * (difference - mean));
    let error = (squares.sum::<f64>() / (n - 1.0) / n).sqrt();
    let half = student_t(count as u64 - 1) * error;
    Some(interval(mean, mean - half, mean + half))
}

/// 97.5 % of Student's t distribution lie below: tabled for few degrees of freedom, then the
/// expansion of Cornish and Fisher, which is exact to five digits there.
fn student_t(degrees: u64) -> f64 {
    if let Some(&tabled) = usize::try_from(degrees - 1).ok().and_then(|index| T_TABLE.get(index)) {
        return tabled;
    }
    let (v, z2) = (degrees as f64, Z * Z);
    let first = Z * (z2 + 1.0) / 4.0;
    let second = Z * ((5.0 * z2 + 16.0) * z2 + 3.0) / 96.0;
    let third = Z * (((3.0 * z2 + 19.0) * z2 + 17.0) * z2 - 15.0) / 384.0;
    let fourth =
        Z * ((((79.0 * z2 + 776.0) * z2 + 1_482.0) * z2 - 1_920.0) * z2 - 945.0) / 92_160.0;
    Z + (first + (second + (third + fourth / v) / v) / v) / v
}

const T_TABLE: [f64; 10] = [
    12.706_205, 4.302_653, 3.182_446, 2.776_445, 2.570_582, 2.446_912, 2.364_624, 2.306_004,
    2.262_157, 2.228_139,
];

/// A number over seeds.
pub fn spread(values: impl Iterator<Item = u64>) -> Spread {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    let (Some(&min), Some(&max)) = (values.first(), values.last()) else {
        return Spread::default();
    };
    let sum: u128 = values.iter().map(|&value| u128::from(value)).sum();
    let at = |per_mille| percentile(&values, per_mille);
    Spread {
        mean: rounded(sum as f64 / values.len() as f64),
        min,
        p50: at(500),
        p90: at(900),
        p99: at(990),
        max,
    }
}

/// The smallest of the sorted values that so many of a thousand do not exceed.
pub fn percentile(sorted: &[u64], per_mille: u64) -> u64 {
    let rank = (sorted.len() as u64 * per_mille).div_ceil(1_000).max(1);
    sorted[(rank - 1) as usize]
}

/// How sure a gate has to be: an error is made in one of twenty samples at the most.
const ERROR: f64 = 0.05;

/// The bounds of Clopper and Pearson (1934) for a proportion: with 95 % confidence it is at least
/// the first, and with 95 % confidence at most the second. Each is one-sided and exact.
pub fn exact_bounds(part: u64, whole: u64) -> (f64, f64) {
    let low = match part {
        0 => 0.0,
        part => boundary(|share| at_least(part, whole, share) > ERROR),
    };
    let high = match part == whole {
        true => 1.0,
        false => boundary(|share| at_most(part, whole, share) <= ERROR),
    };
    (rounded(low), rounded(high))
}

/// Whether a sample shows that the share is at least `level`.
pub(super) fn shows_at_least(part: u64, whole: u64, level: f64) -> bool {
    whole > 0 && at_least(part, whole, level) <= ERROR
}

/// Whether a sample shows that the share is below `level`.
pub(super) fn shows_less(part: u64, whole: u64, level: f64) -> bool {
    whole > 0 && at_most(part, whole, level) <= ERROR
}

/// Where between 0 and 1 something begins to hold.
fn boundary(holds: impl Fn(f64) -> bool) -> f64 {
    let (mut short, mut enough) = (0.0, 1.0);
    for _ in 0..50 {
        let middle = (short + enough) / 2.0;
        if holds(middle) { enough = middle } else { short = middle }
    }
    enough
}

/// How probable at least so many of `whole` are, if each is with probability `share`.
fn at_least(part: u64, whole: u64, share: f64) -> f64 {
    part.checked_sub(1).map_or(1.0, |less| 1.0 - at_most(less, whole, share))
}

/// How probable at most so many are. All terms of the binomial distribution are taken as multiples of
/// the one at `part`: none can be too small for a double, and where one is too large the tail is
/// nothing.
fn at_most(part: u64, whole: u64, share: f64) -> f64 {
    if part >= whole {
        return 1.0;
    }
    let odds = share / (1.0 - share);
    let down = (1..=part).rev().map(|it| it as f64 / (whole - it + 1) as f64 / odds);
    let up = (part..whole).map(|it| (whole - it) as f64 / (it + 1) as f64 * odds);
    let (low, high) = (1.0 + terms(down), terms(up));
    if low.is_infinite() { 1.0 } else { low / (low + high) }
}

/// The sum of the terms that have these ratios, as far as they matter.
fn terms(ratios: impl Iterator<Item = f64>) -> f64 {
    let (mut term, mut sum) = (1.0_f64, 0.0_f64);
    for ratio in ratios {
        term *= ratio;
        sum += term;
        // Ratios only fall: what comes is less than a geometric series.
        if sum.is_infinite() || ratio < 1.0 && term < (1.0 - ratio) * (1.0 + sum) * 1e-17 {
            break;
        }
    }
    sum
}

/// How many seeds would show that a share is at least `level`, if it stays what it is; `None` if
/// no number would.
pub fn seeds_to_show(held: u64, of: u64, level: f64) -> Option<u64> {
    let share = held as f64 / of.max(1) as f64;
    if of == 0 || share <= level {
        return None;
    }
    let shows = |seeds: u64| {
        let held = u128::from(held) * u128::from(seeds) / u128::from(of);
        shows_at_least(held as u64, seeds, level)
    };
    let mut enough = of;
    while !shows(enough) {
        enough = enough.checked_mul(2).filter(|&seeds| seeds < 1 << 32)?;
    }
    let mut short = 0;
    while enough - short > 1 {
        let middle = short + (enough - short) / 2;
        if shows(middle) { enough = middle } else { short = middle }
    }
    Some(enough)
}

#[cfg(test)]
mod tests;
