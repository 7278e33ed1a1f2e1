//! Before time zero: the cluster forms, by the same machines and messages as any other start.

use crate::application::Application;
use crate::node::Life;
use crate::world::{Body, Stuck, World, WorldEvent};
use acklab_machines::controller::ControllerCall;
use acklab_machines::group_consumer::GroupConsumer;
use acklab_scenario::model::{GroupSpec, Start};
use acklab_vocab::config::{BalancedLibrary, GroupClientConfig, GroupProtocol};
use acklab_vocab::ids::{TopicId, TopicPartition};
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::{Observer, TraceEvent};

/// How long before time zero the processes of a settled cluster start.
const FORMATION: SimDuration = SimDuration::from_secs(15);
/// How long before time zero its clients start.
pub(crate) const CLIENTS_BEFORE_ZERO: SimDuration = SimDuration::from_secs(2);
/// How long before time zero members of groups start, besides the time that their group takes to become stable.
const MEMBERS_BEFORE_ZERO: SimDuration = SimDuration::from_secs(4);
/// From the start of a settled cluster's processes to the start of the first members.
const BEFORE_MEMBERS: SimDuration = SimDuration::from_secs(6);
/// How often to see whether the topics can be created.
const LOOK_INTERVAL: SimDuration = SimDuration::from_millis(50);
/// How long to wait for topics before they are asked for again.
const PATIENCE: SimDuration = SimDuration::from_secs(1);

/// From one start to the next of consumers that balance by ZooKeeper: each disturbs all that have started before.
pub(crate) const BETWEEN_BALANCED: SimDuration = SimDuration::from_secs(2);

/// How long the members of a group that balances by ZooKeeper take to share its partitions out: they start one after the
/// other, and all attempts of the last rebalance may be needed, with pauses that grow.
fn balanced_formation(group: &GroupSpec) -> SimDuration {
    let GroupClientConfig::Balanced(config) = &group.config else { return SimDuration::ZERO };
    let attempts = u64::from(config.rebalance_max_retries);
    let pauses = match config.library {
        BalancedLibrary::HighLevel => attempts,
        BalancedLibrary::Pykafka => attempts * attempts.saturating_sub(1) / 2,
    };
    BETWEEN_BALANCED * u64::from(group.members) + config.rebalance_backoff * pauses
}

/// How far the cluster has formed.
#[derive(Debug, Default)]
pub(crate) struct Formation {
    /// When the topics were last asked for.
    asked: Option<SimTime>,
}

impl<O: Observer> World<O> {
    /// How long before time zero the members of groups start that are to be stable then. A classic group waits for
    /// `group.initial.rebalance.delay.ms`, and once more for the members that come meanwhile; in a KIP-848 group a
    /// partition that moves takes two heartbeats of its members, and the last of them a third.
    pub(crate) fn members_before_zero(&self) -> SimDuration {
        let config = &self.scenario.cluster.broker_config.groups;
        let by_protocol = |group: &GroupSpec| match group.config.member() {
            Some(member) => match member.protocol {
                GroupProtocol::Classic => config.initial_rebalance_delay * 2,
                GroupProtocol::Consumer => config.consumer_heartbeat_interval * 3,
            },
            None => balanced_formation(group),
        };
        let longest = self.scenario.groups.iter().map(by_protocol).max();
        MEMBERS_BEFORE_ZERO + longest.unwrap_or(SimDuration::ZERO)
    }

    /// How long before time zero the processes of a settled cluster start.
    pub(crate) fn formation_takes(&self) -> SimDuration {
        if self.scenario.groups.is_empty() {
            return FORMATION;
        }
        FORMATION.max(BEFORE_MEMBERS + self.members_before_zero())
    }

    pub(crate) fn schedule_formation(&mut self) {
        let at = self.now + LOOK_INTERVAL;
        self.push(at, Body::World(WorldEvent::Form));
    }

