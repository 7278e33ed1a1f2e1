//! How large a scenario is: what makes one smaller than another.

use acklab_scenario::Draft;
use acklab_scenario::model::{Fault, Scenario, Target, When};
use serde::Serialize;

/// The size of a scenario. Of two, the one with fewer faults is the smaller; of equals in that the
/// one with fewer processes, and so on down the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Size {
    /// Faults.
    pub faults: u64,
    /// Whom they name, beyond the first of each side.
    pub more_targets: u64,
    /// Processes: brokers, controllers, servers of ZooKeeper, producers, readers, consumers.
    pub processes: u64,
    /// Replicas of all partitions, but for the brokers' own topics.
    pub replicas: u64,
    /// Records, at most.
    pub records: u64,
    /// How long the workload lasts, in nanoseconds.
    pub duration: u64,
    /// Everything that the file says.
    pub settings: u64,
    /// Servers named by their number where their role could say who is meant.
    pub numbered: u64,
    /// Letters of the file.
    pub letters: u64,
}

impl Size {
    pub(super) fn of(draft: &Draft, scenario: &Scenario) -> Size {
        let targets: Vec<Vec<Target>> =
            scenario.faults.iter().flat_map(|spec| sides(&spec.fault)).collect();
        let own_topics = scenario.topics.iter().filter(|topic| !topic.internal);
        let replicas =
            own_topics.flat_map(|topic| &topic.assignments).map(|replicas| replicas.len() as u64);
        Size {
            faults: scenario.faults.len() as u64,
            more_targets: targets.iter().map(|side| side.len().saturating_sub(1) as u64).sum(),
            processes: processes(scenario),
            replicas: replicas.sum(),
            records: records(scenario),
            duration: scenario.duration.0,
            settings: settings(draft, ""),
            numbered: targets.iter().flat_map(|side| side.iter()).filter(is_numbered).count()
                as u64,
            letters: draft.write().chars().count() as u64,
        }
    }
}

/// Whether a fault strikes again and again, or at moments, on processes or for times that are
/// drawn.
pub(super) fn is_drawn(scenario: &Scenario) -> bool {
    scenario.faults.iter().any(|spec| {
        let drawn_moment = match &spec.when {
            When::At(at) => !is_constant(*at),
            When::Every { .. } => true,
            When::After { .. } => false,
        };
        let drawn_target =
            |target: &Target| matches!(target, Target::AnyBroker | Target::AnyMember(_));
        drawn_moment
            || spec.lasting.is_some_and(|lasting| !is_constant(lasting))
            || matches!(spec.fault, Fault::OneOf(_))
            || sides(&spec.fault).into_iter().flatten().any(|target| drawn_target(&target))
    })
}

pub(super) const fn is_constant(span: acklab_scenario::model::Span) -> bool {
    matches!(span, acklab_scenario::model::Span::Exactly(_))
}

/// Whom a fault names, side by side.
pub(super) fn sides(fault: &Fault) -> Vec<Vec<Target>> {
    let mut fault = fault.clone();
    sides_mut(&mut fault).into_iter().map(std::mem::take).collect()
}

/// The same, to be changed.
pub(super) fn sides_mut(fault: &mut Fault) -> Vec<&mut Vec<Target>> {
    match fault {
        Fault::Kill(targets)
        | Fault::PowerLoss(targets)
        | Fault::Pause(targets)
        | Fault::ControlledShutdown(targets)
        | Fault::SlowDisk { targets, .. } => vec![targets],
        Fault::Partition { first, second, .. }
        | Fault::LinkDelay { first, second, .. }
        | Fault::LinkLoss { first, second, .. }
        | Fault::DropResponses { from: first, to: second, .. }
        | Fault::StallRequests { from: first, to: second, .. } => vec![first, second],
        Fault::RollingRestart { .. }
        | Fault::Scale { .. }
        | Fault::AddPartitions { .. }
        | Fault::PreferredElection(_) => Vec::new(),
        Fault::OneOf(faults) => faults.iter_mut().flat_map(sides_mut).collect(),
    }
}

fn is_numbered(target: &&Target) -> bool {
    matches!(
        target,
        Target::Broker(_)
            | Target::Controller(_)
            | Target::ZooKeeper(_)
            | Target::Member(_, Some(_))
    )
}

fn processes(scenario: &Scenario) -> u64 {
    let own = scenario.cluster.controllers().iter().filter(|(_, shares)| shares.is_none());
    let producers = scenario.producers.iter().map(|producer| u64::from(producer.count));
    let members = scenario.groups.iter().map(|group| u64::from(group.instances));
    scenario.cluster.brokers.len() as u64
        + own.count() as u64
        + scenario.cluster.zookeeper().len() as u64
        + producers.sum::<u64>()
        + scenario.readers.len() as u64
        + members.sum::<u64>()
}

fn records(scenario: &Scenario) -> u64 {
    let records = scenario.producers.iter().map(|producer| {
        let span = producer.until.saturating_sub(producer.from);
        let by_rate = u128::from(producer.rate_millihertz) * u128::from(span.0);
        let each =
            by_rate.div_ceil(NANOS_BY_MILLI).min(u128::from(producer.limit.unwrap_or(u32::MAX)));
        each * u128::from(producer.count)
    });
    u64::try_from(records.sum::<u128>()).unwrap_or(u64::MAX)
}

const NANOS_BY_MILLI: u128 = 1_000_000_000_000;

/// The parts of the file that have no parts, but for those that shrinking itself writes.
fn settings(draft: &Draft, path: &str) -> u64 {
    let parts = draft.parts(path);
    if parts.is_empty() {
        return 1;
    }
    let parts = parts.iter().filter(|part| !path.is_empty() || !OWN.contains(&part.as_str()));
    parts.map(|part| settings(draft, &join(path, part))).sum()
}

const OWN: [&str; 3] = ["about", "source", "faults"];

pub(super) fn join(path: &str, part: &str) -> String {
    if path.is_empty() { part.to_owned() } else { format!("{path}/{part}") }
}
