//! The ZooKeeper ensemble over time: its leader, the controller, sessions.

use super::super::super::Html;
use super::{at, listed};
use crate::plot::{Bar, Figure, Fill, Ink, SpanRow, instant, span_rows};
use crate::run::model::{EnsemblePanel, NamedSpan, RunPage, SessionRow};
use acklab_verdict::names::grouped;

/// One figure, where there is an ensemble.
pub fn figures(page: &RunPage, end: i64, all: &mut Html) {
    let Some(panel) = &page.ensemble else { return };
    all.heading("ZooKeeper");
    all.push(&sessions(panel, end));
}

fn sessions(panel: &EnsemblePanel, end: i64) -> Figure {
    let mut rows = vec![
        named("ensemble's leader", &panel.leaders.shown),
        named("controller", &panel.controllers.shown),
    ];
    rows.extend(panel.sessions.shown.iter().map(session));
    let more = match panel.sessions.left_out {
        0 => String::new(),
        more => format!(" {} more clients are not shown.", grouped(more)),
    };
    let how = format!(
        "Who leads the ensemble, which broker is the controller, and when each client has a session; \
         a session that expired ends in red.{more}"
    );
    let said = listed(rows.iter().flat_map(|row| &row.bars).map(|bar| bar.title.clone()));
    Figure::new("fig-sessions", "Sessions", |width| span_rows(end, &rows, true, width))
        .read(&how)
        .instead(&said)
        .beside()
}

fn named(label: &str, spans: &[NamedSpan]) -> SpanRow {
    let bars = spans.iter().map(|span| Bar {
        from: at(span.from_us),
        to: at(span.to_us),
        fill: Fill::tint(Ink::Blue, 40),
        words: span.name.clone(),
        may_stand_beside: false,
        title: format!(
            "{label}: {} from {} to {}",
            span.name,
            instant(span.from_us),
            instant(span.to_us)
        ),
    });
    SpanRow { label: label.to_owned(), bars: bars.collect(), ..SpanRow::default() }
}

fn session(row: &SessionRow) -> SpanRow {
    let bars = row.spans.shown.iter().map(|span| {
        let has_expired = row.expired_at_us.shown.contains(&span.to_us);
        let (ink, how) = match has_expired {
            true => (Ink::Vermillion, ", when it expired"),
            false => (Ink::Green, ""),
        };
        Bar {
            from: at(span.from_us),
            to: at(span.to_us),
            fill: Fill::tint(ink, 45),
            words: String::new(),
            may_stand_beside: false,
            title: format!(
                "session of {} from {} to {}{how}",
                row.client,
                instant(span.from_us),
                instant(span.to_us)
            ),
        }
    });
    SpanRow { label: row.client.clone(), bars: bars.collect(), ..SpanRow::default() }
}
