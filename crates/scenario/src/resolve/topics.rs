//! Topics and the assignment of their replicas.

use super::Base;
use super::properties::Properties;
use crate::decode::{Fields, integer, list, map};
use crate::diagnostic::{Finding, Report, Span};
use crate::model::Topic;
use crate::syntax::{Call, Node, Value, Word};
use acklab_vocab::ids::{BrokerId, BrokerList, TopicId};
use acklab_vocab::properties::{
    InternalTopic, Scope, TopicProperties, offsets_topic, topic_config, topic_defaults,
    transactions_topic,
};
use acklab_vocab::version::KafkaVersion;

pub(crate) const TOPIC: &[&str] =
    &["partitions", "replication_factor", "assignments", "properties"];

pub(super) fn topics(
    scenario: &Fields<'_>,
    base: &Base<'_>,
    brokers: usize,
    broker_properties: &Properties,
    report: &mut Report,
) -> Option<Vec<Topic>> {
    let Some(node) = scenario.get("topics") else {
        return Some(Vec::new());
    };
    let faults = scenario.get("faults");
    let inherited = Inherited { base, brokers, properties: broker_properties, faults };
    let mut topics = Vec::new();
    let mut sound = true;
    for (name, node) in map(node, "topics by name", report)? {
        match topic(&name, node, &inherited, report) {
            Some(topic) => topics.push(topic),
            None => sound = false,
        }
    }
    sound.then_some(topics)
}

struct Inherited<'n> {
    base: &'n Base<'n>,
    brokers: usize,
    properties: &'n Properties,
    /// The list of faults, for the partitions that they add.
    faults: Option<&'n Node>,
}

fn topic(
    name: &Word,
    node: &Node,
    inherited: &Inherited<'_>,
    report: &mut Report,
) -> Option<Topic> {
    check_name(name, report)?;
    if [OFFSETS, TRANSACTIONS].contains(&name.text.as_str()) {
        let finding = Finding::new(format!("`{}` is the brokers' own topic", name.text)).help(
            "it is there if it is needed; the brokers' properties say how: \
             offsets.topic.num.partitions, transaction.state.log.min.isr, …",
        );
        report.error(name.span, finding);
        return None;
    }
    let version = inherited.base.kafka;
    let fields = Fields::of(node, "a topic", TOPIC, report)?;
    let (partitions, factor) = topic_defaults(version, &inherited.properties.pairs).ok()?;
    let assignments = match fields.get("assignments") {
        Some(node) => explicit_assignments(node, &fields, inherited.brokers, report),
        None => {
            let partitions = fields.or("partitions", partitions, report, |node, report| {
                integer(node, "partitions", 1..=10_000, report)
            });
            let factor = fields.or("replication_factor", factor, report, |node, report| {
                integer(node, "the replication factor", 1..=1_000, report)
            });
            spread(partitions?, factor?, &fields, inherited.brokers, report)
        }
    };
    let properties = Properties::of(fields.get("properties"), Scope::Topic, version, report)?;
    let config = properties.build(report, |pairs| {
        let broker = &inherited.properties.pairs;
        topic_config(version, TopicProperties { broker, topic: pairs })
    })?;
    let mut assignments = assignments?;
    let at_first = assignments.len() as u16;
    let factor = assignments.first().map_or(0, |replicas| replicas.len());
    let added = inherited.faults.map_or(0, |faults| added_to(faults, &name.text));
    let all = at_first.saturating_add(added);
    let spread = round_robin(all, factor as u16, inherited.brokers);
    assignments.extend(spread.into_iter().skip(usize::from(at_first)));
    if usize::from(config.min_insync_replicas) > factor
        && let Some((_, place)) = properties.place("min.insync.replicas")
    {
        let message = format!(
            "`min.insync.replicas` ({}) is larger than the {factor} replicas of `{}`",
            config.min_insync_replicas, name.text
        );
        report.warning(place, Finding::new(message).help("acks=all can never succeed before 3.7"));
    }
    Some(Topic { name: name.text.clone(), assignments, at_first, config, internal: false })
}

