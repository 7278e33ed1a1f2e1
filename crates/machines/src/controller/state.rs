//! The cluster as the metadata log describes it: brokers, partitions, producer ids, and the indexes
//! that keep decisions from looking at every partition. Changed by replaying entries and by nothing
//! else.
//!
//! Mirrors the replay methods of `ClusterControlManager`, `ReplicationControlManager` (with
//! `BrokersToIsrs`, `BrokersToElrs`) and `ProducerIdControlManager`. Kafka can take uncommitted
//! records back by timeline data structures; here a deposed controller replays its committed log
//! anew.

use acklab_vocab::ids::{
    BrokerEpoch, BrokerId, Incarnation, MetadataOffset, NodeId, PartitionIndex, ProducerId,
    TopicId, TopicPartition,
};
use acklab_vocab::metadata_log::{MetadataEntry, MetadataRecord, PartitionState};
use acklab_vocab::trace::{PartitionChangeReason, TraceEvent};
use std::collections::{BTreeMap, BTreeSet};

/// A life of a broker as the controller knows it (`BrokerRegistration`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrokerRegistration {
    /// Where it listens.
    pub node: NodeId,
    /// Which life.
    pub incarnation: Incarnation,
    /// Its epoch.
    pub broker_epoch: BrokerEpoch,
    /// Offset of its registration in the metadata log.
    pub registered_at: MetadataOffset,
    /// It may not serve.
    pub fenced: bool,
    /// It is in controlled shutdown.
    pub in_controlled_shutdown: bool,
}

impl BrokerRegistration {
    /// Whether it may lead and join an ISR (`ClusterControlManager.isActive`).
    #[must_use]
    pub const fn is_active(&self) -> bool {
        !self.fenced && !self.in_controlled_shutdown
    }
}

/// A partition, and what only the controller remembers of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Partition {
    pub(super) state: PartitionState,
    /// Who led when the ISR became empty (KIP-966, `lastKnownElr` as Kafka uses it). Follows from
    /// the log.
    pub(super) last_known_leader: Option<BrokerId>,
}

/// Where a broker appears.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Memberships {
    pub(super) in_isr: BTreeSet<TopicPartition>,
    pub(super) eligible: BTreeSet<TopicPartition>,
    pub(super) leads: u32,
}

/// The cluster at some offset of the metadata log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ClusterState {
    brokers: BTreeMap<BrokerId, BrokerRegistration>,
    topics: BTreeMap<TopicId, Vec<Partition>>,
    memberships: BTreeMap<BrokerId, Memberships>,
    leaderless: BTreeSet<TopicPartition>,
    imbalanced: BTreeSet<TopicPartition>,
    /// Partitions whose ISR is smaller than their assignment.
    shrunken: BTreeSet<TopicPartition>,
    next_producer_id: ProducerId,
}

impl ClusterState {
    pub(super) fn brokers(&self) -> &BTreeMap<BrokerId, BrokerRegistration> {
        &self.brokers
    }

    pub(super) fn broker(&self, broker: BrokerId) -> Option<&BrokerRegistration> {
        self.brokers.get(&broker)
    }

    /// Whether the broker is registered, unfenced and not shutting down.
    pub(super) fn is_active(&self, broker: BrokerId) -> bool {
        self.broker(broker).is_some_and(BrokerRegistration::is_active)
    }

    pub(super) fn has_topic(&self, topic: TopicId) -> bool {
        self.topics.contains_key(&topic)
    }

    pub(super) fn partition(&self, partition: TopicPartition) -> Option<&Partition> {
        let PartitionIndex(index) = partition.partition;
        self.topics.get(&partition.topic)?.get(usize::from(index))
    }

    pub(super) fn partitions(&self) -> impl Iterator<Item = &PartitionState> {
        self.topics.values().flatten().map(|partition| &partition.state)
    }

