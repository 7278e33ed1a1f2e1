//! The configuration of brokers and controllers, with the combinations that
//! `KafkaConfig.validateValues` refuses.

use super::groups::{group_coordinator, transaction_coordinator};
use super::resolve::Resolved;
use super::{PropertyError, Scope};
use crate::config::{BrokerConfig, ControllerConfig, ZooKeeperModeConfig};
use crate::rules::ProtocolRules;
use crate::time::SimDuration;
use crate::version::KafkaVersion;

/// The configuration of every broker, from the properties that the cluster sets.
///
/// # Errors
/// See [`PropertyError`].
pub fn broker_config(
    version: KafkaVersion,
    rules: ProtocolRules,
    properties: &[(String, String)],
) -> Result<BrokerConfig, PropertyError> {
    let resolved = Resolved::new(version, Scope::Broker, properties)?;
    at_most(&resolved, "replica.fetch.wait.max.ms", "replica.socket.timeout.ms")?;
    at_most(&resolved, "replica.fetch.wait.max.ms", "replica.lag.time.max.ms")?;
    let expiration = match resolved.text("producer.id.expiration.ms") {
        Some(_) => resolved.millis("producer.id.expiration.ms"),
        None => resolved.millis("transactional.id.expiration.ms"),
    };
    Ok(BrokerConfig {
        rules,
        replica_lag_time_max: resolved.millis("replica.lag.time.max.ms"),
        replica_fetch_wait_max: resolved.millis("replica.fetch.wait.max.ms"),
        replica_fetch_min_bytes: resolved.u32("replica.fetch.min.bytes"),
        replica_fetch_backoff: resolved.millis("replica.fetch.backoff.ms"),
        replica_fetch_max_bytes: resolved.u32("replica.fetch.max.bytes"),
        replica_fetch_response_max_bytes: match resolved.text("replica.fetch.response.max.bytes") {
            Some(_) => resolved.u32("replica.fetch.response.max.bytes"),
            None => u32::MAX,
        },
        replica_socket_timeout: resolved.millis("replica.socket.timeout.ms"),
        num_replica_fetchers: resolved.u16("num.replica.fetchers"),
        high_watermark_checkpoint_interval: resolved
            .millis("replica.high.watermark.checkpoint.interval.ms"),
        recovery_point_checkpoint_interval: resolved
            .millis("log.flush.offset.checkpoint.interval.ms"),
        controlled_shutdown: resolved.boolean("controlled.shutdown.enable"),
        heartbeat_interval: resolved.millis_or("broker.heartbeat.interval.ms", 2_000),
        controller_socket_timeout: resolved.millis("controller.socket.timeout.ms"),
        initial_registration_timeout: resolved
            .millis_or("initial.broker.registration.timeout.ms", 60_000),
        message_max_bytes: resolved.u32("message.max.bytes"),
        producer_id_expiration: expiration,
        zookeeper: (version < KafkaVersion::new(4, 0, 0)).then(|| zookeeper_mode(&resolved)),
        groups: group_coordinator(&resolved)?,
        transactions: transaction_coordinator(&resolved),
    })
}

/// What only the ZooKeeper mode has.
fn zookeeper_mode(resolved: &Resolved<'_>) -> ZooKeeperModeConfig {
    let session_timeout = resolved.millis("zookeeper.session.timeout.ms");
    let interval = resolved.u64("leader.imbalance.check.interval.seconds");
    ZooKeeperModeConfig {
        session_timeout,
        connection_timeout: match resolved.text("zookeeper.connection.timeout.ms") {
            Some(_) => resolved.millis("zookeeper.connection.timeout.ms"),
            None => session_timeout,
        },
        controlled_shutdown_max_retries: resolved.u32("controlled.shutdown.max.retries"),
        controlled_shutdown_retry_backoff: resolved.millis("controlled.shutdown.retry.backoff.ms"),
        replica_lag_max_messages: resolved
            .text("replica.lag.max.messages")
            .map(|_| resolved.u64("replica.lag.max.messages")),
        io_threads: resolved.u16("num.io.threads"),
        auto_leader_rebalance: resolved.boolean("auto.leader.rebalance.enable"),
        leader_imbalance_check_interval: SimDuration::from_secs(interval),
        leader_imbalance_percentage: resolved.u32("leader.imbalance.per.broker.percentage"),
    }
}

