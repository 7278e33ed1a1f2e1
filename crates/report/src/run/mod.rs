//! One history as data for its page: an observer that follows the facts, and the view model.
//!
//! [`run_page`] runs a seed with a [`RunRecorder`] looking on, and puts what it saw and the verdict
//! together as a [`RunPage`]. Everything is computed from facts; the scenario adds its words and
//! settings. Lists are bounded, and say how much they leave out, so that the page of a long run is
//! no larger than that of a short one.

mod bands;
mod causes;
mod ensemble;
mod group_panels;
mod head;
mod history;
mod ledger;
pub mod model;
mod panels;
mod recorder;
mod sentence;
mod settings;
pub mod state;
mod track;

#[cfg(test)]
mod tests;

use acklab_experiment::{Case, Defect, Outcome};
use acklab_verdict::Verdict;

pub use head::Commands;
pub use model::RunPage;
pub use recorder::RunRecorder;

use self::ledger::Ledger;
use self::model::{Axis, Listed, TimelineRow};
use self::recorder::Recording;
use self::track::micros;

/// Points of all series together, and the most of one.
const POINTS: usize = 30_000;
const POINTS_OF_A_SERIES: usize = 600;

/// Runs a seed and makes its page. `say` writes a command line that asks for the same run: it is
/// given the verb, and what comes behind the selection of the run.
///
/// # Errors
/// [`Defect`] if the simulator panics.
pub fn run_page(case: &Case, seed: u64, say: Commands<'_>) -> Result<(RunPage, Outcome), Defect> {
    let (outcome, recorded) = case.run_judged_by(seed, RunRecorder::default(), |recorder| {
        let mut kept = None;
        let (recording, verdict) = recorder.finish(|recording, concluded| {
            let axis = Axis::new(recording.end_us, recording.settling_from);
            kept = Some((axis, Ledger::of(concluded, &axis)));
        });
        let (axis, ledger) = kept.unwrap_or_else(|| (Axis::new(0, None), Ledger::default()));
        (verdict, Recorded { recording, axis, ledger })
    })?;
    let page = page(case, &outcome, recorded, say);
    Ok((page, outcome))
}

/// What was recorded of a run.
struct Recorded {
    recording: Recording,
    axis: Axis,
    ledger: Ledger,
}

fn page(case: &Case, outcome: &Outcome, recorded: Recorded, say: Commands<'_>) -> RunPage {
    let Recorded { mut recording, axis, ledger } = recorded;
    end_momentary_faults(&mut recording, outcome);
    let verdict = &outcome.verdict;
    let chosen = panels::chosen(&recording, &verdict.header, &ledger, &axis);
    let points = points_of_a_series(&recording, &chosen);
    let (produce, end_to_end) = (&verdict.produce_latency, &verdict.end_to_end_latency);
    RunPage {
        head: head::head(case, outcome, settings::settings(&case.settings), say),
        fates: causes::fates(verdict),
        causes: causes::causes(verdict, say),
        representatives: causes::representatives(verdict, &ledger, say),
        axis,
        bands: bands::bands(&recording, verdict, &axis),
        timeline: timeline(verdict),
        throughput: panels::throughput(&recording, &ledger, &axis),
        fates_over_time: panels::fates_over_time(&ledger, &verdict.header),
        produce_latency: panels::latency(
            "produce",
            &ledger.produce,
            &produce.histogram,
            &produce.summary,
        ),
        end_to_end_latency: panels::latency(
            "end to end",
            &ledger.end_to_end,
            &end_to_end.histogram,
            &end_to_end.summary,
        ),
        partitions: panels::partitions(&recording, verdict, &chosen, &axis, points),
        partition_table: panels::partition_table(&recording, verdict, &chosen, &axis),
        ensemble: ensemble::ensemble(&recording, verdict, &axis),
        groups: group_panels::groups(&recording, verdict, &chosen, &axis, points),
        state: history::history(&recording, verdict, &chosen, &axis),
    }
}

/// A fault of which no end is stated is in force for good, or was over at once (an election).
fn end_momentary_faults(recording: &mut Recording, outcome: &Outcome) {
    for fault in recording.faults.iter_mut().filter(|fault| fault.to_us.is_none()) {
        let struck = outcome.schedule.get(fault.number as usize);
        if !struck.is_some_and(|struck| struck.permanent) {
            fault.to_us = Some(fault.from_us);
        }
    }
}

/// The budget of points, shared out.
fn points_of_a_series(recording: &Recording, chosen: &[usize]) -> usize {
    let replicas = chosen.iter().filter_map(|&index| recording.partitions.get(index));
    let replicas: usize = replicas.map(|of| of.replicas.len() * 2).sum();
    let of_groups =
        recording.applications.iter().take(6).map(|of| 1 + 4 * of.readings.len().min(8));
    (POINTS / (replicas + of_groups.sum::<usize>()).max(1)).clamp(60, POINTS_OF_A_SERIES)
}

fn timeline(verdict: &Verdict) -> Listed<TimelineRow> {
    let rows = verdict.timeline.iter().map(|entry| TimelineRow {
        at_us: micros(entry.at),
        text: entry.text.clone(),
        aside: entry.aside.clone(),
    });
    // The verdict bounds it, and says itself how many lines it leaves out.
    Listed { shown: rows.collect(), left_out: 0 }
}
