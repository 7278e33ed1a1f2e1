//! Transactions, end to end: section 3.7, outcome 39, cases T1 to T7.

use crate::support::{History, SEEDS, between, histories, secs, within};
use acklab_verdict::{AnomalyKind, Cause};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::TraceEvent;
use acklab_vocab::transaction::TransactionState;
use std::collections::BTreeMap;

const VERSIONS: [&str; 3] = ["3.5", "3.9", "4.1"];

/// What coordinators stored of transactional ids.
fn states(history: &History) -> Vec<(SimTime, TransactionState, bool)> {
    let states = history.all(|event| match event {
        TraceEvent::TransactionStateChanged { state, by_coordinator, .. } => {
            Some((*state, *by_coordinator))
        }
        _ => None,
    });
    states.into_iter().map(|(at, _, (state, by))| (at, state, by)).collect()
}

/// Outcome 39: a transactional producer dies with a transaction open, while another goes on. Nobody who reads committed
/// records sees anything of either until the coordinator has aborted it: `transaction.timeout.ms` after it began, and up
/// to one scan of 10 s later.
#[test]
fn a_hung_transaction_holds_read_committed_up_until_its_timeout_and_one_scan() {
    for kafka in VERSIONS {
        let fields = format!(
            r#"
            kafka: "{kafka}", duration: "30s", settle: "3min",
            producers: [
                (name: "hung", topic: "orders", rate: 10,
                 properties: {{"transactional.id": "hung", "linger.ms": "0",
                               "transaction.timeout.ms": "60000"}}, transaction: (bursts: 1000)),
                (name: "shop", topic: "orders", rate: 20, properties: {{"linger.ms": "0"}}),
            ],
            groups: [(id: "billing", topics: ["orders"],
                      properties: {{"isolation.level": "read_committed"}})],
            faults: [(at: "10s", fault: Kill(Producer("hung")), permanent: true)],
            "#
        );
        for history in histories(&fields, SEEDS) {
            let states = states(&history);
            let begun = states.iter().find(|it| it.1 == TransactionState::Ongoing).unwrap().0;
            let aborted = states.iter().find(|it| {
                matches!(it.1, TransactionState::PrepareAbort | TransactionState::PrepareEpochFence)
            });
            let (aborted_at, _, by_coordinator) = *aborted.expect("it is aborted");
            assert!(by_coordinator, "{kafka}, seed {}", history.seed);
            within("aborted after", between(begun, aborted_at), 60.0..=70.1);
            let processed = history.all(|event| match event {
                TraceEvent::RecordsProcessed { from, .. } => Some(*from),
                _ => None,
            });
            let stuck = processed.iter().filter(|it| it.0 > begun && it.0 < aborted_at).count();
            assert_eq!(stuck, 0, "{kafka}, seed {}: LSO", history.seed);
            let next = processed.iter().find(|it| it.0 > aborted_at).unwrap().0;
            within("read on", between(aborted_at, next), 0.0..=0.6);
            let group = history.group("billing");
            assert_eq!((group.counts.skipped, group.counts.pending), (0, 0));
            assert_eq!(group.counts.aborted_reads, 0);
            // 20 records a second from the beginning to the end of the workload, and those of the dead.
            within("lag", group.behind as f64, 595.0..=705.0);
        }
    }
}

