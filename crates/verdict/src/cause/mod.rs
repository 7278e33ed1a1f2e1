//! Why a record met its fate, and whether a promise was broken.

mod list;
mod promise;

pub use list::Cause;
pub use promise::{GroupTerms, Promise, Terms};

use acklab_vocab::ids::{
    BrokerId, GroupIndex, LeaderEpoch, NodeId, Offset, RecordId, TopicPartition,
};
use acklab_vocab::time::SimTime;
use serde::Serialize;

/// What is wrong with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AnomalyKind {
    /// Acked, and no copy.
    Lost,
    /// Failed, yet stored.
    Phantom,
    /// Two copies or more.
    Duplicated,
    /// Its first copy stands behind a later record's of the same producer and partition.
    Reordered,
    /// One copy was processed again by the same consumer application.
    Reprocessed,
    /// A consumer application has gone past it without processing it.
    Skipped,
    /// A consumer application has processed it, and it is not in the log at rest.
    Ghost,
}

impl AnomalyKind {
    /// Every kind, in the order of declaration.
    pub const ALL: &'static [AnomalyKind] = &[
        AnomalyKind::Lost,
        AnomalyKind::Phantom,
        AnomalyKind::Duplicated,
        AnomalyKind::Reordered,
        AnomalyKind::Reprocessed,
        AnomalyKind::Skipped,
        AnomalyKind::Ghost,
    ];

    /// It is a consumer application that has it, not the log.
    #[must_use]
    pub const fn is_of_groups(self) -> bool {
        matches!(self, AnomalyKind::Reprocessed | AnomalyKind::Skipped | AnomalyKind::Ghost)
    }

    /// Its name, as in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            AnomalyKind::Lost => "lost",
            AnomalyKind::Phantom => "phantom",
            AnomalyKind::Duplicated => "duplicated",
            AnomalyKind::Reordered => "reordered",
            AnomalyKind::Reprocessed => "reprocessed",
            AnomalyKind::Skipped => "skipped",
            AnomalyKind::Ghost => "ghost",
        }
    }
}

/// One record, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anomaly {
    /// Which record.
    pub record: RecordId,
    /// What is wrong.
    pub kind: AnomalyKind,
    /// Which consumer application has it, if one has.
    pub group: Option<GroupIndex>,
    /// Why.
    pub cause: Cause,
    /// Whether Kafka had promised otherwise.
    pub promise: Promise,
    /// Where it went, if it got a partition.
    pub partition: Option<TopicPartition>,
    /// Offset of the copy in question: the one that was lost, the extra one, the one out of order.
    pub offset: Option<Offset>,
    /// Leader epoch of that copy.
    pub epoch: Option<LeaderEpoch>,
    /// The facts that support the cause.
    pub evidence: Evidence,
}

/// The facts that support a cause; each if there is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// When the copy in question was appended, and by whom.
    pub appended: Option<(SimTime, BrokerId)>,
    /// When the producer was told of the first success, or of the last error.
    pub completed: Option<SimTime>,
    /// When a leader without the record was elected, who, and for which epoch.
    pub elected: Option<(SimTime, BrokerId, LeaderEpoch)>,
    /// When a replica dropped its copy last, and which.
    pub removed: Option<(SimTime, BrokerId)>,
    /// When the producer gave up the request whose copy survived.
    pub given_up: Option<SimTime>,
    /// Where the copy stands that it is compared with: the first of a duplicate, a later record's.
    pub other_offset: Option<Offset>,
    /// What consumers did, if the anomaly is a consumer application's.
    pub group: GroupEvidence,
}

/// What consumers did with a record; each if it was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupEvidence {
    /// When it was first processed, and where.
    pub processed: Option<(SimTime, NodeId)>,
    /// When it was processed again, and where.
    pub again: Option<(SimTime, NodeId)>,
    /// When its consumer crashed, was removed, or gave the partition up without a commit.
    pub gone: Option<(SimTime, NodeId)>,
    /// When a position was put at or before it, or past it: of which process, and where.
    pub position: Option<(SimTime, NodeId, Offset)>,
    /// The commit that tells: the one that went past it, or the one that went back.
    pub committed: Option<(SimTime, Option<NodeId>, Offset)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_have_names_of_their_own() {
        let mut names: Vec<&str> = Cause::ALL.iter().map(|cause| cause.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Cause::ALL.len());
    }
}
