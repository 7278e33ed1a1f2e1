//! One attempt at a rebalance: `ZKRebalancerListener.rebalance`.
//!
//! The fetchers are stopped before anything is given up, so that what is given up is not read in parallel; what has been
//! handed out is committed first, if auto-commit is on. Whatever ZooKeeper refuses besides a claim ends the attempt.

use super::{HighLevel, Registry};
use crate::balanced::BalancedCx;
use crate::balanced::commit::Commit;
use crate::balanced::shared::{Shared, create_folder, delete, with_ancestors};
use crate::balanced::shares::{ConsumerId, range_share};
use crate::balanced::threads::{Resume, Thread, Wait};
use acklab_vocab::api::{
    OffsetFetchRequest, Request, Response, ZooKeeperOperation, ZooKeeperReply,
};
use acklab_vocab::config::OffsetsStorage;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::group::CommittedOffset;
use acklab_vocab::ids::{Offset, TopicId, TopicPartition};
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::{BalanceOutcome, CommitTrigger, PositionSource};
use acklab_vocab::zookeeper::{ZnodeData, ZnodePath, ZooKeeperError, paths};
use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Poll;

/// How far it has come.
pub(super) type Outcome = Poll<BalanceOutcome>;

/// A thread inside `rebalance`.
#[derive(Debug)]
pub(super) struct Attempt {
    stage: Stage,
    /// Who reads each topic.
    consumers: Vec<(ConsumerId, Arc<[TopicId]>)>,
    unread: VecDeque<ConsumerId>,
    /// How many partitions each topic has.
    topics: Vec<(TopicId, u16)>,
    /// What is still to be looked at, deleted, read or claimed.
    partitions: VecDeque<TopicPartition>,
    share: Vec<TopicPartition>,
    offsets: Vec<(TopicPartition, Option<Offset>)>,
    claimed: Vec<TopicPartition>,
    /// The first that somebody else has.
    owned_by_other: Option<TopicPartition>,
}

#[derive(Debug)]
enum Stage {
    New,
    ReadingSelf,
    ListingBrokers,
    WatchingBrokers,
    Committing(Commit),
    Releasing,
    ListingConsumers,
    ReadingConsumer,
    ReadingTopic(usize),
    FetchingOffsets,
    Sleeping(SimTime),
    ReadingOffset,
    Claiming,
    MakingFolders(VecDeque<ZnodePath>),
    LookingAtOwner,
    Unclaiming,
}

impl Attempt {
    pub const fn new() -> Self {
        Attempt {
            stage: Stage::New,
            consumers: Vec::new(),
            unread: VecDeque::new(),
            topics: Vec::new(),
            partitions: VecDeque::new(),
            share: Vec::new(),
            offsets: Vec::new(),
            claimed: Vec::new(),
            owned_by_other: None,
        }
    }

    pub const fn wait(&self) -> Wait {
        match &self.stage {
            Stage::Committing(commit) => commit.wait(),
            Stage::Sleeping(until) => Wait::Until(*until),
            _ => Wait::Answer,
        }
    }

    pub fn resume(
        &mut self,
        cx: &mut BalancedCx<'_>,
        high_level: &mut HighLevel,
        shared: &mut Shared,
        thread: Thread,
        resume: Resume,
    ) -> Outcome {
        let mut step = Step { cx, high_level, shared, thread };
        match &mut self.stage {
            Stage::New => {
                let path = step.shared.own_path();
                step.ask(ZooKeeperOperation::GetData { path, watch: false });
                self.go(Stage::ReadingSelf)
            }
            Stage::ReadingSelf => match resume.zookeeper() {
                Ok(_) => {
                    let (path, watch) = (paths::broker_ids(), step.high_level.watches_brokers);
                    step.ask(ZooKeeperOperation::GetChildren { path, watch });
                    self.go(Stage::ListingBrokers)
                }
                Err(error) => failed(error),
            },
            Stage::ListingBrokers => self.on_brokers(&mut step, resume),
            Stage::WatchingBrokers => Poll::Ready(BalanceOutcome::Done),
            Stage::Committing(commit) => {
                match commit.resume(step.cx, step.shared, thread, resume) {
                    Poll::Pending => Poll::Pending,
                    Poll::Ready(_) => self.release(&mut step),
                }
            }
            Stage::Releasing => match resume.zookeeper() {
                Ok(_) | Err(ZooKeeperError::NoNode) => self.release_next(&mut step),
                Err(error) => failed(error),
            },
            Stage::ListingConsumers => match resume.zookeeper() {
                Ok(ZooKeeperReply::Children(names, _)) => {
                    self.unread = names.into();
                    self.read_next_consumer(&mut step)
                }
                Ok(other) => unreachable!("answered a getChildren with {other:?}"),
                Err(error) => failed(error),
            },
            Stage::ReadingConsumer => self.on_consumer(&mut step, resume),
            Stage::ReadingTopic(index) => {
                let index = *index;
                self.on_topic(&mut step, index, resume)
            }
            Stage::FetchingOffsets => self.on_offsets(&mut step, resume),
            Stage::Sleeping(_) => self.ask_coordinator(&mut step),
            Stage::ReadingOffset => self.on_offset(&mut step, resume),
            Stage::Claiming => self.on_claimed(&mut step, resume),
            Stage::MakingFolders(left) => match left.pop_front() {
                Some(folder) => {
                    step.ask(create_folder(folder));
                    Poll::Pending
                }
                None => self.claim_next(&mut step),
            },
            Stage::LookingAtOwner => self.on_owner(&mut step, resume),
            Stage::Unclaiming => match resume.zookeeper() {
                Ok(_) | Err(ZooKeeperError::NoNode) => self.unclaim_next(&mut step),
                Err(error) => failed(error),
            },
        }
    }

