//! What a scenario expects of its runs: in every seed, in a share of the seeds, between variants.
//!
//! The numbers come from a [`Counts`], which the judged run implements: this crate knows no judge.

use crate::decode::unscaled;
use acklab_vocab::time::SimDuration;
use std::fmt;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident, $text:literal, $unit:ident;)*) => {
        /// A number that a judged run has.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Counter { $($(#[$doc])* $name,)* }

        impl Counter {
            /// Every counter, in the order of declaration.
            pub const ALL: &'static [Counter] = &[$(Counter::$name,)*];

            /// Its name as a scenario writes it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Counter::$name => stringify!($name),)* }
            }

            /// Its name in a sentence: `extra copies`.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Counter::$name => $text,)* }
            }

            /// What it counts.
            #[must_use]
            pub const fn unit(self) -> CounterUnit {
                match self { $(Counter::$name => CounterUnit::$unit,)* }
            }
        }

        /// The names of all counters.
        pub(crate) const COUNTER_NAMES: &[&str] = &[$(stringify!($name),)*];
    };
}

/// What a [`Counter`] counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CounterUnit {
    /// Things.
    Count,
    /// Simulated time, in microseconds.
    Microseconds,
}

counters! {
    /// Records that the applications created.
    Sent, "sent", Count;
    /// Records of which some attempt was reported a success.
    Acked, "acked", Count;
    /// Records of which every attempt was reported an error.
    Failed, "failed", Count;
    /// Records of which the application was never told.
    Unknown, "unknown", Count;
    /// Records whose transaction was aborted.
    Aborted, "aborted", Count;
    /// Records with a copy at rest.
    Stored, "stored", Count;
    /// Acked records without a copy at rest.
    Lost, "lost", Count;
    /// Failed records with a copy at rest.
    Phantom, "phantom", Count;
    /// Records with two copies at rest or more.
    Duplicated, "duplicated", Count;
    /// Copies at rest beyond the first of each record.
    ExtraCopies, "extra copies", Count;
    /// Records whose first copy stands behind a later record's.
    Reordered, "reordered", Count;
    /// Records removed by retention.
    Expired, "expired", Count;
    /// Records of partitions without a leader at rest.
    Undecided, "undecided", Count;
    /// Broken promises.
    Violations, "violations", Count;
    /// Promises broken as documented for the version.
    KnownViolations, "known violations", Count;
    /// Anomalies of which the judge found no cause.
    Unexplained, "unexplained", Count;
    /// Changes of a partition's leader after time zero.
    Elections, "elections", Count;
    /// Of those, elections of a replica outside the ISR.
    UncleanElections, "unclean elections", Count;
    /// Brokers fenced after time zero.
    Fencings, "fencings", Count;
    /// New active controllers after time zero.
    ControllerElections, "controller elections", Count;
    /// Records that followers cut from their logs.
    Truncated, "truncated records", Count;
    /// Longest time that a partition had no leader that the controller knew of, or one that was
    /// dead.
    LeaderlessMax, "longest leaderless time", Microseconds;
    /// Longest time without an append to a partition that producers were writing to.
    UnavailableMax, "longest unavailability", Microseconds;
    /// From creation to ack: median.
    ProduceP50, "produce latency p50", Microseconds;
    /// From creation to ack: 99th percentile.
    ProduceP99, "produce latency p99", Microseconds;
    /// From creation to ack: largest.
    ProduceMax, "produce latency max", Microseconds;
    /// From creation to the first read by a reader: median.
    EndToEndP50, "end-to-end latency p50", Microseconds;
    /// From creation to the first read by a reader: 99th percentile.
    EndToEndP99, "end-to-end latency p99", Microseconds;
    /// From creation to the first read by a reader: largest.
    EndToEndMax, "end-to-end latency max", Microseconds;
    /// Stored records that a consumer application processed; of all applications together, as
    /// the others that follow.
    Processed, "processed", Count;
    /// Stored records of which one copy was processed more than once.
    Reprocessed, "reprocessed", Count;
    /// Processings of the same copy beyond the first.
    ExtraProcessings, "extra processings", Count;
    /// Records of which several copies were processed.
    ProcessedCopies, "processed copies", Count;
    /// Stored records that were never processed although the committed offset is past them.
    Skipped, "skipped", Count;
    /// Stored records that were not processed, and still may be.
    Pending, "pending", Count;
    /// Records that were processed but are not in the log at rest.
    Ghost, "ghosts", Count;
    /// Rebalances that began after time zero.
    Rebalances, "rebalances", Count;
    /// Members removed for silence, or that left because they had not called `poll()` in time.
    Evictions, "evictions", Count;
    /// Commits that the coordinator accepted.
    Commits, "commits", Count;
    /// Commits that failed, as the application or its client's log saw it.
    CommitFailures, "commit failures", Count;
    /// Largest number of records between a partition's end and the position in it.
    LagMax, "largest lag", Count;
    /// Longest time that a partition had no owner that could process it.
    StandstillMax, "longest standstill", Microseconds;
    /// That time, over all partitions and spells.
    StandstillTotal, "standstill of all partitions", Microseconds;
    /// From an application's first processing to its last; of several applications the longest.
    ProcessingTime, "processing time", Microseconds;
    /// Transactions that were committed.
    TransactionsCommitted, "transactions committed", Count;
    /// Transactions that were aborted, by the application or by the coordinator.
    TransactionsAborted, "transactions aborted", Count;
    /// Offsets at which an in-sync replica holds another record than its leader, at rest.
    Diverged, "diverged offsets", Count;
    /// Sessions of ZooKeeper that expired after time zero: of brokers and consumers, or those of one
    /// consumer application.
    SessionsExpired, "expired sessions", Count;
    /// Longest time that ZooKeeper named no owner of a partition, where consumers share partitions
    /// out by it.
    NoOwnerMax, "longest time without an owner", Microseconds;
    /// That time, over all partitions and spells.
    NoOwnerTotal, "time without an owner of all partitions", Microseconds;
    /// Longest time that a partition had two owners or more that could work on it, each by its own
    /// account, where consumers share partitions out by ZooKeeper.
    TwoOwnersMax, "longest time with two owners", Microseconds;
    /// That time, over all partitions and spells.
    TwoOwnersTotal, "time with two owners of all partitions", Microseconds;
}

