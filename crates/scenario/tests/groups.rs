//! Consumer groups and transactions: what their text means, what the command line sets, how their faults are written.

use acklab_scenario::model::{
    Fault, GroupSpec, PoisonEffect, Scenario, Span, Target, Trigger, When,
};
use acklab_scenario::{Bound, Counter, Quantity, Resolved, ScenarioFile, Setting, write_faults};
use acklab_vocab::api::{ApiKey, Isolation};
use acklab_vocab::config::{
    AutoOffsetReset, ConsumerLibrary, GroupProtocol, MemberConfig, ProducerConfig,
};
use acklab_vocab::group::Assignor;
use acklab_vocab::ids::{
    GroupId, GroupIndex, ProducerIndex, RecordId, TopicId, TopicPartition, TransactionalId,
};
use acklab_vocab::time::SimDuration;
use acklab_vocab::trace::{ApplicationReaction, CommitStyle};

const SHOP: &str = r#"
Scenario(
    kafka: "3.9",
    duration: "10s",
    cluster: (brokers: 4, properties: {"offsets.topic.num.partitions": "5", "min.insync.replicas": "2"}),
    topics: {
        "orders": (partitions: 4, replication_factor: 3),
        "invoices": (partitions: 2, replication_factor: 3),
    },
    producers: [
        (name: "shop", topic: "orders", rate: 100, limit: 1000),
        (name: "till", count: 2, topic: "orders", rate: 10,
         properties: {"transactional.id": "till"}, transaction: (bursts: 5, abort: 0.25)),
    ],
    groups: [
        (id: "billing", topics: ["orders"], members: 2),
        (id: "billing", name: "dashboard", topics: ["invoices", "orders"], assign: true, commit: Never),
        (id: "copy", topics: ["orders"], commit: InTransaction, on_commit_failure: Resubscribe,
         from: "1s", stagger: "250ms", poll_timeout: "1s",
         output: (name: "copier", topic: "invoices", size: 50, abort: 0.1, rewinds_after_abort: false),
         processing: (
             per_record: Uniform("1ms", "2ms"),
             slow: (from: "3s", until: "4s", per_record: "1s"),
             poison: [
                 (record: "shop#100", effect: Takes("20s")),
                 (record: "till#7", effect: Crashes("1s")),
             ],
         )),
        (id: "cellar", topics: ["orders"], client: Librdkafka, commit: HandedToWorkers(4)),
        (id: "snake", topics: ["orders"], client: KafkaPython, properties: {"enable_auto_commit": "False"}),
    ],
    faults: [(name: "grow", at: "5s", fault: OneOf([Scale("billing", 5), Scale("copy", 2)]))],
    expect: [
        Skipped(0),
        Group("billing", Reprocessed(AtMost(7))),
        Group("billing", CommitErrors("UNKNOWN_MEMBER_ID", AtLeast(1))),
        CommitErrors("CommitFailedException", 0),
        StandstillMax(AtMost("3s")),
    ],
    variants: {
        "sync": (
            set: {"groups/billing/commit": SyncPerBatch, "outputs/copier/linger.ms": "7"},
            expect: [Group("billing", Reprocessed(0))],
        ),
    },
    compare: [MeanGreater(Group("billing", Rebalances), "base", "sync")],
)
"#;

fn shop() -> ScenarioFile {
    ScenarioFile::parse("shop", None, SHOP).unwrap_or_else(|error| panic!("{error}"))
}

fn with(variant: &str, sets: &[&str]) -> Resolved {
    let sets: Vec<Setting> = sets.iter().map(|text| text.parse().unwrap()).collect();
    shop().resolve(variant, &sets).unwrap_or_else(|errors| panic!("{}", errors[0]))
}

fn base() -> Scenario {
    with("base", &[]).scenario
}

fn group<'s>(scenario: &'s Scenario, name: &str) -> &'s GroupSpec {
    scenario.groups.iter().find(|group| group.name == name).unwrap()
}

