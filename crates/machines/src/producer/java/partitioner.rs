//! Which partition a record goes to: `DefaultPartitioner` (round-robin before 2.4, sticky until
//! 3.2), `BuiltInPartitioner` (KIP-794, 3.3+), `RoundRobinPartitioner`, `UniformStickyPartitioner`.
//!
//! A record with a key goes to its hash over *all* partitions, available or not; one without a key
//! only to partitions that have a leader, as long as there is one.
//!
//! Left out: `partitioner.availability.timeout.ms`, which is 0 (off) by default. librdkafka's
//! partitioners are taken for their hash of a key; Java's client has no such class.

use crate::producer::hash::{crc32, murmur2, to_positive};
use crate::rng::NodeRng;
use acklab_vocab::config::{JavaProducerConfig, Partitioner};
use acklab_vocab::ids::PartitionIndex;
use acklab_vocab::rules::ProtocolRule;

/// The partitions of a topic, as the client's metadata has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TopicCluster {
    /// How many there are.
    pub count: u16,
    /// Those with a leader, ascending.
    pub available: Vec<PartitionIndex>,
}

/// Where a record goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placement {
    /// To this partition.
    Partition(PartitionIndex),
    /// Wherever the built-in partitioner sticks when the record is appended (`UNKNOWN_PARTITION`).
    BuiltIn,
}

/// The partition at which the built-in partitioner sticks (`StickyPartitionInfo`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StickyPartition {
    pub partition: PartitionIndex,
    /// Bytes that went there since it was chosen.
    pub produced_bytes: u32,
}

/// A partitioner's memory of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TopicPartitioner {
    /// Keys hashed; without a key the next available partition, from a random start.
    KeyOrRoundRobin { counter: Option<i32> },
    /// The next available partition for every record, from the first.
    RoundRobin { counter: i32 },
    /// Keys hashed unless ignored; without a key the same partition until a batch is complete
    /// (KIP-480).
    Sticky { ignores_keys: bool, current: Option<PartitionIndex> },
    /// Keys hashed unless ignored; without a key the same partition for `batch.size` bytes
    /// (KIP-794).
    BuiltIn { ignores_keys: bool, current: Option<StickyPartition> },
    /// Keys hashed by `hash`; random without.
    KeyOrRandom { hash: KeyHash },
}

/// A hash of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyHash {
    Murmur2,
    Crc32,
}

impl TopicPartitioner {
    /// As configured, by the rules of the version.
    pub fn new(config: &JavaProducerConfig) -> Self {
        let rules = config.client.rules;
        match config.partitioner {
            Partitioner::Default if rules.has(ProtocolRule::BuiltInPartitioner) => {
                TopicPartitioner::BuiltIn { ignores_keys: config.ignore_keys, current: None }
            }
            Partitioner::Default if rules.has(ProtocolRule::StickyPartitioner) => {
                TopicPartitioner::Sticky { ignores_keys: false, current: None }
            }
            Partitioner::Default => TopicPartitioner::KeyOrRoundRobin { counter: None },
            Partitioner::RoundRobin => TopicPartitioner::RoundRobin { counter: 0 },
            Partitioner::UniformSticky => {
                TopicPartitioner::Sticky { ignores_keys: true, current: None }
            }
            Partitioner::ConsistentRandom => TopicPartitioner::KeyOrRandom { hash: KeyHash::Crc32 },
            Partitioner::Murmur2Random => TopicPartitioner::KeyOrRandom { hash: KeyHash::Murmur2 },
        }
    }

    /// Whether it is a class in Kafka's eyes (`partitioner != null`), which is told of every new
    /// batch.
    pub const fn is_class(&self) -> bool {
        !matches!(self, TopicPartitioner::BuiltIn { .. })
    }

    /// Where a record with this key goes (`KafkaProducer.partition`).
    pub fn place(
        &mut self,
        key: Option<&[u8]>,
        topic: &TopicCluster,
        rng: &mut NodeRng,
    ) -> Placement {
        let partition = match self {
            TopicPartitioner::BuiltIn { ignores_keys, .. } => match key {
                Some(key) if !*ignores_keys => partition_for_key(KeyHash::Murmur2, key, topic),
                _ => return Placement::BuiltIn,
            },
            TopicPartitioner::KeyOrRoundRobin { counter } => match key {
                Some(key) => partition_for_key(KeyHash::Murmur2, key, topic),
                None => {
                    let next = counter.get_or_insert_with(|| rng.bits() as i32);
                    round_robin(next, topic)
                }
            },
            TopicPartitioner::RoundRobin { counter } => round_robin(counter, topic),
            TopicPartitioner::Sticky { ignores_keys, current } => match key {
                Some(key) if !*ignores_keys => partition_for_key(KeyHash::Murmur2, key, topic),
                _ => *current.get_or_insert_with(|| next_sticky(None, topic, rng)),
            },
            TopicPartitioner::KeyOrRandom { hash } => match key {
                Some(key) => partition_for_key(*hash, key, topic),
                None => random(topic, rng),
            },
        };
        Placement::Partition(partition)
    }

    /// A record is about to open a batch at `partition` (`Partitioner.onNewBatch`).
    pub fn on_new_batch(
        &mut self,
        partition: PartitionIndex,
        topic: &TopicCluster,
        rng: &mut NodeRng,
    ) {
        match self {
            TopicPartitioner::Sticky { current, .. } => {
                if current.is_none_or(|current| current == partition) {
                    *current = Some(next_sticky(*current, topic, rng));
                }
            }
            TopicPartitioner::KeyOrRoundRobin { .. }
            | TopicPartitioner::RoundRobin { .. }
            | TopicPartitioner::BuiltIn { .. }
            | TopicPartitioner::KeyOrRandom { .. } => {}
        }
    }
}

