//! The life of a record as a space-time diagram.
//!
//! A seed is run again with witnesses ([`witness`]) that write the lives of some records, each step
//! with its event, and remember which event led to which ([`edges`]). Of a life is told what is in
//! the causal past of what went wrong ([`story`]), as a list and as a figure ([`diagram`],
//! [`draw`]). Messages that never arrived led to nothing, so they are in no causal past and in no
//! figure: they show as what did not happen.

pub mod deed;
pub mod diagram;
pub mod draw;
pub mod edges;
pub mod story;
pub mod witness;

use acklab_experiment::{Case, Defect};
use acklab_verdict::{Anomaly, Verdict, names};
use serde::Serialize;

use crate::plot::Figure;
use diagram::{Diagram, TextLine};
use edges::Causality;
use witness::{Seen, Witnesses};

/// The life of a record, ready for a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LifeFigure {
    /// `shop#4711`
    pub record: String,
    /// `shop#4711 is lost`
    pub heading: String,
    /// Why, in one sentence.
    pub sentence: String,
    /// What is more to say: the facts, the promise, the prevention.
    pub paragraphs: Vec<String>,
    /// The space-time diagram.
    pub figure: Figure,
    /// The same as a list.
    pub steps: Vec<TextLine>,
}

/// A life as data: what the figure and the list are made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LifeModel {
    /// `shop#4711`
    pub record: String,
    /// The figure.
    pub diagram: Diagram,
    /// The list.
    pub steps: Vec<TextLine>,
}

/// Runs a seed again and draws the lives of the records of these anomalies of its verdict, in their
/// order.
///
/// # Errors
/// [`Defect`] if the simulator panics.
pub fn figures(
    case: &Case,
    verdict: &Verdict,
    anomalies: &[Anomaly],
) -> Result<Vec<LifeFigure>, Defect> {
    if anomalies.is_empty() {
        return Ok(Vec::new());
    }
    let witnesses = case.watch(verdict.header.seed, Witnesses::new(anomalies))?;
    Ok(drawn(witnesses, verdict))
}

/// Draws what witnesses have seen of a run.
#[must_use]
pub fn drawn(witnesses: Witnesses, verdict: &Verdict) -> Vec<LifeFigure> {
    let (causality, all) = witnesses.finish(verdict);
    let figure = |(index, seen): (usize, &Seen)| life_figure(index, seen, &causality, verdict);
    all.iter().enumerate().map(figure).collect()
}

/// A life as data.
#[must_use]
pub fn model(seen: &Seen, causality: &Causality, verdict: &Verdict) -> LifeModel {
    let story = story::story(seen, causality);
    LifeModel {
        record: seen.life.record.clone(),
        diagram: diagram::diagram(seen, &story, causality, &verdict.header),
        steps: diagram::text(seen, &story),
    }
}

fn life_figure(index: usize, seen: &Seen, causality: &Causality, verdict: &Verdict) -> LifeFigure {
    let LifeModel { record, diagram, steps } = model(seen, causality, verdict);
    let kind = seen.anomaly.kind.name();
    let by = seen.anomaly.group.map(|group| names::application(&verdict.header, group));
    let by = by.map(|by| format!(" by {by}")).unwrap_or_default();
    let heading = match kind {
        "phantom" | "ghost" => format!("{record} is a {kind}{by}"),
        _ => format!("{record} is {kind}{by}"),
    };
    let sentence = capitalised(seen.anomaly.cause.sentence());
    let last = steps.last().map(|step| format!("{:#}", step.at)).unwrap_or_default();
    let first = steps.first().map(|step| format!("{:#}", step.at)).unwrap_or_default();
    let alternative = format!(
        "Space-time diagram of the life of {record}, from {first} to {last}: {} on {}. The list \
         that follows says the same in words.",
        names::counted(diagram.rows.iter().filter(|row| row.step.is_some()).count() as u64, "step"),
        processes(diagram.columns.len()),
    );
    let figure =
        Figure::new(&format!("life-{}", index + 1), &format!("The life of {record}"), |width| {
            draw::draw(&diagram, width)
        })
        .read(if index == 0 { HOW_TO_READ } else { "To be read like the first one." })
        .instead(&alternative);
    let paragraphs = paragraphs(seen);
    LifeFigure { record, heading, sentence, paragraphs, figure, steps }
}

const HOW_TO_READ: &str = "Time runs down, not to scale. A column is a process, with no line while it \
    is dead and a dashed one while it stands still; a bar is a copy of the record; arrows are \
    requests, dashed ones responses. Only what led to the end is shown.";

/// The ending of the life without what the sentence has said.
fn paragraphs(seen: &Seen) -> Vec<String> {
    let why = format!(": {}.", seen.anomaly.cause.sentence());
    seen.life.ending.iter().filter(|line| !line.ends_with(&why)).cloned().collect()
}

fn processes(count: usize) -> String {
    if count == 1 { "1 process".to_owned() } else { format!("{count} processes") }
}

fn capitalised(sentence: &str) -> String {
    let mut letters = sentence.chars();
    match letters.next() {
        Some(first) => format!("{}{}.", first.to_uppercase(), letters.as_str()),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests;
