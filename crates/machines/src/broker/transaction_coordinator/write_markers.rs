//! WriteTxnMarkers: a transaction ends in the partitions that this broker leads.
//!
//! Mirrors `KafkaApis.handleWriteTxnMarkersRequest`. A marker is a control batch, appended like a
//! produce with acks=all; the answer waits for all of them. In `__consumer_offsets` the group
//! coordinator has a say: the offsets of the transaction become the group's, or go.

use super::TransactionWrite;
use crate::broker::coordination::{
    Acknowledgement, AppendWaiter, CoordinatorAppend, CoordinatorKind, payload_bytes,
};
use crate::broker::inter_broker_channel::REQUEST_TIMEOUT;
use crate::broker::log::CoordinatorBatch;
use crate::broker::{Broker, BrokerCx, Requester};
use acklab_vocab::api::{
    Response, WritableTxnMarker, WriteTxnMarkersRequest, WriteTxnMarkersResponse,
};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{BaseSequence, ProducerId, TopicPartition};
use acklab_vocab::record::{Payload, ProducerStamp};
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::transaction::{TransactionMarker, TransactionResult};
use std::collections::BTreeMap;

/// WriteTxnMarkers requests that wait for their markers to be replicated.
#[derive(Debug, Default)]
pub(super) struct MarkerWrites {
    last: u64,
    waiting: BTreeMap<u64, MarkerWrite>,
}

#[derive(Debug)]
struct MarkerWrite {
    requester: Requester,
    left: usize,
    partitions: Vec<(ProducerId, TopicPartition, ErrorCode)>,
    results: Vec<TransactionResult>,
}

impl MarkerWrites {
    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

impl Broker {
    pub(in crate::broker) fn on_write_txn_markers(
        &mut self,
        cx: &mut BrokerCx<'_>,
        requester: Requester,
        request: &WriteTxnMarkersRequest,
    ) {
        let writes = &mut self.transaction_coordinator.marker_writes;
        writes.last += 1;
        let number = writes.last;
        let mut partitions = Vec::new();
        let mut results = Vec::new();
        for marker in &request.markers {
            for &partition in &marker.partitions {
                partitions.push((marker.producer_id, partition, ErrorCode::None));
                results.push(marker.result);
            }
        }
        let left = partitions.len() + 1;
        writes.waiting.insert(number, MarkerWrite { requester, left, partitions, results });
        let mut index = 0;
        for marker in &request.markers {
            for &partition in &marker.partitions {
                if let Err(error) = self.append_marker(cx, (number, index), marker, partition) {
                    self.on_marker_written(cx, number, index, error);
                }
                index += 1;
            }
        }
        self.finish_marker(cx, number);
    }

    fn append_marker(
        &mut self,
        cx: &mut BrokerCx<'_>,
        (request, index): (u64, usize),
        marker: &WritableTxnMarker,
        partition: TopicPartition,
    ) -> Result<(), ErrorCode> {
        if !self.replicas.slot(partition).is_some_and(|slot| self.replicas[slot].is_hosted()) {
            return Err(ErrorCode::UnknownTopicOrPartition);
        }
        let (result, coordinator_epoch) = (marker.result, marker.coordinator_epoch);
        let payload = Payload::Marker(TransactionMarker { result, coordinator_epoch });
        let by_groups = self.shared.has(ProtocolRule::EventLoopGroupCoordinator)
            && self.coordinators.kind_of(partition.topic) == Some(CoordinatorKind::Groups);
        let append = CoordinatorAppend {
            partition,
            batch: CoordinatorBatch {
                size: payload_bytes(&payload),
                payload,
                stamp: Some(ProducerStamp {
                    id: marker.producer_id,
                    epoch: marker.producer_epoch,
                    base_sequence: BaseSequence(0),
                }),
                transactional: true,
                guard: None,
                version_2: marker.version_2,
            },
            acknowledgement: if by_groups {
                Acknowledgement::HighWatermark
            } else {
                Acknowledgement::Replicated
            },
            deadline: cx.now() + REQUEST_TIMEOUT,
        };
        if by_groups {
            // A transaction's coordinator knows no other word for this.
            let prepared = self.prepare_group_marker(cx, partition);
            prepared.map_err(|_| ErrorCode::NotLeaderOrFollower)?;
        }
        let waiter = AppendWaiter::Transaction(TransactionWrite::Marker(request, index));
        self.append_as_coordinator(cx, append, waiter);
        Ok(())
    }

    /// A marker is replicated, or could not be written.
    pub(super) fn on_marker_written(
        &mut self,
        cx: &mut BrokerCx<'_>,
        request: u64,
        index: usize,
        error: ErrorCode,
    ) {
        let Some(write) = self.transaction_coordinator.marker_writes.waiting.get_mut(&request)
        else {
            return;
        };
        let (producer_id, partition, outcome) = &mut write.partitions[index];
        *outcome = error;
        let (producer_id, partition) = (*producer_id, *partition);
        let result = write.results[index];
        if error.is_none()
            && self.coordinators.kind_of(partition.topic) == Some(CoordinatorKind::Groups)
        {
            self.complete_transactional_offsets(cx, partition, producer_id, result);
        }
        self.finish_marker(cx, request);
    }

    /// One thing less to wait for.
    fn finish_marker(&mut self, cx: &mut BrokerCx<'_>, request: u64) {
        let writes = &mut self.transaction_coordinator.marker_writes;
        let Some(write) = writes.waiting.get_mut(&request) else { return };
        write.left -= 1;
        if write.left == 0
            && let Some(done) = writes.waiting.remove(&request)
        {
            let response = WriteTxnMarkersResponse { partitions: done.partitions };
            done.requester.answer(cx, Response::WriteTxnMarkers(response));
        }
    }
}
