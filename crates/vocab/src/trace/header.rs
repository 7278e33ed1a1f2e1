//! The first line of a trace: names, promises, the version.

use crate::api::Acks;
use crate::config::{GroupLibrary, SequenceRepair};
use crate::ids::{
    BrokerId, ControllerId, GroupId, GroupIndex, ProducerIndex, TopicId, ZooKeeperServerId,
};
use crate::rules::ProtocolRule;
use crate::version::KafkaVersion;
use serde::{Deserialize, Serialize};

/// What a judge must know before the first fact: names, promises, the version. First line of a written trace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunHeader {
    /// Name of the scenario, or of whatever wrote the trace.
    pub scenario: String,
    /// Variant of the scenario, `base` for none.
    pub variant: String,
    /// The seed.
    pub seed: u64,
    /// Version of the brokers.
    pub kafka: KafkaVersion,
    /// Rules of the brokers, as they hold in this run.
    pub rules: crate::rules::ProtocolRules,
    /// Rules that this run has switched against its version.
    pub switched_rules: Vec<(ProtocolRule, bool)>,
    /// Every process; [`NodeId`](crate::ids::NodeId) is the index.
    pub nodes: Vec<NodeHeader>,
    /// Every topic; [`TopicId`](crate::ids::TopicId) is the index.
    pub topics: Vec<TopicHeader>,
    /// Every producer name; [`ProducerIndex`] is the index.
    pub producers: Vec<ProducerHeader>,
    /// Every plain reader.
    pub readers: Vec<ReaderHeader>,
    /// Every `group.id`; [`GroupId`] is the index.
    pub group_ids: Vec<String>,
    /// Every consumer application; [`GroupIndex`] is the index.
    pub groups: Vec<GroupHeader>,
    /// Every `transactional.id`; [`TransactionalId`](crate::ids::TransactionalId) is the index.
    pub transactional_ids: Vec<String>,
}

impl RunHeader {
    /// Who writes to some topics, ascending.
    pub fn writers_to(&self, topics: &[TopicId]) -> impl Iterator<Item = ProducerIndex> {
        let writers = self.producers.iter().enumerate();
        let writers = writers.filter(|(_, producer)| topics.contains(&producer.topic));
        writers.map(|(index, _)| ProducerIndex(index as u16))
    }
}

/// A process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeHeader {
    /// As people call it: `broker 1`, `controller 3`, `shop-2`.
    pub name: String,
    /// Its id as a broker, if it is one.
    pub broker: Option<BrokerId>,
    /// Its id as a controller, if it is one.
    pub controller: Option<ControllerId>,
    /// Its id in the ZooKeeper ensemble, if it is one of its servers.
    pub zookeeper: Option<ZooKeeperServerId>,
    /// Which producer it is: the name's index, and the instance from 0.
    pub producer: Option<(ProducerIndex, u16)>,
    /// Which reader it is: index into [`RunHeader::readers`].
    pub reader: Option<u16>,
    /// Which consumer application it is, and which instance of it, from 0.
    pub member: Option<(GroupIndex, u16)>,
}

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicHeader {
    /// Its name.
    pub name: String,
    /// How many partitions.
    pub partitions: u16,
    /// How many replicas each has.
    pub replication_factor: u16,
    /// `min.insync.replicas` as set.
    pub min_insync_replicas: u16,
    /// `unclean.leader.election.enable`
    pub unclean_leader_election: bool,
    /// `__consumer_offsets` or `__transaction_state`.
    pub internal: bool,
}

/// All producers of one name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProducerHeader {
    /// Their name.
    pub name: String,
    /// How many. Instance `i` creates the sequences congruent to `i` modulo `count`.
    pub count: u16,
    /// Where they write.
    pub topic: TopicId,
    /// `acks`
    pub acks: Acks,
    /// Whether they are idempotent.
    pub idempotence: bool,
    /// `retries`, of which every second and later send of a batch takes one.
    pub retries: u32,
    /// `max.in.flight.requests.per.connection`
    pub max_in_flight: u32,
    /// What an idempotent one does when it has lost track of its sequences.
    pub sequence_repair: SequenceRepair,
    /// It writes in transactions: a record is acked when the commit of its transaction was reported.
    pub transactional: bool,
}

/// A consumer application: equal processes that share a `group.id`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupHeader {
    /// Its name; the group id, if the scenario gives it no other.
    pub name: String,
    /// Its `group.id`.
    pub group: GroupId,
    /// How many instances it has at most.
    pub instances: u16,
    /// The topics that it reads.
    pub topics: Vec<TopicId>,
    /// It assigns itself every partition and is no member (`assign()` instead of `subscribe()`).
    pub assigns_itself: bool,
    /// It skips aborted transactions and stops at open ones.
    pub read_committed: bool,
    /// How it commits.
    pub commit: CommitStyle,
    /// Its client library: librdkafka commits what it has handed out, Java what `poll()` has returned before.
    pub library: GroupLibrary,
    /// The producer by which it writes what it has processed, if it does. Of the record `s` of the k-th of `n`
    /// [writers](RunHeader::writers_to) it makes its own record `s · n + k`.
    pub output: Option<ProducerIndex>,
}

/// How an application commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum CommitStyle {
    /// `enable.auto.commit`: inside `poll()` and `close()`.
    Auto,
    /// `commitSync()` after each batch that `poll()` returned.
    SyncPerBatch,
    /// `commitSync()` after each record.
    SyncPerRecord,
    /// `commitAsync()` after each batch; a failure is only logged.
    Async,
    /// `commitAsync()` after each batch, and again the same offsets from the callback after a retriable failure: a late
    /// retry may overwrite a newer commit.
    AsyncRetried,
    /// `commitAsync()` after each batch, `commitSync()` when partitions are revoked and before `close()`.
    AsyncThenSync,
    /// `commitSync()` of the batch before it is processed.
    BeforeProcessing,
    /// Records are handed to worker threads at once; `enable.auto.commit` commits what `poll()` has returned.
    HandedToWorkers,
    /// With the records that it writes, in a transaction.
    InTransaction,
    /// Never.
    Never,
}

/// A plain reader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReaderHeader {
    /// Its name.
    pub name: String,
    /// The topics whose partitions it has assigned to itself.
    pub topics: Vec<TopicId>,
    /// It skips aborted transactions and stops at open ones.
    pub read_committed: bool,
}
