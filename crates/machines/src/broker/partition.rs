//! A partition on a broker: its log, and its role.
//!
//! Mirrors `kafka.cluster.Partition`: `makeLeader`, `makeFollower`, the two forms of the ISR
//! (KIP-497). Left out: future replicas in other log directories, and replicas that are being
//! added.

use super::coordination::ParkedAppend;
use super::fetch_session::FetchWatcher;
use super::high_watermark::{FollowerState, Progress, effective_min_isr, next_high_watermark};
use super::log::Log;
use super::{BrokerCx, Shared};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{
    BrokerEpoch, BrokerId, BrokerList, ControllerEpoch, LeaderEpoch, Offset, PartitionEpoch,
    TopicPartition,
};
use acklab_vocab::metadata_log::PartitionState;
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::TraceEvent;
use std::collections::VecDeque;

/// A partition on this broker.
#[derive(Debug)]
pub(super) struct Partition {
    /// Which.
    pub id: TopicPartition,
    /// Its log.
    pub log: Log,
    /// What the broker is to it.
    pub role: Role,
    /// The leader, as the broker has learned it.
    pub leader: Option<BrokerId>,
    /// The leader epoch that it acts in; 0 and meaningless while it has no role.
    pub leader_epoch: LeaderEpoch,
    /// The newest partition epoch that it knows. With ZooKeeper, the version of the state's znode.
    pub partition_epoch: PartitionEpoch,
    /// With ZooKeeper: the epoch of the controller that decided who leads.
    pub controller_epoch: ControllerEpoch,
    /// The assigned replicas.
    pub replicas: BrokerList,
    /// Parked produce requests that wait for this partition, in order of arrival.
    pub parked_produces: Vec<u32>,
    /// A coordinator's appends that wait to be replicated, in the order of the log.
    pub coordinator_appends: VecDeque<ParkedAppend>,
    /// Connections whose fetches include this partition.
    pub fetch_watchers: Vec<FetchWatcher>,
    /// It is among those that may have changed since the fetch sessions noticed.
    pub change_noted: bool,
}

/// What a broker is to a partition.
#[derive(Debug)]
pub(super) enum Role {
    /// Nothing yet: its log was found on the disk.
    Unassigned,
    /// A follower, perhaps of nobody.
    Follower,
    /// The leader.
    Leader(LeaderState),
}

/// What only a leader knows.
#[derive(Debug)]
pub(super) struct LeaderState {
    /// Its log end when it became leader of the epoch.
    pub epoch_start: Offset,
    /// The committed ISR, ascending.
    pub isr: BrokerList,
    /// The ISR proposed to the controller, until it answers.
    pub pending: Option<PendingIsr>,
    /// The other replicas.
    pub followers: Vec<FollowerState>,
}

/// An ISR that the controller has been asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PendingIsr {
    /// Which proposal.
    pub proposal: u64,
    /// The members, ascending.
    pub isr: BrokerList,
}

impl LeaderState {
    /// The committed ISR and, while it is being enlarged, the member to come.
    pub fn maximal_isr(&self) -> &BrokerList {
        match &self.pending {
            Some(pending) if pending.isr.len() > self.isr.len() => &pending.isr,
            _ => &self.isr,
        }
    }

    fn follower(&mut self, broker: BrokerId) -> Option<&mut FollowerState> {
        self.followers.iter_mut().find(|follower| follower.broker == broker)
    }
}

/// What a fetch taught the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FollowerFetch {
    /// Who.
    pub follower: BrokerId,
    /// Its incarnation.
    pub broker_epoch: BrokerEpoch,
    /// Its log end offset.
    pub offset: Offset,
    /// The leader's log end before the read.
    pub leader_end: Offset,
}

impl Partition {
    /// A partition whose log has just been opened.
    pub fn new(id: TopicPartition, log: Log) -> Self {
        Partition {
            id,
            log,
            role: Role::Unassigned,
            leader: None,
            leader_epoch: LeaderEpoch(0),
            partition_epoch: PartitionEpoch(0),
            controller_epoch: ControllerEpoch(0),
            replicas: BrokerList::new(),
            parked_produces: Vec::new(),
            coordinator_appends: VecDeque::new(),
            fetch_watchers: Vec::new(),
            change_noted: false,
        }
    }

    /// The broker leads it.
    pub fn is_leader(&self) -> bool {
        matches!(self.role, Role::Leader(_))
    }

