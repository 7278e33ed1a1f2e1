//! A partition has one owner in a generation, and at a time.
//!
//! Source: `ConsumerPartitionAssignor` (an assignment is a partition of the partitions), KIP-429
//! and KIP-848 (a partition is given to a member only after the one before it has released it).
//! What a process does that is no member any more is not looked at: a zombie may go on with the
//! records that it has. Applications that assign themselves their partitions have no owners.

use acklab_vocab::ids::{Generation, MemberId, TopicPartition};
use acklab_vocab::rules::ProtocolRule;
use std::sync::Arc;

use super::{Invariant, Suspension};

/// The property of one assignment.
pub static INVARIANT: Invariant = Invariant {
    name: "one_owner_per_generation",
    claim: "an assignment gives each partition to one member",
    source: "ConsumerPartitionAssignor; KIP-848",
    suspended_by: &[Suspension::RuleOff(
        ProtocolRule::OwnedPartitionsCarryGeneration,
        "KAFKA-12984",
    )],
};

/// The property over time.
pub static AT_A_TIME: Invariant = Invariant {
    name: "one_owner_at_a_time",
    claim: "a member comes to own a partition only when no other member owns it",
    source: "KIP-429, KIP-848",
    suspended_by: &[
        Suspension::RuleOff(ProtocolRule::OwnedPartitionsCarryGeneration, "KAFKA-12984"),
        Suspension::RuleOff(ProtocolRule::ContestedPartitionToNewestClaim, "KAFKA-14639"),
    ],
};

/// A partition that two members have got.
#[must_use]
pub fn check(
    generation: Generation,
    assignment: &[(MemberId, Arc<[TopicPartition]>)],
) -> Option<(TopicPartition, String)> {
    let all = assignment.iter().flat_map(|(member, of)| of.iter().map(move |id| (*id, *member)));
    let mut all: Vec<(TopicPartition, MemberId)> = all.collect();
    all.sort_unstable();
    let twice = all.windows(2).find(|pair| pair[0].0 == pair[1].0)?;
    let text = format!(
        "members {:x} and {:x} both own it in generation {generation}",
        twice[0].1, twice[1].1
    );
    Some((twice[0].0, text))
}
