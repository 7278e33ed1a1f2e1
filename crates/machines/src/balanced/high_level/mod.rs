//! Kafka's own consumer of 0.8: the high-level consumer.
//!
//! Mirrors `ZookeeperConsumerConnector` (0.8.2) with `ZKRebalancerListener` and its `watcher_executor`,
//! `ZKSessionExpireListener`, `ZKTopicPartitionChangeListener`, `ConsumerIterator`, and what it needs of `ZkClient`.
//! [`start`] is the constructor, `createMessageStreams` and `shutdown`, [`events`] the event thread, [`rebalance`]
//! `syncedRebalance` around [`attempt`], which is `rebalance`.
//!
//! There is no leader and no barrier: every member rebalances by itself whenever the members or the partitions change. It
//! stops its fetchers, commits if auto-commit is on, gives up everything that it owns, and claims its share. When all
//! attempts have failed it owns and reads nothing until something changes again.
//!
//! Left out: several streams, topic filters, `roundrobin`. `ZkClient` reads some znodes twice in an attempt; here once. A
//! change of brokers is not watched for, as in 0.8.2, unless there are none.

mod attempt;
mod events;
mod rebalance;
mod start;

use super::BalancedCx;
use super::commit::{Commit, CommitPolicy};
use super::shared::Shared;
use super::threads::{Lock, Resume, Thread, Wait, is_over, state_exception};
use crate::consumer::{ConsumerCall, ConsumerReport};
use acklab_vocab::api::OffsetToCommit;
use acklab_vocab::ids::TopicPartition;
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::{ClientException, CommitTrigger, ZooKeeperState};
use acklab_vocab::zookeeper::{WatchEvent, paths};
use events::{Event, EventRun};
use rebalance::SyncedRebalance;
use start::{Shutdown, Start};
use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Poll;

/// `topicRegistry`: what the consumer owns, as far as it knows, and how far it has been handed out.
#[derive(Debug, Default)]
pub(super) struct Registry {
    /// Ascending.
    partitions: Vec<TopicPartition>,
    /// Positions when the fetchers were stopped; while they run, theirs count.
    stopped_at: Option<Arc<[OffsetToCommit]>>,
}

/// The high-level consumer.
#[derive(Debug)]
pub(super) struct HighLevel {
    registry: Registry,
    /// `rebalanceLock`
    lock: Lock,
    /// `isWatcherTriggered`
    is_triggered: bool,
    /// For `ZkEventThread`.
    events: VecDeque<Event>,
    /// Somebody is told of changes of the brokers.
    watches_brokers: bool,
    has_started: bool,
    is_shutting_down: bool,
    is_closed: bool,
    next_auto_commit: SimTime,
    routines: Vec<(Thread, Routine)>,
    calls: VecDeque<ConsumerCall>,
    /// The last rebalance has failed.
    has_failed: bool,
    /// The connector could not be made: every call raises this.
    start_failure: Option<ClientException>,
}

#[derive(Debug)]
enum Routine {
    Start(Box<Start>),
    /// In the watcher's thread.
    Rebalance(Box<SyncedRebalance>),
    Event(Box<EventRun>),
    /// Inside the iterator, until then.
    Next(SimTime),
    Commit(Commit, bool),
    AutoCommit(Commit),
    Shutdown(Box<Shutdown>),
}

impl HighLevel {
    /// `Consumer.createJavaConsumerConnector`, and `createMessageStreams` at once.
    pub fn new(cx: &mut BalancedCx<'_>, shared: &mut Shared) -> Self {
        shared.zookeeper.start(cx);
        let interval = shared.setup.config.auto_commit;
        let start = Start::new(cx.now() + shared.setup.config.session_timeout);
        HighLevel {
            registry: Registry::default(),
            lock: Lock::default(),
            is_triggered: false,
            events: VecDeque::new(),
            watches_brokers: false,
            has_started: false,
            is_shutting_down: false,
            is_closed: false,
            next_auto_commit: interval.map_or(SimTime::NEVER, |interval| cx.now() + interval),
            routines: vec![(Thread::Main, Routine::Start(Box::new(start)))],
            calls: VecDeque::new(),
            has_failed: false,
            start_failure: None,
        }
    }

    pub fn call(&mut self, call: ConsumerCall) {
        self.calls.push_back(call);
    }

    pub const fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// It has started, no thread is rebalancing, and the last rebalance has succeeded.
    pub fn is_in_place(&self) -> bool {
        let is_busy = self.routines.iter().any(|(_, routine)| match routine {
            Routine::Start(_)
            | Routine::Rebalance(_)
            | Routine::Event(_)
            | Routine::Shutdown(_) => true,
            Routine::Next(_) | Routine::Commit(..) | Routine::AutoCommit(_) => false,
        });
        let waits = self.is_triggered || !self.events.is_empty();
        self.has_started && !is_busy && !waits && !self.has_failed && !self.is_shutting_down
    }

