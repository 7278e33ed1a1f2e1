//! The connector comes and goes: the constructor and `createMessageStreams`, which register the consumer and rebalance for
//! the first time in the caller's thread; `registerConsumerInZK`; `shutdown`.

use super::HighLevel;
use super::rebalance::SyncedRebalance;
use crate::balanced::BalancedCx;
use crate::balanced::commit::Commit;
use crate::balanced::shared::{Shared, create_folder, with_ancestors};
use crate::balanced::threads::{Progress, RETURNED, Resume, Thread, Wait};
use crate::consumer::ConsumerReport;
use acklab_vocab::api::{ZooKeeperOperation, ZooKeeperReply};
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::{ClientException, CommitTrigger};
use acklab_vocab::zookeeper::{ZnodePath, ZooKeeperError, paths};
use std::collections::VecDeque;
use std::task::Poll;

/// The main thread inside the constructor and `createMessageStreams`.
#[derive(Debug)]
pub(super) struct Start {
    stage: StartStage,
}

#[derive(Debug)]
enum StartStage {
    Connecting(SimTime),
    Registering(Register),
    /// Watches are set one after the other.
    Subscribing(VecDeque<ZooKeeperOperation>),
    Rebalancing(Box<SyncedRebalance>),
}

impl Start {
    pub const fn new(gives_up_at: SimTime) -> Self {
        Start { stage: StartStage::Connecting(gives_up_at) }
    }

    pub fn wait(&self) -> Wait {
        match &self.stage {
            StartStage::Connecting(until) => Wait::Session(*until),
            StartStage::Registering(register) => register.wait(),
            StartStage::Subscribing(_) => Wait::Answer,
            StartStage::Rebalancing(rebalance) => rebalance.wait(),
        }
    }

    pub fn resume(
        &mut self,
        cx: &mut BalancedCx<'_>,
        high_level: &mut HighLevel,
        shared: &mut Shared,
        resume: Resume,
    ) -> Progress {
        let thread = Thread::Main;
        let progress = match &mut self.stage {
            StartStage::Connecting(_) if !shared.is_connected() => {
                shared.close_session(cx);
                Poll::Ready(Err(ClientException::ZkTimeoutException))
            }
            StartStage::Connecting(_) => {
                self.stage = StartStage::Registering(Register::begin(cx, shared, thread));
                Poll::Pending
            }
            StartStage::Registering(register) => {
                match register.resume(cx, shared, thread, resume) {
                    Poll::Ready(Ok(())) => {
                        self.subscribe(cx, high_level, shared, subscriptions(shared))
                    }
                    other => other,
                }
            }
            StartStage::Subscribing(left) => {
                let left = std::mem::take(left);
                self.subscribe(cx, high_level, shared, left)
            }
            StartStage::Rebalancing(rebalance) => {
                rebalance.resume(cx, high_level, shared, thread, resume)
            }
        };
        match progress {
            Poll::Pending => {}
            Poll::Ready(Ok(())) => high_level.has_started = true,
            Poll::Ready(Err(exception)) => high_level.start_failure = Some(exception),
        }
        progress
    }

    fn subscribe(
        &mut self,
        cx: &mut BalancedCx<'_>,
        high_level: &mut HighLevel,
        shared: &mut Shared,
        mut left: VecDeque<ZooKeeperOperation>,
    ) -> Progress {
        if let Some(operation) = left.pop_front() {
            shared.ask_until_answered(cx, Thread::Main, operation);
            self.stage = StartStage::Subscribing(left);
        } else {
            let rebalance = SyncedRebalance::new(&mut high_level.lock, Thread::Main);
            self.stage = StartStage::Rebalancing(Box::new(rebalance));
        }
        Poll::Pending
    }
}

/// `subscribeChildChanges` of the ids, `subscribeDataChanges` of the topics.
fn subscriptions(shared: &Shared) -> VecDeque<ZooKeeperOperation> {
    let ids = paths::consumer_ids(shared.group());
    let mut all = VecDeque::from([
        ZooKeeperOperation::Exists { path: ids.clone(), watch: true },
        ZooKeeperOperation::GetChildren { path: ids, watch: true },
    ]);
    let topics = shared.setup.topics.iter().copied().map(paths::topic);
    all.extend(topics.map(|path| ZooKeeperOperation::Exists { path, watch: true }));
    all
}

/// `registerConsumerInZK`. A znode of the same name that an earlier session has left is waited for.
#[derive(Debug)]
pub(super) struct Register {
    stage: RegisterStage,
}

#[derive(Debug)]
enum RegisterStage {
    Creating,
    MakingFolders(VecDeque<ZnodePath>),
    /// The znode is there: whose is it?
    Reading,
    Sleeping(SimTime),
}

impl Register {
    pub fn begin(cx: &mut BalancedCx<'_>, shared: &mut Shared, thread: Thread) -> Self {
        let operation = shared.create_self(cx);
        shared.ask_until_answered(cx, thread, operation);
        Register { stage: RegisterStage::Creating }
    }

