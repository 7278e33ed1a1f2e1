//! A plane: a part of a canvas with two scales, onto which plotters maps data.

use super::canvas::{Canvas, CompactSvg, FONT, Lettering, PIXEL, Point, drawn};
use super::ink::{Fill, Ink, Stroke};
use super::scale::Scale;
use plotters::chart::{ChartBuilder, ChartContext};
use plotters::coord::cartesian::Cartesian2d;
use plotters::coord::types::RangedCoordi64;
use plotters::series::{AreaSeries, LineSeries};
use std::ops::Range;

/// A rectangle of a canvas, in tenths of a pixel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// From left to right.
    pub across: Range<i32>,
    /// From top to bottom.
    pub down: Range<i32>,
}

impl Frame {
    /// A frame by its left, right, upper and lower edge.
    #[must_use]
    pub fn new(left: i32, right: i32, top: i32, bottom: i32) -> Frame {
        Frame { across: left..right.max(left + PIXEL), down: top..bottom.max(top + PIXEL) }
    }
}

/// Data's place on a canvas.
pub struct Plane<'a> {
    canvas: &'a Canvas,
    chart: std::cell::RefCell<Chart<'a>>,
    frame: Frame,
    /// Along the lower edge.
    pub across: Scale,
    /// Upwards.
    pub up: Scale,
}

type Chart<'a> = ChartContext<'a, CompactSvg, Cartesian2d<RangedCoordi64, RangedCoordi64>>;

impl<'a> Plane<'a> {
    /// Lays two scales over a frame. `None` if the frame is not on the canvas.
    #[must_use]
    pub fn new(canvas: &'a Canvas, frame: Frame, across: Scale, up: Scale) -> Option<Plane<'a>> {
        let Frame { across: columns, down: lines } = &frame;
        let mut builder = ChartBuilder::on(&canvas.area);
        builder
            .margin_left(columns.start)
            .margin_right(canvas.width - columns.end)
            .margin_top(lines.start)
            .margin_bottom(canvas.height - lines.end);
        let ranges = |scale: Scale| {
            scale.place(scale.from)..scale.place(scale.to).max(scale.place(scale.from) + 1)
        };
        let chart = builder.build_cartesian_2d(ranges(across), ranges(up)).ok()?;
        Some(Plane { canvas, chart: std::cell::RefCell::new(chart), frame, across, up })
    }

    /// The rectangle that it covers.
    #[must_use]
    pub fn frame(&self) -> &Frame {
        &self.frame
    }

    /// Where a value stands on the canvas.
    #[must_use]
    pub fn point(&self, across: i64, up: i64) -> Point {
        self.chart.borrow().backend_coord(&self.placed((across, up)))
    }

    fn placed(&self, (across, up): (i64, i64)) -> (i64, i64) {
        (self.across.place(across), self.up.place(up))
    }

    /// A line through data.
    pub fn line(&self, data: &[(i64, i64)], stroke: Stroke) {
        let points = data.iter().map(|&point| self.placed(point));
        let series = LineSeries::new(points, stroke.style());
        drawn(self.chart.borrow_mut().draw_series(series).map(drop));
    }

    /// Values that hold until the next one, the last one until `until`.
    pub fn steps(&self, data: &[(i64, i64)], until: i64, stroke: Stroke) {
        self.line(&stepped(data, until), stroke);
    }

    /// The area between data and the lower end of the scale.
    pub fn area(&self, data: &[(i64, i64)], fill: Fill) {
        let points = data.iter().map(|&point| self.placed(point));
        let base = self.up.place(self.up.from);
        drawn(
            self.chart
                .borrow_mut()
                .draw_series(AreaSeries::new(points, base, fill.color()))
                .map(drop),
        );
    }

    /// A disc at a value, its radius in tenths of a pixel.
    pub fn dot(&self, at: (i64, i64), radius: i32, fill: Fill) {
        self.canvas.disc(self.point(at.0, at.1), radius, fill);
    }

    /// Light level rules at the ticks of the upward scale, and the ticks' words left of them.
    pub fn level_rules(&self, at_most: usize) {
        let mut last: Option<i32> = None;
        for tick in self.up.ticks(at_most) {
            let (_, y) = self.point(self.across.from, tick);
            let Range { start, end } = self.frame.across;
            self.canvas.line([(start, y), (end, y)], Stroke::thin(Ink::Rule));
            if last.is_none_or(|last| (last - y).abs() >= FONT) {
                let words = self.up.unit.tick(tick);
                self.canvas.text((start - 6 * PIXEL, y), &words, Lettering::end(Ink::Muted));
                last = Some(y);
            }
        }
    }

    /// The lower axis: a thin line, ticks and their words. Words that would touch are left out.
    pub fn lower_axis(&self, at_most: usize) {
        let Range { start, end } = self.frame.across;
        let bottom = self.frame.down.end;
        self.canvas.line([(start, bottom), (end, bottom)], Stroke::thin(Ink::Axis));
        let mut free_from = i32::MIN;
        for tick in self.across.ticks(at_most) {
            let (x, _) = self.point(tick, self.up.from);
            self.canvas.line([(x, bottom), (x, bottom + 4 * PIXEL)], Stroke::thin(Ink::Axis));
            let words = self.across.unit.tick(tick);
            let half = super::canvas::text_width(&words) / 2;
            let middle = x.min(self.canvas.width - half);
            if middle - half >= free_from {
                let at = (middle, bottom + 13 * PIXEL);
                self.canvas.text(at, &words, Lettering::middle(Ink::Muted));
                free_from = middle + half + 6 * PIXEL;
            }
        }
    }
}

/// The corners of values that hold until the next one.
#[must_use]
pub fn stepped(data: &[(i64, i64)], until: i64) -> Vec<(i64, i64)> {
    let mut corners = Vec::with_capacity(data.len() * 2);
    for (index, &(at, value)) in data.iter().enumerate() {
        if let Some(&(_, before)) = index.checked_sub(1).and_then(|before| data.get(before)) {
            corners.push((at, before));
        }
        corners.push((at, value));
    }
    if let Some(&(at, value)) = data.last()
        && until > at
    {
        corners.push((until, value));
    }
    corners
}

/// Labels at the ends of lines, moved apart so that none covers another, within a range. They keep
/// their order; the result is the height of each.
#[must_use]
pub fn apart(wanted: &[i32], distance: i32, within: &Range<i32>) -> Vec<i32> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by_key(|&index| (wanted[index], index));
    let mut heights = wanted.to_vec();
    let mut least = within.start;
    for &index in &order {
        heights[index] = heights[index].max(least);
        least = heights[index] + distance;
    }
    let mut most = within.end;
    for &index in order.iter().rev() {
        heights[index] = heights[index].min(most);
        most = heights[index] - distance;
    }
    heights
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::scale::Unit;
    use expect_test::expect;

