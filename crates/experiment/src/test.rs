//! `acklab test`: every variant of every scenario with many seeds, held against what the scenarios
//! expect.
//!
//! Of each seed only what the expectations speak of is kept, so memory does not grow with the
//! number of seeds.

use crate::case::Case;
use crate::counts::Judged;
use crate::defect::Defect;
use crate::outcome::{Expected, Outcome};
use crate::parallel::in_order;
use crate::seeds::Seeds;
use acklab_scenario::{
    Comparison, Counter, Counts, Diagnostic, Quantity, ScenarioFile, Setting, ShareExpectation,
};
use acklab_verdict::AnomalyKind;
use serde::Serialize;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;

/// A scenario with all its variants, resolved: what [`run`] runs.
#[derive(Clone, Debug)]
pub struct Plan {
    name: String,
    cases: Vec<Case>,
    comparisons: Vec<Comparison>,
    warnings: Vec<Diagnostic>,
}

impl Plan {
    /// All variants of a file, or one of them, with settings on top. Comparisons are made only if
    /// all variants run.
    ///
    /// # Errors
    /// Everything that is wrong with the file or the settings, each thing once.
    pub fn new(
        file: &ScenarioFile,
        variant: Option<&str>,
        sets: &[Setting],
    ) -> Result<Plan, Vec<Diagnostic>> {
        let mut plan = Plan {
            name: file.name().to_owned(),
            cases: Vec::new(),
            comparisons: Vec::new(),
            warnings: Vec::new(),
        };
        let mut errors = Vec::new();
        let variants: Vec<&str> =
            variant.map_or_else(|| file.variants().collect(), |one| vec![one]);
        for variant in variants {
            match file.resolve(variant, sets) {
                Ok(mut resolved) => {
                    add_new(&mut plan.warnings, std::mem::take(&mut resolved.warnings));
                    plan.cases.push(Case::from(resolved));
                }
                Err(found) => add_new(&mut errors, found),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        if variant.is_none() {
            plan.comparisons = file.comparisons().to_vec();
        }
        Ok(plan)
    }

    /// What is odd about it, each thing once.
    #[must_use]
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }

    /// The variants, ready to run.
    #[must_use]
    pub fn cases(&self) -> &[Case] {
        &self.cases
    }

    fn position(&self, variant: &str) -> Option<usize> {
        self.cases.iter().position(|case| case.scenario.variant == variant)
    }
}

fn add_new(all: &mut Vec<Diagnostic>, found: Vec<Diagnostic>) {
    for diagnostic in found {
        if !all.contains(&diagnostic) {
            all.push(diagnostic);
        }
    }
}

/// What all runs have come to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TestReport {
    /// The seeds that every variant has met.
    pub seeds: Seeds,
    /// The scenarios, in the order given.
    pub scenarios: Vec<ScenarioReport>,
}

/// What the runs of one scenario have come to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ScenarioReport {
    /// Its name.
    pub scenario: String,
    /// Its variants, the base first.
    pub variants: Vec<VariantReport>,
    /// Its comparisons between variants.
    pub comparisons: Vec<ComparisonReport>,
}

/// What the runs of one variant have come to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VariantReport {
    /// Its name.
    pub variant: String,
    /// How many seeds came to a verdict.
    pub seeds: u64,
    /// What must hold in every seed.
    pub expectations: Vec<ExpectationReport>,
    /// What must hold in a share of the seeds.
    pub shares: Vec<ShareReport>,
    /// How often there were anomalies, by kind.
    pub anomalies: Vec<AnomalyReport>,
    /// The first seeds whose run panicked.
    pub defects: Vec<Defect>,
    /// How many there are.
    pub defects_total: u64,
}

/// Something that must hold in every seed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExpectationReport {
    /// In words: `duplicated = 0`.
    pub text: String,
    /// In how many seeds it held.
    pub held: u64,
    /// In how many it did not.
    pub failed: u64,
    /// The first of these.
    pub failures: Vec<Failure>,
}

/// A seed in which an expectation did not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Which.
    pub seed: u64,
    /// What it was instead.
    pub actual: String,
}

/// Something that must hold in a share of the seeds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShareReport {
    /// In words: `lost ≥ 1 in ≥ 80 % of seeds`.
    pub text: String,
    /// In how many seeds it held.
    pub held: u64,
    /// Of so many.
    pub of: u64,
    /// Whether that is the share.
    pub holds: bool,
}

/// How often there were anomalies of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct AnomalyReport {
    /// Which kind.
    pub anomaly: AnomalyKind,
    /// In how many seeds.
    pub seeds: u64,
    /// How many, over all seeds.
    pub total: u64,
    /// The most in one seed.
    pub most: u64,
}

/// A relation between the means of two variants over the same seeds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ComparisonReport {
    /// In words: `mean lost: acks=0 > base`.
    pub text: String,
    /// The first variant's mean, with its unit.
    pub first: String,
    /// The second variant's mean, with its unit.
    pub second: String,
    /// Whether the relation holds.
    pub holds: bool,
}

