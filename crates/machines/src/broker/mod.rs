//! The broker (KRaft): one module per concept of Kafka. [`Broker`]'s `handle` is the table of
//! contents.
//!
//! Mirrors `BrokerServer`, `KafkaApis` and `ReplicaManager`. What a broker knows about the cluster
//! it reads from the metadata log (`metadata_fetch`, `metadata_image`); what it does about a
//! partition's new leader, ISR or epoch (`replica_manager`) does not depend on where it learned
//! it.
//!
//! Left out: quotas, security, several log directories, tiered storage, consumers that fetch from
//! followers, and reassignment of replicas. None of them changes where a record ends up, nor when,
//! in a cluster that does not use it.

mod alter_partition;
mod checkpoint;
mod controller_channel;
mod coordination;
mod fetch;
mod fetch_session;
mod fetch_states;
mod fetcher;
mod fetcher_manager;
mod group_coordinator;
mod high_watermark;
mod inter_broker_channel;
mod isr;
mod lifecycle;
mod list_offsets;
pub mod log;
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

pub use controller_channel::ChannelPurpose;
pub use coordination::{CoordinatorKind, partition_for};
pub use group_coordinator::{GroupMemberView, GroupSummary, GroupView};
pub use inter_broker_channel::InterBrokerPurpose;
pub use lifecycle::BrokerState;
pub use transaction_coordinator::{CoordinatedTransactionState, TransactionView};
pub use view::{BrokerView, FollowerView, PartitionView, RoleView};

use crate::disk::{Disk, FlushId, FlushTarget};
use crate::machine::{Cx, Input, Machine};
use acklab_vocab::api::{Endpoint, Request, Response};
use acklab_vocab::config::{BrokerConfig, TopicConfig};
use acklab_vocab::ids::{
    BrokerEpoch, BrokerId, ConnectionId, ControllerId, CorrelationId, Incarnation, LeaderEpoch,
    NodeId, Offset, TopicId, TopicPartition,
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
use metadata_fetch::MetadataFetch;
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

/// What a broker is started with.
#[derive(Clone, Debug)]
pub struct BrokerSetup {
    /// `node.id`
    pub id: BrokerId,
    /// Its properties, and the rules of its version.
    pub config: Arc<BrokerConfig>,
    /// Properties of every topic, by [`TopicId`].
    pub topics: Arc<[TopicConfig]>,
    /// What it needs to know as a coordinator.
    pub coordination: Arc<Coordination>,
    /// `controller.quorum.voters`
    pub voters: Vec<(ControllerId, Endpoint)>,
    /// Which life of the process begins.
    pub incarnation: Incarnation,
}

/// The internal topics and the names that are hashed onto their partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coordination {
    /// `__consumer_offsets`, if there are groups.
    pub offsets_topic: Option<TopicId>,
    /// `__transaction_state`, if there are transactional ids.
    pub transactions_topic: Option<TopicId>,
    /// Every `group.id`, by [`GroupId`](acklab_vocab::ids::GroupId).
    pub group_ids: Vec<String>,
    /// Every `transactional.id`, by [`TransactionalId`](acklab_vocab::ids::TransactionalId).
    pub transactional_ids: Vec<String>,
}

