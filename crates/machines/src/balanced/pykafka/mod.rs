//! pykafka's `BalancedConsumer` (2.8): its threads, and what they share.
//!
//! Mirrors `balancedconsumer.py`, `simpleconsumer.py` and kazoo's `ChildrenWatch`, step by step:
//! [`start`] is `start()` and `stop()`, [`watch`] a `ChildrenWatch` and its callback, [`rebalance`] is `_rebalance()`,
//! [`rebuild`] is `_setup_internal_consumer()`, [`consume`] is `consume()` and `commit_offsets()`. The consumer that really
//! reads is an inner one, for which [`Inner`] stands; it is made anew whenever the share changes.
//!
//! What decides the failures, and is therefore kept exactly: the lock that `consume()` and a rebalance share; what is
//! released before what is gained is claimed; `_worker_exception`, which nothing ever clears, so that a consumer whose
//! rebalance failed in a callback never rebalances or commits again, and goes on reading what it read.
//!
//! Left out: `RdKafkaSimpleConsumer`, `ManagedBalancedConsumer`, `post_rebalance_callback`, `reset_offset_on_start`, the
//! gevent handler, more than one topic (a `BalancedConsumer` has one).

mod consume;
mod rebalance;
mod rebuild;
mod start;
mod watch;

use super::BalancedCx;
use super::commit::{Commit, CommitPolicy};
use super::shared::Shared;
use super::threads::{Lock, Resume, Thread, Wait, is_over, state_exception};
use crate::consumer::{ConsumerCall, ConsumerReport};
use acklab_vocab::config::{BalancedConsumerConfig, OffsetsStorage};
use acklab_vocab::ids::{MemberId, TopicPartition};
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::{ClientException, CommitTrigger, ZooKeeperState};
use acklab_vocab::zookeeper::{WatchEvent, ZooKeeperError};
use consume::{CommitCall, Consume};
use start::{Start, Stop};
use std::collections::VecDeque;
use std::task::Poll;
use watch::{WatchRun, Watched};

/// The inner `SimpleConsumer`.
#[derive(Debug)]
pub(super) struct Inner {
    /// What it reads, ascending.
    partitions: Vec<TopicPartition>,
    /// `_running`
    is_running: bool,
    /// Raised in a thread of its own.
    exception: Option<ClientException>,
    /// When its autocommitter is due.
    next_auto_commit: SimTime,
}

/// pykafka.
#[derive(Debug)]
pub(super) struct Pykafka {
    member: MemberId,
    /// `_running`
    is_running: bool,
    /// `_setting_watches`
    is_setting_watches: bool,
    /// `_worker_exception`
    worker_exception: Option<ClientException>,
    /// `_rebalancing_lock`
    lock: Lock,
    /// `_consumer`
    inner: Option<Inner>,
    /// `_internal_consumer_running`
    is_inner_running: bool,
    watches: Vec<Watched>,
    /// Watches that have fired, for the thread that calls back.
    fired: VecDeque<usize>,
    /// Every thread that is inside the library, in the order in which they came to be.
    routines: Vec<(Thread, Routine)>,
    /// What the application has called and nobody has taken up.
    calls: VecDeque<ConsumerCall>,
    spawned: u32,
    /// The application has called `stop()`, and it has returned.
    is_closed: bool,
}

/// What a thread is inside of.
#[derive(Debug)]
enum Routine {
    Start(Box<Start>),
    Watch(Box<WatchRun>),
    Consume(Consume),
    Commit(CommitCall),
    AutoCommit(Commit),
    Stop(Stop),
}

impl Pykafka {
    /// `get_balanced_consumer()`: `start()` is called at once.
    pub fn new(member: MemberId, shared: &Shared) -> Self {
        Pykafka {
            member,
            is_running: false,
            is_setting_watches: true,
            worker_exception: None,
            lock: Lock::default(),
            inner: None,
            is_inner_running: false,
            watches: Watched::all(shared),
            fired: VecDeque::new(),
            routines: vec![(Thread::Main, Routine::Start(Box::new(Start::new())))],
            calls: VecDeque::new(),
            spawned: 0,
            is_closed: false,
        }
    }

    pub fn call(&mut self, call: ConsumerCall) {
        self.calls.push_back(call);
    }

    pub const fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// It has started, no thread is rebalancing, and none has failed to.
    pub fn is_in_place(&self) -> bool {
        let rebalances = self.routines.iter().any(|(_, routine)| match routine {
            Routine::Start(_) | Routine::Watch(_) | Routine::Stop(_) => true,
            Routine::Consume(_) | Routine::Commit(_) | Routine::AutoCommit(_) => false,
        });
        self.is_running && !rebalances && self.fired.is_empty() && self.worker_exception.is_none()
    }

    pub fn is_committing(&self) -> bool {
        self.routines
            .iter()
            .any(|(_, routine)| matches!(routine, Routine::Commit(_) | Routine::AutoCommit(_)))
    }

