//! Coordinators come and go: what a new one knows (section 6.4).

use super::bench::*;
use acklab_vocab::api::*;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::*;
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::trace::{GroupState, RemovalReason, TraceEvent};
use acklab_vocab::transaction::TransactionResult;

const NONE: ErrorCode = ErrorCode::None;

#[test]
fn clients_are_sent_to_the_leader_of_their_partition() {
    let mut bench = Bench::new(version("3.9"));
    let find = || {
        let key = CoordinatorKey::Group(GROUP);
        Request::FindCoordinator(FindCoordinatorRequest { key })
    };
    let found = |error, coordinator| {
        Response::FindCoordinator(FindCoordinatorResponse { error, coordinator })
    };
    assert_eq!(bench.ask(1, find()), [(1, found(NONE, Some((BrokerId(1), NodeId(1)))))]);
    bench.elect(2, &[2]);
    assert_eq!(bench.ask(1, find()), [(1, found(NONE, Some((BrokerId(2), NodeId(2)))))]);
    // A fenced broker is nobody's coordinator.
    bench.rig.metadata(vec![
        acklab_vocab::metadata_log::MetadataRecord::BrokerRegistrationChange {
            broker: BrokerId(2),
            broker_epoch: crate::broker::tests::rig::broker_epoch(2),
            fenced: true,
            in_controlled_shutdown: false,
        },
    ]);
    assert_eq!(bench.ask(1, find()), [(1, found(ErrorCode::CoordinatorNotAvailable, None))]);
    let key = CoordinatorKey::Transaction(TransactionalId(0));
    let transaction = Request::FindCoordinator(FindCoordinatorRequest { key });
    assert_eq!(bench.ask(1, transaction), [(1, found(ErrorCode::CoordinatorNotAvailable, None))]);
}

#[test]
fn a_stable_group_survives_and_its_sessions_begin_anew() {
    for text in ["3.9", "4.1"] {
        let mut bench = Bench::new(version(text));
        let (one, two) = bench.stable_pair();
        bench.ask(1, commit(Some((1, one)), 0, 5));
        let now = bench.rig.now.0 / 1_000_000;
        // Nearly silent for too long.
        bench.run_until(now + 9_000);
        let mut bench = bench.restarted(&[1]);
        bench.rig.facts();
        bench.load();
        assert_eq!(
            bench.group_facts(),
            [
                TraceEvent::CoordinatorLoaded { partition: OFFSETS, leader_epoch: LeaderEpoch(2) },
                TraceEvent::OffsetsCommitted { group: GROUP, from: None, offsets: offsets(0, 5) },
                TraceEvent::GroupStateChanged {
                    group: GROUP,
                    state: GroupState::Stable,
                    generation: Generation(1),
                },
                TraceEvent::OffsetsCommitted { group: GroupId(1), from: None, offsets: [].into() },
            ],
            "{text}"
        );
        bench.run_until(now + 18_000);
        assert_eq!(bench.ask(1, heartbeat(1, one)), [(1, beaten(NONE))], "{text}");
        assert_eq!(bench.ask(2, sync(1, two, &[])), [(2, synced(NONE, &[1]))], "{text}");
        assert_eq!(offset_in(&bench.ask(2, fetch_offset(true))), Some(Some(5)), "{text}");
        bench.group_facts();
        bench.run_until(now + 19_001);
        let facts = bench.group_facts();
        let expired = TraceEvent::MemberRemoved {
            group: GROUP,
            member: two,
            member_node: NodeId(2),
            reason: RemovalReason::SessionExpired,
        };
        // Up to 3.9 the sync of member 2 began its session anew.
        assert_eq!(facts.contains(&expired), text == "4.1", "{text}: {facts:?}");
    }
}

