//! Who takes part: topics, producers, readers, groups, and how many brokers, controllers, members
//! and replicas there are.

use super::faults::{count, with_faults};
use super::ladder;
use crate::shrink::search::{Best, Proposal, Search};
use crate::shrink::size::sides_mut;
use acklab_scenario::Draft;
use acklab_scenario::model::{Fault, FaultSpec, Scenario, Target, Trigger, When};
use acklab_verdict::names::grouped;
use acklab_vocab::ids::{PartitionIndex, TopicPartition};

/// Leaves out whoever is not needed.
pub(in crate::shrink) fn leave_out(search: &mut Search<'_>) {
    search.descend(|best| {
        let mut proposals = Vec::new();
        for list in ["readers", "groups"] {
            let count = count(best.draft.parts(list).len());
            proposals.extend(Proposal::new(best.draft.without(list), list, count, ""));
        }
        for topic in best.draft.parts("topics") {
            let what = format!("topic {topic}");
            proposals.extend(Proposal::new(without_topic(best, &topic), what, "there", ""));
        }
        for list in ["producers", "groups", "readers"] {
            for position in best.draft.parts(list) {
                let path = format!("{list}/{position}");
                let name = ["name", "id"]
                    .iter()
                    .find_map(|it| best.draft.text(&format!("{path}/{it}")).map(str::to_owned));
                let what = format!("{} {}", list.trim_end_matches('s'), name.unwrap_or(position));
                proposals.extend(Proposal::new(best.draft.without(&path), what, "there", ""));
            }
        }
        proposals
    });
}

/// Without a topic, and without whoever writes to it or reads nothing else.
fn without_topic(best: &Best, topic: &str) -> Option<Draft> {
    let mut draft = best.draft.without(&format!("topics/{topic}"))?;
    if draft.parts("topics").is_empty() {
        return None;
    }
    for list in ["producers", "readers", "groups"] {
        for position in draft.parts(list).iter().rev() {
            let path = format!("{list}/{position}");
            let read = format!("{path}/topics");
            let writes = [format!("{path}/topic"), format!("{path}/output/topic")];
            let writes = writes.iter().any(|path| draft.text(path) == Some(topic));
            let places = draft.parts(&read);
            let place = places.iter().find(|it| draft.text(&format!("{read}/{it}")) == Some(topic));
            draft = match place {
                _ if writes => draft.without(&path)?,
                Some(_) if places.len() == 1 => draft.without(&path)?,
                Some(place) => draft.without(&format!("{read}/{place}"))?,
                None => draft,
            };
        }
    }
    Some(draft)
}

/// Lowers how many there are of everything.
pub(in crate::shrink) fn lower_counts(search: &mut Search<'_>) {
    search.descend(|best| {
        let metadata = controllers(best).into_iter().chain(ensemble(best));
        metadata.chain(brokers(best)).collect()
    });
    search.descend(instances);
    search.descend(replicas);
}

fn instances(best: &Best) -> Vec<Proposal> {
    let scenario = best.scenario();
    let mut proposals = Vec::new();
    for (position, producer) in scenario.producers.iter().enumerate() {
        for count in ladder(producer.count.into(), 1) {
            let draft = best.draft.with(&format!("producers/{position}/count"), &count.to_string());
            let what = format!("instances of {}", producer.name);
            let (from, to) = (grouped(producer.count.into()), grouped(count));
            proposals.extend(Proposal::new(draft, what, from, to));
        }
    }
    for (position, group) in scenario.groups.iter().enumerate() {
        for members in ladder(group.members.into(), 1) {
            let path = format!("groups/{position}/members");
            let draft = best.draft.with(&path, &members.to_string());
            let what = format!("members of {}", group.name);
            let (from, to) = (grouped(group.members.into()), grouped(members));
            proposals.extend(Proposal::new(draft, what, from, to));
        }
    }
    proposals
}

fn controllers(best: &Best) -> Vec<Proposal> {
    let controllers = best.scenario().cluster.controllers();
    let total = controllers.len();
    let combined = controllers.iter().any(|(_, broker)| broker.is_some());
    let fewer = (1..total).step_by(2).filter_map(|fewer| {
        let mode = quorum(fewer, combined);
        let draft = best.draft.with("cluster/mode", &mode);
        Proposal::new(draft, "controllers", grouped(total as u64), grouped(fewer as u64))
    });
    fewer.collect()
}

/// Fewer servers of ZooKeeper, with the same properties.
fn ensemble(best: &Best) -> Vec<Proposal> {
    let count = best.scenario().cluster.zookeeper().len();
    let fewer = (1..count).step_by(2).filter_map(|fewer| {
        let draft = match best.draft.parts("cluster/mode").first().map(String::as_str) {
            None => best.draft.with("cluster/mode", &format!("ZooKeeper(servers: {fewer})")),
            Some("0") => best.draft.with("cluster/mode/0", &fewer.to_string()),
            Some(_) => best.draft.with("cluster/mode/servers", &fewer.to_string()),
        };
        Proposal::new(draft, "servers of ZooKeeper", count.to_string(), fewer.to_string())
    });
    fewer.collect()
}

fn quorum(controllers: usize, combined: bool) -> String {
    let combined = if combined { ", combined: true" } else { "" };
    format!("KRaft(controllers: {controllers}{combined})")
}

fn brokers(best: &Best) -> Vec<Proposal> {
    let count = best.scenario().cluster.brokers.len() as u64;
    let fewer = ladder(count, 1).into_iter().chain(2..count.min(FEW)).chain([count - 1]);
    let mut fewer: Vec<u64> = fewer.filter(|&fewer| fewer >= 1 && fewer < count).collect();
    fewer.sort_unstable();
    fewer.dedup();
    let proposals = fewer.into_iter().filter_map(|fewer| {
        let draft = with_brokers(&best.draft, best.scenario(), fewer);
        Proposal::new(draft, "brokers", grouped(count), grouped(fewer))
    });
    proposals.collect()
}

