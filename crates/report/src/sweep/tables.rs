//! The tables of a sweep.

use acklab_experiment::sweep::report::{
    AnomalyReport, CellComparison, CellReport, GateCell, GateOutcome, Spread, SweepReport,
};
use acklab_verdict::AnomalyKind;
use acklab_verdict::names::{counted, grouped, micros};

use super::answer::of;
use super::figures::{Choice, Latency};
use super::numbers::{between, ends, mean, percent, points, probability, signed, time};
use crate::page::{Cell, Html, Table};

/// A grid has many comparisons; they are all in the JSON.
const COMPARISONS_SHOWN: usize = 12;
/// So many seeds that failed are shown with their commands.
const FAILURES_SHOWN: usize = 2;

/// How probable anomalies of a kind are, and how many there are.
#[must_use]
pub fn anomalies(report: &SweepReport, kind: AnomalyKind) -> Html {
    let mut table = Table::new(
        &format!(
            "{} records over the seeds, all of which count.",
            super::answer::capitalised(kind.name())
        ),
        &["cell", "seeds with one#", "share#", "95 %", "mean#", "p50#", "p90#", "p99#", "worst#"],
    );
    let mut add = |name: String, of: &AnomalyReport| {
        let Spread { mean: average, p50, p90, p99, max, .. } = of.counts;
        table.add([
            Cell::name(name),
            Cell::bad_count(of.seeds_with),
            Cell::text(percent(of.probability.estimate)),
            Cell::text(unbroken(&ends(&of.probability))),
            Cell::text(mean(average)),
            Cell::count(p50),
            Cell::count(p90),
            Cell::count(p99),
            Cell::bad_count(max),
        ]);
    };
    for cell in &report.cells {
        if let Some(of) = of(cell, kind) {
            add(cell.name.clone(), of);
        }
        if kind.is_of_groups() && cell.groups.len() > 1 {
            for group in &cell.groups {
                if let Some(of) = group.anomalies.iter().find(|of| of.anomaly == kind) {
                    add(format!("{}: {}", cell.name, group.group), of);
                }
            }
        }
    }
    table.html()
}

/// Why, by kind, cause and cell.
#[must_use]
pub fn causes(report: &SweepReport) -> Html {
    let mut table = Table::new(
        "Anomalies by cause: how many seeds have it, and how many there are in a seed: the mean is \
         over all seeds.",
        &[
            "anomaly",
            "cause",
            "cell",
            "seeds#",
            "share#",
            "mean of all#",
            "worst#",
            "promise",
            "prevented by",
        ],
    );
    for &kind in AnomalyKind::ALL {
        for cell in &report.cells {
            for cause in of(cell, kind).map(|of| of.causes.as_slice()).unwrap_or_default() {
                let (promise, is_kept) = match (cause.promise.as_str(), &cause.issue) {
                    ("kept", _) => ("kept".to_owned(), true),
                    (_, Some(issue)) => (format!("broken as documented: {issue}"), true),
                    (_, None) => ("broken".to_owned(), false),
                };
                table.add([
                    Cell::name(kind.name()),
                    Cell::text(&cause.sentence),
                    Cell::text(&cell.name),
                    Cell::bad_count(cause.seeds_with),
                    Cell::text(percent(cause.probability.estimate)),
                    Cell::text(mean(cause.counts.mean)),
                    Cell::bad_count(cause.counts.max),
                    if is_kept { Cell::text(promise) } else { Cell::held(promise, false) },
                    Cell::text(&cause.prevention),
                ]);
            }
        }
    }
    if table.rows.is_empty() {
        let mut html = Html::default();
        html.paragraph("No record met with an anomaly, so there is nothing to explain.");
        return html;
    }
    table.html()
}