impl TestReport {
    /// Everything holds, and no run panicked.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.scenarios.iter().all(ScenarioReport::holds)
    }

    /// Runs that panicked, counted.
    #[must_use]
    pub fn defects(&self) -> u64 {
        let variants = self.scenarios.iter().flat_map(|scenario| &scenario.variants);
        variants.map(|variant| variant.defects_total).sum()
    }
}

impl ScenarioReport {
    /// Everything holds, and no run panicked.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.variants.iter().all(VariantReport::holds)
            && self.comparisons.iter().all(|comparison| comparison.holds)
    }
}

impl VariantReport {
    /// Everything holds, and no run panicked.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.expectations.iter().all(|expectation| expectation.failed == 0)
            && self.shares.iter().all(|share| share.holds)
            && self.defects_total == 0
    }
}

/// Runs every variant of every plan with every seed, on `jobs` threads. `progress` is told, after
/// each run, how many runs are done of how many; it may stop everything, and then there is no
/// report.
pub fn run(
    plans: &[Plan],
    seeds: Seeds,
    jobs: NonZeroUsize,
    mut progress: impl FnMut(u64, u64) -> ControlFlow<()>,
) -> Option<TestReport> {
    let cases: Vec<(usize, &Case)> = plans
        .iter()
        .enumerate()
        .flat_map(|(plan, it)| it.cases.iter().map(move |case| (plan, case)))
        .collect();
    let wanted: Vec<Vec<Quantity>> =
        cases.iter().map(|&(p, case)| wanted(&plans[p], case)).collect();
    let mut folds: Vec<Fold> =
        cases.iter().zip(&wanted).map(|(&(_, case), wanted)| Fold::new(case, wanted)).collect();
    let total = cases.len() as u64 * seeds.count();
    let place = |index: u64| ((index / seeds.count()) as usize, seeds.nth(index % seeds.count()));
    let mut stopped = false;
    in_order(
        jobs,
        total,
        |index| {
            let (case, seed) = place(index);
            cases[case].1.run(seed).map(|outcome| Seed::of(cases[case].1, &wanted[case], outcome))
        },
        |index, result| {
            let (case, seed) = place(index);
            folds[case].add(seed, result);
            let flow = progress(index + 1, total);
            stopped = flow.is_break();
            flow
        },
    );
    if stopped {
        return None;
    }
    let mut folds = folds.into_iter();
    let scenarios = plans.iter().map(|plan| {
        let folds: Vec<Fold> = folds.by_ref().take(plan.cases.len()).collect();
        scenario_report(plan, folds)
    });
    Some(TestReport { seeds, scenarios: scenarios.collect() })
}

/// The numbers of a variant that comparisons speak of.
fn wanted(plan: &Plan, case: &Case) -> Vec<Quantity> {
    let variant = &case.scenario.variant;
    let about = |it: &&Comparison| it.first == *variant || it.second == *variant;
    let mut wanted: Vec<Quantity> = Vec::new();
    for comparison in plan.comparisons.iter().filter(about) {
        if !wanted.contains(&comparison.quantity) {
            wanted.push(comparison.quantity.clone());
        }
    }
    wanted
}

/// What is kept of one seed until its turn has come.
struct Seed {
    expectations: Vec<Expected>,
    shares: Vec<bool>,
    anomalies: [u64; KINDS.len()],
    quantities: Vec<u64>,
}

const KINDS: [(AnomalyKind, Counter); 4] = [
    (AnomalyKind::Lost, Counter::Lost),
    (AnomalyKind::Duplicated, Counter::Duplicated),
    (AnomalyKind::Reordered, Counter::Reordered),
    (AnomalyKind::Phantom, Counter::Phantom),
];

impl Seed {
    fn of(case: &Case, wanted: &[Quantity], outcome: Outcome) -> Seed {
        let counts = Judged(&outcome.verdict);
        Seed {
            shares: case.expect_share.iter().map(|it| it.expectation.holds(&counts)).collect(),
            anomalies: KINDS.map(|(_, counter)| counts.count(counter)),
            quantities: wanted.iter().map(|quantity| quantity.of(&counts)).collect(),
            expectations: outcome.expectations,
        }
    }
}

/// All seeds of one variant so far.
struct Fold {
    report: VariantReport,
    shares: Vec<ShareExpectation>,
    sums: Vec<(Quantity, u128)>,
}

impl Fold {
    fn new(case: &Case, wanted: &[Quantity]) -> Fold {
        let shares = case.expect_share.iter().map(|share| ShareReport {
            text: share.to_string(),
            held: 0,
            of: 0,
            holds: false,
        });
        let anomalies =
            KINDS.map(|(anomaly, _)| AnomalyReport { anomaly, seeds: 0, total: 0, most: 0 });
        let report = VariantReport {
            variant: case.scenario.variant.clone(),
            seeds: 0,
            expectations: Vec::new(),
            shares: shares.collect(),
            anomalies: anomalies.to_vec(),
            defects: Vec::new(),
            defects_total: 0,
        };
        let sums = wanted.iter().map(|quantity| (quantity.clone(), 0)).collect();
        Fold { report, shares: case.expect_share.clone(), sums }
    }

