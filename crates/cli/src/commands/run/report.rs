//! The verdict of one history, for a person: what happened to the records, why, which one to look
//! at, when it happened, and whether it was expected.

mod groups;

use crate::args::RunArgs;
use crate::request::Request;
use crate::text::{
    Align, BAD, BOLD, DIM, GOOD, Rows, grouped, micros, percent, seconds, share, styled, wrapped,
};
use acklab_experiment::Outcome;
use acklab_verdict::names;
use acklab_verdict::{Anomaly, AnomalyKind, CauseCount, Promise, RecordCounts, Verdict};
use acklab_vocab::time::SimDuration;
use std::collections::BTreeMap;

/// The whole report.
pub fn render(request: &Request, outcome: &Outcome, args: &RunArgs, width: usize) -> String {
    let verdict = &outcome.verdict;
    let mut page = Page { text: String::new(), width, request, args };
    page.title(outcome);
    page.totals(&verdict.records);
    page.anomalies(verdict);
    page.breakdown("producer", &verdict.producers);
    page.breakdown("topic", &verdict.topics);
    page.producer_exceptions(verdict);
    page.groups(verdict);
    page.transactions(verdict);
    page.readers(verdict);
    page.latency(verdict);
    page.timeline(verdict);
    page.violations(verdict);
    page.expectations(outcome);
    page.text
}

struct Page<'a> {
    text: String,
    width: usize,
    request: &'a Request,
    args: &'a RunArgs,
}

