//! The Java producer alone, input by input.

use crate::machine::Input;
use crate::producer::testing::{Bench, idempotent, java, millis, record, without_partition};
use crate::producer::{NewRecord, ProducerCall};
use acklab_vocab::api::{Acks, CurrentLeader, Request};
use acklab_vocab::config::{JavaProducerConfig, Partitioner, ProducerConfig};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{BrokerId, ConnectionId, LeaderEpoch, PartitionIndex, ProducerIndex};
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::trace::TraceEvent;
use std::collections::BTreeSet;

const NONE: [&str; 0] = [];

#[test]
fn a_first_send_waits_for_metadata_and_blocks_the_application() {
    let (mut bench, boot) = Bench::boot(ProducerConfig::Java(java()));
    assert_eq!(boot, ["c0 connect b1"]);
    assert_eq!(bench.at(1).connected(0), ["c0 metadata"]);
    assert_eq!(bench.at(2).answer_metadata(), NONE);
    // The topic is new: it is asked for at once, not at the pace of refreshes.
    assert_eq!(bench.at(3).send([record(0), record(1)]), ["c0 metadata"]);
    assert_eq!(bench.producer.view().blocked, 2);
    assert!(!bench.producer.is_idle());
    assert_eq!(bench.at(4).answer_metadata(), ["c0 produce p0[0-1]"]);
    assert_eq!(bench.at(5).answer(ErrorCode::None), ["[0-1] acked @100"]);
    assert!(bench.producer.is_idle());
    let (producer, first, stride, count) = (ProducerIndex(0), 0, 1, 2);
    let created = TraceEvent::RecordsCreated { producer, first, stride, count };
    assert!(bench.facts.contains(&created));
}

#[test]
fn without_metadata_each_send_fails_after_max_block_by_its_own_clock() {
    let (mut bench, _) = Bench::boot(ProducerConfig::Java(java()));
    bench.connected(0);
    bench.send([record(0), record(1)]);
    bench.until(59_999);
    assert_eq!(bench.producer.view().blocked, 2);
    assert!(bench.until(60_000).contains(&"[0] failed TIMEOUT".to_owned()));
    assert_eq!(bench.producer.view().blocked, 1);
    bench.until(119_999);
    assert_eq!(bench.producer.view().blocked, 1);
    assert!(bench.until(120_000).contains(&"[1] failed TIMEOUT".to_owned()));
    assert!(bench.producer.is_idle());
}

#[test]
fn a_steady_flow_hardly_wakes_the_producer() {
    let mut bench = Bench::java(java());
    let before = bench.wakes;
    for sequence in 1..=10_000 {
        let at = 2_000 + i64::from(sequence) * 5;
        bench.at(at).send([record(sequence)]);
        bench.at(at + 1).answer(ErrorCode::None);
    }
    // 50 s: one look at the request timeout, then on to the next request's.
    assert!(bench.wakes - before <= 4, "{}", bench.wakes - before);
}

#[test]
fn acks_0_is_a_success_once_written() {
    let mut bench = Bench::java(JavaProducerConfig { acks: Acks::None, ..java() });
    assert_eq!(bench.at(2_000).send([record(1)]), ["c0 produce p0[1]", "[1] acked"]);
}

#[test]
fn acks_0_waits_while_the_socket_is_full() {
    let mut bench = Bench::java(JavaProducerConfig { acks: Acks::None, ..java() });
    bench.at(2_000).input(Input::WriteBlocked(ConnectionId(0)));
    assert_eq!(bench.send([record(1)]), NONE);
    let resumed = bench.at(2_010).input(Input::WriteResumed(ConnectionId(0)));
    assert_eq!(resumed, ["c0 produce p0[1]", "[1] acked"]);
}

