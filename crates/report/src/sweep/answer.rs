//! What a sweep says, in words.

use acklab_experiment::sweep::report::{AnomalyReport, CellReport, Ended, SweepReport};
use acklab_verdict::AnomalyKind;
use acklab_verdict::names::{grouped, micros};

use super::numbers::{difference_of_times, ends, millionths, percent};

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
/// acks=all in none of 300`.
#[must_use]
pub fn headline(report: &SweepReport) -> String {
    let judged: Vec<&CellReport> = report.cells.iter().filter(|cell| cell.seeds > 0).collect();
    if judged.is_empty() {
        return "No history came to a verdict".to_owned();
    }
    let Some(kind) = subject(report) else {
        let histories = judged.iter().map(|cell| cell.seeds).sum::<u64>();
        let refused = judged.iter().map(|cell| Fates::of(cell).not_acked()).fold(0.0, f64::max);
        let refused = match is_telling(refused) {
            true => format!(", but up to {} of the records were not acked", percent(refused)),
            false => String::new(),
        };
        return format!("No record met with an anomaly in {}{refused}", histories_of(histories));
    };
    let verb = does(kind);
    if let [only] = judged.as_slice() {
        return capitalised(&format!("{verb} in {}", share_of(only, kind)));
    }
    let of_all = report.cells.len() - judged.len();
    let silent = match of_all {
        0 => String::new(),
        1 => "; 1 cell came to no verdict".to_owned(),
        more => format!("; {more} cells came to no verdict"),
    };
    if judged.len() > CELLS_NAMED {
        return format!("{}{silent}", extremes(&judged, kind));
    }
    let clauses: Vec<String> = judged
        .iter()
        .enumerate()
        .map(|(index, cell)| {
            let verb = if index == 0 { format!(" {verb}") } else { String::new() };
            format!("{}{verb} in {}", cell.name, share_of(cell, kind))
        })
        .collect();
    format!("{}{silent}", clauses.join("; "))
}

/// The worst cells and the best ones; how many there are of each, and between.
fn extremes(judged: &[&CellReport], kind: AnomalyKind) -> String {
    let risk =
        |cell: &CellReport| millionths(of(cell, kind).map_or(0.0, |of| of.probability.estimate));
    let does = does(kind);
    let all_do = do_all(kind);
    let risks = || judged.iter().map(|cell| risk(cell));
    let (least, most) = (risks().min().unwrap_or(0), risks().max().unwrap_or(0));
    let having = |wanted: i64| -> Vec<&CellReport> {
        judged.iter().copied().filter(|cell| risk(cell) == wanted).collect()
    };
    let clause = |cells: &[&CellReport]| match cells {
        [only] => format!("{} {does} in {}", only.name, share_of(only, kind)),
        several => {
            let share = share_of(several[0], kind);
            format!("{} of {} cells {all_do} in {share}", several.len(), judged.len())
        }
    };
    let (best, worst) = (having(least), having(most));
    if least == most {
        return format!("All {} cells {all_do} in {}", judged.len(), share_of(judged[0], kind));
    }
    match judged.len() - best.len() - worst.len() {
        0 => format!("{}; {}", clause(&worst), clause(&best)),
        1 => format!("{}; {}; 1 cell between", clause(&worst), clause(&best)),
        more => format!("{}; {}; {more} cells between", clause(&worst), clause(&best)),
    }
}

/// In which share of a cell's histories there is an anomaly; and whether that is because the cell
/// takes fewer records.
fn share_of(cell: &CellReport, kind: AnomalyKind) -> String {
    let share = of(cell, kind).map_or(0.0, |of| of.probability.estimate);
    let refused = Fates::of(cell).not_acked();
    let refused = match is_telling(refused) {
        true => format!(", but {} of its records are not acked", percent(refused)),
        false => String::new(),
    };
    match share {
        0.0 => format!("none of {}{refused}", grouped(cell.seeds)),
        1.0 => "every history".to_owned(),
        share => format!("{} of histories", percent(share)),
    }
}

/// What became of a cell's records on average, as shares of those sent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Fates {
    /// Reported as stored.
    pub acked: f64,
    /// Reported as failed.
    pub failed: f64,
    /// Never reported.
    pub unknown: f64,
    /// In a transaction that was aborted.
    pub aborted: f64,
}

impl Fates {
    /// Those of a cell; nothing if it sent nothing.
    #[must_use]
    pub fn of(cell: &CellReport) -> Fates {
        let mean = |name: &str| cell.counters.get(name).map_or(0.0, |of| of.mean);
        let sent = mean("sent");
        let share = |name: &str| if sent > 0.0 { mean(name) / sent } else { 0.0 };
        Fates {
            acked: share("acked"),
            failed: share("failed"),
            unknown: share("unknown"),
            aborted: share("aborted"),
        }
    }

    /// Failed, or never reported: for these records the cluster was not there.
    #[must_use]
    pub fn not_acked(&self) -> f64 {
        self.failed + self.unknown
    }

