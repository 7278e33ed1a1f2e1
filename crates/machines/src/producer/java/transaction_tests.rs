//! The transactional Java producer alone, input by input, and its tables of reactions.

use super::transaction_requests::{Reaction, RequestKind, reaction, reaction_to_commit};
use super::transaction_state::State;
use crate::consumer::GroupMembership;
use crate::machine::Input;
use crate::producer::testing::{Bench, client, idempotent, millis, record};
use crate::producer::{NewRecord, ProducerCall, TransactionCall};
use acklab_vocab::api::{OffsetToCommit, Request, TransactionSupport};
use acklab_vocab::config::JavaProducerConfig;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{
    BrokerId, Generation, GroupId, MemberId, Offset, PartitionIndex, ProducerEpoch, ProducerId,
    TopicPartition, TransactionalId,
};
use acklab_vocab::rules::{ProtocolRule, ProtocolRules};
use acklab_vocab::trace::TraceEvent;
use acklab_vocab::transaction::TransactionResult;
use acklab_vocab::version::KafkaVersion;

const NONE: [&str; 0] = [];

fn version(major: u8, minor: u8) -> JavaProducerConfig {
    JavaProducerConfig { client: client(KafkaVersion::new(major, minor, 0)), ..idempotent() }
}

/// Initialized at 1,000 ms, and its topic known.
fn initialized(config: JavaProducerConfig) -> Bench {
    let mut bench = Bench::transactional(config);
    bench.call(TransactionCall::Init);
    bench.answer_transactional(ErrorCode::None);
    bench.until(1_000);
    assert_eq!(bench.answer_transactional(ErrorCode::None), ["init returned"]);
    bench
}

/// In a transaction at 2,000 ms, of which record 0 at partition 0 is acknowledged.
fn in_transaction(config: JavaProducerConfig) -> Bench {
    let version_2 = config.client.rules.has(ProtocolRule::TransactionsVersion2);
    let mut bench = initialized(config);
    bench.call(TransactionCall::Begin);
    bench.send([record(0)]);
    bench.answer_metadata();
    if !version_2 {
        bench.answer_transactional(ErrorCode::None);
    }
    assert_eq!(bench.answer(ErrorCode::None), ["[0] acked @100"]);
    bench.at(2_000);
    bench
}

fn send_offsets() -> TransactionCall {
    let offset = OffsetToCommit {
        partition: TopicPartition::new(0, 0),
        offset: Offset(5),
        leader_epoch: None,
    };
    let membership = GroupMembership {
        group: GroupId(1),
        generation: Some(Generation(4)),
        member: Some(MemberId(9)),
        instance: None,
    };
    TransactionCall::SendOffsets { offsets: [offset].into(), membership }
}

/// Partition 1 of the same topic.
fn other(sequence: u32) -> NewRecord {
    NewRecord { partition: Some(PartitionIndex(1)), ..record(sequence) }
}

#[test]
fn an_id_is_asked_of_the_coordinator_after_a_pause() {
    let mut bench = Bench::transactional(version(3, 9));
    let asked = bench.at(10).call(TransactionCall::Init);
    assert_eq!(asked, ["c0 find coordinator of transaction 3"]);
    assert!(!bench.producer.is_idle());
    // The request had been put back to find the coordinator: it counts as a retry.
    assert_eq!(bench.at(12).answer_transactional(ErrorCode::None), NONE);
    assert_eq!(bench.at(111).until(112), ["c0 init transactional id"]);
    assert_eq!(bench.at(114).answer_transactional(ErrorCode::None), ["init returned"]);
    let (producer_id, producer_epoch) = (ProducerId(7), ProducerEpoch(0));
    let assigned = TraceEvent::ProducerIdAssigned { producer_id, producer_epoch };
    assert_eq!(bench.facts, [assigned]);
    assert!(bench.producer.is_idle());
}

