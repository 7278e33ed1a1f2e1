//! A transactional producer's state: the part of `TransactionManager` that only a producer with a
//! `transactional.id` has (KIP-98, KIP-360, KIP-447, KIP-588, KIP-890).
//!
//! The application's thread begins calls here ([`Transactions::begin_call`]); the sender's thread
//! takes requests from the queue one at a time, by priority, and hands back the answers
//! (`transaction_requests`). A call that has timed out goes on in the background: its outcome is
//! kept for the same call made again, and any other call is refused until then.
//!
//! `transaction.version` is that of the brokers' and the client's rules from the start; a cluster
//! that is upgraded while a producer runs is left out, as are two-phase commit (KIP-939) and
//! authorization.

use super::transaction_manager::IdAndEpoch;
use super::transaction_requests::{RequestKind, TransactionRequest};
use super::transaction_state::State;
use crate::consumer::GroupMembership;
use crate::producer::{
    ProducerTransactionView, TransactionCall, TransactionCallKind, TransactionFailure,
};
use acklab_vocab::api::{CoordinatorKey, OffsetToCommit, TransactionSupport};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{BrokerId, TopicPartition, TransactionalId};
use acklab_vocab::rules::{ProtocolRule, ProtocolRules};
use acklab_vocab::time::SimDuration;
use acklab_vocab::transaction::TransactionResult;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Who waits for the outcome of a request (`TransactionalRequestResult`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiter {
    /// Nobody.
    Nobody,
    /// The call that changes the state: init, commit, abort.
    Transition,
    /// The so-manieth `sendOffsetsToTransaction()`.
    Offsets(u32),
}

/// A call that changes the state and that the application has not seen return
/// (`PendingStateTransition`).
#[derive(Clone, Copy, Debug)]
struct PendingTransition {
    call: TransactionCallKind,
    outcome: Option<Result<(), ErrorCode>>,
}

/// How far a call came by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallProgress {
    /// It has returned.
    Returned(Option<TransactionFailure>),
    /// The application's thread waits.
    Waits(Waiter),
}

/// What the sender's thread is to do next.
#[derive(Clone, Debug)]
pub(super) enum NextRequest {
    /// Nothing about transactions.
    Nothing,
    /// A request was settled without being sent: look again.
    Settled,
    /// To send this.
    Send(TransactionRequest),
}

/// The state of a transactional producer.
#[derive(Clone, Debug)]
pub(super) struct Transactions {
    pub id: TransactionalId,
    /// `transaction.timeout.ms`
    pub timeout: SimDuration,
    rules: ProtocolRules,
    state: State,
    /// The sequences of this epoch are lost: the next transaction needs another.
    epoch_bump_required: bool,
    /// The coordinator may know of this transaction.
    pub started: bool,
    /// Written to, and not yet asked to be added.
    new_partitions: BTreeSet<TopicPartition>,
    /// Asked to be added.
    pub pending_partitions: BTreeSet<TopicPartition>,
    /// In the transaction: batches may be sent there.
    pub partitions: BTreeSet<TopicPartition>,
    /// Not yet acknowledged by the group's coordinator.
    pub pending_offsets: BTreeMap<TopicPartition, OffsetToCommit>,
    /// By priority, then in the order in which they were asked for.
    requests: VecDeque<TransactionRequest>,
    pub in_flight: Option<TransactionRequest>,
    pub coordinator: Option<BrokerId>,
    pub group_coordinator: Option<BrokerId>,
    pending_transition: Option<PendingTransition>,
    offsets_calls: u32,
    offsets_outcome: Option<Result<(), ErrorCode>>,
}

impl Transactions {
    pub const fn new(id: TransactionalId, timeout: SimDuration, rules: ProtocolRules) -> Self {
        Transactions {
            id,
            timeout,
            rules,
            state: State::Uninitialized,
            epoch_bump_required: false,
            started: false,
            new_partitions: BTreeSet::new(),
            pending_partitions: BTreeSet::new(),
            partitions: BTreeSet::new(),
            pending_offsets: BTreeMap::new(),
            requests: VecDeque::new(),
            in_flight: None,
            coordinator: None,
            group_coordinator: None,
            pending_transition: None,
            offsets_calls: 0,
            offsets_outcome: None,
        }
    }

