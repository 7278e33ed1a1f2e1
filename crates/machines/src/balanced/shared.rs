//! What the libraries have in common: the session in ZooKeeper, the side of Kafka, and how a thread asks either.

use super::kafka::KafkaSide;
use super::shares::{ConsumerId, Led};
use super::threads::Thread;
use super::{BalancedCx, BalancedSetup};
use crate::zookeeper::client::{ZooKeeperClient, ZooKeeperClientSetup, ZooKeeperLibrary};
use acklab_vocab::api::{OffsetToCommit, ZooKeeperOperation, ZooKeeperRequest};
use acklab_vocab::config::BalancedLibrary;
use acklab_vocab::ids::{GroupId, Offset, TopicId, TopicPartition};
use acklab_vocab::trace::{TraceEvent, ZooKeeperState};
use acklab_vocab::zookeeper::{CreateMode, ZnodeData, ZnodePath, ZnodeStat, ZooKeeperError, paths};
use std::sync::Arc;

/// Common to both libraries.
#[derive(Debug)]
pub(super) struct Shared {
    pub setup: BalancedSetup,
    /// As it is called in ZooKeeper.
    pub id: ConsumerId,
    pub zookeeper: ZooKeeperClient<Thread>,
    pub kafka: KafkaSide,
    /// Operations that the high-level consumer repeats until they are answered.
    repeated: Vec<(Thread, ZooKeeperOperation)>,
    /// Each partition with the last leader that metadata have named, ascending.
    led: Vec<Option<Led>>,
    /// Version of the metadata that `led` follows.
    metadata_version: u64,
    /// What is known to be committed, ascending by partition.
    committed: Vec<(TopicPartition, Offset)>,
    /// The session is being closed.
    closing: bool,
    /// It was closed, and that is known.
    closed: bool,
}

impl Shared {
    pub fn new(setup: BalancedSetup, id: ConsumerId, kafka: KafkaSide) -> Self {
        let library = match setup.config.library {
            BalancedLibrary::HighLevel => ZooKeeperLibrary::Java,
            BalancedLibrary::Pykafka => ZooKeeperLibrary::Kazoo,
        };
        let zookeeper = ZooKeeperClient::new(ZooKeeperClientSetup {
            library,
            servers: setup.zookeeper.clone(),
            session_timeout: setup.config.session_timeout,
        });
        Shared {
            setup,
            id,
            zookeeper,
            kafka,
            repeated: Vec::new(),
            led: Vec::new(),
            metadata_version: 0,
            committed: Vec::new(),
            closing: false,
            closed: false,
        }
    }

    pub fn group(&self) -> GroupId {
        self.setup.group
    }

    /// The first topic: pykafka's only one.
    pub fn topic(&self) -> TopicId {
        self.setup.topics[0]
    }

    // ---- ZooKeeper ------------------------------------------------------------------------------

    pub fn is_connected(&self) -> bool {
        self.zookeeper.state() == ZooKeeperState::Connected
    }

    /// Ends the session; [`Wait::Closed`](super::threads::Wait) is over when that is known.
    pub fn close_session(&mut self, cx: &mut BalancedCx<'_>) {
        self.closing = true;
        self.zookeeper.close(cx);
    }

    pub const fn is_closing(&self) -> bool {
        self.closing
    }

    pub const fn is_closed(&self) -> bool {
        self.closed
    }

    /// The end of the session is known.
    pub fn note_closed(&mut self) {
        self.closed = true;
    }

    /// Asks on behalf of a thread, once.
    pub fn ask(&mut self, cx: &mut BalancedCx<'_>, thread: Thread, operation: ZooKeeperOperation) {
        self.zookeeper.operate(cx, operation, thread);
    }

    /// As [`Shared::ask`], until there is an answer (`ZkClient.retryUntilConnected`).
    pub fn ask_until_answered(
        &mut self,
        cx: &mut BalancedCx<'_>,
        thread: Thread,
        operation: ZooKeeperOperation,
    ) {
        self.repeated.retain(|(other, _)| *other != thread);
        self.repeated.push((thread, operation.clone()));
        let request = ZooKeeperRequest::Operation(operation);
        self.zookeeper.submit_until_connected(cx, request, thread);
    }

    /// An operation was in vain because the session has expired: whether it is asked again, in the next one.
    pub fn asks_again(
        &mut self,
        cx: &mut BalancedCx<'_>,
        thread: Thread,
        error: Option<ZooKeeperError>,
    ) -> bool {
        let Some(place) = self.repeated.iter().position(|(other, _)| *other == thread) else {
            return false;
        };
        if error != Some(ZooKeeperError::SessionExpired) || self.closing {
            self.repeated.remove(place);
            return false;
        }
        let (_, operation) = self.repeated[place].clone();
        let request = ZooKeeperRequest::Operation(operation);
        self.zookeeper.submit_until_connected(cx, request, thread);
        true
    }

    /// Whether a znode lives by this consumer's session.
    pub fn is_own(&self, stat: &ZnodeStat) -> bool {
        stat.ephemeral_owner.is_some() && stat.ephemeral_owner == self.zookeeper.session()
    }

