//! Which instants to ask about: the steps of a record's life, and where certainty sets in, closer.
//!
//! Shares are taken to rise: the steps are bisected for the first from which no future is without
//! the anomaly, then the time before it. There a single future without it is enough of an answer,
//! but for the last instant, which is asked about in full. What is left of the budget goes to steps
//! that were passed over. What has been measured is shown as it is, whether it rises or not.

use super::{Instant, Tally};
use crate::defect::Defect;
use acklab_verdict::explain::LifeLine;
use acklab_vocab::time::{SimDuration, SimTime};
use std::collections::BTreeMap;

/// So many steps of a life are asked about, unless the bisection of a long one needs more.
const MOST_STEPS: usize = 8;

/// So often the time before certainty is bisected.
const REFINEMENTS: usize = 12;

/// Closer than this nobody needs to know.
const CLOSE_ENOUGH: SimDuration = SimDuration::from_micros(50);

/// So many questions are asked, or a few more if the life is long.
pub(super) const MOST_QUESTIONS: usize = MOST_STEPS + REFINEMENTS + 1;

/// How thoroughly to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// All futures.
    Full,
    /// Until one is without the anomaly.
    UntilOneWithout,
}

/// Asks about instants of a life; `ask` gives `None` if the search is to be broken off.
pub(super) fn search(
    lines: &[LifeLine],
    ended_at: SimTime,
    ask: impl FnMut(SimTime, Depth) -> Result<Option<Tally>, Defect>,
) -> Result<Vec<Instant>, Defect> {
    let mut search = Search { moments: moments(lines, ended_at), asked: BTreeMap::new(), ask };
    match search.run() {
        Ok(()) | Err(Stop::BrokenOff) => {}
        Err(Stop::Failed(defect)) => return Err(defect),
    }
    let steps = |at| lines.iter().filter(|line| line.at == at).cloned().collect();
    let asked = search.asked.into_iter();
    Ok(asked.map(|(at, tally)| Instant { at, steps: steps(at), tally }).collect())
}

/// Time zero, every moment of the life, and the end of the run; ascending.
fn moments(lines: &[LifeLine], ended_at: SimTime) -> Vec<SimTime> {
    let mut moments: Vec<SimTime> = lines.iter().map(|line| line.at).collect();
    moments.extend([SimTime::ZERO, ended_at]);
    moments.sort_unstable();
    moments.dedup();
    moments
}

/// Why a search ends early.
enum Stop {
    BrokenOff,
    Failed(Defect),
}

struct Search<A> {
    moments: Vec<SimTime>,
    /// What is to be shown.
    asked: BTreeMap<SimTime, Tally>,
    ask: A,
}

impl<A: FnMut(SimTime, Depth) -> Result<Option<Tally>, Defect>> Search<A> {
    fn run(&mut self) -> Result<(), Stop> {
        let certain = self.first_certain()?;
        if let Some(before) = certain.checked_sub(1) {
            self.refine(self.moments[before], self.moments[certain])?;
        }
        for at in self.passed_over(certain) {
            self.is_certain(at)?;
        }
        Ok(())
    }

    fn put(&mut self, at: SimTime, depth: Depth) -> Result<Tally, Stop> {
        (self.ask)(at, depth).map_err(Stop::Failed)?.ok_or(Stop::BrokenOff)
    }

    /// Whether it is certain from a moment on, asked in full, and only once.
    fn is_certain(&mut self, at: SimTime) -> Result<bool, Stop> {
        if let Some(known) = self.asked.get(&at) {
            return Ok(known.is_certain());
        }
        let tally = self.put(at, Depth::Full)?;
        self.asked.insert(at, tally);
        Ok(tally.is_certain())
    }

    /// Index of the first moment from which it is certain. At the end of the run it is: nothing is
    /// left to be drawn.
    fn first_certain(&mut self) -> Result<usize, Stop> {
        if self.is_certain(self.moments[0])? {
            return Ok(0);
        }
        let (mut low, mut high) = (0, self.moments.len() - 1);
        while high > low + 1 {
            let middle = low + (high - low) / 2;
            if self.is_certain(self.moments[middle])? {
                high = middle;
            } else {
                low = middle;
            }
        }
        self.is_certain(self.moments[high])?;
        Ok(high)
    }

