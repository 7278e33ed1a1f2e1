//! The Java producer alone, input by input.

use crate::machine::Input;
use crate::producer::testing::{Bench, idempotent, java, millis, record, without_partition};
use crate::producer::{NewRecord, ProducerCall};
use acklab_vocab::api::{Acks, CurrentLeader};
use acklab_vocab::config::{JavaProducerConfig, ProducerConfig};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{BrokerId, ConnectionId, LeaderEpoch, PartitionIndex};
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::trace::TraceEvent;

const NONE: [&str; 0] = [];

#[test]
fn a_first_send_waits_for_metadata_and_blocks_the_application() {
    let (mut bench, boot) = Bench::boot(ProducerConfig::Java(java()));
    assert_eq!(boot, ["c0 connect b1", "wake 10000"]);
    assert_eq!(bench.at(1).connected(0), ["c0 metadata"]);
    assert_eq!(bench.at(2).answer_metadata(), NONE);
    // The topic is new: it is asked for at once, not at the pace of refreshes.
    assert_eq!(bench.at(3).send([record(0), record(1)]), ["c0 metadata"]);
    assert_eq!(bench.producer.view().blocked, 2);
    assert!(!bench.producer.is_idle());
    assert_eq!(bench.at(4).answer_metadata(), ["c0 produce p0[0-1]"]);
    assert_eq!(bench.at(5).answer(ErrorCode::None), ["[0-1] acked @100"]);
    assert!(bench.producer.is_idle());
    assert!(bench.facts.contains(&TraceEvent::RecordsCreated {
        producer: acklab_vocab::ids::ProducerIndex(0),
        first: 0,
        stride: 1,
        count: 2
    }));
}

#[test]
fn without_metadata_each_send_fails_after_max_block_by_its_own_clock() {
    let (mut bench, _) = Bench::boot(ProducerConfig::Java(java()));
    bench.send([record(0), record(1)]);
    bench.at(10_000).wake();
    let done = bench.at(60_000).wake();
    assert_eq!(done[0], "[0] failed TIMEOUT");
    assert!(!done.contains(&"[1] failed TIMEOUT".to_owned()), "{done:?}");
    assert_eq!(bench.producer.view().blocked, 1);
    assert_eq!(bench.at(120_000).wake()[0], "[1] failed TIMEOUT");
    assert!(bench.producer.is_idle());
}

#[test]
fn acks_0_is_a_success_once_written() {
    let mut bench = Bench::java(JavaProducerConfig { acks: Acks::None, ..java() });
    bench.wire.clear();
    assert_eq!(bench.at(10).send([record(1)]), ["c0 produce p0[1]", "[1] acked", "wake 120010"]);
}

#[test]
fn acks_0_waits_while_the_socket_is_full() {
    let mut bench = Bench::java(JavaProducerConfig { acks: Acks::None, ..java() });
    bench.wire.clear();
    bench.at(10).input(Input::WriteBlocked(ConnectionId(0)));
    assert_eq!(bench.send([record(1)]), ["wake 120010"]);
    let resumed = bench.at(20).input(Input::WriteResumed(ConnectionId(0)));
    assert_eq!(resumed, ["c0 produce p0[1]", "[1] acked"]);
}

#[test]
fn acks_1_and_all_are_a_success_with_an_offset() {
    for acks in [Acks::Leader, Acks::All] {
        let mut bench = Bench::java(JavaProducerConfig { acks, ..java() });
        assert_eq!(bench.at(10).send([record(1), record(2)]), ["c0 produce p0[1-2]"]);
        assert_eq!(bench.at(12).answer(ErrorCode::None), ["[1-2] acked @101"]);
    }
}

#[test]
fn a_batch_lingers_unless_it_is_full_or_another_waits_behind_it() {
    let config = JavaProducerConfig { linger: millis(5), batch_size: 500, ..java() };
    let mut bench = Bench::java(config);
    assert_eq!(bench.at(100).send([record(1)]), ["wake 105"]);
    assert_eq!(bench.at(103).send([record(2)]), NONE);
    assert_eq!(bench.at(105).wake()[0], "c0 produce p0[1-2]");
    // 61 + 4 * 107 = 489 bytes: a fifth record does not fit.
    let five = [3, 4, 5, 6, 7].map(record);
    assert_eq!(bench.at(200).send(five)[0], "c0 produce p0[3-6]");
    assert_eq!(bench.at(205).wake()[0], "c0 produce p0[7]");
}