/// Section 3.7: a second process under the same transactional id fences the first, whose open transaction is aborted; what
/// the first writes from then on is refused, and it stops. (It is started again a second later, and does the same to the other.)
#[test]
fn a_second_producer_under_the_same_id_fences_the_first() {
    for kafka in VERSIONS {
        let fields = format!(
            r#"
            kafka: "{kafka}", duration: "15s",
            producers: [
                (name: "first", topic: "orders", rate: 20, transaction: (bursts: 10),
                 properties: {{"transactional.id": "copy", "linger.ms": "0"}}),
                (name: "second", topic: "orders", rate: 20, from: "6s", transaction: (bursts: 10),
                 properties: {{"transactional.id": "copy", "linger.ms": "0"}}),
            ],
            readers: [(name: "audit", topics: ["orders"],
                       properties: {{"isolation.level": "read_committed"}})],
            "#
        );
        for history in histories(&fields, SEEDS) {
            let records = &history.outcome.verdict.records;
            assert_eq!((records.lost, records.duplicated, records.phantom), (0, 0, 0), "{kafka}");
            let producers = &history.outcome.verdict.producers;
            assert!(producers["first"].acked > 0 && producers["second"].acked > 0);
            let fenced = history.all(|event| match event {
                TraceEvent::TransactionEnded { error, .. } if !error.is_none() => Some(*error),
                _ => None,
            });
            let known = [ErrorCode::ProducerFenced, ErrorCode::InvalidProducerEpoch];
            assert!(!fenced.is_empty() && fenced.iter().all(|it| known.contains(&it.2)));
        }
    }
}

/// T7: who reads uncommitted records sees those of aborted transactions, at once; who reads committed ones never does.
#[test]
fn read_uncommitted_sees_aborted_transactions() {
    for kafka in VERSIONS {
        let fields = format!(
            r#"
            kafka: "{kafka}", duration: "20s",
            producers: [(name: "shop", topic: "orders", rate: 50, transaction: (bursts: 5, abort: 0.3),
                         properties: {{"transactional.id": "shop", "linger.ms": "0"}})],
            groups: [
                (id: "careful", topics: ["orders"], properties: {{"isolation.level": "read_committed"}}),
                (id: "careless", topics: ["orders"]),
            ],
            "#
        );
        for history in histories(&fields, SEEDS) {
            let verdict = &history.outcome.verdict;
            let aborted = verdict.records.aborted;
            // 200 transactions of 5 records, of which three in ten are aborted: 300 records, and four standard errors.
            within("aborted", aborted as f64, 170.0..=430.0);
            let [careful, careless] = ["careful", "careless"].map(|it| history.group(it).counts);
            assert_eq!((careful.aborted_reads, careful.processed), (0, verdict.records.stored));
            assert_eq!(careless.aborted_reads, aborted, "{kafka}, seed {}", history.seed);
            assert_eq!((careful.skipped, careless.skipped), (0, 0));
        }
    }
}

fn copy(kafka: &str, output: &str, rest: &str) -> String {
    format!(
        r#"
        kafka: "{kafka}", duration: "30s",
        cluster: (brokers: 3, mode: KRaft(controllers: 3), properties: {{
            "offsets.topic.num.partitions": "1", "transaction.state.log.num.partitions": "1",
        }}),
        topics: {{
            "orders": (partitions: 2, replication_factor: 3),
            "invoices": (partitions: 2, replication_factor: 3),
        }},
        producers: [(name: "shop", topic: "orders", rate: 100, burst: 50, keys: Unique,
                     properties: {{"linger.ms": "0"}})],
        readers: [(name: "audit", topics: ["invoices"], properties: {{
            "isolation.level": "read_committed", "auto.offset.reset": "earliest",
        }})],
        groups: [(
            id: "copy", topics: ["orders"], members: 2, processing: "5ms", commit: InTransaction,
            output: (name: "copier", topic: "invoices", {output}),
            properties: {{"isolation.level": "read_committed", "session.timeout.ms": "6000",
                          "auto.offset.reset": "earliest"}},
        )],
        {rest}
        "#
    )
}

