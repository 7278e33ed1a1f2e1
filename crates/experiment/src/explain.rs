//! The lives of a few records: a seed is run again with a biographer for each.

use crate::case::Case;
use crate::defect::Defect;
use crate::subject::Subject;
use acklab_verdict::explain::{Biographer, Life};
use acklab_verdict::{Anomaly, AnomalyKind, Verdict};
use acklab_vocab::trace::{Edge, Observer, RunHeader, Stamped};

/// The anomalies of these kinds to explain: the first of each cause, or every one that the verdict has kept.
#[must_use]
pub fn representatives<'v>(
    verdict: &'v Verdict,
    kinds: &[AnomalyKind],
    all: bool,
) -> Vec<&'v Anomaly> {
    let mut chosen: Vec<&Anomaly> = Vec::new();
    for anomaly in verdict.anomalies.iter().filter(|anomaly| kinds.contains(&anomaly.kind)) {
        let same = |other: &&Anomaly| (other.kind, other.cause) == (anomaly.kind, anomaly.cause);
        if all || !chosen.iter().any(same) {
            chosen.push(anomaly);
        }
    }
    chosen
}

/// Runs a seed again and follows some records through it. A life is `None` where the run knows no such record.
///
/// # Errors
/// [`Defect`] if the simulator panics.
pub fn explain(
    case: &Case,
    seed: u64,
    subjects: &[Subject],
) -> Result<Vec<Option<Life>>, Defect> {
    let biographers = subjects.iter().map(|subject| match *subject {
        Subject::Record(id) => Biographer::of_record(id),
        Subject::Copy { partition, offset, epoch } => {
            Biographer::of_copy(partition, offset, epoch)
        }
    });
    let (outcome, observed) = case.run_observed(seed, Biographers(biographers.collect()))?;
    let life = |biographer: Biographer| biographer.finish(&outcome.verdict);
    Ok(observed.0.into_iter().map(life).collect())
}

/// Several biographers at one run.
struct Biographers(Vec<Biographer>);

impl Observer for Biographers {
    fn begin(&mut self, header: &RunHeader) {
        for biographer in &mut self.0 {
            biographer.begin(header);
        }
    }

    fn observe(&mut self, stamped: &Stamped) {
        for biographer in &mut self.0 {
            biographer.observe(stamped);
        }
    }

    fn edge(&mut self, edge: &Edge) {
        for biographer in &mut self.0 {
            biographer.edge(edge);
        }
    }

    const WANTS_EDGES: bool = Biographer::WANTS_EDGES;
}
