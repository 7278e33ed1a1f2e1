//! ZooKeeper: a server of the ensemble, and the library by which brokers and consumers talk to it.
//!
//! | module | models |
//! |---|---|
//! | `client` | the client libraries (`ClientCnxn`, kazoo) |
//! | `election` | who leads (`FastLeaderElection`) |
//! | `peers` | connections between servers (`QuorumCnxManager`, the learner's socket) |
//! | `leading` | the leader's part of ZAB (`Leader`, `LearnerHandler`) |
//! | `following` | a follower's part of it (`Learner`, `Follower`) |
//! | `processing` | requests (`PrepRequestProcessor` to `FinalRequestProcessor`) |
//! | `clients` | connections, the order of answers (`NIOServerCnxn`, `CommitProcessor`) |
//! | `sessions` | when sessions expire (`SessionTrackerImpl`, `ExpiryQueue`) |
//! | `watches` | one-shot watches (`WatchManager`) |
//! | `tree` | the znodes (`DataTree`) |
//! | `facts` | what a committed transaction means |
//!
//! Of releases 3.4 to 3.8, whose differences decide nothing here. A transaction is flushed before
//! it is acknowledged, and applied when a quorum has acknowledged it; the facts that follow from it
//! are stated then, by the leader. A server alone is a leader with a quorum of one, and so has
//! epochs, which a real one has not.
//!
//! Left out: snapshots and the compaction of the log (it begins with the first transaction, so a
//! follower is brought up to date by TRUNC and DIFF alone), access control, observers, znodes with
//! a time to live, changes of the ensemble, throttling of clients, `sync`, local sessions,
//! four-letter words.

pub mod client;
mod clients;
mod election;
mod facts;
mod following;
mod leading;
mod peers;
mod processing;
mod sessions;
#[cfg(test)]
mod tests;
mod tree;
mod watches;

pub use tree::{DataTree, Session, Znode};

use crate::disk::{FlushId, FlushTarget};
use crate::machine::{Cx, Input, Machine};
use acklab_vocab::api::{PeerPacket, PeerState, Request, ZooKeeperPeerMessage};
use acklab_vocab::config::ZooKeeperConfig;
use acklab_vocab::ids::{ConnectionId, NodeId, ZooKeeperServerId};
use acklab_vocab::time::SimDuration;
use clients::Clients;
use election::{Ballot, Election, Step, Vote};
use following::Follower;
use leading::Leader;
use peers::Peers;
use sessions::ExpiryClock;
use std::sync::Arc;
use watches::WatchManager;

/// What a server is told when it starts.
#[derive(Clone, Debug)]
pub struct ZooKeeperServerSetup {
    /// Its `myid`.
    pub id: ZooKeeperServerId,
    /// Its properties.
    pub config: Arc<ZooKeeperConfig>,
    /// Every server, itself included, and its process.
    pub ensemble: Vec<(ZooKeeperServerId, NodeId)>,
}

/// A server's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ZooKeeperTimer {
    /// An election has waited long enough for votes.
    Election,
    /// A leader that does not serve yet has waited `initLimit` ticks for a quorum.
    InitLimit,
    /// A leader pings its followers, and counts them at every other time: half a tick.
    HalfTick,
    /// The next session expires.
    SessionExpiry,
    /// A follower has not heard of its leader for too long.
    LearnerTimeout,
    /// A follower tries again to connect to its leader.
    LearnerRetry,
    /// It takes too long to connect to another server.
    PeerConnect(ZooKeeperServerId),
}

/// A server has no calls of operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoCall {}

/// A server tells no application anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoReport {}

/// The context of one event of a server.
pub type ZooKeeperCx<'a> = Cx<'a, ZooKeeperTimer, NoReport>;

/// A server of the ensemble.
#[derive(Clone, Debug)]
pub struct ZooKeeperServer {
    id: ZooKeeperServerId,
    config: Arc<ZooKeeperConfig>,
    servers: usize,
    peers: Peers,
    clock: ExpiryClock,
    role: Role,
    /// `logicalclock`
    round: u64,
    /// Whom it elected last, and in which round (`currentVote`).
    vote: Option<(Vote, u64)>,
    /// What it has applied: committed transactions only.
    tree: DataTree,
    clients: Clients,
    watches: WatchManager,
    flush: Option<FlushId>,
    next_flush: u64,
    /// Next number of a request that is on its way to the leader; never used before on this host.
    next_number: u64,
    next_session: u64,
    /// Next number of a link to a leader; never used before on this host.
    next_link: u64,
}

