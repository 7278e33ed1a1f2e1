//! Whom a fault strikes: roles to processes, and processes to words.

use crate::world::World;
use acklab_scenario::model::{Direction, Fault, Target};
use acklab_vocab::ids::{BrokerId, NodeId, TopicPartition};
use acklab_vocab::metadata_log::PartitionState;
use acklab_vocab::trace::{NodeHeader, Observer};

impl<O: Observer> World<O> {
    /// The processes that targets stand for now; `other` is the other side, for [`Target::Rest`].
    pub(crate) fn resolve(
        &mut self,
        spec: usize,
        targets: &[Target],
        other: &[Target],
    ) -> Vec<NodeId> {
        let mut nodes = Vec::new();
        for target in targets {
            if *target == Target::Rest {
                let others = self.resolve(spec, other, &[]);
                let all = (0..self.nodes.len() as u16).map(NodeId);
                nodes.extend(all.filter(|node| !others.contains(node)));
            } else {
                self.resolve_one(spec, target, &mut nodes);
            }
        }
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    }

    fn resolve_one(&mut self, spec: usize, target: &Target, nodes: &mut Vec<NodeId>) {
        let by_header = |test: &dyn Fn(&NodeHeader) -> bool| -> Vec<NodeId> {
            let matching = self.header.nodes.iter().enumerate().filter(|(_, header)| test(header));
            matching.map(|(index, _)| NodeId(index as u16)).collect()
        };
        match *target {
            Target::Broker(broker) => nodes.push(self.broker_node(broker)),
            Target::Controller(controller) => nodes.push(self.controller_node(controller)),
            Target::LeaderOf(partition) => nodes.extend(self.leader_of(partition)),
            Target::FollowerOf(partition, n) => nodes.extend(self.follower_of(partition, n)),
            Target::ActiveController => nodes.extend(self.active_controller()),
            Target::Producer(producer, instance) => nodes.extend(by_header(&|header| {
                header.producer.is_some_and(|(index, own)| {
                    index == producer && instance.is_none_or(|instance| instance == own)
                })
            })),
            Target::Reader(reader) => {
                nodes.extend(by_header(&|header| header.reader == Some(reader as u16)));
            }
            Target::AnyBroker => {
                let drawn = self.any_broker(spec);
                nodes.push(self.broker_node(drawn));
            }
            // To come.
            Target::Member(..)
            | Target::OwnerOf(..)
            | Target::AnyMember(_)
            | Target::CoordinatorOf(_)
            | Target::TransactionCoordinatorOf(_) => {}
            Target::Brokers => nodes.extend(by_header(&|header| header.broker.is_some())),
            Target::Controllers => nodes.extend(by_header(&|header| header.controller.is_some())),
            Target::Clients => nodes
                .extend(by_header(&|header| header.producer.is_some() || header.reader.is_some())),
            Target::Rest => {}
        }
    }

    /// A broker drawn for a fault. There is at least one.
    pub(crate) fn any_broker(&mut self, spec: usize) -> BrokerId {
        let brokers = self.scenario.cluster.brokers.len() as u64;
        let drawn = self.faults.rng(spec).below(brokers);
        self.scenario.cluster.brokers[drawn as usize]
    }

    pub(crate) fn partition_state(&self, partition: TopicPartition) -> Option<PartitionState> {
        let newest = self.nodes.iter().filter_map(|node| node.controller()?.partition(partition));
        newest.max_by_key(|state| (state.leader_epoch, state.partition_epoch)).cloned()
    }

    fn leader_of(&self, partition: TopicPartition) -> Option<NodeId> {
        let leader = self.partition_state(partition)?.leader?;
        Some(self.broker_node(leader))
    }

    fn follower_of(&self, partition: TopicPartition, n: u16) -> Option<NodeId> {
        let state = self.partition_state(partition)?;
        let followers = state.replicas.iter().filter(|&&replica| Some(replica) != state.leader);
        let follower = followers.copied().nth(usize::from(n))?;
        Some(self.broker_node(follower))
    }

    /// A fault with every role and draw replaced by what it stands for now. Roles that nobody has stay as they are.
    pub(crate) fn fix(&mut self, spec: usize, fault: &Fault) -> Fault {
        let mut fixed = fault.clone();
        let (first, second) = match &mut fixed {
            Fault::Kill(targets)
            | Fault::PowerLoss(targets)
            | Fault::Pause(targets)
            | Fault::ControlledShutdown(targets)
            | Fault::SlowDisk { targets, .. } => (Some(targets), None),
            Fault::Partition { first, second, .. }
            | Fault::LinkDelay { first, second, .. }
            | Fault::LinkLoss { first, second, .. }
            | Fault::DropResponses { from: first, to: second, .. } => (Some(first), Some(second)),
            Fault::StallRequests { from: first, to: second, .. } => (Some(first), Some(second)),
            Fault::PreferredElection(_)
            | Fault::OneOf(_)
            | Fault::RollingRestart { .. }
            | Fault::Scale { .. } => (None, None),
        };
        match (first, second) {
            (Some(first), None) => {
                let nodes = self.resolve(spec, &first.clone(), &[]);
                self.name_targets(first, &nodes);
            }
            (Some(first), Some(second)) => {
                let (one, other) = (first.clone(), second.clone());
                let first_is_rest = one.contains(&Target::Rest);
                let (a, b) = if first_is_rest {
                    let b = self.resolve(spec, &other, &[]);
                    (self.resolve_nodes(&one, &b), b)
                } else {
                    let a = self.resolve(spec, &one, &[]);
                    let b = self.resolve_nodes(&other, &a);
                    (a, b)
                };
                self.name_targets(first, &a);
                self.name_targets(second, &b);
            }
            (None, _) => {}
        }
        fixed
    }

