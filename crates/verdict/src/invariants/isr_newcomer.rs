//! Who joins an ISR serves, and has every committed record, in the life that the controller knows.
//!
//! Mirrors `ReplicationControlManager.validateAlterPartitionData`. A fenced broker that is in an
//! ISR is not removed again when it dies (KIP-841); a broker that has come back without its tail
//! must not join on the strength of what it had fetched before (KIP-903). A broker that has died
//! since its last registration may still be let in: the controller does not know yet.

use acklab_vocab::ids::{BrokerId, BrokerList, Offset};
use acklab_vocab::rules::ProtocolRule;

use super::{Invariant, Suspension};
use crate::world::{AppendId, Replica};

/// See the module.
pub static SERVES: Invariant = Invariant {
    name: "isr_newcomer_serves",
    claim: "a broker is not fenced when it joins an ISR",
    source: "KIP-841, ReplicationControlManager.validateAlterPartitionData",
    suspended_by: &[Suspension::RuleOff(ProtocolRule::IsrExpandChecksFencing, "KIP-841")],
};

/// See the module.
pub static COMPLETE: Invariant = Invariant {
    name: "isr_newcomer_complete",
    claim: "a broker has every committed record when it joins an ISR",
    source: "KIP-903, KIP-497, KAFKA-7128",
    suspended_by: &[
        Suspension::UncleanElection,
        Suspension::RuleOff(ProtocolRule::TruncateByLeaderEpoch, "KIP-101"),
        Suspension::RuleOff(ProtocolRule::EpochInOffsetsForLeaderEpoch, "KIP-279"),
        Suspension::RuleOff(ProtocolRule::FenceByLeaderEpoch, "KIP-320"),
        Suspension::RuleOff(ProtocolRule::FenceTruncation, "KIP-320"),
        Suspension::RuleOff(ProtocolRule::TruncateOnEveryEpoch, "KIP-320"),
        Suspension::RuleOff(ProtocolRule::IsrExpandAwaitsEpochStart, "KAFKA-7128"),
        Suspension::RuleOff(ProtocolRule::HighWatermarkAwaitsMaximalIsr, "KIP-497"),
        Suspension::RuleOff(ProtocolRule::IsrExpandChecksBrokerEpoch, "KIP-903"),
        Suspension::ZooKeeperMode("KIP-903"),
        Suspension::KnownBreach,
    ],
};

/// The members of `after` that are not in `before`.
pub fn newcomers(before: &BrokerList, after: &BrokerList) -> impl Iterator<Item = BrokerId> {
    after.iter().copied().filter(|member| !before.contains(member))
}

/// `broker` joined the ISR.
#[must_use]
pub fn check_serves(broker: BrokerId, is_fenced: bool) -> Option<String> {
    is_fenced.then(|| format!("broker {broker} joined the ISR while it was fenced"))
}

/// The replica joined the ISR, when `committed` batches, up to `end`, had been committed.
#[must_use]
pub fn check_complete(replica: &Replica, committed: &[AppendId], end: Offset) -> Option<String> {
    let last = committed.len().checked_sub(1)?;
    (replica.log.get(last) != committed.last()).then(|| {
        let (broker, own) = (replica.broker, replica.log_end_offset);
        format!(
            "broker {broker} joined the ISR without every committed record: committed are {end}, \
             its log ends at {own}"
        )
    })
}
