//! The scenarios that the binary carries.

macro_rules! scenarios {
    ($($name:literal,)*) => {
        &[$(($name, include_str!(concat!("../../../scenarios/", $name, ".ron"))),)*]
    };
}

/// Name and text of every shipped scenario, by name.
#[must_use]
pub const fn shipped() -> &'static [(&'static str, &'static str)] {
    scenarios![
        "acks-1-leader-crash",
        "acks-all-retry-duplicate",
        "auto-commit-crash",
        "clean-close-commits",
        "commit-async-rewind",
        "commit-before-process",
        "commit-styles",
        "coordinator-crash",
        "gc-pause-consumer",
        "gc-pause-leader",
        "heartbeat-rule-of-three",
        "kill-and-quick-restart",
        "late-commit-after-rebalance",
        "max-poll-exceeded",
        "min-isr-freeze",
        "offset-reset-latest",
        "planned-election-acks-1",
        "power-loss-all-replicas",
        "pykafka-session-expired",
        "reorder-in-flight",
        "resubscribe-storm",
        "rolling-restart",
        "shared-group-id",
        "slow-member-stalls-group",
        "slow-processing-before-0.10.1",
        "steady-minute",
        "ten-consumers-fifty-partitions",
        "transactional-copy",
        "unclean-election-kafka-10751",
        "worker-handoff",
        "zombie-leader-partition",
        "zookeeper-leader-crash",
    ]
}
