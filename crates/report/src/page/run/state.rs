//! The slider, and the cluster's state at its instant. The page holds the state at the end of the
//! run; the script puts in that of any other instant.

use super::super::Html;
use super::hundredths;
use crate::plot::instant;
use crate::run::model::{RunPage, TimelineRow};
use crate::run::state::{Cell, NOTHING, PartitionCells, ReplicaCells, StateHistory, StateLayout};
use acklab_verdict::names::{counted, grouped};
use askama::Template;

/// A cell with what it says at the end.
struct Value {
    cell: Cell,
    text: String,
}

/// A process, or the faults in force: shown unless there is nothing to say.
struct Process {
    name: String,
    cell: Cell,
    state: String,
    is_quiet: bool,
}

struct Partition {
    name: String,
    leader_cell: Cell,
    leader: String,
    epoch_cell: Cell,
    epoch: String,
    isr_cell: Cell,
    isr: String,
    /// The highest log end offset that any replica ever had.
    most: i64,
    replicas: Vec<Replica>,
}

struct Replica {
    broker: u16,
    leads: bool,
    /// Its log ends elsewhere than the leader's.
    differs: bool,
    leo_cell: Cell,
    leo: String,
    leo_share: String,
    hw_cell: Cell,
    hw: String,
    hw_share: String,
}

struct Group {
    application: String,
    group_id: String,
    state: Value,
    generation: Value,
    members: Value,
    coordinator: Value,
    rows: Vec<Assignment>,
    left_out: u64,
}

struct Assignment {
    partition: String,
    owner: Value,
    position: Value,
    committed: Value,
}

#[derive(Template)]
#[template(path = "run/state.html")]
struct State {
    instant: String,
    last: String,
    end: u64,
    step: u64,
    summary: String,
    processes: Vec<Process>,
    faults: Process,
    partitions: Vec<Partition>,
    groups: Vec<Group>,
}

/// The slider and the state at the end.
#[must_use]
pub fn state(page: &RunPage) -> Html {
    let view = View { history: &page.state, cells: page.state.at_end() };
    let layout = &page.state.layout;
    let end = page.axis.end_us;
    let process = |of: &crate::run::state::ProcessCells| {
        let state = view.word(of.state);
        let is_quiet = state == "running";
        Process { name: of.name.clone(), cell: of.state, state, is_quiet }
    };
    let faults = view.word(layout.faults);
    let is_quiet = view.number(layout.faults) == NOTHING;
    let most = view.most();
    Html::of(&State {
        instant: instant(end),
        last: page.timeline.shown.last().map(last).unwrap_or_default(),
        end,
        step: step_of(end),
        summary: summary(&page.state),
        processes: layout.processes.iter().map(process).collect(),
        faults: Process {
            name: String::new(),
            cell: layout.faults,
            state: format!("In force: {faults}"),
            is_quiet,
        },
        partitions: layout.partitions.iter().map(|of| view.partition(of, &most)).collect(),
        groups: layout.groups.iter().map(|of| view.group(of)).collect(),
    })
}

/// What happened last.
fn last(row: &TimelineRow) -> String {
    format!("{}: {}", instant(row.at_us), row.text)
}

/// The slider moves by a thousandth of the run, in whole milliseconds.
fn step_of(end: u64) -> u64 {
    (end / 1_000 / 1_000).max(1) * 1_000
}

/// What it leaves out.
fn summary(history: &StateHistory) -> String {
    let StateLayout { partitions_left_out, processes_left_out, .. } = &history.layout;
    let mut parts = Vec::new();
    if *partitions_left_out > 0 {
        parts.push(format!("{} not shown", counted(*partitions_left_out, "partition")));
    }
    if *processes_left_out > 0 {
        parts.push(format!("processes not shown: {}", grouped(*processes_left_out)));
    }
    if history.steps_left_out > 0 {
        let (shown, more) = (history.at_us.len() as u64, history.steps_left_out);
        let (shown, more) = (counted(shown, "instant"), counted(more, "change"));
        parts.push(format!("exact at {shown}; {more} in between not seen one by one"));
    }
    parts.join(" · ")
}

/// The state at the end, read by cells.
struct View<'a> {
    history: &'a StateHistory,
    cells: Vec<i64>,
}

impl View<'_> {
    fn number(&self, cell: Cell) -> i64 {
        self.cells.get(cell).copied().unwrap_or(NOTHING)
    }

    fn word(&self, cell: Cell) -> String {
        self.history.word(self.number(cell)).unwrap_or("–").to_owned()
    }

    fn digits(&self, cell: Cell) -> String {
        u64::try_from(self.number(cell)).map_or_else(|_| "–".to_owned(), grouped)
    }

    fn of_word(&self, cell: Cell) -> Value {
        Value { cell, text: self.word(cell) }
    }

    fn of_number(&self, cell: Cell) -> Value {
        Value { cell, text: self.digits(cell) }
    }

    /// The greatest value that each cell ever had.
    fn most(&self) -> Vec<i64> {
        let mut most = self.history.first.clone();
        for change in self.history.changes.iter().flat_map(|changes| changes.chunks_exact(2)) {
            let index = usize::try_from(change[0]).unwrap_or(usize::MAX);
            if let Some(cell) = most.get_mut(index) {
                *cell = change[1].max(*cell);
            }
        }
        most
    }

    fn partition(&self, of: &PartitionCells, most: &[i64]) -> Partition {
        let ends = of.replicas.iter().filter_map(|replica| most.get(replica.log_end_offset));
        let most = ends.copied().max().unwrap_or(1).max(1);
        Partition {
            name: of.name.clone(),
            leader_cell: of.leader,
            leader: self.digits(of.leader),
            epoch_cell: of.epoch,
            epoch: self.digits(of.epoch),
            isr_cell: of.isr,
            isr: self.word(of.isr),
            most,
            replicas: of.replicas.iter().map(|replica| self.replica(of, replica, most)).collect(),
        }
    }

    fn replica(&self, partition: &PartitionCells, of: &ReplicaCells, most: i64) -> Replica {
        let leads =
            |replica: &&ReplicaCells| i64::from(replica.broker) == self.number(partition.leader);
        let leader = partition.replicas.iter().find(leads);
        let end = |replica: &ReplicaCells| self.number(replica.log_end_offset);
        Replica {
            broker: of.broker,
            leads: leads(&of),
            differs: leader.is_some_and(|leader| end(leader) != end(of)),
            leo_cell: of.log_end_offset,
            leo: self.digits(of.log_end_offset),
            leo_share: hundredths(self.number(of.log_end_offset), most),
            hw_cell: of.high_watermark,
            hw: self.digits(of.high_watermark),
            hw_share: hundredths(self.number(of.high_watermark), most),
        }
    }

    fn group(&self, of: &crate::run::state::GroupCells) -> Group {
        let row = |row: &crate::run::state::AssignmentCells| Assignment {
            partition: row.partition.clone(),
            owner: self.of_word(row.owner),
            position: self.of_number(row.position),
            committed: self.of_number(row.committed),
        };
        Group {
            application: of.application.clone(),
            group_id: of.group_id.clone(),
            state: self.of_word(of.state),
            generation: self.of_number(of.generation),
            members: self.of_number(of.members),
            coordinator: self.of_word(of.coordinator),
            rows: of.partitions.iter().map(row).collect(),
            left_out: of.partitions_left_out,
        }
    }
}
