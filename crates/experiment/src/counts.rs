//! The numbers of a judged run, for a scenario's expectations.
//!
//! The scenario crate knows no judge and the judge no scenario: this is where one's counters meet
//! the other's counts.

use acklab_scenario::expect::Reach;
use acklab_scenario::{Counter, Counts};
use acklab_verdict::{
    AnomalyKind, CauseCount, Exceptions, GroupVerdict, Sharing, Unavailability, Verdict, names,
};
use acklab_vocab::time::SimDuration;
use std::collections::BTreeMap;

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
            Counter::Rebalances => self.rebalances(),
            Counter::LagMax
            | Counter::StandstillMax
            | Counter::ProcessingTime
            | Counter::NoOwnerMax
            | Counter::TwoOwnersMax => self.of_groups(counter).max().unwrap_or(0),
            Counter::Processed
            | Counter::Reprocessed
            | Counter::ExtraProcessings
            | Counter::ProcessedCopies
            | Counter::Skipped
            | Counter::Pending
            | Counter::Ghost
            | Counter::Evictions
            | Counter::Commits
            | Counter::CommitFailures
            | Counter::StandstillTotal
            | Counter::NoOwnerTotal
            | Counter::TwoOwnersTotal => self.of_groups(counter).sum(),
            Counter::TransactionsCommitted => verdict.transactions.committed,
            Counter::TransactionsAborted => verdict.transactions.aborted,
            Counter::Diverged => verdict.diverged,
            Counter::SessionsExpired => verdict.sessions_expired.unwrap_or(0),
        }
    }

    fn cause(&self, cause: &str) -> u64 {
        let named = self.0.causes.iter().filter(|of| of.cause.name() == cause);
        named.map(|of| of.count).sum()
    }

    fn group(&self, group: &str, counter: Counter) -> u64 {
        self.0.groups.get(group).map_or(0, |group| of_group(group, counter))
    }

    fn group_cause(&self, group: &str, cause: &str) -> u64 {
        let Judged(verdict) = self;
        let is_here = |of: &&CauseCount| {
            let name = of.group.map(|index| names::application(&verdict.header, index));
            name.as_deref() == Some(group) && of.cause.name() == cause
        };
        verdict.causes.iter().filter(is_here).map(|of| of.count).sum()
    }

    fn commit_errors(&self, group: Option<&str>, error: &str) -> u64 {
        let groups = self.0.groups.iter();
        let chosen = groups.filter(|(name, _)| group.is_none_or(|group| group == name.as_str()));
        chosen.map(|(_, of)| of.commit_errors(error)).sum()
    }

    fn exceptions(&self, group: Option<&str>, exception: &str, reach: Reach) -> u64 {
        let Judged(verdict) = self;
        let groups = verdict.groups.iter();
        let chosen = groups.filter(|(name, _)| group.is_none_or(|group| group == name.as_str()));
        let of_groups = chosen.map(|(_, of)| &of.exceptions);
        let producers = verdict.producer_exceptions.values().filter(|_| group.is_none());
        of_groups.chain(producers).map(|of| reached(of, exception, reach)).sum()
    }
}

/// How often an exception of that name got so far.
fn reached(of: &Exceptions, exception: &str, reach: Reach) -> u64 {
    let raised = of.named(exception);
    match reach {
        Reach::Application => raised.application,
        Reach::Log => raised.logged,
    }
}

/// A counter of one consumer application; 0 for those that are of no application.
fn of_group(group: &GroupVerdict, counter: Counter) -> u64 {
    let counts = &group.counts;
    match counter {
        Counter::Processed => counts.processed,
        Counter::Reprocessed => counts.reprocessed,
        Counter::ExtraProcessings => counts.extra_processings,
        Counter::ProcessedCopies => counts.processed_copies,
        Counter::Skipped => counts.skipped,
        Counter::Pending => counts.pending,
        Counter::Ghost => counts.ghost,
        Counter::Rebalances => counts.rebalances,
        Counter::Evictions => counts.evictions,
        Counter::Commits => counts.commits,
        Counter::CommitFailures => counts.commit_failures,
        Counter::LagMax => group.behind,
        Counter::StandstillMax => group.standstill_longest().as_micros(),
        Counter::StandstillTotal => group.standstill_total().as_micros(),
        Counter::ProcessingTime => group.processing_time.as_micros(),
        _ => group.sharing.as_ref().map_or(0, |sharing| of_sharing(sharing, counter)),
    }
}

/// A counter of consumers that share partitions out by ZooKeeper; 0 for all others.
fn of_sharing(sharing: &Sharing, counter: Counter) -> u64 {
    match counter {
        Counter::SessionsExpired => sharing.sessions_expired,
        Counter::NoOwnerMax => sharing.no_owner_longest().as_micros(),
        Counter::NoOwnerTotal => sharing.no_owner_total().as_micros(),
        Counter::TwoOwnersMax => sharing.two_owners_longest().as_micros(),
        Counter::TwoOwnersTotal => sharing.two_owners_total().as_micros(),
        _ => 0,
    }
}

/// The counter that counts the records with an anomaly of a kind.
pub(crate) const fn counter_of(kind: AnomalyKind) -> Counter {
    match kind {
        AnomalyKind::Lost => Counter::Lost,
        AnomalyKind::Phantom => Counter::Phantom,
        AnomalyKind::Duplicated => Counter::Duplicated,
        AnomalyKind::Reordered => Counter::Reordered,
        AnomalyKind::Reprocessed => Counter::Reprocessed,
        AnomalyKind::Skipped => Counter::Skipped,
        AnomalyKind::Ghost => Counter::Ghost,
    }
}

/// The kind of anomaly that a counter counts, if it counts one.
pub(crate) const fn kind_of(counter: Counter) -> Option<AnomalyKind> {
    match counter {
        Counter::Lost => Some(AnomalyKind::Lost),
        Counter::Phantom => Some(AnomalyKind::Phantom),
        Counter::Duplicated | Counter::ExtraCopies => Some(AnomalyKind::Duplicated),
        Counter::Reordered => Some(AnomalyKind::Reordered),
        Counter::Reprocessed | Counter::ExtraProcessings => Some(AnomalyKind::Reprocessed),
        Counter::Skipped => Some(AnomalyKind::Skipped),
        Counter::Ghost => Some(AnomalyKind::Ghost),
        _ => None,
    }
}

impl Judged<'_> {
    /// A counter of every consumer application.
    fn of_groups(&self, counter: Counter) -> impl Iterator<Item = u64> {
        self.0.groups.values().map(move |group| of_group(group, counter))
    }

    /// Rebalances of all groups: applications that share a `group.id` have the same ones.
    fn rebalances(&self) -> u64 {
        let by_id: BTreeMap<&str, u64> =
            self.0.groups.values().fold(BTreeMap::new(), |mut by_id, group| {
                let known = by_id.entry(group.group_id.as_str()).or_default();
                *known = (*known).max(group.counts.rebalances);
                by_id
            });
        by_id.values().sum()
    }

    /// The longest of one kind of spell over all partitions, in microseconds.
    fn longest(&self, of: fn(&Unavailability) -> SimDuration) -> u64 {
        self.0.unavailability.iter().map(of).max().unwrap_or_default().as_micros()
    }
}
