//! Who is told what, in which order.

use super::super::context::LiveBroker;
use super::*;
use acklab_vocab::ids::{
    BrokerEpoch, BrokerList, ControllerEpoch, Incarnation, LeaderEpoch, NodeId, PartitionEpoch,
};

const SENDER: Sender = Sender { controller: BrokerId(1), with_broker_epoch: true };

fn brokers(ids: &[u16]) -> BrokerList {
    ids.iter().map(|id| BrokerId(*id)).collect()
}

fn context(live: &[u16]) -> ControllerContext {
    let broker = |id: &u16| {
        let epoch = BrokerEpoch(100 + u64::from(*id));
        (BrokerId(*id), LiveBroker { node: NodeId(*id), incarnation: Incarnation(0), epoch })
    };
    ControllerContext {
        epoch: ControllerEpoch(4),
        brokers: live.iter().map(broker).collect(),
        ..ControllerContext::default()
    }
}

fn state(partition: u16, leader: u16) -> PartitionState {
    PartitionState {
        partition: TopicPartition::new(0, partition),
        replicas: brokers(&[1, 2, 3]),
        isr: brokers(&[1, 2, 3]),
        eligible: BrokerList::new(),
        leader: Some(BrokerId(leader)),
        leader_epoch: LeaderEpoch(1),
        partition_epoch: PartitionEpoch(1),
        recovering: false,
    }
}

fn leader_and_isr(
    to: u16,
    partitions: Vec<PartitionState>,
    new: Vec<TopicPartition>,
    leaders: &[u16],
) -> (BrokerId, Request) {
    let request = LeaderAndIsrRequest {
        controller: BrokerId(1),
        controller_epoch: ControllerEpoch(4),
        broker_epoch: Some(BrokerEpoch(100 + u64::from(to))),
        partitions,
        new,
        live_leaders: leaders.iter().map(|id| (BrokerId(*id), NodeId(*id))).collect(),
    };
    (BrokerId(to), Request::LeaderAndIsr(request))
}

fn update_metadata(to: u16, live: &[u16], partitions: Vec<PartitionState>) -> (BrokerId, Request) {
    let request = UpdateMetadataRequest {
        controller: BrokerId(1),
        controller_epoch: ControllerEpoch(4),
        broker_epoch: Some(BrokerEpoch(100 + u64::from(to))),
        partitions,
        live_brokers: live.iter().map(|id| (BrokerId(*id), NodeId(*id))).collect(),
    };
    (BrokerId(to), Request::UpdateMetadata(request))
}

#[test]
fn replicas_learn_their_leader_before_everybody_learns_of_it() {
    let mut context = context(&[1, 2, 3]);
    let (zero, one) = (state(0, 2), state(1, 1));
    let mut batch = RequestBatch::default();
    for known in [&one, &zero] {
        context.learn(known.clone(), context.epoch);
        let recipients: &[BrokerId] =
            if known == &one { &[BrokerId(1)] } else { &[BrokerId(2), BrokerId(1)] };
        batch.add_leader_and_isr(&context, recipients, known, known == &one);
    }
    batch.add_stop_replica(BrokerId(3), zero.partition);
    let all = || vec![zero.clone(), one.clone()];
    let stop = StopReplicaRequest {
        controller: BrokerId(1),
        controller_epoch: ControllerEpoch(4),
        broker_epoch: Some(BrokerEpoch(103)),
        partitions: vec![zero.partition],
    };
    let expected = [
        leader_and_isr(1, all(), vec![one.partition], &[1, 2]),
        leader_and_isr(2, vec![zero.clone()], vec![], &[2]),
        update_metadata(1, &[1, 2, 3], all()),
        update_metadata(2, &[1, 2, 3], all()),
        update_metadata(3, &[1, 2, 3], all()),
        (BrokerId(3), Request::StopReplica(stop)),
    ];
    assert_eq!(batch.requests(&context, SENDER), expected);
}

#[test]
fn a_broker_that_is_gone_is_told_nothing() {
    let mut context = context(&[1, 2, 3]);
    let known = state(0, 2);
    context.learn(known.clone(), context.epoch);
    let mut batch = RequestBatch::default();
    batch.add_leader_and_isr(&context, &[BrokerId(2), BrokerId(3)], &known, false);
    batch.add_stop_replica(BrokerId(3), known.partition);
    context.brokers.remove(&BrokerId(3));
    let expected = [
        leader_and_isr(2, vec![known.clone()], vec![], &[2]),
        update_metadata(1, &[1, 2], vec![known.clone()]),
        update_metadata(2, &[1, 2], vec![known]),
    ];
    assert_eq!(batch.requests(&context, SENDER), expected);
}

#[test]
fn the_last_state_of_a_partition_counts_and_new_stays_new() {
    let mut context = context(&[1]);
    let mut batch = RequestBatch::default();
    for leader in [2, 1] {
        let known = state(0, leader);
        context.learn(known.clone(), context.epoch);
        batch.add_leader_and_isr(&context, &[BrokerId(1)], &known, leader == 2);
    }
    let known = state(0, 1);
    let expected = [
        leader_and_isr(1, vec![known.clone()], vec![known.partition], &[1]),
        update_metadata(1, &[1], vec![known]),
    ];
    assert_eq!(batch.requests(&context, SENDER), expected);
}

#[test]
fn a_partition_without_a_leader_yet_is_not_told_of() {
    let context = context(&[1, 2]);
    let mut batch = RequestBatch::default();
    batch.add_metadata(&context, [BrokerId(2)], [TopicPartition::new(0, 0)]);
    assert_eq!(batch.requests(&context, SENDER), [update_metadata(2, &[1, 2], vec![])]);
}

#[test]
fn requests_name_no_life_before_2_2() {
    let context = context(&[1]);
    let mut batch = RequestBatch::default();
    batch.add_metadata(&context, [BrokerId(1)], []);
    let requests = batch.requests(&context, Sender { with_broker_epoch: false, ..SENDER });
    let (_, mut expected) = update_metadata(1, &[1], vec![]);
    if let Request::UpdateMetadata(request) = &mut expected {
        request.broker_epoch = None;
    }
    assert_eq!(requests, [(BrokerId(1), expected)]);
}
