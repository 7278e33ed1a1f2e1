//! The names that faults and triggers may use, and their ids.

use crate::decode::{integer, text};
use crate::diagnostic::{Finding, Report, Span};
use crate::model::{ProducerSpec, Scenario};
use crate::syntax::Node;
use acklab_vocab::ids::{
    BrokerId, ControllerId, GroupId, GroupIndex, ProducerIndex, RecordId, TopicId, TopicPartition,
    TransactionalId, ZooKeeperServerId,
};

/// Who and what a scenario has.
pub(crate) struct Names {
    brokers: u16,
    controllers: u16,
    /// Servers of the ZooKeeper ensemble; none with KRaft.
    zookeeper: u16,
    /// Name and partitions.
    topics: Vec<(String, u16)>,
    /// How many of these faults add.
    added: Vec<u16>,
    /// Those with processes of their own, then the outputs of groups.
    producers: Vec<ProducerEntry>,
    /// How many have processes of their own.
    own_processes: usize,
    readers: Vec<String>,
    /// Every `group.id`.
    group_ids: Vec<String>,
    /// Name, `group.id` and instances of every consumer application.
    groups: Vec<(String, GroupId, u16)>,
    transactional_ids: Vec<String>,
}

/// Name, instances and most records of all of them together.
pub(super) type ProducerEntry = (String, u16, Option<u64>);

pub(super) fn producer_entry(spec: &ProducerSpec) -> ProducerEntry {
    let limit = spec.limit.map(|limit| u64::from(limit) * u64::from(spec.count));
    (spec.name.clone(), spec.count, limit)
}

impl Names {
    pub(crate) fn of(scenario: &Scenario) -> Names {
        let partitions = |count: usize| u16::try_from(count).unwrap_or(u16::MAX);
        let outputs = scenario.groups.iter().filter_map(|group| {
            group.output.as_ref().map(|output| (output.name.clone(), group.instances, None))
        });
        Names {
            brokers: partitions(scenario.cluster.brokers.len()),
            controllers: partitions(scenario.cluster.controllers().len()),
            zookeeper: partitions(scenario.cluster.zookeeper().len()),
            topics: scenario
                .topics
                .iter()
                .map(|topic| (topic.name.clone(), partitions(topic.assignments.len())))
                .collect(),
            added: scenario
                .topics
                .iter()
                .map(|topic| partitions(topic.assignments.len()).saturating_sub(topic.at_first))
                .collect(),
            producers: scenario.producers.iter().map(producer_entry).chain(outputs).collect(),
            own_processes: scenario.producers.len(),
            readers: scenario.readers.iter().map(|reader| reader.name.clone()).collect(),
            group_ids: scenario.group_ids.clone(),
            groups: scenario
                .groups
                .iter()
                .map(|group| (group.name.clone(), group.group, group.instances))
                .collect(),
            transactional_ids: scenario.transactional_ids.clone(),
        }
    }

    pub(crate) fn broker(&self, node: &Node, report: &mut Report) -> Option<BrokerId> {
        let number: u64 = integer(node, "a broker", 0..=u64::MAX, report)?;
        self.numbered(node, "broker", number, self.brokers, report).map(BrokerId)
    }

    /// With ZooKeeper no process is a controller and nothing else.
    pub(crate) fn controller(&self, node: &Node, report: &mut Report) -> Option<ControllerId> {
        if self.has_zookeeper() {
            let finding = Finding::new("with ZooKeeper one of the brokers is the controller")
                .help("name it by its role: ActiveController");
            report.error(node.span, finding);
            return None;
        }
        let number: u64 = integer(node, "a controller", 0..=u64::MAX, report)?;
        self.numbered(node, "controller", number, self.controllers, report).map(ControllerId)
    }

    /// Whether the cluster keeps its metadata in ZooKeeper.
    pub(crate) const fn has_zookeeper(&self) -> bool {
        self.zookeeper > 0
    }

