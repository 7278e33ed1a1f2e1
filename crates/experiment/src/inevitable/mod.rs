//! From which moment on was it certain? A history is left at an instant and continued with other
//! random futures; the share that still has the same anomaly of the same record is followed as the
//! instant advances.
//!
//! - A future has everything up to its instant in common with the history, to the last fact: packets
//!   on their way, timers, logs, keys. What is drawn later is drawn from another seed.
//! - Faults that have not struck strike as they were drawn, unless asked otherwise: the answer is
//!   *given these faults*, and "the leader is killed at 2 s" is no surprise to any future.
//! - A record is the n-th of its producer. Before it exists, a future creates its own n-th record;
//!   where arrivals are even, that is practically the same one.
//! - The k-th future has the same weather wherever it begins, so that shares of neighbouring
//!   instants differ by what happened between them rather than by luck.
//! - The instant that is named has been chosen by futures that all have the anomaly. How sure that
//!   is, other futures say, which are drawn for it when it has been found.
//! - A share may fall again: what was likely did not come about. What counts is the last instant
//!   that has a future without the anomaly, and a fall is told.
//!
//! Left out: what a future owes to which draw. And every future is run from the start: machines
//! cannot be copied in the middle of a run.

mod search;

use crate::case::Case;
use crate::defect::Defect;
use crate::outcome::Outcome;
use crate::parallel::in_order;
use crate::sweep::report::Interval;
use crate::sweep::wilson;
use acklab_runtime::{Fork, ForkedFaults};
use acklab_verdict::cause::Cause;
use acklab_verdict::explain::LifeLine;
use acklab_verdict::{AnomalyKind, Biographer, RecordFates};
use acklab_vocab::ids::{GroupIndex, RecordId};
use acklab_vocab::time::SimTime;
use search::Depth;
use std::num::{NonZeroU32, NonZeroUsize};
use std::ops::ControlFlow;

/// What is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// Which record.
    pub record: RecordId,
    /// What is wrong with it.
    pub kind: AnomalyKind,
    /// Which consumer application has it, if one has.
    pub group: Option<GroupIndex>,
}

/// How it is asked.
#[derive(Clone, Copy, Debug)]
pub struct Method {
    /// How many futures of each instant.
    pub futures: NonZeroU32,
    /// What becomes of faults that have not struck.
    pub faults: ForkedFaults,
    /// How many runs at a time.
    pub jobs: NonZeroUsize,
}

/// A history that has been judged, and what it is a history of.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// What runs.
    pub case: &'a Case,
    /// Which history.
    pub seed: u64,
    /// What it has come to.
    pub outcome: &'a Outcome,
    /// The fate of every record in it.
    pub fates: &'a RecordFates,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum NoAnswer {
    /// The search was broken off.
    BrokenOff,
    /// The simulator panicked.
    Defect(Defect),
}

impl From<Defect> for NoAnswer {
    fn from(defect: Defect) -> Self {
        NoAnswer::Defect(defect)
    }
}

/// The answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// What was asked about.
    pub question: Question,
    /// Its cause in the history itself.
    pub cause: Cause,
    /// The instants, in order.
    pub instants: Vec<Instant>,
    /// Since when it was certain.
    pub certain: Certainty,
    /// So many moments of the record's life were not asked about.
    pub steps_left_out: usize,
    /// How many futures were run.
    pub runs: u64,
}

/// One instant, and the futures from there.
#[derive(Clone, Debug, PartialEq)]
pub struct Instant {
    /// The last moment that all futures have in common.
    pub at: SimTime,
    /// The steps of the record's life at this very moment; none for an instant between two.
    pub steps: Vec<LifeLine>,
    /// What became of the futures.
    pub tally: Tally,
}

/// What became of the futures of one instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many there were.
    pub futures: u32,
    /// The record has the same anomaly.
    pub same: u32,
    /// Of these, for the same cause.
    pub same_cause: u32,
    /// The record was never created.
    pub missing: u32,
}

/// Since when it was certain: from this instant, and from every later one that was asked about, no
/// future was without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Certainty {
    /// The instant.
    pub since: SimTime,
    /// The last instant from which a future was without it, if there is one.
    pub not_at: Option<SimTime>,
    /// Futures from the instant that had no part in choosing it. The interval of their share is what
    /// "certain" means: those that chose it are all alike because they did.
    pub fresh: Tally,
}

impl Tally {
    /// Every future has it.
    #[must_use]
    pub const fn is_certain(&self) -> bool {
        self.futures > 0 && self.same == self.futures
    }

    /// The share that has it, with its 95 % Wilson interval.
    #[must_use]
    pub fn share(&self) -> Interval {
        wilson(u64::from(self.same), u64::from(self.futures))
    }

    /// Both together.
    const fn with(self, other: Tally) -> Tally {
        Tally {
            futures: self.futures + other.futures,
            same: self.same + other.same,
            same_cause: self.same_cause + other.same_cause,
            missing: self.missing + other.missing,
        }
    }
}

impl Answer {
    /// The instants that tell something: time zero, the steps of the life, and those on both sides
    /// of certainty and of a setback. The others only led there.
    pub fn telling(&self) -> impl Iterator<Item = &Instant> {
        let setback = self.setback().map(|(higher, lower)| [higher.at, lower.at]);
        self.instants.iter().filter(move |instant| {
            let at = instant.at;
            at == SimTime::ZERO
                || !instant.steps.is_empty()
                || at == self.certain.since
                || Some(at) == self.certain.not_at
                || setback.is_some_and(|both| both.contains(&at))
        })
    }

