//! `uniform` for members that all subscribe to the same topics.
//!
//! Mirrors `UniformHomogeneousAssignmentBuilder`: every member keeps what it has up to its quota,
//! and what is left fills the members below theirs, one after the other. Who may have one more is
//! settled by the order of the members, not by who has it already, so a partition may move that
//! would not have to.

use super::{MemberSpec, PartitionCounts, Target, partitions_of};
use acklab_vocab::ids::{MemberId, TopicPartition};
use std::collections::{BTreeMap, BTreeSet};

/// Assigns evenly.
pub(super) fn assign(members: &BTreeMap<MemberId, MemberSpec>, counts: &PartitionCounts) -> Target {
    let topics = members.values().next().map(|member| member.topics.as_slice()).unwrap_or_default();
    let count = |topic| counts.get(topic).copied().unwrap_or(0);
    let total: usize = topics.iter().map(|topic| usize::from(count(topic))).sum();
    let Some(quota) = total.checked_div(members.len()) else { return Target::new() };
    let surplus = total % members.len();

    let taken: BTreeSet<&TopicPartition> =
        members.values().flat_map(|member| member.target.iter()).collect();
    let mut unassigned: Vec<TopicPartition> = topics
        .iter()
        .flat_map(|topic| partitions_of(*topic, count(topic)))
        .filter(|partition| !taken.contains(partition))
        .collect();

    let mut target = Target::new();
    let mut unfilled = Vec::new();
    for (at, (&member, spec)) in members.iter().enumerate() {
        let quota = quota + usize::from(at < surplus);
        let subscribed = |partition: &&TopicPartition| topics.contains(&partition.topic);
        let mut owned = spec.target.iter().filter(subscribed).copied();
        let kept: BTreeSet<TopicPartition> = owned.by_ref().take(quota).collect();
        unassigned.extend(owned);
        if kept.len() < quota {
            unfilled.push((member, quota - kept.len()));
        }
        target.insert(member, kept);
    }

    let mut unassigned = unassigned.into_iter();
    for (member, room) in unfilled {
        target.entry(member).or_default().extend(unassigned.by_ref().take(room));
    }
    target
}