    fn go(&mut self, stage: Stage) -> Outcome {
        self.stage = stage;
        Poll::Pending
    }

    // ---- giving everything up -------------------------------------------------------------------

    fn on_brokers(&mut self, step: &mut Step<'_, '_>, resume: Resume) -> Outcome {
        match resume.zookeeper() {
            Ok(ZooKeeperReply::Children(names, _)) if !names.is_empty() => {
                self.close_fetchers(step)
            }
            Ok(_) | Err(ZooKeeperError::NoNode) => {
                step.high_level.watches_brokers = true;
                let path = paths::broker_ids();
                step.ask(ZooKeeperOperation::GetChildren { path, watch: true });
                self.go(Stage::WatchingBrokers)
            }
            Err(error) => failed(error),
        }
    }

    /// `closeFetchers`
    fn close_fetchers(&mut self, step: &mut Step<'_, '_>) -> Outcome {
        step.high_level.stop_fetchers(step.cx, step.shared);
        if step.shared.setup.config.auto_commit.is_none() {
            return self.release(step);
        }
        let trigger = CommitTrigger::AutoRevocation;
        let mut commit = step.high_level.commit(step.shared, None, trigger);
        let progress = commit.resume(step.cx, step.shared, step.thread, Resume::Go);
        self.stage = Stage::Committing(commit);
        match progress {
            Poll::Pending => Poll::Pending,
            Poll::Ready(_) => self.release(step),
        }
    }

    /// `releasePartitionOwnership`
    fn release(&mut self, step: &mut Step<'_, '_>) -> Outcome {
        self.partitions = step.high_level.registry.partitions.iter().copied().collect();
        self.release_or_list(step)
    }

    fn release_next(&mut self, step: &mut Step<'_, '_>) -> Outcome {
        self.partitions.pop_front();
        self.release_or_list(step)
    }

    fn release_or_list(&mut self, step: &mut Step<'_, '_>) -> Outcome {
        if let Some(&partition) = self.partitions.front() {
            step.ask(delete(step.owner_path(partition)));
            return self.go(Stage::Releasing);
        }
        step.high_level.registry.partitions.clear();
        let path = paths::consumer_ids(step.shared.group());
        step.ask(ZooKeeperOperation::GetChildren { path, watch: true });
        self.go(Stage::ListingConsumers)
    }

    // ---- the share ------------------------------------------------------------------------------

    fn read_next_consumer(&mut self, step: &mut Step<'_, '_>) -> Outcome {
        if let Some(name) = self.unread.front() {
            let path = paths::consumer_ids(step.shared.group()).child(name);
            step.ask(ZooKeeperOperation::GetData { path, watch: false });
            return self.go(Stage::ReadingConsumer);
        }
        self.consumers.sort_unstable();
        self.read_next_topic(step, 0)
    }

    fn on_consumer(&mut self, step: &mut Step<'_, '_>, resume: Resume) -> Outcome {
        let Some(name) = self.unread.pop_front() else { unreachable!("it was in front") };
        match resume.zookeeper() {
            Ok(ZooKeeperReply::Data(ZnodeData::Consumer { topics, .. }, _)) => {
                self.consumers.push((name, topics));
            }
            Ok(_) => {}
            Err(error) => return failed(error),
        }
        self.read_next_consumer(step)
    }

    fn read_next_topic(&mut self, step: &mut Step<'_, '_>, index: usize) -> Outcome {
        if let Some(&topic) = step.shared.setup.topics.get(index) {
            step.ask(ZooKeeperOperation::GetData { path: paths::topic(topic), watch: true });
            return self.go(Stage::ReadingTopic(index));
        }
        self.decide(step)
    }