/// How many partitions the faults of the text add to a topic.
fn added_to(node: &Node, topic: &str) -> u16 {
    match &node.value {
        Value::List(items) => {
            items.iter().map(|item| added_to(item, topic)).fold(0, u16::saturating_add)
        }
        Value::Call(Call { name, arguments: Some(arguments) }) => {
            let within = arguments.iter().map(|argument| added_to(&argument.value, topic));
            let within = within.fold(0, u16::saturating_add);
            let adds = name.as_ref().is_some_and(|name| name.text == "AddPartitions")
                && arguments.iter().any(|a| a.value.value == Value::Text(topic.to_owned()));
            let numbers = arguments.iter().filter_map(|argument| match &argument.value.value {
                Value::Number(number) => ron::from_str::<u16>(number).ok(),
                _ => None,
            });
            match adds {
                true => within.saturating_add(numbers.max().unwrap_or(0).min(MOST_ADDED)),
                false => within,
            }
        }
        Value::Boolean(_) | Value::Number(_) | Value::Text(_) | Value::Map(_) | Value::Call(_) => 0,
    }
}

/// As many partitions as a fault may add.
pub(super) const MOST_ADDED: u16 = 1_000;

/// Kafka's `Topic.validate`.
fn check_name(name: &Word, report: &mut Report) -> Option<()> {
    let text = &name.text;
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let valid = !text.is_empty()
        && text.len() <= 249
        && text != "."
        && text != ".."
        && text.chars().all(legal);
    if !valid {
        let finding = Finding::new(format!("`{text}` cannot be the name of a topic"))
            .help("topics have up to 249 letters, digits, `.`, `_` and `-`");
        report.error(name.span, finding);
    }
    valid.then_some(())
}

/// The brokers' own topics, as needed.
pub(super) struct Internal {
    pub(super) offsets: Option<TopicId>,
    pub(super) transactions: Option<TopicId>,
}

/// Adds `__consumer_offsets` and `__transaction_state` behind the scenario's topics, if it has groups and transactional
/// ids, with the properties that the brokers create them with (`GroupCoordinatorService.groupMetadataTopicConfigs`,
/// `TransactionStateManager.transactionTopicConfigs`).
pub(super) fn internal_topics(
    topics: &mut Vec<Topic>,
    (groups, transactional_ids): (bool, bool),
    base: &Base<'_>,
    (brokers, broker_properties): (usize, &Properties),
    cluster: Span,
    report: &mut Report,
) -> Option<Internal> {
    let inherited = Inherited { base, brokers, properties: broker_properties, faults: None };
    let pairs = &broker_properties.pairs;
    let offsets = match groups {
        false => None,
        true => {
            let shape = offsets_topic(base.kafka, pairs).ok()?;
            let own = [("segment.bytes", "104857600".to_owned())];
            let factor = "offsets.topic.replication.factor";
            let topic = internal(OFFSETS, shape, &own, factor, &inherited, cluster, report)?;
            Some(add(topics, topic)?)
        }
    };
    let transactions = match transactional_ids {
        false => None,
        true => {
            let shape = transactions_topic(base.kafka, pairs).ok()?;
            let own = [
                ("segment.bytes", "104857600".to_owned()),
                ("unclean.leader.election.enable", "false".to_owned()),
            ];
            let factor = "transaction.state.log.replication.factor";
            let topic = internal(TRANSACTIONS, shape, &own, factor, &inherited, cluster, report)?;
            Some(add(topics, topic)?)
        }
    };
    Some(Internal { offsets, transactions })
}

fn add(topics: &mut Vec<Topic>, topic: Topic) -> Option<TopicId> {
    topics.push(topic);
    u16::try_from(topics.len() - 1).ok().map(TopicId)
}

