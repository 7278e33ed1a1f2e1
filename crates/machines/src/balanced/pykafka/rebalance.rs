//! `_rebalance()` and `_update_member_assignment()`: what the consumer has handed out is committed, whoever owns it by
//! now; then, under the lock, it computes its share from what ZooKeeper lists, deletes the znodes that it must give up,
//! and creates those that it gains.
//!
//! A znode of its gain that another consumer still holds is `PartitionOwnedError`: it waits, and tries again. What it has
//! claimed or given up by then stays so, while the inner consumer still has the old partitions.

use super::rebuild::Rebuild;
use super::{Pykafka, is_gone, policy};
use crate::balanced::BalancedCx;
use crate::balanced::commit::Commit;
use crate::balanced::shared::{Shared, create_folder, delete, with_ancestors};
use crate::balanced::shares::{ConsumerId, Led, owner_name, range_share, sorted_as_text};
use crate::balanced::threads::{
    Progress, RETURNED, Resume, Thread, Wait, exception_of, raised, state_exception,
};
use acklab_vocab::api::{ZooKeeperOperation, ZooKeeperReply};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::{BalanceOutcome, ClientException, CommitTrigger, TraceEvent};
use acklab_vocab::zookeeper::{ZnodeData, ZnodePath, ZooKeeperError, paths};
use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Poll;

/// A thread inside `_rebalance()`.
#[derive(Debug)]
pub(super) struct Rebalance {
    attempt: u32,
    participants: Vec<ConsumerId>,
    /// Children that are still to be read.
    unread: VecDeque<Arc<str>>,
    /// The znodes of owners that this consumer has.
    held: Vec<Led>,
    share: Vec<Led>,
    /// To be deleted, and to be created.
    changes: VecDeque<Led>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    New,
    Committing(Commit),
    AwaitingLock,
    ListingParticipants,
    ReadingParticipant,
    AddingSelf(AddSelf),
    ListingOwners,
    ReadingOwner,
    GivingUp,
    Taking,
    Rebuilding(Box<Rebuild>),
    Sleeping(SimTime),
}

impl Rebalance {
    pub const fn new() -> Self {
        Rebalance {
            attempt: 0,
            participants: Vec::new(),
            unread: VecDeque::new(),
            held: Vec::new(),
            share: Vec::new(),
            changes: VecDeque::new(),
            stage: Stage::New,
        }
    }

    pub fn wait(&self) -> Wait {
        match &self.stage {
            Stage::Committing(commit) => commit.wait(),
            Stage::AwaitingLock => Wait::Lock,
            Stage::Rebuilding(rebuild) => rebuild.wait(),
            Stage::Sleeping(until) => Wait::Until(*until),
            Stage::New
            | Stage::ListingParticipants
            | Stage::ReadingParticipant
            | Stage::AddingSelf(_)
            | Stage::ListingOwners
            | Stage::ReadingOwner
            | Stage::GivingUp
            | Stage::Taking => Wait::Answer,
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
            Stage::New => return self.begin(cx, pykafka, shared, thread),
            Stage::Committing(commit) => {
                return match commit.resume(cx, shared, thread, resume) {
                    Poll::Ready(Ok(())) => self.await_lock(pykafka, thread),
                    other => other,
                };
            }
            _ => {}
        }
        let progress = self.resume_locked(cx, pykafka, shared, thread, resume);
        if progress.is_ready() {
            pykafka.lock.release(thread);
        }
        progress
    }

    fn begin(
        &mut self,
        cx: &mut BalancedCx<'_>,
        pykafka: &mut Pykafka,
        shared: &mut Shared,
        thread: Thread,
    ) -> Progress {
        if pykafka.inner.is_none() {
            return self.await_lock(pykafka, thread);
        }
        // `commit_offsets()` raises what a thread has raised before.
        if let Some(exception) = pykafka.worker_exception {
            return raised(exception);
        }
        let offsets = shared.kafka.fetching.all_consumed();
        let policy = policy(&shared.setup.config, pykafka.member);
        let mut commit = Commit::new(policy, CommitTrigger::AutoRevocation, offsets);
        let progress = commit.resume(cx, shared, thread, Resume::Go);
        self.stage = Stage::Committing(commit);
        match progress {
            Poll::Ready(Ok(())) => self.await_lock(pykafka, thread),
            other => other,
        }
    }