#[test]
fn acks_1_and_all_are_a_success_with_an_offset() {
    for acks in [Acks::Leader, Acks::All] {
        let mut bench = Bench::java(JavaProducerConfig { acks, ..java() });
        assert_eq!(bench.at(2_000).send([record(1), record(2)]), ["c0 produce p0[1-2]"]);
        assert_eq!(bench.at(2_002).answer(ErrorCode::None), ["[1-2] acked @101"]);
    }
}

#[test]
fn a_batch_lingers_unless_it_is_full_or_another_waits_behind_it() {
    let config = JavaProducerConfig { linger: millis(5), batch_size: 500, ..java() };
    let mut bench = Bench::java(config);
    assert_eq!(bench.at(2_000).send([record(1)]), NONE);
    assert_eq!(bench.at(2_003).send([record(2)]), NONE);
    assert_eq!(bench.at(2_004).until(2_005), ["c0 produce p0[1-2]"]);
    // 61 + 4 * 107 = 489 bytes: a fifth record does not fit.
    assert_eq!(bench.at(2_100).send([3, 4, 5, 6, 7].map(record)), ["c0 produce p0[3-6]"]);
    assert_eq!(bench.at(2_104).until(2_105), ["c0 produce p0[7]"]);
}

#[test]
fn a_lingering_batch_goes_along_with_a_full_one_for_the_same_broker() {
    let config = JavaProducerConfig { linger: millis(5), batch_size: 250, ..java() };
    let mut bench = Bench::java(config);
    bench.leaders = vec![(1, 0), (1, 0)];
    bench.refresh_metadata();
    let other = |sequence| NewRecord { partition: Some(PartitionIndex(1)), ..record(sequence) };
    assert_eq!(bench.send([other(1)]), NONE);
    assert_eq!(bench.send([2, 3].map(record)), ["c0 produce p0[2] p1[1]"]);
}

#[test]
fn at_most_five_requests_are_in_flight() {
    let mut bench = Bench::java(java());
    for sequence in 1..=5 {
        assert_eq!(bench.send([record(sequence)]), [format!("c0 produce p0[{sequence}]")]);
    }
    assert_eq!(bench.send([record(6)]), NONE);
    assert_eq!(bench.send([record(7)]), NONE);
    assert_eq!(bench.answer(ErrorCode::None), ["[1] acked @101", "c0 produce p0[6-7]"]);
}

#[test]
fn a_retriable_error_refreshes_metadata_and_a_new_leader_ends_the_backoff() {
    let mut bench = Bench::java(java());
    bench.at(2_000).send([record(1)]);
    bench.leaders = vec![(2, 1)];
    assert_eq!(bench.at(2_001).answer(ErrorCode::NotLeaderOrFollower), ["c0 metadata"]);
    assert_eq!(bench.retries(), ["[1] NOT_LEADER_OR_FOLLOWER"]);
    // 3.7+: the epoch is newer than the one of the failed attempt (KIP-951).
    assert_eq!(bench.at(2_003).answer_metadata(), ["c1 connect b2"]);
    assert_eq!(bench.at(2_004).connected(1), ["c1 produce p0[1]"]);
    assert_eq!(bench.at(2_005).answer(ErrorCode::None), ["[1] acked @101"]);
}

#[test]
fn before_3_7_a_new_leader_does_not_shorten_the_backoff() {
    let mut config = java();
    config.client.rules.set(ProtocolRule::LeaderInErrorResponse, false);
    let mut bench = Bench::java(config);
    bench.at(2_000).send([record(1)]);
    bench.leaders = vec![(2, 1)];
    bench.at(2_001).answer(ErrorCode::NotLeaderOrFollower);
    assert_eq!(bench.at(2_003).answer_metadata(), NONE);
    assert_eq!(bench.at(2_100).until(2_101), ["c1 connect b2"]);
}

