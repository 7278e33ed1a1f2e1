//! librdkafka's producer alone, input by input.

use crate::machine::Input;
use crate::producer::testing::{Bench, librdkafka, millis, record, without_partition};
use crate::producer::{NewRecord, ProducerCall, TransactionCall};
use acklab_vocab::api::{Acks, Request};
use acklab_vocab::config::{LibrdkafkaProducerConfig, ProducerConfig};
use acklab_vocab::error::ErrorCode;
use smallvec::SmallVec;

const NONE: [&str; 0] = [];

fn idempotent() -> LibrdkafkaProducerConfig {
    LibrdkafkaProducerConfig { idempotence: true, max_in_flight: 5, ..librdkafka() }
}

#[test]
fn produce_never_blocks_and_messages_wait_for_their_topic() {
    let (mut bench, boot) = Bench::boot(ProducerConfig::Librdkafka(librdkafka()));
    assert_eq!(boot, ["c0 connect b1"]);
    assert_eq!(bench.at(1).send([record(0), record(1)]), NONE);
    assert_eq!(bench.at(2).connected(0), ["c0 metadata"]);
    assert_eq!(bench.at(3).answer_metadata(), ["c0 produce p0[0-1]"]);
    assert_eq!(bench.at(4).answer(ErrorCode::None), ["[0-1] acked @100"]);
    assert!(bench.producer.is_idle());
}

#[test]
fn acks_0_is_a_success_once_written() {
    let mut bench =
        Bench::librdkafka(LibrdkafkaProducerConfig { acks: Acks::None, ..librdkafka() });
    assert_eq!(bench.send([record(1)]), ["c0 produce p0[1]", "[1] acked"]);
}

#[test]
fn messages_linger_into_one_batch() {
    let config =
        LibrdkafkaProducerConfig { linger: millis(5), batch_num_messages: 3, ..librdkafka() };
    let mut bench = Bench::librdkafka(config);
    assert_eq!(bench.at(2_000).send([record(1)]), NONE);
    assert_eq!(bench.at(2_003).send([record(2)]), NONE);
    assert_eq!(bench.at(2_004).until(2_005), ["c0 produce p0[1-2]"]);
    assert_eq!(bench.at(2_100).send([3, 4, 5, 6].map(record)), ["c0 produce p0[3-5]"]);
    assert_eq!(bench.at(2_104).until(2_105), ["c0 produce p0[6]"]);
}

#[test]
fn a_request_carries_one_partition() {
    let mut bench = Bench::librdkafka(librdkafka());
    bench.leaders = vec![(1, 0), (1, 0)];
    bench.refresh_metadata();
    let key = |sequence, key: &str| NewRecord {
        partition: None,
        key: Some(SmallVec::from_slice(key.as_bytes())),
        ..record(sequence)
    };
    // CRC-32 of "a" is odd, of "d" even. The turn goes on after partition 0, which had the last
    // one.
    let done = bench.send([key(1, "a"), key(2, "d"), key(3, "a")]);
    assert_eq!(done, ["c0 produce p1[1-3]", "c0 produce p0[2]"]);
}

#[test]
fn a_lost_connection_alone_reorders_nothing() {
    let mut bench = Bench::librdkafka(librdkafka());
    for sequence in [1, 2, 3] {
        assert_eq!(bench.at(2_000).send([record(sequence)]).len(), 1);
    }
    let asked = bench.at(2_010).reset(0);
    assert!(asked[0].contains("connect"), "{asked:?}");
    assert_eq!(bench.retries(), ["[1] disconnected", "[2] disconnected", "[3] disconnected"]);
    bench.connected(1);
    bench.answer_metadata();
    assert_eq!(bench.until(2_110), ["c2 connect b1"]);
    // Back in their places, and now one batch.
    assert_eq!(bench.connected(2), ["c2 produce p0[1-3]"]);
}

