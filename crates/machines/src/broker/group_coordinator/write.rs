//! What the coordinator writes into `__consumer_offsets`, and what goes on when it is written.
//!
//! Mirrors `GroupMetadataManager.storeGroup` and `storeOffsets` with their callbacks, and, under
//! the rule `EventLoopGroupCoordinator`, `CoordinatorRuntime`: writes linger to be written
//! together, are answered when the high watermark passes them, and whatever is asked meanwhile is
//! answered after them, since its answer may rest on them. Simplified: of what lingers together,
//! each write is a batch of its own in the log.

use super::classic_group::Assignment;
use super::commit::CommitWrite;
use super::consumer_group::ConsumerGroupWrite;
use super::deadlines::Deadline;
use super::load::LoadedChange;
use super::static_member::Replacement;
use super::sync::store_error;
use crate::broker::coordination::{Acknowledgement, AppendWaiter, CoordinatorAppend, plain_batch};
use crate::broker::log::CoordinatorBatch;
use crate::broker::{Broker, BrokerCx, Requester};
use acklab_vocab::api::{Acks, Response};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::group::GroupMetadataRecord;
use acklab_vocab::ids::{Generation, GroupId, Offset, TopicPartition};
use acklab_vocab::record::Payload;
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::time::{SimDuration, SimTime};
use std::sync::Arc;

/// A classic group is to be written: what an operation on it returns.
#[derive(Debug)]
pub(super) struct GroupStore {
    pub record: GroupMetadataRecord,
    pub then: AfterStore,
}

/// What goes on when a group has been written.
#[derive(Debug)]
pub(in crate::broker) enum AfterStore {
    /// Nothing: a group without members.
    Nothing,
    /// The members get their assignment.
    Assign {
        /// The generation that it is for.
        generation: Generation,
        /// For everybody, ascending.
        assignment: Assignment,
    },
    /// A static member is told that it has replaced another process.
    Replace(Box<Replacement>),
}

/// What goes on when a write of the group coordinator is done.
#[derive(Debug)]
pub(in crate::broker) enum GroupWrite {
    /// A classic group was written.
    Group(GroupId, AfterStore),
    /// A KIP-848 group was written.
    Consumer(Box<ConsumerGroupWrite>),
    /// Offsets were committed, in a transaction or not.
    Commit(Box<CommitWrite>),
    /// Offsets had expired: these no longer count, as write number so and so says.
    Expired(GroupId, Arc<[TopicPartition]>, u64),
    /// What a new coordinator had found above the high watermark is committed.
    Loaded(LoadedChange),
    /// Everything before an answer has been written.
    Answer(Requester, Box<Response>),
    /// Everything before, or with, a request that waits for other members has been written.
    Parked(GroupId, Requester),
    /// Nothing goes on.
    Nothing,
}

/// What lingers in a partition until it is written.
#[derive(Debug, Default)]
pub(super) struct LingeringBatch {
    entries: Vec<Lingering>,
}

#[derive(Debug)]
struct Lingering {
    /// `None` for what only waits.
    batch: Option<CoordinatorBatch>,
    write: GroupWrite,
    deadline: SimTime,
}

/// The same answer with an error, as a client is told that a write before it has failed.
fn with_error(response: Response, error: ErrorCode) -> Response {
    match response {
        Response::Heartbeat(mut response) => {
            response.error = error;
            Response::Heartbeat(response)
        }
        Response::LeaveGroup(mut response) => {
            response.error = error;
            Response::LeaveGroup(response)
        }
        Response::ConsumerGroupHeartbeat(mut response) => {
            response.error = error;
            response.assignment = None;
            Response::ConsumerGroupHeartbeat(response)
        }
        Response::OffsetFetch(mut response) => {
            // Older consumers know no other retriable error here.
            response.error = match error {
                ErrorCode::CoordinatorNotAvailable => ErrorCode::NotCoordinator,
                error => error,
            };
            response.partitions.clear();
            Response::OffsetFetch(response)
        }
        other => other,
    }
}

