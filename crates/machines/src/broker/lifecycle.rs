//! Where a broker is in its life, and how it ends in an orderly way.
//!
//! Mirrors `BrokerState`, and the parts of `BrokerServer.shutdown` and `KafkaServer.shutdown` that
//! both have. How the cluster learns of it is the membership's: [`heartbeats`](super::heartbeats),
//! [`zookeeper`](super::zookeeper).

use super::membership::Membership;
use super::metadata_image::MetadataImage;
use super::{Broker, BrokerCx};
use acklab_vocab::ids::{BrokerId, Incarnation};

/// Where a broker is in its life (`BrokerState`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokerState {
    /// It registers and catches up with the metadata.
    Starting,
    /// It has caught up and asks to be unfenced.
    Recovery,
    /// It serves.
    Running,
    /// It serves, and has asked the controller to let it go.
    PendingControlledShutdown,
    /// It stops.
    ShuttingDown,
}

/// A life of a broker.
#[derive(Debug)]
pub(super) struct Lifecycle {
    /// Where it is.
    pub(super) state: BrokerState,
    /// Which life.
    pub(super) incarnation: Incarnation,
    /// Its listener is open: it has been unfenced once, or (ZooKeeper mode) is registered.
    pub(super) serving: bool,
    /// Flushes to wait for before the process ends.
    pub(super) flushes_left: usize,
    /// The process has ended: nothing more is stated.
    pub(super) halted: bool,
}

impl Lifecycle {
    /// The beginning of a life.
    pub fn new(incarnation: Incarnation) -> Self {
        Lifecycle {
            state: BrokerState::Starting,
            incarnation,
            serving: false,
            flushes_left: 0,
            halted: false,
        }
    }

    /// Where it is in its life.
    pub fn state(&self) -> BrokerState {
        self.state
    }

    /// Its listener is open.
    pub fn is_serving(&self) -> bool {
        self.serving
    }

    /// It wants to stop, or stops.
    pub fn is_shutting_down(&self) -> bool {
        match self.state {
            BrokerState::PendingControlledShutdown | BrokerState::ShuttingDown => true,
            BrokerState::Starting | BrokerState::Recovery | BrokerState::Running => false,
        }
    }

    /// The image knows this life of the broker.
    pub fn incarnation_in(&self, image: &MetadataImage, own: BrokerId) -> bool {
        image.broker(own).is_some_and(|known| known.incarnation == self.incarnation)
    }
}

impl Broker {
    /// SIGTERM (`BrokerLifecycleManager.beginControlledShutdown`,
    /// `KafkaServer.controlledShutdown`).
    pub(super) fn begin_controlled_shut_down(&mut self, cx: &mut BrokerCx<'_>) {
        match self.lifecycle.state {
            BrokerState::Running if self.shared.config.controlled_shutdown => {
                self.lifecycle.state = BrokerState::PendingControlledShutdown;
                match &self.membership {
                    Membership::KRaft(_) => self.announce_shut_down(cx),
                    Membership::ZooKeeper(_) => self.ask_for_shut_down(cx),
                }
            }
            BrokerState::Running | BrokerState::Starting | BrokerState::Recovery => {
                self.begin_shut_down(cx);
            }
            BrokerState::PendingControlledShutdown | BrokerState::ShuttingDown => {}
        }
    }

    /// Stops serving; flushes every log, then ends the process.
    pub(super) fn begin_shut_down(&mut self, cx: &mut BrokerCx<'_>) {
        self.lifecycle.state = BrokerState::ShuttingDown;
        self.flush_all_for_shut_down(cx);
    }

    /// Ends the process at once: something is so wrong that Kafka halts.
    pub(super) fn halt(&mut self, cx: &mut BrokerCx<'_>) {
        self.lifecycle.state = BrokerState::ShuttingDown;
        self.lifecycle.halted = true;
        cx.exit(false);
    }
}
