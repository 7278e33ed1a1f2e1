//! Blocks of producer ids for brokers (`ProducerIdControlManager`, KIP-730).

use super::active::ReplyTo;
use super::{Controller, ControllerCx};
use acklab_vocab::api::{AllocateProducerIdsRequest, AllocateProducerIdsResponse, Response};
use acklab_vocab::ids::ProducerId;
use acklab_vocab::metadata_log::MetadataRecord;
use acklab_vocab::trace::PartitionChangeReason;

/// Ids in a block (`ProducerIdsBlock.PRODUCER_ID_BLOCK_SIZE`).
const PRODUCER_ID_BLOCK_SIZE: u32 = 1_000;

impl Controller {
    pub(super) fn on_allocate_producer_ids(
        &mut self,
        cx: &mut ControllerCx<'_>,
        reply_to: ReplyTo,
        request: &AllocateProducerIdsRequest,
    ) {
        let controller = self.quorum.known_controller();
        let error = self.check_broker_epoch(request.broker, request.broker_epoch);
        let first = self.cluster.next_producer_id();
        let mut response = AllocateProducerIdsResponse { error, first, count: 0, controller };
        if !error.is_none() {
            response.first = ProducerId(0);
            return cx.respond(reply_to.0, reply_to.1, Response::AllocateProducerIds(response));
        }
        response.count = PRODUCER_ID_BLOCK_SIZE;
        let next = ProducerId(first.0 + u64::from(PRODUCER_ID_BLOCK_SIZE));
        let records = vec![MetadataRecord::ProducerIds { next }];
        let answer = (reply_to, Response::AllocateProducerIds(response));
        self.write(cx, records, PartitionChangeReason::AlterPartition, Some(answer));
    }
}
