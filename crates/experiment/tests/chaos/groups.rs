//! Random consumer applications: every library and version, both protocols, every way to commit, members that come and go;
//! and a producer with transactions. Drawn apart from the rest of a case.

use crate::dice::Dice;
use std::fmt::Write;

#[derive(Clone, Debug)]
pub struct Group {
    pub name: String,
    pub text: String,
    /// What it writes need not be stored once.
    pub has_output: bool,
    /// It may never be done: too slow, or struck down by the same record again and again.
    pub may_lag: bool,
}

/// What the groups are drawn for.
pub struct Around<'c> {
    pub kafka: &'c str,
    pub partitions: u64,
    pub seconds: u64,
    /// Records per second of all producers.
    pub offered: u64,
    /// Names of producers.
    pub producers: &'c [(String, u64)],
}

/// Who reads, with what its properties may be.
struct Client {
    text: String,
    /// Version of Java as minor releases; `None` for others.
    java: Option<(u64, u64)>,
    static_members: bool,
    isolation: bool,
    assignors: &'static [&'static str],
}

const MODERN: &[&str] = &[
    "range",
    "roundrobin",
    "sticky",
    "cooperative-sticky",
    "cooperative-sticky",
    "range,roundrobin",
];

fn client(dice: &mut Dice, kafka: &str) -> Client {
    let java = |text: &str| {
        let (major, minor) = text.split_once('.').expect("a version");
        let version = match minor.split_once('.') {
            // 0.10.1 is 0, 101.
            Some((minor, patch)) => (
                0,
                minor.parse::<u64>().expect("a number") * 10
                    + patch.parse::<u64>().expect("a number"),
            ),
            None => (major.parse().expect("a number"), minor.parse().expect("a number")),
        };
        let assignors: &[&str] = match version {
            (0, 0..110) => &["range", "roundrobin"],
            (0, _) | (1, _) | (2, 0..4) => &["range", "roundrobin", "sticky"],
            _ => MODERN,
        };
        Client {
            text: format!("Java({text:?})"),
            java: Some(version),
            static_members: version >= (2, 3),
            isolation: version >= (0, 110),
            assignors,
        }
    };
    let before_4 = kafka.starts_with('3');
    match dice.below(10) {
        0 => Client {
            text: "Librdkafka".to_owned(),
            java: None,
            static_members: true,
            isolation: true,
            assignors: &["range", "roundrobin", "cooperative-sticky", "range,roundrobin"],
        },
        1 => Client {
            text: "KafkaPython".to_owned(),
            java: None,
            static_members: false,
            isolation: false,
            assignors: &["range", "roundrobin", "sticky"],
        },
        2 | 3 if before_4 => java(dice.among(&["0.10.0", "0.10.1", "0.11.0", "1.0", "1.1"])),
        2..=4 => java(dice.among(&["2.1", "2.3", "2.4", "2.5", "3.1", "3.2", "3.5"])),
        _ => java(kafka),
    }
}

pub fn groups(dice: &mut Dice, around: &Around<'_>) -> Vec<Group> {
    let count = dice.among(&[0, 1, 1, 2, 2, 3]);
    let shares = dice.percent(15);
    (0..count).map(|index| group(dice, around, index, shares)).collect()
}

fn group(dice: &mut Dice, around: &Around<'_>, index: u64, shares: bool) -> Group {
    let name = format!("group{index}");
    let id = if shares { "shared".to_owned() } else { name.clone() };
    let client = client(dice, around.kafka);
    let assigns = dice.percent(12);
    let is_current = client.text == format!("Java({:?})", around.kafka);
    let in_transaction = is_current && !assigns && dice.percent(15);
    let styles = [
        "Auto",
        "Auto",
        "SyncPerBatch",
        "SyncPerBatch",
        "SyncPerRecord",
        "Async",
        "AsyncRetried",
        "AsyncThenSync",
        "BeforeProcessing",
        "HandedToWorkers(2)",
        "Never",
    ];
    let commit = if in_transaction { "InTransaction" } else { dice.among(&styles) };
    let (processing, micros) = processing(dice, around);
    let mut text = format!("(name: \"{name}\", id: \"{id}\", topics: [\"orders\"]");
    let mut set = |more: String| write!(text, ", {more}").expect("a string takes any text");
    set(format!("members: {}", dice.among(&[1, 1, 2, 2, 3, 5])));
    set(format!("processing: {processing}, commit: {commit}, client: {}", client.text));
    if assigns {
        set("assign: true".to_owned());
    }
    if dice.percent(30) {
        set(format!("from: \"{}ms\"", dice.below(around.seconds * 1_000)));
        if dice.percent(50) {
            set("stagger: \"700ms\"".to_owned());
        }
    }
    let reaction = dice.among(&["Stop", "Resubscribe", "Ignore", "Ignore"]);
    set(format!("on_commit_failure: {reaction}"));
    if dice.percent(20) {
        set(format!("poll_timeout: \"{}\"", dice.among(&["0ms", "1ms", "1s"])));
    }
    let has_output = in_transaction || dice.percent(10);
    if has_output {
        let abort = if in_transaction { ", abort: 0.2" } else { "" };
        set(format!("output: (name: \"output{index}\", topic: \"copies\"{abort})"));
    }
    let (properties, is_slow) = properties(dice, around, &client, assigns);
    set(format!("properties: {{{properties}}}"));
    text.push(')');
    let waits = is_slow || ["SyncPerRecord", "SyncPerBatch", "BeforeProcessing"].contains(&commit);
    let may_lag = micros * around.offered > 300_000 || waits || in_transaction || shares;
    Group { name, text, has_output, may_lag }
}

