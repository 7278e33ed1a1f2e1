//! The ensemble's panel, and what consumers that share partitions out by ZooKeeper came to.

use acklab_verdict::{GroupVerdict, Verdict, names};
use acklab_vocab::ids::NodeId;

use super::limits::Limits;
use super::model::{Axis, EnsemblePanel, Listed, NamedSpan, SessionRow, Span};
use super::recorder::Recording;
use super::track::Track;

/// So many clients have a row.
const CLIENTS: usize = 40;
/// So many spans of one row are shown.
const SPANS: usize = 100;

/// The ensemble's panel, if there is an ensemble.
#[must_use]
pub fn ensemble(
    recording: &Recording,
    verdict: &Verdict,
    axis: &Axis,
    limits: Limits,
) -> Option<EnsemblePanel> {
    let tracks = recording.ensemble.as_ref()?;
    let name = |node: usize| names::node(&verdict.header, NodeId(node as u16));
    let named = |track: &Track| {
        let spans = track.spans(axis.end_us).filter_map(|(from_us, to_us, node)| {
            let name = name(usize::try_from(node).ok()?);
            Some(NamedSpan { from_us, to_us, name })
        });
        Listed::first(spans.collect(), limits.of(SPANS))
    };
    let rows = tracks.sessions.iter().zip(&tracks.expired).enumerate();
    let rows = rows.filter(|(_, (track, _))| !track.points().is_empty());
    let rows = rows.map(|(node, (track, expired))| {
        let spans = track.spans(axis.end_us).filter(|&(_, _, live)| live > 0);
        let spans = spans.map(|(from_us, to_us, _)| Span { from_us, to_us });
        SessionRow {
            client: name(node),
            spans: Listed::first(spans.collect(), limits.of(SPANS)),
            expired_at_us: Listed::first(expired.clone(), limits.of(SPANS)),
        }
    });
    Some(EnsemblePanel {
        leaders: named(&tracks.leader),
        controllers: named(&tracks.controller),
        sessions: Listed::first(rows.collect(), limits.of(CLIENTS)),
    })
}

/// What came of sharing partitions out by ZooKeeper, in words: a name and a value each.
#[must_use]
pub fn numbers(of: &GroupVerdict) -> Vec<(String, String)> {
    let Some(sharing) = &of.sharing else { return Vec::new() };
    let micros = |time: acklab_vocab::time::SimDuration| names::micros(time.as_micros());
    let mut rows = vec![
        ("no owner by ZooKeeper, over all partitions".to_owned(), micros(sharing.no_owner_total())),
        ("the longest of these times".to_owned(), micros(sharing.no_owner_longest())),
        (
            "two owners by their own account, over all partitions".to_owned(),
            micros(sharing.two_owners_total()),
        ),
        ("the longest of these times".to_owned(), micros(sharing.two_owners_longest())),
        ("sessions that expired".to_owned(), names::grouped(sharing.sessions_expired)),
    ];
    for (outcome, count) in &sharing.attempts {
        let what = format!("attempts to take a share: {}", outcome.replace('_', " "));
        rows.push((what, names::grouped(*count)));
    }
    for (exception, raised) in &of.exceptions.0 {
        for (how, count) in [("raised", raised.application), ("logged", raised.logged)] {
            if count > 0 {
                rows.push((format!("{} {how}", exception.name()), names::grouped(count)));
            }
        }
    }
    rows
}