#[test]
fn a_leader_named_in_the_error_is_used_without_metadata() {
    let mut bench = Bench::java(java());
    bench.at(2_000).send([record(1)]);
    let leader = CurrentLeader { leader: BrokerId(3), leader_epoch: LeaderEpoch(1) };
    let done = bench.at(2_001).answer_naming(ErrorCode::NotLeaderOrFollower, Some(leader));
    assert_eq!(done, ["c0 metadata", "c1 connect b3"]);
    // An answer of a broker that is behind does not undo what is known (KIP-320).
    bench.leaders = vec![(1, 0)];
    assert_eq!(bench.at(2_002).answer_metadata(), NONE);
    assert_eq!(bench.at(2_003).connected(1), ["c1 produce p0[1]"]);
}

#[test]
fn a_client_without_epochs_believes_a_broker_that_is_behind() {
    let mut config = java();
    config.client.rules.set(ProtocolRule::FenceByLeaderEpoch, false);
    let mut bench = Bench::java(config);
    bench.leaders = vec![(1, 5)];
    bench.refresh_metadata();
    bench.leaders = vec![(2, 4)];
    bench.send([record(1)]);
    bench.answer(ErrorCode::NotLeaderOrFollower);
    bench.answer_metadata();
    assert_eq!(bench.until(303_200), ["c1 connect b2"]);
}

#[test]
fn a_fatal_error_fails_the_batch() {
    let mut bench = Bench::java(java());
    bench.send([record(1)]);
    let done = bench.answer(ErrorCode::InvalidRequiredAcks);
    assert_eq!(done, ["[1] failed INVALID_REQUIRED_ACKS"]);
    assert!(bench.producer.is_idle());
}

#[test]
fn retries_0_surfaces_the_first_error() {
    let mut bench = Bench::java(JavaProducerConfig { retries: 0, ..java() });
    bench.send([record(1)]);
    let done = bench.answer(ErrorCode::NotEnoughReplicas);
    assert_eq!(done, ["[1] failed NOT_ENOUGH_REPLICAS"]);
}

/// Sends records 1 to 3 one by one, loses the connection, and lets the client find broker 1 again.
fn lose_three_in_flight(bench: &mut Bench) -> Vec<String> {
    for sequence in [1, 2, 3] {
        bench.at(2_000).send([record(sequence)]);
    }
    // Metadata first, from any broker; then the leader again after the backoff.
    let asked = bench.at(2_010).reset(0);
    assert!(asked[0].contains("connect"), "{asked:?}");
    let mut done = bench.connected(1);
    assert_eq!(done, ["c1 metadata"]);
    bench.answer_metadata();
    done = bench.until(2_110);
    if done.is_empty() {
        // It was the leader that answered for the metadata, on connection 1.
        return done;
    }
    assert_eq!(done, ["c2 connect b1"]);
    bench.connected(2)
}

#[test]
fn a_lost_connection_retries_newest_first() {
    let mut bench = Bench::java(java());
    let sent = lose_three_in_flight(&mut bench);
    assert_eq!(bench.retries(), ["[1] disconnected", "[2] disconnected", "[3] disconnected"]);
    // Given back oldest first, each to the head of the deque: C, B, A.
    assert_eq!(sent, ["c2 produce p0[3]", "c2 produce p0[2]", "c2 produce p0[1]"]);
}

#[test]
fn before_2_0_a_lost_connection_retries_oldest_first() {
    let mut config = java();
    config.client.rules.set(ProtocolRule::CancelOldestFirst, false);
    let mut bench = Bench::java(config);
    let sent = lose_three_in_flight(&mut bench);
    assert_eq!(bench.retries(), ["[3] disconnected", "[2] disconnected", "[1] disconnected"]);
    assert_eq!(sent, ["c2 produce p0[1]", "c2 produce p0[2]", "c2 produce p0[3]"]);
}

