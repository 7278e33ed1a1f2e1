//! Before 2.7: the leader writes the ISR to ZooKeeper, under the partition's lock.

use super::super::rig::{CONSUMER, ORDERS, PRODUCER, answer, at_ms, fetched, produced, stored};
use super::control::produce;
use super::rig::*;
use crate::broker::BrokerTimer;
use crate::machine::Effect;
use acklab_vocab::api::*;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::*;
use acklab_vocab::zookeeper::{ZnodeData, paths};

fn written_isr(rig: &Rig) -> Vec<u16> {
    match rig.tree.get(&paths::partition_state(ORDERS)) {
        Some(ZnodeData::Partition { state, controller_epoch, .. }) => {
            assert_eq!(*controller_epoch, EPOCH);
            state.isr.iter().map(|broker| broker.0).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn waiting(rig: &Rig) -> (usize, usize, usize) {
    let own = rig.broker.view(&rig.disk).zookeeper.expect("it is in ZooKeeper mode");
    (own.locked_partitions, own.waiting_requests, own.queued_requests)
}

/// A leader of 2.0 whose followers are silent, with one record, after the time limit.
fn lonely(changes: &[(&str, &str)], before_the_write: impl FnOnce(&mut Rig)) -> Rig {
    let mut rig = Rig::leading("2.0", changes, &[1, 2, 3]);
    produce(&mut rig, 4, Acks::Leader, 0);
    assert!(rig.advance(14_999).is_empty());
    before_the_write(&mut rig);
    rig.facts();
    assert!(rig.advance(15_000).is_empty());
    rig
}

#[test]
fn the_isr_shrinks_by_a_conditional_write_and_is_announced_later() {
    let mut rig = lonely(&[], |_| {});
    assert_eq!(written_isr(&rig), [1]);
    assert_eq!(rig.isr_facts(), ["proposed [(1)]", "committed [(1)]"]);
    assert_eq!(rig.high_watermark(), 1);
    assert_eq!(rig.tree.version(&paths::partition_state(ORDERS)), Some(1));
    let announced = paths::isr_changes().child("isr_change_0000000000");
    rig.advance(20_000);
    assert_eq!(rig.tree.get(&announced), None, "changes may follow");
    rig.advance(22_500);
    assert_eq!(rig.tree.get(&announced), Some(&ZnodeData::IsrChange([ORDERS].into())));
}

#[test]
fn silence_is_judged_by_the_version() {
    // Nothing is written: the logs are equally long.
    for (version, shrinks) in [("2.0", true), ("2.1", false)] {
        let mut rig = Rig::leading(version, &[], &[1, 2, 3]);
        rig.fetch(2, 1, 0);
        rig.fetch(3, 1, 0);
        rig.facts();
        rig.advance(20_000);
        assert_eq!(!rig.isr_facts().is_empty(), shrinks, "{version}");
    }
}

#[test]
fn a_follower_that_goes_on_fetching_an_idle_partition_stays() {
    for version in ["0.8.2", "0.10.2", "2.0", "2.1"] {
        let mut rig = Rig::leading(version, &[], &[1, 2, 3]);
        for follower in [2, 3] {
            rig.fetch(follower, 1, 0);
        }
        for round in 0..90 {
            rig.advance(500 * round);
            for follower in [2, 3] {
                rig.fetch_what_is_new(follower, 2 + round as u32);
            }
        }
        assert_eq!(rig.isr_facts(), Vec::<String>::new(), "{version}");
    }
}

#[test]
fn a_znode_of_another_version_leaves_the_leader_with_the_isr_that_it_had() {
    let controller_writes = |rig: &mut Rig| rig.write_state(&state(2, 2, 1, &[2, 3]));
    let mut rig = lonely(&[], controller_writes);
    let refused = ["proposed [(1)]", "refused INVALID_UPDATE_VERSION"];
    assert_eq!(rig.isr_facts(), refused);
    assert_eq!(written_isr(&rig), [2, 3]);
    assert_eq!(rig.high_watermark(), 0);
    // KAFKA-2729: it tries again, with the version that it knows, until the controller tells it.
    rig.advance(20_000);
    assert_eq!(rig.isr_facts(), refused);
    assert_eq!(produce(&mut rig, 5, Acks::Leader, 1), [produced(5, ErrorCode::None, Some(1))]);
    rig.leader_and_isr(EPOCH, vec![state(2, 2, 1, &[2, 3])]);
    rig.facts();
    rig.advance(30_000);
    assert!(rig.isr_facts().is_empty());
}

#[test]
fn while_zookeeper_is_out_of_reach_the_partition_is_locked() {
    let mut rig = lonely(&[], |rig| rig.cut = true);
    assert_eq!(waiting(&rig), (1, 0, 0));
    assert_eq!(rig.isr_facts(), ["proposed [(1)]"]);
    assert!(produce(&mut rig, 5, Acks::Leader, 1).is_empty());
    assert!(rig.fetch(2, 6, 0).is_empty());
    assert!(rig.leader_and_isr(EPOCH, vec![state(2, 2, 1, &[2, 3])]).is_empty());
    assert!(rig.update_metadata(EPOCH, &[2, 3], vec![]).is_empty(), "one after the other");
    assert_eq!(waiting(&rig), (1, 4, 0));
    // Consumers do not need the lock.
    assert_eq!(rig.consume(7, 0), [fetched(CONSUMER, 7, vec![answer(0, &[])])]);
    // Another try of its thread has to wait.
    assert!(rig.advance(17_000).is_empty());
    rig.restore();
    let effects = rig.advance(24_000);
    let answered: Vec<(ConnectionId, u32)> = effects.iter().filter_map(answered).collect();
    let follower = follower_connection(2);
    // The follower is sent to the new leader once this broker knows of it; it had been read before.
    assert_eq!(answered[..1], [(PRODUCER, 5)], "{effects:?}");
    assert!(answered.contains(&(follower, 6)), "{effects:?}");
    let last = &answered[answered.len() - 2..];
    assert_eq!(last, [(CONTROLLER, 1), (CONTROLLER, 2)], "{effects:?}");
    assert_eq!(waiting(&rig), (0, 0, 0));
    assert_eq!(rig.broker.led_partitions().count(), 0);
}

fn answered(effect: &Effect<BrokerTimer, crate::broker::NoReport>) -> Option<(ConnectionId, u32)> {
    match effect {
        Effect::Send(to, Frame::Response(correlation, _)) => Some((*to, correlation.0)),
        _ => None,
    }
}

#[test]
fn when_all_threads_wait_nothing_at_all_is_handled() {
    let mut rig = lonely(&[("num.io.threads", "2")], |rig| rig.cut = true);
    assert!(produce(&mut rig, 5, Acks::Leader, 1).is_empty());
    assert_eq!(rig.consume(6, 0), [fetched(CONSUMER, 6, vec![answer(0, &[])])]);
    assert!(produce(&mut rig, 7, Acks::Leader, 2).is_empty());
    assert!(rig.consume(8, 0).is_empty());
    assert_eq!(waiting(&rig), (1, 2, 1));
    rig.restore();
    let effects = rig.advance(24_000);
    assert_eq!(
        effects,
        [
            produced(5, ErrorCode::None, Some(1)),
            produced(7, ErrorCode::None, Some(2)),
            fetched(
                CONSUMER,
                8,
                vec![answer(3, &[stored(0, 1, 0, 1), stored(1, 1, 1, 1), stored(2, 1, 2, 1)])]
            ),
        ]
    );
    assert_eq!(waiting(&rig), (0, 0, 0));
}

#[test]
fn consumers_wait_for_the_lock_since_2_1() {
    let mut rig = Rig::leading("2.1", &[], &[1, 2, 3]);
    produce(&mut rig, 4, Acks::Leader, 0);
    rig.cut = true;
    rig.advance(15_000);
    assert!(rig.consume(7, 0).is_empty());
    assert_eq!(waiting(&rig), (1, 1, 0));
}

#[test]
fn a_write_whose_answer_was_lost_is_found_done() {
    let mut rig = lonely(&[], |rig| rig.mute = true);
    assert_eq!(written_isr(&rig), [1]);
    assert_eq!(rig.isr_facts(), ["proposed [(1)]"]);
    rig.mute = false;
    rig.reset_connection();
    rig.advance(18_000);
    assert_eq!(rig.isr_facts(), ["committed [(1)]"]);
    assert_eq!(rig.tree.version(&paths::partition_state(ORDERS)), Some(1));
    assert_eq!(waiting(&rig), (0, 0, 0));
}

#[test]
fn the_end_of_the_session_ends_the_write_since_1_1() {
    let expire = |version: &str| {
        let mut rig = Rig::leading(version, &[], &[1, 2, 3]);
        produce(&mut rig, 4, Acks::Leader, 0);
        rig.cut = true;
        rig.advance(15_000);
        rig.facts();
        rig.expire_session();
        rig.restore();
        rig.advance(24_000);
        rig
    };
    let mut rig = expire("1.1");
    // The round ended with the exception; the next one is at once.
    assert_eq!(rig.isr_facts(), ["refused NETWORK_EXCEPTION", "proposed [(1)]", "committed [(1)]"]);
    // zkclient tries the same again in the new session.
    assert_eq!(expire("1.0").isr_facts(), ["committed [(1)]"]);
}

#[test]
fn a_follower_that_has_caught_up_joins_by_a_write() {
    let mut rig = Rig::leading("2.0", &[], &[1]);
    produce(&mut rig, 4, Acks::Leader, 0);
    rig.facts();
    rig.fetch(2, 5, 0);
    assert!(rig.isr_facts().is_empty());
    rig.cut = true;
    // It is answered already, and waits from its next fetch on.
    rig.fetch(2, 6, 1);
    assert_eq!(rig.isr_facts(), ["proposed [(1), (2)]"]);
    assert!(rig.fetch(2, 7, 1).is_empty());
    assert_eq!(waiting(&rig), (1, 1, 0));
    rig.restore();
    rig.advance(9_000);
    assert_eq!(rig.isr_facts(), ["committed [(1), (2)]"]);
    assert_eq!(written_isr(&rig), [1, 2]);
}

#[test]
fn in_0_8_missing_messages_count_and_nothing_is_announced() {
    let changes = [("replica.lag.max.messages", "2")];
    let mut rig = Rig::leading("0.8.2", &changes, &[1, 2, 3]);
    for n in 0..3 {
        produce(&mut rig, 10 + n, Acks::Leader, n);
    }
    rig.fetch(2, 5, 1);
    rig.fetch(3, 6, 0);
    rig.facts();
    rig.advance(5_000);
    // Broker 3 is three messages behind, broker 2 two.
    assert_eq!(rig.isr_facts(), ["proposed [(1), (2)]", "committed [(1), (2)]"]);
    assert_eq!(rig.timer(BrokerTimer::IsrChangePropagation), None);
    assert_eq!(rig.timer(BrokerTimer::IsrExpiration), Some(at_ms(10_000)));
}

#[test]
fn a_request_of_a_connection_that_is_gone_is_still_carried_out() {
    let mut rig = lonely(&[], |rig| rig.cut = true);
    assert!(produce(&mut rig, 5, Acks::Leader, 1).is_empty());
    assert!(rig.fetch(2, 6, 0).is_empty());
    let reset = acklab_vocab::trace::CloseReason::Reset;
    rig.call(crate::Input::Closed(PRODUCER, reset));
    rig.call(crate::Input::Closed(follower_connection(2), reset));
    rig.restore();
    let effects = rig.advance(24_000);
    // The fetch has nobody to answer; the record is written all the same.
    assert_eq!(effects, [produced(5, ErrorCode::None, Some(1))]);
    let ends = rig.broker.led_partitions().map(|(_, _, end, _)| end.0).collect::<Vec<_>>();
    assert_eq!(ends, [2]);
}