#[derive(Clone, Debug)]
enum Role {
    Looking(Election),
    Following(Box<Follower>),
    Leading(Box<Leader>),
}

/// A number that grows with time and is larger than any count of an earlier life.
fn life_number(cx: &ZooKeeperCx<'_>) -> u64 {
    (cx.now().0 as u64).wrapping_add(1 << 62)
}

impl ZooKeeperServer {
    /// Starts a life with what the last one left on the disk.
    ///
    /// # Panics
    /// If it is not in its own ensemble.
    pub fn boot(cx: &mut ZooKeeperCx<'_>, setup: ZooKeeperServerSetup) -> ZooKeeperServer {
        let ZooKeeperServerSetup { id, config, ensemble } = setup;
        assert!(ensemble.iter().any(|(server, _)| *server == id), "a server is in its ensemble");
        let tick = config.tick_time;
        let phase = SimDuration(cx.rng().below(tick.0));
        let life = life_number(cx);
        let own = Vote { epoch: 0, zxid: Default::default(), leader: id };
        let mut server = ZooKeeperServer {
            id,
            servers: ensemble.len(),
            peers: Peers::new(id, &ensemble),
            clock: ExpiryClock::new(tick, phase),
            role: Role::Looking(Election::begin(ensemble.len(), 0, own)),
            round: 0,
            vote: None,
            tree: DataTree::default(),
            clients: Clients::default(),
            watches: WatchManager::default(),
            flush: None,
            next_flush: 0,
            next_number: life,
            next_session: 0,
            next_link: life,
            config,
        };
        server.look(cx);
        server
    }

