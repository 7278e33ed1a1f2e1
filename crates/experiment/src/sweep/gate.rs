//! `--expect 'lost == 0 @ 95%'`: what has to hold, and how surely.
//!
//! `QUANTITY OP VALUE @ LEVEL%` says that in at least so many percent of all histories the number is
//! as it says. The seeds are a sample of them, so it is passed only if the sample shows it: if the
//! exact lower bound of the share (Clopper and Pearson, one-sided, 95 % confidence) reaches the
//! level. Wilson's interval, which tables print, would let too much through where seeds are few or
//! the level is low. If neither that nor the opposite is shown the seeds are too few to tell, which
//! does not pass either: a gate that lets through what nobody has shown is none. Without `@` it must
//! hold in every seed that is run, which says nothing of others.
//!
//! A cell's labels and a colon before it (`acks=all: lost == 0`) speak of these cells only. A label is
//! `PROPERTY=VALUE` or a variant's name, in double quotes if it has commas or colons in it.

use super::plan::{Cell, PlanError, VARIANT, Vary};
use super::report::{Dim, GateCell, GateFailure, GateOutcome, GateReport, Interval};
use super::row::{RowCounts, SeedRow};
use super::statistics::{exact_bounds, rounded, seeds_to_show, shows_at_least, shows_less};
use super::words;
use acklab_scenario::expect::{CounterUnit, Reach};
use acklab_scenario::{Bound, COMMIT_EXCEPTIONS, Counter, Expectation, Quantity, parse_duration};
use acklab_verdict::Cause;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::trace::ClientException;
use std::fmt;
use std::str::FromStr;

/// Something that has to hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Gate {
    /// As it was written.
    text: String,
    /// In which cells.
    cells: Vec<Label>,
    expectation: Expectation,
    /// In which share of all histories; `None` for every seed that is run.
    level: Option<f64>,
}

/// One value of a cell.
#[derive(Clone, Debug, PartialEq)]
struct Label {
    /// As it was written.
    text: String,
    /// If it is a variant's name: this one.
    variant: String,
    /// A property with its value.
    pair: Option<(String, String)>,
}

impl Label {
    fn of(text: &str) -> Label {
        let text = text.trim();
        let pair = text.split_once('=').filter(|_| !text.starts_with('"'));
        Label {
            text: text.to_owned(),
            variant: words::unquoted(text),
            pair: pair.map(|(name, value)| (name.trim().to_owned(), words::unquoted(value))),
        }
    }

    /// The value that it means, if it speaks of this dimension.
    fn value_in(&self, dim: &Dim) -> Option<&str> {
        match &self.pair {
            Some((name, value)) if dim.path == *name || dim.name == *name => Some(value),
            _ if dim.path == VARIANT && dim.values.contains(&self.variant) => Some(&self.variant),
            _ => None,
        }
    }
}

impl FromStr for Gate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (cells, rest) = match words::split(text, ": ").first() {
            Some(&cells) if cells.len() < text.len() => {
                let labels = words::split(cells, ", ").into_iter().map(Label::of).collect();
                (labels, &text[cells.len() + 2..])
            }
            _ => (Vec::new(), text),
        };
        let (rest, level) = match rest.split_once('@') {
            Some((rest, level)) => (rest, Some(level_of(level)?)),
            None => (rest, None),
        };
        let (name, operator, value) = split(rest)?;
        let quantity = quantity(name)?;
        let value = value_of(&quantity, value)?;
        let bound = bound(operator, value)?;
        let expectation = Expectation { quantity, bound };
        Ok(Gate { text: text.trim().to_owned(), cells, expectation, level })
    }
}