/// The broker's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BrokerTimer {
    /// The next registration or heartbeat is due (`BrokerLifecycleManager.CommunicationEvent`).
    Communication,
    /// `initial.broker.registration.timeout.ms` is over.
    RegistrationTimeout,
    /// The controller has not let the broker go: controlled shutdown took 5 minutes.
    ControlledShutdownTimeout,
    /// The metadata fetch waits no longer for a connection or an answer, or tries again.
    MetadataFetch,
    /// A channel to the controller waits no longer for a connection or an answer, or tries again.
    ControllerChannel(ChannelPurpose),
    /// Refused ISR proposals are sent again.
    AlterPartitionRetry,
    /// Half of `replica.lag.time.max.ms` is over: look for lagging followers (`isr-expiration`).
    IsrExpiration,
    /// The earliest deadline among the parked produce requests, or earlier.
    ProducePurgatory,
    /// The earliest deadline among the parked fetches, or earlier.
    FetchPurgatory,
    /// A fetcher tries a delayed partition again, or waits no longer for its leader.
    Fetcher(u32),
    /// `replica.high.watermark.checkpoint.interval.ms` is over.
    HighWatermarkCheckpoint,
    /// The shortest `flush.ms` of all topics is over.
    FlushDirtyLogs,
    /// `producer.id.expiration.check.interval.ms` (10 minutes) is over.
    ProducerIdExpiration,
    /// A coordinator has read the first partition of its queue.
    CoordinatorLoad(CoordinatorKind),
    /// The earliest deadline among the coordinators' appends, or earlier.
    CoordinatorAppends,
    /// The earliest deadline of any group, or earlier: sessions, rebalances, lingering batches.
    GroupCoordinator,
    /// `offsets.retention.check.interval.ms` is over.
    OffsetsExpiration,
    /// A channel to another broker waits no longer for a connection or an answer, or tries again.
    InterBrokerChannel(InterBrokerPurpose, BrokerId),
    /// A refused verification of a transaction is tried again.
    VerificationRetry,
    /// A refused marker is sent again.
    MarkerRetry,
    /// Markers without a leader to go to, and ends that the log did not take, are tried again.
    MarkersWaiting,
    /// `transaction.abort.timed.out.transaction.cleanup.interval.ms` is over.
    AbortTimedOutTransactions,
    /// `transaction.remove.expired.transaction.cleanup.interval.ms` (1 hour) is over.
    TransactionalIdExpiration,
}

/// What the operator may ask of a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokerCall {
    /// SIGTERM: hand over leadership (`controlled.shutdown.enable`), then stop in an orderly way.
    ShutDown,
}

