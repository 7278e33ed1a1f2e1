//! The figures of a sweep.

use acklab_experiment::sweep::report::{
    AnomalyReport, CellReport, LatencyDistribution, SweepReport,
};
use acklab_verdict::AnomalyKind;
use acklab_verdict::names::{counted, grouped, micros};

use super::answer::{Fates, capitalised, do_all, of};
use super::classes;
use super::frontier::{Position, beaten_by};
use super::numbers::{ends, mean, millionths, percent, whole};
use crate::plot::{
    Curve, Distribution, DotRow, Figure, HeatMap, Ink, Scale, Trade, Unit, distributions, dots,
    heat_map, percentile_curve, trade_off,
};

/// So many rows has a figure with a row for each cell.
const ROWS_SHOWN: usize = 40;
/// So many histograms stand below each other.
const HISTOGRAMS_SHOWN: usize = 12;
/// Up to here an axis of counts is even.
const EVEN_UP_TO: i64 = 40;
/// So many curves can be told apart.
const CURVES_SHOWN: usize = 7;
/// So many pairs of heat maps, where more than two properties are varied.
const MAPS_SHOWN: usize = 4;

/// The ink of a cell, the same in every figure.
fn ink(cells: usize, position: usize) -> Ink {
    if cells > CURVES_SHOWN { Ink::Blue } else { Ink::of_series(position) }
}

/// What a figure shows of a kind of anomaly: a line for each cell, and for each consumer
/// application where there are several.
fn lines(report: &SweepReport, kind: AnomalyKind) -> Vec<(String, Ink, &AnomalyReport)> {
    let cells = report.cells.len();
    let mut lines = Vec::new();
    for (position, cell) in report.cells.iter().enumerate().filter(|(_, cell)| cell.seeds > 0) {
        let ink = ink(cells, position);
        if let Some(anomaly) = of(cell, kind) {
            lines.push((cell.name.clone(), ink, anomaly));
        }
        if !kind.is_of_groups() || cell.groups.len() < 2 {
            continue;
        }
        for group in &cell.groups {
            let anomaly = group.anomalies.iter().find(|of| of.anomaly == kind);
            if let Some(anomaly) = anomaly {
                lines.push((format!("{}: {}", cell.name, group.group), ink, anomaly));
            }
        }
    }
    lines
}

/// How probable it is that a history has an anomaly of a kind.
#[must_use]
pub fn probability(report: &SweepReport, kind: AnomalyKind) -> Figure {
    let row = |(label, ink, of): (String, Ink, &AnomalyReport)| DotRow {
        label,
        value: millionths(of.probability.estimate),
        low: millionths(of.probability.low),
        high: millionths(of.probability.high),
        ink,
        words: format!("{} {}", percent(of.probability.estimate), ends(&of.probability)),
    };
    let rows: Vec<DotRow> = lines(report, kind).into_iter().take(ROWS_SHOWN).map(row).collect();
    let scale = window(&rows);
    let alternative = rows.iter().map(|row| format!("{}: {}", row.label, row.words));
    let alternative = alternative.collect::<Vec<_>>().join("; ");
    let id = format!("fig-probability-{}", kind.name());
    Figure::new(&id, &format!("Share of histories with a {} record", kind.name()), |width| {
        dots(&rows, scale, width)
    })
    .read(
        "The dot is the share of seeds, the whisker its 95 % interval; the axis may begin above \
         zero.",
    )
    .instead(&alternative)
}

/// The part of 0 to 100 % that the intervals need.
fn window(rows: &[DotRow]) -> Scale {
    let least = rows.iter().map(|row| row.low).min().unwrap_or(0);
    let most = rows.iter().map(|row| row.high).max().unwrap_or(1_000_000);
    let from = [990_000, 950_000, 900_000, 800_000, 500_000].into_iter().find(|at| *at <= least);
    let to = [10_000, 20_000, 50_000, 100_000, 200_000, 500_000].into_iter().find(|at| *at >= most);
    match (from, to) {
        (Some(from), _) => Scale::linear(Unit::Share, from, 1_000_000),
        (None, Some(to)) => Scale::linear(Unit::Share, 0, to),
        (None, None) => Scale::linear(Unit::Share, 0, 1_000_000),
    }
}

