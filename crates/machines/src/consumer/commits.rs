//! Commits: of the application, and of the client itself (`enable.auto.commit`).
//!
//! Mirrors `ConsumerCoordinator.commitOffsetsSync`, `commitOffsetsAsync`,
//! `maybeAutoCommitOffsetsAsync` and `sendOffsetCommitRequest`. Requests go out in order on the
//! coordinator's connection. An asynchronous commit is tried once; its callback runs later in the
//! application's thread, inside a call, in the order of the answers.
//!
//! Left out: commits with metadata, interceptors.

use super::classic::MemberState;
use super::commit_outcome::{self, Attempt, Lesson};
use super::consumer_protocol;
use super::coordinator::{GroupPurpose, Identity};
use super::{Call, Consumer, ConsumerCx, ConsumerReport, Membership};
use crate::client::Loss;
use acklab_vocab::api::{OffsetCommitRequest, OffsetToCommit, Request, Response};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{Offset, TopicPartition};
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::{CommitFailure, CommitTrigger, TraceEvent};
use std::collections::VecDeque;
use std::sync::Arc;

/// Offsets, ascending by partition.
pub(super) type Offsets = Arc<[OffsetToCommit]>;

/// The commits of a consumer.
#[derive(Debug)]
pub(super) struct Commits {
    next_id: u32,
    /// Sent or about to be, oldest first.
    in_flight: Vec<InFlight>,
    /// Asynchronous commits that wait for the coordinator to be found (`pendingAsyncCommits`).
    awaiting_coordinator: VecDeque<InFlight>,
    /// Asynchronous commits that are over and whose callback is to be called
    /// (`completedOffsetCommits`).
    completed: VecDeque<Completed>,
    /// The `commitSync()` that the application's thread is in, or `close()`.
    pub sync: Option<SyncCommit>,
    /// Another process has the `group.instance.id` (`asyncCommitFenced`).
    is_fenced: bool,
    /// When auto-commit is due.
    next_auto_commit: SimTime,
    /// What is known to be committed, ascending by partition.
    known: Vec<(TopicPartition, Offset)>,
}

/// A commit without an answer.
#[derive(Clone, Debug)]
struct InFlight {
    id: u32,
    trigger: CommitTrigger,
    offsets: Offsets,
}

/// An asynchronous commit that is over.
#[derive(Debug)]
struct Completed {
    trigger: CommitTrigger,
    offsets: Offsets,
    failure: Option<CommitFailure>,
}

/// A commit that the application's thread waits for.
#[derive(Debug)]
pub(super) struct SyncCommit {
    trigger: CommitTrigger,
    offsets: Offsets,
    /// When it gives up.
    deadline: SimTime,
    retries: u32,
    stage: SyncStage,
}

/// What it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SyncStage {
    /// The coordinator, or the end of a backoff, to send.
    Sending(SimTime),
    /// The answer to the commit of that number.
    Answer(u32),
    /// The answers to earlier asynchronous commits; it has nothing to commit itself.
    Earlier,
}

impl Commits {
    pub const fn new() -> Self {
        Commits {
            next_id: 0,
            in_flight: Vec::new(),
            awaiting_coordinator: VecDeque::new(),
            completed: VecDeque::new(),
            sync: None,
            is_fenced: false,
            next_auto_commit: SimTime::NEVER,
            known: Vec::new(),
        }
    }

    /// A number for a new commit.
    pub const fn allocate(&mut self) -> u32 {
        self.next_id += 1;
        self.next_id
    }

    /// Trigger and offsets of a commit without an answer.
    pub fn in_flight(&self, id: u32) -> Option<(CommitTrigger, Offsets)> {
        let found = self.in_flight.iter().find(|commit| commit.id == id)?;
        Some((found.trigger, Arc::clone(&found.offsets)))
    }

    /// No commit is under way, and no callback to be called.
    pub fn is_idle(&self) -> bool {
        self.in_flight.is_empty()
            && self.awaiting_coordinator.is_empty()
            && self.completed.is_empty()
            && self.sync.is_none()
    }

