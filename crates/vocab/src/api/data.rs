//! APIs of the data path: what producers, consumers and followers send to brokers.

use super::CurrentLeader;
use crate::error::ErrorCode;
use crate::ids::{
    BrokerEpoch, BrokerId, BrokerList, LeaderEpoch, NodeId, Offset, ProducerEpoch, ProducerId,
    TopicId, TopicPartition, TransactionalId,
};
use crate::record::{ProducerBatch, RecordBatch};
use crate::time::{SimDuration, SimTime};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::sync::Arc;

/// What a producer wants to have happened before it is answered (`acks`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Acks {
    /// `0`: no answer at all.
    None,
    /// `1`: the leader has appended.
    Leader,
    /// `all` or `-1`: the whole in-sync replica set has appended.
    All,
}

impl Acks {
    /// As Kafka writes it: `0`, `1`, `all`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Acks::None => "0",
            Acks::Leader => "1",
            Acks::All => "all",
        }
    }
}

/// Produce: appends at most one batch to each partition. It carries no leader epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProduceRequest {
    /// Whose transaction the batches belong to, if they do.
    pub transactional_id: Option<TransactionalId>,
    /// What the producer knows of KIP-890; without meaning for others.
    pub transaction_support: TransactionSupport,
    /// What to wait for.
    pub acks: Acks,
    /// How long the broker may wait for followers, from the append.
    pub timeout: SimDuration,
    /// The batches, one per partition.
    pub partitions: SmallVec<[PartitionProduce; 1]>,
}

/// What the sender of a transactional write knows of KIP-890: the version of its request
/// (`TransactionSupportedOperation`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum TransactionSupport {
    /// Nothing (Produce before v11, TxnOffsetCommit before v4): a write outside of its transaction is INVALID_TXN_STATE.
    #[default]
    DefaultError,
    /// It understands TRANSACTION_ABORTABLE (Produce v11, TxnOffsetCommit v4; clients since 3.8).
    GenericError,
    /// It follows `transaction.version` 2: the write adds its partition to the transaction (Produce v12, TxnOffsetCommit
    /// v5; clients since 4.0).
    AddPartition,
}

/// One partition of a [`ProduceRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionProduce {
    /// Where to append.
    pub partition: TopicPartition,
    /// What to append.
    pub batch: ProducerBatch,
}

/// Answer to [`ProduceRequest`]; none is sent for acks=0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProduceResponse {
    /// The outcome, one per partition of the request, in its order.
    pub partitions: SmallVec<[PartitionProduceResponse; 1]>,
}

/// One partition of a [`ProduceResponse`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionProduceResponse {
    /// Which partition.
    pub partition: TopicPartition,
    /// `NONE`, or why not. After REQUEST_TIMED_OUT and NOT_ENOUGH_REPLICAS_AFTER_APPEND the records are in the log.
    pub error: ErrorCode,
    /// Offset of the first record, if it was appended or recognised.
    pub base_offset: Option<Offset>,
    /// The leader as the broker knows it, with NOT_LEADER_OR_FOLLOWER (KIP-951).
    pub current_leader: Option<CurrentLeader>,
}

/// Up to where a fetch may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Isolation {
    /// To the log end: followers.
    LogEnd,
    /// To the high watermark: `read_uncommitted`.
    HighWatermark,
    /// To the last stable offset: `read_committed`.
    LastStable,
}

/// Who fetches as a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FetchingReplica {
    /// The follower.
    pub broker: BrokerId,
    /// Its incarnation (KIP-903).
    pub broker_epoch: BrokerEpoch,
}

/// Fetch, by followers and consumers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchRequest {
    /// The follower, or `None` for a consumer.
    pub replica: Option<FetchingReplica>,
    /// How long to wait for `min_bytes`.
    pub max_wait: SimDuration,
    /// How many bytes are worth an answer.
    pub min_bytes: u32,
    /// Largest response.
    pub max_bytes: u32,
    /// Up to where to read.
    pub isolation: Isolation,
    /// Whether the partitions are all, or what has changed.
    pub session: FetchSessionUpdate,
    /// The partitions, in the order in which to fill the response. Of an incremental fetch, only those that are new or have
    /// changed; they come behind those that the session has.
    pub partitions: Vec<PartitionFetch>,
}

/// How a [`FetchRequest`] goes with the session of its connection (KIP-227).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum FetchSessionUpdate {
    /// The request names every partition.
    #[default]
    Full,
    /// The session keeps what the request does not name, but for what it is to forget.
    Incremental {
        /// Forgotten before the partitions named are added.
        forgotten: Vec<TopicPartition>,
    },
}

/// One partition of a [`FetchRequest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionFetch {
    /// Which partition.
    pub partition: TopicPartition,
    /// The leader epoch that the sender knows; `None` is not checked.
    pub current_leader_epoch: Option<LeaderEpoch>,
    /// First offset wanted.
    pub fetch_offset: Offset,
    /// Epoch of the last record that the sender has, for truncation on fetch (KIP-595).
    pub last_fetched_epoch: Option<LeaderEpoch>,
    /// Most bytes of this partition; one batch is always returned if it is the first of the response.
    pub max_bytes: u32,
}

