//! Transactions from beginning to end, at a coordinator that also leads what they write to.

use super::rig::*;
use super::transaction_bench::*;
use crate::broker::{BrokerTimer, InterBrokerPurpose};
use crate::machine::{Effect, Input};
use TransactionSupport::{AddPartition, DefaultError, GenericError};
use acklab_vocab::api::*;
use acklab_vocab::config::TopicConfig;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::*;
use acklab_vocab::metadata_log::{MetadataRecord, PartitionState};
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::transaction::TransactionResult::{Abort, Commit};
use acklab_vocab::transaction::TransactionState::{
    CompleteAbort, CompleteCommit, Empty, Ongoing, PrepareAbort, PrepareCommit,
};

#[test]
fn a_transaction_is_visible_once_its_marker_is_written() {
    let mut bench = Bench::new(rules_of(3, 9));
    let producer = bench.init().unwrap();
    assert_eq!(producer, (FIRST_PRODUCER_ID, 0));
    assert_eq!(bench.add(producer, ORDERS), ErrorCode::None);
    assert_eq!(bench.write(producer, 0), Ok(0));
    assert_eq!(bench.write(producer, 1), Ok(1));
    assert_eq!((bench.last_stable_offset(), bench.read_committed()), (0, vec![]));
    assert_eq!(bench.end(producer, Commit), ErrorCode::None);
    assert_eq!(bench.markers(ORDERS), [(2, 0, 1, Commit)]);
    assert_eq!((bench.last_stable_offset(), bench.read_committed()), (3, vec![0, 1]));
    let states = [Empty, Ongoing, PrepareCommit, CompleteCommit];
    assert_eq!(bench.states(), states.map(|state| (state, 0, false)));
    // Told again, it has been done.
    assert_eq!(bench.end(producer, Commit), ErrorCode::None);
    assert_eq!(bench.end(producer, Abort), ErrorCode::InvalidTxnState);
    // The next one is aborted.
    assert_eq!(bench.add(producer, ORDERS), ErrorCode::None);
    assert_eq!(bench.write(producer, 2), Ok(3));
    assert_eq!(bench.end(producer, Abort), ErrorCode::None);
    assert_eq!((bench.last_stable_offset(), bench.read_committed()), (5, vec![0, 1]));
    let states = [Ongoing, PrepareAbort, CompleteAbort];
    assert_eq!(bench.states(), states.map(|state| (state, 0, false)));
}

/// KIP-890, part 2: no AddPartitionsToTxn, and each end raises the epoch.
#[test]
fn version_2_adds_partitions_by_the_write_and_numbers_transactions() {
    let mut bench = Bench::new(rules_of(4, 1));
    let producer = bench.init().unwrap();
    assert_eq!(bench.write_with(producer, 0, AddPartition), Ok(0));
    assert_eq!(bench.state(), (Ongoing, None));
    let next = bench.end_with(producer, Commit, true).unwrap().unwrap();
    assert_eq!(next, (producer.0, 1));
    assert_eq!(bench.markers(ORDERS), [(1, 1, 1, Commit)]);
    assert_eq!(bench.write_with(next, 0, AddPartition), Ok(2));
    assert_eq!(bench.end_with(next, Abort, true), Ok(Some((producer.0, 2))));
    assert_eq!(bench.read_committed(), [0]);
    // The answer was lost, and is asked for again; a commit of it would be another end.
    assert_eq!(bench.end_with(next, Abort, true), Ok(Some((producer.0, 2))));
    assert_eq!(bench.end_with(next, Commit, true), Err(ErrorCode::InvalidTxnState));
    assert_eq!(bench.end_with(producer, Commit, true), Err(ErrorCode::ProducerFenced));
    // With nothing written there is nothing to commit, but an epoch to give up.
    assert_eq!(bench.end_with((producer.0, 2), Commit, true), Err(ErrorCode::InvalidTxnState));
    assert_eq!(bench.end_with((producer.0, 2), Abort, true), Ok(Some((producer.0, 3))));
}