    /// A commit of the client's own is under way.
    fn is_auto_committing(&self) -> bool {
        let mut under_way = self.in_flight.iter().chain(&self.awaiting_coordinator);
        under_way.any(|commit| is_auto(commit.trigger))
    }

    /// Asynchronous commits wait for the coordinator to be found.
    pub fn wants_coordinator(&self) -> bool {
        !self.awaiting_coordinator.is_empty() || self.sync.is_some()
    }

    /// What is known to be committed of a partition.
    pub fn known(&self, partition: TopicPartition) -> Option<Offset> {
        let place = self.known.binary_search_by_key(&partition, |entry| entry.0).ok()?;
        Some(self.known[place].1)
    }

    /// The group's committed offset of a partition is known.
    pub fn learn(&mut self, partition: TopicPartition, offset: Offset) {
        match self.known.binary_search_by_key(&partition, |entry| entry.0) {
            Ok(place) => self.known[place].1 = offset,
            Err(place) => self.known.insert(place, (partition, offset)),
        }
    }

    /// When the thread that is in `commitSync()` has something to do again; what is past waits for
    /// something else.
    pub fn sync_deadlines(&self) -> [SimTime; 2] {
        let Some(sync) = &self.sync else { return [SimTime::NEVER; 2] };
        match sync.stage {
            SyncStage::Sending(at) => [sync.deadline, at],
            SyncStage::Answer(_) | SyncStage::Earlier => [sync.deadline, SimTime::NEVER],
        }
    }

    /// When auto-commit is due.
    pub const fn next_auto_commit(&self) -> SimTime {
        self.next_auto_commit
    }
}

/// A commit of the client's own, of which the application is told nothing.
const fn is_auto(trigger: CommitTrigger) -> bool {
    matches!(
        trigger,
        CommitTrigger::AutoInterval | CommitTrigger::AutoRevocation | CommitTrigger::AutoClose
    )
}

/// A commit that a thread waits for.
const fn is_sync(trigger: CommitTrigger) -> bool {
    matches!(
        trigger,
        CommitTrigger::Sync
            | CommitTrigger::SyncRevocation
            | CommitTrigger::SyncClose
            | CommitTrigger::AutoClose
    )
}

impl Consumer {
    // ---- auto-commit ----------------------------------------------------------------------------

    /// The interval begins anew.
    pub(super) fn restart_auto_commit(&mut self, now: SimTime) {
        if let Some(interval) = self.setup.config.auto_commit {
            self.commits.next_auto_commit = now + interval;
        }
    }

    /// `maybeAutoCommitOffsetsAsync`
    pub(super) fn auto_commit_if_due(&mut self, cx: &mut ConsumerCx<'_>) {
        if self.commits.next_auto_commit > cx.now() || self.setup.config.auto_commit.is_none() {
            return;
        }
        // `AutoCommitState.hasInflightCommit` of the KIP-848 client.
        if matches!(self.membership, Membership::Consumer(_)) && self.commits.is_auto_committing() {
            return;
        }
        self.restart_auto_commit(cx.now());
        let offsets = self.offsets_to_commit();
        let id = self.commits.allocate();
        self.commit_async(cx, id, offsets, CommitTrigger::AutoInterval);
    }

    /// What a commit takes that names no offsets: everything that the application has been given;
    /// or, where the library stores offsets, those that have moved.
    pub(super) fn offsets_to_commit(&self) -> Offsets {
        if !self.behaviour.stores_offsets {
            return self.fetching.all_consumed();
        }
        let is_news =
            |it: &&OffsetToCommit| self.commits.known(it.partition).is_none_or(|at| at < it.offset);
        self.fetching.all_stored().iter().filter(is_news).copied().collect()
    }

    /// The application calls the library: what it has been given before, it has processed.
    pub(super) fn store_processed(&mut self) {
        if self.behaviour.stores_offsets && !self.setup.config.auto_offset_store {
            self.fetching.store_offsets();
        }
    }