    pub(crate) fn zookeeper(&self, node: &Node, report: &mut Report) -> Option<ZooKeeperServerId> {
        let number: u64 = integer(node, "a server of the ensemble", 0..=u64::MAX, report)?;
        if !self.has_zookeeper() {
            self.need_zookeeper(node.span, report)?;
        }
        let server = self.numbered(node, "ZooKeeper server", number, self.zookeeper, report);
        server.map(ZooKeeperServerId)
    }

    /// Reports that there is no ensemble, if there is none.
    pub(crate) fn need_zookeeper(&self, place: Span, report: &mut Report) -> Option<()> {
        if self.has_zookeeper() {
            return Some(());
        }
        let finding = Finding::new("this cluster has no ZooKeeper: it keeps its metadata itself")
            .help("cluster: (…, mode: ZooKeeper(servers: 3)), with kafka 3.9 or older");
        report.error(place, finding);
        None
    }

    fn numbered(
        &self,
        node: &Node,
        what: &str,
        number: u64,
        most: u16,
        report: &mut Report,
    ) -> Option<u16> {
        let found = u16::try_from(number).ok().filter(|number| (1..=most).contains(number));
        if found.is_none() {
            let finding = Finding::new(format!("there is no {what} {number}"))
                .label("does not exist")
                .help(match most {
                    1 => format!("the only {what} is 1"),
                    _ => format!("the {what}s are 1 to {most}"),
                });
            report.error(node.span, finding);
        }
        found
    }

    /// `topic` and `partition` as two nodes.
    pub(crate) fn partition(
        &self,
        topic: &Node,
        partition: &Node,
        report: &mut Report,
    ) -> Option<TopicPartition> {
        let topic = self.topic(topic, report)?;
        let (name, partitions) = &self.topics[usize::from(topic.0)];
        let partitions = *partitions;
        let number: u64 = integer(partition, "a partition", 0..=u64::MAX, report)?;
        let Some(number) = u16::try_from(number).ok().filter(|&number| number < partitions) else {
            let finding = Finding::new(format!("topic `{name}` has no partition {number}")).help(
                match partitions {
                    1 => "its only partition is 0".to_owned(),
                    _ => format!("its partitions are 0 to {}", partitions - 1),
                },
            );
            report.error(partition.span, finding);
            return None;
        };
        Some(TopicPartition::new(topic.0, number))
    }

    pub(crate) fn producer(&self, node: &Node, report: &mut Report) -> Option<ProducerIndex> {
        let name = text(node, "the name of a producer", report)?;
        let producer = producer_named(name, &self.producers, node, report)?;
        if usize::from(producer.0) >= self.own_processes {
            let finding = Finding::new(format!("`{name}` is what a group writes with"))
                .help("it lives in the group's processes: name those, as Member(\"…\")");
            report.error(node.span, finding);
            return None;
        }
        Some(producer)
    }

    /// How many instances a producer's name has.
    pub(crate) fn instances(&self, producer: ProducerIndex) -> u16 {
        self.producers[usize::from(producer.0)].1
    }

    /// A consumer application, by its name.
    pub(crate) fn group(&self, node: &Node, report: &mut Report) -> Option<GroupIndex> {
        let name = text(node, "the name of a group", report)?;
        let names = || self.groups.iter().map(|(name, ..)| name.as_str());
        let found = names().position(|known| known == name);
        if found.is_none() {
            let finding =
                Finding::new(format!("there is no group `{name}`")).did_you_mean(name, names());
            report.error(node.span, finding);
        }
        found.and_then(|index| u16::try_from(index).ok()).map(GroupIndex)
    }

    pub(crate) fn topic(&self, node: &Node, report: &mut Report) -> Option<TopicId> {
        let name = text(node, "the name of a topic", report)?;
        let names = || self.topics.iter().map(|(name, _)| name.as_str());
        let found = names().position(|known| known == name);
        if found.is_none() {
            let finding =
                Finding::new(format!("there is no topic `{name}`")).did_you_mean(name, names());
            report.error(node.span, finding);
        }
        found.and_then(|index| u16::try_from(index).ok()).map(TopicId)
    }