    /// The broker has a role in it (`HostedPartition.Online`).
    pub fn is_hosted(&self) -> bool {
        !matches!(self.role, Role::Unassigned)
    }

    /// The leader's state, if the broker leads it.
    pub fn leader_state(&self) -> Option<&LeaderState> {
        match &self.role {
            Role::Leader(leader) => Some(leader),
            Role::Follower | Role::Unassigned => None,
        }
    }

    fn leader_state_mut(&mut self) -> Option<&mut LeaderState> {
        match &mut self.role {
            Role::Leader(leader) => Some(leader),
            Role::Follower | Role::Unassigned => None,
        }
    }

    /// Its ISR proposal, if the controller has not answered it.
    pub fn pending_isr(&self) -> Option<&PendingIsr> {
        self.leader_state().and_then(|leader| leader.pending.as_ref())
    }

    /// Whether a request that knows `epoch` may be served (`Partition.checkCurrentLeaderEpoch`,
    /// KIP-320), and by a leader. `fence`: the rule by which that kind of request is fenced.
    ///
    /// # Errors
    /// - FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH: the epochs differ; looked at first.
    /// - NOT_LEADER_OR_FOLLOWER: another broker leads.
    pub fn check_leader(
        &self,
        shared: &Shared,
        epoch: Option<LeaderEpoch>,
        fence: ProtocolRule,
    ) -> Result<(), ErrorCode> {
        if shared.has(fence)
            && let Some(epoch) = epoch
        {
            if epoch < self.leader_epoch {
                return Err(ErrorCode::FencedLeaderEpoch);
            }
            if epoch > self.leader_epoch {
                return Err(ErrorCode::UnknownLeaderEpoch);
            }
        }
        if self.is_leader() { Ok(()) } else { Err(ErrorCode::NotLeaderOrFollower) }
    }

    /// Leads under `state` (`Partition.makeLeader`). Returns whether the high watermark moved.
    pub fn make_leader(
        &mut self,
        cx: &mut BrokerCx<'_>,
        shared: &Shared,
        state: &PartitionState,
    ) -> bool {
        if self.is_hosted() && state.partition_epoch < self.partition_epoch {
            return false;
        }
        let was_leader = self.is_leader();
        let is_new_epoch = !self.is_hosted() || state.leader_epoch > self.leader_epoch;
        self.leader = Some(shared.id);
        self.partition_epoch = state.partition_epoch;
        self.replicas.clone_from(&state.replicas);
        if !was_leader {
            self.role = Role::Leader(LeaderState {
                epoch_start: self.log.end_offset(),
                isr: BrokerList::new(),
                pending: None,
                followers: Vec::new(),
            });
        }
        self.keep_followers(shared.id);
        if is_new_epoch {
            self.begin_leader_epoch(cx, shared, state, was_leader);
        }
        self.commit_isr(cx, &state.isr, is_new_epoch);
        self.maybe_increment_high_watermark(cx, shared)
    }

    fn keep_followers(&mut self, own: BrokerId) {
        let replicas = self.replicas.clone();
        let Some(leader) = self.leader_state_mut() else { return };
        leader.followers.retain(|follower| replicas.contains(&follower.broker));
        for &broker in replicas.iter().filter(|&&broker| broker != own) {
            if leader.follower(broker).is_none() {
                leader.followers.push(FollowerState::unknown(broker));
            }
        }
    }

    fn begin_leader_epoch(
        &mut self,
        cx: &mut BrokerCx<'_>,
        shared: &Shared,
        state: &PartitionState,
        was_leader: bool,
    ) {
        let (partition, leader_epoch) = (self.id, state.leader_epoch);
        let log_end_offset = self.log.end_offset();
        self.leader_epoch = leader_epoch;
        self.log.assign_epoch_start(cx.disk(), leader_epoch, log_end_offset);
        let now = cx.now();
        if let Some(leader) = self.leader_state_mut() {
            leader.epoch_start = log_end_offset;
            for follower in &mut leader.followers {
                let in_sync = state.isr.contains(&follower.broker);
                follower.reset(now, log_end_offset, was_leader, in_sync);
            }
        }
        let high_watermark = self.log.high_watermark();
        cx.trace(|| TraceEvent::BecameLeader {
            partition,
            leader_epoch,
            log_end_offset,
            high_watermark,
        });
        if !shared.has(ProtocolRule::NewLeaderKeepsHighWatermark) {
            self.set_high_watermark(cx, log_end_offset);
        }
    }

