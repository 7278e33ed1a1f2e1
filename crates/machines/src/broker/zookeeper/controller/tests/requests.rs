//! What brokers ask of the controller.

use super::bench::*;
use acklab_vocab::api::*;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::*;
use acklab_vocab::trace::PartitionChangeReason;
use acklab_vocab::zookeeper::{ZnodeData, paths};

/// The epoch of a broker's registration.
fn broker_epoch(bench: &Bench, id: u16) -> BrokerEpoch {
    let (_, stat) = bench.tree.get(&paths::broker(BrokerId(id))).expect("it is registered");
    BrokerEpoch::from(stat.czxid)
}

fn alter(bench: &Bench, sender: u16, partition_epoch: u32, isr: &[u16]) -> Request {
    Request::AlterPartition(AlterPartitionRequest {
        broker: BrokerId(sender),
        broker_epoch: broker_epoch(bench, sender),
        partitions: vec![PartitionAlter {
            partition: tp(0),
            leader_epoch: LeaderEpoch(0),
            partition_epoch: PartitionEpoch(partition_epoch),
            new_isr: isr.iter().map(|id| (BrokerId(*id), None)).collect(),
        }],
    })
}

fn known(leader: Option<u16>, epoch: u32) -> KnownController {
    KnownController { leader: leader.map(ControllerId), epoch: ControllerEpoch(epoch) }
}

fn shut_down(bench: &Bench, id: u16) -> Request {
    let broker_epoch = Some(broker_epoch(bench, id));
    Request::ControlledShutdown(ControlledShutdownRequest { broker: BrokerId(id), broker_epoch })
}

fn shutdown_answer(error: ErrorCode, remaining: &[u16]) -> Response {
    let remaining = remaining.iter().map(|partition| tp(*partition)).collect();
    Response::ControlledShutdown(ControlledShutdownResponse { error, remaining })
}

#[test]
fn an_isr_is_written_read_told_and_then_answered() {
    let mut bench = Bench::in_office("3.9", &[state(0, Some(2), &[1, 2, 3], (0, 0))]);
    let request = alter(&bench, 2, 0, &[2, 3]);
    bench.request(request);
    let path = "/brokers/topics/0/partitions/0/state";
    assert_eq!(line(&bench.answer()), format!("!set {path} v0"));
    assert_eq!(bench.told(), []);
    assert_eq!(line(&bench.answer()), format!("get {path}"));
    let after = state(0, Some(2), &[2, 3], (0, 1));
    let metadata = |to| Told::Metadata(to, vec![1, 2, 3], vec![after.clone()]);
    assert_eq!(bench.told(), [1, 2, 3].map(metadata));
    assert_eq!(bench.stored(0), (after.clone(), 1, PartitionChangeReason::AlterPartition));
    let answer = PartitionAlterResponse {
        partition: tp(0),
        error: ErrorCode::None,
        leader: Some(BrokerId(2)),
        leader_epoch: LeaderEpoch(0),
        isr: brokers(&[2, 3]),
        partition_epoch: PartitionEpoch(1),
    };
    let expected = Response::AlterPartition(AlterPartitionResponse {
        error: ErrorCode::None,
        partitions: vec![answer],
        controller: known(Some(1), 1),
    });
    assert_eq!(bench.answers, [expected]);
    assert_eq!(bench.asked.len(), 0);
}

#[test]
fn up_to_3_2_an_outdated_proposal_is_refused_by_the_znodes_version() {
    for (version, asked) in [("2.7", 1), ("3.9", 0)] {
        let mut bench = Bench::in_office(version, &[state(0, Some(2), &[1, 2, 3], (0, 0))]);
        let first = alter(&bench, 2, 0, &[2, 3]);
        bench.request(first);
        bench.answer_all();
        bench.answers.clear();
        let outdated = alter(&bench, 2, 0, &[1, 2]);
        bench.request(outdated);
        assert_eq!(bench.answer_all().len(), asked, "{version}");
        let Response::AlterPartition(answer) = &bench.answers[0] else { panic!() };
        assert_eq!(answer.partitions[0].error, ErrorCode::InvalidUpdateVersion);
        assert_eq!(bench.stored(0).0.isr, brokers(&[2, 3]));
    }
}

#[test]
fn who_is_not_the_controller_says_so() {
    let mut bench = Bench::new("3.9");
    bench.set_up(&[2, 3], &[]);
    let data = ZnodeData::Controller { broker: BrokerId(2) };
    bench.create(paths::controller(), data);
    bench.answer_all();
    let refused = AlterPartitionResponse {
        error: ErrorCode::NotController,
        partitions: vec![],
        controller: known(Some(2), 0),
    };
    let requests = [alter(&bench, 3, 0, &[3]), shut_down(&bench, 3)];
    requests.into_iter().for_each(|request| bench.request(request));
    assert_eq!(
        bench.answers,
        [Response::AlterPartition(refused), shutdown_answer(ErrorCode::StaleControllerEpoch, &[]),]
    );
}

