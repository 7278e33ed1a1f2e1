//! `cooperative-sticky`: as `sticky`, but a partition that changes its owner is given to nobody in
//! this rebalance.
//!
//! Mirrors `CooperativeStickyAssignor` (KIP-429). The old owner revokes it and joins again; the
//! next rebalance finds it without an owner and gives it away.

use super::sticky::{self, Sticky};
use super::{PartitionCounts, Shares};
use acklab_vocab::api::JoinGroupMember;
use acklab_vocab::group::Assignor;
use acklab_vocab::ids::{MemberId, TopicPartition};
use acklab_vocab::rules::ProtocolRules;
use std::collections::{BTreeMap, BTreeSet};

/// Assigns as `sticky`, and withholds what must first be revoked.
pub(super) fn assign(
    members: &[JoinGroupMember],
    counts: &PartitionCounts,
    rules: ProtocolRules,
) -> Shares {
    let Sticky { mut shares, transferring } =
        sticky::assign(Assignor::CooperativeSticky, members, counts, rules);
    let transferring = transferring.unwrap_or_else(|| changing_owner(members, &shares));
    for (partition, to) in transferring {
        if let Some(share) = shares.get_mut(&to) {
            share.remove(&partition);
        }
    }
    shares
}

/// What one member gives up and another gets, by the new owner
/// (`CooperativeStickyAssignor.computePartitionsTransferringOwnership`).
fn changing_owner(
    members: &[JoinGroupMember],
    shares: &Shares,
) -> BTreeMap<TopicPartition, MemberId> {
    let mut added = BTreeMap::new();
    let mut revoked = BTreeSet::new();
    for member in members {
        let Some(share) = shares.get(&member.member) else { continue };
        let owned: BTreeSet<TopicPartition> = member.subscription.owned.iter().copied().collect();
        added.extend(share.difference(&owned).map(|&partition| (partition, member.member)));
        revoked.extend(owned.difference(share).copied());
    }
    added.retain(|partition, _| revoked.contains(partition));
    added
}