#[test]
fn a_batch_overtakes_one_that_failed_unless_the_producer_is_idempotent() {
    let mut bench = Bench::librdkafka(librdkafka());
    bench.at(2_000).send([record(1)]);
    bench.at(2_000).send([record(2)]);
    assert_eq!(bench.at(2_001).answer(ErrorCode::NotEnoughReplicas), NONE);
    assert_eq!(bench.at(2_002).answer(ErrorCode::None), ["[2] acked @102"]);
    assert_eq!(bench.at(2_100).until(2_101), ["c0 produce p0[1]"]);

    let mut bench = Bench::librdkafka(idempotent());
    assert_eq!(bench.at(2_000).send([record(1)]), ["c0 produce p0[1]@0:1"]);
    assert_eq!(bench.at(2_000).send([record(2)]), ["c0 produce p0[2]@0:2"]);
    assert_eq!(bench.at(2_001).answer(ErrorCode::NotEnoughReplicas), NONE);
    assert_eq!(bench.at(2_001).send([record(3)]), NONE);
    // The gap is refused; everything drains, and goes under the next epoch in order.
    assert_eq!(bench.at(2_002).answer(ErrorCode::OutOfOrderSequenceNumber), NONE);
    assert_eq!(bench.at(2_100).until(2_101), ["c0 produce p0[1]@1:0"]);
}

#[test]
fn errors_that_say_not_here_take_no_retry() {
    let mut bench = Bench::librdkafka(LibrdkafkaProducerConfig { retries: 0, ..librdkafka() });
    bench.at(2_000).send([record(1)]);
    assert_eq!(bench.at(2_001).answer(ErrorCode::NotLeaderOrFollower), ["c0 metadata"]);
    bench.answer_metadata();
    assert_eq!(bench.at(2_100).until(2_101), ["c0 produce p0[1]"]);
    let done = bench.answer(ErrorCode::NotEnoughReplicas);
    assert_eq!(done, ["[1] failed NOT_ENOUGH_REPLICAS"]);
}

#[test]
fn a_batch_that_is_too_large_fails() {
    let mut bench = Bench::librdkafka(librdkafka());
    bench.send([1, 2].map(record));
    assert_eq!(bench.answer(ErrorCode::MessageTooLarge), ["[1-2] failed MESSAGE_TOO_LARGE"]);
    let large = NewRecord { size: 2_000_000, ..record(3) };
    assert_eq!(bench.send([large]), ["[3] failed MESSAGE_TOO_LARGE"]);
}

#[test]
fn a_full_queue_refuses_at_once() {
    let config = LibrdkafkaProducerConfig { queue_max_messages: 2, ..librdkafka() };
    let mut bench = Bench::librdkafka(config);
    let done = bench.send([1, 2, 3].map(record));
    assert_eq!(done, ["[3] failed QUEUE_FULL", "c0 produce p0[1-2]"]);
    assert_eq!(bench.answer(ErrorCode::None), ["[1-2] acked @101"]);
    assert_eq!(bench.send([record(4)]), ["c0 produce p0[4]"]);
}

#[test]
fn a_waiting_message_times_out_by_its_own_clock_at_a_whole_second() {
    let config = LibrdkafkaProducerConfig { message_timeout: millis(5_500), ..librdkafka() };
    let mut bench = Bench::librdkafka(config);
    bench.leaders = vec![(0, 1)];
    let asked = bench.until(302_000);
    assert_eq!(asked, ["c0 metadata"]);
    bench.answer_metadata();
    bench.send([record(1)]);
    // The leader is looked for, in vain.
    assert_eq!(bench.until(303_000), ["c0 metadata"]);
    bench.send([record(2)]);
    assert_eq!(bench.at(307_999).until(308_000), ["[1] failed TIMEOUT"]);
    assert_eq!(bench.at(308_999).until(309_000), ["[2] failed TIMEOUT"]);
    assert!(bench.producer.is_idle());
}

#[test]
fn a_request_without_an_answer_closes_the_connection() {
    let mut bench = Bench::librdkafka(librdkafka());
    bench.at(2_000).send([record(1)]);
    assert_eq!(bench.at(61_999).until(62_000)[0], "c0 close");
    assert_eq!(bench.retries(), ["[1] request timeout"]);
}

