//! A commit, as a thread goes through it: at the coordinator, without a generation, or in znodes.
//!
//! Mirrors `ZookeeperConsumerConnector.commitOffsets` and pykafka's `SimpleConsumer.commit_offsets`. The former tries once,
//! and logs; only in `shutdown()` it tries again. The latter tries several times, waiting longer each time, and then
//! returns as if nothing were wrong, unless the connection was lost the last time.

use super::BalancedCx;
use super::shared::{Shared, create_folder, with_ancestors};
use super::threads::{Progress, RETURNED, Resume, Thread, Wait, raised};
use crate::client::Loss;
use acklab_vocab::api::{
    OffsetCommitRequest, OffsetToCommit, Request, Response, ZooKeeperOperation,
};
use acklab_vocab::config::OffsetsStorage;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::MemberId;
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::{ClientException, CommitFailure, CommitTrigger, TraceEvent};
use acklab_vocab::zookeeper::{CreateMode, ZnodePath, ZooKeeperError, paths};
use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Poll;

/// How a library commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CommitPolicy {
    /// Attempts at the coordinator.
    pub tries: u32,
    /// Between them; times their number, if it grows.
    pub backoff: SimDuration,
    /// The wait grows, and a connection lost in the last attempt is raised: pykafka.
    pub is_pykafka: bool,
    pub storage: OffsetsStorage,
    /// Sent along, if any.
    pub member: Option<MemberId>,
}

/// A commit that a thread waits for.
#[derive(Debug)]
pub(super) struct Commit {
    policy: CommitPolicy,
    trigger: CommitTrigger,
    offsets: Arc<[OffsetToCommit]>,
    /// What the coordinator has not accepted yet.
    remaining: Vec<OffsetToCommit>,
    attempt: u32,
    failure: Option<CommitFailure>,
    /// What is still to be written to znodes.
    to_write: VecDeque<OffsetToCommit>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    New,
    Sleeping(SimTime),
    Asking,
    /// The znode is written.
    Writing,
    /// It does not exist: the folders above it, and then it.
    MakingFolders(VecDeque<ZnodePath>),
    Creating,
}

impl Commit {
    pub fn new(
        policy: CommitPolicy,
        trigger: CommitTrigger,
        offsets: Arc<[OffsetToCommit]>,
    ) -> Self {
        Commit {
            policy,
            trigger,
            remaining: offsets.to_vec(),
            offsets,
            attempt: 0,
            failure: None,
            to_write: VecDeque::new(),
            stage: Stage::New,
        }
    }

    /// What was to be committed.
    pub fn offsets(&self) -> &Arc<[OffsetToCommit]> {
        &self.offsets
    }

    pub const fn wait(&self) -> Wait {
        match self.stage {
            Stage::Sleeping(until) => Wait::Until(until),
            Stage::New
            | Stage::Asking
            | Stage::Writing
            | Stage::MakingFolders(_)
            | Stage::Creating => Wait::Answer,
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
            Stage::New => self.begin(cx, shared, thread),
            Stage::Sleeping(_) => self.send(cx, shared, thread),
            Stage::Asking => self.on_answer(cx, shared, thread, resume.kafka()),
            Stage::Writing => match resume.zookeeper() {
                Err(ZooKeeperError::NoNode) => {
                    let topic = self.to_write[0].partition.topic;
                    let folder = paths::consumer_offsets(shared.group(), topic);
                    self.make_folders(cx, shared, thread, with_ancestors(folder))
                }
                result => self.on_written(cx, shared, thread, result.err()),
            },
            Stage::MakingFolders(left) => {
                let left = std::mem::take(left);
                self.make_folders(cx, shared, thread, left)
            }
            Stage::Creating => match resume.zookeeper() {
                Err(ZooKeeperError::NodeExists) => self.write_next(cx, shared, thread),
                result => self.on_written(cx, shared, thread, result.err()),
            },
        }
    }

    fn begin(&mut self, cx: &mut BalancedCx<'_>, shared: &mut Shared, thread: Thread) -> Progress {
        if self.offsets.is_empty() {
            return RETURNED;
        }
        match self.policy.storage {
            OffsetsStorage::Kafka | OffsetsStorage::Both => self.send(cx, shared, thread),
            OffsetsStorage::ZooKeeper => {
                let (trigger, offsets) = (self.trigger, Arc::clone(&self.offsets));
                cx.trace(|| TraceEvent::CommitSent { trigger, offsets });
                self.remaining.clear();
                self.write_znodes(cx, shared, thread, self.offsets.to_vec())
            }
        }
    }

    // ---- at the coordinator ---------------------------------------------------------------------

    fn send(&mut self, cx: &mut BalancedCx<'_>, shared: &mut Shared, thread: Thread) -> Progress {
        let request = Request::OffsetCommit(OffsetCommitRequest {
            group: shared.group(),
            generation: None,
            member: self.policy.member,
            instance: None,
            offsets: self.remaining.as_slice().into(),
            understands_member_epochs: false,
        });
        shared.kafka.ask(cx.now(), thread, request, Some(self.trigger));
        self.stage = Stage::Asking;
        Poll::Pending
    }

