//! Leader epochs and partition epochs only rise.
//!
//! Mirrors `PartitionChangeBuilder` (every change raises the partition epoch, every election the
//! leader epoch, KIP-497) and `Partition.makeLeader`/`makeFollower`, which ignore what is older
//! than they know.

use acklab_vocab::ids::LeaderEpoch;
use acklab_vocab::metadata_log::PartitionState;

use super::Invariant;
use crate::world::{Replica, Role};

/// See the module.
pub static INVARIANT: Invariant = Invariant {
    name: "epochs_monotonic",
    claim: "leader epochs and partition epochs rise, at the controller and in each life of a \
            broker",
    source: "PartitionChangeBuilder, Partition.makeLeader, KIP-497",
    suspended_by: &[],
};

/// The controller changed a partition from `before` to `after`.
#[must_use]
pub fn check_controller(before: &PartitionState, after: &PartitionState) -> Option<String> {
    let changed_leader = after.leader != before.leader;
    if after.partition_epoch <= before.partition_epoch {
        let (old, new) = (before.partition_epoch, after.partition_epoch);
        return Some(format!("the partition epoch went from {old} to {new}"));
    }
    let (old, new) = (before.leader_epoch, after.leader_epoch);
    if new < old || (changed_leader && new == old) {
        return Some(format!("the leader changed while the leader epoch went from {old} to {new}"));
    }
    None
}

/// A broker learned of a leader in `epoch`.
#[must_use]
pub fn check_broker(replica: &Replica, epoch: LeaderEpoch) -> Option<String> {
    let known = match &replica.role {
        Role::Unknown => return None,
        Role::Follower(known) => *known,
        Role::Leader(view) => view.epoch,
    };
    let broker = replica.broker;
    (epoch < known).then(|| format!("broker {broker} went back from epoch {known} to {epoch}"))
}
