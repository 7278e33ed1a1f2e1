//! Histograms of counts that reach far: a few in most histories, thousands in some. Classes begin
//! at 0, 1, 2, 5, 10, 20, 50 and so on and are equally wide, so that small counts can be told
//! apart.

use crate::plot::{
    Canvas, Distribution, Drawing, Fill, Ink, Lettering, PIXEL, Stroke, Unit, Width, heading,
    heading_of, text_width,
};

/// From the names above a row to the foot of its bars: the numbers of seeds, and the bars.
const BARS: i32 = 76 * PIXEL;
/// Above the highest bar: its number of seeds, and a gap to the row above.
const NUMBERS: i32 = 26 * PIXEL;

/// Where classes begin, up to the one that holds the greatest value.
#[must_use]
pub fn classes(greatest: i64) -> Vec<i64> {
    let mut from = vec![0];
    let mut decade = 1_i64;
    while decade <= greatest {
        from.extend([1, 2, 5].map(|step| step * decade).into_iter().filter(|at| *at <= greatest));
        decade = decade.saturating_mul(10);
    }
    from
}

/// How many seeds each class has.
#[must_use]
pub fn counted(counts: &[(i64, u64)], classes: &[i64]) -> Vec<u64> {
    let mut seeds = vec![0; classes.len()];
    for &(value, count) in counts {
        let class = classes.partition_point(|from| *from <= value).saturating_sub(1);
        seeds[class] += count;
    }
    seeds
}

/// Draws histograms below each other over one scale. Heights are shares of each row's seeds.
#[must_use]
pub fn draw(rows: &[Distribution], width: Width) -> Drawing {
    let full = width.full();
    let greatest = rows.iter().filter_map(|row| row.counts.last()).map(|&(value, _)| value).max();
    let classes = classes(greatest.unwrap_or(0));
    let above = heading_of(rows, full);
    let row_height = above + BARS;
    let bottom = row_height * i32::try_from(rows.len().max(1)).unwrap_or(1);
    let most = i32::try_from(classes.len()).unwrap_or(i32::MAX);
    let bar = ((full - 4 * PIXEL) / most).min(100 * PIXEL);
    let share = |row: &Distribution| {
        let seeds = counted(&row.counts, &classes);
        let all = seeds.iter().sum::<u64>().max(1);
        seeds.into_iter().map(|of| (of, of * 1_000 / all)).collect::<Vec<(u64, u64)>>()
    };
    let highest = rows.iter().flat_map(share).map(|(_, share)| share).max().unwrap_or(1).max(1);
    Canvas::draw(full, bottom + 26 * PIXEL, |canvas| {
        for (row, index) in rows.iter().zip(0..) {
            let base = row_height * (index + 1);
            heading(canvas, base - row_height + 8 * PIXEL, (&row.label, &row.words), above);
            for ((seeds, share), class) in share(row).into_iter().zip(0..) {
                let from = class * bar;
                let height = i32::try_from(share).unwrap_or(0) * (BARS - NUMBERS)
                    / i32::try_from(highest).unwrap_or(1_000);
                if seeds > 0 {
                    let corner = (from, base - height.max(PIXEL));
                    canvas.rectangle(corner, (from + bar - PIXEL, base), Fill::solid(row.ink));
                    let words = seeds.to_string();
                    if text_width(&words) <= bar {
                        let at = (from + bar / 2, corner.1 - 7 * PIXEL);
                        canvas.text(at, &words, Lettering::middle(Ink::Muted));
                    }
                }
            }
            canvas.line([(0, base), (bar * most, base)], Stroke::thin(Ink::Rule));
        }
        for (from, class) in classes.iter().zip(0..) {
            let x = class * bar;
            canvas.line([(x, bottom), (x, bottom + 4 * PIXEL)], Stroke::thin(Ink::Axis));
            let words = Unit::Count.tick(*from);
            if text_width(&words) <= bar {
                canvas.text((x, bottom + 13 * PIXEL), &words, Lettering::start(Ink::Muted));
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_grow_and_every_seed_is_in_one() {
        assert_eq!(classes(0), [0]);
        assert_eq!(classes(7), [0, 1, 2, 5]);
        assert_eq!(classes(1_200), [0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000]);
        let seeds = counted(&[(0, 3), (1, 1), (4, 2), (5, 1), (7, 9)], &classes(7));
        assert_eq!(seeds, [3, 1, 2, 10]);
    }
}
