//! What clients ask of a ZooKeeper server, and what the servers of an ensemble tell each other.

use crate::ids::{NodeId, ZooKeeperServerId};
use crate::time::SimDuration;
use crate::zookeeper::{
    CreateMode, SessionId, WatchEvent, ZnodeData, ZnodePath, ZnodeStat, ZooKeeperError, Zxid,
};
use std::sync::Arc;

/// A client's request. A server executes the requests of a session in the order in which they came, and does not wait with
/// reading the next until one is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ZooKeeperRequest {
    /// First on every connection: opens a session, or takes one up again.
    Connect {
        /// The session to go on with; `None` for a new one.
        session: Option<SessionId>,
        /// The timeout that the client would like.
        timeout: SimDuration,
        /// The newest transaction that the client has seen: a server that is behind refuses it by closing.
        last_zxid_seen: Zxid,
        /// The client's process, for the trace.
        client: NodeId,
    },
    /// Nothing but a sign of life.
    Ping,
    /// Ends the session: its ephemeral znodes vanish at once.
    CloseSession,
    /// Reads or writes.
    Operation(ZooKeeperOperation),
    /// All of these or none (`multi`). Only writes and checks.
    Multi(Vec<ZooKeeperOperation>),
    /// First after a reconnection: sets the client's watches again. One that has fired meanwhile, judging by
    /// `relative_zxid`, fires at once.
    SetWatches {
        /// The newest transaction that the client has seen.
        relative_zxid: Zxid,
        /// Set by `getData`, and by `exists` of a znode that was there.
        data: Vec<ZnodePath>,
        /// Set by `exists` of a znode that was not there.
        exist: Vec<ZnodePath>,
        /// Set by `getChildren`.
        child: Vec<ZnodePath>,
    },
}

/// A read or write of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ZooKeeperOperation {
    /// Makes a znode. NoNode without its parent, NodeExists.
    Create {
        /// Where; without the number if sequential.
        path: ZnodePath,
        /// What it holds.
        data: ZnodeData,
        /// How long it lives.
        mode: CreateMode,
    },
    /// NoNode, BadVersion, NotEmpty.
    Delete {
        /// Which.
        path: ZnodePath,
        /// The version that it must have; any if `None`.
        version: Option<u32>,
    },
    /// NoNode, BadVersion.
    SetData {
        /// Which.
        path: ZnodePath,
        /// What it is to hold.
        data: ZnodeData,
        /// The version that it must have; any if `None`.
        version: Option<u32>,
    },
    /// Only inside a multi: NoNode, BadVersion.
    Check {
        /// Which.
        path: ZnodePath,
        /// The version that it must have.
        version: u32,
    },
    /// Whether a znode exists.
    Exists {
        /// Which.
        path: ZnodePath,
        /// Tell once when it is created, deleted or written.
        watch: bool,
    },
    /// NoNode.
    GetData {
        /// Which.
        path: ZnodePath,
        /// Tell once when it is deleted or written.
        watch: bool,
    },
    /// NoNode.
    GetChildren {
        /// Whose.
        path: ZnodePath,
        /// Tell once when it is deleted or a child comes or goes.
        watch: bool,
    },
}

/// What a server sends to a client. The answers of a connection come in the order of its requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ZooKeeperResponse {
    /// Answers `Connect`.
    Connected {
        /// The session, and the timeout that both agree on; `None`: the session to go on with has expired, and the server
        /// closes the connection.
        session: Option<(SessionId, SimDuration)>,
    },
    /// Answers everything else.
    Done {
        /// The newest transaction that the server has applied.
        zxid: Zxid,
        /// What came of it.
        result: Result<ZooKeeperReply, ZooKeeperError>,
    },
    /// A watch has fired. Not an answer: it comes with [`WATCH_CORRELATION`], before the answer to any request that would
    /// show what it tells.
    Watch(WatchEvent),
}

/// The correlation id of a watch's notification (xid −1).
pub const WATCH_CORRELATION: crate::ids::CorrelationId = crate::ids::CorrelationId(u32::MAX);

