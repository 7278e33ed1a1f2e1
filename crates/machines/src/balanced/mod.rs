//! The consumers of the ZooKeeper era, which share a topic out among themselves: Kafka's high-level consumer of 0.8
//! (`high_level`) and pykafka's `BalancedConsumer` (`pykafka`).
//!
//! They have the interface of [`Consumer`](crate::consumer::Consumer): an application calls [`ConsumerCall`] and is blocked
//! until the report that answers it. `poll()` stands for the iterator, or `consume()`, and returns one message;
//! `commitSync()` for `commitOffsets`, `commit_offsets()`, which return whatever came of it unless they throw
//! ([`ConsumerReport::Raised`]); `close()` for `shutdown`, `stop()`. Neither library tells its application of a rebalance,
//! and neither has an asynchronous commit: one that is called returns when it is over, and then its callback is called.
//!
//! Who owns what is stated by ZooKeeper, when it commits the znodes of owners. `PartitionsAssigned` and `PartitionsRevoked`
//! say what a consumer fetches, which is not always what it owns.
//!
//! A process consists of threads (`threads`) that block. While an application holds Python's interpreter lock
//! ([`ConsumerCall::HoldsInterpreter`]), none of them runs, the one that keeps the session alive included.

mod commit;
mod high_level;
mod kafka;
mod pykafka;
mod shared;
mod shares;
#[cfg(test)]
mod tests;
mod threads;

use crate::consumer::{
    ConsumerCall, ConsumerCx, ConsumerInput, ConsumerPartitionView, ConsumerReport, ConsumerTimer,
    ConsumerView, GroupMembership,
};
use crate::machine::{Input, Machine};
use crate::zookeeper::client::ZooKeeperClientEvent;
use acklab_vocab::api::{Endpoint, Response};
use acklab_vocab::config::{BalancedConsumerConfig, BalancedLibrary};
use acklab_vocab::ids::{BrokerId, GroupId, MemberId, Offset, TopicId, TopicPartition};
use acklab_vocab::time::SimTime;
use high_level::HighLevel;
use kafka::{KafkaSide, is_channel};
use pykafka::Pykafka;
use shared::Shared;
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::sync::Arc;
use threads::{Resume, Thread};

/// What a balanced consumer needs to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BalancedSetup {
    /// Which library, and its properties.
    pub config: Arc<BalancedConsumerConfig>,
    /// The brokers. The high-level consumer takes them from ZooKeeper; here both are told.
    pub bootstrap: Vec<(BrokerId, Endpoint)>,
    /// The client ports of the ensemble.
    pub zookeeper: Vec<Endpoint>,
    /// `group.id`, `consumer_group`
    pub group: GroupId,
    /// The topics to read, ascending, at least one; pykafka's consumers have exactly one.
    pub topics: SmallVec<[TopicId; 2]>,
}

/// The context of a balanced consumer.
pub(crate) type BalancedCx<'a> = ConsumerCx<'a>;

/// A consumer that shares a topic out with its like by ZooKeeper.
#[derive(Debug)]
pub struct BalancedConsumer {
    shared: Shared,
    library: Library,
    /// What has arrived while no thread could run.
    unread: VecDeque<ConsumerInput>,
    /// The application holds the interpreter lock.
    is_held: bool,
    /// When [`ConsumerTimer::Wake`] is due.
    wake_at: SimTime,
}

#[derive(Debug)]
enum Library {
    HighLevel(Box<HighLevel>),
    Pykafka(Box<Pykafka>),
}

impl BalancedConsumer {
    /// Starts a consumer: it connects, registers and takes its share, whether the application calls it or not.
    ///
    /// # Panics
    /// Without a topic.
    pub fn boot(cx: &mut ConsumerCx<'_>, setup: BalancedSetup) -> BalancedConsumer {
        assert!(!setup.topics.is_empty(), "a consumer reads a topic");
        let kafka = KafkaSide::new(&setup);
        let (shared, library) = match setup.config.library {
            BalancedLibrary::HighLevel => {
                let now = cx.now();
                let id = shares::high_level_id(setup.group, now, cx.rng());
                let mut shared = Shared::new(setup, id, kafka);
                let library = HighLevel::new(cx, &mut shared);
                (shared, Library::HighLevel(Box::new(library)))
            }
            BalancedLibrary::Pykafka => {
                let id = shares::pykafka_id(cx.rng());
                let member = MemberId(cx.rng().bits());
                let shared = Shared::new(setup, id, kafka);
                let library = Pykafka::new(member, &shared);
                (shared, Library::Pykafka(Box::new(library)))
            }
        };
        let (unread, wake_at) = (VecDeque::new(), SimTime::NEVER);
        let mut consumer = BalancedConsumer { shared, library, unread, is_held: false, wake_at };
        consumer.turn(cx);
        consumer
    }

