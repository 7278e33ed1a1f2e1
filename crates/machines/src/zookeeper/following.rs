//! A follower's part of ZAB: `Learner`, `Follower`.

use super::{Role, ZooKeeperCx, ZooKeeperServer, ZooKeeperTimer};
use acklab_vocab::api::PeerPacket;
use acklab_vocab::ids::ZooKeeperServerId;
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::zookeeper::{SessionId, Zxid};
use std::collections::BTreeSet;

/// How often a follower tries to connect (`connectToLeader`).
const CONNECT_TRIES: u32 = 5;
/// What it waits between two tries (100 ms since 3.6). A follower often decides an election a
/// moment before its leader listens, so that many a failover takes this long.
const CONNECT_RETRY: SimDuration = SimDuration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nobody has answered yet.
    Connecting,
    /// It knows the epoch.
    Registered,
    /// It has the leader's history, which is not yet durable.
    Synchronizing,
    /// Its history is durable.
    Synced,
    /// A quorum has the leader's history.
    Serving,
}

/// What a follower knows of its leader.
#[derive(Clone, Debug)]
pub(super) struct Follower {
    leader: ZooKeeperServerId,
    /// This attempt to follow.
    link: u64,
    stage: Stage,
    tries: u32,
    since: SimTime,
    epoch: u32,
    /// The sessions heard from since the last ping (`touchTable`).
    pub touched: BTreeSet<SessionId>,
    /// Up to where it has acknowledged proposals.
    acknowledged: Zxid,
}

impl Follower {
    pub(super) fn serves(&self) -> bool {
        self.stage == Stage::Serving
    }

    pub(super) const fn leader(&self) -> ZooKeeperServerId {
        self.leader
    }

    pub(super) const fn link(&self) -> u64 {
        self.link
    }

    pub(super) const fn epoch(&self) -> u32 {
        self.epoch
    }
}

impl ZooKeeperServer {
    /// Another server has been elected.
    pub(super) fn follow(&mut self, cx: &mut ZooKeeperCx<'_>, leader: ZooKeeperServerId) {
        let follower = Follower {
            leader,
            link: 0,
            stage: Stage::Connecting,
            tries: 0,
            since: cx.now(),
            epoch: 0,
            touched: BTreeSet::new(),
            acknowledged: Zxid::default(),
        };
        self.role = Role::Following(Box::new(follower));
        cx.set_timer_after(ZooKeeperTimer::LearnerTimeout, self.init_limit());
        self.register_with_leader(cx);
    }

    /// Connects and says what it has promised (`registerWithLeader`).
    pub(super) fn register_with_leader(&mut self, cx: &mut ZooKeeperCx<'_>) {
        let Role::Following(follower) = &mut self.role else { return };
        follower.link = self.next_link;
        follower.tries += 1;
        self.next_link += 1;
        let (leader, link) = (follower.leader, follower.link);
        let accepted_epoch = cx.disk().zookeeper_epochs.accepted;
        let last_zxid = cx.disk().zookeeper_log.last_zxid();
        let packet = PeerPacket::FollowerInfo { accepted_epoch, last_zxid };
        self.peers.send(cx, leader, link, packet);
    }

    /// A connection with the leader has ended, or could not be opened.
    pub(super) fn on_leader_lost(&mut self, cx: &mut ZooKeeperCx<'_>) {
        let limit = self.init_limit();
        let Role::Following(follower) = &self.role else { return };
        let remaining = limit.saturating_sub(cx.now().since(follower.since));
        let may_retry = follower.stage == Stage::Connecting
            && follower.tries < CONNECT_TRIES
            && remaining > CONNECT_RETRY;
        if may_retry {
            cx.set_timer_after(ZooKeeperTimer::LearnerRetry, CONNECT_RETRY);
        } else {
            self.look(cx);
        }
    }

