use super::handler::string_hash;
use crate::machine::Input;
use crate::producer::testing::{Bench, client, millis, record, without_partition};
use crate::producer::{NewRecord, ProducerCall};
use acklab_vocab::api::Acks;
use acklab_vocab::config::{ProducerConfig, ScalaProducerConfig};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::ConnectionId;
use acklab_vocab::time::SimDuration;
use acklab_vocab::trace::{ClientException, CloseReason, TraceEvent};
use acklab_vocab::version::KafkaVersion;

/// The defaults of 0.8.2, with acks=1.
fn scala() -> ScalaProducerConfig {
    ScalaProducerConfig {
        rules: client(KafkaVersion::OLDEST).rules,
        asynchronous: false,
        acks: Acks::Leader,
        request_timeout: millis(10_000),
        retries: 3,
        retry_backoff: millis(100),
        metadata_refresh_interval: millis(600_000),
        queue_max: millis(5_000),
        queue_max_messages: 10_000,
        queue_enqueue_timeout: None,
        batch_num_messages: 200,
    }
}

fn boot(config: ScalaProducerConfig) -> Bench {
    let (bench, done) = Bench::boot(ProducerConfig::Scala(config));
    assert!(done.is_empty(), "it connects when it first sends: {done:?}");
    bench
}

/// It has sent record 0 on connection 1, to broker 1.
fn warm(config: ScalaProducerConfig) -> Bench {
    let mut bench = boot(config);
    assert_eq!(bench.send([record(0)]), ["c0 connect b1"]);
    assert_eq!(bench.connected(0), ["c0 metadata"]);
    assert_eq!(bench.answer_metadata(), ["c0 close", "c1 connect b1"]);
    assert_eq!(bench.connected(1), ["c1 produce p0[0]"]);
    assert_eq!(bench.answer(ErrorCode::None), ["[0] acked @100"]);
    assert!(bench.producer.is_idle());
    bench.facts.clear();
    bench
}

fn exceptions(bench: &Bench) -> Vec<(ClientException, bool)> {
    let raised = bench.facts.iter().filter_map(|fact| match fact {
        TraceEvent::ExceptionRaised { exception, reached_application } => {
            Some((*exception, *reached_application))
        }
        _ => None,
    });
    raised.collect()
}

#[test]
fn each_send_waits_for_the_answer_to_the_one_before() {
    let mut bench = warm(scala());
    assert_eq!(bench.send([record(1), record(2)]), ["c1 produce p0[1]"]);
    assert_eq!(bench.answer(ErrorCode::None), ["[1] acked @101", "c1 produce p0[2]"]);
    assert_eq!(bench.answer(ErrorCode::None), ["[2] acked @102"]);
}

#[test]
fn after_every_error_it_refreshes_reconnects_and_tries_again_three_times() {
    let mut bench = warm(scala());
    bench.send([record(1)]);
    let (mut now, mut channel) = (0, 1);
    for _ in 0..3 {
        assert_eq!(bench.answer(ErrorCode::MessageTooLarge), [""; 0]);
        now += 100;
        bench.at(now - 1);
        assert_eq!(bench.until(now), [format!("c{} connect b1", channel + 1)]);
        bench.connected(channel + 1);
        let renewed = bench.answer_metadata();
        let [asked, old, next] = [channel + 1, channel, channel + 2];
        let expected =
            [format!("c{asked} close"), format!("c{old} close"), format!("c{next} connect b1")];
        assert_eq!(renewed, expected);
        channel = next;
        assert_eq!(bench.connected(channel), [format!("c{channel} produce p0[1]")]);
    }
    assert_eq!(bench.retries(), ["[1] MESSAGE_TOO_LARGE"; 3]);
    assert_eq!(bench.answer(ErrorCode::MessageTooLarge), [""; 0]);
    bench.until(now + 100);
    bench.connected(channel + 1);
    let done = bench.answer_metadata();
    assert_eq!(done.last().map(String::as_str), Some("[1] failed MESSAGE_TOO_LARGE"));
    let exception = ClientException::FailedToSendMessageException;
    assert_eq!(exceptions(&bench), [(exception, true)]);
    assert!(bench.producer.is_idle());
}

#[test]
fn silence_is_given_up_after_the_request_timeout_and_a_lost_connection_at_once() {
    let mut bench = warm(scala());
    bench.send([record(1)]);
    assert_eq!(bench.at(9_999).until(10_000), ["c1 close"]);
    bench.wire.clear();
    assert_eq!(bench.retries(), ["[1] request timeout"]);
    assert_eq!(bench.until(10_100), ["c2 connect b1"]);
    bench.connected(2);
    bench.answer_metadata();
    bench.wire.clear();
    bench.connected(3);
    assert_eq!(bench.reset(3), [""; 0]);
    assert_eq!(bench.retries(), ["[1] disconnected"]);
}

#[test]
fn without_acks_a_message_is_done_when_it_is_written_and_the_first_after_a_close_is_lost() {
    let mut bench = boot(ScalaProducerConfig { acks: Acks::None, ..scala() });
    bench.send([record(0)]);
    bench.connected(0);
    bench.answer_metadata();
    assert_eq!(bench.connected(1), ["c1 produce p0[0]", "[0] acked"]);
    bench.input(Input::Closed(ConnectionId(1), CloseReason::ClosedByPeer));
    assert_eq!(bench.send([record(1)]), ["[1] acked"], "the kernel takes it");
    bench.facts.clear();
    assert_eq!(bench.send([record(2)]), [""; 0], "the next write fails");
    assert_eq!(bench.retries(), ["[2] disconnected"]);
    assert_eq!(bench.until(100), ["c2 connect b1"]);
}

