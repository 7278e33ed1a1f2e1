//! The leader's part of ZAB: `Leader`, `LearnerHandler`.
//!
//! A leader finds the epoch to come (discovery: a quorum promises it), brings its followers' logs
//! to its own (synchronization), and serves when a quorum has done so. Then it numbers every write,
//! logs it, and commits it when a quorum has logged it (broadcast). It gives up when it has not
//! heard of a quorum for `syncLimit` ticks.

use super::sessions::SessionTracker;
use super::tree::DataTree;
use super::{Role, ZooKeeperCx, ZooKeeperServer, ZooKeeperTimer, facts};
use acklab_vocab::api::{PeerPacket, ZooKeeperChange, ZooKeeperTransaction};
use acklab_vocab::ids::ZooKeeperServerId;
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::TraceEvent;
use acklab_vocab::zookeeper::{SessionId, Zxid};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How far a learner is (`LearnerHandler.run`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It has said what it has promised; the epoch is not decided.
    Registered,
    /// It knows the epoch.
    Informed,
    /// It has promised the epoch; its newest transaction.
    Promised(Zxid),
    /// It has been sent the leader's history.
    Synchronizing,
    /// It has the leader's history.
    Synced,
}

/// A follower, as its leader sees it.
#[derive(Clone, Debug)]
struct Learner {
    link: u64,
    stage: Stage,
    last_heard: SimTime,
    /// When the oldest proposal that it has not acknowledged was sent (`SyncLimitCheck`).
    unacknowledged_since: Option<(Zxid, SimTime)>,
}

impl Learner {
    /// It has not been heard from for too long, or leaves a proposal unacknowledged.
    fn is_silent(
        &self,
        now: SimTime,
        (init_limit, sync_limit): (SimDuration, SimDuration),
    ) -> bool {
        let limit = if self.stage == Stage::Synced { sync_limit } else { init_limit };
        let is_slow = |(_, since)| now.since(since) >= sync_limit;
        now.since(self.last_heard) >= limit || self.unacknowledged_since.is_some_and(is_slow)
    }
}

/// A proposal that is not committed.
#[derive(Clone, Debug)]
struct Outstanding {
    transaction: Arc<ZooKeeperTransaction>,
    acknowledged: BTreeSet<ZooKeeperServerId>,
}

/// What a leader knows and a follower does not.
#[derive(Clone, Debug)]
pub(super) struct Leader {
    epoch: u32,
    /// A quorum has said what it has promised: the epoch is decided.
    epoch_decided: bool,
    /// A quorum has promised the epoch.
    elected: bool,
    serving: bool,
    connecting: BTreeSet<ZooKeeperServerId>,
    electing: BTreeSet<ZooKeeperServerId>,
    synced: BTreeSet<ZooKeeperServerId>,
    learners: BTreeMap<ZooKeeperServerId, Learner>,
    /// `currentEpoch` and the newest transaction with which it was elected.
    summary: (u32, Zxid),
    last_proposed: Zxid,
    outstanding: BTreeMap<Zxid, Outstanding>,
    /// The tree with everything proposed (`outstandingChanges`).
    pub proposed: DataTree,
    pub sessions: SessionTracker,
    half_ticks: u64,
}

impl Leader {
    pub(super) const fn serves(&self) -> bool {
        self.serving
    }

    pub(super) const fn epoch(&self) -> u32 {
        self.epoch
    }

    pub(super) fn learners(&self) -> Vec<ZooKeeperServerId> {
        self.learners.keys().copied().collect()
    }

    /// The link with a learner.
    pub(super) fn link(&self, id: ZooKeeperServerId) -> Option<u64> {
        self.learners.get(&id).map(|learner| learner.link)
    }

    fn links(&self, is_meant: impl Fn(&Learner) -> bool) -> Vec<(ZooKeeperServerId, u64)> {
        let meant = self.learners.iter().filter(|(_, learner)| is_meant(learner));
        meant.map(|(&id, learner)| (id, learner.link)).collect()
    }

    /// Those who get proposals and commits (`forwardingFollowers`).
    fn forwarding(&self) -> Vec<(ZooKeeperServerId, u64)> {
        self.links(|learner| matches!(learner.stage, Stage::Synchronizing | Stage::Synced))
    }
}

impl ZooKeeperServer {
    /// It has been elected: looks for a quorum that will follow.
    pub(super) fn lead(&mut self, cx: &mut ZooKeeperCx<'_>) {
        let me = self.id;
        let epochs = cx.disk().zookeeper_epochs;
        let last_zxid = cx.disk().zookeeper_log.last_zxid();
        let leader = Leader {
            epoch: epochs.accepted + 1,
            epoch_decided: false,
            elected: false,
            serving: false,
            connecting: BTreeSet::from([me]),
            electing: BTreeSet::new(),
            synced: BTreeSet::new(),
            learners: BTreeMap::new(),
            summary: (epochs.current, last_zxid),
            last_proposed: Zxid::default(),
            outstanding: BTreeMap::new(),
            proposed: DataTree::default(),
            sessions: SessionTracker::new(self.clock, cx.now(), std::iter::empty()),
            half_ticks: 0,
        };
        self.role = Role::Leading(Box::new(leader));
        cx.set_timer_after(ZooKeeperTimer::InitLimit, self.init_limit());
        self.decide_epoch(cx);
    }

