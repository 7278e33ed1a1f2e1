//! Controllers, brokers and their logs at one instant.

use super::{Page, list, or_dash, words, zookeeper};
use crate::text::{Align, Rows, grouped};
use acklab_machines::broker::{BrokerView, FollowerView, PartitionView, RoleView};
use acklab_machines::controller::ControllerView;
use acklab_runtime::view::{MachineView, ProcessView};
use acklab_vocab::ids::BrokerId;
use acklab_vocab::metadata_log::PartitionState;

/// The quorum.
pub fn controllers(page: &Page<'_>) -> String {
    if page.scenario.cluster.controllers().is_empty() {
        return String::new();
    }
    let mut rows = Rows::with_header(&[
        ("process", Align::Left),
        ("state", Align::Left),
        ("in the quorum", Align::Left),
        ("epoch", Align::Right),
        ("leader", Align::Right),
        ("log end", Align::Right),
        ("committed", Align::Right),
    ]);
    for (process, controller) in views(page, controller_of) {
        let name = match process.name.strip_prefix("broker") {
            Some(_) => format!("{} (controller {})", process.name, controller.id),
            None => process.name.clone(),
        };
        let active = if controller.active { " *" } else { "" };
        rows.add([
            name,
            page.process_state(process.state),
            format!("{}{active}", controller.role),
            controller.quorum.epoch.to_string(),
            or_dash(controller.quorum.leader),
            grouped(controller.log_end.0),
            grouped(controller.high_watermark.0),
        ]);
    }
    let down = page.view.processes.iter().filter(|it| it.machines.is_empty());
    for process in down.filter(|it| it.name.starts_with("controller ")) {
        rows.add([process.name.clone(), page.process_state(process.state)]);
    }
    rows.render(page.width)
}

/// The brokers as they see themselves and as the active controller sees them.
pub fn brokers(page: &Page<'_>) -> String {
    let mut rows = Rows::with_header(&[
        ("process", Align::Left),
        ("state", Align::Left),
        ("life", Align::Left),
        ("epoch", Align::Right),
        ("controller", Align::Right),
        ("metadata", Align::Right),
        ("leads", Align::Right),
        ("to the active controller", Align::Left),
    ]);
    let active = active_controller(page);
    for (id, process) in broker_processes(page) {
        let state = page.process_state(process.state);
        let Some(broker) = process.machines.iter().find_map(broker_of) else {
            let mut row = vec![process.name.clone(), state];
            row.extend(["–"; 5].map(str::to_owned));
            row.push(registration(page, active, id));
            rows.add(row);
            continue;
        };
        let leads =
            broker.partitions.iter().filter(|it| matches!(it.role, RoleView::Leader { .. }));
        let fenced = if broker.fenced { ", fenced" } else { "" };
        rows.add([
            process.name.clone(),
            state,
            format!("{}{fenced}", words(&broker.state)),
            or_dash(broker.broker_epoch),
            or_dash(broker.controller),
            grouped(broker.metadata_offset.0),
            grouped(leads.count() as u64),
            registration(page, active, id),
        ]);
    }
    rows.render(page.width)
}

fn registration(page: &Page<'_>, active: Option<&ControllerView>, id: BrokerId) -> String {
    if let Some(server) = zookeeper::best_informed(page) {
        return match zookeeper::is_registered(server, id) {
            true => "registered".to_owned(),
            false => "not registered".to_owned(),
        };
    }
    let Some(active) = active else { return "no controller is active".to_owned() };
    let Some(broker) = active.brokers.iter().find(|broker| broker.broker == id) else {
        return "not registered".to_owned();
    };
    let state = match (broker.registration.fenced, broker.registration.in_controlled_shutdown) {
        (true, _) => "fenced",
        (false, true) => "in controlled shutdown",
        (false, false) => "active",
    };
    let heard = broker.last_contact.map(|at| format!(", heard {}", page.ago(at)));
    format!("{state}{}", heard.unwrap_or_default())
}

