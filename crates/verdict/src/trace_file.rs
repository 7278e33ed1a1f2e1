//! Traces as files, and the comparison of two runs.
//!
//! A written trace is JSON, one value a line: first the [`RunHeader`], then each [`Stamped`] fact.
//! Any cluster that can state such facts can be judged.

use acklab_vocab::trace::{Observer, RunHeader, Stamped};
use std::fmt;
use std::hash::Hash;
use std::io::{BufRead, Write};

use crate::digest::StableHasher;
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

/// Remembers eight bytes of every fact of a run, to compare another run with.
#[derive(Debug, Default)]
pub struct FactHashes {
    hasher: StableHasher,
    hashes: Vec<u64>,
}

impl Observer for FactHashes {
    fn observe(&mut self, stamped: &Stamped) {
        stamped.hash(&mut self.hasher);
        self.hashes.push(self.hasher.take());
    }
}

/// Compares a run with an earlier one, fact by fact.
#[derive(Debug)]
pub struct DivergenceFinder {
    hasher: StableHasher,
    earlier: Vec<u64>,
    seen: usize,
    found: Option<Divergence>,
}

/// Where two runs part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// Number of the first fact that differs, from 0. [`FactAt`] finds it in the earlier run.
    pub index: usize,
    /// The fact of the later run; `None` if it ended before.
    pub fact: Option<Stamped>,
}

impl DivergenceFinder {
    /// Compares with the run that `earlier` has seen.
    #[must_use]
    pub fn new(earlier: FactHashes) -> Self {
        let (hasher, earlier) = (StableHasher::default(), earlier.hashes);
        DivergenceFinder { hasher, earlier, seen: 0, found: None }
    }

    /// Where the runs part, if they do.
    #[must_use]
    pub fn finish(self) -> Option<Divergence> {
        let ended_early = self.seen < self.earlier.len();
        let end = || ended_early.then_some(Divergence { index: self.seen, fact: None });
        self.found.or_else(end)
    }
}

impl Observer for DivergenceFinder {
    fn observe(&mut self, stamped: &Stamped) {
        if self.found.is_some() {
            return;
        }
        stamped.hash(&mut self.hasher);
        if self.earlier.get(self.seen) != Some(&self.hasher.take()) {
            self.found = Some(Divergence { index: self.seen, fact: Some(stamped.clone()) });
        }
        self.seen += 1;
    }
}

/// Picks one fact out of a run, by its number from 0.
#[derive(Debug)]
pub struct FactAt {
    wanted: usize,
    seen: usize,
    /// The fact, once it was stated.
    pub fact: Option<Stamped>,
}

impl FactAt {
    /// Waits for fact number `index`.
    #[must_use]
    pub fn new(index: usize) -> Self {
        FactAt { wanted: index, seen: 0, fact: None }
    }
}

impl Observer for FactAt {
    fn observe(&mut self, stamped: &Stamped) {
        if self.seen == self.wanted {
            self.fact = Some(stamped.clone());
        }
        self.seen += 1;
    }
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

    #[test]
    fn the_first_fact_that_differs_is_found() {
        let compare = |other: &Trace| {
            let mut hashes = FactHashes::default();
            run().play(&mut hashes);
            let mut finder = DivergenceFinder::new(hashes);
            other.play(&mut finder);
            finder.finish()
        };
        assert_eq!(compare(&run()), None);
        let mut longer = run();
        longer.kill(1);
        let fact = longer.facts.last().cloned();
        assert_eq!(compare(&longer), Some(Divergence { index: run().facts.len(), fact }));
        let mut shorter = run();
        shorter.facts.pop();
        let divergence = Divergence { index: shorter.facts.len(), fact: None };
        assert_eq!(compare(&shorter), Some(divergence));
    }
}
