//! Random scenarios as RON text: every version since KRaft could be relied on, small clusters of every shape, producers and
//! readers of every kind, and faults of every kind on whomever there is.

use crate::dice::Dice;
use crate::groups::{self, Around, Group};
use std::fmt::Write;

/// A scenario in pieces, so that pieces can be left out.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Everything but producers, readers and faults.
    pub frame: String,
    pub producers: Vec<Producer>,
    pub readers: Vec<String>,
    pub groups: Vec<Group>,
    /// Each with its name.
    pub faults: Vec<Fault>,
    /// `acks=all` on this topic loses nothing, unless power is lost.
    pub safe_topic: bool,
    /// `acks=all` on this topic never succeeds: fewer replicas than min.insync.replicas, before 3.7.
    pub never_enough: bool,
}

#[derive(Clone, Debug)]
pub struct Producer {
    pub text: String,
    /// Idempotent, and its application gives up what has failed.
    pub exactly_once: bool,
    pub acks_all: bool,
    /// Bytes per second of all instances.
    pub offered: u64,
    /// Records per second of all instances.
    pub records: u64,
}

#[derive(Clone, Debug)]
pub struct Fault {
    pub text: String,
    pub permanent: bool,
    pub power_loss: bool,
}

impl Plan {
    pub fn text(&self) -> String {
        let list = |name: &str, items: Vec<&str>| {
            let lines: Vec<String> =
                items.iter().map(|item| format!("        {item},\n")).collect();
            format!("    {name}: [\n{}    ],\n", lines.concat())
        };
        format!(
            "Scenario(\n{}{}{}{}{})\n",
            self.frame,
            list("producers", self.producers.iter().map(|it| it.text.as_str()).collect()),
            list("readers", self.readers.iter().map(String::as_str).collect()),
            list("groups", self.groups.iter().map(|it| it.text.as_str()).collect()),
            list("faults", self.faults.iter().map(|it| it.text.as_str()).collect()),
        )
    }

    /// Nothing that was acked may be lost.
    pub fn loses_nothing(&self) -> bool {
        self.safe_topic
            && self.producers.iter().all(|producer| producer.acks_all)
            && !self.faults.iter().any(|fault| fault.power_loss)
    }

    /// Nothing may be stored twice or out of order.
    pub fn exactly_once(&self) -> bool {
        self.producers.iter().all(|producer| producer.exactly_once)
            && !self.groups.iter().any(|group| group.has_output)
    }

    /// Whether a group that need never be done keeps the run from its rest for this reason.
    pub fn may_lag(&self, because: &str) -> bool {
        self.groups.iter().any(|group| group.may_lag && because.contains(&group.name))
    }

    /// More than a slow link, or a few requests in flight over a long one, carry in time.
    pub fn is_overloaded(&self) -> bool {
        self.producers.iter().any(|producer| producer.offered >= 4_000_000)
    }

    /// So many that nothing is ever at rest for long while there is work.
    pub fn loses_packets(&self) -> bool {
        self.frame.contains(LOSSY)
    }

    pub fn has_permanent_fault(&self) -> bool {
        self.faults.iter().any(|fault| fault.permanent)
    }
}

/// What a fault may name.
struct Cast {
    brokers: u64,
    controllers: u64,
    partitions: u64,
    replicas: u64,
    seconds: u64,
    /// Name and instances.
    producers: Vec<(String, u64)>,
    readers: Vec<String>,
}

/// One packet of five gets lost.
const LOSSY: &str = "loss: 0.2";

const VERSIONS: [&str; 6] = ["3.3", "3.6", "3.7", "3.9", "4.0", "4.1"];

