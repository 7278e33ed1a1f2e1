//! A canvas: plotters' drawing area over a backend that writes compact SVG.
//!
//! plotters draws in whole units, so a unit is a tenth of a pixel and the `viewBox` says so. Inks
//! become classes of the page's style sheet. Everything is escaped here: no text that gets into a
//! figure can be markup.

use super::ink::{Fill, Ink, Stroke};
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::element::{Circle, PathElement, Polygon, Rectangle, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{IntoFont, TextStyle};
use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind,
    FontStyle,
};
use std::cell::RefCell;
use std::convert::Infallible;
use std::fmt::Write;
use std::rc::Rc;

/// A place on a canvas, from its upper left corner, in tenths of a pixel.
pub type Point = (i32, i32);

/// One pixel.
pub const PIXEL: i32 = 10;

/// The size of the words in figures: 12 pixels.
pub const FONT: i32 = 120;

/// A drawing: what stands within its `<svg>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drawing {
    /// In tenths of a pixel.
    pub width: i32,
    /// In tenths of a pixel.
    pub height: i32,
    /// SVG elements, escaped.
    pub body: String,
}

/// How a text stands to its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// It begins there.
    Start,
    /// Its middle is there.
    Middle,
    /// It ends there.
    End,
}

/// How a text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lettering {
    /// With which ink.
    pub ink: Ink,
    /// How it stands to its point. Its height is centred on it.
    pub anchor: Anchor,
    /// Stands out.
    pub is_bold: bool,
}

impl Lettering {
    /// Words that begin at their point.
    #[must_use]
    pub fn start(ink: Ink) -> Lettering {
        Lettering { ink, anchor: Anchor::Start, is_bold: false }
    }

    /// Words around their point.
    #[must_use]
    pub fn middle(ink: Ink) -> Lettering {
        Lettering { ink, anchor: Anchor::Middle, is_bold: false }
    }

    /// Words that end at their point.
    #[must_use]
    pub fn end(ink: Ink) -> Lettering {
        Lettering { ink, anchor: Anchor::End, is_bold: false }
    }

    /// The same words, standing out.
    #[must_use]
    pub fn bold(self) -> Lettering {
        Lettering { is_bold: true, ..self }
    }
}

/// What one draws on.
pub struct Canvas {
    pub(super) area: DrawingArea<CompactSvg, Shift>,
    out: Rc<RefCell<String>>,
    /// In tenths of a pixel.
    pub width: i32,
    /// In tenths of a pixel.
    pub height: i32,
}

impl Canvas {
    /// Draws on a canvas of a size in tenths of a pixel.
    pub fn draw(width: i32, height: i32, paint: impl FnOnce(&Canvas)) -> Drawing {
        let (width, height) = (width.max(PIXEL), height.max(PIXEL));
        let out = Rc::new(RefCell::new(String::new()));
        let size = (width.unsigned_abs(), height.unsigned_abs());
        let backend = CompactSvg { out: Rc::clone(&out), size };
        let canvas = Canvas { area: backend.into_drawing_area(), out, width, height };
        paint(&canvas);
        let body = canvas.out.take();
        Drawing { width, height, body }
    }

    /// A line through points.
    pub fn line(&self, points: impl IntoIterator<Item = Point>, stroke: Stroke) {
        let points: Vec<Point> = points.into_iter().collect();
        drawn(self.area.draw(&PathElement::new(points, stroke.style())));
    }

    /// An area within points.
    pub fn polygon(&self, points: impl IntoIterator<Item = Point>, fill: Fill) {
        let points: Vec<Point> = points.into_iter().collect();
        drawn(self.area.draw(&Polygon::new(points, fill.color())));
    }

    /// A rectangle between two corners.
    pub fn rectangle(&self, from: Point, to: Point, fill: Fill) {
        let style = plotters::style::Color::filled(&fill.color());
        drawn(self.area.draw(&Rectangle::new([from, to], style)));
    }

    /// A disc.
    pub fn disc(&self, center: Point, radius: i32, fill: Fill) {
        let style = plotters::style::Color::filled(&fill.color());
        drawn(self.area.draw(&Circle::new(center, radius, style)));
    }