#[test]
fn a_lingering_batch_goes_along_with_a_full_one_for_the_same_broker() {
    let mut bench = Bench::java(JavaProducerConfig { linger: millis(5), batch_size: 250, ..java() });
    bench.leaders = vec![(1, 0), (1, 0)];
    bench.at(300_000).wake();
    bench.answer_metadata();
    let other = |sequence| NewRecord { partition: Some(PartitionIndex(1)), ..record(sequence) };
    bench.at(300_100).send([other(1)]);
    assert_eq!(bench.send([2, 3].map(record)), ["c0 produce p0[2] p1[1]"]);
}

#[test]
fn at_most_five_requests_are_in_flight() {
    let mut bench = Bench::java(java());
    for sequence in 1..=5 {
        assert_eq!(bench.send([record(sequence)])[0], format!("c0 produce p0[{sequence}]"));
    }
    assert_eq!(bench.send([record(6)]), NONE);
    assert_eq!(bench.send([record(7)]), NONE);
    assert_eq!(bench.answer(ErrorCode::None), ["[1] acked @101", "c0 produce p0[6-7]"]);
}

#[test]
fn a_retriable_error_is_retried_after_the_backoff_and_refreshes_metadata() {
    let mut bench = Bench::java(java());
    bench.at(1_000).send([record(1)]);
    bench.leaders = vec![(2, 1)];
    let done = bench.at(1_001).answer(ErrorCode::NotLeaderOrFollower);
    assert_eq!(done, ["c0 metadata", "wake 1101"]);
    assert_eq!(bench.retries(), ["[1] NOT_LEADER_OR_FOLLOWER"]);
    // 3.7+: the epoch is newer than the one of the failed attempt, so it does not wait (KIP-951).
    assert_eq!(bench.at(1_003).answer_metadata(), ["c1 connect b2"]);
    assert_eq!(bench.at(1_004).connected(1), ["c1 produce p0[1]"]);
    assert_eq!(bench.at(1_005).answer(ErrorCode::None), ["[1] acked @101"]);
}

#[test]
fn before_3_7_a_new_leader_does_not_shorten_the_backoff() {
    let mut config = java();
    config.client.rules.set(ProtocolRule::LeaderInErrorResponse, false);
    let mut bench = Bench::java(config);
    bench.at(1_000).send([record(1)]);
    bench.leaders = vec![(2, 1)];
    bench.at(1_001).answer(ErrorCode::NotLeaderOrFollower);
    assert_eq!(bench.at(1_003).answer_metadata(), NONE);
    assert_eq!(bench.at(1_101).wake()[0], "c1 connect b2");
}

#[test]
fn a_leader_named_in_the_error_is_used_without_metadata() {
    let mut bench = Bench::java(java());
    bench.at(1_000).send([record(1)]);
    let leader = CurrentLeader { leader: BrokerId(3), leader_epoch: LeaderEpoch(1) };
    let done = bench.at(1_001).answer_naming(ErrorCode::NotLeaderOrFollower, Some(leader));
    assert_eq!(done, ["c0 metadata", "c1 connect b3"]);
    // An answer of a broker that is behind does not undo what is known (KIP-320).
    bench.leaders = vec![(1, 0)];
    assert_eq!(bench.at(1_002).answer_metadata(), NONE);
    assert_eq!(bench.at(1_003).connected(1), ["c1 produce p0[1]"]);
}

#[test]
fn a_fatal_error_fails_the_batch() {
    let mut bench = Bench::java(java());
    bench.send([record(1)]);
    assert_eq!(
        bench.answer(ErrorCode::InvalidRequiredAcks),
        ["[1] failed INVALID_REQUIRED_ACKS"]
    );
    assert!(bench.producer.is_idle());
}

#[test]
fn retries_0_surfaces_the_first_error() {
    let mut bench = Bench::java(JavaProducerConfig { retries: 0, ..java() });
    bench.send([record(1)]);
    assert_eq!(
        bench.answer(ErrorCode::NotEnoughReplicas),
        ["[1] failed NOT_ENOUGH_REPLICAS"]
    );
}

#[test]
fn a_lost_connection_retries_newest_first() {
    let mut bench = Bench::java(java());
    for sequence in [1, 2, 3] {
        bench.at(1_000).send([record(sequence)]);
    }
    // Given back oldest first, each to the head of the deque: C, B, A.
    assert_eq!(bench.at(1_010).reset(0), ["wake 1110"]);
    assert_eq!(bench.retries(), ["[1] disconnected", "[2] disconnected", "[3] disconnected"]);
    assert_eq!(bench.at(1_110).wake()[0], "c1 connect b3");
    bench.connected(1);
    assert_eq!(bench.answer_metadata(), ["c2 connect b1"]);
    let sent = bench.connected(2);
    assert_eq!(sent, ["c2 produce p0[3]", "c2 produce p0[2]", "c2 produce p0[1]"]);
}

