//! Consumer groups and transactional ids at one instant: what coordinators hold, and what members believe.

use super::clients::connections;
use super::servers::{broker_of, views};
use super::{Page, list, or_dash, words};
use crate::text::{Align, Rows, grouped};
use acklab_machines::broker::{BrokerView, GroupMemberView, GroupView, RoleView, TransactionView};
use acklab_machines::consumer::{ConsumerPartitionView, ConsumerView};
use acklab_runtime::view::{MachineView, ProcessView};
use acklab_vocab::ids::{BrokerId, GroupId, MemberId, NodeId, Offset, TopicPartition};

/// Every group: its coordinator's view, its members, and for each partition who is where.
pub fn groups(page: &Page<'_>) -> String {
    let mut text = String::new();
    for (index, name) in page.scenario.group_ids.iter().enumerate() {
        let group = GroupId(u16::try_from(index).unwrap_or(u16::MAX));
        let mut coordinated: Vec<(BrokerId, &GroupView)> = views(page, broker_of)
            .flat_map(|(_, broker)| broker.groups.iter().map(move |view| (broker.id, view)))
            .filter(|(_, view)| view.group == group)
            .collect();
        // Two brokers may both think so, until the old one has heard.
        coordinated
            .sort_by_key(|&(broker, view)| (leads_newest(page, broker, view.partition), broker));
        if coordinated.is_empty() {
            text.push_str(&format!("  {name}  nobody coordinates it now\n"));
        }
        for (broker, view) in coordinated {
            text.push_str(&heading(page, name, broker, view));
            text.push_str(&members(page, view));
            text.push_str(&offsets(page, group, Some(view)));
        }
    }
    text
}

/// The leader epoch in which a broker leads a partition; the newest counts.
fn leads_newest(
    page: &Page<'_>,
    id: BrokerId,
    partition: TopicPartition,
) -> std::cmp::Reverse<u32> {
    let brokers = views(page, broker_of).map(|(_, broker)| broker);
    let epochs = brokers
        .filter(|broker| broker.id == id)
        .flat_map(|broker| broker.partitions.iter().filter(|view| view.partition == partition));
    std::cmp::Reverse(epochs.map(|view| view.leader_epoch.0).max().unwrap_or(0))
}

fn heading(page: &Page<'_>, name: &str, broker: BrokerId, view: &GroupView) -> String {
    let protocol = view.protocol.map_or(String::new(), |protocol| format!("  {}", protocol.name()));
    let leader = view.leader.map_or(String::new(), |leader| format!("  leader {}", short(leader)));
    let line = format!(
        "{name}  {}  generation {}{protocol}{leader}  coordinator broker {broker} ({})",
        words(&view.state),
        view.generation,
        page.partition_name(view.partition)
    );
    let lines = crate::text::wrapped(&line, page.width - 2);
    lines.iter().map(|line| format!("  {line}\n")).collect()
}

/// The first digits of a member id, as of a UUID.
fn short(member: MemberId) -> String {
    format!("{:.8}", format!("{member:016x}"))
}

fn members(page: &Page<'_>, group: &GroupView) -> String {
    let mut rows = Rows::with_header(&[
        ("member", Align::Left),
        ("process", Align::Left),
        ("instance id", Align::Left),
        ("at the coordinator", Align::Left),
        ("assigned", Align::Left),
    ])
    .indented(4);
    for member in &group.members {
        let GroupMemberView { member, node, instance, assignment, is_waiting } = member;
        let state = if *is_waiting { "its request waits" } else { "–" };
        rows.add([
            short(*member),
            process_name(page, *node),
            or_dash(*instance),
            state.to_owned(),
            assigned(page, assignment),
        ]);
    }
    rows.render(page.width)
}

fn process_name(page: &Page<'_>, node: NodeId) -> String {
    let process = page.view.processes.get(usize::from(node.0));
    process.map_or_else(|| "–".to_owned(), |process| process.name.clone())
}

/// `orders 0 1 2, audit 0`
pub fn assigned(page: &Page<'_>, partitions: &[TopicPartition]) -> String {
    let by_topic = partitions.chunk_by(|first, second| first.topic == second.topic);
    let all: Vec<String> = by_topic
        .map(|chunk| {
            let name = page.topic_name(chunk[0].topic);
            format!("{name} {}", list(chunk.iter().map(|partition| partition.partition)))
        })
        .collect();
    if all.is_empty() { "–".to_owned() } else { all.join(", ") }
}