/// Every partition as the controller has it, and below it every replica that runs.
pub fn partitions(page: &Page<'_>) -> String {
    let mut replicas: Vec<(&ProcessView, BrokerId, &PartitionView)> = views(page, broker_of)
        .flat_map(|(process, broker)| {
            broker.partitions.iter().map(move |partition| (process, broker.id, partition))
        })
        .collect();
    replicas.sort_by_key(|&(_, broker, view)| (view.partition, broker));
    let by_zookeeper = zookeeper::best_informed(page).map(zookeeper::partitions);
    let by_controller = || best_informed(page).map(|controller| controller.partitions.clone());
    let known = by_zookeeper.or_else(by_controller).unwrap_or_default();
    let mut text = String::new();
    let mut empty = Vec::new();
    let mut ids: Vec<_> = known.iter().map(|state| state.partition).collect();
    ids.extend(replicas.iter().map(|(_, _, view)| view.partition));
    ids.sort_unstable();
    ids.dedup();
    for id in ids {
        let state = known.iter().find(|state| state.partition == id);
        let first = replicas.partition_point(|(_, _, view)| view.partition < id);
        let end = replicas.partition_point(|(_, _, view)| view.partition <= id);
        let written = |(_, _, view): &(_, _, &PartitionView)| view.log_end_offset.0 > 0;
        if page.is_internal(id) && !replicas[first..end].iter().any(written) {
            empty.push(id);
            continue;
        }
        text.push_str(&heading(page, &page.partition_name(id), state));
        text.push_str(&replica_rows(page, state, &replicas[first..end]));
    }
    for topic in empty.chunk_by(|first, second| first.topic == second.topic) {
        let name = page.topic_name(topic[0].topic);
        text.push_str(&format!("  {name}  {} more partitions, all empty\n", topic.len()));
    }
    text
}

fn heading(page: &Page<'_>, name: &str, state: Option<&PartitionState>) -> String {
    let Some(state) = state else { return format!("  {name}  unknown to the controllers\n") };
    let leader = state.leader.map_or("no leader".to_owned(), |leader| format!("leader {leader}"));
    let eligible = match state.eligible.is_empty() {
        true => String::new(),
        false => format!("  eligible {}", list(&state.eligible)),
    };
    let recovering = if state.recovering { "  recovering from an unclean election" } else { "" };
    let line = format!(
        "{name}  {leader}  epoch {}  ISR {}  replicas {}{eligible}{recovering}",
        state.leader_epoch,
        list(&state.isr),
        list(&state.replicas)
    );
    let lines = crate::text::wrapped(&line, page.width - 2);
    lines.iter().map(|line| format!("  {line}\n")).collect()
}

fn replica_rows(
    page: &Page<'_>,
    state: Option<&PartitionState>,
    replicas: &[(&ProcessView, BrokerId, &PartitionView)],
) -> String {
    let mut rows = Rows::with_header(&[
        ("replica", Align::Left),
        ("is", Align::Left),
        ("epoch", Align::Right),
        ("log start", Align::Right),
        ("LSO", Align::Right),
        ("HW", Align::Right),
        ("flushed", Align::Right),
        ("LEO", Align::Right),
        ("known to the leader", Align::Left),
    ])
    .indented(4);
    let followers: Vec<&FollowerView> =
        replicas.iter().flat_map(|(_, _, view)| followers(view)).collect();
    for (process, broker, view) in replicas {
        let role = match view.role {
            RoleView::Unassigned => "unassigned".to_owned(),
            RoleView::Follower => match view.leader {
                Some(leader) => format!("follows {leader}"),
                None => "knows no leader".to_owned(),
            },
            RoleView::Leader { .. } => "LEADER".to_owned(),
        };
        let fetched = followers.iter().filter(|follower| follower.broker == *broker);
        let fetched: Vec<String> = fetched.map(|follower| fetch_state(page, follower)).collect();
        let remark = match &view.role {
            RoleView::Leader { isr, pending_isr, .. } => {
                let pending = pending_isr.as_ref();
                let pending = pending.map(|isr| format!(", proposes {}", list(isr)));
                let waiting = waiting(view.parked_produces, view.parked_fetches);
                format!("ISR {}{}{waiting}", list(isr), pending.unwrap_or_default())
            }
            RoleView::Unassigned | RoleView::Follower => fetched.join("; "),
        };
        rows.add([
            process.name.clone(),
            role,
            view.leader_epoch.to_string(),
            grouped(view.log_start_offset.0),
            grouped(view.last_stable_offset.0),
            grouped(view.high_watermark.0),
            grouped(view.flushed_end_offset.0),
            grouped(view.log_end_offset.0),
            remark,
        ]);
    }
    for (id, process) in broker_processes(page).into_iter().filter(|(_, it)| it.machines.is_empty())
    {
        if state.is_some_and(|state| state.replicas.contains(&id)) {
            rows.add([process.name.clone(), page.process_state(process.state)]);
        }
    }
    rows.render(page.width)
}