    /// A packet of a learner. One of a link that is over is ignored.
    pub(super) fn on_learner_packet(
        &mut self,
        cx: &mut ZooKeeperCx<'_>,
        from: ZooKeeperServerId,
        link: u64,
        packet: PeerPacket,
    ) {
        let Role::Leading(leader) = &mut self.role else {
            // Nobody listens on the leader's port.
            if matches!(packet, PeerPacket::FollowerInfo { .. }) {
                self.peers.disconnect(cx, from);
            }
            return;
        };
        if let PeerPacket::FollowerInfo { accepted_epoch, .. } = packet {
            return self.on_follower_info(cx, from, link, accepted_epoch);
        }
        let Some(learner) = leader.learners.get_mut(&from) else { return };
        if learner.link != link {
            return;
        }
        learner.last_heard = cx.now();
        match packet {
            PeerPacket::AckEpoch { last_zxid, current_epoch } => {
                self.on_ack_epoch(cx, from, last_zxid, current_epoch);
            }
            PeerPacket::AckNewLeader { epoch } if epoch == leader.epoch => {
                learner.stage = Stage::Synced;
                if leader.serving {
                    let committed = self.tree.last_zxid();
                    self.peers.send(cx, from, link, PeerPacket::UpToDate { committed });
                } else {
                    leader.synced.insert(from);
                    self.start_serving_with_quorum(cx);
                }
            }
            PeerPacket::Ack(zxid) => {
                if learner.unacknowledged_since.is_some_and(|(oldest, _)| oldest <= zxid) {
                    let later = leader.outstanding.keys().find(|&&other| other > zxid);
                    learner.unacknowledged_since = later.map(|&later| (later, cx.now()));
                }
                self.on_ack(cx, from, zxid);
            }
            PeerPacket::Pong { touched } => {
                for session in touched {
                    leader.sessions.touch(cx.now(), session);
                }
                self.arm_session_expiry(cx);
            }
            PeerPacket::Forward { session, number, request } if leader.serving => {
                self.process(cx, (from, number), session, request);
            }
            _ => {}
        }
    }

    fn on_follower_info(
        &mut self,
        cx: &mut ZooKeeperCx<'_>,
        from: ZooKeeperServerId,
        link: u64,
        accepted_epoch: u32,
    ) {
        let Role::Leading(leader) = &mut self.role else { return };
        let stage = Stage::Registered;
        let learner = Learner { link, stage, last_heard: cx.now(), unacknowledged_since: None };
        leader.learners.insert(from, learner);
        if !leader.epoch_decided {
            leader.epoch = leader.epoch.max(accepted_epoch + 1);
            leader.connecting.insert(from);
            return self.decide_epoch(cx);
        }
        self.inform_learners(cx);
    }

    /// Decides the epoch when a quorum has said what it has promised (`getEpochToPropose`).
    fn decide_epoch(&mut self, cx: &mut ZooKeeperCx<'_>) {
        let quorum = self.quorum();
        let Role::Leading(leader) = &mut self.role else { return };
        if leader.epoch_decided || leader.connecting.len() < quorum {
            return;
        }
        leader.epoch_decided = true;
        leader.electing.insert(self.id);
        cx.disk().zookeeper_epochs.accepted = leader.epoch;
        cx.set_timer_after(ZooKeeperTimer::InitLimit, self.init_limit());
        self.inform_learners(cx);
        self.finish_election(cx);
    }

    fn inform_learners(&mut self, cx: &mut ZooKeeperCx<'_>) {
        let Role::Leading(leader) = &mut self.role else { return };
        let epoch = leader.epoch;
        for (id, learner) in &mut leader.learners {
            if learner.stage == Stage::Registered {
                learner.stage = Stage::Informed;
                self.peers.send(cx, *id, learner.link, PeerPacket::LeaderInfo { epoch });
            }
        }
    }

    fn on_ack_epoch(
        &mut self,
        cx: &mut ZooKeeperCx<'_>,
        from: ZooKeeperServerId,
        last_zxid: Zxid,
        current_epoch: Option<u32>,
    ) {
        let Role::Leading(leader) = &mut self.role else { return };
        if !leader.elected && current_epoch.is_some_and(|epoch| (epoch, last_zxid) > leader.summary)
        {
            // It is ahead of the leader (`StateSummary.isMoreRecentThan`).
            return self.drop_learner(cx, from);
        }
        if let Some(learner) = leader.learners.get_mut(&from) {
            learner.stage = Stage::Promised(last_zxid);
        }
        if current_epoch.is_some() {
            leader.electing.insert(from);
        }
        if leader.elected { self.synchronize(cx) } else { self.finish_election(cx) }
    }

