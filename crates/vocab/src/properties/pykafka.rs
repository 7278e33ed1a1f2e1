//! pykafka's `BalancedConsumer` (2.8): the arguments of `Topic.get_balanced_consumer` and, of `KafkaClient`, the timeouts.
//!
//! Left out: its producer, its `SimpleConsumer` alone, the consumer that is managed by Kafka
//! (`ManagedBalancedConsumer`), and librdkafka underneath.

use super::Kind::{Boolean, Choice, Text};
use super::high_level_consumer::blocking_client;
use super::resolve::Resolved;
use super::{
    ANY, MAX_INT, PropertyDefinition, PropertyError, Scope, count, int_bytes, int_ms, row,
};
use crate::api::Isolation;
use crate::config::{
    AutoOffsetReset, BalancedConsumerConfig, BalancedLibrary, ConsumerConfig, OffsetsStorage,
};
use crate::rules::ProtocolRules;
use crate::time::SimDuration;
use crate::version::KafkaVersion;

#[rustfmt::skip]
pub(super) static TABLE: &[PropertyDefinition] = &[
    row("rebalance_max_retries", count(1, MAX_INT), &[(ANY, "5")],
        "Attempts of one rebalance; the last one's exception is raised."),
    row("rebalance_backoff_ms", int_ms(0), &[(ANY, "2000")],
        "Pause after a failed attempt, times the number of attempts before it."),
    row("zookeeper_connection_timeout_ms", int_ms(1), &[(ANY, "6000")],
        "In spite of its name the session timeout: silence after which the consumer's znodes are \
         gone."),
    row("auto_commit_enable", Boolean, &[(ANY, "false")],
        "A thread commits what consume() has returned from time to time."),
    row("auto_commit_interval_ms", int_ms(1), &[(ANY, "60000")], "How often."),
    row("auto_offset_reset", Choice(&["EARLIEST", "LATEST", "earliest", "latest"]),
        &[(ANY, "EARLIEST")], "Where to go without a position."),
    row("queued_max_messages", count(1, MAX_INT), &[(ANY, "2000")],
        "Most messages of a partition that wait for consume()."),
    row("fetch_min_bytes", int_bytes(0), &[(ANY, "1")],
        "How much new data ends the wait of a fetch."),
    row("fetch_wait_max_ms", int_ms(0), &[(ANY, "100")],
        "Longest wait of a fetch at the broker."),
    row("fetch_message_max_bytes", int_bytes(0), &[(ANY, "1048576")],
        "How much a fetch asks for of one partition."),
    row("fetch_error_backoff_ms", int_ms(0), &[(ANY, "500")],
        "Pause after a fetch that failed."),
    row("offsets_commit_max_retries", count(1, MAX_INT), &[(ANY, "5")],
        "Attempts of a commit, and of a fetch of offsets."),
    row("offsets_channel_backoff_ms", int_ms(0), &[(ANY, "1000")],
        "Pause after a failed attempt, times the number of attempts before it."),
    row("socket_timeout_ms", int_ms(1), &[(ANY, "30000")],
        "Of KafkaClient: how long to wait for an answer."),
    row("offsets_channel_socket_timeout_ms", int_ms(1), &[(ANY, "10000")],
        "Of KafkaClient: how long to wait for the coordinator's answer."),
    row("consumer_timeout_ms", int_ms(-1), &[(ANY, "-1")],
        "How long consume() blocks; here the group's `poll_timeout`.").unmodelled(),
    row("num_consumer_fetchers", count(1, MAX_INT), &[(ANY, "1")],
        "Fetcher threads for each broker.").unmodelled(),
    row("zookeeper_connect", Text, &[(ANY, "")],
        "Where ZooKeeper is; here every server.").aliases(&["zookeeper_hosts"]).unmodelled(),
    row("consumer_group", Text, &[(ANY, "")], "The group.").unmodelled(),
    row("auto_start", Boolean, &[(ANY, "true")],
        "start() is called when the consumer is made; here always.").unmodelled(),
    row("reset_offset_on_start", Boolean, &[(ANY, "false")],
        "Starts where auto_offset_reset says, whatever was committed.").unmodelled(),
    row("use_rdkafka", Boolean, &[(ANY, "false")],
        "Fetches by librdkafka.").unmodelled(),
    row("compacted_topic", Boolean, &[(ANY, "false")],
        "Gaps between offsets are expected.").unmodelled(),
];

/// The configuration of pykafka's `BalancedConsumer`.
///
/// # Errors
/// See [`PropertyError`].
pub fn pykafka_consumer_config(
    rules: ProtocolRules,
    properties: &[(String, String)],
) -> Result<BalancedConsumerConfig, PropertyError> {
    let resolved = Resolved::new(KafkaVersion::NEWEST, Scope::PykafkaConsumer, properties)?;
    let error_backoff = resolved.millis("fetch_error_backoff_ms");
    let commits = resolved.boolean("auto_commit_enable");
    Ok(BalancedConsumerConfig {
        library: BalancedLibrary::Pykafka,
        consumer: ConsumerConfig {
            client: blocking_client(rules, resolved.millis("socket_timeout_ms"), error_backoff),
            auto_offset_reset: match resolved.text("auto_offset_reset") {
                Some("LATEST" | "latest") => AutoOffsetReset::Latest,
                Some(_) | None => AutoOffsetReset::Earliest,
            },
            isolation: Isolation::HighWatermark,
            fetch_min_bytes: resolved.u32("fetch_min_bytes"),
            fetch_max_wait: resolved.millis("fetch_wait_max_ms"),
            fetch_max_bytes: u32::MAX,
            max_partition_fetch_bytes: resolved.u32("fetch_message_max_bytes"),
            max_poll_records: 1,
            default_api_timeout: SimDuration::MAX,
        },
        session_timeout: resolved.millis("zookeeper_connection_timeout_ms"),
        rebalance_max_retries: resolved.u32("rebalance_max_retries"),
        rebalance_backoff: resolved.millis("rebalance_backoff_ms"),
        auto_commit: commits.then(|| resolved.millis("auto_commit_interval_ms")),
        offsets_storage: OffsetsStorage::Kafka,
        offsets_commit_max_retries: resolved.u32("offsets_commit_max_retries"),
        offsets_channel_backoff: resolved.millis("offsets_channel_backoff_ms"),
        offsets_channel_timeout: resolved.millis("offsets_channel_socket_timeout_ms"),
        refresh_leader_backoff: error_backoff,
        queue: resolved.u32("queued_max_messages"),
    })
}
