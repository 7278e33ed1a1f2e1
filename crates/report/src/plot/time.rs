//! Panels over time: lines, steps, areas and rows of spans over one shared axis.
//!
//! Panels stand one below the other with the same margins, so that an instant is at the same place
//! in all of them. What goes through all of them, faults, outages and the slider's rule, is no part
//! of a drawing: the page lays it behind them, from the first to the last.

use super::canvas::{Canvas, Drawing, FONT, Lettering, PIXEL, cut, text_width, wrapped};
use super::figure::Width;
use super::ink::{Fill, Ink, Stroke};
use super::plane::{Frame, Plane, apart, stepped};
use super::scale::{Scale, Unit};

/// How data are drawn over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// From point to point.
    Line,
    /// Values that hold until the next.
    Steps,
    /// Values that hold until the next, in a dashed line.
    DashedSteps,
    /// The area below values that hold until the next.
    Area,
}

/// A series in a panel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// How it is drawn.
    pub shape: Shape,
    /// With which ink.
    pub ink: Ink,
    /// Stands at the end of the line; nothing if empty.
    pub label: String,
    /// Runs of (microseconds, value), each ascending in time; between runs there is nothing.
    pub runs: Vec<Vec<(i64, i64)>>,
    /// Until when the last value of a run of steps holds; the axis' end if `None`.
    pub holds: Option<i64>,
}

impl Layer {
    /// One run.
    #[must_use]
    pub fn new(shape: Shape, ink: Ink, label: &str, data: Vec<(i64, i64)>) -> Layer {
        Layer { shape, ink, label: label.to_owned(), runs: vec![data], holds: None }
    }
}

/// A panel with a scale of values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Panel {
    /// The scale of values.
    pub scale: Scale,
    /// How high the plot is, without margins, in tenths of a pixel.
    pub height: i32,
    /// From back to front.
    pub layers: Vec<Layer>,
    /// It shows the words of the time axis.
    pub has_time: bool,
}

/// A span in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bar {
    /// From when on, in microseconds.
    pub from: i64,
    /// Until when.
    pub to: i64,
    /// How it is filled.
    pub fill: Fill,
    /// Stands within it if there is room.
    pub words: String,
    /// Stands beside it if it does not fit within; else what does not fit is left out.
    pub may_stand_beside: bool,
    /// What it says when one points at it.
    pub title: String,
}

/// A row of spans.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpanRow {
    /// Its name, at the right end.
    pub label: String,
    /// A line of words over the whole width, which belongs to the next row.
    pub heading: String,
    /// Its spans.
    pub bars: Vec<Bar>,
    /// Instants, each with what it says when one points at it.
    pub marks: Vec<(i64, Ink, String)>,
}

/// A strip: a small area over time with a scale of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strip {
    /// Its name, at the right end.
    pub label: String,
    /// With which ink.
    pub ink: Ink,
    /// Values that hold until the next.
    pub data: Vec<(i64, i64)>,
}

/// Left and right end of a panel's plot, in tenths of a pixel.
/// The style sheet knows them as shares of the width.
#[must_use]
fn time_margins(width: Width) -> (i32, i32) {
    let full = width.beside_caption();
    match width {
        Width::Wide => (52 * PIXEL, full - 132 * PIXEL),
        Width::Narrow => (52 * PIXEL, full - 96 * PIXEL),
    }
}

const TOP: i32 = 8 * PIXEL;
const BOTTOM: i32 = 6 * PIXEL;
const BOTTOM_WITH_TIME: i32 = 26 * PIXEL;
/// The height of a row of spans.
const ROW: i32 = 18 * PIXEL;
/// The height of a strip, if there are several.
const STRIP: i32 = 30 * PIXEL;
/// The height of few strips together.
const STRIPS: i32 = 78 * PIXEL;

