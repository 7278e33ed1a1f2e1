//! The sections of a sweep below its answer.

use super::table::Page;
use crate::text::{Align, BAD, DIM, GOOD, Rows, command_lines, grouped, micros, styled, wrapped};
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
        let of_cells = page.report.cells.iter().enumerate().filter_map(|(position, cell)| {
            Some((page.short(position), cell.anomalies.iter().find(|of| of.anomaly == kind)?))
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
        let rows = if page.is_narrow() { rows.without(&[6]) } else { rows };
        page.line("");
        page.block(&rows.render(page.width));
    }
}

/// Where there are several consumer applications, each on its own.
fn of_single_groups<'p>(
    page: &'p Page<'_>,
    kind: AnomalyKind,
) -> impl Iterator<Item = (String, &'p AnomalyReport)> {
    let cells = page.report.cells.iter().enumerate();
    cells.filter(|(_, cell)| cell.groups.len() > 1).flat_map(move |(position, cell)| {
        cell.groups.iter().filter_map(move |group| {
            let of = group.anomalies.iter().find(|of| of.anomaly == kind)?;
            Some((format!("{}: {}", page.short(position), group.group), of))
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
            .enumerate()
            .flat_map(|(position, cell)| {
                of(cell).into_iter().flatten().map(move |it| (position, it))
            })
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
            for &(position, ref it) in same {
                let seeds = counted(cells[position].seeds, "seed");
                rows.add([
                    page.short(position),
                    format!("in {} of {seeds}", grouped(it.seeds_with)),
                    format!("mean over all {}", mean(it.counts.mean)),
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
        for (position, cell) in page.report.cells.iter().enumerate() {
            let it = of(cell);
            let per_seed = &it.per_seed.p99;
            let times = [it.p50, it.p90, it.p99, it.p999, it.max, per_seed.p50, per_seed.max];
            let times = times.map(micros);
            rows.add(std::iter::once(page.short(position)).chain(times));
        }
        let rows = if page.is_narrow() { rows.without(&[2]) } else { rows };
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
    for (position, cell) in page.report.cells.iter().enumerate() {
        let of = &cell.unavailability;
        if of.partitions.is_empty() {
            continue;
        }
        // The first of equals.
        let worst = of.partitions.iter().rev().max_by_key(|it| it.longest.max);
        rows.add([
            page.short(position),
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
    for (position, cell) in page.report.cells.iter().enumerate() {
        for group in &cell.groups {
            let of = |name: &str| group.counters.get(name).copied().unwrap_or_default();
            let (longest, total) = (of("standstill_max"), of("standstill_total"));
            rows.add([
                page.short(position),
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
    let rows = if page.is_narrow() { rows.without(&[3]) } else { rows };
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
            let differs = comparison.means.iter().any(|it| it.more + it.less > 0);
            let rest = match differs {
                true => ": no difference in anomalies and latency in any seed",
                false => ": no difference in any seed",
            };
            page.heading(&heading, rest);
            continue;
        }
        let rest = format!(" on the same {}", counted(comparison.seeds, "seed"));
        page.heading(&heading, &rest);
        let rows = if page.is_narrow() { rows.without(&[2, 5]) } else { rows };
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
        // Of what never varies no interval can be told.
        let (ends, seeds) = match it.difference.low == it.difference.high {
            true => ("the same in every seed".to_owned(), String::new()),
            false => (ends, seeds),
        };
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
    let before = 4 + widest + 2 + 7 + 2 + 7 + 3;
    let fits = |run: &str| before + run.chars().count() <= page.width;
    let beside = lines.iter().all(|(.., example)| fits(&example.run));
    for (name, which, Example { count, run, .. }) in lines {
        let count = grouped(*count);
        if beside {
            page.line(&format!("    {name:widest$}  {which:7}  {count:>7}   {}", styled(DIM, run)));
        } else {
            let text = format!("{name}, {which}: {count}");
            wrapped(&text, page.width - 4).iter().for_each(|it| page.line(&format!("    {it}")));
            command(page, 8, run);
        }
    }
    if page.report.cells.iter().any(|cell| cell.expectations_dropped) {
        let text = "With settings that are not its own, `run` also says which of the scenario's \
                    expectations do not hold, with status 1; --promises-only asks what is asked \
                    here.";
        for line in wrapped(text, page.width - 4) {
            page.line(&format!("    {}", styled(DIM, &line)));
        }
    }
}

/// A command, to be copied.
fn command(page: &mut Page<'_>, indent: usize, command: &str) {
    for line in command_lines(command, page.width - indent) {
        page.line(&format!("{:indent$}{}", "", styled(DIM, &line)));
    }
}

/// Something that had to hold, and below it the seeds in which it did not.
struct Line {
    held: bool,
    text: String,
    below: Vec<(String, String)>,
}

/// What had to hold.
pub fn expectations(page: &mut Page<'_>) {
    let mut lines = gates(page);
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
            let first = it.failing_seeds.iter().take(1);
            let below = first.map(|seed| (String::new(), format!("{} {seed}", cell.run)));
            lines.push(Line { held: false, text, below: below.collect() });
        }
    }
    for cell in &page.report.cells {
        for it in &cell.shares {
            let (held, seeds) = (grouped(it.held), counted(it.of, "seed"));
            let text = format!("{}: {}: in {held} of {seeds}", cell.name, it.text);
            lines.push(Line { held: it.holds, text, below: Vec::new() });
        }
    }
    for it in &page.report.compare {
        let text = format!("{}: {} and {}", it.text, it.first, it.second);
        lines.push(Line { held: it.holds, text, below: Vec::new() });
    }
    page.heading("expected", "");
    for Line { held, text, below } in lines {
        let mark = if held { styled(GOOD, "held") } else { styled(BAD, "FAIL") };
        marked(page, &mark, &text);
        for (actual, run) in below {
            if actual.is_empty() {
                command(page, 10, &run);
            } else if 12 + actual.chars().count() + run.chars().count() <= page.width {
                command(page, 10, &format!("{actual}: {run}"));
            } else {
                page.line(&format!("          {}", styled(DIM, &format!("{actual}:"))));
                command(page, 12, &run);
            }
        }
    }
    let as_written = page.report.cells.iter().any(|cell| cell.as_written);
    let what = match as_written {
        true => counted(held, "expectation"),
        false => counted(held, "promise"),
    };
    page.line(&format!("    {}  {what} in every seed", styled(GOOD, "held")));
    not_asked(page);
}

fn marked(page: &mut Page<'_>, mark: &str, text: &str) {
    for (position, line) in wrapped(text, page.width - 10).iter().enumerate() {
        let mark = if position == 0 { mark } else { "    " };
        page.line(&format!("    {mark}  {line}"));
    }
}

/// What the scenario says of its variants but this sweep does not judge, and intervals that are
/// wider than asked for: neither decides about the exit status.
fn not_asked(page: &mut Page<'_>) {
    let compare = &page.report.compare_not_asked;
    if !compare.is_empty() {
        let text = format!(
            "not judged, since it takes both variants as they are written (`acklab test`, or --vary \
             variant=…): {}",
            compare.join("; ")
        );
        marked(page, "    ", &text);
    }
    let Some(until) = page.report.until_width.as_ref().filter(|until| !until.reached) else {
        return;
    };
    let points = |width: f64| format!("{:.1}", width * 100.0);
    let (cell, kind) = (page.report.cells[until.cell].name.as_str(), until.of.name());
    let text = format!(
        "{cell}: the 95 % interval of {kind} is {} points wide, more than the {} that --until-width \
         asks for: run more seeds",
        points(until.widest),
        points(until.width)
    );
    marked(page, &styled(BAD, "wide"), &text);
}

fn gates(page: &Page<'_>) -> Vec<Line> {
    let mut lines = Vec::new();
    for gate in &page.report.gates {
        for cell in &gate.cells {
            let text = match page.report.cells.len() {
                1 => gate.claim.clone(),
                _ => format!("{}: {}", page.report.cells[cell.cell].name, gate.claim),
            };
            lines.push(gate_line(&text, gate.level.is_some(), cell));
        }
    }
    lines
}

fn gate_line(gate: &str, has_level: bool, it: &GateCell) -> Line {
    let seeds = format!("in {} of {}", grouped(it.held), counted(it.of, "seed"));
    let sure = "of histories (95 % confidence)";
    let shown = match it.outcome {
        _ if !has_level || it.of == 0 => String::new(),
        GateOutcome::Failed => {
            format!(", so in at most {} {sure}", bound(it.share.high, true))
        }
        GateOutcome::Held | GateOutcome::Inconclusive => {
            format!(", so in at least {} {sure}", bound(it.share.low, false))
        }
    };
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
            failures.map(|of| (of.actual.clone(), of.run.clone())).collect()
        }
    };
    let held = it.outcome == GateOutcome::Held;
    Line { held, text: format!("{gate}: {seeds}{shown}{told}"), below }
}

/// A share in percent, rounded to the side on which it is still true.
fn bound(share: f64, up: bool) -> String {
    let tenths = share * 1_000.0;
    let tenths = if up { (tenths - 1e-6).ceil() } else { (tenths + 1e-6).floor() };
    match tenths / 10.0 {
        whole @ (0.0 | 100.0) => format!("{whole:.0} %"),
        percent => format!("{percent:.1} %"),
    }
}

/// So many failing seeds are shown with a command each.
const FAILURES_SHOWN: usize = 2;