    // ---- asynchronous ---------------------------------------------------------------------------

    /// `commitOffsetsAsync`: one attempt, under the number `id`.
    pub(super) fn commit_async(
        &mut self,
        cx: &mut ConsumerCx<'_>,
        id: u32,
        offsets: Offsets,
        trigger: CommitTrigger,
    ) {
        let commit = InFlight { id, trigger, offsets };
        if commit.offsets.is_empty() {
            self.on_attempt(cx, commit, Attempt::Committed);
        } else if self.knows_coordinator(cx) {
            self.send_commit(cx, commit);
        } else {
            self.commits.awaiting_coordinator.push_back(commit);
            self.find_coordinator(cx);
        }
    }

    /// The coordinator has been found: sends what has waited for it.
    pub(super) fn commits_with_coordinator(&mut self, cx: &mut ConsumerCx<'_>) {
        while let Some(commit) = self.commits.awaiting_coordinator.pop_front() {
            if self.knows_coordinator(cx) {
                self.send_commit(cx, commit);
            } else {
                let error = ErrorCode::CoordinatorNotAvailable;
                self.on_attempt(cx, commit, Attempt::Retriable(error));
            }
        }
    }

    /// The coordinator has not been found: what has waited for it fails.
    pub(super) fn commits_without_coordinator(
        &mut self,
        cx: &mut ConsumerCx<'_>,
        error: ErrorCode,
    ) {
        while let Some(commit) = self.commits.awaiting_coordinator.pop_front() {
            self.on_attempt(cx, commit, Attempt::Retriable(error));
        }
    }

    /// Calls the callbacks of asynchronous commits that are over
    /// (`invokeCompletedOffsetCommitCallbacks`); false if the member is fenced.
    pub(super) fn invoke_callbacks(&mut self, cx: &mut ConsumerCx<'_>) -> bool {
        while let Some(completed) = self.commits.completed.pop_front() {
            self.conclude(cx, completed);
        }
        !self.commits.is_fenced
    }

    /// Tells the application, or for auto-commit the log.
    fn conclude(&mut self, cx: &mut ConsumerCx<'_>, completed: Completed) {
        let Completed { trigger, offsets, failure } = completed;
        let is_retriable = matches!(failure, Some(CommitFailure::Retriable(_)));
        if trigger == CommitTrigger::AutoInterval && is_retriable {
            self.commits.next_auto_commit = cx.now() + self.config().client.retry_backoff;
        }
        if !offsets.is_empty() {
            let offsets = Arc::clone(&offsets);
            cx.trace(|| TraceEvent::CommitCompleted { trigger, offsets, failure });
        }
        if !is_auto(trigger) {
            cx.report(ConsumerReport::CommitCallback { offsets, failure });
        }
    }

    // ---- synchronous ----------------------------------------------------------------------------

    /// The application's thread, or `close()`, begins to wait for a commit.
    pub(super) fn begin_sync_commit(
        &mut self,
        offsets: Offsets,
        trigger: CommitTrigger,
        deadline: SimTime,
    ) {
        let stage = match offsets.is_empty() {
            true => SyncStage::Earlier,
            false => SyncStage::Sending(SimTime(i64::MIN)),
        };
        self.commits.sync = Some(SyncCommit { trigger, offsets, deadline, retries: 0, stage });
    }

    /// `commitOffsetsSync`: goes on as far as possible.
    pub(super) fn run_sync_commit(&mut self, cx: &mut ConsumerCx<'_>) {
        let now = cx.now();
        let is_fenced = !self.invoke_callbacks(cx);
        let Some(sync) = &self.commits.sync else { return };
        if is_fenced {
            self.end_sync_commit(cx, Some(CommitFailure::FencedInstance));
            return;
        }
        if sync.stage == SyncStage::Earlier
            && self.commits.in_flight.is_empty()
            && self.commits.awaiting_coordinator.is_empty()
        {
            self.end_sync_commit(cx, None);
            return;
        }
        if sync.deadline <= now {
            self.end_sync_commit(cx, Some(CommitFailure::Timeout));
            return;
        }
        let may_send = matches!(sync.stage, SyncStage::Sending(at) if at <= now);
        if !may_send || !self.knows_coordinator(cx) {
            return;
        }
        let id = self.commits.allocate();
        let Some(sync) = &mut self.commits.sync else { return };
        sync.stage = SyncStage::Answer(id);
        let commit = InFlight { id, trigger: sync.trigger, offsets: Arc::clone(&sync.offsets) };
        self.send_commit(cx, commit);
    }