    /// A circle.
    pub fn circle(&self, center: Point, radius: i32, stroke: Stroke) {
        drawn(self.area.draw(&Circle::new(center, radius, stroke.style())));
    }

    /// Words at a point, centred on its height.
    pub fn text(&self, at: Point, words: &str, lettering: Lettering) {
        let horizontal = match lettering.anchor {
            Anchor::Start => HPos::Left,
            Anchor::Middle => HPos::Center,
            Anchor::End => HPos::Right,
        };
        let style = if lettering.is_bold { FontStyle::Bold } else { FontStyle::Normal };
        let font = ("inherit", f64::from(FONT)).into_font().style(style);
        let color = Fill::solid(lettering.ink).color();
        let style = TextStyle::from(font).color(&color).pos(Pos::new(horizontal, VPos::Center));
        drawn(self.area.draw(&Text::new(words, at, style)));
    }

    /// What is painted is one group, with a class of the style sheet and words that say what it
    /// is when one points at it; either may be empty.
    pub fn group(&self, class: &str, title: &str, paint: impl FnOnce(&Canvas)) {
        let mut open = "<g".to_owned();
        if !class.is_empty() {
            let _ = write!(open, " class=\"{}\"", escaped(class));
        }
        open.push('>');
        if !title.is_empty() {
            let _ = write!(open, "<title>{}</title>", escaped(title));
        }
        self.out.borrow_mut().push_str(&open);
        paint(self);
        self.out.borrow_mut().push_str("</g>");
    }
}

/// Drawing into memory does not fail: plotters' errors are those of files and of fonts, and there
/// are none here.
pub(super) fn drawn<E: std::fmt::Debug>(result: Result<(), E>) {
    debug_assert!(result.is_ok(), "{result:?}");
}

/// How wide words are at most, in tenths of a pixel, in the sans-serif fonts that readers have.
/// An estimate by the width of letters: nobody knows the font.
#[must_use]
pub fn text_width(words: &str) -> i32 {
    let thousandths: i64 = words.chars().map(|letter| i64::from(width_of(letter))).sum();
    i32::try_from(thousandths * i64::from(FONT) / 1_000).unwrap_or(i32::MAX)
}

/// In thousandths of the font's size.
fn width_of(letter: char) -> i32 {
    match letter {
        'i' | 'j' | 'l' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' | '·' => 300,
        'f' | 't' | 'r' | ' ' | '(' | ')' | '[' | ']' | '/' | '-' => 390,
        'm' | 'M' | 'w' | 'W' | '@' | '%' | '→' | '…' => 960,
        'A'..='Z' | '+' | '=' | '<' | '>' | '#' | '≥' | '≤' => 720,
        '0'..='9' => 640,
        _ if letter.is_ascii() => 625,
        _ => 700,
    }
}

/// Words in lines that are at most so wide.
#[must_use]
pub fn wrapped(words: &str, width: i32) -> Vec<String> {
    let mut lines: Vec<String> = vec![String::new()];
    for word in words.split(' ') {
        let line = lines.last_mut().expect("there is always a line");
        let longer = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
        if text_width(&longer) <= width || line.is_empty() {
            *line = longer;
        } else {
            lines.push(word.to_owned());
        }
    }
    lines.iter().map(|line| cut(line, width)).collect()
}

/// Words cut so that they are at most this wide; what is cut is shown by an ellipsis.
#[must_use]
pub fn cut(words: &str, width: i32) -> String {
    if text_width(words) <= width {
        return words.to_owned();
    }
    let mut kept = String::new();
    for letter in words.chars() {
        kept.push(letter);
        if text_width(&kept) + text_width("…") > width {
            kept.pop();
            break;
        }
    }
    let kept = kept.trim_end();
    if kept.is_empty() { String::new() } else { format!("{kept}…") }
}

/// Text that is no markup, as an element or an attribute.
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            control if control.is_control() => safe.push(' '),
            other => safe.push(other),
        }
    }
    safe
}

/// plotters' backend: SVG with classes for colours and relative paths, into shared text.
pub(super) struct CompactSvg {
    out: Rc<RefCell<String>>,
    size: (u32, u32),
}

type Drawn = Result<(), DrawingErrorKind<Infallible>>;

impl CompactSvg {
    fn write(&self, element: &str) -> Drawn {
        self.out.borrow_mut().push_str(element);
        Ok(())
    }
}