    fn on_answer(
        &mut self,
        cx: &mut BalancedCx<'_>,
        shared: &mut Shared,
        thread: Thread,
        answer: Result<Box<Response>, Loss>,
    ) -> Progress {
        let answer = match answer.as_deref() {
            Ok(Response::OffsetCommit(answer)) => answer,
            Ok(other) => unreachable!("answered an OffsetCommit with {other:?}"),
            Err(loss) => {
                shared.kafka.forget_coordinator(cx);
                self.failure = Some(CommitFailure::Retriable(loss.error()));
                if self.policy.is_pykafka && self.attempt + 1 >= self.policy.tries {
                    let _ = self.end(cx);
                    return raised(ClientException::KafkaException);
                }
                return self.try_again(cx);
            }
        };
        let error_of = |offset: &OffsetToCommit| {
            let entry = answer.partitions.iter().find(|entry| entry.0 == offset.partition);
            entry.map_or(ErrorCode::None, |entry| entry.1)
        };
        let sent = std::mem::take(&mut self.remaining);
        let (accepted, refused): (Vec<_>, Vec<_>) =
            sent.into_iter().partition(|offset| error_of(offset).is_none());
        let error = refused.first().map(error_of);
        for offset in &accepted {
            shared.learn_committed(offset.partition, offset.offset);
        }
        self.remaining = refused;
        self.failure = error.map(failure_of);
        if let Some(ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable) = error {
            shared.kafka.forget_coordinator(cx);
        }
        if self.policy.storage == OffsetsStorage::Both && !accepted.is_empty() {
            return self.write_znodes(cx, shared, thread, accepted);
        }
        self.after_attempt(cx)
    }

    fn after_attempt(&mut self, cx: &mut BalancedCx<'_>) -> Progress {
        let raises = matches!(
            self.failure,
            Some(CommitFailure::Other(
                ErrorCode::UnknownTopicOrPartition | ErrorCode::OffsetMetadataTooLarge
            ))
        );
        if self.policy.is_pykafka && raises {
            let _ = self.end(cx);
            return raised(ClientException::KafkaException);
        }
        match self.remaining.is_empty() {
            true => self.end(cx),
            false => self.try_again(cx),
        }
    }

    fn try_again(&mut self, cx: &mut BalancedCx<'_>) -> Progress {
        self.attempt += 1;
        if self.attempt >= self.policy.tries {
            return self.end(cx);
        }
        let wait = match self.policy.is_pykafka {
            true => self.policy.backoff * u64::from(self.attempt),
            false => self.policy.backoff,
        };
        self.stage = Stage::Sleeping(cx.now() + wait);
        Poll::Pending
    }

    fn end(&mut self, cx: &mut BalancedCx<'_>) -> Progress {
        let (trigger, offsets, failure) = (self.trigger, Arc::clone(&self.offsets), self.failure);
        cx.trace(|| TraceEvent::CommitCompleted { trigger, offsets, failure });
        RETURNED
    }

    // ---- in znodes ------------------------------------------------------------------------------

    /// `commitOffsetToZooKeeper`: what has not changed is not written.
    fn write_znodes(
        &mut self,
        cx: &mut BalancedCx<'_>,
        shared: &mut Shared,
        thread: Thread,
        offsets: Vec<OffsetToCommit>,
    ) -> Progress {
        let in_both = self.policy.storage == OffsetsStorage::Both;
        let is_news =
            |it: &OffsetToCommit| in_both || shared.committed(it.partition) != Some(it.offset);
        self.to_write = offsets.into_iter().filter(is_news).collect();
        self.write_next(cx, shared, thread)
    }

    fn write_next(
        &mut self,
        cx: &mut BalancedCx<'_>,
        shared: &mut Shared,
        thread: Thread,
    ) -> Progress {
        let Some(&next) = self.to_write.front() else { return self.after_attempt(cx) };
        let data = shared.offset_data(cx, next);
        let operation =
            ZooKeeperOperation::SetData { path: path_of(shared, next), data, version: None };
        shared.ask_until_answered(cx, thread, operation);
        self.stage = Stage::Writing;
        Poll::Pending
    }

    fn make_folders(
        &mut self,
        cx: &mut BalancedCx<'_>,
        shared: &mut Shared,
        thread: Thread,
        mut left: VecDeque<ZnodePath>,
    ) -> Progress {
        if let Some(folder) = left.pop_front() {
            shared.ask_until_answered(cx, thread, create_folder(folder));
            self.stage = Stage::MakingFolders(left);
        } else {
            let next = self.to_write[0];
            let data = shared.offset_data(cx, next);
            let mode = CreateMode::Persistent;
            let operation = ZooKeeperOperation::Create { path: path_of(shared, next), data, mode };
            shared.ask_until_answered(cx, thread, operation);
            self.stage = Stage::Creating;
        }
        Poll::Pending
    }

    fn on_written(
        &mut self,
        cx: &mut BalancedCx<'_>,
        shared: &mut Shared,
        thread: Thread,
        error: Option<ZooKeeperError>,
    ) -> Progress {
        if error.is_some() {
            self.failure = Some(CommitFailure::Other(ErrorCode::UnknownServerError));
            return self.end(cx);
        }
        if let Some(written) = self.to_write.pop_front() {
            shared.learn_committed(written.partition, written.offset);
        }
        self.write_next(cx, shared, thread)
    }
}

fn path_of(shared: &Shared, offset: OffsetToCommit) -> ZnodePath {
    let partition = offset.partition;
    paths::consumer_offsets(shared.group(), partition.topic).child(partition.partition)
}

fn failure_of(error: ErrorCode) -> CommitFailure {
    match error {
        ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration => {
            CommitFailure::CommitFailed(Some(error))
        }
        error if error.is_retriable() && error != ErrorCode::UnknownTopicOrPartition => {
            CommitFailure::Retriable(error)
        }
        error => CommitFailure::Other(error),
    }
}
