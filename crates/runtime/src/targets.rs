//! Whom a fault strikes: roles to processes, and processes to words.

use crate::draws;
use crate::node::Life;
use crate::rollouts::exactly;
use crate::world::World;
use acklab_machines::broker::partition_for;
use acklab_scenario::model::{Direction, Fault, Span, Target};
use acklab_vocab::ids::{BrokerId, GroupIndex, NodeId, PartitionIndex, TopicId, TopicPartition};
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
            Target::ZooKeeper(server) => nodes.push(self.zookeeper_node(server)),
            Target::ZooKeeperLeader => nodes.extend(self.zookeeper_leader()),
            Target::ZooKeepers => nodes.extend(by_header(&|header| header.zookeeper.is_some())),
            Target::Controllers if self.has_zookeeper() => {
                nodes.extend(self.active_controller());
            }
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
            Target::Member(group, instance) => nodes.extend(by_header(&|header| {
                header.member.is_some_and(|(index, own)| {
                    index == group && instance.is_none_or(|instance| instance == own)
                })
            })),
            Target::OwnerOf(group, partition) => nodes.extend(self.owner_of(group, partition)),
            Target::AnyMember(group) => {
                nodes.extend(self.any_member(spec, group).map(|(node, _)| node));
            }
            Target::CoordinatorOf(group) => {
                let name = self.scenario.group_ids[usize::from(group.0)].clone();
                nodes.extend(self.coordinator_of(self.scenario.offsets_topic, &name));
            }
            Target::TransactionCoordinatorOf(id) => {
                let name = self.scenario.transactional_ids[usize::from(id.0)].clone();
                nodes.extend(self.coordinator_of(self.scenario.transactions_topic, &name));
            }
            Target::Brokers => nodes.extend(by_header(&|header| header.broker.is_some())),
            Target::Controllers => nodes.extend(by_header(&|header| header.controller.is_some())),
            Target::Clients => nodes.extend(by_header(&|header| {
                header.producer.is_some() || header.reader.is_some() || header.member.is_some()
            })),
            Target::Rest => {}
        }
    }

    /// A broker drawn for a fault. There is at least one.
    pub(crate) fn any_broker(&mut self, spec: usize) -> BrokerId {
        let brokers = self.scenario.cluster.brokers.len() as u64;
        let drawn = self.faults.rng(spec).below(brokers);
        self.scenario.cluster.brokers[drawn as usize]
    }

    /// An instance of an application that runs, drawn for a fault: its process and its number.
    pub(crate) fn any_member(&mut self, spec: usize, group: GroupIndex) -> Option<(NodeId, u16)> {
        let runs = |node: &NodeId| self.nodes[usize::from(node.0)].life != Life::Dead;
        let running: Vec<NodeId> = self.instances(group).filter(runs).collect();
        if running.is_empty() {
            return None;
        }
        let drawn = running[self.faults.rng(spec).below(running.len() as u64) as usize];
        let (_, instance) = self.header.nodes[usize::from(drawn.0)].member?;
        Some((drawn, instance))
    }

    /// The instance of an application that owns a partition. Of those that assign themselves every partition, the first
    /// that runs.
    fn owner_of(&self, group: GroupIndex, partition: TopicPartition) -> Option<NodeId> {
        let spec = &self.scenario.groups[usize::from(group.0)];
        if spec.assigns_itself {
            let runs = |node: &NodeId| self.nodes[usize::from(node.0)].life != Life::Dead;
            return self.instances(group).find(runs);
        }
        let owner = self.groups.owner(spec.group, partition)?;
        let (application, _) = self.header.nodes[usize::from(owner.0)].member?;
        (application == group).then_some(owner)
    }

    /// The leader of the partition of an internal topic to which a name belongs.
    fn coordinator_of(&self, topic: Option<TopicId>, name: &str) -> Option<NodeId> {
        let topic = topic?;
        let count = self.scenario.topics[usize::from(topic.0)].assignments.len() as u16;
        let partition = PartitionIndex(partition_for(name, count.max(1)));
        self.leader_of(TopicPartition { topic, partition })
    }

    pub(crate) fn partition_state(&self, partition: TopicPartition) -> Option<PartitionState> {
        if self.has_zookeeper() {
            return self.partition_in_zookeeper(partition);
        }
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
            Fault::StallRequests { from: first, to: second, by, .. } => {
                *by = self.draw_span(spec, *by);
                (Some(first), Some(second))
            }
            Fault::RollingRestart { down, between, .. } => {
                *down = self.draw_span(spec, *down);
                *between = self.draw_span(spec, *between);
                (None, None)
            }
            Fault::PreferredElection(_)
            | Fault::OneOf(_)
            | Fault::Scale { .. }
            | Fault::AddPartitions { .. } => (None, None),
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

    fn draw_span(&mut self, spec: usize, span: Span) -> Span {
        Span::Exactly(draws::next_span(span, self.faults.rng(spec)))
    }

    /// Targets that name processes, in the place of the roles that these have.
    fn name_targets(&self, targets: &mut Vec<Target>, nodes: &[NodeId]) {
        if nodes.is_empty() {
            return;
        }
        let name = |node: &NodeId| {
            let header = &self.header.nodes[usize::from(node.0)];
            if let Some((group, instance)) = header.member {
                return Target::Member(group, Some(instance));
            }
            if let Some(server) = header.zookeeper {
                return Target::ZooKeeper(server);
            }
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
            Fault::DropResponses { apis, from, to, .. } => {
                let apis: Vec<&str> = apis.iter().map(|api| api.name()).collect();
                let apis = apis.join(", ");
                format!("{apis} responses from {} to {} dropped", names(from), names(to))
            }
            Fault::SlowDisk { targets, .. } => format!("slow disk of {}", names(targets)),
            Fault::RollingRestart { group, down, .. } => {
                let name = &self.header.groups[usize::from(group.0)].name;
                format!("rolling restart of {name}, each down for {}", exactly(*down))
            }
            Fault::Scale { group, members } => {
                let name = &self.header.groups[usize::from(group.0)].name;
                format!("scale {name} to {members}")
            }
            Fault::AddPartitions { topic, count } => {
                let name = &self.header.topics[usize::from(topic.0)].name;
                format!("{count} more partitions for {name}")
            }
            Fault::StallRequests { from, to, api, by, first } => {
                let which = match first {
                    Some(1) => "the next".to_owned(),
                    Some(first) => format!("the next {first}"),
                    None => "every".to_owned(),
                };
                let (from, to, api) = (names(from), names(to), api.name());
                format!("{which} {api} from {from} to {to} stalled by {}", exactly(*by))
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
            Target::ZooKeeper(server) => self.zookeeper_node(server),
            Target::Producer(producer, Some(instance)) => {
                let is_it = |header: &NodeHeader| header.producer == Some((producer, instance));
                let index = self.header.nodes.iter().position(is_it).unwrap_or_default();
                NodeId(index as u16)
            }
            Target::Reader(reader) => return Some(self.header.readers[reader].name.clone()),
            Target::Member(group, Some(instance)) => {
                let is_it = |header: &NodeHeader| header.member == Some((group, instance));
                let index = self.header.nodes.iter().position(is_it).unwrap_or_default();
                NodeId(index as u16)
            }
            Target::Member(_, None)
            | Target::OwnerOf(..)
            | Target::AnyMember(_)
            | Target::CoordinatorOf(_)
            | Target::TransactionCoordinatorOf(_)
            | Target::Producer(_, None)
            | Target::LeaderOf(_)
            | Target::FollowerOf(..)
            | Target::ActiveController
            | Target::ZooKeeperLeader
            | Target::ZooKeepers
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
