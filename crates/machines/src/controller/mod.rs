//! The KRaft controller: one voter of the metadata quorum, and the cluster's controller while it
//! leads (KIP-500, KIP-595, KIP-631).
//!
//! | module | models |
//! |---|---|
//! | `quorum` | Raft: elections, the metadata log (`KafkaRaftClient`) |
//! | `peers` | connections to the other voters (`RequestManager`, `KafkaNetworkChannel`) |
//! | `state` | the cluster, replayed from the log (every manager's `replay`) |
//! | `active` | decide, append, replay, answer when committed (`QuorumController`) |
//! | `cluster` | registration and heartbeats of brokers (`ClusterControlManager`) |
//! | `heartbeats` | who is alive (`BrokerHeartbeatManager`) |
//! | `replication` | topics, AlterPartition, leaders, ISRs (`ReplicationControlManager`) |
//! | `election` | the rules of one partition's election (`PartitionChangeBuilder`) |
//! | `preferred` | preferred and unclean elections by schedule or by order |
//! | `producer_ids` | blocks of producer ids (`ProducerIdControlManager`) |
//!
//! A decision makes records; the records are replayed into memory at once and answered when they
//! are committed. A controller that loses its leadership forgets what was not committed. Left out:
//! quotas, ACLs, dynamic configuration, reassignment and features, which no scenario can ask for;
//! and metadata snapshots, because a run's log is short.

mod active;
mod cluster;
pub mod election;
mod heartbeats;
mod peers;
mod preferred;
mod producer_ids;
mod quorum;
mod replication;
mod state;
mod timers;
mod view;

pub use state::BrokerRegistration;
pub use view::{BrokerView, ControllerView};

use crate::machine::{Cx, Input, Machine};
use acklab_vocab::api::{Endpoint, Request, Response};
use acklab_vocab::config::{ControllerConfig, TopicConfig};
use acklab_vocab::ids::{
    BrokerId, BrokerList, ConnectionId, ControllerId, CorrelationId, MetadataOffset, TopicId,
    TopicPartition,
};
use acklab_vocab::metadata_log::PartitionState;
use active::Active;
use quorum::Quorum;
use state::ClusterState;
use std::sync::Arc;

/// What a controller is told when it starts.
#[derive(Clone, Debug)]
pub struct ControllerSetup {
    /// Its `node.id`.
    pub id: ControllerId,
    /// Its properties.
    pub config: Arc<ControllerConfig>,
    /// Properties of every topic, by [`TopicId`].
    pub topics: Arc<[TopicConfig]>,
    /// `controller.quorum.voters`: every voter, itself included, ascending.
    pub voters: Vec<(ControllerId, Endpoint)>,
}

/// A controller's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ControllerTimer {
    /// A voter without a leader stands for election, or tries again.
    Election,
    /// A follower has not heard of its leader for `controller.quorum.fetch.timeout.ms`.
    FetchTimeout,
    /// A leader has not been fetched from by a majority for 1.5 fetch timeouts.
    CheckQuorum,
    /// A leader announces itself again.
    BeginQuorumEpoch,
    /// Records have waited for company long enough (`controller.quorum.append.linger.ms`).
    AppendLinger,
    /// A fetch of the metadata log has waited long enough.
    FetchPurgatory,
    /// A request to another voter is overdue.
    PeerRequestTimeout(ControllerId),
    /// Another voter may be sent to again.
    PeerReady(ControllerId),
    /// Write a no-op record (`metadata.max.idle.interval.ms`).
    WriteNoOpRecord,
    /// Look for brokers whose session has ended.
    FenceStaleBrokers,
    /// Move leaders back to their preferred replicas.
    BalancePartitionLeaders,
    /// Look for partitions without a leader that may have an unclean one.
    ElectUncleanLeaders,
}