/// The properties of a group that has a coordinator.
fn member(group: &GroupSpec) -> &MemberConfig {
    group.config.member().expect("a coordinator")
}

#[test]
fn a_group_has_defaults_for_everything_but_its_id_and_topics() {
    let scenario = base();
    assert_eq!(scenario.group_ids, ["billing", "copy", "cellar", "snake"]);
    let billing = group(&scenario, "billing");
    assert_eq!((billing.group, billing.members, billing.instances), (GroupId(0), 2, 5));
    assert_eq!(billing.topics, [TopicId(0)]);
    assert_eq!((billing.from, billing.stagger), (None, SimDuration::ZERO));
    assert_eq!(billing.processing.per_record, Span::Exactly(SimDuration::from_micros(20)));
    assert_eq!((billing.commit, billing.workers), (CommitStyle::Auto, 1));
    assert_eq!(billing.on_commit_failure, ApplicationReaction::Stopped);
    assert_eq!(billing.poll_timeout, SimDuration::from_millis(100));
    assert!(billing.output.is_none() && !billing.assigns_itself);
    let config = member(billing);
    assert_eq!((config.library, config.protocol), (ConsumerLibrary::Java, GroupProtocol::Classic));
    assert_eq!(config.auto_commit, Some(SimDuration::from_secs(5)));
    assert_eq!(config.session_timeout, SimDuration::from_secs(45));
    assert_eq!(config.max_poll_interval, Some(SimDuration::from_secs(300)));
    assert_eq!(config.assignors, [Assignor::Range, Assignor::CooperativeSticky]);
    assert!(!config.is_static);
}

#[test]
fn a_group_says_what_it_does() {
    let scenario = base();
    let dashboard = group(&scenario, "dashboard");
    assert_eq!((dashboard.group, dashboard.assigns_itself), (GroupId(0), true));
    assert_eq!(dashboard.topics, [TopicId(0), TopicId(1)]);
    assert_eq!((dashboard.commit, member(dashboard).auto_commit), (CommitStyle::Never, None));
    let copy = group(&scenario, "copy");
    assert_eq!((copy.commit, member(copy).auto_commit), (CommitStyle::InTransaction, None));
    assert_eq!(copy.on_commit_failure, ApplicationReaction::Resubscribed);
    let (quarter, one) = (SimDuration::from_millis(250), SimDuration::from_secs(1));
    assert_eq!((copy.from, copy.stagger, copy.poll_timeout), (Some(one), quarter, one));
    let (two_ms, one_ms) = (SimDuration::from_millis(2), SimDuration::from_millis(1));
    assert_eq!(copy.processing.per_record, Span::Uniform(one_ms, two_ms));
    let slow = (SimDuration::from_secs(3), SimDuration::from_secs(4), Span::Exactly(one));
    assert_eq!(copy.processing.slow, Some(slow));
    let [takes, crashes] = &copy.processing.poison[..] else { panic!("two poison records") };
    assert_eq!(takes.record, RecordId { producer: ProducerIndex(0), sequence: 100 });
    assert_eq!(takes.effect, PoisonEffect::Takes(SimDuration::from_secs(20)));
    assert_eq!(crashes.record, RecordId { producer: ProducerIndex(1), sequence: 7 });
    assert_eq!(crashes.effect, PoisonEffect::Crashes(one));
    let cellar = group(&scenario, "cellar");
    assert_eq!((cellar.commit, cellar.workers), (CommitStyle::HandedToWorkers, 4));
    assert_eq!(member(cellar).library, ConsumerLibrary::Librdkafka);
    assert_eq!(member(cellar).consumer.isolation, Isolation::LastStable);
    assert_eq!(member(cellar).assignors, [Assignor::Range, Assignor::RoundRobin]);
    let snake = group(&scenario, "snake");
    assert_eq!((snake.commit, member(snake).auto_commit), (CommitStyle::SyncPerBatch, None));
    assert_eq!(member(snake).session_timeout, SimDuration::from_secs(10));
}