#[test]
fn a_transaction_before_version_2_adds_its_partition_first() {
    let mut bench = initialized(version(3, 9));
    assert_eq!(bench.at(2_000).call(TransactionCall::Begin), ["begin returned"]);
    assert_eq!(bench.send([record(1), record(2)]), ["c0 metadata"]);
    assert_eq!(bench.at(2_001).answer_metadata(), ["c0 add@0 p0"]);
    // While the request is on its way nothing else is sent.
    assert_eq!(bench.at(2_002).send([record(3)]), NONE);
    let sent = bench.at(2_003).answer_transactional(ErrorCode::None);
    assert_eq!(sent, ["c0 produce p0[1-3]t@0:0"]);
    assert_eq!(bench.at(2_004).call(TransactionCall::Commit), NONE);
    // The end waits for the batches.
    let done = bench.at(2_005).answer(ErrorCode::None);
    assert_eq!(done, ["[1-3] acked @101", "c0 commit@0"]);
    assert_eq!(bench.at(2_006).answer_transactional(ErrorCode::None), ["commit returned"]);
    // The next one has to add the partition again, and goes on with the sequences.
    bench.call(TransactionCall::Begin);
    assert_eq!(bench.at(2_007).send([record(4)]), ["c0 add@0 p0"]);
    let sent = bench.answer_transactional(ErrorCode::None);
    assert_eq!(sent, ["c0 produce p0[4]t@0:3"]);
}

#[test]
fn a_transaction_of_version_2_writes_at_once_and_its_end_raises_the_epoch() {
    let mut bench = initialized(version(4, 1));
    bench.at(2_000).call(TransactionCall::Begin);
    bench.send([record(1)]);
    assert_eq!(bench.at(2_001).answer_metadata(), ["c0 produce p0[1]t@0:0"]);
    let Request::Produce(produce) = &bench.wire[0].2 else { panic!("{:?}", bench.wire) };
    assert_eq!(produce.transaction_support, TransactionSupport::AddPartition);
    bench.at(2_002).answer(ErrorCode::None);
    assert_eq!(bench.at(2_003).call(TransactionCall::Commit), ["c0 commit@0"]);
    assert_eq!(bench.at(2_004).answer_transactional(ErrorCode::None), ["commit returned"]);
    bench.call(TransactionCall::Begin);
    assert_eq!(bench.at(2_005).send([record(2)]), ["c0 produce p0[2]t@1:0"]);
}

/// What `replay` shows of a transaction, step by step: where the producer is, the partitions in the
/// transaction, and those that it has yet to hear of.
#[test]
fn its_view_follows_a_transaction() {
    let seen = |bench: &Bench| {
        let view = bench.producer.view();
        let of = view.transaction.expect("it has a transactional.id");
        assert_eq!((of.transactional_id, of.coordinator), (TransactionalId(3), Some(BrokerId(1))));
        let numbers = |all: &[TopicPartition]| -> Vec<u16> {
            all.iter().map(|partition| partition.partition.0).collect()
        };
        (of.state, numbers(&of.partitions), numbers(&of.unconfirmed), numbers(&of.offsets))
    };
    let mut bench = initialized(version(3, 9));
    assert_eq!(seen(&bench), (State::Ready, vec![], vec![], vec![]));
    bench.call(TransactionCall::Begin);
    bench.send([record(0)]);
    bench.answer_metadata();
    assert_eq!(seen(&bench), (State::InTransaction, vec![], vec![0], vec![]));
    bench.answer_transactional(ErrorCode::None);
    assert_eq!(seen(&bench), (State::InTransaction, vec![0], vec![], vec![]));
    bench.answer(ErrorCode::None);
    bench.call(send_offsets());
    bench.answer_transactional(ErrorCode::None);
    assert_eq!(seen(&bench), (State::InTransaction, vec![0], vec![], vec![0]));
    let mut bench = in_transaction(version(3, 9));
    bench.call(TransactionCall::Commit);
    assert_eq!(seen(&bench), (State::Committing, vec![0], vec![], vec![]));
    bench.answer_transactional(ErrorCode::None);
    assert_eq!(seen(&bench), (State::Ready, vec![], vec![], vec![]));
}

