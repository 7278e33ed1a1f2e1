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
use crate::request;
use crate::source;
use crate::text::{quoted, width};
use acklab_experiment::sweep::report::{Ended, SweepReport};
use acklab_experiment::sweep::{
    self, Collected, PlanError, Selection, SweepOptions, SweepPlan, csv, junit, saved,
};
use std::fs::{self, File};
use std::io::BufReader;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// Runs it, writes the files that were asked for, and prints what came of it. What is done is shown
/// and saved even if it was interrupted, or a file cannot be written.
pub fn execute(args: &SweepArgs) -> Result<Status, Failure> {
    let plan = plan(args)?;
    let files = [&args.csv, &args.junit, &args.html, &args.save, &args.resume];
    for path in files.into_iter().flatten() {
        output::check_writable(path)?;
    }
    let before = match &args.resume {
        Some(path) => read(&plan, path)?,
        None => Collected::new(&plan),
    };
    let (collected, mut failure) = collect(args, &plan, before)?;
    let report = sweep::report(&plan, &collected);
    let written = write_files(args, &plan, &collected, &report).err();
    let saved = save_at_end(args, &plan, &collected);
    let printed = match args.json {
        true => output::print(&json(&report)),
        false => output::print(&table::render(&report, width())),
    };
    for cell in &report.cells {
        cell.defects.iter().for_each(failure::show_defect);
    }
    failure = failure.or(written);
    failure = match saved {
        Ok(path) if report.ended == Ended::Interrupted => {
            failure.or_else(|| Some(interrupted(args, &report, path.as_deref())))
        }
        Ok(_) => failure,
        Err(error) => failure.or(Some(error)),
    };
    if let Some(failure) = failure {
        return Err(failure);
    }
    printed?;
    Ok(match report.cells.iter().map(|cell| cell.defects_total).sum::<u64>() {
        0 => Status::of(report.held),
        _ => Status::Defect,
    })
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

/// Runs what is missing. With --save, what is done is saved after each twentieth of the work.
pub fn collect(
    args: &SweepArgs,
    plan: &SweepPlan,
    before: Collected,
) -> Result<(Collected, Option<Failure>), Failure> {
    let interrupt = Interrupt::listen()?;
    let cells = plan.cells().len() as u64;
    let mut progress = Progress::new().starting_at(before.seeds_done() * cells);
    let save_to = args.save.as_ref().or(args.resume.as_ref());
    let mut saved = before.seeds_done();
    let mut failure = None;
    let collected = sweep::run(plan, jobs(args.jobs), before, |so_far, done| {
        let due = so_far.seeds_done() >= saved + plan.seeds().count().div_ceil(20);
        if let (Some(path), true) = (save_to, due) {
            saved = so_far.seeds_done();
            if let Err(error) = save(plan, so_far, path) {
                failure = Some(error);
                return ControlFlow::Break(());
            }
        }
        if interrupt.is_asked() {
            return ControlFlow::Break(());
        }
        progress.update(done, plan.runs())
    });
    Ok((collected, failure))
}

fn read(plan: &SweepPlan, path: &Path) -> Result<Collected, Failure> {
    let shown = path.display();
    let cannot =
        |problem: String| Failure::input(format!("cannot go on from `{shown}`: {problem}"));
    let file = File::open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => cannot("there is no such file".to_owned()),
        _ => cannot(format!("it cannot be read: {error}")),
    })?;
    saved::read(plan, BufReader::new(file)).map_err(|error| cannot(error.to_string()))
}

fn save(plan: &SweepPlan, collected: &Collected, path: &Path) -> Result<(), Failure> {
    let (file, mut writer) = NewFile::create(path)?;
    saved::write(plan, collected, &mut writer).map_err(|error| output::unwritable(path, &error))?;
    file.keep(writer)
}

/// Saves where it was asked for; an interrupted sweep in any case. Says where.
fn save_at_end(
    args: &SweepArgs,
    plan: &SweepPlan,
    collected: &Collected,
) -> Result<Option<PathBuf>, Failure> {
    let interrupted = collected.ended() == Ended::Interrupted;
    let path = match args.save.as_ref().or(args.resume.as_ref()) {
        Some(path) => path.clone(),
        None if interrupted && collected.seeds_done() > 0 => free_name(plan.name()),
        None => return Ok(None),
    };
    save(plan, collected, &path)?;
    Ok(Some(path))
}

/// A name that no file has yet: `acks-1.sweep`, `acks-1-2.sweep`, …
fn free_name(scenario: &str) -> PathBuf {
    let plain = |c: char| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    let stem: String = scenario.chars().map(plain).collect();
    let name = |number: u32| match number {
        1 => PathBuf::from(format!("{stem}.sweep")),
        _ => PathBuf::from(format!("{stem}-{number}.sweep")),
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
    if let Some(path) = &args.csv {
        output::write_file(path, &csv(plan, collected))?;
    }
    if let Some(path) = &args.junit {
        output::write_file(path, &junit(report))?;
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

fn interrupted(args: &SweepArgs, report: &SweepReport, path: Option<&Path>) -> Failure {
    let done = format!("interrupted after {} of {} seeds", report.seeds_done, report.seeds.count());
    match path {
        None => Failure::input(format!("{done}: there is nothing to save")),
        Some(path) => {
            let path = quoted(&path.display().to_string());
            Failure::with_help(done, format!("go on: {} --resume {path}", command(args)))
        }
    }
}