    /// How many partitions faults add to a topic in all.
    pub(crate) fn added_to(&self, topic: TopicId) -> u16 {
        self.added[usize::from(topic.0)]
    }

    /// How many instances of an application there can be.
    pub(crate) fn members(&self, group: GroupIndex) -> u16 {
        self.groups[usize::from(group.0)].2
    }

    /// A `group.id`, itself or by the name of an application that uses it.
    pub(crate) fn group_id(&self, node: &Node, report: &mut Report) -> Option<GroupId> {
        let name = text(node, "a group.id", report)?;
        let as_id = self.group_ids.iter().position(|known| known == name);
        let as_id = as_id.and_then(|index| u16::try_from(index).ok()).map(GroupId);
        let named = || self.groups.iter().find(|(known, ..)| known == name).map(|&(_, id, _)| id);
        let found = as_id.or_else(named);
        if found.is_none() {
            let finding = Finding::new(format!("there is no group `{name}`"))
                .did_you_mean(name, self.group_ids.iter().map(String::as_str));
            report.error(node.span, finding);
        }
        found
    }

    pub(crate) fn transactional_id(
        &self,
        node: &Node,
        report: &mut Report,
    ) -> Option<TransactionalId> {
        let name = text(node, "a transactional.id", report)?;
        let found = self.transactional_ids.iter().position(|known| known == name);
        if found.is_none() {
            let finding = Finding::new(format!("there is no transactional.id `{name}`"))
                .did_you_mean(name, self.transactional_ids.iter().map(String::as_str));
            report.error(node.span, finding);
        }
        found.and_then(|index| u16::try_from(index).ok()).map(TransactionalId)
    }

    pub(crate) fn reader(&self, node: &Node, report: &mut Report) -> Option<usize> {
        let name = text(node, "the name of a reader", report)?;
        let found = self.readers.iter().position(|known| known == name);
        if found.is_none() {
            let finding = Finding::new(format!("there is no reader `{name}`"))
                .did_you_mean(name, self.readers.iter().map(String::as_str));
            report.error(node.span, finding);
        }
        found
    }

    /// A record as people write it: `"shop#4711"`.
    pub(crate) fn record(&self, node: &Node, report: &mut Report) -> Option<RecordId> {
        record(node, &self.producers, report)
    }
}

/// A record of one of these producers.
pub(super) fn record(
    node: &Node,
    producers: &[ProducerEntry],
    report: &mut Report,
) -> Option<RecordId> {
    let written = text(node, "a record, such as \"shop#4711\"", report)?;
    let parts = written.rsplit_once('#');
    let parsed = parts.and_then(|(name, number)| Some((name, number.parse::<u32>().ok()?)));
    let Some((name, sequence)) = parsed else {
        let finding = Finding::new(format!("`{written}` is not a record"))
            .help("a record is its producer's name and its number: \"shop#4711\"");
        report.error(node.span, finding);
        return None;
    };
    let producer = producer_named(name, producers, node, report)?;
    let limit = producers[usize::from(producer.0)].2;
    if let Some(limit) = limit.filter(|&limit| u64::from(sequence) >= limit) {
        let finding = Finding::new(format!("`{name}` creates {limit} records only"))
            .help(format!("its last is {name}#{}", limit.saturating_sub(1)));
        report.error(node.span, finding);
        return None;
    }
    Some(RecordId { producer, sequence })
}

fn producer_named(
    name: &str,
    producers: &[ProducerEntry],
    node: &Node,
    report: &mut Report,
) -> Option<ProducerIndex> {
    let names = || producers.iter().map(|(name, ..)| name.as_str());
    let found = names().position(|known| known == name);
    if found.is_none() {
        let finding =
            Finding::new(format!("there is no producer `{name}`")).did_you_mean(name, names());
        report.error(node.span, finding);
    }
    found.and_then(|index| u16::try_from(index).ok()).map(ProducerIndex)
}
