//! Cells against each other, seed by seed.
//!
//! Two settings on one seed meet the same weather, so the seeds are pairs, and what differs within
//! pairs is compared: that needs far fewer seeds than two samples would. Compared are cells that
//! differ in one dimension: each value against the first one, and against the one before it.

use super::gate::snake_case;
use super::plan::{Cell, SweepPlan};
use super::report::{CellComparison, MeanDifference, ProbabilityDifference};
use super::row::{Numbers, RowCounts, SeedRow};
use super::statistics::{mcnemar, mean_difference, paired_difference, rounded};
use crate::test::{ComparisonReport, Side};
use acklab_scenario::expect::CounterUnit;
use acklab_scenario::{Comparison, Counter, Quantity};
use acklab_verdict::AnomalyKind;

/// Every comparison, by dimension and then in the order of cells.
pub(super) fn comparisons(plan: &SweepPlan, rows: &[Vec<SeedRow>]) -> Vec<CellComparison> {
    let mut all = Vec::new();
    // So many cells further on the next value of the dimension stands.
    let mut stride = plan.cells.len();
    for dim in &plan.dims {
        let values = dim.values.len();
        stride /= values;
        for cell in 0..plan.cells.len() {
            let value = cell / stride % values;
            let first = cell - value * stride;
            let against = [(value > 0).then_some(first), (value > 1).then(|| cell - stride)];
            for other in against.into_iter().flatten() {
                all.push(compare(plan, rows, &dim.path, other, cell));
            }
        }
    }
    all
}

/// What the scenario says of its variants against each other: judged over the seeds where both are
/// cells that run as it is written, in words where they are not.
pub(super) fn relations(
    plan: &SweepPlan,
    rows: &[Vec<SeedRow>],
) -> (Vec<ComparisonReport>, Vec<String>) {
    let (mut judged, mut not_asked) = (Vec::new(), Vec::new());
    for relation in &plan.relations {
        let side = |variant: &str| {
            let is_it = |cell: &Cell| cell.as_written && cell.variant == variant;
            let position = plan.cells.iter().position(is_it)?;
            Some(side_of(relation, &plan.cells[position], &rows[position]))
        };
        match (side(&relation.first), side(&relation.second)) {
            (Some(first), Some(second)) => {
                judged.push(ComparisonReport::new(relation, first, second));
            }
            _ => not_asked.push(relation.to_string()),
        }
    }
    (judged, not_asked)
}

fn side_of(relation: &Comparison, cell: &Cell, rows: &[SeedRow]) -> Side {
    let numbers = rows.iter().filter_map(SeedRow::numbers);
    let value = |numbers| relation.quantity.of(&RowCounts { numbers, groups: &cell.groups });
    Side {
        seeds: numbers.clone().count() as u64,
        defects: rows.iter().any(|row| row.numbers().is_none()),
        sum: numbers.map(|numbers| u128::from(value(numbers))).sum(),
    }
}

type Pair<'a> = (&'a Numbers, &'a Numbers);

fn compare(
    plan: &SweepPlan,
    rows: &[Vec<SeedRow>],
    dim: &str,
    first: usize,
    second: usize,
) -> CellComparison {
    let both = rows[first].iter().zip(&rows[second]);
    let pairs: Vec<Pair<'_>> =
        both.filter_map(|(one, other)| Some((one.numbers()?, other.numbers()?))).collect();
    let anomalous = |kind: &&AnomalyKind| {
        pairs.iter().any(|(one, other)| has(one, **kind) || has(other, **kind))
    };
    let probabilities = AnomalyKind::ALL.iter().filter(anomalous);
    CellComparison {
        dim: dim.to_owned(),
        first,
        second,
        seeds: pairs.len() as u64,
        probabilities: probabilities.map(|&kind| probability(&pairs, kind)).collect(),
        means: means(&plan.cells[first], &plan.cells[second], &pairs),
    }
}

fn has(numbers: &Numbers, kind: AnomalyKind) -> bool {
    numbers.anomalies(kind, None) > 0
}