/// What an operator may ask of the active controller. Any other controller ignores it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControllerCall {
    /// Creates a topic. Nothing happens if it exists, or if some partition has no replica on an
    /// unfenced broker.
    CreateTopic {
        /// Which.
        topic: TopicId,
        /// Replicas of each partition, the preferred one first.
        assignments: Vec<BrokerList>,
    },
    /// `kafka-topics.sh --alter --partitions`: adds those partitions that the topic does not have.
    /// Nothing happens if there is no such topic, or if some new partition has no replica on an
    /// unfenced broker.
    CreatePartitions {
        /// Which topic.
        topic: TopicId,
        /// Replicas of each partition, those that it has included.
        assignments: Vec<BrokerList>,
    },
    /// `kafka-leader-election.sh`: elects leaders for partitions, preferred ones, or with `unclean`
    /// any live ones for those that have no leader.
    ElectLeaders {
        /// Which partitions.
        partitions: Vec<TopicPartition>,
        /// Election type UNCLEAN instead of PREFERRED.
        unclean: bool,
    },
}

/// A controller tells no application anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoReport {}

/// The context of one event of a controller.
pub type ControllerCx<'a> = Cx<'a, ControllerTimer, NoReport>;

/// A controller.
#[derive(Clone, Debug)]
pub struct Controller {
    id: ControllerId,
    config: Arc<ControllerConfig>,
    topics: Arc<[TopicConfig]>,
    quorum: Quorum,
    /// The cluster after the entries below `applied`, and, while active, after every entry that it
    /// has decided.
    cluster: ClusterState,
    /// First offset that has not been committed and replayed here.
    applied: MetadataOffset,
    active: Option<Active>,
    /// End of the metadata log when the last event was over, for the view.
    log_end: MetadataOffset,
}

impl Controller {
    /// Starts a life with what the last one left on the disk.
    pub fn boot(cx: &mut ControllerCx<'_>, setup: ControllerSetup) -> Controller {
        let ControllerSetup { id, config, topics, voters } = setup;
        assert!(voters.iter().any(|(voter, _)| *voter == id), "a controller is a voter");
        let quorum = Quorum::boot(cx, id, config.clone(), &voters);
        let mut controller = Controller {
            id,
            config,
            topics,
            quorum,
            cluster: ClusterState::default(),
            applied: MetadataOffset(0),
            active: None,
            log_end: MetadataOffset(0),
        };
        controller.settle(cx);
        controller
    }

