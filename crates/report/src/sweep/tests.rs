//! The page of a small sweep, and its words.

use acklab_experiment::sweep::{self, Collected, Selection, SweepOptions, SweepPlan};
use acklab_experiment::{Seeds, sweep::report::Interval};
use acklab_scenario::ScenarioFile;
use expect_test::expect;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;

use super::*;

const TEXT: &str = r#"Scenario(
    about: "a leader <crashes> & restarts", kafka: "3.9", duration: "500ms",
    cluster: (brokers: 3, mode: KRaft(controllers: 1)),
    topics: {"orders": (assignments: [[1, 2, 3]])}, network: (latency: Uniform("1ms", "2ms")),
    producers: [(name: "shop", topic: "orders", rate: 1000)],
    faults: [(at: "250ms", fault: Kill(LeaderOf("orders", 0)))],
)"#;

fn report(vary: &[&str], stop_after: u64) -> SweepReport {
    let file = ScenarioFile::parse("crash", None, TEXT).unwrap_or_else(|error| panic!("{error}"));
    let options = SweepOptions {
        seeds: Seeds::new(0, 6).expect("not empty"),
        variant: "base".to_owned(),
        sets: Vec::new(),
        vary: vary.iter().map(|vary| vary.parse().expect("a dimension")).collect(),
        until_width: None,
        gates: Vec::new(),
    };
    let select = |_: &str, sets: &[acklab_scenario::Setting]| Selection {
        scenario: "crash.ron".to_owned(),
        options: sets.iter().map(|set| format!(" --set {set}")).collect(),
    };
    let command = "acklab sweep crash.ron --seeds 0..6";
    let plan = SweepPlan::new(&file, options, command, select);
    let Ok(plan) = plan else { panic!("the scenario is sound") };
    let mut seeds = 0;
    let collected = sweep::run(&plan, NonZeroUsize::MIN, Collected::new(&plan), |collected, _| {
        seeds = collected.seeds_done();
        if seeds >= stop_after { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    sweep::report(&plan, &collected)
}

/// Headings, figures and captions of a page, in order.
fn outline(html: &str) -> String {
    let mut lines = String::new();
    for part in html.split('<').skip(1) {
        let (tag, words) = part.split_once('>').unwrap_or((part, ""));
        let name = tag.split(' ').next().unwrap_or_default();
        match name {
            "h1" | "h2" | "h3" => lines.push_str(&format!("{name} {words}\n")),
            "figure" => {
                let id = tag.split('"').nth(1).unwrap_or_default();
                lines.push_str(&format!("   figure {id}\n"));
            }
            "caption" => lines.push_str(&format!("   table: {words}\n")),
            _ => {}
        }
    }
    lines
}

#[test]
fn a_sweep_answers_first_and_then_shows_why() {
    let report = report(&["producers/acks=0,1,all"], u64::MAX);
    let headline_is = "acks=0 loses records in every history; acks=1 in 83.3 % of histories; \
                       acks=all in none of 6";
    assert_eq!(headline(&report), headline_is);
    let cells = report.cells.iter().enumerate();
    let sentences: Vec<String> = cells
        .map(|(position, cell)| format!("{}: {}", cell.name, sentence(&report, position)))
        .collect();
    expect![[r#"
        acks=0: loses records in 100 % of histories [60.9, 100], then median 5, worst 6; every record acked; acked in 2.299 ms (p50), 9.36 s (p99)
        acks=1: loses records in 83.3 % of histories [43.6, 97.0], then median 2, worst 3; reorders records in 100 % of histories [60.9, 100], then median 2, worst 3; every record acked; acked in 8.45 s (p50), 9.71 s (p99); in a history p50 +9.01 s [+8.62, +9.41], p99 +38.1 ms [−181.3, +257.4] against acks=0
        acks=all: nothing lost, duplicated or out of order in 6 histories: 0 % [0, 39.1]; every record acked; acked in 8.45 s (p50), 9.87 s (p99); in a history p50 +9.02 s [+8.56, +9.48], p99 +28.9 ms [−369.5, +427.2] against acks=0"#]].assert_eq(&sentences.join("\n"));
    let links = |command: &str| command.contains("acks=1").then(|| "./one.html".to_owned());
    let html = page(&report, &links);
    expect![[r#"
        h1 acks=0 loses records in every history; acks=1 in 83.3 % of histories; acks=all in none of 6
        h2 How probable, and how many
        h3 Lost
           figure fig-probability-lost
           figure fig-counts-lost
           table: Lost records over the seeds, all of which count.
        h3 Reordered
           figure fig-probability-reordered
           figure fig-counts-reordered
           table: Reordered records over the seeds, all of which count.
        h2 Cost against safety
           figure fig-trade
           table: The cells by cost. One beats another if it is better in time (p99), share, number or records not acked, and worse in none of these; where a cell leaves 1 % more of its records unacked than the best, its times do not count. Those that nothing beats are the choice there is.
        h2 Latency and availability
           figure fig-produce
           table: Latency, created to acked: of all records of all seeds, and the 99th percentiles of single seeds.
           table: Time without an accepted write while producers asked for one: from an attempt that was not accepted to the next acceptance; the total counts spells of 100 ms and more. Of each seed the partition where it was longest.
        h2 Cells compared
           table: acks=1 against acks=0, on the same 6 seeds.
           table: acks=all against acks=0, on the same 6 seeds.
           table: acks=all against acks=1, on the same 6 seeds.
        h2 Causes
           table: Anomalies by cause: how many seeds have it, and how many there are in a seed: the mean is over all seeds.
        h2 Seeds to look at
           table: The worst seed of each anomaly, and a typical one: with the median of those that have any.
        h2 Expectations
           table: What the runs were held against: in every seed, unless it names a share.
           table: Seeds with broken promises or other trouble.
        h2 Cells and settings
           table: The cells. Each meets the same seeds.
        h2 Glossary
    "#]].assert_eq(&outline(&html));
    assert_eq!(html.matches(r#"<a href="./one.html">"#).count(), 4, "seeds with a page are links");
    assert!(html.contains("&#60;crashes&#62;") || html.contains("&lt;crashes&gt;"), "escaped");
    assert!(!html.contains("<crashes>") && !html.contains("://"), "nothing leaves the page");
    assert_eq!(html, page(&report, &links));
    let summary = crate::index::summary(&html).expect("the page carries its summary");
    assert_eq!((summary.kind.as_str(), summary.seeds.as_deref()), ("sweep", Some("0..6")));
    assert_eq!(summary.sentence, format!("{}.", headline(&report)));
}

#[test]
fn two_varied_properties_make_maps() {
    let report = report(&["producers/acks=1,all", "producers/linger.ms=0,5"], u64::MAX);
    let maps = figures::maps(&report, subject(&report));
    let titles: Vec<&str> = maps.iter().map(|map| map.title.as_str()).collect();
    assert_eq!(
        titles,
        ["Share of histories that lose records", "99 % of records are acked within"]
    );
    expect!["1, 0: 83.3 %; 1, 5: 0 %; all, 0: 0 %; all, 5: 0 %"].assert_eq(&maps[0].alternative);
}

#[test]
fn an_interrupted_sweep_says_so() {
    let report = report(&[], 2);
    expect!["Interrupted after 2 of 6 seeds. All that follows is of these 2."]
        .assert_eq(&unfinished(&report).unwrap_or_default());
    assert!(page(&report, &|_| None).contains("Interrupted after"));
}

#[test]
fn a_headline_counts_the_cells_that_it_does_not_name() {
    let mut report = report(&["producers/acks=0,1,all", "producers/linger.ms=0,5"], 1);
    let shares = |report: &mut SweepReport, shares: [f64; 6]| {
        for (cell, share) in report.cells.iter_mut().zip(shares) {
            let lost = &mut cell.anomalies[0];
            lost.probability.estimate = share;
            lost.seeds_with = u64::from(share > 0.0);
            cell.seeds = 200;
        }
        headline(report)
    };
    let told = [
        shares(&mut report, [1.0, 0.5, 0.5, 0.25, 0.0, 0.0]),
        shares(&mut report, [1.0, 1.0, 1.0, 1.0, 1.0, 0.5]),
        shares(&mut report, [0.5; 6]),
    ];
    expect![[r#"
        acks=0, linger.ms=0 loses records in every history; 2 of 6 cells lose records in none of 200; 3 cells between
        5 of 6 cells lose records in every history; acks=all, linger.ms=5 loses records in 50.0 % of histories
        All 6 cells lose records in 50.0 % of histories"#]]
    .assert_eq(&told.join("\n"));
    let last = report.cells.last_mut().expect("there are six");
    last.counters.get_mut("failed").expect("it is counted").mean = 100.0;
    last.counters.get_mut("acked").expect("it is counted").mean = 300.0;
    last.counters.get_mut("sent").expect("it is counted").mean = 400.0;
    let told = sentence(&report, 5);
    assert!(told.contains("75.0 % of records acked, 25.0 % failed"), "{told}");
}

#[test]
fn a_sweep_of_nothing_has_a_page_too() {
    let mut report = report(&["producers/acks=1,all"], 1);
    for cell in &mut report.cells {
        cell.seeds = 0;
        cell.anomalies.iter_mut().for_each(|of| {
            of.seeds_with = 0;
            of.probability = Interval::default();
        });
        cell.latency.produce.records = 0;
        cell.latency.end_to_end.records = 0;
    }
    report.comparisons.clear();
    assert_eq!(headline(&report), "No history came to a verdict");
    assert!(page(&report, &|_| None).contains("No record met with an anomaly"));
}
