//! `acklab sweep` as a person or a script meets it.

mod support;

use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use support::{Scratch, acklab, command, fixture};

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
    let (page, junit) = (scratch.path("good.html"), scratch.path("junit.xml"));
    fs::write(&page, "good").unwrap();
    fs::write(&junit, "green").unwrap();
    let files = ["--html", &page, "--junit", &junit];
    let mut child = command(&[&all[..], &files, &["--jobs", "1", "--save", &saved]].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It is saved for the first time after a twentieth of the work.
    while !Path::new(&saved).exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        std::thread::yield_now();
    }
    // As `timeout --signal=INT` sends it: to the process, and to its group.
    for _ in 0..2 {
        let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        assert!(killed.success());
    }
    let interrupted: support::Done = child.wait_with_output().unwrap().into();
    assert_eq!(interrupted.status, 2, "{}", interrupted.stderr);
    let hint = format!("--junit {junit} --html {page} --resume {saved} --json --jobs 1");
    assert!(interrupted.stderr.contains(&hint), "{}", interrupted.stderr);
    assert!(interrupted.stderr.contains("good.html` not written"), "{}", interrupted.stderr);
    assert_eq!(fs::read_to_string(&page).unwrap(), "good", "a part does not replace a whole");
    assert!(fs::read_to_string(&junit).unwrap().contains("<error message=\"interrupted after "));
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
    assert_eq!(
        scratch.files(),
        ["good.html", "junit.xml", "saved"],
        "nothing half-written is left"
    );
}

#[test]
fn an_interrupted_page_of_a_sweep_is_saved_as_what_goes_on() {
    let scratch = Scratch::new("report-interrupt");
    let (page, crash) = (scratch.path("good.html"), fixture("crash.ron"));
    fs::write(&page, "good").unwrap();
    let report = ["report", crash.to_str().unwrap(), "--seeds", "0..1_000_000", "-o", &page];
    let mut child = command(&report)
        .current_dir(scratch.path(""))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::park_timeout(std::time::Duration::from_secs(3));
    assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
    let killed = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let done: support::Done = child.wait_with_output().unwrap().into();
    assert_eq!((done.status, done.stdout.as_str()), (2, ""), "{}", done.stderr);
    assert_eq!(fs::read_to_string(&page).unwrap(), "good");
    let hint = format!("--seeds 0..1000000 --html {page} --resume crash.sweep");
    assert!(done.stderr.contains(&hint), "{}", done.stderr);
    assert_eq!(scratch.files(), ["crash.sweep", "good.html"]);
}

#[test]
fn a_later_signal_ends_at_once_and_leaves_nothing_half_written() {
    let scratch = Scratch::new("sweep-leave");
    // One history of it takes longer than this test.
    let long = ["sweep", "crash.ron", "--set", "duration=2h", "--seeds", "0..2", "--save"];
    let mut child = command(&[&long[..], &[&scratch.path("saved")]].concat())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let pause = || std::thread::park_timeout(std::time::Duration::from_secs(2));
    for _ in 0..2 {
        pause();
        assert!(child.try_wait().unwrap().is_none(), "it ended before the second signal");
        let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        assert!(killed.success());
    }
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(scratch.files().is_empty());
}

#[test]
fn a_saved_sweep_goes_on_to_another_width_and_into_another_file() {
    let scratch = Scratch::new("sweep-width");
    let (saved, other) = (scratch.path("saved"), scratch.path("other"));
    let quiet = ["sweep", "quiet.ron", "--seeds", "0..8", "--json"];
    let told = |more: &[&str]| {
        let done = acklab(&[&quiet[..], more].concat());
        assert_eq!(done.status, 0, "{}", done.stderr);
        let report = json(&done.stdout);
        (report["seeds_done"].as_u64().unwrap(), report["until_width"].clone())
    };
    let (seeds, width) = told(&["--until-width", "60%", "--save", &saved]);
    assert_eq!((seeds, &width["reached"]), (3, &true.into()));
    let before = fs::read(&saved).unwrap();
    let (seeds, width) = told(&["--until-width", "5%", "--resume", &saved, "--save", &other]);
    assert_eq!((seeds, &width["reached"]), (8, &false.into()));
    assert_eq!(fs::read(&saved).unwrap(), before, "--save names the file that is written");
    let table = acklab(&[&quiet[..4], &["--until-width", "5%", "--resume", &other]].concat());
    let words = table.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("interval of lost is 32.4 points wide, more than the 5.0"), "{words}");

    let digest = fs::read_to_string(&other).unwrap();
    let digest =
        digest.split("\"digest\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let rebuilt = fs::read_to_string(&other).unwrap().replacen(&digest, "0123456789abcdef", 1);
    fs::write(&other, rebuilt).unwrap();
    let refused = acklab(&[&quiet[..], &["--resume", &other]].concat());
    assert_eq!(refused.status, 2);
    assert!(refused.stderr.contains("it is of another build of acklab"), "{}", refused.stderr);
}

