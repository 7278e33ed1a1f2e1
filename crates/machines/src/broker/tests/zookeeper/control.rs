//! What the controller tells a broker, and what the broker then tells clients.

use super::super::rig::{ORDERS, PRODUCER, batch, brokers, produced, respond, topic};
use super::rig::*;
use acklab_vocab::api::*;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::*;
use acklab_vocab::trace::TraceEvent;
use smallvec::smallvec;

fn leader_and_isr_answer(
    error: ErrorCode,
    partition: Option<ErrorCode>,
) -> crate::Effect<crate::broker::BrokerTimer, crate::broker::NoReport> {
    let partitions = partition.map(|error| (ORDERS, error)).into_iter().collect();
    respond(CONTROLLER, 1, Response::LeaderAndIsr(LeaderAndIsrResponse { error, partitions }))
}

fn update_metadata_answer(
    error: ErrorCode,
) -> crate::Effect<crate::broker::BrokerTimer, crate::broker::NoReport> {
    respond(CONTROLLER, 2, Response::UpdateMetadata(ControlResponse { error }))
}

fn metadata(rig: &mut Rig) -> Option<MetadataResponse> {
    let request = Request::Metadata(MetadataRequest { topics: smallvec![] });
    let mut effects = rig.request(PRODUCER, 3, request);
    match effects.pop() {
        Some(crate::Effect::Send(_, Frame::Response(_, response))) => match *response {
            Response::Metadata(metadata) => Some(metadata),
            _ => None,
        },
        _ => None,
    }
}

pub fn produce(
    rig: &mut Rig,
    correlation: u32,
    acks: Acks,
    first: u32,
) -> super::super::rig::Effects {
    let partitions = smallvec![PartitionProduce { partition: ORDERS, batch: batch(first, 1) }];
    let request = Request::Produce(ProduceRequest {
        transactional_id: None,
        transaction_support: TransactionSupport::default(),
        acks,
        timeout: super::super::rig::ms(30_000),
        partitions,
    });
    rig.request(PRODUCER, correlation, request)
}

#[test]
fn before_the_first_update_a_broker_knows_nothing() {
    let config = config_of("2.0", &[]);
    let disk = crate::disk::Disk::default();
    let mut rig = Rig::booted_on(config, topic(), disk, Rig::tree());
    assert_eq!(metadata(&mut rig), Some(MetadataResponse { brokers: vec![], partitions: vec![] }));
    let effects = rig.update_metadata(EPOCH, &[1, 2], vec![state(2, 4, 7, &[2])]);
    assert_eq!(effects, [update_metadata_answer(ErrorCode::None)]);
    let expected = MetadataResponse {
        brokers: vec![(BrokerId(1), NodeId(1)), (BrokerId(2), NodeId(2))],
        partitions: vec![PartitionMetadata {
            partition: ORDERS,
            error: ErrorCode::None,
            leader: Some(BrokerId(2)),
            leader_epoch: LeaderEpoch(4),
            replicas: brokers(&[1, 2, 3]),
        }],
    };
    assert_eq!(metadata(&mut rig), Some(expected));
    // A leader that is gone from the list is not available.
    rig.update_metadata(EPOCH, &[1], vec![]);
    let known = metadata(&mut rig).expect("an answer");
    assert_eq!(known.partitions[0].error, ErrorCode::LeaderNotAvailable);
}

#[test]
fn a_leader_is_made_by_leader_and_isr() {
    let mut rig = Rig::running("2.0", &[], topic());
    let effects = rig.leader_and_isr(EPOCH, vec![state(1, 3, 8, &[1, 2])]);
    assert_eq!(effects, [leader_and_isr_answer(ErrorCode::None, Some(ErrorCode::None))]);
    let partition = ORDERS;
    assert_eq!(
        rig.facts(),
        [
            TraceEvent::BecameLeader {
                partition,
                leader_epoch: LeaderEpoch(3),
                log_end_offset: Offset(0),
                high_watermark: Offset(0)
            },
            TraceEvent::IsrCommitted {
                partition,
                leader_epoch: LeaderEpoch(3),
                isr: brokers(&[1, 2])
            },
        ]
    );
    assert_eq!(produce(&mut rig, 4, Acks::Leader, 0), [produced(4, ErrorCode::None, Some(0))]);
}

#[test]
fn an_old_controller_is_refused() {
    let mut rig = Rig::leading("2.0", &[], &[1, 2, 3]);
    let old = ControllerEpoch(EPOCH.0 - 1);
    let effects = rig.leader_and_isr(old, vec![state(2, 9, 9, &[2])]);
    assert_eq!(effects, [leader_and_isr_answer(ErrorCode::StaleControllerEpoch, None)]);
    let effects = rig.update_metadata(old, &[2], vec![]);
    assert_eq!(effects, [update_metadata_answer(ErrorCode::StaleControllerEpoch)]);
    assert_eq!(rig.broker.led_partitions().count(), 1);
    // A newer one is obeyed, and from then on this one is old.
    let new = ControllerEpoch(EPOCH.0 + 1);
    rig.update_metadata(new, &[1, 2, 3], vec![]);
    let effects = rig.leader_and_isr(EPOCH, vec![state(2, 9, 9, &[2])]);
    assert_eq!(effects, [leader_and_isr_answer(ErrorCode::StaleControllerEpoch, None)]);
}

