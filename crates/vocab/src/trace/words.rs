//! What facts say with one word: reasons, states, outcomes.

use crate::api::LeaveReason;
use crate::error::ErrorCode;
use crate::ids::Offset;
use serde::{Deserialize, Serialize};

/// Why a log was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TruncationReason {
    /// The leader's epochs showed where the logs part (KIP-101, KIP-279, KIP-595).
    LeaderEpoch,
    /// To the follower's own high watermark: the rule before 0.11, or no epochs to compare.
    HighWatermark,
    /// The leader's log ends before the follower's (OFFSET_OUT_OF_RANGE).
    LeaderLogEnd,
    /// The leader's log starts after the follower's end: everything was dropped.
    LeaderLogStart,
}

/// Why the controller changed a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PartitionChangeReason {
    /// The partition was created.
    Created,
    /// A broker was fenced for silence.
    BrokerFenced,
    /// A broker registered a new life; its old memberships ended.
    BrokerRegistered,
    /// A broker may serve again.
    BrokerUnfenced,
    /// A broker shuts down in an orderly way.
    ControlledShutdown,
    /// The leader proposed another ISR.
    AlterPartition,
    /// The preferred replica was made leader.
    PreferredElection,
    /// A leader was needed and no in-sync replica was alive.
    UncleanElection,
}

/// How a connection ended, as one side learned it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum CloseReason {
    /// Nobody listens there.
    Refused,
    /// The other side closed it.
    ClosedByPeer,
    /// It was reset: the peer's process died, or its host has forgotten the connection.
    Reset,
}

/// Why a client gives up a request and its connection, or sends again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RetryReason {
    /// The broker answered with a retriable error.
    Error(ErrorCode),
    /// The connection was lost with the request in flight.
    Disconnected,
    /// The request was not answered within the client's timeout.
    RequestTimeout,
}

/// State of a classic group at its coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum GroupState {
    /// No members; there may be offsets.
    Empty,
    /// Members are joining.
    PreparingRebalance,
    /// Everybody has joined; the leader's assignment is awaited.
    CompletingRebalance,
    /// Everybody has an assignment.
    Stable,
    /// Gone.
    Dead,
    /// KIP-848: the target assignment is older than the group.
    Assigning,
    /// KIP-848: members are on their way to their targets.
    Reconciling,
}

/// Why a group rebalances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RebalanceReason {
    /// A member that was not there before has joined.
    MemberJoined,
    /// A member has joined again with another subscription, or asked for a rebalance (cooperative: the second round).
    MemberRejoined,
    /// The leader has joined again: topics or partitions have changed.
    LeaderRejoined,
    /// A member has left by itself.
    MemberLeft(LeaveReason),
    /// A member was silent for its session timeout.
    SessionExpired,
    /// A member had not joined, or not asked for its assignment, within the rebalance timeout.
    RebalanceTimeout,
    /// A static member has come back as another process, with other protocols.
    StaticMemberReplaced,
    /// The assignment could not be written.
    AssignmentNotStored,
    /// The subscribed topics have other partitions (KIP-848).
    MetadataChanged,
}

/// Why a group no longer has a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RemovalReason {
    /// It left by itself.
    Left(LeaveReason),
    /// It was silent for its session timeout.
    SessionExpired,
    /// It had not joined again within the rebalance timeout, or (KIP-848) not given up a partition.
    RebalanceTimeout,
    /// It had joined but not asked for its assignment within the rebalance timeout.
    SyncTimeout,
    /// Another process has its `group.instance.id`.
    Replaced,
    /// It had been given an id and did not come back with it.
    PendingExpired,
    /// It joined again after others had filled the group (`group.max.size`).
    GroupFull,
}

/// Where a consumer's position came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PositionSource {
    /// The group's committed offset, on assignment.
    Committed,
    /// `seek()` back to the group's committed offset, after an aborted transaction.
    SoughtToCommitted,
}

/// By whom and when a consumer commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum CommitTrigger {
    /// The auto-commit interval was over (librdkafka: in its background thread).
    AutoInterval,
    /// Auto-commit before partitions are given up.
    AutoRevocation,
    /// Auto-commit in `close()`.
    AutoClose,
    /// The application: `commitSync()`.
    Sync,
    /// The application: `commitAsync()`.
    Async,
    /// The application: `commitAsync()` from the callback of a failed one.
    AsyncRetry,
    /// The application: `commitSync()` when partitions are revoked.
    SyncRevocation,
    /// The application: `commitSync()` before `close()`.
    SyncClose,
    /// `sendOffsetsToTransaction()`.
    Transaction,
}

