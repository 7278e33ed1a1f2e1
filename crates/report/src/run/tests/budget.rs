//! Every shipped scenario has a page, and none is too large.

use acklab_experiment::Case;
use acklab_scenario::shipped;

use super::{case, page_of};
use crate::page::run::html;
use crate::run::{Limits, RunPage, follow};

/// Bytes of a view model as JSON.
const BUDGET: usize = 1_200_000;

fn checked(page: &RunPage) -> usize {
    let series = page.partitions.shown.iter().flat_map(|of| &of.replicas);
    let series = series.flat_map(|of| [&of.log_end_offset, &of.high_watermark]);
    let of_groups = page
        .groups
        .shown
        .iter()
        .flat_map(|group| group.lag_by_partition.shown.iter().chain([&group.lag]));
    for series in series.chain(of_groups) {
        assert!(series.at_us.len() <= 600, "{} has too many points", series.label);
        assert!(series.at_us.is_sorted() && series.at_us.len() == series.values.len());
        assert!(series.at_us.last().is_none_or(|&at| at <= page.axis.end_us));
    }
    for series in &page.throughput {
        assert_eq!(series.counts.len(), page.axis.buckets, "{}", series.label);
    }
    let state = &page.state;
    assert_eq!(state.at_us.len(), state.changes.len() + 1);
    assert_eq!((state.at_us.first(), state.at_us.last()), (Some(&0), Some(&page.axis.end_us)));
    for band in &page.bands.shown {
        assert!(band.from_us <= band.to_us && band.to_us <= page.axis.end_us, "{band:?}");
    }
    serde_json::to_vec(page).expect("plain data serialises").len()
}

#[test]
fn a_run_of_a_hundred_thousand_records_is_within_the_budget() {
    let (page, outcome) = page_of(&case("steady-minute", "base", &[("duration", "100s")]), 3);
    assert_eq!(outcome.verdict.records.sent, 100_000);
    let size = checked(&page);
    assert!(size <= BUDGET, "it takes {size} bytes");
}

/// By construction: whatever a run is, some limits make its page small enough, and it says so.
#[test]
fn half_the_limits_make_a_smaller_page_that_says_so() {
    let case = case("ten-consumers-fifty-partitions", "base", &[("duration", "5s")]);
    let followed = follow(&case, 1).expect("the simulator has no defect here");
    let say = |verb: &str, more: &str| format!("acklab {verb} {more}");
    let mut limits = Limits::FULL;
    let mut sizes = Vec::new();
    while let Some(half) = limits.half() {
        limits = half;
        let page = html(&followed.page(&case, &say, limits), &[]);
        assert!(page.contains("This run is larger than a page"), "{limits:?}");
        sizes.push(page.len());
    }
    // Only the words that say by how much grow, by a letter or two.
    assert!(sizes.windows(2).all(|pair| pair[1] < pair[0] + 100), "{sizes:?}");
    let (first, last) = (sizes[0], sizes[sizes.len() - 1]);
    assert!(last < 100_000 && last < first / 2, "{sizes:?}");
    let whole = html(&followed.page(&case, &say, Limits::FULL), &[]);
    assert!(!whole.contains("This run is larger than a page") && whole.len() > first);
}

#[test]
fn every_shipped_scenario_has_a_page_within_the_budget() {
    let cases: Vec<Case> = shipped().iter().map(|(name, _)| case(name, "base", &[])).collect();
    for case in &cases {
        let (page, outcome) = page_of(case, 1);
        let size = checked(&page);
        assert!(size <= BUDGET, "{} takes {size} bytes", case.scenario.name);
        let created: u64 = page.throughput[0].total;
        assert_eq!(created, outcome.verdict.records.sent, "{}", case.scenario.name);
    }
}
