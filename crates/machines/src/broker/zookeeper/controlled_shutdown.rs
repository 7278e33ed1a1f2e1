//! A broker that is to stop asks the controller to move its leaderships away, by a request.
//!
//! Mirrors `KafkaServer.controlledShutdown`: so many attempts (`controlled.shutdown.max.retries`),
//! each of which looks in ZooKeeper who the controller is, and a pause after each that failed; then
//! the broker stops in any case. What it looks up blocks while ZooKeeper cannot be reached, so that
//! the shutdown hangs.

use super::ZooKeeperPurpose;
use crate::broker::{Broker, BrokerCx, BrokerTimer, Owner};
use acklab_vocab::api::{
    ControlledShutdownRequest, Endpoint, Listener, Request, Response, ZooKeeperOperation,
    ZooKeeperReply,
};
use acklab_vocab::ids::{BrokerId, ConnectionId, CorrelationId, NodeId};
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::time::SimDuration;
use acklab_vocab::zookeeper::{ZnodeData, ZooKeeperError, paths};

/// `request.timeout.ms` of a broker.
const REQUEST_TIMEOUT: SimDuration = SimDuration::from_secs(30);

/// A controlled shutdown.
#[derive(Debug)]
pub(super) struct ControlledShutdown {
    attempts_left: u32,
    /// The controller of the last attempt.
    controller: Option<(BrokerId, NodeId)>,
    link: Link,
    next_correlation: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    /// It looks for the controller, or pauses; the connection of the attempt before, if it is good.
    Idle(Option<ConnectionId>),
    Connecting(ConnectionId),
    Waiting(ConnectionId),
}

impl ControlledShutdown {
    /// Not begun.
    pub fn new(attempts: u32) -> Self {
        let link = Link::Idle(None);
        ControlledShutdown { attempts_left: attempts, controller: None, link, next_correlation: 0 }
    }
}

type Answer = Result<ZooKeeperReply, ZooKeeperError>;

impl Broker {
    /// Another attempt, or the end.
    pub(in crate::broker) fn ask_for_shut_down(&mut self, cx: &mut BrokerCx<'_>) {
        let shutdown = &mut self.membership.zookeeper().controlled_shutdown;
        if shutdown.attempts_left == 0 {
            self.begin_shut_down(cx);
            return;
        }
        shutdown.attempts_left -= 1;
        let operation = ZooKeeperOperation::GetData { path: paths::controller(), watch: false };
        self.zookeeper_operate(cx, operation, ZooKeeperPurpose::FindController);
    }

    pub(super) fn on_controller_found(&mut self, cx: &mut BrokerCx<'_>, result: &Answer) {
        match result {
            Ok(ZooKeeperReply::Data(ZnodeData::Controller { broker }, _)) => {
                let operation =
                    ZooKeeperOperation::GetData { path: paths::broker(*broker), watch: false };
                self.zookeeper_operate(cx, operation, ZooKeeperPurpose::FindControllerNode);
            }
            _ => self.reach_controller(cx),
        }
    }

    pub(super) fn on_controller_node_found(&mut self, cx: &mut BrokerCx<'_>, result: &Answer) {
        if let Ok(ZooKeeperReply::Data(ZnodeData::Broker { broker, node, .. }, _)) = result {
            let shutdown = &mut self.membership.zookeeper().controlled_shutdown;
            let found = Some((*broker, *node));
            if shutdown.controller != found {
                shutdown.controller = found;
                if let Link::Idle(Some(connection)) = shutdown.link {
                    shutdown.link = Link::Idle(None);
                    self.close(cx, connection);
                }
            }
        }
        self.reach_controller(cx);
    }

    /// Asks the controller that was found last, if there ever was one.
    fn reach_controller(&mut self, cx: &mut BrokerCx<'_>) {
        let shutdown = &self.membership.zookeeper().controlled_shutdown;
        match (shutdown.controller, shutdown.link) {
            (Some(_), Link::Idle(Some(connection))) => {
                self.send_controlled_shutdown(cx, connection)
            }
            (Some((_, node)), Link::Idle(None)) => {
                let endpoint = Endpoint { node, listener: Listener::Broker };
                let connection = self.connect(cx, endpoint, Owner::ControlledShutdown);
                let link = Link::Connecting(connection);
                self.membership.zookeeper().controlled_shutdown.link = link;
                let timeout = self.shared.config.controller_socket_timeout;
                cx.set_timer_after(BrokerTimer::ControlledShutdown, timeout);
            }
            (None, _) | (_, Link::Connecting(_) | Link::Waiting(_)) => {
                self.pause_controlled_shutdown(cx);
            }
        }
    }

    fn send_controlled_shutdown(&mut self, cx: &mut BrokerCx<'_>, connection: ConnectionId) {
        let fences = self.shared.has(ProtocolRule::FenceByBrokerEpoch);
        let request = ControlledShutdownRequest {
            broker: self.shared.id,
            broker_epoch: self.shared.broker_epoch.filter(|_| fences),
        };
        let shutdown = &mut self.membership.zookeeper().controlled_shutdown;
        let correlation = CorrelationId(shutdown.next_correlation);
        shutdown.next_correlation += 1;
        shutdown.link = Link::Waiting(connection);
        cx.request(connection, correlation, Request::ControlledShutdown(request));
        cx.set_timer_after(BrokerTimer::ControlledShutdown, REQUEST_TIMEOUT);
    }

    pub(in crate::broker) fn on_controlled_shutdown_connected(&mut self, cx: &mut BrokerCx<'_>) {
        let link = self.membership.zookeeper().controlled_shutdown.link;
        if let Link::Connecting(connection) = link {
            self.send_controlled_shutdown(cx, connection);
        }
    }

    pub(in crate::broker) fn on_controlled_shutdown_response(
        &mut self,
        cx: &mut BrokerCx<'_>,
        response: Response,
    ) {
        let Response::ControlledShutdown(answer) = response else {
            unreachable!("no answer to a controlled shutdown: {:?}", response.api())
        };
        let shutdown = &mut self.membership.zookeeper().controlled_shutdown;
        let Link::Waiting(connection) = shutdown.link else { return };
        shutdown.link = Link::Idle(Some(connection));
        cx.cancel_timer(BrokerTimer::ControlledShutdown);
        if answer.error.is_none() && answer.remaining.is_empty() {
            self.begin_shut_down(cx);
        } else {
            self.pause_controlled_shutdown(cx);
        }
    }

    pub(in crate::broker) fn on_controlled_shutdown_closed(&mut self, cx: &mut BrokerCx<'_>) {
        let shutdown = &mut self.membership.zookeeper().controlled_shutdown;
        let was_idle = matches!(shutdown.link, Link::Idle(_));
        shutdown.link = Link::Idle(None);
        if !was_idle {
            self.pause_controlled_shutdown(cx);
        }
    }

    /// The controller was waited for long enough, or the pause is over.
    pub(in crate::broker) fn on_controlled_shutdown_timer(&mut self, cx: &mut BrokerCx<'_>) {
        match self.membership.zookeeper().controlled_shutdown.link {
            Link::Connecting(connection) | Link::Waiting(connection) => {
                self.close(cx, connection);
                self.on_controlled_shutdown_closed(cx);
            }
            Link::Idle(_) => self.ask_for_shut_down(cx),
        }
    }

    fn pause_controlled_shutdown(&mut self, cx: &mut BrokerCx<'_>) {
        let own = self.shared.config.zookeeper.as_ref();
        if let Some(pause) = own.map(|config| config.controlled_shutdown_retry_backoff) {
            cx.set_timer_after(BrokerTimer::ControlledShutdown, pause);
        }
    }
}
