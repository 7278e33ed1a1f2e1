//! Scales: units, ticks and the words at them. Whole numbers throughout, so that a figure is the
//! same on every machine.

use acklab_verdict::names::grouped;

/// What the numbers of an axis are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// So many of something.
    Count,
    /// Microseconds, shown in the unit that suits them.
    Micros,
    /// Millionths, shown in per cent.
    Share,
}

impl Unit {
    /// A value with its unit: `12,000`, `1.5 ms`, `99.9 %`.
    #[must_use]
    pub fn label(self, value: i64) -> String {
        match self {
            Unit::Count => signed(value, grouped(value.unsigned_abs())),
            Unit::Micros => signed(value, micros(value.unsigned_abs())),
            Unit::Share => signed(value, share(value.unsigned_abs())),
        }
    }

    /// A value on an axis, where there is little room: `12k`, `1.5 ms`.
    #[must_use]
    pub fn tick(self, value: i64) -> String {
        match (self, value.unsigned_abs()) {
            (Unit::Count, whole @ 1_000_000..) if whole % 100_000 == 0 => {
                signed(value, format!("{} M", decimal(whole / 100, 10_000)))
            }
            (Unit::Count, whole @ 10_000..) if whole % 100 == 0 => {
                signed(value, format!("{} k", decimal(whole, 1_000)))
            }
            _ => self.label(value),
        }
    }

    /// Steps between ticks that read well, ascending, about so many to a decade.
    fn steps(self) -> impl Iterator<Item = i64> {
        let minutes = [15, 30, 60, 120, 300, 600, 1_800, 3_600].map(|step| step * 1_000_000);
        let hours = (1..1_000).map(|step| step * 6 * 3_600_000_000);
        let by_tens = (0..18).flat_map(|decade| [1, 2, 5].map(|step| step * 10_i64.pow(decade)));
        let is_time = self == Unit::Micros;
        let mut steps: Vec<i64> = by_tens.filter(|&step| !is_time || step <= 10_000_000).collect();
        if is_time {
            steps.extend(minutes);
            steps.extend(hours);
        }
        steps.into_iter()
    }
}

fn signed(value: i64, magnitude: String) -> String {
    if value < 0 { format!("−{magnitude}") } else { magnitude }
}

/// A part with at most three decimals, without zeros at the end.
fn decimal(value: u64, whole: u64) -> String {
    let thousandths = (u128::from(value) * 1_000 / u128::from(whole.max(1))) as u64;
    let (units, rest) = (thousandths / 1_000, thousandths % 1_000);
    if rest == 0 {
        return grouped(units);
    }
    let digits = format!("{rest:03}");
    format!("{}.{}", grouped(units), digits.trim_end_matches('0'))
}

/// A duration in the unit that a person would choose: `250 us`, `1.5 ms`, `12 s`, `2 min`.
#[must_use]
pub fn micros(value: u64) -> String {
    match value {
        0 => "0".to_owned(),
        1..1_000 => format!("{value} us"),
        1_000..1_000_000 => format!("{} ms", decimal(three_digits(value), 1_000)),
        1_000_000..120_000_000 => format!("{} s", decimal(three_digits(value), 1_000_000)),
        _ => {
            let seconds = value / 1_000_000;
            match (seconds / 60, seconds % 60) {
                (minutes, 0) => format!("{} min", grouped(minutes)),
                (minutes, seconds) => format!("{} min {seconds} s", grouped(minutes)),
            }
        }
    }
}

/// An instant on the run's clock, with milliseconds: `9.935 s`.
#[must_use]
pub fn instant(micros: u64) -> String {
    let millis = micros / 1_000;
    format!("{}.{:03} s", grouped(millis / 1_000), millis % 1_000)
}

/// The first three digits of a number that has more.
fn three_digits(value: u64) -> u64 {
    let mut unit = 1;
    while value / unit >= 1_000 {
        unit *= 10;
    }
    (value + unit / 2) / unit * unit
}

fn share(millionths: u64) -> String {
    format!("{} %", decimal(millionths, 10_000))
}

/// A range of values along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    /// What they are.
    pub unit: Unit,
    /// The least.
    pub from: i64,
    /// The greatest; above the least.
    pub to: i64,
    /// Equal ratios are equally far apart.
    pub is_logarithmic: bool,
}

impl Scale {
    /// Equal differences are equally far apart.
    #[must_use]
    pub fn linear(unit: Unit, from: i64, to: i64) -> Scale {
        Scale { unit, from, to: to.max(from.saturating_add(1)), is_logarithmic: false }
    }

    /// From zero to a round number at or above the greatest value.
    #[must_use]
    pub fn from_zero(unit: Unit, greatest: i64) -> Scale {
        let greatest = greatest.max(1);
        let step = unit.steps().find(|step| greatest / step < 4).unwrap_or(greatest);
        let to = greatest.saturating_add(step - 1) / step * step;
        let top = if unit == Unit::Share { to.min(1_000_000) } else { to };
        Scale::linear(unit, 0, top.max(greatest))
    }

