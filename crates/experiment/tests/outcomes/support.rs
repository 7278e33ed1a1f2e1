//! Short scenarios, and questions to their histories.

use acklab_experiment::{Case, Outcome};
use acklab_scenario::ScenarioFile;
use acklab_verdict::{AnomalyKind, Cause};
use acklab_vocab::ids::{BrokerId, LeaderEpoch, NodeId, Offset, RecordId};
use acklab_vocab::record::Record;
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::{
    Observer, PartitionChangeReason, RunHeader, SendOutcome, Stamped, TraceEvent,
};
use std::fmt::Write;

/// Most predictions are held against so many seeds.
pub const SEEDS: std::ops::Range<u64> = 0..6;

/// Fields that a scenario need not name: three brokers, three controllers of their own, and one partition whose replicas are
/// 1, 2 and 3. Its first leader is broker 1.
const USUAL: [(&str, &str); 6] = [
    ("about", r#""a known outcome""#),
    ("source", r#""kafka-semantics.md""#),
    ("kafka", r#""3.9""#),
    ("duration", r#""10s""#),
    ("cluster", "(brokers: 3, mode: KRaft(controllers: 3))"),
    (
        "topics",
        r#"{"orders": (assignments: [[1, 2, 3]], properties: {"min.insync.replicas": "1"})}"#,
    ),
];

/// A scenario of which only what matters is written. `set` holds settings, as after `--set`.
#[track_caller]
pub fn case(fields: &str) -> Case {
    let mut text = format!("Scenario({fields}");
    for (name, value) in USUAL {
        if !fields.contains(&format!("{name}: ")) {
            writeln!(text, "{name}: {value},").unwrap();
        }
    }
    text.push(')');
    let file = ScenarioFile::parse("outcome", None, &text).unwrap_or_else(|e| panic!("{e}"));
    match file.resolve("base", &[]) {
        Ok(resolved) => Case::from(resolved),
        Err(errors) => panic!("{}", errors.iter().map(ToString::to_string).collect::<String>()),
    }
}

/// `case(fields)` over several seeds.
#[track_caller]
pub fn histories(fields: &str, seeds: std::ops::Range<u64>) -> Vec<History> {
    let case = case(fields);
    seeds.map(|seed| History::of(&case, seed)).collect()
}

/// One history: its verdict and its facts.
pub struct History {
    pub seed: u64,
    pub outcome: Outcome,
    pub header: RunHeader,
    pub facts: Vec<Stamped>,
}

#[derive(Default)]
struct Facts {
    header: Option<RunHeader>,
    facts: Vec<Stamped>,
}

impl Observer for Facts {
    fn begin(&mut self, header: &RunHeader) {
        self.header = Some(header.clone());
    }

    fn observe(&mut self, stamped: &Stamped) {
        self.facts.push(stamped.clone());
    }
}

impl History {
    /// Runs it. What goes without saying of every run goes without saying here.
    #[track_caller]
    pub fn of(case: &Case, seed: u64) -> History {
        let (outcome, observed) = case.run_observed(seed, Facts::default()).unwrap();
        let unmet: Vec<String> = outcome
            .expectations
            .iter()
            .filter(|it| !it.held)
            .map(|it| format!("{} ({})", it.text, it.actual))
            .collect();
        assert!(unmet.is_empty(), "seed {seed}: {unmet:?} {:?}", outcome.verdict.violations);
        History { seed, outcome, header: observed.header.unwrap(), facts: observed.facts }
    }

    pub fn lost(&self) -> u64 {
        self.outcome.verdict.records.lost
    }

    pub fn duplicated(&self) -> u64 {
        self.outcome.verdict.records.duplicated
    }

    pub fn count_of(&self, kind: AnomalyKind, cause: Cause) -> u64 {
        self.outcome.verdict.count_cause(kind, cause)
    }

    /// The facts that `choose` knows something of, with their time and place.
    pub fn all<T>(&self, choose: impl Fn(&TraceEvent) -> Option<T>) -> Vec<(SimTime, NodeId, T)> {
        let chosen = |it: &Stamped| choose(&it.event).map(|value| (it.at, it.node, value));
        self.facts.iter().filter_map(chosen).collect()
    }

    /// When the first such fact became true, from time zero on.
    pub fn first(&self, choose: impl Fn(&TraceEvent) -> bool) -> Option<SimTime> {
        self.facts.iter().find(|it| it.at >= SimTime::ZERO && choose(&it.event)).map(|it| it.at)
    }

    /// The process of a broker.
    pub fn node_of(&self, broker: u16) -> NodeId {
        let position = self.header.nodes.iter().position(|it| it.broker == Some(BrokerId(broker)));
        NodeId(u16::try_from(position.unwrap()).unwrap())
    }

    /// Every change of a partition after time zero: when, why, who leads under which epoch, and the ISR.
    pub fn changes(&self) -> Vec<Change> {
        let changes = self.all(|event| match event {
            TraceEvent::PartitionChanged { state, reason } => Some((state.clone(), *reason)),
            _ => None,
        });
        let after = changes.into_iter().filter(|(at, ..)| *at > SimTime::ZERO);
        after
            .map(|(at, _, (state, reason))| Change {
                at,
                reason,
                leader: state.leader.map(|it| it.0),
                epoch: state.leader_epoch,
                isr: state.isr.iter().map(|it| it.0).collect(),
            })
            .collect()
    }

    /// The first change of that kind.
    #[track_caller]
    pub fn change(&self, reason: PartitionChangeReason) -> Change {
        let found = self.changes().into_iter().find(|it| it.reason == reason);
        found.unwrap_or_else(|| panic!("seed {}: no {reason:?}: {:?}", self.seed, self.changes()))
    }

    /// Where the log of the leader of `epoch` ended when it learned that it leads.
    #[track_caller]
    pub fn epoch_start(&self, epoch: LeaderEpoch) -> Offset {
        let starts = self.all(|event| match event {
            TraceEvent::BecameLeader { leader_epoch, log_end_offset, .. } => {
                (*leader_epoch == epoch).then_some(*log_end_offset)
            }
            _ => None,
        });
        starts.first().unwrap_or_else(|| panic!("nobody led epoch {}", epoch.0)).2
    }

    /// Everything that leaders appended: when, where, under which epoch, at which offset.
    pub fn appends(&self) -> Vec<Append> {
        let appends = self.all(|event| match event {
            TraceEvent::Appended { batch, .. } => Some(batch.clone()),
            _ => None,
        });
        let appends = appends.into_iter().map(|(at, node, batch)| Append {
            at,
            node,
            epoch: batch.leader_epoch,
            offset: batch.base_offset,
            records: batch.records().iter().map(|it| it.id).collect(),
        });
        appends.collect()
    }

    /// What the producers told their applications, record by record.
    pub fn completions(&self) -> Vec<(SimTime, RecordId, SendOutcome)> {
        let told = self.all(|event| match event {
            TraceEvent::RecordsCompleted { outcome, records, .. } => {
                Some((*outcome, records.clone()))
            }
            _ => None,
        });
        let each = |(at, _, (outcome, records)): (SimTime, NodeId, (SendOutcome, _))| {
            let records: std::sync::Arc<[Record]> = records;
            let ids: Vec<RecordId> = records.iter().map(|it| it.id).collect();
            ids.into_iter().enumerate().map(move |(index, id)| {
                let outcome = match outcome {
                    SendOutcome::Acked(Some(offset)) => {
                        SendOutcome::Acked(Some(offset.plus(index as u64)))
                    }
                    other => other,
                };
                (at, id, outcome)
            })
        };
        told.into_iter().flat_map(each).collect()
    }

    /// Which records were told to have been stored, and where.
    pub fn acks(&self) -> Vec<(SimTime, RecordId, Option<Offset>)> {
        let acked = |(at, id, outcome)| match outcome {
            SendOutcome::Acked(offset) => Some((at, id, offset)),
            SendOutcome::Failed(_) => None,
        };
        self.completions().into_iter().filter_map(acked).collect()
    }
}

/// A change of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub at: SimTime,
    pub reason: PartitionChangeReason,
    pub leader: Option<u16>,
    pub epoch: LeaderEpoch,
    pub isr: Vec<u16>,
}

/// A batch that a leader appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    pub at: SimTime,
    pub node: NodeId,
    pub epoch: LeaderEpoch,
    pub offset: Offset,
    pub records: Vec<RecordId>,
}

/// `secs(7.0)`
pub fn secs(time: f64) -> SimTime {
    SimTime((time * 1e9) as i64)
}

/// From one moment to another, in seconds.
pub fn between(from: SimTime, to: SimTime) -> f64 {
    to.as_secs_f64() - from.as_secs_f64()
}

/// The value lies between, both inclusive.
#[track_caller]
pub fn within(what: &str, value: f64, range: std::ops::RangeInclusive<f64>) {
    assert!(range.contains(&value), "{what}: {value} is not in {range:?}");
}

/// The mean of a number over histories.
pub fn mean(histories: &[History], number: impl Fn(&History) -> u64) -> f64 {
    let sum: u64 = histories.iter().map(number).sum();
    sum as f64 / histories.len() as f64
}
