//! Figures of many histories: dots with whiskers, distributions, heat maps, cost against safety.

use super::canvas::{Canvas, Drawing, FONT, Lettering, PIXEL, cut, text_width};
use super::figure::Width;
use super::ink::{Fill, Ink, Stroke};
use super::plane::{Frame, Plane};
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

/// Draws one row for each value, all over one scale. Whiskers are the intervals. Where names and
/// words leave the scale too little room, they stand above their rows.
#[must_use]
pub fn dots(rows: &[DotRow], scale: Scale, width: Width) -> Drawing {
    let full = width.full();
    let widest =
        |text: fn(&DotRow) -> &str| rows.iter().map(|row| text_width(text(row))).max().unwrap_or(0);
    let (labels, words) = (widest(|row| &row.label), widest(|row| &row.words));
    let beside = labels + words + 28 * PIXEL <= full * 3 / 5;
    let above = if beside { 0 } else { headed(labels, words, full) };
    let row = above + if beside { 26 } else { 22 } * PIXEL;
    let count = i32::try_from(rows.len().max(1)).unwrap_or(1);
    let bottom = 6 * PIXEL + row * count;
    let (left, right) = match beside {
        true => (labels + 14 * PIXEL, full - words - 14 * PIXEL),
        false => (10 * PIXEL, full - 14 * PIXEL),
    };
    Canvas::draw(full, bottom + 26 * PIXEL, |canvas| {
        let frame = Frame::new(left, right, 0, bottom);
        let nothing = Scale::linear(Unit::Count, 0, 1);
        let Some(plane) = Plane::new(canvas, frame, scale, nothing) else { return };
        plane.lower_axis(if width == Width::Wide { 8 } else { 4 });
        for (row_of, index) in rows.iter().zip(0..) {
            let top = 6 * PIXEL + row * index;
            let y = top + above + (row - above) / 2;
            let x = |value: i64| plane.point(value, 0).0;
            canvas.line([(left, y), (right, y)], Stroke::thin(Ink::Rule));
            whisker(canvas, (x(row_of.low), x(row_of.high)), y, row_of.ink);
            canvas.disc((x(row_of.value), y), 45, Fill::solid(row_of.ink));
            if beside {
                canvas.text((left - 10 * PIXEL, y), &row_of.label, Lettering::end(Ink::Text));
                canvas.text((right + 10 * PIXEL, y), &row_of.words, Lettering::start(Ink::Text));
            } else {
                heading(canvas, top, (&row_of.label, &row_of.words), above);
            }
        }
    })
}

/// One line of text above a row of a figure.
const HEAD: i32 = 16 * PIXEL;

/// How high the names and words above rows are: they share a line if they fit.
fn headed(labels: i32, words: i32, full: i32) -> i32 {
    if labels + words + 12 * PIXEL <= full { HEAD } else { 2 * HEAD }
}

/// A row's name and words, above it.
pub fn heading(canvas: &Canvas, top: i32, (label, words): (&str, &str), height: i32) {
    let full = canvas.width;
    let y = top + HEAD / 2;
    canvas.text((0, y), &cut(label, full), Lettering::start(Ink::Text));
    if height > HEAD {
        canvas.text((0, y + HEAD), &cut(words, full), Lettering::start(Ink::Muted));
    } else {
        canvas.text((full, y), &cut(words, full), Lettering::end(Ink::Muted));
    }
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
    let above = heading_of(rows, full);
    let row = above + 48 * PIXEL;
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
            heading(canvas, base - row + 8 * PIXEL, (&one.label, &one.words), above);
            histogram(canvas, &plane, one, bin, (base, row - above - 12 * PIXEL));
            canvas.line([(left, base), (right, base)], Stroke::thin(Ink::Rule));
        }
    })
}

