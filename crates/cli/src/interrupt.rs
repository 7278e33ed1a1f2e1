//! Ctrl-C, or SIGTERM: asks a command to stop where it has something to show. A second Ctrl-C ends
//! it at once.

use crate::failure::Failure;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether somebody has asked to stop.
#[derive(Debug)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Listens from now on.
    ///
    /// # Errors
    /// [`Failure::Input`] if the system does not let it.
    pub fn listen() -> Result<Interrupt, Failure> {
        let asked = Arc::new(AtomicBool::new(false));
        // In this order: the first Ctrl-C finds the flag down and raises it, the next one ends. Not
        // so SIGTERM: `timeout` and others send it twice at once, to a process and to its group.
        flag::register_conditional_shutdown(SIGINT, 128 + SIGINT, Arc::clone(&asked))
            .and_then(|_| flag::register(SIGINT, Arc::clone(&asked)))
            .and_then(|_| flag::register(SIGTERM, Arc::clone(&asked)))
            .map_err(|error| Failure::input(format!("signals cannot be caught: {error}")))?;
        Ok(Interrupt(asked))
    }

    /// Somebody has asked to stop.
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
