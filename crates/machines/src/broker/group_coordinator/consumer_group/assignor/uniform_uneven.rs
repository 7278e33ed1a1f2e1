//! `uniform` for members that subscribe to different topics.
//!
//! Mirrors `UniformHeterogeneousAssignmentBuilder`: what nobody has goes to the least loaded
//! subscribers, topics with many partitions per subscriber first; then, topic by topic and for at
//! most 16 rounds, partitions move from the most loaded subscribers of the topic to the least
//! loaded ones.

use super::{MemberSpec, PartitionCounts, Target, partitions_of};
use acklab_vocab::ids::{MemberId, TopicId, TopicPartition};
use std::collections::{BTreeMap, BTreeSet};

/// After so many rounds over the topics it stops balancing (`MAX_ITERATION_COUNT`).
const ROUNDS_MAX: usize = 16;

/// Assigns as evenly as the subscriptions allow.
pub(super) fn assign(members: &BTreeMap<MemberId, MemberSpec>, counts: &PartitionCounts) -> Target {
    let mut builder = Builder::new(members, counts);
    builder.assign_rest();
    builder.balance();
    builder.target
}

struct Builder<'a> {
    counts: &'a PartitionCounts,
    /// Who subscribes to each topic, ascending.
    subscribers: BTreeMap<TopicId, Vec<MemberId>>,
    target: Target,
    owner: BTreeMap<TopicPartition, MemberId>,
}

impl<'a> Builder<'a> {
    fn new(members: &BTreeMap<MemberId, MemberSpec>, counts: &'a PartitionCounts) -> Self {
        let mut subscribers: BTreeMap<TopicId, Vec<MemberId>> = BTreeMap::new();
        let mut target = Target::new();
        let mut owner = BTreeMap::new();
        for (&member, spec) in members {
            for &topic in spec.topics.iter().filter(|topic| counts.contains_key(topic)) {
                subscribers.entry(topic).or_default().push(member);
            }
            let subscribed = |partition: &&TopicPartition| spec.topics.contains(&partition.topic);
            let kept: BTreeSet<TopicPartition> =
                spec.target.iter().filter(subscribed).copied().collect();
            owner.extend(kept.iter().map(|&partition| (partition, member)));
            target.insert(member, kept);
        }
        Builder { counts, subscribers, target, owner }
    }

    fn load(&self, member: MemberId) -> usize {
        self.target.get(&member).map_or(0, BTreeSet::len)
    }

    fn count(&self, topic: TopicId) -> u16 {
        self.counts.get(&topic).copied().unwrap_or(0)
    }

    /// Topics with many partitions per subscriber first, then those with few subscribers.
    fn sorted(&self, mut topics: Vec<TopicId>) -> Vec<TopicId> {
        topics.sort_by(|&one, &other| {
            let weight = |topic: TopicId, of: TopicId| {
                u64::from(self.count(topic)) * self.subscribers[&of].len() as u64
            };
            let by_weight = weight(other, one).cmp(&weight(one, other));
            let by_subscribers = self.subscribers[&one].len().cmp(&self.subscribers[&other].len());
            by_weight.then(by_subscribers).then(one.cmp(&other))
        });
        topics
    }

    fn assign_rest(&mut self) {
        let mut unassigned: BTreeMap<TopicId, Vec<TopicPartition>> = BTreeMap::new();
        for &topic in self.subscribers.keys() {
            let free = |partition: &TopicPartition| !self.owner.contains_key(partition);
            let free: Vec<TopicPartition> =
                partitions_of(topic, self.count(topic)).filter(free).collect();
            if !free.is_empty() {
                unassigned.insert(topic, free);
            }
        }
        for topic in self.sorted(unassigned.keys().copied().collect()) {
            let mut queue = LeastLoaded::new(self.by_load(topic));
            for &partition in &unassigned[&topic] {
                let member = queue.next();
                self.give(partition, member);
            }
        }
    }

    /// The subscribers of a topic with their loads, least loaded first.
    fn by_load(&self, topic: TopicId) -> Vec<(usize, MemberId)> {
        let subscribers = self.subscribers[&topic].iter();
        let mut loads: Vec<_> = subscribers.map(|&member| (self.load(member), member)).collect();
        loads.sort_unstable();
        loads
    }

    fn give(&mut self, partition: TopicPartition, member: MemberId) {
        if let Some(from) = self.owner.insert(partition, member)
            && let Some(target) = self.target.get_mut(&from)
        {
            target.remove(&partition);
        }
        self.target.entry(member).or_default().insert(partition);
    }