    pub(super) fn in_isr(&self, broker: BrokerId) -> impl Iterator<Item = TopicPartition> + '_ {
        self.memberships.get(&broker).into_iter().flat_map(|of| of.in_isr.iter().copied())
    }

    pub(super) fn eligible(&self, broker: BrokerId) -> impl Iterator<Item = TopicPartition> + '_ {
        self.memberships.get(&broker).into_iter().flat_map(|of| of.eligible.iter().copied())
    }

    pub(super) fn leads_any(&self, broker: BrokerId) -> bool {
        self.memberships.get(&broker).is_some_and(|of| of.leads > 0)
    }

    /// Partitions without a leader.
    pub(super) fn leaderless(&self) -> &BTreeSet<TopicPartition> {
        &self.leaderless
    }

    /// Partitions whose leader is not the first replica of the assignment.
    pub(super) fn imbalanced(&self) -> &BTreeSet<TopicPartition> {
        &self.imbalanced
    }

    pub(super) fn next_producer_id(&self) -> ProducerId {
        self.next_producer_id
    }

    /// Every partition has a leader, and every replica whose broker is unfenced is in sync.
    pub(super) fn is_at_rest(&self) -> bool {
        let missing_nobody = |partition: &TopicPartition| {
            self.partition(*partition).is_some_and(|Partition { state, .. }| {
                state.replicas.iter().all(|replica| {
                    state.isr.contains(replica)
                        || self.broker(*replica).is_none_or(|broker| broker.fenced)
                })
            })
        };
        self.leaderless.is_empty() && self.shrunken.iter().all(missing_nobody)
    }

    /// Applies an entry. `facts` receives what it made true; `reason` is why it was written, where
    /// that is known.
    pub(super) fn replay(
        &mut self,
        entry: &MetadataEntry,
        reason: Option<PartitionChangeReason>,
        mut facts: Option<&mut Vec<TraceEvent>>,
    ) {
        for record in &entry.records {
            let fact = match record {
                MetadataRecord::LeaderChange { .. } => None,
                MetadataRecord::RegisterBroker { broker, incarnation, broker_epoch, node } => {
                    let registration = BrokerRegistration {
                        node: *node,
                        incarnation: *incarnation,
                        broker_epoch: *broker_epoch,
                        registered_at: entry.offset,
                        fenced: true,
                        in_controlled_shutdown: false,
                    };
                    Some(self.replay_registration(*broker, registration))
                }
                MetadataRecord::BrokerRegistrationChange {
                    broker,
                    broker_epoch,
                    fenced,
                    in_controlled_shutdown,
                } => self.replay_registration_change(
                    *broker,
                    *broker_epoch,
                    *fenced,
                    *in_controlled_shutdown,
                ),
                MetadataRecord::Topic { topic } => {
                    self.topics.entry(*topic).or_default();
                    None
                }
                MetadataRecord::Partition(state) | MetadataRecord::PartitionChange(state) => {
                    let change = self.replay_partition(state);
                    facts.is_some().then(|| TraceEvent::PartitionChanged {
                        state: state.clone(),
                        reason: if change.unclean {
                            PartitionChangeReason::UncleanElection
                        } else {
                            let likely = || likely_reason(&entry.records, change.leader_changed);
                            reason.unwrap_or_else(likely)
                        },
                    })
                }
                MetadataRecord::NoOp => None,
                MetadataRecord::ProducerIds { next } => {
                    self.next_producer_id = *next;
                    None
                }
            };
            if let (Some(facts), Some(fact)) = (facts.as_deref_mut(), fact) {
                facts.push(fact);
            }
        }
    }

    fn replay_registration(
        &mut self,
        broker: BrokerId,
        registration: BrokerRegistration,
    ) -> TraceEvent {
        self.brokers.insert(broker, registration);
        let BrokerRegistration { broker_epoch, incarnation, .. } = registration;
        TraceEvent::BrokerRegistered { broker, broker_epoch, incarnation }
    }

    fn replay_registration_change(
        &mut self,
        broker: BrokerId,
        broker_epoch: BrokerEpoch,
        fenced: bool,
        in_controlled_shutdown: bool,
    ) -> Option<TraceEvent> {
        let registration = self.brokers.get_mut(&broker);
        let registration = registration.filter(|known| known.broker_epoch == broker_epoch);
        assert!(registration.is_some(), "a change of a registration that is not in the log");
        let registration = registration?;
        let was_fenced = std::mem::replace(&mut registration.fenced, fenced);
        registration.in_controlled_shutdown = in_controlled_shutdown;
        match (was_fenced, fenced) {
            (false, true) => Some(TraceEvent::BrokerFenced { broker }),
            (true, false) => Some(TraceEvent::BrokerUnfenced { broker }),
            (true, true) | (false, false) => None,
        }
    }

    fn replay_partition(&mut self, state: &PartitionState) -> Change {
        let id = state.partition;
        let partitions = self.topics.entry(id.topic).or_default();
        let index = usize::from(id.partition.0);
        assert!(index <= partitions.len(), "partitions of a topic are created in order");
        let mut change = Change { unclean: false, leader_changed: false };
        let mut last_known_leader = None;
        if let Some(before) = partitions.get(index) {
            change.unclean = is_unclean_election(&before.state, state);
            change.leader_changed = before.state.leader != state.leader;
            if state.leader.is_none() && state.isr.is_empty() {
                last_known_leader = before.state.leader.or(before.last_known_leader);
            }
            let before = before.state.clone();
            self.index(&before, false);
        }
        self.index(state, true);
        let partition = Partition { state: state.clone(), last_known_leader };
        let partitions = self.topics.entry(id.topic).or_default();
        match partitions.get_mut(index) {
            Some(slot) => *slot = partition,
            None => partitions.push(partition),
        }
        change
    }

    /// Enters a partition's state into the indexes, or takes it out.
    fn index(&mut self, state: &PartitionState, enter: bool) {
        let id = state.partition;
        for replica in &state.isr {
            put(&mut self.memberships.entry(*replica).or_default().in_isr, id, enter);
        }
        for replica in &state.eligible {
            put(&mut self.memberships.entry(*replica).or_default().eligible, id, enter);
        }
        if let Some(leader) = state.leader {
            let leads = &mut self.memberships.entry(leader).or_default().leads;
            *leads = if enter { *leads + 1 } else { *leads - 1 };
        }
        put(&mut self.leaderless, id, enter && state.leader.is_none());
        put(&mut self.imbalanced, id, enter && state.leader != state.replicas.first().copied());
        put(&mut self.shrunken, id, enter && state.isr.len() < state.replicas.len());
    }
}