#[test]
fn a_commit_flushes_what_lingers() {
    let config = JavaProducerConfig { linger: millis(900), ..version(4, 1) };
    let mut bench = initialized(config);
    bench.at(2_000).call(TransactionCall::Begin);
    bench.send([record(1)]);
    assert_eq!(bench.at(2_001).answer_metadata(), NONE);
    assert_eq!(bench.at(2_002).call(TransactionCall::Commit), ["c0 produce p0[1]t@0:0"]);
    let done = bench.answer(ErrorCode::None);
    assert_eq!(done, ["[1] acked @101", "c0 commit@0"]);
}

#[test]
fn an_empty_transaction_asks_nobody() {
    for config in [version(3, 9), version(4, 1)] {
        let mut bench = initialized(config);
        bench.call(TransactionCall::Begin);
        assert_eq!(bench.call(TransactionCall::Commit), ["commit returned"]);
        bench.call(TransactionCall::Begin);
        assert_eq!(bench.call(TransactionCall::Abort), ["abort returned"]);
    }
}

#[test]
fn an_abort_drops_what_was_never_sent_and_waits_for_what_was() {
    let config = JavaProducerConfig { linger: millis(900), batch_size: 250, ..version(4, 1) };
    let mut bench = initialized(config);
    bench.at(2_000).call(TransactionCall::Begin);
    bench.send([record(1), record(2)]);
    assert_eq!(bench.at(2_001).answer_metadata(), ["c0 produce p0[1]t@0:0"]);
    let done = bench.at(2_002).call(TransactionCall::Abort);
    assert_eq!(done, ["[2] failed TRANSACTION_ABORTED"]);
    let done = bench.at(2_003).answer(ErrorCode::None);
    assert_eq!(done, ["[1] acked @101", "c0 abort@0"]);
    assert_eq!(bench.at(2_004).answer_transactional(ErrorCode::None), ["abort returned"]);
}

#[test]
fn offsets_go_to_the_groups_coordinator_with_the_membership() {
    let mut bench = in_transaction(version(3, 9));
    assert_eq!(bench.call(send_offsets()), ["c0 add offsets@0"]);
    let asked = bench.answer_transactional(ErrorCode::None);
    assert_eq!(asked, ["c0 find coordinator of group 1"]);
    assert_eq!(bench.answer_transactional(ErrorCode::None), NONE);
    assert_eq!(bench.at(2_099).until(2_100), ["c0 commit 1 offsets@0 of member 9"]);
    assert_eq!(bench.answer_transactional(ErrorCode::None), ["sendoffsets returned"]);
    // From now on it knows the coordinator.
    assert_eq!(bench.call(send_offsets()), ["c0 add offsets@0"]);
    let asked = bench.answer_transactional(ErrorCode::None);
    assert_eq!(asked, ["c0 commit 1 offsets@0 of member 9"]);
    assert_eq!(bench.answer_transactional(ErrorCode::None), ["sendoffsets returned"]);
    assert_eq!(bench.call(TransactionCall::Commit), ["c0 commit@0"]);
}

#[test]
fn version_2_commits_offsets_without_adding_them() {
    let mut bench = in_transaction(version(4, 1));
    assert_eq!(bench.call(send_offsets()), ["c0 find coordinator of group 1"]);
    bench.answer_transactional(ErrorCode::None);
    assert_eq!(bench.until(2_100), ["c0 commit 1 offsets@0 of member 9"]);
    assert_eq!(bench.answer_transactional(ErrorCode::None), ["sendoffsets returned"]);
}

#[test]
fn before_kip_447_nobody_hears_of_the_membership() {
    let mut bench = in_transaction(version(2, 4));
    bench.call(send_offsets());
    bench.answer_transactional(ErrorCode::None);
    bench.answer_transactional(ErrorCode::None);
    assert_eq!(bench.until(2_100), ["c0 commit 1 offsets@0"]);
}

