//! A log takes each stamped batch of an idempotent producer once, and refuses it only if it has it.
//!
//! Mirrors `ProducerStateManager` and `ProducerAppendInfo` (KIP-98). A stamp is producer id, epoch
//! and sequence.

use acklab_vocab::ids::Offset;
use acklab_vocab::record::{Record, RecordBatch};

use super::{Invariant, Suspension};
use crate::world::{Append, AppendId, Replica};

/// See the module.
pub static INVARIANT: Invariant = Invariant {
    name: "idempotence",
    claim: "a stamped batch is stored once, and recognised as a duplicate only where the log \
            holds it",
    source: "KIP-98, ProducerStateManager",
    suspended_by: &[],
};

/// The same where the producer is a client before 2.5, which may close a gap in its sequences that
/// was none: a batch then has the sequence of one that was appended.
pub static OF_CLOSED_GAPS: Invariant =
    Invariant { suspended_by: &[Suspension::OldClient("KIP-360")], ..INVARIANT };

/// A leader appended `batch`, whose first record had been appended before, as `earlier`.
#[must_use]
pub fn check_append(
    leader: &Replica,
    batch: &RecordBatch,
    earlier: AppendId,
    appends: &[Append],
) -> Option<String> {
    let stamp = batch.stamp?;
    let before = &appends.get(earlier.index())?.batch;
    let base = before.base_offset;
    let is_stored = leader.batch_at(base, appends) == Some(earlier);
    (is_stored && before.stamp == Some(stamp)).then(|| {
        let (id, sequence, offset) = (stamp.id, stamp.base_sequence, batch.base_offset);
        format!(
            "sequence {sequence} of producer id {id} was stored at {base} and again at {offset}"
        )
    })
}

/// A leader recognised `records` as a duplicate of what it has at `base_offset`.
#[must_use]
pub fn check_refusal(
    leader: &Replica,
    base_offset: Offset,
    records: &[Record],
    appends: &[Append],
) -> Option<String> {
    let stored = leader.batch_at(base_offset, appends);
    let first =
        stored.map(|id| appends[id.index()].batch.records().first().map(|record| record.id));
    let broker = leader.broker;
    (first.flatten() != records.first().map(|record| record.id)).then(|| {
        format!(
            "broker {broker} took a batch for a duplicate of the one at {base_offset}, which is \
             another"
        )
    })
}