pub fn plan(case: u64) -> Plan {
    let dice = &mut Dice::new(case);
    let kafka = dice.among(&VERSIONS);
    let brokers = dice.among(&[1, 2, 3, 3, 3, 4, 5]);
    let controllers = dice.among(&[1, 3, 3]);
    let combined = brokers >= controllers && dice.percent(40);
    let partitions = dice.between(1, 6);
    let replicas = dice.between(1, brokers.min(3));
    let min_isr = dice.between(1, 2);
    let unclean = dice.percent(30);
    let seconds = dice.among(&[2, 5, 10, 20, 30]);
    let mut frame = String::new();
    let mut line = |text: String| writeln!(frame, "    {text},").expect("a string takes any text");
    line(format!("kafka: {kafka:?}"));
    line(format!("duration: \"{seconds}s\""));
    if dice.percent(10) {
        line("start: Cold".to_owned());
    }
    line(format!(
        "cluster: (brokers: {brokers}, mode: KRaft(controllers: {controllers}, combined: \
         {combined}), properties: {{{}}})",
        broker_properties(dice, brokers)
    ));
    let topic = format!(
        "(partitions: {partitions}, replication_factor: {replicas}, \
         properties: {{\"min.insync.replicas\": \"{min_isr}\", \
         \"unclean.leader.election.enable\": \"{unclean}\"{}}})",
        if dice.percent(10) { ", \"flush.messages\": \"1\"" } else { "" }
    );
    line(format!("topics: {{\"orders\": {topic}, \"copies\": {topic}}}"));
    line(network(dice));
    let (mut producers, names) = producers(dice, kafka, partitions);
    let readers = readers(dice);
    let cast = Cast {
        brokers,
        controllers,
        partitions,
        replicas,
        seconds,
        producers: names,
        readers: (0..readers.len()).map(|index| format!("reader{index}")).collect(),
    };
    let count = dice.among(&[0, 1, 1, 2, 2, 3, 4, 6, 8]);
    let mut faults: Vec<Fault> = (0..count).map(|index| fault(dice, &cast, index, count)).collect();
    // Drawn apart, so that the rest of a case is what it was without groups.
    let dice = &mut Dice::new(case ^ 0x6e0f_0000_0000);
    if dice.percent(25) {
        producers.push(Producer {
            text: groups::transactional_producer(dice, kafka, frame.contains(LOSSY)),
            exactly_once: true,
            acks_all: true,
            offered: 10_000,
            records: 100,
        });
    }
    let around = Around {
        kafka,
        partitions,
        seconds,
        offered: producers.iter().map(|it| it.records).sum(),
        producers: &cast.producers,
    };
    let groups = groups::groups(dice, &around);
    faults.extend(faults_on_groups(dice, &groups, &around));
    let safe_topic = replicas == 3 && min_isr == 2 && !unclean;
    let never_enough = min_isr > replicas && ["3.3", "3.6"].contains(&kafka);
    Plan { frame, producers, readers, groups, faults, safe_topic, never_enough }
}

fn faults_on_groups(dice: &mut Dice, groups: &[Group], around: &Around<'_>) -> Vec<Fault> {
    let count = if groups.is_empty() { 0 } else { dice.below(4) };
    let struck = |index| Fault {
        text: groups::fault(dice, groups, around, index),
        permanent: false,
        power_loss: false,
    };
    (0..count).map(struck).collect()
}

fn broker_properties(dice: &mut Dice, brokers: u64) -> String {
    let (replicas, least) = (brokers.min(3), brokers.min(2));
    let mut properties = vec![
        "\"offsets.topic.num.partitions\": \"2\"".to_owned(),
        format!("\"offsets.topic.replication.factor\": \"{replicas}\""),
        "\"transaction.state.log.num.partitions\": \"2\"".to_owned(),
        format!("\"transaction.state.log.replication.factor\": \"{replicas}\""),
        format!("\"transaction.state.log.min.isr\": \"{least}\""),
    ];
    let mut maybe = |share, name: &str, values: &[&str]| {
        if dice.percent(share) {
            properties.push(format!("\"{name}\": \"{}\"", dice.among(values)));
        }
    };
    maybe(50, "replica.lag.time.max.ms", &["1000", "3000", "10000"]);
    maybe(20, "replica.fetch.max.bytes", &["1000", "20000"]);
    maybe(20, "replica.fetch.wait.max.ms", &["50", "200"]);
    maybe(20, "broker.session.timeout.ms", &["3000", "6000"]);
    maybe(20, "num.io.threads", &["1", "2"]);
    maybe(10, "num.replica.fetchers", &["2"]);
    maybe(10, "replica.high.watermark.checkpoint.interval.ms", &["500"]);
    properties.join(", ")
}

