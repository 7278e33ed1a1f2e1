//! `acklab shrink`: the smallest scenario that still goes wrong in the same way.

use super::jobs;
use crate::args::{ScenarioArgs, ShrinkArgs};
use crate::failure::{Failure, Status};
use crate::interrupt::Interrupt;
use crate::output;
use crate::progress::Progress;
use crate::request::{Request, input_files};
use crate::source;
use crate::text::{Align, BAD, BOLD, DIM, Rows, quoted, styled, width, wrapped};
use acklab_experiment::shrink::{
    Options, Share, ShrinkError, Shrunk, Size, Step, Wanted, What, shrink,
};
use acklab_scenario::{BASE, Draft, write_faults};
use acklab_verdict::names::{counted, grouped};
use acklab_vocab::time::SimDuration;
use serde_json::json;
use std::fmt::Write as _;
use std::ops::ControlFlow;

/// Shrinks it, writes the small scenario and says what was tried.
pub fn execute(args: &ShrinkArgs) -> Result<Status, Failure> {
    let request = Request::resolve(&args.scenario)?;
    let draft = draft(&args.scenario, &request)?;
    let wanted = Wanted {
        what: args.anomaly.map_or(What::Worst, What::from),
        cause: args.cause,
        group: args.group.clone(),
    };
    let options = Options {
        seed: args.seed,
        wanted,
        budget: args.budget,
        jobs: jobs(args.jobs),
        origin: origin(args, &request),
        command: request.command("shrink", args.seed, &args.asked_for()),
    };
    // A file that cannot be written is refused before anything runs.
    if let Some(path) = &args.output {
        output::check_writable(&input_files(&args.scenario), &[("the small scenario", path)])?;
    }
    let interrupt = Interrupt::listen()?;
    let mut progress = Progress::new();
    let mut update = |done, of| match interrupt.is_asked() {
        true => ControlFlow::Break(()),
        false => progress.update(done, of),
    };
    let shrunk = shrink(&draft, &request.case.expect, &options, &mut update);
    drop(progress);
    let shrunk = shrunk.map_err(|error| refused(error, &request, args))?;
    if let Some(path) = &args.output {
        output::write_file(path, &shrunk.scenario)?;
    }
    print(&shrunk, args, &request)?;
    report_findings(&shrunk);
    Ok(match shrunk.findings.iter().any(|finding| finding.defect) {
        true => Status::Defect,
        false => Status::AsExpected,
    })
}

/// The scenario as it is asked for, as a file of its own.
fn draft(args: &ScenarioArgs, request: &Request) -> Result<Draft, Failure> {
    let draft = source::open(&args.scenario)?.draft(&args.variant, &args.sets)?;
    let scenario = &request.case.scenario;
    match (&args.faults, scenario.faults.as_slice()) {
        (None, _) => Ok(draft),
        (Some(_), []) => Ok(draft.without("faults").unwrap_or(draft)),
        (Some(_), faults) => draft
            .with("faults", &write_faults(faults, scenario))
            .ok_or_else(|| Failure::input("these faults do not go with this scenario")),
    }
}

/// Where the scenario comes from.
fn origin(args: &ShrinkArgs, request: &Request) -> String {
    let scenario = &request.case.scenario;
    let mut origin = scenario.name.clone();
    if scenario.variant != BASE {
        let _ = write!(origin, ", variant {}", scenario.variant);
    }
    for set in &args.scenario.sets {
        let _ = write!(origin, ", --set {}", quoted(&set.to_string()));
    }
    if let Some(path) = &args.scenario.faults {
        let _ = write!(origin, ", with the faults of {}", path.display());
    }
    let _ = write!(origin, ", seed {}", args.seed);
    origin
}

fn refused(error: ShrinkError, request: &Request, args: &ShrinkArgs) -> Failure {
    match error {
        ShrinkError::Scenario(diagnostics) => Failure::Scenario(diagnostics),
        ShrinkError::Nothing(nothing) => {
            let run = request.command("run", args.seed, "");
            let help = format!("see what it has: {run}");
            Failure::with_help(format!("there is nothing to shrink: {nothing}"), help)
        }
        ShrinkError::Interrupted => Failure::input(format!("{error}: nothing is written")),
    }
}

