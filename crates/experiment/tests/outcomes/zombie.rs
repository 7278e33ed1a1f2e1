//! A leader that has been deposed and does not know: cut off, or asleep.

use crate::support::{History, SEEDS, between, histories, secs, within};
use acklab_verdict::{AnomalyKind, Cause};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::LeaderEpoch;
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::{PartitionChangeReason, RetryReason, TraceEvent};

/// The leader and its producer here, everybody else there.
fn cut(acks: &str, rate: u32, lasting: u32) -> String {
    format!(
        r#"
        duration: "{}s",
        producers: [(name: "shop", topic: "orders", rate: {rate}, size: 100,
                     properties: {{"acks": "{acks}", "linger.ms": "0"}})],
        faults: [(at: "5s", fault: Partition([Broker(1), Producer("shop")], Rest), for: "{lasting}s")],
        "#,
        lasting + 10
    )
}

/// When broker 1 heard that it no longer leads.
fn deposed(history: &History) -> SimTime {
    let node = history.node_of(1);
    let heard = history.all(|event| match event {
        TraceEvent::BecameFollower { leader_epoch, .. } => {
            (*leader_epoch >= LeaderEpoch(1)).then_some(())
        }
        _ => None,
    });
    heard.into_iter().find(|it| it.1 == node && it.0 > SimTime::ZERO).unwrap().0
}

/// Outcome 4, rule 0.4, case R9: the leader does not fence itself. It acks for all of the cut, and everything since is lost.
#[test]
fn a_leader_cut_off_with_its_client_loses_everything_from_the_cut_until_it_hears_of_its_successor()
{
    for lasting in [12, 24] {
        for history in histories(&cut("1", 200, lasting), SEEDS) {
            let election = history.change(PartitionChangeReason::BrokerFenced);
            within("election after the cut", between(secs(5.0), election.at), 6.9..=9.2);
            assert_eq!((election.leader, election.isr), (Some(2), vec![2, 3]));

            let deposed = deposed(&history);
            let node = history.node_of(1);
            let appends = history.appends().into_iter().filter(|it| it.node == node);
            let zombie = appends.filter(|it| it.at > election.at && it.epoch == LeaderEpoch(0));
            let expected = 200.0 * between(election.at, deposed);
            within(
                "appended as a zombie",
                zombie.count() as f64,
                expected * 0.95..=expected * 1.05,
            );

            // It hears of it when TCP tries again: that takes at most as long as the cut did.
            let heard = between(secs(f64::from(5 + lasting)), deposed);
            within("heard of it after healing", heard, 0.0..=f64::from(lasting));
            let expected = 200.0 * between(secs(5.0), deposed);
            within("lost", history.lost() as f64, expected - 10.0..=expected + 10.0);
            let zombie = history.count_of(AnomalyKind::Lost, Cause::AckedByZombieLeader);
            let before = history.count_of(AnomalyKind::Lost, Cause::AckedBeforeReplication);
            assert_eq!(zombie + before, history.lost());
            let expected = 200.0 * between(secs(5.0), election.at);
            within("acked before the election", before as f64, expected - 10.0..=expected + 10.0);
        }
    }
}

/// Outcome 5, case P8: with acks=all the same cut loses nothing, and nothing is acked during it. Where it lasts for longer
/// than request.timeout.ms the client gives its requests up; then, and when the cut is over, it sends to the new leader.
#[test]
fn a_leader_cut_off_with_its_client_acks_nothing_with_acks_all() {
    for history in histories(&cut("all", 50, 40), SEEDS) {
        let records = &history.outcome.verdict.records;
        assert_eq!((records.lost, records.duplicated, records.failed), (0, 0, 0));
        let (from, to) = (secs(5.01), secs(45.0));
        assert!(!history.acks().iter().any(|it| it.0 > from && it.0 < to));
        let timed_out = history.first(|event| {
            matches!(
                event,
                TraceEvent::BatchRetried { reason: RetryReason::RequestTimeout, .. }
                    | TraceEvent::BatchRetried {
                        reason: RetryReason::Error(ErrorCode::RequestTimedOut),
                        ..
                    }
            )
        });
        within(
            "the request that was given up",
            between(secs(5.0), timed_out.unwrap()),
            29.9..=30.2,
        );
        // Rule 0.1: of the five requests in flight the leader reads one, and the others when that has been answered.
        let node = history.node_of(1);
        let of_zombie = |it: &&crate::support::Append| it.node == node && it.at > from;
        let appends = history.appends();
        let surplus: usize = appends.iter().filter(of_zombie).map(|it| it.records.len()).sum();
        assert!((1..=5 * 160).contains(&surplus), "{surplus} records in at most 5 batches");
    }
}

