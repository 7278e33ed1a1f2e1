//! The configuration of coordinators and of members of groups, with what `ConsumerConfig` and `ConsumerCoordinator` refuse.

use super::java::consumer_config;
use super::resolve::Resolved;
use super::{PropertyError, Scope, v};
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
            .map(|word| server_assignor("group.consumer.assignors", word))
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
    let protocol = match resolved.text("group.protocol") {
        Some("consumer") => GroupProtocol::Consumer,
        Some(_) | None => GroupProtocol::Classic,
    };
    // ConsumerConfig checks both since 4.0; before that the superfluous ones have no effect.
    if version >= v(4, 0, 0) {
        match protocol {
            GroupProtocol::Consumer => refuse_classic_properties(&resolved)?,
            GroupProtocol::Classic => refuse_remote_assignor(&resolved)?,
        }
    }
    if protocol == GroupProtocol::Classic {
        check_timeouts(&resolved)?;
    }
    let has_thread = rules.has(ProtocolRule::BackgroundHeartbeat);
    let auto_commit = resolved.boolean("enable.auto.commit");
    Ok(MemberConfig {
        library: ConsumerLibrary::Java,
        consumer,
        protocol,
        session_timeout: resolved.millis("session.timeout.ms"),
        heartbeat_interval: resolved.millis("heartbeat.interval.ms"),
        max_poll_interval: has_thread.then(|| resolved.millis_or("max.poll.interval.ms", 300_000)),
        auto_commit: auto_commit.then(|| resolved.millis("auto.commit.interval.ms")),
        auto_offset_store: true,
        assignors: assignors(&resolved, ConsumerLibrary::Java)?,
        remote_assignor: remote_assignor(&resolved)?,
        is_static: resolved.text("group.instance.id").is_some(),
    })
}

/// `Heartbeat`'s constructor and, before 2.0, `KafkaConsumer`'s.
fn check_timeouts(resolved: &Resolved<'_>) -> Result<(), PropertyError> {
    let (heartbeat, session) = ("heartbeat.interval.ms", "session.timeout.ms");
    below(resolved, heartbeat, session)?;
    if resolved.version() < v(2, 0, 0) {
        below(resolved, session, "request.timeout.ms")?;
        below(resolved, "fetch.max.wait.ms", "request.timeout.ms")?;
    }
    Ok(())
}

/// `name` must be smaller than `limit`; blames one that is set.
fn below(
    resolved: &Resolved<'_>,
    name: &'static str,
    limit: &'static str,
) -> Result<(), PropertyError> {
    let (value, most) = (resolved.integer(name), resolved.integer(limit));
    if value < most {
        return Ok(());
    }
    let (name_to_blame, other) = if resolved.is_set(name) { (name, limit) } else { (limit, name) };
    Err(PropertyError::Contradiction {
        name: name_to_blame,
        other,
        message: format!("`{name}` ({value}) must be smaller than `{limit}` ({most})"),
    })
}

/// What a member of a KIP-848 group cannot set: the brokers say how often it reports and when it is silent for too long,
/// and share the partitions out.
pub(super) fn refuse_classic_properties(resolved: &Resolved<'_>) -> Result<(), PropertyError> {
    let classic = [
        ("session.timeout.ms", "the brokers' `group.consumer.session.timeout.ms`"),
        ("heartbeat.interval.ms", "the brokers' `group.consumer.heartbeat.interval.ms`"),
        ("partition.assignment.strategy", "`group.remote.assignor`"),
    ];
    for (name, instead) in classic {
        if resolved.is_set(name) {
            return Err(PropertyError::Contradiction {
                name,
                other: "group.protocol",
                message: format!(
                    "`{name}` cannot be set with `group.protocol` consumer: set {instead}"
                ),
            });
        }
    }
    Ok(())
}

