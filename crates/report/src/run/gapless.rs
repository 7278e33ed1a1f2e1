//! Spans without gaps, few enough to be drawn.

use super::model::{Gapless, Merged};

/// All of them; or of too many the longest, and in between how many changes there were.
pub fn gapless<T>(all: Vec<T>, most: usize, extent: impl Fn(&T) -> (u64, u64)) -> Gapless<T> {
    if all.len() <= most.max(1) {
        return Gapless { shown: all, merged: Vec::new() };
    }
    let mut ranked: Vec<usize> = (0..all.len()).collect();
    let length = |index: usize| {
        let (from, to) = extent(&all[index]);
        to - from
    };
    ranked.sort_by_key(|&index| (std::cmp::Reverse(length(index)), index));
    let mut is_kept = vec![false; all.len()];
    ranked.iter().take(most / 2).for_each(|&index| is_kept[index] = true);
    let mut kept = Gapless::default();
    let mut open: Option<Merged> = None;
    for (span, is_kept) in all.into_iter().zip(is_kept) {
        let (from_us, to_us) = extent(&span);
        if is_kept {
            kept.merged.extend(open.take());
            kept.shown.push(span);
        } else {
            let run = open.get_or_insert(Merged { from_us, to_us, count: 0 });
            run.to_us = to_us;
            run.count += 1;
        }
    }
    kept.merged.extend(open);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    type Span = (u64, u64);

    #[test]
    fn few_spans_stay_as_they_are() {
        let all = vec![(0, 3), (3, 4)];
        assert_eq!(gapless(all.clone(), 2, |of: &Span| *of).shown, all);
    }

    #[test]
    fn of_too_many_the_longest_are_kept_and_nothing_is_missing_between_them() {
        let all: Vec<Span> = vec![(0, 50), (50, 51), (51, 53), (53, 90), (90, 91), (91, 99)];
        let kept = gapless(all, 4, |of| *of);
        assert_eq!(kept.shown, [(0, 50), (53, 90)]);
        let merged: Vec<_> =
            kept.merged.iter().map(|of| (of.from_us, of.to_us, of.count)).collect();
        assert_eq!(merged, [(50, 53, 2), (90, 99, 2)]);
        let many: Vec<Span> = (0..5_000).map(|at| (at, at + 1)).collect();
        for most in [0, 1, 2, 120] {
            let kept = gapless(many.clone(), most, |of| *of);
            assert!(kept.shown.len() + kept.merged.len() <= most.max(1) + 1, "{most}");
            let count: u64 = kept.merged.iter().map(|of| of.count).sum();
            assert_eq!(count + kept.shown.len() as u64, 5_000);
        }
    }
}