/// How many anomalies of a kind histories have.
#[must_use]
pub fn distribution(report: &SweepReport, kind: AnomalyKind) -> Figure {
    let row = |(label, ink, of): (String, Ink, &AnomalyReport)| Distribution {
        label,
        ink,
        counts: of.distribution.iter().map(|&(value, seeds)| (whole(value), seeds)).collect(),
        words: format!(
            "mean {}, median {}, worst {}",
            mean(of.counts.mean),
            grouped(of.counts.p50),
            grouped(of.counts.max)
        ),
    };
    let rows: Vec<Distribution> =
        lines(report, kind).into_iter().take(HISTOGRAMS_SHOWN).map(row).collect();
    let alternative = rows.iter().map(|row| format!("{}: {}", row.label, row.words));
    let alternative = alternative.collect::<Vec<_>>().join("; ");
    let id = format!("fig-counts-{}", kind.name());
    let title = format!("Number of {} records in a history", kind.name());
    let greatest = rows.iter().filter_map(|row| row.counts.last()).map(|&(value, _)| value).max();
    let (figure, read) = if greatest.unwrap_or(0) <= EVEN_UP_TO {
        let draw = |width| distributions(&rows, Unit::Count, width);
        (Figure::new(&id, &title, draw), "how many seeds have it, row by row")
    } else {
        let draw = |width| classes::draw(&rows, width);
        let read = "how many seeds have it; a bar stands for all numbers from the one at its left \
                    end to the next";
        (Figure::new(&id, &title, draw), read)
    };
    figure.read(&format!("Across: the number in a history; upwards: {read}.")).instead(&alternative)
}

/// Which latency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Latency {
    /// From creation to the first acknowledgement.
    Produce,
    /// From creation to the first read by each reader and each consumer application.
    EndToEnd,
}

impl Latency {
    /// That of a cell.
    #[must_use]
    pub fn of(self, cell: &CellReport) -> &LatencyDistribution {
        match self {
            Latency::Produce => &cell.latency.produce,
            Latency::EndToEnd => &cell.latency.end_to_end,
        }
    }

    /// The one that avoiding anomalies of a kind costs.
    #[must_use]
    pub const fn paid_for(kind: AnomalyKind) -> Latency {
        if kind.is_of_groups() { Latency::EndToEnd } else { Latency::Produce }
    }

    /// In words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Latency::Produce => "created to acked",
            Latency::EndToEnd => "created to read",
        }
    }
}

/// The latency of all records of all seeds, as percentile curves.
#[must_use]
pub fn latency(report: &SweepReport, which: Latency) -> Option<Figure> {
    let all = report.cells.len();
    let cells = report.cells.iter().enumerate();
    let cells: Vec<(usize, &CellReport)> =
        cells.filter(|(_, cell)| which.of(cell).records > 0).collect();
    if cells.is_empty() {
        return None;
    }
    let left_out = cells.len().saturating_sub(CURVES_SHOWN);
    let curve = |&(position, cell): &(usize, &CellReport)| {
        let of = which.of(cell);
        let point =
            |&(share, value): &(f64, u64)| ((share * 10_000.0 + 0.5).floor() as u32, whole(value));
        let mut points: Vec<(u32, i64)> = of.curve.iter().map(point).collect();
        points.retain(|&(share, _)| share < 1_000_000);
        points.push((1_000_000, whole(of.max)));
        let ink = if all > CURVES_SHOWN { Ink::of_series(position) } else { ink(all, position) };
        Curve { label: cell.name.clone(), ink, points }
    };
    let curves: Vec<Curve> = cells.iter().take(CURVES_SHOWN).map(curve).collect();
    let words = |(_, cell): &(usize, &CellReport)| {
        let of = which.of(cell);
        let (half, most) = (micros(of.p50), micros(of.p99));
        format!(
            "{}: half within {half}, 99 % within {most}, all within {}",
            cell.name,
            micros(of.max)
        )
    };
    let alternative = cells.iter().map(words).collect::<Vec<_>>().join("; ");
    let more = match left_out {
        0 => String::new(),
        more => format!(" {} more are in the table below.", counted(more as u64, "cell")),
    };
    let id = match which {
        Latency::Produce => "fig-produce",
        Latency::EndToEnd => "fig-end-to-end",
    };
    let title = format!("Latency, {}", which.name());
    let read = format!(
        "Across: the share of all records of all seeds, each further nine as wide as the one \
         before; upwards: they took at most so long.{more}"
    );
    let figure = Figure::new(id, &title, |width| percentile_curve(&curves, Unit::Micros, width));
    Some(figure.read(&read).instead(&alternative))
}

