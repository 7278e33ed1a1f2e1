//! The broker: one module per concept of Kafka. `dispatch` is the table of contents.
//!
//! Mirrors `BrokerServer` and `KafkaServer`, `KafkaApis` and `ReplicaManager`. How it belongs to a
//! cluster is its `membership`: in KRaft it reads the metadata log (`metadata_fetch`,
//! `metadata_image`); with ZooKeeper (`zookeeper`) it has a session there, and the controller
//! among the brokers tells it. What it does about a partition's new leader, ISR or epoch
//! (`replica_manager`) does not depend on where it learned it.
//!
//! Left out: quotas, security, several log directories, tiered storage, consumers that fetch from
//! followers, and reassignment of replicas. None of them changes where a record ends up, nor when,
//! in a cluster that does not use it.

mod alter_partition;
mod checkpoint;
mod controller_channel;
mod coordination;
mod dispatch;
mod fetch;
mod fetch_session;
mod fetch_states;
mod fetcher;
mod fetcher_manager;
mod group_coordinator;
mod heartbeats;
mod high_watermark;
mod inter_broker_channel;
mod interface;
mod isr;
mod lifecycle;
mod list_offsets;
pub mod log;
mod membership;
mod metadata_fetch;
mod metadata_image;
mod metadata_response;
mod partition;
mod produce;
mod produce_verification;
mod producer_ids;
mod purgatory;
mod replica_manager;
mod transaction_coordinator;
mod transaction_verification;
mod truncation;
mod txn_offset_commit;
mod view;
mod zookeeper;

pub use controller_channel::ChannelPurpose;
pub use coordination::{CoordinatorKind, partition_for};
pub use group_coordinator::{GroupMemberView, GroupSummary, GroupView};
pub use inter_broker_channel::InterBrokerPurpose;
pub use interface::{BrokerCall, BrokerMode, BrokerSetup, BrokerTimer, Coordination, NoReport};
pub use lifecycle::BrokerState;
pub use transaction_coordinator::{CoordinatedTransactionState, TransactionView};
pub use view::{BrokerView, FollowerView, PartitionView, RoleView, ZooKeeperModeView};
pub use zookeeper::ControllerTimer;

use crate::disk::{Disk, FlushId, FlushTarget};
use crate::machine::Cx;
use acklab_vocab::api::{Endpoint, Response};
use acklab_vocab::config::{BrokerConfig, TopicConfig};
use acklab_vocab::ids::{
    BrokerEpoch, BrokerId, ConnectionId, CorrelationId, LeaderEpoch, NodeId, Offset, TopicPartition,
};
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::time::SimDuration;
use alter_partition::AlterPartitionManager;
use controller_channel::ControllerChannels;
use coordination::Coordinators;
use fetch_session::FetchSessions;
use fetcher_manager::FetcherManager;
use group_coordinator::GroupCoordinator;
use inter_broker_channel::InterBrokerChannels;
use lifecycle::Lifecycle;
use membership::Membership;
use metadata_image::MetadataImage;
use produce::HeldProduces;
use produce_verification::VerifyingProduces;
use producer_ids::ProducerIds;
use purgatory::ProducePurgatory;
use replica_manager::Replicas;
use std::sync::Arc;
use transaction_coordinator::TransactionCoordinator;
use transaction_verification::TransactionVerifier;
use txn_offset_commit::HeldOffsetCommits;

type BrokerCx<'a> = Cx<'a, BrokerTimer, NoReport>;

/// Whom to answer, and who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Requester {
    connection: ConnectionId,
    correlation: CorrelationId,
    /// The process that sent the request.
    from: NodeId,
}

impl Requester {
    fn answer(self, cx: &mut BrokerCx<'_>, response: Response) {
        cx.respond(self.connection, self.correlation, response);
    }
}

/// What every part of the broker may look at.
#[derive(Debug)]
struct Shared {
    id: BrokerId,
    config: Arc<BrokerConfig>,
    topics: Arc<[TopicConfig]>,
    /// The cluster as published to the replicas.
    image: MetadataImage,
    /// Its epoch, once it is registered.
    broker_epoch: Option<BrokerEpoch>,
}

impl Shared {
    fn has(&self, rule: ProtocolRule) -> bool {
        self.config.rules.has(rule)
    }

