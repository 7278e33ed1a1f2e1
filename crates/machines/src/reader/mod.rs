//! A plain reader: the Java consumer with `assign()`, without a group. Its application polls again
//! at once and processes in no time.
//!
//! Mirrors `KafkaConsumer.poll` with `SubscriptionState` ([`subscription`]), `OffsetFetcher`
//! (`offsets`), `Fetcher` and `FetchCollector` (`fetcher`) over the shared
//! [`NetworkClient`].
//!
//! Left out: committed offsets (a reader has no group), fetching from followers (KIP-392), and
//! fetch sessions (KIP-227), which only shorten requests. An exception from `poll` stops the
//! partition that it is about; the others are read on.

mod fetcher;
mod offsets;
pub mod subscription;

#[cfg(test)]
mod tests;

use crate::client::{Completion, ConnectionState, NetworkClient};
use crate::machine::{Cx, Input, Machine};
use acklab_vocab::api::Endpoint;
use acklab_vocab::config::ConsumerConfig;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{BrokerId, LeaderEpoch, Offset, TopicPartition};
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::TraceEvent;
use fetcher::Fetcher;
use std::sync::Arc;
use subscription::{FetchPosition, FetchState, Subscription};

/// What a reader is given at start.
#[derive(Clone, Debug)]
pub struct ReaderSetup {
    /// Its properties.
    pub config: Arc<ConsumerConfig>,
    /// `bootstrap.servers`
    pub bootstrap: Vec<(BrokerId, Endpoint)>,
    /// The partitions that it assigns to itself.
    pub partitions: Vec<TopicPartition>,
}

/// A reader's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReaderTimer {
    /// A request may be overdue, metadata may be due, or a position may be asked for again.
    Wake,
}

/// Nothing can be asked of a reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReaderCall {}

/// A reader tells its application nothing but the records that it returns, which are facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReaderReport {}

/// The context of a reader.
type ReaderCx<'a> = Cx<'a, ReaderTimer, ReaderReport>;

/// What a request was for.
#[derive(Clone, Debug)]
enum Purpose {
    /// Records; the [`Fetcher`] knows of which partitions.
    Fetch,
    /// First positions of these partitions.
    ListOffsets(Vec<TopicPartition>),
    /// Whether these positions still are in the leader's log.
    OffsetsForLeaderEpoch(Vec<(TopicPartition, FetchPosition)>),
}

/// `ConsumerNetworkClient`'s `max.in.flight.requests.per.connection`, which cannot be set.
const MAX_IN_FLIGHT: u32 = 100;

/// A plain reader.
#[derive(Debug)]
pub struct Reader {
    config: Arc<ConsumerConfig>,
    client: NetworkClient<Purpose>,
    /// Ascending by partition.
    subscriptions: Vec<Subscription>,
    fetcher: Fetcher,
    /// A partition may await a reset or a validation.
    unsettled: bool,
    /// When one of them may be asked about again.
    ask_again_at: SimTime,
    /// Version of the metadata that the positions have followed.
    metadata_version: u64,
    /// When [`ReaderTimer::Wake`] is due.
    wake_at: SimTime,
}

impl Reader {
    /// A process begins to read.
    pub fn boot(cx: &mut ReaderCx<'_>, setup: ReaderSetup) -> Reader {
        let ReaderSetup { config, bootstrap, mut partitions } = setup;
        partitions.sort_unstable();
        partitions.dedup();
        let mut client = NetworkClient::new(&config.client, &bootstrap, MAX_IN_FLIGHT);
        for partition in &partitions {
            client.add_topic(partition.topic);
        }
        let mut reader = Reader {
            metadata_version: client.metadata().version(),
            config,
            client,
            subscriptions: partitions.into_iter().map(Subscription::new).collect(),
            fetcher: Fetcher::default(),
            unsettled: true,
            ask_again_at: SimTime::NEVER,
            wake_at: SimTime::NEVER,
        };
        reader.turn(cx);
        reader
    }

    /// Each partition with the offset of the next record to return, ascending; `None` while the
    /// reset policy has yet to set one.
    pub fn positions(&self) -> impl Iterator<Item = (TopicPartition, Option<Offset>)> {
        self.subscriptions.iter().map(|subscription| {
            let position = subscription.position.filter(|_| match subscription.state {
                FetchState::AwaitReset => false,
                FetchState::Fetching
                | FetchState::AwaitValidation
                | FetchState::AwaitUpdate
                | FetchState::Stopped(_) => true,
            });
            (subscription.partition, position.map(|position| position.offset))
        })
    }

    /// Partitions that are not read any more, and why.
    pub fn stopped(&self) -> impl Iterator<Item = (TopicPartition, ErrorCode)> {
        self.subscriptions.iter().filter_map(|subscription| match subscription.state {
            FetchState::Stopped(error) => Some((subscription.partition, error)),
            FetchState::Fetching
            | FetchState::AwaitReset
            | FetchState::AwaitValidation
            | FetchState::AwaitUpdate => None,
        })
    }