/// Latency of all records, and of single seeds.
#[must_use]
pub fn latency(report: &SweepReport, which: Latency) -> Html {
    let mut table = Table::new(
        &format!(
            "Latency, {}: of all records of all seeds, and the 99th percentiles of single seeds.",
            which.name()
        ),
        &[
            "cell",
            "p50#",
            "p90#",
            "p99#",
            "p99.9#",
            "longest#",
            "p99 of the median seed#",
            "of the worst#",
        ],
    );
    for cell in report.cells.iter().filter(|cell| which.of(cell).records > 0) {
        let of = which.of(cell);
        let per_seed = &of.per_seed.p99;
        let times = [of.p50, of.p90, of.p99, of.p999, of.max, per_seed.p50, per_seed.max];
        let times = times.map(|value| Cell::text(micros(value)));
        table.add(std::iter::once(Cell::name(&cell.name)).chain(times));
    }
    table.html()
}

/// Time without an accepted write, and time in which no member could work.
#[must_use]
pub fn unavailability(report: &SweepReport) -> Html {
    let mut writes = Table::new(
        "Time without an accepted write while producers asked for one: from an attempt that was not \
         accepted to the next acceptance; the total counts spells of 100 ms and more. Of each seed \
         the partition where it was longest.",
        &[
            "cell",
            "longest: p50#",
            "p99#",
            "worst#",
            "in total: p50#",
            "worst#",
            "no leader: worst#",
            "partition",
        ],
    );
    let mut groups = Table::new(
        "Standstill: time in which partitions of a group had no owner that could work.",
        &[
            "cell",
            "group",
            "longest: p50#",
            "p99#",
            "worst#",
            "in total: p50#",
            "worst#",
            "rebalances, mean#",
        ],
    );
    for cell in &report.cells {
        let of = &cell.unavailability;
        let times =
            |values: &[u64]| values.iter().map(|of| Cell::text(micros(*of))).collect::<Vec<_>>();
        // The first of equals.
        if let Some(worst) = of.partitions.iter().rev().max_by_key(|of| of.longest.max) {
            let shown = times(&[
                of.longest.p50,
                of.longest.p99,
                of.longest.max,
                of.total.p50,
                of.total.max,
                of.leaderless_longest.max,
            ]);
            let last = Cell::text(&worst.partition);
            writes.add([Cell::name(&cell.name)].into_iter().chain(shown).chain([last]));
        }
        for group in &cell.groups {
            let of = |name: &str| group.counters.get(name).copied().unwrap_or_default();
            let (longest, total) = (of("standstill_max"), of("standstill_total"));
            let shown = times(&[longest.p50, longest.p99, longest.max, total.p50, total.max]);
            let names = [Cell::name(&cell.name), Cell::text(&group.group)];
            let last = Cell::text(mean(of("rebalances").mean));
            groups.add(names.into_iter().chain(shown).chain([last]));
        }
    }
    Html::join([writes.html(), groups.html()])
}

/// The cells by cost and risk, those that nothing beats first.
#[must_use]
pub fn choices(choices: &[Choice], kind: AnomalyKind) -> Html {
    let share = format!("histories with a {} record", kind.name());
    let number = format!("{}, mean#", kind.name());
    let half = format!("{}: p50#", Latency::paid_for(kind).name());
    let headings = ["cell", &half, "p99#", &share, &number, "not acked#", "beaten by"];
    let caption = "The cells by cost. One beats another if it is better in time (p99), share, number \
                   or records not acked, and worse in none of these; where a cell leaves 1 % more \
                   of its records unacked than the best, its times do not count. Those that nothing \
                   beats are the choice there is.";
    let mut table = Table::new(caption, &headings);
    let mut sorted: Vec<&Choice> = choices.iter().collect();
    sorted.sort_by_key(|of| (!of.is_on_frontier(), of.position.cost, of.position.risk));
    for of in sorted {
        table.add([
            Cell::name(&of.name),
            Cell::text(micros(of.median)),
            Cell::text(micros(of.position.cost)),
            Cell::text(unbroken(&of.risk)),
            Cell::text(&of.mean),
            Cell::text(&of.refused),
            match &of.beaten_by {
                None => Cell::held("nothing", true),
                Some(other) => Cell::text(other),
            },
        ]);
    }
    table.html()
}

/// The same words in one line.
fn unbroken(words: &str) -> String {
    words.replace(' ', "\u{a0}")
}

