//! Producers and plain readers.

use super::properties::Properties;
use super::{Base, version};
use crate::decode::{Fields, Variant, duration, first_byte, integer, list, scaled, text};
use crate::diagnostic::{Finding, Report};
use crate::model::{Arrivals, Keys, OnError, ProducerSpec, ReaderSpec, Topic};
use crate::syntax::Node;
use acklab_vocab::config::ProducerConfig;
use acklab_vocab::ids::{PartitionIndex, TopicId};
use acklab_vocab::properties::{
    Scope, consumer_config, java_producer_config, java_producer_notes, librdkafka_producer_config,
};
use acklab_vocab::time::SimDuration;
use acklab_vocab::version::KafkaVersion;
use std::sync::Arc;

pub(crate) const PRODUCER: &[&str] = &[
    "name",
    "count",
    "topic",
    "rate",
    "burst",
    "size",
    "keys",
    "arrivals",
    "on_error",
    "from",
    "until",
    "limit",
    "client",
    "properties",
];

pub(crate) const READER: &[&str] = &["name", "topics", "client", "properties"];

pub(super) fn producers(
    node: Option<&Node>,
    base: &Base<'_>,
    topics: &[Topic],
    report: &mut Report,
) -> Option<Vec<ProducerSpec>> {
    each(node, "a list of producers", report, |node, report| producer(node, base, topics, report))
        .and_then(|specs| distinct(specs, |spec| &spec.name, node, report))
}

pub(super) fn readers(
    node: Option<&Node>,
    base: &Base<'_>,
    topics: &[Topic],
    report: &mut Report,
) -> Option<Vec<ReaderSpec>> {
    each(node, "a list of readers", report, |node, report| reader(node, base, topics, report))
        .and_then(|specs| distinct(specs, |spec| &spec.name, node, report))
}

fn each<T>(
    node: Option<&Node>,
    what: &str,
    report: &mut Report,
    mut decode: impl FnMut(&Node, &mut Report) -> Option<T>,
) -> Option<Vec<T>> {
    let Some(node) = node else {
        return Some(Vec::new());
    };
    let decoded: Vec<Option<T>> =
        list(node, what, report)?.iter().map(|node| decode(node, report)).collect();
    decoded.into_iter().collect()
}

fn distinct<T>(
    specs: Vec<T>,
    name: fn(&T) -> &String,
    node: Option<&Node>,
    report: &mut Report,
) -> Option<Vec<T>> {
    let items = node.and_then(|node| list(node, "a list", report)).unwrap_or(&[]);
    for (position, spec) in specs.iter().enumerate() {
        if specs[..position].iter().any(|other| name(other) == name(spec)) {
            let message = format!("`{}` is the name of two of them", name(spec));
            report.error(items[position].span, Finding::new(message));
            return None;
        }
    }
    Some(specs)
}

fn producer(
    node: &Node,
    base: &Base<'_>,
    topics: &[Topic],
    report: &mut Report,
) -> Option<ProducerSpec> {
    let fields = Fields::of(node, "a producer", PRODUCER, report)?;
    let name = fields.required("name", report).and_then(|node| own_name(node, report));
    let topic = fields.required("topic", report).and_then(|node| topic_id(node, topics, report));
    let count = fields.or("count", 1, report, |node, report| {
        integer(node, "the number of producers", 1..=10_000, report)
    });
    let rate = fields.required("rate", report).and_then(|node| {
        scaled(node, "the rate, in records per second of each producer,", 3, RATES, report)
    });
    let burst = fields.or("burst", 1, report, |n, r| integer(n, "a burst", 1..=1_000_000, r));
    let size = fields.or("size", DEFAULT_SIZE, report, |node, report| {
        integer(node, "the size of a record, in bytes,", 1..=LARGEST_RECORD, report)
    });
    let keys = fields.or("keys", Keys::None, report, keys);
    let arrivals = fields.or("arrivals", Arrivals::Even, report, arrivals);
    let on_error = fields.or("on_error", OnError::GiveUp, report, on_error);
    let end = base.duration.unwrap_or(SimDuration::ZERO);
    let moment = |node: &Node, report: &mut Report| duration(node, "a moment", report);
    let from = fields.or("from", SimDuration::ZERO, report, moment);
    let until = fields.or("until", end, report, moment);
    let limit = fields.or("limit", None, report, |node, report| {
        integer(node, "the most records of each producer", 1..=u64::from(u32::MAX), report)
            .map(Some)
    });
    let config = producer_config(&fields, base, report);
    let (topic, keys) = (topic?, keys?);
    check_partition(&fields, keys, &topics[usize::from(topic.0)], report)?;
    let (from, until) = (from?, until?.min(end));
    if from >= until && base.duration.is_some() {
        let place = fields.get("from").or(fields.get("until")).map_or(fields.span, |n| n.span);
        let message = format!("this producer would end ({until}) before it begins ({from})");
        report.error(place, Finding::new(message));
        return None;
    }
    Some(ProducerSpec {
        name: name?,
        count: count?,
        topic,
        rate_millihertz: rate?,
        arrivals: arrivals?,
        burst: burst?,
        size: size?,
        keys,
        on_error: on_error?,
        from,
        until,
        limit: limit?,
        config: Arc::new(config?),
        transactions: None,
    })
}

