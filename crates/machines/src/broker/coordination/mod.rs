//! What the coordinators of groups and of transactions share: an internal topic whose partitions
//! make their leaders coordinators.
//!
//! Mirrors `KafkaApis.getCoordinator`, `BrokerMetadataPublisher.updateCoordinator`, and the parts
//! of `GroupMetadataManager`, `CoordinatorRuntime` and `TransactionStateManager` that own, load and
//! unload partitions ([`load`]) and append to them ([`append`]). Left out: the automatic creation
//! of the internal topics, which exist from the start, and their deletion.

mod append;
mod find_coordinator;
mod hash;
mod load;

pub use hash::partition_for;

pub(super) use append::{
    Acknowledgement, AppendWaiter, CoordinatorAppend, ParkedAppend, payload_bytes, plain_batch,
};

use super::Broker;
use super::metadata_image::MetadataImage;
use crate::broker::Coordination;
use acklab_vocab::api::CoordinatorKey;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{GroupId, LeaderEpoch, PartitionIndex, TopicId, TopicPartition};
use append::AppendDeadlines;
use load::Loads;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Which of the two coordinators of a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CoordinatorKind {
    /// Of groups: `__consumer_offsets`.
    Groups,
    /// Of transactions: `__transaction_state`.
    Transactions,
}

/// The internal partitions that this broker leads, and what it coordinates by them.
#[derive(Debug)]
pub(super) struct Coordinators {
    topics: Arc<Coordination>,
    /// How many partitions the internal topics have is configured; otherwise the metadata tell.
    counts_are_configured: bool,
    /// By [`GroupId`]: the absolute hash of its name.
    group_hashes: Vec<u32>,
    /// By transactional id.
    transactional_hashes: Vec<u32>,
    /// Those that it leads, and whether they are loaded.
    owned: BTreeMap<TopicPartition, Owned>,
    loads: Loads,
    deadlines: AppendDeadlines,
}

/// An internal partition that this broker leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Owned {
    /// The leader epoch of the last election: the coordinator's epoch.
    epoch: LeaderEpoch,
    /// It has been read.
    loaded: bool,
}

impl Coordinators {
    /// A broker that leads nothing yet. With ZooKeeper it takes the number of partitions of the
    /// internal topics from its properties
    /// (`GroupMetadataManager.getGroupMetadataTopicPartitionCount`).
    pub fn new(topics: Arc<Coordination>, counts_are_configured: bool) -> Self {
        let hash = |name: &String| hash::kafka_abs(hash::java_string_hash(name));
        Coordinators {
            group_hashes: topics.group_ids.iter().map(hash).collect(),
            transactional_hashes: topics.transactional_ids.iter().map(hash).collect(),
            topics,
            counts_are_configured,
            owned: BTreeMap::new(),
            loads: Loads::default(),
            deadlines: AppendDeadlines::default(),
        }
    }

    /// Which coordinator a partition belongs to; `None` if its topic is not internal.
    pub fn kind_of(&self, topic: TopicId) -> Option<CoordinatorKind> {
        if self.topics.offsets_topic == Some(topic) {
            Some(CoordinatorKind::Groups)
        } else if self.topics.transactions_topic == Some(topic) {
            Some(CoordinatorKind::Transactions)
        } else {
            None
        }
    }

    /// The partition whose leader coordinates `key`; `None` while the topic does not exist.
    pub fn partition_of(
        &self,
        image: &MetadataImage,
        key: CoordinatorKey,
    ) -> Option<TopicPartition> {
        let (topic, hash, configured) = match key {
            CoordinatorKey::Group(group) => {
                let hash = self.group_hashes.get(usize::from(group.0))?;
                (self.topics.offsets_topic?, hash, self.topics.offsets_partitions)
            }
            CoordinatorKey::Transaction(id) => {
                let hash = self.transactional_hashes.get(usize::from(id.0))?;
                (self.topics.transactions_topic?, hash, self.topics.transactions_partitions)
            }
        };
        let count =
            if self.counts_are_configured { configured } else { image.partition_count(topic) };
        let index = hash.checked_rem(count)?;
        Some(TopicPartition { topic, partition: PartitionIndex(index as u16) })
    }

    /// Every group of a partition of `__consumer_offsets`, ascending, known or not.
    pub fn groups_of<'a>(
        &'a self,
        image: &'a MetadataImage,
        partition: TopicPartition,
    ) -> impl Iterator<Item = GroupId> + 'a {
        let groups = (0..self.group_hashes.len()).map(|group| GroupId(group as u16));
        groups.filter(move |&group| {
            self.partition_of(image, CoordinatorKey::Group(group)) == Some(partition)
        })
    }

    /// There are groups.
    pub fn has_offsets_topic(&self) -> bool {
        self.topics.offsets_topic.is_some()
    }

    /// There are transactional ids in this cluster.
    pub fn has_transactions(&self) -> bool {
        self.topics.transactions_topic.is_some()
    }

    /// Nothing is being read.
    pub fn is_loaded(&self) -> bool {
        self.owned.values().all(|owned| owned.loaded)
    }
}

impl Broker {
    /// The partition by which this broker coordinates `key` (`validateGroupStatus`).
    ///
    /// # Errors
    /// - COORDINATOR_LOAD_IN_PROGRESS: the broker leads the partition and has not read it yet.
    /// - NOT_COORDINATOR: it does not lead it.
    pub(super) fn coordinated_by(&self, key: CoordinatorKey) -> Result<TopicPartition, ErrorCode> {
        let partition = self.coordinators.partition_of(&self.shared.image, key);
        let partition = partition.ok_or(ErrorCode::NotCoordinator)?;
        self.coordinated_by_partition(partition).map(|()| partition)
    }

    /// Whether this broker coordinates by `partition`.
    ///
    /// # Errors
    /// Those of [`Broker::coordinated_by`].
    pub(super) fn coordinated_by_partition(
        &self,
        partition: TopicPartition,
    ) -> Result<(), ErrorCode> {
        match self.coordinators.owned.get(&partition) {
            Some(Owned { loaded: true, .. }) => Ok(()),
            Some(Owned { loaded: false, .. }) => Err(ErrorCode::CoordinatorLoadInProgress),
            None => Err(ErrorCode::NotCoordinator),
        }
    }
}