#[test]
fn before_2_0_a_lost_connection_retries_oldest_first() {
    let mut config = java();
    config.client.rules.set(ProtocolRule::CancelOldestFirst, false);
    let mut bench = Bench::java(config);
    for sequence in [1, 2, 3] {
        bench.at(1_000).send([record(sequence)]);
    }
    bench.at(1_010).reset(0);
    assert_eq!(bench.retries(), ["[3] disconnected", "[2] disconnected", "[1] disconnected"]);
    bench.at(1_110).wake();
    bench.connected(1);
    bench.answer_metadata();
    let sent = bench.connected(2);
    assert_eq!(sent, ["c2 produce p0[1]", "c2 produce p0[2]", "c2 produce p0[3]"]);
}

#[test]
fn one_request_timeout_closes_the_connection_and_gives_back_every_batch() {
    let mut bench = Bench::java(java());
    bench.at(1_000).send([record(1)]);
    bench.at(5_000).send([record(2)]);
    bench.at(30_000).wake();
    assert_eq!(bench.at(31_000).wake()[0], "c0 close");
    assert_eq!(bench.retries(), ["[1] request timeout", "[2] request timeout"]);
}

#[test]
fn one_request_in_flight_keeps_the_order_over_a_retry() {
    let mut bench = Bench::java(JavaProducerConfig { max_in_flight: 1, ..java() });
    assert_eq!(bench.at(1_000).send([record(1)]), ["c0 produce p0[1]"]);
    assert_eq!(bench.send([record(2)]), NONE);
    assert_eq!(bench.at(1_001).answer(ErrorCode::NotEnoughReplicas), ["wake 1101"]);
    assert_eq!(bench.at(1_101).wake()[0], "c0 produce p0[1]");
    assert_eq!(bench.answer(ErrorCode::None), ["[1] acked @101", "c0 produce p0[2]"]);
}

#[test]
fn a_batch_in_flight_expires_after_delivery_timeout_and_its_answer_changes_nothing() {
    let config = JavaProducerConfig { delivery_timeout: Some(millis(30_000)), ..java() };
    let mut bench = Bench::java(config);
    bench.at(1_000).send([record(1)]);
    bench.wake();
    bench.at(30_000).wake();
    assert_eq!(bench.at(30_999).send([record(2)]), ["c0 produce p0[2]"]);
    // The request's timeout is due at the same instant; the batch is given back, and is out of time by then.
    let done = bench.at(31_000).wake();
    assert_eq!(done[0..2], ["c0 close", "[1] failed REQUEST_TIMED_OUT"]);
    let mut bench = Bench::java(JavaProducerConfig {
        delivery_timeout: Some(millis(20_000)),
        ..java()
    });
    bench.at(1_000).send([record(1)]);
    bench.at(20_000).wake();
    assert_eq!(bench.at(21_000).wake()[0], "[1] failed TIMEOUT");
    assert!(!bench.producer.is_idle(), "the request is still in flight");
    assert_eq!(bench.at(22_000).answer(ErrorCode::None), NONE);
    assert!(bench.producer.is_idle());
}

#[test]
fn a_waiting_batch_expires_without_a_leader() {
    let mut bench = Bench::java(java());
    bench.leaders = vec![(0, 1)];
    bench.at(300_000).wake();
    bench.answer_metadata();
    bench.at(300_100).send([record(1)]);
    assert_eq!(bench.at(420_100).wake()[0], "[1] failed TIMEOUT");
    assert!(bench.producer.is_idle());
}

#[test]
fn before_2_1_a_waiting_batch_expires_by_the_request_timeout() {
    let mut bench = Bench::java(JavaProducerConfig { delivery_timeout: None, ..java() });
    bench.leaders = vec![(0, 1)];
    bench.at(300_000).wake();
    bench.answer_metadata();
    bench.at(300_100).send([record(1)]);
    assert_eq!(bench.at(330_100).wake()[0], "[1] failed TIMEOUT");
}

