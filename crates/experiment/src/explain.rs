//! The lives of a few records: a seed is run again with a biographer for each.

use crate::case::Case;
use crate::defect::Defect;
use crate::outcome::Outcome;
use crate::subject::Subject;
use acklab_verdict::{Anomaly, AnomalyKind, Biographer, Life, Locator, RecordFates, Verdict};
use acklab_vocab::ids::{GroupIndex, RecordId};
use acklab_vocab::trace::{Edge, Observer, RunHeader, Stamped, TraceEvent};

/// The anomalies of these kinds to explain: the first of each cause, or every one that the verdict
/// has kept; with a group, its own only.
#[must_use]
pub fn representatives<'v>(
    verdict: &'v Verdict,
    kinds: &[AnomalyKind],
    group: Option<GroupIndex>,
    all: bool,
) -> Vec<&'v Anomaly> {
    let mut chosen: Vec<&Anomaly> = Vec::new();
    let is_wanted = |anomaly: &&Anomaly| {
        kinds.contains(&anomaly.kind) && (group.is_none() || anomaly.group == group)
    };
    for anomaly in verdict.anomalies.iter().filter(is_wanted) {
        let same = |other: &&Anomaly| {
            (other.kind, other.group, other.cause) == (anomaly.kind, anomaly.group, anomaly.cause)
        };
        if all || !chosen.iter().any(same) {
            chosen.push(anomaly);
        }
    }
    chosen
}

/// Runs one history, judges it, and finds the records that subjects name in it; `None` where it has
/// no such record.
///
/// # Errors
/// [`Defect`] if the simulator panics.
pub fn judge_and_find(
    case: &Case,
    seed: u64,
    subjects: &[Subject],
) -> Result<(Outcome, RecordFates, Vec<Option<RecordId>>), Defect> {
    let searches = subjects.iter().map(|subject| match *subject {
        Subject::Record(wanted) => Search::Record { wanted, found: false },
        Subject::Copy { partition, offset, epoch } => {
            Search::Copy(Locator::new(partition, offset, epoch))
        }
    });
    let (outcome, fates, found) = case.run_with_fates(seed, None, Many(searches.collect()))?;
    Ok((outcome, fates, found.0.into_iter().map(Search::finish).collect()))
}

/// Runs a history again that has been judged, and follows some of its records through it; of
/// consumer applications, only through `group` if one is named.
///
/// # Errors
/// [`Defect`] if the simulator panics.
pub fn explain(
    case: &Case,
    verdict: &Verdict,
    records: &[RecordId],
    group: Option<GroupIndex>,
) -> Result<Vec<Life>, Defect> {
    let biographer = |&record: &RecordId| Biographer::new(record).of_group(group);
    let biographers = Many(records.iter().map(biographer).collect());
    let observed = case.watch(verdict.header.seed, biographers)?;
    Ok(observed.0.into_iter().map(|biographer| biographer.finish(verdict)).collect())
}

/// Looks for one record.
enum Search {
    Record { wanted: RecordId, found: bool },
    Copy(Locator),
}

impl Search {
    fn finish(self) -> Option<RecordId> {
        match self {
            Search::Record { wanted, found } => found.then_some(wanted),
            Search::Copy(locator) => locator.finish(),
        }
    }
}

impl Observer for Search {
    fn observe(&mut self, stamped: &Stamped) {
        match self {
            Search::Copy(locator) => locator.observe(stamped),
            Search::Record { wanted, found } => {
                let TraceEvent::RecordsCreated { producer, first, stride, count } = stamped.event
                else {
                    return;
                };
                let position = wanted.sequence.checked_sub(first);
                *found |= producer == wanted.producer
                    && position.is_some_and(|position| {
                        position.is_multiple_of(stride.max(1)) && position / stride.max(1) < count
                    });
            }
        }
    }
}

/// Several observers of one kind at one run.
struct Many<O>(Vec<O>);

impl<O: Observer> Observer for Many<O> {
    fn begin(&mut self, header: &RunHeader) {
        self.0.iter_mut().for_each(|observer| observer.begin(header));
    }

    fn observe(&mut self, stamped: &Stamped) {
        self.0.iter_mut().for_each(|observer| observer.observe(stamped));
    }

    fn edge(&mut self, edge: &Edge) {
        self.0.iter_mut().for_each(|observer| observer.edge(edge));
    }

    const WANTS_EDGES: bool = O::WANTS_EDGES;
}
