//! A consumer application and its processes, as their own facts tell.

use acklab_vocab::api::LeaveReason;
use acklab_vocab::config::GroupLibrary;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{Generation, MemberId};
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::{
    ApplicationReaction, BalanceOutcome, CommitFailure, GroupHeader, RemovalReason,
};
use std::collections::BTreeMap;

use super::lag::LagSeries;
use super::reading::{Moment, Reading};
use crate::world::World;

/// A consumer application.
#[derive(Clone, Debug, Default)]
pub struct Application {
    /// Index of its group.
    pub group: usize,
    /// Its way through each partition of its topics, by dense index of the partition.
    pub readings: Vec<Reading>,
    /// Commits that the coordinator accepted after time zero.
    pub commits: u64,
    /// Commits that the coordinator refused after time zero, by answer.
    pub refused: BTreeMap<ErrorCode, u64>,
    /// Commits that failed for the consumer after time zero, by Java's exception.
    pub failures: BTreeMap<&'static str, u64>,
    /// Members removed for silence or for not calling `poll()`, after time zero.
    pub evictions: u64,
    /// How often it read its own committed offset or was reset, after time zero: by reset policy.
    pub resets: u64,
    /// When `poll()` first returned a record.
    pub began: Option<SimTime>,
    /// When it last processed one.
    pub worked: Option<SimTime>,
    /// Its transactions' offsets were committed without its membership (before KIP-447).
    pub has_unfenced_offsets: bool,
    /// How far it is behind its group's committed offset.
    pub lag: LagSeries,
    /// The farthest that a position was behind the end of its partition.
    pub behind: u64,
    /// Some process of it has started.
    pub has_started: bool,
    /// What it did to share partitions out by ZooKeeper; `None` if it has a coordinator for that.
    pub balance: Option<Balance>,
}

/// What an application did to share partitions out by ZooKeeper, after time zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    /// How often one of its consumers began to take its share anew.
    pub rebalances: u64,
    /// Attempts to take a share, by how they ended.
    pub attempts: BTreeMap<&'static str, u64>,
    /// Sessions of its processes that expired.
    pub sessions_expired: u64,
}

impl Application {
    /// An application that has done nothing.
    #[must_use]
    pub fn new(header: &GroupHeader, world: &World) -> Self {
        let topics = &header.topics;
        let partitions = world.partitions.iter().enumerate();
        let mine = partitions.filter(|(_, partition)| topics.contains(&partition.id.topic));
        Application {
            group: usize::from(header.group.0),
            readings: mine.map(|(index, _)| Reading::new(index)).collect(),
            balance: matches!(header.library, GroupLibrary::Balanced(_)).then(Balance::default),
            ..Application::default()
        }
    }

    /// Its way through the partition of this dense index.
    #[must_use]
    pub fn reading(&self, partition: usize) -> Option<&Reading> {
        let index = self.readings.binary_search_by_key(&partition, |of| of.partition).ok()?;
        Some(&self.readings[index])
    }

    /// Its way through the partition of this dense index.
    pub fn reading_mut(&mut self, partition: usize) -> Option<&mut Reading> {
        let index = self.readings.binary_search_by_key(&partition, |of| of.partition).ok()?;
        Some(&mut self.readings[index])
    }
}

/// The coordinator removed a process from its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removed {
    /// When.
    pub moment: Moment,
    /// Under which id it had been a member.
    pub member: MemberId,
    /// Why.
    pub reason: RemovalReason,
    /// It stood still then, or had until shortly before.
    pub paused: bool,
}

/// A process of a consumer application.
#[derive(Clone, Debug, Default)]
pub struct Member {
    /// Index of its application.
    pub application: Option<usize>,
    /// The member id that it uses now, as far as facts tell.
    pub id: Option<MemberId>,
    /// It is a static member (KIP-345), as its coordinator said last.
    pub is_static: bool,
    /// The generation whose assignment it learned last.
    pub learned: Option<Generation>,
    /// It has ended and not started again.
    pub is_dead: bool,
    /// It stands still.
    pub is_paused: bool,
    /// When its lives ended, and whether in an orderly way.
    pub ends: Vec<(Moment, bool)>,
    /// When the coordinator removed it.
    pub removals: Vec<Removed>,
    /// When it left by itself, and why.
    pub left: Vec<(Moment, LeaveReason)>,
    /// When it learned that it was no member any more.
    pub lost: Vec<(Moment, ErrorCode)>,
    /// Its attempts to take its share by ZooKeeper: which of a rebalance, from 0, and how it ended.
    pub attempts: Vec<(Moment, u32, BalanceOutcome)>,
    /// When its application met an error that it could not go on with.
    pub failures: Vec<(Moment, Option<CommitFailure>, ApplicationReaction)>,
}

impl Member {
    /// It can work on a partition that it owns.
    #[must_use]
    pub fn works(&self) -> bool {
        !self.is_dead && !self.is_paused
    }
}

/// Java's name for the exception, as an expectation of a scenario writes it.
#[must_use]
pub const fn exception(failure: CommitFailure) -> &'static str {
    match failure {
        CommitFailure::CommitFailed(_) => "CommitFailedException",
        CommitFailure::RebalanceInProgress => "RebalanceInProgressException",
        CommitFailure::Retriable(_) => "RetriableCommitFailedException",
        CommitFailure::Timeout => "TimeoutException",
        CommitFailure::FencedInstance => "FencedInstanceIdException",
        CommitFailure::Other(_) => "KafkaException",
    }
}
