//! A success with acks=all means that the whole in-sync replica set has the records.
//!
//! Mirrors `Partition.checkEnoughReplicasReachOffset` and `DelayedProduce`: the answer waits for
//! the high watermark.

use acklab_vocab::ids::Offset;

use super::{Invariant, Suspension};
use crate::world::Replica;

/// See the module.
pub static INVARIANT: Invariant = Invariant {
    name: "acks_all",
    claim: "a success is answered for acks=all only when the high watermark has passed the records",
    source: "Partition.checkEnoughReplicasReachOffset, DelayedProduce",
    suspended_by: &[Suspension::PowerLoss],
};

/// The leader answered a success for acks=all; the records end at `end`.
#[must_use]
pub fn check(leader: &Replica, end: Offset) -> Option<String> {
    let high_watermark = leader.high_watermark;
    (high_watermark < end).then(|| {
        let broker = leader.broker;
        format!(
            "broker {broker} answered acks=all up to {end}, its high watermark is {high_watermark}"
        )
    })
}
