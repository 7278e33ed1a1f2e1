//! `poll()`, as the application's thread goes through it.
//!
//! Mirrors `KafkaConsumer.poll`, `updateAssignmentMetadataIfNeeded`, `pollForFetches`,
//! `ConsumerCoordinator.poll` and `fetchCommittedOffsets`. The thread is never blocked here: a call
//! that waits is gone through again, from its beginning, by every turn until it returns, as Kafka's
//! loop does.

use super::classic::Joining;
use super::consumer_protocol::Settling;
use super::coordinator::GroupPurpose;
use super::fetching::PollLimit;
use super::fetching::subscription::FetchState;
use super::{Call, Consumer, ConsumerCx, ConsumerReport, Membership};
use crate::client::Loss;
use acklab_vocab::api::{OffsetFetchRequest, OffsetFetchResponse, Request, Response};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::TopicPartition;
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::{PositionSource, TraceEvent};
use std::sync::Arc;

/// How far the thread has come before it looks for records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// Everything is in place.
    Ready,
    /// It joins meanwhile, and looks for records of what it keeps.
    Joining,
    /// It waits. When the timeout is over, `poll()` returns what there is, or, before KAFKA-8421,
    /// nothing.
    Blocked,
    /// It waits whatever the timeout.
    BlockedForLong,
    /// The application's listener is being called.
    InCallback,
    /// It throws.
    Failed(ErrorCode),
}

/// The question for committed offsets that is under way (`PendingCommittedOffsetRequest`).
#[derive(Debug)]
pub(super) struct CommittedOffsets {
    next_id: u32,
    /// Number of the question, and what it asks for.
    asked: Option<(u32, Vec<TopicPartition>)>,
    /// Not again before this instant.
    retry_at: SimTime,
    retries: u32,
    /// The application sought back, so that positions are found anew.
    pub source: PositionSource,
    /// The next `poll()` throws.
    failure: Option<ErrorCode>,
}

impl CommittedOffsets {
    pub const fn new() -> Self {
        CommittedOffsets {
            next_id: 0,
            asked: None,
            retry_at: SimTime(i64::MIN),
            retries: 0,
            source: PositionSource::Committed,
            failure: None,
        }
    }

    /// When it is asked again.
    pub const fn retry_at(&self) -> SimTime {
        self.retry_at
    }
}

impl Consumer {
    /// `poll(timeout)`
    pub(super) fn on_call_poll(&mut self, cx: &mut ConsumerCx<'_>, timeout: SimDuration) {
        if self.call == Call::Closed {
            return;
        }
        let deadline = cx.now() + timeout;
        self.call = Call::Poll { deadline };
        self.note_poll(cx.now());
    }

    /// `pollHeartbeat`: the application is alive.
    fn note_poll(&mut self, now: SimTime) {
        self.last_poll = now;
        if let Membership::Classic(member) = &mut self.membership {
            member.heartbeat.polled(&self.setup.config, now);
        }
        if let Membership::Consumer(member) = &mut self.membership {
            member.polled(&self.setup.config, now);
        }
    }

    /// Goes through `poll()` until it returns or something is missing.
    pub(super) fn run_poll(&mut self, cx: &mut ConsumerCx<'_>, deadline: SimTime) {
        if cx.now() >= self.last_poll + self.setup.config.heartbeat_interval {
            self.note_poll(cx.now());
        }
        let is_over = deadline <= cx.now();
        match self.prepare_poll(cx) {
            Progress::Ready | Progress::Joining => {}
            Progress::Blocked if is_over && self.behaviour.returns_while_joining => {}
            Progress::Blocked if is_over => {
                self.end_poll(cx, ConsumerReport::Polled(Vec::new()));
                return;
            }
            Progress::Blocked | Progress::BlockedForLong | Progress::InCallback => return,
            Progress::Failed(error) => {
                self.end_poll(cx, ConsumerReport::Failed(error));
                return;
            }
        }
        let mut records = Vec::new();
        let give = &mut |polled| records.push(polled);
        let collected = self.fetching.collect(cx, &mut self.client, PollLimit::Records, give);
        self.fetching.send_fetches(cx, &mut self.client);
        if self.setup.config.auto_offset_store {
            self.fetching.store_offsets();
        }
        if collected.advanced || !records.is_empty() {
            self.end_poll(cx, ConsumerReport::Polled(records));
            return;
        }
        // A position that the reset policy cannot set fails every poll until it is set otherwise.
        let stopped = self.fetching.stopped().next().map(|(_, error)| error);
        if let Some(error) = self.fetching.take_failure().or(stopped) {
            self.end_poll(cx, ConsumerReport::Failed(error));
        } else if is_over {
            self.end_poll(cx, ConsumerReport::Polled(records));
        } else if collected.found {
            // What was found may need another position first.
            self.fetching.ask_about_positions(cx, &mut self.client);
        }
    }