    fn on_topic(&mut self, step: &mut Step<'_, '_>, index: usize, resume: Resume) -> Outcome {
        match resume.zookeeper() {
            Ok(ZooKeeperReply::Data(ZnodeData::Topic { topic, assignments }, _)) => {
                self.topics.push((topic, assignments.len() as u16));
            }
            Ok(_) | Err(ZooKeeperError::NoNode) => {}
            Err(error) => return failed(error),
        }
        self.read_next_topic(step, index + 1)
    }

    /// `RangeAssignor.assign`; then the offsets of the share.
    fn decide(&mut self, step: &mut Step<'_, '_>) -> Outcome {
        for &(topic, count) in &self.topics {
            let readers = self.consumers.iter().filter(|(_, topics)| topics.contains(&topic));
            let readers: Vec<&ConsumerId> = readers.map(|(id, _)| id).collect();
            // Without its own znode, a consumer has no place in the list.
            let Some(own) = readers.iter().position(|id| **id == step.shared.id) else {
                return failed(ZooKeeperError::NoNode);
            };
            let share = range_share(usize::from(count), readers.len(), own);
            self.share.extend(share.map(|index| TopicPartition::new(topic.0, index as u16)));
        }
        self.share.sort_unstable();
        match step.shared.setup.config.offsets_storage {
            _ if self.share.is_empty() => self.claim(step),
            OffsetsStorage::Kafka | OffsetsStorage::Both => self.ask_coordinator(step),
            OffsetsStorage::ZooKeeper => {
                self.partitions = self.share.iter().copied().collect();
                self.read_next_offset(step)
            }
        }
    }

    // ---- offsets --------------------------------------------------------------------------------

    fn ask_coordinator(&mut self, step: &mut Step<'_, '_>) -> Outcome {
        let request = Request::OffsetFetch(OffsetFetchRequest {
            group: step.shared.group(),
            member: None,
            partitions: self.share.clone(),
            require_stable: false,
        });
        step.shared.kafka.ask(step.cx.now(), step.thread, request, None);
        self.go(Stage::FetchingOffsets)
    }

    /// Repeated until it succeeds, or the consumer is shut down.
    fn on_offsets(&mut self, step: &mut Step<'_, '_>, resume: Resume) -> Outcome {
        if step.high_level.is_shutting_down {
            return Poll::Ready(BalanceOutcome::BrokerFailed(ErrorCode::None));
        }
        let again = step.cx.now() + step.shared.setup.config.offsets_channel_backoff;
        let answer = match resume.kafka().map(|response| *response) {
            Ok(Response::OffsetFetch(answer)) => answer,
            Ok(other) => unreachable!("answered an OffsetFetch with {other:?}"),
            Err(_) => {
                step.shared.kafka.forget_coordinator(step.cx);
                return self.go(Stage::Sleeping(again));
            }
        };
        let errors = answer.partitions.iter().map(|entry| entry.1);
        let mut errors = std::iter::once(answer.error).chain(errors);
        match errors.find(|error| !error.is_none()) {
            None => {}
            Some(ErrorCode::CoordinatorLoadInProgress) => {
                return self.go(Stage::Sleeping(again));
            }
            Some(_) => {
                step.shared.kafka.forget_coordinator(step.cx);
                return self.go(Stage::Sleeping(again));
            }
        }
        let committed = answer.partitions.iter();
        self.offsets = committed.map(|entry| (entry.0, entry.2.map(|it| it.offset))).collect();
        if step.shared.setup.config.offsets_storage == OffsetsStorage::Both {
            self.partitions = self.share.iter().copied().collect();
            return self.read_next_offset(step);
        }
        self.claim(step)
    }

    fn read_next_offset(&mut self, step: &mut Step<'_, '_>) -> Outcome {
        if let Some(&partition) = self.partitions.front() {
            let folder = paths::consumer_offsets(step.shared.group(), partition.topic);
            let path = folder.child(partition.partition);
            step.ask(ZooKeeperOperation::GetData { path, watch: false });
            return self.go(Stage::ReadingOffset);
        }
        self.claim(step)
    }

    /// If offsets are kept in both places, the larger one counts.
    fn on_offset(&mut self, step: &mut Step<'_, '_>, resume: Resume) -> Outcome {
        let Some(partition) = self.partitions.pop_front() else { unreachable!("it was read") };
        let offset = match resume.zookeeper() {
            Ok(ZooKeeperReply::Data(ZnodeData::ConsumerOffset { offset, .. }, _)) => Some(offset),
            Ok(_) | Err(ZooKeeperError::NoNode) => None,
            Err(error) => return failed(error),
        };
        match self.offsets.iter_mut().find(|entry| entry.0 == partition) {
            Some(entry) => entry.1 = entry.1.max(offset),
            None => self.offsets.push((partition, offset)),
        }
        self.read_next_offset(step)
    }

    // ---- claiming -------------------------------------------------------------------------------

