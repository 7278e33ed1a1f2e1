//! Every fact in words, for whoever shows single facts: where two histories part, what happened at
//! an instant.
//!
//! A sentence has no subject: who states the fact is [`names::speaker`]. The life of one record
//! ([`explain`](crate::explain)) and the timeline have words of their own, since they know what
//! came before; here a fact is told for itself.

mod consumers;
pub(crate) mod zookeeper;

use acklab_vocab::api::Acks;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{Offset, RecordId, TopicPartition};
use acklab_vocab::record::{Payload, Record, RecordBatch};
use acklab_vocab::trace::{
    PartitionChangeReason, RetryReason, RunHeader, SendOutcome, Stamped, TraceEvent,
    TruncationReason,
};

use crate::names;

/// What happened, without who did it: `appends 5 records from shop#20 at orders-0@100 (epoch 0)`.
#[must_use]
pub fn sentence(header: &RunHeader, stamped: &Stamped) -> String {
    world(stamped)
        .or_else(|| process(&stamped.event))
        .or_else(|| zookeeper::zookeeper(header, stamped))
        .or_else(|| zookeeper::controller(header, &stamped.event))
        .or_else(|| controller(header, &stamped.event))
        .or_else(|| replica(header, &stamped.event))
        .or_else(|| role(header, &stamped.event))
        .or_else(|| producer(header, &stamped.event))
        .or_else(|| consumers::group(header, &stamped.event))
        .or_else(|| consumers::member(header, &stamped.event))
        .unwrap_or_else(|| format!("{:?}", stamped.event))
}

/// The same with its subject: `broker 1 is killed`.
#[must_use]
pub fn told(header: &RunHeader, stamped: &Stamped) -> String {
    match stamped.event {
        TraceEvent::ClusterSettled
        | TraceEvent::FaultBegan { .. }
        | TraceEvent::FaultEnded { .. }
        | TraceEvent::WorkloadEnded
        | TraceEvent::RunEnded => sentence(header, stamped),
        _ => format!("{} {}", names::speaker(header, stamped), sentence(header, stamped)),
    }
}

fn world(stamped: &Stamped) -> Option<String> {
    Some(match &stamped.event {
        TraceEvent::ClusterSettled => "time zero: the cluster has settled".to_owned(),
        TraceEvent::WorkloadEnded => "the workload ends".to_owned(),
        TraceEvent::RunEnded => "the run ends".to_owned(),
        TraceEvent::FaultBegan { description, .. } => format!("fault: {description}"),
        TraceEvent::FaultEnded { fault } => format!("fault number {fault} is over"),
        _ => return None,
    })
}

/// What befalls a process.
pub(crate) fn process(event: &TraceEvent) -> Option<String> {
    Some(match event {
        TraceEvent::ProcessStarted { incarnation } if incarnation.0 > 0 => {
            "starts again".to_owned()
        }
        TraceEvent::ProcessStarted { .. } => "starts".to_owned(),
        TraceEvent::ProcessKilled => "is killed".to_owned(),
        TraceEvent::PowerLost => "loses power".to_owned(),
        TraceEvent::ProcessExited { clean: true } => "shuts down".to_owned(),
        TraceEvent::ProcessExited { clean: false } => "exits with an error".to_owned(),
        TraceEvent::ProcessPaused => "is paused".to_owned(),
        TraceEvent::ProcessResumed { paused_for } => {
            format!("runs again after a pause of {paused_for}")
        }
        _ => return None,
    })
}

fn controller(header: &RunHeader, event: &TraceEvent) -> Option<String> {
    Some(match event {
        TraceEvent::ControllerElected { epoch, .. } => {
            format!("is elected active controller (epoch {epoch})")
        }
        TraceEvent::ControllerResigned { epoch } => format!("resigns (epoch {epoch})"),
        TraceEvent::BrokerRegistered { broker, .. } => format!("registers broker {broker}"),
        TraceEvent::BrokerFenced { broker } => format!("fences broker {broker}"),
        TraceEvent::BrokerUnfenced { broker } => format!("unfences broker {broker}"),
        TraceEvent::PartitionChanged { state, reason } => {
            let name = names::partition(header, state.partition);
            let leader = match state.leader {
                Some(leader) => format!("leader {leader}"),
                None => "no leader".to_owned(),
            };
            let (epoch, isr) = (state.leader_epoch, names::brokers(&state.isr));
            let why = change_reason(*reason);
            format!("sets {name} to {leader}, epoch {epoch}, ISR {isr} ({why})")
        }
        TraceEvent::BrokerStateChanged { fenced: true } => "learns that it is fenced".to_owned(),
        TraceEvent::BrokerStateChanged { fenced: false } => "learns that it may serve".to_owned(),
        _ => return None,
    })
}

