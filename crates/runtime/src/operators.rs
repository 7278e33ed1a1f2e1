//! What operators ask of brokers and controllers: elections, orderly shutdowns, topics.

use crate::application::Wake;
use crate::node::{AnyCall, Life};
use crate::world::{Body, World};
use acklab_machines::broker::BrokerCall;
use acklab_machines::controller::ControllerCall;
use acklab_scenario::model::Topic;
use acklab_vocab::ids::{NodeId, TopicId, TopicPartition};
use acklab_vocab::trace::Observer;

impl<O: Observer> World<O> {
    pub(crate) fn elect_preferred(&mut self, partition: Option<TopicPartition>) {
        let partitions = match partition {
            Some(partition) => vec![partition],
            None => self.partitions().collect(),
        };
        self.call_controller(ControllerCall::ElectLeaders { partitions, unclean: false });
    }

    /// So many more partitions for a topic, if there is an active controller.
    pub(crate) fn add_partitions(&mut self, topic: TopicId, count: u16) {
        let there = self.partitions().filter(|partition| partition.topic == topic).count();
        let all = &self.scenario.topics[usize::from(topic.0)].assignments;
        let most = all.len().min(there + usize::from(count));
        let assignments = all[..most].to_vec();
        self.call_controller(ControllerCall::CreatePartitions { topic, assignments });
    }

    /// A process gets SIGTERM. One that is still starting ends at once.
    pub(crate) fn shut_down(&mut self, node: NodeId) {
        let host = &mut self.nodes[usize::from(node.0)];
        host.restart_when_dead = false;
        match host.life {
            Life::Dead => self.kill(node),
            Life::Running | Life::Paused(_) => {
                self.call_broker(node, BrokerCall::ShutDown);
                self.wake_now(node, Wake::ShutDown);
            }
        }
    }

    /// An operator's call to a broker.
    pub(crate) fn call_broker(&mut self, node: NodeId, call: BrokerCall) {
        let host = &self.nodes[usize::from(node.0)];
        let role = host.role_of(acklab_vocab::api::Listener::Broker);
        let incarnation = host.incarnation;
        if let (Some(role), true) = (role, host.life != Life::Dead) {
            let now = self.now;
            self.push(now, Body::Call { node, incarnation, role, call: AnyCall::Broker(call) });
        }
    }

    /// An operator's call to the active controller, if there is one.
    pub(crate) fn call_controller(&mut self, call: ControllerCall) -> bool {
        if self.has_zookeeper() {
            return self.administer(call);
        }
        let Some(node) = self.active_controller() else { return false };
        let host = &self.nodes[usize::from(node.0)];
        let incarnation = host.incarnation;
        let Some(role) = host.role_of(acklab_vocab::api::Listener::Controller) else {
            return false;
        };
        let now = self.now;
        self.push(now, Body::Call { node, incarnation, role, call: AnyCall::Controller(call) });
        true
    }

    /// The process of the active controller: with ZooKeeper, of the broker that is it.
    pub(crate) fn active_controller(&self) -> Option<NodeId> {
        if self.has_zookeeper() {
            return self.controller_broker();
        }
        let is_active = |node: &&crate::node::Node| {
            node.life != Life::Dead
                && node.controller().is_some_and(|controller| controller.is_active())
        };
        let active = self.nodes.iter().filter(is_active);
        active
            .max_by_key(|node| node.controller().map(|c| c.view().quorum.epoch))
            .map(|node| node.id)
    }

    /// Every partition of every topic, without those that have yet to be added.
    pub(crate) fn partitions(&self) -> impl Iterator<Item = TopicPartition> + use<O> {
        let there = |(topic, spec): (usize, &Topic)| {
            let exists = |index: &u16| {
                let partition = TopicPartition::new(topic as u16, *index);
                *index < spec.at_first || self.partition_state(partition).is_some()
            };
            let all = 0..spec.assignments.len() as u16;
            (topic as u16, all.take_while(exists).count() as u16)
        };
        let counts: Vec<(u16, u16)> = self.scenario.topics.iter().enumerate().map(there).collect();
        counts.into_iter().flat_map(|(topic, count)| {
            (0..count).map(move |partition| TopicPartition::new(topic, partition))
        })
    }
}