    fn balance(&mut self) {
        let shared = |topic: &TopicId| self.subscribers[topic].len() >= 2;
        let topics = self.subscribers.keys().copied().filter(shared).collect();
        let topics = self.sorted(topics);
        let mut last_moved = None;
        for _ in 0..ROUNDS_MAX {
            for (at, &topic) in topics.iter().enumerate() {
                if last_moved == Some(at) {
                    return;
                }
                if self.balance_topic(topic) || last_moved.is_none() {
                    last_moved = Some(at);
                }
            }
        }
    }

    /// Moves partitions of one topic from its most to its least loaded subscribers. Whether any
    /// moved.
    fn balance_topic(&mut self, topic: TopicId) -> bool {
        let loads = self.by_load(topic);
        let (Some(least), Some(most)) = (loads.first(), loads.last()) else { return false };
        if most.0 - least.0 <= 1 {
            return false;
        }
        let mut movable: BTreeMap<MemberId, Vec<TopicPartition>> = BTreeMap::new();
        for partition in partitions_of(topic, self.count(topic)) {
            if let Some(&owner) = self.owner.get(&partition) {
                movable.entry(owner).or_default().push(partition);
            }
        }
        let mut givers = MostLoaded::new(loads.clone());
        let mut takers = LeastLoaded::new(loads);
        let mut moved = false;
        loop {
            if givers.level - takers.level <= 1 {
                return moved;
            }
            let partition = loop {
                let Some(giver) = givers.next() else { return moved };
                match movable.get_mut(&giver).and_then(Vec::pop) {
                    Some(partition) => break partition,
                    None => givers.exclude(),
                }
            };
            let taker = takers.next();
            if givers.level - takers.level <= 1 {
                return moved;
            }
            self.give(partition, taker);
            moved = true;
        }
    }
}

/// The least loaded subscribers in turn: those at the lowest load, then all of them and those at
/// the next load, and so on (the lower half of `MemberAssignmentBalancer`).
struct LeastLoaded {
    /// Loads as they were at the beginning, ascending.
    sorted: Vec<(usize, MemberId)>,
    /// How many of them are in the range that is being filled.
    range_end: usize,
    /// Load of every member of the range before its turn.
    level: i64,
    next: usize,
}

impl LeastLoaded {
    /// `sorted` has at least one subscriber.
    fn new(sorted: Vec<(usize, MemberId)>) -> Self {
        let level = sorted.first().map_or(0, |first| first.0 as i64) - 1;
        LeastLoaded { sorted, range_end: 0, level, next: 0 }
    }

    fn next(&mut self) -> MemberId {
        if self.next >= self.range_end {
            self.level += 1;
            let at_level = |of: &&(usize, MemberId)| of.0 as i64 == self.level;
            self.range_end += self.sorted[self.range_end..].iter().take_while(at_level).count();
            self.next = 0;
        }
        let (_, member) = self.sorted[self.next];
        self.next += 1;
        member
    }
}

/// The most loaded subscribers in turn, from the last one down (the upper half of
/// `MemberAssignmentBalancer`). Who has nothing to give of the topic is excluded.
struct MostLoaded {
    sorted: Vec<(usize, MemberId)>,
    range_start: usize,
    range_end: usize,
    level: i64,
    /// Index of the next one; −1 before the first.
    next: i64,
}

impl MostLoaded {
    fn new(sorted: Vec<(usize, MemberId)>) -> Self {
        let len = sorted.len();
        let level = sorted.last().map_or(0, |last| last.0 as i64) + 1;
        MostLoaded { sorted, range_start: len, range_end: len, level, next: len as i64 - 1 }
    }

    fn next(&mut self) -> Option<MemberId> {
        if self.next < self.range_start as i64 {
            if self.range_end <= self.range_start && self.range_start > 0 {
                self.level = self.sorted[self.range_start - 1].0 as i64;
            } else {
                self.level -= 1;
            }
            while self.range_start > 0 && self.sorted[self.range_start - 1].0 as i64 == self.level {
                self.range_start -= 1;
            }
            self.next = self.range_end as i64 - 1;
        }
        let at = usize::try_from(self.next).ok()?;
        self.next -= 1;
        self.sorted.get(at).map(|&(_, member)| member)
    }

    /// Takes the one that was returned last out of the range.
    fn exclude(&mut self) {
        self.range_end -= 1;
        self.sorted.swap((self.next + 1) as usize, self.range_end);
    }
}
