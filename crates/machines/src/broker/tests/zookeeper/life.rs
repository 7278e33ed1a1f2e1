//! Sessions: registration, expiry, restart.

use super::super::rig::topic;
use super::rig::*;
use crate::broker::{BrokerState, BrokerTimer};
use crate::disk::Disk;
use crate::machine::{Effect, Machine};
use acklab_vocab::ids::*;
use acklab_vocab::trace::{TraceEvent, ZooKeeperState};
use acklab_vocab::zookeeper::{SessionId, ZnodeData, paths};

/// A tree in which an earlier life of broker 1 is registered, in session 50.
fn with_an_earlier_life() -> Tree {
    let mut tree = Rig::tree();
    let data =
        ZnodeData::Broker { broker: BrokerId(1), node: NodeId(1), incarnation: Incarnation(0) };
    tree.create(paths::broker(BrokerId(1)), data, Some(SessionId(50))).unwrap();
    tree
}

#[test]
fn a_broker_registers_and_serves_with_the_znodes_zxid_as_its_epoch() {
    let mut rig = Rig::booted_on(config_of("2.2", &[]), topic(), Disk::default(), Rig::tree());
    let view = rig.broker.view(&rig.disk);
    let own = view.zookeeper.expect("it is in ZooKeeper mode");
    assert_eq!((own.state, own.session), (ZooKeeperState::Connected, Some(SessionId(1))));
    assert!(!own.is_controller, "broker 2 is");
    assert_eq!(view.state, BrokerState::Running);
    // Two znodes were there, eight folders came first.
    assert_eq!(view.broker_epoch, Some(BrokerEpoch(11)));
    assert!(rig.broker.listens());
    assert_eq!(
        rig.tree.get(&paths::broker(BrokerId(1))),
        Some(&ZnodeData::Broker {
            broker: BrokerId(1),
            node: NodeId(1),
            incarnation: Incarnation(0)
        })
    );
    assert!(
        rig.facts()
            .contains(&TraceEvent::ZooKeeperStateChanged { state: ZooKeeperState::Connected })
    );
}

#[test]
fn an_earlier_registration_ends_the_process_since_0_9() {
    let config = config_of("2.0", &[]);
    let setup = |tree| Rig::booted_on(config.clone(), topic(), Disk::default(), tree);
    let rig = setup(with_an_earlier_life());
    assert_eq!(rig.broker.view(&rig.disk).state, BrokerState::ShuttingDown);
    assert_eq!(rig.at_boot, [Effect::Exit { clean: false }]);
    assert!(!rig.broker.listens());
}

#[test]
fn an_earlier_registration_is_waited_for_in_0_8() {
    let config = config_of("0.8.2", &[]);
    let mut rig = Rig::booted_on(config, topic(), Disk::default(), with_an_earlier_life());
    assert_eq!(
        rig.timer(BrokerTimer::ZooKeeperRegistration),
        Some(super::super::rig::at_ms(6_000))
    );
    assert!(!rig.broker.listens());
    rig.tree.end(SessionId(50));
    rig.advance(6_000);
    assert!(rig.broker.listens());
}

#[test]
fn a_broker_knows_its_own_znode_when_the_answer_was_lost() {
    let config = config_of("2.0", &[]);
    let mut tree = Rig::tree();
    let data =
        ZnodeData::Broker { broker: BrokerId(1), node: NodeId(1), incarnation: Incarnation(0) };
    // The session that it is about to have.
    tree.create(paths::broker(BrokerId(1)), data, Some(SessionId(1))).unwrap();
    let rig = Rig::booted_on(config, topic(), Disk::default(), tree);
    assert_eq!(rig.broker.view(&rig.disk).broker_epoch, Some(BrokerEpoch(3)));
}

#[test]
fn without_a_first_connection_the_process_ends() {
    let config = config_of("2.5", &[]);
    let mut rig = Rig::unreachable(config);
    assert!(rig.advance(17_999).is_empty());
    assert_eq!(rig.advance(18_000), [Effect::Exit { clean: false }]);
}

#[test]
fn after_an_expired_session_it_registers_anew_and_leads_on_meanwhile() {
    let mut rig = Rig::leading("2.2", &[], &[1, 2, 3]);
    let before = rig.broker.view(&rig.disk).broker_epoch;
    rig.expire_session();
    rig.reset_connection();
    rig.advance(3_000);
    let view = rig.broker.view(&rig.disk);
    assert!(view.broker_epoch > before, "{view:?}");
    assert_eq!(rig.broker.led_partitions().count(), 1);
    let states: Vec<ZooKeeperState> = rig
        .facts()
        .into_iter()
        .filter_map(|fact| match fact {
            TraceEvent::ZooKeeperStateChanged { state } => Some(state),
            _ => None,
        })
        .collect();
    use ZooKeeperState::{Connected, Disconnected, Expired};
    assert_eq!(states, [Disconnected, Expired, Connected]);
}

#[test]
fn a_lost_connection_is_no_end_of_the_session() {
    let mut rig = Rig::leading("2.2", &[], &[1, 2, 3]);
    let before = rig.broker.view(&rig.disk).broker_epoch;
    rig.reset_connection();
    rig.advance(3_000);
    let view = rig.broker.view(&rig.disk);
    assert_eq!(view.broker_epoch, before);
    assert_eq!(view.zookeeper.map(|own| own.state), Some(ZooKeeperState::Connected));
}
