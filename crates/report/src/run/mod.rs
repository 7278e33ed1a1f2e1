//! One history as data for its page: an observer that follows the facts, and the view model.
//!
//! [`follow`] runs a seed with a [`RunRecorder`] looking on, and [`Followed::page`] puts what it
//! saw and the verdict together as a [`RunPage`]. Everything is computed from facts; the scenario
//! adds its words and settings. Lists are bounded, and say how much they leave out; [`Limits`]
//! bound them further where the page would still be too large.

mod bands;
mod causes;
mod ensemble;
mod gapless;
mod group_panels;
mod head;
mod history;
mod ledger;
mod limits;
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
use acklab_verdict::timeline::LINES_KEPT;

pub use head::Commands;
pub use limits::Limits;
pub use model::RunPage;
pub use recorder::RunRecorder;

use self::ledger::Ledger;
use self::limits::clipped;
use self::model::{Axis, Listed, TimelineRow};
use self::panels::Detail;
use self::recorder::Recording;
use self::track::micros;

/// Points of all series together, and the most of one.
const POINTS: usize = 30_000;
const POINTS_OF_A_SERIES: usize = 600;
/// Spans of all rows together, and the most of one.
const SPANS: usize = 2_400;
const SPANS_OF_A_ROW: usize = 120;

/// A run that was followed for its page.
#[derive(Debug)]
pub struct Followed {
    /// What the history has come to.
    pub outcome: Outcome,
    recording: Recording,
    axis: Axis,
    ledger: Ledger,
}

/// Runs a seed and follows it for its page.
///
/// # Errors
/// [`Defect`] if the simulator panics.
pub fn follow(case: &Case, seed: u64) -> Result<Followed, Defect> {
    let (outcome, (mut recording, kept)) =
        case.run_judged_by(seed, RunRecorder::default(), |recorder| {
            let mut kept = None;
            let (recording, verdict) = recorder.finish(|recording, concluded| {
                let axis = Axis::new(recording.end_us, recording.settling_from);
                kept = Some((axis, Ledger::of(concluded, &axis)));
            });
            (verdict, (recording, kept))
        })?;
    end_momentary_faults(&mut recording, &outcome);
    let (axis, ledger) = kept.unwrap_or_else(|| (Axis::new(0, None), Ledger::default()));
    Ok(Followed { outcome, recording, axis, ledger })
}

impl Followed {
    /// The page, within these limits. `say` writes a command line that asks for the same run: it is
    /// given the verb, and what comes behind the selection of the run.
    #[must_use]
    pub fn page(&self, case: &Case, say: Commands<'_>, limits: Limits) -> RunPage {
        let Followed { outcome, recording, axis, ledger } = self;
        let verdict = &outcome.verdict;
        let chosen = panels::chosen(recording, &verdict.header, ledger, axis, limits);
        let detail = detail(recording, &chosen, limits);
        let (produce, end_to_end) = (&verdict.produce_latency, &verdict.end_to_end_latency);
        RunPage {
            head: head::head(case, outcome, settings::settings(&case.settings), say, limits),
            fates: causes::fates(verdict, limits),
            causes: causes::causes(verdict, say, limits),
            representatives: causes::representatives(verdict, ledger, say, limits),
            axis: *axis,
            bands: bands::bands(recording, verdict, axis, limits),
            timeline: timeline(verdict, limits),
            throughput: panels::throughput(recording, ledger, axis),
            fates_over_time: panels::fates_over_time(ledger, &verdict.header),
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
            partitions: panels::partitions(recording, verdict, &chosen, axis, detail),
            partition_table: panels::partition_table(recording, verdict, &chosen, axis, limits),
            ensemble: ensemble::ensemble(recording, verdict, axis, limits),
            groups: group_panels::groups(recording, verdict, &chosen, axis, detail),
            state: history::history(recording, verdict, &chosen, axis, limits),
            shortened: limits.divisor(),
        }
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

/// The budgets of points and spans, shared out.
fn detail(recording: &Recording, chosen: &[usize], limits: Limits) -> Detail {
    let replicas = chosen.iter().filter_map(|&index| recording.partitions.get(index));
    let replicas: usize = replicas.map(|of| of.replicas.len() * 2).sum();
    let most = limits.of(group_panels::APPLICATIONS);
    let groups = || recording.applications.iter().take(most).map(|of| of.readings.len());
    let lags: usize = groups().map(|readings| 1 + readings.min(8)).sum();
    let owned: usize =
        groups().map(|readings| readings.min(limits.of(group_panels::OWNER_ROWS))).sum();
    let points = (POINTS / (replicas + lags).max(1)).clamp(60, POINTS_OF_A_SERIES);
    let spans = (SPANS / (2 * chosen.len() + owned).max(1)).clamp(12, SPANS_OF_A_ROW);
    Detail { points: limits.of(points), spans: limits.of(spans), limits }
}

fn timeline(verdict: &Verdict, limits: Limits) -> Listed<TimelineRow> {
    let rows = verdict.timeline.iter().map(|entry| TimelineRow {
        at_us: micros(entry.at),
        text: clipped(&entry.text, head::TEXT),
        aside: entry.aside.clone(),
    });
    // The verdict bounds it, too, and says itself how many lines it leaves out.
    Listed::first(rows.collect(), limits.of(LINES_KEPT + 1))
}
