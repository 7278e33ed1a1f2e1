//! Which steps of a record's life are told: those in the causal past of what went wrong, at most
//! [`STEPS_SHOWN`] of them, with the promise and the place of death marked.

use acklab_verdict::AnomalyKind;
use acklab_verdict::cause::Evidence;
use acklab_vocab::ids::{EventId, NodeId};
use acklab_vocab::time::SimTime;
use serde::Serialize;
use std::collections::BTreeMap;

use super::deed::Deed;
use super::edges::Causality;
use super::witness::{Seen, Step};

/// So many steps are told one by one; the rest are counted.
pub const STEPS_SHOWN: usize = 40;

/// Of equal deeds of one process, the first so many are told, and the last.
const REPEATS_SHOWN: usize = 3;

/// Why a step stands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// The promise was given: the application was told, or it acted on what it had been given.
    Promise,
    /// What decided it.
    Decisive,
    /// Where it went wrong: the last copy is gone, the second one appended.
    End,
}

/// What is told of a life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Story {
    /// The steps, in order.
    pub told: Vec<Told>,
}

/// A step that is told, or some that are not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// A step: position in the life, and why it stands out, with the word to mark it with.
    Step(usize, Option<(Mark, &'static str)>),
    /// How things stand: position in the life.
    Setting(usize),
    /// So many steps are left out here.
    LeftOut(usize),
}

/// Chooses the steps to tell.
#[must_use]
pub fn story(seen: &Seen, causality: &Causality) -> Story {
    let marks = marks(seen);
    let roots = roots(seen, &marks);
    let past = past(seen, causality, &roots);
    let hidden = hidden(seen);
    let keep = choose(seen, &past, &hidden, &marks);
    let mut told = Vec::new();
    let mut left_out = 0;
    for (index, step) in seen.steps.iter().enumerate() {
        if !past[index] {
            continue;
        }
        if step.deed.is_some() && !keep[index] {
            left_out += usize::from(!hidden[index]);
            continue;
        }
        if left_out > 0 {
            told.push(Told::LeftOut(std::mem::take(&mut left_out)));
        }
        told.push(match step.deed {
            Some(_) => Told::Step(index, marks.get(&index).copied()),
            None => Told::Setting(index),
        });
    }
    Story { told }
}

// ---- promise and end ----------------------------------------------------------------------------

type Marks = BTreeMap<usize, (Mark, &'static str)>;

/// The steps that stand out.
fn marks(seen: &Seen) -> Marks {
    let mut marks = Marks::new();
    let kind = seen.anomaly.kind;
    let promise = match kind {
        AnomalyKind::Phantom => last(seen, Deed::Failed).map(|at| (at, "told it failed")),
        AnomalyKind::Lost | AnomalyKind::Duplicated | AnomalyKind::Reordered => {
            first(seen, Deed::Acked).map(|at| (at, "acked"))
        }
        AnomalyKind::Reprocessed | AnomalyKind::Ghost => {
            first(seen, Deed::Processed).map(|at| (at, "processed"))
        }
        AnomalyKind::Skipped => first(seen, Deed::Acked).map(|at| (at, "acked")),
    };
    if let Some((at, word)) = promise {
        marks.insert(at, (Mark::Promise, word));
    }
    if let Some((at, word)) = decisive(seen) {
        marks.entry(at).or_insert((Mark::Decisive, word));
    }
    if let Some((at, word)) = end(seen) {
        marks.insert(at, (Mark::End, word));
    }
    marks
}

/// The election of a leader without the record, or the commit that went past it.
fn decisive(seen: &Seen) -> Option<(usize, &'static str)> {
    if seen.anomaly.kind == AnomalyKind::Skipped {
        return passed(seen).map(|index| (index, "committed past it"));
    }
    let (at, _, _) = seen.anomaly.evidence.elected?;
    let index = position(seen, |deed| deed == Deed::Elected, |when| when == at)?;
    Some((index, "elected without it"))
}

/// The commit that went past the record.
fn passed(seen: &Seen) -> Option<usize> {
    let (at, _, _) = seen.anomaly.evidence.group.committed?;
    position(seen, |deed| deed == Deed::OffsetCommitted, |when| when == at)
}

/// Where it went wrong.
fn end(seen: &Seen) -> Option<(usize, &'static str)> {
    let evidence = &seen.anomaly.evidence;
    let copy = |word| {
        let at = evidence.appended.map(|(at, _)| at);
        let exact = at.and_then(|at| position(seen, |deed| deed == Deed::Appended, |of| of == at));
        exact.or_else(|| last(seen, Deed::Appended)).map(|index| (index, word))
    };
    match seen.anomaly.kind {
        AnomalyKind::Lost => gone(seen).map(|index| (index, "lost")),
        AnomalyKind::Ghost => gone(seen).map(|index| (index, "not in the log")),
        AnomalyKind::Phantom => copy("stored all the same"),
        AnomalyKind::Duplicated => copy("second copy"),
        AnomalyKind::Reordered => copy("out of order"),
        AnomalyKind::Reprocessed => {
            let at = evidence.group.again.map(|(at, _)| at);
            let exact =
                at.and_then(|at| position(seen, |deed| deed == Deed::Processed, |of| of == at));
            let index = exact.or_else(|| last(seen, Deed::Processed))?;
            Some((index, "processed again"))
        }
        AnomalyKind::Skipped => {
            let group = &evidence.group;
            let then = |at: Option<SimTime>| {
                at.and_then(|at| position(seen, |deed| deed != Deed::Fault, |of| of == at))
            };
            // Its consumer is gone, or went past it; the commit alone would still let it be read.
            let index = then(group.gone.map(|(at, _)| at))
                .or_else(|| then(group.position.map(|(at, _, _)| at)))
                .or_else(|| passed(seen))
                .or_else(|| last(seen, Deed::OffsetCommitted))?;
            Some((index, "skipped"))
        }
    }
}

/// The last copy is gone; or, where an isolated broker still has one, a leader without it serves;
/// or nothing ever held it.
fn gone(seen: &Seen) -> Option<usize> {
    let is_last = |index: &usize| seen.steps[*index].holders.as_deref() == Some("on no broker");
    let dropped = last(seen, Deed::Dropped);
    dropped
        .filter(is_last)
        .or_else(|| last(seen, Deed::Leads))
        .or(dropped)
        .or_else(|| last(seen, Deed::Refused))
        .or_else(|| last(seen, Deed::Retried))
        .or_else(|| last(seen, Deed::Recognised))
        .or_else(|| last(seen, Deed::Stopped))
}

fn first(seen: &Seen, deed: Deed) -> Option<usize> {
    seen.steps.iter().position(|step| step.deed == Some(deed))
}

fn last(seen: &Seen, deed: Deed) -> Option<usize> {
    seen.steps.iter().rposition(|step| step.deed == Some(deed))
}

fn position(
    seen: &Seen,
    is_deed: impl Fn(Deed) -> bool,
    is_then: impl Fn(SimTime) -> bool,
) -> Option<usize> {
    seen.steps.iter().position(|step| step.deed.is_some_and(&is_deed) && is_then(step.at))
}

// ---- the causal past ----------------------------------------------------------------------------

/// The steps that the anomaly consists of: the promise, the end, and the facts that support its
/// cause.
fn roots(seen: &Seen, marks: &Marks) -> Vec<usize> {
    let instants = instants(&seen.anomaly.evidence);
    let is_root = |index: &usize| {
        let step = &seen.steps[*index];
        marks.contains_key(index)
            || step.deed == Some(Deed::Overtaken)
            || (step.deed.is_some() && instants.contains(&step.at))
    };
    let roots: Vec<usize> = (0..seen.steps.len()).filter(is_root).collect();
    // A record about which nothing stands out is told as a whole.
    if roots.is_empty() { (0..seen.steps.len()).collect() } else { roots }
}

fn instants(evidence: &Evidence) -> Vec<SimTime> {
    let group = &evidence.group;
    let all = [
        evidence.appended.map(|(at, _)| at),
        evidence.completed,
        evidence.elected.map(|(at, _, _)| at),
        evidence.removed.map(|(at, _)| at),
        evidence.given_up,
        group.processed.map(|(at, _)| at),
        group.again.map(|(at, _)| at),
        group.gone.map(|(at, _)| at),
        group.position.map(|(at, _, _)| at),
        group.committed.map(|(at, _, _)| at),
    ];
    all.into_iter().flatten().collect()
}

/// Which steps are in the causal past of the roots. What the world does reaches everybody: a dead
/// process is noticed by its silence, which no message carries.
fn past(seen: &Seen, causality: &Causality, roots: &[usize]) -> Vec<bool> {
    let last = roots.last().copied().unwrap_or_default();
    if causality.is_empty() {
        return (0..seen.steps.len()).map(|index| index <= last).collect();
    }
    let is_of_world = |index: &usize| {
        let step = &seen.steps[*index];
        let is_its_deed = matches!(
            step.deed,
            Some(Deed::Fault | Deed::Stopped | Deed::Paused | Deed::Resumed | Deed::Started)
        );
        *index < last && is_its_deed
    };
    let mut all: Vec<EventId> = roots.iter().map(|index| seen.steps[*index].event).collect();
    let of_world = (0..seen.steps.len()).filter(is_of_world);
    all.extend(of_world.map(|index| seen.steps[index].event));
    let past = causality.past_of(&all);
    let is_past = |(index, step): (usize, &Step)| {
        let position = causality.position(step.event);
        // What a kernel did while no process ran is in no event of a process: time decides.
        index <= last && position.is_none_or(|position| past.contains(position))
    };
    seen.steps.iter().enumerate().map(is_past).collect()
}

// ---- few enough ---------------------------------------------------------------------------------

/// What nobody misses. A fault that kills or pauses a process is told by the process, and so is its
/// end; what a follower believes to be committed matters only where copies were cut away.
fn hidden(seen: &Seen) -> Vec<bool> {
    let strikes = |deed| matches!(deed, Some(Deed::Stopped | Deed::Paused));
    let has_cuts = last(seen, Deed::Dropped).is_some();
    let mut told: Vec<String> = Vec::new();
    let is_hidden = |step: &Step| {
        let is_struck = |of: &Step| of.event == step.event && strikes(of.deed);
        match step.deed {
            Some(Deed::KnownCommitted) => !has_cuts,
            Some(Deed::Fault) => match step.text.split_once(": ") {
                Some(("fault", what)) if seen.steps.iter().any(is_struck) => {
                    told.push(what.to_owned());
                    true
                }
                Some(("over", what)) => told.iter().any(|of| of == what),
                _ => false,
            },
            _ => false,
        }
    };
    seen.steps.iter().map(is_hidden).collect()
}

/// Which steps are kept: no endless repetitions, and the weightiest if there are too many.
fn choose(seen: &Seen, past: &[bool], hidden: &[bool], marks: &Marks) -> Vec<bool> {
    let mut keep: Vec<bool> =
        seen.steps.iter().zip(past).map(|(step, past)| *past && step.deed.is_some()).collect();
    for (keep, is_hidden) in keep.iter_mut().zip(hidden) {
        *keep &= !is_hidden;
    }
    let mut repeats: BTreeMap<(NodeId, Deed), Vec<usize>> = BTreeMap::new();
    for (index, step) in seen.steps.iter().enumerate().filter(|(index, _)| keep[*index]) {
        if let Some(deed) = step.deed {
            repeats.entry((step.node, deed)).or_default().push(index);
        }
    }
    for equal in repeats.values() {
        let middle = equal.get(REPEATS_SHOWN..equal.len().saturating_sub(1)).unwrap_or_default();
        for index in middle.iter().filter(|index| !marks.contains_key(index)) {
            keep[*index] = false;
        }
    }
    let weight = |index: &usize| {
        let deed = seen.steps[*index].deed.unwrap_or(Deed::Other);
        if marks.contains_key(index) { u8::MAX } else { deed.weight() }
    };
    let mut kept: Vec<usize> = (0..keep.len()).filter(|index| keep[*index]).collect();
    // Of equal weight, the later ones go first.
    kept.sort_by_key(|index| (std::cmp::Reverse(weight(index)), *index));
    for index in kept.into_iter().skip(STEPS_SHOWN) {
        keep[index] = false;
    }
    keep
}
