//! The configuration of Java's producer and consumer, with what `ProducerConfig` and
//! `KafkaProducer` adjust by themselves and what they refuse (KIP-679, KIP-91, KIP-601, KIP-580).

use super::resolve::Resolved;
use super::{PropertyError, Scope, v};
use crate::api::{Acks, Isolation};
use crate::config::{
    AutoOffsetReset, ClientConfig, ConsumerConfig, JavaProducerConfig, Partitioner,
};
use crate::rules::ProtocolRules;
use crate::time::SimDuration;
use crate::version::KafkaVersion;

/// A Java producer's configuration, as it comes out after the client's own adjustments.
///
/// # Errors
/// See [`PropertyError`].
pub fn java_producer_config(
    version: KafkaVersion,
    rules: ProtocolRules,
    properties: &[(String, String)],
) -> Result<JavaProducerConfig, PropertyError> {
    let resolved = Resolved::new(version, Scope::Producer, properties)?;
    let idempotence = idempotence(&resolved)?;
    let in_flight = resolved.u32("max.in.flight.requests.per.connection");
    let transactional = resolved.text("transactional.id").is_some();
    if transactional && !idempotence.enabled {
        return Err(PropertyError::Contradiction {
            name: "transactional.id",
            other: "enable.idempotence",
            message: "`transactional.id` cannot be set without idempotence".to_owned(),
        });
    }
    Ok(JavaProducerConfig {
        client: client(&resolved, rules),
        acks: idempotence.acks,
        idempotence: idempotence.enabled,
        retries: idempotence.retries,
        // 0.11 keeps one request in flight for an idempotent producer unless told otherwise.
        max_in_flight: match idempotence.enabled && version < v(1, 0, 0) {
            true => 1,
            false => in_flight,
        },
        batch_size: resolved.u32("batch.size"),
        linger: resolved.millis("linger.ms"),
        buffer_memory: resolved.u64("buffer.memory"),
        max_block: resolved.millis_or("max.block.ms", 60_000),
        max_request_size: resolved.u32("max.request.size"),
        delivery_timeout: delivery_timeout(&resolved)?,
        partitioner: partitioner(&resolved)?,
        adaptive_partitioning: resolved.boolean("partitioner.adaptive.partitioning.enable"),
        ignore_keys: resolved.boolean("partitioner.ignore.keys"),
        transaction_timeout: transactional
            .then(|| resolved.millis_or("transaction.timeout.ms", 60_000)),
    })
}

/// What the client would log about a configuration that it accepts, with the property concerned.
///
/// # Errors
/// See [`PropertyError`].
pub fn java_producer_notes(
    version: KafkaVersion,
    properties: &[(String, String)],
) -> Result<Vec<(&'static str, String)>, PropertyError> {
    let resolved = Resolved::new(version, Scope::Producer, properties)?;
    let outcome = idempotence(&resolved)?;
    let mut notes = Vec::new();
    if let Some((name, reason)) = outcome.disabled_by {
        notes.push((name, format!("the client turns idempotence off by itself, because {reason}")));
    }
    let default_broken = [v(3, 0, 0), v(3, 1, 0)].contains(&version);
    if default_broken && !resolved.is_set("enable.idempotence") && outcome.acks == Acks::All {
        notes.push((
            "enable.idempotence",
            format!("the {version}.0 client leaves idempotence off unless it is set (KAFKA-13598)"),
        ));
    }
    Ok(notes)
}

/// A Java consumer's way of fetching.
///
/// # Errors
/// See [`PropertyError`].
pub fn consumer_config(
    version: KafkaVersion,
    rules: ProtocolRules,
    properties: &[(String, String)],
) -> Result<ConsumerConfig, PropertyError> {
    let resolved = Resolved::new(version, Scope::Consumer, properties)?;
    let isolation = match resolved.text("isolation.level") {
        Some("read_committed") => Isolation::LastStable,
        Some(_) | None => Isolation::HighWatermark,
    };
    let unlimited = i64::from(u32::MAX);
    Ok(ConsumerConfig {
        client: client(&resolved, rules),
        auto_offset_reset: auto_offset_reset(&resolved)?,
        isolation,
        fetch_min_bytes: resolved.u32("fetch.min.bytes"),
        fetch_max_wait: resolved.millis("fetch.max.wait.ms"),
        fetch_max_bytes: resolved.u32_or("fetch.max.bytes", unlimited),
        max_partition_fetch_bytes: resolved.u32("max.partition.fetch.bytes"),
        max_poll_records: resolved.u32_or("max.poll.records", unlimited),
        default_api_timeout: resolved.millis_or("default.api.timeout.ms", 60_000),
    })
}

