//! Figures of many histories: dots with whiskers, distributions, heat maps, cost against safety.

use super::canvas::{Canvas, Drawing, FONT, Lettering, PIXEL, cut, text_width};
use super::figure::Width;
use super::ink::{Fill, Ink, Stroke};
use super::plane::{Frame, Plane, apart};
use super::scale::{Scale, Unit};

/// A value with the interval around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DotRow {
    /// Its name, at the left.
    pub label: String,
    /// The value.
    pub value: i64,
    /// The lower end of the interval.
    pub low: i64,
    /// The upper end.
    pub high: i64,
    /// With which ink.
    pub ink: Ink,
    /// The value in words, at the right.
    pub words: String,
}

/// Draws one row for each value, all over one scale. Whiskers are the intervals.
#[must_use]
pub fn dots(rows: &[DotRow], scale: Scale, width: Width) -> Drawing {
    let full = width.full();
    let row = 26 * PIXEL;
    let count = i32::try_from(rows.len().max(1)).unwrap_or(1);
    let bottom = 6 * PIXEL + row * count;
    let widest =
        |text: fn(&DotRow) -> &str| rows.iter().map(|row| text_width(text(row))).max().unwrap_or(0);
    let left = (widest(|row| &row.label) + 14 * PIXEL).min(full * 2 / 5);
    let right = full - (widest(|row| &row.words) + 14 * PIXEL).min(full * 2 / 5);
    Canvas::draw(full, bottom + 26 * PIXEL, |canvas| {
        let frame = Frame::new(left, right, 0, bottom);
        let nothing = Scale::linear(Unit::Count, 0, 1);
        let Some(plane) = Plane::new(canvas, frame, scale, nothing) else { return };
        plane.lower_axis(if width == Width::Wide { 8 } else { 4 });
        for (row_of, index) in rows.iter().zip(0..) {
            let y = 6 * PIXEL + row * index + row / 2;
            let x = |value: i64| plane.point(value, 0).0;
            canvas.line([(left, y), (right, y)], Stroke::thin(Ink::Rule));
            let label = cut(&row_of.label, left - 10 * PIXEL);
            canvas.text((left - 10 * PIXEL, y), &label, Lettering::end(Ink::Text));
            whisker(canvas, (x(row_of.low), x(row_of.high)), y, row_of.ink);
            canvas.disc((x(row_of.value), y), 45, Fill::solid(row_of.ink));
            let words = cut(&row_of.words, full - right - 10 * PIXEL);
            canvas.text((right + 10 * PIXEL, y), &words, Lettering::start(Ink::Text));
        }
    })
}

fn whisker(canvas: &Canvas, (low, high): (i32, i32), y: i32, ink: Ink) {
    canvas.line([(low, y), (high, y)], Stroke::data(ink).wide(20));
    for x in [low, high] {
        canvas.line([(x, y - 4 * PIXEL), (x, y + 4 * PIXEL)], Stroke::data(ink));
    }
}

/// How often each value occurred.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distribution {
    /// Its name.
    pub label: String,
    /// With which ink.
    pub ink: Ink,
    /// Value and how often it occurred, ascending by value.
    pub counts: Vec<(i64, u64)>,
    /// What stands at the right: median, greatest.
    pub words: String,
}

