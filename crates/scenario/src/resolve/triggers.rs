//! What a fault waits for.

use super::names::Names;
use super::targets::{partition, target};
use crate::decode::{Fields, Variant, integer, text};
use crate::diagnostic::{Finding, Report};
use crate::model::{FaultPhase, Target, Trigger};
use crate::syntax::{Node, Value};

const TRIGGERS: &[&str] = &[
    "Appended",
    "Replicated",
    "Answered",
    "Acked",
    "HighWatermarkReached",
    "LeaderChanged",
    "IsrShrunkTo",
    "IsrGrownTo",
    "Fenced",
    "ControllerElected",
    "ZooKeeperLeaderElected",
    "SessionExpired",
    "Claimed",
    "Processed",
    "RebalanceStarted",
    "GroupStable",
    "Committed",
    "TransactionBegun",
    "Began",
    "Ended",
];

/// The names of the faults, by position.
pub(super) struct Labels {
    pub(super) labels: Vec<Option<String>>,
}

pub(super) fn trigger(
    node: &Node,
    names: &Names,
    labels: &Labels,
    report: &mut Report,
) -> Option<Trigger> {
    let variant = Variant::of(node, "a trigger", TRIGGERS, report)?;
    let record = |report: &mut Report| {
        let fields = variant.fields(&["record"], report)?;
        names.record(fields.required("record", report)?, report)
    };
    match variant.name {
        "Appended" => record(report).map(Trigger::Appended),
        "Answered" => record(report).map(Trigger::Answered),
        "Acked" => record(report).map(Trigger::Acked),
        "Replicated" => {
            let fields = variant.fields(&["record", "nth"], report)?;
            let record = names.record(fields.required("record", report)?, report);
            let nth = fields.or("nth", 1, report, |node, report| {
                integer(node, "how many followers", 1..=1_000, report)
            });
            Some(Trigger::Replicated(record?, nth?))
        }
        "HighWatermarkReached" => {
            let fields = variant.fields(&["topic", "partition", "offset"], report)?;
            let partition = partition(&fields, names, report);
            let offset = fields.required("offset", report)?;
            let offset = integer(offset, "an offset", 0..=u64::MAX, report)?;
            Some(Trigger::HighWatermarkReached(partition?, offset))
        }
        "LeaderChanged" => {
            let fields = variant.fields(&["topic", "partition"], report)?;
            partition(&fields, names, report).map(Trigger::LeaderChanged)
        }
        "IsrShrunkTo" | "IsrGrownTo" => {
            let fields = variant.fields(&["topic", "partition", "members"], report)?;
            let partition = partition(&fields, names, report);
            let members = fields.required("members", report)?;
            let members = integer(members, "the members of the ISR", 0..=1_000, report)?;
            Some(match variant.name {
                "IsrShrunkTo" => Trigger::IsrShrunkTo(partition?, members),
                _ => Trigger::IsrGrownTo(partition?, members),
            })
        }
        "Fenced" => {
            let fields = variant.fields(&["broker"], report)?;
            let node = fields.required("broker", report)?;
            broker_of(node, names, report).map(Trigger::Fenced)
        }
        "ControllerElected" => {
            let fields = variant.fields(&["nth"], report)?;
            nth(&fields, report).map(Trigger::ControllerElected)
        }
        "ZooKeeperLeaderElected" => {
            names.need_zookeeper(variant.span, report)?;
            let fields = variant.fields(&["nth"], report)?;
            nth(&fields, report).map(Trigger::ZooKeeperLeaderElected)
        }
        "SessionExpired" => {
            names.need_zookeeper(variant.span, report)?;
            let fields = variant.fields(&["client", "nth"], report)?;
            let client = client_of_zookeeper(fields.required("client", report)?, names, report);
            let nth = nth(&fields, report);
            Some(Trigger::SessionExpired(client?, nth?))
        }
        "Claimed" => {
            names.need_zookeeper(variant.span, report)?;
            let fields = variant.fields(&["group", "topic", "partition", "nth"], report)?;
            let group = fields.required("group", report).and_then(|n| names.group_id(n, report));
            let (partition, nth) = (partition(&fields, names, report), nth(&fields, report));
            Some(Trigger::Claimed(group?, partition?, nth?))
        }
        "Processed" => {
            let fields = variant.fields(&["group", "record"], report)?;
            let group = fields.required("group", report).and_then(|n| names.group(n, report));
            let record = names.record(fields.required("record", report)?, report);
            Some(Trigger::Processed(group?, record?))
        }
        "RebalanceStarted" | "GroupStable" => {
            let fields = variant.fields(&["group", "nth"], report)?;
            let group = fields.required("group", report).and_then(|n| names.group_id(n, report));
            let nth = nth(&fields, report);
            Some(match variant.name {
                "RebalanceStarted" => Trigger::RebalanceStarted(group?, nth?),
                _ => Trigger::GroupStable(group?, nth?),
            })
        }
        "Committed" => {
            let fields = variant.fields(&["group", "topic", "partition", "offset"], report)?;
            let group = fields.required("group", report).and_then(|n| names.group_id(n, report));
            let partition = partition(&fields, names, report);
            let offset = fields.required("offset", report)?;
            let offset = integer(offset, "an offset", 0..=u64::MAX, report)?;
            Some(Trigger::Committed(group?, partition?, offset))
        }
        "TransactionBegun" => {
            let fields = variant.fields(&["id", "nth"], report)?;
            let id = names.transactional_id(fields.required("id", report)?, report);
            let nth = nth(&fields, report);
            Some(Trigger::TransactionBegun(id?, nth?))
        }
        "Began" => fault_index(&variant, labels, report)
            .map(|fault| Trigger::Fault(fault, FaultPhase::Began)),
        "Ended" => fault_index(&variant, labels, report)
            .map(|fault| Trigger::Fault(fault, FaultPhase::Ended)),
        other => unreachable!("{other} is not among the triggers"),
    }
}

