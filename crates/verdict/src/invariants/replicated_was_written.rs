//! A follower holds only what a leader wrote: the same batch, at the same offset, with the same
//! epoch.
//!
//! Mirrors `AbstractFetcherThread.processPartitionData` and `UnifiedLog.appendAsFollower`.

use acklab_vocab::ids::BrokerId;
use acklab_vocab::record::RecordBatch;

use super::Invariant;

/// See the module.
pub static INVARIANT: Invariant = Invariant {
    name: "replicated_was_written",
    claim: "every batch in a follower's log was written by the leader of its epoch at its offset",
    source: "UnifiedLog.appendAsFollower",
    suspended_by: &[],
};

/// What to say of a copy that no leader wrote.
#[must_use]
pub fn breach(follower: BrokerId, batch: &RecordBatch) -> String {
    let (base, epoch) = (batch.base_offset, batch.leader_epoch);
    format!("broker {follower} has a batch of epoch {epoch} at {base} that no leader wrote there")
}
