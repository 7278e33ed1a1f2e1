//! A progress line on standard error, where that is a terminal.

use std::io::{self, IsTerminal, Write};
use std::ops::ControlFlow;

/// How far many runs have come, redrawn whenever another percent is done: no clock is needed.
#[derive(Debug)]
pub struct Progress {
    shown: bool,
    percent: Option<u64>,
}

impl Progress {
    /// Shows nothing where there is no terminal.
    pub fn new() -> Progress {
        Progress { shown: io::stderr().is_terminal(), percent: None }
    }

    /// So many of the runs are done.
    pub fn update(&mut self, done: u64, of: u64) -> ControlFlow<()> {
        let percent = done.saturating_mul(100) / of.max(1);
        if self.shown && self.percent != Some(percent) {
            self.percent = Some(percent);
            let text = format!("\r{done} of {of} runs, {percent} %");
            let _ = io::stderr().write_all(text.as_bytes());
        }
        ControlFlow::Continue(())
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.percent.is_some() {
            // Back to the margin, and the line away.
            let _ = io::stderr().write_all(b"\r\x1b[K");
        }
    }
}
