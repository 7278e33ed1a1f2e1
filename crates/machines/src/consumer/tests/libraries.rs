//! librdkafka and kafka-python where they differ.

use super::*;
use CommitTrigger::AutoInterval;
use acklab_vocab::config::ConsumerLibrary;

fn library(library: ConsumerLibrary) -> MemberConfig {
    MemberConfig { library, ..auto_committing() }
}

#[test]
fn librdkafka_commits_what_it_has_handed_out_while_the_application_works() {
    let mut bench = Bench::stable(library(ConsumerLibrary::Librdkafka));
    bench.read(0, 10);
    // All offsets are known to be committed but that of the messages in hand.
    let news = [at(P0, 10, Some(4))];
    bench.pass(secs(5));
    assert_eq!(bench.did(), [heartbeat(1), sent(AutoInterval, &news), commit(1, &news)]);
    bench.answer_heartbeat(ErrorCode::None);
    bench.answer_commit(ErrorCode::None);
    assert_eq!(bench.did(), [completed(AutoInterval, &news, None)]);
    // Nothing new, nothing to commit.
    bench.pass(secs(5));
    assert_eq!(bench.did(), [heartbeat(1), heartbeat(1)]);
}

/// `enable.auto.offset.store` false: the application stores what it has processed, so that the
/// message in hand is not committed before.
#[test]
fn librdkafka_commits_what_has_been_processed_if_it_does_not_store_by_itself() {
    let config = MemberConfig { auto_offset_store: false, ..library(ConsumerLibrary::Librdkafka) };
    let mut bench = Bench::stable(config);
    bench.read(0, 10);
    bench.pass(secs(5));
    assert_eq!(bench.did(), [heartbeat(1)], "nothing is processed yet");
    bench.answer_heartbeat(ErrorCode::None);
    bench.poll(0);
    bench.did();
    let news = [at(P0, 10, Some(4))];
    bench.pass(secs(5));
    let did = bench.did();
    assert!(did.contains(&commit(1, &news)), "{did:?}");
}

/// Nothing is stored of a partition of which nothing was handed out: unlike Kafka's client,
/// librdkafka does not commit where it began.
#[test]
fn librdkafka_commits_nothing_of_what_it_has_not_read() {
    let bench_of = |of| {
        let mut bench = Bench::stable(library(of));
        bench.poll(0);
        bench.did();
        bench.pass(secs(5));
        bench.poll(0);
        bench.did()
    };
    let commits =
        |did: &[Did]| did.iter().any(|it| matches!(it, Did::State(TraceEvent::CommitSent { .. })));
    assert!(commits(&bench_of(ConsumerLibrary::Java)));
    assert!(!commits(&bench_of(ConsumerLibrary::Librdkafka)));
}

#[test]
fn kafka_python_commits_inside_poll_and_waits_there_for_the_group() {
    let mut bench = Bench::new(setup(library(ConsumerLibrary::KafkaPython)));
    bench.poll(100);
    bench.did();
    bench.pass(secs(3));
    assert_eq!(bench.did(), []);
    let mut bench = Bench::stable(library(ConsumerLibrary::KafkaPython));
    bench.read(0, 10);
    bench.pass(secs(5));
    assert_eq!(bench.did(), [heartbeat(1)]);
    bench.poll(100);
    assert!(matches!(bench.did()[0], Did::State(TraceEvent::CommitSent { .. })));
}
