//! `acklab sweep`: many seeds under every combination of some settings.

mod sections;
mod table;

use super::jobs;
use super::report::index;
use crate::args::{ScenarioArgs, SweepArgs};
use crate::failure::{self, Failure, Status};
use crate::interrupt::Interrupt;
use crate::output::{self, NewFile};
use crate::progress::Progress;
use crate::request::{self, input_files};
use crate::source;
use crate::text::{quoted, width};
use acklab_experiment::sweep::report::{Ended, SweepReport};
use acklab_experiment::sweep::{
    self, Collected, PlanError, Selection, SweepOptions, SweepPlan, csv, junit, saved,
    saved::SavedError,
};
use std::fs::{self, File};
use std::io::BufReader;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// Runs it, writes the files that were asked for, and prints what came of it. What is done is shown
/// even if a file cannot be written. If it was interrupted what is done is shown and saved, and files
/// that may be there from before are left alone; but CI must not find a good result of before.
pub fn execute(args: &SweepArgs) -> Result<Status, Failure> {
    let plan = plan(args)?;
    check_files(args)?;
    let before = match &args.resume {
        Some(path) => read(&plan, path, jobs(args.jobs))?,
        None => Collected::new(&plan),
    };
    let collected = collect(args, &plan, before)?;
    let report = sweep::report(&plan, &collected);
    let written = write_files(args, &plan, &collected, &report);
    let saved = save_at_end(args, &plan, &collected);
    let printed = match args.json {
        true => output::print(&json(&report)),
        false => output::print(&table::render(&report, width())),
    };
    for cell in &report.cells {
        cell.defects.iter().for_each(failure::show_defect);
    }
    let saved = saved?;
    written?;
    if report.ended == Ended::Interrupted {
        return Err(interrupted(args, &report, saved.as_deref()));
    }
    printed?;
    Ok(match report.cells.iter().map(|cell| cell.defects_total).sum::<u64>() {
        0 => Status::of(report.held),
        _ => Status::Defect,
    })
}

/// Everything that is to be written can be, and over nothing else.
fn check_files(args: &SweepArgs) -> Result<(), Failure> {
    let (save, mut inputs) = (save_to(args), input_files(&args.scenario));
    if let Some(path) = args.resume.as_ref().filter(|&path| save != Some(path)) {
        if !path.exists() {
            return Err(no_such_file(path));
        }
        // The same file once more is no mistake: it is read as a whole before it is written.
        let same =
            save.is_some_and(|save| fs::canonicalize(save).ok() == fs::canonicalize(path).ok());
        if !same {
            inputs.push(("the sweep of --resume", path));
        }
    }
    let word = if args.save.is_some() { "--save" } else { "--resume" };
    let outputs: Vec<(&str, &Path)> =
        [("--csv", &args.csv), ("--junit", &args.junit), ("--html", &args.html)]
            .into_iter()
            .filter_map(|(option, path)| Some((option, path.as_deref()?)))
            .chain(save.map(|path| (word, path.as_path())))
            .collect();
    output::check_writable(&inputs, &outputs)
}

/// Where it is saved: what is gone on with is replaced, unless another file is named.
fn save_to(args: &SweepArgs) -> Option<&PathBuf> {
    args.save.as_ref().or(args.resume.as_ref())
}

/// What is to be run.
pub fn plan(args: &SweepArgs) -> Result<SweepPlan, Failure> {
    let file = source::open(&args.scenario.scenario)?;
    let options = SweepOptions {
        seeds: args.seeds,
        variant: args.scenario.variant.clone(),
        sets: args.scenario.sets.clone(),
        vary: args.vary.clone(),
        until_width: args.until_width,
        gates: args.expect.clone(),
    };
    let select = |variant: &str, sets: &[acklab_scenario::Setting]| {
        let selection = request::selection(&ScenarioArgs {
            scenario: args.scenario.scenario.clone(),
            variant: variant.to_owned(),
            sets: sets.to_vec(),
            faults: args.scenario.faults.clone(),
        });
        let (scenario, options) = selection.split_once('\n').unwrap_or((&selection, ""));
        Selection { scenario: scenario.to_owned(), options: options.to_owned() }
    };
    let command = command(args);
    let mut plan =
        SweepPlan::new(&file, options, &command, select).map_err(|error| match error {
            PlanError::Scenario(diagnostics) => Failure::Scenario(diagnostics),
            PlanError::Usage { message, help } => Failure::with_help(message, help),
        })?;
    failure::show_diagnostics(plan.warnings());
    if let Some(path) = &args.scenario.faults {
        plan.replace_faults(|case| request::replace_faults(case, path))?;
    }
    Ok(plan)
}

/// The command line that makes the same report.
fn command(args: &SweepArgs) -> String {
    let selection = request::selection(&args.scenario);
    let (scenario, options) = selection.split_once('\n').unwrap_or((&selection, ""));
    let mut words = format!("acklab sweep {scenario} --seeds {}{options}", args.seeds);
    let mut option = |name: &str, value: String| {
        words.push_str(&format!(" {name} {}", quoted(&value)));
    };
    args.vary.iter().for_each(|vary| option("--vary", vary.to_string()));
    args.until_width.iter().for_each(|until| option("--until-width", until.to_string()));
    args.expect.iter().for_each(|gate| option("--expect", gate.to_string()));
    words
}

