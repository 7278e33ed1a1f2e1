//! kafka-python's producer and consumer: their own names, defaults and refusals (2.0.2: `KafkaProducer` and
//! `KafkaConsumer`).
//!
//! Its names have underscores; Java's, with dots, are taken as aliases. The producer is a port of Java's as it was in
//! 0.10: no idempotence, no `delivery.timeout.ms`, and by default `acks` 1 without retries. The consumer is a port of
//! Java's of 0.10.1. Left out: the versions 2.1 and 3.x, which follow the Java client of their time.

use super::Kind::{Boolean, Choice, List, Text};
use super::groups::assignors;
use super::resolve::Resolved;
use super::{
    ANY, Kind, MAX_INT, MAX_LONG, PropertyDefinition, PropertyError, Scope, Unit, count, int_bytes,
    int_ms, integer, row,
};
use crate::api::{Acks, Isolation};
use crate::config::{
    AutoOffsetReset, ClientConfig, ConsumerConfig, ConsumerLibrary, GroupProtocol,
    JavaProducerConfig, MemberConfig, Partitioner,
};
use crate::rules::ProtocolRules;
use crate::time::SimDuration;
use crate::version::KafkaVersion;

/// `java` is the name of Java's property, if there is one.
const fn python(
    name: &'static str,
    java: &'static [&'static str],
    kind: Kind,
    defaults: &'static [(KafkaVersion, &'static str)],
    doc: &'static str,
) -> PropertyDefinition {
    row(name, kind, defaults, doc).aliases(java)
}

const IN_FLIGHT: &str = "max_in_flight_requests_per_connection";

/// What producers and consumers have in common.
#[rustfmt::skip]
pub(super) static CONNECTION: &[PropertyDefinition] = &[
    python("retry_backoff_ms", &["retry.backoff.ms"], int_ms(0), &[(ANY, "100")],
        "Pause before a request is sent again."),
    python("reconnect_backoff_ms", &["reconnect.backoff.ms"], int_ms(0), &[(ANY, "50")],
        "Pause before connecting again."),
    python("reconnect_backoff_max_ms", &["reconnect.backoff.max.ms"], int_ms(0),
        &[(ANY, "1000")], "Longest such pause."),
    python("metadata_max_age_ms", &["metadata.max.age.ms"], int_ms(0), &[(ANY, "300000")],
        "Age at which metadata is refreshed without being asked."),
    python("connections_max_idle_ms", &["connections.max.idle.ms"], int_ms(0),
        &[(ANY, "540000")],
        "Idle connections are closed; a consumer needs more than request_timeout_ms.").unmodelled(),
    python("client_id", &["client.id"], Text, &[(ANY, "")],
        "A name for the brokers' logs.").unmodelled(),
    python("bootstrap_servers", &["bootstrap.servers"], Text, &[(ANY, "localhost")],
        "Whom to ask first; here every broker.").unmodelled(),
];

#[rustfmt::skip]
pub(super) static PRODUCER: &[PropertyDefinition] = &[
    python("acks", &[], Choice(&["all", "-1", "0", "1"]), &[(ANY, "1")],
        "What an ack waits for: nothing, the leader's append, the append of the whole ISR."),
    python("retries", &[], count(0, MAX_INT), &[(ANY, "0")],
        "How often a batch is sent again after a retriable error."),
    python(IN_FLIGHT, &["max.in.flight.requests.per.connection"], count(1, MAX_INT),
        &[(ANY, "5")], "Unanswered requests on one connection."),
    python("linger_ms", &["linger.ms"], int_ms(0), &[(ANY, "0")],
        "How long a batch waits for more records."),
    python("batch_size", &["batch.size"], int_bytes(0), &[(ANY, "16384")],
        "Size at which a batch is complete."),
    python("buffer_memory", &["buffer.memory"], integer(Unit::Bytes, 0, MAX_LONG),
        &[(ANY, "33554432")],
        "Memory for records that wait to be sent; send() blocks when it is used up."),
    python("max_block_ms", &["max.block.ms"], int_ms(0), &[(ANY, "60000")],
        "How long send() may block for metadata or memory."),
    python("max_request_size", &["max.request.size"], int_bytes(0), &[(ANY, "1048576")],
        "Largest request, and largest record."),
    python("request_timeout_ms", &["request.timeout.ms"], int_ms(0), &[(ANY, "30000")],
        "How long to wait for an answer, and how long a batch may wait to be sent."),
    python("compression_type", &["compression.type"],
        Choice(&["gzip", "snappy", "lz4", "zstd"]), &[(ANY, "")],
        "Compression of batches.").unmodelled(),
];

