//! librdkafka's consumer: its own names, aliases, defaults and ranges (`CONFIGURATION.md` of 2.15), and what
//! `rd_kafka_conf_finalize` adjusts or refuses.
//!
//! It differs from Java where it matters: it reads `read_committed`, hands messages out one by one
//! (`rd_kafka_consumer_poll`), and its default assignors are `range,roundrobin`. Left out: the simple legacy consumer,
//! the thresholds of its local queue (it only decides how far ahead the library fetches), and versions before 2.15.

use super::Kind::{Boolean, Choice, List, Text};
use super::Unit::{Bytes, Kibibytes};
use super::groups::{assignors, refuse_classic_properties, remote_assignor};
use super::librdkafka::{client, ms};
use super::resolve::Resolved;
use super::{ANY, PropertyDefinition, PropertyError, Scope, count, integer, row};
use crate::api::Isolation;
use crate::config::{
    AutoOffsetReset, ConsumerConfig, ConsumerLibrary, GroupProtocol, MemberConfig,
};
use crate::rules::ProtocolRules;
use crate::time::SimDuration;
use crate::version::KafkaVersion;

#[rustfmt::skip]
pub(super) static TABLE: &[PropertyDefinition] = &[
    row("group.id", Text, &[(ANY, "")], "The group.").unmodelled(),
    row("group.instance.id", Text, &[(ANY, "")], "Makes a member static (KIP-345)."),
    row("group.protocol", Choice(&["classic", "consumer"]), &[(ANY, "classic")],
        "How the group rebalances (KIP-848)."),
    row("group.remote.assignor", Text, &[(ANY, "")],
        "Server-side assignor of a KIP-848 group."),
    row("partition.assignment.strategy", List, &[(ANY, "range,roundrobin")],
        "How partitions are shared out: range, roundrobin or cooperative-sticky."),
    row("session.timeout.ms", ms(1, 3_600_000), &[(ANY, "45000")],
        "Silence after which a member is removed."),
    row("heartbeat.interval.ms", ms(1, 3_600_000), &[(ANY, "3000")],
        "How often a member reports."),
    row("max.poll.interval.ms", ms(1, 86_400_000), &[(ANY, "300000")],
        "A member that does not ask for a message for so long leaves the group (KIP-62)."),
    row("enable.auto.commit", Boolean, &[(ANY, "true")],
        "A background thread commits stored offsets from time to time."),
    row("auto.commit.interval.ms", ms(0, 86_400_000), &[(ANY, "5000")],
        "How often; 0 never."),
    row("enable.auto.offset.store", Boolean, &[(ANY, "true")],
        "A message's offset is stored, to be committed, when the message is handed out; false: when \
         the application asks for it, which here it does when it has processed the message."),
    row("auto.offset.reset",
        Choice(&["smallest", "earliest", "beginning", "largest", "latest", "end", "error"]),
        &[(ANY, "largest")], "Where to go without a position."),
    row("isolation.level", Choice(&["read_uncommitted", "read_committed"]),
        &[(ANY, "read_committed")], "Whether open and aborted transactions are read."),
    row("fetch.min.bytes", integer(Bytes, 1, 100_000_000), &[(ANY, "1")],
        "How much new data ends the wait of a fetch."),
    row("fetch.wait.max.ms", ms(0, 300_000), &[(ANY, "500")],
        "Longest wait of a fetch at the broker.").aliases(&["fetch.max.wait.ms"]),
    row("fetch.max.bytes", integer(Bytes, 0, 2_147_483_135), &[(ANY, "52428800")],
        "How much a fetch asks for in all."),
    row("fetch.message.max.bytes", integer(Bytes, 1, 1_000_000_000), &[(ANY, "1048576")],
        "How much a fetch asks for of one partition.").aliases(&["max.partition.fetch.bytes"]),
    row("message.max.bytes", integer(Bytes, 1_000, 1_000_000_000), &[(ANY, "1000000")],
        "Least that fetch.max.bytes may be."),
    row("queued.min.messages", count(1, 10_000_000), &[(ANY, "100000")],
        "Messages that the library tries to hold ready for each partition.").unmodelled(),
    row("queued.max.messages.kbytes", integer(Kibibytes, 1, 2_097_151), &[(ANY, "65536")],
        "Most memory of messages that are ready."),
    row("fetch.queue.backoff.ms", ms(0, 300_000), &[(ANY, "1000")],
        "Pause of the fetches while so many are ready.").unmodelled(),
    row("fetch.error.backoff.ms", ms(0, 300_000), &[(ANY, "500")],
        "Pause of the fetches after an error.").unmodelled(),
    row("coordinator.query.interval.ms", ms(1, 3_600_000), &[(ANY, "600000")],
        "How often the coordinator is asked for anew.").unmodelled(),
    row("enable.partition.eof", Boolean, &[(ANY, "false")],
        "The application hears of the end of a partition.").unmodelled(),
    row("check.crcs", Boolean, &[(ANY, "false")],
        "Checks batches for corruption.").unmodelled(),
    row("allow.auto.create.topics", Boolean, &[(ANY, "false")],
        "Asking for an unknown topic may create it.").unmodelled(),
    row("client.rack", Text, &[(ANY, "")], "Where the consumer is.").unmodelled(),
];