/// In RON, and the microseconds of a record as far as they are known.
fn processing(dice: &mut Dice, around: &Around<'_>) -> (String, u64) {
    match dice.below(8) {
        0..=3 => ("\"20us\"".to_owned(), 20),
        4 => ("\"1ms\"".to_owned(), 1_000),
        5 => ("Exponential(\"5ms\")".to_owned(), 5_000),
        6 => {
            let slow = "slow: (from: \"1s\", until: \"4s\", per_record: \"200ms\")";
            (format!("(per_record: \"50us\", {slow})"), u64::MAX >> 32)
        }
        _ => {
            let (producer, _) = dice.among(around.producers);
            let number = dice.among(&[0, 3, 30]);
            let effect = dice.among(&["Takes(\"4s\")", "Takes(\"12s\")", "Crashes(\"1s\")"]);
            let poison = format!("[(record: \"{producer}#{number}\", effect: {effect})]");
            (format!("(per_record: \"20us\", poison: {poison})"), u64::MAX >> 32)
        }
    }
}

/// In RON, and whether they make it slow.
fn properties(
    dice: &mut Dice,
    around: &Around<'_>,
    client: &Client,
    assigns: bool,
) -> (String, bool) {
    let mut pairs: Vec<(&str, String)> = Vec::new();
    let reset = dice.among(&["earliest", "latest"]);
    pairs.push(("auto.offset.reset", reset.to_owned()));
    let kafka = around.kafka;
    let speaks_848 = client.java.is_some_and(|java| java >= (4, 0)) || client.java.is_none();
    let mut protocol = "classic";
    if kafka >= "4.0" && speaks_848 && client.text != "KafkaPython" && !assigns && dice.percent(40)
    {
        protocol = "consumer";
        pairs.push(("group.protocol", protocol.to_owned()));
        if dice.percent(50) {
            pairs.push(("group.remote.assignor", dice.among(&["range", "uniform"]).to_owned()));
        }
    }
    if protocol == "classic" {
        let (session, heartbeat) =
            dice.among(&[("6000", "2000"), ("6000", "3000"), ("10000", "3000")]);
        pairs.push(("session.timeout.ms", session.to_owned()));
        pairs.push(("heartbeat.interval.ms", heartbeat.to_owned()));
        if dice.percent(60) {
            let assignor = dice.among(client.assignors).to_owned();
            pairs.push(("partition.assignment.strategy", assignor));
        }
    }
    if client.static_members && !assigns && dice.percent(25) {
        pairs.push(("group.instance.id", "member".to_owned()));
    }
    if client.isolation && dice.percent(40) {
        pairs.push(("isolation.level", "read_committed".to_owned()));
    }
    let mut is_slow = false;
    if client.text != "Librdkafka" && dice.percent(30) {
        let records = dice.among(&["1", "10", "100"]);
        is_slow = records != "100";
        pairs.push(("max.poll.records", records.to_owned()));
    }
    let has_interval = client.java.is_none_or(|java| java >= (0, 101));
    if has_interval && dice.percent(25) {
        is_slow = true;
        pairs.push(("max.poll.interval.ms", dice.among(&["6000", "10000"]).to_owned()));
        if client.text == "Librdkafka" && protocol == "classic" {
            pairs.retain(|(name, _)| *name != "session.timeout.ms");
            pairs.push(("session.timeout.ms", "6000".to_owned()));
        }
    }
    let list: Vec<String> =
        pairs.iter().map(|(name, value)| format!("\"{name}\": \"{value}\"")).collect();
    (list.join(", "), is_slow)
}