/// A name that can stand before the `#` of a record.
fn own_name(node: &Node, report: &mut Report) -> Option<String> {
    let name = text(node, "a name", report)?;
    let legal = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || !name.chars().all(legal) {
        let finding = Finding::new(format!("`{name}` cannot be a name"))
            .help("names have letters, digits, `.`, `_` and `-`");
        report.error(node.span, finding);
        return None;
    }
    Some(name.to_owned())
}

fn topic_id(node: &Node, topics: &[Topic], report: &mut Report) -> Option<TopicId> {
    let name = text(node, "the name of a topic", report)?;
    let found = topics.iter().position(|topic| topic.name == name);
    if found.is_none() {
        let finding = Finding::new(format!("there is no topic `{name}`"))
            .did_you_mean(name, topics.iter().map(|topic| topic.name.as_str()));
        report.error(node.span, finding);
    }
    found.and_then(|index| u16::try_from(index).ok()).map(TopicId)
}

fn check_partition(
    fields: &Fields<'_>,
    keys: Keys,
    topic: &Topic,
    report: &mut Report,
) -> Option<()> {
    match keys {
        Keys::Partition(partition) if usize::from(partition.0) >= topic.assignments.len() => {
            let place = fields.get("keys").map_or(fields.span, |node| node.span);
            let message = format!("topic `{}` has no partition {partition}", topic.name);
            report.error(place, Finding::new(message));
            None
        }
        Keys::Partition(_) | Keys::None | Keys::Unique | Keys::PerBurst | Keys::Among(_) => {
            Some(())
        }
    }
}

fn keys(node: &Node, report: &mut Report) -> Option<Keys> {
    let names = &["None", "Unique", "PerBurst", "Among", "Partition"];
    let variant = Variant::of(node, "a choice of keys", names, report)?;
    match variant.name {
        "Among" => {
            let fields = variant.fields(&["keys"], report)?;
            let node = fields.required("keys", report)?;
            integer(node, "the number of keys", 1..=u64::from(u32::MAX), report).map(Keys::Among)
        }
        "Partition" => {
            let fields = variant.fields(&["partition"], report)?;
            let node = fields.required("partition", report)?;
            let partition = integer(node, "a partition", 0..=u64::from(u16::MAX), report)?;
            Some(Keys::Partition(PartitionIndex(partition)))
        }
        "Unique" => variant.bare(Keys::Unique, report),
        "PerBurst" => variant.bare(Keys::PerBurst, report),
        "None" => variant.bare(Keys::None, report),
        other => unreachable!("{other} is not among the names"),
    }
}

fn arrivals(node: &Node, report: &mut Report) -> Option<Arrivals> {
    let variant = Variant::of(node, "a kind of arrivals", &["Even", "Poisson"], report)?;
    let poisson = variant.name == "Poisson";
    variant.bare(if poisson { Arrivals::Poisson } else { Arrivals::Even }, report)
}

fn on_error(node: &Node, report: &mut Report) -> Option<OnError> {
    let variant = Variant::of(node, "a reaction to errors", &["GiveUp", "SendAgain"], report)?;
    if variant.name == "GiveUp" {
        return variant.bare(OnError::GiveUp, report);
    }
    let fields = variant.fields(&["attempts", "after"], report)?;
    let attempts = fields.or("attempts", 1, report, |node, report| {
        integer(node, "the number of attempts", 1..=10_000, report)
    });
    let after = fields.or("after", SimDuration::ZERO, report, |node, report| {
        duration(node, "the pause before an attempt", report)
    });
    Some(OnError::SendAgain { attempts: attempts?, after: after? })
}

enum Client {
    Java(KafkaVersion),
    Librdkafka,
}

const CLIENTS: &[&str] = &["Java", "Librdkafka", "KafkaPython", "Pykafka", "Sarama"];

