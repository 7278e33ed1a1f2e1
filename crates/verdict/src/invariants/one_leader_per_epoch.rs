//! An epoch of a partition has one leader: the one that the controller elected.
//!
//! Mirrors the controller's election and `Partition.makeLeader`.

use acklab_vocab::ids::{BrokerId, LeaderEpoch};

use super::Invariant;
use crate::world::Tenure;

/// See the module.
pub static INVARIANT: Invariant = Invariant {
    name: "one_leader_per_epoch",
    claim: "an epoch has at most one leader, the one that was elected",
    source: "KIP-101, KIP-631",
    suspended_by: &[],
};

/// `broker` became leader of `epoch`, for which `elected` is on record.
#[must_use]
pub fn check(elected: Option<&Tenure>, broker: BrokerId, epoch: LeaderEpoch) -> Option<String> {
    let other = elected?.leader;
    (other != broker).then(|| {
        format!("broker {broker} became leader of epoch {epoch}, which broker {other} has")
    })
}
