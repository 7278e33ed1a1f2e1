//! The page of a sweep.
//!
//! [`SweepReport`] is its data already; here it becomes words ([`answer`]), figures ([`figures`])
//! and tables ([`tables`]), in the order in which a person asks: what happens to records, how
//! probably and how many, at what cost, why, and where can I see it. What a page of a run shows of
//! one history is not repeated: it names the seeds to look at.

pub mod answer;
pub mod classes;
pub mod figures;
pub mod frontier;
pub mod numbers;
pub mod tables;

use acklab_experiment::sweep::report::{Ended, Example, SweepReport};
use acklab_verdict::AnomalyKind;
use acklab_verdict::names::{grouped, micros};
use askama::Template;
use serde_json::json;

use crate::page::{
    GROUP_TERMS, Html, Page, RECORD_TERMS, REPLICATION_TERMS, SWEEP_TERMS, Section, Term, shell,
};
use answer::{headline, histories_of, of, sentence, subject, unfinished};
use figures::Latency;

/// Finds the page of a run, given the command that runs it, as a link relative to this page.
pub type Links<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The whole file.
#[must_use]
pub fn page(report: &SweepReport, links: Links<'_>) -> String {
    let kind = subject(report);
    let mut sections = Vec::new();
    let mut add = |id: &str, heading: &str, body: Html| {
        if !body.is_empty() {
            sections.push(Section::new(id, heading, body));
        }
    };
    add("probability", "How probable, and how many", anomalies(report));
    add("trade", "Cost against safety", trade(report, kind));
    add("cost", "Latency and availability", cost(report));
    add("compared", "Cells compared", compared(report));
    add("causes", "Causes", tables::causes(report));
    add("seeds", "Seeds to look at", examples(report, links));
    add("expected", "Expectations", tables::expectations(report));
    add("cells", "Cells and settings", tables::settings(report));
    let headline = headline(report);
    shell(&Page {
        title: format!("{}, seeds {} – acklab", named(report), report.seeds),
        description: format!("{headline}."),
        top: top(report, &headline),
        sections,
        glossary: glossary(report),
        colophon: format!(
            "acklab {} · {} · seeds {} · {} done",
            report.acklab, report.scenario, report.seeds, report.seeds_done
        ),
        summary: summary(report, &headline, kind),
        ..Page::default()
    })
}

// ---- the top -------------------------------------------------------------------------------------

#[derive(Template)]
#[template(path = "sweep/top.html")]
struct Top<'a> {
    report: &'a SweepReport,
    which: String,
    headline: &'a str,
    unfinished: Option<String>,
    answers: Vec<(&'a str, String)>,
    numbers: Vec<KeyNumber>,
}

/// A number that carries the answer.
struct KeyNumber {
    label: String,
    value: String,
    is_bad: bool,
}

fn top(report: &SweepReport, headline: &str) -> Html {
    let histories = report.cells.iter().map(|cell| cell.seeds).sum::<u64>();
    let cells = match report.cells.len() {
        1 => String::new(),
        cells => format!(" in {cells} cells"),
    };
    let cells_named = report.cells.iter().enumerate();
    let answers =
        cells_named.map(|(position, cell)| (cell.name.as_str(), sentence(report, position)));
    Html::of(&Top {
        report,
        which: format!(
            "{} · seeds {} · Kafka {} · {}{cells}",
            named(report),
            report.seeds,
            report.kafka,
            histories_of(histories)
        ),
        headline,
        unfinished: unfinished(report),
        answers: answers.collect(),
        numbers: key_numbers(report),
    })
}

/// Four or five numbers.
fn key_numbers(report: &SweepReport) -> Vec<KeyNumber> {
    let number = |label: String, value: String, is_bad: bool| KeyNumber { label, value, is_bad };
    let histories = report.cells.iter().map(|cell| cell.seeds).sum::<u64>();
    let mut numbers = vec![number("histories".to_owned(), grouped(histories), false)];
    if let Some(kind) = subject(report) {
        let worst = report.cells.iter().filter_map(|cell| of(cell, kind)).map(|of| of.counts.max);
        let worst = worst.max().unwrap_or(0);
        numbers.push(number(
            format!("{} records in the worst history", kind.name()),
            grouped(worst),
            true,
        ));
        let clean =
            report.cells.iter().filter(|cell| of(cell, kind).is_none_or(|of| of.seeds_with == 0));
        let clean = clean.count();
        let of_all = format!("of {} cells without a {} record", report.cells.len(), kind.name());
        if report.cells.len() > 1 {
            numbers.push(number(of_all, grouped(clean as u64), false));
        }
    }
    let costs = report.cells.iter().map(|cell| &cell.latency.produce).filter(|of| of.records > 0);
    let costs: Vec<u64> = costs.map(|of| of.p99).collect();
    if let (Some(least), Some(most)) = (costs.iter().min(), costs.iter().max()) {
        let value = match least == most {
            true => micros(*most),
            false => format!("{} – {}", micros(*least), micros(*most)),
        };
        numbers.push(number("acked within, 99 % of records".to_owned(), value, false));
    }
    let broken = report.cells.iter().map(|cell| cell.violations.broken).sum::<u64>();
    numbers.push(number("histories with a broken promise".to_owned(), grouped(broken), broken > 0));
    numbers
}

// ---- sections ------------------------------------------------------------------------------------