    /// Whether it leads the quorum and has committed something in its epoch.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.active.is_some()
    }

    /// Registered brokers that may serve, as this controller knows, ascending.
    pub fn unfenced_brokers(&self) -> impl Iterator<Item = BrokerId> {
        let unfenced = self.cluster.brokers().iter().filter(|(_, broker)| !broker.fenced);
        unfenced.map(|(&id, _)| id)
    }

    /// State of a partition, as this controller knows.
    #[must_use]
    pub fn partition(&self, partition: TopicPartition) -> Option<&PartitionState> {
        self.cluster.partition(partition).map(|partition| &partition.state)
    }

    /// Whether it is active, nothing that it decided is uncommitted, and every partition has a
    /// leader and a full ISR, that is, every replica whose broker is unfenced.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let committed = self.active.as_ref().is_some_and(Active::is_all_committed);
        committed && self.cluster.is_at_rest()
    }

    fn on_request(
        &mut self,
        cx: &mut ControllerCx<'_>,
        connection: ConnectionId,
        correlation: CorrelationId,
        request: Request,
    ) {
        let response = match request {
            Request::Vote(request) => Response::Vote(self.quorum.on_vote(cx, &request)),
            Request::BeginQuorumEpoch(request) => {
                Response::BeginQuorumEpoch(self.quorum.on_begin_quorum_epoch(cx, &request))
            }
            Request::EndQuorumEpoch(request) => {
                Response::EndQuorumEpoch(self.quorum.on_end_quorum_epoch(cx, &request))
            }
            Request::QuorumFetch(request) => {
                return self.quorum.on_fetch(cx, connection, correlation, request);
            }
            Request::BrokerRegistration(request) => {
                return self.on_registration(cx, (connection, correlation), &request);
            }
            Request::BrokerHeartbeat(request) => {
                return self.on_heartbeat(cx, (connection, correlation), &request);
            }
            Request::AlterPartition(request) => {
                return self.on_alter_partition(cx, (connection, correlation), &request);
            }
            Request::AllocateProducerIds(request) => {
                return self.on_allocate_producer_ids(cx, (connection, correlation), &request);
            }
            // Kafka closes a connection on which an API arrives that the listener does not serve.
            _ => return cx.close(connection),
        };
        cx.respond(connection, correlation, response);
    }

    fn on_timer(&mut self, cx: &mut ControllerCx<'_>, timer: ControllerTimer) {
        match timer {
            ControllerTimer::Election => self.quorum.on_election_timer(cx),
            ControllerTimer::FetchTimeout => self.quorum.on_fetch_timer(cx),
            ControllerTimer::CheckQuorum => self.quorum.on_check_quorum_timer(cx),
            ControllerTimer::BeginQuorumEpoch => self.quorum.on_begin_quorum_epoch_timer(cx),
            ControllerTimer::AppendLinger => self.drain(cx),
            ControllerTimer::FetchPurgatory => self.quorum.on_purgatory_timer(cx),
            ControllerTimer::PeerRequestTimeout(peer) => self.quorum.on_peer_timeout(cx, peer),
            // `settle` asks every peer anyway.
            ControllerTimer::PeerReady(_) => {}
            ControllerTimer::FenceStaleBrokers => self.fence_stale_broker(cx),
            ControllerTimer::BalancePartitionLeaders => self.balance_partition_leaders(cx),
            ControllerTimer::WriteNoOpRecord => self.write_no_op_record(cx),
            ControllerTimer::ElectUncleanLeaders => self.elect_unclean_leaders(cx),
        }
    }

    fn on_call(&mut self, cx: &mut ControllerCx<'_>, call: ControllerCall) {
        if !self.is_active() {
            return;
        }
        match call {
            ControllerCall::CreateTopic { topic, assignments } => {
                self.create_topic(cx, topic, &assignments);
            }
            ControllerCall::CreatePartitions { topic, assignments } => {
                self.create_partitions(cx, topic, &assignments);
            }
            ControllerCall::ElectLeaders { partitions, unclean } => {
                self.elect_leaders(cx, &partitions, unclean);
            }
        }
    }

    /// What follows from every event: leadership lost, entries committed, leadership gained, peers
    /// to be sent to.
    fn settle(&mut self, cx: &mut ControllerCx<'_>) {
        let led = self.active.as_ref().map(Active::epoch);
        let leads = if self.quorum.is_leader() { Some(self.quorum.epoch()) } else { None };
        if led.is_some() && led != leads {
            self.renounce(cx);
        }
        if self.applied < self.quorum.high_watermark() {
            self.commit(cx);
        }
        if self.active.is_none()
            && let Some(epoch) = self.quorum.established_epoch()
        {
            self.claim(cx, epoch);
        }
        self.quorum.poll(cx);
        self.log_end = cx.disk().metadata_log.end_offset();
    }
}

impl Machine for Controller {
    type Timer = ControllerTimer;
    type Call = ControllerCall;
    type Report = NoReport;

    fn handle(&mut self, cx: &mut ControllerCx<'_>, input: Input<ControllerTimer, ControllerCall>) {
        match input {
            Input::Connected(connection) => self.quorum.on_connected(cx, connection),
            Input::Request { connection, correlation, from: _, request } => {
                self.on_request(cx, connection, correlation, *request);
            }
            Input::Response { connection, correlation, response } => {
                self.quorum.on_response(cx, connection, correlation, *response);
            }
            Input::Closed(connection, _) => {
                self.quorum.on_closed(cx, connection);
                self.forget_connection(connection);
            }
            // Requests between controllers are small: they fit into any send buffer, and the next
            // is not sent before the last is answered.
            Input::WriteBlocked(_) | Input::WriteResumed(_) => {}
            Input::Timer(timer) => self.on_timer(cx, timer),
            Input::Flushed(flush) => self.quorum.on_flushed(cx, flush),
            Input::Call(call) => self.on_call(cx, call),
        }
        self.settle(cx);
    }
}

#[cfg(test)]
mod tests;
