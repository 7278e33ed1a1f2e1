//! Pages of sweeps and the index of a folder, as a person or a script meets them.

mod support;

use std::fs;
use support::{Scratch, acklab};

const VARY: [&str; 4] = ["--seeds", "0..4", "--vary", "producers/acks=1,all"];

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn a_sweep_is_a_page_that_links_to_the_pages_of_runs_beside_it() {
    let scratch = Scratch::new("gallery-sweep");
    let page = scratch.path("sweep.html");
    let done = acklab(&[&["report", "crash.ron"], VARY.as_slice(), &["-o", &page]].concat());
    assert_eq!((done.status, done.stderr.as_str()), (0, ""));
    let (path, headline) = done.stdout.split_once("\n  ").expect("the path, then the answer");
    assert_eq!(path, page);
    assert!(headline.starts_with("acks=1 "), "{headline}");
    let html = fs::read_to_string(&page).unwrap();
    assert!(!html.contains("href=\"./"), "there is nothing to link to yet");

    let sweep = acklab(&[&["sweep", "crash.ron", "--json"], VARY.as_slice()].concat());
    let cell = &json(&sweep.stdout)["cells"][0];
    let mut anomalies = cell["anomalies"].as_array().unwrap().iter();
    let worst = anomalies.find_map(|of| of["worst"]["run"].as_str()).expect("acks=1 has some");
    let run = scratch.path("worst.html");
    let words: Vec<&str> = worst.split(' ').skip(2).chain(["-o", &run]).collect();
    let done = acklab(&[&["report"], words.as_slice()].concat());
    assert_eq!(done.stderr, "", "{worst}");

    let again = scratch.path("again.html");
    let done = acklab(&[&["sweep", "crash.ron", "--html", &again], VARY.as_slice()].concat());
    assert_eq!((done.status, done.stderr.as_str()), (0, ""));
    assert!(fs::read_to_string(&again).unwrap().contains("href=\"./worst.html\""), "{worst}");
}

#[test]
fn an_index_lists_the_reports_of_a_folder() {
    let scratch = Scratch::new("gallery-index");
    let hostile = scratch.path("<b>&amp; x.html");
    for (seed, page) in [("2", scratch.path("two.html")), ("1", hostile)] {
        let done = acklab(&["report", "crash.ron", "--seed", seed, "-o", &page]);
        assert_eq!((done.status, done.stderr.as_str()), (0, ""));
    }
    fs::write(scratch.path("other.html"), "<h1>somebody else's</h1>").unwrap();
    let folder = scratch.path("");
    let done = acklab(&["report", "--index", &folder]);
    assert_eq!((done.status, done.stderr.as_str()), (0, ""));
    assert!(
        done.stdout.ends_with("2 reports; 1 other HTML file was left alone\n"),
        "{}",
        done.stdout
    );
    let index = fs::read_to_string(scratch.path("index.html")).unwrap();
    let at = |what: &str| index.find(what).unwrap_or_else(|| panic!("no {what} in {index}"));
    assert!(at("./%3Cb%3E%26amp%3B%20x.html") < at("./two.html"), "by seed");
    assert!(!index.contains("<b>&amp;"), "{index}");
    // The index is no report: made again, it is the same.
    assert_eq!(acklab(&["report", "--index", &folder]).status, 0);
    assert_eq!(fs::read_to_string(scratch.path("index.html")).unwrap(), index);
}

#[test]
fn what_is_no_folder_has_no_index() {
    let scratch = Scratch::new("gallery-none");
    let missing = scratch.path("missing");
    let done = acklab(&["report", "--index", &missing]);
    assert_eq!(done.status, 2);
    assert!(done.stderr.contains("there is no folder"), "{}", done.stderr);
    let file = scratch.path("file");
    fs::write(&file, "").unwrap();
    let done = acklab(&["report", "--index", &file]);
    assert_eq!(done.status, 2);
    assert!(done.stderr.contains("is not a folder"), "{}", done.stderr);
    let done = acklab(&["report", "crash.ron", "--seed", "1", "--seeds", "0..4"]);
    assert_eq!(done.status, 2);
}
