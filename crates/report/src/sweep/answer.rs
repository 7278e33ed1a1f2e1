//! What a sweep says, in words.

use acklab_experiment::sweep::report::{AnomalyReport, CellReport, Ended, SweepReport};
use acklab_verdict::AnomalyKind;
use acklab_verdict::names::{grouped, micros};

use super::numbers::{ends, percent, signed, time};

/// So many cells are named in the first sentence; of more, the best and the worst.
const CELLS_NAMED: usize = 4;

/// The kind of anomaly that the sweep is about: the first in the order of kinds that any cell has.
#[must_use]
pub fn subject(report: &SweepReport) -> Option<AnomalyKind> {
    let has = |kind: &&AnomalyKind| {
        report.cells.iter().any(|cell| of(cell, **kind).is_some_and(|of| of.seeds_with > 0))
    };
    let order = [
        AnomalyKind::Lost,
        AnomalyKind::Skipped,
        AnomalyKind::Ghost,
        AnomalyKind::Reprocessed,
        AnomalyKind::Duplicated,
        AnomalyKind::Phantom,
        AnomalyKind::Reordered,
    ];
    order.iter().find(has).copied()
}

/// What a cell has of a kind.
#[must_use]
pub fn of(cell: &CellReport, kind: AnomalyKind) -> Option<&AnomalyReport> {
    cell.anomalies.iter().find(|of| of.anomaly == kind)
}

/// The answer in one sentence: `acks=0 loses records in every history; acks=1 in 91.3 % of them;
/// acks=all in none`.
#[must_use]
pub fn headline(report: &SweepReport) -> String {
    let judged: Vec<&CellReport> = report.cells.iter().filter(|cell| cell.seeds > 0).collect();
    if judged.is_empty() {
        return "No history came to a verdict".to_owned();
    }
    let Some(kind) = subject(report) else {
        let histories = judged.iter().map(|cell| cell.seeds).sum::<u64>();
        return format!("No record met with an anomaly in {}", histories_of(histories));
    };
    let clause = |cell: &CellReport, verb: &str| {
        let share = of(cell, kind).map_or(0.0, |of| of.probability.estimate);
        let share = match share {
            0.0 => "none".to_owned(),
            1.0 => "every history".to_owned(),
            share => format!("{} of histories", percent(share)),
        };
        format!("{}{verb} in {share}", cell.name)
    };
    let verb = format!(" {}", does(kind));
    if judged.len() == 1 {
        let only = clause(judged[0], &verb);
        return capitalised(only.strip_prefix(&judged[0].name).unwrap_or(&only).trim_start());
    }
    let mut named = judged.clone();
    if named.len() > CELLS_NAMED {
        let risk = |cell: &&CellReport| {
            super::numbers::millionths(of(cell, kind).map_or(0.0, |of| of.probability.estimate))
        };
        let worst = judged.iter().rev().max_by_key(|cell| risk(cell)).copied();
        let best = judged.iter().min_by_key(|cell| risk(cell)).copied();
        named = worst.into_iter().chain(best).collect();
    }
    let clauses = named.iter().enumerate();
    let clauses: Vec<String> =
        clauses.map(|(index, cell)| clause(cell, if index == 0 { &verb } else { "" })).collect();
    let rest = judged.len() - named.len();
    let rest = if rest == 0 { String::new() } else { format!("; {rest} cells between") };
    format!("{}{rest}", clauses.join("; "))
}

/// What a cell does to records, and what it costs, against the first cell.
#[must_use]
pub fn sentence(cell: &CellReport, first: Option<&CellReport>) -> String {
    if cell.seeds == 0 {
        return "no history came to a verdict".to_owned();
    }
    let mut parts: Vec<String> =
        cell.anomalies.iter().filter(|of| of.seeds_with > 0).map(suffered).collect();
    if parts.is_empty() {
        let none = cell.anomalies.first().map(|of| ends(&of.probability)).unwrap_or_default();
        parts.push(format!(
            "nothing lost, duplicated or out of order in {} {none} %",
            histories_of(cell.seeds)
        ));
    }
    let produce = &cell.latency.produce;
    if produce.records > 0 {
        let against = first
            .filter(|first| first.name != cell.name && first.latency.produce.records > 0)
            .map(|first| {
                let more = produce.p99 as f64 - first.latency.produce.p99 as f64;
                format!(", {} against {}", signed(more, time), first.name)
            });
        let (half, most) = (micros(produce.p50), micros(produce.p99));
        let against = against.unwrap_or_default();
        parts.push(format!("acked in {half} (p50), {most} (p99{against})"));
    }
    parts.join("; ")
}

fn suffered(of: &AnomalyReport) -> String {
    let share = match of.probability.estimate {
        1.0 => "every history".to_owned(),
        share => format!("{} of histories", percent(share)),
    };
    let (median, most) = (of.counts_if_any.p50, of.counts_if_any.max);
    let many = match median == most {
        true => format!("then {}", grouped(most)),
        false => format!("then median {}, worst {}", grouped(median), grouped(most)),
    };
    format!("{} in {share} {}, {many}", does(of.anomaly), ends(&of.probability))
}

/// What happens to records, as a verb.
#[must_use]
pub const fn does(kind: AnomalyKind) -> &'static str {
    match kind {
        AnomalyKind::Lost => "loses records",
        AnomalyKind::Phantom => "stores records reported as failed",
        AnomalyKind::Duplicated => "duplicates records",
        AnomalyKind::Reordered => "reorders records",
        AnomalyKind::Reprocessed => "processes records again",
        AnomalyKind::Skipped => "skips records",
        AnomalyKind::Ghost => "processes records that are then gone",
    }
}

/// How far the sweep has come, if it did not come to its end.
#[must_use]
pub fn unfinished(report: &SweepReport) -> Option<String> {
    let (done, asked) = (grouped(report.seeds_done), grouped(report.seeds.count()));
    match report.ended {
        Ended::Complete => None,
        Ended::NarrowEnough => Some(format!(
            "Stopped after {done} of {asked} seeds: the intervals are as narrow as was asked for."
        )),
        Ended::Interrupted => Some(format!(
            "Interrupted after {done} of {asked} seeds. All that follows is of these {done}."
        )),
    }
}

/// `1 history`, `300 histories`
#[must_use]
pub fn histories_of(number: u64) -> String {
    if number == 1 { "1 history".to_owned() } else { format!("{} histories", grouped(number)) }
}

/// With a capital letter.
#[must_use]
pub fn capitalised(words: &str) -> String {
    let mut letters = words.chars();
    letters
        .next()
        .map_or_else(String::new, |first| format!("{}{}", first.to_uppercase(), letters.as_str()))
}
