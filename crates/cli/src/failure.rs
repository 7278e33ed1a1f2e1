//! How a command ends: the exit status, and what is said on standard error.

use crate::output;
use acklab_experiment::Defect;
use acklab_scenario::{Diagnostic, Severity};
use anstyle::{AnsiColor, Color, Style};
use std::borrow::Cow;

/// The exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// Everything was as expected.
    AsExpected = 0,
    /// An expectation or a promise did not hold.
    NotAsExpected = 1,
    /// Bad usage, a bad scenario, or a file that cannot be written.
    BadInput = 2,
    /// A defect of the simulator.
    Defect = 101,
}

impl Status {
    /// Whether something held.
    pub fn of(held: bool) -> Status {
        if held { Status::AsExpected } else { Status::NotAsExpected }
    }
}

/// Why a command has no result.
#[derive(Debug)]
pub enum Failure {
    /// What clap says about the arguments, in full.
    Usage(String),
    /// One thing is wrong, and perhaps what to do about it.
    Input {
        /// What is wrong, without a full stop.
        message: String,
        /// What was probably meant.
        help: Option<String>,
    },
    /// What is wrong with a scenario or a setting.
    Scenario(Vec<Diagnostic>),
    /// The simulator panicked.
    Defect(Box<Defect>),
    /// Nobody reads the output any more.
    BrokenPipe,
}

impl Failure {
    /// One thing is wrong.
    pub fn input(message: impl Into<String>) -> Failure {
        Failure::Input { message: message.into(), help: None }
    }

    /// One thing is wrong, and this is what to do about it.
    pub fn with_help(message: impl Into<String>, help: impl Into<String>) -> Failure {
        Failure::Input { message: message.into(), help: Some(help.into()) }
    }

    /// Says on standard error that it went wrong, and what happens in spite of it.
    pub fn warn(self, consequence: &str) {
        if let Failure::Input { message, .. } = self {
            output::complain(&format!("{}: {message}; {consequence}", WARNING.word("warning")));
        }
    }

    /// Says it on standard error.
    pub fn report(self) -> Status {
        match self {
            Failure::BrokenPipe => Status::AsExpected,
            Failure::Usage(text) => {
                output::complain(text.trim_end());
                Status::BadInput
            }
            Failure::Input { message, help } => {
                let help = help.map_or_else(String::new, |help| format!("\n  help: {help}"));
                output::complain(&format!("{}: {message}{help}", ERROR.word("error")));
                Status::BadInput
            }
            Failure::Scenario(diagnostics) => {
                show_diagnostics(&diagnostics);
                Status::BadInput
            }
            Failure::Defect(defect) => {
                show_defect(&defect);
                Status::Defect
            }
        }
    }
}

impl From<Defect> for Failure {
    fn from(defect: Defect) -> Self {
        Failure::Defect(Box::new(defect))
    }
}

impl From<Vec<Diagnostic>> for Failure {
    fn from(diagnostics: Vec<Diagnostic>) -> Self {
        Failure::Scenario(diagnostics)
    }
}

impl From<Box<Diagnostic>> for Failure {
    fn from(diagnostic: Box<Diagnostic>) -> Self {
        Failure::Scenario(vec![*diagnostic])
    }
}

/// Says that the simulator has a defect.
pub fn show_defect(defect: &Defect) {
    let text = defect.to_string();
    output::complain(&format!(
        "{}: {text}\n  please report it with the scenario",
        ERROR.word("error")
    ));
}

/// Shows diagnostics, one blank line between them.
pub fn show_diagnostics(diagnostics: &[Diagnostic]) {
    for (position, diagnostic) in diagnostics.iter().enumerate() {
        let (style, word) = match diagnostic.severity {
            Severity::Error => (ERROR, "error"),
            Severity::Warning => (WARNING, "warning"),
        };
        let text = without_empty_place(diagnostic).to_string();
        let text = match text.strip_prefix(word) {
            Some(rest) => format!("{}{rest}", style.word(word)),
            None => text,
        };
        let space = if position == 0 { "" } else { "\n" };
        output::complain(&format!("{space}{text}"));
    }
}

/// A finding about the command line, such as an unknown variant, has an empty place in the file: it
/// is not shown.
fn without_empty_place(diagnostic: &Diagnostic) -> Cow<'_, Diagnostic> {
    match &diagnostic.span {
        Some(span) if span.is_empty() => {
            Cow::Owned(Diagnostic { span: None, ..diagnostic.clone() })
        }
        Some(_) | None => Cow::Borrowed(diagnostic),
    }
}

/// A style for single words. Whoever prints takes it away where there is no terminal.
#[derive(Clone, Copy)]
struct Emphasis(AnsiColor);

impl Emphasis {
    fn word(self, word: &str) -> String {
        let style = Style::new().bold().fg_color(Some(Color::Ansi(self.0)));
        format!("{style}{word}{style:#}")
    }
}

const ERROR: Emphasis = Emphasis(AnsiColor::Red);
const WARNING: Emphasis = Emphasis(AnsiColor::Yellow);
