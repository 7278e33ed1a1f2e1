//! Why, by cause; what happened, in order; settings, expectations, and how to see the run again.

use super::super::{Cell, Html, Table};
use crate::plot::instant;
use crate::run::model::{Head, PromiseWord, RunPage, ViolationRow};
use askama::Template;

/// Anomalies by cause.
#[must_use]
pub fn causes(page: &RunPage) -> Html {
    if page.causes.shown.is_empty() {
        let mut html = Html::default();
        html.paragraph("No record met with an anomaly, so there is nothing to explain.");
        return html;
    }
    let headings = ["anomaly", "count#", "share#", "cause", "promise", "prevented by"];
    let mut table =
        Table::new("Anomalies by cause, each with the command that explains one.", &headings);
    for row in &page.causes.shown {
        let kind = match &row.group {
            Some(group) => format!("{} by {group}", row.kind),
            None => row.kind.clone(),
        };
        table.add([
            Cell::name(kind),
            Cell::bad_count(row.count),
            Cell::text(&row.share),
            Cell::text(&row.words),
            Cell::held(&row.promise_words, row.promise != PromiseWord::Broken),
            Cell::text(&row.prevented_by),
        ]);
        if let Some(line) = &row.explain {
            table.command(line);
        }
    }
    table.and_more(page.causes.left_out, "causes").html()
}

#[derive(Template)]
#[template(path = "run/timeline.html")]
struct Timeline<'a> {
    rows: Vec<(u64, String, &'a str, Option<&'a str>)>,
    left_out: u64,
}

/// What happened, in order.
#[must_use]
pub fn timeline(page: &RunPage) -> Html {
    if page.timeline.shown.is_empty() {
        return Html::default();
    }
    let row = |row: &crate::run::model::TimelineRow| row.at_us;
    let rows = page.timeline.shown.iter();
    let rows = rows
        .map(|of| (row(of), instant(of.at_us), of.text.as_str(), of.aside.as_deref()))
        .collect();
    Html::of(&Timeline { rows, left_out: page.timeline.left_out })
}

/// What was set, what was expected, what was broken.
#[must_use]
pub fn settings(head: &Head) -> Html {
    let mut setup = Table::new("The cluster and its clients.", &["what", "how"]);
    for row in &head.setup.shown {
        setup.add([Cell::name(&row.name), Cell::text(&row.text)]);
    }
    let caption = format!("Properties that differ from Kafka {}'s defaults.", head.kafka);
    let mut differ = Table::new(&caption, &["of", "property", "here", "default"]);
    for row in &head.settings.shown {
        differ.add([
            Cell::name(&row.owner),
            Cell::text(&row.property),
            Cell::text(&row.value),
            Cell::text(&row.default),
        ]);
    }
    let mut expected = Table::new("What the scenario expects.", &["expected", "held", "was"]);
    for row in &head.expectations.shown {
        expected.add([
            Cell::name(&row.text),
            Cell::held(if row.held { "yes" } else { "no" }, row.held),
            Cell::text(&row.actual),
        ]);
    }
    let mut html = Html::join([
        expected.and_more(head.expectations.left_out, "expectations").html(),
        violations("Promises and invariants that were broken.", &head.violations.shown)
            .and_more(head.violations.left_out, "violations")
            .html(),
        violations("Broken as is known of this version.", &head.known_violations.shown)
            .and_more(head.known_violations.left_out, "known violations")
            .html(),
        setup.and_more(head.setup.left_out, "lines").html(),
        differ.and_more(head.settings.left_out, "properties").html(),
    ]);
    if head.settings.shown.is_empty() {
        html.paragraph(&format!("Every property is at its default of Kafka {}.", head.kafka));
    }
    if let Some(stuck) = &head.stuck {
        html.paragraph(&format!(
            "It did not come to rest by {}: {}.",
            instant(stuck.at_us),
            stuck.because.join("; ")
        ));
    }
    html
}

fn violations(caption: &str, rows: &[ViolationRow]) -> Table {
    let mut table = Table::new(caption, &["what", "first at#", "on", "seen", "known as"]);
    for row in rows {
        table.add([
            Cell::name(&row.name),
            Cell::text(instant(row.at_us)),
            Cell::or_dash(row.process.clone()),
            Cell::text(&row.text),
            Cell::or_dash(row.issue.clone()),
        ]);
    }
    table
}

/// Commands, versions, digests.
#[must_use]
pub fn again(head: &Head) -> Html {
    let mut commands = Table::new("Commands that show this history again.", &["what", "command"]);
    for row in &head.commands {
        commands.add([Cell::name(&row.purpose), Cell::command(&row.line)]);
    }
    let mut run = Table::new("What makes it this history and no other.", &["what", "value"]);
    let rows = [
        ("scenario", head.scenario.clone()),
        ("variant", head.variant.clone().unwrap_or_else(|| "base".to_owned())),
        ("seed", head.seed.to_string()),
        ("Kafka", head.kafka.clone()),
        ("acklab", head.acklab.clone()),
        ("events", acklab_verdict::names::grouped(head.events)),
        ("digest of every event", head.digest_trajectory.clone()),
        ("digest of the fates", head.digest_verdict.clone()),
    ];
    for (name, value) in rows {
        run.add([Cell::name(name), Cell::text(value)]);
    }
    Html::join([commands.html(), run.html()])
}
