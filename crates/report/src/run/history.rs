//! The state of the cluster at a bounded number of steps, as the changes from each to the next.

use acklab_verdict::{Verdict, names};
use acklab_vocab::ids::NodeId;
use std::collections::BTreeMap;

use super::model::Axis;
use super::recorder::{DOWN, PAUSED, RUNNING, Recording, STATES, WITHOUT_POWER};
use super::state::{
    AssignmentCells, Cell, GroupCells, NOTHING, PartitionCells, ProcessCells, ReplicaCells,
    StateHistory, StateLayout,
};
use super::track::{Track, together};

/// So many processes, partitions of an application, and applications are shown.
const PROCESSES: usize = 60;
const ASSIGNMENTS: usize = 50;
const APPLICATIONS: usize = 6;
/// So many instants at which something happened that matters are steps.
const EVENTS: usize = 400;
/// So many faults are named that are in force at once.
const FAULTS_NAMED: usize = 4;
/// So many steps at even distances are added.
const EVEN_STEPS: u64 = 400;
/// So many changes of cells are kept in all.
const CHANGES: usize = 24_000;

/// The history of a run, with the partitions that are shown.
#[must_use]
pub fn history(
    recording: &Recording,
    verdict: &Verdict,
    shown: &[usize],
    axis: &Axis,
) -> StateHistory {
    let mut builder = Builder { recording, verdict, cells: Vec::new(), words: Words::default() };
    let layout = builder.layout(shown);
    let Builder { cells, .. } = builder;
    let (events, total) = events(&cells, axis);
    let mut even = EVEN_STEPS;
    loop {
        let steps = steps(&events, even, axis);
        let (first, changes) = fold(&cells, &steps);
        let count: usize = changes.iter().map(|changes| changes.len() / 2).sum();
        if count <= CHANGES || even == 0 {
            let left_out = (total - events.len()) as u64;
            return StateHistory { layout, at_us: steps, first, changes, steps_left_out: left_out };
        }
        even /= 2;
    }
}

/// A cell over time.
struct CellTrack {
    points: Vec<(u64, i64)>,
    /// Its changes are worth a step of their own.
    matters: bool,
}

/// Words, each known by its place.
#[derive(Default)]
struct Words {
    all: Vec<String>,
    places: BTreeMap<String, i64>,
}

impl Words {
    fn place_of(&mut self, word: String) -> i64 {
        let next = self.all.len() as i64;
        let place = *self.places.entry(word.clone()).or_insert(next);
        if place == next {
            self.all.push(word);
        }
        place
    }
}

struct Builder<'a> {
    recording: &'a Recording,
    verdict: &'a Verdict,
    cells: Vec<CellTrack>,
    words: Words,
}