#[test]
fn outputs_overwrite_neither_inputs_nor_each_other() {
    let scratch = Scratch::new("sweep-overwrite");
    let scenario = scratch.path("crash.ron");
    fs::copy(fixture("crash.ron"), &scenario).unwrap();
    let link = scratch.path("link");
    std::os::unix::fs::symlink("crash.ron", &link).unwrap();
    let new = scratch.path("new");
    let roundabout = scratch.path("../").clone()
        + Path::new(&scratch.path("")).file_name().unwrap().to_str().unwrap()
        + "/new";
    for (files, why) in [
        (vec!["--csv", &scenario], "--csv would overwrite the scenario"),
        (vec!["--save", &link], "--save would overwrite the scenario"),
        (vec!["--csv", &new, "--html", &roundabout], "--csv and --html both write to"),
        (vec!["--csv", "-"], "`-` names no file"),
    ] {
        let done = acklab(&[&["sweep", &scenario, "--seeds", "0..1_000_000"], &files[..]].concat());
        assert_eq!(done.status, 2, "{files:?}");
        assert!(done.stderr.contains(why), "{files:?}: {}", done.stderr);
    }
    let report = acklab(&["report", &scenario, "-o", &link]);
    assert_eq!(report.status, 2);
    assert!(report.stderr.contains("the page would overwrite the scenario"), "{}", report.stderr);
    let test = acklab(&["test", &scenario, "--seeds", "0..1_000_000", "--junit", &link]);
    assert_eq!(test.status, 2);
    assert!(test.stderr.contains("--junit would overwrite a scenario"), "{}", test.stderr);
    assert_eq!(scratch.files(), ["crash.ron", "link"]);
}

#[test]
fn a_link_stays_a_link_even_if_nothing_is_there_yet() {
    let scratch = Scratch::new("sweep-link");
    let link = scratch.path("link.csv");
    std::os::unix::fs::symlink("seeds.csv", &link).unwrap();
    for _ in 0..2 {
        assert_eq!(sweep(&["--csv", &link]).status, 0);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(scratch.files(), ["link.csv", "seeds.csv"]);
    }
}

#[test]
fn a_full_disk_is_no_interruption() {
    if !Path::new("/dev/full").exists() {
        return;
    }
    let done = sweep(&["--save", "/dev/full"]);
    assert_eq!(done.status, 2);
    assert!(done.stdout.contains("12 histories") && !done.stdout.contains("interrupted"));
    let (warning, error) = done.stderr.split_once('\n').unwrap();
    assert!(warning.starts_with("warning: `/dev/full` cannot be written: No space"), "{warning}");
    assert!(error.starts_with("error: `/dev/full` cannot be written: No space"), "{error}");
    assert_eq!(done.stderr.matches("warning").count(), 1, "{}", done.stderr);
}

#[test]
fn variants_are_held_against_each_other_as_the_scenario_says() {
    let done =
        acklab(&["sweep", "crash.ron", "--seeds", "0..4", "--vary", "variant=base,acks=all"]);
    assert_eq!(done.status, 0, "{}", done.stderr);
    assert!(done.stdout.contains("held  mean lost: base > acks=all: "), "{}", done.stdout);
    assert!(!done.stdout.contains("not judged, since"), "{}", done.stdout);
    let other = sweep(&[]);
    assert!(other.stdout.contains("not judged, since"), "{}", other.stdout);
    let gate = ["--vary", "variant=base,acks=all", "--expect", "acks=all: lost == 0"];
    assert_eq!(acklab(&[&CRASH[..4], &gate[..]].concat()).status, 0, "a variant by its name");
}

#[test]
fn a_difference_in_reading_is_no_equality() {
    let vary = ["--vary", "variant=base,3.6"];
    let done = acklab(&[&["sweep", "min-isr-freeze", "--seeds", "0..2"], &vary[..]].concat());
    assert!(done.stdout.contains("mean end to end p99"), "{}", done.stdout);
    assert!(!done.stdout.contains("no difference"), "{}", done.stdout);
}

#[test]
fn a_table_fits_where_it_is_shown() {
    let vary = ["--vary", "producers/acks=0,all", "--vary", "producers/linger.ms=0,5"];
    let gate = ["--expect", "lost == 0 @ 50%"];
    for columns in [80, 100] {
        let mut sweep = command(&[&CRASH[..4], &vary, &gate].concat());
        let done: support::Done =
            sweep.env("COLUMNS", columns.to_string()).output().unwrap().into();
        assert_eq!(done.status, 1, "{}", done.stderr);
        let wide = done.stdout.lines().filter(|line| line.chars().count() > columns);
        assert_eq!(wide.collect::<Vec<_>>(), Vec::<&str>::new());
        assert!(!done.stdout.lines().any(|line| line.contains('[') && !line.contains(']')));
    }
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
    assert!(text.contains("too few seeds to tell: run at least 59"), "{text}");
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
        answer.starts_with("  acks=0    loses records in 100 % of histories [60.9, 100]"),
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