#[test]
fn a_stale_generation_makes_the_transaction_abort() {
    let mut bench = in_transaction(version(4, 1));
    bench.call(send_offsets());
    bench.answer_transactional(ErrorCode::None);
    bench.until(2_100);
    let done = bench.answer_transactional(ErrorCode::IllegalGeneration);
    assert_eq!(done, ["sendoffsets abortable ILLEGAL_GENERATION"]);
    // Records fail at once, and so does the commit.
    assert_eq!(bench.send([record(1)]), ["[1] failed ILLEGAL_GENERATION"]);
    let done = bench.call(TransactionCall::Commit);
    assert_eq!(done, ["commit abortable ILLEGAL_GENERATION"]);
    assert_eq!(bench.call(TransactionCall::Abort), ["c0 abort@0"]);
    assert_eq!(bench.answer_transactional(ErrorCode::None), ["abort returned"]);
    assert_eq!(bench.call(TransactionCall::Begin), ["begin returned"]);
}

#[test]
fn offsets_are_committed_again_while_the_coordinator_moves() {
    let mut bench = in_transaction(version(4, 1));
    bench.call(send_offsets());
    bench.answer_transactional(ErrorCode::None);
    bench.until(2_100);
    let done = bench.answer_transactional(ErrorCode::NotCoordinator);
    assert_eq!(done, ["c0 find coordinator of group 1"]);
    assert_eq!(bench.answer_transactional(ErrorCode::CoordinatorNotAvailable), NONE);
    assert_eq!(bench.at(2_199).until(2_200), ["c0 find coordinator of group 1"]);
    assert_eq!(bench.answer_transactional(ErrorCode::None), NONE);
    assert_eq!(bench.at(2_299).until(2_300), ["c0 commit 1 offsets@0 of member 9"]);
    assert_eq!(bench.answer_transactional(ErrorCode::UnstableOffsetCommit), NONE);
    assert_eq!(bench.until(2_400), ["c0 commit 1 offsets@0 of member 9"]);
    assert_eq!(bench.answer_transactional(ErrorCode::None), ["sendoffsets returned"]);
}

#[test]
fn the_first_partition_is_added_again_after_20_ms_while_the_last_transaction_completes() {
    let mut bench = in_transaction(version(3, 9));
    bench.call(TransactionCall::Commit);
    bench.answer_transactional(ErrorCode::None);
    bench.leaders = vec![(2, 1), (1, 0)];
    bench.refresh_metadata();
    bench.call(TransactionCall::Begin);
    assert_eq!(bench.send([record(1)]), ["c0 add@0 p0"]);
    assert_eq!(bench.answer_transactional(ErrorCode::ConcurrentTransactions), NONE);
    assert_eq!(bench.at(303_019).until(303_020), ["c0 add@0 p0"]);
    assert_eq!(bench.answer_transactional(ErrorCode::None), ["c1 connect b2"]);
    assert_eq!(bench.connected(1), ["c1 produce p0[1]t@0:1"]);
    // With a partition in the transaction it is a retry like others.
    assert_eq!(bench.send([other(2)]), ["c0 add@0 p1"]);
    // Then the sender sleeps, and not even an answer is read.
    let produce = bench.wire.pop_front().expect("the batch");
    assert_eq!(bench.answer_transactional(ErrorCode::ConcurrentTransactions), NONE);
    bench.wire.push_front(produce);
    assert_eq!(bench.at(303_050).answer(ErrorCode::None), NONE);
    assert_eq!(bench.at(303_119).until(303_120), ["[1] acked @101", "c0 add@0 p1"]);
}

