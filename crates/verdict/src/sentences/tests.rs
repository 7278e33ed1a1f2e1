//! Facts of a hand-made history, told one by one.

use acklab_vocab::api::Acks;
use acklab_vocab::config::BalancedLibrary;
use acklab_vocab::ids::{BrokerId, ControllerEpoch, ControllerId, NodeId};
use acklab_vocab::trace::{
    BalanceOutcome, ClientException, CommitStyle, Observer, PartitionChangeReason, RebalanceReason,
    RemovalReason, RunHeader, Stamped, TraceEvent, TruncationReason, ZooKeeperState,
};
use acklab_vocab::zookeeper::ZooKeeperError;
use expect_test::{Expect, expect};

use super::told;
use crate::testing::{PARTITION, Trace, member, trace};

/// Writes down what is told of every fact.
#[derive(Default)]
struct Teller {
    header: Option<RunHeader>,
    text: String,
}

impl Observer for Teller {
    fn begin(&mut self, header: &RunHeader) {
        self.header = Some(header.clone());
    }

    fn observe(&mut self, stamped: &Stamped) {
        let header = self.header.as_ref().expect("the run has begun");
        self.text.push_str(&told(header, stamped));
        self.text.push('\n');
    }
}

fn check(trace: &Trace, expected: &Expect) {
    let mut teller = Teller::default();
    trace.play(&mut teller);
    expected.assert_eq(&teller.text);
}