#[test]
fn a_new_producer_fences_the_old_and_ends_what_it_left_open() {
    for (rules, first, fenced) in [(rules_of(3, 9), 2, 1), (rules_of(4, 1), 2, 1)] {
        let mut bench = Bench::new(rules);
        let old = bench.init().unwrap();
        bench.add(old, ORDERS);
        assert_eq!(bench.write(old, 0), Ok(0));
        bench.states();
        assert_eq!(bench.init(), Err(ErrorCode::ConcurrentTransactions));
        assert_eq!(bench.markers(ORDERS), [(1, fenced, 1, Abort)]);
        assert_eq!(bench.states(), [(PrepareAbort, 1, true), (CompleteAbort, 1, true)]);
        let new = bench.init().unwrap();
        assert_eq!(new, (old.0, first));
        assert_eq!(bench.add(old, ORDERS), ErrorCode::ProducerFenced);
        assert_eq!(bench.end(old, Commit), ErrorCode::ProducerFenced);
        assert_eq!(bench.init_with(Some((old.0, 0))), Err(ErrorCode::ProducerFenced));
        assert_eq!(bench.write(old, 1), Err(ErrorCode::InvalidProducerEpoch));
        assert_eq!(bench.read_committed(), []);
    }
}

#[test]
fn before_2_7_fenced_is_an_old_epoch() {
    let mut bench = Bench::new(rules_of(2, 6));
    let old = bench.init().unwrap();
    assert_eq!(bench.init(), Ok((old.0, 1)));
    assert_eq!(bench.add(old, ORDERS), ErrorCode::InvalidProducerEpoch);
    assert_eq!(bench.end(old, Commit), ErrorCode::InvalidProducerEpoch);
    assert_eq!(bench.add((7, 1), ORDERS), ErrorCode::InvalidProducerIdMapping);
}

/// KIP-360: a living producer has its epoch raised, and may ask twice.
#[test]
fn a_producer_that_has_an_epoch_gets_the_next() {
    let mut bench = Bench::new(rules_of(3, 9));
    let producer = bench.init().unwrap();
    assert_eq!(bench.init_with(Some(producer)), Ok((producer.0, 1)));
    assert_eq!(bench.init_with(Some(producer)), Ok((producer.0, 1)));
    assert_eq!(bench.init_with(Some((producer.0, 1))), Ok((producer.0, 2)));
    assert_eq!(bench.init_with(Some(producer)), Err(ErrorCode::ProducerFenced));
}

#[test]
fn a_timeout_above_the_brokers_limit_is_refused() {
    let mut bench = Bench::new(rules_of(3, 9));
    for timeout in [ms(0), ms(900_001)] {
        let transactional = Some((COPIER, timeout));
        let request = InitProducerIdRequest { transactional, current: None };
        let told = bench.ask(TO_COORDINATOR, Request::InitProducerId(request));
        let response = InitProducerIdResponse {
            error: ErrorCode::InvalidTransactionTimeout,
            producer_id: ProducerId(0),
            producer_epoch: ProducerEpoch(0),
        };
        assert_eq!(told, [(TO_COORDINATOR, Response::InitProducerId(response))]);
    }
}

#[test]
fn a_transaction_that_takes_too_long_is_aborted_at_the_next_look() {
    let mut bench = Bench::new(rules_of(3, 9));
    let producer = bench.init().unwrap();
    bench.add(producer, ORDERS);
    bench.write(producer, 0).unwrap();
    bench.states();
    bench.rig.now = at_ms(60_000);
    bench.timer(BrokerTimer::AbortTimedOutTransactions);
    assert_eq!(bench.states(), []);
    bench.rig.now = at_ms(60_001);
    bench.timer(BrokerTimer::AbortTimedOutTransactions);
    assert_eq!(bench.states(), [(PrepareAbort, 1, true), (CompleteAbort, 1, true)]);
    assert_eq!(bench.last_stable_offset(), 2);
    assert_eq!(bench.end(producer, Commit), ErrorCode::ProducerFenced);
}

