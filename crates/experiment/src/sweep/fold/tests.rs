use super::*;
use crate::sweep::report::Ended;
use crate::sweep::{SweepOptions, Vary};
use crate::{Seeds, sweep};
use acklab_scenario::ScenarioFile;
use expect_test::expect;

const TEXT: &str = r#"Scenario(
    about: "nothing happens",
    kafka: "3.9",
    duration: "2s",
    cluster: (brokers: 3, mode: KRaft(controllers: 3)),
    topics: { "orders": (partitions: 2, replication_factor: 3) },
    producers: [(name: "shop", topic: "orders", rate: 10)],
    groups: [(id: "billing", topics: ["orders"], members: 1)],
)"#;

/// A plan over `producers/acks`, two values.
pub(in crate::sweep) fn plan(seeds: u64) -> SweepPlan {
    plan_with(|options| options.seeds = Seeds::new(0, seeds).unwrap())
}

/// The same with something else about it.
pub(in crate::sweep) fn plan_with(change: impl Fn(&mut SweepOptions)) -> SweepPlan {
    let mut options = SweepOptions {
        seeds: Seeds::one(0),
        variant: "base".to_owned(),
        sets: Vec::new(),
        vary: vec!["producers/acks=1,all".parse::<Vary>().unwrap()],
        until_width: None,
        gates: Vec::new(),
    };
    change(&mut options);
    let file = ScenarioFile::parse("acks", None, TEXT).unwrap();
    let select = |_: &str, sets: &[acklab_scenario::Setting]| sweep::Selection {
        scenario: "acks".to_owned(),
        options: sets.iter().map(|set| format!(" --set {set}")).collect(),
    };
    SweepPlan::new(&file, options, "acklab sweep acks", select).unwrap()
}

/// One cell of that name.
pub(in crate::sweep) fn cell(name: &str) -> Cell {
    let plan = plan(1);
    let mut cell = plan.cells[0].clone();
    cell.name = name.to_owned();
    cell.selection.options = format!(" --set {name}");
    cell
}

/// A row that has so many lost records, all of one cause, and takes so long.
pub(in crate::sweep) fn row(seed: u64, lost: u64, micros: u64) -> SeedRow {
    let mut counters = vec![0; Counter::ALL.len()];
    counters[Counter::Sent as usize] = 20;
    counters[Counter::Acked as usize] = 20;
    counters[Counter::Lost as usize] = lost;
    counters[Counter::ProduceP99 as usize] = micros;
    let cause = CauseRow {
        kind: AnomalyKind::Lost,
        group: None,
        cause: Cause::AckedBeforeReplication,
        promise: PromiseRow::Kept,
        count: lost,
    };
    let numbers = Numbers {
        digest: format!("{seed:016x}"),
        counters,
        causes: (lost > 0).then_some(cause).into_iter().collect(),
        groups: vec![sweep::GroupRow {
            counters: of_groups().map(|_| 0).collect(),
            ..sweep::GroupRow::default()
        }],
        partitions: vec![PartitionRow { longest: micros, ..PartitionRow::default() }; 2],
        produce: LatencyRow { records: 20, p50: micros, p90: micros, p99: micros, max: micros },
        ..Numbers::default()
    };
    SeedRow { seed, result: SeedResult::Judged(Box::new(numbers)) }
}

/// Rows of the two cells of a plan, seed by seed.
pub(in crate::sweep) fn collected(plan: &SweepPlan, lost: &[[u64; 2]]) -> Collected {
    let mut collected = Collected::new(plan);
    for (seed, lost) in lost.iter().enumerate() {
        for (cell, &lost) in lost.iter().enumerate() {
            let micros = 1_000 + 500 * cell as u64;
            collected.latency[cell][0].record_n(micros, 20).unwrap();
            collected.add_row(cell, row(seed as u64, lost, micros));
        }
    }
    collected.ended = Ended::Complete;
    collected
}

