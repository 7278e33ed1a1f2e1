//! Counts of fates, in the words of design.md, section 4.

use serde::Serialize;
use std::fmt;
use std::str::FromStr;

/// How many records met which fate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RecordCounts {
    /// Handed to the producer: acked + failed + unknown + aborted.
    pub sent: u64,
    /// Some attempt was reported a success.
    pub acked: u64,
    /// Every attempt was reported an error.
    pub failed: u64,
    /// Never told.
    pub unknown: u64,
    /// Its transaction was aborted.
    pub aborted: u64,
    /// At least one copy in the log of the leader at rest.
    pub stored: u64,
    /// Acked, and no copy.
    pub lost: u64,
    /// Failed, yet stored.
    pub phantom: u64,
    /// At least two copies.
    pub duplicated: u64,
    /// Copies beyond the first.
    pub extra_copies: u64,
    /// The first copy stands behind a later record's of the same producer and partition.
    pub reordered: u64,
    /// Removed by retention.
    pub expired: u64,
    /// The partition has no leader at rest.
    pub undecided: u64,
}

/// What a plain reader did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ReaderCounts {
    /// Records returned to its application, repetitions included.
    pub read: u64,
    /// Of these, records at offsets that it had been past before.
    pub reread: u64,
    /// How often its position was set by `auto.offset.reset`.
    pub resets: u64,
    /// How often its position was set back because the log had been truncated (KIP-320).
    pub truncations: u64,
    /// Partitions on which it could not go on.
    pub stopped: u64,
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// A number that an expectation can name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Counter { $($(#[$doc])* $name,)* }

        impl Counter {
            /// Every counter, in the order of declaration.
            pub const ALL: &'static [Counter] = &[$(Counter::$name,)*];

            /// Its name, as in JSON.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Counter::$name => $text,)* }
            }

            /// Its name as an expectation of a scenario writes it.
            #[must_use]
            pub const fn variant(self) -> &'static str {
                match self { $(Counter::$name => stringify!($name),)* }
            }
        }
    };
}

counters! {
    /// [`RecordCounts::sent`]
    Sent = "sent";
    /// [`RecordCounts::acked`]
    Acked = "acked";
    /// [`RecordCounts::failed`]
    Failed = "failed";
    /// [`RecordCounts::unknown`]
    Unknown = "unknown";
    /// [`RecordCounts::aborted`]
    Aborted = "aborted";
    /// [`RecordCounts::stored`]
    Stored = "stored";
    /// [`RecordCounts::lost`]
    Lost = "lost";
    /// [`RecordCounts::phantom`]
    Phantom = "phantom";
    /// [`RecordCounts::duplicated`]
    Duplicated = "duplicated";
    /// [`RecordCounts::extra_copies`]
    ExtraCopies = "extra_copies";
    /// [`RecordCounts::reordered`]
    Reordered = "reordered";
    /// [`RecordCounts::expired`]
    Expired = "expired";
    /// [`RecordCounts::undecided`]
    Undecided = "undecided";
    /// Records returned by readers.
    Read = "read";
    /// Records that a reader returned again.
    Reread = "reread";
    /// Promises and invariants broken.
    Violations = "violations";
    /// Promises and invariants broken as documented for the version.
    KnownViolations = "known_violations";
    /// Anomalies without an explanation.
    Unexplained = "unexplained";
    /// Elections of partition leaders after time zero.
    Elections = "elections";
    /// Of these, unclean ones.
    UncleanElections = "unclean_elections";
    /// Elections of an active controller after time zero.
    ControllerElections = "controller_elections";
    /// Cuts of a log by truncation that dropped at least one batch.
    Truncations = "truncations";
    /// Longest time that a partition was without a working leader, in milliseconds.
    LeaderlessMs = "leaderless_ms";
    /// Longest time between two accepted writes to a partition, in milliseconds.
    WriteGapMs = "write_gap_ms";
    /// Longest time from creation to the acknowledgement, in milliseconds.
    ProduceMaxMs = "produce_max_ms";
    /// 99 of 100 records were acknowledged within this time, in milliseconds.
    ProduceP99Ms = "produce_p99_ms";
    /// Longest time from creation to a reader, in milliseconds.
    EndToEndMaxMs = "end_to_end_max_ms";
}

/// A text that names no [`Counter`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownCounter(pub String);

impl fmt::Display for UnknownCounter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not a count of a verdict", self.0)
    }
}

impl std::error::Error for UnknownCounter {}

impl FromStr for Counter {
    type Err = UnknownCounter;

    /// Takes `extra_copies` as well as `ExtraCopies`.
    fn from_str(text: &str) -> Result<Self, UnknownCounter> {
        let named = |counter: &&Counter| counter.name() == text || counter.variant() == text;
        Counter::ALL.iter().find(named).copied().ok_or_else(|| UnknownCounter(text.to_owned()))
    }
}

impl fmt::Display for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_found_by_either_of_its_names() {
        assert_eq!("ExtraCopies".parse(), Ok(Counter::ExtraCopies));
        for &counter in Counter::ALL {
            assert_eq!(counter.to_string().parse(), Ok(counter));
        }
        assert_eq!("lots".parse::<Counter>(), Err(UnknownCounter("lots".to_owned())));
    }
}