#[test]
fn a_full_buffer_blocks_and_hurries_what_lingers() {
    let config = JavaProducerConfig {
        buffer_memory: 1_000,
        batch_size: 500,
        linger: millis(1_000),
        max_block: millis(50),
        ..java()
    };
    let mut bench = Bench::java(config);
    // Four records fill a batch; the ninth finds no memory for a third.
    let nine = [1, 2, 3, 4, 5, 6, 7, 8, 9].map(record);
    let done = bench.at(2_000).send(nine);
    assert_eq!(done, ["c0 produce p0[1-4]", "c0 produce p0[5-8]", "wake 2050"]);
    assert_eq!(bench.producer.view().blocked, 1);
    assert_eq!(bench.at(2_050).wake()[0], "[9] failed TIMEOUT");
    bench.at(2_060).send([record(10)]);
    assert_eq!(bench.at(2_070).answer(ErrorCode::None)[0], "[1-4] acked @101");
    assert_eq!(bench.producer.view().blocked, 0);
    assert_eq!(bench.producer.view().buffer_available, 0);
}

#[test]
fn a_record_larger_than_a_request_fails_at_once() {
    let mut bench = Bench::java(java());
    let large = NewRecord { size: 2 << 20, ..record(1) };
    assert_eq!(bench.send([large]), ["[1] failed MESSAGE_TOO_LARGE"]);
}

#[test]
fn a_batch_that_is_too_large_is_split() {
    let mut bench = Bench::java(JavaProducerConfig { batch_size: 400, ..java() });
    // Batches of 3 records; the broker takes less.
    assert_eq!(bench.send([1, 2, 3].map(record)), ["c0 produce p0[1-3]"]);
    assert_eq!(bench.answer(ErrorCode::MessageTooLarge), ["c0 produce p0[1-3]"]);
    let mut bench = Bench::java(idempotent());
    bench.send([1, 2].map(record));
    bench.send([record(3)]);
    // The parts go before what is in flight behind them, with the sequences of the whole.
    assert_eq!(bench.answer(ErrorCode::MessageTooLarge), ["c0 produce p0[1-2]@0:1"]);
    bench.send([record(4)]);
}

#[test]
fn an_idempotent_producer_gets_its_id_first() {
    let (mut bench, boot) = Bench::boot(ProducerConfig::Java(idempotent()));
    assert_eq!(boot, ["c0 connect b1", "wake 10000"]);
    assert_eq!(bench.at(1).connected(0), ["c0 metadata", "c0 init producer id"]);
    bench.at(2).answer_metadata();
    bench.at(3).send([record(0)]);
    bench.wire.rotate_left(1);
    bench.answer_metadata();
    assert_eq!(bench.at(4).answer_producer_id(3)[0], "c0 produce p0[0]@3:0");
}

#[test]
fn idempotence_keeps_the_order_over_a_lost_connection() {
    let mut bench = Bench::java(idempotent());
    for sequence in [1, 2, 3] {
        bench.at(1_000).send([record(sequence)]);
    }
    bench.at(1_010).reset(0);
    bench.at(1_110).wake();
    bench.connected(1);
    bench.answer_metadata();
    // Only the first in sequence is sent until it is answered.
    assert_eq!(bench.connected(2), ["c2 produce p0[1]@0:1"]);
    assert_eq!(bench.answer(ErrorCode::None)[..2], ["[1] acked @101", "c2 produce p0[2]@0:2"]);
    assert_eq!(bench.answer(ErrorCode::None)[..2], ["[2] acked @102", "c2 produce p0[3]@0:3"]);
}

#[test]
fn a_duplicate_is_a_success_without_offset() {
    let mut bench = Bench::java(idempotent());
    bench.send([record(1)]);
    assert_eq!(bench.answer(ErrorCode::DuplicateSequenceNumber), ["[1] acked"]);
}

#[test]
fn out_of_order_behind_a_retry_is_retried_without_a_new_epoch() {
    let mut bench = Bench::java(idempotent());
    bench.at(1_000).send([record(1)]);
    bench.at(1_000).send([record(2)]);
    assert_eq!(bench.at(1_001).answer(ErrorCode::NotEnoughReplicas), ["wake 1101"]);
    assert_eq!(bench.at(1_001).answer(ErrorCode::OutOfOrderSequenceNumber), NONE);
    assert_eq!(bench.at(1_101).wake()[0], "c0 produce p0[1]@0:1");
    assert_eq!(bench.answer(ErrorCode::None), ["[1] acked @101", "c0 produce p0[2]@0:2"]);
}

