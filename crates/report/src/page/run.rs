//! The page of a run: its verdict, then time, then single records, then tables.

mod backdrop;
mod counts;
mod state;
mod tables;
mod time;

use super::{
    GROUP_TERMS, Html, Page, RECORD_TERMS, REPLICATION_TERMS, SHARING_TERMS, Section, Term, shell,
};
use crate::life::{self, LifeFigure};
use crate::run::model::{Head, Representative, RunPage};
use crate::run::{self, Commands, Limits};
use acklab_experiment::{Case, Defect, Outcome};
use acklab_verdict::names::grouped;
use acklab_verdict::{Anomaly, Verdict};
use askama::Template;

/// A history as a page.
#[derive(Clone, Debug)]
pub struct Report {
    /// The whole file.
    pub html: String,
    /// The verdict in words.
    pub sentence: String,
    /// What the history has come to.
    pub outcome: Outcome,
}

/// Runs a seed and makes its page. `say` writes a command line that asks for the same run: it is
/// given the verb, and what comes behind the selection of the run.
///
/// # Errors
/// [`Defect`] if the simulator panics.
pub fn report(case: &Case, seed: u64, say: Commands<'_>) -> Result<Report, Defect> {
    let followed = run::follow(case, seed)?;
    let verdict = &followed.outcome.verdict;
    let mut limits = Limits::FULL;
    let mut page = followed.page(case, say, limits);
    let shown = page.representatives.shown.iter();
    let anomalies: Vec<Anomaly> = shown.filter_map(|one| anomaly(verdict, one)).collect();
    let lives = life::figures(case, verdict, &anomalies)?;
    let html = loop {
        let lives = &lives[..lives.len().min(page.representatives.shown.len())];
        let html = html(&page, lives);
        match limits.half().filter(|_| html.len() > LARGEST) {
            Some(half) => limits = half,
            None => break html,
        }
        page = followed.page(case, say, limits);
    };
    Ok(Report { html, sentence: page.head.sentence, outcome: followed.outcome })
}

/// So many bytes a page has at most.
pub const LARGEST: usize = 2_000_000;

fn anomaly(verdict: &Verdict, of: &Representative) -> Option<Anomaly> {
    let is_it = |anomaly: &&Anomaly| {
        anomaly.record == of.id && anomaly.kind.name() == of.kind && anomaly.group == of.group
    };
    verdict.anomalies.iter().find(is_it).cloned()
}

/// The whole file.
#[must_use]
pub fn html(page: &RunPage, lives: &[LifeFigure]) -> String {
    let head = &page.head;
    let mut sections = vec![Section::new("time", "Time", time_section(page))];
    if !lives.is_empty() {
        sections.push(Section::new("records", "Single records", lives_section(page, lives)));
    }
    sections.push(Section::new("causes", "Causes", tables::causes(page)));
    sections.push(Section::new("counts", "Counts", counts::counts(page)));
    sections.push(Section::new("settings", "Settings and expectations", tables::settings(head)));
    sections.push(Section::new("again", "See it again", tables::again(head)));
    shell(&Page {
        title: title(head),
        description: head.sentence.clone(),
        top: top(head),
        sections,
        glossary: glossary(page),
        colophon: format!(
            "acklab {} · {} · seed {} · digests {} / {}",
            head.acklab, head.scenario, head.seed, head.digest_trajectory, head.digest_verdict
        ),
        summary: summary(head),
        data: vec![("acklab-state", slider_data(page))],
        has_slider: true,
    })
}

/// `acks-1-leader-crash, acks=all, seed 7`
fn title(head: &Head) -> String {
    let variant = head.variant.as_ref().map(|variant| format!(", {variant}")).unwrap_or_default();
    format!("{}{variant}, seed {} – acklab", head.scenario, head.seed)
}

#[derive(Template)]
#[template(path = "run/top.html")]
struct Top<'a> {
    head: &'a Head,
    simulated: String,
    answer: &'a str,
    rest: &'a str,
    unmet: Vec<String>,
}

fn top(head: &Head) -> Html {
    let (answer, rest) = first_sentence(&head.sentence);
    Html::of(&Top {
        head,
        simulated: simulated(head.simulated_us),
        answer,
        rest,
        unmet: unmet(head),
    })
}

/// `12.3 s`, as `acklab run` says it: what is past the tenth is left out.
fn simulated(micros: u64) -> String {
    let tenths = micros / 100_000;
    format!("{}.{} s", grouped(tenths / 10), tenths % 10)
}