/// As it was written.
impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn level_of(text: &str) -> Result<f64, String> {
    let number = text.trim().strip_suffix('%').map(str::trim);
    let digits = |number: &&str| number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let level: f64 = number
        .filter(digits)
        .and_then(|number| number.parse().ok())
        .ok_or_else(|| format!("`{}` is no share of histories: write @ 95%", text.trim()))?;
    if level >= 100.0 {
        return Err("no number of seeds shows something of all histories: write a level below \
                    100%, or leave `@` out to ask for every seed that is run"
            .to_owned());
    }
    let level = rounded(level / 100.0);
    if level <= 0.0 || level >= 1.0 {
        return Err("a level is between 0.0001% and 99.9999%".to_owned());
    }
    Ok(level)
}

/// Longest first, so that none hides another.
const OPERATORS: [&str; 10] = ["==", "<=", ">=", "!=", "=", "<", ">", "≤", "≥", "≠"];

fn split(text: &str) -> Result<(&str, &str, &str), String> {
    let at = text
        .find(['=', '<', '>', '≤', '≥', '!', '≠'])
        .ok_or_else(|| format!("`{}` compares nothing: write {EXAMPLE}", text.trim()))?;
    let (name, rest) = text.split_at(at);
    let operator = OPERATORS.into_iter().find(|operator| rest.starts_with(operator));
    let operator =
        operator.ok_or_else(|| format!("`{}` is wrong: write {EXAMPLE}", rest.trim()))?;
    Ok((name.trim(), operator, rest[operator.len()..].trim()))
}

const EXAMPLE: &str = "it like 'lost == 0 @ 95%'";

fn bound(operator: &str, value: u64) -> Result<Bound, String> {
    match operator {
        "==" | "=" => Ok(Bound::Exactly(value)),
        "<=" | "≤" => Ok(Bound::AtMost(value)),
        ">=" | "≥" => Ok(Bound::AtLeast(value)),
        "<" => {
            value.checked_sub(1).map(Bound::AtMost).ok_or_else(|| "nothing is below 0".to_owned())
        }
        ">" => value.checked_add(1).map(Bound::AtLeast).ok_or_else(|| "too large".to_owned()),
        _ => Err("`!=` is not asked of a gate: write >= 1 instead of != 0".to_owned()),
    }
}

/// A counter, `cause NAME`, `commit_errors NAME`, `exceptions NAME`, `logged_exceptions NAME`,
/// `COUNTER of acked`, and those of one group after its name and a slash.
fn quantity(text: &str) -> Result<Quantity, String> {
    if let Some((group, rest)) = text.split_once('/') {
        let of = quantity(rest.trim())?;
        let fits = match &of {
            Quantity::Counter(counter) => counter.is_of_groups(),
            Quantity::Cause(_) | Quantity::CommitErrors(_) | Quantity::Exceptions(..) => true,
            Quantity::ShareOfAcked(_) | Quantity::OfGroup(..) => false,
        };
        if !fits {
            return Err(format!("a group has no `{}` of its own", rest.trim()));
        }
        return Ok(Quantity::OfGroup(group.trim().to_owned(), Box::new(of)));
    }
    if let Some(name) = text.strip_prefix("cause ") {
        let names = Cause::ALL.iter().map(|cause| cause.name());
        return known(name.trim(), "cause", names).map(Quantity::Cause);
    }
    if let Some(name) = text.strip_prefix("commit_errors ") {
        let codes = ErrorCode::ALL.iter().filter(|error| error.code() > 0);
        let names = codes.map(|error| error.name()).chain(COMMIT_EXCEPTIONS.iter().copied());
        return known(name.trim(), "error", names).map(Quantity::CommitErrors);
    }
    for reach in [Reach::Application, Reach::Log] {
        let word = snake_case(reach.name());
        if let Some(name) = text.strip_prefix(&word).filter(|rest| rest.starts_with(' ')) {
            let names = ClientException::ALL.iter().map(|exception| exception.name());
            let name = known(name.trim(), "exception", names)?;
            return Ok(Quantity::Exceptions(name, reach));
        }
    }
    match text.strip_suffix(" of acked") {
        Some(name) => counter(name.trim()).map(Quantity::ShareOfAcked),
        None => counter(text).map(Quantity::Counter),
    }
}

