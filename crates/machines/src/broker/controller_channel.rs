//! How a broker talks to the active controller.
//!
//! Mirrors `NodeToControllerChannelManagerImpl` and its request thread: a connection per purpose,
//! one request in flight on each, sent again to whoever is the controller after a lost connection
//! or NOT_CONTROLLER. Who that is, the [membership](super::membership) knows: the quorum's
//! observer, or the last UpdateMetadata. Left out: a queue of more than one request; no purpose
//! needs one.

use super::membership::Membership;
use super::{Broker, BrokerCx, BrokerTimer, Owner};
use acklab_vocab::api::{Endpoint, KnownController, Request, Response};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{ConnectionId, CorrelationId};
use acklab_vocab::time::{SimDuration, SimTime};

/// What a channel to the controller is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChannelPurpose {
    /// Registration and heartbeats.
    Heartbeat,
    /// ISR proposals.
    AlterPartition,
    /// Blocks of producer ids.
    ProducerIds,
}

/// The channels, one per purpose.
#[derive(Debug, Default)]
pub(super) struct ControllerChannels {
    channels: [ControllerChannel; 3],
}

#[derive(Debug, Default)]
struct ControllerChannel {
    link: Link,
    next_correlation: u32,
    /// What is to be answered, sent or not.
    request: Option<Request>,
    /// After this instant a lost connection ends the request.
    give_up_at: Option<SimTime>,
}

#[derive(Clone, Copy, Debug, Default)]
enum Link {
    #[default]
    Closed,
    BackingOff,
    Connecting(ConnectionId, Endpoint),
    Ready(ConnectionId, Endpoint, Option<CorrelationId>),
}

/// `reconnect.backoff.ms` of these channels.
const RECONNECT_BACKOFF: SimDuration = SimDuration::from_millis(50);
/// The wait when the only controller known says that it is not active.
const NOT_CONTROLLER_BACKOFF: SimDuration = SimDuration::from_millis(100);
/// Half of `broker.session.timeout.ms` at its default: a heartbeat that took longer is given up
/// (KAFKA-14392).
const HEARTBEAT_TIMEOUT: SimDuration = SimDuration::from_millis(4_500);

impl ControllerChannels {
    fn get(&mut self, purpose: ChannelPurpose) -> &mut ControllerChannel {
        &mut self.channels[purpose as usize]
    }
}

const PURPOSES: [ChannelPurpose; 3] =
    [ChannelPurpose::Heartbeat, ChannelPurpose::AlterPartition, ChannelPurpose::ProducerIds];

/// Error and leader of a controller's answer; `None` where the API has none.
fn controller_of(response: &Response) -> Option<(ErrorCode, KnownController)> {
    match response {
        Response::AllocateProducerIds(answer) => Some((answer.error, answer.controller)),
        Response::AlterPartition(answer) => Some((answer.error, answer.controller)),
        Response::BrokerRegistration(answer) => Some((answer.error, answer.controller)),
        Response::BrokerHeartbeat(answer) => Some((answer.error, answer.controller)),
        _ => None,
    }
}

impl Broker {
    /// Hands a request to a channel that has none.
    pub(super) fn submit_to_controller(
        &mut self,
        cx: &mut BrokerCx<'_>,
        purpose: ChannelPurpose,
        request: Request,
    ) {
        let give_up_at = match purpose {
            ChannelPurpose::Heartbeat => Some(cx.now() + HEARTBEAT_TIMEOUT),
            ChannelPurpose::AlterPartition => None,
            ChannelPurpose::ProducerIds => {
                Some(cx.now() + self.shared.config.controller_socket_timeout)
            }
        };
        let channel = self.channels.get(purpose);
        assert!(channel.request.is_none(), "one request at a time");
        channel.request = Some(request);
        channel.give_up_at = give_up_at;
        self.advance_channel(cx, purpose);
    }

    /// It has become known who the controller is.
    pub(super) fn on_controller_known(&mut self, cx: &mut BrokerCx<'_>) {
        for purpose in PURPOSES {
            self.advance_channel(cx, purpose);
        }
    }

    /// Connects or sends, if there is something to send and the controller is known.
    fn advance_channel(&mut self, cx: &mut BrokerCx<'_>, purpose: ChannelPurpose) {
        let timeout = match purpose {
            ChannelPurpose::Heartbeat => {
                HEARTBEAT_TIMEOUT.min(self.shared.config.controller_socket_timeout)
            }
            ChannelPurpose::AlterPartition | ChannelPurpose::ProducerIds => {
                self.shared.config.controller_socket_timeout
            }
        };
        let timer = BrokerTimer::ControllerChannel(purpose);
        let channel = self.channels.get(purpose);
        let Some(request) = &channel.request else { return };
        match channel.link {
            Link::Closed => match self.membership.controller(&self.shared.image) {
                Some(controller) => {
                    let owner = Owner::ControllerChannel(purpose);
                    let connection = self.connect(cx, controller, owner);
                    self.channels.get(purpose).link = Link::Connecting(connection, controller);
                    cx.set_timer_after(timer, timeout);
                }
                // Try again when one is known, or give up.
                None => {
                    if let Some(at) = channel.give_up_at {
                        cx.set_timer(timer, at);
                    }
                }
            },
            Link::Ready(connection, controller, None) => {
                let correlation = CorrelationId(channel.next_correlation);
                channel.next_correlation += 1;
                channel.link = Link::Ready(connection, controller, Some(correlation));
                cx.request(connection, correlation, request.clone());
                cx.set_timer_after(timer, timeout);
            }
            Link::BackingOff | Link::Connecting(..) | Link::Ready(_, _, Some(_)) => {}
        }
    }

