//! A plain reader: the Java consumer with `assign()`, without a group. Its application polls again
//! at once and processes in no time.
//!
//! Mirrors `KafkaConsumer.poll` over the shared [`Fetching`] and [`NetworkClient`].
//!
//! Left out: committed offsets (a reader has no group), cutting a poll in the middle of a batch at
//! `max.poll.records` (the rest would be returned at the same instant). An exception from `poll`
//! stops the partition that it is about; the others are read on.

#[cfg(test)]
mod tests;

use crate::client::{Completion, ConnectionState, NetworkClient};
use crate::consumer::fetching::subscription::FetchState;
use crate::consumer::fetching::{FetchPurpose, Fetching, PollLimit};
use crate::machine::{Cx, Input, Machine};
use acklab_vocab::api::Endpoint;
use acklab_vocab::config::ConsumerConfig;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{BrokerId, LeaderEpoch, Offset, TopicPartition};
use acklab_vocab::time::SimTime;
use std::sync::Arc;

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

/// `ConsumerNetworkClient`'s `max.in.flight.requests.per.connection`, which cannot be set.
pub(crate) const MAX_IN_FLIGHT: u32 = 100;

/// A plain reader.
#[derive(Debug)]
pub struct Reader {
    client: NetworkClient<FetchPurpose>,
    fetching: Fetching,
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
        let mut fetching = Fetching::new(config);
        fetching.assign(&partitions, FetchState::AwaitReset);
        let mut reader = Reader { client, fetching, wake_at: SimTime::NEVER };
        reader.turn(cx);
        reader
    }

    /// Each partition with the offset of the next record to return, ascending; `None` while the
    /// reset policy has yet to set one.
    pub fn positions(&self) -> impl Iterator<Item = (TopicPartition, Option<Offset>)> {
        self.fetching.positions()
    }

    /// Partitions that are not read any more, and why.
    pub fn stopped(&self) -> impl Iterator<Item = (TopicPartition, ErrorCode)> {
        self.fetching.stopped()
    }

    /// What it knows and waits for.
    #[must_use]
    pub fn view(&self) -> ReaderView {
        let partitions = self.fetching.subscriptions().iter().map(|subscription| {
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
            let Completion { broker, purpose, result } = completion;
            self.fetching.complete(cx, &mut self.client, broker, &purpose, result);
        }
        self.fetching.follow_metadata(&self.client);
        self.client.poll(cx);
        loop {
            self.fetching.ask_about_positions(cx, &mut self.client);
            let limit = PollLimit::WholeBatches;
            let collected = self.fetching.collect(cx, &mut self.client, limit, &mut |_| {});
            self.fetching.send_fetches(cx, &mut self.client);
            if !collected.found {
                break;
            }
        }
        self.client.poll(cx);
        self.arm_timer(cx);
    }

    /// A timer that is due too early only costs a turn, so it is never moved back.
    fn arm_timer(&mut self, cx: &mut ReaderCx<'_>) {
        let due = self.client.deadline().min(self.fetching.ask_again_at());
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
