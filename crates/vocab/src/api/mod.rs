//! One struct per Kafka API that the simulation speaks. Requests and responses travel as values; their size on the wire is
//! estimated for bandwidth and service time.

mod controller;
mod data;
mod group;
mod quorum;
mod transaction;
mod zookeeper;
mod zookeeper_mode;

pub use controller::*;
pub use data::*;
pub use group::*;
pub use quorum::*;
pub use transaction::*;
pub use zookeeper::*;
pub use zookeeper_mode::*;

use crate::error::ErrorCode;
use crate::ids::{BrokerId, ControllerId, CorrelationId, LeaderEpoch, NodeId};
use serde::{Deserialize, Serialize};

macro_rules! apis {
    ($($name:ident($request:ty, $response:ty);)*) => {
        /// Which API a request or response belongs to.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum ApiKey { $(
            #[doc = concat!("[`", stringify!($request), "`].")]
            $name,
        )* }

        impl ApiKey {
            /// Every API, in the order of declaration.
            pub const ALL: &'static [ApiKey] = &[$(ApiKey::$name,)*];

            /// Kafka's name of the API.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(ApiKey::$name => stringify!($name),)* }
            }
        }

        /// A request of any API.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Request { $(
            #[doc = concat!("See [`", stringify!($request), "`].")]
            $name($request),
        )* }

        /// A response of any API.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Response { $(
            #[doc = concat!("See [`", stringify!($response), "`].")]
            $name($response),
        )* }

        impl Request {
            /// The API it belongs to.
            #[must_use]
            pub const fn api(&self) -> ApiKey {
                match self { $(Request::$name(_) => ApiKey::$name,)* }
            }
        }

        impl Response {
            /// The API it belongs to.
            #[must_use]
            pub const fn api(&self) -> ApiKey {
                match self { $(Response::$name(_) => ApiKey::$name,)* }
            }
        }
    };
}

apis! {
    Produce(ProduceRequest, ProduceResponse);
    Fetch(FetchRequest, FetchResponse);
    ListOffsets(ListOffsetsRequest, ListOffsetsResponse);
    Metadata(MetadataRequest, MetadataResponse);
    OffsetsForLeaderEpoch(OffsetsForLeaderEpochRequest, OffsetsForLeaderEpochResponse);
    InitProducerId(InitProducerIdRequest, InitProducerIdResponse);
    FindCoordinator(FindCoordinatorRequest, FindCoordinatorResponse);
    JoinGroup(JoinGroupRequest, JoinGroupResponse);
    SyncGroup(SyncGroupRequest, SyncGroupResponse);
    Heartbeat(HeartbeatRequest, HeartbeatResponse);
    LeaveGroup(LeaveGroupRequest, LeaveGroupResponse);
    OffsetCommit(OffsetCommitRequest, OffsetCommitResponse);
    OffsetFetch(OffsetFetchRequest, OffsetFetchResponse);
    ConsumerGroupHeartbeat(ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse);
    AddPartitionsToTxn(AddPartitionsToTxnRequest, AddPartitionsToTxnResponse);
    AddOffsetsToTxn(AddOffsetsToTxnRequest, AddOffsetsToTxnResponse);
    TxnOffsetCommit(TxnOffsetCommitRequest, OffsetCommitResponse);
    EndTxn(EndTxnRequest, EndTxnResponse);
    WriteTxnMarkers(WriteTxnMarkersRequest, WriteTxnMarkersResponse);
    AllocateProducerIds(AllocateProducerIdsRequest, AllocateProducerIdsResponse);
    AlterPartition(AlterPartitionRequest, AlterPartitionResponse);
    BrokerRegistration(BrokerRegistrationRequest, BrokerRegistrationResponse);
    BrokerHeartbeat(BrokerHeartbeatRequest, BrokerHeartbeatResponse);
    Vote(VoteRequest, VoteResponse);
    BeginQuorumEpoch(BeginQuorumEpochRequest, BeginQuorumEpochResponse);
    EndQuorumEpoch(EndQuorumEpochRequest, EndQuorumEpochResponse);
    QuorumFetch(QuorumFetchRequest, QuorumFetchResponse);
    LeaderAndIsr(LeaderAndIsrRequest, LeaderAndIsrResponse);
    UpdateMetadata(UpdateMetadataRequest, ControlResponse);
    StopReplica(StopReplicaRequest, ControlResponse);
    ControlledShutdown(ControlledShutdownRequest, ControlledShutdownResponse);
    ZooKeeper(ZooKeeperRequest, ZooKeeperResponse);
    ZooKeeperPeer(ZooKeeperPeerMessage, ZooKeeperPeerNoResponse);
}

