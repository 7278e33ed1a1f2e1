//! Values over time as a run is followed, and their reduction to what a figure can show.

use super::model::Series;
use acklab_vocab::time::SimTime;

/// Microseconds since time zero, rounded up, so that the state at that microsecond includes what
/// happened then; what happened before time zero counts as its beginning.
#[must_use]
pub fn micros(at: SimTime) -> u64 {
    u64::try_from(at.0).unwrap_or(0).div_ceil(1_000)
}

/// A value and its changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Track {
    points: Vec<(u64, i64)>,
}

impl Track {
    /// The value is this from now on. Only the last value of an instant counts.
    pub fn set(&mut self, at_us: u64, value: i64) {
        match self.points[..] {
            [.., (_, last)] if last == value => {}
            [.., (_, before), (at, _)] if at >= at_us && before == value => {
                self.points.pop();
            }
            [.., (at, _)] if at >= at_us => {
                if let Some(last) = self.points.last_mut() {
                    last.1 = value;
                }
            }
            _ => self.points.push((at_us, value)),
        }
    }

    /// Instants, strictly ascending, and the value from each on.
    #[must_use]
    pub fn points(&self) -> &[(u64, i64)] {
        &self.points
    }

    /// The value at an instant; `None` before the first.
    #[must_use]
    pub fn at(&self, at_us: u64) -> Option<i64> {
        let index = self.points.partition_point(|&(at, _)| at <= at_us);
        Some(self.points[index.checked_sub(1)?].1)
    }

    /// The value now.
    #[must_use]
    pub fn last(&self) -> Option<i64> {
        self.points.last().map(|&(_, value)| value)
    }

    /// Stretches in which the value is the same: from, until, value. The last one ends at the end.
    pub fn spans(&self, end_us: u64) -> impl Iterator<Item = (u64, u64, i64)> {
        self.points.iter().enumerate().map(move |(index, &(from, value))| {
            let next = self.points.get(index + 1);
            (from, next.map_or(end_us.max(from), |&(at, _)| at), value)
        })
    }

    /// Stretches in which the value is not 0.
    #[must_use]
    pub fn spells(&self, end_us: u64) -> Vec<(u64, u64)> {
        let spells = self.spans(end_us).filter(|&(from, to, value)| value != 0 && from < to);
        spells.map(|(from, to, _)| (from, to)).collect()
    }
}

/// At every instant at which one of the tracks changes, all their values; 0 before the first.
#[must_use]
pub fn together(tracks: &[&Track]) -> Vec<(u64, Vec<i64>)> {
    let mut instants: Vec<u64> =
        tracks.iter().flat_map(|track| track.points.iter().map(|&(at, _)| at)).collect();
    instants.sort_unstable();
    instants.dedup();
    let mut places = vec![0; tracks.len()];
    let mut values = vec![0; tracks.len()];
    let mut rows = Vec::with_capacity(instants.len());
    for at in instants {
        for ((track, place), value) in tracks.iter().zip(&mut places).zip(&mut values) {
            while let Some(&(_, next)) = track.points.get(*place).filter(|&&(of, _)| of <= at) {
                *value = next;
                *place += 1;
            }
        }
        rows.push((at, values.clone()));
    }
    rows
}

/// A series of at most `limit` points (and five at least) in which every stretch of the axis keeps
/// its first, least, greatest and last value, and the beginning of a gap.
#[must_use]
pub fn down_sample(label: &str, points: &[(u64, i64)], end_us: u64, limit: usize) -> Series {
    let points = points.iter().map(|&(at, value)| (at, u64::try_from(value).ok()));
    let points: Vec<Point> = points.skip_while(|(_, value)| value.is_none()).collect();
    let kept = if points.len() <= limit { points } else { thinned(&points, end_us, limit) };
    let (at_us, values) = kept.into_iter().unzip();
    Series { label: label.to_owned(), at_us, values }
}

/// As finely as the limit allows, and no finer than a figure is wide: where little happens for most
/// of the axis, the rest has more points.
fn thinned(points: &[Point], end_us: u64, limit: usize) -> Vec<Point> {
    let mut stretches = FINEST;
    loop {
        let kept = ends_and_extremes(points, end_us, stretches);
        if kept.len() <= limit || stretches <= (limit / 5).max(1) {
            return kept;
        }
        stretches = (stretches * 3 / 4).max(limit / 5).max(1);
    }
}

/// Pixels of a wide figure.
const FINEST: usize = 1_000;