/// A server tells no application anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoReport {}

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
    metadata_fetch: MetadataFetch,
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
        let mut broker = Broker {
            shared: Shared {
                id: setup.id,
                config: setup.config,
                topics: setup.topics,
                image: MetadataImage::default(),
                broker_epoch: None,
            },
            lifecycle: Lifecycle::new(setup.incarnation, previous_broker_epoch),
            metadata_fetch: MetadataFetch::new(cx, setup.voters),
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
            coordinators: Coordinators::new(setup.coordination),
            group_coordinator: GroupCoordinator::default(),
            transaction_coordinator: TransactionCoordinator::default(),
            transaction_verifier: TransactionVerifier::default(),
            held_offset_commits: HeldOffsetCommits::default(),
            inter_broker: InterBrokerChannels::default(),
            connections: Vec::new(),
        };
        broker.recover_logs(cx, previous_broker_epoch.is_some());
        broker.start_periodic_tasks(cx);
        broker.start_metadata_fetch(cx);
        broker.start_lifecycle(cx);
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
            && self.metadata_fetch.is_caught_up()
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
        cx.set_timer_after(
            BrokerTimer::HighWatermarkCheckpoint,
            config.high_watermark_checkpoint_interval,
        );
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
        let at = self.connections.binary_search_by_key(&connection, |&(id, _)| id).ok()?;
        Some(self.connections[at].1)
    }

    fn forget_connection(&mut self, connection: ConnectionId) -> Option<Owner> {
        let at = self.connections.binary_search_by_key(&connection, |&(id, _)| id).ok()?;
        Some(self.connections.remove(at).1)
    }

    fn on_request(
        &mut self,
        cx: &mut BrokerCx<'_>,
        connection: ConnectionId,
        correlation: CorrelationId,
        from: NodeId,
        request: Request,
    ) {
        if !self.lifecycle.is_serving() {
            // The socket server accepts nobody before the broker is unfenced.
            cx.close(connection);
            return;
        }
        let requester = Requester { connection, correlation, from };
        match request {
            Request::Produce(produce) => self.on_produce(cx, connection, correlation, produce),
            Request::Fetch(fetch) => self.on_fetch(cx, connection, correlation, fetch),
            Request::ListOffsets(list) => self.on_list_offsets(cx, connection, correlation, &list),
            Request::Metadata(metadata) => {
                self.on_metadata(cx, connection, correlation, &metadata);
            }
            Request::OffsetsForLeaderEpoch(epochs) => {
                self.on_offsets_for_leader_epoch(cx, connection, correlation, &epochs);
            }
            Request::InitProducerId(init) => self.on_init_producer_id(cx, requester, init),
            Request::AddPartitionsToTxn(add) => self.on_add_partitions_to_txn(cx, requester, add),
            Request::AddOffsetsToTxn(add) => self.on_add_offsets_to_txn(cx, requester, add),
            Request::TxnOffsetCommit(commit) => self.on_txn_offset_commit(cx, requester, commit),
            Request::EndTxn(end) => self.on_end_txn(cx, requester, end),
            Request::WriteTxnMarkers(write) => self.on_write_txn_markers(cx, requester, &write),
            Request::FindCoordinator(find) => {
                self.on_find_coordinator(cx, connection, correlation, find);
            }
            Request::JoinGroup(_)
            | Request::SyncGroup(_)
            | Request::Heartbeat(_)
            | Request::LeaveGroup(_)
            | Request::OffsetCommit(_)
            | Request::OffsetFetch(_)
            | Request::ConsumerGroupHeartbeat(_) => {
                self.on_group_request(cx, requester, request);
            }
            // A controller's APIs: a broker's listener does not know them.
            _ => cx.close(connection),
        }
    }

    fn on_connected(&mut self, cx: &mut BrokerCx<'_>, connection: ConnectionId) {
        match self.owner_of(connection) {
            Some(Owner::MetadataFetch) => self.on_metadata_connected(cx, connection),
            Some(Owner::ControllerChannel(purpose)) => self.on_channel_connected(cx, purpose),
            Some(Owner::Fetcher(fetcher)) => self.on_fetcher_connected(cx, fetcher),
            Some(Owner::InterBrokerChannel(purpose, to)) => {
                self.on_inter_broker_connected(cx, purpose, to);
            }
            None => {}
        }
    }

    fn on_response(
        &mut self,
        cx: &mut BrokerCx<'_>,
        connection: ConnectionId,
        correlation: CorrelationId,
        response: Response,
    ) {
        match self.owner_of(connection) {
            Some(Owner::MetadataFetch) => {
                self.on_metadata_fetch_response(cx, connection, correlation, response);
            }
            Some(Owner::ControllerChannel(purpose)) => {
                self.on_channel_response(cx, purpose, correlation, response);
            }
            Some(Owner::Fetcher(fetcher)) => {
                self.on_fetcher_response(cx, fetcher, correlation, response);
            }
            Some(Owner::InterBrokerChannel(purpose, to)) => {
                self.on_inter_broker_response(cx, purpose, to, correlation, response);
            }
            None => {}
        }
    }

    fn on_closed(&mut self, cx: &mut BrokerCx<'_>, connection: ConnectionId) {
        match self.forget_connection(connection) {
            Some(Owner::MetadataFetch) => self.on_metadata_fetch_failed(cx),
            Some(Owner::ControllerChannel(purpose)) => self.on_channel_closed(cx, purpose),
            Some(Owner::Fetcher(fetcher)) => self.on_fetcher_failed(cx, fetcher),
            Some(Owner::InterBrokerChannel(purpose, to)) => {
                self.on_inter_broker_closed(cx, purpose, to);
            }
            None => self.forget_fetch_session(connection),
        }
    }

    fn on_timer(&mut self, cx: &mut BrokerCx<'_>, timer: BrokerTimer) {
        match timer {
            BrokerTimer::Communication => self.communicate(cx),
            BrokerTimer::RegistrationTimeout => self.on_registration_timeout(cx),
            BrokerTimer::ControlledShutdownTimeout => self.begin_shut_down(cx),
            BrokerTimer::MetadataFetch => self.on_metadata_fetch_timer(cx),
            BrokerTimer::ControllerChannel(purpose) => self.on_channel_timer(cx, purpose),
            BrokerTimer::AlterPartitionRetry => self.on_alter_partition_retry(cx),
            BrokerTimer::IsrExpiration => self.on_isr_expiration(cx),
            BrokerTimer::ProducePurgatory => self.expire_produces(cx),
            BrokerTimer::FetchPurgatory => self.expire_fetches(cx),
            BrokerTimer::Fetcher(fetcher) => self.on_fetcher_timer(cx, fetcher),
            BrokerTimer::HighWatermarkCheckpoint => self.on_high_watermark_checkpoint(cx),
            BrokerTimer::FlushDirtyLogs => self.on_flush_dirty_logs(cx),
            BrokerTimer::ProducerIdExpiration => self.on_producer_id_expiration(cx),
            BrokerTimer::CoordinatorLoad(kind) => self.on_coordinator_load(cx, kind),
            BrokerTimer::CoordinatorAppends => self.expire_coordinator_appends(cx),
            BrokerTimer::GroupCoordinator => self.on_group_timer(cx),
            BrokerTimer::OffsetsExpiration => self.on_offsets_expiration(cx),
            BrokerTimer::InterBrokerChannel(purpose, to) => {
                self.on_inter_broker_timer(cx, purpose, to);
            }
            BrokerTimer::VerificationRetry => self.on_verification_retry(cx),
            BrokerTimer::MarkerRetry => self.on_marker_retry(cx),
            BrokerTimer::MarkersWaiting => self.on_markers_waiting(cx),
            BrokerTimer::AbortTimedOutTransactions => self.on_abort_timed_out_transactions(cx),
            BrokerTimer::TransactionalIdExpiration => self.on_transactional_id_expiration(cx),
        }
    }

    fn on_flushed(&mut self, cx: &mut BrokerCx<'_>, flush: FlushId) {
        match self.flushes.done(flush) {
            Some(FlushWaiter::Produce(held)) => self.on_produce_flushed(cx, held),
            Some(FlushWaiter::Fetcher(fetcher)) => self.on_fetcher_flushed(cx, fetcher),
            Some(FlushWaiter::ShutDown) => self.on_shut_down_flushed(cx),
            None => {}
        }
    }
}