fn counter(text: &str) -> Result<Counter, String> {
    let found = Counter::ALL.iter().find(|counter| {
        counter.name().eq_ignore_ascii_case(text) || snake_case(counter.name()) == text
    });
    let names = || Counter::ALL.iter().map(|counter| snake_case(counter.name()));
    found.copied().ok_or_else(|| nothing_called(text, "counter", names().collect()))
}

fn known<'n>(
    name: &str,
    what: &str,
    names: impl Iterator<Item = &'n str> + Clone,
) -> Result<String, String> {
    match names.clone().any(|other| other == name) {
        true => Ok(name.to_owned()),
        false => Err(nothing_called(name, what, names.map(str::to_owned).collect())),
    }
}

fn nothing_called(name: &str, what: &str, names: Vec<String>) -> String {
    let near = names
        .into_iter()
        .map(|other| (strsim::damerau_levenshtein(name, &other), other))
        .filter(|&(distance, _)| distance <= name.chars().count().div_ceil(3))
        .min();
    match near {
        Some((_, other)) => format!("there is no {what} `{name}`; did you mean `{other}`?"),
        None => format!("there is no {what} `{name}`: write {EXAMPLE}"),
    }
}

/// `ProduceP99` becomes `produce_p99`.
pub(super) fn snake_case(name: &str) -> String {
    let mut text = String::new();
    for character in name.chars() {
        if character.is_ascii_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.push(character.to_ascii_lowercase());
    }
    text
}

fn value_of(quantity: &Quantity, text: &str) -> Result<u64, String> {
    match quantity {
        Quantity::OfGroup(_, quantity) => value_of(quantity, text),
        Quantity::Counter(counter) if counter.unit() == CounterUnit::Microseconds => {
            let duration = parse_duration(text);
            let duration = duration
                .map_err(|problem| format!("`{text}` is not a duration: {problem}; write 250ms"))?;
            Ok(duration.as_micros())
        }
        Quantity::ShareOfAcked(_) => {
            let number = text.strip_suffix('%').map(str::trim);
            let digits = |it: &&str| it.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
            let share: Option<f64> = number.filter(digits).and_then(|it| it.parse().ok());
            let share = share.filter(|share| *share <= 100.0);
            let share = share.ok_or_else(|| format!("`{text}` is no share: write 0.1%"))?;
            Ok((share * 10_000.0).round() as u64)
        }
        Quantity::Counter(_)
        | Quantity::Cause(_)
        | Quantity::CommitErrors(_)
        | Quantity::Exceptions(..) => {
            let digits = text.replace('_', "");
            digits.parse().map_err(|_| format!("`{text}` is not a count"))
        }
    }
}

impl Gate {
    /// Whether it speaks of cells and groups that there are.
    pub(super) fn check(&self, dims: &[Dim], cells: &[Cell]) -> Result<(), PlanError> {
        let wrong = |message: String, help: String| {
            Err(PlanError::usage(format!("--expect '{}': {message}", self.text), help))
        };
        for label in &self.cells {
            let found = dims.iter().find_map(|dim| Some((dim, label.value_in(dim)?)));
            let Some((dim, value)) = found else {
                let help = match dims {
                    [] => "vary something with --vary, or leave the cell out".to_owned(),
                    dims => {
                        let all: Vec<String> = dims.iter().map(in_words).collect();
                        format!("these are varied: {}", all.join("; "))
                    }
                };
                let what = label.pair.as_ref().map_or(&label.text, |(name, _)| name);
                return wrong(format!("`{what}` is not varied"), help);
            };
            if !dim.values.iter().any(|it| it == value) {
                let help = format!("these are varied: {}", in_words(dim));
                return wrong(format!("`{}` has no value `{value}`", dim.path), help);
            }
        }
        if self.chosen(dims, cells).next().is_none() {
            let help = "name one value of each property at the most".to_owned();
            return wrong("no cell has all of these values".to_owned(), help);
        }
        if let Quantity::OfGroup(group, _) = &self.expectation.quantity {
            let without = |(_, cell): &(usize, &Cell)| !cell.groups.contains(group);
            if let Some((_, cell)) = self.chosen(dims, cells).find(without) {
                let help = match cell.groups.as_slice() {
                    [] => "the scenario has no groups".to_owned(),
                    groups => format!("there is {}", groups.join(", ")),
                };
                return wrong(format!("there is no group `{group}`"), help);
            }
        }
        Ok(())
    }