/// Draws histograms below each other over one scale. Heights are shares of each row's greatest bin.
#[must_use]
pub fn distributions(rows: &[Distribution], unit: Unit, width: Width) -> Drawing {
    let full = width.full();
    let row = 58 * PIXEL;
    let (left, right) = (2 * PIXEL, full - 12 * PIXEL);
    let bottom = row * i32::try_from(rows.len().max(1)).unwrap_or(1);
    let greatest =
        rows.iter().filter_map(|row| row.counts.last()).map(|&(value, _)| value).max().unwrap_or(0);
    let bins = if width == Width::Wide { 90 } else { 45 };
    let bin = (greatest / bins + 1).max(1);
    Canvas::draw(full, bottom + 26 * PIXEL, |canvas| {
        let across = Scale::linear(unit, 0, (greatest / bin + 1) * bin);
        let frame = Frame::new(left, right, 0, bottom);
        let nothing = Scale::linear(Unit::Count, 0, 1);
        let Some(plane) = Plane::new(canvas, frame, across, nothing) else { return };
        plane.lower_axis(if width == Width::Wide { 10 } else { 5 });
        for (one, index) in rows.iter().zip(0..) {
            let base = row * (index + 1);
            let words = cut(&one.label, (right - left) / 2);
            canvas.text((left, base - row + 10 * PIXEL), &words, Lettering::start(Ink::Text));
            let words = cut(&one.words, (right - left) / 2);
            canvas.text((right, base - row + 10 * PIXEL), &words, Lettering::end(Ink::Muted));
            histogram(canvas, &plane, one, bin, (base, row - 22 * PIXEL));
            canvas.line([(left, base), (right, base)], Stroke::thin(Ink::Rule));
        }
    })
}

fn histogram(
    canvas: &Canvas,
    plane: &Plane<'_>,
    one: &Distribution,
    bin: i64,
    (base, room): (i32, i32),
) {
    let mut bins: std::collections::BTreeMap<i64, u64> = std::collections::BTreeMap::new();
    for &(value, count) in &one.counts {
        *bins.entry(value.max(0) / bin).or_default() += count;
    }
    let highest = bins.values().copied().max().unwrap_or(1).max(1);
    for (index, count) in bins.into_iter().filter(|&(_, count)| count > 0) {
        let x = |value: i64| plane.point(value, 0).0;
        let (from, to) = (x(index * bin), x((index + 1) * bin));
        let share = u128::from(count) * u128::from(room.unsigned_abs()) / u128::from(highest);
        let height = i32::try_from(share).unwrap_or(room).max(PIXEL);
        let gap = if to - from > 4 * PIXEL { PIXEL } else { 0 };
        canvas.rectangle(
            (from, base - height),
            ((to - gap).max(from + PIXEL), base),
            Fill::solid(one.ink),
        );
    }
}

/// A heat map: rows and columns are the values of two properties.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeatMap {
    /// Property of the rows.
    pub rows_are: String,
    /// Its values.
    pub rows: Vec<String>,
    /// Property of the columns.
    pub columns_are: String,
    /// Its values.
    pub columns: Vec<String>,
    /// By row, then column: from 0 to 1,000 how dark it is, and its words.
    pub cells: Vec<Vec<Option<(u16, String)>>>,
    /// With which ink.
    pub ink: Ink,
}

/// Draws a heat map. Every cell says its value, so that the darkness is a help only.
#[must_use]
pub fn heat_map(map: &HeatMap, width: Width) -> Drawing {
    let full = width.full();
    let labels = map.rows.iter().map(|label| text_width(label)).max().unwrap_or(0);
    let left = labels.max(text_width(&map.rows_are)).min(full / 3) + 12 * PIXEL;
    let columns = i32::try_from(map.columns.len().max(1)).unwrap_or(1);
    let rows = i32::try_from(map.rows.len().max(1)).unwrap_or(1);
    let cell = ((full - left) / columns).min(130 * PIXEL);
    let (row, top) = (34 * PIXEL, 42 * PIXEL);
    Canvas::draw(full, top + row * rows + 2 * PIXEL, |canvas| {
        let words = cut(&map.columns_are, full - left);
        canvas.text((left, 8 * PIXEL), &words, Lettering::start(Ink::Muted));
        let words = cut(&map.rows_are, left - 12 * PIXEL);
        canvas.text((left - 10 * PIXEL, 30 * PIXEL), &words, Lettering::end(Ink::Muted));
        for (label, x) in map.columns.iter().zip((0..).map(|index| left + index * cell)) {
            let words = cut(label, cell - 4 * PIXEL);
            canvas.text((x + cell / 2, 30 * PIXEL), &words, Lettering::middle(Ink::Text));
        }
        for ((label, cells), y) in
            map.rows.iter().zip(&map.cells).zip((0..).map(|index| top + index * row))
        {
            let words = cut(label, left - 12 * PIXEL);
            canvas.text((left - 10 * PIXEL, y + row / 2), &words, Lettering::end(Ink::Text));
            for (value, x) in cells.iter().zip((0..).map(|index| left + index * cell)) {
                heat_cell(canvas, value.as_ref(), map.ink, (x, y, cell, row));
            }
        }
    })
}

