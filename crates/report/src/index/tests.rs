//! Indexes of folders, hostile ones too.

use super::*;
use serde_json::json;

fn report(summary: serde_json::Value) -> String {
    shell(&Page { title: "a report".to_owned(), summary, ..Page::default() })
}

fn run(scenario: &str, seed: u64) -> serde_json::Value {
    json!({
        "schema": 1, "kind": "run", "scenario": scenario, "variant": null, "seed": seed,
        "kafka": "3.9", "sentence": "2 of 30,000 acked records are lost.", "tone": "anomalies",
        "numbers": [{"label": "lost", "value": "2", "of": "30,000 acked", "is_anomaly": true}],
        "command": format!("acklab run {scenario} --seed {seed}"),
    })
}

fn file(name: &str, text: impl Into<String>) -> (String, String) {
    (name.to_owned(), text.into())
}

const HOSTILE: &str = "</script><script>alert(1)</script>";

#[test]
fn a_summary_comes_back_whatever_is_in_it() {
    let summary = summary(&report(run(HOSTILE, 7))).expect("the page carries one");
    assert_eq!((summary.scenario.as_str(), summary.seed), (HOSTILE, Some(7)));
    assert_eq!(summary.numbers[0].of.as_deref(), Some("30,000 acked"));
}

#[test]
fn reports_are_sorted_and_others_counted() {
    let sweep = json!({"kind": "sweep", "scenario": "b", "seeds": "0..9", "sentence": "None."});
    let folder = Folder::of([
        file("z.html", report(run("b", 10))),
        file("y.html", report(run("b", 9))),
        file("holiday.html", "<p>a page of somebody else's</p>"),
        file("broken.html", r#"<script type="application/json" id="acklab-summary">{"kind""#),
        file("sweep.html", report(sweep)),
        file("a.html", report(run("a", 1))),
        file("index.html", report(run("c", 1))),
    ]);
    let files: Vec<&str> = folder.entries.iter().map(|entry| entry.file.as_str()).collect();
    assert_eq!(files, ["sweep.html", "a.html", "y.html", "z.html"]);
    assert_eq!(folder.foreign, 2);
    let html = page(&folder);
    assert!(html.contains("<h1>1 sweep and 3 runs</h1>"), "{html}");
    assert!(html.contains("2 other HTML files"), "{html}");
    assert_eq!(html, page(&folder));
}

#[test]
fn a_title_says_which_sweep_it_is() {
    let sweep = json!({"kind": "sweep", "scenario": "a", "variant": "acks=all", "sentence": "None.",
        "varied": ["linger.ms", "kafka"], "seeds": "0..200", "seeds_done": 20, "is_complete": false});
    let html = page(&Folder::of([file("sweep.html", report(sweep))]));
    let title = "a, acks=all, linger.ms and kafka varied, seeds 0..200, interrupted after 20 seeds";
    assert!(html.contains(title), "{html}");
}

#[test]
fn nothing_of_a_folder_becomes_markup_or_leaves_it() {
    let name = "javascript:alert(1)//<script>.html";
    let folder = Folder::of([file(name, report(run(HOSTILE, 7)))]);
    let html = page(&folder);
    assert!(!html.contains("<script>alert") && !html.contains("href=\"javascript"), "{html}");
    assert!(
        html.contains(r#"href="./javascript%3Aalert%281%29%2F%2F%3Cscript%3E.html""#),
        "{html}"
    );
}

#[test]
fn a_link_is_found_by_the_command_of_the_run() {
    let folder = Folder::of([file("a seven.html", report(run("a", 7)))]);
    assert_eq!(folder.link_to("acklab run a --seed 7").as_deref(), Some("./a%20seven.html"));
    assert_eq!(folder.link_to("acklab run a --seed 8"), None);
}

#[test]
fn an_empty_folder_has_an_index_too() {
    assert!(page(&Folder::default()).contains("<h1>No reports</h1>"));
}