/// The partition of a key: its hash over all partitions.
pub(super) fn partition_for_key(hash: KeyHash, key: &[u8], topic: &TopicCluster) -> PartitionIndex {
    let hash = match hash {
        KeyHash::Murmur2 => to_positive(murmur2(key)),
        KeyHash::Crc32 => crc32(key),
    };
    PartitionIndex((hash % u32::from(topic.count)) as u16)
}

fn round_robin(counter: &mut i32, topic: &TopicCluster) -> PartitionIndex {
    let next = to_positive(*counter);
    *counter = counter.wrapping_add(1);
    nth(next, topic)
}

/// Any available partition but the current one, if there is another
/// (`StickyPartitionCache.nextPartition`).
fn next_sticky(
    current: Option<PartitionIndex>,
    topic: &TopicCluster,
    rng: &mut NodeRng,
) -> PartitionIndex {
    if topic.available.len() < 2 {
        return random(topic, rng);
    }
    loop {
        let next = random(topic, rng);
        if Some(next) != current {
            return next;
        }
    }
}

/// Uniform among the available partitions, or among all if none is.
pub(super) fn random(topic: &TopicCluster, rng: &mut NodeRng) -> PartitionIndex {
    nth(rng.below(u64::from(i32::MAX as u32) + 1) as u32, topic)
}

fn nth(number: u32, topic: &TopicCluster) -> PartitionIndex {
    match topic.available.len() as u32 {
        0 => PartitionIndex((number % u32::from(topic.count)) as u16),
        available => topic.available[(number % available) as usize],
    }
}

/// The built-in partitioner's next partition where queue lengths differ: `(partition, batches
/// queued)`, the shorter the likelier, by `max + 1 - length`. `None` where all are equal: uniform
/// then (`updatePartitionLoadStats`).
pub(super) fn weighted_by_queue(
    queues: &[(PartitionIndex, u32)],
    all_available: bool,
    rng: &mut NodeRng,
) -> Option<PartitionIndex> {
    let longest = queues.iter().map(|queue| queue.1).max()?;
    let all_equal = queues.iter().all(|queue| queue.1 == longest);
    if all_equal && all_available {
        return None;
    }
    let weight = |length: u32| u64::from(longest + 1 - length);
    let total: u64 = queues.iter().map(|queue| weight(queue.1)).sum();
    let mut drawn = rng.below(total);
    let chosen = queues.iter().find(|queue| {
        let within = drawn < weight(queue.1);
        drawn = drawn.wrapping_sub(weight(queue.1));
        within
    });
    chosen.map(|queue| queue.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(count: u16, available: &[u16]) -> TopicCluster {
        TopicCluster { count, available: available.iter().copied().map(PartitionIndex).collect() }
    }

    fn placed(partitioner: &mut TopicPartitioner, key: Option<&[u8]>, topic: &TopicCluster) -> u16 {
        match partitioner.place(key, topic, &mut NodeRng::for_test(1)) {
            Placement::Partition(partition) => partition.0,
            Placement::BuiltIn => panic!("not placed"),
        }
    }

    #[test]
    fn a_key_is_hashed_over_all_partitions_available_or_not() {
        let mut partitioner = TopicPartitioner::KeyOrRoundRobin { counter: Some(0) };
        let topic = topic(3, &[2]);
        assert_eq!(placed(&mut partitioner, Some(b"key-0"), &topic), 1);
        assert_eq!(placed(&mut partitioner, Some(b"key-1"), &topic), 0);
        assert_eq!(placed(&mut partitioner, None, &topic), 2);
    }

    #[test]
    fn round_robin_visits_available_partitions_in_turn() {
        let mut partitioner = TopicPartitioner::RoundRobin { counter: 0 };
        let topic = topic(4, &[0, 2, 3]);
        let visited = [(); 5].map(|()| placed(&mut partitioner, Some(b"ignored"), &topic));
        assert_eq!(visited, [0, 2, 3, 0, 2]);
    }

    #[test]
    fn sticky_moves_only_when_its_own_partition_opens_a_batch() {
        let mut rng = NodeRng::for_test(7);
        let topic = topic(3, &[0, 1, 2]);
        let here = Some(PartitionIndex(1));
        let mut partitioner = TopicPartitioner::Sticky { ignores_keys: false, current: here };
        partitioner.on_new_batch(PartitionIndex(2), &topic, &mut rng);
        assert_eq!(placed(&mut partitioner, None, &topic), 1);
        partitioner.on_new_batch(PartitionIndex(1), &topic, &mut rng);
        assert_ne!(placed(&mut partitioner, None, &topic), 1);
    }

    #[test]
    fn sticky_stays_where_no_other_partition_is_available() {
        let mut rng = NodeRng::for_test(7);
        assert_eq!(next_sticky(Some(PartitionIndex(2)), &topic(3, &[2]), &mut rng).0, 2);
    }

    #[test]
    fn the_built_in_partitioner_prefers_short_queues() {
        let mut rng = NodeRng::for_test(3);
        let queue = |partition, length| (PartitionIndex(partition), length);
        let equal = [queue(0, 2), queue(1, 2)];
        assert_eq!(weighted_by_queue(&equal, true, &mut rng), None);
        // Weights 1 and 4: maximum plus one, minus the length.
        let uneven = [queue(0, 3), queue(1, 0)];
        let draws = (0..1_000).filter_map(|_| weighted_by_queue(&uneven, true, &mut rng));
        let short = draws.filter(|partition| partition.0 == 1).count();
        assert!((750..850).contains(&short), "{short}");
    }
}