impl Counter {
    /// Whether a consumer application has it on its own, so that
    /// [`Quantity::OfGroup`] may name it.
    #[must_use]
    pub const fn is_of_groups(self) -> bool {
        matches!(
            self,
            Counter::Processed
                | Counter::Reprocessed
                | Counter::ExtraProcessings
                | Counter::ProcessedCopies
                | Counter::Skipped
                | Counter::Pending
                | Counter::Ghost
                | Counter::Rebalances
                | Counter::Evictions
                | Counter::Commits
                | Counter::CommitFailures
                | Counter::LagMax
                | Counter::StandstillMax
                | Counter::StandstillTotal
                | Counter::ProcessingTime
                | Counter::SessionsExpired
                | Counter::NoOwnerMax
                | Counter::NoOwnerTotal
                | Counter::TwoOwnersMax
                | Counter::TwoOwnersTotal
        )
    }
}

/// How the Java client reports a failed commit to its application, by the exception's name: the
/// names besides those of Kafka's error codes that [`Quantity::CommitErrors`] may have.
pub const COMMIT_EXCEPTIONS: &[&str] = &[
    "CommitFailedException",
    "RebalanceInProgressException",
    "RetriableCommitFailedException",
    "TimeoutException",
    "FencedInstanceIdException",
    "KafkaException",
];

/// The numbers of one judged run.
pub trait Counts {
    /// A counter's value, in its [`unit`](Counter::unit).
    fn count(&self, counter: Counter) -> u64;

    /// How many anomalies have the cause of that name, as in the JSON output:
    /// `acked_before_replication`.
    fn cause(&self, cause: &str) -> u64;

    /// A counter's value for one consumer application, by its name; only asked for counters that
    /// [are of groups](Counter::is_of_groups).
    fn group(&self, group: &str, counter: Counter) -> u64;

    /// How many anomalies of one consumer application have the cause of that name.
    fn group_cause(&self, group: &str, cause: &str) -> u64;

    /// How many commits failed so, of one consumer application or of all: answers of the
    /// coordinator with the error code of that name (`UNKNOWN_MEMBER_ID`), those to
    /// TxnOffsetCommit included; or failures that the application or its client's log saw, by
    /// the name of the [exception](COMMIT_EXCEPTIONS).
    fn commit_errors(&self, group: Option<&str>, error: &str) -> u64;

    /// How often client libraries of the ZooKeeper era raised the
    /// [exception](acklab_vocab::trace::ClientException) of that name, of one consumer application or of all and of producers: how often it reached the
    /// application, or how often it was only logged.
    fn exceptions(&self, group: Option<&str>, exception: &str, reach: Reach) -> u64;
}

