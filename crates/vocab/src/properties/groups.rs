//! The configuration of coordinators and of members of groups, with what `ConsumerConfig` and `ConsumerCoordinator` refuse.

use super::java::consumer_config;
use super::resolve::Resolved;
use super::{PropertyError, Scope};
use crate::api::Acks;
use crate::config::{
    ConsumerLibrary, GroupCoordinatorConfig, GroupProtocol, MemberConfig,
    TransactionCoordinatorConfig,
};
use crate::group::{Assignor, RemoteAssignor};
use crate::rules::{ProtocolRule, ProtocolRules};
use crate::time::SimDuration;
use crate::version::KafkaVersion;

/// An internal topic as the brokers create it: partitions, replication factor, `min.insync.replicas` if it is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InternalTopic {
    /// How many partitions.
    pub partitions: u16,
    /// How many replicas each.
    pub replication_factor: u16,
    /// `min.insync.replicas`; the brokers' default if `None`.
    pub min_insync_replicas: Option<u16>,
}

/// `__consumer_offsets`.
///
/// # Errors
/// See [`PropertyError`].
pub fn offsets_topic(
    version: KafkaVersion,
    properties: &[(String, String)],
) -> Result<InternalTopic, PropertyError> {
    let resolved = Resolved::new(version, Scope::Broker, properties)?;
    Ok(InternalTopic {
        partitions: resolved.u16("offsets.topic.num.partitions"),
        replication_factor: resolved.u16("offsets.topic.replication.factor"),
        min_insync_replicas: None,
    })
}

/// `__transaction_state`.
///
/// # Errors
/// See [`PropertyError`].
pub fn transactions_topic(
    version: KafkaVersion,
    properties: &[(String, String)],
) -> Result<InternalTopic, PropertyError> {
    let resolved = Resolved::new(version, Scope::Broker, properties)?;
    Ok(InternalTopic {
        partitions: resolved.u16("transaction.state.log.num.partitions"),
        replication_factor: resolved.u16("transaction.state.log.replication.factor"),
        min_insync_replicas: Some(resolved.u16("transaction.state.log.min.isr")),
    })
}

pub(super) fn group_coordinator(
    resolved: &Resolved<'_>,
) -> Result<GroupCoordinatorConfig, PropertyError> {
    let assignors = match resolved.text("group.consumer.assignors") {
        None => Vec::new(),
        Some(text) => words(text)
            .map(|word| remote_assignor("group.consumer.assignors", word))
            .collect::<Result<_, _>>()?,
    };
    let protocols = resolved.text("group.coordinator.rebalance.protocols").unwrap_or("classic");
    let minutes = resolved.u64("offsets.retention.minutes");
    let linger = resolved.integer_or("group.coordinator.append.linger.ms", 0);
    Ok(GroupCoordinatorConfig {
        commit_timeout: resolved.millis("offsets.commit.timeout.ms"),
        commit_acks: match resolved.text("offsets.commit.required.acks") {
            Some("0") => Acks::None,
            Some("1") => Acks::Leader,
            Some(_) | None => Acks::All,
        },
        offsets_retention: SimDuration::from_secs(minutes.saturating_mul(60)),
        offsets_retention_check_interval: resolved.millis("offsets.retention.check.interval.ms"),
        append_linger: u64::try_from(linger).ok().map(SimDuration::from_millis),
        initial_rebalance_delay: resolved.millis_or("group.initial.rebalance.delay.ms", 0),
        min_session_timeout: resolved.millis_or("group.min.session.timeout.ms", 6_000),
        max_session_timeout: resolved.millis_or("group.max.session.timeout.ms", 30_000),
        max_size: resolved.u32_or("group.max.size", i64::from(i32::MAX)),
        consumer_protocol: words(protocols).any(|word| word == "consumer"),
        consumer_heartbeat_interval: resolved
            .millis_or("group.consumer.heartbeat.interval.ms", 5_000),
        consumer_session_timeout: resolved.millis_or("group.consumer.session.timeout.ms", 45_000),
        consumer_assignors: assignors,
    })
}