fn client(
    fields: &Fields<'_>,
    base: &Base<'_>,
    oldest: KafkaVersion,
    report: &mut Report,
) -> Option<Client> {
    let Some(node) = fields.get("client") else {
        return Some(Client::Java(base.kafka));
    };
    let variant = Variant::of(node, "a client", CLIENTS, report)?;
    match variant.name {
        "Java" => {
            let fields = variant.fields(&["version"], report)?;
            let Some(node) = fields.get("version") else {
                return Some(Client::Java(base.kafka));
            };
            let version = version(node, report)?;
            let drops_old = base.kafka >= KafkaVersion::new(4, 0, 0);
            if version < oldest {
                let message = format!("this client begins with {oldest}");
                report.error(node.span, Finding::new(message));
                return None;
            }
            if drops_old && version < OLDEST_CLIENT_OF_4_0 {
                let message =
                    format!("brokers of {} refuse clients older than 2.1 (KIP-896)", base.kafka);
                report.error(node.span, Finding::new(message));
                return None;
            }
            Some(Client::Java(version))
        }
        "Librdkafka" => variant.bare(Client::Librdkafka, report),
        other => {
            let finding = Finding::new(format!("the client `{other}` is not yet modelled"))
                .help("use Java(\"3.9\"), or Librdkafka for a producer");
            report.error(variant.word.span, finding);
            None
        }
    }
}

fn producer_config(
    fields: &Fields<'_>,
    base: &Base<'_>,
    report: &mut Report,
) -> Option<ProducerConfig> {
    let node = fields.get("properties");
    match client(fields, base, KafkaVersion::OLDEST, report)? {
        Client::Java(version) => {
            let properties = Properties::of(node, Scope::Producer, version, report)?;
            let rules = base.client_rules(version);
            let (config, notes) = properties.build(report, |pairs| {
                Ok((
                    java_producer_config(version, rules, pairs)?,
                    java_producer_notes(version, pairs)?,
                ))
            })?;
            for (name, note) in notes {
                // Of what turns idempotence off, Java warns of too many in flight only; acks=1 is
                // every day's choice.
                if !["acks", "retries"].contains(&name) {
                    let start = first_byte(fields.span);
                    let place = properties.place(name).map_or(start, |(_, value)| value);
                    report.warning(place, Finding::new(note));
                }
            }
            Some(ProducerConfig::Java(config))
        }
        Client::Librdkafka => {
            let newest = KafkaVersion::NEWEST;
            let properties = Properties::of(node, Scope::LibrdkafkaProducer, newest, report)?;
            let rules = base.client_rules(newest);
            properties
                .build(report, |pairs| librdkafka_producer_config(rules, pairs))
                .map(ProducerConfig::Librdkafka)
        }
    }
}

fn reader(
    node: &Node,
    base: &Base<'_>,
    topics: &[Topic],
    report: &mut Report,
) -> Option<ReaderSpec> {
    let fields = Fields::of(node, "a reader", READER, report)?;
    let name = fields.required("name", report).and_then(|node| own_name(node, report));
    let read = fields.required("topics", report)?;
    let read: Vec<Option<TopicId>> = list(read, "a list of topics", report)?
        .iter()
        .map(|node| topic_id(node, topics, report))
        .collect();
    let version = match client(&fields, base, KafkaVersion::new(0, 9, 0), report)? {
        Client::Java(version) => version,
        Client::Librdkafka => {
            let place = fields.get("client").map_or(fields.span, |node| node.span);
            let finding = Finding::new("readers of librdkafka are not yet modelled")
                .help("use Java(\"3.9\")");
            report.error(place, finding);
            return None;
        }
    };
    let properties = Properties::of(fields.get("properties"), Scope::Consumer, version, report)?;
    let rules = base.client_rules(version);
    let config = properties.build(report, |pairs| consumer_config(version, rules, pairs))?;
    let topics: Vec<TopicId> = read.into_iter().collect::<Option<_>>()?;
    Some(ReaderSpec { name: name?, topics, config: Arc::new(config) })
}

/// From one record in a thousand seconds to a hundred million a second, in thousandths of a hertz.
const RATES: std::ops::RangeInclusive<u64> = 1..=100_000_000_000;

const DEFAULT_SIZE: u32 = 100;

const LARGEST_RECORD: u64 = 100_000_000;

/// KIP-896.
const OLDEST_CLIENT_OF_4_0: KafkaVersion = KafkaVersion::new(2, 1, 0);
