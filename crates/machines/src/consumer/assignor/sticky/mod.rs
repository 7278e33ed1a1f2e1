//! `sticky`: as balanced as possible first, and then as little moved as possible (KIP-54, KIP-341).
//!
//! Mirrors `AbstractStickyAssignor`: [`constrained`] when everybody subscribes to the same topics,
//! [`general`] otherwise. What counts as owned is settled here, since several members may claim a
//! partition: a member that fell out of the group does not know yet that its partitions have gone
//! to another.
//!
//! Left out: the leader's memory of the highest generation that it has ever seen, which in Kafka
//! outlives a rebalance and matters only after a group was deleted and began anew.

mod constrained;
mod general;
mod unfenced;

use super::{PartitionCounts, Shares};
use acklab_vocab::api::JoinGroupMember;
use acklab_vocab::group::Assignor;
use acklab_vocab::ids::{Generation, MemberId, TopicPartition};
use acklab_vocab::rules::{ProtocolRule, ProtocolRules};
use std::collections::{BTreeMap, BTreeSet};

/// What the sticky assignors come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sticky {
    /// Who is to own what.
    pub(super) shares: Shares,
    /// What moves from one member to another, by the new owner; `None` where the algorithm does not
    /// keep count.
    pub(super) transferring: Option<BTreeMap<TopicPartition, MemberId>>,
}

/// What the members own, after contradictory claims were settled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Claims {
    /// What each member owns, each partition at most once (but see [`unfenced`]).
    owned: Shares,
    /// Claimed by several members of one generation: owned by nobody.
    disputed: BTreeSet<TopicPartition>,
    /// The newest generation of any member.
    newest: Option<Generation>,
}

/// Assigns as `sticky` or, before partitions are withheld, as `cooperative-sticky`.
pub(super) fn assign(
    assignor: Assignor,
    members: &[JoinGroupMember],
    counts: &PartitionCounts,
    rules: ProtocolRules,
) -> Sticky {
    let fenced = rules.has(ProtocolRule::OwnedPartitionsCarryGeneration);
    let generation = |member: &JoinGroupMember| match assignor {
        Assignor::CooperativeSticky if !fenced => None,
        Assignor::Range | Assignor::RoundRobin | Assignor::Sticky | Assignor::CooperativeSticky => {
            member.subscription.generation
        }
    };
    let equal =
        members.windows(2).all(|two| two[0].subscription.topics == two[1].subscription.topics);
    let claims = if !fenced {
        claims_of_newest(members, counts, generation, !equal)
    } else if rules.has(ProtocolRule::ContestedPartitionToNewestClaim) {
        claims_by_partition(members, counts, generation)
    } else {
        let mut claims = claims_of_newest(members, counts, generation, false);
        claims.drop_disputed();
        claims
    };
    match (equal, fenced) {
        (true, true) => constrained::assign(claims, counts),
        (true, false) => unfenced::assign(&claims.owned, counts),
        (false, true | false) => {
            let before = earlier_owners(members, generation, claims.newest);
            let shares = general::assign(members, claims.owned, &before, counts);
            Sticky { shares, transferring: None }
        }
    }
}

/// Who owns what, partition by partition: the claim of the newest generation holds (KAFKA-14639).
fn claims_by_partition(
    members: &[JoinGroupMember],
    counts: &PartitionCounts,
    generation: impl Fn(&JoinGroupMember) -> Option<Generation>,
) -> Claims {
    let mut claims = Claims::default();
    let mut owner: BTreeMap<TopicPartition, (MemberId, Option<Generation>)> = BTreeMap::new();
    for member in members {
        let said = generation(member);
        claims.newest = claims.newest.max(said);
        claims.owned.entry(member.member).or_default();
        for partition in valid(member, counts) {
            match owner.get(&partition) {
                None => {}
                Some(&(other, at)) if said >= at => {
                    if said == at {
                        claims.disputed.insert(partition);
                    }
                    claims.take(other, partition);
                }
                Some(_) => continue,
            }
            if owner.get(&partition).is_none_or(|&(_, at)| said > at) {
                claims.give(member.member, partition);
            }
            owner.insert(partition, (member.member, said));
        }
    }
    claims
}

/// Who owns what before KAFKA-14639: only members of the newest generation own anything;
/// `last_wins` settles what two of them claim, otherwise both have it.
fn claims_of_newest(
    members: &[JoinGroupMember],
    counts: &PartitionCounts,
    generation: impl Fn(&JoinGroupMember) -> Option<Generation>,
    last_wins: bool,
) -> Claims {
    let newest = members.iter().map(&generation).max().flatten();
    let mut claims = Claims { newest, ..Claims::default() };
    let mut owner: BTreeMap<TopicPartition, MemberId> = BTreeMap::new();
    for member in members {
        claims.owned.entry(member.member).or_default();
        if generation(member) != newest {
            continue;
        }
        for partition in valid(member, counts) {
            if let Some(other) = owner.insert(partition, member.member) {
                claims.disputed.insert(partition);
                if last_wins {
                    claims.take(other, partition);
                }
            }
            claims.give(member.member, partition);
        }
    }
    claims
}

impl Claims {
    fn give(&mut self, member: MemberId, partition: TopicPartition) {
        self.owned.entry(member).or_default().insert(partition);
    }

    fn take(&mut self, member: MemberId, partition: TopicPartition) {
        if let Some(owned) = self.owned.get_mut(&member) {
            owned.remove(&partition);
        }
    }

    fn drop_disputed(&mut self) {
        for owned in self.owned.values_mut() {
            owned.retain(|partition| !self.disputed.contains(partition));
        }
    }
}

/// What a member claims and could own: partitions of topics that are shared out.
fn valid<'a>(
    member: &'a JoinGroupMember,
    counts: &'a PartitionCounts,
) -> impl Iterator<Item = TopicPartition> + 'a {
    let exists = |partition: &TopicPartition| {
        counts.get(&partition.topic).is_some_and(|&count| partition.partition.0 < count)
    };
    member.subscription.owned.iter().copied().filter(exists)
}

/// Who says to have owned a partition in the newest generation but one: it may get it back if it
/// has far less than the present owner (`GeneralAssignmentBuilder.prepopulateCurrentAssignments`,
/// KIP-341).
fn earlier_owners(
    members: &[JoinGroupMember],
    generation: impl Fn(&JoinGroupMember) -> Option<Generation>,
    newest: Option<Generation>,
) -> BTreeMap<TopicPartition, MemberId> {
    let mut before: BTreeMap<TopicPartition, (Option<Generation>, MemberId)> = BTreeMap::new();
    for member in members {
        let said = generation(member);
        if said >= newest {
            continue;
        }
        for &partition in &member.subscription.owned {
            let kept = before.entry(partition).or_insert((said, member.member));
            if said > kept.0 {
                *kept = (said, member.member);
            }
        }
    }
    before.into_iter().map(|(partition, (_, member))| (partition, member)).collect()
}
