//! Which instants to ask about: the steps of a record's life, and where certainty sets in, closer.
//!
//! Shares need not rise: what has nearly happened may be undone. So steps of the whole life are
//! asked about first, evenly, and what counts is always the last instant with a future without the
//! anomaly, wherever it turns up. Between it and the next certain one the steps are bisected, then
//! the time, until they are close; then instants after it are asked about, and whatever these show
//! is followed in the same way. In between, a single future without it is enough of an answer.
//!
//! An instant at which no future is without it has been chosen for that. So fresh futures decide:
//! if one of them is without it, it was luck, and the search goes on behind.

use super::{Certainty, Instant, Tally};
use crate::defect::Defect;
use acklab_verdict::explain::LifeLine;
use acklab_vocab::time::{SimDuration, SimTime};
use std::collections::{BTreeMap, BTreeSet};

/// So many steps of a life are asked about, unless the bisection of a long one needs more.
const MOST_STEPS: usize = 12;

/// So many instants behind the one that is found, evenly until the end of the run.
const LATER: usize = 3;

/// So many questions are asked, or a few more if shares fall.
pub(super) const MOST_QUESTIONS: usize = 44;

/// Closer than this nobody needs to know.
const CLOSE_ENOUGH: SimDuration = SimDuration::from_millis(1);

/// How thoroughly to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// All futures.
    Full,
    /// Until one is without the anomaly.
    UntilOneWithout,
    /// All of a set of futures that has not been asked before, by its number.
    Fresh(u32),
}

/// What a search comes to.
pub(super) struct Found {
    pub(super) instants: Vec<Instant>,
    pub(super) certain: Certainty,
    pub(super) steps_left_out: usize,
}

/// Asks about instants of a life; `ask` gives `None` if the search is to be broken off, and then
/// there is nothing to tell.
pub(super) fn search(
    lines: &[LifeLine],
    ended_at: SimTime,
    ask: impl FnMut(SimTime, Depth) -> Result<Option<Tally>, Defect>,
) -> Result<Option<Found>, Defect> {
    let steps = lines.iter().map(|line| line.at).filter(|&at| at <= ended_at).collect();
    let mut search = Search { steps, ended_at, asked: BTreeMap::new(), questions: 0, ask };
    let certain = match search.run() {
        Ok(certain) => certain,
        Err(Stop::BrokenOff) => return Ok(None),
        Err(Stop::Failed(defect)) => return Err(defect),
    };
    let steps = |at| lines.iter().filter(|line| line.at == at).cloned().collect();
    let asked = search.asked.iter().filter(|(_, asked)| asked.in_full);
    let instants = asked.map(|(&at, asked)| Instant { at, steps: steps(at), tally: asked.tally });
    let steps_left_out = search.steps.iter().filter(|at| !search.asked.contains_key(at)).count();
    Ok(Some(Found { instants: instants.collect(), certain, steps_left_out }))
}

/// Why a search ends early.
enum Stop {
    BrokenOff,
    Failed(Defect),
}

struct Asked {
    tally: Tally,
    in_full: bool,
}

struct Search<A> {
    /// The moments of the life.
    steps: BTreeSet<SimTime>,
    ended_at: SimTime,
    asked: BTreeMap<SimTime, Asked>,
    questions: usize,
    ask: A,
}

impl<A: FnMut(SimTime, Depth) -> Result<Option<Tally>, Defect>> Search<A> {
    fn run(&mut self) -> Result<Certainty, Stop> {
        self.put(SimTime::ZERO, Depth::Full)?;
        let steps = self.unasked(self.steps.iter().copied().filter(|&at| at < self.ended_at));
        for at in evenly(&steps, MOST_STEPS) {
            self.put(at, Depth::Full)?;
        }
        let mut attempt = 0;
        loop {
            let (not_at, since) = self.settle()?;
            let fresh = self.fresh(since, attempt)?;
            if fresh.is_certain() || since >= self.ended_at {
                return Ok(Certainty { since, not_at, fresh });
            }
            attempt += 1;
        }
    }

    /// Asks until the last instant without certainty is known to be the last, as far as is asked,
    /// and the next certain one is close behind.
    fn settle(&mut self) -> Result<(Option<SimTime>, SimTime), Stop> {
        loop {
            let (before, since) = self.close_in()?;
            for at in self.later(since) {
                self.put(at, Depth::Full)?;
            }
            if self.last_without() != before {
                continue;
            }
            if let Some(at) = before.filter(|at| !self.asked[at].in_full) {
                self.put(at, Depth::Full)?;
            }
            return Ok((before, since));
        }
    }

