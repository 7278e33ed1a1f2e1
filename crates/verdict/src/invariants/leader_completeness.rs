//! A cleanly elected leader has every committed record.
//!
//! The heart of Kafka's promise (Raft's leader completeness; `LeaderCompleteness` in the TLA+
//! specification). Committed is what some leader's high watermark has passed.

use acklab_vocab::ids::Offset;

use super::{Invariant, Suspension};
use crate::world::Replica;

/// See the module.
pub static INVARIANT: Invariant = Invariant {
    name: "leader_completeness",
    claim: "a cleanly elected leader has every committed record",
    source: "Kafka documentation, Replication; hachikuji/kafka-specification",
    suspended_by: &[Suspension::PowerLoss, Suspension::UncleanElection, Suspension::KnownBreach],
};

/// `replica` became leader. Its log agrees with what was committed below `agreed` only, of
/// `committed` offsets.
#[must_use]
pub fn check(replica: &Replica, agreed: Offset, committed: Offset) -> Option<String> {
    let broker = replica.broker;
    (agreed < committed).then(|| {
        format!(
            "broker {broker} became leader without the committed records {agreed} to {}",
            committed.0 - 1
        )
    })
}