/// What did not hold, each in a line.
fn unmet(head: &Head) -> Vec<String> {
    let expectations = head.expectations.shown.iter().filter(|row| !row.held);
    let mut lines: Vec<String> = expectations
        .map(|row| match row.actual.as_str() {
            "" => format!("Expected, but not so: {}", row.text),
            actual => format!("Expected, but not so: {} (it is {actual})", row.text),
        })
        .collect();
    lines.extend(
        head.violations.shown.iter().map(|row| format!("Broken: {}. {}", row.name, row.text)),
    );
    lines
}

/// A share in per cent with two decimals.
fn hundredths(part: i64, whole: i64) -> String {
    let (part, whole) = (i128::from(part.max(0)), i128::from(whole.max(1)));
    let share = (part * 10_000 / whole).min(10_000);
    format!("{}.{:02}", share / 100, share % 100)
}

/// The first sentence, and the others.
fn first_sentence(text: &str) -> (&str, &str) {
    match text.split_once(". ") {
        Some((first, rest)) if !rest.is_empty() => (first, rest.trim()),
        _ => (text.trim_end_matches('.'), ""),
    }
}

fn time_section(page: &RunPage) -> Html {
    Html::join([
        shortened(page),
        state::state(page),
        time::panels(page),
        time::percentiles(page),
        tables::timeline(page),
    ])
}

/// What is said of a run that is too large to be shown as a whole.
fn shortened(page: &RunPage) -> Html {
    let mut said = Html::default();
    if page.shortened > 1 {
        said.paragraph(&format!(
            "This run is larger than a page: figures, tables and the slider have at most {} of the \
             detail that others have. The verdict and every count are of the whole run.",
            match page.shortened {
                2 => "half".to_owned(),
                many => format!("a {many}th"),
            }
        ));
    }
    said
}

#[derive(Template)]
#[template(path = "run/lives.html")]
struct Lives<'a> {
    lives: Vec<LifeOf<'a>>,
    left_out: u64,
}

/// The life of a record, with the command that tells it.
struct LifeOf<'a> {
    life: &'a LifeFigure,
    explain: Option<&'a str>,
}

fn lives_section(page: &RunPage, lives: &[LifeFigure]) -> Html {
    let explain = |life: &LifeFigure| {
        let same = page.representatives.shown.iter().find(|one| one.record == life.record);
        same.map(|one| one.explain.as_str())
    };
    let lives = lives.iter().map(|life| LifeOf { life, explain: explain(life) }).collect();
    Html::of(&Lives { lives, left_out: page.representatives.left_out })
}

/// The words that this page uses.
fn glossary(page: &RunPage) -> Vec<Term> {
    let groups = if page.groups.is_empty() { &[] } else { GROUP_TERMS };
    let is_shared_out = page.groups.shown.iter().any(|group| group.sharing.is_some());
    let sharing = if is_shared_out { SHARING_TERMS } else { &[] };
    [RECORD_TERMS, REPLICATION_TERMS, groups, sharing].concat()
}

/// What an index of reports shows.
fn summary(head: &Head) -> serde_json::Value {
    let numbers = head.key_numbers.iter().map(|number| {
        serde_json::json!({
            "label": number.label,
            "value": number.value,
            "of": number.of,
            "is_anomaly": number.is_anomaly,
        })
    });
    serde_json::json!({
        "schema": 1,
        "kind": "run",
        "scenario": head.scenario,
        "variant": head.variant,
        "seed": head.seed,
        "kafka": head.kafka,
        "sentence": head.sentence,
        "tone": head.tone,
        "numbers": numbers.collect::<Vec<_>>(),
        "command": head.commands.first().map(|command| command.line.as_str()),
    })
}

/// What the script needs: the state at every step, and what happened when.
fn slider_data(page: &RunPage) -> serde_json::Value {
    let events = page.timeline.shown.iter();
    serde_json::json!({
        "words": page.state.layout.words,
        "at": page.state.at_us,
        "first": page.state.first,
        "changes": page.state.changes,
        "events": events.map(|row| (row.at_us, row.text.as_str())).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_a_run_is_the_one_that_run_prints() {
        assert_eq!([12_349_999, 12_350_000, 99].map(simulated), ["12.3 s", "12.3 s", "0.0 s"]);
    }

    #[test]
    fn the_first_sentence_is_the_answer() {
        assert_eq!(first_sentence("All is well."), ("All is well", ""));
        assert_eq!(first_sentence("2 are lost. Why. So."), ("2 are lost", "Why. So."));
    }
}