    fn await_lock(&mut self, pykafka: &mut Pykafka, thread: Thread) -> Progress {
        pykafka.lock.ask(thread);
        self.stage = Stage::AwaitingLock;
        Poll::Pending
    }

    // ---- under the lock -------------------------------------------------------------------------

    fn resume_locked(
        &mut self,
        cx: &mut BalancedCx<'_>,
        pykafka: &mut Pykafka,
        shared: &mut Shared,
        thread: Thread,
        resume: Resume,
    ) -> Progress {
        match &mut self.stage {
            Stage::AwaitingLock if !pykafka.is_running => {
                raised(ClientException::ConsumerStoppedException)
            }
            Stage::AwaitingLock | Stage::Sleeping(_) => self.attempt(cx, shared, thread),
            Stage::ListingParticipants => self.on_participants(cx, shared, thread, resume),
            Stage::ReadingParticipant => self.on_participant(cx, shared, thread, resume),
            Stage::AddingSelf(adding) => match adding.resume(cx, shared, thread, resume) {
                Poll::Ready(Ok(())) => {
                    self.participants.push(Arc::clone(&shared.id));
                    self.list_owners(cx, shared, thread)
                }
                Poll::Ready(Err(error)) => self.fail(cx, error),
                Poll::Pending => Poll::Pending,
            },
            Stage::ListingOwners => match resume.zookeeper() {
                Ok(ZooKeeperReply::Children(names, _)) => {
                    self.held.clear();
                    self.unread = names.into();
                    self.read_next_owner(cx, pykafka, shared, thread)
                }
                Ok(other) => unreachable!("answered a getChildren with {other:?}"),
                Err(error) => self.fail(cx, error),
            },
            Stage::ReadingOwner => self.on_owner(cx, pykafka, shared, thread, resume),
            Stage::GivingUp => match resume.zookeeper() {
                Err(error) if !is_gone(error) => self.fail(cx, error),
                Ok(_) | Err(_) => {
                    self.changes.pop_front();
                    self.give_up(cx, pykafka, shared, thread)
                }
            },
            Stage::Taking => self.on_taken(cx, pykafka, shared, thread, resume),
            Stage::Rebuilding(rebuild) => {
                let progress = rebuild.resume(cx, pykafka, shared, thread, resume);
                self.after_rebuild(cx, progress)
            }
            Stage::New | Stage::Committing(_) => unreachable!("these come before the lock"),
        }
    }

    fn attempt(
        &mut self,
        cx: &mut BalancedCx<'_>,
        shared: &mut Shared,
        thread: Thread,
    ) -> Progress {
        if self.attempt >= shared.setup.config.rebalance_max_retries {
            return RETURNED;
        }
        let path = paths::consumer_ids(shared.group());
        shared.ask(cx, thread, ZooKeeperOperation::GetChildren { path, watch: false });
        self.stage = Stage::ListingParticipants;
        Poll::Pending
    }

    /// An exception ends the rebalance.
    fn fail(&self, cx: &mut BalancedCx<'_>, error: ZooKeeperError) -> Progress {
        self.state(cx, BalanceOutcome::ZooKeeperFailed(error));
        raised(exception_of(error))
    }

    fn state(&self, cx: &mut BalancedCx<'_>, outcome: BalanceOutcome) {
        let attempt = self.attempt;
        cx.trace(|| TraceEvent::BalanceAttempted { attempt, outcome });
    }

    // ---- who takes part -------------------------------------------------------------------------

    fn on_participants(
        &mut self,
        cx: &mut BalancedCx<'_>,
        shared: &mut Shared,
        thread: Thread,
        resume: Resume,
    ) -> Progress {
        self.participants.clear();
        match resume.zookeeper() {
            Ok(ZooKeeperReply::Children(names, _)) => self.unread = names.into(),
            Ok(other) => unreachable!("answered a getChildren with {other:?}"),
            Err(error) if is_gone(error) => self.unread.clear(),
            Err(error) => return self.fail(cx, error),
        }
        self.read_next_participant(cx, shared, thread)
    }

    fn read_next_participant(
        &mut self,
        cx: &mut BalancedCx<'_>,
        shared: &mut Shared,
        thread: Thread,
    ) -> Progress {
        if let Some(name) = self.unread.front() {
            let path = paths::consumer_ids(shared.group()).child(name);
            shared.ask(cx, thread, ZooKeeperOperation::GetData { path, watch: false });
            self.stage = Stage::ReadingParticipant;
            return Poll::Pending;
        }
        if self.participants.contains(&shared.id) {
            return self.list_owners(cx, shared, thread);
        }
        // Its session has expired.
        self.stage = Stage::AddingSelf(AddSelf::begin(cx, shared, thread));
        Poll::Pending
    }

