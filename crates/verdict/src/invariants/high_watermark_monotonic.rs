//! A leader's high watermark never goes down within its epoch.
//!
//! Mirrors `UnifiedLog.maybeIncrementHighWatermark`. On followers, and from one leader to the next,
//! it may go down.

use acklab_vocab::ids::Offset;

use super::Invariant;
use crate::world::Replica;

/// See the module.
pub static INVARIANT: Invariant = Invariant {
    name: "high_watermark_monotonic",
    claim: "a leader's high watermark never goes down within its epoch",
    source: "UnifiedLog.maybeIncrementHighWatermark",
    suspended_by: &[],
};

/// A replica's high watermark is now `high_watermark`, before the fact is applied.
#[must_use]
pub fn check(replica: &Replica, high_watermark: Offset) -> Option<String> {
    let epoch = replica.leads_in()?;
    let (broker, known) = (replica.broker, replica.high_watermark);
    (high_watermark < known).then(|| {
        format!(
            "broker {broker}, leader of epoch {epoch}, lowered its high watermark from {known} to \
             {high_watermark}"
        )
    })
}
