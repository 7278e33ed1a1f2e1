//! Metadata: who leads what, as far as this broker has applied the metadata log.
//!
//! Mirrors `KafkaApis.handleTopicMetadataRequest` and `KRaftMetadataCache`. Left out: automatic
//! creation of topics.

use super::{Broker, BrokerCx};
use acklab_vocab::api::{MetadataRequest, MetadataResponse, PartitionMetadata, Response};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{ConnectionId, CorrelationId, TopicId};
use acklab_vocab::metadata_log::PartitionState;
use smallvec::SmallVec;

impl Broker {
    pub(super) fn on_metadata(
        &self,
        cx: &mut BrokerCx<'_>,
        connection: ConnectionId,
        correlation: CorrelationId,
        request: &MetadataRequest,
    ) {
        let image = &self.shared.image;
        let mut topics: SmallVec<[TopicId; 4]> = if request.topics.is_empty() {
            image.topics().collect()
        } else {
            request.topics.iter().copied().collect()
        };
        topics.sort_unstable();
        topics.dedup();
        let states = topics.iter().flat_map(|&topic| image.partitions_of(topic));
        let partitions = states.map(|state| self.partition_metadata(state)).collect();
        let response = MetadataResponse { brokers: image.alive_brokers().collect(), partitions };
        cx.respond(connection, correlation, Response::Metadata(response));
    }

    fn partition_metadata(&self, state: &PartitionState) -> PartitionMetadata {
        let image = &self.shared.image;
        let leader = state.leader.filter(|&leader| !image.is_fenced(leader));
        let error = match leader {
            Some(_) => ErrorCode::None,
            None => ErrorCode::LeaderNotAvailable,
        };
        PartitionMetadata {
            partition: state.partition,
            error,
            leader,
            leader_epoch: state.leader_epoch,
            replicas: state.replicas.clone(),
        }
    }
}
