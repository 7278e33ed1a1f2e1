//! The cluster as the broker knows it: brokers and partitions, by replay of the metadata log, or by
//! UpdateMetadata requests.
//!
//! Mirrors `MetadataImage` with `ClusterImage` and `TopicsImage`, as `KRaftMetadataCache` serves
//! it, and `ZkMetadataCache`. Left out: features, configurations, quotas and credentials, which do
//! not change during a run.

use acklab_vocab::ids::{
    BrokerEpoch, BrokerId, Incarnation, NodeId, PartitionIndex, TopicId, TopicPartition,
};
use acklab_vocab::metadata_log::{MetadataRecord, PartitionState};
use acklab_vocab::rules::{ProtocolRule, ProtocolRules};

/// A broker as the controller registered it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Registration {
    /// Which life.
    pub incarnation: Incarnation,
    /// The life's epoch; `None` with ZooKeeper, where nobody but the controller knows it.
    pub broker_epoch: Option<BrokerEpoch>,
    /// Where it listens.
    pub node: NodeId,
    /// It may not lead nor join an ISR.
    pub fenced: bool,
    /// It is in controlled shutdown.
    pub in_controlled_shutdown: bool,
}

/// The epoch in a fetch of a broker that is not registered yet: Kafka's -1.
pub(super) const UNREGISTERED: BrokerEpoch = BrokerEpoch(u64::MAX);

/// The cluster.
#[derive(Debug, Default)]
pub(super) struct MetadataImage {
    /// By broker id.
    brokers: Vec<Option<Registration>>,
    /// By topic, then by partition. A topic that exists is `Some`.
    topics: Vec<Option<Vec<Option<PartitionState>>>>,
}

impl MetadataImage {
    /// Applies a record, and notes which partition it changed.
    pub fn apply(&mut self, record: &MetadataRecord, changed: &mut Vec<TopicPartition>) {
        match record {
            MetadataRecord::RegisterBroker { broker, incarnation, broker_epoch, node } => {
                let slot = entry(&mut self.brokers, usize::from(broker.0));
                *slot = Some(Registration {
                    incarnation: *incarnation,
                    broker_epoch: Some(*broker_epoch),
                    node: *node,
                    fenced: true,
                    in_controlled_shutdown: false,
                });
            }
            MetadataRecord::BrokerRegistrationChange {
                broker,
                broker_epoch,
                fenced,
                in_controlled_shutdown,
            } => {
                let slot = entry(&mut self.brokers, usize::from(broker.0));
                if let Some(known) = slot.as_mut().filter(|r| r.broker_epoch == Some(*broker_epoch))
                {
                    known.fenced = *fenced;
                    known.in_controlled_shutdown = *in_controlled_shutdown;
                }
            }
            MetadataRecord::Topic { topic } => {
                entry(&mut self.topics, usize::from(topic.0)).get_or_insert_default();
            }
            MetadataRecord::Partition(state) | MetadataRecord::PartitionChange(state) => {
                self.set_partition(state);
                changed.push(state.partition);
            }
            MetadataRecord::LeaderChange { .. }
            | MetadataRecord::NoOp
            | MetadataRecord::ProducerIds { .. } => {}
        }
    }

    /// Takes over what an UpdateMetadata request tells: who is alive, and partitions that have
    /// changed (`ZkMetadataCache.updateMetadata`).
    pub fn update(&mut self, alive: &[(BrokerId, NodeId)], partitions: &[PartitionState]) {
        self.brokers.clear();
        for &(broker, node) in alive {
            *entry(&mut self.brokers, usize::from(broker.0)) = Some(Registration {
                incarnation: Incarnation(0),
                broker_epoch: None,
                node,
                fenced: false,
                in_controlled_shutdown: false,
            });
        }
        for state in partitions {
            self.set_partition(state);
        }
    }

    fn set_partition(&mut self, state: &PartitionState) {
        let topic = entry(&mut self.topics, usize::from(state.partition.topic.0));
        let partitions = topic.get_or_insert_default();
        let index = usize::from(state.partition.partition.0);
        *entry(partitions, index) = Some(state.clone());
    }

