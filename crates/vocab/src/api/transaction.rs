//! APIs of transactions (KIP-98, KIP-447, KIP-890).

use super::{OffsetToCommit, TransactionSupport};
use crate::error::ErrorCode;
use crate::ids::{
    CoordinatorEpoch, Generation, GroupId, GroupInstanceId, MemberId, ProducerEpoch, ProducerId,
    TopicPartition, TransactionalId,
};
use crate::transaction::TransactionResult;
use smallvec::SmallVec;
use std::sync::Arc;

/// AddPartitionsToTxn: the transaction is about to write to partitions. Sent by producers, and by brokers that verify a
/// write (KIP-890).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddPartitionsToTxnRequest {
    /// Whose transaction.
    pub transactional_id: TransactionalId,
    /// The producer id.
    pub producer_id: ProducerId,
    /// Its epoch.
    pub producer_epoch: ProducerEpoch,
    /// The partitions.
    pub partitions: Vec<TopicPartition>,
    /// Only answer whether they are in the transaction: from a broker.
    pub verify_only: bool,
}

/// Answer to [`AddPartitionsToTxnRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddPartitionsToTxnResponse {
    /// One entry per partition of the request, in its order.
    pub partitions: SmallVec<[(TopicPartition, ErrorCode); 4]>,
}

/// AddOffsetsToTxn: the transaction is about to commit offsets of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddOffsetsToTxnRequest {
    /// Whose transaction.
    pub transactional_id: TransactionalId,
    /// The producer id.
    pub producer_id: ProducerId,
    /// Its epoch.
    pub producer_epoch: ProducerEpoch,
    /// The group.
    pub group: GroupId,
}

/// Answer to [`AddOffsetsToTxnRequest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddOffsetsToTxnResponse {
    /// `NONE`, or why not.
    pub error: ErrorCode,
}

/// TxnOffsetCommit, to the group's coordinator. Answered with [`OffsetCommitResponse`](super::OffsetCommitResponse).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxnOffsetCommitRequest {
    /// Whose transaction.
    pub transactional_id: TransactionalId,
    /// The group.
    pub group: GroupId,
    /// The producer id.
    pub producer_id: ProducerId,
    /// Its epoch.
    pub producer_epoch: ProducerEpoch,
    /// The member's generation or epoch (KIP-447); `None` (−1) is not checked.
    pub generation: Option<Generation>,
    /// The member (KIP-447).
    pub member: Option<MemberId>,
    /// `group.instance.id`
    pub instance: Option<GroupInstanceId>,
    /// What to commit.
    pub offsets: Arc<[OffsetToCommit]>,
    /// What the producer knows of KIP-890. With `AddPartition` the offsets partition is added by this request.
    pub transaction_support: TransactionSupport,
}

/// EndTxn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndTxnRequest {
    /// Whose transaction.
    pub transactional_id: TransactionalId,
    /// The producer id.
    pub producer_id: ProducerId,
    /// Its epoch.
    pub producer_epoch: ProducerEpoch,
    /// How.
    pub result: TransactionResult,
    /// The producer follows `transaction.version` 2 (EndTxn v5).
    pub version_2: bool,
}

/// Answer to [`EndTxnRequest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndTxnResponse {
    /// `NONE`, or why not.
    pub error: ErrorCode,
    /// Producer id and epoch for the next transaction (`transaction.version` 2).
    pub next: Option<(ProducerId, ProducerEpoch)>,
}

/// WriteTxnMarkers: a coordinator ends transactions at the leaders of their partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteTxnMarkersRequest {
    /// The markers.
    pub markers: Vec<WritableTxnMarker>,
}

/// One transaction of a [`WriteTxnMarkersRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WritableTxnMarker {
    /// The producer id.
    pub producer_id: ProducerId,
    /// Its epoch.
    pub producer_epoch: ProducerEpoch,
    /// Epoch of the coordinator.
    pub coordinator_epoch: CoordinatorEpoch,
    /// How it ends.
    pub result: TransactionResult,
    /// Where.
    pub partitions: Vec<TopicPartition>,
    /// Follows `transaction.version` 2.
    pub version_2: bool,
}

/// Answer to [`WriteTxnMarkersRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteTxnMarkersResponse {
    /// One entry per marker and partition of the request, in its order.
    pub partitions: Vec<(ProducerId, TopicPartition, ErrorCode)>,
}
