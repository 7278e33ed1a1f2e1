//! Producers and readers at one instant.

use super::groups::assigned;
use super::servers::views;
use super::{Page, or_dash, words};
use crate::text::{Align, Rows, grouped};
use acklab_machines::client::ConnectionState;
use acklab_machines::producer::{
    BatchView, ProducerTransactionState, ProducerTransactionView, ProducerView,
};
use acklab_machines::reader::ReaderView;
use acklab_runtime::view::MachineView;
use acklab_vocab::ids::BrokerId;

/// Every producer: its id, its buffer, its connections.
pub fn producers(page: &Page<'_>) -> String {
    let mut rows = Rows::with_header(&[
        ("process", Align::Left),
        ("state", Align::Left),
        ("producer id", Align::Left),
        ("blocked", Align::Right),
        ("buffer free", Align::Right),
        ("connected to (in flight)", Align::Left),
    ]);
    for (process, producer) in views(page, producer_of) {
        let blocked = match producer.blocked_since {
            Some(since) => format!("{} since {since}", grouped(producer.blocked as u64)),
            None => grouped(producer.blocked as u64),
        };
        rows.add([
            process.name.clone(),
            page.process_state(process.state),
            or_dash(producer.producer_id.map(|(id, epoch)| format!("{id}, epoch {epoch}"))),
            blocked,
            format!("{} B", grouped(producer.buffer_available)),
            connections(&producer.connections),
        ]);
    }
    rows.render(page.width)
}

/// Every transactional producer: its own view of its transaction. The coordinators' is another section.
pub fn transactions(page: &Page<'_>) -> String {
    let mut rows = Rows::with_header(&[
        ("process", Align::Left),
        ("transactional id", Align::Left),
        ("state", Align::Left),
        ("coordinator", Align::Left),
        ("partitions in it", Align::Left),
        ("on their way", Align::Left),
    ]);
    for (process, producer) in views(page, producer_of) {
        let Some(of) = &producer.transaction else { continue };
        let name = page.scenario.transactional_ids.get(usize::from(of.transactional_id.0));
        rows.add([
            process.name.clone(),
            or_dash(name),
            transaction_state(of.state),
            or_dash(of.coordinator.map(|broker| format!("broker {broker}"))),
            assigned(page, &of.partitions),
            on_their_way(page, of),
        ]);
    }
    rows.render(page.width)
}

fn transaction_state(state: ProducerTransactionState) -> String {
    match state {
        ProducerTransactionState::AbortableError(error)
        | ProducerTransactionState::FatalError(error) => format!("{}: {error}", words(&state)),
        _ => words(&state),
    }
}

/// Partitions that are not known to be in the transaction yet, and offsets that the group's
/// coordinator has not acknowledged.
fn on_their_way(page: &Page<'_>, of: &ProducerTransactionView) -> String {
    match (of.unconfirmed.is_empty(), of.offsets.is_empty()) {
        (_, true) => assigned(page, &of.unconfirmed),
        (true, false) => format!("offsets of {}", assigned(page, &of.offsets)),
        (false, false) => {
            let offsets = assigned(page, &of.offsets);
            format!("{}, offsets of {offsets}", assigned(page, &of.unconfirmed))
        }
    }
}

/// What every producer holds for every partition.
pub fn queues(page: &Page<'_>) -> String {
    let mut rows = Rows::with_header(&[
        ("process", Align::Left),
        ("partition", Align::Left),
        ("leader", Align::Right),
        ("epoch", Align::Right),
        ("queued", Align::Left),
        ("in flight", Align::Left),
    ]);
    for (process, producer) in views(page, producer_of) {
        for queue in &producer.queues {
            let muted = if queue.muted { ", muted" } else { "" };
            rows.add([
                process.name.clone(),
                page.partition_name(queue.partition),
                or_dash(queue.leader),
                or_dash(queue.leader_epoch),
                batches(&queue.queued),
                format!("{}{muted}", batches(&queue.in_flight)),
            ]);
        }
    }
    rows.render(page.width)
}

/// Every reader's positions.
pub fn readers(page: &Page<'_>) -> String {
    let mut rows = Rows::with_header(&[
        ("process", Align::Left),
        ("state", Align::Left),
        ("partition", Align::Left),
        ("is", Align::Left),
        ("position", Align::Right),
        ("HW", Align::Right),
        ("leader", Align::Right),
        ("epoch", Align::Right),
    ]);
    for (process, reader) in views(page, reader_of) {
        for partition in &reader.partitions {
            rows.add([
                process.name.clone(),
                page.process_state(process.state),
                page.partition_name(partition.partition),
                words(&partition.state),
                or_dash(partition.position.map(|offset| grouped(offset.0))),
                or_dash(partition.high_watermark.map(|offset| grouped(offset.0))),
                or_dash(partition.leader),
                or_dash(partition.leader_epoch),
            ]);
        }
    }
    rows.render(page.width)
}

/// The brokers that a client has a connection to, or is about to have.
pub fn connections(connections: &[(BrokerId, ConnectionState, usize)]) -> String {
    let one = |(broker, state, in_flight): &(BrokerId, ConnectionState, usize)| match state {
        ConnectionState::Disconnected => None,
        ConnectionState::Connecting { .. } => Some(format!("{broker} connecting")),
        ConnectionState::Ready { .. } => Some(format!("{broker} ({in_flight})")),
    };
    let all: Vec<String> = connections.iter().filter_map(one).collect();
    if all.is_empty() { "–".to_owned() } else { all.join(", ") }
}

/// The records of the first few batches by their sequences, and how many there are.
fn batches(batches: &[BatchView]) -> String {
    let one = |batch: &BatchView| {
        let again = match batch.sends {
            0 | 1 => String::new(),
            sends => format!(" ×{sends}"),
        };
        format!("#{} +{}{again}", grouped(u64::from(batch.first)), batch.count)
    };
    let shown: Vec<String> = batches.iter().take(BATCHES_SHOWN).map(one).collect();
    match batches.len() {
        0 => "–".to_owned(),
        count if count > BATCHES_SHOWN => {
            format!("{}, … {} batches", shown.join(", "), grouped(count as u64))
        }
        _ => shown.join(", "),
    }
}

/// So many batches of a queue are shown one by one.
const BATCHES_SHOWN: usize = 3;

fn producer_of(machine: &MachineView) -> Option<&ProducerView> {
    match machine {
        MachineView::Producer(view) => Some(view),
        MachineView::Broker(_)
        | MachineView::Controller(_)
        | MachineView::ZooKeeper(_)
        | MachineView::Reader(_)
        | MachineView::Consumer(_) => None,
    }
}

fn reader_of(machine: &MachineView) -> Option<&ReaderView> {
    match machine {
        MachineView::Reader(view) => Some(view),
        MachineView::Broker(_)
        | MachineView::Controller(_)
        | MachineView::ZooKeeper(_)
        | MachineView::Producer(_)
        | MachineView::Consumer(_) => None,
    }
}
