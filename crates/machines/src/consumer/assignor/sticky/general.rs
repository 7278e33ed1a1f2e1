//! The sticky assignment of members that subscribe to different topics.
//!
//! Mirrors `AbstractStickyAssignor.GeneralAssignmentBuilder` (KIP-54, KIP-341): members keep what
//! they own, what nobody owns goes to whoever has least, and then partitions move one by one from
//! members that have at least two more than another that could have them. Moves within a topic are
//! swapped where that makes fewer of them.

use crate::consumer::assignor::{PartitionCounts, Shares, partitions_of, subscribes};
use acklab_vocab::api::JoinGroupMember;
use acklab_vocab::ids::{MemberId, TopicId, TopicPartition};
use std::collections::{BTreeMap, BTreeSet};

/// Assigns the partitions of `counts`. `owned`: what each member owns. `before`: who says to have
/// owned a partition in an earlier generation.
pub(super) fn assign(
    members: &[JoinGroupMember],
    owned: Shares,
    before: &BTreeMap<TopicPartition, MemberId>,
    counts: &PartitionCounts,
) -> Shares {
    let mut builder = Builder::new(members, owned, counts);
    let revoked = builder.drop_unsubscribed(members);
    let unassigned = builder.unassigned();
    builder.balance(unassigned, before, revoked);
    builder.shares
}

struct Builder<'a> {
    counts: &'a PartitionCounts,
    /// Who could own the partitions of a topic, ascending.
    subscribers: BTreeMap<TopicId, BTreeSet<MemberId>>,
    /// What each member could own.
    topics: BTreeMap<MemberId, BTreeSet<TopicId>>,
    shares: Shares,
    owner: BTreeMap<TopicPartition, MemberId>,
    /// Every partition; those of topics with few subscribers first.
    all: Vec<TopicPartition>,
    /// The members by how much they have.
    by_size: BTreeSet<(usize, MemberId)>,
    movements: Movements,
}

impl<'a> Builder<'a> {
    fn new(members: &[JoinGroupMember], shares: Shares, counts: &'a PartitionCounts) -> Self {
        let mut subscribers: BTreeMap<TopicId, BTreeSet<MemberId>> =
            counts.keys().map(|&topic| (topic, BTreeSet::new())).collect();
        let mut topics: BTreeMap<MemberId, BTreeSet<TopicId>> = BTreeMap::new();
        for member in members {
            let could = topics.entry(member.member).or_default();
            for topic in &member.subscription.topics {
                if let Some(subscribers) = subscribers.get_mut(topic) {
                    subscribers.insert(member.member);
                    could.insert(*topic);
                }
            }
        }
        let mut sorted: Vec<TopicId> = counts.keys().copied().collect();
        sorted.sort_by_key(|topic| (subscribers[topic].len(), *topic));
        let all = sorted.iter().flat_map(|&topic| partitions_of(topic, counts[&topic])).collect();
        let owner = shares
            .iter()
            .flat_map(|(&member, share)| share.iter().map(move |&partition| (partition, member)))
            .collect();
        let (by_size, movements) = (BTreeSet::new(), Movements::default());
        Builder { counts, subscribers, topics, shares, owner, all, by_size, movements }
    }

    /// Takes from members what they do not subscribe to any more. Whether there was anything.
    fn drop_unsubscribed(&mut self, members: &[JoinGroupMember]) -> bool {
        let mut revoked = false;
        for member in members {
            let share = self.shares.entry(member.member).or_default();
            let before = share.len();
            share.retain(|partition| subscribes(&member.subscription, partition.topic));
            revoked |= share.len() < before;
        }
        self.by_size = self.shares.iter().map(|(&member, share)| (share.len(), member)).collect();
        revoked
    }

    fn unassigned(&self) -> Vec<TopicPartition> {
        let kept: BTreeSet<&TopicPartition> = self.shares.values().flatten().collect();
        self.all.iter().filter(|partition| !kept.contains(partition)).copied().collect()
    }

