//! `acklab sweep` as a person or a script meets it.

mod support;

use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use support::{Scratch, acklab, command};

const CRASH: [&str; 5] = ["sweep", "crash.ron", "--seeds", "0..6", "--vary"];

fn sweep(more: &[&str]) -> support::Done {
    acklab(&[&CRASH[..], &["producers/acks=0,all"], more].concat())
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn losses_order_as_the_acks_do() {
    let done = acklab(&[
        "sweep",
        "acks-1-leader-crash",
        "--seeds",
        "0..20",
        "--vary",
        "producers/acks=0,1,all",
        "--json",
    ]);
    assert_eq!(done.status, 0, "{}", done.stderr);
    let report = json(&done.stdout);
    let cells = report["cells"].as_array().unwrap();
    let mean = |cell: &Value| cell["anomalies"][0]["counts"]["mean"].as_f64().unwrap();
    let means: Vec<f64> = cells.iter().map(mean).collect();
    assert_eq!(cells[0]["anomalies"][0]["anomaly"], "lost");
    assert!(means[0] > means[1] && means[1] > means[2] && means[2] == 0.0, "{means:?}");
    let names: Vec<&str> = cells.iter().map(|cell| cell["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["acks=0", "acks=1", "acks=all"]);
}

#[test]
fn the_number_of_threads_changes_no_byte() {
    let scratch = Scratch::new("sweep-jobs");
    let written = |jobs: &str| {
        let path = |name: &str| scratch.path(&format!("{name}-{jobs}"));
        let (csv, junit, saved) = (path("csv"), path("junit"), path("saved"));
        let files = ["--csv", &csv, "--junit", &junit, "--save", &saved];
        let done = sweep(&[&files[..], &["--json", "--jobs", jobs]].concat());
        assert_eq!(done.status, 0, "{}", done.stderr);
        let read = |path: &str| fs::read_to_string(path).unwrap();
        [done.stdout, read(&csv), read(&junit), read(&saved)]
    };
    let (one, two) = (written("1"), written("2"));
    assert_eq!(one, two);
    assert_eq!(one[1].lines().count(), 1 + 6 * 2, "one line for each seed and cell");
    assert!(one[1].starts_with("producers/acks,seed,result,digest,sent,"), "{}", one[1]);
}

#[test]
fn an_interrupted_sweep_goes_on_to_the_same_bytes() {
    let scratch = Scratch::new("sweep-interrupt");
    let saved = scratch.path("saved");
    let all = [&CRASH[..3], &["0..60", "--vary", "producers/acks=0,all", "--json"]].concat();
    let mut child = command(&[&all[..], &["--jobs", "1", "--save", &saved]].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It is saved for the first time after a twentieth of the work.
    while !Path::new(&saved).exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        std::thread::yield_now();
    }
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let interrupted: support::Done = child.wait_with_output().unwrap().into();
    assert_eq!(interrupted.status, 2, "{}", interrupted.stderr);
    assert!(interrupted.stderr.contains("--resume"), "{}", interrupted.stderr);
    let part = json(&interrupted.stdout);
    let done = part["seeds_done"].as_u64().unwrap();
    assert!((3..60).contains(&done), "{done} of 60 seeds were done");
    assert_eq!(part["ended"], "interrupted");

    let resumed = acklab(&[&all[..], &["--jobs", "2", "--resume", &saved]].concat());
    let whole = acklab(&all);
    assert_eq!((resumed.status, whole.status), (0, 0), "{}", resumed.stderr);
    assert_eq!(resumed.stdout, whole.stdout);
    // The file is complete by now: nothing is left to run, and nothing changes.
    assert_eq!(acklab(&[&all[..], &["--resume", &saved]].concat()).stdout, whole.stdout);
    assert_eq!(scratch.files(), ["saved"], "nothing half-written is left");
}

#[test]
fn a_sweep_goes_on_only_from_its_own_file() {
    let scratch = Scratch::new("sweep-foreign");
    let saved = scratch.path("saved");
    assert_eq!(sweep(&["--save", &saved]).status, 0);
    let other = acklab(&[&CRASH[..], &["producers/acks=1,all", "--resume", &saved]].concat());
    assert_eq!(other.status, 2);
    let differs = "--vary is producers/acks=0,all there, producers/acks=1,all here";
    assert!(other.stderr.contains(differs), "{}", other.stderr);
    let quiet = acklab(&["sweep", "quiet.ron", "--seeds", "0..6", "--resume", &saved]);
    assert_eq!(quiet.status, 2);
    assert!(quiet.stderr.contains("the scenario is crash there, quiet here"), "{}", quiet.stderr);
    let nothing = sweep(&["--resume", &scratch.path("nothing")]);
    assert_eq!(nothing.status, 2);
    assert!(nothing.stderr.contains("there is no such file"), "{}", nothing.stderr);
    assert_eq!(scratch.files(), ["saved"], "a file that is refused stays, and none is made");
}

#[test]
fn what_cannot_be_written_is_said_before_anything_runs() {
    let scratch = Scratch::new("sweep-unwritable");
    let folder = scratch.path("");
    for file in [scratch.path("missing/seeds.csv"), folder] {
        for option in ["--csv", "--junit", "--html", "--save"] {
            // So many seeds would take hours.
            let done = acklab(&["sweep", "crash.ron", "--seeds", "0..1_000_000", option, &file]);
            assert_eq!(done.status, 2, "{option} {file}: {}", done.stderr);
            assert!(done.stdout.is_empty() && done.stderr.contains("error:"), "{}", done.stderr);
        }
    }
    assert!(scratch.files().is_empty());
}

#[test]
fn a_gate_decides_the_exit_status() {
    let told = |gate: &str| {
        let done = sweep(&["--expect", gate]);
        // Sentences may have been wrapped.
        (done.status, done.stdout.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    let (status, text) = told("acks=all: lost == 0 @ 50%");
    assert_eq!(status, 0, "{text}");
    let (status, text) = told("acks=all: lost == 0 @ 95%");
    assert_eq!(status, 1, "six seeds show little");
    assert!(text.contains("too few seeds to tell: run at least 73"), "{text}");
    let (status, text) = told("lost == 0 @ 50%");
    assert_eq!(status, 1);
    assert!(text.contains("acklab run crash.ron --seed 0 --set producers/acks=0"), "{text}");
    let (status, _) = told("acks=2: lost == 0");
    assert_eq!(status, 2);
    assert_eq!(sweep(&["--expect", "lots == 0"]).status, 2);
}

#[test]
fn the_answer_comes_first_and_its_commands_work() {
    let done = sweep(&[]);
    assert_eq!(done.status, 0, "{}", done.stderr);
    let mut lines = done.stdout.lines();
    let title = lines.next().unwrap();
    assert_eq!(
        title,
        "crash · seeds 0..6 · Kafka 3.9 · 12 histories in 2 cells, each on the same seeds"
    );
    let answer = lines.nth(1).unwrap();
    assert!(
        answer.starts_with("  acks=0    loses records in every history [60.9, 100]"),
        "{answer}"
    );
    assert!(done.stdout.contains("  acks=all  nothing lost"), "{}", done.stdout);
    assert!(done.stdout.contains("acks=0 → acks=all on the same 6 seeds"), "{}", done.stdout);
    let worst =
        done.stdout.lines().find(|line| line.contains(" worst  ") && line.contains("acklab"));
    let (before, run) = worst.unwrap().split_once("acklab run").unwrap();
    let count = before.split_whitespace().last().unwrap();
    let again = support::shell(&format!("acklab run{run}"));
    assert!(again.stdout.contains(&format!("lost {count} of ")), "{worst:?}: {}", again.stdout);
    let wide = done.stdout.lines().filter(|line| line.chars().count() > 100);
    assert!(wide.clone().all(|line| line.contains("acklab ")), "{:?}", wide.collect::<Vec<_>>());
}

#[test]
fn a_sweep_stops_when_it_knows_enough() {
    let done = acklab(&[
        "sweep",
        "quiet.ron",
        "--seeds",
        "0..100",
        "--until-width",
        "40%",
        "--json",
        "--jobs",
        "2",
    ]);
    let report = json(&done.stdout);
    // Nothing in n seeds: from 0 to z² / (n + z²), 0.39 for 6.
    assert_eq!((&report["seeds_done"], &report["ended"]), (&6.into(), &"narrow_enough".into()));
    assert_eq!(done.status, 0);
}

#[test]
fn what_makes_no_grid_is_refused() {
    let refused = |more: &[&str], why: &str| {
        let done = acklab(&[&CRASH[..4], more].concat());
        assert_eq!(done.status, 2, "{more:?}");
        assert!(done.stderr.contains(why), "{more:?}: {}", done.stderr);
    };
    refused(&["--vary", "producers/acks=0"], "one value varies nothing");
    refused(&["--vary", "producers/acks=0,0"], "twice");
    refused(&["--vary", "acks"], "write OWNER/PROPERTY=V1,V2");
    refused(&["--vary", "producers/akcs=0,1"], "did you mean `acks`?");
    refused(&["--vary", "variant=base,acks=al"], "has no variant `acks=al`");
    refused(&["--set", "producers/acks=1", "--vary", "producers/acks=0,1"], "both set and varied");
    refused(&["--until-width", "lots=5%"], "there is no anomaly `lots`");
    refused(&["--until-width", "0"], "above 0");
}
