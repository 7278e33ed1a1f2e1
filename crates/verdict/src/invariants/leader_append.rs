//! A leader appends only at the end of its log, and with its own epoch.
//!
//! Mirrors `UnifiedLog.appendAsLeader`.

use acklab_vocab::record::RecordBatch;

use super::Invariant;
use crate::world::Replica;

/// See the module.
pub static INVARIANT: Invariant = Invariant {
    name: "leader_append",
    claim: "a producer's batch is appended by a leader, at its log end, with its epoch",
    source: "UnifiedLog.appendAsLeader",
    suspended_by: &[],
};

/// `replica` appended `batch`; before the fact is applied.
#[must_use]
pub fn check(replica: &Replica, batch: &RecordBatch) -> Option<String> {
    let (broker, offset, epoch) = (replica.broker, batch.base_offset, batch.leader_epoch);
    let end = replica.log_end_offset;
    if offset != end {
        return Some(format!("broker {broker} appended at {offset}, its log ended at {end}"));
    }
    match replica.leads_in() {
        Some(leads) if leads == epoch => None,
        Some(leads) => {
            Some(format!("broker {broker} appended with epoch {epoch}, it leads epoch {leads}"))
        }
        None => Some(format!("broker {broker} appended with epoch {epoch} without being leader")),
    }
}