impl Broker {
    /// Writes a classic group, if an operation on it asks for that.
    pub(super) fn store_group(
        &mut self,
        cx: &mut BrokerCx<'_>,
        group: GroupId,
        store: Option<GroupStore>,
    ) {
        let Some(GroupStore { record, then }) = store else { return };
        let Some(known) = self.group_coordinator.groups.get(&group) else { return };
        let partition = known.partition;
        let batch = plain_batch(Payload::Group(Arc::new(record)));
        self.write_for_group(cx, partition, batch, GroupWrite::Group(group, then));
    }

    /// Appends to a partition of `__consumer_offsets`; `write` goes on when that is done.
    pub(in crate::broker) fn write_for_group(
        &mut self,
        cx: &mut BrokerCx<'_>,
        partition: TopicPartition,
        batch: CoordinatorBatch,
        write: GroupWrite,
    ) {
        let config = &self.shared.config.groups;
        let deadline = cx.now() + config.commit_timeout;
        if !self.shared.has(ProtocolRule::EventLoopGroupCoordinator) {
            let acknowledgement = match config.commit_acks {
                Acks::None | Acks::Leader => Acknowledgement::AtOnce,
                Acks::All => Acknowledgement::Replicated,
            };
            let append = CoordinatorAppend { partition, batch, acknowledgement, deadline };
            self.append_as_coordinator(cx, append, AppendWaiter::Group(write));
            return;
        }
        let linger = config.append_linger.unwrap_or_default();
        if batch.stamp.is_some() || linger == SimDuration::ZERO {
            self.flush_group_batch(cx, partition);
            self.append_in_event_loop(cx, partition, batch, write, deadline);
            return;
        }
        let lingering = self.group_coordinator.batches.entry(partition).or_default();
        if lingering.entries.is_empty() {
            let at = cx.now() + linger;
            self.group_coordinator.deadlines.set(cx, Deadline::Linger(partition), at);
        }
        lingering.entries.push(Lingering { batch: Some(batch), write, deadline });
    }

    fn append_in_event_loop(
        &mut self,
        cx: &mut BrokerCx<'_>,
        partition: TopicPartition,
        batch: CoordinatorBatch,
        write: GroupWrite,
        deadline: SimTime,
    ) {
        let acknowledgement = Acknowledgement::HighWatermark;
        let append = CoordinatorAppend { partition, batch, acknowledgement, deadline };
        self.append_as_coordinator(cx, append, AppendWaiter::Group(write));
    }

    /// Writes what lingers in a partition (`flushCurrentBatch`). To be called before a
    /// transaction's marker is appended to it.
    pub(in crate::broker) fn flush_group_batch(
        &mut self,
        cx: &mut BrokerCx<'_>,
        partition: TopicPartition,
    ) {
        self.group_coordinator.deadlines.cancel(Deadline::Linger(partition));
        let Some(lingering) = self.group_coordinator.batches.remove(&partition) else { return };
        for Lingering { batch, write, deadline } in lingering.entries {
            match batch {
                Some(batch) => self.append_in_event_loop(cx, partition, batch, write, deadline),
                None => self.await_writes(cx, partition, write, deadline),
            }
        }
    }

    /// What lingers in a partition that the broker no longer leads.
    pub(super) fn fail_group_batch(&mut self, cx: &mut BrokerCx<'_>, partition: TopicPartition) {
        self.group_coordinator.deadlines.cancel(Deadline::Linger(partition));
        let Some(lingering) = self.group_coordinator.batches.remove(&partition) else { return };
        for entry in lingering.entries {
            self.on_group_write_done(cx, entry.write, Err(ErrorCode::NotLeaderOrFollower));
        }
    }

    /// Answers when everything written so far is committed: at once without the rule
    /// `EventLoopGroupCoordinator`, or if nothing is pending.
    pub(super) fn answer_after_writes(
        &mut self,
        cx: &mut BrokerCx<'_>,
        partition: TopicPartition,
        requester: Requester,
        response: Response,
    ) {
        if !self.shared.has(ProtocolRule::EventLoopGroupCoordinator) {
            requester.answer(cx, response);
            return;
        }
        self.after_writes(cx, partition, GroupWrite::Answer(requester, Box::new(response)));
    }

