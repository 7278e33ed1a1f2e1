//! `roundrobin`: one partition after the other to a circle of members; who does not subscribe to
//! the topic is passed over.
//!
//! Mirrors `RoundRobinAssignor`. With equal subscriptions nobody has more than one partition more
//! than another; with different ones it can be quite uneven.

use super::{PartitionCounts, Shares, empty_shares, in_dealing_order, partitions_of, subscribes};
use acklab_vocab::api::JoinGroupMember;

/// Assigns in a circle.
pub(super) fn assign(members: &[JoinGroupMember], counts: &PartitionCounts) -> Shares {
    let mut shares = empty_shares(members);
    let order = in_dealing_order(members);
    let mut turn = 0;
    let partitions = counts.iter().flat_map(|(&topic, &count)| partitions_of(topic, count));
    for partition in partitions {
        let circle = order[turn..].iter().chain(&order[..turn]);
        let Some((passed_over, member)) = circle
            .enumerate()
            .find(|(_, member)| subscribes(&member.subscription, partition.topic))
        else {
            continue;
        };
        shares.entry(member.member).or_default().insert(partition);
        turn = (turn + passed_over + 1) % order.len();
    }
    shares
}
