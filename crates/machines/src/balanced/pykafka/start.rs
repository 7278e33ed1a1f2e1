//! `start()` and `stop()`.
//!
//! An exception in `start()` is logged, and the consumer stopped: what its user sees is a later
//! `ConsumerStoppedException`. `stop()` waits for the lock, so for a rebalance that is under way; it closes the session
//! last, which releases what the consumer owns.

use super::Pykafka;
use super::rebalance::{AddSelf, Rebalance};
use super::watch::WatchRun;
use crate::balanced::BalancedCx;
use crate::balanced::commit::Commit;
use crate::balanced::shared::{Shared, create_folder, with_ancestors};
use crate::balanced::threads::{
    Progress, RETURNED, Resume, Thread, Wait, exception_of, raised, state_exception,
};
use crate::consumer::ConsumerReport;
use acklab_vocab::api::{ZooKeeperOperation, ZooKeeperReply};
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::{ClientException, CommitTrigger};
use acklab_vocab::zookeeper::{ZnodePath, ZooKeeperError, paths};
use std::collections::VecDeque;
use std::task::Poll;

/// `KazooClient.start(timeout=15)`
const START_TIMEOUT: SimDuration = SimDuration::from_secs(15);

/// The main thread inside `start()`.
#[derive(Debug)]
pub(super) struct Start {
    stage: StartStage,
}

#[derive(Debug)]
enum StartStage {
    /// The client of the cluster, which exists before, is to know the topic.
    AwaitingMetadata,
    Connecting(SimTime),
    /// `ensure_path()`
    LookingForOwners,
    MakingOwners(VecDeque<ZnodePath>),
    AddingSelf(AddSelf),
    SettingWatch(usize, WatchRun),
    Rebalancing(Box<Rebalance>),
    /// Something was raised.
    Stopping(Stop),
}

impl Start {
    pub const fn new() -> Self {
        Start { stage: StartStage::AwaitingMetadata }
    }

    /// It still waits for the cluster.
    pub const fn has_not_begun(&self) -> bool {
        matches!(self.stage, StartStage::AwaitingMetadata)
    }

    pub fn wait(&self) -> Wait {
        match &self.stage {
            StartStage::AwaitingMetadata => Wait::Metadata,
            StartStage::Connecting(until) => Wait::Session(*until),
            StartStage::LookingForOwners
            | StartStage::MakingOwners(_)
            | StartStage::AddingSelf(_) => Wait::Answer,
            StartStage::SettingWatch(_, run) => run.wait(),
            StartStage::Rebalancing(rebalance) => rebalance.wait(),
            StartStage::Stopping(stop) => stop.wait(),
        }
    }

    pub fn resume(
        &mut self,
        cx: &mut BalancedCx<'_>,
        pykafka: &mut Pykafka,
        shared: &mut Shared,
        resume: Resume,
    ) -> Progress {
        if let StartStage::Stopping(stop) = &mut self.stage {
            return stop.resume(cx, pykafka, shared, resume);
        }
        match self.step(cx, pykafka, shared, resume) {
            Poll::Ready(Err(exception)) => {
                if exception != ClientException::PartitionOwnedError {
                    state_exception(cx, exception, false);
                }
                let mut stop = Stop::after_failure(pykafka);
                let progress = stop.resume_if_possible(cx, pykafka, shared);
                self.stage = StartStage::Stopping(stop);
                progress
            }
            other => other,
        }
    }

    fn step(
        &mut self,
        cx: &mut BalancedCx<'_>,
        pykafka: &mut Pykafka,
        shared: &mut Shared,
        resume: Resume,
    ) -> Progress {
        let thread = Thread::Main;
        match &mut self.stage {
            StartStage::AwaitingMetadata => {
                shared.zookeeper.start(cx);
                self.stage = StartStage::Connecting(cx.now() + START_TIMEOUT);
                Poll::Pending
            }
            StartStage::Connecting(_) if !shared.is_connected() => {
                raised(ClientException::KazooTimeoutError)
            }
            StartStage::Connecting(_) => {
                let path = paths::partition_owners(shared.group(), shared.topic());
                shared.ask(cx, thread, ZooKeeperOperation::Exists { path, watch: false });
                self.stage = StartStage::LookingForOwners;
                Poll::Pending
            }
            StartStage::LookingForOwners => match resume.zookeeper() {
                Ok(ZooKeeperReply::Exists(Some(_))) => self.add_self(cx, shared),
                Ok(_) => {
                    let path = paths::partition_owners(shared.group(), shared.topic());
                    self.make_owners(cx, shared, with_ancestors(path))
                }
                Err(error) => raised(exception_of(error)),
            },
            StartStage::MakingOwners(left) => {
                let left = std::mem::take(left);
                match resume.zookeeper() {
                    Ok(_) | Err(ZooKeeperError::NodeExists) => self.make_owners(cx, shared, left),
                    Err(error) => raised(exception_of(error)),
                }
            }
            StartStage::AddingSelf(adding) => match adding.resume(cx, shared, thread, resume) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Err(error)) => raised(exception_of(error)),
                Poll::Ready(Ok(())) => {
                    pykafka.is_running = true;
                    self.set_watch(pykafka, 0)
                }
            },
            StartStage::SettingWatch(index, run) => {
                let next = *index + 1;
                match run.resume(cx, pykafka, shared, thread, resume) {
                    Poll::Ready(Ok(())) if next < pykafka.watches.len() => {
                        self.set_watch(pykafka, next)
                    }
                    Poll::Ready(Ok(())) => {
                        pykafka.is_setting_watches = false;
                        self.rebalance(cx, pykafka, shared)
                    }
                    other => other,
                }
            }
            StartStage::Rebalancing(rebalance) => {
                rebalance.resume(cx, pykafka, shared, thread, resume)
            }
            StartStage::Stopping(_) => unreachable!("resumed before"),
        }
    }

    fn make_owners(
        &mut self,
        cx: &mut BalancedCx<'_>,
        shared: &mut Shared,
        mut left: VecDeque<ZnodePath>,
    ) -> Progress {
        let Some(folder) = left.pop_front() else { return self.add_self(cx, shared) };
        shared.ask(cx, Thread::Main, create_folder(folder));
        self.stage = StartStage::MakingOwners(left);
        Poll::Pending
    }

    fn add_self(&mut self, cx: &mut BalancedCx<'_>, shared: &mut Shared) -> Progress {
        self.stage = StartStage::AddingSelf(AddSelf::begin(cx, shared, Thread::Main));
        Poll::Pending
    }

    fn set_watch(&mut self, pykafka: &mut Pykafka, index: usize) -> Progress {
        let run = WatchRun::new(pykafka, Thread::Main, index);
        self.stage = StartStage::SettingWatch(index, run);
        Poll::Pending
    }

    fn rebalance(
        &mut self,
        cx: &mut BalancedCx<'_>,
        pykafka: &mut Pykafka,
        shared: &mut Shared,
    ) -> Progress {
        let mut rebalance = Box::new(Rebalance::new());
        let progress = rebalance.resume(cx, pykafka, shared, Thread::Main, Resume::Go);
        self.stage = StartStage::Rebalancing(rebalance);
        progress
    }
}

