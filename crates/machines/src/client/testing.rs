//! What brokers played by a test answer, whatever client asks.

use acklab_vocab::api::{Endpoint, Listener, PartitionFetchResponse};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{LeaderEpoch, NodeId, Offset, RecordId, TopicPartition};
use acklab_vocab::record::{Payload, Record, RecordBatch};
use acklab_vocab::time::SimTime;
use smallvec::SmallVec;
use std::sync::Arc;

/// Where clients reach a broker, on the process of the same number.
pub(crate) fn endpoint(broker: u16) -> Endpoint {
    Endpoint { node: NodeId(broker), listener: Listener::Broker }
}

/// A batch of records of 100 bytes.
pub(crate) fn batch(base_offset: u64, count: usize, epoch: u32) -> Arc<RecordBatch> {
    let record = Record { id: RecordId::default(), attempt: 0, size: 100 };
    Arc::new(RecordBatch {
        base_offset: Offset(base_offset),
        leader_epoch: LeaderEpoch(epoch),
        size: 100 * count as u32,
        stamp: None,
        transactional: false,
        max_timestamp: SimTime::ZERO,
        payload: Payload::Records(vec![record; count].into()),
    })
}

/// These batches of a partition are there, and nothing after them.
pub(crate) fn fetched(
    partition: TopicPartition,
    batches: &[Arc<RecordBatch>],
) -> PartitionFetchResponse {
    let high_watermark = batches.last().map_or(Offset(0), |batch| batch.next_offset());
    PartitionFetchResponse {
        partition,
        error: ErrorCode::None,
        high_watermark,
        last_stable_offset: high_watermark,
        log_start_offset: Offset(0),
        diverging_epoch: None,
        current_leader: None,
        batches: batches.iter().cloned().collect(),
        aborted: SmallVec::new(),
    }
}