/// How high the names of distributions stand above them.
#[must_use]
pub fn heading_of(rows: &[Distribution], full: i32) -> i32 {
    let widest = |text: fn(&Distribution) -> &str| {
        rows.iter().map(|row| text_width(text(row))).max().unwrap_or(0)
    };
    headed(widest(|row| &row.label), widest(|row| &row.words), full)
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
    let lines = |labels: &[String], width: i32| -> Vec<Vec<String>> {
        labels.iter().map(|label| broken(label, width)).collect()
    };
    let columns_are = broken(&map.columns_are, full - left);
    let (names, values) =
        (lines(&map.rows, left - 12 * PIXEL), lines(&map.columns, cell - 4 * PIXEL));
    let tallest = |of: &[Vec<String>]| of.iter().map(Vec::len).max().unwrap_or(1).max(1) as i32;
    let above = columns_are.len() as i32 * LINE;
    let top = above + 8 * PIXEL + tallest(&values) * LINE;
    let row = (tallest(&names) * LINE + 8 * PIXEL).max(34 * PIXEL);
    Canvas::draw(full, top + row * rows + 2 * PIXEL, |canvas| {
        for (words, index) in columns_are.iter().zip(0..) {
            canvas.text((left, LINE / 2 + index * LINE), words, Lettering::start(Ink::Muted));
        }
        let rows_are = cut(&map.rows_are, left - 12 * PIXEL);
        canvas.text((left - 10 * PIXEL, top - LINE), &rows_are, Lettering::end(Ink::Muted));
        for (label, x) in values.iter().zip((0..).map(|index| left + index * cell)) {
            for (words, line) in label.iter().zip(0..) {
                let at = (x + cell / 2, above + 4 * PIXEL + LINE / 2 + line * LINE);
                canvas.text(at, words, Lettering::middle(Ink::Text));
            }
        }
        for ((label, cells), y) in
            names.iter().zip(&map.cells).zip((0..).map(|index| top + index * row))
        {
            let first = y + row / 2 - (label.len() as i32 - 1) * LINE / 2;
            for (words, line) in label.iter().zip(0..) {
                let at = (left - 10 * PIXEL, first + line * LINE);
                canvas.text(at, words, Lettering::end(Ink::Text));
            }
            for (value, x) in cells.iter().zip((0..).map(|index| left + index * cell)) {
                heat_cell(canvas, value.as_ref(), map.ink, (x, y, cell, row));
            }
        }
    })
}

/// The height of a line of words.
const LINE: i32 = 15 * PIXEL;

/// Words in lines of a width: broken at spaces and hyphens, cut only where a part is too long.
fn broken(words: &str, width: i32) -> Vec<String> {
    let mut lines: Vec<String> = vec![String::new()];
    for part in words.split_inclusive([' ', '-', '.', '_', ',']) {
        let line = lines.last_mut().expect("there is a line");
        if line.is_empty() || text_width(line) + text_width(part.trim_end()) <= width {
            line.push_str(part);
        } else {
            lines.push(part.to_owned());
        }
    }
    lines.iter().map(|line| cut(line.trim_end(), width)).collect()
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
    let opacity = 4 + u8::try_from(u32::from(*darkness).min(1_000) * DARKEST / 1_000).unwrap_or(0);
    let corner = (x + width - PIXEL, y + height - PIXEL);
    canvas.rectangle((x, y), corner, Fill::tint(ink, opacity));
    canvas.text(middle, &cut(words, width), Lettering::middle(Ink::Text));
}

/// Up to here the page's text can be read on every ink, light and dark: more than 4.5 to 1.
const DARKEST: u32 = 46;

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

/// Draws cost across and risk upwards; points that nothing beats stand out.
#[must_use]
pub fn trade_off(points: &[Trade], cost: Scale, risk: Scale, width: Width) -> Drawing {
    let full = width.full();
    let height = 320 * PIXEL;
    let room = match width {
        Width::Wide => 180 * PIXEL,
        Width::Narrow => 30 * PIXEL,
    };
    Canvas::draw(full, height, |canvas| {
        let frame = Frame::new(58 * PIXEL, full - room, 24 * PIXEL, height - 28 * PIXEL);
        let Some(plane) = Plane::new(canvas, frame, cost, risk) else { return };
        plane.level_rules(5);
        plane.lower_axis(if width == Width::Wide { 8 } else { 4 });
        label_points(canvas, &plane, points);
        for point in points {
            let ink = if point.is_on_frontier { Ink::Accent } else { Ink::Grey };
            plane.dot((point.cost, point.risk), DOT, Fill::solid(ink));
        }
    })
}

/// The radius of a point.
const DOT: i32 = 45;

/// A rectangle: from left to right, from top to bottom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    across: (i32, i32),
    down: (i32, i32),
}

impl Place {
    fn touches(&self, other: &Place) -> bool {
        let meet = |one: (i32, i32), other: (i32, i32)| one.0 < other.1 && other.0 < one.1;
        meet(self.across, other.across) && meet(self.down, other.down)
    }
}