fn print(shrunk: &Shrunk, args: &ShrinkArgs, request: &Request) -> Result<(), Failure> {
    if args.json {
        let scenario = &request.case.scenario;
        return output::print_json(&json!({
            "schema": 1,
            "from": scenario.name,
            "variant": scenario.variant,
            "shrunk": shrunk,
        }));
    }
    let log = render(shrunk, args, request, width());
    match &args.output {
        Some(_) => output::print(&log),
        None => {
            output::complain(log.trim_end());
            output::print(&shrunk.scenario)
        }
    }
}

/// What else happened is not lost: with the scenario that shows it.
fn report_findings(shrunk: &Shrunk) {
    for finding in &shrunk.findings {
        output::complain(&format!(
            "{}: a candidate showed, with seed {}, {}\n{}",
            styled(BAD, "note"),
            shrunk.seed,
            finding.text,
            finding.scenario.trim_end()
        ));
    }
}

fn render(shrunk: &Shrunk, args: &ShrinkArgs, request: &Request, width: usize) -> String {
    let scenario = &request.case.scenario;
    let variant = match scenario.variant.as_str() {
        BASE => String::new(),
        variant => format!(" · {variant}"),
    };
    let title = format!("{}{variant}", scenario.name);
    let mut text = format!("{} · seed {}\n", styled(BOLD, &title), shrunk.seed);
    for (position, line) in wrapped(&shrunk.shows, width - SHOWS.len()).iter().enumerate() {
        let before = if position == 0 { SHOWS } else { &" ".repeat(SHOWS.len()) };
        let _ = writeln!(text, "{before}{}", styled(BAD, line));
    }
    text.push('\n');
    text.push_str(&sizes(&shrunk.before, &shrunk.after).render(width));
    text.push('\n');
    match shrunk.steps.is_empty() {
        true => text.push_str("  nothing has become smaller\n"),
        false => text.push_str(&steps(&shrunk.steps).render(width)),
    }
    let spent = match (shrunk.interrupted, shrunk.over_budget) {
        (true, _) => ": interrupted; this is the smallest so far, and it shows the same",
        (false, true) => ": all that --budget allows; more may make it smaller",
        (false, false) => "",
    };
    let _ = writeln!(text, "\n  {}{spent}", counted(shrunk.runs, "run"));
    if let Some(seeds) = shrunk.seeds {
        let _ = writeln!(text, "  {}", share(seeds));
    }
    if let Some(path) = &args.output {
        let file = quoted(&path.display().to_string());
        let again = format!("acklab run {file} --seed {}", shrunk.seed);
        let _ = writeln!(text, "  run it: {}", styled(DIM, &again));
    }
    text
}

fn share(Share { shown, of }: Share) -> String {
    let show = if shown == 1 { "shows" } else { "show" };
    format!("{shown} of the seeds 0..{of} {show} it")
}

const SHOWS: &str = "  shows: ";

fn sizes(before: &Size, after: &Size) -> Rows {
    let columns = [("", Align::Left), ("before", Align::Right), ("after", Align::Right)];
    let mut rows = Rows::with_header(&columns);
    let mut row = |name: &str, of: fn(&Size) -> u64| {
        rows.add([name.to_owned(), grouped(of(before)), grouped(of(after))]);
    };
    row("faults", |size| size.faults);
    row("processes", |size| size.processes);
    row("replicas", |size| size.replicas);
    row("records, at most", |size| size.records);
    let duration = |size: &Size| SimDuration(size.duration).to_string();
    rows.add(["duration".to_owned(), duration(before), duration(after)]);
    rows.add(["settings".to_owned(), grouped(before.settings), grouped(after.settings)]);
    rows
}

fn steps(steps: &[Step]) -> Rows {
    let mut rows = Rows::with_header(&[
        ("step", Align::Left),
        ("kept", Align::Right),
        ("undone", Align::Right),
        ("runs", Align::Right),
        ("what is smaller", Align::Left),
    ]);
    for step in steps {
        let mut numbers = [step.name.to_owned(), grouped(step.kept), grouped(step.undone)].to_vec();
        numbers.push(grouped(step.runs));
        let mut changes = step.changes.iter().map(|change| {
            let to = if change.to.is_empty() { "gone" } else { &change.to };
            match change.from.as_str() {
                "" => format!("{} → {to}", change.what),
                from => format!("{}: {from} → {to}", change.what),
            }
        });
        numbers.push(changes.next().unwrap_or_else(|| "nothing".to_owned()));
        rows.add(numbers);
        for change in changes {
            rows.add(["", "", "", "", change.as_str()]);
        }
    }
    rows
}
