//! Rows folded into a report.

use super::gate::snake_case;
use super::plan::{Cell, SweepPlan, UntilWidth};
use super::report::{
    AnomalyReport, CauseReport, CellReport, Example, ExpectationReport, GroupReport,
    LatencyDistribution, LatencyReport, NamedViolation, PartitionReport, PerSeedLatency, SCHEMA,
    Spread, SweepReport, UnavailabilityReport, ViolationsReport, WidthReport,
};
use super::row::{
    CauseRow, LatencyRow, Numbers, PartitionRow, PromiseRow, RowCounts, SeedResult, SeedRow,
    exception_key, of_groups,
};
use super::statistics::{percentile, rounded, spread, wilson};
use super::{Collected, compare};
use crate::defect::Defect;
use crate::outcome::expected_texts;
use crate::test::ShareReport;
use acklab_scenario::expect::Reach;
use acklab_scenario::{Counter, Counts, Quantity, ShareExpectation};
use acklab_verdict::{AnomalyKind, Cause};
use hdrhistogram::Histogram;
use std::collections::{BTreeMap, BTreeSet};

/// What the rows say.
#[must_use]
pub fn report(plan: &SweepPlan, collected: &Collected) -> SweepReport {
    let cells = plan.cells.iter().zip(&collected.rows).zip(&collected.latency);
    let cells: Vec<CellReport> =
        cells.map(|((cell, rows), latency)| cell_report(cell, rows, latency)).collect();
    let gates: Vec<_> = plan
        .options
        .gates
        .iter()
        .map(|gate| gate.hold(&plan.dims, &plan.cells, &collected.rows))
        .collect();
    let mut versions: Vec<&str> = cells.iter().map(|cell| cell.kafka.as_str()).collect();
    versions.dedup();
    let (compare, compare_not_asked) = compare::relations(plan, &collected.rows);
    let held = gates.iter().all(|gate| gate.held)
        && compare.iter().all(|it| it.holds)
        && cells.iter().all(CellReport::holds);
    SweepReport {
        schema: SCHEMA,
        acklab: env!("CARGO_PKG_VERSION").to_owned(),
        scenario: plan.name.clone(),
        about: plan.cells.first().map_or_else(String::new, |it| it.case.scenario.about.clone()),
        kafka: versions.join(", "),
        command: plan.command.clone(),
        seeds: plan.seeds(),
        seeds_done: collected.seeds_done(),
        ended: collected.ended,
        held,
        dims: plan.dims.clone(),
        comparisons: compare::comparisons(plan, &collected.rows),
        cells,
        gates,
        compare,
        compare_not_asked,
        until_width: plan.options.until_width.map(|until| width_report(until, collected)),
    }
}

fn width_report(until: UntilWidth, collected: &Collected) -> WidthReport {
    let UntilWidth { anomaly, width } = until;
    let (cell, of, widest) = collected.widest(anomaly);
    WidthReport { anomaly, width, widest: rounded(widest), cell, of, reached: widest <= width }
}

impl CellReport {
    /// Everything that it was held against held, and no run panicked.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.expectations.iter().all(|expectation| expectation.failed == 0)
            && self.shares.iter().all(|share| share.holds)
            && self.defects_total == 0
    }
}

