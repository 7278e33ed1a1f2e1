//! Why an acked record has no copy: the election that made its loss final, and how the winner came
//! to lack it.
//!
//! A record lives on as long as the leaders have it. The judge looks for the last leader whose log
//! held the copy; the next one, the *successor*, took over without it, and everybody truncated to
//! the successor's log.

use acklab_vocab::api::Acks;
use acklab_vocab::config::SequenceRepair;
use acklab_vocab::ids::BrokerId;
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::{PartitionChangeReason, TruncationReason};

use crate::cause::{Cause, Evidence};
use crate::history::{Note, NoteKind};
use crate::world::{Append, AppendId, Partition, RemovalKind, Tenure, World};

/// What decides the cause of a loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Loss {
    acks: Acks,
    committed: bool,
    successor: Successor,
    /// How the successor came to lack the record, if it had had it.
    dropped: Option<RemovalKind>,
    /// The success was reported after the successor had been elected.
    acked_after_election: bool,
    /// Another replica, whose host's power had held, still had the record when the successor took
    /// over.
    others_had_it: bool,
}

/// How the successor was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Successor {
    Unclean,
    Planned,
    Clean,
    /// Nobody took over, and the copy is gone all the same.
    None,
}

/// Why a record that was never appended, though acked, is not there.
#[must_use]
pub fn never_appended<'a>(
    acks: Acks,
    repair: Option<SequenceRepair>,
    notes: impl Iterator<Item = &'a Note> + Clone,
) -> Cause {
    let refused = notes.clone().any(|note| matches!(note.kind, NoteKind::Refused(_)));
    match (acks, refused) {
        (Acks::None, true) => Cause::Acks0Refused,
        (Acks::None, false) => Cause::Acks0NeverArrived,
        (Acks::Leader | Acks::All, _) => taken_for_another(repair, notes),
    }
}

/// Why a success was reported that no broker had answered. `repair` is that of an idempotent
/// producer.
fn taken_for_another<'a>(
    repair: Option<SequenceRepair>,
    mut notes: impl Iterator<Item = &'a Note>,
) -> Cause {
    let deduplicated = notes.any(|note| note.kind == NoteKind::Deduplicated);
    match repair {
        Some(_) if deduplicated => Cause::TakenForDuplicate,
        Some(SequenceRepair::RenumberAll) => Cause::TakenForStored,
        Some(SequenceRepair::CloseGap | SequenceRepair::RenumberPartition) | None => {
            Cause::Unexplained
        }
    }
}

/// Why the copy `id` is in no log at rest.
#[must_use]
pub fn loss_cause(
    world: &World,
    partition: &Partition,
    id: AppendId,
    acks: Acks,
    acked_at: SimTime,
) -> (Cause, Evidence) {
    let append = &world.appends[id.index()];
    let successor = successor_of(partition, append);
    let removals =
        partition.removals.iter().filter(|removal| removal.batches.binary_search(&id).is_ok());
    let mut evidence = Evidence {
        appended: Some((append.at, world.broker_on(append.node))),
        removed: removals.clone().next_back().map(|removal| (removal.at, removal.broker)),
        ..Evidence::default()
    };
    let Some(tenure) = successor else {
        let loss = Loss {
            acks,
            committed: partition.was_committed(append),
            successor: Successor::None,
            dropped: removals.clone().next_back().map(|removal| removal.kind),
            acked_after_election: false,
            others_had_it: false,
        };
        return (cause_of(loss), evidence);
    };
    evidence.elected = Some((tenure.elected_at, tenure.leader, tenure.epoch));
    let took_over = tenure.lineage.as_ref().map_or(SimTime::NEVER, |lineage| lineage.at);
    let mut earlier = removals.filter(|removal| removal.at <= took_over);
    let dropped = earlier.rfind(|removal| removal.broker == tenure.leader);
    let loss = Loss {
        acks,
        committed: partition.was_committed(append),
        successor: kind_of(tenure),
        dropped: dropped.map(|removal| removal.kind),
        acked_after_election: append.answered.min(acked_at) > tenure.elected_at,
        others_had_it: others_had_it(world, partition, id, tenure.leader, took_over),
    };
    (cause_of(loss), evidence)
}