#[rustfmt::skip]
pub(super) static CONSUMER: &[PropertyDefinition] = &[
    python("auto_offset_reset", &["auto.offset.reset"],
        Choice(&["latest", "earliest", "largest", "smallest", "none"]), &[(ANY, "latest")],
        "Where to go without a position."),
    python("fetch_min_bytes", &["fetch.min.bytes"], int_bytes(0), &[(ANY, "1")],
        "How much new data ends the wait of a fetch."),
    python("fetch_max_wait_ms", &["fetch.max.wait.ms"], int_ms(0), &[(ANY, "500")],
        "Longest wait of a fetch at the broker."),
    python("fetch_max_bytes", &["fetch.max.bytes"], int_bytes(0), &[(ANY, "52428800")],
        "How much a fetch asks for in all."),
    python("max_partition_fetch_bytes", &["max.partition.fetch.bytes"], int_bytes(0),
        &[(ANY, "1048576")], "How much a fetch asks for of one partition."),
    python("max_poll_records", &["max.poll.records"], count(1, MAX_INT), &[(ANY, "500")],
        "Most records that one poll() returns."),
    python("max_poll_interval_ms", &["max.poll.interval.ms"], int_ms(1), &[(ANY, "300000")],
        "A member that does not poll() for so long leaves the group (KIP-62)."),
    python("request_timeout_ms", &["request.timeout.ms"], int_ms(0), &[(ANY, "305000")],
        "How long to wait for an answer before the connection is dropped."),
    python("session_timeout_ms", &["session.timeout.ms"], int_ms(0), &[(ANY, "10000")],
        "Silence after which a member is removed."),
    python("heartbeat_interval_ms", &["heartbeat.interval.ms"], int_ms(0), &[(ANY, "3000")],
        "How often a member reports."),
    python("enable_auto_commit", &["enable.auto.commit"], Boolean, &[(ANY, "true")],
        "poll() commits positions from time to time."),
    python("auto_commit_interval_ms", &["auto.commit.interval.ms"], int_ms(0),
        &[(ANY, "5000")], "How often."),
    python("partition_assignment_strategy", &["partition.assignment.strategy"], List,
        &[(ANY, "range,roundrobin")],
        "How partitions are shared out: range, roundrobin or sticky."),
    python("group_id", &["group.id"], Text, &[(ANY, "")], "The group.").unmodelled(),
    python("check_crcs", &["check.crcs"], Boolean, &[(ANY, "true")],
        "Checks batches for corruption.").unmodelled(),
];

/// A kafka-python producer: Java's of 0.10 with another partitioner.
///
/// # Errors
/// See [`PropertyError`].
pub fn kafka_python_producer_config(
    rules: ProtocolRules,
    properties: &[(String, String)],
) -> Result<JavaProducerConfig, PropertyError> {
    let resolved = Resolved::new(KafkaVersion::NEWEST, Scope::KafkaPythonProducer, properties)?;
    Ok(JavaProducerConfig {
        client: client(&resolved, rules),
        acks: match resolved.text("acks") {
            Some("0") => Acks::None,
            Some("all" | "-1") => Acks::All,
            Some(_) | None => Acks::Leader,
        },
        idempotence: false,
        retries: resolved.u32("retries"),
        max_in_flight: resolved.u32(IN_FLIGHT),
        batch_size: resolved.u32("batch_size"),
        linger: resolved.millis("linger_ms"),
        buffer_memory: resolved.u64("buffer_memory"),
        max_block: resolved.millis("max_block_ms"),
        max_request_size: resolved.u32("max_request_size"),
        delivery_timeout: None,
        partitioner: Partitioner::Murmur2Random,
        adaptive_partitioning: false,
        ignore_keys: false,
        transaction_timeout: None,
    })
}