    fn add(&mut self, seed: u64, result: Result<Seed, Defect>) {
        let report = &mut self.report;
        let run = match result {
            Ok(run) => run,
            Err(defect) => {
                report.defects_total += 1;
                if report.defects.len() < FAILURES_KEPT {
                    report.defects.push(defect);
                }
                return;
            }
        };
        report.seeds += 1;
        if report.expectations.is_empty() {
            report.expectations = run.expectations.iter().map(ExpectationReport::new).collect();
        }
        for (expectation, expected) in report.expectations.iter_mut().zip(run.expectations) {
            expectation.add(seed, expected);
        }
        for (share, held) in report.shares.iter_mut().zip(run.shares) {
            share.of += 1;
            share.held += u64::from(held);
        }
        for (anomaly, count) in report.anomalies.iter_mut().zip(run.anomalies) {
            anomaly.seeds += u64::from(count > 0);
            anomaly.total += count;
            anomaly.most = anomaly.most.max(count);
        }
        for ((_, sum), value) in self.sums.iter_mut().zip(run.quantities) {
            *sum += u128::from(value);
        }
    }

    fn sum(&self, quantity: &Quantity) -> u128 {
        self.sums.iter().find(|(other, _)| other == quantity).map_or(0, |&(_, sum)| sum)
    }
}

impl ExpectationReport {
    fn new(expected: &Expected) -> Self {
        ExpectationReport { text: expected.text.clone(), held: 0, failed: 0, failures: Vec::new() }
    }

    fn add(&mut self, seed: u64, expected: Expected) {
        if expected.held {
            self.held += 1;
            return;
        }
        self.failed += 1;
        if self.failures.len() < FAILURES_KEPT {
            self.failures.push(Failure { seed, actual: expected.actual });
        }
    }
}

fn scenario_report(plan: &Plan, mut folds: Vec<Fold>) -> ScenarioReport {
    let comparisons = plan.comparisons.iter().filter_map(|comparison| {
        let [first, second] = [&comparison.first, &comparison.second].map(|v| plan.position(v));
        let (first, second) = (&folds[first?], &folds[second?]);
        let side = |fold: &Fold| Side::of(fold, &comparison.quantity);
        Some(ComparisonReport::new(comparison, side(first), side(second)))
    });
    let comparisons = comparisons.collect();
    for fold in &mut folds {
        for (share, expectation) in fold.report.shares.iter_mut().zip(&fold.shares) {
            share.holds = expectation.holds(share.held, share.of);
        }
    }
    ScenarioReport {
        scenario: plan.name.clone(),
        variants: folds.into_iter().map(|fold| fold.report).collect(),
        comparisons,
    }
}

/// One side of a comparison: a variant over its seeds.
pub(crate) struct Side {
    /// How many seeds came to a verdict.
    pub(crate) seeds: u64,
    /// Others panicked.
    pub(crate) defects: bool,
    /// The number that is compared, over these seeds.
    pub(crate) sum: u128,
}

impl Side {
    fn of(fold: &Fold, quantity: &Quantity) -> Side {
        Side {
            seeds: fold.report.seeds,
            defects: fold.report.defects_total > 0,
            sum: fold.sum(quantity),
        }
    }
}

impl ComparisonReport {
    /// A comparison is fair over the same seeds only: where some panicked it does not hold.
    pub(crate) fn new(comparison: &Comparison, first: Side, second: Side) -> Self {
        let mean = |side: &Side| match u128::from(side.seeds) {
            0 => "none".to_owned(),
            seeds => comparison.quantity.show_mean(side.sum, seeds),
        };
        let fair = !first.defects && !second.defects;
        ComparisonReport {
            text: comparison.to_string(),
            first: mean(&first),
            second: mean(&second),
            holds: fair && comparison.holds(first.sum, second.sum),
        }
    }
}

/// So many failing seeds are named; all are counted.
const FAILURES_KEPT: usize = 10;

trait ShowMean {
    fn show_mean(&self, sum: u128, of: u128) -> String;
}

impl ShowMean for Quantity {
    /// Counts with one decimal, everything else rounded to its own unit.
    fn show_mean(&self, sum: u128, of: u128) -> String {
        let is_count = match self {
            Quantity::Counter(counter) => {
                counter.unit() == acklab_scenario::expect::CounterUnit::Count
            }
            Quantity::Cause(_) => true,
            Quantity::ShareOfAcked(_)
            | Quantity::CommitErrors(_)
            | Quantity::Exceptions(..)
            | Quantity::OfGroup(..) => false,
        };
        if is_count {
            let tenths = (sum * 10 + of / 2) / of;
            format!("{}.{}", tenths / 10, tenths % 10)
        } else {
            self.show(u64::try_from((sum + of / 2) / of).unwrap_or(u64::MAX))
        }
    }
}