/// A cell as a choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The cell.
    pub name: String,
    /// What is held against it.
    pub position: Position,
    /// Half of its records are acked within so many microseconds.
    pub median: u64,
    /// The risk with its interval.
    pub risk: String,
    /// The mean number of records that went wrong in a history.
    pub mean: String,
    /// The share of records that are not acked.
    pub refused: String,
    /// The first cell that is better in something and worse in nothing.
    pub beaten_by: Option<String>,
}

impl Choice {
    /// Nothing beats it.
    #[must_use]
    pub fn is_on_frontier(&self) -> bool {
        self.beaten_by.is_none()
    }
}

/// Cost against safety: p99 of the latency that safety costs; the probability of an anomaly and the
/// mean number of them; the share of records that are not acked.
#[must_use]
pub fn choices(report: &SweepReport, kind: AnomalyKind) -> Vec<Choice> {
    let latency = Latency::paid_for(kind);
    let cells = report.cells.iter().filter(|cell| latency.of(cell).records > 0);
    let cells: Vec<&CellReport> = cells.collect();
    let position = |cell: &&CellReport| {
        let anomaly = of(cell, kind);
        let mean = anomaly.map_or(0.0, |of| of.counts.mean);
        Position {
            cost: latency.of(cell).p99,
            risk: anomaly.map_or(0, |of| millionths(of.probability.estimate).unsigned_abs()),
            mean: millionths(mean / 1_000.0).unsigned_abs(),
            refused: millionths(Fates::of(cell).not_acked()).unsigned_abs(),
        }
    };
    let positions: Vec<Position> = cells.iter().map(position).collect();
    let beaten = beaten_by(&positions);
    let choice = |((cell, position), beaten): ((&&CellReport, Position), Option<usize>)| Choice {
        name: cell.name.clone(),
        position,
        median: latency.of(cell).p50,
        risk: of(cell, kind).map_or_else(String::new, |of| {
            format!("{} {}", percent(of.probability.estimate), ends(&of.probability))
        }),
        mean: of(cell, kind).map_or_else(String::new, |of| mean(of.counts.mean)),
        refused: percent(Fates::of(cell).not_acked()),
        beaten_by: beaten.and_then(|other| cells.get(other)).map(|cell| cell.name.clone()),
    };
    cells.iter().zip(positions).zip(beaten).map(choice).collect()
}

/// Whether cells differ in how probably they go wrong; if all do so alike, in how many records.
#[must_use]
pub fn differ(choices: &[Choice]) -> Option<Upwards> {
    let differs = |of: fn(&Position) -> u64| {
        let mut values = choices.iter().map(|choice| of(&choice.position));
        let first = values.next();
        values.any(|value| Some(value) != first)
    };
    match (differs(|of| of.risk), differs(|of| of.mean)) {
        (true, _) => Some(Upwards::Risk),
        (false, true) => Some(Upwards::Mean),
        (false, false) => None,
    }
}