fn network(dice: &mut Dice) -> String {
    let latency = match dice.below(6) {
        0 => "\"500us\"".to_owned(),
        1 => "Uniform(\"1ms\", \"4ms\")".to_owned(),
        2 => "LogNormal(median: \"180us\", p99: \"750us\")".to_owned(),
        3 => "Exponential(\"3ms\")".to_owned(),
        4 => "Uniform(\"30ms\", \"90ms\")".to_owned(),
        _ => {
            let shape = dice.among(&["1.5", "2", "3"]);
            format!("Pareto(scale: \"300us\", shape: {shape})")
        }
    };
    let mut text = format!("network: (latency: {latency}");
    if dice.percent(25) {
        text.push_str(", client_latency: Uniform(\"5ms\", \"50ms\")");
    }
    if dice.percent(25) {
        let loss = dice.among(&["loss: 0.001", "loss: 0.02", LOSSY]);
        write!(text, ", {loss}").expect("a string takes any text");
    }
    if dice.percent(20) {
        let bandwidth = dice.among(&["1MB/s", "10Mbit/s", "unlimited"]);
        write!(text, ", bandwidth: \"{bandwidth}\"").expect("a string takes any text");
    }
    text.push(')');
    text
}

fn producers(dice: &mut Dice, kafka: &str, partitions: u64) -> (Vec<Producer>, Vec<(String, u64)>) {
    let acks_all_everywhere = dice.percent(40);
    let idempotent_everywhere = acks_all_everywhere && dice.percent(50);
    let mut producers = Vec::new();
    let mut names = Vec::new();
    for index in 0..dice.between(1, 3) {
        let name = format!("shop{index}");
        let instances = dice.between(1, 3);
        let acks = if acks_all_everywhere { "all" } else { dice.among(&["0", "1", "all"]) };
        let idempotent = acks == "all" && (idempotent_everywhere || dice.percent(50));
        let gives_up = idempotent_everywhere || dice.percent(60);
        let on_error = match gives_up {
            true => "GiveUp".to_owned(),
            false => {
                let after = dice.among(&["0ms", "10ms", "1s"]);
                format!("SendAgain(attempts: {}, after: \"{after}\")", dice.between(1, 5))
            }
        };
        let (client, properties) = match dice.below(4) {
            0 => ("Librdkafka".to_owned(), librdkafka(dice, acks, idempotent)),
            1 => {
                let old: &[&str] = &["2.1", "2.4", "2.8", "3.2", "3.6"];
                (format!("Java({:?})", dice.among(old)), java(dice, acks, idempotent))
            }
            _ => (format!("Java({kafka:?})"), java(dice, acks, idempotent)),
        };
        let keys = match dice.below(5) {
            0 => "None".to_owned(),
            1 => "Unique".to_owned(),
            2 => "PerBurst".to_owned(),
            3 => "Among(7)".to_owned(),
            _ => format!("Partition({})", dice.below(partitions)),
        };
        let rate = dice.among(&[1, 10, 50, 200]);
        let burst = dice.among(&[1, 1, 3, 20]);
        let size = dice.among(&[10, 100, 3_000, 40_000]);
        let arrivals = dice.among(&["Even", "Poisson"]);
        let text = format!(
            "(name: \"{name}\", count: {instances}, topic: \"orders\", rate: {rate}, burst: \
             {burst}, size: {size}, keys: {keys}, arrivals: {arrivals}, on_error: {on_error}, \
             client: {client}, properties: {{{properties}}})",
        );
        let exactly_once = idempotent && gives_up;
        let (acks_all, offered) = (acks == "all", instances * rate * size);
        let records = instances * rate;
        producers.push(Producer { text, exactly_once, acks_all, offered, records });
        names.push((name, instances));
    }
    (producers, names)
}

fn java(dice: &mut Dice, acks: &str, idempotent: bool) -> String {
    let retries = if idempotent || dice.percent(70) { "2147483647" } else { "0" };
    let in_flight = dice.among(&["1", "5"]);
    let linger = dice.among(&["0", "5", "100"]);
    let (request, delivery) =
        dice.among(&[("30000", "120000"), ("1000", "1100"), ("500", "3000"), ("3000", "20000")]);
    format!(
        "\"acks\": \"{acks}\", \"enable.idempotence\": \"{idempotent}\", \"retries\": \
         \"{retries}\", \"max.in.flight.requests.per.connection\": \"{in_flight}\", \"linger.ms\": \
         \"{linger}\", \"request.timeout.ms\": \"{request}\", \"delivery.timeout.ms\": \
         \"{delivery}\"{}{}",
        if dice.percent(15) { ", \"buffer.memory\": \"200000\"" } else { "" },
        if dice.percent(25) { ", \"max.block.ms\": \"500\"" } else { "" },
    )
}

