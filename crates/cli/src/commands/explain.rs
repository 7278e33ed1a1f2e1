//! `acklab explain`: the lives of single records.

use crate::args::ExplainArgs;
use crate::failure::{Failure, Status};
use crate::output;
use crate::request::Request;
use crate::text::{DIM, quoted, styled};
use acklab_experiment::{Subject, explain, representatives};
use acklab_verdict::AnomalyKind;
use acklab_verdict::names;
use std::fmt::Write;

/// Runs the seed, chooses records, and runs it again to follow them.
pub fn execute(args: &ExplainArgs) -> Result<Status, Failure> {
    let request = Request::resolve(&args.scenario)?;
    let mut chosen = named(args, &request)?;
    if chosen.is_empty() || !kinds(args).is_empty() {
        chosen.extend(anomalous(args, &request)?);
    }
    if chosen.is_empty() {
        output::print(&nothing_to_explain(args, &request))?;
        return Ok(Status::AsExpected);
    }
    let subjects: Vec<Subject> = chosen.iter().map(|&(_, subject)| subject).collect();
    let lives = explain(&request.case, args.seed, &subjects)?;
    let mut text = String::new();
    for ((name, subject), life) in chosen.iter().zip(&lives) {
        let Some(life) = life else { return Err(unknown(name, *subject, &request, args)) };
        let again = request.command("explain", args.seed, &format!("--record {}", quoted(name)));
        let space = if text.is_empty() { "" } else { "\n" };
        let _ = writeln!(text, "{space}{}", life.to_string().trim_end());
        let _ = writeln!(text, "  again: {}", styled(DIM, &again));
    }
    output::print(&text)?;
    Ok(Status::AsExpected)
}

/// The records named by `--record`.
fn named(args: &ExplainArgs, request: &Request) -> Result<Vec<(String, Subject)>, Failure> {
    let scenario = &request.case.scenario;
    let parse = |text: &String| match Subject::parse(text, scenario) {
        Ok(subject) => Ok((text.clone(), subject)),
        Err(error) => Err(Failure::input(error.to_string())),
    };
    args.records.iter().map(parse).collect()
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

const ALL_KINDS: [AnomalyKind; 4] = [
    AnomalyKind::Lost,
    AnomalyKind::Duplicated,
    AnomalyKind::Reordered,
    AnomalyKind::Phantom,
];

fn anomalous(args: &ExplainArgs, request: &Request) -> Result<Vec<(String, Subject)>, Failure> {
    let verdict = request.case.run(args.seed)?.verdict;
    let mut chosen: Vec<(String, Subject)> = Vec::new();
    for anomaly in representatives(&verdict, &kinds_or_all(args), args.all) {
        let subject = Subject::Record(anomaly.record);
        // A record may suffer in several ways; it has one life.
        if chosen.iter().all(|&(_, other)| other != subject) {
            chosen.push((names::record(&verdict.header, anomaly.record), subject));
        }
    }
    Ok(chosen)
}

fn nothing_to_explain(args: &ExplainArgs, request: &Request) -> String {
    let words: Vec<&str> = kinds_or_all(args).into_iter().map(AnomalyKind::name).collect();
    let example = format!("--record {}#0", request.case.scenario.producers.first().map_or("shop", |p| &p.name));
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
