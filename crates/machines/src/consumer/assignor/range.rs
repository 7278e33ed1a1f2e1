//! `range`: each topic by itself is cut into contiguous blocks, one for each of its subscribers.
//!
//! Mirrors `RangeAssignor`. The first members get the larger blocks of every topic, so the surplus
//! adds up on them when there are many topics.

use super::{PartitionCounts, Shares, empty_shares, in_dealing_order, subscribes};
use acklab_vocab::api::JoinGroupMember;
use acklab_vocab::ids::TopicPartition;

/// Assigns by ranges.
pub(super) fn assign(members: &[JoinGroupMember], counts: &PartitionCounts) -> Shares {
    let mut shares = empty_shares(members);
    let order = in_dealing_order(members);
    for (&topic, &count) in counts {
        let subscribers: Vec<&JoinGroupMember> = order
            .iter()
            .copied()
            .filter(|member| subscribes(&member.subscription, topic))
            .collect();
        let blocks = blocks(u32::from(count), subscribers.len() as u32);
        for (member, (first, length)) in subscribers.into_iter().zip(blocks) {
            let block = (first..first + length)
                .map(|partition| TopicPartition::new(topic.0, partition as u16));
            shares.entry(member.member).or_default().extend(block);
        }
    }
    shares
}

/// Cuts `count` partitions into one block for each of `subscribers`: first partition and length.
/// The first `count mod subscribers` blocks are longer by one.
fn blocks(count: u32, subscribers: u32) -> impl Iterator<Item = (u32, u32)> {
    let quota = count.checked_div(subscribers).unwrap_or(0);
    let surplus = count.checked_rem(subscribers).unwrap_or(0);
    (0..subscribers).map(move |at| (quota * at + surplus.min(at), quota + u32::from(at < surplus)))
}
