//! What the judge says of one consumer application.

use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::TopicPartition;
use acklab_vocab::time::SimDuration;
use acklab_vocab::trace::RebalanceReason;
use serde::Serialize;
use std::collections::BTreeMap;

use super::lag::LagSeries;
use super::rebalances::Rebalance;
use super::standstill::Standstill;
use crate::exceptions::Exceptions;

/// How many records met which fate with one consumer application, and what its group did. Words of
/// design.md, section 4. Counts of events are of the time after time zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct GroupCounts {
    /// Stored records of which a copy was processed.
    pub processed: u64,
    /// Copies of records that were processed more than once.
    pub reprocessed: u64,
    /// Processings of the same copy beyond the first.
    pub extra_processings: u64,
    /// Records of which several copies were processed.
    pub processed_copies: u64,
    /// Stored records that were never processed although the application has gone past them.
    pub skipped: u64,
    /// Stored records that were not processed and still may be.
    pub pending: u64,
    /// Records that were processed and are not in the log at rest.
    pub ghost: u64,
    /// Processings undone with their transaction: they had no effect and count nowhere else.
    pub undone: u64,
    /// Processings of records whose own transaction was aborted, or is open.
    pub aborted_reads: u64,
    /// Rebalances of its group; of one balanced by ZooKeeper, those of each consumer.
    pub rebalances: u64,
    /// Members removed for silence, or that left because they had not called `poll()` in time; of a
    /// group balanced by ZooKeeper, sessions that expired.
    pub evictions: u64,
    /// Commits that the coordinator, or ZooKeeper, accepted.
    pub commits: u64,
    /// Commits that failed, as the application or its client's log saw it.
    pub commit_failures: u64,
}

/// For how long a partition was without an owner that could work, without one by ZooKeeper, or had
/// two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionStandstill {
    /// Which.
    pub partition: TopicPartition,
    /// For how long.
    pub standstill: Standstill,
}

/// How consumers have shared partitions out among themselves by ZooKeeper.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sharing {
    /// Attempts to take a share, by how they ended.
    pub attempts: BTreeMap<&'static str, u64>,
    /// Sessions of its processes that expired.
    pub sessions_expired: u64,
    /// Where ZooKeeper named no owner of a partition.
    pub no_owner: Vec<PartitionStandstill>,
    /// Where two consumers or more worked on a partition, each by its own account its owner.
    pub two_owners: Vec<PartitionStandstill>,
}

impl Sharing {
    /// The longest time that ZooKeeper named no owner of a partition.
    #[must_use]
    pub fn no_owner_longest(&self) -> SimDuration {
        longest(&self.no_owner)
    }

    /// That time, over all partitions and spells.
    #[must_use]
    pub fn no_owner_total(&self) -> SimDuration {
        total(&self.no_owner)
    }

    /// The longest time that a partition had two owners, by their own account.
    #[must_use]
    pub fn two_owners_longest(&self) -> SimDuration {
        longest(&self.two_owners)
    }

    /// That time, over all partitions and spells.
    #[must_use]
    pub fn two_owners_total(&self) -> SimDuration {
        total(&self.two_owners)
    }
}

fn longest(spells: &[PartitionStandstill]) -> SimDuration {
    spells.iter().map(|of| of.standstill.longest).max().unwrap_or_default()
}

fn total(spells: &[PartitionStandstill]) -> SimDuration {
    spells.iter().fold(SimDuration::ZERO, |sum, of| sum + of.standstill.total)
}

/// What the judge says of one consumer application.
#[derive(Clone, Debug, Default)]
pub struct GroupVerdict {
    /// Its `group.id`.
    pub group_id: String,
    /// The counts.
    pub counts: GroupCounts,
    /// How many generations, or group epochs, its group began.
    pub generations: u64,
    /// How often another broker became its coordinator.
    pub coordinator_moves: u64,
    /// How often a position was set by `auto.offset.reset`.
    pub resets: u64,
    /// Commits that the coordinator refused, by answer.
    pub refused: BTreeMap<ErrorCode, u64>,
    /// Commits that failed for the consumer, by Java's exception.
    pub failures: BTreeMap<&'static str, u64>,
    /// The rebalances of its group; the first
    /// [`REBALANCES_KEPT`](super::rebalances::REBALANCES_KEPT).
    pub rebalances: Vec<Rebalance>,
    /// How many there were for which reason.
    pub reasons: BTreeMap<RebalanceReason, u64>,
    /// The longest that ended.
    pub rebalance_longest: SimDuration,
    /// Where its partitions stood still.
    pub standstills: Vec<PartitionStandstill>,
    /// Exceptions of its client library, of the ZooKeeper era.
    pub exceptions: Exceptions,
    /// How its consumers shared partitions out by ZooKeeper, if they did.
    pub sharing: Option<Sharing>,
    /// How far it was behind, over time.
    pub lag: LagSeries,
    /// The most records between the end of a partition and the position in it.
    pub behind: u64,
    /// From the first record that `poll()` returned to the last that was processed.
    pub processing_time: SimDuration,
}

impl GroupVerdict {
    /// How many commits failed so: by the name of an error code that the coordinator answered, or
    /// of the exception that the consumer threw.
    #[must_use]
    pub fn commit_errors(&self, name: &str) -> u64 {
        let refused = self.refused.iter().filter(|(error, _)| error.name() == name);
        let failures = self.failures.iter().filter(|(exception, _)| **exception == name);
        refused.map(|(_, count)| count).sum::<u64>() + failures.map(|(_, count)| count).sum::<u64>()
    }

    /// The longest time that a partition had no owner that could work on it.
    #[must_use]
    pub fn standstill_longest(&self) -> SimDuration {
        longest(&self.standstills)
    }

    /// That time, over all partitions and spells.
    #[must_use]
    pub fn standstill_total(&self) -> SimDuration {
        total(&self.standstills)
    }
}
