//! A sweep for a person: the answer, then how probable and how many, why, at what cost, compared
//! how, and which seeds show it.

use super::sections;
use crate::text::{BAD, BOLD, GOOD, grouped, micros, styled, wrapped};
use acklab_experiment::sweep::report::{AnomalyReport, CellReport, Ended, SweepReport};
use acklab_report::sweep::numbers::{ends, percent};
use acklab_verdict::AnomalyKind;
use acklab_verdict::names::counted;

/// The whole of it.
pub fn render(report: &SweepReport, width: usize) -> String {
    let mut page = Page { text: String::new(), width, report };
    page.title();
    if report.seeds_done > 0 {
        page.answers();
        sections::anomalies(&mut page);
        sections::causes(&mut page);
        sections::latency(&mut page);
        sections::unavailability(&mut page);
        sections::standstill(&mut page);
        sections::comparisons(&mut page);
        sections::examples(&mut page);
        sections::expectations(&mut page);
    }
    page.text
}

/// What is written so far.
pub struct Page<'a> {
    text: String,
    pub width: usize,
    pub report: &'a SweepReport,
}

impl Page<'_> {
    pub fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    /// A table, or whatever else has line breaks already.
    pub fn block(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// A cell in a table: its name, or its values alone where names are long.
    pub fn short(&self, cell: &CellReport) -> String {
        let long = |cell: &CellReport| cell.name.chars().count() > LONG_NAME;
        match self.report.cells.iter().any(long) && !cell.labels.is_empty() {
            true => cell.labels.join(", "),
            false => cell.name.clone(),
        }
    }

    /// A heading, with an empty line above.
    pub fn heading(&mut self, heading: &str, rest: &str) {
        self.line("");
        self.line(&format!("  {}{rest}", styled(BOLD, heading)));
    }

    /// A paragraph after a label that stands to the left of all its lines.
    pub fn paragraph(&mut self, label: &str, label_width: usize, text: &str) {
        let lines = wrapped(text, self.width.saturating_sub(label_width + 4).max(20));
        for (position, line) in lines.iter().enumerate() {
            let label = if position == 0 { label } else { "" };
            let padding = label_width.saturating_sub(label.chars().count());
            let label = if label.is_empty() { String::new() } else { styled(BOLD, label) };
            self.line(&format!("  {label}{:padding$}  {line}", ""));
        }
    }

    fn title(&mut self) {
        let report = self.report;
        let seeds = report.seeds_done;
        let histories = seeds.saturating_mul(report.cells.len() as u64);
        let cells = match report.cells.len() {
            1 => String::new(),
            cells => format!(" in {cells} cells, each on the same seeds"),
        };
        self.line(&format!(
            "{} · seeds {} · Kafka {} · {}{cells}",
            styled(BOLD, &report.scenario),
            report.seeds,
            report.kafka,
            counted_histories(histories),
        ));
        let asked = report.seeds.count();
        match report.ended {
            Ended::Complete => {}
            Ended::NarrowEnough => self.line(&format!(
                "  stopped after {} of {asked}: the intervals are narrow enough",
                counted(seeds, "seed")
            )),
            Ended::Interrupted => {
                let text = format!("interrupted after {} of {asked} seeds", grouped(seeds));
                self.line(&format!("  {}", styled(BAD, &text)));
            }
        }
        self.line("");
    }

    /// One paragraph for each cell: what it does to records, and what it costs.
    fn answers(&mut self) {
        let widest = self.report.cells.iter().map(|cell| cell.name.chars().count()).max();
        let label = widest.unwrap_or(0).min(self.width / 3);
        for cell in &self.report.cells {
            let name = &cell.name;
            if name.chars().count() > label {
                self.line(&format!("  {}", styled(BOLD, name)));
                self.paragraph("", label, &answer(cell));
            } else {
                self.paragraph(name, label, &answer(cell));
            }
        }
    }
}

/// Longer names leave tables too little room.
const LONG_NAME: usize = 16;

/// `loses records in 91.3 % of histories [87.6, 94.0], then 14 at the median, at most 41; …`
fn answer(cell: &CellReport) -> String {
    if cell.seeds == 0 {
        return styled(BAD, "no history came to a verdict");
    }
    let mut parts: Vec<String> =
        cell.anomalies.iter().filter(|of| of.seeds_with > 0).map(suffered).collect();
    if parts.is_empty() {
        let none = cell.anomalies.first().map(|of| ends(&of.probability)).unwrap_or_default();
        let processing = if cell.groups.is_empty() { "" } else { ", processed again or skipped" };
        let clean = format!(
            "nothing lost, duplicated or out of order{processing} in {} {none}",
            counted_histories(cell.seeds)
        );
        parts.push(styled(GOOD, &clean));
    }
    let produce = &cell.latency.produce;
    if produce.records > 0 {
        parts.push(format!(
            "acked in {} (p50), {} (p99)",
            micros(produce.p50),
            micros(produce.p99)
        ));
    }
    parts.join("; ")
}

fn counted_histories(number: u64) -> String {
    if number == 1 { "1 history".to_owned() } else { format!("{} histories", grouped(number)) }
}

fn suffered(of: &AnomalyReport) -> String {
    let verb = match of.anomaly {
        AnomalyKind::Lost => "loses records",
        AnomalyKind::Phantom => "stores records reported as failed",
        AnomalyKind::Duplicated => "duplicates records",
        AnomalyKind::Reordered => "reorders records",
        AnomalyKind::Reprocessed => "processes records again",
        AnomalyKind::Skipped => "skips records",
        AnomalyKind::Ghost => "processes records that are then gone",
    };
    let share = match of.probability.estimate {
        1.0 => "every history".to_owned(),
        share => format!("{} of histories", percent(share)),
    };
    let (median, most) = (of.counts_if_any.p50, of.counts_if_any.max);
    let many = match median == most {
        true => format!("then {}", grouped(most)),
        false => format!("then median {}, worst {}", grouped(median), grouped(most)),
    };
    format!("{} in {share} {}, {many}", styled(BAD, verb), ends(&of.probability))
}
