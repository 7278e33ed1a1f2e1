//! Records of the metadata log `__cluster_metadata` (KIP-631): the cluster's truth, applied by every broker at its own time.

use crate::ids::{
    BrokerEpoch, BrokerId, BrokerList, ControllerEpoch, Incarnation, LeaderEpoch, MetadataOffset,
    NodeId, PartitionEpoch, ProducerId, TopicId, TopicPartition,
};
use serde::{Deserialize, Serialize};

/// One atomic batch of metadata records: what one controller event decided. One entry takes one offset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetadataEntry {
    /// Its offset.
    pub offset: MetadataOffset,
    /// Epoch of the controller that wrote it.
    pub epoch: ControllerEpoch,
    /// Its records, applied together.
    pub records: Vec<MetadataRecord>,
}

/// A record of the metadata log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MetadataRecord {
    /// First record of an epoch (`LeaderChangeMessage`): makes the entries of earlier epochs committable.
    LeaderChange {
        /// The controller that leads the epoch.
        leader: crate::ids::ControllerId,
    },
    /// A life of a broker, fenced until it has caught up.
    RegisterBroker {
        /// Who.
        broker: BrokerId,
        /// Which life.
        incarnation: Incarnation,
        /// Its epoch: the offset of this entry.
        broker_epoch: BrokerEpoch,
        /// Where it listens.
        node: NodeId,
    },
    /// A broker may serve, or may not, or is on its way out (`BrokerRegistrationChangeRecord`).
    BrokerRegistrationChange {
        /// Who.
        broker: BrokerId,
        /// Which life.
        broker_epoch: BrokerEpoch,
        /// It may not lead nor join an ISR.
        fenced: bool,
        /// It is in controlled shutdown.
        in_controlled_shutdown: bool,
    },
    /// A topic exists.
    Topic {
        /// Which.
        topic: TopicId,
    },
    /// A new partition, or all of its state anew (`PartitionRecord`).
    Partition(PartitionState),
    /// A change of leader, ISR or eligible replicas (`PartitionChangeRecord`), with the whole state after it.
    PartitionChange(PartitionState),
    /// Says nothing (KIP-835). The active controller writes one every `metadata.max.idle.interval.ms`; it carries the high
    /// watermark to those whose fetch is parked.
    NoOp,
    /// Producer ids below this one are taken (`ProducerIdsRecord`).
    ProducerIds {
        /// First id that is free.
        next: ProducerId,
    },
}

/// State of a partition at the controller.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PartitionState {
    /// Which partition.
    pub partition: TopicPartition,
    /// Its replicas in assignment order; the first is preferred.
    pub replicas: BrokerList,
    /// Its in-sync replicas, ascending.
    pub isr: BrokerList,
    /// Replicas that left an ISR under min.insync.replicas and hold every committed record (KIP-966), ascending.
    pub eligible: BrokerList,
    /// Its leader; `None` while it is offline.
    pub leader: Option<BrokerId>,
    /// Rises with every election.
    pub leader_epoch: LeaderEpoch,
    /// Rises with every change.
    pub partition_epoch: PartitionEpoch,
    /// The leader was elected uncleanly and has not yet reported an ISR of its own (`LeaderRecoveryState.RECOVERING`).
    pub recovering: bool,
}