#[test]
fn a_leader_epoch_that_is_not_newer_is_ignored() {
    let mut rig = Rig::leading("2.0", &[], &[1, 2, 3]);
    let effects = rig.leader_and_isr(EPOCH, vec![state(2, 1, 9, &[2])]);
    let stale = ErrorCode::StaleControllerEpoch;
    assert_eq!(effects, [leader_and_isr_answer(ErrorCode::None, Some(stale))]);
    assert_eq!(rig.broker.led_partitions().count(), 1);
}

#[test]
fn what_was_meant_for_an_earlier_life_is_refused_since_2_2() {
    for (version, refused) in [("2.1", false), ("2.2", true)] {
        let mut rig = Rig::running(version, &[], topic());
        let own = rig.broker.view(&rig.disk).broker_epoch.expect("it is registered");
        let earlier = Some(BrokerEpoch(own.0 - 1));
        let effects = rig.leader_and_isr_to(EPOCH, earlier, vec![state(1, 1, 0, &[1])]);
        let expected = if refused {
            leader_and_isr_answer(ErrorCode::StaleBrokerEpoch, None)
        } else {
            leader_and_isr_answer(ErrorCode::None, Some(ErrorCode::None))
        };
        assert_eq!(effects, [expected], "{version}");
        let effects = rig.leader_and_isr_to(EPOCH, Some(own), vec![state(1, 2, 1, &[1])]);
        let obeyed = leader_and_isr_answer(ErrorCode::None, Some(ErrorCode::None));
        assert_eq!(effects, [obeyed], "{version}");
    }
}

#[test]
fn nobody_steps_down_for_a_leader_that_is_not_alive() {
    let mut rig = Rig::leading("2.0", &[], &[1, 2, 3]);
    rig.update_metadata(EPOCH, &[1, 2], vec![]);
    let done = leader_and_isr_answer(ErrorCode::None, Some(ErrorCode::None));
    // Broker 3 is not alive; and no leader at all is none that is.
    assert_eq!(rig.leader_and_isr(EPOCH, vec![state(3, 2, 1, &[3])]), std::slice::from_ref(&done));
    assert_eq!(rig.leader_and_isr(EPOCH, vec![state(0, 3, 2, &[3])]), std::slice::from_ref(&done));
    assert_eq!(rig.broker.led_partitions().next().map(|it| it.1), Some(LeaderEpoch(1)));
    rig.leader_and_isr(EPOCH, vec![state(2, 4, 3, &[2])]);
    assert_eq!(rig.broker.led_partitions().count(), 0);
}

#[test]
fn an_acks_all_write_is_over_when_another_broker_leads() {
    let mut rig = Rig::leading("2.0", &[], &[1, 2, 3]);
    assert!(produce(&mut rig, 4, Acks::All, 0).is_empty());
    let effects = rig.leader_and_isr(EPOCH, vec![state(2, 2, 1, &[2, 3])]);
    let refused = produced(4, ErrorCode::NotLeaderOrFollower, Some(0));
    assert!(effects.contains(&refused), "{effects:?}");
}

#[test]
fn proposals_go_to_the_controller_that_the_metadata_name_since_2_7() {
    let mut rig = Rig::leading("2.7", &[], &[1, 2, 3]);
    assert!(produce(&mut rig, 4, Acks::Leader, 0).len() == 1);
    let effects = rig.advance(45_000);
    let controller = Endpoint { node: NodeId(2), listener: Listener::Broker };
    let [crate::Effect::Connect(channel, to)] = effects[..] else { panic!("{effects:?}") };
    assert_eq!(to, controller);
    let effects = rig.call(crate::Input::Connected(channel));
    let own = rig.broker.view(&rig.disk).broker_epoch.expect("it is registered");
    let request = Request::AlterPartition(AlterPartitionRequest {
        broker: BrokerId(1),
        broker_epoch: own,
        partitions: vec![PartitionAlter {
            partition: ORDERS,
            leader_epoch: LeaderEpoch(1),
            partition_epoch: PartitionEpoch(0),
            new_isr: vec![(BrokerId(1), None)],
        }],
    });
    let frame = Frame::Request(CorrelationId(0), Box::new(request));
    assert_eq!(effects, [crate::Effect::Send(channel, frame)]);
    // Nothing is locked meanwhile.
    assert_eq!(produce(&mut rig, 5, Acks::Leader, 1), [produced(5, ErrorCode::None, Some(1))]);
}

#[test]
fn producer_ids_come_from_the_znode_before_3_0() {
    let mut rig = Rig::running("2.8", &[], topic());
    let path = acklab_vocab::zookeeper::paths::producer_id_block();
    let next = ProducerId(1_000);
    let block = acklab_vocab::zookeeper::ZnodeData::ProducerIds { next };
    assert_eq!(rig.tree.get(&path), Some(&block));
    let init = InitProducerIdRequest { transactional: None, current: None };
    let effects = rig.request(PRODUCER, 9, Request::InitProducerId(init));
    let answer = InitProducerIdResponse {
        error: ErrorCode::None,
        producer_id: ProducerId(0),
        producer_epoch: ProducerEpoch(0),
    };
    assert_eq!(effects, [respond(PRODUCER, 9, Response::InitProducerId(answer))]);
}
