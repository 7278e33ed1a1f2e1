//! Lives of processes: start, kill, loss of power, pause, exit.

use crate::application::Application;
use crate::application::consumer::ConsumerApplication;
use crate::application::copy::Copier;
use crate::application::producer::ProducerApplication;
use crate::application::work::Pace;
use crate::draws::{self, Purpose};
use crate::network::{Packet, Way};
use crate::node::{AnyMachine, Life, Slot};
use crate::world::{Body, DriverOrder, Event, World, incarnation};
use acklab_machines::balanced::BalancedSetup;
use acklab_machines::broker::{Broker, BrokerMode, BrokerSetup, Coordination};
use acklab_machines::consumer::ConsumerSetup;
use acklab_machines::controller::{Controller, ControllerSetup};
use acklab_machines::group_consumer::{GroupConsumer, GroupConsumerSetup};
use acklab_machines::machine::{Cx, Machine, Outbox};
use acklab_machines::producer::{Producer, ProducerSetup};
use acklab_machines::reader::{Reader, ReaderSetup};
use acklab_machines::zookeeper::{ZooKeeperServer, ZooKeeperServerSetup};
use acklab_scenario::model::Mode;
use acklab_vocab::api::{Endpoint, Listener};
use acklab_vocab::config::GroupClientConfig;
use acklab_vocab::ids::{
    BrokerId, ControllerId, GroupIndex, Incarnation, NodeId, PartitionIndex, TopicId,
    TopicPartition, ZooKeeperServerId,
};
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::{Observer, TraceEvent};
use std::sync::Arc;

/// An election among the servers of ZooKeeper takes a fraction of it.
const ENSEMBLE_FIRST: SimDuration = SimDuration::from_secs(2);

impl<O: Observer> World<O> {
    /// Every process gets its first start.
    pub(crate) fn schedule_first_starts(&mut self) {
        let cold = self.scenario.start == acklab_scenario::model::Start::Cold;
        for index in 0..self.nodes.len() {
            let node = NodeId(index as u16);
            let header = &self.header.nodes[index];
            let is_server = crate::header::is_server(header);
            let member = header.member;
            let spread = SimDuration(self.start_rng.below(200_000_000));
            let at = match (is_server, cold, member) {
                (true, false, _) => self.now + spread + self.after_ensemble(node),
                (true, true, _) => self.now + spread + self.start_up(),
                (false, _, Some((group, instance))) => {
                    let Some(at) = self.first_start_of_member(group, instance) else {
                        self.nodes[index].wanted = false;
                        continue;
                    };
                    at
                }
                (false, false, None) => SimTime::ZERO - crate::formation::CLIENTS_BEFORE_ZERO,
                (false, true, None) => self.now,
            };
            self.push(at, Body::Start { node, incarnation: 0 });
        }
        self.schedule_formation();
    }

    /// How long after the servers of ZooKeeper a broker of a settled cluster starts, so that it finds a leader.
    fn after_ensemble(&self, node: NodeId) -> SimDuration {
        let is_broker = self.header.nodes[usize::from(node.0)].broker.is_some();
        match is_broker && self.has_zookeeper() {
            true => ENSEMBLE_FIRST,
            false => SimDuration::ZERO,
        }
    }

    /// When an instance of an application starts for the first time; `None` if it does not until a fault scales out.
    fn first_start_of_member(&self, group: GroupIndex, instance: u16) -> Option<SimTime> {
        let spec = &self.scenario.groups[usize::from(group.0)];
        if instance >= spec.members {
            return None;
        }
        let stagger = spec.stagger * u64::from(instance);
        let cold = self.scenario.start == acklab_scenario::model::Start::Cold;
        Some(match spec.from {
            Some(from) => SimTime::ZERO + from + stagger,
            None if cold => self.now + stagger,
            None => {
                let one_by_one = match spec.config.member() {
                    Some(_) => SimDuration::ZERO,
                    None => crate::formation::BETWEEN_BALANCED * u64::from(instance),
                };
                SimTime::ZERO - self.members_before_zero() + one_by_one
            }
        })
    }

