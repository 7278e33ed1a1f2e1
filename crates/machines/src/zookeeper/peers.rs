//! Connections between the servers of an ensemble: `QuorumCnxManager` for votes, and the sockets
//! between a leader and its learners.
//!
//! Each server opens one connection to each other and sends on it; the other direction has its
//! own. What a leader and a learner tell each other carries the number of their link, which stands
//! for their socket: a link ends when either connection does.

use super::{ZooKeeperCx, ZooKeeperTimer};
use acklab_vocab::api::{Endpoint, Listener, PeerPacket, Request, ZooKeeperPeerMessage};
use acklab_vocab::ids::{ConnectionId, CorrelationId, NodeId, ZooKeeperServerId};
use acklab_vocab::time::SimDuration;
use std::collections::BTreeMap;

/// `cnxTimeout`: how long it may take to open a connection.
const CONNECT_TIMEOUT: SimDuration = SimDuration::from_secs(5);

#[derive(Clone, Debug, Default)]
enum Channel {
    #[default]
    Closed,
    /// With what is to be sent when it is open.
    Opening(ConnectionId, Vec<(u64, PeerPacket)>),
    Open(ConnectionId),
}

#[derive(Clone, Debug)]
struct Peer {
    node: NodeId,
    /// This server's connection to it.
    channel: Channel,
    /// Its connection to this server.
    accepted: Option<ConnectionId>,
}

/// The other servers of the ensemble.
#[derive(Clone, Debug)]
pub(super) struct Peers {
    me: ZooKeeperServerId,
    peers: BTreeMap<ZooKeeperServerId, Peer>,
    next_correlation: u32,
}

impl Peers {
    pub(super) fn new(me: ZooKeeperServerId, ensemble: &[(ZooKeeperServerId, NodeId)]) -> Self {
        let others = ensemble.iter().filter(|(id, _)| *id != me);
        let peer = |&(id, node): &_| (id, Peer { node, channel: Channel::Closed, accepted: None });
        Peers { me, peers: others.map(peer).collect(), next_correlation: 0 }
    }

    pub(super) fn ids(&self) -> Vec<ZooKeeperServerId> {
        self.peers.keys().copied().collect()
    }

    /// Sends a packet, connecting first if need be. It is lost if the connection is.
    pub(super) fn send(
        &mut self,
        cx: &mut ZooKeeperCx<'_>,
        to: ZooKeeperServerId,
        link: u64,
        packet: PeerPacket,
    ) {
        let Some(peer) = self.peers.get_mut(&to) else { return };
        match &mut peer.channel {
            Channel::Open(connection) => {
                let connection = *connection;
                self.write(cx, connection, link, packet);
            }
            Channel::Opening(_, waiting) => {
                // A newer vote replaces the older (`SEND_CAPACITY` 1).
                if matches!(packet, PeerPacket::Notification { .. }) {
                    waiting.retain(|(_, old)| !matches!(old, PeerPacket::Notification { .. }));
                }
                waiting.push((link, packet));
            }
            Channel::Closed => {
                let endpoint = Endpoint { node: peer.node, listener: Listener::ZooKeeperPeer };
                peer.channel = Channel::Opening(cx.connect(endpoint), vec![(link, packet)]);
                cx.set_timer_after(ZooKeeperTimer::PeerConnect(to), CONNECT_TIMEOUT);
            }
        }
    }

    fn write(
        &mut self,
        cx: &mut ZooKeeperCx<'_>,
        connection: ConnectionId,
        link: u64,
        packet: PeerPacket,
    ) {
        let message = ZooKeeperPeerMessage { from: self.me, link, packet };
        let correlation = CorrelationId(self.next_correlation);
        self.next_correlation = self.next_correlation.wrapping_add(1);
        cx.request(connection, correlation, Request::ZooKeeperPeer(message));
    }

    /// Ends both connections with a server.
    pub(super) fn disconnect(&mut self, cx: &mut ZooKeeperCx<'_>, id: ZooKeeperServerId) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        match std::mem::take(&mut peer.channel) {
            Channel::Closed => {}
            Channel::Opening(connection, _) | Channel::Open(connection) => {
                cx.close(connection);
                cx.cancel_timer(ZooKeeperTimer::PeerConnect(id));
            }
        }
        if let Some(accepted) = peer.accepted.take() {
            cx.close(accepted);
        }
    }

    /// Whether a server uses another connection than before: then the old one is lost, though that
    /// is not known yet.
    pub(super) fn replaces(&mut self, from: ZooKeeperServerId, connection: ConnectionId) -> bool {
        let Some(peer) = self.peers.get_mut(&from) else { return false };
        let replaces = peer.accepted.is_some_and(|old| old != connection);
        if replaces {
            peer.accepted = None;
        }
        replaces
    }

    /// A message has come on a connection that a server opened. Returns whether it is the first.
    pub(super) fn accept(&mut self, from: ZooKeeperServerId, connection: ConnectionId) -> bool {
        let Some(peer) = self.peers.get_mut(&from) else { return false };
        peer.accepted.replace(connection).is_none()
    }

    pub(super) fn on_connected(&mut self, cx: &mut ZooKeeperCx<'_>, connection: ConnectionId) {
        let is_it =
            |channel: &Channel| matches!(channel, Channel::Opening(id, _) if *id == connection);
        let found = self.peers.iter_mut().find(|(_, peer)| is_it(&peer.channel));
        let Some((&id, peer)) = found else { return };
        let before = std::mem::replace(&mut peer.channel, Channel::Open(connection));
        cx.cancel_timer(ZooKeeperTimer::PeerConnect(id));
        if let Channel::Opening(_, waiting) = before {
            for (link, packet) in waiting {
                self.write(cx, connection, link, packet);
            }
        }
    }

    /// A connection has ended. Returns with whom.
    pub(super) fn on_closed(
        &mut self,
        cx: &mut ZooKeeperCx<'_>,
        connection: ConnectionId,
    ) -> Option<ZooKeeperServerId> {
        for (&id, peer) in &mut self.peers {
            match &peer.channel {
                Channel::Opening(own, _) | Channel::Open(own) if *own == connection => {
                    peer.channel = Channel::Closed;
                    cx.cancel_timer(ZooKeeperTimer::PeerConnect(id));
                    return Some(id);
                }
                Channel::Closed | Channel::Opening(..) | Channel::Open(_) => {}
            }
            if peer.accepted == Some(connection) {
                peer.accepted = None;
                return Some(id);
            }
        }
        None
    }

    /// It takes too long to open a connection: gives it up. Returns whether there was one.
    pub(super) fn on_connect_timeout(
        &mut self,
        cx: &mut ZooKeeperCx<'_>,
        id: ZooKeeperServerId,
    ) -> bool {
        let Some(peer) = self.peers.get_mut(&id) else { return false };
        let Channel::Opening(connection, _) = peer.channel else { return false };
        cx.close(connection);
        peer.channel = Channel::Closed;
        true
    }
}