fn heat_cell(
    canvas: &Canvas,
    value: Option<&(u16, String)>,
    ink: Ink,
    (x, y, width, height): (i32, i32, i32, i32),
) {
    let middle = (x + width / 2, y + height / 2);
    let Some((darkness, words)) = value else {
        canvas.text(middle, "–", Lettering::middle(Ink::Muted));
        return;
    };
    let opacity = 4 + u8::try_from(u32::from(*darkness).min(1_000) * 86 / 1_000).unwrap_or(86);
    let corner = (x + width - PIXEL, y + height - PIXEL);
    canvas.rectangle((x, y), corner, Fill::tint(ink, opacity));
    let letters = if opacity > 55 { Ink::Paper } else { Ink::Text };
    canvas.text(middle, &cut(words, width), Lettering::middle(letters));
}

/// A point of cost against safety.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trade {
    /// Its name.
    pub label: String,
    /// What it costs.
    pub cost: i64,
    /// How likely it goes wrong.
    pub risk: i64,
    /// No other point is better in one and at least as good in the other.
    pub is_on_frontier: bool,
}

/// Draws cost across and risk upwards; the frontier is a stepped line through the points that
/// nothing beats.
#[must_use]
pub fn trade_off(points: &[Trade], cost: Scale, risk: Scale, width: Width) -> Drawing {
    let full = width.full();
    let height = 300 * PIXEL;
    let room = match width {
        Width::Wide => 180 * PIXEL,
        Width::Narrow => 90 * PIXEL,
    };
    Canvas::draw(full, height, |canvas| {
        let frame = Frame::new(58 * PIXEL, full - room, 10 * PIXEL, height - 28 * PIXEL);
        let Some(plane) = Plane::new(canvas, frame, cost, risk) else { return };
        plane.level_rules(5);
        plane.lower_axis(if width == Width::Wide { 8 } else { 4 });
        let mut frontier: Vec<(i64, i64)> = points
            .iter()
            .filter(|point| point.is_on_frontier)
            .map(|point| (point.cost, point.risk))
            .collect();
        frontier.sort_unstable();
        plane.steps(&frontier, 0, Stroke::thin(Ink::Accent).dashed());
        for point in points {
            let ink = if point.is_on_frontier { Ink::Accent } else { Ink::Grey };
            plane.dot((point.cost, point.risk), 45, Fill::solid(ink));
        }
        label_points(canvas, &plane, points);
    })
}

/// Names right of their points, moved apart where they would touch, with a thin line to the point
/// if they had to move far.
fn label_points(canvas: &Canvas, plane: &Plane<'_>, points: &[Trade]) {
    let at: Vec<(i32, i32)> =
        points.iter().map(|point| plane.point(point.cost, point.risk)).collect();
    let wanted: Vec<i32> = at.iter().map(|&(_, y)| y).collect();
    let heights = apart(&wanted, FONT + 3 * PIXEL, &plane.frame().down);
    for ((point, &(x, y)), height) in points.iter().zip(&at).zip(heights) {
        let ink = if point.is_on_frontier { Ink::Text } else { Ink::Muted };
        let from = x + 9 * PIXEL;
        if (height - y).abs() > FONT / 2 {
            canvas.line([(x, y), (from, height)], Stroke::thin(Ink::Rule));
        }
        canvas.text((from, height), &cut(&point.label, canvas.width - from), Lettering::start(ink));
    }
}
