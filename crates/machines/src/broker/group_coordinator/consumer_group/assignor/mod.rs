//! Server-side assignors: how the coordinator of a KIP-848 group shares out the partitions.
//!
//! Mirrors `UniformAssignor` and `RangeAssignor` of Kafka's group coordinator, one file per
//! algorithm. Pure functions of the members' subscriptions, of the target that they have, and of
//! the topics' sizes. Where Kafka iterates over a `HashMap`, members go in the order of their ids
//! and topics in the order of theirs.
//!
//! Left out: racks (Kafka's own do not look at them yet), and subscriptions by regular expression.

mod range;
#[cfg(test)]
mod tests;
mod uniform;
mod uniform_uneven;

use acklab_vocab::group::RemoteAssignor;
use acklab_vocab::ids::{GroupInstanceId, MemberId, TopicId, TopicPartition};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How many partitions each topic has.
pub(crate) type PartitionCounts = BTreeMap<TopicId, u16>;

/// Who is to own what.
pub(super) type Target = BTreeMap<MemberId, BTreeSet<TopicPartition>>;

/// A member as an assignor sees it (`MemberSubscriptionAndAssignmentImpl`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MemberSpec {
    /// `group.instance.id`
    pub(super) instance: Option<GroupInstanceId>,
    /// The topics that it subscribes to and that exist, ascending.
    pub(super) topics: Vec<TopicId>,
    /// What it is to own so far, ascending.
    pub(super) target: Arc<[TopicPartition]>,
}

/// Computes the target assignment: every partition of a subscribed topic to one member.
///
/// `counts` has every topic that a member subscribes to.
pub(super) fn assign(
    assignor: RemoteAssignor,
    members: &BTreeMap<MemberId, MemberSpec>,
    counts: &PartitionCounts,
) -> Target {
    let equal = {
        let mut topics = members.values().map(|member| &member.topics);
        let first = topics.next();
        topics.all(|topics| Some(topics) == first)
    };
    match (assignor, equal) {
        (RemoteAssignor::Uniform, true) => uniform::assign(members, counts),
        (RemoteAssignor::Uniform, false) => uniform_uneven::assign(members, counts),
        (RemoteAssignor::Range, true | false) => range::assign(members, counts),
    }
}

/// The partitions of a topic, ascending.
fn partitions_of(topic: TopicId, count: u16) -> impl Iterator<Item = TopicPartition> {
    (0..count).map(move |partition| TopicPartition::new(topic.0, partition))
}
