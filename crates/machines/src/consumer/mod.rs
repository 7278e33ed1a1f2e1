//! Consumers: the client libraries that read for an application, alone or as members of a group.
//!
//! The interface is that of `KafkaConsumer`: the application's thread calls [`ConsumerCall`], and is blocked until the
//! report that answers the call. Whatever the library does in other threads (heartbeats) goes on meanwhile, and goes on
//! while the application works and calls nothing.

use crate::client::ConnectionState;
use crate::machine::{Cx, Input, Machine};
use acklab_vocab::api::{Endpoint, OffsetToCommit};
use acklab_vocab::config::MemberConfig;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{
    BrokerId, Generation, GroupId, GroupInstanceId, LeaderEpoch, MemberId, NodeId, Offset, TopicId,
    TopicPartition,
};
use acklab_vocab::record::RecordBatch;
use acklab_vocab::time::SimDuration;
use acklab_vocab::trace::{CommitFailure, CommitTrigger};
use smallvec::SmallVec;
use std::sync::Arc;

/// What a consumer needs to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerSetup {
    /// Which library, and its properties.
    pub config: Arc<MemberConfig>,
    /// `bootstrap.servers`
    pub bootstrap: Vec<(BrokerId, Endpoint)>,
    /// `group.id`
    pub group: GroupId,
    /// `group.instance.id`, of a static member.
    pub instance: Option<GroupInstanceId>,
    /// The topics to read, ascending.
    pub topics: SmallVec<[TopicId; 2]>,
    /// It assigns itself every partition of the topics (`assign()`); otherwise it subscribes.
    pub assigns_itself: bool,
}

/// What an application may ask of its consumer. One call at a time, but for those that say otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsumerCall {
    /// `poll(timeout)`. Answered by [`ConsumerReport::Polled`] or [`ConsumerReport::Failed`]; before that, callbacks of the
    /// rebalance listener and of commits may come.
    Poll {
        /// How long to wait for records.
        timeout: SimDuration,
    },
    /// `commitSync()`. Answered by [`ConsumerReport::Committed`]; callbacks of earlier asynchronous commits come first.
    CommitSync {
        /// What to commit; everything that `poll()` has returned, if `None`.
        offsets: Option<Arc<[OffsetToCommit]>>,
        /// As the trace is to have it: `Sync`, `SyncRevocation` or `SyncClose`.
        trigger: CommitTrigger,
    },
    /// `commitAsync()`. Returns at once; [`ConsumerReport::CommitCallback`] follows inside a later call.
    CommitAsync {
        /// What to commit; everything that `poll()` has returned, if `None`.
        offsets: Option<Arc<[OffsetToCommit]>>,
        /// `Async` or `AsyncRetry`.
        trigger: CommitTrigger,
    },
    /// The callback of the rebalance listener that was reported last has returned. Between the report and this call the
    /// application may use `CommitSync` and `CommitAsync`.
    ListenerReturned,
    /// `seek()` of every owned partition back to the group's committed offset (by `auto.offset.reset` where there is none),
    /// as after an aborted transaction. Returns at once.
    SeekToCommitted,
    /// `close()`: commits first if auto-commit is on, leaves the group, closes the connections. Answered by
    /// [`ConsumerReport::Closed`].
    Close,
}

/// What a consumer tells its application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsumerReport {
    /// `poll()` returns: at most `max.poll.records` records, perhaps none.
    Polled(Vec<PolledRecords>),
    /// `commitSync()` returns, with how it failed if it did.
    Committed(Option<CommitFailure>),
    /// The callback of an asynchronous commit.
    CommitCallback {
        /// What was to be committed.
        offsets: Arc<[OffsetToCommit]>,
        /// How it failed, if it did.
        failure: Option<CommitFailure>,
    },
    /// `onPartitionsRevoked` (or `onPartitionsLost`): the application answers with [`ConsumerCall::ListenerReturned`].
    Revoked {
        /// Which, ascending.
        partitions: Arc<[TopicPartition]>,
        /// They are lost already; what is committed now will be refused.
        lost: bool,
    },
    /// `onPartitionsAssigned`: the application answers with [`ConsumerCall::ListenerReturned`].
    Assigned {
        /// What is new, ascending.
        partitions: Arc<[TopicPartition]>,
    },
    /// `poll()` throws: no position and no reset policy, a fenced static member.
    Failed(ErrorCode),
    /// `close()` has returned; nothing more comes.
    Closed,
}

