//! The high-level consumer of Kafka 0.8: `kafka.consumer.ConsumerConfig` and `ZKConfig` (0.8.2). It was removed in 2.0.
//!
//! Left out: mirror makers' properties, `num.consumer.fetchers` above one, `roundrobin`.

use super::Kind::{Boolean, Choice, Text};
use super::resolve::Resolved;
use super::{
    ANY, MAX_INT, PropertyDefinition, PropertyError, Scope, count, int_bytes, int_ms, row,
};
use crate::api::Isolation;
use crate::config::{
    AutoOffsetReset, BalancedConsumerConfig, BalancedLibrary, ClientConfig, ConsumerConfig,
    OffsetsStorage,
};
use crate::rules::ProtocolRules;
use crate::time::SimDuration;
use crate::version::KafkaVersion;

#[rustfmt::skip]
pub(super) static TABLE: &[PropertyDefinition] = &[
    row("zookeeper.session.timeout.ms", int_ms(1), &[(ANY, "6000")],
        "Silence after which the consumer's registration and its ownerships are gone."),
    row("zookeeper.connection.timeout.ms", int_ms(1), &[(ANY, "")],
        "How long to wait for the first connection; the session timeout, if not set.").unmodelled(),
    row("zookeeper.sync.time.ms", int_ms(0), &[(ANY, "2000")],
        "How far a follower of ZooKeeper may be behind; the default of rebalance.backoff.ms."),
    row("rebalance.max.retries", count(1, MAX_INT), &[(ANY, "4")],
        "Attempts of one rebalance; then ConsumerRebalanceFailedException."),
    row("rebalance.backoff.ms", int_ms(0), &[(ANY, "")],
        "Pause after each attempt; zookeeper.sync.time.ms, if not set."),
    row("refresh.leader.backoff.ms", int_ms(0), &[(ANY, "200")],
        "Pause before the new leader of a partition is looked for."),
    row("auto.commit.enable", Boolean, &[(ANY, "true")],
        "A thread commits what has been handed out from time to time."),
    row("auto.commit.interval.ms", int_ms(1), &[(ANY, "60000")], "How often."),
    row("auto.offset.reset", Choice(&["largest", "smallest"]), &[(ANY, "largest")],
        "Where to go without a position."),
    row("offsets.storage", Choice(&["zookeeper", "kafka"]), &[(ANY, "zookeeper")],
        "Where offsets are committed."),
    row("dual.commit.enabled", Boolean, &[(ANY, "")],
        "With offsets.storage=kafka they are committed to ZooKeeper, too; then true if not set."),
    row("offsets.commit.max.retries", count(0, MAX_INT), &[(ANY, "5")],
        "How often a commit to Kafka is tried again during shutdown."),
    row("offsets.channel.backoff.ms", int_ms(0), &[(ANY, "1000")],
        "Pause before a commit to Kafka, or a fetch of offsets, is tried again."),
    row("offsets.channel.socket.timeout.ms", int_ms(1), &[(ANY, "10000")],
        "How long to wait for the coordinator's answer."),
    row("fetch.min.bytes", int_bytes(0), &[(ANY, "1")],
        "How much new data ends the wait of a fetch."),
    row("fetch.wait.max.ms", int_ms(0), &[(ANY, "100")],
        "Longest wait of a fetch at the broker."),
    row("fetch.message.max.bytes", int_bytes(0), &[(ANY, "1048576")],
        "How much a fetch asks for of one partition."),
    row("queued.max.message.chunks", count(1, MAX_INT), &[(ANY, "2")],
        "Answers to fetches that wait for the iterator."),
    row("socket.timeout.ms", int_ms(1), &[(ANY, "30000")],
        "How long to wait for an answer before the connection is dropped."),
    row("partition.assignment.strategy", Choice(&["range"]), &[(ANY, "range")],
        "How partitions are shared out."),
    row("consumer.timeout.ms", int_ms(-1), &[(ANY, "-1")],
        "How long the iterator blocks; here the group's `poll_timeout`.").unmodelled(),
    row("num.consumer.fetchers", count(1, MAX_INT), &[(ANY, "1")],
        "Fetcher threads; here one for each broker.").unmodelled(),
    row("socket.receive.buffer.bytes", int_bytes(0), &[(ANY, "65536")],
        "TCP's receive buffer.").unmodelled(),
    row("exclude.internal.topics", Boolean, &[(ANY, "true")],
        "Internal topics are not read.").unmodelled(),
    row("zookeeper.connect", Text, &[(ANY, "")],
        "Where ZooKeeper is; here every server.").unmodelled(),
    row("group.id", Text, &[(ANY, "")], "The group.").unmodelled(),
    row("consumer.id", Text, &[(ANY, "")],
        "A fixed id in the place of one that is made of host name, time and UUID.").unmodelled(),
    row("client.id", Text, &[(ANY, "")], "A name for the brokers' logs.").unmodelled(),
];

