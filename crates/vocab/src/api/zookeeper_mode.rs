//! What the controller of the ZooKeeper mode tells the brokers, and they it.

use crate::error::ErrorCode;
use crate::ids::{BrokerEpoch, BrokerId, ControllerEpoch, NodeId, TopicPartition};
use crate::metadata_log::PartitionState;

/// LeaderAndIsr: leader, ISR and epochs of partitions that the receiver has a replica of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderAndIsrRequest {
    /// Who sends.
    pub controller: BrokerId,
    /// Its epoch: an older one is refused with STALE_CONTROLLER_EPOCH.
    pub controller_epoch: ControllerEpoch,
    /// The receiver's life as the controller knows it (2.2, KIP-380): another is refused with STALE_BROKER_EPOCH.
    pub broker_epoch: Option<BrokerEpoch>,
    /// The partitions. `partition_epoch` is the version of the state's znode. `leader` `None` is Kafka's −1.
    pub partitions: Vec<PartitionState>,
    /// The partitions of the list that are new (`isNew`): their logs may be made.
    pub new: Vec<TopicPartition>,
    /// The leaders that the partitions name, and where they listen.
    pub live_leaders: Vec<(BrokerId, NodeId)>,
}

/// Answer to [`LeaderAndIsrRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderAndIsrResponse {
    /// `NONE`, STALE_CONTROLLER_EPOCH, STALE_BROKER_EPOCH.
    pub error: ErrorCode,
    /// An older leader epoch is answered STALE_CONTROLLER_EPOCH here, and ignored.
    pub partitions: Vec<(TopicPartition, ErrorCode)>,
}

/// UpdateMetadata: what a broker answers clients about the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateMetadataRequest {
    /// Who sends.
    pub controller: BrokerId,
    /// Its epoch.
    pub controller_epoch: ControllerEpoch,
    /// As in [`LeaderAndIsrRequest`].
    pub broker_epoch: Option<BrokerEpoch>,
    /// What has changed.
    pub partitions: Vec<PartitionState>,
    /// Every live broker, ascending, and where it listens.
    pub live_brokers: Vec<(BrokerId, NodeId)>,
}

/// Answer to [`UpdateMetadataRequest`] and [`StopReplicaRequest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlResponse {
    /// `NONE`, STALE_CONTROLLER_EPOCH, STALE_BROKER_EPOCH.
    pub error: ErrorCode,
}

/// StopReplica: stop fetching. Deletion of topics is not modelled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopReplicaRequest {
    /// Who sends.
    pub controller: BrokerId,
    /// Its epoch.
    pub controller_epoch: ControllerEpoch,
    /// As in [`LeaderAndIsrRequest`].
    pub broker_epoch: Option<BrokerEpoch>,
    /// Which.
    pub partitions: Vec<TopicPartition>,
}

/// ControlledShutdown: a broker asks the controller to move its leaderships away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlledShutdownRequest {
    /// Who.
    pub broker: BrokerId,
    /// Which life (2.2).
    pub broker_epoch: Option<BrokerEpoch>,
}

/// Answer to [`ControlledShutdownRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlledShutdownResponse {
    /// `NONE`, NOT_CONTROLLER, STALE_BROKER_EPOCH.
    pub error: ErrorCode,
    /// What it still leads, with other replicas that could; it may stop when there are none.
    pub remaining: Vec<TopicPartition>,
}