    /// Targets that name processes, in the place of the roles that these have.
    fn name_targets(&self, targets: &mut Vec<Target>, nodes: &[NodeId]) {
        if nodes.is_empty() {
            return;
        }
        let name = |node: &NodeId| {
            let header = &self.header.nodes[usize::from(node.0)];
            match (header.broker, header.controller, header.producer, header.reader) {
                (Some(broker), ..) => Target::Broker(broker),
                (None, Some(controller), ..) => Target::Controller(controller),
                (None, None, Some((producer, instance)), _) => {
                    Target::Producer(producer, Some(instance))
                }
                (None, None, None, reader) => {
                    Target::Reader(usize::from(reader.unwrap_or_default()))
                }
            }
        };
        *targets = nodes.iter().map(name).collect();
    }

    pub(crate) fn describe(&self, fault: &Fault) -> String {
        let names = |targets: &[Target]| self.names(targets);
        match fault {
            Fault::Kill(targets) => format!("kill {}", names(targets)),
            Fault::PowerLoss(targets) => format!("power loss of {}", names(targets)),
            Fault::Pause(targets) => format!("pause {}", names(targets)),
            Fault::ControlledShutdown(targets) => {
                format!("controlled shutdown of {}", names(targets))
            }
            Fault::PreferredElection(None) => "preferred election of every partition".to_owned(),
            Fault::PreferredElection(Some(partition)) => {
                let topic = &self.header.topics[usize::from(partition.topic.0)].name;
                format!("preferred election of {topic}-{}", partition.partition)
            }
            Fault::Partition { first, second, direction: Direction::Both } => {
                format!("cut between {} and {}", names(first), names(second))
            }
            Fault::Partition { first, second, direction: Direction::FirstToSecond } => {
                format!("cut from {} to {}", names(first), names(second))
            }
            Fault::LinkDelay { first, second, .. } => {
                format!("slow link between {} and {}", names(first), names(second))
            }
            Fault::LinkLoss { first, second, millionths } => {
                let percent = f64::from(*millionths) / 10_000.0;
                format!("{percent} % loss between {} and {}", names(first), names(second))
            }
            Fault::DropResponses { from, to, .. } => {
                format!("responses from {} to {} dropped", names(from), names(to))
            }
            Fault::SlowDisk { targets, .. } => format!("slow disk of {}", names(targets)),
            // To come.
            Fault::RollingRestart { .. } | Fault::Scale { .. } | Fault::StallRequests { .. } => {
                String::new()
            }
            Fault::OneOf(_) => "one of several faults".to_owned(),
        }
    }

    fn names(&self, targets: &[Target]) -> String {
        let names: Vec<String> =
            targets.iter().filter_map(|target| self.target_name(target)).collect();
        if names.is_empty() { "nobody".to_owned() } else { names.join(", ") }
    }

    /// `None` for a role, which stands in a fixed fault only where nobody has it.
    fn target_name(&self, target: &Target) -> Option<String> {
        let node = match *target {
            Target::Broker(broker) => self.broker_node(broker),
            Target::Controller(controller) => self.controller_node(controller),
            Target::Producer(producer, Some(instance)) => {
                let is_it = |header: &NodeHeader| header.producer == Some((producer, instance));
                let index = self.header.nodes.iter().position(is_it).unwrap_or_default();
                NodeId(index as u16)
            }
            Target::Reader(reader) => return Some(self.header.readers[reader].name.clone()),
            Target::Member(..)
            | Target::OwnerOf(..)
            | Target::AnyMember(_)
            | Target::CoordinatorOf(_)
            | Target::TransactionCoordinatorOf(_)
            | Target::Producer(_, None)
            | Target::LeaderOf(_)
            | Target::FollowerOf(..)
            | Target::ActiveController
            | Target::AnyBroker
            | Target::Brokers
            | Target::Controllers
            | Target::Clients
            | Target::Rest => return None,
        };
        Some(self.header.nodes[usize::from(node.0)].name.clone())
    }

    /// The node to which facts of the world are ascribed.
    pub(crate) fn supervisor(&self) -> NodeId {
        NodeId(u16::MAX)
    }
}
