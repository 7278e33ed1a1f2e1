//! The page of a run as a file: no name becomes markup, nothing is fetched, the same bytes every
//! time, and small enough. How it looks is checked in a browser (`just verify-browser`).

use acklab_experiment::Case;
use acklab_report::page::run::{LARGEST, report};
use acklab_scenario::{BASE, ScenarioFile};

/// A leader dies. What may hold any text is as hostile as can be; names within a scenario cannot:
/// they have letters and digits only.
const HOSTILE: &str = r#"Scenario(
    about: "</script><script>alert(2)</script><img src=x onerror=alert(3)>",
    source: "<!-- & \" ' ]]> -->",
    kafka: "3.9",
    duration: "2s",
    cluster: (brokers: 3, mode: KRaft(controllers: 3)),
    topics: { "orders": (partitions: 1, replication_factor: 3) },
    producers: [(name: "shop", topic: "orders", rate: 200, properties: {"acks": "1"})],
    groups: [(id: "billing", topics: ["orders"], members: 2, commit: Auto)],
    faults: [(at: "1s", fault: Kill(LeaderOf("orders", 0)))],
    expect: [Lost(AtLeast(1_000_000))],
)"#;

const NAME: &str = "<script>alert(1)</script>";

fn page(name: &str, text: &str, seed: u64) -> String {
    page_of(name, text, BASE, seed)
}

fn page_of(name: &str, text: &str, variant: &str, seed: u64) -> String {
    let file = ScenarioFile::parse(name, None, text).expect("it is a scenario");
    let case = Case::from(file.resolve(variant, &[]).expect("it is sound"));
    let say = |verb: &str, more: &str| format!("acklab {verb} {name} --seed {seed} {more}");
    report(&case, seed, &say).expect("it runs").html
}

#[test]
fn no_name_becomes_markup_and_nothing_is_fetched() {
    let html = page(NAME, HOSTILE, 7);
    assert_nested(&html);
    let scripts = html.matches("<script").count();
    assert_eq!(scripts, 3, "the summary, the state and the slider's");
    assert_eq!(html.matches("</script").count(), scripts);
    for evil in ["<script>alert", "<img", "<!--"] {
        assert!(!html.contains(evil), "{evil} is markup");
    }
    assert!(html.contains("<title>&#60;script&#62;alert(1)"), "the name is there, as text");
    for outside in ["http:", "https:", "//cdn", "@import", "url(", "src=\"", "<link rel=\"style"] {
        assert!(!html.contains(outside), "{outside} asks for something that is not in the file");
    }
}

#[test]
fn a_variant_is_named_at_the_top() {
    let text = HOSTILE
        .replace("expect:", r#"variants: {"safe": (set: {"producers/acks": "all"})}, expect:"#);
    let html = page_of("small", &text, "safe", 7);
    let top = html.split("<h1>").next().unwrap_or_default();
    assert!(top.contains("small · variant safe · seed 7"), "{top}");
    assert!(html.contains("This is its variant safe."));
}

#[test]
fn the_same_run_gives_the_same_bytes() {
    assert_eq!(page(NAME, HOSTILE, 1), page(NAME, HOSTILE, 1));
}

#[test]
fn a_page_of_a_hundred_thousand_records_is_small() {
    let text = r#"Scenario(
        about: "many records, many partitions, two groups",
        kafka: "3.9",
        duration: "10s",
        cluster: (brokers: 5, mode: KRaft(controllers: 3)),
        topics: { "orders": (partitions: 12, replication_factor: 3) },
        producers: [(name: "shop", count: 4, topic: "orders", rate: 2500, properties: {"acks": "1"})],
        groups: [
            (id: "billing", topics: ["orders"], members: 5),
            (id: "audit", topics: ["orders"], members: 3, commit: Auto),
        ],
        faults: [(at: "4s", fault: Kill(LeaderOf("orders", 0)))],
        expect: [],
    )"#;
    let html = page("many", text, 3);
    assert!(html.contains("100,000"), "there are a hundred thousand records");
    assert!(html.len() <= LARGEST, "{} bytes", html.len());
}

