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
//!
//! Left out: what a future owes to which draw. And every future is run from the start: machines
//! cannot be copied in the middle of a run.

mod search;

use crate::case::Case;
use crate::defect::Defect;
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

/// The answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// What was asked about.
    pub question: Question,
    /// Its cause in the history itself.
    pub cause: Cause,
    /// The instants, in order.
    pub instants: Vec<Instant>,
    /// Since when it was certain: from there on no future was without it. Never `None` but for a
    /// search that was broken off.
    pub certain: Option<Certainty>,
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

/// Since when it was certain.
#[derive(Clone, Debug, PartialEq)]
pub struct Certainty {
    /// From this instant on every future had it.
    pub since: SimTime,
    /// The last instant from which a future was without it, if there is one.
    pub not_at: Option<SimTime>,
    /// With 95 % confidence, at least this share of all futures has it, in percent: the rule of
    /// three.
    pub at_least_percent: u32,
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
/// is told how many futures have been run, of how many at most, and may break off.
///
/// # Errors
/// [`Defect`] if the simulator panics in the history or in a future.
pub fn inevitable(
    case: &Case,
    seed: u64,
    question: Question,
    method: Method,
    progress: impl FnMut(u64, u64) -> ControlFlow<()>,
) -> Result<Option<Answer>, Defect> {
    let biographer = Biographer::new(question.record).of_group(question.group);
    let (outcome, fates, biographer) = case.run_with_fates(seed, None, biographer)?;
    let Some(cause) = fates.cause(question.record, question.kind, question.group) else {
        return Ok(None);
    };
    let life = biographer.finish(&outcome.verdict);
    let mut laboratory = Laboratory { case, seed, question, cause, method, progress, runs: 0 };
    let ask = |at, depth| laboratory.futures_from(at, depth);
    let found = search::search(&life.lines, outcome.ended_at, ask)?;
    let runs = laboratory.runs;
    let certain = certainty(&found, method.futures.get());
    Ok(Some(Answer { question, cause, instants: found, certain, runs }))
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
        let future = |number| {
            let fork = Fork { after: at, seed: future_seed(seed, number), faults: method.faults };
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

/// Since when it was certain: the first of the instants at the end that have no future without it.
fn certainty(instants: &[Instant], futures: u32) -> Option<Certainty> {
    let without = instants.iter().rposition(|instant| !instant.tally.is_certain());
    let first = without.map_or(0, |position| position + 1);
    Some(Certainty {
        since: instants.get(first)?.at,
        not_at: without.map(|position| instants[position].at),
        at_least_percent: at_least_percent(futures),
    })
}

/// If none of so many independent futures is without it, at least so many percent of all have it,
/// with 95 % confidence: the rule of three, rounded down.
fn at_least_percent(futures: u32) -> u32 {
    100_u32.saturating_sub(300_u32.div_ceil(futures))
}

/// The seed of the k-th future of a seed: a step of SplitMix64, so that neighbours share nothing.
fn future_seed(seed: u64, number: u64) -> u64 {
    let mut bits = seed.wrapping_add((number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests;
