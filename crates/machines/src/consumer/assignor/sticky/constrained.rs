//! The sticky assignment of members that all subscribe to the same topics.
//!
//! Mirrors `AbstractStickyAssignor.ConstrainedAssignmentBuilder` (KAFKA-9987, KAFKA-12984). With
//! equal subscriptions the balance is known beforehand: every member gets the quotient, and as many
//! of them one more as the remainder says. So members keep what they own up to their quota, and the
//! rest is dealt out once.

use super::{Claims, Sticky};
use crate::consumer::assignor::{PartitionCounts, Shares, partitions_of};
use acklab_vocab::ids::{MemberId, TopicPartition};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Assigns the partitions of `counts` to the members of `claims`.
pub(super) fn assign(claims: Claims, counts: &PartitionCounts) -> Sticky {
    let Some(mut builder) = Builder::new(claims.owned.len(), claims.disputed, counts) else {
        return Sticky { shares: Shares::new(), transferring: Some(BTreeMap::new()) };
    };
    for (&member, owned) in &claims.owned {
        builder.keep_owned(member, owned);
    }
    builder.deal_out(counts);
    Sticky { shares: builder.shares, transferring: Some(builder.transferring) }
}

struct Builder {
    /// Every member gets at least so many partitions.
    min_quota: usize,
    /// Nobody gets more.
    max_quota: usize,
    /// How many members get more than the minimum.
    larger_expected: usize,
    /// How many have been settled to get more than the minimum.
    larger: usize,
    /// Members below the minimum, ascending.
    under: Vec<MemberId>,
    /// Members at the minimum that could get one more, ascending.
    at_minimum: VecDeque<MemberId>,
    /// Claimed by several members of one generation.
    disputed: BTreeSet<TopicPartition>,
    /// What members own above their quota.
    maybe_revoked: BTreeMap<TopicPartition, MemberId>,
    shares: Shares,
    transferring: BTreeMap<TopicPartition, MemberId>,
}

impl Builder {
    fn new(
        members: usize,
        disputed: BTreeSet<TopicPartition>,
        counts: &PartitionCounts,
    ) -> Option<Builder> {
        let total: usize = counts.values().map(|&count| usize::from(count)).sum();
        let min_quota = total.checked_div(members)?;
        let larger_expected = total % members;
        Some(Builder {
            min_quota,
            max_quota: min_quota + usize::from(larger_expected > 0),
            larger_expected,
            larger: 0,
            under: Vec::new(),
            at_minimum: VecDeque::new(),
            disputed,
            maybe_revoked: BTreeMap::new(),
            shares: Shares::new(),
            transferring: BTreeMap::new(),
        })
    }

    /// A member keeps what it owns, up to its quota.
    fn keep_owned(&mut self, member: MemberId, owned: &BTreeSet<TopicPartition>) {
        let undisputed = |partition: &&TopicPartition| !self.disputed.contains(*partition);
        let mut owned: Vec<TopicPartition> = owned.iter().filter(undisputed).copied().collect();
        owned.sort_by_key(|owned| (owned.partition, owned.topic));
        let kept = if owned.len() < self.min_quota {
            self.under.push(member);
            owned.len()
        } else if owned.len() >= self.max_quota && self.larger < self.larger_expected {
            self.larger += 1;
            if self.larger == self.larger_expected {
                self.at_minimum.clear();
            }
            self.max_quota
        } else {
            if self.larger < self.larger_expected {
                self.at_minimum.push_back(member);
            }
            self.min_quota
        };
        let given_up = owned.split_off(kept);
        self.maybe_revoked.extend(given_up.into_iter().map(|partition| (partition, member)));
        self.shares.insert(member, owned.into_iter().collect());
    }

    /// Deals what nobody kept out to the members below their quota, in a circle.
    fn deal_out(&mut self, counts: &PartitionCounts) {
        let kept: BTreeSet<TopicPartition> = self.shares.values().flatten().copied().collect();
        let mut turn = 0;
        for (&topic, &count) in counts {
            for partition in partitions_of(topic, count) {
                if kept.contains(&partition) {
                    continue;
                }
                let Some(member) = self.next_member(&mut turn) else { return };
                let size = self.give(partition, member);
                if size == self.min_quota && self.under.get(turn) == Some(&member) {
                    self.under.remove(turn);
                    self.at_minimum.push_back(member);
                } else if self.under.get(turn) == Some(&member) {
                    turn += 1;
                }
            }
        }
    }

    fn next_member(&mut self, turn: &mut usize) -> Option<MemberId> {
        if *turn >= self.under.len() {
            *turn = 0;
        }
        match self.under.get(*turn) {
            Some(&member) => Some(member),
            None => self.at_minimum.pop_front(),
        }
    }

    fn give(&mut self, partition: TopicPartition, member: MemberId) -> usize {
        let from_another = self.maybe_revoked.get(&partition).is_some_and(|&from| from != member);
        if from_another || self.disputed.contains(&partition) {
            self.transferring.insert(partition, member);
        }
        let share = self.shares.entry(member).or_default();
        share.insert(partition);
        share.len()
    }
}
