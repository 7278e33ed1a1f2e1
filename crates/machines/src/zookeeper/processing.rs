//! What becomes of a client's request: `ZooKeeperServer.processConnectRequest`, then the chain from
//! `PrepRequestProcessor` to `FinalRequestProcessor`. Reads are answered by the server itself, from
//! what it has applied; writes go to the leader.

use super::clients::notify;
use super::sessions::negotiate;
use super::tree::Applied;
use super::{Role, ZooKeeperCx, ZooKeeperServer};
use acklab_vocab::api::{
    ForwardedRequest, PeerPacket, ZooKeeperChange, ZooKeeperOperation, ZooKeeperReply,
    ZooKeeperRequest, ZooKeeperTransaction,
};
use acklab_vocab::ids::{ConnectionId, CorrelationId, NodeId, ZooKeeperServerId};
use acklab_vocab::time::SimDuration;
use acklab_vocab::zookeeper::{SessionId, ZooKeeperError, Zxid};

/// What a client asks for, sorted.
enum Asked {
    Read,
    Write(Vec<ZooKeeperOperation>),
    Close,
}

fn sort(request: &ZooKeeperRequest) -> Asked {
    match request {
        ZooKeeperRequest::Operation(operation) => match operation {
            ZooKeeperOperation::Create { .. }
            | ZooKeeperOperation::Delete { .. }
            | ZooKeeperOperation::SetData { .. }
            | ZooKeeperOperation::Check { .. } => Asked::Write(vec![operation.clone()]),
            ZooKeeperOperation::Exists { .. }
            | ZooKeeperOperation::GetData { .. }
            | ZooKeeperOperation::GetChildren { .. } => Asked::Read,
        },
        ZooKeeperRequest::Multi(operations) => Asked::Write(operations.clone()),
        ZooKeeperRequest::CloseSession => Asked::Close,
        ZooKeeperRequest::Connect { .. }
        | ZooKeeperRequest::Ping
        | ZooKeeperRequest::SetWatches { .. } => Asked::Read,
    }
}

impl ZooKeeperServer {
    /// The server begins to serve: from here on it names sessions (`initializeNextSession`).
    pub(super) fn start_sessions(&mut self, cx: &mut ZooKeeperCx<'_>) {
        let millis = cx.now().0.div_euclid(1_000_000) + (1 << 32);
        self.next_session = u64::from(self.id.0) << 56 | (millis as u64) << 16;
    }

    pub(super) fn on_client_request(
        &mut self,
        cx: &mut ZooKeeperCx<'_>,
        connection: ConnectionId,
        correlation: CorrelationId,
        request: ZooKeeperRequest,
    ) {
        if !self.is_serving() {
            return cx.close(connection);
        }
        if let ZooKeeperRequest::Connect { session, timeout, last_zxid_seen, client } = request {
            let timeout = negotiate(&self.config, timeout);
            return self.on_connect(
                cx,
                (connection, correlation),
                session,
                timeout,
                (last_zxid_seen, client),
            );
        }
        let Some(client) = self.clients.get(connection) else { return cx.close(connection) };
        let session = client.session;
        if !self.touch(cx, session) {
            return;
        }
        let asked = sort(&request);
        let forwarded = match asked {
            Asked::Read => {
                self.clients.queue_read(connection, correlation, request);
                return self.drain(cx, connection);
            }
            Asked::Write(operations) => ForwardedRequest::Write(operations),
            Asked::Close => ForwardedRequest::CloseSession,
        };
        let number = self.number();
        let ends = forwarded == ForwardedRequest::CloseSession;
        let is_multi = matches!(request, ZooKeeperRequest::Multi(_));
        self.clients.queue_write(connection, correlation, (number, is_multi), ends);
        self.forward(cx, session, number, forwarded);
    }

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    fn on_connect(
        &mut self,
        cx: &mut ZooKeeperCx<'_>,
        (connection, correlation): (ConnectionId, CorrelationId),
        session: Option<SessionId>,
        timeout: SimDuration,
        (last_zxid_seen, client): (Zxid, NodeId),
    ) {
        if last_zxid_seen > self.tree.last_zxid() {
            // The client has seen more than this server: it must try another.
            return cx.close(connection);
        }
        let number = self.number();
        let Some(session) = session else {
            let session = SessionId(self.next_session);
            self.next_session += 1;
            self.clients.open(connection, correlation, (session, timeout), number);
            let request = ForwardedRequest::CreateSession { timeout, client };
            return self.forward(cx, session, number, request);
        };
        if let Some(old) = self.clients.of_session(session) {
            self.clients.close(cx, old, &mut self.watches);
        }
        self.clients.open(connection, correlation, (session, timeout), number);
        self.forward(cx, session, number, ForwardedRequest::Revalidate { timeout });
    }

