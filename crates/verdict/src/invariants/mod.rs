//! What must never happen, one file per property: the claim, its source, what suspends it, and how
//! it is checked.
//!
//! Each check looks at one fact and the [`World`](crate::world::World) of the judge, in constant
//! time, and says in words what is wrong. [`Breaches`] decides what that means: nothing where a
//! fault has suspended the property, a *known violation* where the version that is simulated is
//! documented to break it, a *violation* otherwise.
//!
//! The properties follow the TLA+ specifications of Kafka's replication
//! (hachikuji/kafka-specification, Vanlightly) and the KIPs named in each file.

pub mod aborted_read;
pub mod accepted_commit;
pub mod acks_all;
pub mod clean_election;
pub mod committed_bounded;
pub mod committed_explained;
pub mod controller_epochs;
pub mod ephemeral_claims;
pub mod epochs_monotonic;
pub mod fenced_commit;
pub mod fencing;
pub mod high_watermark_bounded;
pub mod high_watermark_monotonic;
pub mod idempotence;
pub mod isr_holds_committed;
pub mod isr_join;
pub mod isr_newcomer;
pub mod isr_proposal_current;
pub mod leader_append;
pub mod leader_completeness;
pub mod log_matching;
pub mod one_claim;
pub mod one_leader_per_epoch;
pub mod one_owner;
pub mod read_committed;
pub mod replicated_was_written;
pub mod truncation;
pub mod zookeeper_epochs;

#[cfg(test)]
mod group_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod zookeeper_tests;

use acklab_vocab::ids::{NodeId, TopicPartition};
use acklab_vocab::rules::{ProtocolRule, ProtocolRules};
use acklab_vocab::time::SimTime;
use serde::Serialize;

use crate::world::Partition;

/// A property.
#[derive(Debug, PartialEq, Eq)]
pub struct Invariant {
    /// Its name.
    pub name: &'static str,
    /// What it says.
    pub claim: &'static str,
    /// Where that is written: KIP, class, specification.
    pub source: &'static str,
    /// What suspends it.
    pub suspended_by: &'static [Suspension],
}

/// Every invariant, by name.
pub static ALL: [&Invariant; 33] = [
    &aborted_read::INVARIANT,
    &accepted_commit::INVARIANT,
    &acks_all::INVARIANT,
    &clean_election::INVARIANT,
    &committed_bounded::INVARIANT,
    &committed_explained::INVARIANT,
    &committed_explained::LOADED,
    &controller_epochs::INVARIANT,
    &ephemeral_claims::INVARIANT,
    &epochs_monotonic::INVARIANT,
    &fenced_commit::INVARIANT,
    &fencing::INVARIANT,
    &high_watermark_bounded::INVARIANT,
    &high_watermark_bounded::FOLLOWER,
    &high_watermark_monotonic::INVARIANT,
    &idempotence::INVARIANT,
    &isr_holds_committed::INVARIANT,
    &isr_join::INVARIANT,
    &isr_newcomer::COMPLETE,
    &isr_newcomer::SERVES,
    &isr_proposal_current::INVARIANT,
    &leader_append::INVARIANT,
    &leader_completeness::INVARIANT,
    &log_matching::INVARIANT,
    &log_matching::BELOW_HIGH_WATERMARK,
    &one_claim::INVARIANT,
    &one_leader_per_epoch::INVARIANT,
    &one_owner::AT_A_TIME,
    &one_owner::INVARIANT,
    &read_committed::INVARIANT,
    &replicated_was_written::INVARIANT,
    &truncation::INVARIANT,
    &zookeeper_epochs::INVARIANT,
];

/// What suspends an [`Invariant`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspension {
    /// A replica of the partition has lost an unflushed tail: Kafka promises nothing.
    PowerLoss,
    /// A leader of the partition was elected uncleanly: committed records were given up knowingly.
    UncleanElection,
    /// The rule does not hold in this run. Releases without it have the defect of that KIP or
    /// issue.
    RuleOff(ProtocolRule, &'static str),
    /// The client at work is documented to do this.
    OldClient(&'static str),
    /// The cluster's metadata is in ZooKeeper, and the KIP helps KRaft only.
    ZooKeeperMode(&'static str),
    /// A documented defect has shown on this partition before, and this is what comes of it.
    KnownBreach,
}

/// Something that should not have been.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// When, in nanoseconds.
    pub at: SimTime,
    /// Where; `None` for a statement about the whole run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeId>,
    /// Name of the invariant, or of the cause of an anomaly.
    pub invariant: &'static str,
    /// What was seen, in words.
    pub text: String,
    /// KIP or issue, if the version is documented to do this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known: Option<&'static str>,
}

/// Where and when a fact was stated.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// When.
    pub at: SimTime,
    /// On which process.
    pub node: NodeId,
}

