//! Time: small multiples over one axis, faults and outages behind all of them.

mod ensemble;
mod groups;
mod partitions;

use super::super::Html;
use super::backdrop;
use crate::plot::{
    Bar, Curve, Figure, Fill, Ink, Layer, MOST_ROWS, Panel, Scale, Shape, SpanRow, Strip, Unit,
    Width, instant, micros, packed, panel, percentile_curve, span_rows, strips,
};
use crate::run::model::{
    Axis, Band, BandKind, BucketSeries, FateSeries, LatencyBucket, LatencyPanel, Merged, RunPage,
    Series,
};
use acklab_verdict::names::{counted, grouped};

/// How high panels with a scale are, in tenths of a pixel.
const HEIGHT: i32 = 960;

/// All panels over the shared axis.
#[must_use]
pub fn panels(page: &RunPage) -> Html {
    let end = at(page.axis.end_us).max(1);
    let mut all = Html::default();
    all.open("panels");
    all.push(&backdrop::of_run(&page.axis, &page.bands.shown));
    for figure in [events(page, end), throughput(page, end)].into_iter().flatten() {
        all.push(&figure);
    }
    for figure in fates(page, end) {
        all.push(&figure);
    }
    let latencies = [&page.produce_latency, &page.end_to_end_latency];
    for (latency, id) in latencies.into_iter().zip(["fig-produce", "fig-end-to-end"]) {
        if let Some(latency) = latency {
            all.push(&latency_over_time(latency, id, &page.axis));
        }
    }
    partitions::figures(page, end, &mut all);
    ensemble::figures(page, end, &mut all);
    groups::figures(page, end, &mut all);
    all.close();
    all
}

/// The latencies of the whole run.
#[must_use]
pub fn percentiles(page: &RunPage) -> Html {
    curve(page).map(|figure| Html::from_safe(&figure)).unwrap_or_default()
}

/// Whole microseconds as the plots take them.
fn at(micros: u64) -> i64 {
    i64::try_from(micros).unwrap_or(i64::MAX)
}

/// A series as the plots take it: it breaks where it has no value.
fn stepped(shape: Shape, ink: Ink, label: &str, series: &Series, end: i64) -> Layer {
    let mut runs: Vec<Vec<(i64, i64)>> = Vec::new();
    let mut is_broken = true;
    for (&time, value) in series.at_us.iter().zip(&series.values) {
        match (value, runs.last_mut()) {
            (Some(value), Some(run)) if !is_broken => run.push((at(time), at(*value))),
            (Some(value), _) => runs.push(vec![(at(time), at(*value))]),
            (None, Some(run)) if !is_broken => {
                let last = run.last().map_or(0, |(_, value)| *value);
                run.push((at(time), last));
            }
            (None, _) => {}
        }
        is_broken = value.is_none();
    }
    // What lasts to the end is drawn to the end; what broke off is not.
    if let Some(run) = runs.last_mut().filter(|_| !is_broken) {
        let last = run.last().map_or(0, |(_, value)| *value);
        run.push((end, last));
    }
    Layer { shape, ink, label: label.to_owned(), runs, holds: Some(0) }
}

/// Several spans in a row of too many, as one.
fn merged_bar(merged: &Merged, what: &str) -> Bar {
    let changes = format!("{} {what}", grouped(merged.count));
    Bar {
        from: at(merged.from_us),
        to: at(merged.to_us),
        fill: Fill::tint(Ink::Grey, 70),
        title: format!(
            "{changes}, each for a short time, from {} to {}",
            instant(merged.from_us),
            instant(merged.to_us)
        ),
        words: changes,
        may_stand_beside: false,
    }
}

/// The bands with their labels, once.
fn events(page: &RunPage, end: i64) -> Option<Figure> {
    if page.bands.shown.is_empty() {
        return None;
    }
    let kinds = [
        (BandKind::Fault, Ink::Fault),
        (BandKind::Leaderless, Ink::Outage),
        (BandKind::Rebalance, Ink::Sky),
        (BandKind::Standstill, Ink::Purple),
    ];
    let rows = |width: Width| -> Vec<SpanRow> {
        let of_kind = |(kind, ink): (BandKind, Ink)| {
            let bands = page.bands.shown.iter().filter(move |band| band.kind == kind);
            let bars = bands.map(|band| bar(band, Fill::tint(ink, 45))).collect();
            packed(end, bars, width)
        };
        kinds.into_iter().flat_map(of_kind).collect()
    };
    let said = listed(page.bands.shown.iter().map(in_words));
    let mut more = match page.bands.left_out {
        0 => String::new(),
        more => format!(" {} more are not shown.", grouped(more)),
    };
    let are_many = kinds.iter().any(|(kind, _)| {
        page.bands.shown.iter().filter(|band| band.kind == *kind).count() > MOST_ROWS
    });
    if are_many {
        more.push_str(" Where a row has no words, there was no room for more names.");
    }
    let how = format!(
        "Faults in force (ochre) and spells without a working leader (red) go through all panels; \
         at the dashed line the workload ends.{more}"
    );
    let figure = Figure::new("fig-events", "Faults and outages", |width| {
        span_rows(end, &rows(width), true, width)
    });
    Some(figure.read(&how).instead(&said).beside())
}

