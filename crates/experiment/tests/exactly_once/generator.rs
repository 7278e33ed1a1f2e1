//! Random transactional copies as RON text: `orders` is copied to `invoices` in transactions, perhaps from there to
//! `ledger` as well, and a reader of committed records audits the end. Whatever strikes, no host but one ever loses its
//! power, so that nothing committed may be lost.

use crate::dice::Dice;
use std::fmt::Write;

/// A scenario in pieces, so that faults can be left out.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Everything but faults.
    pub frame: String,
    /// Each with its name.
    pub faults: Vec<String>,
}

impl Plan {
    pub fn text(&self) -> String {
        let lines: Vec<String> =
            self.faults.iter().map(|fault| format!("        {fault},\n")).collect();
        format!("Scenario(\n{}    faults: [\n{}    ],\n)\n", self.frame, lines.concat())
    }
}

/// What a fault may name.
struct Cast {
    brokers: u64,
    controllers: u64,
    partitions: u64,
    seconds: u64,
    /// The one host that may lose power.
    powerless: u64,
    /// The applications that copy: name, name of the output, members.
    copies: Vec<(&'static str, &'static str, u64)>,
}

pub fn plan(case: u64) -> Plan {
    let dice = &mut Dice::new(case ^ 0x0e05_0000_0000);
    let brokers = dice.among(&[3, 3, 3, 4, 5]);
    let controllers = dice.among(&[1, 3, 3]);
    let partitions = dice.between(1, 4);
    let seconds = dice.among(&[10, 15, 20, 30]);
    let mut frame = String::new();
    let mut line = |text: String| writeln!(frame, "    {text},").expect("a string takes any text");
    line("kafka: \"4.1\"".to_owned());
    line(format!("duration: \"{seconds}s\""));
    let combined = dice.percent(30);
    let kept = dice.percent(30);
    line(format!(
        "cluster: (brokers: {brokers}, mode: KRaft(controllers: {controllers}, combined: \
         {combined}), properties: {{\"offsets.topic.num.partitions\": \"{}\", \
         \"transaction.state.log.num.partitions\": \"{}\", \"min.insync.replicas\": \"2\"{}{}}})",
        dice.between(1, 3),
        dice.between(1, 3),
        if kept { ", \"replica.lag.time.max.ms\": \"3000\"" } else { "" },
        if dice.percent(20) { ", \"group.initial.rebalance.delay.ms\": \"0\"" } else { "" },
    ));
    let topic = |partitions: u64| {
        format!(
            "(partitions: {partitions}, replication_factor: 3, properties: \
             {{\"min.insync.replicas\": \"2\"}})"
        )
    };
    line(format!(
        "topics: {{\"orders\": {}, \"invoices\": {}, \"ledger\": {}}}",
        topic(partitions),
        topic(dice.between(1, 4)),
        topic(dice.between(1, 3))
    ));
    line(network(dice));
    line(format!("producers: [{}]", source(dice)));
    line(
        "readers: [(name: \"audit\", topics: [\"invoices\", \"ledger\"], properties: \
         {\"isolation.level\": \"read_committed\", \"auto.offset.reset\": \"earliest\"})]"
            .to_owned(),
    );
    let mut copies = vec![("copy", "copier", dice.between(1, 3))];
    let mut groups = vec![copying(dice, copies[0], "orders", "invoices")];
    if dice.percent(40) {
        let second = ("book", "booker", dice.between(1, 2));
        groups.push(copying(dice, second, "invoices", "ledger"));
        copies.push(second);
    } else if dice.percent(50) {
        groups.push(
            "(id: \"billing\", topics: [\"invoices\"], members: 1, commit: SyncPerBatch, \
             on_commit_failure: Ignore, properties: {\"isolation.level\": \"read_committed\", \
             \"auto.offset.reset\": \"earliest\", \"session.timeout.ms\": \"6000\"})"
                .to_owned(),
        );
    }
    line(format!("groups: [\n        {}\n    ]", groups.join(",\n        ")));
    let powerless = dice.between(1, brokers);
    let cast = Cast { brokers, controllers, partitions, seconds, powerless, copies };
    let count = dice.between(1, 6);
    let faults = (0..count).map(|index| fault(dice, &cast, index)).collect();
    Plan { frame, faults }
}

fn network(dice: &mut Dice) -> String {
    let latency = dice.among(&[
        "\"500us\"",
        "Uniform(\"1ms\", \"4ms\")",
        "LogNormal(median: \"180us\", p99: \"750us\")",
        "Exponential(\"3ms\")",
        "Pareto(scale: \"300us\", shape: 2)",
    ]);
    let loss = if dice.percent(25) { ", loss: 0.01" } else { "" };
    format!("network: (latency: {latency}{loss})")
}

