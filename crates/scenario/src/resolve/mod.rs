//! From the tree to the [`Scenario`](crate::model::Scenario): names become ids, properties typed
//! configurations, and whatever cannot run is refused.

mod clients;
mod cluster;
mod environment;
mod expectations;
mod faults;
mod group_checks;
mod groups;
mod names;
mod outputs;
mod properties;
mod targets;
mod topics;
mod transactions;
mod triggers;
mod workload;

pub(crate) use cluster::{has_effect, is_zookeeper};
pub(crate) use environment::{DISK, NETWORK};
pub(crate) use expectations::{comparisons, expectations, share_expectations};
pub(crate) use faults::FAULT;
pub(crate) use groups::{GROUP, name_of as group_name, names as group_names};
pub(crate) use outputs::OUTPUT;
pub(crate) use topics::TOPIC;
pub(crate) use workload::{PRODUCER, READER};

use crate::decode::{Fields, Variant, boolean, duration, list, map, text};
use crate::diagnostic::{Finding, Report};
use crate::model::{FaultSpec, Scenario, Start};
use crate::syntax::Node;
use acklab_vocab::rules::{ProtocolRule, ProtocolRules};
use acklab_vocab::time::SimDuration;
use acklab_vocab::version::KafkaVersion;
use groups::Surroundings;
use names::Names;
use transactions::TransactionalIds;

/// The fields of a scenario.
pub(crate) const SCENARIO: &[&str] = &[
    "about",
    "source",
    "kafka",
    "duration",
    "settle",
    "start",
    "cluster",
    "topics",
    "network",
    "disk",
    "rules",
    "producers",
    "readers",
    "groups",
    "faults",
    "expect",
    "expect_share",
    "variants",
    "compare",
];

/// The fields of a variant.
pub(crate) const VARIANT: &[&str] = &["about", "set", "faults", "expect", "expect_share"];

/// The fields of a cluster.
pub(crate) const CLUSTER: &[&str] = cluster::FIELDS;

/// The whole scenario, without its expectations.
pub(crate) fn scenario(
    root: &Node,
    name: &str,
    variant: &str,
    report: &mut Report,
) -> Option<Scenario> {
    let fields = Fields::of(root, "a scenario", SCENARIO, report)?;
    let about = fields.or("about", "", report, |node, report| text(node, "a sentence", report));
    let source = fields.or("source", "", report, |node, report| text(node, "a sentence", report));
    let kafka = kafka(&fields, report);
    let duration_field = fields.required("duration", report);
    let duration_field = duration_field.and_then(|node| duration(node, "the duration", report));
    let settle = fields.or("settle", DEFAULT_SETTLE, report, |node, report| {
        duration(node, "the time to settle", report)
    });
    let start = fields.or("start", Start::default(), report, start);
    let kafka = kafka?;
    let switched = fields.or("rules", Vec::new(), report, rules)?;
    let mut rules = ProtocolRules::of(kafka);
    for &(rule, on) in &switched {
        rules.set(rule, on);
    }
    let base = Base { kafka, rules, switched: &switched, duration: duration_field };
    let cluster = cluster::cluster(fields.get("cluster"), &base, fields.span, report);
    let topics = match &cluster {
        Some((cluster, properties)) => {
            topics::topics(&fields, &base, cluster.brokers.len(), properties, report)
        }
        None => None,
    };
    let network = environment::network(fields.get("network"), report);
    let disk = environment::disk(fields.get("disk"), report);
    let (cluster, broker_properties) = cluster?;
    let mut topics = topics?;
    let mut ids = TransactionalIds::default();
    let producers = workload::producers(fields.get("producers"), &base, &topics, &mut ids, report);
    let readers = workload::readers(fields.get("readers"), &base, &topics, report);
    let producers = producers?;
    let around = Surroundings {
        base: &base,
        cluster: &cluster,
        topics: &topics,
        producers: &producers,
        faults: fields.get("faults"),
    };
    let (groups, group_ids) = groups::groups(fields.get("groups"), &around, &mut ids, report)?;
    let transactional_ids = ids.into_names();
    let commits_to_kafka = groups.iter().any(|group| group.config.commits_to_kafka());
    let place = fields.get("cluster").map_or(fields.span, |node| node.span);
    let internal = topics::internal_topics(
        &mut topics,
        (commits_to_kafka, !transactional_ids.is_empty()),
        &base,
        (cluster.brokers.len(), &broker_properties),
        place,
        report,
    )?;
    let scenario = Scenario {
        name: name.to_owned(),
        variant: variant.to_owned(),
        about: about?.to_owned(),
        source: source?.to_owned(),
        kafka,
        rules,
        switched_rules: switched,
        duration: duration_field?,
        settle: settle?,
        start: start?,
        cluster,
        topics,
        network: network?,
        disk: disk?,
        producers,
        readers: readers?,
        group_ids,
        groups,
        transactional_ids,
        offsets_topic: internal.offsets,
        transactions_topic: internal.transactions,
        faults: Vec::new(),
    };
    let faults = match fields.get("faults") {
        None => Some(Vec::new()),
        Some(node) => faults_of(node, &scenario, report),
    };
    Some(Scenario { faults: faults?, ..scenario })
}