#[test]
fn while_markers_are_on_their_way_nothing_else_begins() {
    let mut bench = Bench::new(rules_of(3, 9));
    let producer = bench.init().unwrap();
    bench.add(producer, ORDERS);
    bench.write(producer, 0).unwrap();
    bench.hold = vec![ApiKey::WriteTxnMarkers];
    // The producer is told as soon as the decision is replicated.
    assert_eq!(bench.end(producer, Commit), ErrorCode::None);
    assert_eq!(bench.state(), (PrepareCommit, Some(CompleteCommit)));
    assert_eq!(bench.last_stable_offset(), 0);
    let concurrent = ErrorCode::ConcurrentTransactions;
    assert_eq!(bench.add(producer, ORDERS), concurrent);
    assert_eq!(bench.end(producer, Commit), concurrent);
    assert_eq!(bench.init(), Err(concurrent));
    // Only the epoch is looked at before.
    assert_eq!(bench.end((producer.0, 7), Commit), ErrorCode::ProducerFenced);
    bench.release();
    assert_eq!(bench.state(), (CompleteCommit, None));
    assert_eq!(bench.last_stable_offset(), 2);
}

#[test]
fn a_marker_that_is_lost_is_sent_again() {
    let mut bench = Bench::new(rules_of(3, 9));
    let producer = bench.init().unwrap();
    bench.add(producer, ORDERS);
    bench.write(producer, 0).unwrap();
    bench.hold = vec![ApiKey::WriteTxnMarkers];
    bench.end(producer, Commit);
    bench.lose_held();
    assert_eq!(bench.state(), (PrepareCommit, Some(CompleteCommit)));
    bench.release();
    let channel = InterBrokerPurpose::Markers;
    bench.timer(BrokerTimer::InterBrokerChannel(channel, BrokerId(1)));
    assert_eq!(bench.markers(ORDERS), [(1, 0, 1, Commit)]);
    assert_eq!(bench.state(), (CompleteCommit, None));
}

#[test]
fn a_refused_marker_goes_to_the_leader_of_the_moment() {
    let mut bench = Bench::new(rules_of(3, 9));
    let producer = bench.init().unwrap();
    bench.add(producer, ORDERS);
    bench.write(producer, 0).unwrap();
    bench.hold = vec![ApiKey::WriteTxnMarkers];
    bench.end(producer, Commit);
    // The leader moves away before the marker arrives, and comes back.
    bench.metadata(vec![led_by(ORDERS, 2, 2, &[1, 2])]);
    bench.release();
    assert_eq!(bench.markers(ORDERS), []);
    bench.metadata(vec![led_by(ORDERS, 1, 3, &[1])]);
    assert_eq!(bench.state(), (PrepareCommit, Some(CompleteCommit)));
}

/// A decision outlives its coordinator; the markers of the deposed one are refused.
#[test]
fn a_decided_transaction_is_completed_by_the_next_coordinator() {
    let mut bench = Bench::new(rules_of(3, 9));
    let producer = bench.init().unwrap();
    bench.add(producer, ORDERS);
    bench.write(producer, 0).unwrap();
    bench.hold = vec![ApiKey::WriteTxnMarkers];
    bench.end(producer, Commit);
    let disk = bench.rig.disk.clone();
    let mut next = Bench::not_leading(rules_of(3, 9), disk, topic());
    let partitions = [ORDERS, OFFSETS, STATES];
    next.metadata(partitions.map(|id| led_by(id, 1, 2, &[1])).to_vec());
    assert_eq!(next.init(), Err(ErrorCode::CoordinatorLoadInProgress));
    next.rig.facts();
    next.load();
    assert_eq!(next.states(), [(PrepareCommit, 0, false), (CompleteCommit, 0, false)]);
    assert_eq!(next.markers(ORDERS), [(1, 0, 2, Commit)]);
    assert_eq!(next.read_committed(), [0]);
    let late = WritableTxnMarker {
        producer_id: ProducerId(producer.0),
        producer_epoch: ProducerEpoch(0),
        coordinator_epoch: CoordinatorEpoch(1),
        result: Abort,
        partitions: vec![ORDERS],
        version_2: false,
    };
    let request = Request::WriteTxnMarkers(WriteTxnMarkersRequest { markers: vec![late] });
    let refused = (ProducerId(producer.0), ORDERS, ErrorCode::TransactionCoordinatorFenced);
    let response = WriteTxnMarkersResponse { partitions: vec![refused] };
    assert_eq!(next.ask(ANOTHER, request), [(ANOTHER, Response::WriteTxnMarkers(response))]);
    next.metadata(vec![led_by(STATES, 2, 3, &[1, 2])]);
    assert_eq!(next.add(producer, ORDERS), ErrorCode::NotCoordinator);
}

