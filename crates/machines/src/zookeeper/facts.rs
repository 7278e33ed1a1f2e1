//! What a committed transaction means, as the trace has it: the one place where the ZooKeeper mode
//! states sessions, partitions, owners and offsets.

use super::tree::{DataTree, TreeEvent};
use acklab_vocab::api::{OffsetToCommit, ZooKeeperChange};
use acklab_vocab::ids::PartitionEpoch;
use acklab_vocab::trace::TraceEvent;
use acklab_vocab::zookeeper::{ZnodeData, ZnodeStat};

/// The facts of one transaction, whose tree is `after` it.
pub(super) fn facts(
    after: &DataTree,
    change: &ZooKeeperChange,
    events: &[TreeEvent],
) -> Vec<TraceEvent> {
    let expired = matches!(change, ZooKeeperChange::CloseSession { expired: true });
    let mut facts = Vec::new();
    for event in events {
        match event {
            TreeEvent::SessionOpened(session, opened) => {
                facts.push(TraceEvent::ZooKeeperSessionOpened {
                    session: *session,
                    client: opened.client,
                    timeout: opened.timeout,
                });
            }
            TreeEvent::SessionEnded(session, ended) => {
                facts.push(TraceEvent::ZooKeeperSessionEnded {
                    session: *session,
                    client: ended.client,
                    expired,
                });
            }
            TreeEvent::Created(path) | TreeEvent::Written(path) => {
                // A later operation of the same multi may have deleted it.
                if let Some(node) = after.get(path) {
                    facts.extend(written(&node.data, &node.stat));
                }
            }
            TreeEvent::Deleted(_, data) => facts.extend(deleted(data, expired)),
        }
    }
    facts
}

fn written(data: &ZnodeData, stat: &ZnodeStat) -> Option<TraceEvent> {
    match data {
        ZnodeData::Partition { state, reason, .. } => {
            let partition_epoch = PartitionEpoch(stat.version);
            let mut state = state.clone();
            state.partition_epoch = partition_epoch;
            Some(TraceEvent::PartitionChanged { state, reason: *reason })
        }
        ZnodeData::Owner { group, partition, consumer } => Some(TraceEvent::PartitionClaimed {
            group: *group,
            partition: *partition,
            consumer: *consumer,
        }),
        ZnodeData::ConsumerOffset { group, partition, offset, from } => {
            let offset =
                OffsetToCommit { partition: *partition, offset: *offset, leader_epoch: None };
            let offsets = [offset].into();
            Some(TraceEvent::OffsetsCommitted { group: *group, from: Some(*from), offsets })
        }
        ZnodeData::Empty
        | ZnodeData::Controller { .. }
        | ZnodeData::ControllerEpoch(_)
        | ZnodeData::Broker { .. }
        | ZnodeData::Topic { .. }
        | ZnodeData::IsrChange(_)
        | ZnodeData::PreferredReplicaElection(_)
        | ZnodeData::ProducerIds { .. }
        | ZnodeData::Consumer { .. } => None,
    }
}

fn deleted(data: &ZnodeData, expired: bool) -> Option<TraceEvent> {
    match data {
        ZnodeData::Owner { group, partition, consumer } => Some(TraceEvent::PartitionReleased {
            group: *group,
            partition: *partition,
            consumer: *consumer,
            expired,
        }),
        _ => None,
    }
}