impl Builder<'_> {
    fn layout(&mut self, shown: &[usize]) -> StateLayout {
        let faults = self.faults();
        let processes = self.processes();
        let partitions: Vec<PartitionCells> =
            shown.iter().map(|&index| self.partition(index)).collect();
        let applications = 0..self.recording.applications.len().min(APPLICATIONS);
        let groups = applications.map(|index| self.group(index)).collect();
        let topics = self.verdict.header.topics.iter().filter(|topic| !topic.internal);
        let all: u64 = topics.map(|topic| u64::from(topic.partitions)).sum();
        let own = shown.iter().filter_map(|&index| self.recording.partitions.get(index));
        let own = own.filter(|of| !super::panels::is_internal(&self.verdict.header, of)).count();
        StateLayout {
            words: std::mem::take(&mut self.words.all),
            faults,
            processes,
            partitions,
            groups,
            partitions_left_out: all - own as u64,
        }
    }

    fn add(&mut self, points: Vec<(u64, i64)>, matters: bool) -> Cell {
        self.cells.push(CellTrack { points, matters });
        self.cells.len() - 1
    }

    fn number(&mut self, track: &Track, matters: bool) -> Cell {
        self.add(track.points().to_vec(), matters)
    }

    /// A cell whose values are put into words.
    fn word(&mut self, track: &Track, say: impl Fn(i64) -> Option<String>) -> Cell {
        let words = &mut self.words;
        let points = track
            .points()
            .iter()
            .map(|&(at, value)| (at, say(value).map_or(NOTHING, |word| words.place_of(word))));
        let points = points.collect();
        self.add(points, true)
    }

    fn faults(&mut self) -> Cell {
        let spans: Vec<Track> = self
            .recording
            .faults
            .iter()
            .map(|fault| {
                let mut track = Track::default();
                track.set(fault.from_us, 1);
                if let Some(to) = fault.to_us {
                    track.set(to, 0);
                }
                track
            })
            .collect();
        let mut points = Vec::new();
        for (at, in_force) in together(&spans.iter().collect::<Vec<_>>()) {
            let known = self.recording.faults.iter().zip(in_force);
            let texts = known.filter(|(_, is)| *is == 1).map(|(fault, _)| &*fault.description);
            let mut texts = texts.collect::<Vec<&str>>();
            let more = texts.len().saturating_sub(FAULTS_NAMED);
            texts.truncate(FAULTS_NAMED);
            let mut text = texts.join("; ");
            if more > 0 {
                text.push_str(&format!("; and {more} more"));
            }
            let value = if text.is_empty() { NOTHING } else { self.words.place_of(text) };
            points.push((at, value));
        }
        self.add(points, true)
    }

    fn processes(&mut self) -> Vec<ProcessCells> {
        let recording = self.recording;
        let all = recording.processes.iter().take(PROCESSES).enumerate();
        let cells = all.map(|(node, track)| ProcessCells {
            name: names::node(&self.verdict.header, NodeId(node as u16)),
            state: self.word(track, |state| {
                let word = match state {
                    RUNNING => "running",
                    PAUSED => "paused",
                    DOWN => "down",
                    WITHOUT_POWER => "without power",
                    _ => return None,
                };
                Some(word.to_owned())
            }),
        });
        cells.collect()
    }

    fn partition(&mut self, index: usize) -> PartitionCells {
        let recording = self.recording;
        let of = &recording.partitions[index];
        let replicas = of.replicas.iter().map(|replica| ReplicaCells {
            broker: replica.broker.0,
            log_end_offset: self.number(&replica.log_end_offset, false),
            high_watermark: self.number(&replica.high_watermark, false),
        });
        let replicas = replicas.collect();
        PartitionCells {
            name: self.verdict.partition_name(of.id),
            leader: self.number(&of.leader, true),
            epoch: self.number(&of.epoch, true),
            isr: self.word(&of.isr, |list| {
                let isr = recording.lists.get(list).iter().map(u16::to_string);
                Some(isr.collect::<Vec<_>>().join(" "))
            }),
            replicas,
        }
    }

    fn group(&mut self, index: usize) -> GroupCells {
        let (recording, header) = (self.recording, &self.verdict.header);
        let of = &header.groups[index];
        let nothing = super::recorder::GroupTracks::default();
        let group = recording.groups.get(usize::from(of.group.0)).unwrap_or(&nothing);
        let readings = &recording.applications[index].readings;
        let partitions = readings.iter().take(ASSIGNMENTS).map(|reading| {
            let id = recording.partitions.get(reading.partition).map(|of| of.id);
            let committed = group.committed.get(reading.partition);
            AssignmentCells {
                partition: id.map_or_else(String::new, |id| self.verdict.partition_name(id)),
                owner: self.word(&reading.owners, |list| {
                    let owners = recording.lists.get(list).iter();
                    let names = owners.map(|owner| names::node(header, NodeId(*owner)));
                    let names: Vec<String> = names.collect();
                    (!names.is_empty()).then(|| names.join(" and "))
                }),
                position: self.number(&reading.position, false),
                committed: self.number(committed.unwrap_or(&Track::default()), false),
            }
        });
        let partitions: Vec<AssignmentCells> = partitions.collect();
        GroupCells {
            application: of.name.clone(),
            group_id: names::group(header, of.group),
            state: self.word(&group.state, |state| {
                let state = usize::try_from(state).ok().and_then(|state| STATES.get(state));
                state.map(|(_, name)| (*name).to_owned())
            }),
            generation: self.number(&group.generation, true),
            members: self.number(&group.members, true),
            coordinator: self.word(&group.coordinator, |node| {
                let node = u16::try_from(node).ok()?;
                Some(names::node(header, NodeId(node)))
            }),
            partitions_left_out: (readings.len() - partitions.len()) as u64,
            partitions,
        }
    }
}