/// The coordinator before may have stepped down between writing a state and stating it.
#[test]
fn the_next_coordinator_states_what_it_finds() {
    let mut bench = Bench::new(rules_of(3, 9));
    let producer = bench.init().unwrap();
    let mut found = Vec::new();
    type Step = fn(&mut Bench, (u64, u16)) -> ErrorCode;
    let steps: [Step; 2] = [
        |bench, producer| bench.add(producer, ORDERS),
        |bench, producer| bench.end(producer, Abort),
    ];
    for step in steps {
        assert_eq!(step(&mut bench, producer), ErrorCode::None);
        let disk = bench.rig.disk.clone();
        let mut next = Bench::not_leading(rules_of(3, 9), disk, topic());
        next.metadata([ORDERS, OFFSETS, STATES].map(|id| led_by(id, 1, 2, &[1])).to_vec());
        next.rig.facts();
        next.load();
        found.push(next.states());
    }
    assert_eq!(found, [[(Ongoing, 0, false)], [(CompleteAbort, 0, false)]]);
}

/// What a follower was sent: the first offsets of the batches of `__transaction_state`.
fn fetched(told: &[(ConnectionId, Response)]) -> Option<Vec<u64>> {
    told.iter().find_map(|(to, response)| match response {
        Response::Fetch(answer) if *to == follower_connection(2) => {
            let batches = answer.partitions.iter().flat_map(|partition| &partition.batches);
            Some(batches.map(|batch| batch.base_offset.0).collect())
        }
        _ => None,
    })
}

/// Broker 2 fetches `__transaction_state`.
fn follow(bench: &mut Bench, offset: u64) -> Vec<(ConnectionId, Response)> {
    let request = FetchRequest {
        replica: Some(FetchingReplica { broker: BrokerId(2), broker_epoch: broker_epoch(2) }),
        max_wait: ms(500),
        min_bytes: 1,
        max_bytes: 10 << 20,
        isolation: Isolation::LogEnd,
        session: FetchSessionUpdate::Full,
        partitions: vec![PartitionFetch {
            partition: STATES,
            current_leader_epoch: Some(LeaderEpoch(1)),
            fetch_offset: Offset(offset),
            last_fetched_epoch: None,
            max_bytes: 1 << 20,
        }],
    };
    bench.ask(follower_connection(2), Request::Fetch(request))
}

/// The fetch that lets `PrepareAbort` be known as replicated finds, before it waits, that
/// `CompleteAbort` has been written meanwhile.
#[test]
fn a_fetch_that_replicates_one_state_is_answered_with_the_next() {
    let mut bench = Bench::not_leading(rules_of(4, 1), crate::disk::Disk::default(), topic());
    let led =
        [led_by(ORDERS, 1, 1, &[1]), led_by(OFFSETS, 1, 1, &[1]), led_by(STATES, 1, 1, &[1, 2])];
    bench.metadata(led.to_vec());
    bench.load();
    assert_eq!(bench.init_with(None), Err(ErrorCode::CoordinatorLoadInProgress));
    let init = InitProducerIdRequest { transactional: Some((COPIER, ms(60_000))), current: None };
    assert_eq!(bench.ask(TO_COORDINATOR, Request::InitProducerId(init)), []);
    assert_eq!(fetched(&follow(&mut bench, 0)), Some(vec![0]));
    let told = follow(&mut bench, 1);
    assert_eq!((told.len(), fetched(&told)), (1, None));
    let end = Bench::end_request((FIRST_PRODUCER_ID, 0), Abort, true);
    assert_eq!(fetched(&bench.ask(TO_COORDINATOR, end)), Some(vec![1]));
    bench.rig.facts();
    let told = follow(&mut bench, 2);
    assert_eq!(bench.states(), [(PrepareAbort, 1, false)]);
    assert_eq!((told.len(), fetched(&told)), (2, Some(vec![2])));
    let told = follow(&mut bench, 3);
    assert_eq!(bench.states(), [(CompleteAbort, 1, false)]);
    assert_eq!((told.len(), fetched(&told)), (0, None));
}

