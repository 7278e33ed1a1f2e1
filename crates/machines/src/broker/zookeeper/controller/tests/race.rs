//! The race for `/controller`, by version.

use super::bench::*;
use acklab_vocab::ids::{BrokerEpoch, BrokerId, ControllerEpoch, ControllerId, Incarnation};
use acklab_vocab::trace::TraceEvent;
use acklab_vocab::zookeeper::{ZnodeData, paths};

fn elected(controller: u16, epoch: u32) -> TraceEvent {
    let (controller, epoch) = (ControllerId(controller), ControllerEpoch(epoch));
    TraceEvent::ControllerElected { controller, epoch }
}

fn is_first_look(request: &acklab_vocab::api::ZooKeeperRequest) -> bool {
    line(request) == "exists+ /controller"
}

/// Broker 1, about to look who is the controller.
fn looking(version: &str) -> Bench {
    let mut bench = Bench::new(version);
    bench.set_up(&[], &[]);
    bench.answer_until(is_first_look);
    bench
}

#[test]
fn the_first_controller_of_a_cluster_begins_epoch_1() {
    let mut bench = looking("3.9");
    let expected = [
        "exists+ /controller",
        "get /controller",
        "get /controller_epoch",
        "create /controller_epoch",
        "create~ /controller & set /controller_epoch v0",
        "exists+ /admin/preferred_replica_election",
        "exists /admin/reassign_partitions",
        "list+ /isr_change_notification",
        "list+ /brokers/ids",
        "get /brokers/ids/1",
        "exists /brokers/ids/1",
        "list+ /brokers/topics",
        "list /admin/delete_topics",
        "exists /admin/reassign_partitions",
        "get /admin/preferred_replica_election",
        "!delete /admin/preferred_replica_election",
        // The watch on its own znode has fired meanwhile.
        "exists+ /controller",
        "get /controller",
        "exists+ /admin/preferred_replica_election",
    ];
    assert_eq!(lines(&bench.answer_all()), expected);
    assert!(bench.broker.is_controller());
    let broker = BrokerId(1);
    let czxid = bench.tree.get(&paths::broker(broker)).unwrap().1.czxid;
    let (broker_epoch, incarnation) = (BrokerEpoch::from(czxid), Incarnation(0));
    assert_eq!(
        bench.facts(),
        [
            elected(1, 1),
            TraceEvent::BrokerRegistered { broker, broker_epoch, incarnation },
            TraceEvent::BrokerUnfenced { broker },
        ]
    );
    assert_eq!(bench.told(), [Told::Metadata(1, vec![1], vec![])]);
}

#[test]
fn before_2_2_the_epoch_is_raised_after_the_znode_is_made() {
    for version in ["0.10.2", "2.1"] {
        let mut bench = looking(version);
        let expected = [
            "exists+ /controller",
            "get /controller",
            "create~ /controller",
            "get /controller_epoch",
            "create /controller_epoch",
            "exists+ /admin/preferred_replica_election",
        ];
        let mut asked = lines(&bench.answer_all());
        // Before 1.1 the broker registers at the same time.
        asked.retain(|line| line != "create~ /brokers/ids/1");
        assert_eq!(asked[..expected.len()], expected, "{version}");
        assert_eq!(bench.facts()[0], elected(1, 1), "{version}");
    }
}

#[test]
fn who_sees_a_controller_does_not_race() {
    let mut bench = looking("3.9");
    let data = ZnodeData::Controller { broker: BrokerId(2) };
    bench.create(paths::controller(), data);
    assert_eq!(lines(&bench.answer_all()), ["exists+ /controller", "get /controller"]);
    assert!(!bench.broker.is_controller());
}

#[test]
fn the_loser_of_a_race_waits_for_the_end_of_the_winner() {
    let mut bench = looking("3.9");
    let epoch = ZnodeData::ControllerEpoch(ControllerEpoch(6));
    bench.create(paths::controller_epoch(), epoch);
    bench.answer_until(|request| line(request).starts_with("create~ /controller &"));
    bench.usurp(2);
    let expected = [
        "create~ /controller & set /controller_epoch v0",
        "get /controller",
        "get /controller_epoch",
        "exists+ /controller",
        "get /controller",
        // The winner's znode has fired the first watch.
        "exists+ /controller",
        "get /controller",
    ];
    bench.deliver_watches();
    assert_eq!(lines(&bench.answer_all()), expected);
    assert!(!bench.broker.is_controller());
    assert_eq!(bench.facts(), []);

    bench.tree.delete(&paths::controller());
    bench.deliver_watches();
    let again = lines(&bench.answer_all());
    assert_eq!(
        again[..6],
        [
            "exists+ /controller",
            "get /controller",
            "get /controller",
            "get /controller_epoch",
            "create~ /controller & set /controller_epoch v1",
            "exists+ /admin/preferred_replica_election",
        ]
    );
    assert_eq!(bench.facts()[0], elected(1, 8));
}

#[test]
fn the_loser_of_an_old_race_does_nothing() {
    let mut bench = looking("1.0");
    bench.create(paths::controller_epoch(), ZnodeData::ControllerEpoch(ControllerEpoch(6)));
    bench.answer_until(|request| line(request) == "create~ /controller");
    bench.usurp(2);
    let asked = lines(&bench.answer_all());
    assert_eq!(asked[..2], ["create~ /controller", "get /controller"]);
    assert!(!asked[2..].iter().any(|line| line.starts_with("create")));
    assert!(!bench.broker.is_controller());
    assert_eq!(bench.facts(), []);
}

#[test]
fn a_race_that_was_won_is_not_lost_with_the_answer() {
    let mut bench = looking("3.9");
    bench.answer_until(|request| line(request).starts_with("create~ /controller &"));
    bench.lose_zookeeper(1);
    bench.regain_zookeeper();
    let again = lines(&bench.answer_all());
    assert_eq!(
        again[..4],
        [
            "create~ /controller & set /controller_epoch v0",
            "get /controller",
            "get /controller_epoch",
            "exists+ /admin/preferred_replica_election",
        ]
    );
    assert!(bench.broker.is_controller());
    assert_eq!(bench.facts()[0], elected(1, 1));

    let mut old = looking("1.0");
    old.answer_until(|request| line(request) == "create~ /controller");
    old.lose_zookeeper(1);
    old.regain_zookeeper();
    let again = lines(&old.answer_all());
    assert_eq!(again[..3], ["create~ /controller", "get /controller", "get /controller_epoch"]);
    assert_eq!(old.facts()[0], elected(1, 1));
}

#[test]
fn before_2_2_a_controller_that_cannot_raise_the_epoch_deletes_the_znode_whosever_it_is() {
    let mut bench = looking("2.1");
    bench.create(paths::controller_epoch(), ZnodeData::ControllerEpoch(ControllerEpoch(6)));
    bench.answer_until(|request| line(request).starts_with("set /controller_epoch"));
    // It was paused, its session is gone, another has won and raised the epoch.
    bench.usurp(2);
    assert!(bench.tree.get(&paths::controller()).is_some());
    bench.tree.take_fired();
    // The watch on the znode that it had made comes last; nothing fires for its end.
    let expected = [
        "set /controller_epoch v0",
        "delete /controller",
        "exists+ /controller",
        "get /controller",
    ];
    assert_eq!(lines(&bench.answer_all()), expected);
    assert!(bench.tree.get(&paths::controller()).is_none());
    assert_eq!(bench.facts(), []);
}
