//! The binary as a person or a script meets it: what it prints where, and how it ends.
//!
//! Goldens (`UPDATE_EXPECT=1` renews them) hold what people read; numbers that a change of the
//! model may move are masked.

mod support;

use acklab_verdict::trace_file::read_trace;
use expect_test::{Expect, expect};
use std::fs;
use std::process::Stdio;
use support::{Scratch, acklab, command, fixture, masked};

fn check(arguments: &[&str], status: i32, expected: Expect) {
    let done = acklab(arguments);
    let printed = if status == 2 { &done.stderr } else { &done.stdout };
    expected.assert_eq(&masked(printed));
    assert_eq!(done.status, status, "{arguments:?}: {}", done.stderr);
}

#[test]
fn help_shows_examples_first() {
    check(
        &["--help"],
        0,
        expect![[r#"
            A deterministic simulator of an Apache Kafka cluster that decides what became of every record

            Examples:
              acklab list                                          the scenarios that acklab ships
              acklab run acks-1-leader-crash --seed 7              one history and its verdict
              acklab explain acks-1-leader-crash --seed 7 --lost   the life of a lost record, and why
              acklab replay acks-1-leader-crash --seed 7 --at 2s   the whole cluster at that instant
              acklab test my-scenario.ron --seeds 0..200           does what the scenario expects hold?

            Usage: acklab <COMMAND>

            Commands:
              run       Run one history and print its verdict
              explain   Tell the life of single records: who had them, what was promised, where they died
              diff      Compare the same seed under two settings: where they part, and whose fate changed
              replay    Show the whole cluster at one instant
              report    Write a history as a page that opens offline
              test      Hold scenarios against what they expect, with many seeds and all variants
              sweep     Run many seeds, under several settings if you like: how probable, how bad, why, at what
                        cost
              shrink    Make a failing scenario small: the fewest faults and records that still show the same
              verify    Run each seed twice, in different threads, and compare the histories
              check     Check scenarios without running them
              defaults  List Kafka's properties of a version, with their defaults
              list      List the scenarios that acklab ships

            Options:
              -h, --help     Print help
              -V, --version  Print version

            SCENARIO is a file or the name of a shipped scenario.

            Exit status:
              0    as expected
              1    an expectation or a promise did not hold
              2    bad usage, or a bad scenario
              101  a defect of the simulator
        "#]],
    );
    check(
        &["run", "--help"],
        0,
        expect![[r#"
            Run one history and print its verdict

            Examples:
              acklab run acks-1-leader-crash
              acklab run acks-1-leader-crash --seed 7 --variant acks=all
              acklab run acks-1-leader-crash --seed 7 --set producers/acks=all --set duration=30s
              acklab run my-scenario.ron --seed 7 --json --trace trace.jsonl

            Usage: acklab run [OPTIONS] <SCENARIO>

            Arguments:
              <SCENARIO>  A file or the name of a shipped scenario

            Options:
                  --variant <NAME>              A variant of the scenario
                  --set <OWNER/PROPERTY=VALUE>  Change a property or a field: producers/acks=all,
                                                topics/orders/flush.messages=1, kafka=2.0
                  --faults <FILE>               Faults to strike in place of the scenario's, as `run --schedule`
                                                writes them
                  --seed <N>                    Which history [default: 0]
                  --promises-only               Hold it against what Kafka promises, not against what the
                                                scenario expects: for settings that its expectations were not
                                                written for
                  --json                        Print the verdict as JSON
                  --trace <FILE>                Write every fact of the history, as lines of JSON
                  --schedule <FILE>             Write the faults that struck as a fixed schedule
              -h, --help                        Print help
        "#]],
    );
    for command in [
        "explain", "diff", "replay", "report", "test", "sweep", "verify", "check", "defaults",
        "list",
    ] {
        let help = acklab(&[command, "--help"]);
        assert_eq!(help.status, 0);
        assert!(help.stdout.lines().all(|line| line.chars().count() <= 100), "{}", help.stdout);
    }
    assert_eq!(acklab(&[]).status, 2);
}

#[test]
fn a_run_prints_every_count_and_what_was_expected() {
    check(
        &["run", "quiet.ron", "--seed", "7"],
        0,
        expect![[r#"
        quiet · seed 7 · Kafka 3.9 · … simulated · … events

          100 sent          100 acked           0 failed       0 unknown    0 aborted
          100 stored          0 lost            0 phantom      0 expired    0 undecided
            0 duplicated      0 extra copies    0 reordered

          latency …
        created to acked …

          timeline   1.000 s  the workload ends; temporary faults heal

          expected   all 5 held  digest …
                     sent = 100 · lost = 0 · violations = 0 · unexplained = 0 · comes to rest
    "#]],
    );
}

#[test]
fn an_expectation_that_does_not_hold_is_status_1() {
    let done = acklab(&["run", "quiet.ron", "--variant", "wrong expectation"]);
    assert_eq!(done.status, 1);
    assert!(done.stdout.contains("1 of 5 did not hold"), "{}", done.stdout);
    assert!(done.stdout.contains("not lost ≥ 5: 0"), "{}", done.stdout);
}

#[test]
fn the_command_that_explains_one_works_when_pasted() {
    let run = acklab(&["run", "crash.ron", "--seed", "3"]);
    assert_eq!(run.status, 0, "{}", run.stdout);
    let line = run.stdout.lines().find(|line| line.contains("explain one: ")).unwrap();
    let pasted = line.split("explain one: ").nth(1).unwrap();
    let told = support::shell(pasted);
    assert_eq!(told.status, 0, "{}", told.stderr);
    assert!(told.stdout.contains("LOST: acks=0"), "{}", told.stdout);
    assert!(told.stdout.contains(&format!("again: {pasted}")), "{}", told.stdout);
}

#[test]
fn explain_finds_records_by_name_place_and_fate() {
    let story = |arguments: &[&str]| {
        let seeded = [&["explain", "crash.ron", "--seed", "3"], arguments].concat();
        let done = acklab(&seeded);
        assert_eq!(done.status, 0, "{}", done.stderr);
        done.stdout
    };
    assert!(story(&["--record", "shop#0"]).starts_with("shop#0\n"));
    assert_eq!(story(&["--record", "orders-0@0"]), story(&["--record", "shop#0"]));
    assert!(story(&["--lost"]).contains("LOST"));
    assert!(story(&[]).contains("LOST"));
    assert!(story(&["--duplicated"]).starts_with("No record was duplicated.\n"));
    let twice = story(&["--record", "shop#0", "--record", "orders-0@0", "--record", "shop#1"]);
    assert_eq!(twice.matches("again: ").count(), 2);
}

#[test]
fn the_same_seed_prints_the_same_bytes_and_json_holds_them() {
    let run = || acklab(&["run", "crash.ron", "--seed", "3", "--json"]);
    let (first, second) = (run(), run());
    assert_eq!(first.stdout, second.stdout);
    let json: serde_json::Value = serde_json::from_str(&first.stdout).unwrap();
    assert_eq!((&json["schema"], &json["seed"]), (&1.into(), &3.into()));
    assert_eq!(json["scenario"], "crash");
    assert_eq!(json["stuck"], serde_json::Value::Null);
    assert!(json["records"]["lost"].as_u64() > Some(0));
    assert_eq!(json["expectations"][0]["text"], "lost ≥ 1");
    assert_eq!(json["expectations"][0]["held"], true);
}

#[test]
fn a_trace_is_judged_like_the_run_that_wrote_it() {
    let scratch = Scratch::new("trace");
    let path = scratch.path("trace.jsonl");
    let done = acklab(&["run", "crash.ron", "--seed", "3", "--json", "--trace", &path]);
    let json: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    let trace = fs::File::open(&path).unwrap();
    let verdict = read_trace(std::io::BufReader::new(trace)).unwrap();
    assert_eq!(json["digest"]["trajectory"], verdict.digest.trajectory);
    assert_eq!(json["digest"]["verdict"], verdict.digest.verdict);
    assert_eq!(scratch.files(), ["trace.jsonl"]);
}

#[cfg(unix)]
#[test]
fn a_link_stays_a_link_and_a_file_is_replaced() {
    let scratch = Scratch::new("link");
    let (file, link) = (scratch.path("file.ron"), scratch.path("link.ron"));
    fs::write(&file, "something else").unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    assert_eq!(acklab(&["run", "quiet.ron", "--schedule", &link]).status, 0);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(fs::read_to_string(&file).unwrap().contains("faults: ["));
    assert_eq!(scratch.files(), ["file.ron", "link.ron"]);
}

#[test]
fn a_schedule_gives_the_same_history_with_nothing_left_to_draw() {
    let scratch = Scratch::new("schedule");
    let path = scratch.path("faults.ron");
    let drawn = acklab(&["run", "crash.ron", "--seed", "3", "--json", "--schedule", &path]);
    let fixed = acklab(&["run", "crash.ron", "--seed", "3", "--json", "--faults", &path]);
    assert_eq!(drawn.stdout, fixed.stdout);
    let schedule = fs::read_to_string(&path).unwrap();
    assert!(schedule.contains("faults: [\n"), "{schedule}");
    assert!(!schedule.contains("Uniform"), "{schedule}");
}

#[test]
fn bad_usage_is_status_2_with_what_was_probably_meant() {
    let nothing = expect![[r#"
        error: there is no file and no shipped scenario `stedy-minute`
          help: did you mean `steady-minute`?
    "#]];
    check(&["run", "stedy-minute"], 2, nothing);
    check(
        &["run", "missing.ron"],
        2,
        expect![[r#"
        error: there is no file `missing.ron`
          help: `acklab list` shows the shipped ones
    "#]],
    );
    check(
        &["run", "."],
        2,
        expect![[r#"
        error: `.` is a folder, not a scenario
          help: name a file in it, or several
    "#]],
    );
    check(
        &["run", "quiet.ron", "--variant", "wrong"],
        2,
        expect![[r#"
        error: `quiet` has no variant `wrong`
          help: expected `base` or `wrong expectation`
    "#]],
    );
    check(
        &["run", "quiet.ron", "--set", "producers"],
        2,
        expect![[r#"
        error: invalid value 'producers' for '--set <OWNER/PROPERTY=VALUE>': `producers` is not a setting; write OWNER/PROPERTY=VALUE, for instance producers/acks=all, topics/orders/min.insync.replicas=2, kafka=3.9 or duration=30s

        For more information, try '--help'.
    "#]],
    );
    check(
        &["run", "quiet.ron", "--set", "producers/ack=all"],
        2,
        expect![[r#"
        error: producers have no property `ack`
         --> --set:1:1
          |
        1 | producers/ack=all
          | ^^^^^^^^^^^^^
          help: did you mean `acks`?
    "#]],
    );
    check(
        &["run", "quiet.ron", "--set", "topics/order/min.insync.replicas=1"],
        2,
        expect![[r#"
        error: no `order` among the topics
         --> --set:1:1
          |
        1 | topics/order/min.insync.replicas=1
          | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          help: did you mean `orders`?
    "#]],
    );
    check(
        &["run", "unclosed.ron"],
        2,
        expect![[r#"
        error: expected a value, found `)`
         --> unclosed.ron:5:1
          |
        5 | )
          | ^
    "#]],
    );
    check(
        &["run", "quiet.ron", "--seed", "x"],
        2,
        expect![[r#"
        error: invalid value 'x' for '--seed <N>': a seed is a whole number from 0 to 18446744073709551615

        For more information, try '--help'.
    "#]],
    );
    check(
        &["test", "quiet.ron", "--seeds", "9..3"],
        2,
        expect![[r#"
        error: invalid value '9..3' for '--seeds <A..B>': there is no seed in 9..3: it runs backwards; did you mean 3..9?

        For more information, try '--help'.
    "#]],
    );
    check(
        &["defaults", "--kafka", "0.7.0"],
        2,
        expect![[r#"
        error: acklab has no table for Kafka 0.7.0
          help: it knows 0.8.2 to 4.2
    "#]],
    );
    check(
        &["defaults", "--kafka", "three"],
        2,
        expect![[r#"
        error: invalid value 'three' for '--kafka <VERSION>': `three` is not a Kafka version; write it like "3.9", "4.1.0" or "0.10.2"

        For more information, try '--help'.
    "#]],
    );
}

#[test]
fn records_and_instants_that_do_not_exist_are_status_2() {
    let explain =
        |record: &'static str| ["explain", "quiet.ron", "--seed", "7", "--record", record];
    check(
        &explain("shop#100"),
        2,
        expect![[r#"
        error: this history has no record `shop#100`
          help: see what it has: acklab run quiet.ron --seed 7
    "#]],
    );
    check(
        &explain("shp#1"),
        2,
        expect![[r#"
        error: there is no producer `shp`; did you mean `shop`?
    "#]],
    );
    check(
        &explain("orders-2@0"),
        2,
        expect![[r#"
        error: there is no partition 2 of `orders`: it has 2, counted from 0
    "#]],
    );
    check(
        &explain("orders-0@1000"),
        2,
        expect![[r#"
        error: nothing was ever written at `orders-0@1000` in this history
          help: see what it has: acklab run quiet.ron --seed 7
    "#]],
    );
    check(
        &explain("what"),
        2,
        expect![[r#"
        error: `what` is not a record: write shop#4711, orders-0@1234 or orders-0@1234:5 (with its leader epoch)
    "#]],
    );
    let replay = |at: &'static str| ["replay", "quiet.ron", "--seed", "7", "--at", at];
    check(
        &replay("900s"),
        2,
        expect![[r#"
        error: 900.000 s is not within the history
          help: with seed 7 it is over at 1.000 s
    "#]],
    );
    check(
        &replay("-1h"),
        2,
        expect![[r#"
        error: -3600.000 s is not within the history
          help: no process had been started by then
    "#]],
    );
    check(
        &replay("20"),
        2,
        expect![[r#"
        error: invalid value '20' for '--at <TIME>': write it with its unit: 20.5s, 1500ms, 2min

        For more information, try '--help'.
    "#]],
    );
}

#[test]
fn what_cannot_be_written_is_status_2_and_leaves_nothing_behind() {
    let scratch = Scratch::new("unwritable");
    let folder = scratch.path("");
    let nowhere = scratch.path("no-such-folder/file");
    for option in ["--trace", "--schedule"] {
        for path in [&folder, &nowhere] {
            let done = acklab(&["run", "quiet.ron", option, path]);
            assert_eq!(done.status, 2, "{option} {path}");
            assert!(done.stderr.starts_with("error: `"), "{}", done.stderr);
            assert_eq!(done.stdout, "");
        }
    }
    let done = acklab(&["test", "quiet.ron", "--seeds", "1", "--junit", &nowhere]);
    assert_eq!(done.status, 2);
    assert_eq!(scratch.files(), [""; 0]);
}

#[test]
fn test_holds_scenarios_against_what_they_expect() {
    check(
        &["test", "quiet.ron", "crash.ron", "--variant", "base", "--seeds", "3..5"],
        0,
        expect![[r#"
            quiet · seeds 3..5
              base
                held  sent = 100
                held  lost = 0
                held  violations = 0
                held  unexplained = 0
                held  comes to rest

            crash · seeds 3..5
              base
                lost  in 100 % of seeds  mean 2.5  most 3
                held  lost ≥ 1
                held  violations = 0
                held  unexplained = 0
                held  comes to rest

            all 9 expectations held
        "#]],
    );
    let failing = acklab(&["test", "quiet.ron", "crash.ron", "--seeds", "3..5", "--jobs", "2"]);
    assert_eq!(failing.status, 1);
    let command = "acklab run quiet.ron --seed 3 --variant 'wrong expectation'";
    assert!(failing.stdout.contains(command), "{}", failing.stdout);
    assert!(failing.stdout.contains("held  mean lost: base > acks=all"), "{}", failing.stdout);
}

#[test]
fn test_results_do_not_depend_on_the_number_of_jobs() {
    let scratch = Scratch::new("junit");
    let report = |jobs: &str| {
        let path = scratch.path(&format!("{jobs}.xml"));
        let seeds = ["--seeds", "0..=3", "--jobs", jobs, "--json", "--junit", &path];
        let done = acklab(&[&["test", "quiet.ron", "crash.ron"][..], &seeds].concat());
        (done.stdout, fs::read_to_string(&path).unwrap())
    };
    let (json, xml) = report("1");
    assert_eq!((json.clone(), xml.clone()), report("3"));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["holds"], false);
    let failure = r#"<testcase name="lost ≥ 5" classname="quiet.wrong expectation">"#;
    assert!(xml.contains(failure), "{xml}");
}

#[test]
fn verify_finds_no_difference() {
    let expected = "crash · base: 2 seeds the same twice, 0 different\n";
    for option in [&["--jobs", "1"][..], &["--jobs", "2"], &["--plain"]] {
        let seeds = ["verify", "crash.ron", "--variant", "base", "--seeds", "3..5"];
        let done = acklab(&[&seeds, option].concat());
        assert_eq!((done.stdout.as_str(), done.status), (expected, 0), "{}", done.stderr);
    }
}

#[test]
fn check_says_what_is_sound_and_what_is_not() {
    let done = acklab(&["check", "quiet.ron", "misspelt.ron", "crash.ron"]);
    assert_eq!(done.status, 2);
    assert_eq!(
        done.stdout,
        "quiet.ron: sound, 1 variant, 0 warnings\ncrash.ron: sound, 1 variant, 0 warnings\n"
    );
    expect![[r#"
        error: topics have no property `min.insync.replica`
         --> misspelt.ron:7:76
          |
        7 |     topics: {"orders": (partitions: 1, replication_factor: 3, properties: {"min.insync.replica": "2"})},
          |                                                                            ^^^^^^^^^^^^^^^^^^^^
          help: did you mean `min.insync.replicas`?
    "#]].assert_eq(&done.stderr);
}

#[test]
fn replay_shows_every_replica() {
    let done = acklab(&["replay", "crash.ron", "--seed", "3", "--at", "950ms"]);
    assert_eq!(done.status, 0, "{}", done.stderr);
    for part in ["faults in force\n    kill broker", "leader *", "broker 1  down", "LEO", "shop"] {
        assert!(done.stdout.contains(part), "{part} is not in\n{}", done.stdout);
    }
    assert!(done.stdout.lines().all(|line| line.chars().count() <= 100), "{}", done.stdout);
}

#[test]
fn replay_shows_groups_their_members_and_offsets() {
    let done = acklab(&["replay", "group.ron", "--seed", "3", "--at", "1s"]);
    assert_eq!(done.status, 0, "{}", done.stderr);
    let parts = [
        "billing  stable  generation 1  range",
        "coordinator broker 1 (__consumer_offsets-",
        "committed",
        "lag",
        "billing-0",
        "orders-2",
        "more partitions, all empty",
    ];
    for part in parts {
        assert!(done.stdout.contains(part), "{part} is not in\n{}", done.stdout);
    }
    assert!(done.stdout.lines().all(|line| line.chars().count() <= 100), "{}", done.stdout);
}

#[test]
fn defaults_are_those_of_the_version() {
    let table = |version: &str| acklab(&["defaults", "--kafka", version, "--scope", "producer"]);
    let line = |text: &str| {
        let acks = text.lines().find(|line| line.trim_start().starts_with("acks ")).unwrap();
        acks.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line(&table("2.8").stdout), "acks 1");
    assert_eq!(line(&table("3.9").stdout), "acks all");
    let json = acklab(&["defaults", "--kafka", "3.9", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    let properties = json["properties"].as_array().unwrap();
    let of = |name: &str| properties.iter().find(|it| it["name"] == name).unwrap();
    assert_eq!(of("delivery.timeout.ms")["default"], "120000");
}

#[test]
fn every_shipped_scenario_is_listed_and_sound() {
    let listed = acklab(&["list", "--json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
    let names: Vec<&str> =
        listed.as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"acks-1-leader-crash") && names.contains(&"steady-minute"));
    let done = acklab(&[&["check"], names.as_slice()].concat());
    assert_eq!(done.status, 0, "{}", done.stderr);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    for arguments in [&["list"][..], &["--help"], &["defaults", "--kafka", "3.9"]] {
        let mut child =
            command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let done = child.wait_with_output().unwrap();
        assert_eq!(done.status.code(), Some(0), "{arguments:?}");
        assert_eq!(String::from_utf8_lossy(&done.stderr), "");
    }
}

#[test]
fn there_is_no_colour_where_there_is_no_terminal() {
    let done = acklab(&["run", "crash.ron", "--seed", "3"]);
    assert!(!done.stdout.contains('\x1b') && !done.stderr.contains('\x1b'));
    assert!(fixture("quiet.ron").exists());
}
