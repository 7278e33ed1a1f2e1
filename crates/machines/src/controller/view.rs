//! What `acklab replay` shows of a controller.

use super::{BrokerRegistration, Controller};
use acklab_vocab::api::KnownController;
use acklab_vocab::ids::{BrokerId, ControllerId, MetadataOffset};
use acklab_vocab::metadata_log::PartitionState;
use acklab_vocab::time::SimTime;

/// A controller at one instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControllerView {
    /// Its id.
    pub id: ControllerId,
    /// Its state in the quorum, in a word: `unattached`, `prospective`, `candidate`, `follower`,
    /// `leader`, `resigned`.
    pub role: &'static str,
    /// It is the active controller.
    pub active: bool,
    /// The quorum epoch in which it is, and the leader that it knows.
    pub quorum: KnownController,
    /// End of its metadata log.
    pub log_end: MetadataOffset,
    /// First offset that it does not know to be committed.
    pub high_watermark: MetadataOffset,
    /// Every registered broker, ascending.
    pub brokers: Vec<BrokerView>,
    /// Every partition, ascending.
    pub partitions: Vec<PartitionState>,
}

/// A broker as a controller sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrokerView {
    /// Its id.
    pub broker: BrokerId,
    /// Its registration.
    pub registration: BrokerRegistration,
    /// When the active controller last heard of it; `None` at others, and once its session has
    /// ended.
    pub last_contact: Option<SimTime>,
}

impl Controller {
    /// What it knows and believes now.
    #[must_use]
    pub fn view(&self) -> ControllerView {
        let broker = |(&broker, &registration): (&BrokerId, &BrokerRegistration)| BrokerView {
            broker,
            registration,
            last_contact: self.active.as_ref().and_then(|it| it.heartbeats.last_contact(broker)),
        };
        ControllerView {
            id: self.id,
            role: self.quorum.role_name(),
            active: self.is_active(),
            quorum: self.quorum.known_controller(),
            log_end: self.log_end,
            high_watermark: self.quorum.high_watermark(),
            brokers: self.cluster.brokers().iter().map(broker).collect(),
            partitions: self.cluster.partitions().cloned().collect(),
        }
    }
}
