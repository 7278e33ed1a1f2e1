//! The ZooKeeper mode as the world sees it: who leads the ensemble, which broker is the controller, what the znodes say.
//!
//! What is committed is what the server knows that has applied most. A supervisor (systemd, a container's runtime) starts a
//! broker again that has ended by itself, as one does whose znode of an earlier life is still there.

use crate::node::{Life, Node};
use crate::world::{Body, DriverOrder, World};
use acklab_machines::broker::BrokerCall;
use acklab_machines::controller::ControllerCall;
use acklab_scenario::model::Mode;
use acklab_vocab::ids::{GroupId, NodeId, TopicPartition, ZooKeeperServerId};
use acklab_vocab::metadata_log::PartitionState;
use acklab_vocab::time::SimDuration;
use acklab_vocab::trace::{NodeHeader, Observer};
use acklab_vocab::zookeeper::{ZnodeData, ZnodePath, ZnodeStat, paths};

/// How long a supervisor waits before it starts a broker again.
const SUPERVISOR_WAITS: SimDuration = SimDuration::from_secs(1);

impl<O: Observer> World<O> {
    /// Whether the cluster keeps its metadata in ZooKeeper.
    pub(crate) fn has_zookeeper(&self) -> bool {
        matches!(self.scenario.cluster.mode, Mode::ZooKeeper { .. })
    }

    /// The process of a server of the ensemble.
    pub(crate) fn zookeeper_node(&self, server: ZooKeeperServerId) -> NodeId {
        let is_it = |node: &NodeHeader| node.zookeeper == Some(server);
        let index = self.header.nodes.iter().position(is_it);
        NodeId(index.expect("a validated scenario names only servers that exist") as u16)
    }

    /// The process of the server that leads the ensemble; of several, the one of the newest epoch.
    pub(crate) fn zookeeper_leader(&self) -> Option<NodeId> {
        let leading = self.nodes.iter().filter_map(|node| {
            let server = node.zookeeper().filter(|server| server.is_leader())?;
            Some((server.epoch(), node.id))
        });
        leading.max_by_key(|&(epoch, _)| epoch).map(|(_, node)| node)
    }

    /// The process of the broker that is the controller; of several that think so, the one of the newest epoch.
    pub(crate) fn controller_broker(&self) -> Option<NodeId> {
        let acting = self.nodes.iter().filter_map(|node| {
            node.broker()?.acting_controller_epoch().map(|epoch| (epoch, node.id))
        });
        acting.max_by_key(|&(epoch, _)| epoch).map(|(_, node)| node)
    }

    /// A znode as the server has it that knows its newest data.
    fn znode(&self, path: &ZnodePath) -> Option<(&ZnodeData, ZnodeStat)> {
        let known = self.nodes.iter().filter_map(|node| {
            let znode = node.zookeeper()?.tree().get(path)?;
            Some((&znode.data, znode.stat))
        });
        known.max_by_key(|(_, stat)| stat.mzxid)
    }

    /// A partition's state by its znode.
    pub(crate) fn partition_in_zookeeper(
        &self,
        partition: TopicPartition,
    ) -> Option<PartitionState> {
        match self.znode(&paths::partition_state(partition))? {
            (ZnodeData::Partition { state, .. }, _) => Some(state.clone()),
            _ => None,
        }
    }

    /// Whether there is a controller and every broker is registered and has settled.
    pub(crate) fn every_broker_is_registered(&self) -> bool {
        let registered = |node: &Node| {
            node.broker().is_none_or(|broker| {
                let own = self.header.nodes[usize::from(node.id.0)].broker;
                let path = own.map(paths::broker);
                broker.is_settled() && path.is_some_and(|path| self.znode(&path).is_some())
            })
        };
        let brokers = self.nodes.iter().filter(|node| node.broker().is_some()).count();
        brokers == self.scenario.cluster.brokers.len()
            && self.controller_broker().is_some()
            && self.nodes.iter().all(registered)
    }

    /// An operator's call that KRaft's controller would get: here the tools go to ZooKeeper, or to the controller.
    pub(crate) fn administer(&mut self, call: ControllerCall) -> bool {
        let Some(node) = self.controller_broker() else { return false };
        let call = match call {
            ControllerCall::CreateTopic { topic, assignments } => {
                BrokerCall::CreateTopic { topic, assignments }
            }
            ControllerCall::CreatePartitions { topic, assignments } => {
                BrokerCall::CreatePartitions { topic, assignments }
            }
            ControllerCall::ElectLeaders { partitions, unclean } => {
                BrokerCall::ElectLeaders { partitions, unclean }
            }
        };
        self.call_broker(node, call);
        true
    }

    /// A broker that has ended by itself is started again, unless a fault has ended it or will start it.
    pub(crate) fn supervise(&mut self, node: NodeId) {
        let is_broker = self.header.nodes[usize::from(node.0)].broker.is_some();
        if !is_broker || !self.has_zookeeper() || self.faults.holds_down(node) {
            return;
        }
        let host = &self.nodes[usize::from(node.0)];
        if host.life == Life::Dead && host.wanted && !host.gave_up && !host.restart_when_dead {
            let incarnation = host.incarnation;
            let at = self.now + SUPERVISOR_WAITS + self.start_up();
            self.push(at, Body::Start { node, incarnation });
            self.order(DriverOrder::Start(node));
        }
    }

    /// Whether the members of a group that balance by ZooKeeper own every partition of its topics, each one alone.
    pub(crate) fn is_balanced(&self, group: GroupId) -> bool {
        let topics = self.scenario.groups.iter().filter(|spec| spec.group == group);
        let topics: Vec<_> = topics.flat_map(|spec| spec.topics.iter().copied()).collect();
        let mut own = self.partitions().filter(|partition| topics.contains(&partition.topic));
        own.all(|partition| self.groups.claimants(group, partition) == 1)
    }
}
