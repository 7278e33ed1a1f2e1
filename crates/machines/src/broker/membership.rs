//! How a broker belongs to its cluster: by a quorum of controllers, or by ZooKeeper.
//!
//! Mirrors what `BrokerServer` and `KafkaServer` do not have in common (`MetadataSupport`). Left
//! out: the migration from one to the other.

use super::BrokerCx;
use super::heartbeats::Heartbeats;
use super::interface::BrokerMode;
use super::metadata_fetch::MetadataFetch;
use super::metadata_image::MetadataImage;
use super::zookeeper::ZooKeeperMembership;
use acklab_vocab::api::{Endpoint, Listener};
use acklab_vocab::config::BrokerConfig;
use acklab_vocab::ids::BrokerEpoch;

/// How the broker belongs to its cluster.
#[derive(Debug)]
pub(super) enum Membership {
    /// By a quorum of controllers.
    KRaft(Box<KRaftMembership>),
    /// By ZooKeeper.
    ZooKeeper(Box<ZooKeeperMembership>),
}

/// What a broker has in KRaft only.
#[derive(Debug)]
pub(super) struct KRaftMembership {
    heartbeats: Heartbeats,
    metadata_fetch: MetadataFetch,
}

impl Membership {
    /// The beginning of a life.
    pub fn new(
        cx: &mut BrokerCx<'_>,
        config: &BrokerConfig,
        mode: BrokerMode,
        previous_broker_epoch: Option<BrokerEpoch>,
    ) -> Self {
        match mode {
            BrokerMode::KRaft { voters } => Membership::KRaft(Box::new(KRaftMembership {
                heartbeats: Heartbeats::new(previous_broker_epoch),
                metadata_fetch: MetadataFetch::new(cx, voters),
            })),
            BrokerMode::ZooKeeper { servers } => {
                Membership::ZooKeeper(Box::new(ZooKeeperMembership::new(config, servers)))
            }
        }
    }

    fn kraft(&mut self) -> &mut KRaftMembership {
        match self {
            Membership::KRaft(membership) => membership,
            Membership::ZooKeeper(_) => unreachable!("the quorum's business, in ZooKeeper mode"),
        }
    }

    /// The heartbeats of KRaft.
    pub fn heartbeats(&mut self) -> &mut Heartbeats {
        &mut self.kraft().heartbeats
    }

    /// The observer of KRaft's metadata log.
    pub fn metadata_fetch(&mut self) -> &mut MetadataFetch {
        &mut self.kraft().metadata_fetch
    }

    /// The same, to look at; `None` with ZooKeeper.
    pub fn observer(&self) -> Option<&MetadataFetch> {
        match self {
            Membership::KRaft(membership) => Some(&membership.metadata_fetch),
            Membership::ZooKeeper(_) => None,
        }
    }

    /// What the broker has by ZooKeeper.
    pub fn zookeeper(&mut self) -> &mut ZooKeeperMembership {
        match self {
            Membership::ZooKeeper(membership) => membership,
            Membership::KRaft(_) => unreachable!("ZooKeeper's business, in KRaft mode"),
        }
    }

    /// The same; `None` in KRaft.
    pub fn by_zookeeper(&self) -> Option<&ZooKeeperMembership> {
        match self {
            Membership::ZooKeeper(membership) => Some(membership),
            Membership::KRaft(_) => None,
        }
    }

    /// The broker is in a cluster that keeps its truth in ZooKeeper.
    pub fn is_by_zookeeper(&self) -> bool {
        self.by_zookeeper().is_some()
    }

    /// Where the active controller listens, if it is known.
    pub fn controller(&self, image: &MetadataImage) -> Option<Endpoint> {
        match self {
            Membership::KRaft(membership) => {
                membership.metadata_fetch.controller().map(|(_, endpoint)| endpoint)
            }
            Membership::ZooKeeper(membership) => {
                let node = image.broker(membership.known_controller?)?.node;
                Some(Endpoint { node, listener: Listener::Broker })
            }
        }
    }

    /// Everything that there is to know is known, and nothing is on its way.
    pub fn is_settled(&self) -> bool {
        match self {
            Membership::KRaft(membership) => membership.metadata_fetch.is_caught_up(),
            Membership::ZooKeeper(membership) => membership.is_settled(),
        }
    }
}
