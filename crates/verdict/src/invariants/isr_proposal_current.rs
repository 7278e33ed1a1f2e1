//! An ISR that a leader proposes replaces the ISR that the leader knew.
//!
//! Mirrors the check of the partition epoch in
//! `ReplicationControlManager.validateAlterPartitionData` (INVALID_UPDATE_VERSION): otherwise a
//! proposal made before a broker was removed would bring that broker back.

use acklab_vocab::ids::{BrokerId, BrokerList};

use super::Invariant;
use crate::names;
use crate::world::LeaderView;

/// See the module.
pub static INVARIANT: Invariant = Invariant {
    name: "isr_proposal_current",
    claim: "a leader's proposal replaces the ISR that it was made from",
    source: "KIP-497, ReplicationControlManager.validateAlterPartitionData",
    suspended_by: &[],
};

/// The controller changed the ISR from `before` to `after`, as `leader`, with this view, has
/// proposed. A leader that has heard of a newer ISR since then has dropped its proposal.
#[must_use]
pub fn check(
    leader: BrokerId,
    view: &LeaderView,
    before: &BrokerList,
    after: &BrokerList,
) -> Option<String> {
    let is_its_own = view.proposed.as_ref() == Some(after);
    (is_its_own && view.isr != *before).then(|| {
        let (from, was) = (names::brokers(&view.isr), names::brokers(before));
        format!("broker {leader} proposed an ISR in place of {from}, and replaced {was}")
    })
}
