//! The cluster's state over time, compact enough for a page, and as it is at one step of it.
//!
//! A state is a row of numbers, the *cells*; [`StateLayout`] says what each cell means. The history
//! is the first row and, for each step, the cells that changed. A step's state is exact at the
//! step's instant; steps stand where something happened that matters (a leader, an ISR, an owner
//! changed), and in between at even distances for the offsets.

use serde::Serialize;

/// A cell that holds nothing: no leader, no position, no committed offset.
pub const NOTHING: i64 = -1;

/// Index of a cell in a state.
pub type Cell = usize;

/// The state at every step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StateHistory {
    /// What the cells mean.
    pub layout: StateLayout,
    /// The instants of the steps, strictly ascending, beginning with 0 and ending with the end of
    /// the run.
    pub at_us: Vec<u64>,
    /// The cells at the first step.
    pub first: Vec<i64>,
    /// For each later step the cells that changed: `[cell, value, cell, value, …]`. One shorter
    /// than `at_us`.
    pub changes: Vec<Vec<i64>>,
    /// How many changes fell between two steps and are not seen.
    pub steps_left_out: u64,
}

/// What the cells of a state mean.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StateLayout {
    /// Words that cells of the kind *word* point into.
    pub words: Vec<String>,
    /// Word: the faults in force, separated by `; `, or [`NOTHING`].
    pub faults: Cell,
    /// Every process.
    pub processes: Vec<ProcessCells>,
    /// The partitions of [`RunPage::partitions`](super::model::RunPage), in the same order.
    pub partitions: Vec<PartitionCells>,
    /// The applications of [`RunPage::groups`](super::model::RunPage), in the same order.
    pub groups: Vec<GroupCells>,
    /// Partitions that are not shown.
    pub partitions_left_out: u64,
    /// Processes that are not shown.
    pub processes_left_out: u64,
}

/// Cells of a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProcessCells {
    /// `broker 1`
    pub name: String,
    /// Word: `running`, `paused`, `down`, `without power`.
    pub state: Cell,
}

/// Cells of a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartitionCells {
    /// `orders-0`
    pub name: String,
    /// Number: the leader's broker id as the controller has it, or [`NOTHING`].
    pub leader: Cell,
    /// Number: the leader epoch.
    pub epoch: Cell,
    /// Word: the ISR, `1 2 3`.
    pub isr: Cell,
    /// Its replicas, by broker.
    pub replicas: Vec<ReplicaCells>,
}

/// Cells of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ReplicaCells {
    /// Its broker.
    pub broker: u16,
    /// Number: offset of its next record.
    pub log_end_offset: Cell,
    /// Number: first offset that it does not know to be committed, or [`NOTHING`] while its process
    /// is dead.
    pub high_watermark: Cell,
}

/// Cells of a consumer application and its group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GroupCells {
    /// Name of the application.
    pub application: String,
    /// Its `group.id`.
    pub group_id: String,
    /// Word: the group's state at its coordinator, `Stable`, or [`NOTHING`].
    pub state: Cell,
    /// Number: the generation or group epoch, or [`NOTHING`].
    pub generation: Cell,
    /// Number: members of the group at its coordinator.
    pub members: Cell,
    /// Word: the broker that coordinates it, or [`NOTHING`].
    pub coordinator: Cell,
    /// Its partitions, as far as they are shown.
    pub partitions: Vec<AssignmentCells>,
    /// Partitions that are not shown.
    pub partitions_left_out: u64,
}

/// Cells of a partition that an application reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AssignmentCells {
    /// `orders-0`
    pub partition: String,
    /// Word: who owns it by its own account and has not been removed by the coordinator,
    /// `billing-1`, or [`NOTHING`].
    pub owner: Cell,
    /// Number: where the consumer that acted last stands, or [`NOTHING`].
    pub position: Cell,
    /// Number: the group's committed offset, or [`NOTHING`].
    pub committed: Cell,
}

impl StateHistory {
    /// The cells at a step, by folding the changes up to it; the last step's if there are fewer.
    #[must_use]
    pub fn at_step(&self, step: usize) -> Vec<i64> {
        let mut cells = self.first.clone();
        for change in self.changes.iter().take(step).flat_map(|changes| changes.chunks_exact(2)) {
            let index = usize::try_from(change[0]).unwrap_or(usize::MAX);
            if let Some(cell) = cells.get_mut(index) {
                *cell = change[1];
            }
        }
        cells
    }

    /// The cells at the end of the run: what the page shows without JavaScript.
    #[must_use]
    pub fn at_end(&self) -> Vec<i64> {
        self.at_step(self.changes.len())
    }

    /// What a cell of the kind *word* says; `None` if it holds nothing.
    #[must_use]
    pub fn word(&self, value: i64) -> Option<&str> {
        let index = usize::try_from(value).ok()?;
        self.layout.words.get(index).map(String::as_str)
    }
}
