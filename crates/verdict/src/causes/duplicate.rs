//! Why the log at rest holds a record twice (kafka-semantics.md, 3.5).

use acklab_vocab::ids::{Offset, RecordId};
use acklab_vocab::record::Record;

use super::unlearned::{Journey, Unlearned, unlearned};
use crate::cause::{Cause, Evidence};
use crate::world::{Append, AppendId, World};

/// The two first copies of a record, in the order of the log.
#[derive(Clone, Copy, Debug)]
pub struct Copies {
    /// The first.
    pub first: AppendId,
    /// The second.
    pub second: AppendId,
    /// Which record.
    pub record: RecordId,
}

/// Why there is a second copy.
#[must_use]
pub fn duplicate_cause(world: &World, journey: &Journey<'_>, copies: Copies) -> (Cause, Evidence) {
    let (first, second) =
        (&world.appends[copies.first.index()], &world.appends[copies.second.index()]);
    let mut evidence = Evidence {
        appended: Some((second.at, world.broker_on(second.node))),
        other_offset: offset_in(first, copies.record),
        ..Evidence::default()
    };
    let attempt = |append: &Append| attempt_in(append, copies.record);
    if attempt(first) != attempt(second) {
        return (Cause::ResentByApplication, evidence);
    }
    let stamp = |append: &Append| append.batch.stamp.map(|stamp| (stamp.id, stamp.epoch));
    if stamp(first) != stamp(second) {
        return (Cause::RenumberedAndRetried, evidence);
    }
    let (of_first, given_up) = unlearned(world, journey, copies.first);
    let (of_second, given_up_second) = unlearned(world, journey, copies.second);
    let is_late = of_second == Unlearned::ExecutedLate;
    evidence.given_up = if is_late { given_up_second } else { given_up };
    (cause_of(of_first, of_second), evidence)
}

/// The decision.
fn cause_of(first: Unlearned, second: Unlearned) -> Cause {
    match (first, second) {
        (Unlearned::ExecutedLate, _) | (_, Unlearned::ExecutedLate) => Cause::OldRequestExecuted,
        (Unlearned::AnswerLost, _) => Cause::AckLostRetried,
        (Unlearned::TimedOut, _) => Cause::TimedOutAfterAppendRetried,
        (Unlearned::LeaderMoved, _) => Cause::LeaderMovedAfterReplicationRetried,
        (Unlearned::NotEnoughReplicas, _) => Cause::NotEnoughReplicasAfterAppendRetried,
        (Unlearned::Unclear, _) => Cause::Unexplained,
    }
}

/// The offset of a record in a batch.
#[must_use]
pub fn offset_in(append: &Append, id: RecordId) -> Option<Offset> {
    let index = append.batch.records().iter().position(|record| record.id == id)?;
    Some(append.batch.base_offset.plus(index as u64))
}

/// Which attempt of the application a batch holds.
#[must_use]
pub fn attempt_in(append: &Append, id: RecordId) -> Option<u16> {
    let is_it = |record: &&Record| record.id == id;
    append.batch.records().iter().find(is_it).map(|record| record.attempt)
}
