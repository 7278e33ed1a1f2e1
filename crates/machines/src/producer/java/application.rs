//! The application's thread: what it has asked for, in order, and the call of the transactional API
//! in which it waits.
//!
//! `initTransactions()`, `sendOffsetsToTransaction()`, `commitTransaction()` and
//! `abortTransaction()` wait for the sender, at most `max.block.ms`; some versions wait for ever. A
//! call that has timed out goes on without the application.

use super::JavaProducer;
use super::transactions::{CallProgress, Waiter};
use crate::producer::{
    NewRecord, ProducerCx, ProducerReport, TransactionCall, TransactionCallKind, TransactionFailure,
};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::TopicId;
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::time::SimTime;

/// What the application's thread has yet to do.
#[derive(Clone, Debug)]
pub(super) enum Task {
    /// `send()`
    Send(TopicId, NewRecord),
    /// A call of the transactional API.
    Call(TransactionCall),
}

/// The call of the transactional API in which the application's thread waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct WaitingCall {
    kind: TransactionCallKind,
    waiter: Waiter,
    /// When it gives up.
    pub until: SimTime,
}

impl JavaProducer {
    /// The application calls the transactional API.
    pub(super) fn on_transaction_call(&mut self, call: TransactionCall) {
        self.tasks.push_back(Task::Call(call));
    }

    /// The application's thread goes on where it was blocked.
    pub(super) fn resume_application(&mut self, cx: &mut ProducerCx<'_>) {
        while self.return_from_call(cx) {
            let Some(task) = self.tasks.pop_front() else { break };
            match task {
                Task::Call(call) => self.begin_call(cx, &call),
                Task::Send(topic, record) => {
                    self.accumulator.sync(self.client.metadata());
                    let blocked = self.blocked.take();
                    if !self.send(cx, topic, &record, blocked) {
                        self.tasks.push_front(Task::Send(topic, record));
                        break;
                    }
                }
            }
        }
        let awaits_memory = self.blocked.is_some_and(|_| self.first_unsent_has_metadata());
        let completing = self.transactions().is_some_and(|it| it.is_completing());
        self.accumulator.flushing = self.closing || awaits_memory || completing;
    }

    fn begin_call(&mut self, cx: &mut ProducerCx<'_>, call: &TransactionCall) {
        let kind = call.kind();
        let id = self.transaction_manager.as_ref().and_then(|manager| manager.id());
        let progress = match self.transactions_mut() {
            Some(transactions) => transactions.begin_call(id, call),
            // `IllegalStateException`: not a transactional producer.
            None => {
                CallProgress::Returned(Some(TransactionFailure::Fatal(ErrorCode::InvalidTxnState)))
            }
        };
        match progress {
            CallProgress::Returned(failure) => {
                cx.report(ProducerReport::TransactionCallReturned { call: kind, failure });
            }
            CallProgress::Waits(waiter) => {
                let until = match self.is_bounded(kind) {
                    true => cx.now() + self.config.max_block,
                    false => SimTime::NEVER,
                };
                self.call = Some(WaitingCall { kind, waiter, until });
            }
        }
    }

    const fn is_bounded(&self, kind: TransactionCallKind) -> bool {
        let rules = self.config.client.rules;
        match kind {
            TransactionCallKind::Init | TransactionCallKind::Begin => true,
            TransactionCallKind::SendOffsets => rules.has(ProtocolRule::BoundedSendOffsets),
            TransactionCallKind::Commit | TransactionCallKind::Abort => {
                rules.has(ProtocolRule::BoundedEndOfTransaction)
            }
        }
    }

    /// Whether the outcome of the call that the application waits for is known.
    pub(super) fn call_has_outcome(&self) -> bool {
        let waiting = self.call.zip(self.transactions());
        waiting.is_some_and(|(call, transactions)| transactions.has_outcome(call.waiter))
    }

    /// Returns from the call in which the application waits, if that can be. Returns whether it
    /// waits no more.
    fn return_from_call(&mut self, cx: &mut ProducerCx<'_>) -> bool {
        let Some(call) = self.call else { return true };
        let outcome = self.transactions_mut().and_then(|it| it.take_outcome(call.waiter));
        let failure = match outcome {
            Some(failure) => failure,
            None if call.until <= cx.now() => Some(TransactionFailure::Timeout),
            None => return false,
        };
        self.call = None;
        cx.report(ProducerReport::TransactionCallReturned { call: call.kind, failure });
        true
    }

    pub(super) fn first_unsent_has_metadata(&self) -> bool {
        match self.tasks.front() {
            Some(Task::Send(topic, record)) => self.knows_partition(*topic, record.partition),
            Some(Task::Call(_)) | None => false,
        }
    }

    /// Records whose `send()` has not returned or has not begun.
    pub(super) fn unsent_records(&self) -> usize {
        self.tasks.iter().filter(|task| matches!(task, Task::Send(..))).count()
    }
}
