//! `acklab explain`: the lives of single records, and since when their fates were certain.

mod inevitable;

use crate::args::ExplainArgs;
use crate::failure::{Failure, Status};
use crate::output;
use crate::request::Request;
use crate::text::{DIM, quoted, styled};
use acklab_experiment::inevitable::questions;
use acklab_experiment::{Subject, explain, find, representatives};
use acklab_verdict::explain::{Life, LifeLine};
use acklab_verdict::{AnomalyKind, names};
use acklab_vocab::ids::{GroupIndex, RecordId};
use std::fmt::Write;

/// Chooses records, runs the seed, and prints the lives of these records in it.
pub fn execute(args: &ExplainArgs) -> Result<Status, Failure> {
    let request = Request::resolve(&args.scenario)?;
    let mut chosen = named(args, &request)?;
    if chosen.is_empty() || !kinds(args).is_empty() {
        anomalous(args, &request, &mut chosen)?;
    }
    if chosen.is_empty() && args.json {
        output::print_json(&in_json(args, &request, &[]))?;
        return Ok(Status::AsExpected);
    }
    if chosen.is_empty() {
        output::print(&nothing_to_explain(args, &request))?;
        return Ok(Status::AsExpected);
    }
    if args.inevitable {
        return since_when(args, &request, &chosen);
    }
    let group = group(args, &request)?;
    let lives = explain(&request.case, args.seed, &chosen, group)?;
    if args.json {
        output::print_json(&in_json(args, &request, &lives))?;
        return Ok(Status::AsExpected);
    }
    let mut text = String::new();
    for life in &lives {
        let mut more = format!("--record {}", quoted(&life.record));
        if let Some(group) = &args.group {
            let _ = write!(more, " --group {}", quoted(group));
        }
        let again = request.command("explain", args.seed, &more);
        let space = if text.is_empty() { "" } else { "\n" };
        let _ = writeln!(text, "{space}{}", life.to_string().trim_end());
        let _ = writeln!(text, "  again: {}", styled(DIM, &again));
    }
    output::print(&text)?;
    Ok(Status::AsExpected)
}

/// Asks of everything that is wrong with records since when it was certain.
fn since_when(
    args: &ExplainArgs,
    request: &Request,
    chosen: &[RecordId],
) -> Result<Status, Failure> {
    let group = group(args, request)?;
    let (outcome, fates, ()) = request.case.run_with_fates(args.seed, None, ())?;
    let header = &outcome.verdict.header;
    let questions = questions(&fates, chosen, &kinds_or_all(args), group);
    if questions.is_empty() && !args.json {
        let records: Vec<String> =
            chosen.iter().map(|&record| names::record(header, record)).collect();
        let text = format!("Nothing is wrong with {}.\n", records.join(", "));
        output::print(&text)?;
    } else {
        inevitable::execute(args, request, &questions, header)?;
    }
    Ok(Status::AsExpected)
}

fn in_json(args: &ExplainArgs, request: &Request, lives: &[Life]) -> serde_json::Value {
    let scenario = &request.case.scenario;
    let step = |step: &LifeLine| {
        serde_json::json!({
            "at_ns": step.at.0,
            "place": step.place,
            "text": step.text,
            "holders": step.holders,
        })
    };
    let life = |life: &Life| {
        serde_json::json!({
            "record": life.record,
            "steps": life.lines.iter().map(step).collect::<Vec<_>>(),
            "left_out": life.left_out,
            "ending": life.ending,
        })
    };
    serde_json::json!({
        "schema": 1,
        "scenario": scenario.name,
        "variant": scenario.variant,
        "seed": args.seed,
        "kafka": scenario.kafka.to_string(),
        "lives": lives.iter().map(life).collect::<Vec<_>>(),
    })
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

/// The consumer application asked for.
fn group(args: &ExplainArgs, request: &Request) -> Result<Option<GroupIndex>, Failure> {
    let Some(name) = &args.group else { return Ok(None) };
    let groups = &request.case.scenario.groups;
    match groups.iter().position(|group| group.name == *name) {
        Some(index) => Ok(Some(GroupIndex(index as u16))),
        None => {
            let names: Vec<&str> = groups.iter().map(|group| group.name.as_str()).collect();
            let known = match names[..] {
                [] => "the scenario has no consumer applications".to_owned(),
                _ => format!("the scenario has {}", names.join(", ")),
            };
            Err(Failure::with_help(format!("there is no consumer application `{name}`"), known))
        }
    }
}

/// The kinds of anomaly asked for.
fn kinds(args: &ExplainArgs) -> Vec<AnomalyKind> {
    let asked = [
        (args.lost, AnomalyKind::Lost),
        (args.duplicated, AnomalyKind::Duplicated),
        (args.reordered, AnomalyKind::Reordered),
        (args.phantom, AnomalyKind::Phantom),
        (args.reprocessed, AnomalyKind::Reprocessed),
        (args.skipped, AnomalyKind::Skipped),
        (args.ghost, AnomalyKind::Ghost),
    ];
    asked.iter().filter(|(asked, _)| *asked).map(|&(_, kind)| kind).collect()
}

/// The kinds to look for: any, where none is asked for.
fn kinds_or_all(args: &ExplainArgs) -> Vec<AnomalyKind> {
    let kinds = kinds(args);
    if kinds.is_empty() { AnomalyKind::ALL.to_vec() } else { kinds }
}

/// Adds the records that have suffered. A record may suffer in several ways; it has one life.
fn anomalous(
    args: &ExplainArgs,
    request: &Request,
    chosen: &mut Vec<RecordId>,
) -> Result<(), Failure> {
    let group = group(args, request)?;
    let verdict = request.case.run(args.seed)?.verdict;
    for anomaly in representatives(&verdict, &kinds_or_all(args), group, args.all) {
        if !chosen.contains(&anomaly.record) {
            chosen.push(anomaly.record);
        }
    }
    Ok(())
}

fn nothing_to_explain(args: &ExplainArgs, request: &Request) -> String {
    let words: Vec<&str> = match kinds(args) {
        kinds if kinds.is_empty() => vec!["harmed"],
        kinds => kinds.into_iter().map(AnomalyKind::name).collect(),
    };
    let example = format!(
        "--record {}#0",
        request.case.scenario.producers.first().map_or("shop", |p| &p.name)
    );
    format!(
        "No record was {}.\n  the life of any record: {}\n",
        words.join(", ").replace("phantom", "a phantom").replace("ghost", "a ghost"),
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