/// Draws a panel with a scale of values.
#[must_use]
pub fn panel(end: i64, panel: &Panel, width: Width) -> Drawing {
    let bottom = TOP + panel.height;
    let below = if panel.has_time { BOTTOM_WITH_TIME } else { BOTTOM };
    on_axis(end, width, bottom, bottom + below, panel.has_time, panel.scale, |canvas, plane| {
        plane.level_rules(if panel.height < 60 * PIXEL { 2 } else { 4 });
        for layer in &panel.layers {
            draw_layer(plane, layer, end);
        }
        label_ends(canvas, plane, &panel.layers);
    })
}

/// Draws rows of spans.
#[must_use]
pub fn span_rows(end: i64, rows: &[SpanRow], has_time: bool, width: Width) -> Drawing {
    let bottom = TOP + ROW * i32::try_from(rows.len().max(1)).unwrap_or(1);
    let below = if has_time { BOTTOM_WITH_TIME } else { BOTTOM };
    let nothing = Scale::linear(Unit::Count, 0, 1);
    on_axis(end, width, bottom, bottom + below, has_time, nothing, |canvas, plane| {
        for (row, top) in rows.iter().zip((0..).map(|index| TOP + index * ROW)) {
            draw_row(canvas, plane, row, top);
        }
    })
}

/// Draws a panel, and rows of spans below it, over one axis with its words.
#[must_use]
pub fn panel_over_rows(end: i64, panel: &Panel, rows: &[SpanRow], width: Width) -> Drawing {
    let middle = TOP + panel.height;
    let first = middle + 6 * PIXEL;
    let bottom = first + ROW * i32::try_from(rows.len()).unwrap_or(1);
    let nothing = Scale::linear(Unit::Count, 0, 1);
    on_axis(end, width, bottom, bottom + BOTTOM_WITH_TIME, true, nothing, |canvas, plane| {
        let (left, right) = (plane.frame().across.start, plane.frame().across.end);
        let frame = Frame::new(left, right, TOP, middle);
        let Some(upper) = Plane::new(canvas, frame, plane.across, panel.scale) else { return };
        upper.level_rules(4);
        for layer in &panel.layers {
            draw_layer(&upper, layer, end);
        }
        label_ends(canvas, &upper, &panel.layers);
        for (row, top) in rows.iter().zip((0..).map(|index| first + index * ROW)) {
            draw_row(canvas, plane, row, top);
        }
    })
}

/// Draws strips below each other, each with its greatest value at the left.
#[must_use]
pub fn strips(end: i64, rows: &[Strip], has_time: bool, width: Width) -> Drawing {
    let count = i32::try_from(rows.len().max(1)).unwrap_or(1);
    let height = (STRIPS / count).max(STRIP);
    let bottom = TOP + height * count;
    let below = if has_time { BOTTOM_WITH_TIME } else { BOTTOM };
    let nothing = Scale::linear(Unit::Count, 0, 1);
    on_axis(end, width, bottom, bottom + below, has_time, nothing, |canvas, plane| {
        for (strip, top) in rows.iter().zip((0..).map(|index| TOP + index * height)) {
            draw_strip(canvas, plane, strip, (top + 6 * PIXEL, top + height));
        }
    })
}

fn draw_strip(canvas: &Canvas, plane: &Plane<'_>, strip: &Strip, (upper, lower): (i32, i32)) {
    let greatest = strip.data.iter().map(|&(_, value)| value).max().unwrap_or(0).max(1);
    let (left, right) = (plane.frame().across.start, plane.frame().across.end);
    let frame = Frame::new(left, right, upper, lower);
    let own = Scale::linear(Unit::Count, 0, greatest);
    let Some(own) = Plane::new(canvas, frame, plane.across, own) else { return };
    canvas.line([(left, lower), (right, lower)], Stroke::thin(Ink::Rule));
    let corners = stepped(&strip.data, plane.across.to);
    own.area(&corners, Fill::tint(strip.ink, 60));
    let words = Unit::Count.tick(greatest);
    let height = upper + FONT / 3;
    canvas.text((left - 6 * PIXEL, height), &words, Lettering::end(Ink::Muted));
    let x = right + 6 * PIXEL;
    let words = cut(&strip.label, canvas.width - x);
    canvas.text((x, lower - FONT / 2), &words, Lettering::start(strip.ink));
}

