//! FindCoordinator: any broker says who leads the partition that a name belongs to.
//!
//! Mirrors `KafkaApis.getCoordinator`. A client may be sent to a broker that has not yet learned
//! that it leads, or is still loading; that broker tells it so.

use crate::broker::{Broker, BrokerCx};
use acklab_vocab::api::{FindCoordinatorRequest, FindCoordinatorResponse, Response};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{BrokerId, ConnectionId, CorrelationId, NodeId};

impl Broker {
    pub(in crate::broker) fn on_find_coordinator(
        &self,
        cx: &mut BrokerCx<'_>,
        connection: ConnectionId,
        correlation: CorrelationId,
        request: FindCoordinatorRequest,
    ) {
        let coordinator = self.find_coordinator(request);
        let error = match coordinator {
            Some(_) => ErrorCode::None,
            None => ErrorCode::CoordinatorNotAvailable,
        };
        let response = FindCoordinatorResponse { error, coordinator };
        cx.respond(connection, correlation, Response::FindCoordinator(response));
    }

    /// The leader of the partition, if the topic exists and the leader is alive.
    fn find_coordinator(&self, request: FindCoordinatorRequest) -> Option<(BrokerId, NodeId)> {
        let image = &self.shared.image;
        let partition = self.coordinators.partition_of(image, request.key)?;
        let leader = image.partition(partition)?.leader?;
        let registration = image.broker(leader).filter(|broker| !broker.fenced)?;
        Some((leader, registration.node))
    }
}