fn refuse_remote_assignor(resolved: &Resolved<'_>) -> Result<(), PropertyError> {
    let name = "group.remote.assignor";
    if resolved.text(name).is_none() {
        return Ok(());
    }
    Err(PropertyError::Contradiction {
        name,
        other: "group.protocol",
        message: format!("`{name}` needs `group.protocol` consumer"),
    })
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|word| !word.is_empty())
}

/// `partition.assignment.strategy`: each assignor once, and no mixture that the library refuses.
pub(super) fn assignors(
    resolved: &Resolved<'_>,
    library: ConsumerLibrary,
) -> Result<Vec<Assignor>, PropertyError> {
    let (name, known) = match library {
        ConsumerLibrary::Java => ("partition.assignment.strategy", JAVA_ASSIGNORS),
        ConsumerLibrary::Librdkafka => ("partition.assignment.strategy", LIBRDKAFKA_ASSIGNORS),
        ConsumerLibrary::KafkaPython => ("partition_assignment_strategy", KAFKA_PYTHON_ASSIGNORS),
    };
    let wrong = |value: &str| PropertyError::WrongKind {
        name,
        value: value.to_owned(),
        kind: super::Kind::Choice(known),
    };
    let mut assignors = Vec::new();
    for word in words(resolved.text(name).unwrap_or("")) {
        let found = assignor(word).filter(|assignor| known.contains(&assignor.name()));
        let assignor = found.ok_or_else(|| wrong(word))?;
        let since = match (library, assignor) {
            (ConsumerLibrary::Java, Assignor::Sticky) => v(0, 11, 0),
            (ConsumerLibrary::Java, Assignor::CooperativeSticky) => v(2, 4, 0),
            _ => super::ANY,
        };
        if resolved.version() < since {
            let (value, version) = (word.to_owned(), resolved.version());
            return Err(PropertyError::ValueNotYet { name, value, version, since });
        }
        let mixed = library == ConsumerLibrary::Librdkafka
            && assignors.iter().any(|other: &Assignor| {
                other.supports_cooperative() != assignor.supports_cooperative()
            });
        if mixed || assignors.contains(&assignor) {
            let message = match mixed {
                true => format!("`{name}` must not mix eager and cooperative assignors"),
                false => format!("`{name}` names `{}` twice", assignor.name()),
            };
            return Err(PropertyError::Contradiction { name, other: name, message });
        }
        assignors.push(assignor);
    }
    match assignors.is_empty() {
        true => Err(wrong("")),
        false => Ok(assignors),
    }
}

const JAVA_ASSIGNORS: &[&str] = &["range", "roundrobin", "sticky", "cooperative-sticky"];
const LIBRDKAFKA_ASSIGNORS: &[&str] = &["range", "roundrobin", "cooperative-sticky"];
const KAFKA_PYTHON_ASSIGNORS: &[&str] = &["range", "roundrobin", "sticky"];

/// An assignor by its name, or by the name of its class in Kafka or kafka-python.
fn assignor(text: &str) -> Option<Assignor> {
    match text.rsplit('.').next().unwrap_or(text) {
        "range" | "RangeAssignor" | "RangePartitionAssignor" => Some(Assignor::Range),
        "roundrobin" | "RoundRobinAssignor" | "RoundRobinPartitionAssignor" => {
            Some(Assignor::RoundRobin)
        }
        "sticky" | "StickyAssignor" | "StickyPartitionAssignor" => Some(Assignor::Sticky),
        "cooperative-sticky" | "CooperativeStickyAssignor" => Some(Assignor::CooperativeSticky),
        _ => None,
    }
}

/// `group.remote.assignor`, if it is set.
pub(super) fn remote_assignor(
    resolved: &Resolved<'_>,
) -> Result<Option<RemoteAssignor>, PropertyError> {
    let name = "group.remote.assignor";
    resolved.text(name).map(|word| server_assignor(name, word)).transpose()
}

fn server_assignor(name: &'static str, text: &str) -> Result<RemoteAssignor, PropertyError> {
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