/// The configuration of every controller, from the same properties.
///
/// # Errors
/// See [`PropertyError`].
pub fn controller_config(
    version: KafkaVersion,
    rules: ProtocolRules,
    properties: &[(String, String)],
) -> Result<ControllerConfig, PropertyError> {
    let resolved = Resolved::new(version, Scope::Broker, properties)?;
    let interval = resolved.u64("leader.imbalance.check.interval.seconds");
    Ok(ControllerConfig {
        rules,
        broker_session_timeout: resolved.millis_or("broker.session.timeout.ms", 9_000),
        quorum_fetch_timeout: resolved.millis_or("controller.quorum.fetch.timeout.ms", 2_000),
        quorum_election_timeout: resolved.millis_or("controller.quorum.election.timeout.ms", 1_000),
        quorum_election_backoff_max: resolved
            .millis_or("controller.quorum.election.backoff.max.ms", 1_000),
        quorum_request_timeout: resolved.millis_or("controller.quorum.request.timeout.ms", 2_000),
        quorum_retry_backoff: resolved.millis_or("controller.quorum.retry.backoff.ms", 20),
        quorum_append_linger: resolved.millis_or("controller.quorum.append.linger.ms", 25),
        auto_leader_rebalance: resolved.boolean("auto.leader.rebalance.enable"),
        leader_imbalance_check_interval: SimDuration::from_secs(interval),
        unclean_election_interval: resolved
            .millis_or("unclean.leader.election.interval.ms", 300_000),
        metadata_max_idle_interval: Some(resolved.millis_or("metadata.max.idle.interval.ms", 0))
            .filter(|interval| *interval > SimDuration::ZERO),
    })
}

/// `num.io.threads`.
///
/// # Errors
/// See [`PropertyError`].
pub fn io_threads(
    version: KafkaVersion,
    properties: &[(String, String)],
) -> Result<u16, PropertyError> {
    Ok(Resolved::new(version, Scope::Broker, properties)?.u16("num.io.threads"))
}

/// `num.partitions` and `default.replication.factor`.
///
/// # Errors
/// See [`PropertyError`].
pub fn topic_defaults(
    version: KafkaVersion,
    properties: &[(String, String)],
) -> Result<(u16, u16), PropertyError> {
    let resolved = Resolved::new(version, Scope::Broker, properties)?;
    Ok((resolved.u16("num.partitions"), resolved.u16("default.replication.factor")))
}

/// What Kafka logs as a mistake but starts with nevertheless.
///
/// # Errors
/// See [`PropertyError`].
pub fn cluster_notes(
    version: KafkaVersion,
    properties: &[(String, String)],
) -> Result<Vec<(&'static str, String)>, PropertyError> {
    let resolved = Resolved::new(version, Scope::Broker, properties)?;
    let heartbeat = resolved.integer_or("broker.heartbeat.interval.ms", 2_000);
    let session = resolved.integer_or("broker.session.timeout.ms", 9_000);
    let mut notes = Vec::new();
    if heartbeat.saturating_mul(2) > session {
        let name = match resolved.is_set("broker.heartbeat.interval.ms") {
            true => "broker.heartbeat.interval.ms",
            false => "broker.session.timeout.ms",
        };
        notes.push((
            name,
            format!(
                "`broker.heartbeat.interval.ms` ({heartbeat}) should be at most half of \
                 `broker.session.timeout.ms` ({session}): one late heartbeat fences a broker"
            ),
        ));
    }
    Ok(notes)
}

/// `name` must not be larger than `limit`; blames one that is set.
fn at_most(
    resolved: &Resolved<'_>,
    name: &'static str,
    limit: &'static str,
) -> Result<(), PropertyError> {
    let (value, most) = (resolved.integer(name), resolved.integer(limit));
    if value <= most {
        return Ok(());
    }
    let (name_to_blame, other) = if resolved.is_set(name) { (name, limit) } else { (limit, name) };
    Err(PropertyError::Contradiction {
        name: name_to_blame,
        other,
        message: format!("`{name}` ({value}) must not be larger than `{limit}` ({most})"),
    })
}
