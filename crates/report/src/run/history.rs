//! The state of the cluster at a bounded number of steps, as the changes from each to the next.

use acklab_verdict::{Verdict, names};
use acklab_vocab::ids::NodeId;
use std::collections::{BTreeMap, BTreeSet};

use super::bands::LABEL;
use super::group_panels::APPLICATIONS;
use super::limits::{Limits, clipped};
use super::model::Axis;
use super::recorder::{DOWN, PAUSED, RUNNING, Recording, STATES, WITHOUT_POWER};
use super::state::{
    AssignmentCells, Cell, GroupCells, NOTHING, PartitionCells, ProcessCells, ReplicaCells,
    StateHistory, StateLayout,
};
use super::track::Track;

/// So many processes, and partitions of an application, are shown.
const PROCESSES: usize = 60;
const ASSIGNMENTS: usize = 50;
/// So many instants at which something happened that matters are steps.
const EVENTS: usize = 400;
/// So many faults are named that are in force at once.
const FAULTS_NAMED: usize = 4;
/// So many steps at even distances are added.
const EVEN_STEPS: usize = 400;
/// So many bytes its changes and its words take at most, as JSON; a history with two steps may take
/// more.
const BYTES: usize = 300_000;

/// The history of a run, with the partitions that are shown.
#[must_use]
pub fn history(
    recording: &Recording,
    verdict: &Verdict,
    shown: &[usize],
    axis: &Axis,
    limits: Limits,
) -> StateHistory {
    let words = Words::default();
    let mut builder = Builder { recording, verdict, limits, cells: Vec::new(), words };
    let layout = builder.layout(shown);
    let Builder { cells, words, .. } = builder;
    let all = events(&cells, axis);
    let (mut even, mut most) = (limits.of(EVEN_STEPS), limits.of(EVENTS));
    loop {
        let kept = thinned(&all, most, axis);
        let steps = steps(&kept, even, axis);
        let (first, changes) = fold(&cells, &steps);
        let steps_left_out = (all.len() - kept.len()) as u64;
        let layout = layout.clone();
        let mut history = StateHistory { layout, at_us: steps, first, changes, steps_left_out };
        keep_used_words(&mut history, &cells, &words.all);
        if bytes(&history) <= limits.of(BYTES) || (even, most) == (0, 0) {
            return history;
        }
        if even >= most { even /= 2 } else { most /= 2 }
    }
}

/// Words that no step shows are left out, and the others have new places.
fn keep_used_words(history: &mut StateHistory, cells: &[CellTrack], all: &[String]) {
    let mut words = Words::default();
    let mut renamed = |cell: usize, value: &mut i64| {
        let place = usize::try_from(*value).ok();
        let word = place.filter(|_| cells[cell].is_word).and_then(|place| all.get(place));
        if let Some(word) = word {
            *value = words.place_of(word.clone());
        }
    };
    for (cell, value) in history.first.iter_mut().enumerate() {
        renamed(cell, value);
    }
    for change in history.changes.iter_mut().flat_map(|changes| changes.chunks_exact_mut(2)) {
        renamed(change[0] as usize, &mut change[1]);
    }
    history.layout.words = words.all;
}

/// About how long its changes and words are as JSON.
fn bytes(history: &StateHistory) -> usize {
    let digits = |value: &i64| value.checked_ilog10().unwrap_or(1) as usize + 2;
    let changes: usize = history.changes.iter().flatten().map(digits).sum();
    let words: usize = history.layout.words.iter().map(|word| word.len() + 3).sum();
    changes + words + 12 * history.at_us.len()
}

/// A cell over time.
struct CellTrack {
    points: Vec<(u64, i64)>,
    /// Its changes are worth a step of their own.
    matters: bool,
    /// Its values are places of words.
    is_word: bool,
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
    limits: Limits,
    cells: Vec<CellTrack>,
    words: Words,
}