/// The records to copy, in transactions or not.
fn source(dice: &mut Dice) -> String {
    let rate = dice.among(&[5, 20, 100]);
    let burst = dice.among(&[1, 5, 20]);
    let keys = dice.among(&["None", "PerBurst", "Among(7)", "Unique"]);
    let transactions = match dice.percent(35) {
        true => {
            let (bursts, abort) = (dice.between(1, 5), dice.among(&["0.0", "0.1", "0.4"]));
            format!(
                "transaction: (bursts: {bursts}, abort: {abort}), properties: \
                 {{\"transactional.id\": \"shop\", \"transaction.timeout.ms\": \"8000\"}}"
            )
        }
        false => "properties: {\"linger.ms\": \"0\"}".to_owned(),
    };
    format!(
        "(name: \"shop\", topic: \"orders\", rate: {rate}, burst: {burst}, keys: {keys}, \
         {transactions})"
    )
}

/// A group that reads, processes and writes in transactions.
fn copying(
    dice: &mut Dice,
    (name, output, members): (&str, &str, u64),
    from: &str,
    to: &str,
) -> String {
    let processing = dice.among(&[
        "\"20us\"",
        "\"1ms\"",
        "Exponential(\"3ms\")",
        "Uniform(\"0ms\", \"20ms\")",
        "(per_record: \"1ms\", slow: (from: \"3s\", until: \"6s\", per_record: \"40ms\"))",
    ]);
    let abort = dice.among(&["0.0", "0.0", "0.1", "0.4"]);
    let timeout = dice.among(&["3000", "10000", "10000", "60000"]);
    let request = dice.among(&["500", "2000", "30000", "30000"]);
    let poll = dice.among(&["1", "20", "500", "500"]);
    let mut properties = format!(
        "\"isolation.level\": \"read_committed\", \"auto.offset.reset\": \"earliest\", \
         \"max.poll.records\": \"{poll}\""
    );
    let mut set = |text: String| write!(properties, ", {text}").expect("a string takes any text");
    let is_classic = dice.percent(60);
    if !is_classic {
        set("\"group.protocol\": \"consumer\"".to_owned());
        if dice.percent(50) {
            let assignor = dice.among(&["range", "uniform"]);
            set(format!("\"group.remote.assignor\": \"{assignor}\""));
        }
    } else {
        let (session, heartbeat) = dice.among(&[("6000", "2000"), ("10000", "3000")]);
        set(format!(
            "\"session.timeout.ms\": \"{session}\", \"heartbeat.interval.ms\": \"{heartbeat}\""
        ));
        if dice.percent(60) {
            let assignor = dice.among(&["range", "roundrobin", "sticky", "cooperative-sticky"]);
            set(format!("\"partition.assignment.strategy\": \"{assignor}\""));
        }
    }
    // With the other protocol a static member that was killed is refused until its session is over
    // (UNRELEASED_INSTANCE_ID), and its application gives up.
    if dice.percent(25) && is_classic {
        set(format!("\"group.instance.id\": \"{name}\""));
    }
    // A batch that takes longer than that is never done.
    if dice.percent(25) && poll != "500" {
        set("\"max.poll.interval.ms\": \"3000\"".to_owned());
    }
    format!(
        "(id: \"{name}\", topics: [\"{from}\"], members: {members}, processing: {processing}, \
         commit: InTransaction, output: (name: \"{output}\", topic: \"{to}\", abort: {abort}, \
         properties: {{\"linger.ms\": \"0\", \"transaction.timeout.ms\": \"{timeout}\", \
         \"request.timeout.ms\": \"{request}\", \"delivery.timeout.ms\": \"120000\"}}), \
         properties: {{{properties}}})"
    )
}

fn fault(dice: &mut Dice, cast: &Cast, index: u64) -> String {
    let (kind, has_end) = kind(dice, cast);
    let millis = cast.seconds * 1_000;
    let (group, output, members) = dice.among(&cast.copies);
    let id = if members == 1 { output.to_owned() } else { format!("{output}-0") };
    let when = match dice.below(12) {
        0..=4 => format!("at: \"{}ms\"", dice.below(millis)),
        5 | 6 => {
            let period = dice.among(&["Uniform(\"2s\", \"6s\")", "Exponential(\"4s\")", "\"5s\""]);
            format!("every: {period}, first: \"{}ms\"", dice.below(millis))
        }
        7 => format!("after: Processed(\"{group}\", \"{}\")", record(dice, group)),
        8 => format!("after: Appended(\"{}\")", copied(dice, output)),
        9 => format!("after: TransactionBegun(\"{id}\", {})", dice.between(1, 20)),
        10 => format!("after: RebalanceStarted(\"{group}\", 1)"),
        _ => format!("after: GroupStable(\"{group}\", 1)"),
    };
    let delay = match when.starts_with("after") && dice.percent(60) {
        true => format!(", delay: \"{}ms\"", dice.among(&[1, 3, 10, 200])),
        false => String::new(),
    };
    let lasting = match has_end {
        true => format!(", for: {}", lasting(dice)),
        false => String::new(),
    };
    format!("(name: \"f{index}\", {when}{delay}, fault: {kind}{lasting})")
}