#[test]
fn out_of_order_at_the_head_raises_the_epoch_and_restarts_sequences() {
    let mut bench = Bench::java(idempotent());
    bench.at(1_000).send([record(1)]);
    bench.at(1_000).send([record(2)]);
    // The broker has lost data: the head's sequence follows the last acknowledged one, yet is refused.
    bench.at(1_001).answer(ErrorCode::OutOfOrderSequenceNumber);
    assert_eq!(bench.at(1_001).answer(ErrorCode::OutOfOrderSequenceNumber), NONE);
    assert_eq!(bench.at(1_101).wake()[0], "c0 produce p0[1]@1:0");
    assert_eq!(bench.answer(ErrorCode::None), ["[1] acked @101", "c0 produce p0[2]@1:1"]);
    assert_eq!(bench.answer(ErrorCode::None), ["[2] acked @102"]);
    assert_eq!(bench.send([record(3)]), ["c0 produce p0[3]@1:2"]);
}

#[test]
fn a_retried_batch_that_expires_leaves_the_partition_unresolved_until_a_new_epoch() {
    let config = JavaProducerConfig { delivery_timeout: Some(millis(10_000)), ..idempotent() };
    let mut bench = Bench::java(config);
    bench.at(1_000).send([record(1)]);
    bench.at(1_001).answer(ErrorCode::NotEnoughReplicas);
    assert_eq!(bench.at(1_101).wake()[0], "c0 produce p0[1]@0:1");
    bench.at(5_000).send([record(2)]);
    bench.wire.pop_back();
    bench.at(10_000).wake();
    assert_eq!(bench.at(11_000).wake()[0], "[1] failed TIMEOUT");
    // Nothing new until the second batch, in flight, is answered; it was refused, and goes under the next epoch.
    assert_eq!(bench.at(11_001).send([record(3)]), NONE);
}

#[test]
fn before_2_5_lost_sequences_cost_the_producer_id() {
    let mut config = idempotent();
    config.client.rules.set(ProtocolRule::BumpProducerEpochLocally, false);
    let mut bench = Bench::java(config);
    bench.at(1_000).send([record(1)]);
    let done = bench.at(1_001).answer(ErrorCode::OutOfOrderSequenceNumber);
    assert_eq!(done, ["[1] failed OUT_OF_ORDER_SEQUENCE_NUMBER", "c0 init producer id"]);
    assert_eq!(bench.send([record(2)]), NONE);
    assert_eq!(bench.answer_producer_id(0)[0], "c0 produce p0[2]@0:0");
}

#[test]
fn metadata_is_refreshed_at_the_pace_of_retries() {
    let mut bench = Bench::java(java());
    bench.leaders = vec![(0, 1)];
    bench.at(300_000).wake();
    bench.answer_metadata();
    assert_eq!(bench.at(300_010).send([record(1)]), ["wake 300100"]);
    assert_eq!(bench.at(300_050).send([record(2)]), NONE);
    assert_eq!(bench.at(300_100).wake()[0], "c0 metadata");
    assert_eq!(bench.at(300_110).answer_metadata(), ["wake 300210"]);
    bench.leaders = vec![(1, 2)];
    assert_eq!(bench.at(300_210).wake()[0], "c0 metadata");
    assert_eq!(bench.at(300_220).answer_metadata(), ["c0 produce p0[1-2]"]);
}

#[test]
fn keyless_records_stick_to_a_partition_for_batch_size_bytes() {
    let mut bench = Bench::java(JavaProducerConfig { batch_size: 1_000, ..java() });
    bench.leaders = vec![(1, 0); 3];
    bench.at(300_000).wake();
    bench.answer_metadata();
    let mut partitions = Vec::new();
    for sequence in 1..=60 {
        bench.send([without_partition(sequence)]);
        let (_, _, request) = bench.wire.back().expect("a request");
        let acklab_vocab::api::Request::Produce(produce) = request else { panic!("no produce") };
        partitions.push(produce.partitions[0].partition.partition.0);
        bench.answer(ErrorCode::None);
    }
    // Batches of one record are 168 bytes: six reach batch.size.
    for run in partitions.chunks(6) {
        assert!(run.iter().all(|partition| *partition == run[0]), "{partitions:?}");
    }
    let used: std::collections::BTreeSet<u16> = partitions.iter().copied().collect();
    assert_eq!(used.len(), 3, "{partitions:?}");
}

#[test]
fn closing_flushes_what_lingers() {
    let mut bench = Bench::java(JavaProducerConfig { linger: millis(1_000), ..java() });
    bench.send([record(1)]);
    assert_eq!(bench.input(Input::Call(ProducerCall::Close)), ["c0 produce p0[1]"]);
    let done = bench.answer(ErrorCode::None);
    assert_eq!(done, ["[1] acked @101", "c0 close", "no wake", "closed"]);
}