    fn end_poll(&mut self, cx: &mut ConsumerCx<'_>, report: ConsumerReport) {
        self.call = Call::None;
        cx.report(report);
    }

    /// `updateAssignmentMetadataIfNeeded`
    fn prepare_poll(&mut self, cx: &mut ConsumerCx<'_>) -> Progress {
        if !self.invoke_callbacks(cx) {
            return Progress::Failed(ErrorCode::FencedInstanceId);
        }
        let blocked = match self.behaviour.joins_across_polls {
            // Kafka's background thread looks for positions; `poll()` returns what others have
            // meanwhile.
            true if matches!(self.membership, Membership::Consumer(_)) => Progress::Joining,
            true => Progress::Blocked,
            false => Progress::BlockedForLong,
        };
        if let Membership::Classic(member) = &self.membership {
            if member.is_fenced() {
                return Progress::Failed(ErrorCode::FencedInstanceId);
            }
            if !self.knows_coordinator(cx) {
                return blocked;
            }
            if self.needs_to_join() {
                match self.join_if_needed(cx) {
                    Joining::Done => {}
                    Joining::Waiting if self.behaviour.returns_while_joining => {
                        return Progress::Joining;
                    }
                    Joining::Waiting => return blocked,
                    Joining::InCallback => return Progress::InCallback,
                    Joining::Failed(error) => return Progress::Failed(error),
                }
            }
        } else if matches!(self.membership, Membership::Consumer(_)) {
            match self.settle_membership(cx) {
                Settling::Done => {}
                Settling::InCallback => return Progress::InCallback,
                Settling::Failed(error) => return Progress::Failed(error),
            }
        } else if !self.assign_itself(cx) {
            return Progress::Blocked;
        }
        self.auto_commit_if_due(cx);
        if let Some(error) = self.committed_offsets.failure.take() {
            return Progress::Failed(error);
        }
        if !self.fetch_committed_offsets(cx) {
            return blocked;
        }
        self.fetching.ask_about_positions(cx, &mut self.client);
        Progress::Ready
    }

    /// `assign()` of every partition of the topics, as soon as the metadata names them
    /// (`partitionsFor()`). Whether that is done.
    fn assign_itself(&mut self, cx: &mut ConsumerCx<'_>) -> bool {
        if self.has_assigned_itself {
            return true;
        }
        let mut partitions = Vec::new();
        for &topic in &self.setup.topics {
            let Some(known) = self.client.metadata().partitions(topic) else { return false };
            let count = known.len() as u16;
            partitions.extend(super::assignor::partitions_of(topic, count));
        }
        self.has_assigned_itself = true;
        self.fetching.assign(&partitions, FetchState::Initializing);
        self.restart_auto_commit(cx.now());
        let owned: Arc<[TopicPartition]> = partitions.into();
        let (generation, member, added) = (None, None, Arc::clone(&owned));
        cx.trace(|| TraceEvent::PartitionsAssigned { generation, member, owned, added });
        true
    }

    // ---- committed offsets ----------------------------------------------------------------------

