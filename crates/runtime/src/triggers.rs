//! Facts that faults wait for.

use acklab_scenario::model::{Target, Trigger};
use acklab_vocab::ids::{GroupIndex, NodeId, Offset, RecordId};
use acklab_vocab::record::{Record, RecordBatch};
use acklab_vocab::trace::{GroupState, RunHeader, SendOutcome, TraceEvent};

/// A fault that waits for a fact.
#[derive(Debug)]
pub(crate) struct Armed {
    pub(crate) spec: usize,
    pub(crate) trigger: Trigger,
    /// How often the fact has been seen, where it must be seen more than once; for ISR growth, whether it was smaller.
    pub(crate) seen: u16,
}

fn contains(records: &[Record], id: RecordId) -> bool {
    records.iter().any(|record| record.id == id)
}

/// Whether the records of a batch from one offset to another hold one.
fn processed(batch: &RecordBatch, from: Offset, to: Offset, id: RecordId) -> bool {
    let (from, to) = (from.distance_from(batch.base_offset), to.distance_from(batch.base_offset));
    batch.records().get(from as usize..to as usize).is_some_and(|records| contains(records, id))
}

/// Whether a process is the broker, or an instance of the application, whose session is meant.
fn is_meant(target: &Target, client: NodeId, header: &RunHeader) -> bool {
    let Some(process) = header.nodes.get(usize::from(client.0)) else { return false };
    match *target {
        Target::Broker(broker) => process.broker == Some(broker),
        Target::Member(group, instance) => process
            .member
            .is_some_and(|(own, number)| own == group && instance.is_none_or(|it| it == number)),
        _ => false,
    }
}

/// Whether a fact is the one that a fault waits for. `by` is the application whose process stated it, if it is one's.
pub(crate) fn fulfils(
    armed: &mut Armed,
    event: &TraceEvent,
    by: Option<GroupIndex>,
    header: &RunHeader,
) -> bool {
    match (&armed.trigger, event) {
        (Trigger::Appended(id), TraceEvent::Appended { batch, .. }) => {
            contains(batch.records(), *id)
        }
        (Trigger::Replicated(id, nth), TraceEvent::Replicated { batch, .. }) => {
            armed.seen += u16::from(contains(batch.records(), *id));
            armed.seen >= *nth
        }
        (Trigger::Answered(id), TraceEvent::ProduceAnswered { error, records, .. }) => {
            error.is_none() && contains(records, *id)
        }
        (Trigger::Acked(id), TraceEvent::RecordsCompleted { outcome, records, .. }) => {
            matches!(outcome, SendOutcome::Acked(_)) && contains(records, *id)
        }
        (
            Trigger::HighWatermarkReached(wanted, offset),
            TraceEvent::HighWatermarkAdvanced { partition, high_watermark, leader, .. },
        ) => *leader && partition == wanted && high_watermark.0 > *offset,
        (
            Trigger::LeaderChanged(wanted),
            TraceEvent::BecameLeader { partition, leader_epoch, .. },
        ) => partition == wanted && leader_epoch.0 > 0,
        (Trigger::IsrShrunkTo(wanted, size), TraceEvent::IsrCommitted { partition, isr, .. }) => {
            partition == wanted && isr.len() <= usize::from(*size)
        }
        (Trigger::IsrGrownTo(wanted, size), TraceEvent::IsrCommitted { partition, isr, .. }) => {
            let here = partition == wanted;
            let grown = here && armed.seen > 0 && isr.len() >= usize::from(*size);
            armed.seen |= u16::from(here && isr.len() < usize::from(*size));
            grown
        }
        (Trigger::Fenced(wanted), TraceEvent::BrokerFenced { broker }) => broker == wanted,
        (
            Trigger::Fenced(wanted),
            TraceEvent::ZooKeeperSessionEnded { client, expired: true, .. },
        ) => is_meant(&Target::Broker(*wanted), *client, header),
        (
            Trigger::SessionExpired(wanted, nth),
            TraceEvent::ZooKeeperSessionEnded { client, expired: true, .. },
        ) => {
            let here = is_meant(wanted, *client, header);
            armed.seen += u16::from(here);
            here && armed.seen >= *nth
        }
        (Trigger::ControllerElected(nth), TraceEvent::ControllerElected { .. })
        | (Trigger::ZooKeeperLeaderElected(nth), TraceEvent::ZooKeeperLeaderElected { .. }) => {
            armed.seen += 1;
            armed.seen >= *nth
        }
        (
            Trigger::Claimed(wanted, on, nth),
            TraceEvent::PartitionClaimed { group, partition, .. },
        ) => {
            let here = group == wanted && partition == on;
            armed.seen += u16::from(here);
            here && armed.seen >= *nth
        }
        (Trigger::Processed(group, id), TraceEvent::RecordsProcessed { from, to, batch, .. }) => {
            by == Some(*group) && processed(batch, *from, *to, *id)
        }
        (Trigger::RebalanceStarted(wanted, nth), TraceEvent::RebalanceStarted { group, .. }) => {
            armed.seen += u16::from(group == wanted);
            group == wanted && armed.seen >= *nth
        }
        (Trigger::GroupStable(wanted, nth), TraceEvent::GroupStateChanged { group, state, .. }) => {
            let here = group == wanted && *state == GroupState::Stable;
            armed.seen += u16::from(here);
            here && armed.seen >= *nth
        }
        (
            Trigger::Committed(wanted, partition, record),
            TraceEvent::CommitAnswered { group, error, offsets, .. },
        ) => {
            let past = |commit: &acklab_vocab::api::OffsetToCommit| {
                commit.partition == *partition && commit.offset.0 > *record
            };
            group == wanted && error.is_none() && offsets.iter().any(past)
        }
        (
            Trigger::TransactionBegun(wanted, nth),
            TraceEvent::TransactionBegun { transactional_id },
        ) => {
            armed.seen += u16::from(transactional_id == wanted);
            transactional_id == wanted && armed.seen >= *nth
        }
        (
            Trigger::Appended(_)
            | Trigger::Replicated(..)
            | Trigger::Answered(_)
            | Trigger::Acked(_)
            | Trigger::HighWatermarkReached(..)
            | Trigger::LeaderChanged(_)
            | Trigger::IsrShrunkTo(..)
            | Trigger::IsrGrownTo(..)
            | Trigger::Fenced(_)
            | Trigger::ControllerElected(_)
            | Trigger::ZooKeeperLeaderElected(_)
            | Trigger::SessionExpired(..)
            | Trigger::Claimed(..)
            | Trigger::Processed(..)
            | Trigger::RebalanceStarted(..)
            | Trigger::GroupStable(..)
            | Trigger::Committed(..)
            | Trigger::TransactionBegun(..)
            | Trigger::Fault(..),
            _,
        ) => false,
    }
}
