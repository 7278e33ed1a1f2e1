//! The ZooKeeper ensemble at one instant: its servers, the sessions, and the znodes that say who owns what.

use super::servers::views;
use super::{Page, list, or_dash, words};
use crate::text::{Align, Rows, grouped};
use acklab_runtime::view::{MachineView, ZooKeeperView};
use acklab_vocab::ids::{BrokerId, NodeId, PartitionEpoch};
use acklab_vocab::metadata_log::PartitionState;
use acklab_vocab::zookeeper::{SessionId, ZnodeData, ZnodePath};

/// The servers.
pub fn servers(page: &Page<'_>) -> String {
    let mut rows = Rows::with_header(&[
        ("process", Align::Left),
        ("state", Align::Left),
        ("in the ensemble", Align::Left),
        ("epoch", Align::Right),
        ("clients", Align::Right),
        ("sessions", Align::Right),
        ("znodes", Align::Right),
    ]);
    let mut any = false;
    for process in page.view.processes.iter().filter(|it| it.name.starts_with("zookeeper ")) {
        any = true;
        let state = page.process_state(process.state);
        let Some(server) = process.machines.iter().find_map(zookeeper_of) else {
            rows.add([process.name.clone(), state]);
            continue;
        };
        let serves = if server.serves { "" } else { ", does not serve" };
        rows.add([
            process.name.clone(),
            state,
            format!("{}{serves}", words(&server.state)),
            server.epoch.to_string(),
            grouped(server.clients as u64),
            grouped(server.sessions.len() as u64),
            grouped(server.znodes.len() as u64),
        ]);
    }
    if any { rows.render(page.width) } else { String::new() }
}

/// The sessions, with the ephemeral znodes that live by them, as the best informed server has them.
pub fn sessions(page: &Page<'_>) -> String {
    let Some(server) = best_informed(page) else { return String::new() };
    let mut rows = Rows::with_header(&[
        ("session", Align::Right),
        ("of", Align::Left),
        ("timeout", Align::Right),
        ("ephemeral znodes", Align::Left),
    ]);
    for &(session, client, timeout) in &server.sessions {
        let of = |(_, _, _, owner): &&Znode| *owner == Some(session);
        let own = server.znodes.iter().filter(of);
        let own: Vec<String> = own.map(|(path, ..)| path.to_string()).collect();
        rows.add([
            session.to_string(),
            process_name(page, client),
            timeout.to_string(),
            if own.is_empty() { "–".to_owned() } else { own.join("  ") },
        ]);
    }
    rows.render(page.width)
}

/// What groups keep in ZooKeeper: owners and offsets.
pub fn groups(page: &Page<'_>) -> String {
    let Some(server) = best_informed(page) else { return String::new() };
    let mut rows = Rows::with_header(&[
        ("group", Align::Left),
        ("partition", Align::Left),
        ("znode", Align::Left),
        ("holds", Align::Left),
    ]);
    let mut any = false;
    for (path, data, ..) in &server.znodes {
        let (group, partition, kind, holds) = match data {
            ZnodeData::Owner { group, partition, consumer } => {
                (group, partition, format!("owner {}", path.name()), process_name(page, *consumer))
            }
            ZnodeData::ConsumerOffset { group, partition, offset, from } => {
                let by = process_name(page, *from);
                (group, partition, "offset".to_owned(), format!("{} by {by}", grouped(offset.0)))
            }
            _ => continue,
        };
        any = true;
        let name = page.scenario.group_ids.get(usize::from(group.0));
        let name = name.map_or("?", String::as_str);
        rows.add([name.to_owned(), page.partition_name(*partition), kind, holds]);
    }
    if any { rows.render(page.width) } else { String::new() }
}

/// What brokers have by ZooKeeper.
pub fn brokers(page: &Page<'_>) -> String {
    let mut rows = Rows::with_header(&[
        ("process", Align::Left),
        ("connection", Align::Left),
        ("session", Align::Right),
        ("is", Align::Left),
        ("heard of controller", Align::Right),
        ("epoch", Align::Right),
        ("waits for ZooKeeper", Align::Left),
    ]);
    let mut any = false;
    for (process, broker) in views(page, super::servers::broker_of) {
        let Some(own) = broker.zookeeper else { continue };
        any = true;
        let waits =
            [(own.locked_partitions, "partitions locked"), (own.waiting_requests, "requests wait")];
        let waits = waits.iter().filter(|(count, _)| *count > 0);
        let waits: Vec<String> = waits.map(|(count, what)| format!("{count} {what}")).collect();
        rows.add([
            process.name.clone(),
            words(&own.state),
            or_dash(own.session),
            if own.is_controller { "the controller" } else { "–" }.to_owned(),
            or_dash(own.controller),
            own.controller_epoch.to_string(),
            list(waits),
        ]);
    }
    if any { rows.render(page.width) } else { String::new() }
}

/// Path, data, version, and the session that it lives by.
type Znode = (ZnodePath, ZnodeData, u32, Option<SessionId>);

/// The server that has applied most, as far as that shows: the one of the newest epoch with the most znodes.
pub fn best_informed<'a>(page: &Page<'a>) -> Option<&'a ZooKeeperView> {
    let servers = views(page, zookeeper_of).map(|(_, server)| server);
    servers.max_by_key(|server| (server.serves, server.epoch, server.znodes.len()))
}

/// Whether a broker's znode is there.
pub fn is_registered(server: &ZooKeeperView, id: BrokerId) -> bool {
    let is_its =
        |data: &ZnodeData| matches!(data, ZnodeData::Broker { broker, .. } if *broker == id);
    server.znodes.iter().any(|(_, data, ..)| is_its(data))
}

/// The partitions, ascending, with the versions of their znodes for partition epochs.
pub fn partitions(server: &ZooKeeperView) -> Vec<PartitionState> {
    let states = server.znodes.iter().filter_map(|(_, data, version, _)| match data {
        ZnodeData::Partition { state, .. } => {
            Some(PartitionState { partition_epoch: PartitionEpoch(*version), ..state.clone() })
        }
        _ => None,
    });
    let mut states: Vec<PartitionState> = states.collect();
    states.sort_unstable_by_key(|state| state.partition);
    states
}

fn process_name(page: &Page<'_>, node: NodeId) -> String {
    let process = page.view.processes.get(usize::from(node.0));
    process.map_or_else(|| node.to_string(), |process| process.name.clone())
}

fn zookeeper_of(machine: &MachineView) -> Option<&ZooKeeperView> {
    match machine {
        MachineView::ZooKeeper(view) => Some(view),
        MachineView::Broker(_)
        | MachineView::Controller(_)
        | MachineView::Producer(_)
        | MachineView::Reader(_)
        | MachineView::Consumer(_) => None,
    }
}