/// What stands upwards in the figure of cost against safety.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upwards {
    /// The share of histories with an anomaly.
    Risk,
    /// The mean number of them in a history.
    Mean,
}

/// Cost against safety, drawn.
#[must_use]
pub fn cost_against_safety(choices: &[Choice], kind: AnomalyKind, upwards: Upwards) -> Figure {
    let up = |of: &Choice| match upwards {
        Upwards::Risk => whole(of.position.risk),
        Upwards::Mean => whole(of.position.mean / 1_000),
    };
    let points: Vec<Trade> = choices
        .iter()
        .map(|of| Trade {
            label: of.name.clone(),
            cost: whole(of.position.cost),
            risk: up(of),
            is_on_frontier: of.is_on_frontier(),
        })
        .collect();
    let costs = || points.iter().map(|point| point.cost);
    let (least, most) = (costs().min().unwrap_or(0), costs().max().unwrap_or(1));
    let cost = match most / least.max(1) {
        0..20 => {
            // Where points lie close, an axis from zero would show them as one.
            let room = ((most - least) / 5).max(most / 20).max(1);
            Scale::linear(Unit::Micros, (least - room).max(0), most + room)
        }
        _ => Scale::logarithmic(Unit::Micros, least, most),
    };
    let risk = points.iter().map(|point| point.risk).max().unwrap_or(0);
    let (risk, what) = match upwards {
        Upwards::Risk => (
            Scale::from_zero(Unit::Share, risk.max(10_000)),
            format!("the share of histories with a {} record", kind.name()),
        ),
        Upwards::Mean => (
            Scale::from_zero(Unit::Count, risk.max(1)),
            format!("the mean number of {} records in a history", kind.name()),
        ),
    };
    let best: Vec<&str> =
        choices.iter().filter(|of| of.is_on_frontier()).map(|of| of.name.as_str()).collect();
    let alternative = format!("Not beaten by another cell: {}.", best.join("; "));
    Figure::new("fig-trade", "Cost against safety", |width| {
        trade_off(&points, cost, risk, width)
    })
    .read(&format!(
        "Across: 99 % of records take at most this time, {}; upwards: {what}. Down and to the left \
         is better. Grey are the cells that another one beats: by being better in time, share, \
         number or records not acked, and worse in none of these. What lies close may be chance: \
         see the cells compared.",
        Latency::paid_for(kind).name(),
    ))
    .instead(&alternative)
}

/// For two varied properties, a map of the probability and one of the latency; of more, a pair for
/// each combination of the others.
#[must_use]
pub fn maps(report: &SweepReport, kind: Option<AnomalyKind>) -> Vec<Figure> {
    let [rows, columns, rest @ ..] = report.dims.as_slice() else { return Vec::new() };
    let per_map: usize = rest.iter().map(|dim| dim.values.len()).product();
    if rows.values.len() < 2 || columns.values.len() < 2 {
        return Vec::new();
    }
    let mut figures = Vec::new();
    for layer in 0..per_map.min(MAPS_SHOWN) {
        let cell = |row: usize, column: usize| {
            report.cells.get((row * columns.values.len() + column) * per_map + layer)
        };
        let fixed = cell(0, 0).map(|cell| cell.labels.iter().skip(2)).into_iter().flatten();
        let fixed: Vec<String> =
            rest.iter().zip(fixed).map(|(dim, value)| format!("{}={value}", dim.name)).collect();
        let fixed =
            if fixed.is_empty() { String::new() } else { format!(", {}", fixed.join(", ")) };
        let mut add = |id: &str, title: String, ink: Ink, value: &dyn Fn(&CellReport) -> Shade| {
            let shades: Vec<Vec<Shade>> = (0..rows.values.len())
                .map(|row| {
                    let one = |column| cell(row, column).map_or(Shade::NOTHING, value);
                    (0..columns.values.len()).map(one).collect()
                })
                .collect();
            let map = HeatMap {
                rows_are: rows.name.clone(),
                rows: rows.values.clone(),
                columns_are: columns.name.clone(),
                columns: columns.values.clone(),
                cells: shaded(&shades),
                ink,
            };
            let id = format!("fig-map-{id}-{}", layer + 1);
            let figure = Figure::new(&id, &title, |width| heat_map(&map, width));
            figures.push(
                figure
                    .read("The stronger the colour, the more; every field says its value.")
                    .instead(&words(&map)),
            );
        };
        if let Some(kind) = kind {
            let title = format!("Share of histories that {}{fixed}", do_all(kind));
            add("risk", capitalised(&title), Ink::Vermillion, &|cell| Shade::risk(cell, kind));
        }
        let title = format!("99 % of records are acked within{fixed}");
        add("cost", title, Ink::Blue, &Shade::cost);
    }
    figures
}