/// What is done to a log.
fn replica(header: &RunHeader, event: &TraceEvent) -> Option<String> {
    let name = |partition| names::partition(header, partition);
    let number = |offset: Offset| names::grouped(offset.0);
    Some(match event {
        TraceEvent::Appended { partition, batch } => {
            let (what, at) = (content(header, batch), at(header, *partition, batch.base_offset));
            format!("appends {what} at {at} (epoch {})", batch.leader_epoch)
        }
        TraceEvent::Replicated { partition, batch } => {
            let (what, at) = (content(header, batch), at(header, *partition, batch.base_offset));
            format!("copies {what} at {at} (epoch {})", batch.leader_epoch)
        }
        TraceEvent::UnflushedTailLost { partition, from, log_end_offset } => {
            let (from, end) = (number(*from), number(*log_end_offset));
            format!("has lost the unflushed tail of {} from {from} to {end}", name(*partition))
        }
        TraceEvent::LogTruncated { partition, to, log_end_offset, reason } => {
            let by = match reason {
                TruncationReason::LeaderEpoch => "where its log and the leader's part",
                TruncationReason::HighWatermark => "its own high watermark",
                TruncationReason::LeaderLogEnd => "its leader's log end",
                TruncationReason::LeaderLogStart => "its leader's log start",
            };
            let (from, to) = (number(*log_end_offset), number(*to));
            format!("truncates {} from {from} to {to}, {by}", name(*partition))
        }
        TraceEvent::HighWatermarkAdvanced { partition, high_watermark, leader, .. } => {
            let whose = if *leader { "leader" } else { "follower" };
            let to = number(*high_watermark);
            format!("as {whose} moves the high watermark of {} to {to}", name(*partition))
        }
        TraceEvent::HighWatermarkLowered { partition, high_watermark } => {
            let to = number(*high_watermark);
            format!("lowers its high watermark of {} to {to}", name(*partition))
        }
        TraceEvent::FollowerFetched { partition, follower, log_end_offset, .. } => {
            let end = number(*log_end_offset);
            format!("learns that broker {follower} has {} up to {end}", name(*partition))
        }
        TraceEvent::LogRecovered { partition, log_end_offset, .. } => {
            format!("opens its log of {} up to {}", name(*partition), number(*log_end_offset))
        }
        _ => return None,
    })
}

/// Who leads and follows.
fn role(header: &RunHeader, event: &TraceEvent) -> Option<String> {
    let name = |partition| names::partition(header, partition);
    Some(match event {
        TraceEvent::BecameLeader { partition, leader_epoch, .. } => {
            format!("leads {} from now on (epoch {leader_epoch})", name(*partition))
        }
        TraceEvent::BecameFollower { partition, leader_epoch, leader: Some(leader) } => {
            let name = name(*partition);
            format!("follows broker {leader} on {name} from now on (epoch {leader_epoch})")
        }
        TraceEvent::BecameFollower { partition, leader_epoch, leader: None } => {
            format!("learns that {} has no leader (epoch {leader_epoch})", name(*partition))
        }
        TraceEvent::IsrProposed { partition, isr, proposed, .. } => {
            let (now, then) = (names::brokers(isr), names::brokers(proposed));
            format!("asks for the ISR {then} of {}, now {now}", name(*partition))
        }
        TraceEvent::IsrCommitted { partition, isr, .. } => {
            format!("knows the ISR {} of {}", names::brokers(isr), name(*partition))
        }
        TraceEvent::IsrProposalRefused { partition, error } => {
            format!("is refused another ISR of {}: {error}", name(*partition))
        }
        _ => return None,
    })
}