    /// A quorum has promised the epoch (`waitForEpochAck`).
    fn finish_election(&mut self, cx: &mut ZooKeeperCx<'_>) {
        let quorum = self.quorum();
        let Role::Leading(leader) = &mut self.role else { return };
        if leader.elected || leader.electing.len() < quorum {
            return;
        }
        leader.elected = true;
        cx.disk().zookeeper_epochs.current = leader.epoch;
        cx.set_timer_after(ZooKeeperTimer::InitLimit, self.init_limit());
        self.synchronize(cx);
        self.flush(cx);
        self.on_own_log_flushed(cx);
    }

    /// Sends its history to those who have promised the epoch, and from now on what it proposes
    /// (`syncFollower`).
    fn synchronize(&mut self, cx: &mut ZooKeeperCx<'_>) {
        let Role::Leading(leader) = &mut self.role else { return };
        let epoch = leader.epoch;
        let log = &cx.disk().zookeeper_log;
        let committed = if leader.serving { self.tree.last_zxid() } else { log.last_zxid() };
        let mut packets = Vec::new();
        for (&id, learner) in &mut leader.learners {
            let Stage::Promised(last_zxid) = learner.stage else { continue };
            learner.stage = Stage::Synchronizing;
            let truncate_to = log.last_up_to(last_zxid.min(committed));
            let missing = log.after(truncate_to).take_while(|entry| entry.zxid <= committed);
            let transactions = missing.cloned().collect();
            let packet = PeerPacket::Synchronize { truncate_to, transactions, epoch };
            packets.push((id, learner.link, packet));
            for outstanding in leader.outstanding.values() {
                let proposal = PeerPacket::Proposal(outstanding.transaction.clone());
                packets.push((id, learner.link, proposal));
            }
        }
        for (id, link, packet) in packets {
            self.peers.send(cx, id, link, packet);
        }
    }

    /// What it had written itself is durable.
    pub(super) fn on_own_log_flushed(&mut self, cx: &mut ZooKeeperCx<'_>) {
        let me = self.id;
        let log = &cx.disk().zookeeper_log;
        let (flushed, last) = (log.flushed_zxid(), log.last_zxid());
        let Role::Leading(leader) = &mut self.role else { return };
        if leader.serving {
            self.on_ack(cx, me, flushed);
        } else if leader.elected && flushed == last {
            leader.synced.insert(me);
            self.start_serving_with_quorum(cx);
        }
    }

    /// Serves when a quorum has its history (`waitForNewLeaderAck`, `startZkServer`).
    fn start_serving_with_quorum(&mut self, cx: &mut ZooKeeperCx<'_>) {
        let (me, quorum) = (self.id, self.quorum());
        let Role::Leading(leader) = &mut self.role else { return };
        if leader.serving || leader.synced.len() < quorum || !leader.synced.contains(&me) {
            return;
        }
        leader.serving = true;
        let epoch = leader.epoch;
        leader.last_proposed = Zxid::new(epoch, 0);
        cx.cancel_timer(ZooKeeperTimer::InitLimit);
        cx.trace(|| TraceEvent::ZooKeeperLeaderElected { server: me, epoch });
        let missing: Vec<_> =
            cx.disk().zookeeper_log.after(self.tree.last_zxid()).cloned().collect();
        for transaction in missing {
            let applied = self.tree.apply(&transaction);
            let stated = facts::facts(&self.tree, &transaction.change, &applied.events);
            cx.trace_committed(transaction.zxid.0, stated);
        }
        let sessions = self.tree.sessions().map(|(session, opened)| (session, opened.timeout));
        leader.sessions = SessionTracker::new(self.clock, cx.now(), sessions);
        leader.proposed = self.tree.clone();
        let committed = self.tree.last_zxid();
        for (id, link) in leader.links(|learner| learner.stage == Stage::Synced) {
            self.peers.send(cx, id, link, PeerPacket::UpToDate { committed });
        }
        self.start_sessions(cx);
        self.update_vote(epoch);
        self.arm_session_expiry(cx);
        cx.set_timer_after(ZooKeeperTimer::HalfTick, self.config.tick_time / 2);
    }

