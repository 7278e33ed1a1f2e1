//! What a client knows of the cluster, and when it asks again: Kafka's `Metadata`,
//! `ProducerMetadata`.
//!
//! An answer may come from a broker that is behind. Since KIP-320 a client drops what is older than
//! the leader epoch that it has already seen (`Metadata.updateLatestMetadata`). Refreshes are paced
//! by `retry.backoff.ms`; answers that bring no newer epoch slow the pace down (KIP-580).
//!
//! Left out: topics that fall out of interest after `metadata.max.idle.ms`, requests for new topics
//! only (every request asks for all topics of interest, which costs bytes, not meaning), and
//! rebootstrapping after a time (`metadata.recovery.rebootstrap.trigger.ms`): a client that reaches
//! no broker starts over at once.

use super::backoff::ExponentialBackoff;
use crate::rng::NodeRng;
use acklab_vocab::api::{CurrentLeader, Endpoint, Listener, MetadataResponse, PartitionMetadata};
use acklab_vocab::config::ClientConfig;
use acklab_vocab::ids::{BrokerId, LeaderEpoch, TopicId, TopicPartition};
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::time::{SimDuration, SimTime};
use smallvec::SmallVec;

/// One partition, as the newest accepted answer has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartitionLeadership {
    /// Its leader; `None` where there is none, or none that the answer says how to reach.
    pub leader: Option<BrokerId>,
    /// The newest leader epoch seen.
    pub leader_epoch: Option<LeaderEpoch>,
}

/// One topic of interest.
#[derive(Clone, Debug, PartialEq, Eq)]
struct TopicMetadata {
    topic: TopicId,
    /// The newest answer knew the topic.
    present: bool,
    /// By index; of a topic that is not present, only the epochs count.
    partitions: Vec<PartitionLeadership>,
}

/// The cache, and the clock of its refreshes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    bootstrap: Vec<(BrokerId, Endpoint)>,
    /// Ascending.
    brokers: Vec<(BrokerId, Endpoint)>,
    /// Ascending.
    topics: Vec<TopicMetadata>,
    /// Rises with every change of content.
    version: u64,
    /// Somebody wants a refresh now (`needFullUpdate`).
    requested: bool,
    /// Earliest instant of the next request.
    allowed_at: SimTime,
    last_success: SimTime,
    /// Failed refreshes in a row.
    attempts: u32,
    /// Answers in a row that brought nothing newer.
    equivalent_responses: u32,
    max_age: SimDuration,
    backoff: ExponentialBackoff,
    drops_older_epochs: bool,
}

impl Metadata {
    /// Knows the bootstrap list only, and wants to be refreshed.
    #[must_use]
    pub fn new(config: &ClientConfig, bootstrap: &[(BrokerId, Endpoint)]) -> Self {
        let mut brokers = bootstrap.to_vec();
        brokers.sort_unstable();
        brokers.dedup_by_key(|(broker, _)| *broker);
        Metadata {
            bootstrap: brokers.clone(),
            brokers,
            topics: Vec::new(),
            version: 0,
            requested: true,
            allowed_at: SimTime(i64::MIN),
            last_success: SimTime(i64::MIN),
            attempts: 0,
            equivalent_responses: 0,
            max_age: config.metadata_max_age,
            backoff: ExponentialBackoff::of_retries(config),
            drops_older_epochs: config.rules.has(ProtocolRule::FenceByLeaderEpoch),
        }
    }

    /// The brokers of the newest answer, ascending; the bootstrap list before the first.
    #[must_use]
    pub fn brokers(&self) -> &[(BrokerId, Endpoint)] {
        &self.brokers
    }

    /// Rises whenever something that a caller could have looked up may have changed.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// The topic's partitions by index, or `None` if no broker has confirmed the topic yet.
    #[must_use]
    pub fn partitions(&self, topic: TopicId) -> Option<&[PartitionLeadership]> {
        let index = self.find(topic).ok()?;
        let known = &self.topics[index];
        known.present.then_some(&known.partitions[..])
    }

    /// One partition, or `None` if it is not known.
    #[must_use]
    pub fn partition(&self, partition: TopicPartition) -> Option<PartitionLeadership> {
        self.partitions(partition.topic)?.get(usize::from(partition.partition.0)).copied()
    }

    /// The topics of interest, ascending.
    #[must_use]
    pub fn topics(&self) -> SmallVec<[TopicId; 2]> {
        self.topics.iter().map(|known| known.topic).collect()
    }

    /// Makes a topic interesting. A new one is asked for at once (`requestUpdateForNewTopics`).
    pub fn add_topic(&mut self, topic: TopicId) {
        if let Err(index) = self.find(topic) {
            let unknown = TopicMetadata { topic, present: false, partitions: Vec::new() };
            self.topics.insert(index, unknown);
            self.requested = true;
            self.allowed_at = SimTime(i64::MIN);
            self.equivalent_responses = 0;
        }
    }

