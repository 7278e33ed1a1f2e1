//! Facts that faults wait for.

use acklab_scenario::model::Trigger;
use acklab_vocab::ids::RecordId;
use acklab_vocab::record::Record;
use acklab_vocab::trace::{SendOutcome, TraceEvent};

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

/// Whether a fact is the one that a fault waits for.
pub(crate) fn fulfils(armed: &mut Armed, event: &TraceEvent) -> bool {
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
            Trigger::Appended(_)
            | Trigger::Replicated(..)
            | Trigger::Answered(_)
            | Trigger::Acked(_)
            | Trigger::HighWatermarkReached(..)
            | Trigger::LeaderChanged(_)
            | Trigger::IsrShrunkTo(..)
            | Trigger::IsrGrownTo(..)
            | Trigger::Fenced(_)
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
