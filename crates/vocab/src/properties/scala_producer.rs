//! The Scala producer of Kafka 0.8: `kafka.producer.ProducerConfig`, `SyncProducerConfig` and `AsyncProducerConfig` (0.8.2).
//! It was removed in 2.0.

use super::Kind::{Choice, List, Text};
use super::resolve::Resolved;
use super::{ANY, MAX_INT, PropertyDefinition, PropertyError, Scope, count, int_ms, row};
use crate::api::Acks;
use crate::config::ScalaProducerConfig;
use crate::rules::ProtocolRules;
use crate::time::SimDuration;
use crate::version::KafkaVersion;

#[rustfmt::skip]
pub(super) static TABLE: &[PropertyDefinition] = &[
    row("producer.type", Choice(&["sync", "async"]), &[(ANY, "sync")],
        "send() sends, or leaves it to a thread."),
    row("request.required.acks", Choice(&["0", "1", "-1"]), &[(ANY, "0")],
        "What an ack waits for: nothing, the leader's append, the append of the whole ISR."),
    row("request.timeout.ms", int_ms(1), &[(ANY, "10000")],
        "How long the broker waits for followers, and the producer for the broker."),
    row("message.send.max.retries", count(0, MAX_INT), &[(ANY, "3")],
        "How often messages are sent again; then FailedToSendMessageException."),
    row("retry.backoff.ms", int_ms(0), &[(ANY, "100")],
        "Pause before the metadata is refreshed and messages are sent again."),
    row("topic.metadata.refresh.interval.ms", int_ms(-1), &[(ANY, "600000")],
        "How often metadata is refreshed, and another partition taken for messages without a key; \
         -1 only after failures, 0 before every send."),
    row("queue.buffering.max.ms", int_ms(0), &[(ANY, "5000")],
        "With producer.type=async: how long a message waits for more."),
    row("queue.buffering.max.messages", count(1, MAX_INT), &[(ANY, "10000")],
        "With producer.type=async: most messages that wait."),
    row("queue.enqueue.timeout.ms", int_ms(-1), &[(ANY, "-1")],
        "With producer.type=async: how long send() waits for room; -1 for ever, 0 drops."),
    row("batch.num.messages", count(1, MAX_INT), &[(ANY, "200")],
        "With producer.type=async: so many messages are sent at once."),
    row("partitioner.class", Choice(&["kafka.producer.DefaultPartitioner"]),
        &[(ANY, "kafka.producer.DefaultPartitioner")],
        "Chooses the partition of a message with a key: by its hashCode()."),
    row("compression.codec", Choice(&["none", "gzip", "snappy"]), &[(ANY, "none")],
        "Compression of batches.").unmodelled(),
    row("compressed.topics", List, &[(ANY, "")], "Topics to compress.").unmodelled(),
    row("metadata.broker.list", List, &[(ANY, "")],
        "Whom to ask first; here every broker.").unmodelled(),
    row("serializer.class", Text, &[(ANY, "kafka.serializer.DefaultEncoder")],
        "Turns values into bytes.").unmodelled(),
    row("key.serializer.class", Text, &[(ANY, "")], "Turns keys into bytes.").unmodelled(),
    row("send.buffer.bytes", count(1, MAX_INT), &[(ANY, "102400")],
        "TCP's send buffer.").unmodelled(),
    row("client.id", Text, &[(ANY, "")], "A name for the brokers' logs.").unmodelled(),
];

/// A Scala producer's configuration.
///
/// # Errors
/// See [`PropertyError`].
pub fn scala_producer_config(
    version: KafkaVersion,
    rules: ProtocolRules,
    properties: &[(String, String)],
) -> Result<ScalaProducerConfig, PropertyError> {
    let resolved = Resolved::new(version, Scope::ScalaProducer, properties)?;
    let (batch, queue) = ("batch.num.messages", "queue.buffering.max.messages");
    if resolved.integer(batch) > resolved.integer(queue) {
        let (name, other) = if resolved.is_set(batch) { (batch, queue) } else { (queue, batch) };
        let (size, limit) = (resolved.integer(batch), resolved.integer(queue));
        let message = format!("`{batch}` ({size}) must not be larger than `{queue}` ({limit})");
        return Err(PropertyError::Contradiction { name, other, message });
    }
    // A negative number stands for ever.
    let unless_negative = |name: &str| match resolved.integer(name) {
        ..0 => None,
        _ => Some(resolved.millis(name)),
    };
    Ok(ScalaProducerConfig {
        rules,
        asynchronous: resolved.text("producer.type") == Some("async"),
        acks: match resolved.text("request.required.acks") {
            Some("1") => Acks::Leader,
            Some("-1") => Acks::All,
            Some(_) | None => Acks::None,
        },
        request_timeout: resolved.millis("request.timeout.ms"),
        retries: resolved.u32("message.send.max.retries"),
        retry_backoff: resolved.millis("retry.backoff.ms"),
        metadata_refresh_interval: unless_negative("topic.metadata.refresh.interval.ms")
            .unwrap_or(SimDuration::MAX),
        queue_max: resolved.millis("queue.buffering.max.ms"),
        queue_max_messages: resolved.u32(queue),
        queue_enqueue_timeout: unless_negative("queue.enqueue.timeout.ms"),
        batch_num_messages: resolved.u32(batch),
    })
}
