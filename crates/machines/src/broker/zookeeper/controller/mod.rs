//! The controller of the ZooKeeper mode: in every broker, idle until it wins the race for
//! `/controller`.
//!
//! Mirrors `KafkaController` (0.8.2 to 3.9) with `ControllerContext`, `ControllerEventManager`,
//! `ControllerChannelManager`, `PartitionStateMachine` and `ReplicaStateMachine`. What happened
//! before is not undone when a controller resigns: one that was paused goes on as a zombie until it
//! learns of its successor, from ZooKeeper alone. Its writes are refused by the versions of what
//! they change and (2.2 on) of the epoch, its requests by the brokers.
//!
//! | to learn | open |
//! |---|---|
//! | who is the controller, and since when | [`race`] |
//! | what a new one does first | [`failover`] |
//! | brokers that come and go | [`brokers`] |
//! | topics, announced ISRs, preferred leaders | [`topics`] |
//! | what brokers ask it for | [`requests`], [`alter_partition`] |
//! | how leaders are elected, and ISRs shrink | [`election`] decides, [`state_machines`] does |
//! | what brokers are told, and how | [`request_batch`], [`channels`] |
//! | how an event waits for ZooKeeper, and others for it | [`events`], [`steps`], [`rounds`] |
//!
//! Left out: reassignment, deletion of topics, features, log directories, migration to KRaft.
//! Before 0.11 Kafka's controller was not one thread with a queue but listeners under one lock;
//! they are queued here as later.

mod alter_partition;
mod brokers;
mod channels;
mod context;
mod election;
mod events;
mod failover;
mod race;
mod request_batch;
mod requests;
mod rounds;
mod state_machines;
mod steps;
mod topics;

use super::super::Broker;
use acklab_vocab::ids::{BrokerId, ControllerEpoch};
use channels::ControlChannel;
use context::ControllerContext;
use events::ControllerEvent;
use request_batch::RequestBatch;
use rounds::Round;
use std::collections::{BTreeMap, VecDeque};
use steps::{Step, ToAnswer};

/// What the controller asked ZooKeeper for: which request of which round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::broker) struct ControllerPurpose {
    round: u64,
    index: usize,
}

/// The controller's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ControllerTimer {
    /// A connection to a broker waits no longer to open or for an answer, or is tried again.
    Channel(BrokerId),
    /// `leader.imbalance.check.interval.seconds` is over.
    Rebalance,
}

/// The controller in a broker.
#[derive(Debug, Default)]
pub(in crate::broker) struct ZooKeeperController {
    /// It may stand for election.
    started: bool,
    /// The session has expired, and there is no new one yet.
    expired: bool,
    /// Whom `/controller` named last (`activeControllerId`).
    active: Option<BrokerId>,
    /// It has won an epoch and not resigned since.
    in_office: bool,
    context: ControllerContext,
    /// What brokers are to be told by the current event.
    batch: RequestBatch,
    channels: BTreeMap<BrokerId, ControlChannel>,
    events: VecDeque<ControllerEvent>,
    /// What is left of the current event.
    steps: VecDeque<Step>,
    /// What the current event waits for.
    round: Option<Round>,
    rounds: u64,
    /// Whom the current event is to answer.
    to_answer: Option<ToAnswer>,
}

impl ZooKeeperController {
    /// It is the controller, as far as it knows (`isActive`).
    pub(in crate::broker) fn is_active(&self) -> bool {
        self.in_office
    }

    /// The epoch that it was elected in, while it is the controller.
    pub(in crate::broker) fn epoch(&self) -> Option<ControllerEpoch> {
        self.in_office.then_some(self.context.epoch)
    }

    /// No event is queued or under way, and no broker is still to be told anything.
    pub(in crate::broker) fn is_settled(&self) -> bool {
        let quiet = self.events.is_empty() && self.steps.is_empty() && self.round.is_none();
        quiet && self.channels.values().all(ControlChannel::is_idle)
    }
}

impl Broker {
    fn zookeeper_controller(&mut self) -> &mut ZooKeeperController {
        &mut self.membership.zookeeper().controller
    }
}

#[cfg(test)]
mod tests;
