//! What a sweep runs: every combination of the varied values, each on the same seeds.

use super::gate::Gate;
use super::report::Dim;
use super::words;
use crate::case::Case;
use crate::seeds::Seeds;
use acklab_scenario::{BASE, Comparison, Diagnostic, ScenarioFile, Setting, write_faults};
use acklab_verdict::AnomalyKind;
use acklab_vocab::time::SimDuration;
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// What is asked of a sweep, besides the scenario.
#[derive(Clone, Debug)]
pub struct SweepOptions {
    /// The seeds that every cell meets.
    pub seeds: Seeds,
    /// The variant that is run, where variants are not varied.
    pub variant: String,
    /// Settings of all cells.
    pub sets: Vec<Setting>,
    /// What is varied.
    pub vary: Vec<Vary>,
    /// When to stop early.
    pub until_width: Option<UntilWidth>,
    /// What has to hold.
    pub gates: Vec<Gate>,
}

/// `OWNER/PROPERTY=V1,V2`, or `variant=NAME,NAME`; a value with commas in it stands in quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vary {
    /// What: `producers/acks`.
    pub path: String,
    /// Its values, two or more, each once.
    pub values: Vec<String>,
}

/// Stop as soon as the 95 % interval of an anomaly's probability is narrow enough: in every cell,
/// decided after each seed in their order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UntilWidth {
    /// The interval of which anomaly; `None` for the widest of all.
    pub anomaly: Option<AnomalyKind>,
    /// From end to end, above 0 and at most 1.
    pub width: f64,
}

/// Why something cannot be swept.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// The scenario, a variant or a setting is wrong.
    #[error("{} found", count_of(.0.len()))]
    Scenario(Vec<Diagnostic>),
    /// Something about the varied values, or about what has to hold.
    #[error("{message}")]
    Usage {
        /// What is wrong.
        message: String,
        /// What to do about it.
        help: String,
    },
}

fn count_of(mistakes: usize) -> String {
    if mistakes == 1 { "1 mistake".to_owned() } else { format!("{mistakes} mistakes") }
}

impl PlanError {
    pub(super) fn usage(message: impl Into<String>, help: impl Into<String>) -> PlanError {
        PlanError::Usage { message: message.into(), help: help.into() }
    }
}

/// A sweep, resolved: what [`run`](super::run) runs.
#[derive(Clone, Debug)]
pub struct SweepPlan {
    pub(super) name: String,
    pub(super) text: String,
    pub(super) command: String,
    pub(super) options: SweepOptions,
    pub(super) dims: Vec<Dim>,
    pub(super) cells: Vec<Cell>,
    pub(super) faults: Option<String>,
    /// What the scenario says of its variants against each other.
    pub(super) relations: Vec<Comparison>,
    warnings: Vec<Diagnostic>,
}

/// One combination of the varied values.
#[derive(Clone, Debug)]
pub struct Cell {
    /// In short: `acks=all, kafka=3.9`.
    pub name: String,
    /// The value of each dimension.
    pub labels: Vec<String>,
    /// The variant of the scenario.
    pub variant: String,
    /// All settings on top of it, those of the dimensions last.
    pub sets: Vec<Setting>,
    /// Its settings are the scenario's own.
    pub as_written: bool,
    /// The scenario expects something of its own settings that it is not held against.
    pub(super) dropped: bool,
    /// What runs.
    pub case: Case,
    /// Names of the consumer applications.
    pub groups: Vec<String>,
    /// Names of the partitions, those of the brokers' own topics left out.
    pub partitions: Vec<String>,
    /// How the command line asks for it: the scenario, then the options.
    pub selection: Selection,
}

/// The words of a command line that select what runs, as a shell reads them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// The scenario.
    pub scenario: String,
    /// Variant and settings, each option after a space.
    pub options: String,
}

impl Selection {
    /// The command line that does something with one seed.
    #[must_use]
    pub fn command(&self, verb: &str, seed: u64, more: &str) -> String {
        let Selection { scenario, options } = self;
        format!("acklab {verb} {scenario} --seed {seed}{options}{more}")
    }
}