/// A producer with transactions. Where packets get lost, one takes seconds: five messages in turn.
pub fn transactional_producer(dice: &mut Dice, kafka: &str, is_slow: bool) -> String {
    let version = if dice.percent(30) { dice.among(&["2.1", "2.5", "2.8", "3.2"]) } else { kafka };
    let rate = dice.among(&[5, 20, 100]);
    let rate = if is_slow { 1 } else { rate };
    let burst = dice.among(&[1, 5, 20]);
    let (bursts, abort) = (dice.between(1, 6), dice.among(&["0.0", "0.2", "0.5"]));
    let (request, delivery) =
        dice.among(&[("30000", "120000"), ("1000", "3000"), ("500", "10000")]);
    let timeout = dice.among(&["3000", "10000"]);
    format!(
        "(name: \"bank\", topic: \"orders\", rate: {rate}, burst: {burst}, client: \
         Java({version:?}), transaction: (bursts: {bursts}, abort: {abort}), properties: \
         {{\"transactional.id\": \"bank\", \"transaction.timeout.ms\": \"{timeout}\", \
         \"request.timeout.ms\": \"{request}\", \"delivery.timeout.ms\": \"{delivery}\", \
         \"linger.ms\": \"0\"}})"
    )
}

/// A fault on members or coordinators.
pub fn fault(dice: &mut Dice, groups: &[Group], around: &Around<'_>, index: u64) -> String {
    let group = &dice.among(groups);
    let (name, partition) = (&group.name, dice.below(around.partitions));
    let id = if group.text.contains("\"shared\"") { "shared" } else { name };
    let member = match dice.below(4) {
        0 => format!("Member(\"{name}\")"),
        1 => format!("Member(\"{name}\", 0)"),
        2 => format!("OwnerOf(\"{name}\", \"orders\", {partition})"),
        _ => format!("AnyMember(\"{name}\")"),
    };
    let coordinator = format!("CoordinatorOf(\"{id}\")");
    let api = dice.among(&[
        "OffsetCommit",
        "Heartbeat",
        "JoinGroup",
        "SyncGroup",
        "OffsetFetch",
        "Fetch",
    ]);
    let (fault, has_end) = match dice.below(14) {
        0 | 1 => (format!("Kill({member})"), true),
        2 | 3 => (format!("Pause({member})"), true),
        4 => (format!("ControlledShutdown({member})"), true),
        5 => (format!("Kill({coordinator})"), true),
        6 => (format!("Pause({coordinator})"), true),
        7 => (format!("Partition({member}, {coordinator})"), true),
        8 => (format!("OneWay({coordinator}, {member})"), true),
        9 => (format!("Isolate({member})"), true),
        10 => {
            let then = dice.among(&["Stall", "Reset"]);
            let share = dice.among(&["0.3", "1"]);
            (
                format!(
                    "DropResponses(from: {coordinator}, to: Clients, share: {share}, then: {then}, \
                     apis: {api})"
                ),
                true,
            )
        }
        11 => {
            let by = dice.among(&["\"1s\"", "\"4s\"", "\"12s\""]);
            (format!("StallRequests(from: {member}, to: Brokers, api: {api}, by: {by})"), true)
        }
        12 => (format!("RollingRestart(group: \"{name}\", down: \"1s\", between: \"2s\")"), false),
        _ => (format!("Scale(\"{name}\", {})", dice.between(1, 4)), false),
    };
    let when = match dice.below(6) {
        0..=2 => format!("at: \"{}ms\"", dice.below(around.seconds * 1_000)),
        3 => format!("every: Uniform(\"2s\", \"9s\"), first: \"{}ms\"", dice.below(3_000)),
        4 => format!("after: RebalanceStarted(\"{id}\", {})", dice.between(1, 3)),
        _ => format!("after: GroupStable(\"{id}\", {}), delay: \"3ms\"", dice.between(1, 3)),
    };
    let lasting = dice.among(&["200ms", "1s", "4s", "8s", "14s"]);
    let lasting = if has_end { format!(", for: \"{lasting}\"") } else { String::new() };
    format!("(name: \"m{index}\", {when}, fault: {fault}{lasting})")
}