    pub const fn wait(&self) -> Wait {
        match &self.stage {
            RegisterStage::Sleeping(until) => Wait::Until(*until),
            RegisterStage::Creating | RegisterStage::MakingFolders(_) | RegisterStage::Reading => {
                Wait::Answer
            }
        }
    }

    pub fn resume(
        &mut self,
        cx: &mut BalancedCx<'_>,
        shared: &mut Shared,
        thread: Thread,
        resume: Resume,
    ) -> Progress {
        match &mut self.stage {
            RegisterStage::Creating => match resume.zookeeper() {
                Ok(_) => RETURNED,
                Err(ZooKeeperError::NoNode) => {
                    let folders = with_ancestors(paths::consumer_ids(shared.group()));
                    self.make_folders(cx, shared, thread, folders)
                }
                Err(_) => {
                    let operation =
                        ZooKeeperOperation::Exists { path: shared.own_path(), watch: false };
                    shared.ask_until_answered(cx, thread, operation);
                    self.stage = RegisterStage::Reading;
                    Poll::Pending
                }
            },
            RegisterStage::MakingFolders(left) => {
                let left = std::mem::take(left);
                self.make_folders(cx, shared, thread, left)
            }
            RegisterStage::Reading => match resume.zookeeper() {
                Ok(ZooKeeperReply::Exists(Some(stat))) if shared.is_own(&stat) => RETURNED,
                _ => {
                    let until = cx.now() + shared.setup.config.session_timeout;
                    self.stage = RegisterStage::Sleeping(until);
                    Poll::Pending
                }
            },
            RegisterStage::Sleeping(_) => {
                *self = Register::begin(cx, shared, thread);
                Poll::Pending
            }
        }
    }

    fn make_folders(
        &mut self,
        cx: &mut BalancedCx<'_>,
        shared: &mut Shared,
        thread: Thread,
        mut left: VecDeque<ZnodePath>,
    ) -> Progress {
        match left.pop_front() {
            Some(folder) => {
                shared.ask_until_answered(cx, thread, create_folder(folder));
                self.stage = RegisterStage::MakingFolders(left);
            }
            None => *self = Register::begin(cx, shared, thread),
        }
        Poll::Pending
    }
}

/// The main thread inside `shutdown`.
#[derive(Debug)]
pub(super) struct Shutdown {
    stage: ShutdownStage,
}

#[derive(Debug)]
enum ShutdownStage {
    AwaitingLock,
    Committing(Commit),
    Closing,
}

impl Shutdown {
    pub fn new(high_level: &mut HighLevel) -> Self {
        high_level.is_shutting_down = true;
        high_level.next_auto_commit = SimTime::NEVER;
        high_level.lock.ask(Thread::Main);
        Shutdown { stage: ShutdownStage::AwaitingLock }
    }

    pub const fn wait(&self) -> Wait {
        match &self.stage {
            ShutdownStage::AwaitingLock => Wait::Lock,
            ShutdownStage::Committing(commit) => commit.wait(),
            ShutdownStage::Closing => Wait::Closed,
        }
    }

    pub fn resume(
        &mut self,
        cx: &mut BalancedCx<'_>,
        high_level: &mut HighLevel,
        shared: &mut Shared,
        resume: Resume,
    ) -> Progress {
        match &mut self.stage {
            ShutdownStage::AwaitingLock if !high_level.lock.is_held_by(Thread::Main) => {
                Poll::Pending
            }
            ShutdownStage::AwaitingLock => {
                high_level.stop_fetchers(cx, shared);
                if shared.setup.config.auto_commit.is_none() {
                    return self.close(cx, high_level, shared);
                }
                let mut commit = high_level.commit(shared, None, CommitTrigger::AutoClose);
                let progress = commit.resume(cx, shared, Thread::Main, Resume::Go);
                self.stage = ShutdownStage::Committing(commit);
                self.after_commit(cx, high_level, shared, progress)
            }
            ShutdownStage::Committing(commit) => {
                let progress = commit.resume(cx, shared, Thread::Main, resume);
                self.after_commit(cx, high_level, shared, progress)
            }
            ShutdownStage::Closing => closed(cx, high_level, shared),
        }
    }

    fn after_commit(
        &mut self,
        cx: &mut BalancedCx<'_>,
        high_level: &mut HighLevel,
        shared: &mut Shared,
        progress: Progress,
    ) -> Progress {
        match progress {
            Poll::Pending => Poll::Pending,
            Poll::Ready(_) => self.close(cx, high_level, shared),
        }
    }

    fn close(
        &mut self,
        cx: &mut BalancedCx<'_>,
        high_level: &mut HighLevel,
        shared: &mut Shared,
    ) -> Progress {
        if shared.is_closed() {
            return closed(cx, high_level, shared);
        }
        shared.close_session(cx);
        self.stage = ShutdownStage::Closing;
        Poll::Pending
    }
}

fn closed(cx: &mut BalancedCx<'_>, high_level: &mut HighLevel, shared: &mut Shared) -> Progress {
    high_level.lock.release(Thread::Main);
    shared.kafka.client.close(cx);
    high_level.is_closed = true;
    cx.report(ConsumerReport::Closed);
    RETURNED
}
