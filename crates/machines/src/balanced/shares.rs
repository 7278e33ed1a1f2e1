//! Who takes which partitions: every consumer computes it for itself, from the same lists.
//!
//! Mirrors `RangeAssignor` of `kafka.consumer.PartitionAssignor` and pykafka's `decide_partitions_range`: the same
//! shares, over lists that are sorted otherwise. The high-level consumer orders partitions by number; pykafka orders
//! the texts `topic-leader-partition`, in which 10 comes before 2 and the leader before both.
//!
//! Left out: more than one stream (thread) of a consumer for a topic, `roundrobin`.

use crate::rng::NodeRng;
use acklab_vocab::ids::{BrokerId, GroupId, TopicPartition};
use acklab_vocab::time::SimTime;
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;

/// A consumer as it is called in ZooKeeper.
pub(super) type ConsumerId = Arc<str>;

/// Which places of a list of `partitions` the consumer at place `own` of `consumers` takes.
pub(super) fn range_share(partitions: usize, consumers: usize, own: usize) -> Range<usize> {
    let each = partitions / consumers;
    let remainder = partitions % consumers;
    let start = each * own + own.min(remainder);
    start..start + each + usize::from(own < remainder)
}

/// A partition and the leader that a consumer believes it has.
pub(super) type Led = (TopicPartition, BrokerId);

/// pykafka's name for the znode of a partition's owner: with the leader in it.
pub(super) fn owner_name((partition, leader): Led) -> String {
    format!("{leader}-{}", partition.partition)
}

/// In the order of pykafka's `p_to_str`.
pub(super) fn sorted_as_text(mut partitions: Vec<Led>) -> Vec<Led> {
    partitions.sort_by_cached_key(|&led| format!("{}-{}", led.0.topic, owner_name(led)));
    partitions
}

/// A random UUID of version 4, as text.
fn uuid(rng: &mut NodeRng) -> String {
    let high = (rng.bits() & !0xf000) | 0x4000;
    let low = (rng.bits() & (u64::MAX >> 2)) | (1 << 63);
    let mut text = String::with_capacity(36);
    let parts = (high >> 32, (high >> 16) & 0xffff, high & 0xffff);
    let rest = (low >> 48, low & 0xffff_ffff_ffff);
    let written = write!(
        text,
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        parts.0, parts.1, parts.2, rest.0, rest.1
    );
    written.expect("a string takes everything");
    text
}

/// The host of all applications, so that the rest of an id decides the order.
const HOST: &str = "apps";
/// What the clock of that host says at time zero, in milliseconds.
const CLOCK_AT_ZERO: i64 = 1_420_070_400_000;

/// pykafka: `hostname:uuid4`.
pub(super) fn pykafka_id(rng: &mut NodeRng) -> ConsumerId {
    format!("{HOST}:{}", uuid(rng)).into()
}

/// `ZookeeperConsumerConnector.consumerIdString`: group, host, the time of the start, eight digits of a UUID.
pub(super) fn high_level_id(group: GroupId, now: SimTime, rng: &mut NodeRng) -> ConsumerId {
    let millis = CLOCK_AT_ZERO + now.0.div_euclid(1_000_000);
    format!("{group}_{HOST}-{millis}-{}", &uuid(rng)[..8]).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(partitions: usize, consumers: usize) -> Vec<Range<usize>> {
        (0..consumers).map(|own| range_share(partitions, consumers, own)).collect()
    }

    #[test]
    fn the_first_consumers_take_the_remainder() {
        assert_eq!(shares(10, 10), (0..10).map(|at| at..at + 1).collect::<Vec<_>>());
        assert_eq!(shares(10, 3), [0..4, 4..7, 7..10]);
        assert_eq!(shares(2, 3), [0..1, 1..2, 2..2]);
        assert_eq!(range_share(10, 1, 0), 0..10);
        assert_eq!(shares(0, 2), [0..0, 0..0]);
    }

    #[test]
    fn every_partition_has_one_owner_however_many_there_are() {
        for partitions in 0..25 {
            for consumers in 1..13 {
                let taken: Vec<usize> =
                    shares(partitions, consumers).into_iter().flatten().collect();
                assert_eq!(taken, (0..partitions).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn ten_precedes_two_and_the_leader_precedes_both() {
        let led = |partition, leader| (TopicPartition::new(0, partition), BrokerId(leader));
        let of = |partitions: Vec<Led>| -> Vec<u16> {
            sorted_as_text(partitions).into_iter().map(|(it, _)| it.partition.0).collect()
        };
        assert_eq!(of((0..11).map(|it| led(it, 1)).collect()), [0, 1, 10, 2, 3, 4, 5, 6, 7, 8, 9]);
        let rotating = (0..10).map(|it| led(it, it % 3 + 1)).collect();
        assert_eq!(of(rotating), [0, 3, 6, 9, 1, 4, 7, 2, 5, 8]);
        // Leader 10 comes before leader 2 as well.
        assert_eq!(of(vec![led(0, 2), led(1, 10)]), [1, 0]);
    }

    #[test]
    fn after_a_leader_has_moved_two_views_disagree() {
        let led = |partition, leader| (TopicPartition::new(0, partition), BrokerId(leader));
        let before = sorted_as_text(vec![led(0, 1), led(1, 2)]);
        let after = sorted_as_text(vec![led(0, 3), led(1, 2)]);
        let first = range_share(2, 2, 0);
        let second = range_share(2, 2, 1);
        assert_eq!(before[first][0].0, TopicPartition::new(0, 0));
        assert_eq!(after[second][0].0, TopicPartition::new(0, 0), "both take partition 0");
    }

    #[test]
    fn ids_have_the_form_of_their_library() {
        let mut rng = NodeRng::for_test(3);
        let id = pykafka_id(&mut rng);
        let text = id.strip_prefix("apps:").unwrap();
        let lengths: Vec<usize> = text.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert_eq!(&text[14..15], "4");
        assert!(matches!(&text[19..20], "8" | "9" | "a" | "b"), "{text}");
        let early = high_level_id(GroupId(0), SimTime::from_millis(-500), &mut rng);
        let late = high_level_id(GroupId(0), SimTime::from_millis(12), &mut rng);
        assert!(early.starts_with("0_apps-1420070399500-"), "{early}");
        assert!(early < late);
    }
}