    fn close_in(&mut self) -> Result<(Option<SimTime>, SimTime), Stop> {
        loop {
            let before = self.last_without();
            let since = self.next_asked(before);
            let Some(before) = before else { return Ok((None, since)) };
            let Some(middle) = self.middle(before, since) else {
                return Ok((Some(before), since));
            };
            let is_step = self.steps.contains(&middle);
            self.put(middle, if is_step { Depth::Full } else { Depth::UntilOneWithout })?;
        }
    }

    fn put(&mut self, at: SimTime, depth: Depth) -> Result<Tally, Stop> {
        let tally = (self.ask)(at, depth).map_err(Stop::Failed)?.ok_or(Stop::BrokenOff)?;
        self.questions += 1;
        let in_full = depth != Depth::UntilOneWithout || tally.is_certain();
        self.asked.insert(at, Asked { tally, in_full });
        Ok(tally)
    }

    /// Asks futures that have had no part in choosing the instant. What they say counts with the
    /// others' if it is not the same.
    fn fresh(&mut self, at: SimTime, attempt: u32) -> Result<Tally, Stop> {
        let chosen_for = self.asked.get(&at).map(|asked| asked.tally);
        let fresh = self.put(at, Depth::Fresh(attempt))?;
        let tally = match chosen_for {
            Some(tally) if !fresh.is_certain() => tally.with(fresh),
            Some(tally) => tally,
            None => fresh,
        };
        self.asked.insert(at, Asked { tally, in_full: true });
        Ok(fresh)
    }

    /// The last instant that has a future without it.
    fn last_without(&self) -> Option<SimTime> {
        self.asked.iter().rev().find(|(_, asked)| !asked.tally.is_certain()).map(|(&at, _)| at)
    }

    /// The first instant asked about behind this one. At the end of the run nothing is left to be
    /// drawn.
    fn next_asked(&self, before: Option<SimTime>) -> SimTime {
        let mut instants = self.asked.keys().copied();
        instants.find(|&at| before.is_none_or(|before| at > before)).unwrap_or(self.ended_at)
    }

    /// Where to look between two instants: at the middle one of the steps that have not been asked
    /// about, or else at the middle of the time; nowhere if that is close enough, or too much has
    /// been asked.
    fn middle(&self, before: SimTime, since: SimTime) -> Option<SimTime> {
        if self.questions >= MOST_QUESTIONS {
            return None;
        }
        let between = self.steps.iter().filter(|&&at| before < at && at < since);
        let steps = self.unasked(between.copied());
        if let Some(&step) = steps.get(steps.len() / 2) {
            return Some(step);
        }
        let width = since.since(before);
        (width > CLOSE_ENOUGH).then(|| before + SimDuration(width.0 / 2))
    }

    /// Instants behind the one that is found. Not the end of the run: it says nothing.
    fn later(&self, since: SimTime) -> Vec<SimTime> {
        let known = self.asked.range(since..).count().saturating_sub(1);
        let wanted = LATER.saturating_sub(known);
        if wanted == 0 || since >= self.ended_at || self.questions >= MOST_QUESTIONS {
            return Vec::new();
        }
        let part = self.ended_at.since(since).0 / (wanted as u64 + 1);
        let instants = (1..=wanted as u64).map(|number| since + SimDuration(part * number));
        self.unasked(instants.filter(|&at| since < at && at < self.ended_at))
    }

    fn unasked(&self, instants: impl Iterator<Item = SimTime>) -> Vec<SimTime> {
        instants.filter(|at| !self.asked.contains_key(at)).collect()
    }
}

