//! A watch on the children of a znode: kazoo's `ChildrenWatch`, and pykafka's callbacks.
//!
//! The library reads the children, which sets the watch, and calls back if they are others than before. When the watch
//! fires, the one thread for callbacks does so again; after a reconnection a thread of its own does, and calls back only if
//! something has changed meanwhile. Reads are repeated until they succeed (`KazooRetry`).

use super::rebalance::Rebalance;
use super::{Pykafka, is_gone};
use crate::balanced::BalancedCx;
use crate::balanced::shared::Shared;
use crate::balanced::threads::{Lock, Progress, RETURNED, Resume, Thread, Wait, state_exception};
use acklab_vocab::api::{ZooKeeperOperation, ZooKeeperReply};
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::ClientException;
use acklab_vocab::zookeeper::{ZnodePath, ZooKeeperError, paths};
use std::sync::Arc;
use std::task::Poll;

/// `KazooRetry.delay`, doubled every time.
const RETRY_DELAY: SimDuration = SimDuration::from_millis(100);
/// `max_delay`
const RETRY_MAX_DELAY: SimDuration = SimDuration::from_secs(3_600);
/// `max_jitter`, in hundredths of a second.
const RETRY_JITTER: u64 = 80;

/// A `ChildrenWatch`.
#[derive(Debug)]
pub(super) struct Watched {
    pub path: ZnodePath,
    /// It has been made.
    pub is_made: bool,
    /// `_stopped`
    pub is_stopped: bool,
    /// `_watch_established`
    pub is_established: bool,
    /// `_prior_children`
    prior: Option<Vec<Arc<str>>>,
    /// `_run_lock`
    pub lock: Lock,
}

impl Watched {
    fn new(path: ZnodePath) -> Self {
        Watched {
            path,
            is_made: false,
            is_stopped: false,
            is_established: false,
            prior: None,
            lock: Lock::default(),
        }
    }

    /// Brokers, topics, consumers: in the order of `_set_watches()`.
    pub fn all(shared: &Shared) -> Vec<Watched> {
        let ids = paths::consumer_ids(shared.group());
        [paths::broker_ids(), paths::topics(), ids].into_iter().map(Watched::new).collect()
    }

    /// `_session_watcher`, connected again.
    pub fn wants_to_be_set_again(&self) -> bool {
        self.is_made && !self.is_established && !self.is_stopped
    }
}

/// A thread inside `_get_children()`.
#[derive(Debug)]
pub(super) struct WatchRun {
    watch: usize,
    tries: u32,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    AwaitingLock,
    Reading,
    Retrying(SimTime),
    /// Inside the callback.
    Rebalancing(Box<Rebalance>),
}

impl WatchRun {
    pub fn new(pykafka: &mut Pykafka, thread: Thread, watch: usize) -> Self {
        pykafka.watches[watch].lock.ask(thread);
        WatchRun { watch, tries: 0, stage: Stage::AwaitingLock }
    }

    pub fn wait(&self) -> Wait {
        match &self.stage {
            Stage::AwaitingLock => Wait::WatchLock(self.watch),
            Stage::Reading => Wait::Answer,
            Stage::Retrying(until) => Wait::Until(*until),
            Stage::Rebalancing(rebalance) => rebalance.wait(),
        }
    }

    pub fn resume(
        &mut self,
        cx: &mut BalancedCx<'_>,
        pykafka: &mut Pykafka,
        shared: &mut Shared,
        thread: Thread,
        resume: Resume,
    ) -> Progress {
        match &mut self.stage {
            Stage::AwaitingLock if pykafka.watches[self.watch].is_stopped => {
                self.leave(pykafka, thread)
            }
            Stage::AwaitingLock | Stage::Retrying(_) => self.read(cx, pykafka, shared, thread),
            Stage::Reading => match resume.zookeeper() {
                Ok(ZooKeeperReply::Children(children, _)) => {
                    self.on_children(cx, pykafka, shared, thread, children)
                }
                Ok(other) => unreachable!("answered a getChildren with {other:?}"),
                Err(ZooKeeperError::ConnectionLoss | ZooKeeperError::SessionExpired) => {
                    self.retry(cx)
                }
                Err(error) => {
                    debug_assert!(is_gone(error), "{error}");
                    pykafka.watches[self.watch].is_stopped = true;
                    self.leave(pykafka, thread)
                }
            },
            Stage::Rebalancing(rebalance) => {
                let progress = rebalance.resume(cx, pykafka, shared, thread, resume);
                self.after_callback(cx, pykafka, thread, progress)
            }
        }
    }

    fn read(
        &mut self,
        cx: &mut BalancedCx<'_>,
        pykafka: &Pykafka,
        shared: &mut Shared,
        thread: Thread,
    ) -> Progress {
        let path = pykafka.watches[self.watch].path.clone();
        shared.ask(cx, thread, ZooKeeperOperation::GetChildren { path, watch: true });
        self.stage = Stage::Reading;
        Poll::Pending
    }

    fn retry(&mut self, cx: &mut BalancedCx<'_>) -> Progress {
        let factor = 1_u64.checked_shl(self.tries).unwrap_or(u64::MAX);
        let delay = RETRY_MAX_DELAY.min(RETRY_DELAY * factor);
        let jitter = SimDuration::from_millis(10 * cx.rng().below(RETRY_JITTER + 1));
        self.tries += 1;
        self.stage = Stage::Retrying(cx.now() + delay + jitter);
        Poll::Pending
    }

    fn on_children(
        &mut self,
        cx: &mut BalancedCx<'_>,
        pykafka: &mut Pykafka,
        shared: &mut Shared,
        thread: Thread,
        children: Vec<Arc<str>>,
    ) -> Progress {
        let watched = &mut pykafka.watches[self.watch];
        watched.is_made = true;
        if !watched.is_established {
            watched.is_established = true;
            if watched.prior.as_ref() == Some(&children) {
                return self.leave(pykafka, thread);
            }
        }
        watched.prior = Some(children);
        if !pykafka.is_running {
            pykafka.watches[self.watch].is_stopped = true;
            return self.leave(pykafka, thread);
        }
        if pykafka.is_setting_watches {
            return self.leave(pykafka, thread);
        }
        let mut rebalance = Box::new(Rebalance::new());
        let progress = rebalance.resume(cx, pykafka, shared, thread, Resume::Go);
        self.stage = Stage::Rebalancing(rebalance);
        self.after_callback(cx, pykafka, thread, progress)
    }

    /// `_catch_thread_exception`
    fn after_callback(
        &self,
        cx: &mut BalancedCx<'_>,
        pykafka: &mut Pykafka,
        thread: Thread,
        progress: Progress,
    ) -> Progress {
        match progress {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(())) => self.leave(pykafka, thread),
            Poll::Ready(Err(exception)) => {
                if exception != ClientException::PartitionOwnedError {
                    state_exception(cx, exception, false);
                }
                pykafka.worker_exception = Some(exception);
                self.leave(pykafka, thread)
            }
        }
    }

    fn leave(&self, pykafka: &mut Pykafka, thread: Thread) -> Progress {
        pykafka.watches[self.watch].lock.release(thread);
        RETURNED
    }
}