/// A record that the group reads.
fn record(dice: &mut Dice, group: &str) -> String {
    let producer = if group == "copy" { "shop" } else { "copier" };
    format!("{producer}#{}", dice.among(&[0, 5, 20, 60]))
}

/// A record that the group writes.
fn copied(dice: &mut Dice, output: &str) -> String {
    format!("{output}#{}", dice.among(&[0, 5, 20, 60]))
}

fn lasting(dice: &mut Dice) -> &'static str {
    dice.among(&[
        "\"200ms\"",
        "\"1s\"",
        "\"4s\"",
        "\"12s\"",
        "Uniform(\"10ms\", \"3s\")",
        "Uniform(\"1s\", \"15s\")",
        "Exponential(\"2s\")",
    ])
}

/// What strikes, and whether it ends by itself.
fn kind(dice: &mut Dice, cast: &Cast) -> (String, bool) {
    let (group, _, members) = dice.among(&cast.copies);
    let span = dice.among(&["\"50ms\"", "Uniform(\"0ms\", \"2s\")", "Exponential(\"1s\")"]);
    let fault = match dice.below(24) {
        0..=3 => format!("Kill({})", member(dice, cast)),
        4..=6 => format!("Pause({})", member(dice, cast)),
        7 => format!("ControlledShutdown({})", member(dice, cast)),
        8..=10 => format!("Kill({})", server(dice, cast)),
        11 | 12 => format!("Pause({})", server(dice, cast)),
        13 => format!("PowerLoss(Broker({}))", cast.powerless),
        14 => format!("ControlledShutdown(Broker({}))", dice.between(1, cast.brokers)),
        15 => format!("Partition({}, {})", member(dice, cast), server(dice, cast)),
        16 => format!("Isolate({})", anybody(dice, cast)),
        17 => format!("OneWay({}, {})", anybody(dice, cast), server(dice, cast)),
        18 => format!("LinkDelay({}, Brokers, {span})", member(dice, cast)),
        19 | 20 => {
            let share = dice.among(&["0.1", "0.5", "1"]);
            let then = dice.among(&["Stall", "Reset"]);
            format!(
                "DropResponses(from: Brokers, to: Clients, share: {share}, then: {then}, apis: {})",
                dice.among(APIS)
            )
        }
        21 | 22 => {
            let by = dice.among(&["\"1s\"", "\"3s\"", "\"12s\"", "Uniform(\"100ms\", \"8s\")"]);
            let first = dice.between(1, 3);
            format!("StallRequests(api: {}, by: {by}, first: {first})", dice.among(APIS))
        }
        _ => return (without_end(dice, group, members), false),
    };
    (fault, true)
}

const APIS: &[&str] = &[
    "Produce",
    "EndTxn",
    "AddOffsetsToTxn",
    "TxnOffsetCommit",
    "InitProducerId",
    "OffsetFetch",
    "FindCoordinator",
    "Heartbeat",
    "Fetch",
];

fn without_end(dice: &mut Dice, group: &str, members: u64) -> String {
    match dice.below(3) {
        0 => format!("RollingRestart(group: \"{group}\", down: \"1s\", between: \"2s\")"),
        1 => format!("Scale(\"{group}\", {})", dice.between(1, members)),
        _ => "PreferredElection".to_owned(),
    }
}

fn member(dice: &mut Dice, cast: &Cast) -> String {
    let (group, _, members) = dice.among(&cast.copies);
    match dice.below(4) {
        0 => format!("Member(\"{group}\", {})", dice.below(members)),
        1 if group == "copy" => {
            format!("OwnerOf(\"copy\", \"orders\", {})", dice.below(cast.partitions))
        }
        2 => format!("Member(\"{group}\")"),
        _ => format!("AnyMember(\"{group}\")"),
    }
}

fn server(dice: &mut Dice, cast: &Cast) -> String {
    let (group, output, members) = dice.among(&cast.copies);
    match dice.below(7) {
        0 => format!("CoordinatorOf(\"{group}\")"),
        1 if members == 1 => format!("TransactionCoordinatorOf(\"{output}\")"),
        1 => format!("TransactionCoordinatorOf(\"{output}-{}\")", dice.below(members)),
        2 => format!("LeaderOf(\"orders\", {})", dice.below(cast.partitions)),
        3 => "LeaderOf(\"invoices\", 0)".to_owned(),
        4 if dice.percent(30) => format!("Controller({})", dice.between(1, cast.controllers)),
        _ => format!("Broker({})", dice.between(1, cast.brokers)),
    }
}

fn anybody(dice: &mut Dice, cast: &Cast) -> String {
    if dice.percent(50) { member(dice, cast) } else { server(dice, cast) }
}
