//! What is wrong with a scenario, where, and what was probably meant.
//!
//! [`Diagnostic`] prints itself in the manner of a compiler, plainly; whoever wants colour has
//! the parts.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The scenario can run, but may not do what its author thinks.
    Warning,
    /// The scenario cannot run.
    Error,
}

/// One thing to tell the author of a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in a sentence without a full stop.
    pub message: String,
    /// The file, or `None` for a setting of the command line.
    pub path: Option<PathBuf>,
    /// How the source calls itself: the file's path, or `--set …`.
    pub origin: Arc<str>,
    /// The whole source.
    pub text: Arc<str>,
    /// The bytes of `text` to point at.
    pub span: Option<Range<usize>>,
    /// Line of the beginning of `span`, from 1; 0 where there is no span.
    pub line: usize,
    /// Column of the beginning of `span` in characters, from 1; 0 where there is no span.
    pub column: usize,
    /// What to write under the marked place; may be empty.
    pub label: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error that has no place in a text: a file that cannot be read.
    #[must_use]
    pub fn without_place(message: impl Into<String>, path: &Path, help: Option<String>) -> Self {
        Diagnostic {
            severity: Severity::Error,
            message: message.into(),
            path: Some(path.to_owned()),
            origin: path.display().to_string().into(),
            text: "".into(),
            span: None,
            line: 0,
            column: 0,
            label: String::new(),
            help,
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{severity}: {}", self.message)?;
        if let Some(span) = &self.span {
            write!(f, "\n --> {}:{}:{}", self.origin, self.line, self.column)?;
            let line = self.text.lines().nth(self.line - 1).unwrap_or("");
            let before: String = line.chars().take(self.column - 1).map(blank).collect();
            let marked = self.text.get(span.clone()).unwrap_or("");
            let width = marked.lines().next().unwrap_or("").chars().count().max(1);
            let gutter = " ".repeat(self.line.to_string().len());
            write!(f, "\n{gutter} |\n{} | {}", self.line, line.trim_end())?;
            write!(f, "\n{gutter} | {before}{}", "^".repeat(width))?;
            if !self.label.is_empty() {
                write!(f, " {}", self.label)?;
            }
        }
        if let Some(help) = &self.help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostic {}

/// A tab stays a tab, so that marks stand below what they mark.
fn blank(character: char) -> char {
    if character == '\t' { '\t' } else { ' ' }
}

/// A text that places refer to: the file, or one setting of the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// How it calls itself.
    pub origin: Arc<str>,
    /// The file, if it is one.
    pub path: Option<PathBuf>,
    /// All of it.
    pub text: Arc<str>,
}

/// A place in one of several sources.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Index of the source; 0 is the file.
    pub source: u16,
    /// First byte.
    pub start: u32,
    /// First byte after it.
    pub end: u32,
}

impl Span {
    /// The bytes `range` of a source. Texts beyond 4 GiB are refused when they are read.
    #[must_use]
    pub fn new(source: u16, range: Range<usize>) -> Self {
        let clip = |byte: usize| u32::try_from(byte).unwrap_or(u32::MAX);
        Span { source, start: clip(range.start), end: clip(range.end) }
    }

    /// From the beginning of this to the end of the other.
    #[must_use]
    pub fn to(self, other: Span) -> Span {
        Span { end: other.end.max(self.start), ..self }
    }
}

/// Collects diagnostics against the sources.
#[derive(Debug)]
pub struct Report {
    sources: Vec<Source>,
    /// What is wrong.
    pub errors: Vec<Diagnostic>,
    /// What is odd.
    pub warnings: Vec<Diagnostic>,
}

impl Report {
    /// Nothing wrong so far.
    #[must_use]
    pub fn new(sources: Vec<Source>) -> Self {
        assert!(!sources.is_empty());
        Report { sources, errors: Vec::new(), warnings: Vec::new() }
    }

    /// Adds an error.
    pub fn error(&mut self, span: Span, finding: Finding) {
        let diagnostic = self.diagnostic(Severity::Error, span, finding);
        if !self.errors.contains(&diagnostic) {
            self.errors.push(diagnostic);
        }
    }

    /// Adds a warning.
    pub fn warning(&mut self, span: Span, finding: Finding) {
        let diagnostic = self.diagnostic(Severity::Warning, span, finding);
        if !self.warnings.contains(&diagnostic) {
            self.warnings.push(diagnostic);
        }
    }

    fn diagnostic(&self, severity: Severity, span: Span, finding: Finding) -> Diagnostic {
        let source = &self.sources[usize::from(span.source).min(self.sources.len() - 1)];
        let start = floor_boundary(&source.text, span.start as usize);
        let end = floor_boundary(&source.text, span.end as usize).max(start);
        let before = &source.text[..start];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Diagnostic {
            severity,
            message: finding.message,
            path: source.path.clone(),
            origin: Arc::clone(&source.origin),
            text: Arc::clone(&source.text),
            span: Some(start..end),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            label: finding.label,
            help: finding.help,
        }
    }
}

/// A diagnostic without its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    message: String,
    label: String,
    help: Option<String>,
}

impl Finding {
    /// What is wrong.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Finding { message: message.into(), label: String::new(), help: None }
    }

    /// What to write under the place.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// What to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The most similar of the words that would have been right, or all of them if they are few.
    #[must_use]
    pub fn did_you_mean<'a>(
        self,
        word: &str,
        candidates: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let candidates: Vec<&str> = candidates.into_iter().collect();
        match nearest(word, candidates.iter().copied()) {
            Some(best) => self.help(format!("did you mean `{best}`?")),
            None if candidates.is_empty() => self,
            None if candidates.len() <= MOST_LISTED => {
                let list: Vec<String> = candidates.iter().map(|c| format!("`{c}`")).collect();
                self.help(format!("expected {}", alternatives(&list)))
            }
            None => self,
        }
    }
}

/// `a`, `a or b`, `a, b or c`.
pub(crate) fn alternatives(words: &[String]) -> String {
    match words {
        [] => "nothing".to_owned(),
        [only] => only.clone(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}

/// The candidate most like `word`, if any is like it: what was probably meant.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = simplified(word);
    let allowed = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word, &simplified(candidate)), candidate))
        .filter(|&(distance, _)| distance <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Case, and the difference between `.`, `_` and `-`, do not make words unlike.
fn simplified(word: &str) -> String {
    let separators = |c: char| if matches!(c, '_' | '-' | ' ') { '.' } else { c };
    word.to_lowercase().chars().take(200).map(separators).collect()
}

fn floor_boundary(text: &str, byte: usize) -> usize {
    let mut byte = byte.min(text.len());
    while !text.is_char_boundary(byte) {
        byte -= 1;
    }
    byte
}

/// More candidates than this are not listed.
const MOST_LISTED: usize = 20;
