//! What operators do with topics and elections: the admin tools write znodes that the controller
//! watches.
//!
//! Mirrors `AdminUtils`, later `AdminZkClient`, and `PreferredReplicaLeaderElectionCommand`. From
//! 0.10.1 on (topics) and 2.2 on (elections) there are requests to the controller, too; for topics
//! it writes the same znodes. Left out: their answers, and validation, which the scenario has been
//! through.

use super::ZooKeeperPurpose;
use crate::broker::{Broker, BrokerCall, BrokerCx};
use acklab_vocab::api::ZooKeeperOperation;
use acklab_vocab::ids::{BrokerList, TopicId, TopicPartition};
use acklab_vocab::zookeeper::{CreateMode, ZnodeData, paths};

impl Broker {
    /// An operator's call. In KRaft, those are the controller's.
    pub(in crate::broker) fn on_admin_call(&mut self, cx: &mut BrokerCx<'_>, call: BrokerCall) {
        if !self.membership.is_by_zookeeper() {
            return;
        }
        match call {
            BrokerCall::ShutDown => self.begin_controlled_shut_down(cx),
            BrokerCall::CreateTopic { topic, assignments } => {
                self.create_topic(cx, topic, &assignments);
            }
            BrokerCall::CreatePartitions { topic, assignments } => {
                self.create_partitions(cx, topic, &assignments);
            }
            BrokerCall::ElectLeaders { partitions, unclean } => {
                self.elect_leaders(cx, partitions, unclean);
            }
        }
    }

    fn create_topic(&mut self, cx: &mut BrokerCx<'_>, topic: TopicId, replicas: &[BrokerList]) {
        let operation = ZooKeeperOperation::Create {
            path: paths::topic(topic),
            data: ZnodeData::Topic { topic, assignments: replicas.into() },
            mode: CreateMode::Persistent,
        };
        self.zookeeper_operate(cx, operation, ZooKeeperPurpose::Admin);
    }

    fn create_partitions(
        &mut self,
        cx: &mut BrokerCx<'_>,
        topic: TopicId,
        replicas: &[BrokerList],
    ) {
        let operation = ZooKeeperOperation::SetData {
            path: paths::topic(topic),
            data: ZnodeData::Topic { topic, assignments: replicas.into() },
            version: None,
        };
        self.zookeeper_operate(cx, operation, ZooKeeperPurpose::Admin);
    }

    fn elect_leaders(
        &mut self,
        cx: &mut BrokerCx<'_>,
        partitions: Vec<TopicPartition>,
        unclean: bool,
    ) {
        if unclean {
            // There is no znode for that (KIP-460).
            self.on_controller_election(cx, partitions);
            return;
        }
        let operation = ZooKeeperOperation::Create {
            path: paths::preferred_replica_election(),
            data: ZnodeData::PreferredReplicaElection(partitions.into()),
            mode: CreateMode::Persistent,
        };
        self.zookeeper_operate(cx, operation, ZooKeeperPurpose::Admin);
    }
}