    /// `acked 97.9 % of its records, failed 2.1 %, unknown 0 %`; `None` if nothing was sent.
    fn words(&self) -> Option<String> {
        if self.acked + self.not_acked() + self.aborted == 0.0 {
            return None;
        }
        let rest = [("failed", self.failed), ("unknown", self.unknown), ("aborted", self.aborted)];
        let rest = rest.into_iter().filter(|(_, share)| *share > 0.0);
        let rest: String =
            rest.map(|(name, share)| format!(", {} {name}", percent(share))).collect();
        Some(match rest.is_empty() {
            true => "every record acked".to_owned(),
            false => format!("{} of records acked{rest}", percent(self.acked)),
        })
    }
}

/// A share that shows in percent with one digit.
fn is_telling(share: f64) -> bool {
    share >= 0.000_5
}

/// How grave a clause is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// What records have suffered.
    Bad,
    /// Nothing has gone wrong.
    Good,
    /// Neither.
    Plain,
}

/// A part of what is said of a cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clause {
    /// How grave.
    pub tone: Tone,
    /// The words that the tone is of.
    pub lead: String,
    /// What follows.
    pub rest: String,
}

impl Clause {
    fn new(tone: Tone, lead: &str, rest: String) -> Clause {
        Clause { tone, lead: lead.to_owned(), rest }
    }
}

/// What a cell does to records, and what it costs: against the first cell, if they were compared.
#[must_use]
pub fn clauses(report: &SweepReport, position: usize) -> Vec<Clause> {
    let Some(cell) = report.cells.get(position) else { return Vec::new() };
    if cell.seeds == 0 {
        return vec![Clause::new(Tone::Bad, "no history came to a verdict", String::new())];
    }
    let mut clauses: Vec<Clause> =
        cell.anomalies.iter().filter(|of| of.seeds_with > 0).map(suffered).collect();
    if clauses.is_empty() {
        let none = cell.anomalies.first().map(|of| ends(&of.probability)).unwrap_or_default();
        let processing = if cell.groups.is_empty() { "" } else { ", processed again or skipped" };
        let lead = format!("nothing lost, duplicated or out of order{processing}");
        let rest = format!(" in {}: 0 % {none}", histories_of(cell.seeds));
        clauses.push(Clause::new(Tone::Good, &lead, rest));
    }
    let fates = Fates::of(cell);
    if let Some(words) = fates.words() {
        let tone = if is_telling(fates.not_acked()) { Tone::Bad } else { Tone::Plain };
        clauses.push(Clause::new(tone, &words, String::new()));
    }
    let produce = &cell.latency.produce;
    if produce.records > 0 {
        let (half, most) = (micros(produce.p50), micros(produce.p99));
        let against = against_first(report, position).unwrap_or_default();
        let words = format!("acked in {half} (p50), {most} (p99){against}");
        clauses.push(Clause::new(Tone::Plain, "", words));
    }
    clauses
}

/// What a cell does to records, and what it costs.
#[must_use]
pub fn sentence(report: &SweepReport, position: usize) -> String {
    let clauses = clauses(report, position);
    let words = clauses.iter().map(|Clause { lead, rest, .. }| format!("{lead}{rest}"));
    words.collect::<Vec<_>>().join("; ")
}

/// How much longer a history's records take than in the first cell, seed by seed: percentiles of
/// all records together do not say that.
fn against_first(report: &SweepReport, position: usize) -> Option<String> {
    let compared = report.comparisons.iter();
    let compared = compared.clone().find(|of| (of.first, of.second) == (0, position))?;
    let difference = |quantity: &str| {
        let of = compared.means.iter().find(|of| of.quantity == quantity)?;
        let (difference, ends) = difference_of_times(&of.difference);
        // Of what never varies no interval can be told.
        let varies = of.difference.low < of.difference.high;
        Some(if varies { format!("{difference} {ends}") } else { difference })
    };
    let (half, most) = (difference("produce_p50")?, difference("produce_p99")?);
    let first = &report.cells.first()?.name;
    Some(format!("; in a history p50 {half}, p99 {most} against {first}"))
}

fn suffered(of: &AnomalyReport) -> Clause {
    let share = percent(of.probability.estimate);
    let (median, most) = (of.counts_if_any.p50, of.counts_if_any.max);
    let many = match median == most {
        true => format!("then {}", grouped(most)),
        false => format!("then median {}, worst {}", grouped(median), grouped(most)),
    };
    let rest = format!(" in {share} of histories {}, {many}", ends(&of.probability));
    Clause::new(Tone::Bad, does(of.anomaly), rest)
}

/// `lose records`
#[must_use]
pub fn do_all(kind: AnomalyKind) -> String {
    let does = does(kind);
    let (verb, rest) = does.split_once(' ').unwrap_or((does, ""));
    format!("{} {rest}", plural_of(verb))
}

fn plural_of(verb: &str) -> &str {
    match verb {
        "processes" => "process",
        verb => verb.trim_end_matches('s'),
    }
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
