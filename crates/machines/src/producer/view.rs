//! A producer at one instant, for people: what `replay` shows.

use super::java::ProducerTransactionState;
use crate::client::ConnectionState;
use acklab_vocab::ids::{
    BrokerId, LeaderEpoch, ProducerEpoch, ProducerId, TopicPartition, TransactionalId,
};
use acklab_vocab::time::SimTime;

/// What a producer holds at one instant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProducerView {
    /// Its id and epoch, if it is idempotent and has been given one.
    pub producer_id: Option<(ProducerId, ProducerEpoch)>,
    /// Its transactions, if it has a `transactional.id`.
    pub transaction: Option<ProducerTransactionView>,
    /// Every partition that it has written to, ascending.
    pub queues: Vec<QueueView>,
    /// Records whose `send()` has not returned or has not begun.
    pub blocked: usize,
    /// When the blocked `send()` began.
    pub blocked_since: Option<SimTime>,
    /// Bytes of the buffer that are free.
    pub buffer_available: u64,
    /// Every broker that it has heard of: its connection and the requests in flight on it.
    pub connections: Vec<(BrokerId, ConnectionState, usize)>,
}

/// The transactions of a producer in a [`ProducerView`], as it knows of them. What their coordinator
/// knows is the broker's to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerTransactionView {
    /// Its `transactional.id`.
    pub transactional_id: TransactionalId,
    /// Where it is.
    pub state: ProducerTransactionState,
    /// The broker that it takes for the coordinator.
    pub coordinator: Option<BrokerId>,
    /// The partitions in the transaction, ascending.
    pub partitions: Vec<TopicPartition>,
    /// Partitions written to that are not known to be in the transaction yet, ascending.
    pub unconfirmed: Vec<TopicPartition>,
    /// The partitions whose offsets are on their way to the group's coordinator, ascending.
    pub offsets: Vec<TopicPartition>,
}

/// One partition in a [`ProducerView`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueView {
    /// Which partition.
    pub partition: TopicPartition,
    /// Its leader, as the producer knows it.
    pub leader: Option<BrokerId>,
    /// Its leader epoch, as the producer knows it.
    pub leader_epoch: Option<LeaderEpoch>,
    /// Batches that wait to be sent or sent again, head first.
    pub queued: Vec<BatchView>,
    /// Batches that wait for an answer, oldest first.
    pub in_flight: Vec<BatchView>,
    /// Nothing is sent until the batch in flight is answered.
    pub muted: bool,
}

/// One batch in a [`ProducerView`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchView {
    /// Sequence of its first record, as the application numbers.
    pub first: u32,
    /// How many records.
    pub count: u32,
    /// How often it has been sent.
    pub sends: u32,
}
