//! The brokers and controllers.

use super::Base;
use super::properties::Properties;
use crate::decode::{Fields, Variant, boolean, drawn, duration, first_byte, integer};
use crate::diagnostic::{Finding, Report, Span};
use crate::model::{Cluster, Service, Span as DrawnSpan};
use crate::resolve::environment::bytes_per_second;
use crate::syntax::Node;
use acklab_vocab::ids::{BrokerId, ControllerId};
use acklab_vocab::properties::{
    Scope, broker_config, cluster_notes, controller_config, io_threads,
};
use acklab_vocab::time::SimDuration;
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
    let mode = fields.or("mode", Mode::KRaft { controllers: 3, combined: false }, report, mode);
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
    let brokers = brokers?;
    let controllers = match mode? {
        Mode::KRaft { controllers, combined } => (1..=controllers)
            .map(|id| (ControllerId(id), combined.then_some(BrokerId(id))))
            .collect::<Vec<_>>(),
    };
    if let Some((_, Some(BrokerId(last)))) = controllers.last().filter(|(id, _)| id.0 > brokers) {
        let message = format!("{last} controllers cannot share the processes of {brokers} brokers");
        report.error(node_span(&fields, "mode"), Finding::new(message));
        return None;
    }
    let (broker_config, controller_config, io_threads, notes) = configs?;
    for (name, note) in notes {
        if let Some((_, value)) = properties.place(name) {
            report.warning(value, Finding::new(note));
        }
    }
    let cluster = Cluster {
        brokers: (1..=brokers).map(BrokerId).collect(),
        mode: crate::model::Mode::KRaft { controllers },
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

enum Mode {
    KRaft { controllers: u16, combined: bool },
}

fn mode(node: &Node, report: &mut Report) -> Option<Mode> {
    let variant = Variant::of(node, "a mode", &["KRaft", "ZooKeeper"], report)?;
    if variant.name == "ZooKeeper" {
        let finding = Finding::new("the ZooKeeper mode is not yet modelled")
            .label("cannot be run")
            .help("use mode: KRaft(controllers: 3), with kafka \"2.8\" or later");
        report.error(variant.span, finding);
        return None;
    }
    let fields = variant.fields(&["controllers", "combined"], report)?;
    let controllers = fields
        .or("controllers", 3, report, |node, report| integer(node, "controllers", 1..=9, report));
    let combined = fields.or("combined", false, report, boolean);
    let controllers: u16 = controllers?;
    if controllers.is_multiple_of(2) {
        let message = format!(
            "a quorum of {controllers} survives no more failures than one of {}",
            controllers - 1
        );
        report.warning(node.span, Finding::new(message));
    }
    Some(Mode::KRaft { controllers, combined: combined? })
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
