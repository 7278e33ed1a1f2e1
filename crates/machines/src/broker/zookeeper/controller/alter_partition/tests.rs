//! Which proposals a controller accepts, by version.

use super::super::context::LiveBroker;
use super::*;
use acklab_vocab::ids::{BrokerEpoch, ControllerEpoch, Incarnation, NodeId};
use acklab_vocab::version::KafkaVersion;

const ORDERS: TopicPartition = TopicPartition::new(0, 0);

fn brokers(ids: &[u16]) -> BrokerList {
    ids.iter().map(|id| BrokerId(*id)).collect()
}

fn current() -> PartitionState {
    PartitionState {
        partition: ORDERS,
        replicas: brokers(&[1, 2, 3]),
        isr: brokers(&[1, 2]),
        eligible: BrokerList::new(),
        leader: Some(BrokerId(1)),
        leader_epoch: LeaderEpoch(5),
        partition_epoch: PartitionEpoch(9),
        recovering: false,
    }
}

/// Broker 3 shuts down.
fn context() -> ControllerContext {
    let broker = |id: u16| {
        let epoch = BrokerEpoch(u64::from(id));
        (BrokerId(id), LiveBroker { node: NodeId(id), incarnation: Incarnation(0), epoch })
    };
    let mut context = ControllerContext {
        brokers: [1, 2, 3].map(broker).into(),
        shutting_down: [BrokerId(3)].into(),
        ..ControllerContext::default()
    };
    context.learn(current(), ControllerEpoch(1));
    context
}

fn alter(leader_epoch: u32, partition_epoch: u32, isr: &[u16]) -> PartitionAlter {
    PartitionAlter {
        partition: ORDERS,
        leader_epoch: LeaderEpoch(leader_epoch),
        partition_epoch: PartitionEpoch(partition_epoch),
        new_isr: isr.iter().map(|id| (BrokerId(*id), None)).collect(),
    }
}

fn judged(minor: u8, sender: u16, alter: &PartitionAlter) -> Proposal {
    let major = if minor >= 7 { 2 } else { 3 };
    let rules = ProtocolRules::of(KafkaVersion::new(major, minor, 0));
    judge(&context(), BrokerId(sender), alter, rules)
}

fn accepted(isr: &[u16], partition_epoch: u32) -> Proposal {
    let partition_epoch = PartitionEpoch(partition_epoch);
    Proposal::Accepted(PartitionState { isr: brokers(isr), partition_epoch, ..current() })
}

#[test]
fn from_3_3_on_the_controller_checks_before_it_writes() {
    let refused = Proposal::Refused;
    let rows = [
        (alter(5, 9, &[1]), accepted(&[1], 9)),
        (alter(5, 10, &[1]), refused(ErrorCode::NotController)),
        (alter(6, 9, &[1]), refused(ErrorCode::NotController)),
        (alter(4, 9, &[1]), refused(ErrorCode::FencedLeaderEpoch)),
        // Told once more what it has not heard the answer to.
        (alter(5, 8, &[2, 1]), Proposal::AlreadySo(current())),
        (alter(5, 8, &[1]), refused(ErrorCode::InvalidUpdateVersion)),
        (alter(5, 9, &[1, 2, 3]), refused(ErrorCode::IneligibleReplica)),
        (alter(5, 9, &[1, 4]), refused(ErrorCode::IneligibleReplica)),
    ];
    for (alter, expected) in rows {
        assert_eq!(judged(3, 1, &alter), expected, "{alter:?}");
    }
}

#[test]
fn before_the_version_of_the_znode_decides() {
    let rows = [
        (alter(5, 9, &[1]), accepted(&[1], 9)),
        (alter(5, 10, &[1]), accepted(&[1], 10)),
        (alter(4, 9, &[1]), Proposal::Refused(ErrorCode::FencedLeaderEpoch)),
        (alter(5, 8, &[1, 2]), Proposal::AlreadySo(current())),
        (alter(5, 8, &[1]), accepted(&[1], 8)),
        (alter(5, 9, &[1, 2, 3]), accepted(&[1, 2, 3], 9)),
    ];
    for (alter, expected) in rows {
        assert_eq!(judged(7, 1, &alter), expected, "{alter:?}");
    }
}

#[test]
fn an_unknown_partition_is_refused() {
    let unknown = PartitionAlter { partition: TopicPartition::new(0, 1), ..alter(0, 0, &[1]) };
    assert_eq!(judged(3, 1, &unknown), Proposal::Refused(ErrorCode::UnknownTopicOrPartition));
}

#[test]
fn a_request_names_the_life_that_is_registered() {
    let request = |broker, epoch| AlterPartitionRequest {
        broker: BrokerId(broker),
        broker_epoch: BrokerEpoch(epoch),
        partitions: Vec::new(),
    };
    let stale = Some(ErrorCode::StaleBrokerEpoch);
    assert_eq!(refuse_request(&context(), &request(2, 2)), None);
    assert_eq!(refuse_request(&context(), &request(2, 1)), stale);
    assert_eq!(refuse_request(&context(), &request(4, 4)), stale);
}