/// What travels on a connection, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Client to server.
    Request(CorrelationId, Box<Request>),
    /// Server to client, in the order of the requests.
    Response(CorrelationId, Box<Response>),
}

/// Bytes of a request or response header with the common fields (client id, topic names): an estimate.
const HEADER_BYTES: u32 = 60;
/// Bytes that one partition adds to a request or response besides its records: an estimate.
const PARTITION_BYTES: u32 = 40;

impl Frame {
    /// Estimated size on the wire in bytes.
    #[must_use]
    pub fn size(&self) -> u32 {
        let body = match self {
            Frame::Request(_, request) => request_bytes(request),
            Frame::Response(_, response) => response_bytes(response),
        };
        HEADER_BYTES + body
    }
}

fn request_bytes(request: &Request) -> u32 {
    match request {
        Request::Produce(produce) => {
            produce.partitions.iter().map(|entry| PARTITION_BYTES + entry.batch.size).sum()
        }
        Request::Fetch(fetch) => {
            let forgotten = match &fetch.session {
                FetchSessionUpdate::Full => 0,
                FetchSessionUpdate::Incremental { forgotten } => forgotten.len(),
            };
            60 + PARTITION_BYTES * fetch.partitions.len() as u32 + 8 * forgotten as u32
        }
        Request::ListOffsets(list) => PARTITION_BYTES * list.partitions.len() as u32,
        Request::OffsetsForLeaderEpoch(epochs) => PARTITION_BYTES * epochs.partitions.len() as u32,
        Request::AlterPartition(alter) => PARTITION_BYTES * alter.partitions.len() as u32,
        Request::LeaderAndIsr(control) => PARTITION_BYTES * control.partitions.len() as u32,
        Request::UpdateMetadata(control) => {
            PARTITION_BYTES * (control.partitions.len() + control.live_brokers.len()) as u32
        }
        Request::StopReplica(control) => PARTITION_BYTES * control.partitions.len() as u32,
        Request::ZooKeeper(request) => request.size(),
        Request::ZooKeeperPeer(message) => message.size(),
        Request::JoinGroup(join) => {
            let each = |(_, said): &(_, std::sync::Arc<crate::group::Subscription>)| {
                PARTITION_BYTES + 8 * (said.topics.len() + said.owned.len()) as u32
            };
            PARTITION_BYTES + join.protocols.iter().map(each).sum::<u32>()
        }
        Request::SyncGroup(sync) => sync
            .assignments
            .iter()
            .map(|(_, assigned)| PARTITION_BYTES + 8 * assigned.len() as u32)
            .sum(),
        Request::OffsetCommit(commit) => PARTITION_BYTES * commit.offsets.len() as u32,
        Request::TxnOffsetCommit(commit) => PARTITION_BYTES * commit.offsets.len() as u32,
        Request::OffsetFetch(fetch) => PARTITION_BYTES * fetch.partitions.len() as u32,
        Request::AddPartitionsToTxn(add) => PARTITION_BYTES * add.partitions.len() as u32,
        Request::WriteTxnMarkers(write) => write
            .markers
            .iter()
            .map(|marker| PARTITION_BYTES * (1 + marker.partitions.len() as u32))
            .sum(),
        Request::Metadata(_)
        | Request::FindCoordinator(_)
        | Request::Heartbeat(_)
        | Request::LeaveGroup(_)
        | Request::ConsumerGroupHeartbeat(_)
        | Request::AddOffsetsToTxn(_)
        | Request::EndTxn(_)
        | Request::InitProducerId(_)
        | Request::AllocateProducerIds(_)
        | Request::BrokerRegistration(_)
        | Request::BrokerHeartbeat(_)
        | Request::Vote(_)
        | Request::BeginQuorumEpoch(_)
        | Request::EndQuorumEpoch(_)
        | Request::ControlledShutdown(_)
        | Request::QuorumFetch(_) => PARTITION_BYTES,
    }
}