    pub fn own_path(&self) -> ZnodePath {
        paths::consumer_ids(self.group()).child(&self.id)
    }

    /// Makes the consumer's own znode.
    pub fn create_self(&self, cx: &BalancedCx<'_>) -> ZooKeeperOperation {
        ZooKeeperOperation::Create {
            path: self.own_path(),
            data: ZnodeData::Consumer {
                group: self.group(),
                consumer: cx.node(),
                topics: self.setup.topics.iter().copied().collect(),
            },
            mode: CreateMode::Ephemeral,
        }
    }

    /// Claims a partition, by the name that the library has for it.
    pub fn create_owner(
        &self,
        cx: &BalancedCx<'_>,
        partition: TopicPartition,
        name: &str,
    ) -> ZooKeeperOperation {
        ZooKeeperOperation::Create {
            path: paths::partition_owners(self.group(), partition.topic).child(name),
            data: ZnodeData::Owner { group: self.group(), partition, consumer: cx.node() },
            mode: CreateMode::Ephemeral,
        }
    }

    /// What `/consumers/<group>/offsets/<topic>/<partition>` holds.
    pub fn offset_data(&self, cx: &BalancedCx<'_>, offset: OffsetToCommit) -> ZnodeData {
        let OffsetToCommit { partition, offset, .. } = offset;
        ZnodeData::ConsumerOffset { group: self.group(), partition, offset, from: cx.node() }
    }

    // ---- Kafka ----------------------------------------------------------------------------------

    /// Takes note of leaders that the metadata name. One that is missing stays what it was.
    pub fn follow_leaders(&mut self) {
        let metadata = self.kafka.client.metadata();
        if metadata.version() == self.metadata_version {
            return;
        }
        self.metadata_version = metadata.version();
        let topic = self.setup.topics[0];
        let Some(partitions) = metadata.partitions(topic) else { return };
        self.led.resize(partitions.len().max(self.led.len()), None);
        for (index, known) in partitions.iter().enumerate() {
            if let Some(leader) = known.leader {
                let partition = TopicPartition::new(topic.0, index as u16);
                self.led[index] = Some((partition, leader));
            }
        }
    }

    /// The partitions of the topic with their leaders, if every one has had a leader.
    pub fn led_partitions(&self) -> Option<Vec<Led>> {
        let all: Option<Vec<Led>> = self.led.iter().copied().collect();
        all.filter(|all| !all.is_empty())
    }

    /// The group's committed offset of a partition is known.
    pub fn learn_committed(&mut self, partition: TopicPartition, offset: Offset) {
        match self.committed.binary_search_by_key(&partition, |entry| entry.0) {
            Ok(place) => self.committed[place].1 = offset,
            Err(place) => self.committed.insert(place, (partition, offset)),
        }
    }

    /// What is known to be committed of a partition.
    pub fn committed(&self, partition: TopicPartition) -> Option<Offset> {
        let place = self.committed.binary_search_by_key(&partition, |entry| entry.0).ok()?;
        Some(self.committed[place].1)
    }

    /// The partitions that are fetched, ascending.
    pub fn fetched(&self) -> Arc<[TopicPartition]> {
        self.kafka.fetching.subscriptions().iter().map(|entry| entry.partition).collect()
    }

    /// Nothing is fetched any more; what was buffered is dropped.
    pub fn stop_fetching(&mut self, cx: &mut BalancedCx<'_>) {
        let partitions = self.fetched();
        if !partitions.is_empty() {
            cx.trace(|| TraceEvent::PartitionsRevoked { partitions, lost: false });
            self.kafka.fetching.assign(&[], super::kafka::UNKNOWN_POSITION);
        }
    }

    /// These are fetched from now on, from positions that are still to be given.
    pub fn start_fetching(&mut self, cx: &mut BalancedCx<'_>, partitions: &[TopicPartition]) {
        let owned: Arc<[TopicPartition]> = partitions.into();
        if !owned.is_empty() {
            let (generation, member, added) = (None, None, Arc::clone(&owned));
            cx.trace(|| TraceEvent::PartitionsAssigned { generation, member, owned, added });
            self.kafka.fetching.assign(partitions, super::kafka::UNKNOWN_POSITION);
        }
    }
}

/// Makes a folder; it may be there.
pub(super) fn create_folder(path: ZnodePath) -> ZooKeeperOperation {
    ZooKeeperOperation::Create { path, data: ZnodeData::Empty, mode: CreateMode::Persistent }
}

/// Deletes a znode, whatever its version.
pub(super) fn delete(path: ZnodePath) -> ZooKeeperOperation {
    ZooKeeperOperation::Delete { path, version: None }
}

/// A folder and everything above it, from the top.
pub(super) fn with_ancestors(path: ZnodePath) -> std::collections::VecDeque<ZnodePath> {
    let mut all = std::collections::VecDeque::new();
    let mut next = Some(path);
    while let Some(path) = next.filter(|path| *path != ZnodePath::root()) {
        next = path.parent();
        all.push_front(path);
    }
    all
}