    /// Its state, for people.
    pub fn view(&self) -> ProducerTransactionView {
        ProducerTransactionView {
            transactional_id: self.id,
            state: self.state,
            coordinator: self.coordinator,
            partitions: self.partitions.iter().copied().collect(),
            unconfirmed: self.new_partitions.union(&self.pending_partitions).copied().collect(),
            offsets: self.pending_offsets.keys().copied().collect(),
        }
    }

    pub const fn rules(&self) -> ProtocolRules {
        self.rules
    }

    pub const fn is_version_2(&self) -> bool {
        self.rules.has(ProtocolRule::TransactionsVersion2)
    }

    /// The version of its requests, as far as KIP-890 goes.
    pub const fn support(&self) -> TransactionSupport {
        if self.is_version_2() {
            TransactionSupport::AddPartition
        } else if self.rules.has(ProtocolRule::TransactionAbortableError) {
            TransactionSupport::GenericError
        } else {
            TransactionSupport::DefaultError
        }
    }

    /// What the producer fails with (`lastError`).
    pub const fn last_error(&self) -> Option<ErrorCode> {
        match self.state {
            State::AbortableError(error) | State::FatalError(error) => Some(error),
            State::Uninitialized
            | State::Initializing
            | State::Ready
            | State::InTransaction
            | State::Committing
            | State::Aborting => None,
        }
    }

    pub const fn has_fatal_error(&self) -> bool {
        matches!(self.state, State::FatalError(_))
    }

    pub const fn is_completing(&self) -> bool {
        matches!(self.state, State::Committing | State::Aborting)
    }

    /// What was not sent yet will never be.
    pub const fn drops_unsent_batches(&self) -> bool {
        matches!(self.state, State::AbortableError(_) | State::Aborting)
    }

    /// Begun, and neither complete nor fatally failed.
    pub const fn has_ongoing_transaction(&self) -> bool {
        self.is_completing()
            || matches!(self.state, State::InTransaction | State::AbortableError(_))
    }

    /// Whether batches may be sent to a partition now.
    pub fn is_send_allowed(&self, partition: TopicPartition) -> bool {
        !self.has_fatal_error() && self.partitions.contains(&partition)
    }

    /// Why `send()` fails now, if it does.
    pub fn refuses_send(&self) -> Option<ErrorCode> {
        if self.last_error().is_some() {
            return self.last_error();
        }
        let ready = self.state == State::InTransaction && self.pending_transition.is_none();
        (!ready).then_some(ErrorCode::InvalidTxnState)
    }

    /// A record was appended for a partition (`maybeAddPartition`).
    pub fn add_partition(&mut self, partition: TopicPartition) {
        if self.is_version_2() {
            self.partitions.insert(partition);
            self.started = true;
        } else if !self.partitions.contains(&partition)
            && !self.pending_partitions.contains(&partition)
        {
            self.new_partitions.insert(partition);
        }
    }

    /// Begins a call of the application.
    pub fn begin_call(&mut self, id: Option<IdAndEpoch>, call: &TransactionCall) -> CallProgress {
        match call {
            TransactionCall::Init => {
                if let Some(failure) = self.failure() {
                    return CallProgress::Returned(Some(failure));
                }
                self.begin_transition(TransactionCallKind::Init, id)
            }
            TransactionCall::Begin => CallProgress::Returned(self.begin_transaction()),
            TransactionCall::SendOffsets { offsets, membership } => {
                self.send_offsets(id, offsets, *membership)
            }
            TransactionCall::Commit => self.begin_transition(TransactionCallKind::Commit, id),
            TransactionCall::Abort => self.begin_transition(TransactionCallKind::Abort, id),
        }
    }

    /// `beginTransaction()`
    fn begin_transaction(&mut self) -> Option<TransactionFailure> {
        if self.pending_transition.is_some() {
            return Some(ILLEGAL_STATE);
        }
        if let Some(failure) = self.failure() {
            return Some(failure);
        }
        self.try_transition_to(State::InTransaction).err()
    }