/// Faults of several kinds that overlap all the time, transactions, and two groups.
const STORM: &str = r#"Scenario(
    about: "a storm",
    kafka: "4.1",
    duration: "40s",
    cluster: (brokers: 5, mode: KRaft(controllers: 3)),
    topics: {
        "orders": (partitions: 6, replication_factor: 3),
        "invoices": (partitions: 6, replication_factor: 3),
    },
    producers: [(name: "shop", count: 4, topic: "orders", rate: 625, properties: {"acks": "1"})],
    groups: [
        (id: "billing", topics: ["orders"], members: 5, commit: Auto,
         properties: {"session.timeout.ms": "6000"}),
        (id: "copy", topics: ["orders"], members: 3, commit: InTransaction,
         output: (name: "copier", topic: "invoices")),
    ],
    faults: [
        (every: Uniform("20ms", "60ms"), fault: Pause(AnyBroker), for: "30ms"),
        (every: Uniform("50ms", "90ms"), fault: Pause(AnyMember("billing")), for: "200ms"),
        (every: Uniform("1s", "2s"), fault: Kill(AnyMember("billing")), for: "500ms"),
        (every: Uniform("300ms", "700ms"), fault: Isolate(AnyBroker), for: "150ms"),
        (every: Uniform("3s", "5s"), fault: Kill(AnyBroker), for: "1s"),
    ],
    expect: [],
)"#;

#[test]
fn a_page_of_a_storm_is_small_and_says_what_it_leaves_out() {
    let html = page("storm", STORM, 3);
    assert_nested(&html);
    assert!(html.contains("100,000"), "there are a hundred thousand records");
    assert!(html.len() <= LARGEST, "{} bytes", html.len());
    for said in ["in between not seen one by one", "more are not shown", " lines more"] {
        assert!(html.contains(said), "it does not say: {said}");
    }
}

#[test]
fn a_page_of_a_hundred_partitions_on_twelve_brokers_is_small() {
    let text = r#"Scenario(
        about: "many partitions, replicated everywhere",
        kafka: "3.9",
        duration: "10s",
        cluster: (brokers: 12, mode: KRaft(controllers: 3)),
        topics: { "orders": (partitions: 100, replication_factor: 12) },
        producers: [(name: "shop", count: 2, topic: "orders", rate: 1000)],
        groups: [
            (id: "billing", topics: ["orders"], members: 10),
            (id: "audit", topics: ["orders"], members: 12, commit: Auto),
        ],
        faults: [(every: "1s", fault: Kill(AnyBroker), for: "700ms")],
        expect: [],
    )"#;
    let html = page("wide", text, 3);
    assert!(html.len() <= LARGEST, "{} bytes", html.len());
    assert!(html.contains("92 partitions not shown"), "it does not say how many it leaves out");
}

/// Every element that is opened is closed, in order, and `<` and `&` stand for markup only.
fn assert_nested(html: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        let tag_end = rest[start..].find('>').map(|end| start + end).expect("every tag ends");
        let tag = &rest[start + 1..tag_end];
        let name = tag.trim_start_matches('/');
        let name = &name[..name.find([' ', '/', '\n']).unwrap_or(name.len())];
        let context = || &rest[start.saturating_sub(60)..tag_end + 1];
        assert!(name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '!'), "{}", context());
        assert_eq!(tag.matches('"').count() % 2, 0, "{}", context());
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "{}", context());
        } else if !VOID.contains(&name) && !tag.ends_with('/') {
            open.push(name);
        }
        rest = &rest[tag_end + 1..];
        // What is within these is not markup.
        if let Some(&raw @ ("script" | "style")) = open.last() {
            let end = rest.find(&format!("</{raw}")).expect("it is closed");
            rest = &rest[end..];
        }
    }
    assert_eq!(open, Vec::<&str>::new());
}

/// Elements that have no end.
const VOID: [&str; 7] = ["!DOCTYPE", "meta", "link", "input", "br", "hr", "img"];
