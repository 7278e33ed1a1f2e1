//! APIs of the metadata quorum (KIP-595), spoken by voters, and by brokers as observers.

use super::KnownController;
use crate::error::ErrorCode;
use crate::ids::{ControllerEpoch, ControllerId, MetadataOffset, NodeId};
use crate::metadata_log::MetadataEntry;
use crate::time::SimDuration;
use std::sync::Arc;

/// Vote: a candidate (or prospective, with `pre_vote`, KIP-996) asks for a voter's vote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoteRequest {
    /// The epoch that the candidate has started.
    pub epoch: ControllerEpoch,
    /// The candidate.
    pub candidate: ControllerId,
    /// Epoch of the last entry in the candidate's log.
    pub last_epoch: ControllerEpoch,
    /// End of the candidate's log.
    pub last_epoch_end_offset: MetadataOffset,
    /// Only asks whether it would be granted (KIP-996).
    pub pre_vote: bool,
}

/// Answer to [`VoteRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoteResponse {
    /// The voter that answers.
    pub voter: ControllerId,
    /// The vote is the candidate's.
    pub granted: bool,
    /// The voter's epoch, and the leader it knows.
    pub controller: KnownController,
}

/// BeginQuorumEpoch: the winner tells the voters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BeginQuorumEpochRequest {
    /// The new epoch.
    pub epoch: ControllerEpoch,
    /// Its leader.
    pub leader: ControllerId,
}

/// Answer to [`BeginQuorumEpochRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BeginQuorumEpochResponse {
    /// The voter that answers.
    pub voter: ControllerId,
    /// Its epoch, and the leader it knows.
    pub controller: KnownController,
}

/// EndQuorumEpoch: a leader that resigns lets the others elect at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndQuorumEpochRequest {
    /// The epoch that ends.
    pub epoch: ControllerEpoch,
    /// Its leader.
    pub leader: ControllerId,
    /// The voters, the most caught up first.
    pub preferred_successors: Vec<ControllerId>,
}

/// Answer to [`EndQuorumEpochRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndQuorumEpochResponse {
    /// The voter's epoch, and the leader it knows.
    pub controller: KnownController,
}

/// Fetch on `__cluster_metadata` (KIP-595), by voters that follow and by brokers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumFetchRequest {
    /// The process that fetches.
    pub node: NodeId,
    /// Its id as a voter; `None` for a broker.
    pub voter: Option<ControllerId>,
    /// The quorum epoch it knows.
    pub epoch: ControllerEpoch,
    /// End of its log.
    pub fetch_offset: MetadataOffset,
    /// Epoch of its last entry.
    pub last_fetched_epoch: ControllerEpoch,
    /// How long the leader may wait for new entries.
    pub max_wait: SimDuration,
}

/// Answer to [`QuorumFetchRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumFetchResponse {
    /// `NONE`, NOT_LEADER_OR_FOLLOWER, FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH.
    pub error: ErrorCode,
    /// The answering voter's epoch, and the leader it knows.
    pub controller: KnownController,
    /// First offset not yet committed.
    pub high_watermark: MetadataOffset,
    /// Where the sender's log leaves the leader's: the epoch and its end; truncate, and fetch again.
    pub diverging: Option<(ControllerEpoch, MetadataOffset)>,
    /// Entries from the fetch offset.
    pub entries: Vec<Arc<MetadataEntry>>,
}