/// `acks`, `retries` and idempotence after the client's adjustments.
struct Idempotence {
    enabled: bool,
    acks: Acks,
    retries: u32,
    /// The client turned it off by itself: on account of which property, and why.
    disabled_by: Option<(&'static str, String)>,
}

fn idempotence(resolved: &Resolved<'_>) -> Result<Idempotence, PropertyError> {
    let acks = match resolved.text("acks") {
        Some("0") => Acks::None,
        Some("1") => Acks::Leader,
        Some(_) | None => Acks::All,
    };
    let retries = resolved.u32("retries");
    let since_kip_679 = resolved.version() >= v(3, 0, 0);
    // Where it is not the default, transactions bring idempotence along, unless it is set
    // (ProducerConfig.maybeOverrideEnableIdempotence, KafkaProducer.configureTransactionState).
    let implied =
        resolved.text("transactional.id").is_some() && !resolved.is_set("enable.idempotence");
    let wanted = implied || resolved.boolean("enable.idempotence");
    let mut outcome = Idempotence { enabled: wanted, acks, retries, disabled_by: None };
    if !wanted {
        return Ok(outcome);
    }
    if !since_kip_679 {
        // Before KIP-679 what is not set follows (KafkaProducer.configureAcks, configureRetries).
        if !resolved.is_set("acks") {
            outcome.acks = Acks::All;
        }
        if !resolved.is_set("retries") {
            outcome.retries = i32::MAX as u32;
        }
    }
    let explicit = resolved.is_set("enable.idempotence");
    for (name, conflict) in conflicts(resolved, &outcome) {
        let strict_in_flight = name == IN_FLIGHT && resolved.version() >= v(4, 0, 0);
        if explicit || !since_kip_679 || strict_in_flight {
            return Err(PropertyError::Contradiction {
                name,
                other: "enable.idempotence",
                message: format!("an idempotent producer needs {conflict}"),
            });
        }
        outcome.enabled = false;
        let reason = format!("it would need {conflict}");
        outcome.disabled_by = outcome.disabled_by.or(Some((name, reason)));
    }
    Ok(outcome)
}

/// What keeps a producer from being idempotent, in the order in which the client looks.
fn conflicts(resolved: &Resolved<'_>, outcome: &Idempotence) -> Vec<(&'static str, String)> {
    let mut conflicts = Vec::new();
    if outcome.retries == 0 {
        conflicts.push(("retries", "`retries` above 0".to_owned()));
    }
    if outcome.acks != Acks::All {
        let acks = outcome.acks.name();
        conflicts.push(("acks", format!("`acks` all, not {acks}")));
    }
    let most = if resolved.version() < v(1, 0, 0) { 1 } else { 5 };
    let in_flight = resolved.u32(IN_FLIGHT);
    let counts = resolved.version() >= v(1, 0, 0) || resolved.is_set(IN_FLIGHT);
    if counts && in_flight > most {
        conflicts.push((IN_FLIGHT, format!("`{IN_FLIGHT}` of at most {most}, not {in_flight}")));
    }
    conflicts
}

/// `KafkaProducer.configureDeliveryTimeout`.
fn delivery_timeout(resolved: &Resolved<'_>) -> Result<Option<SimDuration>, PropertyError> {
    let Some(given) = resolved.text("delivery.timeout.ms") else {
        return Ok(None);
    };
    let given: i64 = given.parse().expect("checked, or a default");
    let linger = resolved.integer("linger.ms").min(i64::from(i32::MAX));
    let request = resolved.integer("request.timeout.ms");
    let least = (linger + request).min(i64::from(i32::MAX));
    if given < least && resolved.is_set("delivery.timeout.ms") {
        return Err(PropertyError::Contradiction {
            name: "delivery.timeout.ms",
            other: "request.timeout.ms",
            message: format!(
                "`delivery.timeout.ms` ({given}) must be at least `linger.ms` ({linger}) + \
                 `request.timeout.ms` ({request})"
            ),
        });
    }
    Ok(Some(SimDuration::from_millis(given.max(least).unsigned_abs())))
}

fn partitioner(resolved: &Resolved<'_>) -> Result<Partitioner, PropertyError> {
    let Some(class) = resolved.text("partitioner.class") else {
        return Ok(Partitioner::Default);
    };
    match class.rsplit('.').next() {
        Some("DefaultPartitioner") => Ok(Partitioner::Default),
        Some("RoundRobinPartitioner") => Ok(Partitioner::RoundRobin),
        Some("UniformStickyPartitioner") => Ok(Partitioner::UniformSticky),
        Some(_) | None => Err(PropertyError::WrongKind {
            name: "partitioner.class",
            value: class.to_owned(),
            kind: super::Kind::Choice(&[
                "DefaultPartitioner",
                "RoundRobinPartitioner",
                "UniformStickyPartitioner",
            ]),
        }),
    }
}

fn auto_offset_reset(resolved: &Resolved<'_>) -> Result<AutoOffsetReset, PropertyError> {
    let text = resolved.text("auto.offset.reset").unwrap_or("latest");
    let duration = text
        .strip_prefix("by_duration:")
        .filter(|_| resolved.version() >= v(4, 0, 0))
        .and_then(iso_duration);
    match (text, duration) {
        ("latest", _) => Ok(AutoOffsetReset::Latest),
        ("earliest", _) => Ok(AutoOffsetReset::Earliest),
        ("none", _) => Ok(AutoOffsetReset::None),
        (_, Some(duration)) => Ok(AutoOffsetReset::ByDuration(duration)),
        (_, None) => Err(PropertyError::WrongKind {
            name: "auto.offset.reset",
            value: text.to_owned(),
            kind: super::Kind::Choice(match resolved.version() >= v(4, 0, 0) {
                true => &["latest", "earliest", "none", "by_duration:PT1H"],
                false => &["latest", "earliest", "none"],
            }),
        }),
    }
}

/// An ISO 8601 duration of days, hours, minutes and whole seconds: `P3DT12H30M5S`.
fn iso_duration(text: &str) -> Option<SimDuration> {
    let rest = text.strip_prefix('P')?;
    let (days, time) = rest.split_once('T').unwrap_or((rest, ""));
    let mut seconds = 0_u64;
    let mut number = None;
    for (part, units) in
        [(days, [('D', 86_400), (' ', 0), (' ', 0)].as_slice()), (time, &TIME_UNITS)]
    {
        for character in part.chars() {
            if let Some(digit) = character.to_digit(10) {
                let so_far: u64 = number.unwrap_or(0);
                number = Some(so_far.checked_mul(10)?.checked_add(u64::from(digit))?);
                continue;
            }
            let (_, factor) = units.iter().find(|(unit, _)| *unit == character)?;
            seconds = seconds.checked_add(number.take()?.checked_mul(*factor)?)?;
        }
    }
    (number.is_none() && rest.len() > 1).then(|| SimDuration::from_secs(seconds))
}

/// Connections, retries and metadata of any Java client.
fn client(resolved: &Resolved<'_>, rules: ProtocolRules) -> ClientConfig {
    let backoff = resolved.millis("retry.backoff.ms");
    let reconnect = resolved.millis("reconnect.backoff.ms");
    let reconnect_max = "reconnect.backoff.max.ms";
    // Setting only the first of the two turns the exponential growth off (CommonClientConfigs).
    let static_reconnect =
        resolved.is_set("reconnect.backoff.ms") && !resolved.is_set(reconnect_max);
    let (retry_backoff, retry_backoff_max) = match resolved.text("retry.backoff.max.ms") {
        Some(_) => {
            let max = resolved.millis("retry.backoff.max.ms");
            (backoff.min(max), max)
        }
        None => (backoff, backoff),
    };
    ClientConfig {
        rules,
        request_timeout: resolved.millis_or("request.timeout.ms", 30_000),
        retry_backoff,
        retry_backoff_max,
        reconnect_backoff: reconnect,
        reconnect_backoff_max: match resolved.text(reconnect_max) {
            Some(_) if !static_reconnect => resolved.millis(reconnect_max).max(reconnect),
            Some(_) | None => reconnect,
        },
        connection_setup_timeout: resolved
            .millis_or("socket.connection.setup.timeout.ms", OS_CONNECT_TIMEOUT_MS),
        connection_setup_timeout_max: resolved
            .millis_or("socket.connection.setup.timeout.max.ms", OS_CONNECT_TIMEOUT_MS),
        metadata_max_age: resolved.millis("metadata.max.age.ms"),
    }
}

const IN_FLIGHT: &str = "max.in.flight.requests.per.connection";

const TIME_UNITS: [(char, u64); 3] = [('H', 3_600), ('M', 60), ('S', 1)];

/// Linux gives a connect up after about 127 s; clients before 2.7 waited for that (KIP-601).
const OS_CONNECT_TIMEOUT_MS: i64 = 127_000;
