//! Diagrams from hand-made lives, and of records of known scenarios.

use acklab_experiment::{Case, representatives};
use acklab_scenario::ScenarioFile;
use acklab_verdict::cause::{Evidence, GroupEvidence};
use acklab_verdict::{AnomalyKind, Cause, Promise};
use acklab_vocab::api::ApiKey;
use acklab_vocab::ids::{BrokerId, EventId, NodeId, ProducerIndex, RecordId};
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::{Edge, EdgeKind};
use expect_test::{Expect, expect};
use std::fmt::Write;

use super::deed::Deed;
use super::story::{STEPS_SHOWN, Told, story};
use super::witness::{Step, Turn};
use super::*;

// ---- a figure as text ---------------------------------------------------------------------------

/// Columns side by side, a row for each instant; messages by the rows of their ends.
fn text_of(model: &LifeModel) -> String {
    let Diagram { columns, rows, messages, copies, deaths, pauses } = &model.diagram;
    let mut text = format!("{:>11} ", "");
    for column in columns {
        let _ = write!(text, " {:^13}", column.name);
    }
    for (index, row) in rows.iter().enumerate() {
        let _ = write!(text, "\n{:<11} ", format!("{:#}", row.at));
        for column in 0..columns.len() {
            let within = |all: &[diagram::Stretch]| {
                all.iter().any(|of| {
                    of.column == column
                        && of.from.is_none_or(|from| from <= index)
                        && of.to.is_none_or(|to| index < to)
                })
            };
            let line = match (within(deaths), within(pauses), within(copies)) {
                (true, _, true) => ":",
                (true, _, false) => " ",
                (_, true, _) => "'",
                (_, _, true) => "║",
                (_, _, false) => "│",
            };
            let here = row.column == Some(column);
            let cell = match &row.step {
                Some(step) if here => format!("{} {}", step.number, step.word),
                None if here => "·".to_owned(),
                Some(_) | None => line.to_owned(),
            };
            let _ = write!(text, " {cell:^13}");
        }
        if let (None, Some(step)) = (row.column, &row.step) {
            let _ = write!(text, " {} {}", step.number, step.text);
        }
        for message in messages.iter().filter(|message| message.to == index) {
            let from = rows[message.from].column.map_or("", |of| &columns[of].name);
            let arrow = if message.is_response { "<··" } else { "<──" };
            let sent = rows[message.from].at;
            let _ = write!(text, " {arrow} {} of {from} at {sent:#}", message.api);
        }
    }
    text.push('\n');
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

// ---- known scenarios ----------------------------------------------------------------------------

fn case(fields: &str) -> Case {
    let text = format!(
        r#"Scenario(about: "a life", kafka: "3.9", network: (latency: Uniform("1ms", "2ms")),
        topics: {{"orders": (assignments: [[1, 2, 3]])}}, {fields})"#
    );
    let file = ScenarioFile::parse("life", None, &text).unwrap_or_else(|error| panic!("{error}"));
    match file.resolve("base", &[]) {
        Ok(resolved) => Case::from(resolved),
        Err(errors) => panic!("{}", errors.iter().map(ToString::to_string).collect::<String>()),
    }
}

/// The first life of each cause of these anomalies.
fn lives(case: &Case, seed: u64, kinds: &[AnomalyKind]) -> Vec<LifeModel> {
    let verdict = case.run(seed).expect("the simulator is sound").verdict;
    let chosen: Vec<Anomaly> =
        representatives(&verdict, kinds, None, false).into_iter().cloned().collect();
    let witnesses = case.watch(seed, Witnesses::new(&chosen)).expect("the simulator is sound");
    let (causality, seen) = witnesses.finish(&verdict);
    seen.iter().map(|seen| model(seen, &causality, &verdict)).collect()
}

const LEADER_CRASH: &str = r#"duration: "1s", cluster: (brokers: 3, mode: KRaft(controllers: 1)),
    producers: [(name: "shop", topic: "orders", rate: 1000, properties: {"acks": "1"})],
    faults: [(at: "500ms", fault: Kill(LeaderOf("orders", 0)))]"#;

fn check_life(fields: &str, seed: u64, kind: AnomalyKind, expected: &Expect) {
    let lives = lives(&case(fields), seed, &[kind]);
    let life = lives.first().unwrap_or_else(|| panic!("seed {seed} has no {}", kind.name()));
    expected.assert_eq(&text_of(life));
}

