//! Start, registration, restart, shutdown, and what a broker tells about the cluster.

use super::rig::*;
use crate::broker::{BrokerCall, BrokerState, BrokerTimer, RoleView};
use crate::disk::{Disk, FlushTarget};
use crate::machine::{Effect, Input};
use acklab_vocab::api::*;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::*;
use acklab_vocab::trace::{CloseReason, TraceEvent};

#[test]
fn nobody_is_served_before_the_broker_is_unfenced() {
    let (mut rig, _) = Rig::booted(config(), topic(), Disk::default());
    assert_eq!(rig.produce(1, Acks::Leader, batch(0, 1)), [Effect::Close(PRODUCER)]);
}

#[test]
fn registration_is_repeated_each_heartbeat_interval_while_an_earlier_life_is_registered() {
    let (mut rig, effects) = Rig::booted(config(), topic(), Disk::default());
    rig.registration_error = ErrorCode::DuplicateBrokerRegistration;
    assert!(rig.call(Input::Connected(ConnectionId(0))).is_empty());
    assert!(matches!(effects.first(), Some(Effect::SetTimer(..))));
    rig.metadata(vec![register(1, 7)]);
    assert_eq!(rig.broker.view(&rig.disk).broker_epoch, None);
    rig.now = at_ms(2_000);
    let effects = rig.raw(Input::Timer(BrokerTimer::Communication));
    let [Effect::Send(connection, Frame::Request(correlation, request)), Effect::SetTimer(..)] =
        &effects[..]
    else {
        panic!("{effects:?}")
    };
    assert!(matches!(**request, Request::BrokerRegistration(_)));
    let (connection, correlation) = (*connection, *correlation);
    let response = |error| {
        Box::new(Response::BrokerRegistration(BrokerRegistrationResponse {
            error,
            broker_epoch: broker_epoch(1),
            controller: KnownController {
                leader: Some(ControllerId(1)),
                epoch: ControllerEpoch(1),
            },
        }))
    };
    let refused = response(ErrorCode::DuplicateBrokerRegistration);
    assert_eq!(
        rig.raw(Input::Response { connection, correlation, response: refused }),
        [
            Effect::CancelTimer(BrokerTimer::ControllerChannel(
                crate::broker::ChannelPurpose::Heartbeat
            )),
            Effect::SetTimer(BrokerTimer::Communication, at_ms(4_000)),
        ]
    );
    rig.registration_error = ErrorCode::None;
    rig.now = at_ms(4_000);
    rig.call(Input::Timer(BrokerTimer::Communication));
    assert_eq!(rig.broker.view(&rig.disk).broker_epoch, Some(broker_epoch(1)));
}

#[test]
fn without_registration_it_ends_after_a_minute() {
    let (mut rig, _) = Rig::booted(config(), topic(), Disk::default());
    rig.now = at_ms(60_000);
    let effects = rig.raw(Input::Timer(BrokerTimer::RegistrationTimeout));
    assert_eq!(effects, [Effect::Exit { clean: false }]);
}

#[test]
fn a_lost_controller_is_looked_for_again_and_the_broker_serves_on() {
    let mut rig = Rig::running(config(), topic());
    rig.metadata(vec![partition(1, 1, 1, &[1])]);
    let lost = Input::Closed(ConnectionId(0), CloseReason::Reset);
    assert_eq!(rig.raw(lost), [Effect::SetTimer(BrokerTimer::MetadataFetch, at_ms(20))]);
    rig.now = at_ms(20);
    let effects = rig.raw(Input::Timer(BrokerTimer::MetadataFetch));
    assert!(matches!(effects[0], Effect::Connect(..)));
    rig.now = at_ms(60_000);
    assert_eq!(rig.produce(1, Acks::All, batch(0, 1)), [produced(1, ErrorCode::None, Some(0))]);
}

/// Broker 1 led, checkpointed its high watermark at 2 and was killed with a log end of 3.
fn killed() -> Disk {
    let mut rig = Rig::running(config(), topic());
    rig.metadata(vec![partition(1, 4, 1, &[1])]);
    rig.produce(1, Acks::Leader, batch(0, 2));
    rig.call(Input::Timer(BrokerTimer::HighWatermarkCheckpoint));
    rig.produce(2, Acks::Leader, batch(2, 1));
    rig.disk
}