    fn topic(&self, partition: TopicPartition) -> &TopicConfig {
        &self.topics[usize::from(partition.topic.0)]
    }
}

/// Who waits for what arrives on a connection that this broker opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    MetadataFetch,
    ControllerChannel(ChannelPurpose),
    Fetcher(u32),
    InterBrokerChannel(InterBrokerPurpose, BrokerId),
    /// The client of ZooKeeper.
    ZooKeeper,
    /// The controller of the ZooKeeper mode, in this broker: to tell a broker.
    ControlChannel(BrokerId),
    /// A broker in controlled shutdown, of the ZooKeeper mode.
    ControlledShutdown,
}

/// Who waits for a flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FlushWaiter {
    /// A produce request (`flush.messages`).
    Produce(u64),
    /// A fetcher (`flush.messages`).
    Fetcher(u32),
    /// The orderly end of the process.
    ShutDown,
}

/// The flushes that somebody waits for.
#[derive(Debug, Default)]
struct Flushes {
    last: u64,
    waiting: Vec<(FlushId, FlushWaiter)>,
}

impl Flushes {
    fn ask(&mut self, cx: &mut BrokerCx<'_>, target: FlushTarget, waiter: Option<FlushWaiter>) {
        self.last += 1;
        let id = FlushId(self.last);
        cx.flush(id, target);
        self.waiting.extend(waiter.map(|waiter| (id, waiter)));
    }

    fn done(&mut self, id: FlushId) -> Option<FlushWaiter> {
        let position = self.waiting.iter().position(|&(waiting, _)| waiting == id)?;
        Some(self.waiting.remove(position).1)
    }
}

/// A broker.
#[derive(Debug)]
pub struct Broker {
    shared: Shared,
    lifecycle: Lifecycle,
    membership: Membership,
    channels: ControllerChannels,
    alter_partition: AlterPartitionManager,
    replicas: Replicas,
    fetchers: FetcherManager,
    produce_purgatory: ProducePurgatory,
    held_produces: HeldProduces,
    verifying_produces: VerifyingProduces,
    fetch_sessions: FetchSessions,
    producer_ids: ProducerIds,
    flushes: Flushes,
    coordinators: Coordinators,
    group_coordinator: GroupCoordinator,
    transaction_coordinator: TransactionCoordinator,
    transaction_verifier: TransactionVerifier,
    held_offset_commits: HeldOffsetCommits,
    inter_broker: InterBrokerChannels,
    /// Connections that this broker opened, ascending.
    connections: Vec<(ConnectionId, Owner)>,
}

/// `producer.id.expiration.check.interval.ms`
const PRODUCER_ID_EXPIRATION_CHECK: SimDuration = SimDuration::from_secs(600);

impl Broker {
    /// Starts a life: opens the logs that are on the disk, and looks for the controller.
    pub fn boot(cx: &mut BrokerCx<'_>, setup: BrokerSetup) -> Broker {
        let previous_broker_epoch = cx.disk().clean_shutdown.take();
        let config = Arc::clone(&setup.config);
        let is_by_zookeeper = matches!(setup.mode, BrokerMode::ZooKeeper { .. });
        let mut broker = Broker {
            shared: Shared {
                id: setup.id,
                config: setup.config,
                topics: setup.topics,
                image: MetadataImage::default(),
                broker_epoch: None,
            },
            lifecycle: Lifecycle::new(setup.incarnation),
            membership: Membership::new(cx, &config, setup.mode, previous_broker_epoch),
            channels: ControllerChannels::default(),
            alter_partition: AlterPartitionManager::default(),
            replicas: Replicas::default(),
            fetchers: FetcherManager::default(),
            produce_purgatory: ProducePurgatory::default(),
            held_produces: HeldProduces::default(),
            verifying_produces: VerifyingProduces::default(),
            fetch_sessions: FetchSessions::default(),
            producer_ids: ProducerIds::default(),
            flushes: Flushes::default(),
            coordinators: Coordinators::new(setup.coordination, is_by_zookeeper),
            group_coordinator: GroupCoordinator::default(),
            transaction_coordinator: TransactionCoordinator::default(),
            transaction_verifier: TransactionVerifier::default(),
            held_offset_commits: HeldOffsetCommits::default(),
            inter_broker: InterBrokerChannels::default(),
            connections: Vec::new(),
        };
        broker.recover_logs(cx, previous_broker_epoch.is_some());
        broker.start_periodic_tasks(cx);
        match &broker.membership {
            Membership::KRaft(_) => {
                broker.start_metadata_fetch(cx);
                broker.start_lifecycle(cx);
            }
            Membership::ZooKeeper(_) => broker.start_zookeeper(cx),
        }
        broker
    }

