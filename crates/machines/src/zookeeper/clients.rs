//! The clients of one server: `NIOServerCnxn`, and the order of their requests
//! (`CommitProcessor`, `FinalRequestProcessor`).
//!
//! A connection's requests are answered in their order: a read waits for the writes before it. What
//! a watch tells is sent when the transaction is applied, so before any answer that shows it.

use super::ZooKeeperCx;
use super::tree::DataTree;
use super::watches::WatchManager;
use acklab_vocab::api::{
    Response, WATCH_CORRELATION, ZooKeeperOperation, ZooKeeperReply, ZooKeeperRequest,
    ZooKeeperResponse,
};
use acklab_vocab::ids::{ConnectionId, CorrelationId};
use acklab_vocab::time::SimDuration;
use acklab_vocab::zookeeper::{SessionId, WatchEvent, ZooKeeperError};
use std::collections::{BTreeMap, VecDeque};

/// What is sent back: an answer, or a connection closed instead.
pub(super) type Outcome = Result<ZooKeeperReply, ZooKeeperError>;

#[derive(Clone, Debug)]
enum Queued {
    /// Answered from the local tree, in its turn.
    Read(CorrelationId, ZooKeeperRequest),
    /// Waits for its transaction. `ends`: the session with it.
    Write { correlation: CorrelationId, number: u64, outcome: Option<Outcome>, ends: bool },
}

/// A client's connection.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub session: SessionId,
    timeout: SimDuration,
    /// The request to connect, until it is answered.
    connecting: Option<CorrelationId>,
    queue: VecDeque<Queued>,
}

/// The connections of a server's clients.
#[derive(Clone, Debug, Default)]
pub(super) struct Clients {
    by_connection: BTreeMap<ConnectionId, Client>,
    /// Whose requests are on their way to the leader, by number.
    waiting: BTreeMap<u64, (ConnectionId, bool)>,
}

impl Clients {
    pub(super) fn get(&self, connection: ConnectionId) -> Option<&Client> {
        self.by_connection.get(&connection)
    }

    /// The connection of a session.
    pub(super) fn of_session(&self, session: SessionId) -> Option<ConnectionId> {
        let found = self.by_connection.iter().find(|(_, client)| client.session == session);
        found.map(|(&connection, _)| connection)
    }

    /// A client wants to open a session, or to go on with one; the answer to `number` decides.
    pub(super) fn open(
        &mut self,
        connection: ConnectionId,
        correlation: CorrelationId,
        (session, timeout): (SessionId, SimDuration),
        number: u64,
    ) {
        let connecting = Some(correlation);
        let client = Client { session, timeout, connecting, queue: VecDeque::new() };
        self.by_connection.insert(connection, client);
        self.waiting.insert(number, (connection, false));
    }

    pub(super) fn queue_read(
        &mut self,
        connection: ConnectionId,
        correlation: CorrelationId,
        request: ZooKeeperRequest,
    ) {
        if let Some(client) = self.by_connection.get_mut(&connection) {
            client.queue.push_back(Queued::Read(correlation, request));
        }
    }

    pub(super) fn queue_write(
        &mut self,
        connection: ConnectionId,
        correlation: CorrelationId,
        (number, is_multi): (u64, bool),
        ends: bool,
    ) {
        if let Some(client) = self.by_connection.get_mut(&connection) {
            client.queue.push_back(Queued::Write { correlation, number, outcome: None, ends });
            self.waiting.insert(number, (connection, is_multi));
        }
    }

    /// The connection that waits for `number`, and whether for a multi; it waits no longer.
    pub(super) fn take_waiting(&mut self, number: u64) -> Option<(ConnectionId, bool)> {
        self.waiting.remove(&number)
    }

    /// Answers the request to connect (`finishSessionInit`).
    pub(super) fn finish_connect(
        &mut self,
        cx: &mut ZooKeeperCx<'_>,
        connection: ConnectionId,
        valid: bool,
    ) {
        let Some(client) = self.by_connection.get_mut(&connection) else { return };
        let Some(correlation) = client.connecting.take() else { return };
        let session = valid.then_some((client.session, client.timeout));
        let response = ZooKeeperResponse::Connected { session };
        cx.respond(connection, correlation, Response::ZooKeeper(response));
        if !valid {
            self.by_connection.remove(&connection);
            cx.close(connection);
        }
    }