fn producer(header: &RunHeader, event: &TraceEvent) -> Option<String> {
    let name = |partition| names::partition(header, partition);
    let all = |list: &[Record]| records(header, list);
    Some(match event {
        TraceEvent::AppendRefused { partition, error, records } => {
            format!("refuses {} for {}: {error}", all(records), name(*partition))
        }
        TraceEvent::Deduplicated { partition, base_offset, records } => {
            let at = at(header, *partition, *base_offset);
            format!("recognises {}, already in its log at {at}", all(records))
        }
        TraceEvent::ProduceAnswered { partition, acks, error, records, .. } => {
            let answer = match (acks, error) {
                (Acks::None, ErrorCode::None) => "nothing (acks=0)".to_owned(),
                (_, ErrorCode::None) => format!("success (acks={})", acks.name()),
                (_, error) => error.to_string(),
            };
            format!("answers {answer} for {} in {}", all(records), name(*partition))
        }
        TraceEvent::RecordsCreated { producer, first, count, .. } => {
            let first = RecordId { producer: *producer, sequence: *first };
            format!("is handed {}", counted(u64::from(*count), &names::record(header, first)))
        }
        TraceEvent::RecordsResent { records } => format!("sends {} once more", all(records)),
        TraceEvent::BatchSent { partition, broker, retry, records } => {
            let again = match retry {
                0 => String::new(),
                1 => " again".to_owned(),
                times => format!(" for the {}th time", times + 1),
            };
            format!("sends {} to broker {broker}{again}, for {}", all(records), name(*partition))
        }
        TraceEvent::BatchRetried { partition, reason, records } => {
            let why = match reason {
                RetryReason::Error(error) => error.to_string(),
                RetryReason::Disconnected => "the connection is lost".to_owned(),
                RetryReason::RequestTimeout => "the request timed out".to_owned(),
            };
            format!("will send {} for {} again: {why}", all(records), name(*partition))
        }
        TraceEvent::RecordsCompleted { outcome, records, .. } => match outcome {
            SendOutcome::Acked(_) => format!("reports {} as acked", all(records)),
            SendOutcome::Failed(error) => format!("reports {} as failed: {error}", all(records)),
        },
        TraceEvent::ProducerIdAssigned { producer_id, producer_epoch } => {
            format!("has producer id {producer_id}, epoch {producer_epoch}")
        }
        _ => return None,
    })
}

/// `orders-0@1234`, as `--record` takes it.
fn at(header: &RunHeader, partition: TopicPartition, offset: Offset) -> String {
    format!("{}@{offset}", names::partition(header, partition))
}

/// Why a controller changes a partition, in a few words.
pub(crate) fn change_reason(reason: PartitionChangeReason) -> &'static str {
    match reason {
        PartitionChangeReason::Created => "created",
        PartitionChangeReason::BrokerFenced => "a broker was fenced",
        PartitionChangeReason::BrokerRegistered => "a broker registered anew",
        PartitionChangeReason::BrokerUnfenced => "a broker may serve again",
        PartitionChangeReason::ControlledShutdown => "a broker shuts down",
        PartitionChangeReason::AlterPartition => "its leader asked for it",
        PartitionChangeReason::PreferredElection => "preferred election",
        PartitionChangeReason::UncleanElection => "unclean election",
    }
}

/// `shop#20`, `5 records from shop#20`
fn records(header: &RunHeader, records: &[Record]) -> String {
    match records {
        [] => "no record".to_owned(),
        [first, ..] => counted(records.len() as u64, &names::record(header, first.id)),
    }
}

fn counted(count: u64, first: &str) -> String {
    match count {
        1 => first.to_owned(),
        _ => format!("{} from {first}", names::counted(count, "record")),
    }
}

fn content(header: &RunHeader, batch: &RecordBatch) -> String {
    match &batch.payload {
        Payload::Records(list) => records(header, list),
        Payload::Offsets(_) => "committed offsets".to_owned(),
        Payload::Group(_) | Payload::ConsumerGroup(_) => "the state of a group".to_owned(),
        Payload::Transaction(_) => "the state of a transaction".to_owned(),
        Payload::Marker(_) => "the end of a transaction".to_owned(),
    }
}

#[cfg(test)]
mod tests;
