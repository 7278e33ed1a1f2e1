//! The ZooKeeper ensemble over time, and consumers that share partitions out by it.

use serde::Serialize;

use super::{Listed, OwnerRow};

/// The ensemble, its clients' sessions, and the broker that is the controller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EnsemblePanel {
    /// Which server leads it.
    pub leaders: Listed<NamedSpan>,
    /// Which broker is the controller, as the last one to win the race has it.
    pub controllers: Listed<NamedSpan>,
    /// The sessions of each client that has had one.
    pub sessions: Listed<SessionRow>,
}

/// A time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Span {
    /// From when on.
    pub from_us: u64,
    /// Until when.
    pub to_us: u64,
}

/// Something with a name, for a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NamedSpan {
    /// From when on.
    pub from_us: u64,
    /// Until when.
    pub to_us: u64,
    /// `broker 1`
    pub name: String,
}

/// The sessions of one client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SessionRow {
    /// `broker 1`
    pub client: String,
    /// When it had a session, as the ensemble has it.
    pub spans: Listed<Span>,
    /// When one expired.
    pub expired_at_us: Listed<u64>,
}

/// How consumers shared partitions out by ZooKeeper.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SharingPanel {
    /// Whom ZooKeeper names the owner of each partition.
    pub claims: Listed<OwnerRow>,
    /// What came of it: a name and a value, in words.
    pub numbers: Vec<(String, String)>,
}