#[test]
fn while_it_loads_a_coordinator_asks_for_patience() {
    let mut bench = Bench::new(version("3.9"));
    let (one, _) = bench.stable_pair();
    let mut bench = bench.restarted(&[1]);
    assert!(!bench.rig.broker.is_settled());
    let loading = ErrorCode::CoordinatorLoadInProgress;
    assert_eq!(bench.ask(1, heartbeat(1, one)), [(1, beaten(NONE))], "blindly");
    assert_eq!(bench.ask(1, sync(1, one, &[])), [(1, synced(ErrorCode::RebalanceInProgress, &[]))]);
    assert_eq!(
        bench.ask(1, Request::JoinGroup(join_request(Some(one)))),
        [(1, join_refused(Some(one), loading))]
    );
    assert_eq!(bench.ask(1, leave(one)), [(1, left(loading))]);
    assert_eq!(bench.ask(1, commit(Some((1, one)), 0, 1)), [(1, committed(0, loading))]);
    let fetched = OffsetFetchResponse { error: loading, partitions: Vec::new() };
    assert_eq!(bench.ask(1, fetch_offset(true)), [(1, Response::OffsetFetch(fetched))]);
    bench.load();
    assert!(bench.rig.broker.is_settled());
    assert_eq!(bench.ask(1, heartbeat(1, one)), [(1, beaten(NONE))]);
}

#[test]
fn a_broker_that_does_not_lead_sends_clients_away() {
    let mut bench = Bench::new(version("3.9"));
    let (one, _) = bench.stable_pair();
    bench.group_facts();
    bench.elect(2, &[2]);
    let facts = bench.group_facts();
    assert!(facts.contains(&TraceEvent::CoordinatorUnloaded { partition: OFFSETS }), "{facts:?}");
    let away = ErrorCode::NotCoordinator;
    assert_eq!(bench.ask(1, heartbeat(1, one)), [(1, beaten(away))]);
    assert_eq!(bench.ask(1, sync(1, one, &[])), [(1, synced(away, &[]))]);
    assert_eq!(
        bench.ask(1, Request::JoinGroup(join_request(None))),
        [(1, join_refused(None, away))]
    );
    assert_eq!(bench.ask(1, leave(one)), [(1, left(away))]);
    assert_eq!(bench.ask(1, commit(Some((1, one)), 0, 1)), [(1, committed(0, away))]);
    assert_eq!(bench.run_until(60_000), [], "no timer is left");
    assert_eq!(bench.rig.broker.coordinated_groups().count(), 0);
}

#[test]
fn a_rebalance_under_way_is_lost_with_its_coordinator() {
    let mut bench = Bench::new(version("3.9"));
    let (one, two) = bench.stable_pair();
    bench.ask(1, Request::JoinGroup(join_request(Some(one))));
    let answers = bench.elect(2, &[2]);
    assert_eq!(answers, [(1, join_refused(Some(one), ErrorCode::NotCoordinator))]);
    // Back again: the group is as it was when it was last written.
    bench.elect(1, &[1]);
    bench.load();
    let group = bench.rig.broker.group_view(GROUP).expect("it is there");
    assert_eq!((group.state, group.generation), (GroupState::Stable, Generation(1)));
    assert_eq!(bench.ask(2, heartbeat(1, two)), [(2, beaten(NONE))]);
}

#[test]
fn who_waits_for_an_assignment_or_a_commit_is_sent_away() {
    for text in ["3.9", "4.1"] {
        let mut bench = Bench::with_isr(version(text), 1, &[1, 2]);
        let one = bench.join_dynamic(1);
        bench.run_until(100);
        bench.replicate();
        bench.run_until(3_000);
        assert_eq!(
            bench.ask(3, commit(None, 0, 1)),
            [(3, committed(0, ErrorCode::UnknownMemberId))]
        );
        assert_eq!(bench.ask(1, sync(1, one, &[(one, &[0])])), []);
        bench.run_until(3_010);
        let answers = bench.elect(2, &[2]);
        assert_eq!(answers, [(1, synced(ErrorCode::NotCoordinator, &[]))], "{text}");
    }
}

