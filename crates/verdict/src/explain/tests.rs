//! Lives of records from hand-made traces.

use acklab_vocab::api::Acks;
use acklab_vocab::config::BalancedLibrary;
use acklab_vocab::ids::{
    BrokerId, ControllerEpoch, ControllerId, LeaderEpoch, NodeId, Offset, ProducerIndex, RecordId,
};
use acklab_vocab::time::SimDuration;
use acklab_vocab::trace::{
    BalanceOutcome, ClientException, CommitStyle, PartitionChangeReason, RebalanceReason,
    RemovalReason, TraceEvent, TruncationReason, ZooKeeperState,
};
use acklab_vocab::transaction::TransactionResult::{Abort, Commit};
use expect_test::{Expect, expect};

use super::*;
use crate::testing::{PARTITION, Trace, member, trace};

fn record(sequence: u32) -> RecordId {
    RecordId { producer: ProducerIndex(0), sequence }
}

fn check(trace: &Trace, sequence: u32, expected: &Expect) {
    let mut biographer = Biographer::new(record(sequence));
    trace.play(&mut biographer);
    expected.assert_eq(&biographer.finish(&trace.judge()).to_string());
}

fn failover() -> Trace {
    let mut trace = trace("3.9", Acks::Leader);
    trace.create(6).send(1, 0..4).append(1, 0..4).replicate(1, 2).replicate(1, 3);
    trace.high_watermark(1, 4).answer(1, 0, 0..4).ack(0..4).read(1);
    trace.send(1, 4..6).append(1, 4..6).answer(1, 4, 4..6).ack(4..6).at(2_000).kill(1);
    trace.at(9_412).elect(2, &[2, 3], PartitionChangeReason::BrokerFenced).lead(2).follow(3);
    trace.start(1).follow(1).truncate(1, 4, TruncationReason::LeaderEpoch);
    trace
}

