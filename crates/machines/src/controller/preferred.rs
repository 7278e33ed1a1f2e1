//! Elections that nobody's death calls for: preferred leaders every
//! `leader.imbalance.check.interval.seconds`, unclean leaders every
//! `unclean.leader.election.interval.ms`, and both by order of an operator (`QuorumController`'s
//! `maybeBalancePartitionLeaders` and `maybeElectUncleanLeaders`,
//! `ReplicationControlManager.electLeaders`).
//!
//! The interval does not tick by itself: it begins when the first partition needs the election.

use super::election::Election;
use super::{Controller, ControllerCx, ControllerTimer};
use acklab_vocab::ids::TopicPartition;
use acklab_vocab::metadata_log::MetadataRecord;
use acklab_vocab::time::SimDuration;
use acklab_vocab::trace::PartitionChangeReason;

/// Elections in one event at most (`QuorumController.MAX_ELECTIONS_PER_IMBALANCE`); the rest follow
/// at once.
const MAX_ELECTIONS_PER_IMBALANCE: usize = 1_000;
/// What "at once" is.
const AGAIN: SimDuration = SimDuration::from_millis(10);

/// When the next elections of a kind are held (`ImbalanceSchedule`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Schedule {
    /// One interval after the need arises.
    #[default]
    Deferred,
    /// A timer is set.
    Scheduled,
    /// As soon as possible: the last time not everything could be done.
    Immediately,
}

impl Schedule {
    /// How long to wait from now, if a timer is to be set.
    fn take_delay(&mut self, needed: bool, interval: SimDuration) -> Option<SimDuration> {
        if !needed || *self == Schedule::Scheduled {
            return None;
        }
        let is_deferred = *self == Schedule::Deferred;
        *self = Schedule::Scheduled;
        Some(if is_deferred { interval } else { AGAIN })
    }

    fn done(&mut self, all: bool) {
        *self = if all { Schedule::Deferred } else { Schedule::Immediately };
    }
}

impl Controller {
    /// Sets the timers of elections that have become necessary.
    pub(super) fn schedule_elections(&mut self, cx: &mut ControllerCx<'_>) {
        let Some(active) = &mut self.active else { return };
        let config = &self.config;
        let imbalanced = config.auto_leader_rebalance && !self.cluster.imbalanced().is_empty();
        let interval = config.leader_imbalance_check_interval;
        if let Some(delay) = active.balance.take_delay(imbalanced, interval) {
            cx.set_timer_after(ControllerTimer::BalancePartitionLeaders, delay);
        }
        let leaderless = !self.cluster.leaderless().is_empty();
        let interval = config.unclean_election_interval;
        if let Some(delay) = active.unclean.take_delay(leaderless, interval) {
            cx.set_timer_after(ControllerTimer::ElectUncleanLeaders, delay);
        }
    }

    pub(super) fn balance_partition_leaders(&mut self, cx: &mut ControllerCx<'_>) {
        let imbalanced = self.cluster.imbalanced().iter().copied();
        let records = self.election_records(imbalanced, Election::Preferred);
        let Some(active) = &mut self.active else { return };
        active.balance.done(records.len() < MAX_ELECTIONS_PER_IMBALANCE);
        self.write(cx, records, PartitionChangeReason::PreferredElection, None);
    }

    pub(super) fn elect_unclean_leaders(&mut self, cx: &mut ControllerCx<'_>) {
        let leaderless = self.cluster.leaderless().iter().copied();
        let allowed = leaderless.filter(|id| self.allows_unclean_election(id.topic));
        let records = self.election_records(allowed, Election::Unclean);
        let Some(active) = &mut self.active else { return };
        active.unclean.done(records.len() < MAX_ELECTIONS_PER_IMBALANCE);
        self.write(cx, records, PartitionChangeReason::UncleanElection, None);
    }

    /// `ElectLeaders`: an order is carried out whatever the topic says of unclean elections.
    pub(super) fn elect_leaders(
        &mut self,
        cx: &mut ControllerCx<'_>,
        partitions: &[TopicPartition],
        unclean: bool,
    ) {
        let is_needed = |id: &TopicPartition| {
            self.cluster.partition(*id).is_some_and(|partition| {
                let leader = partition.state.leader;
                if unclean {
                    leader.is_none()
                } else {
                    leader != partition.state.replicas.first().copied()
                }
            })
        };
        let (election, reason) = if unclean {
            (Election::Unclean, PartitionChangeReason::UncleanElection)
        } else {
            (Election::Preferred, PartitionChangeReason::PreferredElection)
        };
        let mut wanted: Vec<_> = partitions.iter().copied().filter(is_needed).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let records = wanted.iter().filter_map(|id| self.election_record(*id, election)).collect();
        self.write(cx, records, reason, None);
    }

    fn election_records(
        &self,
        partitions: impl Iterator<Item = TopicPartition>,
        election: Election,
    ) -> Vec<MetadataRecord> {
        partitions
            .filter_map(|id| self.election_record(id, election))
            .take(MAX_ELECTIONS_PER_IMBALANCE)
            .collect()
    }

    fn election_record(&self, id: TopicPartition, election: Election) -> Option<MetadataRecord> {
        let partition = self.cluster.partition(id)?;
        let change = self.partition_change(partition, election);
        change.build(|broker| self.cluster.is_active(broker)).map(MetadataRecord::PartitionChange)
    }
}
