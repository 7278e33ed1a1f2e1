//! Consumers: the client libraries that read for an application, alone or as members of a group.
//!
//! The interface is that of `KafkaConsumer`: the application's thread calls [`ConsumerCall`], and
//! is blocked until the report that answers the call. Whatever the library does in other threads
//! (heartbeats) goes on meanwhile, and goes on while the application works and calls nothing.

//!
//! [`Consumer`] is Kafka's own consumer, `ClassicKafkaConsumer`; the other libraries are variants
//! of it (`library`). Who does what: `poll` and `close` are the application's thread, `classic` the
//! membership with its heartbeat thread, `commits` the commits of both, `coordinator` the
//! connection to the coordinator, [`fetching`] what a plain reader does as well. The network is
//! read while the application is inside a call or the heartbeat thread runs. Otherwise what arrives
//! waits in the socket (`unread`), as for a client without a heartbeat thread whose application
//! works.

pub mod assignor;
mod classic;
mod close;
mod commit_outcome;
mod commits;
mod consumer_protocol;
mod coordinator;
pub mod fetching;
mod library;
mod poll;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod threads;
mod view;

pub use view::{ConsumerPartitionView, ConsumerView};

use crate::client::backoff::ExponentialBackoff;
use crate::client::{Loss, NetworkClient};
use crate::machine::{Cx, Input, Machine};
use acklab_vocab::api::{Endpoint, OffsetToCommit, Response};
use acklab_vocab::config::{ConsumerConfig, GroupProtocol, MemberConfig};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{
    BrokerId, Generation, GroupId, GroupInstanceId, MemberId, Offset, TopicId, TopicPartition,
};
use acklab_vocab::record::RecordBatch;
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::{ClientException, CommitFailure, CommitTrigger};
use classic::{ClassicMember, MemberState};
use close::CloseStage;
use commits::Commits;
use consumer_protocol::ConsumerMember;
use coordinator::{Coordinator, GroupPurpose};
use fetching::{FetchPurpose, Fetching};
use library::Behaviour;
use poll::CommittedOffsets;
use smallvec::SmallVec;
use std::collections::VecDeque;
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

/// What an application may ask of its consumer. One call at a time, but for those that say
/// otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsumerCall {
    /// `poll(timeout)`. Answered by [`ConsumerReport::Polled`] or [`ConsumerReport::Failed`];
    /// before that, callbacks of the rebalance listener and of commits may come.
    Poll {
        /// How long to wait for records.
        timeout: SimDuration,
    },
    /// `commitSync()`. Answered by [`ConsumerReport::Committed`]; callbacks of earlier asynchronous
    /// commits come first.
    CommitSync {
        /// What to commit; everything that `poll()` has returned, if `None`.
        offsets: Option<Arc<[OffsetToCommit]>>,
        /// As the trace is to have it: `Sync`, `SyncRevocation` or `SyncClose`.
        trigger: CommitTrigger,
    },
    /// `commitAsync()`. Returns at once; [`ConsumerReport::CommitCallback`] follows inside a later
    /// call.
    CommitAsync {
        /// What to commit; everything that `poll()` has returned, if `None`.
        offsets: Option<Arc<[OffsetToCommit]>>,
        /// `Async` or `AsyncRetry`.
        trigger: CommitTrigger,
    },
    /// The callback of the rebalance listener that was reported last has returned. Between the
    /// report and this call the application may use `CommitSync` and `CommitAsync`.
    ListenerReturned,
    /// `seek()` of every owned partition back to the group's committed offset (by
    /// `auto.offset.reset` where there is none), as after an aborted transaction. Returns at once.
    SeekToCommitted,
    /// The application begins or ends a stretch of work that lets no other thread of its process
    /// run: C code that keeps Python's interpreter lock. Not answered. Only a library whose threads
    /// need that lock takes notice of it.
    HoldsInterpreter(bool),
    /// `close()`: commits first if auto-commit is on, leaves the group, closes the connections.
    /// Answered by [`ConsumerReport::Closed`].
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
    /// `onPartitionsRevoked` (or `onPartitionsLost`): the application answers with
    /// [`ConsumerCall::ListenerReturned`].
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
    /// The call throws, with an exception of the ZooKeeper era: instead of [`ConsumerReport::Polled`]
    /// or [`ConsumerReport::Committed`].
    Raised(ClientException),
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

/// What a request was for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Purpose {
    /// Positions or records.
    Fetching(FetchPurpose),
    /// Who the coordinator is.
    FindCoordinator,
    /// Something for the coordinator.
    Group(GroupPurpose),
}

impl From<FetchPurpose> for Purpose {
    fn from(purpose: FetchPurpose) -> Self {
        Purpose::Fetching(purpose)
    }
}

/// How the consumer comes by its partitions.
#[derive(Debug)]
enum Membership {
    /// `assign()`: it is no member.
    SelfAssigned,
    /// `subscribe()`, in a classic group.
    Classic(ClassicMember),
    /// `subscribe()`, in a KIP-848 group.
    Consumer(Box<ConsumerMember>),
}

impl Membership {
    /// The coordinator was found.
    fn reset_session_timeout(&mut self, config: &MemberConfig, now: SimTime) {
        match self {
            Membership::SelfAssigned | Membership::Consumer(_) => {}
            Membership::Classic(member) => member.heartbeat.reset_session(config, now),
        }
    }
}

