//! The numbers of a judged run, for a scenario's expectations.
//!
//! The scenario crate knows no judge and the judge no scenario: this is where one's counters meet
//! the other's counts.

use acklab_scenario::{Counter, Counts};
use acklab_verdict::{Unavailability, Verdict};
use acklab_vocab::time::SimDuration;

/// A verdict, as expectations see it.
#[derive(Clone, Copy, Debug)]
pub struct Judged<'a>(pub &'a Verdict);

impl Counts for Judged<'_> {
    fn count(&self, counter: Counter) -> u64 {
        let Judged(verdict) = self;
        let (records, cluster) = (&verdict.records, &verdict.cluster);
        let (produce, end_to_end) =
            (&verdict.produce_latency.summary, &verdict.end_to_end_latency.summary);
        match counter {
            Counter::Sent => records.sent,
            Counter::Acked => records.acked,
            Counter::Failed => records.failed,
            Counter::Unknown => records.unknown,
            Counter::Aborted => records.aborted,
            Counter::Stored => records.stored,
            Counter::Lost => records.lost,
            Counter::Phantom => records.phantom,
            Counter::Duplicated => records.duplicated,
            Counter::ExtraCopies => records.extra_copies,
            Counter::Reordered => records.reordered,
            Counter::Expired => records.expired,
            Counter::Undecided => records.undecided,
            Counter::Violations => verdict.violations.len() as u64,
            Counter::KnownViolations => verdict.known_violations.len() as u64,
            Counter::Unexplained => verdict.count(acklab_verdict::Counter::Unexplained),
            Counter::Elections => cluster.elections,
            Counter::UncleanElections => cluster.unclean_elections,
            Counter::Fencings => cluster.fencings,
            Counter::ControllerElections => cluster.controller_elections,
            Counter::Truncated => cluster.truncated_records,
            Counter::LeaderlessMax => self.longest(|of| of.leaderless_longest),
            Counter::UnavailableMax => self.longest(|of| of.write_gap_longest),
            Counter::ProduceP50 => produce.p50,
            Counter::ProduceP99 => produce.p99,
            Counter::ProduceMax => produce.max,
            Counter::EndToEndP50 => end_to_end.p50,
            Counter::EndToEndP99 => end_to_end.p99,
            Counter::EndToEndMax => end_to_end.max,
        }
    }

    fn cause(&self, cause: &str) -> u64 {
        let named = self.0.causes.iter().filter(|of| of.cause.name() == cause);
        named.map(|of| of.count).sum()
    }
}

impl Judged<'_> {
    /// The longest of one kind of spell over all partitions, in microseconds.
    fn longest(&self, of: fn(&Unavailability) -> SimDuration) -> u64 {
        self.0.unavailability.iter().map(of).max().unwrap_or_default().as_micros()
    }
}