impl Page<'_> {
    fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    fn title(&mut self, outcome: &Outcome) {
        let header = &outcome.verdict.header;
        let variant = match header.variant.as_str() {
            acklab_scenario::BASE => String::new(),
            variant => format!(" · {variant}"),
        };
        let title = format!("{}{variant}", header.scenario);
        self.line(&format!(
            "{} · seed {} · Kafka {} · {} simulated · {} events",
            styled(BOLD, &title),
            header.seed,
            header.kafka,
            seconds(outcome.ended_at),
            grouped(outcome.events),
        ));
        self.line("");
    }

    fn totals(&mut self, counts: &RecordCounts) {
        let cells = |cells: &[(u64, &str)]| -> Vec<String> {
            cells.iter().flat_map(|&(count, what)| [grouped(count), what.to_owned()]).collect()
        };
        let mut rows = Rows::new(&[Align::Right, Align::Left].repeat(5)).tight();
        rows.add(cells(&[
            (counts.sent, "sent"),
            (counts.acked, "acked"),
            (counts.failed, "failed"),
            (counts.unknown, "unknown"),
            (counts.aborted, "aborted"),
        ]));
        rows.add(cells(&[
            (counts.stored, "stored"),
            (counts.lost, "lost"),
            (counts.phantom, "phantom"),
            (counts.expired, "expired"),
            (counts.undecided, "undecided"),
        ]));
        rows.add(cells(&[
            (counts.duplicated, "duplicated"),
            (counts.extra_copies, "extra copies"),
            (counts.reordered, "reordered"),
        ]));
        self.text.push_str(&rows.render(self.width));
        self.line("");
    }

    fn anomalies(&mut self, verdict: &Verdict) {
        for kind in KINDS {
            let causes: Vec<&CauseCount> =
                verdict.causes.iter().filter(|of| of.kind == kind).collect();
            if causes.is_empty() {
                continue;
            }
            let sentence = headline(kind, &verdict.records);
            self.line(&format!("  {}", styled(BAD, &sentence)));
            for cause in causes {
                let of_it =
                    |anomaly: &&Anomaly| anomaly.kind == kind && anomaly.cause == cause.cause;
                self.cause(cause, verdict.anomalies.iter().find(of_it), verdict);
            }
            self.line("");
        }
    }

    fn cause(&mut self, of: &CauseCount, example: Option<&Anomaly>, verdict: &Verdict) {
        let promise = match of.promise {
            Promise::Kept if of.why_kept.is_empty() => "promise kept".to_owned(),
            Promise::Kept => format!("promise kept: {}", of.why_kept),
            Promise::KnownViolation(issue) => {
                format!("promise broken, as documented for this version: {issue}")
            }
            Promise::Broken => styled(BAD, "promise broken"),
        };
        let sentence = of.cause.sentence();
        let count = grouped(of.count);
        let first = format!("  {count:>6}  {sentence}");
        let both = format!("{first}    {promise}");
        if plain_width(&both) <= self.width {
            self.line(&both);
        } else {
            let mut lines = wrapped(sentence, self.width - 10).into_iter();
            self.line(&format!("  {count:>6}  {}", lines.next().unwrap_or_default()));
            lines.for_each(|line| self.line(&format!("          {line}")));
            self.paragraph(&promise, 10);
        }
        self.paragraph(&format!("prevented by: {}", of.cause.prevention()), 10);
        if let Some(anomaly) = example {
            let record = crate::text::quoted(&names::record(&verdict.header, anomaly.record));
            let mut more = format!("--record {record}");
            if let Some(group) = anomaly.group {
                let name = names::application(&verdict.header, group);
                more.push_str(&format!(" --group {}", crate::text::quoted(&name)));
            }
            let command = self.request.command("explain", self.args.seed, &more);
            // A command is never wrapped: it is to be copied.
            self.line(&format!("          explain one: {}", styled(DIM, &command)));
        }
    }

    fn paragraph(&mut self, text: &str, indent: usize) {
        for line in wrapped(text, self.width - indent) {
            self.line(&format!("{}{line}", " ".repeat(indent)));
        }
    }

    /// Only where there are several: a single one has the totals.
    fn breakdown(&mut self, what: &str, counts: &BTreeMap<String, RecordCounts>) {
        if counts.len() < 2 {
            return;
        }
        let mut columns = vec![(what, Align::Left)];
        columns.extend(BREAKDOWN.iter().map(|&(name, _)| (name, Align::Right)));
        let mut rows = Rows::with_header(&columns);
        for (name, counts) in counts {
            let numbers = BREAKDOWN.iter().map(|(_, of)| grouped(of(counts)));
            rows.add(std::iter::once(name.clone()).chain(numbers));
        }
        self.text.push_str(&rows.render(self.width));
        self.line("");
    }

    fn readers(&mut self, verdict: &Verdict) {
        let mut rows = Rows::new(&[
            Align::Left,
            Align::Right,
            Align::Right,
            Align::Right,
            Align::Right,
            Align::Right,
        ]);
        for (name, counts) in &verdict.readers {
            rows.add([
                name.clone(),
                format!("{} read", grouped(counts.read)),
                format!("{} read again", grouped(counts.reread)),
                names::counted(counts.resets, "reset"),
                names::counted(counts.truncations, "truncation"),
                format!("{} stopped", names::counted(counts.stopped, "partition")),
            ]);
        }
        if !rows.is_empty() {
            self.text.push_str(&rows.render(self.width));
            self.line("");
        }
    }

    fn latency(&mut self, verdict: &Verdict) {
        let mut rows = Rows::with_header(&[
            ("latency", Align::Left),
            ("p50", Align::Right),
            ("p90", Align::Right),
            ("p99", Align::Right),
            ("max", Align::Right),
        ]);
        let produce = ("created to acked", &verdict.produce_latency);
        let end_to_end = ("created to read", &verdict.end_to_end_latency);
        for (name, latency) in [produce, end_to_end] {
            let it = &latency.summary;
            if !latency.histogram.is_empty() {
                let times = [it.p50, it.p90, it.p99, it.max].map(micros);
                rows.add(std::iter::once(name.to_owned()).chain(times));
            }
        }
        if !rows.is_empty() {
            self.text.push_str(&rows.render(self.width));
            self.line("");
        }
    }

    fn timeline(&mut self, verdict: &Verdict) {
        if verdict.timeline.is_empty() {
            return;
        }
        let times: Vec<String> =
            verdict.timeline.iter().map(|entry| entry.at.to_string()).collect();
        let time_width = times.iter().map(String::len).max().unwrap_or(0);
        let margin = LABEL + time_width + 2;
        let indent = " ".repeat(margin);
        for (number, (entry, at)) in verdict.timeline.iter().zip(times).enumerate() {
            let label = if number == 0 { "  timeline" } else { "" };
            let mut lines = wrapped(&entry.text, self.width - margin);
            if let Some(aside) = &entry.aside {
                let last = lines.last_mut().expect("a text has a line");
                let room = self.width - margin - last.chars().count();
                if room >= aside.chars().count() + 4 {
                    last.push_str("    ");
                    last.push_str(aside);
                } else {
                    lines.push(aside.clone());
                }
            }
            let mut lines = lines.into_iter();
            let first = lines.next().unwrap_or_default();
            self.line(&format!("{label:LABEL$}{at:>time_width$}  {first}"));
            lines.for_each(|line| self.line(&format!("{indent}{line}")));
        }
        self.leaderless(verdict);
        self.line("");
    }

    /// The partition that was without a leader for longest.
    fn leaderless(&mut self, verdict: &Verdict) {
        let worst = verdict.unavailability.iter().max_by_key(|of| of.leaderless_total);
        if let Some(worst) = worst.filter(|of| of.leaderless_total > SimDuration::ZERO) {
            let name = verdict.partition_name(worst.partition);
            let total = micros(worst.leaderless_total.as_micros());
            let longest = micros(worst.write_gap_longest.as_micros());
            let text =
                format!("{name}: {total} without a working leader, {longest} without a write");
            self.line(&format!("{:LABEL$}{text}", "  downtime"));
        }
    }

    fn violations(&mut self, verdict: &Verdict) {
        let lists =
            [("violation", &verdict.violations), ("known violation", &verdict.known_violations)];
        for (what, violations) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
            let heading = names::counted(violations.len() as u64, what);
            self.line(&format!("  {}", styled(BAD, &heading)));
            for violation in violations.iter().take(VIOLATIONS_SHOWN) {
                let known = violation.known.map_or_else(String::new, |issue| format!(" ({issue})"));
                let node = violation.node.map(|node| names::node(&verdict.header, node));
                let node = node.map_or_else(String::new, |node| format!("{node}: "));
                self.paragraph(
                    &format!(
                        "{} {node}{}: {}{known}",
                        violation.at, violation.invariant, violation.text
                    ),
                    4,
                );
            }
            let more = violations.len().saturating_sub(VIOLATIONS_SHOWN);
            if more > 0 {
                self.line(&format!("    and {} more, see --json", grouped(more as u64)));
            }
            self.line("");
        }
    }

    fn expectations(&mut self, outcome: &Outcome) {
        let all = outcome.expectations.len();
        let failed: Vec<_> = outcome.expectations.iter().filter(|it| !it.held).collect();
        let summary = if failed.is_empty() {
            styled(GOOD, &format!("all {all} held"))
        } else {
            styled(BAD, &format!("{} of {all} did not hold", failed.len()))
        };
        let digest = &outcome.verdict.digest;
        let digest = format!("digest {} / {}", digest.trajectory, digest.verdict);
        let label = format!("{:LABEL$}", "  expected");
        let gap = self.width.saturating_sub(LABEL + plain_width(&summary) + digest.len()).max(2);
        let space = " ".repeat(gap);
        self.line(&format!("{label}{summary}{space}{}", styled(DIM, &digest)));
        if failed.is_empty() {
            // Lines break between expectations only.
            let texts: Vec<String> =
                outcome.expectations.iter().map(|it| it.text.replace(' ', NO_BREAK)).collect();
            for line in wrapped(&texts.join(" · "), self.width - LABEL) {
                self.line(&format!("{:LABEL$}{}", "", line.replace(NO_BREAK, " ")));
            }
        }
        let is_changed = self.request.is_changed();
        let only_promises = is_changed && !failed.is_empty() && !self.args.promises_only;
        for expected in failed {
            let text = format!("not {}: {}", expected.text, expected.actual);
            self.paragraph(&text, LABEL);
        }
        if only_promises {
            self.paragraph(NOT_ITS_OWN, LABEL);
        }
    }
}