/// A field of a heat map: how much, of how much at most, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Shade {
    value: Option<u64>,
    words: String,
}

impl Shade {
    const NOTHING: Shade = Shade { value: None, words: String::new() };

    fn risk(cell: &CellReport, kind: AnomalyKind) -> Shade {
        let Some(of) = of(cell, kind).filter(|_| cell.seeds > 0) else { return Shade::NOTHING };
        let share = of.probability.estimate;
        Shade { value: Some(millionths(share).unsigned_abs()), words: percent(share) }
    }

    fn cost(cell: &CellReport) -> Shade {
        let produce = &cell.latency.produce;
        if produce.records == 0 {
            return Shade::NOTHING;
        }
        Shade { value: Some(produce.p99), words: micros(produce.p99) }
    }
}

/// Darkness in thousandths, from the least value to the greatest. Where all are alike, within a
/// tenth, they look alike.
fn shaded(shades: &[Vec<Shade>]) -> Vec<Vec<Option<(u16, String)>>> {
    let values = || shades.iter().flatten().filter_map(|of| of.value);
    let (least, most) = (values().min().unwrap_or(0), values().max().unwrap_or(0));
    let reach = (most - least).max(most / 10).max(1);
    let field = |of: &Shade| {
        of.value.map(|value| {
            let darkness = u128::from(value - least) * 1_000 / u128::from(reach);
            (u16::try_from(darkness).unwrap_or(1_000), of.words.clone())
        })
    };
    shades.iter().map(|row| row.iter().map(field).collect()).collect()
}

fn words(map: &HeatMap) -> String {
    let mut all = Vec::new();
    for (row, cells) in map.rows.iter().zip(&map.cells) {
        for (column, cell) in map.columns.iter().zip(cells) {
            if let Some((_, words)) = cell {
                all.push(format!("{row}, {column}: {words}"));
            }
        }
    }
    all.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_axis_of_probabilities_shows_what_differs() {
        let of = |bounds: &[(i64, i64)]| {
            let row = |&(low, high): &(i64, i64)| DotRow {
                label: String::new(),
                value: low,
                low,
                high,
                ink: Ink::Blue,
                words: String::new(),
            };
            let rows: Vec<DotRow> = bounds.iter().map(row).collect();
            let scale = window(&rows);
            (scale.from, scale.to)
        };
        assert_eq!(of(&[(963_000, 1_000_000), (870_000, 940_000)]), (800_000, 1_000_000));
        assert_eq!(of(&[(0, 9_000)]), (0, 10_000));
        assert_eq!(of(&[(0, 37_000), (963_000, 1_000_000)]), (0, 1_000_000));
        assert_eq!(of(&[]), (0, 1_000_000));
    }

    #[test]
    fn verbs_have_a_plural() {
        assert_eq!(do_all(AnomalyKind::Lost), "lose records");
        assert_eq!(do_all(AnomalyKind::Reprocessed), "process records again");
    }
}