/// How far an exception got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reach {
    /// It reached the application.
    Application,
    /// The library logged it, and went on.
    Log,
}

impl Reach {
    /// The name of the expectation that speaks of it: `Exceptions`, `LoggedExceptions`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Reach::Application => "Exceptions",
            Reach::Log => "LoggedExceptions",
        }
    }
}

/// A number that an expectation speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// A counter.
    Counter(Counter),
    /// How many anomalies have that cause.
    Cause(String),
    /// A counter's share of the acked records, in millionths; 0 if none was acked.
    ShareOfAcked(Counter),
    /// How many commits failed so: the name of an error code, or of an
    /// [exception](COMMIT_EXCEPTIONS).
    CommitErrors(String),
    /// How often client libraries of the ZooKeeper era raised the
    /// [exception](acklab_vocab::trace::ClientException) of that name, and it got so far.
    Exceptions(String, Reach),
    /// The same of one consumer application: a counter that [is of
    /// groups](Counter::is_of_groups), a cause, commit errors, or exceptions.
    OfGroup(String, Box<Quantity>),
}

impl Quantity {
    /// Its value in a run.
    #[must_use]
    pub fn of(&self, counts: &dyn Counts) -> u64 {
        match self {
            Quantity::Counter(counter) => counts.count(*counter),
            Quantity::Cause(cause) => counts.cause(cause),
            Quantity::ShareOfAcked(counter) => {
                let part = u128::from(counts.count(*counter)) * 1_000_000;
                let share = part.checked_div(u128::from(counts.count(Counter::Acked)));
                u64::try_from(share.unwrap_or(0)).unwrap_or(u64::MAX)
            }
            Quantity::CommitErrors(error) => counts.commit_errors(None, error),
            Quantity::Exceptions(name, reach) => counts.exceptions(None, name, *reach),
            Quantity::OfGroup(group, quantity) => match &**quantity {
                Quantity::Counter(counter) => counts.group(group, *counter),
                Quantity::Cause(cause) => counts.group_cause(group, cause),
                Quantity::CommitErrors(error) => counts.commit_errors(Some(group), error),
                Quantity::Exceptions(name, reach) => counts.exceptions(Some(group), name, *reach),
                Quantity::ShareOfAcked(_) | Quantity::OfGroup(..) => {
                    unreachable!("{quantity} is not of groups")
                }
            },
        }
    }

    /// A value of it, with its unit: `3`, `9.4 s`, `0.1 % of acked`.
    #[must_use]
    pub fn show(&self, value: u64) -> String {
        match self {
            Quantity::Counter(counter) => match counter.unit() {
                CounterUnit::Count => value.to_string(),
                CounterUnit::Microseconds => SimDuration::from_micros(value).to_string(),
            },
            Quantity::Cause(_) | Quantity::CommitErrors(_) | Quantity::Exceptions(..) => {
                value.to_string()
            }
            Quantity::OfGroup(_, quantity) => quantity.show(value),
            Quantity::ShareOfAcked(_) => format!("{} % of acked", unscaled(value, 4)),
        }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Quantity::Counter(counter) | Quantity::ShareOfAcked(counter) => {
                f.write_str(counter.text())
            }
            Quantity::Cause(cause) => f.write_str(cause),
            Quantity::CommitErrors(error) => write!(f, "commits failed with {error}"),
            Quantity::Exceptions(name, Reach::Application) => write!(f, "{name} raised"),
            Quantity::Exceptions(name, Reach::Log) => write!(f, "{name} logged"),
            Quantity::OfGroup(group, quantity) => write!(f, "{group}: {quantity}"),
        }
    }
}

/// What a number may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// This.
    Exactly(u64),
    /// This or more.
    AtLeast(u64),
    /// This or less.
    AtMost(u64),
    /// Anything between, both inclusive.
    Between(u64, u64),
}

impl Bound {
    /// Whether a number is within.
    #[must_use]
    pub const fn holds(self, value: u64) -> bool {
        match self {
            Bound::Exactly(expected) => value == expected,
            Bound::AtLeast(least) => value >= least,
            Bound::AtMost(most) => value <= most,
            Bound::Between(least, most) => value >= least && value <= most,
        }
    }