    #[test]
    fn values_hold_until_the_next_one() {
        assert!(stepped(&[], 9).is_empty());
        assert_eq!(stepped(&[(0, 1), (5, 3)], 9), [(0, 1), (5, 1), (5, 3), (9, 3)]);
        assert_eq!(stepped(&[(0, 1)], 0), [(0, 1)]);
    }

    #[test]
    fn labels_are_moved_apart_and_stay_within() {
        assert_eq!(apart(&[10, 12, 200], 20, &(0..300)), [10, 30, 200]);
        assert_eq!(apart(&[295, 290], 20, &(0..300)), [300, 280]);
        assert_eq!(apart(&[], 20, &(0..300)), Vec::<i32>::new());
    }

    #[test]
    fn a_plane_maps_values_and_draws_rules() {
        let drawing = Canvas::draw(1_000, 400, |canvas| {
            let across = Scale::linear(Unit::Micros, 0, 2_000_000);
            let up = Scale::from_zero(Unit::Count, 100);
            let frame = Frame::new(200, 900, 50, 250);
            let plane = Plane::new(canvas, frame, across, up).expect("it is on the canvas");
            let ends = [plane.point(0, 0), plane.point(2_000_000, 100)];
            let wanted = [(200, 250), (900, 50)];
            for (end, wanted) in ends.into_iter().zip(wanted) {
                assert!((end.0 - wanted.0).abs() <= 1 && (end.1 - wanted.1).abs() <= 1, "{end:?}");
            }
            plane.level_rules(2);
            plane.lower_axis(2);
            plane.steps(&[(0, 0), (1_000_000, 100)], 2_000_000, Stroke::data(Ink::Blue));
        });
        expect![[r#"
            <path class="s3" stroke-width="10" d="M200 249h700"/>
            <text class="f1" x="140" y="291" text-anchor="end">0</text>
            <path class="s3" stroke-width="10" d="M200 150h700"/>
            <path class="s3" stroke-width="10" d="M200 50h700"/>
            <text class="f1" x="140" y="92" text-anchor="end">100</text>
            <path class="s2" stroke-width="10" d="M200 250h700"/>
            <path class="s2" stroke-width="10" d="M200 250v40"/>
            <text class="f1" x="200" y="422" text-anchor="middle">0</text>
            <path class="s2" stroke-width="10" d="M549 250v40"/>
            <text class="f1" x="549" y="422" text-anchor="middle">1 s</text>
            <path class="s2" stroke-width="10" d="M899 250v40"/>
            <text class="f1" x="899" y="422" text-anchor="middle">2 s</text>
            <path class="s9" d="M200 249h349v-199h350"/>"#]]
        .assert_eq(&drawing.body.replace("><", ">\n<"));
    }
}
