//! Before time zero: the cluster forms, by the same machines and messages as any other start.

use crate::application::Application;
use crate::node::Life;
use crate::world::{Body, Stuck, World, WorldEvent};
use acklab_machines::consumer::Consumer;
use acklab_machines::controller::ControllerCall;
use acklab_scenario::model::{GroupSpec, Start};
use acklab_vocab::config::GroupProtocol;
use acklab_vocab::ids::TopicId;
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
            None => SimDuration::ZERO,
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
        let active = self.active_controller();
        let controller = active.and_then(|node| self.nodes[usize::from(node.0)].controller());
        let exists = |topic: u16| {
            let first = acklab_vocab::ids::TopicPartition::new(topic, 0);
            controller.is_some_and(|controller| controller.partition(first).is_some())
        };
        let topics = 0..self.scenario.topics.len() as u16;
        topics.filter(|&topic| !exists(topic)).map(TopicId).collect()
    }

    fn every_broker_serves(&self) -> bool {
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
            if !node.consumer().is_some_and(Consumer::is_in_place) {
                because.push(format!("{} had not settled before time zero", header.name));
            }
        }
        let joins = |spec: &&GroupSpec| spec.from.is_none() && !spec.assigns_itself;
        for spec in self.scenario.groups.iter().filter(joins) {
            if spec.members > 0 && !self.group_is_stable(spec.group) {
                because.push(format!("group {} was not stable before time zero", spec.name));
            }
        }
    }
}