    fn write(self, name: &str, show: impl Fn(u64) -> String) -> String {
        match self {
            Bound::Exactly(value) => format!("{name} = {}", show(value)),
            Bound::AtLeast(value) => format!("{name} ≥ {}", show(value)),
            Bound::AtMost(value) => format!("{name} ≤ {}", show(value)),
            Bound::Between(least, most) => {
                format!("{} ≤ {name} ≤ {}", show(least), show(most))
            }
        }
    }
}

/// Something that must hold in every seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// Which number.
    pub quantity: Quantity,
    /// What it may be.
    pub bound: Bound,
}

impl Expectation {
    /// Whether it holds in a run.
    #[must_use]
    pub fn holds(&self, counts: &dyn Counts) -> bool {
        self.bound.holds(self.quantity.of(counts))
    }

    /// What the number is in a run, with its unit.
    #[must_use]
    pub fn actual(&self, counts: &dyn Counts) -> String {
        self.quantity.show(self.quantity.of(counts))
    }
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |value| self.quantity.show(value);
        f.write_str(&self.bound.write(&self.quantity.to_string(), show))
    }
}

/// Something that must hold in a share of the seeds of a sweep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareExpectation {
    /// What.
    pub expectation: Expectation,
    /// In which share of the seeds, in millionths.
    pub share: Bound,
}

impl ShareExpectation {
    /// Whether it holds when the expectation held in `held` of `seeds` seeds. With no seeds it
    /// does not.
    #[must_use]
    pub fn holds(&self, held: u64, seeds: u64) -> bool {
        let share = (u128::from(held) * 1_000_000).checked_div(u128::from(seeds));
        share
            .and_then(|share| u64::try_from(share).ok())
            .is_some_and(|share| self.share.holds(share))
    }
}

impl fmt::Display for ShareExpectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |value: u64| format!("{} %", unscaled(value, 4));
        let share = match self.share {
            Bound::Exactly(value) => percent(value),
            Bound::AtLeast(value) => format!("≥ {}", percent(value)),
            Bound::AtMost(value) => format!("≤ {}", percent(value)),
            Bound::Between(least, most) => format!("{} to {}", percent(least), percent(most)),
        };
        write!(f, "{} in {share} of seeds", self.expectation)
    }
}

/// A relation between the means of two variants over the same seeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// The first mean is greater.
    Greater,
    /// The first mean is less.
    Less,
    /// The first mean is at least so many times the second, in thousandths.
    AtLeastTimes(u64),
}

/// A comparison of two variants, each run with the same seeds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// Which number.
    pub quantity: Quantity,
    /// The relation of the means.
    pub relation: Relation,
    /// The first variant; `base` is the file as it stands.
    pub first: String,
    /// The second variant.
    pub second: String,
}

