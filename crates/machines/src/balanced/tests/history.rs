//! What a history says.

use super::world::{World, millis, node};
use crate::consumer::ConsumerReport;
use acklab_vocab::ids::{NodeId, Offset, TopicPartition};
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::{BalanceOutcome, ClientException, TraceEvent};
use std::collections::BTreeMap;

impl World {
    /// Who owns each partition, by the znodes.
    pub fn owners(&self) -> BTreeMap<TopicPartition, NodeId> {
        let mut owners = BTreeMap::new();
        for (_, _, fact) in &self.facts {
            match fact {
                TraceEvent::PartitionClaimed { partition, consumer, .. } => {
                    owners.insert(*partition, *consumer);
                }
                TraceEvent::PartitionReleased { partition, .. } => _ = owners.remove(partition),
                _ => {}
            }
        }
        owners
    }

    /// How many partitions each consumer owns.
    pub fn shares(&self) -> Vec<usize> {
        let owners = self.owners();
        let count = |member| owners.values().filter(|owner| **owner == node(member)).count();
        (0..self.member_count()).map(count).collect()
    }

    /// A consumer's attempts to take its share, and when.
    pub fn attempts(&self, member: usize) -> Vec<(SimTime, u32, BalanceOutcome)> {
        let own = self.facts.iter().filter(|entry| entry.1 == node(member));
        own.filter_map(|(when, _, fact)| match fact {
            TraceEvent::BalanceAttempted { attempt, outcome } => Some((*when, *attempt, *outcome)),
            _ => None,
        })
        .collect()
    }

    /// Exceptions of a consumer: when, which, and whether its application met it.
    pub fn exceptions(&self, member: usize) -> Vec<(SimTime, ClientException, bool)> {
        let own = self.facts.iter().filter(|entry| entry.1 == node(member));
        own.filter_map(|(when, _, fact)| match fact {
            TraceEvent::ExceptionRaised { exception, reached_application } => {
                Some((*when, *exception, *reached_application))
            }
            _ => None,
        })
        .collect()
    }

    /// What was raised to a consumer's application.
    pub fn raised(&self, member: usize) -> Vec<ClientException> {
        let own = self.reports.iter().filter(|entry| entry.1 == member);
        own.filter_map(|(_, _, report)| match report {
            ConsumerReport::Raised(exception) => Some(*exception),
            _ => None,
        })
        .collect()
    }

    /// Messages handed out: when, by whom, which.
    pub fn handed_out(&self) -> Vec<(SimTime, usize, TopicPartition, Offset)> {
        let mut all = Vec::new();
        for (when, member, report) in &self.reports {
            if let ConsumerReport::Polled(records) = report {
                all.extend(records.iter().map(|it| (*when, *member, it.partition, it.from)));
            }
        }
        all
    }
}

/// Within a few round trips.
pub(super) fn is_about(duration: SimDuration, expected: SimDuration) -> bool {
    duration >= expected && duration < expected + millis(400)
}
