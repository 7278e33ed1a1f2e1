//! After the workload: retries, readers and consumers go on until everything is at rest.

use crate::application::Application;
use crate::application::consumer::ConsumerApplication;
use crate::node::{Life, Node};
use crate::world::{Body, Stuck, World, WorldEvent};
use acklab_scenario::model::GroupSpec;
use acklab_vocab::api::Isolation;
use acklab_vocab::ids::{GroupId, GroupIndex, NodeId, Offset, TopicPartition, TransactionalId};
use acklab_vocab::time::SimDuration;
use acklab_vocab::trace::{CommitStyle, GroupState, Observer, TraceEvent};

/// How often to look.
const LOOK_INTERVAL: SimDuration = SimDuration::from_millis(50);

impl<O: Observer> World<O> {
    /// The workload is over.
    pub(crate) fn workload_ends(&mut self) {
        self.heal_faults();
        self.workload_over = true;
        self.state(self.supervisor(), TraceEvent::WorkloadEnded);
        let end = self.now + self.scenario.settle;
        self.push(end, Body::World(WorldEvent::SettleTimeOver));
        self.look_for_rest();
    }

    /// Ends the run if everything is at rest.
    pub(crate) fn look_for_rest(&mut self) {
        if self.restless(true).is_empty() {
            self.end_run();
        } else {
            let at = self.now + LOOK_INTERVAL;
            self.push(at, Body::World(WorldEvent::LookForRest));
        }
    }

    /// The time to settle is over.
    pub(crate) fn settle_time_over(&mut self) {
        let because = self.restless(false);
        if !because.is_empty() {
            self.stuck = Some(Stuck { at: self.now, because });
        }
        self.end_run();
    }

    fn end_run(&mut self) {
        self.state(self.supervisor(), TraceEvent::RunEnded);
        self.over = true;
    }

    /// What still moves or waits, in words; only the first thing found if `first_only`.
    fn restless(&self, first_only: bool) -> Vec<String> {
        let mut found = Vec::new();
        self.restless_producers(&mut found);
        if first_only && !found.is_empty() {
            return found;
        }
        self.restless_processes(&mut found);
        self.restless_sockets(&mut found);
        if first_only && !found.is_empty() {
            return found;
        }
        let ends = self.restless_partitions(&mut found);
        self.restless_readers(&ends, &mut found);
        if first_only && !found.is_empty() {
            return found;
        }
        self.restless_transactions(&mut found);
        self.restless_members(&ends, &mut found);
        found
    }

    fn name(&self, node: NodeId) -> &str {
        &self.header.nodes[usize::from(node.0)].name
    }

    fn restless_producers(&self, found: &mut Vec<String>) {
        // Whoever is never to run again resolves nothing any more.
        for node in self.nodes.iter().filter(|node| !self.faults.holds_down(node.id)) {
            let creates = node.application.as_ref().and_then(Application::producer);
            let waiting = creates.map_or(0, |application| application.waiting_to_resend);
            if creates.is_some_and(|application| !application.is_between_transactions()) {
                found.push(format!("producer {} is in a transaction", self.name(node.id)));
            }
            let idle = node.producer().is_none_or(acklab_machines::producer::Producer::is_idle);
            if !idle || waiting > 0 {
                found.push(format!(
                    "producer {} has sends that are not resolved",
                    self.name(node.id)
                ));
            }
        }
    }

    /// Requests of producers that are on their way, or unread in a broker's socket. With acks=0, or if
    /// the producer has given them up, nobody waits for them, and they may still be appended.
    fn restless_sockets(&self, found: &mut Vec<String>) {
        let under_way = self.network.connections.iter().find(|connection| {
            let client = &self.nodes[usize::from(connection.client.node.0)];
            let machine = client.machines.get(usize::from(connection.client.role));
            machine.is_some_and(|slot| slot.machine.producer().is_some())
                && !self.faults.holds_down(connection.server.node)
                && connection.has_requests_under_way(self.now)
        });
        if let Some(connection) = under_way {
            found.push(format!(
                "requests of producer {} to {} have not been handled",
                self.name(connection.client.node),
                self.name(connection.server.node)
            ));
        }
    }

