//! What a scenario's text means: defaults, settings, variants, faults.

use acklab_scenario::model::{
    Direction, Fault, FaultPhase, Keys, OnError, Span, Start, Target, Trigger, When,
};
use acklab_scenario::{Resolved, ScenarioFile, Setting, write_faults};
use acklab_vocab::api::Acks;
use acklab_vocab::config::ProducerConfig;
use acklab_vocab::ids::{BrokerId, ProducerIndex, RecordId, TopicPartition};
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::time::SimDuration;

const SMALL: &str = r#"
Scenario(
    kafka: "3.9",
    duration: "10s",
    cluster: (
        brokers: 4,
        mode: KRaft(controllers: 3, combined: true),
        properties: {"min.insync.replicas": "2"},
    ),
    topics: {
        "orders": (partitions: 2, replication_factor: 3),
        "audit": (assignments: [[3], [1]]),
    },
    producers: [
        (name: "shop", count: 2, topic: "orders", rate: 0.5, properties: {"acks": 1}),
        (name: "till", topic: "audit", rate: 10, keys: Partition(1), client: Librdkafka,
         on_error: SendAgain(attempts: 3, after: "50ms"),
         properties: {"request.required.acks": "1"}),
    ],
    readers: [(name: "eye", topics: ["audit"], client: Java("2.0"))],
    faults: [
        (name: "cut", at: Uniform("1s", "2s"), fault: Isolate(LeaderOf("orders", 0)), for: "3s"),
    ],
    expect: [Lost(AtMost(5)), Violations(0)],
    expect_share: [(Lost(AtLeast(1)), AtLeast(0.5))],
    variants: {
        "all": (set: {"producers/acks": "all"}, expect: [Lost(0)]),
        "calm": (faults: [], expect_share: [(Lost(0), 1.0)]),
    },
    compare: [MeanAtLeastTimes(Lost, "base", "all", 1.5)],
)
"#;

fn small() -> ScenarioFile {
    ScenarioFile::parse("small", None, SMALL).unwrap_or_else(|error| panic!("{error}"))
}