#[test]
fn idempotence_keeps_the_order_over_a_lost_connection() {
    let mut bench = Bench::java(idempotent());
    // Only the first in sequence is sent until it is answered.
    assert_eq!(lose_three_in_flight(&mut bench), ["c2 produce p0[1]@0:1"]);
    let done = bench.answer(ErrorCode::None);
    assert_eq!(done, ["[1] acked @101", "c2 produce p0[2]@0:2"]);
    let done = bench.answer(ErrorCode::None);
    assert_eq!(done, ["[2] acked @102", "c2 produce p0[3]@0:3"]);
}

#[test]
fn one_request_timeout_closes_the_connection_and_gives_back_every_batch() {
    let mut bench = Bench::java(java());
    bench.at(2_000).send([record(1)]);
    bench.at(5_000).send([record(2)]);
    assert_eq!(bench.at(31_999).until(32_000)[0], "c0 close");
    assert_eq!(bench.retries(), ["[1] request timeout", "[2] request timeout"]);
}

#[test]
fn one_request_in_flight_keeps_the_order_over_a_retry() {
    let mut bench = Bench::java(JavaProducerConfig { max_in_flight: 1, ..java() });
    assert_eq!(bench.at(2_000).send([record(1)]), ["c0 produce p0[1]"]);
    assert_eq!(bench.send([record(2)]), NONE);
    assert_eq!(bench.at(2_001).answer(ErrorCode::NotEnoughReplicas), NONE);
    assert_eq!(bench.at(2_100).until(2_101), ["c0 produce p0[1]"]);
    assert_eq!(bench.answer(ErrorCode::None), ["[1] acked @101", "c0 produce p0[2]"]);
}

#[test]
fn a_transient_error_on_the_first_of_two_reorders_without_idempotence() {
    let mut bench = Bench::java(java());
    bench.at(2_000).send([record(1)]);
    bench.at(2_000).send([record(2)]);
    assert_eq!(bench.at(2_001).answer(ErrorCode::NotEnoughReplicas), NONE);
    assert_eq!(bench.at(2_002).answer(ErrorCode::None), ["[2] acked @102"]);
    assert_eq!(bench.at(2_100).until(2_101), ["c0 produce p0[1]"]);
}

#[test]
fn a_batch_in_flight_expires_and_its_answer_changes_nothing() {
    let config = JavaProducerConfig { delivery_timeout: Some(millis(20_000)), ..java() };
    let mut bench = Bench::java(config);
    bench.at(2_000).send([record(1)]);
    assert_eq!(bench.at(21_999).until(22_000), ["[1] failed TIMEOUT"]);
    assert!(!bench.producer.is_idle(), "the request is still in flight");
    assert_eq!(bench.at(23_000).answer(ErrorCode::None), NONE);
    assert!(bench.producer.is_idle());
}

#[test]
fn a_waiting_batch_expires_without_a_leader() {
    for (delivery_timeout, lifetime) in [(Some(millis(120_000)), 120_000), (None, 30_000)] {
        // Before 2.1 by the request timeout.
        let mut bench = Bench::java(JavaProducerConfig { delivery_timeout, ..java() });
        bench.leaders = vec![(0, 1)];
        let asked = bench.until(302_000);
        assert_eq!(asked, ["c0 metadata"]);
        bench.answer_metadata();
        bench.send([record(1)]);
        bench.until(302_000 + lifetime - 1);
        assert!(!bench.producer.is_idle());
        let done = bench.until(302_000 + lifetime);
        assert!(done.contains(&"[1] failed TIMEOUT".to_owned()), "{done:?}");
    }
}