/// A member of a group that uses kafka-python.
///
/// # Errors
/// See [`PropertyError`].
pub fn kafka_python_member_config(
    rules: ProtocolRules,
    properties: &[(String, String)],
) -> Result<MemberConfig, PropertyError> {
    let resolved = Resolved::new(KafkaVersion::NEWEST, Scope::KafkaPythonConsumer, properties)?;
    below(&resolved, "fetch_max_wait_ms", "request_timeout_ms")?;
    below(&resolved, "request_timeout_ms", "connections_max_idle_ms")?;
    below(&resolved, "session_timeout_ms", "request_timeout_ms")?;
    let (heartbeat, session) = ("heartbeat_interval_ms", "session_timeout_ms");
    if resolved.integer(heartbeat) > resolved.integer(session) {
        return Err(contradiction(&resolved, heartbeat, session, "must not be larger than"));
    }
    let commits = resolved.boolean("enable_auto_commit");
    Ok(MemberConfig {
        library: ConsumerLibrary::KafkaPython,
        consumer: ConsumerConfig {
            client: client(&resolved, rules),
            auto_offset_reset: match resolved.text("auto_offset_reset") {
                Some("earliest" | "smallest") => AutoOffsetReset::Earliest,
                Some("none") => AutoOffsetReset::None,
                Some(_) | None => AutoOffsetReset::Latest,
            },
            isolation: Isolation::HighWatermark,
            fetch_min_bytes: resolved.u32("fetch_min_bytes"),
            fetch_max_wait: resolved.millis("fetch_max_wait_ms"),
            fetch_max_bytes: resolved.u32("fetch_max_bytes"),
            max_partition_fetch_bytes: resolved.u32("max_partition_fetch_bytes"),
            max_poll_records: resolved.u32("max_poll_records"),
            // commit() tries again until it succeeds or fails for good.
            default_api_timeout: SimDuration::MAX,
        },
        protocol: GroupProtocol::Classic,
        session_timeout: resolved.millis(session),
        heartbeat_interval: resolved.millis(heartbeat),
        max_poll_interval: Some(resolved.millis("max_poll_interval_ms")),
        auto_commit: commits.then(|| resolved.millis("auto_commit_interval_ms")),
        auto_offset_store: true,
        assignors: assignors(&resolved, ConsumerLibrary::KafkaPython)?,
        remote_assignor: None,
        is_static: false,
    })
}

fn client(resolved: &Resolved<'_>, rules: ProtocolRules) -> ClientConfig {
    let backoff = resolved.millis("retry_backoff_ms");
    let reconnect = resolved.millis("reconnect_backoff_ms");
    let request_timeout = resolved.millis("request_timeout_ms");
    ClientConfig {
        rules,
        request_timeout,
        retry_backoff: backoff,
        retry_backoff_max: backoff,
        reconnect_backoff: reconnect,
        reconnect_backoff_max: resolved.millis("reconnect_backoff_max_ms").max(reconnect),
        // BrokerConnection gives a connect up after request_timeout_ms.
        connection_setup_timeout: request_timeout,
        connection_setup_timeout_max: request_timeout,
        metadata_max_age: resolved.millis("metadata_max_age_ms"),
    }
}

fn below(
    resolved: &Resolved<'_>,
    name: &'static str,
    limit: &'static str,
) -> Result<(), PropertyError> {
    match resolved.integer(name) < resolved.integer(limit) {
        true => Ok(()),
        false => Err(contradiction(resolved, name, limit, "must be smaller than")),
    }
}

/// Blames the one of the two that is set.
fn contradiction(
    resolved: &Resolved<'_>,
    name: &'static str,
    other: &'static str,
    relation: &str,
) -> PropertyError {
    let message = format!(
        "`{name}` ({}) {relation} `{other}` ({})",
        resolved.integer(name),
        resolved.integer(other)
    );
    let (name, other) = if resolved.is_set(name) { (name, other) } else { (other, name) };
    PropertyError::Contradiction { name, other, message }
}
