//! `acklab shrink` as a person or a script meets it.

mod support;

use serde_json::Value;
use std::fs;
use support::{Scratch, acklab};

#[test]
fn the_small_scenario_is_a_file_that_the_other_commands_take() {
    let scratch = Scratch::new("shrink");
    let small = scratch.path("small.ron");
    let done = acklab(&["shrink", "crash.ron", "--seed", "3", "-o", &small]);
    assert_eq!(done.status, 0, "{}", done.stderr);
    assert_eq!(done.stderr, "", "no progress where there is no terminal");
    for heading in ["shows: lost: acks=0", "before", "what is smaller", "run it: acklab run"] {
        assert!(done.stdout.contains(heading), "{heading}:\n{}", done.stdout);
    }
    assert!(done.stdout.lines().all(|line| line.chars().count() <= 100), "{}", done.stdout);
    let check = acklab(&["check", &small]);
    assert_eq!((check.status, check.stderr.as_str()), (0, ""), "{}", check.stdout);
    let test = acklab(&["test", &small, "--seeds", "3"]);
    assert_eq!(test.status, 0, "{}{}", test.stdout, test.stderr);
    assert_eq!(scratch.files(), ["small.ron"], "nothing is left beside it");
}

#[test]
fn the_scenario_and_the_way_to_it_go_to_different_streams() {
    let arguments = ["shrink", "crash.ron", "--seed", "3", "--budget", "30"];
    let one = acklab(&[arguments.as_slice(), &["--jobs", "1"]].concat());
    let two = acklab(&[arguments.as_slice(), &["--jobs", "2"]].concat());
    assert_eq!((one.status, &one.stdout, &one.stderr), (0, &two.stdout, &two.stderr));
    assert!(one.stdout.starts_with("// Made by `acklab shrink`"), "{}", one.stdout);
    assert!(one.stderr.contains("all that --budget allows"), "{}", one.stderr);
    let json = acklab(&[arguments.as_slice(), &["--json"]].concat());
    let json: Value = serde_json::from_str(&json.stdout).expect("it is JSON");
    assert_eq!(json["shrunk"]["scenario"], Value::from(one.stdout));
    assert_eq!(json["shrunk"]["holds"], Value::from(true));
    assert!(
        json["shrunk"]["after"]["records"].as_u64() < json["shrunk"]["before"]["records"].as_u64()
    );
}

#[test]
fn what_cannot_be_shrunk_is_refused() {
    let refused = |arguments: &[&str], message: &str| {
        let done = acklab(&[&["shrink"], arguments].concat());
        assert_eq!((done.status, done.stdout.as_str()), (2, ""), "{arguments:?}");
        assert!(done.stderr.contains(message), "{arguments:?}: {}", done.stderr);
    };
    let nothing = "error: there is nothing to shrink: nothing went wrong in this history";
    refused(&["quiet.ron", "--seed", "1"], nothing);
    let other = "no record was duplicated in this history, but there are";
    refused(&["crash.ron", "--seed", "3", "--anomaly", "duplicated"], other);
    refused(&["crash.ron", "--seed", "3", "--cause", "never_arrived"], "acks_0_never_arrived?");
    refused(&["crash.ron", "--seed", "3", "-o", "."], "is a folder");
    refused(&["crash.ron", "--seed", "3", "--anomaly", "stuck"], "everything came to rest");
}

#[test]
fn an_old_result_stays_where_there_is_no_new_one() {
    let scratch = Scratch::new("shrink-old");
    let old = scratch.path("small.ron");
    fs::write(&old, "old").expect("a file");
    assert_eq!(acklab(&["shrink", "quiet.ron", "--seed", "1", "-o", &old]).status, 2);
    assert_eq!(fs::read_to_string(&old).expect("it is there"), "old");
    assert_eq!(scratch.files(), ["small.ron"]);
}