fn on_axis(
    end: i64,
    width: Width,
    bottom: i32,
    height: i32,
    has_time: bool,
    scale: Scale,
    paint: impl Fn(&Canvas, &Plane<'_>),
) -> Drawing {
    let (left, right) = time_margins(width);
    Canvas::draw(width.beside_caption(), height, |canvas| {
        let across = Scale::linear(Unit::Micros, 0, end.max(1));
        let frame = Frame::new(left, right, TOP, bottom);
        let Some(plane) = Plane::new(canvas, frame, across, scale) else { return };
        paint(canvas, &plane);
        if has_time {
            plane.lower_axis(if width == Width::Wide { 10 } else { 5 });
        } else {
            canvas.line([(left, bottom), (right, bottom)], Stroke::thin(Ink::Axis));
        }
    })
}

fn draw_layer(plane: &Plane<'_>, layer: &Layer, end: i64) {
    let until = layer.holds.unwrap_or(end);
    for run in &layer.runs {
        match layer.shape {
            Shape::Line => plane.line(run, Stroke::data(layer.ink)),
            Shape::Steps => plane.steps(run, until, Stroke::data(layer.ink)),
            Shape::DashedSteps => {
                plane.steps(run, until, Stroke::thin(layer.ink).dashed());
            }
            Shape::Area => plane.area(&stepped(run, until), Fill::tint(layer.ink, 55)),
        }
    }
}

/// Names where the lines end, moved apart where they would touch.
fn label_ends(canvas: &Canvas, plane: &Plane<'_>, layers: &[Layer]) {
    let last = |layer: &Layer| layer.runs.iter().rev().find_map(|run| run.last()).copied();
    let named: Vec<(&Layer, (i64, i64))> = layers
        .iter()
        .filter(|layer| !layer.label.is_empty())
        .filter_map(|layer| Some((layer, last(layer)?)))
        .collect();
    let wanted: Vec<i32> = named.iter().map(|&(_, (at, value))| plane.point(at, value).1).collect();
    let within = plane.frame().down.start..plane.frame().down.end - PIXEL;
    let frame = &plane.frame().across;
    // Lines that are over early have their names there; all names stand in one column.
    let ends = named.iter().filter(|(layer, _)| layer.holds.is_some());
    let early = ends.map(|&(_, (at, _))| plane.point(at, plane.up.from).0).max();
    let x = match early {
        Some(end) if end < frame.start + (frame.end - frame.start) * 4 / 5 => end,
        Some(_) | None => frame.end,
    };
    let x = x + 6 * PIXEL;
    for ((layer, _), y) in named.iter().zip(apart(&wanted, FONT + 2 * PIXEL, &within)) {
        let words = cut(&layer.label, canvas.width - x);
        canvas.text((x, y), &words, Lettering::start(layer.ink));
    }
}

fn draw_row(canvas: &Canvas, plane: &Plane<'_>, row: &SpanRow, top: i32) {
    let (upper, lower) = (top + 2 * PIXEL, top + ROW - 2 * PIXEL);
    let middle = top + ROW / 2;
    let across = |at: i64| plane.point(at, plane.up.from).0;
    let end = plane.frame().across.end;
    if !row.heading.is_empty() {
        canvas.text((4 * PIXEL, middle), &row.heading, Lettering::start(Ink::Text));
    }
    for bar in &row.bars {
        let (from, to) = (across(bar.from), across(bar.to));
        let to = to.max(from + 2 * PIXEL);
        canvas.group("", &bar.title, |canvas| {
            // Lifted off the bands behind it, which would mix their colours with its own.
            if bar.fill.opacity > 0 {
                canvas.rectangle((from, upper), (to, lower), Fill::solid(Ink::Paper));
            }
            canvas.rectangle((from, upper), (to, lower), bar.fill);
        });
        let needed = text_width(&bar.words) + 8 * PIXEL;
        let ink = if bar.fill.opacity > 50 { Ink::Paper } else { Ink::Text };
        if needed <= to - from {
            canvas.text((from + 4 * PIXEL, middle), &bar.words, Lettering::start(ink));
        } else if bar.may_stand_beside {
            where_there_is_room(canvas, (from, to, middle), (end, ink), &bar.words);
        }
    }
    for (at, ink, title) in &row.marks {
        let x = across(*at);
        canvas.group("", title, |canvas| {
            canvas.rectangle((x - PIXEL, upper), (x + PIXEL, lower), Fill::solid(*ink));
        });
    }
    let x = end + 6 * PIXEL;
    let words = cut(&row.label, canvas.width - x);
    canvas.text((x, middle), &words, Lettering::start(Ink::Muted));
}

/// Words that do not fit into their span: right of it, or left of it, or cut, where most fits.
fn where_there_is_room(
    canvas: &Canvas,
    (from, to, middle): (i32, i32, i32),
    (end, inside_ink): (i32, Ink),
    words: &str,
) {
    let gap = 5 * PIXEL;
    let (right, left, inside) = (end - to - gap, from - gap, to - from - 2 * gap);
    let needed = text_width(words);
    if needed <= right || (right >= left && right >= inside) {
        canvas.text((to + gap, middle), &cut(words, right), Lettering::start(Ink::Text));
    } else if needed <= left || left >= inside {
        canvas.text((from - gap, middle), &cut(words, left), Lettering::end(Ink::Text));
    } else {
        canvas.text((from + gap, middle), &cut(words, inside), Lettering::start(inside_ink));
    }
}

/// Spans laid in as few rows as keep them, and the words beside them, from covering each other. What
/// would need more than [`MOST_ROWS`] of them shares the last one, without words.
#[must_use]
pub fn packed(end: i64, bars: Vec<Bar>, width: Width) -> Vec<SpanRow> {
    let (left, right) = time_margins(width);
    let per_unit =
        |units: i32| i64::from(units).saturating_mul(end.max(1)) / i64::from((right - left).max(1));
    let mut rows: Vec<(i64, SpanRow)> = Vec::new();
    let mut without_words = SpanRow::default();
    for mut bar in bars {
        if rows.len() >= MOST_ROWS {
            bar.words.clear();
            without_words.bars.push(bar);
            continue;
        }
        if let Some(lines) = above(&bar, end, width) {
            let heading = |heading| (i64::MAX, SpanRow { heading, ..SpanRow::default() });
            rows.extend(lines.into_iter().map(heading));
            bar.words.clear();
            rows.push((i64::MAX, SpanRow { bars: vec![bar], ..SpanRow::default() }));
            continue;
        }
        let room = per_unit(text_width(&bar.words) + 16 * PIXEL);
        let inside = bar.to - bar.from >= room;
        let free_from = if inside { bar.to } else { bar.to.saturating_add(room) };
        // Words that stand left of their span need the whole row.
        let stands_left = !inside && free_from > end;
        let reach = if stands_left { bar.from.saturating_sub(room) } else { bar.from };
        match rows.iter_mut().find(|(free, _)| *free <= reach) {
            Some((free, row)) => {
                *free = free_from.max(bar.to);
                row.bars.push(bar);
            }
            None => {
                let row = SpanRow { bars: vec![bar], ..SpanRow::default() };
                rows.push((free_from, row));
            }
        }
    }
    let rest = Some(without_words).filter(|row| !row.bars.is_empty());
    rows.into_iter().map(|(_, row)| row).chain(rest).collect()
}

/// So many rows have words, and their headings.
pub const MOST_ROWS: usize = 12;

/// Words that fit neither into their span nor beside it stand above it, in lines.
fn above(bar: &Bar, end: i64, width: Width) -> Option<Vec<String>> {
    let (left, right) = time_margins(width);
    let across = |at: i64| i64::from(left) + i64::from(right - left) * at / end.max(1);
    let (from, to) = (across(bar.from), across(bar.to));
    let gap = i64::from(10 * PIXEL);
    let room = [i64::from(right) - to, from, to - from].into_iter().max()? - gap;
    let most = width.beside_caption() - 8 * PIXEL;
    (i64::from(text_width(&bar.words)) > room).then(|| wrapped(&bar.words, most))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::Figure;

    fn bar(from: i64, to: i64, words: &str) -> Bar {
        Bar {
            from,
            to,
            fill: Fill::tint(Ink::Fault, 45),
            words: words.to_owned(),
            may_stand_beside: true,
            title: words.to_owned(),
        }
    }

    fn rows(bars: Vec<Bar>) -> Vec<Vec<(i64, i64)>> {
        let rows = packed(1_000, bars, Width::Wide);
        let spans = |row: SpanRow| row.bars.iter().map(|bar| (bar.from, bar.to)).collect();
        rows.into_iter().map(spans).collect()
    }

    #[test]
    fn spans_share_a_row_where_neither_they_nor_their_words_meet() {
        assert_eq!(rows(vec![bar(0, 100, ""), bar(300, 400, "")]), [[(0, 100), (300, 400)]]);
        let meet = rows(vec![bar(0, 100, ""), bar(50, 400, "")]);
        assert_eq!(meet, [[(0, 100)], [(50, 400)]]);
        let words = rows(vec![bar(0, 5, "a long name of a fault"), bar(20, 400, "")]);
        assert_eq!(words, [[(0, 5)], [(20, 400)]]);
        let inside = rows(vec![bar(0, 500, "kill"), bar(501, 900, "kill")]);
        assert_eq!(inside, [[(0, 500), (501, 900)]]);
    }

    #[test]
    fn what_needs_too_many_rows_shares_the_last_one() {
        let all = (0..40).map(|at| bar(at * 3, at * 3 + 100, "kill broker 1")).collect();
        let rows = packed(1_000, all, Width::Wide);
        let bars: usize = rows.iter().map(|row| row.bars.len()).sum();
        assert_eq!((rows.len(), bars), (MOST_ROWS + 1, 40), "none is missing");
        let last = &rows[MOST_ROWS];
        assert!(last.bars.iter().all(|bar| bar.words.is_empty() && !bar.title.is_empty()));
    }

    #[test]
    fn words_that_fit_nowhere_stand_above_their_span_and_are_never_cut() {
        let long = "cut between broker 1, shop and broker 2, broker 3, controller 1, controller 2";
        let rows = packed(1_000, vec![bar(300, 700, long), bar(750, 800, "kill")], Width::Narrow);
        let words: Vec<&str> = rows.iter().map(|row| row.heading.as_str()).collect();
        assert_eq!(words.join(" ").trim(), long, "in lines above the span, then the next one");
        assert!(rows.len() >= 4 && rows[rows.len() - 2].bars[0].words.is_empty(), "{rows:?}");
        assert_eq!(packed(1_000, vec![bar(300, 700, long)], Width::Wide).len(), 2);
        assert_eq!(packed(1_000, vec![bar(0, 900, "kill broker 1")], Width::Narrow).len(), 1);
    }

    #[test]
    fn hostile_words_stay_words_in_both_drawings() {
        let evil = "<script>\"&'";
        let row = SpanRow {
            label: evil.to_owned(),
            heading: evil.to_owned(),
            bars: vec![bar(0, 900, evil)],
            marks: vec![(5, Ink::Blue, evil.to_owned())],
        };
        let figure = Figure::new("x", evil, |width| {
            span_rows(1_000, std::slice::from_ref(&row), true, width)
        });
        let html = figure.read(evil).instead(evil).to_string();
        assert!(!html.contains("<script"), "{html}");
        assert!(html.matches("&lt;script&gt;").count() >= 10, "{html}");
    }
}
