use super::*;
use crate::sweep::{Numbers, SeedResult};
use expect_test::{Expect, expect};

fn gate(text: &str) -> Gate {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn check(text: &str, expected: Expect) {
    let said = match text.parse::<Gate>() {
        Ok(gate) => gate.sentence(),
        Err(error) => format!("error: {error}"),
    };
    expected.assert_eq(&said);
}

#[test]
fn gates_are_read_as_they_are_meant() {
    for (text, sentence) in [
        ("lost == 0 @ 95%", "lost = 0 in ≥ 95 % of histories"),
        ("lost=0", "lost = 0 in every history that is run"),
        ("ExtraCopies <= 3 @99.9 %", "extra copies ≤ 3 in ≥ 99.9 % of histories"),
        ("produce_p99 < 250ms @ 90%", "produce latency p99 ≤ 249.999 ms in ≥ 90 % of histories"),
        ("cause unclean_election == 0", "unclean_election = 0 in every history that is run"),
        ("billing/reprocessed ≤ 5", "billing: reprocessed ≤ 5 in every history that is run"),
        (
            "billing/commit_errors ILLEGAL_GENERATION == 0",
            "billing: commits failed with ILLEGAL_GENERATION = 0 in every history that is run",
        ),
        (
            "workers/exceptions ConsumerStoppedException == 0",
            "workers: ConsumerStoppedException raised = 0 in every history that is run",
        ),
        (
            "logged_exceptions PartitionOwnedError >= 1",
            "PartitionOwnedError logged ≥ 1 in every history that is run",
        ),
        ("two_owners_max <= 1s @ 90%", "longest time with two owners ≤ 1 s in ≥ 90 % of histories"),
        ("lost of acked <= 0.1% @ 95%", "lost ≤ 0.1 % of acked in ≥ 95 % of histories"),
        (
            "producers/acks=all, linger.ms=5: lost > 0",
            "producers/acks=all, linger.ms=5: lost ≥ 1 in every history that is run",
        ),
    ] {
        assert_eq!(gate(text).sentence(), sentence, "{text}");
        assert_eq!(gate(text).to_string(), text);
    }
}

#[test]
fn what_is_no_gate_is_refused_with_what_was_meant() {
    check("lots == 0 @ 95%", expect!["error: there is no counter `lots`; did you mean `lost`?"]);
    check("", expect!["error: `` compares nothing: write it like 'lost == 0 @ 95%'"]);
    check("lost", expect!["error: `lost` compares nothing: write it like 'lost == 0 @ 95%'"]);
    check("lost == many", expect!["error: `many` is not a count"]);
    check("lost == -1", expect!["error: `-1` is not a count"]);
    check("lost < 0", expect!["error: nothing is below 0"]);
    check("lost != 0", expect!["error: `!=` is not asked of a gate: write >= 1 instead of != 0"]);
    check("lost == 0 @ 95", expect!["error: `95` is no share of histories: write @ 95%"]);
    check(
        "lost == 0 @ 100%",
        expect![
            "error: no number of seeds shows something of all histories: write a level below 100%, or leave `@` out to ask for every seed that is run"
        ],
    );
    check("lost == 0 @ 0%", expect!["error: a level is between 0.0001% and 99.9999%"]);
    check(
        "produce_p99 < 250",
        expect!["error: `250` is not a duration: it has no unit; write 250ms"],
    );
    check(
        "cause unclean == 0",
        expect!["error: there is no cause `unclean`: write it like 'lost == 0 @ 95%'"],
    );
    check(
        "exceptions PartitionOwned == 0",
        expect![
            "error: there is no exception `PartitionOwned`; did you mean `PartitionOwnedError`?"
        ],
    );
    check("billing/lost == 0", expect!["error: a group has no `lost` of its own"]);
    check("lost of acked < 2", expect!["error: `2` is no share: write 0.1%"]);
}

#[test]
fn gates_name_cells_as_they_are_printed() {
    use crate::sweep::fold::tests::plan_with;
    let chosen = |vary: &[&str], text: &str| {
        let plan = plan_with(|options| {
            options.vary = vary.iter().map(|it| it.parse().unwrap()).collect();
        });
        let gate = gate(text);
        match gate.check(&plan.dims, &plan.cells) {
            Ok(()) => {
                let chosen = gate.chosen(&plan.dims, &plan.cells);
                chosen.map(|(position, _)| position.to_string()).collect::<Vec<_>>().join(" ")
            }
            Err(PlanError::Usage { message, help }) => format!("{message}; {help}"),
            Err(error) => error.to_string(),
        }
    };
    let strategies = r#"groups/partition.assignment.strategy="range,cooperative-sticky",range"#;
    let acks = "producers/acks=1,all";
    for (text, cells) in [
        ("acks=all: lost == 0", "1 3"),
        (r#"acks=1, partition.assignment.strategy="range,cooperative-sticky": lost == 0"#, "0"),
        ("lost == 0", "0 1 2 3"),
    ] {
        assert_eq!(chosen(&[strategies, acks], text), cells, "{text}");
    }
    let variants = Dim {
        path: "variant".to_owned(),
        name: "variant".to_owned(),
        values: ["base", "acks=all", "a, b: c"].map(str::to_owned).to_vec(),
    };
    for (text, value) in [
        ("base: lost == 0", Some("base")),
        ("acks=all: lost == 0", Some("acks=all")),
        ("variant=acks=all: lost == 0", Some("acks=all")),
        (r#""a, b: c": lost == 0"#, Some("a, b: c")),
        (r#"variant="a, b: c": lost == 0"#, Some("a, b: c")),
        ("acks=1: lost == 0", None),
    ] {
        assert_eq!(gate(text).cells[0].value_in(&variants), value, "{text}");
    }
    assert_eq!(
        chosen(&[acks], "all: lost == 0"),
        "--expect 'all: lost == 0': `all` is not varied; these are varied: producers/acks=1,all"
    );
    assert_eq!(
        chosen(&[acks], "acks=2: lost == 0"),
        "--expect 'acks=2: lost == 0': `producers/acks` has no value `2`; these are varied: \
         producers/acks=1,all"
    );
}

/// A cell in which so many of so many seeds lost nothing.
fn held_in(text: &str, held: u64, of: u64) -> GateCell {
    let row = |seed: u64| {
        let mut counters = vec![0; Counter::ALL.len()];
        counters[Counter::Lost as usize] = u64::from(seed >= held);
        let numbers = Numbers { counters, ..Numbers::default() };
        SeedRow { seed, result: SeedResult::Judged(Box::new(numbers)) }
    };
    let cells = [crate::sweep::fold::tests::cell("acks=1")];
    let report = gate(text).hold(&[], &cells, &[(0..of).map(row).collect()]);
    assert_eq!(report.cells.len(), 1);
    assert_eq!(report.held, report.cells[0].outcome == GateOutcome::Held);
    report.cells[0].clone()
}

#[test]
fn a_gate_holds_only_if_the_seeds_show_it() {
    use GateOutcome::{Failed, Held, Inconclusive};
    for (text, held, of, outcome, needed) in [
        // 0.95^58 is above 5 %, 0.95^59 is not.
        ("lost == 0 @ 95%", 58, 58, Inconclusive, Some(59)),
        ("lost == 0 @ 95%", 59, 59, Held, None),
        // Wilson's interval of one of one begins at 20.7 %: one seed shows next to nothing.
        ("lost == 0 @ 20%", 1, 1, Inconclusive, Some(2)),
        ("lost == 0 @ 4%", 1, 1, Held, None),
        ("lost == 0 @ 95%", 270, 300, Failed, None),
        ("lost == 0 @ 95%", 940, 1_000, Inconclusive, None),
        ("lost == 0 @ 80%", 290, 300, Held, None),
        ("lost >= 1 @ 80%", 20, 300, Held, None),
        ("lost == 0 @ 95%", 0, 0, Inconclusive, None),
        ("lost == 0", 300, 300, Held, None),
        ("lost == 0", 299, 300, Failed, None),
        ("lost == 0", 0, 0, Failed, None),
    ] {
        let cell = held_in(text, held, of);
        assert_eq!((cell.outcome, cell.seeds_needed), (outcome, needed), "{text}: {held} of {of}");
    }
    let failures = held_in("lost == 0", 280, 300).failures;
    assert_eq!(failures.len(), FAILURES_KEPT);
    assert_eq!((failures[0].seed, failures[0].actual.as_str()), (280, "1"));
    assert_eq!(failures[0].run, "acklab run acks --seed 280 --set acks=1");
}

#[test]
fn names_are_in_snake_case() {
    for (name, snake) in
        [("Lost", "lost"), ("EndToEndP99", "end_to_end_p99"), ("LagMax", "lag_max")]
    {
        assert_eq!(snake_case(name), snake);
    }
}
