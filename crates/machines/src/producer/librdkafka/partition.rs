//! One partition of librdkafka's producer: `rd_kafka_toppar_t`, and the lists of partitions that
//! brokers serve.

use super::message::{BatchLimits, Message, ready_at};
use crate::producer::{BatchView, QueueView};
use acklab_vocab::ids::{
    BrokerId, LeaderEpoch, PartitionIndex, ProducerEpoch, ProducerId, TopicId, TopicPartition,
};
use acklab_vocab::time::{SimDuration, SimTime};
use std::collections::VecDeque;

/// Sequences of one partition (`rktp_eos`). Message `epoch_base_msgid` has sequence 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sequences {
    /// The id under which they count.
    pub id: Option<(ProducerId, ProducerEpoch)>,
    pub epoch_base_msgid: u64,
    /// Sequence that the next acknowledgement is expected for.
    pub next_ack: u32,
    /// Sequence that the next error is expected for.
    pub next_err: u32,
    /// Highest message acknowledged.
    pub acked_msgid: u64,
    /// Nothing is sent until everything in flight has been answered.
    pub waits_for_drain: bool,
}

/// A partition.
#[derive(Clone, Debug)]
pub(super) struct Toppar {
    pub partition: TopicPartition,
    pub leader: Option<BrokerId>,
    pub leader_epoch: Option<LeaderEpoch>,
    /// Ascending by message id.
    pub queue: VecDeque<Message>,
    /// Payload bytes in the queue with the messages' overhead.
    pub queue_bytes: u64,
    pub last_msgid: u64,
    pub messages_in_flight: u32,
    /// Batches in flight, for people.
    pub in_flight: Vec<BatchView>,
    pub sequences: Sequences,
    /// Where it stands in its broker's list, if it has messages and may send.
    standing: Option<(BrokerId, SimTime)>,
}

impl Toppar {
    pub fn new(partition: TopicPartition) -> Self {
        Toppar {
            partition,
            leader: None,
            leader_epoch: None,
            queue: VecDeque::new(),
            queue_bytes: 0,
            last_msgid: 0,
            messages_in_flight: 0,
            in_flight: Vec::new(),
            sequences: Sequences::default(),
            standing: None,
        }
    }

    /// When its next batch is ready: at once if there is enough for one, else by age.
    fn ready_at(&self, linger: SimDuration, limits: BatchLimits, now: SimTime) -> Option<SimTime> {
        let by_age = ready_at(&self.queue, linger, now)?;
        let backs_off = self.queue.front().is_some_and(|head| head.backoff_until > now);
        let enough =
            self.queue.len() >= limits.messages || self.queue_bytes >= u64::from(limits.bytes);
        Some(if enough && !backs_off { SimTime(i64::MIN) } else { by_age })
    }

    pub fn view(&self) -> QueueView {
        QueueView {
            partition: self.partition,
            leader: self.leader,
            leader_epoch: self.leader_epoch,
            queued: super::message::view(self.queue.iter().copied()).into_iter().collect(),
            in_flight: self.in_flight.clone(),
            muted: self.sequences.waits_for_drain,
        }
    }
}

/// Partitions that one broker leads and that have messages, by the time at which their next batch
/// is ready.
#[derive(Clone, Debug)]
struct BrokerToppars {
    broker: BrokerId,
    /// Ascending.
    ready: Vec<(SimTime, TopicPartition)>,
    /// The partition after which the next round begins.
    cursor: TopicPartition,
}

/// One topic.
#[derive(Clone, Debug)]
pub(super) struct TopicToppars {
    pub topic: TopicId,
    pub toppars: Vec<Toppar>,
    /// Where messages without a key go, and since when.
    pub sticky: Option<(PartitionIndex, SimTime)>,
}

/// All partitions.
#[derive(Clone, Debug)]
pub(super) struct Toppars {
    /// Ascending.
    pub topics: Vec<TopicToppars>,
    /// Ascending.
    brokers: Vec<BrokerToppars>,
    /// No later than the earliest instant, after the last look, at which a batch is ready.
    pub next_ready: SimTime,
}