fn bar(band: &Band, fill: Fill) -> Bar {
    Bar {
        from: at(band.from_us),
        to: at(band.to_us),
        fill,
        words: band.label.clone(),
        may_stand_beside: true,
        title: in_words(band),
    }
}

/// `kill broker 1, at 2.000 s`
fn in_words(band: &Band) -> String {
    match (band.is_open, band.from_us == band.to_us) {
        (true, _) => format!("{}, from {} on", band.label, instant(band.from_us)),
        (false, true) => format!("{}, at {}", band.label, instant(band.from_us)),
        (false, false) => {
            format!("{}, from {} to {}", band.label, instant(band.from_us), instant(band.to_us))
        }
    }
}

/// Counts of intervals as steps; after the last interval there is nothing.
fn bucketed(axis: &Axis, counts: &[u64]) -> Vec<(i64, i64)> {
    let starts = (0..).map(|index: u64| index * axis.bucket_us);
    let mut data: Vec<_> =
        starts.zip(counts).map(|(start, &count)| (at(start), at(count))).collect();
    if let Some(&(_, last)) = data.last() {
        data.push((at(axis.end_us), last));
    }
    data
}

fn throughput(page: &RunPage, end: i64) -> Option<Figure> {
    let shown: Vec<_> = page.throughput.iter().filter(|series| series.total > 0).collect();
    let rates = |counts: &[u64]| -> Vec<u64> {
        counts.iter().map(|&count| page.axis.per_second(count)).collect()
    };
    let greatest = shown.iter().flat_map(|series| rates(&series.counts)).max()?;
    let layer = |(position, series): (usize, &&BucketSeries)| {
        let label = short(&series.label, page.groups.shown.len());
        let ink = match series.label.as_str() {
            "created" => Ink::Grey,
            "acked" => Ink::Blue,
            "failed" => Ink::Vermillion,
            _ => READERS[position % READERS.len()],
        };
        Layer::new(Shape::Steps, ink, label, bucketed(&page.axis, &rates(&series.counts)))
    };
    let of = Panel {
        scale: Scale::from_zero(Unit::Count, at(greatest)),
        height: HEIGHT,
        layers: shown.iter().enumerate().map(layer).collect(),
        has_time: false,
    };
    let totals: Vec<String> =
        shown.iter().map(|series| format!("{} {}", grouped(series.total), series.label)).collect();
    let said = format!("{}. At most {} in a second.", totals.join(", "), grouped(greatest));
    let how = format!(
        "Created, acknowledged, delivered and processed, in intervals of {}.",
        micros(page.axis.bucket_us)
    );
    let figure =
        Figure::new("fig-throughput", "Records per second", |width| panel(end, &of, width));
    Some(figure.read(&how).instead(&said).beside())
}

/// Inks of those who read, so that two of them differ.
const READERS: [Ink; 4] = [Ink::Green, Ink::Orange, Ink::Purple, Ink::Sky];

/// `processed by billing` is `processed` where there is no other group.
fn short(label: &str, groups: usize) -> &str {
    match label.split_once(" by ") {
        Some((what, _)) if groups == 1 => what,
        _ => label,
    }
}

/// One figure for the records' fates in the log, and one for each application.
fn fates(page: &RunPage, end: i64) -> Vec<Figure> {
    let mut scopes: Vec<Option<&str>> = Vec::new();
    for series in &page.fates_over_time {
        if !scopes.contains(&series.group.as_deref()) {
            scopes.push(series.group.as_deref());
        }
    }
    let figure = |(index, scope): (usize, Option<&str>)| {
        let of_scope =
            page.fates_over_time.iter().filter(|series| series.group.as_deref() == scope);
        let series: Vec<&FateSeries> = of_scope.collect();
        fates_of(page, end, &series, scope, index)
    };
    scopes.into_iter().enumerate().map(figure).collect()
}

fn fates_of(
    page: &RunPage,
    end: i64,
    series: &[&FateSeries],
    scope: Option<&str>,
    index: usize,
) -> Figure {
    let strip = |series: &&FateSeries| Strip {
        label: format!("{} {}", grouped(series.total), series.fate),
        ink: fate_ink(series),
        data: bucketed(&page.axis, &series.counts),
    };
    let rows: Vec<Strip> = series.iter().map(strip).collect();
    let said: Vec<String> =
        series.iter().map(|one| format!("{} {}", grouped(one.total), one.fate)).collect();
    let (title, how) = match scope {
        None => (
            "What became of them".to_owned(),
            "By the time of creation. Every strip has a scale of its own, its greatest value at \
             the left."
                .to_owned(),
        ),
        Some(scope) => {
            (format!("What {scope} did with them"), "By the time of creation, too.".to_owned())
        }
    };
    Figure::new(&format!("fig-fates-{}", index + 1), &title, |width| {
        strips(end, &rows, false, width)
    })
    .read(&how)
    .instead(&said.join(", "))
    .beside()
}

