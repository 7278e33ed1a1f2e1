//! Facts of a hand-made history, told one by one.

use acklab_vocab::api::Acks;
use acklab_vocab::trace::{
    CommitStyle, Observer, PartitionChangeReason, RebalanceReason, RemovalReason, RunHeader,
    Stamped, TruncationReason,
};
use expect_test::{Expect, expect};

use super::told;
use crate::testing::{Trace, trace};

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
