//! Truncation never takes a committed record.
//!
//! Mirrors `AbstractFetcherThread.truncateToEpochEndOffset` (KIP-101): a follower cuts only what
//! its leader does not have, and a leader has every committed record.

use acklab_vocab::ids::Offset;
use acklab_vocab::rules::ProtocolRule;

use super::{Invariant, Suspension};
use crate::world::Replica;

/// See the module.
pub static INVARIANT: Invariant = Invariant {
    name: "truncation",
    claim: "a replica never truncates committed records",
    source: "KIP-101",
    suspended_by: &[
        Suspension::PowerLoss,
        Suspension::UncleanElection,
        Suspension::RuleOff(ProtocolRule::TruncateByLeaderEpoch, "KIP-101"),
        Suspension::RuleOff(ProtocolRule::EpochInOffsetsForLeaderEpoch, "KIP-279"),
        Suspension::RuleOff(ProtocolRule::FenceByLeaderEpoch, "KIP-320"),
        Suspension::RuleOff(ProtocolRule::FenceTruncation, "KIP-320"),
        Suspension::RuleOff(ProtocolRule::TruncateOnEveryEpoch, "KIP-320"),
        Suspension::KnownBreach,
    ],
};

/// `replica` cut its log to `to`; the first of the batches that are gone was committed.
#[must_use]
pub fn breach(replica: &Replica, to: Offset, first_gone: Offset) -> String {
    let broker = replica.broker;
    format!("broker {broker} cut its log to {to}, and with it the committed record {first_gone}")
}