impl Comparison {
    /// Whether it holds, given the sums over the same number of seeds.
    #[must_use]
    pub fn holds(&self, first_sum: u128, second_sum: u128) -> bool {
        match self.relation {
            Relation::Greater => first_sum > second_sum,
            Relation::Less => first_sum < second_sum,
            Relation::AtLeastTimes(thousandths) => {
                first_sum.saturating_mul(1_000)
                    >= second_sum.saturating_mul(u128::from(thousandths))
            }
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Comparison { quantity, relation, first, second } = self;
        write!(f, "mean {quantity}: {first} ")?;
        match relation {
            Relation::Greater => write!(f, "> {second}"),
            Relation::Less => write!(f, "< {second}"),
            Relation::AtLeastTimes(thousandths) => {
                write!(f, "≥ {} × {second}", unscaled(*thousandths, 3))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(u64, u64);

    impl Counts for Fixed {
        fn count(&self, counter: Counter) -> u64 {
            if counter == Counter::Acked { self.1 } else { self.0 }
        }

        fn cause(&self, _: &str) -> u64 {
            self.0
        }

        fn group(&self, group: &str, counter: Counter) -> u64 {
            if group == "billing" && counter == Counter::Skipped { self.0 } else { 0 }
        }

        fn group_cause(&self, group: &str, cause: &str) -> u64 {
            if group == "billing" && cause == "offset_reset" { self.0 } else { 0 }
        }

        fn commit_errors(&self, group: Option<&str>, error: &str) -> u64 {
            u64::from(error == "ILLEGAL_GENERATION") * group.map_or(self.1, |_| self.0)
        }

        fn exceptions(&self, group: Option<&str>, exception: &str, reach: Reach) -> u64 {
            let is_known = exception == "PartitionOwnedError" && reach == Reach::Application;
            u64::from(is_known) * group.map_or(self.1, |_| self.0)
        }
    }

    #[test]
    fn expectations_read_as_sentences_and_hold_or_not() {
        let lost =
            Expectation { quantity: Quantity::Counter(Counter::Lost), bound: Bound::AtLeast(1) };
        assert_eq!(lost.to_string(), "lost ≥ 1");
        assert!(lost.holds(&Fixed(1, 9)) && !lost.holds(&Fixed(0, 9)));
        let share = ShareExpectation { expectation: lost, share: Bound::AtLeast(800_000) };
        assert_eq!(share.to_string(), "lost ≥ 1 in ≥ 80 % of seeds");
        assert!(share.holds(4, 5) && !share.holds(79, 100) && !share.holds(0, 0));
        let of_acked = Expectation {
            quantity: Quantity::ShareOfAcked(Counter::Lost),
            bound: Bound::AtMost(1_000),
        };
        assert_eq!(of_acked.to_string(), "lost ≤ 0.1 % of acked");
        assert!(of_acked.holds(&Fixed(1, 1_000)) && !of_acked.holds(&Fixed(2, 1_000)));
        assert!(of_acked.holds(&Fixed(5, 0)));
        let leaderless = Expectation {
            quantity: Quantity::Counter(Counter::LeaderlessMax),
            bound: Bound::Between(7_000_000, 10_100_000),
        };
        assert_eq!(leaderless.to_string(), "7 s ≤ longest leaderless time ≤ 10.1 s");
    }

    #[test]
    fn one_group_has_numbers_of_its_own() {
        let expectation = |group: &str, quantity: Quantity, value: u64| {
            let quantity = Quantity::OfGroup(group.into(), Box::new(quantity));
            Expectation { quantity, bound: Bound::Exactly(value) }
        };
        let counts = Fixed(3, 5);
        let skipped = || Quantity::Counter(Counter::Skipped);
        let cause = || Quantity::Cause("offset_reset".into());
        let refused = || Quantity::CommitErrors("ILLEGAL_GENERATION".into());
        assert!(expectation("billing", skipped(), 3).holds(&counts));
        assert!(expectation("audit", skipped(), 0).holds(&counts));
        assert!(expectation("billing", cause(), 3).holds(&counts));
        assert!(expectation("billing", refused(), 3).holds(&counts));
        assert_eq!(refused().of(&counts), 5);
        let standstill = expectation("billing", Quantity::Counter(Counter::StandstillMax), 5);
        assert_eq!(standstill.to_string(), "billing: longest standstill = 5 us");
        assert_eq!(
            expectation("audit", refused(), 0).to_string(),
            "audit: commits failed with ILLEGAL_GENERATION = 0"
        );
    }

    #[test]
    fn exceptions_are_counted_by_name_and_by_how_far_they_got() {
        let of = |reach| Quantity::Exceptions("PartitionOwnedError".into(), reach);
        let (raised, logged) = (of(Reach::Application), of(Reach::Log));
        assert_eq!((raised.of(&Fixed(3, 5)), logged.of(&Fixed(3, 5))), (5, 0));
        let of_group = Quantity::OfGroup("workers".into(), Box::new(raised.clone()));
        let expectation = Expectation { quantity: of_group, bound: Bound::AtLeast(1) };
        assert!(expectation.holds(&Fixed(3, 0)) && !expectation.holds(&Fixed(0, 9)));
        assert_eq!(expectation.to_string(), "workers: PartitionOwnedError raised ≥ 1");
        assert_eq!(logged.to_string(), "PartitionOwnedError logged");
        let owners = Expectation {
            quantity: Quantity::Counter(Counter::TwoOwnersMax),
            bound: Bound::AtMost(1_000_000),
        };
        assert_eq!(owners.to_string(), "longest time with two owners ≤ 1 s");
    }

    #[test]
    fn comparisons_take_means_over_the_same_seeds() {
        let comparison = |relation| Comparison {
            quantity: Quantity::Counter(Counter::Lost),
            relation,
            first: "acks=0".into(),
            second: "base".into(),
        };
        assert_eq!(comparison(Relation::Greater).to_string(), "mean lost: acks=0 > base");
        assert!(comparison(Relation::Greater).holds(2, 1));
        let times = comparison(Relation::AtLeastTimes(1_500));
        assert_eq!(times.to_string(), "mean lost: acks=0 ≥ 1.5 × base");
        assert!(times.holds(3, 2) && !times.holds(299, 200));
    }
}
