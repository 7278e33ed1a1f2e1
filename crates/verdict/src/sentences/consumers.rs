//! Facts of groups, members, applications and transactions in words.

use acklab_vocab::api::OffsetToCommit;
use acklab_vocab::ids::TopicPartition;
use acklab_vocab::trace::{
    ApplicationReaction, CommitFailure, CommitTrigger, GroupState, PositionSource, RemovalReason,
    RunHeader, TraceEvent,
};
use acklab_vocab::transaction::{TransactionResult, TransactionState};

use super::at;
use crate::groups::application::exception;
use crate::names;

/// What a coordinator does.
pub(super) fn group(header: &RunHeader, event: &TraceEvent) -> Option<String> {
    let name = |group| names::group(header, group);
    Some(match event {
        TraceEvent::CoordinatorLoaded { partition, .. } => {
            format!("coordinates {} from now on", names::partition(header, *partition))
        }
        TraceEvent::CoordinatorUnloaded { partition } => {
            format!("no longer coordinates {}", names::partition(header, *partition))
        }
        TraceEvent::GroupStateChanged { group, state, generation } => {
            format!(
                "has {} in state {} (generation {generation})",
                name(*group),
                group_state(*state)
            )
        }
        TraceEvent::RebalanceStarted { group, reason, .. } => {
            let why = names::rebalance_reason(*reason).replace('_', " ");
            format!("begins a rebalance of {}: {why}", name(*group))
        }
        TraceEvent::MemberJoined { group, member_node, .. } => {
            format!("adds {} to {}", names::node(header, *member_node), name(*group))
        }
        TraceEvent::MemberRemoved { group, member_node, reason, .. } => {
            let why = removal(*reason);
            format!("removes {} from {}: {why}", names::node(header, *member_node), name(*group))
        }
        TraceEvent::GenerationStarted { group, generation, members, .. } => {
            let members = names::counted(members.len() as u64, "member");
            format!("begins generation {generation} of {} with {members}", name(*group))
        }
        TraceEvent::Assigned { group, generation, .. } => {
            format!("has stored the assignment of {} (generation {generation})", name(*group))
        }
        TraceEvent::CommitAnswered { from, error, offsets, .. } => {
            let (who, what) = (names::node(header, *from), committed(header, offsets));
            match error.is_none() {
                true => format!("accepts {who}'s commit of {what}"),
                false => format!("refuses {who}'s commit of {what}: {error}"),
            }
        }
        TraceEvent::OffsetsCommitted { group, from: Some(_), offsets } => {
            format!(
                "sets the committed offset of {} to {}",
                name(*group),
                committed(header, offsets)
            )
        }
        TraceEvent::OffsetsCommitted { group, from: None, offsets } => {
            let what = committed(header, offsets);
            format!("has read that {} had committed {what}", name(*group))
        }
        TraceEvent::OffsetsRemoved { group, partitions } => {
            let what = owned(header, partitions);
            format!("drops the committed offsets of {} on {what}", name(*group))
        }
        TraceEvent::TransactionStateChanged { transactional_id, state, .. } => {
            let id = transactional(header, usize::from(transactional_id.0));
            format!("has the transaction of {id} {}", transaction_state(*state))
        }
        _ => return None,
    })
}

/// What a consumer, its application or a transactional producer does.
pub(super) fn member(header: &RunHeader, event: &TraceEvent) -> Option<String> {
    let name = |partition| names::partition(header, partition);
    let number = |offset: acklab_vocab::ids::Offset| names::grouped(offset.0);
    Some(match event {
        TraceEvent::RecordsRead { partition, from, to, .. } => {
            format!("is given {} from {} to {}", name(*partition), number(*from), number(*to))
        }
        TraceEvent::PositionReset { partition, to, truncated, .. } => {
            let by = match truncated {
                true => "where the leader's log parts from what it had read",
                false => "by auto.offset.reset",
            };
            format!("goes to {}, {by}", at(header, *partition, *to))
        }
        TraceEvent::ReaderStopped { partition, error } => {
            format!("cannot go on with {}: {error}", name(*partition))
        }
        TraceEvent::PartitionsAssigned { owned: all, .. } => {
            format!("owns {}", owned(header, all))
        }
        TraceEvent::PartitionsRevoked { partitions, lost } => {
            let how = if *lost { "has lost" } else { "gives up" };
            format!("{how} {}", owned(header, partitions))
        }
        TraceEvent::LeftGroup { .. } => "leaves its group".to_owned(),
        TraceEvent::MembershipLost { error } => format!("learns that it is no member: {error}"),
        TraceEvent::PositionFromCommitted { partition, to, source, .. } => {
            let how = match source {
                PositionSource::Committed => "begins",
                PositionSource::SoughtToCommitted => "goes back",
            };
            format!("{how} at the committed offset {}", at(header, *partition, *to))
        }
        TraceEvent::CommitSent { trigger, offsets } => {
            format!("commits {} ({})", committed(header, offsets), commit_trigger(*trigger))
        }
        TraceEvent::CommitCompleted { offsets, failure, .. } => match failure {
            None => format!("has committed {}", committed(header, offsets)),
            Some(failure) => commit_failed(&committed(header, offsets), *failure),
        },
        TraceEvent::RecordsProcessed { partition, from, to, .. } => {
            format!("has processed {} from {} to {}", name(*partition), number(*from), number(*to))
        }
        TraceEvent::ApplicationFailed { reaction, .. } => match reaction {
            ApplicationReaction::Stopped => "stops after an error".to_owned(),
            ApplicationReaction::Resubscribed => "subscribes anew after an error".to_owned(),
            ApplicationReaction::Ignored => "ignores an error".to_owned(),
        },
        TraceEvent::HandedOverRecordsDropped { partition, from, to } => {
            let (from, to) = (number(*from), number(*to));
            format!("drops {} from {from} to {to} that no worker has done", name(*partition))
        }
        TraceEvent::TransactionBegun { .. } => "begins a transaction".to_owned(),
        TraceEvent::TransactionEnded { result, error, .. } => {
            let what = match result {
                TransactionResult::Commit => "commit",
                TransactionResult::Abort => "abort",
            };
            match error.is_none() {
                true => format!("is told of its transaction's {what}"),
                false => format!("is told that its transaction's {what} failed: {error}"),
            }
        }
        _ => return None,
    })
}

