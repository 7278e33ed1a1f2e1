//! Scenarios written out: what is read back is what was written.

use acklab_scenario::model::Scenario;
use acklab_scenario::{Draft, ScenarioFile, Setting, shipped, write_expectations};
use expect_test::expect;

fn file(name: &str, text: &str) -> ScenarioFile {
    ScenarioFile::parse(name, None, text).unwrap_or_else(|error| panic!("{error}"))
}

fn shipped_file(name: &str) -> ScenarioFile {
    let found = shipped().iter().find(|(shipped, _)| *shipped == name);
    file(name, found.unwrap_or_else(|| panic!("no {name}")).1)
}

/// The scenario that a draft's text is, under the name of the variant that it came from.
fn reread(draft: &Draft, variant: &str) -> Scenario {
    let text = draft.write();
    let resolved = file(draft.name(), &text).resolve("base", &[]).unwrap_or_else(|errors| {
        panic!("{}\n{text}", errors[0]);
    });
    assert_eq!(resolved.expect, [], "{text}");
    Scenario { variant: variant.to_owned(), ..resolved.scenario }
}

/// The lines of a draft that are not one long sentence.
fn lines(written: &str) -> impl Iterator<Item = &str> {
    let is_sentence =
        |line: &&str| ["    about: ", "    source: "].iter().any(|it| line.starts_with(it));
    written.lines().filter(move |line| !is_sentence(line))
}

#[test]
fn every_shipped_variant_written_out_is_the_same_scenario() {
    for &(name, text) in shipped() {
        let file = file(name, text);
        for variant in file.variants() {
            let draft = file.draft(variant, &[]).expect("it has this variant");
            let original = file.resolve(variant, &[]).expect("it is sound").scenario;
            assert_eq!(reread(&draft, variant), original, "{name}, {variant}");
            let again = self::file(name, &draft.write()).draft("base", &[]).expect("it is sound");
            assert_eq!(again.write(), draft.write(), "{name}, {variant}");
            let written = draft.write();
            let is_long = |line: &&str| line.chars().count() > 100;
            let long: Vec<&str> = lines(&written).filter(is_long).collect();
            assert_eq!(long, [""; 0], "{name}, {variant}");
        }
    }
}

#[test]
fn every_expectation_is_read_back() {
    for &(name, text) in shipped() {
        let file = file(name, text);
        for variant in file.variants() {
            let expect = file.resolve(variant, &[]).expect("it is sound").expect;
            let draft = file.draft(variant, &[]).expect("it has this variant");
            let written = write_expectations(&expect);
            let draft = draft.with("expect", &written).unwrap_or_else(|| panic!("{written}"));
            let again = draft.resolve().unwrap_or_else(|errors| panic!("{}", errors[0]));
            assert_eq!(again.expect, expect, "{name}, {variant}: {written}");
        }
    }
}

#[test]
fn a_variant_with_settings_is_a_file_of_its_own() {
    let file = shipped_file("transactional-copy");
    let sets: Vec<Setting> = vec!["brokers/num.io.threads=2".parse().unwrap()];
    let draft = file.draft("without-rewind", &sets).unwrap();
    expect![[r#"
        Scenario(
            about: "a transactional copy under crashes: every record once, for a read_committed reader",
            source: "kafka-semantics.md, section 3.7; failure cases T5 and T7; KIP-98, KIP-447, KIP-890",
            kafka: "4.1",
            duration: "30s",
            cluster: (
                brokers: 3, mode: KRaft(controllers: 3),
                properties: {
                    "offsets.topic.num.partitions": "3",
                    "transaction.state.log.num.partitions": "3",
                    "num.io.threads": "2",
                },
            ),
            topics: {
                "orders": (partitions: 2, replication_factor: 3, properties: {"min.insync.replicas": "2"}),
                "invoices": (
                    partitions: 2, replication_factor: 3, properties: {"min.insync.replicas": "2"},
                ),
            },
            producers: [(
                name: "shop", topic: "orders", rate: 100, burst: 5, keys: PerBurst,
                properties: {"linger.ms": "0"},
            )],
            readers: [(
                name: "audit", topics: ["invoices"],
                properties: {"isolation.level": "read_committed", "auto.offset.reset": "earliest"},
            )],
            groups: [(
                id: "copy", topics: ["orders"], members: 2, processing: "1ms", commit: InTransaction,
                output: (
                    name: "copier", topic: "invoices", abort: 0.1, rewinds_after_abort: false,
                    properties: {"linger.ms": "0", "transaction.timeout.ms": "10000"},
                ),
                properties: {
                    "isolation.level": "read_committed",
                    "auto.offset.reset": "earliest",
                    "session.timeout.ms": "6000",
                },
            )],
            faults: [
                (every: Uniform("4s", "7s"), until: "28s", fault: Kill(AnyMember("copy")), for: "1s"),
                (at: Uniform("8s", "12s"), fault: Kill(AnyBroker), for: "5s"),
            ],
        )
    "#]]
    .assert_eq(&draft.write());
    assert!(file.draft("no-such-variant", &[]).is_err());
    assert!(file.draft("base", &["producer/acks=1".parse().unwrap()]).is_err());
}

/// A file that gives values by their place, and hardly any.
const TERSE: &str = r#"(
    kafka: "3.9", duration: "1s", cluster: (1, KRaft(1)),
    topics: {"orders": (), "invoices": (2, 1)}, network: (loss: 0.01),
    producers: [("shop", 2, "orders", 1_000)], readers: [("audit", ["orders"])],
)"#;

#[test]
fn parts_are_changed_by_path() {
    let draft = file("terse", TERSE).draft("base", &[]).unwrap();
    assert_eq!(draft.parts("producers/0"), ["name", "count", "topic", "rate"]);
    assert_eq!(draft.parts("topics")[0], "orders");
    assert_eq!(draft.parts("duration"), [""; 0]);
    assert_eq!(draft.value("producers/0/rate").as_deref(), Some("1000"));
    assert_eq!(draft.value("cluster/mode").as_deref(), Some("KRaft(1)"));
    assert_eq!(draft.text("producers/0/topic"), Some("orders"));
    assert_eq!((draft.value("producers/1"), draft.text("no/such/part")), (None, None));
    let changed = draft
        .without("network/loss")
        .and_then(|draft| draft.without("topics/invoices/partitions"))
        .and_then(|draft| draft.without("topics/invoices/replication_factor"))
        .and_then(|draft| draft.with("disk/flush", "Uniform(\"1ms\", \"2ms\")"))
        .and_then(|draft| draft.with("producers/0/rate", "10"))
        .and_then(|draft| draft.with("topics/orders/properties/retention.ms", "\"5\""))
        .and_then(|draft| draft.with_text("about", "tabs\tand \"quotes\""))
        .unwrap();
    expect![[r#"
        Scenario(
            about: "tabs\tand \"quotes\"",
            kafka: "3.9",
            duration: "1s",
            cluster: (brokers: 1, mode: KRaft(1)),
            topics: {"orders": (properties: {"retention.ms": "5"}), "invoices": ()},
            disk: (flush: Uniform("1ms", "2ms")),
            producers: [(name: "shop", count: 2, topic: "orders", rate: 10)],
            readers: [(name: "audit", topics: ["orders"])],
        )
    "#]]
    .assert_eq(&changed.write());
    assert_eq!(draft.without("producers/1"), None);
    assert_eq!(draft.without("topics/orders/partitions"), None);
    assert_eq!(draft.with("producers/7/rate", "10"), None);
    assert_eq!(draft.with("duration", "(not RON"), None);
    assert_eq!(draft.with("duration/of", "1"), None);
}