fn response_bytes(response: &Response) -> u32 {
    match response {
        Response::Fetch(fetch) => fetch
            .partitions
            .iter()
            .map(|entry| {
                PARTITION_BYTES + entry.batches.iter().map(|batch| batch.size).sum::<u32>()
            })
            .sum(),
        Response::Produce(produce) => PARTITION_BYTES * produce.partitions.len() as u32,
        Response::ListOffsets(list) => PARTITION_BYTES * list.partitions.len() as u32,
        Response::Metadata(metadata) => {
            PARTITION_BYTES * (metadata.brokers.len() + metadata.partitions.len()) as u32
        }
        Response::OffsetsForLeaderEpoch(epochs) => PARTITION_BYTES * epochs.partitions.len() as u32,
        Response::AlterPartition(alter) => PARTITION_BYTES * alter.partitions.len() as u32,
        Response::LeaderAndIsr(control) => 8 * control.partitions.len() as u32,
        Response::ControlledShutdown(answer) => 8 * answer.remaining.len() as u32,
        Response::ZooKeeper(answer) => answer.size(),
        Response::QuorumFetch(fetch) => PARTITION_BYTES * (1 + fetch.entries.len() as u32),
        Response::JoinGroup(join) => PARTITION_BYTES * (1 + join.members.len() as u32),
        Response::SyncGroup(sync) => PARTITION_BYTES + 8 * sync.assignment.len() as u32,
        Response::OffsetCommit(commit) | Response::TxnOffsetCommit(commit) => {
            PARTITION_BYTES * commit.partitions.len() as u32
        }
        Response::OffsetFetch(fetch) => PARTITION_BYTES * fetch.partitions.len() as u32,
        Response::AddPartitionsToTxn(add) => PARTITION_BYTES * add.partitions.len() as u32,
        Response::WriteTxnMarkers(written) => PARTITION_BYTES * written.partitions.len() as u32,
        Response::FindCoordinator(_)
        | Response::Heartbeat(_)
        | Response::LeaveGroup(_)
        | Response::ConsumerGroupHeartbeat(_)
        | Response::AddOffsetsToTxn(_)
        | Response::EndTxn(_)
        | Response::InitProducerId(_)
        | Response::AllocateProducerIds(_)
        | Response::BrokerRegistration(_)
        | Response::BrokerHeartbeat(_)
        | Response::Vote(_)
        | Response::BeginQuorumEpoch(_)
        | Response::UpdateMetadata(_)
        | Response::StopReplica(_)
        | Response::EndQuorumEpoch(_) => PARTITION_BYTES,
        Response::ZooKeeperPeer(never) => match *never {},
    }
}

/// A listener to connect to: a process, and which of its servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Endpoint {
    /// The process.
    pub node: NodeId,
    /// The server in it.
    pub listener: Listener,
}

/// A server of a process. A combined node has both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Listener {
    /// The broker's listener, for clients and other brokers.
    Broker,
    /// The controller's listener, for brokers and other voters.
    Controller,
    /// A ZooKeeper server's port for clients.
    ZooKeeper,
    /// Its port for the other servers of its ensemble.
    ZooKeeperPeer,
}

/// The leader that a broker names in an error (KIP-951) or in a fetch response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CurrentLeader {
    /// Its id.
    pub leader: BrokerId,
    /// Its epoch.
    pub leader_epoch: LeaderEpoch,
}

/// Who leads the metadata quorum, as far as the answering node knows: sent with NOT_CONTROLLER and in quorum responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct KnownController {
    /// The leader, if known.
    pub leader: Option<ControllerId>,
    /// The quorum epoch in which the answering node is.
    pub epoch: crate::ids::ControllerEpoch,
}

/// How a produce or fetch may be answered for a partition: shorthand used by several APIs.
pub type PartitionError = ErrorCode;
