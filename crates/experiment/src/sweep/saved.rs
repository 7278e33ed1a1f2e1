//! A sweep on disk: written when it is interrupted, read to go on.
//!
//! Lines of JSON. The first says what was swept, down to the scenario's text; then come the
//! distributions of latency of each cell, then one row for each seed and cell, the cells of a seed
//! together. A sweep goes on only from a file that says exactly what it would have done itself: the
//! result is then the same, byte for byte, as if nothing had interrupted it. Where to stop, and what
//! has to hold, is no part of what was done: another width or gate may be asked for.

use super::Collected;
use super::plan::{SweepPlan, Vary};
use super::row::{Done, SeedResult, SeedRow};
use crate::parallel::in_order;
use acklab_scenario::Counter;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, Write};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;

/// Changes whenever files of before cannot be read any more.
const FORMAT: u32 = 2;

/// What was swept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Header {
    acklab_sweep: u32,
    acklab: String,
    scenario: String,
    variant: String,
    settings: Vec<String>,
    vary: Vec<(String, Vec<String>)>,
    faults: Option<String>,
    first_seed: u64,
    cells: usize,
    seeds_done: u64,
    counters: Vec<String>,
    text: String,
}

/// How many records took so long: times in microseconds with counts.
type Sparse = Vec<(u64, u64)>;

#[derive(Serialize, Deserialize)]
struct CellLatency {
    cell: usize,
    produce: Sparse,
    end_to_end: Sparse,
}

/// Why a sweep cannot go on from a file.
#[derive(Debug, thiserror::Error)]
pub enum SavedError {
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It is not one, or not a whole one.
    #[error("line {line}: {problem}")]
    Damaged {
        /// Where.
        line: usize,
        /// What is wrong there.
        problem: String,
    },
    /// It is of another sweep.
    #[error("it is of another sweep: {}", .0.join("; "))]
    Foreign(Vec<String>),
    /// It is of another build of acklab, in which histories are others.
    #[error(
        "it is of another build of acklab: seed {seed} of {cell} comes to something else now, and \
         seeds of two builds are no sample of either"
    )]
    Rebuilt {
        /// Name of the first cell that differs.
        cell: String,
        /// The seed that was run again.
        seed: u64,
    },
}

impl Header {
    fn of(plan: &SweepPlan, collected: &Collected) -> Header {
        let options = &plan.options;
        Header {
            acklab_sweep: FORMAT,
            acklab: env!("CARGO_PKG_VERSION").to_owned(),
            scenario: plan.name.clone(),
            variant: options.variant.clone(),
            settings: options.sets.iter().map(ToString::to_string).collect(),
            vary: options.vary.iter().map(|it| (it.path.clone(), it.values.clone())).collect(),
            faults: plan.faults.clone(),
            first_seed: options.seeds.nth(0),
            cells: plan.cells.len(),
            seeds_done: collected.seeds_done(),
            counters: Counter::ALL.iter().map(|counter| counter.name().to_owned()).collect(),
            text: plan.text.clone(),
        }
    }

    /// What in the file's header differs from what this sweep would write.
    fn differences(&self, ours: &Header, plan: &SweepPlan) -> Vec<String> {
        let mut differences = Vec::new();
        let mut differ = |what: &str, theirs: &str, ours: &str| {
            if theirs != ours {
                differences.push(format!("{what} is {theirs} there, {ours} here"));
            }
        };
        differ("the file's format", &self.acklab_sweep.to_string(), &FORMAT.to_string());
        differ("the version of acklab", &self.acklab, &ours.acklab);
        differ("the scenario", &self.scenario, &ours.scenario);
        differ("the variant", &self.variant, &ours.variant);
        differ("--set", &joined(&self.settings), &joined(&ours.settings));
        differ("--vary", &grid(&self.vary), &grid(&ours.vary));
        differ("the first seed", &self.first_seed.to_string(), &ours.first_seed.to_string());
        if self.scenario == ours.scenario && self.text != ours.text {
            let line = first_difference(&self.text, &ours.text);
            differences.push(format!("the scenario's text has changed at line {line}"));
        }
        if self.faults != ours.faults {
            differences.push("the faults of --faults are others".to_owned());
        }
        if differences.is_empty() && (self.counters != ours.counters || self.cells != ours.cells) {
            differences.push("it was written by another build of acklab".to_owned());
        }
        let asked = plan.seeds().count();
        if self.seeds_done > asked {
            let end = self.first_seed.saturating_add(self.seeds_done);
            let theirs = format!("{}..{end}", self.first_seed);
            differences.push(format!(
                "it has the seeds {theirs}, more than {}: ask for as many or more",
                plan.seeds()
            ));
        }
        differences
    }
}

fn joined(settings: &[String]) -> String {
    if settings.is_empty() { "none".to_owned() } else { settings.join(", ") }
}

fn grid(vary: &[(String, Vec<String>)]) -> String {
    let text = |(path, values): &(String, Vec<String>)| {
        Vary { path: path.clone(), values: values.clone() }.to_string()
    };
    joined(&vary.iter().map(text).collect::<Vec<_>>())
}