impl SweepPlan {
    /// Resolves every cell. `select` writes how a command line asks for a variant with settings;
    /// `command` is the one that asks for this sweep.
    ///
    /// # Errors
    /// Every variant of [`PlanError`].
    pub fn new(
        file: &ScenarioFile,
        options: SweepOptions,
        command: &str,
        select: impl Fn(&str, &[Setting]) -> Selection,
    ) -> Result<SweepPlan, PlanError> {
        check_vary(&options)?;
        let dims = dims(&options.vary);
        let mut plan = SweepPlan {
            name: file.name().to_owned(),
            text: file.text().to_owned(),
            command: command.to_owned(),
            dims,
            cells: Vec::new(),
            faults: None,
            relations: file.comparisons().to_vec(),
            warnings: Vec::new(),
            options,
        };
        let mut errors = Vec::new();
        for labels in combinations(&plan.dims) {
            let (variant, sets) = plan.settings_of(&labels)?;
            match file.resolve(&variant, &sets) {
                Ok(mut resolved) => {
                    add_warnings(&mut plan.warnings, std::mem::take(&mut resolved.warnings));
                    let selection = select(&variant, &sets);
                    let cell = plan.cell(labels, variant, sets, Case::from(resolved), selection);
                    plan.cells.push(cell);
                }
                Err(found) => add_new(&mut errors, found),
            }
        }
        if !errors.is_empty() {
            return Err(PlanError::Scenario(errors));
        }
        for gate in &plan.options.gates {
            gate.check(&plan.dims, &plan.cells)?;
        }
        Ok(plan)
    }

    fn settings_of(&self, labels: &[String]) -> Result<(String, Vec<Setting>), PlanError> {
        let mut variant = self.options.variant.clone();
        let mut sets = self.options.sets.clone();
        for (dim, value) in self.dims.iter().zip(labels) {
            if dim.path == VARIANT {
                variant.clone_from(value);
                continue;
            }
            sets.push(Setting::new(&dim.path, value).map_err(|error| {
                PlanError::usage(error.to_string(), "write --vary OWNER/PROPERTY=V1,V2")
            })?);
        }
        Ok((variant, sets))
    }

    fn cell(
        &self,
        labels: Vec<String>,
        variant: String,
        sets: Vec<Setting>,
        mut case: Case,
        selection: Selection,
    ) -> Cell {
        let as_written = sets.is_empty();
        let dropped = !as_written && case.promises_only();
        let name = match self.dims.is_empty() {
            true => variant.clone(),
            false => cell_name(&self.dims, &labels),
        };
        let groups = case.scenario.groups.iter().map(|group| group.name.clone()).collect();
        let topics = case.scenario.topics.iter().filter(|topic| !topic.internal);
        let partitions = topics.flat_map(|topic| {
            (0..topic.assignments.len()).map(|partition| format!("{}-{partition}", topic.name))
        });
        let partitions = partitions.collect();
        Cell {
            name,
            labels,
            variant,
            sets,
            as_written,
            dropped,
            case,
            groups,
            partitions,
            selection,
        }
    }

    /// Lets other faults strike in every cell than the scenario's own.
    ///
    /// # Errors
    /// Whatever `replace` says.
    pub fn replace_faults<E>(
        &mut self,
        replace: impl Fn(&mut Case) -> Result<(), E>,
    ) -> Result<(), E> {
        for cell in &mut self.cells {
            replace(&mut cell.case)?;
            cell.dropped |= cell.case.promises_only();
            cell.as_written = false;
        }
        let first = &self.cells.first().map(|cell| &cell.case.scenario);
        self.faults = first.map(|scenario| write_faults(&scenario.faults, scenario));
        Ok(())
    }

    /// What is odd about it, each thing once.
    #[must_use]
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }

    /// The cells, the last dimension fastest.
    #[must_use]
    pub fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// What is varied.
    #[must_use]
    pub fn dims(&self) -> &[Dim] {
        &self.dims
    }

    /// The seeds that are asked for.
    #[must_use]
    pub fn seeds(&self) -> Seeds {
        self.options.seeds
    }

    /// How many histories these are.
    #[must_use]
    pub fn runs(&self) -> u64 {
        self.options.seeds.count().saturating_mul(self.cells.len() as u64)
    }

    /// The scenario's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// The path that varies the variant.
pub(super) const VARIANT: &str = "variant";

fn check_vary(options: &SweepOptions) -> Result<(), PlanError> {
    let mut seen = BTreeSet::new();
    for vary in &options.vary {
        if !seen.insert(vary.path.as_str()) {
            let message = format!("`{}` is varied twice", vary.path);
            return Err(PlanError::usage(message, "give all its values in one --vary"));
        }
        if options.sets.iter().any(|set| set.path().trim() == vary.path) {
            let message = format!("`{}` is both set and varied", vary.path);
            return Err(PlanError::usage(message, "leave out one of --set and --vary"));
        }
        if vary.path == VARIANT && options.variant != BASE {
            let message = "the variant is both chosen and varied";
            return Err(PlanError::usage(message, "leave out one of --variant and --vary variant"));
        }
    }
    Ok(())
}