    pub(super) fn on_channel_connected(&mut self, cx: &mut BrokerCx<'_>, purpose: ChannelPurpose) {
        let channel = self.channels.get(purpose);
        if let Link::Connecting(connection, controller) = channel.link {
            channel.link = Link::Ready(connection, controller, None);
            cx.cancel_timer(BrokerTimer::ControllerChannel(purpose));
            self.advance_channel(cx, purpose);
        }
    }

    pub(super) fn on_channel_response(
        &mut self,
        cx: &mut BrokerCx<'_>,
        purpose: ChannelPurpose,
        correlation: CorrelationId,
        response: Response,
    ) {
        let channel = self.channels.get(purpose);
        let Link::Ready(connection, controller, Some(awaited)) = channel.link else { return };
        if awaited != correlation {
            return;
        }
        channel.link = Link::Ready(connection, controller, None);
        cx.cancel_timer(BrokerTimer::ControllerChannel(purpose));
        let Some((error, known)) = controller_of(&response) else { return };
        if let Membership::KRaft(_) = &self.membership {
            self.learn_controller(cx, known);
        }
        if error == ErrorCode::NotController || self.lost_office(&response) {
            self.close(cx, connection);
            let known = self.membership.controller(&self.shared.image);
            let is_another = known.is_some_and(|other| other != controller);
            let backoff = if is_another { None } else { Some(NOT_CONTROLLER_BACKOFF) };
            self.retry_channel(cx, purpose, backoff);
            return;
        }
        self.channels.get(purpose).request = None;
        match response {
            Response::BrokerRegistration(answer) => self.on_registration_response(cx, &answer),
            Response::BrokerHeartbeat(answer) => self.on_heartbeat_response(cx, &answer),
            Response::AlterPartition(answer) => self.on_alter_partition_response(cx, &answer),
            Response::AllocateProducerIds(answer) => self.on_producer_ids_allocated(&answer),
            other => unreachable!("no answer of a controller: {:?}", other.api()),
        }
    }

    /// With ZooKeeper, a controller that is replaced while it handles AlterPartition says so for
    /// every partition (`AlterPartitionResponse.errorCounts`).
    fn lost_office(&self, response: &Response) -> bool {
        let Response::AlterPartition(answer) = response else { return false };
        let mut errors = answer.partitions.iter().map(|partition| partition.error);
        self.membership.is_by_zookeeper() && errors.any(|error| error == ErrorCode::NotController)
    }

    pub(super) fn on_channel_closed(&mut self, cx: &mut BrokerCx<'_>, purpose: ChannelPurpose) {
        self.channels.get(purpose).link = Link::Closed;
        if self.channels.get(purpose).request.is_some() {
            self.retry_channel(cx, purpose, Some(RECONNECT_BACKOFF));
        }
    }

    pub(super) fn on_channel_timer(&mut self, cx: &mut BrokerCx<'_>, purpose: ChannelPurpose) {
        match self.channels.get(purpose).link {
            Link::Connecting(connection, _) | Link::Ready(connection, _, Some(_)) => {
                self.close(cx, connection);
                self.retry_channel(cx, purpose, None);
            }
            Link::Closed | Link::BackingOff => self.retry_channel(cx, purpose, None),
            Link::Ready(_, _, None) => {}
        }
    }

    /// The connection is gone: tries again after `backoff`, or gives the request up.
    fn retry_channel(
        &mut self,
        cx: &mut BrokerCx<'_>,
        purpose: ChannelPurpose,
        backoff: Option<SimDuration>,
    ) {
        let channel = self.channels.get(purpose);
        channel.link = Link::Closed;
        if channel.give_up_at.is_some_and(|at| cx.now() >= at) {
            channel.request = None;
            match purpose {
                ChannelPurpose::Heartbeat => self.on_communication_failed(cx),
                ChannelPurpose::AlterPartition => {}
                ChannelPurpose::ProducerIds => self.on_producer_ids_failed(),
            }
            return;
        }
        match backoff {
            Some(backoff) => {
                channel.link = Link::BackingOff;
                cx.set_timer_after(BrokerTimer::ControllerChannel(purpose), backoff);
            }
            None => self.advance_channel(cx, purpose),
        }
    }
}
