//! The sections of a sweep below its answer.

use super::table::Page;
use crate::text::{Align, BAD, DIM, GOOD, Rows, grouped, micros, styled, wrapped};
use acklab_experiment::sweep::report::{
    AnomalyReport, CellComparison, CellReport, Example, GateCell, GateOutcome, LatencyDistribution,
    Spread,
};
use acklab_report::sweep::numbers::{
    between, difference_of_times, ends, mean, percent, points, probability, signed, time,
};
use acklab_verdict::AnomalyKind;
use acklab_verdict::names::counted;

/// How probable anomalies are and how many there are, by kind and cell. Only kinds that occurred.
pub fn anomalies(page: &mut Page<'_>) {
    for &kind in AnomalyKind::ALL {
        let of_cells = page.report.cells.iter().filter_map(|cell| {
            Some((page.short(cell), cell.anomalies.iter().find(|of| of.anomaly == kind)?))
        });
        let mut lines: Vec<(String, &AnomalyReport)> = of_cells.collect();
        if kind.is_of_groups() {
            lines.extend(of_single_groups(page, kind));
        }
        if lines.iter().all(|(_, of)| of.seeds_with == 0) {
            continue;
        }
        let mut rows = Rows::with_header(&[
            (kind.name(), Align::Left),
            ("seeds", Align::Right),
            ("share", Align::Right),
            ("95 %", Align::Left),
            ("mean", Align::Right),
            ("p50", Align::Right),
            ("p90", Align::Right),
            ("p99", Align::Right),
            ("worst", Align::Right),
        ]);
        for (name, of) in lines {
            let Spread { mean: average, p50, p90, p99, max, .. } = of.counts;
            rows.add([
                name,
                grouped(of.seeds_with),
                percent(of.probability.estimate),
                ends(&of.probability),
                mean(average),
                grouped(p50),
                grouped(p90),
                grouped(p99),
                grouped(max),
            ]);
        }
        page.line("");
        page.block(&rows.render(page.width));
    }
}

/// Where there are several consumer applications, each on its own.
fn of_single_groups<'p>(
    page: &'p Page<'_>,
    kind: AnomalyKind,
) -> impl Iterator<Item = (String, &'p AnomalyReport)> {
    let several = page.report.cells.iter().filter(|cell| cell.groups.len() > 1);
    several.flat_map(move |cell| {
        cell.groups.iter().filter_map(move |group| {
            let of = group.anomalies.iter().find(|of| of.anomaly == kind)?;
            Some((format!("{}: {}", page.short(cell), group.group), of))
        })
    })
}

/// Why, by kind and cause; below each the cells that have it.
pub fn causes(page: &mut Page<'_>) {
    for &kind in AnomalyKind::ALL {
        let cells = &page.report.cells;
        let of = |cell: &'_ CellReport| {
            cell.anomalies.iter().find(|of| of.anomaly == kind).map(|of| of.causes.clone())
        };
        let all: Vec<_> = cells
            .iter()
            .flat_map(|cell| of(cell).into_iter().flatten().map(move |it| (&cell.name, it)))
            .collect();
        if all.is_empty() {
            continue;
        }
        page.heading(&format!("why {}", why(kind)), "");
        let mut seen: Vec<(&str, &str)> = Vec::new();
        for (_, cause) in &all {
            if seen.contains(&(&cause.cause, &cause.promise)) {
                continue;
            }
            seen.push((&cause.cause, &cause.promise));
            for line in wrapped(&cause.sentence, page.width - 4) {
                page.line(&format!("    {line}"));
            }
            let mut rows = Rows::new(&[Align::Left, Align::Right, Align::Right, Align::Right]);
            rows = rows.indented(6);
            let same = all
                .iter()
                .filter(|(_, it)| (&it.cause, &it.promise) == (&cause.cause, &cause.promise));
            for (name, it) in same {
                rows.add([
                    (*name).clone(),
                    format!("in {}", counted(it.seeds_with, "seed")),
                    format!("mean {}", mean(it.counts.mean)),
                    format!("worst {}", grouped(it.counts.max)),
                ]);
            }
            page.block(&rows.render(page.width));
            let promise = match (cause.promise.as_str(), &cause.issue) {
                ("kept", _) => "no promise broken".to_owned(),
                (_, Some(issue)) => {
                    format!("promise broken, as documented for this version: {issue}")
                }
                (_, None) => styled(BAD, "promise broken"),
            };
            let both = format!("{promise} · prevented by: {}", cause.prevention);
            for line in wrapped(&both, page.width - 6) {
                page.line(&format!("      {}", styled(DIM, &line)));
            }
        }
    }
}

fn why(kind: AnomalyKind) -> &'static str {
    match kind {
        AnomalyKind::Lost => "lost",
        AnomalyKind::Phantom => "stored although reported as failed",
        AnomalyKind::Duplicated => "duplicated",
        AnomalyKind::Reordered => "reordered",
        AnomalyKind::Reprocessed => "processed again",
        AnomalyKind::Skipped => "skipped",
        AnomalyKind::Ghost => "processed and then gone",
    }
}