/// T5: an abort does not turn the position back. Who does not do so itself skips exactly what it has aborted.
#[test]
fn an_abort_skips_its_inputs_unless_the_application_goes_back() {
    for kafka in VERSIONS {
        let output = r#"abort: 0.3, rewinds_after_abort: false, properties: {"linger.ms": "0"}"#;
        for history in histories(&copy(kafka, output, ""), SEEDS) {
            let counts = history.group("copy").counts;
            let cause = history.count_of(AnomalyKind::Skipped, Cause::PositionKeptAfterAbort);
            assert_eq!(cause, counts.skipped, "{kafka}, seed {}", history.seed);
            // Each record was aborted once; it has gone past all but those that came last in a partition.
            assert_eq!(counts.skipped + counts.pending, counts.undone);
            assert!(counts.pending <= 150, "{counts:?}");
            within("skipped of 3,000", counts.skipped as f64, 400.0..=1_400.0);
        }
        let output = r#"abort: 0.3, properties: {"linger.ms": "0"}"#;
        for history in histories(&copy(kafka, output, ""), SEEDS) {
            let counts = history.group("copy").counts;
            assert_eq!((counts.skipped, counts.pending), (0, 0), "{kafka}, seed {}", history.seed);
            assert!(counts.undone > 0);
            assert_eq!(history.duplicated(), 0);
        }
    }
}

/// A consumer began at a committed offset below one that had been committed before.
fn rewound(history: &History) -> bool {
    let mut highest = BTreeMap::new();
    history.facts.iter().any(|stamped| match &stamped.event {
        TraceEvent::OffsetsCommitted { offsets, .. } => {
            for of in offsets.iter() {
                let known = highest.entry(of.partition).or_insert(of.offset);
                *known = of.offset.max(*known);
            }
            false
        }
        TraceEvent::PositionFromCommitted { partition, to, .. } => {
            highest.get(partition).is_some_and(|highest| to < highest)
        }
        _ => false,
    })
}

/// T6: a member sleeps through its session in the middle of a transaction; another one has its partition when it wakes. With its
/// membership passed along (KIP-447) its offsets are refused, and the transaction is aborted. Without, they are
/// accepted: what it had in hand is copied twice, and what had been on its way to it, two transactions of one burst. And if nobody commits between that and the rebalance in
/// which it joins again, the group goes back to them: what came since it fell asleep is copied again, 12 s and what
/// it takes to join (3.5 s at most), at 50 a second.
#[test]
fn a_zombie_copies_one_transaction_twice_unless_it_passes_its_membership() {
    let rest = r#"faults: [(at: Uniform("8s", "9s"), fault: Pause(OwnerOf("copy", "orders", 0)), for: "12s")],"#;
    let output = |passes: bool| {
        format!(
            r#"passes_membership: {passes}, properties: {{"linger.ms": "0",
               "transaction.timeout.ms": "60000"}}"#
        )
    };
    for kafka in VERSIONS {
        for history in histories(&copy(kafka, &output(true), rest), 0..10) {
            let verdict = &history.outcome.verdict;
            assert_eq!((history.lost(), history.duplicated()), (0, 0), "{kafka} {}", history.seed);
            let counts = history.group("copy").counts;
            assert_eq!((counts.skipped, counts.pending), (0, 0));
            assert!(verdict.transactions.aborted <= 2);
        }
        let mut twice = 0;
        for history in histories(&copy(kafka, &output(false), rest), 0..10) {
            let duplicated = history.duplicated();
            let most = if rewound(&history) { 800 } else { 100 };
            assert!(duplicated <= most, "{kafka}, seed {}: {duplicated}", history.seed);
            let cause = history.count_of(AnomalyKind::Duplicated, Cause::InputProcessedAgain);
            assert_eq!(cause, duplicated);
            twice += u64::from(duplicated > 0);
        }
        assert!(twice >= 2, "{kafka}: half of the pauses find it at work: {twice}");
    }
}

/// Transactions of four bursts, half of them aborted. The end of one is held up on its way for 12 s, with the connection on
/// which it is; the producer gives it up after 5 s and says it again on another.
fn late_end(kafka: &str) -> String {
    format!(
        r#"
        kafka: "{kafka}", duration: "30s",
        producers: [(
            name: "shop", topic: "orders", rate: 20, burst: 5, keys: Unique,
            transaction: (bursts: 4, abort: 0.5), properties: {{
                "transactional.id": "shop", "linger.ms": "0", "request.timeout.ms": "5000",
            }},
        )],
        readers: [(name: "audit", topics: ["orders"],
                   properties: {{"isolation.level": "read_committed"}})],
        faults: [(at: "4s", fault: StallRequests(api: EndTxn, by: "12s", first: 1))],
        "#
    )
}