/// What a new state did to a partition.
struct Change {
    unclean: bool,
    leader_changed: bool,
}

fn put(set: &mut BTreeSet<TopicPartition>, partition: TopicPartition, enter: bool) {
    if enter {
        set.insert(partition);
    } else {
        set.remove(&partition);
    }
}

fn is_unclean_election(before: &PartitionState, after: &PartitionState) -> bool {
    after.leader.is_some_and(|leader| {
        after.recovering
            && before.leader != after.leader
            && after.isr.as_slice() == [leader]
            && !before.isr.contains(&leader)
            && !before.eligible.contains(&leader)
    })
}

/// Why an entry of an earlier leader changed a partition, as its records tell.
fn likely_reason(records: &[MetadataRecord], leader_changed: bool) -> PartitionChangeReason {
    for record in records {
        match record {
            MetadataRecord::Topic { .. } | MetadataRecord::Partition(_) => {
                return PartitionChangeReason::Created;
            }
            MetadataRecord::RegisterBroker { .. } => {
                return PartitionChangeReason::BrokerRegistered;
            }
            MetadataRecord::BrokerRegistrationChange { fenced, in_controlled_shutdown, .. } => {
                return match (fenced, in_controlled_shutdown) {
                    (_, true) => PartitionChangeReason::ControlledShutdown,
                    (true, false) => PartitionChangeReason::BrokerFenced,
                    (false, false) => PartitionChangeReason::BrokerUnfenced,
                };
            }
            MetadataRecord::LeaderChange { .. }
            | MetadataRecord::PartitionChange(_)
            | MetadataRecord::NoOp
            | MetadataRecord::ProducerIds { .. } => {}
        }
    }
    // Nothing but an election moves a leader that is alive.
    if leader_changed {
        PartitionChangeReason::PreferredElection
    } else {
        PartitionChangeReason::AlterPartition
    }
}