    fn end_sync_commit(&mut self, cx: &mut ConsumerCx<'_>, failure: Option<CommitFailure>) {
        let Some(SyncCommit { trigger, offsets, .. }) = self.commits.sync.take() else { return };
        if !offsets.is_empty() {
            cx.trace(|| TraceEvent::CommitCompleted { trigger, offsets, failure });
        }
        if !is_auto(trigger) {
            cx.report(ConsumerReport::Committed(failure));
        }
    }

    // ---- one attempt ----------------------------------------------------------------------------

    /// `sendOffsetCommitRequest`. The coordinator is known.
    fn send_commit(&mut self, cx: &mut ConsumerCx<'_>, commit: InFlight) {
        let (identity, instance) = match &self.membership {
            Membership::SelfAssigned => (Identity::default(), None),
            Membership::Consumer(member) => (member.commit_identity(), self.setup.instance),
            Membership::Classic(member) => match member.stable_identity() {
                Some(identity) => (identity, self.setup.instance),
                None => {
                    let tells = self.behaviour.tells_rebalance && member.state.is_rebalancing();
                    let failure = match tells {
                        true => CommitFailure::RebalanceInProgress,
                        false => CommitFailure::CommitFailed(None),
                    };
                    self.on_attempt(cx, commit, Attempt::Failed(failure));
                    return;
                }
            },
        };
        let rules = self.config().client.rules;
        let request = OffsetCommitRequest {
            group: self.setup.group,
            generation: identity.generation,
            member: identity.member,
            instance,
            offsets: Arc::clone(&commit.offsets),
            understands_member_epochs: rules.has(ProtocolRule::UnknownGroupIsNotFound)
                || matches!(self.membership, Membership::Consumer(_)),
        };
        let timeout = self.config().client.request_timeout;
        let purpose = GroupPurpose::OffsetCommit(commit.id, identity);
        self.commits.in_flight.push(commit);
        self.send_to_coordinator(cx, Request::OffsetCommit(request), purpose, timeout);
    }

    /// `OffsetCommitResponseHandler`
    pub(super) fn on_committed(
        &mut self,
        cx: &mut ConsumerCx<'_>,
        id: u32,
        sent: Identity,
        result: &Result<Box<Response>, Loss>,
    ) {
        let place = self.commits.in_flight.iter().position(|commit| commit.id == id);
        let Some(place) = place else { return };
        let commit = self.commits.in_flight.remove(place);
        let answer = match result.as_deref() {
            Ok(Response::OffsetCommit(answer)) => answer,
            Ok(other) => unreachable!("answered an OffsetCommit with {other:?}"),
            Err(loss) => {
                self.on_attempt(cx, commit, Attempt::Retriable(loss.error()));
                return;
            }
        };
        let member = self.as_commits_see_it(sent);
        let errors = answer.partitions.iter().map(|entry| entry.1);
        let (attempt, lesson) = match self.membership {
            Membership::Consumer(_) => consumer_protocol::outcome(errors),
            Membership::SelfAssigned | Membership::Classic(_) => {
                commit_outcome::outcome(errors, member)
            }
        };
        match lesson {
            Lesson::Nothing => {}
            Lesson::CoordinatorUnknown(_) => self.mark_coordinator_unknown(cx, false),
            Lesson::Rejoin => {
                if let Membership::Classic(member) = &mut self.membership {
                    member.request_rejoin();
                }
            }
            Lesson::MembershipLost { error, keeps_member_id } => {
                self.lose_membership(cx, error, keeps_member_id);
            }
        }
        self.on_attempt(cx, commit, attempt);
    }