    /// Processes that are to run and do not yet.
    fn restless_processes(&self, found: &mut Vec<String>) {
        for node in &self.nodes {
            if self.faults.holds_down(node.id) {
                continue;
            }
            let is_to_run = node.wanted && !node.gave_up;
            if is_to_run && node.life != Life::Running {
                found.push(format!("{} is not running", self.name(node.id)));
            } else if !is_to_run && node.life != Life::Dead {
                found.push(format!("{} has not ended", self.name(node.id)));
            }
        }
    }

    /// Every partition has a leader, a full ISR and a high watermark at its log end, as far as permanent faults allow.
    /// Returns the log ends.
    fn restless_partitions(&self, found: &mut Vec<String>) -> Vec<(TopicPartition, Offset)> {
        let mut ends = Vec::new();
        for partition in self.partitions() {
            let name = self.partition_name(partition);
            let state = self.partition_state(partition);
            let Some(state) = state else {
                found.push(format!("{name} does not exist"));
                continue;
            };
            let able = |replica: &acklab_vocab::ids::BrokerId| {
                !self.faults.hinders(self.broker_node(*replica))
            };
            let Some(leader) = state.leader else {
                if state.isr.iter().any(able) {
                    found.push(format!("{name} has no leader"));
                }
                continue;
            };
            let wanted = state.replicas.iter().filter(|replica| able(replica)).count();
            if state.isr.iter().filter(|replica| able(replica)).count() < wanted {
                found.push(format!(
                    "{name} has an ISR of {} of {}",
                    state.isr.len(),
                    state.replicas.len()
                ));
            }
            let node = self.broker_node(leader);
            let broker = self.nodes[usize::from(node.0)].broker();
            let mut led =
                broker.into_iter().flat_map(acklab_machines::broker::Broker::led_partitions);
            match led.find(|(led, ..)| *led == partition) {
                Some((_, epoch, end, watermark)) if epoch == state.leader_epoch => {
                    if watermark < end {
                        found.push(format!("{name} has records above its high watermark"));
                    }
                    ends.push((partition, watermark));
                }
                Some(_) | None => found.push(format!("the leader of {name} does not lead yet")),
            }
        }
        ends
    }

    fn restless_readers(&self, ends: &[(TopicPartition, Offset)], found: &mut Vec<String>) {
        for node in &self.nodes {
            let Some(reader) = node.reader() else { continue };
            if self.faults.hinders(node.id) {
                continue;
            }
            let index = self.header.nodes[usize::from(node.id.0)].reader.unwrap_or_default();
            let isolation = self.scenario.readers[usize::from(index)].config.isolation;
            let mut behind = 0;
            for (partition, position) in reader.positions() {
                let end = self.visible_end(ends, partition, isolation);
                behind += end.map_or(0, |end| end.distance_from(position.unwrap_or_default()));
            }
            if behind > 0 {
                found.push(format!("reader {} is {behind} records behind", self.name(node.id)));
            }
        }
    }

    /// Transactions that their coordinators will still end. One that is open in a partition alone, which no coordinator
    /// knows of, nobody ends.
    fn restless_transactions(&self, found: &mut Vec<String>) {
        for (id, name) in self.scenario.transactional_ids.iter().enumerate() {
            if self.groups.has_open_transaction(TransactionalId(id as u16)) {
                found.push(format!("a transaction of {name} has not ended"));
            }
        }
    }