/// Answer to [`FetchRequest`]. Partitions with nothing new are left out (incremental fetch sessions, KIP-227).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchResponse {
    /// What there is to say, in the order of the request.
    pub partitions: Vec<PartitionFetchResponse>,
}

/// One partition of a [`FetchResponse`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionFetchResponse {
    /// Which partition.
    pub partition: TopicPartition,
    /// `NONE`, or why nothing was read.
    pub error: ErrorCode,
    /// The leader's high watermark before this fetch was accounted for.
    pub high_watermark: Offset,
    /// First offset of an open transaction, or the high watermark.
    pub last_stable_offset: Offset,
    /// First offset that the leader still has.
    pub log_start_offset: Offset,
    /// Where the sender's log leaves the leader's: truncate, and fetch again (KIP-595).
    pub diverging_epoch: Option<EpochEndOffset>,
    /// The leader as the broker knows it, with an error.
    pub current_leader: Option<CurrentLeader>,
    /// The batches read.
    pub batches: SmallVec<[Arc<RecordBatch>; 2]>,
    /// Transactions among them that were aborted, for `read_committed`: producer id and first offset, ascending by offset.
    pub aborted: SmallVec<[(ProducerId, Offset); 1]>,
}

/// A leader epoch and the offset after its last record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EpochEndOffset {
    /// The epoch.
    pub leader_epoch: LeaderEpoch,
    /// First offset that does not belong to it.
    pub end_offset: Offset,
}

/// Which offset [`ListOffsetsRequest`] asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ListOffsetsTimestamp {
    /// The log start offset.
    Earliest,
    /// The high watermark, or the last stable offset.
    Latest,
    /// The first record created at or after the instant.
    At(SimTime),
}

/// ListOffsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListOffsetsRequest {
    /// Isolation of the consumer that asks.
    pub isolation: Isolation,
    /// Partition, leader epoch known to the sender, and what is asked.
    pub partitions: Vec<(TopicPartition, Option<LeaderEpoch>, ListOffsetsTimestamp)>,
}

/// Answer to [`ListOffsetsRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListOffsetsResponse {
    /// One entry per partition of the request.
    pub partitions: Vec<PartitionListOffsetsResponse>,
}

/// One partition of a [`ListOffsetsResponse`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionListOffsetsResponse {
    /// Which partition.
    pub partition: TopicPartition,
    /// `NONE`, or why there is no offset.
    pub error: ErrorCode,
    /// The offset asked for; the log end where no record is late enough.
    pub offset: Offset,
    /// Epoch of the leader that answered.
    pub leader_epoch: LeaderEpoch,
}

/// Metadata: who leads what. Any broker answers from what it has applied so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataRequest {
    /// The topics of interest; all if empty.
    pub topics: SmallVec<[TopicId; 2]>,
}

/// Answer to [`MetadataRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataResponse {
    /// Brokers that are registered and unfenced, and where they listen.
    pub brokers: Vec<(BrokerId, NodeId)>,
    /// Every partition of the topics asked for, ascending. A topic that the broker does not know is absent.
    pub partitions: Vec<PartitionMetadata>,
}

/// One partition of a [`MetadataResponse`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionMetadata {
    /// Which partition.
    pub partition: TopicPartition,
    /// LEADER_NOT_AVAILABLE if it has none, or none that is alive.
    pub error: ErrorCode,
    /// Its leader.
    pub leader: Option<BrokerId>,
    /// Its leader epoch.
    pub leader_epoch: LeaderEpoch,
    /// Its replicas, in assignment order.
    pub replicas: BrokerList,
}

/// OffsetsForLeaderEpoch (KIP-101), by followers before 2.7 and by consumers that validate a position (KIP-320).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetsForLeaderEpochRequest {
    /// The follower, or `None` for a consumer.
    pub replica: Option<BrokerId>,
    /// Partition, leader epoch known to the sender, and epoch asked for.
    pub partitions: Vec<(TopicPartition, Option<LeaderEpoch>, LeaderEpoch)>,
}

/// Answer to [`OffsetsForLeaderEpochRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetsForLeaderEpochResponse {
    /// One entry per partition of the request: the largest epoch known that is not above the one asked for, and its end;
    /// `None` where no such epoch is known.
    pub partitions: Vec<(TopicPartition, ErrorCode, Option<EpochEndOffset>)>,
}

/// InitProducerId (KIP-98); with an id and epoch it asks for the next epoch (KIP-360).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitProducerIdRequest {
    /// The transactional id and `transaction.timeout.ms`, of a transactional producer: then it goes to their coordinator.
    pub transactional: Option<(TransactionalId, SimDuration)>,
    /// The id and epoch that the producer has, to have the epoch raised.
    pub current: Option<(ProducerId, ProducerEpoch)>,
}

/// Answer to [`InitProducerIdRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitProducerIdResponse {
    /// `NONE`, or a retriable error while the broker has no ids.
    pub error: ErrorCode,
    /// The id.
    pub producer_id: ProducerId,
    /// Its epoch.
    pub producer_epoch: ProducerEpoch,
}