/// Latency of all records, and of single seeds.
pub fn latency(page: &mut Page<'_>) {
    type Of = fn(&CellReport) -> &LatencyDistribution;
    let both: [(&str, Of); 2] = [
        ("created to acked", |cell| &cell.latency.produce),
        ("created to read", |cell| &cell.latency.end_to_end),
    ];
    for (name, of) in both {
        if page.report.cells.iter().all(|cell| of(cell).records == 0) {
            continue;
        }
        let mut rows = Rows::with_header(&[
            (name, Align::Left),
            ("p50", Align::Right),
            ("p90", Align::Right),
            ("p99", Align::Right),
            ("p99.9", Align::Right),
            ("max", Align::Right),
            ("p99 of a seed: p50", Align::Right),
            ("worst", Align::Right),
        ]);
        for cell in &page.report.cells {
            let it = of(cell);
            let per_seed = &it.per_seed.p99;
            let times = [it.p50, it.p90, it.p99, it.p999, it.max, per_seed.p50, per_seed.max];
            let times = times.map(micros);
            rows.add(std::iter::once(page.short(cell)).chain(times));
        }
        page.line("");
        page.block(&rows.render(page.width));
    }
}

/// Time without an accepted write: of each seed the partition where it was longest.
pub fn unavailability(page: &mut Page<'_>) {
    let mut rows = Rows::with_header(&[
        ("no write accepted", Align::Left),
        ("longest: p50", Align::Right),
        ("p99", Align::Right),
        ("worst", Align::Right),
        ("total: p50", Align::Right),
        ("worst", Align::Right),
        ("partition", Align::Left),
    ]);
    for cell in &page.report.cells {
        let of = &cell.unavailability;
        if of.partitions.is_empty() {
            continue;
        }
        // The first of equals.
        let worst = of.partitions.iter().rev().max_by_key(|it| it.longest.max);
        rows.add([
            page.short(cell),
            micros(of.longest.p50),
            micros(of.longest.p99),
            micros(of.longest.max),
            micros(of.total.p50),
            micros(of.total.max),
            worst.map_or_else(String::new, |worst| worst.partition.clone()),
        ]);
    }
    if !rows.is_empty() {
        page.line("");
        page.block(&rows.render(page.width));
    }
}

/// Time in which partitions of a group had no owner that could work.
pub fn standstill(page: &mut Page<'_>) {
    let mut rows = Rows::with_header(&[
        ("standstill", Align::Left),
        ("group", Align::Left),
        ("longest: p50", Align::Right),
        ("p99", Align::Right),
        ("worst", Align::Right),
        ("total: p50", Align::Right),
        ("worst", Align::Right),
        ("rebalances", Align::Right),
    ]);
    for cell in &page.report.cells {
        for group in &cell.groups {
            let of = |name: &str| group.counters.get(name).copied().unwrap_or_default();
            let (longest, total) = (of("standstill_max"), of("standstill_total"));
            rows.add([
                page.short(cell),
                group.group.clone(),
                micros(longest.p50),
                micros(longest.p99),
                micros(longest.max),
                micros(total.p50),
                micros(total.max),
                mean(of("rebalances").mean),
            ]);
        }
    }
    if !rows.is_empty() {
        page.line("");
        page.block(&rows.render(page.width));
    }
}

/// Differences between cells over the same seeds.
pub fn comparisons(page: &mut Page<'_>) {
    let all = &page.report.comparisons;
    for comparison in all.iter().take(COMPARISONS_SHOWN) {
        let of = |cell: usize| page.report.cells[cell].name.as_str();
        let heading = format!("{} → {}", of(comparison.first), of(comparison.second));
        let rows = compared(comparison);
        if rows.is_empty() {
            page.heading(&heading, ": no difference in any seed");
            continue;
        }
        let rest = format!(" on the same {}", counted(comparison.seeds, "seed"));
        page.heading(&heading, &rest);
        page.block(&rows.render(page.width));
    }
    if all.len() > COMPARISONS_SHOWN {
        let more = all.len() - COMPARISONS_SHOWN;
        page.line("");
        page.line(&format!("  and {} in --json", counted(more as u64, "comparison")));
    }
}

/// A grid has many.
const COMPARISONS_SHOWN: usize = 6;

fn compared(comparison: &CellComparison) -> Rows {
    let mut rows = Rows::with_header(&[
        ("", Align::Left),
        ("from", Align::Right),
        ("to", Align::Right),
        ("difference", Align::Right),
        ("95 %", Align::Left),
        ("", Align::Left),
    ])
    .indented(4);
    let of = comparison.seeds.max(1) as f64;
    for it in &comparison.probabilities {
        let share = |only: u64| percent((it.both + only) as f64 / of);
        rows.add([
            format!("any {}", it.anomaly.name()),
            share(it.first_only),
            share(it.second_only),
            points(it.difference.estimate),
            between(&it.difference, points),
            format!("McNemar p: {}", probability(it.p_value)),
        ]);
    }
    for it in comparison.means.iter().filter(|it| it.is_telling()) {
        let (from, to, difference, ends) = match it.unit.as_str() {
            "count" => {
                let show = |value: f64| signed(value, mean);
                let difference = show(it.difference.estimate);
                (mean(it.first), mean(it.second), difference, between(&it.difference, show))
            }
            _ => {
                let (difference, ends) = difference_of_times(&it.difference);
                (time(it.first), time(it.second), difference, ends)
            }
        };
        let seeds = format!("{} more, {} less", grouped(it.more), grouped(it.less));
        let name = format!("mean {}", it.quantity.replace('_', " "));
        rows.add([name, from, to, difference, ends, seeds]);
    }
    rows
}