#[test]
fn a_partition_without_a_leader_fails_the_attempt_and_none_at_all_finds_no_partition() {
    let mut bench = warm(scala());
    bench.leaders = vec![(0, 1)];
    bench.send([record(1)]);
    bench.answer(ErrorCode::NotLeaderOrFollower);
    bench.until(100);
    bench.connected(2);
    assert_eq!(bench.answer_metadata(), ["c2 close"], "it knows no leader to connect to");
    assert_eq!(bench.retries(), ["[1] NOT_LEADER_OR_FOLLOWER", "[1] LEADER_NOT_AVAILABLE"]);
    assert_eq!(bench.until(200), ["c3 connect b1"]);
    bench.leaders = vec![(2, 2)];
    bench.connected(3);
    assert_eq!(bench.answer_metadata(), ["c3 close", "c4 connect b2"]);
    assert_eq!(bench.connected(4), ["c4 produce p0[1]"]);
}

#[test]
fn messages_without_a_key_keep_their_partition_until_the_metadata_are_refreshed() {
    let mut bench = boot(ScalaProducerConfig { acks: Acks::None, ..scala() });
    bench.leaders = vec![(1, 0); 8];
    bench.send([without_partition(0)]);
    bench.connected(0);
    bench.answer_metadata();
    let first = bench.connected(1);
    bench.wire.clear();
    let partition = first[0].split('[').next().expect("a line").to_owned();
    for sequence in 1..20 {
        let sent = bench.send([without_partition(sequence)]);
        bench.wire.clear();
        assert!(sent[0].starts_with(&partition), "{sent:?} after {first:?}");
    }
    let others = (0..30_u32).any(|round| {
        bench.until(600_001 * i64::from(round + 1));
        bench.send([without_partition(20 + round)]);
        bench.connected(2 * round + 2);
        bench.answer_metadata();
        let sent = bench.connected(2 * round + 3);
        bench.wire.clear();
        !sent[0].split_once(' ').expect("a line").1.starts_with(&partition["c1 ".len()..])
    });
    assert!(others, "it is drawn anew");
}

#[test]
fn keys_choose_by_the_hash_of_a_java_string() {
    assert_eq!(string_hash(b"abc"), 96_354);
    assert_eq!(string_hash(b"polygenelubricants"), 0, "Integer.MIN_VALUE has no absolute value");
    let hashes = ["key-0", "key-1", "key-2"].map(|key| string_hash(key.as_bytes()) % 3);
    assert_eq!(hashes, [hashes[0], (hashes[0] + 1) % 3, (hashes[0] + 2) % 3]);
    let mut bench = boot(ScalaProducerConfig { acks: Acks::None, ..scala() });
    bench.leaders = vec![(1, 0); 3];
    let key = Some(b"abc"[..].into());
    bench.send([NewRecord { key, ..without_partition(0) }]);
    bench.connected(0);
    bench.answer_metadata();
    assert_eq!(bench.connected(1)[0], "c1 produce p0[0]", "96,354 is a multiple of 3");
}

#[test]
fn an_asynchronous_producer_collects_and_its_application_hears_of_nothing() {
    let config =
        ScalaProducerConfig { asynchronous: true, batch_num_messages: 3, retries: 0, ..scala() };
    let mut bench = boot(config);
    assert_eq!(bench.send([record(0), record(1)]), [""; 0]);
    assert_eq!(bench.at(4_999).until(5_000), ["c0 connect b1"]);
    bench.connected(0);
    bench.answer_metadata();
    assert_eq!(bench.connected(1), ["c1 produce p0[0-1]"]);
    assert_eq!(bench.send([record(2), record(3), record(4), record(5)]), [""; 0]);
    assert_eq!(bench.answer(ErrorCode::None), ["c1 produce p0[2-4]"], "a full batch does not wait");
    bench.facts.clear();
    assert_eq!(bench.answer(ErrorCode::RequestTimedOut), [""; 0]);
    assert_eq!(bench.until(5_100), ["c2 connect b1"]);
    bench.connected(2);
    bench.answer_metadata();
    let exception = ClientException::FailedToSendMessageException;
    assert_eq!(exceptions(&bench), [(exception, false)]);
    assert!(bench.facts.iter().any(|fact| matches!(fact, TraceEvent::RecordsCompleted { .. })));
    assert_eq!(bench.until(10_100), ["c3 connect b1"], "5 s after the batch was dropped");
    assert_eq!(bench.input(Input::Call(ProducerCall::Close)), [""; 0]);
    assert_eq!(bench.connected(3), ["c3 produce p0[5]"]);
    assert_eq!(bench.answer(ErrorCode::None), ["c3 close", "closed"]);
}

#[test]
fn a_full_queue_drops_blocks_or_waits_as_it_is_told() {
    let full = ScalaProducerConfig {
        asynchronous: true,
        queue_max_messages: 1,
        batch_num_messages: 1,
        ..scala()
    };
    let send = |timeout: Option<SimDuration>| {
        let mut bench =
            boot(ScalaProducerConfig { queue_enqueue_timeout: timeout, ..full.clone() });
        let done = bench.send([record(0), record(1), record(2)]);
        (bench, done)
    };
    let (_, done) = send(None);
    assert_eq!(done, ["c0 connect b1"], "one is handled, one queued, one waits for ever");
    let (bench, done) = send(Some(SimDuration::ZERO));
    assert_eq!(done, ["c0 connect b1", "[2] failed QUEUE_FULL"]);
    assert_eq!(exceptions(&bench), [(ClientException::QueueFullException, true)]);
    let (mut bench, done) = send(Some(millis(50)));
    assert_eq!(done, ["c0 connect b1"]);
    assert_eq!(bench.at(49).until(50), ["[2] failed QUEUE_FULL"]);
}