    /// Every group that has members is stable and has no lag; its applications wait for records.
    fn restless_members(&self, ends: &[(TopicPartition, Offset)], found: &mut Vec<String>) {
        let mut owned: Vec<(GroupId, TopicPartition)> = Vec::new();
        let mut joined: Vec<GroupIndex> = Vec::new();
        for (node, header) in self.nodes.iter().zip(&self.header.nodes) {
            let Some((group, _)) = header.member else { continue };
            if node.life != Life::Running || self.faults.hinders(node.id) {
                continue;
            }
            let application = node.application.as_ref().and_then(Application::consumer);
            let (Some(consumer), Some(application)) = (node.consumer(), application) else {
                continue;
            };
            let spec = application.spec();
            if !spec.assigns_itself {
                joined.push(group);
            }
            owned.extend(consumer.positions().map(|(partition, _)| (spec.group, partition)));
            if !application.is_at_rest() {
                let (doing, in_hand) = (application.activity(), application.in_hand());
                let name = &header.name;
                found.push(format!("{name} is {doing}, with {in_hand} records in hand"));
            } else if !consumer.is_settled() {
                found.push(format!("{} has not settled in its group", header.name));
            }
            self.restless_positions(node, application, ends, found);
        }
        joined.dedup();
        owned.sort_unstable();
        for group in joined {
            let spec = &self.scenario.groups[usize::from(group.0)];
            if !self.is_in_order(spec) {
                found.push(format!("group {} is not stable", spec.name));
            }
            for partition in self.partitions().filter(|own| spec.topics.contains(&own.topic)) {
                if owned.binary_search(&(spec.group, partition)).is_err() {
                    let name = self.partition_name(partition);
                    found.push(format!("nobody in group {} owns {name}", spec.name));
                }
            }
        }
    }

    /// Where a member is behind, or has not tried to commit what it has read.
    fn restless_positions(
        &self,
        node: &Node,
        application: &ConsumerApplication,
        ends: &[(TopicPartition, Offset)],
        found: &mut Vec<String>,
    ) {
        let Some(consumer) = node.consumer() else { return };
        let isolation = application.spec().config.consumer().isolation;
        let (mut behind, mut uncommitted) = (0, false);
        for (partition, position) in consumer.positions() {
            let end = self.visible_end(ends, partition, isolation);
            behind += end.map_or(0, |end| end.distance_from(position.unwrap_or_default()));
            let settled_at = self.groups.settled_at(node.id, partition);
            uncommitted |= match application.spec().commit {
                CommitStyle::Auto | CommitStyle::HandedToWorkers => {
                    let delivered = application.delivered(partition);
                    delivered.is_some() && settled_at != delivered && settled_at != position
                }
                CommitStyle::SyncPerBatch
                | CommitStyle::SyncPerRecord
                | CommitStyle::Async
                | CommitStyle::AsyncRetried
                | CommitStyle::AsyncThenSync
                | CommitStyle::BeforeProcessing
                | CommitStyle::InTransaction
                | CommitStyle::Never => false,
            };
        }
        if behind > 0 {
            found.push(format!("{} is {behind} records behind", self.name(node.id)));
        }
        if uncommitted {
            found.push(format!("{} has not committed what it has read", self.name(node.id)));
        }
    }

    /// Up to where a partition can be read, if it is at rest: with `read_committed`, up to its leader's last stable offset.
    fn visible_end(
        &self,
        ends: &[(TopicPartition, Offset)],
        partition: TopicPartition,
        isolation: Isolation,
    ) -> Option<Offset> {
        let high_watermark = ends.iter().find(|(other, _)| *other == partition)?.1;
        if isolation != Isolation::LastStable {
            return Some(high_watermark);
        }
        let leader = self.broker_node(self.partition_state(partition)?.leader?);
        self.nodes[usize::from(leader.0)].broker()?.last_stable_offset(partition)
    }

    /// Whether an application's group has shared its partitions out: by its coordinator, or by ZooKeeper.
    pub(crate) fn is_in_order(&self, spec: &GroupSpec) -> bool {
        match spec.config.member() {
            Some(_) => self.group_is_stable(spec.group),
            None => self.is_balanced(spec.group),
        }
    }

    /// Whether the group's coordinator has last said that the group is stable.
    pub(crate) fn group_is_stable(&self, group: GroupId) -> bool {
        self.groups.state(group) == Some(GroupState::Stable)
    }

    fn partition_name(&self, partition: TopicPartition) -> String {
        let topic = &self.scenario.topics[usize::from(partition.topic.0)].name;
        format!("{topic}-{}", partition.partition)
    }
}