/// Runs what is missing. With --save, what is done is saved after each twentieth of the work; where
/// that fails it is said once, and tried again.
pub fn collect(
    args: &SweepArgs,
    plan: &SweepPlan,
    before: Collected,
) -> Result<Collected, Failure> {
    let interrupt = Interrupt::listen()?;
    let cells = plan.cells().len() as u64;
    let mut progress = Progress::new().starting_at(before.seeds_done() * cells);
    let mut saved = before.seeds_done();
    let mut complained = false;
    let collected = sweep::run(plan, jobs(args.jobs), before, |so_far, done| {
        let due = so_far.seeds_done() >= saved + plan.seeds().count().div_ceil(20);
        if let (Some(path), true) = (save_to(args), due) {
            saved = so_far.seeds_done();
            if let (Err(failure), false) = (save(plan, so_far, path), complained) {
                complained = true;
                progress.above(|| failure.warn("the sweep goes on, and will try again"));
            }
        }
        if interrupt.is_asked() {
            return ControlFlow::Break(());
        }
        progress.update(done, plan.runs())
    });
    Ok(collected)
}

fn read(plan: &SweepPlan, path: &Path, jobs: NonZeroUsize) -> Result<Collected, Failure> {
    let shown = path.display();
    let file = File::open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => no_such_file(path),
        _ => Failure::input(format!("cannot go on from `{shown}`: it cannot be read: {error}")),
    })?;
    let read = saved::read(plan, BufReader::new(file)).and_then(|collected| {
        saved::check_first_seed(plan, &collected, jobs)?;
        Ok(collected)
    });
    read.map_err(|error| {
        let message = format!("cannot go on from `{shown}`: {error}");
        match error {
            SavedError::Rebuilt { .. } => {
                Failure::with_help(message, "run the whole sweep again, or use the build of before")
            }
            _ => Failure::input(message),
        }
    })
}

fn no_such_file(path: &Path) -> Failure {
    let shown = path.display();
    Failure::with_help(
        format!("cannot go on from `{shown}`: there is no such file"),
        "to begin a sweep, save it with --save FILE",
    )
}

fn save(plan: &SweepPlan, collected: &Collected, path: &Path) -> Result<(), Failure> {
    let (file, mut writer) = NewFile::create(path)?;
    saved::write(plan, collected, &mut writer).map_err(|error| output::unwritable(path, &error))?;
    file.keep(writer)
}

/// Saves where it was asked for; an interrupted sweep in any case. Says where.
pub fn save_at_end(
    args: &SweepArgs,
    plan: &SweepPlan,
    collected: &Collected,
) -> Result<Option<PathBuf>, Failure> {
    let interrupted = collected.ended() == Ended::Interrupted;
    let path = match save_to(args) {
        Some(path) => path.clone(),
        None if interrupted && collected.seeds_done() > 0 => free_name(plan.name()),
        None => return Ok(None),
    };
    save(plan, collected, &path)?;
    Ok(Some(path))
}

/// A name that no file has yet: `acks-1.sweep`, `acks-1-2.sweep`, …
fn free_name(scenario: &str) -> PathBuf {
    let name = |number: u32| match number {
        1 => PathBuf::from(output::file_name(scenario, ".sweep")),
        _ => PathBuf::from(output::file_name(scenario, &format!("-{number}.sweep"))),
    };
    (1..)
        .map(name)
        .find(|path| fs::symlink_metadata(path).is_err())
        .expect("there are many numbers")
}

fn write_files(
    args: &SweepArgs,
    plan: &SweepPlan,
    collected: &Collected,
    report: &SweepReport,
) -> Result<(), Failure> {
    if let Some(path) = &args.junit {
        output::write_file(path, &junit(report))?;
    }
    if report.ended == Ended::Interrupted {
        return Ok(());
    }
    if let Some(path) = &args.csv {
        output::write_file(path, &csv(plan, collected))?;
    }
    if let Some(path) = &args.html {
        output::write_file(path, &html(report, path))?;
    }
    Ok(())
}

/// The page, with links to the pages of single runs that lie beside it.
pub fn html(report: &SweepReport, path: &Path) -> String {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = index::read(folder.unwrap_or(Path::new("."))).unwrap_or_default();
    acklab_report::sweep::page(report, &|command| folder.link_to(command))
}

fn json(report: &SweepReport) -> String {
    let mut text = serde_json::to_string_pretty(report).expect("a report is JSON");
    text.push('\n');
    text
}

/// What is to be done about it: the command that goes on has every option of this one.
pub fn interrupted(args: &SweepArgs, report: &SweepReport, path: Option<&Path>) -> Failure {
    let (seeds, asked) = (report.seeds_done, report.seeds.count());
    let missing: Vec<String> = [&args.csv, &args.html]
        .into_iter()
        .flatten()
        .map(|it| format!("`{}`", it.display()))
        .collect();
    let missing = match missing.is_empty() {
        true => String::new(),
        false => format!("; {} not written", missing.join(" and ")),
    };
    let done = format!("interrupted after {seeds} of {asked} seeds{missing}");
    let Some(path) = path else {
        return Failure::input(format!("{done}; there is nothing to save"));
    };
    let mut words = command(args);
    let mut option = |name: &str, path: &Path| {
        words.push_str(&format!(" {name} {}", quoted(&path.display().to_string())));
    };
    let files = [("--csv", &args.csv), ("--junit", &args.junit), ("--html", &args.html)];
    for (name, path) in files {
        path.iter().for_each(|path| option(name, path));
    }
    option("--resume", path);
    if args.json {
        words.push_str(" --json");
    }
    args.jobs.iter().for_each(|jobs| words.push_str(&format!(" --jobs {jobs}")));
    Failure::with_help(done, format!("go on: {words}"))
}
