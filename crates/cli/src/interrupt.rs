//! Ctrl-C, or SIGTERM: asks a command to stop where it has something to show. A later one ends it at
//! once.
//!
//! `timeout` and others send a signal twice, to a process and to its group, and a key that is held
//! down sends many: signals in quick succession are one.

use crate::failure::Failure;
use crate::output;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::low_level::pipe;
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// Whether somebody has asked to stop.
#[derive(Debug)]
pub struct Interrupt(Arc<AtomicBool>);

/// After so long without a signal the next one is another.
const QUIET: Duration = Duration::from_millis(500);

/// Who sends more than this many without a pause wants to leave at once.
const PATIENCE: usize = 4;

impl Interrupt {
    /// Listens from now on.
    ///
    /// # Errors
    /// [`Failure::Input`] if the system does not let it.
    pub fn listen() -> Result<Interrupt, Failure> {
        let asked = Arc::new(AtomicBool::new(false));
        let listen = || {
            // Each signal is a byte.
            let (receiver, sender) = UnixStream::pair()?;
            pipe::register(SIGINT, sender.try_clone()?)?;
            pipe::register(SIGTERM, sender)?;
            let raise = Arc::clone(&asked);
            thread::Builder::new().name("signals".to_owned()).spawn(move || watch(receiver, &raise))
        };
        listen().map_err(|error| Failure::input(format!("signals cannot be caught: {error}")))?;
        Ok(Interrupt(asked))
    }

    /// Somebody has asked to stop.
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Waits for the first signal, and ends the process with a later one.
fn watch(mut signals: UnixStream, raise: &AtomicBool) {
    let mut byte = [0];
    if signals.read_exact(&mut byte).is_err() {
        return;
    }
    raise.store(true, Ordering::Relaxed);
    let mut together = 1;
    if signals.set_read_timeout(Some(QUIET)).is_ok() {
        while together <= PATIENCE && signals.read_exact(&mut byte).is_ok() {
            together += 1;
        }
        let waits = signals.set_read_timeout(None).is_ok();
        if together <= PATIENCE && (!waits || signals.read_exact(&mut byte).is_err()) {
            return;
        }
    }
    output::remove_partial_files();
    std::process::exit(128 + SIGINT);
}