#[test]
fn a_failed_write_is_abortable_and_costs_the_epoch() {
    let mut bench = in_transaction(version(3, 9));
    bench.send([record(1)]);
    // Nobody can say whether a sequence after it was used.
    let done = bench.answer(ErrorCode::InvalidProducerEpoch);
    assert_eq!(done, ["[1] failed INVALID_PRODUCER_EPOCH"]);
    let done = bench.call(TransactionCall::Commit);
    assert_eq!(done, ["commit abortable INVALID_PRODUCER_EPOCH"]);
    assert_eq!(bench.call(TransactionCall::Abort), ["c0 abort@0"]);
    // Before version 2 the producer asks for the next epoch itself (KIP-360).
    assert_eq!(bench.answer_transactional(ErrorCode::None), ["c0 init after epoch 0"]);
    assert_eq!(bench.answer_transactional(ErrorCode::None), ["abort returned"]);
    bench.call(TransactionCall::Begin);
    bench.send([record(2)]);
    let sent = bench.answer_transactional(ErrorCode::None);
    assert_eq!(sent, ["c0 produce p0[2]t@1:0"]);
}

#[test]
fn a_failed_write_before_kip_360_leaves_the_epoch() {
    let mut bench = in_transaction(version(2, 4));
    bench.send([record(1)]);
    let done = bench.answer(ErrorCode::OutOfOrderSequenceNumber);
    assert_eq!(done, ["[1] failed OUT_OF_ORDER_SEQUENCE_NUMBER"]);
    assert_eq!(bench.call(TransactionCall::Abort), ["c0 abort@0"]);
    assert_eq!(bench.answer_transactional(ErrorCode::None), ["abort returned"]);
}

#[test]
fn an_old_epoch_is_fatal_to_a_writer_before_kip_588() {
    let mut bench = in_transaction(version(2, 6));
    bench.send([record(1)]);
    let done = bench.answer(ErrorCode::InvalidProducerEpoch);
    assert_eq!(done, ["[1] failed INVALID_PRODUCER_EPOCH"]);
    let done = bench.call(TransactionCall::Abort);
    assert_eq!(done, ["abort fatal INVALID_PRODUCER_EPOCH"]);
}

#[test]
fn a_fenced_producer_fails_everything_and_can_be_closed() {
    let config = JavaProducerConfig { linger: millis(900), batch_size: 250, ..version(4, 1) };
    let mut bench = initialized(config);
    bench.at(2_000).call(TransactionCall::Begin);
    bench.send([record(1), record(2)]);
    bench.at(2_001).answer_metadata();
    let done = bench.at(2_002).answer(ErrorCode::ProducerFenced);
    assert_eq!(done, ["[1] failed PRODUCER_FENCED", "[2] failed PRODUCER_FENCED"]);
    for call in [TransactionCall::Commit, TransactionCall::Abort, send_offsets()] {
        let name = format!("{:?}", call.kind()).to_lowercase();
        assert_eq!(bench.call(call), [format!("{name} fatal PRODUCER_FENCED")]);
    }
    assert_eq!(bench.send([record(3)]), ["[3] failed PRODUCER_FENCED"]);
    assert_eq!(bench.input(Input::Call(ProducerCall::Close)), ["c0 close", "closed"]);
}

#[test]
fn a_commit_of_a_fenced_producer_is_fatal() {
    for error in [ErrorCode::ProducerFenced, ErrorCode::InvalidProducerEpoch] {
        let mut bench = in_transaction(version(4, 1));
        assert_eq!(bench.call(TransactionCall::Commit), ["c0 commit@0"]);
        assert_eq!(bench.answer_transactional(error), ["commit fatal PRODUCER_FENCED"]);
    }
}

#[test]
fn a_batch_that_fails_during_the_commit_fails_the_commit() {
    let mut bench = in_transaction(version(4, 1));
    bench.send([record(1)]);
    assert_eq!(bench.call(TransactionCall::Commit), NONE);
    let done = bench.answer(ErrorCode::TransactionAbortable);
    let expected = ["[1] failed TRANSACTION_ABORTABLE", "commit abortable TRANSACTION_ABORTABLE"];
    assert_eq!(done, expected);
    assert_eq!(bench.call(TransactionCall::Abort), ["c0 abort@0"]);
}

