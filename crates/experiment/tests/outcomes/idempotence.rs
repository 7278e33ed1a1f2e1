//! Rule 3.6: who is idempotent, by version and by what else is set.

use crate::support::case;
use acklab_scenario::ScenarioFile;

fn fields(kafka: &str, client: &str, properties: &str) -> String {
    format!(
        r#"kafka: "{kafka}", producers: [(name: "shop", topic: "orders", rate: 1, {client}
            properties: {{ {properties} }})],"#
    )
}

#[track_caller]
fn is_idempotent(kafka: &str, client: &str, properties: &str) -> bool {
    case(&fields(kafka, client, properties)).scenario.producers[0].config.idempotence()
}

#[test]
fn idempotence_is_the_default_since_3_2_unless_something_speaks_against_it() {
    let java = |version: &str| format!(r#"client: Java("{version}"),"#);
    for (version, expected) in [
        ("2.8.0", false),
        ("3.0.0", false),
        ("3.0.1", true),
        ("3.1.0", false),
        ("3.1.1", true),
        ("3.2.0", true),
        ("4.1.0", true),
    ] {
        assert_eq!(is_idempotent("3.9", &java(version), ""), expected, "{version}");
    }
    for silently_off in [r#""acks": "1""#, r#""acks": "0""#, r#""retries": "0""#] {
        for kafka in ["3.9", "4.0"] {
            assert!(!is_idempotent(kafka, "", silently_off), "{kafka} {silently_off}");
        }
    }
    let six = r#""max.in.flight.requests.per.connection": "6""#;
    assert!(!is_idempotent("3.9", "", six));
    assert!(!is_idempotent("3.9", "client: Librdkafka,", ""));
}

#[test]
fn what_contradicts_idempotence_is_refused() {
    let refused = |kafka: &str, properties: &str| {
        let text = format!(
            r#"Scenario(about: "a", source: "b", duration: "1s",
                cluster: (brokers: 1, mode: KRaft(controllers: 1)),
                topics: {{"orders": (partitions: 1, replication_factor: 1)}}, {})"#,
            fields(kafka, "", properties)
        );
        let file = ScenarioFile::parse("refused", None, &text).unwrap();
        file.resolve("base", &[]).is_err()
    };
    for kafka in ["3.3", "3.9", "4.0"] {
        for wrong in [
            r#""enable.idempotence": "true", "acks": "1""#,
            r#""enable.idempotence": "true", "retries": "0""#,
            r#""enable.idempotence": "true", "max.in.flight.requests.per.connection": "6""#,
        ] {
            assert!(refused(kafka, wrong), "{kafka} {wrong}");
        }
    }
    assert!(refused("4.0", r#""max.in.flight.requests.per.connection": "6""#));
    assert!(!refused("3.9", r#""max.in.flight.requests.per.connection": "6""#));
}