#[test]
fn transactional_ids_are_numbered_by_instance() {
    let scenario = base();
    assert_eq!(scenario.transactional_ids, ["till-0", "till-1", "copier-0", "copier-1"]);
    let till = scenario.producers[1].transactions.as_ref().unwrap();
    assert_eq!(till.ids, [TransactionalId(0), TransactionalId(1)]);
    assert_eq!((till.bursts, till.abort_millionths), (5, 250_000));
    assert!(scenario.producers[0].transactions.is_none());
    let output = group(&scenario, "copy").output.as_ref().unwrap();
    assert_eq!((output.producer, output.topic), (ProducerIndex(2), TopicId(1)));
    assert_eq!((output.name.as_str(), output.size), ("copier", 50));
    let transactions = output.transactions.as_ref().unwrap();
    assert_eq!(transactions.ids, [TransactionalId(2), TransactionalId(3)]);
    assert_eq!(transactions.abort_millionths, 100_000);
    assert!(!transactions.rewinds_after_abort && transactions.passes_membership);
    let timeout = |config: &ProducerConfig| match config {
        ProducerConfig::Java(java) => java.transaction_timeout,
        ProducerConfig::Librdkafka(_) | ProducerConfig::Scala(_) => None,
    };
    assert_eq!(timeout(&output.config), Some(SimDuration::from_secs(60)));
    assert_eq!(timeout(&scenario.producers[0].config), None);
}

#[test]
fn the_brokers_own_topics_are_there_if_they_are_needed() {
    let scenario = base();
    let names: Vec<&str> = scenario.topics.iter().map(|topic| topic.name.as_str()).collect();
    assert_eq!(names, ["orders", "invoices", "__consumer_offsets", "__transaction_state"]);
    assert_eq!(scenario.offsets_topic, Some(TopicId(2)));
    assert_eq!(scenario.transactions_topic, Some(TopicId(3)));
    let [_, invoices, offsets, transactions] = &scenario.topics[..] else { panic!("four topics") };
    assert!(!invoices.internal && offsets.internal && transactions.internal);
    assert_eq!((offsets.assignments.len(), transactions.assignments.len()), (5, 50));
    let replicas = |partition: usize| -> Vec<u16> {
        offsets.assignments[partition].iter().map(|broker| broker.0).collect()
    };
    assert_eq!([replicas(0), replicas(3)], [vec![1, 2, 3], vec![4, 1, 2]]);
    assert_eq!(offsets.config.min_insync_replicas, 2);
    assert_eq!(transactions.config.min_insync_replicas, 2);
    assert!(!transactions.config.unclean_leader_election);
    assert_eq!(offsets.config.segment_bytes, 100 << 20);
    let plain = r#"Scenario(
        kafka: "3.9", duration: "1s", cluster: (brokers: 1), topics: {"orders": ()},
        producers: [(name: "shop", topic: "orders", rate: 1)],
    )"#;
    let plain = ScenarioFile::parse("plain", None, plain).unwrap().resolve("base", &[]);
    let plain = plain.unwrap_or_else(|errors| panic!("{}", errors[0])).scenario;
    assert_eq!(
        (plain.topics.len(), plain.offsets_topic, plain.transactions_topic),
        (1, None, None)
    );
}