pub(super) fn transaction_coordinator(resolved: &Resolved<'_>) -> TransactionCoordinatorConfig {
    TransactionCoordinatorConfig {
        max_timeout: resolved.millis_or("transaction.max.timeout.ms", 900_000),
        abort_timed_out_interval: resolved
            .millis_or("transaction.abort.timed.out.transaction.cleanup.interval.ms", 10_000),
        id_expiration: resolved.millis_or("transactional.id.expiration.ms", 604_800_000),
    }
}

/// A member of a group that uses the Java client.
///
/// # Errors
/// See [`PropertyError`].
pub fn java_member_config(
    version: KafkaVersion,
    rules: ProtocolRules,
    properties: &[(String, String)],
) -> Result<MemberConfig, PropertyError> {
    let consumer = consumer_config(version, rules, properties)?;
    let resolved = Resolved::new(version, Scope::Consumer, properties)?;
    let session_timeout = resolved.millis("session.timeout.ms");
    let heartbeat_interval = resolved.millis("heartbeat.interval.ms");
    if heartbeat_interval >= session_timeout {
        return Err(PropertyError::Contradiction {
            name: if resolved.is_set("heartbeat.interval.ms") {
                "heartbeat.interval.ms"
            } else {
                "session.timeout.ms"
            },
            other: "session.timeout.ms",
            message: "`heartbeat.interval.ms` must be smaller than `session.timeout.ms`".to_owned(),
        });
    }
    let assignors = resolved.text("partition.assignment.strategy").unwrap_or("range");
    let has_thread = rules.has(ProtocolRule::BackgroundHeartbeat);
    let auto_commit = resolved.boolean("enable.auto.commit");
    Ok(MemberConfig {
        library: ConsumerLibrary::Java,
        consumer,
        protocol: match resolved.text("group.protocol") {
            Some("consumer") => GroupProtocol::Consumer,
            Some(_) | None => GroupProtocol::Classic,
        },
        session_timeout,
        heartbeat_interval,
        max_poll_interval: has_thread.then(|| resolved.millis_or("max.poll.interval.ms", 300_000)),
        auto_commit: auto_commit.then(|| resolved.millis("auto.commit.interval.ms")),
        assignors: words(assignors)
            .map(|word| assignor("partition.assignment.strategy", word))
            .collect::<Result<_, _>>()?,
        remote_assignor: resolved
            .text("group.remote.assignor")
            .map(|word| remote_assignor("group.remote.assignor", word))
            .transpose()?,
        is_static: resolved.text("group.instance.id").is_some(),
    })
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|word| !word.is_empty())
}

/// An assignor by its name, or by the name of Kafka's class.
pub(super) fn assignor(name: &'static str, text: &str) -> Result<Assignor, PropertyError> {
    let class = text.rsplit('.').next().unwrap_or(text);
    match class {
        "range" | "RangeAssignor" => Ok(Assignor::Range),
        "roundrobin" | "RoundRobinAssignor" => Ok(Assignor::RoundRobin),
        "sticky" | "StickyAssignor" => Ok(Assignor::Sticky),
        "cooperative-sticky" | "CooperativeStickyAssignor" => Ok(Assignor::CooperativeSticky),
        _ => Err(PropertyError::WrongKind {
            name,
            value: text.to_owned(),
            kind: super::Kind::Choice(&["range", "roundrobin", "sticky", "cooperative-sticky"]),
        }),
    }
}

fn remote_assignor(name: &'static str, text: &str) -> Result<RemoteAssignor, PropertyError> {
    match text {
        "uniform" => Ok(RemoteAssignor::Uniform),
        "range" => Ok(RemoteAssignor::Range),
        _ => Err(PropertyError::WrongKind {
            name,
            value: text.to_owned(),
            kind: super::Kind::Choice(&["uniform", "range"]),
        }),
    }
}