    /// A broker's registration.
    pub fn broker(&self, broker: BrokerId) -> Option<&Registration> {
        self.brokers.get(usize::from(broker.0))?.as_ref()
    }

    /// Brokers that may serve, ascending, and where they listen.
    pub fn alive_brokers(&self) -> impl Iterator<Item = (BrokerId, NodeId)> + '_ {
        self.brokers.iter().enumerate().filter_map(|(id, registration)| {
            let registration = registration.as_ref().filter(|broker| !broker.fenced)?;
            Some((BrokerId(id as u16), registration.node))
        })
    }

    /// The broker is fenced, or unknown.
    pub fn is_fenced(&self, broker: BrokerId) -> bool {
        self.broker(broker).is_none_or(|registration| registration.fenced)
    }

    /// A partition's state.
    pub fn partition(&self, partition: TopicPartition) -> Option<&PartitionState> {
        let topic = self.topics.get(usize::from(partition.topic.0))?.as_ref()?;
        topic.get(usize::from(partition.partition.0))?.as_ref()
    }

    /// How many partitions a topic has; 0 if it is unknown.
    pub fn partition_count(&self, topic: TopicId) -> u32 {
        let partitions = self.topics.get(usize::from(topic.0)).and_then(Option::as_ref);
        partitions.map_or(0, |partitions| partitions.len() as u32)
    }

    /// Every topic, ascending.
    pub fn topics(&self) -> impl Iterator<Item = TopicId> + '_ {
        let known = self.topics.iter().enumerate().filter(|(_, topic)| topic.is_some());
        known.map(|(id, _)| TopicId(id as u16))
    }

    /// Partitions of a topic, ascending; none if the topic is unknown.
    pub fn partitions_of(&self, topic: TopicId) -> impl Iterator<Item = &PartitionState> + '_ {
        let partitions = self.topics.get(usize::from(topic.0)).and_then(Option::as_deref);
        partitions.unwrap_or_default().iter().flatten()
    }

    /// Whether `broker` may join an ISR, going by what its fetches carried
    /// (`Partition.isReplicaIsrEligible`).
    pub fn may_join_isr(
        &self,
        rules: ProtocolRules,
        broker: BrokerId,
        fetched_with: Option<BrokerEpoch>,
    ) -> bool {
        let registration = self.broker(broker);
        let serves = registration
            .is_some_and(|registered| !registered.fenced && !registered.in_controlled_shutdown);
        if rules.has(ProtocolRule::IsrExpandChecksFencing) && !serves {
            return false;
        }
        if !rules.has(ProtocolRule::IsrExpandChecksBrokerEpoch) {
            return true;
        }
        match (fetched_with, registration.map(|registered| registered.broker_epoch)) {
            (_, Some(None)) => true,
            (Some(fetched), Some(Some(registered))) => {
                fetched == UNREGISTERED || fetched == registered
            }
            (None, _) | (_, None) => false,
        }
    }
}

/// The element at `index`, made by filling up with `None`.
fn entry<T>(list: &mut Vec<Option<T>>, index: usize) -> &mut Option<T> {
    if list.len() <= index {
        list.resize_with(index + 1, || None);
    }
    &mut list[index]
}

/// A dense map from partition to `u32`, for lookups on the hot path.
#[derive(Debug, Default)]
pub(super) struct PartitionIndexMap {
    topics: Vec<Vec<u32>>,
}

impl PartitionIndexMap {
    const ABSENT: u32 = u32::MAX;

    /// What `partition` maps to.
    pub fn get(&self, partition: TopicPartition) -> Option<u32> {
        let PartitionIndex(index) = partition.partition;
        let topic = self.topics.get(usize::from(partition.topic.0))?;
        topic.get(usize::from(index)).copied().filter(|&value| value != Self::ABSENT)
    }

    /// Maps `partition` to `value`.
    pub fn set(&mut self, partition: TopicPartition, value: u32) {
        let (topic, index) = (usize::from(partition.topic.0), usize::from(partition.partition.0));
        if self.topics.len() <= topic {
            self.topics.resize_with(topic + 1, Vec::new);
        }
        let partitions = &mut self.topics[topic];
        if partitions.len() <= index {
            partitions.resize(index + 1, Self::ABSENT);
        }
        partitions[index] = value;
    }
}