/// The worst and the most typical seed of each anomaly, with the command that runs it again.
pub fn examples(page: &mut Page<'_>) {
    let mut lines = Vec::new();
    for cell in &page.report.cells {
        for of in cell.anomalies.iter().filter(|of| of.seeds_with > 0) {
            let name = format!("{} {}", cell.name, of.anomaly.name());
            let same = of.worst.as_ref().map(|it| it.seed) == of.typical.as_ref().map(|it| it.seed);
            if let (Some(example), false) = (&of.typical, same) {
                lines.push((name.clone(), "typical", example));
            }
            if let Some(example) = &of.worst {
                lines.push((name, "worst", example));
            }
        }
    }
    if lines.is_empty() {
        return;
    }
    page.heading(
        "see it again",
        " (`explain` in place of `run` with --lost and the like tells why)",
    );
    let widest = lines.iter().map(|(name, ..)| name.chars().count()).max().unwrap_or(0);
    for (name, which, Example { count, run, .. }) in lines {
        let count = grouped(*count);
        // A command is never wrapped: it is to be copied.
        page.line(&format!("    {name:widest$}  {which:7}  {count:>7}   {}", styled(DIM, run)));
    }
}

/// What had to hold.
pub fn expectations(page: &mut Page<'_>) {
    let mut lines: Vec<(bool, String, Vec<String>)> = Vec::new();
    for gate in &page.report.gates {
        for cell in &gate.cells {
            let name = match gate.cells.len() {
                1 => String::new(),
                _ => format!("{}: ", page.report.cells[cell.cell].name),
            };
            let (text, below) = gate_line(&format!("{name}{}", gate.text), cell);
            lines.push((cell.outcome == GateOutcome::Held, text, below));
        }
    }
    let mut held = 0_u64;
    for cell in &page.report.cells {
        for it in &cell.expectations {
            if it.failed == 0 {
                held += 1;
                continue;
            }
            let seeds = counted(it.failed + it.held, "seed");
            let text =
                format!("{}: {}: not in {} of {seeds}", cell.name, it.text, grouped(it.failed));
            let below = it.failing_seeds.iter().take(1).map(|seed| format!("{} {seed}", cell.run));
            lines.push((false, text, below.collect()));
        }
    }
    for cell in &page.report.cells {
        for it in &cell.shares {
            let text = format!(
                "{}: {}: in {} of {}",
                cell.name,
                it.text,
                grouped(it.held),
                counted(it.of, "seed")
            );
            lines.push((it.holds, text, Vec::new()));
        }
    }
    page.heading("expected", "");
    for (held, text, below) in lines {
        let mark = if held { styled(GOOD, "held") } else { styled(BAD, "FAIL") };
        for (position, line) in wrapped(&text, page.width - 10).iter().enumerate() {
            let mark = if position == 0 { mark.as_str() } else { "    " };
            page.line(&format!("    {mark}  {line}"));
        }
        below.iter().for_each(|line| page.line(&format!("          {}", styled(DIM, line))));
    }
    let as_written = page.report.cells.iter().any(|cell| cell.as_written);
    let what = match as_written {
        true => counted(held, "expectation"),
        false => counted(held, "promise"),
    };
    page.line(&format!("    {}  {what} in every seed", styled(GOOD, "held")));
}

fn gate_line(gate: &str, it: &GateCell) -> (String, Vec<String>) {
    let share = format!("in {} of {} {}", grouped(it.held), grouped(it.of), ends(&it.share));
    let told = match (it.outcome, it.seeds_needed) {
        (GateOutcome::Inconclusive, Some(seeds)) => {
            format!("; too few seeds to tell: run at least {}", grouped(seeds))
        }
        (GateOutcome::Inconclusive, None) => "; not shown, though it may be so".to_owned(),
        (GateOutcome::Held | GateOutcome::Failed, _) => String::new(),
    };
    let below = match it.outcome {
        GateOutcome::Held => Vec::new(),
        GateOutcome::Failed | GateOutcome::Inconclusive => {
            let failures = it.failures.iter().take(FAILURES_SHOWN);
            failures.map(|of| format!("{}: {}", of.actual, of.run)).collect()
        }
    };
    (format!("{gate}: {share}{told}"), below)
}

/// So many failing seeds are shown with a command each.
const FAILURES_SHOWN: usize = 2;
