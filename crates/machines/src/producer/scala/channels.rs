//! One blocking channel for each leader (`ProducerPool`, `SyncProducer`, `BlockingChannel`).
//!
//! A channel is connected when it is first used, and by the thread that uses it. Nobody reads from it between two requests,
//! so the thread learns only by using it that the broker has gone: what it writes first after the broker has closed is
//! accepted by the kernel and lost, after which a write fails.

use crate::machine::Cx;
use acklab_vocab::api::{Endpoint, Request};
use acklab_vocab::ids::{BrokerId, ConnectionId, CorrelationId};
use acklab_vocab::trace::CloseReason;

/// The socket of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Socket {
    /// None: the next use connects.
    Closed,
    /// The thread waits for it.
    Connecting(ConnectionId),
    /// Open.
    Open {
        /// Its name.
        connection: ConnectionId,
        /// Bytes of the last request wait for room in the send buffer: the next write blocks.
        write_blocked: bool,
    },
    /// The broker has closed it, which the thread does not know.
    ClosedByBroker,
    /// It was reset, which the next use tells the thread.
    Reset,
}

/// The channel to one broker.
#[derive(Clone, Debug)]
pub(super) struct Channel {
    pub broker: BrokerId,
    pub endpoint: Endpoint,
    pub socket: Socket,
}

/// The channels, ascending by broker.
#[derive(Clone, Debug, Default)]
pub(super) struct Channels {
    channels: Vec<Channel>,
    next_correlation: u32,
}

impl Channels {
    pub fn get(&self, broker: BrokerId) -> Option<&Channel> {
        let at = self.channels.binary_search_by_key(&broker, |channel| channel.broker).ok()?;
        Some(&self.channels[at])
    }

    pub fn set(&mut self, broker: BrokerId, socket: Socket) {
        if let Ok(at) = self.channels.binary_search_by_key(&broker, |channel| channel.broker) {
            self.channels[at].socket = socket;
        }
    }

    pub fn all(&self) -> impl Iterator<Item = &Channel> {
        self.channels.iter()
    }

    /// New channels for these brokers; what there was to them is closed (`ProducerPool.updateProducer`).
    pub fn renew<T, R>(&mut self, cx: &mut Cx<'_, T, R>, brokers: &[(BrokerId, Endpoint)]) {
        for &(broker, endpoint) in brokers {
            match self.channels.binary_search_by_key(&broker, |channel| channel.broker) {
                Ok(at) => {
                    close(cx, self.channels[at].socket);
                    self.channels[at] = Channel { broker, endpoint, socket: Socket::Closed };
                }
                Err(at) => {
                    self.channels.insert(at, Channel { broker, endpoint, socket: Socket::Closed });
                }
            }
        }
    }

    /// Closes a channel (`SyncProducer.disconnect`).
    pub fn disconnect<T, R>(&mut self, cx: &mut Cx<'_, T, R>, broker: BrokerId) {
        if let Some(channel) = self.get(broker) {
            close(cx, channel.socket);
            self.set(broker, Socket::Closed);
        }
    }

    /// Closes them all.
    pub fn close<T, R>(&mut self, cx: &mut Cx<'_, T, R>) {
        for channel in &mut self.channels {
            close(cx, channel.socket);
            channel.socket = Socket::Closed;
        }
    }

    /// Sends a request on an open connection.
    pub fn request<T, R>(
        &mut self,
        cx: &mut Cx<'_, T, R>,
        connection: ConnectionId,
        request: Request,
    ) -> CorrelationId {
        let correlation = CorrelationId(self.next_correlation);
        self.next_correlation = self.next_correlation.wrapping_add(1);
        cx.request(connection, correlation, request);
        correlation
    }

    /// The channel of a connection.
    pub fn of(&mut self, connection: ConnectionId) -> Option<&mut Channel> {
        self.channels.iter_mut().find(|channel| match channel.socket {
            Socket::Connecting(own) | Socket::Open { connection: own, .. } => own == connection,
            Socket::Closed | Socket::ClosedByBroker | Socket::Reset => false,
        })
    }

    /// A connection has ended. One that was being made is the thread's to see at once.
    pub fn on_closed(&mut self, connection: ConnectionId, reason: CloseReason) {
        if let Some(channel) = self.of(connection) {
            channel.socket = match (channel.socket, reason) {
                (Socket::Open { .. }, CloseReason::ClosedByPeer) => Socket::ClosedByBroker,
                (Socket::Open { .. }, _) => Socket::Reset,
                (_, _) => Socket::Closed,
            };
        }
    }
}

fn close<T, R>(cx: &mut Cx<'_, T, R>, socket: Socket) {
    match socket {
        Socket::Connecting(connection) | Socket::Open { connection, .. } => cx.close(connection),
        Socket::Closed | Socket::ClosedByBroker | Socket::Reset => {}
    }
}