/// The first leader after the last one whose log held the batch.
fn successor_of<'a>(partition: &'a Partition, append: &Append) -> Option<&'a Tenure> {
    let (epoch, offset) = (append.batch.leader_epoch, append.batch.base_offset);
    let tenures = partition.tenures.iter().filter(|tenure| tenure.epoch >= epoch);
    let took_over = tenures.filter(|tenure| tenure.epoch == epoch || tenure.lineage.is_some());
    let mut successor = None;
    for tenure in took_over {
        if tenure.held(epoch, offset) {
            successor = None;
        } else if successor.is_none() {
            successor = Some(tenure);
        }
    }
    successor
}

fn kind_of(tenure: &Tenure) -> Successor {
    match tenure.reason {
        PartitionChangeReason::UncleanElection => Successor::Unclean,
        PartitionChangeReason::PreferredElection | PartitionChangeReason::ControlledShutdown => {
            Successor::Planned
        }
        PartitionChangeReason::Created
        | PartitionChangeReason::BrokerFenced
        | PartitionChangeReason::BrokerRegistered
        | PartitionChangeReason::BrokerUnfenced
        | PartitionChangeReason::AlterPartition => Successor::Clean,
    }
}

/// Whether a replica other than the successor's had the batch when the successor took over, on a
/// host whose power had held: it has it still, or dropped it later. Where every host lost power, no
/// election could have been trusted.
fn others_had_it(
    world: &World,
    partition: &Partition,
    id: AppendId,
    successor: BrokerId,
    took_over: SimTime,
) -> bool {
    let written = world.appends[id.index()].at;
    let is_intact = |node| !world.lost_power_between(node, written, took_over);
    let dropped_later = partition.removals.iter().any(|removal| {
        removal.at >= took_over
            && removal.broker != successor
            && is_intact(removal.node)
            && removal.batches.binary_search(&id).is_ok()
    });
    let others = partition.replicas.iter().filter(|replica| replica.broker != successor);
    let mut intact = others.filter(|replica| is_intact(replica.node));
    dropped_later || intact.any(|replica| replica.log.binary_search(&id).is_ok())
}

/// The decision.
fn cause_of(loss: Loss) -> Cause {
    match (loss.successor, loss.dropped) {
        (Successor::Unclean, _) => Cause::UncleanElection,
        (_, Some(RemovalKind::PowerLoss)) => {
            if loss.committed && loss.others_had_it {
                Cause::LastReplicaStanding
            } else {
                Cause::UnflushedPowerLoss
            }
        }
        (Successor::None, _) => Cause::Unexplained,
        (_, Some(RemovalKind::Truncated(TruncationReason::HighWatermark))) => {
            Cause::HighWatermarkTruncation
        }
        (_, Some(RemovalKind::Truncated(_))) => Cause::TruncatedByStaleLeader,
        (Successor::Planned, None) if loss.acks != Acks::None => Cause::PlannedElection,
        (Successor::Planned | Successor::Clean, None) => match loss.acks {
            Acks::None => Cause::Acks0NotReplicated,
            Acks::Leader | Acks::All if loss.acked_after_election => Cause::AckedByZombieLeader,
            Acks::Leader | Acks::All => Cause::AckedBeforeReplication,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_successor_tells_the_cause() {
        let power = Some(RemovalKind::PowerLoss);
        let cut = |reason| Some(RemovalKind::Truncated(reason));
        let high_watermark = cut(TruncationReason::HighWatermark);
        let epoch = cut(TruncationReason::LeaderEpoch);
        let cases = [
            (Acks::Leader, Successor::Clean, None, false, Cause::AckedBeforeReplication),
            (Acks::Leader, Successor::Clean, None, true, Cause::AckedByZombieLeader),
            (Acks::Leader, Successor::Planned, None, false, Cause::PlannedElection),
            (Acks::None, Successor::Clean, None, true, Cause::Acks0NotReplicated),
            (Acks::All, Successor::Unclean, None, false, Cause::UncleanElection),
            (Acks::All, Successor::Clean, power, false, Cause::UnflushedPowerLoss),
            (Acks::All, Successor::Clean, high_watermark, false, Cause::HighWatermarkTruncation),
            (Acks::All, Successor::Clean, epoch, false, Cause::TruncatedByStaleLeader),
            (Acks::All, Successor::None, None, false, Cause::Unexplained),
        ];
        for (acks, successor, dropped, acked_after_election, expected) in cases {
            let (committed, others_had_it) = (false, false);
            let loss =
                Loss { acks, committed, successor, dropped, acked_after_election, others_had_it };
            assert_eq!(cause_of(loss), expected, "{loss:?}");
        }
    }
}
