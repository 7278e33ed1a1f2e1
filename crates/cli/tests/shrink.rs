//! `acklab shrink` as a person or a script meets it.

mod support;

use serde_json::Value;
use std::fs;
use std::process::{Command, Stdio};
use support::{Scratch, acklab, fixture};

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
    assert!(one.stdout.starts_with("// Made by acklab "), "{}", one.stdout);
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
    refused(&["crash.ron", "--seed", "3", "--cause", "nope"], "`acklab run --json` names those");
    refused(&["crash.ron", "--seed", "3", "--budget", "0"], "it is 2 or more");
    refused(&["crash.ron", "--seed", "3", "--budget", "1"], "it is 2 or more");
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

#[test]
fn what_is_read_is_not_overwritten() {
    let scratch = Scratch::new("shrink-same");
    let path = scratch.path("crash.ron");
    let text = fs::read_to_string(fixture("crash.ron")).expect("a fixture");
    fs::write(&path, &text).expect("a file");
    let again = scratch.path("./crash.ron");
    let done = acklab(&["shrink", &path, "--seed", "3", "-o", &again]);
    assert_eq!((done.status, done.stdout.as_str()), (2, ""), "{}", done.stderr);
    assert!(done.stderr.contains("would overwrite the scenario"), "{}", done.stderr);
    assert_eq!(fs::read_to_string(&path).expect("it is there"), text);
}

#[test]
fn the_file_says_how_it_was_made_and_the_heading_of_what() {
    let arguments = ["shrink", "crash.ron", "--variant", "acks=0", "--seed", "3"];
    let scratch = Scratch::new("shrink-variant");
    let path = scratch.path("crash.ron");
    let text = fs::read_to_string(fixture("crash.ron")).expect("a fixture");
    fs::write(&path, text.replace("\"acks=all\": (set", "\"acks=0\": (), \"acks=all\": (set"))
        .expect("a file");
    let wanted = ["--anomaly", "lost", "--cause", "acks_0_never_arrived", "--budget", "20"];
    let arguments = [&[arguments[0], &path], &arguments[2..], &wanted].concat();
    let done = acklab(&arguments);
    assert_eq!(done.status, 0, "{}", done.stderr);
    assert!(done.stderr.starts_with("crash · acks=0 · seed 3\n  shows: lost: "), "{}", done.stderr);
    let command = format!(
        "// acklab shrink {path} --seed 3 --variant acks=0 --anomaly lost --cause \
         acks_0_never_arrived --budget 20\n"
    );
    assert!(done.stdout.contains(&command), "{}", done.stdout);
    assert!(done.stderr.contains("  10,000"), "{}", done.stderr);
}

#[cfg(target_os = "linux")]
#[test]
fn ctrl_c_leaves_the_smallest_so_far_or_nothing() {
    let scratch = Scratch::new("shrink-interrupt");
    let path = scratch.path("small.ron");
    let arguments = ["shrink", "crash.ron", "--seed", "3", "--jobs", "1", "-o", &path];
    let mut ended = Vec::new();
    // The last may be over by itself: what is there is never half.
    for delay in ["0", "0.5", "1"] {
        fs::write(&path, "old").expect("a file");
        let mut command = support::command(&[&arguments[..], &["--set", "duration=20s"]].concat());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        while !catches_interrupts(child.id()) {
            assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
            std::thread::yield_now();
        }
        assert!(Command::new("sleep").arg(delay).status().unwrap().success());
        let asked = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
        assert!(asked.unwrap().success());
        let done: support::Done = child.wait_with_output().unwrap().into();
        let text = fs::read_to_string(&path).expect("it is there");
        match done.status {
            0 => {
                assert_eq!(acklab(&["check", &path]).status, 0, "{text}");
                assert_eq!(acklab(&["test", &path, "--seeds", "3"]).status, 0, "{text}");
                ended.push(done.stdout.contains("interrupted; this is the smallest so far"));
            }
            status => {
                let message =
                    "error: interrupted before anything was smaller: nothing is written\n";
                assert_eq!((status, done.stderr.as_str(), text.as_str()), (2, message, "old"));
                ended.push(true);
            }
        }
    }
    assert!(ended[0], "it was asked during the first run");
    assert_eq!(scratch.files(), ["small.ron"]);
}

/// Whether a process listens for Ctrl-C by now.
#[cfg(target_os = "linux")]
fn catches_interrupts(process: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    caught.is_some_and(|mask| mask & 0b10 != 0)
}