fn fate_ink(series: &FateSeries) -> Ink {
    match (series.fate.as_str(), series.is_anomaly) {
        ("lost" | "skipped", _) => Ink::Vermillion,
        ("duplicated" | "reprocessed", _) => Ink::Orange,
        ("reordered", _) => Ink::Purple,
        ("phantom" | "ghost", _) => Ink::Green,
        (_, true) => Ink::Vermillion,
        ("acked" | "stored" | "processed", false) => Ink::Blue,
        (_, false) => Ink::Grey,
    }
}

fn latency_over_time(latency: &LatencyPanel, id: &str, of: &Axis) -> Figure {
    let buckets = || latency.buckets.iter().flatten();
    let least = buckets().map(|bucket| bucket.p50_us).filter(|&least| least > 0).min().unwrap_or(1);
    let layer = |ink, label: &str, value: fn(&LatencyBucket) -> u64| Layer {
        shape: Shape::Steps,
        ink,
        label: label.to_owned(),
        runs: runs(of, &latency.buckets, value),
        holds: Some(0),
    };
    let shown = Panel {
        scale: Scale::logarithmic(Unit::Micros, at(least), at(latency.max_us)),
        height: HEIGHT,
        layers: vec![
            layer(Ink::Grey, "longest", |bucket| bucket.max_us),
            layer(Ink::Orange, "p99", |bucket| bucket.p99_us),
            layer(Ink::Blue, "median", |bucket| bucket.p50_us),
        ],
        has_time: false,
    };
    let (title, what) = match latency.label.as_str() {
        "produce" => ("Latency of producing", "From creation to the acknowledgement"),
        _ => ("Latency end to end", "From creation to delivery"),
    };
    let how = format!("{what}; by the time of creation.");
    let said = format!("{what}: the longest took {}.", micros(latency.max_us));
    Figure::new(id, title, |width| panel(at(of.end_us), &shown, width))
        .read(&how)
        .instead(&said)
        .beside()
}

/// Runs of intervals in which there were records; each ends with its last interval.
fn runs(
    axis: &Axis,
    buckets: &[Option<LatencyBucket>],
    value: fn(&LatencyBucket) -> u64,
) -> Vec<Vec<(i64, i64)>> {
    let mut runs = Vec::new();
    let mut run: Vec<(i64, i64)> = Vec::new();
    let mut close = |run: &mut Vec<(i64, i64)>, end: u64| {
        if let Some(&(_, last)) = run.last() {
            run.push((at(end.min(axis.end_us)), last));
            runs.push(std::mem::take(run));
        }
    };
    for (bucket, start) in buckets.iter().zip((0..).map(|index: u64| index * axis.bucket_us)) {
        match bucket {
            Some(bucket) => run.push((at(start), at(value(bucket)))),
            None => close(&mut run, start),
        }
    }
    close(&mut run, axis.end_us);
    runs
}

fn curve(page: &RunPage) -> Option<Figure> {
    let named = [
        (&page.produce_latency, "created to acked", Ink::Blue),
        (&page.end_to_end_latency, "created to delivered", Ink::Orange),
    ];
    let one = |(latency, label, ink): (&Option<LatencyPanel>, &str, Ink)| {
        let latency = latency.as_ref()?;
        let points =
            latency.curve.iter().map(|point| (point.millionths, at(point.value_us))).collect();
        Some(Curve { label: label.to_owned(), ink, points })
    };
    let curves: Vec<Curve> = named.into_iter().filter_map(one).collect();
    if curves.is_empty() {
        return None;
    }
    let said: Vec<String> = curves.iter().map(curve_in_words).collect();
    let figure =
        Figure::new("fig-percentiles", "Latency of the whole run by percentile", |width| {
            percentile_curve(&curves, Unit::Micros, width)
        });
    let how = "So large a share of the records took at most so long; every further nine takes the \
        same room, so that the tail can be read.";
    Some(figure.read(how).instead(&said.join(". ")))
}

fn curve_in_words(curve: &Curve) -> String {
    let marks = [500_000, 990_000, 999_000, 1_000_000];
    let words = |mark: u32| {
        let (_, value) = curve.points.iter().find(|&&(share, _)| share >= mark)?;
        let name = match mark {
            500_000 => "half within",
            990_000 => "99 % within",
            999_000 => "99.9 % within",
            _ => "the longest",
        };
        Some(format!("{name} {}", Unit::Micros.label(*value)))
    };
    let all: Vec<String> = marks.into_iter().filter_map(words).collect();
    format!("{}: {}", curve.label, all.join(", "))
}

/// What figures of many spans say in words: the first of them, and how many more there are.
fn listed(spans: impl Iterator<Item = String>) -> String {
    let mut spans = spans.fuse();
    let shown: Vec<String> = spans.by_ref().take(LISTED).collect();
    match spans.count() {
        0 => shown.join("; "),
        more => format!("{}; and {more} more", shown.join("; ")),
    }
}

/// So many spans are told in words.
const LISTED: usize = 30;

/// `3 partitions`
fn how_many(count: usize, what: &str) -> String {
    counted(count as u64, what)
}
