//! Traces as files.
//!
//! A written trace is JSON, one value a line: first the [`RunHeader`], then each [`Stamped`] fact.
//! Any cluster that can state such facts can be judged.

use acklab_vocab::trace::{Observer, RunHeader, Stamped};
use std::fmt;
use std::io::{BufRead, Write};

use crate::{Judge, Verdict};

/// Writes the history down as it happens.
pub struct TraceWriter<W> {
    out: W,
    error: Option<std::io::Error>,
}

impl<W: Write> TraceWriter<W> {
    /// Writes to `out`, which is best buffered.
    pub fn new(out: W) -> Self {
        TraceWriter { out, error: None }
    }

    /// Everything has been observed.
    ///
    /// # Errors
    /// The first error of the writer.
    pub fn finish(mut self) -> std::io::Result<W> {
        match self.error {
            Some(error) => Err(error),
            None => self.out.flush().map(|()| self.out),
        }
    }

    fn line(&mut self, value: &impl serde::Serialize) {
        if self.error.is_some() {
            return;
        }
        let written = serde_json::to_writer(&mut self.out, value).map_err(std::io::Error::from);
        self.error = written.and_then(|()| self.out.write_all(b"\n")).err();
    }
}

impl<W: Write> Observer for TraceWriter<W> {
    fn begin(&mut self, header: &RunHeader) {
        self.line(header);
    }

    fn observe(&mut self, stamped: &Stamped) {
        self.line(stamped);
    }
}

/// Why a file is not a trace.
#[derive(Debug)]
pub enum TraceError {
    /// It could not be read.
    Read(std::io::Error),
    /// It has no line at all.
    Empty,
    /// A line is not what it should be.
    Line {
        /// Number of the line, from 1.
        line: u64,
        /// What is wrong with it.
        error: serde_json::Error,
    },
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TraceError::Read(error) => write!(f, "cannot read the trace: {error}"),
            TraceError::Empty => f.write_str("the trace is empty; it should begin with a header"),
            TraceError::Line { line, error } => write!(f, "line {line} of the trace: {error}"),
        }
    }
}

impl std::error::Error for TraceError {}

/// Judges a written trace.
///
/// # Errors
/// The trace cannot be read, is empty, or has a line that is no header or fact.
pub fn read_trace(input: impl BufRead) -> Result<Verdict, TraceError> {
    let mut judge = Judge::new();
    play_trace(input, &mut judge)?;
    Ok(judge.finish())
}

/// Shows a written trace to an observer.
///
/// # Errors
/// The trace cannot be read, is empty, or has a line that is no header or fact.
pub fn play_trace(input: impl BufRead, observer: &mut impl Observer) -> Result<(), TraceError> {
    let mut begun = false;
    for (index, text) in input.lines().enumerate() {
        let text = text.map_err(TraceError::Read)?;
        let bad = |error| TraceError::Line { line: index as u64 + 1, error };
        if begun {
            observer.observe(&serde_json::from_str(&text).map_err(bad)?);
        } else {
            observer.begin(&serde_json::from_str(&text).map_err(bad)?);
            begun = true;
        }
    }
    if begun { Ok(()) } else { Err(TraceError::Empty) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Trace, trace};
    use acklab_vocab::api::Acks;

    fn run() -> Trace {
        let mut trace = trace("3.9", Acks::Leader);
        trace.create(3).send(1, 0..3).append(1, 0..3).replicate(1, 2).answer(1, 0, 0..3).ack(0..3);
        trace
    }

    #[test]
    fn a_written_trace_is_judged_like_the_run() {
        let mut writer = TraceWriter::new(Vec::new());
        run().play(&mut writer);
        let written = writer.finish().unwrap();
        let verdict = read_trace(&written[..]).unwrap();
        assert_eq!(verdict.digest, run().judge().digest);
        assert_eq!(verdict.violations, []);
    }

    #[test]
    fn what_is_not_a_trace_is_refused_with_its_line() {
        assert!(matches!(read_trace(&b""[..]), Err(TraceError::Empty)));
        let error = read_trace(&b"{}"[..]).unwrap_err();
        assert!(error.to_string().starts_with("line 1 of the trace: missing field"), "{error}");
    }
}