fn probability(pairs: &[Pair<'_>], anomaly: AnomalyKind) -> ProbabilityDifference {
    let count = |wanted: (bool, bool)| {
        let found = pairs.iter().map(|(one, other)| (has(one, anomaly), has(other, anomaly)));
        found.filter(|&found| found == wanted).count() as u64
    };
    let (both, neither) = (count((true, true)), count((false, false)));
    let (first_only, second_only) = (count((true, false)), count((false, true)));
    ProbabilityDifference {
        anomaly,
        both,
        first_only,
        second_only,
        neither,
        difference: paired_difference(both, first_only, second_only, neither),
        p_value: mcnemar(first_only, second_only),
    }
}

/// Counters whose means are compared.
const COMPARED: &[Counter] = &[
    Counter::Acked,
    Counter::Failed,
    Counter::Unknown,
    Counter::Lost,
    Counter::Phantom,
    Counter::Duplicated,
    Counter::Reordered,
    Counter::ProduceP50,
    Counter::ProduceP99,
    Counter::ProduceMax,
    Counter::EndToEndP50,
    Counter::EndToEndP99,
    Counter::EndToEndMax,
    Counter::UnavailableMax,
    Counter::LeaderlessMax,
];

/// Those of consumer applications.
const COMPARED_OF_GROUPS: &[Counter] = &[
    Counter::Reprocessed,
    Counter::Skipped,
    Counter::Ghost,
    Counter::Rebalances,
    Counter::StandstillMax,
    Counter::LagMax,
];

fn means(first: &Cell, second: &Cell, pairs: &[Pair<'_>]) -> Vec<MeanDifference> {
    let log = COMPARED.iter().filter_map(|&counter| {
        let of = |numbers: &Numbers| numbers.counter(counter);
        mean(snake_case(counter.name()), counter, pairs, of, of)
    });
    let mut all: Vec<MeanDifference> = log.collect();
    for (position, group) in first.groups.iter().enumerate() {
        let Some(other) = second.groups.iter().position(|name| name == group) else { continue };
        for &counter in COMPARED_OF_GROUPS {
            let of = |position: usize| {
                move |numbers: &Numbers| {
                    numbers.groups.get(position).map_or(0, |group| group.counter(counter))
                }
            };
            let name = format!("{group}/{}", snake_case(counter.name()));
            all.extend(mean(name, counter, pairs, of(position), of(other)));
        }
    }
    all
}

fn mean(
    quantity: String,
    counter: Counter,
    pairs: &[Pair<'_>],
    of_first: impl Fn(&Numbers) -> u64,
    of_second: impl Fn(&Numbers) -> u64,
) -> Option<MeanDifference> {
    let is_measured = |numbers: &Numbers| numbers.has_measured(&Quantity::Counter(counter));
    let values: Vec<(u64, u64)> = pairs
        .iter()
        .filter(|(one, other)| is_measured(one) && is_measured(other))
        .map(|(one, other)| (of_first(one), of_second(other)))
        .collect();
    let differences = values.iter().map(|&(one, other)| other as f64 - one as f64);
    let difference = mean_difference(differences)?;
    let sum = |values: &mut dyn Iterator<Item = u64>| values.map(u128::from).sum::<u128>() as f64;
    let of = values.len() as f64;
    let seeds = |order: std::cmp::Ordering| {
        values.iter().filter(|(one, other)| other.cmp(one) == order).count() as u64
    };
    Some(MeanDifference {
        quantity,
        unit: match counter.unit() {
            CounterUnit::Count => "count".to_owned(),
            CounterUnit::Microseconds => "microseconds".to_owned(),
        },
        first: rounded(sum(&mut values.iter().map(|it| it.0)) / of),
        second: rounded(sum(&mut values.iter().map(|it| it.1)) / of),
        difference,
        more: seeds(std::cmp::Ordering::Greater),
        less: seeds(std::cmp::Ordering::Less),
        equal: seeds(std::cmp::Ordering::Equal),
    })
}
