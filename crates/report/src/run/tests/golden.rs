//! The page of a small run, as text that a person can read: everything but the series, of which the
//! ends are shown.

use acklab_scenario::ScenarioFile;
use expect_test::expect_file;
use serde_json::{Value, json};

use super::{page_of, resolved};

/// Long arrays of numbers are shown by their ends.
fn shortened(value: Value) -> Value {
    match value {
        Value::Array(items) if items.len() > 16 && items.iter().all(is_plain) => {
            let count = items.len();
            let ends = |items: &[Value]| items.iter().map(ToString::to_string).collect::<Vec<_>>();
            let (first, last) = (ends(&items[..4]).join(" "), ends(&items[count - 2..]).join(" "));
            json!(format!("{count} values: {first} … {last}"))
        }
        Value::Array(items) if items.iter().all(Value::is_string) => {
            let all: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
            json!(all.join(" | "))
        }
        Value::Array(items) if items.iter().all(is_plain) => {
            let all: Vec<String> = items.iter().map(ToString::to_string).collect();
            json!(format!("[{}]", all.join(", ")))
        }
        Value::Array(items) => {
            let count = items.len();
            let mut shown: Vec<Value> = items.into_iter().take(SHOWN).map(shortened).collect();
            if count > SHOWN {
                shown.push(json!(format!("and {} more", count - SHOWN)));
            }
            Value::Array(shown)
        }
        Value::Object(entries) => {
            entries.into_iter().map(|(key, value)| (key, shortened(value))).collect()
        }
        plain => plain,
    }
}

const SHOWN: usize = 6;

fn is_plain(value: &Value) -> bool {
    value.is_number() || value.is_null()
}

/// Sixty records, a leader that dies, a group of two.
const SCENARIO: &str = r#"Scenario(
    about: "a small run with something of everything",
    source: "acklab's own tests",
    kafka: "3.9",
    duration: "3s",
    cluster: (brokers: 3, mode: KRaft(controllers: 1)),
    topics: { "orders": (partitions: 2, replication_factor: 2) },
    producers: [(name: "shop", topic: "orders", rate: 20, properties: {"acks": "1"})],
    groups: [(id: "billing", topics: ["orders"], members: 2, processing: "1ms", commit: Auto)],
    faults: [(at: "1s", fault: Kill(LeaderOf("orders", 0)), for: "1s")],
    expect: [Lost(AtMost(5)), Duplicated(Exactly(0)), Acked(Exactly(1))],
)"#;

#[test]
fn a_small_run() {
    let case =
        resolved(ScenarioFile::parse("small", None, SCENARIO).expect("a scenario"), "base", &[]);
    let (page, _) = page_of(&case, 11);
    let mut value = serde_json::to_value(&page).expect("plain data serialises");
    for of_every_event in ["digest_trajectory", "digest_verdict", "events"] {
        value["head"][of_every_event] = json!("…");
    }
    let text = serde_json::to_string_pretty(&shortened(value)).expect("it is a value");
    expect_file!["golden.json"].assert_eq(&text);
    let (again, _) = page_of(&case, 11);
    assert_eq!(serde_json::to_string(&again).ok(), serde_json::to_string(&page).ok());
}