#[test]
fn a_timed_out_message_costs_an_idempotent_producer_its_epoch() {
    let config = LibrdkafkaProducerConfig { message_timeout: millis(3_500), ..idempotent() };
    let mut bench = Bench::librdkafka(config);
    bench.at(2_000).send([record(1)]);
    // Out of time in flight: the connection goes, the message is given back and found out of time
    // at the next look.
    let done = bench.at(5_499).until(5_500);
    assert_eq!(done[0], "c0 close");
    let done = bench.until(6_000);
    assert!(done.contains(&"[1] failed TIMEOUT".to_owned()), "{done:?}");
    assert_eq!(bench.producer.view().producer_id.map(|(_, epoch)| epoch.0), Some(1));
}

#[test]
fn losing_the_brokers_memory_is_fatal_for_an_idempotent_producer() {
    let mut bench = Bench::librdkafka(idempotent());
    bench.send([record(1)]);
    let done = bench.answer(ErrorCode::OutOfOrderSequenceNumber);
    assert_eq!(done, ["[1] failed OUT_OF_ORDER_SEQUENCE_NUMBER"]);
    assert_eq!(bench.send([record(2)]), ["[2] failed OUT_OF_ORDER_SEQUENCE_NUMBER"]);
}

#[test]
fn an_acknowledgement_implies_those_before_it() {
    let mut bench = Bench::librdkafka(idempotent());
    bench.at(2_000).send([record(1)]);
    bench.at(2_000).send([record(2)]);
    // The first answer says it timed out after the append; the second that everything before it is
    // in the log.
    assert_eq!(bench.at(2_001).answer(ErrorCode::RequestTimedOut), NONE);
    let done = bench.at(2_002).answer(ErrorCode::None);
    assert_eq!(done, ["[1] acked", "[2] acked @102"]);
    assert!(bench.producer.is_idle());
}

#[test]
fn a_duplicate_is_a_success() {
    let mut bench = Bench::librdkafka(idempotent());
    bench.send([record(1)]);
    assert_eq!(bench.answer(ErrorCode::DuplicateSequenceNumber), ["[1] acked"]);
    assert_eq!(bench.send([record(2)]), ["c0 produce p0[2]@0:2"]);
}

#[test]
fn messages_without_a_key_stick_for_the_sticky_linger() {
    let mut bench = Bench::librdkafka(librdkafka());
    bench.leaders = vec![(1, 0); 3];
    bench.refresh_metadata();
    let mut partitions = Vec::new();
    for sequence in 1..=40 {
        bench.at(303_000 + i64::from(sequence) * 5).send([without_partition(sequence)]);
        let (_, _, request) = bench.wire.back().expect("a request");
        let Request::Produce(produce) = request else { panic!("{request:?}") };
        partitions.push(produce.partitions[0].partition.partition.0);
        bench.answer(ErrorCode::None);
    }
    assert!(partitions.chunks(2).all(|pair| pair[0] == pair[1]), "{partitions:?}");
    assert!((0..3).all(|partition| partitions.contains(&partition)), "{partitions:?}");
}

#[test]
fn closing_flushes_what_lingers() {
    let mut bench =
        Bench::librdkafka(LibrdkafkaProducerConfig { linger: millis(900), ..librdkafka() });
    assert_eq!(bench.at(2_000).send([record(1)]), NONE);
    assert_eq!(bench.input(Input::Call(ProducerCall::Close)), ["c0 produce p0[1]"]);
    let done = bench.answer(ErrorCode::None);
    assert_eq!(done, ["[1] acked @101", "c0 close", "closed"]);
}

#[test]
fn the_transactional_api_is_refused() {
    let mut bench = Bench::librdkafka(librdkafka());
    assert_eq!(bench.call(TransactionCall::Init), ["init fatal INVALID_TXN_STATE"]);
}