#[test]
fn a_full_buffer_blocks_and_hurries_what_lingers() {
    let config = JavaProducerConfig {
        buffer_memory: 1_000,
        batch_size: 500,
        linger: millis(900),
        max_block: millis(50),
        max_in_flight: 2,
        ..java()
    };
    let mut bench = Bench::java(config);
    // Four records fill a batch; the ninth finds no memory for a third.
    let done = bench.at(2_000).send([1, 2, 3, 4, 5, 6, 7, 8, 9].map(record));
    assert_eq!(done, ["c0 produce p0[1-4]", "c0 produce p0[5-8]"]);
    assert_eq!(bench.producer.view().blocked, 1);
    assert_eq!(bench.at(2_049).until(2_050), ["[9] failed TIMEOUT"]);
    bench.at(2_060).send([record(10)]);
    assert_eq!(bench.at(2_070).answer(ErrorCode::None), ["[1-4] acked @101"]);
    assert_eq!(bench.producer.view().blocked, 0);
    assert_eq!(bench.producer.view().buffer_available, 0);
    // Another record blocks: the batch with record 10 waits no longer.
    let done = bench.at(2_080).send([11, 12, 13, 14].map(record));
    assert_eq!(done, ["c0 produce p0[10-13]"]);
}

#[test]
fn a_record_larger_than_a_request_fails_at_once() {
    let mut bench = Bench::java(java());
    let large = NewRecord { size: 2 << 20, ..record(1) };
    assert_eq!(bench.send([large]), ["[1] failed MESSAGE_TOO_LARGE"]);
}

#[test]
fn a_batch_that_is_too_large_is_split() {
    let mut bench = Bench::java(idempotent());
    bench.send([1, 2].map(record));
    bench.send([record(3)]);
    // One part, as large as batch.size allows, in the place and with the sequences of the whole.
    assert_eq!(bench.answer(ErrorCode::MessageTooLarge), ["c0 produce p0[1-2]@0:1"]);
    assert_eq!(bench.answer(ErrorCode::OutOfOrderSequenceNumber), NONE);
    assert_eq!(bench.answer(ErrorCode::None), ["[1-2] acked @101"]);
    assert_eq!(bench.until(2_000), ["c0 produce p0[3]@0:3"]);
    let mut bench = Bench::java(java());
    let large = NewRecord { size: 20_000, ..record(1) };
    assert_eq!(bench.send([large]), ["c0 produce p0[1]"]);
    assert_eq!(bench.answer(ErrorCode::MessageTooLarge), ["[1] failed MESSAGE_TOO_LARGE"]);
}

#[test]
fn an_idempotent_producer_gets_its_id_first() {
    let (mut bench, boot) = Bench::boot(ProducerConfig::Java(idempotent()));
    assert_eq!(boot, ["c0 connect b1"]);
    assert_eq!(bench.at(1).connected(0), ["c0 metadata", "c0 init producer id"]);
    bench.at(2).answer_metadata();
    assert_eq!(bench.at(3).send([record(0)]), ["c0 metadata"]);
    assert_eq!(bench.at(4).answer_producer_id(3), NONE);
    assert_eq!(bench.at(5).answer_metadata(), ["c0 produce p0[0]@3:0"]);
}

#[test]
fn nothing_expires_while_the_producer_waits_for_its_id() {
    let config = JavaProducerConfig { delivery_timeout: Some(millis(5_000)), ..idempotent() };
    let (mut bench, _) = Bench::boot(ProducerConfig::Java(config));
    bench.connected(0);
    bench.answer_metadata();
    bench.send([record(0)]);
    bench.refuse_producer_id();
    bench.answer_metadata();
    for retry in 1..100 {
        assert_eq!(bench.until(retry * 100), ["c0 init producer id"]);
        assert_eq!(bench.refuse_producer_id(), NONE);
    }
    // Twice the delivery timeout has passed. With the id, the batch is drained first and expires
    // then: it is sent all the same.
    assert_eq!(bench.until(10_000), ["c0 init producer id"]);
    let done = bench.answer_producer_id(0);
    assert_eq!(done, ["[0] failed TIMEOUT", "c0 produce p0[0]@0:0"]);
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
    bench.at(2_000).send([record(1)]);
    bench.at(2_000).send([record(2)]);
    assert_eq!(bench.at(2_001).answer(ErrorCode::NotEnoughReplicas), NONE);
    assert_eq!(bench.at(2_001).answer(ErrorCode::OutOfOrderSequenceNumber), NONE);
    assert_eq!(bench.at(2_100).until(2_101), ["c0 produce p0[1]@0:1"]);
    assert_eq!(bench.answer(ErrorCode::None), ["[1] acked @101", "c0 produce p0[2]@0:2"]);
}

