//! `acklab diff` and `acklab explain --inevitable` as a person or a script meets them.
//!
//! The goldens (`UPDATE_EXPECT=1` renews them) are whole pages of a seed: a change of the model may
//! move their numbers, and is then to be looked at here.

mod support;

use expect_test::{Expect, expect};
use serde_json::Value;
use std::process::{Command, Stdio};
use support::acklab;

fn check(arguments: &[&str], status: i32, expected: &Expect) {
    let done = acklab(arguments);
    expected.assert_eq(if status == 2 { &done.stderr } else { &done.stdout });
    assert_eq!(done.status, status, "{arguments:?}: {}", done.stderr);
}

fn json(arguments: &[&str]) -> Value {
    let done = acklab(arguments);
    assert_eq!(done.status, 0, "{}", done.stderr);
    serde_json::from_str(&done.stdout).unwrap()
}

#[test]
fn acks_1_against_acks_all() {
    check(
        &["diff", "acks-1-leader-crash", "--seed", "7", "--variant", "acks=all"],
        0,
        &expect![[r#"
            acks-1-leader-crash · seed 7 · Kafka 3.9 · base against acks=all

              settings             base  acks=all
              producers/shop/acks  1     all

              The first 33 facts are the same. The next differs, while the cluster forms, before time zero:
                base       0.000000 s  time zero: the cluster has settled
                acks=all  -1.891706 s  shop-7 has producer id 1000, epoch 0

              Of each kind of fact that decides fates, the first that differs, whatever its time:
                appends      base       1.977444 s  broker 1 appends shop#19762 at orders-0@19757 (epoch 0)
                             acks=all  10.563228 s  broker 2 appends shop#19692 at orders-0@20641 (epoch 1)
                truncations  base      10.348662 s  broker 1 truncates orders-0 from 19,984 to 19,982, where
                                                    its log and the leader's part
                             acks=all  10.348662 s  broker 1 truncates orders-0 from 19,757 to 19,697, where
                                                    its log and the leader's part
                acks         base      10.393288 s  shop-2 reports shop#20012 as acked
                             acks=all  10.601902 s  shop-2 reports shop#19992 as acked

              22 of 30,000 records have another fate:
                  20  stored, reordered → stored
                      base: a connection was lost with several batches in flight; they were sent again last
                      first
                      acklab explain acks-1-leader-crash --seed 7 --record shop#19983
                      acklab explain acks-1-leader-crash --seed 7 --variant acks=all --record shop#19983
                   2  lost → stored
                      base: acked before replication, leader failed over
                      acklab explain acks-1-leader-crash --seed 7 --record shop#19980
                      acklab explain acks-1-leader-crash --seed 7 --variant acks=all --record shop#19980

              numbers                     base  acks=all  difference
              sent                      30,000    30,000
              acked                     30,000    30,000
              stored                    29,998    30,000          +2
              lost                           2         0          −2
              reordered                     20         0         −20
              truncated records              2        60         +58
              longest unavailability    8.39 s    8.38 s   −9.054 ms
              produce latency p50     3.327 ms   35.5 ms    +32.2 ms
              produce latency p99       9.15 s    9.12 s    −32.8 ms
              produce latency max       9.28 s    9.22 s    −67.1 ms
              simulated                 12.3 s    12.1 s
              events                    78,081    49,853
        "#]],
    );
}

#[test]
fn what_an_application_does_differently() {
    check(
        &["diff", "auto-commit-crash", "--seed", "1", "--variant", "100ms"],
        0,
        &expect![[r#"
            auto-commit-crash · seed 1 · Kafka 3.9 · base against 100ms

              settings                                base  100ms
              groups/billing/auto.commit.interval.ms  5000  100

              The first 443 facts are the same. The next differs, while the cluster forms, before time zero:
                base   -3.496402 s  broker 2 as follower moves the high watermark of __consumer_offsets-9 to 1
                100ms  -3.895906 s  billing-1 commits orders-0@0 (auto-commit)

              Of each kind of fact that decides fates, the first that differs, whatever its time:
                commits     base    1.004997 s  broker 1 sets the committed offset of billing to orders-0@100
                            100ms  -3.895313 s  broker 1 sets the committed offset of billing to orders-0@0
                processing  base   23.007128 s  billing-0 has processed shop#1100 at orders-0@1100
                            100ms  23.007108 s  billing-0 has processed shop#1250 at orders-0@1250

              150 of 3,000 records have another fate:
              with billing:
                 150  reprocessed → processed
                      base: crash before commit
                      acklab explain auto-commit-crash --seed 1 --record shop#1100 --group billing
                      acklab explain auto-commit-crash --seed 1 --variant 100ms --record shop#1100 --group billing

              numbers                     base     100ms  difference
              sent                       3,000     3,000
              acked                      3,000     3,000
              stored                     3,000     3,000
              produce latency p50       986 us    987 us       +1 us
              produce latency p99     1.898 ms  1.901 ms       +3 us
              end-to-end latency p50  1.192 ms  1.194 ms       +2 us
              end-to-end latency max   10.48 s   10.48 s      −20 us
              processed                  3,000     3,000
              reprocessed                  152         2        −150
              extra processings            152         2        −150
              commits                        5       196        +191
              largest lag                1,200     1,050        −150
              processing time          29.99 s   29.99 s     +350 us
              simulated                 33.0 s    30.0 s
              events                    33,518    34,960
        "#]],
    );
}

#[test]
fn sides_that_do_not_differ_are_said_to_be_the_same() {
    check(
        &["diff", "quiet.ron", "--seed", "7", "--set", "duration=1s"],
        0,
        &expect![[r#"
        quiet · seed 7 · Kafka 3.9 · as it stands against duration=1s

          No setting differs.

          The histories are the same, to the last of 1,235 facts: digest 84641348821f5b6a.

          All 100 records have the same fate.

          numbers              as it stands  duration=1s  difference
          sent                          100          100
          acked                         100          100
          stored                        100          100
          produce latency p50      1.001 ms     1.001 ms
          produce latency p99      2.159 ms     2.159 ms
          simulated                   1.0 s        1.0 s
          events                      3,400        3,400
    "#]],
    );
}

#[test]
fn without_a_second_side_there_is_nothing_to_compare() {
    check(
        &["diff", "quiet.ron", "--seed", "7"],
        2,
        &expect![[r#"
        error: there is nothing to compare the scenario with
          help: name a variant or a setting: --variant acks=all, --set producers/acks=all, --against-variant NAME, --against OWNER/PROPERTY=VALUE
    "#]],
    );
    check(
        &["diff", "quiet.ron", "--against", "producers/acks=maybe"],
        2,
        &expect![[r#"
        error: `acks` must be one of all, -1, 0, 1, not `maybe`
         --> --set:1:16
          |
        1 | producers/acks=maybe
          |                ^^^^^
          help: its default is all
    "#]],
    );
}

#[test]
fn a_comparison_in_json_holds_both_runs() {
    let arguments = ["diff", "crash.ron", "--seed", "1", "--against", "producers/acks=all"];
    let of = json(&[&arguments[..], &["--json"]].concat());
    assert_eq!(of["names"][1], "producers/acks=all");
    assert_eq!(of["same"], false);
    assert_eq!(of["settings"][0]["second"]["set"], "all");
    assert!(of["divergence"]["first"]["text"].is_string());
    let run = json(&["run", "crash.ron", "--seed", "1", "--json"]);
    assert_eq!(of["first"]["digest"], run["digest"]);
    let lost = |side: &str| of[side]["records"]["lost"].as_u64().unwrap();
    let changed: u64 = of["changes"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|change| change["first"]["fate"] == "lost")
        .map(|change| change["count"].as_u64().unwrap())
        .sum();
    assert!(lost("first") > 0 && lost("second") == 0 && changed == lost("first"));
    assert_eq!(acklab(&arguments).stdout, acklab(&arguments).stdout);
}

#[test]
fn since_when_a_loss_was_certain() {
    let arguments = ["explain", "crash.ron", "--seed", "1", "--lost", "--inevitable"];
    let few = [&arguments[..], &["--futures", "4", "--json"]].concat();
    let of = json(&few);
    assert_eq!(of["futures"], 4);
    let answer = &of["answers"][0];
    assert_eq!(answer["anomaly"], "lost");
    let instants = answer["instants"].as_array().unwrap();
    assert!(instants.len() > 2);
    assert!(instants.iter().all(|of| of["same"].as_u64() <= of["futures"].as_u64()));
    assert_eq!(instants.last().unwrap()["same"], 4);
    let certain = &answer["certain"];
    assert!(certain["since_ns"].as_i64() > certain["not_at_ns"].as_i64());
    assert_eq!((&certain["fresh"]["futures"], &certain["fresh"]["same"]), (&4.into(), &4.into()));
    assert_eq!(certain["fresh"]["low"], instants.last().unwrap()["low"], "one way to compute it");
    let jobs = |jobs| acklab(&[&few[..], &["--jobs", jobs]].concat()).stdout;
    assert_eq!(jobs("1"), jobs("2"));
}

#[test]
fn since_when_is_told_as_a_table_and_a_sentence() {
    let done = acklab(&[
        "explain",
        "crash.ron",
        "--seed",
        "1",
        "--lost",
        "--inevitable",
        "--futures",
        "2",
    ]);
    assert_eq!(done.status, 0, "{}", done.stderr);
    assert!(done.stdout.lines().all(|line| line.chars().count() <= 100), "{}", done.stdout);
    let text = done.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in ["LOST", "of 2 futures", "Certain ", "at least 34 %", "Given these faults"] {
        assert!(text.contains(words), "{words}: {}", done.stdout);
    }
    let alone =
        acklab(&["explain", "quiet.ron", "--seed", "7", "--record", "shop#1", "--inevitable"]);
    assert_eq!(alone.stdout, "Nothing is wrong with shop#1.\n");
    let unasked = acklab(&["explain", "quiet.ron", "--seed", "7", "--futures", "9"]);
    assert_eq!(unasked.status, 2);
}

#[test]
fn faults_and_long_settings_are_told_in_full() {
    let done = acklab(&["diff", "gc-pause-leader", "--seed", "3", "--variant", "12s"]);
    let settings = r#"
  settings, base → 12s
    faults/pause: (name: "pause", at: "5s", fault: Pause(LeaderOf("orders", 0)), for: "6s")
      → (name: "pause", at: "5s", fault: Pause(LeaderOf("orders", 0)), for: "12s")
"#;
    assert!(done.stdout.contains(settings), "{}", done.stdout);
    assert!(done.stdout.contains("  over: pause broker 1\n"), "{}", done.stdout);
}

#[test]
fn an_interrupted_search_says_what_is_not_known() {
    let arguments =
        ["explain", "crash.ron", "--seed", "1", "--lost", "--inevitable", "--futures", "100000"];
    let mut command = support::command(&arguments);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Long enough to listen, and far too short for so many futures.
    assert!(Command::new("sleep").arg("3").status().unwrap().success());
    let interrupt = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(interrupt.unwrap().success());
    let done = support::Done::from(child.wait_with_output().unwrap());
    assert_eq!((done.status, done.stdout.as_str()), (2, ""), "{}", done.stderr);
    assert!(done.stderr.starts_with("error: interrupted after "), "{}", done.stderr);
    assert!(done.stderr.contains("is not known\n  help: fewer futures"), "{}", done.stderr);
}

#[test]
fn what_both_sides_are_warned_of_is_said_once() {
    let sides = ["diff", "quiet.ron", "--set", "kafka=3.2", "--against", "producers/acks=1"];
    let done = acklab(&sides);
    assert_eq!(done.status, 0, "{}", done.stderr);
    assert_eq!(done.stderr.matches("warning: ").count(), 1, "{}", done.stderr);
}

#[test]
fn numbers_that_went_wrong_are_shown_even_if_they_are_equal() {
    let of = json(&[
        "diff",
        "acks-1-leader-crash",
        "--seed",
        "7",
        "--set",
        "producers/client.id=x",
        "--json",
    ]);
    let numbers = of["numbers"].as_array().unwrap();
    let reordered = numbers.iter().find(|number| number["number"] == "reordered").unwrap();
    assert_eq!(reordered["first"], reordered["second"]);
}

#[test]
fn a_changed_scenario_may_be_held_against_promises_only() {
    let arguments =
        ["run", "crash.ron", "--seed", "1", "--set", "producers/acks=all", "--promises-only"];
    let judged = acklab(&arguments[..6]);
    assert_eq!(judged.status, 1, "{}", judged.stdout);
    assert!(judged.stdout.contains("--promises-only"), "{}", judged.stdout);
    let promises = acklab(&arguments);
    assert_eq!(promises.status, 0, "{}", promises.stdout);
    assert!(promises.stdout.contains("violations = 0 · unexplained = 0 · comes to rest"));
}

#[test]
fn lives_in_json_have_the_steps_that_are_printed() {
    let of = json(&["explain", "quiet.ron", "--seed", "7", "--record", "shop#1", "--json"]);
    let life = &of["lives"][0];
    assert_eq!(life["record"], "shop#1");
    assert!(life["steps"].as_array().unwrap().len() > 3);
    assert_eq!(life["ending"][0], "Nothing is wrong with it.");
}