#[test]
fn a_commit_times_out_and_can_only_be_called_again() {
    let mut bench = in_transaction(version(3, 9));
    assert_eq!(bench.call(TransactionCall::Commit), ["c0 commit@0"]);
    // The coordinator is loading: it is asked again every 100 ms.
    for retry in 1..600 {
        bench.answer_transactional(ErrorCode::CoordinatorLoadInProgress);
        assert_eq!(bench.until(2_000 + retry * 100), ["c0 commit@0"]);
    }
    assert_eq!(bench.until(62_000), ["commit timed out"]);
    // It goes on by itself, and nothing else may be asked for.
    assert_eq!(bench.call(TransactionCall::Abort), ["abort fatal INVALID_TXN_STATE"]);
    assert_eq!(bench.call(TransactionCall::Begin), ["begin fatal INVALID_TXN_STATE"]);
    assert_eq!(bench.send([record(1)]), ["[1] failed INVALID_TXN_STATE"]);
    assert_eq!(bench.call(TransactionCall::Commit), NONE);
    assert_eq!(bench.answer_transactional(ErrorCode::None), ["commit returned"]);
    assert_eq!(bench.call(TransactionCall::Begin), ["begin returned"]);
}

#[test]
fn a_commit_that_was_decided_after_its_time_is_told_to_the_next_call() {
    let mut bench = in_transaction(version(4, 1));
    bench.call(TransactionCall::Commit);
    for retry in 1..600 {
        bench.answer_transactional(ErrorCode::ConcurrentTransactions);
        bench.until(2_000 + retry * 100);
    }
    assert_eq!(bench.until(62_000), ["commit timed out"]);
    assert_eq!(bench.answer_transactional(ErrorCode::None), NONE);
    assert_eq!(bench.call(TransactionCall::Begin), ["begin fatal INVALID_TXN_STATE"]);
    assert_eq!(bench.call(TransactionCall::Commit), ["commit returned"]);
    assert_eq!(bench.call(TransactionCall::Begin), ["begin returned"]);
}

#[test]
fn before_2_3_a_commit_waits_for_ever() {
    let mut bench = in_transaction(version(2, 2));
    bench.call(TransactionCall::Commit);
    let done = bench.until(2_000 + 29_999);
    assert_eq!(done, NONE);
    // The request times out after 30 s, over and over; the call does not.
    let done = bench.until(200_000);
    assert!(!done.iter().any(|line| line.contains("timed out")), "{done:?}");
}

#[test]
fn a_lost_connection_makes_it_look_for_the_coordinator() {
    let mut bench = in_transaction(version(4, 1));
    bench.call(TransactionCall::Commit);
    // Any other broker may know.
    assert_eq!(bench.reset(0), ["c1 connect b2"]);
    let asked = bench.at(2_001).connected(1);
    assert_eq!(asked, ["c1 metadata", "c1 find coordinator of transaction 3"]);
    bench.answer_metadata();
    assert_eq!(bench.at(2_060).answer_transactional(ErrorCode::None), ["c2 connect b1"]);
    assert_eq!(bench.at(2_061).connected(2), NONE);
    assert_eq!(bench.at(2_160).until(2_161), ["c2 commit@0"]);
    assert_eq!(bench.answer_transactional(ErrorCode::None), ["commit returned"]);
}

#[test]
fn a_coordinator_that_refuses_connections_is_looked_for_again() {
    let mut bench = in_transaction(version(4, 1));
    bench.call(TransactionCall::Commit);
    bench.reset(0);
    bench.at(2_001).connected(1);
    bench.answer_metadata();
    // The answer still names broker 1, but its connection may not be opened again yet.
    let asked = bench.at(2_010).answer_transactional(ErrorCode::None);
    assert_eq!(asked, ["c1 find coordinator of transaction 3"]);
    assert_eq!(bench.at(2_070).answer_transactional(ErrorCode::None), ["c2 connect b1"]);
    let refused = bench.at(2_071).reset(2);
    assert_eq!(refused, ["c1 find coordinator of transaction 3"]);
}

