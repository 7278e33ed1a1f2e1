//! Taking office, and brokers that come and go.

use super::bench::*;
use acklab_vocab::ids::{BrokerId, ControllerEpoch, ControllerId};
use acklab_vocab::trace::{PartitionChangeReason, TraceEvent};

const FENCED: PartitionChangeReason = PartitionChangeReason::BrokerFenced;
const ALL: [u16; 3] = [1, 2, 3];

fn fenced(broker: u16) -> TraceEvent {
    TraceEvent::BrokerFenced { broker: BrokerId(broker) }
}

/// Broker 1 takes office; broker 2, which led partition 0, is dead.
fn taking_office(version: &str) -> (Bench, Vec<String>) {
    let mut bench = Bench::new(version);
    let led_by_2 = state(0, Some(2), &[1, 2, 3], (4, 0));
    let led_by_3 = state(1, Some(3), &[2, 3], (7, 0));
    bench.set_up(&[3], &[led_by_2, led_by_3]);
    let asked = lines(&bench.answer_all());
    let begin = asked.iter().position(|line| line.starts_with("exists+ /admin")).unwrap();
    (bench, asked[begin..].to_vec())
}

#[test]
fn a_new_controller_reads_everything_before_it_elects() {
    let (mut bench, asked) = taking_office("3.9");
    let (zero, one) =
        ("/brokers/topics/0/partitions/0/state", "/brokers/topics/0/partitions/1/state");
    let expected = [
        "exists+ /admin/preferred_replica_election".to_string(),
        "exists /admin/reassign_partitions".into(),
        "list+ /isr_change_notification".into(),
        "list+ /brokers/ids".into(),
        "get /brokers/ids/1".into(),
        "get /brokers/ids/3".into(),
        "exists /brokers/ids/1".into(),
        "exists /brokers/ids/3".into(),
        "list+ /brokers/topics".into(),
        "get+ /brokers/topics/0".into(),
        format!("get {zero}"),
        format!("get {one}"),
        "list /admin/delete_topics".into(),
        // The dead replica leaves the ISRs.
        format!("get {zero}"),
        format!("get {one}"),
        format!("!set {zero} v0"),
        format!("!set {one} v0"),
        // Partition 0 gets a leader.
        format!("get {zero}"),
        format!("!set {zero} v1"),
        "exists /admin/reassign_partitions".into(),
        "get /admin/preferred_replica_election".into(),
        "!delete /admin/preferred_replica_election".into(),
    ];
    assert_eq!(asked[..expected.len()], expected);
    assert_eq!(bench.stored(0), (state(0, Some(1), &[1, 3], (6, 2)), 1, FENCED));
    assert_eq!(bench.stored(1), (state(1, Some(3), &[3], (8, 1)), 1, FENCED));

    let facts = bench.facts();
    let (controller, epoch) = (ControllerId(1), ControllerEpoch(1));
    assert_eq!(facts[0], TraceEvent::ControllerElected { controller, epoch });
    assert_eq!(facts.last(), Some(&fenced(2)));

    let before = [state(0, Some(2), &[1, 2, 3], (4, 0)), state(1, Some(3), &[2, 3], (7, 0))];
    let shrunk = [state(0, None, &[1, 3], (5, 1)), state(1, Some(3), &[3], (8, 1))];
    let last = state(0, Some(1), &[1, 3], (6, 2));
    let live = || vec![1, 3];
    let metadata = |states: &[_]| {
        [Told::Metadata(1, live(), states.to_vec()), Told::Metadata(3, live(), states.to_vec())]
    };
    let leaders = |states: &[_]| {
        [Told::LeaderAndIsr(1, states.to_vec()), Told::LeaderAndIsr(3, states.to_vec())]
    };
    let expected = [
        metadata(&[]),
        leaders(&before),
        metadata(&before),
        leaders(&shrunk),
        metadata(&shrunk),
        leaders(std::slice::from_ref(&last)),
        metadata(std::slice::from_ref(&last)),
    ];
    assert_eq!(bench.told(), by_receiver(expected.concat()));
}

#[test]
fn before_2_3_a_new_controller_leaves_other_leaders_their_isr() {
    let (mut bench, asked) = taking_office("2.2");
    let written: Vec<_> = asked.iter().filter(|line| line.contains("set ")).collect();
    assert_eq!(written, ["!set /brokers/topics/0/partitions/0/state v0"]);
    assert_eq!(bench.stored(0).0, state(0, Some(1), &[1, 3], (5, 1)));
    assert_eq!(bench.stored(1).0, state(1, Some(3), &[2, 3], (7, 0)));
    assert_eq!(bench.facts().last(), Some(&fenced(2)));
}