fn with(variant: &str, sets: &[&str]) -> Result<Resolved, String> {
    let sets: Vec<Setting> = sets.iter().map(|text| text.parse().unwrap()).collect();
    small()
        .resolve(variant, &sets)
        .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

fn acks(resolved: &Resolved) -> Vec<Acks> {
    resolved.scenario.producers.iter().map(|producer| producer.config.acks()).collect()
}

#[test]
fn names_become_ids_and_defaults_are_filled_in() {
    let scenario = with("base", &[]).unwrap().scenario;
    assert_eq!((scenario.name.as_str(), scenario.variant.as_str()), ("small", "base"));
    assert_eq!(scenario.settle, SimDuration::from_secs(600));
    assert_eq!(scenario.start, Start::Settled);
    assert_eq!(scenario.cluster.io_threads, 8);
    let ids: Vec<(u16, Option<u16>)> = scenario
        .cluster
        .controllers()
        .iter()
        .map(|(controller, broker)| (controller.0, broker.map(|broker| broker.0)))
        .collect();
    assert_eq!(ids, [(1, Some(1)), (2, Some(2)), (3, Some(3))]);
    let replicas = |topic: usize, partition: usize| -> Vec<u16> {
        scenario.topics[topic].assignments[partition].iter().map(|broker| broker.0).collect()
    };
    assert_eq!([replicas(0, 0), replicas(0, 1)], [vec![1, 2, 3], vec![2, 3, 4]]);
    assert_eq!([replicas(1, 0), replicas(1, 1)], [vec![3], vec![1]]);
    assert_eq!(scenario.topics[1].config.min_insync_replicas, 2);
    let [shop, till] = &scenario.producers[..] else { panic!("two producers") };
    assert_eq!((shop.rate_millihertz, shop.count, shop.size, shop.burst), (500, 2, 100, 1));
    assert_eq!(shop.until, SimDuration::from_secs(10));
    assert!(
        matches!(&*till.config, ProducerConfig::Librdkafka(config) if config.acks == Acks::Leader)
    );
    assert!(matches!(till.keys, Keys::Partition(partition) if partition.0 == 1));
    let after = SimDuration::from_millis(50);
    assert_eq!(till.on_error, OnError::SendAgain { attempts: 3, after });
    assert!(!scenario.readers[0].config.client.rules.has(ProtocolRule::ValidatePosition));
    let fault = &scenario.faults[0];
    let (one, two) = (SimDuration::from_secs(1), SimDuration::from_secs(2));
    assert_eq!(fault.when, When::At(Span::Uniform(one, two)));
    let leader = Target::LeaderOf(TopicPartition::new(0, 0));
    let isolated = Fault::Partition {
        first: vec![leader],
        second: vec![Target::Rest],
        direction: Direction::Both,
    };
    assert_eq!(fault.fault, isolated);
}

#[test]
fn settings_reach_everything_that_has_a_name() {
    assert_eq!(acks(&with("base", &["producers/acks=all"]).unwrap()), [Acks::All, Acks::All]);
    assert_eq!(
        acks(&with("base", &["producers/shop/acks=0"]).unwrap()),
        [Acks::None, Acks::Leader]
    );
    let sets = [
        "kafka=4.0",
        "duration=30s",
        "start=Cold",
        "topics/orders/min.insync.replicas=3",
        "topics/audit/assignments=[[4], [4]]",
        "brokers/replica.lag.time.max.ms=10000",
        "controllers/broker.session.timeout.ms=6000",
        "cluster/brokers=5",
        "producers/shop/rate=7",
        "producers/shop/keys=Among(9)",
        "network/latency=Uniform(\"1ms\", \"2ms\")",
        "network/bandwidth=1Gbit/s",
        "disk/flush=3ms",
        "faults/cut/for=6s",
        "rules/FenceByLeaderEpoch=false",
        "readers/eye/client=Java(\"3.0\")",
        "readers/fetch.max.wait.ms=100",
    ];
    let scenario = with("base", &sets).unwrap().scenario;
    assert_eq!(scenario.kafka.to_string(), "4.0");
    assert_eq!(scenario.duration, SimDuration::from_secs(30));
    assert_eq!(scenario.start, Start::Cold);
    assert_eq!(scenario.topics[0].config.min_insync_replicas, 3);
    assert_eq!(scenario.topics[1].assignments[1].as_slice(), [BrokerId(4)]);
    let lag = scenario.cluster.broker_config.replica_lag_time_max;
    assert_eq!(lag, SimDuration::from_secs(10));
    let session = scenario.cluster.controller_config.broker_session_timeout;
    assert_eq!(session, SimDuration::from_secs(6));
    assert_eq!(scenario.cluster.brokers.len(), 5);
    assert_eq!(scenario.producers[0].rate_millihertz, 7_000);
    assert_eq!(scenario.producers[0].keys, Keys::Among(9));
    let uniform = Span::Uniform(SimDuration::from_millis(1), SimDuration::from_millis(2));
    assert_eq!(scenario.network.latency, uniform);
    assert_eq!(scenario.network.client_latency, uniform);
    assert_eq!(scenario.network.bytes_per_second, 125_000_000);
    assert_eq!(scenario.disk.flush, Span::Exactly(SimDuration::from_millis(3)));
    let six = Span::Exactly(SimDuration::from_secs(6));
    assert_eq!(scenario.faults[0].lasting, Some(six));
    assert!(!scenario.rules.has(ProtocolRule::FenceByLeaderEpoch));
    assert_eq!(scenario.readers[0].config.fetch_max_wait, SimDuration::from_millis(100));
}

#[test]
fn a_wrong_setting_points_into_the_setting() {
    expect_test::expect![[r#"
        error: `min.insync.replicas` must be between 1 and 32767, not 0
         --> --set:1:35
          |
        1 | topics/orders/min.insync.replicas=0
          |                                   ^
          help: its default is 1"#]]
    .assert_eq(&with("base", &["topics/orders/min.insync.replicas=0"]).unwrap_err());
    expect_test::expect![[r#"
        error: there are no `producer` to set something of
         --> --set:1:1
          |
        1 | producer/acks=all
          | ^^^^^^^^^^^^^
          help: did you mean `producers`?"#]]
    .assert_eq(&with("base", &["producer/acks=all"]).unwrap_err());
    let error = with("calm", &["faults/cut/for=3s"]).unwrap_err();
    assert!(error.starts_with("error: no `cut` among the faults"), "{error}");
    let error = with("al", &[]).unwrap_err();
    assert!(error.ends_with("help: did you mean `all`?"), "{error}");
}

#[test]
fn a_variant_inherits_what_it_does_not_speak_of() {
    let text = |resolved: &Resolved| {
        let expect = resolved.expect.iter().map(ToString::to_string);
        expect.chain(resolved.expect_share.iter().map(ToString::to_string)).collect::<Vec<_>>()
    };
    let base = with("base", &[]).unwrap();
    assert_eq!(text(&base), ["lost ≤ 5", "violations = 0", "lost ≥ 1 in ≥ 50 % of seeds"]);
    let all = with("all", &[]).unwrap();
    assert_eq!(text(&all), ["violations = 0", "lost = 0"]);
    assert_eq!(acks(&all), [Acks::All, Acks::All]);
    let calm = with("calm", &[]).unwrap();
    assert_eq!(text(&calm), ["lost ≤ 5", "violations = 0", "lost = 0 in 100 % of seeds"]);
    assert!(calm.scenario.faults.is_empty());
    assert_eq!(small().comparisons()[0].to_string(), "mean lost: base ≥ 1.5 × all");
    assert_eq!(small().variants().collect::<Vec<_>>(), ["base", "all", "calm"]);
}

const FAULTS: &str = r#"[
    (at: "1s", fault: Kill(Broker(1))),
    (at: Exponential("1s"), fault: PowerLoss([Brokers, Controller(1)]), for: Uniform("1s", "2s")),
    (at: LogNormal(median: "1s", p99: "3s"), fault: Pause(ActiveController), for: "12s"),
    (every: "5s", first: "2s", until: "60s", fault: Restart(AnyBroker)),
    (every: Pareto(scale: "1s", shape: 1.5),
     fault: ControlledShutdown(FollowerOf("orders", 1)), for: "1s"),
    (after: Acked("shop#4711"), fault: Kill(LeaderOf("orders", 0)), permanent: true),
    (after: Appended("till#1"), delay: "1500us", fault: PreferredElection),
    (after: Replicated("shop#1", 2), fault: PreferredElection("orders", 1)),
    (after: Answered("shop#1"), fault: Isolate(Broker(1))),
    (after: HighWatermarkReached("audit", 1, 5),
     fault: Isolate(targets: Broker(1), from: [Brokers, Controllers])),
    (after: LeaderChanged("orders", 0), fault: OneWay(from: Clients, to: [LeaderOf("orders", 0)])),
    (after: IsrShrunkTo("orders", 0, 1), fault: Partition([Producer("shop"), Reader("eye")], Rest)),
    (name: "grown", after: IsrGrownTo("orders", 0, 3),
     fault: LinkDelay(Broker(1), Broker(2), "250ms")),
    (after: Fenced(2), fault: LinkLoss(first: Rest, second: Broker(2), share: 0.25)),
    (after: Began("grown"), fault: DropResponses(from: Brokers)),
    (after: Ended("grown"),
     fault: DropResponses(LeaderOf("orders", 0), Producer("shop", 1), 0.5, Stall)),
    (at: "9s", fault: OneOf([Kill(Any), SlowDisk(targets: Any, extra: "20ms"), Pause(Clients)])),
]"#;

#[test]
fn every_kind_of_fault_is_read_and_written_alike() {
    let scenario = with("base", &[]).unwrap().scenario;
    let faults = match ScenarioFile::parse_faults("faults", FAULTS, &scenario) {
        Ok(faults) => faults,
        Err(errors) => panic!("{}", errors[0]),
    };
    assert_eq!(faults.len(), 17);
    assert_eq!(faults[3].lasting, Some(Span::Exactly(SimDuration::from_millis(500))));
    let record = RecordId { producer: ProducerIndex(0), sequence: 4711 };
    let acked = When::After { trigger: Trigger::Acked(record), delay: SimDuration::ZERO };
    assert_eq!(faults[5].when, acked);
    let began = Trigger::Fault(12, FaultPhase::Began);
    assert_eq!(faults[14].when, When::After { trigger: began, delay: SimDuration::ZERO });
    let written = write_faults(&faults, &scenario);
    let again = ScenarioFile::parse_faults("faults", &written, &scenario);
    assert_eq!(again, Ok(faults), "{written}");
    expect_test::expect![[r#"
        [
            (at: "1s", fault: Kill(Broker(1))),
            (at: Exponential("1s"), fault: PowerLoss([Brokers, Controller(1)]), for: Uniform("1s", "2s")),
            (at: LogNormal(median: "1s", p99: "3s"), fault: Pause(ActiveController), for: "12s"),
            (every: "5s", first: "2s", until: "60s", fault: Kill(AnyBroker), for: "500ms"),
            (every: Pareto(scale: "1s", shape: 1.5), first: Pareto(scale: "1s", shape: 1.5), fault: ControlledShutdown(FollowerOf("orders", 1, 0)), for: "1s"),
            (after: Acked("shop#4711"), fault: Kill(LeaderOf("orders", 0)), permanent: true),
            (after: Appended("till#1"), delay: "1500us", fault: PreferredElection),
            (after: Replicated("shop#1", 2), fault: PreferredElection("orders", 1)),
            (after: Answered("shop#1"), fault: Partition(Broker(1), Rest)),
            (after: HighWatermarkReached("audit", 1, 5), fault: Partition(Broker(1), [Brokers, Controllers])),
            (after: LeaderChanged("orders", 0), fault: OneWay(Clients, LeaderOf("orders", 0))),
            (after: IsrShrunkTo("orders", 0, 1), fault: Partition([Producer("shop"), Reader("eye")], Rest)),
            (after: IsrGrownTo("orders", 0, 3), fault: LinkDelay(Broker(1), Broker(2), "250ms")),
            (after: Fenced(Broker(2)), fault: LinkLoss(Rest, Broker(2), 0.25)),
            (after: Began(12), fault: DropResponses(Brokers, Clients, 1.0, Reset)),
            (after: Ended(12), fault: DropResponses(LeaderOf("orders", 0), Producer("shop", 1), 0.5, Stall)),
            (at: "9s", fault: OneOf([Kill(AnyBroker), SlowDisk(AnyBroker, "20ms"), Pause(Clients)])),
        ]
    "#]]
    .assert_eq(&written);
}

#[test]
fn odd_configurations_are_pointed_out() {
    let warnings = |sets: &[&str]| -> Vec<String> {
        let warnings = with("base", sets).unwrap().warnings;
        warnings.into_iter().map(|warning| warning.message).collect()
    };
    assert_eq!(warnings(&[]), Vec::<String>::new());
    let only = |sets: &[&str], start: &str| {
        let warnings = warnings(sets);
        assert!(warnings.len() == 1 && warnings[0].contains(start), "{warnings:?}");
    };
    only(&["producers/compression.type=zstd", "producers/till/linger.ms=1"], "does not model");
    only(&["topics/orders/min.insync.replicas=4"], "is larger than the 3 replicas of `orders`");
    only(&["kafka=3.2"], "was not ready for production in 3.2");
    only(&["cluster/mode=KRaft(controllers: 2)"], "survives no more failures than one of 1");
    only(&["brokers/broker.heartbeat.interval.ms=5000"], "one late heartbeat fences a broker");
    let in_flight = "producers/shop/max.in.flight.requests.per.connection=9";
    only(&[in_flight, "producers/shop/acks=all"], "turns idempotence off by itself");
    only(
        &["kafka=3.3", "producers/shop/client=Java(\"3.0\")", "producers/shop/acks=all"],
        "KAFKA-13598",
    );
}
