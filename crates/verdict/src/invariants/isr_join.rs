//! A replica joins the ISR only when it has every committed record and has reached the start of the
//! leader's epoch.
//!
//! Mirrors `Partition.isFollowerInSync`. The second condition came with KAFKA-7128: the high
//! watermark of a new leader lags, so reaching it proves nothing.

use acklab_vocab::ids::BrokerList;
use acklab_vocab::rules::ProtocolRule;

use super::{Invariant, Suspension};
use crate::world::{LeaderView, Replica};

/// See the module.
pub static INVARIANT: Invariant = Invariant {
    name: "isr_join",
    claim: "a replica joins the ISR only after it has fetched up to the high watermark and to the \
            start of the epoch",
    source: "Partition.isFollowerInSync, KAFKA-7128",
    suspended_by: &[Suspension::RuleOff(ProtocolRule::IsrExpandAwaitsEpochStart, "KAFKA-7128")],
};

/// The leader proposed another ISR.
#[must_use]
pub fn check(
    leader: &Replica,
    view: &LeaderView,
    isr: &BrokerList,
    proposed: &BrokerList,
) -> Option<String> {
    let needed = leader.high_watermark.max(view.epoch_start);
    let mut newcomers = proposed.iter().filter(|member| !isr.contains(member));
    let member = newcomers
        .find(|member| view.reported_by(**member).is_none_or(|reported| reported < needed))?;
    let so_far = match view.reported_by(*member) {
        Some(end) => format!("had fetched up to {end}"),
        None => "had not fetched in this epoch".to_owned(),
    };
    let (high_watermark, start) = (leader.high_watermark, view.epoch_start);
    Some(format!(
        "broker {member} was to join the ISR when it {so_far}; high watermark {high_watermark}, \
         epoch start {start}"
    ))
}
