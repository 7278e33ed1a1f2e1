//! `range`: each topic by itself is cut into contiguous blocks, one for each of its subscribers.
//!
//! Mirrors `org.apache.kafka.coordinator.group.assignor.RangeAssignor`, which does not look at what
//! members have.

use super::{MemberSpec, PartitionCounts, Target};
use acklab_vocab::ids::{GroupInstanceId, MemberId, TopicPartition};
use std::collections::{BTreeMap, BTreeSet};

/// Assigns by ranges.
pub(super) fn assign(members: &BTreeMap<MemberId, MemberSpec>, counts: &PartitionCounts) -> Target {
    let mut target: Target = members.keys().map(|&member| (member, BTreeSet::new())).collect();
    let order = static_members_first(members);
    for (&topic, &count) in counts {
        let subscribes = |member: &&MemberId| members[*member].topics.contains(&topic);
        let subscribers: Vec<MemberId> = order.iter().filter(subscribes).copied().collect();
        let Some(quota) = usize::from(count).checked_div(subscribers.len()) else { continue };
        let surplus = usize::from(count) % subscribers.len();
        let mut next = 0;
        for (at, member) in subscribers.into_iter().enumerate() {
            let end = next + quota + usize::from(at < surplus);
            let block = (next..end).map(|partition| TopicPartition::new(topic.0, partition as u16));
            target.entry(member).or_default().extend(block);
            next = end;
        }
    }
    target
}

/// Static members by their instance id, then dynamic ones by their member id.
fn static_members_first(members: &BTreeMap<MemberId, MemberSpec>) -> Vec<MemberId> {
    let key = |member: &MemberId| -> (bool, Option<GroupInstanceId>, MemberId) {
        let instance = members[member].instance;
        (instance.is_none(), instance, *member)
    };
    let mut order: Vec<MemberId> = members.keys().copied().collect();
    order.sort_by_key(key);
    order
}