#[test]
fn rows_fold_into_probabilities_counts_causes_and_examples() {
    let plan = plan(6);
    let report =
        report(&plan, &collected(&plan, &[[5, 0], [0, 0], [9, 0], [2, 1], [9, 0], [5, 0]]));
    let lost = &report.cells[0].anomalies[0];
    let [worst, typical] = [&lost.worst, &lost.typical].map(|it| it.as_ref().unwrap());
    expect![[r#"
        acks=1: lost in 5 of 6 seeds [0.436497, 0.969947]
        mean 5, p50 5, p90 9, p99 9, worst 9; where any: p50 5
        distribution [(0, 1), (2, 1), (5, 2), (9, 2)]
        acked_before_replication: kept, 5 seeds, 30 records, mean 5
        worst: acklab run acks --seed 2 --set producers/acks=1
        typical: acklab explain acks --seed 0 --set producers/acks=1 --lost
    "#]]
    .assert_eq(&format!(
        "{}: {} in {} of {} seeds [{}, {}]\nmean {}, p50 {}, p90 {}, p99 {}, worst {}; where any: \
         p50 {}\ndistribution {:?}\n{}: {}, {} seeds, {} records, mean {}\nworst: {}\ntypical: {}\n",
        report.cells[0].name,
        lost.anomaly.name(),
        lost.seeds_with,
        report.cells[0].seeds,
        lost.probability.low,
        lost.probability.high,
        lost.counts.mean,
        lost.counts.p50,
        lost.counts.p90,
        lost.counts.p99,
        lost.counts.max,
        lost.counts_if_any.p50,
        lost.distribution,
        lost.causes[0].cause,
        lost.causes[0].promise,
        lost.causes[0].seeds_with,
        lost.causes[0].total,
        lost.causes[0].counts.mean,
        worst.run,
        typical.explain,
    ));
    assert_eq!((worst.seed, worst.count), (2, 9), "the lowest of equals");
    assert_eq!((typical.seed, typical.count), (0, 5), "the lowest of equals");
    assert_eq!(report.cells[0].throughput.mean, 10.0, "20 acked in 2 s");
}

#[test]
fn cells_are_compared_seed_by_seed() {
    let plan = plan(6);
    let report =
        report(&plan, &collected(&plan, &[[5, 0], [0, 0], [9, 0], [2, 1], [9, 0], [5, 0]]));
    assert_eq!(report.comparisons.len(), 1);
    let comparison = &report.comparisons[0];
    assert_eq!((comparison.first, comparison.second, comparison.seeds), (0, 1, 6));
    let lost = &comparison.probabilities[0];
    assert_eq!([lost.both, lost.first_only, lost.second_only, lost.neither], [1, 4, 0, 1]);
    assert_eq!(lost.p_value, 0.125);
    let mean = |name: &str| comparison.means.iter().find(|it| it.quantity == name).unwrap();
    let lost = mean("lost");
    assert_eq!((lost.first, lost.second), (5.0, 0.166_667));
    assert_eq!((lost.more, lost.less, lost.equal), (0, 5, 1));
    // The differences are -5, 0, -9, -1, -9, -5.
    assert_eq!(lost.difference.estimate, -4.833_333);
    assert_eq!(format!("{:.3}", lost.difference.high), "-0.828");
    let latency = mean("produce_p99");
    assert_eq!((latency.difference.estimate, latency.difference.low), (500.0, 500.0));
}

#[test]
fn latencies_of_all_records_add_up_and_those_of_seeds_are_spread() {
    let plan = plan(2);
    let mut both = collected(&plan, &[[0, 0], [0, 0]]);
    both.latency[0][0].record_n(9_000_000, 10).unwrap();
    let produce = &report(&plan, &both).cells[0].latency.produce;
    assert_eq!((produce.records, produce.p50, produce.p90), (50, 1_000, 1_000));
    // The histogram knows three digits, the rows the longest exactly.
    assert_eq!((produce.p99, produce.max), (1_000, 1_000));
    assert_eq!((produce.per_seed.p99.p50, produce.per_seed.p99.max), (1_000, 1_000));
    assert!(produce.curve.is_sorted() && produce.curve.len() == CURVE.len());
    assert_eq!(report(&plan, &both).cells[0].latency.end_to_end, LatencyDistribution::default());
}

#[test]
fn a_grid_has_every_combination_the_last_fastest_and_compares_neighbours() {
    let plan = plan_with(|options| {
        options.vary = ["producers/acks=0,1,all", "producers/linger.ms=0,5"]
            .iter()
            .map(|vary| vary.parse().unwrap())
            .collect();
    });
    let names: Vec<&str> = plan.cells.iter().map(|cell| cell.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "acks=0, linger.ms=0",
            "acks=0, linger.ms=5",
            "acks=1, linger.ms=0",
            "acks=1, linger.ms=5",
            "acks=all, linger.ms=0",
            "acks=all, linger.ms=5",
        ]
    );
    let empty = report(&plan, &Collected::new(&plan));
    let pairs: Vec<(usize, usize)> =
        empty.comparisons.iter().map(|it| (it.first, it.second)).collect();
    assert_eq!(pairs, [(0, 2), (1, 3), (0, 4), (2, 4), (1, 5), (3, 5), (0, 1), (2, 3), (4, 5)]);
}

#[test]
fn a_sweep_of_nothing_says_nothing_and_does_not_panic() {
    let plan = plan(3);
    let report = report(&plan, &Collected::new(&plan));
    assert_eq!((report.seeds_done, report.ended), (0, Ended::Interrupted));
    assert_eq!(report.cells[0].anomalies[0].probability.high, 1.0);
    assert_eq!(report.cells[0].anomalies[0].worst, None);
    assert!(sweep::junit(&report).contains("acks acks=1"));
    assert_eq!(sweep::csv(&plan, &Collected::new(&plan)).lines().count(), 1);
}

#[test]
fn a_seed_that_panicked_is_no_verdict_and_no_success() {
    let plan = plan(2);
    let mut collected = collected(&plan, &[[1, 0]]);
    let panicked = SeedResult::Defect("on purpose".to_owned(), "here.rs:1:1".to_owned());
    collected.add_row(0, SeedRow { seed: 1, result: panicked });
    collected.add_row(1, row(1, 0, 1_500));
    let report = report(&plan, &collected);
    assert_eq!((report.cells[0].seeds, report.cells[0].defects_total), (1, 1));
    assert_eq!(report.cells[0].anomalies[0].probability.estimate, 1.0, "of one");
    assert_eq!(report.comparisons[0].seeds, 1, "pairs only");
    assert!(report.comparisons[0].means.is_empty());
    assert!(!report.held);
    let csv = sweep::csv(&plan, &collected);
    let fields: Vec<usize> = csv.lines().map(|line| line.split(',').count()).collect();
    assert!(fields.iter().all(|&count| count == fields[0]), "{csv}");
}

#[test]
fn exceptions_are_counted_over_seeds_and_have_columns() {
    let plan = plan(2);
    let raised = |seed: u64, application: u64| {
        let mut row = row(seed, 0, 1_000);
        let SeedResult::Judged(numbers) = &mut row.result else { panic!("it is judged") };
        let of = sweep::row::RaisedRow { application, logged: 4 };
        numbers.groups[0].exceptions.insert("PartitionOwnedError".to_owned(), of);
        let full = sweep::row::RaisedRow { application: 1, logged: 0 };
        numbers.producer_exceptions.insert("QueueFullException".to_owned(), full);
        row
    };
    let mut collected = Collected::new(&plan);
    collected.add_row(0, raised(0, 0));
    collected.add_row(0, raised(1, 3));
    collected.add_row(1, row(0, 0, 1_000));
    let report = report(&plan, &collected);
    let of_cell = |cell: usize| -> Vec<(&str, u64)> {
        let exceptions = report.cells[cell].exceptions.iter();
        exceptions.map(|(name, spread)| (name.as_str(), spread.max)).collect()
    };
    let expected = [
        ("exceptions PartitionOwnedError", 3),
        ("exceptions QueueFullException", 1),
        ("logged_exceptions PartitionOwnedError", 4),
    ];
    assert_eq!(of_cell(0), expected);
    assert_eq!(of_cell(1), []);
    let csv = sweep::csv(&plan, &collected);
    let lines: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    let place = lines[0].iter().position(|name| *name == "exceptions PartitionOwnedError");
    let place = place.expect("it has a column");
    let column: Vec<&str> = lines[1..].iter().map(|line| line[place]).collect();
    assert_eq!(column, ["0", "3", "0"]);
    let read = serde_json::to_string(&raised(1, 3)).expect("a row can be written");
    let again: SeedRow = serde_json::from_str(&read).expect("and read");
    assert_eq!(again, raised(1, 3));
}

#[test]
fn narrow_enough_is_a_matter_of_rows_alone() {
    let plan = plan_with(|options| {
        options.seeds = Seeds::new(0, 1_000).unwrap();
        options.until_width = Some("lost=60%".parse().unwrap());
    });
    let until = plan.options.until_width;
    let after = |seeds: usize| collected(&plan, &vec![[1, 0]; seeds]).is_narrow_enough(until);
    // All of n: from n / (n + z²) to 1, so 3 seeds are 0.56 wide, 2 are 0.66.
    assert_eq!([1, 2, 3, 4].map(after), [false, false, true, true]);
    let width = report(&plan, &collected(&plan, &[[1, 0], [0, 0]])).until_width.unwrap();
    assert_eq!((width.cell, width.of, width.reached), (0, AnomalyKind::Lost, false));
    assert_eq!(width.widest, 0.810_938, "one of two");
}

#[test]
fn variants_are_held_against_each_other_where_both_are_cells() {
    let text = TEXT.trim_end().strip_suffix(')').unwrap();
    let text = format!(
        "{text}    variants: {{ \"all\": (set: {{\"producers/acks\": \"all\"}}) }},\n    \
         compare: [MeanGreater(Lost, \"base\", \"all\")],\n)"
    );
    let file = ScenarioFile::parse("acks", None, &text).unwrap();
    let plan = |vary: &[&str]| {
        let options = SweepOptions {
            seeds: Seeds::new(0, 2).unwrap(),
            variant: "base".to_owned(),
            sets: Vec::new(),
            vary: vary.iter().map(|it| it.parse().unwrap()).collect(),
            until_width: None,
            gates: Vec::new(),
        };
        SweepPlan::new(&file, options, "acklab sweep acks", |_, _| sweep::Selection::default())
            .unwrap()
    };
    let both = plan(&["variant=base,all"]);
    for (lost, holds) in [([[5, 0], [1, 2]], true), ([[0, 5], [2, 1]], false)] {
        let report = report(&both, &collected(&both, &lost));
        assert_eq!((report.compare[0].holds, report.held), (holds, holds), "{report:?}");
        assert!(report.compare_not_asked.is_empty());
        let failed = sweep::junit(&report).contains("<failure message=\"means 1.0 and 3.0\"");
        assert_eq!(failed, !holds);
    }
    let cells = plan(&["producers/acks=1,all"]);
    let elsewhere = report(&cells, &collected(&cells, &[[0, 5]]));
    assert!(elsewhere.compare.is_empty() && elsewhere.held);
    assert_eq!(elsewhere.compare_not_asked, ["mean lost: base > all"]);
}

#[test]
fn an_interrupted_sweep_is_an_error_to_a_reader_of_junit() {
    let plan = plan(3);
    let mut part = collected(&plan, &[[0, 0]]);
    assert!(!sweep::junit(&report(&plan, &part)).contains("<error"));
    part.ended = Ended::Interrupted;
    let xml = sweep::junit(&report(&plan, &part));
    assert!(xml.contains("<error message=\"interrupted after 1 of 3 seeds\""), "{xml}");
}

#[test]
fn attributes_of_junit_have_no_line_breaks() {
    let plan = plan_with(|options| {
        options.seeds = Seeds::new(0, 2).unwrap();
        options.gates = vec!["lost == 0".parse().unwrap()];
    });
    let xml = sweep::junit(&report(&plan, &collected(&plan, &[[5, 1], [0, 0]])));
    let message = xml.split("<failure message=\"").nth(1).unwrap().split('"').next().unwrap();
    assert_eq!(message, "acks=1: in 1 of 2 seeds: seed 0: 5; acks=all: in 1 of 2 seeds: seed 0: 1");
}

#[test]
fn settings_that_are_not_the_scenarios_own_are_held_against_promises() {
    let plan = plan(1);
    assert!(plan.cells.iter().all(|cell| !cell.as_written));
    let as_written = plan_with(|options| options.vary.clear());
    assert!(as_written.cells[0].as_written);
    assert_eq!(as_written.cells[0].name, "base");
}

#[test]
fn an_odd_setting_is_said_once_whatever_its_values() {
    let plan = plan_with(|options| {
        options.vary = vec!["producers/compression.type=none,lz4,gzip".parse().unwrap()];
    });
    assert_eq!(plan.cells.len(), 3);
    assert_eq!(plan.warnings().len(), 1, "{:?}", plan.warnings());
}
