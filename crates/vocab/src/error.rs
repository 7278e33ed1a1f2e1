//! Kafka's error codes, one table (`org.apache.kafka.common.protocol.Errors`).

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! error_codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal, $retriable:literal, $metadata:literal;)*) => {
        /// Outcome that a broker or controller puts into a response, or that a client reports to its application.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum ErrorCode { $($(#[$doc])* $name,)* }

        impl ErrorCode {
            /// Every code, ascending.
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode::$name,)*];

            /// The number on the wire; negative for what only a client reports.
            #[must_use]
            pub const fn code(self) -> i16 {
                match self { $(ErrorCode::$name => $code,)* }
            }

            /// Kafka's own name, `NOT_LEADER_OR_FOLLOWER`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(ErrorCode::$name => $text,)* }
            }

            /// Whether Kafka's Java client may retry (subclass of `RetriableException`).
            #[must_use]
            pub const fn is_retriable(self) -> bool {
                match self { $(ErrorCode::$name => $retriable,)* }
            }

            /// Whether it makes a client refresh its metadata (subclass of `InvalidMetadataException`).
            #[must_use]
            pub const fn invalidates_metadata(self) -> bool {
                match self { $(ErrorCode::$name => $metadata,)* }
            }
        }
    };
}

error_codes! {
    /// Client-local: gave up waiting (`TimeoutException`): delivery.timeout.ms, max.block.ms. The outcome is open.
    Timeout = -100, "TIMEOUT", true, false;
    /// Client-local: the producer's transaction was aborted before the record was sent (`TransactionAbortedException`).
    TransactionAborted = -101, "TRANSACTION_ABORTED", false, false;
    /// Client-local: librdkafka's queue is full (`RD_KAFKA_RESP_ERR__QUEUE_FULL`): nothing was sent.
    QueueFull = -184, "QUEUE_FULL", true, false;
    /// Client-local: the connection was lost before the answer (`NetworkException`). The outcome is open.
    NetworkException = 13, "NETWORK_EXCEPTION", true, true;
    /// The server failed in a way that has no code of its own.
    UnknownServerError = -1, "UNKNOWN_SERVER_ERROR", false, false;
    /// Success.
    #[default]
    None = 0, "NONE", false, false;
    /// Fetch offset above the log end or below the log start.
    OffsetOutOfRange = 1, "OFFSET_OUT_OF_RANGE", false, false;
    /// A batch failed its checksum.
    CorruptMessage = 2, "CORRUPT_MESSAGE", true, false;
    /// The broker does not know the partition.
    UnknownTopicOrPartition = 3, "UNKNOWN_TOPIC_OR_PARTITION", true, true;
    /// The partition has no leader.
    LeaderNotAvailable = 5, "LEADER_NOT_AVAILABLE", true, true;
    /// The broker does not lead the partition.
    NotLeaderOrFollower = 6, "NOT_LEADER_OR_FOLLOWER", true, true;
    /// A produce request waited too long for its followers; its records stay in the log.
    RequestTimedOut = 7, "REQUEST_TIMED_OUT", true, false;
    /// A batch or request is larger than allowed.
    MessageTooLarge = 10, "MESSAGE_TOO_LARGE", false, false;
    /// The text that goes with an offset is too long.
    OffsetMetadataTooLarge = 12, "OFFSET_METADATA_TOO_LARGE", false, false;
    /// Request of a deposed controller (ZooKeeper mode).
    StaleControllerEpoch = 11, "STALE_CONTROLLER_EPOCH", false, false;
    /// The coordinator is reading its partition.
    CoordinatorLoadInProgress = 14, "COORDINATOR_LOAD_IN_PROGRESS", true, false;
    /// There is no coordinator now.
    CoordinatorNotAvailable = 15, "COORDINATOR_NOT_AVAILABLE", true, false;
    /// Another broker coordinates the group.
    NotCoordinator = 16, "NOT_COORDINATOR", true, false;
    /// A batch is larger than a segment of the log.
    RecordListTooLarge = 18, "RECORD_LIST_TOO_LARGE", false, false;
    /// acks=all and the ISR is smaller than min.insync.replicas: nothing was appended.
    NotEnoughReplicas = 19, "NOT_ENOUGH_REPLICAS", true, false;
    /// acks=all and the ISR shrank under min.insync.replicas after the append.
    NotEnoughReplicasAfterAppend = 20, "NOT_ENOUGH_REPLICAS_AFTER_APPEND", true, false;
    /// acks is none of 0, 1, -1.
    InvalidRequiredAcks = 21, "INVALID_REQUIRED_ACKS", false, false;
    /// Generation of the group does not match.
    IllegalGeneration = 22, "ILLEGAL_GENERATION", false, false;
    /// The members have no protocol in common.
    InconsistentGroupProtocol = 23, "INCONSISTENT_GROUP_PROTOCOL", false, false;
    /// The group id is empty.
    InvalidGroupId = 24, "INVALID_GROUP_ID", false, false;
    /// The group does not know the member.
    UnknownMemberId = 25, "UNKNOWN_MEMBER_ID", false, false;
    /// session.timeout.ms outside the broker's bounds.
    InvalidSessionTimeout = 26, "INVALID_SESSION_TIMEOUT", false, false;
    /// The group rebalances; join again.
    RebalanceInProgress = 27, "REBALANCE_IN_PROGRESS", false, false;
    /// The offsets do not fit into a batch.
    InvalidCommitOffsetSize = 28, "INVALID_COMMIT_OFFSET_SIZE", false, false;
    /// The broker does not serve the API, or not in this version.
    UnsupportedVersion = 35, "UNSUPPORTED_VERSION", false, false;
    /// The request contradicts itself.
    InvalidRequest = 42, "INVALID_REQUEST", false, false;
    /// Sent to a controller that is not active.
    NotController = 41, "NOT_CONTROLLER", true, false;
    /// A gap in a producer's sequence.
    OutOfOrderSequenceNumber = 45, "OUT_OF_ORDER_SEQUENCE_NUMBER", false, false;
    /// An old duplicate; the client treats it as success with offset -1.
    DuplicateSequenceNumber = 46, "DUPLICATE_SEQUENCE_NUMBER", false, false;
    /// An older producer epoch.
    InvalidProducerEpoch = 47, "INVALID_PRODUCER_EPOCH", false, false;
    /// The transaction is in another state than the request needs.
    InvalidTxnState = 48, "INVALID_TXN_STATE", false, false;
    /// The producer id does not belong to the transactional id.
    InvalidProducerIdMapping = 49, "INVALID_PRODUCER_ID_MAPPING", false, false;
    /// transaction.timeout.ms is above the broker's limit.
    InvalidTransactionTimeout = 50, "INVALID_TRANSACTION_TIMEOUT", false, false;
    /// The previous transaction is still completing.
    ConcurrentTransactions = 51, "CONCURRENT_TRANSACTIONS", true, false;
    /// A marker of a deposed transaction coordinator.
    TransactionCoordinatorFenced = 52, "TRANSACTION_COORDINATOR_FENCED", false, false;
    /// Another part of the request failed, so this part was not tried.
    OperationNotAttempted = 55, "OPERATION_NOT_ATTEMPTED", false, false;
    /// The log directory is offline.
    KafkaStorageError = 56, "KAFKA_STORAGE_ERROR", true, true;
    /// The broker has forgotten the producer id (before 2.5).
    UnknownProducerId = 59, "UNKNOWN_PRODUCER_ID", false, false;
    /// The group has members.
    NonEmptyGroup = 68, "NON_EMPTY_GROUP", false, false;
    /// There is no such group.
    GroupIdNotFound = 69, "GROUP_ID_NOT_FOUND", false, false;
    /// The request's leader epoch is older than the broker's.
    FencedLeaderEpoch = 74, "FENCED_LEADER_EPOCH", true, true;
    /// The request's leader epoch is newer than the broker's.
    UnknownLeaderEpoch = 75, "UNKNOWN_LEADER_EPOCH", true, false;
    /// Request of an earlier incarnation of a broker.
    StaleBrokerEpoch = 77, "STALE_BROKER_EPOCH", false, false;
    /// The high watermark has not reached the start of the leader's epoch.
    OffsetNotAvailable = 78, "OFFSET_NOT_AVAILABLE", true, false;
    /// First JoinGroup: join again with the id given.
    MemberIdRequired = 79, "MEMBER_ID_REQUIRED", false, false;
    /// The preferred leader is not available.
    PreferredLeaderNotAvailable = 80, "PREFERRED_LEADER_NOT_AVAILABLE", true, true;
    /// The group has as many members as `group.max.size` allows.
    GroupMaxSizeReached = 81, "GROUP_MAX_SIZE_REACHED", false, false;
    /// A newer process holds the static member id.
    FencedInstanceId = 82, "FENCED_INSTANCE_ID", false, false;
    /// The partition does not need an election.
    ElectionNotNeeded = 84, "ELECTION_NOT_NEEDED", true, true;
    /// An open transaction may still change the offset (KIP-447).
    UnstableOffsetCommit = 88, "UNSTABLE_OFFSET_COMMIT", true, false;
    /// A newer producer with the same transactional id.
    ProducerFenced = 90, "PRODUCER_FENCED", false, false;
    /// AlterPartition with an old partition epoch.
    InvalidUpdateVersion = 95, "INVALID_UPDATE_VERSION", false, false;
    /// The broker id is registered by a living incarnation.
    DuplicateBrokerRegistration = 101, "DUPLICATE_BROKER_REGISTRATION", false, false;
    /// The broker id is not registered.
    BrokerIdNotRegistered = 102, "BROKER_ID_NOT_REGISTERED", false, false;
    /// The coordinator does not know the transactional id.
    TransactionalIdNotFound = 105, "TRANSACTIONAL_ID_NOT_FOUND", false, false;
    /// A replica proposed for the ISR is fenced, shutting down or of another incarnation.
    IneligibleReplica = 107, "INELIGIBLE_REPLICA", false, false;
    /// AlterPartition made the sender lose leadership.
    NewLeaderElected = 108, "NEW_LEADER_ELECTED", false, false;
    /// A member of a KIP-848 group with an epoch that is not its own.
    FencedMemberEpoch = 110, "FENCED_MEMBER_EPOCH", false, false;
    /// A static member of a KIP-848 group is still held by another process.
    UnreleasedInstanceId = 111, "UNRELEASED_INSTANCE_ID", false, false;
    /// The coordinator does not have the assignor.
    UnsupportedAssignor = 112, "UNSUPPORTED_ASSIGNOR", false, false;
    /// A commit with an older epoch of a KIP-848 member.
    StaleMemberEpoch = 113, "STALE_MEMBER_EPOCH", false, false;
    /// The transaction must be aborted and begun again (KIP-890).
    TransactionAbortable = 120, "TRANSACTION_ABORTABLE", false, false;
}

impl ErrorCode {
    /// Whether this is success.
    #[must_use]
    pub const fn is_none(self) -> bool {
        matches!(self, ErrorCode::None)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