    fn on_participant(
        &mut self,
        cx: &mut BalancedCx<'_>,
        shared: &mut Shared,
        thread: Thread,
        resume: Resume,
    ) -> Progress {
        let Some(name) = self.unread.pop_front() else { unreachable!("it was in front") };
        match resume.zookeeper() {
            Ok(ZooKeeperReply::Data(ZnodeData::Consumer { topics, .. }, _)) => {
                if topics.contains(&shared.topic()) {
                    self.participants.push(name);
                }
            }
            Ok(_) => {}
            Err(error) if is_gone(error) => {}
            Err(error) => return self.fail(cx, error),
        }
        self.read_next_participant(cx, shared, thread)
    }

    // ---- what it has, and what it should have ---------------------------------------------------

    /// `decide_partitions()`, and then `_get_held_partitions()`.
    fn list_owners(
        &mut self,
        cx: &mut BalancedCx<'_>,
        shared: &mut Shared,
        thread: Thread,
    ) -> Progress {
        let Some(partitions) = shared.led_partitions() else {
            self.state(cx, BalanceOutcome::BrokerFailed(ErrorCode::LeaderNotAvailable));
            return raised(ClientException::KafkaException);
        };
        self.share = share_of(partitions, &mut self.participants, &shared.id);
        let path = paths::partition_owners(shared.group(), shared.topic());
        shared.ask(cx, thread, ZooKeeperOperation::GetChildren { path, watch: false });
        self.stage = Stage::ListingOwners;
        Poll::Pending
    }

    fn read_next_owner(
        &mut self,
        cx: &mut BalancedCx<'_>,
        pykafka: &mut Pykafka,
        shared: &mut Shared,
        thread: Thread,
    ) -> Progress {
        if let Some(name) = self.unread.front() {
            let path = paths::partition_owners(shared.group(), shared.topic()).child(name);
            shared.ask(cx, thread, ZooKeeperOperation::GetData { path, watch: false });
            self.stage = Stage::ReadingOwner;
            return Poll::Pending;
        }
        self.held.sort_unstable();
        self.held.dedup();
        let to_give_up = self.held.iter().filter(|led| !self.share.contains(led));
        self.changes = to_give_up.copied().collect();
        self.give_up(cx, pykafka, shared, thread)
    }

    fn on_owner(
        &mut self,
        cx: &mut BalancedCx<'_>,
        pykafka: &mut Pykafka,
        shared: &mut Shared,
        thread: Thread,
        resume: Resume,
    ) -> Progress {
        self.unread.pop_front();
        match resume.zookeeper() {
            Ok(ZooKeeperReply::Data(ZnodeData::Owner { partition, .. }, stat)) => {
                // Of the znode's name only the partition counts: the leader is as the metadata have it.
                let led = shared.led_partitions().unwrap_or_default();
                let known = led.into_iter().find(|(known, _)| *known == partition);
                // The consumer's id lives as long as its session, so that stands for the id in the data.
                self.held.extend(known.filter(|_| shared.is_own(&stat)));
            }
            Ok(_) => {}
            Err(error) if is_gone(error) => {}
            Err(error) => return self.fail(cx, error),
        }
        self.read_next_owner(cx, pykafka, shared, thread)
    }

    // ---- giving up and taking -------------------------------------------------------------------

    /// `_remove_partitions()`; when that is done `_add_partitions()`.
    fn give_up(
        &mut self,
        cx: &mut BalancedCx<'_>,
        pykafka: &mut Pykafka,
        shared: &mut Shared,
        thread: Thread,
    ) -> Progress {
        if let Some(&led) = self.changes.front() {
            shared.ask(cx, thread, delete(owner_path(shared, led)));
            self.stage = Stage::GivingUp;
            return Poll::Pending;
        }
        let to_take = self.share.iter().filter(|led| !self.held.contains(led));
        self.changes = to_take.copied().collect();
        self.take_next(cx, pykafka, shared, thread)
    }

