//! Assignors: how the leader of a classic group shares out the partitions
//! (`partition.assignment.strategy`).
//!
//! Mirrors `AbstractPartitionAssignor` and its four implementations in Kafka's client, one file
//! each. Everything is a pure function of what the members said when they joined, of the partitions
//! that the leader knows of, and of the rules of its version. Where Kafka iterates over a
//! `HashMap`, members go in the order of their ids.
//!
//! Left out: racks (`client.rack`, KIP-881). No client of the simulation has one, and without them
//! the assignors do exactly this. Topics are ordered by [`TopicId`] where Kafka orders them by
//! name: the order of a scenario's topics.

mod cooperative_sticky;
mod range;
mod round_robin;
mod sticky;
#[cfg(test)]
mod tests;

use acklab_vocab::api::JoinGroupMember;
use acklab_vocab::group::{Assignor, Subscription};
use acklab_vocab::ids::{GroupInstanceId, MemberId, TopicId, TopicPartition};
use acklab_vocab::rules::ProtocolRules;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How many partitions each topic has, as far as the leader's metadata goes.
pub type PartitionCounts = BTreeMap<TopicId, u16>;

/// What each member is to own, while an assignor works on it.
type Shares = BTreeMap<MemberId, BTreeSet<TopicPartition>>;

/// Shares out the partitions of all topics that somebody subscribes to
/// (`ConsumerPartitionAssignor.assign`).
///
/// Topics without an entry in `counts` are left out, as those without metadata are in Kafka. The
/// result has every member once, ascending, each with its partitions ascending. What the members
/// say that they own matters only to the sticky assignors; `sticky` (eager) members are to say what
/// they were assigned last.
#[must_use]
pub fn assign(
    assignor: Assignor,
    members: &[JoinGroupMember],
    counts: &PartitionCounts,
    rules: ProtocolRules,
) -> Vec<(MemberId, Arc<[TopicPartition]>)> {
    let counts = subscribed(members, counts);
    let shares = match assignor {
        Assignor::Range => range::assign(members, &counts),
        Assignor::RoundRobin => round_robin::assign(members, &counts),
        Assignor::Sticky => sticky::assign(Assignor::Sticky, members, &counts, rules).shares,
        Assignor::CooperativeSticky => cooperative_sticky::assign(members, &counts, rules),
    };
    shares.into_iter().map(|(member, share)| (member, share.into_iter().collect())).collect()
}

/// The topics to be shared out: those that have partitions and a subscriber.
fn subscribed(members: &[JoinGroupMember], counts: &PartitionCounts) -> PartitionCounts {
    let wanted: BTreeSet<TopicId> =
        members.iter().flat_map(|member| member.subscription.topics.iter().copied()).collect();
    let exists = |(topic, count): (&TopicId, &u16)| {
        (*count > 0 && wanted.contains(topic)).then_some((*topic, *count))
    };
    counts.iter().filter_map(exists).collect()
}

/// Members in the order in which partitions are dealt out: static members by their instance id,
/// then dynamic members by their member id (`AbstractPartitionAssignor.MemberInfo`).
fn in_dealing_order(members: &[JoinGroupMember]) -> Vec<&JoinGroupMember> {
    let key = |member: &&JoinGroupMember| -> (bool, Option<GroupInstanceId>, MemberId) {
        (member.instance.is_none(), member.instance, member.member)
    };
    let mut sorted: Vec<&JoinGroupMember> = members.iter().collect();
    sorted.sort_by_key(key);
    sorted
}

/// A share for every member, empty.
fn empty_shares(members: &[JoinGroupMember]) -> Shares {
    members.iter().map(|member| (member.member, BTreeSet::new())).collect()
}

/// The partitions of a topic, ascending.
pub(crate) fn partitions_of(topic: TopicId, count: u16) -> impl Iterator<Item = TopicPartition> {
    (0..count).map(move |partition| TopicPartition::new(topic.0, partition))
}

/// Whether a member subscribes to a topic.
fn subscribes(subscription: &Subscription, topic: TopicId) -> bool {
    subscription.topics.contains(&topic)
}