/// Kinds that any cell has, what the sweep is about first.
fn kinds(report: &SweepReport) -> Vec<AnomalyKind> {
    let has = |kind: &AnomalyKind| {
        report.cells.iter().any(|cell| of(cell, *kind).is_some_and(|of| of.seeds_with > 0))
    };
    let mut kinds: Vec<AnomalyKind> = AnomalyKind::ALL.iter().copied().filter(has).collect();
    if let Some(position) = kinds.iter().position(|kind| Some(*kind) == subject(report)) {
        let first = kinds.remove(position);
        kinds.insert(0, first);
    }
    kinds
}

fn anomalies(report: &SweepReport) -> Html {
    let mut html = Html::default();
    for kind in kinds(report) {
        html.heading(&answer::capitalised(kind.name()));
        html.push(&figures::probability(report, kind));
        html.push(&figures::distribution(report, kind));
        html.push(&tables::anomalies(report, kind));
    }
    if html.is_empty() {
        html.paragraph("No record met with an anomaly in any history.");
    }
    html
}

fn trade(report: &SweepReport, kind: Option<AnomalyKind>) -> Html {
    let mut html = Html::default();
    for map in figures::maps(report, kind) {
        html.push(&map);
    }
    let Some(kind) = kind else { return html };
    let choices = figures::choices(report, kind);
    if let Some(upwards) = figures::differ(&choices) {
        html.push(&figures::cost_against_safety(&choices, kind, upwards));
    } else if choices.len() > 1 {
        html.paragraph("Every cell is as safe as the others: there is nothing to pay for.");
    }
    if choices.len() > 1 {
        html.push(&tables::choices(&choices, kind));
    }
    html
}

fn cost(report: &SweepReport) -> Html {
    let mut html = Html::default();
    for which in [Latency::Produce, Latency::EndToEnd] {
        if let Some(figure) = figures::latency(report, which) {
            html.push(&figure);
            html.push(&tables::latency(report, which));
        }
    }
    html.push(&tables::unavailability(report));
    html
}

fn compared(report: &SweepReport) -> Html {
    let tables = tables::comparisons(report);
    if tables.is_empty() {
        return tables;
    }
    let mut html = Html::default();
    html.paragraph(
        "Every cell meets the same seeds, so each seed is its own comparison: what the weather of \
         a seed does to both cells cancels out. Intervals are Newcombe's for shares of the same \
         seeds, and Student's t for means of the differences; p is that of McNemar's exact test.",
    );
    html.push(&tables);
    html
}

#[derive(Template)]
#[template(path = "sweep/examples.html")]
struct Examples<'a> {
    rows: Vec<ExampleRow<'a>>,
}

/// A seed that shows something.
struct ExampleRow<'a> {
    cell: &'a str,
    kind: &'static str,
    which: &'static str,
    example: &'a Example,
    count: String,
    link: Option<String>,
}

fn examples(report: &SweepReport, links: Links<'_>) -> Html {
    let mut rows = Vec::new();
    for cell in &report.cells {
        for of in cell.anomalies.iter().filter(|of| of.seeds_with > 0) {
            let seed = |of: &Option<Example>| of.as_ref().map(|of| of.seed);
            let typical = of.typical.as_ref().filter(|_| seed(&of.typical) != seed(&of.worst));
            let typical = typical.map(|example| ("typical", example));
            let worst = of.worst.as_ref().map(|example| ("worst", example));
            rows.extend(typical.into_iter().chain(worst).map(|(which, example)| ExampleRow {
                cell: &cell.name,
                kind: of.anomaly.name(),
                which,
                example,
                count: grouped(example.count),
                link: links(&example.run),
            }));
        }
    }
    if rows.is_empty() { Html::default() } else { Html::of(&Examples { rows }) }
}

/// The words that this page uses.
fn glossary(report: &SweepReport) -> Vec<Term> {
    let mut terms = SWEEP_TERMS.to_vec();
    terms.extend_from_slice(RECORD_TERMS);
    terms.extend_from_slice(REPLICATION_TERMS);
    if report.cells.iter().any(|cell| !cell.groups.is_empty()) {
        terms.extend_from_slice(GROUP_TERMS);
    }
    terms
}

/// The scenario and its variant: `crash, acks=all`.
fn named(report: &SweepReport) -> String {
    let variant = variant(report).map_or_else(String::new, |variant| format!(", {variant}"));
    format!("{}{variant}", report.scenario)
}

/// The variant of every cell, if it is one and not the base.
fn variant(report: &SweepReport) -> Option<&str> {
    let mut variants = report.cells.iter().map(|cell| cell.variant.as_str());
    let first = variants.next().filter(|variant| *variant != acklab_scenario::BASE)?;
    variants.all(|variant| variant == first).then_some(first)
}

/// What an index of reports shows.
fn summary(report: &SweepReport, headline: &str, kind: Option<AnomalyKind>) -> serde_json::Value {
    let numbers = key_numbers(report);
    let numbers = numbers.iter().map(|number| {
        json!({ "label": number.label, "value": number.value, "of": null, "is_anomaly": number.is_bad })
    });
    let is_bad = report.cells.iter().any(|cell| cell.violations.broken > 0) || !report.held;
    json!({
        "schema": 1,
        "kind": "sweep",
        "scenario": report.scenario,
        "variant": variant(report),
        "varied": report.dims.iter().map(|dim| dim.name.as_str()).collect::<Vec<_>>(),
        "seeds": report.seeds.to_string(),
        "seeds_done": report.seeds_done,
        "kafka": report.kafka,
        "sentence": format!("{headline}."),
        "tone": match (is_bad, kind) {
            (true, _) => "broken",
            (false, Some(_)) => "anomalies",
            (false, None) => "clean",
        },
        "is_complete": report.ended != Ended::Interrupted,
        "numbers": numbers.collect::<Vec<_>>(),
        "command": report.command,
    })
}

#[cfg(test)]
mod tests;