    /// A process starts: its machines boot from its disk.
    pub(crate) fn start_process(&mut self, node: NodeId) {
        let host = &mut self.nodes[usize::from(node.0)];
        if host.life != Life::Dead || !host.wanted {
            return;
        }
        host.gave_up = false;
        host.life = Life::Running;
        host.restart_when_dead = false;
        host.rng = draws::node_stream(self.seed, node, host.incarnation);
        host.threads.fill(SimTime(i64::MIN));
        let life = incarnation(host);
        self.state(node, TraceEvent::ProcessStarted { incarnation: life });
        self.process_has_started(node);
        let header = self.header.nodes[usize::from(node.0)].clone();
        if let Some(id) = header.controller {
            self.boot_controller(node, id);
        }
        if let Some(id) = header.broker {
            self.boot_broker(node, id, life);
        }
        if let Some(id) = header.zookeeper {
            self.boot_zookeeper(node, id);
        }
        if let Some((group, instance)) = header.member {
            self.boot_member(node, group, instance);
        } else if let Some((index, instance)) = header.producer {
            self.boot_producer(node, index, instance);
        }
        if let Some(reader) = header.reader {
            self.boot_reader(node, reader);
        }
    }

    /// Boots one machine of a process with `boot` and applies what it asks for.
    fn boot<M: Machine>(
        &mut self,
        node: NodeId,
        boot: impl FnOnce(&mut Cx<'_, M::Timer, M::Report>) -> M,
        wrap: impl FnOnce(Box<M>, Outbox<M::Timer, M::Report>) -> AnyMachine,
    ) {
        let now = self.now;
        let host = &mut self.nodes[usize::from(node.0)];
        let mut outbox = Outbox::default();
        let machine = boot(&mut Cx::new(now, node, &mut host.rng, &mut host.disk, &mut outbox));
        host.machines.push(Slot::new(wrap(Box::new(machine), outbox)));
        let role = (host.machines.len() - 1) as u8;
        self.empty_outbox(node, role);
    }

    fn voters(&self) -> Vec<(ControllerId, Endpoint)> {
        let endpoint = |&(id, _): &(ControllerId, Option<BrokerId>)| {
            (id, Endpoint { node: self.controller_node(id), listener: Listener::Controller })
        };
        self.scenario.cluster.controllers().iter().map(endpoint).collect()
    }

    fn boot_controller(&mut self, node: NodeId, id: ControllerId) {
        let setup = ControllerSetup {
            id,
            config: self.scenario.cluster.controller_config.clone(),
            topics: self.topic_configs(),
            voters: self.voters(),
        };
        self.boot(node, |cx| Controller::boot(cx, setup), AnyMachine::Controller);
    }

    /// What brokers have to know as coordinators.
    fn coordination(&self) -> Arc<Coordination> {
        Arc::new(Coordination {
            offsets_topic: self.scenario.offsets_topic,
            transactions_topic: self.scenario.transactions_topic,
            offsets_partitions: self.partitions_of(self.scenario.offsets_topic),
            transactions_partitions: self.partitions_of(self.scenario.transactions_topic),
            group_ids: self.scenario.group_ids.clone(),
            transactional_ids: self.scenario.transactional_ids.clone(),
        })
    }

    /// How many partitions an internal topic has.
    fn partitions_of(&self, topic: Option<TopicId>) -> u32 {
        let spec = topic.map(|topic| &self.scenario.topics[usize::from(topic.0)]);
        spec.map_or(0, |spec| spec.assignments.len() as u32)
    }

    fn boot_broker(&mut self, node: NodeId, id: BrokerId, incarnation: Incarnation) {
        let setup = BrokerSetup {
            id,
            config: self.scenario.cluster.broker_config.clone(),
            topics: self.topic_configs(),
            coordination: self.coordination(),
            mode: self.broker_mode(),
            incarnation,
        };
        self.boot(node, |cx| Broker::boot(cx, setup), AnyMachine::Broker);
    }

    /// Where a broker finds the cluster's truth.
    fn broker_mode(&self) -> BrokerMode {
        match &self.scenario.cluster.mode {
            Mode::KRaft { .. } => BrokerMode::KRaft { voters: self.voters() },
            Mode::ZooKeeper { .. } => BrokerMode::ZooKeeper { servers: self.zookeeper_connect() },
        }
    }

    /// `zookeeper.connect`: every server of the ensemble.
    pub(crate) fn zookeeper_connect(&self) -> Vec<Endpoint> {
        let endpoint = |&server: &ZooKeeperServerId| Endpoint {
            node: self.zookeeper_node(server),
            listener: Listener::ZooKeeper,
        };
        self.scenario.cluster.zookeeper().iter().map(endpoint).collect()
    }

    fn boot_zookeeper(&mut self, node: NodeId, id: ZooKeeperServerId) {
        let Mode::ZooKeeper { servers, config } = &self.scenario.cluster.mode else { return };
        let ensemble = servers.iter().map(|&server| (server, self.zookeeper_node(server)));
        let setup =
            ZooKeeperServerSetup { id, config: config.clone(), ensemble: ensemble.collect() };
        self.boot(node, |cx| ZooKeeperServer::boot(cx, setup), AnyMachine::ZooKeeper);
    }

    fn boot_producer(
        &mut self,
        node: NodeId,
        index: acklab_vocab::ids::ProducerIndex,
        instance: u16,
    ) {
        let spec = &self.scenario.producers[usize::from(index.0)];
        let setup = ProducerSetup {
            config: spec.config.clone(),
            bootstrap: self.bootstrap(),
            producer: index,
            instance,
            stride: u32::from(spec.count),
            transactional_id: spec.transactions.as_ref().map(|own| own.ids[usize::from(instance)]),
        };
        let spec = spec.clone();
        self.boot(node, |cx| Producer::boot(cx, setup), AnyMachine::Producer);
        let (seed, now) = (self.seed, self.now);
        let host = &mut self.nodes[usize::from(node.0)];
        match &mut host.application {
            Some(application) => {
                if let Some(application) = application.producer_mut() {
                    application.resume_at(now);
                }
            }
            none => {
                let application = ProducerApplication::new(spec, instance, node, seed);
                *none = Some(Application::Producer(Box::new(application)));
            }
        }
        self.schedule_burst(node);
        self.start_application(node);
    }

    /// A process of a consumer's application: the consumer first, then the producer by which it writes.
    fn boot_member(&mut self, node: NodeId, group: GroupIndex, instance: u16) {
        let Some(setup) = self.consumer_setup(node) else { return };
        self.boot(node, |cx| GroupConsumer::boot(cx, setup), AnyMachine::Consumer);
        if let Some(output) = self.output_of(group) {
            let own = output.transactions.as_ref();
            let setup = ProducerSetup {
                config: output.config.clone(),
                bootstrap: self.bootstrap(),
                producer: output.producer,
                instance: 0,
                // Copies have the numbers of what is copied: any two that follow on each other are a run.
                stride: 1,
                transactional_id: own.map(|own| own.ids[usize::from(instance)]),
            };
            self.boot(node, |cx| Producer::boot(cx, setup), AnyMachine::Producer);
        }
        if self.nodes[usize::from(node.0)].application.is_none() {
            let application = self.new_member(node, group, instance);
            self.nodes[usize::from(node.0)].application =
                Some(Application::Consumer(Box::new(application)));
        }
        self.start_application(node);
    }

    fn new_member(&self, node: NodeId, group: GroupIndex, instance: u16) -> ConsumerApplication {
        let spec = self.scenario.groups[usize::from(group.0)].clone();
        let stream = |purpose| draws::stream(self.seed, purpose, u64::from(node.0));
        let watched = self.watched_records(group);
        let pace = Pace::new(spec.processing.clone(), &watched, stream(Purpose::Processing));
        let copier = spec.output.as_ref().map(|output| {
            let writers = self.header.writers_to(&spec.topics).collect();
            Copier::new(output, writers, instance, stream(Purpose::Abort))
        });
        ConsumerApplication::new(spec, pace, copier)
    }

    /// What the consumer of a process is started with.
    pub(crate) fn consumer_setup(&self, node: NodeId) -> Option<GroupConsumerSetup> {
        let (group, instance) = self.header.nodes[usize::from(node.0)].member?;
        let spec = &self.scenario.groups[usize::from(group.0)];
        let (bootstrap, group) = (self.bootstrap(), spec.group);
        let topics = spec.topics.iter().copied().collect();
        Some(match &spec.config {
            GroupClientConfig::Member(config) => GroupConsumerSetup::Member(ConsumerSetup {
                config: config.clone(),
                bootstrap,
                group,
                instance: spec.instance_ids.get(usize::from(instance)).copied(),
                topics,
                assigns_itself: spec.assigns_itself,
            }),
            GroupClientConfig::Balanced(config) => {
                let (config, zookeeper) = (config.clone(), self.zookeeper_connect());
                let setup = BalancedSetup { config, bootstrap, zookeeper, group, topics };
                GroupConsumerSetup::Balanced(setup)
            }
        })
    }

    fn boot_reader(&mut self, node: NodeId, reader: u16) {
        let spec = &self.scenario.readers[usize::from(reader)];
        let partitions = spec.topics.iter().flat_map(|&topic| {
            let count = self.scenario.topics[usize::from(topic.0)].at_first;
            (0..count).map(move |partition| TopicPartition {
                topic,
                partition: PartitionIndex(partition),
            })
        });
        let setup = ReaderSetup {
            config: spec.config.clone(),
            bootstrap: self.bootstrap(),
            partitions: partitions.collect(),
        };
        self.boot(node, |cx| Reader::boot(cx, setup), AnyMachine::Reader);
    }

    fn bootstrap(&self) -> Vec<(BrokerId, Endpoint)> {
        let endpoint = |&broker: &BrokerId| {
            (broker, Endpoint { node: self.broker_node(broker), listener: Listener::Broker })
        };
        self.scenario.cluster.brokers.iter().map(endpoint).collect()
    }

    fn topic_configs(&self) -> Arc<[acklab_vocab::config::TopicConfig]> {
        self.scenario.topics.iter().map(|topic| topic.config.clone()).collect()
    }

    // ---- ends ------------------------------------------------------------------------------------------------------

    /// Kills a process. Its host lives on, and resets its connections. One that is about to start does not.
    pub(crate) fn kill(&mut self, node: NodeId) {
        let host = &mut self.nodes[usize::from(node.0)];
        if host.life == Life::Dead {
            host.incarnation += 1;
            return;
        }
        self.interrupt_application(node, true);
        self.state(node, TraceEvent::ProcessKilled);
        self.die(node, true);
    }

    /// A host loses power: the process dies, unflushed data is gone, and nobody answers.
    pub(crate) fn lose_power(&mut self, node: NodeId) {
        if !self.nodes[usize::from(node.0)].host_up {
            return;
        }
        self.interrupt_application(node, true);
        self.state(node, TraceEvent::PowerLost);
        self.die(node, false);
        let write_back = self.scenario.disk.write_back;
        let host = &mut self.nodes[usize::from(node.0)];
        host.host_up = false;
        let age = draws::next_span(write_back, &mut host.disk_rng);
        let lost = host.disk.lose_power(self.now - age);
        for (partition, from, log_end_offset) in lost {
            self.state(node, TraceEvent::UnflushedTailLost { partition, from, log_end_offset });
        }
    }

    /// A process ends by itself.
    pub(crate) fn process_exits(&mut self, node: NodeId, clean: bool) {
        self.interrupt_application(node, true);
        self.state(node, TraceEvent::ProcessExited { clean });
        self.die(node, true);
        if self.nodes[usize::from(node.0)].restart_when_dead {
            self.restart(node);
        } else {
            self.supervise(node);
        }
    }

    fn die(&mut self, node: NodeId, host_answers: bool) {
        let host = &mut self.nodes[usize::from(node.0)];
        host.life = Life::Dead;
        host.incarnation += 1;
        host.machines.clear();
        host.backlog.clear();
        host.reports.clear();
        if let Some(application) = host.application.as_mut().and_then(Application::producer_mut) {
            application.waiting_to_resend = 0;
        }
        for index in 0..self.network.connections.len() as u32 {
            for way in [Way::ToServer, Way::ToClient] {
                let (sender, receiver) = self.network.ends(index, way);
                if sender.node != node || !sender.open {
                    continue;
                }
                self.network.receiver_mut(index, way.back()).open = false;
                self.network.drop_held(index, way);
                if way == Way::ToClient {
                    self.network.connections[index as usize].inbox.clear();
                }
                if host_answers && receiver.open {
                    self.transmit(index, way, Packet::Reset);
                }
            }
        }
        self.order(DriverOrder::Kill(node));
        self.process_has_ended(node);
    }

    /// Starts a process again, its host first if need be.
    pub(crate) fn restart(&mut self, node: NodeId) {
        let host = &mut self.nodes[usize::from(node.0)];
        if !host.host_up {
            host.host_up = true;
            self.answer_from_the_dead(node);
        }
        let host = &mut self.nodes[usize::from(node.0)];
        if !host.wanted {
            return;
        }
        host.restart_when_dead = true;
        if host.life != Life::Dead {
            return;
        }
        let incarnation = host.incarnation;
        let at = self.now + self.start_up();
        self.push(at, Body::Start { node, incarnation });
        self.order(DriverOrder::Start(node));
    }

    /// A host is back: whoever has been sending to a connection that it has forgotten learns so.
    fn answer_from_the_dead(&mut self, node: NodeId) {
        for index in 0..self.network.connections.len() as u32 {
            for way in [Way::ToServer, Way::ToClient] {
                let (sender, receiver) = self.network.ends(index, way);
                let stream = &mut self.network.connections[index as usize].streams[way as usize];
                let Some(since) = stream.unanswered_since.take() else { continue };
                if receiver.node == node && sender.open {
                    let at = self.network.answer_from_the_dead(since, self.now);
                    self.schedule_arrival(index, way.back(), at, Packet::Reset);
                }
            }
        }
    }

    // ---- pauses ----------------------------------------------------------------------------------------------------

    /// A process stands still.
    pub(crate) fn pause(&mut self, node: NodeId) {
        let host = &mut self.nodes[usize::from(node.0)];
        if host.life != Life::Running {
            return;
        }
        host.life = Life::Paused(self.now);
        self.interrupt_application(node, false);
        self.state(node, TraceEvent::ProcessPaused);
        self.order(DriverOrder::Pause(node));
    }

    /// A process runs again, and takes up what has reached it meanwhile. A client reads its sockets before it looks at its
    /// overdue timers, as Java's does; on a server, where both have threads of their own, they interleave as drawn.
    pub(crate) fn resume(&mut self, node: NodeId) {
        let host = &mut self.nodes[usize::from(node.0)];
        let Life::Paused(since) = host.life else { return };
        host.life = Life::Running;
        let backlog = std::mem::take(&mut host.backlog);
        let is_client = host.is_client();
        let paused_for = self.now.since(since);
        self.state(node, TraceEvent::ProcessResumed { paused_for });
        let (packets, timers): (Vec<Event>, Vec<Event>) =
            backlog.into_iter().partition(|event| is_from_outside(&event.body));
        let merged = if is_client {
            packets.into_iter().chain(timers).collect()
        } else {
            let life = u64::from(self.nodes[usize::from(node.0)].incarnation);
            let entity = u64::from(node.0) << 32 | life;
            interleave(packets, timers, &mut draws::stream(self.seed, Purpose::Resume, entity))
        };
        let now = self.now;
        for event in merged {
            self.queue.push(now, event);
        }
        self.wake_now(node, crate::application::Wake::Resume);
        self.order(DriverOrder::Resume(node));
    }

    pub(crate) fn order(&mut self, order: DriverOrder) {
        self.orders.push(order);
        self.call_driver();
    }

    // ---- links -----------------------------------------------------------------------------------------------------

    /// Cuts are over: what was held goes out.
    pub(crate) fn heal_links(&mut self, links: &[(NodeId, NodeId)]) {
        let mut open = Vec::new();
        for &(from, to) in links {
            if self.network.heal(from, to) {
                open.push((from, to));
            }
        }
        open.sort_unstable();
        for index in 0..self.network.connections.len() as u32 {
            for way in [Way::ToServer, Way::ToClient] {
                let (sender, receiver) = self.network.ends(index, way);
                if open.binary_search(&(sender.node, receiver.node)).is_err() {
                    continue;
                }
                let (arrivals, was_blocked) = self.network.release(index, way, self.now);
                let resumes = arrivals.first().map(|&(at, _)| at);
                for (at, packet) in arrivals {
                    self.schedule_arrival(index, way, at, packet);
                }
                if let (true, Some(at)) = (was_blocked && way == Way::ToServer, resumes) {
                    self.push(at, Body::Write { connection: index, blocked: false });
                }
            }
        }
    }
}

/// Whether an event came over the network or from a disk, not from a timer or the application of the process itself.
fn is_from_outside(body: &Body) -> bool {
    match body {
        Body::Packet { .. } | Body::Serve { .. } | Body::Write { .. } | Body::Flushed { .. } => {
            true
        }
        Body::Timer { .. }
        | Body::Burst { .. }
        | Body::Resend { .. }
        | Body::Application { .. }
        | Body::Call { .. }
        | Body::Start { .. }
        | Body::World(_) => false,
    }
}

/// Merges two sequences, each in its own order, every interleaving being equally likely.
fn interleave<T>(first: Vec<T>, second: Vec<T>, rng: &mut acklab_machines::rng::NodeRng) -> Vec<T> {
    let mut left = (first.len() as u64, second.len() as u64);
    let mut merged = Vec::with_capacity(first.len() + second.len());
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    while left.0 + left.1 > 0 {
        let from_first = rng.below(left.0 + left.1) < left.0;
        let next = if from_first {
            left.0 -= 1;
            first.next()
        } else {
            left.1 -= 1;
            second.next()
        };
        merged.extend(next);
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::interleave;
    use acklab_machines::rng::NodeRng;

    #[test]
    fn interleaving_keeps_both_orders() {
        let merged = interleave((0..50).collect(), (100..150).collect(), &mut NodeRng::for_test(3));
        let (first, second): (Vec<i32>, Vec<i32>) = merged.iter().partition(|&&item| item < 100);
        assert_eq!(first, (0..50).collect::<Vec<_>>());
        assert_eq!(second, (100..150).collect::<Vec<_>>());
        assert!(merged[..50].iter().any(|&item| item >= 100), "they mix");
    }
}
