//! Producers and plain readers.

use super::Base;
use super::clients::{Client, Role, producer_config, reader_config};
use super::properties::Properties;
use super::transactions::TransactionalIds;
use crate::decode::{Fields, Variant, duration, integer, list, scaled, text};
use crate::diagnostic::{Finding, Report};
use crate::model::{
    Arrivals, Keys, OnError, ProducerSpec, ProducerTransactions, ReaderSpec, Topic,
};
use crate::syntax::Node;
use acklab_vocab::config::ProducerConfig;
use acklab_vocab::ids::{PartitionIndex, TopicId};
use acklab_vocab::time::SimDuration;
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
    "transaction",
];

const TRANSACTION: &[&str] = &["bursts", "abort"];

pub(crate) const READER: &[&str] = &["name", "topics", "client", "properties"];

pub(super) fn producers(
    node: Option<&Node>,
    base: &Base<'_>,
    topics: &[Topic],
    ids: &mut TransactionalIds,
    report: &mut Report,
) -> Option<Vec<ProducerSpec>> {
    let decode = |node: &Node, report: &mut Report| producer(node, base, topics, ids, report);
    each(node, "a list of producers", report, decode)
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

pub(super) fn each<T>(
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

pub(super) fn distinct<T>(
    specs: Vec<T>,
    name: fn(&T) -> &String,
    node: Option<&Node>,
    report: &mut Report,
) -> Option<Vec<T>> {
    let items = node.and_then(|node| list(node, "a list", report)).unwrap_or(&[]);
    for (position, spec) in specs.iter().enumerate() {
        if specs[..position].iter().any(|other| name(other) == name(spec)) {
            let finding = Finding::new(format!("`{}` is the name of two of them", name(spec)))
                .help("give one of them another `name`");
            report.error(items[position].span, finding);
            return None;
        }
    }
    Some(specs)
}

fn producer(
    node: &Node,
    base: &Base<'_>,
    topics: &[Topic],
    ids: &mut TransactionalIds,
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
    let config = configured(&fields, base, report);
    let transactions = transactions(&fields, report);
    let (topic, keys) = (topic?, keys?);
    check_partition(&fields, keys, &topics[usize::from(topic.0)], report)?;
    let (from, until) = (from?, until?.min(end));
    if from >= until && base.duration.is_some() {
        let place = fields.get("from").or(fields.get("until")).map_or(fields.span, |n| n.span);
        let message = format!("this producer would end ({until}) before it begins ({from})");
        report.error(place, Finding::new(message));
        return None;
    }
    let (config, count) = (config?, count?);
    let (config, prefix) = config;
    let transactions = match (transactions?, prefix) {
        (given, Some(prefix)) => {
            let (bursts, abort_millionths) = given.unwrap_or((1, 0));
            let ids = ids.instances(&prefix, count, fields.span, report)?;
            Some(ProducerTransactions { ids, bursts, abort_millionths })
        }
        (None, None) => None,
        (Some(_), None) => {
            let place = fields.get("transaction").map_or(fields.span, |node| node.span);
            let finding = Finding::new("this producer has no transactions")
                .help("set its property \"transactional.id\"");
            report.error(place, finding);
            return None;
        }
    };
    Some(ProducerSpec {
        name: name?,
        count,
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
        config: Arc::new(config),
        transactions,
    })
}

/// The configuration, and `transactional.id` if it has one.
fn configured(
    fields: &Fields<'_>,
    base: &Base<'_>,
    report: &mut Report,
) -> Option<(ProducerConfig, Option<String>)> {
    let client = Client::of(fields, base, Role::Producer, report)?;
    let (scope, version) = client.producer_scope();
    let properties = Properties::of(fields.get("properties"), scope, version, report)?;
    let config = producer_config(client, fields, &properties, base, report)?;
    let id = properties.value("transactional.id").filter(|id| !id.is_empty());
    Some((config, id.map(str::to_owned)))
}

/// Bursts of each transaction, and the share that is aborted, in millionths.
fn transactions(fields: &Fields<'_>, report: &mut Report) -> Option<Option<(u32, u32)>> {
    let Some(node) = fields.get("transaction") else {
        return Some(None);
    };
    let fields = Fields::of(node, "a transaction", TRANSACTION, report)?;
    let bursts = fields.or("bursts", 1, report, |node, report| {
        integer(node, "the bursts of a transaction", 1..=1_000_000, report)
    });
    let abort = fields.or("abort", 0, report, abort_share);
    Some(Some((bursts?, abort?)))
}

/// The share of transactions that an application aborts, in millionths.
pub(super) fn abort_share(node: &Node, report: &mut Report) -> Option<u32> {
    let share = scaled(node, "the share of aborted transactions", 6, 0..=1_000_000, report)?;
    u32::try_from(share).ok()
}

/// A name that can stand before the `#` of a record.
pub(super) fn own_name(node: &Node, report: &mut Report) -> Option<String> {
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

pub(super) fn topic_id(node: &Node, topics: &[Topic], report: &mut Report) -> Option<TopicId> {
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
    let config = reader_config(&fields, base, report);
    let topics: Vec<TopicId> = read.into_iter().collect::<Option<_>>()?;
    Some(ReaderSpec { name: name?, topics, config: Arc::new(config?) })
}

/// From one record in a thousand seconds to a hundred million a second, in thousandths of a hertz.
const RATES: std::ops::RangeInclusive<u64> = 1..=100_000_000_000;

const DEFAULT_SIZE: u32 = 100;

const LARGEST_RECORD: u64 = 100_000_000;
