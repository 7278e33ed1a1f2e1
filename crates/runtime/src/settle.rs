//! After the workload: retries and readers go on until everything is at rest.

use crate::node::Life;
use crate::world::{Body, Stuck, World, WorldEvent};
use acklab_vocab::ids::{NodeId, Offset, TopicPartition};
use acklab_vocab::time::SimDuration;
use acklab_vocab::trace::{Observer, TraceEvent};

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
        found
    }

    fn name(&self, node: NodeId) -> &str {
        &self.header.nodes[usize::from(node.0)].name
    }

    fn restless_producers(&self, found: &mut Vec<String>) {
        // Whoever is never to run again resolves nothing any more.
        for node in self.nodes.iter().filter(|node| !self.faults.holds_down(node.id)) {
            let waiting = node.application.as_ref().map_or(0, |app| app.waiting_to_resend);
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
            client.producer().is_some()
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
            if node.life != Life::Running && !self.faults.holds_down(node.id) {
                found.push(format!("{} is not running", self.name(node.id)));
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
            let mut behind = 0;
            for (partition, position) in reader.positions() {
                let end = ends.iter().find(|(other, _)| *other == partition).map(|&(_, end)| end);
                behind += end.map_or(0, |end| end.distance_from(position.unwrap_or_default()));
            }
            if behind > 0 {
                found.push(format!("reader {} is {behind} records behind", self.name(node.id)));
            }
        }
    }

    fn partition_name(&self, partition: TopicPartition) -> String {
        let topic = &self.scenario.topics[usize::from(partition.topic.0)].name;
        format!("{topic}-{}", partition.partition)
    }
}
