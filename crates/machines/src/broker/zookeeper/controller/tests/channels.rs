//! How the controller reaches the brokers.

use super::bench::*;
use crate::broker::BrokerTimer;
use crate::broker::zookeeper::controller::ControllerTimer;
use acklab_vocab::ids::BrokerId;
use acklab_vocab::time::SimDuration;

const CHANNEL_3: BrokerTimer =
    BrokerTimer::ZooKeeperController(ControllerTimer::Channel(BrokerId(3)));

/// Broker 2, which led the partition, is dead, and broker 3 does not answer.
fn with_a_silent_broker() -> Bench {
    let mut bench = Bench::in_office("3.9", &[state(0, Some(2), &[1, 2, 3], (0, 0))]);
    bench.silent.insert(3);
    bench.bury(2);
    bench.answer_all();
    bench
}

fn to_3(told: Vec<Told>) -> Vec<Told> {
    let is_3 = |told: &Told| match told {
        Told::LeaderAndIsr(to, _) | Told::Metadata(to, ..) | Told::Stop(to, _) => *to == 3,
    };
    told.into_iter().filter(is_3).collect()
}

fn leader() -> Vec<Told> {
    vec![Told::LeaderAndIsr(3, vec![state(0, Some(1), &[1, 3], (1, 1))])]
}

fn metadata() -> Vec<Told> {
    vec![Told::Metadata(3, vec![1, 3], vec![state(0, Some(1), &[1, 3], (1, 1))])]
}

#[test]
fn a_broker_is_told_one_thing_after_the_other() {
    let mut bench = with_a_silent_broker();
    assert_eq!(to_3(bench.told()), leader());
    bench.hear(3);
    assert_eq!(to_3(bench.told()), metadata());
    bench.hear(3);
    // The second pass: the dead replica was to leave the ISR.
    assert_eq!(to_3(bench.told()), leader());
    bench.hear(3);
    assert_eq!(to_3(bench.told()), metadata());
    bench.hear(3);
    assert_eq!(to_3(bench.told()), []);
    assert_eq!(bench.until(CHANNEL_3), None);
}

#[test]
fn what_was_not_answered_is_told_again() {
    let mut bench = with_a_silent_broker();
    bench.told();
    bench.lose(3);
    assert_eq!(bench.until(CHANNEL_3), Some(SimDuration::from_millis(100)));
    bench.fire(CHANNEL_3);
    assert_eq!(to_3(bench.told()), leader());
    // `controller.socket.timeout.ms`
    assert_eq!(bench.until(CHANNEL_3), Some(SimDuration::from_secs(30)));
    bench.fire(CHANNEL_3);
    assert_eq!(bench.unanswered, []);
    bench.fire(CHANNEL_3);
    assert_eq!(to_3(bench.told()), leader());
    bench.hear(3);
    assert_eq!(to_3(bench.told()), metadata());
}

#[test]
fn a_broker_that_is_gone_is_told_nothing_more() {
    let mut bench = with_a_silent_broker();
    bench.told();
    bench.bury(3);
    bench.answer_all();
    assert_eq!(to_3(bench.told()), []);
    assert_eq!(bench.unanswered, []);
    assert_eq!(bench.until(CHANNEL_3), None);
}

#[test]
fn another_life_of_a_broker_is_told_what_concerns_it_alone() {
    let mut bench = with_a_silent_broker();
    bench.told();
    bench.silent.clear();
    bench.tree.delete(&acklab_vocab::zookeeper::paths::broker(BrokerId(3)));
    bench.register(3, 1);
    bench.answer_all();
    let told = to_3(bench.told());
    // What was queued for its life before is gone.
    let after = state(0, Some(1), &[1], (2, 2));
    let expected = [
        Told::Metadata(3, vec![1, 3], vec![after.clone()]),
        Told::LeaderAndIsr(3, vec![after.clone()]),
        Told::Metadata(3, vec![1, 3], vec![after]),
    ];
    assert_eq!(told, expected);
}
