//! `acklab explain`: the lives of single records, and since when their fates were certain.

mod inevitable;

use crate::args::ExplainArgs;
use crate::failure::{Failure, Status};
use crate::output;
use crate::request::Request;
use crate::text::{DIM, quoted, styled};
use acklab_experiment::inevitable::{Known, questions};
use acklab_experiment::{Subject, explain, judge_and_find, representatives};
use acklab_scenario::diagnostic::nearest;
use acklab_verdict::explain::{Life, LifeLine};
use acklab_verdict::{AnomalyKind, Verdict, names};
use acklab_vocab::ids::{GroupIndex, RecordId};
use std::fmt::Write;

/// Runs the seed, chooses records of it, and prints their lives.
pub fn execute(args: &ExplainArgs) -> Result<Status, Failure> {
    let request = Request::resolve(&args.scenario)?;
    let group = group(args, &request)?;
    let subjects = subjects(args, &request)?;
    let (outcome, fates, found) = judge_and_find(&request.case, args.seed, &subjects)?;
    let mut chosen = named(args, &request, subjects.iter().zip(found))?;
    if chosen.is_empty() || !kinds(args).is_empty() {
        anomalous(args, &outcome.verdict, group, &mut chosen);
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
        let known =
            Known { case: &request.case, seed: args.seed, outcome: &outcome, fates: &fates };
        return since_when(args, &request, known, (&chosen, group));
    }
    let lives = explain(&request.case, &outcome.verdict, &chosen, group)?;
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
    known: Known<'_>,
    (chosen, group): (&[RecordId], Option<GroupIndex>),
) -> Result<Status, Failure> {
    let header = &known.outcome.verdict.header;
    let questions = questions(known.fates, chosen, &kinds_or_all(args), group);
    if questions.is_empty() && !args.json {
        let records: Vec<String> =
            chosen.iter().map(|&record| names::record(header, record)).collect();
        let text = format!("Nothing is wrong with {}.\n", records.join(", "));
        output::print(&text)?;
    } else {
        inevitable::execute(args, request, known, &questions)?;
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

/// What `--record` names.
fn subjects(args: &ExplainArgs, request: &Request) -> Result<Vec<Subject>, Failure> {
    let parsed = args.records.iter().map(|text| Subject::parse(text, &request.case.scenario));
    parsed.map(|subject| subject.map_err(|error| Failure::input(error.to_string()))).collect()
}

/// The records named by `--record`, each once.
fn named<'s>(
    args: &ExplainArgs,
    request: &Request,
    found: impl Iterator<Item = (&'s Subject, Option<RecordId>)>,
) -> Result<Vec<RecordId>, Failure> {
    let mut records = Vec::new();
    for ((subject, found), name) in found.zip(&args.records) {
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
    if let Some(index) = groups.iter().position(|group| group.name == *name) {
        return Ok(Some(GroupIndex(index as u16)));
    }
    let names: Vec<&str> = groups.iter().map(|group| group.name.as_str()).collect();
    let help = match (nearest(name, names.iter().copied()), names.as_slice()) {
        (Some(near), _) => format!("did you mean `{near}`?"),
        (None, []) => "the scenario has no consumer applications".to_owned(),
        (None, names) => format!("the scenario has {}", names.join(", ")),
    };
    Err(Failure::with_help(format!("there is no consumer application `{name}`"), help))
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
    verdict: &Verdict,
    group: Option<GroupIndex>,
    chosen: &mut Vec<RecordId>,
) {
    for anomaly in representatives(verdict, &kinds_or_all(args), group, args.all) {
        if !chosen.contains(&anomaly.record) {
            chosen.push(anomaly.record);
        }
    }
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