    /// `sendOffsetsToTransaction()`
    fn send_offsets(
        &mut self,
        id: Option<IdAndEpoch>,
        offsets: &Arc<[OffsetToCommit]>,
        membership: GroupMembership,
    ) -> CallProgress {
        if offsets.is_empty() {
            return CallProgress::Returned(None);
        }
        if self.pending_transition.is_some() {
            return CallProgress::Returned(Some(ILLEGAL_STATE));
        }
        if let Some(failure) = self.failure() {
            return CallProgress::Returned(Some(failure));
        }
        let Some(id) = id.filter(|_| self.state == State::InTransaction) else {
            return CallProgress::Returned(Some(ILLEGAL_STATE));
        };
        self.offsets_calls += 1;
        self.offsets_outcome = None;
        let waiter = Waiter::Offsets(self.offsets_calls);
        if self.is_version_2() {
            self.started = true;
            self.commit_offsets(id, offsets, membership, waiter);
        } else {
            let offsets = Arc::clone(offsets);
            let kind = RequestKind::AddOffsets { id, offsets, membership };
            self.enqueue(TransactionRequest::new(kind, waiter));
        }
        CallProgress::Waits(waiter)
    }

    /// The offsets of this call, and what is left of earlier ones (`txnOffsetCommitHandler`).
    pub fn commit_offsets(
        &mut self,
        id: IdAndEpoch,
        offsets: &Arc<[OffsetToCommit]>,
        membership: GroupMembership,
        waiter: Waiter,
    ) {
        let alone = self.pending_offsets.is_empty();
        self.pending_offsets.extend(offsets.iter().map(|offset| (offset.partition, *offset)));
        let offsets = match alone {
            true => Arc::clone(offsets),
            false => self.pending_offsets.values().copied().collect(),
        };
        let kind = RequestKind::CommitOffsets { id, offsets, membership };
        self.enqueue(TransactionRequest::new(kind, waiter));
    }

    /// A call that changes the state, or one that waits on for an earlier one of its kind that had
    /// timed out (`handleCachedTransactionRequestResult`).
    fn begin_transition(
        &mut self,
        call: TransactionCallKind,
        id: Option<IdAndEpoch>,
    ) -> CallProgress {
        if let Some(pending) = self.pending_transition {
            return match pending.call == call {
                true => CallProgress::Waits(Waiter::Transition),
                false => CallProgress::Returned(Some(ILLEGAL_STATE)),
            };
        }
        match self.start_transition(call, id) {
            Ok(()) => {
                self.pending_transition = Some(PendingTransition { call, outcome: None });
                CallProgress::Waits(Waiter::Transition)
            }
            Err(failure) => CallProgress::Returned(Some(failure)),
        }
    }

    fn start_transition(
        &mut self,
        call: TransactionCallKind,
        id: Option<IdAndEpoch>,
    ) -> Result<(), TransactionFailure> {
        let aborts_after_error =
            call == TransactionCallKind::Abort && matches!(self.state, State::AbortableError(_));
        if let Some(failure) = self.failure().filter(|_| !aborts_after_error) {
            return Err(failure);
        }
        match call {
            TransactionCallKind::Init => {
                self.try_transition_to(State::Initializing)?;
                let kind = RequestKind::InitProducerId { current: None };
                self.enqueue(TransactionRequest::new(kind, Waiter::Transition));
            }
            TransactionCallKind::Commit => {
                self.try_transition_to(State::Committing)?;
                self.begin_completing(TransactionResult::Commit, id);
            }
            TransactionCallKind::Abort => {
                self.try_transition_to(State::Aborting)?;
                self.new_partitions.clear();
                self.begin_completing(TransactionResult::Abort, id);
            }
            TransactionCallKind::Begin | TransactionCallKind::SendOffsets => {
                unreachable!("it has no outcome to wait for twice")
            }
        }
        Ok(())
    }

