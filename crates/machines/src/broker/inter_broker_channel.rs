//! How a broker sends requests to other brokers, and to itself, in the cause of transactions.
//!
//! Mirrors `InterBrokerSendThread` with its `NetworkClient`, as `TransactionMarkerChannelManager`
//! and `AddPartitionsToTxnManager` use it: a connection per purpose and broker, opened when there
//! is something to send, one request in flight on each. What waits to be sent is the purpose's own;
//! it is asked for the next request whenever a connection is free. Left out: the ApiVersions round
//! trip, and requests that are given up while their connection waits to be opened again.

use super::transaction_coordinator::MarkerSend;
use super::transaction_verification::VerificationRequest;
use super::{Broker, BrokerCx, BrokerTimer, Owner};
use acklab_vocab::api::{Endpoint, Listener, Request, Response};
use acklab_vocab::ids::{BrokerId, ConnectionId, CorrelationId};
use acklab_vocab::time::SimDuration;
use std::collections::BTreeMap;

/// What a channel to a broker is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum InterBrokerPurpose {
    /// WriteTxnMarkers, from a transaction's coordinator (`TransactionMarkerChannelManager`).
    Markers,
    /// AddPartitionsToTxn, to a transaction's coordinator (`AddPartitionsToTxnManager`, KIP-890).
    Verification,
}

/// The channels.
#[derive(Debug, Default)]
pub(super) struct InterBrokerChannels {
    channels: BTreeMap<(InterBrokerPurpose, BrokerId), InterBrokerChannel>,
}

#[derive(Debug, Default)]
struct InterBrokerChannel {
    link: Link,
    next_correlation: u32,
    /// What is in flight.
    sent: Option<Sent>,
}

/// What a request in flight was for.
#[derive(Debug)]
pub(super) enum Sent {
    /// Markers.
    Markers(MarkerSend),
    /// A verification.
    Verification(VerificationRequest),
}

#[derive(Clone, Copy, Debug, Default)]
enum Link {
    #[default]
    Closed,
    BackingOff,
    Connecting(ConnectionId),
    Ready(ConnectionId, Option<CorrelationId>),
}

/// `reconnect.backoff.ms` of these channels.
const RECONNECT_BACKOFF: SimDuration = SimDuration::from_millis(50);
/// `socket.connection.setup.timeout.ms`
const CONNECTION_SETUP_TIMEOUT: SimDuration = SimDuration::from_secs(10);
/// `request.timeout.ms` of a broker.
pub(super) const REQUEST_TIMEOUT: SimDuration = SimDuration::from_secs(30);

impl InterBrokerChannels {
    fn get(&mut self, purpose: InterBrokerPurpose, to: BrokerId) -> &mut InterBrokerChannel {
        self.channels.entry((purpose, to)).or_default()
    }
}

impl Broker {
    /// There may be something to send to a broker.
    pub(super) fn advance_inter_broker(
        &mut self,
        cx: &mut BrokerCx<'_>,
        purpose: InterBrokerPurpose,
        to: BrokerId,
    ) {
        let timer = BrokerTimer::InterBrokerChannel(purpose, to);
        let link = self.inter_broker.get(purpose, to).link;
        match link {
            Link::Closed if self.has_inter_broker_request(purpose, to) => {
                let Some(registration) = self.shared.image.broker(to) else { return };
                let endpoint = Endpoint { node: registration.node, listener: Listener::Broker };
                let owner = Owner::InterBrokerChannel(purpose, to);
                let connection = self.connect(cx, endpoint, owner);
                self.inter_broker.get(purpose, to).link = Link::Connecting(connection);
                cx.set_timer_after(timer, CONNECTION_SETUP_TIMEOUT);
            }
            Link::Ready(connection, None) => {
                let Some((request, sent)) = self.next_inter_broker_request(purpose, to) else {
                    return;
                };
                let channel = self.inter_broker.get(purpose, to);
                let correlation = CorrelationId(channel.next_correlation);
                channel.next_correlation += 1;
                channel.link = Link::Ready(connection, Some(correlation));
                channel.sent = Some(sent);
                cx.request(connection, correlation, request);
                cx.set_timer_after(timer, REQUEST_TIMEOUT);
            }
            Link::Closed | Link::BackingOff | Link::Connecting(_) | Link::Ready(_, Some(_)) => {}
        }
    }