/// A member of a group that uses librdkafka.
///
/// # Errors
/// See [`PropertyError`].
pub fn librdkafka_member_config(
    rules: ProtocolRules,
    properties: &[(String, String)],
) -> Result<MemberConfig, PropertyError> {
    let resolved = Resolved::new(KafkaVersion::NEWEST, Scope::LibrdkafkaConsumer, properties)?;
    let protocol = match resolved.text("group.protocol") {
        Some("consumer") => GroupProtocol::Consumer,
        Some(_) | None => GroupProtocol::Classic,
    };
    match protocol {
        GroupProtocol::Consumer => refuse_classic_properties(&resolved)?,
        GroupProtocol::Classic => poll_interval_covers_session(&resolved)?,
    }
    let interval = resolved.millis("auto.commit.interval.ms");
    let commits = resolved.boolean("enable.auto.commit") && interval > SimDuration::ZERO;
    Ok(MemberConfig {
        library: ConsumerLibrary::Librdkafka,
        consumer: fetching(&resolved, rules)?,
        protocol,
        session_timeout: resolved.millis("session.timeout.ms"),
        heartbeat_interval: resolved.millis("heartbeat.interval.ms"),
        max_poll_interval: Some(resolved.millis("max.poll.interval.ms")),
        auto_commit: commits.then_some(interval),
        auto_offset_store: resolved.boolean("enable.auto.offset.store"),
        assignors: assignors(&resolved, ConsumerLibrary::Librdkafka)?,
        remote_assignor: remote_assignor(&resolved)?,
        is_static: resolved.text("group.instance.id").is_some(),
    })
}

fn poll_interval_covers_session(resolved: &Resolved<'_>) -> Result<(), PropertyError> {
    let (poll, session) = ("max.poll.interval.ms", "session.timeout.ms");
    if resolved.integer(poll) >= resolved.integer(session) {
        return Ok(());
    }
    let (name, other) = if resolved.is_set(poll) { (poll, session) } else { (session, poll) };
    Err(PropertyError::Contradiction {
        name,
        other,
        message: format!("`{poll}` must be at least `{session}`"),
    })
}

fn fetching(
    resolved: &Resolved<'_>,
    rules: ProtocolRules,
) -> Result<ConsumerConfig, PropertyError> {
    Ok(ConsumerConfig {
        client: client(resolved, rules)?,
        auto_offset_reset: match resolved.text("auto.offset.reset") {
            Some("smallest" | "earliest" | "beginning") => AutoOffsetReset::Earliest,
            Some("error") => AutoOffsetReset::None,
            Some(_) | None => AutoOffsetReset::Latest,
        },
        isolation: match resolved.text("isolation.level") {
            Some("read_uncommitted") => Isolation::HighWatermark,
            Some(_) | None => Isolation::LastStable,
        },
        fetch_min_bytes: resolved.u32("fetch.min.bytes"),
        fetch_max_wait: resolved.millis("fetch.wait.max.ms"),
        fetch_max_bytes: fetch_max_bytes(resolved)?,
        max_partition_fetch_bytes: resolved.u32("fetch.message.max.bytes"),
        max_poll_records: 1,
        // A synchronous commit waits for the answer to its one request at a time.
        default_api_timeout: resolved.millis("socket.timeout.ms"),
    })
}

/// Never below `message.max.bytes`; unless it is set, never above what may be ready.
fn fetch_max_bytes(resolved: &Resolved<'_>) -> Result<u32, PropertyError> {
    let (name, least) = ("fetch.max.bytes", resolved.u32("message.max.bytes"));
    let bytes = resolved.u32(name);
    if !resolved.is_set(name) {
        let ready = resolved.u32("queued.max.messages.kbytes").saturating_mul(1_024);
        return Ok(bytes.min(ready).max(least));
    }
    if bytes < least {
        return Err(PropertyError::Contradiction {
            name,
            other: "message.max.bytes",
            message: "`fetch.max.bytes` must be at least `message.max.bytes`".to_owned(),
        });
    }
    Ok(bytes)
}