fn internal(
    name: &str,
    shape: InternalTopic,
    own: &[(&str, String)],
    factor: &str,
    inherited: &Inherited<'_>,
    cluster: Span,
    report: &mut Report,
) -> Option<Topic> {
    let mut shape = shape;
    if inherited.base.kafka < FIRST_STRICT_INTERNAL_TOPICS {
        let brokers = u16::try_from(inherited.brokers).unwrap_or(u16::MAX);
        shape.replication_factor = shape.replication_factor.min(brokers);
    }
    let replicas = usize::from(shape.replication_factor);
    if replicas > inherited.brokers {
        let place = inherited.properties.place(factor).map_or(cluster, |(_, value)| value);
        let finding = Finding::new(format!(
            "`{name}` needs {replicas} brokers, and there are {}: its clients would wait forever",
            inherited.brokers
        ))
        .help(format!("add brokers, or set the cluster's property `{factor}`"));
        report.error(place, finding);
        return None;
    }
    let mut pairs: Vec<(String, String)> =
        own.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    if let Some(least) = shape.min_insync_replicas {
        pairs.push(("min.insync.replicas".to_owned(), least.to_string()));
    }
    let properties = TopicProperties { broker: &inherited.properties.pairs, topic: &pairs };
    let config = topic_config(inherited.base.kafka, properties).ok()?;
    let assignments = round_robin(shape.partitions, shape.replication_factor, inherited.brokers);
    let at_first = assignments.len() as u16;
    Some(Topic { name: name.to_owned(), assignments, at_first, config, internal: true })
}

/// Before it, brokers made internal topics with as many replicas as there were brokers (KIP-115).
const FIRST_STRICT_INTERNAL_TOPICS: KafkaVersion = KafkaVersion::new(0, 11, 0);

const OFFSETS: &str = "__consumer_offsets";
const TRANSACTIONS: &str = "__transaction_state";

fn spread(
    partitions: u16,
    factor: u16,
    fields: &Fields<'_>,
    brokers: usize,
    report: &mut Report,
) -> Option<Vec<BrokerList>> {
    if usize::from(factor) > brokers {
        let place = fields.get("replication_factor").map_or(fields.span, |node| node.span);
        let message = format!("{factor} replicas need as many brokers; there are {brokers}");
        report.error(place, Finding::new(message));
        return None;
    }
    Some(round_robin(partitions, factor, brokers))
}

/// Partition `p` starts at broker `p` modulo their number, as Kafka spreads replicas without racks.
fn round_robin(partitions: u16, factor: u16, brokers: usize) -> Vec<BrokerList> {
    let broker = |partition: u16, replica: u16| {
        let index = (usize::from(partition) + usize::from(replica)) % brokers;
        BrokerId(u16::try_from(index + 1).unwrap_or(u16::MAX))
    };
    let replicas = |partition| (0..factor).map(|replica| broker(partition, replica)).collect();
    (0..partitions).map(replicas).collect()
}

fn explicit_assignments(
    node: &Node,
    fields: &Fields<'_>,
    brokers: usize,
    report: &mut Report,
) -> Option<Vec<BrokerList>> {
    for name in ["partitions", "replication_factor"] {
        if let Some(node) = fields.get(name) {
            let message = format!("`assignments` already say what `{name}` says: leave it out");
            report.error(node.span, Finding::new(message));
            return None;
        }
    }
    let mut assignments: Vec<BrokerList> = Vec::new();
    for partition in list(node, "a list of replicas for each partition", report)? {
        let mut replicas = BrokerList::new();
        for node in list(partition, "the replicas of a partition: [1, 2, 3]", report)? {
            let most = u64::try_from(brokers).unwrap_or(u64::MAX);
            let broker = BrokerId(integer(node, "a broker", 1..=most, report)?);
            if replicas.contains(&broker) {
                let message = format!("broker {broker} cannot hold two replicas of a partition");
                report.error(node.span, Finding::new(message));
                return None;
            }
            replicas.push(broker);
        }
        let uneven = assignments.first().is_some_and(|first| first.len() != replicas.len());
        if replicas.is_empty() || uneven {
            let message = "every partition has the same number of replicas, at least one";
            report.error(partition.span, Finding::new(message));
            return None;
        }
        assignments.push(replicas);
    }
    if assignments.is_empty() {
        report.error(node.span, Finding::new("a topic has at least one partition"));
        return None;
    }
    Some(assignments)
}