fn librdkafka(dice: &mut Dice, acks: &str, idempotent: bool) -> String {
    let retries = if idempotent || dice.percent(70) { "2147483647" } else { "0" };
    let in_flight = dice.among(&["1", "5"]);
    let in_flight = if idempotent || dice.percent(50) { in_flight } else { "1000000" };
    let linger = dice.among(&["0", "5", "100"]);
    let (socket, request, message) = dice.among(&[
        ("60000", "30000", "300000"),
        ("1000", "1000", "1500"),
        ("1000", "500", "5000"),
        ("3000", "30000", "20000"),
    ]);
    format!(
        "\"acks\": \"{acks}\", \"enable.idempotence\": \"{idempotent}\", \"retries\": \
         \"{retries}\", \"max.in.flight\": \"{in_flight}\", \"linger.ms\": \"{linger}\", \
         \"socket.timeout.ms\": \"{socket}\", \"request.timeout.ms\": \"{request}\", \
         \"message.timeout.ms\": \"{message}\"",
    )
}

fn readers(dice: &mut Dice) -> Vec<String> {
    let reader = |dice: &mut Dice, index: u64| {
        let reset = dice.among(&["earliest", "latest"]);
        format!(
            "(name: \"reader{index}\", topics: [\"orders\"], properties: {{\"auto.offset.reset\": \
             \"{reset}\"}})"
        )
    };
    (0..dice.below(3)).map(|index| reader(dice, index)).collect()
}

fn fault(dice: &mut Dice, cast: &Cast, index: u64, count: u64) -> Fault {
    let what = match dice.percent(8) {
        true => {
            let options: Vec<String> = (0..3).map(|_| kind(dice, cast)).collect();
            format!("OneOf([{}])", options.join(", "))
        }
        false => kind(dice, cast),
    };
    let when = when(dice, cast, index, count);
    let instant = what.starts_with("PreferredElection");
    let permanent = !instant && dice.percent(4);
    let mut text = format!("(name: \"f{index}\", {when}, fault: {what}");
    if permanent {
        text.push_str(", permanent: true");
    } else if !instant && dice.percent(80) {
        write!(text, ", for: {}", lasting(dice)).expect("a string takes any text");
    }
    text.push(')');
    Fault { permanent, power_loss: text.contains("PowerLoss"), text }
}

fn lasting(dice: &mut Dice) -> String {
    match dice.below(8) {
        0 => "\"1ms\"".to_owned(),
        1 => "\"200ms\"".to_owned(),
        2 => "\"1s\"".to_owned(),
        3 => "\"4s\"".to_owned(),
        4 => "\"12s\"".to_owned(),
        5 => "Uniform(\"10ms\", \"3s\")".to_owned(),
        6 => "Uniform(\"1s\", \"15s\")".to_owned(),
        _ => "Exponential(\"2s\")".to_owned(),
    }
}

fn when(dice: &mut Dice, cast: &Cast, index: u64, count: u64) -> String {
    let millis = cast.seconds * 1_000;
    match dice.below(10) {
        0..=3 => format!("at: \"{}ms\"", dice.below(millis)),
        4 => format!("at: \"{}s\"", dice.below(cast.seconds)),
        5 => format!("at: Uniform(\"0s\", \"{}s\")", cast.seconds),
        6 => {
            let period = dice.among(&[
                "\"1s\"",
                "\"3500ms\"",
                "Uniform(\"1s\", \"9s\")",
                "Exponential(\"3s\")",
            ]);
            let until = match dice.percent(50) {
                true => format!(", until: \"{}ms\"", dice.between(1, millis)),
                false => String::new(),
            };
            format!("every: {period}, first: \"{}ms\"{until}", dice.below(millis))
        }
        _ => {
            let delay = match dice.percent(40) {
                true => format!(", delay: \"{}ms\"", dice.among(&[1, 100, 2_000])),
                false => String::new(),
            };
            format!("after: {}{delay}", trigger(dice, cast, index, count))
        }
    }
}

