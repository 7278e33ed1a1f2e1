//! What a step in a record's life is, in one word.

use acklab_vocab::trace::{PartitionChangeReason, SendOutcome, TraceEvent};

/// What somebody did, or what happened to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Deed {
    /// A fault began or ended.
    Fault,
    /// The application handed the record to its producer.
    Created,
    /// The application, or the producer, gave it to the network.
    Sent,
    /// The producer will send it again.
    Retried,
    /// The application was told of a success.
    Acked,
    /// The application was told of an error.
    Failed,
    /// A leader appended it.
    Appended,
    /// A later record was appended before it.
    Overtaken,
    /// A follower copied it.
    Copied,
    /// A broker refused it.
    Refused,
    /// A broker took it for one that it had.
    Recognised,
    /// A broker answered.
    Answered,
    /// A copy is gone.
    Dropped,
    /// A leader learned that a follower has it.
    Learned,
    /// The leader's high watermark passed it.
    Committed,
    /// A follower's high watermark passed it.
    KnownCommitted,
    /// Its partition has another ISR.
    IsrChanged,
    /// Its partition has another leader, or none.
    Elected,
    /// A broker knows that it leads.
    Leads,
    /// A broker was fenced.
    Fenced,
    /// A process began.
    Started,
    /// A process was killed, lost power or ended.
    Stopped,
    /// A process stands still.
    Paused,
    /// A process goes on.
    Resumed,
    /// It was returned to a consumer's application, or to a reader.
    Read,
    /// An application processed it.
    Processed,
    /// A consumer has another position.
    Positioned,
    /// A consumer commits past it.
    CommitSent,
    /// A commit past it failed.
    CommitFailed,
    /// A group's committed offset is past it, or before it again.
    OffsetCommitted,
    /// A consumer has its partition.
    Owns,
    /// A consumer has its partition no more.
    GaveUp,
    /// A group rebalances.
    Rebalanced,
    /// A coordinator removes a member.
    Removed,
    /// A transaction began or ended.
    Transaction,
    /// Anything else.
    Other,
}

impl Deed {
    /// What a fact says of the record.
    #[must_use]
    pub fn of(event: &TraceEvent) -> Deed {
        match event {
            TraceEvent::FaultBegan { .. } | TraceEvent::FaultEnded { .. } => Deed::Fault,
            TraceEvent::RecordsCreated { .. } => Deed::Created,
            TraceEvent::RecordsResent { .. } | TraceEvent::BatchSent { .. } => Deed::Sent,
            TraceEvent::BatchRetried { .. } => Deed::Retried,
            TraceEvent::RecordsCompleted { outcome: SendOutcome::Acked(_), .. } => Deed::Acked,
            TraceEvent::RecordsCompleted { outcome: SendOutcome::Failed(_), .. } => Deed::Failed,
            TraceEvent::Appended { .. } => Deed::Appended,
            TraceEvent::Replicated { .. } => Deed::Copied,
            TraceEvent::AppendRefused { .. } => Deed::Refused,
            TraceEvent::Deduplicated { .. } => Deed::Recognised,
            TraceEvent::ProduceAnswered { .. } => Deed::Answered,
            TraceEvent::LogTruncated { .. } | TraceEvent::UnflushedTailLost { .. } => Deed::Dropped,
            TraceEvent::FollowerFetched { .. } => Deed::Learned,
            TraceEvent::HighWatermarkAdvanced { leader: true, .. } => Deed::Committed,
            TraceEvent::HighWatermarkAdvanced { leader: false, .. } => Deed::KnownCommitted,
            TraceEvent::PartitionChanged { reason, .. } => match reason {
                PartitionChangeReason::AlterPartition => Deed::IsrChanged,
                PartitionChangeReason::Created
                | PartitionChangeReason::BrokerFenced
                | PartitionChangeReason::BrokerRegistered
                | PartitionChangeReason::BrokerUnfenced
                | PartitionChangeReason::ControlledShutdown
                | PartitionChangeReason::PreferredElection
                | PartitionChangeReason::UncleanElection => Deed::Elected,
            },
            TraceEvent::BecameLeader { .. } => Deed::Leads,
            TraceEvent::BrokerFenced { .. } => Deed::Fenced,
            TraceEvent::ProcessStarted { .. } => Deed::Started,
            TraceEvent::ProcessKilled
            | TraceEvent::PowerLost
            | TraceEvent::ProcessExited { .. } => Deed::Stopped,
            TraceEvent::ProcessPaused => Deed::Paused,
            TraceEvent::ProcessResumed { .. } => Deed::Resumed,
            TraceEvent::RecordsRead { .. } => Deed::Read,
            TraceEvent::RecordsProcessed { .. } => Deed::Processed,
            _ => Deed::of_consumers(event),
        }
    }