fn dims(vary: &[Vary]) -> Vec<Dim> {
    let short = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
    let all: Vec<String> = vary.iter().map(|vary| short(&vary.path)).collect();
    let dim = |vary: &Vary| {
        let name = short(&vary.path);
        let ambiguous = all.iter().filter(|other| **other == name).count() > 1;
        let name = if ambiguous { vary.path.clone() } else { name };
        Dim { path: vary.path.clone(), name, values: vary.values.clone() }
    };
    vary.iter().map(dim).collect()
}

/// Every combination of values, the last dimension fastest.
fn combinations(dims: &[Dim]) -> Vec<Vec<String>> {
    dims.iter().fold(vec![Vec::new()], |rows, dim| {
        let longer = |row: &Vec<String>| {
            let row = row.clone();
            dim.values.iter().map(move |value| {
                let mut row = row.clone();
                row.push(value.clone());
                row
            })
        };
        rows.iter().flat_map(longer).collect()
    })
}

fn cell_name(dims: &[Dim], labels: &[String]) -> String {
    let part = |(dim, value): (&Dim, &String)| match dim.path == VARIANT {
        true => value.clone(),
        false => format!("{}={value}", dim.name),
    };
    dims.iter().zip(labels).map(part).collect::<Vec<_>>().join(", ")
}

/// What is odd about a setting is odd in every cell, whatever its value.
fn add_warnings(all: &mut Vec<Diagnostic>, found: Vec<Diagnostic>) {
    let is_known = |all: &[Diagnostic], it: &Diagnostic| {
        all.iter()
            .any(|other| it.path.is_none() && other.path.is_none() && it.message == other.message)
    };
    for warning in found {
        if !is_known(all, &warning) {
            add_new(all, vec![warning]);
        }
    }
}

fn add_new(all: &mut Vec<Diagnostic>, found: Vec<Diagnostic>) {
    for diagnostic in found {
        if !all.contains(&diagnostic) {
            all.push(diagnostic);
        }
    }
}

impl FromStr for Vary {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let help = "write OWNER/PROPERTY=V1,V2, for instance producers/acks=0,1,all, or \
                    variant=base,NAME";
        let (path, values) = text.split_once('=').ok_or_else(|| help.to_owned())?;
        let path = path.trim();
        let values: Vec<String> =
            words::split(values, ",").into_iter().map(words::unquoted).collect();
        if path.is_empty() || values.iter().any(String::is_empty) {
            return Err(help.to_owned());
        }
        if values.len() < 2 {
            return Err(format!("one value varies nothing: {help}"));
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = values.iter().find(|value| !seen.insert(value.as_str())) {
            return Err(format!("`{twice}` stands there twice"));
        }
        Ok(Vary { path: path.to_owned(), values })
    }
}

impl FromStr for UntilWidth {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let help = || "write a width such as 0.05 or 5%, or lost=5%".to_owned();
        let (anomaly, width) = match text.split_once('=') {
            Some((name, width)) => (Some(anomaly_named(name.trim())?), width),
            None => (None, text),
        };
        let width = width.trim();
        let (number, scale) = match width.strip_suffix('%') {
            Some(number) => (number.trim(), 100.0),
            None => (width, 1.0),
        };
        let digits = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let number: f64 = number.parse().ok().filter(|_| digits).ok_or_else(help)?;
        let width = number / scale;
        if width > 0.0 && width <= 1.0 {
            Ok(UntilWidth { anomaly, width })
        } else {
            Err("a width is above 0 and at most 1, which is 100%".to_owned())
        }
    }
}

fn anomaly_named(name: &str) -> Result<AnomalyKind, String> {
    let found = AnomalyKind::ALL.iter().copied().find(|kind| kind.name() == name);
    found.ok_or_else(|| {
        let names: Vec<&str> = AnomalyKind::ALL.iter().map(|kind| kind.name()).collect();
        format!("there is no anomaly `{name}`: write {}", names.join(", "))
    })
}

impl fmt::Display for Vary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values: Vec<String> = self.values.iter().map(|value| words::quoted(value)).collect();
        write!(f, "{}={}", self.path, values.join(","))
    }
}

impl fmt::Display for UntilWidth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(anomaly) = self.anomaly {
            write!(f, "{}=", anomaly.name())?;
        }
        write!(f, "{}", self.width)
    }
}

impl Cell {
    /// How long its workload runs.
    pub(super) fn duration(&self) -> SimDuration {
        self.case.scenario.duration
    }
}
