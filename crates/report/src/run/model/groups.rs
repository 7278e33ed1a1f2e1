//! Consumer applications over time.

use serde::Serialize;

use super::{BucketSeries, Gapless, Listed, Series, SharingPanel};

/// A consumer application over time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GroupPanel {
    /// Its name.
    pub application: String,
    /// Its `group.id`.
    pub group_id: String,
    /// Its instances, in the order of [`OwnerSpan::members`].
    pub members: Vec<String>,
    /// What a person looks at first when a group is slow, in words: rebalances, commits,
    /// standstills, the largest lag.
    pub behaviour: String,
    /// Records behind, over all partitions: high watermark less committed offset (less position
    /// where it never commits).
    pub lag: Series,
    /// The same by partition.
    pub lag_by_partition: Listed<Series>,
    /// Who owns each partition: by its own account, as long as the coordinator has not removed it.
    pub owners: Listed<OwnerRow>,
    /// Rebalances of its group.
    pub rebalances: Listed<RebalanceRow>,
    /// Commits that the coordinator accepted in each interval of the [`Axis`](super::Axis).
    pub commits_accepted: BucketSeries,
    /// Commits that it refused, or that failed for the consumer.
    pub commits_refused: BucketSeries,
    /// How many were refused, by error code, or the consumer's exception where there was none.
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
    pub spans: Gapless<OwnerSpan>,
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
