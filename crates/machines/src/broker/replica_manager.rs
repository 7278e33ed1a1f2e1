//! The partitions of a broker, and what it does when the cluster's view of one changes.
//!
//! Mirrors `ReplicaManager.applyDelta` with `applyLocalLeadersDelta` and
//! `applyLocalFollowersDelta`, and `makeLeaders` and `makeFollowers`, which do the same for a
//! LeaderAndIsr request. [`Broker::apply_partition_states`] hardly knows where the states came
//! from. Left out: deleted topics and reassigned replicas.

use super::metadata_image::PartitionIndexMap;
use super::partition::{Partition, Role};
use super::{Broker, BrokerCx};
use crate::broker::log::Log;
use acklab_vocab::api::CurrentLeader;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{BrokerId, LeaderEpoch, TopicPartition};
use acklab_vocab::metadata_log::PartitionState;
use acklab_vocab::rules::{ProtocolRule, ProtocolRules};
use acklab_vocab::trace::TraceEvent;

/// Every partition that has a log on this broker.
#[derive(Debug, Default)]
pub(super) struct Replicas {
    partitions: Vec<Partition>,
    index: PartitionIndexMap,
    /// Those that may have changed since the fetch sessions noticed; each once.
    changed: Vec<usize>,
}

impl Replicas {
    /// Where `partition` is, whatever its role.
    pub fn slot(&self, partition: TopicPartition) -> Option<usize> {
        self.index.get(partition).map(|slot| slot as usize)
    }

    /// Every partition, in the order in which the broker came to it.
    pub fn iter(&self) -> impl Iterator<Item = &Partition> + '_ {
        self.partitions.iter()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.partitions.len()
    }

    /// A partition, to change what no fetch reads: what is known of its followers, who watches it.
    pub fn quietly(&mut self, slot: usize) -> &mut Partition {
        &mut self.partitions[slot]
    }

    /// The partition may have changed.
    pub fn note_change(&mut self, slot: usize) {
        let partition = &mut self.partitions[slot];
        if !std::mem::replace(&mut partition.change_noted, true) {
            self.changed.push(slot);
        }
    }

    /// A partition that may have changed and was not yet noticed.
    pub fn next_changed(&mut self) -> Option<usize> {
        let slot = self.changed.pop()?;
        self.partitions[slot].change_noted = false;
        Some(slot)
    }

    fn insert(&mut self, partition: Partition) -> usize {
        let slot = self.partitions.len();
        self.index.set(partition.id, slot as u32);
        self.partitions.push(partition);
        slot
    }
}

impl std::ops::Index<usize> for Replicas {
    type Output = Partition;

    fn index(&self, slot: usize) -> &Partition {
        &self.partitions[slot]
    }
}

/// Whoever may change a partition is taken to have changed it: no fetch overlooks it.
impl std::ops::IndexMut<usize> for Replicas {
    fn index_mut(&mut self, slot: usize) -> &mut Partition {
        self.note_change(slot);
        &mut self.partitions[slot]
    }
}

/// Whether a follower that followed `leader` in `epoch` begins its fetches anew, with truncation,
/// under `state`, whose epoch is new (`Partition.makeFollower`).
pub(super) fn begins_anew(
    rules: ProtocolRules,
    leader: Option<BrokerId>,
    epoch: LeaderEpoch,
    state: &PartitionState,
) -> bool {
    leader != state.leader
        || rules.has(ProtocolRule::TruncateOnEveryEpoch)
        || (rules.has(ProtocolRule::TruncateAfterMissedEpoch) && state.leader_epoch > epoch.next())
}

/// What a partition's new state makes of the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NewRole {
    Leader,
    Follower,
    /// It leads by the image, but has not yet registered: the controller is about to take the
    /// leadership away, and no client reaches it before.
    LeaderOfAnEarlierLife,
    NotAReplica,
}

impl Broker {
    /// Opens every log that is on the disk (`LogManager.loadLogs`).
    pub(super) fn recover_logs(&mut self, cx: &mut BrokerCx<'_>, clean: bool) {
        let found: Vec<TopicPartition> = cx.disk().logs().map(|(id, _)| id).collect();
        for partition in found {
            let slot = self.open_log(cx, partition);
            let log = &self.replicas[slot].log;
            let (log_end_offset, high_watermark) = (log.end_offset(), log.high_watermark());
            cx.trace(|| TraceEvent::LogRecovered {
                partition,
                log_end_offset,
                high_watermark,
                clean,
            });
        }
    }