/// A high-level consumer's configuration.
///
/// # Errors
/// See [`PropertyError`].
pub fn high_level_consumer_config(
    version: KafkaVersion,
    rules: ProtocolRules,
    properties: &[(String, String)],
) -> Result<BalancedConsumerConfig, PropertyError> {
    let resolved = Resolved::new(version, Scope::HighLevelConsumer, properties)?;
    fetches_within_socket_timeout(&resolved)?;
    let rebalance_backoff = match resolved.text("rebalance.backoff.ms") {
        Some(_) => resolved.millis("rebalance.backoff.ms"),
        None => resolved.millis("zookeeper.sync.time.ms"),
    };
    let refresh_leader_backoff = resolved.millis("refresh.leader.backoff.ms");
    let dual =
        resolved.text("dual.commit.enabled").is_none() || resolved.boolean("dual.commit.enabled");
    let commits = resolved.boolean("auto.commit.enable");
    Ok(BalancedConsumerConfig {
        library: BalancedLibrary::HighLevel,
        consumer: ConsumerConfig {
            client: blocking_client(
                rules,
                resolved.millis("socket.timeout.ms"),
                refresh_leader_backoff,
            ),
            auto_offset_reset: match resolved.text("auto.offset.reset") {
                Some("smallest") => AutoOffsetReset::Earliest,
                Some(_) | None => AutoOffsetReset::Latest,
            },
            isolation: Isolation::HighWatermark,
            fetch_min_bytes: resolved.u32("fetch.min.bytes"),
            fetch_max_wait: resolved.millis("fetch.wait.max.ms"),
            fetch_max_bytes: u32::MAX,
            max_partition_fetch_bytes: resolved.u32("fetch.message.max.bytes"),
            max_poll_records: 1,
            default_api_timeout: SimDuration::MAX,
        },
        session_timeout: resolved.millis("zookeeper.session.timeout.ms"),
        rebalance_max_retries: resolved.u32("rebalance.max.retries"),
        rebalance_backoff,
        auto_commit: commits.then(|| resolved.millis("auto.commit.interval.ms")),
        offsets_storage: match resolved.text("offsets.storage") {
            Some("kafka") if dual => OffsetsStorage::Both,
            Some("kafka") => OffsetsStorage::Kafka,
            Some(_) | None => OffsetsStorage::ZooKeeper,
        },
        offsets_commit_max_retries: resolved.u32("offsets.commit.max.retries"),
        offsets_channel_backoff: resolved.millis("offsets.channel.backoff.ms"),
        offsets_channel_timeout: resolved.millis("offsets.channel.socket.timeout.ms"),
        refresh_leader_backoff,
        queue: resolved.u32("queued.max.message.chunks"),
    })
}

/// A client with one blocking socket for each broker: it has no backoffs of its own but the caller's, and no metadata that
/// grows old.
pub(super) fn blocking_client(
    rules: ProtocolRules,
    socket_timeout: SimDuration,
    backoff: SimDuration,
) -> ClientConfig {
    ClientConfig {
        rules,
        request_timeout: socket_timeout,
        retry_backoff: backoff,
        retry_backoff_max: backoff,
        reconnect_backoff: backoff,
        reconnect_backoff_max: backoff,
        connection_setup_timeout: socket_timeout,
        connection_setup_timeout_max: socket_timeout,
        metadata_max_age: SimDuration::MAX,
    }
}

fn fetches_within_socket_timeout(resolved: &Resolved<'_>) -> Result<(), PropertyError> {
    let (wait, timeout) = ("fetch.wait.max.ms", "socket.timeout.ms");
    let (longest, limit) = (resolved.integer(wait), resolved.integer(timeout));
    if longest <= limit {
        return Ok(());
    }
    let (name, other) = if resolved.is_set(wait) { (wait, timeout) } else { (timeout, wait) };
    let message = format!("`{wait}` ({longest}) must not be larger than `{timeout}` ({limit})");
    Err(PropertyError::Contradiction { name, other, message })
}