    fn balance(
        &mut self,
        mut unassigned: Vec<TopicPartition>,
        before: &BTreeMap<TopicPartition, MemberId>,
        revoked: bool,
    ) {
        let initializing = self.shares.values().all(BTreeSet::is_empty);
        for &partition in &unassigned {
            self.assign_to_smallest(partition);
        }
        let subscribers = &self.subscribers;
        let movable = |partition: &TopicPartition| subscribers[&partition.topic].len() >= 2;
        self.all.retain(movable);
        unassigned.retain(movable);
        let fixed = self.set_fixed_aside();
        let (shares_before, owner_before) = (self.shares.clone(), self.owner.clone());
        if !revoked {
            self.reassign_all(&unassigned, before);
        }
        let all = std::mem::take(&mut self.all);
        let reassigned = self.reassign_all(&all, before);
        let worse = score(&self.shares) >= score(&shares_before);
        if !initializing && reassigned && worse {
            self.shares = shares_before;
            self.owner = owner_before;
        }
        self.shares.extend(fixed);
    }

    /// Gives a partition to the subscriber that has least.
    fn assign_to_smallest(&mut self, partition: TopicPartition) {
        let mut candidates = self.by_size.iter();
        let smallest = candidates.find(|(_, member)| self.could_own(*member, partition));
        if let Some(&(size, member)) = smallest {
            self.by_size.remove(&(size, member));
            self.by_size.insert((size + 1, member));
            self.shares.entry(member).or_default().insert(partition);
            self.owner.insert(partition, member);
        }
    }

    fn could_own(&self, member: MemberId, partition: TopicPartition) -> bool {
        self.topics.get(&member).is_some_and(|topics| topics.contains(&partition.topic))
    }

    fn size(&self, member: MemberId) -> usize {
        self.shares.get(&member).map_or(0, BTreeSet::len)
    }

    /// How many partitions a member could own at most.
    fn max_size(&self, member: MemberId) -> usize {
        let topics = self.topics.get(&member).into_iter().flatten();
        topics.map(|topic| usize::from(self.counts[topic])).sum()
    }

    /// Takes out the members that can neither get nor give anything.
    fn set_fixed_aside(&mut self) -> Shares {
        let takes_part = |member: &MemberId, share: &BTreeSet<TopicPartition>| {
            let movable =
                |partition: &TopicPartition| self.subscribers[&partition.topic].len() >= 2;
            share.len() < self.max_size(*member) || share.iter().any(movable)
        };
        let fixed = |(member, share): (&MemberId, &BTreeSet<TopicPartition>)| {
            (!takes_part(member, share)).then_some(*member)
        };
        let fixed: Vec<MemberId> = self.shares.iter().filter_map(fixed).collect();
        let mut aside = Shares::new();
        for member in fixed {
            if let Some(share) = self.shares.remove(&member) {
                self.by_size.remove(&(share.len(), member));
                aside.insert(member, share);
            }
        }
        aside
    }

    /// Nobody could get a partition from somebody who has at least two more.
    fn is_balanced(&self) -> bool {
        let smallest = self.by_size.first().map_or(0, |first| first.0);
        let largest = self.by_size.last().map_or(0, |last| last.0);
        if smallest + 1 >= largest {
            return true;
        }
        self.by_size.iter().all(|&(size, member)| {
            let could_get = |topic: &TopicId| {
                partitions_of(*topic, self.counts[topic]).any(|partition| {
                    let owner = self.owner.get(&partition).copied();
                    owner.is_some_and(|owner| owner != member && size + 1 < self.size(owner))
                })
            };
            size == self.max_size(member)
                || !self.topics.get(&member).into_iter().flatten().any(could_get)
        })
    }