#[test]
fn a_state_that_cannot_be_replicated_is_not_entered() {
    let topic = TopicConfig { min_insync_replicas: 2, ..topic() };
    let mut bench = Bench::not_leading(rules_of(3, 9), crate::disk::Disk::default(), topic);
    let partitions = [ORDERS, OFFSETS, STATES];
    bench.metadata(partitions.map(|id| led_by(id, 1, 1, &[1])).to_vec());
    bench.load();
    assert_eq!(bench.init(), Err(ErrorCode::CoordinatorNotAvailable));
    assert_eq!(bench.state(), (Empty, None));
}

#[test]
fn partitions_that_do_not_exist_are_not_added() {
    let mut bench = Bench::new(rules_of(3, 9));
    let producer = bench.init().unwrap();
    let nowhere = TopicPartition::new(0, 9);
    let request = AddPartitionsToTxnRequest {
        transactional_id: COPIER,
        producer_id: ProducerId(producer.0),
        producer_epoch: ProducerEpoch(producer.1),
        partitions: vec![ORDERS, nowhere],
        verify_only: false,
    };
    let partitions = smallvec::smallvec![
        (ORDERS, ErrorCode::OperationNotAttempted),
        (nowhere, ErrorCode::UnknownTopicOrPartition),
    ];
    let response = Response::AddPartitionsToTxn(AddPartitionsToTxnResponse { partitions });
    let told = bench.ask(TO_COORDINATOR, Request::AddPartitionsToTxn(request));
    assert_eq!(told, [(TO_COORDINATOR, response)]);
    assert_eq!(bench.state(), (Empty, None));
}

/// KIP-890, part 1: what a write outside of its transaction is told, by what its producer knows.
#[test]
fn a_write_that_was_not_announced_is_refused() {
    for (support, expected) in [
        (DefaultError, ErrorCode::InvalidTxnState),
        (GenericError, ErrorCode::TransactionAbortable),
    ] {
        let mut bench = Bench::new(rules_of(3, 9));
        let producer = bench.init().unwrap();
        assert_eq!(bench.write_with(producer, 0, support), Err(expected));
        assert_eq!(bench.write_with((producer.0, 7), 0, support), {
            Err(ErrorCode::InvalidProducerEpoch)
        });
        assert_eq!(bench.write_with((7, 0), 0, support), Err(ErrorCode::InvalidProducerIdMapping));
    }
}

#[test]
fn a_write_waits_for_its_verification_and_is_to_come_again_without() {
    let mut bench = Bench::new(rules_of(3, 9));
    let producer = bench.init().unwrap();
    bench.add(producer, ORDERS);
    bench.hold = vec![ApiKey::AddPartitionsToTxn];
    let write = Bench::write_request(producer, 0, DefaultError);
    assert_eq!(bench.ask(TO_LEADER, write.clone()), []);
    let told = bench.lose_held();
    assert_eq!(written(&told[0].1), Err(ErrorCode::NotEnoughReplicas));
    let channel = InterBrokerPurpose::Verification;
    bench.timer(BrokerTimer::InterBrokerChannel(channel, BrokerId(1)));
    assert_eq!(bench.ask(TO_LEADER, write), []);
    let told = bench.release();
    assert_eq!(written(&told[0].1), Ok(0));
    // Later writes of the transaction need no verification.
    bench.hold = vec![ApiKey::AddPartitionsToTxn];
    assert_eq!(bench.write(producer, 1), Ok(1));
}

#[test]
fn without_a_coordinator_a_write_is_to_come_again() {
    let mut bench = Bench::new(rules_of(3, 9));
    let producer = bench.init().unwrap();
    bench.add(producer, ORDERS);
    let nobody = match led_by(STATES, 2, 2, &[2]) {
        MetadataRecord::PartitionChange(state) => {
            MetadataRecord::PartitionChange(PartitionState { leader: None, ..state })
        }
        other => other,
    };
    bench.metadata(vec![nobody]);
    assert_eq!(bench.write(producer, 0), Err(ErrorCode::NotEnoughReplicas));
}

