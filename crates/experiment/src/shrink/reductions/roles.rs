//! Servers that a schedule names by their number become whom they were: the leader of a partition,
//! the active controller, the owner of a partition. That reads better, and holds in more seeds.

use super::faults::{label, of_fault, replace};
use crate::shrink::search::{Best, Proposal, Rule, Search};
use crate::shrink::size::{sides, sides_mut};
use acklab_scenario::model::{Fault, FaultSpec, Scenario, Span, Target, When};
use acklab_vocab::ids::{GroupId, PartitionIndex, TopicId, TopicPartition, TransactionalId};
use acklab_vocab::time::SimDuration;

/// Names roles wherever the same processes are struck.
pub(in crate::shrink) fn name(search: &mut Search<'_>) {
    while search.try_first(proposals(&search.best), Rule::SmallerAndStrikesTheSame).is_some() {}
}

/// Every way to name one process by a role.
pub(in crate::shrink) fn proposals(best: &Best) -> Vec<Proposal> {
    let faults = &best.scenario().faults;
    let scenario = best.scenario();
    let named = faults.iter().enumerate().flat_map(|(position, spec)| {
        let named = by_role(spec, scenario, best.shown.partition);
        named.into_iter().filter_map(move |(spec, target, role)| {
            let what = format!("{} of {}", show(&target, scenario), label(&spec, scenario));
            let role = show(&role, scenario);
            replace(best, position, spec, (what, String::new(), role))
        })
    });
    named.collect()
}

/// A target as a scenario has it.
fn show(target: &Target, scenario: &Scenario) -> String {
    let kill = FaultSpec {
        when: When::At(Span::Exactly(SimDuration::ZERO)),
        fault: Fault::Kill(vec![target.clone()]),
        lasting: None,
        permanent: false,
    };
    let text = of_fault(&kill, scenario);
    let name = text.strip_prefix("Kill(").and_then(|rest| rest.strip_suffix(')'));
    name.unwrap_or(&text).to_owned()
}

fn by_role(
    spec: &FaultSpec,
    scenario: &Scenario,
    affected: Option<TopicPartition>,
) -> Vec<(FaultSpec, Target, Target)> {
    let mut named = Vec::new();
    for (side, targets) in sides(&spec.fault).iter().enumerate() {
        for (place, target) in targets.iter().enumerate() {
            for role in roles(target, scenario, affected) {
                let mut spec = spec.clone();
                sides_mut(&mut spec.fault)[side][place] = role.clone();
                named.push((spec, target.clone(), role));
            }
        }
    }
    named
}

/// Whom a number may mean, the most likely first.
fn roles(target: &Target, scenario: &Scenario, affected: Option<TopicPartition>) -> Vec<Target> {
    let partitions = partitions(scenario, affected);
    match target {
        Target::Broker(_) => {
            let leaders = partitions.iter().map(|&it| Target::LeaderOf(it));
            let coordinators =
                (0..scenario.group_ids.len()).map(|id| Target::CoordinatorOf(GroupId(id as u16)));
            let of_transactions = (0..scenario.transactional_ids.len())
                .map(|id| Target::TransactionCoordinatorOf(TransactionalId(id as u16)));
            let followers = partitions.iter().take(1).flat_map(|&partition| {
                let topic = &scenario.topics[usize::from(partition.topic.0)];
                let replicas = topic.assignments[usize::from(partition.partition.0)].len() as u16;
                (0..replicas.saturating_sub(1)).map(move |nth| Target::FollowerOf(partition, nth))
            });
            let coordinators = coordinators.take(MOST).chain(of_transactions.take(MOST));
            leaders.chain(coordinators).chain(followers).collect()
        }
        Target::Controller(_) => vec![Target::ActiveController],
        Target::Member(group, Some(_)) => {
            let read = &scenario.groups[usize::from(group.0)].topics;
            let owned = partitions.iter().filter(|partition| read.contains(&partition.topic));
            owned.map(|&partition| Target::OwnerOf(*group, partition)).collect()
        }
        _ => Vec::new(),
    }
}

/// A few partitions, that of the anomaly first.
fn partitions(scenario: &Scenario, affected: Option<TopicPartition>) -> Vec<TopicPartition> {
    let own = scenario.topics.iter().enumerate().filter(|(_, topic)| !topic.internal);
    let all = own.flat_map(|(id, topic)| {
        (0..topic.assignments.len()).map(move |partition| TopicPartition {
            topic: TopicId(id as u16),
            partition: PartitionIndex(partition as u16),
        })
    });
    let others = all.filter(|&partition| Some(partition) != affected);
    affected.into_iter().chain(others).take(MOST).collect()
}

/// So many partitions, groups and transactional ids are tried.
const MOST: usize = 4;