fn trigger(dice: &mut Dice, cast: &Cast, index: u64, count: u64) -> String {
    let (producer, _) = dice.among(&cast.producers);
    let record = format!("\"{producer}#{}\"", dice.among(&[0, 1, 5, 20, 100]));
    let partition = format!("\"orders\", {}", dice.below(cast.partitions));
    let other = dice.below(count);
    match dice.below(if other == index { 9 } else { 11 }) {
        0 => format!("Appended({record})"),
        1 => format!("Replicated({record}, {})", dice.between(1, cast.replicas.max(2) - 1)),
        2 => format!("Answered({record})"),
        3 => format!("Acked({record})"),
        4 => {
            let offset = dice.among(&[0, 3, 50]);
            format!("HighWatermarkReached({partition}, {offset})")
        }
        5 => format!("LeaderChanged({partition})"),
        6 => format!("IsrShrunkTo({partition}, {})", dice.between(1, 2)),
        7 => format!("IsrGrownTo({partition}, {})", dice.between(2, 3)),
        8 => format!("Fenced(Broker({}))", dice.between(1, cast.brokers)),
        9 => format!("Began(\"f{other}\")"),
        _ => format!("Ended(\"f{other}\")"),
    }
}

fn kind(dice: &mut Dice, cast: &Cast) -> String {
    match dice.below(22) {
        0..=3 => format!("Kill({})", anybody(dice, cast)),
        4 => format!("Restart({})", anybody(dice, cast)),
        5 | 6 => format!("PowerLoss({})", anybody(dice, cast)),
        7..=9 => format!("Pause({})", anybody(dice, cast)),
        10 | 11 => format!("ControlledShutdown({})", brokers(dice, cast)),
        12 => match dice.percent(50) {
            true => "PreferredElection".to_owned(),
            false => format!("PreferredElection(\"orders\", {})", dice.below(cast.partitions)),
        },
        13 => format!("Isolate({})", anybody(dice, cast)),
        14 => format!("Partition({}, {})", anybody(dice, cast), other_side(dice, cast)),
        15 => format!("OneWay({}, {})", anybody(dice, cast), other_side(dice, cast)),
        16 => {
            let extra =
                dice.among(&["\"50ms\"", "Uniform(\"0ms\", \"2s\")", "Exponential(\"1s\")"]);
            format!("LinkDelay({}, {}, {extra})", anybody(dice, cast), other_side(dice, cast))
        }
        17 => {
            let share = dice.among(&["0.1", "0.5", "0.9"]);
            format!("LinkLoss({}, {}, {share})", anybody(dice, cast), other_side(dice, cast))
        }
        18 | 19 => {
            let share = dice.among(&["0.1", "0.5", "1"]);
            let then = dice.among(&["Stall", "Reset"]);
            format!("DropResponses({}, Clients, {share}, {then})", brokers(dice, cast))
        }
        _ => {
            let extra = dice.among(&["\"20ms\"", "Uniform(\"1ms\", \"3s\")"]);
            format!("SlowDisk({}, {extra})", brokers(dice, cast))
        }
    }
}

fn brokers(dice: &mut Dice, cast: &Cast) -> String {
    let partition = dice.below(cast.partitions);
    match dice.below(5) {
        0 => format!("Broker({})", dice.between(1, cast.brokers)),
        1 => format!("LeaderOf(\"orders\", {partition})"),
        2 => format!("FollowerOf(\"orders\", {partition}, {})", dice.below(2)),
        3 => "AnyBroker".to_owned(),
        _ => match dice.percent(30) {
            true => "Brokers".to_owned(),
            false => format!("Broker({})", dice.between(1, cast.brokers)),
        },
    }
}

fn anybody(dice: &mut Dice, cast: &Cast) -> String {
    let one = |dice: &mut Dice| match dice.below(12) {
        0..=5 => brokers(dice, cast),
        6 => "ActiveController".to_owned(),
        7 => format!("Controller({})", dice.between(1, cast.controllers)),
        8 => match dice.among(&cast.producers) {
            (name, instances) if dice.percent(50) => {
                format!("Producer(\"{name}\", {})", dice.below(instances))
            }
            (name, _) => format!("Producer(\"{name}\")"),
        },
        9 if !cast.readers.is_empty() => format!("Reader(\"{}\")", dice.among(&cast.readers)),
        10 if dice.percent(30) => "Controllers".to_owned(),
        11 => "Clients".to_owned(),
        _ => brokers(dice, cast),
    };
    match dice.percent(25) {
        true => format!("[{}, {}]", one(dice), one(dice)),
        false => one(dice),
    }
}

fn other_side(dice: &mut Dice, cast: &Cast) -> String {
    if dice.percent(40) { "Rest".to_owned() } else { anybody(dice, cast) }
}