/// The other end is silent: after `request.timeout.ms` the write fails, and the connection with it.
#[test]
fn a_verification_that_is_not_answered_is_given_up() {
    let mut bench = Bench::new(rules_of(3, 9));
    let producer = bench.init().unwrap();
    bench.add(producer, ORDERS);
    bench.hold = vec![ApiKey::AddPartitionsToTxn];
    bench.ask(TO_LEADER, Bench::write_request(producer, 0, DefaultError));
    bench.rig.now = at_ms(30_000);
    let timer = BrokerTimer::InterBrokerChannel(InterBrokerPurpose::Verification, BrokerId(1));
    let told = bench.timer(timer);
    assert_eq!(written(&told[0].1), Err(ErrorCode::NotEnoughReplicas));
}

#[test]
fn a_broker_asks_over_one_connection_with_one_request_at_a_time() {
    let mut bench = Bench::new(rules_of(3, 9));
    let producer = bench.init().unwrap();
    bench.add(producer, ORDERS);
    let write = Bench::write_request(producer, 0, DefaultError);
    let effects = bench.rig.request(TO_LEADER, 77, write.clone());
    let endpoint = Endpoint { node: NodeId(1), listener: Listener::Broker };
    let timer = BrokerTimer::InterBrokerChannel(InterBrokerPurpose::Verification, BrokerId(1));
    let [Effect::Connect(connection, to), Effect::SetTimer(set, at)] = effects[..] else {
        panic!("{effects:?}");
    };
    assert_eq!((to, set, at), (endpoint, timer, at_ms(10_000)));
    let question = AddPartitionsToTxnRequest {
        transactional_id: COPIER,
        producer_id: ProducerId(producer.0),
        producer_epoch: ProducerEpoch(0),
        partitions: vec![ORDERS],
        verify_only: true,
    };
    let request = Box::new(Request::AddPartitionsToTxn(question));
    assert_eq!(
        bench.rig.call(Input::Connected(connection)),
        [
            Effect::CancelTimer(timer),
            Effect::Send(connection, Frame::Request(CorrelationId(0), request)),
            Effect::SetTimer(timer, at_ms(30_000)),
        ]
    );
    // The producer has given up and asks again: the second question waits for the first.
    assert_eq!(bench.rig.request(ANOTHER, 78, write), []);
}

/// A producer of version 2 begins its next transaction before the last one's markers are written.
#[test]
fn the_partitions_leader_waits_for_the_last_transaction_instead_of_the_producer() {
    let mut bench = Bench::new(rules_of(4, 1));
    let producer = bench.init().unwrap();
    bench.write_with(producer, 0, AddPartition).unwrap();
    bench.hold = vec![ApiKey::WriteTxnMarkers];
    let next = bench.end_with(producer, Commit, true).unwrap().unwrap();
    let write = Bench::write_request(next, 0, AddPartition);
    assert_eq!(bench.ask(TO_LEADER, write), []);
    bench.rig.now = at_ms(20);
    assert_eq!(bench.timer(BrokerTimer::VerificationRetry), []);
    bench.release();
    bench.rig.now = at_ms(40);
    let told = bench.timer(BrokerTimer::VerificationRetry);
    assert_eq!(written(&told[0].1), Ok(2));
    // After 100 ms the producer is told.
    bench.hold = vec![ApiKey::WriteTxnMarkers];
    let last = bench.end_with(next, Commit, true).unwrap().unwrap();
    assert_eq!(bench.ask(TO_LEADER, Bench::write_request(last, 0, AddPartition)), []);
    bench.rig.now = at_ms(140);
    let told = bench.timer(BrokerTimer::VerificationRetry);
    assert_eq!(written(&told[0].1), Err(ErrorCode::ConcurrentTransactions));
}

// ---- failure cases -----------------------------------------------------------------------------