    /// Whether it leads the ensemble and a quorum follows.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        matches!(&self.role, Role::Leading(leader) if leader.serves())
    }

    /// Whether it serves clients.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        match &self.role {
            Role::Looking(_) => false,
            Role::Following(follower) => follower.serves(),
            Role::Leading(leader) => leader.serves(),
        }
    }

    /// What it is doing.
    #[must_use]
    pub const fn state(&self) -> PeerState {
        match self.role {
            Role::Looking(_) => PeerState::Looking,
            Role::Following(_) => PeerState::Following,
            Role::Leading(_) => PeerState::Leading,
        }
    }

    /// The epoch in which it leads or follows; 0 if it does neither.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        match &self.role {
            Role::Looking(_) => 0,
            Role::Following(follower) => follower.epoch(),
            Role::Leading(leader) => leader.epoch(),
        }
    }

    /// The znodes and sessions after the last transaction that it has applied.
    #[must_use]
    pub const fn tree(&self) -> &DataTree {
        &self.tree
    }

    /// How many clients are connected to it.
    #[must_use]
    pub fn client_count(&self) -> usize {
        self.clients.len()
    }

    const fn quorum(&self) -> usize {
        self.servers / 2 + 1
    }

    fn init_limit(&self) -> SimDuration {
        self.config.tick_time * u64::from(self.config.init_limit)
    }

    fn sync_limit(&self) -> SimDuration {
        self.config.tick_time * u64::from(self.config.sync_limit)
    }

    /// Looks for a leader (`ServerState.LOOKING`): whatever it did before is over, and its clients
    /// are closed.
    fn look(&mut self, cx: &mut ZooKeeperCx<'_>) {
        self.clients.close_all(cx);
        self.watches = WatchManager::default();
        self.give_up_role(cx);
        let disk = cx.disk();
        let (epoch, zxid) = (disk.zookeeper_epochs.current, disk.zookeeper_log.last_zxid());
        let own = Vote { epoch, zxid, leader: self.id };
        if self.servers == 1 {
            self.vote = Some((own, 0));
            return self.lead(cx);
        }
        let election = Election::begin(self.servers, self.round, own);
        let wait = election.interval();
        self.role = Role::Looking(election);
        self.tell_vote(cx);
        cx.set_timer_after(ZooKeeperTimer::Election, wait);
    }

    fn give_up_role(&mut self, cx: &mut ZooKeeperCx<'_>) {
        match &self.role {
            Role::Looking(_) => {}
            Role::Following(follower) => {
                let leader = follower.leader();
                cx.cancel_timer(ZooKeeperTimer::LearnerTimeout);
                cx.cancel_timer(ZooKeeperTimer::LearnerRetry);
                self.peers.disconnect(cx, leader);
            }
            Role::Leading(leader) => {
                let learners = leader.learners();
                cx.cancel_timer(ZooKeeperTimer::InitLimit);
                cx.cancel_timer(ZooKeeperTimer::HalfTick);
                cx.cancel_timer(ZooKeeperTimer::SessionExpiry);
                learners.into_iter().for_each(|learner| self.peers.disconnect(cx, learner));
            }
        }
    }

    fn tell_vote(&mut self, cx: &mut ZooKeeperCx<'_>) {
        self.peers.ids().into_iter().for_each(|peer| self.tell_vote_to(cx, peer));
    }

    /// Tells a server whom this one votes for, or follows.
    fn tell_vote_to(&mut self, cx: &mut ZooKeeperCx<'_>, to: ZooKeeperServerId) {
        let (vote, round) = match &self.role {
            Role::Looking(election) => (election.proposed(), election.round()),
            Role::Following(_) | Role::Leading(_) => match self.vote {
                Some(vote) => vote,
                None => return,
            },
        };
        let packet = PeerPacket::Notification {
            leader: vote.leader,
            zxid: vote.zxid,
            round,
            peer_epoch: vote.epoch,
            state: self.state(),
        };
        self.peers.send(cx, to, 0, packet);
    }

    /// A vote has come (`WorkerReceiver`).
    fn on_ballot(&mut self, cx: &mut ZooKeeperCx<'_>, ballot: Ballot) {
        let Role::Looking(election) = &mut self.role else {
            if ballot.state == PeerState::Looking {
                self.tell_vote_to(cx, ballot.from);
            }
            return;
        };
        let step = election.on_ballot(ballot);
        let is_behind = ballot.state == PeerState::Looking && ballot.round < election.round();
        if is_behind {
            self.tell_vote_to(cx, ballot.from);
        }
        self.on_step(cx, step);
    }

    fn on_election_timer(&mut self, cx: &mut ZooKeeperCx<'_>) {
        if let Role::Looking(election) = &mut self.role {
            let step = election.on_silence();
            self.on_step(cx, step);
        }
    }

    fn on_step(&mut self, cx: &mut ZooKeeperCx<'_>, step: Step) {
        match step {
            Step::Wait(wait) => cx.set_timer_after(ZooKeeperTimer::Election, wait),
            Step::Tell(wait) => {
                self.tell_vote(cx);
                cx.set_timer_after(ZooKeeperTimer::Election, wait);
            }
            Step::Decided(vote) => {
                cx.cancel_timer(ZooKeeperTimer::Election);
                if let Role::Looking(election) = &self.role {
                    self.round = election.round();
                }
                self.vote = Some((vote, self.round));
                if vote.leader == self.id { self.lead(cx) } else { self.follow(cx, vote.leader) }
            }
        }
    }

    /// The epoch of whom it follows is known now, to be told to those who look for a leader
    /// (`updateElectionVote`).
    fn update_vote(&mut self, epoch: u32) {
        if let Some((vote, _)) = &mut self.vote {
            vote.epoch = epoch;
        }
    }

    fn on_message(
        &mut self,
        cx: &mut ZooKeeperCx<'_>,
        connection: ConnectionId,
        message: ZooKeeperPeerMessage,
    ) {
        let ZooKeeperPeerMessage { from, link, packet } = message;
        if self.peers.replaces(from, connection) {
            self.on_peer_lost(cx, from);
        }
        let is_first = self.peers.accept(from, connection);
        if is_first && matches!(self.role, Role::Looking(_)) {
            // The last vote is sent again on every new connection (`lastMessageSent`): whoever has
            // come back need not wait until this server tells everybody again.
            self.tell_vote_to(cx, from);
        }
        match packet {
            PeerPacket::Notification { leader, zxid, round, peer_epoch, state } => {
                let vote = Vote { epoch: peer_epoch, zxid, leader };
                self.on_ballot(cx, Ballot { from, vote, round, state });
            }
            PeerPacket::FollowerInfo { .. }
            | PeerPacket::AckEpoch { .. }
            | PeerPacket::AckNewLeader { .. }
            | PeerPacket::Forward { .. }
            | PeerPacket::Ack(_)
            | PeerPacket::Pong { .. } => self.on_learner_packet(cx, from, link, packet),
            PeerPacket::LeaderInfo { .. }
            | PeerPacket::Synchronize { .. }
            | PeerPacket::UpToDate { .. }
            | PeerPacket::Revalidated { .. }
            | PeerPacket::Proposal(_)
            | PeerPacket::Commit(_)
            | PeerPacket::Ping => self.on_leader_packet(cx, from, link, packet),
        }
    }

    /// A connection with another server has ended.
    fn on_peer_lost(&mut self, cx: &mut ZooKeeperCx<'_>, peer: ZooKeeperServerId) {
        match &self.role {
            Role::Looking(_) => {}
            Role::Following(follower) if follower.leader() == peer => self.on_leader_lost(cx),
            Role::Following(_) => {}
            Role::Leading(_) => self.drop_learner(cx, peer),
        }
    }

    fn on_closed(&mut self, cx: &mut ZooKeeperCx<'_>, connection: ConnectionId) {
        if self.clients.forget(connection, &mut self.watches) {
            return;
        }
        if let Some(peer) = self.peers.on_closed(cx, connection) {
            self.on_peer_lost(cx, peer);
        }
    }

    /// Flushes the log, if there is something to flush and no flush under way
    /// (`SyncRequestProcessor`).
    fn flush(&mut self, cx: &mut ZooKeeperCx<'_>) {
        let log = &cx.disk().zookeeper_log;
        if self.flush.is_none() && log.flushed_zxid() < log.last_zxid() {
            let id = FlushId(self.next_flush);
            self.next_flush += 1;
            self.flush = Some(id);
            cx.flush(id, FlushTarget::ZooKeeperLog);
        }
    }

    fn on_flushed(&mut self, cx: &mut ZooKeeperCx<'_>, id: FlushId) {
        if self.flush != Some(id) {
            return;
        }
        self.flush = None;
        match &self.role {
            Role::Looking(_) => {}
            Role::Following(_) => self.acknowledge(cx),
            Role::Leading(_) => self.on_own_log_flushed(cx),
        }
        self.flush(cx);
    }

    fn on_timer(&mut self, cx: &mut ZooKeeperCx<'_>, timer: ZooKeeperTimer) {
        match timer {
            ZooKeeperTimer::Election => self.on_election_timer(cx),
            ZooKeeperTimer::InitLimit | ZooKeeperTimer::LearnerTimeout => self.look(cx),
            ZooKeeperTimer::HalfTick => self.on_half_tick(cx),
            ZooKeeperTimer::SessionExpiry => self.expire_sessions(cx),
            ZooKeeperTimer::LearnerRetry => self.register_with_leader(cx),
            ZooKeeperTimer::PeerConnect(peer) => {
                if self.peers.on_connect_timeout(cx, peer) {
                    self.on_peer_lost(cx, peer);
                }
            }
        }
    }
}

impl Machine for ZooKeeperServer {
    type Timer = ZooKeeperTimer;
    type Call = NoCall;
    type Report = NoReport;

    fn handle(&mut self, cx: &mut ZooKeeperCx<'_>, input: Input<ZooKeeperTimer, NoCall>) {
        match input {
            Input::Connected(connection) => self.peers.on_connected(cx, connection),
            Input::Request { connection, correlation, request, .. } => match *request {
                Request::ZooKeeper(request) => {
                    self.on_client_request(cx, connection, correlation, request);
                }
                Request::ZooKeeperPeer(message) => self.on_message(cx, connection, message),
                _ => cx.close(connection),
            },
            Input::Response { .. } => unreachable!("servers do not answer each other"),
            Input::Closed(connection, _) => self.on_closed(cx, connection),
            // What servers tell each other and clients is small.
            Input::WriteBlocked(_) | Input::WriteResumed(_) => {}
            Input::Timer(timer) => self.on_timer(cx, timer),
            Input::Flushed(flush) => self.on_flushed(cx, flush),
            Input::Call(never) => match never {},
        }
    }
}