    /// Moves partitions until that makes nothing better. Whether any moved.
    fn reassign_all(
        &mut self,
        partitions: &[TopicPartition],
        before: &BTreeMap<TopicPartition, MemberId>,
    ) -> bool {
        let mut reassigned = false;
        loop {
            let mut modified = false;
            for &partition in partitions {
                if self.is_balanced() {
                    break;
                }
                modified |= self.reassign(partition, before);
            }
            reassigned |= modified;
            if !modified {
                return reassigned;
            }
        }
    }

    /// Moves one partition, or another of its topic in its place, if its owner has at least two
    /// more than another that could have it.
    fn reassign(
        &mut self,
        partition: TopicPartition,
        before: &BTreeMap<TopicPartition, MemberId>,
    ) -> bool {
        let Some(&from) = self.owner.get(&partition) else { return false };
        let has_less = |member: MemberId| self.size(from) > self.size(member) + 1;
        let earlier = before.get(&partition).copied().filter(|&earlier| {
            self.shares.contains_key(&earlier)
                && self.could_own(earlier, partition)
                && has_less(earlier)
        });
        let to = match earlier {
            Some(earlier) => earlier,
            None => {
                if !self.subscribers[&partition.topic].iter().any(|&member| has_less(member)) {
                    return false;
                }
                let mut members = self.by_size.iter().map(|&(_, member)| member);
                match members.find(|&member| self.could_own(member, partition)) {
                    Some(smallest) => smallest,
                    None => return false,
                }
            }
        };
        let moved = self.movements.in_place_of(partition, from, to);
        self.move_partition(moved, to);
        true
    }

    fn move_partition(&mut self, partition: TopicPartition, to: MemberId) {
        let Some(&from) = self.owner.get(&partition) else { return };
        self.by_size.remove(&(self.size(from), from));
        self.by_size.remove(&(self.size(to), to));
        self.movements.record(partition, from, to);
        if let Some(share) = self.shares.get_mut(&from) {
            share.remove(&partition);
        }
        self.shares.entry(to).or_default().insert(partition);
        self.owner.insert(partition, to);
        self.by_size.insert((self.size(to), to));
        self.by_size.insert((self.size(from), from));
    }
}

/// How uneven shares are: the sum of the differences between all pairs of members.
fn score(shares: &Shares) -> usize {
    let sizes: Vec<usize> = shares.values().map(BTreeSet::len).collect();
    let rest = |at: usize| sizes[at + 1..].iter();
    (0..sizes.len()).map(|at| rest(at).map(|size| size.abs_diff(sizes[at])).sum::<usize>()).sum()
}

/// What has been moved so far, from its first owner to its present one (`PartitionMovements`).
#[derive(Default)]
struct Movements {
    by_partition: BTreeMap<TopicPartition, (MemberId, MemberId)>,
    by_pair: BTreeMap<(TopicId, MemberId, MemberId), BTreeSet<TopicPartition>>,
}

impl Movements {
    fn record(&mut self, partition: TopicPartition, from: MemberId, to: MemberId) {
        let first = match self.by_partition.remove(&partition) {
            None => from,
            Some((first, last)) => {
                let pair = (partition.topic, first, last);
                if let Some(partitions) = self.by_pair.get_mut(&pair) {
                    partitions.remove(&partition);
                    if partitions.is_empty() {
                        self.by_pair.remove(&pair);
                    }
                }
                first
            }
        };
        if first != to {
            self.by_partition.insert(partition, (first, to));
            self.by_pair.entry((partition.topic, first, to)).or_default().insert(partition);
        }
    }

    /// The partition to move instead: one of the topic that came the other way, so that it goes
    /// back.
    fn in_place_of(
        &self,
        partition: TopicPartition,
        from: MemberId,
        to: MemberId,
    ) -> TopicPartition {
        let from = self.by_partition.get(&partition).map_or(from, |&(first, _)| first);
        let back = self.by_pair.get(&(partition.topic, to, from));
        back.and_then(|partitions| partitions.first()).copied().unwrap_or(partition)
    }
}