    /// Looks between two moments where it becomes certain. Of what is asked on the way, only the
    /// last instants on either side are shown.
    fn refine(&mut self, first: SimTime, last: SimTime) -> Result<(), Stop> {
        let (mut before, mut since) = (first, (last, None));
        for _ in 0..REFINEMENTS {
            let width = since.0.since(before);
            if width <= CLOSE_ENOUGH {
                break;
            }
            let middle = before + SimDuration(width.0 / 2);
            let tally = self.put(middle, Depth::UntilOneWithout)?;
            if tally.is_certain() {
                since = (middle, Some(tally));
            } else {
                before = middle;
            }
        }
        if let (at, Some(tally)) = since {
            self.asked.insert(at, tally);
        }
        self.is_certain(before)?;
        Ok(())
    }

    /// As many of the moments that have not been asked about as there is room for: those before
    /// certainty, then those after, evenly. The end of the run says nothing.
    fn passed_over(&self, certain: usize) -> Vec<SimTime> {
        let fresh = |range: &[SimTime]| -> Vec<SimTime> {
            range.iter().filter(|at| !self.asked.contains_key(at)).copied().collect()
        };
        let room = MOST_STEPS.saturating_sub(self.asked.len());
        let last = self.moments.len() - 1;
        let before = evenly(&fresh(&self.moments[..certain]), room);
        let after = evenly(&fresh(&self.moments[certain.min(last)..last]), room - before.len());
        before.into_iter().chain(after).collect()
    }
}

/// At most `count` of these, the first and the last among them.
fn evenly(moments: &[SimTime], count: usize) -> Vec<SimTime> {
    match (moments.len(), count) {
        (_, 0) => Vec::new(),
        (length, count) if length <= count => moments.to_vec(),
        (length, 1) => vec![moments[length / 2]],
        (length, count) => (0..count).map(|at| moments[at * (length - 1) / (count - 1)]).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life(moments: &[i64]) -> Vec<LifeLine> {
        let line = |&at: &i64| LifeLine {
            at: SimTime::from_millis(at),
            place: String::new(),
            text: format!("step at {at}"),
            holders: None,
        };
        moments.iter().map(line).collect()
    }

    /// Searches a history in which it is certain from `certain` on: the instants in microseconds.
    fn searched(moments: &[i64], certain: i64) -> Vec<(i64, u32)> {
        let ask = |at: SimTime, depth| {
            let same = if at >= SimTime::from_millis(certain) { 10 } else { 4 };
            let futures = if same == 4 && depth == Depth::UntilOneWithout { 5 } else { 10 };
            Ok(Some(Tally { futures, same, same_cause: same, missing: 0 }))
        };
        let found = search(&life(moments), SimTime::from_millis(100_000), ask).unwrap();
        assert!(found.iter().all(|of| of.tally.futures == 10), "only full answers are shown");
        found.iter().map(|of| (of.at.0 / 1_000, of.tally.same)).collect()
    }

    #[test]
    fn the_step_and_the_time_before_it_are_found() {
        assert_eq!(
            searched(&[1_000, 1_001, 2_000, 9_000], 2_000),
            [
                (0, 4),
                (1_000_000, 4),
                (1_001_000, 4),
                (1_999_756, 4),
                (2_000_000, 10),
                (9_000_000, 10)
            ]
        );
    }

    #[test]
    fn certainty_may_set_in_between_two_steps() {
        let found = searched(&[1_000, 2_000], 1_500);
        let without = found.iter().rposition(|&(_, same)| same < 10).unwrap();
        let (before, since) = (found[without].0, found[without + 1].0);
        assert!(before < 1_500_000 && since >= 1_500_000 && since - before < 500, "{found:?}");
    }

    #[test]
    fn what_is_certain_from_the_start_needs_few_questions() {
        let found = searched(&[1_000, 2_000], 0);
        assert_eq!(found, [(0, 10), (1_000_000, 10), (2_000_000, 10)]);
    }

    #[test]
    fn long_lives_are_asked_about_in_part() {
        let many: Vec<i64> = (1..=400).map(|at| at * 10).collect();
        let found = searched(&many, 2_345);
        assert!(found.len() <= MOST_STEPS + 6, "{found:?}");
        let without = found.iter().rposition(|&(_, same)| same < 10).unwrap();
        assert!((2_344_000..2_345_000).contains(&found[without].0), "{found:?}");
        assert!((2_345_000..=2_346_000).contains(&found[without + 1].0), "{found:?}");
    }

    #[test]
    fn a_search_may_be_broken_off() {
        let mut questions = 0;
        let ask = |_, _| {
            questions += 1;
            let tally = Tally { futures: 1, same: 0, same_cause: 0, missing: 0 };
            Ok((questions < 3).then_some(tally))
        };
        let found = search(&life(&[1, 2, 3]), SimTime::from_millis(9), ask).unwrap();
        assert_eq!(found.len(), 2);
    }
}