#[test]
fn a_record_that_is_lost_with_its_leader() {
    check_life(
        LEADER_CRASH,
        3,
        AnomalyKind::Lost,
        &expect![[r#"
                             shop        broker 1      broker 2    controller 1
            0.496232 s     1 created         │             │             │
            0.496232 s      2 sent           │             │             │
            0.498144 s         │        3 appended         │             │       <── Produce of shop at 0.496232 s
            0.498144 s         │         4 answers         │             │
            0.499546 s      5 acked          ║             │             │       <·· Produce of broker 1 at 0.498144 s
            0.500000 s         │          6 stops          │             │
            2.718729 s         │         7 starts          │             │
            8.741087 s         │             ║             │       8 elected without it
            8.741087 s         │             ║             │         9 fences
            9.151529 s         │             ║             │             ·
            9.153136 s         │             ║         10 leads          │       <·· QuorumFetch of controller 1 at 9.151529 s
            9.155172 s         │             ·             │             │
            9.156479 s         │             ║             ·             │       <── Fetch of broker 1 at 9.155172 s
            9.158458 s         │          11 lost          │             │       <·· Fetch of broker 2 at 9.156479 s
        "#]],
    );
}

#[test]
fn a_record_that_is_processed_again_after_a_crash() {
    let fields = r#"duration: "6s", cluster: (brokers: 3, mode: KRaft(controllers: 1)),
        producers: [(name: "shop", topic: "orders", rate: 100)],
        groups: [(id: "billing", topics: ["orders"], members: 2, processing: "20us", commit: Auto)],
        faults: [(at: "3s", fault: Kill(OwnerOf("billing", "orders", 0)), permanent: true)]"#;
    check_life(
        fields,
        1,
        AnomalyKind::Reprocessed,
        &expect![[r#"
                             shop        broker 1      broker 2      broker 3      billing-0     billing-1
            1.022355 s     1 created         │             │             │             │             │
            1.022355 s      2 sent           │             │             │             │             │
            1.023527 s         │        3 appended         │             │             │             │       <── Produce of shop at 1.022355 s
            1.025123 s         │             ║             │             ·             │             │
            1.025140 s         │             ║             ·             │             │             │
            1.026406 s         │             ·             │             │             │             │       <── Fetch of broker 3 at 1.025123 s
            1.027140 s         │             ·             │             │             │             │       <── Fetch of broker 2 at 1.025140 s
            1.028350 s         │             ║             │         4 copied          │             │       <·· Fetch of broker 1 at 1.026406 s
            1.029134 s         │             ║         5 copied          ║             │             │       <·· Fetch of broker 1 at 1.027140 s
            1.029825 s         │         6 learns          ║             ║             │             │       <── Fetch of broker 3 at 1.028350 s
            1.030640 s         │         7 learns          ║             ║             │             │       <── Fetch of broker 2 at 1.029134 s
            1.030640 s         │        8 watermark        ║             ║             │             │
            1.030640 s         │         9 answers         ║             ║             │             │
            1.031694 s     10 acked          ║             ║             ║             │             │       <·· Produce of broker 1 at 1.030640 s
            1.031856 s         │             ║             ║             ║          11 read          │       <·· Fetch of broker 1 at 1.030640 s
            1.031876 s         │             ║             ║             ║       12 processed        │
            3.000000 s         │             ║             ║             ║         13 stops          │
            47.016087 s        │        14 removes         ║             ║                           │
            47.016087 s        │       15 rebalance        ║             ║                           │
            47.023791 s        │             ║             ║             ·                           │
            47.025563 s        │             ·             ║             ║                           │       <── Fetch of broker 3 at 47.023791 s
            47.026870 s        │             ║             ║             ║                        16 owns    <·· SyncGroup of broker 1 at 47.025563 s
            47.027949 s        │             ·             ║             ║                           │       <── OffsetFetch of billing-1 at 47.026870 s
            47.029824 s        │             ║             ║             ║                      17 position  <·· OffsetFetch of broker 1 at 47.027949 s
            47.036019 s        │             ║             ║             ║                           ·
            47.037885 s        │             ·             ║             ║                           │       <── Fetch of billing-1 at 47.036019 s
            47.039631 s        │             ║             ║             ║                        18 read    <·· Fetch of broker 1 at 47.037885 s
            47.040631 s        │             ║             ║             ║                     19 processed again
        "#]],
    );
}

// ---- hand-made lives ----------------------------------------------------------------------------

fn node(name: &str) -> acklab_vocab::trace::NodeHeader {
    acklab_vocab::trace::NodeHeader {
        name: name.to_owned(),
        broker: name.starts_with("broker").then_some(BrokerId(1)),
        controller: None,
        zookeeper: None,
        producer: (name == "shop").then_some((ProducerIndex(0), 0)),
        reader: None,
        member: None,
    }
}

fn step(event: u64, millis: i64, node: u16, deed: Deed) -> Step {
    Step {
        at: SimTime::from_millis(millis),
        event: EventId(event),
        node: NodeId(node),
        deed: Some(deed),
        place: format!("process {node}"),
        text: deed.word().to_owned(),
        holders: (deed == Deed::Dropped).then(|| "on no broker".to_owned()),
    }
}

fn lost(steps: Vec<Step>) -> Seen {
    let record = RecordId { producer: ProducerIndex(0), sequence: 1 };
    let life = acklab_verdict::Life {
        record: "shop#1".to_owned(),
        lines: Vec::new(),
        left_out: 0,
        ending: Vec::new(),
    };
    let anomaly = Anomaly {
        record,
        kind: AnomalyKind::Lost,
        group: None,
        cause: Cause::AckedBeforeReplication,
        promise: Promise::Kept,
        partition: None,
        offset: None,
        epoch: None,
        evidence: Evidence { group: GroupEvidence::default(), ..Evidence::default() },
    };
    Seen { anomaly, life, steps, turns: [].into() }
}

fn causality(events: &[(u64, u64, i64, u16, EdgeKind)]) -> Causality {
    let mut causality = Causality::default();
    for &(id, cause, millis, node, kind) in events {
        let (id, cause) = (EventId(id), EventId(cause));
        causality.edge(&Edge {
            id,
            cause,
            at: SimTime::from_millis(millis),
            node: NodeId(node),
            kind,
        });
    }
    causality.finish();
    causality
}

const TIMER: EdgeKind = EdgeKind::Timer;

fn request(from: u16, api: ApiKey) -> EdgeKind {
    EdgeKind::Request { from: NodeId(from), api }
}

fn response(from: u16, api: ApiKey) -> EdgeKind {
    EdgeKind::Response { from: NodeId(from), api }
}

fn told(seen: &Seen, causality: &Causality) -> Vec<usize> {
    let step = |told: Told| match told {
        Told::Step(index, _) => Some(index),
        Told::Setting(_) | Told::LeftOut(_) => None,
    };
    story(seen, causality).told.into_iter().filter_map(step).collect()
}

#[test]
fn only_the_causal_past_of_the_promise_and_the_end_is_told() {
    let causality = causality(&[
        (1, 0, 1, 0, TIMER),
        (2, 1, 2, 1, request(0, ApiKey::Produce)),
        (3, 2, 3, 0, response(1, ApiKey::Produce)),
        // Another broker does something of its own, and so does the producer afterwards.
        (4, 0, 4, 2, TIMER),
        (5, 0, 5, 1, TIMER),
        (6, 0, 6, 0, TIMER),
    ]);
    let seen = lost(vec![
        step(1, 1, 0, Deed::Created),
        step(2, 2, 1, Deed::Appended),
        step(3, 3, 0, Deed::Acked),
        step(4, 4, 2, Deed::Leads),
        step(5, 5, 1, Deed::Dropped),
        step(6, 6, 0, Deed::Sent),
    ]);
    assert_eq!(told(&seen, &causality), [0, 1, 2, 4]);
    // A trace without edges: what came before the end is told.
    assert_eq!(told(&seen, &Causality::default()), [0, 1, 2, 3, 4]);
}

#[test]
fn what_the_world_does_reaches_everybody() {
    let causality = causality(&[
        (1, 0, 1, 0, TIMER),
        (2, 0, 2, u16::MAX, EdgeKind::World),
        (3, 0, 3, 1, TIMER),
        (4, 0, 4, u16::MAX, EdgeKind::World),
    ]);
    let seen = lost(vec![
        step(1, 1, 0, Deed::Acked),
        step(2, 2, 2, Deed::Stopped),
        step(3, 3, 1, Deed::Dropped),
        step(4, 4, 2, Deed::Started),
    ]);
    assert_eq!(told(&seen, &causality), [0, 1, 2]);
}

#[test]
fn repetitions_and_more_than_forty_steps_are_counted() {
    let mut steps = vec![step(0, 0, 0, Deed::Created)];
    for millis in 1..400 {
        steps.push(step(millis, millis as i64, (millis % 2) as u16, Deed::Retried));
    }
    steps.push(step(400, 400, 0, Deed::Acked));
    steps.push(step(401, 401, 1, Deed::Dropped));
    let seen = lost(steps);
    let story = story(&seen, &Causality::default());
    // Three of each process and the last one of each.
    assert_eq!(told(&seen, &Causality::default()), [0, 1, 2, 3, 4, 5, 6, 398, 399, 400, 401]);
    assert!(story.told.contains(&Told::LeftOut(391)), "{story:?}");
    let lines = diagram::text(&seen, &story);
    assert!(lines.iter().any(|line| line.text == "391 smaller steps not shown"));

    let many = (0..90).map(|node| step(node, node as i64, node as u16, Deed::Copied));
    let mut steps: Vec<Step> = many.collect();
    steps.push(step(100, 100, 0, Deed::Acked));
    steps.push(step(101, 101, 1, Deed::Dropped));
    let told = told(&lost(steps), &Causality::default());
    assert_eq!(told.len(), STEPS_SHOWN);
    assert_eq!(told[STEPS_SHOWN - 2..], [90, 91], "promise and end are never left out");
}

#[test]
fn a_chain_of_messages_is_drawn_if_it_is_short() {
    // A request, its answer, and before them many more of which the record knows nothing.
    let mut events = vec![(1, 0, 1, 0, TIMER)];
    for round in 1..20_u64 {
        let (id, millis) = (2 * round, round as i64 * 10);
        events.push((id, id - 1, millis, 1, request(0, ApiKey::Fetch)));
        events.push((id + 1, id, millis + 1, 0, response(1, ApiKey::Fetch)));
    }
    let causality = causality(&events);
    let seen = lost(vec![step(1, 1, 0, Deed::Acked), step(39, 191, 0, Deed::Dropped)]);
    let header = header();
    let shown = diagram::diagram(&seen, &story(&seen, &causality), &causality, &header);
    let model = LifeModel { record: "shop#1".to_owned(), diagram: shown, steps: Vec::new() };
    expect![[r#"
                         shop        broker 1
        0.001000 s      1 acked          │
        0.181000 s         ·             │
        0.190000 s         │             ·       <── Fetch of shop at 0.181000 s
        0.191000 s      2 lost           │       <·· Fetch of broker 1 at 0.190000 s
    "#]]
    .assert_eq(&text_of(&model));
    assert_eq!(model.diagram.rows.last().unwrap().step.as_ref().unwrap().unseen_messages, 36);
}

#[test]
fn who_was_dead_or_stood_still_before_the_first_step_is_drawn_so() {
    let turn = |millis, node, deed| Turn {
        at: SimTime::from_millis(millis),
        event: EventId(1_000 + millis as u64),
        node: NodeId(node),
        deed,
    };
    let causality = causality(&[(1, 0, 10, 0, TIMER), (2, 0, 20, 1, TIMER), (3, 0, 30, 2, TIMER)]);
    let mut seen = lost(vec![
        step(1, 10, 0, Deed::Acked),
        step(2, 20, 1, Deed::Leads),
        step(3, 30, 2, Deed::Copied),
        step(2, 40, 1, Deed::Dropped),
    ]);
    // Broker 1 stood still before and does so again at the end; broker 2 was killed while it did.
    seen.turns = [
        turn(1, 1, Deed::Paused),
        turn(2, 1, Deed::Resumed),
        turn(3, 2, Deed::Paused),
        turn(4, 2, Deed::Stopped),
        turn(5, 1, Deed::Paused),
        turn(15, 1, Deed::Resumed),
        turn(25, 2, Deed::Started),
        turn(50, 1, Deed::Paused),
    ]
    .into();
    let shown =
        diagram::diagram(&seen, &story(&seen, &Causality::default()), &causality, &header());
    let model = LifeModel { record: "shop#1".to_owned(), diagram: shown, steps: Vec::new() };
    expect![[r#"
                         shop        broker 1      broker 2
        0.010000 s      1 acked          '
        0.020000 s         │          2 leads
        0.030000 s         │             │         3 copied
        0.040000 s         │          4 lost           ║
    "#]]
    .assert_eq(&text_of(&model));
}

fn header() -> acklab_vocab::trace::RunHeader {
    let verdict = case(LEADER_CRASH).run(3).expect("the simulator is sound").verdict;
    acklab_vocab::trace::RunHeader {
        nodes: vec![node("shop"), node("broker 1"), node("broker 2")],
        ..verdict.header
    }
}

// ---- as HTML ------------------------------------------------------------------------------------

#[test]
fn nothing_in_a_life_can_be_markup() {
    let hostile = "<script>alert(1)</script>";
    let mut seen = lost(vec![step(1, 1, 0, Deed::Acked), step(2, 2, 1, Deed::Dropped)]);
    seen.life.record = format!("{hostile}#1");
    for step in &mut seen.steps {
        step.text = hostile.to_owned();
        step.place = hostile.to_owned();
    }
    let mut verdict = case(LEADER_CRASH).run(3).expect("the simulator is sound").verdict;
    verdict.header.nodes = vec![node(hostile), node(hostile)];
    let figure = life_figure(0, &seen, &Causality::default(), &verdict);
    let html = figure.figure.to_string();
    assert!(!html.contains("<script"), "{html}");
    assert!(html.contains("&lt;script&gt;"), "{html}");
}
