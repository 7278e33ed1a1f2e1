//! The space-time diagram as a drawing: columns are processes, time runs downwards.
//!
//! Time is not to scale: steps have a row each, and where nothing happens for long, a band says
//! how much was left out. On wide screens the sentence of each step stands on its row; on narrow
//! ones the numbers lead to the list below.

use acklab_verdict::names;
use acklab_vocab::time::{SimDuration, SimTime};

use super::diagram::{Diagram, Message, Row, Stretch};
use super::story::Mark;
use crate::plot::{
    Canvas, Drawing, FONT, Fill, Ink, Lettering, PIXEL, Point, Stroke, Width, cut, text_width,
    wrapped,
};

const RADIUS: i32 = 9 * PIXEL;
const HEAD: i32 = 46 * PIXEL;
const LINE: i32 = 15 * PIXEL;
const STEP_HEIGHT: i32 = 25 * PIXEL;
const BARE_HEIGHT: i32 = 13 * PIXEL;
const BREAK_HEIGHT: i32 = 26 * PIXEL;
/// From here on a gap is marked.
const BREAK: SimDuration = SimDuration::from_millis(200);

/// Draws it.
#[must_use]
pub fn draw(diagram: &Diagram, width: Width) -> Drawing {
    let layout = Layout::of(diagram, width);
    Canvas::draw(width.full(), layout.bottom + 8 * PIXEL, |canvas| {
        let picture = Picture { canvas, diagram, layout: &layout };
        picture.breaks();
        picture.columns();
        picture.rules();
        for message in &diagram.messages {
            picture.message(message);
        }
        for (index, row) in diagram.rows.iter().enumerate() {
            picture.row(index, row);
        }
    })
}

/// Where everything stands.
struct Layout {
    is_wide: bool,
    /// Where the columns begin.
    left: i32,
    column_width: i32,
    /// Where the sentences begin.
    words: i32,
    /// Where they end.
    right: i32,
    /// The middle of each row's first line.
    rows: Vec<i32>,
    /// Gaps that are marked: from where to where, and how long they last.
    breaks: Vec<(i32, i32, SimDuration)>,
    /// The sentence of each row, in lines.
    sentences: Vec<Vec<String>>,
    bottom: i32,
}

impl Layout {
    fn of(diagram: &Diagram, width: Width) -> Layout {
        let is_wide = width == Width::Wide;
        let right = width.full() - 4 * PIXEL;
        let columns = (diagram.columns.len() as i32).max(1);
        let left = if is_wide { 74 * PIXEL } else { 68 * PIXEL };
        let room = if is_wide { 540 * PIXEL } else { right - left };
        let most = if is_wide { 96 * PIXEL } else { 76 * PIXEL };
        let column_width = (room / columns).min(most);
        let words = left + columns * column_width + 8 * PIXEL;
        let mut layout = Layout {
            is_wide,
            left,
            column_width,
            words,
            right,
            rows: Vec::new(),
            breaks: Vec::new(),
            sentences: Vec::new(),
            bottom: HEAD,
        };
        let mut before: Option<SimTime> = None;
        for row in &diagram.rows {
            layout.add(row, before);
            before = Some(row.at);
        }
        layout
    }

    fn add(&mut self, row: &Row, before: Option<SimTime>) {
        let gap = before.map_or(SimDuration::ZERO, |before| row.at.since(before));
        if gap >= BREAK {
            let top = self.bottom + 3 * PIXEL;
            self.breaks.push((top, top + BREAK_HEIGHT - 6 * PIXEL, gap));
            self.bottom += BREAK_HEIGHT;
        } else if gap >= SimDuration::from_millis(2) {
            self.bottom += 4 * PIXEL;
        }
        let sentence = match &row.step {
            Some(step) if self.is_wide => {
                // The word of a mark stands beside it, or else before its sentence.
                let is_told = step.mark.is_none() || self.has_room(row.column, &step.word);
                let word = if is_told { String::new() } else { format!("{} · ", step.word) };
                let after = match step.unseen_messages {
                    0 => String::new(),
                    more => format!(", after {} not drawn", names::counted(more as u64, "message")),
                };
                // Words that stand out are wider.
                let room = self.right - self.words;
                let room = if step.mark.is_some() { room * 10 / 11 } else { room };
                wrapped(&format!("{word}{}{after}", step.text), room)
            }
            Some(_) | None => Vec::new(),
        };
        let height = match &row.step {
            Some(_) => STEP_HEIGHT.max(sentence.len() as i32 * LINE + 8 * PIXEL),
            None => BARE_HEIGHT,
        };
        let middle = if row.step.is_some() { STEP_HEIGHT / 2 } else { BARE_HEIGHT / 2 };
        self.rows.push(self.bottom + middle);
        self.sentences.push(sentence);
        self.bottom += height;
    }

    /// Whether a word fits in between the mark in a column and the sentences.
    fn has_room(&self, column: Option<usize>, word: &str) -> bool {
        let x = column.map_or(self.left, |column| self.column(column));
        x + RADIUS + 4 * PIXEL + text_width(word) * 11 / 10 <= self.words - 8 * PIXEL
    }