    pub(super) fn open_log(&mut self, cx: &mut BrokerCx<'_>, partition: TopicPartition) -> usize {
        let now = cx.now();
        let (config, topic) = (&self.shared.config, self.shared.topic(partition));
        let expiration = config.producer_id_expiration;
        let log = Log::open(cx.disk(), partition, config.rules, topic, expiration, now);
        self.replicas.insert(Partition::new(partition, log))
    }

    /// The partition, if the broker has a role in it; else what to answer
    /// (`ReplicaManager.getPartitionOrError`).
    ///
    /// # Errors
    /// - NOT_LEADER_OR_FOLLOWER: others host it.
    /// - UNKNOWN_TOPIC_OR_PARTITION: nobody does, as far as this broker knows.
    pub(super) fn hosted(&self, partition: TopicPartition) -> Result<usize, ErrorCode> {
        match self.replicas.slot(partition) {
            Some(slot) if self.replicas[slot].is_hosted() => Ok(slot),
            _ if self.shared.image.partition(partition).is_some() => {
                Err(ErrorCode::NotLeaderOrFollower)
            }
            _ => Err(ErrorCode::UnknownTopicOrPartition),
        }
    }

    /// The partition, if the broker leads it in the epoch that a request knows.
    ///
    /// # Errors
    /// Those of [`Broker::hosted`], then those of [`Partition::check_leader`].
    pub(super) fn led(
        &self,
        partition: TopicPartition,
        epoch: Option<LeaderEpoch>,
    ) -> Result<usize, ErrorCode> {
        self.led_in(partition, epoch, ProtocolRule::FenceByLeaderEpoch)
    }

    /// As [`Broker::led`], for a request that is fenced by `fence`.
    ///
    /// # Errors
    /// Those of [`Broker::led`].
    pub(super) fn led_in(
        &self,
        partition: TopicPartition,
        epoch: Option<LeaderEpoch>,
        fence: ProtocolRule,
    ) -> Result<usize, ErrorCode> {
        let slot = self.hosted(partition)?;
        self.replicas[slot].check_leader(&self.shared, epoch, fence)?;
        Ok(slot)
    }

    /// The leader to name in an error (`KafkaApis.getCurrentLeader`, KIP-951).
    pub(super) fn current_leader(&self, partition: TopicPartition) -> Option<CurrentLeader> {
        let (leader, leader_epoch) = match self.hosted(partition) {
            Ok(slot) => (self.replicas[slot].leader, self.replicas[slot].leader_epoch),
            Err(_) => {
                let state = self.shared.image.partition(partition)?;
                (state.leader, state.leader_epoch)
            }
        };
        Some(CurrentLeader { leader: leader?, leader_epoch })
    }

    /// Partitions changed in the image: becomes their leader or follower. `changed` is ascending.
    pub(super) fn apply_image_changes(
        &mut self,
        cx: &mut BrokerCx<'_>,
        changed: &[TopicPartition],
    ) {
        let image = &self.shared.image;
        let states = changed.iter().filter_map(|&partition| image.partition(partition).cloned());
        let states = states.collect();
        self.apply_partition_states(cx, states);
    }

    /// Partitions changed: becomes their leader or follower. Those that it leads come first.
    pub(super) fn apply_partition_states(
        &mut self,
        cx: &mut BrokerCx<'_>,
        states: Vec<PartitionState>,
    ) {
        let mut following = Vec::new();
        for state in states {
            match self.new_role(&state) {
                NewRole::Leader => self.become_leader(cx, &state),
                NewRole::Follower => following.push(state),
                NewRole::LeaderOfAnEarlierLife | NewRole::NotAReplica => {}
            }
        }
        let mut to_fetch = Vec::new();
        for state in following {
            to_fetch.extend(self.become_follower(cx, &state));
        }
        self.start_fetching(cx, to_fetch);
        self.shut_down_idle_fetchers(cx);
    }

    fn new_role(&self, state: &PartitionState) -> NewRole {
        let own = self.shared.id;
        if state.leader == Some(own) {
            let registered = self.membership.is_by_zookeeper()
                || self.lifecycle.incarnation_in(&self.shared.image, own);
            if registered { NewRole::Leader } else { NewRole::LeaderOfAnEarlierLife }
        } else if state.replicas.contains(&own) {
            NewRole::Follower
        } else {
            NewRole::NotAReplica
        }
    }