/// How a commit failed, as the application or the log sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum CommitFailure {
    /// `CommitFailedException`: the member is none any more. With the coordinator's error; `None` if it was found locally,
    /// without asking.
    CommitFailed(Option<ErrorCode>),
    /// `RebalanceInProgressException`: call `poll()`, then try again.
    RebalanceInProgress,
    /// `RetriableCommitFailedException`: the one attempt of an asynchronous commit failed.
    Retriable(ErrorCode),
    /// `TimeoutException`: `default.api.timeout.ms` is over.
    Timeout,
    /// `FencedInstanceIdException`: another process has the static member's id.
    FencedInstance,
    /// Any other error: `KafkaException`.
    Other(ErrorCode),
}

/// What an application does about an error that it cannot go on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ApplicationReaction {
    /// Its process ends.
    Stopped,
    /// It closes its consumer and subscribes anew.
    Resubscribed,
    /// It goes on.
    Ignored,
}

/// What became of a batch at the producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum SendOutcome {
    /// Reported as a success: the promise of `acks` was given. No offset with acks=0, nor for an old duplicate.
    Acked(Option<Offset>),
    /// Reported as an error.
    Failed(ErrorCode),
}

/// How a client of ZooKeeper stands (`KeeperState`; kazoo's `KazooState`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ZooKeeperState {
    /// It has a session and a connection (`SyncConnected`, kazoo's `CONNECTED`).
    Connected,
    /// It has lost the connection; the session may still live (`Disconnected`, kazoo's `SUSPENDED`).
    Disconnected,
    /// It has learned that its session has expired (`Expired`, kazoo's `LOST`).
    Expired,
}

/// How an attempt of a balanced consumer to take its share ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum BalanceOutcome {
    /// It holds the znodes of its share.
    Done,
    /// Another consumer still held one of them.
    Owned(crate::ids::TopicPartition),
    /// ZooKeeper did not answer, or refused.
    ZooKeeperFailed(crate::zookeeper::ZooKeeperError),
    /// A leader or the coordinator was missing.
    BrokerFailed(ErrorCode),
}

/// Exceptions of the clients of the ZooKeeper era.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ClientException {
    /// pykafka: a partition of its share has another owner. By itself harmless: it tries again.
    PartitionOwnedError,
    /// pykafka: `consume()` on a consumer that has stopped, because `start()` failed.
    ConsumerStoppedException,
    /// kazoo, through pykafka: the session has expired.
    SessionExpiredError,
    /// kazoo, through pykafka: the connection was lost during an operation.
    ConnectionLoss,
    /// kazoo, through pykafka: no session within 15 s.
    KazooTimeoutError,
    /// pykafka: no offsets, no coordinator, or nothing to commit with.
    KafkaException,
    /// The high-level consumer: no session within `zookeeper.connection.timeout.ms`.
    ZkTimeoutException,
    /// The high-level consumer: all attempts of a rebalance failed.
    ConsumerRebalanceFailedException,
    /// The Scala producer: a message could not be sent, all retries included.
    FailedToSendMessageException,
    /// The Scala producer: its queue was full.
    QueueFullException,
}

impl ClientException {
    /// Every exception, in the order of declaration.
    pub const ALL: &'static [ClientException] = &[
        ClientException::PartitionOwnedError,
        ClientException::ConsumerStoppedException,
        ClientException::SessionExpiredError,
        ClientException::ConnectionLoss,
        ClientException::ConsumerRebalanceFailedException,
        ClientException::FailedToSendMessageException,
        ClientException::QueueFullException,
    ];

    /// Its name in the library.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            ClientException::PartitionOwnedError => "PartitionOwnedError",
            ClientException::ConsumerStoppedException => "ConsumerStoppedException",
            ClientException::SessionExpiredError => "SessionExpiredError",
            ClientException::ConnectionLoss => "ConnectionLoss",
            ClientException::KazooTimeoutError => "KazooTimeoutError",
            ClientException::KafkaException => "KafkaException",
            ClientException::ZkTimeoutException => "ZkTimeoutException",
            ClientException::ConsumerRebalanceFailedException => "ConsumerRebalanceFailedException",
            ClientException::FailedToSendMessageException => "FailedToSendMessageException",
            ClientException::QueueFullException => "QueueFullException",
        }
    }
}
