//! Whom a fault strikes.

use super::names::Names;
use crate::decode::{Fields, Variant, integer, one_or_more};
use crate::diagnostic::{Finding, Report};
use crate::model::Target;
use crate::syntax::Node;
use acklab_vocab::ids::TopicPartition;

const TARGETS: &[&str] = &[
    "Broker",
    "Controller",
    "LeaderOf",
    "FollowerOf",
    "ActiveController",
    "Producer",
    "Reader",
    "Member",
    "OwnerOf",
    "AnyMember",
    "CoordinatorOf",
    "TransactionCoordinatorOf",
    "ZooKeeper",
    "ZooKeeperLeader",
    "ZooKeepers",
    "AnyBroker",
    "Any",
    "Brokers",
    "Controllers",
    "Clients",
    "Rest",
];

/// Who can be meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Allowed {
    /// Every process.
    Everybody,
    /// Every process, and `Rest`.
    EverybodyOrRest,
    /// Brokers, controllers and servers of ZooKeeper: they have disks.
    Servers,
    /// Brokers only.
    Brokers,
    /// Brokers, and members of groups: they can be stopped in an orderly way.
    Orderly,
}

/// One target or a list of them.
pub(super) fn targets(
    node: &Node,
    allowed: Allowed,
    names: &Names,
    report: &mut Report,
) -> Option<Vec<Target>> {
    let nodes = one_or_more(node);
    if nodes.is_empty() {
        report.error(node.span, Finding::new("this names nobody"));
        return None;
    }
    let mut targets = Vec::with_capacity(nodes.len());
    for node in nodes {
        let target = target(node, names, report)?;
        if !is_allowed(&target, allowed, names) {
            let message = match allowed {
                Allowed::Brokers => "this fault strikes brokers only",
                Allowed::Orderly => "this fault strikes brokers and members of groups only",
                Allowed::Servers => "this fault strikes servers only",
                Allowed::Everybody | Allowed::EverybodyOrRest => {
                    "`Rest` stands on the other side of a target, and on one side only"
                }
            };
            report.error(node.span, Finding::new(message));
            return None;
        }
        targets.push(target);
    }
    Some(targets)
}

fn is_allowed(target: &Target, allowed: Allowed, names: &Names) -> bool {
    match target {
        Target::ActiveController | Target::Controllers if names.has_zookeeper() => true,
        Target::Broker(_)
        | Target::LeaderOf(_)
        | Target::FollowerOf(..)
        | Target::AnyBroker
        | Target::Brokers => true,
        Target::Controller(_)
        | Target::ActiveController
        | Target::Controllers
        | Target::ZooKeeper(_)
        | Target::ZooKeeperLeader
        | Target::ZooKeepers => !matches!(allowed, Allowed::Brokers | Allowed::Orderly),
        Target::CoordinatorOf(_) | Target::TransactionCoordinatorOf(_) => true,
        Target::Member(..) | Target::OwnerOf(..) | Target::AnyMember(_) => {
            !matches!(allowed, Allowed::Brokers | Allowed::Servers)
        }
        Target::Producer(..) | Target::Reader(_) | Target::Clients => {
            matches!(allowed, Allowed::Everybody | Allowed::EverybodyOrRest)
        }
        Target::Rest => allowed == Allowed::EverybodyOrRest,
    }
}

pub(super) fn target(node: &Node, names: &Names, report: &mut Report) -> Option<Target> {
    let variant = Variant::of(node, "a target", TARGETS, report)?;
    match variant.name {
        "Broker" => {
            let fields = variant.fields(&["broker"], report)?;
            names.broker(fields.required("broker", report)?, report).map(Target::Broker)
        }
        "Controller" => {
            let fields = variant.fields(&["controller"], report)?;
            names.controller(fields.required("controller", report)?, report).map(Target::Controller)
        }
        "LeaderOf" => {
            let fields = variant.fields(&["topic", "partition"], report)?;
            partition(&fields, names, report).map(Target::LeaderOf)
        }
        "FollowerOf" => {
            let fields = variant.fields(&["topic", "partition", "nth"], report)?;
            let nth = fields.or("nth", 0, report, |node, report| {
                integer(node, "which follower, from 0,", 0..=1_000, report)
            });
            Some(Target::FollowerOf(partition(&fields, names, report)?, nth?))
        }
        "Producer" => {
            let fields = variant.fields(&["name", "instance"], report)?;
            let producer = names.producer(fields.required("name", report)?, report)?;
            let last = u64::from(names.instances(producer).saturating_sub(1));
            let instance = fields.or("instance", None, report, |node, report| {
                integer(node, "the instance of a producer, from 0,", 0..=last, report).map(Some)
            });
            Some(Target::Producer(producer, instance?))
        }
        "Reader" => {
            let fields = variant.fields(&["name"], report)?;
            names.reader(fields.required("name", report)?, report).map(Target::Reader)
        }
        "Member" => {
            let fields = variant.fields(&["group", "instance"], report)?;
            let group = names.group(fields.required("group", report)?, report)?;
            let last = u64::from(names.members(group).saturating_sub(1));
            let instance = fields.or("instance", None, report, |node, report| {
                integer(node, "the instance of a group, from 0,", 0..=last, report).map(Some)
            });
            Some(Target::Member(group, instance?))
        }
        "OwnerOf" => {
            let fields = variant.fields(&["group", "topic", "partition"], report)?;
            let group = names.group(fields.required("group", report)?, report);
            Some(Target::OwnerOf(group?, partition(&fields, names, report)?))
        }
        "AnyMember" => {
            let fields = variant.fields(&["group"], report)?;
            names.group(fields.required("group", report)?, report).map(Target::AnyMember)
        }
        "CoordinatorOf" => {
            let fields = variant.fields(&["group"], report)?;
            names.group_id(fields.required("group", report)?, report).map(Target::CoordinatorOf)
        }
        "TransactionCoordinatorOf" => {
            let fields = variant.fields(&["id"], report)?;
            let id = names.transactional_id(fields.required("id", report)?, report);
            id.map(Target::TransactionCoordinatorOf)
        }
        "ZooKeeper" => {
            let fields = variant.fields(&["server"], report)?;
            names.zookeeper(fields.required("server", report)?, report).map(Target::ZooKeeper)
        }
        "ZooKeeperLeader" | "ZooKeepers" => {
            names.need_zookeeper(variant.span, report)?;
            let leader = variant.name == "ZooKeeperLeader";
            let target = if leader { Target::ZooKeeperLeader } else { Target::ZooKeepers };
            variant.bare(target, report)
        }
        "ActiveController" => variant.bare(Target::ActiveController, report),
        "AnyBroker" | "Any" => variant.bare(Target::AnyBroker, report),
        "Brokers" => variant.bare(Target::Brokers, report),
        "Controllers" => variant.bare(Target::Controllers, report),
        "Clients" => variant.bare(Target::Clients, report),
        "Rest" => variant.bare(Target::Rest, report),
        other => unreachable!("{other} is not among the targets"),
    }
}

/// The fields `topic` and `partition`.
pub(super) fn partition(
    fields: &Fields<'_>,
    names: &Names,
    report: &mut Report,
) -> Option<TopicPartition> {
    let topic = fields.required("topic", report)?;
    let partition = fields.required("partition", report)?;
    names.partition(topic, partition, report)
}
