//! Short scenarios, and questions to their histories.

use acklab_experiment::{Case, Outcome};
use acklab_scenario::ScenarioFile;
use acklab_verdict::{AnomalyKind, Cause, GroupVerdict};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{BrokerId, LeaderEpoch, MemberId, NodeId, Offset, RecordId};
use acklab_vocab::record::Record;
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::{
    CommitFailure, CommitTrigger, Observer, PartitionChangeReason, RemovalReason, RunHeader,
    SendOutcome, Stamped, TraceEvent,
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
        if !names(fields, name) {
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

/// Whether one of a scenario's own fields, not of what is in them, has that name.
fn names(fields: &str, name: &str) -> bool {
    let is_outside = |at: usize| {
        let before = fields[..at].chars();
        let depth = before.fold(0, |depth, letter| match letter {
            '(' | '[' | '{' => depth + 1,
            ')' | ']' | '}' => depth - 1,
            _ => depth,
        });
        depth == 0
    };
    fields.match_indices(&format!("{name}: ")).any(|(at, _)| is_outside(at))
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

    /// What the judge says of a consumer application.
    #[track_caller]
    pub fn group(&self, name: &str) -> &GroupVerdict {
        &self.outcome.verdict.groups[name]
    }

    /// The process of an instance of a consumer application.
    #[track_caller]
    pub fn node_of_member(&self, group: &str, instance: u16) -> NodeId {
        let group = self.header.groups.iter().position(|it| it.name == group).unwrap();
        let mut nodes = self.header.nodes.iter();
        let is_it = |member: (acklab_vocab::ids::GroupIndex, u16)| {
            usize::from(member.0.0) == group && member.1 == instance
        };
        let position = nodes.position(|it| it.member.is_some_and(is_it));
        NodeId(u16::try_from(position.unwrap()).unwrap())
    }

    /// Every process that was killed after time zero.
    pub fn kills(&self) -> Vec<(SimTime, NodeId)> {
        let kills =
            self.all(|event| matches!(event, TraceEvent::ProcessKilled).then_some(())).into_iter();
        kills.map(|(at, node, ())| (at, node)).collect()
    }

    /// The members that coordinators removed after time zero: when, which process, why.
    pub fn removals(&self) -> Vec<(SimTime, NodeId, RemovalReason)> {
        let removed = self.all(|event| match event {
            TraceEvent::MemberRemoved { member_node, reason, .. } => Some((*member_node, *reason)),
            _ => None,
        });
        let after = removed.into_iter().filter(|it| it.0 >= SimTime::ZERO);
        after.map(|(at, _, (node, reason))| (at, node, reason)).collect()
    }

    /// How consumers' commits failed after time zero: when, on which process, whose commit, how.
    pub fn commit_failures(&self) -> Vec<(SimTime, NodeId, CommitTrigger, CommitFailure)> {
        let failed = self.all(|event| match event {
            TraceEvent::CommitCompleted { trigger, failure: Some(failure), .. } => {
                Some((*trigger, *failure))
            }
            _ => None,
        });
        let after = failed.into_iter().filter(|it| it.0 >= SimTime::ZERO);
        after.map(|(at, node, (trigger, failure))| (at, node, trigger, failure)).collect()
    }

    /// The commits that coordinators answered after time zero: when, which process asked, what
    /// it was answered, and the highest offset that it had asked for.
    pub fn commit_answers(&self) -> Vec<(SimTime, NodeId, ErrorCode, Offset)> {
        let answers = self.all(|event| match event {
            TraceEvent::CommitAnswered { from, error, offsets, .. } => {
                let highest = offsets.iter().map(|it| it.offset).max();
                Some((*from, *error, highest.unwrap_or_default()))
            }
            _ => None,
        });
        let after = answers.into_iter().filter(|it| it.0 >= SimTime::ZERO);
        after.map(|(at, _, (from, error, offset))| (at, from, error, offset)).collect()
    }

    /// What a process lost its membership by, as it learned it, after time zero.
    pub fn memberships_lost(&self, node: NodeId) -> Vec<(SimTime, ErrorCode)> {
        let lost = self.all(|event| match event {
            TraceEvent::MembershipLost { error } => Some(*error),
            _ => None,
        });
        let here = lost.into_iter().filter(|it| it.1 == node && it.0 >= SimTime::ZERO);
        here.map(|(at, _, error)| (at, error)).collect()
    }

    /// The ids under which a process has joined its group, in order.
    pub fn memberships(&self, node: NodeId) -> Vec<MemberId> {
        let joined = self.all(|event| match event {
            TraceEvent::MemberJoined { member, member_node, .. } => Some((*member, *member_node)),
            _ => None,
        });
        let here = joined.into_iter().filter(|it| it.2.1 == node);
        here.map(|(_, _, (member, _))| member).collect()
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