fn followers(view: &PartitionView) -> &[FollowerView] {
    match &view.role {
        RoleView::Leader { followers, .. } => followers,
        RoleView::Unassigned | RoleView::Follower => &[],
    }
}

fn fetch_state(page: &Page<'_>, follower: &FollowerView) -> String {
    match (follower.log_end_offset, follower.last_caught_up) {
        (None, _) => "has not fetched yet".to_owned(),
        (Some(at), None) => format!("fetched from {}, never caught up", grouped(at.0)),
        (Some(at), Some(since)) => {
            format!("fetched from {}, caught up {}", grouped(at.0), page.ago(since))
        }
    }
}

fn waiting(produces: usize, fetches: usize) -> String {
    let part = |count: usize, one: &str, several: &str| match count {
        0 => String::new(),
        1 => format!(", 1 {one} waits"),
        count => format!(", {} {several} wait", grouped(count as u64)),
    };
    let produces = part(produces, "produce", "produces");
    format!("{produces}{}", part(fetches, "fetch", "fetches"))
}

fn active_controller<'a>(page: &Page<'a>) -> Option<&'a ControllerView> {
    let controllers = views(page, controller_of).map(|(_, controller)| controller);
    controllers.filter(|controller| controller.active).max_by_key(|it| it.quorum.epoch)
}

/// The active controller, or the one with the longest log.
fn best_informed<'a>(page: &Page<'a>) -> Option<&'a ControllerView> {
    let longest = || {
        let controllers = views(page, controller_of).map(|(_, controller)| controller);
        controllers.max_by_key(|it| (it.high_watermark, it.log_end))
    };
    active_controller(page).or_else(longest)
}

fn controller_of(machine: &MachineView) -> Option<&ControllerView> {
    match machine {
        MachineView::Controller(view) => Some(view),
        MachineView::Broker(_)
        | MachineView::ZooKeeper(_)
        | MachineView::Producer(_)
        | MachineView::Reader(_)
        | MachineView::Consumer(_) => None,
    }
}

/// The view of a broker.
pub fn broker_of(machine: &MachineView) -> Option<&BrokerView> {
    match machine {
        MachineView::Broker(view) => Some(view),
        MachineView::Controller(_)
        | MachineView::ZooKeeper(_)
        | MachineView::Producer(_)
        | MachineView::Reader(_)
        | MachineView::Consumer(_) => None,
    }
}

/// The machines of one kind, with their processes.
pub fn views<'a, V>(
    page: &Page<'a>,
    of: fn(&'a MachineView) -> Option<&'a V>,
) -> impl Iterator<Item = (&'a ProcessView, &'a V)> {
    let processes = page.view.processes.iter();
    processes.flat_map(move |process| {
        process.machines.iter().filter_map(of).map(move |view| (process, view))
    })
}

/// The brokers' processes, by id.
fn broker_processes<'a>(page: &Page<'a>) -> Vec<(BrokerId, &'a ProcessView)> {
    let id = |process: &ProcessView| process.name.strip_prefix("broker ")?.parse().ok();
    let processes = page.view.processes.iter();
    let mut brokers: Vec<_> =
        processes.filter_map(|process| Some((BrokerId(id(process)?), process))).collect();
    brokers.sort_by_key(|&(id, _)| id);
    brokers
}