    fn on_taken(
        &mut self,
        cx: &mut BalancedCx<'_>,
        pykafka: &mut Pykafka,
        shared: &mut Shared,
        thread: Thread,
        resume: Resume,
    ) -> Progress {
        let Some(&led) = self.changes.front() else { unreachable!("it was being taken") };
        match resume.zookeeper() {
            Ok(_) => {
                self.changes.pop_front();
                self.take_next(cx, pykafka, shared, thread)
            }
            Err(ZooKeeperError::NodeExists) => self.on_owned(cx, shared, led),
            Err(error) => self.fail(cx, error),
        }
    }

    fn take_next(
        &mut self,
        cx: &mut BalancedCx<'_>,
        pykafka: &mut Pykafka,
        shared: &mut Shared,
        thread: Thread,
    ) -> Progress {
        if let Some(&led) = self.changes.front() {
            let operation = shared.create_owner(cx, led.0, &owner_name(led));
            shared.ask(cx, thread, operation);
            self.stage = Stage::Taking;
            return Poll::Pending;
        }
        let mut partitions: Vec<_> = self.share.iter().map(|led| led.0).collect();
        partitions.sort_unstable();
        let mut rebuild = Box::new(Rebuild::new(partitions));
        let progress = rebuild.resume(cx, pykafka, shared, thread, Resume::Go);
        self.stage = Stage::Rebuilding(rebuild);
        self.after_rebuild(cx, progress)
    }

    /// `PartitionOwnedError`
    fn on_owned(&mut self, cx: &mut BalancedCx<'_>, shared: &Shared, led: Led) -> Progress {
        let exception = ClientException::PartitionOwnedError;
        self.state(cx, BalanceOutcome::Owned(led.0));
        state_exception(cx, exception, false);
        if self.attempt + 1 >= shared.setup.config.rebalance_max_retries {
            return raised(exception);
        }
        let wait = shared.setup.config.rebalance_backoff * u64::from(self.attempt);
        self.attempt += 1;
        self.stage = Stage::Sleeping(cx.now() + wait);
        Poll::Pending
    }

    fn after_rebuild(&self, cx: &mut BalancedCx<'_>, progress: Progress) -> Progress {
        match progress {
            Poll::Ready(Ok(())) => self.state(cx, BalanceOutcome::Done),
            Poll::Ready(Err(_)) => {
                let error = ErrorCode::CoordinatorNotAvailable;
                self.state(cx, BalanceOutcome::BrokerFailed(error));
            }
            Poll::Pending => {}
        }
        progress
    }
}

/// `decide_partitions_range()`
fn share_of(partitions: Vec<Led>, participants: &mut [ConsumerId], own: &ConsumerId) -> Vec<Led> {
    participants.sort_unstable();
    let place = participants.iter().position(|id| id == own).expect("it takes part");
    let sorted = sorted_as_text(partitions);
    let share = range_share(sorted.len(), participants.len(), place);
    sorted[share].to_vec()
}

fn owner_path(shared: &Shared, led: Led) -> ZnodePath {
    paths::partition_owners(shared.group(), shared.topic()).child(owner_name(led))
}

/// `_add_self()`: creates the consumer's znode, and the folders above it where they are missing.
#[derive(Debug)]
pub(super) struct AddSelf {
    folders: Option<VecDeque<ZnodePath>>,
}

impl AddSelf {
    pub fn begin(cx: &mut BalancedCx<'_>, shared: &mut Shared, thread: Thread) -> Self {
        let operation = shared.create_self(cx);
        shared.ask(cx, thread, operation);
        AddSelf { folders: None }
    }

    pub fn resume(
        &mut self,
        cx: &mut BalancedCx<'_>,
        shared: &mut Shared,
        thread: Thread,
        resume: Resume,
    ) -> Poll<Result<(), ZooKeeperError>> {
        let result = resume.zookeeper();
        match (&mut self.folders, result) {
            (None, Err(ZooKeeperError::NoNode)) => {
                self.folders = Some(with_ancestors(paths::consumer_ids(shared.group())));
            }
            (None, result) => return Poll::Ready(result.map(|_| ())),
            (Some(_), Ok(_) | Err(ZooKeeperError::NodeExists)) => {}
            (Some(_), Err(error)) => return Poll::Ready(Err(error)),
        }
        match self.folders.as_mut().and_then(VecDeque::pop_front) {
            Some(folder) => shared.ask(cx, thread, create_folder(folder)),
            None => *self = AddSelf::begin(cx, shared, thread),
        }
        Poll::Pending
    }
}
