//! A percentile curve: the tail of a latency, as far out as there are data.

use super::canvas::{Canvas, Drawing, FONT, Lettering, PIXEL, cut, text_width};
use super::figure::Width;
use super::ink::{Ink, Stroke};
use super::plane::{Frame, Plane, apart};
use super::scale::{Scale, Unit};

/// One curve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Curve {
    /// Stands at its end.
    pub label: String,
    /// With which ink.
    pub ink: Ink,
    /// Share of the records in millionths, and what they stayed within, both ascending. The last
    /// point, at a million, is the greatest.
    pub points: Vec<(u32, i64)>,
}

/// Marks of the axis: share in millionths, and its words.
const MARKS: [(u32, &str); 7] = [
    (0, "0"),
    (500_000, "50 %"),
    (900_000, "90 %"),
    (990_000, "99 %"),
    (999_000, "99.9 %"),
    (999_900, "99.99 %"),
    (999_990, "99.999 %"),
];

/// Every further nine takes the same room: `log10(1 / (1 - share))`, in thousandths.
fn nines(millionths: u32) -> i64 {
    let rest = 1_000_000_u32.saturating_sub(millionths).max(1);
    (libm::log10(1e6 / f64::from(rest)) * 1_000.0).round() as i64
}

/// Draws curves over one axis, values on a logarithmic scale.
#[must_use]
pub fn percentile_curve(curves: &[Curve], unit: Unit, width: Width) -> Drawing {
    let full = width.full();
    let right_margin = curves.iter().map(|curve| text_width(&curve.label)).max().unwrap_or(0);
    let right = full - (right_margin + 12 * PIXEL).clamp(30 * PIXEL, full / 3);
    let (height, left) = (260 * PIXEL, 58 * PIXEL);
    Canvas::draw(full, height, |canvas| {
        let values = || curves.iter().flat_map(|curve| &curve.points).map(|&(_, value)| value);
        let least = values().filter(|&value| value > 0).min().unwrap_or(1);
        let up = Scale::logarithmic(unit, least, values().max().unwrap_or(1));
        // The greatest of all stands where the next nine would.
        let before_last = |curve: &Curve| {
            curve.points.iter().map(|&(share, _)| share).filter(|&share| share < 1_000_000).max()
        };
        let farthest = curves.iter().filter_map(before_last).max().map_or(1_000, nines);
        let end = farthest.max(1_000) + 250;
        let across = Scale::linear(Unit::Count, 0, end);
        let frame = Frame::new(left, right, 10 * PIXEL, height - 28 * PIXEL);
        let Some(plane) = Plane::new(canvas, frame, across, up) else { return };
        plane.level_rules(6);
        share_axis(canvas, &plane, end);
        for curve in curves {
            let place = |share: u32| if share >= 1_000_000 { end } else { nines(share) };
            let points: Vec<_> =
                curve.points.iter().map(|&(share, value)| (place(share), value)).collect();
            plane.line(&points, Stroke::data(curve.ink));
        }
        label_ends(canvas, &plane, curves);
    })
}

fn share_axis(canvas: &Canvas, plane: &Plane<'_>, end: i64) {
    let frame = plane.frame();
    let bottom = frame.down.end;
    canvas
        .line([(frame.across.start, bottom), (frame.across.end, bottom)], Stroke::thin(Ink::Axis));
    let marks = MARKS.iter().map(|&(share, words)| (nines(share), words));
    let last = (end, "longest");
    let mut free_from = i32::MIN;
    let (end_x, _) = plane.point(end, plane.up.from);
    let reserved = end_x - text_width(last.1) / 2 - 8 * PIXEL;
    for (place, words) in marks.chain([last]).filter(|&(place, _)| place <= end) {
        let (x, _) = plane.point(place, plane.up.from);
        canvas.line([(x, bottom), (x, bottom + 4 * PIXEL)], Stroke::thin(Ink::Axis));
        let half = text_width(words) / 2;
        let fits = place == end || x + half <= reserved;
        if x - half >= free_from && fits {
            canvas.text((x, bottom + 13 * PIXEL), words, Lettering::middle(Ink::Muted));
            free_from = x + half + 6 * PIXEL;
        }
    }
}

fn label_ends(canvas: &Canvas, plane: &Plane<'_>, curves: &[Curve]) {
    let ends: Vec<(&Curve, i64)> =
        curves.iter().filter_map(|curve| Some((curve, curve.points.last()?.1))).collect();
    let wanted: Vec<i32> =
        ends.iter().map(|&(_, value)| plane.point(plane.across.to, value).1).collect();
    let x = plane.frame().across.end + 6 * PIXEL;
    for ((curve, _), y) in ends.iter().zip(apart(&wanted, FONT + 3 * PIXEL, &plane.frame().down)) {
        canvas.text((x, y), &cut(&curve.label, canvas.width - x), Lettering::start(curve.ink));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_further_nine_takes_the_same_room() {
        assert_eq!(
            [0, 900_000, 990_000, 999_000, 999_999].map(nines),
            [0, 1_000, 2_000, 3_000, 6_000]
        );
    }
}