/// T1: before `transaction.version` 2 nothing tells the late EndTxn from the one of the transaction that is open when it
/// comes. Where the two say the same it is over early and nobody notices; where not, in half of the seeds, the producer's
/// own EndTxn finds the wrong end: INVALID_TXN_STATE, which is fatal. With an epoch for each transaction (KIP-890) the late one
/// is refused. (`exactly_once.rs` has the schedule in which the application is told the opposite of what happened.)
#[test]
fn a_late_end_of_a_transaction_ends_the_next_one_before_4_0() {
    let told = |history: &History| {
        let ended = history.all(|event| match event {
            TraceEvent::TransactionEnded { error, .. } if !error.is_none() => Some(*error),
            _ => None,
        });
        ended.into_iter().map(|it| it.2).collect::<Vec<_>>()
    };
    let mut hit = 0;
    for history in histories(&late_end("3.9"), 0..12) {
        let told = told(&history);
        assert!(told.len() <= 1 && told.iter().all(|it| *it == ErrorCode::InvalidTxnState));
        hit += told.len();
        assert_eq!(history.duplicated(), 0);
    }
    assert!((2..=10).contains(&hit), "{hit} of 12");
    for history in histories(&late_end("4.1"), 0..12) {
        assert!(told(&history).is_empty(), "seed {}", history.seed);
        let verdict = &history.outcome.verdict;
        let counts = (verdict.records.lost, verdict.records.phantom, verdict.records.unknown);
        assert_eq!(counts, (0, 0, 0));
        assert_eq!(verdict.transactions.begun, 30);
    }
}

/// A write of a transaction is held up for 20 s. The producer gives the record up after 8 s and aborts; the abort's marker is
/// in the log when the write comes.
fn late_write(kafka: &str) -> String {
    format!(
        r#"
        kafka: "{kafka}", duration: "40s", settle: "30s",
        producers: [(
            name: "shop", topic: "orders", rate: 1, until: "5s", transaction: (bursts: 1),
            properties: {{
                "transactional.id": "shop", "linger.ms": "0", "request.timeout.ms": "8000",
                "delivery.timeout.ms": "8000", "transaction.timeout.ms": "15000",
            }},
        ),
            (name: "other", topic: "orders", rate: 10, properties: {{"linger.ms": "0"}})],
        readers: [(name: "audit", topics: ["orders"],
                   properties: {{"isolation.level": "read_committed"}})],
        faults: [(at: "3s", fault: StallRequests(from: Producer("shop"), api: Produce, by: "20s", first: 1))],
        "#
    )
}

/// T2: before 3.6 the write opens a transaction again that nobody will end: everything behind it stays out of sight of those
/// who read committed records. Since then the leader asks the coordinator first (KIP-890, part 1), and refuses it.
#[test]
fn a_late_write_opens_a_transaction_that_nobody_ends_before_3_6() {
    for history in histories(&late_write("3.5"), SEEDS) {
        let known: Vec<_> = history.outcome.verdict.known_violations.iter().collect();
        assert!(
            known.iter().any(|it| it.invariant == "hanging_transaction"),
            "seed {}: {known:?} {:?}",
            history.seed,
            history.outcome.verdict.violations
        );
    }
    for kafka in ["3.9", "4.1"] {
        for history in histories(&late_write(kafka), SEEDS) {
            let verdict = &history.outcome.verdict;
            assert!(verdict.transactions.aborted >= 1);
            assert_eq!(verdict.known_violations.len() + verdict.violations.len(), 0, "{kafka}");
            let refused = history.all(|event| match event {
                TraceEvent::AppendRefused { error, .. } => Some(*error),
                _ => None,
            });
            assert!(refused.iter().any(|it| it.0 > secs(20.0)), "{kafka}: {refused:?}");
        }
    }
}