/// Who has a session with ZooKeeper: a broker, or the instances of an application that it balances.
fn client_of_zookeeper(node: &Node, names: &Names, report: &mut Report) -> Option<Target> {
    let target = target(node, names, report)?;
    if matches!(target, Target::Broker(_) | Target::Member(..)) {
        return Some(target);
    }
    let finding = Finding::new("the session of a broker or of a consumer is meant")
        .help("write Broker(1), Member(\"group\") or Member(\"group\", 0)");
    report.error(node.span, finding);
    None
}

/// `1`, or `Broker(1)` as everywhere else.
fn broker_of(
    node: &Node,
    names: &Names,
    report: &mut Report,
) -> Option<acklab_vocab::ids::BrokerId> {
    if let Value::Number(_) = node.value {
        return names.broker(node, report);
    }
    let variant = Variant::of(node, "a broker", &["Broker"], report)?;
    let fields = variant.fields(&["broker"], report)?;
    names.broker(fields.required("broker", report)?, report)
}

/// A fault by its name, or by its position from 0.
fn fault_index(variant: &Variant<'_>, labels: &Labels, report: &mut Report) -> Option<usize> {
    let fields = variant.fields(&["fault"], report)?;
    let node = fields.required("fault", report)?;
    if let Value::Number(_) = node.value {
        let most = u64::try_from(labels.labels.len()).unwrap_or(u64::MAX).saturating_sub(1);
        let index: u64 = integer(node, "the position of a fault, from 0,", 0..=most, report)?;
        return usize::try_from(index).ok();
    }
    let name = text(node, "the name of a fault", report)?;
    let found = labels.labels.iter().position(|label| label.as_deref() == Some(name));
    if found.is_none() {
        let finding = Finding::new(format!("there is no fault named `{name}`"))
            .did_you_mean(name, labels.labels.iter().flatten().map(String::as_str));
        report.error(node.span, finding);
    }
    found
}

/// Which time it happens, from 1.
fn nth(fields: &Fields<'_>, report: &mut Report) -> Option<u16> {
    fields.or("nth", 1, report, |node, report| integer(node, "which time", 1..=10_000, report))
}
