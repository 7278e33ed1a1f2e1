//! APIs between brokers and the active controller (KRaft).

use super::KnownController;
use crate::error::ErrorCode;
use crate::ids::{
    BrokerEpoch, BrokerId, BrokerList, Incarnation, LeaderEpoch, MetadataOffset, NodeId,
    PartitionEpoch, ProducerId, TopicPartition,
};

/// BrokerRegistration (KIP-631): a new life of a broker makes itself known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerRegistrationRequest {
    /// Its id.
    pub broker: BrokerId,
    /// Its life.
    pub incarnation: Incarnation,
    /// Where it listens.
    pub node: NodeId,
    /// Its broker epoch before it shut down cleanly; `None` after an unclean shutdown (KIP-966).
    pub previous_broker_epoch: Option<BrokerEpoch>,
}

/// Answer to [`BrokerRegistrationRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerRegistrationResponse {
    /// `NONE`, NOT_CONTROLLER, or DUPLICATE_BROKER_REGISTRATION while an earlier life's session lasts.
    pub error: ErrorCode,
    /// The incarnation's broker epoch.
    pub broker_epoch: BrokerEpoch,
    /// Who leads the quorum.
    pub controller: KnownController,
}

/// BrokerHeartbeat (KIP-631).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerHeartbeatRequest {
    /// Who.
    pub broker: BrokerId,
    /// Which life.
    pub broker_epoch: BrokerEpoch,
    /// Up to where it has applied the metadata log (exclusive).
    pub current_metadata_offset: MetadataOffset,
    /// It does not want to serve yet.
    pub want_fence: bool,
    /// It wants to shut down.
    pub want_shut_down: bool,
}

/// Answer to [`BrokerHeartbeatRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerHeartbeatResponse {
    /// `NONE`, NOT_CONTROLLER, STALE_BROKER_EPOCH, BROKER_ID_NOT_REGISTERED.
    pub error: ErrorCode,
    /// It has applied its own registration.
    pub is_caught_up: bool,
    /// It is fenced.
    pub is_fenced: bool,
    /// It may stop now.
    pub should_shut_down: bool,
    /// Who leads the quorum.
    pub controller: KnownController,
}

/// AlterPartition (KIP-497): a leader proposes a new ISR.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterPartitionRequest {
    /// The leader.
    pub broker: BrokerId,
    /// Its life.
    pub broker_epoch: BrokerEpoch,
    /// The proposals.
    pub partitions: Vec<PartitionAlter>,
}

/// One partition of an [`AlterPartitionRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionAlter {
    /// Which partition.
    pub partition: TopicPartition,
    /// The sender's leader epoch.
    pub leader_epoch: LeaderEpoch,
    /// The partition epoch on which the proposal is based.
    pub partition_epoch: PartitionEpoch,
    /// The proposed ISR, ascending, with the incarnation of each member as its fetches carried it (KIP-903); `None` for the
    /// leader itself, and where the version does not send it.
    pub new_isr: Vec<(BrokerId, Option<BrokerEpoch>)>,
}

/// Answer to [`AlterPartitionRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterPartitionResponse {
    /// `NONE`, NOT_CONTROLLER, STALE_BROKER_EPOCH: concerns the whole request.
    pub error: ErrorCode,
    /// One entry per partition of the request.
    pub partitions: Vec<PartitionAlterResponse>,
    /// Who leads the quorum.
    pub controller: KnownController,
}

/// One partition of an [`AlterPartitionResponse`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionAlterResponse {
    /// Which partition.
    pub partition: TopicPartition,
    /// `NONE`, or why the proposal was refused.
    pub error: ErrorCode,
    /// The leader afterwards.
    pub leader: Option<BrokerId>,
    /// The leader epoch afterwards.
    pub leader_epoch: LeaderEpoch,
    /// The ISR afterwards.
    pub isr: BrokerList,
    /// The partition epoch afterwards.
    pub partition_epoch: PartitionEpoch,
}

/// AllocateProducerIds (KIP-730): a broker asks for a block of producer ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllocateProducerIdsRequest {
    /// Who.
    pub broker: BrokerId,
    /// Which life.
    pub broker_epoch: BrokerEpoch,
}

/// Answer to [`AllocateProducerIdsRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllocateProducerIdsResponse {
    /// `NONE`, NOT_CONTROLLER, STALE_BROKER_EPOCH.
    pub error: ErrorCode,
    /// First id of the block.
    pub first: ProducerId,
    /// How many: 1000 in Kafka (`ProducerIdsBlock.PRODUCER_ID_BLOCK_SIZE`).
    pub count: u32,
    /// Who leads the quorum.
    pub controller: KnownController,
}
