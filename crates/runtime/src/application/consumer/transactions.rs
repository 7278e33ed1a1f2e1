//! The read-process-write loop: a transaction for the records of each `poll()`.

use super::{ConsumerApplication, Doing};
use crate::application::copy::Copier;
use crate::application::transaction::{self, Next, RESTART_AFTER_FATAL};
use crate::application::{Action, Afterwards};
use acklab_machines::consumer::ConsumerCall;
use acklab_machines::producer::{
    ProducerCall, TransactionCall, TransactionCallKind, TransactionFailure,
};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::{ApplicationReaction, TraceEvent};
use acklab_vocab::transaction::TransactionResult;
use std::sync::Arc;

impl ConsumerApplication {
    pub(super) fn call(&mut self, call: TransactionCall, out: &mut Vec<Action>) {
        self.doing = Doing::InTransactionCall(call.kind());
        out.push(Action::Producer(ProducerCall::Transaction(call)));
    }

    pub(super) fn send_offsets(&mut self, out: &mut Vec<Action>) {
        self.doing = Doing::InTransactionCall(TransactionCallKind::SendOffsets);
        let own = self.copier.as_ref().and_then(|copier| copier.transactions.as_ref());
        let passes_membership = own.is_some_and(|own| own.passes_membership);
        let offsets = Arc::clone(&self.offsets);
        out.push(Action::SendOffsets { offsets, passes_membership });
    }

    pub(super) fn on_transaction_call(
        &mut self,
        call: TransactionCallKind,
        failure: Option<TransactionFailure>,
        now: SimTime,
        out: &mut Vec<Action>,
    ) {
        if self.doing != Doing::InTransactionCall(call) {
            return;
        }
        match (transaction::next(call, failure), call) {
            (Next::Proceed, TransactionCallKind::Init) => self.go_on(now, out),
            (Next::Proceed, TransactionCallKind::Begin) => {
                let id = self.copier.as_ref().and_then(Copier::transactional_id);
                out.extend(id.map(|transactional_id| {
                    Action::State(TraceEvent::TransactionBegun { transactional_id })
                }));
                let batch = std::mem::take(&mut self.batch);
                self.process(batch, now, out);
            }
            (Next::Proceed, TransactionCallKind::SendOffsets) => {
                self.call(TransactionCall::Commit, out);
            }
            (Next::Proceed, TransactionCallKind::Commit) => {
                self.transaction_ended(TransactionResult::Commit, ErrorCode::None, out);
                self.go_on(now, out);
            }
            (Next::Proceed, TransactionCallKind::Abort) => {
                self.transaction_ended(TransactionResult::Abort, ErrorCode::None, out);
                self.batch.clear();
                let own = self.copier.as_ref().and_then(|copier| copier.transactions.as_ref());
                if own.is_some_and(|own| own.rewinds_after_abort) {
                    out.push(Action::Consumer(ConsumerCall::SeekToCommitted));
                }
                self.go_on(now, out);
            }
            (Next::Repeat, TransactionCallKind::SendOffsets) => self.send_offsets(out),
            (Next::Repeat, _) => self.call(call_of(call), out),
            (Next::Abort, _) => self.call(TransactionCall::Abort, out),
            (Next::Restart(error), _) => {
                match call {
                    TransactionCallKind::Init | TransactionCallKind::Begin => {}
                    TransactionCallKind::Commit => {
                        self.transaction_ended(TransactionResult::Commit, error, out);
                    }
                    TransactionCallKind::SendOffsets | TransactionCallKind::Abort => {
                        self.transaction_ended(TransactionResult::Abort, error, out);
                    }
                }
                let reaction = ApplicationReaction::Stopped;
                let failed = TraceEvent::ApplicationFailed { failure: None, error, reaction };
                out.push(Action::State(failed));
                self.doing = Doing::Nothing;
                let afterwards = Afterwards::StartsAgain(RESTART_AFTER_FATAL);
                out.push(Action::Exit { clean: false, afterwards });
            }
        }
    }

    pub(super) fn transaction_ended(
        &self,
        result: TransactionResult,
        error: ErrorCode,
        out: &mut Vec<Action>,
    ) {
        let id = self.copier.as_ref().and_then(Copier::transactional_id);
        out.extend(id.map(|transactional_id| {
            Action::State(TraceEvent::TransactionEnded { transactional_id, result, error })
        }));
    }
}

/// A call without arguments, again.
fn call_of(kind: TransactionCallKind) -> TransactionCall {
    match kind {
        TransactionCallKind::Init => TransactionCall::Init,
        TransactionCallKind::Begin => TransactionCall::Begin,
        TransactionCallKind::Commit | TransactionCallKind::SendOffsets => TransactionCall::Commit,
        TransactionCallKind::Abort => TransactionCall::Abort,
    }
}