/// What decides when a batch is ready.
#[derive(Clone, Copy, Debug)]
pub(super) struct Readiness {
    pub linger: SimDuration,
    pub limits: BatchLimits,
    pub now: SimTime,
}

impl Toppars {
    pub const fn new() -> Self {
        Toppars { topics: Vec::new(), brokers: Vec::new(), next_ready: SimTime::NEVER }
    }

    pub fn topic(&mut self, topic: TopicId) -> &mut TopicToppars {
        let place = self.topics.binary_search_by_key(&topic, |known| known.topic);
        let place = place.unwrap_or_else(|place| {
            self.topics.insert(place, TopicToppars { topic, toppars: Vec::new(), sticky: None });
            place
        });
        &mut self.topics[place]
    }

    pub fn get(&mut self, partition: TopicPartition) -> &mut Toppar {
        &mut self.topic(partition.topic).toppars[usize::from(partition.partition.0)]
    }

    pub fn all(&self) -> impl Iterator<Item = &Toppar> {
        self.topics.iter().flat_map(|topic| &topic.toppars)
    }

    /// Brings a partition's place in its broker's list up to date.
    pub fn update_standing(&mut self, partition: TopicPartition, readiness: Readiness) {
        let Readiness { linger, limits, now } = readiness;
        let toppar = self.get(partition);
        let drains = toppar.sequences.waits_for_drain && toppar.messages_in_flight > 0;
        let ready_at = toppar.ready_at(linger, limits, now).filter(|_| !drains);
        let new = toppar.leader.zip(ready_at);
        let old = std::mem::replace(&mut toppar.standing, new);
        if old == new {
            return;
        }
        if let Some((broker, at)) = old {
            let ready = &mut self.broker(broker).ready;
            if let Ok(place) = ready.binary_search(&(at, partition)) {
                ready.remove(place);
            }
        }
        if let Some((broker, at)) = new {
            let ready = &mut self.broker(broker).ready;
            if let Err(place) = ready.binary_search(&(at, partition)) {
                ready.insert(place, (at, partition));
            }
            if at > now {
                self.next_ready = self.next_ready.min(at);
            }
        }
    }

    /// Brokers with a batch that is ready, ascending.
    pub fn ready_brokers(&self, now: SimTime) -> Vec<BrokerId> {
        let is_ready =
            |broker: &&BrokerToppars| broker.ready.first().is_some_and(|&(at, _)| at <= now);
        self.brokers.iter().filter(is_ready).map(|broker| broker.broker).collect()
    }

    /// The broker's partitions with a batch that is ready, in turn.
    pub fn ready_partitions(&mut self, broker: BrokerId, now: SimTime) -> Vec<TopicPartition> {
        let served = self.broker(broker);
        let ready = served.ready.iter().take_while(|&&(at, _)| at <= now);
        let mut ready: Vec<TopicPartition> = ready.map(|&(_, partition)| partition).collect();
        ready.sort_unstable();
        let split = ready.partition_point(|&partition| partition <= served.cursor);
        ready.rotate_left(split);
        if let Some(&first) = ready.first() {
            served.cursor = first;
        }
        ready
    }

    /// Looks anew when the next batch is ready, after a timer.
    pub fn refresh_next_ready(&mut self, now: SimTime) {
        let later = self.brokers.iter().flat_map(|broker| {
            let place = broker.ready.partition_point(|&(at, _)| at <= now);
            broker.ready.get(place).map(|&(at, _)| at)
        });
        self.next_ready = later.min().unwrap_or(SimTime::NEVER);
    }

    fn broker(&mut self, broker: BrokerId) -> &mut BrokerToppars {
        let place = self.brokers.binary_search_by_key(&broker, |known| known.broker);
        let place = place.unwrap_or_else(|place| {
            let cursor = TopicPartition::new(u16::MAX, u16::MAX);
            let served = BrokerToppars { broker, ready: Vec::new(), cursor };
            self.brokers.insert(place, served);
            place
        });
        &mut self.brokers[place]
    }
}