#[test]
fn out_of_order_at_the_head_raises_the_epoch_and_restarts_sequences() {
    let mut bench = Bench::java(idempotent());
    bench.at(2_000).send([record(1)]);
    bench.at(2_000).send([record(2)]);
    // The broker has lost data: the head's sequence follows the last acknowledged one, yet is
    // refused.
    assert_eq!(bench.at(2_001).answer(ErrorCode::OutOfOrderSequenceNumber), NONE);
    assert_eq!(bench.at(2_001).answer(ErrorCode::OutOfOrderSequenceNumber), NONE);
    assert_eq!(bench.at(2_100).until(2_101), ["c0 produce p0[1]@1:0"]);
    assert_eq!(bench.answer(ErrorCode::None), ["[1] acked @101", "c0 produce p0[2]@1:1"]);
    assert_eq!(bench.answer(ErrorCode::None), ["[2] acked @102"]);
    assert_eq!(bench.send([record(3)]), ["c0 produce p0[3]@1:2"]);
}

#[test]
fn a_batch_that_failed_for_good_raises_the_epoch_for_those_behind_it() {
    let mut bench = Bench::java(idempotent());
    bench.at(2_000).send([record(1)]);
    bench.at(2_000).send([record(2)]);
    let done = bench.at(2_001).answer(ErrorCode::InvalidRequest);
    assert_eq!(done, ["[1] failed INVALID_REQUEST"]);
    // It was sent with sequence 2 of epoch 0; it is sent again as the first of epoch 1.
    assert_eq!(bench.at(2_002).answer(ErrorCode::OutOfOrderSequenceNumber), NONE);
    assert_eq!(bench.at(2_101).until(2_102), ["c0 produce p0[2]@1:0"]);
}

/// A batch that was sent twice runs out of time with another in flight behind it.
fn hold_back_behind_an_expired_batch(second_was_appended: bool) {
    let config = JavaProducerConfig { delivery_timeout: Some(millis(10_000)), ..idempotent() };
    let mut bench = Bench::java(config);
    bench.at(2_000).send([record(1)]);
    bench.at(2_001).answer(ErrorCode::NotEnoughReplicas);
    assert_eq!(bench.at(2_100).until(2_101), ["c0 produce p0[1]@0:1"]);
    assert_eq!(bench.at(5_000).send([record(2)]), ["c0 produce p0[2]@0:2"]);
    assert_eq!(bench.at(11_999).until(12_000), ["[1] failed TIMEOUT"]);
    // Nothing new while the second batch, in flight, is not answered.
    assert_eq!(bench.at(12_001).send([record(3)]), NONE);
    assert_eq!(bench.at(12_002).answer(ErrorCode::NotEnoughReplicas), NONE);
    assert_eq!(bench.producer.view().queues[0].queued.len(), 1);
    if second_was_appended {
        // Then so was the first, or the second would have been refused: nothing is missing.
        let done = bench.answer(ErrorCode::None);
        assert_eq!(done, ["[2] acked @102", "c0 produce p0[3]@0:3"]);
    } else {
        assert_eq!(bench.answer(ErrorCode::OutOfOrderSequenceNumber), NONE);
        // It was refused for the gap: it becomes the first of the next epoch, and the third
        // follows.
        let sent = bench.at(12_101).until(12_102);
        assert_eq!(sent, ["c0 produce p0[2]@1:0", "c0 produce p0[3]@1:1"]);
    }
}