#[test]
fn an_earlier_life_of_a_broker_is_refused() {
    let mut bench = Bench::in_office("3.9", &[state(0, Some(2), &[1, 2, 3], (0, 0))]);
    let requests = [alter(&bench, 2, 0, &[2]), shut_down(&bench, 2)];
    bench.bury(2);
    bench.answer_all();
    bench.register(2, 1);
    bench.answer_all();
    bench.answers.clear();
    requests.into_iter().for_each(|request| bench.request(request));
    let refused = AlterPartitionResponse {
        error: ErrorCode::StaleBrokerEpoch,
        partitions: vec![],
        controller: known(Some(1), 1),
    };
    assert_eq!(
        bench.answers,
        [Response::AlterPartition(refused), shutdown_answer(ErrorCode::StaleBrokerEpoch, &[]),]
    );
}

#[test]
fn a_broker_that_shuts_down_hands_its_leaderships_over_first() {
    let states = [
        state(0, Some(2), &[1, 2, 3], (0, 0)),
        state(1, Some(1), &[1, 2, 3], (0, 0)),
        state(2, Some(2), &[2], (0, 0)),
    ];
    let mut bench = Bench::in_office("3.9", &states);
    let request = shut_down(&bench, 2);
    bench.request(request);
    let path = |partition| format!("/brokers/topics/0/partitions/{partition}/state");
    let expected = [
        format!("get {}", path(0)),
        format!("get {}", path(2)),
        format!("!set {} v0", path(0)),
        format!("get {}", path(1)),
        format!("!set {} v0", path(1)),
    ];
    assert_eq!(lines(&bench.answer_all()), expected);
    let moved = state(0, Some(1), &[1, 3], (1, 1));
    let left = state(1, Some(1), &[1, 3], (1, 1));
    let reason = PartitionChangeReason::ControlledShutdown;
    assert_eq!(bench.stored(0), (moved.clone(), 1, reason));
    assert_eq!(bench.stored(1), (left.clone(), 1, reason));
    assert_eq!(bench.answers, [shutdown_answer(ErrorCode::None, &[2])]);
    let all = || vec![1, 2, 3];
    let leaders = |to| Told::LeaderAndIsr(to, vec![moved.clone()]);
    let metadata = |to| Told::Metadata(to, all(), vec![moved.clone()]);
    let shrunk = |to| Told::LeaderAndIsr(to, vec![left.clone()]);
    let shrunk_metadata = |to| Told::Metadata(to, all(), vec![left.clone()]);
    let stop = || Told::Stop(2, vec![tp(1)]);
    let expected = [
        [1, 2, 3].map(leaders).to_vec(),
        [1, 2, 3].map(metadata).to_vec(),
        vec![stop()],
        [1, 3].map(shrunk).to_vec(),
        [1, 2, 3].map(shrunk_metadata).to_vec(),
        vec![stop()],
    ];
    assert_eq!(bench.told(), by_receiver(expected.concat()));

    // It asks again, and still leads what nobody else can.
    bench.answers.clear();
    let request = shut_down(&bench, 2);
    bench.request(request);
    bench.answer_all();
    assert_eq!(bench.answers, [shutdown_answer(ErrorCode::None, &[2])]);
}

#[test]
fn producer_ids_are_handed_out_in_blocks_of_a_thousand() {
    let mut bench = Bench::in_office("3.9", &[]);
    let broker_epoch = broker_epoch(&bench, 2);
    let request = || {
        let broker = BrokerId(2);
        Request::AllocateProducerIds(AllocateProducerIdsRequest { broker, broker_epoch })
    };
    let answer = |first| {
        Response::AllocateProducerIds(AllocateProducerIdsResponse {
            error: ErrorCode::None,
            first: ProducerId(first),
            count: 1_000,
            controller: known(Some(1), 1),
        })
    };
    bench.answers.clear();
    bench
        .tree
        .write(&paths::producer_id_block(), ZnodeData::ProducerIds { next: ProducerId(4_000) });
    bench.request(request());
    // Somebody else takes a block in between.
    bench.answer();
    bench
        .tree
        .write(&paths::producer_id_block(), ZnodeData::ProducerIds { next: ProducerId(5_000) });
    bench.answer_all();
    assert_eq!(bench.answers, [answer(5_000)]);
    bench.request(request());
    bench.answer_all();
    assert_eq!(bench.answers, [answer(5_000), answer(6_000)]);
}
