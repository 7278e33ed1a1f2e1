//! The names that faults and triggers may use, and their ids.

use crate::decode::{integer, text};
use crate::diagnostic::{Finding, Report};
use crate::model::Scenario;
use crate::syntax::Node;
use acklab_vocab::ids::{BrokerId, ControllerId, ProducerIndex, RecordId, TopicPartition};

/// Who and what a scenario has.
pub(crate) struct Names {
    brokers: u16,
    controllers: u16,
    /// Name and partitions.
    topics: Vec<(String, u16)>,
    /// Name, instances and most records of all of them together.
    producers: Vec<(String, u16, Option<u64>)>,
    readers: Vec<String>,
}

impl Names {
    pub(crate) fn of(scenario: &Scenario) -> Names {
        let partitions = |count: usize| u16::try_from(count).unwrap_or(u16::MAX);
        let limit = |limit: Option<u32>, count: u16| limit.map(|l| u64::from(l) * u64::from(count));
        Names {
            brokers: partitions(scenario.cluster.brokers.len()),
            controllers: partitions(scenario.cluster.controllers.len()),
            topics: scenario
                .topics
                .iter()
                .map(|topic| (topic.name.clone(), partitions(topic.assignments.len())))
                .collect(),
            producers: scenario
                .producers
                .iter()
                .map(|spec| (spec.name.clone(), spec.count, limit(spec.limit, spec.count)))
                .collect(),
            readers: scenario.readers.iter().map(|reader| reader.name.clone()).collect(),
        }
    }

    pub(crate) fn broker(&self, node: &Node, report: &mut Report) -> Option<BrokerId> {
        let number: u64 = integer(node, "a broker", 0..=u64::MAX, report)?;
        self.numbered(node, "broker", number, self.brokers, report).map(BrokerId)
    }

    pub(crate) fn controller(&self, node: &Node, report: &mut Report) -> Option<ControllerId> {
        let number: u64 = integer(node, "a controller", 0..=u64::MAX, report)?;
        self.numbered(node, "controller", number, self.controllers, report).map(ControllerId)
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
        let name = text(topic, "the name of a topic", report)?;
        let names = || self.topics.iter().map(|(name, _)| name.as_str());
        let Some(index) = names().position(|known| known == name) else {
            let finding =
                Finding::new(format!("there is no topic `{name}`")).did_you_mean(name, names());
            report.error(topic.span, finding);
            return None;
        };
        let partitions = self.topics[index].1;
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
        Some(TopicPartition::new(u16::try_from(index).ok()?, number))
    }

    pub(crate) fn producer(&self, node: &Node, report: &mut Report) -> Option<ProducerIndex> {
        let name = text(node, "the name of a producer", report)?;
        self.producer_named(name, node, report)
    }

    /// How many instances a producer's name has.
    pub(crate) fn instances(&self, producer: ProducerIndex) -> u16 {
        self.producers[usize::from(producer.0)].1
    }

    fn producer_named(
        &self,
        name: &str,
        node: &Node,
        report: &mut Report,
    ) -> Option<ProducerIndex> {
        let names = || self.producers.iter().map(|(name, ..)| name.as_str());
        let found = names().position(|known| known == name);
        if found.is_none() {
            let finding =
                Finding::new(format!("there is no producer `{name}`")).did_you_mean(name, names());
            report.error(node.span, finding);
        }
        found.and_then(|index| u16::try_from(index).ok()).map(ProducerIndex)
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
        let written = text(node, "a record, such as \"shop#4711\"", report)?;
        let parts = written.rsplit_once('#');
        let parsed = parts.and_then(|(name, number)| Some((name, number.parse::<u32>().ok()?)));
        let Some((name, sequence)) = parsed else {
            let finding = Finding::new(format!("`{written}` is not a record"))
                .help("a record is its producer's name and its number: \"shop#4711\"");
            report.error(node.span, finding);
            return None;
        };
        let producer = self.producer_named(name, node, report)?;
        let limit = self.producers[usize::from(producer.0)].2;
        if let Some(limit) = limit.filter(|&limit| u64::from(sequence) >= limit) {
            let finding = Finding::new(format!("`{name}` creates {limit} records only"))
                .help(format!("its last is {name}#{}", limit.saturating_sub(1)));
            report.error(node.span, finding);
            return None;
        }
        Some(RecordId { producer, sequence })
    }
}
