//! `consume()` and `commit_offsets()`, as the application calls them.
//!
//! `consume()` needs the lock that a rebalance holds, and holds it itself while it waits for a message: a second, or
//! `consumer_timeout_ms`, which is the timeout of the call here. One message is returned at a time.

use super::{Pykafka, policy};
use crate::balanced::BalancedCx;
use crate::balanced::commit::Commit;
use crate::balanced::shared::Shared;
use crate::balanced::threads::{Progress, RETURNED, Resume, Thread, Wait};
use crate::consumer::ConsumerReport;
use acklab_vocab::api::OffsetToCommit;
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::{ClientException, CommitTrigger};
use std::sync::Arc;
use std::task::Poll;

/// The main thread inside `consume()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Consume {
    since: SimTime,
    timeout: SimDuration,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// At the head of its loop.
    New,
    /// `_internal_consumer_running.wait()`
    AwaitingInner(SimTime),
    AwaitingLock,
    /// Inside `consume()` of the inner consumer, with the lock.
    AwaitingMessage(SimTime),
}

impl Consume {
    pub const fn new(since: SimTime, timeout: SimDuration) -> Self {
        Consume { since, timeout, stage: Stage::New }
    }

    pub const fn wait(&self) -> Wait {
        match self.stage {
            Stage::New => Wait::Answer,
            Stage::AwaitingInner(until) | Stage::AwaitingMessage(until) => Wait::Turn(until),
            Stage::AwaitingLock => Wait::Lock,
        }
    }

    /// Whether what it waits for at this turn has come.
    pub fn may_go_on(&self, pykafka: &Pykafka, shared: &Shared, now: SimTime) -> bool {
        match self.stage {
            Stage::New | Stage::AwaitingLock => false,
            Stage::AwaitingInner(until) => until <= now || pykafka.is_inner_running,
            Stage::AwaitingMessage(until) => {
                let raised = pykafka.inner.as_ref().is_some_and(|it| it.exception.is_some());
                until <= now || raised || shared.kafka.fetching.has_buffered()
            }
        }
    }

    pub fn resume(
        &mut self,
        cx: &mut BalancedCx<'_>,
        pykafka: &mut Pykafka,
        shared: &mut Shared,
    ) -> Progress {
        match self.stage {
            Stage::New => self.loop_again(cx, pykafka, shared),
            Stage::AwaitingInner(_) => self.await_lock(cx, pykafka, shared),
            Stage::AwaitingLock => self.enter(cx, pykafka, shared),
            Stage::AwaitingMessage(until) => self.look(cx, pykafka, shared, until),
        }
    }

    fn loop_again(
        &mut self,
        cx: &mut BalancedCx<'_>,
        pykafka: &mut Pykafka,
        shared: &mut Shared,
    ) -> Progress {
        if pykafka.is_inner_running {
            return self.await_lock(cx, pykafka, shared);
        }
        if let Some(exception) = pykafka.worker_exception {
            Pykafka::report(cx, Err(exception));
            return RETURNED;
        }
        self.stage = Stage::AwaitingInner(cx.now() + self.timeout);
        Poll::Pending
    }

    fn await_lock(
        &mut self,
        cx: &mut BalancedCx<'_>,
        pykafka: &mut Pykafka,
        shared: &mut Shared,
    ) -> Progress {
        pykafka.lock.ask(Thread::Main);
        self.stage = Stage::AwaitingLock;
        match pykafka.lock.is_held_by(Thread::Main) {
            true => self.enter(cx, pykafka, shared),
            false => Poll::Pending,
        }
    }

    fn enter(
        &mut self,
        cx: &mut BalancedCx<'_>,
        pykafka: &mut Pykafka,
        shared: &mut Shared,
    ) -> Progress {
        if pykafka.inner.is_some() {
            return self.look(cx, pykafka, shared, cx.now() + self.timeout);
        }
        pykafka.lock.release(Thread::Main);
        if !pykafka.is_running {
            Pykafka::report(cx, Err(ClientException::ConsumerStoppedException));
            return RETURNED;
        }
        self.after_round(cx, pykafka, shared)
    }