    /// Creates the topics as soon as every broker serves.
    pub(crate) fn form(&mut self) {
        let missing = self.missing_topics();
        if missing.is_empty() {
            return;
        }
        let waiting = self.formation.asked.is_some_and(|asked| self.now < asked + PATIENCE);
        if !waiting && self.every_broker_serves() {
            self.formation.asked = Some(self.now);
            for topic in missing {
                let spec = &self.scenario.topics[usize::from(topic.0)];
                let assignments = spec.assignments[..usize::from(spec.at_first)].to_vec();
                self.call_controller(ControllerCall::CreateTopic { topic, assignments });
            }
        }
        self.schedule_formation();
    }

    fn missing_topics(&self) -> Vec<TopicId> {
        if self.has_zookeeper() {
            return self.topics_missing_in_zookeeper();
        }
        let active = self.active_controller();
        let controller = active.and_then(|node| self.nodes[usize::from(node.0)].controller());
        let exists = |topic: u16| {
            let first = TopicPartition::new(topic, 0);
            controller.is_some_and(|controller| controller.partition(first).is_some())
        };
        let topics = 0..self.scenario.topics.len() as u16;
        topics.filter(|&topic| !exists(topic)).map(TopicId).collect()
    }

    /// Those of which some partition has no leader yet: they are made one after the other.
    fn topics_missing_in_zookeeper(&self) -> Vec<TopicId> {
        let has_leader = |partition| {
            self.partition_in_zookeeper(partition).is_some_and(|state| state.leader.is_some())
        };
        let is_missing = |&topic: &u16| {
            let at_first = self.scenario.topics[usize::from(topic)].at_first;
            !(0..at_first).all(|index| has_leader(TopicPartition::new(topic, index)))
        };
        (0..self.scenario.topics.len() as u16).filter(is_missing).map(TopicId).collect()
    }

    fn every_broker_serves(&self) -> bool {
        if self.has_zookeeper() {
            return self.every_broker_is_registered();
        }
        let Some(node) = self.active_controller() else { return false };
        let Some(controller) = self.nodes[usize::from(node.0)].controller() else { return false };
        controller.unfenced_brokers().count() == self.scenario.cluster.brokers.len()
    }

    /// Time zero: workload and faults begin to count.
    pub(crate) fn time_zero(&mut self) {
        if self.scenario.start == Start::Settled {
            let because = self.unformed();
            if !because.is_empty() {
                self.stuck = Some(Stuck { at: self.now, because });
                self.over = true;
                return;
            }
            self.state(self.supervisor(), TraceEvent::ClusterSettled);
        }
        self.plan_faults();
        let end = self.workload_end();
        self.push(end, Body::World(WorldEvent::WorkloadEnds));
    }

    fn unformed(&self) -> Vec<String> {
        let mut because: Vec<String> = self
            .missing_topics()
            .into_iter()
            .map(|topic| {
                let name = &self.scenario.topics[usize::from(topic.0)].name;
                format!("topic {name} was not created before time zero")
            })
            .collect();
        for node in &self.nodes {
            if let Some(broker) = node.broker()
                && node.life == Life::Running
                && !broker.is_settled()
            {
                let name = &self.header.nodes[usize::from(node.id.0)].name;
                because.push(format!("{name} had not settled before time zero"));
            }
            let application = node.application.as_ref();
            let begins = application.and_then(Application::producer);
            if begins.is_some_and(|application| !application.is_between_transactions()) {
                let name = &self.header.nodes[usize::from(node.id.0)].name;
                because.push(format!("{name} had not been initialized before time zero"));
            }
        }
        self.unformed_groups(&mut because);
        because
    }

    /// Groups of which every first member starts before time zero.
    fn unformed_groups(&self, because: &mut Vec<String>) {
        for (node, header) in self.nodes.iter().zip(&self.header.nodes) {
            let Some((group, instance)) = header.member else { continue };
            let spec = &self.scenario.groups[usize::from(group.0)];
            if spec.from.is_some() || instance >= spec.members {
                continue;
            }
            if !node.consumer().is_some_and(GroupConsumer::is_in_place) {
                because.push(format!("{} had not settled before time zero", header.name));
            }
        }
        let joins = |spec: &&GroupSpec| spec.from.is_none() && !spec.assigns_itself;
        for spec in self.scenario.groups.iter().filter(joins) {
            if spec.members > 0 && !self.is_in_order(spec) {
                because.push(format!("group {} was not stable before time zero", spec.name));
            }
        }
    }
}