fn cell_report(cell: &Cell, rows: &[SeedRow], latency: &[Histogram<u64>; 2]) -> CellReport {
    let judged: Vec<Judged<'_>> = rows
        .iter()
        .filter_map(|row| Some(Judged { seed: row.seed, numbers: row.numbers()? }))
        .collect();
    let kinds = |of_groups: bool| {
        AnomalyKind::ALL.iter().copied().filter(move |kind| kind.is_of_groups() == of_groups)
    };
    let log = kinds(false).map(|kind| anomaly_report(cell, &judged, kind, None));
    let processing = kinds(true)
        .filter(|_| !cell.groups.is_empty())
        .map(|kind| anomaly_report(cell, &judged, kind, None));
    let groups = cell.groups.iter().enumerate().map(|(position, name)| GroupReport {
        group: name.clone(),
        anomalies: kinds(true)
            .map(|kind| anomaly_report(cell, &judged, kind, Some(position)))
            .collect(),
        counters: of_groups()
            .map(|counter| {
                let of = |it: &Judged<'_>| {
                    it.numbers.groups.get(position).map_or(0, |group| group.counter(counter))
                };
                (snake_case(counter.name()), spread(judged.iter().map(of)))
            })
            .collect(),
    });
    let (defects, defects_total) = defects(cell, rows);
    let [produce, end_to_end] = latency;
    CellReport {
        name: cell.name.clone(),
        labels: cell.labels.clone(),
        variant: cell.variant.clone(),
        kafka: cell.case.scenario.kafka.to_string(),
        settings: cell.sets.iter().map(ToString::to_string).collect(),
        as_written: cell.as_written,
        expectations_dropped: cell.dropped,
        seeds: judged.len() as u64,
        anomalies: log.chain(processing).collect(),
        counters: Counter::ALL
            .iter()
            .map(|&counter| {
                let quantity = Quantity::Counter(counter);
                let measured = judged.iter().filter(|it| it.numbers.has_measured(&quantity));
                let values = measured.map(|it| it.numbers.counter(counter));
                (snake_case(counter.name()), spread(values))
            })
            .collect(),
        groups: groups.collect(),
        exceptions: exceptions(cell, &judged),
        latency: LatencyReport {
            produce: distribution(produce, &judged, |numbers| &numbers.produce),
            end_to_end: distribution(end_to_end, &judged, |numbers| &numbers.end_to_end),
        },
        throughput: spread(judged.iter().map(|it| throughput(cell, it.numbers))),
        unavailability: unavailability(cell, &judged),
        expectations: expectations(cell, &judged),
        shares: shares(cell, &judged),
        violations: violations(&judged),
        defects,
        defects_total,
        run: format!("acklab run {}{} --seed", cell.selection.scenario, cell.selection.options),
    }
}

/// A seed with a verdict.
struct Judged<'a> {
    seed: u64,
    numbers: &'a Numbers,
}

/// The exceptions that were raised in some seed, over all seeds.
fn exceptions(cell: &Cell, judged: &[Judged<'_>]) -> BTreeMap<String, Spread> {
    let raised: BTreeSet<(String, Reach)> =
        judged.iter().flat_map(|it| it.numbers.exceptions()).collect();
    let spreads = raised.into_iter().map(|(name, reach)| {
        let of = |it: &Judged<'_>| {
            let counts = RowCounts { numbers: it.numbers, groups: &cell.groups };
            counts.exceptions(None, &name, reach)
        };
        (exception_key(&name, reach), spread(judged.iter().map(of)))
    });
    spreads.collect()
}

