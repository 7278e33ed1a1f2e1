//! `acklab explain`: the lives of single records.

use crate::args::ExplainArgs;
use crate::failure::{Failure, Status};
use crate::output;
use crate::request::Request;
use crate::text::{DIM, quoted, styled};
use acklab_experiment::{Subject, explain, find, representatives};
use acklab_verdict::AnomalyKind;
use acklab_vocab::ids::RecordId;
use std::fmt::Write;

/// Chooses records, runs the seed, and prints the lives of these records in it.
pub fn execute(args: &ExplainArgs) -> Result<Status, Failure> {
    let request = Request::resolve(&args.scenario)?;
    let mut chosen = named(args, &request)?;
    if chosen.is_empty() || !kinds(args).is_empty() {
        anomalous(args, &request, &mut chosen)?;
    }
    if chosen.is_empty() {
        output::print(&nothing_to_explain(args, &request))?;
        return Ok(Status::AsExpected);
    }
    let lives = explain(&request.case, args.seed, &chosen)?;
    let mut text = String::new();
    for life in &lives {
        let more = format!("--record {}", quoted(&life.record));
        let again = request.command("explain", args.seed, &more);
        let space = if text.is_empty() { "" } else { "\n" };
        let _ = writeln!(text, "{space}{}", life.to_string().trim_end());
        let _ = writeln!(text, "  again: {}", styled(DIM, &again));
    }
    output::print(&text)?;
    Ok(Status::AsExpected)
}

/// The records named by `--record`, each once.
fn named(args: &ExplainArgs, request: &Request) -> Result<Vec<RecordId>, Failure> {
    let mut subjects = Vec::new();
    for text in &args.records {
        let subject = Subject::parse(text, &request.case.scenario);
        subjects.push(subject.map_err(|error| Failure::input(error.to_string()))?);
    }
    if subjects.is_empty() {
        return Ok(Vec::new());
    }
    let mut records = Vec::new();
    let found = find(&request.case, args.seed, &subjects)?;
    for ((subject, found), name) in subjects.iter().zip(found).zip(&args.records) {
        let record = found.ok_or_else(|| unknown(name, *subject, request, args))?;
        if !records.contains(&record) {
            records.push(record);
        }
    }
    Ok(records)
}

/// The kinds of anomaly asked for.
fn kinds(args: &ExplainArgs) -> Vec<AnomalyKind> {
    let asked = [
        (args.lost, AnomalyKind::Lost),
        (args.duplicated, AnomalyKind::Duplicated),
        (args.reordered, AnomalyKind::Reordered),
        (args.phantom, AnomalyKind::Phantom),
    ];
    asked.iter().filter(|(asked, _)| *asked).map(|&(_, kind)| kind).collect()
}

/// The kinds to look for: any, where none is asked for.
fn kinds_or_all(args: &ExplainArgs) -> Vec<AnomalyKind> {
    let kinds = kinds(args);
    if kinds.is_empty() { ALL_KINDS.to_vec() } else { kinds }
}

const ALL_KINDS: [AnomalyKind; 4] =
    [AnomalyKind::Lost, AnomalyKind::Duplicated, AnomalyKind::Reordered, AnomalyKind::Phantom];

/// Adds the records that have suffered. A record may suffer in several ways; it has one life.
fn anomalous(
    args: &ExplainArgs,
    request: &Request,
    chosen: &mut Vec<RecordId>,
) -> Result<(), Failure> {
    let verdict = request.case.run(args.seed)?.verdict;
    for anomaly in representatives(&verdict, &kinds_or_all(args), args.all) {
        if !chosen.contains(&anomaly.record) {
            chosen.push(anomaly.record);
        }
    }
    Ok(())
}

fn nothing_to_explain(args: &ExplainArgs, request: &Request) -> String {
    let words: Vec<&str> = kinds_or_all(args).into_iter().map(AnomalyKind::name).collect();
    let example = format!(
        "--record {}#0",
        request.case.scenario.producers.first().map_or("shop", |p| &p.name)
    );
    format!(
        "No record was {}.\n  the life of any record: {}\n",
        words.join(", ").replace("phantom", "a phantom"),
        request.command("explain", args.seed, &example)
    )
}

fn unknown(name: &str, subject: Subject, request: &Request, args: &ExplainArgs) -> Failure {
    let run = request.command("run", args.seed, "");
    let what = match subject {
        Subject::Record(_) => format!("this history has no record `{name}`"),
        Subject::Copy { .. } => format!("nothing was ever written at `{name}` in this history"),
    };
    Failure::with_help(what, format!("see what it has: {run}"))
}
