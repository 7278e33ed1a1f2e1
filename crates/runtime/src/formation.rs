//! Before time zero: the cluster forms, by the same machines and messages as any other start.

use crate::node::Life;
use crate::world::{Body, Stuck, World, WorldEvent};
use acklab_machines::controller::ControllerCall;
use acklab_scenario::model::Start;
use acklab_vocab::ids::TopicId;
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::{Observer, TraceEvent};

/// How long before time zero the processes of a settled cluster start.
pub(crate) const FORMATION: SimDuration = SimDuration::from_secs(15);
/// How long before time zero its clients start.
pub(crate) const CLIENTS_BEFORE_ZERO: SimDuration = SimDuration::from_secs(2);
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
                let assignments = self.scenario.topics[usize::from(topic.0)].assignments.clone();
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
        }
        because
    }
}