fn headline(kind: AnomalyKind, counts: &RecordCounts) -> String {
    match kind {
        AnomalyKind::Lost => format!("lost {}", share(counts.lost, counts.acked, "acked")),
        AnomalyKind::Duplicated => format!(
            "duplicated {}, {}",
            share(counts.duplicated, counts.stored, "stored"),
            match counts.extra_copies {
                1 => "1 extra copy".to_owned(),
                copies => format!("{} extra copies", grouped(copies)),
            }
        ),
        AnomalyKind::Reordered => {
            format!("reordered {}", share(counts.reordered, counts.stored, "stored"))
        }
        AnomalyKind::Phantom => format!(
            "phantom {} of {} failed or aborted are stored ({})",
            grouped(counts.phantom),
            grouped(counts.failed + counts.aborted),
            percent(counts.phantom, counts.failed + counts.aborted)
        ),
        AnomalyKind::Reprocessed | AnomalyKind::Skipped | AnomalyKind::Ghost => {
            kind.name().to_owned()
        }
    }
}

/// Characters without the escape codes of styles.
fn plain_width(text: &str) -> usize {
    anstream::adapter::strip_str(text).to_string().chars().count()
}

type CountOf = fn(&RecordCounts) -> u64;

const BREAKDOWN: [(&str, CountOf); 9] = [
    ("sent", |of| of.sent),
    ("acked", |of| of.acked),
    ("failed", |of| of.failed),
    ("unknown", |of| of.unknown),
    ("stored", |of| of.stored),
    ("lost", |of| of.lost),
    ("duplicated", |of| of.duplicated),
    ("reordered", |of| of.reordered),
    ("phantom", |of| of.phantom),
];

/// What can be wrong with a record in the log.
const KINDS: [AnomalyKind; 4] =
    [AnomalyKind::Lost, AnomalyKind::Duplicated, AnomalyKind::Reordered, AnomalyKind::Phantom];

/// For whoever changes a scenario and wonders why it fails.
const NOT_ITS_OWN: &str = "The scenario expects it of its own settings and faults; with \
                           --promises-only, only what Kafka promises has to hold.";

/// Width of the labels at the left.
const LABEL: usize = 13;

/// A space at which no line breaks.
const NO_BREAK: &str = "\u{a0}";

/// So many violations are shown.
const VIOLATIONS_SHOWN: usize = 10;
