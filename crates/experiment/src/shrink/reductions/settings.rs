//! Settings: whatever need not be said goes back to its default, and what is drawn becomes a
//! constant.

use super::faults::{count, typical};
use crate::shrink::ddmin::ddmin;
use crate::shrink::search::{Best, Proposal, Rule, Search};
use crate::shrink::size::{Size, is_constant, join};
use acklab_scenario::model::Span;
use acklab_scenario::{Draft, write_duration};

/// Leaves out settings, many at a time.
pub(in crate::shrink) fn leave_out(search: &mut Search<'_>) {
    let removable = removable(&search.best);
    let original = search.best.draft.clone();
    ddmin(removable.clone(), |candidates: &[Vec<String>]| {
        let without = |kept: &Vec<String>| {
            let mut gone = removable.iter().filter(|path| !kept.contains(path));
            gone.try_fold(original.clone(), |draft, path| {
                // Its owner may be gone already.
                Some(draft.without(path).unwrap_or(draft))
            })
        };
        let proposals = candidates.iter().filter_map(|kept| {
            let all = removable.len();
            Proposal::new(without(kept), "settings said", count(all), count(kept.len()))
        });
        let proposals = proposals.collect();
        search.try_first(proposals, Rule::Smaller)
    });
}

/// The paths of what can be left out, alone and without a larger scenario, before any run.
fn removable(best: &Best) -> Vec<String> {
    let mut paths = Vec::new();
    optional(&best.draft, "", &mut paths);
    paths.retain(|path| {
        let Some(draft) = best.draft.without(path) else { return false };
        draft.resolve().is_ok_and(|resolved| Size::of(&draft, &resolved.scenario) < best.size)
    });
    paths
}

/// Paths of everything that may have a default.
fn optional(draft: &Draft, path: &str, paths: &mut Vec<String>) {
    for part in draft.parts(path) {
        let path = join(path, &part);
        let steps: Vec<&str> = path.split('/').collect();
        match steps.as_slice() {
            ["about" | "source" | "kafka" | "duration" | "faults" | "settle"] => {}
            ["cluster" | "topics" | "network" | "disk" | "rules"]
            | ["producers" | "readers" | "groups"]
            | ["producers" | "readers" | "groups" | "topics", _]
            | ["cluster", "service"]
            | ["producers", _, "transaction"]
            | ["groups", _, "processing" | "output"]
            | [.., "properties"] => {
                let whole = draft.parts(&path).is_empty() || is_named_value(draft, &path);
                let may_go = matches!(steps.as_slice(), ["groups", _, "output"]);
                if !whole {
                    optional(draft, &path, paths);
                }
                if whole || may_go {
                    paths.push(path);
                }
            }
            ["cluster", "brokers" | "mode"] | ["producers", _, "limit"] => {}
            _ => paths.push(path),
        }
    }
}

/// `Uniform("1ms", "2ms")` has parts, but none that can be left out.
fn is_named_value(draft: &Draft, path: &str) -> bool {
    draft.value(path).is_some_and(|value| value.starts_with(|c: char| c.is_ascii_uppercase()))
}

/// Makes constants of what is drawn all the time: delays, flushes, processing, and whether
/// transactions are aborted.
pub(in crate::shrink) fn make_constant(search: &mut Search<'_>) {
    search.descend(|best| {
        let of_list = |(list, owner): (&'static str, &'static str)| {
            let parts = best.draft.parts(list).into_iter();
            parts.map(move |part| format!("{list}/{part}/{owner}/abort"))
        };
        let paths = [("producers", "transaction"), ("groups", "output")].into_iter();
        let proposals = paths.flat_map(of_list).filter_map(|path| {
            let share = best.draft.value(&path)?;
            let draft = best.draft.with(&path, "1");
            Proposal::new(draft, "share of transactions that are aborted", share, "1")
        });
        proposals.collect()
    });
    search.descend(|best| {
        let scenario = best.scenario();
        let mut spans: Vec<(String, Span)> = vec![
            ("network/latency".to_owned(), scenario.network.latency),
            ("network/client_latency".to_owned(), scenario.network.client_latency),
            ("disk/flush".to_owned(), scenario.disk.flush),
            ("disk/write_back".to_owned(), scenario.disk.write_back),
            ("cluster/start_up".to_owned(), scenario.cluster.start_up),
        ];
        for (position, group) in scenario.groups.iter().enumerate() {
            let path = format!("groups/{position}/processing");
            let per_record = format!("{path}/per_record");
            let path = if best.draft.value(&per_record).is_some() { per_record } else { path };
            spans.push((path, group.processing.per_record));
        }
        let drawn = spans
            .iter()
            .filter(|(path, span)| !is_constant(*span) && best.draft.value(path).is_some());
        let proposals = drawn.filter_map(|(path, span)| {
            let constant = typical(*span);
            let from = best.draft.value(path).unwrap_or_default();
            let draft = best.draft.with_text(path, &write_duration(constant));
            Proposal::new(draft, path.replace('/', ": "), from, constant.to_string())
        });
        proposals.collect()
    });
}