    /// `beginCompletingTransaction`
    fn begin_completing(&mut self, result: TransactionResult, id: Option<IdAndEpoch>) {
        let id = id.expect("a transaction begins under a producer id");
        self.enqueue_new_partitions(id);
        let waiter = match self.epoch_bump_required {
            true => Waiter::Nobody,
            false => Waiter::Transition,
        };
        self.enqueue(TransactionRequest::new(RequestKind::EndTransaction { id, result }, waiter));
        if self.epoch_bump_required {
            let kind = RequestKind::InitProducerId { current: Some(id) };
            self.enqueue(TransactionRequest::new(kind, Waiter::Transition));
        }
    }

    /// The call that waits for `waiter` is over, if its outcome is known: then it returns with
    /// that.
    pub fn take_outcome(&mut self, waiter: Waiter) -> Option<Option<TransactionFailure>> {
        let outcome = match waiter {
            Waiter::Nobody => None,
            Waiter::Transition => {
                let outcome = self.pending_transition.and_then(|pending| pending.outcome);
                if outcome.is_some() {
                    self.pending_transition = None;
                }
                outcome
            }
            Waiter::Offsets(_) => self.offsets_outcome.take(),
        };
        let describe = |error| match self.has_fatal_error() {
            true => TransactionFailure::Fatal(error),
            false => TransactionFailure::Abortable(error),
        };
        outcome.map(|outcome| outcome.err().map(describe))
    }

    /// Whether [`Transactions::take_outcome`] would have one.
    pub fn has_outcome(&self, waiter: Waiter) -> bool {
        match waiter {
            Waiter::Nobody => false,
            Waiter::Transition => {
                self.pending_transition.is_some_and(|pending| pending.outcome.is_some())
            }
            Waiter::Offsets(_) => self.offsets_outcome.is_some(),
        }
    }

    /// A request is over: who waits for it goes on. A failure stays.
    pub fn settle(&mut self, waiter: Waiter, outcome: Result<(), ErrorCode>) {
        let slot = match waiter {
            Waiter::Transition => match &mut self.pending_transition {
                Some(pending) => &mut pending.outcome,
                None => return,
            },
            Waiter::Offsets(call) if call == self.offsets_calls => &mut self.offsets_outcome,
            Waiter::Offsets(_) | Waiter::Nobody => return,
        };
        if slot.is_none() || outcome.is_err() {
            *slot = Some(outcome);
        }
    }

    /// The next request, unless something else comes first (`nextRequest`).
    pub fn next_request(&mut self, id: Option<IdAndEpoch>, has_incomplete: bool) -> NextRequest {
        if let Some(id) = id {
            self.enqueue_new_partitions(id);
        }
        match self.requests.front() {
            None => return NextRequest::Nothing,
            Some(first) if first.ends_transaction() && has_incomplete => {
                return NextRequest::Nothing;
            }
            Some(_) => {}
        }
        let Some(request) = self.requests.pop_front() else { return NextRequest::Nothing };
        let finds_coordinator = matches!(request.kind, RequestKind::FindCoordinator(_));
        let goes_on = finds_coordinator && !self.has_fatal_error();
        if let Some(error) = self.last_error().filter(|_| !goes_on) {
            self.settle(request.waiter, Err(error));
            return NextRequest::Settled;
        }
        if !request.ends_transaction() || self.started {
            return NextRequest::Send(request);
        }
        // The coordinator does not know of the transaction.
        self.settle(request.waiter, Ok(()));
        self.complete_transaction();
        self.requests.pop_front().map_or(NextRequest::Settled, NextRequest::Send)
    }

    fn enqueue_new_partitions(&mut self, id: IdAndEpoch) {
        if !self.new_partitions.is_empty() {
            self.pending_partitions.append(&mut self.new_partitions);
            let partitions = self.pending_partitions.iter().copied().collect();
            let kind = RequestKind::AddPartitions { id, partitions };
            self.enqueue(TransactionRequest::new(kind, Waiter::Nobody));
        }
    }

    fn enqueue(&mut self, request: TransactionRequest) {
        let priority = request.priority();
        let place = self.requests.partition_point(|other| other.priority() <= priority);
        self.requests.insert(place, request);
    }