/// What a request of [`ZooKeeperRequest`] is answered, if it did not fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ZooKeeperReply {
    /// To `Ping`, `CloseSession`, `SetWatches`, `Delete` and `Check`.
    Ok,
    /// To `Create`: the path, with its number if sequential, and what is known of it.
    Created(ZnodePath, ZnodeStat),
    /// To `SetData`.
    Stat(ZnodeStat),
    /// To `Exists`: `None` if it does not.
    Exists(Option<ZnodeStat>),
    /// To `GetData`.
    Data(ZnodeData, ZnodeStat),
    /// To `GetChildren`: their names, ascending (a real server has no order; every client sorts).
    Children(Vec<Arc<str>>, ZnodeStat),
    /// To a multi that succeeded: one for each operation.
    Multi(Vec<ZooKeeperReply>),
    /// To a multi that failed: nothing was done (`OpResult.ErrorResult`).
    MultiFailed {
        /// Which operation could not be done, from 0; those after it were not looked at.
        operation: u32,
        /// Why.
        error: ZooKeeperError,
    },
}

/// What one server of an ensemble tells another: a message, never answered on its connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZooKeeperPeerMessage {
    /// Who tells.
    pub from: ZooKeeperServerId,
    /// Which of the learner's attempts to follow this belongs to: it stands for the socket between a learner and its leader,
    /// so a packet of a link that is over is not taken for one of the next. 0 in a notification.
    pub link: u64,
    /// What.
    pub packet: PeerPacket,
}

/// Leader election and atomic broadcast (`FastLeaderElection`, `Leader`, `Learner`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerPacket {
    /// A vote, in an election or in answer to one who looks for a leader.
    Notification {
        /// Whom the sender votes for, or follows.
        leader: ZooKeeperServerId,
        /// That server's newest transaction.
        zxid: Zxid,
        /// The election round (`electionEpoch`) of the sender.
        round: u64,
        /// The epoch of the leader, as far as the sender knows (`peerEpoch`).
        peer_epoch: u32,
        /// What the sender is doing.
        state: PeerState,
    },
    /// Learner to leader: the newest epoch that it has promised, and its newest transaction (`FOLLOWERINFO`).
    FollowerInfo {
        /// `acceptedEpoch`
        accepted_epoch: u32,
        /// Its newest transaction.
        last_zxid: Zxid,
    },
    /// Leader to learner: the epoch to come (`LEADERINFO`).
    LeaderInfo {
        /// The epoch.
        epoch: u32,
    },
    /// Learner to leader: it will follow no older epoch (`ACKEPOCH`).
    AckEpoch {
        /// Its newest transaction.
        last_zxid: Zxid,
        /// `currentEpoch`; `None` if it had promised this epoch before: then this does not count towards a quorum.
        current_epoch: Option<u32>,
    },
    /// Leader to learner: makes its history the leader's (`TRUNC`, `DIFF`), then `NEWLEADER`.
    Synchronize {
        /// Everything after this is dropped.
        truncate_to: Zxid,
        /// What follows it.
        transactions: Vec<Arc<ZooKeeperTransaction>>,
        /// The epoch that begins.
        epoch: u32,
    },
    /// Learner to leader: its history is durable (`ACK` of `NEWLEADER`).
    AckNewLeader {
        /// The epoch.
        epoch: u32,
    },
    /// Leader to learner: serve (`UPTODATE`). Everything sent up to this is committed.
    UpToDate {
        /// Up to where the learner may apply.
        committed: Zxid,
    },
    /// Learner to leader: a client's write (`REQUEST`), or a session to look up (`REVALIDATE`).
    Forward {
        /// Whose.
        session: SessionId,
        /// The learner's number for it, to find the client when it is committed.
        number: u64,
        /// What the client wants.
        request: ForwardedRequest,
    },
    /// Leader to learner: the answer to a session to look up (`REVALIDATE`).
    Revalidated {
        /// Which session.
        session: SessionId,
        /// The learner's number for it.
        number: u64,
        /// It lives.
        valid: bool,
    },
    /// Leader to learner: a transaction to log (`PROPOSAL`).
    Proposal(Arc<ZooKeeperTransaction>),
    /// Learner to leader: logged and flushed (`ACK`).
    Ack(Zxid),
    /// Leader to learner: apply (`COMMIT`).
    Commit(Zxid),
    /// Leader to learner, every half tick (`PING`).
    Ping,
    /// Learner to leader: the answer, with the sessions that it has heard from since the last.
    Pong {
        /// Which sessions.
        touched: Vec<SessionId>,
    },
}

