//! A consumer as `replay` shows it.

use super::coordinator::is_coordinator;
use super::{Consumer, Membership};
use crate::client::ConnectionState;
use acklab_vocab::ids::{
    BrokerId, Generation, LeaderEpoch, MemberId, NodeId, Offset, TopicPartition,
};

/// What a consumer holds at one instant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConsumerView {
    /// Its member id and generation or epoch, if it is a member.
    pub membership: Option<(MemberId, Generation)>,
    /// What it does about its membership, in words: `stable`, `joining`, `unjoined`.
    pub membership_state: &'static str,
    /// The process of its coordinator, if it knows it.
    pub coordinator: Option<NodeId>,
    /// The partitions that it owns, ascending.
    pub partitions: Vec<ConsumerPartitionView>,
    /// The brokers that it has heard of: its connection to each, and how many requests are in
    /// flight on it.
    pub connections: Vec<(BrokerId, ConnectionState, usize)>,
}

/// One partition of a [`ConsumerView`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerPartitionView {
    /// Which partition.
    pub partition: TopicPartition,
    /// Offset of the next record that `poll()` returns.
    pub position: Option<Offset>,
    /// The offset committed last, as far as the consumer knows.
    pub committed: Option<Offset>,
    /// Where it fetches from.
    pub leader: Option<BrokerId>,
    /// The leader epoch for which the position holds.
    pub leader_epoch: Option<LeaderEpoch>,
    /// The high watermark as the last fetch response had it.
    pub high_watermark: Option<Offset>,
    /// Records fetched and not yet returned.
    pub buffered: u64,
}

impl Consumer {
    /// Its state, for people.
    #[must_use]
    pub fn view(&self) -> ConsumerView {
        let partitions = self.fetching.subscriptions().iter().map(|subscription| {
            let partition = subscription.partition;
            let current = subscription.position.map(|position| position.current_leader);
            let known = self.client.metadata().partition(partition);
            let leadership = current.or(known).unwrap_or_default();
            ConsumerPartitionView {
                partition,
                position: subscription.known_position().map(|position| position.offset),
                committed: self.commits.known(partition),
                leader: leadership.leader,
                leader_epoch: leadership.leader_epoch,
                high_watermark: subscription.high_watermark,
                buffered: self.fetching.buffered_records(partition),
            }
        });
        let (membership, membership_state) = match &self.membership {
            Membership::SelfAssigned => (None, "assigned"),
            Membership::Classic(member) => {
                let identity = member.identity;
                (identity.member.zip(identity.generation), member.state.name())
            }
            Membership::Consumer(member) => (member.membership(), member.state.name()),
        };
        let connections = self.client.connections();
        ConsumerView {
            membership,
            membership_state,
            coordinator: self.coordinator.node(),
            partitions: partitions.collect(),
            connections: connections.filter(|&(node, ..)| !is_coordinator(node)).collect(),
        }
    }
}