/// At most `count` of these, the first and the last among them.
fn evenly(moments: &[SimTime], count: usize) -> Vec<SimTime> {
    match (moments.len(), count) {
        (length, count) if length <= count => moments.to_vec(),
        (length, count) => (0..count).map(|at| moments[at * (length - 1) / (count - 1)]).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: SimTime = SimTime::from_millis(100_000);

    fn life(moments: &[i64]) -> Vec<LifeLine> {
        let line = |&at: &i64| LifeLine {
            at: SimTime::from_millis(at),
            place: String::new(),
            text: format!("step at {at}"),
            holders: None,
        };
        moments.iter().map(line).collect()
    }

    /// What ten futures come to if so many of them have it, by the instant in microseconds and the
    /// set of futures.
    fn answers(shares: impl Fn(i64, bool) -> u32) -> impl FnMut(SimTime, Depth) -> Answered {
        move |at, depth| {
            let same = shares(at.0 / 1_000, matches!(depth, Depth::Fresh(_)));
            let is_partial = same < 10 && depth == Depth::UntilOneWithout;
            let futures = if is_partial { same + 1 } else { 10 };
            Ok(Some(Tally { futures, same, same_cause: same, missing: 0 }))
        }
    }

    type Answered = Result<Option<Tally>, Defect>;

    fn searched(moments: &[i64], shares: impl Fn(i64, bool) -> u32) -> Found {
        let found = search(&life(moments), END, answers(shares)).unwrap().unwrap();
        assert!(found.instants.iter().all(|of| of.tally.futures >= 10), "only full answers");
        let since = found.certain.since;
        let later = found.instants.iter().filter(|of| of.at >= since);
        assert!(later.clone().all(|of| of.tally.is_certain()), "nothing later says no");
        found
    }

    /// Since when it is certain and when it was not, in microseconds.
    fn bounds(found: &Found) -> (Option<i64>, i64) {
        let Certainty { since, not_at, .. } = found.certain;
        (not_at.map(|at| at.0 / 1_000), since.0 / 1_000)
    }

    fn rising(certain: i64) -> impl Fn(i64, bool) -> u32 {
        move |at, _| if at >= certain { 10 } else { 4 }
    }

    #[test]
    fn the_step_and_the_time_before_it_are_found() {
        let found = searched(&[1_000, 1_001, 2_000, 9_000], rising(2_000_000));
        let (before, since) = bounds(&found);
        assert_eq!(since, 2_000_000);
        assert!((1_999_000..2_000_000).contains(&before.unwrap()), "{before:?}");
        assert_eq!(found.steps_left_out, 0);
        let behind = found.instants.iter().filter(|of| of.at > SimTime::from_millis(2_000));
        assert_eq!(behind.count(), LATER, "instants behind it are asked about");
    }

    #[test]
    fn certainty_may_set_in_between_two_steps() {
        let (before, since) = bounds(&searched(&[1_000, 2_000], rising(1_500_000)));
        assert!(before.unwrap() < 1_500_000 && since >= 1_500_000);
        assert!(since - before.unwrap() <= 1_000);
    }

    #[test]
    fn what_is_certain_from_the_start_needs_few_questions() {
        let found = searched(&[1_000, 2_000], rising(0));
        assert_eq!(bounds(&found), (None, 0));
        assert_eq!(found.instants.len(), 4);
    }

    #[test]
    fn a_share_that_falls_again_is_followed() {
        // Nearly done at 2 s, undone at 3 s, done for good at 5.5 s.
        let shares = |at, _| match at {
            2_000_000..3_000_000 | 5_500_000.. => 10,
            _ => 4,
        };
        let (before, since) = bounds(&searched(&[1_000, 2_000, 4_000, 6_000], shares));
        assert!(before.unwrap() < 5_500_000 && since >= 5_500_000, "{before:?} {since}");
        assert!(since - before.unwrap() <= 1_000);
    }

    #[test]
    fn a_fall_between_two_steps_is_found_behind_the_first_certainty() {
        let shares = |at, _| match at {
            2_000_000..40_000_000 | 70_000_000.. => 10,
            _ => 4,
        };
        let (_, since) = bounds(&searched(&[1_000, 2_000], shares));
        assert!((70_000_000..70_002_000).contains(&since), "{since}");
    }

    #[test]
    fn fresh_futures_overrule_those_that_chose_the_instant() {
        let shares = |at, fresh| if at < 1_000_000 || fresh && at < 2_000_000 { 9 } else { 10 };
        let found = searched(&[1_000, 1_500, 2_000], shares);
        let (before, since) = bounds(&found);
        assert_eq!(since, 2_000_000);
        assert!(before.unwrap() >= 1_500_000, "{before:?}");
        assert!(found.certain.fresh.is_certain());
        let overruled = found.instants.iter().find(|of| of.at == SimTime::from_millis(1_000));
        assert_eq!(overruled.unwrap().tally.futures, 20, "both sets count");
    }

    #[test]
    fn the_end_of_the_run_is_certain_if_nothing_else_is() {
        let shares = |at, _| if at < 100_000_000 { 9 } else { 10 };
        let (before, since) = bounds(&searched(&[1_000, 99_999], shares));
        assert_eq!((before, since), (Some(99_999_000), 100_000_000));
    }

    #[test]
    fn long_lives_are_asked_about_in_part_and_say_so() {
        let many: Vec<i64> = (1..=400).map(|at| at * 10).collect();
        let found = searched(&many, rising(2_345_000));
        let (before, since) = bounds(&found);
        assert!((2_344_000..2_345_000).contains(&before.unwrap()), "{before:?}");
        assert!((2_345_000..=2_346_000).contains(&since), "{since}");
        let told = found.instants.iter().filter(|of| !of.steps.is_empty()).count();
        assert_eq!(found.steps_left_out, 400 - told);
    }

    #[test]
    fn a_search_that_is_broken_off_tells_nothing() {
        let mut questions = 0;
        let ask = |_, _| {
            questions += 1;
            let tally = Tally { futures: 1, same: 0, same_cause: 0, missing: 0 };
            Ok((questions < 3).then_some(tally))
        };
        assert!(search(&life(&[1, 2, 3]), END, ask).unwrap().is_none());
    }
}