#[test]
fn settings_reach_groups_and_their_outputs() {
    let sets = [
        "groups/billing/session.timeout.ms=10000",
        "groups/billing/members=3",
        "groups/dashboard/topics=[\"invoices\"]",
        "groups/copy/processing=610ms",
        "groups/copy/group.instance.id=copy",
        "groups/snake/session.timeout.ms=9000",
        "groups/snake/enable.auto.commit=true",
        "groups/auto.offset.reset=earliest",
        "outputs/copier/abort=0.5",
        "outputs/copier/transaction.timeout.ms=9000",
        "outputs/size=7",
        "producers/till/transaction=(bursts: 2)",
        "brokers/offsets.topic.num.partitions=7",
        "faults/grow/fault=Scale(\"billing\", 9)",
    ];
    let scenario = with("base", &sets).scenario;
    let billing = group(&scenario, "billing");
    assert_eq!((billing.members, billing.instances), (3, 9));
    assert_eq!(member(billing).session_timeout, SimDuration::from_secs(10));
    assert_eq!(group(&scenario, "dashboard").topics, [TopicId(1)]);
    let copy = group(&scenario, "copy");
    assert_eq!(copy.processing.per_record, Span::Exactly(SimDuration::from_millis(610)));
    assert!(member(copy).is_static);
    assert_eq!(copy.instance_ids.len(), usize::from(copy.instances));
    assert!(billing.instance_ids.is_empty());
    let output = copy.output.as_ref().unwrap();
    assert_eq!(output.transactions.as_ref().unwrap().abort_millionths, 500_000);
    assert_eq!(output.size, 7);
    let snake = group(&scenario, "snake");
    assert_eq!(
        (snake.commit, member(snake).session_timeout.as_micros()),
        (CommitStyle::Auto, 9_000_000)
    );
    let earliest = |group: &GroupSpec| member(group).consumer.auto_offset_reset;
    assert!(scenario.groups.iter().all(|group| earliest(group) == AutoOffsetReset::Earliest));
    assert_eq!(scenario.producers[1].transactions.as_ref().unwrap().bursts, 2);
    assert_eq!(scenario.topics[2].assignments.len(), 7);
}

#[test]
fn expectations_may_speak_of_one_group() {
    let sync = with("sync", &[]);
    let texts: Vec<String> = sync.expect.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "skipped = 0",
            "billing: commits failed with UNKNOWN_MEMBER_ID ≥ 1",
            "commits failed with CommitFailedException = 0",
            "longest standstill ≤ 3 s",
            "billing: reprocessed = 0",
        ]
    );
    let reprocessed = Quantity::Counter(Counter::Reprocessed);
    let quantity = Quantity::OfGroup("billing".to_owned(), Box::new(reprocessed));
    assert_eq!((&sync.expect[4].quantity, sync.expect[4].bound), (&quantity, Bound::Exactly(0)));
    let billing = group(&sync.scenario, "billing");
    assert_eq!((billing.commit, member(billing).auto_commit), (CommitStyle::SyncPerBatch, None));
    let output = group(&sync.scenario, "copy").output.clone().unwrap();
    assert!(
        matches!(&*output.config, ProducerConfig::Java(java) if java.linger.as_micros() == 7_000)
    );
    assert_eq!(shop().comparisons()[0].to_string(), "mean billing: rebalances: base > sync");
}

const FAULTS: &str = r#"[
    (at: "1s", fault: Kill(Member("billing")), for: "2s"),
    (at: "1s", fault: Pause([Member("billing", 4), OwnerOf("billing", "orders", 3)]), for: "12s"),
    (at: "1s", fault: ControlledShutdown([AnyMember("copy"), CoordinatorOf("dashboard")]), for: "1s"),
    (at: "1s", fault: RollingRestart(group: "billing", down: "1s", between: Uniform("4s", "6s"))),
    (at: "1s", fault: RollingRestart("copy")),
    (at: "1s", fault: Scale("billing", 4)),
    (at: "1s", fault: StallRequests(api: Heartbeat, by: "3500ms", first: 1), for: "9s"),
    (at: "1s", fault: StallRequests(Member("copy"), TransactionCoordinatorOf("copier-1"), EndTxn, "40s")),
    (at: "1s", fault: DropResponses(from: CoordinatorOf("billing"), apis: [OffsetCommit, Heartbeat])),
    (after: Processed("billing", "shop#100"), fault: Kill(Broker(1)), permanent: true),
    (after: RebalanceStarted("dashboard"), fault: Kill(Broker(1))),
    (after: GroupStable("billing", 3), delay: "5ms", fault: Kill(LeaderOf("__consumer_offsets", 4))),
    (after: Committed("billing", "orders", 1, 50), fault: Kill(Broker(1))),
    (after: TransactionBegun("till-1", 2), fault: Isolate(Producer("till", 1))),
    (after: Acked("copier#5"), fault: Kill(Broker(1))),
]"#;