#[test]
fn an_unresolved_partition_goes_on_once_all_is_answered() {
    hold_back_behind_an_expired_batch(true);
    hold_back_behind_an_expired_batch(false);
}

#[test]
fn before_2_5_lost_sequences_cost_the_producer_id() {
    let mut config = idempotent();
    config.client.rules.set(ProtocolRule::BumpProducerEpochLocally, false);
    let mut bench = Bench::java(config);
    bench.at(2_000).send([record(1)]);
    let done = bench.at(2_001).answer(ErrorCode::OutOfOrderSequenceNumber);
    assert_eq!(done[0], "[1] failed OUT_OF_ORDER_SEQUENCE_NUMBER");
    assert_eq!(bench.send([record(2)]), NONE);
    assert!(bench.producer.view().producer_id.is_none());
}

#[test]
fn metadata_is_refreshed_at_the_pace_of_retries() {
    let mut bench = Bench::java(java());
    bench.leaders = vec![(0, 1)];
    assert_eq!(bench.until(302_000), ["c0 metadata"]);
    bench.answer_metadata();
    assert_eq!(bench.at(302_010).send([record(1)]), NONE);
    assert_eq!(bench.at(302_050).send([record(2)]), NONE);
    assert_eq!(bench.at(302_099).until(302_100), ["c0 metadata"]);
    assert_eq!(bench.at(302_110).answer_metadata(), NONE);
    bench.leaders = vec![(1, 2)];
    assert_eq!(bench.at(302_209).until(302_210), ["c0 metadata"]);
    assert_eq!(bench.at(302_220).answer_metadata(), ["c0 produce p0[1-2]"]);
}

#[test]
fn keyless_records_stick_to_a_partition_for_batch_size_bytes() {
    let mut bench = Bench::java(JavaProducerConfig { batch_size: 1_000, ..java() });
    bench.leaders = vec![(1, 0); 3];
    bench.refresh_metadata();
    let mut partitions = Vec::new();
    for sequence in 1..=60 {
        bench.send([without_partition(sequence)]);
        let (_, _, request) = bench.wire.back().expect("a request");
        let Request::Produce(produce) = request else { panic!("{request:?}") };
        partitions.push(produce.partitions[0].partition.partition.0);
        bench.answer(ErrorCode::None);
    }
    // Batches of one record are 168 bytes: six reach batch.size.
    for run in partitions.chunks(6) {
        assert!(run.iter().all(|partition| *partition == run[0]), "{partitions:?}");
    }
    let used: BTreeSet<u16> = partitions.iter().copied().collect();
    assert_eq!(used.len(), 3, "{partitions:?}");
}

#[test]
fn a_round_robin_that_is_asked_again_for_each_new_batch_skips_partitions() {
    // KAFKA-9965, until 4.0.
    for (asked_again, expected) in [(true, [1, 1, 1, 1]), (false, [0, 1, 0, 1])] {
        let mut config = JavaProducerConfig { partitioner: Partitioner::RoundRobin, ..java() };
        config.client.rules.set(ProtocolRule::PartitionAgainForNewBatch, asked_again);
        let mut bench = Bench::java(config);
        bench.leaders = vec![(1, 0); 2];
        bench.refresh_metadata();
        let partitions = [1, 2, 3, 4].map(|sequence| {
            let sent = bench.send([without_partition(sequence)]);
            bench.answer(ErrorCode::None);
            u16::from(sent[0].contains("p1"))
        });
        assert_eq!(partitions, expected);
    }
}

#[test]
fn closing_flushes_what_lingers() {
    let mut bench = Bench::java(JavaProducerConfig { linger: millis(900), ..java() });
    assert_eq!(bench.at(2_000).send([record(1)]), NONE);
    assert_eq!(bench.input(Input::Call(ProducerCall::Close)), ["c0 produce p0[1]"]);
    let done = bench.answer(ErrorCode::None);
    assert_eq!(done, ["[1] acked @101", "c0 close", "closed"]);
}
