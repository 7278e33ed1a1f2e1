//! Questions about offsets: ListOffsets and OffsetsForLeaderEpoch.
//!
//! Mirrors `Partition.fetchOffsetForTimestamp` and `Partition.lastOffsetForLeaderEpoch` (KIP-101,
//! KIP-320). Left out: the timestamps of tiered storage.

use super::{Broker, BrokerCx};
use acklab_vocab::api::{
    Isolation, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTimestamp,
    OffsetsForLeaderEpochRequest, OffsetsForLeaderEpochResponse, PartitionListOffsetsResponse,
    Response,
};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{ConnectionId, CorrelationId, LeaderEpoch, Offset, TopicPartition};
use acklab_vocab::rules::ProtocolRule;

impl Broker {
    pub(super) fn on_list_offsets(
        &self,
        cx: &mut BrokerCx<'_>,
        connection: ConnectionId,
        correlation: CorrelationId,
        request: &ListOffsetsRequest,
    ) {
        let mut partitions = Vec::with_capacity(request.partitions.len());
        for &(partition, epoch, timestamp) in &request.partitions {
            let found = self.find_offset(cx, request.isolation, partition, epoch, timestamp);
            let (error, (offset, leader_epoch)) = match found {
                Ok(found) => (ErrorCode::None, found),
                Err(error) => (error, (Offset(0), LeaderEpoch(0))),
            };
            partitions.push(PartitionListOffsetsResponse {
                partition,
                error,
                offset,
                leader_epoch,
            });
        }
        let response = Response::ListOffsets(ListOffsetsResponse { partitions });
        cx.respond(connection, correlation, response);
    }

    /// The offset asked for, and the epoch of the leader that answers.
    fn find_offset(
        &self,
        cx: &mut BrokerCx<'_>,
        isolation: Isolation,
        partition: TopicPartition,
        epoch: Option<LeaderEpoch>,
        timestamp: ListOffsetsTimestamp,
    ) -> Result<(Offset, LeaderEpoch), ErrorCode> {
        let slot = self.led(partition, epoch)?;
        let partition = &self.replicas[slot];
        let log = &partition.log;
        let (last, is_consumer) = match isolation {
            Isolation::LogEnd => (log.end_offset(), false),
            Isolation::HighWatermark => (log.high_watermark(), true),
            Isolation::LastStable => (log.last_stable_offset(), true),
        };
        // The high watermark lags behind the start of the epoch: what is committed is not known.
        let epoch_start = partition.leader_state().map_or(Offset(0), |leader| leader.epoch_start);
        let lags = is_consumer && epoch_start > log.high_watermark();
        let offset = match timestamp {
            ListOffsetsTimestamp::Earliest => log.start_offset(),
            ListOffsetsTimestamp::Latest if lags => return Err(ErrorCode::OffsetNotAvailable),
            ListOffsetsTimestamp::Latest => last,
            ListOffsetsTimestamp::At(at) => {
                let found = log.offset_for_timestamp(cx.disk(), at);
                match found.filter(|&offset| offset < last) {
                    Some(offset) => offset,
                    None if lags => return Err(ErrorCode::OffsetNotAvailable),
                    None => last,
                }
            }
        };
        Ok((offset, partition.leader_epoch))
    }

    pub(super) fn on_offsets_for_leader_epoch(
        &self,
        cx: &mut BrokerCx<'_>,
        connection: ConnectionId,
        correlation: CorrelationId,
        request: &OffsetsForLeaderEpochRequest,
    ) {
        let mut partitions = Vec::with_capacity(request.partitions.len());
        for &(partition, current, epoch) in &request.partitions {
            partitions.push(match self.led_in(partition, current, ProtocolRule::FenceTruncation) {
                Ok(slot) => {
                    let end = self.replicas[slot].log.end_offset_for(cx.disk(), epoch);
                    (partition, ErrorCode::None, end)
                }
                Err(error) => (partition, error, None),
            });
        }
        let response =
            Response::OffsetsForLeaderEpoch(OffsetsForLeaderEpochResponse { partitions });
        cx.respond(connection, correlation, response);
    }
}
