//! Properties of topics, and what they inherit from the brokers: `LogConfig`, `TopicConfig`,
//! `ServerTopicConfigSynonyms`.

use super::Kind::{Boolean, List, Text};
use super::resolve::Resolved;
use super::{
    ANY, Kind, MAX_LONG, PropertyDefinition, PropertyError, Scope, Unit, count, int_bytes, integer,
    long_ms, row, v,
};
use crate::config::TopicConfig;
use crate::version::KafkaVersion;

#[rustfmt::skip]
pub(super) static TABLE: &[PropertyDefinition] = &[
    row("min.insync.replicas", count(1, 32767), &[(ANY, "1")],
        "acks=all is refused while the ISR has fewer members."),
    row("unclean.leader.election.enable", Boolean, &[(ANY, "true"), (v(0, 11, 0), "false")],
        "A replica outside the ISR may lead, at the price of records."),
    row("max.message.bytes", int_bytes(0), &[(ANY, "1000012"), (v(2, 4, 0), "1048588")],
        "Largest batch."),
    row("segment.bytes", int_bytes(14), &[(ANY, "1073741824")],
        "A segment is rolled, and flushed, when it would grow beyond."),
    row("flush.messages", count(1, MAX_LONG), &[(ANY, "9223372036854775807")],
        "Flush after so many records."),
    row("flush.ms", long_ms(0), &[(ANY, "9223372036854775807")],
        "Flush after so long."),
    row("retention.ms", long_ms(-1), &[(ANY, "604800000")],
        "Age at which segments are deleted.").unmodelled(),
    row("retention.bytes", integer(Unit::Bytes, -1, MAX_LONG), &[(ANY, "-1")],
        "Size at which segments are deleted.").unmodelled(),
    row("cleanup.policy", List, &[(ANY, "delete")],
        "Delete old segments, or compact them.").unmodelled(),
    row("compression.type", Text, &[(v(0, 9, 0), "producer")],
        "Compression of stored batches.").unmodelled(),
    row("segment.ms", long_ms(1), &[(ANY, "604800000")],
        "Age at which a segment is rolled.").unmodelled(),
    row("message.timestamp.type", Kind::Choice(&["CreateTime", "LogAppendTime"]),
        &[(v(0, 10, 0), "CreateTime")],
        "Whose clock stamps the records.").unmodelled(),
];

/// The broker property that a topic property comes from where the topic does not set it.
#[must_use]
pub fn inherited_from(name: &str) -> Option<&'static str> {
    Some(match name {
        "min.insync.replicas" => "min.insync.replicas",
        "unclean.leader.election.enable" => "unclean.leader.election.enable",
        "max.message.bytes" => "message.max.bytes",
        "segment.bytes" => "log.segment.bytes",
        "flush.messages" => "log.flush.interval.messages",
        "flush.ms" => "log.flush.interval.ms",
        _ => return None,
    })
}

/// The properties that make a [`TopicConfig`].
#[derive(Clone, Copy, Debug)]
pub struct TopicProperties<'a> {
    /// The brokers' own, from which a topic inherits.
    pub broker: &'a [(String, String)],
    /// The topic's.
    pub topic: &'a [(String, String)],
}

/// A topic's configuration.
///
/// # Errors
/// See [`PropertyError`]; the brokers' properties are expected to be checked before.
pub fn topic_config(
    version: KafkaVersion,
    properties: TopicProperties<'_>,
) -> Result<TopicConfig, PropertyError> {
    let brokers = Resolved::new(version, Scope::Broker, properties.broker)?;
    let topic = Resolved::new(version, Scope::Topic, properties.topic)?;
    let from = |name: &'static str| -> (&Resolved<'_>, &'static str) {
        match inherited_from(name) {
            Some(inherited) if !topic.is_set(name) => (&brokers, inherited),
            Some(_) | None => (&topic, name),
        }
    };
    let (source, name) = from("segment.bytes");
    let segment_bytes = source.u64(name);
    if version >= v(4, 0, 0) && segment_bytes < MIN_SEGMENT_BYTES_4_0 && topic.is_set(name) {
        return Err(PropertyError::OutOfRange {
            name: "segment.bytes",
            value: segment_bytes.to_string(),
            min: MIN_SEGMENT_BYTES_4_0 as i64,
            max: i64::from(i32::MAX),
            unit: "B",
        });
    }
    let flush_interval = match from("flush.ms") {
        (source, name) if source.text(name).is_some() => source.millis(name),
        _ => brokers.millis("log.flush.scheduler.interval.ms"),
    };
    let flush_messages = match from("flush.messages") {
        (source, name) if source.integer(name) < i64::MAX => source.u64(name),
        _ => u64::MAX,
    };
    let (min_isr, unclean) = (from("min.insync.replicas"), from("unclean.leader.election.enable"));
    let (max_source, max_name) = from("max.message.bytes");
    Ok(TopicConfig {
        min_insync_replicas: min_isr.0.u16(min_isr.1),
        unclean_leader_election: unclean.0.boolean(unclean.1),
        max_message_bytes: max_source.u32(max_name),
        segment_bytes,
        flush_messages,
        flush_interval,
    })
}

/// Smallest `segment.bytes` since 4.0 (KIP-1030).
const MIN_SEGMENT_BYTES_4_0: u64 = 1 << 20;
