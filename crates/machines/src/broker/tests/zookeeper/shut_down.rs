//! Controlled shutdown, by a request to the controller.

use super::rig::*;
use crate::broker::{BrokerCall, BrokerState};
use crate::machine::{Effect, Input};
use acklab_vocab::api::*;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::*;
use acklab_vocab::trace::CloseReason;
use acklab_vocab::zookeeper::paths;

const CONTROLLERS_NODE: Endpoint = Endpoint { node: NodeId(2), listener: Listener::Broker };

fn connected(
    effects: &[Effect<crate::broker::BrokerTimer, crate::broker::NoReport>],
) -> ConnectionId {
    match effects {
        [Effect::Connect(connection, CONTROLLERS_NODE)] => *connection,
        other => panic!("{other:?}"),
    }
}

fn asked(
    connection: ConnectionId,
    correlation: u32,
    broker_epoch: Option<BrokerEpoch>,
) -> Effect<crate::broker::BrokerTimer, crate::broker::NoReport> {
    let request = ControlledShutdownRequest { broker: BrokerId(1), broker_epoch };
    let request = Box::new(Request::ControlledShutdown(request));
    Effect::Send(connection, Frame::Request(CorrelationId(correlation), request))
}

fn answer(
    connection: ConnectionId,
    correlation: u32,
    remaining: &[TopicPartition],
) -> Input<crate::broker::BrokerTimer, BrokerCall> {
    let response =
        ControlledShutdownResponse { error: ErrorCode::None, remaining: remaining.to_vec() };
    let response = Box::new(Response::ControlledShutdown(response));
    Input::Response { connection, correlation: CorrelationId(correlation), response }
}

#[test]
fn the_controller_lets_it_go_and_its_znode_is_gone_at_once() {
    let mut rig = Rig::leading("2.0", &[], &[1, 2, 3]);
    let connection = connected(&rig.call(Input::Call(BrokerCall::ShutDown)));
    assert_eq!(rig.call(Input::Connected(connection)), [asked(connection, 0, None)]);
    assert_eq!(rig.broker.view(&rig.disk).state, BrokerState::PendingControlledShutdown);
    let own = paths::broker(BrokerId(1));
    assert!(rig.tree.get(&own).is_some());
    let effects = rig.call(answer(connection, 0, &[]));
    assert_eq!(effects, [Effect::Exit { clean: true }]);
    assert_eq!(rig.tree.get(&own), None);
    assert!(rig.disk.clean_shutdown.is_some());
}

#[test]
fn since_2_2_it_says_which_life_it_is() {
    let mut rig = Rig::leading("2.2", &[], &[1, 2, 3]);
    let own = rig.broker.view(&rig.disk).broker_epoch;
    let connection = connected(&rig.call(Input::Call(BrokerCall::ShutDown)));
    assert_eq!(rig.call(Input::Connected(connection)), [asked(connection, 0, own)]);
}

#[test]
fn three_attempts_five_seconds_apart_then_it_goes_in_any_case() {
    let mut rig = Rig::leading("2.0", &[], &[1]);
    let orders = super::super::rig::ORDERS;
    let connection = connected(&rig.call(Input::Call(BrokerCall::ShutDown)));
    rig.call(Input::Connected(connection));
    assert!(rig.call(answer(connection, 0, &[orders])).is_empty());
    assert!(rig.advance(4_999).is_empty());
    assert_eq!(rig.advance(5_000), [asked(connection, 1, None)]);
    // The connection is lost: a new one.
    let reset = CloseReason::Reset;
    assert!(rig.call(Input::Closed(connection, reset)).is_empty());
    let connection = connected(&rig.advance(10_000));
    assert_eq!(rig.call(Input::Connected(connection)), [asked(connection, 2, None)]);
    assert!(rig.call(answer(connection, 2, &[orders])).is_empty());
    assert!(rig.advance(14_999).is_empty());
    assert_eq!(rig.advance(15_000), [Effect::Exit { clean: true }]);
}

#[test]
fn without_a_controller_it_waits_for_one() {
    let mut rig = Rig::leading("2.0", &[], &[1, 2, 3]);
    rig.tree.end(acklab_vocab::zookeeper::SessionId(99));
    assert!(rig.call(Input::Call(BrokerCall::ShutDown)).is_empty());
    assert!(rig.advance(4_999).is_empty());
    let view = rig.broker.view(&rig.disk);
    assert_eq!(view.state, BrokerState::PendingControlledShutdown);
}
