//! The sticky assignment of members that all subscribe to the same topics, before KAFKA-12984.
//!
//! Mirrors `AbstractStickyAssignor.constrainedAssign` of 2.6 to 2.8.0. It takes the word of every
//! member: two that claim one partition both keep it, and it has two owners until somebody rejoins
//! (case C11).
//!
//! Where contradictory claims make the counts come out wrong, Kafka throws an exception in the
//! leader's `poll()`; here the members are left as they are by then. 2.4 and 2.5 used the general
//! algorithm, which is not told apart.

use super::Sticky;
use crate::consumer::assignor::{PartitionCounts, Shares, partitions_of};
use acklab_vocab::ids::{MemberId, TopicPartition};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Assigns the partitions of `counts` to the members that say to own `owned`.
pub(super) fn assign(owned: &Shares, counts: &PartitionCounts) -> Sticky {
    let partitions = counts.iter().flat_map(|(&topic, &count)| partitions_of(topic, count));
    let mut unassigned: BTreeSet<TopicPartition> = partitions.collect();
    let Some(min_quota) = unassigned.len().checked_div(owned.len()) else {
        return Sticky { shares: Shares::new(), transferring: Some(BTreeMap::new()) };
    };
    let max_quota = unassigned.len().div_ceil(owned.len());
    let mut builder = Builder { min_quota, ..Builder::default() };
    for (&member, owned) in owned {
        builder.keep_owned(member, owned, max_quota);
        let kept = &builder.shares[&member];
        unassigned.retain(|partition| !kept.contains(partition));
    }
    let rest = builder.fill_to_minimum(unassigned);
    builder.steal();
    builder.spread(rest);
    Sticky { shares: builder.shares, transferring: Some(builder.transferring) }
}

#[derive(Default)]
struct Builder {
    min_quota: usize,
    under: Vec<MemberId>,
    at_minimum: VecDeque<MemberId>,
    at_maximum: VecDeque<MemberId>,
    revoked: BTreeSet<TopicPartition>,
    shares: Shares,
    transferring: BTreeMap<TopicPartition, MemberId>,
}

impl Builder {
    /// A member keeps what it owns, up to the larger quota.
    fn keep_owned(&mut self, member: MemberId, owned: &BTreeSet<TopicPartition>, max_quota: usize) {
        let kept: BTreeSet<TopicPartition> = owned.iter().take(max_quota).copied().collect();
        self.revoked.extend(owned.iter().skip(max_quota).copied());
        if owned.len() < self.min_quota {
            self.under.push(member);
        } else {
            if kept.len() == self.min_quota {
                self.at_minimum.push_back(member);
            }
            if kept.len() == max_quota {
                self.at_maximum.push_back(member);
            }
        }
        self.shares.insert(member, kept);
    }

    /// Deals out to the members below the smaller quota, in a circle. Returns what is left.
    fn fill_to_minimum(&mut self, unassigned: BTreeSet<TopicPartition>) -> Vec<TopicPartition> {
        let mut rest = unassigned.into_iter();
        let mut turn = 0;
        while !self.under.is_empty() {
            turn %= self.under.len();
            let member = self.under[turn];
            let Some(partition) = rest.next() else { break };
            self.give(partition, member);
            if self.shares[&member].len() == self.min_quota {
                self.at_minimum.push_back(member);
                self.under.remove(turn);
            } else {
                turn += 1;
            }
        }
        rest.collect()
    }

    /// Members still below the smaller quota take from those at the larger one.
    fn steal(&mut self) {
        for member in std::mem::take(&mut self.under) {
            while self.shares[&member].len() < self.min_quota {
                let Some(from) = self.at_maximum.pop_front() else { return };
                let Some(partition) = self.shares.entry(from).or_default().pop_first() else {
                    return;
                };
                self.shares.entry(member).or_default().insert(partition);
                self.transferring.insert(partition, member);
            }
            self.at_minimum.push_back(member);
        }
    }

    /// One more to each member at the smaller quota.
    fn spread(&mut self, rest: Vec<TopicPartition>) {
        for partition in rest {
            let Some(member) = self.at_minimum.pop_front() else { return };
            self.give(partition, member);
        }
    }

    fn give(&mut self, partition: TopicPartition, member: MemberId) {
        self.shares.entry(member).or_default().insert(partition);
        if self.revoked.contains(&partition) {
            self.transferring.insert(partition, member);
        }
    }
}
