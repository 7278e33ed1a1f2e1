//! Consumer applications over time.

use serde::Serialize;

use super::{BucketSeries, Listed, Series, SharingPanel, Span};

/// A consumer application over time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GroupPanel {
    /// Its name.
    pub application: String,
    /// Its `group.id`.
    pub group_id: String,
    /// Its instances, in the order of [`OwnerSpan::members`].
    pub members: Vec<String>,
    /// Records behind, over all partitions: high watermark less committed offset (less position
    /// where it never commits).
    pub lag: Series,
    /// The same by partition.
    pub lag_by_partition: Listed<Series>,
    /// Who owns each partition: by its own account, as long as the coordinator has not removed it.
    pub owners: Listed<OwnerRow>,
    /// Positions and committed offsets by partition.
    pub progress: Listed<ProgressRow>,
    /// Rebalances of its group.
    pub rebalances: Listed<RebalanceRow>,
    /// Times during which a partition had no owner that could work on it, all partitions together.
    pub standstills: Listed<Span>,
    /// Commits that the coordinator accepted in each interval of the [`Axis`](super::Axis).
    pub commits_accepted: BucketSeries,
    /// Commits that it refused, or that failed for the consumer.
    pub commits_refused: Listed<RefusedCommit>,
    /// How many were refused, by error code.
    pub refused_by_error: Vec<(String, u64)>,
    /// How its consumers shared partitions out by ZooKeeper, if they did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sharing: Option<SharingPanel>,
}

/// Who owns a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OwnerRow {
    /// `orders-0`
    pub partition: String,
    /// Gapless.
    pub spans: Listed<OwnerSpan>,
}

/// Who owns a partition for a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OwnerSpan {
    /// From when on.
    pub from_us: u64,
    /// Until when.
    pub to_us: u64,
    /// Indices into [`GroupPanel::members`]; none, one, or by mishap several.
    pub members: Vec<usize>,
    /// The generation, or group epoch, that the group was in when the span began; `None` for an
    /// application that assigns itself its partitions.
    pub generation: Option<u64>,
}

/// Progress through a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProgressRow {
    /// `orders-0`
    pub partition: String,
    /// The highest high watermark that a leader has reached: how far consumers may read.
    pub end: Series,
    /// Where the consumer that acted last stands. Begins when there is one.
    pub position: Series,
    /// The group's committed offset. Begins when there is one.
    pub committed: Series,
}

/// A rebalance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RebalanceRow {
    /// When it began.
    pub from_us: u64,
    /// When every member had its assignment; `None` where another overtook it, or the run ended.
    pub to_us: Option<u64>,
    /// Why: `member_joined`.
    pub reason: String,
    /// On whose account.
    pub member: Option<String>,
    /// The generation that it led to.
    pub generation: Option<u64>,
    /// How many members that has.
    pub members: u64,
}

/// A commit that did not become the group's offset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RefusedCommit {
    /// When it was answered, or given up.
    pub at_us: u64,
    /// Who had sent it.
    pub member: String,
    /// The coordinator's answer, `ILLEGAL_GENERATION`; or the consumer's exception where it had
    /// none, `TimeoutException`.
    pub error: String,
}
