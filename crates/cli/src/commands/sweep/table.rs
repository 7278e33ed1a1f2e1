//! A sweep for a person: the answer, then how probable and how many, why, at what cost, compared
//! how, and which seeds show it.

use super::sections;
use crate::text::{BAD, BOLD, GOOD, grouped, styled, wrapped};
use acklab_experiment::sweep::report::{Ended, SweepReport};
use acklab_report::sweep::answer::{Clause, Tone, clauses, histories_of};
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

    /// There is no room for everything that a table could show.
    pub fn is_narrow(&self) -> bool {
        self.width < WIDE
    }

    /// A cell in a table: its name; its values alone where names are long; where these are long too,
    /// the number that stands before its name in the answer.
    pub fn short(&self, cell: usize) -> String {
        let cells = &self.report.cells;
        let room = self.width / 6;
        let labels = |cell: usize| match cells[cell].labels.as_slice() {
            [] => cells[cell].name.clone(),
            labels => labels.join(", "),
        };
        let fits = |name: &dyn Fn(usize) -> String| {
            (0..cells.len()).all(|cell| name(cell).chars().count() <= room)
        };
        if fits(&|cell| cells[cell].name.clone()) {
            cells[cell].name.clone()
        } else if fits(&labels) {
            labels(cell)
        } else if cells.len() == 1 {
            "all".to_owned()
        } else {
            self.number(cell)
        }
    }

    fn number(&self, cell: usize) -> String {
        format!("[{}]", cell + 1)
    }

    /// A heading, with an empty line above.
    pub fn heading(&mut self, heading: &str, rest: &str) {
        self.line("");
        let words = format!("{heading}\u{0}{rest}");
        let mut is_rest = false;
        for line in wrapped(&words, self.width - 2) {
            let (bold, plain) = match line.split_once('\u{0}') {
                Some((bold, plain)) => {
                    is_rest = true;
                    (bold.to_owned(), plain.to_owned())
                }
                None if is_rest => (String::new(), line),
                None => (line, String::new()),
            };
            let bold = if bold.is_empty() { bold } else { styled(BOLD, &bold) };
            self.line(&format!("  {bold}{plain}"));
        }
    }

    /// A paragraph after a label that stands to the left of all its lines.
    pub fn paragraph(&mut self, label: &str, label_width: usize, text: &str) {
        let text = whole_intervals(text);
        let lines = wrapped(&text, self.width.saturating_sub(label_width + 4).max(20));
        for (position, line) in lines.iter().enumerate() {
            let label = if position == 0 { label } else { "" };
            let padding = label_width.saturating_sub(label.chars().count());
            let label = if label.is_empty() { String::new() } else { styled(BOLD, label) };
            let line = line.replace(NO_BREAK, " ");
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
        let title = format!(
            "{} · seeds {} · Kafka {} · {}{cells}",
            report.scenario,
            report.seeds,
            report.kafka,
            histories_of(histories),
        );
        for (position, line) in wrapped(&title, self.width).into_iter().enumerate() {
            match line.strip_prefix(report.scenario.as_str()).filter(|_| position == 0) {
                Some(rest) => self.line(&format!("{}{rest}", styled(BOLD, &report.scenario))),
                None => self.line(&line),
            }
        }
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
        let report = self.report;
        let is_numbered = report.cells.len() > 1 && self.short(0) == self.number(0);
        let name = |cell: usize| match is_numbered {
            true => format!("{} {}", self.number(cell), report.cells[cell].name),
            false => report.cells[cell].name.clone(),
        };
        let names: Vec<String> = (0..report.cells.len()).map(name).collect();
        let widest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
        for (cell, name) in names.iter().enumerate() {
            if widest > self.width / 4 {
                wrapped(name, self.width - 2)
                    .iter()
                    .for_each(|line| self.line(&format!("  {}", styled(BOLD, line))));
                self.paragraph("", 2, &answer(report, cell));
            } else {
                self.paragraph(name, widest, &answer(report, cell));
            }
        }
    }
}

const NO_BREAK: char = '\u{a0}';