    fn has_inter_broker_request(&self, purpose: InterBrokerPurpose, to: BrokerId) -> bool {
        match purpose {
            InterBrokerPurpose::Markers => self.transaction_coordinator.has_markers_for(to),
            InterBrokerPurpose::Verification => self.transaction_verifier.has_request_for(to),
        }
    }

    fn next_inter_broker_request(
        &mut self,
        purpose: InterBrokerPurpose,
        to: BrokerId,
    ) -> Option<(Request, Sent)> {
        match purpose {
            InterBrokerPurpose::Markers => {
                let (request, sent) = self.transaction_coordinator.take_markers_for(to)?;
                Some((Request::WriteTxnMarkers(request), Sent::Markers(sent)))
            }
            InterBrokerPurpose::Verification => {
                let (request, sent) = self.transaction_verifier.take_request_for(to)?;
                Some((Request::AddPartitionsToTxn(request), Sent::Verification(sent)))
            }
        }
    }

    pub(super) fn on_inter_broker_connected(
        &mut self,
        cx: &mut BrokerCx<'_>,
        purpose: InterBrokerPurpose,
        to: BrokerId,
    ) {
        let channel = self.inter_broker.get(purpose, to);
        if let Link::Connecting(connection) = channel.link {
            channel.link = Link::Ready(connection, None);
            cx.cancel_timer(BrokerTimer::InterBrokerChannel(purpose, to));
            self.advance_inter_broker(cx, purpose, to);
        }
    }

    pub(super) fn on_inter_broker_response(
        &mut self,
        cx: &mut BrokerCx<'_>,
        purpose: InterBrokerPurpose,
        to: BrokerId,
        correlation: CorrelationId,
        response: Response,
    ) {
        let channel = self.inter_broker.get(purpose, to);
        let Link::Ready(connection, Some(awaited)) = channel.link else { return };
        if awaited != correlation {
            return;
        }
        channel.link = Link::Ready(connection, None);
        let sent = channel.sent.take();
        cx.cancel_timer(BrokerTimer::InterBrokerChannel(purpose, to));
        match (sent, response) {
            (Some(Sent::Markers(sent)), Response::WriteTxnMarkers(answer)) => {
                self.on_markers_written(cx, sent, &answer);
            }
            (Some(Sent::Verification(sent)), Response::AddPartitionsToTxn(answer)) => {
                self.on_verification_answered(cx, sent, &answer);
            }
            (_, other) => unreachable!("no answer of this channel: {:?}", other.api()),
        }
        self.advance_inter_broker(cx, purpose, to);
    }

    pub(super) fn on_inter_broker_closed(
        &mut self,
        cx: &mut BrokerCx<'_>,
        purpose: InterBrokerPurpose,
        to: BrokerId,
    ) {
        let channel = self.inter_broker.get(purpose, to);
        let was_idle = matches!(channel.link, Link::Ready(_, None));
        let sent = channel.sent.take();
        let timer = BrokerTimer::InterBrokerChannel(purpose, to);
        channel.link = if was_idle { Link::Closed } else { Link::BackingOff };
        if !was_idle {
            cx.set_timer_after(timer, RECONNECT_BACKOFF);
        }
        match purpose {
            InterBrokerPurpose::Markers => {
                let sent = match sent {
                    Some(Sent::Markers(sent)) => Some(sent),
                    Some(Sent::Verification(_)) | None => None,
                };
                self.on_markers_lost(cx, to, sent);
            }
            InterBrokerPurpose::Verification => {
                let sent = match sent {
                    Some(Sent::Verification(sent)) => Some(sent),
                    Some(Sent::Markers(_)) | None => None,
                };
                self.on_verification_lost(cx, to, sent);
            }
        }
    }

    /// A connection or an answer has been waited for long enough, or a back-off is over.
    pub(super) fn on_inter_broker_timer(
        &mut self,
        cx: &mut BrokerCx<'_>,
        purpose: InterBrokerPurpose,
        to: BrokerId,
    ) {
        let channel = self.inter_broker.get(purpose, to);
        match channel.link {
            Link::Connecting(connection) | Link::Ready(connection, Some(_)) => {
                self.close(cx, connection);
                self.on_inter_broker_closed(cx, purpose, to);
            }
            Link::BackingOff => {
                channel.link = Link::Closed;
                self.advance_inter_broker(cx, purpose, to);
            }
            Link::Closed | Link::Ready(_, None) => {}
        }
    }
}