#[test]
fn from_1_1_on_requests_to_zookeeper_are_pipelined() {
    let states: Vec<_> = (0..40).map(|it| state(it, Some(2), &[1, 2, 3], (0, 0))).collect();
    for (version, at_once) in [("1.0", 1), ("1.1", 10), ("3.9", 10)] {
        let mut bench = Bench::new(version);
        bench.set_up(&[2, 3], &states);
        bench.answer_until(|request| line(request) == "list+ /brokers/topics");
        bench.most_asked = 0;
        bench.answer_all();
        assert_eq!(bench.most_asked, at_once, "{version}");
    }
}

#[test]
fn a_dead_leader_is_replaced_before_the_dead_leave_other_isrs() {
    let states = [state(0, Some(2), &[1, 2, 3], (0, 0)), state(1, Some(1), &[1, 2], (0, 0))];
    let mut bench = Bench::in_office("3.9", &states);
    bench.bury(2);
    let (zero, one) =
        ("/brokers/topics/0/partitions/0/state", "/brokers/topics/0/partitions/1/state");
    let asked = lines(&bench.answer_all());
    let expected = [
        "list+ /brokers/ids".to_string(),
        "get /brokers/ids/1".into(),
        "get /brokers/ids/3".into(),
        format!("get {zero}"),
        format!("!set {zero} v0"),
        // Of partition 0 it has left the ISR with the election.
        format!("get {zero}"),
        format!("get {one}"),
        format!("!set {one} v0"),
    ];
    assert_eq!(asked, expected);
    assert_eq!(bench.facts(), [fenced(2)]);
    let zero = state(0, Some(1), &[1, 3], (1, 1));
    let one = state(1, Some(1), &[1], (1, 1));
    assert_eq!(bench.stored(0), (zero.clone(), 1, FENCED));
    assert_eq!(bench.stored(1), (one.clone(), 1, FENCED));
    let live = || vec![1, 3];
    let expected = [
        Told::LeaderAndIsr(1, vec![zero.clone()]),
        Told::LeaderAndIsr(3, vec![zero.clone()]),
        Told::Metadata(1, live(), vec![zero.clone()]),
        Told::Metadata(3, live(), vec![zero.clone()]),
        Told::LeaderAndIsr(1, vec![zero.clone(), one.clone()]),
        Told::LeaderAndIsr(3, vec![zero.clone(), one.clone()]),
        Told::Metadata(1, live(), vec![zero.clone(), one.clone()]),
        Told::Metadata(3, live(), vec![zero, one]),
    ];
    assert_eq!(bench.told(), by_receiver(expected.to_vec()));
}

#[test]
fn before_1_1_partitions_are_dealt_with_one_after_the_other() {
    let states: Vec<_> = (0..3).map(|it| state(it, Some(2), &[1, 2, 3], (0, 0))).collect();
    let mut bench = Bench::in_office("1.0", &states);
    bench.bury(2);
    let path = |partition| format!("/brokers/topics/0/partitions/{partition}/state");
    let each =
        |partition| [format!("get {}", path(partition)), format!("set {} v0", path(partition))];
    let asked = lines(&bench.answer_all());
    assert_eq!(asked[3..9], [each(0), each(1), each(2)].concat());
    // Everybody is told at the end all the same.
    let after: Vec<_> = (0..3).map(|it| state(it, Some(1), &[1, 3], (1, 1))).collect();
    assert_eq!(bench.told()[0], Told::LeaderAndIsr(1, after));
}

#[test]
fn an_isr_that_its_leader_has_changed_meanwhile_is_read_again() {
    let mut bench = Bench::in_office("3.9", &[state(0, Some(2), &[1, 2, 3], (0, 0))]);
    bench.bury(2);
    bench.answer_until(|request| line(request).starts_with("!set"));
    bench.write_state(state(0, Some(2), &[2, 3], (0, 0)), 1);
    let path = "/brokers/topics/0/partitions/0/state";
    let asked = lines(&bench.answer_all());
    let expected = [format!("!set {path} v0"), format!("get {path}"), format!("!set {path} v1")];
    assert_eq!(asked[..3], expected);
    assert_eq!(bench.stored(0).0, state(0, Some(3), &[3], (1, 2)));
}

/// From 1.1 on a write whose answer was lost is taken for a conflict: the leader epoch rises twice.
#[test]
fn a_lost_answer_to_a_write_means_another_election_from_1_1_on() {
    for (version, epochs) in [("1.0", (1, 1)), ("1.1", (2, 2)), ("3.9", (2, 2))] {
        let mut bench = Bench::in_office(version, &[state(0, Some(2), &[1, 2, 3], (0, 0))]);
        bench.bury(2);
        bench.answer_until(|request| line(request).contains("set "));
        bench.lose_zookeeper(1);
        bench.regain_zookeeper();
        bench.answer_all();
        assert_eq!(bench.stored(0).0, state(0, Some(1), &[1, 3], epochs), "{version}");
    }
}