    /// Its membership, for a transactional producer: none.
    #[must_use]
    pub const fn group_membership(&self) -> GroupMembership {
        let group = self.shared.setup.group;
        GroupMembership { group, generation: None, member: None, instance: None }
    }

    /// Owns its share and has a position in every partition, with no rebalance and no commit under way.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let is_committing = match &self.library {
            Library::HighLevel(it) => it.is_committing(),
            Library::Pykafka(it) => it.is_committing(),
        };
        self.is_in_place() && !is_committing
    }

    /// Owns its share and has a position in every partition, with no rebalance under way, waiting or failed.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        let is_in_place = match &self.library {
            Library::HighLevel(it) => it.is_in_place(),
            Library::Pykafka(it) => it.is_in_place(),
        };
        is_in_place && self.unread.is_empty() && self.shared.kafka.fetching.has_all_positions()
    }

    /// The partitions that it reads, ascending, and its position in each: offset of the next record that it hands out.
    pub fn positions(&self) -> impl Iterator<Item = (TopicPartition, Option<Offset>)> + '_ {
        self.shared.kafka.fetching.positions()
    }

    /// Its state, for people.
    #[must_use]
    pub fn view(&self) -> ConsumerView {
        let kafka = &self.shared.kafka;
        let partitions = kafka.fetching.subscriptions().iter().map(|subscription| {
            let partition = subscription.partition;
            let current = subscription.position.map(|position| position.current_leader);
            let known = kafka.client.metadata().partition(partition);
            let leadership = current.or(known).unwrap_or_default();
            ConsumerPartitionView {
                partition,
                position: subscription.known_position().map(|position| position.offset),
                committed: self.shared.committed(partition),
                leader: leadership.leader,
                leader_epoch: leadership.leader_epoch,
                high_watermark: subscription.high_watermark,
                buffered: kafka.fetching.buffered_records(partition),
            }
        });
        ConsumerView {
            membership: None,
            membership_state: match &self.library {
                Library::HighLevel(it) => it.state(),
                Library::Pykafka(it) => it.state(),
            },
            coordinator: kafka.coordinator(),
            partitions: partitions.collect(),
            connections: kafka.client.connections().filter(|it| !is_channel(it.0)).collect(),
        }
    }

    // ---- turns ----------------------------------------------------------------------------------

    fn is_closed(&self) -> bool {
        match &self.library {
            Library::HighLevel(it) => it.is_closed(),
            Library::Pykafka(it) => it.is_closed(),
        }
    }

    fn call(&mut self, cx: &mut ConsumerCx<'_>, call: ConsumerCall) {
        match call {
            ConsumerCall::HoldsInterpreter(holds) => {
                self.is_held =
                    holds && self.shared.setup.config.library == BalancedLibrary::Pykafka;
            }
            ConsumerCall::Close if self.is_closed() => cx.report(ConsumerReport::Closed),
            call => match &mut self.library {
                Library::HighLevel(it) => it.call(call),
                Library::Pykafka(it) => it.call(call),
            },
        }
    }

    /// Lets every thread do what it can do now: what has arrived first, then what is due.
    fn turn(&mut self, cx: &mut ConsumerCx<'_>) {
        if self.is_held {
            return;
        }
        while let Some(input) = self.unread.pop_front() {
            if !self.is_closed() {
                self.read(cx, input);
                self.run(cx);
            }
        }
        if self.is_closed() {
            return;
        }
        if self.shared.zookeeper.deadline() <= cx.now() {
            self.shared.zookeeper.on_time(cx);
        }
        self.run(cx);
        if !self.is_closed() {
            self.arm_timer(cx);
        }
    }

    fn read(&mut self, cx: &mut ConsumerCx<'_>, input: ConsumerInput) {
        let Shared { zookeeper, kafka, .. } = &mut self.shared;
        match input {
            Input::Connected(connection) if zookeeper.owns(connection) => {
                zookeeper.on_connected(cx, connection);
            }
            Input::Connected(connection) => kafka.client.on_connected(connection),
            Input::Response { connection, correlation, response } => match *response {
                Response::ZooKeeper(response) => {
                    zookeeper.on_response(cx, connection, correlation, response);
                }
                response => {
                    kafka.client.on_response(cx, connection, correlation, Box::new(response));
                }
            },
            Input::Closed(connection, _) if zookeeper.owns(connection) => {
                zookeeper.on_closed(cx, connection);
            }
            Input::Closed(connection, _) => kafka.client.on_closed(cx, connection),
            Input::WriteBlocked(connection) => kafka.client.on_write_blocked(connection, true),
            Input::WriteResumed(connection) => kafka.client.on_write_blocked(connection, false),
            Input::Request { .. } => unreachable!("nobody connects to a consumer"),
            Input::Flushed(_) => unreachable!("a consumer has no disk"),
            Input::Timer(ConsumerTimer::Wake) | Input::Call(_) => {}
        }
    }

    /// Lets the threads go on until all of them wait.
    fn run(&mut self, cx: &mut ConsumerCx<'_>) {
        loop {
            self.shared.kafka.turn(cx);
            self.shared.follow_leaders();
            if let Library::Pykafka(it) = &mut self.library {
                it.note_fetch_failure(cx, &mut self.shared);
            }
            let mut goes_on = false;
            while let Some(event) = self.shared.zookeeper.next_event() {
                self.on_zookeeper(cx, event);
                goes_on = true;
            }
            while let Some((thread, answer)) = self.shared.kafka.next_answer() {
                self.on_answer(cx, thread, Resume::Kafka(answer));
                goes_on = true;
            }
            goes_on |= match &mut self.library {
                Library::HighLevel(it) => it.run(cx, &mut self.shared),
                Library::Pykafka(it) => it.run(cx, &mut self.shared),
            };
            goes_on |= self.shared.kafka.is_asked();
            if !goes_on || self.is_closed() {
                return;
            }
        }
    }

    fn on_zookeeper(&mut self, cx: &mut ConsumerCx<'_>, event: ZooKeeperClientEvent<Thread>) {
        let shared = &mut self.shared;
        match event {
            ZooKeeperClientEvent::State(state) => match &mut self.library {
                Library::HighLevel(it) => it.on_state(cx, shared, state),
                Library::Pykafka(it) => it.on_state(state),
            },
            ZooKeeperClientEvent::Watch(event) => match &mut self.library {
                Library::HighLevel(it) => it.on_watch(shared, &event),
                Library::Pykafka(it) => it.on_watch(&event),
            },
            ZooKeeperClientEvent::Reply(thread, result) => {
                if !shared.asks_again(cx, thread, result.as_ref().err().copied()) {
                    self.on_answer(cx, thread, Resume::ZooKeeper(result));
                }
            }
            ZooKeeperClientEvent::Closed => shared.note_closed(),
        }
    }

    fn on_answer(&mut self, cx: &mut ConsumerCx<'_>, thread: Thread, resume: Resume) {
        match &mut self.library {
            Library::HighLevel(it) => it.on_answer(cx, &mut self.shared, thread, resume),
            Library::Pykafka(it) => it.on_answer(cx, &mut self.shared, thread, resume),
        }
    }

    /// A timer that is due too early only costs a turn, so it is never moved back.
    fn arm_timer(&mut self, cx: &mut ConsumerCx<'_>) {
        let library = match &self.library {
            Library::HighLevel(it) => it.deadline(),
            Library::Pykafka(it) => it.deadline(),
        };
        let zookeeper = self.shared.zookeeper.deadline();
        let due = self.shared.kafka.deadline(cx.now()).min(library).min(zookeeper).max(cx.now());
        if due < self.wake_at {
            self.wake_at = due;
            cx.set_timer(ConsumerTimer::Wake, due);
        }
    }
}

impl Machine for BalancedConsumer {
    type Timer = ConsumerTimer;
    type Call = ConsumerCall;
    type Report = ConsumerReport;

    fn handle(&mut self, cx: &mut ConsumerCx<'_>, input: ConsumerInput) {
        match input {
            Input::Timer(ConsumerTimer::Wake) => self.wake_at = SimTime::NEVER,
            Input::Call(call) => self.call(cx, call),
            network if self.is_closed() => drop(network),
            network => self.unread.push_back(network),
        }
        self.turn(cx);
    }
}