fn anomaly_report(
    cell: &Cell,
    judged: &[Judged<'_>],
    kind: AnomalyKind,
    group: Option<usize>,
) -> AnomalyReport {
    let counts: Vec<(u64, u64)> =
        judged.iter().map(|it| (it.numbers.anomalies(kind, group), it.seed)).collect();
    let mut with: Vec<(u64, u64)> = counts.iter().copied().filter(|&(it, _)| it > 0).collect();
    with.sort_unstable();
    let example = |wanted: u64| {
        let lowest = with.iter().find(|&&(count, _)| count == wanted);
        lowest.map(|&(count, seed)| example(cell, kind, group, seed, count))
    };
    let sorted: Vec<u64> = with.iter().map(|&(count, _)| count).collect();
    AnomalyReport {
        anomaly: kind,
        seeds_with: with.len() as u64,
        probability: wilson(with.len() as u64, judged.len() as u64),
        counts: spread(counts.iter().map(|&(count, _)| count)),
        counts_if_any: spread(sorted.iter().copied()),
        distribution: tally(counts.iter().map(|&(count, _)| count)),
        causes: causes(judged, kind, group),
        worst: sorted.last().and_then(|&most| example(most)),
        typical: (!sorted.is_empty()).then(|| percentile(&sorted, 500)).and_then(example),
    }
}

fn example(cell: &Cell, kind: AnomalyKind, group: Option<usize>, seed: u64, count: u64) -> Example {
    let run = cell.selection.command("run", seed, "");
    // A group's name stands in the scenario as it is: a shell may need quotes around it.
    let name = group.and_then(|group| cell.groups.get(group));
    let group = name.map_or_else(String::new, |name| format!(" --group {}", quoted(name)));
    let more = format!(" --{}{group}", kind.name());
    Example { seed, count, run, explain: cell.selection.command("explain", seed, &more) }
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    match word.chars().all(plain) && !word.is_empty() {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// How many seeds have so many.
fn tally(counts: impl Iterator<Item = u64>) -> Vec<(u64, u64)> {
    let mut tally = Histogram::<u64>::new(3).expect("three digits are few enough");
    counts.for_each(|count| tally.record(count).expect("the histogram grows by itself"));
    let recorded = tally.iter_recorded();
    recorded
        .map(|it| {
            (tally.lowest_equivalent(it.value_iterated_to()), it.count_since_last_iteration())
        })
        .collect()
}

fn causes(judged: &[Judged<'_>], kind: AnomalyKind, group: Option<usize>) -> Vec<CauseReport> {
    let mut by_cause: BTreeMap<(Cause, &PromiseRow), Vec<u64>> = BTreeMap::new();
    for it in judged {
        let mut of_seed: BTreeMap<(Cause, &PromiseRow), u64> = BTreeMap::new();
        let is_asked = |row: &&CauseRow| {
            row.kind == kind && group.is_none_or(|group| row.group.map(usize::from) == Some(group))
        };
        for row in it.numbers.causes.iter().filter(is_asked) {
            *of_seed.entry((row.cause, &row.promise)).or_default() += row.count;
        }
        for (cause, count) in of_seed {
            by_cause.entry(cause).or_default().push(count);
        }
    }
    let seeds = judged.len();
    let report = |((cause, promise), counts): ((Cause, &PromiseRow), Vec<u64>)| {
        let without = std::iter::repeat_n(0, seeds - counts.len());
        let (name, issue) = match promise {
            PromiseRow::Kept => ("kept", None),
            PromiseRow::KnownViolation(issue) => ("known_violation", Some(issue.clone())),
            PromiseRow::Broken => ("broken", None),
        };
        CauseReport {
            cause: cause.name().to_owned(),
            sentence: cause.sentence().to_owned(),
            prevention: cause.prevention().to_owned(),
            promise: name.to_owned(),
            issue,
            seeds_with: counts.len() as u64,
            probability: wilson(counts.len() as u64, seeds as u64),
            total: counts.iter().sum(),
            counts: spread(counts.iter().copied().chain(without)),
        }
    };
    let mut reports: Vec<CauseReport> = by_cause.into_iter().map(report).collect();
    reports.sort_by_key(|report| std::cmp::Reverse(report.total));
    reports
}

fn distribution(
    all: &Histogram<u64>,
    judged: &[Judged<'_>],
    of: fn(&Numbers) -> &LatencyRow,
) -> LatencyDistribution {
    let max = judged.iter().map(|it| of(it.numbers).max).max().unwrap_or(0);
    // The histogram rounds up; the longest is known exactly.
    let within = |percent: f64| all.value_at_percentile(percent).min(max);
    let with_records = || judged.iter().map(|it| of(it.numbers)).filter(|row| row.records > 0);
    LatencyDistribution {
        records: all.len(),
        p50: within(50.0),
        p90: within(90.0),
        p99: within(99.0),
        p999: within(99.9),
        max,
        curve: match all.len() {
            0 => Vec::new(),
            _ => CURVE.iter().map(|&percent| (percent, within(percent))).collect(),
        },
        per_seed: PerSeedLatency {
            p50: spread(with_records().map(|row| row.p50)),
            p90: spread(with_records().map(|row| row.p90)),
            p99: spread(with_records().map(|row| row.p99)),
            max: spread(with_records().map(|row| row.max)),
        },
    }
}

/// Where a percentile curve has its points, in percent: each step halves what is left, or less.
const CURVE: [f64; 30] = [
    0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 75.0, 80.0, 85.0, 90.0, 92.5, 95.0, 97.0, 98.0,
    98.5, 99.0, 99.25, 99.5, 99.7, 99.8, 99.9, 99.95, 99.97, 99.99, 99.995, 99.999, 99.9999, 100.0,
];

/// Acked records per second of the workload.
fn throughput(cell: &Cell, numbers: &Numbers) -> u64 {
    let micros = cell.duration().as_micros().max(1);
    numbers.counter(Counter::Acked).saturating_mul(1_000_000) / micros
}

fn unavailability(cell: &Cell, judged: &[Judged<'_>]) -> UnavailabilityReport {
    let worst = |of: fn(&PartitionRow) -> u64| {
        spread(judged.iter().map(|it| it.numbers.partitions.iter().map(of).max().unwrap_or(0)))
    };
    let partition = |(position, name): (usize, &String)| {
        let of = |of: fn(&PartitionRow) -> u64| {
            let rows = judged.iter().map(|it| it.numbers.partitions.get(position));
            spread(rows.map(|row| row.map_or(0, of)))
        };
        PartitionReport {
            partition: name.clone(),
            longest: of(|row| row.longest),
            total: of(|row| row.total),
            leaderless_longest: of(|row| row.leaderless_longest),
            leaderless_total: of(|row| row.leaderless_total),
        }
    };
    let mut partitions: Vec<(usize, PartitionReport)> =
        cell.partitions.iter().enumerate().map(partition).enumerate().collect();
    if partitions.len() > PARTITIONS_KEPT {
        partitions.sort_by_key(|(position, it)| (std::cmp::Reverse(it.longest.max), *position));
        partitions.truncate(PARTITIONS_KEPT);
        partitions.sort_by_key(|(position, _)| *position);
    }
    UnavailabilityReport {
        longest: worst(|row| row.longest),
        total: worst(|row| row.total),
        leaderless_longest: worst(|row| row.leaderless_longest),
        partitions: partitions.into_iter().map(|(_, it)| it).collect(),
        partitions_total: cell.partitions.len() as u64,
    }
}

/// So many partitions are reported one by one.
const PARTITIONS_KEPT: usize = 50;

fn expectations(cell: &Cell, judged: &[Judged<'_>]) -> Vec<ExpectationReport> {
    let texts = expected_texts(&cell.case.expect).into_iter().enumerate();
    let report = |(position, text): (usize, String)| {
        let failing = judged
            .iter()
            .filter(|it| it.numbers.failed.contains(&(position as u16)))
            .map(|it| it.seed);
        let failed = failing.clone().count() as u64;
        ExpectationReport {
            text,
            held: judged.len() as u64 - failed,
            failed,
            failing_seeds: failing.take(SEEDS_KEPT).collect(),
        }
    };
    texts.map(report).collect()
}

fn shares(cell: &Cell, judged: &[Judged<'_>]) -> Vec<ShareReport> {
    let of = judged.len() as u64;
    let report = |share: &ShareExpectation| {
        let holds = |it: &&Judged<'_>| {
            share.expectation.holds(&RowCounts { numbers: it.numbers, groups: &cell.groups })
        };
        let held = judged.iter().filter(holds).count() as u64;
        ShareReport { text: share.to_string(), held, of, holds: share.holds(held, of) }
    };
    cell.case.expect_share.iter().map(report).collect()
}

/// So many failing seeds are named; all are counted.
const SEEDS_KEPT: usize = 10;

fn violations(judged: &[Judged<'_>]) -> ViolationsReport {
    let seeds =
        |of: &dyn Fn(&Numbers) -> bool| judged.iter().filter(|it| of(it.numbers)).count() as u64;
    let mut by_name: BTreeMap<(&String, &Option<String>), (u64, u64)> = BTreeMap::new();
    for it in judged {
        for (name, known, _) in &it.numbers.violations {
            by_name.entry((name, known)).or_insert((0, it.seed)).0 += 1;
        }
    }
    let named = |((name, known), (seeds, first_seed)): ((&String, &Option<String>), (u64, u64))| {
        NamedViolation { name: name.clone(), known: known.clone(), seeds, first_seed }
    };
    ViolationsReport {
        broken: seeds(&|numbers| numbers.counter(Counter::Violations) > 0),
        known: seeds(&|numbers| numbers.counter(Counter::KnownViolations) > 0),
        unexplained: seeds(&|numbers| numbers.counter(Counter::Unexplained) > 0),
        stuck: seeds(&|numbers| numbers.stuck.is_some()),
        by_name: by_name.into_iter().map(named).collect(),
    }
}

fn defects(cell: &Cell, rows: &[SeedRow]) -> (Vec<Defect>, u64) {
    let all = rows.iter().filter_map(|row| match &row.result {
        SeedResult::Judged(_) => None,
        SeedResult::Defect(message, location) => Some(Defect {
            scenario: cell.case.scenario.name.clone(),
            variant: cell.variant.clone(),
            seed: row.seed,
            message: message.clone(),
            location: location.clone(),
        }),
    });
    (all.clone().take(SEEDS_KEPT).collect(), all.count() as u64)
}

#[cfg(test)]
pub(super) mod tests;
