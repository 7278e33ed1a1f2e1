//! How the controller talks to the brokers, itself included: a connection and a queue for each, one
//! request in flight.
//!
//! Mirrors `ControllerChannelManager` with its `RequestSendThread`s. A request is sent again until
//! it is answered or the broker is given up; the answers are only logged: no release resigns for
//! STALE_CONTROLLER_EPOCH. Left out: ApiVersions.

use super::{ControllerTimer, ZooKeeperController};
use crate::broker::{Broker, BrokerCx, BrokerTimer, Owner};
use acklab_vocab::api::{Endpoint, Listener, Request, Response};
use acklab_vocab::ids::{BrokerId, ConnectionId, CorrelationId, NodeId};
use acklab_vocab::time::SimDuration;
use std::collections::VecDeque;

/// The way to one broker.
#[derive(Debug)]
pub(super) struct ControlChannel {
    node: NodeId,
    queue: VecDeque<Request>,
    link: Link,
    next_correlation: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Closed,
    BackingOff,
    Connecting(ConnectionId),
    Ready(ConnectionId, Option<CorrelationId>),
}

/// Between two attempts (`RequestSendThread.backoff`; 300 ms up to 0.9).
const BACKOFF: SimDuration = SimDuration::from_millis(100);

impl ControlChannel {
    /// Nothing is queued or in flight.
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }

    fn connection(&self) -> Option<ConnectionId> {
        match self.link {
            Link::Connecting(connection) | Link::Ready(connection, _) => Some(connection),
            Link::Closed | Link::BackingOff => None,
        }
    }
}

impl ZooKeeperController {
    fn channel(&mut self, to: BrokerId) -> Option<&mut ControlChannel> {
        self.channels.get_mut(&to)
    }
}

impl Broker {
    /// `addBroker`: a broker that has a channel already keeps it.
    pub(super) fn add_control_channel(&mut self, to: BrokerId, node: NodeId) {
        let channel = ControlChannel {
            node,
            queue: VecDeque::new(),
            link: Link::Closed,
            next_correlation: 0,
        };
        self.zookeeper_controller().channels.entry(to).or_insert(channel);
    }

    /// `removeBroker`: what is queued is dropped.
    pub(super) fn remove_control_channel(&mut self, cx: &mut BrokerCx<'_>, to: BrokerId) {
        if let Some(channel) = self.zookeeper_controller().channels.remove(&to) {
            cx.cancel_timer(timer(to));
            if let Some(connection) = channel.connection() {
                self.close(cx, connection);
            }
        }
    }

    /// Queues a request for a broker; nothing happens if it has no channel.
    pub(super) fn queue_control(&mut self, cx: &mut BrokerCx<'_>, to: BrokerId, request: Request) {
        if let Some(channel) = self.zookeeper_controller().channel(to) {
            channel.queue.push_back(request);
            self.advance_control_channel(cx, to);
        }
    }

    fn advance_control_channel(&mut self, cx: &mut BrokerCx<'_>, to: BrokerId) {
        let timeout = self.shared.config.controller_socket_timeout;
        let Some(channel) = self.zookeeper_controller().channel(to) else { return };
        let Some(request) = channel.queue.front() else { return };
        match channel.link {
            Link::Closed => {
                let endpoint = Endpoint { node: channel.node, listener: Listener::Broker };
                let connection = self.connect(cx, endpoint, Owner::ControlChannel(to));
                let channel = self.zookeeper_controller().channel(to);
                channel.expect("just seen").link = Link::Connecting(connection);
                cx.set_timer_after(timer(to), timeout);
            }
            Link::Ready(connection, None) => {
                let request = request.clone();
                let correlation = CorrelationId(channel.next_correlation);
                channel.next_correlation += 1;
                channel.link = Link::Ready(connection, Some(correlation));
                cx.request(connection, correlation, request);
                cx.set_timer_after(timer(to), timeout);
            }
            Link::BackingOff | Link::Connecting(_) | Link::Ready(_, Some(_)) => {}
        }
    }

    /// A connection of the controller to a broker is open.
    pub(in crate::broker) fn on_control_channel_connected(
        &mut self,
        cx: &mut BrokerCx<'_>,
        to: BrokerId,
    ) {
        let Some(channel) = self.zookeeper_controller().channel(to) else { return };
        if let Link::Connecting(connection) = channel.link {
            channel.link = Link::Ready(connection, None);
            cx.cancel_timer(timer(to));
            self.advance_control_channel(cx, to);
        }
    }

    /// A broker has answered the controller.
    pub(in crate::broker) fn on_control_channel_response(
        &mut self,
        cx: &mut BrokerCx<'_>,
        to: BrokerId,
        correlation: CorrelationId,
        _response: Response,
    ) {
        let Some(channel) = self.zookeeper_controller().channel(to) else { return };
        let Link::Ready(connection, Some(awaited)) = channel.link else { return };
        if awaited == correlation {
            channel.link = Link::Ready(connection, None);
            channel.queue.pop_front();
            cx.cancel_timer(timer(to));
            self.advance_control_channel(cx, to);
        }
    }

    /// A connection of the controller to a broker has ended.
    pub(in crate::broker) fn on_control_channel_closed(
        &mut self,
        cx: &mut BrokerCx<'_>,
        to: BrokerId,
    ) {
        self.back_off_control_channel(cx, to);
    }

    pub(super) fn on_control_channel_timer(&mut self, cx: &mut BrokerCx<'_>, to: BrokerId) {
        let Some(channel) = self.zookeeper_controller().channel(to) else { return };
        match channel.connection() {
            Some(connection) => {
                self.close(cx, connection);
                self.back_off_control_channel(cx, to);
            }
            None => {
                channel.link = Link::Closed;
                self.advance_control_channel(cx, to);
            }
        }
    }

    fn back_off_control_channel(&mut self, cx: &mut BrokerCx<'_>, to: BrokerId) {
        let Some(channel) = self.zookeeper_controller().channel(to) else { return };
        if channel.queue.is_empty() {
            channel.link = Link::Closed;
            cx.cancel_timer(timer(to));
        } else {
            channel.link = Link::BackingOff;
            cx.set_timer_after(timer(to), BACKOFF);
        }
    }
}

fn timer(to: BrokerId) -> BrokerTimer {
    BrokerTimer::ZooKeeperController(ControllerTimer::Channel(to))
}