#[test]
fn faults_of_groups_are_read_and_written_alike() {
    let scenario = base();
    let faults = match ScenarioFile::parse_faults("faults", FAULTS, &scenario) {
        Ok(faults) => faults,
        Err(errors) => panic!("{}", errors[0]),
    };
    let billing = GroupIndex(0);
    let partition = |partition| TopicPartition::new(0, partition);
    assert_eq!(faults[0].fault, Fault::Kill(vec![Target::Member(billing, None)]));
    let paused = vec![Target::Member(billing, Some(4)), Target::OwnerOf(billing, partition(3))];
    assert_eq!(faults[1].fault, Fault::Pause(paused));
    let stopped = vec![Target::AnyMember(GroupIndex(2)), Target::CoordinatorOf(GroupId(0))];
    assert_eq!(faults[2].fault, Fault::ControlledShutdown(stopped));
    assert_eq!(faults[5].fault, Fault::Scale { group: billing, members: 4 });
    let stalled = Fault::StallRequests {
        from: vec![Target::Clients],
        to: vec![Target::Brokers],
        api: ApiKey::Heartbeat,
        by: Span::Exactly(SimDuration::from_millis(3_500)),
        first: Some(1),
    };
    assert_eq!(faults[6].fault, stalled);
    let after = |trigger| When::After { trigger, delay: SimDuration::ZERO };
    let record = RecordId { producer: ProducerIndex(0), sequence: 100 };
    assert_eq!(faults[9].when, after(Trigger::Processed(billing, record)));
    assert_eq!(faults[10].when, after(Trigger::RebalanceStarted(GroupId(0), 1)));
    assert_eq!(faults[12].when, after(Trigger::Committed(GroupId(0), partition(1), 50)));
    assert_eq!(faults[13].when, after(Trigger::TransactionBegun(TransactionalId(1), 2)));
    let written = write_faults(&faults, &scenario);
    let again = ScenarioFile::parse_faults("faults", &written, &scenario);
    assert_eq!(again, Ok(faults), "{written}");
    expect_test::expect![[r#"
        [
            (at: "1s", fault: Kill(Member("billing")), for: "2s"),
            (at: "1s", fault: Pause([Member("billing", 4), OwnerOf("billing", "orders", 3)]), for: "12s"),
            (at: "1s", fault: ControlledShutdown([AnyMember("copy"), CoordinatorOf("billing")]), for: "1s"),
            (at: "1s", fault: RollingRestart("billing", "1s", Uniform("4s", "6s"))),
            (at: "1s", fault: RollingRestart("copy", "1s", "5s")),
            (at: "1s", fault: Scale("billing", 4)),
            (at: "1s", fault: StallRequests(from: Clients, to: Brokers, api: Heartbeat, by: "3500ms", first: 1), for: "9s"),
            (at: "1s", fault: StallRequests(from: Member("copy"), to: TransactionCoordinatorOf("copier-1"), api: EndTxn, by: "40s")),
            (at: "1s", fault: DropResponses(from: CoordinatorOf("billing"), to: Clients, share: 1.0, then: Reset, apis: [Heartbeat, OffsetCommit])),
            (after: Processed("billing", "shop#100"), fault: Kill(Broker(1)), permanent: true),
            (after: RebalanceStarted("billing", 1), fault: Kill(Broker(1))),
            (after: GroupStable("billing", 3), delay: "5ms", fault: Kill(LeaderOf("__consumer_offsets", 4))),
            (after: Committed("billing", "orders", 1, 50), fault: Kill(Broker(1))),
            (after: TransactionBegun("till-1", 2), fault: Partition(Producer("till", 1), Rest)),
            (after: Acked("copier#5"), fault: Kill(Broker(1))),
        ]
    "#]].assert_eq(&written);
}

#[test]
fn a_fault_cannot_scale_beyond_the_instances_of_the_scenario() {
    let text = r#"[(at: "1s", fault: Scale("billing", 6))]"#;
    let error = ScenarioFile::parse_faults("faults", text, &base()).unwrap_err();
    assert_eq!(error[0].message, "the scenario has at most 5 instances of this group");
}

#[test]
fn a_group_with_members_of_both_protocols_is_pointed_out() {
    let text = |second: &str| {
        format!(
            r#"Scenario(
                kafka: "4.1", duration: "10s", cluster: (brokers: 3),
                topics: {{"orders": (partitions: 1, replication_factor: 3)}},
                producers: [(name: "shop", topic: "orders", rate: 10)],
                groups: [
                    (id: "billing", topics: ["orders"]),
                    (id: "billing", name: "new", topics: ["orders"],
                     properties: {{"group.protocol": "{second}"}}),
                ],
            )"#
        )
    };
    let warnings = |second| {
        let file = ScenarioFile::parse("mixed", None, &text(second)).unwrap();
        file.resolve("base", &[]).unwrap().warnings
    };
    assert_eq!(warnings("classic"), []);
    let found = warnings("consumer");
    assert_eq!(found.len(), 1);
    assert!(found[0].message.contains("members by both values of `group.protocol`"));
}

#[test]
fn faults_add_partitions_to_a_topic() {
    let text = |faults: &str| {
        format!(
            r#"Scenario(
                kafka: "4.1", duration: "10s", cluster: (brokers: 3),
                topics: {{"orders": (partitions: 2, replication_factor: 2)}},
                producers: [(name: "shop", topic: "orders", rate: 10)],
                faults: [{faults}],
            )"#
        )
    };
    let resolve = |faults: &str| {
        let file = ScenarioFile::parse("growing", None, &text(faults)).unwrap();
        file.resolve("base", &[]).map(|resolved| resolved.scenario)
    };
    let faults = r#"(at: "1s", fault: AddPartitions("orders", 2)),
        (at: "2s", fault: OneOf([AddPartitions("orders", 1), Kill(LeaderOf("orders", 4))]))"#;
    let scenario = resolve(faults).unwrap();
    let orders = &scenario.topics[0];
    let leaders: Vec<u16> = orders.assignments.iter().map(|replicas| replicas[0].0).collect();
    assert_eq!((orders.at_first, leaders.as_slice()), (2, [1, 2, 3, 1, 2].as_slice()));
    assert!(orders.assignments.iter().all(|replicas| replicas.len() == 2));
    let topic = TopicId(0);
    assert_eq!(scenario.faults[0].fault, Fault::AddPartitions { topic, count: 2 });
    let written = write_faults(&scenario.faults[..1], &scenario);
    assert!(written.contains(r#"AddPartitions("orders", 2)"#), "{written}");
    // Faults for a scenario that is there already.
    let more = r#"[(at: "1s", fault: AddPartitions("orders", 4))]"#;
    let error = ScenarioFile::parse_faults("faults", more, &scenario).unwrap_err();
    assert_eq!(error[0].message, "the scenario has 3 partitions to add to this topic");
    let lasting = r#"(at: "1s", fault: AddPartitions("orders", 2), for: "1s")"#;
    let error = resolve(lasting).unwrap_err();
    assert_eq!(error[0].message, "partitions cannot be taken away again");
}