    /// Equal ratios are equally far apart, between powers of ten (or twice or five times) around
    /// the values. What is not above zero stands at the lower end.
    #[must_use]
    pub fn logarithmic(unit: Unit, least: i64, greatest: i64) -> Scale {
        let least = least.max(1);
        let greatest = greatest.max(least.saturating_add(1));
        let marks = || (0..18).flat_map(|decade| [1, 2, 5].map(|step| step * 10_i64.pow(decade)));
        let from = marks().take_while(|&mark| mark <= least).last().unwrap_or(1);
        let to = marks().find(|&mark| mark >= greatest).unwrap_or(greatest);
        Scale { unit, from, to, is_logarithmic: true }
    }

    /// Where a value stands, as plotters is to map it; within the scale whatever it is.
    #[must_use]
    pub fn place(&self, value: i64) -> i64 {
        let value = value.clamp(self.from, self.to);
        if !self.is_logarithmic {
            return value;
        }
        // Millionths of a decade: libm, so that they are the same everywhere.
        (libm::log10(value.max(1) as f64) * 1e6).round() as i64
    }

    /// The values at which there are ticks: at most about so many.
    #[must_use]
    pub fn ticks(&self, at_most: usize) -> Vec<i64> {
        if self.is_logarithmic {
            return self.decades(at_most);
        }
        let length = self.to - self.from;
        let wanted = i64::try_from(at_most.max(1)).unwrap_or(i64::MAX);
        let step = self.unit.steps().find(|step| length / step <= wanted).unwrap_or(length);
        let first = self.from.div_euclid(step) * step;
        (0..=wanted + 2)
            .map(|index| first + index * step)
            .filter(|tick| (self.from..=self.to).contains(tick))
            .collect()
    }

    /// Powers of ten; with their doubles and quintuples if there is room.
    fn decades(&self, at_most: usize) -> Vec<i64> {
        let of = |steps: &[i64]| -> Vec<i64> {
            (0..18)
                .flat_map(|decade| steps.iter().map(move |step| step * 10_i64.pow(decade)))
                .filter(|tick| (self.from..=self.to).contains(tick))
                .collect()
        };
        let candidates = [of(&[1, 2, 5]), of(&[1]), of(&[1]).into_iter().step_by(2).collect()];
        let [_, _, coarsest] = candidates.clone();
        candidates.into_iter().find(|ticks| ticks.len() <= at_most.max(6)).unwrap_or(coarsest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_carry_their_units() {
        let micros = |value| Unit::Micros.label(value);
        assert_eq!(micros(0), "0");
        assert_eq!(micros(250), "250 us");
        assert_eq!(micros(1_500), "1.5 ms");
        assert_eq!(micros(3_327), "3.33 ms");
        assert_eq!(micros(9_154_321), "9.15 s");
        assert_eq!(micros(60_000_000), "60 s");
        assert_eq!(micros(150_000_000), "2 min 30 s");
        assert_eq!(micros(-1_500), "−1.5 ms");
        assert_eq!(Unit::Count.label(12_345), "12,345");
        assert_eq!(Unit::Count.tick(12_000), "12 k");
        assert_eq!(Unit::Count.tick(2_500_000), "2.5 M");
        assert_eq!(Unit::Share.label(999_000), "99.9 %");
        assert_eq!(Unit::Share.label(1_000_000), "100 %");
        assert_eq!(instant(9_935_123), "9.935 s");
    }

    #[test]
    fn ticks_are_round_and_few() {
        let ticks = |scale: Scale, at_most| -> String {
            let words: Vec<_> =
                scale.ticks(at_most).iter().map(|&tick| scale.unit.tick(tick)).collect();
            words.join(" · ")
        };
        let linear = |unit, from, to| Scale::linear(unit, from, to);
        assert_eq!(
            ticks(linear(Unit::Micros, 0, 12_342_000), 7),
            "0 · 2 s · 4 s · 6 s · 8 s · 10 s · 12 s"
        );
        assert_eq!(ticks(linear(Unit::Micros, 0, 61_000_000), 5), "0 · 15 s · 30 s · 45 s · 60 s");
        assert_eq!(ticks(Scale::from_zero(Unit::Count, 9_870), 3), "0 · 5,000 · 10 k");
        assert_eq!(ticks(Scale::from_zero(Unit::Count, 0), 3), "0 · 1");
        assert_eq!(ticks(linear(Unit::Count, -3, 4), 4), "−2 · 0 · 2 · 4");
        let log = Scale::logarithmic(Unit::Micros, 900, 9_150_000);
        assert_eq!(ticks(log, 6), "1 ms · 10 ms · 100 ms · 1 s · 10 s");
        assert_eq!(ticks(Scale::logarithmic(Unit::Micros, 0, 0), 6), "1 us · 2 us");
        assert_eq!(log.place(0), log.place(500));
    }
}