    /// A write has come to this.
    pub(super) fn finish_write(&mut self, connection: ConnectionId, number: u64, result: Outcome) {
        let Some(client) = self.by_connection.get_mut(&connection) else { return };
        for queued in &mut client.queue {
            if let Queued::Write { number: own, outcome, .. } = queued
                && *own == number
            {
                *outcome = Some(result);
                return;
            }
        }
    }

    /// Answers what can be answered in order.
    pub(super) fn drain(
        &mut self,
        cx: &mut ZooKeeperCx<'_>,
        connection: ConnectionId,
        tree: &DataTree,
        watches: &mut WatchManager,
    ) {
        loop {
            let Some(client) = self.by_connection.get_mut(&connection) else { return };
            match client.queue.front() {
                None | Some(Queued::Write { outcome: None, .. }) => return,
                Some(_) => {}
            }
            match client.queue.pop_front() {
                Some(Queued::Read(correlation, request)) => {
                    let result = read(cx, connection, &request, tree, watches);
                    answer(cx, connection, correlation, tree, result);
                }
                Some(Queued::Write { correlation, outcome: Some(outcome), ends, .. }) => {
                    if outcome == Err(ZooKeeperError::SessionMoved) {
                        return self.close(cx, connection, watches);
                    }
                    answer(cx, connection, correlation, tree, outcome);
                    if ends {
                        return self.close(cx, connection, watches);
                    }
                }
                Some(Queued::Write { outcome: None, .. }) | None => return,
            }
        }
    }

    /// Closes a connection.
    pub(super) fn close(
        &mut self,
        cx: &mut ZooKeeperCx<'_>,
        connection: ConnectionId,
        watches: &mut WatchManager,
    ) {
        if self.forget(connection, watches) {
            cx.close(connection);
        }
    }

    /// A connection is gone. Returns whether it was a client's.
    pub(super) fn forget(&mut self, connection: ConnectionId, watches: &mut WatchManager) -> bool {
        watches.forget(connection);
        self.waiting.retain(|_, (waiting, _)| *waiting != connection);
        self.by_connection.remove(&connection).is_some()
    }

    /// The server serves no longer.
    pub(super) fn close_all(&mut self, cx: &mut ZooKeeperCx<'_>) {
        for connection in std::mem::take(&mut self.by_connection).into_keys() {
            cx.close(connection);
        }
        self.waiting.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.by_connection.len()
    }
}

/// Tells a client what a watch has seen.
pub(super) fn notify(cx: &mut ZooKeeperCx<'_>, connection: ConnectionId, event: WatchEvent) {
    let response = Response::ZooKeeper(ZooKeeperResponse::Watch(event));
    cx.respond(connection, WATCH_CORRELATION, response);
}

fn answer(
    cx: &mut ZooKeeperCx<'_>,
    connection: ConnectionId,
    correlation: CorrelationId,
    tree: &DataTree,
    result: Outcome,
) {
    let response = ZooKeeperResponse::Done { zxid: tree.last_zxid(), result };
    cx.respond(connection, correlation, Response::ZooKeeper(response));
}

fn read(
    cx: &mut ZooKeeperCx<'_>,
    connection: ConnectionId,
    request: &ZooKeeperRequest,
    tree: &DataTree,
    watches: &mut WatchManager,
) -> Outcome {
    match request {
        ZooKeeperRequest::Operation(operation) => {
            let result = tree.read(operation);
            match operation {
                ZooKeeperOperation::Exists { path, watch: true } => {
                    watches.watch_data(path, connection);
                }
                ZooKeeperOperation::GetData { path, watch: true } if result.is_ok() => {
                    watches.watch_data(path, connection);
                }
                ZooKeeperOperation::GetChildren { path, watch: true } if result.is_ok() => {
                    watches.watch_children(path, connection);
                }
                _ => {}
            }
            result
        }
        ZooKeeperRequest::SetWatches { relative_zxid, data, exist, child } => {
            let lists = (&data[..], &exist[..], &child[..]);
            for event in watches.set_again(tree, connection, *relative_zxid, lists) {
                notify(cx, connection, event);
            }
            Ok(ZooKeeperReply::Ok)
        }
        ZooKeeperRequest::Ping => Ok(ZooKeeperReply::Ok),
        ZooKeeperRequest::Connect { .. }
        | ZooKeeperRequest::CloseSession
        | ZooKeeperRequest::Multi(_) => unreachable!("{request:?} is no read"),
    }
}
