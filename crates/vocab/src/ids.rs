//! Identifiers. A bare integer never crosses a function edge.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id! {
    /// One process of the simulated world, as an index into [`RunHeader::nodes`](crate::trace::RunHeader): a broker, a
    /// controller, both in one process, a producer, a reader.
    NodeId(u16)
}
id! {
    /// `node.id` of a broker, from 1.
    BrokerId(u16)
}
id! {
    /// `node.id` of a controller: a quorum voter.
    ControllerId(u16)
}
id! {
    /// A topic, as an index into [`RunHeader::topics`](crate::trace::RunHeader).
    TopicId(u16)
}
id! {
    /// A partition within its topic, from 0.
    PartitionIndex(u16)
}
id! {
    /// `leader.epoch` of a partition: rises by one with every election of a leader.
    LeaderEpoch(u32)
}
id! {
    /// Version of a partition's state at the controller: rises with every change of leader or ISR (KIP-497).
    PartitionEpoch(u32)
}
id! {
    /// Incarnation of a broker as the controller registered it: the offset of its registration record (KIP-380, KIP-631).
    BrokerEpoch(u64)
}
id! {
    /// Epoch of the metadata quorum's leader, the active controller (KIP-595).
    ControllerEpoch(u32)
}
id! {
    /// Offset in the metadata log `__cluster_metadata`.
    MetadataOffset(u64)
}
id! {
    /// How often a process has started, from 0 for its first life. Each life registers anew (KIP-631 incarnation id).
    Incarnation(u32)
}
id! {
    /// Producer id handed out by the cluster for an idempotent or transactional producer (KIP-98).
    ProducerId(u64)
}
id! {
    /// Epoch of a producer id: an older one is fenced (KIP-98, KIP-360).
    ProducerEpoch(u16)
}
id! {
    /// Sequence number of a batch's first record for one producer id, epoch and partition, in `0..=i32::MAX`, wrapping to 0.
    BaseSequence(u32)
}
id! {
    /// A group of equal producers of the scenario (`count` instances share one name), as an index into
    /// [`RunHeader::producers`](crate::trace::RunHeader).
    ProducerIndex(u16)
}
id! {
    /// A `group.id`, as an index into [`RunHeader::group_ids`](crate::trace::RunHeader). Several applications may use one.
    GroupId(u16)
}
id! {
    /// A consumer application of the scenario (its instances share a name), as an index into
    /// [`RunHeader::groups`](crate::trace::RunHeader).
    GroupIndex(u16)
}
id! {
    /// `member.id`: Kafka's is the client id, a dash and a random UUID. All members of a group have the same client id here,
    /// so the number stands for the UUID, and members sort by it as Kafka sorts them.
    MemberId(u64)
}
id! {
    /// `group.instance.id` of a static member (KIP-345), as a number.
    GroupInstanceId(u16)
}
id! {
    /// Generation of a classic group; group or member epoch of a KIP-848 group. Rises by one with every rebalance.
    Generation(u32)
}
id! {
    /// A `transactional.id`, as an index into [`RunHeader::transactional_ids`](crate::trace::RunHeader).
    TransactionalId(u16)
}
id! {
    /// Epoch of a coordinator: the leader epoch of the partition of `__consumer_offsets` or `__transaction_state` that makes
    /// it one.
    CoordinatorEpoch(u32)
}
id! {
    /// `myid` of a server of the ZooKeeper ensemble, from 1.
    ZooKeeperServerId(u16)
}
id! {
    /// A TCP connection as one process names it; the two ends of a connection have different ids.
    ConnectionId(u32)
}
id! {
    /// Correlates a response with its request on one connection.
    CorrelationId(u32)
}
id! {
    /// One event of the simulation's queue. A trace event carries the id of the queue event that was being handled.
    EventId(u64)
}

/// Offset of a record in a partition, from 0. As a log end offset or high watermark it is exclusive.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Offset(pub u64);

impl Offset {
    /// The offset `count` records further.
    #[must_use]
    pub const fn plus(self, count: u64) -> Offset {
        Offset(self.0 + count)
    }

    /// How many offsets lie in `earlier..self`; 0 where `earlier` is not earlier.
    #[must_use]
    pub const fn distance_from(self, earlier: Offset) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Generation {
    /// The generation of the next rebalance.
    #[must_use]
    pub const fn next(self) -> Self {
        Generation(self.0 + 1)
    }
}

impl fmt::LowerHex for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::LowerHex::fmt(&self.0, f)
    }
}

impl LeaderEpoch {
    /// The epoch of the next election.
    #[must_use]
    pub const fn next(self) -> Self {
        LeaderEpoch(self.0 + 1)
    }
}

impl BaseSequence {
    /// Sequence `count` records further, wrapping from `i32::MAX` to 0 (`DefaultRecordBatch.incrementSequence`).
    #[must_use]
    pub const fn plus(self, count: u32) -> Self {
        BaseSequence((self.0.wrapping_add(count)) & 0x7fff_ffff)
    }

    /// Sequence `count` records earlier, wrapping from 0 to `i32::MAX` (`DefaultRecordBatch.decrementSequence`).
    #[must_use]
    pub const fn minus(self, count: u32) -> Self {
        BaseSequence(self.0.wrapping_sub(count) & 0x7fff_ffff)
    }
}

/// A partition of a topic.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct TopicPartition {
    /// Its topic.
    pub topic: TopicId,
    /// Its index within the topic.
    pub partition: PartitionIndex,
}

impl TopicPartition {
    /// Partition `partition` of topic number `topic`.
    #[must_use]
    pub const fn new(topic: u16, partition: u16) -> Self {
        TopicPartition { topic: TopicId(topic), partition: PartitionIndex(partition) }
    }
}

/// Brokers in an order that matters (an assignment) or ascending (an ISR).
pub type BrokerList = SmallVec<[BrokerId; 4]>;

/// A record as the application names it: `producer#sequence`. A re-send by the application is another attempt of the same
/// record. Of `count` producers under one name, instance `i` creates the sequences congruent to `i` modulo `count`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct RecordId {
    /// Who created it.
    pub producer: ProducerIndex,
    /// Running number, from 0, over all instances of that name.
    pub sequence: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_wrap_at_the_largest_java_int() {
        assert_eq!(BaseSequence(i32::MAX as u32).plus(1), BaseSequence(0));
        assert_eq!(BaseSequence(0).minus(1), BaseSequence(i32::MAX as u32));
        assert_eq!(BaseSequence(7).plus(5), BaseSequence(12));
    }
}