/// The call that the application's thread is in, besides `commitSync()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    /// None: the application works.
    None,
    /// `poll()`, until then at the latest.
    Poll { deadline: SimTime },
    /// `close()`, until then at the latest.
    Close { deadline: SimTime, stage: CloseStage },
    /// The consumer is closed.
    Closed,
}

/// The application's rebalance listener is being called; what goes on when it returns.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Callback {
    /// Everything is given up: before a rebalance, because it is lost, or in `close()`.
    Revoked { partitions: Arc<[TopicPartition]>, lost: bool },
    /// A cooperative assignment lacks partitions that the member owns.
    RevokedByAssignment { partitions: Arc<[TopicPartition]>, assignment: Arc<[TopicPartition]> },
    /// There is an assignment, by which the member owns `owned`.
    Assigned { owned: Arc<[TopicPartition]>, added: Arc<[TopicPartition]>, of: GroupMembership },
}

/// A consumer of any library.
#[derive(Debug)]
pub struct Consumer {
    setup: ConsumerSetup,
    behaviour: Behaviour,
    retry_backoff: ExponentialBackoff,
    client: NetworkClient<Purpose>,
    /// Requests to the coordinator that were not sent, or whose connection the client closed
    /// itself.
    given_back: VecDeque<(GroupPurpose, Loss)>,
    fetching: Fetching,
    coordinator: Coordinator,
    membership: Membership,
    commits: Commits,
    committed_offsets: CommittedOffsets,
    call: Call,
    callback: Option<Callback>,
    /// What has arrived while nobody reads from the network.
    unread: VecDeque<ConsumerInput>,
    /// When the application polled last.
    last_poll: SimTime,
    has_assigned_itself: bool,
    /// As of the last assignment (`ConsumerCoordinator.groupMetadata`).
    group_metadata: GroupMembership,
    /// When [`ConsumerTimer::Wake`] is due.
    wake_at: SimTime,
}

impl Consumer {
    /// Starts a consumer. It connects, but joins only inside `poll()`.
    pub fn boot(cx: &mut ConsumerCx<'_>, setup: ConsumerSetup) -> Consumer {
        let config = &setup.config.consumer;
        let mut client =
            NetworkClient::new(&config.client, &setup.bootstrap, crate::reader::MAX_IN_FLIGHT);
        for &topic in &setup.topics {
            client.add_topic(topic);
        }
        let membership = match (setup.assigns_itself, setup.config.protocol) {
            (true, GroupProtocol::Classic | GroupProtocol::Consumer) => Membership::SelfAssigned,
            (false, GroupProtocol::Classic) => Membership::Classic(ClassicMember::new()),
            (false, GroupProtocol::Consumer) => {
                let id = MemberId(cx.rng().bits());
                Membership::Consumer(Box::new(ConsumerMember::new(config.client.rules, id)))
            }
        };
        let (group, instance) = (setup.group, setup.instance);
        let mut consumer = Consumer {
            behaviour: Behaviour::of(setup.config.library, config.client.rules),
            retry_backoff: ExponentialBackoff::of_retries(&config.client),
            client,
            given_back: VecDeque::new(),
            fetching: Fetching::new(Arc::new(config.clone())),
            coordinator: Coordinator::new(),
            membership,
            commits: Commits::new(),
            committed_offsets: CommittedOffsets::new(),
            call: Call::None,
            callback: None,
            unread: VecDeque::new(),
            last_poll: SimTime(i64::MIN),
            has_assigned_itself: false,
            group_metadata: GroupMembership { group, generation: None, member: None, instance },
            wake_at: SimTime::NEVER,
            setup,
        };
        consumer.client.poll(cx);
        consumer.arm_timer(cx);
        consumer
    }

    /// Its membership, for a transactional producer.
    #[must_use]
    pub const fn group_membership(&self) -> GroupMembership {
        self.group_metadata
    }

    /// Owns its partitions, has a position for each, nothing to rejoin and no commit under way.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.is_in_place() && self.commits.is_idle()
    }

    /// Owns its partitions and has a position for each, with nothing to rejoin. A commit may be
    /// under way, as it always may with a short `auto.commit.interval.ms`.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        let is_member = match &self.membership {
            Membership::SelfAssigned => self.has_assigned_itself,
            Membership::Classic(member) => {
                member.state == MemberState::Stable && !member.is_rejoining()
            }
            Membership::Consumer(member) => member.is_settled(),
        };
        is_member && self.callback.is_none() && self.fetching.has_all_positions()
    }

    /// The partitions that it owns, ascending, and its position in each: offset of the next record
    /// that `poll()` returns.
    pub fn positions(&self) -> impl Iterator<Item = (TopicPartition, Option<Offset>)> + '_ {
        self.fetching.positions()
    }

    fn config(&self) -> &ConsumerConfig {
        &self.setup.config.consumer
    }

    fn owned(&self) -> Arc<[TopicPartition]> {
        self.fetching.subscriptions().iter().map(|entry| entry.partition).collect()
    }
}

impl Machine for Consumer {
    type Timer = ConsumerTimer;
    type Call = ConsumerCall;
    type Report = ConsumerReport;

    fn handle(&mut self, cx: &mut ConsumerCx<'_>, input: ConsumerInput) {
        let looks_once = matches!(input, Input::Call(ConsumerCall::CommitAsync { .. }));
        match input {
            Input::Timer(ConsumerTimer::Wake) => self.wake_at = SimTime::NEVER,
            Input::Call(call) => self.on_call(cx, call),
            network if self.call == Call::Closed => drop(network),
            network => self.unread.push_back(network),
        }
        self.turn(cx, looks_once && self.call != Call::Closed);
    }
}