#[test]
fn a_failover_is_told_fact_by_fact() {
    let mut trace = trace("3.9", Acks::Leader);
    trace.create(4).send(1, 0..4).append(1, 0..4).replicate(1, 2).high_watermark(1, 4);
    trace.answer(1, 0, 0..4).ack(0..4).kill(1);
    trace.elect(2, &[2, 3], PartitionChangeReason::BrokerFenced).lead(2).follow(3);
    trace.start(1).follow(1).truncate(1, 2, TruncationReason::LeaderEpoch);
    check(
        &trace,
        &expect![[r#"
            controller 100 sets orders-0 to leader 1, epoch 0, ISR 1 2 3 (created)
            broker 1 leads orders-0 from now on (epoch 0)
            broker 2 follows broker 1 on orders-0 from now on (epoch 0)
            broker 3 follows broker 1 on orders-0 from now on (epoch 0)
            shop is handed 4 records from shop#0
            shop sends 4 records from shop#0 to broker 1, for orders-0
            broker 1 appends 4 records from shop#0 at orders-0@0 (epoch 0)
            broker 2 copies 4 records from shop#0 at orders-0@0 (epoch 0)
            broker 1 learns that broker 2 has orders-0 up to 4
            broker 1 as leader moves the high watermark of orders-0 to 4
            broker 1 answers success (acks=1) for 4 records from shop#0 in orders-0
            shop reports 4 records from shop#0 as acked
            broker 1 is killed
            controller 100 sets orders-0 to leader 2, epoch 1, ISR 2 3 (a broker was fenced)
            broker 2 leads orders-0 from now on (epoch 1)
            broker 3 follows broker 2 on orders-0 from now on (epoch 1)
            broker 1 starts again
            broker 1 follows broker 2 on orders-0 from now on (epoch 1)
            broker 1 truncates orders-0 from 4 to 2, where its log and the leader's part
        "#]],
    );
}

#[test]
fn consumers_are_told_fact_by_fact() {
    let mut trace = trace("3.9", Acks::All).consumers(CommitStyle::Auto);
    trace.create(5).append(1, 0..5).generation(1, &[0, 1]).own(0, 1, 0).process(0, 0..2);
    trace.commit(0, 1, 2).remove(0, RemovalReason::SessionExpired);
    trace.rebalance(RebalanceReason::SessionExpired, 0).give_up(1, true);
    check(
        &trace,
        &expect![[r#"
            controller 100 sets orders-0 to leader 1, epoch 0, ISR 1 2 3 (created)
            broker 1 leads orders-0 from now on (epoch 0)
            broker 2 follows broker 1 on orders-0 from now on (epoch 0)
            broker 3 follows broker 1 on orders-0 from now on (epoch 0)
            broker 1 leads __consumer_offsets-0 from now on (epoch 0)
            shop is handed 5 records from shop#0
            broker 1 appends 5 records from shop#0 at orders-0@0 (epoch 0)
            broker 1 begins generation 1 of billing with 2 members
            broker 1 has stored the assignment of billing (generation 1)
            broker 1 has billing in state stable (generation 1)
            billing-0 owns orders-0
            billing-0 begins at the committed offset orders-0@0
            billing-0 is given orders-0 from 0 to 2
            billing-0 has processed orders-0 from 0 to 2
            broker 1 appends committed offsets at __consumer_offsets-0@0 (epoch 0)
            broker 1 sets the committed offset of billing to orders-0@2
            broker 1 accepts billing-0's commit of orders-0@2
            broker 1 removes billing-0 from billing: silent for its session
            broker 1 begins a rebalance of billing: session expired
            billing-1 has lost orders-0
        "#]],
    );
}

#[test]
fn the_zookeeper_era_is_told_fact_by_fact() {
    let mut trace =
        trace("2.0", Acks::Leader).balanced(BalancedLibrary::Pykafka, CommitStyle::Auto);
    let (server, broker) = (trace.server(), NodeId(1));
    trace.facts.clear();
    trace.zookeeper_led(1, 3).session(member(0), 0xa).claim(0);
    trace.attempt(0, 0, BalanceOutcome::Done).read_on(0, 0).store_offset(0, 4);
    trace
        .fact(member(0), TraceEvent::ZooKeeperStateChanged { state: ZooKeeperState::Disconnected });
    trace.session_expires(0, 0xa);
    trace.fact(member(0), TraceEvent::ZooKeeperStateChanged { state: ZooKeeperState::Expired });
    trace.attempt(1, 2, BalanceOutcome::Owned(PARTITION));
    trace.attempt(1, 3, BalanceOutcome::ZooKeeperFailed(ZooKeeperError::ConnectionLoss));
    trace.raise(member(1), ClientException::PartitionOwnedError, false);
    trace.raise(member(1), ClientException::ConsumerStoppedException, true);
    trace.session_ends(member(1), 0xb, false);
    let (controller, epoch) = (ControllerId(2), ControllerEpoch(7));
    trace.fact(broker, TraceEvent::ControllerElected { controller, epoch });
    trace.fact(broker, TraceEvent::BrokerFenced { broker: BrokerId(1) });
    let state = trace.state().clone();
    let reason = PartitionChangeReason::BrokerFenced;
    trace.fact(server, TraceEvent::PartitionChanged { state, reason });
    trace.fact(broker, TraceEvent::ControllerResigned { epoch });
    check(
        &trace,
        &expect![[r#"
        zookeeper 1 leads the ensemble from now on (epoch 3)
        zookeeper 1 opens session 0xa of billing-0 (timeout 6 s)
        zookeeper 1 names billing-0 the owner of orders-0 in billing
        billing-0 has its share of the partitions (attempt 1)
        billing-0 owns orders-0
        billing-0 begins at the committed offset orders-0@0
        zookeeper 1 stores the committed offset of billing, orders-0@4, for billing-0
        billing-0 has lost its connection to ZooKeeper
        zookeeper 1 no longer names billing-0 the owner of orders-0 in billing: its session has expired
        zookeeper 1 lets session 0xa of billing-0 expire
        billing-0 learns that its ZooKeeper session has expired
        billing-1 cannot take orders-0, which another consumer owns (attempt 3)
        billing-1 cannot take its share: ZooKeeper, ConnectionLoss (attempt 4)
        billing-1 logs PartitionOwnedError
        billing-1 raises ConsumerStoppedException
        zookeeper 1 closes session 0xb of billing-1
        broker 2 has won the race for the controller (epoch 7)
        broker 2 as controller takes broker 1 for dead
        zookeeper 1 stores orders-0: leader 1, epoch 0, ISR 1 2 3 (a broker was fenced)
        broker 2 is the controller no more (epoch 7)
    "#]],
    );
}
