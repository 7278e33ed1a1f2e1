//! ZooKeeper's data model as Kafka uses it: paths, the data of each znode, versions, sessions.
//!
//! The tree is generic; what a znode holds is typed, so that the ensemble can state in the trace what a committed write
//! means. Left out: access control, containers and time-to-live nodes, quotas, dynamic reconfiguration, observers.

pub mod paths;

use crate::ids::{
    BrokerEpoch, BrokerId, BrokerList, ControllerEpoch, GroupId, Incarnation, NodeId, Offset,
    ProducerId, TopicId, TopicPartition,
};
use crate::metadata_log::PartitionState;
use crate::trace::PartitionChangeReason;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// A path in the tree: absolute, without a slash at its end; the root is `/`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ZnodePath(Arc<str>);

impl ZnodePath {
    /// The path of this text.
    ///
    /// # Panics
    /// If it does not begin with a slash, or ends with one and is not the root: paths are made by code, never by users.
    #[must_use]
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        let text = text.into();
        assert!(text.starts_with('/') && (text.len() == 1 || !text.ends_with('/')), "{text}");
        ZnodePath(text)
    }

    /// The root.
    #[must_use]
    pub fn root() -> Self {
        ZnodePath("/".into())
    }

    /// The znode `name` under this one.
    #[must_use]
    pub fn child(&self, name: impl fmt::Display) -> Self {
        let slash = if self.0.len() == 1 { "" } else { "/" };
        ZnodePath(format!("{}{slash}{name}", self.0).into())
    }

    /// The znode above; `None` for the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        if self.0.len() == 1 {
            return None;
        }
        let slash = self.0.rfind('/').unwrap_or(0);
        Some(ZnodePath(self.0[..slash.max(1)].into()))
    }

    /// The last component; empty for the root.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// The whole path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ZnodePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A transaction of the ensemble: epoch in the upper 32 bits, counter in the lower. 0 is before the first.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Zxid(pub u64);

impl Zxid {
    /// Transaction `counter` of `epoch`.
    #[must_use]
    pub const fn new(epoch: u32, counter: u32) -> Self {
        Zxid((epoch as u64) << 32 | counter as u64)
    }

    /// The epoch of the leader that proposed it.
    #[must_use]
    pub const fn epoch(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

impl fmt::Display for Zxid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:x}", self.0)
    }
}

/// A client's session, named by the server that opened it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct SessionId(pub u64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:x}", self.0)
    }
}

/// How long a znode lives, and how its name is made (`CreateMode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum CreateMode {
    /// Until it is deleted.
    Persistent,
    /// Until it is deleted; a counter of its parent is appended to its name.
    PersistentSequential,
    /// Until it is deleted or the session of its creator ends. It has no children.
    Ephemeral,
}

/// What is known of a znode (`Stat`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ZnodeStat {
    /// The transaction that created it. A broker's epoch is the one of its registration (KIP-380).
    pub czxid: Zxid,
    /// The transaction that wrote its data last.
    pub mzxid: Zxid,
    /// How often its data have been written since.
    pub version: u32,
    /// How often its children have changed.
    pub cversion: u32,
    /// The session that it lives by, if it is ephemeral.
    pub ephemeral_owner: Option<SessionId>,
}