    fn column(&self, index: usize) -> i32 {
        self.left + self.column_width * index as i32 + self.column_width / 2
    }
}

struct Picture<'a> {
    canvas: &'a Canvas,
    diagram: &'a Diagram,
    layout: &'a Layout,
}

impl Picture<'_> {
    // ---- what stands still ----------------------------------------------------------------------

    /// Bands where time was left out.
    fn breaks(&self) {
        let right = self.layout.words - 8 * PIXEL;
        for (top, bottom, gap) in &self.layout.breaks {
            let (from, to) = ((self.layout.left, *top), (right, *bottom));
            self.canvas.rectangle(from, to, Fill::tint(Ink::Rule, 60));
            let words = format!("+ {}", names::seconds(*gap));
            let at = (self.layout.left - 10 * PIXEL, (top + bottom) / 2);
            self.canvas.text(at, &words, Lettering::end(Ink::Muted));
        }
    }

    /// The columns: names, the line of each life, copies.
    fn columns(&self) {
        for (index, column) in self.diagram.columns.iter().enumerate() {
            let x = self.layout.column(index);
            let room = self.layout.column_width - 4 * PIXEL;
            let bold = Lettering::middle(Ink::Text).bold();
            // Bold letters are wider than the estimate.
            let room = room * 9 / 10;
            match column.name.rsplit_once(' ') {
                Some((kind, id)) if text_width(&column.name) > room => {
                    let kind = if text_width(kind) > room {
                        kind.replace("roller", ".")
                    } else {
                        kind.to_owned()
                    };
                    self.canvas.text((x, 10 * PIXEL), &cut(&kind, room), bold);
                    self.canvas.text((x, 25 * PIXEL), &cut(id, room), bold);
                }
                Some(_) | None => {
                    self.canvas.text((x, 25 * PIXEL), &cut(&column.name, room), bold);
                }
            }
            self.lifeline(index, x);
        }
        for copy in &self.diagram.copies {
            let (top, bottom) = self.extent(copy);
            let x = self.layout.column(copy.column);
            let (from, to) = ((x - 4 * PIXEL, top), (x + 4 * PIXEL, bottom));
            self.canvas.rectangle(from, to, Fill::tint(Ink::Blue, 35));
        }
    }

    /// A process's line: broken while it is dead, dashed while it stands still.
    fn lifeline(&self, column: usize, x: i32) {
        let is_here = |of: &&Stretch| of.column == column;
        let mut cuts: Vec<(i32, i32, bool)> = Vec::new();
        let deaths = self.diagram.deaths.iter().filter(is_here).map(|of| (of, true));
        let pauses = self.diagram.pauses.iter().filter(is_here).map(|of| (of, false));
        for (stretch, is_dead) in deaths.chain(pauses) {
            let (top, bottom) = self.extent(stretch);
            cuts.push((top, bottom, is_dead));
        }
        cuts.sort_unstable();
        let mut from = HEAD - 8 * PIXEL;
        let line = Stroke::thin(Ink::Axis);
        for (top, bottom, is_dead) in cuts {
            self.canvas.line([(x, from), (x, top)], line);
            if !is_dead {
                self.canvas.line([(x, top), (x, bottom)], line.dashed());
            }
            from = from.max(bottom);
        }
        if from < self.layout.bottom {
            self.canvas.line([(x, from), (x, self.layout.bottom)], line);
        }
    }

    fn extent(&self, stretch: &Stretch) -> (i32, i32) {
        let top = stretch.from.map_or(HEAD - 8 * PIXEL, |row| self.layout.rows[row]);
        let bottom = stretch.to.map_or(self.layout.bottom, |row| self.layout.rows[row]);
        (top, bottom)
    }

    /// Light rules that lead from a step to its sentence.
    fn rules(&self) {
        if !self.layout.is_wide {
            return;
        }
        for (row, y) in self.diagram.rows.iter().zip(&self.layout.rows) {
            if row.step.is_some() {
                let from = self.place(row, *y).0;
                let to = self.layout.words - 4 * PIXEL;
                self.canvas.line([(from, *y), (to, *y)], Stroke::thin(Ink::Rule));
            }
        }
    }

    // ---- what happens ---------------------------------------------------------------------------

    fn row(&self, index: usize, row: &Row) {
        let y = self.layout.rows[index];
        let at = self.place(row, y);
        let Some(step) = &row.step else {
            self.canvas.disc(at, 25, Fill::solid(Ink::Muted));
            return;
        };
        self.time(index, row, y);
        let stroke = Stroke::data(if row.column.is_none() { Ink::Fault } else { Ink::Text });
        let ink = step.mark.map(mark_ink);
        self.canvas.disc(at, RADIUS, Fill::solid(ink.unwrap_or(Ink::Paper)));
        if ink.is_none() {
            self.canvas.circle(at, RADIUS, stroke);
        }
        let words = Lettering::middle(if ink.is_some() { Ink::Paper } else { Ink::Text });
        self.canvas.text(
            at,
            &step.number.to_string(),
            if ink.is_some() { words.bold() } else { words },
        );
        if let Some(mark) = step.mark {
            self.mark(at, row.column, &step.word, mark);
        }
        let lettering = Lettering::start(ink.unwrap_or(Ink::Text));
        let lettering = if ink.is_some() { lettering.bold() } else { lettering };
        for (line, words) in self.layout.sentences[index].iter().enumerate() {
            self.canvas.text((self.layout.words, y + line as i32 * LINE), words, lettering);
        }
    }

    /// The word of a step that stands out, on the side where there is room.
    fn mark(&self, (x, y): Point, column: Option<usize>, word: &str, mark: Mark) {
        let is_right = self.layout.has_room(column, word);
        if self.layout.is_wide && !is_right {
            return;
        }
        let gap = RADIUS + 4 * PIXEL;
        let width = text_width(word) * 11 / 10;
        let from = if is_right { x + gap } else { x - gap - width };
        let (top, bottom) = (y - FONT / 2 - PIXEL, y + FONT / 2 + PIXEL);
        let paper = Fill::tint(Ink::Paper, 85);
        self.canvas.rectangle((from - 2 * PIXEL, top), (from + width + 2 * PIXEL, bottom), paper);
        let (at, lettering) = match is_right {
            true => (from, Lettering::start(mark_ink(mark))),
            false => (x - gap, Lettering::end(mark_ink(mark))),
        };
        self.canvas.text((at, y), word, lettering.bold());
    }

    /// The instant, unless the row above has the same.
    fn time(&self, index: usize, row: &Row, y: i32) {
        let shown = instant(row.at);
        let above = self.diagram.rows[..index].iter().rfind(|row| row.step.is_some());
        if above.is_none_or(|above| instant(above.at) != shown) {
            let x = self.layout.left - 10 * PIXEL;
            self.canvas.text((x, y), &shown, Lettering::end(Ink::Muted));
        }
    }

    /// Where a row's mark stands; faults stand before the first column.
    fn place(&self, row: &Row, y: i32) -> Point {
        let x = row.column.map_or(self.layout.left + 4 * PIXEL, |of| self.layout.column(of));
        (x, y)
    }

    fn message(&self, message: &Message) {
        let (sender, receiver) = (&self.diagram.rows[message.from], &self.diagram.rows[message.to]);
        let from = self.place(sender, self.layout.rows[message.from]);
        let to = self.place(receiver, self.layout.rows[message.to]);
        let radius = |row: &Row| if row.step.is_some() { RADIUS + 5 } else { 3 * PIXEL };
        let from_edge = towards(from, to, radius(sender));
        let to_edge = towards(to, from, radius(receiver));
        let stroke = Stroke::thin(Ink::Muted);
        let stroke = if message.is_response { stroke.dashed() } else { stroke };
        self.canvas.line([from_edge, to_edge], stroke);
        self.arrow_head(from_edge, to_edge);
        if self.layout.is_wide {
            self.name_of(message, from_edge, to_edge);
        }
    }

    fn arrow_head(&self, from: Point, to: Point) {
        let back = towards(to, from, 7 * PIXEL);
        let (dx, dy) = ((to.0 - back.0) * 2 / 5, (to.1 - back.1) * 2 / 5);
        let wings = [to, (back.0 - dy, back.1 + dx), (back.0 + dy, back.1 - dx)];
        self.canvas.polygon(wings, Fill::solid(Ink::Muted));
    }

    /// The API, on the message, between the sender's column and the next one.
    fn name_of(&self, message: &Message, from: Point, to: Point) {
        let width = text_width(&message.api);
        let length = to.0 - from.0;
        if width + 16 * PIXEL > length.abs() {
            return;
        }
        let half_way = self.layout.column_width.min(length.abs()) / 2;
        let reach = half_way.max(width / 2 + 6 * PIXEL) * length.signum();
        let at = (from.0 + reach, from.1 + (to.1 - from.1) * (reach / PIXEL) / (length / PIXEL));
        let half = (width / 2 + 2 * PIXEL, FONT / 2);
        let corners = ((at.0 - half.0, at.1 - half.1), (at.0 + half.0, at.1 + half.1));
        self.canvas.rectangle(corners.0, corners.1, Fill::solid(Ink::Paper));
        self.canvas.text(at, &message.api, Lettering::middle(Ink::Muted));
    }
}

/// The ink of what stands out.
fn mark_ink(mark: Mark) -> Ink {
    match mark {
        Mark::Promise => Ink::Green,
        Mark::Decisive => Ink::Text,
        Mark::End => Ink::Vermillion,
    }
}

/// The point so far from `from` on the way to `to`.
fn towards(from: Point, to: Point, distance: i32) -> Point {
    let (dx, dy) = (f64::from(to.0 - from.0), f64::from(to.1 - from.1));
    let length = (dx * dx + dy * dy).sqrt();
    if length < 1.0 {
        return from;
    }
    let share = f64::from(distance) / length;
    // Whole units: `floor` of the half more is the same on every machine.
    let step = |of: f64| (of * share + 0.5).floor() as i32;
    (from.0 + step(dx), from.1 + step(dy))
}

/// `9.412 s`
fn instant(at: SimTime) -> String {
    at.to_string()
}
