//! Every member of the committed ISR holds every committed record.
//!
//! Mirrors `ISR` in the TLA+ specification ("the ISR is a superset of the replication quorum").
//! Checked when the leader's high watermark moves, and only for the leader that the controller
//! sees: a deposed leader's followers may have moved on.

use acklab_vocab::ids::Offset;
use acklab_vocab::rules::ProtocolRule;

use super::{Invariant, Suspension};
use crate::world::{LeaderView, Partition};

/// See the module.
pub static INVARIANT: Invariant = Invariant {
    name: "isr_holds_committed",
    claim: "no member of the ISR has a log that ends below the high watermark",
    source: "KIP-497, hachikuji/kafka-specification",
    suspended_by: &[
        Suspension::PowerLoss,
        Suspension::RuleOff(ProtocolRule::TruncateByLeaderEpoch, "KIP-101"),
        Suspension::RuleOff(ProtocolRule::HighWatermarkAwaitsMaximalIsr, "KIP-497"),
        Suspension::RuleOff(ProtocolRule::FenceByLeaderEpoch, "KIP-320"),
        Suspension::RuleOff(ProtocolRule::FenceTruncation, "KIP-320"),
        Suspension::RuleOff(ProtocolRule::TruncateOnEveryEpoch, "KIP-320"),
    ],
};

/// The leader with this view moved its high watermark to `high_watermark`.
#[must_use]
pub fn check(partition: &Partition, view: &LeaderView, high_watermark: Offset) -> Option<String> {
    let state = partition.state.as_ref()?;
    if state.leader_epoch != view.epoch {
        return None;
    }
    let members = view.isr.iter().filter(|member| state.isr.contains(member));
    let behind = members.filter_map(|member| partition.replica_of(*member));
    let short = behind.into_iter().find(|replica| replica.log_end_offset < high_watermark)?;
    let (broker, end) = (short.broker, short.log_end_offset);
    Some(format!(
        "the high watermark is {high_watermark}, the log of in-sync broker {broker} ends at {end}"
    ))
}
