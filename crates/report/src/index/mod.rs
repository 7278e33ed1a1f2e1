//! The index of a folder of reports.
//!
//! Each page that acklab makes carries a summary of itself, as JSON in a script element; the index
//! reads that and nothing else. Other HTML files are counted and left alone. Nothing in a folder is
//! trusted: names are escaped, and a summary is only ever text.

use acklab_verdict::names::{counted, grouped};
use askama::Template;
use serde::Deserialize;
use std::cmp::Reverse;

use crate::page::{Html, Page, Section, shell};

/// The name of the index in its folder.
pub const FILE_NAME: &str = "index.html";

/// What a report says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Summary {
    /// `run` or `sweep`.
    pub kind: String,
    /// Name of the scenario.
    pub scenario: String,
    /// Its variant, if it is not the base.
    #[serde(default)]
    pub variant: Option<String>,
    /// The seed of a run.
    #[serde(default)]
    pub seed: Option<u64>,
    /// The seeds of a sweep: `0..200`.
    #[serde(default)]
    pub seeds: Option<String>,
    /// What a sweep varies.
    #[serde(default)]
    pub varied: Vec<String>,
    /// How many of its seeds a sweep has run.
    #[serde(default)]
    pub seeds_done: Option<u64>,
    /// Nobody interrupted it.
    #[serde(default = "complete")]
    pub is_complete: bool,
    /// Version of the brokers.
    #[serde(default)]
    pub kafka: String,
    /// The verdict in words.
    pub sentence: String,
    /// How grave it is: `clean`, `anomalies` or `broken`.
    #[serde(default)]
    pub tone: String,
    /// The numbers that carry the verdict.
    #[serde(default)]
    pub numbers: Vec<Number>,
    /// The command that makes the same history again.
    #[serde(default)]
    pub command: Option<String>,
}

fn complete() -> bool {
    true
}

/// A number that carries a verdict.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Number {
    /// What it counts.
    pub label: String,
    /// As people write it.
    pub value: String,
    /// Out of how many, in words.
    #[serde(default)]
    pub of: Option<String>,
    /// It is one that nobody wants.
    #[serde(default)]
    pub is_anomaly: bool,
}

/// A report in the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name of its file.
    pub file: String,
    /// What it says of itself.
    pub summary: Summary,
}

/// What is in a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folder {
    /// Its reports: sweeps first, then by scenario, variant and seed.
    pub entries: Vec<Entry>,
    /// How many other HTML files there are.
    pub foreign: u64,
}

impl Folder {
    /// Sorts out the HTML files of a folder, by name and text. The index itself is no report.
    #[must_use]
    pub fn of(files: impl IntoIterator<Item = (String, String)>) -> Folder {
        let mut folder = Folder::default();
        for (file, text) in files {
            match summary(&text) {
                _ if file == FILE_NAME => {}
                Some(summary) => folder.entries.push(Entry { file, summary }),
                None => folder.foreign += 1,
            }
        }
        folder.entries.sort_by_cached_key(|entry| {
            let Summary { kind, scenario, variant, seed, seeds, .. } = &entry.summary;
            let (kind, scenario) = (Reverse(kind.clone()), scenario.clone());
            (kind, scenario, variant.clone(), *seed, seeds.clone(), entry.file.clone())
        });
        folder
    }

    /// The file of the run that a command shows, as a link relative to the folder.
    #[must_use]
    pub fn link_to(&self, command: &str) -> Option<String> {
        let is_it = |entry: &&Entry| entry.summary.command.as_deref() == Some(command);
        self.entries.iter().find(is_it).map(|entry| link(&entry.file))
    }
}

/// The summary that a page carries, if it is one of acklab's.
#[must_use]
pub fn summary(html: &str) -> Option<Summary> {
    let (_, rest) = html.split_once(r#"<script type="application/json" id="acklab-summary">"#)?;
    let (json, _) = rest.split_once("</script>")?;
    serde_json::from_str(json).ok()
}

/// A relative link to a file of the same folder: nothing in its name can be a scheme or a path.
#[must_use]
pub fn link(file: &str) -> String {
    let mut link = "./".to_owned();
    for byte in file.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'=' | b',' => {
                link.push(char::from(byte));
            }
            other => link.push_str(&format!("%{other:02X}")),
        }
    }
    link
}

#[derive(Template)]
#[template(path = "index/list.html")]
struct List<'a> {
    entries: Vec<Line<'a>>,
}

struct Line<'a> {
    link: String,
    title: String,
    file: &'a str,
    summary: &'a Summary,
}

/// The whole file.
#[must_use]
pub fn page(folder: &Folder) -> String {
    let of_kind =
        |kind: &str| folder.entries.iter().filter(|entry| entry.summary.kind == kind).count();
    let (sweeps, runs) = (of_kind("sweep"), of_kind("run"));
    let mut sections = Vec::new();
    for (id, heading, kind) in [("sweeps", "Sweeps", "sweep"), ("runs", "Runs", "run")] {
        let entries = folder.entries.iter().filter(|entry| entry.summary.kind == kind);
        let entries: Vec<Line<'_>> = entries.map(line).collect();
        if !entries.is_empty() {
            sections.push(Section::new(id, heading, Html::of(&List { entries })));
        }
    }
    let others = folder.entries.len() - sweeps - runs;
    let foreign = folder.foreign + others as u64;
    shell(&Page {
        title: "Reports – acklab".to_owned(),
        description: headline(sweeps, runs),
        top: top(&headline(sweeps, runs), foreign),
        sections,
        colophon: format!("acklab {}", env!("CARGO_PKG_VERSION")),
        ..Page::default()
    })
}

fn headline(sweeps: usize, runs: usize) -> String {
    let counted = |count: usize, what: &str| counted(count as u64, what);
    match (sweeps, runs) {
        (0, 0) => "No reports".to_owned(),
        (0, runs) => counted(runs, "run"),
        (sweeps, 0) => counted(sweeps, "sweep"),
        (sweeps, runs) => format!("{} and {}", counted(sweeps, "sweep"), counted(runs, "run")),
    }
}

fn top(headline: &str, foreign: u64) -> Html {
    let mut html = Html::of(&Top { headline });
    if foreign > 0 {
        let (is, files) = match foreign {
            1 => ("is", "1 other HTML file".to_owned()),
            more => ("are", format!("{} other HTML files", grouped(more))),
        };
        html.paragraph(&format!("In the same folder {is} {files}, which acklab did not make."));
    }
    html
}

#[derive(Template)]
#[template(source = "<h1>{{ headline }}</h1>", ext = "html")]
struct Top<'a> {
    headline: &'a str,
}

fn line(entry: &Entry) -> Line<'_> {
    let summary = &entry.summary;
    let mut title = summary.scenario.clone();
    if let Some(variant) = &summary.variant {
        title.push_str(&format!(", {variant}"));
    }
    if !summary.varied.is_empty() {
        title.push_str(&format!(", {} varied", summary.varied.join(" and ")));
    }
    if let Some(seed) = summary.seed {
        title.push_str(&format!(", seed {seed}"));
    }
    if let Some(seeds) = &summary.seeds {
        title.push_str(&format!(", seeds {seeds}"));
    }
    if !summary.is_complete {
        let done = summary
            .seeds_done
            .map_or_else(String::new, |done| format!(" after {}", counted(done, "seed")));
        title.push_str(&format!(", interrupted{done}"));
    }
    Line { link: link(&entry.file), title, file: &entry.file, summary }
}

#[cfg(test)]
mod tests;
