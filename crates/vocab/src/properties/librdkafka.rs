//! librdkafka's producer: its own names, aliases, defaults and ranges (`CONFIGURATION.md` of
//! 2.15), and what `rd_kafka_conf_finalize` adjusts or refuses.
//!
//! Left out: its transactions, and the versions before 2.15.

use super::Kind::{Boolean, Choice, Decimal, Text};
use super::Unit::{Bytes, Kibibytes, Milliseconds};
use super::resolve::Resolved;
use super::{
    ANY, Kind, MAX_INT, PropertyDefinition, PropertyError, Scope, Unit, count, integer, row,
};
use crate::api::Acks;
use crate::config::{ClientConfig, LibrdkafkaProducerConfig, Partitioner};
use crate::rules::ProtocolRules;
use crate::time::SimDuration;
use crate::version::KafkaVersion;

pub(super) const fn ms(min: i64, max: i64) -> Kind {
    integer(Unit::Milliseconds, min, max)
}

/// What producers and consumers have in common.
#[rustfmt::skip]
pub(super) static CONNECTION: &[PropertyDefinition] = &[
    row("socket.timeout.ms", ms(10, 300_000), &[(ANY, "60000")],
        "How long to wait for an answer before the connection is dropped."),
    row("retry.backoff.ms", ms(1, 300_000), &[(ANY, "100")],
        "Pause before a request is sent again; grows exponentially."),
    row("retry.backoff.max.ms", ms(1, 300_000), &[(ANY, "1000")],
        "Longest such pause."),
    row("reconnect.backoff.ms", ms(0, 3_600_000), &[(ANY, "100")],
        "Pause before connecting again."),
    row("reconnect.backoff.max.ms", ms(0, 3_600_000), &[(ANY, "10000")],
        "Longest such pause."),
    row("socket.connection.setup.timeout.ms", ms(1_000, MAX_INT), &[(ANY, "30000")],
        "How long connecting may take."),
    row("topic.metadata.refresh.interval.ms", ms(-1, 3_600_000), &[(ANY, "300000")],
        "How often metadata is refreshed; -1 never."),
    row("metadata.max.age.ms", ms(1, 86_400_000), &[(ANY, "900000")],
        "Age at which cached metadata is dropped.").unmodelled(),
    row("client.id", Text, &[(ANY, "rdkafka")], "A name for the brokers' logs.").unmodelled(),
    row("bootstrap.servers", Text, &[(ANY, "")],
        "Whom to ask first; here every broker.").aliases(&["metadata.broker.list"]).unmodelled(),
    row("security.protocol", Text, &[(ANY, "plaintext")],
        "Protocol with the brokers.").unmodelled(),
];