fn first_difference(one: &str, other: &str) -> usize {
    let mut lines = one.lines().zip(other.lines());
    let differs = lines.position(|(one, other)| one != other);
    differs.unwrap_or_else(|| one.lines().count().min(other.lines().count())) + 1
}

/// Writes what is collected.
///
/// # Errors
/// It cannot be written.
pub fn write(plan: &SweepPlan, collected: &Collected, to: &mut impl Write) -> io::Result<()> {
    line(to, &Header::of(plan, collected))?;
    for (cell, [produce, end_to_end]) in collected.latency.iter().enumerate() {
        let (produce, end_to_end) = (sparse(produce), sparse(end_to_end));
        line(to, &CellLatency { cell, produce, end_to_end })?;
    }
    for seed in 0..collected.seeds_done() as usize {
        for rows in &collected.rows {
            line(to, &rows[seed])?;
        }
    }
    Ok(())
}

fn line(to: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *to, value)?;
    to.write_all(b"\n")
}

fn sparse(histogram: &Histogram<u64>) -> Sparse {
    let recorded = histogram.iter_recorded();
    recorded.map(|it| (it.value_iterated_to(), it.count_since_last_iteration())).collect()
}

/// Reads what a sweep of the same plan has collected.
///
/// # Errors
/// Every variant of [`SavedError`].
pub fn read(plan: &SweepPlan, from: impl BufRead) -> Result<Collected, SavedError> {
    let mut collected = Collected::new(plan);
    let mut lines = Lines { lines: from.lines(), line: 0 };
    let header: Header = lines.next("not a file that `acklab sweep` has saved")?;
    let differences = header.differences(&Header::of(plan, &collected), plan);
    if !differences.is_empty() {
        return Err(SavedError::Foreign(differences));
    }
    for position in 0..plan.cells.len() {
        let CellLatency { cell, produce, end_to_end } = lines.next("no distribution of times")?;
        if cell != position {
            return Err(lines.damaged("the cells are out of order"));
        }
        for (histogram, sparse) in collected.latency[cell].iter_mut().zip([produce, end_to_end]) {
            for (micros, count) in sparse {
                let entered = histogram.record_n(micros, count);
                entered.map_err(|_| lines.damaged("a time that is too long"))?;
            }
        }
    }
    for position in 0..header.seeds_done {
        for cell in 0..plan.cells.len() {
            let row: SeedRow = lines.next("no row of a seed")?;
            if row.seed != plan.seeds().nth(position) {
                return Err(lines.damaged("the seeds are out of order"));
            }
            check(&row, plan, cell).map_err(|problem| lines.damaged(problem))?;
            collected.add_row(cell, row);
        }
    }
    if lines.lines.next().is_some() {
        lines.line += 1;
        return Err(lines.damaged("more rows than its first line says"));
    }
    Ok(collected)
}

/// Runs the first seed of each cell again: a version's number does not tell builds apart, but what a
/// seed comes to does.
///
/// # Errors
/// [`SavedError::Rebuilt`] if one comes to something else than what is saved.
pub fn check_first_seed(
    plan: &SweepPlan,
    collected: &Collected,
    jobs: NonZeroUsize,
) -> Result<(), SavedError> {
    let seed = plan.seeds().nth(0);
    let cells = if collected.seeds_done() == 0 { 0 } else { plan.cells.len() as u64 };
    let mut differs = None;
    in_order(
        jobs,
        cells,
        |cell| {
            let cell = &plan.cells[cell as usize];
            Done::run(&cell.case, &cell.groups, seed).row
        },
        |cell, row| match collected.rows[cell as usize].first() == Some(&row) {
            true => ControlFlow::Continue(()),
            false => {
                differs = Some(cell as usize);
                ControlFlow::Break(())
            }
        },
    );
    match differs {
        None => Ok(()),
        Some(cell) => Err(SavedError::Rebuilt { cell: plan.cells[cell].name.clone(), seed }),
    }
}

/// A row has as many numbers as the rows of its cell have.
fn check(row: &SeedRow, plan: &SweepPlan, cell: usize) -> Result<(), &'static str> {
    let SeedResult::Judged(numbers) = &row.result else { return Ok(()) };
    let cell = &plan.cells[cell];
    let whole = numbers.counters.len() == Counter::ALL.len()
        && numbers.groups.len() == cell.groups.len()
        && numbers.partitions.len() == cell.partitions.len();
    if whole { Ok(()) } else { Err("a row with other numbers than this sweep's") }
}

struct Lines<B: BufRead> {
    lines: io::Lines<B>,
    line: usize,
}

impl<B: BufRead> Lines<B> {
    fn next<T: for<'de> Deserialize<'de>>(&mut self, otherwise: &str) -> Result<T, SavedError> {
        self.line += 1;
        let line = match self.lines.next() {
            Some(line) => line.map_err(|error| match error.kind() {
                io::ErrorKind::InvalidData => self.damaged(otherwise),
                _ => SavedError::Io(error),
            })?,
            None => return Err(self.damaged(&format!("the file ends here: {otherwise}"))),
        };
        serde_json::from_str(&line).map_err(|_| self.damaged(otherwise))
    }

    fn damaged(&self, problem: &str) -> SavedError {
        SavedError::Damaged { line: self.line, problem: problem.to_owned() }
    }
}

#[cfg(test)]
mod tests;
