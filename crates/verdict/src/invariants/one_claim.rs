//! A partition has at most one owner in ZooKeeper's tree at any time.
//!
//! Mirrors the ephemeral `/consumers/<group>/owners/<topic>/<partition>`, whose creation fails while
//! another one's stands (`ZookeeperConsumerConnector.reflectPartitionOwnershipDecision`). pykafka
//! puts the leader into the name (`BalancedConsumer._path_from_partition`), so that after an election
//! consumers with other metadata claim other znodes for one partition.

use acklab_vocab::ids::NodeId;

use super::{Invariant, Suspension};

/// See the module.
pub static INVARIANT: Invariant = Invariant {
    name: "one_claim_at_a_time",
    claim: "ZooKeeper's tree names at most one owner of a partition at any time",
    source: "ZookeeperConsumerConnector.reflectPartitionOwnershipDecision",
    suspended_by: &[],
};

/// The same where the znode is named after the partition's leader, which has changed.
pub static NAMED_BY_LEADER: Invariant = Invariant {
    suspended_by: &[Suspension::OldClient("pykafka: owners are named by leader")],
    ..INVARIANT
};

/// `consumer` has claimed a partition that these claim.
#[must_use]
pub fn check(consumer: NodeId, mut claimed: impl Iterator<Item = NodeId>) -> Option<String> {
    let other = claimed.next()?;
    Some(format!("process {consumer} claimed it while ZooKeeper named process {other} its owner"))
}