    /// What it is doing, in words.
    pub fn state(&self) -> &'static str {
        let starts = self.routines.iter().any(|(_, it)| matches!(it, Routine::Start(_)));
        match (self.is_running, self.worker_exception) {
            (false, _) if starts => "starting",
            (false, _) => "stopped",
            (true, Some(_)) => "cannot rebalance any more",
            (true, None) if self.is_in_place() => "balanced",
            (true, None) => "rebalancing",
        }
    }

    // ---- what happens to it ---------------------------------------------------------------------

    /// `KazooClient.state_listeners`
    pub fn on_state(&mut self, state: ZooKeeperState) {
        match state {
            ZooKeeperState::Disconnected | ZooKeeperState::Expired => {
                for watched in &mut self.watches {
                    watched.is_established = false;
                }
            }
            ZooKeeperState::Connected => {
                for index in 0..self.watches.len() {
                    if self.watches[index].wants_to_be_set_again() {
                        self.spawned += 1;
                        let thread = Thread::Spawned(self.spawned);
                        let run = WatchRun::new(self, thread, index);
                        self.routines.push((thread, Routine::Watch(Box::new(run))));
                    }
                }
            }
        }
    }

    pub fn on_watch(&mut self, event: &WatchEvent) {
        let watched = self.watches.iter().position(|watched| watched.path == event.path);
        self.fired.extend(watched);
    }

    pub fn on_answer(
        &mut self,
        cx: &mut BalancedCx<'_>,
        shared: &mut Shared,
        thread: Thread,
        resume: Resume,
    ) {
        if let Some(place) = self.routines.iter().position(|(other, _)| *other == thread) {
            self.resume(cx, shared, place, resume);
        }
    }

    /// Lets every thread go on whose wait is over. Whether one did.
    pub fn run(&mut self, cx: &mut BalancedCx<'_>, shared: &mut Shared) -> bool {
        let did = self.begin_what_is_due(cx, shared);
        let ready = self.routines.iter().position(|(thread, routine)| {
            let wait = self.wait_of(routine);
            match wait {
                Wait::Lock => self.lock.is_held_by(*thread),
                Wait::WatchLock(index) => self.watches[index].lock.is_held_by(*thread),
                Wait::Turn(_) => match routine {
                    Routine::Consume(consume) => consume.may_go_on(self, shared, cx.now()),
                    _ => true,
                },
                wait => is_over(wait, shared, cx.now()),
            }
        });
        let Some(place) = ready else { return did };
        self.resume(cx, shared, place, Resume::Go);
        true
    }

    /// The earliest instant at which a thread has something to do.
    pub fn deadline(&self) -> SimTime {
        let routines = self.routines.iter().map(|(_, routine)| self.wait_of(routine).deadline());
        let auto_commit = match &self.inner {
            Some(inner) if inner.is_running && !self.is_inside(Thread::AutoCommit) => {
                inner.next_auto_commit
            }
            Some(_) | None => SimTime::NEVER,
        };
        routines.min().unwrap_or(SimTime::NEVER).min(auto_commit)
    }

    fn wait_of(&self, routine: &Routine) -> Wait {
        match routine {
            Routine::Start(start) => start.wait(),
            Routine::Watch(run) => run.wait(),
            Routine::Consume(consume) => consume.wait(),
            Routine::Commit(call) => call.wait(),
            Routine::AutoCommit(commit) => commit.wait(),
            Routine::Stop(stop) => stop.wait(),
        }
    }

    fn is_inside(&self, thread: Thread) -> bool {
        self.routines.iter().any(|(other, _)| *other == thread)
    }

    /// Threads that have nothing to do take up the next thing. Whether one did.
    fn begin_what_is_due(&mut self, cx: &mut BalancedCx<'_>, shared: &mut Shared) -> bool {
        let before = self.routines.len() + self.calls.len() + self.fired.len();
        if !self.is_inside(Thread::Events)
            && let Some(index) = self.fired.pop_front()
        {
            let run = WatchRun::new(self, Thread::Events, index);
            self.routines.push((Thread::Events, Routine::Watch(Box::new(run))));
        }
        self.end_hopeless_start();
        if !self.is_inside(Thread::Main)
            && let Some(call) = self.calls.pop_front()
        {
            self.begin_call(cx, shared, call);
        }
        self.begin_auto_commit(cx, shared);
        self.routines.len() + self.calls.len() + self.fired.len() != before
    }

    /// A process that is to end does not wait for a cluster that it has not reached.
    fn end_hopeless_start(&mut self) {
        if self.calls.contains(&ConsumerCall::Close) {
            self.routines.retain(|(_, routine)| match routine {
                Routine::Start(start) => !start.has_not_begun(),
                _ => true,
            });
        }
    }

    fn begin_call(&mut self, cx: &mut BalancedCx<'_>, shared: &mut Shared, call: ConsumerCall) {
        match call {
            ConsumerCall::Poll { timeout } => {
                let consume = Consume::new(cx.now(), timeout);
                self.begin(cx, shared, Thread::Main, Routine::Consume(consume));
            }
            ConsumerCall::CommitSync { offsets, trigger } => {
                self.begin_commit(cx, shared, offsets, trigger, false);
            }
            ConsumerCall::CommitAsync { offsets, trigger } => {
                self.begin_commit(cx, shared, offsets, trigger, true);
            }
            ConsumerCall::Close => {
                let stop = Stop::called(self);
                self.begin(cx, shared, Thread::Main, Routine::Stop(stop));
            }
            ConsumerCall::ListenerReturned
            | ConsumerCall::SeekToCommitted
            | ConsumerCall::HoldsInterpreter(_) => {}
        }
    }

    fn begin(
        &mut self,
        cx: &mut BalancedCx<'_>,
        shared: &mut Shared,
        thread: Thread,
        routine: Routine,
    ) {
        self.routines.push((thread, routine));
        self.resume(cx, shared, self.routines.len() - 1, Resume::Go);
    }

    fn resume(
        &mut self,
        cx: &mut BalancedCx<'_>,
        shared: &mut Shared,
        place: usize,
        resume: Resume,
    ) {
        let (thread, mut routine) = self.routines.remove(place);
        let progress = match &mut routine {
            Routine::Start(start) => start.resume(cx, self, shared, resume),
            Routine::Watch(run) => run.resume(cx, self, shared, thread, resume),
            Routine::Consume(consume) => consume.resume(cx, self, shared),
            Routine::Commit(call) => call.resume(cx, shared, resume),
            Routine::AutoCommit(commit) => {
                let progress = commit.resume(cx, shared, thread, resume);
                if let Poll::Ready(Err(exception)) = progress {
                    self.inner_failed(cx, exception);
                }
                progress
            }
            Routine::Stop(stop) => stop.resume(cx, self, shared, resume),
        };
        if progress.is_pending() {
            let place = place.min(self.routines.len());
            self.routines.insert(place, (thread, routine));
        }
    }

    // ---- the inner consumer ---------------------------------------------------------------------

    /// A thread of the inner consumer has raised; `consume()` will.
    fn inner_failed(&mut self, cx: &mut BalancedCx<'_>, exception: ClientException) {
        state_exception(cx, exception, false);
        if let Some(inner) = &mut self.inner {
            inner.exception = Some(exception);
            inner.next_auto_commit = SimTime::NEVER;
        }
    }

    /// The fetcher has met an error that it cannot handle.
    pub fn note_fetch_failure(&mut self, cx: &mut BalancedCx<'_>, shared: &mut Shared) {
        if shared.kafka.fetching.take_failure().is_some() {
            self.inner_failed(cx, ClientException::KafkaException);
        }
    }

    /// `SimpleConsumer._auto_commit`
    fn begin_auto_commit(&mut self, cx: &mut BalancedCx<'_>, shared: &mut Shared) {
        if self.is_inside(Thread::AutoCommit) {
            return;
        }
        let Some(inner) = &mut self.inner else { return };
        let Some(interval) = shared.setup.config.auto_commit else { return };
        if !inner.is_running || inner.next_auto_commit > cx.now() {
            return;
        }
        inner.next_auto_commit = cx.now() + interval;
        let commit = self.commit_of_everything(shared, CommitTrigger::AutoInterval);
        self.begin(cx, shared, Thread::AutoCommit, Routine::AutoCommit(commit));
    }

    /// `commit_offsets()` of the inner consumer: everything handed out of what it reads.
    fn commit_of_everything(&self, shared: &Shared, trigger: CommitTrigger) -> Commit {
        let offsets = shared.kafka.fetching.all_consumed();
        Commit::new(policy(&shared.setup.config, self.member), trigger, offsets)
    }

    /// Answers the application.
    fn report(cx: &mut BalancedCx<'_>, result: Result<ConsumerReport, ClientException>) {
        match result {
            Ok(report) => cx.report(report),
            Err(exception) => {
                state_exception(cx, exception, true);
                cx.report(ConsumerReport::Raised(exception));
            }
        }
    }
}

fn policy(config: &BalancedConsumerConfig, member: MemberId) -> CommitPolicy {
    CommitPolicy {
        tries: config.offsets_commit_max_retries,
        backoff: config.offsets_channel_backoff,
        is_pykafka: true,
        storage: OffsetsStorage::Kafka,
        member: Some(member),
    }
}

/// Whether ZooKeeper has said that there is no such znode, which is as good as having deleted it.
fn is_gone(error: ZooKeeperError) -> bool {
    error == ZooKeeperError::NoNode
}