/// Differences between cells over the same seeds.
#[must_use]
pub fn comparisons(report: &SweepReport) -> Html {
    let all = &report.comparisons;
    let mut html = Html::default();
    let mut alike = Vec::new();
    for comparison in all.iter().take(COMPARISONS_SHOWN) {
        let name = |cell: usize| report.cells.get(cell).map_or("", |cell| cell.name.as_str());
        let (first, second) = (name(comparison.first), name(comparison.second));
        let table = compared(comparison, first, second);
        if table.rows.is_empty() {
            alike.push(format!("{second} differs from {first} in no seed"));
        } else {
            html.push(&table.html());
        }
    }
    if !alike.is_empty() {
        html.paragraph(&format!("{}.", alike.join("; ")));
    }
    if all.len() > COMPARISONS_SHOWN {
        let more = counted((all.len() - COMPARISONS_SHOWN) as u64, "comparison");
        html.paragraph(&format!("and {more} more in --json"));
    }
    html
}

fn compared(comparison: &CellComparison, first: &str, second: &str) -> Table {
    let seeds = counted(comparison.seeds, "seed");
    let caption = format!("{second} against {first}, on the same {seeds}.");
    let headings = ["", first, second, "difference", "95 %", "more in#", "less in#", "p, McNemar#"];
    let headings: Vec<String> = headings
        .iter()
        .enumerate()
        .map(
            |(index, of)| if (1..4).contains(&index) { format!("{of}#") } else { (*of).to_owned() },
        )
        .collect();
    let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
    let mut table = Table::new(&caption, &headings);
    let whole = comparison.seeds.max(1) as f64;
    for of in &comparison.probabilities {
        let share = |only: u64| percent((of.both + only) as f64 / whole);
        table.add([
            Cell::name(format!("seeds with a {} record", of.anomaly.name())),
            Cell::text(share(of.first_only)),
            Cell::text(share(of.second_only)),
            Cell::text(format!("{} points", points(of.difference.estimate))),
            Cell::text(unbroken(&between(&of.difference, points))),
            Cell::count(of.second_only),
            Cell::count(of.first_only),
            Cell::text(unbroken(&probability(of.p_value))),
        ]);
    }
    for of in comparison.means.iter().filter(|of| of.is_telling()) {
        let show: fn(f64) -> String = if of.unit == "count" { mean } else { time };
        let difference = |value: f64| signed(value, show);
        table.add([
            Cell::name(words(&of.quantity)),
            Cell::text(show(of.first)),
            Cell::text(show(of.second)),
            Cell::text(difference(of.difference.estimate)),
            Cell::text(unbroken(&between(&of.difference, difference))),
            Cell::count(of.more),
            Cell::count(of.less),
            Cell::or_dash::<String>(None),
        ]);
    }
    table
}

/// A quantity in words: `mean lost`, `billing: mean reprocessed`.
fn words(quantity: &str) -> String {
    let (group, name) = quantity.rsplit_once('/').unwrap_or(("", quantity));
    let name = match name {
        "produce_p50" => "created to acked, median",
        "produce_p99" => "created to acked, p99",
        "unavailable_max" => "longest time without a write",
        "standstill_max" => "longest standstill",
        other => other,
    };
    let group = if group.is_empty() { String::new() } else { format!("{group}: ") };
    format!("{group}{}, mean", name.replace('_', " "))
}

/// What had to hold: gates, expectations, promises, and runs that came to no verdict.
#[must_use]
pub fn expectations(report: &SweepReport) -> Html {
    let mut html = Html::join([gates(report), expected(report), trouble(report)]);
    for cell in &report.cells {
        for defect in &cell.defects {
            html.paragraph(&format!("{}, seed {}: {}", cell.name, defect.seed, defect.message));
        }
    }
    html
}