    /// Follows under `state` (`Partition.makeFollower`). Returns whether the leader epoch is new to
    /// it.
    pub fn make_follower(&mut self, cx: &mut BrokerCx<'_>, state: &PartitionState) -> bool {
        if self.is_hosted() && state.partition_epoch < self.partition_epoch {
            return false;
        }
        let is_new_epoch = !self.is_hosted() || state.leader_epoch > self.leader_epoch;
        self.role = Role::Follower;
        self.leader = state.leader;
        self.leader_epoch = state.leader_epoch;
        self.partition_epoch = state.partition_epoch;
        self.replicas.clone_from(&state.replicas);
        if is_new_epoch {
            let (partition, leader_epoch, leader) = (self.id, self.leader_epoch, self.leader);
            cx.trace(|| TraceEvent::BecameFollower { partition, leader_epoch, leader });
        }
        is_new_epoch
    }

    /// The controller's ISR is `isr`. A proposal that is still pending is over, one way or the
    /// other.
    pub fn commit_isr(&mut self, cx: &mut BrokerCx<'_>, isr: &BrokerList, is_new_epoch: bool) {
        let (partition, leader_epoch) = (self.id, self.leader_epoch);
        let Some(leader) = self.leader_state_mut() else { return };
        let overtaken = leader.pending.take().is_some_and(|pending| pending.isr != *isr);
        let changed = is_new_epoch || leader.isr != *isr;
        leader.isr.clone_from(isr);
        if overtaken {
            let error = if is_new_epoch {
                ErrorCode::NewLeaderElected
            } else {
                ErrorCode::InvalidUpdateVersion
            };
            cx.trace(|| TraceEvent::IsrProposalRefused { partition, error });
        }
        if changed {
            let isr = isr.clone();
            cx.trace(|| TraceEvent::IsrCommitted { partition, leader_epoch, isr });
        }
    }

    /// The ISR goes to the controller as proposal number `proposal`.
    pub fn set_pending_isr(&mut self, cx: &mut BrokerCx<'_>, proposal: u64, proposed: BrokerList) {
        let (partition, leader_epoch) = (self.id, self.leader_epoch);
        let Some(leader) = self.leader_state_mut() else { return };
        assert!(leader.pending.is_none(), "one ISR change at a time");
        leader.pending = Some(PendingIsr { proposal, isr: proposed.clone() });
        let isr = leader.isr.clone();
        cx.trace(|| TraceEvent::IsrProposed { partition, leader_epoch, isr, proposed });
    }

    /// Back to the committed ISR.
    pub fn clear_pending_isr(&mut self) {
        if let Some(leader) = self.leader_state_mut() {
            leader.pending = None;
        }
    }

    /// How many in-sync replicas an acks=all append needs.
    pub fn effective_min_isr(&self, shared: &Shared) -> usize {
        effective_min_isr(shared.config.rules, shared.topic(self.id), self.replicas.len())
    }

    /// Whether an acks=all append up to `required` is done
    /// (`Partition.checkEnoughReplicasReachOffset`).
    ///
    /// # Errors
    /// - NOT_LEADER_OR_FOLLOWER: the broker no longer leads.
    /// - NOT_ENOUGH_REPLICAS_AFTER_APPEND: it is done, but the maximal ISR is under min ISR.
    pub fn check_replicated(&self, shared: &Shared, required: Offset) -> Result<bool, ErrorCode> {
        let Some(leader) = self.leader_state() else { return Err(ErrorCode::NotLeaderOrFollower) };
        if self.log.high_watermark() < required {
            return Ok(false);
        }
        if self.effective_min_isr(shared) > leader.maximal_isr().len() {
            return Err(ErrorCode::NotEnoughReplicasAfterAppend);
        }
        Ok(true)
    }