fn commit_failed(what: &str, failure: CommitFailure) -> String {
    format!("fails to commit {what}: {}", exception(failure))
}

/// `orders-0@120, orders-1@130`, the first few.
pub(super) fn committed(header: &RunHeader, offsets: &[OffsetToCommit]) -> String {
    let one = |of: &OffsetToCommit| at(header, of.partition, of.offset);
    listed(offsets.iter().map(one).collect())
}

/// `orders-0, orders-1`, the first few.
fn owned(header: &RunHeader, partitions: &[TopicPartition]) -> String {
    listed(partitions.iter().map(|&partition| names::partition(header, partition)).collect())
}

fn listed(mut all: Vec<String>) -> String {
    let more = all.len().saturating_sub(SHOWN);
    all.truncate(SHOWN);
    match (all.is_empty(), more) {
        (true, _) => "nothing".to_owned(),
        (false, 0) => all.join(", "),
        (false, more) => format!("{} and {more} more", all.join(", ")),
    }
}

/// So many partitions of one fact are named.
const SHOWN: usize = 3;

fn transactional(header: &RunHeader, index: usize) -> String {
    header.transactional_ids.get(index).cloned().unwrap_or_else(|| format!("id {index}"))
}

fn group_state(state: GroupState) -> &'static str {
    match state {
        GroupState::Empty => "empty",
        GroupState::PreparingRebalance => "waiting for members to join",
        GroupState::CompletingRebalance => "waiting for the assignment",
        GroupState::Stable => "stable",
        GroupState::Dead => "gone",
        GroupState::Assigning => "assigning",
        GroupState::Reconciling => "reconciling",
    }
}

fn removal(reason: RemovalReason) -> &'static str {
    match reason {
        RemovalReason::Left(_) => "it has left",
        RemovalReason::SessionExpired => "silent for its session",
        RemovalReason::RebalanceTimeout => "it has not joined in time",
        RemovalReason::SyncTimeout => "it has not asked for its assignment in time",
        RemovalReason::Replaced => "another process has its group.instance.id",
        RemovalReason::PendingExpired => "it has not come back with its id",
        RemovalReason::GroupFull => "the group is full",
    }
}

fn commit_trigger(trigger: CommitTrigger) -> &'static str {
    match trigger {
        CommitTrigger::AutoInterval => "auto-commit",
        CommitTrigger::AutoRevocation => "auto-commit before a rebalance",
        CommitTrigger::AutoClose => "auto-commit in close()",
        CommitTrigger::Sync => "commitSync()",
        CommitTrigger::Async => "commitAsync()",
        CommitTrigger::AsyncRetry => "commitAsync() once more",
        CommitTrigger::SyncRevocation => "commitSync() before giving up partitions",
        CommitTrigger::SyncClose => "commitSync() before close()",
        CommitTrigger::Transaction => "sendOffsetsToTransaction()",
    }
}

fn transaction_state(state: TransactionState) -> &'static str {
    match state {
        TransactionState::Empty => "empty",
        TransactionState::Ongoing => "ongoing",
        TransactionState::PrepareCommit => "decided: commit",
        TransactionState::PrepareAbort => "decided: abort",
        TransactionState::CompleteCommit => "committed",
        TransactionState::CompleteAbort => "aborted",
        TransactionState::PrepareEpochFence => "aborted to fence its producer",
        TransactionState::Dead => "gone",
    }
}
