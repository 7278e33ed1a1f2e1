//! `acklab sweep`: the same scenario with many seeds, under every combination of some settings.
//!
//! A [`SweepPlan`] says what runs; [`run`] collects one [`SeedRow`] for each seed and cell, in the
//! order of seeds whatever finishes first; [`report()`] folds the rows into a [`SweepReport`]. Where
//! to stop is decided by rows alone, in the same order, so the number of threads changes nothing.
//! An interrupted sweep is [saved] as its rows, and goes on from there.

mod compare;
mod csv;
mod fold;
mod gate;
mod junit;
mod plan;
pub mod report;
mod row;
pub mod saved;
mod statistics;
mod words;

pub use self::csv::csv;
pub use fold::report;
pub use gate::Gate;
pub use junit::junit;
pub use plan::{Cell, PlanError, Selection, SweepOptions, SweepPlan, UntilWidth, Vary};
pub use report::SweepReport;
pub use row::{
    CauseRow, GroupRow, LatencyRow, Numbers, PartitionRow, PromiseRow, SeedResult, SeedRow,
};
pub use statistics::{exact_bounds, mcnemar, mean_difference, paired_difference, wilson};

use crate::parallel::in_order;
use acklab_verdict::AnomalyKind;
use hdrhistogram::Histogram;
use report::Ended;
use row::Done;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;

/// What the seeds so far have come to.
#[derive(Clone, Debug)]
pub struct Collected {
    /// The rows of each cell, in the order of seeds: the same seeds in every cell.
    rows: Vec<Vec<SeedRow>>,
    /// By cell, over all records: from creation to acknowledgement, and to the first read.
    latency: Vec<[Histogram<u64>; 2]>,
    /// By cell and kind of anomaly: seeds that have it.
    with: Vec<[u64; AnomalyKind::ALL.len()]>,
    /// By cell: seeds with a verdict.
    judged: Vec<u64>,
    ended: Ended,
}

impl Collected {
    /// Nothing yet.
    #[must_use]
    pub fn new(plan: &SweepPlan) -> Collected {
        let cells = plan.cells.len();
        Collected {
            rows: vec![Vec::new(); cells],
            latency: (0..cells).map(|_| [times(), times()]).collect(),
            with: vec![[0; AnomalyKind::ALL.len()]; cells],
            judged: vec![0; cells],
            ended: Ended::Interrupted,
        }
    }

    /// So many seeds are done in every cell.
    #[must_use]
    pub fn seeds_done(&self) -> u64 {
        self.rows.first().map_or(0, |rows| rows.len() as u64)
    }

    /// The rows of each cell.
    #[must_use]
    pub fn rows(&self) -> &[Vec<SeedRow>] {
        &self.rows
    }

    /// Why there are no more.
    #[must_use]
    pub fn ended(&self) -> Ended {
        self.ended
    }

    /// Takes the rows of one seed, one for each cell.
    fn add_seed(&mut self, seed: Vec<Done>) {
        for (cell, Done { row, latency }) in seed.into_iter().enumerate() {
            if let Some(latency) = latency {
                for (all, one) in self.latency[cell].iter_mut().zip(*latency) {
                    all.add(one).expect("the histogram grows by itself");
                }
            }
            self.add_row(cell, row);
        }
    }

    fn add_row(&mut self, cell: usize, row: SeedRow) {
        if let Some(numbers) = row.numbers() {
            self.judged[cell] += 1;
            for (count, &kind) in self.with[cell].iter_mut().zip(AnomalyKind::ALL) {
                *count += u64::from(numbers.anomalies(kind, None) > 0);
            }
        }
        self.rows[cell].push(row);
    }

    /// Whether the seeds so far are enough.
    fn is_narrow_enough(&self, until: Option<UntilWidth>) -> bool {
        until.is_some_and(|until| self.widest(until.anomaly).2 <= until.width)
    }

    /// The widest interval of an anomaly's probability, or of any: in which cell, of what, how wide.
    /// The first of equals.
    fn widest(&self, anomaly: Option<AnomalyKind>) -> (usize, AnomalyKind, f64) {
        let mut widest = (0, anomaly.unwrap_or(AnomalyKind::Lost), 0.0);
        for (cell, (with, &judged)) in self.with.iter().zip(&self.judged).enumerate() {
            for (&kind, &with) in AnomalyKind::ALL.iter().zip(with) {
                let width = wilson(with, judged).width();
                if anomaly.is_none_or(|anomaly| anomaly == kind) && width > widest.2 {
                    widest = (cell, kind, width);
                }
            }
        }
        widest
    }
}

/// A distribution of times with the resolution of the judge's.
fn times() -> Histogram<u64> {
    let mut histogram = Histogram::new_with_bounds(1, 1 << 24, 3).expect("bounds are valid");
    histogram.auto(true);
    histogram
}

/// Runs what is missing, on `jobs` threads, seed by seed and within a seed cell by cell. `progress`
/// is told after each run what is collected and how many runs are done; it may stop everything, and
/// then the seeds that are done in every cell are kept.
pub fn run(
    plan: &SweepPlan,
    jobs: NonZeroUsize,
    mut collected: Collected,
    mut progress: impl FnMut(&Collected, u64) -> ControlFlow<()>,
) -> Collected {
    let (seeds, until) = (plan.seeds(), plan.options.until_width);
    let cells = plan.cells.len() as u64;
    let begin = collected.seeds_done();
    let enough = begin > 0 && begin < seeds.count() && collected.is_narrow_enough(until);
    collected.ended = if enough { Ended::NarrowEnough } else { Ended::Interrupted };
    let todo = match enough {
        true => 0,
        false => (seeds.count() - begin.min(seeds.count())).saturating_mul(cells),
    };
    let mut seed = Vec::with_capacity(plan.cells.len());
    in_order(
        jobs,
        todo,
        |index| {
            let cell = &plan.cells[(index % cells) as usize];
            Done::run(&cell.case, &cell.groups, seeds.nth(begin + index / cells))
        },
        |index, done| {
            seed.push(done);
            if seed.len() == plan.cells.len() {
                collected.add_seed(std::mem::take(&mut seed));
                if collected.is_narrow_enough(until) {
                    collected.ended = Ended::NarrowEnough;
                    return ControlFlow::Break(());
                }
            }
            progress(&collected, begin * cells + index + 1)
        },
    );
    if collected.seeds_done() >= seeds.count() {
        collected.ended = Ended::Complete;
    }
    collected
}
