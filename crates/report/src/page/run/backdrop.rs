//! What goes through all panels: bands for faults and outages, and the slider's rule.

use super::super::Html;
use super::hundredths;
use crate::run::model::{Axis, Band, BandKind, RebalanceRow};
use askama::Template;

#[derive(Template)]
#[template(path = "run/backdrop.html")]
struct Backdrop {
    bands: Vec<Tint>,
    settling_from: Option<String>,
    has_rule: bool,
}

/// A band, its place in per cent.
struct Tint {
    class: &'static str,
    from: String,
    long: String,
}

fn tint(axis: &Axis, class: &'static str, from: u64, to: u64) -> Tint {
    let (from, long) = (signed(from), signed(to.saturating_sub(from)));
    let end = signed(axis.end_us);
    Tint { class, from: hundredths(from, end), long: hundredths(long, end) }
}

fn signed(micros: u64) -> i64 {
    i64::try_from(micros).unwrap_or(i64::MAX)
}

/// Behind all panels: faults, leaderless spells, the end of the workload, and the rule.
#[must_use]
pub fn of_run(axis: &Axis, bands: &[Band]) -> Html {
    let of_kind = |(kind, class)| {
        let spans = bands.iter().filter(move |band| band.kind == kind);
        let united = united(spans.map(|band| (band.from_us, band.to_us)));
        united.into_iter().map(move |(from, to)| tint(axis, class, from, to))
    };
    let shown = [(BandKind::Fault, "fault"), (BandKind::Leaderless, "outage")];
    let settling = (axis.settling_from_us < axis.end_us)
        .then(|| hundredths(signed(axis.settling_from_us), signed(axis.end_us)));
    Html::of(&Backdrop {
        bands: shown.into_iter().flat_map(of_kind).collect(),
        settling_from: settling,
        has_rule: true,
    })
}

/// Spans in which at least one of these lasts: several at a time are tinted like one.
fn united(spans: impl Iterator<Item = (u64, u64)>) -> Vec<(u64, u64)> {
    let mut spans: Vec<(u64, u64)> = spans.collect();
    spans.sort_unstable();
    let mut united: Vec<(u64, u64)> = Vec::new();
    for (from, to) in spans {
        match united.last_mut() {
            Some((_, end)) if from <= *end => *end = to.max(*end),
            Some(_) | None => united.push((from, to)),
        }
    }
    united
}

/// Behind the panels of one group: its rebalances.
#[must_use]
pub fn of_group(axis: &Axis, rebalances: &[RebalanceRow]) -> Html {
    let tint = |row: &RebalanceRow| Some(tint(axis, "rebalance", row.from_us, row.to_us?));
    Html::of(&Backdrop {
        bands: rebalances.iter().filter_map(tint).collect(),
        settling_from: None,
        has_rule: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_faults_at_a_time_are_tinted_like_one() {
        let spans = [(4, 6), (0, 2), (1, 3), (6, 6), (9, 9)];
        assert_eq!(united(spans.into_iter()), [(0, 3), (4, 6), (9, 9)]);
    }
}
