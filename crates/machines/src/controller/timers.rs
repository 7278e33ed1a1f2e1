//! Deadlines that move often but seldom come true: session checks, fetch timeouts.
//!
//! Kafka keeps such deadlines in `Timer` objects and looks at them whenever its thread polls. Here
//! a deadline that moves later is only remembered; the timer that is already set fires early, finds
//! out, and is set again. Nothing is ever handled late, and a deadline that moves with every fetch
//! costs no effect.

use super::{ControllerCx, ControllerTimer};
use acklab_vocab::time::SimTime;

/// One deadline behind one timer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LazyTimer {
    timer: ControllerTimer,
    due: SimTime,
    armed: Option<SimTime>,
}

impl LazyTimer {
    pub(super) fn new(timer: ControllerTimer) -> Self {
        LazyTimer { timer, due: SimTime::NEVER, armed: None }
    }

    /// When it is due; [`SimTime::NEVER`] while it is off.
    pub(super) fn due(&self) -> SimTime {
        self.due
    }

    /// Moves the deadline.
    pub(super) fn set(&mut self, cx: &mut ControllerCx<'_>, due: SimTime) {
        self.due = due;
        if due < SimTime::NEVER && self.armed.is_none_or(|armed| due < armed) {
            self.armed = Some(due);
            cx.set_timer(self.timer, due);
        }
    }

    /// Switches the deadline off.
    pub(super) fn clear(&mut self) {
        self.due = SimTime::NEVER;
    }

    /// The timer fired. Whether the deadline has come; it is off then.
    pub(super) fn fired(&mut self, cx: &mut ControllerCx<'_>) -> bool {
        self.armed = None;
        if self.due <= cx.now() {
            self.due = SimTime::NEVER;
            return true;
        }
        self.set(cx, self.due);
        false
    }
}