    fn as_commits_see_it(&self, sent: Identity) -> commit_outcome::Member {
        let (is_unchanged, is_preparing) = match &self.membership {
            Membership::SelfAssigned | Membership::Consumer(_) => (true, false),
            Membership::Classic(member) => {
                (member.identity == sent, member.state == MemberState::PreparingRebalance)
            }
        };
        let tells_rebalance = self.behaviour.tells_rebalance;
        commit_outcome::Member { is_unchanged, is_preparing, tells_rebalance }
    }

    /// An attempt is over.
    fn on_attempt(&mut self, cx: &mut ConsumerCx<'_>, commit: InFlight, attempt: Attempt) {
        let InFlight { id, trigger, offsets } = commit;
        if attempt == Attempt::Committed {
            for committed in &offsets[..] {
                self.commits.learn(committed.partition, committed.offset);
            }
        }
        if let Some(sync) = &mut self.commits.sync
            && sync.stage == SyncStage::Answer(id)
        {
            match attempt {
                Attempt::Committed => self.end_sync_after_callbacks(cx, None),
                Attempt::Failed(failure) => self.end_sync_after_callbacks(cx, Some(failure)),
                Attempt::Retriable(_) => {
                    let wait = self.retry_backoff.backoff(sync.retries, cx.rng());
                    sync.retries = sync.retries.saturating_add(1);
                    sync.stage = SyncStage::Sending(cx.now() + wait);
                }
            }
            return;
        }
        if is_sync(trigger) {
            return; // Nobody waits for it any more.
        }
        self.on_preparation_committed(cx, id, matches!(attempt, Attempt::Retriable(_)));
        let failure = match attempt {
            Attempt::Committed => None,
            Attempt::Retriable(error) => Some(CommitFailure::Retriable(error)),
            Attempt::Failed(failure) => Some(failure),
        };
        self.on_reconciliation_committed(cx, id, failure);
        self.commits.is_fenced |= failure == Some(CommitFailure::FencedInstance);
        if offsets.is_empty() && is_auto(trigger) {
            return; // There was nothing to commit.
        }
        let completed = Completed { trigger, offsets, failure };
        if self.behaviour.has_own_thread && is_auto(trigger) {
            self.conclude(cx, completed);
        } else {
            self.commits.completed.push_back(completed);
        }
    }

    /// Callbacks of earlier asynchronous commits come before the end of a synchronous one.
    fn end_sync_after_callbacks(
        &mut self,
        cx: &mut ConsumerCx<'_>,
        failure: Option<CommitFailure>,
    ) {
        let is_fenced = !self.invoke_callbacks(cx);
        let fenced = is_fenced.then_some(CommitFailure::FencedInstance);
        self.end_sync_commit(cx, fenced.or(failure));
    }

    // ---- the application's calls ----------------------------------------------------------------

    /// `commitSync()`
    pub(super) fn on_call_commit_sync(
        &mut self,
        cx: &mut ConsumerCx<'_>,
        offsets: Option<Offsets>,
        trigger: CommitTrigger,
    ) {
        if self.call == Call::Closed {
            return;
        }
        let offsets = offsets.unwrap_or_else(|| self.offsets_to_commit());
        let deadline = cx.now() + self.config().default_api_timeout;
        self.begin_sync_commit(offsets, trigger, deadline);
    }

    /// `commitAsync()`
    pub(super) fn on_call_commit_async(
        &mut self,
        cx: &mut ConsumerCx<'_>,
        offsets: Option<Offsets>,
        trigger: CommitTrigger,
    ) {
        if self.call == Call::Closed {
            return;
        }
        self.invoke_callbacks(cx);
        let offsets = offsets.unwrap_or_else(|| self.offsets_to_commit());
        let id = self.commits.allocate();
        self.commit_async(cx, id, offsets, trigger);
    }
}