/// Records of one batch that `poll()` returned: those in `from..to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolledRecords {
    /// Their partition.
    pub partition: TopicPartition,
    /// Offset of the first.
    pub from: Offset,
    /// Offset after the last.
    pub to: Offset,
    /// The batch.
    pub batch: Arc<RecordBatch>,
}

/// Membership as `consumer.groupMetadata()` gives it to a transactional producer (KIP-447).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupMembership {
    /// The group.
    pub group: GroupId,
    /// Its generation or epoch, if it is a member.
    pub generation: Option<Generation>,
    /// Its member id, if it is a member.
    pub member: Option<MemberId>,
    /// `group.instance.id`
    pub instance: Option<GroupInstanceId>,
}

/// A consumer's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConsumerTimer {
    /// The earliest of its deadlines.
    Wake,
}

/// The context of a consumer.
pub type ConsumerCx<'a> = Cx<'a, ConsumerTimer, ConsumerReport>;

/// The input of a consumer.
pub type ConsumerInput = Input<ConsumerTimer, ConsumerCall>;

/// A consumer of any library.
#[derive(Clone, Debug)]
pub struct Consumer {
    setup: ConsumerSetup,
}

impl Consumer {
    /// Starts a consumer. It connects, but joins only inside `poll()`.
    pub fn boot(cx: &mut ConsumerCx<'_>, setup: ConsumerSetup) -> Consumer {
        let _ = cx;
        Consumer { setup }
    }

    /// Its membership, for a transactional producer.
    #[must_use]
    pub fn group_membership(&self) -> GroupMembership {
        let ConsumerSetup { group, instance, .. } = self.setup;
        GroupMembership { group, generation: None, member: None, instance }
    }

    /// Owns its partitions, has a position for each, nothing to rejoin and no commit under way.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        true
    }

    /// The partitions that it owns, ascending, and its position in each: offset of the next record that `poll()` returns.
    pub fn positions(&self) -> impl Iterator<Item = (TopicPartition, Option<Offset>)> + '_ {
        std::iter::empty()
    }

    /// Its state, for people.
    #[must_use]
    pub fn view(&self) -> ConsumerView {
        ConsumerView::default()
    }
}

impl Machine for Consumer {
    type Timer = ConsumerTimer;
    type Call = ConsumerCall;
    type Report = ConsumerReport;

    fn handle(&mut self, cx: &mut ConsumerCx<'_>, input: ConsumerInput) {
        let _ = (cx, input);
    }
}

/// What a consumer holds at one instant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConsumerView {
    /// Its member id and generation or epoch, if it is a member.
    pub membership: Option<(MemberId, Generation)>,
    /// What it does about its membership, in words: `stable`, `joining`, `unjoined`.
    pub membership_state: &'static str,
    /// The process of its coordinator, if it knows it.
    pub coordinator: Option<NodeId>,
    /// The partitions that it owns, ascending.
    pub partitions: Vec<ConsumerPartitionView>,
    /// The brokers that it has heard of: its connection to each, and how many requests are in flight on it.
    pub connections: Vec<(BrokerId, ConnectionState, usize)>,
}

/// One partition of a [`ConsumerView`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerPartitionView {
    /// Which partition.
    pub partition: TopicPartition,
    /// Offset of the next record that `poll()` returns.
    pub position: Option<Offset>,
    /// The offset committed last, as far as the consumer knows.
    pub committed: Option<Offset>,
    /// Where it fetches from.
    pub leader: Option<BrokerId>,
    /// The leader epoch for which the position holds.
    pub leader_epoch: Option<LeaderEpoch>,
    /// The high watermark as the last fetch response had it.
    pub high_watermark: Option<Offset>,
    /// Records fetched and not yet returned.
    pub buffered: u64,
}