    /// Numbers a change, logs it and sends it to the followers.
    pub(super) fn propose(
        &mut self,
        cx: &mut ZooKeeperCx<'_>,
        origin: (ZooKeeperServerId, u64),
        session: SessionId,
        change: ZooKeeperChange,
    ) {
        let Role::Leading(leader) = &mut self.role else { return };
        let zxid = Zxid(leader.last_proposed.0 + 1);
        leader.last_proposed = zxid;
        let transaction = Arc::new(ZooKeeperTransaction { zxid, session, origin, change });
        leader.proposed.apply(&transaction);
        let proposal = PeerPacket::Proposal(transaction.clone());
        cx.disk().zookeeper_log.append(transaction.clone());
        let acknowledged = BTreeSet::new();
        leader.outstanding.insert(zxid, Outstanding { transaction, acknowledged });
        for (id, link) in leader.forwarding() {
            if let Some(learner) = leader.learners.get_mut(&id)
                && learner.stage == Stage::Synced
            {
                learner.unacknowledged_since.get_or_insert((zxid, cx.now()));
            }
            self.peers.send(cx, id, link, proposal.clone());
        }
        self.flush(cx);
    }

    /// A server has logged everything up to `zxid`: commits what a quorum has.
    fn on_ack(&mut self, cx: &mut ZooKeeperCx<'_>, from: ZooKeeperServerId, zxid: Zxid) {
        let quorum = self.quorum();
        let Role::Leading(leader) = &mut self.role else { return };
        for (_, outstanding) in leader.outstanding.range_mut(..=zxid) {
            outstanding.acknowledged.insert(from);
        }
        loop {
            let Role::Leading(leader) = &mut self.role else { return };
            let Some(first) = leader.outstanding.first_entry() else { return };
            if first.get().acknowledged.len() < quorum {
                return;
            }
            let transaction = first.remove().transaction;
            self.commit(cx, &transaction);
        }
    }

    fn commit(&mut self, cx: &mut ZooKeeperCx<'_>, transaction: &ZooKeeperTransaction) {
        let applied = self.tree.apply(transaction);
        let stated = facts::facts(&self.tree, &transaction.change, &applied.events);
        cx.trace_committed(transaction.zxid.0, stated);
        let Role::Leading(leader) = &mut self.role else { return };
        if let ZooKeeperChange::CloseSession { .. } = transaction.change {
            leader.sessions.remove(transaction.session);
        }
        for (id, link) in leader.forwarding() {
            self.peers.send(cx, id, link, PeerPacket::Commit(transaction.zxid));
        }
        self.finish(cx, transaction, applied);
    }

    /// A follower is lost, or is none (`LearnerHandler.shutdown`).
    pub(super) fn drop_learner(&mut self, cx: &mut ZooKeeperCx<'_>, id: ZooKeeperServerId) {
        let Role::Leading(leader) = &mut self.role else { return };
        if leader.learners.remove(&id).is_some() {
            self.peers.disconnect(cx, id);
        }
    }

    /// Pings its followers; every other time, gives up if no quorum is left (`Leader.lead`).
    pub(super) fn on_half_tick(&mut self, cx: &mut ZooKeeperCx<'_>) {
        let limits = (self.init_limit(), self.sync_limit());
        let now = cx.now();
        let Role::Leading(leader) = &mut self.role else { return };
        leader.half_ticks += 1;
        let whole = leader.half_ticks.is_multiple_of(2);
        let silent = |(_, learner): &(&_, &Learner)| learner.is_silent(now, limits);
        let lost: Vec<_> = leader.learners.iter().filter(silent).map(|(&id, _)| id).collect();
        lost.into_iter().for_each(|id| self.drop_learner(cx, id));
        let quorum = self.quorum();
        let Role::Leading(leader) = &mut self.role else { return };
        let followers = leader.links(|learner| learner.stage == Stage::Synced).len();
        if whole && 1 + followers < quorum {
            return self.look(cx);
        }
        for (id, link) in leader.forwarding() {
            self.peers.send(cx, id, link, PeerPacket::Ping);
        }
        cx.set_timer_after(ZooKeeperTimer::HalfTick, self.config.tick_time / 2);
    }

    /// Ends the sessions that have been silent for too long.
    pub(super) fn expire_sessions(&mut self, cx: &mut ZooKeeperCx<'_>) {
        let Role::Leading(leader) = &mut self.role else { return };
        for session in leader.sessions.expired(cx.now()) {
            let Role::Leading(leader) = &mut self.role else { return };
            leader.sessions.set_closing(session);
            let change = ZooKeeperChange::CloseSession { expired: true };
            self.propose(cx, (self.id, 0), session, change);
        }
        self.arm_session_expiry(cx);
    }

    pub(super) fn arm_session_expiry(&self, cx: &mut ZooKeeperCx<'_>) {
        let Role::Leading(leader) = &self.role else { return };
        match leader.sessions.next_expiry() {
            SimTime::NEVER => cx.cancel_timer(ZooKeeperTimer::SessionExpiry),
            at => cx.set_timer(ZooKeeperTimer::SessionExpiry, at),
        }
    }
}