/// For each partition that the group reads or has committed: who owns it, how far it has come, what is left.
fn offsets(page: &Page<'_>, group: GroupId, coordinator: Option<&GroupView>) -> String {
    let owners: Vec<(&ProcessView, &ConsumerPartitionView)> = views(page, consumer_of)
        .filter(|(process, _)| group_of(page, process) == Some(group))
        .flat_map(|(process, consumer)| {
            consumer.partitions.iter().map(move |partition| (process, partition))
        })
        .collect();
    let committed = coordinator.map_or(&[][..], |group| &group.committed);
    let mut partitions: Vec<TopicPartition> =
        owners.iter().map(|(_, view)| view.partition).collect();
    partitions.extend(committed.iter().map(|(partition, _)| *partition));
    partitions.sort_unstable();
    partitions.dedup();
    let mut rows = Rows::with_header(&[
        ("partition", Align::Left),
        ("owner", Align::Left),
        ("position", Align::Right),
        ("committed", Align::Right),
        ("HW", Align::Right),
        ("lag", Align::Right),
        ("buffered", Align::Right),
    ])
    .indented(4);
    for partition in partitions {
        let own: Vec<_> = owners.iter().filter(|(_, view)| view.partition == partition).collect();
        let committed = committed.iter().find(|(other, _)| *other == partition);
        let committed = committed.map(|(_, committed)| committed.offset);
        let end = high_watermark(page, partition);
        let lag = end.zip(committed).map(|(end, committed)| end.distance_from(committed));
        let shared = [
            or_dash(committed.map(|offset| grouped(offset.0))),
            or_dash(end.map(|offset| grouped(offset.0))),
            or_dash(lag.map(grouped)),
        ];
        let name = page.partition_name(partition);
        let mut row = |owner: String, position: String, buffered: String| {
            let [committed, end, lag] = shared.clone();
            rows.add([name.clone(), owner, position, committed, end, lag, buffered]);
        };
        if own.is_empty() {
            row("nobody".to_owned(), or_dash::<u64>(None), or_dash::<u64>(None));
        }
        for (process, view) in own {
            let position = or_dash(view.position.map(|offset| grouped(offset.0)));
            row(process.name.clone(), position, grouped(view.buffered));
        }
    }
    rows.render(page.width)
}

/// The high watermark at the leader of the newest epoch.
fn high_watermark(page: &Page<'_>, partition: TopicPartition) -> Option<Offset> {
    let brokers = views(page, broker_of).map(|(_, broker)| broker);
    brokers
        .flat_map(|broker: &BrokerView| &broker.partitions)
        .filter(|view| view.partition == partition && matches!(view.role, RoleView::Leader { .. }))
        .max_by_key(|view| view.leader_epoch)
        .map(|view| view.high_watermark)
}

/// The `group.id` that a process uses.
fn group_of(page: &Page<'_>, process: &ProcessView) -> Option<GroupId> {
    let (application, _) = process.member?;
    page.scenario.groups.get(usize::from(application.0)).map(|group| group.group)
}

/// Every consumer application's process: what it does, and what it believes of its membership.
pub fn consumers(page: &Page<'_>) -> String {
    let mut rows = Rows::with_header(&[
        ("process", Align::Left),
        ("state", Align::Left),
        ("application", Align::Left),
        ("in hand", Align::Right),
        ("membership", Align::Left),
        ("generation", Align::Right),
        ("coordinator", Align::Left),
        ("connected to (in flight)", Align::Left),
    ]);
    for process in page.view.processes.iter().filter(|process| process.member.is_some()) {
        let state = page.process_state(process.state);
        let Some(consumer) = process.machines.iter().find_map(consumer_of) else {
            rows.add([process.name.clone(), state]);
            continue;
        };
        let membership = match consumer.membership {
            None => consumer.membership_state.to_owned(),
            Some((member, _)) => format!("{} {}", consumer.membership_state, short(member)),
        };
        rows.add([
            process.name.clone(),
            state,
            process.application.map_or("–", |application| application.activity).to_owned(),
            or_dash(process.application.map(|application| grouped(application.in_hand))),
            membership,
            or_dash(consumer.membership.map(|(_, generation)| generation)),
            consumer.coordinator.map_or("–".to_owned(), |node| process_name(page, node)),
            connections(&consumer.connections),
        ]);
    }
    rows.render(page.width)
}

/// Every transactional id at its coordinator.
pub fn transactions(page: &Page<'_>) -> String {
    let mut rows = Rows::with_header(&[
        ("transactional id", Align::Left),
        ("coordinator", Align::Left),
        ("state", Align::Left),
        ("producer id", Align::Left),
        ("open since", Align::Right),
        ("partitions without a marker", Align::Left),
    ]);
    for (index, name) in page.scenario.transactional_ids.iter().enumerate() {
        let mut known: Vec<(&ProcessView, &TransactionView)> = views(page, broker_of)
            .flat_map(|(process, broker)| {
                broker.transactions.iter().map(move |view| (process, view))
            })
            .filter(|(_, view)| usize::from(view.transactional_id.0) == index)
            .collect();
        known.sort_by_key(|(process, _)| &process.name);
        if known.is_empty() {
            rows.add([name.as_str(), "–", "unknown to every coordinator"]);
        }
        for (process, view) in known {
            let state = match view.pending {
                Some(pending) => format!("{}, writes {}", words(&view.state), words(&pending)),
                None => words(&view.state),
            };
            let epoch = view.producer_epoch.map(|epoch| format!(", epoch {epoch}"));
            rows.add([
                name.clone(),
                process.name.clone(),
                state,
                format!("{}{}", view.producer_id, epoch.unwrap_or_default()),
                or_dash(view.started_at.map(|at| page.ago(at))),
                assigned(page, &view.partitions),
            ]);
        }
    }
    rows.render(page.width)
}

fn consumer_of(machine: &MachineView) -> Option<&ConsumerView> {
    match machine {
        MachineView::Consumer(view) => Some(view),
        MachineView::Broker(_)
        | MachineView::Controller(_)
        | MachineView::ZooKeeper(_)
        | MachineView::Producer(_)
        | MachineView::Reader(_) => None,
    }
}