#[test]
fn a_restart_finds_the_log_and_the_high_watermark_as_last_checkpointed() {
    let mut disk = killed();
    disk.metadata_log = Default::default();
    let (mut rig, effects) = Rig::booted(config(), topic(), disk);
    assert_eq!(
        rig.facts(),
        [TraceEvent::LogRecovered {
            partition: ORDERS,
            log_end_offset: Offset(3),
            high_watermark: Offset(2),
            clean: false,
        }]
    );
    rig.registration_error = ErrorCode::DuplicateBrokerRegistration;
    drop(effects);
    rig.call(Input::Connected(ConnectionId(0)));
    // By the metadata it still leads; but that is an earlier life's leadership.
    rig.metadata(vec![register(1, 7), register(2, 0), partition(1, 4, 1, &[1])]);
    assert_eq!(rig.broker.view(&rig.disk).partitions[0].role, RoleView::Unassigned);
    assert_eq!(rig.broker.led_partitions().count(), 0);
    // Its new life is registered, which took the leadership; then it is elected again.
    rig.metadata(vec![register(1, 0), partition(1, 6, 3, &[1])]);
    let led: Vec<_> = rig.broker.led_partitions().collect();
    assert_eq!(led, [(ORDERS, LeaderEpoch(6), Offset(3), Offset(3))]);
}

#[test]
fn controlled_shutdown_hands_over_then_flushes_and_leaves_the_marker() {
    let mut rig = Rig::running(config(), topic());
    rig.metadata(vec![partition(1, 1, 1, &[1])]);
    rig.produce(1, Acks::Leader, batch(0, 1));
    rig.may_shut_down = false;
    assert_eq!(
        rig.call(Input::Call(BrokerCall::ShutDown)),
        [Effect::SetTimer(BrokerTimer::ControlledShutdownTimeout, at_ms(300_000))]
    );
    assert_eq!(rig.broker.view(&rig.disk).state, BrokerState::PendingControlledShutdown);
    rig.may_shut_down = true;
    rig.now = at_ms(50);
    let effects = rig.call(Input::Timer(BrokerTimer::Communication));
    let [Effect::Flush(flush, FlushTarget::Log(_))] = effects[..] else { panic!("{effects:?}") };
    assert_eq!(rig.produce(2, Acks::Leader, batch(1, 1)), []);
    assert_eq!(rig.call(Input::Flushed(flush)), [Effect::Exit { clean: true }]);
    assert_eq!(rig.disk.clean_shutdown, Some(broker_epoch(1)));
    assert_eq!(rig.disk.high_watermarks.get(&ORDERS), Some(&Offset(1)));
    let (mut rig, _) = Rig::booted(config(), topic(), rig.disk);
    assert_eq!(rig.disk.clean_shutdown, None);
    assert!(matches!(rig.facts()[..], [TraceEvent::LogRecovered { clean: true, .. }]));
}

#[test]
fn metadata_names_leaders_and_those_that_serve() {
    let mut rig = Rig::running(config(), topic());
    rig.metadata(vec![partition(2, 5, 1, &[2])]);
    let request = Request::Metadata(MetadataRequest { topics: Default::default() });
    let expected = MetadataResponse {
        brokers: (1..=3).map(|id| (BrokerId(id), NodeId(id))).collect(),
        partitions: vec![PartitionMetadata {
            partition: ORDERS,
            error: ErrorCode::None,
            leader: Some(BrokerId(2)),
            leader_epoch: LeaderEpoch(5),
            replicas: brokers(&[1, 2, 3]),
        }],
    };
    assert_eq!(
        rig.request(PRODUCER, 1, request),
        [respond(PRODUCER, 1, Response::Metadata(expected))]
    );
}

#[test]
fn producer_ids_come_in_blocks_from_the_controller() {
    let mut rig = Rig::running(config(), topic());
    let answer = |correlation, error, id| {
        let response = InitProducerIdResponse {
            error,
            producer_id: ProducerId(id),
            producer_epoch: ProducerEpoch(0),
        };
        respond(PRODUCER, correlation, Response::InitProducerId(response))
    };
    let request =
        || Request::InitProducerId(InitProducerIdRequest { transactional: None, current: None });
    let effects = rig.request(PRODUCER, 1, request());
    assert_eq!(effects[0], answer(1, ErrorCode::CoordinatorLoadInProgress, 0));
    let Effect::Send(connection, Frame::Request(correlation, _)) = effects[1] else {
        panic!("{effects:?}")
    };
    let block = AllocateProducerIdsResponse {
        error: ErrorCode::None,
        first: ProducerId(5_000),
        count: 1_000,
        controller: KnownController { leader: Some(ControllerId(1)), epoch: ControllerEpoch(1) },
    };
    let response = Box::new(Response::AllocateProducerIds(block));
    rig.call(Input::Response { connection, correlation, response });
    for n in 0..2 {
        let effects = rig.request(PRODUCER, 2, request());
        assert_eq!(effects, [answer(2, ErrorCode::None, 5_000 + n)]);
    }
}