#[test]
fn an_expired_batch_that_may_have_arrived_costs_the_epoch() {
    let config = JavaProducerConfig { delivery_timeout: Some(millis(5_000)), ..version(3, 9) };
    let mut bench = in_transaction(config);
    bench.send([record(1)]);
    assert_eq!(bench.answer(ErrorCode::NotEnoughReplicas), NONE);
    bench.until(2_200);
    let done = bench.until(7_000);
    assert_eq!(done, ["[1] failed TIMEOUT"]);
    assert_eq!(bench.call(TransactionCall::Commit), ["commit abortable TIMEOUT"]);
    assert_eq!(bench.call(TransactionCall::Abort), ["c0 abort@0"]);
    // The batch had arrived, after all.
    assert_eq!(bench.answer(ErrorCode::None), NONE);
    assert_eq!(bench.answer_transactional(ErrorCode::None), ["c0 init after epoch 0"]);
    assert_eq!(bench.answer_transactional(ErrorCode::None), ["abort returned"]);
}

#[test]
fn a_record_that_is_too_large_fails_its_transaction() {
    for (config, outcome) in
        [(version(3, 9), "commit abortable MESSAGE_TOO_LARGE"), (version(3, 1), "c0 commit@0")]
    {
        let mut bench = in_transaction(config);
        let done = bench.send([NewRecord { size: 2 << 20, ..record(1) }]);
        assert_eq!(done, ["[1] failed MESSAGE_TOO_LARGE"]);
        assert_eq!(bench.call(TransactionCall::Commit), [outcome]);
    }
}

#[test]
fn calls_in_an_impossible_order_change_nothing() {
    let mut bench = Bench::transactional(version(4, 1));
    assert_eq!(bench.call(TransactionCall::Begin), ["begin fatal INVALID_TXN_STATE"]);
    assert_eq!(bench.send([record(0)]), ["[0] failed INVALID_TXN_STATE"]);
    let mut bench = initialized(version(4, 1));
    assert_eq!(bench.call(TransactionCall::Commit), ["commit fatal INVALID_TXN_STATE"]);
    assert_eq!(bench.call(TransactionCall::Abort), ["abort fatal INVALID_TXN_STATE"]);
    assert_eq!(bench.call(TransactionCall::Init), ["init fatal INVALID_TXN_STATE"]);
    assert_eq!(bench.call(TransactionCall::Begin), ["begin returned"]);
}

#[test]
fn records_and_calls_take_effect_in_the_order_in_which_they_were_made() {
    let mut bench = Bench::transactional(version(4, 1));
    // The thread waits in initTransactions(): the rest has to wait for it.
    bench.call(TransactionCall::Init);
    assert_eq!(bench.call(TransactionCall::Begin), NONE);
    assert_eq!(bench.send([record(0), record(1)]), NONE);
    assert_eq!(bench.call(TransactionCall::Commit), NONE);
    assert_eq!(bench.producer.view().blocked, 2);
    bench.answer_transactional(ErrorCode::None);
    bench.until(200);
    let done = bench.answer_transactional(ErrorCode::None);
    assert_eq!(done, ["init returned", "begin returned", "c0 metadata"]);
    assert_eq!(bench.answer_metadata(), ["c0 produce p0[0-1]t@0:0"]);
    let done = bench.answer(ErrorCode::None);
    assert_eq!(done, ["[0-1] acked @100", "c0 commit@0"]);
}

#[test]
fn closing_aborts_the_open_transaction() {
    let mut bench = in_transaction(version(4, 1));
    bench.send([record(1)]);
    assert_eq!(bench.input(Input::Call(ProducerCall::Close)), NONE);
    let done = bench.answer(ErrorCode::None);
    assert_eq!(done, ["[1] acked @101", "c0 abort@0"]);
    assert_eq!(bench.answer_transactional(ErrorCode::None), ["c0 close", "closed"]);
}