/// Case R27: with clients on both sides, those beside the old leader write into the branch that is cut off later.
#[test]
fn only_the_clients_beside_the_old_leader_lose() {
    let fields = r#"
        duration: "30s",
        producers: [
            (name: "inside", topic: "orders", rate: 100, properties: {"acks": "1", "linger.ms": "0"}),
            (name: "outside", topic: "orders", rate: 100, properties: {"acks": "1", "linger.ms": "0"}),
        ],
        faults: [(at: "5s", fault: Partition([Broker(1), Producer("inside")], Rest), for: "15s")],
    "#;
    for history in histories(fields, SEEDS) {
        let producers = &history.outcome.verdict.producers;
        let expected = 100.0 * between(secs(5.0), deposed(&history));
        within("inside", producers["inside"].lost as f64, expected - 8.0..=expected + 8.0);
        // Acked within a packet's time of the cut.
        assert!(producers["outside"].lost <= 1, "{}", producers["outside"].lost);
    }
}

fn pause(acks: &str, lasting: u32) -> String {
    format!(
        r#"
        duration: "25s",
        producers: [(name: "shop", count: 5, topic: "orders", rate: 100, size: 500,
                     properties: {{"acks": "{acks}", "linger.ms": "0"}})],
        faults: [(at: "5s", fault: Pause(Broker(1)), for: "{lasting}s")],
        "#
    )
}

/// Outcome 8, below the session timeout: late, and nothing else.
#[test]
fn a_pause_of_the_leader_below_the_session_timeout_costs_its_length_in_latency() {
    for acks in ["1", "all"] {
        for history in histories(&pause(acks, 6), SEEDS) {
            let verdict = &history.outcome.verdict;
            assert_eq!((verdict.records.lost, verdict.records.duplicated), (0, 0));
            assert_eq!((verdict.cluster.elections, verdict.cluster.fencings), (0, 0));
            let longest = verdict.produce_latency.summary.max as f64 / 1e6;
            within("longest latency", longest, 5.9..=6.5);
        }
    }
}

/// Outcome 8, beyond the session timeout, case R19. The sleeper appends and acks what its sockets held, and cuts it.
///
/// The prediction, min(rate x pause, connections x q x b), is short: as soon as the first requests are acked the clients send
/// the rest of what they have kept. It takes them a few round trips, and the broker 20 ms to hear of its deposition: the
/// entries of the metadata log that it has missed, and one fetch more before it knows them committed. So all is lost,
/// but where it hears at once: `acklab run gc-pause-leader --variant 12s --seed 38` loses 57, of 6,000.
#[test]
fn a_pause_of_the_leader_beyond_the_session_timeout_loses_what_is_sent_until_it_has_heard() {
    for history in histories(&pause("1", 12), 0..10) {
        let election = history.change(PartitionChangeReason::BrokerFenced);
        within("election", between(secs(5.0), election.at), 6.9..=9.2);
        let heard = between(secs(17.0), deposed(&history));
        within("heard after waking", heard, 0.0..=0.52);
        let expected = 500.0 * (12.0 + heard);
        within("lost", history.lost() as f64, expected - 10.0..=expected + 10.0);
    }
    for history in histories(&pause("all", 12), SEEDS) {
        let records = &history.outcome.verdict.records;
        assert_eq!((records.lost, records.duplicated, records.failed), (0, 0, 0));
    }
}

/// Case R18: a follower that stands still for less than its session holds acks=all up for as long; the ISR stays. Beyond it,
/// the controller fences the follower after 7 to 9 s, long before replica.lag.time.max.ms.
#[test]
fn a_pause_of_a_follower_holds_acks_all_up_until_it_ends_or_the_follower_is_fenced() {
    for (lasting, isr_changes) in [(6, false), (15, true)] {
        let fields = pause("all", lasting).replace("Pause(Broker(1))", "Pause(Broker(3))");
        for history in histories(&fields, SEEDS) {
            let verdict = &history.outcome.verdict;
            assert_eq!((verdict.records.lost, verdict.cluster.elections), (0, 0));
            let longest = verdict.produce_latency.summary.max as f64 / 1e6;
            if isr_changes {
                let change = history.change(PartitionChangeReason::BrokerFenced);
                assert_eq!(change.isr, [1, 2]);
                within("longest latency", longest, 6.9..=9.8);
            } else {
                assert!(history.changes().is_empty());
                within("longest latency", longest, 5.9..=6.6);
            }
        }
    }
}
