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