impl Builder<'_> {
    fn layout(&mut self, shown: &[usize]) -> StateLayout {
        let faults = self.faults();
        let processes = self.processes();
        let partitions: Vec<PartitionCells> =
            shown.iter().map(|&index| self.partition(index)).collect();
        let most = self.limits.of(APPLICATIONS);
        let applications = 0..self.recording.applications.len().min(most);
        let groups = applications.map(|index| self.group(index)).collect();
        let topics = self.verdict.header.topics.iter().filter(|topic| !topic.internal);
        let all: u64 = topics.map(|topic| u64::from(topic.partitions)).sum();
        let own = shown.iter().filter_map(|&index| self.recording.partitions.get(index));
        let own = own.filter(|of| !super::panels::is_internal(&self.verdict.header, of)).count();
        StateLayout {
            words: Vec::new(),
            faults,
            processes_left_out: (self.recording.processes.len() - processes.len()) as u64,
            processes,
            partitions,
            groups,
            partitions_left_out: all - own as u64,
        }
    }

    fn add(&mut self, cell: CellTrack) -> Cell {
        self.cells.push(cell);
        self.cells.len() - 1
    }

    fn number(&mut self, track: &Track, matters: bool) -> Cell {
        self.add(CellTrack { points: track.points().to_vec(), matters, is_word: false })
    }

    /// A cell whose values are put into words.
    fn word(&mut self, track: &Track, say: impl Fn(i64) -> Option<String>) -> Cell {
        let words = &mut self.words;
        let points = track
            .points()
            .iter()
            .map(|&(at, value)| (at, say(value).map_or(NOTHING, |word| words.place_of(word))));
        let points = points.collect();
        self.add(CellTrack { points, matters: true, is_word: true })
    }

    fn faults(&mut self) -> Cell {
        let faults = &self.recording.faults;
        let mut turns: Vec<(u64, usize, bool)> = Vec::new();
        for (index, fault) in faults.iter().enumerate() {
            turns.push((fault.from_us, index, false));
            turns.extend(fault.to_us.map(|to| (to, index, true)));
        }
        turns.sort_unstable();
        let mut in_force: BTreeSet<usize> = BTreeSet::new();
        let mut points = Vec::new();
        for same in turns.chunk_by(|a, b| a.0 == b.0) {
            for &(_, index, is_over) in same {
                if is_over {
                    in_force.remove(&index);
                } else {
                    in_force.insert(index);
                }
            }
            let texts = in_force.iter().map(|&index| clipped(&faults[index].description, LABEL));
            let mut text = texts.take(FAULTS_NAMED).collect::<Vec<_>>().join("; ");
            if let Some(more @ 1..) = in_force.len().checked_sub(FAULTS_NAMED) {
                text.push_str(&format!("; and {more} more"));
            }
            let value = if text.is_empty() { NOTHING } else { self.words.place_of(text) };
            points.push((same[0].0, value));
        }
        self.add(CellTrack { points, matters: true, is_word: true })
    }

    fn processes(&mut self) -> Vec<ProcessCells> {
        let recording = self.recording;
        let all = recording.processes.iter().take(self.limits.of(PROCESSES)).enumerate();
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
        let partitions = readings.iter().take(self.limits.of(ASSIGNMENTS)).map(|reading| {
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

/// Instants at which something changed that matters.
fn events(cells: &[CellTrack], axis: &Axis) -> Vec<u64> {
    let mattering = cells.iter().filter(|cell| cell.matters);
    let instants = mattering.flat_map(|cell| cell.points.iter().map(|&(at, _)| at));
    let mut all: Vec<u64> = instants.filter(|&at| at <= axis.end_us).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Of too many, those that stand closest behind another are left out.
fn thinned(events: &[u64], most: usize, axis: &Axis) -> Vec<u64> {
    let mut all = events.to_vec();
    let mut distance = axis.end_us / 4_000;
    while all.len() > most {
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
        if most == 0 {
            all.clear();
        }
        distance = distance * 3 / 2 + 1;
    }
    all
}

/// The instants of the steps: the beginning, the events, even ones, the end.
fn steps(events: &[u64], even: usize, axis: &Axis) -> Vec<u64> {
    let even = even as u64;
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
        CellTrack { points: points.to_vec(), matters, is_word: false }
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
    fn words_that_no_step_shows_are_left_out() {
        let mut cells = [cell(&[(0, 0), (2, 1), (4, 2), (9, 0)], true), cell(&[(0, 2)], true)];
        cells[0].is_word = true;
        let all = ["one", "two", "three"].map(str::to_owned);
        let (first, changes) = fold(&cells, &[0, 4, 9]);
        let mut history = StateHistory { first, changes, ..Default::default() };
        keep_used_words(&mut history, &cells, &all);
        assert_eq!(history.layout.words, ["one", "three"]);
        let states: Vec<_> = (0..3).map(|step| history.at_step(step)).collect();
        assert_eq!(states, [[0, 2], [1, 2], [0, 2]], "numbers stay what they are");
    }

    #[test]
    fn steps_begin_at_zero_end_with_the_run_and_are_bounded() {
        let axis = Axis::new(1_000_000, None);
        assert_eq!(steps(&[7, 500_000, 2_000_000], 2, &axis), [0, 7, 500_000, 1_000_000]);
        let many: Vec<(u64, i64)> = (0..5_000).map(|at| (at * 100, at as i64)).collect();
        let all = events(&[cell(&many, true), cell(&[(33, 1)], false)], &axis);
        assert_eq!(all.len(), 5_000);
        for most in [EVENTS, 3, 1] {
            let kept = thinned(&all, most, &axis);
            assert!(kept.len() <= most && kept.last() == Some(&499_900), "{kept:?}");
            assert!(kept.windows(2).all(|pair| pair[0] < pair[1]));
        }
        assert_eq!(thinned(&all, 0, &axis), [0_u64; 0]);
    }
}