    /// `initWithCommittedOffsetsIfNeeded`: whether every partition has something to begin from.
    fn fetch_committed_offsets(&mut self, cx: &mut ConsumerCx<'_>) -> bool {
        let wanted = self.fetching.initializing();
        if wanted.is_empty() {
            return true;
        }
        let pending = &mut self.committed_offsets;
        if pending.asked.as_ref().is_some_and(|(_, asked)| *asked == wanted) {
            return false;
        }
        pending.asked = None;
        if pending.retry_at > cx.now() || !self.knows_coordinator(cx) {
            return false;
        }
        let pending = &mut self.committed_offsets;
        pending.next_id += 1;
        let id = pending.next_id;
        pending.asked = Some((id, wanted.clone()));
        let rules = self.config().client.rules;
        let request = OffsetFetchRequest {
            group: self.setup.group,
            member: match &self.membership {
                Membership::Consumer(member) => member.membership(),
                Membership::SelfAssigned | Membership::Classic(_) => None,
            },
            partitions: wanted,
            require_stable: rules.has(ProtocolRule::FenceTransactionalOffsets),
        };
        let timeout = self.config().client.request_timeout;
        let purpose = GroupPurpose::OffsetFetch(id);
        self.send_to_coordinator(cx, Request::OffsetFetch(request), purpose, timeout);
        false
    }

    /// `OffsetFetchResponseHandler`
    pub(super) fn on_offsets_fetched(
        &mut self,
        cx: &mut ConsumerCx<'_>,
        id: u32,
        result: Result<Box<Response>, Loss>,
    ) {
        if self.committed_offsets.asked.as_ref().is_none_or(|asked| asked.0 != id) {
            return;
        }
        self.committed_offsets.asked = None;
        let answer = match result.as_deref() {
            Ok(Response::OffsetFetch(answer)) => answer,
            Ok(other) => unreachable!("answered an OffsetFetch with {other:?}"),
            Err(_) => {
                self.fetch_committed_offsets_later(cx);
                return;
            }
        };
        match error_of(answer) {
            ErrorCode::None => {}
            ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable => {
                self.mark_coordinator_unknown(cx, false);
                self.fetch_committed_offsets_later(cx);
                return;
            }
            // A heartbeat will tell the member where it stands.
            ErrorCode::StaleMemberEpoch | ErrorCode::UnknownMemberId
                if matches!(self.membership, Membership::Consumer(_)) =>
            {
                self.fetch_committed_offsets_later(cx);
                return;
            }
            error if error.is_retriable() => {
                self.fetch_committed_offsets_later(cx);
                return;
            }
            error => {
                self.committed_offsets.failure = Some(error);
                return;
            }
        }
        self.committed_offsets.retries = 0;
        let source = self.committed_offsets.source;
        self.committed_offsets.source = PositionSource::Committed;
        for &(partition, _, committed) in &answer.partitions {
            if let Some(committed) = committed {
                self.commits.learn(partition, committed.offset);
            }
            self.fetching.initialize(cx, &mut self.client, partition, committed, source);
        }
    }

    fn fetch_committed_offsets_later(&mut self, cx: &mut ConsumerCx<'_>) {
        let pending = &mut self.committed_offsets;
        let wait = self.retry_backoff.backoff(pending.retries, cx.rng());
        pending.retries = pending.retries.saturating_add(1);
        pending.retry_at = cx.now() + wait;
    }

    /// `seek()` of everything that it owns to the committed offset.
    pub(super) fn on_call_seek_to_committed(&mut self) {
        self.committed_offsets.asked = None;
        self.committed_offsets.source = PositionSource::SoughtToCommitted;
        self.fetching.seek_all_to_committed();
    }
}

/// The first error of an answer.
fn error_of(answer: &OffsetFetchResponse) -> ErrorCode {
    let errors = answer.partitions.iter().map(|entry| entry.1);
    let mut errors = std::iter::once(answer.error).chain(errors);
    errors.find(|error| !error.is_none()).unwrap_or_default()
}