/// A list of faults, against a scenario whose own faults do not matter.
pub(crate) fn faults_of(
    node: &Node,
    scenario: &Scenario,
    report: &mut Report,
) -> Option<Vec<FaultSpec>> {
    let items = list(node, "a list of faults", report)?;
    faults::faults(items, &Names::of(scenario), report)
}

/// What every part of a scenario depends on.
pub(crate) struct Base<'n> {
    /// Version of the brokers.
    kafka: KafkaVersion,
    /// Its rules, switches applied.
    rules: ProtocolRules,
    switched: &'n [(ProtocolRule, bool)],
    /// `None` if it is wrong.
    duration: Option<SimDuration>,
}

impl Base<'_> {
    /// Version of the brokers.
    const fn kafka(&self) -> KafkaVersion {
        self.kafka
    }

    /// The rules of a client's version, with the same switches.
    fn client_rules(&self, version: KafkaVersion) -> ProtocolRules {
        let mut rules = ProtocolRules::of(version);
        for &(rule, on) in self.switched {
            rules.set(rule, on);
        }
        // `transaction.version` is a feature of the cluster: a newer client goes by it.
        let version_2 = ProtocolRule::TransactionsVersion2;
        rules.with(version_2, rules.has(version_2) && self.rules.has(version_2))
    }
}

fn kafka(fields: &Fields<'_>, report: &mut Report) -> Option<KafkaVersion> {
    version(fields.required("kafka", report)?, report)
}

/// A version that was released, up to the newest modelled.
pub(crate) fn version(node: &Node, report: &mut Report) -> Option<KafkaVersion> {
    let written = text(node, "a version of Kafka", report)?;
    let version: KafkaVersion = match written.parse() {
        Ok(version) => version,
        Err(error) => {
            report.error(node.span, Finding::new(format!("{error}")));
            return None;
        }
    };
    let refused = if version > KafkaVersion::NEWEST {
        Some(format!("acklab models Kafka up to {NEWEST_NAME}, not {version}"))
    } else if version < KafkaVersion::OLDEST {
        Some(format!("acklab models Kafka from {} on, not {version}", KafkaVersion::OLDEST))
    } else if !was_released(version) {
        Some(format!("there is no Kafka {version}"))
    } else {
        None
    };
    match refused {
        None => Some(version),
        Some(message) => {
            report.error(node.span, Finding::new(message));
            None
        }
    }
}

fn was_released(version: KafkaVersion) -> bool {
    match (version.major, version.minor) {
        (0, minor) => (8..=11).contains(&minor),
        (1, minor) => minor <= 1,
        (2, minor) => minor <= 8,
        (3, minor) => minor <= 9,
        (4, minor) => minor <= 2,
        _ => false,
    }
}

fn start(node: &Node, report: &mut Report) -> Option<Start> {
    let variant = Variant::of(node, "a start", &["Settled", "Cold"], report)?;
    let start = if variant.name == "Cold" { Start::Cold } else { Start::Settled };
    variant.bare(start, report)
}

fn rules(node: &Node, report: &mut Report) -> Option<Vec<(ProtocolRule, bool)>> {
    let names = || ProtocolRule::ALL.iter().map(|rule| rule.name());
    let mut switched = Vec::new();
    for (word, value) in map(node, "protocol rules by name", report)? {
        let rule = ProtocolRule::ALL.iter().find(|rule| rule.name() == word.text);
        let on = boolean(value, report);
        match (rule, on) {
            (Some(&rule), Some(on)) => switched.push((rule, on)),
            (Some(_), None) => return None,
            (None, _) => {
                let finding = Finding::new(format!("there is no protocol rule `{}`", word.text))
                    .did_you_mean(&word.text, names());
                report.error(word.span, finding);
                return None;
            }
        }
    }
    Some(switched)
}

const NEWEST_NAME: &str = "4.2";

const DEFAULT_SETTLE: SimDuration = SimDuration::from_secs(600);
