//! A progress bar on standard error, where that is a terminal: runs done, how many a second, and
//! how long the rest will take.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use std::fmt::Write;
use std::ops::ControlFlow;

/// How far many runs have come.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Shows nothing where there is no terminal.
    pub fn new() -> Progress {
        // It redraws a few times a second at most, and is hidden where there is no terminal.
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let rate = |state: &ProgressState, text: &mut dyn Write| {
            let _ = write!(text, "{:.1} a second", state.per_sec());
        };
        let style =
            ProgressStyle::with_template("{bar:30} {pos} of {len} runs · {rate} · {eta} left")
                .map(|style| style.with_key("rate", rate).progress_chars("█▌ "));
        Progress { bar: bar.with_style(style.expect("the template is sound")) }
    }

    /// So many runs were done before: they do not count as fast.
    pub fn starting_at(self, done: u64) -> Progress {
        self.bar.set_position(done);
        self.bar.reset_eta();
        self
    }

    /// Says something above the bar.
    pub fn above(&self, say: impl FnOnce()) {
        self.bar.suspend(say);
    }

    /// So many of the runs are done.
    pub fn update(&mut self, done: u64, of: u64) -> ControlFlow<()> {
        if self.bar.length() != Some(of) {
            self.bar.set_length(of);
        }
        self.bar.set_position(done);
        ControlFlow::Continue(())
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