/// An instant, and the value from then on.
type Point = (u64, Option<u64>);

fn ends_and_extremes(points: &[Point], end_us: u64, stretches: usize) -> Vec<Point> {
    let stretches = stretches as u128;
    let stretch_of = |at: u64| {
        let stretch = u128::from(at) * stretches / (u128::from(end_us) + 1);
        stretch.min(stretches - 1)
    };
    let mut kept = Vec::new();
    for stretch in points.chunk_by(|a, b| stretch_of(a.0) == stretch_of(b.0)) {
        let some = || (0..stretch.len()).filter(|&index| stretch[index].1.is_some());
        let least = some().min_by_key(|&index| stretch[index].1).unwrap_or(0);
        let greatest = some().max_by_key(|&index| stretch[index].1).unwrap_or(0);
        let gap = stretch.iter().position(|(_, value)| value.is_none()).unwrap_or(0);
        let mut wanted = [0, gap, least, greatest, stretch.len() - 1];
        wanted.sort_unstable();
        for (place, &index) in wanted.iter().enumerate() {
            if place == 0 || wanted[place - 1] != index {
                kept.push(stretch[index]);
            }
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn track(points: &[(u64, i64)]) -> Track {
        let mut track = Track::default();
        points.iter().for_each(|&(at, value)| track.set(at, value));
        track
    }

    #[test]
    fn only_the_last_value_of_an_instant_counts() {
        let all = track(&[(0, 5), (0, 7), (3, 7), (4, 8), (4, 7), (9, 1)]);
        assert_eq!(all.points(), [(0, 7), (9, 1)]);
        assert_eq!([all.at(0), all.at(8), all.at(9), all.last()], [7, 7, 1, 1].map(Some));
        assert_eq!(track(&[(2, 1)]).at(1), None);
    }

    #[test]
    fn an_instant_is_the_microsecond_by_which_it_has_happened() {
        assert_eq!([-5, 0, 1, 1_000, 1_001].map(|at| micros(SimTime(at))), [0, 0, 1, 1, 2]);
    }

    #[test]
    fn spans_have_no_gap_and_end_with_the_axis() {
        let leaderless = track(&[(0, 0), (4, 1), (6, 0), (8, 1)]);
        let spans: Vec<_> = leaderless.spans(10).collect();
        assert_eq!(spans, [(0, 4, 0), (4, 6, 1), (6, 8, 0), (8, 10, 1)]);
        assert_eq!(leaderless.spells(10), [(4, 6), (8, 10)]);
        let both = together(&[&leaderless, &track(&[(5, 3)])]);
        let expected = [(0, [0, 0]), (4, [1, 0]), (5, [1, 3]), (6, [0, 3]), (8, [1, 3])];
        assert_eq!(both, expected.map(|(at, values)| (at, values.to_vec())));
    }

    proptest! {
        #[test]
        fn a_series_is_bounded_and_keeps_what_stands_out(
            steps in prop::collection::vec((1_u64..50, -1_i64..1_000), 1..400),
            limit in 5_usize..100,
        ) {
            let mut all = Track::default();
            let mut at = 0;
            for (step, value) in steps {
                all.set(at, value);
                at += step;
            }
            let series = down_sample("x", all.points(), at, limit);
            prop_assert!(series.at_us.len() <= limit);
            prop_assert_eq!(series.at_us.len(), series.values.len());
            prop_assert!(series.at_us.windows(2).all(|pair| pair[0] < pair[1]));
            let values = || all.points().iter().filter_map(|&(_, value)| u64::try_from(value).ok());
            let kept = || series.values.iter().copied().flatten();
            prop_assert_eq!(kept().min(), values().min());
            prop_assert_eq!(kept().max(), values().max());
            let is_some = |of: &&(u64, i64)| of.1 >= 0;
            let first = all.points().iter().position(|of| of.1 >= 0).unwrap_or(usize::MAX);
            let gaps = all.points().iter().skip(first).filter(|of| !is_some(of)).count();
            prop_assert_eq!(series.values.contains(&None), gaps > 0);
            if let (Some(&at), Some(&last)) = (series.at_us.last(), series.values.last()) {
                let end = all.points().last().copied();
                prop_assert_eq!(Some((at, last.map_or(-1, |value| value as i64))), end);
            }
            for (&at, &value) in series.at_us.iter().zip(&series.values) {
                prop_assert_eq!(all.at(at), Some(value.map_or(-1, |value| value as i64)));
            }
        }
    }
}