/// T1: a commit that is delayed meets the next transaction, which looks the same, and commits what
/// its producer has not finished. With version 2 every transaction has an epoch of its own.
#[test]
fn t1_a_late_end_ends_the_next_transaction_unless_epochs_tell_them_apart() {
    let mut bench = Bench::new(rules_of(3, 9));
    let producer = bench.init().unwrap();
    bench.add(producer, ORDERS);
    bench.write(producer, 0).unwrap();
    // The first EndTxn is stuck on its connection; the producer asks again on another.
    let late = Bench::end_request(producer, Commit, false);
    assert_eq!(bench.end(producer, Commit), ErrorCode::None);
    bench.add(producer, ORDERS);
    bench.write(producer, 1).unwrap();
    bench.ask(ANOTHER, late);
    assert_eq!(bench.read_committed(), [0, 1], "torn: the producer has not committed this");
    assert_eq!(bench.end(producer, Abort), ErrorCode::InvalidTxnState);

    let mut bench = Bench::new(rules_of(4, 1));
    let producer = bench.init().unwrap();
    bench.write_with(producer, 0, AddPartition).unwrap();
    let late = Bench::end_request(producer, Commit, true);
    let next = bench.end_with(producer, Commit, true).unwrap().unwrap();
    bench.write_with(next, 0, AddPartition).unwrap();
    let refused = EndTxnResponse { error: ErrorCode::ProducerFenced, next: None };
    assert_eq!(bench.ask(ANOTHER, late), [(ANOTHER, Response::EndTxn(refused))]);
    assert_eq!(bench.read_committed(), [0]);
    assert!(bench.end_with(next, Abort, true).is_ok());
    assert_eq!(bench.read_committed(), [0]);
}

/// T2: a write that is delayed beyond the abort of its transaction opens one that nobody ends.
#[test]
fn t2_a_late_write_hangs_the_partition_unless_it_is_verified() {
    let after_a_late_write = |verified: bool| {
        let rule = ProtocolRule::VerifyTransactionalWrites;
        let mut bench = Bench::new(switched(rules_of(3, 9), rule, verified));
        let producer = bench.init().unwrap();
        bench.add(producer, ORDERS);
        bench.write(producer, 0).unwrap();
        assert_eq!(bench.end(producer, Abort), ErrorCode::None);
        let outcome = bench.write(producer, 1);
        // The coordinator knows of nothing that it could end.
        bench.rig.now = at_ms(3_600_000);
        bench.timer(BrokerTimer::AbortTimedOutTransactions);
        (outcome, bench.last_stable_offset())
    };
    assert_eq!(after_a_late_write(false), (Ok(2), 2));
    assert_eq!(after_a_late_write(true), (Err(ErrorCode::InvalidTxnState), 2));
    // The log ends at 3 in the first case: a reader stays at 2 for ever.
}

/// T3: a delayed write arrives when the next transaction has the partition: verification lets it
/// in, and an aborted record is committed. With version 2 its epoch gives it away.
#[test]
fn t3_a_late_write_joins_the_next_transaction_unless_epochs_tell_them_apart() {
    let mut bench = Bench::new(rules_of(3, 9));
    let producer = bench.init().unwrap();
    bench.add(producer, ORDERS);
    bench.write(producer, 0).unwrap();
    let late = Bench::write_request(producer, 1, DefaultError);
    assert_eq!(bench.end(producer, Abort), ErrorCode::None);
    bench.add(producer, ORDERS);
    bench.ask(ANOTHER, late);
    assert_eq!(bench.end(producer, Commit), ErrorCode::None);
    assert_eq!(bench.read_committed(), [1], "its transaction was aborted");

    let mut bench = Bench::new(rules_of(4, 1));
    let producer = bench.init().unwrap();
    bench.write_with(producer, 0, AddPartition).unwrap();
    let late = Bench::write_request(producer, 1, AddPartition);
    let next = bench.end_with(producer, Abort, true).unwrap().unwrap();
    bench.write_with(next, 0, AddPartition).unwrap();
    let told = bench.ask(ANOTHER, late);
    assert_eq!(written(&told[0].1), Err(ErrorCode::InvalidProducerEpoch));
    assert!(bench.end_with(next, Commit, true).is_ok());
    assert_eq!(bench.read_committed(), [0]);
}
