//! What two sides of a scenario set differently, as whoever wrote it would write it.

use acklab_scenario::{ScenarioFile, Setting, SettingValue};
use expect_test::{Expect, expect};

const TEXT: &str = r#"Scenario(
    about: "two sides", source: "tests", kafka: "3.9", duration: "1s",
    cluster: (brokers: 3, mode: KRaft(controllers: 1), properties: {"min.insync.replicas": "2"}),
    topics: {"orders": (partitions: 1, replication_factor: 3)},
    network: (latency: Uniform("1ms", "2ms")),
    producers: [
        (name: "shop", topic: "orders", rate: 100, properties: {"acks": "1"}),
        (name: "till", topic: "orders", rate: 100, client: Librdkafka),
    ],
    groups: [(id: "billing", topics: ["orders"], members: 2)],
    faults: [(at: "500ms", fault: Kill(Broker(1)))],
    variants: {
        "safe": (set: {"producers/acks": "all", "topics/orders/min.insync.replicas": "3"}),
        "calm": (faults: []),
    },
)"#;

fn check(first: (&str, &[&str]), second: (&str, &[&str]), expected: &Expect) {
    let file = ScenarioFile::parse("two-sides", None, TEXT).unwrap();
    let sets =
        |list: &[&str]| -> Vec<Setting> { list.iter().map(|set| set.parse().unwrap()).collect() };
    let (one, other) = (sets(first.1), sets(second.1));
    let found = file.differences((first.0, &one), (second.0, &other)).unwrap();
    let value = |value: &SettingValue| match value {
        SettingValue::Set(text) => text.clone(),
        SettingValue::Default(text) => format!("default {}", text.as_deref().unwrap_or("?")),
        SettingValue::Missing => "missing".to_owned(),
    };
    let lines: Vec<String> = found
        .iter()
        .map(|of| format!("{}: {} -> {}\n", of.path, value(&of.first), value(&of.second)))
        .collect();
    expected.assert_eq(&lines.concat());
}

#[test]
fn what_a_variant_sets_is_named_as_it_is_set() {
    check(
        ("base", &[]),
        ("safe", &[]),
        &expect![[r#"
        producers/shop/acks: 1 -> all
        topics/orders/min.insync.replicas: default 2 -> 3
        producers/till/acks: default all -> all
    "#]],
    );
}

#[test]
fn what_only_one_side_sets_is_held_against_the_default() {
    let sets = ["groups/billing/session.timeout.ms=10000", "network/latency=Exactly(\"1ms\")"];
    check(
        ("base", &[]),
        ("base", &sets),
        &expect![[r#"
        network/latency: Uniform("1ms", "2ms") -> Exactly("1ms")
        groups/billing/session.timeout.ms: default 45000 -> 10000
    "#]],
    );
}

#[test]
fn faults_are_compared_as_a_whole() {
    check(
        ("base", &[]),
        ("calm", &["duration=2s"]),
        &expect![[r#"
        duration: 1s -> 2s
        faults/0: (at: "500ms", fault: Kill(Broker(1))) -> missing
    "#]],
    );
}

#[test]
fn another_version_has_other_defaults() {
    check(
        ("base", &[]),
        ("base", &["kafka=4.0"]),
        &expect![[r#"
        kafka: 3.9 -> 4.0
        every broker: offsets.commit.required.acks: default -1 -> missing
        every broker: group.coordinator.append.linger.ms: default 10 -> default 5
        every broker: group.coordinator.rebalance.protocols: default classic -> default classic,consumer,streams
        every producer: linger.ms: default 0 -> default 5
    "#]],
    );
}

#[test]
fn what_is_set_to_what_it_was_is_no_difference() {
    check(("base", &[]), ("base", &["producers/shop/acks=1"]), &expect![[r#""#]]);
}
