//! `acklab report` as a person or a script meets it: where the page goes, and what happens where it
//! cannot go.

mod support;

use std::fs;
use std::path::Path;
use support::{Scratch, acklab, command, fixture};

#[test]
fn a_page_is_written_and_named_after_its_run() {
    let scratch = Scratch::new("report");
    let crash = fixture("crash.ron");
    let crash = crash.to_str().unwrap();
    let run = |more: &[&str]| {
        let mut command = command(&[&["report", crash, "--seed", "3"], more].concat());
        let folder = scratch.path("");
        support::Done::from(command.current_dir(folder).output().unwrap())
    };
    let done = run(&[]);
    assert_eq!(done.status, 0, "{}", done.stderr);
    let (name, sentence) = done.stdout.split_once('\n').unwrap();
    assert_eq!(name, "crash-seed-3.html");
    assert!(sentence.starts_with("  ") && sentence.contains("are lost"), "{sentence}");
    assert_eq!(run(&["--variant", "acks=all"]).status, 0);
    assert_eq!(scratch.files(), ["crash-acks=all-seed-3.html", "crash-seed-3.html"]);
    let first = fs::read(scratch.path("crash-seed-3.html")).unwrap();
    assert_eq!(run(&["-o", "again.html"]).status, 0);
    assert_eq!(fs::read(scratch.path("again.html")).unwrap(), first, "the same bytes");
    let said = String::from_utf8(first).unwrap();
    assert!(
        said.contains(&format!("acklab report {crash} --seed 3")),
        "the command is on the page"
    );
}

#[test]
fn the_page_of_a_sweep_links_to_the_pages_of_its_worst_seeds() {
    let scratch = Scratch::new("report-pages");
    let page = scratch.path("sweep.html");
    let vary = ["--vary", "producers/acks=1,all", "--seeds", "0..3", "--pages", "-o", &page];
    let done = acklab(&[&["report", "crash.ron"], &vary[..]].concat());
    assert_eq!(done.status, 0, "{}", done.stderr);
    let files = scratch.files();
    let [worst, sweep] = &files[..] else { panic!("two pages: {files:?}") };
    assert!(worst.starts_with("crash-acks=1-seed-") && sweep == "sweep.html", "{files:?}");
    assert!(done.stdout.contains(worst), "{}", done.stdout);
    let linked = format!("href=\"./{worst}\"");
    assert!(fs::read_to_string(&page).unwrap().contains(&linked), "{linked}");
}

#[test]
fn an_unmet_expectation_is_a_page_and_status_1() {
    let scratch = Scratch::new("report-unmet");
    let page = scratch.path("page.html");
    let done =
        acklab(&["report", "crash.ron", "--set", "producers/acks=all", "--seed", "3", "-o", &page]);
    assert_eq!(done.status, 1, "{}", done.stderr);
    assert!(fs::read_to_string(&page).unwrap().contains("Expected, but not so: lost ≥ 1"));
}

#[test]
fn where_a_page_cannot_go_is_an_error_and_a_good_page_stays() {
    let scratch = Scratch::new("report-nowhere");
    let folder = scratch.path("");
    let good = scratch.path("good.html");
    fs::write(&good, "good").unwrap();
    let report = |scenario: &str, to: &str| acklab(&["report", scenario, "-o", to]);
    for (scenario, to, message) in [
        ("crash.ron", folder.as_str(), "is a folder\n  help: name a file in it"),
        ("crash.ron", &scratch.path("none/page.html"), "there is no folder"),
        ("crash.ron", &format!("{good}/page.html"), "cannot be written"),
        ("misspelt.ron", &good, "error"),
    ] {
        let done = report(scenario, to);
        assert_eq!(done.status, 2, "{to}: {}", done.stderr);
        assert!(done.stderr.contains(message), "{}", done.stderr);
        assert_eq!(done.stdout, "");
    }
    if Path::new("/dev/full").exists() {
        let done = report("crash.ron", "/dev/full");
        assert_eq!(done.status, 2, "{}", done.stderr);
        assert!(done.stderr.contains("`/dev/full` cannot be written: No space left"));
    }
    assert_eq!(scratch.files(), ["good.html"], "nothing half-written is left");
    assert_eq!(fs::read_to_string(&good).unwrap(), "good");
}