/// What the log has above the high watermark: the classic coordinator takes it for committed, the
/// event loop waits.
#[test]
fn unreplicated_offsets_are_found_by_a_new_coordinator() {
    for (text, at_once) in [("3.9", Some(5)), ("4.2", None)] {
        let mut bench = Bench::with_isr(version(text), 1, &[1, 2]);
        bench.ask(1, commit(None, 0, 5));
        let mut bench = bench.restarted(&[1, 2]);
        bench.load();
        assert_eq!(offset_in(&bench.ask(1, fetch_offset(false))), Some(at_once), "{text}");
        bench.group_facts();
        bench.replicate();
        assert_eq!(offset_in(&bench.ask(1, fetch_offset(false))), Some(Some(5)), "{text}");
        let told =
            TraceEvent::OffsetsCommitted { group: GROUP, from: None, offsets: offsets(0, 5) };
        assert_eq!(bench.group_facts().contains(&told), at_once.is_none(), "{text}");
    }
}

#[test]
fn partitions_are_read_one_after_the_other() {
    let mut bench = Bench::new(version("3.9"));
    bench.stable_pair();
    let end = bench.offsets_log().0;
    let mut bench = bench.restarted(&[1]);
    let start = bench.rig.now.0 / 1_000_000;
    // 1 ms, and 10 ns for each byte of the log.
    assert!(end > 0);
    assert_eq!(bench.run_until(start), []);
    assert!(!bench.rig.broker.is_settled());
    bench.run_until(start + 2);
    assert!(bench.rig.broker.is_settled());
}

const PRODUCER: ProducerId = ProducerId(7);

fn commit_in_transaction(offset: u64) -> Request {
    Request::TxnOffsetCommit(TxnOffsetCommitRequest {
        transactional_id: TransactionalId(0),
        group: GROUP,
        producer_id: PRODUCER,
        producer_epoch: ProducerEpoch(0),
        generation: None,
        member: None,
        instance: None,
        offsets: offsets(0, offset),
        transaction_support: TransactionSupport::DefaultError,
    })
}

fn marker(result: TransactionResult) -> Request {
    let marker = WritableTxnMarker {
        producer_id: PRODUCER,
        producer_epoch: ProducerEpoch(0),
        coordinator_epoch: CoordinatorEpoch(1),
        result,
        partitions: vec![OFFSETS],
        version_2: false,
    };
    Request::WriteTxnMarkers(WriteTxnMarkersRequest { markers: vec![marker] })
}

/// An open transaction's offsets are pending at every coordinator that reads them.
#[test]
fn the_offsets_of_an_open_transaction_survive_their_coordinator() {
    for (text, result) in [
        ("3.9", TransactionResult::Commit),
        ("3.9", TransactionResult::Abort),
        ("4.2", TransactionResult::Commit),
    ] {
        let mut config = version(text);
        config.rules.set(ProtocolRule::VerifyTransactionalWrites, false);
        let mut bench = Bench::new(config);
        bench.ask(1, commit(None, 0, 3));
        let answers = bench.ask(1, commit_in_transaction(8));
        assert_eq!(answers.len(), 1, "{text}: {answers:?}");
        let mut bench = bench.restarted(&[1]);
        bench.load();
        assert_eq!(offset_in(&bench.ask(2, fetch_offset(false))), Some(Some(3)), "{text}");
        assert_eq!(bench.ask(2, fetch_offset(true)), [(2, unstable())], "{text}");
        bench.group_facts();
        assert_eq!(bench.ask(3, marker(result)).len(), 1, "{text}");
        let expected = match result {
            TransactionResult::Commit => 8,
            TransactionResult::Abort => 3,
        };
        assert_eq!(offset_in(&bench.ask(2, fetch_offset(true))), Some(Some(expected)), "{text}");
        // Read from the log, nobody knows any more who had committed: all offsets are stated.
        let told =
            TraceEvent::OffsetsCommitted { group: GROUP, from: None, offsets: offsets(0, 8) };
        assert_eq!(bench.group_facts().contains(&told), expected == 8, "{text}");
        // And the next coordinator finds it decided.
        let mut bench = bench.restarted(&[1]);
        bench.load();
        assert_eq!(offset_in(&bench.ask(2, fetch_offset(true))), Some(Some(expected)), "{text}");
    }
}
