//! A defect of the simulator: a machine, or the runtime, broke one of its own invariants and
//! panicked.
//!
//! The panic is caught around one run, so that the message can say which scenario, variant and seed
//! show it, and so that other runs go on.

use acklab_scenario::model::Scenario;
use serde::Serialize;
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::Once;

/// A run panicked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error(
    "a defect of the simulator: {message}\n --> {location}\n  scenario {scenario}, variant {variant}, seed {seed}"
)]
pub struct Defect {
    /// Name of the scenario.
    pub scenario: String,
    /// Its variant.
    pub variant: String,
    /// The seed.
    pub seed: u64,
    /// What the panic said.
    pub message: String,
    /// File, line and column of the panic.
    pub location: String,
}

/// Runs `run`, and turns a panic into a [`Defect`].
pub(crate) fn catch<T>(
    scenario: &Scenario,
    seed: u64,
    run: impl FnOnce() -> T,
) -> Result<T, Defect> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if CATCHING.get() {
                note_location(info);
            } else {
                previous(info);
            }
        }));
    });
    let nested = CATCHING.replace(true);
    // What the run shares with the outside is either unchanged (the scenario) or lost with it (its
    // world).
    let result = catch_unwind(AssertUnwindSafe(run));
    CATCHING.set(nested);
    result.map_err(|panic| Defect {
        scenario: scenario.name.clone(),
        variant: scenario.variant.clone(),
        seed,
        message: message_of(&*panic),
        location: LOCATION.take().unwrap_or_else(|| "an unknown place".to_owned()),
    })
}

thread_local! {
    static CATCHING: Cell<bool> = const { Cell::new(false) };
    static LOCATION: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A second panic, while the first one unwinds, does not hide it.
fn note_location(info: &PanicHookInfo<'_>) {
    LOCATION.with_borrow_mut(|noted| {
        if noted.is_none() {
            *noted = info.location().map(ToString::to_string);
        }
    });
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (None, Some(text)) => text.clone(),
        (None, None) => "a panic without a message".to_owned(),
    }
}