#[test]
fn the_life_of_a_lost_record() {
    check(
        &failover(),
        5,
        &expect![[r#"
        shop#5

           0.001000 s  shop           handed to the producer by the application
           0.012000 s                 orders-0 is led by broker 1, epoch 0, ISR 1 2 3
           0.012000 s  shop           sent to broker 1 for orders-0, in a batch of 2 records
           0.013000 s  broker 1       appended by the leader at orders-0@5 (epoch 0) [on 1]
           0.014000 s  broker 1       answers success (acks=1)
           0.015000 s  shop           acked: the application is told of a success
           2.001000 s  broker 1       is killed
           9.413000 s  controller 100 broker 2 is elected for orders-0, epoch 1, ISR 2 3 (a broker was
                                      fenced)
           9.414000 s  broker 2       becomes leader of orders-0 (epoch 1) without the record
           9.416000 s  broker 1       starts again
           9.418000 s  broker 1       truncates from 6 to 4, where its log and the leader's part: its copy
                                      is gone [on no broker]

          LOST: acked before replication, leader failed over.
          Facts: it was appended by broker 1 at 0.013000 s; the producer was told its outcome at 0.015000 s;
          broker 2 was elected without it at 9.413000 s (epoch 1); broker 1 dropped the last copy at
          9.418000 s.
          Promise kept: acks=1 promises the leader's copy only.
          Prevention: acks=all with min.insync.replicas=2.
    "#]],
    );
}

#[test]
fn the_life_of_a_stored_record() {
    check(
        &failover(),
        1,
        &expect![[r#"
        shop#1

           0.001000 s  shop           handed to the producer by the application
           0.002000 s                 orders-0 is led by broker 1, epoch 0, ISR 1 2 3
           0.002000 s  shop           sent to broker 1 for orders-0, in a batch of 4 records
           0.003000 s  broker 1       appended by the leader at orders-0@1 (epoch 0) [on 1]
           0.004000 s  broker 2       copied by the follower at orders-0@1 (epoch 0) [on 1 2]
           0.005000 s  broker 1       learns that broker 2 has it
           0.006000 s  broker 3       copied by the follower at orders-0@1 (epoch 0) [on 1 2 3]
           0.007000 s  broker 1       learns that broker 3 has it
           0.008000 s  broker 1       the leader's high watermark passes it (4): committed, readers may see
                                      it
           0.009000 s  broker 1       answers success (acks=1)
           0.010000 s  shop           acked: the application is told of a success
           0.011000 s  audit          read at offset 1
           2.001000 s  broker 1       is killed
           9.413000 s  controller 100 broker 2 is elected for orders-0, epoch 1, ISR 2 3 (a broker was
                                      fenced)
           9.414000 s  broker 2       becomes leader of orders-0 (epoch 1) with the record
           9.416000 s  broker 1       starts again

          Nothing is wrong with it.
    "#]],
    );
}

#[test]
fn a_record_that_was_never_created_has_no_life() {
    check(
        &failover(),
        99,
        &expect![[r#"
        shop#99


          No such record was created in this run.
    "#]],
    );
}

#[test]
fn a_record_is_found_by_its_offset() {
    let mut trace = failover();
    trace.append(2, 0..2);
    let locate = |epoch: Option<u32>| {
        let mut locator = Locator::new(PARTITION, Offset(4), epoch.map(LeaderEpoch));
        trace.play(&mut locator);
        locator.finish()
    };
    assert_eq!(locate(None), Some(record(0)));
    assert_eq!(locate(Some(0)), Some(record(4)));
    assert_eq!(locate(Some(9)), None);
}

#[test]
fn a_record_is_told_which_faults_it_was_born_into() {
    let world = acklab_vocab::ids::NodeId(u16::MAX);
    let began = |fault, what: &str| TraceEvent::FaultBegan { fault, description: what.into() };
    let mut trace = trace("3.9", Acks::Leader);
    trace.fact(world, began(0, "slow disk")).fact(world, began(1, "cut"));
    trace.fact(world, TraceEvent::FaultEnded { fault: 0 }).create(1);
    trace.fact(world, TraceEvent::FaultEnded { fault: 1 });
    let mut biographer = Biographer::new(record(0));
    trace.play(&mut biographer);
    let life = biographer.finish(&trace.judge());
    let lines: Vec<_> = life.lines.iter().map(|line| (&line.place[..], &line.text[..])).collect();
    let expected = [
        ("shop", "handed to the producer by the application"),
        ("", "meanwhile: cut"),
        ("the world", "over: cut"),
    ];
    assert_eq!(lines, expected);
}

/// A consumer processes five records, commits two of them, and dies; another one goes on.
fn crash_before_commit() -> Trace {
    let mut trace = trace("3.9", Acks::All).consumers(CommitStyle::Auto);
    trace.create(5).send(1, 0..5).append(1, 0..5).high_watermark(1, 5).answer(1, 0, 0..5).ack(0..5);
    trace.generation(1, &[0, 1]).own(0, 1, 0).process(0, 0..2).commit(0, 1, 2).process(0, 2..5);
    trace.at(5_000).fact(member(0), TraceEvent::ProcessKilled);
    trace.at(50_000).remove(0, RemovalReason::SessionExpired);
    trace.rebalance(RebalanceReason::SessionExpired, 0).generation(2, &[1]).own(1, 2, 2);
    trace.process(1, 2..5).commit(1, 2, 5);
    trace
}

#[test]
fn the_life_of_a_reprocessed_record() {
    check(
        &crash_before_commit(),
        3,
        &expect![[r#"
        shop#3

           0.001000 s  shop           handed to the producer by the application
           0.002000 s                 orders-0 is led by broker 1, epoch 0, ISR 1 2 3
           0.002000 s  shop           sent to broker 1 for orders-0, in a batch of 5 records
           0.003000 s  broker 1       appended by the leader at orders-0@3 (epoch 0) [on 1]
           0.004000 s  broker 1       the leader's high watermark passes it (5): committed, readers may see
                                      it
           0.005000 s  broker 1       answers success (acks=all)
           0.006000 s  shop           acked: the application is told of a success
           0.010000 s  billing-0      owns orders-0 (generation 1)
           0.011000 s  billing-0      reads orders-0 from 0, the committed offset: the record is to come
           0.017000 s  billing-0      poll() returns it, at offset 3
           0.018000 s  billing-0      PROCESSED at offset 3
           5.001000 s  billing-0      is killed
          50.001000 s  broker 1       removes billing-0 from the group: silent for its session
          50.002000 s  broker 1       billing rebalances: session expired
          50.006000 s  billing-1      owns orders-0 (generation 2)
          50.007000 s  billing-1      reads orders-0 from 2, the committed offset: the record is to come
          50.008000 s  billing-1      poll() returns it, at offset 3
          50.009000 s  billing-1      PROCESSED again at offset 3
          50.011000 s  broker 1       billing's committed offset passes it: 5, by billing-1

          REPROCESSED by billing: crash before commit.
          Facts: it was appended by broker 1 at 0.003000 s; billing-0 processed it at 0.018000 s; billing-0
          lost its partition at 5.001000 s; billing-1 went to offset 2 at 50.007000 s; billing-1 processed
          it again at 50.009000 s.
          Promise kept: a commit after processing promises at least once.
          Prevention: frequent commits make it fewer; transactions, or a sink that recognises repetitions,
          none.
    "#]],
    );
}

#[test]
fn a_life_may_leave_other_applications_out() {
    let mut trace = crash_before_commit();
    trace.application("audit", CommitStyle::Never);
    let audit = Some(acklab_vocab::ids::GroupIndex(1));
    let mut biographer = Biographer::new(record(3)).of_group(audit);
    trace.play(&mut biographer);
    let life = biographer.finish(&trace.judge()).to_string();
    assert!(!life.contains("PROCESSED"), "{life}");
}

#[test]
fn the_life_of_a_record_with_two_owners() {
    let mut trace = trace("0.8.2", Acks::All).balanced(BalancedLibrary::Pykafka, CommitStyle::Auto);
    trace.session(NodeId(0), 0x1).session(member(0), 0xa).session(member(1), 0xb);
    trace.attempt(0, 0, BalanceOutcome::Done).claim(0).read_on(0, 0);
    trace.create(4).send(1, 0..4).append(1, 0..4).replicate(1, 2).replicate(1, 3);
    trace.high_watermark(1, 4).answer(1, 0, 0..4).ack(0..4);
    trace.fact(member(0), TraceEvent::ProcessPaused).at(8_000).session_expires(0, 0xa);
    trace.attempt(1, 0, BalanceOutcome::Owned(PARTITION)).attempt(1, 1, BalanceOutcome::Done);
    trace.claim(1).read_on(1, 0).process(1, 0..4);
    let paused_for = SimDuration::from_secs(8);
    trace.fact(member(0), TraceEvent::ProcessResumed { paused_for }).process(0, 0..4);
    trace.fact(member(0), TraceEvent::ZooKeeperStateChanged { state: ZooKeeperState::Expired });
    trace.raise(member(0), ClientException::SessionExpiredError, true).give_up(0, false);
    trace.session_ends(NodeId(0), 0x1, true);
    let (controller, epoch) = (ControllerId(2), ControllerEpoch(7));
    trace.fact(NodeId(1), TraceEvent::ControllerElected { controller, epoch });
    trace.fact(NodeId(1), TraceEvent::BrokerFenced { broker: BrokerId(1) });
    trace.store_offset(1, 4);
    check(
        &trace,
        2,
        &expect![[r#"
        shop#2

           0.008000 s  shop           handed to the producer by the application
           0.009000 s                 orders-0 is led by broker 1, epoch 0, ISR 1 2 3
           0.009000 s                 billing-0 owns orders-0
           0.009000 s  shop           sent to broker 1 for orders-0, in a batch of 4 records
           0.010000 s  broker 1       appended by the leader at orders-0@2 (epoch 0) [on 1]
           0.011000 s  broker 2       copied by the follower at orders-0@2 (epoch 0) [on 1 2]
           0.012000 s  broker 1       learns that broker 2 has it
           0.013000 s  broker 3       copied by the follower at orders-0@2 (epoch 0) [on 1 2 3]
           0.014000 s  broker 1       learns that broker 3 has it
           0.015000 s  broker 1       the leader's high watermark passes it (4): committed, readers may see
                                      it
           0.016000 s  broker 1       answers success (acks=all)
           0.017000 s  shop           acked: the application is told of a success
           0.018000 s  billing-0      is paused
           8.001000 s  zookeeper 1    no longer names billing-0 the owner of orders-0: its session has
                                      expired
           8.003000 s  billing-1      cannot take orders-0, which another consumer owns (attempt 1)
           8.005000 s  zookeeper 1    names billing-1 the owner of orders-0
           8.006000 s  billing-1      begins to read orders-0
           8.007000 s  billing-1      reads orders-0 from 0, the committed offset: the record is to come
           8.008000 s  billing-1      poll() returns it, at offset 2
           8.009000 s  billing-1      PROCESSED at offset 2
           8.010000 s  billing-0      runs again after a pause of 8 s
           8.011000 s  billing-0      poll() returns it, at offset 2
           8.012000 s  billing-0      PROCESSED again at offset 2
           8.013000 s  billing-0      learns that its ZooKeeper session has expired
           8.014000 s  billing-0      raises SessionExpiredError
           8.015000 s  billing-0      no longer reads orders-0
           8.016000 s  zookeeper 1    lets the session of broker 1 expire
           8.017000 s  broker 2       has won the race for the controller (epoch 7)
           8.018000 s  broker 2       as controller takes broker 1 for dead
           8.019000 s  zookeeper 1    billing's committed offset passes it: 4, by billing-1

          REPROCESSED by billing: its consumer's ZooKeeper session had expired, and it went on beside the
          partition's next owner.
          Facts: it was appended by broker 1 at 0.010000 s; billing-1 processed it at 8.009000 s; billing-0
          lost its partition at 8.001000 s; billing-1 went to offset 0 at 8.007000 s; billing-0 processed it
          again at 8.012000 s.
          Promise kept: a group without a coordinator promises one owner by ZooKeeper, not one reader.
          Prevention: a ZooKeeper session longer than any pause of the consumer; a group coordinator (Kafka
          0.9).
    "#]],
    );
}

#[test]
fn a_record_processed_after_others_in_one_go_has_its_own_time() {
    let trace = in_two_goes();
    let mut biographer = Biographer::new(record(4));
    trace.play(&mut biographer);
    let life = biographer.finish(&trace.judge());
    let times = |what: &str| {
        let of = life.lines.iter().filter(|line| line.text.starts_with(what));
        of.map(|line| format!("{:#}", line.at)).collect::<Vec<_>>()
    };
    let [first, again] = [times("PROCESSED at"), times("PROCESSED again")];
    let facts = life.ending.iter().find(|text| text.starts_with("Facts")).unwrap();
    assert!(facts.contains(&format!("billing-0 processed it at {};", first[0])), "{life}");
    assert!(facts.contains(&format!("billing-1 processed it again at {}.", again[0])), "{life}");
}

/// As [`crash_before_commit`], but each consumer processes in two goes.
fn in_two_goes() -> Trace {
    let mut trace = trace("3.9", Acks::All).consumers(CommitStyle::Auto);
    trace.create(5).send(1, 0..5).append(1, 0..5).high_watermark(1, 5).answer(1, 0, 0..5).ack(0..5);
    trace.generation(1, &[0, 1]).own(0, 1, 0).process(0, 0..2).commit(0, 1, 2).process(0, 2..4);
    trace.process(0, 4..5).at(5_000).fact(member(0), TraceEvent::ProcessKilled);
    trace.at(50_000).remove(0, RemovalReason::SessionExpired);
    trace.rebalance(RebalanceReason::SessionExpired, 0).generation(2, &[1]).own(1, 2, 2);
    trace.process(1, 2..4).process(1, 4..5).commit(1, 2, 5);
    trace
}

#[test]
fn a_consumer_whose_transaction_is_aborted_has_processed_in_vain() {
    let mut trace = trace("3.9", Acks::All).consumers(CommitStyle::Auto);
    trace.create(3).send(1, 0..3).append(1, 0..3).high_watermark(1, 3).answer(1, 0, 0..3).ack(0..3);
    trace.generation(1, &[0, 1]).own(0, 1, 0).begin(member(0)).process(0, 0..3);
    trace.told(member(0), Abort).begin(member(0)).told(member(0), Commit);
    let mut biographer = Biographer::new(record(1));
    trace.play(&mut biographer);
    let told: Vec<String> = biographer.lines().iter().map(|line| line.text.clone()).collect();
    let ends: Vec<&str> =
        told.iter().map(String::as_str).filter(|text| text.contains("transaction")).collect();
    assert_eq!(ends, ["its transaction is aborted, and the processing of the record with it"]);
}