fn gates(report: &SweepReport) -> Html {
    let caption = "What had to hold, as asked for with --expect.";
    let bounds = "bounds, each with 95 % confidence";
    let headings = ["what", "cell", "held in", bounds, "outcome", "a seed where it did not"];
    let mut table = Table::new(caption, &headings);
    for gate in &report.gates {
        for of in &gate.cells {
            let cell = report.cells.get(of.cell).map_or("", |cell| cell.name.as_str());
            let failure = of.failures.first().map(|of| format!("{}: {}", of.actual, of.run));
            table.add([
                Cell::name(&gate.text),
                Cell::text(cell),
                Cell::text(format!("{} of {}", grouped(of.held), grouped(of.of))),
                Cell::text(ends(&of.share)),
                Cell::held(outcome(of), of.outcome == GateOutcome::Held),
                failure.map_or_else(|| Cell::or_dash::<String>(None), Cell::command),
            ]);
        }
    }
    table.html()
}

fn outcome(of: &GateCell) -> String {
    match (of.outcome, of.seeds_needed) {
        (GateOutcome::Held, _) => "held".to_owned(),
        (GateOutcome::Failed, _) => "failed".to_owned(),
        (GateOutcome::Inconclusive, Some(seeds)) => {
            format!("too few seeds to tell: run at least {}", grouped(seeds))
        }
        (GateOutcome::Inconclusive, None) => "not shown, though it may be so".to_owned(),
    }
}

fn expected(report: &SweepReport) -> Html {
    let headings = ["what", "cell", "held in", "a seed where it did not"];
    let mut table = Table::new(
        "What the runs were held against: in every seed, unless it names a share.",
        &headings,
    );
    for cell in &report.cells {
        for of in &cell.expectations {
            let commands = of.failing_seeds.iter().take(FAILURES_SHOWN);
            let commands: Vec<String> =
                commands.map(|seed| format!("{} {seed}", cell.run)).collect();
            let all = of.held + of.failed;
            table.add([
                Cell::name(&of.text),
                Cell::text(&cell.name),
                Cell::held(format!("{} of {}", grouped(of.held), grouped(all)), of.failed == 0),
                match commands.first() {
                    Some(command) => Cell::command(command),
                    None => Cell::or_dash::<String>(None),
                },
            ]);
        }
    }
    for cell in &report.cells {
        for of in &cell.shares {
            table.add([
                Cell::name(&of.text),
                Cell::text(&cell.name),
                Cell::held(format!("{} of {}", grouped(of.held), grouped(of.of)), of.holds),
                Cell::or_dash::<String>(None),
            ]);
        }
    }
    for of in &report.compare {
        table.add([
            Cell::name(&of.text),
            Cell::text("both"),
            Cell::held(format!("means {} and {}", of.first, of.second), of.holds),
            Cell::or_dash::<String>(None),
        ]);
    }
    table.html()
}

fn trouble(report: &SweepReport) -> Html {
    let headings = [
        "cell",
        "promise broken#",
        "broken as documented#",
        "unexplained#",
        "stuck#",
        "panicked#",
        "which",
    ];
    let mut table = Table::new("Seeds with broken promises or other trouble.", &headings);
    for cell in &report.cells {
        let of = &cell.violations;
        let names = of.by_name.iter().map(|name| match &name.known {
            Some(issue) => format!("{} ({issue}), first in seed {}", name.name, name.first_seed),
            None => format!("{}, first in seed {}", name.name, name.first_seed),
        });
        let names: Vec<String> = names.collect();
        table.add([
            Cell::name(&cell.name),
            Cell::bad_count(of.broken),
            Cell::count(of.known),
            Cell::bad_count(of.unexplained),
            Cell::bad_count(of.stuck),
            Cell::bad_count(cell.defects_total),
            Cell::or_dash((!names.is_empty()).then(|| names.join("; "))),
        ]);
    }
    table.html()
}

/// What each cell runs.
#[must_use]
pub fn settings(report: &SweepReport) -> Html {
    let headings = ["cell", "variant", "Kafka", "settings", "seeds#", "one history (add a seed)"];
    let mut table = Table::new("The cells. Each meets the same seeds.", &headings);
    for CellReport { name, variant, kafka, settings, seeds, run, .. } in &report.cells {
        table.add([
            Cell::name(name),
            Cell::text(variant),
            Cell::text(kafka),
            Cell::or_dash((!settings.is_empty()).then(|| settings.join(" "))),
            Cell::count(*seeds),
            Cell::command(run),
        ]);
    }
    table.html()
}