#[rustfmt::skip]
pub(super) static TABLE: &[PropertyDefinition] = &[
    row("acks", Choice(&["all", "-1", "0", "1"]), &[(ANY, "all")],
        "What must have happened before a message counts as stored.")
        .aliases(&["request.required.acks"]),
    row("enable.idempotence", Boolean, &[(ANY, "false")],
        "Brokers recognise a batch that is sent again (KIP-98)."),
    row("retries", count(0, MAX_INT), &[(ANY, "2147483647")],
        "How often a message is sent again.").aliases(&["message.send.max.retries"]),
    row("max.in.flight.requests.per.connection", count(1, 1_000_000), &[(ANY, "1000000")],
        "Unanswered requests on one connection.").aliases(&["max.in.flight"]),
    row("linger.ms", Decimal { unit: Milliseconds, min: 0, max: 900_000 }, &[(ANY, "5")],
        "How long a batch waits for more messages.").aliases(&["queue.buffering.max.ms"]),
    row("batch.size", integer(Bytes, 1, MAX_INT), &[(ANY, "1000000")],
        "Size at which a batch is complete."),
    row("batch.num.messages", count(1, 1_000_000), &[(ANY, "10000")],
        "Most messages of a batch."),
    row("queue.buffering.max.messages", count(0, MAX_INT), &[(ANY, "100000")],
        "Most messages that wait to be sent; produce() fails beyond."),
    row("queue.buffering.max.kbytes", integer(Kibibytes, 1, MAX_INT), &[(ANY, "1048576")],
        "Most memory of messages that wait to be sent."),
    row("message.timeout.ms", ms(0, MAX_INT), &[(ANY, "300000")],
        "When a message's fate is reported at the latest; 0 never.")
        .aliases(&["delivery.timeout.ms"]),
    row("request.timeout.ms", ms(1, 900_000), &[(ANY, "30000")],
        "How long the broker waits for followers."),
    row("message.max.bytes", integer(Bytes, 1_000, 1_000_000_000), &[(ANY, "1000000")],
        "Largest request."),
    row("partitioner", Text, &[(ANY, "consistent_random")],
        "Chooses partitions: consistent_random or murmur2_random."),
    row("sticky.partitioning.linger.ms", ms(0, 900_000), &[(ANY, "10")],
        "How long messages without a key stay with a partition; by default twice linger.ms."),
    row("compression.type", Choice(&["none", "gzip", "snappy", "lz4", "zstd"]), &[(ANY, "none")],
        "Compression of batches.").aliases(&["compression.codec"]).unmodelled(),
    row("queuing.strategy", Choice(&["fifo", "lifo"]), &[(ANY, "fifo")],
        "Which message is sent first.").unmodelled(),
    row("queue.buffering.backpressure.threshold", count(1, 1_000_000), &[(ANY, "1")],
        "Requests that may wait at a broker's thread before a batch goes on collecting.")
        .unmodelled(),
    row("enable.gapless.guarantee", Boolean, &[(ANY, "false")],
        "A gap in the sequence is fatal.").unmodelled(),
    row("transactional.id", Text, &[(ANY, "")], "Makes the producer transactional.").unmodelled(),
    row("transaction.timeout.ms", ms(1_000, MAX_INT), &[(ANY, "60000")],
        "A transaction open for so long is aborted.").unmodelled(),
    row("socket.keepalive.enable", Boolean, &[(ANY, "false")], "TCP keep-alive.").unmodelled(),
    row("statistics.interval.ms", ms(0, 86_400_000), &[(ANY, "0")],
        "How often statistics are reported.").unmodelled(),
];

/// A librdkafka producer's configuration, as it comes out after the library's own adjustments.
///
/// # Errors
/// See [`PropertyError`].
pub fn librdkafka_producer_config(
    rules: ProtocolRules,
    properties: &[(String, String)],
) -> Result<LibrdkafkaProducerConfig, PropertyError> {
    let resolved = Resolved::new(KafkaVersion::NEWEST, Scope::LibrdkafkaProducer, properties)?;
    let idempotence = resolved.boolean("enable.idempotence");
    let acks = match resolved.text("acks") {
        Some("0") => Acks::None,
        Some("1") => Acks::Leader,
        Some(_) | None => Acks::All,
    };
    if idempotence {
        refuse_what_idempotence_forbids(&resolved, acks)?;
    }
    let (linger, message_timeout) = linger_and_timeout(&resolved)?;
    let max_in_flight = resolved.u32("max.in.flight.requests.per.connection");
    let sticky = match resolved.is_set("sticky.partitioning.linger.ms") {
        true => resolved.millis("sticky.partitioning.linger.ms"),
        false => (linger * 2).min(SimDuration::from_secs(900)),
    };
    Ok(LibrdkafkaProducerConfig {
        client: client(&resolved, rules)?,
        acks,
        idempotence,
        retries: resolved.u32("retries"),
        max_in_flight: if idempotence { max_in_flight.min(5) } else { max_in_flight },
        batch_num_messages: resolved.u32("batch.num.messages"),
        batch_size: resolved.u32("batch.size"),
        linger,
        queue_max_messages: match resolved.u32("queue.buffering.max.messages") {
            0 => u32::MAX,
            most => most,
        },
        queue_max_bytes: resolved.u64("queue.buffering.max.kbytes") * 1_024,
        message_timeout,
        broker_timeout: resolved.millis("request.timeout.ms"),
        partitioner: partitioner(&resolved)?,
        sticky_partitioning_linger: sticky,
        message_max_bytes: resolved.u32("message.max.bytes"),
    })
}