/// A write as a learner passes it on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForwardedRequest {
    /// A new session.
    CreateSession {
        /// The timeout agreed on.
        timeout: SimDuration,
        /// Whose, for the trace.
        client: NodeId,
    },
    /// The session goes on at this server (`REVALIDATE`).
    Revalidate {
        /// The timeout agreed on.
        timeout: SimDuration,
    },
    /// The client has ended its session.
    CloseSession,
    /// The operations, all or none.
    Write(Vec<ZooKeeperOperation>),
}

/// What a server of an ensemble is doing (`ServerState`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PeerState {
    /// It looks for a leader.
    Looking,
    /// It follows one.
    Following,
    /// It leads.
    Leading,
}

/// An entry of the ensemble's log: decided by the leader, the same on every server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZooKeeperTransaction {
    /// Its number.
    pub zxid: Zxid,
    /// On whose behalf: the session, and the server and number by which its client is found.
    pub session: SessionId,
    /// Where the request came in, and that server's number for it.
    pub origin: (ZooKeeperServerId, u64),
    /// What it does.
    pub change: ZooKeeperChange,
}

/// What a transaction does to the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ZooKeeperChange {
    /// A session begins.
    CreateSession {
        /// Its timeout.
        timeout: SimDuration,
        /// Whose.
        client: NodeId,
    },
    /// A session ends, and with it its ephemeral znodes.
    CloseSession {
        /// It was silent for too long; otherwise its client closed it.
        expired: bool,
    },
    /// Writes, already found to be possible: sequential names are complete.
    Write(Vec<ZooKeeperOperation>),
    /// Nothing: the leader found that the request must fail.
    Error {
        /// Why.
        error: ZooKeeperError,
        /// Which operation of a multi could not be done, from 0.
        operation: u32,
    },
}

/// A message between servers is never answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZooKeeperPeerNoResponse {}

/// Bytes of a znode's path and data: an estimate.
const ZNODE_BYTES: u32 = 120;

impl ZooKeeperRequest {
    /// Estimated size on the wire in bytes, without the header.
    pub(super) fn size(&self) -> u32 {
        match self {
            ZooKeeperRequest::Connect { .. } => 45,
            ZooKeeperRequest::Ping | ZooKeeperRequest::CloseSession => 8,
            ZooKeeperRequest::Operation(_) => ZNODE_BYTES,
            ZooKeeperRequest::Multi(operations) => ZNODE_BYTES * operations.len() as u32,
            ZooKeeperRequest::SetWatches { data, exist, child, .. } => {
                40 * (data.len() + exist.len() + child.len()) as u32
            }
        }
    }
}

impl ZooKeeperResponse {
    /// Estimated size on the wire in bytes, without the header.
    pub(super) fn size(&self) -> u32 {
        match self {
            ZooKeeperResponse::Connected { .. } => 45,
            ZooKeeperResponse::Watch(_) => 40,
            ZooKeeperResponse::Done { result: Ok(ZooKeeperReply::Children(names, _)), .. } => {
                20 + 16 * names.len() as u32
            }
            ZooKeeperResponse::Done { .. } => ZNODE_BYTES,
        }
    }
}

impl ZooKeeperPeerMessage {
    /// Estimated size on the wire in bytes, without the header.
    pub(super) fn size(&self) -> u32 {
        match &self.packet {
            PeerPacket::Synchronize { transactions, .. } => {
                ZNODE_BYTES * (1 + transactions.len() as u32)
            }
            PeerPacket::Proposal(_) | PeerPacket::Forward { .. } => ZNODE_BYTES,
            PeerPacket::Pong { touched } => 8 * touched.len() as u32,
            PeerPacket::Notification { .. }
            | PeerPacket::FollowerInfo { .. }
            | PeerPacket::LeaderInfo { .. }
            | PeerPacket::AckEpoch { .. }
            | PeerPacket::AckNewLeader { .. }
            | PeerPacket::UpToDate { .. }
            | PeerPacket::Revalidated { .. }
            | PeerPacket::Ack(_)
            | PeerPacket::Commit(_)
            | PeerPacket::Ping => 40,
        }
    }
}