/// The main thread inside `stop()`.
#[derive(Debug)]
pub(super) struct Stop {
    /// The application has called it, and waits.
    is_called: bool,
    stage: StopStage,
}

#[derive(Debug)]
enum StopStage {
    AwaitingLock,
    /// Inside `stop()` of the inner consumer.
    Committing(Commit),
    /// Inside `stop()` of the client of ZooKeeper.
    Closing,
}

impl Stop {
    /// `stop()` by the application.
    pub fn called(pykafka: &mut Pykafka) -> Self {
        pykafka.lock.ask(Thread::Main);
        Stop { is_called: true, stage: StopStage::AwaitingLock }
    }

    fn after_failure(pykafka: &mut Pykafka) -> Self {
        Stop { is_called: false, ..Stop::called(pykafka) }
    }

    pub const fn wait(&self) -> Wait {
        match &self.stage {
            StopStage::AwaitingLock => Wait::Lock,
            StopStage::Committing(commit) => commit.wait(),
            StopStage::Closing => Wait::Closed,
        }
    }

    fn resume_if_possible(
        &mut self,
        cx: &mut BalancedCx<'_>,
        pykafka: &mut Pykafka,
        shared: &mut Shared,
    ) -> Progress {
        match pykafka.lock.is_held_by(Thread::Main) {
            true => self.resume(cx, pykafka, shared, Resume::Go),
            false => Poll::Pending,
        }
    }

    pub fn resume(
        &mut self,
        cx: &mut BalancedCx<'_>,
        pykafka: &mut Pykafka,
        shared: &mut Shared,
        resume: Resume,
    ) -> Progress {
        match &mut self.stage {
            StopStage::AwaitingLock if !pykafka.lock.is_held_by(Thread::Main) => Poll::Pending,
            StopStage::AwaitingLock => {
                pykafka.is_running = false;
                pykafka.lock.release(Thread::Main);
                self.stop_inner(cx, pykafka, shared)
            }
            StopStage::Committing(commit) => {
                let progress = commit.resume(cx, shared, Thread::Main, resume);
                self.after_commit(cx, pykafka, shared, progress)
            }
            StopStage::Closing => self.closed(cx, pykafka, shared),
        }
    }

    fn stop_inner(
        &mut self,
        cx: &mut BalancedCx<'_>,
        pykafka: &mut Pykafka,
        shared: &mut Shared,
    ) -> Progress {
        let Some(inner) = &mut pykafka.inner else { return self.close(cx, pykafka, shared) };
        inner.is_running = false;
        if shared.setup.config.auto_commit.is_none() {
            return self.close(cx, pykafka, shared);
        }
        let mut commit = pykafka.commit_of_everything(shared, CommitTrigger::AutoClose);
        let progress = commit.resume(cx, shared, Thread::Main, Resume::Go);
        self.stage = StopStage::Committing(commit);
        self.after_commit(cx, pykafka, shared, progress)
    }

    /// If the commit raises, the session is not closed: it ends with the process, some time later.
    fn after_commit(
        &mut self,
        cx: &mut BalancedCx<'_>,
        pykafka: &mut Pykafka,
        shared: &mut Shared,
        progress: Progress,
    ) -> Progress {
        match progress {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(())) => self.close(cx, pykafka, shared),
            Poll::Ready(Err(exception)) => {
                state_exception(cx, exception, self.is_called);
                self.closed(cx, pykafka, shared)
            }
        }
    }

    fn close(
        &mut self,
        cx: &mut BalancedCx<'_>,
        pykafka: &mut Pykafka,
        shared: &mut Shared,
    ) -> Progress {
        shared.stop_fetching(cx);
        if shared.is_closed() {
            return self.closed(cx, pykafka, shared);
        }
        shared.close_session(cx);
        self.stage = StopStage::Closing;
        Poll::Pending
    }

    fn closed(
        &self,
        cx: &mut BalancedCx<'_>,
        pykafka: &mut Pykafka,
        shared: &mut Shared,
    ) -> Progress {
        if self.is_called {
            shared.kafka.client.close(cx);
            pykafka.is_closed = true;
            cx.report(ConsumerReport::Closed);
        }
        RETURNED
    }
}