#[test]
fn each_error_of_the_coordinator_has_its_reaction() {
    let rules = |major, minor| ProtocolRules::of(KafkaVersion::new(major, minor, 0));
    let id = (ProducerId(7), ProducerEpoch(0));
    let init = RequestKind::InitProducerId { current: None };
    let add = RequestKind::AddPartitions { id, partitions: Vec::new() };
    let end = RequestKind::EndTransaction { id, result: TransactionResult::Commit };
    let fenced = Reaction::Fatal(ErrorCode::ProducerFenced);
    let (code, fatal) = (ErrorCode::InvalidProducerIdMapping, Reaction::Fatal);
    for kind in [&init, &add, &end] {
        let table = [
            (ErrorCode::None, Reaction::Done),
            (ErrorCode::NotCoordinator, Reaction::FindCoordinator),
            (ErrorCode::CoordinatorNotAvailable, Reaction::FindCoordinator),
            (ErrorCode::CoordinatorLoadInProgress, Reaction::Retry),
            (ErrorCode::RequestTimedOut, Reaction::Retry),
            (ErrorCode::InvalidProducerEpoch, fenced),
            (ErrorCode::ProducerFenced, fenced),
            (ErrorCode::InvalidTxnState, fatal(ErrorCode::InvalidTxnState)),
            (ErrorCode::TransactionAbortable, Reaction::Abortable),
            (code, fatal(code)),
        ];
        for (error, expected) in table {
            assert_eq!(reaction(kind, error, rules(4, 1)), expected, "{kind:?} {error}");
        }
    }
    let concurrent = ErrorCode::ConcurrentTransactions;
    assert_eq!(reaction(&add, concurrent, rules(4, 1)), Reaction::RetryConcurrent);
    assert_eq!(reaction(&end, concurrent, rules(4, 1)), Reaction::Retry);
    let unknown = ErrorCode::UnknownProducerId;
    assert_eq!(reaction(&end, unknown, rules(3, 9)), Reaction::AbortableIfPossible);
    assert_eq!(reaction(&end, code, rules(3, 9)), Reaction::AbortableIfPossible);
    assert_eq!(reaction(&init, code, rules(3, 9)), fatal(code));
    let not_yet = ErrorCode::TransactionAbortable;
    assert_eq!(reaction(&end, not_yet, rules(3, 7)), fatal(not_yet));
    let large = ErrorCode::MessageTooLarge;
    assert_eq!(reaction(&add, large, rules(4, 1)), Reaction::Abortable);
    assert_eq!(reaction(&end, large, rules(4, 1)), fatal(large));
}

#[test]
fn each_error_of_the_groups_coordinator_has_its_reaction() {
    let rules = |major, minor| ProtocolRules::of(KafkaVersion::new(major, minor, 0));
    let fenced = Reaction::Fatal(ErrorCode::ProducerFenced);
    let table = [
        (ErrorCode::None, Reaction::Done),
        (ErrorCode::RequestTimedOut, Reaction::FindCoordinator),
        (ErrorCode::NotCoordinator, Reaction::FindCoordinator),
        (ErrorCode::CoordinatorLoadInProgress, Reaction::Retry),
        (ErrorCode::UnknownTopicOrPartition, Reaction::Retry),
        (ErrorCode::IllegalGeneration, Reaction::Abortable),
        (ErrorCode::UnknownMemberId, Reaction::Abortable),
        (ErrorCode::FencedInstanceId, Reaction::Abortable),
        (ErrorCode::TransactionAbortable, Reaction::Abortable),
        (ErrorCode::InvalidProducerEpoch, fenced),
        (ErrorCode::ProducerFenced, fenced),
        (ErrorCode::GroupIdNotFound, Reaction::Fatal(ErrorCode::GroupIdNotFound)),
    ];
    for (error, expected) in table {
        assert_eq!(reaction_to_commit(error, rules(4, 1)), expected, "{error}");
    }
    let illegal = ErrorCode::IllegalGeneration;
    assert_eq!(reaction_to_commit(illegal, rules(2, 4)), Reaction::Fatal(illegal));
}
