//! Partitions over time, and in a line each.

use serde::Serialize;

use super::{Gapless, Listed, Series};

/// A partition over time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartitionPanel {
    /// `orders-0`
    pub name: String,
    /// One of the brokers' own topics.
    pub is_internal: bool,
    /// Its replicas, by broker.
    pub replicas: Vec<ReplicaPanel>,
    /// Who leads, in which epoch, as the controller has it; gapless.
    pub leaders: Gapless<LeaderSpan>,
    /// The ISR as the controller has it; gapless.
    pub isr: Gapless<IsrSpan>,
    /// Cuts of logs, unclean elections.
    pub marks: Listed<Mark>,
}

/// A replica over time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReplicaPanel {
    /// Its broker.
    pub broker: u16,
    /// Offset of its next record.
    pub log_end_offset: Series,
    /// First offset that it does not know to be committed; nothing while its process is dead.
    pub high_watermark: Series,
}

/// Who leads a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LeaderSpan {
    /// From when on.
    pub from_us: u64,
    /// Until when.
    pub to_us: u64,
    /// The leader; `None` while it is offline.
    pub leader: Option<u16>,
    /// The leader epoch.
    pub epoch: u64,
}

/// The ISR of a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IsrSpan {
    /// From when on.
    pub from_us: u64,
    /// Until when.
    pub to_us: u64,
    /// Its members, ascending.
    pub isr: Vec<u16>,
}

/// Something that happened at an instant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mark {
    /// When.
    pub at_us: u64,
    /// On which broker, if it is one's.
    pub broker: Option<u16>,
    /// In words: `cut from 19,984 to 19,982`.
    pub text: String,
}

/// A partition in a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartitionRow {
    /// `orders-0`
    pub name: String,
    /// One of the brokers' own topics.
    pub is_internal: bool,
    /// It has a [`PartitionPanel`].
    pub is_shown: bool,
    /// Who leads at the end.
    pub leader: Option<u16>,
    /// The leader epoch at the end.
    pub epoch: u64,
    /// The ISR at the end.
    pub isr: Vec<u16>,
    /// Its log end offset at the end, on the leader.
    pub log_end_offset: u64,
    /// How often a leader was elected after time zero.
    pub elections: u64,
    /// How often it was without a working leader.
    pub leaderless_spells: u64,
    /// The longest such spell.
    pub leaderless_longest_us: u64,
    /// All such spells.
    pub leaderless_total_us: u64,
    /// The longest time between two accepted writes; `None` for internal ones.
    pub write_gap_longest_us: Option<u64>,
}
