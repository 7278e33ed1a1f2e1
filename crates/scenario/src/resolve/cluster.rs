//! The brokers, and the controllers or the ZooKeeper ensemble.

use super::Base;
use super::properties::Properties;
use crate::decode::{Fields, Variant, boolean, drawn, duration, first_byte, integer};
use crate::diagnostic::{Finding, Report, Span};
use crate::model::{Cluster, Mode, Service, Span as DrawnSpan};
use crate::resolve::environment::bytes_per_second;
use crate::syntax::{Call, Node, Value};
use acklab_vocab::config::ZooKeeperConfig;
use acklab_vocab::ids::{BrokerId, ControllerId, ZooKeeperServerId};
use acklab_vocab::properties::{
    Scope, broker_config, cluster_notes, controller_config, io_threads, zookeeper_config,
};
use acklab_vocab::time::SimDuration;
use acklab_vocab::version::KafkaVersion;
use std::sync::Arc;

pub(crate) const FIELDS: &[&str] = &["brokers", "mode", "properties", "service", "start_up"];

const SERVICE: &[&str] = &["base", "bandwidth"];

/// The cluster, and its properties, from which topics inherit.
pub(super) fn cluster(
    node: Option<&Node>,
    base: &Base<'_>,
    scenario: Span,
    report: &mut Report,
) -> Option<(Cluster, Properties)> {
    let Some(node) = node else {
        let help = "cluster: (brokers: 3, mode: KRaft(controllers: 3))";
        let finding = Finding::new("a scenario needs a field `cluster`").help(help);
        report.error(first_byte(scenario), finding);
        return None;
    };
    let fields = Fields::of(node, "a cluster", FIELDS, report)?;
    let brokers = fields.required("brokers", report);
    let brokers: Option<u16> = brokers.and_then(|node| integer(node, "brokers", 1..=1_000, report));
    let mode = mode(&fields, base.kafka, report);
    let service = fields.or("service", DEFAULT_SERVICE, report, service);
    let start_up = fields.or("start_up", DEFAULT_START_UP, report, |node, report| {
        drawn(node, "the time to start up", report)
    });
    let properties = Properties::of(fields.get("properties"), Scope::Broker, base.kafka, report)?;
    let (version, rules) = (base.kafka, base.rules);
    let configs = properties.build(report, |pairs| {
        Ok((
            broker_config(version, rules, pairs)?,
            controller_config(version, rules, pairs)?,
            io_threads(version, pairs)?,
            cluster_notes(version, pairs)?,
        ))
    });
    let (brokers, mode) = (brokers?, mode?);
    check_shared_processes(&fields, &mode, brokers, report)?;
    note_other_mode(&properties, &mode, report);
    let (broker_config, controller_config, io_threads, notes) = configs?;
    for (name, note) in notes {
        if let Some((_, value)) = properties.place(name) {
            report.warning(value, Finding::new(note));
        }
    }
    let cluster = Cluster {
        brokers: (1..=brokers).map(BrokerId).collect(),
        mode,
        broker_config: Arc::new(broker_config),
        controller_config: Arc::new(controller_config),
        io_threads,
        service: service?,
        start_up: start_up?,
    };
    Some((cluster, properties))
}

fn node_span(fields: &Fields<'_>, name: &'static str) -> Span {
    fields.get(name).map_or(first_byte(fields.span), |node| node.span)
}

/// The field `mode`; by default KRaft with three controllers, or ZooKeeper with three servers in a version that has no other.
fn mode(fields: &Fields<'_>, kafka: KafkaVersion, report: &mut Report) -> Option<Mode> {
    let place = node_span(fields, "mode");
    let mode = match fields.get("mode") {
        Some(node) => written_mode(node, kafka, report)?,
        None if kafka < OLDEST_KRAFT => ensemble(3, default_ensemble()),
        None => quorum(3, false),
    };
    let finding = match &mode {
        Mode::KRaft { .. } if kafka < OLDEST_KRAFT => {
            Finding::new(format!("Kafka {kafka} runs with ZooKeeper only"))
                .label("older than KRaft, which begins with 2.8")
                .help("mode: ZooKeeper(servers: 3)")
        }
        Mode::ZooKeeper { .. } if kafka >= FIRST_WITHOUT_ZOOKEEPER => {
            Finding::new(format!("Kafka {kafka} runs without ZooKeeper: 3.9 was the last with it"))
                .label("removed in 4.0 (KIP-500)")
                .help("mode: KRaft(controllers: 3)")
        }
        Mode::KRaft { .. } if kafka < FIRST_PRODUCTION_KRAFT => {
            let finding = Finding::new(format!("KRaft was not ready for production in {kafka}"))
                .help("it is since 3.3");
            report.warning(place, finding);
            return Some(mode);
        }
        Mode::KRaft { .. } | Mode::ZooKeeper { .. } => return Some(mode),
    };
    report.error(place, finding);
    None
}

fn written_mode(node: &Node, kafka: KafkaVersion, report: &mut Report) -> Option<Mode> {
    let variant = Variant::of(node, "a mode", &["KRaft", "ZooKeeper"], report)?;
    if variant.name == "ZooKeeper" {
        let fields = variant.fields(&["servers", "properties"], report)?;
        let servers = fields.or("servers", 3, report, |node, report| {
            integer(node, "servers", 1..=MOST_SERVERS, report)
        });
        let properties = Properties::of(fields.get("properties"), Scope::ZooKeeper, kafka, report)?;
        let config = properties.build(report, |pairs| zookeeper_config(kafka, pairs));
        let servers: u16 = servers?;
        note_even(node, "an ensemble", servers, report);
        return Some(ensemble(servers, config?));
    }
    let fields = variant.fields(&["controllers", "combined"], report)?;
    let controllers = fields
        .or("controllers", 3, report, |node, report| integer(node, "controllers", 1..=9, report));
    let combined = fields.or("combined", false, report, boolean);
    let controllers: u16 = controllers?;
    note_even(node, "a quorum", controllers, report);
    Some(quorum(controllers, combined?))
}