    /// A packet of the leader. One of a link that is over is ignored.
    pub(super) fn on_leader_packet(
        &mut self,
        cx: &mut ZooKeeperCx<'_>,
        from: ZooKeeperServerId,
        link: u64,
        packet: PeerPacket,
    ) {
        let Role::Following(follower) = &mut self.role else { return };
        if follower.leader != from || follower.link != link {
            return;
        }
        match packet {
            PeerPacket::LeaderInfo { epoch } => self.on_leader_info(cx, epoch),
            PeerPacket::Synchronize { truncate_to, transactions, epoch } => {
                assert!(truncate_to >= self.tree.last_zxid(), "what is committed stays");
                let log = &mut cx.disk().zookeeper_log;
                log.truncate(truncate_to);
                assert_eq!(
                    log.last_zxid(),
                    truncate_to,
                    "a follower's log is a part of its leader's"
                );
                transactions.into_iter().for_each(|transaction| log.append(transaction));
                follower.stage = Stage::Synchronizing;
                follower.epoch = epoch;
                follower.acknowledged = log.last_zxid();
                self.flush(cx);
                self.acknowledge(cx);
            }
            PeerPacket::UpToDate { committed } => {
                follower.stage = Stage::Serving;
                let epoch = follower.epoch;
                self.apply_up_to(cx, committed);
                self.start_sessions(cx);
                self.update_vote(epoch);
            }
            PeerPacket::Proposal(transaction) => {
                cx.disk().zookeeper_log.append(transaction);
                self.flush(cx);
            }
            PeerPacket::Commit(zxid) => self.apply_up_to(cx, zxid),
            PeerPacket::Ping => {
                let touched = std::mem::take(&mut follower.touched).into_iter().collect();
                self.peers.send(cx, from, link, PeerPacket::Pong { touched });
            }
            PeerPacket::Revalidated { number, valid, .. } => {
                if let Some((connection, _)) = self.clients.take_waiting(number) {
                    self.clients.finish_connect(cx, connection, valid);
                }
            }
            _ => {}
        }
        self.arm_learner_timeout(cx);
    }

    /// The leader has been heard from: its patience begins anew (`setSoTimeout`).
    fn arm_learner_timeout(&self, cx: &mut ZooKeeperCx<'_>) {
        if let Role::Following(follower) = &self.role {
            let limit = if follower.serves() { self.sync_limit() } else { self.init_limit() };
            cx.set_timer_after(ZooKeeperTimer::LearnerTimeout, limit);
        }
    }

    fn on_leader_info(&mut self, cx: &mut ZooKeeperCx<'_>, epoch: u32) {
        let Role::Following(follower) = &mut self.role else { return };
        let last_zxid = cx.disk().zookeeper_log.last_zxid();
        let epochs = &mut cx.disk().zookeeper_epochs;
        if epoch < epochs.accepted {
            return self.look(cx);
        }
        let current_epoch = (epoch > epochs.accepted).then_some(epochs.current);
        epochs.accepted = epoch;
        follower.stage = Stage::Registered;
        let (leader, link) = (follower.leader, follower.link);
        let packet = PeerPacket::AckEpoch { last_zxid, current_epoch };
        self.peers.send(cx, leader, link, packet);
    }

    /// What is durable is acknowledged: the leader's history, then proposals.
    pub(super) fn acknowledge(&mut self, cx: &mut ZooKeeperCx<'_>) {
        let flushed = cx.disk().zookeeper_log.flushed_zxid();
        let Role::Following(follower) = &mut self.role else { return };
        let (leader, link, epoch) = (follower.leader, follower.link, follower.epoch);
        match follower.stage {
            Stage::Connecting | Stage::Registered => return,
            Stage::Synchronizing if flushed < follower.acknowledged => return,
            Stage::Synchronizing => {
                follower.stage = Stage::Synced;
                cx.disk().zookeeper_epochs.current = epoch;
                self.peers.send(cx, leader, link, PeerPacket::AckNewLeader { epoch });
            }
            Stage::Synced | Stage::Serving => {}
        }
        let Role::Following(follower) = &mut self.role else { return };
        if flushed > follower.acknowledged {
            follower.acknowledged = flushed;
            self.peers.send(cx, leader, link, PeerPacket::Ack(flushed));
        }
    }

    fn apply_up_to(&mut self, cx: &mut ZooKeeperCx<'_>, zxid: Zxid) {
        let log = &cx.disk().zookeeper_log;
        let committed = log.after(self.tree.last_zxid()).take_while(|entry| entry.zxid <= zxid);
        let committed: Vec<_> = committed.cloned().collect();
        for transaction in committed {
            let applied = self.tree.apply(&transaction);
            self.finish(cx, &transaction, applied);
        }
    }
}