/// Every breach of a run, counted; the first of each kind in words.
#[derive(Debug, Default)]
pub struct Breaches {
    violations: Vec<Violation>,
    known: Vec<Violation>,
    counts: Vec<(&'static str, TopicPartition, bool, u64)>,
    in_zookeeper_mode: bool,
}

/// So many breaches of one invariant on one partition are kept in words; the rest are counted.
const KEPT_PER_PLACE: u64 = 3;

impl Breaches {
    /// No breach so far, of a run in this mode.
    #[must_use]
    pub fn new(in_zookeeper_mode: bool) -> Self {
        Breaches { in_zookeeper_mode, ..Breaches::default() }
    }

    /// Takes note of a breach, unless a fault has suspended the invariant.
    pub fn report(
        &mut self,
        invariant: &'static Invariant,
        rules: ProtocolRules,
        partition: &mut Partition,
        place: Place,
        text: String,
    ) {
        let Some(known) = classify(invariant, rules, self.in_zookeeper_mode, partition) else {
            return;
        };
        if let Some(issue) = known
            && !partition.known_breaches.contains(&issue)
        {
            partition.known_breaches.push(issue);
        }
        if self.count(invariant.name, partition.id, known.is_some()) > KEPT_PER_PLACE {
            return;
        }
        let Place { at, node } = place;
        let violation = Violation { at, node: Some(node), invariant: invariant.name, text, known };
        self.list(known.is_some()).push(violation);
    }

    /// Takes note of a breach that concerns no partition.
    pub fn report_cluster(&mut self, invariant: &'static Invariant, place: Place, text: String) {
        let Place { at, node } = place;
        let name = invariant.name;
        if self.count(name, TopicPartition::new(u16::MAX, 0), false) <= KEPT_PER_PLACE {
            let known = None;
            self.violations.push(Violation { at, node: Some(node), invariant: name, text, known });
        }
    }

    /// Takes note of promises that anomalies broke.
    pub fn report_anomalies(
        &mut self,
        at: SimTime,
        name: &'static str,
        text: String,
        known: Option<&'static str>,
    ) {
        let node = None;
        self.list(known.is_some()).push(Violation { at, node, invariant: name, text, known });
    }

    /// The violations and the known violations, in the order of the trace; what was only counted is
    /// stated in words.
    #[must_use]
    pub fn finish(
        mut self,
        names: &dyn Fn(TopicPartition) -> String,
    ) -> (Vec<Violation>, Vec<Violation>) {
        for (name, partition, known, count) in &self.counts {
            if *count <= KEPT_PER_PLACE {
                continue;
            }
            let list = if *known { &mut self.known } else { &mut self.violations };
            let of = list.iter_mut().rev().find(|violation| violation.invariant == *name);
            let more = count - KEPT_PER_PLACE;
            if let Some(last) = of {
                let place = names(*partition);
                last.text.push_str(&format!(" (and {more} more on {place})"));
            }
        }
        (self.violations, self.known)
    }

    fn list(&mut self, known: bool) -> &mut Vec<Violation> {
        if known { &mut self.known } else { &mut self.violations }
    }

    fn count(&mut self, name: &'static str, partition: TopicPartition, known: bool) -> u64 {
        let same = |entry: &&mut (&'static str, TopicPartition, bool, u64)| {
            (entry.0, entry.1, entry.2) == (name, partition, known)
        };
        match self.counts.iter_mut().find(same) {
            Some(entry) => {
                entry.3 += 1;
                entry.3
            }
            None => {
                self.counts.push((name, partition, known, 1));
                1
            }
        }
    }
}

/// `None` where a fault has suspended the invariant, otherwise the KIP or issue that is known for
/// the breach, if any.
fn classify(
    invariant: &Invariant,
    rules: ProtocolRules,
    in_zookeeper_mode: bool,
    partition: &Partition,
) -> Option<Option<&'static str>> {
    let mut known = None;
    for suspension in invariant.suspended_by {
        match *suspension {
            Suspension::PowerLoss if partition.has_lost_tail => return None,
            Suspension::UncleanElection if partition.had_unclean_election => return None,
            Suspension::RuleOff(rule, issue) if !rules.has(rule) => known = known.or(Some(issue)),
            Suspension::OldClient(issue) => known = known.or(Some(issue)),
            Suspension::ZooKeeperMode(issue) if in_zookeeper_mode => known = known.or(Some(issue)),
            Suspension::KnownBreach => known = known.or(partition.known_breaches.first().copied()),
            Suspension::PowerLoss
            | Suspension::UncleanElection
            | Suspension::RuleOff(..)
            | Suspension::ZooKeeperMode(_) => {}
        }
    }
    Some(known)
}