    /// `consume()` of the inner consumer.
    fn look(
        &mut self,
        cx: &mut BalancedCx<'_>,
        pykafka: &mut Pykafka,
        shared: &mut Shared,
        until: SimTime,
    ) -> Progress {
        let inner = pykafka.inner.as_ref();
        if let Some(exception) = inner.and_then(|inner| inner.exception) {
            pykafka.lock.release(Thread::Main);
            Pykafka::report(cx, Err(exception));
            return RETURNED;
        }
        if inner.is_some_and(|inner| inner.is_running) {
            let records = shared.kafka.collect(cx);
            if !records.is_empty() {
                pykafka.lock.release(Thread::Main);
                cx.report(ConsumerReport::Polled(records));
                return RETURNED;
            }
        }
        if cx.now() < until {
            self.stage = Stage::AwaitingMessage(until);
            return Poll::Pending;
        }
        pykafka.lock.release(Thread::Main);
        if !pykafka.is_running {
            Pykafka::report(cx, Err(ClientException::ConsumerStoppedException));
            return RETURNED;
        }
        self.after_round(cx, pykafka, shared)
    }

    fn after_round(
        &mut self,
        cx: &mut BalancedCx<'_>,
        pykafka: &mut Pykafka,
        shared: &mut Shared,
    ) -> Progress {
        if cx.now() >= self.since + self.timeout {
            cx.report(ConsumerReport::Polled(Vec::new()));
            return RETURNED;
        }
        self.loop_again(cx, pykafka, shared)
    }
}

/// The main thread inside `commit_offsets()`.
#[derive(Debug)]
pub(super) struct CommitCall {
    commit: Commit,
    /// The application has called it as an asynchronous one, which the library has not: it waits for this one too, and its
    /// callback is called at the end.
    has_callback: bool,
}

impl CommitCall {
    pub const fn wait(&self) -> Wait {
        self.commit.wait()
    }

    pub fn resume(
        &mut self,
        cx: &mut BalancedCx<'_>,
        shared: &mut Shared,
        resume: Resume,
    ) -> Progress {
        let progress = self.commit.resume(cx, shared, Thread::Main, resume);
        match progress {
            Poll::Pending => {}
            Poll::Ready(Ok(())) if self.has_callback => {
                let offsets = Arc::clone(self.commit.offsets());
                cx.report(ConsumerReport::CommitCallback { offsets, failure: None });
            }
            Poll::Ready(Ok(())) => cx.report(ConsumerReport::Committed(None)),
            Poll::Ready(Err(exception)) => Pykafka::report(cx, Err(exception)),
        }
        progress
    }
}

impl Pykafka {
    /// `commit_offsets()`
    pub(super) fn begin_commit(
        &mut self,
        cx: &mut BalancedCx<'_>,
        shared: &mut Shared,
        offsets: Option<Arc<[OffsetToCommit]>>,
        trigger: CommitTrigger,
        has_callback: bool,
    ) {
        if let Some(exception) = self.worker_exception {
            Pykafka::report(cx, Err(exception));
            return;
        }
        let Some(inner) = &self.inner else {
            Pykafka::report(cx, Err(ClientException::KafkaException));
            return;
        };
        let offsets = offsets.unwrap_or_else(|| shared.kafka.fetching.all_consumed());
        // An unknown partition is refused.
        if offsets.iter().any(|it| inner.partitions.binary_search(&it.partition).is_err()) {
            Pykafka::report(cx, Err(ClientException::KafkaException));
            return;
        }
        let commit = Commit::new(policy(&shared.setup.config, self.member), trigger, offsets);
        let call = CommitCall { commit, has_callback };
        self.begin(cx, shared, Thread::Main, super::Routine::Commit(call));
    }
}
