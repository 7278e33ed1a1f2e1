//! `acklab run`: one history and its verdict.

mod report;

use crate::args::RunArgs;
use crate::failure::{Failure, Status};
use crate::output::{self, NewFile};
use crate::request::{FAULTS, Request};
use crate::text::width;
use acklab_experiment::Outcome;
use acklab_verdict::trace_file::TraceWriter;
use acklab_verdict::{RunFacts, to_json};
use std::path::Path;

/// Runs it, writes the files that were asked for, and prints the verdict.
pub fn execute(args: &RunArgs) -> Result<Status, Failure> {
    let mut request = Request::resolve(&args.scenario)?;
    if args.promises_only {
        request.case.promises_only();
    }
    let outcome = match &args.trace {
        None => request.case.run(args.seed)?,
        Some(path) => run_traced(&request, args.seed, path)?,
    };
    if let Some(path) = &args.schedule {
        output::write_file(path, &schedule(&request, &outcome))?;
    }
    if args.json {
        output::print_json(&json(&outcome))?;
    } else {
        output::print(&report::render(&request, &outcome, args, width()))?;
    }
    Ok(Status::of(outcome.is_as_expected()))
}

/// Runs it with a writer of the trace looking on.
fn run_traced(request: &Request, seed: u64, path: &Path) -> Result<Outcome, Failure> {
    let (file, writer) = NewFile::create(path)?;
    let (outcome, writer) = request.case.run_observed(seed, TraceWriter::new(writer))?;
    let writer = writer.finish().map_err(|error| output::unwritable(path, &error))?;
    file.keep(writer)?;
    Ok(outcome)
}

/// The verdict for programs.
pub fn json(outcome: &Outcome) -> serde_json::Value {
    let expectations = outcome.expectations.iter();
    let facts = RunFacts {
        events: outcome.events,
        stuck: outcome.stuck.as_ref().map(|stuck| stuck.because.join("; ")),
        expectations: expectations.map(|expected| (expected.text.clone(), expected.held)).collect(),
    };
    to_json(&outcome.verdict, &facts)
}

/// The faults that struck, to be pasted into a scenario or run again with `--faults`.
fn schedule(request: &Request, outcome: &Outcome) -> String {
    let header = &outcome.verdict.header;
    let list = acklab_scenario::write_faults(&outcome.schedule, &request.case.scenario);
    format!(
        "// The faults of {}, variant {}, seed {}: nothing is left to draw.\n{FAULTS} {},\n",
        header.scenario,
        header.variant,
        header.seed,
        list.trim_end()
    )
}