    /// Learns from a follower's fetch. Returns whether its log end offset changed.
    ///
    /// # Errors
    /// - UNKNOWN_LEADER_EPOCH: it is not a replica, as far as this leader knows.
    /// - NOT_LEADER_OR_FOLLOWER: an incarnation of the follower fetches that has been replaced.
    pub fn record_follower_fetch(
        &mut self,
        cx: &mut BrokerCx<'_>,
        shared: &Shared,
        fetch: FollowerFetch,
    ) -> Result<bool, ErrorCode> {
        let (partition, leader_epoch) = (self.id, self.leader_epoch);
        let now = cx.now();
        let leader = self.leader_state_mut().ok_or(ErrorCode::NotLeaderOrFollower)?;
        let state = leader.follower(fetch.follower).ok_or(ErrorCode::UnknownLeaderEpoch)?;
        if shared.has(ProtocolRule::IsrExpandChecksBrokerEpoch) {
            let registered = shared.image.broker(fetch.follower);
            if registered.is_some_and(|known| known.broker_epoch > Some(fetch.broker_epoch)) {
                return Err(ErrorCode::NotLeaderOrFollower);
            }
        }
        let before = state.log_end_offset;
        let previous_counts = shared.has(ProtocolRule::CaughtUpAtPreviousFetch);
        let FollowerFetch { offset, leader_end, broker_epoch, .. } = fetch;
        state.record_fetch(offset, now, leader_end, broker_epoch, previous_counts);
        let changed = before != Some(fetch.offset);
        if changed {
            cx.trace(|| TraceEvent::FollowerFetched {
                partition,
                follower: fetch.follower,
                leader_epoch,
                log_end_offset: fetch.offset,
            });
        }
        Ok(changed)
    }

    /// A follower that is in sync and has the whole log has gone on fetching, for the last time at
    /// `last`, and nothing was new on either side.
    pub fn record_quiet_fetches(&mut self, follower: BrokerId, last: SimTime) {
        let leader = self.leader_state_mut();
        if let Some(state) = leader.and_then(|leader| leader.follower(follower)) {
            state.record_quiet_fetches(last);
        }
    }

    /// Whether a fetch of `follower` from the log end, in the current epoch, would teach the leader
    /// nothing but that it has fetched.
    pub fn learns_nothing_from(&self, follower: BrokerId) -> bool {
        let log_end = Some(self.log.end_offset());
        self.leader_state().is_some_and(|leader| {
            let mut followers = leader.followers.iter();
            let state = followers.find(|state| state.broker == follower);
            leader.isr.contains(&follower)
                && state.is_some_and(|state| {
                    state.log_end_offset == log_end && state.leader_end_at_last_fetch == log_end
                })
        })
    }

    /// Advances the leader's high watermark as far as the followers allow. Returns whether it
    /// moved.
    pub fn maybe_increment_high_watermark(
        &mut self,
        cx: &mut BrokerCx<'_>,
        shared: &Shared,
    ) -> bool {
        let Some(leader) = self.leader_state() else { return false };
        let (log_end, current) = (self.log.end_offset(), self.log.high_watermark());
        if log_end == current {
            return false;
        }
        let (rules, now) = (shared.config.rules, cx.now());
        let lag_max = shared.config.replica_lag_time_max;
        let maximal = leader.maximal_isr();
        let progress = |follower: &FollowerState| {
            let in_isr = leader.isr.contains(&follower.broker);
            let about_to_join = !in_isr
                && follower.is_caught_up(log_end, now, lag_max)
                && shared.image.may_join_isr(rules, follower.broker, follower.broker_epoch);
            Progress {
                log_end_offset: follower.log_end_offset,
                in_isr,
                in_maximal_isr: maximal.contains(&follower.broker),
                about_to_join,
            }
        };
        let frozen = leader.isr.len() < self.effective_min_isr(shared);
        let followers = leader.followers.iter().map(progress);
        match next_high_watermark(rules, current, log_end, frozen, followers) {
            Some(next) => self.set_high_watermark(cx, next),
            None => false,
        }
    }

    /// Sets the high watermark within the log's bounds, and says so. Returns whether it moved.
    pub fn set_high_watermark(&mut self, cx: &mut BrokerCx<'_>, to: Offset) -> bool {
        let before = self.log.high_watermark();
        let after = self.log.set_high_watermark(to);
        self.state_high_watermark(cx, before, after);
        after != before
    }

    /// States that the high watermark went from `before` to `after`.
    pub fn state_high_watermark(&self, cx: &mut BrokerCx<'_>, before: Offset, after: Offset) {
        let (partition, leader_epoch) = (self.id, self.leader_epoch);
        let (high_watermark, leader) = (after, self.is_leader());
        if after > before {
            cx.trace(|| TraceEvent::HighWatermarkAdvanced {
                partition,
                leader_epoch,
                high_watermark,
                leader,
            });
        } else if after < before {
            cx.trace(|| TraceEvent::HighWatermarkLowered { partition, high_watermark });
        }
    }
}