    /// Goes on with `write` when everything written so far is committed, or that has failed.
    pub(super) fn after_writes(
        &mut self,
        cx: &mut BrokerCx<'_>,
        partition: TopicPartition,
        write: GroupWrite,
    ) {
        let deadline = cx.now() + self.shared.config.groups.commit_timeout;
        match self.group_coordinator.batches.get_mut(&partition) {
            Some(lingering) => {
                lingering.entries.push(Lingering { batch: None, write, deadline });
            }
            None => self.await_writes(cx, partition, write, deadline),
        }
    }

    /// Goes on with `write` when everything that is in the log is committed.
    fn await_writes(
        &mut self,
        cx: &mut BrokerCx<'_>,
        partition: TopicPartition,
        write: GroupWrite,
        deadline: SimTime,
    ) {
        match self.uncommitted_end(partition) {
            Some(end) => {
                let waiter = AppendWaiter::Group(write);
                self.await_high_watermark(cx, (partition, end), Some(deadline), waiter);
            }
            None => self.on_group_write_done(cx, write, Ok(Offset(0))),
        }
    }

    /// A write is done, or has failed.
    pub(in crate::broker) fn on_group_write_done(
        &mut self,
        cx: &mut BrokerCx<'_>,
        write: GroupWrite,
        result: Result<Offset, ErrorCode>,
    ) {
        match write {
            GroupWrite::Group(group, then) => {
                let operation = self.classic(cx, group);
                let result = result.map(|_| ());
                let store = operation.and_then(|mut group| match then {
                    AfterStore::Nothing => None,
                    AfterStore::Assign { generation, assignment } => {
                        group.on_assignment_stored(generation, &assignment, result)
                    }
                    AfterStore::Replace(replacement) => {
                        group.on_replacement_stored(&replacement, result);
                        None
                    }
                });
                self.store_group(cx, group, store);
            }
            GroupWrite::Consumer(write) => {
                self.on_consumer_group_written(cx, *write, result.map(|_| ()));
            }
            GroupWrite::Commit(write) => self.on_commit_written(cx, *write, result.map(|_| ())),
            GroupWrite::Expired(group, partitions, write) if result.is_ok() => {
                self.remove_visible_offsets(cx, group, partitions, write);
            }
            GroupWrite::Loaded(change) if result.is_ok() => {
                self.on_loaded_change_committed(cx, change);
            }
            GroupWrite::Answer(requester, response) => {
                let rules = self.shared.config.rules;
                let response = match result {
                    Ok(_) => *response,
                    Err(error) => with_error(*response, store_error(rules, error)),
                };
                requester.answer(cx, response);
            }
            GroupWrite::Parked(group, requester) => {
                if let Err(error) = result {
                    self.fail_parked(cx, group, requester, error);
                }
            }
            GroupWrite::Expired(..) | GroupWrite::Loaded(_) | GroupWrite::Nothing => {}
        }
    }

    /// A write of the event-loop coordinator has waited too long for the high watermark. Whoever
    /// waits is told; what has been written still counts once the high watermark passes it, and
    /// what is to be done then is returned.
    pub(in crate::broker) fn on_group_write_timed_out(
        &mut self,
        cx: &mut BrokerCx<'_>,
        write: GroupWrite,
    ) -> Option<GroupWrite> {
        match write {
            GroupWrite::Commit(write) => {
                Some(GroupWrite::Commit(Box::new(self.on_commit_timed_out(cx, *write))))
            }
            GroupWrite::Consumer(write) => {
                let left = self.on_consumer_group_write_timed_out(cx, *write);
                Some(GroupWrite::Consumer(Box::new(left)))
            }
            GroupWrite::Expired(..) | GroupWrite::Loaded(_) => Some(write),
            GroupWrite::Group(..)
            | GroupWrite::Answer(..)
            | GroupWrite::Parked(..)
            | GroupWrite::Nothing => {
                self.on_group_write_done(cx, write, Err(ErrorCode::RequestTimedOut));
                None
            }
        }
    }
}