    fn of_consumers(event: &TraceEvent) -> Deed {
        match event {
            TraceEvent::PositionFromCommitted { .. } | TraceEvent::PositionReset { .. } => {
                Deed::Positioned
            }
            TraceEvent::CommitSent { .. } => Deed::CommitSent,
            TraceEvent::CommitAnswered { .. } | TraceEvent::CommitCompleted { .. } => {
                Deed::CommitFailed
            }
            TraceEvent::OffsetsCommitted { .. } | TraceEvent::OffsetsRemoved { .. } => {
                Deed::OffsetCommitted
            }
            TraceEvent::PartitionsAssigned { .. } => Deed::Owns,
            TraceEvent::PartitionsRevoked { .. }
            | TraceEvent::LeftGroup { .. }
            | TraceEvent::MembershipLost { .. }
            | TraceEvent::HandedOverRecordsDropped { .. } => Deed::GaveUp,
            TraceEvent::RebalanceStarted { .. } => Deed::Rebalanced,
            TraceEvent::MemberRemoved { .. } => Deed::Removed,
            TraceEvent::TransactionBegun { .. } | TraceEvent::TransactionEnded { .. } => {
                Deed::Transaction
            }
            _ => Deed::Other,
        }
    }

    /// A word for the figure.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Deed::Fault => "fault",
            Deed::Created => "created",
            Deed::Sent => "sent",
            Deed::Retried => "to retry",
            Deed::Acked => "acked",
            Deed::Failed => "failed",
            Deed::Appended => "appended",
            Deed::Overtaken => "overtaken",
            Deed::Copied => "copied",
            Deed::Refused => "refused",
            Deed::Recognised => "recognised",
            Deed::Answered => "answers",
            Deed::Dropped => "copy gone",
            Deed::Learned => "learns",
            Deed::Committed | Deed::KnownCommitted => "watermark",
            Deed::IsrChanged => "ISR",
            Deed::Elected => "elects",
            Deed::Leads => "leads",
            Deed::Fenced => "fences",
            Deed::Started => "starts",
            Deed::Stopped => "stops",
            Deed::Paused => "paused",
            Deed::Resumed => "runs again",
            Deed::Read => "read",
            Deed::Processed => "processed",
            Deed::Positioned => "position",
            Deed::CommitSent => "commits",
            Deed::CommitFailed => "commit fails",
            Deed::OffsetCommitted => "committed",
            Deed::Owns => "owns",
            Deed::GaveUp => "gives up",
            Deed::Rebalanced => "rebalance",
            Deed::Removed => "removes",
            Deed::Transaction => "transaction",
            Deed::Other => "",
        }
    }

    /// How much a life would miss without it: the least goes first where a figure is full.
    #[must_use]
    pub const fn weight(self) -> u8 {
        match self {
            Deed::Other | Deed::Learned | Deed::KnownCommitted => 0,
            Deed::Committed | Deed::IsrChanged | Deed::Answered | Deed::CommitFailed => 1,
            Deed::Retried | Deed::Refused | Deed::Read | Deed::Rebalanced | Deed::Transaction => 2,
            Deed::Sent | Deed::Fault | Deed::Owns | Deed::Positioned | Deed::CommitSent => 3,
            Deed::Paused | Deed::Resumed | Deed::Started | Deed::Copied | Deed::Recognised => 4,
            Deed::Fenced | Deed::GaveUp | Deed::Removed | Deed::Leads => 5,
            Deed::Elected | Deed::OffsetCommitted | Deed::Processed | Deed::Stopped => 6,
            Deed::Created
            | Deed::Acked
            | Deed::Failed
            | Deed::Appended
            | Deed::Overtaken
            | Deed::Dropped => 7,
        }
    }
}