    pub fn is_committing(&self) -> bool {
        self.routines
            .iter()
            .any(|(_, routine)| matches!(routine, Routine::Commit(..) | Routine::AutoCommit(_)))
    }

    /// What it is doing, in words.
    pub fn state(&self) -> &'static str {
        match (self.has_started, self.is_in_place()) {
            _ if self.is_shutting_down => "stopped",
            (false, _) => "starting",
            (true, true) => "balanced",
            (true, false) if self.has_failed => "failed to rebalance",
            (true, false) => "rebalancing",
        }
    }

    // ---- what happens to it ---------------------------------------------------------------------

    /// `ZkClient.process`, of a state.
    pub fn on_state(
        &mut self,
        cx: &mut BalancedCx<'_>,
        shared: &mut Shared,
        state: ZooKeeperState,
    ) {
        if state != ZooKeeperState::Expired || shared.is_closing() {
            return;
        }
        shared.zookeeper.restart(cx);
        self.events.push_back(Event::NewSession);
        self.events.push_back(Event::Children(paths::consumer_ids(shared.group())));
        if self.watches_brokers {
            self.events.push_back(Event::Children(paths::broker_ids()));
        }
        let topics = shared.setup.topics.iter().copied();
        self.events.extend(topics.map(|topic| Event::Data(paths::topic(topic))));
    }

    /// `ZkClient.process`, of a znode.
    pub fn on_watch(&mut self, shared: &Shared, event: &WatchEvent) {
        let path = event.path.clone();
        let has_children =
            path == paths::consumer_ids(shared.group()) || path == paths::broker_ids();
        self.events.push_back(if has_children { Event::Children(path) } else { Event::Data(path) });
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
        let mut did = self.begin_what_is_due(cx, shared);
        let ready = self.routines.iter().position(|(thread, routine)| match wait_of(routine) {
            Wait::Lock => self.lock.is_held_by(*thread),
            Wait::Turn(until) => until <= cx.now() || shared.kafka.fetching.has_buffered(),
            wait => is_over(wait, shared, cx.now()),
        });
        if let Some(place) = ready {
            self.resume(cx, shared, place, Resume::Go);
            did = true;
        }
        did
    }

    /// The earliest instant at which a thread has something to do.
    pub fn deadline(&self) -> SimTime {
        let routines = self.routines.iter().map(|(_, routine)| wait_of(routine).deadline());
        let auto_commit = match self.is_inside(Thread::AutoCommit) {
            true => SimTime::NEVER,
            false => self.next_auto_commit,
        };
        routines.min().unwrap_or(SimTime::NEVER).min(auto_commit)
    }

    fn is_inside(&self, thread: Thread) -> bool {
        self.routines.iter().any(|(other, _)| *other == thread)
    }

    /// Threads that have nothing to do take up the next thing. Whether one did.
    fn begin_what_is_due(&mut self, cx: &mut BalancedCx<'_>, shared: &mut Shared) -> bool {
        let before = self.routines.len() + self.calls.len() + self.events.len();
        if self.is_triggered && !self.is_inside(Thread::Watcher) && !self.is_shutting_down {
            self.is_triggered = false;
            let rebalance = SyncedRebalance::new(&mut self.lock, Thread::Watcher);
            self.routines.push((Thread::Watcher, Routine::Rebalance(Box::new(rebalance))));
        }
        if !self.is_inside(Thread::Events)
            && let Some(event) = self.events.pop_front()
        {
            let run = EventRun::new(event);
            self.begin(cx, shared, Thread::Events, Routine::Event(Box::new(run)));
        }
        if !self.is_inside(Thread::Main)
            && let Some(call) = self.calls.pop_front()
        {
            self.begin_call(cx, shared, call);
        }
        self.begin_auto_commit(cx, shared);
        self.routines.len() + self.calls.len() + self.events.len() != before
    }

    fn begin_call(&mut self, cx: &mut BalancedCx<'_>, shared: &mut Shared, call: ConsumerCall) {
        if let Some(exception) = self.start_failure
            && call != ConsumerCall::Close
        {
            state_exception(cx, exception, true);
            cx.report(ConsumerReport::Raised(exception));
            return;
        }
        match call {
            ConsumerCall::Poll { timeout } => {
                let next = Routine::Next(cx.now() + timeout);
                self.begin(cx, shared, Thread::Main, next);
            }
            ConsumerCall::CommitSync { offsets, trigger } => {
                let commit = self.commit(shared, offsets, trigger);
                self.begin(cx, shared, Thread::Main, Routine::Commit(commit, false));
            }
            ConsumerCall::CommitAsync { offsets, trigger } => {
                let commit = self.commit(shared, offsets, trigger);
                self.begin(cx, shared, Thread::Main, Routine::Commit(commit, true));
            }
            ConsumerCall::Close => {
                let shutdown = Shutdown::new(self);
                self.begin(cx, shared, Thread::Main, Routine::Shutdown(Box::new(shutdown)));
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
            Routine::Rebalance(rebalance) => {
                let progress = rebalance.resume(cx, self, shared, thread, resume);
                // `error during syncedRebalance`
                if let Poll::Ready(Err(exception)) = progress {
                    state_exception(cx, exception, false);
                }
                progress
            }
            Routine::Event(run) => run.resume(cx, self, shared, resume),
            Routine::Next(until) => next(cx, shared, *until),
            Routine::Commit(commit, has_callback) => {
                let progress = commit.resume(cx, shared, thread, resume);
                if progress.is_ready() {
                    cx.report(match *has_callback {
                        false => ConsumerReport::Committed(None),
                        true => ConsumerReport::CommitCallback {
                            offsets: Arc::clone(commit.offsets()),
                            failure: None,
                        },
                    });
                }
                progress
            }
            Routine::AutoCommit(commit) => commit.resume(cx, shared, thread, resume),
            Routine::Shutdown(shutdown) => shutdown.resume(cx, self, shared, resume),
        };
        if progress.is_pending() {
            let place = place.min(self.routines.len());
            self.routines.insert(place, (thread, routine));
        }
    }

    // ---- commits, fetchers ----------------------------------------------------------------------

    /// What `commitOffsets` takes: everything handed out of what the registry has.
    fn handed_out(&self, shared: &Shared) -> Arc<[OffsetToCommit]> {
        let running = || shared.kafka.fetching.all_consumed();
        let all = self.registry.stopped_at.clone().unwrap_or_else(running);
        let is_own =
            |it: &&OffsetToCommit| self.registry.partitions.binary_search(&it.partition).is_ok();
        all.iter().filter(is_own).copied().collect()
    }

    fn commit(
        &self,
        shared: &Shared,
        offsets: Option<Arc<[OffsetToCommit]>>,
        trigger: CommitTrigger,
    ) -> Commit {
        let config = &shared.setup.config;
        let retries = if self.is_shutting_down { config.offsets_commit_max_retries } else { 0 };
        let policy = CommitPolicy {
            tries: 1 + retries,
            backoff: config.offsets_channel_backoff,
            is_pykafka: false,
            storage: config.offsets_storage,
            member: None,
        };
        Commit::new(policy, trigger, offsets.unwrap_or_else(|| self.handed_out(shared)))
    }

    fn begin_auto_commit(&mut self, cx: &mut BalancedCx<'_>, shared: &mut Shared) {
        if self.next_auto_commit > cx.now() || self.is_inside(Thread::AutoCommit) {
            return;
        }
        let interval = shared.setup.config.auto_commit.unwrap_or(SimDuration::MAX);
        while self.next_auto_commit <= cx.now() {
            self.next_auto_commit += interval;
        }
        let commit = self.commit(shared, None, CommitTrigger::AutoInterval);
        self.begin(cx, shared, Thread::AutoCommit, Routine::AutoCommit(commit));
    }

    /// `stopConnections`, and the queues and the iterator are cleared.
    fn stop_fetchers(&mut self, cx: &mut BalancedCx<'_>, shared: &mut Shared) {
        if self.registry.stopped_at.is_none() {
            self.registry.stopped_at = Some(shared.kafka.fetching.all_consumed());
            shared.stop_fetching(cx);
        }
    }
}

fn wait_of(routine: &Routine) -> Wait {
    match routine {
        Routine::Start(start) => start.wait(),
        Routine::Rebalance(rebalance) => rebalance.wait(),
        Routine::Event(run) => run.wait(),
        Routine::Next(until) => Wait::Turn(*until),
        Routine::Commit(commit, _) | Routine::AutoCommit(commit) => commit.wait(),
        Routine::Shutdown(shutdown) => shutdown.wait(),
    }
}

/// `ConsumerIterator.next`: one message, or the end of `consumer.timeout.ms`.
fn next(cx: &mut BalancedCx<'_>, shared: &mut Shared, until: SimTime) -> super::threads::Progress {
    let records = shared.kafka.collect(cx);
    if records.is_empty() && cx.now() < until {
        return Poll::Pending;
    }
    cx.report(ConsumerReport::Polled(records));
    super::threads::RETURNED
}