fn note_even(node: &Node, what: &str, number: u16, report: &mut Report) {
    if number.is_multiple_of(2) {
        let fewer = number - 1;
        let message = format!("{what} of {number} survives no more failures than one of {fewer}");
        report.warning(node.span, Finding::new(message));
    }
}

fn quorum(controllers: u16, combined: bool) -> Mode {
    let voter = |id| (ControllerId(id), combined.then_some(BrokerId(id)));
    Mode::KRaft { controllers: (1..=controllers).map(voter).collect() }
}

fn ensemble(servers: u16, config: ZooKeeperConfig) -> Mode {
    let servers = (1..=servers).map(ZooKeeperServerId).collect();
    Mode::ZooKeeper { servers, config: Arc::new(config) }
}

fn default_ensemble() -> ZooKeeperConfig {
    zookeeper_config(KafkaVersion::OLDEST, &[]).expect("the defaults do not contradict each other")
}

/// A combined quorum needs a broker for each controller.
fn check_shared_processes(
    fields: &Fields<'_>,
    mode: &Mode,
    brokers: u16,
    report: &mut Report,
) -> Option<()> {
    let Mode::KRaft { controllers } = mode else { return Some(()) };
    match controllers.last() {
        Some(&(_, Some(BrokerId(last)))) if last > brokers => {
            let message =
                format!("{last} controllers cannot share the processes of {brokers} brokers");
            report.error(node_span(fields, "mode"), Finding::new(message));
            None
        }
        Some(_) | None => Some(()),
    }
}

/// Properties that the other mode has: Kafka takes them, and they decide nothing.
fn note_other_mode(properties: &Properties, mode: &Mode, report: &mut Report) {
    let zookeeper = matches!(mode, Mode::ZooKeeper { .. });
    for (name, _) in properties.pairs.iter().filter(|(name, _)| !has_effect(name, zookeeper)) {
        let mode = if zookeeper { "ZooKeeper" } else { "KRaft" };
        if let Some((place, _)) = properties.place(name) {
            report.warning(place, Finding::new(format!("`{name}` has no effect with {mode}")));
        }
    }
}

/// Whether a broker's property decides anything in a mode.
pub(crate) fn has_effect(name: &str, zookeeper: bool) -> bool {
    match zookeeper {
        true => !OF_KRAFT.contains(&name) && !name.starts_with("controller.quorum."),
        false => !OF_ZOOKEEPER.contains(&name),
    }
}

/// Whether a tree's cluster keeps its metadata in ZooKeeper, as far as that can be told without decoding it.
pub(crate) fn is_zookeeper(mode: Option<&Node>, kafka: KafkaVersion) -> bool {
    match mode.map(|node| &node.value) {
        Some(Value::Call(Call { name: Some(name), .. })) => name.text == "ZooKeeper",
        Some(_) | None => kafka < OLDEST_KRAFT,
    }
}

fn service(node: &Node, report: &mut Report) -> Option<Service> {
    let fields = Fields::of(node, "a service time", SERVICE, report)?;
    let base = fields.or("base", DEFAULT_SERVICE.base, report, |node, report| {
        duration(node, "the base", report)
    });
    let default = DEFAULT_SERVICE.bytes_per_second;
    let bandwidth = fields.or("bandwidth", default, report, bytes_per_second);
    Some(Service { base: base?, bytes_per_second: bandwidth? })
}

/// Appending to the page cache: failure-cases.md, calibration constants.
const DEFAULT_SERVICE: Service =
    Service { base: SimDuration::from_micros(30), bytes_per_second: 1_500_000_000 };

/// A JVM, and logs that are not large.
const DEFAULT_START_UP: DrawnSpan =
    DrawnSpan::Uniform(SimDuration::from_millis(1_500), SimDuration::from_millis(2_500));

/// Properties that have an effect with ZooKeeper only, but for those that are not modelled.
const OF_ZOOKEEPER: &[&str] = &[
    "zookeeper.session.timeout.ms",
    "zookeeper.connection.timeout.ms",
    "controlled.shutdown.max.retries",
    "controlled.shutdown.retry.backoff.ms",
    "leader.imbalance.per.broker.percentage",
];

/// Properties that have an effect with KRaft only, besides those of the quorum.
const OF_KRAFT: &[&str] = &[
    "broker.heartbeat.interval.ms",
    "broker.session.timeout.ms",
    "initial.broker.registration.timeout.ms",
    "metadata.max.idle.interval.ms",
    "unclean.leader.election.interval.ms",
];

/// As many as anybody would run; more only slow each other down.
const MOST_SERVERS: u64 = 9;

/// KRaft came as early access with 2.8.
const OLDEST_KRAFT: KafkaVersion = KafkaVersion::new(2, 8, 0);
const FIRST_PRODUCTION_KRAFT: KafkaVersion = KafkaVersion::new(3, 3, 0);
const FIRST_WITHOUT_ZOOKEEPER: KafkaVersion = KafkaVersion::new(4, 0, 0);