/// Intervals are not broken into lines: `[87.6, 94.0]`.
fn whole_intervals(text: &str) -> String {
    // Styles are written with brackets too, but have no spaces in them.
    let parts = text.split_inclusive(']').map(|part| match part.rsplit_once(" [") {
        Some((before, ends)) => format!("{before} [{}", ends.replace(' ', "\u{a0}")),
        None => part.to_owned(),
    });
    parts.collect()
}

/// From so many columns on, tables show everything.
const WIDE: usize = 96;

/// `loses records in 91.3 % of histories [87.6, 94.0], then median 14, worst 41; …`
fn answer(report: &SweepReport, cell: usize) -> String {
    let clauses = clauses(report, cell).into_iter().map(|Clause { tone, lead, rest }| {
        let lead = match tone {
            _ if lead.is_empty() => lead,
            Tone::Bad => styled(BAD, &lead),
            Tone::Good => styled(GOOD, &lead),
            Tone::Plain => lead,
        };
        format!("{lead}{rest}")
    });
    clauses.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use acklab_experiment::Seeds;
    use acklab_experiment::sweep::{self, Collected, Selection, SweepOptions, SweepPlan};
    use acklab_scenario::ScenarioFile;
    use std::num::NonZeroUsize;
    use std::ops::ControlFlow;

    const LONG: &str = "the leader is killed while a follower is cut off";

    fn text(name: &str) -> String {
        format!(
            r#"Scenario(about: "x", kafka: "3.9", duration: "300ms",
            cluster: (brokers: 3, mode: KRaft(controllers: 1)),
            topics: {{"orders": (assignments: [[1, 2, 3]])}}, network: (latency: Uniform("1ms", "2ms")),
            producers: [(name: "shop", topic: "orders", rate: 200)],
            groups: [(id: "billing", topics: ["orders"], members: 1, commit: Auto)],
            faults: [(at: "150ms", fault: Kill(LeaderOf("orders", 0)))],
            variants: {{"{name}": (), "{name}, twice": ()}})"#
        )
    }

    fn report(vary: &[&str]) -> SweepReport {
        let file = ScenarioFile::parse("crash", None, &text(LONG)).expect("it is sound");
        let options = SweepOptions {
            seeds: Seeds::new(0, 2).expect("not empty"),
            variant: "base".to_owned(),
            sets: Vec::new(),
            vary: vary.iter().map(|vary| vary.parse().expect("a dimension")).collect(),
            until_width: None,
            gates: Vec::new(),
        };
        let select = |_: &str, sets: &[acklab_scenario::Setting]| Selection {
            scenario: "crash.ron".to_owned(),
            options: sets.iter().map(|set| format!(" --set {set}")).collect(),
        };
        let plan = SweepPlan::new(&file, options, "acklab sweep crash.ron", select);
        let Ok(plan) = plan else { panic!("the scenario is sound") };
        let run = sweep::run(&plan, NonZeroUsize::MIN, Collected::new(&plan), |_, _| {
            ControlFlow::Continue(())
        });
        sweep::report(&plan, &run)
    }

    #[test]
    fn twelve_cells_fit_80_and_100_columns() {
        let grid = report(&["producers/acks=0,1,all", "producers/linger.ms=0,5,10,20"]);
        let variants = format!("variant=base,{LONG}");
        let long = report(&["producers/acks=0,1,all", &variants]);
        for report in [&grid, &long] {
            for width in [80, 100] {
                let text = render(report, width);
                let text = anstream::adapter::strip_str(&text).to_string();
                for line in text.lines() {
                    let columns = line.chars().count();
                    assert!(columns <= width, "{columns} of {width}: {line}");
                    let of = |bracket: char| line.matches(bracket).count();
                    let (open, closed) = (of('['), of(']'));
                    assert!(open == closed || !line.contains("  "), "torn: {line}");
                }
                assert!(text.contains("in 1 of 2 seeds"), "{text}");
                assert!(text.contains("mean over all"), "{text}");
            }
        }
        let text = render(&long, 80);
        let text = anstream::adapter::strip_str(&text).to_string();
        assert!(text.contains("[6] acks=all"), "long names have numbers: {text}");
    }
}
