//! `syncedRebalance`: attempts, each followed by a wait if it fails, under one lock.

use super::HighLevel;
use super::attempt::{Attempt, Outcome};
use crate::balanced::BalancedCx;
use crate::balanced::commit::Commit;
use crate::balanced::shared::Shared;
use crate::balanced::threads::{Lock, Progress, RETURNED, Resume, Thread, Wait, raised};
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::{BalanceOutcome, ClientException, CommitTrigger, TraceEvent};
use std::task::Poll;

/// A thread inside `syncedRebalance`.
#[derive(Debug)]
pub(super) struct SyncedRebalance {
    attempt: u32,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    AwaitingLock,
    Attempting(Box<Attempt>),
    /// `closeFetchersForQueues` after a failed attempt.
    ClosingFetchers(Commit),
    Sleeping(SimTime),
}

impl SyncedRebalance {
    pub fn new(lock: &mut Lock, thread: Thread) -> Self {
        lock.ask(thread);
        SyncedRebalance { attempt: 0, stage: Stage::AwaitingLock }
    }

    pub fn wait(&self) -> Wait {
        match &self.stage {
            Stage::AwaitingLock => Wait::Lock,
            Stage::Attempting(attempt) => attempt.wait(),
            Stage::ClosingFetchers(commit) => commit.wait(),
            Stage::Sleeping(until) => Wait::Until(*until),
        }
    }

    pub fn resume(
        &mut self,
        cx: &mut BalancedCx<'_>,
        high_level: &mut HighLevel,
        shared: &mut Shared,
        thread: Thread,
        resume: Resume,
    ) -> Progress {
        let progress = match &mut self.stage {
            Stage::AwaitingLock if high_level.is_shutting_down => RETURNED,
            Stage::AwaitingLock | Stage::Sleeping(_) => {
                self.try_next(cx, high_level, shared, thread)
            }
            Stage::Attempting(attempt) => {
                let outcome = attempt.resume(cx, high_level, shared, thread, resume);
                self.after_attempt(cx, high_level, shared, thread, outcome)
            }
            Stage::ClosingFetchers(commit) => match commit.resume(cx, shared, thread, resume) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(_) => self.sleep(cx, shared),
            },
        };
        if let Poll::Ready(result) = progress {
            high_level.has_failed = result.is_err();
            high_level.lock.release(thread);
        }
        progress
    }

    fn try_next(
        &mut self,
        cx: &mut BalancedCx<'_>,
        high_level: &mut HighLevel,
        shared: &mut Shared,
        thread: Thread,
    ) -> Progress {
        if self.attempt >= shared.setup.config.rebalance_max_retries {
            return raised(ClientException::ConsumerRebalanceFailedException);
        }
        let mut attempt = Box::new(Attempt::new());
        let outcome = attempt.resume(cx, high_level, shared, thread, Resume::Go);
        self.stage = Stage::Attempting(attempt);
        self.after_attempt(cx, high_level, shared, thread, outcome)
    }

    fn after_attempt(
        &mut self,
        cx: &mut BalancedCx<'_>,
        high_level: &mut HighLevel,
        shared: &mut Shared,
        thread: Thread,
        outcome: Outcome,
    ) -> Progress {
        let Poll::Ready(outcome) = outcome else { return Poll::Pending };
        let attempt = self.attempt;
        cx.trace(|| TraceEvent::BalanceAttempted { attempt, outcome });
        if outcome == BalanceOutcome::Done {
            return RETURNED;
        }
        self.attempt += 1;
        high_level.stop_fetchers(cx, shared);
        if shared.setup.config.auto_commit.is_none() {
            return self.sleep(cx, shared);
        }
        let mut commit = high_level.commit(shared, None, CommitTrigger::AutoRevocation);
        let progress = commit.resume(cx, shared, thread, Resume::Go);
        self.stage = Stage::ClosingFetchers(commit);
        match progress {
            Poll::Pending => Poll::Pending,
            Poll::Ready(_) => self.sleep(cx, shared),
        }
    }

    fn sleep(&mut self, cx: &mut BalancedCx<'_>, shared: &Shared) -> Progress {
        self.stage = Stage::Sleeping(cx.now() + shared.setup.config.rebalance_backoff);
        Poll::Pending
    }
}