fn refuse_what_idempotence_forbids(
    resolved: &Resolved<'_>,
    acks: Acks,
) -> Result<(), PropertyError> {
    let refuse = |name: &'static str, needed: &str| {
        Err(PropertyError::Contradiction {
            name,
            other: "enable.idempotence",
            message: format!("an idempotent producer needs {needed}"),
        })
    };
    let in_flight = "max.in.flight.requests.per.connection";
    if resolved.is_set(in_flight) && resolved.u32(in_flight) > 5 {
        return refuse(in_flight, "`max.in.flight` of at most 5");
    }
    if resolved.u32("retries") < 1 {
        return refuse("retries", "`retries` above 0");
    }
    if acks != Acks::All {
        return refuse("acks", "`acks` all");
    }
    match resolved.text("queuing.strategy") {
        Some("lifo") => refuse("queuing.strategy", "`queuing.strategy` fifo"),
        Some(_) | None => Ok(()),
    }
}

/// `linger.ms` gives way to a shorter `message.timeout.ms`, unless it is set.
fn linger_and_timeout(
    resolved: &Resolved<'_>,
) -> Result<(SimDuration, SimDuration), PropertyError> {
    let linger = resolved.decimal_millis("linger.ms");
    let timeout = match resolved.millis("message.timeout.ms") {
        SimDuration::ZERO => SimDuration::MAX,
        timeout => timeout,
    };
    if timeout > linger {
        return Ok((linger, timeout));
    }
    if resolved.is_set("linger.ms") {
        return Err(PropertyError::Contradiction {
            name: "linger.ms",
            other: "message.timeout.ms",
            message: "`message.timeout.ms` must be greater than `linger.ms`".to_owned(),
        });
    }
    Ok((timeout.saturating_sub(SimDuration::from_micros(100)), timeout))
}

fn partitioner(resolved: &Resolved<'_>) -> Result<Partitioner, PropertyError> {
    match resolved.text("partitioner") {
        Some("consistent_random") | None => Ok(Partitioner::ConsistentRandom),
        Some("murmur2_random") => Ok(Partitioner::Murmur2Random),
        Some(other) => Err(PropertyError::WrongKind {
            name: "partitioner",
            value: other.to_owned(),
            kind: Choice(&["consistent_random", "murmur2_random"]),
        }),
    }
}

/// Connections, retries and metadata of its producer and consumer.
pub(super) fn client(
    resolved: &Resolved<'_>,
    rules: ProtocolRules,
) -> Result<ClientConfig, PropertyError> {
    let reconnect = resolved.millis("reconnect.backoff.ms");
    let reconnect_max = resolved.millis("reconnect.backoff.max.ms");
    if reconnect_max < reconnect {
        return Err(PropertyError::Contradiction {
            name: match resolved.is_set("reconnect.backoff.max.ms") {
                true => "reconnect.backoff.max.ms",
                false => "reconnect.backoff.ms",
            },
            other: match resolved.is_set("reconnect.backoff.max.ms") {
                true => "reconnect.backoff.ms",
                false => "reconnect.backoff.max.ms",
            },
            message: "`reconnect.backoff.max.ms` must not be smaller than `reconnect.backoff.ms`"
                .to_owned(),
        });
    }
    let retry_backoff_max = resolved.millis("retry.backoff.max.ms");
    let setup = resolved.millis("socket.connection.setup.timeout.ms");
    Ok(ClientConfig {
        rules,
        request_timeout: resolved.millis("socket.timeout.ms"),
        retry_backoff: resolved.millis("retry.backoff.ms").min(retry_backoff_max),
        retry_backoff_max,
        reconnect_backoff: reconnect,
        reconnect_backoff_max: reconnect_max,
        connection_setup_timeout: setup,
        connection_setup_timeout_max: setup,
        metadata_max_age: match resolved.integer("topic.metadata.refresh.interval.ms") {
            ..=0 => SimDuration::MAX,
            _ => resolved.millis("topic.metadata.refresh.interval.ms"),
        },
    })
}
