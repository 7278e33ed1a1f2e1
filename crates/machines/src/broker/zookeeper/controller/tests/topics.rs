//! New topics, announced ISRs, preferred leaders.

use super::bench::*;
use crate::broker::BrokerTimer;
use crate::broker::zookeeper::controller::ControllerTimer;
use acklab_vocab::ids::TopicId;
use acklab_vocab::time::SimDuration;
use acklab_vocab::trace::PartitionChangeReason;
use acklab_vocab::zookeeper::{ZnodeData, paths};

const PREFERRED: PartitionChangeReason = PartitionChangeReason::PreferredElection;
const REBALANCE: BrokerTimer = BrokerTimer::ZooKeeperController(ControllerTimer::Rebalance);

fn topic(partitions: usize) -> ZnodeData {
    let assignments = vec![brokers(&[1, 2, 3]); partitions].into();
    ZnodeData::Topic { topic: TopicId(0), assignments }
}

#[test]
fn a_new_topic_gets_leaders_and_more_partitions_get_theirs() {
    let mut bench = Bench::in_office("3.9", &[]);
    bench.create(paths::topic(TopicId(0)), topic(1));
    let expected = [
        "list+ /brokers/topics",
        "get+ /brokers/topics/0",
        "!create /brokers/topics/0/partitions",
        "!create /brokers/topics/0/partitions/0",
        "!create /brokers/topics/0/partitions/0/state",
    ];
    assert_eq!(lines(&bench.answer_all()), expected);
    let first = state(0, Some(1), &[1, 2, 3], (0, 0));
    assert_eq!(bench.stored(0), (first.clone(), 1, PartitionChangeReason::Created));
    let each = |told: fn(u16, Vec<_>) -> Told, states: Vec<_>| {
        [1, 2, 3].map(|broker| told(broker, states.clone()))
    };
    let metadata: fn(u16, Vec<_>) -> Told = |to, states| Told::Metadata(to, vec![1, 2, 3], states);
    let expected =
        [each(Told::LeaderAndIsr, vec![first.clone()]), each(metadata, vec![first])].concat();
    assert_eq!(bench.told(), by_receiver(expected));

    bench.tree.write(&paths::topic(TopicId(0)), topic(2));
    bench.deliver_watches();
    let expected = [
        "get+ /brokers/topics/0",
        "!create /brokers/topics/0/partitions",
        "!create /brokers/topics/0/partitions/1",
        "!create /brokers/topics/0/partitions/1/state",
    ];
    assert_eq!(lines(&bench.answer_all()), expected);
    let second = state(1, Some(1), &[1, 2, 3], (0, 0));
    assert_eq!(bench.told()[0], Told::LeaderAndIsr(1, vec![second.clone()]));
    assert_eq!(bench.stored(1).0, second);
}

#[test]
fn isrs_that_leaders_have_written_are_passed_on() {
    let mut bench = Bench::in_office("2.0", &[state(0, Some(2), &[1, 2, 3], (0, 0))]);
    let shrunk = state(0, Some(2), &[2, 3], (0, 1));
    bench.write_state(shrunk.clone(), 1);
    let change = paths::isr_changes().child("isr_change_0000000001");
    bench.create(change.clone(), ZnodeData::IsrChange([tp(0)].into()));
    let expected = [
        "list+ /isr_change_notification".to_string(),
        format!("get {change}"),
        "get /brokers/topics/0/partitions/0/state".into(),
        format!("delete {change}"),
        // That it is deleted fires the watch, too.
        "list+ /isr_change_notification".into(),
    ];
    assert_eq!(lines(&bench.answer_all()), expected);
    let metadata = |to| Told::Metadata(to, vec![1, 2, 3], vec![shrunk.clone()]);
    assert_eq!(bench.told(), [1, 2, 3].map(metadata));
}

#[test]
fn preferred_leaders_are_elected_when_the_znode_asks_for_them() {
    let states = [state(0, Some(2), &[1, 2, 3], (0, 0)), state(1, Some(2), &[2, 3], (0, 0))];
    let mut bench = Bench::in_office("2.0", &states);
    let asked_for = ZnodeData::PreferredReplicaElection([tp(0), tp(1), tp(2)].into());
    bench.create(paths::preferred_replica_election(), asked_for);
    let path = |partition| format!("/brokers/topics/0/partitions/{partition}/state");
    let expected = [
        "exists+ /admin/preferred_replica_election".to_string(),
        "get /admin/preferred_replica_election".into(),
        format!("get {}", path(0)),
        format!("get {}", path(1)),
        format!("set {} v0", path(0)),
        "delete /admin/preferred_replica_election".into(),
        "exists+ /admin/preferred_replica_election".into(),
    ];
    // The watch set by the first of these fires when the request is deleted, and means nothing.
    assert_eq!(lines(&bench.answer_all()), expected);
    assert_eq!(bench.stored(0), (state(0, Some(1), &[1, 2, 3], (1, 1)), 1, PREFERRED));
    assert_eq!(bench.stored(1).0, states[1], "the preferred replica is not in sync");
}

#[test]
fn leaders_are_rebalanced_from_time_to_time() {
    let states: Vec<_> =
        (0..10).map(|it| state(it, Some(if it < 2 { 2 } else { 1 }), &[1, 2, 3], (0, 0))).collect();
    let mut bench = Bench::in_office("3.9", &states);
    assert_eq!(bench.until(REBALANCE), Some(SimDuration::from_secs(5)));
    bench.fire(REBALANCE);
    bench.answer_all();
    for partition in 0..2 {
        let expected = state(partition, Some(1), &[1, 2, 3], (1, 1));
        assert_eq!(bench.stored(partition), (expected, 1, PREFERRED));
    }
    assert_eq!(bench.until(REBALANCE), Some(SimDuration::from_secs(300)));
    // One of ten is not too many.
    bench.write_state(state(0, Some(2), &[1, 2, 3], (2, 2)), 1);
    bench.fire(REBALANCE);
    bench.answer_all();
    assert_eq!(bench.stored(0).0.leader, brokers(&[2]).first().copied());
}

#[test]
fn without_auto_leader_rebalance_nothing_is_moved() {
    let mut bench = Bench::with("3.9", &[("auto.leader.rebalance.enable", "false")], false);
    bench.set_up(&[2, 3], &[state(0, Some(2), &[1, 2, 3], (0, 0))]);
    bench.answer_all();
    assert_eq!(bench.until(REBALANCE), None);
}

#[test]
fn an_operator_may_ask_for_any_live_leader() {
    let mut bench = Bench::in_office("3.9", &[state(0, Some(2), &[2], (0, 0))]);
    bench.bury(2);
    bench.answer_all();
    assert_eq!(bench.stored(0).0.leader, None);
    bench.call(crate::broker::BrokerCall::ElectLeaders { partitions: vec![tp(0)], unclean: true });
    bench.answer_all();
    let unclean = PartitionChangeReason::UncleanElection;
    assert_eq!(bench.stored(0), (state(0, Some(1), &[1], (2, 2)), 1, unclean));
}
