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
        "gc-pause-leader",
        "kill-and-quick-restart",
        "min-isr-freeze",
        "planned-election-acks-1",
        "power-loss-all-replicas",
        "reorder-in-flight",
        "steady-minute",
        "unclean-election-kafka-10751",
        "zombie-leader-partition",
    ]
}
