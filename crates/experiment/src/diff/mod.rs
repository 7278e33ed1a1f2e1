//! The same seed under two settings: where the histories part, whose fate changed, and the numbers
//! beside each other.
//!
//! The weather of a seed is drawn by position, so both sides meet the same one for as long as they
//! do the same. But a setting that changes the size of a request already shifts a packet by a
//! microsecond, and from there on hardly a fact is the same to the nanosecond. So there are two
//! answers to the question where they part: the first fact that differs at all, and, for each kind
//! of fact that decides fates, the first that differs whatever its time.
//!
//! Left out: why they part. The facts are told, the reader concludes.

mod fates;
mod numbers;
mod streams;
mod traces;

pub use fates::{Axis, Change, Fate};
pub use numbers::Number;
pub use streams::Stream;
pub use traces::{Parting, Told};

use crate::case::Case;
use crate::defect::Defect;
use crate::lockstep;
use crate::outcome::Outcome;
use acklab_verdict::RecordFates;
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::trace::{Observer, RunHeader, Stamped};
use std::sync::mpsc;
use std::thread;

/// Two histories of one seed, compared.
#[derive(Clone, Debug)]
pub struct Diff {
    /// The first side's history.
    pub first: Outcome,
    /// The second side's.
    pub second: Outcome,
    /// Rules of the protocol that only one side follows, and whether that is the second.
    pub rules: Vec<(ProtocolRule, bool)>,
    /// So many facts are the same, time and process included, before the first that differs.
    pub same_facts: u64,
    /// The first fact that differs; `None` if the histories are the same, fact by fact.
    pub divergence: Option<Parting>,
    /// By kind of fact that decides fates: the first that differs, whatever its time. In the order
    /// of time.
    pub partings: Vec<Parting>,
    /// Records whose fate changed, by both fates and causes; what has suffered first.
    pub changes: Vec<Change>,
    /// How many records there are on either side.
    pub records: u64,
    /// How many of them have another fate, in the log or with some consumer application.
    pub changed: u64,
    /// The numbers of both, those that differ and those that matter most.
    pub numbers: Vec<Number>,
}

impl Diff {
    /// Both histories are the same, fact by fact.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.divergence.is_none()
    }
}

/// Runs one seed under two settings, both at the same time, and compares the histories.
///
/// # Errors
/// [`Defect`] if the simulator panics on either side.
pub fn diff(first: &Case, second: &Case, seed: u64) -> Result<Diff, Defect> {
    let (traces, sides) = thread::scope(|scope| {
        let side = |case| {
            let (recorder, facts) = lockstep::channel();
            let (sender, header) = mpsc::channel();
            let observer = (HeaderSender(Some(sender)), recorder);
            let run = scope.spawn(move || run(case, seed, observer));
            (facts, header, run)
        };
        let (one, other) = (side(first), side(second));
        // A run that panics before it has begun has no header: both are read to their ends, and the
        // panic is told below.
        let headers = (one.1.recv().ok(), other.1.recv().ok());
        let traces = traces::compare(one.0, other.0, headers);
        (traces, [one.2, other.2].map(join))
    });
    let [(first, first_fates), (second, second_fates)] = {
        let [one, other] = sides;
        [one?, other?]
    };
    let (changes, changed) = fates::changes(&first_fates, &second_fates, &first.verdict.header);
    Ok(Diff {
        rules: rules(&first.verdict.header, &second.verdict.header),
        same_facts: traces.same,
        divergence: traces.divergence,
        partings: traces.partings,
        changes,
        records: first_fates.records_of_both(&second_fates).count() as u64,
        changed,
        numbers: numbers::numbers(&first, &second),
        first,
        second,
    })
}

type Observing = (HeaderSender, lockstep::Recorder);

fn run(case: &Case, seed: u64, observer: Observing) -> Result<(Outcome, RecordFates), Defect> {
    let (outcome, fates, _) = case.run_with_fates(seed, None, observer)?;
    Ok((outcome, fates))
}

fn join<T>(handle: thread::ScopedJoinHandle<'_, T>) -> T {
    handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Rules that only one side follows.
fn rules(first: &RunHeader, second: &RunHeader) -> Vec<(ProtocolRule, bool)> {
    let all = ProtocolRule::ALL.iter().copied();
    let differing = all.filter(|&rule| first.rules.has(rule) != second.rules.has(rule));
    differing.map(|rule| (rule, second.rules.has(rule))).collect()
}

/// Tells the names of a run as soon as it begins.
struct HeaderSender(Option<mpsc::Sender<RunHeader>>);

impl Observer for HeaderSender {
    fn begin(&mut self, header: &RunHeader) {
        if let Some(sender) = self.0.take() {
            // Whoever asked may have gone.
            let _ = sender.send(header.clone());
        }
    }

    fn observe(&mut self, _: &Stamped) {}
}