/// Names beside their points, where they cover neither another name nor a point; further up or down
/// with a thin line to the point where there is no room. Points that nothing beats choose first; a
/// name without any room is left to the table.
fn label_points(canvas: &Canvas, plane: &Plane<'_>, points: &[Trade]) {
    let at: Vec<(i32, i32)> =
        points.iter().map(|point| plane.point(point.cost, point.risk)).collect();
    let dot = |&(x, y): &(i32, i32)| Place {
        across: (x - DOT - PIXEL, x + DOT + PIXEL),
        down: (y - DOT - PIXEL, y + DOT + PIXEL),
    };
    let mut taken: Vec<Place> = at.iter().map(dot).collect();
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by_key(|&index| (!points[index].is_on_frontier, at[index], index));
    let within = (plane.frame().across.start, canvas.width);
    let down = (0, plane.frame().down.end + DOT);
    for index in order {
        let (point, (x, y)) = (&points[index], at[index]);
        let words = cut(&point.label, within.1 - within.0);
        let Some(place) = room_for(text_width(&words), (x, y), within, down, &taken) else {
            continue;
        };
        let middle = (place.down.0 + place.down.1) / 2;
        if (middle - y).abs() > FONT / 2 {
            let near = x.clamp(place.across.0, place.across.1);
            let edge = if middle < y { place.down.1 } else { place.down.0 };
            canvas.line([(x, y), (near, edge)], Stroke::thin(Ink::Axis));
        }
        let ink = if point.is_on_frontier { Ink::Text } else { Ink::Muted };
        canvas.text((place.across.0, middle), &words, Lettering::start(ink));
        taken.push(place);
    }
}

/// The nearest free place for a name: right or left of its point, then ever further up and down.
fn room_for(
    width: i32,
    (x, y): (i32, i32),
    within: (i32, i32),
    down: (i32, i32),
    taken: &[Place],
) -> Option<Place> {
    let line = FONT + 3 * PIXEL;
    let most = (down.1 - down.0) / line;
    let shifts = (0..=most).flat_map(|step| [-step * line, step * line]);
    let places = shifts.flat_map(|shift| {
        let middle = (x - width / 2).clamp(within.0, (within.1 - width).max(within.0));
        let starts = [x + 9 * PIXEL, x - 9 * PIXEL - width, middle];
        starts.into_iter().map(move |from| Place {
            across: (from, from + width),
            down: (y + shift - line / 2, y + shift + line / 2),
        })
    });
    let fits = |place: &Place| {
        within.0 <= place.across.0
            && place.across.1 <= within.1
            && down.0 <= place.down.0
            && place.down.1 <= down.1
            && !taken.iter().any(|other| other.touches(place))
    };
    let mut places = places;
    places.find(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cover_neither_points_nor_each_other() {
        let name = |index: usize| format!("acks=all, linger.ms={index}");
        let points: Vec<Trade> = (0..12)
            .map(|index| Trade {
                label: name(index),
                cost: 9_000_000 + (index as i64 % 4) * 1_000,
                risk: if index < 6 { 0 } else { 1_000_000 },
                is_on_frontier: index == 0,
            })
            .collect();
        for width in [Width::Wide, Width::Narrow] {
            let cost = Scale::linear(Unit::Micros, 8_000_000, 10_000_000);
            let risk = Scale::from_zero(Unit::Share, 1_000_000);
            let drawing = trade_off(&points, cost, risk, width).body;
            for index in 0..points.len() {
                assert!(drawing.contains(&format!(">{}<", name(index))), "{width:?}: {index}");
            }
        }
        let lines = broken("delivery.timeout.ms=10", 800);
        assert_eq!((lines.len() > 1, lines.concat().as_str()), (true, "delivery.timeout.ms=10"));
        assert!(lines.iter().all(|line| text_width(line) <= 800), "{lines:?}");
        let full = (0, 4_000);
        let here = (2_000, 1_000);
        let first = room_for(800, here, full, full, &[]).expect("all is free");
        assert_eq!(first.across, (2_090, 2_890), "to the right");
        let second = room_for(800, here, full, full, &[first]).expect("much is free");
        assert_eq!(second.across, (1_110, 1_910), "then to the left");
        assert!(room_for(5_000, here, full, full, &[]).is_none(), "it is too long");
    }
}