/// Fewer brokers, and no partition with more replicas.
fn with_brokers(draft: &Draft, scenario: &Scenario, brokers: u64) -> Option<Draft> {
    let mut draft = draft.with("cluster/brokers", &brokers.to_string())?;
    let controllers = scenario.cluster.controllers();
    let combined = controllers.iter().any(|(_, broker)| broker.is_some());
    if combined && controllers.len() as u64 > brokers {
        let fewer = if brokers.is_multiple_of(2) { brokers - 1 } else { brokers };
        draft = draft.with("cluster/mode", &quorum(usize::try_from(fewer).ok()?, true))?;
    }
    let replicas = |id: usize| {
        scenario.topics[id].assignments.first().map_or(0, |replicas| replicas.len() as u64)
    };
    for (id, topic) in scenario.topics.iter().enumerate() {
        if !topic.internal && replicas(id) > brokers {
            let path = format!("topics/{}/replication_factor", topic.name);
            draft = draft.with(&path, &brokers.to_string())?;
        }
    }
    let internal = [
        (scenario.offsets_topic, "offsets.topic.replication.factor"),
        (scenario.transactions_topic, "transaction.state.log.replication.factor"),
    ];
    for (topic, property) in internal {
        if topic.is_some_and(|topic| replicas(usize::from(topic.0)) > brokers) {
            let path = format!("cluster/properties/{property}");
            draft = draft.with_text(&path, &brokers.to_string())?;
        }
    }
    let in_sync = scenario
        .transactions_topic
        .map(|topic| u64::from(scenario.topics[usize::from(topic.0)].config.min_insync_replicas));
    if in_sync.is_some_and(|in_sync| in_sync > brokers) {
        let path = "cluster/properties/transaction.state.log.min.isr";
        draft = draft.with_text(path, &brokers.to_string())?;
    }
    Some(draft)
}

/// Fewer partitions, fewer replicas of each.
fn replicas(best: &Best) -> Vec<Proposal> {
    let mut proposals = Vec::new();
    let own = best.scenario().topics.iter().enumerate().filter(|(_, topic)| !topic.internal);
    for (id, topic) in own {
        let path = format!("topics/{}", topic.name);
        let partitions = topic.assignments.len();
        let factor = topic.assignments.first().map_or(0, |replicas| replicas.len());
        let settings = [("partitions", partitions), ("replication_factor", factor)];
        for (field, count) in settings {
            for fewer in ladder(count as u64, 1).into_iter().chain([count as u64 - 1]) {
                let draft = best.draft.with(&format!("{path}/{field}"), &fewer.to_string());
                let draft = match field {
                    "partitions" => draft.and_then(|draft| within(&draft, best, id, fewer)),
                    _ => draft,
                };
                let what = format!("{} of {}", field.replace('_', " "), topic.name);
                let draft = draft.filter(|_| fewer > 0);
                let (from, to) = (grouped(count as u64), grouped(fewer));
                proposals.extend(Proposal::new(draft, what, from, to));
            }
        }
    }
    proposals
}

/// A draft whose faults mean no partition of a topic that is not there any more, but the first.
fn within(draft: &Draft, best: &Best, topic: usize, partitions: u64) -> Option<Draft> {
    let scenario = best.scenario();
    let mut faults = scenario.faults.clone();
    let gone = |it: &TopicPartition| {
        usize::from(it.topic.0) == topic && u64::from(it.partition.0) >= partitions
    };
    for spec in &mut faults {
        for it in named_partitions(spec).into_iter().filter(|it| gone(it)) {
            it.partition = PartitionIndex(0);
        }
    }
    if faults == scenario.faults {
        Some(draft.clone())
    } else {
        with_faults(draft, &faults, scenario)
    }
}

/// The partitions that a fault speaks of.
fn named_partitions(spec: &mut FaultSpec) -> Vec<&mut TopicPartition> {
    let FaultSpec { when, fault, .. } = spec;
    let mut named = Vec::new();
    if let When::After { trigger, .. } = when {
        match trigger {
            Trigger::HighWatermarkReached(partition, _)
            | Trigger::LeaderChanged(partition)
            | Trigger::IsrShrunkTo(partition, _)
            | Trigger::IsrGrownTo(partition, _)
            | Trigger::Claimed(_, partition, _)
            | Trigger::Committed(_, partition, _) => named.push(partition),
            Trigger::Appended(_)
            | Trigger::Replicated(..)
            | Trigger::Answered(_)
            | Trigger::Acked(_)
            | Trigger::Fenced(_)
            | Trigger::ControllerElected(_)
            | Trigger::ZooKeeperLeaderElected(_)
            | Trigger::SessionExpired(..)
            | Trigger::Processed(..)
            | Trigger::RebalanceStarted(..)
            | Trigger::GroupStable(..)
            | Trigger::TransactionBegun(..)
            | Trigger::Fault(..) => {}
        }
    }
    if let Fault::PreferredElection(Some(partition)) = fault {
        named.push(partition);
        return named;
    }
    for target in sides_mut(fault).into_iter().flatten() {
        if let Target::LeaderOf(partition)
        | Target::FollowerOf(partition, _)
        | Target::OwnerOf(_, partition) = target
        {
            named.push(partition);
        }
    }
    named
}

/// Up to so many brokers, every smaller number is tried.
const FEW: u64 = 4;