#[test]
fn without_a_replica_in_sync_the_partition_waits_for_one() {
    let mut bench = Bench::in_office("3.9", &[state(0, Some(2), &[2], (0, 0))]);
    bench.bury(2);
    bench.answer_all();
    // Its last member stays in the ISR.
    assert_eq!(bench.stored(0).0, state(0, None, &[2], (1, 1)));
    bench.told();
    bench.register(2, 1);
    bench.answer_all();
    let unfenced = PartitionChangeReason::BrokerUnfenced;
    let expected = state(0, Some(2), &[2], (2, 2));
    assert_eq!(bench.stored(0), (expected.clone(), 1, unfenced));
    assert!(bench.told().contains(&Told::LeaderAndIsr(2, vec![expected])));
}

#[test]
fn a_broker_that_starts_is_told_everything_and_the_others_only_of_it() {
    let states = [state(0, Some(1), &[1], (0, 0))];
    let mut bench = Bench::in_office("3.9", &states);
    bench.bury(2);
    bench.answer_all();
    bench.told();
    bench.facts();
    bench.register(2, 1);
    let asked = lines(&bench.answer_all());
    let expected = [
        "list+ /brokers/ids",
        "get /brokers/ids/1",
        "get /brokers/ids/2",
        "get /brokers/ids/3",
        "exists /brokers/ids/2",
    ];
    assert_eq!(asked, expected);
    let zero = || vec![states[0].clone()];
    let live = || ALL.to_vec();
    let expected = [
        Told::Metadata(1, live(), vec![]),
        Told::Metadata(3, live(), vec![]),
        Told::Metadata(2, live(), zero()),
        Told::LeaderAndIsr(2, zero()),
        Told::Metadata(1, live(), zero()),
        Told::Metadata(2, live(), zero()),
        Told::Metadata(3, live(), zero()),
    ];
    assert_eq!(bench.told(), by_receiver(expected.to_vec()));
    let facts = bench.facts();
    assert!(matches!(
        facts[..],
        [
            TraceEvent::BrokerRegistered { broker: BrokerId(2), .. },
            TraceEvent::BrokerUnfenced { broker: BrokerId(2) }
        ]
    ));
}

/// The znode is made anew before the controller looks: only the transaction that made it tells the
/// lives apart.
#[test]
fn a_broker_that_was_away_between_two_looks_is_noticed_from_2_2_on() {
    let led_by_2 = [state(0, Some(2), &[1, 2, 3], (0, 0))];
    for (version, noticed) in [("2.1", false), ("2.2", true)] {
        let mut bench = Bench::in_office(version, &led_by_2);
        bench.tree.delete(&acklab_vocab::zookeeper::paths::broker(BrokerId(2)));
        bench.register(2, 1);
        bench.answer_all();
        let registered = PartitionChangeReason::BrokerRegistered;
        if noticed {
            let expected = state(0, Some(1), &[1, 3], (1, 1));
            assert_eq!(bench.stored(0), (expected, 1, registered));
            assert_eq!(bench.facts().len(), 2);
        } else {
            assert_eq!(bench.stored(0).0, led_by_2[0]);
            assert_eq!(bench.told(), []);
            assert_eq!(bench.facts(), []);
        }
    }
}

#[test]
fn an_event_that_comes_while_another_waits_for_zookeeper_comes_later() {
    let states = [state(0, Some(2), &[1, 2, 3], (0, 0))];
    let mut bench = Bench::in_office("3.9", &states);
    bench.bury(2);
    bench.answer();
    // It is about to read the brokers that the list has named.
    bench.bury(3);
    let asked = lines(&bench.answer_all());
    let second = asked.iter().skip(1).position(|line| line == "list+ /brokers/ids");
    assert!(second.is_some_and(|at| at > 3), "{asked:?}");
    assert_eq!(bench.stored(0).0.leader, Some(BrokerId(1)));
    assert_eq!(bench.stored(0).0.isr, brokers(&[1]));
    assert_eq!(bench.facts(), [fenced(2), fenced(3)]);
}

#[test]
fn where_the_topic_allows_it_any_live_replica_leads() {
    let unclean = PartitionChangeReason::UncleanElection;
    for version in ["0.10.2", "3.9"] {
        let bench = Bench::with(version, &[], true);
        let mut bench = bench.taken_into_office(&[state(0, Some(2), &[2], (0, 0))]);
        bench.bury(2);
        bench.answer_all();
        let expected = state(0, Some(1), &[1], (1, 1));
        assert_eq!(bench.stored(0), (expected, 1, unclean), "{version}");
    }
}

/// Before 1.1 an ISR of a topic with unclean elections could become empty.
#[test]
fn the_last_replica_in_sync_leaves_an_isr_only_before_1_1() {
    for (version, isr) in [("1.0", &[][..]), ("1.1", &[2]), ("3.9", &[2])] {
        let mut alone = state(0, Some(2), &[2], (0, 0));
        alone.replicas = brokers(&[2]);
        let mut bench = Bench::with(version, &[], true).taken_into_office(&[alone]);
        bench.bury(2);
        bench.answer_all();
        let (stored, ..) = bench.stored(0);
        assert_eq!((stored.leader, stored.isr), (None, brokers(isr)), "{version}");
    }
}