    fn become_leader(&mut self, cx: &mut BrokerCx<'_>, state: &PartitionState) {
        let partition = state.partition;
        self.stop_fetching(partition);
        let slot = self.replicas.slot(partition).unwrap_or_else(|| self.open_log(cx, partition));
        let replica = &self.replicas[slot];
        let epoch_before = replica.is_hosted().then_some(replica.leader_epoch);
        let was_leader = replica.is_leader();
        self.fetch_sessions.activate(slot, &mut self.replicas);
        if self.replicas[slot].make_leader(cx, &self.shared, state) {
            self.complete_after_high_watermark(cx, slot);
        }
        let leader_epoch = self.replicas[slot].leader_epoch;
        // With ZooKeeper a coordinator is not told of another epoch of the same leader.
        let stays = was_leader && self.membership.is_by_zookeeper();
        if !stays && epoch_before.is_none_or(|before| leader_epoch > before) {
            self.coordinator_elected(cx, partition, leader_epoch);
        }
    }

    /// Returns whom to fetch from, if that is to begin anew.
    fn become_follower(
        &mut self,
        cx: &mut BrokerCx<'_>,
        state: &PartitionState,
    ) -> Option<StartFetching> {
        let partition = state.partition;
        let slot = self.replicas.slot(partition).unwrap_or_else(|| self.open_log(cx, partition));
        let replica = &self.replicas[slot];
        // Only a new leader epoch concerns a follower (`TopicDelta.localChanges`).
        if replica.is_hosted() && state.leader_epoch <= replica.leader_epoch {
            return None;
        }
        let leader_before = replica.leader.filter(|_| replica.is_hosted());
        let epoch_before = replica.leader_epoch;
        let was_leader = matches!(replica.role, Role::Leader(_));
        self.fetch_sessions.activate(slot, &mut self.replicas);
        if !self.replicas[slot].make_follower(cx, state) {
            return None;
        }
        if was_leader {
            self.complete_after_stepping_down(cx, slot);
            self.coordinator_resigned(cx, partition);
        }
        let rules = self.shared.config.rules;
        if !was_leader && !begins_anew(rules, leader_before, epoch_before, state) {
            self.keep_fetching(partition, state.leader_epoch);
            return None;
        }
        self.stop_fetching(partition);
        // With ZooKeeper, the controller says what to stop.
        let shutting_down = self.lifecycle.is_shutting_down() && !self.membership.is_by_zookeeper();
        let leader = state.leader?;
        if shutting_down && !state.isr.contains(&self.shared.id) {
            return None;
        }
        let is_new_leader = leader_before != Some(leader);
        Some(StartFetching { partition, slot, leader, is_new_leader })
    }
}

/// A partition whose fetches begin anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StartFetching {
    /// Which.
    pub partition: TopicPartition,
    /// Where it is among the replicas.
    pub slot: usize,
    /// Whom to fetch from.
    pub leader: BrokerId,
    /// The broker followed another one before, or led.
    pub is_new_leader: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use acklab_vocab::ids::{BrokerList, PartitionEpoch};
    use acklab_vocab::version::KafkaVersion;

    #[track_caller]
    fn check(version: (u8, u8, u8), leader: u16, epoch: u32, expected: bool) {
        let (major, minor, patch) = version;
        let rules = ProtocolRules::of(KafkaVersion::new(major, minor, patch));
        let state = PartitionState {
            partition: TopicPartition::new(0, 0),
            replicas: BrokerList::new(),
            isr: BrokerList::new(),
            eligible: BrokerList::new(),
            leader: Some(BrokerId(leader)),
            leader_epoch: LeaderEpoch(epoch),
            partition_epoch: PartitionEpoch(0),
            recovering: false,
        };
        let anew = begins_anew(rules, Some(BrokerId(2)), LeaderEpoch(5), &state);
        assert_eq!(anew, expected, "{version:?}: leader {leader} in epoch {epoch}");
    }

    #[test]
    fn whether_a_follower_of_the_same_leader_truncates_depends_on_the_version() {
        for version in [(0, 10, 2), (1, 1, 0), (2, 0, 0)] {
            check(version, 3, 6, true);
            check(version, 2, 6, false);
            check(version, 2, 7, false);
        }
        check((2, 0, 1), 2, 6, false);
        check((2, 0, 1), 2, 7, true);
        check((2, 1, 0), 2, 6, true);
        check((3, 9, 0), 2, 6, true);
    }
}