impl Machine for Broker {
    type Timer = BrokerTimer;
    type Call = BrokerCall;
    type Report = NoReport;

    /// The socket server opens once the broker has been unfenced (`BrokerServer.startup`).
    fn listens(&self) -> bool {
        self.lifecycle.is_serving()
    }

    fn handle(&mut self, cx: &mut BrokerCx<'_>, input: Input<BrokerTimer, BrokerCall>) {
        if self.lifecycle.state() == BrokerState::ShuttingDown {
            if let Input::Flushed(flush) = input {
                self.on_flushed(cx, flush);
            }
            return;
        }
        match input {
            Input::Request { connection, correlation, from, request } => {
                self.on_request(cx, connection, correlation, from, *request);
            }
            Input::Connected(connection) => self.on_connected(cx, connection),
            Input::Response { connection, correlation, response } => {
                self.on_response(cx, connection, correlation, *response);
            }
            Input::Closed(connection, _) => self.on_closed(cx, connection),
            Input::Timer(timer) => self.on_timer(cx, timer),
            Input::Flushed(flush) => self.on_flushed(cx, flush),
            Input::Call(BrokerCall::ShutDown) => self.begin_controlled_shut_down(cx),
            // At most one request is in flight on each of its connections: nothing queues behind a
            // full buffer.
            Input::WriteBlocked(_) | Input::WriteResumed(_) => {}
        }
    }
}

#[cfg(test)]
mod tests;