/// What a znode holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ZnodeData {
    /// Nothing: a folder.
    Empty,
    /// `/controller`: the broker that won the race.
    Controller {
        /// Who.
        broker: BrokerId,
    },
    /// `/controller_epoch`
    ControllerEpoch(ControllerEpoch),
    /// `/brokers/ids/<id>`
    Broker {
        /// Who.
        broker: BrokerId,
        /// Where it listens.
        node: NodeId,
        /// Which life.
        incarnation: Incarnation,
    },
    /// `/brokers/topics/<topic>`: the replicas of each partition, the first preferred.
    Topic {
        /// Which.
        topic: TopicId,
        /// By partition.
        assignments: Arc<[BrokerList]>,
    },
    /// `/brokers/topics/<topic>/partitions/<partition>/state`. The znode's version is the partition epoch, so
    /// [`PartitionState::partition_epoch`] is not looked at in here.
    Partition {
        /// Leader, ISR and leader epoch. `eligible` is empty and `recovering` false.
        state: PartitionState,
        /// Who wrote it: an older controller's write is refused by the version.
        controller_epoch: ControllerEpoch,
        /// Why it was written. For the trace alone.
        reason: PartitionChangeReason,
    },
    /// `/isr_change_notification/isr_change_<n>`: partitions whose ISR their leader has changed (before 2.7).
    IsrChange(Arc<[TopicPartition]>),
    /// `/admin/preferred_replica_election`
    PreferredReplicaElection(Arc<[TopicPartition]>),
    /// `/latest_producer_id_block`: the last block handed out (0.11 on).
    ProducerIds {
        /// First id that is free.
        next: ProducerId,
    },
    /// `/consumers/<group>/ids/<id>`
    Consumer {
        /// Whose group.
        group: GroupId,
        /// The process.
        consumer: NodeId,
        /// The topics that it reads.
        topics: Arc<[TopicId]>,
    },
    /// `/consumers/<group>/owners/<topic>/<partition>`
    Owner {
        /// Whose group.
        group: GroupId,
        /// What is owned.
        partition: TopicPartition,
        /// By which process.
        consumer: NodeId,
    },
    /// `/consumers/<group>/offsets/<topic>/<partition>`
    ConsumerOffset {
        /// Whose group.
        group: GroupId,
        /// Which partition.
        partition: TopicPartition,
        /// Offset of the next record to process.
        offset: Offset,
        /// Who committed it.
        from: NodeId,
    },
}

/// Why an operation failed (`KeeperException.Code`).
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    thiserror::Error,
)]
pub enum ZooKeeperError {
    /// The znode, or the parent of one to create, does not exist.
    #[error("NoNode")]
    NoNode,
    /// The znode exists already.
    #[error("NodeExists")]
    NodeExists,
    /// The znode has another version.
    #[error("BadVersion")]
    BadVersion,
    /// The znode has children.
    #[error("NotEmpty")]
    NotEmpty,
    /// An ephemeral znode has no children.
    #[error("NoChildrenForEphemerals")]
    NoChildrenForEphemerals,
    /// The session has ended.
    #[error("SessionExpired")]
    SessionExpired,
    /// The session lives on another server by now.
    #[error("SessionMoved")]
    SessionMoved,
    /// An earlier operation of the same multi failed.
    #[error("RuntimeInconsistency")]
    RuntimeInconsistency,
    /// Client-local: the connection was lost before the answer. The outcome is open.
    #[error("ConnectionLoss")]
    ConnectionLoss,
}

/// What a watch tells (`WatchedEvent`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WatchEvent {
    /// What happened.
    pub kind: WatchEventKind,
    /// To which znode.
    pub path: ZnodePath,
}

/// What happened to a watched znode (`Watcher.Event.EventType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum WatchEventKind {
    /// It was created: fires watches set by `exists`.
    NodeCreated,
    /// It was deleted: fires watches of every kind.
    NodeDeleted,
    /// Its data were written: fires watches set by `exists` and `getData`.
    NodeDataChanged,
    /// A child came or went: fires watches set by `getChildren`.
    NodeChildrenChanged,
}

/// A broker's epoch is the transaction that registered it (KIP-380).
impl From<Zxid> for BrokerEpoch {
    fn from(zxid: Zxid) -> Self {
        BrokerEpoch(zxid.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_take_apart_what_they_put_together() {
        let ids = ZnodePath::root().child("brokers").child("ids");
        assert_eq!(ids.as_str(), "/brokers/ids");
        assert_eq!(ids.name(), "ids");
        assert_eq!(ids.parent(), Some(ZnodePath::new("/brokers")));
        assert_eq!(ZnodePath::new("/brokers").parent(), Some(ZnodePath::root()));
        assert_eq!(ZnodePath::root().parent(), None);
    }

    #[test]
    fn transactions_order_by_epoch_first() {
        assert!(Zxid::new(1, u32::MAX) < Zxid::new(2, 0));
        assert_eq!(Zxid::new(7, 3).epoch(), 7);
    }
}
