//! One controller per epoch of the metadata quorum, and epochs rise.
//!
//! Mirrors Raft's election safety (KIP-595, `QuorumState`).

use acklab_vocab::ids::{ControllerEpoch, ControllerId};

use super::Invariant;

/// See the module.
pub static INVARIANT: Invariant = Invariant {
    name: "controller_epochs",
    claim: "an epoch of the metadata quorum has at most one leader",
    source: "KIP-595, Raft election safety",
    suspended_by: &[],
};

/// `controller` was elected for `epoch`; `earlier` were before it.
#[must_use]
pub fn check(
    earlier: &[(ControllerEpoch, ControllerId)],
    epoch: ControllerEpoch,
    controller: ControllerId,
) -> Option<String> {
    let (_, other) = earlier.iter().find(|(led, other)| *led == epoch && *other != controller)?;
    Some(format!("controllers {other} and {controller} were both elected for epoch {epoch}"))
}