/// Instants at which something changed that matters, and how many there were before they were
/// thinned: of too many, those that stand closest behind another are left out.
fn events(cells: &[CellTrack], axis: &Axis) -> (Vec<u64>, usize) {
    let mattering = cells.iter().filter(|cell| cell.matters);
    let mut all: Vec<u64> =
        mattering.flat_map(|cell| cell.points.iter().map(|&(at, _)| at)).collect();
    all.sort_unstable();
    all.dedup();
    let total = all.len();
    let mut distance = axis.end_us / 4_000;
    while all.len() > EVENTS {
        let mut last = None;
        // The last of those that are close together: all of them have happened by then.
        all.reverse();
        all.retain(|&at| {
            let keep = last.is_none_or(|last| last - at >= distance);
            if keep {
                last = Some(at);
            }
            keep
        });
        all.reverse();
        distance = distance * 3 / 2 + 1;
    }
    (all, total)
}

/// The instants of the steps: the beginning, the events, even ones, the end.
fn steps(events: &[u64], even: u64, axis: &Axis) -> Vec<u64> {
    let even = (1..even).map(|step| step * axis.end_us / even);
    let mut steps: Vec<u64> =
        [0, axis.end_us].into_iter().chain(events.iter().copied()).chain(even).collect();
    steps.sort_unstable();
    steps.dedup();
    steps.retain(|&at| at <= axis.end_us);
    steps
}

/// The cells at the first step, and what changed up to each later one.
fn fold(cells: &[CellTrack], steps: &[u64]) -> (Vec<i64>, Vec<Vec<i64>>) {
    let mut places = vec![0; cells.len()];
    let mut state = vec![NOTHING; cells.len()];
    let mut rows = steps.iter().map(|&step| {
        let mut changes = Vec::new();
        for (index, cell) in cells.iter().enumerate() {
            let mut value = state[index];
            while let Some(&(_, next)) = cell.points.get(places[index]).filter(|of| of.0 <= step) {
                value = next;
                places[index] += 1;
            }
            if value != state[index] {
                state[index] = value;
                changes.extend([index as i64, value]);
            }
        }
        changes
    });
    let mut first = vec![NOTHING; cells.len()];
    for change in rows.next().iter().flatten().copied().collect::<Vec<i64>>().chunks_exact(2) {
        first[change[0] as usize] = change[1];
    }
    (first, rows.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(points: &[(u64, i64)], matters: bool) -> CellTrack {
        CellTrack { points: points.to_vec(), matters }
    }

    #[test]
    fn folding_all_changes_gives_the_state_of_each_step() {
        let cells = [
            cell(&[(0, 5), (3, 6), (4, 7)], false),
            cell(&[(2, 1), (9, 0)], true),
            cell(&[], true),
        ];
        let steps = [0, 2, 4, 9, 10];
        let (first, changes) = fold(&cells, &steps);
        let history = StateHistory { first, changes, at_us: steps.to_vec(), ..Default::default() };
        let states: Vec<_> = (0..6).map(|step| history.at_step(step)).collect();
        assert_eq!(
            states,
            [[5, -1, -1], [5, 1, -1], [7, 1, -1], [7, 0, -1], [7, 0, -1], [7, 0, -1]]
        );
        assert_eq!(history.at_end(), [7, 0, -1]);
        assert_eq!(history.changes[3], [0_i64; 0]);
    }

    #[test]
    fn steps_begin_at_zero_end_with_the_run_and_are_bounded() {
        let axis = Axis::new(1_000_000, None);
        assert_eq!(steps(&[7, 500_000, 2_000_000], 2, &axis), [0, 7, 500_000, 1_000_000]);
        let many: Vec<(u64, i64)> = (0..5_000).map(|at| (at * 100, at as i64)).collect();
        let (kept, total) = events(&[cell(&many, true), cell(&[(33, 1)], false)], &axis);
        assert_eq!(total, 5_000);
        assert!(kept.len() <= EVENTS && kept.last() == Some(&499_900), "{}", kept.len());
        assert!(kept.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