impl DrawingBackend for CompactSvg {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        self.size
    }

    fn ensure_prepared(&mut self) -> Drawn {
        Ok(())
    }

    fn present(&mut self) -> Drawn {
        Ok(())
    }

    fn draw_pixel(&mut self, point: BackendCoord, color: BackendColor) -> Drawn {
        self.draw_rect(point, (point.0 + PIXEL, point.1 + PIXEL), &color, true)
    }

    fn draw_line<S: BackendStyle>(&mut self, from: Point, to: Point, style: &S) -> Drawn {
        self.draw_path([from, to], style)
    }

    fn draw_rect<S: BackendStyle>(
        &mut self,
        (left, top): BackendCoord,
        (right, bottom): BackendCoord,
        style: &S,
        is_filled: bool,
    ) -> Drawn {
        if !is_filled {
            let corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)];
            return self.draw_path(corners, style);
        }
        let (x, y) = (left.min(right), top.min(bottom));
        let (width, height) = ((right - left).abs(), (bottom - top).abs());
        let class = fill_class(style.color());
        let element =
            format!(r#"<rect {class} x="{x}" y="{y}" width="{width}" height="{height}"/>"#);
        self.write(&element)
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        path: I,
        style: &S,
    ) -> Drawn {
        let points: Vec<Point> = path.into_iter().collect();
        let path = path_data(&points);
        self.write(&format!(r#"<path {} d="{path}"/>"#, stroke_class(style)))
    }

    fn draw_circle<S: BackendStyle>(
        &mut self,
        (x, y): BackendCoord,
        radius: u32,
        style: &S,
        is_filled: bool,
    ) -> Drawn {
        let class = if is_filled { fill_class(style.color()) } else { stroke_class(style) };
        self.write(&format!(r#"<circle {class} cx="{x}" cy="{y}" r="{radius}"/>"#))
    }

    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        vertices: I,
        style: &S,
    ) -> Drawn {
        let points: Vec<Point> = vertices.into_iter().collect();
        let path = path_data(&points);
        self.write(&format!(r#"<path {} d="{path}z"/>"#, fill_class(style.color())))
    }

    fn draw_text<S: BackendTextStyle>(&mut self, text: &str, style: &S, at: Point) -> Drawn {
        let anchor = match style.anchor().h_pos {
            HPos::Left => "",
            HPos::Center => r#" text-anchor="middle""#,
            HPos::Right => r#" text-anchor="end""#,
        };
        let bold = match style.style() {
            FontStyle::Bold => r#" font-weight="600""#,
            FontStyle::Normal | FontStyle::Italic | FontStyle::Oblique => "",
        };
        // A third of the size below the middle is the base line.
        let baseline = match style.anchor().v_pos {
            VPos::Top => at.1 + FONT * 3 / 4,
            VPos::Center => at.1 + FONT * 35 / 100,
            VPos::Bottom => at.1 - FONT / 5,
        };
        let class = fill_class(style.color());
        let text = escaped(text);
        self.write(&format!(
            r#"<text {class} x="{}" y="{baseline}"{anchor}{bold}>{text}</text>"#,
            at.0
        ))
    }

    fn estimate_text_size<S: BackendTextStyle>(
        &self,
        text: &str,
        _style: &S,
    ) -> Result<(u32, u32), DrawingErrorKind<Infallible>> {
        Ok((text_width(text).unsigned_abs(), FONT.unsigned_abs()))
    }

    fn blit_bitmap(&mut self, _at: Point, _size: (u32, u32), _source: &[u8]) -> Drawn {
        Ok(())
    }
}

fn fill_class(color: BackendColor) -> String {
    let ink = Ink::from_number(color.rgb.0).number();
    format!("class=\"f{ink}\"{}", opacity(color))
}

fn stroke_class<S: BackendStyle>(style: &S) -> String {
    let color = style.color();
    let ink = Ink::from_number(color.rgb.0).number();
    let dashed = if color.rgb.1 == 0 { "" } else { " da" };
    // The style sheet says 15 unless the element says otherwise.
    let width = match style.stroke_width() {
        15 => String::new(),
        width => format!(" stroke-width=\"{width}\""),
    };
    format!("class=\"s{ink}{dashed}\"{width}{}", opacity(color))
}

/// Hundredths: printed without floating point.
fn opacity(color: BackendColor) -> String {
    let hundredths = (color.alpha * 100.0 + 0.5).floor();
    match hundredths as u32 {
        100.. => String::new(),
        hundredths => format!(" opacity=\".{hundredths:02}\""),
    }
}

/// A path through points: relative, level and upright parts as such, points on the way left out.
fn path_data(points: &[Point]) -> String {
    let mut path = String::new();
    let Some((&first, rest)) = points.split_first() else { return path };
    let _ = write!(path, "M{} {}", first.0, first.1);
    let mut at = first;
    // The step under way: it goes on while the direction is the same.
    let mut step = (0, 0);
    for &point in rest {
        let next = (point.0 - at.0 - step.0, point.1 - at.1 - step.1);
        if next == (0, 0) {
            continue;
        }
        if !goes_on(step, next) {
            write_step(&mut path, step);
            at = (at.0 + step.0, at.1 + step.1);
            step = (0, 0);
        }
        step = (step.0 + next.0, step.1 + next.1);
    }
    write_step(&mut path, step);
    path
}

/// Both are level or both upright, and in the same direction; anything goes on from nothing.
fn goes_on(step: Point, next: Point) -> bool {
    step == (0, 0)
        || (step.0 == 0 && next.0 == 0 && (step.1 > 0) == (next.1 > 0))
        || (step.1 == 0 && next.1 == 0 && (step.0 > 0) == (next.0 > 0))
}

fn write_step(path: &mut String, step: Point) {
    let _ = match step {
        (0, 0) => Ok(()),
        (0, down) => write!(path, "v{down}"),
        (along, 0) => write!(path, "h{along}"),
        (along, down) if down < 0 => write!(path, "l{along}{down}"),
        (along, down) => write!(path, "l{along} {down}"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn a_path_is_relative_and_leaves_out_what_is_on_the_way() {
        assert_eq!(path_data(&[]), "");
        assert_eq!(path_data(&[(5, 7)]), "M5 7");
        let steps = [(0, 0), (10, 0), (30, 0), (30, 5), (30, 9), (30, 4), (35, -1), (40, 4)];
        assert_eq!(path_data(&steps), "M0 0h30v9v-5l5-5l5 5");
    }

    #[test]
    fn a_drawing_has_classes_and_no_colours() {
        let drawing = Canvas::draw(1_000, 500, |canvas| {
            canvas.rectangle((0, 0), (100, 50), Fill::tint(Ink::Fault, 15));
            canvas.line([(0, 0), (10, 20)], Stroke::data(Ink::Blue));
            canvas.line([(0, 0), (10, 0)], Stroke::thin(Ink::Axis).dashed());
            canvas.disc((5, 5), 30, Fill::solid(Ink::Vermillion));
            canvas.circle((5, 5), 30, Stroke::data(Ink::Vermillion));
            canvas.polygon([(0, 0), (10, 0), (10, 10)], Fill::tint(Ink::Sky, 50));
            canvas.group("mark", "a <b>", |canvas| {
                canvas.text((50, 60), "orders & \"co\"", Lettering::end(Ink::Text).bold());
            });
        });
        let lines = drawing.body.replace("><", ">\n<");
        expect![[r#"
            <rect class="f6" opacity=".15" x="0" y="0" width="100" height="50"/>
            <path class="s9" d="M0 0l10 20"/>
            <path class="s2 da" stroke-width="10" d="M0 0h10"/>
            <circle class="f10" cx="5" cy="5" r="30"/>
            <circle class="s10" cx="5" cy="5" r="30"/>
            <path class="f14" opacity=".50" d="M0 0h10v10z"/>
            <g class="mark">
            <title>a &lt;b&gt;</title>
            <text class="f0" x="50" y="102" text-anchor="end" font-weight="600">orders &amp; &quot;co&quot;</text>
            </g>"#]]
        .assert_eq(&lines);
    }

    #[test]
    fn words_are_cut_to_a_width() {
        assert_eq!(cut("broker 1", 1_000), "broker 1");
        assert_eq!(cut("a very long name of a fault", 800), "a very lon…");
        assert_eq!(cut("name", 50), "");
    }
}