    fn chosen<'c>(
        &self,
        dims: &[Dim],
        cells: &'c [Cell],
    ) -> impl Iterator<Item = (usize, &'c Cell)> {
        let has = |cell: &Cell, label: &Label| {
            let mut of = dims.iter().zip(&cell.labels);
            of.any(|(dim, value)| label.value_in(dim) == Some(value))
        };
        let of = move |cell: &Cell| self.cells.iter().all(|label| has(cell, label));
        cells.iter().enumerate().filter(move |(_, cell)| of(cell))
    }

    /// Holds the rows of all cells against it.
    pub(super) fn hold(&self, dims: &[Dim], cells: &[Cell], rows: &[Vec<SeedRow>]) -> GateReport {
        let cells = self.chosen(dims, cells).map(|(position, cell)| {
            let mut of = 0;
            let mut failures = Vec::new();
            let mut failed = 0;
            for row in &rows[position] {
                let Some(numbers) = row.numbers() else { continue };
                let counts = RowCounts { numbers, groups: &cell.groups };
                of += 1;
                let is_measured = numbers.has_measured(&self.expectation.quantity);
                if is_measured && self.expectation.holds(&counts) {
                    continue;
                }
                failed += 1;
                if failures.len() < FAILURES_KEPT {
                    failures.push(GateFailure {
                        seed: row.seed,
                        actual: match is_measured {
                            true => self.expectation.actual(&counts),
                            false => "nothing was measured".to_owned(),
                        },
                        run: cell.selection.command("run", row.seed, ""),
                    });
                }
            }
            gate_cell(position, of - failed, of, self.level, failures)
        });
        let cells: Vec<GateCell> = cells.collect();
        let held = !cells.is_empty() && cells.iter().all(|cell| cell.outcome == GateOutcome::Held);
        GateReport { text: self.sentence(), claim: self.claim(), level: self.level, cells, held }
    }

    fn sentence(&self) -> String {
        let cells: Vec<&str> = self.cells.iter().map(|label| label.text.as_str()).collect();
        match cells.is_empty() {
            true => self.claim(),
            false => format!("{}: {}", cells.join(", "), self.claim()),
        }
    }

    fn claim(&self) -> String {
        let share = match self.level {
            None => "every history that is run".to_owned(),
            Some(level) => format!("≥ {} % of histories", rounded(level * 100.0)),
        };
        format!("{} in {share}", self.expectation)
    }
}

/// `producers/acks=1,all`, as `--vary` takes it.
fn in_words(dim: &Dim) -> String {
    Vary { path: dim.path.clone(), values: dim.values.clone() }.to_string()
}

/// So many failing seeds are named.
const FAILURES_KEPT: usize = 10;

fn gate_cell(
    cell: usize,
    held: u64,
    of: u64,
    level: Option<f64>,
    failures: Vec<GateFailure>,
) -> GateCell {
    let (low, high) = exact_bounds(held, of);
    let share = Interval { estimate: rounded(held as f64 / of.max(1) as f64), low, high };
    let outcome = match level {
        None if held == of && of > 0 => GateOutcome::Held,
        None => GateOutcome::Failed,
        Some(level) if shows_at_least(held, of, level) => GateOutcome::Held,
        Some(level) if shows_less(held, of, level) => GateOutcome::Failed,
        Some(_) => GateOutcome::Inconclusive,
    };
    let seeds_needed = match (outcome, level) {
        (GateOutcome::Inconclusive, Some(level)) => seeds_to_show(held, of, level),
        _ => None,
    };
    GateCell { cell, held, of, share, outcome, seeds_needed, failures }
}

#[cfg(test)]
mod tests;