    /// How many instants after the one since which it was certain have been asked about.
    #[must_use]
    pub fn later(&self) -> usize {
        self.instants.iter().filter(|instant| instant.at > self.certain.since).count()
    }

    /// The deepest fall of the share from an instant to a later one, if it is more than luck makes
    /// of equal shares: no future without it and then one, or intervals that have nothing in common.
    #[must_use]
    pub fn setback(&self) -> Option<(&Instant, &Instant)> {
        let mut deepest = None;
        let mut depth = 0.0;
        for (position, lower) in self.instants.iter().enumerate() {
            let falls = |higher: &Instant| {
                !lower.tally.is_certain() && higher.tally.is_certain()
                    || higher.tally.share().low > lower.tally.share().high
            };
            for higher in self.instants[..position].iter().filter(|higher| falls(higher)) {
                let fall = higher.tally.share().estimate - lower.tally.share().estimate;
                if fall > depth {
                    depth = fall;
                    deepest = Some((higher, lower));
                }
            }
        }
        deepest
    }
}

/// Everything of these kinds that is wrong with records; of consumer applications, only with `group`
/// if one is named.
#[must_use]
pub fn questions(
    fates: &RecordFates,
    records: &[RecordId],
    kinds: &[AnomalyKind],
    group: Option<GroupIndex>,
) -> Vec<Question> {
    let applications = (0..fates.applications()).map(|index| GroupIndex(index as u16));
    let applications: Vec<Option<GroupIndex>> =
        applications.filter(|&index| group.is_none_or(|group| group == index)).map(Some).collect();
    let mut questions = Vec::new();
    for &record in records {
        for &kind in kinds {
            let groups = if kind.is_of_groups() { applications.as_slice() } else { &[None] };
            let asked = groups.iter().map(|&group| Question { record, kind, group });
            questions
                .extend(asked.filter(|of| fates.cause(of.record, of.kind, of.group).is_some()));
        }
    }
    questions
}

/// Answers a question about a history; `None` if the record has no such anomaly in it. `progress`
/// is told how many futures have been run, of how many or so, and may break off.
///
/// # Errors
/// [`NoAnswer`] if it was broken off, or the simulator panics in the history or in a future.
pub fn inevitable(
    known: Known<'_>,
    question: Question,
    method: Method,
    progress: impl FnMut(u64, u64) -> ControlFlow<()>,
) -> Result<Option<Answer>, NoAnswer> {
    let Known { case, seed, outcome, fates } = known;
    let Some(cause) = fates.cause(question.record, question.kind, question.group) else {
        return Ok(None);
    };
    let biographer = Biographer::new(question.record).of_group(question.group);
    let life = case.watch(seed, biographer)?.finish(&outcome.verdict);
    let mut laboratory = Laboratory { case, seed, question, cause, method, progress, runs: 0 };
    let ask = |at, depth| laboratory.futures_from(at, depth);
    let found = search::search(&life.lines, outcome.ended_at, ask)?;
    let search::Found { instants, certain, steps_left_out } = found.ok_or(NoAnswer::BrokenOff)?;
    let runs = laboratory.runs;
    Ok(Some(Answer { question, cause, instants, certain, steps_left_out, runs }))
}

/// Runs futures.
struct Laboratory<'a, P> {
    case: &'a Case,
    seed: u64,
    question: Question,
    cause: Cause,
    method: Method,
    progress: P,
    runs: u64,
}

impl<P: FnMut(u64, u64) -> ControlFlow<()>> Laboratory<'_, P> {
    /// What becomes of the futures of an instant; `None` if the search is to be broken off.
    fn futures_from(&mut self, at: SimTime, depth: Depth) -> Result<Option<Tally>, Defect> {
        let Laboratory { case, seed, question, cause, method, .. } = *self;
        let count = u64::from(method.futures.get());
        let most = count * search::MOST_QUESTIONS as u64;
        let mut tally = Tally::default();
        let mut failed = None;
        let mut broken_off = false;
        let set = match depth {
            Depth::Full | Depth::UntilOneWithout => 0,
            Depth::Fresh(number) => number + 1,
        };
        let future = |number| {
            let seed_of_it = future_seed(seed, set, number);
            let fork = Fork { after: at, seed: seed_of_it, faults: method.faults };
            let (_, fates, ()) = case.run_with_fates(seed, Some(fork), ())?;
            let found = fates.cause(question.record, question.kind, question.group);
            Ok((found, fates.log(question.record).is_some()))
        };
        in_order(method.jobs, count, future, |_, result: Result<_, Defect>| {
            let (found, exists) = match result {
                Ok(result) => result,
                Err(defect) => {
                    failed = Some(defect);
                    return ControlFlow::Break(());
                }
            };
            tally.futures += 1;
            tally.same += u32::from(found.is_some());
            tally.same_cause += u32::from(found == Some(cause));
            tally.missing += u32::from(!exists);
            self.runs += 1;
            let flow = (self.progress)(self.runs, most.max(self.runs));
            broken_off = flow.is_break();
            match found {
                None if depth == Depth::UntilOneWithout => ControlFlow::Break(()),
                _ => flow,
            }
        });
        match failed {
            Some(defect) => Err(defect),
            None => Ok((!broken_off).then_some(tally)),
        }
    }
}

/// The seed of the k-th future of a set of futures of a seed: a step of SplitMix64, so that
/// neighbours share nothing.
fn future_seed(seed: u64, set: u32, number: u64) -> u64 {
    let position = (u64::from(set) << 32) + number + 1;
    let mut bits = seed.wrapping_add(position.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests;