    /// `reflectPartitionOwnershipDecision`
    fn claim(&mut self, step: &mut Step<'_, '_>) -> Outcome {
        if step.high_level.is_shutting_down {
            return Poll::Ready(BalanceOutcome::BrokerFailed(ErrorCode::None));
        }
        self.partitions = self.share.iter().copied().collect();
        self.claim_next(step)
    }

    fn claim_next(&mut self, step: &mut Step<'_, '_>) -> Outcome {
        if let Some(&partition) = self.partitions.front() {
            let name = partition.partition.to_string();
            let operation = step.shared.create_owner(step.cx, partition, &name);
            step.ask(operation);
            return self.go(Stage::Claiming);
        }
        if self.owned_by_other.is_some() {
            self.partitions = self.claimed.drain(..).collect();
            return self.unclaim(step);
        }
        self.begin_to_read(step)
    }

    fn on_claimed(&mut self, step: &mut Step<'_, '_>, resume: Resume) -> Outcome {
        match resume.zookeeper() {
            Ok(_) => self.note_claimed(step),
            Err(ZooKeeperError::NoNode) => {
                let topic = self.partitions[0].topic;
                let folder = paths::partition_owners(step.shared.group(), topic);
                let mut folders = with_ancestors(folder);
                step.shared.ask_until_answered(
                    step.cx,
                    step.thread,
                    create_folder(folders.pop_front().expect("a folder has a path")),
                );
                self.go(Stage::MakingFolders(folders))
            }
            // It may be this consumer's own: an answer was lost.
            Err(ZooKeeperError::NodeExists) => {
                let path = step.owner_path(self.partitions[0]);
                step.ask(ZooKeeperOperation::Exists { path, watch: false });
                self.go(Stage::LookingAtOwner)
            }
            Err(error) => failed(error),
        }
    }

    fn note_claimed(&mut self, step: &mut Step<'_, '_>) -> Outcome {
        self.claimed.extend(self.partitions.pop_front());
        self.claim_next(step)
    }

    /// Somebody else's: the others are claimed nevertheless, and given up at the end.
    fn on_owner(&mut self, step: &mut Step<'_, '_>, resume: Resume) -> Outcome {
        match resume.zookeeper() {
            Ok(ZooKeeperReply::Exists(Some(stat))) if step.shared.is_own(&stat) => {
                self.note_claimed(step)
            }
            // Gone meanwhile: claimed again.
            Ok(ZooKeeperReply::Exists(None)) => self.claim_next(step),
            Ok(_) => {
                let partition = self.partitions.pop_front();
                self.owned_by_other = self.owned_by_other.or(partition);
                self.claim_next(step)
            }
            Err(error) => failed(error),
        }
    }

    fn unclaim_next(&mut self, step: &mut Step<'_, '_>) -> Outcome {
        self.partitions.pop_front();
        self.unclaim(step)
    }

    fn unclaim(&mut self, step: &mut Step<'_, '_>) -> Outcome {
        if let Some(&partition) = self.partitions.front() {
            step.ask(delete(step.owner_path(partition)));
            return self.go(Stage::Unclaiming);
        }
        let owned = self.owned_by_other.expect("that is why");
        Poll::Ready(BalanceOutcome::Owned(owned))
    }

    /// `updateFetcher`
    fn begin_to_read(&mut self, step: &mut Step<'_, '_>) -> Outcome {
        let Step { cx, high_level, shared, .. } = step;
        high_level.registry = Registry { partitions: self.share.clone(), stopped_at: None };
        shared.start_fetching(cx, &self.share);
        for &(partition, offset) in &self.offsets {
            if let Some(offset) = offset {
                shared.learn_committed(partition, offset);
            }
            let committed_at = cx.now();
            let committed =
                offset.map(|offset| CommittedOffset { offset, leader_epoch: None, committed_at });
            let kafka = &mut shared.kafka;
            let source = PositionSource::Committed;
            kafka.fetching.initialize(cx, &mut kafka.client, partition, committed, source);
        }
        Poll::Ready(BalanceOutcome::Done)
    }
}

/// Who makes a step, and with what.
struct Step<'a, 'b> {
    cx: &'a mut BalancedCx<'b>,
    high_level: &'a mut HighLevel,
    shared: &'a mut Shared,
    thread: Thread,
}

impl Step<'_, '_> {
    fn ask(&mut self, operation: ZooKeeperOperation) {
        self.shared.ask_until_answered(self.cx, self.thread, operation);
    }

    fn owner_path(&self, partition: TopicPartition) -> ZnodePath {
        let owners = paths::partition_owners(self.shared.group(), partition.topic);
        owners.child(partition.partition)
    }
}

fn failed(error: ZooKeeperError) -> Outcome {
    Poll::Ready(BalanceOutcome::ZooKeeperFailed(error))
}