    /// Wants a refresh as soon as the pace allows (`requestUpdate`).
    pub const fn request_update(&mut self) {
        self.requested = true;
    }

    /// When the next request is due: by age, or at the pace of retries if somebody wants it.
    #[must_use]
    pub fn next_update(&self) -> SimTime {
        if self.requested {
            self.allowed_at
        } else {
            self.allowed_at.max(self.last_success + self.max_age)
        }
    }

    /// A refresh failed (`failedUpdate`).
    pub(super) fn failed(&mut self, now: SimTime, rng: &mut NodeRng) {
        self.allowed_at = now + self.backoff.backoff(self.attempts, rng);
        self.attempts = self.attempts.saturating_add(1);
        self.requested = true;
    }

    /// Forgets all brokers and partitions but the bootstrap list (KIP-899). Epochs stay known.
    pub(super) fn rebootstrap(&mut self) {
        self.brokers.clone_from(&self.bootstrap);
        for known in &mut self.topics {
            known.present = false;
        }
        self.requested = true;
        self.version += 1;
    }

    /// Takes an answer in.
    pub(crate) fn update(
        &mut self,
        response: &MetadataResponse,
        asked: &[TopicId],
        now: SimTime,
        rng: &mut NodeRng,
    ) {
        if response.brokers.is_empty() {
            self.failed(now, rng);
            return;
        }
        let aged = self.last_success + self.max_age <= now;
        self.attempts = 0;
        self.requested = false;
        self.last_success = now;
        self.version += 1;
        self.equivalent_responses =
            if aged { 1 } else { self.equivalent_responses.saturating_add(1) };
        self.take_brokers(response);
        for known in &mut self.topics {
            known.present = false;
        }
        for partition in &response.partitions {
            self.take_partition(partition);
        }
        for known in &mut self.topics {
            // A topic that was not asked for became interesting meanwhile: it is asked for at once.
            self.requested |= !known.present;
            for partition in &mut known.partitions {
                let reachable = |leader: &BrokerId| knows(&self.brokers, *leader);
                partition.leader = partition.leader.filter(reachable);
            }
        }
        let overtaken = self.topics.iter().any(|known| !asked.contains(&known.topic));
        let waited = self.equivalent_responses.saturating_sub(1);
        let backoff = self.backoff.backoff(waited, rng);
        self.allowed_at = if overtaken { now } else { now + backoff };
    }

    /// A broker has named a newer leader with an error (KIP-951). Returns whether that was news.
    pub(super) fn update_leadership(
        &mut self,
        partition: TopicPartition,
        current: CurrentLeader,
        endpoint: Endpoint,
    ) -> bool {
        let Ok(topic) = self.find(partition.topic) else { return false };
        let index = usize::from(partition.partition.0);
        let Some(known) = self.topics[topic].partitions.get_mut(index) else { return false };
        if known.leader_epoch.is_some_and(|epoch| current.leader_epoch <= epoch) {
            return false;
        }
        *known = PartitionLeadership {
            leader: Some(current.leader),
            leader_epoch: Some(current.leader_epoch),
        };
        if let Err(place) = self.brokers.binary_search_by_key(&current.leader, |entry| entry.0) {
            self.brokers.insert(place, (current.leader, endpoint));
        }
        self.version += 1;
        true
    }

    fn take_brokers(&mut self, response: &MetadataResponse) {
        self.brokers.clear();
        self.brokers.extend(response.brokers.iter().map(|&(broker, node)| {
            let endpoint = Endpoint { node, listener: Listener::Broker };
            (broker, endpoint)
        }));
        self.brokers.sort_unstable();
    }

    fn take_partition(&mut self, answer: &PartitionMetadata) {
        let Ok(topic) = self.find(answer.partition.topic) else { return };
        let known = &mut self.topics[topic];
        known.present = true;
        let index = usize::from(answer.partition.partition.0);
        if known.partitions.len() <= index {
            known.partitions.resize(index + 1, PartitionLeadership::default());
        }
        let partition = &mut known.partitions[index];
        if answer.error.invalidates_metadata() {
            self.requested = true;
        }
        if accepts(*partition, answer.leader_epoch, self.drops_older_epochs) {
            if partition.leader_epoch != Some(answer.leader_epoch) {
                self.equivalent_responses = 0;
            }
            *partition = PartitionLeadership {
                leader: answer.leader,
                leader_epoch: Some(answer.leader_epoch),
            };
        }
    }

    fn find(&self, topic: TopicId) -> Result<usize, usize> {
        self.topics.binary_search_by_key(&topic, |known| known.topic)
    }
}

/// Whether an answer with `epoch` replaces what is known.
fn accepts(known: PartitionLeadership, epoch: LeaderEpoch, drops_older: bool) -> bool {
    !drops_older || known.leader_epoch.is_none_or(|newest| epoch >= newest)
}

fn knows(brokers: &[(BrokerId, Endpoint)], broker: BrokerId) -> bool {
    brokers.binary_search_by_key(&broker, |entry| entry.0).is_ok()
}