    /// Puts a request back, to be sent after a pause (`reenqueue`).
    pub fn retry(&mut self, mut request: TransactionRequest) {
        request.is_retry = true;
        self.enqueue(request);
    }

    /// Looks for a coordinator anew (`lookupCoordinator`).
    pub fn look_up(&mut self, key: CoordinatorKey) {
        match key {
            CoordinatorKey::Group(_) => self.group_coordinator = None,
            CoordinatorKey::Transaction(_) => self.coordinator = None,
        }
        self.enqueue(TransactionRequest::new(RequestKind::FindCoordinator(key), Waiter::Nobody));
    }

    /// `completeTransaction`
    pub fn complete_transaction(&mut self) {
        let bumps = std::mem::take(&mut self.epoch_bump_required);
        self.transition_to(if bumps { State::Initializing } else { State::Ready });
        self.started = false;
        self.new_partitions.clear();
        self.pending_partitions.clear();
        self.partitions.clear();
    }

    /// A write failed, or a record inside `send()` (`maybeTransitionToErrorState`).
    pub fn on_failed_write(&mut self, error: ErrorCode) {
        let fatal = match error {
            ErrorCode::ProducerFenced => true,
            // Until KIP-588 the code of every `ProducerFencedException`.
            ErrorCode::InvalidProducerEpoch => !self.rules.has(ProtocolRule::ProducerFencedError),
            ErrorCode::InvalidProducerIdMapping => {
                self.rules.has(ProtocolRule::ProducerIdMappingErrorIsFatal)
            }
            _ => false,
        };
        if fatal {
            self.transition_to_fatal_error(error);
            return;
        }
        if self.bumps_epoch_itself() && !self.is_completing() {
            self.epoch_bump_required = true;
        }
        self.transition_to_abortable_error(error);
    }

    /// An error that an abort heals only with a new epoch (`abortableErrorIfPossible`).
    pub fn abortable_error_if_possible(&mut self, error: ErrorCode) {
        if !self.bumps_epoch_itself() && !self.is_version_2() {
            self.transition_to_fatal_error(error);
            return;
        }
        if self.bumps_epoch_itself() {
            self.epoch_bump_required = true;
        }
        self.transition_to_abortable_error(error);
    }

    /// It asks for a new epoch with InitProducerId (KIP-360); with `transaction.version` 2 every
    /// EndTxn brings one.
    const fn bumps_epoch_itself(&self) -> bool {
        self.rules.has(ProtocolRule::BumpProducerEpochLocally) && !self.is_version_2()
    }

    pub fn transition_to_abortable_error(&mut self, error: ErrorCode) {
        if self.state != State::Aborting {
            self.transition_to(State::AbortableError(error));
        }
    }

    pub fn transition_to_fatal_error(&mut self, error: ErrorCode) {
        self.state = State::FatalError(error);
        self.settle(Waiter::Transition, Err(error));
    }

    /// A transition by the sender's thread; an impossible one ends the producer (KAFKA-14831).
    pub fn transition_to(&mut self, target: State) {
        match self.state.may_become(target) {
            true => self.state = target,
            false => self.state = State::FatalError(ErrorCode::InvalidTxnState),
        }
    }

    /// A transition by the application's thread; an impossible one changes nothing.
    fn try_transition_to(&mut self, target: State) -> Result<(), TransactionFailure> {
        if !self.state.may_become(target) {
            return Err(ILLEGAL_STATE);
        }
        self.state = target;
        Ok(())
    }

    /// How every call fails in an error state (`maybeFailWithError`).
    const fn failure(&self) -> Option<TransactionFailure> {
        match self.state {
            State::AbortableError(error) => Some(TransactionFailure::Abortable(error)),
            State::FatalError(error) => Some(TransactionFailure::Fatal(error)),
            State::Uninitialized
            | State::Initializing
            | State::Ready
            | State::InTransaction
            | State::Committing
            | State::Aborting => None,
        }
    }
}

/// `IllegalStateException`: the application uses the calls in an impossible order.
const ILLEGAL_STATE: TransactionFailure = TransactionFailure::Fatal(ErrorCode::InvalidTxnState);