    /// A session was heard from. Returns whether it lives, as far as this server knows.
    fn touch(&mut self, cx: &mut ZooKeeperCx<'_>, session: SessionId) -> bool {
        match &mut self.role {
            Role::Looking(_) => false,
            Role::Following(follower) => {
                follower.touched.insert(session);
                true
            }
            Role::Leading(leader) => {
                let lives = leader.sessions.touch(cx.now(), session);
                self.arm_session_expiry(cx);
                lives
            }
        }
    }

    fn forward(
        &mut self,
        cx: &mut ZooKeeperCx<'_>,
        session: SessionId,
        number: u64,
        request: ForwardedRequest,
    ) {
        match &self.role {
            Role::Looking(_) => {}
            Role::Following(follower) => {
                let (leader, link) = (follower.leader(), follower.link());
                let packet = PeerPacket::Forward { session, number, request };
                self.peers.send(cx, leader, link, packet);
            }
            Role::Leading(_) => self.process(cx, (self.id, number), session, request),
        }
    }

    /// The leader decides what a request does (`PrepRequestProcessor`).
    pub(super) fn process(
        &mut self,
        cx: &mut ZooKeeperCx<'_>,
        origin: (ZooKeeperServerId, u64),
        session: SessionId,
        request: ForwardedRequest,
    ) {
        let Role::Leading(leader) = &mut self.role else { return };
        let change = match request {
            ForwardedRequest::CreateSession { timeout, client } => {
                leader.sessions.add(cx.now(), session, timeout, Some(origin.0));
                self.arm_session_expiry(cx);
                ZooKeeperChange::CreateSession { timeout, client }
            }
            ForwardedRequest::Revalidate { .. } => {
                let valid = leader.sessions.touch(cx.now(), session);
                if valid {
                    leader.sessions.set_owner(session, origin.0);
                }
                self.arm_session_expiry(cx);
                return self.revalidated(cx, origin, session, valid);
            }
            ForwardedRequest::CloseSession => {
                leader.sessions.set_closing(session);
                self.arm_session_expiry(cx);
                ZooKeeperChange::CloseSession { expired: false }
            }
            ForwardedRequest::Write(operations) => {
                let checked = leader.sessions.check(session, origin.0).map_err(|error| (error, 0));
                let prepared = checked.and_then(|()| leader.proposed.prepare(session, &operations));
                match prepared {
                    Ok(operations) => ZooKeeperChange::Write(operations),
                    Err((error, operation)) => ZooKeeperChange::Error { error, operation },
                }
            }
        };
        self.propose(cx, origin, session, change);
    }

    fn revalidated(
        &mut self,
        cx: &mut ZooKeeperCx<'_>,
        (server, number): (ZooKeeperServerId, u64),
        session: SessionId,
        valid: bool,
    ) {
        if server != self.id {
            let Role::Leading(leader) = &self.role else { return };
            let Some(link) = leader.link(server) else { return };
            let packet = PeerPacket::Revalidated { session, number, valid };
            return self.peers.send(cx, server, link, packet);
        }
        if let Some((connection, _)) = self.clients.take_waiting(number) {
            self.clients.finish_connect(cx, connection, valid);
        }
    }

    fn drain(&mut self, cx: &mut ZooKeeperCx<'_>, connection: ConnectionId) {
        self.clients.drain(cx, connection, &self.tree, &mut self.watches);
    }

    /// A transaction has been applied: tells the watches, then whoever has asked for it.
    pub(super) fn finish(
        &mut self,
        cx: &mut ZooKeeperCx<'_>,
        transaction: &ZooKeeperTransaction,
        applied: Applied,
    ) {
        for event in &applied.events {
            for (connection, told) in self.watches.fire(event) {
                notify(cx, connection, told);
            }
        }
        let (server, number) = transaction.origin;
        let asked = if server == self.id { self.clients.take_waiting(number) } else { None };
        let is_close = matches!(transaction.change, ZooKeeperChange::CloseSession { .. });
        if is_close
            && let Some(connection) = self.clients.of_session(transaction.session)
            && asked.map(|(asked, _)| asked) != Some(connection)
        {
            self.clients.close(cx, connection, &mut self.watches);
        }
        let Some((connection, is_multi)) = asked else { return };
        if let ZooKeeperChange::CreateSession { .. } = transaction.change {
            return self.clients.finish_connect(cx, connection, true);
        }
        let outcome = match applied.replies {
            Err((error @ (ZooKeeperError::SessionExpired | ZooKeeperError::SessionMoved), _)) => {
                Err(error)
            }
            Err((error, operation)) if is_multi => {
                Ok(ZooKeeperReply::MultiFailed { operation, error })
            }
            Err((error, _)) => Err(error),
            Ok(replies) if is_multi => Ok(ZooKeeperReply::Multi(replies)),
            Ok(replies) => Ok(replies.into_iter().next().unwrap_or(ZooKeeperReply::Ok)),
        };
        self.clients.finish_write(connection, number, outcome);
        self.drain(cx, connection);
    }
}