    /// Every partition that this broker leads, with its leader epoch, log end offset and high
    /// watermark.
    pub fn led_partitions(
        &self,
    ) -> impl Iterator<Item = (TopicPartition, LeaderEpoch, Offset, Offset)> + '_ {
        self.replicas.iter().filter(|partition| partition.is_leader()).map(|partition| {
            let log = &partition.log;
            (partition.id, partition.leader_epoch, log.end_offset(), log.high_watermark())
        })
    }

    /// Every transactional id that this broker coordinates.
    pub fn coordinated_transactions(
        &self,
    ) -> impl Iterator<Item = CoordinatedTransactionState> + '_ {
        self.transaction_coordinator.states()
    }

    /// The last stable offset of a partition that this broker leads.
    #[must_use]
    pub fn last_stable_offset(&self, partition: TopicPartition) -> Option<Offset> {
        let slot = self.led(partition, None).ok()?;
        Some(self.replicas[slot].log.last_stable_offset())
    }

    /// Everything it leads is fully replicated and committed, nothing waits for anything, and it
    /// serves.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let full = |partition: &partition::Partition| match partition.leader_state() {
            Some(leader) => {
                leader.isr.len() == partition.replicas.len()
                    && leader.pending.is_none()
                    && partition.log.high_watermark() == partition.log.end_offset()
            }
            None => true,
        };
        self.lifecycle.state() == BrokerState::Running
            && !self.shared.image.is_fenced(self.shared.id)
            && self.membership.is_settled()
            && self.alter_partition.is_idle()
            && self.produce_purgatory.is_empty()
            && self.held_produces.is_empty()
            && self.verifying_produces.is_empty()
            && self.coordinators.is_loaded()
            && self.group_coordinator.is_settled()
            && self.transaction_coordinator.is_idle()
            && self.held_offset_commits.is_empty()
            && self.replicas.iter().all(full)
    }

    /// Everything that `acklab replay` shows of it.
    #[must_use]
    pub fn view(&self, disk: &Disk) -> BrokerView {
        BrokerView::of(self, disk)
    }

    fn start_periodic_tasks(&mut self, cx: &mut BrokerCx<'_>) {
        let config = Arc::clone(&self.shared.config);
        cx.set_timer_after(BrokerTimer::IsrExpiration, config.replica_lag_time_max / 2);
        if let Membership::KRaft(_) = &self.membership {
            self.start_high_watermark_checkpoints(cx);
        }
        cx.set_timer_after(BrokerTimer::ProducerIdExpiration, PRODUCER_ID_EXPIRATION_CHECK);
        if let Some(interval) = self.flush_interval() {
            cx.set_timer_after(BrokerTimer::FlushDirtyLogs, interval);
        }
        self.start_transaction_tasks(cx);
        self.start_offsets_expiration(cx);
    }

    fn connect(&mut self, cx: &mut BrokerCx<'_>, to: Endpoint, owner: Owner) -> ConnectionId {
        let connection = cx.connect(to);
        self.connections.push((connection, owner));
        connection
    }

    fn close(&mut self, cx: &mut BrokerCx<'_>, connection: ConnectionId) {
        cx.close(connection);
        self.forget_connection(connection);
    }

    fn owner_of(&self, connection: ConnectionId) -> Option<Owner> {
        if self.membership.by_zookeeper().is_some_and(|own| own.owns(connection)) {
            return Some(Owner::ZooKeeper);
        }
        let at = self.connections.binary_search_by_key(&connection, |&(id, _)| id).ok()?;
        Some(self.connections[at].1)
    }

    fn forget_connection(&mut self, connection: ConnectionId) -> Option<Owner> {
        let at = self.connections.binary_search_by_key(&connection, |&(id, _)| id).ok()?;
        Some(self.connections.remove(at).1)
    }
}

#[cfg(test)]
mod tests;
