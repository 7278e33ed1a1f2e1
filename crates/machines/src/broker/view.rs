//! What `acklab replay` shows of a broker.

use super::Broker;
use super::group_coordinator::GroupView;
use super::lifecycle::BrokerState;
use super::metadata_fetch::MetadataFetch;
use super::partition::{Partition, Role};
use super::transaction_coordinator::TransactionView;
use crate::disk::Disk;
use acklab_vocab::ids::{
    BrokerEpoch, BrokerId, BrokerList, ControllerEpoch, ControllerId, LeaderEpoch, MetadataOffset,
    Offset, PartitionEpoch, TopicPartition,
};
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::ZooKeeperState;
use acklab_vocab::zookeeper::SessionId;

/// A broker at an instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerView {
    /// Who.
    pub id: BrokerId,
    /// Where it is in its life.
    pub state: BrokerState,
    /// Its epoch, once registered.
    pub broker_epoch: Option<BrokerEpoch>,
    /// It knows itself fenced.
    pub fenced: bool,
    /// The active controller, as far as it knows.
    pub controller: Option<ControllerId>,
    /// Up to where it has applied the metadata log (exclusive).
    pub metadata_offset: MetadataOffset,
    /// What it has by ZooKeeper, in that mode.
    pub zookeeper: Option<ZooKeeperModeView>,
    /// Its partitions, ascending.
    pub partitions: Vec<PartitionView>,
    /// The groups that it coordinates, ascending.
    pub groups: Vec<GroupView>,
    /// The transactional ids that it coordinates, ascending.
    pub transactions: Vec<TransactionView>,
}

/// What a broker has by ZooKeeper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZooKeeperModeView {
    /// How its client stands.
    pub state: ZooKeeperState,
    /// Its session.
    pub session: Option<SessionId>,
    /// It is the controller, as far as it knows.
    pub is_controller: bool,
    /// The controller that it heard of last.
    pub controller: Option<BrokerId>,
    /// The newest epoch of a controller that it has heard of.
    pub controller_epoch: ControllerEpoch,
    /// Partitions whose lock is held while their ISR is being written to ZooKeeper.
    pub locked_partitions: usize,
    /// Requests that hold a thread and wait for such a lock.
    pub waiting_requests: usize,
    /// Requests that wait for a thread, because all of them are held.
    pub queued_requests: usize,
}

/// A partition on a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionView {
    /// Which.
    pub partition: TopicPartition,
    /// What the broker is to it.
    pub role: RoleView,
    /// The leader that it knows.
    pub leader: Option<BrokerId>,
    /// The leader epoch that it knows.
    pub leader_epoch: LeaderEpoch,
    /// The partition epoch that it knows.
    pub partition_epoch: PartitionEpoch,
    /// First offset.
    pub log_start_offset: Offset,
    /// Offset of the next record.
    pub log_end_offset: Offset,
    /// Offset after the last durable record.
    pub flushed_end_offset: Offset,
    /// First offset not known to be committed.
    pub high_watermark: Offset,
    /// First offset that an open transaction may still decide; the high watermark if there is none.
    pub last_stable_offset: Offset,
    /// How many produce requests wait for it.
    pub parked_produces: usize,
    /// How many fetches wait for it.
    pub parked_fetches: usize,
}

/// What a broker is to a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoleView {
    /// It has its log, and knows no more.
    Unassigned,
    /// A follower.
    Follower,
    /// The leader.
    Leader {
        /// Its log end when the epoch began.
        epoch_start: Offset,
        /// The committed ISR.
        isr: BrokerList,
        /// The proposed ISR.
        pending_isr: Option<BrokerList>,
        /// The followers.
        followers: Vec<FollowerView>,
    },
}

/// A follower as its leader knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowerView {
    /// Who.
    pub broker: BrokerId,
    /// Where it last fetched from; `None` until it has.
    pub log_end_offset: Option<Offset>,
    /// When it last had everything; `None` if never in this leadership.
    pub last_caught_up: Option<SimTime>,
}

impl BrokerView {
    pub(super) fn of(broker: &Broker, disk: &Disk) -> Self {
        let view = |partition| PartitionView::of(broker, partition, disk);
        let mut partitions: Vec<PartitionView> = broker.replicas.iter().map(view).collect();
        partitions.sort_unstable_by_key(|view| view.partition);
        let observer = broker.membership.observer();
        BrokerView {
            id: broker.shared.id,
            state: broker.lifecycle.state(),
            broker_epoch: broker.shared.broker_epoch,
            fenced: broker.shared.image.is_fenced(broker.shared.id),
            controller: observer.and_then(|own| own.controller()).map(|(controller, _)| controller),
            metadata_offset: observer.map_or(MetadataOffset(0), MetadataFetch::applied),
            zookeeper: broker.zookeeper_view(),
            partitions,
            groups: broker.group_views(),
            transactions: broker.transaction_coordinator.views(),
        }
    }
}

impl PartitionView {
    fn of(broker: &Broker, partition: &Partition, disk: &Disk) -> Self {
        let log = &partition.log;
        let watchers = partition.fetch_watchers.iter();
        let parked = watchers.filter(|w| broker.fetch_sessions.get(w.session).parked.is_some());
        PartitionView {
            partition: partition.id,
            role: RoleView::of(broker, partition),
            leader: partition.leader,
            leader_epoch: partition.leader_epoch,
            partition_epoch: partition.partition_epoch,
            log_start_offset: log.start_offset(),
            log_end_offset: log.end_offset(),
            flushed_end_offset: disk.log(log.id()).flushed_end_offset(),
            high_watermark: log.high_watermark(),
            last_stable_offset: log.last_stable_offset(),
            parked_produces: partition.parked_produces.len(),
            parked_fetches: parked.count(),
        }
    }
}

impl RoleView {
    fn of(broker: &Broker, partition: &Partition) -> Self {
        // What is quiet is written down late.
        let quiet_fetch = |follower: BrokerId| {
            let watchers = partition.fetch_watchers.iter();
            let fetches = watchers.filter_map(|watcher| {
                broker.fetch_sessions.get(watcher.session).last_quiet_fetch(watcher.index)
            });
            let own = fetches.filter(|(replica, _)| replica.broker == follower);
            own.map(|(_, at)| at).max()
        };
        match &partition.role {
            Role::Unassigned => RoleView::Unassigned,
            Role::Follower => RoleView::Follower,
            Role::Leader(leader) => RoleView::Leader {
                epoch_start: leader.epoch_start,
                isr: leader.isr.clone(),
                pending_isr: leader.pending.as_ref().map(|pending| pending.isr.clone()),
                followers: leader
                    .followers
                    .iter()
                    .map(|follower| FollowerView {
                        broker: follower.broker,
                        log_end_offset: follower.log_end_offset,
                        last_caught_up: Some(follower.last_caught_up)
                            .max(quiet_fetch(follower.broker))
                            .filter(|&at| at != super::high_watermark::NEVER_BEFORE),
                    })
                    .collect(),
            },
        }
    }
}
