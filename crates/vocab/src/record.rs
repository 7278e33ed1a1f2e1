//! Records and batches. A batch is built once and shared: by the producer that retries it, by every replica's log, by the
//! trace.

use crate::group::{ConsumerGroupRecord, GroupMetadataRecord, OffsetRecord};
use crate::ids::{BaseSequence, LeaderEpoch, Offset, ProducerEpoch, ProducerId, RecordId};
use crate::time::SimTime;
use crate::transaction::{TransactionMarker, TransactionRecord};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// One copy of a record as it is sent: which record, by which attempt of the application, how large.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Record {
    /// Which record of the application this is.
    pub id: RecordId,
    /// Which attempt of the application, from 0; rises only when the application itself sends the record again.
    pub attempt: u16,
    /// Serialized size of key, value and headers, in bytes, with the record's own overhead.
    pub size: u32,
}

/// What the leader needs to recognise a batch that it has already appended (KIP-98).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProducerStamp {
    /// Producer id.
    pub id: ProducerId,
    /// Epoch of the producer id.
    pub epoch: ProducerEpoch,
    /// Sequence of the first record.
    pub base_sequence: BaseSequence,
}

/// A batch as a producer sends it: no offset yet, no leader epoch.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProducerBatch {
    /// The records, never empty.
    pub records: Arc<[Record]>,
    /// Set by an idempotent or transactional producer.
    pub stamp: Option<ProducerStamp>,
    /// Belongs to a transaction of its producer.
    pub transactional: bool,
    /// Size on the wire in bytes, batch overhead included.
    pub size: u32,
    /// When the producer created the newest of the records (`CreateTime`).
    pub max_timestamp: SimTime,
}

/// A batch in a log: immutable, the same value on every replica that holds it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RecordBatch {
    /// Offset of the first record, assigned by the leader that appended the batch.
    pub base_offset: Offset,
    /// Epoch of the leader that appended the batch.
    pub leader_epoch: LeaderEpoch,
    /// Size on disk in bytes.
    pub size: u32,
    /// Producer id, epoch and sequence, if the producer was idempotent. A control batch (a transaction's marker) and
    /// offsets committed in a transaction carry their producer's id and epoch, and sequence 0.
    pub stamp: Option<ProducerStamp>,
    /// Belongs to a transaction: visible to `read_committed` once a marker of its producer has committed it.
    pub transactional: bool,
    /// When the producer created the newest of the records.
    pub max_timestamp: SimTime,
    /// What it holds.
    pub payload: Payload,
}

/// Content of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Payload {
    /// Records of an application.
    Records(Arc<[Record]>),
    /// Committed offsets, in `__consumer_offsets`.
    Offsets(Arc<[OffsetRecord]>),
    /// A classic group after a rebalance, in `__consumer_offsets`.
    Group(Arc<GroupMetadataRecord>),
    /// Changes of a KIP-848 group, in `__consumer_offsets`.
    ConsumerGroup(Arc<[ConsumerGroupRecord]>),
    /// A transaction's state, in `__transaction_state`.
    Transaction(Arc<TransactionRecord>),
    /// The end of a producer's transaction in this partition: a control batch (KIP-98). Takes one offset.
    Marker(TransactionMarker),
}

impl Payload {
    /// How many offsets the payload takes.
    #[must_use]
    pub fn count(&self) -> u64 {
        match self {
            Payload::Records(records) => records.len() as u64,
            Payload::Offsets(offsets) => offsets.len() as u64,
            Payload::ConsumerGroup(records) => records.len() as u64,
            Payload::Group(_) | Payload::Transaction(_) | Payload::Marker(_) => 1,
        }
    }
}

impl RecordBatch {
    /// Offset after the last record of the batch.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        self.base_offset.plus(self.payload.count())
    }

    /// Offset of the last record of the batch.
    #[must_use]
    pub fn last_offset(&self) -> Offset {
        Offset(self.next_offset().0 - 1)
    }

    /// The application's records in it; none in a control or metadata batch.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        match &self.payload {
            Payload::Records(records) => records,
            Payload::Offsets(_)
            | Payload::Group(_)
            | Payload::ConsumerGroup(_)
            | Payload::Transaction(_)
            | Payload::Marker(_) => &[],
        }
    }
}

/// Bytes that a record adds to its key, value and headers: length, attributes, deltas (record format v2, KIP-98),
/// with the variable-length integers of a small batch.
pub const RECORD_OVERHEAD_BYTES: u32 = 7;

/// Bytes of a batch's own header (`DefaultRecordBatch.RECORD_BATCH_OVERHEAD`, record format v2).
pub const BATCH_OVERHEAD_BYTES: u32 = 61;