    /// What it knows and waits for.
    #[must_use]
    pub fn view(&self) -> ReaderView {
        let partitions = self.subscriptions.iter().map(|subscription| {
            let current = subscription.position.map(|position| position.current_leader);
            let known = self.client.metadata().partition(subscription.partition);
            let leadership = current.or(known).unwrap_or_default();
            ReaderPartitionView {
                partition: subscription.partition,
                state: subscription.state,
                position: subscription.position.map(|position| position.offset),
                leader: leadership.leader,
                leader_epoch: leadership.leader_epoch,
                high_watermark: subscription.high_watermark,
            }
        });
        ReaderView {
            partitions: partitions.collect(),
            connections: self.client.connections().collect(),
        }
    }

    /// Takes in what has come, lets the application poll until there is nothing left to return, and
    /// sends what is to be sent.
    fn turn(&mut self, cx: &mut ReaderCx<'_>) {
        while let Some(completion) = self.client.next_completion() {
            self.complete(cx, completion);
        }
        self.follow_metadata();
        self.client.poll(cx);
        loop {
            self.ask_about_positions(cx);
            let returned_something = self.collect(cx);
            self.send_fetches(cx);
            if !returned_something {
                break;
            }
        }
        self.client.poll(cx);
        self.arm_timer(cx);
    }

    fn complete(&mut self, cx: &mut ReaderCx<'_>, completion: Completion<Purpose>) {
        let Completion { broker, purpose, result } = completion;
        match purpose {
            Purpose::Fetch => self.on_fetched(broker, result),
            Purpose::ListOffsets(asked) => self.on_offsets_listed(cx, &asked, result),
            Purpose::OffsetsForLeaderEpoch(asked) => {
                self.on_epoch_offsets(cx, &asked, result);
            }
        }
    }

    /// Lets the positions follow metadata that has changed
    /// (`OffsetFetcher.validatePositionsOnMetadataChange`).
    fn follow_metadata(&mut self) {
        let version = self.client.metadata().version();
        if version == self.metadata_version {
            return;
        }
        self.metadata_version = version;
        for index in 0..self.subscriptions.len() {
            self.follow_leader(index);
        }
    }

    /// Lets one position follow the leader that the metadata names.
    fn follow_leader(&mut self, index: usize) {
        let validates = self.config.client.rules.has(ProtocolRule::ValidatePosition);
        let subscription = &mut self.subscriptions[index];
        let current = self.client.metadata().partition(subscription.partition).unwrap_or_default();
        if subscription.metadata_renewed(current, validates) {
            self.fetcher.enlist(index, subscription);
        }
        self.unsettled |= subscription.state == FetchState::AwaitValidation;
    }

    /// The application gets an exception about a partition.
    fn stop(&mut self, cx: &mut ReaderCx<'_>, index: usize, error: ErrorCode) {
        let subscription = &mut self.subscriptions[index];
        subscription.state = FetchState::Stopped(error);
        let partition = subscription.partition;
        cx.trace(|| TraceEvent::ReaderStopped { partition, error });
    }

    fn find(&self, partition: TopicPartition) -> Option<usize> {
        self.subscriptions.binary_search_by_key(&partition, |entry| entry.partition).ok()
    }

    /// A timer that is due too early only costs a turn, so it is never moved back.
    fn arm_timer(&mut self, cx: &mut ReaderCx<'_>) {
        let due = self.client.deadline().min(self.ask_again_at);
        if due < self.wake_at {
            self.wake_at = due;
            cx.set_timer(ReaderTimer::Wake, due);
        }
    }
}

impl Machine for Reader {
    type Timer = ReaderTimer;
    type Call = ReaderCall;
    type Report = ReaderReport;

    fn handle(&mut self, cx: &mut ReaderCx<'_>, input: Input<ReaderTimer, ReaderCall>) {
        match input {
            Input::Connected(connection) => self.client.on_connected(connection),
            Input::Response { connection, correlation, response } => {
                self.client.on_response(cx, connection, correlation, response);
            }
            Input::Closed(connection, _) => self.client.on_closed(cx, connection),
            Input::WriteBlocked(connection) => self.client.on_write_blocked(connection, true),
            Input::WriteResumed(connection) => self.client.on_write_blocked(connection, false),
            Input::Timer(ReaderTimer::Wake) => {
                self.wake_at = SimTime::NEVER;
                self.client.wake(cx);
            }
            Input::Request { .. } => unreachable!("nobody connects to a reader"),
            Input::Flushed(_) => unreachable!("a reader has no disk"),
            Input::Call(never) => match never {},
        }
        self.turn(cx);
    }
}

/// A reader as `replay` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReaderView {
    /// Its partitions, ascending.
    pub partitions: Vec<ReaderPartitionView>,
    /// The brokers that it has heard of: its connection to each, and how many requests are in
    /// flight on it.
    pub connections: Vec<(BrokerId, ConnectionState, usize)>,
}

/// One partition of a [`ReaderView`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReaderPartitionView {
    /// Which partition.
    pub partition: TopicPartition,
    /// What it waits for.
    pub state: FetchState,
    /// Offset of the next record to return; where it was, while it is being reset.
    pub position: Option<Offset>,
    /// Where it fetches from.
    pub leader: Option<BrokerId>,
    /// The leader epoch for which the position holds.
    pub leader_epoch: Option<LeaderEpoch>,
    /// The high watermark as the last fetch response had it.
    pub high_watermark: Option<Offset>,
}
