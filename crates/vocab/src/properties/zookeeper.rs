//! ZooKeeper's own properties: `QuorumPeerConfig` and `ZooKeeperServer`, as `zoo.cfg` sets them.
//!
//! `tickTime` has the default of the code, since the file that Kafka ships does not set it; `initLimit` and `syncLimit` have
//! no default in the code, so those of `zoo_sample.cfg` are taken. Left out: everything about snapshots, quotas, ports and
//! dynamic reconfiguration.

use super::Kind::{Boolean, Text};
use super::resolve::Resolved;
use super::{ANY, MAX_INT, PropertyDefinition, PropertyError, Scope, count, int_ms, row};
use crate::config::ZooKeeperConfig;
use crate::time::SimDuration;
use crate::version::KafkaVersion;

#[rustfmt::skip]
pub(super) static TABLE: &[PropertyDefinition] = &[
    row("tickTime", int_ms(1), &[(ANY, "3000")],
        "The unit of the other times; sessions expire at multiples of it."),
    row("initLimit", count(1, MAX_INT), &[(ANY, "10")],
        "Ticks in which a follower has to connect to the leader and to synchronize."),
    row("syncLimit", count(1, MAX_INT), &[(ANY, "5")],
        "Ticks of silence after which leader and follower give each other up."),
    row("minSessionTimeout", int_ms(-1), &[(ANY, "-1")],
        "Shortest session that a client gets; -1 for two ticks."),
    row("maxSessionTimeout", int_ms(-1), &[(ANY, "-1")],
        "Longest session that a client gets; -1 for twenty ticks."),
    row("forceSync", Text, &[(ANY, "yes")],
        "The log is flushed before a transaction is acknowledged; here always.").unmodelled(),
    row("leaderServes", Text, &[(ANY, "yes")],
        "The leader accepts clients; here always.").unmodelled(),
    row("maxClientCnxns", count(0, MAX_INT), &[(ANY, "60")],
        "Most connections of one host; 0 for no limit.").unmodelled(),
    row("dataDir", Text, &[(ANY, "")], "Where the log and the snapshots are.").unmodelled(),
    row("clientPort", count(0, 65_535), &[(ANY, "2181")], "Where clients connect.").unmodelled(),
    row("admin.enableServer", Boolean, &[(ANY, "true")],
        "An HTTP server for administrators.").unmodelled(),
];

/// The configuration of every server of the ensemble.
///
/// # Errors
/// See [`PropertyError`].
pub fn zookeeper_config(
    version: KafkaVersion,
    properties: &[(String, String)],
) -> Result<ZooKeeperConfig, PropertyError> {
    let resolved = Resolved::new(version, Scope::ZooKeeper, properties)?;
    let tick_time = resolved.millis("tickTime");
    let session = |name: &str, ticks: u64| match resolved.integer(name) {
        -1 => tick_time * ticks,
        _ => resolved.millis(name),
    };
    let (min, max) = ("minSessionTimeout", "maxSessionTimeout");
    let (least, most) = (session(min, 2), session(max, 20));
    if least > most {
        let (name, other) = if resolved.is_set(min) { (min, max) } else { (max, min) };
        return Err(PropertyError::Contradiction {
            name,
            other,
            message: format!("`{min}` ({least}) must not be larger than `{max}` ({most})"),
        });
    }
    Ok(ZooKeeperConfig {
        tick_time,
        init_limit: resolved.u32("initLimit"),
        sync_limit: resolved.u32("syncLimit"),
        min_session_timeout: least,
        max_session_timeout: most,
    })
}

/// The session that a client gets which asks for `wanted` (`ZooKeeperServer.processConnectRequest`).
#[must_use]
pub fn negotiated_session_timeout(config: &ZooKeeperConfig, wanted: SimDuration) -> SimDuration {
    wanted.max(config.min_session_timeout).min(config.max_session_timeout)
}
