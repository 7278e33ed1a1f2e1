//! What a controller knows of the cluster (`ControllerContext`): read from ZooKeeper when it takes
//! office, forgotten when it resigns.

use acklab_vocab::ids::{
    BrokerEpoch, BrokerId, BrokerList, ControllerEpoch, Incarnation, NodeId, PartitionIndex,
    TopicId, TopicPartition,
};
use acklab_vocab::metadata_log::PartitionState;
use std::collections::{BTreeMap, BTreeSet};

/// A registered broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LiveBroker {
    /// Where it listens.
    pub node: NodeId,
    /// Which life.
    pub incarnation: Incarnation,
    /// The transaction that registered it.
    pub epoch: BrokerEpoch,
}

/// A partition's state as read or written last (`LeaderIsrAndControllerEpoch`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Leadership {
    /// Leader, ISR and epochs; `partition_epoch` is the znode's version.
    pub state: PartitionState,
    /// Which controller chose the leader.
    pub controller_epoch: ControllerEpoch,
}

/// Where a partition stands (`PartitionState` of the state machine).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It has replicas, but never had a leader.
    New,
    /// It has a leader.
    Online,
    /// Its leader has died.
    Offline,
}

/// The controller's picture of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ControllerContext {
    /// The controller epoch that it was elected in.
    pub epoch: ControllerEpoch,
    /// The version of `/controller_epoch` since.
    pub epoch_version: u32,
    /// Registered brokers, those in controlled shutdown included.
    pub brokers: BTreeMap<BrokerId, LiveBroker>,
    /// Which of them are in controlled shutdown.
    pub shutting_down: BTreeSet<BrokerId>,
    /// The topics that there are.
    pub topics: BTreeSet<TopicId>,
    /// The replicas of each partition, the first preferred.
    pub assignments: BTreeMap<TopicPartition, BrokerList>,
    /// The state of each partition that ever had a leader.
    pub leadership: BTreeMap<TopicPartition, Leadership>,
    /// Where each partition stands.
    pub stages: BTreeMap<TopicPartition, Stage>,
}

impl ControllerContext {
    /// `isReplicaOnline`: the broker is registered and not in controlled shutdown.
    pub fn is_live(&self, broker: BrokerId) -> bool {
        self.is_registered(broker) && !self.shutting_down.contains(&broker)
    }

    /// The broker is registered (`liveOrShuttingDownBrokerIds`).
    pub fn is_registered(&self, broker: BrokerId) -> bool {
        self.brokers.contains_key(&broker)
    }

    /// The replicas of a partition; none if it is not known.
    pub fn replicas(&self, partition: TopicPartition) -> &[BrokerId] {
        self.assignments.get(&partition).map_or(&[], BrokerList::as_slice)
    }

    /// Every registered broker, ascending.
    pub fn registered(&self) -> Vec<BrokerId> {
        self.brokers.keys().copied().collect()
    }

    /// Where the registered brokers listen, ascending.
    pub fn nodes(&self) -> Vec<(BrokerId, NodeId)> {
        self.brokers.iter().map(|(&id, broker)| (id, broker.node)).collect()
    }

    /// The partitions that a broker has a replica of.
    pub fn partitions_on(&self, broker: BrokerId) -> Vec<TopicPartition> {
        let on = |(partition, replicas): (&TopicPartition, &BrokerList)| {
            replicas.contains(&broker).then_some(*partition)
        };
        self.assignments.iter().filter_map(on).collect()
    }

    /// The partitions that ever had a leader.
    pub fn partitions_with_leaders(&self) -> Vec<TopicPartition> {
        self.leadership.keys().copied().collect()
    }

    /// The partitions whose leader is not live.
    pub fn partitions_with_offline_leader(&self) -> Vec<TopicPartition> {
        let offline = |(partition, known): (&TopicPartition, &Leadership)| {
            let live = known.state.leader.is_some_and(|leader| self.is_live(leader));
            (!live).then_some(*partition)
        };
        self.leadership.iter().filter_map(offline).collect()
    }

    /// The partitions at a stage.
    pub fn partitions_at(&self, stage: Stage) -> Vec<TopicPartition> {
        let at =
            |(partition, there): (&TopicPartition, &Stage)| (*there == stage).then_some(*partition);
        self.stages.iter().filter_map(at).collect()
    }

    /// The partitions with several replicas that a broker leads (`partitionLeadersOnBroker`).
    pub fn led_by(&self, broker: BrokerId) -> Vec<TopicPartition> {
        let led = |(partition, known): (&TopicPartition, &Leadership)| {
            let led = known.state.leader == Some(broker) && self.replicas(*partition).len() > 1;
            led.then_some(*partition)
        };
        self.leadership.iter().filter_map(led).collect()
    }

    /// Brokers that are gone while a partition still counts on them: it leads, or is in sync with a
    /// leader.
    pub fn missed(&self) -> Vec<BrokerId> {
        let mut missed = BTreeSet::new();
        for known in self.leadership.values() {
            let counted = known.state.isr.iter().filter(|_| known.state.leader.is_some());
            missed.extend(counted.filter(|member| !self.is_registered(**member)));
        }
        missed.into_iter().collect()
    }

    /// Takes over a topic's assignment; answers which partitions were not known.
    pub fn assign(&mut self, topic: TopicId, assignments: &[BrokerList]) -> Vec<TopicPartition> {
        let mut added = Vec::new();
        for (index, replicas) in assignments.iter().enumerate() {
            let partition = TopicPartition { topic, partition: PartitionIndex(index as u16) };
            self.assignments.entry(partition).or_insert_with(|| {
                added.push(partition);
                replicas.clone()
            });
        }
        added
    }

    /// Sets where every partition stands, when the controller takes office
    /// (`initializePartitionState`).
    pub fn initialize_stages(&mut self) {
        let stage = |partition: &TopicPartition| match self.leadership.get(partition) {
            None => Stage::New,
            Some(known) if known.state.leader.is_some_and(|leader| self.is_live(leader)) => {
                Stage::Online
            }
            Some(_) => Stage::Offline,
        };
        self.stages = self.assignments.keys().map(|it| (*it, stage(it))).collect();
    }

    /// Takes over a state that was read or written.
    pub fn learn(&mut self, state: PartitionState, controller_epoch: ControllerEpoch) {
        self.leadership.insert(state.partition, Leadership { state, controller_epoch });
    }
}

/// How the registrations differ from those that the controller knew (`processBrokerChange`). Each
/// ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct BrokerChanges {
    /// Not known before.
    pub new: Vec<BrokerId>,
    /// Gone.
    pub dead: Vec<BrokerId>,
    /// Registered anew under the same id (KIP-380).
    pub bounced: Vec<BrokerId>,
}

impl BrokerChanges {
    /// Compares. Without `by_epoch` a broker that was away between two looks is not noticed.
    pub fn between(
        before: &BTreeMap<BrokerId, LiveBroker>,
        now: &BTreeMap<BrokerId, LiveBroker>,
        by_epoch: bool,
    ) -> Self {
        let mut changes = BrokerChanges::default();
        for (&id, broker) in now {
            match before.get(&id) {
                None => changes.new.push(id),
                Some(known) if by_epoch && broker.epoch > known.epoch => changes.bounced.push(id),
                Some(_) => {}
            }
        }
        changes.dead = before.keys().copied().filter(|id| !now.contains_key(id)).collect();
        changes
    }
}
