//! Controllers that have lost their office and do not know it yet.

use super::bench::*;
use acklab_vocab::api::*;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::*;
use acklab_vocab::metadata_log::PartitionState;
use acklab_vocab::trace::TraceEvent;
use acklab_vocab::zookeeper::paths;

fn resigned(epoch: u32) -> TraceEvent {
    TraceEvent::ControllerResigned { epoch: ControllerEpoch(epoch) }
}

/// Broker 2 has become the controller while broker 1 was paused; no watch has been delivered yet.
fn zombie(version: &str) -> Bench {
    let mut bench = Bench::in_office(version, &[state(0, Some(2), &[1, 2, 3], (0, 0))]);
    bench.usurp(2);
    bench.tree.take_fired();
    bench
}

#[test]
fn from_2_2_on_a_zombie_resigns_when_its_first_write_is_refused() {
    let mut bench = zombie("2.2");
    bench.bury(2);
    let asked = lines(&bench.answer_all());
    let path = "/brokers/topics/0/partitions/0/state";
    let expected =
        [format!("!set {path} v0"), "exists+ /controller".into(), "get /controller".into()];
    assert_eq!(asked[asked.len() - 3..], expected);
    assert_eq!(bench.stored(0).0, state(0, Some(2), &[1, 2, 3], (0, 0)));
    assert_eq!(bench.facts().last(), Some(&resigned(1)));
    assert!(!bench.broker.is_controller());
    assert_eq!(bench.told(), [], "nobody has heard of it");
}

/// KAFKA-6082: nothing but the version of the state stands between an old controller and the
/// partition.
#[test]
fn before_2_2_a_zombie_still_elects_leaders() {
    let mut bench = zombie("2.1");
    bench.bury(2);
    bench.answer_all();
    assert_eq!(bench.stored(0).0, state(0, Some(1), &[1, 3], (1, 1)));
    assert_eq!(bench.stored(0).1, 1, "by the epoch that is over");
    assert!(bench.broker.is_controller());
    assert!(!bench.told().is_empty());
}

#[test]
fn a_zombie_leaves_alone_what_its_successor_has_written() {
    let mut bench = zombie("2.1");
    let written = state(0, Some(3), &[3], (3, 3));
    bench.write_state(written.clone(), 2);
    bench.bury(2);
    bench.answer_all();
    let partition_epoch = PartitionEpoch(1);
    assert_eq!(bench.stored(0).0, PartitionState { partition_epoch, ..written });
}

#[test]
fn a_controller_that_sees_another_resigns_and_drops_what_brokers_were_to_be_told() {
    let mut bench = Bench::in_office("3.9", &[state(0, Some(2), &[1, 2, 3], (0, 0))]);
    bench.silent.insert(3);
    bench.bury(2);
    bench.answer_all();
    assert_eq!(bench.unanswered.len(), 1);
    bench.usurp(2);
    bench.deliver_watches();
    bench.answer_all();
    assert_eq!(bench.facts().last(), Some(&resigned(1)));
    assert_eq!(bench.unanswered, [], "the connection is closed");
}

#[test]
fn with_the_session_the_office_and_the_queue_are_gone() {
    let mut bench = Bench::in_office("3.9", &[state(0, Some(2), &[1, 2, 3], (0, 0))]);
    let broker_epoch =
        bench.tree.get(&paths::broker(BrokerId(3))).map(|(_, stat)| stat.czxid.into());
    bench.bury(2);
    bench.answer();
    let broker = BrokerId(3);
    bench.request(Request::ControlledShutdown(ControlledShutdownRequest { broker, broker_epoch }));
    bench.expire_session();
    let refused = ControlledShutdownResponse {
        error: ErrorCode::StaleControllerEpoch,
        remaining: Vec::new(),
    };
    assert_eq!(bench.answers, [Response::ControlledShutdown(refused)]);
    assert_eq!(bench.facts(), [resigned(1)]);
    let asked = lines(&bench.answer_all());
    // It registers first, then stands again, and finishes what it had begun, in its new office.
    assert_eq!(
        asked[..6],
        [
            "create~ /brokers/ids/1",
            "exists+ /controller",
            "get /controller",
            "get /controller",
            "get /controller_epoch",
            "create~ /controller & set /controller_epoch v1",
        ]
    );
    let (controller, epoch) = (ControllerId(1), ControllerEpoch(2));
    let facts = bench.facts();
    assert_eq!(facts[0], TraceEvent::ControllerElected { controller, epoch });
    assert_eq!(facts.last(), Some(&TraceEvent::BrokerFenced { broker: BrokerId(2) }));
    assert_eq!(bench.stored(0).0.leader, Some(BrokerId(1)));
}

/// Before 1.1 a request that was lost with the session is asked again in the next: the event goes
/// on as if nothing had happened, and only then the controller stands for election again.
#[test]
fn before_1_1_an_event_outlives_the_session() {
    let mut bench = Bench::in_office("1.0", &[state(0, Some(2), &[1, 2, 3], (0, 0))]);
    bench.bury(2);
    bench.answer_until(|request| line(request).starts_with("set "));
    bench.expire_session();
    let asked = lines(&bench.answer_all());
    let at = |wanted: &str| asked.iter().position(|line| line.starts_with(wanted)).unwrap();
    assert!(at("set /brokers/topics") < at("create~ /controller"), "{asked:?}");
    let facts = bench.facts();
    let (controller, epoch) = (ControllerId(1), ControllerEpoch(2));
    let elected = TraceEvent::ControllerElected { controller, epoch };
    assert_eq!(
        facts[..3],
        [TraceEvent::BrokerFenced { broker: BrokerId(2) }, resigned(1), elected]
    );
}
